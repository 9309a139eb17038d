//! `proctor dataset generate`: labelled stereo pictures of the simulator, with everything that is true about them, in a folder.
//!
//! A frame is a function of the recipe and its index: threads, stops and resumptions do not change a byte. What lies where is in
//! `card.rs`, which is also the README of every data set.

mod card;
mod coco;
mod store;
mod truth;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use proctor_kinematics::Cell;
use proctor_sim::{
    dataset::{DatasetConfig, Sample, Sampler},
    render::Want,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::{BufWriter, IsTerminal as _, Write},
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};
use store::{Frame, Store};
use truth::{Recipe, Truth};

/// Most frames of a data set: further ones would share anatomies with the next seed.
const MOST_FRAMES: u64 = 1_000_000;

/// What to do with data sets.
#[derive(Debug, Subcommand)]
pub enum Dataset {
    /// Draw labelled stereo pictures of the simulator.
    #[command(after_help = HELP)]
    Generate(GenerateArgs),
}

const HELP: &str = "\
Example: proctor dataset generate --frames 300 --seed 7 --out data/seven

The same command on a folder that it did not finish goes on there; the result has the same bytes as one that was never stopped. A
frame at full size takes about 1.5 MB. The folder's README.md, written last, says what is in it.";

/// Arguments of `proctor dataset generate`.
#[derive(Debug, Clone, Args)]
pub struct GenerateArgs {
    /// How many frames.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_FRAMES))]
    pub frames: u64,
    /// Data sets of different seeds show no patient in common.
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=1_000_000_000_000))]
    pub seed: u64,
    /// Folder, which must be missing, empty, or an unfinished data set of the same command.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Divide width and height, 640x480, by this.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub shrink: u16,
    /// No right pictures, which takes half the time.
    #[arg(long)]
    pub mono: bool,
    /// Threads; by default one per processor.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
}

/// Told after every frame how many of how many are complete; may stop the run.
pub type Watch<'a> = &'a (dyn Fn(u64, u64) -> ControlFlow<()> + Sync);

/// Runs a command, with progress on standard error, and says to `out` what was made.
pub fn run(what: &Dataset, out: &mut dyn Write) -> anyhow::Result<()> {
    let Dataset::Generate(args) = what;
    let terminal = std::io::stderr().is_terminal();
    let begun = Instant::now();
    let told = Mutex::new(None);
    let watch = |done: u64, all: u64| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        // Frames of an earlier run are looked through much faster than new ones are made; the estimate errs at its beginning.
        let (from, last) = *told.get_or_insert((done - 1, 0));
        let percent = done * 100 / all;
        if percent >= last + if terminal { 1 } else { 5 } || done == all {
            *told = Some((from, percent));
            let left = (all - done) as f64 * begun.elapsed().as_secs_f64() / (done - from) as f64;
            let (start, end) = if terminal { ("\r", if done == all { "\n" } else { "  " }) } else { ("", "\n") };
            eprint!("{start}{done} of {all} frames, {:.1} min left{end}", left / 60.0);
        }
        ControlFlow::Continue(())
    };
    let folder = args.out.display();
    if generate(args, &watch)? {
        writeln!(out, "{} frames in {folder}; see {folder}/README.md", args.frames)?;
    }
    Ok(())
}

/// Makes the frames that are missing and, when all are there, `coco.json` and `README.md`. `false` if `watch` stopped it.
pub fn generate(args: &GenerateArgs, watch: Watch) -> anyhow::Result<bool> {
    let config = DatasetConfig::default();
    let recipe = recipe(args, &config)?;
    let right = if args.mono { &[][..] } else { &["right"] };
    let store =
        Store::open(&args.out, &recipe, &[&["images", "labels", "instances", "depth", "truth"], right].concat())?;
    let crew = Crew {
        args,
        config,
        recipe: &recipe,
        store: &store,
        watch,
        next: AtomicU64::new(0),
        done: Mutex::new(0),
        stop: AtomicBool::new(false),
    };
    let threads = args
        .threads
        .map_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get), usize::from);
    let ends: Vec<anyhow::Result<()>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| crew.work())).collect();
        let join = |w: std::thread::ScopedJoinHandle<_>| w.join().unwrap_or_else(|_| bail!("a thread panicked"));
        workers.into_iter().map(join).collect()
    });
    let done = *crew.done.lock().unwrap_or_else(PoisonError::into_inner);
    let hint =
        || format!("stopped with {done} of {} frames complete; the same command goes on from there", args.frames);
    ends.into_iter().collect::<anyhow::Result<()>>().with_context(hint)?;
    if crew.stop.into_inner() {
        return Ok(false);
    }
    finish(&store, &recipe, args).with_context(hint)?;
    Ok(true)
}

fn recipe(args: &GenerateArgs, config: &DatasetConfig) -> anyhow::Result<Recipe> {
    let rig = Cell::standard()?.rig();
    let shrink = usize::from(args.shrink);
    if !rig.left.width.is_multiple_of(shrink) || !rig.left.height.is_multiple_of(shrink) {
        bail!("{}x{} cannot be divided by {shrink}", rig.left.width, rig.left.height);
    }
    Ok(Recipe {
        format: 2,
        proctor: env!("CARGO_PKG_VERSION"),
        frames: args.frames,
        seed: args.seed,
        first_sample_seed: args.seed * MOST_FRAMES * config.pictures_per_scene,
        frames_per_anatomy: config.pictures_per_scene,
        nominal_share: config.nominal_share,
        stereo: !args.mono,
        cameras: Sample::shrunk_rig(&rig, shrink),
        depth_unit_m: truth::DEPTH_UNIT,
        labels: truth::labels(),
    })
}

