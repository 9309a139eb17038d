//! Which pictures: files, folders and patterns on the command line, and which left picture belongs to which right one.

use crate::CalibrationError;
use opencv::{
    core::{Mat, MatTraitConst as _, Rect},
    imgcodecs,
};
use proctor_types::CameraSide;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff"];

/// A picture of one camera: a file, or one half of a side-by-side file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The file.
    pub path: PathBuf,
    /// Which half of it; all of it if `None`.
    pub half: Option<CameraSide>,
}

impl Picture {
    /// All of a file.
    pub fn whole(path: PathBuf) -> Self {
        Self { path, half: None }
    }

    /// The file's name, with the half where there is one.
    pub fn name(&self) -> String {
        let file = file_name(&self.path);
        match self.half {
            None => file,
            Some(CameraSide::Left) => format!("{file} (left half)"),
            Some(CameraSide::Right) => format!("{file} (right half)"),
        }
    }

    /// The grey picture, 8 bits. The error names the file.
    pub fn read(&self) -> Result<Mat, CalibrationError> {
        std::fs::metadata(&self.path).map_err(CalibrationError::io(&self.path))?;
        let unreadable = || CalibrationError::Unreadable { path: self.path.clone() };
        let name = self.path.to_str().ok_or_else(unreadable)?;
        let grey = imgcodecs::imread(name, imgcodecs::IMREAD_GRAYSCALE).map_err(|_| unreadable())?;
        if grey.empty() {
            return Err(unreadable());
        }
        let half = grey.cols() / 2;
        match self.half {
            None => Ok(grey),
            Some(_) if grey.cols() % 2 != 0 => {
                Err(CalibrationError::OddWidth { path: self.path.clone(), width: grey.cols() as u32 })
            }
            Some(CameraSide::Left) => Ok(Mat::roi(&grey, Rect::new(0, 0, half, grey.rows()))?.try_clone()?),
            Some(CameraSide::Right) => Ok(Mat::roi(&grey, Rect::new(half, 0, half, grey.rows()))?.try_clone()?),
        }
    }
}

/// Name of a file without its folder.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The picture files that arguments name, each a file, a folder (not searched deeper) or a pattern with `*` and `?` in its last
/// part; sorted by name within an argument. Nothing found is an error that names the argument.
pub fn list(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, CalibrationError> {
    let mut out: Vec<PathBuf> = Vec::new();
    for argument in arguments {
        let found = if argument.is_dir() {
            matching(argument, "*")?
        } else if argument.exists() {
            vec![argument.clone()]
        } else {
            let pattern = file_name(argument);
            if !pattern.contains(['*', '?']) {
                let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
                return Err(CalibrationError::Io { path: argument.clone(), source: missing });
            }
            let folder = argument.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            matching(folder, &pattern)?
        };
        if found.is_empty() {
            return Err(CalibrationError::NoPictures { path: argument.clone() });
        }
        for path in found {
            if !out.contains(&path) {
                out.push(path);
            }
        }
    }
    Ok(out)
}

fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, CalibrationError> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(CalibrationError::io(folder))? {
        let path = entry.map_err(CalibrationError::io(folder))?.path();
        let known = path
            .extension()
            .and_then(|e| e.to_str())
            .is_some_and(|e| EXTENSIONS.contains(&e.to_ascii_lowercase().as_str()));
        if known && wildcard(pattern.as_bytes(), file_name(&path).as_bytes()) {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

/// Whether `text` fits `pattern`, where `*` stands for anything and `?` for one byte.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|skip| wildcard(rest, &text[skip..])),
        (Some((b'?', rest)), Some((_, tail))) => wildcard(rest, tail),
        (Some((p, rest)), Some((t, tail))) if p == t => wildcard(rest, tail),
        _ => false,
    }
}

/// Left and right pictures that belong together, and those that stand alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs {
    /// (left, right).
    pub pairs: Vec<(Picture, Picture)>,
    /// Names without a partner.
    pub alone: Vec<String>,
}

