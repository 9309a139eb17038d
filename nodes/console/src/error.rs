//! What can go wrong with the console.

use std::net::{IpAddr, SocketAddr};

/// See each variant.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// A parameter is out of its range.
    #[error("console parameter {name} must lie in [{min}, {max}], got {value}")]
    Parameter {
        /// Which.
        name: &'static str,
        /// What it was.
        value: f64,
        /// Smallest allowed value.
        min: f64,
        /// Largest allowed value.
        max: f64,
    },
    /// An instrument is not known.
    #[error(transparent)]
    Kinematics(#[from] proctor_kinematics::KinematicsError),
    /// The bus refused a topic.
    #[error(transparent)]
    Bus(#[from] proctor_bus::BusError),
    /// The address is reachable from other machines.
    #[error(
        "{address} is reachable from other machines; the console speaks plain HTTP: set allow_remote and put TLS in front"
    )]
    NotLoopback {
        /// The address.
        address: IpAddr,
    },
    /// The address cannot be listened on.
    #[error("console cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The server stopped.
    #[error("console server: {0}")]
    Server(#[from] std::io::Error),
}
