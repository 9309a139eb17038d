//! Bending: where the straight way to a teleoperation goal is barred, the velocity of the next tick that is nearest to what was asked
//! and leads past what bars it. One quadratic program over the joints of every arm that has a goal and is not decided yet.
//!
//! - *Nearest*: by how the tool tip moves, with a turn of roll, wrist or jaw by an angle counted as much as a move on a lever of
//!   [`TURN`]; falling behind along the wanted direction costs half as much as leaving it, so that a command is slowed before it is bent.
//! - *Leads past*: no clearance falls faster than a stop from there can still keep it ([`APPROACH`]); joints stay in what velocity,
//!   acceleration and position limits leave for one tick; the tips stay slow enough.
//! - What meets a boundary nearly head-on ([`HEAD_ON`]) is not bent: it is slowed.
//!
//! This module only proposes. Its distances are linearised and its margins estimates; the filter checks what comes out, in full, as
//! it checks everything else, and brakes when nothing comes out. The stop that is known to be safe satisfies every constraint of the
//! program, so there is always a solution, unless arithmetic fails.

use crate::{
    body::{Body, Ends},
    braking::MotionState,
    dofs::{Bounds, DT, LIMIT_USE, N, PerArm, Q},
    filter::{RESERVE, Rules, TIP_PLANNED, aim},
    surface::{Near, Surface, Vicinity, probes},
    zones::Keepout,
};
use arrayvec::ArrayVec;
use nalgebra::{Point3, Vector3};
use proctor_kinematics::Capsule;
use proctor_qp::{Active, Bind, MAX_ROWS, MAX_VARIABLES, Outcome, Problem, Solver, Vector};
use proctor_types::{ArmId, Class};

/// Lever at which a turn of roll, wrist or jaw counts as a move, m: as much as yaw and pitch at their usual depth.
const TURN: f64 = 0.1;
/// What a step back along the wanted direction costs, as a part of what a step away from it costs.
const ALONG: f64 = 0.5;
/// The same for opening or closing the jaws, m: what they hold is not let go of to make room.
const GRIP: f64 = 1.0;
/// Cosine of the angle to a boundary's normal below which a command is slowed instead of bent: 16 degrees.
const HEAD_ON: f64 = 0.96;
/// A clearance may fall by this part of itself in the time that a stop takes. Two would be just enough for the stop.
const APPROACH: f64 = 1.5;
/// The part of a stop's travel that the filter's check of the stop asks for on top of every margin: an eighth, and some more.
const ROOM: f64 = 0.145;
/// The same for the first ticks of a motion from rest, m.
const START: f64 = 2e-5;
/// How much a straight way in joint space bends in the world, per square of its length, 1/m: the sagitta of a turn on a lever of 0.1 m.
const SAGITTA: f64 = 5.0;
/// The part of a tick's acceleration that may be spent on moving away from something.
const AWAY: f64 = 0.5;
/// Shortest stop that is reckoned with, s.
const LEAST_TIME: f64 = 0.004;
/// Step of the differences that give a distance's slope, m.
const STEP: f64 = 1e-6;
/// How much farther than it matters a distance is looked at, so that the steps are felt, m.
const FELT: f64 = 2e-6;
/// Slower than this is rest, rad/s or m/s.
const REST: f64 = 1e-9;
/// Most points of tissue that an arm is kept from at a time.
pub(crate) const MAX_NEAR: usize = 12;

/// What teleoperation wants of an arm in this tick.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Where the arm is.
    pub state: MotionState,
    /// Where it should go.
    pub goal: Q,
    /// What holds for it.
    pub rules: Rules,
}

/// A wish as far as the arm's own limits allow it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    /// Velocity that was asked for.
    pub wanted: Q,
    /// Velocity of the next tick on the straight way there.
    pub next: Q,
    /// Velocity of the next tick when braking.
    pub braking: Q,
}

/// What came of a proposal for an arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bent {
    /// This velocity leads past what binds, if anything does.
    Past(Q, Option<Barrier>),
    /// The command meets a boundary head-on, or is not teleoperation.
    Straight,
    /// The solver failed.
    Failed,
}

/// What an arm is kept from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// A zone, by number.
    Zone(usize),
    /// Tissue of a class.
    Tissue(Class),
    /// Another arm.
    Tool(ArmId),
}

