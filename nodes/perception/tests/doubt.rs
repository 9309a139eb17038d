//! The shipped model knows what it does not know: pictures of the simulator are familiar to it, the same pictures in other colours are not. And what comes
//! to lie on the lens is noticed.

mod common;

use common::config;
use proctor_perception::{Model, Perception, QualityParams, picture::Rgb};
use proctor_sim::{
    SimConfig, Simulator,
    render::{Appearance, ImageFaults, Renderer, View, Want},
    scene::{SceneConfig, Tissue},
};
use proctor_types::{QualityVerdict, Stamp};
use std::{path::Path, time::Duration};

#[test]
fn pictures_unlike_those_of_training_are_called_unfamiliar_and_no_others() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/cholec-sim");
    let model = Model::load(&folder, &config()).unwrap();
    let mut perception = Perception::new(model, QualityParams::default()).unwrap();
    let sim = Simulator::new(SimConfig::default()).unwrap();
    let mut renderer = Renderer::new(sim.cell().rig(), 1).unwrap();
    for patient in 0..4 {
        let view = View {
            stamp: sim.now(),
            seq: patient,
            world_from_camera: sim.world_from_camera_true(),
            instruments: &sim.instrument_poses(),
            tissue: &Tissue::new(&SceneConfig { variation: 1.0, ..SceneConfig::default() }, patient),
            appearance: &Appearance::nominal(),
            faults: &ImageFaults::default(),
        };
        let picture = renderer.render(&view, Want::LeftOnly).left;
        let turned = picture.pixels().iter().map(|&[r, g, b]| [b, r, g]).collect();
        let strange = Rgb::new(picture.width(), picture.height(), turned).unwrap();
        let mut said = |picture: &Rgb| perception.segment(Stamp::FIRST, Stamp::FIRST, 0, picture).unwrap().quality;
        let (familiar, strange) = (said(&picture), said(&strange));
        assert_eq!(familiar.verdict, QualityVerdict::Good, "patient {patient}: {}", familiar.reason);
        assert_eq!(strange.verdict, QualityVerdict::Degraded, "patient {patient}: {}", strange.reason);
        assert!(strange.reason.contains("unfamiliar"), "patient {patient}: {}", strange.reason);
    }
}

#[test]
fn what_comes_to_lie_on_the_lens_is_noticed_until_it_is_gone_or_the_endoscope_moves() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/cholec-sim");
    let model = Model::load(&folder, &config()).unwrap();
    let mut perception = Perception::new(model, QualityParams::default()).unwrap();
    let sim = Simulator::new(SimConfig::default()).unwrap();
    let mut renderer = Renderer::new(sim.cell().rig(), 1).unwrap();
    for patient in 0..3 {
        let tissue = Tissue::new(&SceneConfig { variation: 1.0, ..SceneConfig::default() }, patient);
        let (clean, healthy) = (Appearance::nominal(), ImageFaults::default());
        let mut second = 0;
        let mut said = |perception: &mut Perception, appearance: &Appearance, faults: &ImageFaults| {
            second += 1;
            let stamp = sim.now().plus(Duration::from_secs(second));
            let view = View {
                stamp,
                seq: second,
                world_from_camera: sim.world_from_camera_true(),
                instruments: &sim.instrument_poses(),
                tissue: &tissue,
                appearance,
                faults,
            };
            let picture = renderer.render(&view, Want::LeftOnly).left;
            perception.segment(stamp, stamp, second, &picture).unwrap().quality.reason
        };
        perception.forget();
        for _ in 0..6 {
            assert_eq!(said(&mut perception, &clean, &healthy), "", "patient {patient}");
        }
        let harms = [
            ("dirt", Appearance { lens_dirt: 0.5, ..clean }, healthy),
            ("blood", clean, ImageFaults { blood: 0.5, ..healthy }),
            ("blur", Appearance { blur: 4.0, ..clean }, healthy),
        ];
        for (harm, appearance, faults) in harms {
            let reason = said(&mut perception, &appearance, &faults);
            assert!(reason.contains("covered") || reason.contains("blurred"), "patient {patient}, {harm}: {reason}");
            assert_eq!(said(&mut perception, &clean, &healthy), "", "patient {patient}, after {harm}");
        }
        perception.look_elsewhere();
        let reason = said(&mut perception, &harms[0].1, &healthy);
        assert!(!reason.contains("covered"), "patient {patient}: there is nothing to compare with");
    }
}
