//! What the benches share: a cell whose arms swing about home, and a tick of it timed.

use super::support::{self, Cellar, MS};
use nalgebra::Point3;
use proctor_safety::{Events, SafetyParams};
use proctor_types::{ArmId, Class, SafetyMode, SurfacePoint};
use std::time::Instant;

/// 2048 points over the field, as fusion sends.
fn tissue() -> Vec<SurfacePoint> {
    (0..2048)
        .map(|i| {
            let (x, y) = (f64::from(i % 64) - 31.5, f64::from(i / 64) - 15.5);
            let position = Point3::new(x * 0.0018, y * 0.003, -0.020 + 0.004 * (x * 0.2).sin());
            let class = [Class::Liver, Class::Gallbladder, Class::CysticArtery, Class::Fat][(i / 16 % 4) as usize];
            SurfacePoint { position, class, sigma: 0.0007 }
        })
        .collect()
}

/// Two PSMs, an ECM and tissue, in TELEOP.
pub fn cell(params: SafetyParams) -> Cellar {
    let mut c = Cellar::new(params);
    c.tissue = tissue();
    c.run(50);
    c.ask(proctor_types::RequestKind::Enable);
    c.run(5);
    c.ask(proctor_types::RequestKind::Teleop);
    c.run(5);
    assert_eq!(c.mode(), SafetyMode::Teleop);
    c
}

/// Goals that swing every arm about home, some of them into the tissue.
fn drive(c: &mut Cellar) {
    let t = c.ticks as f64 * 1e-3;
    for (k, arm) in ArmId::ALL.into_iter().enumerate() {
        let mut q = support::home(arm);
        let phase = t * (1.0 + 0.3 * k as f64);
        q[0] += 0.12 * phase.sin();
        q[1] += 0.10 * (0.7 * phase).cos();
        q[2] += if arm.has_jaw() { 0.035 * (0.5 * phase).sin() } else { 0.01 * phase.sin() };
        if arm.has_jaw() {
            q[4] = 0.4 * (2.0 * phase).sin();
        }
        let at = *c.at.get(arm);
        (0..7).for_each(|j| q[j] = at[j] + (q[j] - at[j]).clamp(-0.012, 0.012));
        c.teleop(arm, &q);
    }
}

/// Processor time of this thread, ns: what the work itself takes, on a machine that does other things at the same time. Costs 0.3 us to read.
#[expect(unsafe_code, reason = "there is no safe interface to the thread's clock")]
pub fn processor() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a valid timespec; the clock exists on Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// One tick; the step alone is timed, ns: by the clock, and of the processor.
pub fn timed(c: &mut Cellar) -> (u64, u64) {
    drive(c);
    c.now = c.now.plus(MS);
    let mut events = Events::new();
    c.sense(&mut events);
    let room = events.remaining_capacity().min(c.queue.len());
    events.extend(c.queue.drain(..room));
    c.ticks += 1;
    let (work, begin) = (processor(), Instant::now());
    let out = c.core.step(c.now, &mut events);
    let (took, work) = (begin.elapsed(), processor() - work);
    out.spent.clear();
    let sent: Vec<_> = out.commands.iter().map(|s| *s.get()).collect();
    for s in sent {
        let slot = c.at.get_mut(s.arm);
        slot[..s.arm.dof()].copy_from_slice(&s.position);
        slot[6] = s.jaw.unwrap_or(0.0);
    }
    (took.as_nanos() as u64, work)
}

/// Least of what each of the same pieces of work took in [`RUNS`] runs: what a busy machine adds by chance is not in it.
pub fn least(mut run: impl FnMut() -> Vec<u64>) -> Vec<u64> {
    let first = run();
    (1..RUNS).fold(first, |least, _| least.iter().zip(run()).map(|(a, b)| *a.min(&b)).collect())
}

/// How often the same ticks are run for the least time.
const RUNS: usize = 5;

/// Prints median and high percentiles of times in nanoseconds; returns the median.
pub fn percentiles(what: &str, times: &mut [u64]) -> f64 {
    times.sort_unstable();
    let at = |p: f64| times[((times.len() as f64 * p) as usize).min(times.len() - 1)] as f64 / 1000.0;
    let (median, p99, p999, max) = (at(0.5), at(0.99), at(0.999), at(1.0));
    println!(
        "{what}, {} times: median {median:.2} us, p99 {p99:.2} us, p99.9 {p999:.2} us, max {max:.1} us",
        times.len()
    );
    median
}
