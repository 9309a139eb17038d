//! A recording as a folder: pictures or videos of both cameras, camera files, poses, hand-eye files.

use super::{FuseArgs, poses::STAMPS, table::Table};
use anyhow::{Context as _, bail};
use opencv::{
    core::Mat,
    prelude::*,
    videoio::{CAP_ANY, CAP_PROP_FRAME_COUNT, VideoCapture},
};
use proctor_calibration as calibration;
use proctor_perception::picture::{self, Rgb};
use std::path::{Path, PathBuf};

const VIDEOS: [&str; 5] = ["mp4", "avi", "mkv", "mov", "webm"];

/// One pair of pictures as recorded.
pub struct Moment {
    /// Its number, from 0.
    pub number: usize,
    /// What the left picture is called.
    pub name: String,
    /// When, ns.
    pub stamp: i64,
    /// The left picture.
    pub left: Rgb,
    /// The right one.
    pub right: Rgb,
}

/// The folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    pictures: Pictures,
    /// Stamps in the order of the pictures, ns, from stamps.csv.
    stamps: Option<Vec<i64>>,
    rate: f64,
    /// The table of poses.
    pub poses: PathBuf,
}

#[derive(Debug)]
enum Pictures {
    Files(Vec<(PathBuf, PathBuf)>),
    Videos { left: PathBuf, right: PathBuf, frames: usize },
}

impl Folder {
    /// Finds what is there: `left/` and `right/`, or `left.mp4` and `right.mp4`; poses.csv unless `--poses` names another; stamps.csv.
    pub fn open(path: &Path, args: &FuseArgs) -> anyhow::Result<Self> {
        if !path.is_dir() {
            bail!("{}: a folder is expected (docs/fuse.md)", path.display());
        }
        let poses = args.poses.clone().unwrap_or_else(|| path.join("poses.csv"));
        if !poses.exists() {
            bail!("{}: poses.csv is expected in it, or --poses", path.display());
        }
        let pictures = Self::pictures(path, args.rate)?;
        let stamps = Some(path.join("stamps.csv")).filter(|p| p.exists()).map(|p| read_stamps(&p)).transpose()?;
        let out = Self { path: path.to_owned(), pictures, stamps, rate: args.rate, poses };
        if let Some(stamps) = &out.stamps
            && stamps.len() != out.len()
        {
            bail!("{}: {} stamps for {} pairs of pictures", path.join("stamps.csv").display(), stamps.len(), out.len());
        }
        Ok(out)
    }

    fn pictures(path: &Path, rate: f64) -> anyhow::Result<Pictures> {
        let sides = [path.join("left"), path.join("right")];
        if sides.iter().all(|s| s.is_dir()) {
            let [left, right] = sides.map(|s| calibration::list(&[s]));
            let pairs = calibration::pair(&left?, &right?)?;
            for alone in &pairs.alone {
                tracing::warn!("{alone} has no partner and is not used");
            }
            let mut pairs: Vec<(PathBuf, PathBuf)> = pairs.pairs.into_iter().map(|(l, r)| (l.path, r.path)).collect();
            // Names sort as texts: 10.0 before 9.0. Those without a number keep their order.
            pairs.sort_by_key(|(left, _)| stamp_in_name(left, rate));
            return Ok(Pictures::Files(pairs));
        }
        let video = |side: &str| VIDEOS.iter().map(|e| path.join(format!("{side}.{e}"))).find(|p| p.exists());
        let (Some(left), Some(right)) = (video("left"), video("right")) else {
            bail!("{}: folders left and right, or videos left.mp4 and right.mp4, are expected in it", path.display());
        };
        let frames = |p: &Path| Ok::<_, anyhow::Error>(capture(p)?.get(CAP_PROP_FRAME_COUNT)?.max(0.0) as usize);
        let (l, r) = (frames(&left)?, frames(&right)?);
        if l != r {
            tracing::warn!(
                "{} has {l} frames, {} has {r}: taken one by one from the start",
                left.display(),
                right.display()
            );
        }
        Ok(Pictures::Videos { left, right, frames: l.min(r) })
    }

    /// Pairs of pictures.
    pub fn len(&self) -> usize {
        match &self.pictures {
            Pictures::Files(pairs) => pairs.len(),
            Pictures::Videos { frames, .. } => *frames,
        }
    }

    /// When a pair was taken, ns.
    pub fn stamp(&self, number: usize) -> i64 {
        let listed = self.stamps.as_ref().and_then(|s| s.get(number)).copied();
        let named = || match &self.pictures {
            Pictures::Files(pairs) => pairs.get(number).and_then(|(left, _)| stamp_in_name(left, self.rate)),
            Pictures::Videos { .. } => None,
        };
        listed.or_else(named).unwrap_or((number as f64 / self.rate * 1e9) as i64)
    }

    /// The camera file of a side, if there is one.
    pub fn camera(&self, side: &str) -> Option<PathBuf> {
        Some(self.path.join(format!("{side}.yaml"))).filter(|p| p.exists())
    }

    /// `--hand-eye`, else hand_eye.toml, hand_eye_PSM1.toml and hand_eye_PSM2.toml of the folder.
    pub fn hand_eyes(&self, args: &FuseArgs) -> Vec<String> {
        if !args.hand_eye.is_empty() {
            return args.hand_eye.clone();
        }
        let named = [("", "hand_eye.toml"), ("PSM1=", "hand_eye_PSM1.toml"), ("PSM2=", "hand_eye_PSM2.toml")];
        let there = named.iter().map(|(arm, name)| (arm, self.path.join(name))).filter(|(_, p)| p.exists());
        there.map(|(arm, p)| format!("{arm}{}", p.display())).collect()
    }

    /// Hands every `every`-th pair to `each`, in order.
    pub fn for_each(&self, every: usize, mut each: impl FnMut(Moment) -> anyhow::Result<()>) -> anyhow::Result<()> {
        match &self.pictures {
            Pictures::Files(pairs) => {
                for (number, (left, right)) in pairs.iter().enumerate().step_by(every.max(1)) {
                    let name = left.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    let (left, right) = (picture::read(left)?, picture::read(right)?);
                    each(Moment { number, name, stamp: self.stamp(number), left, right })?;
                }
            }
            Pictures::Videos { left, right, frames } => {
                let (mut left, mut right) = (capture(left)?, capture(right)?);
                let (mut l, mut r) = (Mat::default(), Mat::default());
                for number in 0..*frames {
                    if !(left.read(&mut l)? && right.read(&mut r)?) {
                        break;
                    }
                    if number.is_multiple_of(every.max(1)) {
                        let (left, right) = (picture::from_bgr(&l)?, picture::from_bgr(&r)?);
                        let name = format!("frame {number}");
                        each(Moment { number, name, stamp: self.stamp(number), left, right })?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn capture(path: &Path) -> anyhow::Result<VideoCapture> {
    let name = path.to_str().with_context(|| format!("{}: not a name in UTF-8", path.display()))?;
    let video = VideoCapture::from_file(name, CAP_ANY)?;
    if video.is_opened()? { Ok(video) } else { bail!("{}: not a video that OpenCV can read", path.display()) }
}

fn read_stamps(path: &Path) -> anyhow::Result<Vec<i64>> {
    let table = Table::read(path)?;
    let column = table.needed(&STAMPS)?;
    table.rows().map(|row| row.stamp(column)).collect()
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
