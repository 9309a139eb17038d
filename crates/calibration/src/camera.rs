//! Intrinsics of one camera: OpenCV's bundle adjustment over all views, repeated without what contradicts the rest.

use crate::{
    BoardSpec, CalibrationError, FittedView, Intrinsics, MIN_VIEWS, Rejection, View,
    fit::{self, MAX_ROUNDS, Selection},
};
use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector2, Vector3};
use opencv::{
    calib3d,
    core::{Mat, MatTraitConst as _, MatTraitConstManual as _, Point2f, Point3f, Size, TermCriteria, Vector},
};

/// How many radial coefficients are fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Radial {
    /// k1 and k2, and k3 if the pictures show that it is needed.
    #[default]
    Auto,
    /// k1 and k2; k3 is 0, as ROS' camera_calibration has it.
    Two,
    /// k1, k2 and k3.
    Three,
}

/// Standard deviations of the intrinsics (1 sigma, for independent errors of the corners).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntrinsicsSigma {
    /// Of fx, px.
    pub fx: f64,
    /// Of fy, px.
    pub fy: f64,
    /// Of cx, px.
    pub cx: f64,
    /// Of cy, px.
    pub cy: f64,
    /// Of k1, k2, p1, p2, k3; 0 for one that was not fitted.
    pub distortion: [f64; 5],
}

/// A calibrated camera.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraFit {
    /// The camera.
    pub intrinsics: Intrinsics,
    /// How well it is known.
    pub sigma: IntrinsicsSigma,
    /// Every view, used or not.
    pub views: Vec<FittedView>,
    /// What was left out.
    pub rejections: Vec<Rejection>,
    /// RMS of the used corners, px.
    pub rms: f64,
}

impl CameraFit {
    /// Views that the fit used.
    pub fn used_views(&self) -> usize {
        self.views.iter().filter(|v| v.used).count()
    }
}

/// Calibrates a camera of `width` x `height` pictures.
pub fn calibrate_camera(
    board: &BoardSpec,
    (width, height): (u32, u32),
    views: &[View],
    radial: Radial,
) -> Result<CameraFit, CalibrationError> {
    let too_few = |found, left_out| CalibrationError::TooFewViews {
        what: "pictures with a usable board",
        found,
        needed: MIN_VIEWS,
        left_out,
    };
    if views.len() < MIN_VIEWS {
        return Err(too_few(views.len(), Vec::new()));
    }
    let problem = Problem { board, width, height, views };
    let mut selection = Selection::all(views);
    let mut fit = problem.fit(&selection, radial)?;
    for _ in 0..MAX_ROUNDS {
        if !selection.narrow(&fit.errors(&problem)) {
            break;
        }
        if selection.used_views() < MIN_VIEWS {
            let names = views.iter().zip(&selection.views).filter(|(_, used)| !**used).map(|(v, _)| v.name.clone());
            return Err(too_few(selection.used_views(), names.collect()));
        }
        fit = problem.fit(&selection, radial)?;
    }
    let errors = fit.errors(&problem);
    let views: Vec<_> =
        (0..views.len()).map(|v| fit::fitted(&views[v], &errors[v], fit.poses[v], |c| selection.uses(v, c))).collect();
    let (rms, rejections) = (fit::total_rms(&views), selection.rejections(&views));
    Ok(CameraFit { intrinsics: fit.intrinsics, sigma: fit.sigma, views, rejections, rms })
}

struct Problem<'a> {
    board: &'a BoardSpec,
    width: u32,
    height: u32,
    views: &'a [View],
}

struct Raw {
    intrinsics: Intrinsics,
    sigma: IntrinsicsSigma,
    /// Of every view: those left out are placed with the fitted camera.
    poses: Vec<Isometry3<f64>>,
    rms: f64,
}

impl Raw {
    fn errors(&self, problem: &Problem<'_>) -> Vec<Vec<Vector2<f64>>> {
        let each = problem.views.iter().zip(&self.poses);
        each.map(|(view, pose)| fit::errors(problem.board, &self.intrinsics, view, pose)).collect()
    }
}

/// k3 is fitted if it lowers the squared error by this factor of what one more free number does by chance...
const K3_GAIN: f64 = 20.0;
/// ...and is this many standard deviations from 0.
const K3_SIGMAS: f64 = 4.0;

