//! Recorder node: every topic of [`graph::all`] into one MCAP file (profile `ros2`), drops counted and said.
//!
//! It never slows the loop: it holds a bounded queue per topic, and what does not fit is dropped, oldest first, and counted. It
//! serialises on its own thread. The counts are logged as they grow and stand in the file's metadata record `proctor.drops`.
//! [`bag`] reads recordings. The file is complete after [`RecorderNode::finish`] (also called on drop); a recording that was cut off lacks only its index.

pub mod bag;

use mcap::{WriteOptions, Writer, records::MessageHeader, records::Metadata};
use proctor_bus::{Bus, BusError, Node, RawSubscriber, Topic, graph};
use proctor_msgs::registry;
use proctor_types::Stamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    time::Duration,
};

/// How often the queues are emptied.
const PERIOD: Duration = Duration::from_millis(20);
/// Between two log lines about drops.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How often it looks how much room the disk has.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Parameters of the recorder. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecorderParams {
    /// The file; it must not exist yet.
    pub file: PathBuf,
    /// Messages held per topic until they are written, 16..=8192; pictures are 0.9 MB each and held at most 64.
    pub depth: usize,
    /// Room to leave on the file's disk, bytes: the recording ends, complete, before the disk has less.
    pub keep_free: u64,
}

impl RecorderParams {
    /// Bounds of [`Self::depth`].
    pub const DEPTH: (usize, usize) = (16, 8192);

    /// Into `file`, with the default depth, two seconds of the fastest topics, leaving a GiB: what the cell's cameras fill in
    /// a quarter of a minute.
    pub fn to(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), depth: 2048, keep_free: 1 << 30 }
    }
}

/// Why a recording cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The depth is out of its range.
    #[error("depth must lie in [16, 8192], got {0}")]
    Depth(usize),
    /// The file cannot be made.
    #[error("cannot record to {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The disk has too little room left.
    #[error("recording to {} needs more than {} MiB free on its disk, {} MiB are", .path.display(), .needed >> 20, .free >> 20)]
    Room {
        /// The file.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes that are to stay free.
        needed: u64,
    },
    /// Writing failed. What was written before stays readable.
    #[error("recording to {} stopped: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        source: mcap::McapError,
    },
    /// The bus refused a subscription.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// What was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecorderCounts {
    /// Messages written, per topic.
    pub written: BTreeMap<String, u64>,
    /// Messages lost because the recorder was too slow, per topic; topics without a loss are absent.
    pub dropped: BTreeMap<String, u64>,
}

struct Track {
    name: String,
    channel: u16,
    source: RawSubscriber,
    written: u64,
    sequence: u32,
}

/// The recorder.
pub struct RecorderNode {
    path: PathBuf,
    writer: Option<Writer<BufWriter<File>>>,
    tracks: Vec<Track>,
    said: Option<(Stamp, u64)>,
    last: Stamp,
    keep_free: u64,
    looked: Option<Stamp>,
    /// Bytes free on the disk of a file that may be yet to be made.
    free: fn(&Path) -> std::io::Result<u64>,
}

fn free(file: &Path) -> std::io::Result<u64> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

impl RecorderNode {
    /// Subscribes to every topic and starts the file. An existing file is refused, not overwritten.
    pub fn new(bus: &Bus, params: RecorderParams) -> Result<Self, RecorderError> {
        let (least, most) = RecorderParams::DEPTH;
        if !(least..=most).contains(&params.depth) {
            return Err(RecorderError::Depth(params.depth));
        }
        let path = params.file;
        let failed = |source| RecorderError::Write { path: path.clone(), source };
        room(&path, params.keep_free, free)?;
        let file = File::create_new(&path).map_err(|source| RecorderError::File { path: path.clone(), source })?;
        let options = WriteOptions::new().profile("ros2").library(concat!("proctor ", env!("CARGO_PKG_VERSION")));
        let mut writer = options.compression(None).create(BufWriter::with_capacity(1 << 20, file)).map_err(failed)?;
        let mut tracks = Vec::new();
        for topic in graph::all() {
            let channel = channel(&mut writer, &topic).map_err(failed)?;
            let depth = if topic.type_name == "sensor_msgs/msg/Image" { params.depth.min(64) } else { params.depth };
            let source = bus.raw_subscriber(&topic, depth)?;
            tracks.push(Track { name: topic.name.into_owned(), channel, source, written: 0, sequence: 0 });
        }
        let keep_free = params.keep_free;
        Ok(Self { path, writer: Some(writer), tracks, said: None, last: Stamp::FIRST, keep_free, looked: None, free })
    }

    /// Where it records.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was recorded so far.
    pub fn counts(&self) -> RecorderCounts {
        let count = |f: fn(&Track) -> u64| self.tracks.iter().map(move |t| (t.name.clone(), f(t)));
        RecorderCounts {
            written: count(|t| t.written).collect(),
            dropped: count(|t| t.source.dropped()).filter(|(_, n)| *n > 0).collect(),
        }
    }

