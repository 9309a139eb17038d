//! A pair of cameras: each on its own first, then where the right one stands, then both together.

use crate::{
    BoardSpec, CalibrationError, CameraFit, Corner, FittedView, Intrinsics, MIN_VIEWS, Radial, Rejection, View,
    camera::{calibrate_camera, corner_vectors, isometry},
    fit::{self, MAX_ROUNDS, Rejected, Selection, median},
    intrinsics::mat3,
    lm::{Normal, minimise},
};
use nalgebra::{Isometry3, Matrix3, Matrix3x4, SMatrix, Translation3, UnitQuaternion, Vector2, Vector3, Vector6};
use opencv::{
    calib3d,
    core::{Mat, MatTraitConstManual as _, Point2d, Point2f, Point3f, Size, TermCriteria, Vector},
};

/// One moment, as both cameras saw the board.
#[derive(Debug, Clone, PartialEq)]
pub struct PairView {
    /// Left view; `None` where no board was found.
    pub left: Option<View>,
    /// Right view.
    pub right: Option<View>,
}

/// Rectification of one camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rectified {
    /// Camera frame to rectified frame.
    pub rectification: Matrix3<f64>,
    /// Projection of the rectified picture.
    pub projection: Matrix3x4<f64>,
}

/// A calibrated pair.
#[derive(Debug, Clone, PartialEq)]
pub struct StereoFit {
    /// The left camera; its views are all its pictures, its residuals those of its own fit.
    pub left: CameraFit,
    /// The right camera.
    pub right: CameraFit,
    /// Left optical frame to right optical frame, metres.
    pub right_from_left: Isometry3<f64>,
    /// Left and right rectification.
    pub rectified: [Rectified; 2],
    /// The pairs under the common fit, left and right.
    pub pairs: Vec<[FittedView; 2]>,
    /// What was left out.
    pub rejections: Vec<Rejection>,
    /// RMS of the used corners of both cameras under the common fit, px.
    pub rms: f64,
    /// RMS difference of the rows of a corner in the rectified left and right picture, px.
    pub epipolar_rms: f64,
}

impl StereoFit {
    /// Pairs that the common fit used.
    pub fn used_pairs(&self) -> usize {
        self.pairs.iter().filter(|p| p[0].used).count()
    }

    /// Distance of the optical centres, metres.
    pub fn baseline(&self) -> f64 {
        self.right_from_left.translation.vector.norm()
    }
}

/// Pairs whose relative pose is farther than this from the most typical one contradict it, degrees.
const PAIR_DEGREES: f64 = 3.0;
/// And this, as a share of the board's distance.
const PAIR_SHARE: f64 = 0.05;
/// With more contradicting pairs than this share the pictures do not belong together.
const MAX_BAD_PAIRS: f64 = 0.25;

/// Calibrates a pair of cameras of `size` pictures.
pub fn calibrate_stereo(
    board: &BoardSpec,
    size: (u32, u32),
    pairs: &[PairView],
    radial: Radial,
) -> Result<StereoFit, CalibrationError> {
    let pairs: Vec<PairView> = pairs.iter().map(|p| same_way_up(board, p)).collect();
    let side = |of: fn(&PairView) -> Option<&View>| pairs.iter().filter_map(of).cloned().collect::<Vec<_>>();
    let left = calibrate_camera(board, size, &side(|p| p.left.as_ref()), radial)?;
    let right = calibrate_camera(board, size, &side(|p| p.right.as_ref()), radial)?;
    let mut rejections: Vec<Rejection> = left.rejections.iter().chain(&right.rejections).cloned().collect();
    let common = common(board, &pairs, &left, &right);
    let agreeing = agreeing(&common, &mut rejections)?;
    too_few(agreeing.len(), &rejections)?;
    let rig = Rig { board, size, pairs: &agreeing };
    let mut selection = Selection::all(&rig.lefts());
    let start = (left.intrinsics, right.intrinsics);
    let mut fit = rig.fit(start, &selection, calib3d::CALIB_FIX_INTRINSIC)?;
    for _ in 0..MAX_ROUNDS {
        if !selection.narrow(&fit.worse_errors()) {
            break;
        }
        too_few(selection.used_views(), &rejections)?;
        fit = rig.fit(start, &selection, calib3d::CALIB_FIX_INTRINSIC)?;
    }
    let joint = calib3d::CALIB_USE_INTRINSIC_GUESS | calib3d::CALIB_FIX_K3;
    // Both together only if that does not run away: few pairs may not hold twenty numbers.
    let both = rig.fit(start, &selection, joint)?;
    if both.cameras.iter().all(Intrinsics::is_plausible) && both.rms(&selection) <= fit.rms(&selection) {
        fit = both;
    }
    finish(&rig, fit, &selection, left, right, rejections)
}

