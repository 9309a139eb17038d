//! The latest of everything the console heard, with when it was made and when it came. Bounded by construction.

use crate::{card::CardTrack, findings::FindingsTrack, latency::Latency, words};
use proctor_types::{
    ArmId, ArmJoints, ArmStatus, Constraint, Diagnosis, Diagnostics, ImageQuality, Outcome, SafetyState, Scene,
    Segmentation, Stamp, Verdict, ZonesState,
};
use std::{collections::VecDeque, sync::Arc};

/// Verdict lines kept for showing.
const LINES: usize = 6;
/// Weight of the newest sample in the running mean of the picture rate.
const NEWEST: f64 = 0.1;

/// A value with its times.
#[derive(Debug, Clone)]
pub struct Seen<T> {
    /// The value.
    pub value: T,
    /// Its own stamp.
    pub stamp: Stamp,
    /// When it came.
    pub arrived: Stamp,
}

/// What is remembered of pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PictureFacts {
    /// Count of the camera.
    pub seq: u64,
    /// When it was taken.
    pub stamp: Stamp,
    /// When the newest came.
    pub arrived: Stamp,
    /// When the first came whose content was that of the newest.
    pub changed: Stamp,
    /// Pictures per second, running mean.
    pub rate: f64,
    fingerprint: u64,
}

/// A verdict line and when it was last said.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictLine {
    /// The words.
    pub words: String,
    /// When it was last said.
    pub at: Stamp,
    key: Key,
}

/// What a line is about: a newer one about the same takes its place.
type Key = (Option<ArmId>, Outcome, Constraint, i32);

/// See the module.
#[derive(Debug, Default)]
pub struct Latest {
    /// The newest left picture.
    pub picture: Option<PictureFacts>,
    /// Quality as perception saw it.
    pub quality: Option<Seen<ImageQuality>>,
    /// The scene.
    pub scene: Option<Seen<Arc<Scene>>>,
    /// The safety node.
    pub safety: Option<Seen<SafetyState>>,
    /// Measured joints.
    pub arms: [Option<Seen<ArmJoints>>; 3],
    /// Operating states.
    pub status: [Option<ArmStatus>; 3],
    /// Proposals.
    pub cards: CardTrack,
    /// What models beside the segmentation found.
    pub findings: FindingsTrack,
    /// Latencies.
    pub latency: Latency,
    /// Why autonomy suggests a motion or none.
    pub suggestions: Option<Seen<String>>,
    lines: VecDeque<VerdictLine>,
    zones: Option<ZonesState>,
}

impl Latest {
    /// A picture came; `fingerprint` is [`crate::picture::fingerprint`]'s. Returns whether it is newer than the one before.
    pub fn picture(&mut self, now: Stamp, seq: u64, stamp: Stamp, fingerprint: u64) -> bool {
        let (changed, rate) = match self.picture {
            Some(old) if stamp <= old.stamp => return false,
            Some(old) => {
                let gap = stamp.seconds_since(old.stamp).max(1e-3);
                let changed = if old.fingerprint == fingerprint { old.changed } else { now };
                (changed, old.rate + NEWEST * (1.0 / gap - old.rate))
            }
            None => (now, 0.0),
        };
        self.picture = Some(PictureFacts { seq, stamp, arrived: now, changed, rate, fingerprint });
        self.latency.picture.record(now, stamp);
        true
    }

    /// A segmentation came.
    pub fn segmentation(&mut self, now: Stamp, s: &Segmentation) {
        self.quality = Some(Seen { value: s.quality.clone(), stamp: s.stamp, arrived: now });
        self.latency.segmentation.record(now, s.stamp);
    }

    /// A scene came.
    pub fn scene(&mut self, now: Stamp, scene: Scene) {
        self.latency.scene.record(now, scene.stamp);
        self.scene = Some(Seen { stamp: scene.stamp, arrived: now, value: Arc::new(scene) });
    }

    /// A safety state came.
    pub fn safety(&mut self, now: Stamp, state: SafetyState) {
        self.cards.safety(now, &state);
        self.safety = Some(Seen { value: state, stamp: state.stamp, arrived: now });
    }

