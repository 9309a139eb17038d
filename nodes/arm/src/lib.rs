//! The arms and the endoscope of a Gazebo world as a CRTK robot.
//!
//! - [`WorldArm`]: one arm's logic: our controller steers, Gazebo's joints follow and are measured. No clock, no middleware.
//! - [`ArmsNode`], [`EndoscopeNode`]: the shells between Gazebo's topics and the bus. They make the simulated time (`/clock`), and so run on the
//!   machine's; every stamp they write is Gazebo's. What is wrong with arms, pictures and stamps on request is the built-in simulator's
//!   [`Faults`], [`SharedFaults`] between whoever asks for it and the shells.
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
use proctor_sim::Faults;
use proctor_types::InvalidValue;
use std::sync::{Arc, Mutex, PoisonError};

/// What is wrong now, on request; nothing at first.
#[derive(Debug, Clone, Default)]
pub struct SharedFaults(Arc<Mutex<Faults>>);

impl SharedFaults {
    /// This is wrong from now on, and nothing else.
    pub fn inject(&self, faults: Faults) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// What is wrong.
    pub fn now(&self) -> Faults {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
