//! How far outlines lie apart, in pixels.

use super::bootstrap::percentile;
use crate::PerceptionError;
use opencv::{
    core::{CV_32F, Mat, MatTraitConstManual as _},
    imgproc,
};

/// A picture's classes by pixel: index of the class, `None` where ignored.
pub type Classes<'a> = &'a [Option<usize>];

/// What became of a class's outline in one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outline {
    /// Neither truth nor answer has one.
    Absent,
    /// Only the truth has one.
    Missed,
    /// Only the answer has one.
    Invented,
    /// Both have one.
    Apart {
        /// Mean distance from a pixel of either outline to the other outline (average symmetric surface distance).
        mean: f64,
        /// The larger of both directions' 95th percentiles (HD95).
        hd95: f64,
    },
}

impl Outline {
    /// Compares one class's outline in a picture `width` wide. A pixel of the class is on its outline if a pixel above, below, left or
    /// right of it is of another class: the picture's edge and ignored pixels make no outline.
    pub fn compare(truth: Classes, answer: Classes, width: usize, class: usize) -> Result<Self, PerceptionError> {
        let [truth, answer] = [truth, answer].map(|c| outline(c, width, class));
        match (truth.is_empty(), answer.is_empty()) {
            (true, true) => return Ok(Self::Absent),
            (false, true) => return Ok(Self::Missed),
            (true, false) => return Ok(Self::Invented),
            (false, false) => {}
        }
        let size = (width, truth_size(&truth, &answer, width));
        let there = distances(&truth, &answer, size)?;
        let back = distances(&answer, &truth, size)?;
        let n = (there.len() + back.len()) as f64;
        let mean = there.iter().chain(&back).sum::<f64>() / n;
        let far = |d: &[f64]| percentile(d, 0.95).unwrap_or(0.0);
        Ok(Self::Apart { mean, hd95: far(&there).max(far(&back)) })
    }
}

/// Rows that both outlines need.
fn truth_size(a: &[usize], b: &[usize], width: usize) -> usize {
    a.iter().chain(b).max().map_or(0, |last| last / width + 1)
}

fn outline(classes: Classes, width: usize, class: usize) -> Vec<usize> {
    let other = |at: usize| classes[at].is_some_and(|c| c != class);
    let on = |at: usize| {
        let (x, n) = (at % width, classes.len());
        (x > 0 && other(at - 1))
            || (x + 1 < width && other(at + 1))
            || (at >= width && other(at - width))
            || (at + width < n && other(at + width))
    };
    (0..classes.len()).filter(|at| classes[*at] == Some(class) && on(*at)).collect()
}

/// Distance of each place of `from` to the nearest of `to`, ascending.
fn distances(from: &[usize], to: &[usize], (width, height): (usize, usize)) -> Result<Vec<f64>, PerceptionError> {
    let mut plane = vec![1u8; width * height];
    to.iter().for_each(|at| plane[*at] = 0);
    let source = Mat::new_rows_cols_with_data(height as i32, width as i32, &plane)?;
    let mut out = Mat::default();
    // Exact Euclidean distances (Felzenszwalb & Huttenlocher 2004).
    imgproc::distance_transform(&source, &mut out, imgproc::DIST_L2, imgproc::DIST_MASK_PRECISE, CV_32F)?;
    let all = out.data_typed::<f32>()?;
    let mut found: Vec<f64> = from.iter().map(|at| f64::from(all[*at])).collect();
    found.sort_by(f64::total_cmp);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(rows: &[&str]) -> (Vec<Option<usize>>, usize) {
        let pixels = rows.iter().flat_map(|r| r.bytes()).map(|b| (b != b'?').then(|| usize::from(b - b'0'))).collect();
        (pixels, rows[0].len())
    }

    fn brute(a: &[usize], b: &[usize], w: usize) -> Vec<f64> {
        let apart = |p: usize, q: usize| ((p % w) as f64 - (q % w) as f64).hypot((p / w) as f64 - (q / w) as f64);
        let mut d: Vec<f64> = a.iter().map(|p| b.iter().map(|q| apart(*p, *q)).fold(f64::MAX, f64::min)).collect();
        d.sort_by(f64::total_cmp);
        d
    }

    #[test]
    fn a_square_moved_by_two_columns_is_measured_as_by_hand() {
        let (truth, w) = picture(&["000000", "011000", "011000", "000000"]);
        let (answer, _) = picture(&["000000", "000110", "000110", "000000"]);
        // Columns 1, 2 against 3, 4: distances 2, 1 and 1, 2, twice each.
        assert_eq!(Outline::compare(&truth, &answer, w, 1).unwrap(), Outline::Apart { mean: 1.5, hd95: 2.0 });
        assert_eq!(Outline::compare(&truth, &truth, w, 1).unwrap(), Outline::Apart { mean: 0.0, hd95: 0.0 });
        let (none, _) = picture(&["000000"; 4]);
        assert_eq!(Outline::compare(&truth, &none, w, 1).unwrap(), Outline::Missed);
        assert_eq!(Outline::compare(&none, &answer, w, 1).unwrap(), Outline::Invented);
        assert_eq!(Outline::compare(&none, &none, w, 1).unwrap(), Outline::Absent);
        // The picture's edge is no outline, nor is what is ignored.
        let (edge, w) = picture(&["1?00", "1?00"]);
        assert_eq!(Outline::compare(&edge, &edge, w, 1).unwrap(), Outline::Absent);
    }

    #[test]
    fn distances_agree_with_every_pair_measured() {
        let w = 41;
        let hashed = |i: usize, k: u32| (i as u32 ^ k).wrapping_mul(0x9E37_79B1) >> 20;
        for k in 1..6u32 {
            let blob = |shift: usize, k: u32| -> Vec<Option<usize>> {
                (0..w * 29)
                    .map(|i| {
                        let (x, y) = ((i % w) as f64 - 15.0 - shift as f64, (i / w) as f64 - 14.0);
                        Some(usize::from(x.hypot(y) < 8.0 + f64::from(hashed(i, k) % 5)))
                    })
                    .collect()
            };
            let (truth, answer) = (blob(0, k), blob(k as usize, k + 9));
            let (a, b) = (outline(&truth, w, 1), outline(&answer, w, 1));
            let (there, back) = (brute(&a, &b, w), brute(&b, &a, w));
            let Outline::Apart { mean, hd95 } = Outline::compare(&truth, &answer, w, 1).unwrap() else { panic!() };
            let by_hand = there.iter().chain(&back).sum::<f64>() / (there.len() + back.len()) as f64;
            let rank = |d: &[f64]| d[(0.95 * d.len() as f64).ceil() as usize - 1];
            assert!((mean - by_hand).abs() < 1e-4, "{mean} {by_hand}");
            assert!((hd95 - rank(&there).max(rank(&back))).abs() < 1e-4);
        }
    }
}
