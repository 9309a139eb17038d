//! Whether what comes as the left picture is the right one.
//!
//! Seen from the left camera everything in the right picture lies farther left. Patches are looked for on both sides at the disparities that
//! the depths allow; what is nearly always found on the wrong side is swapped.

use crate::{params::FusionParams, picture::Pictures};
use proctor_types::StereoRig;

/// Half the side of a patch, px.
const HALF: usize = 5;
/// Patches tried, across and down.
const GRID: (usize, usize) = (14, 10);
/// Least mean deviation of a patch's grey levels that makes it recognisable.
const CONTRAST: f64 = 4.0;
/// A side wins by fitting better than this share of the other's misfit.
const CLEARLY: f64 = 0.7;
/// Fewest patches that make a verdict, and by how much they must outnumber the others.
const FEWEST: usize = 12;
const MAJORITY: usize = 3;

/// Whether the views are swapped; `None` when too few patches are recognised to say.
pub fn swapped(pictures: &Pictures, rig: &StereoRig, params: &FusionParams) -> Option<bool> {
    let disparity = |depth: f64| rig.left.fx * rig.baseline / depth;
    let range = (disparity(params.depth_max_m) as usize, disparity(params.depth_min_m).ceil() as usize);
    let (w, h) = (pictures.width, pictures.height);
    let (mut right, mut wrong) = (0, 0);
    for k in 0..GRID.0 * GRID.1 {
        let (x, y) = ((k % GRID.0 + 1) * w / (GRID.0 + 1), (k / GRID.0 + 1) * h / (GRID.1 + 1));
        let inside = x >= HALF + range.1 && x + HALF + range.1 < w && y >= HALF && y + HALF < h;
        if !inside || contrast(pictures, x, y) < CONTRAST {
            continue;
        }
        let best = |place: &dyn Fn(usize) -> usize| (range.0..=range.1).map(|d| misfit(pictures, x, y, place(d))).min();
        let (Some(as_told), Some(mirrored)) = (best(&|d| x - d), best(&|d| x + d)) else { continue };
        let (as_told, mirrored) = (f64::from(as_told), f64::from(mirrored));
        right += usize::from(as_told < CLEARLY * mirrored);
        wrong += usize::from(mirrored < CLEARLY * as_told);
    }
    (right + wrong >= FEWEST).then_some(wrong >= MAJORITY * right.max(1))
}

fn rows(y: usize, w: usize, x: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (y - HALF..=y + HALF).map(move |row| row * w + x - HALF..row * w + x + HALF + 1)
}

/// Sum of absolute differences of a patch of the left picture and one of the right.
fn misfit(pictures: &Pictures, x: usize, y: usize, there: usize) -> u32 {
    let (here, there) = (rows(y, pictures.width, x), rows(y, pictures.width, there));
    let differ = |(a, b): (&u8, &u8)| u32::from(a.abs_diff(*b));
    here.zip(there).map(|(l, r)| pictures.left[l].iter().zip(&pictures.right[r]).map(differ).sum::<u32>()).sum()
}

/// Mean deviation of a patch's grey levels from their mean.
fn contrast(pictures: &Pictures, x: usize, y: usize) -> f64 {
    let n = ((2 * HALF + 1) * (2 * HALF + 1)) as f64;
    let all = || rows(y, pictures.width, x).flat_map(|r| pictures.left[r].iter().map(|p| f64::from(*p)));
    let mean = all().sum::<f64>() / n;
    all().map(|p| (p - mean).abs()).sum::<f64>() / n
}
