//! Recordings of robots, whoever wrote them: MCAP (of ROS 2, and of ROS 1 inside), rosbag2's SQLite, and ROS 1 bags, through one door.
//!
//! [`Recording::open`] finds out what is there; [`Recording::index`] lists the messages of chosen topics in the order in which they were logged, without
//! holding them; [`Recording::read`] gives one as CDR, [`Recording::message`] as a checked message. ROS 1's bytes become CDR on the way
//! ([`proctor_msgs::ros1`]), so whoever reads does not see which ROS it was.
//!
//! Files are hostile until read: their indices are not believed, lengths are held against what is left, what is compressed inflates to a bound, and
//! nothing is reserved because a file says so. A recording that was cut off gives what it holds and says so ([`Recording::cut`]); damage within is an
//! error that names file and byte.

mod bytes;
mod chunk;
mod error;
mod file;
mod folder;
mod mcap_file;
mod ros1_bag;
mod sqlite;
mod store;
mod types;

pub use error::RecordingError;

use chunk::Compression;
use proctor_msgs::{
    Message,
    cdr::{CdrFault, from_payload},
    ros_name, ros1,
};
use std::{
    collections::HashMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};
use store::{Channel, End, Form, Met, Place, Store};

/// Most messages that an index lists.
pub const MOST_MESSAGES: usize = 20_000_000;
/// Most topics of a recording.
const MOST_TOPICS: usize = 10_000;

/// A topic of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its type as ROS 2 names it, e.g. `sensor_msgs/msg/Image`.
    pub type_name: String,
    /// Messages of it.
    pub messages: u64,
    /// Why they cannot be read, if so.
    pub unreadable: Option<String>,
    form: Form,
}

impl Topic {
    /// A topic of CDR, as if it had been found.
    pub fn new(name: &str, type_name: &str, messages: u64) -> Self {
        let (name, type_name) = (name.to_owned(), type_name.to_owned());
        Self { name, type_name, messages, unreadable: None, form: Form::Cdr }
    }
}

/// A message of a recording, not yet read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Which of [`Recording::topics`].
    pub topic: u32,
    /// Which file.
    file: u32,
    /// When it was logged, ns.
    pub logged: i64,
    /// The stamp of its header, ns; `None` for zero, and for what cannot be one. Only of types that begin with a header.
    pub stamp: Option<i64>,
    place: Place,
}

struct Part {
    store: Box<dyn Store + Send>,
    /// The file's channels as topics.
    topics: HashMap<u32, u32>,
}

/// A recording.
pub struct Recording {
    path: PathBuf,
    parts: Vec<Part>,
    messages_packed: bool,
    topics: Vec<Topic>,
    cut: Vec<String>,
}

/// Whether this is a recording by its first bytes, or a folder of rosbag2: what [`Recording::open`] would try to read.
pub fn is_recording(path: &Path) -> bool {
    if path.is_dir() { folder::is_rosbag2(path) } else { head(path).is_ok_and(|h| Kind::of(&h).is_some()) }
}

/// The first bytes of a file.
fn head(path: &Path) -> Result<Vec<u8>, RecordingError> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(RecordingError::file(path))?;
    file.take(16).read_to_end(&mut head).map_err(RecordingError::file(path))?;
    Ok(head)
}

enum Kind {
    Mcap,
    Ros1,
    OldRos1,
    Sqlite,
}

impl Kind {
    fn of(head: &[u8]) -> Option<Self> {
        let begins = |magic: &[u8]| head.starts_with(magic);
        match () {
            () if begins(mcap_file::MAGIC) => Some(Self::Mcap),
            () if begins(ros1_bag::MAGIC) => Some(Self::Ros1),
            () if begins(ros1_bag::ANY_MAGIC) => Some(Self::OldRos1),
            () if begins(sqlite::MAGIC) => Some(Self::Sqlite),
            () => None,
        }
    }
}

