//! How well perception notices that a picture is no evidence: receiver operating characteristics of every measure on the simulator's
//! faults, over as many patients, looks and exposures as asked for (default 60), from a first one on (default 0). Every picture comes after
//! some healthy ones of the same patient, a second apart, in which the instruments are elsewhere.
//!
//! `cargo run --release --example doubt_roc [PATIENTS [FIRST]]`

use nalgebra::{Isometry3, UnitQuaternion};
use proctor_perception::{
    DEFAULT_MODEL, Model, OrtConfig, Perception, QualityParams, cli,
    picture::Rgb,
    quality::{Measures, doubt},
};
use proctor_sim::{
    SimConfig, Simulator,
    render::{Appearance, ImageFaults, InstrumentPose, Renderer, View, Want},
    scene::{SceneConfig, Tissue},
};
use proctor_types::{QualityVerdict, Stamp};
use std::{path::Path, time::Duration};

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
    ("blood on the lens 0.3", LOST, |_, f| f.blood = 0.3),
    ("blood on the lens 0.7", LOST, |_, f| f.blood = 0.7),
    ("dirt on the lens 0.5", LOST, |a, _| a.lens_dirt = 0.5),
    ("colours swapped", DOUBT, |_, _| {}),
];
const BRIGHTNESS: usize = 0;
const SHARPNESS: usize = 1;
const SATURATION: usize = 2;
const VEIL: usize = 3;
const DOUBT: usize = 4;
const LOST: usize = 5;
const NAMES: [&str; 6] = ["brightness", "sharpness", "saturation", "veil", "doubt", "lost"];

/// Healthy pictures before the one that is judged.
const BEFORE: u64 = 8;

/// Of one picture: measures, each larger for a worse picture, and the verdict.
struct Seen {
    measures: [f64; 6],
    verdict: QualityVerdict,
}

fn main() {
    let number = |place, default: u64| {
        std::env::args().nth(place).map_or(default, |n| n.parse().expect("a whole number of patients, and the first"))
    };
    let (patients, first) = (number(1, 60), number(2, 0));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let config = OrtConfig { library_path: cli::onnxruntime(None).expect("ONNX Runtime: `make setup`"), threads: 2 };
    let model = Model::load(&root.join(DEFAULT_MODEL), &config).expect("the shipped model");
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
        let mut see =
            |perception: &mut Perception, second: u64, appearance: &Appearance, faults: &ImageFaults, swap| {
                let instruments = moved(&instruments, patient * 100 + second);
                let stamp = sim.now().plus(Duration::from_secs(second));
                let view = View {
                    stamp,
                    seq: patient * 100 + second,
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
                look(perception, stamp, &picture)
            };
        perception.forget();
        for second in 0..BEFORE {
            see(&mut perception, second, &clean, &ImageFaults::default(), false);
        }
        healthy.push(see(&mut perception.clone(), BEFORE, &clean, &ImageFaults::default(), false));
        for ((name, _, harm), all) in HARMS.iter().zip(&mut harmed) {
            let (mut appearance, mut faults) = (clean, ImageFaults::default());
            harm(&mut appearance, &mut faults);
            all.push(see(&mut perception.clone(), BEFORE, &appearance, &faults, *name == "colours swapped"));
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

/// The instruments turned about their remote centres by up to 7 degrees, with other jaws.
fn moved(instruments: &[InstrumentPose; 2], how: u64) -> [InstrumentPose; 2] {
    let mut number = 0.0;
    let mut swing = || {
        number += 1.0;
        0.12 * (1.7 * how as f64 + 2.1 * number).sin()
    };
    instruments.map(|i| {
        let turn = UnitQuaternion::from_euler_angles(swing(), swing(), swing());
        let about = |link: Isometry3<f64>| {
            let arm = link.translation.vector - i.rcm.coords;
            Isometry3::from_parts((i.rcm + turn * arm).into(), turn * link.rotation)
        };
        InstrumentPose {
            world_from_shaft: about(i.world_from_shaft),
            world_from_wrist: about(i.world_from_wrist),
            world_from_jaw: about(i.world_from_jaw),
            jaw: 0.4 + 3.0 * swing(),
            ..i
        }
    })
}

fn look(perception: &mut Perception, stamp: Stamp, picture: &Rgb) -> Seen {
    let m = Measures::of(picture).expect("a picture");
    let before = perception.clarity().clone();
    let s = perception.segment(stamp, stamp, 0, picture).expect("an answer");
    let lost = f64::from(before.compare(stamp, &m, s.labels.pixels(), s.labels.width()).lost);
    let doubt = f64::from(doubt(s.labels.pixels(), s.uncertainty.pixels()));
    let measures = [-m.brightness, -m.sharpness, m.saturation, m.veil].map(f64::from);
    Seen { measures: [measures[0], measures[1], measures[2], measures[3], doubt, lost], verdict: s.quality.verdict }
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
