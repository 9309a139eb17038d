//! The gate: looks at what the filter produced, by other code and in plain arithmetic, and lets it through or refuses it. It shapes
//! nothing. What it lets through is [`Cleared`], which nothing else can make and without which no arm takes a command.
//!
//! What is sent is the mean of the last few set-points that the filter decided (see `smooth`); both are judged. Rules, for set-points
//! `q`, `q1`, `q2`, `q3`, newest first (ticks of 1 ms):
//! 1. decided and sent: every number is finite, the joints are in range - or come back;
//! 2. decided and sent: `|q - q1| / dt` and `|q - 2 q1 + q2| / dt^2` are within the limits;
//! 3. sent: `|q - 3 q1 + 3 q2 - q3| / dt^3` is within the limits, and it is the mean of what was decided;
//! 4. decided, unless it brakes (no joint faster than before, one of them slower, none turned round): tip and jaw end are not too fast, the less so near
//!    tissue, and do not go against a force that is too large already; depth, zones, tissue, other arms and, for what moves by itself, the
//!    picture's edge are kept clear, and the shaft of an arm whose remote centre software keeps stays in its trocar, on the stop from there too - or come no nearer than at `q1`, for an arm that the world moved into them.

use crate::{
    Classes, Finding, SafetyParams, Zone,
    body::Body,
    dofs::{Bounds, DT, N, PerArm, Q, Sides},
    filter::Rules,
    gate_shapes::{Obstacle, Part},
    scalar::{self, Axes, Corners, Lengths, V},
    serial::Serial,
    smooth::MAX_WINDOW,
    surface::{Dot, LiveScene, Policy},
    zones::MAX_ZONES,
};
use arrayvec::ArrayVec;
use nalgebra::Isometry3;
use proctor_types::{ArmId, Class, Constraint, Joints, Stamp};

/// Tolerance for rounding of second and third differences, relative.
const ROUNDING: f64 = 1e-6;
/// How far what is sent may be from the mean of what was decided, rad or m: rounding.
const MEAN: f64 = 1e-12;
/// A joint that is to count as slowed down does so by at least this part of its acceleration limit.
const SLOWS: f64 = 0.01;
/// Distances may fall short of their margin by so much, m: rounding, not room.
const SLACK: f64 = 1e-7;

/// A set-point for one arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SetPoint {
    /// Which arm.
    pub arm: ArmId,
    /// When it was issued.
    pub stamp: Stamp,
    /// Joints (rad; insertion m).
    pub position: Joints,
    /// Jaw angle, rad; `None` for an arm without one.
    pub jaw: Option<f64>,
}

/// Something the gate let through. Only the gate makes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cleared<T>(T);

impl<T> Cleared<T> {
    /// What was let through.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// Takes commands to an arm. It takes nothing that was not cleared.
pub trait ArmPort {
    /// Sends a set-point on.
    fn send(&mut self, command: &Cleared<SetPoint>);
}

/// One tick's command as the gate sees it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Which arm.
    pub arm: ArmId,
    /// When.
    pub stamp: Stamp,
    /// What is to be sent.
    pub q: &'a Q,
    /// What the filter decided.
    pub planned: &'a Q,
    /// Which rules hold.
    pub rules: &'a Rules,
    /// Tissue, if any was seen.
    pub scene: Option<&'a LiveScene>,
}

#[derive(Debug, Clone, Copy)]
struct Arm {
    bounds: Bounds,
    lengths: Lengths,
    radii: [f64; 3],
    jaw_length: f64,
    least_depth: f64,
    base: Axes,
    /// Set-points in the mean that is sent.
    window: usize,
    history: Option<History>,
}

/// What was let through, newest first.
#[derive(Debug, Clone, Copy)]
struct History {
    planned: [Q; MAX_WINDOW],
    sent: [Q; 3],
}

impl History {
    fn push(&mut self, planned: &Q, sent: &Q) {
        self.planned.rotate_right(1);
        self.sent.rotate_right(1);
        let ([first, ..], [last, ..]) = (&mut self.planned, &mut self.sent);
        (*first, *last) = (*planned, *sent);
    }
}

