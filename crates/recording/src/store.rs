//! What the kinds of files have in common: a walk over their messages, and one message again by its place.

use crate::RecordingError;

/// Where a message is in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Byte at which the record or chunk begins; of a database the row.
    pub at: u64,
    /// Where the message begins in the (inflated) chunk, or behind `at`.
    pub offset: u32,
    /// Its length.
    pub length: u32,
}

/// How the messages of a channel are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// CDR, as ROS 2 does.
    Cdr,
    /// As ROS 1 does; the md5 sum of its type, if the file says.
    Ros1(Option<String>),
    /// Otherwise: how.
    Other(String),
}

/// A channel of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its number in the file.
    pub id: u32,
    /// The topic.
    pub topic: String,
    /// The type as the file has it.
    pub type_name: String,
    /// How messages are written.
    pub form: Form,
}

/// What a walk meets.
#[derive(Debug)]
pub enum Met<'a> {
    /// A channel; may be met again, unchanged.
    Channel(Channel),
    /// A message of a channel that was met before.
    Message {
        /// Its channel's number.
        channel: u32,
        /// When it was logged, ns.
        logged: i64,
        /// Where it is.
        place: Place,
        /// Its bytes; empty where a walk asked for none.
        bytes: &'a [u8],
    },
}

/// How a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As a finished recording does.
    Complete,
    /// Too early: how.
    Cut(String),
}

/// What is done with what a walk meets.
pub type Visit<'a> = dyn FnMut(Met<'_>) -> Result<(), RecordingError> + 'a;

/// A file of a recording.
pub trait Store {
    /// Meets everything in the file's order. Without `bytes` messages are met without theirs, which may be quicker.
    fn walk(&mut self, bytes: bool, visit: &mut Visit<'_>) -> Result<End, RecordingError>;

    /// The bytes of a message that was met.
    fn read(&mut self, place: Place) -> Result<Vec<u8>, RecordingError>;
}
