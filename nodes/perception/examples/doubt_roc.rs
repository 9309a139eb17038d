//! How well perception notices that a picture is no evidence: receiver operating characteristics of every measure on the simulator's
//! faults, over as many patients, looks and exposures as asked for (default 60), from a first one on (default 0).
//!
//! `cargo run --release --example doubt_roc [PATIENTS [FIRST]]`

use proctor_perception::{
    Model, OrtConfig, Perception, QualityParams, cli,
    picture::Rgb,
    quality::{Measures, doubt},
};
use proctor_sim::{
    SimConfig, Simulator,
    render::{Appearance, ImageFaults, Renderer, View, Want},
    scene::{SceneConfig, Tissue},
};
use proctor_types::{QualityVerdict, Stamp};
use std::path::Path;

/// What is done to a healthy picture.
type Harm = fn(&mut Appearance, &mut ImageFaults);

/// Faults, each with the measure that is there to find it.
const HARMS: [(&str, usize, Harm); 12] = [
    ("light off", BRIGHTNESS, |_, f| f.blackout = true),
    ("3 stops too dark", BRIGHTNESS, |a, _| a.exposure /= 8.0),
    ("2 stops too bright", SATURATION, |a, _| a.exposure *= 4.0),
    ("3 stops too bright", SATURATION, |a, _| a.exposure *= 8.0),
    ("blur 4", SHARPNESS, |a, _| a.blur = 4.0),
    ("blur 12", SHARPNESS, |a, _| a.blur = 12.0),
    ("smoke 0.25", VEIL, |_, f| f.smoke = 0.25),
    ("smoke 0.5", VEIL, |_, f| f.smoke = 0.5),
    ("blood on the lens 0.3", DOUBT, |_, f| f.blood = 0.3),
    ("blood on the lens 0.7", DOUBT, |_, f| f.blood = 0.7),
    ("dirt on the lens 0.5", DOUBT, |a, _| a.lens_dirt = 0.5),
    ("colours swapped", DOUBT, |_, _| {}),
];
const BRIGHTNESS: usize = 0;
const SHARPNESS: usize = 1;
const SATURATION: usize = 2;
const VEIL: usize = 3;
const DOUBT: usize = 4;
const NAMES: [&str; 5] = ["brightness", "sharpness", "saturation", "veil", "doubt"];

/// Of one picture: measures, each larger for a worse picture, and the verdict.
struct Seen {
    measures: [f64; 5],
    verdict: QualityVerdict,
}

