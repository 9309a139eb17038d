//! The safety node: the only writer of arm commands.
//!
//! **Research software, not a medical device.** `SAFETY.md` says what is not covered, first.
//!
//! [`SafetyCore::step`] is the whole logic, 1000 times a second: no clock, no I/O, no allocation, no lock, no panic. Inside:
//! - [`machine`]: the mode, a pure function; boots DISABLED, e-stop latches, one operator holds authority;
//! - [`authority`]: proposals, decisions, presence; the only place that makes an [`Approved`];
//! - [`sessions`]: which logins have spoken, and how far each has counted;
//! - [`plan`], `player`: an approved motion is played here, on the approved path, slowed but never bent, only while held;
//! - [`filter`]: a tick is taken only if the stop after it keeps every constraint; otherwise the arm brakes;
//! - `smooth`: what is sent is a short mean of what the filter decided, which bounds the jerk;
//! - `bend`: proposes to the filter how teleoperation gets past what bars its straight way;
//! - [`gate`]: other code, plain arithmetic, refuses what breaks a limit; the only place that makes a [`Cleared`];
//! - [`verdicts`]: every limit and refusal, with constraint, value and limit.
//!
//! [`SafetyNode`] is the shell on the bus (or, in shadow mode, the same core without hands), [`realtime`] the thread for robots. What an operator says reaches the core as a
//! `proctor_seal::Verified` or not at all; an e-stop needs no proof.
//!
//! Authority cannot be forged:
//! ```compile_fail
//! fn forge(q: proctor_safety::SetPoint) -> proctor_safety::Cleared<proctor_safety::SetPoint> {
//!     proctor_safety::Cleared(q)
//! }
//! ```
//! ```compile_fail
//! fn duplicate(a: &proctor_safety::Approved) -> proctor_safety::Approved {
//!     a.clone()
//! }
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

// What the tests in tests/support say; the core's own tests use it too.
#[cfg(test)]
extern crate self as proctor_safety;

mod arms;
pub mod authority;
mod bend;
mod body;
mod braking;
mod core;
mod dofs;
mod error;
pub mod filter;
pub mod gate;
mod gate_shapes;
mod inputs;
pub mod machine;
mod node;
mod params;
pub mod plan;
mod player;
pub mod realtime;
mod remote_centre;
mod report;
mod rezoning;
mod scalar;
mod serial;
pub mod sessions;
mod smooth;
mod surface;
mod timing;
mod touch;
mod understudy;
pub mod verdicts;
mod view;
mod zones;

pub use authority::Approved;
pub use bend::Wish;
pub use core::{PERIOD, SafetyCore};
pub use dofs::PerArm;
pub use error::SafetyError;
pub use filter::Filter;
pub use gate::{ArmPort, Cleared, Gate, SetPoint};
pub use inputs::{Event, Events, MAX_EVENTS, Output, Spent};
pub use node::{Intent, SafetyNode};
pub use params::{
    Approval, ClassPolicy, Classes, Clearances, DEFAULT_PARAMS, DEFAULT_ZONES, ForceLimits, Motion, Narrowed,
    SafetyParams, Touch, View, Watchdogs,
};
pub use plan::{Plan, Planner};
pub use report::Margins;
pub use surface::{LiveScene, Placement, Surface};
pub use timing::{Timed, Timing};
pub use verdicts::{Finding, MAX_VERDICTS};
pub use zones::{Keepout, LiveZones, MAX_ZONES, Rotation, Zone, ZoneShape, mesh};
