//! The filter: turns what is wanted of an arm into the nearest motion that keeps every constraint, now and in every stop that
//! may have to follow.
//!
//! Invariant: the stop from the current state of every arm (see `braking`) was checked against every constraint. A
//! candidate for the next tick is taken only if the stop *from it* checks out; if none does, the arm brakes, which is the
//! rest of a stop already checked. So a feasible stop exists at every moment, as long as the world stands still; when the world
//! moves (new tissue, new hand-eye) so that an arm finds itself too near, it may only move away.
//!
//! `aim`: what the arm's own limits leave of a wish. `clearance`: how near everything is. `check`: whether a tick and the stop after it may be taken.

mod aim;
mod check;
mod clearance;

pub(crate) use aim::aim;
use check::Barred;

use crate::{
    Classes, Finding, SafetyParams, Touch,
    bend::{Around, Barrier, Bender, Bent, Wish},
    body::Body,
    braking::MotionState,
    dofs::{Bounds, PerArm, Q, Sides, map2},
    plan::Plan,
    player::{Player, Step},
    surface::{LiveScene, Policy, Vicinity, probes},
    touch::{Bearing, Distances},
    view::Lookout,
    zones::{Keepout, MAX_ZONES},
};
use arrayvec::ArrayVec;
use nalgebra::{Isometry3, Vector3};
use proctor_kinematics::{Capsule, Cell};
use proctor_types::{Alignment, ArmId, Class, Constraint, SceneFault, Stamp};

/// Kept on top of every margin, m, so that the gate's exact margin is never reached by rounding or between samples.
pub const RESERVE: f64 = 1e-4;
/// An arm that finds itself farther inside a margin than this, m, is not led along what it is in: it goes straight out, or not at all.
const DEEP: f64 = 1e-3;
/// Tissue is looked for farther away than now matters by as much as a tick may lengthen a stop, and more, m.
const FARTHER: f64 = 2e-3;
/// Parts of the straight way that are tried after the whole, most first; and of a way that was bent, with a part of the straight one last.
const STRAIGHT: [f64; 3] = [0.5, 0.25, 0.1];
const BENT: [f64; 3] = [1.0, 0.5, 0.2];
const AFTER_BENT: f64 = 0.25;
/// Part of the tip-speed limit that is planned for.
pub(crate) const TIP_PLANNED: f64 = 0.95;

/// Tissue around an arm where it is.
#[derive(Debug, Default)]
struct Tissue {
    vicinity: Vicinity,
    /// How near each class is, once asked for.
    distances: Option<Distances>,
}

/// What an arm is asked to do in a tick.
#[derive(Debug, Clone, Copy)]
pub enum Desire<'a> {
    /// Rest; from motion, stop.
    Rest,
    /// Go to these positions.
    Goal(&'a Q),
    /// Advance along an approved path.
    Advance(&'a Plan, Player),
    /// Stop along an approved path.
    Pause(&'a Plan, Player),
}

/// Which rules hold for an arm in a tick.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Tip-speed limit, m/s.
    pub tip_speed: f64,
    /// What to keep from tissue.
    pub policy: Policy,
    /// Force that the arm measures now, world frame, N, and where it was sent to, if it measures any.
    pub force: Option<(Vector3<f64>, Q)>,
    /// Whether it moves by itself and stays in the picture.
    pub watched: bool,
}

/// What the filter decided for an arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decided {
    /// Set-point of the next tick.
    pub state: MotionState,
    /// Place on the path, for a desire along one that was followed.
    pub player: Option<Player>,
    /// What was binding, if anything.
    pub binding: Option<Finding>,
    /// Whether the arm brakes because nothing else was possible.
    pub blocked: bool,
}

/// An arm's swept shape: everything it may touch while stopping.
#[derive(Debug, Clone, Default)]
struct Sweep {
    capsules: ArrayVec<Capsule, 3>,
}

