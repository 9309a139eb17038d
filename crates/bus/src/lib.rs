//! The only crate that names a middleware: typed publishers and subscribers over shared memory or ROS 2 (hiroz).
//!
//! - [`Bus`]: `Bus::memory()` (one process, deterministic, messages shared, nothing serialised) or `Bus::hiroz(..)`
//!   (ROS 2 over Zenoh, on the wire with rmw_zenoh).
//! - [`graph`]: the closed table of topics: name, type, quality of service, rate, writer, readers.
//! - [`Names`]: what topics are called on a robot that calls them otherwise.
//! - [`Node`]: what an executor drives.
//! - [`StereoSubscriber`], [`ArmSubscriber`], [`ArmPublisher`]: several topics that are one value.
//!
//! Invariants: every queue has a bound and drops its *oldest* message at the bound, counted; publishing in memory never
//! waits for a reader; bytes from outside are checked before anything is allocated for them and can never panic.

mod arm;
mod bus;
mod config;
pub mod graph;
mod hub;
pub mod names;
mod node;
mod queue;
mod router;
mod stereo;
mod wire_hiroz;

pub use arm::{ArmPublisher, ArmSubscriber};
pub use bus::{Announced, Bus, BusError, Publisher, RawMessage, RawPublisher, RawSubscriber, Subscriber};
pub use config::{HirozConfig, Mode};
pub use graph::{Qos, Topic};
pub use names::Names;
pub use node::{Node, Urgency};
pub use proctor_msgs::{ConvertError, Wire};
pub use router::{Router, check_router};
pub use stereo::StereoSubscriber;
