//! One tick of the safety loop: events in, cleared set-points out.
//!
//! `step` reads no clock, allocates nothing, locks nothing and cannot panic. Order within a tick: clock, e-stop, events,
//! watchdogs, machine, approvals, motion, gate, reports - so that a cause that arrives in a tick acts in that tick.

mod hearing;
mod motion;

use crate::{
    Classes, Event, Events, Filter, Finding, Gate, Output, SafetyError, SafetyParams, Zone,
    arms::{Arm, Tolerances, lately},
    authority::Authority,
    dofs::{self, PerArm, Q},
    machine::{Ask, Effect, Facts, Machine},
    report::{self, Margins},
    verdicts::VerdictLog,
};
use arrayvec::ArrayVec;
use motion::Run;
use proctor_types::{
    Alignment, ArmId, Boot, Constraint, Digest, Outcome, RequestKind, SafetyMode, SafetyState, SceneFault, Stamp,
    StateCommand, StateRequest,
};
use std::time::Duration;

/// Nominal period of [`SafetyCore::step`].
pub const PERIOD: Duration = Duration::from_millis(1);
/// A tick that comes sooner than this after the last one moves nothing: two set-points in one period would double the speed.
const EARLIEST: f64 = 0.75e-3;
/// [`SafetyState`] is published this often, and on every change.
const REPORT: Duration = Duration::from_millis(20);
/// Ticks in which every arm's nearest limit is looked up once, for reports.
const MARGINS: u64 = 500;
/// How long arms are asked to become ready after Enable.
const ENABLING: Duration = Duration::from_secs(15);
/// Most that protections see at once: six things of each arm, and the scene.
const MOST_SEEN: usize = 19;
/// Ages are whole nanoseconds; a limit in seconds is met within one.
const NANO: f64 = 1e-9;

/// The safety node's logic.
#[derive(Debug)]
pub struct SafetyCore {
    params: SafetyParams,
    tolerances: PerArm<Tolerances>,
    machine: Machine,
    arms: PerArm<Arm>,
    filter: Filter,
    gate: Gate,
    authority: Authority,
    log: VerdictLog,
    run: Option<Run>,
    /// Arms whose last approved motion was a *retract*: they may still touch what they hold.
    retracting: PerArm<bool>,
    scene_stamp: Option<Stamp>,
    /// What protections saw when facts were looked at last: the numbers behind [`Facts::causes`].
    seen: ArrayVec<Finding, MOST_SEEN>,
    line_pressed: bool,
    gate_refused: bool,
    last: Option<Stamp>,
    last_report: Option<Stamp>,
    reported: Option<SafetyState>,
    margins: Margins,
    last_margins: Option<Stamp>,
    enabling_until: Option<Stamp>,
    motion_allowed: Option<u64>,
    boot: Boot,
    shadow: bool,
    tick: u64,
    executed: u64,
    violations: u64,
    overruns: u64,
    out: Output,
}

impl SafetyCore {
    /// Boots DISABLED, autonomy level 0, gate closed. Refuses parameters outside their ranges. The only place that allocates.
    pub fn new(params: SafetyParams) -> Result<Self, SafetyError> {
        params.validate()?;
        let filter = Filter::new(&params)?;
        let bodies = PerArm::from_fn(|arm| filter.body(arm).clone());
        Ok(Self {
            tolerances: PerArm::from_fn(|arm| Tolerances::new(&params, filter.body(arm).layout())),
            machine: Machine::default(),
            arms: PerArm::from_fn(|arm| Arm::new(arm, filter.bounds(arm))),
            gate: Gate::new(&params, &bodies, filter.camera_mount()),
            authority: Authority::new(&params),
            log: VerdictLog::default(),
            run: None,
            retracting: PerArm::default(),
            scene_stamp: None,
            seen: ArrayVec::new(),
            line_pressed: false,
            gate_refused: false,
            last: None,
            last_report: None,
            reported: None,
            margins: Margins::default(),
            last_margins: None,
            enabling_until: None,
            motion_allowed: None,
            boot: Boot::default(),
            shadow: false,
            tick: 0,
            executed: 0,
            violations: 0,
            overruns: 0,
            out: Output::default(),
            filter,
            params,
        })
    }

