//! Gazebo's transport (gz-transport 11 to 14, Fortress to Ionic) without Gazebo's library: topics and services of a simulation, from Rust alone.
//!
//! - [`Client`]: subscribe, advertise, call services.
//! - [`messages`]: the fields of Gazebo's messages that we need.
//! - [`Partition`]: which simulation; others are invisible.
//!
//! On the wire: processes find each other by UDP multicast ([`discovery`]) and exchange messages over ZeroMQ's protocol ([`zmtp`]), both of which are
//! small enough to be read here in full. That keeps a C++ library out of a process that handles bytes from a network, and gives every buffer a bound.
//!
//! Invariants: bytes from outside are bounded before anything is allocated for them, and can never panic; every queue drops its *oldest* message at
//! its bound, counted; publishing never waits for a reader; every wait has a time limit.

mod client;
pub mod discovery;
pub mod messages;
mod names;
mod queue;
pub mod zmtp;

pub use client::{Advertised, Client, Options, Subscription};
pub use names::{Family, Partition};

use std::time::Duration;

/// What can go wrong between us and a simulation.
#[derive(Debug, thiserror::Error)]
pub enum GzError {
    /// A socket.
    #[error("{what}: {source}")]
    Socket {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A topic, partition or message type that Gazebo would not take.
    #[error("{what} {name:?}: expected 1 to {most} printable characters without spaces, `@` or `~`")]
    Name {
        /// What kind of name.
        what: &'static str,
        /// The name.
        name: String,
        /// Most bytes.
        most: usize,
    },
    /// Nobody offers the service in this partition.
    #[error(
        "service {service}: nobody offers it within {waited:?}; another partition (GZ_PARTITION, IGN_PARTITION) or address (GZ_IP, IGN_IP) is invisible"
    )]
    NoService {
        /// Which.
        service: String,
        /// How long we waited.
        waited: Duration,
    },
    /// The service did not answer.
    #[error("service {service}: no answer within {waited:?}")]
    NoAnswer {
        /// Which.
        service: String,
        /// How long we waited.
        waited: Duration,
    },
    /// The service answered that it failed.
    #[error("service {service}: the server says that it failed")]
    Refused {
        /// Which.
        service: String,
    },
    /// Bytes that are not the message they should be.
    #[error("{what}: not a message of the expected type: {reason}")]
    Message {
        /// What.
        what: String,
        /// Why not.
        reason: String,
    },
}

impl GzError {
    fn socket(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Socket { what, source }
    }
}
