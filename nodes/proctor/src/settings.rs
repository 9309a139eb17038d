//! Parameters of a process while it runs: who may change which, when, and how its node learns of it.
//!
//! - While the node is unconfigured any parameter may be set: the next *configure* makes the node with it.
//! - While there is a node, only those that it can take between two polls, as a whole: the middleware's thread puts them down here, the node's own thread picks
//!   them up. A safety core is never adjusted: it must be DISABLED before it can be taken away, and a new one boots DISABLED.

use crate::{
    overrides::Overrides,
    run::{NodeName, override_parameters},
    stack::StackConfig,
};
use proctor_autonomy::AutonomyNode;
use proctor_bus::{Node, ParameterValue, Settable, Urgency};
use proctor_fusion::FusionNode;
use proctor_perception::PerceptionNode;
use proctor_types::Stamp;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What the nodes of a process are made with and run with.
pub struct Settings {
    version: AtomicU64,
    now: Mutex<Now>,
}

struct Now {
    config: StackConfig,
    /// Whether there are nodes.
    made: bool,
}

impl Settings {
    /// Of a process whose nodes are not made yet.
    pub fn new(config: StackConfig) -> Self {
        Self { version: AtomicU64::new(0), now: Mutex::new(Now { config, made: false }) }
    }

    /// What to make nodes with; from now on there are some, until [`Settings::unmake`].
    pub fn make(&self) -> StackConfig {
        let mut now = self.lock();
        now.made = true;
        now.config.clone()
    }

    /// There are no nodes any more.
    pub fn unmake(&self) {
        self.lock().made = false;
    }

