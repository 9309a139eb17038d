//! `proctor calibrate camera|stereo|hand-eye`: reads pictures, calls `proctor-calibration`, prints, and writes all files or none.

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use proctor_calibration as calibration;
use proctor_calibration::{
    BoardSpec, CalibrationError, CameraFit, CameraInfo, Coverage, FittedView, HandEyeFile, HandEyeInput, PairView,
    Pairs, Panel, Picture, PoseLog, Rejection, Survey, Verdict, View, residual_plot,
};
use serde_json::{Value, json};
use std::{
    io::{IsTerminal as _, Write},
    path::{Path, PathBuf},
};

/// What to calibrate.
#[derive(Debug, Subcommand)]
pub enum Calibrate {
    /// Intrinsics of one camera, as ROS camera_info YAML.
    #[command(after_help = CAMERA_HELP)]
    Camera(CameraArgs),
    /// Both cameras of a stereo endoscope, their baseline and rectification, as left.yaml and right.yaml.
    #[command(after_help = STEREO_HELP)]
    Stereo(StereoArgs),
    /// Where the camera sits on its arm, or where an arm stands before the camera, as hand_eye.toml.
    #[command(after_help = HAND_EYE_HELP)]
    HandEye(HandEyeArgs),
}

const CAMERA_HELP: &str = "\
Example: proctor calibrate camera shots/ --board chessboard:9x6:3.5 --out calibration

Take 15 to 30 sharp pictures of a flat board: near every edge of the picture, at several distances, tilted by 20 to 40 degrees.
Writes camera.yaml and camera_residuals.svg. Nothing is written if it fails.";
const STEREO_HELP: &str = "\
Example: proctor calibrate stereo --left shots/left --right shots/right --board charuco:9x7:4:3:5X5_100 --out calibration

A left and a right picture of the same moment have the same name, but for left/right or l/r: left_01.png and right_01.png.
Writes left.yaml, right.yaml (baseline in its P[3] = -fx B) and stereo_residuals.svg. Nothing is written if it fails.";
const HAND_EYE_HELP: &str = "\
Example: proctor calibrate hand-eye shots/ --board chessboard:9x6:3.5 --camera calibration/camera.yaml \\
           --poses poses.csv --mount eye-in-hand --out calibration

poses.csv has a header and a row per picture: file,x,y,z,qx,qy,qz,qw - the arm's measured_cp in its own base (metres; on a dVRK
local/measured_cp). With a column stamp instead of file (s or ns), the last number in a picture's name is its stamp, and the
nearest row within 50 ms is taken. Hold still for each picture; turn by 20 degrees and more, about two axes at least.
  eye-in-hand: the arm carries the camera (ECM), the board stays. Result: tip_from_camera.
  eye-to-hand: the camera stays, the arm holds the board (PSM). Result: camera_from_base.
Writes hand_eye.toml and hand_eye_residuals.svg. Nothing is written if it fails.";

/// What all three need.
#[derive(Debug, Args)]
struct Common {
    /// chessboard:COLSxROWS:SQUARE_MM counts INNER CORNERS (as ROS does); charuco:COLSxROWS:SQUARE_MM:MARKER_MM[:DICT] counts
    /// SQUARES (as OpenCV does; DICT is 4X4_50 if not given).
    #[arg(long)]
    board: BoardSpec,
    /// Folder for the results; made if missing, files of the same name are replaced.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
    /// Threads that look for the board; each holds one picture. By default one per processor, at most 8.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
}

/// Arguments of `proctor calibrate camera`.
#[derive(Debug, Args)]
pub struct CameraArgs {
    /// Pictures, folders of pictures, or patterns with * and ?.
    #[arg(required = true)]
    pictures: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// Name of the camera in the file.
    #[arg(long, default_value = "camera", value_parser = camera_name)]
    name: String,
    /// Radial coefficients: k1 and k2, k3 too, or k3 only if the pictures show that it is needed.
    #[arg(long, value_enum, default_value = "auto")]
    radial: Radial,
}