/// The arms, where they stand, and what they must keep from.
#[derive(Debug)]
pub struct Filter {
    bodies: PerArm<Body>,
    nominal: PerArm<Isometry3<f64>>,
    variances: PerArm<f64>,
    bounds: PerArm<Bounds>,
    zones: ArrayVec<Keepout, MAX_ZONES>,
    scene: Option<Box<LiveScene>>,
    sweeps: PerArm<Sweep>,
    bears: Bearing,
    /// In this tick.
    tissue: Box<PerArm<Tissue>>,
    lookout: Lookout,
    bender: Box<Bender>,
    params: SafetyParams,
}

impl Filter {
    /// The standard cell with the configured instruments; nothing seen yet.
    pub fn new(params: &SafetyParams) -> Result<Self, proctor_kinematics::KinematicsError> {
        let bodies = PerArm::try_from_fn(|arm| Body::configured(arm, params))?;
        let nominal = PerArm::from_fn(|arm| *bodies.get(arm).world_from_base());
        let bounds = PerArm::from_fn(|arm| Bounds::new(arm, bodies.get(arm).chain().limits(), params));
        Ok(Self {
            nominal,
            variances: PerArm::from_fn(|arm| nominal_variance(arm, params)),
            bounds,
            zones: params.zones.iter().take(MAX_ZONES).map(Keepout::new).collect(),
            scene: None,
            sweeps: PerArm::default(),
            bears: Bearing::new(params),
            tissue: Box::default(),
            lookout: Lookout::new(params.view, &Cell::standard()?),
            bender: Box::new(Bender::new()),
            params: params.clone(),
            bodies,
        })
    }

    /// An arm's limits.
    pub fn bounds(&self, arm: ArmId) -> &Bounds {
        self.bounds.get(arm)
    }

    /// An arm's body.
    pub fn body(&self, arm: ArmId) -> &Body {
        self.bodies.get(arm)
    }

    /// The camera on the endoscope's tip.
    pub fn camera_mount(&self) -> &Isometry3<f64> {
        self.lookout.mount()
    }

    /// Variance of where an arm stands, m^2.
    pub fn variance(&self, arm: ArmId) -> f64 {
        *self.variances.get(arm)
    }

    /// The live scene.
    pub fn scene(&self) -> Option<&LiveScene> {
        self.scene.as_deref()
    }

    /// Takes a newer scene in and moves the arms to where it sees them. Returns the old one for disposal, and which estimate was
    /// not believed, if any: too far from nominal, it counts as contradicting the kinematics, and the arm keeps its nominal place with the
    /// largest doubt there is.
    pub fn see(&mut self, mut scene: Box<LiveScene>) -> (Option<Box<LiveScene>>, Option<Finding>) {
        let mut doubted = None;
        for arm in ArmId::ALL {
            let nominal = *self.nominal.get(arm);
            let (base, variance) = match *scene.placements.get(arm) {
                None => (nominal, nominal_variance(arm, &self.params)),
                Some(p) => match self.too_far(arm, &p.world_from_base) {
                    None => (p.world_from_base, p.variance),
                    Some(finding) => {
                        doubted = doubted.or(Some(finding));
                        *scene.alignment.get_mut(arm) = Alignment::Inconsistent;
                        let c = &self.params.clearance;
                        (nominal, (c.max_uncertainty / c.sigmas).powi(2))
                    }
                },
            };
            self.bodies.get_mut(arm).place(base);
            *self.variances.get_mut(arm) = variance;
        }
        (self.scene.replace(scene), doubted)
    }

    /// Other zones hold from now on; the old ones are handed out in their place.
    pub(crate) fn swap_zones(&mut self, zones: &mut ArrayVec<Keepout, MAX_ZONES>) {
        std::mem::swap(&mut self.zones, zones);
    }

    /// Other policies hold from now on.
    pub(crate) fn police(&mut self, classes: &Classes) {
        self.params.classes = *classes;
        self.bears = Bearing::new(&self.params);
    }

    /// Why an estimate of an arm's place is not believed.
    fn too_far(&self, arm: ArmId, world_from_base: &Isometry3<f64>) -> Option<Finding> {
        let c = &self.params.clearance;
        let off = self.nominal.get(arm).inverse() * world_from_base;
        let (far, turned) = (off.translation.vector.norm(), off.rotation.angle());
        if far > c.hand_eye_translation {
            Some(Finding::scene(arm, SceneFault::Displaced, far, c.hand_eye_translation))
        } else if turned > c.hand_eye_rotation {
            Some(Finding::scene(arm, SceneFault::Turned, turned, c.hand_eye_rotation))
        } else {
            None
        }
    }