/// The gate with its own memory of what it let through.
#[derive(Debug)]
pub struct Gate {
    arms: PerArm<Arm>,
    zones: ArrayVec<Flat, MAX_ZONES>,
    tool_tool: f64,
    /// Per class: fastest tip, m/s, and largest force, N.
    bears: [Option<(f64, f64)>; Class::COUNT],
    /// 1/s.
    gain: f64,
    /// N.
    most_force: f64,
    /// The camera on the endoscope's tip, half angles of its picture, and how far inside that tips stay, m.
    mount: Axes,
    picture: (f64, f64),
    inside: f64,
    /// Whose tips the endoscope keeps in the picture: those that were in it when it last stood still, while they are.
    kept: PerArm<bool>,
}

/// A zone in the gate's form.
#[derive(Debug)]
pub(crate) struct Flat {
    shape: Obstacle,
    margin: f64,
    arms: [bool; 3],
}

pub(crate) fn axes(iso: &Isometry3<f64>) -> Axes {
    let m = iso.rotation.to_rotation_matrix();
    let axis = |i: usize| -> V {
        let c = m.matrix().column(i);
        [c.x, c.y, c.z]
    };
    let t = iso.translation.vector;
    Axes { x: axis(0), y: axis(1), z: axis(2), p: [t.x, t.y, t.z] }
}

pub(crate) fn lengths(body: &Body) -> Lengths {
    if let Some(rc) = body.remote_centre() {
        return Lengths::Serial(Serial::new(body.chain().rows(), rc.tolerance()));
    }
    body.chain().instrument().map_or(Lengths::Ecm, |i| Lengths::Psm {
        roll_d: i.roll_d,
        wrist_a: i.wrist_a,
        jaw: i.jaw_length,
    })
}

impl Flat {
    /// From a validated zone.
    pub fn new(z: &Zone) -> Self {
        Self { shape: Obstacle::new(&z.region), margin: z.margin, arms: ArmId::ALL.map(|a| z.holds_for(a)) }
    }
}

impl Gate {
    /// For these arms; nothing was sent yet.
    pub fn new(params: &SafetyParams, bodies: &PerArm<Body>, mount: &Isometry3<f64>) -> Self {
        let arm = |arm: ArmId| {
            let body = bodies.get(arm);
            let shape = body.shape(&[0.0; N]).map(|s| s.capsules).unwrap_or_default();
            let mut radii = [0.0; 3];
            radii.iter_mut().zip(&shape).for_each(|(r, c)| *r = c.radius);
            let bounds = Bounds::new(arm, body.chain().limits(), params);
            Arm {
                window: window(&bounds),
                bounds,
                lengths: lengths(body),
                radii,
                jaw_length: body.chain().instrument().map_or(0.0, |i| i.jaw_length),
                least_depth: if arm.has_jaw() { params.clearance.psm_depth } else { params.clearance.ecm_depth },
                base: axes(body.world_from_base()),
                history: None,
            }
        };
        Self {
            arms: PerArm::from_fn(arm),
            zones: params.zones.iter().take(MAX_ZONES).map(Flat::new).collect(),
            tool_tool: params.clearance.tool_tool,
            bears: bears(&params.classes),
            gain: params.motion.approach_gain,
            most_force: params.force.limit,
            mount: axes(mount),
            picture: (params.view.horizontal, params.view.vertical),
            inside: params.view.margin,
            kept: PerArm::default(),
        }
    }

    /// Moves an arm's base to where the filter believes it.
    pub fn place(&mut self, arm: ArmId, world_from_base: &Isometry3<f64>) {
        self.arms.get_mut(arm).base = axes(world_from_base);
    }

    /// Other zones hold from now on; the old ones are handed out in their place.
    pub(crate) fn swap_zones(&mut self, zones: &mut ArrayVec<Flat, MAX_ZONES>) {
        std::mem::swap(&mut self.zones, zones);
    }

