//! One tick of the safety node: two PSMs and an ECM, 2048 surface points, zones. Criterion gives the mean; the percentiles that
//! matter are printed first, from 200000 timed ticks of a moving cell: by the clock; by this thread's processor time; and, since the same ticks
//! can be run again to the bit, by the least processor time that each of them took in five runs: what a machine that does other things at the
//! same time adds by chance (a cold cache, an interrupt) is in the first two and not in the third.
#![allow(missing_docs, clippy::unwrap_used)]

mod drive;
#[path = "../tests/support/mod.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use proctor_safety::SafetyParams;
use proctor_types::SafetyMode;

/// Timed ticks of a run.
const TICKS: usize = 200_000;

fn bench(criterion: &mut Criterion) {
    let run = || -> (Vec<u64>, Vec<u64>) {
        let mut c = drive::cell(SafetyParams::default());
        let times = (0..TICKS).map(|_| drive::timed(&mut c)).unzip();
        assert_eq!(c.mode(), SafetyMode::Teleop);
        times
    };
    let (clock, work) = run();
    let least = drive::least(|| run().1);
    for (what, mut times) in
        [("the clock", clock), ("processor time", work), ("least processor time of five runs", least)]
    {
        drive::percentiles(&format!("safety_step by {what}"), &mut times);
    }
    let mut c = drive::cell(SafetyParams::default());
    criterion.bench_function("safety_step", |b| {
        b.iter_custom(|n| std::time::Duration::from_nanos((0..n).map(|_| drive::timed(&mut c).0).sum()));
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
