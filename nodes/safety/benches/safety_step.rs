//! One tick of the safety node: two PSMs and an ECM and 2048 surface points, in a cell without zones and in one with sixteen. Each arm has a constraint per
//! zone, class of tissue and other arm, one of depth, and bounds of every joint; how many constraints the programs have that bend a motion, and for how many ticks there are any, is said. Criterion gives the mean; the percentiles that
//! matter are printed first, from 200000 timed ticks of a moving cell: by the clock; by this thread's processor time; and, since the same ticks
//! can be run again to the bit, by the least processor time that each of them took in five runs: what a machine that does other things at the
//! same time adds by chance (a cold cache, an interrupt) is in the first two and not in the third. How much that is, a loop tells that only counts.
#![allow(missing_docs, clippy::unwrap_used)]

mod drive;
#[path = "../tests/support/mod.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use proctor_safety::SafetyParams;
use proctor_types::SafetyMode;
use std::time::Instant;

/// Timed ticks of a run.
const TICKS: usize = 200_000;

fn measure(name: &str, params: &SafetyParams, criterion: &mut Criterion) {
    let mut constraints = Vec::new();
    let run = |constraints: &mut Vec<u64>| -> (Vec<u64>, Vec<u64>) {
        let mut c = drive::cell(params.clone());
        let mut solved = 0;
        constraints.clear();
        let times = (0..TICKS).map(|_| {
            let times = drive::timed(&mut c);
            let (program, so_far) = c.core.filter().last_program();
            if so_far != solved {
                constraints.push((2 * program.variables() + program.rows().len()) as u64);
            }
            solved = so_far;
            times
        });
        let times = times.unzip();
        assert_eq!(c.mode(), SafetyMode::Teleop);
        times
    };
    let (clock, work) = run(&mut constraints);
    let least = drive::least(|| run(&mut constraints).1);
    let mut median = 0.0;
    for (what, mut times) in
        [("processor time", work), ("least processor time of five runs", least), ("the clock", clock)]
    {
        median = drive::percentiles(&format!("{name} by {what}"), &mut times);
    }
    drive::percentiles("a loop that only counts, as long, by the clock", &mut counting(1e3 * median));
    constraints.sort_unstable();
    let at = |part: f64| constraints.get(((constraints.len() as f64 - 1.0) * part) as usize).unwrap_or(&0);
    let (median, most) = (at(0.5), at(1.0));
    println!(
        "{name}: a program in {} of {TICKS} ticks, of {median} constraints (median), {most} (most)",
        constraints.len()
    );
    let mut c = drive::cell(params.clone());
    criterion.bench_function(name, |b| {
        b.iter_custom(|n| std::time::Duration::from_nanos((0..n).map(|_| drive::timed(&mut c).0).sum()));
    });
}

/// Times by the clock, ns, of a loop that only counts and takes about `ns`: what the machine itself adds to a tick of that length.
fn counting(ns: f64) -> Vec<u64> {
    let count = |most: u64| {
        let begin = Instant::now();
        (0..most).for_each(|i| {
            std::hint::black_box(i);
        });
        begin.elapsed().as_nanos() as u64
    };
    let whole = (0..100).map(|_| count(100_000)).min().unwrap_or(1) as f64;
    (0..TICKS).map(|_| count((1e5 * ns / whole) as u64)).collect()
}

fn bench(criterion: &mut Criterion) {
    measure("safety_step among sixteen zones", &support::crowded::params(), criterion);
    measure("safety_step", &SafetyParams::default(), criterion);
}

criterion_group!(benches, bench);
criterion_main!(benches);
