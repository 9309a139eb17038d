//! Random and hostile inputs, many of them, judged by other arithmetic: the tests take a million ticks, `make soak` as many as
//! there is time for.

use super::{Cellar, chain, home, hump, judge::Judge};
use nalgebra::{Point3, Vector3};
use proctor_kinematics::Cell;
use proctor_safety::{Event, LiveZones, MAX_ZONES, Narrowed, PerArm, Rotation, SafetyParams, Touch, Zone, ZoneShape};
use proctor_types::{
    ArmId, Class, DecisionKind, Digest, OperatingState, OperatorId, Proposal, RequestKind, SafetyMode, Skill, Stamp,
    SurfacePoint, Verdict,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A crowded cell: zones of every shape within reach.
pub fn crowded() -> SafetyParams {
    let zone = |name: &str, region| Zone { name: name.into(), margin: 0.001, arms: vec![], region };
    // PSM2 goes in more slowly than out, stops more gently, and does not turn all the way.
    let limits = vec![
        Narrowed {
            arm: ArmId::Psm2,
            joint: 2,
            position: Some([0.03, 0.2]),
            velocity: Some([0.15, 0.04]),
            acceleration: Some([0.5, 0.9]),
            jerk: Some([200.0, 120.0]),
        },
        Narrowed {
            arm: ArmId::Psm2,
            joint: 0,
            position: Some([-1.0, 0.6]),
            velocity: Some([0.4, 1.0]),
            acceleration: None,
            jerk: None,
        },
    ];
    let mut p = SafetyParams { limits, ..SafetyParams::default() };
    p.motion.jump_angular = 0.5;
    p.motion.jump_linear = 0.05;
    p.zones.push(zone("ball", ZoneShape::Sphere { center: [0.035, 0.02, 0.01], radius: 0.008 }));
    p.zones.push(zone("rod", ZoneShape::Capsule { a: [-0.05, 0.03, 0.0], b: [-0.02, 0.03, 0.0], radius: 0.004 }));
    let (center, rotation) = ([-0.03, -0.035, 0.0], Rotation::Rpy([0.3, 0.2, 0.5]));
    p.zones.push(zone("box", ZoneShape::Box { center, size: [0.02, 0.012, 0.02], rotation }));
    p.zones.push(zone("hump", ZoneShape::Mesh(hump([0.01, -0.03, -0.01], 0.01, 0.008, 4))));
    p.zones.push(zone("wall", ZoneShape::HalfSpace { point: [0.0, 0.045, 0.0], normal: [0.0, -1.0, 0.1] }));
    p
}

struct Attack {
    rng: ChaCha8Rng,
    goals: [Option<[f64; 7]>; 3],
    proposal: Option<Proposal>,
    wanted_force: [Vector3<f64>; 2],
    homes: PerArm<[f64; 7]>,
}

impl Attack {
    fn new(seed: u64, params: &SafetyParams) -> Self {
        let homes = PerArm::from_fn(|arm| {
            let own = chain(params, arm).home().map(|own| own.as_slice().try_into().unwrap());
            own.unwrap_or_else(|| home(arm))
        });
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { rng, goals: [None; 3], proposal: None, wanted_force: [Vector3::zeros(); 2], homes }
    }

    fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }

    fn arm(&mut self) -> ArmId {
        ArmId::ALL[self.rng.random_range(0..3)]
    }

    /// Somewhere in the arm's range or beyond it, near or far.
    fn somewhere(&mut self, arm: ArmId, around: &[f64; 7]) -> [f64; 7] {
        let scale = [0.01, 0.1, 0.4, 3.0, 1e6][self.rng.random_range(0..5)];
        let mut q = *around;
        for (j, x) in q.iter_mut().enumerate() {
            let unit = if j == 2 { 0.1 } else { 1.0 };
            *x += scale * unit * self.rng.random_range(-1.0..1.0);
        }
        if !arm.has_jaw() {
            q[4..].fill(0.0);
        }
        q
    }

    fn teleoperate(&mut self, c: &mut Cellar) {
        for arm in ArmId::ALL {
            if self.chance(0.004) {
                let from = if self.chance(0.5) { *self.homes.get(arm) } else { *c.at.get(arm) };
                self.goals[arm.index()] = Some(self.somewhere(arm, &from));
            }
            if self.chance(0.001) {
                self.goals[arm.index()] = None;
            }
            // A goal beyond the jump limit is approached in steps, as a teleoperator would.
            if let Some(goal) = self.goals[arm.index()] {
                let at = *c.at.get(arm);
                let step: Vec<f64> = goal.iter().zip(&at).map(|(g, a)| a + (g - a).clamp(-0.045, 0.045)).collect();
                if step.iter().all(|x| x.is_finite()) {
                    c.teleop(arm, &step.try_into().unwrap());
                }
            }
            if self.chance(0.01) {
                let home = *self.homes.get(arm);
                let q = self.somewhere(arm, &home);
                c.teleop(arm, &q);
            }
            if self.chance(0.01)
                && let Some(Event::Teleop(last)) = c.queue.iter().rev().find(|e| matches!(e, Event::Teleop(_)))
            {
                let mut replay = *last;
                let offset = Duration::from_millis(self.rng.random_range(0..300));
                replay.stamp =
                    if self.rng.random_bool(0.5) { replay.stamp.minus(offset) } else { replay.stamp.plus(offset) };
                c.queue.push(Event::Teleop(replay));
            }
        }
    }

    /// A motion that wanders, sometimes into things.
    fn propose(&mut self, c: &mut Cellar) {
        let arm = self.arm();
        let mut q = c.core.set_point(arm).unwrap_or(*c.at.get(arm));
        let mut t = 0.0;
        let mut points = vec![(0.0, q)];
        for _ in 0..self.rng.random_range(1..10) {
            t += self.rng.random_range(0.002..0.3);
            for (j, x) in q.iter_mut().enumerate() {
                let unit = if j == 2 { 0.01 } else { 0.06 };
                *x += unit * self.rng.random_range(-1.0..1.0);
            }
            if !arm.has_jaw() {
                q[4..].fill(0.0);
            }
            points.push((t, q));
        }
        let mut p = c.proposal(arm, &points);
        if self.chance(0.5) {
            p.skill = Skill::Retract;
        }
        if self.chance(0.1) {
            p.planned_with.zones += 1;
        }
        c.offer(&p);
        self.proposal = Some(p);
    }

    fn supervise(&mut self, c: &mut Cellar) {
        let idle = c.state.is_none_or(|s| s.active == Digest::default());
        if self.chance(if idle { 0.01 } else { 0.0005 }) {
            self.propose(c);
        }
        if let Some(p) = self.proposal.clone() {
            if self.chance(0.01) {
                let mut d = c.decision(&p, DecisionKind::Approve);
                if self.chance(0.1) {
                    d.digest.0[3] ^= 1;
                }
                if self.chance(0.05) {
                    d.seq = d.seq.saturating_sub(5);
                }
                if self.chance(0.05) {
                    d.kind = DecisionKind::Reject;
                }
                c.hear(d);
            }
            // Mostly what is approved is held, sometimes nothing, sometimes what was proposed last.
            if self.chance(0.01) {
                c.hold = c.state.map(|s| s.active).filter(|_| self.rng.random_bool(0.9));
            }
            if self.chance(0.001) {
                c.hold = Some(p.digest());
            }
            if self.chance(0.0005) {
                c.withdraw(&p);
            }
        }
        if self.chance(0.005) {
            let other = Digest::of(&[self.rng.random()]);
            let mut p = c.presence(true, other);
            p.operator = OperatorId(self.rng.random_range(0..4));
            c.hear(p);
        }
    }

    /// An operator who wants to get on, and others who get in the way.
    fn operate(&mut self, c: &mut Cellar) {
        let wish = match c.mode() {
            SafetyMode::Disabled => RequestKind::Enable,
            SafetyMode::Ready if self.rng.random_bool(0.5) => RequestKind::Teleop,
            SafetyMode::Ready => RequestKind::Supervise,
            SafetyMode::Hold => RequestKind::Ready,
            SafetyMode::Fault => RequestKind::Reset,
            SafetyMode::Teleop | SafetyMode::Supervised => RequestKind::ALL[self.rng.random_range(0..7)],
        };
        let moving = matches!(c.mode(), SafetyMode::Teleop | SafetyMode::Supervised);
        if self.chance(if moving { 0.0004 } else { 0.05 }) {
            c.ask(wish);
        }
        if self.chance(0.002) {
            let kind = RequestKind::ALL[self.rng.random_range(0..5)];
            let mut r = c.request(OperatorId(self.rng.random_range(0..3)), kind);
            r.seq = self.rng.random_range(0..10);
            if self.rng.random_bool(0.3) {
                r.stamp = Stamp::FIRST;
            }
            c.hear(r);
        }
    }

    /// Other zones: some gone, some moved, some with another margin; and other policies. What loosens them while arms can move must be refused.
    fn rezone(&mut self, c: &mut Cellar) {
        let mut zones = if self.chance(0.5) { crowded().zones } else { c.core.zones().to_vec() };
        for _ in 0..self.rng.random_range(1..4) {
            let i = self.rng.random_range(0..zones.len());
            let mut r = |s: f64| s * self.rng.random_range(-1.0..1.0);
            let center = [r(0.05), r(0.05), 0.01 + r(0.02)];
            match self.rng.random_range(0..4) {
                0 => zones[i].margin = self.rng.random_range(0.0..0.004),
                1 if zones.len() > 1 => drop(zones.remove(i)),
                2 if zones.len() < MAX_ZONES => {
                    let region = ZoneShape::Mesh(hump(center, 0.01, 0.006, 3));
                    zones.push(Zone { name: "new hump".into(), margin: 0.001, arms: vec![], region });
                }
                _ if zones.len() < MAX_ZONES => {
                    let region = ZoneShape::Sphere { center, radius: 0.005 };
                    zones.push(Zone { name: "new ball".into(), margin: 0.001, arms: vec![self.arm()], region });
                }
                _ => {}
            }
        }
        let mut classes = if self.chance(0.3) { crowded().classes } else { *c.core.classes() };
        let rows = [&mut classes.liver, &mut classes.gallbladder, &mut classes.cystic_duct, &mut classes.cystic_artery];
        for policy in rows {
            match self.rng.random_range(0..8) {
                0 => policy.speed = self.rng.random_range(0.005..0.06),
                1 => policy.force = self.rng.random_range(0.5..5.0),
                2 => policy.teleop = Touch::Keep(self.rng.random_range(0.001..0.004)),
                3 => policy.supervised = Touch::Keep(self.rng.random_range(0.001..0.004)),
                _ => {}
            }
        }
        c.queue.push(Event::Zones(Box::new(LiveZones::new(c.ticks, zones, classes))));
    }

    /// Forces that come and go, sometimes at a blow.
    fn press(&mut self, c: &mut Cellar) {
        for (i, arm) in ArmId::PSMS.into_iter().enumerate() {
            if self.chance(0.0005) {
                let size = self.rng.random_range(0.0..8.0) * f64::from(u8::from(self.rng.random_bool(0.7)));
                let toward: [f64; 3] = std::array::from_fn(|_| self.rng.random_range(-1.0..1.0));
                self.wanted_force[i] = Vector3::from(toward).normalize() * size;
            }
            let blow = self.chance(0.0001);
            let Some(force) = c.force.get_mut(arm) else { continue };
            let change = self.wanted_force[i] - *force;
            // Up to 300 N/s: no blow.
            *force += if blow || change.norm() <= 0.3 { change } else { change.normalize() * 0.3 };
        }
    }

    /// Things that break, and a world that changes around the arms.
    fn sabotage(&mut self, c: &mut Cellar) {
        let arm = self.arm();
        if self.chance(0.0002) {
            *c.faults.silent.get_mut(arm) = true;
        }
        if self.chance(0.0002) {
            *c.faults.stuck.get_mut(arm) = true;
        }
        if self.chance(0.0002) {
            *c.status.get_mut(arm) = OperatingState::ALL[self.rng.random_range(0..4)];
        }
        self.press(c);
        c.faults.numb ^= self.chance(0.0001);
        c.faults.blind ^= self.chance(0.0003);
        c.faults.absent ^= self.chance(0.0005);
        if self.chance(0.01) {
            c.faults.silent = PerArm::default();
            c.faults.stuck = PerArm::default();
            c.faults.numb = false;
            c.status = PerArm::from_fn(|_| OperatingState::Enabled);
        }
        if self.chance(0.0003) {
            c.now = match self.rng.random_range(0..3) {
                0 => c.now.plus(Duration::from_millis(self.rng.random_range(0..200))),
                1 => c.now.minus(Duration::from_millis(self.rng.random_range(0..20))),
                _ => c.now,
            };
        }
        if self.chance(0.001) {
            c.zones += 1;
        }
        if self.chance(0.0005) {
            self.rezone(c);
        }
        if self.chance(0.0005) {
            let i = self.rng.random_range(0..c.tissue.len());
            let mut r = |s: f64| s * self.rng.random_range(-1.0..1.0);
            let position = Point3::new(r(0.05), r(0.05), -0.01 + r(0.02));
            let class = if r(1.0) > 0.0 { Class::CysticArtery } else { Class::Liver };
            c.tissue[i] = SurfacePoint { position, class, sigma: 0.0005 };
        }
        if self.chance(0.0005) {
            // Sometimes farther off than the node believes.
            let scale = if self.chance(0.2) { 10.0 } else { 1.0 };
            let mut r = |s: f64| scale * s * self.rng.random_range(-1.0..1.0);
            c.shift = nalgebra::Isometry3::new(
                nalgebra::Vector3::new(r(0.003), r(0.003), r(0.003)),
                nalgebra::Vector3::new(r(0.02), r(0.02), r(0.02)),
            );
            c.hand_eye += 1;
        }
    }
}

