//! Parameters set while a process runs: what is taken when, and by whom.

#![allow(clippy::unwrap_used)]

use ParameterValue::{Bool, Double, Integer, StringArray};
use proctor::{
    run::NodeName,
    settings::{Adjust, Adjusted, Settings},
    stack::{self, StackConfig},
};
use proctor_bus::{Node, ParameterValue};
use proctor_types::Stamp;
use std::{sync::Arc, time::Duration};

fn settings() -> Arc<Settings> {
    let mut config = StackConfig::simulated(&stack::find_root().unwrap(), 1).unwrap();
    // As `proctor run` has it.
    config.safety.allow_scripted_operator = false;
    Arc::new(Settings::new(config))
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
