//! One joint's servo loop: critically damped tracking that never exceeds position, velocity or acceleration limits.

use crate::TICK_S;

/// Share of the acceleration limit that tracking plans to brake with; the rest corrects errors.
const PLANNED_BRAKING: f64 = 0.6;
/// Time constant of the estimate of the target's speed, s: bridges set-points that come at 200 Hz without echoing their steps.
const TARGET_SPEED_LAG: f64 = 20e-3;
/// A target that moves faster than this many times the speed limit is taken for a jump, not for a motion.
const JUMP: f64 = 10.0;

/// One joint: follows a target with second-order dynamics and feed-forward of the target's speed.
///
/// Invariant: from the present speed the joint can always stop before its limits at its acceleration limit; so position, speed and
/// acceleration stay within their limits on every tick, whatever the target does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Servo {
    position: f64,
    velocity: f64,
    lower: f64,
    upper: f64,
    max_velocity: f64,
    max_acceleration: f64,
    last_target: Option<f64>,
    target_velocity: f64,
}

impl Servo {
    /// At rest at `position` (moved into the range), limits in rad or m and their rates.
    pub fn new(position: f64, (lower, upper): (f64, f64), max_velocity: f64, max_acceleration: f64) -> Self {
        let position = position.max(lower).min(upper);
        let (last_target, target_velocity) = (None, 0.0);
        Self { position, velocity: 0.0, lower, upper, max_velocity, max_acceleration, last_target, target_velocity }
    }

    /// Position, rad or m.
    pub fn position(&self) -> f64 {
        self.position
    }

    /// Velocity, rad/s or m/s.
    pub fn velocity(&self) -> f64 {
        self.velocity
    }

    /// The joint is found at rest at `position` (moved into the range), wherever it was believed to be.
    pub fn found_at(&mut self, position: f64) {
        (self.position, self.velocity) = (self.within(position), 0.0);
        self.forget_target();
    }

    /// `target` moved into the range.
    pub fn within(&self, target: f64) -> f64 {
        target.max(self.lower).min(self.upper)
    }

    /// Where the joint comes to rest if it brakes now.
    pub fn stopping_point(&self) -> f64 {
        self.within(self.position + self.velocity * self.velocity.abs() / (2.0 * self.max_acceleration))
    }

    /// Largest speed from which `distance` suffices to stop, one tick of travel included; 0 for no distance.
    fn braking_speed(&self, distance: f64) -> f64 {
        let per_tick = self.max_acceleration * TICK_S;
        ((per_tick * per_tick + 2.0 * self.max_acceleration * distance.max(0.0)).sqrt() - per_tick).max(0.0)
    }

    /// One tick towards `target` (clamped to the range) with natural frequency `bandwidth` (rad/s).
    pub fn step(&mut self, target: f64, bandwidth: f64) {
        let target = self.within(target);
        let moved = (target - self.last_target.unwrap_or(target)) / TICK_S;
        let moved = moved.clamp(-JUMP * self.max_velocity, JUMP * self.max_velocity);
        self.last_target = Some(target);
        self.target_velocity += (moved - self.target_velocity) * (TICK_S / TARGET_SPEED_LAG);
        let error = target - self.position;
        let approach = self.approach_speed(error.abs(), 0.5 * bandwidth).copysign(error);
        self.drive(self.target_velocity + approach, 2.0 * bandwidth);
    }

    /// Speed relative to a target `distance` away: proportional close by, from farther off what planned braking can take back.
    fn approach_speed(&self, distance: f64, gain: f64) -> f64 {
        let braking = PLANNED_BRAKING * self.max_acceleration;
        let close = braking / (gain * gain);
        if distance <= close { gain * distance } else { (2.0 * braking * (distance - 0.5 * close)).sqrt() }
    }

    /// Forgets how the target moved: the next one is a new one.
    pub fn forget_target(&mut self) {
        (self.last_target, self.target_velocity) = (None, 0.0);
    }

    /// One tick of braking.
    pub fn brake(&mut self) {
        self.forget_target();
        self.drive(0.0, f64::INFINITY);
    }

