//! The arms and the endoscope of a Gazebo world as a CRTK robot.
//!
//! - [`WorldArm`]: one arm's logic: our controller steers, Gazebo's joints follow and are measured. No clock, no middleware.
//! - [`ArmsNode`], [`EndoscopeNode`]: the shells between Gazebo's topics and the bus. They make the simulated time (`/clock`), and so run on the
//!   machine's; every stamp they write is Gazebo's.
//!
//! Invariants: nothing is said of an arm that does not yet stand where operations begin; an arm whose joints fall silent or do not follow goes to
//! FAULT; numbers of Gazebo's that are no numbers, and joints that are missing, are refused and counted.

mod arm;
mod endoscope;
mod node;
mod sample;

pub use arm::{Following, WorldArm};
pub use endoscope::EndoscopeNode;
pub use node::{ArmsNode, ArmsParams};
pub use sample::{Sample, SampleError, stamp};

use proctor_bus::BusError;
use proctor_gazebo::GazeboError;
use proctor_gz::GzError;
use proctor_kinematics::KinematicsError;
use proctor_types::InvalidValue;

/// What can be wrong when a shell starts.
#[derive(Debug, thiserror::Error)]
pub enum ArmNodeError {
    /// The bus refused.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Gazebo's transport refused.
    #[error(transparent)]
    Gz(#[from] GzError),
    /// The world is not as expected.
    #[error(transparent)]
    World(#[from] GazeboError),
    /// An arm's kinematics.
    #[error(transparent)]
    Kinematics(#[from] KinematicsError),
    /// A parameter is outside its range.
    #[error(transparent)]
    Value(#[from] InvalidValue),
}
