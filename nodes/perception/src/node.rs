//! The shell: takes the newest stereo pair, steps the logic, publishes the segmentation.

use crate::{DEFAULT_MODEL, Device, Model, OrtConfig, Perception, PerceptionError, QualityParams, manifest::Manifest};
use proctor_bus::{Bus, BusError, Node, Publisher, StereoSubscriber, Subscriber, graph};
use proctor_types::{ArmId, ArmJoints, Joints, Segmentation, Stamp};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How far the endoscope's joints (yaw, pitch, insertion, roll; rad and m) may move for its picture to count as the same view.
const STAYS: [f64; 4] = [0.02, 0.02, 0.005, 0.03];

/// Most models side by side.
pub const MAX_MODELS: usize = 8;

/// Parameters of the node. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PerceptionParams {
    /// Model folders (`model.onnx` and `model.toml`), 1..=[`MAX_MODELS`]. Exactly one must segment Proctor's classes: it feeds fusion. What
    /// the others find is shown.
    pub models: Vec<PathBuf>,
    /// ONNX Runtime's shared library, 1.22 or newer. The executable fills it in (argument, `ORT_DYLIB_PATH`, `.venv`).
    pub onnxruntime: PathBuf,
    /// Threads one inference may use, 1..=64.
    pub threads: usize,
    /// What runs the models; the processor where it cannot be had.
    pub device: Device,
    /// How often to look for a new picture, milliseconds, 1..=100.
    pub period_ms: u64,
    /// Thresholds of the quality verdict.
    pub quality: QualityParams,
}

impl Default for PerceptionParams {
    fn default() -> Self {
        Self {
            models: vec![DEFAULT_MODEL.into()],
            onnxruntime: "libonnxruntime.so".into(),
            threads: 1,
            device: Device::Cpu,
            period_ms: 4,
            quality: QualityParams::default(),
        }
    }
}

impl PerceptionParams {
    /// What is read when the node is made, and by [`PerceptionNode::adjust`] no more: all but the thresholds of the quality verdict.
    pub const FIXED: &[&str] = &["models", "onnxruntime", "threads", "device", "period_ms"];

    /// Checks every range; the error names the key, the range and the value.
    pub fn validate(&self) -> Result<(), PerceptionError> {
        if !(1..=64).contains(&self.threads) {
            return Err(PerceptionError::value("parameters", "threads", "in 1..=64", self.threads));
        }
        if !(1..=100).contains(&self.period_ms) {
            return Err(PerceptionError::value("parameters", "period_ms", "in 1..=100", self.period_ms));
        }
        if !(1..=MAX_MODELS).contains(&self.models.len()) {
            let expected = format!("1 to {MAX_MODELS} folders");
            return Err(PerceptionError::value("parameters", "models", expected, self.models.len()));
        }
        self.quality.validate()
    }

    /// How to run models.
    pub fn runtime(&self) -> OrtConfig {
        OrtConfig { library_path: self.onnxruntime.clone(), threads: self.threads }
    }

    /// The folder whose model feeds fusion, and the others, as their manifests say.
    pub fn roles(&self) -> Result<(&Path, Vec<&Path>), PerceptionError> {
        self.validate()?;
        let mut manifests = Vec::new();
        for folder in &self.models {
            manifests.push((folder.as_path(), Manifest::read(&folder.join("model.toml"))?));
        }
        let (anatomy, others): (Vec<_>, Vec<_>) = manifests.iter().partition(|(_, m)| m.is_anatomy());
        if let [(folder, _)] = anatomy[..] {
            return Ok((folder, others.iter().map(|(folder, _)| *folder).collect()));
        }
        let words = |m: &Manifest| format!("{} ({}: {})", m.name, m.head.task(), m.classes.join(", "));
        let models: Vec<_> = manifests.iter().map(|(_, m)| words(m)).collect();
        Err(PerceptionError::OneAnatomy { got: anatomy.len(), models: models.join("; ") })
    }
}

/// What stops the node at its start.
#[derive(Debug, thiserror::Error)]
pub enum PerceptionNodeError {
    /// The parameters, the model or the runtime.
    #[error(transparent)]
    Perception(#[from] PerceptionError),
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// What the node did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Pictures answered.
    pub answered: u64,
    /// Pictures passed over because a newer one had come, or whose partner never came.
    pub skipped: u64,
    /// Pictures that could not be answered.
    pub failed: u64,
}

/// Segments the newest picture; older ones are dropped, never queued. A picture that cannot be answered is logged and
/// counted and nothing is published for it: readers see the silence and its age.
pub struct PerceptionNode {
    frames: StereoSubscriber,
    endoscope: Subscriber<ArmJoints>,
    /// Where it was when it last began to look at what it sees.
    looks: Option<Joints>,
    answers: Publisher<Segmentation>,
    perception: Perception,
    period: Duration,
    counts: Counts,
}

impl PerceptionNode {
    /// Loads the model that feeds fusion and joins the bus; [`crate::FinderNode::all`] runs the others.
    pub fn new(bus: &Bus, params: PerceptionParams) -> Result<Self, PerceptionNodeError> {
        let (anatomy, _) = params.roles()?;
        let perception =
            Perception::new(Model::load_on(anatomy, &params.runtime(), params.device)?, params.quality.clone())?;
        Ok(Self {
            frames: StereoSubscriber::new(bus)?,
            endoscope: bus.subscriber(&graph::measured_js(ArmId::Ecm))?,
            looks: None,
            answers: bus.publisher(&graph::segmentation())?,
            perception,
            period: Duration::from_millis(params.period_ms),
            counts: Counts::default(),
        })
    }

    /// Judges pictures by other thresholds from the next one on; refused ones change nothing.
    pub fn adjust(&mut self, params: &PerceptionParams) -> Result<(), PerceptionError> {
        self.perception.adjust(params.quality.clone())
    }

    /// What the node did so far.
    pub fn counts(&self) -> Counts {
        Counts { skipped: self.frames.skipped(), ..self.counts }
    }
}

impl Node for PerceptionNode {
    fn name(&self) -> &'static str {
        "perception"
    }

    fn period(&self) -> Duration {
        self.period
    }

    fn poll(&mut self, now: Stamp) {
        self.watch_endoscope();
        let Some(frame) = self.frames.take() else { return };
        match self.perception.step(now, &frame) {
            Ok(answer) => match self.answers.publish(&answer) {
                Ok(()) => self.counts.answered += 1,
                Err(error) => self.fail(&error),
            },
            Err(error) => self.fail(&error),
        }
    }
}

impl PerceptionNode {
    fn watch_endoscope(&mut self) {
        let Some(now) = self.endoscope.newest().map(|m| m.position) else { return };
        let stays = self.looks.as_ref().is_some_and(|looks| {
            looks.len() == now.len()
                && looks.iter().zip(now.iter()).zip(STAYS).all(|((a, b), most)| (a - b).abs() <= most)
        });
        if !stays {
            self.looks = Some(now);
            self.perception.look_elsewhere();
        }
    }

    fn fail(&mut self, error: &dyn std::error::Error) {
        self.counts.failed += 1;
        // A broken camera or model fails at every frame: say it at 1, 2, 4, 8, ... failures.
        if self.counts.failed.is_power_of_two() {
            tracing::error!(failures = self.counts.failed, %error, "picture not answered");
        }
    }
}

impl std::fmt::Debug for PerceptionNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PerceptionNode")
            .field("perception", &self.perception)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
