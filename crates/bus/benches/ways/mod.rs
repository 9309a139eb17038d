//! Ways from a publisher to a decoded value, taken in turns. The first is Proctor's bus, the others are its peers.

mod messages;

pub use messages::{joints, picture};
use proctor_bus::{Bus, Subscriber, Topic, Wire};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// How often a message is said, and how often altogether.
#[derive(Clone, Copy)]
pub struct Load {
    name: &'static str,
    hz: f64,
    count: u32,
}

pub const JOINTS: Load = Load { name: "joints", hz: 1000.0, count: 5000 };
pub const PICTURE: Load = Load { name: "picture", hz: 30.0, count: 300 };
/// After this a message counts as lost and is said again.
const LOST: Duration = Duration::from_millis(200);
/// Turns of each way in which one message follows another.
const BLOCKS: u32 = 50;

/// One way and what it took so far.
pub struct Way<'a> {
    name: &'static str,
    cross: Box<dyn FnMut() -> (Duration, u32) + 'a>,
    times: Vec<f64>,
    lost: u32,
    busy: Duration,
}

/// A way that says a message and asks until it is a value.
pub fn way<'a, T>(name: &'static str, publish: impl Fn() + 'a, mut take: impl FnMut() -> Option<T> + 'a) -> Way<'a> {
    let cross = move || {
        for lost in 0..50 {
            let start = Instant::now();
            publish();
            while start.elapsed() < LOST {
                if let Some(value) = take() {
                    let took = start.elapsed();
                    black_box(value);
                    return (took, lost);
                }
                // The middleware's threads may need this core.
                std::thread::yield_now();
            }
        }
        panic!("a message was lost again and again");
    };
    Way { name, cross: Box::new(cross), times: Vec::new(), lost: 0, busy: Duration::ZERO }
}

/// Proctor's.
pub fn ours<'a, T: Wire>(from: &Bus, to: &Bus, topic: &Topic, value: &'a T) -> Way<'a> {
    let publisher = from.publisher::<T>(topic).unwrap();
    let subscriber: Subscriber<T> = to.subscriber(topic).unwrap();
    way("proctor", move || publisher.publish(value).unwrap(), move || subscriber.take().map(Result::unwrap))
}

/// Each way in turns: at the load's rate, then one message after another. Prints a JSON line per way, each with how many times as long Proctor's
/// takes (`ours_over_this`: median at the rate, time of a message one after another).
pub fn compare(load: Load, mut ways: Vec<Way<'_>>) {
    // `cargo test --benches` only checks that it runs.
    let count = if std::env::args().any(|a| a == "--bench") { load.count } else { BLOCKS };
    ways.iter_mut().for_each(|w| (0..20).for_each(|_| _ = (w.cross)()));
    let start = Instant::now();
    for i in 0..count {
        let due = start + Duration::from_secs_f64(f64::from(i) / load.hz);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for turn in 0..ways.len() {
            let next = (i as usize + turn) % ways.len();
            let way = &mut ways[next];
            let (took, lost) = (way.cross)();
            way.times.push(took.as_secs_f64() * 1e3);
            way.lost += lost;
        }
    }
    for _ in 0..BLOCKS {
        for way in &mut ways {
            let start = Instant::now();
            (0..count / BLOCKS).for_each(|_| _ = (way.cross)());
            way.busy += start.elapsed();
        }
    }
    let figures = ways.iter_mut().map(|way| {
        way.times.sort_by(f64::total_cmp);
        let at = |part: f64| way.times[(part * (way.times.len() - 1) as f64) as usize];
        (way.name, at(0.5), at(0.99), f64::from(count / BLOCKS * BLOCKS) / way.busy.as_secs_f64(), way.lost)
    });
    let figures: Vec<_> = figures.collect();
    let (_, ours, _, our_rate, _) = figures[0];
    for (name, median, p99, per_s, lost) in &figures {
        println!(
            r#"{{"case": "{name}/{}", "hz": {}, "median_ms": {median:.4}, "p99_ms": {p99:.4}, "per_s": {per_s:.0}, "messages": {count}, "lost": {lost}, "ours_over_this": [{:.2}, {:.2}]}}"#,
            load.name,
            load.hz,
            ours / median,
            per_s / our_rate,
        );
    }
}
