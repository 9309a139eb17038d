//! What the tests of live buses share: waiting, and a value to send.
#![allow(clippy::unwrap_used)]

use proctor_bus::{Subscriber, Wire};
use proctor_types::{ArmId, ArmJoints, Joints, Stamp};
use std::time::{Duration, Instant};

/// Longest wait for a session to find its peer or for a message to cross.
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls `act` until it yields something.
pub fn until<T>(what: &str, mut act: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = act() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn take<T: Wire>(subscriber: &Subscriber<T>) -> T {
    until("a message", || subscriber.take()).unwrap()
}

pub fn at(ms: i64) -> Stamp {
    Stamp::from_nanos("t", 1_700_000_000_000_000_000 + ms * 1_000_000).unwrap()
}

pub fn joints(ms: i64) -> ArmJoints {
    let position = Joints::new(&[0.1, -0.2, 0.16, 0.3, std::f64::consts::PI, 1e-300]).unwrap();
    ArmJoints { arm: ArmId::Psm1, stamp: at(ms), position, velocity: Joints::zeros(6) }
}
