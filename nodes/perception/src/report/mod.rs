//! `proctor model report`: what a segmentation model is worth on labelled pictures, as one HTML file with its pictures in it.
//!
//! After the topics of AAPM Task Group Report 273 (best practices for AI in computer-aided diagnosis): performance with its uncertainty,
//! calibration, robustness by subgroup, failures, and what answers rest on. The same model, data and arguments give the same file.
//! Pictures are read one at a time; what is kept of each is a few hundred kilobytes.

mod bootstrap;
mod boundary;
mod calibration;
mod data;
mod figures;
mod html;
mod measure;
mod saliency;
mod summary;

use crate::{
    PerceptionError,
    cli::{ModelArgs, load_model},
    eval::{self, EvalMap},
    picture::{self, Rgb},
};
use bootstrap::Bootstrap;
use data::Item;
use html::{Page, Shown};
use measure::{Engine, Measures, measure};
use proctor_types::{Class, Image};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write},
    path::PathBuf,
};
use summary::{Summary, mean_iou_of_shown};

/// Pictures in the gallery of failures.
const GALLERY: usize = 8;
/// Losses of probability below this are drawn as faint as they are, not as the most there is.
const FAINT: f64 = 0.05;
/// Size of pictures in the file.
const SHOWN: (usize, usize) = (320, 240);

/// `proctor model report`.
#[derive(Debug, Clone, clap::Args)]
pub struct ReportArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Folder of `proctor dataset generate`, or any with images/ and labels/ (or masks/).
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The HTML file, replaced if it exists.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub out: PathBuf,
    /// Which mask value and which model class is which class of the comparison, as for `proctor eval`; by default those of
    /// `proctor dataset generate`.
    #[arg(long, value_name = "TOML")]
    pub map: Option<PathBuf>,
    /// Picture (its name without extension) for the saliency maps; by default the worst.
    #[arg(long, value_name = "NAME")]
    pub frame: Option<String>,
    /// Drawings of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    pub bootstrap: u32,
    /// Seed of the bootstrap and of the split that the temperature is fitted on.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Writes the report and says to `out` what stands at its top.
pub fn run(args: &ReportArgs, out: &mut dyn Write) -> Result<(), PerceptionError> {
    let map = args.map.as_deref().map_or_else(data::own_map, EvalMap::read)?;
    let items = data::items(&args.data)?;
    let chosen = args.frame.as_ref().map(|name| find(args, &items, name)).transpose()?;
    let mut engine = Engine::new(load_model(&args.model)?)?;
    let mut measures = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let (picture, truth) = read(item, &map)?;
        let mut m = measure(&mut engine, &map, &picture, &truth)?;
        // Megabytes a picture: the gallery measures its few again.
        m.answer = Vec::new();
        measures.push(m);
        progress(i + 1, items.len());
    }
    let order = worst_first(&measures);
    let summary = Summary::new(&summary::Input {
        map: &map,
        measures: &measures,
        groups: &items.iter().map(|i| &i.groups).collect::<Vec<_>>(),
        fitted_on: &half(items.len(), args.seed),
        temperature: f64::from(engine.model().manifest().temperature),
        replicates: args.bootstrap as usize,
        seed: args.seed,
    });
    let colours = colours(&map);
    let gallery = order
        .iter()
        .take(GALLERY)
        .map(|i| shown(&mut engine, &map, &items[*i], &measures[*i], &colours))
        .collect::<Result<_, _>>()?;
    let looked_at = chosen.unwrap_or(order[0]);
    let saliency = saliency_maps(&mut engine, &map, &items[looked_at])?;
    let page = Page {
        manifest: engine.model().manifest(),
        data: args.data.display().to_string(),
        pictures: items.len(),
        classes: map.classes(),
        colours: &colours,
        summary: &summary,
        gallery,
        saliency_of: &items[looked_at].name,
        saliency,
        replicates: args.bootstrap,
        seed: args.seed,
    };
    std::fs::write(&args.out, page.text()).map_err(PerceptionError::io(&args.out))?;
    summary.say(out, &args.out).map_err(PerceptionError::io("standard output"))
}

fn find(args: &ReportArgs, items: &[Item], name: &str) -> Result<usize, PerceptionError> {
    let missing =
        || PerceptionError::value(&args.data, "--frame", "the name of a picture there, without extension", name);
    items.iter().position(|i| i.name == *name).ok_or_else(missing)
}

fn read(item: &Item, map: &EvalMap) -> Result<(Rgb, eval::Truth), PerceptionError> {
    let picture = picture::read(&item.pair.image)?;
    let truth = eval::read_mask(&item.pair.mask, (picture.width(), picture.height()), map)?;
    Ok((picture, truth))
}

