//! Whether the depth that an instrument is believed to have is borne out by its stereo measurements.
//!
//! Depth is looked for near where it is believed. If the belief is wrong by more than is looked through, nothing is found there, and outline and
//! widths hardly object: without this the instrument would stay where it is believed, with a small stated doubt, for as long as it rests. So
//! silence counts: what is in view and not borne out for some time is no longer believed.

use crate::params::FusionParams;
use proctor_types::Stamp;

/// For one instrument.
#[derive(Debug, Clone, Default)]
pub struct BorneOut {
    /// How long it has been in view since a measurement bore it out, s; `None` when none has.
    without: Option<f64>,
    last: Option<Stamp>,
}

impl BorneOut {
    /// Longest time from one picture to the next that counts, s: more of it was not seen.
    const STEP: f64 = 0.1;

    /// Whether the depth may be believed.
    pub fn holds(&self) -> bool {
        self.without.is_some()
    }

    /// Takes a picture that shows the instrument: measured less believed depth, m, of each part that could be measured. Returns whether this is
    /// the moment at which the depth is no longer believed.
    pub fn observe(&mut self, stamp: Stamp, off: impl IntoIterator<Item = f64>, params: &FusionParams) -> bool {
        let since = self.last.replace(stamp).map_or(0.0, |last| stamp.seconds_since(last).clamp(0.0, Self::STEP));
        if off.into_iter().any(|off| off.abs() <= params.borne_out_m) {
            self.without = Some(0.0);
            return false;
        }
        let Some(without) = self.without.as_mut() else { return false };
        *without += since;
        let doubted = *without > params.borne_out_within_s;
        if doubted {
            self.without = None;
        }
        doubted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Pictures every 33 ms, from the first to the last of these seconds; returns when the depth was doubted, s.
    fn doubted(b: &mut BorneOut, from: f64, to: f64, off: &[f64]) -> Option<f64> {
        let params = FusionParams::default();
        let mut t = from;
        while t < to {
            let now = Stamp::FIRST.plus(Duration::from_secs_f64(t));
            if b.observe(now, off.iter().copied(), &params) {
                return Some(t);
            }
            t += 0.033;
        }
        None
    }

    #[test]
    fn a_depth_holds_from_the_first_measurement_that_bears_it_out_until_three_seconds_after_the_last() {
        let mut b = BorneOut::default();
        assert_eq!(doubted(&mut b, 0.0, 10.0, &[]), None, "what never held is not doubted again");
        assert!(!b.holds());
        assert_eq!(doubted(&mut b, 10.0, 10.1, &[0.009, -0.002]), None);
        assert!(b.holds());
        let at = doubted(&mut b, 10.1, 20.0, &[]).unwrap();
        assert!((at - 13.1).abs() < 0.1 && !b.holds(), "{at}");
    }

    #[test]
    fn measurements_that_say_otherwise_do_not_bear_out() {
        let mut b = BorneOut::default();
        doubted(&mut b, 0.0, 0.1, &[0.0]);
        assert!(doubted(&mut b, 0.1, 10.0, &[0.0035, -0.004, f64::NAN]).is_some());
    }

    #[test]
    fn time_in_which_it_was_not_seen_does_not_count() {
        let mut b = BorneOut::default();
        doubted(&mut b, 0.0, 0.1, &[0.0]);
        assert_eq!(doubted(&mut b, 0.1, 2.9, &[]), None);
        assert_eq!(doubted(&mut b, 60.0, 60.1, &[]), None, "a minute out of view");
        assert!(b.holds() && doubted(&mut b, 60.1, 61.0, &[]).is_some());
    }
}