    /// The rules for an arm. `retracting`: it runs, or ran last, an approved *retract*.
    pub fn rules(&self, arm: ArmId, supervised: bool, retracting: bool, now: Stamp) -> Rules {
        let p = &self.params;
        let mut keep = [None; Class::COUNT];
        for (slot, class) in keep.iter_mut().zip(Class::ALL) {
            let Some(policy) = p.classes.of(class) else { continue };
            let touch = match (arm, supervised) {
                (ArmId::Ecm, _) => policy.endoscope,
                (ArmId::Psm1 | ArmId::Psm2, false) => policy.teleop,
                (ArmId::Psm1 | ArmId::Psm2, true) if retracting => policy.retract,
                (ArmId::Psm1 | ArmId::Psm2, true) => policy.supervised,
            };
            *slot = match touch {
                Touch::Contact => None,
                Touch::Keep(d) => Some(d),
            };
        }
        let age = self.scene.as_ref().map_or(0.0, |s| now.seconds_since(s.stamp)).clamp(0.0, p.watchdogs.scene);
        let policy = Policy {
            keep,
            sigmas: p.clearance.sigmas,
            arm_variance: self.variance(arm),
            max_uncertainty: p.clearance.max_uncertainty,
            growth: p.clearance.growth * age,
        };
        let tip_speed = if supervised { p.motion.tip_speed_supervised } else { p.motion.tip_speed_teleop };
        Rules { tip_speed, policy, force: None, watched: supervised }
    }

    /// Where every arm may be while it stops; call once per tick before [`Filter::decide`], with every arm's state.
    pub fn begin(&mut self, states: &PerArm<Option<MotionState>>) {
        for arm in ArmId::ALL {
            self.sweep(arm, states.get(arm).as_ref());
        }
        *self.tissue = PerArm::default();
        self.bender.begin(states);
    }

    /// Arms move by themselves in this tick, after [`Filter::begin`]: instruments stay in the picture.
    pub fn watch(&mut self, states: &PerArm<Option<MotionState>>) {
        let farthest = self.lookout.watch(&self.bodies, states);
        self.bodies.ecm.look(farthest);
    }

    /// No arm moves by itself in this tick: nothing need stay in the picture.
    pub fn look_away(&mut self) {
        self.lookout.rest();
        self.bodies.ecm.look(0.0);
    }

    /// What teleoperation wants of the arms in this tick, after [`Filter::begin`]. An arm that is decided towards another goal, or without
    /// a wish, is not bent: it keeps to its way.
    pub fn wish(&mut self, wishes: &PerArm<Option<Wish>>) {
        let wishes = PerArm::from_fn(|arm| {
            let mut wish = (*wishes.get(arm))?;
            wish.rules.tip_speed = self.allowance(arm, &wish.state, &wish.rules).0;
            Some(wish)
        });
        self.bender.wish(&wishes);
    }

    /// How near tissue is to an arm, as far as that slows it.
    fn tissue(&mut self, arm: ArmId, state: &MotionState, rules: &Rules) -> Distances {
        if let Some(known) = self.tissue.get(arm).distances {
            return known;
        }
        let body = self.bodies.get(arm);
        let travel = body.travel(&state.q, &state.stop(&self.bounds.get(arm).acceleration));
        let within = self.bears.reach(rules.tip_speed) + travel + FARTHER;
        let (mut vicinity, mut near) = (Vicinity::default(), [within; Class::COUNT]);
        if let (Some(scene), Some(shape)) = (&self.scene, body.shape(&state.q)) {
            let probes = probes(&shape.capsules);
            vicinity = scene.surface.vicinity(&probes, &rules.policy);
            near = scene.surface.clearances(&probes, (&vicinity, 0.0), &rules.policy, within, |_| Some(0.0));
        }
        *self.tissue.get_mut(arm) = Tissue { vicinity, distances: Some(near) };
        near
    }

