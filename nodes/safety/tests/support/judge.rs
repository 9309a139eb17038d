//! An independent judge of what was sent to the arms: finite differences, and distances by brute force with other arithmetic than
//! filter and gate use. It knows limits and margins (data), and nothing of how they are kept.

use super::{chain, lean7};
use nalgebra::{Isometry3, Point3, Vector3};
use proctor_kinematics::{Cell, Chain};
use proctor_safety::{Classes, PerArm, Rotation, SafetyParams, SetPoint, Touch, Zone, ZoneShape, mesh::Mesh};
use proctor_types::{ArmId, Class, SurfacePoint};
use std::collections::VecDeque;

/// Distances may fall short, m, by rounding, and by how much the mean of a few neighbouring set-points lies off their way.
const TOLERANCE: f64 = 1e-7;
/// Going deeper by less than this in a tick is going aside, m.
const ASIDE: f64 = 3e-6;
/// After the world changed, a stop may take so many ticks.
const STOP: u64 = 600;
/// And so many until its deceleration is built up, or to run out after it: the jerk is limited, what is sent is a mean over 8 ticks.
const ONSET: u64 = 10;
/// Set-points that the mean is taken of.
const MEAN: usize = 8;
/// How far a distance may fall in a tick while a stop runs out, m: 8 ticks of 6 rad/s^2 on a lever of 0.25 m.
const RUN_OUT: f64 = 1.2e-5;

/// A thick segment in the world.
type Part = (Point3<f64>, Point3<f64>, f64);

pub struct Judge {
    params: SafetyParams,
    chains: PerArm<Chain>,
    pub bases: PerArm<Isometry3<f64>>,
    pub tissue: Vec<SurfacePoint>,
    history: PerArm<VecDeque<[f64; 7]>>,
    last_tick: PerArm<u64>,
    /// When the arm last slowed down in every joint.
    last_braking: PerArm<u64>,
    /// When something in the world last changed without the arms.
    pub world_changed: u64,
    /// What the arms measure, along their bases' axes, N.
    pub force: PerArm<Option<Vector3<f64>>>,
    /// When an arm last did not go deeper against a force that is too large.
    bearable: PerArm<u64>,
    /// The camera on the endoscope's tip.
    mount: Isometry3<f64>,
    /// Whose tips were in the picture when the endoscope last stood still, and have been since.
    kept: PerArm<bool>,
    pub found: Vec<String>,
    pub judged: u64,
}

/// Whether a speed, m/s, falls in a tick as a stop makes it fall, not as one that only creeps down.
fn eases(before: f64, now: f64) -> bool {
    before - now >= (0.02 * before).min(5e-4) && before > 0.0
}

/// How much farther than its margin something is, beyond this, m, makes no difference to any judgement.
const CLEAR: f64 = 1e-3;

fn full(s: &SetPoint) -> [f64; 7] {
    let mut q = [0.0; 7];
    q[..s.position.len()].copy_from_slice(&s.position);
    q[6] = s.jaw.unwrap_or(q[6]);
    q
}

/// Smallest value of a convex function on [0, 1] by golden sections.
fn least(f: impl Fn(f64) -> f64) -> f64 {
    let g = 0.618_033_988_749_894_9;
    let (mut a, mut b) = (0.0, 1.0);
    let (mut x, mut y) = (b - g * (b - a), a + g * (b - a));
    let (mut fx, mut fy) = (f(x), f(y));
    for _ in 0..60 {
        if fx < fy {
            (b, y, fy) = (y, x, fx);
            x = b - g * (b - a);
            fx = f(x);
        } else {
            (a, x, fx) = (x, y, fy);
            y = a + g * (b - a);
            fy = f(y);
        }
    }
    f(0.0).min(f(1.0)).min(fx).min(fy)
}

