//! Plays a [`Plan`]: where on the path the set-point is, how fast it goes, and what it could do in the next tick.
//!
//! Invariant: the rate is at most what the plan allows here, so that braking along the path at the plan's `alpha` keeps
//! every later limit; see [`crate::plan`].

use crate::{
    body::Body,
    braking::MotionState,
    dofs::{DT, LIMIT_USE, Q, Sides, map2},
    plan::{Knot, Plan},
};

/// Place on a path.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Player {
    /// Index of the segment.
    segment: usize,
    /// Path time, s.
    tau: f64,
    /// Rate, [0, 1].
    rate: f64,
}

/// A tick the player could do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Place after it.
    pub player: Player,
    /// Position after it, on the path.
    pub q: Q,
    /// Velocity over it.
    pub v: Q,
}

impl Player {
    /// Rate, [0, 1].
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Path time, s.
    pub fn tau(&self) -> f64 {
        self.tau
    }

    /// Whether the end is reached and the path rests.
    pub fn done(&self, plan: &Plan) -> bool {
        self.tau >= plan.duration() && self.rate == 0.0
    }

    /// Position on the path.
    pub fn position(&self, plan: &Plan) -> Q {
        match self.around(plan) {
            Some((_, b)) if self.tau >= b.t => b.q,
            Some((a, _)) => map2(&a.q, &a.u, |q, u| q + u * (self.tau - a.t)),
            None => plan.start(),
        }
    }

    /// The fastest next tick.
    pub fn forward(&self, plan: &Plan, from: &MotionState) -> Option<Step> {
        let (a, b) = self.around(plan)?;
        let wanted = (self.rate + a.own * DT).min(a.cap);
        self.step_at(plan, from, self.limited(plan, a, b, wanted))
    }

    /// The gentlest next tick of a stop along the path.
    pub fn slower(&self, plan: &Plan, from: &MotionState) -> Option<Step> {
        let (a, b) = self.around(plan)?;
        let wanted = (self.rate - a.own * DT).max(0.0);
        self.step_at(plan, from, self.limited(plan, a, b, wanted))
    }

    /// The next tick of the hardest stop along the path that the acceleration limits allow.
    pub fn hard(&self, plan: &Plan, from: &MotionState, acceleration: &Sides) -> Option<Step> {
        let (a, _) = self.around(plan)?;
        let full = LIMIT_USE * DT / acceleration.worst_ratio(&a.u.map(|u| -u)).max(1e-300);
        let hard = self.step_at(plan, from, (self.rate - full).max(0.0))?;
        let change = map2(&hard.v, &from.v, |a, b| a - b);
        if acceleration.worst_ratio(&change) <= DT * (0.5 + 0.5 * LIMIT_USE) {
            Some(hard)
        } else {
            self.slower(plan, from)
        }
    }

    /// A tick between two of the same player, `part` of the way from `low` to `high`.
    pub fn between(&self, plan: &Plan, from: &MotionState, low: &Step, high: &Step, part: f64) -> Option<Step> {
        let (l, h) = (low.player.rate, high.player.rate);
        self.step_at(plan, from, l + part * (h - l))
    }

    /// Where a stop along the path from here ends, and half-way there.
    pub fn stop(&self, plan: &Plan) -> (Self, Self) {
        (self.stopping(plan, 0.5), self.stopping(plan, 1.0))
    }

    /// As [`Player::stop`]: after this part of the way.
    pub fn stopping(&self, plan: &Plan, part: f64) -> Self {
        // Alphas of later segments may be smaller; the smallest within reach bounds the way.
        let alpha = self.least_alpha(plan);
        self.moved(plan, part * self.rate * self.rate / (2.0 * alpha))
    }

    /// The most any point of the arm moves between this place and a later one on the same path, m.
    pub fn travel(&self, plan: &Plan, body: &Body, later: &Self) -> f64 {
        let mut at = self.position(plan);
        let mut sum = 0.0;
        for k in plan.knots().iter().skip(self.segment + 1).take(later.segment.saturating_sub(self.segment)) {
            sum += body.travel(&at, &k.q);
            at = k.q;
        }
        sum + body.travel(&at, &later.position(plan))
    }

    fn least_alpha(&self, plan: &Plan) -> f64 {
        let mut least = f64::INFINITY;
        for k in plan.knots().iter().skip(self.segment) {
            if k.t > self.tau + self.rate * self.rate / (2.0 * least) {
                break;
            }
            least = least.min(k.alpha);
        }
        least
    }

    fn moved(&self, plan: &Plan, way: f64) -> Self {
        let tau = (self.tau + way).min(plan.duration());
        let mut segment = self.segment;
        while plan.knots().get(segment + 1).is_some_and(|k| k.t <= tau) && segment + 2 < plan.knots().len() {
            segment += 1;
        }
        Self { segment, tau, rate: self.rate }
    }