fn finish(
    rig: &Rig<'_>,
    fit: RigFit,
    selection: &Selection,
    left: CameraFit,
    right: CameraFit,
    mut rejections: Vec<Rejection>,
) -> Result<StereoFit, CalibrationError> {
    let views: Vec<[FittedView; 2]> = (0..rig.pairs.len())
        .map(|p| {
            let pair = &rig.pairs[p];
            let used = |c| selection.uses(p, c);
            [
                fit::fitted(&pair.left, &fit.errors[p][0], fit.poses[p], used),
                fit::fitted(&pair.right, &fit.errors[p][1], fit.right_from_left * fit.poses[p], used),
            ]
        })
        .collect();
    for side in 0..2 {
        let of_side: Vec<_> = views.iter().map(|v| v[side].clone()).collect();
        rejections.extend(selection.rejections(&of_side));
    }
    let rectified = rectify(rig.size, &fit)?;
    let epipolar_rms = epipolar(&views, &fit.cameras, &rectified)?;
    let [left_camera, right_camera] = fit.cameras;
    Ok(StereoFit {
        left: CameraFit { intrinsics: left_camera, ..left },
        right: CameraFit { intrinsics: right_camera, ..right },
        right_from_left: fit.right_from_left,
        rectified,
        rms: fit.rms(selection),
        pairs: views,
        rejections,
        epipolar_rms,
    })
}

fn too_few(found: usize, rejections: &[Rejection]) -> Result<(), CalibrationError> {
    if found >= MIN_VIEWS {
        return Ok(());
    }
    Err(CalibrationError::TooFewViews {
        what: "pairs with a usable board in both pictures",
        found,
        needed: MIN_VIEWS,
        left_out: rejections.iter().map(ToString::to_string).collect(),
    })
}

/// A board that looks the same upside down may be numbered from either end: the right view is turned to the left one's order.
fn same_way_up(board: &BoardSpec, pair: &PairView) -> PairView {
    let mut pair = pair.clone();
    if let (true, Some(left), Some(right)) = (board.looks_the_same_upside_down(), &pair.left, &mut pair.right) {
        let diagonal = |v: &View| v.corners[v.corners.len() - 1].pixel - v.corners[0].pixel;
        if diagonal(left).dot(&diagonal(right)) < 0.0 {
            *right = turned(board, right);
        }
    }
    pair
}

/// The same view with the board turned by 180 degrees.
pub(crate) fn turned(board: &BoardSpec, view: &View) -> View {
    let corner = |c: &Corner| Corner { id: board.turned(c.id), pixel: c.pixel };
    View { name: view.name.clone(), corners: view.corners.iter().rev().map(corner).collect() }
}

/// A pair of views with the same corners in the same order, as each camera's own fit places them.
struct Common {
    left: View,
    right: View,
    /// Right camera from left camera by this pair alone.
    relative: Isometry3<f64>,
    /// Distance of the board, metres.
    distance: f64,
}

