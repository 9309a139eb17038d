//! One tick of the safety node: two PSMs and an ECM, 2048 surface points, zones. Criterion gives the mean; the percentiles that
//! matter are printed first, from 200000 timed ticks of a moving cell: by the clock, and by this thread's processor time, which on a machine
//! that does other things at the same time says what the work itself takes.
#![allow(missing_docs, clippy::unwrap_used)]

mod drive;
#[path = "../tests/support/mod.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use proctor_safety::SafetyParams;
use proctor_types::SafetyMode;

fn bench(criterion: &mut Criterion) {
    let mut c = drive::cell(SafetyParams::default());
    let (clock, work): (Vec<u64>, Vec<u64>) = (0..200_000).map(|_| drive::timed(&mut c)).unzip();
    assert_eq!(c.mode(), SafetyMode::Teleop);
    for (what, mut times) in [("the clock", clock), ("processor time", work)] {
        drive::percentiles(&format!("safety_step by {what}"), &mut times);
    }
    let mut c = drive::cell(SafetyParams::default());
    criterion.bench_function("safety_step", |b| {
        b.iter_custom(|n| std::time::Duration::from_nanos((0..n).map(|_| drive::timed(&mut c).0).sum()));
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
