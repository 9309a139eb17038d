//! What moves in a tick: the approved motion or teleoperation, through filter, smoother and gate, and the audit of it.

use super::SafetyCore;
use crate::{
    Cleared, Finding, SetPoint, Wish,
    authority::{self, Approved},
    braking::MotionState,
    dofs::{self, PerArm, Q},
    filter::{Decided, Desire, Rules},
    gate::Question,
    machine::mode_number,
    player::Player,
};
use proctor_types::{Alignment, ArmId, Constraint, Outcome, QualityVerdict, SafetyMode, SceneFault, Skill, Stamp};

/// Ticks a stop may take; motion later than this after motion was last allowed is a violation. Counted in ticks, because the
/// clock may jump.
const LONGEST_STOP: u64 = 600;
/// A start is reached when no degree of freedom is farther from it.
const ARRIVED: f64 = 1e-9;
/// An approved motion on its way.
#[derive(Debug)]
pub(super) struct Run {
    pub approved: Approved,
    pub arm: ArmId,
    pub skill: Skill,
    /// Whether it began: was held when what it was planned with was still live.
    pub started: bool,
    /// `None` until the arm stands exactly at the start.
    pub player: Option<Player>,
    /// When presence last held it; when approved, before that.
    pub held: Stamp,
    /// It was withdrawn or lost its ground: it stops and ends.
    pub ending: Option<Finding>,
    pub moving: bool,
}

impl SafetyCore {
    /// What an approved motion may do in this tick: decides whether it stands, runs, pauses or ends.
    pub(super) fn supervise(&mut self, now: Stamp) {
        let Some(mut run) = self.run.take() else { return };
        let held = self.authority.held(&run.approved, now);
        if held.is_some() {
            run.held = now;
        }
        if run.ending.is_none() {
            run.ending = self.doom(&run, now);
        }
        if let Some(finding) = run.ending {
            if !run.moving {
                self.log.refuse(finding);
                return self.end(run);
            }
            self.log.say(Outcome::Held, finding);
        }
        if held.is_none() && run.moving {
            let age = self.authority.presence().map_or(0.0, |p| now.seconds_since(p.stamp));
            let limit = self.params.watchdogs.presence;
            self.log.say(Outcome::Held, Finding::of(run.arm, Constraint::PresenceLost, age, limit));
        }
        self.run = Some(run);
    }

    /// Why a motion must end, if it must.
    fn doom(&self, run: &Run, now: Stamp) -> Option<Finding> {
        let plan = self.authority.plan(&run.approved)?;
        if !self.authority.stands(&run.approved) {
            return Some(Finding::of(run.arm, Constraint::Withdrawn, plan.id.0 as f64, 0.0));
        }
        let away = now.seconds_since(run.held);
        let window = self.params.approval.resume_window;
        if run.started && away > window {
            return Some(Finding::of(run.arm, Constraint::PresenceLost, away, window));
        }
        if !run.started && now >= plan.expires {
            return Some(Finding::of(run.arm, Constraint::Expired, now.seconds_since(plan.expires), 0.0));
        }
        None
    }

    /// Whether a motion may begin on what was seen last.
    fn trusted(&self, arm: ArmId) -> Result<(), Finding> {
        let Some(scene) = self.filter.scene() else { return Err(Finding::of(arm, Constraint::SceneStale, 0.0, 0.0)) };
        if scene.quality != QualityVerdict::Good {
            return Err(Finding::scene(arm, SceneFault::BadPicture, 0.0, 0.0));
        }
        if *scene.alignment.get(arm) != Alignment::Aligned {
            return Err(Finding::scene(arm, SceneFault::Contradicted, 0.0, 0.0));
        }
        Ok(())
    }

    pub(super) fn motion(&mut self, now: Stamp) {
        self.gate_refused = false;
        let states = PerArm::from_fn(|a| self.arms.get(a).motion);
        self.filter.begin(&states);
        if self.machine.mode == SafetyMode::Supervised {
            self.filter.watch(&states);
        } else {
            self.filter.look_away();
        }
        if self.machine.mode == SafetyMode::Teleop {
            let wish = |arm: ArmId| {
                let goal = self.arms.get(arm).goal()?;
                let rules = self.rules(arm, now);
                states.get(arm).map(|state| Wish { state, goal, rules })
            };
            let wishes = PerArm::from_fn(wish);
            self.filter.wish(&wishes);
        }
        let allowed = self.motion_is_allowed(now);
        if allowed {
            self.motion_allowed = Some(self.tick);
        }
        for arm in ArmId::ALL {
            if let Some(state) = states.get(arm) {
                self.move_arm(arm, state, now);
            }
        }
        let resting = ArmId::ALL.into_iter().all(|a| self.arms.get(a).stands());
        if resting && matches!(self.machine.mode, SafetyMode::Hold | SafetyMode::Fault) {
            for arm in ArmId::ALL {
                self.arms.get_mut(arm).release();
                self.gate.close(arm);
            }
        }
    }

