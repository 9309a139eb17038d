//! What is wrong with an instrument, from what was noticed again and again: a state machine per arm.

use crate::offset::Motion;
use proctor_types::{Finding, Stamp};

/// Movement in the picture that counts as such, px (root mean square).
const MOVES: f64 = 12.0;
/// Movement that is none, px.
const RESTS: f64 = 1.0;
/// Share of the seen movement that joints must leave unexplained to be wrong, and at most to be right.
const UNEXPLAINED: f64 = 0.6;
const EXPLAINED: f64 = 0.35;
/// Error of the instrument's length that no hand-eye error explains, m.
pub const WRONG_LENGTH: f64 = 0.028;
/// How often something must be noticed, one look after another, before it is said.
const RAISED: u8 = 4;
/// How long a bad pose is spoken of, s.
const BAD_POSE: f64 = 0.5;

/// What one look noticed about an arm.
#[derive(Debug, Clone, Copy, Default)]
pub struct Noticed {
    /// Motion against its own joints, and against the other arm's.
    pub motion: Option<(Motion, Option<Motion>)>,
    /// How much longer the seen instrument is than the configured one, m; `None` when it fits or is not seen.
    pub longer: Option<f64>,
    /// Whether both instruments are where the other arm's joints put them, and neither where its own do.
    pub crossed: bool,
    /// Whether the pictures are swapped; `None` when that cannot be said.
    pub swapped: Option<bool>,
}

/// Which findings are raised by looks, gravest first.
const WATCHED: [Finding; 5] =
    [Finding::SwappedCameras, Finding::FrozenJoints, Finding::WrongArm, Finding::WrongGeometry, Finding::NotFollowing];

/// What is wrong with one arm.
#[derive(Debug, Clone, Copy, Default)]
pub struct Findings {
    streaks: [u8; WATCHED.len()],
    raised: [bool; WATCHED.len()],
    bad_pose: Option<Stamp>,
}

impl Findings {
    /// A joint sample of this stamp was left out.
    pub fn bad_pose(&mut self, stamp: Stamp) {
        self.bad_pose = Some(stamp);
    }

    /// Takes in what one look noticed.
    pub fn look(&mut self, noticed: &Noticed) {
        let suspect = suspect(noticed);
        for (k, finding) in WATCHED.into_iter().enumerate() {
            let again = suspect == Some(finding);
            let streak = &mut self.streaks[k];
            // Many patches voted about the cameras: once is enough.
            let step = if finding == Finding::SwappedCameras { RAISED } else { 1 };
            *streak = if again { (*streak + step).min(RAISED) } else { streak.saturating_sub(1) };
            self.raised[k] = *streak == RAISED || self.raised[k] && *streak > 0;
        }
    }

    /// The gravest, as of a picture among the joints' stamps.
    pub fn gravest(&self, joints_stamp: Stamp, time_unknown: bool) -> Finding {
        let [swapped, rest @ ..] = self.raised;
        let recent = self.bad_pose.is_some_and(|t| joints_stamp.seconds_since(t).abs() < BAD_POSE);
        let watched = || rest.into_iter().zip(&WATCHED[1..]).find(|(raised, _)| *raised).map(|(_, f)| *f);
        match (swapped, watched(), recent, time_unknown) {
            (true, ..) => Finding::SwappedCameras,
            (_, Some(finding), ..) => finding,
            (_, _, true, _) => Finding::BadPose,
            (_, _, _, true) => Finding::TimeUnknown,
            _ => Finding::None,
        }
    }
}

/// What one look alone would say.
fn suspect(noticed: &Noticed) -> Option<Finding> {
    if noticed.swapped == Some(true) {
        return Some(Finding::SwappedCameras);
    }
    if noticed.crossed {
        return Some(Finding::WrongArm);
    }
    if noticed.longer.is_some_and(|by| by.abs() > WRONG_LENGTH) {
        return Some(Finding::WrongGeometry);
    }
    let (own, crossed) = noticed.motion?;
    let moves = own.seen > MOVES;
    let unexplained = moves && own.left > UNEXPLAINED * own.seen;
    let other = crossed.is_some_and(|c| c.expected > MOVES && c.left < EXPLAINED * own.seen && 2.0 * c.left < own.left);
    match () {
        () if moves && own.expected < RESTS => Some(Finding::FrozenJoints),
        () if moves && other => Some(Finding::WrongArm),
        () if unexplained => Some(Finding::NotFollowing),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn motion(seen: f64, expected: f64, left: f64, other: f64) -> Noticed {
        let crossed = Motion { seen, expected: 30.0, left: other };
        Noticed { motion: Some((Motion { seen, expected, left }, Some(crossed))), ..Noticed::default() }
    }

    #[test]
    fn what_is_noticed_once_is_nothing_and_four_times_is_a_finding_until_it_is_gone() {
        let now = Stamp::FIRST;
        for (noticed, finding) in [
            (motion(30.0, 0.1, 30.0, 30.0), Finding::FrozenJoints),
            (motion(30.0, 30.0, 25.0, 4.0), Finding::WrongArm),
            (motion(30.0, 30.0, 25.0, 25.0), Finding::NotFollowing),
            (Noticed { longer: Some(-0.05), ..Noticed::default() }, Finding::WrongGeometry),
            (Noticed { longer: Some(0.05), crossed: true, ..Noticed::default() }, Finding::WrongArm),
        ] {
            let mut f = Findings::default();
            let said: Vec<Finding> = (0..5)
                .map(|_| {
                    f.look(&noticed);
                    f.gravest(now, true)
                })
                .collect();
            let unsure = Finding::TimeUnknown;
            assert_eq!(said, [unsure, unsure, unsure, finding, finding]);
            let gone: Vec<Finding> = (0..4)
                .map(|_| {
                    f.look(&Noticed::default());
                    f.gravest(now, false)
                })
                .collect();
            assert_eq!(gone, [finding, finding, finding, Finding::None]);
        }
        let mut f = Findings::default();
        f.look(&Noticed { swapped: Some(true), ..motion(30.0, 0.1, 30.0, 30.0) });
        assert_eq!(f.gravest(now, true), Finding::SwappedCameras, "at once");
        for fine in [motion(30.0, 30.0, 3.0, 25.0), motion(30.0, 30.0, 8.0, 6.0), motion(4.0, 0.0, 4.0, 4.0)] {
            let mut f = Findings::default();
            (0..9).for_each(|_| f.look(&fine));
            assert_eq!(f.gravest(now, false), Finding::None);
        }
    }
}