/// What the arms must keep from, as the filter knows it.
pub(crate) struct Around<'a> {
    pub bodies: &'a PerArm<Body>,
    pub bounds: &'a PerArm<Bounds>,
    pub zones: &'a [Keepout],
    pub surface: Option<&'a Surface>,
    /// Of every arm that has a wish, where it is.
    pub vicinity: PerArm<&'a Vicinity>,
    pub tool_tool: f64,
    pub least_depth: PerArm<f64>,
}

/// A constraint by what it is about, to find it again in the next tick.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Key {
    Bound { arm: ArmId, joint: usize, upper: bool },
    Zone { arm: ArmId, zone: usize, part: usize },
    Tissue { arm: ArmId, class: Class, rank: usize },
    Tools { arms: [ArmId; 2], parts: [usize; 2] },
    Tip { arm: ArmId, point: usize },
    Trocar { arm: ArmId, side: usize },
    Depth { arm: ArmId },
}

/// An arm in the program.
struct Limb {
    arm: ArmId,
    /// Degrees of freedom, the jaw included.
    dofs: usize,
    ends: Ends,
    capsules: ArrayVec<Capsule, 3>,
    /// Its first variable and what it wants; `None` for an arm whose velocity is settled.
    free: Option<(usize, Aim, Rules)>,
    state: MotionState,
    /// Velocity that is known to be safe: settled, or of the stop.
    safe: Q,
    /// What one tick's acceleration, velocity and position limits leave.
    lower: Q,
    upper: Q,
    /// How long a stop may take, s, and how far the stop from here goes, m.
    time: f64,
    travel: f64,
    /// Nothing farther away can matter in this tick, m: the way of a stop from this speed and one tick's acceleration, jaws that open included.
    horizon: f64,
    /// Cost per square of each degree of freedom's rate.
    weights: Q,
}

/// How a distance changes with the joints of up to two arms.
#[derive(Clone, Copy)]
struct Slope<'a> {
    limb: &'a Limb,
    rates: Q,
}

/// Room for the program, the solver, and what bound last time.
#[derive(Debug)]
pub(crate) struct Bender {
    wishes: PerArm<Option<Wish>>,
    states: PerArm<Option<MotionState>>,
    /// Velocities of the arms that are decided in this tick.
    decided: PerArm<Option<Q>>,
    /// What the arms that took a bent way in the last tick were bent by.
    bending: PerArm<Option<Barrier>>,
    /// This tick's proposal, once asked for.
    bent: Option<PerArm<Bent>>,
    problem: Problem,
    keys: ArrayVec<Key, MAX_ROWS>,
    /// Limits that hold if the first ones contradict each other.
    fallback: ArrayVec<f64, MAX_ROWS>,
    last: ArrayVec<Key, MAX_VARIABLES>,
    solver: Solver,
    solves: u64,
}

impl Bender {
    pub fn new() -> Self {
        Self {
            wishes: PerArm::default(),
            states: PerArm::default(),
            decided: PerArm::default(),
            bending: PerArm::default(),
            bent: None,
            problem: Problem::new(1),
            keys: ArrayVec::new(),
            fallback: ArrayVec::new(),
            last: ArrayVec::new(),
            solver: Solver::new(),
            solves: 0,
        }
    }

    /// Begins a tick: where every arm is, and no wishes yet.
    pub fn begin(&mut self, states: &PerArm<Option<MotionState>>) {
        self.states = *states;
        (self.wishes, self.decided, self.bent) = (PerArm::default(), PerArm::default(), None);
    }

    /// For tests: the next solve takes too long.
    #[cfg(test)]
    pub fn allow_no_step(&mut self) {
        self.last.clear();
        self.solver.most = 0;
    }

    /// What teleoperation wants in this tick.
    pub fn wish(&mut self, wishes: &PerArm<Option<Wish>>) {
        self.wishes = *wishes;
    }

    /// An arm's next tick is settled.
    pub fn settle(&mut self, arm: ArmId, velocity: Q) {
        *self.decided.get_mut(arm) = Some(velocity);
    }

    /// What an arm was bent by in the last tick, if it was: the next one will hardly be straight.
    pub fn bending(&self, arm: ArmId) -> Option<Barrier> {
        *self.bending.get(arm)
    }

    /// What an arm is bent by in this tick.
    pub fn note(&mut self, arm: ArmId, bending: Option<Barrier>) {
        *self.bending.get_mut(arm) = bending;
    }