/// Pairs seen by both cameras, of the corners that both fits used.
fn common(board: &BoardSpec, pairs: &[PairView], left: &CameraFit, right: &CameraFit) -> Vec<Common> {
    let (mut lefts, mut rights) = (left.views.iter(), right.views.iter());
    let mut out = Vec::new();
    for pair in pairs {
        let l = pair.left.as_ref().and_then(|_| lefts.next());
        let r = pair.right.as_ref().and_then(|_| rights.next());
        let (Some(l), Some(r)) = (l, r) else { continue };
        let corners = |view: &FittedView, other: &FittedView| {
            let in_other = |id| other.residuals.iter().any(|o| o.used && o.id == id);
            let both = view.residuals.iter().filter(|c| c.used && in_other(c.id));
            both.map(|c| Corner { id: c.id, pixel: c.pixel }).collect::<Vec<_>>()
        };
        let (lc, rc) = (corners(l, r), corners(r, l));
        if lc.len() < crate::MIN_CORNERS {
            continue;
        }
        out.push(Common {
            left: View { name: l.name.clone(), corners: lc },
            right: View { name: r.name.clone(), corners: rc },
            relative: r.camera_from_board * l.camera_from_board.inverse(),
            distance: (l.camera_from_board * board.centre()).coords.norm(),
        });
    }
    out
}

/// How far two relative poses are apart, in units of what is allowed.
fn apart(a: &Isometry3<f64>, b: &Isometry3<f64>, distance: f64) -> f64 {
    let degrees = a.rotation.angle_to(&b.rotation).to_degrees();
    let share = (a.translation.vector - b.translation.vector).norm() / distance;
    (degrees / PAIR_DEGREES).max(share / PAIR_SHARE)
}

/// The pairs that agree about where the right camera stands; the others become rejections.
fn agreeing(common: &[Common], rejections: &mut Vec<Rejection>) -> Result<Vec<Common>, CalibrationError> {
    let typical = |of: &Common| median(common.iter().map(|c| apart(&c.relative, &of.relative, of.distance)).collect());
    let Some(centre) = common.iter().min_by(|a, b| typical(a).total_cmp(&typical(b))) else { return Ok(Vec::new()) };
    let centre = centre.relative;
    let (good, bad): (Vec<&Common>, Vec<&Common>) =
        common.iter().partition(|c| apart(&c.relative, &centre, c.distance) <= 1.0);
    if bad.len() as f64 > MAX_BAD_PAIRS * common.len() as f64 {
        let name = |c: &&Common| {
            let exchanged = apart(&c.relative, &centre.inverse(), c.distance) <= 1.0;
            format!("{} and {}{}", c.left.name, c.right.name, if exchanged { " (exchanged)" } else { "" })
        };
        let names = bad.iter().map(name).collect();
        return Err(CalibrationError::PairsDisagree { bad: bad.len(), all: common.len(), names });
    }
    beside(&centre)?;
    for c in bad {
        let degrees = c.relative.rotation.angle_to(&centre.rotation).to_degrees();
        let mm = (c.relative.translation.vector - centre.translation.vector).norm() * 1e3;
        let view = format!("{} with {}", c.left.name, c.right.name);
        rejections.push(Rejection { view, what: Rejected::Pair { degrees, mm } });
    }
    let keep = |c: &Common| Common { left: c.left.clone(), right: c.right.clone(), ..*c };
    Ok(good.into_iter().map(keep).collect())
}

/// Whether the right camera stands to the right of the left one.
fn beside(right_from_left: &Isometry3<f64>) -> Result<(), CalibrationError> {
    let right = right_from_left.inverse().translation.vector * 1e3;
    if right.x.abs() < right.y.abs().max(right.z.abs()) {
        return Err(CalibrationError::NotSideBySide { x: right.x, y: right.y, z: right.z });
    }
    if right.x < 0.0 { Err(CalibrationError::Swapped { mm: -right.x }) } else { Ok(()) }
}

struct Rig<'a> {
    board: &'a BoardSpec,
    size: (u32, u32),
    pairs: &'a [Common],
}

struct RigFit {
    cameras: [Intrinsics; 2],
    right_from_left: Isometry3<f64>,
    /// Left camera from board, per pair.
    poses: Vec<Isometry3<f64>>,
    /// Per pair and side, of every corner.
    errors: Vec<[Vec<Vector2<f64>>; 2]>,
}

impl RigFit {
    /// The larger of a corner's two errors.
    fn worse_errors(&self) -> Vec<Vec<Vector2<f64>>> {
        let worse = |(l, r): (&Vector2<f64>, &Vector2<f64>)| if l.norm() > r.norm() { *l } else { *r };
        self.errors.iter().map(|[l, r]| l.iter().zip(r).map(worse).collect()).collect()
    }