fn to_point(a: &Point3<f64>, b: &Point3<f64>, p: &Point3<f64>) -> f64 {
    // |p - line| by the cross product, unless the foot lies outside.
    let (ab, ap, bp) = (b - a, p - a, p - b);
    if ab.norm() < 1e-12 || ap.dot(&ab) <= 0.0 {
        ap.norm()
    } else if bp.dot(&ab) >= 0.0 {
        bp.norm()
    } else {
        ab.cross(&ap).norm() / ab.norm()
    }
}

fn to_segment(a: &Point3<f64>, b: &Point3<f64>, c: &Point3<f64>, d: &Point3<f64>) -> f64 {
    least(|s| to_point(c, d, &(a + (b - a) * s)))
}

/// Distance of a segment from a box, negative inside, or from triangles, 0 through them: convex along the segment.
fn to_box(a: &Point3<f64>, b: &Point3<f64>, center: [f64; 3], size: [f64; 3], rpy: [f64; 3]) -> f64 {
    let [roll, pitch, yaw] = rpy;
    let world_from_box = Isometry3::from_parts(
        nalgebra::Translation3::from(center),
        nalgebra::UnitQuaternion::from_euler_angles(roll, pitch, yaw),
    );
    least(|s| {
        let p = world_from_box.inverse_transform_point(&(a + (b - a) * s)).coords;
        let over = p.abs() - Vector3::from(size) / 2.0;
        if over.max() > 0.0 { over.sup(&Vector3::zeros()).norm() } else { over.max() }
    })
}

fn to_triangle(a: &Point3<f64>, b: &Point3<f64>, corners: [[f32; 3]; 3]) -> f64 {
    let [p, q, r] = corners.map(|c| Point3::from(c).cast::<f64>());
    let n = (q - p).cross(&(r - p)).normalize();
    least(|s| {
        let x = a + (b - a) * s;
        let foot = x - n * n.dot(&(x - p));
        let beside = |u: Point3<f64>, v: Point3<f64>| (v - u).cross(&(foot - u)).dot(&n) >= 0.0;
        let edges = to_point(&p, &q, &x).min(to_point(&q, &r, &x)).min(to_point(&r, &p, &x));
        if beside(p, q) && beside(q, r) && beside(r, p) { n.dot(&(x - p)).abs().min(edges) } else { edges }
    })
}

/// How much of an arm's axis lies beyond where it first passes through a mesh, m, if it does: Moeller and Trumbore's test, triangle by
/// triangle.
fn beyond(parts: &[Part], mesh: &Mesh) -> Option<f64> {
    let whole: f64 = parts.iter().map(|(a, b, _)| (b - a).norm()).sum();
    let mut before = 0.0;
    for (a, b, _) in parts {
        let way = b - a;
        let crossing = |t: &[[f32; 3]; 3]| {
            let [p, q, r] = t.map(|corner| Point3::from(corner).cast::<f64>());
            let (e1, e2) = (q - p, r - p);
            let across = way.cross(&e2);
            let det = e1.dot(&across);
            let from = a - p;
            let u = from.dot(&across) / det;
            let turned = from.cross(&e1);
            let (v, s) = (way.dot(&turned) / det, e2.dot(&turned) / det);
            (u >= 0.0 && v >= 0.0 && u + v <= 1.0 && (0.0..=1.0).contains(&s)).then_some(s)
        };
        if let Some(s) = mesh.triangles().iter().filter_map(crossing).min_by(f64::total_cmp) {
            return Some(whole - before - s * way.norm());
        }
        before += way.norm();
    }
    None
}

impl Judge {
    pub fn new(params: &SafetyParams, tissue: Vec<SurfacePoint>) -> Self {
        let cell = Cell::standard().unwrap();
        Self {
            params: params.clone(),
            chains: PerArm::from_fn(|arm| chain(params, arm)),
            bases: PerArm::from_fn(|arm| *cell.world_from_base(arm).iso()),
            tissue,
            history: PerArm::default(),
            last_tick: PerArm::default(),
            last_braking: PerArm::default(),
            world_changed: 0,
            force: PerArm::default(),
            bearable: PerArm::default(),
            mount: *cell.tip_from_camera().iso(),
            kept: PerArm::default(),
            found: Vec::new(),
            judged: 0,
        }
    }

