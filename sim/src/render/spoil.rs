//! Faults of a picture that another renderer drew: what they do between its scene and its lens.

use super::{
    ImageFaults,
    shade::{BLOOD, LENS_CELL, SMOKE, STAIN, STAIN_ITSELF, lens_film},
};
use crate::scene::noise::{fbm2, mix};
use proctor_types::Image;
use std::array::from_fn;

/// Display gamma that the other renderer is taken to have.
const GAMMA: f32 = 2.2;
/// Steps from linear light back to bytes.
const STEPS: usize = 4096;
/// Size of a wisp of smoke, pixels.
const WISP: f32 = 90.0;
/// Rows and columns between two places where smoke is worked out.
const SMOKE_CELL: usize = 8;

/// `picture` with the faults of it: smoke as everything were 90 mm away (the depth of another's picture is not known), blood on the lens, or black.
/// Where smoke and blood are follows from `seed`; `seq` lets the smoke drift.
pub fn spoiled(picture: Image<[u8; 3]>, faults: &ImageFaults, seed: u32, seq: u64) -> Image<[u8; 3]> {
    if *faults == ImageFaults::default() {
        return picture;
    }
    let (width, height) = (picture.width(), picture.height());
    let mut pixels = picture.into_pixels().unwrap_or_else(|shared| shared.pixels().to_vec());
    if faults.blackout {
        pixels.fill([0; 3]);
    } else {
        let grid = |cell: usize| (width / cell + 2, height / cell + 2);
        let blood = Film { cell: LENS_CELL, columns: grid(LENS_CELL).0, at: blood(faults, seed, grid(LENS_CELL)) };
        let smoke =
            Film { cell: SMOKE_CELL, columns: grid(SMOKE_CELL).0, at: smoke(faults, (seed, seq), grid(SMOKE_CELL)) };
        let light: [f32; 256] = from_fn(|byte| libm::powf(byte as f32 / 255.0, GAMMA));
        let bytes: [u8; STEPS + 1] =
            from_fn(|step| (libm::powf(step as f32 / STEPS as f32, 1.0 / GAMMA) * 255.0 + 0.5) as u8);
        for (y, row) in pixels.chunks_exact_mut(width).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let (smoke, blood) = (smoke.at(x, y), blood.at(x, y));
                let seen: [f32; 3] = from_fn(|c| mix(light[usize::from(pixel[c])], SMOKE[c], smoke));
                let grey = seen.iter().sum::<f32>() / 3.0;
                *pixel = from_fn(|c| {
                    let stained = (seen[c] * 0.3 + grey * 0.2) * STAIN[c] + STAIN_ITSELF[c];
                    bytes[(mix(seen[c], stained, blood).clamp(0.0, 1.0) * STEPS as f32) as usize]
                });
            }
        }
    }
    Image::new(width, height, pixels).expect("a picture of the same size")
}

/// Something before the lens, known on a coarse grid; nothing if that is empty.
struct Film {
    cell: usize,
    columns: usize,
    at: Vec<f32>,
}

impl Film {
    /// How much it hides of a pixel, in [0, 1].
    fn at(&self, x: usize, y: usize) -> f32 {
        if self.at.is_empty() {
            return 0.0;
        }
        let part = |v: usize| (v % self.cell) as f32 / self.cell as f32;
        let at = |dx: usize, dy: usize| self.at[(y / self.cell + dy) * self.columns + x / self.cell + dx];
        mix(mix(at(0, 0), at(1, 0), part(x)), mix(at(0, 1), at(1, 1), part(x)), part(y))
    }
}

fn blood(faults: &ImageFaults, seed: u32, grid: (usize, usize)) -> Vec<f32> {
    if faults.blood > 0.0 { lens_film(seed, grid, faults.blood, &BLOOD) } else { Vec::new() }
}

fn smoke(faults: &ImageFaults, (seed, seq): (u32, u64), (columns, rows): (usize, usize)) -> Vec<f32> {
    if faults.smoke <= 0.0 {
        return Vec::new();
    }
    let through = 1.0 - faults.smoke.min(1.0);
    let drift = (seq % (1 << 20)) as f32 * 0.02;
    let hidden = |cell: usize| {
        let (x, y) = ((cell % columns * SMOKE_CELL) as f32, (cell / columns * SMOKE_CELL) as f32);
        let wisp = 0.5 + 0.5 * fbm2(x / WISP + drift, y / WISP + 0.37 * drift, 3, seed);
        let thickness = 0.35 + 1.1 * wisp;
        // As in `Shader::add_smoke`.
        1.0 - through / (through + (1.0 - through) * thickness)
    };
    (0..columns * rows).map(hidden).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (640, 480);

    fn chequered() -> Image<[u8; 3]> {
        let pixel =
            |i: usize| if (i % SIZE.0 / 4 + i / SIZE.0 / 4).is_multiple_of(2) { [180, 90, 80] } else { [40, 20, 20] };
        Image::new(SIZE.0, SIZE.1, (0..SIZE.0 * SIZE.1).map(pixel).collect()).unwrap()
    }

    fn spoil(faults: ImageFaults) -> Image<[u8; 3]> {
        spoiled(chequered(), &faults, 1, 7)
    }

    /// Mean and standard deviation of the green channel.
    fn green(picture: &Image<[u8; 3]>) -> (f64, f64) {
        let values: Vec<f64> = picture.pixels().iter().map(|p| f64::from(p[1])).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt())
    }

    #[test]
    fn a_picture_without_a_fault_stays_as_it_is() {
        assert_eq!(spoil(ImageFaults::default()).pixels(), chequered().pixels());
    }

    #[test]
    fn smoke_hides_contrast_the_more_the_denser_and_all_at_last() {
        let clear = green(&chequered()).1;
        let at = |smoke| green(&spoil(ImageFaults { smoke, ..ImageFaults::default() }));
        let (thin, dense, all) = (at(0.3), at(0.8), at(1.0));
        assert!(clear > thin.1 && thin.1 > 2.0 * dense.1 && dense.1 > all.1, "{clear} {thin:?} {dense:?} {all:?}");
        assert!(all.1 < 1.0 && (all.0 - 164.0).abs() < 2.0, "smoke itself is a light grey: {all:?}");
    }

    #[test]
    fn blood_swallows_green_where_it_lies_and_everywhere_at_last() {
        let at = |blood| spoil(ImageFaults { blood, ..ImageFaults::default() });
        let part = at(0.3);
        let covered = part.pixels().iter().zip(chequered().pixels()).filter(|(a, b)| 2 * a[1] < b[1]).count();
        let share = covered as f64 / part.pixels().len() as f64;
        assert!((0.1..0.9).contains(&share), "{share} of the picture is covered");
        assert!(at(1.0).pixels().iter().all(|p| p[0] > 2 * p[1]));
    }

    #[test]
    fn a_blackout_is_black() {
        let black = spoil(ImageFaults { blackout: true, smoke: 0.5, blood: 0.5 });
        assert!(black.pixels().iter().all(|p| *p == [0; 3]));
    }
}
