//! After shading: optical blur, sensor noise, packing to RGB. Integer arithmetic only.

use crate::scene::noise::hash;
use wide::{i8x16, i16x8, i16x16, u8x16};

/// How a finished picture is made from the shaded one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finish {
    pub width: usize,
    pub height: usize,
    /// Strength of the last binomial pass, 0..=256.
    pub blur: u16,
    /// Noise amplitude in 1/256 grey levels (standard deviation at mid-grey), at most 40 levels.
    pub noise: u32,
    /// Seeds this picture's noise.
    pub seed: u32,
}

/// One 3x3 binomial pass over RGBX rows, mixed with the original by `blur` of 256. `sum` is scratch.
pub(crate) fn blur_row(f: &Finish, source: &[u8], y: usize, sum: &mut Vec<u16>, out: &mut [u8]) {
    let stride = 4 * f.width;
    let row = |y: usize| &source[y * stride..(y + 1) * stride];
    let (above, here, below) = (row(y.saturating_sub(1)), row(y), row((y + 1).min(f.height - 1)));
    sum.resize(stride + 8, 0);
    for (((s, a), h), b) in sum[4..].iter_mut().zip(above).zip(here).zip(below) {
        *s = u16::from(*a).wrapping_add(u16::from(*h).wrapping_mul(2)).wrapping_add(u16::from(*b));
    }
    sum.copy_within(4..8, 0);
    sum.copy_within(stride..stride + 4, stride + 4);
    let (left, rest) = (&sum[..stride], &sum[4..]);
    let right = &sum[8..];
    // Both products and the rounding together stay below 65536.
    let (keep, blur) = (256u16.wrapping_sub(f.blur), f.blur);
    for ((((o, l), m), r), h) in out.iter_mut().zip(left).zip(rest).zip(right).zip(here) {
        let smooth = l.wrapping_add(m.wrapping_mul(2)).wrapping_add(*r).wrapping_add(8) >> 4;
        let mixed = u16::from(*h).wrapping_mul(keep).wrapping_add(smooth.wrapping_mul(blur));
        *o = (mixed.wrapping_add(128) >> 8) as u8;
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

/// Adds the noise of row `y` from `grain` to RGBX bytes. Shot noise: dark pixels get less. Black stays black (outside the field of
/// view).
pub(crate) fn noise_row(f: &Finish, grain: &[i8], y: usize, row: &mut [u8]) {
    if f.noise == 0 {
        return;
    }
    let from = (hash(y as i32, 17, 0, f.seed) as usize % GRAINS) & !3;
    // Wanted: grain * (level + 90) * noise / 64 / 27904, where 27904 is 218 (gain at mid-grey) * 32 (spread) * 256 (units of noise)
    // / 64. Scaling products divide by 32768, so with grain * 4 and (level + 90) * 64 this factor is left, at most 24048.
    let factor = i16x16::splat((f.noise * 32_768 / (218 * 64)) as i16);
    let grain = grain[from..from + 4 * f.width].as_chunks::<16>().0;
    for (row, grain) in row.as_chunks_mut::<16>().0.iter_mut().zip(grain) {
        let level = i16x16::from(u8x16::from(*row));
        let gain = ((level + i16x16::splat(90)) * i16x16::splat(64)).mul_scale_round(factor);
        let moved = (i16x16::from(i8x16::from(*grain)) * i16x16::splat(4)).mul_scale_round(gain);
        // Rounded towards zero from below, as in the pictures that the shipped model learnt from.
        let moved = moved - moved.simd_lt(i16x16::splat(0));
        let noisy = (level + moved) & level.simd_gt(i16x16::splat(0));
        let [low, high] = bytemuck::cast::<i16x16, [i16x8; 2]>(noisy);
        *row = u8x16::narrow_i16x8(low, high).to_array();
    }
}

/// RGB of RGBX bytes.
pub(crate) fn pack_row(row: &[u8], out: &mut [[u8; 3]]) {
    for (o, p) in out.as_chunks_mut::<8>().0.iter_mut().zip(row.as_chunks::<32>().0) {
        *o = pack(*p);
    }
}

/// RGB of eight RGBX pixels.
#[inline]
pub(crate) fn pack(pixels: [u8; 32]) -> [[u8; 3]; 8] {
    const RGB: u8x16 = u8x16::new([0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 3, 3, 3]);
    let [a, b] = bytemuck::cast::<[u8; 32], [[u8; 16]; 2]>(pixels);
    let twelve = |half: [u8; 16]| u128::from_le_bytes(u8x16::from(half).shuffle(RGB).to_array()) & (u128::MAX >> 32);
    let (a, b) = (twelve(a), twelve(b));
    // 24 bytes as three words: through memory they would be read before they are whole.
    let words = [a as u64, (a >> 64 | b << 32) as u64, (b >> 32) as u64];
    bytemuck::cast::<[[u8; 8]; 3], [[u8; 3]; 8]>(words.map(u64::to_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_drops_every_fourth_byte() {
        let pixels: [u8; 32] = std::array::from_fn(|i| i as u8);
        assert_eq!(pack(pixels), std::array::from_fn(|i| [0, 1, 2].map(|k| (4 * i + k) as u8)));
    }

    #[test]
    fn noise_is_the_grain_scaled_by_level_and_strength_and_leaves_black_alone() {
        let grain = grain(16);
        let finish = Finish { width: 16, height: 1, blur: 0, noise: 5 * 256, seed: 3 };
        let mut row: Vec<u8> = (0..64).map(|i| i * 4).collect();
        let from = (hash(0, 17, 0, finish.seed) as usize % GRAINS) & !3;
        noise_row(&finish, &grain, 0, &mut row);
        for (i, noisy) in row.iter().enumerate() {
            let level = 4.0 * i as f64;
            // At mid-grey, 128, a grain of 32 is one standard deviation: five levels.
            let moved = f64::from(grain[from + i]) / 32.0 * 5.0 * (level + 90.0) / 218.0;
            let error = f64::from(*noisy) - (level + moved).clamp(0.0, 255.0);
            // To the nearest level, except that what darkens is one level weaker; a twentieth for fixed point.
            let above = if moved < 0.0 { 1.55 } else { 0.55 };
            assert!(
                if i == 0 { *noisy == 0 } else { (-0.55..above).contains(&error) },
                "{level} moved {moved}: {noisy}"
            );
        }
    }
}
