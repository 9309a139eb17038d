//! The tools behind `proctor segment` and `proctor eval segmentation`. A shell: it reads arguments, files and the
//! environment, and writes files and text.

use crate::{
    DEFAULT_MODEL, Model, OrtConfig, Perception, PerceptionError, QualityParams, eval,
    eval::{EvalMap, Scores, Tally},
    find_onnxruntime, overlay, picture,
    segment::{Taking, for_each, sources},
};
use proctor_types::{Class, ImageQuality, Segmentation, Stamp};
use serde::{Serialize, Serializer};
use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

/// Which model, and how to run it.
#[derive(Debug, Clone, clap::Args)]
pub struct ModelArgs {
    /// Model folder (model.onnx and model.toml).
    #[arg(long, default_value = DEFAULT_MODEL)]
    pub model: PathBuf,
    /// ONNX Runtime's shared library; else ORT_DYLIB_PATH, else the wheel in .venv.
    #[arg(long, value_name = "LIBRARY")]
    pub onnxruntime: Option<PathBuf>,
    /// Threads for inference.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
}

/// Where the pictures come from.
#[derive(Debug, Clone, clap::Args)]
pub struct SourceArgs {
    /// Pictures, folders of pictures, videos, or recordings of ROS (MCAP, ROS 1 bags, .db3, folders of rosbag2).
    #[arg(required = true)]
    pub inputs: Vec<PathBuf>,
    /// Take every Nth frame of a video or recording.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub every: u32,
    /// The topic of pictures in a recording that has several.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
}

impl SourceArgs {
    /// What is taken of each source.
    pub fn taking(&self) -> Taking<'_> {
        Taking { every: self.every as usize, topic: self.topic.as_deref() }
    }
}

/// `proctor segment`: overlays and label pictures for any pictures.
#[derive(Debug, Clone, clap::Args)]
pub struct SegmentArgs {
    /// The pictures.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Folder for NAME_overlay.png and NAME_labels.png; made if missing.
    #[arg(long)]
    pub out: PathBuf,
    /// Print one JSON array instead of lines.
    #[arg(long)]
    pub json: bool,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// `proctor eval segmentation`: IoU and Dice against masks.
#[derive(Debug, Clone, clap::Args)]
pub struct EvalArgs {
    /// Folder of pictures.
    #[arg(long)]
    pub images: PathBuf,
    /// Folder of masks; a picture's mask has its stem (plus --mask-suffix).
    #[arg(long)]
    pub masks: PathBuf,
    /// TOML file: which mask value and which model class is which class of the comparison.
    #[arg(long)]
    pub map: PathBuf,
    /// What follows the picture's stem in the name of its mask.
    #[arg(long, default_value = "")]
    pub mask_suffix: String,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// The shared library to use: `explicit`, else `ORT_DYLIB_PATH`, else the wheel in `.venv` of the current folder, of one of
/// its parents, or of one of the executable's.
pub fn onnxruntime(explicit: Option<&Path>) -> Result<PathBuf, PerceptionError> {
    if let Some(path) = explicit {
        return Ok(path.to_owned());
    }
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|p| !p.is_empty()) {
        return Ok(path.into());
    }
    let starts = [std::env::current_dir(), std::env::current_exe()];
    starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .find_map(find_onnxruntime)
        .ok_or(PerceptionError::NoRuntime)
}

/// Loads the model that arguments name.
pub(crate) fn load_model(args: &ModelArgs) -> Result<Model, PerceptionError> {
    let config = OrtConfig { library_path: onnxruntime(args.onnxruntime.as_deref())?, threads: args.threads.into() };
    Model::load(&args.model, &config)
}

fn load(args: &ModelArgs) -> Result<Perception, PerceptionError> {
    Perception::new(load_model(args)?, QualityParams::default())
}

/// What `proctor segment` says about one picture.
#[derive(Debug, Clone, Serialize)]
pub struct Segmented {
    /// Name of the outputs (the picture's stem; with the frame's number for a video).
    pub name: String,
    /// Quality of the picture.
    pub quality: ImageQuality,
    /// Share of the picture per class, in [0, 1]; classes without a pixel are left out.
    pub share: BTreeMap<&'static str, f64>,
    /// Mean soft-max confidence per class, in [0, 1].
    pub confidence: BTreeMap<&'static str, f64>,
    /// Mean of the uncertainty map, in [0, 1].
    pub uncertainty: f64,
    /// Instruments with at least one keypoint.
    pub instruments: usize,
}

impl Segmented {
    fn new(name: &str, s: &Segmentation) -> Self {
        let n = s.labels.pixels().len().max(1) as f64;
        let mut share = BTreeMap::new();
        let mut confidence = BTreeMap::new();
        for class in Class::ALL {
            let count = s.labels.pixels().iter().filter(|&&l| l == class.id()).count();
            if count > 0 {
                share.insert(class.name(), round(count as f64 / n));
                confidence.insert(class.name(), round(f64::from(s.confidence[usize::from(class.id())])));
            }
        }
        let sum: f64 = s.uncertainty.pixels().iter().map(|&u| f64::from(u)).sum();
        Self {
            name: name.to_owned(),
            quality: s.quality.clone(),
            share,
            confidence,
            uncertainty: round(sum / n / 255.0),
            instruments: s.keypoints.iter().map(|k| usize::from(k.instrument) + 1).max().unwrap_or(0),
        }
    }
}

/// Runs `proctor segment`: writes the pictures and prints what was seen to `out`.
pub fn segment(args: &SegmentArgs, out: &mut dyn Write) -> Result<(), PerceptionError> {
    let sources = sources(&args.source.inputs)?;
    let mut perception = load(&args.model)?;
    std::fs::create_dir_all(&args.out).map_err(PerceptionError::io(&args.out))?;
    let print = PerceptionError::io("standard output");
    let mut all = Vec::new();
    let mut seq = 0;
    for source in &sources {
        perception.forget();
        for_each(source, args.source.taking(), |name, picture| {
            let s = perception.segment(Stamp::FIRST, Stamp::FIRST, seq, &picture)?;
            seq += 1;
            let labels = picture::resize_labels(&s.labels, picture.width(), picture.height())?;
            picture::write_labels(&args.out.join(format!("{name}_labels.png")), &labels)?;
            picture::write(&args.out.join(format!("{name}_overlay.png")), &overlay::draw(&picture, &s)?)?;
            let seen = Segmented::new(name, &s);
            if args.json {
                all.push(seen);
                return Ok(());
            }
            let shares: Vec<_> = seen.share.iter().map(|(k, v)| format!("{k} {:.0}%", v * 100.0)).collect();
            let verdict = if seen.quality.reason.is_empty() { "good" } else { &seen.quality.reason };
            writeln!(out, "{name}: {verdict}; {}", shares.join(", ")).map_err(PerceptionError::io("standard output"))
        })?;
    }
    if args.json {
        let text = serde_json::to_string(&all).map_err(std::io::Error::from);
        text.and_then(|t| writeln!(out, "{t}")).map_err(print)?;
    }
    Ok(())
}

/// What `proctor eval segmentation --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Over all pixels of the set.
    #[serde(flatten)]
    pub total: Scores,
    /// Per picture.
    pub images: Vec<ImageReport>,
    /// Which model.
    pub model: ModelReport,
}

