//! Hand-eye calibration of exact views with noise, judged by the transforms that made them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{lens, poses, rng, seen};
use nalgebra::{Isometry3, Vector3};
use proctor_calibration::{
    BoardSpec, CalibrationError, Grade, HandEye, HandEyeFit, HandEyeInput, Mount, PoseLog, PoseRow, Rejected, RowKey,
    View, calibrate_hand_eye, judge_hand_eye,
};
use proctor_types::Pose;

const NOISE: f64 = 0.2;

/// What is to be found: the first and the second transform of a mount.
fn truth(mount: Mount) -> (Isometry3<f64>, Isometry3<f64>) {
    match mount {
        // An endoscope whose picture is turned by 90 degrees on the ECM's tip; the board on the table.
        Mount::EyeInHand => (
            Isometry3::new(Vector3::new(0.002, -0.004, 0.01), Vector3::new(0.05, -0.1, 1.5)),
            Isometry3::new(Vector3::new(0.02, -0.01, -0.25), Vector3::new(3.0, 0.2, 0.1)),
        ),
        // A PSM's remote centre beside the camera; the board in its jaws.
        Mount::EyeToHand => (
            Isometry3::new(Vector3::new(0.1, -0.05, 0.02), Vector3::new(0.3, 2.6, 0.4)),
            Isometry3::new(Vector3::new(-0.01, 0.005, 0.02), Vector3::new(0.1, 0.2, -0.3)),
        ),
    }
}

/// The pose that the robot has when the camera sees the board there.
fn base_from_tip(mount: Mount, camera_from_board: &Isometry3<f64>) -> Isometry3<f64> {
    let (first, second) = truth(mount);
    match mount {
        // base_from_board = base_from_tip * tip_from_camera * camera_from_board
        Mount::EyeInHand => second * camera_from_board.inverse() * first.inverse(),
        // camera_from_board = camera_from_base * base_from_tip * tip_from_board
        Mount::EyeToHand => first.inverse() * camera_from_board * second.inverse(),
    }
}

struct Session {
    board: BoardSpec,
    mount: Mount,
    views: Vec<View>,
    log: PoseLog,
    rows: Vec<usize>,
}

impl Session {
    fn of(mount: Mount, board: &str, where_it_is: &[Isometry3<f64>], seed: u64) -> Self {
        let board: BoardSpec = board.parse().unwrap();
        let mut rng = rng(seed + 1000);
        let name = |i: usize| format!("{i:02}.png");
        let view = |(i, pose)| seen(&board, &lens(), pose, NOISE, &mut rng, &name(i));
        let views = where_it_is.iter().enumerate().map(view).collect();
        let row = |(i, pose)| PoseRow {
            line: i as u64 + 2,
            key: RowKey::File(name(i)),
            base_from_tip: Pose::new(base_from_tip(mount, pose)),
        };
        let rows = where_it_is.iter().enumerate().map(row).collect();
        Self {
            board,
            mount,
            views,
            log: PoseLog { path: "poses.csv".into(), rows },
            rows: (0..where_it_is.len()).collect(),
        }
    }

    fn new(mount: Mount, n: usize, seed: u64) -> Self {
        let text = "chessboard:9x6:4";
        Self::of(mount, text, &poses(&text.parse().unwrap(), &lens(), n, 30.0, seed), seed)
    }

    fn calibrate(&self) -> Result<HandEyeFit, CalibrationError> {
        calibrate_hand_eye(&HandEyeInput {
            board: &self.board,
            camera: &lens(),
            mount: self.mount,
            views: &self.views,
            log: &self.log,
            rows: &self.rows,
        })
    }

    /// Lets picture `i` have the pose of picture `order(i)`.
    fn reorder(&mut self, order: impl Fn(usize) -> usize) {
        let poses: Vec<_> = self.log.rows.iter().map(|r| r.base_from_tip).collect();
        for (i, row) in self.log.rows.iter_mut().enumerate() {
            row.base_from_tip = poses[order(i)];
        }
    }
}