impl Problem<'_> {
    fn fit(&self, selection: &Selection, radial: Radial) -> Result<Raw, CalibrationError> {
        let two = match radial {
            Radial::Three => return self.fit_once(selection, 0),
            Radial::Two | Radial::Auto => self.fit_once(selection, calib3d::CALIB_FIX_K3)?,
        };
        if radial == Radial::Two {
            return Ok(two);
        }
        let Ok(three) = self.fit_once(selection, 0) else { return Ok(two) };
        let numbers: usize = 2 * selection.corners.iter().flatten().filter(|c| **c).count();
        let gain = numbers as f64 * 2.0 * (two.rms / three.rms.max(1e-9)).ln();
        let (k3, sigma) = (three.intrinsics.distortion[4], three.sigma.distortion[4]);
        Ok(if gain > K3_GAIN && k3.abs() > K3_SIGMAS * sigma { three } else { two })
    }

    fn fit_once(&self, selection: &Selection, flags: i32) -> Result<Raw, CalibrationError> {
        let mut objects = Vector::<Vector<Point3f>>::new();
        let mut images = Vector::<Vector<Point2f>>::new();
        for (v, view) in self.views.iter().enumerate().filter(|(v, _)| selection.views[*v]) {
            let corners = view.corners.iter().enumerate().filter(|(c, _)| selection.uses(v, *c));
            let (object, image) = corner_vectors(self.board, corners.map(|(_, c)| c));
            objects.push(object);
            images.push(image);
        }
        let (mut matrix, mut distortion) = (Mat::default(), Mat::default());
        let (mut rotations, mut translations) = (Vector::<Mat>::new(), Vector::<Mat>::new());
        let (mut sigma, mut pose_sigma, mut view_rms) = (Mat::default(), Mat::default(), Mat::default());
        let stop = TermCriteria::new(3, 100, 1e-10)?;
        let rms = calib3d::calibrate_camera_extended(
            &objects,
            &images,
            Size::new(self.width as i32, self.height as i32),
            &mut matrix,
            &mut distortion,
            &mut rotations,
            &mut translations,
            &mut sigma,
            &mut pose_sigma,
            &mut view_rms,
            flags,
            stop,
        )
        .map_err(|e| CalibrationError::Undetermined {
            why: format!(
                "the board must be seen from several sides, tilted by 20 to 40 degrees (OpenCV: {})",
                e.message
            ),
        })?;
        let k = matrix.data_typed::<f64>()?;
        let s = sigma.data_typed::<f64>()?;
        let intrinsics = Intrinsics {
            width: self.width,
            height: self.height,
            fx: k[0],
            fy: k[4],
            cx: k[2],
            cy: k[5],
            distortion: five(distortion.data_typed::<f64>()?),
        };
        if !intrinsics.is_plausible() || !rms.is_finite() {
            return Err(CalibrationError::Undetermined {
                why: format!(
                    "the fit ends at a focal length of {:.0} px; tilt the board by 20 to 40 degrees in several directions",
                    intrinsics.fx
                ),
            });
        }
        let sigma = IntrinsicsSigma { fx: s[0], fy: s[1], cx: s[2], cy: s[3], distortion: five(&s[4..]) };
        let mut fitted = rotations.iter().zip(translations.iter());
        let pose_of = |(v, view): (usize, &View)| match selection.views[v].then(|| fitted.next()).flatten() {
            Some((r, t)) => isometry(&r, &t),
            None => place(self.board, &intrinsics, view),
        };
        let poses = self.views.iter().enumerate().map(pose_of);
        Ok(Raw { intrinsics, sigma, poses: poses.collect::<Result<_, _>>()?, rms })
    }
}

fn five(values: &[f64]) -> [f64; 5] {
    std::array::from_fn(|i| values.get(i).copied().unwrap_or(0.0))
}

/// Corners for OpenCV: on the board (m) and in the picture (px).
pub(crate) fn corner_vectors<'a>(
    board: &BoardSpec,
    corners: impl Iterator<Item = &'a crate::Corner>,
) -> (Vector<Point3f>, Vector<Point2f>) {
    let mut out = (Vector::new(), Vector::new());
    for corner in corners {
        let p = board.point(corner.id);
        out.0.push(Point3f::new(p.x as f32, p.y as f32, 0.0));
        out.1.push(Point2f::new(corner.pixel.x as f32, corner.pixel.y as f32));
    }
    out
}

/// OpenCV's rotation vector and translation as an isometry.
pub(crate) fn isometry(rotation: &Mat, translation: &Mat) -> opencv::Result<Isometry3<f64>> {
    let vector = |m: &Mat| -> opencv::Result<Vector3<f64>> { Ok(Vector3::from_column_slice(m.data_typed::<f64>()?)) };
    let rotation = UnitQuaternion::from_scaled_axis(vector(rotation)?);
    Ok(Isometry3::from_parts(Translation3::from(vector(translation)?), rotation))
}

/// Where the board is in one view of a known camera.
pub(crate) fn place(board: &BoardSpec, camera: &Intrinsics, view: &View) -> opencv::Result<Isometry3<f64>> {
    let (object, image) = corner_vectors(board, view.corners.iter());
    let (matrix, distortion) = camera.to_mats()?;
    let (mut rotation, mut translation) = (Mat::default(), Mat::default());
    let method = calib3d::SOLVEPNP_IPPE;
    calib3d::solve_pnp(&object, &image, &matrix, &distortion, &mut rotation, &mut translation, false, method)?;
    calib3d::solve_pnp_refine_lm_def(&object, &image, &matrix, &distortion, &mut rotation, &mut translation)?;
    if rotation.typ() != opencv::core::CV_64F {
        return Err(opencv::Error::new(opencv::core::StsError, "solvePnP answered in another type"));
    }
    isometry(&rotation, &translation)
}
