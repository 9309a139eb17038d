//! `model.toml`: what a model folder promises about the `model.onnx` beside it.

use crate::PerceptionError;
use proctor_types::{Class, Digest};
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path};

/// Largest side of a network input, pixels.
pub const MAX_SIDE: usize = 2048;

/// A parsed and checked manifest. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Short name, for logs.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// SPDX identifier of the weights' licence.
    pub licence: String,
    /// SHA-256 of `model.onnx`.
    pub sha256: Digest,
    /// Class names in channel order: exactly [`Class::ALL`].
    pub classes: Vec<String>,
    /// Input contract.
    pub input: Input,
    /// Output contract.
    pub output: Output,
    /// What it was trained on.
    pub training: Training,
    /// How far it carries beyond what it was trained on, in words; informative.
    #[serde(default)]
    pub limits: String,
    /// Measured scores by purpose (`unseen_seeds`, ...); informative.
    #[serde(default)]
    pub scores: BTreeMap<String, toml::Table>,
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

/// The output tensor: float32 `[1, classes, height, width]`, before soft-max.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Tensor name.
    pub name: String,
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
        let manifest: Self = toml::from_str(text)
            .map_err(|source| PerceptionError::Toml { path: path.to_owned(), source: Box::new(source) })?;
        if !manifest.classes.iter().map(String::as_str).eq(Class::ALL.iter().map(|c| c.name())) {
            return Err(PerceptionError::Classes {
                path: path.to_owned(),
                expected: Class::ALL.map(Class::name).join(", "),
                got: manifest.classes.join(", "),
            });
        }
        let input = &manifest.input;
        for (what, side) in [("input.width", input.width), ("input.height", input.height)] {
            if !(16..=MAX_SIDE).contains(&side) {
                return Err(PerceptionError::value(path, what, format!("in 16..={MAX_SIDE}"), side));
            }
        }
        for (mean, std) in input.mean.into_iter().zip(input.std) {
            if !mean.is_finite() {
                return Err(PerceptionError::value(path, "input.mean", "finite", mean));
            }
            if !(std.is_finite() && std > 0.0) {
                return Err(PerceptionError::value(path, "input.std", "finite and positive", std));
            }
        }
        Ok(manifest)
    }
}
