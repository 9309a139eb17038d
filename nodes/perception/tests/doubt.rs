//! The shipped model knows what it does not know: pictures of the simulator are familiar to it, the same pictures in other colours are not. And what comes
//! to lie on the lens is noticed.

mod common;

use common::config;
use proctor_perception::{DEFAULT_MODEL, Model, Perception, QualityParams, picture::Rgb};
use proctor_sim::{
    SimConfig, Simulator,
    render::{Appearance, ImageFaults, Renderer, View, Want},
    scene::{SceneConfig, Tissue},
};
use proctor_types::{ImageQuality, QualityVerdict, Stamp};
use std::{path::Path, time::Duration};

/// The shipped model, and the standard cell that it looks at.
struct Bench {
    perception: Perception,
    sim: Simulator,
    renderer: Renderer,
}

impl Bench {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(DEFAULT_MODEL);
        let model = Model::load(&folder, &config()).unwrap();
        let sim = Simulator::new(SimConfig::default()).unwrap();
        Self {
            perception: Perception::new(model, QualityParams::default()).unwrap(),
            renderer: Renderer::new(sim.cell().rig(), 1).unwrap(),
            sim,
        }
    }

    /// What the endoscope sees of a patient; `seq` seeds the noise.
    fn picture(&mut self, patient: u64, seq: u64, appearance: &Appearance, faults: &ImageFaults) -> Rgb {
        let view = View {
            stamp: self.sim.now(),
            seq,
            world_from_camera: self.sim.world_from_camera_true(),
            instruments: &self.sim.instrument_poses(),
            tissue: &Tissue::new(&SceneConfig { variation: 1.0, ..SceneConfig::default() }, patient),
            appearance,
            faults,
        };
        self.renderer.render(&view, Want::LeftOnly).left
    }

    fn said(&mut self, stamp: Stamp, picture: &Rgb) -> ImageQuality {
        self.perception.segment(stamp, stamp, 0, picture).unwrap().quality
    }
}

#[test]
fn pictures_unlike_those_of_training_are_called_unfamiliar_and_no_others() {
    let mut bench = Bench::new();
    for patient in 0..4 {
        let picture = bench.picture(patient, patient, &Appearance::nominal(), &ImageFaults::default());
        let turned = picture.pixels().iter().map(|&[r, g, b]| [b, r, g]).collect();
        let strange = Rgb::new(picture.width(), picture.height(), turned).unwrap();
        let (familiar, strange) = (bench.said(Stamp::FIRST, &picture), bench.said(Stamp::FIRST, &strange));
        assert_eq!(familiar.verdict, QualityVerdict::Good, "patient {patient}: {}", familiar.reason);
        assert_eq!(strange.verdict, QualityVerdict::Degraded, "patient {patient}: {}", strange.reason);
        assert!(strange.reason.contains("unfamiliar"), "patient {patient}: {}", strange.reason);
    }
}

#[test]
fn what_comes_to_lie_on_the_lens_is_noticed_until_it_is_gone_or_the_endoscope_moves() {
    let mut bench = Bench::new();
    for patient in 0..3 {
        let (clean, healthy) = (Appearance::nominal(), ImageFaults::default());
        let mut second = 0;
        let mut said = |bench: &mut Bench, appearance: &Appearance, faults: &ImageFaults| {
            second += 1;
            let picture = bench.picture(patient, second, appearance, faults);
            bench.said(bench.sim.now().plus(Duration::from_secs(second)), &picture).reason
        };
        bench.perception.forget();
        for _ in 0..6 {
            assert_eq!(said(&mut bench, &clean, &healthy), "", "patient {patient}");
        }
        let harms = [
            ("dirt", Appearance { lens_dirt: 0.5, ..clean }, healthy),
            ("blood", clean, ImageFaults { blood: 0.5, ..healthy }),
            ("blur", Appearance { blur: 4.0, ..clean }, healthy),
        ];
        for (harm, appearance, faults) in harms {
            let reason = said(&mut bench, &appearance, &faults);
            assert!(reason.contains("covered") || reason.contains("blurred"), "patient {patient}, {harm}: {reason}");
            assert_eq!(said(&mut bench, &clean, &healthy), "", "patient {patient}, after {harm}");
        }
        bench.perception.look_elsewhere();
        let reason = said(&mut bench, &harms[0].1, &healthy);
        assert!(!reason.contains("covered"), "patient {patient}: there is nothing to compare with");
    }
}
