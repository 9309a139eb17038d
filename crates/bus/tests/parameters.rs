//! A node's parameters over hiroz, set by another session as `ros2 param set` sets them.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the rest is the other buses' tests'")]
mod support;

use hiroz::{
    Builder,
    context::ZContextBuilder,
    parameter::{self, ParameterClient, ParameterTarget, SetParametersResult},
};
use proctor_bus::{Bus, HirozConfig, Parameter, ParameterValue, Parameters, Settable};
use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

fn number(name: &str, value: f64, settable: Settable) -> Parameter {
    Parameter {
        name: name.to_owned(),
        value: ParameterValue::Double(value),
        text: "A number.".to_owned(),
        range: Some([0.0, 10.0]),
        settable,
    }
}

/// Asks until somebody answers: until the sessions know each other, nobody does.
fn ask<T>(what: &str, mut call: impl AsyncFnMut() -> Option<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    support::until(what, || {
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), call()).await.ok().flatten() })
    })
}

#[test]
fn another_session_sets_what_the_owner_takes_all_of_a_request_or_none() {
    let endpoint = format!("tcp/{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let declared = [("a", Settable::Running), ("b", Settable::Running), ("at_start", Settable::AtStart)];
    let config = HirozConfig {
        domain_id: 79,
        listen: vec![endpoint.clone()],
        node_name: "tuned".to_owned(),
        parameters: Parameters::new(declared.map(|(name, when)| number(name, 1.0, when)).to_vec()),
        ..HirozConfig::default()
    };
    let bus = Bus::hiroz(&config).unwrap();
    let context = ZContextBuilder::default()
        .with_domain_id(79)
        .disable_multicast_scouting()
        .with_mode("peer")
        .with_connect_endpoints([endpoint])
        .build()
        .unwrap();
    let asker = Arc::new(context.create_node("asker").build().unwrap());
    let client = ParameterClient::new(asker, ParameterTarget::from_fqn("/tuned").unwrap()).unwrap();
    let changes = |values: &[(&str, f64)]| -> Vec<_> {
        values.iter().map(|&(name, v)| parameter::Parameter::new(name, parameter::ParameterValue::Double(v))).collect()
    };
    let each = |values: &[(&str, f64)]| ask("an answer", async || client.set(&changes(values)).await.ok());
    let atomically =
        |values: &[(&str, f64)]| ask("an answer", async || client.set_atomically(&changes(values)).await.ok());
    let values = || -> Vec<f64> {
        let got = ask("an answer", async || client.get(&["a", "b", "at_start"]).await.ok());
        got.iter().map(|v| if let parameter::ParameterValue::Double(v) = v { *v } else { f64::NAN }).collect()
    };
    let why = |result: &SetParametersResult| {
        assert!(!result.successful);
        result.reason.clone()
    };

    assert!(why(&each(&[("a", 2.0)])[0]).contains("starting"), "nobody takes anything yet");
    assert_eq!(values(), [1.0, 1.0, 1.0]);

    // The owner's own rule: a is never above b.
    let taken = Arc::new(Mutex::new((1.0, 1.0)));
    let owner = taken.clone();
    bus.accept_parameters(move |changes| {
        let mut now = owner.lock().unwrap();
        let (mut a, mut b) = *now;
        for (name, value) in changes {
            let ParameterValue::Double(value) = value else { return Err(format!("{name}: no number")) };
            *(if name == "a" { &mut a } else { &mut b }) = *value;
        }
        if a > b {
            return Err(format!("a = {a} is above b = {b}"));
        }
        *now = (a, b);
        Ok(())
    });
    assert!(why(&each(&[("a", 2.0)])[0]).contains("above b"));
    assert!(atomically(&[("a", 2.0), ("b", 3.0)]).successful, "together they keep the rule");
    assert_eq!((values(), *taken.lock().unwrap()), (vec![2.0, 3.0, 1.0], (2.0, 3.0)));

    // One at a time each stands for itself.
    let results = each(&[("a", 4.0), ("b", 5.0), ("c", 1.0), ("at_start", 2.0)]);
    assert_eq!(results.iter().map(|r| r.successful).collect::<Vec<_>>(), [false, true, false, false]);
    assert!(why(&results[2]).contains('c') && why(&results[3]).contains("read-only"), "{results:?}");
    // Together, the one that is out of range spoils them all. (hiroz says the value and the range, not whose.)
    assert!(why(&atomically(&[("a", 4.0), ("b", 11.0)])).contains("11"));
    assert_eq!((values(), *taken.lock().unwrap()), (vec![2.0, 5.0, 1.0], (2.0, 5.0)));
}
