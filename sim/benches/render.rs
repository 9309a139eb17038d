//! Cost of a stereo pair with all outputs, and of a step of the tissue.

use criterion::{Criterion, criterion_group, criterion_main};
use nalgebra::{Point3, Vector3};
use proctor_kinematics::Cell;
use proctor_sim::{
    render::{Appearance, ImageFaults, Renderer, View, Want},
    scene::{Gripper, SceneConfig, Tissue},
};
use proctor_types::{ArmId, Stamp};
use std::hint::black_box;

fn pairs(c: &mut Criterion) {
    let cell = Cell::standard().unwrap();
    let tissue = Tissue::new(&SceneConfig::default(), 1);
    let look = Appearance::nominal();
    for threads in [1, 2] {
        let mut renderer = Renderer::new(cell.rig(), threads).unwrap();
        let view = View {
            stamp: Stamp::FIRST,
            seq: 1,
            world_from_camera: cell.world_from_camera(&[0.0, 0.0, 0.110, 0.0]).unwrap(),
            instruments: &[],
            tissue: &tissue,
            appearance: &look,
            faults: &ImageFaults::default(),
        };
        c.bench_function(&format!("stereo pair with truth, {threads} thread(s)"), |b| {
            b.iter(|| black_box(renderer.render(&view, Want::Rectified)));
        });
    }
}

fn tissue(c: &mut Criterion) {
    let mut tissue = Tissue::new(&SceneConfig::default(), 1);
    let start: Point3<f64> = tissue.fundus().point;
    let mut t = 0.0;
    c.bench_function("tissue step of 5 ms, pulled", |b| {
        b.iter(|| {
            t += 0.005;
            let tip = start + Vector3::z() * 0.01 * f64::min(t, 1.0);
            tissue.step(0.005, &[Gripper { arm: ArmId::Psm1, tip, closed: true }]);
        });
    });
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = pairs, tissue }
criterion_main!(benches);
