//! Time law of one path segment, and the joint path sampled with it.
//!
//! A segment starts and ends at rest. Its speed rises along the smooth step `3x^2 - 2x^3` over the first [`RAMP`] of the time,
//! cruises, and falls the same way: position, velocity and acceleration are continuous and the jerk is bounded. The only free
//! quantity is the duration; it grows until every limit holds at every sample, checked by finite differences of the very points
//! that are proposed.

use super::{JointPath, PathPoint};
use crate::{Declined, MotionParams, Phase};
use nalgebra::Point3;
use proctor_kinematics::JointLimits;
use proctor_types::{ArmId, Joints, Trajectory, TrajectoryPoint};

/// Part of a segment's time spent speeding up; the same part is spent slowing down.
pub const RAMP: f64 = 0.35;
/// Most rounds of stretching before a segment is declined.
const MAX_ROUNDS: usize = 12;
/// Joint step between two samples (rad or m) beyond which inverse kinematics has changed its branch.
const MAX_STEP: f64 = 0.35;

/// Path fraction in [0, 1] at the time fraction `u` in [0, 1].
pub fn profile(u: f64) -> f64 {
    let cruise = 1.0 / (1.0 - RAMP);
    let rise = |u: f64| {
        let x = (u / RAMP).clamp(0.0, 1.0);
        cruise * RAMP * (x.powi(3) - 0.5 * x.powi(4))
    };
    if u <= RAMP {
        rise(u.max(0.0))
    } else if u < 1.0 - RAMP {
        cruise * (0.5 * RAMP + (u - RAMP))
    } else {
        1.0 - rise((1.0 - u).max(0.0))
    }
}

/// Peak of the time derivative of [`profile`], per unit of time fraction.
pub const PEAK_SPEED: f64 = 1.0 / (1.0 - RAMP);

/// One piece of a motion, from rest to rest.
pub struct Segment<'a> {
    /// What the piece is for.
    pub phase: Phase,
    /// Where it goes.
    pub path: &'a dyn JointPath,
    /// Largest tip speed, m/s.
    pub speed: f64,
    /// Jaw angle at its end, rad.
    pub jaw: f64,
}

/// A motion sampled in time.
#[derive(Debug, Clone)]
pub struct Timed {
    /// The trajectory.
    pub trajectory: Trajectory,
    /// Phase of each trajectory point.
    pub phases: Vec<Phase>,
}

impl Timed {
    /// Time at which `phase` begins, s.
    pub fn begins(&self, phase: Phase) -> Option<f64> {
        self.phases.iter().position(|&p| p == phase).and_then(|i| self.trajectory.points().get(i)).map(|p| p.t)
    }
}

/// Where every motion begins.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// Which arm.
    pub arm: ArmId,
    /// Measured joints.
    pub joints: Joints,
    /// Measured jaw angle, rad.
    pub jaw: f64,
}