    /// State of the machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The filter, for reports and tests.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The zones that hold.
    pub fn zones(&self) -> &[Zone] {
        &self.params.zones
    }

    /// The policies that hold.
    pub fn classes(&self) -> &Classes {
        &self.params.classes
    }

    /// Set-point of an arm while the gate is open for it (joints, then jaw).
    pub fn set_point(&self, arm: ArmId) -> Option<[f64; 7]> {
        self.arms.get(arm).set_point()
    }

    /// Says in every state which start of the node this is, as whoever verifies seals for it knows.
    pub fn boot_as(&mut self, boot: Boot) {
        self.boot = boot;
    }

    /// Says in every state that what it clears goes nowhere, as whoever owns it knows.
    pub fn in_shadow(&mut self) {
        self.shadow = true;
    }

    /// How many ticks took longer than their period, as counted by whoever runs the loop.
    pub fn count_overruns(&mut self, overruns: u64) {
        self.overruns = overruns;
    }

    /// One tick. Takes every event; returns what to publish and send, valid until the next tick.
    pub fn step(&mut self, now: Stamp, events: &mut Events) -> &mut Output {
        self.out.clear();
        self.tick += 1;
        self.log.begin(now, self.tick);
        let (early, jumped) = self.clock(now);

        // E-stop first, whatever else is in the queue and whoever sent it, however old or repeated.
        let estop = events.iter().any(Event::is_e_stop);
        if estop {
            self.update(
                &Facts::default(),
                Some(Ask { operator: proctor_types::OperatorId(0), kind: RequestKind::EStop }),
                now,
            );
        }
        for event in events.drain(..) {
            self.take(event, now);
        }
        let facts = self.facts(now, jumped);
        self.update(&facts, None, now);
        self.supervise(now);
        if !early {
            self.motion(now);
        }
        self.ask_arms(now);
        self.report(now);
        &mut self.out
    }

    /// Whether this tick comes too soon to move, and whether the clock jumped.
    fn clock(&mut self, now: Stamp) -> (bool, bool) {
        let Some(last) = self.last.replace(now) else { return (false, false) };
        let gap = now.seconds_since(last);
        let limit = self.params.watchdogs.tick_gap;
        let jumped = gap <= 0.0 || gap > limit;
        if jumped {
            self.log.say(Outcome::Held, Finding::node(Constraint::ClockJump, gap, limit));
            self.authority.forget_presence();
            self.forget_goals();
        }
        // After a jump the tick counts: the arms must brake now, whatever the clock says.
        (gap < EARLIEST && !jumped, jumped)
    }

