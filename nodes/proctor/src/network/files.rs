//! What stands in the files: who may say and hear what follows from the closed table of topics, so it cannot drift from it.
//!
//! Machines are told apart by the common name of their certificate. What no rule allows is denied, both ways: a machine neither says nor
//! hears what its nodes have no business with, and one without a certificate does not get as far as being asked.

use proctor_bus::graph::{self, Topic};
use serde_json::{Value, json};

/// A machine and the nodes that run on it. `sim` stands for whatever drives the arms and the endoscope.
struct Machine {
    name: &'static str,
    nodes: &'static [&'static str],
    what: &'static str,
}

const MACHINES: [Machine; 3] = [
    Machine {
        name: "robot",
        nodes: &["sim", "safety"],
        what: "The robot's cart: arms, endoscope and the safety node.",
    },
    Machine { name: "gpu", nodes: &["perception", "fusion", "autonomy"], what: "The GPU box: sees, fuses, suggests." },
    Machine {
        name: "console",
        nodes: &["console", "teleop", "recorder"],
        what: "The surgeon's console: decides, holds, teleoperates, records.",
    },
];

/// What differs from network to network.
pub(super) struct Plan<'a> {
    /// Host and port of the router.
    pub router: &'a str,
    /// Address and port that it listens on.
    pub listen: &'a str,
    /// Folder of the certificates.
    pub certificates: &'a str,
    /// ROS domain.
    pub domain: usize,
}

impl Machine {
    fn writes(&self, topic: &Topic) -> bool {
        topic.writer.split(", ").any(|writer| self.nodes.contains(&writer))
    }

    fn reads(&self, topic: &Topic) -> bool {
        self.nodes.contains(&"recorder") || topic.readers.iter().any(|reader| self.nodes.contains(reader))
    }
}

impl Plan<'_> {
    /// Name and text of every file.
    pub fn files(&self) -> Vec<(String, String)> {
        let mut files = vec![self.file("router", "The router, wherever it runs.", &self.router_file())];
        files.extend(MACHINES.iter().map(|m| self.file(m.name, m.what, &self.session_file(m.name))));
        files
    }

    fn file(&self, name: &str, what: &str, value: &Value) -> (String, String) {
        let head = format!(
            "// {what}\n// Made by `proctor network` for ROS domain {}; make it anew rather than change it (docs/deployment.md).\n",
            self.domain
        );
        (format!("{name}.json5"), format!("{head}{value:#}\n"))
    }

    fn certificate(&self, name: &str) -> String {
        format!("{}/{name}", self.certificates)
    }

    fn session_file(&self, machine: &str) -> Value {
        json!({
            "mode": "client",
            "connect": { "endpoints": [format!("quic/{}", self.router)], "timeout_ms": 10_000, "exit_on_failure": true },
            "scouting": { "multicast": { "enabled": false } },
            // ROS's latched topics need stamps.
            "timestamping": { "enabled": true },
            "transport": { "link": {
                "tls": {
                    "root_ca_certificate": self.certificate("ca.pem"),
                    "enable_mtls": true,
                    "connect_certificate": self.certificate(&format!("{machine}.pem")),
                    "connect_private_key": self.certificate(&format!("{machine}.key")),
                    "verify_name_on_connect": true,
                    "close_link_on_expiration": true,
                },
                "tx": lively(),
            } },
        })
    }

    fn router_file(&self) -> Value {
        let names = MACHINES.iter().map(|m| m.name);
        let rules: Vec<Value> = MACHINES.iter().flat_map(|m| self.rules(m)).chain([self.graph_rule()]).collect();
        let subjects: Vec<Value> =
            names.clone().map(|name| json!({ "id": name, "cert_common_names": [name] })).collect();
        let policies: Vec<Value> = names
            .map(|name| json!({ "subjects": [name], "rules": KINDS.map(|k| format!("{name} {}", k.name)).into_iter().chain(["graph".to_owned()]).collect::<Vec<_>>() }))
            .collect();
        json!({
            "mode": "router",
            "listen": { "endpoints": [format!("quic/{}", self.listen)] },
            "scouting": { "multicast": { "enabled": false }, "gossip": { "enabled": false } },
            "timestamping": { "enabled": true },
            "transport": { "link": {
                "tls": {
                    "root_ca_certificate": self.certificate("ca.pem"),
                    "enable_mtls": true,
                    "listen_certificate": self.certificate("router.pem"),
                    "listen_private_key": self.certificate("router.key"),
                    "close_link_on_expiration": true,
                },
                "tx": lively(),
            } },
            // A machine whose line stalls loses messages, and no other machine waits for it, whatever their writers asked for.
            "qos": { "network": [{
                "id": "nobody waits",
                "flows": ["egress"],
                "messages": ["put"],
                "overwrite": { "congestion_control": "drop" },
            }] },
            "access_control": {
                "enabled": true,
                "default_permission": "deny",
                "rules": rules,
                "subjects": subjects,
                "policies": policies,
            },
        })
    }

    /// What a machine may do with the topics that its nodes write and read.
    fn rules(&self, machine: &Machine) -> impl Iterator<Item = Value> {
        let of = |mine: &dyn Fn(&Topic) -> bool| -> Vec<String> {
            graph::all().iter().filter(|t| mine(t)).flat_map(|t| self.keys(t)).collect()
        };
        let (written, read) = (of(&|t| machine.writes(t)), of(&|t| machine.reads(t)));
        KINDS.into_iter().map(move |kind| {
            json!({
                "id": format!("{} {}", machine.name, kind.name),
                "permission": "allow",
                "flows": [kind.flow],
                "messages": kind.messages,
                "key_exprs": if kind.of_written { &written } else { &read },
            })
        })
    }

    /// Who is there, as ROS's tools ask.
    fn graph_rule(&self) -> Value {
        let mut keys = vec![format!("@ros2_lv/{}/**", self.domain)];
        keys.extend(graph::all().iter().filter_map(|t| self.keys(t).nth(1)));
        json!({
            "id": "graph",
            "permission": "allow",
            "flows": ["ingress", "egress"],
            "messages": ["liveliness_token", "declare_liveliness_subscriber", "liveliness_query"],
            "key_exprs": keys,
        })
    }

    /// A topic as rmw_zenoh names it: domain, name, type, hash; and what a late reader asks a latched one.
    fn keys(&self, topic: &Topic) -> impl Iterator<Item = String> {
        let key = format!("{}{}/*/*", self.domain, topic.name);
        let latched = format!("{key}/@adv/**");
        [key, latched].into_iter()
    }
}