    /// The last program that was solved, and how many there were; for reports.
    pub fn last(&self) -> (&Problem, u64) {
        (&self.problem, self.solves)
    }

    /// The proposal for an arm; solves once per tick, when first asked.
    pub fn propose(&mut self, arm: ArmId, around: &Around) -> Bent {
        if self.wishes.get(arm).is_none() {
            return Bent::Straight;
        }
        if self.bent.is_none() {
            self.bent = Some(self.solve(around));
        }
        self.bent.map_or(Bent::Failed, |bent| *bent.get(arm))
    }

    fn solve(&mut self, around: &Around) -> PerArm<Bent> {
        let failed = PerArm::from_fn(|_| Bent::Failed);
        let Some(limbs) = self.limbs(around) else { return failed };
        self.write(&limbs, around);
        let Some((x, active)) = self.minimise(&limbs) else { return failed };
        PerArm::from_fn(|arm| match limbs.iter().find(|l| l.arm == arm && l.free.is_some()) {
            Some(limb) if !self.head_on(limb, &active) => Bent::Past(limb.part(&x), self.barrier(arm, &active)),
            _ => Bent::Straight,
        })
    }

    /// The arms that are anywhere; `None` when one is nowhere that can be.
    fn limbs(&self, around: &Around) -> Option<ArrayVec<Limb, 3>> {
        let mut limbs = ArrayVec::new();
        let mut variables = 0;
        for arm in ArmId::ALL {
            let Some(state) = *self.states.get(arm) else { continue };
            let wish = self.wishes.get(arm).filter(|_| self.decided.get(arm).is_none());
            let aimed = wish.map(|w| (variables, aim(around.bodies.get(arm), around.bounds.get(arm), &w).0, w.rules));
            // An arm that wants to rest is not pushed aside.
            let free = aimed.filter(|(_, aim, _)| aim.next != aim.braking);
            let limb = limb(arm, state, free, *self.decided.get(arm), around)?;
            variables += if limb.free.is_some() { limb.dofs } else { 0 };
            limbs.push(limb);
        }
        Some(limbs)
    }

    /// Writes the program.
    fn write(&mut self, limbs: &[Limb], around: &Around) {
        self.problem.reset(limbs.iter().filter(|l| l.free.is_some()).map(|l| l.dofs).sum());
        (self.keys, self.fallback) = (ArrayVec::new(), ArrayVec::new());
        for limb in limbs {
            self.costs(limb);
            self.tips(limb);
            self.trocar(limb, around);
            self.zones(limb, around);
            self.tissue(limb, around);
        }
        for (i, a) in limbs.iter().enumerate() {
            limbs.iter().skip(i + 1).for_each(|b| self.tools(a, b, around));
        }
    }

    /// Solves; if moving away from one thing contradicts keeping from another, without moving away.
    fn minimise(&mut self, limbs: &[Limb]) -> Option<(Vector, Active)> {
        let guess = self.guess(limbs);
        let mut outcome = self.solver.solve(&self.problem, &guess);
        if outcome == Outcome::Infeasible {
            for (row, &limit) in self.fallback.iter().enumerate() {
                self.problem.set_limit(row, limit);
            }
            outcome = self.solver.solve(&self.problem, &guess);
        }
        self.solves += 1;
        self.last.clear();
        match outcome {
            Outcome::Solved(s) => {
                // There is room: no more bind than there are variables.
                self.last = s.active.iter().filter_map(|(bind, _)| self.key(bind, limbs)).collect();
                Some((s.x, s.active))
            }
            Outcome::Infeasible | Outcome::TookTooLong | Outcome::Malformed => None,
        }
    }