/// Arguments of `proctor calibrate stereo`.
#[derive(Debug, Args)]
pub struct StereoArgs {
    /// Left pictures, folders or patterns.
    #[arg(long, num_args = 1.., required_unless_present = "side_by_side", requires = "right", value_name = "PICTURES")]
    left: Vec<PathBuf>,
    /// Right pictures, folders or patterns.
    #[arg(long, num_args = 1.., requires = "left", value_name = "PICTURES")]
    right: Vec<PathBuf>,
    /// Pictures whose left half is the left camera's and whose right half is the right one's.
    #[arg(long, num_args = 1.., conflicts_with_all = ["left", "right"], value_name = "PICTURES")]
    side_by_side: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// Name of the endoscope; the cameras are NAME/left and NAME/right.
    #[arg(long, value_parser = camera_name)]
    name: Option<String>,
    /// Radial coefficients: k1 and k2, k3 too, or k3 only if the pictures show that it is needed.
    #[arg(long, value_enum, default_value = "auto")]
    radial: Radial,
}

/// Arguments of `proctor calibrate hand-eye`.
#[derive(Debug, Args)]
pub struct HandEyeArgs {
    /// Pictures, folders of pictures, or patterns with * and ?.
    #[arg(required = true)]
    pictures: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// The camera that took the pictures: camera_info YAML with plumb_bob distortion.
    #[arg(long, value_name = "YAML")]
    camera: PathBuf,
    /// The robot's poses.
    #[arg(long, value_name = "CSV")]
    poses: PathBuf,
    /// Whether the arm of the log holds the camera or the board.
    #[arg(long, value_enum)]
    mount: Mount,
}

/// See [`calibration::Radial`].
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Radial {
    Auto,
    #[value(name = "2")]
    Two,
    #[value(name = "3")]
    Three,
}

impl From<Radial> for calibration::Radial {
    fn from(radial: Radial) -> Self {
        match radial {
            Radial::Auto => Self::Auto,
            Radial::Two => Self::Two,
            Radial::Three => Self::Three,
        }
    }
}

/// See [`calibration::Mount`].
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mount {
    /// The arm carries the camera (ECM).
    EyeInHand,
    /// The arm holds the board (PSM).
    EyeToHand,
}

fn camera_name(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/');
    if !text.is_empty() && text.chars().all(fine) {
        Ok(text.to_owned())
    } else {
        Err("a name has letters, digits, _, - and / only".into())
    }
}

/// Runs a calibration and prints what it is worth to `out`.
pub fn run(what: &Calibrate, out: &mut dyn Write) -> anyhow::Result<()> {
    let (common, result) = match what {
        Calibrate::Camera(args) => (&args.common, camera(args)?),
        Calibrate::Stereo(args) => (&args.common, stereo(args)?),
        Calibrate::HandEye(args) => (&args.common, hand_eye(args)?),
    };
    let files = write_all(&common.out, &result.files)?;
    if common.json {
        let mut report = result.report;
        report["verdict"] = json!(result.verdict);
        report["left_out"] = json!(result.left_out);
        report["without_board"] = json!(result.without_board);
        report["files"] = json!(files);
        writeln!(out, "{report}")?;
        return Ok(());
    }
    writeln!(out, "{}", result.verdict)?;
    for line in result.lines.iter().chain(&result.left_out) {
        writeln!(out, "  {line}")?;
    }
    files.iter().try_for_each(|f| writeln!(out, "wrote {}", f.display()))?;
    Ok(())
}

