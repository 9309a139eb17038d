//! One fusion step at 640x480 on a picture of the built-in simulator, with and without stereo on that picture.
#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use proctor_fusion::{Fusion, FusionInput, FusionParams};
use proctor_sim::{
    SimConfig, Simulator,
    render::{Appearance, ImageFaults, Renderer, View, Want},
};
use proctor_types::{ArmId, Class, Digest, Image, ImageQuality, QualityVerdict, Segmentation};
use std::time::Duration;

fn input(sim: &Simulator) -> FusionInput {
    let mut renderer = Renderer::new(sim.cell().rig(), 1).unwrap();
    let (instruments, appearance) = (sim.instrument_poses(), Appearance::nominal());
    let view = View {
        stamp: sim.now(),
        seq: 1,
        world_from_camera: sim.world_from_camera_true(),
        instruments: &instruments,
        tissue: sim.tissue(),
        appearance: &appearance,
        faults: &ImageFaults::default(),
    };
    let rendered = renderer.render(&view, Want::Rectified);
    let (w, h) = (320, 240);
    let labels = (0..w * h).map(|i| *rendered.labels.get(2 * (i % w), 2 * (i / w)).unwrap()).collect();
    let segmentation = Segmentation {
        stamp: sim.now(),
        seq: 1,
        labels: Image::new(w, h, labels).unwrap(),
        uncertainty: Image::new(w, h, vec![10; w * h]).unwrap(),
        confidence: [0.9; Class::COUNT],
        keypoints: Vec::new(),
        quality: ImageQuality { verdict: QualityVerdict::Good, ..ImageQuality::default() },
        model: Digest::of(b"bench"),
    };
    FusionInput { frame: rendered.frame(sim.now(), 1, sim.cell().rig()), segmentation }
}

fn step(c: &mut Criterion) {
    let sim = Simulator::new(SimConfig::default()).unwrap();
    let template = input(&sim);
    for (name, stereo_every) in [("step, stereo on every picture", 1), ("step, stereo on every 10th picture", 10)] {
        let mut fusion = Fusion::new(FusionParams { stereo_every, ..FusionParams::default() }).unwrap();
        let mut stamp = template.frame.stamp;
        c.bench_function(name, |b| {
            b.iter_batched(
                || {
                    stamp = stamp.plus(Duration::from_millis(33));
                    let mut input = template.clone();
                    input.frame.stamp = stamp;
                    input.segmentation.stamp = stamp;
                    let states = ArmId::ALL.map(|arm| proctor_types::ArmState { stamp, ..sim.arm_state(arm) });
                    (input, states)
                },
                |(input, states)| {
                    states.into_iter().for_each(|s| fusion.on_arm_state(s));
                    fusion.step(input.frame.stamp, &input)
                },
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(40);
    targets = step
}
criterion_main!(benches);
