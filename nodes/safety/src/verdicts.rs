//! What the node says about commands: bounded per tick, published on change and then at most every
//! [`REPEAT`], so that a steady limit does not flood the bus and its end is noticed by its silence.

use arrayvec::ArrayVec;
use proctor_types::{ArmId, Constraint, Outcome, SceneFault, Stamp, Verdict};
use std::time::Duration;

/// Most verdicts of one tick; further ones are counted in [`VerdictLog::dropped`].
pub const MAX_VERDICTS: usize = 32;
/// A verdict that persists is repeated this often.
pub const REPEAT: Duration = Duration::from_millis(100);
/// A verdict not renewed for this long has ended; the next one like it is new.
const ENDED: Duration = Duration::from_millis(20);

const SUBJECTS: usize = ArmId::ALL.len() + 1;
const CAUSES: usize = Constraint::ALL.len();

/// A judgement without its time: which constraint, how, and the numbers behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// About which arm; `None` for the node as a whole.
    pub arm: Option<ArmId>,
    /// Which constraint was binding.
    pub constraint: Constraint,
    /// What it was, in [`Constraint::unit`].
    pub value: f64,
    /// What it may be.
    pub limit: f64,
    /// Which joint, zone, class or arm; -1 for none.
    pub index: i32,
}

impl Finding {
    /// About an arm.
    pub fn of(arm: ArmId, constraint: Constraint, value: f64, limit: f64) -> Self {
        Self { arm: Some(arm), ..Self::node(constraint, value, limit) }
    }

    /// About the node as a whole.
    pub fn node(constraint: Constraint, value: f64, limit: f64) -> Self {
        Self { arm: None, constraint, value, limit, index: -1 }
    }

    /// About the scene, or an arm in it.
    pub fn scene(arm: impl Into<Option<ArmId>>, fault: SceneFault, value: f64, limit: f64) -> Self {
        Self { arm: arm.into(), ..Self::node(Constraint::SceneStale, value, limit) }.at(fault.index())
    }

    /// See [`Constraint::margin`].
    pub fn margin(&self) -> f64 {
        self.constraint.margin(self.value, self.limit)
    }

    /// Names the joint, zone, class or arm.
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        Self { index: i32::try_from(index).unwrap_or(-1), ..self }
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    outcome: Outcome,
    index: i32,
    said: Stamp,
    renewed: Stamp,
}

/// Collects one tick's verdicts and remembers what was said before.
#[derive(Debug)]
pub struct VerdictLog {
    out: ArrayVec<Verdict, MAX_VERDICTS>,
    slots: [[Option<Slot>; CAUSES]; SUBJECTS],
    now: Stamp,
    tick: u64,
    refused: u64,
    dropped: u64,
}

impl Default for VerdictLog {
    fn default() -> Self {
        Self {
            out: ArrayVec::new(),
            slots: [[None; CAUSES]; SUBJECTS],
            now: Stamp::FIRST,
            tick: 0,
            refused: 0,
            dropped: 0,
        }
    }
}

impl VerdictLog {
    /// Begins a tick: what was collected before is forgotten, what was said is not.
    pub fn begin(&mut self, now: Stamp, tick: u64) {
        self.out.clear();
        (self.now, self.tick) = (now, tick);
    }

    /// Something that came was refused. Counted each time, said at once and then every [`REPEAT`].
    pub fn refuse(&mut self, finding: Finding) {
        self.refused += 1;
        self.say(Outcome::Refused, finding);
    }

