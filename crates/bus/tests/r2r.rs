//! One bus on the sourced ROS 2 (loopback): values cross, malformed bytes do not, late readers learn state, slow readers lose the
//! oldest, counted. Needs the feature `r2r`; run by `make test-ros`. One test, since a process has one rcl context.

#![allow(clippy::unwrap_used)]

mod support;

use proctor_bus::{Bus, Parameters, R2rConfig, graph};
use proctor_types::*;
use r2r::{Context, Node, QosProfile};
use std::time::{Duration, Instant};
use support::{at, joints, take, until};

#[test]
fn values_cross_and_malformed_bytes_are_counted_errors() {
    let bus = Bus::r2r(&R2rConfig::from_environment("victim", Parameters::default())).unwrap();
    let topic = graph::measured_js(ArmId::Psm1);
    let publisher = bus.publisher(&topic).unwrap();
    let subscriber = bus.subscriber::<ArmJoints>(&topic).unwrap();
    let first = until("a first message", || {
        publisher.publish(&joints(0)).unwrap();
        subscriber.take()
    });
    assert_eq!(first.unwrap(), joints(0));

    // Late readers learn the last state, once.
    let state = graph::operating_state(ArmId::Ecm);
    let status = |state| ArmStatus { arm: ArmId::Ecm, stamp: at(1), state, is_homed: true, is_busy: false };
    let states = bus.publisher(&state).unwrap();
    states.publish(&status(OperatingState::Disabled)).unwrap();
    states.publish(&status(OperatingState::Enabled)).unwrap();
    let late = bus.subscriber::<ArmStatus>(&state).unwrap();
    assert_eq!(take(&late), status(OperatingState::Enabled));

    // A stranger of the same type on a reliable topic, so that nothing is lost on the way: r2r sends whatever bytes it is given.
    let orders = graph::decision();
    let raw = bus.raw_subscriber(&orders, 64).unwrap();
    let mut stranger = Node::create(Context::create().unwrap(), "stranger", "").unwrap();
    let hostile =
        stranger.create_publisher_untyped(&orders.name, orders.type_name, QosProfile::default().reliable()).unwrap();
    let good = proctor_msgs::cdr::to_cdr(&proctor_msgs::proctor_msgs::Decision::default());
    until("the stranger", || {
        hostile.publish_raw(&good).unwrap();
        raw.take()
    });
    while until_quiet(&raw) {}
    // None shorter than the header: over such a one CycloneDDS sends nothing more.
    let bad: [Vec<u8>; 4] = [
        good[..good.len() / 2].to_vec(),
        vec![0, 1, 0, 0],
        [&good[..], &[0; 8]].concat(),
        [&[0, 1, 0, 0][..], &[0xff; 4096]].concat(),
    ];
    for payload in &bad {
        hostile.publish_raw(payload).unwrap();
    }
    hostile.publish_raw(&good).unwrap();
    assert_eq!(until("the good one", || raw.take()).cdr[..good.len()], good[..]);
    assert_eq!(raw.refused(), bad.len() as u64);

    // A slow reader keeps the newest of what came and counts the rest.
    let slow = bus.raw_subscriber(&orders, 4).unwrap();
    until("the slow reader's subscription", || {
        hostile.publish_raw(&good).unwrap();
        slow.take()
    });
    while until_quiet(&slow) {}
    let before = slow.dropped();
    for _ in 0..20 {
        hostile.publish_raw(&good).unwrap();
        // Reliable, but its history at the RMW is the reader's depth: one at a time.
        std::thread::sleep(Duration::from_millis(10));
    }
    until("all twenty", || (slow.dropped() - before + slow.waiting() as u64 == 20).then_some(()));
    assert_eq!(slow.waiting(), 4);
}

/// Whether something still came within a while.
fn until_quiet(raw: &proctor_bus::RawSubscriber) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(200) {
        if raw.take().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}
