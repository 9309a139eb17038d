//! Domain types to messages and back: the only door through which a message becomes a value Proctor reasons with.
//!
//! Conventions on the wire: frames are named by the constants here; joint messages carry the dVRK's joint names; an arm
//! of a CRTK topic is the topic's namespace, never a field ([`Origin`]).

mod arm;
mod authority;
mod command;
mod diagnostics;
mod fields;
mod findings;
mod lent;
mod log;
mod picture;
mod safety;
mod scene;
mod transforms;

pub use arm::{ECM_JOINTS, JAW_JOINT, OTHER_JOINTS, PSM_JOINTS, base_frame, joint_names};
pub use picture::{LEFT_FRAME, MAX_SIDE, RIGHT_FRAME, packed, rows};
pub use scene::{MAX_ARMS, MAX_CLEARANCES, MAX_KEYPOINTS, WORLD_FRAME};

use crate::Message;
use proctor_types::{ArmId, InvalidValue};
use std::borrow::Cow;

/// A domain value that travels as a message.
pub trait Wire: Sized + Send + 'static {
    /// The message.
    type Msg: Message;

    /// The message of this value. Texts longer than their bound are cut; everything else is exact.
    fn encode(&self) -> Self::Msg;

    /// The value of a message that came from `origin`.
    ///
    /// # Errors
    /// NaN, infinity, wrong frame, wrong length, stamp 0, unknown enum value, over-long array.
    fn decode(message: &Self::Msg, origin: Origin) -> Result<Self, ConvertError>;
}

/// What the topic says about a message that the message itself does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The arm in whose namespace the topic lies.
    pub arm: Option<ArmId>,
    /// What the robot calls the frame of that arm's base, if not as [`base_frame`] does.
    pub frame: Option<&'static str>,
}

impl Origin {
    /// A topic outside any arm's namespace.
    pub const NONE: Self = Self { arm: None, frame: None };

    /// A topic of an arm.
    pub const fn of(arm: ArmId) -> Self {
        Self { arm: Some(arm), frame: None }
    }

    /// The frame of an arm's base.
    fn base(self, arm: ArmId) -> &'static str {
        self.frame.unwrap_or(base_frame(arm))
    }

    fn arm(self) -> Result<ArmId, ConvertError> {
        self.arm.ok_or_else(|| ConvertError::new("topic", Problem::NoArm))
    }
}

/// A message that did not become a value: which field, what it held, what was expected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConvertError {
    /// Path of the field in the message, e.g. `hand_eyes[1].version`.
    pub field: Cow<'static, str>,
    /// What was wrong with it.
    pub problem: Problem,
}

impl ConvertError {
    /// Of a field.
    pub fn new(field: impl Into<Cow<'static, str>>, problem: Problem) -> Self {
        Self { field: field.into(), problem }
    }

    /// The same error, seen from the message that holds `parent`.
    fn within(self, parent: &str) -> Self {
        Self { field: format!("{parent}.{}", self.field).into(), problem: self.problem }
    }
}

/// What was wrong with a field.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    /// The domain type refused it.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// Stamp zero, negative, or with a fraction of a second or more.
    #[error("stamp {sec}.{nanosec:09} is not valid (0 means invalid)")]
    Stamp {
        /// Seconds.
        sec: i32,
        /// Nanoseconds.
        nanosec: u32,
    },
    /// Another text than expected.
    #[error("{got:?}, expected {expected:?}")]
    Text {
        /// What came (cut to 64 bytes).
        got: String,
        /// What had to come.
        expected: String,
    },
    /// A number no constant of the .msg file has.
    #[error("{got} is not one of the {known} known values")]
    Unknown {
        /// What came.
        got: u64,
        /// How many values are known.
        known: usize,
    },
    /// More elements than the bound of the .msg file.
    #[error("{got} elements, at most {max} expected")]
    TooLong {
        /// How many came.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// A quaternion that is no rotation.
    #[error("quaternion of norm {norm}, expected 1")]
    Quaternion {
        /// Its norm.
        norm: f64,
    },
    /// A joint topic outside any arm's namespace.
    #[error("lies in no arm's namespace, expected PSM1, PSM2 or ECM")]
    NoArm,
    /// The digest sent is not the digest of the motion sent with it.
    #[error("digest {got}, but the motion's digest is {computed}")]
    Digest {
        /// What came.
        got: proctor_types::Digest,
        /// Computed from the message.
        computed: proctor_types::Digest,
    },
    /// The bytes were not this message.
    #[error(transparent)]
    Cdr(#[from] crate::cdr::CdrFault),
}
