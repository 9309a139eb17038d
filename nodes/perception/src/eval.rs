//! Scores answers against masks: which mask value is which class, IoU and Dice per class.
//!
//! The map is TOML with two tables that have the same keys, the *classes of the comparison*:
//!
//! ```toml
//! ignore = [255]                    # mask values whose pixels count for nothing; optional, must come first
//!
//! [masks]                           # class of the comparison = the mask values that are it
//! background = [0, "#505050"]       # grey levels 0..255, or colours "#rrggbb" for colour masks
//! tissue     = [1, 2, 3, 4, 5, 6]
//! instrument = [7, 8, 9]            # merges shaft, wrist and jaws of the masks
//!
//! [model]                           # class of the comparison = the model's classes that are it
//! background = ["background"]
//! tissue     = ["abdominal_wall", "liver", "gallbladder", "cystic_duct", "cystic_artery", "fat"]
//! instrument = ["instrument_shaft", "instrument_wrist", "instrument_jaws"]
//! ```
//!
//! Every class of the model stands in exactly one list of `[model]`; a list may be empty (masks show something that
//! the model cannot name, or the other way round). A value that occurs in a mask but not in the map is an error.
//!
//! Per class, over all pictures: IoU = |both| / |either|, Dice = 2 |both| / (|mask| + |answer|). A class with no pixel in
//! any mask nor any answer agrees with itself: IoU and Dice are 1. The mean IoU is taken over the classes that do occur
//! (1 if none does). The same holds per picture.

use crate::{PerceptionError, cli::json_number, picture};
use opencv::{
    core::{Mat, MatTraitConst as _, MatTraitConstManual as _},
    imgcodecs,
};
use proctor_types::{Class, Image};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

/// Which class of the comparison a mask value or a model class is.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalMap {
    classes: Vec<String>,
    grey: [Option<Slot>; 256],
    colours: HashMap<[u8; 3], Slot>,
    model: [usize; Class::COUNT],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Class(usize),
    Ignore,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapFile {
    #[serde(default)]
    ignore: Vec<MaskValue>,
    masks: BTreeMap<String, Vec<MaskValue>>,
    model: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum MaskValue {
    Grey(u8),
    Colour(String),
}

impl EvalMap {
    /// Reads a map file.
    pub fn read(path: &Path) -> Result<Self, PerceptionError> {
        let text = std::fs::read_to_string(path).map_err(PerceptionError::io(path))?;
        Self::parse(path, &text)
    }

    /// Checks a map's text; `path` only names it in errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, PerceptionError> {
        let file: MapFile = toml::from_str(text)
            .map_err(|source| PerceptionError::Toml { path: path.to_owned(), source: Box::new(source) })?;
        let refuse = |what: &str, expected: &str, got: String| Err(PerceptionError::value(path, what, expected, got));
        if file.masks.is_empty() || !file.masks.keys().eq(file.model.keys()) {
            let list = |keys: Vec<&String>| format!("{keys:?}");
            return refuse("[model]", &list(file.masks.keys().collect()), list(file.model.keys().collect()));
        }
        let mut map = Self {
            classes: file.masks.keys().cloned().collect(),
            grey: [None; 256],
            colours: HashMap::new(),
            model: [0; Class::COUNT],
        };
        let lists = file.masks.values().enumerate().map(|(k, values)| (Slot::Class(k), values));
        for (slot, values) in lists.chain([(Slot::Ignore, &file.ignore)]) {
            for value in values {
                let before = match value {
                    MaskValue::Grey(level) => map.grey[usize::from(*level)].replace(slot),
                    MaskValue::Colour(text) => match colour(text) {
                        Some(rgb) => map.colours.insert(rgb, slot),
                        None => return refuse("mask value", "0..255 or \"#rrggbb\"", text.clone()),
                    },
                };
                if before.is_some() {
                    return refuse("mask value", "in one list only", format!("{value:?} twice"));
                }
            }
        }
        let mut model = [None; Class::COUNT];
        for (k, names) in file.model.values().enumerate() {
            for name in names {
                let Ok(class) = name.parse::<Class>() else {
                    return refuse("[model] class", &Class::ALL.map(Class::name).join(", "), name.clone());
                };
                if model[usize::from(class.id())].replace(k).is_some() {
                    return refuse("[model] class", "in one list only", format!("{name} twice"));
                }
            }
        }
        for class in Class::ALL {
            let Some(k) = model[usize::from(class.id())] else {
                return refuse("[model]", "every class of the model in one list", format!("no {}", class.name()));
            };
            map.model[usize::from(class.id())] = k;
        }
        Ok(map)
    }

    /// The classes of the comparison, sorted by name.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Which of them each class of the model is, by [`Class::id`].
    pub fn class_of(&self) -> &[usize; Class::COUNT] {
        &self.model
    }
}

