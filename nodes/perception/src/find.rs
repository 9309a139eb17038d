//! `proctor find`: what models of any task find in pictures, as overlay pictures and lines or JSON. A shell.

use crate::{
    Device, Finder, Model, OrtConfig, PerceptionError,
    cli::{SourceArgs, onnxruntime},
    overlay, picture,
    segment::{for_each, sources},
};
use proctor_types::{Findings, Found, FoundBox, FoundPoint, Scored, Stamp};
use serde::Serialize;
use std::{io::Write, path::PathBuf};

/// `proctor find`: what models find in any pictures.
#[derive(Debug, Clone, clap::Args)]
pub struct FindArgs {
    /// The pictures.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Model folder (model.onnx and model.toml); may be given several times.
    #[arg(long = "model", value_name = "FOLDER", required = true)]
    pub models: Vec<PathBuf>,
    /// Folder for NAME_MODEL.png, the picture with what was found; made if missing.
    #[arg(long)]
    pub out: PathBuf,
    /// Print one JSON array instead of lines.
    #[arg(long)]
    pub json: bool,
    /// ONNX Runtime's shared library; else ORT_DYLIB_PATH, else the wheel in .venv.
    #[arg(long, value_name = "LIBRARY")]
    pub onnxruntime: Option<PathBuf>,
    /// Threads for inference.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// What runs the models.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    pub device: Device,
}

/// What `proctor find --json` says about one picture and model. Lists that the task does not fill are empty.
#[derive(Debug, Serialize)]
struct Line<'a> {
    name: &'a str,
    model: &'a str,
    task: &'static str,
    width: usize,
    height: usize,
    boxes: &'a [FoundBox],
    points: &'a [FoundPoint],
    scores: &'a [Scored],
}

impl<'a> Line<'a> {
    fn new(name: &'a str, f: &'a Findings) -> Self {
        let (boxes, points, scores): (&[_], &[_], &[_]) = match &f.found {
            Found::Regions { classes, .. } => (&[], &[], classes),
            Found::Boxes(boxes) => (boxes, &[], &[]),
            Found::Points { boxes, points } => (boxes, points, &[]),
            Found::Scores(scores) => (&[], &[], scores),
        };
        let (model, task) = (f.name.as_str(), f.found.task());
        Self { name, model, task, width: f.width, height: f.height, boxes, points, scores }
    }

    fn words(&self) -> String {
        let percent = |label: &str, x: f32| format!("{label} {:.0}%", x * 100.0);
        let boxes = self.boxes.iter().map(|b| {
            let [left, top, right, bottom] = b.edges;
            format!("{} at ({left:.0}, {top:.0})-({right:.0}, {bottom:.0})", percent(&b.label, b.confidence))
        });
        let points =
            self.points.iter().map(|p| format!("{} at ({:.0}, {:.0})", percent(&p.label, p.confidence), p.u, p.v));
        let scores = self.scores.iter().filter(|s| s.score >= 0.005).map(|s| percent(&s.label, s.score));
        let all: Vec<_> = boxes.chain(points).chain(scores).collect();
        let found = if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
        format!("{}: {}: {found}", self.name, self.model)
    }
}

/// Runs `proctor find`, printing to `out`.
pub fn find(args: &FindArgs, out: &mut dyn Write) -> Result<(), PerceptionError> {
    let sources = sources(&args.source.inputs)?;
    let library_path = onnxruntime(args.onnxruntime.as_deref())?;
    let config = OrtConfig { library_path, threads: args.threads.into() };
    let mut finders = Vec::new();
    for folder in &args.models {
        finders.push(Finder::new(Model::load_on(folder, &config, args.device)?));
    }
    std::fs::create_dir_all(&args.out).map_err(PerceptionError::io(&args.out))?;
    let print = || PerceptionError::io("standard output");
    let mut first = true;
    for source in &sources {
        for_each(source, args.source.taking(), |name, picture| {
            for finder in &mut finders {
                let findings = finder.find(Stamp::FIRST, &picture)?;
                let file = args.out.join(format!("{name}_{}.png", findings.name));
                picture::write(&file, &overlay::draw_findings(&picture, &findings)?)?;
                let line = Line::new(name, &findings);
                if args.json {
                    let text = serde_json::to_string(&line).map_err(|e| print()(e.into()))?;
                    write!(out, "{}{text}", if first { "[" } else { ",\n" }).map_err(print())?;
                } else {
                    writeln!(out, "{}", line.words()).map_err(print())?;
                }
                first = false;
            }
            Ok(())
        })?;
    }
    if args.json { writeln!(out, "]").map_err(print()) } else { Ok(()) }
}