    /// The safety node says which zones hold. That they were read again gets a line.
    pub fn zones(&mut self, now: Stamp, state: ZonesState) {
        let again = self.zones.as_ref().is_some_and(|old| old.version != state.version);
        if again {
            let key = (None, Outcome::Passed, Constraint::NoGoZone, -1);
            self.line(words::read_again(state.zones.len()), now, key);
        }
        self.zones = Some(state);
    }

    /// Some node says how it fares; of that only what autonomy suggests is shown.
    pub fn diagnostics(&mut self, now: Stamp, d: &Diagnostics) {
        if let Some(said) = d.all.iter().find(|one| one.name == Diagnosis::SUGGESTIONS) {
            self.suggestions = Some(Seen { value: said.message.clone(), stamp: d.stamp, arrived: now });
        }
    }

    /// Measured joints came.
    pub fn arm(&mut self, now: Stamp, joints: ArmJoints) {
        self.arms[joints.arm.index()] = Some(Seen { value: joints, stamp: joints.stamp, arrived: now });
    }

    /// A verdict came. One like the last of its kind renews that line.
    pub fn verdict(&mut self, now: Stamp, v: &Verdict) {
        let zones = self.zones.as_ref().map_or(&[][..], |z| &z.zones);
        let Some(words) = words::verdict(v, zones) else { return };
        self.line(words, now, (v.arm, v.outcome, v.constraint, v.index));
    }

    fn line(&mut self, words: String, now: Stamp, key: Key) {
        self.lines.retain(|l| l.key != key);
        if self.lines.len() >= LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(VerdictLine { words, at: now, key });
    }

    /// The verdict lines, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &VerdictLine> {
        self.lines.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;
    use proctor_types::ZoneLabel;

    #[test]
    fn an_older_or_equal_picture_changes_nothing() {
        let mut l = Latest::default();
        assert!(l.picture(at(40), 1, at(33), 7));
        let before = l.picture;
        assert!(!l.picture(at(90), 1, at(33), 8));
        assert!(!l.picture(at(90), 0, at(10), 8));
        assert_eq!(l.picture, before);
    }

    #[test]
    fn a_repeated_content_keeps_the_time_of_its_first_arrival() {
        let mut l = Latest::default();
        for (k, fingerprint) in [1u64, 2, 2, 2].into_iter().enumerate() {
            l.picture(at(33 * k as i64 + 5), k as u64, at(33 * k as i64), fingerprint);
        }
        assert_eq!(l.picture.unwrap().changed, at(38));
        assert_eq!(l.picture.unwrap().arrived, at(104));
    }

    #[test]
    fn zones_that_are_read_again_are_told_and_the_first_are_not() {
        let mut l = Latest::default();
        let state = |version, n| {
            let zone = ZoneLabel { name: "vena cava".into(), margin: 0.002 };
            ZonesState { stamp: at(0), version, zones: vec![zone; n] }
        };
        let told = |l: &Latest| l.lines().map(|line| line.words.clone()).collect::<Vec<_>>();
        l.zones(at(1), state(1, 2));
        l.zones(at(2), state(1, 2));
        assert_eq!(told(&l), Vec::<String>::new());
        l.zones(at(3), state(2, 1));
        assert_eq!(told(&l), ["Zones and policies were read again: 1 zone holds"]);
        l.zones(at(4), state(3, 2));
        assert_eq!(told(&l), ["Zones and policies were read again: 2 zones hold"]);
    }

    #[test]
    fn equal_verdicts_are_one_line_and_lines_are_bounded() {
        let mut l = Latest::default();
        let v = |index| Verdict {
            stamp: at(0),
            tick: 1,
            arm: Some(ArmId::Psm1),
            outcome: Outcome::Limited,
            constraint: Constraint::JointVelocity,
            value: 1.0,
            limit: 1.0,
            index,
        };
        for ms in 0..10 {
            l.verdict(at(ms), &v(1));
        }
        assert_eq!(l.lines().map(|l| l.at).collect::<Vec<_>>(), [at(9)]);
        (0..100).for_each(|i| l.verdict(at(20), &v(i)));
        assert_eq!(l.lines().count(), LINES);
    }
}
