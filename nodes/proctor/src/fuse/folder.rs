//! A recording as a folder: pictures or videos of both cameras, camera files, poses, hand-eye files.

use super::{
    FuseArgs,
    cameras::Cameras,
    pictures::{Pictures, RATE, Source, listed_stamps, open_videos},
    poses::Poses,
    session::{Session, existing},
};
use anyhow::{Context as _, bail};
use proctor_calibration as calibration;
use std::path::{Path, PathBuf};

const VIDEOS: [&str; 5] = ["mp4", "avi", "mkv", "mov", "webm"];

/// Finds what is there: `left/` and `right/`, or `left.mp4` and `right.mp4`; poses.csv unless `--poses` names another; stamps.csv; cameras; hand-eye files.
pub fn open(path: &Path, args: &FuseArgs) -> anyhow::Result<Session> {
    let poses = args.poses.clone().unwrap_or_else(|| path.join("poses.csv"));
    if !poses.exists() {
        bail!("{}: poses.csv is expected in it, or --poses", path.display());
    }
    let mut notes = Vec::new();
    let pictures = pictures(path, args, &mut notes)?;
    let poses = Poses::read(&poses, &args.reading()?)?;
    let cameras = cameras(path, args)?;
    Ok(Session { name: path.display().to_string(), pictures, poses, cameras, hand_eyes: hand_eyes(path, args), notes })
}

fn pictures(path: &Path, args: &FuseArgs, notes: &mut Vec<String>) -> anyhow::Result<Pictures> {
    let stamps = args.stamps.clone().or_else(|| existing(path.join("stamps.csv")));
    let sides = [path.join("left"), path.join("right")];
    if !sides.iter().all(|s| s.is_dir()) {
        let video = |side: &str| VIDEOS.iter().map(|e| path.join(format!("{side}.{e}"))).find(|p| p.exists());
        let (Some(left), Some(right)) = (video("left"), video("right")) else {
            bail!("{}: folders left and right, or videos left.mp4 and right.mp4, are expected in it", path.display());
        };
        return open_videos(&[left, right], None, args.rate, stamps.as_deref(), notes);
    }
    let [left, right] = sides.map(|s| calibration::list(&[s]));
    let pairs = calibration::pair(&left?, &right?)?;
    for alone in &pairs.alone {
        tracing::warn!("{alone} has no partner and is not used");
    }
    let rate = args.rate.unwrap_or(RATE);
    let mut pairs: Vec<(PathBuf, PathBuf)> = pairs.pairs.into_iter().map(|(l, r)| (l.path, r.path)).collect();
    // Names sort as texts: 10.0 before 9.0. Those without a number keep their order.
    pairs.sort_by_key(|(left, _)| stamp_in_name(left, rate));
    let stamps = if let Some(file) = stamps {
        listed_stamps(&file, pairs.len())?
    } else {
        let numbered = |n: usize| (n as f64 / rate * 1e9) as i64;
        let stamps = pairs.iter().enumerate();
        stamps.map(|(n, (left, _))| stamp_in_name(left, rate).unwrap_or_else(|| numbered(n))).collect()
    };
    Pictures::new(Source::Files(pairs), stamps).with_context(|| format!("{}", path.display()))
}

/// `--camera` and `--right-camera` or `--pinhole`, else left.yaml and right.yaml of the folder.
fn cameras(path: &Path, args: &FuseArgs) -> anyhow::Result<Cameras> {
    let mut cameras = args.cameras.clone();
    if cameras.pinhole.is_none() {
        cameras.camera = cameras.camera.or_else(|| existing(path.join("left.yaml")));
        cameras.right_camera = cameras.right_camera.or_else(|| existing(path.join("right.yaml")));
    }
    Cameras::read(&cameras)
        .context("pictures need left.yaml and right.yaml in the folder, or --camera and --right-camera, or --pinhole")
}

/// `--hand-eye`, else hand_eye.toml, hand_eye_PSM1.toml and hand_eye_PSM2.toml of the folder.
fn hand_eyes(path: &Path, args: &FuseArgs) -> Vec<String> {
    if !args.hand_eye.is_empty() {
        return args.hand_eye.clone();
    }
    let named = [("", "hand_eye.toml"), ("PSM1=", "hand_eye_PSM1.toml"), ("PSM2=", "hand_eye_PSM2.toml")];
    let there = named.iter().map(|(arm, name)| (arm, path.join(name))).filter(|(_, p)| p.exists());
    there.map(|(arm, p)| format!("{arm}{}", p.display())).collect()
}

/// The last number in a name: nanoseconds above 1e14, seconds with a point, else the picture's number.
fn stamp_in_name(path: &Path, rate: f64) -> Option<i64> {
    let stem = path.file_stem()?.to_str()?;
    let mut words = stem.split(|c: char| !(c.is_ascii_digit() || c == '.')).map(|w| w.trim_matches('.'));
    let word = words.rfind(|w| !w.is_empty())?;
    let whole = word.parse::<i64>().ok();
    match (whole, word.parse::<f64>().ok()?) {
        (Some(ns), _) if ns > 100_000_000_000_000 => Some(ns),
        (Some(number), _) => Some((number as f64 / rate * 1e9) as i64),
        (None, seconds) => Some((seconds * 1e9).round() as i64),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_in_nanoseconds_seconds_or_a_number() {
        let stamp = |name: &str| stamp_in_name(Path::new(name), 25.0).unwrap();
        assert_eq!(stamp("left_1700000000123456789.png"), 1_700_000_000_123_456_789);
        assert_eq!(stamp("left-12.25.png"), 12_250_000_000);
        assert_eq!(stamp("000050.png"), 2_000_000_000);
        assert_eq!(stamp_in_name(Path::new("left.png"), 25.0), None);
    }
}
