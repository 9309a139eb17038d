//! The arms: state machine, servo loops and CRTK command handling of one arm, stepped at 1 kHz. No clock, no middleware.

mod arm;
mod operating;
mod servo;

pub use arm::{ArmConfig, Command, PlantArm, Warning, Warnings};
pub use operating::{Machine, Refusal};
pub use servo::Servo;

use std::time::Duration;

/// The plant's step: 1 kHz.
pub const TICK: Duration = Duration::from_millis(1);
/// [`TICK`] in seconds.
pub const TICK_S: f64 = 1e-3;