    fn rms(&self, selection: &Selection) -> f64 {
        let used = |(p, sides): (usize, &[Vec<Vector2<f64>>; 2])| {
            let of_side = |e: &Vec<Vector2<f64>>| {
                e.iter().enumerate().filter(|(c, _)| selection.uses(p, *c)).map(|(_, e)| *e).collect::<Vec<_>>()
            };
            sides.iter().flat_map(of_side).collect::<Vec<_>>()
        };
        fit::rms(self.errors.iter().enumerate().flat_map(used))
    }
}

impl Rig<'_> {
    fn lefts(&self) -> Vec<View> {
        self.pairs.iter().map(|p| p.left.clone()).collect()
    }

    fn fit(
        &self,
        cameras: (Intrinsics, Intrinsics),
        selection: &Selection,
        flags: i32,
    ) -> Result<RigFit, CalibrationError> {
        let mut objects = Vector::<Vector<Point3f>>::new();
        let (mut lefts, mut rights) = (Vector::<Vector<Point2f>>::new(), Vector::<Vector<Point2f>>::new());
        for (p, pair) in self.pairs.iter().enumerate().filter(|(p, _)| selection.views[*p]) {
            let used = |view: &View| -> Vec<Corner> {
                view.corners.iter().enumerate().filter(|(c, _)| selection.uses(p, *c)).map(|(_, c)| *c).collect()
            };
            let (object, left) = corner_vectors(self.board, used(&pair.left).iter());
            objects.push(object);
            lefts.push(left);
            rights.push(corner_vectors(self.board, used(&pair.right).iter()).1);
        }
        let (mut k1, mut d1) = cameras.0.to_mats()?;
        let (mut k2, mut d2) = cameras.1.to_mats()?;
        let (mut r, mut t) = (Mat::default(), Mat::default());
        let size = Size::new(self.size.0 as i32, self.size.1 as i32);
        let stop = TermCriteria::new(3, 100, 1e-10)?;
        calib3d::stereo_calibrate(
            &objects,
            &lefts,
            &rights,
            &mut k1,
            &mut d1,
            &mut k2,
            &mut d2,
            size,
            &mut r,
            &mut t,
            &mut Mat::default(),
            &mut Mat::default(),
            flags,
            stop,
        )?;
        let mut rotation = Mat::default();
        calib3d::rodrigues_def(&r, &mut rotation)?;
        let right_from_left = isometry(&rotation, &t)?;
        let cameras = [camera(&cameras.0, &k1, &d1)?, camera(&cameras.1, &k2, &d2)?];
        let mut fit = RigFit { cameras, right_from_left, poses: Vec::new(), errors: Vec::new() };
        for pair in self.pairs {
            let pose = self.place(&fit, pair)?;
            let left = fit::errors(self.board, &fit.cameras[0], &pair.left, &pose);
            let right = fit::errors(self.board, &fit.cameras[1], &pair.right, &(right_from_left * pose));
            fit.poses.push(pose);
            fit.errors.push([left, right]);
        }
        Ok(fit)
    }

    /// Where the board is, by both pictures of a pair.
    fn place(&self, fit: &RigFit, pair: &Common) -> Result<Isometry3<f64>, CalibrationError> {
        let start = crate::camera::place(self.board, &fit.cameras[0], &pair.left)?;
        let sides =
            [(&fit.cameras[0], Isometry3::identity(), &pair.left), (&fit.cameras[1], fit.right_from_left, &pair.right)];
        let evaluate = |pose: &Isometry3<f64>| {
            let mut normal = Normal::<6>::zero();
            for (camera, camera_from_left, view) in &sides {
                for corner in &view.corners {
                    let in_left = pose * self.board.point(corner.id);
                    let (pixel, by_point) = camera.project_with_jacobian(&(camera_from_left * in_left))?;
                    let by_left = by_point * camera_from_left.rotation.to_rotation_matrix().matrix();
                    normal.add(pixel - corner.pixel, &by_pose(&by_left, &in_left.coords), 1.0);
                }
            }
            Some(normal)
        };
        Ok(minimise(start, evaluate, step).map_or(start, |(pose, _)| pose))
    }
}

