//! Joint positions that cannot be: one bad pose among good ones.
//!
//! An arm cannot be elsewhere faster than it moves. A sample that says so is left out; when the next ones agree with it, not with
//! those before, the arm really is there (it was homed, or the joints were silent while it moved).

use proctor_types::ArmState;

/// Fastest a joint turns, rad/s, and slides, m/s: above every joint limit of the arms.
const FASTEST: (f64, f64) = (12.0, 0.8);
/// What encoders may jump, rad and m.
const SLACK: (f64, f64) = (0.02, 0.001);
/// Samples that must agree with each other before a jump is believed.
const BELIEVED: u8 = 5;
/// Time after which anything may have happened, s.
const FORGOTTEN: f64 = 0.25;

/// The check of one arm's samples.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plausibility {
    last: Option<ArmState>,
    suspect: Option<(ArmState, u8)>,
}

impl Plausibility {
    /// Whether a sample may be used.
    pub fn admits(&mut self, state: &ArmState) -> bool {
        let follows = self.last.is_none_or(|last| is_near(&last, state));
        if follows {
            *self = Self { last: Some(*state), suspect: None };
            return true;
        }
        let agreeing = match self.suspect {
            Some((suspect, n)) if is_near(&suspect, state) => n + 1,
            _ => 1,
        };
        if agreeing >= BELIEVED {
            *self = Self { last: Some(*state), suspect: None };
            return true;
        }
        self.suspect = Some((*state, agreeing));
        false
    }
}

/// Whether an arm can have gone from one sample to the other.
fn is_near(from: &ArmState, to: &ArmState) -> bool {
    let dt = to.stamp.seconds_since(from.stamp);
    // A clock that was set back is another's affair.
    if !(0.0..FORGOTTEN).contains(&dt) {
        return true;
    }
    from.position.iter().zip(to.position.iter()).enumerate().all(|(joint, (a, b))| {
        let (fastest, slack) = if joint == 2 { (FASTEST.1, SLACK.1) } else { (FASTEST.0, SLACK.0) };
        (a - b).abs() <= fastest * dt + slack
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_types::{ArmId, Joints, Stamp};

    fn state(ms: i64, q: f64) -> ArmState {
        let position = Joints::new(&[q, 0.0, 0.1, 0.0, 0.0, 0.0]).unwrap();
        let stamp = Stamp::from_nanos("test", 1_000_000_000 + ms * 1_000_000).unwrap();
        ArmState { arm: ArmId::Psm1, stamp, position, velocity: Joints::zeros(6), jaw: 0.0 }
    }

    #[test]
    fn one_bad_pose_is_left_out_and_a_real_jump_is_believed_after_five() {
        let mut p = Plausibility::default();
        let samples = [(0, 0.1), (5, 0.12), (10, 0.9), (15, 0.13), (20, -2.0), (25, 0.5), (30, 0.14)];
        let admitted = samples.map(|(ms, q)| p.admits(&state(ms, q)));
        assert_eq!(admitted, [true, true, false, true, false, false, true]);
        let moved = [35, 40, 45, 50, 55, 60].map(|ms| p.admits(&state(ms, 1.5)));
        assert_eq!(moved, [false, false, false, false, true, true]);
        assert!(p.admits(&state(2000, -1.0)), "after silence anything goes");
    }
}