    /// How fast the tip may be on the stop from here, and the class that says so, if it is tissue.
    fn allowance(&mut self, arm: ArmId, state: &MotionState, rules: &Rules) -> (f64, Option<usize>) {
        let near = self.tissue(arm, state, rules);
        let end = state.stop(&self.bounds.get(arm).acceleration);
        self.bears.allowance(&near, self.bodies.get(arm).travel(&state.q, &end), rules.tip_speed)
    }

    /// The last quadratic program that was solved to bend a motion, and how many there have been; for reports and comparisons.
    pub fn last_program(&self) -> (&proctor_qp::Problem, u64) {
        self.bender.last()
    }

    fn sweep(&mut self, arm: ArmId, state: Option<&MotionState>) {
        let body = self.bodies.get(arm);
        let mut capsules = ArrayVec::new();
        if let Some(state) = state {
            let end = state.stop(&self.bounds.get(arm).acceleration);
            let half = body.travel(&state.q, &end) / 2.0;
            if let Some(shape) = body.shape(&map2(&state.q, &end, f64::midpoint)) {
                capsules = shape.capsules;
                capsules.iter_mut().for_each(|c| c.radius += half);
            }
        }
        self.sweeps.get_mut(arm).capsules = capsules;
    }

    /// Decides an arm's next tick and remembers its new stop for the arms decided after it.
    pub fn decide(&mut self, arm: ArmId, state: &MotionState, desire: Desire, rules: &Rules) -> Decided {
        let decided = match desire {
            Desire::Rest => brake(state, &self.bounds.get(arm).acceleration),
            Desire::Goal(goal) => self.towards(arm, state, goal, rules),
            Desire::Advance(plan, player) => self.along(arm, state, (plan, player), true, rules),
            Desire::Pause(plan, player) => self.along(arm, state, (plan, player), false, rules),
        };
        self.sweep(arm, Some(&decided.state));
        self.bender.settle(arm, decided.state.v);
        decided
    }

    fn towards(&mut self, arm: ArmId, state: &MotionState, goal: &Q, rules: &Rules) -> Decided {
        let (tip_speed, class) = self.allowance(arm, state, rules);
        let wish = Wish { state: *state, goal: *goal, rules: Rules { tip_speed, ..*rules } };
        let (aim, binding) = aim(self.bodies.get(arm), self.bounds.get(arm), &wish);
        let binding = binding.map(|b| by_tissue(b, class));
        let taken = |v, binding, blocked| Decided { state: state.advanced(v), player: None, binding, blocked };
        if aim.next == aim.braking {
            return taken(aim.braking, binding, false);
        }
        let here = self.here(arm, state, rules);
        // An arm that was bent a tick ago asks for the bent way first: going straight whenever that is just possible would make it shake.
        let deep = here.clearance.iter().any(|&h| h < -DEEP);
        let was = self.bender.bending(arm).filter(|_| !state.rests() && !deep);
        self.bender.note(arm, None);
        let barred = match was {
            Some(was) => self.barred(arm, was, &here.clearance, rules),
            None => match self.check(arm, state, &state.advanced(aim.next), &here, rules) {
                Ok(()) => return taken(aim.next, binding, false),
                Err(barred) => self.said(arm, &barred, &here, rules),
            },
        };
        let mut tries = ArrayVec::<(Q, f64, Option<Barrier>), 4>::new();
        match if deep { Bent::Straight } else { self.bend(arm) } {
            Bent::Past(v, barrier) => {
                tries.extend(BENT.map(|part| (v, part, barrier)));
                tries.push((aim.next, AFTER_BENT, None));
            }
            Bent::Straight => tries.extend(STRAIGHT.map(|part| (aim.next, part, None))),
            Bent::Failed => {}
        }
        for (v, part, barrier) in tries {
            let v = map2(&aim.braking, &v, |b, v| b + part * (v - b));
            if self.check(arm, state, &state.advanced(v), &here, rules).is_ok() {
                self.bender.note(arm, barrier);
                // Nothing bends the way any more: it is the straight one.
                let straight = was.is_some() && barrier.is_none() && part == 1.0;
                return taken(v, if straight { binding } else { Some(barred) }, v == aim.braking);
            }
        }
        taken(aim.braking, Some(barred), true)
    }