    fn drain(&mut self, now: Stamp) -> Result<(), RecorderError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let time = u64::try_from(now.nanos()).unwrap_or(0);
        for track in &mut self.tracks {
            // As many as wait now: a writer that never stops cannot keep us on one topic.
            for _ in 0..track.source.waiting() {
                let Some(message) = track.source.take() else { break };
                let header = MessageHeader {
                    channel_id: track.channel,
                    sequence: track.sequence,
                    log_time: time,
                    publish_time: time,
                };
                let written = writer.write_to_known_channel(&header, &message.cdr);
                written.map_err(|source| RecorderError::Write { path: self.path.clone(), source })?;
                track.sequence = track.sequence.wrapping_add(1);
                track.written += 1;
            }
        }
        Ok(())
    }

    /// Whether the disk has room, where that can be found out; looked at now and then.
    fn room(&mut self, now: Stamp) -> Result<(), RecorderError> {
        if self.writer.is_none() || self.looked.is_some_and(|when| when.age(now) < LOOK_EVERY) {
            return Ok(());
        }
        self.looked = Some(now);
        room(&self.path, self.keep_free, self.free)
    }

    fn say_drops(&mut self, now: Stamp) {
        let dropped: u64 = self.tracks.iter().map(|t| t.source.dropped()).sum();
        let due = self.said.is_none_or(|(when, n)| dropped > n && when.age(now) >= SAY_EVERY);
        if dropped > 0 && due {
            tracing::warn!(
                dropped,
                "messages are missing from the recording: the recorder is too slow, or they were lost on the way"
            );
            self.said = Some((now, dropped));
        }
    }

    /// Writes what still waits, the drop counts and the index, and closes the file. Later calls do nothing.
    pub fn finish(&mut self, now: Stamp) -> Result<(), RecorderError> {
        self.drain(now)?;
        let counts = self.counts();
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        let failed = |source| RecorderError::Write { path: self.path.clone(), source };
        let metadata = counts.dropped.into_iter().map(|(topic, n)| (topic, n.to_string())).collect();
        writer.write_metadata(&Metadata { name: "proctor.drops".to_owned(), metadata }).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(())
    }
}

