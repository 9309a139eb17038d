//! What the node says of itself: on `/diagnostics` how the loop keeps time and how near every arm is to what limits it, and in its log why
//! it changed its mode.

use crate::{Finding, PerArm, realtime::Health as Loop};
use proctor_types::{
    ArmId, Constraint, Diagnosis, Diagnostics, Health, Outcome, SafetyMode, SafetyState, Stamp, Verdict,
};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

/// Time between two reports.
pub const EVERY: Duration = Duration::from_secs(1);

/// The nearest limit of every arm whose place is known.
pub type Margins = PerArm<Option<Finding>>;

/// The report. `lap` is the loop's own count, for a core with a thread of its own.
pub fn report(now: Stamp, state: Option<&SafetyState>, margins: &Margins, lap: Option<&Loop>) -> Diagnostics {
    let mut all = vec![of_loop(state, lap)];
    all.extend(ArmId::ALL.into_iter().map(|arm| of_arm(arm, margins.get(arm).as_ref())));
    Diagnostics { stamp: now, all }
}

fn of_loop(state: Option<&SafetyState>, lap: Option<&Loop>) -> Diagnosis {
    let mut values = Vec::new();
    let mut say = |name: &str, value: String| values.push((name.to_owned(), value));
    let (mut health, mut message) = (Health::Ok, "keeps its time".to_owned());
    if let Some(lap) = lap {
        let timed = lap.timing.take();
        let us = |ns: u64| format!("{:.1}", ns as f64 * 1e-3);
        say("ticks in the last second", timed.count.to_string());
        say("tick mean (us)", us(timed.mean_ns));
        say("tick p99 (us)", us(timed.p99_ns));
        say("tick longest (us)", us(timed.longest_ns));
        say("tick longest since start (us)", us(lap.longest_ns.load(Relaxed)));
        say("latest beginning since start (us)", us(lap.latest_ns.load(Relaxed)));
        say("ticks begun too late", lap.late.load(Relaxed).to_string());
        say("FIFO scheduling", lap.fifo.load(Relaxed).to_string());
        say("memory locked", lap.locked.load(Relaxed).to_string());
        if !lap.fifo.load(Relaxed) {
            (health, message) = (Health::Warn, "runs without real-time priority".to_owned());
        }
    }
    if let Some(s) = state {
        say("overruns", s.overruns.to_string());
        say("motions executed", s.executed.to_string());
        say("refused", s.refused.to_string());
        say("violations", s.violations.to_string());
        say("shadow", s.shadow.to_string());
        if s.shadow {
            (health, message) = (Health::Warn, "shadow: judges what others command, commands nothing".to_owned());
        }
        if s.violations > 0 {
            (health, message) = (Health::Error, "motion without permission was counted".to_owned());
        }
    }
    Diagnosis { health, name: "safety: loop".to_owned(), message, values }
}

fn of_arm(arm: ArmId, margin: Option<&Finding>) -> Diagnosis {
    let name = format!("safety: {arm}");
    let Some(f) = margin else {
        let message = "not measured".to_owned();
        return Diagnosis { health: Health::Stale, name, message, values: Vec::new() };
    };
    let left = f.margin();
    let unit = f.constraint.unit();
    Diagnosis {
        health: if left < 0.0 { Health::Warn } else { Health::Ok },
        name,
        message: format!("nearest limit: {}", f.constraint.name()),
        values: vec![
            ("constraint".to_owned(), f.constraint.name().to_owned()),
            ("index".to_owned(), f.index.to_string()),
            (format!("distance ({unit})"), format!("{:.5}", f.value)),
            (format!("keeps ({unit})"), format!("{:.5}", f.limit)),
            (format!("margin left ({unit})"), format!("{left:.5}")),
        ],
    }
}

