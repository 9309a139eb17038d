//! A small cell for tests: three perfect arms, a field of tissue, an operator, and a clock that only moves when told.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

pub mod attack;
pub mod crowded;
pub mod judge;
pub mod lean7;

use nalgebra::{Matrix6, Point3, Vector3};
use proctor_kinematics::{Cell, Chain};
use proctor_safety::{
    Event, Events, LiveScene, Margins, Output, PerArm, Planner, SafetyCore, SafetyParams, SetPoint, Spent, mesh,
};
use proctor_seal::{RootSecret, SessionKey, Spoken, Verified, Verifier};
use proctor_types::{
    Alignment, ArmForce, ArmId, ArmJoints, ArmStatus, Boot, Class, Constraint, Decision, DecisionKind, Digest,
    Evidence, HandEye, ImageQuality, InstrumentEstimate, Jaw, JointCommand, Joints, OperatingState, OperatorId,
    OperatorRequest, Outcome, PlannedWith, Presence, Proposal, ProposalId, QualityVerdict, RequestKind, SafetyMode,
    SafetyState, Scene, SessionId, Skill, Stamp, StateRequest, SurfacePoint, Trajectory, TrajectoryPoint, Verdict,
    Withdrawal,
};
use std::time::Duration;

pub const MS: Duration = Duration::from_millis(1);
pub const SURGEON: OperatorId = OperatorId(7);
/// Which start of the safety node this is.
pub const BOOT: Boot = Boot(0x600d_600d_600d_600d);
pub const HOME_PSM: [f64; 7] = [0.0, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2];
pub const HOME_ECM: [f64; 7] = [0.0, 0.0, 0.06, 0.0, 0.0, 0.0, 0.0];

/// What goes wrong on purpose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Measured joints do not arrive.
    pub silent: PerArm<bool>,
    /// The arm does not follow.
    pub stuck: PerArm<bool>,
    /// Measured forces do not arrive.
    pub numb: bool,
    /// Scenes do not arrive.
    pub blind: bool,
    /// The operator's presence does not arrive.
    pub absent: bool,
}

pub struct Cellar {
    pub core: SafetyCore,
    pub chains: PerArm<Chain>,
    pub planner: Planner,
    pub params: SafetyParams,
    pub now: Stamp,
    /// Where the arms are.
    pub at: PerArm<[f64; 7]>,
    before: PerArm<[f64; 7]>,
    pub status: PerArm<OperatingState>,
    pub homed: PerArm<bool>,
    /// Contact forces that the arms measure, along their bases' axes, N; `None` for an arm that measures none.
    pub force: PerArm<Option<Vector3<f64>>>,
    pub faults: Faults,
    pub tissue: Vec<SurfacePoint>,
    pub quality: QualityVerdict,
    pub alignment: Alignment,
    pub model: Digest,
    pub zones: u64,
    pub hand_eye: u64,
    /// Where fusion sees the instrument arms' bases, relative to nominal.
    pub shift: nalgebra::Isometry3<f64>,
    /// What each recent scene held: number, tissue, shift.
    pub shown: std::collections::VecDeque<(u64, Vec<SurfacePoint>, nalgebra::Isometry3<f64>)>,
    /// What the operator holds.
    pub hold: Option<Digest>,
    pub queue: Vec<Event>,
    pub seq: u64,
    pub scene_seq: u64,
    pub ids: u64,
    pub ticks: u64,
    /// Everything that was sent, with the tick.
    pub sent: Vec<(u64, SetPoint)>,
    pub verdicts: Vec<Verdict>,
    pub state: Option<SafetyState>,
    pub asked: Vec<(ArmId, StateRequest)>,
    /// How near every arm is to what limits it, as said last.
    pub margins: Option<Margins>,
    /// Plans that came back.
    pub plans_back: usize,
}

/// What console and safety share.
pub fn root() -> RootSecret {
    RootSecret::from_bytes([0x5a; 32])
}

pub fn verifier() -> Verifier {
    Verifier::new(root(), BOOT)
}

/// The key of an operator's login, which ends an hour after the tests begin.
pub fn key(operator: OperatorId) -> SessionKey {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&operator.0.to_le_bytes());
    SessionKey::new(&root(), operator, SessionId(id), at(3_600_000))
}