fn room(file: &Path, needed: u64, free: fn(&Path) -> std::io::Result<u64>) -> Result<(), RecorderError> {
    match free(file) {
        Ok(free) if free < needed => Err(RecorderError::Room { path: file.to_owned(), free, needed }),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn channel(writer: &mut Writer<BufWriter<File>>, topic: &Topic) -> Result<u16, mcap::McapError> {
    let definition = registry::find(topic.type_name).map_or("", |e| e.definition);
    let schema = writer.add_schema(topic.type_name, "ros2msg", definition.as_bytes())?;
    // rosbag2 reads the profiles from here; durability 1 is transient local, 2 volatile, reliability 1 reliable, 2 best effort.
    let (durability, reliability) = (if topic.qos.latched { 1 } else { 2 }, if topic.qos.reliable { 1 } else { 2 });
    let profile = format!(
        "- history: 1\n  depth: {}\n  reliability: {reliability}\n  durability: {durability}\n  deadline:\n    sec: 0\n    nsec: 0\n  \
         lifespan:\n    sec: 0\n    nsec: 0\n  liveliness: 1\n  liveliness_lease_duration:\n    sec: 0\n    nsec: 0\n  \
         avoid_ros_namespace_conventions: false\n",
        topic.qos.depth
    );
    let metadata = BTreeMap::from([("offered_qos_profiles".to_owned(), profile)]);
    writer.add_channel(schema, &topic.name, "cdr", &metadata)
}

impl Node for RecorderNode {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn poll(&mut self, now: Stamp) {
        self.last = now;
        match self.drain(now).and_then(|()| self.room(now)) {
            Ok(()) => {}
            Err(error @ RecorderError::Room { .. }) => {
                let index = self.finish(now).is_ok();
                tracing::error!(%error, index, "recording ended; the loop goes on");
            }
            Err(error) => {
                tracing::error!(%error, "recording stopped; the loop goes on");
                self.writer = None;
            }
        }
        self.say_drops(now);
    }
}

impl Drop for RecorderNode {
    fn drop(&mut self) {
        // What still waits came after the last poll.
        if let Err(error) = self.finish(self.last) {
            tracing::error!(%error, "the recording has no index");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_types::{ArmId, JointCommand, Joints};

    fn command(ms: i64) -> JointCommand {
        let stamp = Stamp::from_nanos("t", 1_000_000_000 + ms * 1_000_000).unwrap();
        JointCommand { arm: ArmId::Ecm, stamp, position: Joints::new(&[0.1, 0.2, 0.1, 0.0]).unwrap() }
    }

    #[test]
    fn what_was_published_stands_in_the_file_in_order_with_its_schema() {
        let folder = tempfile::tempdir().unwrap();
        let (bus, file) = (Bus::memory(), folder.path().join("a.mcap"));
        let mut recorder = RecorderNode::new(&bus, RecorderParams::to(&file)).unwrap();
        let publisher = bus.publisher::<JointCommand>(&graph::servo_jp(ArmId::Ecm)).unwrap();
        for ms in 0..50 {
            publisher.publish(&command(ms)).unwrap();
        }
        recorder.poll(command(60).stamp);
        recorder.finish(command(70).stamp).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let messages: Vec<_> = mcap::MessageStream::new(&bytes).unwrap().map(Result::unwrap).collect();
        assert_eq!(messages.len(), 50);
        let channel = &messages[0].channel;
        assert_eq!((channel.topic.as_str(), channel.message_encoding.as_str()), ("/ECM/servo_jp", "cdr"));
        let schema = channel.schema.as_ref().unwrap();
        assert_eq!((schema.name.as_str(), schema.encoding.as_str()), ("sensor_msgs/msg/JointState", "ros2msg"));
        assert!(messages.iter().enumerate().all(|(i, m)| m.sequence as usize == i && m.data[..4] == [0, 1, 0, 0]));
    }

    #[test]
    fn dropping_the_node_completes_the_file_with_what_still_waited() {
        let folder = tempfile::tempdir().unwrap();
        let (bus, file) = (Bus::memory(), folder.path().join("drop.mcap"));
        let mut recorder = RecorderNode::new(&bus, RecorderParams::to(&file)).unwrap();
        let publisher = bus.publisher::<JointCommand>(&graph::servo_jp(ArmId::Ecm)).unwrap();
        publisher.publish(&command(1)).unwrap();
        recorder.poll(command(5).stamp);
        publisher.publish(&command(6)).unwrap();
        drop(recorder);
        let bytes = std::fs::read(&file).unwrap();
        let times: Vec<_> = mcap::MessageStream::new(&bytes).unwrap().map(|m| m.unwrap().log_time).collect();
        assert_eq!(times, [1_005_000_000, 1_005_000_000]);
        let summary = mcap::Summary::read(&bytes).unwrap().expect("an index");
        assert_eq!(summary.stats.unwrap().message_count, 2);
    }

    #[test]
    fn what_does_not_fit_is_dropped_counted_and_said_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (bus, file) = (Bus::memory(), folder.path().join("b.mcap"));
        let params = RecorderParams { depth: 16, ..RecorderParams::to(&file) };
        let mut recorder = RecorderNode::new(&bus, params).unwrap();
        let publisher = bus.publisher::<JointCommand>(&graph::servo_jp(ArmId::Ecm)).unwrap();
        (0..20).for_each(|ms| publisher.publish(&command(ms)).unwrap());
        recorder.finish(command(30).stamp).unwrap();
        assert_eq!(recorder.counts().dropped, BTreeMap::from([("/ECM/servo_jp".to_owned(), 4)]));
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!(mcap::MessageStream::new(&bytes).unwrap().count(), 16);
        let needle = b"proctor.drops";
        assert!(bytes.windows(needle.len()).any(|w| w == needle));
    }

    #[test]
    fn a_disk_that_fills_up_ends_the_recording_complete_and_one_without_room_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (bus, file) = (Bus::memory(), folder.path().join("full.mcap"));
        let mut recorder =
            RecorderNode::new(&bus, RecorderParams { keep_free: 1, ..RecorderParams::to(&file) }).unwrap();
        let publisher = bus.publisher::<JointCommand>(&graph::servo_jp(ArmId::Ecm)).unwrap();
        recorder.poll(command(0).stamp);
        recorder.free = |_| Ok(0);
        for ms in [10, 500, 999, 1000, 1500] {
            publisher.publish(&command(ms)).unwrap();
            recorder.poll(command(ms).stamp);
        }
        let bytes = std::fs::read(&file).unwrap();
        let times: Vec<_> =
            mcap::MessageStream::new(&bytes).unwrap().map(|m| m.unwrap().log_time / 1_000_000).collect();
        assert_eq!(times, [1010, 1500, 1999, 2000], "a second after it last looked it ended");
        assert!(mcap::Summary::read(&bytes).unwrap().is_some(), "with its index");

        let none = folder.path().join("none.mcap");
        let refused = RecorderNode::new(&bus, RecorderParams { keep_free: u64::MAX, ..RecorderParams::to(&none) });
        let message = refused.err().unwrap().to_string();
        assert!(message.contains("none.mcap needs more than") && message.contains("MiB free"), "{message}");
        assert!(!none.exists());
    }

    #[test]
    fn an_existing_or_impossible_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let existing = folder.path().join("c.mcap");
        std::fs::write(&existing, "precious").unwrap();
        for file in [existing.clone(), folder.path().join("no/such/folder.mcap")] {
            let refused = RecorderNode::new(&Bus::memory(), RecorderParams::to(&file));
            assert!(matches!(refused, Err(RecorderError::File { .. })));
        }
        assert_eq!(std::fs::read_to_string(existing).unwrap(), "precious");
        let shallow = RecorderParams { depth: 1, ..RecorderParams::to(folder.path().join("d.mcap")) };
        assert!(matches!(RecorderNode::new(&Bus::memory(), shallow), Err(RecorderError::Depth(1))));
    }
}
