//! Limited jerk: what is sent is the mean of the last few set-points that the filter decided.
//!
//! The filter plans with accelerations that may change from one tick to the next, which makes its stop a straight line with a closed
//! form (see `braking`). A mean over `w` of its set-points keeps all it promised and bounds the jerk:
//! - it lies in their convex hull, so positions, speeds and accelerations, whose limits are intervals, stay within them;
//! - its acceleration changes by `(a_k - a_{k-w}) / w` a tick, at most `2 A / w` (the sum of both sides' `A`, where they differ): a window of
//!   `2 A / (J dt)` ticks keeps the jerk `J`;
//! - it begins to brake in the tick in which the filter does, rests `w - 1` ticks after it, at exactly the same place;
//! - it lies within `A dt^2 (w^2 - 1) / 24` per joint of a place on the filter's path. [`RESERVE`](crate::filter::RESERVE) covers
//!   that (a test adds it up), so that distances hold too.

use crate::dofs::{Bounds, DT, N, Q, map2, worst_ratio};

/// Most set-points in a window.
pub const MAX_WINDOW: usize = 32;

/// Set-points over which the mean is taken for an arm with these limits.
pub fn window(bounds: &Bounds) -> usize {
    // The subtraction keeps a ratio of 8 + 1e-15 from costing a ninth tick.
    let swing = map2(&finite(&bounds.acceleration.down), &finite(&bounds.acceleration.up), |a, b| a + b);
    let ticks = worst_ratio(&swing, &bounds.jerk.least()) / DT;
    (((ticks - 1e-6).ceil()).max(1.0) as usize).min(MAX_WINDOW)
}

/// Unused entries have infinite limits: they never move.
fn finite(q: &Q) -> Q {
    q.map(|x| if x.is_finite() { x } else { 0.0 })
}

/// The last set-points of one arm.
#[derive(Debug, Clone, Copy)]
pub struct Smoother {
    window: usize,
    last: [Q; MAX_WINDOW],
    /// Where the newest one is.
    newest: usize,
}

impl Smoother {
    /// An arm with these limits; [`Smoother::rest_at`] before use.
    pub fn new(bounds: &Bounds) -> Self {
        Self { window: window(bounds), last: [[0.0; N]; MAX_WINDOW], newest: 0 }
    }

    /// The arm rests at `q`.
    pub fn rest_at(&mut self, q: &Q) {
        self.last = [*q; MAX_WINDOW];
    }

    /// What is sent when the filter decides `q` next.
    pub fn next(&self, q: &Q) -> Q {
        // By differences from `q`: exact at rest, and rounding stays far below what a third difference would magnify.
        let kept = self.last.iter().take(self.window).enumerate().filter(|(i, _)| *i != self.oldest());
        let sum = kept.fold([0.0; N], |sum, (_, p)| map2(&sum, &map2(p, q, |p, q| p - q), |a, b| a + b));
        map2(q, &sum, |q, s| q + s / self.window as f64)
    }

    /// The filter decided `q`, and that was sent.
    pub fn push(&mut self, q: &Q) {
        self.newest = self.oldest();
        if let Some(slot) = self.last.get_mut(self.newest) {
            *slot = *q;
        }
    }

    /// Whether what was sent last is what was decided last.
    pub fn settled(&self) -> bool {
        let newest = self.last.get(self.newest);
        self.last.iter().take(self.window).all(|q| Some(q) == newest)
    }

    fn oldest(&self) -> usize {
        (self.newest + 1) % self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SafetyParams, body::Body, filter::RESERVE};
    use proctor_types::ArmId;

    fn arms() -> [(Body, Bounds); 3] {
        let params = SafetyParams::default();
        ArmId::ALL.map(|arm| {
            let body = Body::configured(arm, &params).unwrap();
            let bounds = Bounds::new(arm, body.chain().limits(), &params);
            (body, bounds)
        })
    }

    #[test]
    fn the_window_is_what_the_jerk_limit_asks_for() {
        for (_, b) in arms() {
            let w = window(&b) as f64;
            let used = |w: f64| worst_ratio(&finite(&b.acceleration.up), &b.jerk.up) * 2.0 / (w * DT);
            assert!(used(w) <= 1.0 + 1e-9 && used(w - 1.0) > 1.0, "{w}");
            assert!(window(&b) < MAX_WINDOW, "the bound is not what limits it");
        }
    }

    #[test]
    fn the_reserve_covers_how_far_the_mean_may_lie_beside_the_path() {
        for (body, b) in arms() {
            let w = window(&b) as f64;
            let off = finite(&b.acceleration.up).map(|a| a * DT * DT * (w * w - 1.0) / 24.0);
            // Joints in mid-range: levers of a shaft that is in deep.
            let at = [0.0, 0.0, 0.24, 0.0, 0.0, 0.0, 0.0];
            let beside = body.travel(&at, &map2(&at, &off, |a, o| a + o));
            assert!(beside < RESERVE / 2.0, "{}: {beside}", body.arm());
        }
    }

    #[test]
    fn a_hard_reversal_keeps_every_limit_and_ends_at_rest_where_the_filter_does() {
        let (_, b) = arms()[0].clone();
        let mut smoother = Smoother::new(&b);
        let (mut q, mut v) = ([0.1; N], [0.0; N]);
        smoother.rest_at(&q);
        let mut sent = vec![q; 4];
        let mut limits = [0.0f64; 3];
        for tick in 0..400 {
            // Full acceleration one way, then the other, then still.
            let push = [1.0, -1.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0][tick / 50];
            v = map2(&v, &b.acceleration.up, |v, a| v + push * a * DT);
            q = if push == 0.0 { q } else { map2(&q, &v, |q, v| q + v * DT) };
            let out = smoother.next(&q);
            smoother.push(&q);
            sent.push(out);
            // Not while it moves; once as many are alike as the mean is taken over.
            assert!(tick >= 190 || !smoother.settled(), "tick {tick}");
            assert!(tick < 200 + smoother.window || smoother.settled(), "tick {tick}");
            let n = sent.len();
            for j in 0..N {
                let x = |back: usize| sent[n - 1 - back][j];
                let a = (x(0) - 2.0 * x(1) + x(2)) / (DT * DT);
                let jerk = (x(0) - 3.0 * x(1) + 3.0 * x(2) - x(3)) / (DT * DT * DT);
                limits[1] = limits[1].max(a.abs() / b.acceleration.up[j]);
                limits[2] = limits[2].max(jerk.abs() / b.jerk.up[j]);
            }
        }
        // The lone stop from speed to nothing at the end of the pushes is the test's own, of less than rounding here.
        assert!(limits[1] <= 1.0 + 1e-6 && limits[2] <= 1.0 + 1e-6, "{limits:?}");
        assert!(limits[2] > 0.9, "the limit was reached: {limits:?}");
        assert!(smoother.settled() && sent.last() == Some(&q));
    }
}
