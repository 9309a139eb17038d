//! By how much the stamps of points and poses differ, roughly: the shift at which the seen points are nearest to an affine picture of the
//! way. No hand-eye is needed for it: perspective bends that picture, but the same at every shift.

use super::{Recording, Seen, Way};
use nalgebra::{Cholesky, Matrix4, Vector4};

/// Step of the search, s.
pub const STEP: f64 = 0.02;
/// Most points that are compared at each shift.
const MOST: usize = 1200;
/// Fewest of them that must have a pose, as a share of what has one at the best covered shift.
const COVERED: f64 = 0.5;
/// Fewest points at all.
const FEWEST: usize = 20;

/// Root mean square left over at one shift, px, and of how many points.
fn left(seen: &[Seen], way: &Way, shift: f64) -> Option<(f64, usize)> {
    let pairs: Vec<_> = seen.iter().filter_map(|s| Some((s.left, way.at(s.t + shift)?))).collect();
    if pairs.len() < FEWEST {
        return None;
    }
    let n = pairs.len() as f64;
    let mean = pairs.iter().fold(nalgebra::Vector3::zeros(), |sum, (_, p)| sum + p.coords) / n;
    let (mut normal, mut u, mut v, mut squares) = (Matrix4::identity() * 1e-9, Vector4::zeros(), Vector4::zeros(), 0.0);
    for (seen, p) in &pairs {
        let p = (p.coords - mean) * 100.0;
        let row = Vector4::new(p.x, p.y, p.z, 1.0);
        normal += row * row.transpose();
        u += row * seen.x;
        v += row * seen.y;
        squares += seen.coords.norm_squared();
    }
    let solve = Cholesky::new(normal)?;
    let explained = u.dot(&solve.solve(&u)) + v.dot(&solve.solve(&v));
    Some((((squares - explained).max(0.0) / n).sqrt(), pairs.len()))
}

/// The best shift, s; `None` where no other is much worse, or too little overlaps.
pub fn coarse(recording: &Recording) -> Option<f64> {
    let stride = recording.seen.len().div_ceil(MOST).max(1);
    let seen: Vec<Seen> = recording.seen.iter().step_by(stride).copied().collect();
    let steps = (recording.max_offset / STEP).round() as i32;
    let tried = (-steps..=steps).map(|k| f64::from(k) * STEP);
    let curve: Vec<(f64, f64, usize)> =
        tried.filter_map(|s| left(&seen, &recording.way, s).map(|(rms, n)| (s, rms, n))).collect();
    let most = curve.iter().map(|c| c.2).max()?;
    let covered = curve.iter().filter(|c| c.2 as f64 >= COVERED * most as f64);
    covered.min_by(|a, b| a.1.total_cmp(&b.1)).map(|c| c.0)
}