/// What operators say, as the core hears it.
pub trait Heard: Spoken {
    fn event(word: Verified<Self>) -> Event;

    /// Sealed by its own operator, and verified.
    fn verified(self) -> Event {
        Self::event(verifier().open(&key(self.operator()).seal(BOOT, self)).unwrap())
    }
}

impl Heard for Decision {
    fn event(word: Verified<Self>) -> Event {
        Event::Decision(word)
    }
}

impl Heard for Presence {
    fn event(word: Verified<Self>) -> Event {
        Event::Presence(word)
    }
}

impl Heard for OperatorRequest {
    fn event(word: Verified<Self>) -> Event {
        Event::Request(word)
    }
}

pub fn home(arm: ArmId) -> [f64; 7] {
    if arm.has_jaw() { HOME_PSM } else { HOME_ECM }
}

/// Joints of a dVRK arm.
pub fn joints(arm: ArmId, q: &[f64; 7]) -> Joints {
    Joints::new(&q[..arm.dof()]).unwrap()
}

pub fn at(ms: i64) -> Stamp {
    Stamp::from_nanos("t", 1_000_000_000 + ms * 1_000_000).unwrap()
}

pub fn chain(params: &SafetyParams, arm: ArmId) -> Chain {
    match arm {
        ArmId::Psm1 => Chain::held(&params.instruments[0]).unwrap(),
        ArmId::Psm2 => Chain::held(&params.instruments[1]).unwrap(),
        ArmId::Ecm => Chain::ecm().unwrap(),
    }
}

/// A floor of liver at z = -20 mm with a gallbladder, and an artery 12 mm beside the site.
pub fn field() -> Vec<SurfacePoint> {
    let mut points = Vec::new();
    let mut add = |x: f64, y: f64, z: f64, class| {
        points.push(SurfacePoint { position: Point3::new(x, y, z), class, sigma: 0.0005 });
    };
    for i in -14..=14 {
        for j in -12..=12 {
            let (x, y) = (0.004 * f64::from(i), 0.004 * f64::from(j));
            let class = if x.hypot(y) < 0.015 { Class::Gallbladder } else { Class::Liver };
            add(x, y, -0.020, class);
        }
        add(0.004 * f64::from(i), 0.030, -0.012, Class::CysticArtery);
    }
    points
}

/// A hump of so many by so many squares, 2 `half` wide and `high` high in the middle, as a surface of triangles.
pub fn hump(center: [f64; 3], half: f64, high: f64, squares: u32) -> std::sync::Arc<mesh::Mesh> {
    let [x, y, z] = center;
    let corner = |i: u32, j: u32| {
        let part = |k: u32| f64::from(k) / f64::from(squares) * 2.0 - 1.0;
        let (u, v) = (part(i), part(j));
        [x + half * u, y + half * v, z + high * (1.0 - u * u) * (1.0 - v * v)].map(|c| c as f32)
    };
    let squares = (0..squares).flat_map(|i| (0..squares).map(move |j| (i, j)));
    let triangles = squares.flat_map(|(i, j)| {
        let [a, b, c, d] = [corner(i, j), corner(i + 1, j), corner(i + 1, j + 1), corner(i, j + 1)];
        [[a, b, c], [a, c, d]]
    });
    std::sync::Arc::new(mesh::Mesh::new("hump", triangles.collect()).unwrap())
}

