//! Percentile bootstrap over frames (Efron 1979): how far a figure would move with other frames of the same kind.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A figure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Of the frames as they are.
    pub value: f64,
    /// 2.5th and 97.5th percentile over resampled frames.
    pub low: f64,
    /// See `low`.
    pub high: f64,
}

/// Drawings of frames with replacement, the same for every figure.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    frames: usize,
    /// How often each frame was drawn, per drawing.
    drawings: Vec<Vec<u32>>,
}

impl Bootstrap {
    /// `replicates` drawings of `frames` frames.
    pub fn new(frames: usize, replicates: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = || {
            let mut times = vec![0; frames];
            (0..frames).for_each(|_| times[rng.random_range(0..frames)] += 1);
            times
        };
        Self { frames, drawings: (0..replicates).map(|_| draw()).collect() }
    }

    /// A figure of frames that count `times[i]` times each; `None` where it cannot be told. Drawings in which it cannot be told are left
    /// out of the interval.
    pub fn estimate(&self, figure: impl Fn(&[u32]) -> Option<f64>) -> Option<Estimate> {
        let value = figure(&vec![1; self.frames])?;
        let mut drawn: Vec<f64> = self.drawings.iter().filter_map(|times| figure(times)).collect();
        drawn.sort_by(f64::total_cmp);
        let at = |share: f64| percentile(&drawn, share).unwrap_or(value);
        Some(Estimate { value, low: at(0.025), high: at(0.975) })
    }
}

/// Nearest-rank percentile of ascending values; `None` of none.
pub fn percentile(ascending: &[f64], share: f64) -> Option<f64> {
    let rank = (share * ascending.len() as f64).ceil() as usize;
    ascending.get(rank.clamp(1, ascending.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f64]) -> impl Fn(&[u32]) -> Option<f64> + '_ {
        |times| {
            let n: u32 = times.iter().sum();
            Some(values.iter().zip(times).map(|(v, t)| v * f64::from(*t)).sum::<f64>() / f64::from(n))
        }
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_approximation() {
        // 400 values whose mean has the standard error sqrt(variance / 400).
        let values: Vec<f64> = (0..400).map(|i| f64::from(i * 37 % 101)).collect();
        let average = values.iter().sum::<f64>() / 400.0;
        let variance = values.iter().map(|v| (v - average).powi(2)).sum::<f64>() / 400.0;
        let e = Bootstrap::new(400, 2000, 1).estimate(mean(&values)).unwrap();
        let error = 1.96 * (variance / 400.0).sqrt();
        assert!((e.value - average).abs() < 1e-9);
        assert!(
            (e.value - e.low - error).abs() < 0.15 * error && (e.high - e.value - error).abs() < 0.15 * error,
            "{e:?}"
        );
    }

    #[test]
    fn one_frame_has_no_spread_and_the_seed_decides_the_drawings() {
        assert_eq!(Bootstrap::new(1, 50, 3).estimate(mean(&[7.0])), Some(Estimate { value: 7.0, low: 7.0, high: 7.0 }));
        let of = |seed| Bootstrap::new(9, 20, seed).drawings;
        assert!(of(4) == of(4) && of(4) != of(5));
        assert_eq!(Bootstrap::new(3, 10, 1).estimate(|_| None), None);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let v: Vec<f64> = (1..=40).map(f64::from).collect();
        assert_eq!([0.0, 0.025, 0.5, 0.95, 1.0].map(|p| percentile(&v, p)), [1.0, 1.0, 20.0, 38.0, 40.0].map(Some));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
