//! What an executor drives.

use proctor_types::Stamp;
use std::time::Duration;

/// A thin shell around clock-free logic. Two executors drive the same shells: threads (a thread per node, wall clock)
/// and lockstep (one thread, simulated clock, fixed order).
pub trait Node: Send {
    /// Name in logs, verdicts and the ROS graph.
    fn name(&self) -> &'static str;

    /// How often [`Node::poll`] wants to be called.
    fn period(&self) -> Duration;

    /// Takes what arrived, steps the logic at `now`, publishes. Never blocks, never reads a clock.
    fn poll(&mut self, now: Stamp);
}
