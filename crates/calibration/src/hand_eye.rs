//! Where the camera sits on the arm that carries it (eye-in-hand), or where an arm stands before a fixed camera (eye-to-hand).
//!
//! Both are one problem: `camera_from_board(i) = A * M(i) * C` with unknown A and C, where M(i) is what the robot reports:
//! - eye-in-hand: M = `tip_from_base`, A = `camera_from_tip`, C = `base_from_board`;
//! - eye-to-hand: M = `base_from_tip`, A = `camera_from_base`, C = `tip_from_board`.
//!
//! A first answer comes from Park & Martin 1994 (OpenCV), then all corners of all pictures are fitted at once over A and C; the robot's
//! poses and the intrinsics are taken as exact. What the robot gets wrong therefore shows in the residuals, the same way for all
//! corners of a view; the covariance allows for that (clusters are views, Liang & Zeger 1986).

use crate::{
    BoardSpec, CalibrationError, FittedView, Intrinsics, MIN_VIEWS, PoseLog, Rejection, View,
    camera::place,
    fit::{self, MAX_ROUNDS, Rejected, Selection, median},
    intrinsics::mat3,
    lm::{Normal, minimise},
    motion::{MIN_SECOND_TURN, MIN_TURN, Motion, fitting_shift},
    stereo::{by_pose, step, turned},
};
use nalgebra::{
    Isometry3, Matrix3, Matrix6, Rotation3, SMatrix, SVector, Translation3, UnitQuaternion, Vector2, Vector3,
};
use opencv::{
    calib3d,
    core::{Mat, MatTraitConstManual as _, Vector},
};
use proctor_types::{Base, Camera, Frame, Pose, Tip};

/// The board's own frame ([`BoardSpec`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board;
impl Frame for Board {}

/// Who holds the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mount {
    /// The arm of the log carries the camera (ECM); the board does not move.
    EyeInHand,
    /// The camera does not move; the arm of the log holds the board (PSM).
    EyeToHand,
}

impl Mount {
    /// As it is written on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::EyeInHand => "eye-in-hand",
            Self::EyeToHand => "eye-to-hand",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::EyeInHand => Self::EyeToHand,
            Self::EyeToHand => Self::EyeInHand,
        }
    }

    /// What the robot reports, as it enters the chain.
    fn link(self, base_from_tip: &Isometry3<f64>) -> Isometry3<f64> {
        match self {
            Self::EyeInHand => base_from_tip.inverse(),
            Self::EyeToHand => *base_from_tip,
        }
    }
}

/// The two transforms that were found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HandEye {
    /// The camera on the arm's tip.
    InHand {
        /// The camera's place on the tip.
        tip_from_camera: Pose<Tip, Camera>,
        /// Where the board lies.
        base_from_board: Pose<Base, Board>,
    },
    /// The arm before the camera.
    ToHand {
        /// Where the arm's base is, in the camera's frame.
        camera_from_base: Pose<Camera, Base>,
        /// How the arm holds the board.
        tip_from_board: Pose<Tip, Board>,
    },
}

/// Standard deviation (1 sigma) of the first transform of a [`HandEye`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoseSigma {
    /// Of its position along each axis of its target frame, mm.
    pub position_mm: [f64; 3],
    /// Of its rotation about each axis of its target frame, degrees.
    pub rotation_deg: [f64; 3],
}

impl PoseSigma {
    /// Length of the position's sigmas, mm.
    pub fn position(&self) -> f64 {
        Vector3::from(self.position_mm).norm()
    }

    /// Length of the rotation's sigmas, degrees.
    pub fn rotation(&self) -> f64 {
        Vector3::from(self.rotation_deg).norm()
    }
}

/// How far one picture shows the board from where robot and hand-eye transform put it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoardMiss {
    /// Distance of the board's middle, mm.
    pub mm: f64,
    /// Angle, degrees.
    pub degrees: f64,
}

/// A hand-eye calibration.
#[derive(Debug, Clone, PartialEq)]
pub struct HandEyeFit {
    /// The transforms.
    pub hand_eye: HandEye,
    /// How well the first of them is known.
    pub sigma: PoseSigma,
    /// Every view under the fit, used or not.
    pub views: Vec<FittedView>,
    /// The misses of every view.
    pub misses: Vec<BoardMiss>,
    /// What was left out.
    pub rejections: Vec<Rejection>,
    /// RMS of the used corners, px.
    pub rms: f64,
    /// RMS rotation of the robot between pictures about its strongest and its second axis, degrees.
    pub turns: (f64, f64),
}

