//! What each arm measured lately, and where it was at the instant of a picture.
//!
//! Bounded: at most [`KinematicsHistory::CAPACITY`] samples per arm, oldest dropped first. Never guesses: outside the
//! samples (or inside a gap between them) an answer is a [`Refusal`], except for at most `extrapolate_max` beyond the
//! newest sample, where the measured velocity carries it on.

use proctor_types::{ArmState, Stamp};
use std::{collections::VecDeque, time::Duration};

/// Time bounds of a history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistoryBounds {
    /// Longest step beyond the newest sample.
    pub extrapolate_max: Duration,
    /// Longest gap between two samples that is still interpolated.
    pub gap_max: Duration,
    /// A stamp this far behind the newest one means the clock was set back: the history starts anew.
    pub clock_reset: Duration,
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// Stored as the newest.
    Accepted,
    /// Same stamp as the newest: dropped.
    Duplicate,
    /// Older than the newest: dropped.
    Backward,
    /// Far older than the newest: the clock was set back, the history now holds this sample only.
    ClockReset,
}

/// Joint state at an asked instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lookup {
    /// Between two samples (or on one).
    Interpolated(ArmState),
    /// After the newest sample, within the bound.
    Extrapolated(ArmState),
    /// Not known.
    Refused(Refusal),
}

/// Why there is no joint state at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No sample ever.
    Empty,
    /// The instant lies before the oldest sample kept, by this much.
    BeforeOldest(Duration),
    /// The instant lies after the newest sample by this much, more than may be extrapolated.
    AfterNewest(Duration),
    /// The instant lies in a gap this wide.
    Gap(Duration),
    /// The result was not finite.
    NotFinite,
}

/// Recent states of one arm, by stamp.
#[derive(Debug, Clone)]
pub struct KinematicsHistory {
    samples: VecDeque<ArmState>,
    bounds: HistoryBounds,
}

impl KinematicsHistory {
    /// Most samples kept; 5 s at 200 Hz, 1 s at 1 kHz: the largest offset between the stamps of pictures and joints, and the time that
    /// a picture takes to get here.
    pub const CAPACITY: usize = 1024;

    /// An empty history.
    pub fn new(bounds: HistoryBounds) -> Self {
        Self { samples: VecDeque::with_capacity(Self::CAPACITY), bounds }
    }

    /// Stores a sample, or says why not. Stamps in a history strictly increase.
    pub fn push(&mut self, state: ArmState) -> Push {
        let outcome = match self.samples.back() {
            Some(newest) if state.stamp == newest.stamp => return Push::Duplicate,
            Some(newest) if state.stamp < newest.stamp => {
                if newest.stamp.age_from(state.stamp) < self.bounds.clock_reset {
                    return Push::Backward;
                }
                self.samples.clear();
                Push::ClockReset
            }
            _ => Push::Accepted,
        };
        if self.samples.len() == Self::CAPACITY {
            self.samples.pop_front();
        }
        self.samples.push_back(state);
        outcome
    }

    /// The newest sample.
    pub fn newest(&self) -> Option<&ArmState> {
        self.samples.back()
    }

    /// The state at `t`: linear between samples, refused beyond the bounds.
    pub fn at(&self, t: Stamp) -> Lookup {
        let after = self.samples.partition_point(|s| s.stamp <= t);
        let before = after.checked_sub(1).and_then(|i| self.samples.get(i));
        match (before, self.samples.get(after)) {
            (None, None) => Lookup::Refused(Refusal::Empty),
            (None, Some(oldest)) => Lookup::Refused(Refusal::BeforeOldest(oldest.stamp.age_from(t))),
            (Some(a), _) if a.stamp == t => Lookup::Interpolated(*a),
            (Some(a), Some(b)) => {
                let gap = b.stamp.age_from(a.stamp);
                if gap > self.bounds.gap_max {
                    return Lookup::Refused(Refusal::Gap(gap));
                }
                let s = t.seconds_since(a.stamp) / b.stamp.seconds_since(a.stamp);
                blend(a, b, s, t).map_or(Lookup::Refused(Refusal::NotFinite), Lookup::Interpolated)
            }
            (Some(a), None) => {
                let ahead = t.age_from(a.stamp);
                if ahead > self.bounds.extrapolate_max {
                    return Lookup::Refused(Refusal::AfterNewest(ahead));
                }
                let dt = t.seconds_since(a.stamp);
                match a.position.zip_with(&a.velocity, |q, v| q + v * dt) {
                    Some(position) => Lookup::Extrapolated(ArmState { stamp: t, position, ..*a }),
                    None => Lookup::Refused(Refusal::NotFinite),
                }
            }
        }
    }
}

