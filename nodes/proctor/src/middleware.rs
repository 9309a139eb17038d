//! What carries the messages of `demo` and `run`, and how it is opened.

use crate::exec::schedule;
use clap::ValueEnum;
use proctor_bus::{Bus, BusError, HirozConfig, R2rConfig, Urgency};

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BusKind {
    /// Inside this process.
    Memory,
    /// ROS 2 over Zenoh, without a ROS installation: other programs can listen.
    Hiroz,
    /// The sourced ROS 2 with its own RMW; only in builds with the feature `r2r` (docs/ros2.md).
    R2r,
}

/// Opens a bus. Its threads carry what watchdogs wait for, and inherit their scheduling from the one that opens it.
pub fn open(kind: BusKind, hiroz: HirozConfig) -> anyhow::Result<Bus> {
    let open: Box<dyn FnOnce() -> Result<Bus, BusError> + Send> = match kind {
        BusKind::Memory => return Ok(Bus::memory()),
        BusKind::Hiroz => Box::new(move || Bus::hiroz(&hiroz)),
        BusKind::R2r => {
            let config = R2rConfig::from_environment(&hiroz.node_name, hiroz.parameters);
            // ROS's own setup says SUBNET when nobody said anything.
            if let Some(range @ ("SUBNET" | "SYSTEM_DEFAULT")) = config.discovery_range.as_deref() {
                tracing::warn!(
                    "{}={range}: every machine there may command, nothing is authenticated",
                    R2rConfig::RANGE
                );
            }
            Box::new(move || Bus::r2r(&config))
        }
    };
    let opener = std::thread::spawn(move || {
        schedule(Urgency::Prompt);
        open()
    });
    Ok(opener.join().map_err(|_| anyhow::anyhow!("opening the bus panicked"))??)
}
