//! Depth of tissue on a sparse grid of the left picture: OpenCV's semi-global matching at half size finds the
//! disparity, a small full-size search around it adds the fraction of a pixel.

use crate::{
    FusionError,
    params::FusionParams,
    picture::{Pictures, as_mat, halved},
};
use opencv::{calib3d, core, prelude::*};
use proctor_types::StereoRig;

/// Semi-global matcher with its buffers.
pub struct Stereo {
    matcher: core::Ptr<calib3d::StereoSGBM>,
    min_disparity: i32,
    disparities: i32,
}

/// Half-size disparities of one picture.
pub struct DisparityMap {
    /// 16 times the half-size disparity, CV_16S.
    map: core::Mat,
    invalid_below: i16,
}

/// OpenCV's fixed-point factor of disparities.
const FIXED: f64 = 16.0;
/// What the matcher's window needs beside the widest disparity, px of the half-size picture.
const REACH: i32 = 16;
/// Half the side of the refinement window, px: 9 x 9.
const WINDOW: usize = 4;

impl std::fmt::Debug for Stereo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stereo")
            .field("min_disparity", &self.min_disparity)
            .field("disparities", &self.disparities)
            .finish_non_exhaustive()
    }
}

impl Stereo {
    /// A matcher for depths between `depth_min_m` and `depth_max_m` with this rig.
    pub fn new(rig: &StereoRig, params: &FusionParams) -> Result<Self, FusionError> {
        let half = |depth: f64| 0.5 * rig.left.fx * rig.baseline / depth;
        let min_disparity = (half(params.depth_max_m).floor() as i32).clamp(0, 512);
        // A multiple of 16, as OpenCV wants it; at most 256.
        let wanted = (half(params.depth_min_m).ceil() as i32 - min_disparity).clamp(16, 256);
        let disparities = (wanted + 15) / 16 * 16;
        // OpenCV's matcher ends the process, instead of failing, when the search is wider than the picture.
        let half_width = rig.left.width as i32 / 2;
        if min_disparity + disparities + REACH > half_width {
            return Err(FusionError::Rig { fx: rig.left.fx, baseline: rig.baseline, width: rig.left.width });
        }
        const BLOCK: i32 = 5;
        let matcher = calib3d::StereoSGBM::create(
            min_disparity,
            disparities,
            BLOCK,
            8 * BLOCK * BLOCK,
            32 * BLOCK * BLOCK,
            1,
            31,
            5,
            50,
            2,
            calib3d::StereoSGBM_MODE_SGBM_3WAY,
        )?;
        Ok(Self { matcher, min_disparity, disparities })
    }

    /// Matches a pair.
    pub fn compute(&mut self, pictures: &Pictures) -> opencv::Result<DisparityMap> {
        let left = halved(&as_mat(&pictures.left, pictures.width, pictures.height)?)?;
        let right = halved(&as_mat(&pictures.right, pictures.width, pictures.height)?)?;
        let mut map = core::Mat::default();
        self.matcher.compute(&left, &right, &mut map)?;
        Ok(DisparityMap { map, invalid_below: (self.min_disparity * 16) as i16 })
    }
}

impl DisparityMap {
    /// Full-size disparity at a pixel of the left picture, to a fraction of a pixel; `None` where there is no trustworthy match.
    pub fn at(&self, pictures: &Pictures, u: usize, v: usize) -> Option<f64> {
        let coarse = *self.map.at_2d::<i16>((v / 2) as i32, (u / 2) as i32).ok()?;
        if coarse < self.invalid_below.max(1) {
            return None;
        }
        let start = f64::from(coarse) / FIXED * 2.0;
        let whole = nearest_match(pictures, u, v, start)?;
        Some(fraction(pictures, u, v, whole).unwrap_or(start))
    }
}

/// The whole disparity near `start` at which a window fits best, by squared differences; `None` at the rim of the picture or when
/// the best lies at the end of the search.
fn nearest_match(pictures: &Pictures, u: usize, v: usize, start: f64) -> Option<usize> {
    const AROUND: i32 = 3;
    let (w, h) = (pictures.width, pictures.height);
    // One more than the window: the fraction's gradients reach beyond it.
    const RIM: usize = WINDOW + 2;
    if u < RIM || v < RIM || u + RIM >= w || v + RIM >= h {
        return None;
    }
    let middle = start.round() as i32;
    let first = u as i32 - middle - AROUND - RIM as i32;
    if first < 0 || u as i32 - middle + AROUND + RIM as i32 >= w as i32 {
        return None;
    }
    let mut cost = [0u32; (2 * AROUND + 1) as usize];
    for (k, cost) in cost.iter_mut().enumerate() {
        let shift = (middle + k as i32 - AROUND) as usize;
        for y in v - WINDOW..=v + WINDOW {
            let l = &pictures.left[y * w + u - WINDOW..=y * w + u + WINDOW];
            let r = &pictures.right[y * w + u - shift - WINDOW..=y * w + u - shift + WINDOW];
            *cost += l.iter().zip(r).map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>();
        }
    }
    let (best, _) = cost.iter().enumerate().min_by_key(|(_, c)| **c)?;
    let inside = best != 0 && best + 1 != cost.len();
    inside.then(|| (middle + best as i32 - AROUND) as usize)
}

/// Least-squares alignment of the window to a fraction of a pixel (Lucas and Kanade 1981): Gauss-Newton on the shift, brightness
/// offsets between the views taken out. `None` with too little contrast for a fraction, or when it runs away.
fn fraction(pictures: &Pictures, u: usize, v: usize, whole: usize) -> Option<f64> {
    const ROUNDS: usize = 4;
    const SIDE: usize = 2 * WINDOW + 1;
    /// Mean squared gradient below which the fraction would be noise, squared grey levels per pixel.
    const LEAST: f64 = 1.0;
    let w = pictures.width;
    let mut shift = 0.0f64;
    for _ in 0..ROUNDS {
        // In the right picture a larger disparity is farther left.
        let (floor, part) = (shift.floor() as i64, shift - shift.floor());
        let (mut gg, mut ge, mut g1, mut e1) = (0.0, 0.0, 0.0, 0.0);
        for y in v - WINDOW..=v + WINDOW {
            for x in u - WINDOW..=u + WINDOW {
                let at = (y * w + x - whole) as i64 - floor;
                let right = |k: i64| f64::from(pictures.right[(at + k) as usize]);
                let value = |k: i64| right(k) * (1.0 - part) + right(k - 1) * part;
                let gradient = 0.5 * (value(1) - value(-1));
                let error = f64::from(pictures.left[y * w + x]) - value(0);
                gg += gradient * gradient;
                ge += gradient * error;
                g1 += gradient;
                e1 += error;
            }
        }
        let n = (SIDE * SIDE) as f64;
        let curvature = gg - g1 * g1 / n;
        if curvature < LEAST * n {
            return None;
        }
        let step = -(ge - g1 * e1 / n) / curvature;
        shift += step;
        if shift.abs() >= 1.0 {
            return None;
        }
        if step.abs() < 0.01 {
            break;
        }
    }
    Some(whole as f64 + shift)
}