impl Cellar {
    /// Booted, arms powered and homed at home; nothing asked yet.
    pub fn new(params: SafetyParams) -> Self {
        let chains = PerArm::from_fn(|arm| chain(&params, arm));
        let home = |arm: ArmId| {
            let own = chains.get(arm).home().map(|own| own.as_slice().try_into().unwrap());
            own.unwrap_or_else(|| home(arm))
        };
        Self {
            core: SafetyCore::new(params.clone()).unwrap(),
            planner: Planner::new(&params).unwrap(),
            params,
            now: at(0),
            at: PerArm::from_fn(home),
            before: PerArm::from_fn(home),
            chains,
            status: PerArm::from_fn(|_| OperatingState::Enabled),
            homed: PerArm::from_fn(|_| true),
            force: PerArm::from_fn(|arm| arm.has_jaw().then(Vector3::zeros)),
            faults: Faults::default(),
            tissue: field(),
            quality: QualityVerdict::Good,
            alignment: Alignment::Aligned,
            model: Digest::of(b"model"),
            zones: 3,
            hand_eye: 5,
            shift: nalgebra::Isometry3::identity(),
            shown: std::collections::VecDeque::new(),
            hold: None,
            queue: Vec::new(),
            seq: 0,
            scene_seq: 0,
            ids: 0,
            ticks: 0,
            sent: Vec::new(),
            verdicts: Vec::new(),
            state: None,
            asked: Vec::new(),
            margins: None,
            plans_back: 0,
        }
    }

    /// In a mode, by the operator's requests.
    pub fn in_mode(params: SafetyParams, mode: SafetyMode) -> Self {
        let mut c = Self::new(params);
        c.run(50);
        c.ask(RequestKind::Enable);
        c.run(5);
        match mode {
            SafetyMode::Teleop => c.ask(RequestKind::Teleop),
            SafetyMode::Supervised => c.ask(RequestKind::Supervise),
            _ => {}
        }
        c.run(5);
        assert_eq!(c.mode(), mode);
        c
    }

    pub fn mode(&self) -> SafetyMode {
        self.core.machine().mode
    }

    /// As many joints as the arm has.
    pub fn joints(&self, arm: ArmId, q: &[f64; 7]) -> Joints {
        Joints::new(&q[..self.chains.get(arm).dof()]).unwrap()
    }

    pub fn has_jaw(&self, arm: ArmId) -> bool {
        self.chains.get(arm).instrument().is_some()
    }

    pub fn request(&mut self, operator: OperatorId, kind: RequestKind) -> OperatorRequest {
        self.seq += 1;
        OperatorRequest { stamp: self.now, seq: self.seq, operator, kind }
    }

    pub fn ask(&mut self, kind: RequestKind) {
        let r = self.request(SURGEON, kind);
        self.hear(r);
    }

    /// An operator's word, sealed with that operator's key.
    pub fn hear(&mut self, word: impl Heard) {
        self.queue.push(word.verified());
    }

    pub fn scene(&mut self) -> Scene {
        self.scene_seq += 1;
        let cell = Cell::standard().unwrap();
        let covariance = Matrix6::identity() * 1e-8;
        Scene {
            stamp: self.now,
            seq: self.scene_seq,
            world_from_camera: cell.world_from_camera(&HOME_ECM[..4]).unwrap(),
            hand_eyes: ArmId::PSMS
                .map(|arm| HandEye {
                    arm,
                    world_from_base: proctor_types::Pose::new(self.shift * cell.world_from_base(arm).iso()),
                    covariance,
                    version: self.hand_eye,
                })
                .to_vec(),
            instruments: ArmId::PSMS
                .map(|arm| InstrumentEstimate {
                    arm,
                    joints: self.joints(arm, self.at.get(arm)),
                    jaw: 0.0,
                    world_from_tip: proctor_types::Pose::from_parts(Vector3::zeros(), Vector3::zeros()),
                    covariance,
                    alignment: self.alignment,
                    residual_px: 1.0,
                    finding: proctor_types::Finding::None,
                })
                .to_vec(),
            surface: self.tissue.clone(),
            zones_version: self.zones,
            clearances: Vec::new(),
            grasp_target: None,
            quality: ImageQuality { verdict: self.quality, ..ImageQuality::default() },
            model: self.model,
            time: proctor_types::TimeOffset { timing: proctor_types::Timing::Known, seconds: 0.0, sigma: 0.003 },
        }
    }

