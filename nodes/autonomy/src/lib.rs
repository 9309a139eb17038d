//! Autonomy: skills that propose whole motions, and take them back when the scene moves away from them.
//!
//! [`Autonomy::step`] is a function of its inputs: no clock, no I/O, bounded work, bit-identical on repeat. It never moves anything: it makes
//! [`Proposal`](proctor_types::Proposal)s, and safety plays the approved one (docs/adr/0003).
//!
//! - A skill is a [`SkillPlanner`]; `skills` holds the library, `plan` what skills share: Cartesian path, joint path through inverse
//!   kinematics, time law, clearance.
//! - At most one proposal is out. It is offered only in SUPERVISED, on a fresh and trustworthy scene, with every arm at rest.
//! - Whatever speaks against a proposal is a value, [`Declined`] or [`WithdrawReason`]; nothing that can come in a message panics.

mod autonomy;
mod context;
mod declined;
mod live;
mod node;
mod params;
mod plan;
mod robot;
mod skill;
mod skills;
mod standing;

pub use autonomy::{Autonomy, Note, Output};
pub use context::{Context, Inputs};
pub use declined::{Declined, Phase, WithdrawReason};
pub use node::AutonomyNode;
pub use params::{
    AutonomyParams, CentreParams, ClearanceParams, GateParams, MotionParams, PictureParams, RetractParams,
};
pub use plan::{
    JointPath, PathPoint,
    clearance::{Keep, Nearest, PROTECTED, Pass, Shortfall, Sweep, Tissue, keep},
    time_law::{Segment, Start, Timed, parameterise, profile},
};
pub use robot::{Body, Robot, Tool};
pub use skill::{Drift, Plan, SkillPlanner, Stage};
pub use standing::{Ledger, Standing};

/// Why the node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AutonomyError {
    /// A parameter is outside its range.
    #[error("parameter {name} must lie in [{min}, {max}], got {value}")]
    Parameter {
        /// Which parameter.
        name: &'static str,
        /// The value that came.
        value: f64,
        /// Smallest allowed value.
        min: f64,
        /// Largest allowed value.
        max: f64,
    },
    /// An instrument or the cell cannot be modelled.
    #[error(transparent)]
    Kinematics(#[from] proctor_kinematics::KinematicsError),
    /// A topic cannot be read or written.
    #[error(transparent)]
    Bus(#[from] proctor_bus::BusError),
}