    /// Other policies hold from now on.
    pub(crate) fn police(&mut self, classes: &Classes) {
        self.bears = bears(classes);
    }

    /// An arm rests at `q`: the next set-point is judged from there.
    pub fn rest_at(&mut self, arm: ArmId, q: &Q) {
        self.arms.get_mut(arm).history = Some(History { planned: [*q; MAX_WINDOW], sent: [*q; 3] });
    }

    /// An arm takes no commands: nothing passes until [`Gate::rest_at`].
    pub fn close(&mut self, arm: ArmId) {
        self.arms.get_mut(arm).history = None;
    }

    /// Judges a set-point; lets it through or says what is wrong with it.
    pub fn clear(&mut self, ask: &Question) -> Result<Cleared<SetPoint>, Finding> {
        let arm = ask.arm;
        let Some(mut history) = self.arms.get(arm).history else {
            return Err(Finding::of(arm, Constraint::WrongMode, 0.0, 1.0));
        };
        let [q1, q2, ..] = history.planned;
        if !arm.has_jaw() && *ask.planned != q1 {
            self.keep(ask, &q1, &q2);
        }
        let state = self.arms.get(arm);
        let braking = numbers(arm, &state.bounds, ask.planned, &q1, &q2)?;
        let [s1, s2, s3] = history.sent;
        numbers(arm, &state.bounds, ask.q, &s1, &s2)?;
        jerk(arm, &state.bounds, [ask.q, &s1, &s2, &s3])?;
        history.push(ask.planned, ask.q);
        mean(arm, ask.q, history.planned.get(..state.window).unwrap_or_default())?;
        if !braking && *ask.planned != q1 {
            self.geometry(ask, &q1)?;
        }
        let malformed = Finding::of(arm, Constraint::Malformed, 0.0, 0.0);
        let layout = &state.bounds.layout;
        let position = layout.joints(ask.q).ok_or(malformed)?;
        let jaw = layout.jaw.then(|| layout.jaw(ask.q));
        self.arms.get_mut(arm).history = Some(history);
        Ok(Cleared(SetPoint { arm, stamp: ask.stamp, position, jaw }))
    }

    fn geometry(&self, ask: &Question, q1: &Q) -> Result<(), Finding> {
        let a = self.arms.get(ask.arm);
        trocar(ask, a, q1)?;
        let (at, before) = (scalar::corners(a.base, &a.lengths, ask.planned), scalar::corners(a.base, &a.lengths, q1));
        let moved = scalar::norm(scalar::sub(at.tip, before.tip));
        let speed = moved.max(scalar::norm(scalar::sub(at.jaw_end, before.jaw_end))) / DT;
        if speed > ask.rules.tip_speed {
            return Err(Finding::of(ask.arm, Constraint::TipSpeed, speed, ask.rules.tip_speed));
        }
        if at.depth < a.least_depth - SLACK && at.depth < before.depth {
            return Err(Finding::of(ask.arm, Constraint::RemoteCentre, at.depth, a.least_depth));
        }
        let (now, then) = (Tool::new(&at, a, ask.planned), Tool::new(&before, a, q1));
        self.zones(ask, &now, &then)?;
        self.tools(ask, &now, &then)?;
        tissue(ask, &now, &then)?;
        self.slow(ask, speed, &now)?;
        self.pressing(ask, &at, &before, &then)?;
        self.picture(ask, [&at, &before], q1)
    }

    /// How near tissue of the class that bears least speed slows a tip that is so fast, m; not positive: nowhere.
    fn slows_from(&self, speed: f64) -> f64 {
        let slowest = self.bears.iter().flatten().map(|(speed, _)| *speed).fold(f64::INFINITY, f64::min);
        (speed - slowest) / self.gain
    }