    /// A judgement about motion.
    pub fn say(&mut self, outcome: Outcome, f: Finding) {
        // Findings hold only finite numbers; a NaN limit value would be a bug, and must not hide the verdict.
        let finite = |x: f64| if x.is_finite() { x } else { f64::MAX };
        let verdict = Verdict {
            stamp: self.now,
            tick: self.tick,
            arm: f.arm,
            outcome,
            constraint: f.constraint,
            value: finite(f.value),
            limit: finite(f.limit),
            index: f.index,
        };
        let subject = f.arm.map_or(ArmId::ALL.len(), ArmId::index);
        let Some(slot) = self.slots.get_mut(subject).and_then(|s| s.get_mut(f.constraint as usize)) else { return };
        let now = self.now;
        let repeats = slot.is_some_and(|s| {
            s.outcome == outcome
                && s.index == f.index
                && s.renewed.age(now) <= ENDED
                && s.said.age(now) < REPEAT
                && s.said <= now
        });
        match slot {
            Some(s) if repeats => s.renewed = now,
            _ => {
                *slot = Some(Slot { outcome, index: f.index, said: now, renewed: now });
                if self.out.try_push(verdict).is_err() {
                    self.dropped += 1;
                }
            }
        }
    }

    /// This tick's verdicts.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.out
    }

    /// Refusals since start, repeated ones included.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Verdicts that found no room in their tick, since start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Stamp {
        Stamp::FIRST.plus(Duration::from_millis(ms))
    }

    #[test]
    fn a_steady_limit_is_said_at_once_and_then_ten_times_a_second() {
        let mut log = VerdictLog::default();
        let mut said = Vec::new();
        for ms in 0..250 {
            log.begin(at(ms), ms);
            log.say(Outcome::Limited, Finding::of(ArmId::Psm1, Constraint::TipSpeed, 1.0, 0.5));
            said.extend(log.verdicts().iter().map(|v| v.tick));
        }
        assert_eq!(said, [0, 100, 200]);
    }

    #[test]
    fn a_change_and_a_return_are_said_at_once() {
        let mut log = VerdictLog::default();
        let finding = |index| Finding::of(ArmId::Psm1, Constraint::NoGoZone, 1.0, 0.5).at(index);
        let mut said = Vec::new();
        for (ms, outcome, zone) in [
            (0, Outcome::Limited, 1),
            (1, Outcome::Limited, 1),
            (2, Outcome::Limited, 2),
            (3, Outcome::Refused, 2),
            (50, Outcome::Refused, 2),
        ] {
            log.begin(at(ms), ms);
            log.say(outcome, finding(zone));
            said.extend(log.verdicts().iter().map(|v| (v.tick, v.outcome, v.index)));
        }
        let expected =
            [(0, Outcome::Limited, 1), (2, Outcome::Limited, 2), (3, Outcome::Refused, 2), (50, Outcome::Refused, 2)];
        assert_eq!(said, expected);
    }

    #[test]
    fn every_refusal_is_counted_even_when_it_is_not_said() {
        let mut log = VerdictLog::default();
        log.begin(at(1), 1);
        (0..5).for_each(|_| log.refuse(Finding::node(Constraint::Sequence, 1.0, 2.0)));
        assert_eq!((log.refused(), log.verdicts().len()), (5, 1));
    }

    #[test]
    fn a_tick_says_at_most_its_bound_and_counts_the_rest() {
        let mut log = VerdictLog::default();
        log.begin(at(1), 1);
        for arm in ArmId::ALL {
            for &c in Constraint::ALL {
                log.say(Outcome::Limited, Finding::of(arm, c, 0.0, 0.0));
            }
        }
        assert_eq!(log.verdicts().len(), MAX_VERDICTS);
        assert_eq!(log.dropped() as usize, ArmId::ALL.len() * Constraint::ALL.len() - MAX_VERDICTS);
    }

    #[test]
    fn a_finding_is_about_no_joint_or_zone_unless_it_says_so() {
        let of = Finding::of(ArmId::Psm2, Constraint::TipSpeed, 1.0, 0.5);
        let node = Finding::node(Constraint::ClockJump, 1.0, 0.5);
        assert_eq!((of.index, of.arm, node.index, node.arm), (-1, Some(ArmId::Psm2), -1, None));
        assert_eq!((of.at(3).index, of.at(usize::MAX).index), (3, -1));
        let scene = Finding::scene(ArmId::Psm1, SceneFault::Displaced, 0.1, 0.05);
        assert!(scene.index >= 0 && scene.arm == Some(ArmId::Psm1), "{scene:?}");
    }
}