/// What the threads share.
struct Crew<'a> {
    args: &'a GenerateArgs,
    config: DatasetConfig,
    recipe: &'a Recipe,
    store: &'a Store,
    watch: Watch<'a>,
    next: AtomicU64,
    done: Mutex<u64>,
    stop: AtomicBool,
}

impl Crew<'_> {
    fn work(&self) -> anyhow::Result<()> {
        let result = self.frames();
        if result.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Takes whole anatomies, so that none is built twice, until there are none left or somebody stops.
    fn frames(&self) -> anyhow::Result<()> {
        let mut sampler = Sampler::new(&self.config)?;
        let chunk = self.config.pictures_per_scene;
        loop {
            let from = self.next.fetch_add(chunk, Ordering::Relaxed);
            if from >= self.args.frames {
                return Ok(());
            }
            for index in from..(from + chunk).min(self.args.frames) {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                if self.store.complete(index).is_none() {
                    self.store.put(self.frame(&mut sampler, index)?)?;
                }
                let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
                *done += 1;
                if (self.watch)(*done, self.args.frames).is_break() {
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn frame(&self, sampler: &mut Sampler, index: u64) -> anyhow::Result<Frame> {
        let seed = self.recipe.first_sample_seed + index;
        let want = if self.args.mono { Want::LeftOnly } else { Want::Rectified };
        let sample = sampler.sample(seed, want)?.shrunk(self.args.shrink.into())?;
        let truth = Truth::new(index, seed, sampler.anatomy(seed), &sample)?;
        let size = (sample.left.width() as u32, sample.left.height() as u32);
        let grey = |data: &[u8]| png(size, png::ColorType::Grayscale, png::BitDepth::Eight, data);
        let rgb = |data: &[[u8; 3]]| png(size, png::ColorType::Rgb, png::BitDepth::Eight, data.as_flattened());
        let steps: Vec<u8> = sample.depth.pixels().iter().flat_map(|d| depth_step(*d).to_be_bytes()).collect();
        let mut files = BTreeMap::from([
            (name("images", index), rgb(sample.left.pixels())?),
            (name("labels", index), grey(sample.labels.pixels())?),
            (name("instances", index), grey(sample.instances.pixels())?),
            (name("depth", index), png(size, png::ColorType::Grayscale, png::BitDepth::Sixteen, &steps)?),
        ]);
        if !self.args.mono {
            files.insert(name("right", index), rgb(sample.right.pixels())?);
        }
        Ok(Frame { files, truth })
    }
}

fn name(folder: &str, index: u64) -> String {
    format!("{folder}/{index:06}.png")
}

/// Depth in steps of [`truth::DEPTH_UNIT`]; 0 for none, the largest value for what is 0.65535 m away or further.
fn depth_step(metres: f32) -> u16 {
    (f64::from(metres) / truth::DEPTH_UNIT).round().min(f64::from(u16::MAX)) as u16
}

fn png(size: (u32, u32), colour: png::ColorType, depth: png::BitDepth, data: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, size.0, size.1);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(data)?;
    writer.finish()?;
    Ok(out)
}

/// Writes what speaks of all frames, from their truths, one at a time.
fn finish(store: &Store, recipe: &Recipe, args: &GenerateArgs) -> anyhow::Result<()> {
    let (file, path) = store.start("coco.json")?;
    let mut coco = BufWriter::new(file);
    let mut card = card::Card::default();
    let camera = recipe.cameras.left;
    let about = json!({
        "description": format!("Proctor's simulator, seed {}, {} frames", recipe.seed, recipe.frames),
        "version": recipe.proctor,
    });
    write!(coco, "{{\"info\":{about},\"licenses\":[{{\"id\":1,\"name\":\"Apache-2.0\",\"url\":\"\"}}],\"images\":[")?;
    for index in 0..recipe.frames {
        let image = json!({
            "id": index, "file_name": name("images", index), "width": camera.width, "height": camera.height, "license": 1
        });
        write!(coco, "{}\n{image}", if index == 0 { "" } else { "," })?;
    }
    write!(coco, "],\"categories\":{},\"annotations\":[", serde_json::to_string(&coco::categories())?)?;
    let mut id = 0;
    for index in 0..recipe.frames {
        let truth = store.truth(index)?;
        for a in &truth.annotations {
            id += 1;
            let annotation = json!({
                "id": id, "image_id": index, "category_id": a.category_id, "instance": a.instance, "iscrowd": 0,
                "area": a.area, "bbox": a.bbox,
                "segmentation": { "size": [camera.height, camera.width], "counts": a.counts },
            });
            write!(coco, "{}\n{annotation}", if id == 1 { "" } else { "," })?;
        }
        card.count(&truth);
    }
    coco.write_all(b"]}\n").and_then(|()| coco.flush()).with_context(|| path.display().to_string())?;
    store::settle(&path)?;
    store::write_whole(&args.out.join("README.md"), card.text(recipe, args).as_bytes())
}