    /// Near tissue the tip is slower.
    fn slow(&self, ask: &Question, speed: f64, now: &Tool) -> Result<(), Finding> {
        let Some(scene) = ask.scene else { return Ok(()) };
        let p = &ask.rules.policy;
        let reach = self.slows_from(speed);
        if reach <= 0.0 {
            return Ok(());
        }
        let may = |l: V, u: V| now.may_reach(l, u, reach + p.max_uncertainty + p.growth);
        for (leaf, dots) in scene.surface.leaves_where(may) {
            let class = usize::from(leaf.class.id());
            let Some((slowest, _)) = self.bears.get(class).copied().flatten().filter(|(s, _)| speed > *s) else {
                continue;
            };
            for dot in dots {
                let d = now.to_point(place(dot)) - kept(p, 0.0, dot.sigma);
                let limit = slowest + self.gain * d.max(0.0);
                if speed > limit * (1.0 + ROUNDING) {
                    return Err(Finding::of(ask.arm, Constraint::TissueSpeed, speed, limit).at(class));
                }
            }
        }
        Ok(())
    }

    /// Against a force that is too large already nothing goes.
    fn pressing(&self, ask: &Question, at: &Corners, before: &Corners, then: &Tool) -> Result<(), Finding> {
        let Some((force, _)) = ask.rules.force else { return Ok(()) };
        let force = [force.x, force.y, force.z];
        let (size, p) = (scalar::norm(force), &ask.rules.policy);
        let against = |a: V, b: V| -scalar::dot(scalar::sub(a, b), force) / size;
        let deeper = against(at.tip, before.tip).max(against(at.jaw_end, before.jaw_end));
        if size == 0.0 || deeper <= SLACK {
            return Ok(());
        }
        let mut least = (self.most_force, None);
        let may = |l: V, u: V| then.may_reach(l, u, p.max_uncertainty + p.growth);
        for (leaf, dots) in ask.scene.iter().flat_map(|s| s.surface.leaves_where(may)) {
            let class = usize::from(leaf.class.id());
            let Some((_, bearable)) = self.bears.get(class).copied().flatten() else { continue };
            let touched = |d: &Dot| then.to_point(place(d)) - kept(p, 0.0, d.sigma) <= 0.0;
            if bearable < least.0 && dots.iter().any(touched) {
                least = (bearable, Some(class));
            }
        }
        let (limit, class) = least;
        if size <= limit {
            return Ok(());
        }
        let finding = Finding::of(ask.arm, Constraint::Force, size, limit);
        Err(class.map_or(finding, |class| finding.at(class)))
    }

    /// How far inside the picture an instrument's tip is that is seen from `q`.
    fn inside(&self, q: &Q, tip: V) -> f64 {
        scalar::inside_picture(&scalar::camera(self.arms.ecm.base, q, &self.mount), self.picture, tip)
    }

    fn tip(&self, psm: ArmId) -> Option<V> {
        let a = self.arms.get(psm);
        let [theirs, ..] = a.history.as_ref()?.planned;
        Some(scalar::corners(a.base, &a.lengths, &theirs).tip)
    }

    /// Notes what an endoscope that moves by itself keeps in its picture. It stood still when `q1` and `q2` are one.
    fn keep(&mut self, ask: &Question, q1: &Q, q2: &Q) {
        for psm in ArmId::PSMS {
            let may = ask.rules.watched && (q1 == q2 || *self.kept.get(psm));
            *self.kept.get_mut(psm) = may && self.tip(psm).is_some_and(|tip| self.inside(q1, tip) >= 0.0);
        }
    }

    /// What moves by itself keeps in the picture what is in it, and an instrument that is not in it only comes back.
    fn picture(&self, ask: &Question, [at, before]: [&Corners; 2], q1: &Q) -> Result<(), Finding> {
        let Some(History { planned: [ecm, ..], .. }) = self.arms.ecm.history.filter(|_| ask.rules.watched) else {
            return Ok(());
        };
        let judge = |whose: ArmId, now: f64, then: f64| {
            if now < self.inside - SLACK && now < then {
                return Err(Finding::of(ask.arm, Constraint::OutOfView, now, self.inside).at(whose.index()));
            }
            Ok(())
        };
        if ask.arm.has_jaw() {
            return judge(ask.arm, self.inside(&ecm, at.tip), self.inside(&ecm, before.tip));
        }
        for psm in ArmId::PSMS.into_iter().filter(|psm| *self.kept.get(*psm)) {
            let Some(tip) = self.tip(psm) else { continue };
            judge(psm, self.inside(ask.planned, tip), self.inside(q1, tip))?;
        }
        Ok(())
    }