/// A change of mode, with what caused it as the tick's verdicts say it; `None` when the mode is what it was.
pub(crate) fn change(was: Option<SafetyMode>, state: &SafetyState, verdicts: &[Verdict]) -> Option<String> {
    let was = was.filter(|was| *was != state.mode)?;
    let step = format!("{} to {}", was.name(), state.mode.name());
    if state.cause == Constraint::None {
        return Some(step);
    }
    let cause = format!("{step}: {}", state.cause.name());
    let Some(v) = verdicts.iter().find(|v| v.constraint == state.cause && v.outcome != Outcome::Passed) else {
        return Some(cause);
    };
    let arm = v.arm.map_or(String::new(), |arm| format!(" {arm}"));
    let index = if v.index < 0 { String::new() } else { format!(" [{}]", v.index) };
    Some(format!("{cause}{arm}{index}, {:.4} {} (limit {:.4})", v.value, v.constraint.unit(), v.limit))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proctor_types::{Boot, Digest};

    /// A node that is ready, of which nothing is wrong.
    pub(crate) fn state() -> SafetyState {
        SafetyState {
            stamp: Stamp::FIRST,
            tick: 1,
            boot: Boot(1),
            mode: SafetyMode::Ready,
            cause: Constraint::None,
            e_stop: false,
            autonomy_level: 0,
            active: Digest::default(),
            progress: 0.0,
            moving: false,
            executed: 3,
            refused: 5,
            violations: 0,
            overruns: 7,
            shadow: false,
        }
    }

    #[test]
    fn a_change_of_mode_is_said_with_its_cause_and_the_numbers_behind_it() {
        let of = |mode, cause| SafetyState { mode, cause, ..state() };
        let verdict = |arm, outcome, constraint, index| {
            let (stamp, tick, value, limit) = (Stamp::FIRST, 1, 0.0312, 0.03);
            Verdict { stamp, tick, arm, outcome, constraint, value, limit, index }
        };
        let stale = verdict(Some(ArmId::Psm2), Outcome::Held, Constraint::KinematicsStale, -1);
        let following = verdict(Some(ArmId::Psm2), Outcome::Held, Constraint::FollowingError, 0);
        let scene = verdict(None, Outcome::Held, Constraint::SceneStale, -1);
        let passed = Verdict { outcome: Outcome::Passed, ..scene };
        let (hold, was) = (of(SafetyMode::Hold, Constraint::SceneStale), Some(SafetyMode::Supervised));
        let fault = of(SafetyMode::Fault, Constraint::FollowingError);
        for (was, state, verdicts, said) in [
            (None, hold, vec![scene], None),
            (Some(SafetyMode::Hold), hold, vec![scene], None),
            (was, of(SafetyMode::Ready, Constraint::None), vec![scene], Some("SUPERVISED to READY")),
            (was, hold, vec![], Some("SUPERVISED to HOLD: scene_stale")),
            (was, hold, vec![passed, stale], Some("SUPERVISED to HOLD: scene_stale")),
            (was, hold, vec![stale, scene], Some("SUPERVISED to HOLD: scene_stale, 0.0312 s (limit 0.0300)")),
            (
                was,
                of(SafetyMode::Hold, Constraint::KinematicsStale),
                vec![stale],
                Some("SUPERVISED to HOLD: kinematics_stale PSM2, 0.0312 s (limit 0.0300)"),
            ),
            (
                was,
                fault,
                vec![following],
                Some("SUPERVISED to FAULT: following_error PSM2 [0], 0.0312 rad|m (limit 0.0300)"),
            ),
        ] {
            assert_eq!(change(was, &state, &verdicts).as_deref(), said);
        }
    }

    fn said<'a>(d: &'a Diagnosis, name: &str) -> Option<&'a str> {
        d.values.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    #[test]
    fn the_loop_is_well_unless_it_has_no_priority_no_hands_or_moved_something_without_permission() {
        let slow = Loop::default();
        slow.timing.record(20_000);
        slow.longest_ns.store(45_600, Relaxed);
        let prompt = Loop::default();
        prompt.fifo.store(true, Relaxed);
        let shadow = SafetyState { shadow: true, ..state() };
        let moved = SafetyState { violations: 1, ..shadow };
        for (state, lap, health, message) in [
            (None, None, Health::Ok, "keeps its time"),
            (Some(state()), None, Health::Ok, "keeps its time"),
            (Some(state()), Some(&prompt), Health::Ok, "keeps its time"),
            (Some(state()), Some(&slow), Health::Warn, "runs without real-time priority"),
            (Some(shadow), Some(&prompt), Health::Warn, "shadow: judges what others command, commands nothing"),
            (Some(moved), Some(&prompt), Health::Error, "motion without permission was counted"),
        ] {
            let d = of_loop(state.as_ref(), lap);
            assert_eq!((d.health, d.message.as_str(), d.name.as_str()), (health, message, "safety: loop"));
            assert_eq!(said(&d, "motions executed"), state.map(|_| "3"));
            assert_eq!(said(&d, "FIFO scheduling").is_some(), lap.is_some());
        }
        slow.timing.record(20_000);
        let d = of_loop(None, Some(&slow));
        assert_eq!(said(&d, "ticks in the last second"), Some("1"));
        assert_eq!(said(&d, "tick longest since start (us)"), Some("45.6"));
    }

    #[test]
    fn an_arm_is_well_while_it_keeps_its_nearest_limit() {
        let arm = ArmId::Psm1;
        let of = |constraint, value, limit| Finding::of(arm, constraint, value, limit).at(2);
        for (finding, health, left) in [
            (of(Constraint::NoGoZone, 0.005, 0.002), Health::Ok, "0.00300"),
            (of(Constraint::NoGoZone, 0.002, 0.002), Health::Ok, "0.00000"),
            (of(Constraint::NoGoZone, 0.001, 0.002), Health::Warn, "-0.00100"),
            // What must stay below its limit, not above.
            (of(Constraint::TrocarOffset, 0.0002, 0.0005), Health::Ok, "0.00030"),
            (of(Constraint::TrocarOffset, 0.0006, 0.0005), Health::Warn, "-0.00010"),
        ] {
            let d = of_arm(arm, Some(&finding));
            assert_eq!(
                (d.health, said(&d, "margin left (m)"), said(&d, "index")),
                (health, Some(left), Some("2")),
                "{d:?}"
            );
        }
        let all = report(Stamp::FIRST, None, &Margins::default(), None).all;
        assert_eq!(
            all.iter().map(|d| d.health).collect::<Vec<_>>(),
            [[Health::Ok].as_slice(), &[Health::Stale; 3]].concat()
        );
    }
}