fn open(path: &Path) -> Result<Box<dyn Store + Send>, RecordingError> {
    let head = head(path)?;
    let not_one = |got: String| RecordingError::NotOne { path: path.to_owned(), got };
    Ok(match Kind::of(&head) {
        Some(Kind::Mcap) => Box::new(mcap_file::McapFile::open(path)?),
        Some(Kind::Ros1) => Box::new(ros1_bag::Ros1Bag::open(path)?),
        Some(Kind::Sqlite) => Box::new(sqlite::Database::open(path)?),
        Some(Kind::OldRos1) => {
            let version =
                String::from_utf8_lossy(head.get(ros1_bag::ANY_MAGIC.len()..).unwrap_or_default()).into_owned();
            let version = version.split_whitespace().next().unwrap_or_default().to_owned();
            return Err(not_one(format!(
                "a ROS 1 bag of version {version}: `rosbag fix` or `rosbag reindex` makes it a 2.0"
            )));
        }
        None if head.is_empty() => return Err(not_one("an empty file".to_owned())),
        None => return Err(not_one(format!("it begins with \"{}\"", head.escape_ascii()))),
    })
}

impl Recording {
    /// Opens a file or folder and goes over it once, to know its topics.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let files = folder::files(path)?;
        let messages_packed = files.messages_packed;
        let mut out =
            Self { path: path.to_owned(), parts: Vec::new(), messages_packed, topics: Vec::new(), cut: Vec::new() };
        for file in &files.paths {
            let (mut store, mut all, mut counts) = (open(file)?, HashMap::new(), HashMap::<u32, u64>::new());
            let end = store.walk(false, &mut |met| match met {
                Met::Channel(channel) => learn(channel, &mut out.topics, &mut all, file),
                // Of a channel that may be described later: ROS 1 describes all of them at the end once more.
                Met::Message { channel, .. } => {
                    *counts.entry(channel).or_insert(0) += 1;
                    Ok(())
                }
            })?;
            for (channel, count) in counts {
                if let Some(topic) = all.get(&channel).and_then(|t: &u32| out.topics.get_mut(*t as usize)) {
                    topic.messages += count;
                }
            }
            if let End::Cut(how) = end {
                out.cut.push(format!("{}: {how}", file.display()));
            }
            out.parts.push(Part { store, topics: all });
        }
        Ok(out)
    }

    /// What was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its topics. One of a name and type that are written in several forms is there several times.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// The topic of a name that has messages, or of that name at all.
    pub fn find(&self, name: &str) -> Option<u32> {
        let named = |used: bool| self.topics.iter().position(|t| t.name == name && (t.messages > 0 || !used));
        named(true).or_else(|| named(false)).map(|i| i as u32)
    }

    /// Files that end too early, and how; empty for a recording that was finished.
    pub fn cut(&self) -> &[String] {
        &self.cut
    }

    /// Lists the messages of topics (places in [`Self::topics`]) in the order in which they were logged; those of one moment in the files' order.
    pub fn index(&mut self, topics: &[u32]) -> Result<Vec<Entry>, RecordingError> {
        let (mut entries, path, packed) = (Vec::new(), &self.path, self.messages_packed);
        for (file, part) in (0..).zip(&mut self.parts) {
            let channels = &part.topics;
            part.store.walk(true, &mut |met| {
                let Met::Message { channel, logged, place, bytes } = met else { return Ok(()) };
                let Some(topic) = channels.get(&channel).copied().filter(|t| topics.contains(t)) else { return Ok(()) };
                if entries.len() == MOST_MESSAGES {
                    return Err(RecordingError::TooMany { path: path.clone(), most: MOST_MESSAGES });
                }
                let stamp = if packed {
                    Compression::Zstd.inflate(bytes).0.get(4..12).and_then(stamp)
                } else {
                    bytes.get(4..12).and_then(stamp)
                };
                entries.push(Entry { topic, file, logged, stamp, place });
                Ok(())
            })?;
        }
        // Stable.
        entries.sort_by_key(|e| e.logged);
        Ok(entries)
    }

    /// A message as CDR with its 4-byte header.
    pub fn read(&mut self, entry: &Entry) -> Result<Vec<u8>, RecordingError> {
        let (Some(topic), Some(part)) =
            (self.topics.get(entry.topic as usize), self.parts.get_mut(entry.file as usize))
        else {
            return Err(self.other(entry.topic, "nothing", "a message of this recording"));
        };
        if let Some(why) = &topic.unreadable {
            return Err(self.other(entry.topic, why, "another form"));
        }
        let mut bytes = part.store.read(entry.place)?;
        if self.messages_packed {
            let (inflated, fault) = Compression::Zstd.inflate(&bytes);
            if let Some(fault) = fault {
                return Err(self.unfit(entry, CdrFault::Reader(format!("zstd: {fault}"))));
            }
            bytes = inflated;
        }
        match (&topic.form, types::find(&topic.type_name)) {
            (Form::Ros1(_), Some(known)) => {
                ros1::to_cdr(&known.layout, &bytes).map_err(|fault| self.unfit(entry, fault))
            }
            _ => Ok(bytes),
        }
    }

    /// A message, checked against its layout. Of a topic of another type it is refused.
    pub fn message<M: Message>(&mut self, entry: &Entry) -> Result<M, RecordingError> {
        let (expected, got) = (ros_name::<M>(), self.topics.get(entry.topic as usize).map(|t| t.type_name.clone()));
        let (Some(known), true) = (types::find(&expected), got.as_ref() == Some(&expected)) else {
            return Err(self.other(entry.topic, &got.unwrap_or_default(), &expected));
        };
        let cdr = self.read(entry)?;
        from_payload(&known.layout, &cdr.into()).map_err(|fault| self.unfit(entry, fault))
    }

    /// A topic that does not hold what is needed.
    fn other(&self, topic: u32, got: &str, expected: &str) -> RecordingError {
        let topic = self.topics.get(topic as usize).map(|t| t.name.clone()).unwrap_or_default();
        RecordingError::Topic { path: self.path.clone(), topic, got: got.to_owned(), expected: expected.to_owned() }
    }

    fn unfit(&self, entry: &Entry, source: CdrFault) -> RecordingError {
        let topic = self.topics.get(entry.topic as usize).map(|t| t.name.clone()).unwrap_or_default();
        RecordingError::Message { path: self.path.clone(), topic, seconds: entry.logged as f64 * 1e-9, source }
    }
}