fn colour(text: &str) -> Option<[u8; 3]> {
    let hex = text.strip_prefix('#').filter(|h| h.len() == 6 && h.is_ascii())?;
    let mut out = [0; 3];
    for (i, value) in out.iter_mut().enumerate() {
        *value = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(out)
}

/// A mask file in classes of the comparison: an index into [`EvalMap::classes`] per pixel, `None` where ignored.
pub type Truth = Image<Option<usize>>;

/// Reads a mask. Errors name the file: unreadable, 16-bit, of another size than `size`, or with an unmapped value.
pub fn read_mask(path: &Path, size: (usize, usize), map: &EvalMap) -> Result<Truth, PerceptionError> {
    std::fs::metadata(path).map_err(PerceptionError::io(path))?;
    let unreadable = || PerceptionError::Unreadable { path: path.to_owned() };
    let name = path.to_str().ok_or_else(unreadable)?;
    let mat = imgcodecs::imread(name, imgcodecs::IMREAD_UNCHANGED).map_err(|_| unreadable())?;
    if mat.empty() {
        return Err(unreadable());
    }
    let got = (mat.cols() as usize, mat.rows() as usize);
    if got != size {
        let text = |(w, h): (usize, usize)| format!("{w}x{h}");
        return Err(PerceptionError::MaskSize { path: path.to_owned(), expected: text(size), got: text(got) });
    }
    if mat.depth() != opencv::core::CV_8U {
        return Err(PerceptionError::value(
            path,
            "mask",
            "of 8 bits per channel",
            format!("OpenCV depth {}", mat.depth()),
        ));
    }
    let slots = slots(&mat, map).map_err(|(i, value)| PerceptionError::MaskValue {
        path: path.to_owned(),
        value,
        column: i % size.0,
        row: i / size.0,
    })?;
    Ok(Image::new(size.0, size.1, slots)?)
}

/// Maps every pixel, or says where and what the first unmapped one is. A colour pixel whose channels are equal may be
/// named as a grey level as well.
fn slots(mat: &Mat, map: &EvalMap) -> Result<Vec<Option<usize>>, (usize, String)> {
    let channels = mat.channels() as usize;
    let bytes = mat.data_bytes().map_err(|e| (0, e.to_string()))?;
    let mut out = Vec::with_capacity(bytes.len() / channels);
    for (i, pixel) in bytes.chunks_exact(channels).enumerate() {
        let rgb = match *pixel {
            [b, g, r] | [b, g, r, _] => [r, g, b],
            [v, ..] => [v; 3],
            [] => [0; 3],
        };
        let grey = (rgb[0] == rgb[1] && rgb[1] == rgb[2]).then(|| map.grey[usize::from(rgb[0])]).flatten();
        match grey.or_else(|| map.colours.get(&rgb).copied()) {
            Some(Slot::Class(k)) => out.push(Some(k)),
            Some(Slot::Ignore) => out.push(None),
            None if channels == 1 => return Err((i, rgb[0].to_string())),
            None => return Err((i, format!("#{:02x}{:02x}{:02x}", rgb[0], rgb[1], rgb[2]))),
        }
    }
    Ok(out)
}

/// Pixel counts of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Where mask and answer agree on it.
    pub both: u64,
    /// In the mask.
    pub mask: u64,
    /// In the answer.
    pub answer: u64,
}

impl Count {
    /// |both| / |either|, 1 of nothing.
    pub fn iou(&self) -> f64 {
        ratio(self.both, self.mask + self.answer - self.both)
    }

    /// 2 |both| / (|mask| + |answer|), 1 of nothing.
    pub fn dice(&self) -> f64 {
        ratio(2 * self.both, self.mask + self.answer)
    }

    /// Whether mask or answer has any.
    pub fn occurs(&self) -> bool {
        self.mask + self.answer > 0
    }