    /// A straight proposal for an arm: home to `to` and back to nothing, at the given duration.
    pub fn proposal(&mut self, arm: ArmId, points: &[(f64, [f64; 7])]) -> Proposal {
        self.ids += 1;
        let hand_eye = if arm.has_jaw() { self.hand_eye } else { 0 };
        let points = points
            .iter()
            .map(|(t, q)| TrajectoryPoint {
                t: *t,
                position: self.joints(arm, q),
                jaw: if self.has_jaw(arm) { q[6] } else { 0.0 },
            })
            .collect();
        Proposal {
            id: ProposalId(self.ids),
            stamp: self.now,
            expires: self.now.plus(Duration::from_secs(20)),
            skill: Skill::CentreCamera,
            trajectory: Trajectory::new(arm, points).unwrap(),
            planned_with: PlannedWith { model: self.model, hand_eye, zones: self.zones },
            evidence: Evidence {
                summary: "test".into(),
                confidence: 1.0,
                smallest_clearance: None,
                clearance_class: Class::Background,
            },
        }
    }

    pub fn offer(&mut self, p: &Proposal) {
        let event = match self.planner.prepare(p) {
            Ok(plan) => Event::Plan(Box::new(plan)),
            Err(finding) => Event::Refused(finding),
        };
        self.queue.push(event);
    }

    pub fn decision(&mut self, p: &Proposal, kind: DecisionKind) -> Decision {
        self.seq += 1;
        Decision { stamp: self.now, seq: self.seq, operator: SURGEON, proposal: p.id, digest: p.digest(), kind }
    }

    pub fn approve(&mut self, p: &Proposal) {
        let d = self.decision(p, DecisionKind::Approve);
        self.hear(d);
    }

    pub fn withdraw(&mut self, p: &Proposal) {
        let w = Withdrawal { stamp: self.now, proposal: p.id, digest: p.digest() };
        self.queue.push(Event::Withdrawal(w));
    }

    pub fn presence(&mut self, held: bool, digest: Digest) -> Presence {
        self.seq += 1;
        Presence { stamp: self.now, seq: self.seq, operator: SURGEON, held, digest }
    }

    pub fn teleop(&mut self, arm: ArmId, q: &[f64; 7]) {
        let c = JointCommand { arm, stamp: self.now, position: self.joints(arm, q) };
        self.queue.push(Event::Teleop(c));
    }

    /// What the arms publish at this instant.
    pub fn sense(&mut self, events: &mut Events) {
        for arm in ArmId::ALL {
            if *self.faults.silent.get(arm) {
                continue;
            }
            let (q, q0) = (*self.at.get(arm), *self.before.get(arm));
            let mut v = [0.0; 7];
            (0..7).for_each(|j| v[j] = (q[j] - q0[j]) / 1e-3);
            let (position, velocity) = (self.joints(arm, &q), self.joints(arm, &v));
            let m = ArmJoints { arm, stamp: self.now, position, velocity };
            events.push(Event::Joints(m));
            if let Some(force) = self.force.get(arm).filter(|_| !self.faults.numb) {
                events.push(Event::Force(ArmForce { arm, stamp: self.now, force, torque: Vector3::zeros() }));
            }
            if self.has_jaw(arm) {
                events.push(Event::Jaw(Jaw { arm, stamp: self.now, position: q[6] }));
            }
            if self.ticks.is_multiple_of(10) {
                let (state, is_homed) = (*self.status.get(arm), *self.homed.get(arm));
                events.push(Event::Status(ArmStatus { arm, stamp: self.now, state, is_homed, is_busy: false }));
            }
        }
        if !self.faults.blind && self.ticks.is_multiple_of(33) {
            let scene = self.scene();
            self.shown.push_front((scene.seq, self.tissue.clone(), self.shift));
            self.shown.truncate(4);
            events.push(Event::Scene(Box::new(LiveScene::new(&scene))));
        }
        if let Some(digest) = self.hold
            && !self.faults.absent
            && self.ticks.is_multiple_of(20)
        {
            let p = self.presence(true, digest);
            events.push(p.verified());
        }
    }

