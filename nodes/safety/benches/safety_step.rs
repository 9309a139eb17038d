//! One tick of the safety node: two PSMs and an ECM, 2048 surface points, zones. Criterion gives the mean; the percentiles that
//! matter are printed first, from 200000 timed ticks of a moving cell.
#![allow(missing_docs, clippy::unwrap_used)]

mod drive;
#[path = "../tests/support/mod.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use proctor_safety::SafetyParams;
use proctor_types::SafetyMode;

fn bench(criterion: &mut Criterion) {
    let mut c = drive::cell(SafetyParams::default());
    let mut times: Vec<u64> = (0..200_000).map(|_| drive::timed(&mut c, drive::wall)).collect();
    assert_eq!(c.mode(), SafetyMode::Teleop);
    drive::percentiles("safety_step", &mut times);
    let mut c = drive::cell(SafetyParams::default());
    criterion.bench_function("safety_step", |b| {
        b.iter_custom(|n| std::time::Duration::from_nanos((0..n).map(|_| drive::timed(&mut c, drive::wall)).sum()));
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