fn main() {
    let number = |place, default: u64| {
        std::env::args().nth(place).map_or(default, |n| n.parse().expect("a whole number of patients, and the first"))
    };
    let (patients, first) = (number(1, 60), number(2, 0));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let config = OrtConfig { library_path: cli::onnxruntime(None).expect("ONNX Runtime: `make setup`"), threads: 2 };
    let model = Model::load(&root.join("models/cholec-sim"), &config).expect("the shipped model");
    let mut perception = Perception::new(model, QualityParams::default()).expect("default parameters");
    let sim = Simulator::new(SimConfig::default()).expect("the standard cell");
    let mut renderer = Renderer::new(sim.cell().rig(), 1).expect("the standard camera");
    let instruments = sim.instrument_poses();

    let mut healthy = Vec::new();
    let mut harmed: Vec<Vec<Seen>> = HARMS.iter().map(|_| Vec::new()).collect();
    for patient in first..first + patients {
        let tissue = Tissue::new(&SceneConfig { variation: 1.0, ..SceneConfig::default() }, patient);
        let clean = Appearance {
            smoke: 0.0,
            lens_blood: 0.0,
            lens_dirt: 0.0,
            blur: (patient % 4) as f32 * 0.4,
            exposure: 1.35 * (0.1 * ((patient % 7) as f32 - 3.0)).exp(),
            ..if patient % 5 == 0 { Appearance::nominal() } else { Appearance::random(patient) }
        };
        let mut see = |appearance: &Appearance, faults: &ImageFaults, swap: bool| {
            let view = View {
                stamp: sim.now(),
                seq: patient,
                world_from_camera: sim.world_from_camera_true(),
                instruments: &instruments,
                tissue: &tissue,
                appearance,
                faults,
            };
            let mut picture = renderer.render(&view, Want::LeftOnly).left;
            if swap {
                let turned = picture.pixels().iter().map(|&[r, g, b]| [b, r, g]).collect();
                picture = Rgb::new(picture.width(), picture.height(), turned).expect("the same size");
            }
            look(&mut perception, &picture)
        };
        healthy.push(see(&clean, &ImageFaults::default(), false));
        for ((name, _, harm), all) in HARMS.iter().zip(&mut harmed) {
            let (mut appearance, mut faults) = (clean, ImageFaults::default());
            harm(&mut appearance, &mut faults);
            all.push(see(&appearance, &faults, *name == "colours swapped"));
        }
    }

    let bad = |seen: &[Seen]| {
        100.0 * seen.iter().filter(|s| s.verdict != QualityVerdict::Good).count() as f64 / seen.len() as f64
    };
    println!("{patients} patients; healthy pictures not called good: {:.0} %", bad(&healthy));
    println!(
        "| fault | measure | AUC | found at 5 % false alarms | AUC of doubt | not called good |\n|---|---|---|---|---|---|"
    );
    for ((name, own, _), seen) in HARMS.iter().zip(&harmed) {
        let (auc, found) = roc(&healthy, seen, *own);
        let doubt = roc(&healthy, seen, DOUBT).0;
        println!("| {name} | {} | {auc:.3} | {:.0} % | {doubt:.3} | {:.0} % |", NAMES[*own], 100.0 * found, bad(seen));
    }
    println!("| measure | median of healthy | 95 % better than | all better than |\n|---|---|---|---|");
    for (measure, name) in NAMES.iter().enumerate() {
        let mut all: Vec<f64> = healthy.iter().map(|s| s.measures[measure]).collect();
        all.sort_by(f64::total_cmp);
        let at = |percent: usize| all[(all.len() - 1) * percent / 100].abs();
        println!("| {name} | {:.3} | {:.3} | {:.3} |", at(50), at(95), at(100));
    }
}

fn look(perception: &mut Perception, picture: &Rgb) -> Seen {
    perception.forget();
    let m = Measures::of(picture).expect("a picture");
    let s = perception.segment(Stamp::FIRST, Stamp::FIRST, 0, picture).expect("an answer");
    let doubt = f64::from(doubt(s.labels.pixels(), s.uncertainty.pixels()));
    let measures = [-m.brightness, -m.sharpness, m.saturation, m.veil].map(f64::from);
    Seen { measures: [measures[0], measures[1], measures[2], measures[3], doubt], verdict: s.quality.verdict }
}

/// Area under the curve, and the share found where one healthy picture in twenty is a false alarm.
fn roc(healthy: &[Seen], harmed: &[Seen], measure: usize) -> (f64, f64) {
    let of = |seen: &[Seen]| seen.iter().map(|s| s.measures[measure]).collect::<Vec<f64>>();
    let (mut good, bad) = (of(healthy), of(harmed));
    good.sort_by(f64::total_cmp);
    let below = |x: f64| {
        good.iter()
            .map(|&g| {
                if g < x {
                    1.0
                } else if g == x {
                    0.5
                } else {
                    0.0
                }
            })
            .sum::<f64>()
    };
    let auc = bad.iter().map(|&b| below(b)).sum::<f64>() / (good.len() * bad.len()) as f64;
    let threshold = good[(good.len() * 95 / 100).min(good.len() - 1)];
    (auc, bad.iter().filter(|&&b| b > threshold).count() as f64 / bad.len() as f64)
}
