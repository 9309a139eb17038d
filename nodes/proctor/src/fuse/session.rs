//! What tracking over pictures needs, wherever it comes from: pictures of both cameras in order, cameras, poses, and what is known about bases.

use super::{
    FuseArgs, bag,
    cameras::Cameras,
    folder,
    pictures::{Pictures, open_videos},
    poses::Poses,
};
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};

/// A recording, opened.
pub struct Session {
    /// What it is called in reports.
    pub name: String,
    /// The pictures.
    pub pictures: Pictures,
    /// Where the arms were.
    pub poses: Poses,
    /// The cameras.
    pub cameras: Cameras,
    /// `[ARM=]FILE` of hand-eye files.
    pub hand_eyes: Vec<String>,
    /// What was guessed, and what is to be said about the recording.
    pub notes: Vec<String>,
}

impl Session {
    /// Opens a folder, a recording of ROS, a stereo video, or two videos.
    pub fn open(paths: &[PathBuf], args: &FuseArgs) -> anyhow::Result<Self> {
        match paths {
            [one] if proctor_recording::is_recording(one) => bag::open(one, args),
            [one] if one.is_dir() => folder::open(one, args),
            [one] if one.exists() && args.layout.is_none() => bail!(
                "{}: neither a folder, nor an MCAP file, ROS 1 bag or .db3 file; a stereo video needs --layout, or is two files",
                one.display()
            ),
            [_] | [_, _] => Self::of_videos(paths, args),
            _ => bail!("one recording, or the videos of the left and the right camera, are expected"),
        }
    }

    fn of_videos(paths: &[PathBuf], args: &FuseArgs) -> anyhow::Result<Self> {
        let poses = args.poses.as_deref().context("videos need --poses: a table of the arms' joints or poses")?;
        let mut notes = Vec::new();
        let pictures = open_videos(paths, args.layout, args.rate, args.stamps.as_deref(), &mut notes)?;
        let name = paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" and ");
        let poses = Poses::read(poses, &args.reading()?)?;
        let cameras = Cameras::read(&args.cameras).context("videos need --camera and --right-camera, or --pinhole")?;
        Ok(Self { name, pictures, poses, cameras, hand_eyes: args.hand_eye.clone(), notes })
    }
}

/// A path that exists, if it does.
pub fn existing(path: PathBuf) -> Option<PathBuf> {
    Some(path).filter(|p| p.exists())
}

/// The part of a path that names it to people.
pub fn short(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