/// What came of one attack.
pub struct Report {
    /// What the judge or the node found, in words; the attack ends at the first.
    pub violations: Vec<String>,
    pub verdicts: Vec<Verdict>,
    /// Motions that ran to their end.
    pub executed: u64,
    /// Commands that moved an arm.
    pub moving: u64,
}

/// The judge judges by the world that the core has seen; from there on a stop may have to follow.
fn follow(c: &Cellar, cell: &Cell, judge: &mut Judge, seen: &mut u64) {
    if (c.core.zones(), c.core.classes()) != judge.rules() {
        judge.rezone(c.ticks, c.core.zones().to_vec(), c.core.classes());
    }
    let Some(seq) = c.core.filter().scene().map(|s| s.seq).filter(|seq| seq != seen) else { return };
    *seen = seq;
    let (_, tissue, shift) = c.shown.iter().find(|(n, ..)| *n == seq).unwrap();
    let bases = PerArm::from_fn(|arm| {
        let nominal = *cell.world_from_base(arm).iso();
        let moved = shift * nominal;
        let off = nominal.inverse() * moved;
        let c = &c.params.clearance;
        let believed =
            off.translation.vector.norm() <= c.hand_eye_translation && off.rotation.angle() <= c.hand_eye_rotation;
        if arm.has_jaw() && believed { moved } else { nominal }
    });
    if *tissue != judge.tissue || bases != judge.bases {
        judge.tissue.clone_from(tissue);
        judge.bases = bases;
        judge.world_changed = c.ticks;
    }
}