    /// Whether anything may move now: the audit's own question, asked without the filter.
    fn motion_is_allowed(&self, now: Stamp) -> bool {
        match self.machine.mode {
            SafetyMode::Teleop => self.machine.pending.is_none(),
            SafetyMode::Supervised => {
                self.machine.pending.is_none()
                    && self.run.as_ref().is_some_and(|r| self.authority.held(&r.approved, now).is_some())
            }
            SafetyMode::Disabled | SafetyMode::Ready | SafetyMode::Hold | SafetyMode::Fault => false,
        }
    }

    /// What holds for an arm now.
    pub(super) fn rules(&self, arm: ArmId, now: Stamp) -> Rules {
        let supervised = self.machine.mode == SafetyMode::Supervised;
        let turn = self.filter.body(arm).world_from_base().rotation;
        let a = self.arms.get(arm);
        let force = a.force().zip(a.set_point()).map(|(f, sent)| (turn * f, sent));
        Rules { force, ..self.filter.rules(arm, supervised, *self.retracting.get(arm), now) }
    }

    fn move_arm(&mut self, arm: ArmId, state: &MotionState, now: Stamp) {
        let rules = self.rules(arm, now);
        let decided = match self.machine.mode {
            SafetyMode::Teleop if self.machine.may_move() => match self.arms.get(arm).goal() {
                Some(goal) => self.filter.decide(arm, state, Desire::Goal(&goal), &rules),
                None => self.filter.decide(arm, state, Desire::Rest, &rules),
            },
            SafetyMode::Supervised if self.machine.may_move() => self.play(arm, state, &rules, now),
            _ => self.filter.decide(arm, state, Desire::Rest, &rules),
        };
        self.say(arm, &decided);
        if let Some(sent) = self.clear(arm, &decided.state, &rules, now) {
            let before = self.arms.get(arm).set_point();
            self.arms.get_mut(arm).sent(sent);
            self.audit(arm, before);
            self.advance(arm, &decided, sent == decided.state);
        }
    }

    /// Plays the approved motion, if it is this arm's.
    fn play(&mut self, arm: ArmId, state: &MotionState, rules: &Rules, now: Stamp) -> Decided {
        let Some(mut run) = self.run.take_if(|r| r.arm == arm) else {
            return self.filter.decide(arm, state, Desire::Rest, rules);
        };
        let decided = self.play_run(&mut run, state, rules, now);
        run.moving = !decided.state.rests();
        self.run = Some(run);
        decided
    }

    fn play_run(&mut self, run: &mut Run, state: &MotionState, rules: &Rules, now: Stamp) -> Decided {
        let arm = run.arm;
        let held = run.ending.is_none() && self.authority.held(&run.approved, now).is_some();
        let Some(plan) = self.authority.plan(&run.approved) else {
            return self.filter.decide(arm, state, Desire::Rest, rules);
        };
        if run.player.is_none() {
            let may_start = held && {
                let start = self
                    .trusted(arm)
                    .and_then(|()| authority::startable(plan, Some(state.q), &self.tolerances.get(arm).start));
                if let Err(finding) = start {
                    self.log.say(Outcome::Held, finding);
                }
                start.is_ok()
            };
            if !may_start {
                return self.filter.decide(arm, state, Desire::Rest, rules);
            }
            if !run.started {
                if let Err(finding) = authority::current(plan, self.filter.scene()) {
                    run.ending = Some(finding);
                    return self.filter.decide(arm, state, Desire::Rest, rules);
                }
                run.started = true;
            }
            *self.retracting.get_mut(arm) = run.skill == Skill::Retract;
            let start = plan.start();
            let off = dofs::map2(&start, &state.q, |a, b| (a - b).abs());
            if !state.rests() || off.iter().any(|&x| x > ARRIVED) {
                return self.filter.decide(arm, state, Desire::Goal(&start), rules);
            }
            run.player = Some(Player::default());
        }
        let Some(player) = run.player else { return self.filter.decide(arm, state, Desire::Rest, rules) };
        let desire = if held { Desire::Advance(plan, player) } else { Desire::Pause(plan, player) };
        self.filter.decide(arm, state, desire, rules)
    }

