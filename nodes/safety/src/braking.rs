//! The stop that is feasible at every moment: straight in joint space, every degree of freedom slowed by the same
//! factor per tick, at the largest rate that breaks no acceleration limit.
//!
//! From velocity `v` the stop takes `n = ceil(max_j |v_j| / (A_j dt))` ticks (`A_j`: largest acceleration against `v_j`) with velocities `v (1 - i/n)`. The deceleration `v / (n dt)` is at
//! most `A`; the path from the current position is straight, of length `dt |v| (n-1)/2`. After one tick of it, the stop computed
//! afresh is its remainder: `ceil` of `n (1 - 1/n) = n - 1` lies in `(n - 2, n - 1]`. So a stop that was checked once stays
//! checked while it is followed - which is why "brake" needs no check.

use crate::dofs::{DT, LIMIT_USE, Q, Sides, map2};

/// Position and velocity of the set-point of one arm.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MotionState {
    /// Set-point (rad; insertion m; jaw last).
    pub q: Q,
    /// `(q - previous q) / dt`.
    pub v: Q,
}

impl MotionState {
    /// At rest.
    pub fn resting(q: Q) -> Self {
        Self { q, v: [0.0; crate::dofs::N] }
    }

    /// Whether the set-point rests.
    pub fn rests(&self) -> bool {
        self.v.iter().all(|&x| x == 0.0)
    }

    /// One tick later at velocity `v`.
    #[must_use]
    pub fn advanced(&self, v: Q) -> Self {
        Self { q: map2(&self.q, &v, |q, v| q + DT * v), v }
    }

    /// Ticks until rest.
    pub fn brake_ticks(&self, acceleration: &Sides) -> f64 {
        let against = self.v.map(|v| -v);
        // The subtraction keeps a ratio of, say, 3 + 1e-16 from costing a fourth tick half-way through a stop.
        (acceleration.worst_ratio(&against) / (LIMIT_USE * DT) - 1e-6).ceil().max(0.0)
    }

    /// Velocity of the next tick when braking.
    pub fn brake_velocity(&self, acceleration: &Sides) -> Q {
        let n = self.brake_ticks(acceleration);
        if n <= 1.0 { [0.0; crate::dofs::N] } else { self.v.map(|v| v * (1.0 - 1.0 / n)) }
    }

    /// Where a stop from here ends; the way there is straight.
    pub fn stop(&self, acceleration: &Sides) -> Q {
        let n = self.brake_ticks(acceleration);
        let ticks = ((n - 1.0) / 2.0).max(0.0);
        map2(&self.q, &self.v, |q, v| q + DT * v * ticks)
    }

    /// The velocity that would bring the set-point straight to `goal` as fast as the limits allow and still stop there, before
    /// acceleration towards it is considered.
    ///
    /// `e / k` ticks at velocity `v = k e`, braking over `n <= k m / dt + 1` ticks with `m = max |e_j| / A_j`, `A_j` to the side that brakes, ends at or before the goal if
    /// `k dt (k m / (2 dt) + 1) <= 1`; the positive root is written without cancellation.
    pub fn approach(&self, goal: &Q, velocity: &Sides, acceleration: &Sides) -> Q {
        let e = map2(goal, &self.q, |g, q| g - q);
        let m = acceleration.worst_ratio(&e.map(|e| -e)) / LIMIT_USE;
        let k = 2.0 / (DT + (DT * DT + 2.0 * m).sqrt());
        let k = k.min(LIMIT_USE / velocity.worst_ratio(&e).max(1e-300));
        e.map(|e| k * e)
    }

    /// The velocity nearest to `wanted` on the straight line towards it that the acceleration limits allow in one tick.
    pub fn accelerate(&self, wanted: &Q, acceleration: &Sides) -> Q {
        let change = map2(wanted, &self.v, |w, v| w - v);
        let ratio = acceleration.worst_ratio(&change) / (LIMIT_USE * DT);
        let part = 1.0 / ratio.max(1.0);
        map2(&self.v, &change, |v, c| v + part * c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dofs::N;

    const V: Q = [1.2, 1.2, 0.2, 3.0, 3.0, 3.0, 4.0];

    /// The same to both sides, and not.
    fn limits() -> [(Sides, Sides); 2] {
        let a = Sides::even([6.0, 6.0, 1.0, 15.0, 15.0, 15.0, 40.0]);
        let uneven = Sides { down: [6.0, 2.0, 1.0, 15.0, 9.0, 15.0, 40.0], up: [3.0, 6.0, 0.3, 15.0, 15.0, 4.0, 20.0] };
        let v = Sides { down: [1.2, 0.4, 0.2, 3.0, 3.0, 1.0, 4.0], up: [0.5, 1.2, 0.05, 3.0, 2.0, 3.0, 1.0] };
        [(Sides::even(V), a), (v, uneven)]
    }

    fn speeds() -> impl Iterator<Item = Q> {
        (1..200).map(|i| {
            let mut v = [0.0; N];
            for (j, slot) in v.iter_mut().enumerate() {
                // Weyl sequence: spread over [-1, 1], the same on every run.
                let x = f64::from(i) * 0.618_033_988_749_894_9 * (j as f64 + 1.3);
                *slot = (2.0 * x.fract() - 1.0) * V[j] * f64::from(i % 7) / 6.0;
            }
            v
        })
    }

    #[test]
    fn a_stop_is_within_the_acceleration_limits_and_ends_where_it_was_foretold() {
        for (v, (_, a)) in limits().into_iter().flat_map(|l| speeds().map(move |v| (v, l))) {
            let mut s = MotionState { q: [0.1; N], v };
            let (foretold, ticks) = (s.stop(&a), s.brake_ticks(&a));
            let mut used = 0.0;
            while !s.rests() {
                let next = s.advanced(s.brake_velocity(&a));
                for j in 0..N {
                    let change = (next.v[j] - s.v[j]) / DT;
                    assert!(change.abs() <= a.towards(j, change) * (1.0 + 1e-9));
                    assert!(next.v[j].abs() <= s.v[j].abs() && next.v[j] * s.v[j] >= 0.0);
                }
                s = next;
                used += 1.0;
            }
            assert_eq!(used, ticks);
            for j in 0..N {
                assert!((s.q[j] - foretold[j]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn an_approach_arrives_and_never_overshoots() {
        for (i, (goal, (fastest, a))) in limits().into_iter().flat_map(|l| speeds().map(move |v| (v, l))).enumerate() {
            let goal = goal.map(|g| g * 0.3);
            let mut s = MotionState::resting([0.0; N]);
            let mut ticks = 0;
            while s.q != goal && ticks < 5000 {
                let v = s.accelerate(&s.approach(&goal, &fastest, &a), &a);
                let next = s.advanced(v);
                for j in 0..N {
                    let change = (next.v[j] - s.v[j]) / DT;
                    assert!(change.abs() <= a.towards(j, change) + 1e-9, "acceleration of {j} in case {i}");
                    assert!(next.v[j].abs() <= fastest.towards(j, next.v[j]) + 1e-12, "speed of {j} in case {i}");
                    assert!((next.q[j] - goal[j]) * (0.0 - goal[j]) >= -1e-12, "overshoot of {j} in case {i}");
                }
                s = next;
                if s.q.iter().zip(&goal).all(|(a, b)| (a - b).abs() < 1e-12) {
                    break;
                }
                ticks += 1;
            }
            assert!(ticks < 4000, "case {i} took {ticks} ticks");
        }
    }
}
