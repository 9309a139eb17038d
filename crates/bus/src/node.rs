//! What an executor drives.

use proctor_types::Stamp;
use std::time::Duration;

/// How soon a node must run when the machine is short of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Short work whose lateness a watchdog takes for silence: arms, safety, the surgeon's hold.
    Prompt,
    /// Long work that may wait its turn: pictures and what is made of them.
    Bulk,
}

/// A thin shell around clock-free logic. Two executors drive the same shells: threads (a thread per node, wall clock)
/// and lockstep (one thread, simulated clock, fixed order).
pub trait Node: Send {
    /// Name in logs, verdicts and the ROS graph.
    fn name(&self) -> &'static str;

    /// How often [`Node::poll`] wants to be called.
    fn period(&self) -> Duration;

    /// How soon it must run when the machine is short of time.
    fn urgency(&self) -> Urgency {
        Urgency::Bulk
    }

    /// Whether it may stop being polled now. One that must not be stopped in the middle of something says so.
    fn may_pause(&self) -> bool {
        true
    }

    /// Takes what arrived, steps the logic at `now`, publishes. Never blocks, never reads a clock.
    fn poll(&mut self, now: Stamp);
}
