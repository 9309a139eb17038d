//! Whether the model is as often right as it says: reliability, expected calibration error, and temperature scaling (Guo et al. 2017).

use proctor_types::Class;

/// Equal steps of confidence.
pub const BINS: usize = 15;

/// A pixel that was looked at: its logits and its class of the comparison.
pub type Pixel = ([f32; Class::COUNT], usize);

/// How often the answer was right, by confidence.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bin {
    /// Pixels.
    pub pixels: u64,
    /// Of which the answer was right.
    pub right: u64,
    /// Sum of their confidences.
    pub confidence: f64,
}

/// By confidence, from 0 to 1.
pub type Bins = [Bin; BINS];

/// Probability of each class of the comparison at temperature `t`: soft-max of the logits over `t`, summed over what `class_of` merges.
pub(super) fn probability(logits: &[f32; Class::COUNT], t: f64, class: usize, class_of: &[usize; Class::COUNT]) -> f64 {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let (mut own, mut all) = (0.0, 0.0);
    for (logit, k) in logits.iter().zip(class_of) {
        let e = (f64::from(logit - top) / t).exp();
        all += e;
        own += if *k == class { e } else { 0.0 };
    }
    own / all
}

/// Class of the comparison that the model answers: that of its largest logit, the first among equals.
pub fn answer(logits: &[f32; Class::COUNT], class_of: &[usize; Class::COUNT]) -> usize {
    let best = (1..logits.len()).fold(0, |best, c| if logits[c] > logits[best] { c } else { best });
    class_of[best]
}

/// Sorts pixels by how sure the model is of its answer at temperature `t`.
pub fn bins(pixels: &[Pixel], t: f64, class_of: &[usize; Class::COUNT]) -> Bins {
    let mut bins = Bins::default();
    for (logits, truth) in pixels {
        let answer = answer(logits, class_of);
        let p = probability(logits, t, answer, class_of);
        let bin = &mut bins[((p * BINS as f64) as usize).min(BINS - 1)];
        bin.pixels += 1;
        bin.right += u64::from(answer == *truth);
        bin.confidence += p;
    }
    bins
}

/// Sums bins that count `times` each.
pub fn merge<'a>(all: impl Iterator<Item = (&'a Bins, u32)>) -> Bins {
    let mut out = Bins::default();
    for (bins, times) in all {
        for (sum, bin) in out.iter_mut().zip(bins) {
            sum.pixels += bin.pixels * u64::from(times);
            sum.right += bin.right * u64::from(times);
            sum.confidence += bin.confidence * f64::from(times);
        }
    }
    out
}

/// Expected calibration error: mean over pixels of how far a bin's confidence is from its share of right answers.
pub fn expected_error(bins: &Bins) -> Option<f64> {
    let pixels: u64 = bins.iter().map(|b| b.pixels).sum();
    let off: f64 = bins.iter().map(|b| (b.right as f64 - b.confidence).abs()).sum();
    (pixels > 0).then(|| off / pixels as f64)
}

/// Mean negative log likelihood of the truth, in nats; a probability below 1e-12 counts as that.
pub fn log_loss<'a>(pixels: impl Iterator<Item = &'a Pixel>, t: f64, class_of: &[usize; Class::COUNT]) -> f64 {
    let (sum, n) = pixels.fold((0.0, 0u64), |(sum, n), (logits, truth)| {
        (sum - probability(logits, t, *truth, class_of).max(1e-12).ln(), n + 1)
    });
    sum / n.max(1) as f64
}

