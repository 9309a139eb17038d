//! Recursive estimate of where an arm's base is: the lumped hand-eye and joint error of Richter et al. 2021.
//!
//! State: a left perturbation of `world_from_base`, translation of the remote centre and rotation about it, in world
//! axes. A picture updates it by iterated (Gauss-Newton) maximum a posteriori with Huber weights; between pictures
//! it drifts, so the covariance grows whenever the instrument is not seen. Successive pictures share their errors
//! (see `decorrelation_s`), so each one counts only as much as the time since the last.

use crate::{feature::Feature, geometry::skew, params::FusionParams, tool::Tool};
use nalgebra::{
    Cholesky, Isometry3, Matrix3, Matrix3x6, Matrix6, Point3, Translation3, UnitQuaternion, Vector3, Vector6,
};
use proctor_types::StereoRig;

/// Most features of one picture that are used.
pub const MAX_FEATURES: usize = 32;

/// What an update did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Update {
    /// Features that spoke.
    pub used: usize,
    /// Features beyond the gate.
    pub rejected: usize,
    /// Mean squared innovation over its variance (1 when the covariance is honest), over all features with a residual.
    pub innovation_ratio: f64,
}

/// Recursive estimate of one arm's `world_from_base`.
#[derive(Debug, Clone)]
pub struct HandEyeFilter {
    nominal: Isometry3<f64>,
    pose: Isometry3<f64>,
    covariance: Matrix6<f64>,
    prior: Vector6<f64>,
    /// The point of the instrument, base coordinates, that pictures know best.
    tip: Option<Point3<f64>>,
}

impl HandEyeFilter {
    /// Starts at the nominal pose with the prior covariance.
    pub fn new(nominal: Isometry3<f64>, params: &FusionParams) -> Self {
        let (t, r) = (params.prior_translation_m.powi(2), params.prior_rotation_rad.powi(2));
        let prior = Vector6::new(t, t, t, r, r, r);
        Self { nominal, pose: nominal, covariance: Matrix6::from_diagonal(&prior), prior, tip: None }
    }

    /// The current `world_from_base`.
    pub fn pose(&self) -> &Isometry3<f64> {
        &self.pose
    }

    /// Covariance of (remote centre m, rotation vector rad) in world axes.
    pub fn covariance_at_base(&self) -> &Matrix6<f64> {
        &self.covariance
    }

    /// Covariance of a left perturbation about the world origin: `world_from_base' = Exp(xi) world_from_base` with
    /// `xi` = (translation, rotation vector), as `HandEye::covariance` is defined.
    pub fn covariance_in_world(&self) -> Matrix6<f64> {
        // Moving the remote centre c by dt while turning by w about it equals turning about the origin and moving by
        // dt - w x c = dt + [c]x w.
        self.moved_covariance(&skew(&self.pose.translation.vector))
    }

    /// Covariance (translation m, rotation vector rad) in world axes of a point fixed to the base.
    pub fn covariance_of(&self, point: &Point3<f64>) -> Matrix6<f64> {
        let lever = point.coords - self.pose.translation.vector;
        self.moved_covariance(&-skew(&lever))
    }

    fn moved_covariance(&self, coupling: &Matrix3<f64>) -> Matrix6<f64> {
        let mut j = Matrix6::identity();
        j.fixed_view_mut::<3, 3>(0, 3).copy_from(coupling);
        symmetric(&(j * self.covariance * j.transpose()))
    }

    /// Where the arm stands by the cell's description.
    pub fn nominal(&self) -> &Isometry3<f64> {
        &self.nominal
    }

    /// How far the estimate is from nominal: (m at the remote centre, rad).
    pub fn correction(&self) -> (f64, f64) {
        let moved = (self.pose.translation.vector - self.nominal.translation.vector).norm();
        (moved, self.pose.rotation.angle_to(&self.nominal.rotation))
    }

    /// Lets `dt` seconds pass: adds drift, up to the prior.
    pub fn predict(&mut self, dt: f64, params: &FusionParams) {
        let dt = dt.clamp(0.0, 10.0);
        let (t, r) = (params.drift_translation.powi(2) * dt, params.drift_rotation.powi(2) * dt);
        for (i, drift) in [t, t, t, r, r, r].into_iter().enumerate() {
            let room = (self.prior[i] - self.covariance[(i, i)]).max(0.0);
            self.covariance[(i, i)] += drift.min(room);
        }
    }

    /// Forgets what was learnt about the uncertainty, so that a contradiction can be resolved, and of the estimate all but where it puts the
    /// instrument's tip: of the places of the base that leave it there the likeliest. What pictures of one view cannot tell, as a turn about the
    /// tip, would else wander farther from nominal each time.
    pub fn reopen(&mut self) {
        /// How well the tip stays, m.
        const KEPT: f64 = 2e-4;
        let prior = Matrix6::from_diagonal(&self.prior);
        self.covariance = prior;
        let Some(tip) = self.tip else { return };
        let (seen, start) = (self.pose * tip, self.pose);
        for _ in 0..4 {
            let mut j = Matrix3x6::identity();
            j.fixed_view_mut::<3, 3>(0, 3).copy_from(&-skew(&(self.pose * tip - self.pose.translation.vector).coords));
            let back = self.nominal.translation.vector - self.pose.translation.vector;
            let turn = (self.nominal.rotation * self.pose.rotation.inverse()).scaled_axis();
            let nominal = Vector6::from_iterator(back.iter().chain(turn.iter()).copied());
            let spread = j * prior * j.transpose() + Matrix3::identity() * (KEPT * KEPT);
            let off = (seen - self.pose * tip) - j * nominal;
            let Some(solved) = Cholesky::new(spread).map(|s| s.solve(&off)) else { break };
            self.pose = self.moved(&(nominal + prior * j.transpose() * solved));
        }
        if !self.pose.to_homogeneous().iter().all(|v| v.is_finite()) {
            self.pose = start;
        }
    }