    /// One tick of everything, `after` the last.
    pub fn tick_after(&mut self, after: Duration) -> Vec<SetPoint> {
        self.now = self.now.plus(after);
        let mut events = Events::new();
        self.sense(&mut events);
        let room = events.remaining_capacity().min(self.queue.len());
        events.extend(self.queue.drain(..room));
        self.ticks += 1;
        let out = self.core.step(self.now, &mut events);
        let sent: Vec<SetPoint> = out.commands.iter().map(|c| *c.get()).collect();
        self.verdicts.extend(out.verdicts.iter().copied());
        self.state = out.state.or(self.state);
        self.margins = out.margins.or(self.margins);
        self.plans_back += out.spent.iter().filter(|s| matches!(s, Spent::Plan(_))).count();
        for request in out.arm_requests.drain(..) {
            self.asked.push((request.arm, request.request));
            let (status, homed) = (self.status.get_mut(request.arm), self.homed.get_mut(request.arm));
            match request.request {
                StateRequest::Enable | StateRequest::Resume if *status != OperatingState::Fault => {
                    *status = OperatingState::Enabled;
                }
                StateRequest::Disable => *status = OperatingState::Disabled,
                StateRequest::Home => *homed = true,
                _ => {}
            }
        }
        recycle(out);
        self.before = self.at;
        for s in &sent {
            if !*self.faults.stuck.get(s.arm) {
                let slot = self.at.get_mut(s.arm);
                slot[..s.position.len()].copy_from_slice(&s.position);
                slot[6] = s.jaw.unwrap_or(slot[6]);
            }
            self.sent.push((self.ticks, *s));
        }
        sent
    }

    pub fn tick(&mut self) -> Vec<SetPoint> {
        self.tick_after(MS)
    }

    pub fn run(&mut self, ticks: usize) {
        (0..ticks).for_each(|_| drop(self.tick()));
    }

    /// Runs until `done`, at most `limit` ticks; returns how many it took.
    pub fn until(&mut self, limit: usize, mut done: impl FnMut(&Self) -> bool) -> Option<usize> {
        (0..limit).find(|_| {
            self.tick();
            done(self)
        })
    }

    /// Joint rates of an arm's set-point over the last tick, from what was sent.
    pub fn speed(&self, arm: ArmId) -> f64 {
        let mine: Vec<_> = self.sent.iter().rev().filter(|(_, s)| s.arm == arm).take(2).collect();
        match mine[..] {
            [(tick, a), (_, b)] if *tick == self.ticks => {
                let joints = a.position.iter().zip(b.position.iter()).map(|(x, y)| (x - y).abs() / 1e-3);
                joints.fold(0.0, f64::max)
            }
            _ => 0.0,
        }
    }

    pub fn said(&self, constraint: Constraint) -> Option<&Verdict> {
        self.verdicts.iter().find(|v| v.constraint == constraint && v.outcome != Outcome::Passed)
    }

    pub fn executed(&self) -> u64 {
        self.state.map_or(0, |s| s.executed)
    }
}

fn recycle(out: &mut Output) {
    out.spent.drain(..).for_each(|s| match s {
        Spent::Scene(scene) => drop(scene),
        Spent::Plan(plan) => drop(plan),
        Spent::Zones(zones) => drop(zones),
    });
}

/// An approved motion of PSM1, held, that takes about two seconds: a yaw of 0.15 rad.
pub fn running() -> (Cellar, Proposal) {
    running_with(SafetyParams::default())
}

pub fn running_with(params: SafetyParams) -> (Cellar, Proposal) {
    let mut c = Cellar::in_mode(params, SafetyMode::Supervised);
    let p = sway(&mut c);
    c.offer(&p);
    c.run(2);
    c.approve(&p);
    c.hold = Some(p.digest());
    // In the middle of a segment: at a point of the polyline the direction changes, and with it the joints' speeds.
    c.run(411);
    assert!(c.speed(ArmId::Psm1) > 0.01, "the motion runs: {:?}", c.verdicts);
    (c, p)
}

/// Smooth yaw of PSM1 by 0.15 rad in 2 s.
pub fn sway(c: &mut Cellar) -> Proposal {
    let points: Vec<_> = (0..=100)
        .map(|i| {
            let s = f64::from(i) / 100.0;
            let mut q = HOME_PSM;
            q[0] += 0.15 * s * s * s * (10.0 - 15.0 * s + 6.0 * s * s);
            (f64::from(i) * 0.02, q)
        })
        .collect();
    c.proposal(ArmId::Psm1, &points)
}