/// The temperature between 0.2 and 20 with the least log loss: golden sections on its logarithm, to 0.1 %.
pub fn fit_temperature(pixels: &[&Pixel], class_of: &[usize; Class::COUNT]) -> f64 {
    let loss = |x: f64| log_loss(pixels.iter().copied(), x.exp(), class_of);
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.2f64.ln(), 20f64.ln());
    let (mut a, mut b) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_a, mut at_b) = (loss(a), loss(b));
    while high - low > 1e-3 {
        if at_a < at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - golden * (high - low);
            at_a = loss(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + golden * (high - low);
            at_b = loss(b);
        }
    }
    f64::midpoint(low, high).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: [usize; Class::COUNT] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

    /// Two classes that differ by `gap`, the others far below.
    fn pixel(gap: f32, truth: usize) -> Pixel {
        let mut logits = [-60.0; Class::COUNT];
        (logits[0], logits[1]) = (gap, 0.0);
        (logits, truth)
    }

    #[test]
    fn a_model_that_says_nine_tenths_and_is_right_half_the_time_errs_by_four_tenths() {
        let gap = 9f32.ln();
        let pixels: Vec<Pixel> = (0..10).map(|i| pixel(gap, i % 2)).collect();
        let b = bins(&pixels, 1.0, &EACH);
        assert_eq!((b[13].pixels, b[13].right), (10, 5), "0.9 * 15 = 13.5");
        assert!((expected_error(&b).unwrap() - 0.4).abs() < 1e-6);
        let loss = -(0.9f64.ln() + 0.1f64.ln()) / 2.0;
        assert!((log_loss(pixels.iter(), 1.0, &EACH) - loss).abs() < 1e-6);
        assert_eq!(expected_error(&Bins::default()), None);
    }

    #[test]
    fn bins_of_several_classes_agree_with_the_formula_written_out() {
        let random = |i: usize, c: usize| (((i * 10 + c) as f64 * 0.618_034).fract() * 8.0 - 4.0) as f32;
        let pixels: Vec<Pixel> = (0..300).map(|i| (std::array::from_fn(|c| random(i, c)), i % 3)).collect();
        // Classes 0 to 4 are merged into 0, 5 to 7 into 1, the rest into 2.
        let merged = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2];
        let t = 1.7;
        let mut sums = vec![(0.0, 0.0, 0.0); BINS];
        for (logits, truth) in &pixels {
            let e: Vec<f64> = logits.iter().map(|l| (f64::from(*l) / t).exp()).collect();
            let best = (0..10).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
            let p: f64 =
                (0..10).filter(|c| merged[*c] == merged[best]).map(|c| e[c]).sum::<f64>() / e.iter().sum::<f64>();
            let slot = &mut sums[((p * 15.0).floor() as usize).min(14)];
            *slot = (slot.0 + 1.0, slot.1 + p, slot.2 + f64::from(u8::from(merged[best] == *truth)));
        }
        let ece: f64 = sums.iter().filter(|s| s.0 > 0.0).map(|s| s.0 / 300.0 * (s.1 / s.0 - s.2 / s.0).abs()).sum();
        assert!((expected_error(&bins(&pixels, t, &merged)).unwrap() - ece).abs() < 1e-9);
    }

    #[test]
    fn the_temperature_makes_confidence_what_the_truth_deserves() {
        // Right 8 times of 10, said with 0.99: at temperature t the gap is ln 99 / t, and it should be ln 4.
        let pixels: Vec<Pixel> = (0..100).map(|i| pixel(99f32.ln(), usize::from(i % 10 < 2))).collect();
        let t = fit_temperature(&pixels.iter().collect::<Vec<_>>(), &EACH);
        let wanted = 99f64.ln() / 4f64.ln();
        assert!((t - wanted).abs() < 0.005 * wanted, "{t}, should be {wanted}");
        assert!(expected_error(&bins(&pixels, t, &EACH)).unwrap() < 0.002);
    }

    #[test]
    fn merging_counts_bins_as_often_as_they_were_drawn() {
        let (a, b) = (bins(&[pixel(3.0, 0)], 1.0, &EACH), bins(&[pixel(3.0, 1)], 1.0, &EACH));
        let m = merge([(&a, 2), (&b, 1)].into_iter());
        assert_eq!((m[14].pixels, m[14].right), (3, 2));
    }
}