    /// The way past what bars the straight one, as far as it is known.
    fn bend(&mut self, arm: ArmId) -> Bent {
        let least_depth = PerArm::from_fn(|arm| self.least_depth(arm));
        let around = Around {
            bodies: &self.bodies,
            bounds: &self.bounds,
            zones: &self.zones,
            surface: self.scene.as_ref().map(|s| &s.surface),
            vicinity: PerArm::from_fn(|arm| &self.tissue.get(arm).vicinity),
            tool_tool: self.params.clearance.tool_tool,
            least_depth,
        };
        self.bender.propose(arm, &around)
    }

    fn along(
        &mut self,
        arm: ArmId,
        state: &MotionState,
        (plan, player): (&Plan, Player),
        advance: bool,
        rules: &Rules,
    ) -> Decided {
        let acceleration = self.bounds.get(arm).acceleration;
        let stopped = |binding| Decided { binding, blocked: true, ..brake(state, &acceleration) };
        let follow = |step: &Step, binding, blocked| Decided {
            state: MotionState { q: step.q, v: step.v },
            player: Some(step.player),
            binding,
            blocked,
        };
        let (Some(slow), Some(hard)) = (player.slower(plan, state), player.hard(plan, state, &acceleration)) else {
            return stopped(Some(Finding::of(arm, Constraint::Malformed, 0.0, 0.0)));
        };
        if state.rests() && !advance {
            return follow(&slow, None, false);
        }
        let here = self.here(arm, state, rules);
        let mut tries = ArrayVec::<Step, 3>::new();
        if advance && let Some(fast) = player.forward(plan, state) {
            tries.push(fast);
            tries.extend(player.between(plan, state, &slow, &fast, 0.5));
        }
        tries.push(slow);
        let mut first = None;
        let said = |first: Option<Barred>| first.map(|barred| self.said(arm, &barred, &here, rules));
        for step in &tries {
            match self.check_step(arm, state, plan, step, &here, rules) {
                // In front of a boundary the only tick left is one at rest: the arm is held, not limited.
                Ok(()) => return follow(step, said(first), first.is_some() && step.player.rate() == 0.0),
                Err(barred) => first = first.or(Some(barred)),
            }
        }
        follow(&hard, said(first), true)
    }
}

/// A limit of the tip's speed that is tissue's says so.
fn by_tissue(finding: Finding, class: Option<usize>) -> Finding {
    match (finding.constraint, class) {
        (Constraint::TipSpeed, Some(class)) => Finding { constraint: Constraint::TissueSpeed, ..finding }.at(class),
        _ => finding,
    }
}

fn nominal_variance(arm: ArmId, params: &SafetyParams) -> f64 {
    // The ECM's base is exact by definition (ARCHITECTURE.md).
    if arm.has_jaw() { params.clearance.nominal_sigma.powi(2) } else { 0.0 }
}

fn entry(q: &Q, j: usize) -> f64 {
    q.get(j).copied().unwrap_or(0.0)
}

