//! Camera and stereo calibration of rendered pictures, judged by the camera that rendered them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Photographer, in_view, lens, poses};
use nalgebra::{Isometry3, Vector3};
use proctor_calibration::{
    BoardSpec, CalibrationError, CameraFit, Coverage, Grade, Intrinsics, PairView, Radial, Rejected, View,
    calibrate_camera, calibrate_stereo, detect, judge_camera, judge_stereo,
};

const SIZE: (u32, u32) = (640, 480);

fn board(text: &str) -> BoardSpec {
    text.parse().unwrap()
}

fn photographed(board: &BoardSpec, camera: Intrinsics, poses: &[Isometry3<f64>], seed: u64) -> Vec<Option<View>> {
    let mut photographer = Photographer::new(board, camera, seed);
    let take = |(i, pose): (usize, &Isometry3<f64>)| {
        let corners = detect(board, &photographer.picture(pose)).unwrap();
        (!corners.is_empty()).then(|| View { name: format!("{i:02}.png"), corners })
    };
    poses.iter().enumerate().map(take).collect()
}

fn views(board: &BoardSpec, n: usize, seed: u64) -> Vec<View> {
    photographed(board, lens(), &poses(board, &lens(), n, 35.0, seed), seed).into_iter().flatten().collect()
}

/// Largest difference, px, between two cameras over the picture at arm's length: what an error of any parameter means in the end.
fn difference(a: &Intrinsics, b: &Intrinsics) -> f64 {
    let ray = |i: i32, j: i32| nalgebra::Point3::new(f64::from(i) * 0.08, f64::from(j) * 0.08, 1.0);
    let pairs = (-5..=5).flat_map(|i| (-4..=4).map(move |j| ray(i, j)));
    pairs.map(|p| (a.project(&p).unwrap() - b.project(&p).unwrap()).norm()).fold(0.0, f64::max)
}

fn recovered(fit: &CameraFit) {
    let (got, want) = (&fit.intrinsics, lens());
    assert!((got.fx / want.fx - 1.0).abs() < 0.003 && (got.fy / want.fy - 1.0).abs() < 0.003, "{got:?}");
    assert!((got.cx - want.cx).abs() < 1.5 && (got.cy - want.cy).abs() < 1.5, "{got:?}");
    assert!(difference(got, &want) < 2.5, "{} {got:?}", difference(got, &want));
    assert!(fit.rms < 0.2, "{}", fit.rms);
}

#[test]
fn a_chessboard_gives_the_camera_back() {
    let board = board("chessboard:9x6:4");
    let views = views(&board, 18, 1);
    assert_eq!(views.len(), 18, "the board is found in every picture");
    let fit = calibrate_camera(&board, SIZE, &views, Radial::Auto).unwrap();
    recovered(&fit);
    let verdict = judge_camera(&fit, &Coverage::of(SIZE, fit.views.iter()));
    assert_eq!(verdict.grade, Grade::Good, "{verdict}");
    assert!(verdict.to_string().contains("px over 18 views"), "{verdict}");
}

#[test]
fn a_charuco_board_gives_the_camera_back_also_where_it_is_cut_off() {
    for text in ["charuco:9x7:5:3.7:5X5_100", "charuco:8x6:5:3.7:4X4_50"] {
        let board = board(text);
        let mut where_it_is = poses(&board, &lens(), 16, 35.0, 2);
        // Half out of the picture, at each side.
        for u in [20.0, 620.0] {
            let middle = where_it_is[0] * board.centre();
            let by = (u - lens().cx) / lens().fx * middle.z - middle.x;
            let aside = Isometry3::translation(by, 0.0, 0.0) * where_it_is[0];
            assert!(!in_view(&board, &lens(), &aside));
            where_it_is.push(aside);
        }
        let views: Vec<View> = photographed(&board, lens(), &where_it_is, 2).into_iter().flatten().collect();
        assert!(
            views.len() >= 16 && views.iter().any(|v| v.corners.len() < board.corners()),
            "{text}: {}",
            views.len()
        );
        recovered(&calibrate_camera(&board, SIZE, &views, Radial::Auto).unwrap());
    }
}