/// Pairs files whose names are the same but for `left`/`right` (or `l`/`r` as a word of its own).
pub fn pair(left: &[PathBuf], right: &[PathBuf]) -> Result<Pairs, CalibrationError> {
    let mut rights: BTreeMap<String, &PathBuf> = BTreeMap::new();
    for path in right {
        if let Some(first) = rights.insert(key(path), path) {
            return Err(CalibrationError::SameName { first: first.clone(), second: path.clone() });
        }
    }
    let mut out = Pairs::default();
    let mut lefts: BTreeMap<String, &PathBuf> = BTreeMap::new();
    for path in left {
        let key = key(path);
        if let Some(first) = lefts.insert(key.clone(), path) {
            return Err(CalibrationError::SameName { first: first.clone(), second: path.clone() });
        }
        match rights.remove(&key) {
            Some(partner) => out.pairs.push((Picture::whole(path.clone()), Picture::whole(partner.clone()))),
            None => out.alone.push(file_name(path)),
        }
    }
    out.alone.extend(rights.values().map(|p| file_name(p)));
    match (out.pairs.is_empty(), left.first(), right.first()) {
        (true, Some(left), Some(right)) => {
            Err(CalibrationError::NoPairs { left: file_name(left), right: file_name(right) })
        }
        _ => Ok(out),
    }
}

/// The halves of side-by-side pictures.
pub fn halves(files: &[PathBuf]) -> Pairs {
    let half = |path: &PathBuf, side| Picture { path: path.clone(), half: Some(side) };
    let pairs = files.iter().map(|p| (half(p, CameraSide::Left), half(p, CameraSide::Right))).collect();
    Pairs { pairs, alone: Vec::new() }
}

/// What two names of a pair have in common: the stem's words without the one that tells the side.
fn key(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let stem = stem.replace("left", "\u{1}").replace("right", "\u{1}");
    let words = stem.split(['_', '-', '.', ' ']).map(|w| if matches!(w, "l" | "r") { "\u{1}" } else { w });
    words.collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn names_that_differ_only_by_the_side_are_pairs() {
        for (left, right) in [
            ("a/left_01.png", "b/right_01.png"),
            ("L/07.png", "R/07.jpg"),
            ("x_l.png", "x_r.png"),
            ("Left3.png", "right3.png"),
        ] {
            let found = pair(&paths(&[left]), &paths(&[right])).unwrap();
            assert_eq!((found.pairs.len(), found.alone.len()), (1, 0), "{left} {right}");
        }
    }

    #[test]
    fn a_picture_without_a_partner_is_named_and_no_pair_at_all_is_an_error() {
        let found = pair(&paths(&["1.png", "2.png"]), &paths(&["2.png", "3.png"])).unwrap();
        assert_eq!((found.pairs.len(), found.alone), (1, vec!["1.png".to_owned(), "3.png".to_owned()]));
        let error = pair(&paths(&["a1.png"]), &paths(&["b2.png"])).unwrap_err().to_string();
        assert!(error.contains("a1.png") && error.contains("b2.png"), "{error}");
    }

    #[test]
    fn files_folders_and_patterns_are_listed_in_order_and_each_once() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b2.png", "a1.JPG", "b1.png", "note.txt"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let names = |arguments: &[PathBuf]| list(arguments).unwrap().iter().map(|p| file_name(p)).collect::<Vec<_>>();
        assert_eq!(names(&[dir.path().to_owned()]), ["a1.JPG", "b1.png", "b2.png"]);
        assert_eq!(names(&[dir.path().join("b*.png"), dir.path().join("b2.png")]), ["b1.png", "b2.png"]);
        assert!(list(&[dir.path().join("c*")]).unwrap_err().to_string().contains("c*"));
        assert!(list(&[dir.path().join("gone.png")]).unwrap_err().to_string().contains("gone.png"));
    }
}
