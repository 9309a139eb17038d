//! What is asked of a tick before it is taken: that the stop after it keeps every clearance, or leads out of what is too near.
//!
//! A path is checked by its middle: no point of the arm moves farther than `Body::travel` from there, so every
//! clearance along half a path of length `L` is at least the middle's less `L / 2`. Where that does not suffice the path is halved,
//! at most `MAX_HALVINGS` times. Fast motion near things therefore needs more room than slow motion.

use super::{
    Filter, RESERVE, Rules, by_tissue,
    clearance::{Clearance, Here, keeps, map_min},
    entry,
};
use crate::{
    Finding,
    braking::MotionState,
    dofs::{Bounds, N, Q, map2},
    plan::Plan,
    player::Step,
    surface::{FAR, probes},
};
use arrayvec::ArrayVec;
use proctor_types::{ArmId, Constraint};

/// Longest stop, in metres of travel, from a state in which an arm leaves a place it must not be.
const ESCAPE_TRAVEL: f64 = 2e-4;
/// Most ticks such a stop may take, the start included.
const ESCAPE_TICKS: usize = 48;
/// Parts of a stop along a path that are looked at one by one when it is such a stop.
const PATH_SAMPLES: u32 = 8;
/// A path is halved at most so often before it is refused.
const MAX_HALVINGS: u32 = 2;
/// Paths longer than this are not halved, they are refused: the stop is too long to be judged.
const MAX_TRAVEL: f64 = 2.0 * FAR;
/// Clearances are measured as far as this beyond what no point can lose on the way, m: twice the reserve, so that what rounding takes decides nothing.
const AMPLE: f64 = 2e-4;
/// Part of the tip-speed limit that a candidate may reach.
const TIP_CHECKED: f64 = 0.98;

/// Why a tick is not taken. What is on the way is named by [`Filter::said`]: most that are refused are tries that nobody asks about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Barred {
    /// This limit.
    By(Finding),
    /// Something that is too near on the way: its worst clearances, and where it ends.
    Near { worst: Clearance, end: Q },
}

impl Filter {
    /// What is said of a tick that is not taken.
    pub(super) fn said(&self, arm: ArmId, barred: &Barred, here: &Here, rules: &Rules) -> Finding {
        match barred {
            Barred::By(finding) => *finding,
            Barred::Near { worst, end } => {
                self.finding(arm, &here.clearance, worst, &self.clearance_at(arm, end, here, FAR, rules), rules)
            }
        }
    }

    /// Checks a tick along a path: the straight stop from it, and the stop along the path.
    #[expect(clippy::result_large_err, reason = "the loop has no heap to put it on")]
    pub(super) fn check_step(
        &self,
        arm: ArmId,
        from: &MotionState,
        plan: &Plan,
        step: &Step,
        here: &Here,
        rules: &Rules,
    ) -> Result<(), Barred> {
        self.check(arm, from, &MotionState { q: step.q, v: step.v }, here, rules)?;
        let body = self.bodies.get(arm);
        let (half, end) = step.player.stop(plan);
        let (first, second) = (step.player.travel(plan, body, &half), half.travel(plan, body, &end));
        let (middle, end) = (half.position(plan), end.position(plan));
        let (half, travel) = (first.max(second), body.travel(&from.q, &step.q) + first + second);
        if keeps(&here.clearance, travel, travel) {
            return Ok(());
        }
        let at_middle = self.clearance_at(arm, &middle, here, half + AMPLE, rules);
        if keeps(&at_middle, half, half) {
            return Ok(());
        }
        let places = (0..=PATH_SAMPLES).map(|k| step.player.stopping(plan, f64::from(k) / f64::from(PATH_SAMPLES)));
        let ahead = std::iter::once(step.q).chain(places.map(|place| place.position(plan)));
        if self.escapes(arm, here, ahead, travel, rules) {
            return Ok(());
        }
        Err(Barred::Near { worst: at_middle, end })
    }

