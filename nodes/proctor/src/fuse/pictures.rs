//! Pairs of pictures in order: of files, videos, or topics of a recording.

use super::{bag::Eyes, poses::STAMPS, session::short, table::Table};
use anyhow::{Context as _, bail, ensure};
use opencv::{
    core::{Mat, Rect},
    prelude::*,
    videoio::{CAP_ANY, CAP_PROP_FPS, CAP_PROP_FRAME_COUNT, VideoCapture},
};
use proctor_perception::picture::{self, Rgb};
use std::path::{Path, PathBuf};

/// Pictures a second where nothing says it.
pub const RATE: f64 = 30.0;
/// Most frames of a video: a day and a half at 30 a second.
const MOST_FRAMES: f64 = 4e6;

/// How both pictures lie in the frames of one video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Layout {
    /// The left camera's picture in the left half.
    SideBySide,
    /// The left camera's picture in the upper half.
    TopBottom,
}

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

/// Where pictures come from.
pub enum Source {
    /// Files of both cameras.
    Files(Vec<(PathBuf, PathBuf)>),
    /// A video of each camera.
    Videos(PathBuf, PathBuf),
    /// A video of both.
    Stereo(PathBuf, Layout),
    /// Topics.
    Recorded(Box<Eyes>),
}

/// Pairs of pictures, each with its stamp.
pub struct Pictures {
    source: Source,
    stamps: Vec<i64>,
    /// Pairs that could not be decoded in the last [`Self::for_each`]: number, stamp, why.
    pub broken: Vec<(usize, i64, String)>,
}

impl Pictures {
    /// Of a source with a stamp (ns) for each pair.
    pub fn new(source: Source, stamps: Vec<i64>) -> anyhow::Result<Self> {
        ensure!(!stamps.is_empty(), "there is no pair of pictures");
        Ok(Self { source, stamps, broken: Vec::new() })
    }

    /// Pairs of pictures.
    pub fn len(&self) -> usize {
        self.stamps.len()
    }

    /// When the first pair was taken, ns.
    pub fn first_stamp(&self) -> i64 {
        self.stamps.first().copied().unwrap_or(0)
    }

    /// Hands every `every`-th pair to `each`, in order. A pair of a recording that cannot be decoded is noted in [`Self::broken`]; that none can be is an
    /// error.
    pub fn for_each(&mut self, every: usize, mut each: impl FnMut(Moment) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let (every, stamps) = (every.max(1), &self.stamps);
        self.broken.clear();
        match &mut self.source {
            Source::Files(pairs) => {
                for (number, ((left, right), stamp)) in pairs.iter().zip(stamps).enumerate().step_by(every) {
                    let name = short(left);
                    let (left, right) = (picture::read(left)?, picture::read(right)?);
                    each(Moment { number, name, stamp: *stamp, left, right })?;
                }
            }
            Source::Videos(left, right) => {
                let (mut lefts, mut rights) = (capture(left)?, capture(right)?);
                for (number, stamp) in stamps.iter().enumerate() {
                    let (Some(left), Some(right)) = (frame(&mut lefts)?, frame(&mut rights)?) else { break };
                    if number.is_multiple_of(every) {
                        let (left, right) = (picture::from_bgr(&left)?, picture::from_bgr(&right)?);
                        each(Moment { number, name: format!("frame {number}"), stamp: *stamp, left, right })?;
                    }
                }
            }
            Source::Stereo(path, layout) => {
                let mut video = capture(path)?;
                for (number, stamp) in stamps.iter().enumerate() {
                    let Some(both) = frame(&mut video)? else { break };
                    if number.is_multiple_of(every) {
                        let [left, right] = halves(&both, *layout).with_context(|| format!("{}", path.display()))?;
                        each(Moment { number, name: format!("frame {number}"), stamp: *stamp, left, right })?;
                    }
                }
            }
            Source::Recorded(eyes) => {
                for (number, stamp) in stamps.iter().enumerate().step_by(every) {
                    match eyes.pair(number)? {
                        Ok((left, right)) => {
                            each(Moment { number, name: eyes.name(number), stamp: *stamp, left, right })?;
                        }
                        Err(why) => self.broken.push((number, *stamp, why)),
                    }
                }
                if self.broken.len() == stamps.len().div_ceil(every) {
                    let why = self.broken.first().map_or_else(String::new, |(_, _, why)| why.clone());
                    bail!("no picture can be decoded: {why}");
                }
            }
        }
        Ok(())
    }
}

