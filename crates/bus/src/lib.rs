//! The only crate that names a middleware: typed publishers and subscribers over shared memory or ROS 2 (hiroz, r2r).
//!
//! - [`Bus`]: `Bus::memory()` (one process, deterministic, messages shared, nothing serialised), `Bus::hiroz(..)`
//!   (ROS 2 over Zenoh, on the wire with rmw_zenoh; needs no ROS) or, with the feature `r2r`, `Bus::r2r(..)` (a sourced
//!   ROS 2 with its own RMW).
//! - [`graph`]: the closed table of topics: name, type, quality of service, rate, writer, readers.
//! - [`ros_args`]: names, remappings and parameters as ROS's command line says them.
//! - [`Names`]: what topics are called on a robot that calls them otherwise.
//! - [`lifecycle`]: the states of a managed node, and their services.
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
pub mod lifecycle;
pub mod names;
mod node;
pub mod parameters;
mod queue;
pub mod ros_args;
mod router;
mod stereo;
mod wire_hiroz;
#[cfg(feature = "r2r")]
mod wire_r2r;

pub use arm::{ArmPublisher, ArmSubscriber};
pub use bus::{Announced, Bus, BusError, Publisher, RawMessage, RawPublisher, RawSubscriber, Subscriber};
pub use config::{HirozConfig, Mode, R2rConfig};
pub use graph::{Qos, Topic};
pub use names::Names;
pub use node::{Node, Urgency};
pub use parameters::{Parameter, ParameterValue, Parameters, Settable};
pub use proctor_msgs::{ConvertError, Wire};
pub use ros_args::RosArgs;
pub use router::{Router, check_router};
pub use stereo::StereoSubscriber;