/// What a calibration has to say and to write.
struct Outcome {
    verdict: Verdict,
    /// Figures, for people.
    lines: Vec<String>,
    left_out: Vec<String>,
    without_board: Vec<String>,
    /// Figures, for programs.
    report: Value,
    /// Name and text.
    files: Vec<(&'static str, String)>,
}

fn camera(args: &CameraArgs) -> Result<Outcome, CalibrationError> {
    let pictures: Vec<Picture> = calibration::list(&args.pictures)?.into_iter().map(Picture::whole).collect();
    let survey = look(&args.common, &pictures)?;
    let size = (survey.width, survey.height);
    let views: Vec<View> = survey.views.iter().flatten().cloned().collect();
    let fit = calibration::calibrate_camera(&args.common.board, size, &views, args.radial.into())
        .map_err(|e| name_boardless(e, &survey))?;
    let coverage = Coverage::of(size, fit.views.iter());
    let verdict = calibration::judge_camera(&fit, &coverage);
    let info = CameraInfo::single(&args.name, fit.intrinsics)?;
    let panel = Panel { title: &args.name, size, views: &fit.views };
    let mut report = camera_report(&fit, &coverage);
    report["views_used"] = json!(fit.used_views());
    Ok(Outcome {
        lines: camera_lines(&fit, &coverage, ""),
        left_out: fit.rejections.iter().map(Rejection::to_string).collect(),
        without_board: survey.without_board(),
        report,
        files: vec![
            ("camera.yaml", info.to_yaml(&notes(&verdict, &args.common))),
            ("camera_residuals.svg", residual_plot(&verdict.to_string(), &[panel])),
        ],
        verdict,
    })
}

fn stereo(args: &StereoArgs) -> Result<Outcome, CalibrationError> {
    let Pairs { pairs, alone } = if args.side_by_side.is_empty() {
        calibration::pair(&calibration::list(&args.left)?, &calibration::list(&args.right)?)?
    } else {
        calibration::halves(&calibration::list(&args.side_by_side)?)
    };
    alone.iter().for_each(|name| tracing::warn!("{name} has no partner and is not used"));
    let (lefts, rights): (Vec<Picture>, Vec<Picture>) = pairs.into_iter().unzip();
    let n = lefts.len();
    let survey = look(&args.common, &[lefts, rights].concat())?;
    let size = (survey.width, survey.height);
    let (left, right) = survey.views.split_at(n);
    let pairs: Vec<PairView> =
        left.iter().zip(right).map(|(l, r)| PairView { left: l.clone(), right: r.clone() }).collect();
    let fit = calibration::calibrate_stereo(&args.common.board, size, &pairs, args.radial.into())
        .map_err(|e| name_boardless(e, &survey))?;
    let coverage = [&fit.left, &fit.right].map(|c| Coverage::of(size, c.views.iter()));
    let verdict = calibration::judge_stereo(&fit, [&coverage[0], &coverage[1]]);
    let name = |side: &str| args.name.as_ref().map_or_else(|| side.to_owned(), |n| format!("{n}/{side}"));
    let info = |side: usize, word: &str, camera: &CameraFit| CameraInfo {
        name: name(word),
        intrinsics: camera.intrinsics,
        rectification: fit.rectified[side].rectification,
        projection: fit.rectified[side].projection,
    };
    let notes = notes(&verdict, &args.common);
    let side = |s: usize| fit.pairs.iter().map(|p| p[s].clone()).collect::<Vec<FittedView>>();
    let sides = [side(0), side(1)];
    let panels = [0, 1].map(|s| Panel { title: ["left", "right"][s], size, views: &sides[s] });
    let turn = fit.right_from_left.rotation.angle().to_degrees();
    let position = fit.right_from_left.inverse().translation.vector * 1e3;
    let mut lines = camera_lines(&fit.left, &coverage[0], "left: ");
    lines.extend(camera_lines(&fit.right, &coverage[1], "right: "));
    lines.push(format!(
        "right camera at x {:.3}, y {:.3}, z {:.3} mm in the left one's frame, turned by {turn:.3} degrees",
        position.x, position.y, position.z
    ));
    Ok(Outcome {
        lines,
        left_out: fit.rejections.iter().map(Rejection::to_string).collect(),
        without_board: survey.without_board(),
        report: json!({
            "rms_px": fit.rms,
            "epipolar_rms_px": fit.epipolar_rms,
            "baseline_mm": fit.baseline() * 1e3,
            "pairs_used": fit.used_pairs(),
            "left": camera_report(&fit.left, &coverage[0]),
            "right": camera_report(&fit.right, &coverage[1]),
            "without_partner": alone,
        }),
        files: vec![
            ("left.yaml", info(0, "left", &fit.left).to_yaml(&notes)),
            ("right.yaml", info(1, "right", &fit.right).to_yaml(&notes)),
            ("stereo_residuals.svg", residual_plot(&verdict.to_string(), &panels)),
        ],
        verdict,
    })
}

fn hand_eye(args: &HandEyeArgs) -> anyhow::Result<Outcome> {
    let camera = CameraInfo::read(&args.camera)?.intrinsics;
    let log = PoseLog::read(&args.poses)?;
    let pictures: Vec<Picture> = calibration::list(&args.pictures)?.into_iter().map(Picture::whole).collect();
    let names: Vec<String> = pictures.iter().map(Picture::name).collect();
    if let Some(i) = (1..names.len()).find(|i| names[..*i].contains(&names[*i])) {
        let first = pictures.iter().find(|p| p.name() == names[i]).map_or_else(PathBuf::new, |p| p.path.clone());
        return Err(CalibrationError::SameName { first, second: pictures[i].path.clone() }.into());
    }
    let rows = log.rows_of(&names)?;
    let survey = look(&args.common, &pictures)?;
    let size = (survey.width, survey.height);
    if size != (camera.width, camera.height) {
        return Err(CalibrationError::OtherCamera {
            picture: names[0].clone(),
            size: format!("{}x{}", size.0, size.1),
            path: args.camera.clone(),
            expected: format!("{}x{}", camera.width, camera.height),
        }
        .into());
    }
    let with_board = survey.views.iter().zip(&rows).filter_map(|(view, row)| view.clone().map(|v| (v, *row)));
    let (views, rows): (Vec<View>, Vec<usize>) = with_board.unzip();
    let mount = match args.mount {
        Mount::EyeInHand => calibration::Mount::EyeInHand,
        Mount::EyeToHand => calibration::Mount::EyeToHand,
    };
    let input =
        HandEyeInput { board: &args.common.board, camera: &camera, mount, views: &views, log: &log, rows: &rows };
    let fit = calibration::calibrate_hand_eye(&input).map_err(|e| name_boardless(e, &survey))?;
    let verdict = calibration::judge_hand_eye(&fit);
    let file = HandEyeFile::new(&fit, &verdict);
    let (word, found) = match (&file.tip_from_camera, &file.camera_from_base) {
        (Some(found), _) => ("tip_from_camera", found),
        (None, Some(found)) => ("camera_from_base", found),
        (None, None) => anyhow::bail!("a hand-eye calibration without a transform"),
    };
    let mm = found.position_m.map(|v| v * 1e3);
    let lines = vec![
        format!(
            "{word}: x {:.2}, y {:.2}, z {:.2} mm; quaternion {:.5?} (xyzw)",
            mm[0], mm[1], mm[2], found.quaternion_xyzw
        ),
        format!(
            "1 sigma: {:.3?} mm, {:.3?} degrees along and about x, y, z",
            fit.sigma.position_mm, fit.sigma.rotation_deg
        ),
        format!(
            "the robot turned by {:.1} degrees RMS about its first axis, {:.1} about the second",
            fit.turns.0, fit.turns.1
        ),
    ];
    let panel = Panel { title: mount.name(), size, views: &fit.views };
    Ok(Outcome {
        lines,
        left_out: fit.rejections.iter().map(Rejection::to_string).collect(),
        without_board: survey.without_board(),
        report: serde_json::to_value(&file).context("report")?,
        files: vec![
            ("hand_eye.toml", file.to_toml().context("hand_eye.toml")?),
            ("hand_eye_residuals.svg", residual_plot(&verdict.to_string(), &[panel])),
        ],
        verdict,
    })
}

/// Finds the board in all pictures, saying how far it is.
fn look(common: &Common, pictures: &[Picture]) -> Result<Survey, CalibrationError> {
    let threads =
        common.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get().min(8)), usize::from);
    // The pool is the parallelism: OpenCV's own threads would only fight with it.
    opencv::core::set_num_threads(1)?;
    let terminal = std::io::stderr().is_terminal();
    let progress = |done: usize, all: usize| {
        if terminal {
            let end = if done == all { "\n" } else { "" };
            eprint!("\rlooking for the board: {done} of {all} pictures{end}");
        } else if done.is_multiple_of(20) && done < all {
            eprintln!("looking for the board: {done} of {all} pictures");
        }
    };
    let survey = calibration::survey(&common.board, pictures, &calibration::Pace { threads, progress: &progress })?;
    survey.without_board().iter().for_each(|name| tracing::warn!("no board in {name}"));
    Ok(survey)
}

