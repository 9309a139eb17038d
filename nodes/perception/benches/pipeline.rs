//! What the pipeline costs on top of the bare ONNX Runtime call, measured in the same run, frame by frame in turns.
//!
//! Prints milliseconds and the ratio. The picture is synthetic but of the real size (640x480); the model is the shipped one.

use proctor_perception::{Model, OrtConfig, Perception, QualityParams, cli, picture, placement::Placement};
use proctor_types::{Image, Stamp};
use std::{
    path::Path,
    time::{Duration, Instant},
};

const ROUNDS: u32 = 200;

fn main() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/cholec-sim");
    let library_path = cli::onnxruntime(None).expect("ONNX Runtime is installed: `make setup`");
    // `cargo test --benches` only checks that it runs.
    let rounds = if std::env::args().any(|a| a == "--bench") { ROUNDS } else { 2 };
    println!(
        "threads | bare ONNX Runtime | whole pipeline | ratio of medians   (median / p99 ms, {rounds} rounds in turns)"
    );
    for threads in [1, 2] {
        let load = || {
            Model::load(&dir, &OrtConfig { library_path: library_path.clone(), threads }).expect("the shipped model")
        };
        let mut bare = load();
        let mut pipeline = Perception::new(load(), QualityParams::default()).expect("default parameters");
        let (mut alone, mut whole) = (Vec::new(), Vec::new());
        let mut input = Vec::new();
        for round in 0..rounds + 10 {
            let frame = scene(round);
            let contract = &bare.manifest().input.clone();
            let small = picture::resize(&frame, contract.width, contract.height).expect("a picture");
            picture::normalise(&small, contract, &Placement::new((640, 480), contract), &mut input);
            let a = timed(|| bare.infer(&input, |logits| logits[0]).expect("an answer"));
            let b = timed(|| pipeline.segment(Stamp::FIRST, Stamp::FIRST, 0, &frame).expect("an answer"));
            if round >= 10 {
                alone.push(a);
                whole.push(b);
            }
        }
        let (a, b) = (percentiles(&mut alone), percentiles(&mut whole));
        println!(
            "{threads:7} | {:8.2} / {:6.2} | {:6.2} / {:5.2} | {:.3}",
            a.0 * 1e3,
            a.1 * 1e3,
            b.0 * 1e3,
            b.1 * 1e3,
            b.0 / a.0
        );
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(run());
    start.elapsed()
}

/// Median and 99th percentile, seconds.
fn percentiles(times: &mut [Duration]) -> (f64, f64) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64();
    (at(0.5), at(0.99))
}

/// A reddish field with a grey diagonal bar that moves, so that no two pictures are equal.
fn scene(round: u32) -> picture::Rgb {
    let (w, h) = (640usize, 480usize);
    let pixel = |i: usize| {
        let (x, y) = (i % w, i / w);
        let texture = ((x * 7 + y * 13 + round as usize) % 31) as u8;
        if (x + round as usize).abs_diff(y + 80) < 25 { [120 + texture; 3] } else { [150 + texture, 60 + texture, 50] }
    };
    Image::new(w, h, (0..w * h).map(pixel).collect()).expect("the length fits")
}