    /// The zones and policies it judges by.
    pub fn rules(&self) -> (&[Zone], &Classes) {
        (&self.params.zones, &self.params.classes)
    }

    /// Other zones and policies hold; a stop may have to follow.
    pub fn rezone(&mut self, tick: u64, zones: Vec<Zone>, classes: &Classes) {
        (self.params.zones, self.params.classes) = (zones, *classes);
        self.world_changed = tick;
    }

    fn parts(&self, arm: ArmId, q: &[f64; 7]) -> (Vec<Part>, [Point3<f64>; 2], f64) {
        let chain = self.chains.get(arm);
        let links = chain.links(&q[..chain.dof()]).unwrap();
        let base = self.bases.get(arm);
        let at = |i: &Isometry3<f64>| base * Point3::from(i.translation.vector);
        let pivot = base * Point3::origin();
        let end = base * links.jaw_end;
        let capsules = chain.capsules(&q[..chain.dof()]).unwrap();
        let radius = |i: usize| capsules[i].radius;
        let parts = match chain.instrument() {
            None => vec![(pivot, at(&links.tip), radius(0))],
            Some(i) => vec![
                (pivot, at(&links.shaft), radius(0)),
                (at(&links.shaft), at(&links.jaw), radius(1)),
                (at(&links.jaw), end, radius(2) + i.jaw_length * (q[6] / 2.0).abs().sin()),
            ],
        };
        let shaft = links.shaft.translation.vector;
        let depth = shaft.dot(&(links.shaft.rotation * Vector3::z()));
        (parts, [at(&links.tip), end], depth)
    }

    fn keep(&self, arm: ArmId, class: Class, supervised: bool) -> Option<f64> {
        let policy = self.params.classes.of(class)?;
        let touch = match (arm, supervised) {
            (ArmId::Ecm, _) => policy.endoscope,
            (_, true) => policy.retract,
            (_, false) => policy.teleop,
        };
        match touch {
            Touch::Contact => None,
            Touch::Keep(d) => Some(d),
        }
    }

    /// Whether a distance to a mesh, which falls now, is no less than when the oldest set-point was sent that the mean is taken of. How deep an arm is
    /// in a mesh bends and jumps where its axis leaves one triangle for another, and the mean lies beside the way that was decided: on its way out
    /// it may fall, but not for longer than the mean lasts.
    fn lags(&self, arm: ArmId, name: &str, h: f64, supervised: bool) -> bool {
        let mesh = |z: &Zone| matches!(z.region, ZoneShape::Mesh(_)) && name.strip_prefix("zone ") == Some(&z.name);
        let oldest = self.history.get(arm).get(MEAN - 1).filter(|_| self.params.zones.iter().any(mesh));
        oldest.is_some_and(|q| {
            self.clearances(arm, q, supervised).iter().any(|(n, then)| n == name && h >= then - TOLERANCE)
        })
    }

