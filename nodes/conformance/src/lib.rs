//! Conformance: what a live arm says and does, measured against CRTK and against what Proctor's safety relies on.
//!
//! - [`Check`]: every question, with the CRTK name, what is asked and what is expected.
//! - [`Probe`]: the logic, `step(now, heard) -> what to send`; [`script::STEPS`] is what it does, as a table.
//! - [`ProbeNode`]: the same on a bus. [`Report`]: what was found.
//!
//! Invariants: at [`Level::Watch`] no writer exists; only the roll joint is ever told to move, and by little; the probe runs instead of a
//! safety node, never beside one, and stops when it hears of anybody else who commands the arm (docs/crtk-robots.md).

mod check;
mod evidence;
mod node;
mod probe;
mod report;
pub mod script;
mod watch;
mod wire;

pub use check::{Check, Level};
pub use node::ProbeNode;
pub use probe::{Heard, Options, Probe, Say, plan};
pub use report::{Finding, Outcome, Report, Row};
pub use wire::{AsIs, Servo, Word};
