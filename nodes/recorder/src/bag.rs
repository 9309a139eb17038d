//! Reading recordings: the messages of chosen topics of an MCAP file, whoever wrote it, with the robot's names.
//!
//! The file is read as a stream; only what was asked for is kept, at most [`MOST_BYTES`]. Compressed chunks are refused by name (Proctor's recorder
//! compresses nothing; `ros2 bag convert` undoes it). A recording that was cut off gives what it holds.

use mcap::{
    McapError, parse_record,
    records::Record,
    sans_io::{LinearReadEvent, LinearReader},
};
use proctor_bus::{Names, Topic};
use proctor_types::Stamp;
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Most bytes of messages that are kept.
pub const MOST_BYTES: u64 = 4 << 30;
/// A message's own stamp is believed when it was logged at most this long after it, in nanoseconds; otherwise it is another clock's.
const ON_THE_WAY: i64 = 2_000_000_000;
/// And at most this long before it: a logger that writes in batches gives its last one the time of the batch before.
const AHEAD: i64 = 100_000_000;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Which of the topics that were asked for.
    pub topic: usize,
    /// When it was logged.
    pub logged: Stamp,
    /// CDR with its 4-byte header.
    pub cdr: Vec<u8>,
}

impl Recorded {
    /// When it was sent: its own stamp, which every message of Proctor's topics begins with, where that can be. Loggers that write in batches log later.
    pub fn sent(&self) -> Stamp {
        let field = |at: usize| -> Option<[u8; 4]> { self.cdr.get(at..at + 4)?.try_into().ok() };
        let little = self.cdr.get(1) == Some(&1);
        let number = |bytes: [u8; 4]| if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
        let stamp = field(4)
            .zip(field(8))
            .and_then(|(sec, nanosec)| Stamp::from_ros("stamp", number(sec).cast_signed(), number(nanosec)).ok());
        let late = |s: &Stamp| self.logged.nanos() - s.nanos();
        stamp.filter(|s| (-AHEAD..ON_THE_WAY).contains(&late(s))).unwrap_or(self.logged)
    }
}

/// What a recording held of what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bag {
    /// Messages in the order of the file.
    pub messages: Vec<Recorded>,
    /// Topics that were there, but not as they should be: name and what was wrong.
    pub passed_over: BTreeMap<String, String>,
    /// Whether the file ends as a finished one does.
    pub complete: bool,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BagError {
    /// The system refused.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no MCAP file, or damaged, or compressed.
    #[error("{}: {source} (compressed? `ros2 bag convert` writes it without)", .path.display())]
    Mcap {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: McapError,
    },
    /// More than [`MOST_BYTES`] of what was asked for.
    #[error("{}: more than {} MiB of joints and states", .path.display(), MOST_BYTES >> 20)]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

/// What the reader knows so far.
struct Reading<'a> {
    topics: &'a [Topic],
    names: &'a Names,
    schemas: HashMap<u16, String>,
    /// Channel to topic.
    channels: HashMap<u16, usize>,
    bytes: u64,
    bag: Bag,
}