    /// One tick towards velocity `wanted`; `gain` (1/s) shapes the approach.
    fn drive(&mut self, wanted: f64, gain: f64) {
        let wanted = wanted.clamp(-self.max_velocity, self.max_velocity);
        let most = self.max_acceleration * TICK_S;
        let shaped = (wanted - self.velocity) * (gain * TICK_S).min(1.0);
        let up = self.braking_speed(self.upper - self.position);
        let down = self.braking_speed(self.position - self.lower);
        self.velocity = (self.velocity + shaped.clamp(-most, most)).clamp(-down, up);
        self.position = self.within(self.position + self.velocity * TICK_S);
    }

    /// Whether the joint is at `target` and at rest, within `tolerance` (rad or m; per second for the speed).
    pub fn settled(&self, target: f64, tolerance: f64) -> bool {
        (self.position - self.within(target)).abs() <= tolerance && self.velocity.abs() <= tolerance
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BANDWIDTH: f64 = 120.0;

    #[test]
    fn a_step_settles_without_overshoot_in_the_time_the_limits_allow() {
        // 0.6 rad at 1.2 rad/s: 0.2 s up at 6 rad/s^2, 0.33 s down at 60 % of that, 0.28 s in between; then the last decimals.
        let mut servo = Servo::new(0.0, (-1.0, 1.0), 1.2, 6.0);
        let (mut highest, mut settled_at) = (0.0_f64, None);
        for tick in 0..2000 {
            servo.step(0.6, BANDWIDTH);
            highest = highest.max(servo.position());
            if settled_at.is_none() && servo.settled(0.6, 1e-3) {
                settled_at = Some(f64::from(tick) * TICK_S);
            }
        }
        let settled_at = settled_at.unwrap();
        assert!((0.75..0.95).contains(&settled_at), "{settled_at}");
        assert!(highest < 0.6 + 1e-4, "{highest}");
    }

    #[test]
    fn a_ramp_is_followed_without_lasting_lag() {
        let mut servo = Servo::new(0.0, (-10.0, 10.0), 1.2, 6.0);
        let mut target = 0.0;
        for _ in 0..2000 {
            target += 0.3 * TICK_S;
            servo.step(target, BANDWIDTH);
        }
        assert!((target - servo.position()).abs() < 0.3 * TICK_S * 1.5, "{}", target - servo.position());
        assert!((servo.velocity() - 0.3).abs() < 1e-6);
    }

    #[test]
    fn set_points_at_200_hz_give_nearly_the_motion_of_1_khz() {
        let wave = |tick: i32| 0.2 * (f64::from(tick) * TICK_S * 2.0).sin();
        let run = |every: i32| {
            let mut servo = Servo::new(0.0, (-1.0, 1.0), 1.2, 6.0);
            let mut worst = 0.0_f64;
            for tick in 0..4000 {
                servo.step(wave(tick - tick % every), BANDWIDTH);
                if tick > 500 {
                    worst = worst.max((servo.position() - wave(tick)).abs());
                }
            }
            worst
        };
        // At most 0.4 rad/s: a set-point 4 ms old is up to 1.6 mrad behind.
        assert!(run(1) < 1e-3, "{}", run(1));
        assert!(run(5) < 2.5e-3, "{}", run(5));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(3), ..ProptestConfig::default()
        })]

        #[test]
        fn no_target_makes_a_joint_exceed_its_limits(
            targets in proptest::collection::vec((prop_oneof![-3.0..3.0_f64, Just(f64::MAX), Just(f64::MIN)], 1..400_usize), 1..12),
            bandwidth in 10.0..400.0_f64,
            start in -2.0..2.0_f64,
        ) {
            let (lower, upper, v, a) = (-1.0, 0.7, 1.2, 6.0);
            let mut servo = Servo::new(start, (lower, upper), v, a);
            for (target, ticks) in targets {
                for tick in 0..ticks {
                    let before = servo;
                    if tick % 97 == 96 { servo.brake() } else { servo.step(target, bandwidth) }
                    prop_assert!(servo.position() >= lower && servo.position() <= upper);
                    prop_assert!(servo.velocity().abs() <= v);
                    prop_assert!((servo.velocity() - before.velocity()).abs() <= a * TICK_S * (1.0 + 1e-9));
                    let moved = servo.position() - before.position();
                    prop_assert!((moved - servo.velocity() * TICK_S).abs() < 1e-12, "no jump at the end stop");
                }
            }
        }
    }
}