/// Adds the pictures without a board to those that explain why there are too few.
fn name_boardless(error: CalibrationError, survey: &Survey) -> CalibrationError {
    match error {
        CalibrationError::TooFewViews { what, found, needed, mut left_out } => {
            left_out.extend(survey.without_board().into_iter().map(|name| format!("{name} (no board)")));
            CalibrationError::TooFewViews { what, found, needed, left_out }
        }
        other => other,
    }
}

fn notes(verdict: &Verdict, common: &Common) -> Vec<String> {
    vec![
        "Calibrated by `proctor calibrate`. Research software, not a medical device.".into(),
        format!("board {}", common.board),
        verdict.to_string(),
    ]
}

fn camera_lines(fit: &CameraFit, coverage: &Coverage, of: &str) -> Vec<String> {
    let (i, s) = (&fit.intrinsics, &fit.sigma);
    let [k1, k2, p1, p2, k3] = i.distortion;
    vec![
        format!(
            "{of}fx {:.2} +- {:.2}, fy {:.2} +- {:.2}, cx {:.2} +- {:.2}, cy {:.2} +- {:.2} px (1 sigma)",
            i.fx, s.fx, i.fy, s.fy, i.cx, s.cx, i.cy, s.cy
        ),
        format!("{of}k1 {k1:.4}, k2 {k2:.4}, p1 {p1:.5}, p2 {p2:.5}, k3 {k3:.4}"),
        format!(
            "{of}corners fill {:.0} % of the picture; board tilted by {:.0} to {:.0} degrees",
            100.0 * coverage.cells,
            coverage.tilt.0,
            coverage.tilt.1
        ),
    ]
}