impl HandEyeFit {
    /// Poses that the fit used.
    pub fn used_views(&self) -> usize {
        self.views.iter().filter(|v| v.used).count()
    }

    /// RMS miss of the used views.
    pub fn miss(&self) -> BoardMiss {
        let used: Vec<_> = self.views.iter().zip(&self.misses).filter(|(v, _)| v.used).map(|(_, m)| *m).collect();
        let (mm, degrees): (Vec<f64>, Vec<f64>) = used.iter().map(|m| (m.mm, m.degrees)).unzip();
        let rms = |v: Vec<f64>| (v.iter().map(|x| x * x).sum::<f64>() / v.len().max(1) as f64).sqrt();
        BoardMiss { mm: rms(mm), degrees: rms(degrees) }
    }
}

/// What a hand-eye calibration is made from.
#[derive(Debug, Clone, Copy)]
pub struct HandEyeInput<'a> {
    /// The board.
    pub board: &'a BoardSpec,
    /// The camera, taken as exact.
    pub camera: &'a Intrinsics,
    /// Who holds the camera.
    pub mount: Mount,
    /// Pictures with a board.
    pub views: &'a [View],
    /// The robot's poses.
    pub log: &'a PoseLog,
    /// The row of the log that belongs to each view.
    pub rows: &'a [usize],
}

/// A fit whose board misses by more than this share of its distance is no fit.
const HOPELESS_SHARE: f64 = 0.1;
/// With more wrong poses than this share the log is not believed.
const MAX_ODD_SHARE: f64 = 0.2;
/// Another row of the log is the right one if it predicts the corners this many times better.
const BETTER_ROW: f64 = 4.0;

/// Calibrates. Nothing is taken from a log that does not belong to the pictures: such a log is an error that says what is wrong with it.
pub fn calibrate_hand_eye(input: &HandEyeInput<'_>) -> Result<HandEyeFit, CalibrationError> {
    too_few(input.views.len(), Vec::new())?;
    let board = input.board;
    if board.looks_the_same_upside_down() && board.columns == board.rows {
        return Err(CalibrationError::SquareBoard { side: board.columns });
    }
    let log: Vec<Isometry3<f64>> = input.log.rows.iter().map(|r| *r.base_from_tip.iso()).collect();
    let robot: Vec<Isometry3<f64>> = input.rows.iter().map(|r| log[*r]).collect();
    let turns = Motion { robot: &robot, camera: &robot }.turns();
    enough_motion(turns)?;
    let (views, camera) = same_way_up(input, &robot)?;
    let motion = Motion { robot: &robot, camera: &camera };
    if !motion.matches() {
        return Err(mismatch(input, &log, &motion));
    }
    let odd = motion.odd_ones();
    let problem = Problem { input, views: &views, links: robot.iter().map(|p| input.mount.link(p)).collect() };
    let mut selection = Selection::all(&views);
    odd.iter().for_each(|v| selection.views[*v] = false);
    too_few(selection.used_views(), names(&views, &odd))?;
    let (chain, normal) = problem.fit(&mut selection, &camera)?;
    problem.refuse_wrong_rows(&chain, &selection, &log)?;
    problem.refuse_nonsense(&chain, &selection, &camera)?;
    let left_out = (0..views.len()).filter(|v| !selection.views[*v]).count();
    if left_out as f64 > MAX_ODD_SHARE * views.len() as f64 {
        let out: Vec<usize> = (0..views.len()).filter(|v| !selection.views[*v]).collect();
        return Err(CalibrationError::LogMismatch { pairs: problem.with_lines(&out), advice: None });
    }
    Ok(problem.finish(&chain, &normal, &selection, &camera, &odd, turns))
}

fn too_few(found: usize, left_out: Vec<String>) -> Result<(), CalibrationError> {
    let what = "pictures with a usable board and pose";
    if found >= MIN_VIEWS {
        return Ok(());
    }
    Err(CalibrationError::TooFewViews { what, found, needed: MIN_VIEWS, left_out })
}

fn names(views: &[View], which: &[usize]) -> Vec<String> {
    which.iter().map(|v| views[*v].name.clone()).collect()
}