    /// Distance less margin to everything that must be kept clear, by name. Doubt is left out: it only adds.
    fn clearances(&self, arm: ArmId, q: &[f64; 7], supervised: bool) -> Vec<(String, f64)> {
        let (parts, _, depth) = self.parts(arm, q);
        let c = &self.params.clearance;
        let mut all = vec![("depth".to_owned(), depth - if arm.has_jaw() { c.psm_depth } else { c.ecm_depth })];
        for z in self.params.zones.iter().filter(|z| z.arms.is_empty() || z.arms.contains(&arm)) {
            if let ZoneShape::Mesh(mesh) = &z.region
                && let Some(beyond) = beyond(&parts, mesh)
            {
                let thickest = parts.iter().map(|(_, _, r)| *r).fold(0.0, f64::max);
                all.push((format!("zone {}", z.name), -thickest - beyond - z.margin));
                continue;
            }
            let d = parts.iter().map(|(a, b, r)| match &z.region {
                ZoneShape::HalfSpace { point, normal } => {
                    let (p, n) = (Point3::from(*point), Vector3::from(*normal).normalize());
                    (a - p).dot(&n).min((b - p).dot(&n)) - r
                }
                ZoneShape::Sphere { center, radius } => to_point(a, b, &(*center).into()) - r - radius,
                ZoneShape::Capsule { a: u, b: v, radius } => to_segment(a, b, &(*u).into(), &(*v).into()) - r - radius,
                ZoneShape::Box { center, size, rotation: Rotation::Rpy(rpy) } => {
                    let ball = to_point(a, b, &(*center).into()) - Vector3::from(*size).norm() / 2.0 - r;
                    if ball > z.margin + CLEAR { ball } else { to_box(a, b, *center, *size, *rpy) - r }
                }
                ZoneShape::Box { .. } => panic!("the judge knows boxes by roll, pitch and yaw"),
                ZoneShape::Mesh(mesh) => {
                    // A triangle lies within its longest edge of its first corner.
                    let nearest = mesh.triangles().iter().fold(r + z.margin + CLEAR, |best, t| {
                        let [p, q, r] = t.map(|corner| Point3::from(corner).cast::<f64>());
                        let bound = to_point(a, b, &p) - (q - p).norm().max((r - p).norm());
                        if bound < best { best.min(to_triangle(a, b, *t)) } else { best }
                    });
                    nearest - r
                }
            });
            all.push((format!("zone {}", z.name), d.fold(f64::INFINITY, f64::min) - z.margin));
        }
        for class in Class::ALL {
            let Some(keep) = self.keep(arm, class, supervised) else { continue };
            let mine = self.tissue.iter().filter(|p| p.class == class);
            let d = mine.flat_map(|p| parts.iter().map(move |(a, b, r)| to_point(a, b, &p.position) - r));
            all.push((format!("tissue {}", class.name()), d.fold(f64::INFINITY, f64::min) - keep));
        }
        for other in ArmId::ALL.into_iter().filter(|o| *o != arm) {
            let Some(theirs) = self.history.get(other).front() else { continue };
            let theirs = self.parts(other, theirs).0;
            let pair = |(a, b, r): &Part, (u, v, s): &Part| {
                // Balls around both first.
                let apart = nalgebra::center(a, b) - nalgebra::center(u, v);
                let balls = apart.norm() - f64::midpoint((b - a).norm(), (v - u).norm()) - r - s;
                if balls > c.tool_tool + CLEAR { balls } else { to_segment(a, b, u, v) - r - s }
            };
            let d = parts.iter().flat_map(|mine| theirs.iter().map(move |their| pair(mine, their)));
            all.push((format!("arm {other}"), d.fold(f64::INFINITY, f64::min) - c.tool_tool));
        }
        all
    }

    /// Smallest distance from each class of tissue, m.
    fn near(&self, arm: ArmId, q: &[f64; 7]) -> Vec<(Class, f64)> {
        let (parts, ..) = self.parts(arm, q);
        let d = |p: &SurfacePoint| {
            parts.iter().map(|(a, b, r)| to_point(a, b, &p.position) - r).fold(f64::INFINITY, f64::min)
        };
        let each = |class| self.tissue.iter().filter(|p| p.class == class).map(d).fold(f64::INFINITY, f64::min);
        Class::ALL.into_iter().filter(|c| self.params.classes.of(*c).is_some()).map(|c| (c, each(c))).collect()
    }

