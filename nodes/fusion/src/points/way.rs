//! Where a point fixed to an arm was over time.

use super::Placed;
use nalgebra::{Point3, Vector3};

/// A way through space. Stamps rise strictly; between two samples that are near enough in time it is straight.
#[derive(Debug, Clone, Default)]
pub struct Way {
    samples: Vec<Placed>,
    /// Indices, in what was given, of samples that cannot be: see [`Way::jumps`].
    jumps: Vec<usize>,
}

/// Widest gap between samples that is bridged, s.
const BRIDGED: f64 = 0.25;
/// Fastest a tool's tip moves, m/s, and what a sample may be off besides, m.
const FASTEST: f64 = 0.8;
const SLACK: f64 = 0.003;
/// Steps from sample to sample that are larger are separate poses, not a way, m (median).
const SEPARATE: f64 = 0.008;

impl Way {
    /// How long an arm must stand still to be at rest, s.
    pub const STILL: f64 = 1.0;
    /// Movement that is none, m (root mean square).
    pub const RESTS: f64 = 5e-5;

    /// Of samples with rising stamps. A sample that the arm cannot have reached from its neighbours, which agree with each other, is left
    /// out and remembered.
    pub fn new(samples: &[Placed]) -> Self {
        let mut jumps = Vec::new();
        let mut steps: Vec<f64> = samples.windows(2).map(|w| (w[1].at - w[0].at).norm()).collect();
        let step = crate::shaft::median(&mut steps).unwrap_or(0.0);
        if step < SEPARATE {
            for (i, three) in samples.windows(3).enumerate() {
                let [before, here, after] = three else { continue };
                let reach = |a: &Placed, b: &Placed| FASTEST * (b.t - a.t) + SLACK;
                let far = |a: &Placed, b: &Placed| (b.at - a.at).norm() > reach(a, b);
                let lone = far(before, here) && far(here, after) && !far(before, after);
                if lone && jumps.last() != Some(&i) {
                    jumps.push(i + 1);
                }
            }
        }
        let kept = samples.iter().enumerate().filter(|(i, _)| jumps.binary_search(i).is_err());
        Self { samples: kept.map(|(_, s)| *s).collect(), jumps }
    }

    /// The samples that are used.
    pub fn samples(&self) -> &[Placed] {
        &self.samples
    }

    /// Indices of the samples that were left out.
    pub fn jumps(&self) -> &[usize] {
        &self.jumps
    }

    /// Whether the arm was followed while it moved, rather than measured where it stood.
    pub fn is_continuous(&self) -> bool {
        let mut steps: Vec<f64> = self.samples.windows(2).map(|w| (w[1].at - w[0].at).norm()).collect();
        crate::shaft::median(&mut steps).is_some_and(|step| step < SEPARATE)
    }

    /// First and last stamp, s.
    pub fn span(&self) -> Option<(f64, f64)> {
        Some((self.samples.first()?.t, self.samples.last()?.t))
    }

    /// Where it was at `t`; `None` outside the samples and in gaps. Separate poses hold at their own stamp only, to a millisecond.
    pub fn at(&self, t: f64) -> Option<Point3<f64>> {
        let after = self.samples.partition_point(|s| s.t < t);
        let near = |i: usize| self.samples.get(i).filter(|s| (s.t - t).abs() <= 1e-3).map(|s| s.at);
        let (Some(a), Some(b)) = (after.checked_sub(1).and_then(|i| self.samples.get(i)), self.samples.get(after))
        else {
            return near(after).or_else(|| near(after.checked_sub(1)?));
        };
        if b.t - a.t > BRIDGED {
            return near(after).or_else(|| near(after - 1));
        }
        Some(a.at + (b.at - a.at) * ((t - a.t) / (b.t - a.t)))
    }

    /// How fast it was at `t`, m/s.
    pub fn velocity(&self, t: f64) -> Vector3<f64> {
        const HALF: f64 = 0.02;
        match (self.at(t - HALF), self.at(t + HALF)) {
            (Some(a), Some(b)) => (b - a) / (2.0 * HALF),
            _ => Vector3::zeros(),
        }
    }

    /// The same way without the spans of [`Way::STILL`] in which it rests: what rests tells hardly anything, and poses that are frozen tell lies.
    #[must_use]
    pub fn moving(&self) -> Self {
        let half = 0.5 * Self::STILL;
        let moves = |s: &&Placed| self.spread(s.t - half, s.t + half) >= Self::RESTS;
        Self { samples: self.samples.iter().filter(moves).copied().collect(), jumps: Vec::new() }
    }

    /// Root mean square distance from the mean place within a span of time, m.
    pub fn spread(&self, from: f64, to: f64) -> f64 {
        let (low, high) = (self.samples.partition_point(|s| s.t < from), self.samples.partition_point(|s| s.t <= to));
        let within: Vec<_> = self.samples[low..high].iter().map(|s| s.at.coords).collect();
        let n = within.len().max(1) as f64;
        let mean = within.iter().sum::<Vector3<f64>>() / n;
        (within.iter().map(|p| (p - mean).norm_squared()).sum::<f64>() / n).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ms: &[i32]) -> Vec<Placed> {
        let at = |t: f64| Point3::new(0.02 * t, -0.01 * t, 0.1);
        ms.iter().map(|m| f64::from(*m) * 1e-3).map(|t| Placed { t, at: at(t) }).collect()
    }

    #[test]
    fn between_samples_it_is_straight_and_in_gaps_unknown() {
        let way = Way::new(&line(&[0, 33, 66, 700, 733]));
        assert!((way.at(0.05).unwrap() - Point3::new(0.001, -0.0005, 0.1)).norm() < 1e-12);
        assert_eq!((way.at(0.3), way.at(-0.1), way.at(0.8)), (None, None, None));
        assert!((way.velocity(0.03) - Vector3::new(0.02, -0.01, 0.0)).norm() < 1e-9);
    }

    #[test]
    fn one_sample_that_cannot_be_is_left_out_and_a_real_jump_is_not() {
        let mut samples = line(&[0, 33, 66, 99, 132, 165, 198]);
        samples[2].at.x += 0.08;
        let way = Way::new(&samples);
        assert_eq!(way.jumps(), [2]);
        assert!((way.at(0.066).unwrap().x - 0.00132).abs() < 1e-6);
        let mut moved = line(&[0, 33, 66, 99, 132, 165, 198]);
        moved[3..].iter_mut().for_each(|s| s.at.x += 0.08);
        assert!(Way::new(&moved).jumps().is_empty());
    }
}