    /// Which protections see their cause now.
    fn facts(&mut self, now: Stamp, jumped: bool) -> Facts {
        let w = self.params.watchdogs;
        let contradicted = self.contradicted();
        let mut facts = Facts::default();
        if self.line_pressed {
            facts.causes.add(Constraint::EStop);
        }
        if jumped {
            facts.causes.add(Constraint::ClockJump);
        }
        if self.gate_refused {
            facts.causes.add(Constraint::Gate);
        }
        self.seen.clear();
        let mut seen = |finding: Finding, said: bool| {
            facts.causes.add(finding.constraint);
            // There is room for each of every arm.
            let _ = self.seen.try_push(finding);
            if said {
                self.log.say(Outcome::Held, finding);
            }
        };
        let moves = self.machine.may_move();
        for arm in ArmId::ALL {
            let a = self.arms.get(arm);
            if !a.is_ready() {
                seen(Finding::of(arm, Constraint::ArmNotReady, 0.0, 1.0), moves);
            }
            let age = a.kinematics_age(now);
            if over(age, w.kinematics) {
                seen(Finding::of(arm, Constraint::KinematicsStale, age, w.kinematics), moves);
            } else if let Some(finding) = a.following_error(&self.tolerances.get(arm).following) {
                seen(finding, moves);
            }
            if let Some(Err(finding)) = a.measured().map(|q| self.filter.body(arm).in_trocar(&q)) {
                seen(finding, moves);
            }
            if let Some(age) = a.force_age(now).filter(|age| over(*age, w.kinematics)) {
                seen(Finding::of(arm, Constraint::ForceStale, age, w.kinematics), moves);
            }
            let (rate, most) = (a.force_rate(), self.params.force.rate);
            if rate > most {
                seen(Finding::of(arm, Constraint::ForceRate, rate, most), moves);
            }
            if let Some(age) = a.command_age(now).filter(|age| over(*age, w.command)) {
                seen(Finding::of(arm, Constraint::CommandStale, age, w.command), moves);
            }
        }
        let scene_age = self.scene_stamp.map_or(f64::INFINITY, |s| now.seconds_since(s));
        if over(scene_age, w.scene) {
            let supervised = self.machine.mode == SafetyMode::Supervised;
            seen(Finding::node(Constraint::SceneStale, scene_age, w.scene), supervised);
        } else if let Some(arm) = contradicted {
            seen(Finding::scene(arm, SceneFault::Contradicted, 0.0, 0.0), true);
        }
        facts.at_rest =
            ArmId::ALL.into_iter().all(|a| self.arms.get(a).rests(now, w.kinematics, &self.tolerances.get(a).rest));
        facts
    }

    /// The arm that runs a motion although picture and kinematics contradict each other about it.
    fn contradicted(&self) -> Option<ArmId> {
        let arm = self.run.as_ref()?.arm;
        let alignment = *self.filter.scene()?.alignment.get(arm);
        (alignment == Alignment::Inconsistent).then_some(arm)
    }

    fn update(&mut self, facts: &Facts, ask: Option<Ask>, now: Stamp) {
        let before = self.machine;
        let update = before.update(facts, ask);
        self.machine = update.next;
        match update.refused {
            Some(finding) => self.log.refuse(self.spelled_out(finding)),
            None => self.out.read_zones |= ask.is_some_and(|a| a.kind == RequestKind::ReadZones),
        }
        match update.effect {
            Effect::None => {}
            Effect::EnableArms => {
                self.enabling_until = Some(now.plus(ENABLING));
                ArmId::ALL.into_iter().for_each(|a| self.arms.get_mut(a).ask_at_once());
            }
            Effect::DisableArms => {
                self.enabling_until = None;
                for arm in ArmId::ALL {
                    let ask = StateCommand { arm, stamp: now, request: StateRequest::Disable };
                    // At most one per arm and tick: the machine disables once.
                    let _ = self.out.arm_requests.try_push(ask);
                }
            }
        }
        if before.mode != self.machine.mode {
            self.changed();
        } else if before.pending != self.machine.pending {
            // Nobody follows these any more, and that nobody renews them is no silence.
            self.forget_goals();
        }
    }

    /// What the machine said with the numbers of what was seen, if that was a protection's cause.
    fn spelled_out(&self, said: Finding) -> Finding {
        self.seen.iter().find(|seen| seen.constraint == said.constraint).copied().unwrap_or(said)
    }

    /// Entering and leaving modes opens and closes the gate.
    fn changed(&mut self) {
        use SafetyMode::{Disabled, Fault, Hold, Ready, Supervised, Teleop};
        match self.machine.mode {
            Teleop | Supervised => {
                for arm in ArmId::ALL {
                    match self
                        .arms
                        .get_mut(arm)
                        .engage(&self.tolerances.get(arm).following_engage(self.filter.body(arm).layout()))
                    {
                        Some(q) => self.gate.rest_at(arm, &q),
                        None => self.gate.close(arm),
                    }
                }
            }
            // Brakes with the gate open; `motion` closes it at rest.
            Hold | Fault => {}
            Ready | Disabled => ArmId::ALL.into_iter().for_each(|a| {
                self.arms.get_mut(a).release();
                self.gate.close(a);
            }),
        }
        if let Some(cause) = self.machine.cause.filter(|_| matches!(self.machine.mode, Hold | Fault)) {
            self.log.say(Outcome::Held, self.spelled_out(Finding::node(cause, 1.0, 0.0)));
        }
        // Only SUPERVISED has one.
        if let Some(run) = self.run.take() {
            self.end(run);
        }
        self.forget_goals();
    }

