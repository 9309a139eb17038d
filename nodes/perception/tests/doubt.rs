//! The shipped model knows what it does not know: pictures of the simulator are familiar to it, the same pictures in other colours are not.

mod common;

use common::config;
use proctor_perception::{Model, Perception, QualityParams, picture::Rgb};
use proctor_sim::{
    SimConfig, Simulator,
    render::{Appearance, ImageFaults, Renderer, View, Want},
    scene::{SceneConfig, Tissue},
};
use proctor_types::{QualityVerdict, Stamp};
use std::path::Path;

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
