//! `model.toml`: what a model folder promises about the `model.onnx` beside it. docs/models.md has one for each form.

use crate::{
    PerceptionError,
    head::{self, Head, Output, Task},
};
use proctor_types::{Class, Digest, Findings};
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path};

/// Largest side of a network input or output, pixels.
pub const MAX_SIDE: usize = 2048;

/// A parsed and checked manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Short name, for logs, files and the console: letters, digits, `-`, `_`, `.`; at most [`Findings::MAX_NAME`].
    pub name: String,
    /// One sentence.
    pub description: String,
    /// SPDX identifier of the weights' licence.
    pub licence: String,
    /// SHA-256 of `model.onnx`.
    pub sha256: Digest,
    /// Class names in the model's order, each once; empty only for heat maps, whose points have the names.
    pub classes: Vec<String>,
    /// Input contract.
    pub input: Input,
    /// Name of the output tensor; other outputs are left alone.
    pub output: String,
    /// What the output means.
    pub head: Head,
    /// What a segmentation's logits are divided by before soft-max, so that the model is as often right as it says.
    pub temperature: f32,
    /// What it was trained on.
    pub training: Training,
    /// How far it carries beyond what it was trained on, in words; informative.
    pub limits: String,
    /// Measured scores by purpose (`unseen_seeds`, ...); informative.
    pub scores: BTreeMap<String, toml::Table>,
}

/// The file, key by key. Unknown keys are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    description: String,
    licence: String,
    sha256: Digest,
    #[serde(default)]
    task: Task,
    #[serde(default)]
    classes: Vec<String>,
    input: Input,
    output: Output,
    training: Training,
    #[serde(default)]
    limits: String,
    #[serde(default)]
    scores: BTreeMap<String, toml::Table>,
}

/// The input tensor: float32 `[1, 3, height, width]`, `(pixel / 255 - mean) / std` per channel.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Tensor name.
    pub name: String,
    /// Axis order.
    pub layout: Layout,
    /// Columns, 16..=[`MAX_SIDE`].
    pub width: usize,
    /// Rows, 16..=[`MAX_SIDE`].
    pub height: usize,
    /// Channel order.
    pub colour: Colour,
    /// Mean per channel, in units of full scale.
    pub mean: [f32; 3],
    /// Scale per channel, positive.
    pub std: [f32; 3],
    /// How a picture of another shape is fitted in.
    #[serde(default)]
    pub fit: Fit,
    /// Grey level of what a letterbox leaves free; YOLO's is 114.
    #[serde(default = "yolo_grey")]
    pub pad: u8,
}

const fn yolo_grey() -> u8 {
    114
}

/// Axis order of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
}

/// Channel order of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// How a picture of another shape than the input's is fitted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Each axis is scaled on its own until the picture fills the input.
    #[default]
    Stretch,
    /// Scaled evenly, centred, the rest filled with [`Input::pad`].
    Letterbox,
}

/// Where the weights come from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The data, in words.
    pub data: String,
    /// How, in words or as a path.
    pub procedure: String,
}

impl Manifest {
    /// Reads and checks `path`.
    pub fn read(path: &Path) -> Result<Self, PerceptionError> {
        let text = std::fs::read_to_string(path).map_err(PerceptionError::io(path))?;
        Self::parse(path, &text)
    }

    /// Checks a manifest's text; `path` only names it in errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, PerceptionError> {
        let file: File = toml::from_str(text)
            .map_err(|source| PerceptionError::Toml { path: path.to_owned(), source: Box::new(source) })?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=Findings::MAX_NAME).contains(&file.name.len()) || !file.name.bytes().all(fits) {
            let expected = format!("1 to {} letters, digits, '-', '_' and '.'", Findings::MAX_NAME);
            return Err(PerceptionError::value(path, "name", expected, format!("{:?}", file.name)));
        }
        file.input.check(path)?;
        let head = head::parse(path, file.task, &file.classes, &file.output)?;
        Ok(Self {
            name: file.name,
            description: file.description,
            licence: file.licence,
            sha256: file.sha256,
            classes: file.classes,
            input: file.input,
            temperature: file.output.temperature(),
            output: file.output.name,
            head,
            training: file.training,
            limits: file.limits,
            scores: file.scores,
        })
    }

    /// Whether the classes are Proctor's own, so that the answer can feed fusion.
    pub fn is_anatomy(&self) -> bool {
        matches!(self.head, Head::Segmentation(_))
            && self.classes.iter().map(String::as_str).eq(Class::ALL.iter().map(|c| c.name()))
    }
}

impl Input {
    fn check(&self, path: &Path) -> Result<(), PerceptionError> {
        for (what, side) in [("input.width", self.width), ("input.height", self.height)] {
            if !(16..=MAX_SIDE).contains(&side) {
                return Err(PerceptionError::value(path, what, format!("in 16..={MAX_SIDE}"), side));
            }
        }
        for (mean, std) in self.mean.into_iter().zip(self.std) {
            if !mean.is_finite() {
                return Err(PerceptionError::value(path, "input.mean", "finite", mean));
            }
            if !(std.is_finite() && std > 0.0) {
                return Err(PerceptionError::value(path, "input.std", "finite and positive", std));
            }
        }
        Ok(())
    }
}
