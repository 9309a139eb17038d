//! Occlusion sensitivity (Zeiler & Fergus 2014): where a picture must not be covered lest the answer fades. Works with any model.

use super::{calibration::probability, measure::Answer};
use crate::PerceptionError;
use proctor_types::Class;
use std::ops::Range;

/// Side of the patch that covers, and by how much it moves, pixels of the picture in the network's input.
pub const PATCH: usize = 32;
const STRIDE: usize = 16;
/// Of the answer's pixels that a class was given to, one of so many in each direction is looked at.
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

/// What of the picture in the network's input is covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Columns, all of them in the picture.
    pub columns: Range<usize>,
    /// Rows.
    pub rows: Range<usize>,
}

/// Has `run` cover the picture, `w` by `h` pixels in the network's input, place by place.
pub fn occlude(
    (w, h): (usize, usize),
    class_of: &[usize; Class::COUNT],
    mut run: impl FnMut(Option<&Patch>) -> Result<Answer, PerceptionError>,
) -> Result<Saliency, PerceptionError> {
    let open = run(None)?;
    let (across, down) = open.size;
    let classes = class_of.iter().max().map_or(0, |k| k + 1);
    let at = |answer: &Answer, i: usize, k: usize| {
        probability(&std::array::from_fn(|c| answer.logits[c * across * down + i]), 1.0, k, class_of)
    };
    let mut watched: Vec<Vec<Watched>> = (0..classes).map(|_| Vec::new()).collect();
    for y in (0..down).step_by(STEP) {
        for x in (0..across).step_by(STEP) {
            let (i, k) = (y * across + x, class_of[usize::from(open.posterior.labels[y * across + x])]);
            let place = ((2 * x + 1) * w / (2 * across), (2 * y + 1) * h / (2 * down));
            watched[k].push(Watched { i, place, before: at(&open, i, k) });
        }
    }
    let (columns, rows) = (w.div_ceil(STRIDE), h.div_ceil(STRIDE));
    let mut loss =
        watched.iter().map(|p| if p.is_empty() { Vec::new() } else { vec![0.0; columns * rows] }).collect::<Vec<_>>();
    for place in 0..columns * rows {
        let start = |n: usize| (n * STRIDE + STRIDE / 2).saturating_sub(PATCH / 2);
        let end = |n: usize, size: usize| (n * STRIDE + STRIDE / 2 + PATCH / 2).min(size);
        let (x, y) = (place % columns, place / columns);
        let patch = Patch { columns: start(x)..end(x, w), rows: start(y)..end(y, h) };
        let covered = run(Some(&patch))?;
        for (k, pixels) in watched.iter().enumerate() {
            let seen =
                pixels.iter().filter(|p| !(patch.columns.contains(&p.place.0) && patch.rows.contains(&p.place.1)));
            let (sum, n) = seen.fold((0.0, 0u32), |(sum, n), p| (sum + p.before - at(&covered, p.i, k), n + 1));
            if n > 0 {
                loss[k][place] = sum / f64::from(n);
            }
        }
    }
    Ok(Saliency { columns, rows, loss })
}

/// A pixel of the answer: which, where it lies in the network's input, and its class's probability while nothing is covered.
struct Watched {
    i: usize,
    place: (usize, usize),
    before: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posterior::Posterior;

    #[test]
    fn covering_the_one_pixel_that_a_model_looks_at_is_what_counts() {
        let (w, h, key) = (64, 48, (43, 20));
        let each = std::array::from_fn(|c| c);
        // Everything is class 1 as long as the key pixel is bright, else class 2; answered for every pixel, or for every fourth.
        for finer in [1, 2] {
            let run = |patch: Option<&Patch>| {
                let covered = patch.is_some_and(|p| p.columns.contains(&key.0) && p.rows.contains(&key.1));
                let (size, n) = ((w / finer, h / finer), w / finer * (h / finer));
                let mut logits = vec![0.0; Class::COUNT * n];
                logits[n..2 * n].fill(if covered { 0.0 } else { 10.0 });
                logits[2 * n..3 * n].fill(4.0);
                let posterior = Posterior::new(Class::COUNT, 1.0, &logits)?;
                Ok(Answer { size, logits, posterior })
            };
            let found = occlude((w, h), &each, run).unwrap();
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

    #[test]
    fn what_is_under_the_patch_does_not_count() {
        // Each pixel of a coarse answer sees only what lies under it: a patch takes nothing from any other.
        let (w, h) = (64, 48);
        let each = std::array::from_fn(|c| c);
        let run = |patch: Option<&Patch>| {
            let (across, down) = (w / 2, h / 2);
            let n = across * down;
            let mut logits = vec![0.0; Class::COUNT * n];
            for (i, logit) in logits[n..2 * n].iter_mut().enumerate() {
                let (x, y) = (2 * (i % across) + 1, 2 * (i / across) + 1);
                let covered = patch.is_some_and(|p| p.columns.contains(&x) && p.rows.contains(&y));
                *logit = if covered { 0.0 } else { 5.0 };
            }
            let posterior = Posterior::new(Class::COUNT, 1.0, &logits)?;
            Ok(Answer { size: (across, down), logits, posterior })
        };
        let found = occlude((w, h), &each, run).unwrap();
        assert!(found.loss[1].iter().all(|loss| loss.abs() < 1e-9), "{:?}", found.loss[1]);
    }
}
