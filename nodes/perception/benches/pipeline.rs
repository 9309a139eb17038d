//! What the pipeline costs on top of the bare ONNX Runtime call, and how it compares with the straightforward Python pipeline
//! (`peer.py`: onnxruntime, cv2, numpy), measured in the same run, frame by frame in turns: same model, pictures and threads.
//!
//! The pipeline begins with the bytes of a ROS picture and ends with the bytes of a Segmentation. The bare call is the median of calls
//! with the same input just before. The pictures are the built-in simulator's, 640x480; the models are the shipped ones.
//!
//! With `--features cuda` or `tensorrt` the same on an NVIDIA card, where ONNX Runtime finds one (ORT_DYLIB_PATH names a library that can).

use proctor_msgs::{
    Origin, Wire,
    cdr::{self, Payload},
};
use proctor_perception::{
    Device, Model, OrtConfig, Perception, QualityParams, cli, decode::regions, head::Planes, keypoints, picture,
    placement::Placement, quality::Measures,
};
use proctor_sim::{
    SimConfig, Simulator,
    render::{Appearance, ImageFaults, Renderer, View, Want},
};
use proctor_types::{CameraImage, CameraSide, Class, Image, Stamp};
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// The shipped models.
const MODELS: [&str; 2] = ["cholec-sim", "cholec-sim-640"];
const ROUNDS: usize = 200;
/// Rounds before the first that counts.
const WARM: usize = 10;
const SIZE: (usize, usize) = (640, 480);
/// Different pictures; no two in a row are equal.
const PICTURES: usize = 16;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let library_path = cli::onnxruntime(None).expect("ONNX Runtime is installed: `make setup`");
    // `cargo test --benches` only checks that it runs.
    let rounds = if std::env::args().any(|a| a == "--bench") { ROUNDS } else { 2 };
    let pictures = scenes();
    println!("median / p99 ms over {rounds} rounds, in turns");
    println!(
        "model, on                  | bare ONNX Runtime | whole pipeline  | pipeline / bare | Python pipeline | Python / pipeline"
    );
    let mut runs = vec![(Device::Cpu, 1), (Device::Cpu, 2)];
    runs.extend(cfg!(feature = "cuda").then_some((Device::Cuda, 1)));
    runs.extend(cfg!(feature = "tensorrt").then_some((Device::Tensorrt, 1)));
    for (name, (device, threads)) in MODELS.iter().flat_map(|name| runs.iter().map(move |run| (name, *run))) {
        let folder = root.join("models").join(name);
        let config = OrtConfig { library_path: library_path.clone(), threads };
        let model = Model::load_on(&folder, &config, device).expect("the shipped model");
        if model.device() != device {
            println!("{name}, {device} | not available here");
            continue;
        }
        let mut bench = Bench::new(model);
        let mut peer = if device == Device::Cpu { Peer::start(&root, &folder, &pictures, threads) } else { None };
        for round in 0..rounds + WARM {
            let index = round % PICTURES;
            bench.round(&pictures[index]);
            if let Some(peer) = &mut peer {
                peer.round(index);
            }
        }
        if threads == 1 {
            steps(&mut bench, &pictures);
        }
        report(&format!("{name}, {device}, {threads} thr"), bench, peer);
    }
}

/// Where the pipeline's own time goes: the median of each step alone, milliseconds.
fn steps(bench: &mut Bench, pictures: &[picture::Rgb]) {
    const NAMES: [&str; 7] = ["decode", "resize", "normalise", "quality", "arg-max", "key points", "encode"];
    let mut times: [Vec<Duration>; 7] = Default::default();
    let contract = bench.model.manifest().input.clone();
    let placement = Placement::new(SIZE, &contract);
    for full in pictures.iter().cycle().take(WARM + 3 * PICTURES) {
        let bytes = picture_bytes(full);
        let mut take = |step: usize, from: Instant| times[step].push(from.elapsed());
        let t = Instant::now();
        let seen = decoded(&bench.layout, &bytes);
        take(0, t);
        let t = Instant::now();
        let small = picture::resize(&seen.image, contract.width, contract.height).expect("a picture");
        take(1, t);
        let t = Instant::now();
        picture::normalise(&small, &contract, &placement, &mut bench.input);
        take(2, t);
        let t = Instant::now();
        std::hint::black_box(Measures::of(&small).expect("a picture"));
        take(3, t);
        let answer = bench.model.run(&bench.input, |tensor| {
            let t = Instant::now();
            (regions::decode(Planes::Logits, Class::COUNT, 1.0, &tensor).expect("an answer"), t.elapsed())
        });
        let (seen_regions, time) = answer.expect("an answer");
        times[4].push(time);
        let mut take = |step: usize, from: Instant| times[step].push(from.elapsed());
        let (size, scale) = (seen_regions.size, SIZE.0 as f64 / seen_regions.size.0 as f64);
        let labels = Image::new(size.0, size.1, seen_regions.posterior.labels).expect("the length fits");
        let t = Instant::now();
        std::hint::black_box(keypoints::find(&labels, &seen_regions.posterior.top, (scale, scale)));
        take(5, t);
        let whole = bench.pipeline.segment(Stamp::FIRST, Stamp::FIRST, 0, full).expect("an answer");
        let t = Instant::now();
        std::hint::black_box(cdr::to_cdr(&whole.encode()));
        take(6, t);
    }
    let shown: Vec<_> = NAMES.iter().zip(times).map(|(n, t)| format!("{n} {:.2}", percentiles(t).0 * 1e3)).collect();
    println!("steps alone, median ms: {}", shown.join(", "));
}

