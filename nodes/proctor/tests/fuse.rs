//! `proctor fuse` as a user runs it, on points and poses of an arm whose place before the camera is known to the test alone.
#![allow(clippy::unwrap_used)]

use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion, Vector3};
use proctor_kinematics::{Chain, Instrument};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::{
    fmt::Write as _,
    path::Path,
    process::{Command, Output},
};

const CLASSIC: &str = "LARGE_NEEDLE_DRIVER_400006";
const SI: &str = "LARGE_NEEDLE_DRIVER_420006";
const PINHOLE: &str = "800,800,320,240,5,640,480";
const FX: f64 = 800.0;
const BASELINE: f64 = 0.005;
const NOISE_PX: f64 = 1.5;
const SECONDS: f64 = 20.0;

/// A session: what was true, and what goes wrong with the tables.
struct Session {
    /// The instrument that was seen, and the one by which poses are reckoned.
    instruments: [&'static str; 2],
    stereo: bool,
    /// Poses' stamp less pictures' stamp of one instant, s.
    offset: f64,
    /// From when on poses stand still, s.
    frozen: Option<f64>,
    /// Rows of the poses that are 60 mm off.
    bad_poses: Vec<usize>,
    /// Rows of the points that are somewhere in the picture.
    bad_points: Vec<usize>,
    swapped: bool,
    joints: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            instruments: [CLASSIC; 2],
            stereo: true,
            offset: 0.0,
            frozen: None,
            bad_poses: Vec::new(),
            bad_points: Vec::new(),
            swapped: false,
            joints: false,
        }
    }
}

/// Slow independent sinusoids about a working posture; `phase` tells arms apart.
fn joints(t: f64, phase: f64) -> [f64; 6] {
    let centre = [0.05, -0.05, 0.14, 0.2, -0.1, 0.1];
    let amplitude = [0.16, 0.13, 0.02, 0.5, 0.35, 0.35];
    let hz = [0.17, 0.23, 0.13, 0.11, 0.19, 0.29];
    std::array::from_fn(|i| {
        centre[i] + amplitude[i] * (std::f64::consts::TAU * hz[i] * t + phase * (i + 1) as f64).sin()
    })
}

fn camera_from_base() -> Isometry3<f64> {
    let turn = UnitQuaternion::from_scaled_axis(Vector3::new(2.6, 0.3, 0.2));
    let tip = Chain::psm(&Instrument::named(CLASSIC).unwrap()).unwrap().fk(&joints(0.0, 0.0)).unwrap().translation();
    Isometry3::from_parts(Translation3::from(Vector3::new(0.004, 0.003, 0.12) - turn * tip), turn)
}

impl Session {
    /// The two tables' texts: points, poses.
    fn tables(&self, phase: f64, seed: u64) -> (String, String) {
        let [seen, believed] = self.instruments.map(|name| Chain::psm(&Instrument::named(name).unwrap()).unwrap());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut noise = || NOISE_PX * (0..12).map(|_| rng.random_range(-0.5..0.5)).sum::<f64>();
        let mut points = "stamp,u,v,u_right,v_right\n".to_owned();
        for k in 0..(SECONDS * 30.0) as usize {
            let t = k as f64 / 30.0;
            let p = camera_from_base() * Point3::from(seen.fk(&joints(t, phase)).unwrap().translation());
            let mut left = [FX * p.x / p.z + 320.0 + noise(), FX * p.y / p.z + 240.0 + noise()];
            let mut right = [FX * (p.x - BASELINE) / p.z + 320.0 + noise(), FX * p.y / p.z + 240.0 + noise()];
            if self.bad_points.contains(&k) {
                left = [640.0 - left[0], 480.0 - left[1] + 90.0];
            }
            if self.swapped {
                std::mem::swap(&mut left, &mut right);
            }
            let right = if self.stereo { right.map(|v| v.to_string()) } else { [String::new(), String::new()] };
            writeln!(points, "{t:.6},{},{},{},{}", left[0], left[1], right[0], right[1]).unwrap();
        }
        let mut poses = if self.joints { "stamp,q1,q2,q3,q4,q5,q6\n" } else { "stamp,x,y,z,qx,qy,qz,qw\n" }.to_owned();
        for k in 0..(SECONDS * 100.0) as usize {
            let t = k as f64 / 100.0;
            let q = joints(self.frozen.map_or(t, |from| t.min(from)), phase);
            let stamp = t + self.offset;
            if self.joints {
                writeln!(poses, "{stamp:.6},{}", q.map(|v| v.to_string()).join(",")).unwrap();
                continue;
            }
            let pose = believed.fk(&q).unwrap();
            let (mut p, r) = (pose.translation(), pose.rotation());
            if self.bad_poses.contains(&k) {
                p.x += 0.06;
            }
            writeln!(poses, "{stamp:.6},{},{},{},{},{},{},{}", p.x, p.y, p.z, r.i, r.j, r.k, r.w).unwrap();
        }
        (points, poses)
    }