fn progress(done: usize, all: usize) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{done} of {all} pictures{}", if done == all { "\n" } else { "" });
    } else if done.is_multiple_of(50) || done == all {
        eprintln!("{done} of {all} pictures");
    }
}

/// Pictures by their mean IoU over the classes that their masks show, the worst first.
fn worst_first(measures: &[Measures]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..measures.len()).collect();
    order.sort_by(|a, b| {
        let of = |i: usize| mean_iou_of_shown(measures[i].tally.counts());
        of(*a).total_cmp(&of(*b)).then(a.cmp(b))
    });
    order
}

/// Whether each picture belongs to the half that the temperature is fitted on; of an odd number, the larger half is judged.
fn half(pictures: usize, seed: u64) -> Vec<bool> {
    let mut fitted: Vec<bool> = (0..pictures).map(|i| i < pictures / 2).collect();
    fitted.shuffle(&mut ChaCha8Rng::seed_from_u64(seed ^ 0x5_9117));
    fitted
}

/// A colour for each class of the comparison: that of the first class of the model in it.
fn colours(map: &EvalMap) -> Vec<[u8; 3]> {
    let of = |k: usize| Class::ALL.into_iter().find(|c| map.class_of()[usize::from(c.id())] == k);
    (0..map.classes().len()).map(|k| of(k).map_or([128; 3], Class::colour)).collect()
}

/// A picture of the gallery.
fn shown(
    engine: &mut Engine,
    map: &EvalMap,
    item: &Item,
    measured: &Measures,
    colours: &[[u8; 3]],
) -> Result<Shown, PerceptionError> {
    let (full, truth) = read(item, map)?;
    let answer = measure(engine, map, &full, &truth)?.answer;
    let small = picture::resize(&full, SHOWN.0, SHOWN.1)?;
    let shrink = |classes: &[Option<usize>]| -> Result<Vec<Option<usize>>, PerceptionError> {
        // Through labels, where 255 is ignored; there are at most ten classes.
        let labels = classes.iter().map(|k| k.map_or(u8::MAX, |k| k as u8)).collect();
        let labels = Image::new(full.width(), full.height(), labels)?;
        let small = picture::resize_labels(&labels, SHOWN.0, SHOWN.1)?;
        Ok(small.pixels().iter().map(|l| (*l != u8::MAX).then_some(usize::from(*l))).collect())
    };
    let tint = |classes: &[Option<usize>]| figures::data_uri(&figures::tinted(&small, &shrink(classes)?, colours)?);
    let mut worst: Vec<_> = map
        .classes()
        .iter()
        .zip(measured.tally.counts())
        .filter(|(_, c)| c.mask > 0)
        .map(|(n, c)| (c.iou(), n))
        .collect();
    worst.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(Shown {
        name: item.name.clone(),
        mean_iou: mean_iou_of_shown(measured.tally.counts()),
        worst: worst.into_iter().take(3).map(|(iou, name)| (name.clone(), iou)).collect(),
        groups: item.groups.clone(),
        picture: figures::data_uri(&small)?,
        truth: tint(truth.pixels())?,
        answer: tint(&answer)?,
    })
}

/// A heat map for each class that the model sees in a picture, with the largest loss in it.
fn saliency_maps(
    engine: &mut Engine,
    map: &EvalMap,
    item: &Item,
) -> Result<Vec<(String, f64, String)>, PerceptionError> {
    let picture = picture::read(&item.pair.image)?;
    let small = picture::resize(&picture, SHOWN.0, SHOWN.1)?;
    let (size, run) = engine.look(&picture)?;
    let found = saliency::occlude(size, map.class_of(), run)?;
    let mut maps = Vec::new();
    for (name, loss) in map.classes().iter().zip(&found.loss).filter(|(_, loss)| !loss.is_empty()) {
        let most = loss.iter().copied().fold(0.0, f64::max);
        let heated = figures::heated(&small, &found, loss, most.max(FAINT))?;
        maps.push((name.clone(), most, figures::data_uri(&heated)?));
    }
    Ok(maps)
}

/// Frames by what is grouped by and group.
type Groups = BTreeMap<String, BTreeMap<String, Vec<usize>>>;

fn by_group(groups: &[&BTreeMap<String, String>]) -> Groups {
    let mut out = Groups::new();
    for (i, of) in groups.iter().enumerate() {
        for (key, group) in *of {
            out.entry(key.clone()).or_default().entry(group.clone()).or_default().push(i);
        }
    }
    out
}