    /// How much of the most that an arm may press where it touches it presses.
    fn load(&self, arm: ArmId, q: &[f64; 7]) -> f64 {
        let Some(force) = self.force.get(arm) else { return 0.0 };
        let touched = self.near(arm, q).into_iter().filter(|(_, d)| *d <= 0.0);
        let bearable = touched.map(|(c, _)| self.params.classes.of(c).unwrap().force);
        force.norm() / bearable.fold(self.params.force.limit, f64::min)
    }

    /// How far the ends of the jaws went against the force in a tick, m.
    fn deeper(&self, arm: ArmId, q: &[f64; 7], q1: &[f64; 7]) -> f64 {
        let Some(force) = self.force.get(arm).filter(|f| f.norm() > 0.0) else { return 0.0 };
        let against = -(self.bases.get(arm).rotation * force).normalize();
        let ((_, now, _), (_, then, _)) = (self.parts(arm, q), self.parts(arm, q1));
        (0..2).map(|i| (now[i] - then[i]).dot(&against)).fold(0.0, f64::max)
    }

    /// Notes whether an arm may go on as it does: it presses no more than it may, or goes no deeper.
    fn feel(&mut self, arm: ArmId, q: &[f64; 7], q1: &[f64; 7], tick: u64) {
        let light = self.force.get(arm).is_none_or(|f| f.norm() <= 0.5);
        if light || self.deeper(arm, q, q1) <= ASIDE || self.load(arm, q) <= 1.0 {
            *self.bearable.get_mut(arm) = tick;
        }
    }

    /// Too fast near tissue, or deeper against a force that is too large. Both hold for an arm that does not brake: a stop may have begun
    /// when the world was another. What is sent is a mean of what was decided, so while a stop passes into a motion that is allowed, a
    /// joint may gain speed of which the tip keeps losing.
    fn touch(&self, arm: ArmId, q: &[f64; 7], q1: &[f64; 7], q2: &[f64; 7], tick: u64) -> Vec<String> {
        let ((_, now, _), (_, then, _), (_, before, _)) =
            (self.parts(arm, q), self.parts(arm, q1), self.parts(arm, q2));
        let fastest = |a: &[Point3<f64>; 2], b: &[Point3<f64>; 2]| {
            (0..2).map(|i| (a[i] - b[i]).norm() / 1e-3).fold(0.0, f64::max)
        };
        let (speed, speed1) = (fastest(&now, &then), fastest(&then, &before));
        let mut found = Vec::new();
        let slowest = Class::ALL.iter().filter_map(|c| self.params.classes.of(*c)).map(|p| p.speed);
        if tick - self.world_changed > ONSET && !eases(speed1, speed) && speed > slowest.fold(f64::INFINITY, f64::min) {
            for (class, d) in self.near(arm, q) {
                let limit =
                    self.params.classes.of(class).unwrap().speed + self.params.motion.approach_gain * d.max(0.0);
                if speed > limit {
                    found.push(format!("tip at {speed} m/s {d} m from {}, limit {limit}", class.name()));
                }
            }
        }
        let (deeper, deeper1) = (self.deeper(arm, q, q1), self.deeper(arm, q1, q2));
        if tick - self.bearable.get(arm) > 2 * ONSET && !eases(deeper1 / 1e-3, deeper / 1e-3) {
            found.push(format!("goes {deeper} m deeper at a load of {}", self.load(arm, q)));
        }
        found
    }

    /// How far a tip is outside the nearest side of what the camera sees, by its angles, m.
    fn off(&self, ecm: &[f64; 7], tip: &Point3<f64>) -> f64 {
        let scope = self.chains.ecm.links(&ecm[..4]).unwrap().tip;
        let seen = (self.bases.ecm * scope * self.mount).inverse_transform_point(tip);
        let v = &self.params.view;
        let beyond = |x: f64, half: f64| x.hypot(seen.z) * (x.atan2(seen.z) - half).sin();
        beyond(seen.x.abs(), v.horizontal).max(beyond(seen.y.abs(), v.vertical))
    }

