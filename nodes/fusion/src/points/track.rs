//! The walk through a recording, point after point, as the running node would: the node's filter and verdict.

use super::{Fit, Judgement, Recording};
use crate::{
    FusionParams, HandEyeFilter,
    feature::{Feature, FeatureKind},
    tool::{Seams, Tool},
    verdict::{Sight, Verdict},
};
use nalgebra::{Isometry3, Matrix3, Matrix6, Point2, Point3, Vector2, Vector3};
use proctor_types::{Alignment, CameraModel, Stamp, StereoRig};

/// What became of a seen point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It spoke.
    Used,
    /// It lies beyond the gate: neither the poses nor the rest of the recording lead there.
    Outlier,
    /// No pose at its time.
    NoPose,
    /// The poses stood still while it moved.
    Frozen,
    /// Left and right do not lie on one row, or the right one not to the left.
    NotStereo,
    /// The point would be behind the camera.
    Behind,
}

impl Fate {
    /// In plain words; empty for [`Fate::Used`].
    pub fn words(self) -> &'static str {
        match self {
            Self::Used => "",
            Self::Outlier => "far from where everything else puts it",
            Self::NoPose => "no pose at its time",
            Self::Frozen => "poses stand still while it moves",
            Self::NotStereo => "left and right cannot be one point",
            Self::Behind => "would be behind the camera",
        }
    }
}

/// What is believed after one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Stamp of the point, s since the start of the recording.
    pub t: f64,
    /// What became of it.
    pub fate: Fate,
    /// Seen less predicted, before it spoke, px; `None` without a pose.
    pub residual: Option<Vector2<f64>>,
    /// Where the base is in the camera.
    pub camera_from_base: Isometry3<f64>,
    /// Its covariance: translation of the base's origin (m) and rotation about it (rad), in the camera's axes.
    pub covariance: Matrix6<f64>,
    /// The point in the camera, m, and its covariance; `None` without a pose.
    pub tip: Option<(Point3<f64>, Matrix3<f64>)>,
    /// The verdict.
    pub alignment: Alignment,
}

/// Largest distance between the rows of a left and a right point, in standard deviations of a point.
const ROWS: f64 = 4.0;
/// Focal length that the parameters' pixels are of.
const NOMINAL_FX: f64 = 560.0;

/// Pixels of parameters are those of the standard camera: a longer focal length makes more of them of the same error.
fn scaled(params: &FusionParams, camera: &CameraModel, fit: &Fit) -> FusionParams {
    let by = (camera.fx / NOMINAL_FX).clamp(0.2, 20.0);
    // Points are as good as the recording shows them to be.
    let sigma = fit.rms_px.clamp(0.5, 40.0);
    FusionParams {
        sigma_keypoint_px: sigma,
        sigma_disparity_px: sigma.min(10.0),
        aligned_px: params.aligned_px * by,
        inconsistent_px: params.inconsistent_px * by,
        ..params.clone()
    }
}

/// Walks through the recording. The constant fit is the nominal base; where nobody told where the base is, its standard deviation is the
/// prior's all the same, so the walk shows how fast it is learnt. `trusted` is whether nothing was found to be wrong.
pub fn track(
    recording: &Recording,
    fit: &Fit,
    judgement: &Judgement,
    trusted: bool,
    params: &FusionParams,
) -> Vec<Estimate> {
    let params = scaled(params, &recording.eyes.camera, fit);
    let nominal = recording.camera_from_base.unwrap_or(fit.camera_from_base);
    let mut walk = Walk {
        filter: HandEyeFilter::new(nominal, &params),
        verdict: Verdict::default(),
        last: None,
        last_update: None,
        rig: StereoRig { left: recording.eyes.camera, baseline: recording.eyes.baseline.unwrap_or(0.0) },
        params,
    };
    (0..recording.seen.len()).map(|i| walk.step(recording, fit, judgement, trusted, i)).collect()
}

struct Walk {
    filter: HandEyeFilter,
    verdict: Verdict,
    last: Option<f64>,
    last_update: Option<f64>,
    rig: StereoRig,
    params: FusionParams,
}

