//! Depth of an instrument from the right picture: a patch of the instrument, its shape known from the kinematics, is
//! slid along the epipolar lines until both pictures agree (a plane sweep with the tool's own surface instead of a
//! plane). All pixels of the patch vote for one number, so metal without texture still gives an answer: the shading
//! across the tube and its outline against the tissue carry it.

use crate::picture::Pictures;

/// A pixel of the patch and the disparity the kinematics expect there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Column in the left picture.
    pub u: usize,
    /// Row.
    pub v: usize,
    /// Expected disparity, px.
    pub disparity: f64,
}

/// A measured shift of the whole patch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// To be added to every expected disparity, px.
    pub disparity: f64,
    /// How far the patch could be slid either way without much harm to the agreement, px: large where the shape runs
    /// along the epipolar lines.
    pub sigma: f64,
}

/// Fewest pixels of a patch, and least share of them that lie in both pictures.
pub const MIN_SAMPLES: usize = 40;
const MIN_SHARE: f64 = 0.25;
/// Least agreement that counts.
const MIN_CORRELATION: f64 = 0.6;
/// Agreement this much below the best is no worse: shading and noise make as much difference.
const INDIFFERENT: f64 = 0.04;
/// Standard deviation as a share of the width within which agreement is no worse.
const SPREAD: f64 = 0.25;
/// Agreement this much above the best nearby is clearly better, and farthest that it is looked for, px.
const CLEARLY: f64 = 0.1;
const FAR: i32 = 24;
/// Step of the search, px.
const STEP: f64 = 0.5;
/// Most steps to each side.
const MAX_STEPS: i32 = 32;

/// Finds the shift within `range` px either way that makes both pictures agree best. Pixels that a shift within the range would push out
/// of the right picture do not vote: beside its edge the left camera sees what the right one does not. `None` when what
/// is left of the patch is small, flat, agrees nowhere, agrees at two places, agrees best at the end of the range (then the
/// truth may lie beyond), or agrees clearly better somewhere beyond it: near a depth that is believed wrongly there is often something that agrees somewhat.
pub fn sweep(pictures: &Pictures, samples: &[Sample], range: f64) -> Option<Shift> {
    let steps = ((range / STEP).ceil() as i32).clamp(2, MAX_STEPS);
    let farthest = f64::from(steps) * STEP;
    let in_both = |s: &&Sample| {
        let u = s.u as f64 - s.disparity;
        u >= farthest && u + farthest < (pictures.width - 1) as f64
    };
    let least = MIN_SAMPLES.max((MIN_SHARE * samples.len() as f64) as usize);
    let samples: Vec<Sample> = samples.iter().filter(in_both).copied().collect();
    if samples.len() < least {
        return None;
    }
    let score = |k: i32| correlation(pictures, samples.iter(), f64::from(k) * STEP);
    let scores: Vec<f64> = (-steps..=steps).map(|k| score(k).unwrap_or(-1.0)).collect();
    let (best, &peak) = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let worse = |score: &f64| *score < peak - INDIFFERENT;
    let left = scores[..best].iter().rposition(worse)?;
    let right = best + 1 + scores[best + 1..].iter().position(worse)?;
    let rival = scores[..left].iter().chain(&scores[right..]).any(|score| !worse(score));
    if peak < MIN_CORRELATION || rival || beaten(pictures, &samples, farthest, peak) {
        return None;
    }
    let (before, after) = (scores[best - 1], scores[best + 1]);
    let bend = before - 2.0 * peak + after;
    let fine = if bend < -1e-6 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 };
    Some(Shift {
        disparity: (best as f64 - f64::from(steps) + fine) * STEP,
        sigma: SPREAD * (right - left) as f64 * STEP,
    })
}

/// Whether the pictures agree clearly better farther away than was looked, as far as nearly all of the patch lies in both.
fn beaten(pictures: &Pictures, samples: &[Sample], farthest: f64, peak: f64) -> bool {
    let far = (farthest as i32 + 1)..=FAR;
    far.flat_map(|px| [-px, px]).any(|px| {
        let shift = f64::from(px);
        let seen = |s: &&Sample| {
            let u = s.u as f64 - s.disparity - shift;
            u >= 0.0 && u < (pictures.width - 1) as f64
        };
        let there = samples.iter().filter(seen);
        10 * there.clone().count() >= 9 * samples.len()
            && correlation(pictures, there, shift).is_some_and(|score| score > peak + CLEARLY)
    })
}

