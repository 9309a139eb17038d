//! How a node fares, in the form of ROS's `/diagnostics`: for people, dashboards and logs, never for decisions.

use crate::Stamp;

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// As it should be.
    Ok,
    /// Works, but somebody should look.
    Warn,
    /// Does not work.
    Error,
    /// Nothing was heard of it.
    #[default]
    Stale,
}

impl Health {
    /// In the order of `DiagnosticStatus.level`.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Warn, Self::Error, Self::Stale];
}

/// One thing that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnosis {
    /// How well it is.
    pub health: Health,
    /// What it is, e.g. "safety: loop".
    pub name: String,
    /// In words, short.
    pub message: String,
    /// Figures: what, with its unit in the name, and how much.
    pub values: Vec<(String, String)>,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// When.
    pub stamp: Stamp,
    /// Everything watched; at most [`Diagnostics::MAX`].
    pub all: Vec<Diagnosis>,
}

impl Diagnosis {
    /// Name under which autonomy says why it suggests a motion or none, with seconds by reason as figures.
    pub const SUGGESTIONS: &'static str = "autonomy: suggestions";
}

impl Diagnostics {
    /// Most things in one message.
    pub const MAX: usize = 64;
    /// Most figures of a thing.
    pub const MAX_VALUES: usize = 64;
    /// Longest text, bytes.
    pub const MAX_TEXT: usize = 256;
}