    /// Bounds, and the cost of not doing what is wanted: `1/2 (v - next)' H (v - next)`.
    fn costs(&mut self, limb: &Limb) {
        let Some((first, aim, _)) = limb.free else { return };
        let p = &mut self.problem;
        let weighed = |v: &Q| crate::dofs::map2(v, &limb.weights, |v, w| v * w);
        let along = weighed(&aim.wanted);
        let length = dot(&along, &aim.wanted);
        // Half of the cost along the wanted direction is taken off again.
        let off = if length > 1e-18 { (1.0 - ALONG) / length } else { 0.0 };
        let target = weighed(&aim.next);
        let ahead = off * dot(&along, &aim.next);
        for (j, row) in p.hessian.iter_mut().skip(first).take(limb.dofs).enumerate() {
            let mine = entry(&along, j);
            *row = [0.0; MAX_VARIABLES];
            for (k, (slot, &other)) in row.iter_mut().skip(first).zip(&along).take(limb.dofs).enumerate() {
                let weight = if j == k { entry(&limb.weights, j) } else { 0.0 };
                *slot = weight - off * mine * other;
            }
        }
        let slots = p.gradient.iter_mut().zip(&mut p.lower).zip(&mut p.upper).skip(first).take(limb.dofs);
        for (j, ((g, lower), upper)) in slots.enumerate() {
            *g = ahead * entry(&along, j) - entry(&target, j);
            (*lower, *upper) = (entry(&limb.lower, j), entry(&limb.upper, j));
        }
    }

    /// A clearance `h` beyond its margin must not fall faster than a stop can keep it. Left out when no velocity within bounds could break it.
    fn keep(&mut self, key: Key, h: f64, time: f64, slopes: &[Slope]) {
        let mut row = [0.0; MAX_VARIABLES];
        let (mut settled, mut safe, mut lowest, mut reach) = (0.0, 0.0, 0.0, 0.0);
        for Slope { limb, rates } in slopes {
            safe += dot(rates, &limb.safe);
            let Some((first, ..)) = limb.free else {
                settled += dot(rates, &limb.safe);
                lowest += dot(rates, &limb.safe);
                continue;
            };
            row.iter_mut().skip(first).zip(rates).take(limb.dofs).for_each(|(slot, r)| *slot = *r);
            for ((r, l), u) in rates.iter().zip(&limb.lower).zip(&limb.upper) {
                if *r != 0.0 {
                    lowest += (r * l).min(r * u);
                    reach += r.abs() * (u - l) / 2.0;
                }
            }
        }
        let limit = -APPROACH / time * h;
        let (limit, fallback) = (limit.min(safe + AWAY * reach), limit.min(safe));
        if lowest < limit && self.problem.push(&row, limit - settled).is_ok() {
            // Rounding must not make the stop that is known break its own limit.
            self.fallback.push(fallback - settled - 1e-9 * (1.0 + safe.abs()));
            self.keys.push(key);
        }
    }

    /// Tips and jaw ends stay slow enough: along the direction in which they move, which a tick hardly changes.
    fn tips(&mut self, limb: &Limb) {
        let Some((_, _, rules)) = limb.free else { return };
        for point in [2, 3] {
            let Some(rates) = limb.ends.rates.get(point) else { continue };
            let velocity: Vector3<f64> = rates.iter().zip(&limb.state.v).map(|(r, v)| r * *v).sum();
            let speed = velocity.norm();
            if speed > 0.5 * rules.tip_speed {
                let slope = rates.map(|r| -r.dot(&velocity) / speed);
                let slope = Slope { limb, rates: slope };
                // In this time the speed that is left is the limit itself.
                self.keep(Key::Tip { arm: limb.arm, point }, TIP_PLANNED * rules.tip_speed, APPROACH, &[slope]);
            }
        }
    }

    /// The shaft of an arm whose remote centre software keeps stays in the trocar, and its tip deep enough behind it; what the mechanism
    /// of the others does by itself, and the bounds of their insertion.
    fn trocar(&mut self, limb: &Limb, around: &Around) {
        let body = around.bodies.get(limb.arm);
        let (Some(rc), true) = (body.remote_centre(), limb.free.is_some()) else { return };
        for (side, (h, rates)) in rc.planes(body.chain(), &limb.state.q).into_iter().flatten().enumerate() {
            self.keep(Key::Trocar { arm: limb.arm, side }, h, limb.time, &[Slope { limb, rates }]);
        }
        let Some(shaft) = limb.capsules.first() else { return };
        let Some(along) = (shaft.b - shaft.a).try_normalize(1e-6) else { return };
        let h = (shaft.b - shaft.a).norm() - around.least_depth.get(limb.arm) - RESERVE - limb.room();
        let slope = Slope { limb, rates: limb.rates(0, 1.0, &along) };
        self.keep(Key::Depth { arm: limb.arm }, h, limb.time, &[slope]);
    }