/// Opens a video of both cameras, or one of each; says how many frames a second it takes them to have.
pub fn open_videos(
    paths: &[PathBuf],
    layout: Option<Layout>,
    rate: Option<f64>,
    stamps: Option<&Path>,
    notes: &mut Vec<String>,
) -> anyhow::Result<Pictures> {
    let counts = paths.iter().map(|p| frames(p)).collect::<anyhow::Result<Vec<usize>>>()?;
    let (source, frames) = match (paths, counts.as_slice(), layout) {
        ([left, right], [l, r], None) => {
            if l != r {
                notes.push(format!(
                    "{} has {l} frames, {} has {r}: taken one by one from the start",
                    left.display(),
                    right.display()
                ));
            }
            (Source::Videos(left.clone(), right.clone()), *l.min(r))
        }
        ([_, _], ..) => bail!("--layout is of one video with both pictures, but two are given"),
        ([both], [n], Some(layout)) => (Source::Stereo(both.clone(), layout), *n),
        _ => bail!("two videos, or one with --layout, are expected"),
    };
    let stamps = if let Some(file) = stamps {
        listed_stamps(file, frames)?
    } else {
        let rate = match (rate, paths.first()) {
            (Some(rate), _) => rate,
            (None, Some(first)) => own_rate(first, notes)?,
            (None, None) => RATE,
        };
        (0..frames).map(|n| (n as f64 / rate * 1e9) as i64).collect()
    };
    Pictures::new(source, stamps)
}

/// The stamps of a table, which must be as many as there are pairs.
pub fn listed_stamps(file: &Path, pairs: usize) -> anyhow::Result<Vec<i64>> {
    let table = Table::read(file)?;
    let column = table.needed(&STAMPS)?;
    let stamps = table.rows().map(|row| row.stamp(column)).collect::<anyhow::Result<Vec<i64>>>()?;
    ensure!(stamps.len() == pairs, "{}: {} stamps for {pairs} pairs of pictures", file.display(), stamps.len());
    Ok(stamps)
}

/// Frames a second as the video says.
fn own_rate(path: &Path, notes: &mut Vec<String>) -> anyhow::Result<f64> {
    let said = capture(path)?.get(CAP_PROP_FPS)?;
    let rate = if (0.1..=10_000.0).contains(&said) { said } else { RATE };
    let by = if rate == said { "as the video says" } else { "for want of a better number" };
    notes.push(format!("{rate:.3} frames a second, {by} (--rate says otherwise)"));
    Ok(rate)
}

fn capture(path: &Path) -> anyhow::Result<VideoCapture> {
    ensure!(path.exists(), "{}: no such file", path.display());
    let name = path.to_str().with_context(|| format!("{}: not a name in UTF-8", path.display()))?;
    let video = VideoCapture::from_file(name, CAP_ANY)?;
    if video.is_opened()? { Ok(video) } else { bail!("{}: not a video that OpenCV can read", path.display()) }
}

/// How many frames a video has: by its head, or counted where that does not say.
fn frames(path: &Path) -> anyhow::Result<usize> {
    let mut video = capture(path)?;
    let said = video.get(CAP_PROP_FRAME_COUNT)?;
    if (1.0..=MOST_FRAMES).contains(&said) {
        return Ok(said as usize);
    }
    let mut counted = 0;
    while counted < MOST_FRAMES as usize && video.grab()? {
        counted += 1;
    }
    Ok(counted)
}

fn frame(video: &mut VideoCapture) -> anyhow::Result<Option<Mat>> {
    let mut out = Mat::default();
    Ok((video.read(&mut out)? && !out.empty()).then_some(out))
}