    /// Sets parameters of the process' one node, all of them or none.
    pub fn set(&self, node: NodeName, changes: &[(String, ParameterValue)]) -> Result<(), String> {
        let mut now = self.lock();
        let settable = |name: &str| node.declaration().map_or(Settable::Unconfigured, |d| d.settable(name));
        if let Some((name, _)) = changes.iter().find(|(name, _)| now.made && settable(name) != Settable::Running) {
            return Err(format!("{name} can be set {}", Settable::Unconfigured.text()));
        }
        let mut config = now.config.clone();
        override_parameters(node, &mut config, &Overrides::of(changes)).map_err(|e| format!("{e:#}"))?;
        node.validate(&config)?;
        now.config = config;
        self.version.fetch_add(1, Ordering::Release);
        for (name, value) in changes {
            tracing::info!(name, ?value, "parameter set");
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        // A change is put down as a whole, so a panic leaves nothing half done.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What can take parameters between two polls.
pub trait Adjust: Node {
    /// Takes its own, or refuses them and goes on as before.
    fn adjust_to(&mut self, config: &StackConfig) -> Result<(), String>;
}

impl Adjust for PerceptionNode {
    fn adjust_to(&mut self, config: &StackConfig) -> Result<(), String> {
        self.adjust(&config.perception).map_err(|e| e.to_string())
    }
}

impl Adjust for FusionNode {
    fn adjust_to(&mut self, config: &StackConfig) -> Result<(), String> {
        self.adjust(config.fusion.clone()).map_err(|e| e.to_string())
    }
}

impl Adjust for AutonomyNode {
    fn adjust_to(&mut self, config: &StackConfig) -> Result<(), String> {
        self.adjust(config.autonomy.clone()).map_err(|e| e.to_string())
    }
}

/// A node that is polled with what was set before.
pub struct Adjusted<N> {
    node: N,
    settings: Arc<Settings>,
    /// Version of the settings that it runs with.
    seen: Option<u64>,
}

impl<N: Adjust> Adjusted<N> {
    /// A node that was made with what [`Settings::make`] gave, or an older one.
    pub fn new(node: N, settings: &Arc<Settings>) -> Self {
        Self { node, settings: settings.clone(), seen: None }
    }
}

impl<N: Adjust> Node for Adjusted<N> {
    fn name(&self) -> &'static str {
        self.node.name()
    }

    fn period(&self) -> Duration {
        self.node.period()
    }

    fn urgency(&self) -> Urgency {
        self.node.urgency()
    }

    fn may_pause(&self) -> bool {
        self.node.may_pause()
    }

    fn poll(&mut self, now: Stamp) {
        let version = self.settings.version.load(Ordering::Acquire);
        if self.seen.replace(version) != Some(version)
            && let Err(why) = self.node.adjust_to(&self.settings.lock().config)
        {
            tracing::error!(node = self.node.name(), "parameters that were accepted are not taken: {why}");
        }
        self.node.poll(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack;
    use ParameterValue::{Bool, Double, Integer, StringArray};

    fn settings() -> Arc<Settings> {
        Arc::new(Settings::new(StackConfig::simulated(&stack::find_root().unwrap(), 1).unwrap()))
    }

    fn change(name: &str, value: ParameterValue) -> Vec<(String, ParameterValue)> {
        vec![(name.to_owned(), value)]
    }

    #[test]
    fn while_there_is_a_node_only_what_it_can_take_between_two_polls_is_set() {
        let settings = settings();
        let instruments = || {
            change(
                "instruments",
                StringArray(["PROGRASP_FORCEPS_400093".to_owned(), "PROGRASP_FORCEPS_400093".to_owned()].to_vec()),
            )
        };
        settings.set(NodeName::Fusion, &instruments()).unwrap();
        assert_eq!(settings.make().fusion.instruments, ["PROGRASP_FORCEPS_400093"; 2]);
        let refused = settings.set(NodeName::Fusion, &instruments()).unwrap_err();
        assert!(refused.contains("instruments") && refused.contains("unconfigured"), "{refused}");
        settings.set(NodeName::Fusion, &change("gate", Double(5.0))).unwrap();
        assert_eq!(settings.make().fusion.gate, 5.0);
        settings.unmake();
        settings.set(NodeName::Fusion, &instruments()).unwrap();
    }

    #[test]
    fn safetys_are_read_only_while_there_is_a_core_and_held_against_their_ranges_otherwise() {
        let settings = settings();
        let speed = |v| settings.set(NodeName::Safety, &change("motion.tip_speed_supervised", Double(v)));
        speed(0.02).unwrap();
        assert!(speed(5.0).unwrap_err().contains("motion.tip_speed_supervised"));
        let made = settings.make();
        assert_eq!(made.safety.motion.tip_speed_supervised, 0.02);
        assert!(!made.safety.zones.is_empty());
        assert!(speed(0.01).unwrap_err().contains("unconfigured"));
        assert_eq!(settings.make().safety.motion.tip_speed_supervised, 0.02);
        settings.unmake();
        let script = settings.set(NodeName::Safety, &change("allow_scripted_operator", Bool(true)));
        assert!(script.unwrap_err().contains("demo only"));
    }

    #[test]
    fn a_request_with_one_mistake_changes_nothing() {
        let settings = settings();
        let before = settings.make().autonomy;
        for (name, value) in [
            ("gate.expiries", Double(10.0)),
            ("gate.expiry", Double(1.0)),
            ("centre.unasked", Integer(1)),
            ("centre.on", Double(0.5)),
            ("session", Integer(3)),
        ] {
            let mut changes = change("gate.settle", Double(3.0));
            changes.extend(change(name, value));
            assert!(settings.set(NodeName::Autonomy, &changes).unwrap_err().contains(name));
            assert_eq!(settings.make().autonomy, before);
        }
        // Alone it would not be taken, with the one it depends on it is.
        let together = [change("centre.off", Double(0.6)), change("centre.on", Double(0.5))].concat();
        settings.set(NodeName::Autonomy, &together).unwrap();
        assert_eq!((settings.make().autonomy.centre.off, settings.make().autonomy.centre.on), (0.6, 0.5));
    }

    /// A node that says with which value it is polled.
    struct Told(f64, std::sync::mpsc::Sender<f64>);

    impl Node for Told {
        fn name(&self) -> &'static str {
            "told"
        }
        fn period(&self) -> Duration {
            Duration::from_millis(1)
        }
        fn poll(&mut self, _: Stamp) {
            self.1.send(self.0).unwrap();
        }
    }

    impl Adjust for Told {
        fn adjust_to(&mut self, config: &StackConfig) -> Result<(), String> {
            self.0 = config.fusion.gate;
            Ok(())
        }
    }

    #[test]
    fn a_node_is_polled_with_what_was_set_before() {
        let settings = settings();
        let (tx, told) = std::sync::mpsc::channel();
        let mut node = Adjusted::new(Told(0.0, tx), &settings);
        let mut polled = || {
            node.poll(Stamp::FIRST);
            told.try_recv().unwrap()
        };
        assert_eq!(polled(), settings.make().fusion.gate, "set between making it and its first poll, or not");
        settings.set(NodeName::Fusion, &change("gate", Double(6.5))).unwrap();
        assert_eq!([polled(), polled()], [6.5, 6.5]);
        settings.set(NodeName::Fusion, &change("gate", Double(99.0))).unwrap_err();
        assert_eq!(polled(), 6.5);
    }
}