    /// Notes what the endoscope at `q1` has to keep in the picture from here on.
    fn watch(&mut self, q1: &[f64; 7], supervised: bool, still: bool) {
        for psm in ArmId::PSMS {
            let tip = self.history.get(psm).front().map(|theirs| self.parts(psm, theirs).1[0]);
            let may = supervised && (still || *self.kept.get(psm));
            *self.kept.get_mut(psm) = may && tip.is_some_and(|tip| self.off(q1, &tip) <= 0.0);
        }
    }

    /// Instruments that leave the picture.
    fn out_of_view(&self, arm: ArmId, q: &[f64; 7], q1: &[f64; 7], stopping: impl Fn(f64) -> bool) -> Vec<String> {
        let Some(ecm) = self.history.ecm.front() else { return Vec::new() };
        let mut found = Vec::new();
        let mut judge = |whose: ArmId, now: f64, then: f64| {
            if now > 1e-6 && now > then + 1e-9 && !stopping(now - then) {
                found.push(format!("the tip of {whose} leaves the picture by {now} m, {then} before"));
            }
        };
        if arm.has_jaw() {
            judge(arm, self.off(ecm, &self.parts(arm, q).1[0]), self.off(ecm, &self.parts(arm, q1).1[0]));
        } else {
            for psm in ArmId::PSMS.into_iter().filter(|psm| *self.kept.get(*psm)) {
                let Some(theirs) = self.history.get(psm).front() else { continue };
                let tip = self.parts(psm, theirs).1[0];
                judge(psm, self.off(q, &tip), self.off(q1, &tip));
            }
        }
        found
    }