    fn zones(&self, ask: &Question, now: &Tool, then: &Tool) -> Result<(), Finding> {
        let p = &ask.rules.policy;
        let doubt = (p.sigmas * p.arm_variance.sqrt()).min(p.max_uncertainty);
        for (i, z) in self.zones.iter().enumerate() {
            if !z.arms.get(ask.arm.index()).copied().unwrap_or(true) {
                continue;
            }
            let limit = z.margin + doubt;
            let d = now.to_zone(&z.shape, limit);
            if d < limit - SLACK && d < then.to_zone(&z.shape, limit) {
                return Err(Finding::of(ask.arm, Constraint::NoGoZone, d, limit).at(i));
            }
        }
        Ok(())
    }

    fn tools(&self, ask: &Question, now: &Tool, then: &Tool) -> Result<(), Finding> {
        for other in ArmId::ALL.into_iter().filter(|o| *o != ask.arm) {
            let o = self.arms.get(other);
            let Some(History { planned: [theirs, ..], .. }) = o.history else { continue };
            let theirs = Tool::new(&scalar::corners(o.base, &o.lengths, &theirs), o, &theirs);
            let d = now.to_tool(&theirs);
            if d < self.tool_tool - SLACK && d < then.to_tool(&theirs) {
                return Err(Finding::of(ask.arm, Constraint::ToolToolDistance, d, self.tool_tool).at(other.index()));
            }
        }
        Ok(())
    }
}

/// Speed and force that each class bears.
fn bears(classes: &Classes) -> [Option<(f64, f64)>; Class::COUNT] {
    Class::ALL.map(|class| classes.of(class).map(|c| (c.speed, c.force)))
}

/// Rules 1 and 2. Returns whether the command brakes.
fn numbers(arm: ArmId, b: &Bounds, q: &Q, q1: &Q, q2: &Q) -> Result<bool, Finding> {
    let (mut braking, mut slows) = (true, false);
    let history = q.iter().zip(q1).zip(q2).enumerate();
    for ((j, ((&x, &x1), &x2)), (&lower, &upper)) in history.zip(b.lower.iter().zip(&b.upper)) {
        if !x.is_finite() {
            return Err(Finding::of(arm, Constraint::Malformed, f64::MAX, 0.0).at(j));
        }
        if (x < lower && x < x1) || (x > upper && x > x1) {
            let limit = if x < lower { lower } else { upper };
            return Err(Finding::of(arm, Constraint::JointPosition, x, limit).at(j));
        }
        let (v, v1) = ((x - x1) / DT, (x1 - x2) / DT);
        let a = (v - v1) / DT;
        beyond(arm, Constraint::JointVelocity, &b.velocity, j, v)?;
        beyond(arm, Constraint::JointAcceleration, &b.acceleration, j, a)?;
        // Rounding of differences of positions around 1 is about 2e-16; a velocity below 1e-12 is none.
        let no_faster = v.abs() <= v1.abs() + 1e-12;
        let turned = v.signum() != v1.signum() && v.abs() > 1e-12;
        braking &= no_faster && !turned;
        slows |= (v1.abs() - v.abs()) / DT > SLOWS * b.acceleration.towards(j, -v1);
    }
    Ok(braking && slows)
}

