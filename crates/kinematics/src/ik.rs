//! Inverse kinematics: closed form for PSM and ECM, because a mechanical remote centre decouples them; by descent for arms of their own form.
//!
//! A PSM's RCM, its shaft and its wrist lie in one plane with the wrist-yaw axis, whose normal is the wrist-pitch axis. So the target's
//! jaw-axis position and direction fix that plane, and with it every joint in turn, except where they are parallel (singular).

use crate::Chain;
use nalgebra::{Isometry3, SMatrix, Unit, UnitQuaternion, Vector3, Vector6};
use proctor_types::{Base, Joints, Pose, Tip};
use std::f64::consts::{FRAC_PI_2, TAU};

/// A solution found must reproduce the target to this (m, rad); see the property tests.
const TOLERANCE: f64 = 1e-7;
/// Below this sine (or below this depth in m) a direction is too short to divide by.
const SINGULAR: f64 = 1e-6;
/// Bound on the refinement steps that look for the closest reachable pose.
const MAX_STEPS: usize = 200;
/// Weighs rotation against position in that search: 1 rad counts as much as this many metres.
const METRES_PER_RADIAN: f64 = 0.05;

/// Answer of [`Chain::ik`]. Out-of-reach targets are values, not errors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ik {
    /// Joints within their limits that reach the target within 1e-7 m and 1e-7 rad.
    Solution(Joints),
    /// No joints within their limits reach it.
    Unreachable {
        /// Joints within their limits that come close (a local optimum).
        closest: Joints,
        /// Distance they miss by, m.
        position_error: f64,
        /// Angle they miss by, rad.
        rotation_error: f64,
    },
    /// The target leaves a joint undetermined: at the RCM, or the jaw axis points along the line to the RCM.
    Singular {
        /// Joints within their limits that come close (a local optimum).
        closest: Joints,
        /// Distance they miss by, m.
        position_error: f64,
        /// Angle they miss by, rad.
        rotation_error: f64,
    },
}

impl Ik {
    /// The joints if the target is reached.
    pub fn solution(&self) -> Option<Joints> {
        match self {
            Self::Solution(q) => Some(*q),
            Self::Unreachable { .. } | Self::Singular { .. } => None,
        }
    }

    /// The joints, reaching or closest.
    pub fn joints(&self) -> Joints {
        match self {
            Self::Solution(q) | Self::Unreachable { closest: q, .. } | Self::Singular { closest: q, .. } => *q,
        }
    }
}

impl Chain {
    /// Joints that put the tip at `target`. Of several, the one nearest to `seed` (a seed of wrong length or with NaN counts as mid-range).
    /// For an arm of its own form the answer is the local one near the seed. A non-finite target is `Unreachable` with infinite errors. Uses no heap.
    pub fn ik(&self, target: &Pose<Base, Tip>, seed: &[f64]) -> Ik {
        let seed = Joints::new(seed).ok().filter(|s| s.len() == self.dof()).unwrap_or_else(|| self.mid_range());
        if !target.is_finite() {
            let (position_error, rotation_error) = (f64::INFINITY, f64::INFINITY);
            return Ik::Unreachable { closest: self.limits().clamp(&seed), position_error, rotation_error };
        }
        if self.home().is_some() {
            return self.descend(target, &seed);
        }
        let exact = match self.geometry().wrist_a {
            Some(wrist_a) => self.psm_ik(target.iso(), wrist_a, &seed),
            None => self.ecm_ik(target.iso(), &seed),
        };
        if let Some(q) = exact {
            let q = self.snap(&q);
            let (position, rotation) = self.miss(target, &q);
            if self.limits().contains(&q) && position <= TOLERANCE && rotation <= TOLERANCE {
                return Ik::Solution(q);
            }
        }
        let start = self.limits().clamp(&exact.unwrap_or(seed));
        let closest = self.approach(target, start);
        let (position_error, rotation_error) = self.miss(target, &closest);
        match exact {
            None => Ik::Singular { closest, position_error, rotation_error },
            Some(_) => Ik::Unreachable { closest, position_error, rotation_error },
        }
    }