/// `Stamp::age` with the roles named: how far `self` lies after `earlier`, zero when before.
trait AgeFrom {
    fn age_from(self, earlier: Stamp) -> Duration;
}

impl AgeFrom for Stamp {
    fn age_from(self, earlier: Stamp) -> Duration {
        earlier.age(self)
    }
}

fn blend(a: &ArmState, b: &ArmState, s: f64, stamp: Stamp) -> Option<ArmState> {
    let mix = |x: f64, y: f64| x + s * (y - x);
    Some(ArmState {
        arm: a.arm,
        stamp,
        position: a.position.zip_with(&b.position, mix)?,
        velocity: a.velocity.zip_with(&b.velocity, mix)?,
        jaw: mix(a.jaw, b.jaw),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_types::{ArmId, Joints};

    fn bounds() -> HistoryBounds {
        HistoryBounds {
            extrapolate_max: Duration::from_millis(20),
            gap_max: Duration::from_millis(100),
            clock_reset: Duration::from_secs(1),
        }
    }

    fn at_ms(ms: i64) -> Stamp {
        Stamp::from_nanos("test", 10_000_000_000 + ms * 1_000_000).unwrap()
    }

    fn state(ms: i64, q: f64, v: f64) -> ArmState {
        ArmState {
            arm: ArmId::Ecm,
            stamp: at_ms(ms),
            position: Joints::new(&[q; 4]).unwrap(),
            velocity: Joints::new(&[v; 4]).unwrap(),
            jaw: q,
        }
    }

    #[test]
    fn between_samples_it_is_linear_in_time() {
        let mut h = KinematicsHistory::new(bounds());
        h.push(state(0, 1.0, 0.0));
        h.push(state(10, 2.0, 0.0));
        let Lookup::Interpolated(s) = h.at(at_ms(4)) else { panic!("not interpolated") };
        assert!((s.position[2] - 1.4).abs() < 1e-12 && (s.jaw - 1.4).abs() < 1e-12);
        assert_eq!(s.stamp, at_ms(4));
        assert!(matches!(h.at(at_ms(10)), Lookup::Interpolated(s) if s.position[0] == 2.0));
    }

    #[test]
    fn beyond_the_bound_it_refuses_and_within_it_follows_the_velocity() {
        let mut h = KinematicsHistory::new(bounds());
        assert_eq!(h.at(at_ms(0)), Lookup::Refused(Refusal::Empty));
        h.push(state(0, 1.0, 2.0));
        assert!(matches!(h.at(at_ms(20)), Lookup::Extrapolated(s) if (s.position[0] - 1.04).abs() < 1e-12));
        assert_eq!(h.at(at_ms(21)), Lookup::Refused(Refusal::AfterNewest(Duration::from_millis(21))));
        assert_eq!(h.at(at_ms(-1)), Lookup::Refused(Refusal::BeforeOldest(Duration::from_millis(1))));
    }

    #[test]
    fn a_gap_is_not_bridged() {
        let mut h = KinematicsHistory::new(bounds());
        h.push(state(0, 1.0, 0.0));
        h.push(state(101, 2.0, 0.0));
        assert_eq!(h.at(at_ms(50)), Lookup::Refused(Refusal::Gap(Duration::from_millis(101))));
    }

    #[test]
    fn duplicates_and_backward_stamps_are_dropped_and_a_reset_clock_starts_anew() {
        let mut h = KinematicsHistory::new(bounds());
        assert_eq!(h.push(state(5000, 1.0, 0.0)), Push::Accepted);
        assert_eq!(h.push(state(5000, 9.0, 0.0)), Push::Duplicate);
        assert_eq!(h.push(state(4990, 9.0, 0.0)), Push::Backward);
        assert!(matches!(h.at(at_ms(5000)), Lookup::Interpolated(s) if s.position[0] == 1.0));
        assert_eq!(h.push(state(3000, 3.0, 0.0)), Push::ClockReset);
        assert!(matches!(h.at(at_ms(3000)), Lookup::Interpolated(s) if s.position[0] == 3.0));
        assert!(matches!(h.at(at_ms(5000)), Lookup::Refused(_)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut h = KinematicsHistory::new(bounds());
        for i in 0..10_000 {
            h.push(state(i, 0.0, 0.0));
        }
        assert!(h.samples.len() == KinematicsHistory::CAPACITY);
        assert!(matches!(h.at(at_ms(9_999)), Lookup::Interpolated(_)));
    }
}
