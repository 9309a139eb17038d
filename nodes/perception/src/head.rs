//! What a model's output means: `task`, `classes` and `[output]` of the manifest, made into one type, with the tensor it must have.
//!
//! The form of an output is said in the manifest, never guessed from its shape.

use crate::{PerceptionError, contract::Expected};
use ort::value::TensorElementType::{Float32, Int32, Int64, Uint8};
use proctor_types::Findings;
use serde::Deserialize;
use std::{collections::BTreeSet, path::Path};

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A class for every pixel.
    #[default]
    Segmentation,
    /// Boxes.
    Detection,
    /// Named points.
    Keypoints,
    /// Classes of the whole picture.
    Classification,
}

/// `[output]`, key by key; which keys a form takes is checked by [`parse`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Tensor name.
    pub name: String,
    /// How to read it.
    pub form: Option<String>,
    /// Least confidence to report, in [0, 1].
    pub confidence: Option<f32>,
    /// Boxes of one class that overlap by more (intersection over union, [0, 1]) are one object.
    pub overlap: Option<f32>,
    /// Unit of box coordinates.
    pub units: Option<Units>,
    /// Names of the points.
    pub points: Option<Vec<String>>,
    /// Of a segmentation that states its doubt: what logits are divided by before soft-max so that the model is as often right as it says, in
    /// [0.2, 20]; 1 unless said.
    pub temperature: Option<f32>,
}

impl Output {
    /// See the field.
    pub fn temperature(&self) -> f32 {
        self.temperature.unwrap_or(1.0)
    }
}

/// What the output means.
#[derive(Debug, Clone, PartialEq)]
pub enum Head {
    /// See [`Planes`].
    Segmentation(Planes),
    /// See [`Boxes`].
    Detection(Boxes),
    /// See [`Points`].
    Keypoints(Points),
    /// See [`Scores`].
    Classification(Scores),
}

/// Forms of a segmentation, over `rows` x `columns` of any size that covers the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planes {
    /// `[1, classes, rows, columns]`, before soft-max.
    Logits,
    /// `[1, classes, rows, columns]`, after soft-max.
    Probabilities,
    /// `[1, rows, columns]` or `[1, 1, rows, columns]`, class numbers as int64, int32 or uint8.
    Labels,
    /// `[1, 1, rows, columns]`, the second of two classes before the logistic function.
    BinaryLogits,
    /// `[1, 1, rows, columns]`, the second of two classes as probability.
    BinaryProbabilities,
}

/// Detection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boxes {
    /// How rows are laid out.
    pub form: BoxForm,
    /// Least confidence to report, in [0, 1].
    pub confidence: f32,
    /// Intersection over union above which the less confident of two boxes of a class is dropped, in [0, 1].
    pub overlap: f32,
    /// Unit of coordinates.
    pub units: Units,
}

/// Layouts of detection outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoxForm {
    /// `[1, boxes, 5 + classes]`: centre x, centre y, width, height, objectness, probability per class.
    YoloV5,
    /// `[1, 4 + classes, boxes]`: centre x, centre y, width, height, probability per class.
    YoloV8,
    /// `[1, boxes, 6]`: left, top, right, bottom, confidence, class number; duplicates are removed already.
    NmsFree,
}

/// Unit of box and point coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Units {
    /// Pixels of the network's input.
    #[default]
    Pixels,
    /// Shares of its width and height.
    Normalised,
}

/// Key points.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    /// Their names, in the model's order.
    pub names: Vec<String>,
    /// How they are given.
    pub form: PointForm,
}

/// Layouts of key points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PointForm {
    /// `[1, points, rows, columns]`: a map per point, whose largest value, in [0, 1], is the confidence.
    Heatmaps {
        /// Least confidence to report, in [0, 1].
        confidence: f32,
    },
    /// `[1, 4 + classes + 3 points, boxes]`: as [`BoxForm::YoloV8`], then x, y, visibility per point.
    YoloV8Pose(Boxes),
}

/// Forms of a classification, `[1, classes]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    /// Before soft-max: one class holds.
    Logits,
    /// After soft-max.
    Probabilities,
    /// Before the logistic function: each class on its own.
    MultiLabelLogits,
    /// After it.
    MultiLabelProbabilities,
}

/// Confidence below which boxes and points are dropped unless the manifest says another.
const CONFIDENCE: f32 = 0.25;
/// Overlap above which boxes are one unless the manifest says another.
const OVERLAP: f32 = 0.45;