/// The stamp of a header: seconds and nanoseconds, at the same place in ROS 2's CDR (behind four bytes of header) and in ROS 1 (behind `seq`).
fn stamp(field: &[u8]) -> Option<i64> {
    let mut front = bytes::Front(field);
    let (sec, nanosec) = (front.u32()?, front.u32()?);
    let ns = i64::from(sec) * 1_000_000_000 + i64::from(nanosec);
    (ns > 0 && nanosec < 1_000_000_000 && i32::try_from(sec).is_ok()).then_some(ns)
}

/// Learns what a channel is.
fn learn(
    channel: Channel,
    topics: &mut Vec<Topic>,
    all: &mut HashMap<u32, u32>,
    file: &Path,
) -> Result<(), RecordingError> {
    let Channel { id, topic, type_name, form } = channel;
    let type_name = types::ros2_name(&type_name);
    let same = |t: &Topic| t.name == topic && t.type_name == type_name && t.form == form;
    let at = match topics.iter().position(same) {
        Some(at) => at,
        None if topics.len() == MOST_TOPICS => {
            let got = format!("more than {MOST_TOPICS} topics");
            return Err(RecordingError::NotOne { path: file.to_owned(), got });
        }
        None => {
            let unreadable = types::unreadable(&type_name, &form);
            topics.push(Topic { name: topic, type_name, messages: 0, unreadable, form });
            topics.len() - 1
        }
    } as u32;
    if all.insert(id, at).is_some_and(|before| before != at) {
        return Err(RecordingError::Topic {
            path: file.to_owned(),
            topic: topics.get(at as usize).map(|t| t.name.clone()).unwrap_or_default(),
            got: format!("channel {id} means two things"),
            expected: "one topic for each channel".to_owned(),
        });
    }
    Ok(())
}