/// The shaft of an arm whose remote centre software keeps is in its trocar now, and on the stop from here at full deceleration.
fn trocar(ask: &Question, a: &Arm, q1: &Q) -> Result<(), Finding> {
    let Lengths::Serial(chain) = &a.lengths else { return Ok(()) };
    let mut ticks: f64 = 0.0;
    for (j, (x, x1)) in ask.planned.iter().zip(q1).enumerate() {
        ticks = ticks.max((x - x1).abs() / (DT * DT * a.bounds.acceleration.towards(j, x1 - x)));
    }
    let mut worst = chain.offset(ask.q);
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let mut there = *ask.planned;
        for ((slot, x), x1) in there.iter_mut().zip(ask.planned).zip(q1) {
            *slot += (x - x1) * part * ticks / 2.0;
        }
        let offset = chain.offset(&there);
        worst = if offset <= worst { worst } else { offset };
    }
    // Written so that NaN is refused too.
    if worst <= chain.tolerance {
        return Ok(());
    }
    Err(Finding::of(ask.arm, Constraint::TrocarOffset, worst, chain.tolerance))
}

/// Refuses a rate beyond its limit to its side.
fn beyond(arm: ArmId, constraint: Constraint, limits: &Sides, j: usize, rate: f64) -> Result<(), Finding> {
    let limit = limits.towards(j, rate);
    if rate.abs() > limit * (1.0 + ROUNDING) {
        return Err(Finding::of(arm, constraint, rate.abs(), limit).at(j));
    }
    Ok(())
}

/// The smallest window whose mean keeps the jerk, counted up.
fn window(b: &Bounds) -> usize {
    let keeps = |w: &usize| {
        let swings = b.acceleration.down.iter().zip(&b.acceleration.up).map(|(down, up)| down + up);
        let mut joints = swings.zip(b.jerk.down.iter().zip(&b.jerk.up)).filter(|(swing, _)| swing.is_finite());
        joints.all(|(swing, (&down, &up))| swing / DT <= *w as f64 * down.min(up) * (1.0 + ROUNDING))
    };
    (1..MAX_WINDOW).find(keeps).unwrap_or(MAX_WINDOW)
}

/// Rule 3, the jerk. Set-points newest first.
fn jerk(arm: ArmId, b: &Bounds, q: [&Q; 4]) -> Result<(), Finding> {
    let [q0, q1, q2, q3] = q.map(|q| q.iter());
    for (j, (((x, x1), x2), x3)) in q0.zip(q1).zip(q2).zip(q3).enumerate() {
        beyond(arm, Constraint::JointJerk, &b.jerk, j, (x - 3.0 * x1 + 3.0 * x2 - x3) / (DT * DT * DT))?;
    }
    Ok(())
}

/// Rule 3, the mean.
fn mean(arm: ArmId, q: &Q, planned: &[Q]) -> Result<(), Finding> {
    for (j, x) in q.iter().enumerate() {
        let sum: f64 = planned.iter().filter_map(|p| p.get(j)).sum();
        let off = (x - sum / planned.len() as f64).abs();
        if off.is_nan() || off > MEAN {
            return Err(Finding::of(arm, Constraint::Malformed, off, MEAN).at(j));
        }
    }
    Ok(())
}

/// An arm as three thick segments.
struct Tool {
    parts: [Part; 3],
    count: usize,
}

impl Tool {
    fn new(c: &Corners, arm: &Arm, q: &Q) -> Self {
        let [shaft, wrist, jaws] = arm.radii;
        let [.., opening] = *q;
        let (count, open) = match arm.lengths {
            Lengths::Serial { .. } => (1, 0.0),
            Lengths::Psm { .. } => (3, arm.jaw_length * (opening.abs() / 2.0).min(1.57).sin()),
            Lengths::Ecm => (1, 0.0),
        };
        Self { parts: [(c.pivot, c.wrist, shaft), (c.wrist, c.tip, wrist), (c.tip, c.jaw_end, jaws + open)], count }
    }

    fn each(&self) -> impl Iterator<Item = &(V, V, f64)> {
        self.parts.iter().take(self.count)
    }

    /// Exact below `reach`.
    fn to_zone(&self, shape: &Obstacle, reach: f64) -> f64 {
        shape.distance(self.parts.get(..self.count).unwrap_or_default(), reach)
    }

