//! One tick of the safety loop: events in, cleared set-points out.
//!
//! `step` reads no clock, allocates nothing, locks nothing and cannot panic. Order within a tick: clock, e-stop, events,
//! watchdogs, machine, approvals, motion, gate, reports - so that a cause that arrives in a tick acts in that tick.

use crate::{
    Cleared, Event, Events, Filter, Finding, Gate, LiveZones, Output, SafetyError, SafetyParams, SetPoint, Spent, Wish,
    Zone,
    arms::{Arm, Tolerances},
    authority::{self, Approved, Authority, Circumstances},
    braking::MotionState,
    dofs::{self, PerArm, Q},
    filter::{Decided, Desire, Rules},
    gate::Question,
    machine::{Ask, Effect, Facts, Machine},
    player::Player,
    report::{self, Margins},
    verdicts::VerdictLog,
};
use proctor_seal::Verified;
use proctor_types::{
    Alignment, ArmId, Boot, Constraint, Decision, Digest, OperatorRequest, Outcome, QualityVerdict, RequestKind,
    SafetyMode, SafetyState, SceneFault, Skill, Stamp, StateCommand, StateRequest,
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
/// Ticks a stop may take; motion later than this after motion was last allowed is a violation. Counted in ticks, because the
/// clock may jump.
const LONGEST_STOP: u64 = 600;
/// A start is reached when no degree of freedom is farther from it.
const ARRIVED: f64 = 1e-9;
/// Ages are whole nanoseconds; a limit in seconds is met within one.
const NANO: f64 = 1e-9;

/// An approved motion on its way.
#[derive(Debug)]
struct Run {
    approved: Approved,
    arm: ArmId,
    skill: Skill,
    /// Whether it began: was held when what it was planned with was still live.
    started: bool,
    /// `None` until the arm stands exactly at the start.
    player: Option<Player>,
    /// When presence last held it; when approved, before that.
    held: Stamp,
    /// It was withdrawn or lost its ground: it stops and ends.
    ending: Option<Finding>,
    moving: bool,
}

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

    /// Set-point of an arm while the gate is open for it (joints, then jaw).
    pub fn set_point(&self, arm: ArmId) -> Option<[f64; 7]> {
        self.arms.get(arm).set_point()
    }

    /// Says in every state which start of the node this is, as whoever verifies seals for it knows.
    pub fn boot_as(&mut self, boot: Boot) {
        self.boot = boot;
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
            ArmId::ALL.into_iter().for_each(|a| self.arms.get_mut(a).forget_goal());
        }
        // After a jump the tick counts: the arms must brake now, whatever the clock says.
        (gap < EARLIEST && !jumped, jumped)
    }

    fn take(&mut self, event: Event, now: Stamp) {
        match event {
            Event::Joints(m) => {
                let noted = self.arms.get_mut(m.arm).measure(m, now);
                self.note(noted);
            }
            Event::Jaw(j) => {
                let noted = self.arms.get_mut(j.arm).measure_jaw(j, now);
                self.note(noted);
            }
            Event::Force(f) => {
                let noted = self.arms.get_mut(f.arm).feel(f, now);
                self.note(noted);
            }
            Event::Status(s) => self.arms.get_mut(s.arm).report(s),
            Event::Teleop(c) => {
                let (age, jump) = (self.params.watchdogs.command, self.tolerances.get(c.arm).jump);
                let taken = self.in_teleop(c.arm).and_then(|()| self.arms.get_mut(c.arm).command(&c, now, age, &jump));
                self.judge(taken);
            }
            Event::TeleopJaw(c) => {
                let age = self.params.watchdogs.command;
                let taken = self.in_teleop(c.arm).and_then(|()| self.arms.get_mut(c.arm).command_jaw(&c, now, age));
                self.judge(taken);
            }
            Event::Scene(scene) => self.see(scene, now),
            Event::Plan(plan) => {
                let (spent, taken) = self.authority.offer(plan, now);
                if let Some(plan) = spent {
                    self.dispose(Spent::Plan(plan));
                }
                self.judge(taken);
            }
            Event::Zones(zones) => self.rezone(zones),
            Event::Refused(finding) => self.log.refuse(finding),
            Event::Withdrawal(w) => {
                let taken = self.authority.withdraw(&w);
                self.judge(taken);
            }
            Event::Decision(d) => self.decide(&d, now),
            Event::Presence(p) => {
                let taken = self.authority.note_presence(&p, self.machine.authority, now);
                self.judge(taken);
            }
            Event::Request(r) => self.request(&r, now),
            // Acted upon before everything else.
            Event::EStop => {}
            Event::EStopLine(pressed) => self.line_pressed = pressed,
        }
    }

    fn judge(&mut self, taken: Result<(), Finding>) {
        if let Err(finding) = taken {
            self.log.refuse(finding);
        }
    }

    /// A measurement that is not used is no refused command.
    fn note(&mut self, taken: Result<(), Finding>) {
        if let Err(finding) = taken {
            self.log.say(Outcome::Refused, finding);
        }
    }

    fn dispose(&mut self, spent: Spent) {
        // There is room: a tick disposes of at most one thing per event, and of one more for the motion that ends.
        if let Err(full) = self.out.spent.try_push(spent) {
            drop(full);
        }
    }

    fn in_teleop(&self, arm: ArmId) -> Result<(), Finding> {
        if self.machine.mode == SafetyMode::Teleop && self.machine.pending.is_none() {
            return Ok(());
        }
        let mode = crate::machine::mode_number(self.machine.mode);
        Err(Finding::of(arm, Constraint::WrongMode, mode, crate::machine::mode_number(SafetyMode::Teleop)))
    }

    fn see(&mut self, scene: Box<crate::LiveScene>, now: Stamp) {
        let old = self.filter.scene().map(|s| s.stamp);
        let ahead = scene.stamp.seconds_since(now);
        let refusal = if ahead > 0.02 {
            Some(Finding::node(Constraint::ClockJump, ahead, 0.02))
        } else if old.is_some_and(|old| scene.stamp <= old) {
            Some(Finding::node(Constraint::Sequence, scene.seq as f64, 0.0))
        } else if matches!(scene.quality, QualityVerdict::Unusable | QualityVerdict::Unknown) {
            // Says nothing about the field: what was seen before ages on.
            Some(Finding::scene(None, SceneFault::BadPicture, 0.0, 0.0))
        } else {
            None
        };
        if let Some(finding) = refusal {
            self.log.say(Outcome::Refused, finding);
            return self.dispose(Spent::Scene(scene));
        }
        let stamp = scene.stamp;
        let (spent, doubted) = self.filter.see(scene);
        if let Some(scene) = spent {
            self.dispose(Spent::Scene(scene));
        }
        self.scene_stamp = Some(stamp);
        ArmId::ALL.into_iter().for_each(|a| self.gate.place(a, self.filter.body(a).world_from_base()));
        if let Some(finding) = doubted {
            self.log.say(Outcome::Refused, finding);
        }
    }

    /// Other zones take the place of those that hold: at any moment if they only add or widen, else while no arm can move. An arm that finds
    /// itself too near may only move away, as from new tissue.
    fn rezone(&mut self, mut zones: Box<LiveZones>) {
        let gate_closed = matches!(self.machine.mode, SafetyMode::Disabled | SafetyMode::Ready);
        if let Some(loosened) = zones.loosens(&self.params.zones).filter(|_| !gate_closed) {
            let mode = crate::machine::mode_number(self.machine.mode);
            let ready = crate::machine::mode_number(SafetyMode::Ready);
            self.log.refuse(Finding::node(Constraint::WrongMode, mode, ready).at(loosened));
        } else {
            std::mem::swap(&mut self.params.zones, &mut zones.zones);
            self.filter.swap_zones(&mut zones.keepouts);
            self.gate.swap_zones(&mut zones.flats);
            self.out.zones = Some(zones.version);
        }
        self.dispose(Spent::Zones(zones));
    }

    fn request(&mut self, r: &Verified<OperatorRequest>, now: Stamp) {
        // E-stops were acted upon before everything else.
        if r.kind == RequestKind::EStop {
            return;
        }
        if let Err(finding) = self.authority.admit(&r.into(), self.machine.authority, now) {
            return self.log.refuse(finding);
        }
        let facts = self.facts(now, false);
        self.update(&facts, Some(Ask { operator: r.operator, kind: r.kind }), now);
    }

    fn decide(&mut self, d: &Verified<Decision>, now: Stamp) {
        let arms = &self.arms;
        let set_point = |arm: ArmId| arms.get(arm).motion.map(|m| m.q);
        let tolerance = |arm: ArmId| self.tolerances.get(arm).start;
        let circumstances = Circumstances {
            now,
            mode: if self.machine.may_move() { self.machine.mode } else { SafetyMode::Ready },
            holder: self.machine.authority,
            scene: self.filter.scene(),
            set_point: &set_point,
            tolerance: &tolerance,
            busy: self.run.as_ref().is_some_and(|r| r.started),
        };
        match self.authority.decide(d, &circumstances) {
            Err(finding) => self.log.refuse(finding),
            Ok(None) => {}
            Ok(Some(approved)) => {
                // An approval that has not begun is superseded by the newer one.
                if let Some(old) = self.run.take() {
                    self.end(old);
                }
                let Some(plan) = self.authority.plan(&approved) else { return };
                let (arm, skill) = (plan.arm, plan.skill);
                self.run = Some(Run {
                    approved,
                    arm,
                    skill,
                    started: false,
                    player: None,
                    held: now,
                    ending: None,
                    moving: false,
                });
            }
        }
    }

    fn end(&mut self, run: Run) {
        if let Some(plan) = self.authority.end(run.approved) {
            self.dispose(Spent::Plan(plan));
        }
    }

    /// Which protections see their cause now.
    fn facts(&mut self, now: Stamp, jumped: bool) -> Facts {
        let w = self.params.watchdogs;
        let mut facts = Facts { at_rest: true, ..Facts::default() };
        if self.line_pressed {
            facts.causes.add(Constraint::EStop);
        }
        if jumped {
            facts.causes.add(Constraint::ClockJump);
        }
        if self.gate_refused {
            facts.causes.add(Constraint::Gate);
        }
        let mut seen = |cause, finding: Finding| {
            facts.causes.add(cause);
            let stops = self.machine.may_move();
            if stops {
                self.log.say(Outcome::Held, finding);
            }
        };
        for arm in ArmId::ALL {
            let a = self.arms.get(arm);
            if !a.is_ready() {
                seen(Constraint::ArmNotReady, Finding::of(arm, Constraint::ArmNotReady, 0.0, 1.0));
            }
            let age = a.kinematics_age(now);
            if age > w.kinematics + NANO {
                seen(Constraint::KinematicsStale, Finding::of(arm, Constraint::KinematicsStale, age, w.kinematics));
            } else if let Some(finding) = a.following_error(&self.tolerances.get(arm).following) {
                seen(Constraint::FollowingError, finding);
            }
            if let Some(Err(finding)) = a.measured().map(|q| self.filter.body(arm).in_trocar(&q)) {
                seen(Constraint::TrocarOffset, finding);
            }
            if let Some(age) = a.force_age(now).filter(|age| *age > w.kinematics + NANO) {
                seen(Constraint::ForceStale, Finding::of(arm, Constraint::ForceStale, age, w.kinematics));
            }
            let (rate, most) = (a.force_rate(), self.params.force.rate);
            if rate > most {
                seen(Constraint::ForceRate, Finding::of(arm, Constraint::ForceRate, rate, most));
            }
            if let Some(age) = a.command_age(now).filter(|age| *age > w.command + NANO) {
                seen(Constraint::CommandStale, Finding::of(arm, Constraint::CommandStale, age, w.command));
            }
        }
        let scene_age = self.scene_stamp.map_or(f64::INFINITY, |s| now.seconds_since(s));
        let contradicted = self.contradicted();
        if scene_age > w.scene + NANO {
            facts.causes.add(Constraint::SceneStale);
            if self.machine.mode == SafetyMode::Supervised {
                self.log.say(Outcome::Held, Finding::node(Constraint::SceneStale, scene_age, w.scene));
            }
        } else if let Some(arm) = contradicted {
            facts.causes.add(Constraint::SceneStale);
            self.log.say(Outcome::Held, Finding::scene(arm, SceneFault::Contradicted, 0.0, 0.0));
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
            self.changed(before.mode, facts);
        }
    }

    /// What a refusal is about, where an arm's own numbers say more than its cause.
    fn spelled_out(&self, refused: Finding) -> Finding {
        if refused.constraint != Constraint::TrocarOffset {
            return refused;
        }
        let off = |arm: ArmId| self.filter.body(arm).in_trocar(&self.arms.get(arm).measured()?).err();
        ArmId::ALL.into_iter().find_map(off).unwrap_or(refused)
    }

    /// Entering and leaving modes opens and closes the gate.
    fn changed(&mut self, before: SafetyMode, facts: &Facts) {
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
            let worst = if facts.causes.has(cause) { 1.0 } else { 0.0 };
            self.log.say(Outcome::Held, Finding::node(cause, worst, 0.0));
        }
        if (before == Supervised || self.machine.mode != Supervised)
            && let Some(run) = self.run.take()
        {
            self.end(run);
        }
        ArmId::ALL.into_iter().for_each(|a| self.arms.get_mut(a).forget_goal());
    }

    /// What an approved motion may do in this tick: decides whether it stands, runs, pauses or ends.
    fn supervise(&mut self, now: Stamp) {
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

    fn motion(&mut self, now: Stamp) {
        self.gate_refused = false;
        let states = PerArm::from_fn(|a| self.arms.get(a).motion);
        self.filter.begin(&states);
        if self.machine.mode == SafetyMode::Supervised {
            self.filter.watch(&states);
        }
        if self.machine.mode == SafetyMode::Teleop && self.machine.may_move() {
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
    fn rules(&self, arm: ArmId, now: Stamp) -> Rules {
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
        let Some(before) = run.player else {
            self.run = Some(run);
            return;
        };
        match decided.player.filter(|_| as_decided) {
            Some(player) => run.player = Some(player),
            None if run.moving => {
                let lost = Finding::of(arm, Constraint::Gate, before.tau(), 0.0);
                run.ending = run.ending.or(decided.binding).or(Some(lost));
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
        };
        let due = self.last_report.is_none_or(|last| last.age(now) >= REPORT || last > now);
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
        if self.last_margins.is_none_or(|last| last.age(now) >= report::EVERY || last > now) {
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
