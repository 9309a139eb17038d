//! More constraints for recorded programs: random rows around the solution, some of which cut it off.

use crate::program::Program;
use support::Rng;

#[path = "../../tests/support/mod.rs"]
mod support;

/// One in so many rows cuts the solution off, another is a copy of an earlier one, the others leave it some room.
const CUTS: usize = 4;
const COPIES: usize = 10;
/// A cut takes at most this part of the way to the point that must stay feasible; less than this sine to the way is no cut.
const DEEPEST: f64 = 0.3;
const ALONG: f64 = 0.05;

/// The program with rows of length one added until it has so many constraints, bounds included. `best` is its solution, and `inside` a feasible point,
/// which no added row excludes. From tick to tick, rows of the same seed keep their directions and move with the points.
pub fn padded(p: &Program, constraints: usize, seed: u64, [best, inside]: [&[f64]; 2]) -> Program {
    let (n, mut rng, mut p) = (p.n(), Rng(seed), p.clone());
    // Directions are random, and distances measured, in units in which all variables are alike.
    let units = p.scaled().units;
    let along = |row: &[f64], x: &[f64]| row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
    let way: Vec<f64> = (0..n).map(|i| inside[i] - best[i]).collect();
    let far = way.iter().zip(&units).map(|(w, unit)| (w / unit).powi(2)).sum::<f64>().sqrt().max(1e-6);
    let recorded = p.b.len();
    for k in 0..constraints.saturating_sub(2 * n + recorded) {
        let (other, part) = (rng.vector(n), rng.between(0.0, 1.0));
        let (row, beyond) = if k % COPIES == COPIES - 1 {
            let like = recorded + rng.below(k);
            let error = [0.0, 1e-9, 1e-6][k / COPIES % 3];
            let row: Vec<f64> = p.a[like * n..][..n].iter().zip(other).map(|(a, e)| a * (1.0 + error * e)).collect();
            (row, p.b[like] - along(&p.a[like * n..][..n], best))
        } else {
            let length = other.iter().map(|x| x * x).sum::<f64>().sqrt();
            let row: Vec<f64> = (0..n).map(|i| other[i] / length / units[i]).collect();
            let rise = along(&row, &way);
            if k % CUTS == 0 && rise.abs() > ALONG * far {
                (row.iter().map(|a| a * rise.signum()).collect(), DEEPEST * part * rise.abs())
            } else {
                (row, rise.min(0.0) - (0.01 + part) * far)
            }
        };
        let length = row.iter().map(|a| a * a).sum::<f64>().sqrt();
        let limit = along(&row, best) + beyond;
        assert!(along(&row, inside) > limit, "the point that is known to be feasible has room");
        p.a.extend(row.iter().map(|a| a / length));
        p.b.push(limit / length);
    }
    p
}
