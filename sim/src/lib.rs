//! The built-in simulator: plant, deformable scene, stereo endoscope, faults.
//!
//! [`Simulator`] is the whole cell, a function of its configuration and commands; [`render::Renderer`] pictures a
//! [`simulator::Snapshot`] of it; the nodes put both on the bus.

pub mod dataset;
pub mod faults;
pub mod node;
pub mod render;
pub mod scene;
pub mod simulator;

pub use proctor_controller as plant;
use proctor_controller::seconds;

pub use faults::{Fault, FaultSchedule, Faults, InFlight, ScheduledFault};
pub use simulator::{HandEyeError, JointOffsets, SimConfig, SimError, Simulator, Snapshot};
