//! How a bus reaches its peers.

use crate::{BusError, Parameters, RosArgs};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Zenoh mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Talks to its peers directly; needs no router.
    #[default]
    Peer,
    /// Talks through a router (rmw_zenoh's `rmw_zenohd`).
    Client,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Client => "client",
        }
    }

    pub(crate) const fn zenoh_name(self) -> &'static str {
        self.name()
    }
}

/// Parameters of a hiroz bus. The defaults talk to nobody outside this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HirozConfig {
    /// ROS domain, 0 to 232; the same on both sides.
    pub domain_id: usize,
    /// Peer, or client of a router.
    pub mode: Mode,
    /// Endpoints to listen on, e.g. `tcp/127.0.0.1:7450`; only loopback unless `allow_network`.
    pub listen: Vec<String>,
    /// Endpoints to connect to, e.g. `tcp/127.0.0.1:7447` (rmw_zenoh's router).
    pub connect: Vec<String>,
    /// Whether `listen` may name addresses other machines can reach. Nothing on such a network is authenticated.
    pub allow_network: bool,
    /// A Zenoh session file instead of mode, listen and connect: how a machine reaches the router of its network, with certificates
    /// (docs/deployment.md).
    pub session: Option<PathBuf>,
    /// Node name in the ROS graph.
    pub node_name: String,
    /// Namespace and remappings.
    #[serde(skip)]
    pub ros: RosArgs,
    /// What `ros2 param` shows.
    #[serde(skip)]
    pub parameters: Parameters,
}

impl Default for HirozConfig {
    fn default() -> Self {
        Self {
            domain_id: 0,
            mode: Mode::Peer,
            listen: vec!["tcp/127.0.0.1:0".to_owned()],
            connect: Vec::new(),
            allow_network: false,
            session: None,
            node_name: "proctor".to_owned(),
            ros: RosArgs::default(),
            parameters: Parameters::default(),
        }
    }
}

impl HirozConfig {
    /// Largest ROS domain.
    pub const MAX_DOMAIN: usize = 232;

    /// Client of a router on this machine.
    pub fn router() -> Self {
        let connect = vec!["tcp/127.0.0.1:7447".to_owned()];
        Self { mode: Mode::Client, listen: Vec::new(), connect, ..Self::default() }
    }

    /// Checks ranges and that nothing listens beyond this machine unless that was asked for.
    pub fn validate(&self) -> Result<(), BusError> {
        if self.domain_id > Self::MAX_DOMAIN {
            let (field, value) = ("domain_id", self.domain_id.to_string());
            return Err(BusError::Config { field, value, expected: "0 to 232" });
        }
        let open = self.listen.iter().find(|e| !self.allow_network && !is_loopback(e));
        if let Some(endpoint) = open {
            let expected = "a loopback address such as tcp/127.0.0.1:7450, or allow_network = true";
            return Err(BusError::Config { field: "listen", value: endpoint.clone(), expected });
        }
        if self.mode == Mode::Client && self.connect.is_empty() {
            return Err(BusError::Config { field: "connect", value: "[]".to_owned(), expected: "a router's endpoint" });
        }
        Ok(())
    }
}

/// Parameters of an r2r bus. Domain, RMW and everything else come from ROS's own environment variables and `--ros-args`.
#[derive(Debug, Clone, PartialEq)]
pub struct R2rConfig {
    /// Node name in the ROS graph, unless `__node` says another.
    pub node_name: String,
    /// How far the RMW looks for peers: the value of [`Self::RANGE`]. DDS authenticates nobody, so somebody must have said it.
    pub discovery_range: Option<String>,
    /// What `ros2 param` shows.
    pub parameters: Parameters,
}

impl R2rConfig {
    /// ROS's environment variable for how far nodes look for each other.
    pub const RANGE: &str = "ROS_AUTOMATIC_DISCOVERY_RANGE";
    const RANGES: [&str; 4] = ["LOCALHOST", "SUBNET", "SYSTEM_DEFAULT", "OFF"];

    /// Of this process's environment.
    pub fn from_environment(node_name: &str, parameters: Parameters) -> Self {
        Self { node_name: node_name.to_owned(), discovery_range: std::env::var(Self::RANGE).ok(), parameters }
    }

    /// Refuses a range that nobody chose: ROS's own default is the whole subnet.
    pub fn validate(&self) -> Result<(), BusError> {
        match &self.discovery_range {
            Some(range) if Self::RANGES.contains(&range.as_str()) => Ok(()),
            other => Err(BusError::Config {
                field: Self::RANGE,
                value: other.clone().unwrap_or_default(),
                expected: "LOCALHOST, or SUBNET if every machine on it may command; nothing there is authenticated",
            }),
        }
    }
}

fn is_loopback(endpoint: &str) -> bool {
    let address = endpoint.split_once('/').map_or("", |(_, a)| a);
    address.starts_with("127.0.0.1:") || address.starts_with("localhost:") || address.starts_with("[::1]:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_sourced_ros_reaches_must_have_been_said() {
        let said = |range: Option<&str>| R2rConfig {
            node_name: "n".to_owned(),
            discovery_range: range.map(str::to_owned),
            parameters: Parameters::default(),
        };
        assert!(["LOCALHOST", "SUBNET", "OFF"].iter().all(|r| said(Some(r)).validate().is_ok()));
        for range in [None, Some(""), Some("localhost")] {
            let refused = said(range).validate();
            assert!(matches!(refused, Err(BusError::Config { field: R2rConfig::RANGE, .. })), "{range:?}");
        }
    }

    #[test]
    fn nothing_listens_beyond_this_machine_unless_asked() {
        let open = |allow_network| HirozConfig {
            listen: vec!["tcp/0.0.0.0:7450".to_owned()],
            allow_network,
            ..HirozConfig::default()
        };
        assert!(matches!(open(false).validate(), Err(BusError::Config { field: "listen", .. })));
        assert!(open(true).validate().is_ok());
        assert!(HirozConfig::default().validate().is_ok() && HirozConfig::router().validate().is_ok());
        assert!(HirozConfig { domain_id: 233, ..HirozConfig::default() }.validate().is_err());
    }
}