/// Samples `segments` one after the other from `start`, each as fast as `motion` and `limits` allow.
pub fn parameterise(
    start: Start,
    segments: &[Segment<'_>],
    limits: &JointLimits,
    motion: &MotionParams,
) -> Result<Timed, Declined> {
    let budget = ((motion.max_duration / motion.sample_period) as usize).min(Trajectory::MAX_POINTS - 1);
    let mut points = vec![TrajectoryPoint { t: 0.0, position: start.joints, jaw: start.jaw }];
    let mut phases = vec![segments.first().map_or(Phase::Transit, |s| s.phase)];
    let (mut joints, mut jaw) = (start.joints, start.jaw);
    for segment in segments {
        let from = Start { joints, jaw, ..start };
        let left = budget.saturating_sub(points.len() - 1);
        let sampled = sample(&from, segment, limits, motion, left)?;
        for (q, j) in sampled {
            points.push(TrajectoryPoint { t: points.len() as f64 * motion.sample_period, position: q, jaw: j });
            phases.push(segment.phase);
            (joints, jaw) = (q, j);
        }
    }
    let trajectory = Trajectory::new(start.arm, points).map_err(|_| Declined::PathBroken { arm: start.arm })?;
    Ok(Timed { trajectory, phases })
}

/// One segment at the sample period, without its first point.
fn sample(
    from: &Start,
    segment: &Segment<'_>,
    limits: &JointLimits,
    motion: &MotionParams,
    left: usize,
) -> Result<Vec<(Joints, f64)>, Declined> {
    let dt = motion.sample_period;
    let shortest = segment.path.length() / segment.speed;
    let jaw_time = (segment.jaw - from.jaw).abs() / motion.jaw_speed;
    let first = PEAK_SPEED * shortest.max(jaw_time) / dt;
    let too_long = || Declined::TooLong { arm: from.arm, limit: motion.max_duration };
    if !first.is_finite() || first > left as f64 {
        return Err(too_long());
    }
    let mut n = (first.ceil() as usize).max(5);
    for _ in 0..MAX_ROUNDS {
        if n > left {
            return Err(too_long());
        }
        let run = walk(from, segment, limits, motion, n)?;
        if run.stretch <= 1.0 {
            return Ok(run.points.iter().map(|p| (p.joints, p.jaw)).collect());
        }
        let next = n as f64 * run.stretch * 1.005;
        if !next.is_finite() || next > left as f64 {
            return Err(too_long());
        }
        n = (next.ceil() as usize).max(n + 1);
    }
    Err(too_long())
}

struct Sampled {
    joints: Joints,
    jaw: f64,
    tips: [Point3<f64>; 2],
}

struct Run {
    points: Vec<Sampled>,
    /// By how much the time must grow for every limit to hold; at most 1 when they do.
    stretch: f64,
}

fn walk(
    from: &Start,
    segment: &Segment<'_>,
    limits: &JointLimits,
    motion: &MotionParams,
    n: usize,
) -> Result<Run, Declined> {
    let PathPoint { tips, .. } = segment.path.at(0.0, &from.joints)?;
    let mut previous =
        [Sampled { joints: from.joints, jaw: from.jaw, tips }, Sampled { joints: from.joints, jaw: from.jaw, tips }];
    let mut points = Vec::with_capacity(n);
    let mut stretch: f64 = 0.0;
    // One sample past the end, at rest, so that the last corner is checked too.
    for k in 1..=n + 1 {
        let [before, last] = &previous;
        let next = if k <= n {
            let s = if k == n { 1.0 } else { profile(k as f64 / n as f64) };
            let p = segment.path.at(s, &last.joints)?;
            Sampled { joints: p.joints, jaw: from.jaw + s * (segment.jaw - from.jaw), tips: p.tips }
        } else {
            Sampled { ..*last }
        };
        if let Some(joint) = last.joints.iter().zip(next.joints.iter()).position(|(a, b)| (a - b).abs() > MAX_STEP) {
            return Err(Declined::IkBranch { arm: from.arm, joint });
        }
        stretch = stretch.max(needed_stretch([before, last, &next], segment.speed, limits, motion));
        previous = [Sampled { ..*last }, Sampled { ..next }];
        if k <= n {
            points.push(next);
        }
    }
    Ok(Run { points, stretch })
}

/// By how much time must grow around the middle one of three samples.
fn needed_stretch(window: [&Sampled; 3], speed: f64, limits: &JointLimits, motion: &MotionParams) -> f64 {
    let dt = motion.sample_period;
    let [a, b, c] = window;
    // A corner between two linear pieces is one servo period wide; see `MotionParams::servo_period`.
    let corner = motion.servo_period.min(dt);
    let mut stretch: f64 = 0.0;
    let bounds = limits.velocity.iter().zip(limits.acceleration.iter());
    for (((&qa, &qb), &qc), (&v_max, &a_max)) in a.joints.iter().zip(b.joints.iter()).zip(c.joints.iter()).zip(bounds) {
        let (v_max, a_max) = (v_max * motion.limit_fraction, a_max * motion.limit_fraction);
        let velocity = (qc - qb).abs() / dt;
        let jump = (qc - 2.0 * qb + qa).abs() / dt;
        stretch = stretch.max(velocity / v_max).max((jump / corner / a_max).sqrt());
    }
    for (pb, pc) in b.tips.iter().zip(&c.tips) {
        stretch = stretch.max((pc - pb).norm() / dt / speed);
    }
    let jaw_speed = motion.jaw_speed.min(limits.jaw.velocity * motion.limit_fraction);
    let jaw_acceleration = limits.jaw.acceleration * motion.limit_fraction;
    let (velocity, jump) = ((c.jaw - b.jaw).abs() / dt, (c.jaw - 2.0 * b.jaw + a.jaw).abs() / dt);
    // An arm without a jaw has zero limits and a jaw that does not move.
    if velocity > 0.0 || jump > 0.0 {
        stretch = stretch.max(velocity / jaw_speed).max((jump / corner / jaw_acceleration).sqrt());
    }
    stretch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_monotonic_symmetric_and_twice_continuous() {
        let h = 1e-4;
        assert_eq!((profile(0.0), profile(1.0)), (0.0, 1.0));
        let mut u = h;
        let mut acceleration: f64 = 0.0;
        while u < 1.0 - h {
            let (a, b, c) = (profile(u - h), profile(u), profile(u + h));
            assert!(c > b, "rises at {u}");
            assert!((c - b) / h <= PEAK_SPEED + 1e-6, "speed at {u}");
            assert!((profile(1.0 - u) - (1.0 - b)).abs() < 1e-12, "symmetric at {u}");
            let now = (a - 2.0 * b + c) / (h * h);
            // Jerk of the smooth step is at most 6 v / RAMP^2, so the acceleration cannot jump.
            assert!((now - acceleration).abs() <= 6.0 * PEAK_SPEED / (RAMP * RAMP) * h * 1.01 + 1e-3, "jerk at {u}");
            acceleration = now;
            u += h;
        }
    }
}
