//! Writes labelled pictures for training.
//!
//! ```text
//! cargo run --release -p proctor-sim --example generate_dataset -- \
//!     --frames 6000 --seed 1 --out DIR [--width 320 --height 240] [--threads 1]
//! ```
//! writes `DIR/images/NNNNNN.png` (RGB) and `DIR/labels/NNNNNN.png` (8-bit grey, the value is `proctor_types::Class::id`), N counting
//! from 0. Frame i has the sample seed `seed * 1000000 + i`, so different `--seed`s never share an anatomy (up to a million frames).
//! The same arguments write the same files, whatever the number of threads. 640x480 pictures are rendered and shrunk by a whole factor.

use proctor_sim::dataset::{DatasetConfig, Sampler, shrink};
use std::{
    error::Error,
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

struct Arguments {
    frames: u64,
    seed: u64,
    out: PathBuf,
    factor: usize,
    threads: usize,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut a = Arguments { frames: 100, seed: 1, out: PathBuf::new(), factor: 2, threads: 1 };
    let (mut width, mut height) = (320usize, 240usize);
    let mut rest = std::env::args().skip(1);
    while let Some(key) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{key} needs a value"))?;
        match key.as_str() {
            "--frames" => a.frames = value.parse()?,
            "--seed" => a.seed = value.parse()?,
            "--out" => a.out = value.into(),
            "--width" => width = value.parse()?,
            "--height" => height = value.parse()?,
            "--threads" => a.threads = value.parse()?,
            _ => return Err(format!("unknown argument {key}").into()),
        }
    }
    if a.out.as_os_str().is_empty() {
        return Err("--out DIR is required".into());
    }
    a.factor = 640 / width.max(1);
    if a.factor == 0 || a.factor * width != 640 || a.factor * height != 480 {
        return Err(format!("{width}x{height} is not 640x480 over a whole number").into());
    }
    Ok(a)
}

fn write(path: &Path, width: usize, height: usize, colour: png::ColorType, data: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(data)?;
    Ok(())
}

fn work(a: &Arguments, next: &AtomicU64) -> Result<(), Box<dyn Error>> {
    let config = DatasetConfig::default();
    let mut sampler = Sampler::new(&config)?;
    // Threads take whole anatomies, so that none is built twice.
    let chunk = config.pictures_per_scene;
    loop {
        let from = next.fetch_add(chunk, Ordering::Relaxed);
        if from >= a.frames {
            return Ok(());
        }
        for i in from..(from + chunk).min(a.frames) {
            let sample = sampler.sample(a.seed * 1_000_000 * chunk + i)?;
            let (left, labels) = shrink(&sample.left, &sample.labels, a.factor)?;
            let (w, h) = (left.width(), left.height());
            let rgb: Vec<u8> = left.pixels().iter().flatten().copied().collect();
            write(&a.out.join(format!("images/{i:06}.png")), w, h, png::ColorType::Rgb, &rgb)?;
            write(&a.out.join(format!("labels/{i:06}.png")), w, h, png::ColorType::Grayscale, labels.pixels())?;
            if i % 500 == 0 {
                eprintln!("{i}/{}", a.frames);
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let a = arguments()?;
    std::fs::create_dir_all(a.out.join("images"))?;
    std::fs::create_dir_all(a.out.join("labels"))?;
    let next = AtomicU64::new(0);
    let failures: Vec<String> = std::thread::scope(|s| {
        let threads: Vec<_> =
            (0..a.threads.max(1)).map(|_| s.spawn(|| work(&a, &next).map_err(|e| e.to_string()))).collect();
        threads.into_iter().filter_map(|t| t.join().unwrap_or_else(|_| Err("a thread panicked".into())).err()).collect()
    });
    failures.into_iter().next().map_or(Ok(()), |e| Err(e.into()))
}