/// Both pictures of a frame.
fn halves(both: &Mat, layout: Layout) -> anyhow::Result<[Rgb; 2]> {
    let (w, h) = (both.cols(), both.rows());
    let (corner, w, h) = match layout {
        Layout::SideBySide => ((w / 2, 0), w / 2, h),
        Layout::TopBottom => ((0, h / 2), w, h / 2),
    };
    ensure!(w > 0 && h > 0, "frames of {}x{} pixels hold no two pictures", both.cols(), both.rows());
    let cut = |x, y| Ok::<_, anyhow::Error>(picture::from_bgr(&both.roi(Rect::new(x, y, w, h))?.try_clone()?)?);
    Ok([cut(0, 0)?, cut(corner.0, corner.1)?])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use opencv::{
        core::{CV_8UC3, Scalar, Size, ToInputArray as _, vconcat2},
        videoio::VideoWriter,
    };

    /// A video of 64x96 pixels whose upper and lower halves have these levels of grey.
    fn video(path: &Path, rate: f64, frames: &[[f64; 2]]) {
        let fourcc = VideoWriter::fourcc('M', 'J', 'P', 'G').unwrap();
        let mut writer = VideoWriter::new(path.to_str().unwrap(), fourcc, rate, Size::new(64, 96), true).unwrap();
        for levels in frames {
            let [upper, lower] =
                levels.map(|l| Mat::new_rows_cols_with_default(48, 64, CV_8UC3, Scalar::all(l)).unwrap());
            let mut frame = Mat::default();
            vconcat2(&upper, &lower, &mut frame).unwrap();
            writer.write(&frame.input_array().unwrap()).unwrap();
        }
        writer.release().unwrap();
    }

    fn seen(pictures: &mut Pictures, every: usize) -> Vec<(usize, i64, u8, u8)> {
        let mut out = Vec::new();
        let level = |p: &Rgb| p.pixels()[p.width() + 1][0] / 10 * 10;
        pictures
            .for_each(every, |m| {
                out.push((m.number, m.stamp / 1_000_000, level(&m.left), level(&m.right)));
                Ok(())
            })
            .unwrap();
        out
    }

    #[test]
    fn frames_of_videos_come_in_pairs_at_the_rate_that_the_video_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        video(&path("a.avi"), 20.0, &[[25.0, 205.0], [65.0, 165.0], [105.0, 125.0]]);
        video(&path("b.avi"), 20.0, &[[45.0, 45.0], [85.0, 85.0]]);
        let mut notes = Vec::new();
        let both = Some(Layout::TopBottom);
        let mut stereo = open_videos(&[path("a.avi")], both, None, None, &mut notes).unwrap();
        assert_eq!(seen(&mut stereo, 1), [(0, 0, 20, 200), (1, 50, 60, 160), (2, 100, 100, 120)]);
        assert_eq!(seen(&mut stereo, 2), [(0, 0, 20, 200), (2, 100, 100, 120)], "and again from the start");
        assert!(notes.join(" ").contains("20.000 frames a second"), "{notes:?}");
        let mut two = open_videos(&[path("a.avi"), path("b.avi")], None, Some(10.0), None, &mut notes).unwrap();
        assert_eq!(seen(&mut two, 1), [(0, 0, 20, 40), (1, 100, 60, 80)]);
        assert!(notes.join(" ").contains("3 frames") && notes.join(" ").contains("2: taken"), "{notes:?}");
    }

    #[test]
    fn what_is_no_video_or_has_other_stamps_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let fails = |paths: &[&str], layout, stamps: Option<&str>| {
            let paths: Vec<PathBuf> = paths.iter().map(|p| path(p)).collect();
            let stamps = stamps.map(path);
            open_videos(&paths, layout, None, stamps.as_deref(), &mut Vec::new()).map(|_| ()).unwrap_err().to_string()
        };
        std::fs::write(path("text.mp4"), "no video").unwrap();
        std::fs::write(path("stamps.csv"), "stamp\n1.5\n").unwrap();
        video(&path("a.avi"), 20.0, &[[25.0, 205.0], [65.0, 165.0]]);
        let both = Some(Layout::SideBySide);
        assert!(fails(&["text.mp4"], both, None).contains("text.mp4"));
        assert!(fails(&["gone.mp4"], both, None).contains("gone.mp4: no such file"));
        assert!(fails(&["a.avi", "a.avi"], both, None).contains("--layout"));
        assert!(fails(&["a.avi"], None, None).contains("--layout"));
        assert!(fails(&["a.avi"], both, Some("stamps.csv")).contains("1 stamps for 2 pairs"));
    }
}
