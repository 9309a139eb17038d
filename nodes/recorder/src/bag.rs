//! Reading recordings: the messages of chosen topics, whoever wrote them (`proctor_recording`: MCAP, rosbag2's SQLite, ROS 1 bags), with the robot's names.
//!
//! Only what was asked for is kept, at most [`MOST_BYTES`]. A recording that was cut off gives what it holds.

use proctor_bus::{Names, Topic};
use proctor_recording::{Recording, RecordingError};
use proctor_types::Stamp;
use std::{
    collections::{BTreeMap, HashMap},
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
    /// Messages in the order in which they were logged.
    pub messages: Vec<Recorded>,
    /// Topics, and messages of topics, that were there, but not as they should be: name and what was wrong.
    pub passed_over: BTreeMap<String, String>,
    /// Whether the file ends as a finished one does.
    pub complete: bool,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BagError {
    /// It is none, or damaged.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// More than [`MOST_BYTES`] of what was asked for.
    #[error("{}: more than {} MiB of joints and states", .path.display(), MOST_BYTES >> 20)]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the messages of `topics`, which the recording calls as `names` says.
pub fn read(path: &Path, topics: &[Topic], names: &Names) -> Result<Bag, BagError> {
    let mut recording = Recording::open(path)?;
    let mut bag = Bag { complete: recording.cut().is_empty(), ..Bag::default() };
    // Topic of the recording to topic that was asked for.
    let mut wanted = HashMap::new();
    for (i, there) in (0..).zip(recording.topics()) {
        let Some(topic) = topics.iter().position(|t| names.of(&t.name) == there.name) else { continue };
        let expected = topics[topic].type_name;
        if let Some(why) = &there.unreadable {
            bag.passed_over.insert(there.name.clone(), why.clone());
        } else if there.type_name == expected {
            wanted.insert(i, topic);
        } else {
            bag.passed_over.insert(there.name.clone(), format!("{}, expected {expected}", there.type_name));
        }
    }
    let keys: Vec<u32> = wanted.keys().copied().collect();
    let mut bytes = 0;
    for entry in recording.index(&keys)? {
        let (Some(&topic), Ok(logged)) = (wanted.get(&entry.topic), Stamp::from_nanos("log time", entry.logged)) else {
            continue;
        };
        match recording.read(&entry) {
            Ok(cdr) => {
                bytes += cdr.len() as u64;
                bag.messages.push(Recorded { topic, logged, cdr });
            }
            // One that is no message; the first is told.
            Err(error @ RecordingError::Message { .. }) => {
                bag.passed_over.entry(names.of(&topics[topic].name).to_owned()).or_insert_with(|| error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        if bytes > MOST_BYTES {
            return Err(BagError::TooLong { path: path.to_path_buf() });
        }
    }
    Ok(bag)
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
        assert!(matches!(read(&text, &[], &Names::default()), Err(BagError::Recording(RecordingError::NotOne { .. }))));
        let missing = read(&folder.path().join("no"), &[], &Names::default());
        assert!(matches!(missing, Err(BagError::Recording(RecordingError::File { .. }))));
    }
}