/// The head of a manifest. Refuses forms of another task, keys that the form does not take, values out of range, and class lists
/// that do not fit.
pub fn parse(path: &Path, task: Task, classes: &[String], output: &Output) -> Result<Head, PerceptionError> {
    let keys = Keys { path, output };
    let form = output.form.as_deref();
    let head = match (task, form) {
        (Task::Segmentation, None | Some("logits")) => Head::Segmentation(Planes::Logits),
        (Task::Segmentation, Some("probabilities")) => Head::Segmentation(Planes::Probabilities),
        (Task::Segmentation, Some("labels")) => Head::Segmentation(Planes::Labels),
        (Task::Segmentation, Some("binary_logits")) => Head::Segmentation(Planes::BinaryLogits),
        (Task::Segmentation, Some("binary_probabilities")) => Head::Segmentation(Planes::BinaryProbabilities),
        (Task::Detection, Some("yolo_v5")) => Head::Detection(keys.boxes(BoxForm::YoloV5)?),
        (Task::Detection, Some("yolo_v8")) => Head::Detection(keys.boxes(BoxForm::YoloV8)?),
        (Task::Detection, Some("nms_free")) => Head::Detection(keys.boxes(BoxForm::NmsFree)?),
        (Task::Keypoints, Some("heatmaps")) => Head::Keypoints(keys.heatmaps()?),
        (Task::Keypoints, Some("yolo_v8_pose")) => Head::Keypoints(keys.pose()?),
        (Task::Classification, Some("logits")) => Head::Classification(Scores::Logits),
        (Task::Classification, Some("probabilities")) => Head::Classification(Scores::Probabilities),
        (Task::Classification, Some("multi_label_logits")) => Head::Classification(Scores::MultiLabelLogits),
        (Task::Classification, Some("multi_label_probabilities")) => {
            Head::Classification(Scores::MultiLabelProbabilities)
        }
        _ => {
            let got = form.map_or("nothing".to_owned(), |f| format!("{f:?}"));
            return Err(PerceptionError::value(path, "output.form", format!("one of {}", forms(task)), got));
        }
    };
    keys.only(head.keys())?;
    if !(0.2..=20.0).contains(&output.temperature()) {
        return Err(PerceptionError::value(path, "output.temperature", "in [0.2, 20]", output.temperature()));
    }
    head.check_classes(path, classes)?;
    Ok(head)
}

const fn forms(task: Task) -> &'static str {
    match task {
        Task::Segmentation => "logits, probabilities, labels, binary_logits, binary_probabilities",
        Task::Detection => "yolo_v5, yolo_v8, nms_free",
        Task::Keypoints => "heatmaps, yolo_v8_pose",
        Task::Classification => "logits, probabilities, multi_label_logits, multi_label_probabilities",
    }
}

struct Keys<'a> {
    path: &'a Path,
    output: &'a Output,
}

impl Keys<'_> {
    fn share(&self, what: &str, value: Option<f32>, otherwise: f32) -> Result<f32, PerceptionError> {
        let value = value.unwrap_or(otherwise);
        let fits = (0.0..=1.0).contains(&value);
        if fits { Ok(value) } else { Err(PerceptionError::value(self.path, what, "in [0, 1]", value)) }
    }

    fn boxes(&self, form: BoxForm) -> Result<Boxes, PerceptionError> {
        Ok(Boxes {
            form,
            confidence: self.share("output.confidence", self.output.confidence, CONFIDENCE)?,
            overlap: self.share("output.overlap", self.output.overlap, OVERLAP)?,
            units: self.output.units.unwrap_or_default(),
        })
    }

    fn heatmaps(&self) -> Result<Points, PerceptionError> {
        let confidence = self.share("output.confidence", self.output.confidence, CONFIDENCE)?;
        Ok(Points { names: self.points()?, form: PointForm::Heatmaps { confidence } })
    }

    fn pose(&self) -> Result<Points, PerceptionError> {
        Ok(Points { names: self.points()?, form: PointForm::YoloV8Pose(self.boxes(BoxForm::YoloV8)?) })
    }

    fn points(&self) -> Result<Vec<String>, PerceptionError> {
        let names = self.output.points.clone().unwrap_or_default();
        check_names(self.path, "output.points", &names, 1)?;
        Ok(names)
    }

    /// Refuses the first key that is given but not taken.
    fn only(&self, taken: &[&str]) -> Result<(), PerceptionError> {
        let o = self.output;
        let given = [
            ("confidence", o.confidence.is_some()),
            ("overlap", o.overlap.is_some()),
            ("units", o.units.is_some()),
            ("points", o.points.is_some()),
            ("temperature", o.temperature.is_some()),
        ];
        match given.into_iter().find(|(key, given)| *given && !taken.contains(key)) {
            Some((key, _)) => {
                let expected = if taken.is_empty() {
                    "absent".to_owned()
                } else {
                    format!("absent (only {taken:?} are read here)")
                };
                let form = o.form.as_deref().unwrap_or("logits");
                Err(PerceptionError::value(
                    self.path,
                    format!("output.{key}"),
                    expected,
                    format!("a value beside form {form:?}"),
                ))
            }
            None => Ok(()),
        }
    }
}