/// Error of the first transform: mm along each axis, and degrees.
fn error(fit: &HandEyeFit) -> (Vector3<f64>, f64) {
    let (mount, got) = match fit.hand_eye {
        HandEye::InHand { tip_from_camera, .. } => (Mount::EyeInHand, *tip_from_camera.iso()),
        HandEye::ToHand { camera_from_base, .. } => (Mount::EyeToHand, *camera_from_base.iso()),
    };
    let want = truth(mount).0;
    let mm = (got.translation.vector - want.translation.vector) * 1e3;
    (mm, got.rotation.angle_to(&want.rotation).to_degrees())
}

#[test]
fn both_mounts_are_found_to_half_a_millimetre_and_a_fifth_of_a_degree() {
    for mount in [Mount::EyeInHand, Mount::EyeToHand] {
        for seed in 0..10 {
            let fit = Session::new(mount, 15, seed).calibrate().unwrap();
            let (mm, degrees) = error(&fit);
            assert!(mm.norm() < 0.5 && degrees < 0.2, "{mount:?} {seed}: {mm} mm, {degrees} degrees");
            assert!((fit.rms - NOISE * 2f64.sqrt()).abs() < 0.03, "{}", fit.rms);
            assert_eq!(judge_hand_eye(&fit).grade, Grade::Good, "{}", judge_hand_eye(&fit));
        }
    }
}

#[test]
fn the_stated_sigma_is_the_spread_of_the_errors() {
    for mount in [Mount::EyeInHand, Mount::EyeToHand] {
        const SEEDS: u64 = 60;
        let (mut position, mut rotation) = (0.0, 0.0);
        for seed in 0..SEEDS {
            let fit = Session::new(mount, 15, 100 + seed).calibrate().unwrap();
            let (mm, degrees) = error(&fit);
            position += (0..3).map(|i| (mm[i] / fit.sigma.position_mm[i]).powi(2)).sum::<f64>();
            rotation += (degrees / fit.sigma.rotation()).powi(2);
        }
        // Mean of SEEDS chi-squares with three degrees of freedom (one for the angle's length), within about 3 of their own sigmas;
        // wider upwards never, for a sigma that is too small is worse than one that is too large.
        let (position, rotation) = (position / SEEDS as f64 / 3.0, rotation / SEEDS as f64);
        assert!((0.5..1.4).contains(&position), "{mount:?}: {position}");
        assert!((0.5..1.4).contains(&rotation), "{mount:?}: {rotation}");
    }
}

#[test]
fn a_robot_that_errs_makes_the_sigma_larger_and_the_verdict_says_how_far_off_it_is() {
    let mut session = Session::new(Mount::EyeInHand, 20, 3);
    let exact = session.calibrate().unwrap();
    let mut rng = rng(77);
    for row in &mut session.log.rows {
        // One millimetre per axis, half a degree: a good cable-driven arm.
        let draw = |scale: f64, rng: &mut _| Vector3::from_fn(|_, _| scale * common::gauss(rng));
        let by = Isometry3::new(draw(0.001, &mut rng), draw(0.5f64.to_radians(), &mut rng));
        row.base_from_tip = Pose::new(row.base_from_tip.iso() * by);
    }
    let fit = session.calibrate().unwrap();
    let (mm, _) = error(&fit);
    assert!(fit.sigma.position() > 5.0 * exact.sigma.position());
    assert!(mm.norm() < 3.0 * fit.sigma.position(), "{mm} {:?}", fit.sigma);
    assert!((0.8..3.5).contains(&fit.miss().mm), "{:?}", fit.miss());
    let verdict = judge_hand_eye(&fit);
    assert!(
        verdict.grade != Grade::Good && verdict.to_string().contains("robot and pictures disagree by"),
        "{verdict}"
    );
}

#[test]
fn a_shifted_log_is_refused_with_the_shift_that_would_fit() {
    let mut session = Session::new(Mount::EyeInHand, 16, 4);
    session.reorder(|i| (i + 14) % 16);
    let error = session.calibrate().unwrap_err();
    let CalibrationError::LogMismatch { pairs, advice } = &error else { panic!("{error}") };
    assert!(pairs.len() == 5 && pairs[0].contains(".png") && pairs[0].contains("lines"), "{error}");
    assert!(advice.as_ref().unwrap().contains("2 row(s) further down (a constant shift of +2)"), "{error}");
}

#[test]
fn a_shuffled_log_is_refused_and_no_shift_is_claimed() {
    let mut session = Session::new(Mount::EyeToHand, 16, 5);
    session.reorder(|i| (7 * i + 3) % 16);
    let error = session.calibrate().unwrap_err().to_string();
    assert!(error.contains("no constant shift") && error.contains("degrees"), "{error}");
}

