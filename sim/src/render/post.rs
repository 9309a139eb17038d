//! After shading: optical blur, sensor noise, packing to RGB. Integer arithmetic only.

use crate::scene::noise::hash;

/// How a finished picture is made from the shaded one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finish {
    pub width: usize,
    pub height: usize,
    /// Strength of the last binomial pass, 0..=256.
    pub blur: u16,
    /// Noise amplitude in 1/256 grey levels (standard deviation at mid-grey).
    pub noise: u32,
    /// Seeds this picture's noise.
    pub seed: u32,
}

/// One 3x3 binomial pass over RGBX rows, mixed with the original by `blur` of 256.
pub(crate) fn blur_row(source: &[u8], width: usize, height: usize, y: usize, blur: u16, out: &mut [u8]) {
    let stride = 4 * width;
    let row = |y: usize| &source[y * stride..(y + 1) * stride];
    let (above, here, below) = (row(y.saturating_sub(1)), row(y), row((y + 1).min(height - 1)));
    let mut sum = vec![0u16; stride + 8];
    for (((s, a), h), b) in sum[4..].iter_mut().zip(above).zip(here).zip(below) {
        *s = u16::from(*a).wrapping_add(u16::from(*h).wrapping_mul(2)).wrapping_add(u16::from(*b));
    }
    sum.copy_within(4..8, 0);
    sum.copy_within(stride..stride + 4, stride + 4);
    let (left, rest) = (&sum[..stride], &sum[4..]);
    let right = &sum[8..];
    for ((((o, l), m), r), h) in out.iter_mut().zip(left).zip(rest).zip(right).zip(here) {
        let smooth = l.wrapping_add(m.wrapping_mul(2)).wrapping_add(*r).wrapping_add(8) >> 4;
        let keep = u16::from(*h).wrapping_mul(256u16.wrapping_sub(blur));
        *o = (u32::from(keep).wrapping_add(u32::from(smooth).wrapping_mul(u32::from(blur))).wrapping_add(128) >> 8)
            as u8;
    }
}

/// Entries of the noise table beyond what a row reads.
const GRAINS: usize = 1 << 15;

/// A table of grain in RGBX order: mostly luminance, a little colour, about normal with a standard deviation of 32.
pub(crate) fn grain(width: usize) -> Vec<i8> {
    let byte = |h: u32, k: u32| ((h >> (8 * k)) & 255) as i32;
    (0..GRAINS + 4 * width)
        .map(|i| {
            let (pixel, channel) = ((i / 4) as i32, (i % 4) as i32);
            let (grey, own) = (hash(pixel, 0, 5, 77), hash(pixel, 1 + channel, 5, 77));
            // Sums of four bytes: standard deviation 148 each; 0.19 and 0.1 of them make 32 together.
            let sum = |h: u32| byte(h, 0) + byte(h, 1) + byte(h, 2) + byte(h, 3) - 510;
            ((sum(grey) * 49 + sum(own) * 26) / 256).clamp(-127, 127) as i8
        })
        .collect()
}

/// Noise of row `y` from `grain`, then RGB. Shot noise: dark pixels get less. Black stays black (outside the field of view).
pub(crate) fn pack_row(f: &Finish, grain: &[i8], row: &mut [u8], y: usize, out: &mut [[u8; 3]]) {
    if f.noise > 0 {
        let from = (hash(y as i32, 17, 0, f.seed) as usize % GRAINS) & !3;
        let strength = f.noise as i32;
        for (v, n) in row.iter_mut().zip(&grain[from..from + 4 * f.width]) {
            let level = i32::from(*v);
            // 218 (gain at mid-grey) * 32 (spread) * 256 (units of noise) / 64 = 27904.
            let moved = i32::from(*n).wrapping_mul(level.wrapping_add(90)).wrapping_mul(strength) >> 6;
            let noisy = level.wrapping_add(moved.wrapping_add(13_952) / 27_904).clamp(0, 255);
            *v = if level == 0 { 0 } else { noisy as u8 };
        }
    }
    for (o, p) in out.iter_mut().zip(row.chunks_exact(4)) {
        *o = [p[0], p[1], p[2]];
    }
}
