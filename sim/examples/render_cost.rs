//! Prints the CPU time (user and system, all threads) that a stereo pair with all outputs costs, two instruments in view, tissue
//! pulled: `cargo run --release -p proctor-sim --example render_cost`. CPU time, unlike wall time, means something on a busy machine.

use nalgebra::{Point3, Vector3};
use proctor_kinematics::{Cell, Chain, Instrument};
use proctor_sim::{
    render::{Appearance, ImageFaults, InstrumentPose, Renderer, View, Want},
    scene::{Gripper, SceneConfig, Tissue},
};
use proctor_types::{ArmId, Stamp};
use std::{error::Error, hint::black_box, time::Instant};

const PAIRS: u32 = 150;

/// CPU milliseconds of this process so far: fields 14 and 15 of /proc/self/stat, in ticks of 10 ms.
fn cpu_ms() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum();
    Ok(ticks * 10.0)
}

fn instrument(cell: &Cell, arm: ArmId, name: &str, q: [f64; 6]) -> Result<InstrumentPose, Box<dyn Error>> {
    let instrument = Instrument::named(name)?;
    let links = Chain::psm(&instrument)?.links(&q)?;
    let base = *cell.world_from_base(arm).iso();
    Ok(InstrumentPose {
        arm,
        kind: instrument.kind,
        world_from_shaft: base * links.shaft,
        world_from_wrist: base * links.wrist,
        world_from_jaw: base * links.jaw,
        jaw: 0.5,
        rcm: base * Point3::origin(),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let cell = Cell::standard()?;
    let mut tissue = Tissue::new(&SceneConfig::default(), 1);
    let start = tissue.fundus().point;
    for i in 0..50 {
        let tip = start + Vector3::new(0.0, 0.002, 0.012) * (f64::from(i) / 50.0);
        tissue.step(0.02, &[Gripper { arm: ArmId::Psm2, tip, closed: true }]);
    }
    let instruments = [
        instrument(&cell, ArmId::Psm1, "LARGE_NEEDLE_DRIVER_400006", [0.02, 0.05, 0.165, 0.4, 0.3, -0.3])?,
        instrument(&cell, ArmId::Psm2, "PROGRASP_FORCEPS_400093", [-0.1, 0.05, 0.16, -0.6, 0.3, 0.4])?,
    ];
    let look = Appearance::nominal();
    for (what, want) in [
        ("rectified pair, labels, instances, depth", Want::Rectified),
        ("the same and a raw pair", Want::RectifiedAndRaw),
    ] {
        for threads in [1, 2] {
            let mut renderer = Renderer::new(cell.rig(), threads)?;
            let mut view = View {
                stamp: Stamp::FIRST,
                seq: 0,
                world_from_camera: cell.world_from_camera(&[0.0, 0.0, 0.110, 0.0])?,
                instruments: &instruments,
                tissue: &tissue,
                appearance: &look,
                faults: &ImageFaults::default(),
            };
            black_box(renderer.render(&view, want));
            let (cpu, wall) = (cpu_ms()?, Instant::now());
            for seq in 0..u64::from(PAIRS) {
                view.seq = seq;
                black_box(renderer.render(&view, want));
            }
            let (cpu, wall) = (cpu_ms()? - cpu, wall.elapsed().as_secs_f64() * 1e3);
            let n = f64::from(PAIRS);
            println!("{what}, {threads} thread(s): {:.1} ms CPU, {:.1} ms wall", cpu / n, wall / n);
        }
    }
    Ok(())
}