impl Walk {
    fn step(&mut self, recording: &Recording, fit: &Fit, judgement: &Judgement, trusted: bool, i: usize) -> Estimate {
        let seen = &recording.seen[i];
        let dt = self.last.replace(seen.t).map_or(0.0, |last| seen.t - last);
        self.filter.predict(dt, &self.params);
        let at = recording.way.at(seen.t + fit.offset.seconds());
        let expected = at.and_then(|p| recording.eyes.camera.project(&(self.filter.pose() * p)));
        let residual = expected.map(|e| seen.left - e);
        let fate = match (at, residual) {
            (None, _) => Fate::NoPose,
            (Some(_), None) => Fate::Behind,
            _ if judgement.is_frozen(seen.t) => Fate::Frozen,
            _ if !self.is_stereo(seen.left, seen.right) => Fate::NotStereo,
            _ if !fit.used[i] => Fate::Outlier,
            (Some(p), _) => self.update(seen.t, &p, seen.left, seen.right),
        };
        let tip = at.map(|p| self.tip(&p));
        let sight = match (residual, tip) {
            (None, _) | (_, None) => Sight::NoKinematics,
            (Some(r), Some((p, covariance))) => {
                let (metres, radians) = self.filter.correction();
                let implausible = !trusted
                    || recording.camera_from_base.is_some()
                        && (metres > self.params.max_correction_m || radians > self.params.max_correction_rad);
                Sight::Seen {
                    residual_px: r.norm(),
                    pixel_m: p.z / self.rig.left.fx,
                    rejected: f64::from(u8::from(fate != Fate::Used)),
                    tip_sigma: covariance.symmetric_eigenvalues().max().max(0.0).sqrt(),
                    implausible,
                    borne_out: true,
                }
            }
        };
        // A lone bad point is no contradiction: the verdict hears of it as of a moment without sight.
        let sight = if fate == Fate::Outlier || fate == Fate::NotStereo { Sight::Blind } else { sight };
        let now = Stamp::FIRST.plus(std::time::Duration::from_secs_f64(seen.t.max(0.0)));
        self.verdict.observe(now, sight, &self.params);
        Estimate {
            t: seen.t,
            fate,
            residual,
            camera_from_base: *self.filter.pose(),
            covariance: *self.filter.covariance_at_base(),
            tip,
            alignment: self.verdict.alignment(),
        }
    }

    fn is_stereo(&self, left: Point2<f64>, right: Option<Point2<f64>>) -> bool {
        right.is_none_or(|r| left.x > r.x && (left.y - r.y).abs() <= ROWS * 1.5 * self.params.sigma_keypoint_px)
    }

    fn update(&mut self, t: f64, p: &Point3<f64>, left: Point2<f64>, right: Option<Point2<f64>>) -> Fate {
        let sigma = self.params.sigma_keypoint_px;
        let jaw_end =
            |direction| Feature { kind: FeatureKind::JawEnd { at: left, along: direction, direction }, sigma };
        let mut features = vec![jaw_end(Vector2::x()), jaw_end(Vector2::y())];
        if let Some(right) = right.filter(|_| self.rig.baseline > 0.0) {
            features.push(Feature { kind: FeatureKind::EndDisparity { disparity: left.x - right.x }, sigma });
        }
        let fresh = self.last_update.map_or(1.0, |last| ((t - last) / self.params.decorrelation_s).clamp(1e-3, 1.0));
        let here = Isometry3::identity();
        let update = self.filter.update(&features, &point(p), &here, &self.rig, fresh, &self.params);
        match update {
            Some(u) if u.used == features.len() => {
                self.last_update = Some(t);
                Fate::Used
            }
            _ => Fate::Outlier,
        }
    }

    /// The point in the camera with its covariance.
    fn tip(&self, p: &Point3<f64>) -> (Point3<f64>, Matrix3<f64>) {
        let at = self.filter.pose() * p;
        let mut covariance = self.filter.covariance_of(&at).fixed_view::<3, 3>(0, 0).into_owned();
        for k in 0..3 {
            covariance[(k, k)] += self.params.tip_floor_m.powi(2);
        }
        (at, covariance)
    }
}

/// An instrument of which nothing but one point is known.
fn point(p: &Point3<f64>) -> Tool {
    let seams = Seams { shaft_end: 0.0, wrist_end: 0.0 };
    Tool { top: Point3::origin(), pitch: *p, yaw: *p, end: *p, spread: Vector3::zeros(), radii: [1e-4; 3], seams }
}