fn enough_motion((first, second): (f64, f64)) -> Result<(), CalibrationError> {
    let why = if first < MIN_TURN {
        format!(
            "it turned by only {first:.1} degrees (RMS) between pictures; turn it by 20 degrees and more, about two axes"
        )
    } else if second < MIN_SECOND_TURN {
        format!(
            "all its rotations are about one axis ({first:.1} degrees RMS, but only {second:.1} about any other), so the position along \
             that axis cannot be known; turn it about a second axis too"
        )
    } else {
        return Ok(());
    };
    Err(CalibrationError::DegenerateMotion { why })
}

/// Places the board in every view; where it looks the same upside down, each view is numbered the way that fits the robot's rotation.
fn same_way_up(
    input: &HandEyeInput<'_>,
    robot: &[Isometry3<f64>],
) -> Result<(Vec<View>, Vec<Isometry3<f64>>), CalibrationError> {
    let mut views: Vec<View> = Vec::with_capacity(input.views.len());
    let mut camera: Vec<Isometry3<f64>> = Vec::with_capacity(input.views.len());
    for view in input.views {
        let mut candidates = vec![view.clone()];
        if input.board.looks_the_same_upside_down() && !views.is_empty() {
            candidates.push(turned(input.board, view));
        }
        let mut best: Option<(f64, View, Isometry3<f64>)> = None;
        for candidate in candidates {
            let pose = place(input.board, input.camera, &candidate)?;
            camera.push(pose);
            let mismatch = Motion { robot: &robot[..camera.len()], camera: &camera }.mismatch_of(camera.len() - 1);
            camera.pop();
            if best.as_ref().is_none_or(|(least, ..)| mismatch < *least) {
                best = Some((mismatch, candidate, pose));
            }
        }
        if let Some((_, view, pose)) = best {
            views.push(view);
            camera.push(pose);
        }
    }
    Ok((views, camera))
}

/// The worst pairs named in a mismatch.
const NAMED_PAIRS: usize = 5;

fn mismatch(input: &HandEyeInput<'_>, log: &[Isometry3<f64>], motion: &Motion<'_>) -> CalibrationError {
    let n = input.views.len();
    let mut pairs: Vec<(f64, usize, usize)> = (1..n).map(|i| (motion.mismatch(i - 1, i), i - 1, i)).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let line = |v: usize| input.log.rows[input.rows[v]].line;
    let name = |(degrees, i, j): &(f64, usize, usize)| {
        let (a, b) = (&input.views[*i].name, &input.views[*j].name);
        format!("{a} to {b} (lines {} and {}) by {degrees:.1} degrees", line(*i), line(*j))
    };
    let shift = fitting_shift(log, input.rows, motion.camera);
    let advice = shift.map_or_else(
        || "no constant shift of the log fits either: its rows seem to be shuffled or from another run".to_owned(),
        |rows| {
            let way = if rows > 0 { "down" } else { "up" };
            format!(
                "the log would match if each picture took the pose {} row(s) further {way} (a constant shift of {rows:+})",
                rows.abs()
            )
        },
    );
    CalibrationError::LogMismatch { pairs: pairs.iter().take(NAMED_PAIRS).map(name).collect(), advice: Some(advice) }
}

/// A and C of the head comment.
#[derive(Debug, Clone, Copy)]
struct Chain {
    a: Isometry3<f64>,
    c: Isometry3<f64>,
}

impl Chain {
    fn stepped(&self, by: &SVector<f64, 12>) -> Self {
        let part = |at: usize| by.fixed_rows::<6>(at).into_owned();
        Self { a: step(&self.a, &part(0)), c: step(&self.c, &part(6)) }
    }

    fn camera_from_board(&self, link: &Isometry3<f64>) -> Isometry3<f64> {
        self.a * link * self.c
    }
}

struct Problem<'a> {
    input: &'a HandEyeInput<'a>,
    views: &'a [View],
    /// M of the head comment, per view.
    links: Vec<Isometry3<f64>>,
}

