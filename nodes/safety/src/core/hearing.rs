//! What a tick does with everything that arrived: measurements, commands, scenes, plans, zones and what operators say.

use super::{SafetyCore, motion::Run};
use crate::{
    Event, Finding, LiveZones, MAX_ZONES, Spent,
    authority::Circumstances,
    machine::{Ask, mode_number},
};
use proctor_seal::Verified;
use proctor_types::{
    ArmId, Constraint, Decision, OperatorRequest, Outcome, QualityVerdict, RequestKind, SafetyMode, SceneFault, Stamp,
};

impl SafetyCore {
    pub(super) fn take(&mut self, event: Event, now: Stamp) {
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

    pub(super) fn dispose(&mut self, spent: Spent) {
        // There is room: a tick disposes of at most one thing per event, and of one more for the motion that ends.
        if let Err(full) = self.out.spent.try_push(spent) {
            drop(full);
        }
    }

    fn in_teleop(&self, arm: ArmId) -> Result<(), Finding> {
        if self.machine.mode == SafetyMode::Teleop && self.machine.pending.is_none() {
            return Ok(());
        }
        let mode = mode_number(self.machine.mode);
        Err(Finding::of(arm, Constraint::WrongMode, mode, mode_number(SafetyMode::Teleop)))
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

    /// Other zones and policies take the place of those that hold: at any moment if they only forbid more, else while no arm can move. An arm that
    /// finds itself too near may only move away, as from new tissue.
    fn rezone(&mut self, mut zones: Box<LiveZones>) {
        let gate_closed = matches!(self.machine.mode, SafetyMode::Disabled | SafetyMode::Ready);
        let by_zone = zones.loosens(&self.params.zones);
        let by_class = || zones.classes.loosens(&self.params.classes).map(|class| MAX_ZONES + usize::from(class.id()));
        if let Some(loosened) = by_zone.or_else(by_class).filter(|_| !gate_closed) {
            let mode = mode_number(self.machine.mode);
            let ready = mode_number(SafetyMode::Ready);
            self.log.refuse(Finding::node(Constraint::WrongMode, mode, ready).at(loosened));
        } else {
            self.params.classes = zones.classes;
            self.filter.police(&zones.classes);
            self.gate.police(&zones.classes);
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

    pub(super) fn end(&mut self, run: Run) {
        if let Some(plan) = self.authority.end(run.approved) {
            self.dispose(Spent::Plan(plan));
        }
    }
}