/// Correlation of the patch in the left picture with its shifted image in the right one, in which all of it must lie.
fn correlation<'a>(pictures: &Pictures, samples: impl Iterator<Item = &'a Sample>, shift: f64) -> Option<f64> {
    let (mut n, mut sl, mut sr, mut sll, mut srr, mut slr) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for s in samples {
        n += 1.0;
        let u = s.u as f64 - s.disparity - shift;
        let (left, row) = (f64::from(pictures.left[s.v * pictures.width + s.u]), s.v * pictures.width);
        let (x, f) = (u as usize, u.fract());
        let right = f64::from(pictures.right[row + x]) * (1.0 - f) + f64::from(pictures.right[row + x + 1]) * f;
        sl += left;
        sr += right;
        sll += left * left;
        srr += right * right;
        slr += left * right;
    }
    let (var_l, var_r) = (sll - sl * sl / n, srr - sr * sr / n);
    // Two grey levels of standard deviation: below that it is noise.
    (var_l > 4.0 * n && var_r > 4.0 * n).then(|| (slr - sl * sr / n) / (var_l * var_r).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A smooth bump on a slope, seen `shift` px further left by the right camera.
    fn pictures(shift: f64) -> Pictures {
        let (width, height) = (160, 64);
        let value = |u: f64, v: f64| {
            (90.0 + 60.0 * (-((u - 80.0) / 6.0).powi(2)).exp() + 20.0 * (0.3 * v + 0.2 * u).sin()) as u8
        };
        let paint =
            |offset: f64| (0..width * height).map(|i| value((i % width) as f64 + offset, (i / width) as f64)).collect();
        let left_rgb = proctor_types::Image::new(0, 0, Vec::new()).unwrap();
        Pictures { width, height, left_rgb, left: paint(0.0), right: paint(shift) }
    }

    fn patch(disparity: f64) -> Vec<Sample> {
        (20..40).flat_map(|v| (70..90).map(move |u| Sample { u, v, disparity })).collect()
    }

    #[test]
    fn the_shift_between_the_pictures_is_found_to_a_tenth_of_a_pixel() {
        for (truth, expected) in [(12.0, 9.0), (12.3, 14.0), (20.75, 20.0)] {
            let s = sweep(&pictures(truth), &patch(expected), 8.0).unwrap();
            assert!((s.disparity - (truth - expected)).abs() < 0.1, "{s:?} for {truth} - {expected}");
        }
    }

    #[test]
    fn pixels_that_the_right_picture_does_not_show_do_not_vote() {
        // The left third of the patch lies beyond the right picture's edge.
        let patch: Vec<Sample> =
            (20..40).flat_map(|v| (60..105).map(move |u| Sample { u, v, disparity: 68.0 })).collect();
        let s = sweep(&pictures(70.0), &patch, 6.0).unwrap();
        assert!((s.disparity - 2.0).abs() < 0.1, "{s:?}");
    }

    #[test]
    fn a_patch_that_the_right_picture_hardly_shows_is_no_answer() {
        // Of 80 columns 25 lie in both pictures whatever the shift, then 15.
        let patch = |from: usize| -> Vec<Sample> {
            (20..40).flat_map(|v| (from..from + 80).map(move |u| Sample { u, v, disparity: 70.0 })).collect()
        };
        assert!(sweep(&pictures(70.0), &patch(21), 6.0).is_some());
        assert!(sweep(&pictures(70.0), &patch(11), 6.0).is_none());
    }

    #[test]
    fn what_agrees_somewhat_nearby_and_better_farther_off_is_no_answer() {
        // Stripes that fade: one stripe off they agree, but less.
        let striped = |period: f64, shift: f64| {
            let value = |u: f64| {
                let off = u - 80.0;
                (100.0 + 80.0 * (-(off / 11.0).powi(2)).exp() * (std::f64::consts::TAU * off / period).cos()) as u8
            };
            let paint = |offset: f64| (0..160 * 64).map(|i| value(f64::from(i % 160) + offset)).collect();
            Pictures { left: paint(0.0), right: paint(shift), ..pictures(0.0) }
        };
        let (truth, period) = (20.0, 9.0);
        let near_truth = sweep(&striped(period, truth), &patch(truth + 1.0), 4.0).unwrap();
        assert!((near_truth.disparity + 1.0).abs() < 0.2, "{near_truth:?}");
        assert!(sweep(&striped(period, truth), &patch(truth + period), 4.0).is_none());
    }

    #[test]
    fn no_answer_beyond_the_range_or_without_contrast() {
        assert!(sweep(&pictures(30.0), &patch(20.0), 4.0).is_none());
        let flat = Pictures { left: vec![100; 160 * 64], right: vec![100; 160 * 64], ..pictures(0.0) };
        assert!(sweep(&flat, &patch(10.0), 8.0).is_none());
        assert!(sweep(&pictures(10.0), &patch(10.0)[..20], 8.0).is_none());
    }
}