    /// What teleoperation wants of every arm.
    fn forget_goals(&mut self) {
        ArmId::ALL.into_iter().for_each(|a| self.arms.get_mut(a).forget_goal());
    }

    /// Asks arms that are not ready to enable, resume or home, for a while after Enable.
    fn ask_arms(&mut self, now: Stamp) {
        let enabling = self.enabling_until.is_some_and(|until| now < until) && self.machine.mode == SafetyMode::Ready;
        if !enabling {
            return;
        }
        for arm in ArmId::ALL {
            if let Some(request) = self.arms.get_mut(arm).wants(now) {
                let _ = self.out.arm_requests.try_push(StateCommand { arm, stamp: now, request });
            }
        }
    }

    fn report(&mut self, now: Stamp) {
        self.out.verdicts.extend(self.log.verdicts().iter().copied());
        let (active, progress, moving) = match &self.run {
            Some(run) => {
                let plan = self.authority.plan(&run.approved);
                let duration = plan.map_or(1.0, super::plan::Plan::duration);
                let progress = run.player.map_or(0.0, |p| (p.tau() / duration).clamp(0.0, 1.0));
                (run.approved.digest(), progress, run.moving)
            }
            None => (Digest::default(), 0.0, false),
        };
        let state = SafetyState {
            stamp: now,
            tick: self.tick,
            boot: self.boot,
            mode: self.machine.mode,
            cause: self.machine.cause.unwrap_or(Constraint::None),
            e_stop: self.machine.e_stop,
            autonomy_level: self.machine.autonomy_level(),
            active,
            progress,
            moving,
            executed: self.executed,
            refused: self.log.refused(),
            violations: self.violations,
            overruns: self.overruns,
            shadow: self.shadow,
        };
        let due = !self.last_report.is_some_and(|last| lately(last, now, REPORT));
        let changed = self.reported.is_none_or(|r| {
            (r.mode, r.cause, r.e_stop, r.active, r.moving, r.executed, r.violations)
                != (state.mode, state.cause, state.e_stop, state.active, state.moving, state.executed, state.violations)
        });
        if due || changed {
            (self.last_report, self.reported) = (Some(now), Some(state));
            self.out.state = Some(state);
        }
        self.report_margins(now);
    }

    /// One arm's nearest limit per call, so that no tick does the work of three; all of them once a second.
    fn report_margins(&mut self, now: Stamp) {
        if !self.last_margins.is_some_and(|last| lately(last, now, report::EVERY)) {
            self.last_margins = Some(now);
            self.out.margins = Some(self.margins);
        }
        let Some(arm) = ArmId::ALL.get((self.tick % MARGINS) as usize).copied() else { return };
        let q = self.arms.get(arm).set_point().or_else(|| self.arms.get(arm).measured());
        let rules = self.rules(arm, now);
        *self.margins.get_mut(arm) = q.map(|q| self.filter.nearest(arm, &q, &rules));
    }
}

impl Tolerances {
    /// How far the arm may have drifted from the last set-point for that to be taken up again.
    fn following_engage(&self, layout: &dofs::Layout) -> Q {
        let mut q = self.start;
        layout.set_jaw(&mut q, f64::INFINITY);
        q
    }
}

/// Whether an age is beyond its limit, s.
fn over(age: f64, limit: f64) -> bool {
    age > limit + NANO
}

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_met_within_a_nanosecond() {
        for (nanos, is_over) in [(0, false), (1, false), (2, true)] {
            let age = Stamp::FIRST.plus(Duration::from_nanos(nanos)).seconds_since(Stamp::FIRST);
            assert_eq!(over(age, 0.0), is_over, "{nanos}");
        }
        assert!(over(f64::INFINITY, 0.4), "what never came is too old");
        assert!(!over(-0.01, 0.0), "what lies ahead is not");
    }
}