    /// Runs `proctor fuse` on it; the summary comes back.
    fn fuse(&self, extra: &[&str]) -> (Value, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let (points, poses) = self.tables(0.0, 7);
        std::fs::write(folder.path().join("tips.csv"), points).unwrap();
        std::fs::write(folder.path().join("poses.csv"), poses).unwrap();
        let output = fuse(folder.path(), extra);
        assert!(output.status.success(), "{}", text(&output.stderr));
        println!("{}", text(&output.stdout));
        let summary = std::fs::read_to_string(folder.path().join("out/summary.json")).unwrap();
        (serde_json::from_str(&summary).unwrap(), folder)
    }
}

fn fuse(folder: &Path, extra: &[&str]) -> Output {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mut command = Command::new(env!("CARGO_BIN_EXE_proctor"));
    command.args(["fuse", "--points", &path("tips.csv"), "--poses", &path("poses.csv"), "--out", &path("out")]);
    command.args(["--pinhole", PINHOLE]).args(extra).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn findings(arm: &Value) -> Vec<&str> {
    arm["findings"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect()
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap_or(f64::NAN)
}

/// Distance and angle of the base that was found from the true one, at the tip: m, rad.
fn base_error(arm: &Value) -> (f64, f64) {
    let list = |v: &Value| v.as_array().unwrap().iter().map(number).collect::<Vec<_>>();
    let (p, q) = (list(&arm["camera_from_base"]["position_m"]), list(&arm["camera_from_base"]["quaternion_xyzw"]));
    let q = UnitQuaternion::new_normalize(nalgebra::Quaternion::new(q[3], q[0], q[1], q[2]));
    let found = Isometry3::from_parts(Translation3::new(p[0], p[1], p[2]), q);
    let tip = camera_from_base().inverse() * Point3::new(0.004, 0.003, 0.12);
    ((found * tip - camera_from_base() * tip).norm(), found.rotation.angle_to(&camera_from_base().rotation))
}

#[test]
fn the_base_is_found_from_the_recording_alone_with_one_camera_and_with_two() {
    for (stereo, within_m) in [(false, 0.0015), (true, 0.0008)] {
        let (summary, folder) = Session { stereo, ..Session::default() }.fuse(&[]);
        let arm = &summary["arms"][0];
        let (metres, radians) = base_error(arm);
        println!(
            "stereo {stereo}: {:.2} mm, {:.2} mrad, stated {:.2} mm",
            metres * 1e3,
            radians * 1e3,
            number(&arm["tip_sigma_m"]) * 1e3
        );
        assert_eq!(findings(arm), Vec::<&str>::new());
        assert!(metres < within_m && radians < 0.02, "{metres} {radians}");
        // Noise of 1.5 px per coordinate is 1.5 * sqrt(2) as a distance.
        let rms = number(&arm["residual_px"]["rms"]);
        assert!((rms - NOISE_PX * 2f64.sqrt()).abs() < 0.15, "{rms}");
        let estimates = std::fs::read_to_string(folder.path().join("out/estimates.csv")).unwrap();
        assert_eq!(estimates.lines().count(), 601);
        let fields = estimates.lines().next().unwrap().split(',').count();
        assert!(estimates.lines().all(|l| l.split(',').count() == fields));
    }
}

#[test]
fn stamps_that_are_off_are_found_to_ten_milliseconds() {
    for offset in [-2.4, -0.3, 0.062, 1.1] {
        let (summary, _folder) = Session { offset, stereo: false, ..Session::default() }.fuse(&[]);
        let arm = &summary["arms"][0];
        let (found, sigma) = (number(&arm["offset_s"][0]), number(&arm["offset_s"][1]));
        println!("{offset}: {found:.4} +- {sigma:.4}");
        assert!((found - offset).abs() < 0.010 && sigma < 0.010, "{offset}: {found} +- {sigma}");
        assert!(base_error(arm).0 < 0.002);
    }
}

#[test]
fn bad_points_and_a_bad_pose_are_left_out_and_named_by_their_lines() {
    let session = Session { bad_points: vec![100, 250, 251, 400], bad_poses: vec![777], ..Session::default() };
    let (summary, folder) = session.fuse(&[]);
    assert_eq!(findings(&summary["arms"][0]), ["bad_pose"]);
    assert!(base_error(&summary["arms"][0]).0 < 0.0008);
    let rejected = std::fs::read_to_string(folder.path().join("out/rejected.csv")).unwrap();
    for line in ["tips.csv,102,", "tips.csv,252,", "tips.csv,253,", "tips.csv,402,", "poses.csv,779,"] {
        assert!(rejected.contains(line), "{line}: {rejected}");
    }
    // Of two thousand, hardly any besides.
    assert!(rejected.lines().count() < 12, "{rejected}");
}

#[test]
fn what_is_wrong_with_a_recording_is_named() {
    for (session, extra, expected) in [
        (Session { instruments: [SI, CLASSIC], ..Session::default() }, &[][..], "wrong_geometry"),
        (Session { instruments: [CLASSIC, SI], ..Session::default() }, &[], "wrong_geometry"),
        (Session { instruments: [SI, CLASSIC], joints: true, ..Session::default() }, &[], "wrong_geometry"),
        (Session { frozen: Some(12.0), ..Session::default() }, &[], "frozen_joints"),
        (Session { swapped: true, ..Session::default() }, &[], "swapped_cameras"),
    ] {
        let (summary, _folder) = session.fuse(extra);
        let arm = &summary["arms"][0];
        assert_eq!(findings(arm).first(), Some(&expected), "{arm}");
        // Nothing is called aligned where something is wrong; what is right is found all the same where part of the recording tells it.
        assert_eq!(number(&arm["aligned"]), 0.0, "{arm}");
        if ["frozen_joints", "swapped_cameras"].contains(&expected) {
            assert_eq!(findings(arm).len(), 1, "{arm}");
            assert!(number(&arm["residual_px"]["rms"]) < 2.5, "{arm}");
        }
    }
}

#[test]
fn joints_that_belong_to_the_instrument_need_no_poses() {
    let (summary, _folder) =
        Session { instruments: [SI; 2], joints: true, ..Session::default() }.fuse(&["--instrument", SI]);
    let arm = &summary["arms"][0];
    assert_eq!(findings(arm), Vec::<&str>::new());
    assert!(number(&arm["residual_px"]["rms"]) < 2.4, "{arm}");
}

#[test]
fn bad_input_is_refused_by_file_line_and_reason_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (points, poses) = Session::default().tables(0.0, 1);
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let refused = |points: &str, poses: &str, extra: &[&str]| {
        write("tips.csv", points);
        write("poses.csv", poses);
        let output = fuse(folder.path(), extra);
        assert!(!output.status.success() && !folder.path().join("out").exists());
        text(&output.stderr)
    };
    let third = points.lines().nth(2).unwrap();
    let spoiled = points.replace(third, &third.replace(&third[..8], "noon    "));
    for (message, parts) in [
        (refused(&spoiled, &poses, &[]), ["tips.csv, line 3", "\"stamp\"", "finite number"]),
        (refused("a,b\n1,2\n", &poses, &[]), ["tips.csv, line 1", "\"u\"", "but has"]),
        (
            refused(&points, "stamp,x,y,z\n0.1,12,40,-110\n", &[]),
            ["poses.csv, line 2", "metres are expected", "millimetres"],
        ),
        (refused(&points, "stamp,x,y\n0.1,12,40\n", &[]), ["poses.csv, line 1", "\"z\"", "but has"]),
        (refused(&points, &poses, &["--arm", "ECM"]), ["--arm", "PSM1", "ECM"]),
        (
            refused(&points, "stamp,x,y,z\n9000.1,0,0,-0.1\n9000.2,0,0,-0.1\n", &[]),
            ["0 of 600 points", "one clock", "PSM1"],
        ),
    ] {
        assert!(parts.iter().all(|p| message.contains(p)), "{parts:?}: {message}");
    }
    write("tips.csv", &points);
    write("poses.csv", &poses);
    assert!(fuse(folder.path(), &[]).status.success());
    let again = fuse(folder.path(), &[]);
    assert!(!again.status.success() && text(&again.stderr).contains("--overwrite"));
    assert!(fuse(folder.path(), &["--overwrite"]).status.success());
}
