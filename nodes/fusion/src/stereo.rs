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
    /// Full-size disparity at a pixel of the left picture, to a fraction of a pixel, with the sharpness of the match
    /// (larger is better); `None` where there is no trustworthy match.
    pub fn at(&self, pictures: &Pictures, u: usize, v: usize) -> Option<f64> {
        let coarse = *self.map.at_2d::<i16>((v / 2) as i32, (u / 2) as i32).ok()?;
        if coarse < self.invalid_below.max(1) {
            return None;
        }
        refine(pictures, u, v, f64::from(coarse) / FIXED * 2.0)
    }
}

/// Slides a window by whole pixels around `start` and fits a parabola to the squared differences.
fn refine(pictures: &Pictures, u: usize, v: usize, start: f64) -> Option<f64> {
    const REACH: i32 = 3;
    let (w, h) = (pictures.width, pictures.height);
    if u < WINDOW || v < WINDOW || u + WINDOW >= w || v + WINDOW >= h {
        return None;
    }
    let middle = start.round() as i32;
    let first = u as i32 - middle - REACH - WINDOW as i32;
    if first < 0 || u as i32 - middle + REACH + WINDOW as i32 >= w as i32 {
        return None;
    }
    let mut cost = [0u32; (2 * REACH + 1) as usize];
    for (k, cost) in cost.iter_mut().enumerate() {
        let shift = (middle + k as i32 - REACH) as usize;
        for y in v - WINDOW..=v + WINDOW {
            let l = &pictures.left[y * w + u - WINDOW..=y * w + u + WINDOW];
            let r = &pictures.right[y * w + u - shift - WINDOW..=y * w + u - shift + WINDOW];
            *cost += l.iter().zip(r).map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>();
        }
    }
    let (best, &least) = cost.iter().enumerate().min_by_key(|(_, c)| **c)?;
    if best == 0 || best + 1 == cost.len() {
        return None;
    }
    let (before, least, after) = (f64::from(cost[best - 1]), f64::from(least), f64::from(cost[best + 1]));
    let bend = before - 2.0 * least + after;
    // Less contrast than two grey levels squared per pixel: the fraction would be noise.
    let pixels = ((2 * WINDOW + 1) as f64).powi(2);
    if bend < 2.0 * pixels {
        return Some(start);
    }
    let fraction = (0.5 * (before - after) / bend).clamp(-0.5, 0.5);
    Some(f64::from(middle + best as i32 - REACH) + fraction)
}