/// Brakes straight; the remainder of a stop that was checked.
fn brake(state: &MotionState, acceleration: &Sides) -> Decided {
    let next = state.advanced(state.brake_velocity(acceleration));
    Decided { state: next, player: None, binding: None, blocked: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Zone, ZoneShape};
    use proctor_types::Stamp;

    const ARM: ArmId = ArmId::Psm1;

    /// A floor just below the tip, and an arm that moves along it.
    fn above_a_floor() -> (Filter, MotionState) {
        let home = MotionState::resting([0.0, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2]);
        let mut params = SafetyParams::default();
        let body = Body::configured(ARM, &params).unwrap();
        let low = body.shape(&home.q).unwrap().jaw_end.z - 0.016;
        let region = ZoneShape::HalfSpace { point: [0.0, 0.0, low], normal: [0.0, 0.0, 1.0] };
        params.zones.push(Zone { name: "floor".into(), margin: 0.001, arms: vec![], region });
        (Filter::new(&params).unwrap(), home)
    }

    /// Two centimetres along the floor and one below it.
    fn ahead(filter: &Filter, q: &Q) -> Q {
        let rates = filter.body(ARM).ends(q).unwrap().rates[2];
        let jacobian = nalgebra::Matrix3::from_columns(&rates[..3]);
        let step = jacobian.lu().solve(&nalgebra::Vector3::new(0.0, 0.02, -0.01)).unwrap();
        map2(q, &[step.x, step.y, step.z, 0.0, 0.0, 0.0, 0.0], |a, b| a + b)
    }

    /// Ticks towards a goal that lies along the floor and below it, `with` meddling before each; returns what was decided.
    fn ticks(count: usize, mut with: impl FnMut(usize, &mut Filter, &mut Wish)) -> Vec<(MotionState, Decided)> {
        let (mut filter, mut state) = above_a_floor();
        let rules = filter.rules(ARM, false, false, Stamp::FIRST);
        let mut out = Vec::new();
        for i in 0..count {
            let goal = ahead(&filter, &state.q);
            filter.begin(&PerArm { psm1: Some(state), ..PerArm::default() });
            let mut wish = Wish { state, goal, rules };
            with(i, &mut filter, &mut wish);
            filter.wish(&PerArm { psm1: Some(wish), ..PerArm::default() });
            let decided = filter.decide(ARM, &state, Desire::Goal(&goal), &rules);
            out.push((state, decided));
            state = decided.state;
        }
        out
    }

    fn braked(from: &MotionState, decided: &Decided) -> bool {
        let params = SafetyParams::default();
        let bounds = Bounds::new(ARM, Body::configured(ARM, &params).unwrap().chain().limits(), &params);
        decided.blocked && decided.state.v == from.brake_velocity(&bounds.acceleration)
    }

    #[test]
    fn an_arm_is_bent_along_a_floor_and_says_what_limits_it() {
        let way = ticks(350, |_, _, _| {});
        let body = Body::configured(ARM, &SafetyParams::default()).unwrap();
        let along = way.iter().filter(|(at, decided)| {
            let floor = decided.binding.is_some_and(|f| f.constraint == Constraint::NoGoZone && f.value >= f.limit);
            floor && !decided.blocked && body.tip_speed(&at.q, &at.v).unwrap() > 0.03
        });
        assert!(along.clone().count() > 100, "{} ticks along the floor", along.count());
    }

    #[test]
    fn a_solve_that_takes_too_long_or_has_no_numbers_brakes_in_that_tick() {
        let undisturbed = ticks(350, |_, _, _| {});
        let bent = |(at, d): &(MotionState, Decided)| {
            !at.rests() && !braked(at, d) && d.binding.is_some_and(|f| f.constraint == Constraint::NoGoZone)
        };
        let tick = 200 + undisturbed[200..].iter().position(bent).unwrap();
        let too_long = ticks(tick + 1, |i, filter, _| {
            if i == tick {
                filter.bender.allow_no_step();
            }
        });
        let no_numbers = ticks(tick + 1, |i, _, wish| {
            if i == tick {
                wish.state.q[3] = f64::NAN;
            }
        });
        for disturbed in [&too_long, &no_numbers] {
            assert_eq!(disturbed[..tick], undisturbed[..tick]);
            let (from, decided) = &disturbed[tick];
            assert!(braked(from, decided), "{decided:?}");
            assert_eq!(decided.binding.unwrap().constraint, Constraint::NoGoZone);
        }
    }

    #[test]
    fn without_a_wish_nothing_is_bent() {
        // As towards the start of an approved motion: straight, or not at all.
        let (mut filter, mut state) = above_a_floor();
        let rules = filter.rules(ARM, true, false, Stamp::FIRST);
        let start = state.q;
        let goal = map2(&start, &[0.05, 0.0, 0.03, 0.0, 0.0, 0.0, 0.0], |a, b| a + b);
        for _ in 0..1500 {
            filter.begin(&PerArm { psm1: Some(state), ..PerArm::default() });
            state = filter.decide(ARM, &state, Desire::Goal(&goal), &rules).state;
            let (yaw, down) = (state.q[0] - start[0], state.q[2] - start[2]);
            assert!((yaw * 0.03 - down * 0.05).abs() < 1e-9, "off the straight way: {yaw} {down}");
        }
        assert!(state.rests() && state.q[2] - start[2] > 0.001 && state.q[2] < goal[2] - 0.005);
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod filter_tests;
