//! What reaches an arm, with the proof that safety's gate let it through.

use crate::Boot;
use serde::{Deserialize, Serialize};

/// Which command of which start of the safety node this is, and the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CommandSeal {
    /// The start of the safety node that sent it.
    pub boot: Boot,
    /// Counts up over everything that this start sends to arms.
    pub seq: u64,
    /// HMAC-SHA256 over the command and the rest of this seal, under the key that safety and the arms share.
    pub tag: [u8; 32],
}

/// A command to an arm, as it travels: nobody has checked its seal yet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ToArm<T> {
    /// The command.
    pub body: T,
    /// By safety, supposedly; `None` when there is no seal, or none that can be read.
    pub seal: Option<CommandSeal>,
}
