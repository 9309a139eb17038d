//! Shared vocabulary of Proctor: time, frames, joints, pictures, segmentation, scene, authority and verdicts.
//!
//! Every value here is *parsed*: if you hold a [`Joints`], it is finite; if you hold a [`Stamp`], it is not zero.
//! Units are SI and radians, frames follow REP-103/105, transforms are named `to_from_from` (`world_from_tip`).
//! This crate knows no middleware, no clock, no file and no node.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod anatomy;
pub mod arm;
pub mod authority;
pub mod command;
pub mod crtk;
pub mod diagnostics;
pub mod findings;
pub mod frames;
pub mod image;
pub mod log;
pub mod safety;
pub mod scene;
pub mod segmentation;
pub mod time;
pub mod trajectory;
pub mod transforms;

pub use anatomy::Class;
pub use arm::{ArmId, ArmState, Jaw, JointCommand, Joints, MAX_JOINTS, OperatingState};
pub use authority::{
    Boot, Decision, DecisionKind, Digest, Evidence, OperatorId, OperatorRequest, PlannedWith, Presence, Proposal,
    ProposalId, RequestKind, Role, Seal, Sealed, SessionId, Skill, SkillRequest, Withdrawal,
};
pub use command::{CommandSeal, ToArm};
pub use crtk::{ArmForce, ArmJoints, ArmPose, ArmStatus, StateCommand, StateRequest};
pub use diagnostics::{Diagnosis, Diagnostics, Health};
pub use findings::{Findings, Found, FoundBox, FoundPoint, Scored};
pub use frames::{Base, Camera, Frame, Pose, Tip, World};
pub use image::{CameraCalibration, CameraImage, CameraModel, CameraSide, Image, StereoFrame, StereoRig};
pub use log::{LogLevel, LogRecord};
pub use safety::{Constraint, Outcome, SafetyMode, SafetyState, SceneFault, Verdict, ZoneLabel, ZonesState};
pub use scene::{
    Alignment, Clearance, Finding, HandEye, InstrumentEstimate, Scene, SurfaceCloud, SurfacePoint, TimeOffset, Timing,
};
pub use segmentation::{ImageQuality, QualityVerdict, Segmentation, ToolKeypoint};
pub use time::Stamp;
pub use trajectory::{Trajectory, TrajectoryPoint};
pub use transforms::{NamedJoints, Transform, Transforms};

/// What was wrong with a value that could not become a domain type, with the value itself.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidValue {
    /// A number was NaN or infinite.
    #[error("{what} must be finite, got {value}")]
    NotFinite {
        /// Which quantity.
        what: &'static str,
        /// The offending number.
        value: f64,
    },
    /// A sequence had another length than its consumer needs.
    #[error("{what} must have {expected} elements, got {got}")]
    Length {
        /// Which quantity.
        what: &'static str,
        /// The length that was needed.
        expected: usize,
        /// The length that came.
        got: usize,
    },
    /// A number was outside its closed range.
    #[error("{what} must lie in [{min}, {max}], got {value}")]
    Range {
        /// Which quantity.
        what: &'static str,
        /// The offending number.
        value: f64,
        /// Smallest allowed value.
        min: f64,
        /// Largest allowed value.
        max: f64,
    },
    /// A text was none of the known names.
    #[error("{what} must be one of {expected}, got {got:?}")]
    Name {
        /// Which quantity.
        what: &'static str,
        /// The known names.
        expected: &'static str,
        /// The text that came.
        got: String,
    },
    /// A time stamp was zero, which CRTK defines as invalid, or negative.
    #[error("{what} has no valid stamp (0 means invalid in CRTK)")]
    Stamp {
        /// Which quantity.
        what: &'static str,
    },
}

/// `value` if it is finite, else [`InvalidValue::NotFinite`] naming `what`.
pub fn finite(what: &'static str, value: f64) -> Result<f64, InvalidValue> {
    if value.is_finite() { Ok(value) } else { Err(InvalidValue::NotFinite { what, value }) }
}
