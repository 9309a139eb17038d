//! No-go zones that are meshes: two tools (shaft 0.3 m, wrist, jaws) over an undulating surface of 1 000 000 triangles, dipping towards it.
//! Prints how long the filter's search for both tools takes, against every triangle looked at, on
//! the same tools in the same run; and a whole tick of the safety node with and without the mesh. Processor time, not time on the wall.
#![allow(missing_docs, clippy::unwrap_used)]

mod drive;
#[path = "../tests/support/mod.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use nalgebra::Point3;
use proctor_kinematics::Capsule;
use proctor_safety::{Keepout, SafetyParams, Zone, ZoneShape, mesh::Mesh, mesh::Triangle};
use proctor_types::ArmId;
use std::{hint::black_box, sync::Arc, time::Instant};

/// Squares per side, each of two triangles: 0.4 mm wide.
const SQUARES: u32 = 708;
/// Beyond this nobody asks, m.
const LIMIT: f64 = 0.05;

/// 0.3 m by 0.3 m, waves of 6 mm, 25 mm below the site.
fn surface() -> Vec<Triangle> {
    let corner = |i: u32, j: u32| {
        let at = |k: u32| (f64::from(k) / f64::from(SQUARES) - 0.5) * 0.3;
        let (x, y) = (at(i), at(j));
        [x, y, -0.025 + 0.006 * (x * 90.0).sin() * (y * 70.0).cos()].map(|c| c as f32)
    };
    let squares = (0..SQUARES).flat_map(|i| (0..SQUARES).map(move |j| (i, j)));
    let cut = |(i, j)| {
        let [a, b, c, d] = [corner(i, j), corner(i + 1, j), corner(i + 1, j + 1), corner(i, j + 1)];
        [[a, b, c], [a, c, d]]
    };
    let triangles: Vec<_> = squares.flat_map(cut).take(1_000_000).collect();
    assert_eq!(triangles.len(), 1_000_000);
    triangles
}

/// Both tools in the `k`-th tick: their tips wander over the surface at up to 50 mm/s, between 1 mm and 25 mm above it.
fn tools(k: u32) -> [[Capsule; 3]; 2] {
    let t = f64::from(k) * 1e-3;
    [(0.10, 0.0), (-0.10, 1.3)].map(|(side, phase)| {
        let pivot = Point3::new(side, -0.06, 0.22);
        let tip = Point3::new(
            0.6 * side * (0.9 * t + phase).cos(),
            0.04 * (0.7 * t + phase).sin(),
            -0.006 - 0.012 * (0.8 * t + phase).sin(),
        );
        let down = (tip - pivot).normalize();
        let aside = down.cross(&nalgebra::Vector3::y()).normalize() * (1.1 * t).sin();
        let (yaw, wrist) = (tip - (down + 0.4 * aside).normalize() * 0.010, 0.009);
        let end = yaw - (down + 0.2 * aside).normalize() * wrist;
        let start = end - (end - pivot).normalize() * 0.3;
        let part = |a, b, radius| Capsule { a, b, radius };
        [part(start, end, 0.0042), part(end, yaw, 0.0038), part(yaw, tip, 0.0025)]
    })
}

fn zone() -> Zone {
    let mesh = Mesh::new("waves", surface()).unwrap();
    Zone { name: "waves".into(), margin: 0.002, arms: vec![], region: ZoneShape::Mesh(Arc::new(mesh)) }
}

fn nearest(keepout: &Keepout, tools: &[[Capsule; 3]; 2]) -> f64 {
    let of = |(arm, tool): (ArmId, &[Capsule; 3])| keepout.distance(arm, tool, LIMIT);
    ArmId::PSMS.into_iter().zip(tools).map(of).fold(f64::INFINITY, f64::min)
}

/// Processor time of `n` calls, ns, one per tick from a stride of ticks.
fn times(n: u32, stride: u32, mut f: impl FnMut(&[[Capsule; 3]; 2]) -> f64) -> Vec<u64> {
    let one = |k: u32| {
        let tools = tools(k * stride);
        let begin = drive::processor();
        black_box(f(black_box(&tools)));
        drive::processor() - begin
    };
    (0..n).map(one).collect()
}

fn bench(criterion: &mut Criterion) {
    let begin = Instant::now();
    let zone = zone();
    let (made, begin) = (begin.elapsed(), Instant::now());
    let keepout = Keepout::new(&zone);
    println!("mesh made and hashed in {made:?}, tree built in {:?}", begin.elapsed());

    let mine = drive::percentiles("both tools", &mut times(100_000, 1, |t| nearest(&keepout, t)));
    // Every search from nothing: the tools jump by half a second's way each time, and no hint helps.
    drive::percentiles("both tools, far from last time", &mut times(20_000, 499, |t| nearest(&keepout, t)));

    let ZoneShape::Mesh(mesh) = &zone.region else { return };
    let brute = drive::percentiles("brute force", &mut times(5, 19999, |t| brute_force(mesh, t)));
    println!("brute force / ours: {:.0}", brute / mine);
    for k in (0..5).map(|k| k * 19999) {
        let (a, b) = (nearest(&keepout, &tools(k)), brute_force(mesh, &tools(k)));
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }

    for (what, zones) in [("with the mesh", vec![zone]), ("without zones", vec![])] {
        let run = || {
            let mut c = drive::cell(SafetyParams { zones: zones.clone(), ..SafetyParams::default() });
            (0..100_000).map(|_| drive::timed(&mut c).1).collect()
        };
        drive::percentiles(&format!("whole tick {what}, least of five runs"), &mut drive::least(run));
    }

    let mut k = 0;
    criterion.bench_function("mesh_zone", |b| {
        b.iter(|| {
            k += 1;
            nearest(&keepout, &tools(k))
        });
    });
}

/// Every triangle, by its nearest corner or the face's plane: good to the size of a triangle, which is all that the ratio needs.
fn brute_force(mesh: &Mesh, tools: &[[Capsule; 3]; 2]) -> f64 {
    let parts = tools.iter().flatten();
    parts.map(|c| mesh.distance_by_brute_force(c)).fold(LIMIT, f64::min)
}

criterion_group!(benches, bench);
criterion_main!(benches);