fn picture_bytes(full: &picture::Rgb) -> Payload {
    cdr::to_cdr(&CameraImage { stamp: Stamp::FIRST, side: CameraSide::Left, image: full.clone() }.encode()).into()
}

fn decoded(layout: &cdr::Layout, bytes: &Payload) -> CameraImage {
    let message = cdr::from_payload(layout, bytes).expect("a picture message");
    CameraImage::decode(&message, Origin::NONE).expect("a picture")
}

fn report(on: &str, bench: Bench, peer: Option<Peer>) {
    let shown = |(median, p99): (f64, f64)| format!("{:7.2} / {:5.2}", median * 1e3, p99 * 1e3);
    let (bare, whole) = (percentiles(bench.bare), percentiles(bench.whole));
    let python = peer.map(|mut p| percentiles(std::mem::take(&mut p.times)));
    println!(
        "{on:26} | {:17} | {:15} | {:15.3} | {:15} | {}",
        shown(bare),
        shown(whole),
        whole.0 / bare.0,
        python.map_or("not measured".into(), shown),
        python.map_or("-".into(), |p| format!("{:.2}", p.0 / whole.0)),
    );
}

struct Bench {
    model: Model,
    pipeline: Perception,
    layout: cdr::Layout,
    input: Vec<f32>,
    bare: Vec<Duration>,
    whole: Vec<Duration>,
}

impl Bench {
    fn new(model: Model) -> Self {
        Self {
            pipeline: Perception::new(model.clone(), QualityParams::default()).expect("default parameters"),
            model,
            layout: cdr::Layout::of::<<CameraImage as Wire>::Msg>(),
            input: Vec::new(),
            bare: Vec::new(),
            whole: Vec::new(),
        }
    }

    /// The bare call and the pipeline on one picture, in turns.
    fn round(&mut self, full: &picture::Rgb) {
        let contract = &self.model.manifest().input;
        let small = picture::resize(full, contract.width, contract.height).expect("a picture");
        picture::normalise(&small, contract, &Placement::new(SIZE, contract), &mut self.input);
        let bytes = picture_bytes(full);
        self.bare.push(timed(|| self.model.run(&self.input, |t| t.floats()[0]).expect("an answer")));
        self.whole.push(timed(|| {
            let seen = decoded(&self.layout, &bytes);
            let answer = self.pipeline.segment(Stamp::FIRST, seen.stamp, 0, &seen.image).expect("an answer");
            cdr::to_cdr(&answer.encode())
        }));
    }
}

/// The Python pipeline, waiting for numbers of pictures.
struct Peer {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    times: Vec<Duration>,
    _folder: tempfile::TempDir,
}

impl Peer {
    /// `None` where the virtual environment lacks what it needs.
    fn start(root: &Path, model: &Path, pictures: &[picture::Rgb], threads: usize) -> Option<Self> {
        let python: PathBuf = root.join(".venv/bin/python");
        let has = Command::new(&python).args(["-c", "import cv2, onnxruntime"]).stderr(Stdio::null()).status();
        if !has.is_ok_and(|s| s.success()) {
            return None;
        }
        let folder = tempfile::tempdir().ok()?;
        let frames = folder.path().join("frames");
        let bytes: Vec<u8> = pictures.iter().flat_map(|p| p.pixels().as_flattened()).copied().collect();
        std::fs::write(&frames, bytes).ok()?;
        let mut child = Command::new(python)
            .arg(root.join("nodes/perception/benches/peer.py"))
            .args([model, &frames])
            .args([SIZE.0, SIZE.1, threads].map(|n| n.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let (ask, answers) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        Some(Self { child, ask, answers, times: Vec::new(), _folder: folder })
    }

    fn round(&mut self, picture: usize) {
        writeln!(self.ask, "{picture}").expect("the Python pipeline runs");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the Python pipeline answers");
        self.times.push(Duration::from_secs_f64(line.trim().parse().expect("seconds")));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(run());
    start.elapsed()
}

/// Median and 99th percentile of what came after the warm-up, seconds.
fn percentiles(times: Vec<Duration>) -> (f64, f64) {
    let mut times: Vec<_> = times.into_iter().skip(WARM).collect();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64();
    (at(0.5), at(0.99))
}

/// What the endoscope of the simulated cell sees, its camera's noise another in every picture.
fn scenes() -> Vec<picture::Rgb> {
    let sim = Simulator::new(SimConfig::default()).expect("the standard cell");
    let mut renderer = Renderer::new(sim.cell().rig(), 1).expect("the standard camera");
    let (instruments, appearance) = (sim.instrument_poses(), Appearance::nominal());
    let scene = |seq| {
        let view = View {
            stamp: sim.now(),
            seq,
            world_from_camera: sim.world_from_camera_true(),
            instruments: &instruments,
            tissue: sim.tissue(),
            appearance: &appearance,
            faults: &ImageFaults::default(),
        };
        renderer.render(&view, Want::Rectified).frame(sim.now(), seq, sim.cell().rig()).left.clone()
    };
    (1..=PICTURES as u64).map(scene).collect()
}