    fn descend(&self, target: &Pose<Base, Tip>, seed: &Joints) -> Ik {
        let closest = self.approach(target, self.limits().clamp(seed));
        let (position_error, rotation_error) = self.miss(target, &closest);
        if position_error <= TOLERANCE && rotation_error <= TOLERANCE {
            return Ik::Solution(closest);
        }
        Ik::Unreachable { closest, position_error, rotation_error }
    }

    /// An arm of its own form at `point`, its shaft straight from the remote centre, turned from its home the shortest way; `None` out of reach.
    fn aim_from(&self, home: &Joints, point: &nalgebra::Point3<f64>) -> Option<Joints> {
        let rest = self.fk(home).ok()?.rotation();
        let turn = UnitQuaternion::rotation_between(&(rest * Vector3::z()), &point.coords)?;
        let target = Isometry3::from_parts(point.coords.into(), turn * rest);
        self.ik(&Pose::new(target), home).solution()
    }

    /// Joints (roll 0, wrist straight, clamped to the limits) that point the arm from its RCM at `point` (base frame, m) and bring the tip
    /// there. `None` at the RCM and straight to the side.
    pub fn aim(&self, point: &nalgebra::Point3<f64>) -> Option<Joints> {
        let direction = Unit::try_new(point.coords, SINGULAR)?;
        if let Some(home) = self.home() {
            return self.aim_from(&home, point);
        }
        let (q1, q2) = yaw_pitch(&direction)?;
        let mut q = [0.0; proctor_types::MAX_JOINTS];
        for (slot, value) in q.iter_mut().zip([q1, q2, self.insertion_for_depth(point.coords.norm())]) {
            *slot = value;
        }
        Joints::new(q.get(..self.dof())?).ok().map(|q| self.limits().clamp(&q))
    }

    /// Rounding must not push a joint that sits on its limit beyond it.
    fn snap(&self, q: &Joints) -> Joints {
        if self.limits().violation(q, 1e-9).is_none() { self.limits().clamp(q) } else { *q }
    }

    fn psm_ik(&self, target: &Isometry3<f64>, wrist_a: f64, seed: &Joints) -> Option<Joints> {
        let jaw_axis = -(target.rotation * Vector3::x());
        let distal = target.rotation * Vector3::z();
        let p = target.translation.vector;
        let across = p - jaw_axis * p.dot(&jaw_axis);
        let wrist = Unit::try_new(across, SINGULAR * p.norm().max(SINGULAR))?;
        // The other choice, -wrist, folds the wrist back by more than 90 degrees.
        let shaft_end = p - wrist.into_inner() * wrist_a;
        let shaft = Unit::try_new(shaft_end, SINGULAR)?;
        let (q1, q2) = yaw_pitch(&shaft)?;
        let pitch_axis = wrist.cross(&jaw_axis);
        let (right, up) = carriage_axes(q1, q2);
        let q4 = (-pitch_axis.dot(&right)).atan2(pitch_axis.dot(&up));
        let shaft_x = pitch_axis.cross(&shaft);
        let q5 = wrist.dot(&shaft_x).atan2(wrist.dot(&shaft));
        let q6 = (-distal.dot(&pitch_axis)).atan2(distal.dot(&wrist));
        let q3 = shaft_end.norm() - self.geometry().depth_at_zero;
        Joints::new(&[q1, q2, q3, self.unwrapped_roll(q4, seed), q5, q6]).ok()
    }

    fn ecm_ik(&self, target: &Isometry3<f64>, seed: &Joints) -> Option<Joints> {
        let p = target.translation.vector;
        let view = Unit::try_new(p, SINGULAR)?;
        let (q1, q2) = yaw_pitch(&view)?;
        let (right, up) = carriage_axes(q1, q2);
        let x = target.rotation * Vector3::x();
        let q4 = x.dot(&up).atan2(x.dot(&right));
        let q3 = p.norm() - self.geometry().depth_at_zero;
        Joints::new(&[q1, q2, q3, self.unwrapped_roll(q4, seed)]).ok()
    }