    /// Notes progress along the path; off the path, the motion ends.
    fn advance(&mut self, arm: ArmId, decided: &Decided, as_decided: bool) {
        let Some(mut run) = self.run.take_if(|r| r.arm == arm) else { return };
        if run.player.is_none() {
            self.run = Some(run);
            return;
        }
        match decided.player.filter(|_| as_decided) {
            Some(player) => run.player = Some(player),
            None if run.moving => {
                // Where nothing was binding an operator stops it; what the gate refuses ends it by HOLD.
                let (wanted, needed) = (mode_number(SafetyMode::Ready), mode_number(SafetyMode::Supervised));
                let stopped = Finding::of(arm, Constraint::WrongMode, wanted, needed);
                run.ending = run.ending.or(decided.binding).or(Some(stopped));
            }
            None => {}
        }
        let done = match (run.player, self.authority.plan(&run.approved)) {
            (Some(player), Some(plan)) => player.done(plan),
            _ => false,
        };
        let stands = self.arms.get(arm).stands();
        run.moving |= !stands;
        if done && stands {
            self.executed += 1;
            self.log.say(Outcome::Passed, Finding::of(arm, Constraint::None, 1.0, 1.0));
            self.end(run);
        } else {
            self.run = Some(run);
        }
    }

    /// What the filter did, said.
    fn say(&mut self, arm: ArmId, decided: &Decided) {
        match decided.binding {
            Some(finding) if decided.blocked => self.log.say(Outcome::Held, finding),
            Some(finding) => self.log.say(Outcome::Limited, finding),
            None if !decided.state.rests() && self.machine.may_move() => {
                let fastest = self.filter.bounds(arm).velocity.worst_ratio(&decided.state.v);
                self.log.say(Outcome::Passed, Finding::of(arm, Constraint::None, fastest, 1.0));
            }
            None => {}
        }
    }

    /// Through the gate; refused, the arm brakes, and that goes through the gate too. Returns which of the two was sent, smoothed.
    fn clear(&mut self, arm: ArmId, wanted: &MotionState, rules: &Rules, now: Stamp) -> Option<MotionState> {
        let before = self.arms.get(arm).motion?;
        match self.pass(arm, wanted, rules, now) {
            Ok(cleared) => {
                self.send(cleared);
                return Some(*wanted);
            }
            Err(finding) => self.refused_by_gate(arm, finding),
        }
        let acceleration = self.filter.bounds(arm).acceleration;
        let braking = before.advanced(before.brake_velocity(&acceleration));
        match self.pass(arm, &braking, rules, now) {
            Ok(cleared) => {
                self.send(cleared);
                Some(braking)
            }
            Err(finding) => {
                // Nothing is sent: the arm keeps its last set-point. The machine stops everything in the next tick.
                self.refused_by_gate(arm, finding);
                let last = self.arms.get(arm).set_point()?;
                self.arms.get_mut(arm).rest_at(&last);
                self.gate.rest_at(arm, &last);
                None
            }
        }
    }

    fn refused_by_gate(&mut self, arm: ArmId, finding: Finding) {
        self.gate_refused = true;
        self.log.refuse(finding);
        let index = usize::try_from(finding.index).unwrap_or(usize::MAX);
        self.log.say(Outcome::Refused, Finding::of(arm, Constraint::Gate, finding.value, finding.limit).at(index));
    }

    fn pass(
        &mut self,
        arm: ArmId,
        state: &MotionState,
        rules: &Rules,
        now: Stamp,
    ) -> Result<Cleared<SetPoint>, Finding> {
        let q = self.arms.get(arm).smoothed(&state.q);
        self.gate.clear(&Question { arm, stamp: now, q: &q, planned: &state.q, rules, scene: self.filter.scene() })
    }

    fn send(&mut self, cleared: Cleared<SetPoint>) {
        // One per arm and tick: there is room.
        let _ = self.out.commands.try_push(cleared);
    }

    /// Motion without permission, later than a stop may take: counted, and a reason to stop for good.
    fn audit(&mut self, arm: ArmId, before: Option<Q>) {
        let moved = before != self.arms.get(arm).set_point();
        let since = self.motion_allowed.map_or(u64::MAX, |t| self.tick - t);
        if moved && since > LONGEST_STOP {
            self.violations += 1;
            self.log.say(Outcome::Refused, Finding::of(arm, Constraint::Gate, since as f64, LONGEST_STOP as f64));
        }
    }
}

#[cfg(test)]
#[path = "motion_tests.rs"]
mod motion_tests;