impl Head {
    /// The task, as manifests name it.
    pub const fn task(&self) -> &'static str {
        match self {
            Self::Segmentation(_) => "segmentation",
            Self::Detection(_) => "detection",
            Self::Keypoints(_) => "keypoints",
            Self::Classification(_) => "classification",
        }
    }

    const fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::Segmentation(Planes::Labels) | Self::Classification(_) => &[],
            Self::Segmentation(_) => &["temperature"],
            Self::Detection(b) if matches!(b.form, BoxForm::NmsFree) => &["confidence", "units"],
            Self::Detection(_) => &["confidence", "overlap", "units"],
            Self::Keypoints(Points { form: PointForm::Heatmaps { .. }, .. }) => &["confidence", "points"],
            Self::Keypoints(_) => &["confidence", "overlap", "units", "points"],
        }
    }

    fn check_classes(&self, path: &Path, classes: &[String]) -> Result<(), PerceptionError> {
        let refuse = |expected: &str| {
            let got = format!("{} of them", classes.len());
            Err(PerceptionError::value(path, "classes", expected, got))
        };
        match self {
            Self::Keypoints(Points { form: PointForm::Heatmaps { .. }, .. }) if !classes.is_empty() => {
                refuse("absent (heat maps have output.points)")
            }
            Self::Keypoints(Points { form: PointForm::Heatmaps { .. }, .. }) => Ok(()),
            Self::Segmentation(Planes::BinaryLogits | Planes::BinaryProbabilities) if classes.len() != 2 => {
                refuse("two: what the pixel is at low and at high values")
            }
            Self::Segmentation(_) => check_names(path, "classes", classes, 2),
            _ => check_names(path, "classes", classes, 1),
        }
    }

    /// The tensor that the output must be, for so many classes.
    pub(crate) fn expected(&self, classes: usize) -> Expected {
        const FLOAT: &[ort::value::TensorElementType] = &[Float32];
        match self {
            Self::Segmentation(Planes::Logits | Planes::Probabilities) => {
                Expected::new(FLOAT, "1, {}, rows, columns", &[classes])
            }
            Self::Segmentation(Planes::BinaryLogits | Planes::BinaryProbabilities) => {
                Expected::new(FLOAT, "1, 1, rows, columns", &[])
            }
            Self::Segmentation(Planes::Labels) => {
                Expected::new(&[Int64, Int32, Uint8], "1, rows, columns", &[]).or("1, 1, rows, columns")
            }
            Self::Detection(b) => match b.form {
                BoxForm::YoloV5 => Expected::new(FLOAT, "1, boxes, {}", &[5 + classes]),
                BoxForm::YoloV8 => Expected::new(FLOAT, "1, {}, boxes", &[4 + classes]),
                BoxForm::NmsFree => Expected::new(FLOAT, "1, boxes, 6", &[]),
            },
            Self::Keypoints(p) => match p.form {
                PointForm::Heatmaps { .. } => Expected::new(FLOAT, "1, {}, rows, columns", &[p.names.len()]),
                PointForm::YoloV8Pose(_) => Expected::new(FLOAT, "1, {}, boxes", &[4 + classes + 3 * p.names.len()]),
            },
            Self::Classification(_) => Expected::new(FLOAT, "1, {}", &[classes]),
        }
    }
}

/// Between `least` and [`Findings::MAX_CLASSES`] names, each once and of a bounded length.
fn check_names(path: &Path, what: &str, names: &[String], least: usize) -> Result<(), PerceptionError> {
    let most = Findings::MAX_CLASSES;
    if !(least..=most).contains(&names.len()) {
        return Err(PerceptionError::value(path, what, format!("{least} to {most} names"), names.len()));
    }
    let mut seen = BTreeSet::new();
    let long = Findings::MAX_NAME;
    match names.iter().find(|n| !(1..=long).contains(&n.len()) || !seen.insert(n.as_str())) {
        Some(bad) => {
            let expected = format!("names of 1 to {long} bytes, each once");
            Err(PerceptionError::value(path, what, expected, format!("{bad:?}")))
        }
        None => Ok(()),
    }
}