/// A silent link is given up after `lease`, ms, and spoken on so often in that time.
fn lively() -> Value {
    json!({ "lease": 2000, "keep_alive": 4 })
}

/// A kind of rule: messages in a direction, seen from the router, on the topics that a machine writes or reads.
struct Kind {
    name: &'static str,
    flow: &'static str,
    messages: &'static [&'static str],
    of_written: bool,
}

const SAID: &[&str] = &["put", "reply", "declare_queryable"];
const ASKED: &[&str] = &["declare_subscriber", "query"];

const KINDS: [Kind; 4] = [
    Kind { name: "says", flow: "ingress", messages: SAID, of_written: true },
    Kind { name: "is asked", flow: "egress", messages: ASKED, of_written: true },
    Kind { name: "asks", flow: "ingress", messages: ASKED, of_written: false },
    Kind { name: "hears", flow: "egress", messages: SAID, of_written: false },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, path::Path};

    const STANDARD: Plan =
        Plan { router: "router:7447", listen: "0.0.0.0:7447", certificates: "/etc/proctor/certificates", domain: 0 };

    /// Machines that may say something on a topic, by the router's file.
    fn may_say(key: &str) -> Vec<String> {
        let file = STANDARD.router_file();
        let rules = file["access_control"]["rules"].as_array().unwrap();
        let says = |rule: &&Value| {
            rule["key_exprs"].as_array().unwrap().iter().any(|k| k == key)
                && rule["messages"].as_array().unwrap().iter().any(|m| m == "put")
                && rule["flows"].as_array().unwrap().iter().any(|f| f == "ingress")
        };
        rules.iter().filter(says).map(|r| r["id"].as_str().unwrap().split(' ').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn commands_are_the_robots_and_decisions_the_consoles_alone() {
        for key in
            ["0/PSM1/servo_jp/*/*", "0/PSM2/jaw/servo_jp/*/*", "0/ECM/state_command/*/*", "0/proctor/safety_state/*/*"]
        {
            assert_eq!(may_say(key), ["robot"], "{key}");
        }
        for topic in ["decision", "presence", "request", "e_stop"] {
            assert_eq!(may_say(&format!("0/proctor/{topic}/*/*")), ["console"], "{topic}");
        }
        assert_eq!(may_say("0/proctor/scene/*/*"), ["gpu"]);
        assert_eq!(may_say("0/teleop/PSM1/servo_jp/*/*"), ["console"]);
        assert_eq!(may_say("0/diagnostics/*/*"), ["robot", "gpu", "console"]);
        assert!(may_say("0/anything/*/*").is_empty() && may_say("**").is_empty());
    }

    #[test]
    fn every_topic_has_a_machine_that_says_it_and_every_node_a_machine() {
        let nodes: Vec<_> = MACHINES.iter().flat_map(|m| m.nodes).collect();
        for topic in graph::all() {
            assert!(!may_say(&format!("0{}/*/*", topic.name)).is_empty(), "{}", topic.name);
            let named = topic.writer.split(", ").chain(topic.readers.iter().copied());
            named.for_each(|node| assert!(nodes.contains(&&node), "{node} runs nowhere"));
        }
    }

    #[test]
    fn the_router_takes_its_own_file_and_the_committed_files_are_these() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../launch/network");
        for (name, text) in STANDARD.files() {
            let committed = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
            assert_eq!(committed, text, "launch/network/{name}: make it anew with `proctor network`");
        }
        proctor_bus::check_router(&folder.join("router.json5")).unwrap();
    }

    #[test]
    fn each_machine_shows_its_own_certificate() {
        let files: BTreeMap<_, _> = STANDARD.files().into_iter().collect();
        for machine in MACHINES {
            let text = &files[&format!("{}.json5", machine.name)];
            assert!(text.contains(&format!("/etc/proctor/certificates/{}.key", machine.name)), "{text}");
            let others = MACHINES.iter().filter(|m| m.name != machine.name);
            others.for_each(|other| assert!(!text.contains(&format!("{}.key", other.name))));
        }
    }
}