    fn zones(&mut self, limb: &Limb, around: &Around) {
        let Some((_, _, rules)) = limb.free else { return };
        let kept = RESERVE + limb.room() + rules.policy.doubt_of_arm();
        for (i, zone) in around.zones.iter().enumerate().filter(|(_, z)| z.holds_for(limb.arm)) {
            for (part, capsule) in limb.capsules.iter().enumerate() {
                let keep = zone.margin() + kept;
                let limit = keep + limb.horizon + FELT;
                let distance = |c: &Capsule| zone.distance_of(limb.arm, part, c, limit);
                let d = distance(capsule);
                let h = d - keep;
                if h < limb.horizon {
                    let (normal, along) = slope(capsule, d, distance);
                    let slope = Slope { limb, rates: limb.rates(part, along, &normal) };
                    self.keep(Key::Zone { arm: limb.arm, zone: i, part }, h, limb.time, &[slope]);
                }
            }
        }
    }

    fn tissue(&mut self, limb: &Limb, around: &Around) {
        let (Some((_, _, rules)), Some(surface)) = (limb.free, around.surface) else { return };
        let kept = RESERVE + limb.room();
        let mut near: ArrayVec<Near, MAX_NEAR> = ArrayVec::new();
        let vicinity = around.vicinity.get(limb.arm);
        surface.near(&probes(&limb.capsules), vicinity, &rules.policy, kept + limb.horizon, &mut near);
        for (rank, point) in near.iter().enumerate() {
            let Some(capsule) = limb.capsules.get(point.part) else { continue };
            let (along, foot) = foot(capsule, &point.position);
            let Some(normal) = (foot - point.position).try_normalize(1e-9) else { continue };
            let slope = Slope { limb, rates: limb.rates(point.part, along, &normal) };
            self.keep(
                Key::Tissue { arm: limb.arm, class: point.class, rank },
                point.clearance - kept,
                limb.time,
                &[slope],
            );
        }
    }

    fn tools(&mut self, a: &Limb, b: &Limb, around: &Around) {
        if a.free.is_none() && b.free.is_none() {
            return;
        }
        // The check of each arm's stop counts the other's whole stop against it.
        let room = (a.room() + b.travel / 2.0).max(b.room() + a.travel / 2.0);
        let kept = around.tool_tool + RESERVE + room;
        let time = a.time.max(b.time);
        for (i, ca) in a.capsules.iter().enumerate() {
            for (k, cb) in b.capsules.iter().enumerate() {
                let d = ca.distance_to(cb);
                if d - kept < a.horizon + b.horizon {
                    let (normal, along_a) = slope(ca, d, |c| c.distance_to(cb));
                    let (_, along_b) = slope(cb, d, |c| c.distance_to(ca));
                    let slopes = [
                        Slope { limb: a, rates: a.rates(i, along_a, &normal) },
                        Slope { limb: b, rates: b.rates(k, along_b, &-normal) },
                    ];
                    self.keep(Key::Tools { arms: [a.arm, b.arm], parts: [i, k] }, d - kept, time, &slopes);
                }
            }
        }
    }

    /// Whether a boundary that binds is met head-on by what this arm wants.
    fn head_on(&self, limb: &Limb, active: &Active) -> bool {
        let Some((first, aim, _)) = limb.free else { return false };
        let wanted = crate::dofs::map2(&aim.wanted, &limb.weights, |v, w| v * v * w).iter().sum::<f64>().sqrt();
        active.iter().filter_map(|(bind, _)| self.boundary(bind)).any(|row| {
            let mine = row.iter().skip(first).zip(&limb.weights).zip(&aim.wanted).take(limb.dofs);
            let (against, square) =
                mine.fold((0.0, 0.0), |(against, square), ((a, w), v)| (against - a * v, square + a * a / w));
            against > HEAD_ON * wanted * square.sqrt()
        })
    }

    /// The row of a constraint that stands for something in the world.
    fn boundary(&self, bind: Bind) -> Option<&Vector> {
        let Bind::Row(row) = bind else { return None };
        match self.keys.get(row)? {
            Key::Zone { .. } | Key::Tissue { .. } | Key::Tools { .. } => Some(self.problem.row(row)?.0),
            Key::Tip { .. } | Key::Bound { .. } | Key::Trocar { .. } | Key::Depth { .. } => None,
        }
    }