/// Reads the messages of `topics`, which the recording calls as `names` says.
pub fn read(path: &Path, topics: &[Topic], names: &Names) -> Result<Bag, BagError> {
    let failed = |source| BagError::File { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(failed)?;
    let (schemas, channels) = (HashMap::new(), HashMap::new());
    let mut reading = Reading { topics, names, schemas, channels, bytes: 0, bag: Bag::default() };
    let mut reader = LinearReader::new();
    let (mut ended, mut any) = (false, false);
    while let Some(event) = reader.next_event() {
        match event {
            Ok(LinearReadEvent::ReadRequest(most)) => {
                let got = file.read(reader.insert(most)).map_err(failed)?;
                // A second request after the end of the file: it was cut off.
                if got == 0 && std::mem::replace(&mut ended, true) {
                    break;
                }
                reader.notify_read(got);
            }
            Ok(LinearReadEvent::Record { opcode, data }) => {
                any = true;
                let mcap = |source| BagError::Mcap { path: path.to_path_buf(), source };
                reading.take(parse_record(opcode, data).map_err(mcap)?);
                if reading.bytes > MOST_BYTES {
                    return Err(BagError::TooLong { path: path.to_path_buf() });
                }
            }
            // Cut off in the middle of a record: what stands before it is good.
            Err(McapError::UnexpectedEof) if any => break,
            Err(source) => return Err(BagError::Mcap { path: path.to_path_buf(), source }),
        }
    }
    Ok(reading.bag)
}

impl Reading<'_> {
    fn take(&mut self, record: Record<'_>) {
        match record {
            Record::Schema { header, .. } => _ = self.schemas.insert(header.id, header.name),
            Record::Channel(channel) => {
                let Some(topic) = self.topics.iter().position(|t| self.names.of(&t.name) == channel.topic) else {
                    return;
                };
                let wanted = self.topics[topic].type_name;
                let got = self.schemas.get(&channel.schema_id).map_or("no type", String::as_str);
                if got == wanted && channel.message_encoding == "cdr" {
                    self.channels.insert(channel.id, topic);
                } else {
                    let why = format!("{got} as {}, expected {wanted} as cdr", channel.message_encoding);
                    self.bag.passed_over.insert(channel.topic, why);
                }
            }
            Record::Message { header, data } => {
                let Some(&topic) = self.channels.get(&header.channel_id) else { return };
                let nanos = i64::try_from(header.log_time).unwrap_or(i64::MAX);
                let Ok(logged) = Stamp::from_nanos("log_time", nanos) else { return };
                self.bytes += data.len() as u64;
                self.bag.messages.push(Recorded { topic, logged, cdr: data.into_owned() });
            }
            Record::Footer(_) => self.bag.complete = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RecorderNode, RecorderParams};
    use proctor_bus::{Bus, Node, graph};
    use proctor_types::{ArmId, JointCommand, Joints};

    fn command(ms: i64) -> JointCommand {
        let stamp = Stamp::from_nanos("t", 1_000_000_000 + ms * 1_000_000).unwrap();
        JointCommand { arm: ArmId::Ecm, stamp, position: Joints::new(&[0.1, 0.2, 0.1, 0.0]).unwrap() }
    }

    /// Fifty set-points, drained by the recorder at 100 ms.
    fn recording(folder: &Path) -> PathBuf {
        let (bus, file) = (Bus::memory(), folder.join("a.mcap"));
        let mut recorder = RecorderNode::new(&bus, RecorderParams::to(&file)).unwrap();
        let publisher = bus.publisher::<JointCommand>(&graph::servo_jp(ArmId::Ecm)).unwrap();
        (0..50).for_each(|ms| publisher.publish(&command(ms)).unwrap());
        recorder.poll(command(100).stamp);
        recorder.finish(command(110).stamp).unwrap();
        file
    }

    #[test]
    fn what_was_recorded_is_read_with_the_time_at_which_it_was_sent() {
        let folder = tempfile::tempdir().unwrap();
        let file = recording(folder.path());
        let topics = [graph::servo_jp(ArmId::Ecm), graph::servo_jp(ArmId::Psm1)];
        let bag = read(&file, &topics, &Names::default()).unwrap();
        assert!(bag.complete && bag.passed_over.is_empty());
        assert_eq!(bag.messages.len(), 50);
        for (ms, message) in (0..).zip(&bag.messages) {
            assert_eq!((message.topic, message.logged), (0, command(100).stamp));
            assert_eq!(message.sent(), command(ms).stamp);
        }
    }

    #[test]
    fn a_stamp_of_another_clock_is_not_believed() {
        let at = |sec: u32| {
            let cdr = [&[0, 1, 0, 0][..], &sec.to_le_bytes(), &5_u32.to_le_bytes()].concat();
            Recorded { topic: 0, logged: Stamp::from_ros("t", 100, 0).unwrap(), cdr }.sent().to_ros()
        };
        assert_eq!(at(99), (99, 5));
        assert_eq!([at(0), at(101), at(97)], [(100, 0); 3], "no stamp, ahead of the log, far behind it");
    }

    #[test]
    fn a_recording_that_was_cut_off_gives_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let whole = std::fs::read(recording(folder.path())).unwrap();
        let topics = [graph::servo_jp(ArmId::Ecm)];
        let mut counts = Vec::new();
        for length in (0..whole.len()).step_by(97) {
            let file = folder.path().join("cut.mcap");
            std::fs::write(&file, &whole[..length]).unwrap();
            // Before its first record it is no recording.
            if let Ok(bag) = read(&file, &topics, &Names::default()) {
                counts.push(bag.messages.len());
            }
        }
        assert!(counts.is_sorted() && counts.last() == Some(&50), "{counts:?}");
    }

    #[test]
    fn the_robots_names_are_looked_for_and_what_is_no_recording_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = recording(folder.path());
        // What Proctor calls /PSM1/servo_jp is called /ECM/servo_jp in this recording, and the ECM's otherwise.
        let names = Names::new([
            ("/PSM1/servo_jp".to_owned(), "/ECM/servo_jp".to_owned()),
            ("/ECM/servo_jp".to_owned(), "/scope/servo_jp".to_owned()),
        ]);
        let bag = read(&file, &[graph::servo_jp(ArmId::Psm1)], &names.unwrap()).unwrap();
        assert_eq!(bag.messages.len(), 50);
        // Of another type.
        let names = Names::new([
            ("/ECM/measured_cp".to_owned(), "/ECM/servo_jp".to_owned()),
            ("/ECM/servo_jp".to_owned(), "/scope/servo_jp".to_owned()),
        ]);
        let bag = read(&file, &[graph::measured_cp(ArmId::Ecm)], &names.unwrap()).unwrap();
        assert!(bag.messages.is_empty() && bag.passed_over["/ECM/servo_jp"].contains("PoseStamped"), "{bag:?}");
        let text = folder.path().join("text");
        std::fs::write(&text, "no recording, but long enough to be looked at").unwrap();
        assert!(matches!(read(&text, &[], &Names::default()), Err(BagError::Mcap { .. })));
        assert!(matches!(read(&folder.path().join("no"), &[], &Names::default()), Err(BagError::File { .. })));
    }
}
