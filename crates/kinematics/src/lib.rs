//! Kinematics of the operating cell: forward kinematics, geometric Jacobians, inverse kinematics, limits, link capsules and
//! the layout of the cell, all read from the URDFs in `urdf/` (embedded when this crate is compiled).
//!
//! Conventions: metres and radians; an arm's base is its remote centre of motion (RCM); joints are yaw, pitch, insertion (m), roll and,
//! on a PSM, wrist pitch and wrist yaw. An arm of another form ([`ArmFile`]) has whatever joints its URDF says; its base is the trocar, and
//! its shaft ends at the tip. The dVRK's tool tip (`Tip`) of a PSM lies *on the jaw axis* - the published
//! tables end there - with z distal and x the axis about which the jaws rotate, so `Tip` and the jaw frame are one frame; the end of the
//! closed jaws lies [`Instrument::jaw_length`] along its z. `Tip` of the ECM lies at the end of the scope, z along the view.
//!
//! Nothing here panics, and after construction nothing here allocates (except [`fk_csv`]).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod arm_file;
mod capsule;
mod cell;
mod chain;
mod fk_csv;
mod frame;
mod general;
mod ik;
mod instrument;
mod limits;
mod model;

pub use arm_file::{ArmFile, MOST_TOLERANCE};
pub use capsule::Capsule;
pub use cell::Cell;
pub use chain::{Chain, Jacobian, Links, Outline};
pub use fk_csv::{FkCsvError, fk_csv};
pub use frame::Frame;
pub use general::{Motion, Row};
pub use ik::Ik;
pub use instrument::{Instrument, JawKind};
pub use limits::{JawLimits, JointLimits, LimitViolation};

use proctor_types::InvalidValue;

/// What can be wrong with a model or with values handed to it. Unreachable targets are not errors: see [`Ik`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum KinematicsError {
    /// A joint was NaN or infinite, or there were too many or too few of them.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// An arm's file could not be read.
    #[error("{file}: {reason}")]
    ArmFile {
        /// Which file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No such instrument in `urdf/instruments`, nor such an arm in `urdf/arms`.
    #[error("unknown instrument {name:?}; known: {known}")]
    UnknownInstrument {
        /// The name that came.
        name: String,
        /// The names that exist, separated by commas.
        known: String,
    },
    /// A URDF could not be read.
    #[error("{file}: not a URDF: {reason}")]
    Urdf {
        /// Which file.
        file: String,
        /// What the parser said.
        reason: String,
    },
    /// A URDF lacks something this crate needs.
    #[error("{file}: {what} {name:?} is missing or not of the expected form")]
    Model {
        /// Which file.
        file: String,
        /// Kind of element.
        what: &'static str,
        /// Its name.
        name: String,
    },
}
