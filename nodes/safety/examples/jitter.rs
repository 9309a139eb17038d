//! How well this machine keeps the safety loop's time: runs the real-time thread on an idle cell and prints one JSON object.
//!
//! `cargo run --release -p proctor-safety --example jitter -- SECONDS`
#![allow(clippy::print_stdout)]

use proctor_bus::{Bus, Node};
use proctor_safety::{SafetyNode, SafetyParams, realtime};
use proctor_seal::{RootSecret, Verifier};
use proctor_types::Stamp;
use std::{
    error::Error,
    sync::{Arc, atomic::AtomicBool, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

fn main() -> Result<(), Box<dyn Error>> {
    let seconds: u64 = std::env::args().nth(1).map_or(Ok(10), |s| s.parse())?;
    let (bus, start, stop) = (Bus::memory(), Instant::now(), Arc::new(AtomicBool::new(false)));
    let now = move || Stamp::FIRST.plus(start.elapsed());
    let options = realtime::Options { clock: Box::new(now), stop: stop.clone(), priority: Some(80), lock_memory: true };
    let verifier = Verifier::new(RootSecret::random(), proctor_seal::random_boot());
    let (mut node, thread) = SafetyNode::real_time(&bus, SafetyParams::default(), verifier, options)?;
    let health = thread.health.clone();
    while start.elapsed() < Duration::from_secs(seconds) {
        node.poll(now());
        std::thread::sleep(Duration::from_millis(1));
    }
    stop.store(true, Relaxed);
    thread.join();
    println!(
        "{{\"ticks\": {}, \"overruns\": {}, \"late\": {}, \"longest_us\": {}, \"latest_us\": {}, \"fifo\": {}, \"locked\": {}}}",
        health.ticks.load(Relaxed),
        health.overruns.load(Relaxed),
        health.late.load(Relaxed),
        health.longest_ns.load(Relaxed) / 1000,
        health.latest_ns.load(Relaxed) / 1000,
        health.fifo.load(Relaxed),
        health.locked.load(Relaxed),
    );
    Ok(())
}