    /// Judges one set-point for an arm that was at `from`. `geometry`: also by distances (dear: about a millisecond).
    pub fn judge(&mut self, tick: u64, s: &SetPoint, from: &[f64; 7], supervised: bool, geometry: bool) {
        self.judged += 1;
        let arm = s.arm;
        let q = full(s);
        let mut found = Vec::new();
        // A pause in the commands: the arm stood still.
        if *self.last_tick.get(arm) + 1 != tick {
            self.history.get_mut(arm).clear();
            *self.bearable.get_mut(arm) = tick;
        }
        *self.last_tick.get_mut(arm) = tick;
        let limits = *self.chains.get(arm).limits();
        let (dof, jaw) = (self.chains.get(arm).dof(), self.chains.get(arm).instrument().is_some());
        let rows = dof + usize::from(jaw);
        found.extend(lean7::beside_the_trocar(self.chains.get(arm), &q));
        let (mut braking, mut still) = (true, true);
        let history = self.history.get(arm);
        for j in 0..rows {
            let k = if j < dof { j } else { 6 };
            let jaw = limits.jaw;
            let (mut lower, mut upper, v_max, a_max, j_max) = if j < dof {
                (limits.lower[j], limits.upper[j], limits.velocity[j], limits.acceleration[j], limits.jerk[j])
            } else {
                (jaw.lower, jaw.upper, jaw.velocity, jaw.acceleration, jaw.jerk)
            };
            let [mut v_max, mut a_max, mut j_max] = [v_max, a_max, j_max].map(|x| [x, x]);
            for n in self.params.limits.iter().filter(|n| n.arm == arm && n.joint == k) {
                let [least, most] = n.position.unwrap_or([lower, upper]);
                (lower, upper) = (lower.max(least), upper.min(most));
                for (sides, narrow) in [(&mut v_max, n.velocity), (&mut a_max, n.acceleration), (&mut j_max, n.jerk)] {
                    let narrow = narrow.unwrap_or(*sides);
                    *sides = [sides[0].min(narrow[0]), sides[1].min(narrow[1])];
                }
            }
            let over =
                |x: f64, sides: [f64; 2], rounding: f64| x.abs() > sides[usize::from(x > 0.0)] * (1.0 + rounding);
            if !(q[k] >= lower - 1e-12 && q[k] <= upper + 1e-12) {
                found.push(format!("joint {j} at {} outside [{lower}, {upper}]", q[k]));
            }
            let q1 = history.front().map_or(q[k], |h| h[k]);
            let q2 = history.get(1).map_or(q1, |h| h[k]);
            let (v, v1) = ((q[k] - q1) / 1e-3, (q1 - q2) / 1e-3);
            if over(v, v_max, 1e-9) {
                found.push(format!("joint {j} at speed {v}, limit {v_max:?}"));
            }
            // The first commands after a pause: what came before is not known here, only that the arm stood still.
            let started = history.len() >= 2;
            if started && over((v - v1) / 1e-3, a_max, 1e-6) {
                found.push(format!("joint {j} accelerates by {}, limit {a_max:?}", (v - v1) / 1e-3));
            }
            let q3 = history.get(2).map_or(q2, |h| h[k]);
            let jerk = ((q[k] - q3) - 3.0 * (q1 - q2)) / 1e-9;
            if history.len() >= 3 && over(jerk, j_max, 1e-5) {
                found.push(format!("joint {j} jerks by {jerk}, limit {j_max:?}"));
            }
            if history.is_empty() && j < dof && (q[k] - from[k]).abs() > if limits.slides[j] { 0.003 } else { 0.03 } {
                found.push(format!("joint {j} starts at {}, the arm is at {}", q[k], from[k]));
            }
            braking &= v.abs() <= v1.abs() + 1e-10;
            still &= v == 0.0;
        }
        let q1 = history.front().copied();
        self.feel(arm, &q, &q1.unwrap_or(q), tick);
        if !arm.has_jaw() {
            self.watch(&q1.unwrap_or(q), supervised, still);
        }
        // Joints of an arm whose mechanism does not hold it have longer levers.
        let levers = if self.chains.get(arm).home().is_some() { 10.0 } else { 1.0 };
        let runs_out = tick - *self.last_braking.get(arm) < ONSET;
        let since = tick.saturating_sub(self.world_changed);
        // Whether a distance may fall by so much because a stop had to follow a change of the world.
        let stopping = |fell: f64| since < ONSET || (since < STOP && (braking || runs_out && fell < levers * RUN_OUT));
        if let (Some(q1), true) = (q1, geometry && !still) {
            let (_, tips, _) = self.parts(arm, &q);
            let (_, before, _) = self.parts(arm, &q1);
            let speed = tips.iter().zip(&before).map(|(a, b)| (a - b).norm() / 1e-3).fold(0.0, f64::max);
            let m = &self.params.motion;
            let limit = if supervised { m.tip_speed_supervised } else { m.tip_speed_teleop };
            if speed > limit {
                found.push(format!("tip at {speed} m/s, limit {limit}"));
            }
            if !braking {
                let q2 = *self.history.get(arm).get(1).unwrap_or(&q1);
                found.extend(self.touch(arm, &q, &q1, &q2, tick));
            }
            if supervised {
                found.extend(self.out_of_view(arm, &q, &q1, stopping));
            }
            let now = self.clearances(arm, &q, supervised);
            let near = now.iter().any(|(_, h)| *h < -TOLERANCE);
            let then = if near { self.clearances(arm, &q1, supervised) } else { Vec::new() };
            for ((name, h), (_, h1)) in now.into_iter().zip(then) {
                let breaks = h < -TOLERANCE && h < h1 - TOLERANCE;
                if breaks && !stopping(h1 - h) && !self.lags(arm, &name, h, supervised) {
                    found.push(format!("{name}: {h} m beyond its margin, {h1} before"));
                }
            }
        }
        if braking && !still {
            *self.last_braking.get_mut(arm) = tick;
        }
        let history = self.history.get_mut(arm);
        history.push_front(q);
        history.truncate(MEAN);
        self.found.extend(found.into_iter().map(|f| format!("tick {tick} {arm}: {f}")));
    }
}