    /// Adds another count, `times` times.
    pub fn add(&mut self, other: &Self, times: u64) {
        self.both += times * other.both;
        self.mask += times * other.mask;
        self.answer += times * other.answer;
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// Mean IoU of the classes that occur, 1 if none does.
pub fn mean_iou(counts: &[Count]) -> f64 {
    let there: Vec<f64> = counts.iter().filter(|c| c.occurs()).map(Count::iou).collect();
    if there.is_empty() { 1.0 } else { there.iter().sum::<f64>() / there.len() as f64 }
}

/// Pixel counts of every class of a comparison, over one picture or many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally(Vec<Count>);

impl Tally {
    /// Nothing counted yet.
    pub fn new(map: &EvalMap) -> Self {
        Self(vec![Count::default(); map.classes.len()])
    }

    /// Counts one picture: the model's labels (class ids) against the mask, which must have the same size.
    pub fn add(&mut self, map: &EvalMap, labels: &Image<u8>, truth: &Truth) {
        assert_eq!((labels.width(), labels.height()), (truth.width(), truth.height()), "labels fit their mask");
        for (&label, &truth) in labels.pixels().iter().zip(truth.pixels()) {
            let Some(truth) = truth else { continue };
            let answer = map.model[usize::from(label)];
            self.0[truth].mask += 1;
            self.0[answer].answer += 1;
            self.0[answer].both += u64::from(truth == answer);
        }
    }

    /// Adds another tally of the same map.
    pub fn merge(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            a.add(b, 1);
        }
    }

    /// The counts, in the order of [`EvalMap::classes`].
    pub fn counts(&self) -> &[Count] {
        &self.0
    }

    /// The scores.
    pub fn scores(&self, map: &EvalMap) -> Scores {
        let score =
            |c: &Count| ClassScore { iou: c.iou(), dice: c.dice(), mask_pixels: c.mask, answer_pixels: c.answer };
        let classes = map.classes.iter().cloned().zip(self.0.iter().map(score)).collect();
        Scores { mean_iou: mean_iou(&self.0), classes }
    }
}

/// Scores of one picture or of a set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Mean over the classes that occur in a mask or an answer, in [0, 1].
    #[serde(serialize_with = "json_number")]
    pub mean_iou: f64,
    /// By class of the comparison.
    pub classes: BTreeMap<String, ClassScore>,
}

/// Scores of one class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassScore {
    /// Intersection over union, in [0, 1]; 1 when neither mask nor answer has a pixel.
    #[serde(serialize_with = "json_number")]
    pub iou: f64,
    /// Dice coefficient, in [0, 1]; 1 when neither mask nor answer has a pixel.
    #[serde(serialize_with = "json_number")]
    pub dice: f64,
    /// Pixels of the class in the masks.
    pub mask_pixels: u64,
    /// Pixels of the class in the answers.
    pub answer_pixels: u64,
}

/// A picture and its mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The picture.
    pub image: PathBuf,
    /// Its mask.
    pub mask: PathBuf,
}

/// Pictures of a folder with their masks, sorted by name. The mask of `a.jpg` is the file in `masks` whose stem is `a`
/// followed by `suffix`. Masks without a picture are left alone; a picture without a mask, or two with one stem, is an error.
pub fn pairs(images: &Path, masks: &Path, suffix: &str) -> Result<Vec<Pair>, PerceptionError> {
    let by_stem = |dir: &Path| -> Result<BTreeMap<String, PathBuf>, PerceptionError> {
        let mut out = BTreeMap::new();
        for path in crate::segment::pictures_in(dir)? {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(first) = out.insert(stem, path.clone()) {
                return Err(PerceptionError::SameStem { first, second: path });
            }
        }
        Ok(out)
    };
    let found = by_stem(masks)?;
    let mut out = Vec::new();
    for (stem, image) in by_stem(images)? {
        let stem = format!("{stem}{suffix}");
        let Some(mask) = found.get(&stem).cloned() else {
            return Err(PerceptionError::NoMask { image, stem, masks: masks.to_owned() });
        };
        out.push(Pair { image, mask });
    }
    if out.is_empty() { Err(PerceptionError::Nothing { path: images.to_owned() }) } else { Ok(out) }
}

/// Scores one picture's labels, of any size, against its mask: labels are grown to the mask's size, nearest neighbour.
pub fn score_one(map: &EvalMap, labels: &Image<u8>, truth: &Truth) -> Result<Tally, PerceptionError> {
    let labels = picture::resize_labels(labels, truth.width(), truth.height())?;
    let mut tally = Tally::new(map);
    tally.add(map, &labels, truth);
    Ok(tally)
}

#[cfg(test)]
#[path = "eval_tests.rs"]
mod tests;