    fn around<'a>(&self, plan: &'a Plan) -> Option<(&'a Knot, &'a Knot)> {
        Some((plan.knots().get(self.segment)?, plan.knots().get(self.segment + 1)?))
    }

    /// The rate up to `wanted` from which every later limit can still be kept.
    fn limited(&self, plan: &Plan, a: &Knot, b: &Knot, wanted: f64) -> f64 {
        let left = (b.t - self.tau).max(0.0);
        let last = self.segment + 2 >= plan.knots().len();
        // r^2 <= b^2 + 2 alpha (left - r dt), solved for r.
        let braking = -a.alpha * DT + (a.alpha * a.alpha * DT * DT + b.rate * b.rate + 2.0 * a.alpha * left).sqrt();
        let mut rate = wanted.min(braking);
        if last {
            // The last bit is one step, if a rest can follow it.
            if left <= a.alpha * DT * DT && left <= wanted * DT {
                return left / DT;
            }
            rate = rate.min(left / DT);
        } else if rate * DT > left {
            // Braking comes to the point at no more than its rate, which the cap beyond allows; rounding does not count.
            rate = rate.min(b.rate);
            let beyond = self.moved(plan, rate * DT);
            if let Some((a, b)) = beyond.around(plan) {
                rate = rate.min((b.rate * b.rate + 2.0 * a.alpha * (b.t - beyond.tau)).sqrt());
            }
        }
        rate.max(0.0)
    }

    fn step_at(&self, plan: &Plan, from: &MotionState, rate: f64) -> Option<Step> {
        let player = Self { rate, ..self.moved(plan, rate * DT) };
        // A rest stays exactly where it is: rounding of the path must not become a velocity.
        let q = if rate == 0.0 { from.q } else { player.position(plan) };
        let v = map2(&q, &from.q, |b, a| (b - a) / DT);
        v.iter().all(|x| x.is_finite()).then_some(Step { player, q, v })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SafetyParams, dofs::Bounds};
    use proctor_kinematics::Chain;
    use proctor_types::ArmId;

    fn plan(points: &[(f64, [f64; 6], f64)]) -> Plan {
        let places = points
            .iter()
            .map(|&(t, [yaw, pitch, depth, roll, bend, turn], jaw)| (t, [yaw, pitch, depth, roll, bend, turn, jaw]));
        crate::plan::plan_tests::plan(&places.collect::<Vec<_>>()).unwrap()
    }

    fn bounds() -> Bounds {
        let params = SafetyParams::default();
        let psm = Chain::psm(&proctor_kinematics::Instrument::named(&params.instruments[0]).unwrap()).unwrap();
        Bounds::new(ArmId::Psm1, psm.limits(), &params)
    }

    /// Distance of `q` from the polyline, largest joint.
    fn off_path(plan: &Plan, q: &Q) -> f64 {
        plan.knots()
            .windows(2)
            .map(|w| {
                let d: Vec<f64> = (0..7).map(|j| w[1].q[j] - w[0].q[j]).collect();
                let len2: f64 = d.iter().map(|x| x * x).sum();
                let s = (0..7).map(|j| (q[j] - w[0].q[j]) * d[j]).sum::<f64>() / len2.max(1e-300);
                let s = s.clamp(0.0, 1.0);
                (0..7).map(|j| (q[j] - w[0].q[j] - s * d[j]).abs()).fold(0.0, f64::max)
            })
            .fold(f64::INFINITY, f64::min)
    }

    /// Runs the plan; holds while `held(tick)`. Checks every limit by finite differences. Returns ticks used.
    fn run(plan: &Plan, held: impl Fn(usize) -> bool) -> usize {
        let b = bounds();
        let (mut player, mut at) = (Player::default(), MotionState::resting(plan.start()));
        for tick in 0..200_000 {
            if player.done(plan) {
                assert_eq!(at.q, plan.knots().last().unwrap().q);
                return tick;
            }
            let step = if held(tick) { player.forward(plan, &at) } else { player.slower(plan, &at) }.unwrap();
            for j in 0..7 {
                let accel = (step.v[j] - at.v[j]) / DT;
                assert!(accel.abs() <= b.acceleration.up[j], "tick {tick}: joint {j} accelerates by {accel}");
                assert!(step.v[j].abs() <= b.velocity.up[j], "tick {tick}: joint {j} at {}", step.v[j]);
            }
            assert!(off_path(plan, &step.q) < 1e-12, "tick {tick}: off the path");
            assert!(step.player.tau >= player.tau);
            at = MotionState { q: step.q, v: step.v };
            player = step.player;
        }
        panic!("never arrived");
    }

    const HOME: [f64; 6] = [0.0, 0.0, 0.16, 0.0, 0.0, 0.0];

    /// Joints at `i` of `n` along a minimum-jerk move: what autonomy sends.
    fn smooth(n: usize, spacing: f64) -> Vec<(f64, [f64; 6], f64)> {
        (0..=n)
            .map(|i| {
                let s = i as f64 / n as f64;
                let x = s * s * s * (10.0 - 15.0 * s + 6.0 * s * s);
                let q = [0.1 * x, -0.08 * x, 0.16 + 0.02 * x, 0.5 * x, 0.2 * x, -0.1 * x];
                (i as f64 * spacing, q, 0.4 * x)
            })
            .collect()
    }

    #[test]
    fn a_smooth_motion_takes_its_own_time() {
        let p = plan(&smooth(150, 0.02));
        let ticks = run(&p, |_| true);
        assert!((3000..3400).contains(&ticks), "{ticks} ticks for 3000 ms");
    }

    #[test]
    fn sharp_corners_are_slowed_not_cut() {
        let mut q = HOME;
        q[0] = 0.2;
        let mut r = HOME;
        (r[0], r[2]) = (-0.1, 0.18);
        let p = plan(&[(0.0, HOME, 0.0), (0.3, q, 0.5), (0.6, r, 0.0), (0.602, r, 0.001), (1.5, HOME, 0.3)]);
        run(&p, |_| true);
    }

    #[test]
    fn releasing_and_holding_again_at_any_time_keeps_every_limit() {
        let mut q = HOME;
        (q[0], q[3]) = (0.05, 0.3);
        let p = plan(&[(0.0, HOME, 0.0), (0.4, q, 0.2), (0.8, HOME, 0.0), (1.0, HOME, 0.4)]);
        for period in [3, 17, 40, 97, 211] {
            run(&p, |tick| (tick / period) % 3 != 2);
        }
    }

    #[test]
    fn a_slow_stretch_between_violent_ones_stops_as_quickly_as_any() {
        // 0.05 rad/s for two seconds, between two strokes that could only be run at a hundredth of their rate.
        let home = [0.0, 0.0, 0.16, 0.0, 0.0, 0.0];
        let at = |x: f64| [x, 0.0, 0.16, 0.0, 0.0, 0.0];
        let plan = plan(&[(0.0, home, 0.2), (0.002, at(0.1), 0.2), (2.002, at(0.2), 0.2), (2.004, at(0.3), 0.2)]);
        let (mut player, mut motion) = (Player::default(), MotionState::resting(plan.start()));
        let mut go = |player: &mut Player, stop: bool| {
            let step = if stop { player.slower(&plan, &motion) } else { player.forward(&plan, &motion) }.unwrap();
            motion = MotionState { q: step.q, v: step.v };
            *player = step.player;
        };
        while player.tau < 1.0 {
            go(&mut player, false);
        }
        assert!(player.rate > 0.0);
        let ticks = (0..1000)
            .take_while(|_| {
                go(&mut player, true);
                player.rate > 0.0
            })
            .count();
        assert!(ticks < 200, "{ticks} ticks");
    }

    #[test]
    fn a_stop_along_the_path_ends_where_it_was_foretold_or_before() {
        let p = plan(&smooth(150, 0.02));
        let (mut player, mut at) = (Player::default(), MotionState::resting(p.start()));
        for tick in 0..2900 {
            let step = player.forward(&p, &at).unwrap();
            (player, at) = (step.player, MotionState { q: step.q, v: step.v });
            if tick % 53 == 0 {
                let foretold = player.stop(&p).1.tau;
                let (mut braking, mut s) = (player, at);
                while braking.rate() > 0.0 {
                    let step = braking.slower(&p, &s).unwrap();
                    (braking, s) = (step.player, MotionState { q: step.q, v: step.v });
                }
                assert!(braking.tau() <= foretold + 1e-12, "tick {tick}");
            }
        }
    }

    #[test]
    fn random_polylines_keep_every_limit() {
        for seed in 0..40u32 {
            let w = |i: usize, j: usize| {
                2.0 * (f64::from(seed + 1) * 0.618 * (i as f64 + 1.3) * (j as f64 + 0.7)).fract() - 1.0
            };
            let mut t = 0.0;
            let points: Vec<_> = (0..12)
                .map(|i| {
                    if i > 0 {
                        t += MIN + 0.2 * (w(i, 9) + 1.0) * (w(i, 8) + 1.0);
                    }
                    let q =
                        [0.1 * w(i, 0), 0.1 * w(i, 1), 0.16 + 0.02 * w(i, 2), w(i, 3), 0.8 * w(i, 4), 0.8 * w(i, 5)];
                    (t, q, 0.4 + 0.3 * w(i, 6))
                })
                .collect();
            run(&plan(&points), |tick| !(tick / 50 + seed as usize).is_multiple_of(4));
        }
    }
    const MIN: f64 = crate::plan::MIN_SPACING;
}

#[cfg(test)]
#[path = "player_tests.rs"]
mod player_tests;
