//! `proctor calibrate` as a user runs it, on rendered pictures of one session: a stereo endoscope on an arm before a chessboard.
#![allow(clippy::unwrap_used)]

#[path = "../../../crates/calibration/tests/common/mod.rs"]
mod common;

use common::{Photographer, in_view, lens, poses};
use nalgebra::{Isometry3, Vector3};
use proctor_calibration::{BoardSpec, CameraInfo, HandEyeFile, Intrinsics};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

const BOARD: &str = "chessboard:9x6:4";
const VIEWS: usize = 14;

fn right_lens() -> Intrinsics {
    Intrinsics { fx: 604.0, fy: 605.0, cx: 315.0, cy: 243.0, ..lens() }
}

fn right_from_left() -> Isometry3<f64> {
    Isometry3::new(Vector3::new(-0.005, 0.0, 0.0), Vector3::new(0.0, 0.02, 0.0))
}

fn tip_from_camera() -> Isometry3<f64> {
    Isometry3::new(Vector3::new(0.002, -0.004, 0.01), Vector3::new(0.05, -0.1, 1.5))
}

/// A folder with left/, right/, both/ (side by side), poses.csv and camera.yaml (the exact left camera).
struct Shots {
    dir: PathBuf,
    rows: Vec<String>,
}

static SHOTS: LazyLock<Shots> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("calibrate");
    let _ = std::fs::remove_dir_all(&dir);
    let board: BoardSpec = BOARD.parse().unwrap();
    let visible = |p: &Isometry3<f64>| in_view(&board, &right_lens(), &(right_from_left() * p));
    let poses: Vec<_> = poses(&board, &lens(), 4 * VIEWS, 35.0, 21).into_iter().filter(visible).take(VIEWS).collect();
    let mut left = Photographer::new(&board, lens(), 1);
    let mut right = Photographer::new(&board, right_lens(), 2);
    let base_from_board = Isometry3::new(Vector3::new(0.02, -0.01, -0.25), Vector3::new(3.0, 0.2, 0.1));
    let mut rows = Vec::new();
    for (i, pose) in poses.iter().enumerate() {
        let (l, r) = (left.picture(pose), right.picture(&(right_from_left() * pose)));
        common::write(&l, &dir.join(format!("left/left_{i:02}.png")));
        common::write(&r, &dir.join(format!("right/right_{i:02}.png")));
        common::write_side_by_side(&l, &r, &dir.join(format!("both/{i:02}.png")));
        let tip = base_from_board * pose.inverse() * tip_from_camera().inverse();
        let (p, q) = (tip.translation.vector, tip.rotation);
        rows.push(format!("left_{i:02}.png,{},{},{},{},{},{},{}", p.x, p.y, p.z, q.i, q.j, q.k, q.w));
    }
    let camera = CameraInfo::single("exact", lens()).unwrap();
    std::fs::write(dir.join("camera.yaml"), camera.to_yaml(&[])).unwrap();
    Shots { dir, rows }
});

impl Shots {
    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    /// A pose log of these rows in a file of its own.
    fn log(&self, name: &str, rows: &[String]) -> String {
        let mut text = "file,x,y,z,qx,qy,qz,qw\n".to_owned();
        rows.iter().for_each(|r| writeln!(text, "{r}").unwrap());
        std::fs::write(self.dir.join(name), text).unwrap();
        self.path(name)
    }
}

/// Runs `proctor calibrate` with `--board` and `--out` added; the folder of results comes back.
fn calibrate(arguments: &[&str]) -> (Output, tempfile::TempDir) {
    with_board(arguments, BOARD)
}