/// `steps` ticks of attack. Geometry is judged every `dear` ticks of each arm's motion.
pub fn attack(seed: u64, steps: u64, dear: u64) -> Report {
    attack_in(&crowded(), seed, steps, dear)
}

/// The same in another cell.
pub fn attack_in(params: &SafetyParams, seed: u64, steps: u64, dear: u64) -> Report {
    let mut c = Cellar::new(params.clone());
    // The node knows of no tissue before the first scene.
    let mut judge = Judge::new(params, Vec::new());
    let mut a = Attack::new(seed, params);
    let cell = Cell::standard().unwrap();
    let (mut moving, mut mode_before, mut seen) = (0, c.mode(), 0);
    for step in 0..steps {
        c.queue.clear();
        a.operate(&mut c);
        match c.mode() {
            SafetyMode::Teleop => a.teleoperate(&mut c),
            SafetyMode::Supervised => a.supervise(&mut c),
            _ if a.chance(0.1) => a.teleoperate(&mut c),
            _ => {}
        }
        a.sabotage(&mut c);
        let before = c.at;
        let sent = c.tick();
        follow(&c, &cell, &mut judge, &mut seen);
        if c.mode() != mode_before {
            // Other margins hold in another mode.
            judge.world_changed = judge.world_changed.max(c.ticks);
            mode_before = c.mode();
        }
        // What nobody measures any more is known by its last value, until it is missed: 30 ticks later everything stops.
        for arm in ArmId::ALL {
            if !(c.faults.numb || *c.faults.silent.get(arm)) {
                *judge.force.get_mut(arm) = *c.force.get(arm);
            }
        }
        for s in sent {
            let geometry = c.ticks.is_multiple_of(dear) && *before.get(s.arm) != *c.at.get(s.arm);
            moving += u64::from(*before.get(s.arm) != *c.at.get(s.arm));
            judge.judge(c.ticks, &s, before.get(s.arm), c.mode() == SafetyMode::Supervised, geometry);
        }
        c.sent.clear();
        if let Some(first) = judge.found.first_mut() {
            let last: Vec<_> = c.verdicts.iter().rev().take(5).collect();
            *first = format!("seed {seed} step {step}: {first}; mode {:?}, last verdicts {last:?}", c.mode());
            break;
        }
        if c.verdicts.len() > 5_000_000 {
            c.verdicts.clear();
        }
    }
    let mut violations = judge.found;
    let (counted, executed) = c.state.map_or((0, 0), |s| (s.violations, s.executed));
    if counted > 0 {
        violations.push(format!("seed {seed}: the node counted {counted} itself"));
    }
    Report { violations, verdicts: c.verdicts, executed, moving }
}

/// What came of many attacks.
#[derive(Debug, Default)]
pub struct Tally {
    pub steps: u64,
    pub violations: Vec<String>,
    pub executed: u64,
    pub moving: u64,
}

/// Ticks per seed.
pub const PART: u64 = 20_000;

/// Attacks with seeds from `first` on, in parts of [`PART`] ticks on every processor, while `more` says so of the ticks begun so far.
pub fn campaign(first: u64, dear: u64, more: impl Fn(u64) -> bool + Sync) -> Tally {
    let (begun, tally) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let work = || {
        loop {
            let part = begun.fetch_add(1, Ordering::Relaxed);
            if !more(part * PART) {
                return;
            }
            let report = attack(first + part, PART, dear);
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.steps += PART;
            tally.violations.extend(report.violations);
            tally.executed += report.executed;
            tally.moving += report.moving;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}