    /// The turn of roll nearest to the seed's that is within the limits (or nearest to the seed's, if none is).
    fn unwrapped_roll(&self, roll: f64, seed: &Joints) -> f64 {
        let at = |q: &Joints| q.get(3).copied().unwrap_or(0.0);
        let (lower, upper, near) = (at(&self.limits().lower), at(&self.limits().upper), at(seed));
        let turns = [-2.0, -1.0, 0.0, 1.0, 2.0].map(|k| roll + k * TAU);
        let best = |only_inside: bool| {
            let inside = move |r: &f64| !only_inside || (*r >= lower && *r <= upper);
            turns.into_iter().filter(inside).min_by(|a, b| (a - near).abs().total_cmp(&(b - near).abs()))
        };
        best(true).or_else(|| best(false)).unwrap_or(roll)
    }

    /// (position m, angle rad) between the target and the tip at `q`.
    fn miss(&self, target: &Pose<Base, Tip>, q: &Joints) -> (f64, f64) {
        self.fk(q).map_or((f64::INFINITY, f64::INFINITY), |tip| {
            ((tip.translation() - target.translation()).norm(), tip.rotation().angle_to(&target.rotation()))
        })
    }

    fn cost(&self, target: &Pose<Base, Tip>, q: &Joints) -> f64 {
        let (position, rotation) = self.miss(target, q);
        position.powi(2) + (METRES_PER_RADIAN * rotation).powi(2)
    }

    /// Levenberg-Marquardt with joints clamped to their limits: descends to a nearby local optimum.
    fn approach(&self, target: &Pose<Base, Tip>, start: Joints) -> Joints {
        let (mut q, mut cost, mut damping) = (start, self.cost(target, &start), 1e-6);
        for _ in 0..MAX_STEPS {
            let Some(candidate) = self.damped_step(target, &q, damping) else { break };
            let next = self.cost(target, &candidate);
            if next < cost {
                let gain = cost - next;
                (q, cost, damping) = (candidate, next, f64::max(damping * 0.3, 1e-12));
                if gain < 1e-16 {
                    break;
                }
            } else {
                damping *= 4.0;
                if damping > 1e3 {
                    break;
                }
            }
        }
        q
    }

    fn damped_step(&self, target: &Pose<Base, Tip>, q: &Joints, damping: f64) -> Option<Joints> {
        let (tip, mut jacobian) = self.fk_jacobian(q).ok()?;
        let dp = target.translation() - tip.translation();
        let dr = (target.rotation() * tip.rotation().inverse()).scaled_axis() * METRES_PER_RADIAN;
        let error = Vector6::new(dp.x, dp.y, dp.z, dr.x, dr.y, dr.z);
        for mut row in jacobian.row_iter_mut().skip(3) {
            row *= METRES_PER_RADIAN;
        }
        // A joint pressed against its limit is taken out, so the others can still improve.
        let gradient = jacobian.transpose() * error;
        let limits = self.limits();
        let bounds = limits.lower.iter().zip(limits.upper.iter());
        for (((mut column, &g), &value), (&lower, &upper)) in
            jacobian.column_iter_mut().zip(gradient.iter()).zip(q.iter()).zip(bounds)
        {
            if (value <= lower && g < 0.0) || (value >= upper && g > 0.0) {
                column.fill(0.0);
            }
        }
        let normal = jacobian * jacobian.transpose() + SMatrix::<f64, 6, 6>::identity() * damping;
        let step = jacobian.transpose() * normal.cholesky()?.solve(&error);
        let step = Joints::new(step.as_slice()).ok()?;
        q.zip_with(&step, |a, b| a + b).map(|moved| limits.clamp(&moved))
    }
}

/// Yaw and pitch that turn the instrument along `direction` (unit, from the RCM, base frame); `None` at pitch +-90 degrees.
fn yaw_pitch(direction: &Vector3<f64>) -> Option<(f64, f64)> {
    let q2 = (-direction.y).clamp(-1.0, 1.0).asin();
    (FRAC_PI_2 - q2.abs() > SINGULAR).then(|| (direction.x.atan2(-direction.z), q2))
}

/// x and y axes of the carriage (the frame the roll joint turns in) at yaw `q1` and pitch `q2`, base frame.
fn carriage_axes(q1: f64, q2: f64) -> (Vector3<f64>, Vector3<f64>) {
    let ((s1, c1), (s2, c2)) = (q1.sin_cos(), q2.sin_cos());
    (Vector3::new(-s1 * s2, -c2, c1 * s2), Vector3::new(-c1, 0.0, -s1))
}