fn with_board(arguments: &[&str], board: &str) -> (Output, tempfile::TempDir) {
    let out = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_proctor"))
        .arg("calibrate")
        .args(arguments)
        .args(["--board", board, "--out"])
        .arg(out.path().join("results"))
        .output()
        .unwrap();
    (output, out)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs what must fail without writing anything; its message.
fn refused(arguments: &[&str], board: &str) -> String {
    let (output, out) = with_board(arguments, board);
    let message = text(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {message}");
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "nothing may be written: {arguments:?}");
    message
}

fn read(out: &tempfile::TempDir, name: &str) -> (PathBuf, String) {
    let path = out.path().join("results").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

fn camera(out: &tempfile::TempDir, name: &str) -> CameraInfo {
    CameraInfo::read(&read(out, name).0).unwrap()
}

/// Copies pictures into a new folder under new names.
fn copies(pairs: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (from, to) in pairs {
        std::fs::copy(SHOTS.path(from), dir.path().join(to)).unwrap();
    }
    dir
}

fn path(dir: &tempfile::TempDir) -> &str {
    dir.path().to_str().unwrap()
}

#[test]
fn camera_writes_a_ros_file_a_plot_and_a_verdict() {
    let (output, out) = calibrate(&["camera", &SHOTS.path("left"), "--name", "endoscope/left"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        said.contains(&format!("px over {VIEWS} views")) && said.contains("wrote ") && said.contains("fx "),
        "{said}"
    );
    let info = camera(&out, "camera.yaml");
    assert_eq!((info.name.as_str(), info.intrinsics.width), ("endoscope/left", 640));
    assert!((info.intrinsics.fx / lens().fx - 1.0).abs() < 0.004, "{:?}", info.intrinsics);
    let (_, yaml) = read(&out, "camera.yaml");
    let first_word = |l: &str| l.split(':').next().unwrap_or_default().to_owned();
    let keys: Vec<_> = yaml.lines().filter(|l| !l.starts_with([' ', '#'])).map(first_word).collect();
    let ros =
        ["image_width", "image_height", "camera_name", "camera_matrix", "distortion_model", "distortion_coefficients"];
    assert_eq!(keys, [&ros[..], &["rectification_matrix", "projection_matrix"]].concat());
    let (_, svg) = read(&out, "camera_residuals.svg");
    assert_eq!(svg.matches("class=\"view\"").count(), VIEWS);
}

#[test]
fn a_picture_without_the_board_is_named_and_does_no_harm() {
    let dir = copies(&[("left/left_00.png", "x.png")]);
    let blank =
        opencv::core::Mat::new_rows_cols_with_default(480, 640, opencv::core::CV_8UC1, opencv::core::Scalar::all(90.0));
    common::write(&blank.unwrap(), &dir.path().join("blank.jpg"));
    let pattern = SHOTS.path("left/left_0*.png");
    let (output, _out) = calibrate(&["camera", &pattern, path(&dir), "--json"]);
    assert!(text(&output.stderr).contains("no board in blank.jpg"), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(report["without_board"], serde_json::json!(["blank.jpg"]));
    assert!(report["verdict"]["grade"].is_string() && report["files"].as_array().unwrap().len() == 2);
    assert_eq!(report["views"].as_array().unwrap().len(), 11, "the ten that fit the pattern and x.png");
}

#[test]
fn what_is_wrong_with_the_pictures_is_named() {
    let few = copies(&[("left/left_00.png", "a.png"), ("left/left_01.png", "b.png"), ("left/left_02.png", "c.png")]);
    let message = refused(&["camera", path(&few)], BOARD);
    assert!(message.contains("too few views: 3") && message.contains("at least 6"), "{message}");

    let mixed = copies(&[("left/left_00.png", "a.png"), ("both/00.png", "wide.png")]);
    let message = refused(&["camera", path(&mixed)], BOARD);
    for said in ["mixed resolutions", "a.png is 640x480", "wide.png is 1280x480"] {
        assert!(message.contains(said), "{message}");
    }

    let message = refused(&["camera", path(&few)], "chessboard:10x7:4");
    assert!(message.contains("no board") && message.contains("9x6 inner corners"), "{message}");

    std::fs::write(few.path().join("broken.png"), "not a picture").unwrap();
    assert!(refused(&["camera", path(&few)], BOARD).contains("broken.png"));
    assert!(refused(&["camera", "/nonexistent/shots"], BOARD).contains("/nonexistent/shots"));
    let message = refused(&["camera", path(&few)], "chessboard:9x6");
    assert!(message.contains("chessboard:COLSxROWS:SQUARE_MM (inner corners)"), "{message}");
}

#[test]
fn stereo_writes_both_cameras_with_the_baseline_in_the_right_ones_projection() {
    let separate = calibrate(&["stereo", "--left", &SHOTS.path("left"), "--right", &SHOTS.path("right")]);
    let halves = calibrate(&["stereo", "--side-by-side", &SHOTS.path("both")]);
    for (output, out) in [separate, halves] {
        assert!(output.status.success(), "{}", text(&output.stderr));
        let (left, right) = (camera(&out, "left.yaml"), camera(&out, "right.yaml"));
        assert_eq!((left.name.as_str(), right.name.as_str(), left.baseline()), ("left", "right", 0.0));
        assert!((right.baseline() * 1e3 - 5.0).abs() < 0.1, "{}", right.baseline());
        assert_eq!(left.projection[(0, 0)], right.projection[(0, 0)]);
        assert!((left.intrinsics.fx / lens().fx - 1.0).abs() < 0.005, "{:?}", left.intrinsics);
        let (_, svg) = read(&out, "stereo_residuals.svg");
        assert_eq!(svg.matches("class=\"view\"").count(), 2 * VIEWS);
    }
}

#[test]
fn swapped_and_foreign_pictures_of_a_pair_are_named() {
    let (left, right) = (SHOTS.path("left"), SHOTS.path("right"));
    let message = refused(&["stereo", "--left", &right, "--right", &left], BOARD);
    assert!(message.contains("left and right are swapped") && message.contains("5.0 mm"), "{message}");

    let names: Vec<_> =
        (0..VIEWS).map(|i| (format!("right/right_{:02}.png", (i + 1) % VIEWS), format!("right_{i:02}.png"))).collect();
    let shifted = copies(&names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>());
    let message = refused(&["stereo", "--left", &left, "--right", path(&shifted)], BOARD);
    assert!(
        message.contains("do not belong together") && message.contains("left_00.png and right_00.png"),
        "{message}"
    );

    let wide = copies(&[("both/00.png", "right_00.png")]);
    let message = refused(&["stereo", "--left", &left, "--right", path(&wide)], BOARD);
    assert!(message.contains("mixed resolutions") && message.contains("left_00.png is 640x480"), "{message}");
    assert!(refused(&["stereo", "--left", &left], BOARD).contains("--right"));
}

/// `calibrate hand-eye` on the session with this log.
fn hand_eye<'a>(pictures: &'a str, camera: &'a str, log: &'a str) -> Vec<&'a str> {
    vec!["hand-eye", pictures, "--camera", camera, "--poses", log, "--mount", "eye-in-hand"]
}

#[test]
fn hand_eye_writes_the_transform_with_its_uncertainty() {
    let (left, yaml, log) = (SHOTS.path("left"), SHOTS.path("camera.yaml"), SHOTS.log("good.csv", &SHOTS.rows));
    let (output, out) = calibrate(&hand_eye(&left, &yaml, &log));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("good: "), "{}", text(&output.stdout));
    let (path, toml) = read(&out, "hand_eye.toml");
    let file = HandEyeFile::from_toml(&toml, &path).unwrap();
    let found = file.tip_from_camera.unwrap();
    let off = found.isometry().inverse() * tip_from_camera();
    assert!(off.translation.vector.norm() < 0.0005 && off.rotation.angle().to_degrees() < 0.2, "{off:?}");
    assert!(found.sigma_position_mm.unwrap().iter().all(|s| *s > 0.0 && *s < 0.5));
    assert_eq!((file.mount.as_str(), file.residuals.poses_used), ("eye-in-hand", VIEWS));
}

#[test]
fn a_pose_log_that_does_not_match_the_pictures_is_named() {
    let (left, yaml) = (SHOTS.path("left"), SHOTS.path("camera.yaml"));
    let refuse = |name: &str, rows: &[String]| refused(&hand_eye(&left, &yaml, &SHOTS.log(name, rows)), BOARD);
    let name_of = |row: &String| row.split(',').next().unwrap().to_owned();
    let numbers_of = |row: &String| row.split_once(',').unwrap().1.to_owned();
    let reordered = |order: &dyn Fn(usize) -> usize| -> Vec<String> {
        (0..VIEWS).map(|i| format!("{},{}", name_of(&SHOTS.rows[i]), numbers_of(&SHOTS.rows[order(i)]))).collect()
    };

    let message = refuse("shifted.csv", &reordered(&|i| (i + 1) % VIEWS));
    assert!(message.contains("constant shift of -1") && message.contains("left_"), "{message}");
    let message = refuse("shuffled.csv", &reordered(&|i| (5 * i + 2) % VIEWS));
    assert!(message.contains("no constant shift"), "{message}");

    let message = refuse("short.csv", &SHOTS.rows[1..]);
    assert!(message.contains("without a pose: left_00.png") && message.contains("13 rows, 14 pictures"), "{message}");
    let foreign = [&SHOTS.rows[..], &["zoo.png,0,0,0,0,0,0,1".to_owned()]].concat();
    assert!(refuse("long.csv", &foreign).contains("zoo.png (line 16)"));
    let mut bad = SHOTS.rows.clone();
    bad[3] = "left_03.png,0,0,oops,0,0,0,1".into();
    assert!(refuse("bad.csv", &bad).contains("bad.csv, line 5: column \"z\": \"oops\""));
}

#[test]
fn a_camera_file_of_other_pictures_is_refused() {
    let log = SHOTS.log("other.csv", &SHOTS.rows);
    let other = SHOTS.dir.join("other.yaml");
    let big = Intrinsics { width: 1280, height: 960, ..lens() };
    std::fs::write(&other, CameraInfo::single("big", big).unwrap().to_yaml(&[])).unwrap();
    let message = refused(&hand_eye(&SHOTS.path("left"), other.to_str().unwrap(), &log), BOARD);
    assert!(message.contains("640x480") && message.contains("1280x960") && message.contains("other.yaml"), "{message}");
    assert!(Path::new(&log).is_file());
}

#[test]
fn help_shows_an_example_and_says_what_is_counted() {
    for what in ["camera", "stereo", "hand-eye"] {
        let output = Command::new(env!("CARGO_BIN_EXE_proctor")).args(["calibrate", what, "--help"]).output().unwrap();
        let help = text(&output.stdout);
        for said in ["Example: proctor calibrate", "INNER CORNERS", "SQUARES"] {
            assert!(help.contains(said), "{what}: {help}");
        }
    }
}