/// Scores of one picture.
#[derive(Debug, Clone, Serialize)]
pub struct ImageReport {
    /// File name of the picture.
    pub image: String,
    /// File name of its mask.
    pub mask: String,
    /// Its scores.
    #[serde(flatten)]
    pub scores: Scores,
}

/// Which model was scored.
#[derive(Debug, Clone, Serialize)]
pub struct ModelReport {
    /// Name in the manifest.
    pub name: String,
    /// SHA-256 of the model file.
    pub sha256: String,
}

/// Scores a model against masks.
pub fn evaluate(args: &EvalArgs) -> Result<Report, PerceptionError> {
    let map = EvalMap::read(&args.map)?;
    let pairs = eval::pairs(&args.images, &args.masks, &args.mask_suffix)?;
    let mut perception = load(&args.model)?;
    let mut total = Tally::new(&map);
    let mut images = Vec::with_capacity(pairs.len());
    let name = |p: &Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for pair in &pairs {
        let picture = picture::read(&pair.image)?;
        let truth = eval::read_mask(&pair.mask, (picture.width(), picture.height()), &map)?;
        let answer = perception.segment(Stamp::FIRST, Stamp::FIRST, 0, &picture)?;
        let tally = eval::score_one(&map, &answer.labels, &truth)?;
        total.merge(&tally);
        images.push(ImageReport { image: name(&pair.image), mask: name(&pair.mask), scores: tally.scores(&map) });
    }
    let model = perception.model();
    let model = ModelReport { name: model.manifest().name.clone(), sha256: model.digest().to_string() };
    Ok(Report { total: total.scores(&map), images, model })
}

/// Runs `proctor eval segmentation`, printing to `out`.
pub fn eval_segmentation(args: &EvalArgs, out: &mut dyn Write) -> Result<(), PerceptionError> {
    let report = evaluate(args)?;
    let text = if args.json {
        serde_json::to_string(&report).map_err(std::io::Error::from)
    } else {
        let rows: Vec<_> = report
            .total
            .classes
            .iter()
            .map(|(name, s)| format!("{name:24} {:6.4} {:6.4} {:12}", s.iou, s.dice, s.mask_pixels))
            .collect();
        let head = format!("{:24} {:>6} {:>6} {:>12}", "class", "IoU", "Dice", "mask pixels");
        Ok(format!(
            "{head}\n{}\nmean IoU {:.4} over {} pictures",
            rows.join("\n"),
            report.total.mean_iou,
            report.images.len()
        ))
    };
    text.and_then(|t| writeln!(out, "{t}")).map_err(PerceptionError::io("standard output"))
}

fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// Six decimals are more than a pixel count supports; more would only bloat the report.
pub(crate) fn json_number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(round(*value))
}
