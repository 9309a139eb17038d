//! How fast the simulated cell runs: ticks of the plant with tissue, snapshots, and whole frames as the demo makes them.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use proctor_sim::{
    SimConfig, Simulator,
    plant::{ArmConfig, Command},
    render::{Appearance, Renderer, View, Want},
};
use proctor_types::ArmId;

fn ready() -> Simulator {
    let arm = ArmConfig { starts_ready: true, ..ArmConfig::default() };
    Simulator::new(SimConfig { arm, ..SimConfig::default() }).expect("valid")
}

/// Every arm servoed at 1 kHz, as in the demo; one simulated second per iteration.
fn second(sim: &mut Simulator) {
    let start = ArmId::ALL.map(|arm| sim.arm_state(arm).position);
    for tick in 0..1000 {
        for (arm, q) in ArmId::ALL.into_iter().zip(&start) {
            let swing = 0.005 * (f64::from(tick) * 6.28e-3).sin();
            sim.command(arm, Command::ServoJp(q.zip_with(q, |v, _| v + swing).expect("finite")));
        }
        sim.step();
    }
}

fn simulator(c: &mut Criterion) {
    let mut group = c.benchmark_group("simulator");
    group.sample_size(10);
    let mut sim = ready();
    group.throughput(Throughput::Elements(1000));
    group.bench_function("1000 steps with commands", |b| b.iter(|| second(&mut sim)));
    group.throughput(Throughput::Elements(1));
    group.bench_function("snapshot", |b| b.iter(|| sim.snapshot()));
    let appearance = Appearance::nominal();
    for threads in [1, 2] {
        let mut renderer = Renderer::new(sim.cell().rig(), threads).expect("valid");
        let mut seq = 0;
        group.bench_function(format!("stereo frame with 33 steps, {threads} thread(s)"), |b| {
            b.iter(|| {
                (0..33).for_each(|_| sim.step());
                seq += 1;
                let now = sim.snapshot();
                let faults = now.faults.image();
                let view = View {
                    stamp: now.stamp,
                    seq,
                    world_from_camera: now.world_from_camera,
                    instruments: &now.instruments,
                    tissue: &now.tissue,
                    appearance: &appearance,
                    faults: &faults,
                };
                renderer.render(&view, Want::Rectified)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, simulator);
criterion_main!(benches);
