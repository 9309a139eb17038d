//! Occlusion sensitivity (Zeiler & Fergus 2014): where a picture must not be covered lest the answer fades. Works with any model.

use super::calibration::probability;
use crate::{PerceptionError, posterior::Posterior};
use proctor_types::Class;

/// Side of the patch that covers, and by how much it moves, pixels of the network's picture.
pub const PATCH: usize = 32;
const STRIDE: usize = 16;
/// Of the pixels that a class was given to, one of so many in each direction is looked at.
const STEP: usize = 2;

/// How much a class loses where the picture is covered.
#[derive(Debug, Clone, PartialEq)]
pub struct Saliency {
    /// Places of the patch across and down.
    pub columns: usize,
    /// See `columns`.
    pub rows: usize,
    /// By class of the comparison: per place, how much probability the pixels that were given to the class lose on average, those under the
    /// patch aside; empty for a class that has no pixel.
    pub loss: Vec<Vec<f64>>,
}

/// Covers `input` (normalised, so that 0 is the mean colour) place by place and asks `run` for logits.
pub fn occlude(
    input: &[f32],
    (w, h): (usize, usize),
    class_of: &[usize; Class::COUNT],
    mut run: impl FnMut(&[f32]) -> Result<(Vec<f32>, Posterior), PerceptionError>,
) -> Result<Saliency, PerceptionError> {
    let (logits, posterior) = run(input)?;
    let classes = class_of.iter().max().map_or(0, |k| k + 1);
    let at = |logits: &[f32], i: usize, k: usize| {
        probability(&std::array::from_fn(|c| logits[c * w * h + i]), 1.0, k, class_of)
    };
    let mut watched: Vec<Vec<(usize, f64)>> = vec![Vec::new(); classes];
    for y in (0..h).step_by(STEP) {
        for x in (0..w).step_by(STEP) {
            let (i, k) = (y * w + x, class_of[usize::from(posterior.labels[y * w + x])]);
            watched[k].push((i, at(&logits, i, k)));
        }
    }
    let (columns, rows) = (w.div_ceil(STRIDE), h.div_ceil(STRIDE));
    let mut loss =
        watched.iter().map(|p| if p.is_empty() { Vec::new() } else { vec![0.0; columns * rows] }).collect::<Vec<_>>();
    for place in 0..columns * rows {
        let start = |n: usize| (n * STRIDE + STRIDE / 2).saturating_sub(PATCH / 2);
        let end = |n: usize, size: usize| (n * STRIDE + STRIDE / 2 + PATCH / 2).min(size);
        let (across, down) = (place % columns, place / columns);
        let (x, y) = (start(across)..end(across, w), start(down)..end(down, h));
        let mut covered = input.to_vec();
        for plane in covered.chunks_exact_mut(w * h) {
            y.clone().for_each(|row| plane[row * w + x.start..row * w + x.end].fill(0.0));
        }
        let (logits, _) = run(&covered)?;
        for (k, pixels) in watched.iter().enumerate() {
            let open = pixels.iter().filter(|(i, _)| !(x.contains(&(i % w)) && y.contains(&(i / w))));
            let (sum, n) = open.fold((0.0, 0u32), |(sum, n), (i, before)| (sum + before - at(&logits, *i, k), n + 1));
            if n > 0 {
                loss[k][place] = sum / f64::from(n);
            }
        }
    }
    Ok(Saliency { columns, rows, loss })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covering_the_one_pixel_that_a_model_looks_at_is_what_counts() {
        let (w, h, key) = (64, 48, 20 * 64 + 43);
        let each = std::array::from_fn(|c| c);
        let input = vec![2.0; 3 * w * h];
        // Everything is class 1 as long as the key pixel is bright, else class 2.
        let run = |input: &[f32]| {
            let mut logits = vec![0.0; Class::COUNT * w * h];
            logits[w * h..2 * w * h].fill(5.0 * input[key]);
            logits[2 * w * h..3 * w * h].fill(4.0);
            let posterior = Posterior::new(Class::COUNT, &logits)?;
            Ok((logits, posterior))
        };
        let found = occlude(&input, (w, h), &each, run).unwrap();
        assert_eq!((found.columns, found.rows), (4, 3));
        let soft = |a: f64, b: f64| a.exp() / (a.exp() + b.exp() + 8.0);
        for (place, loss) in found.loss[1].iter().enumerate() {
            let (cx, cy) = (place % 4 * 16 + 8, place / 4 * 16 + 8);
            let covered =
                (cx as i32 - 16..cx as i32 + 16).contains(&43) && (cy as i32 - 16..cy as i32 + 16).contains(&20);
            let wanted = if covered { soft(10.0, 4.0) - soft(0.0, 4.0) } else { 0.0 };
            assert!((loss - wanted).abs() < 1e-6, "{place}: {loss} {wanted}");
        }
        assert!(found.loss[2].is_empty(), "class 2 has no pixel to lose");
    }
}
