//! What the node says of itself on `/diagnostics`: how the loop keeps time, and how near every arm is to what limits it.

use crate::{Finding, PerArm, realtime::Health as Loop};
use proctor_types::{ArmId, Constraint, Diagnosis, Diagnostics, Health, SafetyState, Stamp};
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
    // All but this one are distances kept from something.
    let left = if f.constraint == Constraint::TrocarOffset { f.limit - f.value } else { f.value - f.limit };
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