fn camera_report(fit: &CameraFit, coverage: &Coverage) -> Value {
    let (i, s) = (&fit.intrinsics, &fit.sigma);
    let view = |v: &FittedView| json!({ "picture": v.name, "rms_px": v.rms(), "used": v.used });
    json!({
        "rms_px": fit.rms,
        "width": i.width, "height": i.height,
        "fx": i.fx, "fy": i.fy, "cx": i.cx, "cy": i.cy, "distortion": i.distortion,
        "sigma": { "fx": s.fx, "fy": s.fy, "cx": s.cx, "cy": s.cy, "distortion": s.distortion },
        "coverage": { "cells": coverage.cells, "reach": coverage.reach, "tilt_deg": [coverage.tilt.0, coverage.tilt.1] },
        "views": fit.views.iter().map(view).collect::<Vec<_>>(),
    })
}

/// Writes the files beside their places and moves them there when all are written.
fn write_all(dir: &Path, files: &[(&str, String)]) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let place = |name: &str| (dir.join(format!(".{name}.part")), dir.join(name));
    for (name, text) in files {
        let (part, _) = place(name);
        std::fs::write(&part, text).with_context(|| part.display().to_string())?;
    }
    let finish = |name: &str| -> anyhow::Result<PathBuf> {
        let (part, path) = place(name);
        std::fs::rename(&part, &path).with_context(|| path.display().to_string())?;
        Ok(path)
    };
    files.iter().map(|(name, _)| finish(name)).collect()
}