    /// Checks the way from `from` to `to` and the straight stop after it.
    #[expect(clippy::result_large_err, reason = "the loop has no heap to put it on")]
    pub(super) fn check(
        &self,
        arm: ArmId,
        from: &MotionState,
        to: &MotionState,
        here: &Here,
        rules: &Rules,
    ) -> Result<(), Barred> {
        let (body, b) = (self.bodies.get(arm), self.bounds.get(arm));
        let end = to.stop(&b.acceleration);
        if let Some(j) = (0..N).find(|&j| outside(from, &end, b, j)) {
            let (x, lower, upper) = (entry(&end, j), entry(&b.lower, j), entry(&b.upper, j));
            return Err(Barred::By(Finding::of(arm, Constraint::JointPosition, x, x.max(lower).min(upper)).at(j)));
        }
        body.stops_in_trocar(&from.q, to, b).map_err(Barred::By)?;
        let travel = body.travel(&from.q, &end);
        let tip = body.tip_speed(&from.q, &to.v).unwrap_or(f64::INFINITY);
        let (allowed, class) = self.bears.allowance(&here.tissue, travel, rules.tip_speed);
        if tip > TIP_CHECKED * allowed {
            return Err(Barred::By(by_tissue(Finding::of(arm, Constraint::TipSpeed, tip, allowed), class)));
        }
        if let Some((force, sent)) = rules.force {
            let (bearable, class) = self.bears.bears(&here.tissue, body.travel(&sent, &from.q));
            if self.bears.grows_beyond(bearable, &force, body, [&sent, &from.q, &end]) {
                let finding = Finding::of(arm, Constraint::Force, force.norm(), bearable);
                return Err(Barred::By(class.map_or(finding, |c| finding.at(c))));
            }
        }
        let mut worst = here.clearance;
        if travel <= MAX_TRAVEL {
            // Most often nothing is within reach of the whole way.
            if keeps(&here.clearance, travel, body.depth_travel(&from.q, &end, travel)) {
                return Ok(());
            }
            for halvings in 0..=MAX_HALVINGS {
                let parts = 1u32 << halvings;
                let part =
                    |k: u32| map2(&from.q, &end, |a, b| a + (b - a) * f64::from(2 * k + 1) / f64::from(2 * parts));
                let half = travel / f64::from(2 * parts);
                let half_depth = body.depth_travel(&from.q, &end, travel) / f64::from(2 * parts);
                let clear = (0..parts).all(|k| {
                    let at = self.clearance_at(arm, &part(k), here, half + AMPLE, rules);
                    worst = map_min(&worst, &at);
                    keeps(&at, half, half_depth)
                });
                if clear {
                    return Ok(());
                }
                // Closer than the reserve nothing is looked at; a place on the way that is too near itself does not get better by it.
                if worst.iter().copied().fold(half, f64::min) < RESERVE {
                    break;
                }
            }
        }
        // Every tick of the stop: between two ticks on the way out of a place an arm may near what lies beside it.
        let stop =
            std::iter::successors(Some(*to), |s| (!s.rests()).then(|| s.advanced(s.brake_velocity(&b.acceleration))));
        if self.escapes(arm, here, stop.map(|s| s.q), travel, rules) {
            return Ok(());
        }
        Err(Barred::Near { worst, end })
    }

    /// Whether a motion leads away from everything that is too near, in steps small enough to be sure: no clearance falls that is not
    /// ample, and no point of tissue that is too near comes nearer.
    fn escapes(&self, arm: ArmId, here: &Here, ahead: impl Iterator<Item = Q>, travel: f64, rules: &Rules) -> bool {
        if travel > ESCAPE_TRAVEL {
            return false;
        }
        let body = self.bodies.get(arm);
        let Some(start) = body.shape(&here.q) else { return false };
        let mut way = ArrayVec::<_, ESCAPE_TICKS>::new();
        way.push(probes(&start.capsules));
        let mut last = here.clearance;
        for q in ahead {
            let Some(shape) = body.shape(&q).filter(|_| !way.is_full()) else { return false };
            let now = self.clearance(arm, &shape, self.known(arm, here, travel), travel + AMPLE, rules);
            if !now.iter().zip(&last).all(|(h, last)| h >= last || h - travel >= RESERVE) {
                return false;
            }
            last = now;
            way.push(probes(&shape.capsules));
        }
        let vicinity = &self.tissue.get(arm).vicinity;
        self.scene.as_ref().is_none_or(|s| s.surface.recedes(&way, vicinity, &rules.policy, RESERVE + travel))
    }
}

/// Whether a stop that ends at `end` leaves joint `j`'s range. An arm that is outside already may come back.
fn outside(from: &MotionState, end: &Q, b: &Bounds, j: usize) -> bool {
    let (now, then) = (entry(&from.q, j), entry(end, j));
    then < entry(&b.lower, j).min(now) || then > entry(&b.upper, j).max(now)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod check_tests;
