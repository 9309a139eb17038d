//! What the integration tests share: the tiny models (made by training/proctor_train/tiny_models.py) and pictures for them.
#![allow(dead_code, reason = "each test file uses its own part")]

use proctor_perception::{Model, OrtConfig, Perception, PerceptionError, QualityParams, cli, picture::Rgb};
use proctor_types::{Class, Image};
use std::path::PathBuf;

/// The tiny models' input size.
pub const W: usize = 32;
pub const H: usize = 24;

/// The colour each class answers to in the tiny models.
pub const COLOURS: [[u8; 3]; Class::COUNT] = [
    [0, 0, 0],
    [255, 0, 255],
    [255, 0, 0],
    [0, 255, 0],
    [255, 255, 0],
    [255, 0, 128],
    [255, 128, 0],
    [0, 0, 255],
    [0, 255, 255],
    [255, 255, 255],
];

pub fn folder(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "models", name].iter().collect()
}

pub fn config() -> OrtConfig {
    OrtConfig { library_path: cli::onnxruntime(None).expect("ONNX Runtime is installed: `make setup`"), threads: 1 }
}

pub fn load(name: &str) -> Result<Model, PerceptionError> {
    Model::load(&folder(name), &config())
}

pub fn perception() -> Perception {
    Perception::new(load("colours").unwrap(), QualityParams::default()).unwrap()
}

/// A picture of `scale` times the network's size that shows `class(x, y)` at each network pixel.
pub fn paint(scale: usize, class: impl Fn(usize, usize) -> Class) -> Rgb {
    let (w, h) = (W * scale, H * scale);
    let pixel = |i: usize| COLOURS[usize::from(class(i % w / scale, i / w / scale).id())];
    Image::new(w, h, (0..w * h).map(pixel).collect()).unwrap()
}