    /// What binds an arm most.
    fn barrier(&self, arm: ArmId, active: &Active) -> Option<Barrier> {
        let mut most = (0.0, None);
        for (bind, multiplier) in active.iter() {
            let Bind::Row(row) = bind else { continue };
            let barrier = match self.keys.get(row) {
                Some(&Key::Zone { arm: a, zone, .. }) if a == arm => Barrier::Zone(zone),
                Some(&Key::Tissue { arm: a, class, .. }) if a == arm => Barrier::Tissue(class),
                Some(&Key::Tools { arms: [a, b], .. }) if a == arm => Barrier::Tool(b),
                Some(&Key::Tools { arms: [a, b], .. }) if b == arm => Barrier::Tool(a),
                _ => continue,
            };
            if multiplier >= most.0 {
                most = (multiplier, Some(barrier));
            }
        }
        most.1
    }

    fn key(&self, bind: Bind, limbs: &[Limb]) -> Option<Key> {
        let bound = |i: usize, upper: bool| {
            let owner = |l: &&Limb| l.free.is_some_and(|(first, ..)| (first..first + l.dofs).contains(&i));
            let limb = limbs.iter().find(owner)?;
            Some(Key::Bound { arm: limb.arm, joint: i - limb.free?.0, upper })
        };
        match bind {
            Bind::Row(row) => self.keys.get(row).copied(),
            Bind::Lower(i) => bound(i, false),
            Bind::Upper(i) => bound(i, true),
        }
    }

    /// What bound last time, in terms of this program.
    fn guess(&self, limbs: &[Limb]) -> Active {
        let mut guess = Active::default();
        for key in &self.last {
            let first = |arm: ArmId| limbs.iter().find(|l| l.arm == arm).and_then(|l| l.free).map(|(first, ..)| first);
            let bind = match *key {
                Key::Bound { arm, joint, upper } => {
                    first(arm).map(|first| if upper { Bind::Upper(first + joint) } else { Bind::Lower(first + joint) })
                }
                _ => self.keys.iter().position(|k| k == key).map(Bind::Row),
            };
            bind.into_iter().for_each(|b| guess.guess(b));
        }
        guess
    }
}

#[allow(clippy::large_types_passed_by_value, reason = "kept in the limb that is made here")]
fn limb(
    arm: ArmId,
    state: MotionState,
    free: Option<(usize, Aim, Rules)>,
    decided: Option<Q>,
    around: &Around,
) -> Option<Limb> {
    let (body, b) = (around.bodies.get(arm), around.bounds.get(arm));
    let ends = body.ends(&state.q)?;
    let shape = body.shape(&state.q)?;
    let safe = decided.unwrap_or_else(|| state.brake_velocity(&b.acceleration));
    let stopping = |v: &Q| b.acceleration.worst_ratio(&v.map(|v| -v));
    let wanted = free.map_or(0.0, |(_, aim, _)| stopping(&aim.wanted));
    let time = (wanted.max(stopping(&state.v)) / LIMIT_USE).max(LEAST_TIME);
    let by_mechanism = body.remote_centre().is_none();
    let mut limb = Limb {
        arm,
        dofs: b.layout.used(),
        capsules: shape.capsules,
        free,
        state,
        safe,
        lower: [0.0; N],
        upper: [0.0; N],
        time,
        travel: body.travel(&state.q, &state.stop(&b.acceleration)),
        horizon: 0.0,
        weights: if by_mechanism { weights(&ends) } else { even_weights(&ends) },
        ends,
    };
    let depth = shape.depth - around.least_depth.get(arm) - RESERVE;
    for j in 0..limb.dofs {
        let [q, v, safe] = [&state.q, &state.v, &limb.safe].map(|x| entry(x, j));
        let [slowest, fastest] = [-1.0, 1.0].map(|side| side * LIMIT_USE * b.velocity.towards(j, side));
        let [slower, faster] = [-1.0, 1.0].map(|side| side * LIMIT_USE * DT * b.acceleration.towards(j, side));
        // To each side, what the stop from there leaves of the range; a joint beyond it may come back.
        let to = |room: f64| (2.0 - 1e-3) / time * room.max(0.0);
        let mut lower = slowest.max(v + slower).max(-to(q - entry(&b.lower, j)));
        let upper = fastest.min(v + faster).min(to(entry(&b.upper, j) - q));
        if j == 2 && by_mechanism {
            lower = lower.max(-APPROACH / time * depth);
        }
        let (lower, upper) = (lower.min(safe), upper.max(safe));
        limb.lower.iter_mut().skip(j).take(1).for_each(|x| *x = lower);
        limb.upper.iter_mut().skip(j).take(1).for_each(|x| *x = upper);
    }
    let fastest = crate::dofs::map2(&limb.lower, &limb.upper, |l, u| l.abs().max(u.abs()));
    let speeds = limb.ends.rates.iter().map(|rates| rates.iter().zip(&fastest).map(|(r, v)| r.norm() * v).sum::<f64>());
    // Jaws that open come nearer at their sides.
    let widening = limb.ends.opening.abs() * entry(&fastest, N - 1);
    limb.horizon = (speeds.fold(0.0, f64::max) + widening) * time / APPROACH;
    Some(limb)
}

