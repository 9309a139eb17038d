//! What every arm that Proctor drives itself has in common: the built-in simulator's and Gazebo's.
//!
//! - [`PlantArm`]: operating state machine, servo loops and CRTK command handling of one arm, stepped at 1 kHz. No clock, no middleware.
//! - [`ArmPorts`]: the same arm's topics on the bus; whose commands it takes ([`Commander`]).

mod arm;
mod operating;
mod ports;
pub mod seconds;
mod servo;

pub use arm::{ArmConfig, Command, PlantArm, Warning, Warnings};
pub use operating::{Machine, Refusal};
pub use ports::{ArmPorts, Commander, Due, Report};
pub use servo::Servo;

use std::time::Duration;

/// A controller's step: 1 kHz.
pub const TICK: Duration = Duration::from_millis(1);
/// [`TICK`] in seconds.
pub const TICK_S: f64 = 1e-3;