    fn to_tool(&self, other: &Self) -> f64 {
        let pairs = self.each().flat_map(|x| other.each().map(move |y| (x, y)));
        let gap = |(&(a, b, r), &(c, d, s)): (&(V, V, f64), &(V, V, f64))| scalar::segment_segment(a, b, c, d) - r - s;
        pairs.map(gap).fold(f64::INFINITY, f64::min)
    }

    fn to_point(&self, p: V) -> f64 {
        self.each().map(|&(a, b, r)| scalar::point_segment(p, a, b) - r).fold(f64::INFINITY, f64::min)
    }

    /// Whether any part may come within `reach` of the box from `lower` to `upper`: its box, grown by that, meets it, and its axis passes near
    /// enough to the ball around it.
    fn may_reach(&self, lower: V, upper: V, reach: f64) -> bool {
        let center = scalar::scale(scalar::add(lower, upper), 0.5);
        let radius = scalar::norm(scalar::sub(upper, lower)) / 2.0 + SLACK;
        self.each().any(|&(a, b, r)| {
            let axes = a.iter().zip(&b).zip(lower.iter().zip(&upper));
            let boxes = axes.into_iter().all(|((&a, &b), (&l, &u))| {
                let grow = r + reach;
                a.min(b) - grow <= u && a.max(b) + grow >= l
            });
            boxes && scalar::point_segment(center, a, b) <= radius + r + reach
        })
    }
}

fn place(dot: &Dot) -> V {
    [dot.position.x, dot.position.y, dot.position.z]
}

/// What a policy keeps from a point of this standard deviation, worked out here once more.
fn kept(p: &Policy, keep: f64, sigma: f64) -> f64 {
    let doubt = p.sigmas * (sigma.powi(2) + p.arm_variance).sqrt();
    keep + if doubt > p.max_uncertainty { p.max_uncertainty } else { doubt } + p.growth
}

fn tissue(ask: &Question, now: &Tool, then: &Tool) -> Result<(), Finding> {
    let Some(scene) = ask.scene else { return Ok(()) };
    let p = &ask.rules.policy;
    // Nearest shortfall per class before and now: moving along a surface brings other points near, which is no approach.
    let mut approached = [None; Class::COUNT];
    let most = p.keep.iter().flatten().fold(f64::NEG_INFINITY, |most, keep| most.max(*keep));
    let may = |l: V, u: V| now.may_reach(l, u, most + p.max_uncertainty + p.growth);
    for (leaf, dots) in scene.surface.leaves_where(may) {
        let class = usize::from(leaf.class.id());
        let open = approached.get_mut(class).filter(|a| **a != Some(false));
        let (Some(keep), Some(approached)) = (p.keep.get(class).copied().flatten(), open) else { continue };
        for dot in dots {
            let at = place(dot);
            let (d, limit) = (now.to_point(at), kept(p, keep, dot.sigma));
            if d >= limit - SLACK {
                continue;
            }
            let before = then.to_point(at);
            if d < before {
                let nearest = |tool: &Tool| shortfall(scene, class, keep, p, tool, dot);
                if *approached.get_or_insert_with(|| nearest(now) < nearest(then)) {
                    return Err(Finding::of(ask.arm, Constraint::LiveSurface, d, limit).at(class));
                }
            }
        }
    }
    Ok(())
}

/// Smallest distance less what is kept, over all points of a class, of which `one` is one.
fn shortfall(scene: &LiveScene, class: usize, keep: f64, p: &Policy, tool: &Tool, one: &Dot) -> f64 {
    let room = |dot: &Dot| tool.to_point(place(dot)) - kept(p, keep, dot.sigma);
    let known = room(one);
    let may = |l: V, u: V| tool.may_reach(l, u, known + keep + p.max_uncertainty + p.growth);
    let mine = scene.surface.leaves_where(may).filter(|(l, _)| usize::from(l.class.id()) == class);
    mine.flat_map(|(_, dots)| dots).map(room).fold(known, f64::min)
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod gate_tests;