/// What each degree of freedom's rate costs: the tip's speed for yaw, pitch and insertion, a turn on [`TURN`] for the others, on [`GRIP`] for the jaws.
fn weights(ends: &Ends) -> Q {
    let mut weights = [TURN * TURN; N];
    let [_, _, tip, _] = &ends.rates;
    for (w, rate) in weights.iter_mut().zip(tip).take(3) {
        *w = rate.norm_squared().max(4e-4);
    }
    weights.iter_mut().skip(6).for_each(|w| *w = GRIP.powi(2));
    weights
}

/// As [`weights`], for an arm whose joints all move the tip: each by how it moves the tip and how it turns.
fn even_weights(ends: &Ends) -> Q {
    let [_, _, tip, _] = &ends.rates;
    tip.map(|rate| rate.norm_squared() + TURN * TURN)
}

impl Limb {
    /// What the check of the stop asks for on top of the margins, m, and what the way's bend takes.
    fn room(&self) -> f64 {
        START + self.travel * (ROOM + SAGITTA * self.travel)
    }

    /// How fast the surface of a part moves along `normal` at `along` its axis, per degree of freedom.
    fn rates(&self, part: usize, along: f64, normal: &Vector3<f64>) -> Q {
        let [pivot, wrist, tip, end] = &self.ends.rates;
        let (a, b) = match part {
            0 => (pivot, wrist),
            1 => (wrist, tip),
            _ => (tip, end),
        };
        let mut rates = [0.0; N];
        for ((slot, a), b) in rates.iter_mut().zip(a).zip(b) {
            *slot = normal.dot(&(a * (1.0 - along) + b * along));
        }
        if let (2, Some(jaw)) = (part, rates.last_mut()) {
            *jaw -= self.ends.opening;
        }
        rates
    }

    /// The arm's own part of a solution.
    fn part(&self, x: &Vector) -> Q {
        let mut v = [0.0; N];
        let first = self.free.map_or(0, |(first, ..)| first);
        v.iter_mut().zip(x.iter().skip(first)).take(self.dofs).for_each(|(v, x)| *v = *x);
        if v.iter().all(|x| x.abs() < REST) { [0.0; N] } else { v }
    }
}

/// Where `distance` falls off fastest when the capsule is moved, from `d` here, and where along its axis that touches.
fn slope(c: &Capsule, d: f64, distance: impl Fn(&Capsule) -> f64) -> (Vector3<f64>, f64) {
    let moved = |by: Vector3<f64>| distance(&Capsule { a: c.a + by, b: c.b + by, radius: c.radius }) - d;
    let normal = Vector3::new(moved(Vector3::x() * STEP), moved(Vector3::y() * STEP), moved(Vector3::z() * STEP));
    let normal = normal.try_normalize(1e-3 * STEP).unwrap_or_else(Vector3::zeros);
    let swung = distance(&Capsule { b: c.b + normal * STEP, ..*c }) - d;
    (normal, (swung / STEP).clamp(0.0, 1.0))
}

/// The point of a capsule's axis nearest to `p`: how far along, and where.
fn foot(c: &Capsule, p: &Point3<f64>) -> (f64, Point3<f64>) {
    let axis = c.b - c.a;
    let square = axis.norm_squared();
    let along = if square > 0.0 { ((p - c.a).dot(&axis) / square).clamp(0.0, 1.0) } else { 0.0 };
    (along, c.a + axis * along)
}

fn dot(a: &Q, b: &Q) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn entry(q: &Q, j: usize) -> f64 {
    q.get(j).copied().unwrap_or(0.0)
}

#[cfg(test)]
#[path = "bend_tests.rs"]
mod bend_tests;
