//! How long a picture takes from the shutter to the console, as picture, as segmentation, as scene: mean and 99th percentile of the
//! newest ones, for the page and for `/diagnostics`.

use proctor_types::{Diagnosis, Diagnostics, Health, Stamp};
use std::collections::VecDeque;

/// How many of the newest count: ten seconds at 30 Hz.
const NEWEST: usize = 300;
/// Mean latency of scenes above which somebody should look, ms: SAFETY.md lets a scene be 500 ms old.
const SLOW_MS: f64 = 300.0;

/// Latencies of the newest messages of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lag {
    ms: VecDeque<f64>,
}

/// Mean and 99th percentile, ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Mean.
    pub mean_ms: f64,
    /// Longest but for one in a hundred.
    pub p99_ms: f64,
}

impl Lag {
    /// What was taken at `stamp` came at `now`.
    pub fn record(&mut self, now: Stamp, stamp: Stamp) {
        if self.ms.len() == NEWEST {
            self.ms.pop_front();
        }
        self.ms.push_back(now.seconds_since(stamp) * 1e3);
    }

    /// Of the newest; `None` until there is one.
    pub fn figures(&self) -> Option<Figures> {
        let mut sorted: Vec<f64> = self.ms.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let p99_ms = *sorted.get((sorted.len() * 99).div_ceil(100).saturating_sub(1))?;
        Some(Figures { mean_ms: sorted.iter().sum::<f64>() / sorted.len() as f64, p99_ms })
    }
}

/// From the shutter to the console.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latency {
    /// The picture itself.
    pub picture: Lag,
    /// Its segmentation.
    pub segmentation: Lag,
    /// The scene made of it.
    pub scene: Lag,
}

impl Latency {
    /// For `/diagnostics`.
    pub fn diagnostics(&self, now: Stamp) -> Diagnostics {
        let stages = [("picture", &self.picture), ("segmentation", &self.segmentation), ("scene", &self.scene)];
        let all = stages.into_iter().map(|(name, lag)| diagnosis(name, lag.figures())).collect();
        Diagnostics { stamp: now, all }
    }
}

fn diagnosis(stage: &str, figures: Option<Figures>) -> Diagnosis {
    let name = format!("latency: camera to {stage}");
    let Some(f) = figures else {
        return Diagnosis { health: Health::Stale, name, message: "nothing came".into(), values: Vec::new() };
    };
    let slow = f.mean_ms > SLOW_MS;
    Diagnosis {
        health: if slow { Health::Warn } else { Health::Ok },
        name,
        message: if slow { "slow" } else { "in time" }.into(),
        values: vec![("mean_ms".into(), format!("{:.1}", f.mean_ms)), ("p99_ms".into(), format!("{:.1}", f.p99_ms))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn figures_are_those_of_the_newest_three_hundred() {
        let mut lag = Lag::default();
        assert_eq!(lag.figures(), None);
        // A second each, forgotten in the end; then 1..=300 ms, of which three are longer than the 99th percentile.
        (0..300).for_each(|_| lag.record(at(1000), at(0)));
        (1..=300).for_each(|i| lag.record(at(i), at(0)));
        let f = lag.figures().unwrap();
        assert!((f.mean_ms - 150.5).abs() < 1e-6 && (f.p99_ms - 297.0).abs() < 1e-6, "{f:?}");
    }

    #[test]
    fn silence_is_stale_and_slowness_a_warning() {
        let mut latency = Latency::default();
        latency.picture.record(at(40), at(0));
        latency.scene.record(at(400), at(0));
        let said: Vec<_> = latency.diagnostics(at(400)).all.into_iter().map(|d| (d.health, d.values.len())).collect();
        assert_eq!(said, [(Health::Ok, 2), (Health::Stale, 0), (Health::Warn, 2)]);
    }
}
