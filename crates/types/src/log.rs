//! What a node says in words, in the form of ROS's `/rosout`: for people and logs, never for decisions.

use crate::Stamp;

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// For who looks for a mistake.
    Debug,
    /// As it should be.
    #[default]
    Info,
    /// Works, but somebody should look.
    Warn,
    /// Does not work.
    Error,
    /// The node ends.
    Fatal,
}

impl LogLevel {
    /// Every value, mildest first.
    pub const ALL: [Self; 5] = [Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal];

    /// Its number in `rcl_interfaces/msg/Log`: 10, 20, ... 50.
    pub fn number(self) -> u8 {
        (self as u8 + 1) * 10
    }
}

/// One line of a node's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// When.
    pub stamp: Stamp,
    /// How grave.
    pub level: LogLevel,
    /// Who says it.
    pub name: String,
    /// What; at most [`LogRecord::MAX_TEXT`] bytes, as is every text here.
    pub text: String,
    /// Source file.
    pub file: String,
    /// Module.
    pub function: String,
    /// Line of the file, from 1; 0 if not known.
    pub line: u32,
}

impl LogRecord {
    /// Longest text, bytes.
    pub const MAX_TEXT: usize = 4096;
}