/// How a pixel moves with a small step of a pose (translation, then rotation vector, both in the pose's target frame).
pub(crate) fn by_pose(by_point: &SMatrix<f64, 2, 3>, point: &Vector3<f64>) -> SMatrix<f64, 2, 6> {
    let mut out = SMatrix::<f64, 2, 6>::zeros();
    out.fixed_columns_mut::<3>(0).copy_from(by_point);
    out.fixed_columns_mut::<3>(3).copy_from(&(by_point * -point.cross_matrix()));
    out
}

/// A pose after a small step in its target frame.
pub(crate) fn step(pose: &Isometry3<f64>, by: &Vector6<f64>) -> Isometry3<f64> {
    let turn = UnitQuaternion::from_scaled_axis(Vector3::new(by[3], by[4], by[5]));
    Isometry3::from_parts(
        Translation3::from(turn * pose.translation.vector + Vector3::new(by[0], by[1], by[2])),
        turn * pose.rotation,
    )
}

fn camera(of: &Intrinsics, k: &Mat, d: &Mat) -> opencv::Result<Intrinsics> {
    let (k, d) = (k.data_typed::<f64>()?, d.data_typed::<f64>()?);
    let distortion = std::array::from_fn(|i| d.get(i).copied().unwrap_or(0.0));
    Ok(Intrinsics { fx: k[0], fy: k[4], cx: k[2], cy: k[5], distortion, ..*of })
}

/// Rectification with equal principal points and no black borders, as ROS' camera_calibration has it.
fn rectify((width, height): (u32, u32), fit: &RigFit) -> opencv::Result<[Rectified; 2]> {
    let (k1, d1) = fit.cameras[0].to_mats()?;
    let (k2, d2) = fit.cameras[1].to_mats()?;
    let r = mat3(fit.right_from_left.rotation.to_rotation_matrix().matrix())?;
    let t = fit.right_from_left.translation.vector;
    let t = Mat::from_slice_2d(&[[t.x], [t.y], [t.z]])?;
    let (mut r1, mut r2, mut p1, mut p2) = (Mat::default(), Mat::default(), Mat::default(), Mat::default());
    let size = Size::new(width as i32, height as i32);
    calib3d::stereo_rectify(
        &k1,
        &d1,
        &k2,
        &d2,
        size,
        &r,
        &t,
        &mut r1,
        &mut r2,
        &mut p1,
        &mut p2,
        &mut Mat::default(),
        calib3d::CALIB_ZERO_DISPARITY,
        0.0,
        size,
        None,
        None,
    )?;
    let one = |r: &Mat, p: &Mat| -> opencv::Result<Rectified> {
        Ok(Rectified {
            rectification: Matrix3::from_row_slice(r.data_typed::<f64>()?),
            projection: Matrix3x4::from_row_slice(p.data_typed::<f64>()?),
        })
    };
    Ok([one(&r1, &p1)?, one(&r2, &p2)?])
}

/// RMS difference of rows after rectification.
fn epipolar(pairs: &[[FittedView; 2]], cameras: &[Intrinsics; 2], rectified: &[Rectified; 2]) -> opencv::Result<f64> {
    let mut rows = [Vec::new(), Vec::new()];
    for side in 0..2 {
        let used = pairs.iter().flat_map(|p| &p[side].residuals).filter(|r| r.used);
        let pixels: Vector<Point2d> = used.map(|r| Point2d::new(r.pixel.x, r.pixel.y)).collect();
        if pixels.is_empty() {
            return Ok(0.0);
        }
        let (k, d) = cameras[side].to_mats()?;
        let r = mat3(&rectified[side].rectification)?;
        let p = mat3(&rectified[side].projection.fixed_columns::<3>(0).into())?;
        let mut out = Vector::<Point2d>::new();
        let stop = TermCriteria::new(3, 50, 1e-9)?;
        calib3d::undistort_points_iter(&pixels, &mut out, &k, &d, &r, &p, stop)?;
        rows[side] = out.iter().map(|p| p.y).collect();
    }
    let [left, right] = rows;
    Ok(fit::rms(left.iter().zip(&right).map(|(l, r)| Vector2::new(0.0, l - r))))
}