#[test]
fn two_exchanged_rows_are_refused_by_line() {
    let mut session = Session::new(Mount::EyeInHand, 16, 6);
    session.reorder(|i| [3, 10].iter().position(|e| *e == i).map_or(i, |at| [10, 3][at]));
    let error = session.calibrate().unwrap_err().to_string();
    assert!(error.contains("03.png has the pose of line 5 but fits that of line 12"), "{error}");
    assert!(error.contains("10.png has the pose of line 12 but fits that of line 5"), "{error}");
}

#[test]
fn one_bad_pose_among_good_ones_is_left_out_by_name() {
    for wrong in [Isometry3::translation(0.0, 0.02, 0.0), Isometry3::rotation(Vector3::new(0.0, 0.3, 0.1))] {
        let mut session = Session::new(Mount::EyeInHand, 16, 7);
        let row = &mut session.log.rows[9];
        row.base_from_tip = Pose::new(row.base_from_tip.iso() * wrong);
        let fit = session.calibrate().unwrap();
        let left_out: Vec<_> = fit.rejections.iter().filter(|r| !matches!(r.what, Rejected::Corners { .. })).collect();
        assert!(left_out.len() == 1 && left_out[0].view == "09.png", "{left_out:?}");
        let (mm, degrees) = error(&fit);
        assert!(mm.norm() < 0.5 && degrees < 0.2);
    }
}

#[test]
fn the_other_mount_is_suggested_where_it_fits() {
    let mut session = Session::new(Mount::EyeInHand, 16, 8);
    session.mount = Mount::EyeToHand;
    let error = session.calibrate().unwrap_err().to_string();
    assert!(error.contains("--mount eye-in-hand"), "{error}");
}

#[test]
fn motion_about_one_axis_or_none_is_refused() {
    let board: BoardSpec = "chessboard:9x6:4".parse().unwrap();
    let at = Vector3::new(0.0, 0.0, 0.12);
    let turned = |i: usize, scale: f64| {
        let mut pose = Isometry3::rotation(Vector3::new(scale * (i as f64 - 5.0), 0.0, 0.0));
        pose.translation.vector = at + Vector3::new(0.002 * i as f64, 0.0, 0.0) - pose.rotation * board.centre().coords;
        pose
    };
    for (scale, said) in [(0.08, "about one axis"), (0.0, "turned by only 0.0 degrees")] {
        let where_it_is: Vec<_> = (0..10).map(|i| turned(i, scale)).collect();
        let error = Session::of(Mount::EyeInHand, "chessboard:9x6:4", &where_it_is, 9).calibrate().unwrap_err();
        assert!(
            matches!(error, CalibrationError::DegenerateMotion { .. }) && error.to_string().contains(said),
            "{error}"
        );
    }
}

#[test]
fn a_board_that_looks_the_same_upside_down_may_be_numbered_from_either_end() {
    let text = "chessboard:8x6:4";
    let board: BoardSpec = text.parse().unwrap();
    let mut session = Session::of(Mount::EyeInHand, text, &poses(&board, &lens(), 15, 30.0, 10), 10);
    for view in session.views.iter_mut().step_by(3) {
        let n = view.corners.len();
        view.corners.reverse();
        view.corners.iter_mut().enumerate().for_each(|(id, c)| {
            assert_eq!(c.id, n - 1 - id);
            c.id = id;
        });
    }
    let (mm, degrees) = error(&session.calibrate().unwrap());
    assert!(mm.norm() < 0.5 && degrees < 0.2, "{mm} {degrees}");
}

#[test]
fn a_square_chessboard_and_too_few_poses_are_refused() {
    let square: BoardSpec = "chessboard:6x6:4".parse().unwrap();
    let error =
        Session::of(Mount::EyeInHand, "chessboard:6x6:4", &poses(&square, &lens(), 8, 30.0, 11), 11).calibrate();
    assert!(matches!(error, Err(CalibrationError::SquareBoard { side: 6 })));
    let error = Session::new(Mount::EyeInHand, 5, 12).calibrate().unwrap_err();
    assert!(matches!(error, CalibrationError::TooFewViews { found: 5, needed: 6, .. }), "{error}");
}
