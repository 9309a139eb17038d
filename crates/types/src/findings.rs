//! What a model beside the segmentation found in one picture: boxes, points, scores of the whole picture, or regions of its own
//! classes. Shown to people and recorded; nothing moves because of it.

use crate::{Digest, Image, Stamp};
use serde::{Deserialize, Serialize};

/// A name with a number in [0, 1]: how likely a class is in the whole picture, or which share of the picture it covers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Name of the class, at most [`Findings::MAX_NAME`] bytes.
    pub label: String,
    /// In [0, 1].
    pub score: f32,
}

/// An axis-parallel box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundBox {
    /// Name of the class, at most [`Findings::MAX_NAME`] bytes.
    pub label: String,
    /// In [0, 1].
    pub confidence: f32,
    /// Left edge, top edge, right edge, bottom edge: pixels of the full-size left picture, inside it, pixel centres at integers.
    pub edges: [f64; 4],
}

/// A named point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundPoint {
    /// Name of the point, at most [`Findings::MAX_NAME`] bytes.
    pub label: String,
    /// Column, pixels of the full-size left picture, pixel centres at integers.
    pub u: f64,
    /// Row, likewise.
    pub v: f64,
    /// In [0, 1].
    pub confidence: f32,
    /// The box it belongs to, as index of [`Found::Points`]' boxes; `None` where the model tells no objects apart.
    pub object: Option<u8>,
}

/// What was found, by the model's task.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Segmentation with classes of the model's own.
    Regions {
        /// Index into `classes` per pixel; covers the whole picture, at any resolution.
        image: Image<u8>,
        /// Every class with its share of the picture.
        classes: Vec<Scored>,
    },
    /// Detection, most confident first.
    Boxes(Vec<FoundBox>),
    /// Key points.
    Points {
        /// The objects that points belong to, most confident first; none where the model gives one set of points per picture.
        boxes: Vec<FoundBox>,
        /// The points.
        points: Vec<FoundPoint>,
    },
    /// Classification of the whole picture, in the model's order.
    Scores(Vec<Scored>),
}

/// A model's answer for one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Stamp of the picture it answers.
    pub stamp: Stamp,
    /// Name of the model, at most [`Self::MAX_NAME`] bytes.
    pub name: String,
    /// SHA-256 of the model file.
    pub model: Digest,
    /// Columns of the picture that coordinates refer to, 1..=4096.
    pub width: usize,
    /// Rows of that picture, 1..=4096.
    pub height: usize,
    /// What was found.
    pub found: Found,
}

impl Findings {
    /// Longest name of a model, class or point, bytes.
    pub const MAX_NAME: usize = 64;
    /// Most boxes in one answer.
    pub const MAX_BOXES: usize = 128;
    /// Most points in one answer.
    pub const MAX_POINTS: usize = 512;
    /// Most classes of a model.
    pub const MAX_CLASSES: usize = 256;
}

impl Found {
    /// The model's task, as manifests and messages name it.
    pub const fn task(&self) -> &'static str {
        match self {
            Self::Regions { .. } => "segmentation",
            Self::Boxes(_) => "detection",
            Self::Points { .. } => "keypoints",
            Self::Scores(_) => "classification",
        }
    }
}
