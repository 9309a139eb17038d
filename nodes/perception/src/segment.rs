//! Pictures from files, folders, videos and recordings of ROS, one after the other, never more than one in memory.

use crate::{PerceptionError, message, picture, picture::Rgb};
use opencv::{
    core::{Mat, MatTraitConst as _},
    videoio::{CAP_ANY, VideoCapture, VideoCaptureTrait as _, VideoCaptureTraitConst as _},
};
use proctor_recording::Recording;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const PICTURES: [&str; 7] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp"];
const VIDEOS: [&str; 7] = ["mp4", "avi", "mkv", "mov", "webm", "mpg", "mpeg"];

/// What a file is, by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One picture.
    Picture,
    /// A video; also any file whose extension is unknown, which OpenCV may still read.
    Video,
    /// A topic of a recording.
    Recording,
}

/// What is taken of a source with many pictures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Taking<'a> {
    /// Every how many-th; 0 counts as 1.
    pub every: usize,
    /// Of a recording, which topic; the only one of pictures without it.
    pub topic: Option<&'a str>,
}

fn extension_is(path: &Path, known: &[&str]) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| known.contains(&e.to_ascii_lowercase().as_str()))
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>, PerceptionError> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(PerceptionError::io(dir))? {
        out.push(entry.map_err(PerceptionError::io(dir))?.path());
    }
    out.sort();
    Ok(out)
}

/// Picture files of a folder, sorted by name; other files are left alone.
pub fn pictures_in(dir: &Path) -> Result<Vec<PathBuf>, PerceptionError> {
    Ok(sorted(dir)?.into_iter().filter(|p| extension_is(p, &PICTURES)).collect())
}

/// One file to work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its name without folder and extension; unique among the sources.
    pub stem: String,
}

/// The files that arguments name: each is a picture, a video, a recording, or a folder of pictures and videos (not searched deeper). A missing file, a
/// folder without pictures, and two files with one stem are errors that name them.
pub fn sources(arguments: &[PathBuf]) -> Result<Vec<Source>, PerceptionError> {
    let mut out = Vec::new();
    let mut stems: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut add = |path: PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(first) = stems.insert(stem.clone(), path.clone()) {
            return Err(PerceptionError::SameStem { first, second: path });
        }
        let kind = match () {
            () if extension_is(&path, &PICTURES) => Kind::Picture,
            () if proctor_recording::is_recording(&path) => Kind::Recording,
            () => Kind::Video,
        };
        out.push(Source { path, kind, stem });
        Ok(())
    };
    for argument in arguments {
        if std::fs::metadata(argument).map_err(PerceptionError::io(argument))?.is_dir()
            && !proctor_recording::is_recording(argument)
        {
            let known: Vec<_> = sorted(argument)?
                .into_iter()
                .filter(|p| extension_is(p, &PICTURES) || extension_is(p, &VIDEOS))
                .collect();
            if known.is_empty() {
                return Err(PerceptionError::Nothing { path: argument.clone() });
            }
            known.into_iter().try_for_each(&mut add)?;
        } else {
            add(argument.clone())?;
        }
    }
    Ok(out)
}

/// Hands the pictures of a source to `each`, with the name its outputs get: the stem, and for a video or recording the picture's number from 0.
pub fn for_each(
    source: &Source,
    taking: Taking<'_>,
    mut each: impl FnMut(&str, Rgb) -> Result<(), PerceptionError>,
) -> Result<(), PerceptionError> {
    let every = taking.every.max(1);
    match source.kind {
        Kind::Recording => {
            let mut recording = Recording::open(&source.path)?;
            let topic = message::topic(&recording, taking.topic)?;
            for (number, entry) in recording.index(&[topic])?.iter().enumerate().step_by(every) {
                each(&format!("{}_{number:06}", source.stem), message::from_recording(&mut recording, entry)?)?;
            }
            Ok(())
        }
        Kind::Picture => each(&source.stem, picture::read(&source.path)?),
        Kind::Video => {
            let unreadable = || PerceptionError::Unreadable { path: source.path.clone() };
            let name = source.path.to_str().ok_or_else(unreadable)?;
            let mut video = VideoCapture::from_file(name, CAP_ANY).map_err(|_| unreadable())?;
            if !video.is_opened()? {
                return Err(unreadable());
            }
            let mut frame = Mat::default();
            let mut number = 0;
            while video.read(&mut frame)? && !frame.empty() {
                if number % every == 0 {
                    each(&format!("{}_{number:06}", source.stem), picture::from_bgr(&frame)?)?;
                }
                number += 1;
            }
            if number == 0 { Err(unreadable()) } else { Ok(()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opencv::{
        core::{Size, ToInputArray as _},
        videoio::{VideoWriter, VideoWriterTrait as _},
    };
    use proctor_types::Image;

    fn grey(level: u8) -> Rgb {
        Image::new(64, 48, vec![[level; 3]; 64 * 48]).unwrap()
    }

    #[test]
    fn every_frame_of_a_video_is_read_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.avi");
        let fourcc = VideoWriter::fourcc('M', 'J', 'P', 'G').unwrap();
        let mut writer = VideoWriter::new(path.to_str().unwrap(), fourcc, 30.0, Size::new(64, 48), true).unwrap();
        for level in [20u8, 90, 160, 230] {
            let frame = Mat::new_rows_cols_with_default(
                48,
                64,
                opencv::core::CV_8UC3,
                opencv::core::Scalar::all(f64::from(level)),
            )
            .unwrap();
            writer.write(&frame.input_array().unwrap()).unwrap();
        }
        writer.release().unwrap();
        let source = &sources(&[path]).unwrap()[0];
        let mut seen = Vec::new();
        for_each(source, Taking { every: 2, topic: None }, |name, p| {
            seen.push((name.to_owned(), p.pixels()[0][1]));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen.iter().map(|s| s.0.as_str()).collect::<Vec<_>>(), ["clip_000000", "clip_000002"]);
        assert!(seen[0].1.abs_diff(20) < 8 && seen[1].1.abs_diff(160) < 8, "JPEG keeps a flat grey: {seen:?}");
    }

    #[test]
    fn a_folder_gives_its_pictures_and_leaves_other_files_alone() {
        let dir = tempfile::tempdir().unwrap();
        picture::write(&dir.path().join("b.png"), &grey(9)).unwrap();
        picture::write(&dir.path().join("a.jpg"), &grey(9)).unwrap();
        std::fs::write(dir.path().join("README.md"), "x").unwrap();
        let found = sources(&[dir.path().to_owned()]).unwrap();
        assert_eq!(found.iter().map(|s| s.stem.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn missing_empty_ambiguous_and_broken_inputs_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = |e: PerceptionError| e.to_string();
        assert!(message(sources(&[dir.path().join("gone.png")]).unwrap_err()).contains("gone.png"));
        assert!(matches!(sources(&[dir.path().to_owned()]), Err(PerceptionError::Nothing { .. })));
        picture::write(&dir.path().join("a.png"), &grey(9)).unwrap();
        picture::write(&dir.path().join("a.jpg"), &grey(9)).unwrap();
        assert!(matches!(sources(&[dir.path().to_owned()]), Err(PerceptionError::SameStem { .. })));
        let broken = dir.path().join("broken.mp4");
        std::fs::write(&broken, "no video").unwrap();
        let source = Source { path: broken, kind: Kind::Video, stem: "broken".into() };
        assert!(message(for_each(&source, Taking::default(), |_, _| Ok(())).unwrap_err()).contains("broken.mp4"));
    }
}