    /// Back to nominal.
    pub fn reset(&mut self) {
        (self.pose, self.tip) = (self.nominal, None);
        self.reopen();
    }

    /// The tip may be so far, m, from where it is believed to be, in addition to what was doubted.
    pub fn widen(&mut self, far: f64) {
        /// Lever by which that is a turn, m.
        const LEVER: f64 = 0.1;
        let (t, r) = (far.powi(2), (far / LEVER).powi(2));
        self.covariance += Matrix6::from_diagonal(&Vector6::new(t, t, t, r, r, r));
    }

    /// Takes in one picture's features of an instrument (`tool` in base coordinates). `weight` in (0, 1] scales their
    /// information. Nothing changes when every feature is beyond the gate (then `used` is 0), and nothing changes on `None`:
    /// the equations could not be solved.
    pub fn update(
        &mut self,
        features: &[Feature],
        tool: &Tool,
        camera_from_world: &Isometry3<f64>,
        rig: &StereoRig,
        weight: f64,
        params: &FusionParams,
    ) -> Option<Update> {
        let prior_information = Cholesky::new(self.covariance)?.inverse();
        let residuals = |x: &Vector6<f64>, out: &mut [Option<f64>; MAX_FEATURES]| {
            let seen = tool.transformed(&(camera_from_world * self.moved(x)));
            for (slot, feature) in out.iter_mut().zip(features) {
                *slot = feature.residual(&seen, rig);
            }
        };
        let mut used = [false; MAX_FEATURES];
        let mut report = Update::default();
        let mut x = Vector6::zeros();
        let mut information = prior_information;
        for iteration in 0..6 {
            let mut at_x = [None; MAX_FEATURES];
            residuals(&x, &mut at_x);
            let rows = jacobian(&x, &at_x, &residuals);
            let mut gradient = prior_information * x;
            information = prior_information;
            for (i, feature) in features.iter().enumerate().take(MAX_FEATURES) {
                let (Some(r), Some(row)) = (at_x[i], rows[i]) else { continue };
                let variance = feature.sigma * feature.sigma;
                let spread = (row.dot(&(self.covariance * row)) + variance).sqrt();
                if iteration == 0 {
                    used[i] = r.abs() <= params.gate * spread;
                    report.used += usize::from(used[i]);
                    report.rejected += usize::from(!used[i]);
                    report.innovation_ratio += (r / spread).powi(2).min(100.0);
                }
                if !used[i] {
                    continue;
                }
                // Before the first step most of a residual is the prior's doing, not the measurement's.
                let scaled = r.abs() / if iteration == 0 { spread } else { feature.sigma };
                let huber = if scaled <= params.huber { 1.0 } else { params.huber / scaled };
                let w = weight * huber / variance;
                gradient += row * (w * r);
                information += row * row.transpose() * w;
            }
            if report.used == 0 {
                report.innovation_ratio /= report.rejected.max(1) as f64;
                return Some(report);
            }
            let step = Cholesky::new(symmetric(&information))?.solve(&-gradient);
            x += step;
            if step.norm() < 1e-7 {
                break;
            }
        }
        report.innovation_ratio /= (report.used + report.rejected) as f64;
        let covariance = Cholesky::new(symmetric(&information))?.inverse();
        let finite = x.iter().chain(covariance.iter()).all(|v| v.is_finite());
        if !finite {
            return None;
        }
        self.pose = self.moved(&x);
        self.pose.rotation.renormalize();
        self.covariance = symmetric(&covariance);
        self.tip = Some(tool.yaw);
        Some(report)
    }

    fn moved(&self, x: &Vector6<f64>) -> Isometry3<f64> {
        let translation = self.pose.translation.vector + x.fixed_rows::<3>(0);
        let turn = Vector3::new(x[3], x[4], x[5]);
        Isometry3::from_parts(
            Translation3::from(translation),
            UnitQuaternion::from_scaled_axis(turn) * self.pose.rotation,
        )
    }
}

/// Forward differences of every residual with respect to the six states.
fn jacobian(
    x: &Vector6<f64>,
    at_x: &[Option<f64>; MAX_FEATURES],
    residuals: &impl Fn(&Vector6<f64>, &mut [Option<f64>; MAX_FEATURES]),
) -> [Option<Vector6<f64>>; MAX_FEATURES] {
    /// 10 um and 1e-5 rad: far above rounding, far below the geometry's curvature.
    const STEP: f64 = 1e-5;
    let mut rows = [Some(Vector6::zeros()); MAX_FEATURES];
    for axis in 0..6 {
        let mut moved = *x;
        moved[axis] += STEP;
        let mut there = [None; MAX_FEATURES];
        residuals(&moved, &mut there);
        for i in 0..MAX_FEATURES {
            match (at_x[i], there[i], rows[i].as_mut()) {
                (Some(a), Some(b), Some(row)) => row[axis] = (b - a) / STEP,
                _ => rows[i] = None,
            }
        }
    }
    rows
}

fn symmetric(m: &Matrix6<f64>) -> Matrix6<f64> {
    (m + m.transpose()) * 0.5
}

#[cfg(test)]
#[path = "hand_eye_tests.rs"]
mod tests;
