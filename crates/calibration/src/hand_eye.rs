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
    chain::Problem,
    fit::Selection,
    motion::{MIN_SECOND_TURN, MIN_TURN, Motion, fitting_shift},
    stereo::turned,
};
use nalgebra::{Isometry3, Vector3};
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

    pub(crate) fn other(self) -> Self {
        match self {
            Self::EyeInHand => Self::EyeToHand,
            Self::EyeToHand => Self::EyeInHand,
        }
    }

    /// What the robot reports, as it enters the chain.
    pub(crate) fn link(self, base_from_tip: &Isometry3<f64>) -> Isometry3<f64> {
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

/// With more wrong poses than this share the log is not believed.
const MAX_ODD_SHARE: f64 = 0.2;

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
    too_few(selection.used_views(), problem.with_lines(&odd))?;
    let (chain, normal) = problem.fit(&mut selection, &camera)?;
    problem.refuse_wrong_rows(&chain, &selection, &log)?;
    problem.refuse_nonsense(&chain, &selection, &camera)?;
    let left_out: Vec<usize> = (0..views.len()).filter(|v| !selection.views[*v]).collect();
    if left_out.len() as f64 > MAX_ODD_SHARE * views.len() as f64 {
        return Err(CalibrationError::LogMismatch { pairs: problem.with_lines(&left_out), advice: None });
    }
    Ok(problem.finish(&chain, &normal, &selection, &camera, &odd, turns))
}

pub(crate) fn too_few(found: usize, left_out: Vec<String>) -> Result<(), CalibrationError> {
    let what = "pictures with a usable board and pose";
    if found >= MIN_VIEWS {
        return Ok(());
    }
    Err(CalibrationError::TooFewViews { what, found, needed: MIN_VIEWS, left_out })
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
