//! The one executable that can run every node, the demo and the tools; as a library, the pieces that tests share with it.
//!
//! - [`exec`]: the two executors that drive node shells: a thread per node with the wall clock, or lockstep with a simulated clock.
//! - [`sim_time`]: nodes on the clock of a simulation instead of the machine's.
//! - [`stack`]: which nodes make a whole loop on the built-in simulator, and their parameters.
//! - [`leave`]: Ctrl-C and SIGTERM.
//! - [`live`]: nodes in threads, the real-time safety core, the console's server, as `demo` and `run` need them.
//! - [`logging`]: what the process says in words, and `/rosout`.
//! - [`middleware`]: which bus, and how it is opened; [`overrides`]: parameters as ROS says them, [`declared`]: as it is shown them.
//! - [`settings`]: parameters while the process runs: which may be set when, and how nodes take them.
//! - [`monitor`]: an independent observer that counts, measures latency and looks for violations.
//! - [`profile`]: what a robot's topics, frames and instruments are, from a file.
//! - [`calibrate`], [`conformance`], [`dataset`], [`demo`], [`fuse`], [`gazebo`], [`run`], [`shadow`], [`doctor`]: what the commands of the same name do.

pub mod calibrate;
pub mod conformance;
pub mod dataset;
pub mod declared;
pub mod demo;
pub mod doctor;
pub mod exec;
pub mod faults;
pub mod fuse;
pub mod gazebo;
pub mod leave;
pub mod live;
pub mod logging;
pub mod middleware;
pub mod monitor;
pub mod monitor_node;
pub mod network;
pub mod overrides;
pub mod profile;
pub mod run;
pub mod settings;
pub mod shadow;
pub mod sim_time;
pub mod stack;
