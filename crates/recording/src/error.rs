//! What can be wrong with a recording.

use proctor_msgs::cdr::CdrFault;
use std::path::{Path, PathBuf};

/// Why a recording, or a message of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The system refused.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no recording.
    #[error(
        "{path}: {got}; a recording is an MCAP file, a ROS 1 bag (v2.0), a .db3 file of rosbag2, or a folder of rosbag2 with these"
    )]
    NotOne {
        /// The file or folder.
        path: PathBuf,
        /// What it is instead.
        got: String,
    },
    /// A part of the file is not what its format says.
    #[error("{path}, byte {at}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, bytes from its beginning.
        at: u64,
        /// What was found, and what was expected.
        what: String,
    },
    /// SQLite refused.
    #[error("{path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// A topic holds something else than what is read.
    #[error("{path}: {topic}: {got}, {expected} expected")]
    Topic {
        /// The recording.
        path: PathBuf,
        /// The topic.
        topic: String,
        /// What it holds.
        got: String,
        /// What was needed.
        expected: String,
    },
    /// A message is not of its topic's type.
    #[error("{path}: {topic}, message logged at {seconds:.3} s: {source}")]
    Message {
        /// The recording.
        path: PathBuf,
        /// The topic.
        topic: String,
        /// When it was logged, s.
        seconds: f64,
        /// What is wrong.
        source: CdrFault,
    },
    /// More messages than are held.
    #[error("{path}: more than {most} messages of what was asked for")]
    TooMany {
        /// The recording.
        path: PathBuf,
        /// The bound.
        most: usize,
    },
}

impl RecordingError {
    pub(crate) fn file(path: &Path) -> impl Fn(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path: path.clone(), source }
    }

    pub(crate) fn damaged(path: &Path, at: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), at, what: what.into() }
    }
}