#[test]
fn a_third_radial_coefficient_is_fitted_only_where_the_pictures_show_it() {
    let board = board("chessboard:9x6:4");
    let fit_of = |camera: Intrinsics| {
        let mut rng = common::rng(3);
        let poses = poses(&board, &camera, 25, 35.0, 3);
        let views: Vec<View> = poses.iter().map(|p| common::seen(&board, &camera, p, 0.1, &mut rng, "seen")).collect();
        calibrate_camera(&board, SIZE, &views, Radial::Auto).unwrap()
    };
    assert_eq!(fit_of(lens()).intrinsics.distortion[4], 0.0);
    let mut strong = lens();
    strong.distortion[4] = 0.3;
    let k3 = fit_of(strong).intrinsics.distortion[4];
    assert!((k3 - 0.3).abs() < 0.1, "{k3}");
}

#[test]
fn a_bent_view_and_a_moved_corner_are_left_out_by_name() {
    let board = board("chessboard:9x6:4");
    let mut views = views(&board, 14, 4);
    // The board bent by a millimetre: a parabola across its width.
    for corner in &mut views[5].corners {
        let x = (corner.id % 9) as f64 - 4.0;
        corner.pixel.y += 0.5 * x * x;
    }
    views[8].corners[20].pixel += nalgebra::Vector2::new(3.0, -2.0);
    let fit = calibrate_camera(&board, SIZE, &views, Radial::Auto).unwrap();
    let left_out: Vec<_> = fit.rejections.iter().map(|r| (r.view.as_str(), r.what)).collect();
    assert!(
        matches!(left_out[..], [("05.png", Rejected::View { .. }), ("08.png", Rejected::Corners { count: 1, .. })]),
        "{left_out:?}"
    );
    assert!(!fit.views[5].used && fit.used_views() == 13);
    recovered(&fit);
}

#[test]
fn too_few_views_are_counted() {
    let board = board("chessboard:9x6:4");
    let error = calibrate_camera(&board, SIZE, &views(&board, 5, 5), Radial::Auto).unwrap_err();
    assert!(matches!(error, CalibrationError::TooFewViews { found: 5, needed: 6, .. }), "{error}");
}

#[test]
fn views_of_the_middle_only_are_called_poor_with_what_to_do() {
    let board = board("chessboard:9x6:4");
    let middle = |i: usize| {
        let turn = Vector3::new(0.4 * (i as f64).sin(), 0.4 * (i as f64).cos(), 0.0);
        let mut pose = Isometry3::rotation(turn);
        pose.translation.vector = Vector3::new(0.0, 0.0, 0.15) - pose.rotation * board.centre().coords;
        pose
    };
    let where_it_is: Vec<_> = (0..12).map(middle).collect();
    let views: Vec<View> = photographed(&board, lens(), &where_it_is, 6).into_iter().flatten().collect();
    let fit = calibrate_camera(&board, SIZE, &views, Radial::Auto).unwrap();
    let verdict = judge_camera(&fit, &Coverage::of(SIZE, fit.views.iter()));
    assert!(
        verdict.grade == Grade::Poor && verdict.to_string().contains("only the middle of the picture"),
        "{verdict}"
    );
}

#[test]
fn a_board_that_is_never_tilted_is_not_called_good() {
    let board = board("chessboard:9x6:4");
    let flat = |i: usize| Isometry3::translation(-0.03 + 0.004 * i as f64, -0.02 + 0.003 * (i % 4) as f64, 0.1);
    let views: Vec<View> =
        photographed(&board, lens(), &(0..10).map(flat).collect::<Vec<_>>(), 7).into_iter().flatten().collect();
    match calibrate_camera(&board, SIZE, &views, Radial::Auto) {
        Err(CalibrationError::Undetermined { why }) => assert!(why.contains("tilt"), "{why}"),
        Err(other) => panic!("{other}"),
        Ok(fit) => {
            let verdict = judge_camera(&fit, &Coverage::of(SIZE, fit.views.iter()));
            assert!(verdict.grade == Grade::Poor && verdict.to_string().contains("tilt"), "{verdict}");
        }
    }
}