impl Problem<'_> {
    /// Fits, leaves out what contradicts the rest, and fits again.
    fn fit(
        &self,
        selection: &mut Selection,
        camera: &[Isometry3<f64>],
    ) -> Result<(Chain, Normal<12>), CalibrationError> {
        let mut chain = self.first_answer(&self.links, selection, camera)?;
        let mut normal = Normal::zero();
        for _ in 0..MAX_ROUNDS {
            let evaluate = |c: &Chain| self.evaluate(c, selection);
            let Some(answer) = minimise(chain, evaluate, Chain::stepped) else {
                // The first answer puts a board behind the camera.
                self.refuse_nonsense(&chain, selection, camera)?;
                return Err(CalibrationError::Undetermined { why: "the hand-eye fit does not converge".into() });
            };
            (chain, normal) = answer;
            if !selection.narrow(&self.errors(&chain)) {
                break;
            }
            let out: Vec<usize> = (0..self.views.len()).filter(|v| !selection.views[*v]).collect();
            too_few(selection.used_views(), names(self.views, &out))?;
        }
        Ok((chain, normal))
    }

    fn first_answer(
        &self,
        links: &[Isometry3<f64>],
        selection: &Selection,
        camera: &[Isometry3<f64>],
    ) -> Result<Chain, CalibrationError> {
        let used: Vec<usize> = (0..links.len()).filter(|v| selection.views[*v]).collect();
        let (mut hand_r, mut hand_t) = (Vector::<Mat>::new(), Vector::<Mat>::new());
        let (mut board_r, mut board_t) = (Vector::<Mat>::new(), Vector::<Mat>::new());
        for v in &used {
            push(&links[*v].inverse(), &mut hand_r, &mut hand_t)?;
            push(&camera[*v], &mut board_r, &mut board_t)?;
        }
        let (mut r, mut t) = (Mat::default(), Mat::default());
        let method = calib3d::HandEyeCalibrationMethod::CALIB_HAND_EYE_PARK;
        calib3d::calibrate_hand_eye(&hand_r, &hand_t, &board_r, &board_t, &mut r, &mut t, method)?;
        let matrix = Matrix3::from_row_slice(r.data_typed::<f64>()?);
        // The nearest rotation in bounded steps: contradicting poses make this no rotation at all.
        let rotation = Rotation3::from_matrix_eps(&matrix, 1e-12, 100, Rotation3::identity());
        let t = Vector3::from_column_slice(t.data_typed::<f64>()?);
        let a = Isometry3::from_parts(Translation3::from(t), UnitQuaternion::from_rotation_matrix(&rotation)).inverse();
        // Each view says where the board is; the most typical of them is taken.
        let each: Vec<Isometry3<f64>> = used.iter().map(|v| (a * links[*v]).inverse() * camera[*v]).collect();
        let apart = |x: &Isometry3<f64>, y: &Isometry3<f64>| {
            (x.translation.vector - y.translation.vector).norm() + 0.1 * x.rotation.angle_to(&y.rotation)
        };
        let typical = |x: &Isometry3<f64>| median(each.iter().map(|y| apart(x, y)).collect());
        let c = each.iter().min_by(|x, y| typical(x).total_cmp(&typical(y))).copied();
        Ok(Chain { a, c: c.unwrap_or_default() })
    }

    fn evaluate(&self, chain: &Chain, selection: &Selection) -> Option<Normal<12>> {
        let mut normal = Normal::zero();
        for v in (0..self.views.len()).filter(|v| selection.views[*v]) {
            self.add_view(&mut normal, chain, selection, v)?;
        }
        Some(normal)
    }

    fn add_view(&self, normal: &mut Normal<12>, chain: &Chain, selection: &Selection, v: usize) -> Option<()> {
        let to_camera = chain.a * self.links[v];
        let turn = to_camera.rotation.to_rotation_matrix();
        for (_, corner) in self.views[v].corners.iter().enumerate().filter(|(i, _)| selection.uses(v, *i)) {
            let on_board = chain.c * self.input.board.point(corner.id);
            let in_camera = to_camera * on_board;
            let (pixel, by_point) = self.input.camera.project_with_jacobian(&in_camera)?;
            let mut jacobian = SMatrix::<f64, 2, 12>::zeros();
            jacobian.fixed_columns_mut::<6>(0).copy_from(&by_pose(&by_point, &in_camera.coords));
            let by_board = by_point * turn.matrix();
            jacobian.fixed_columns_mut::<6>(6).copy_from(&by_pose(&by_board, &on_board.coords));
            normal.add(pixel - corner.pixel, &jacobian, 1.0);
        }
        Some(())
    }

    fn errors(&self, chain: &Chain) -> Vec<Vec<Vector2<f64>>> {
        let each = self.views.iter().zip(&self.links);
        each.map(|(view, link)| self.errors_of(view, &chain.camera_from_board(link))).collect()
    }

    fn errors_of(&self, view: &View, camera_from_board: &Isometry3<f64>) -> Vec<Vector2<f64>> {
        fit::errors(self.input.board, self.input.camera, view, camera_from_board)
    }

    fn line(&self, view: usize) -> u64 {
        self.input.log.rows[self.input.rows[view]].line
    }

    fn with_lines(&self, which: &[usize]) -> Vec<String> {
        which.iter().map(|v| format!("{} (line {})", self.views[*v].name, self.line(*v))).collect()
    }

    /// A view that was left out but fits the pose of another row has the wrong row: the log is not to be believed.
    fn refuse_wrong_rows(
        &self,
        chain: &Chain,
        selection: &Selection,
        log: &[Isometry3<f64>],
    ) -> Result<(), CalibrationError> {
        let typical = median(
            (0..self.views.len())
                .filter(|v| selection.views[*v])
                .map(|v| fit::rms(self.errors_of(&self.views[v], &chain.camera_from_board(&self.links[v])).into_iter()))
                .collect(),
        );
        let mut wrong = Vec::new();
        for v in (0..self.views.len()).filter(|v| !selection.views[*v]) {
            let miss = |link: &Isometry3<f64>| {
                fit::rms(self.errors_of(&self.views[v], &chain.camera_from_board(link)).into_iter())
            };
            let each = log.iter().enumerate().map(|(row, pose)| (miss(&self.input.mount.link(pose)), row));
            let Some((best, row)) = each.min_by(|a, b| a.0.total_cmp(&b.0)) else { continue };
            let fits = best * BETTER_ROW < miss(&self.links[v]) && best < (3.0 * typical).max(2.0);
            if fits && row != self.input.rows[v] {
                let (view, line) = (&self.views[v].name, self.line(v));
                wrong.push(format!(
                    "{view} has the pose of line {line} but fits that of line {}",
                    self.input.log.rows[row].line
                ));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let advice = Some("the log's rows are shuffled or names in it are wrong".into());
        Err(CalibrationError::LogMismatch { pairs: wrong, advice })
    }

    /// A chain that puts the board somewhere else than the pictures show it is no answer; often the other mount is meant.
    fn refuse_nonsense(
        &self,
        chain: &Chain,
        selection: &Selection,
        camera: &[Isometry3<f64>],
    ) -> Result<(), CalibrationError> {
        let shares = |chain: &Chain, links: &[Isometry3<f64>]| {
            let used = (0..links.len()).filter(|v| selection.views[*v]);
            median(used.map(|v| self.miss(chain, &links[v], &camera[v]).mm / self.distance_mm(&camera[v])).collect())
        };
        let share = shares(chain, &self.links);
        if share <= HOPELESS_SHARE {
            return Ok(());
        }
        let other: Vec<Isometry3<f64>> = self.links.iter().map(Isometry3::inverse).collect();
        let inverted = self.first_answer(&other, selection, camera)?;
        let fits = shares(&inverted, &other) < 0.25 * share;
        let advice = fits.then(|| {
            let other = self.input.mount.other().name();
            format!("as {other} they fit: is --mount {other} meant, or does the log hold the inverse of measured_cp?")
        });
        let pairs =
            vec![format!("the best transform still puts the board {:.0} % of its distance away", 100.0 * share)];
        Err(CalibrationError::LogMismatch { pairs, advice })
    }

    fn distance_mm(&self, camera_from_board: &Isometry3<f64>) -> f64 {
        (camera_from_board * self.input.board.centre()).coords.norm() * 1e3
    }

    fn miss(&self, chain: &Chain, link: &Isometry3<f64>, seen: &Isometry3<f64>) -> BoardMiss {
        let predicted = chain.camera_from_board(link);
        let centre = self.input.board.centre();
        let mm = (predicted * centre - seen * centre).norm() * 1e3;
        BoardMiss { mm, degrees: predicted.rotation.angle_to(&seen.rotation).to_degrees() }
    }

    fn finish(
        &self,
        chain: &Chain,
        normal: &Normal<12>,
        selection: &Selection,
        camera: &[Isometry3<f64>],
        odd: &[usize],
        turns: (f64, f64),
    ) -> HandEyeFit {
        let errors = self.errors(chain);
        let views: Vec<FittedView> = (0..self.views.len())
            .map(|v| {
                let pose = chain.camera_from_board(&self.links[v]);
                fit::fitted(&self.views[v], &errors[v], pose, |c| selection.uses(v, c))
            })
            .collect();
        let misses: Vec<BoardMiss> = (0..views.len()).map(|v| self.miss(chain, &self.links[v], &camera[v])).collect();
        let mut rejections = selection.rejections(&views);
        for v in odd {
            let what = Rejected::Pose { degrees: misses[*v].degrees };
            rejections.iter_mut().filter(|r| r.view == views[*v].name).for_each(|r| r.what = what);
        }
        let covariance = self.covariance(chain, normal, selection);
        let (hand_eye, sigma) = self.named(chain, &covariance);
        HandEyeFit { hand_eye, sigma, rms: fit::total_rms(&views), views, misses, rejections, turns }
    }

    /// Covariance of a step of A (m, rad, in the camera's frame): the larger, per number, of the one for independent corners and the one
    /// for views whose corners err together.
    fn covariance(&self, chain: &Chain, normal: &Normal<12>, selection: &Selection) -> Matrix6<f64> {
        let Some(inverse) = normal.h.try_inverse() else { return Matrix6::from_diagonal_element(f64::INFINITY) };
        let mut between = SMatrix::<f64, 12, 12>::zeros();
        let (mut views, mut corners) = (0.0, 0.0);
        for v in (0..self.views.len()).filter(|v| selection.views[*v]) {
            let mut one = Normal::zero();
            if self.add_view(&mut one, chain, selection, v).is_some() {
                between += one.g * one.g.transpose();
                views += 1.0;
                corners += selection.corners[v].iter().filter(|c| **c).count() as f64;
            }
        }
        // A view has six degrees of freedom, the chain twelve.
        let by_views = inverse * between * inverse * (views / (views - 2.0));
        let by_corners = inverse * (normal.cost / (2.0 * corners - 12.0));
        let larger = if by_views.fixed_view::<6, 6>(0, 0).trace() > by_corners.fixed_view::<6, 6>(0, 0).trace() {
            by_views
        } else {
            by_corners
        };
        larger.fixed_view::<6, 6>(0, 0).into()
    }

    fn named(&self, chain: &Chain, covariance: &Matrix6<f64>) -> (HandEye, PoseSigma) {
        let (moved, turned) = (covariance.fixed_view::<3, 3>(0, 0), covariance.fixed_view::<3, 3>(3, 3));
        match self.input.mount {
            Mount::EyeInHand => {
                // A step of camera_from_tip moves the camera's origin, seen from the tip, by minus its translation.
                let tip_from_camera = chain.a.inverse();
                let turn = tip_from_camera.rotation.to_rotation_matrix();
                let into_tip = |m: Matrix3<f64>| turn.matrix() * m * turn.matrix().transpose();
                let hand_eye = HandEye::InHand {
                    tip_from_camera: Pose::new(tip_from_camera),
                    base_from_board: Pose::new(chain.c),
                };
                (hand_eye, sigma(&into_tip(moved.into()), &into_tip(turned.into())))
            }
            Mount::EyeToHand => {
                // A step of camera_from_base turns the base's origin about the camera and moves it.
                let mut by_step = SMatrix::<f64, 3, 6>::zeros();
                by_step.fixed_columns_mut::<3>(0).copy_from(&Matrix3::identity());
                by_step.fixed_columns_mut::<3>(3).copy_from(&-chain.a.translation.vector.cross_matrix());
                let hand_eye =
                    HandEye::ToHand { camera_from_base: Pose::new(chain.a), tip_from_board: Pose::new(chain.c) };
                (hand_eye, sigma(&(by_step * covariance * by_step.transpose()), &turned.into()))
            }
        }
    }
}

fn sigma(position: &Matrix3<f64>, rotation: &Matrix3<f64>) -> PoseSigma {
    let root = |m: &Matrix3<f64>, unit: fn(f64) -> f64| std::array::from_fn(|i| unit(m[(i, i)].max(0.0).sqrt()));
    PoseSigma { position_mm: root(position, |m| m * 1e3), rotation_deg: root(rotation, f64::to_degrees) }
}

fn push(pose: &Isometry3<f64>, rotations: &mut Vector<Mat>, translations: &mut Vector<Mat>) -> opencv::Result<()> {
    rotations.push(mat3(pose.rotation.to_rotation_matrix().matrix())?);
    let t = pose.translation.vector;
    translations.push(Mat::from_slice_2d(&[[t.x], [t.y], [t.z]])?);
    Ok(())
}
