//! The router between the machines of a network: it lets in who has a certificate, and lets each say and hear what its rules allow.
//!
//! A router without such rules would pass on everybody's commands, so one that lacks them does not start.

use crate::BusError;
use serde_json::Value;
use std::path::Path;
use zenoh::{Config, Session, Wait};

/// A running router; ends when dropped.
#[derive(Debug)]
pub struct Router {
    session: Session,
}

/// What a router's file must hold, in Zenoh's words, and why.
const REQUIRED: [(&str, &str, &str); 5] = [
    ("mode", "\"router\"", "it is no router otherwise"),
    ("access_control/enabled", "true", "everybody could publish everything"),
    ("access_control/default_permission", "\"deny\"", "what no rule names would be allowed"),
    ("transport/link/tls/enable_mtls", "true", "who connects would need no certificate"),
    ("scouting/multicast/enabled", "false", "it would look for others on its own"),
];

impl Router {
    /// Starts a router as its file says, if the file keeps strangers out.
    pub fn open(file: &Path) -> Result<Self, BusError> {
        let config = check_router(file)?;
        let failed =
            |e: zenoh::Error| BusError::Middleware { what: "opening the router".into(), reason: e.to_string() };
        Ok(Self { session: zenoh::open(config).wait().map_err(failed)? })
    }

    /// How it can be told from other routers.
    pub fn id(&self) -> String {
        self.session.zid().to_string()
    }
}

/// Reads a router's file and refuses one that lets strangers in or says nothing about who may say what.
pub fn check_router(file: &Path) -> Result<Config, BusError> {
    let config = read(file)?;
    for (key, wanted, why) in REQUIRED {
        let value = config.get_json(key).unwrap_or_else(|_| "nothing".into());
        if value != wanted {
            return Err(refused(file, format!("{key} is {value}, expected {wanted}: {why}")));
        }
    }
    sound(file, &config, LISTEN)?;
    if let Some(open) = endpoints(&config, LISTEN).iter().find(|e| !e.starts_with("quic/")) {
        let reason = format!("{LISTEN} names {open}, expected quic/ADDRESS:PORT: it would be open to everybody");
        return Err(refused(file, reason));
    }
    Ok(config)
}

const LISTEN: &str = "listen/endpoints";

/// Zenoh's links of TLS over TCP read and write one connection from two threads at once (docs/adr/0011).
const UNSOUND: &str = "tls/";

/// Refuses a session's file whose links cannot be relied on.
pub(crate) fn check_session(file: &Path) -> Result<(), BusError> {
    sound(file, &read(file)?, "connect/endpoints")
}

fn sound(file: &Path, config: &Config, key: &str) -> Result<(), BusError> {
    let Some(unsound) = endpoints(config, key).into_iter().find(|e| e.starts_with(UNSOUND)) else { return Ok(()) };
    let reason = format!(
        "{key} names {unsound}, expected quic/{}, which has TLS in it: Zenoh's tls links lose and mix up messages",
        unsound.trim_start_matches(UNSOUND)
    );
    Err(refused(file, reason))
}

fn read(file: &Path) -> Result<Config, BusError> {
    let unreadable =
        |e: zenoh::Error| BusError::Middleware { what: format!("reading {}", file.display()), reason: e.to_string() };
    Config::from_file(file).map_err(unreadable)
}

fn refused(file: &Path, reason: String) -> BusError {
    BusError::Middleware { what: format!("checking {}", file.display()), reason }
}

fn endpoints(config: &Config, key: &str) -> Vec<String> {
    let value: Value = config.get_json(key).ok().and_then(|v| serde_json::from_str(&v).ok()).unwrap_or_default();
    texts(&value).into_iter().map(str::to_owned).collect()
}

/// Every text in a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        Value::Object(all) => all.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
        mode: "router",
        listen: { endpoints: ["quic/0.0.0.0:7447"] },
        scouting: { multicast: { enabled: false } },
        transport: { link: { tls: { enable_mtls: true } } },
        access_control: {
            enabled: true, default_permission: "deny",
            rules: [{ id: "r", permission: "allow", messages: ["put"], key_exprs: ["0/clock/**"] }],
            subjects: [{ id: "s", cert_common_names: ["robot"] }],
            policies: [{ rules: ["r"], subjects: ["s"] }],
        },
    }"#;

    fn checked(text: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("router.json5");
        std::fs::write(&file, text).unwrap();
        check_router(&file).map(|_| ()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_router_that_lets_strangers_in_is_refused_and_says_why() {
        assert_eq!(checked(GOOD), Ok(()));
        let without = [
            (r#"mode: "router""#, r#"mode: "peer""#, "mode is \"peer\""),
            ("enabled: true, default_permission", "enabled: false, default_permission", "everybody could publish"),
            (r#""deny""#, r#""allow""#, "default_permission is \"allow\""),
            ("enable_mtls: true", "enable_mtls: false", "no certificate"),
            ("quic/0.0.0.0:7447", "tcp/0.0.0.0:7447", "listen/endpoints names tcp/0.0.0.0:7447"),
            ("quic/0.0.0.0:7447", "tls/0.0.0.0:7447", "expected quic/0.0.0.0:7447"),
            ("enabled: false } }", "enabled: true } }", "scouting/multicast/enabled is true"),
        ];
        for (good, bad, said) in without {
            let error = checked(&GOOD.replacen(good, bad, 1)).unwrap_err();
            assert!(error.contains(said) && error.contains("router.json5"), "{bad}: {error}");
        }
        assert!(checked("{ mode: ").unwrap_err().contains("reading"));
        assert!(check_router(Path::new("/no/such/file.json5")).is_err());
    }

    #[test]
    fn a_session_over_zenohs_tls_links_is_refused_and_says_what_to_use() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("robot.json5");
        let checked = |endpoint: &str| {
            std::fs::write(&file, format!(r#"{{ mode: "client", connect: {{ endpoints: ["{endpoint}"] }} }}"#))
                .unwrap();
            check_session(&file).map_err(|e| e.to_string())
        };
        assert_eq!(checked("quic/router:7447"), Ok(()));
        let error = checked("tls/router:7447").unwrap_err();
        assert!(error.contains("robot.json5") && error.contains("expected quic/router:7447"), "{error}");
    }

    #[test]
    fn what_is_left_out_is_not_taken_for_granted() {
        let error = checked(r#"{ mode: "router" }"#).unwrap_err();
        assert!(error.contains("access_control/enabled is false"), "{error}");
    }
}