/// Five millimetres apart and converging by a degree and a half, as in an endoscope.
fn right_from_left() -> Isometry3<f64> {
    Isometry3::new(Vector3::new(-0.005, 0.0001, -0.0002), Vector3::new(0.002, 0.026, -0.003))
}

fn right_lens() -> Intrinsics {
    Intrinsics { fx: 604.0, fy: 605.0, cx: 315.0, cy: 243.0, ..lens() }
}

fn pairs(board: &BoardSpec, n: usize, seed: u64) -> Vec<PairView> {
    let both: Vec<_> = poses(board, &lens(), 4 * n, 35.0, seed)
        .into_iter()
        .filter(|p| in_view(board, &right_lens(), &(right_from_left() * p)))
        .take(n)
        .collect();
    let right: Vec<_> = both.iter().map(|p| right_from_left() * p).collect();
    let lefts = photographed(board, lens(), &both, seed);
    let rights = photographed(board, right_lens(), &right, seed + 100);
    lefts.into_iter().zip(rights).map(|(left, right)| PairView { left, right }).collect()
}

#[test]
fn a_pair_gives_its_baseline_and_rows_that_agree() {
    // 9x7 looks the same upside down, so that left and right have to be brought into one order.
    let board = board("chessboard:9x7:4");
    let fit = calibrate_stereo(&board, SIZE, &pairs(&board, 16, 8), Radial::Auto).unwrap();
    assert!((fit.baseline() * 1e3 - 5.0).abs() < 0.05, "{}", fit.baseline());
    let off = fit.right_from_left.rotation.angle_to(&right_from_left().rotation).to_degrees();
    assert!(off < 0.1, "{off}");
    assert!(fit.epipolar_rms < 0.2 && fit.rms < 0.2, "{} {}", fit.epipolar_rms, fit.rms);
    // P[3] of the right camera is -fx B; both rectified cameras are the same.
    let [left, right] = &fit.rectified;
    assert!((right.projection[(0, 3)] + right.projection[(0, 0)] * fit.baseline()).abs() < 1e-6);
    assert_eq!(left.projection.fixed_columns::<3>(0), right.projection.fixed_columns::<3>(0));
    let coverage = [&fit.left, &fit.right].map(|c| Coverage::of(SIZE, c.views.iter()));
    let verdict = judge_stereo(&fit, [&coverage[0], &coverage[1]]);
    assert_ne!(verdict.grade, Grade::Poor, "{verdict}");
}

#[test]
fn swapped_cameras_are_named() {
    let board = board("chessboard:9x6:4");
    let swapped: Vec<_> = pairs(&board, 9, 9).into_iter().map(|p| PairView { left: p.right, right: p.left }).collect();
    let error = calibrate_stereo(&board, SIZE, &swapped, Radial::Auto).unwrap_err();
    assert!(matches!(error, CalibrationError::Swapped { mm } if (mm - 5.0).abs() < 0.3), "{error}");
}

#[test]
fn pairs_of_different_moments_are_an_error_and_one_of_them_is_left_out() {
    let board = board("chessboard:9x6:4");
    let good = pairs(&board, 12, 10);
    let mut shifted = good.clone();
    for i in 0..12 {
        shifted[i].right.clone_from(&good[(i + 1) % 12].right);
    }
    let error = calibrate_stereo(&board, SIZE, &shifted, Radial::Auto).unwrap_err();
    assert!(matches!(error, CalibrationError::PairsDisagree { all: 12, .. }), "{error}");

    let mut one = good.clone();
    one[4].right.clone_from(&good[5].right);
    let fit = calibrate_stereo(&board, SIZE, &one, Radial::Auto).unwrap();
    let named = fit.rejections.iter().filter(|r| matches!(r.what, Rejected::Pair { .. })).map(ToString::to_string);
    let named: Vec<_> = named.collect();
    assert!(named.len() == 1 && named[0].contains("04.png with 05.png"), "{named:?}");
    assert!((fit.baseline() * 1e3 - 5.0).abs() < 0.1);
}
