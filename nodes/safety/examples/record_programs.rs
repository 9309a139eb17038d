//! Records the quadratic programs that the filter solves to bend motions, for `crates/qp/compare`: two PSMs and the ECM are driven into
//! each other, zones and tissue; half of them in a cell with some zones, half in one with as many as there may be.
//!
//! `record_programs FILE [COUNT]`. The file: per program, little-endian doubles `n`, `m`, then `H` (n x n, row by row), `g`, `lower`, `upper`
//! (n each), `A` (m x n, row by row), `b` (m), for `min 1/2 x'Hx + g'x, lower <= x <= upper, Ax >= b`.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use nalgebra::Point3;
use proctor_safety::{SafetyParams, Zone, ZoneShape};
use proctor_types::{ArmId, Class, RequestKind, SafetyMode, SurfacePoint};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{fs::File, io::Write};
use support::{Cellar, crowded, home};

/// Two instruments, while the endoscope rests. Programs with fewer variables, when an instrument is decided already or rests, are left out.
const LEAST_VARIABLES: usize = 14;
/// Ticks between new goals; for one in [`REST`] of them the endoscope stays where it is.
const GOAL: u64 = 300;
const REST: u64 = 3;
/// Of consecutive ticks so many are taken, then some are skipped: a warm start is worth something only in sequence.
const TAKE: u64 = 10;
const SKIP: u64 = 20;

/// Zones below and beside the site.
fn some_zones() -> SafetyParams {
    let zone = |name: &str, region| Zone { name: name.into(), margin: 0.001, arms: vec![], region };
    let mut p = SafetyParams::default();
    p.zones.push(zone("floor", ZoneShape::HalfSpace { point: [0.0, 0.0, -0.022], normal: [0.0, 0.0, 1.0] }));
    p.zones.push(zone("wall", ZoneShape::HalfSpace { point: [0.0, 0.05, 0.0], normal: [0.0, -1.0, 0.1] }));
    p.zones.push(zone("ball", ZoneShape::Sphere { center: [0.03, 0.02, 0.0], radius: 0.008 }));
    p.zones.push(zone("rod", ZoneShape::Capsule { a: [-0.05, 0.03, 0.0], b: [-0.02, 0.03, 0.0], radius: 0.004 }));
    p
}

/// In TELEOP, an artery through the site.
fn cell(params: SafetyParams) -> Cellar {
    let mut c = Cellar::new(params);
    c.tissue = (0..2048)
        .map(|i| {
            let (x, y) = (f64::from(i % 64) - 31.5, f64::from(i / 64) - 15.5);
            let position = Point3::new(x * 0.0018, y * 0.003, -0.014 + 0.004 * (x * 0.2).sin());
            let class = [Class::Liver, Class::CysticDuct, Class::CysticArtery, Class::Fat][(i / 16 % 4) as usize];
            SurfacePoint { position, class, sigma: 0.0007 }
        })
        .collect();
    c.run(50);
    c.ask(RequestKind::Enable);
    c.run(5);
    c.ask(RequestKind::Teleop);
    c.run(5);
    assert_eq!(c.mode(), SafetyMode::Teleop);
    c
}

fn write(file: &mut impl Write, p: &proctor_qp::Problem) -> std::io::Result<()> {
    let n = p.variables();
    let mut numbers = vec![n as f64, p.rows().len() as f64];
    for i in 0..n {
        numbers.extend((0..n).map(|j| p.hessian[i.min(j)][i.max(j)]));
    }
    for v in [&p.gradient, &p.lower, &p.upper] {
        numbers.extend(&v[..n]);
    }
    p.rows().for_each(|(a, _)| numbers.extend(&a[..n]));
    numbers.extend(p.rows().map(|(_, b)| b));
    numbers.iter().try_for_each(|x| file.write_all(&x.to_le_bytes()))
}

/// Drives a cell until so many programs are written; returns how many variables and constraints, bounds included, each has.
fn record(file: &mut impl Write, mut c: Cellar, count: usize) -> std::io::Result<Vec<(usize, usize)>> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut solves, mut sizes) = (0, Vec::new());
    let mut goals = ArmId::ALL.map(home);
    while sizes.len() < count {
        if c.ticks.is_multiple_of(GOAL) {
            let scale = [0.25, 0.2, 0.03, 1.0, 0.8, 0.8, 0.4];
            for arm in ArmId::ALL {
                let free = if arm.has_jaw() { 7 } else { 4 };
                (0..free).for_each(|j| goals[arm.index()][j] = home(arm)[j] + scale[j] * rng.random_range(-1.0..1.0));
            }
        }
        let rests = (c.ticks / GOAL).is_multiple_of(REST);
        for arm in ArmId::ALL {
            let at = *c.at.get(arm);
            let goal = if rests && !arm.has_jaw() { at } else { goals[arm.index()] };
            let mut q = at;
            (0..arm.dof()).for_each(|j| q[j] += (goal[j] - at[j]).clamp(-0.014, 0.014));
            c.teleop(arm, &q);
        }
        c.tick();
        assert_eq!(c.mode(), SafetyMode::Teleop, "after {} ticks", c.ticks);
        (c.sent, c.verdicts) = (Vec::new(), Vec::new());
        let (program, so_far) = c.core.filter().last_program();
        let fresh = so_far != solves;
        solves = so_far;
        if fresh && program.variables() >= LEAST_VARIABLES && solves % (TAKE + SKIP) < TAKE {
            write(file, program)?;
            sizes.push((program.variables(), 2 * program.variables() + program.rows().len()));
        }
    }
    Ok(sizes)
}

/// Least, median, 99th percentile and most.
fn spread(mut numbers: Vec<usize>) -> String {
    numbers.sort_unstable();
    let at = |part: f64| numbers[((numbers.len() - 1) as f64 * part) as usize];
    format!("{} to {} (median {}, p99 {})", at(0.0), at(1.0), at(0.5), at(0.99))
}

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().expect("usage: record_programs FILE [COUNT]");
    let count: usize = args.next().map_or(4000, |c| c.parse().expect("a number"));
    let mut file = std::io::BufWriter::new(File::create(path)?);
    for (what, params) in [("some zones", some_zones()), ("sixteen zones", crowded::params())] {
        let sizes = record(&mut file, cell(params), count / 2)?;
        for n in [14, 18] {
            let constraints: Vec<usize> = sizes.iter().filter(|s| s.0 == n).map(|s| s.1).collect();
            let (programs, spread) = (constraints.len(), spread(constraints));
            println!("{what}: {programs} programs of {n} variables, {spread} constraints, bounds included");
        }
    }
    Ok(())
}
