//! The program that the bender writes, against numerical differences of what its rows stand for, second formulas of its bounds and costs,
//! and brute force over the corners of its bounds and over places within them.

use super::*;
use crate::{
    SafetyParams, Zone, ZoneShape,
    body::Shape,
    dofs::map2,
    surface::Policy,
    zones::{Rotation, mesh::Mesh},
};
use nalgebra::{Translation3, UnitQuaternion};
use proctor_types::SurfacePoint;
use std::collections::BTreeMap;

const PSM1: ArmId = ArmId::Psm1;
const PSM2: ArmId = ArmId::Psm2;
/// Step of the differences here.
const EPS: f64 = 1e-6;

/// Weyl sequence in [-1, 1]: the same on every run.
fn w(i: usize, k: f64) -> f64 {
    2.0 * ((i as f64 + 1.0) * 0.618_033_988_749_894_9 * (k + 1.3)).fract() - 1.0
}

fn direction(i: usize, k: f64) -> Vector3<f64> {
    Vector3::new(w(i, k), w(i, k + 0.37), w(i, k + 0.71)).try_normalize(1e-3).unwrap_or_else(Vector3::x)
}

/// Arms close to each other, to zones and to tissue, some of them with wishes.
struct World {
    bodies: PerArm<Body>,
    bounds: PerArm<Bounds>,
    zones: Vec<Keepout>,
    points: Vec<SurfacePoint>,
    surface: Surface,
    vicinity: PerArm<Vicinity>,
    states: PerArm<Option<MotionState>>,
    wishes: PerArm<Option<Wish>>,
    settled: PerArm<Option<Q>>,
    least_depth: PerArm<f64>,
}

const TOOL_TOOL: f64 = 0.002;

fn policy() -> Policy {
    let mut keep = [Some(0.002); Class::COUNT];
    keep[usize::from(Class::Gallbladder.id())] = None;
    keep[usize::from(Class::CysticArtery.id())] = Some(0.004);
    Policy { keep, sigmas: 2.0, arm_variance: 1e-8, max_uncertainty: 0.004, growth: 0.0003 }
}

fn zone(margin: f64, arms: &[ArmId], region: ZoneShape) -> Keepout {
    Keepout::new(&Zone { name: "z".into(), margin, arms: arms.to_vec(), region })
}

impl World {
    /// With nothing in it but arms that rest at home in mid-range. `seven`: PSM2 is an arm of seven joints.
    fn empty(seven: bool) -> Self {
        let mut params = SafetyParams { zones: Vec::new(), ..SafetyParams::default() };
        if seven {
            params.instruments[1] = "LEAN7_PROBE".into();
        }
        let bodies = PerArm::try_from_fn(|arm| Body::configured(arm, &params)).unwrap();
        let bounds = PerArm::from_fn(|arm| Bounds::new(arm, bodies.get(arm).chain().limits(), &params));
        let states = PerArm::from_fn(|arm| {
            let mut q = [0.1, -0.05, 0.16, 0.2, 0.15, -0.1, 0.4];
            if let Some(home) = bodies.get(arm).chain().home() {
                q.iter_mut().zip(home.iter()).for_each(|(slot, x)| *slot = *x);
            } else if arm == ArmId::Ecm {
                q[4..].fill(0.0);
            }
            Some(MotionState::resting(q))
        });
        Self {
            bodies,
            bounds,
            zones: Vec::new(),
            points: Vec::new(),
            surface: Surface::new(&[]),
            vicinity: PerArm::default(),
            states,
            wishes: PerArm::default(),
            settled: PerArm::default(),
            least_depth: PerArm { psm1: 0.012, psm2: 0.013, ecm: 0.014 },
        }
    }

    fn random(i: usize) -> Self {
        let mut world = Self::empty(i % 4 == 3);
        for (a, arm) in ArmId::ALL.into_iter().enumerate() {
            let k = 10.0 * a as f64;
            let used = world.bounds.get(arm).layout.used();
            let b = world.bounds.get_mut(arm);
            for (s, sides) in [&mut b.velocity, &mut b.acceleration].into_iter().enumerate() {
                for j in 0..used {
                    let k = k + 3.1 * s as f64 + j as f64;
                    sides.down[j] *= 0.7 + 0.3 * w(i, k);
                    sides.up[j] *= 0.7 + 0.3 * w(i, k + 0.5);
                }
            }
            let by_mechanism = world.bodies.get(arm).remote_centre().is_none();
            let state = world.states.get_mut(arm).as_mut().unwrap();
            for j in 0..used {
                if by_mechanism {
                    let (middle, around) =
                        [(0.0, 0.5), (0.0, 0.4), (0.15, 0.05), (0.0, 0.8), (0.0, 0.8), (0.0, 0.8), (0.4, 0.3)][j];
                    state.q[j] = middle + around * w(i, k + 40.0 + j as f64);
                }
                let fastest = b.velocity.towards(j, 1.0).min(b.velocity.towards(j, -1.0));
                state.v[j] = 0.25 * fastest * w(i, k + 50.0 + j as f64) * (0.5 + 0.5 * w(i, 0.3));
            }
            // Now and then a joint is near the end of its range or as fast as it may be.
            if by_mechanism && i % 5 == 1 {
                let j = (i / 5) % used;
                state.q[j] = if i.is_multiple_of(2) { b.lower[j] + 1e-3 } else { b.upper[j] - 1e-3 };
            }
            if i % 5 == 2 {
                let j = (i / 5) % used;
                let side = if i.is_multiple_of(2) { -1.0 } else { 1.0 };
                state.v[j] = 0.98 * side * b.velocity.towards(j, side);
            }
            if by_mechanism && i % 5 == 3 {
                // As deep as it must be, and a little.
                let wrist = if arm == ArmId::Ecm { 0.0007 } else { 0.4162 - 0.4318 };
                state.q[2] = world.least_depth.get(arm) - wrist + RESERVE + 1e-4 * (1.0 + w(i, k + 45.0));
                state.v[2] = 0.0;
            }
            let goal =
                std::array::from_fn(|j| if j < used { state.q[j] + 0.1 * w(i, k + 60.0 + j as f64) } else { 0.0 });
            let rules = Rules { tip_speed: 0.1 + 0.08 * w(i, k + 70.0), policy: policy(), force: None, watched: false };
            if i % 3 < 2 || arm == PSM1 {
                *world.wishes.get_mut(arm) = Some(Wish { state: *state, goal, rules });
            }
            if arm == PSM2 && i % 6 == 1 {
                *world.settled.get_mut(arm) = Some(state.v.map(|v| 0.9 * v));
            }
        }
        if i % 4 == 3 {
            let (shaft, state) = (world.shape(PSM2).capsules[0], world.state(PSM2));
            let travel = world.bodies.psm2.travel(&state.q, &state.stop(&world.bounds.psm2.acceleration));
            let kept = RESERVE + room(travel) + 5e-4 * (0.8 + w(i, 75.0));
            world.least_depth.psm2 = (shaft.b - shaft.a).norm() - kept;
        }
        // Their tips are a few millimetres apart.
        let tip = world.shape(PSM1).tip;
        for (arm, far) in [(PSM2, 0.011), (ArmId::Ecm, 0.02)] {
            let off = tip + direction(i, 80.0) * far - world.shape(arm).tip;
            let base = *world.bodies.get(arm).world_from_base();
            world.bodies.get_mut(arm).place(Translation3::from(off) * base);
        }
        world.furnish(i);
        world
    }

    /// Zones of every kind, and tissue, around the tips.
    fn furnish(&mut self, i: usize) {
        let tip = self.shape(PSM1).tip;
        let at = |k: f64, far: f64| tip + direction(i, k) * far;
        let n = direction(i, 90.0);
        let shapes = [
            ZoneShape::HalfSpace { point: (tip - n * (0.006 + 0.004 * w(i, 91.0))).into(), normal: n.into() },
            ZoneShape::Sphere { center: at(92.0, 0.02).into(), radius: 0.008 },
            ZoneShape::Capsule { a: at(93.0, 0.02).into(), b: at(94.0, 0.035).into(), radius: 0.004 },
            ZoneShape::Box {
                center: at(95.0, 0.025).into(),
                size: [0.01, 0.013, 0.008],
                rotation: Rotation::Rpy([0.3, w(i, 96.0), 0.7]),
            },
            ZoneShape::Mesh(sheet(at(97.0, 0.012), direction(i, 97.0))),
        ];
        for (k, region) in shapes.into_iter().enumerate() {
            let arms: &[ArmId] = if k == (i % 7) { &[PSM2] } else { &[] };
            self.zones.push(zone(0.001 * k as f64, arms, region));
        }
        self.points = (0..20)
            .map(|p| SurfacePoint {
                position: at(100.0 + p as f64, 0.014 + 0.006 * w(i, 130.0 + p as f64)),
                class: Class::ALL[(i + p) % Class::COUNT],
                sigma: 0.0004 * (1.0 + w(i, 160.0 + p as f64)),
            })
            .collect();
        self.surface = Surface::new(&self.points);
    }

    fn state(&self, arm: ArmId) -> MotionState {
        self.states.get(arm).unwrap()
    }

    fn shape(&self, arm: ArmId) -> Shape {
        self.bodies.get(arm).shape(&self.state(arm).q).unwrap()
    }

    fn around(&self) -> Around<'_> {
        Around {
            bodies: &self.bodies,
            bounds: &self.bounds,
            zones: &self.zones,
            surface: Some(&self.surface),
            vicinity: PerArm::from_fn(|arm| self.vicinity.get(arm)),
            tool_tool: TOOL_TOOL,
            least_depth: self.least_depth,
        }
    }

    fn bender(&self) -> Bender {
        let mut bender = Bender::new();
        bender.begin(&self.states);
        bender.wish(&self.wishes);
        ArmId::ALL.into_iter().for_each(|arm| {
            if let Some(v) = *self.settled.get(arm) {
                bender.settle(arm, v);
            }
        });
        bender
    }

    /// A bender that has written its program.
    fn written(&self) -> (Bender, ArrayVec<Limb, 3>) {
        let mut bender = self.bender();
        let limbs = bender.limbs(&self.around()).unwrap();
        bender.write(&limbs, &self.around());
        (bender, limbs)
    }

    /// PSM1 alone, which wants `by` more of its joints.
    fn alone(by: Q) -> Self {
        let mut world = Self::empty(false);
        (world.states.psm2, world.states.ecm) = (None, None);
        world.want(PSM1, by);
        world
    }

    fn want(&mut self, arm: ArmId, by: Q) {
        let state = self.state(arm);
        let rules = Rules { tip_speed: 0.2, policy: policy(), force: None, watched: false };
        *self.wishes.get_mut(arm) = Some(Wish { state, goal: map2(&state.q, &by, |q, b| q + b), rules });
    }
}

/// A square of 16 mm around `p`, of eight triangles.
fn sheet(p: Point3<f64>, normal: Vector3<f64>) -> std::sync::Arc<Mesh> {
    let turn = UnitQuaternion::rotation_between(&Vector3::z(), &normal).unwrap();
    let corner = |x: i32, y: i32| {
        let v = p + turn * Vector3::new(0.008 * f64::from(x), 0.008 * f64::from(y), 0.0);
        [v.x as f32, v.y as f32, v.z as f32]
    };
    let squares = [(-1, -1), (0, -1), (-1, 0), (0, 0)];
    let halves = squares.map(|(x, y)| {
        let [a, b, c, d] = [corner(x, y), corner(x + 1, y), corner(x + 1, y + 1), corner(x, y + 1)];
        [[a, b, c], [a, c, d]]
    });
    std::sync::Arc::new(Mesh::new("sheet", halves.concat()).unwrap())
}

/// What the arms of a constraint look like where they are, and with each joint moved back and forth.
struct Moved {
    here: Shape,
    each: Vec<[Shape; 2]>,
}

impl Moved {
    fn of(world: &World, limb: &Limb) -> Self {
        let body = world.bodies.get(limb.arm);
        let with = |j: usize, by: f64| {
            let mut q = limb.state.q;
            q[j] += by;
            body.shape(&q).unwrap()
        };
        Self { here: world.shape(limb.arm), each: (0..limb.dofs).map(|j| [with(j, -EPS), with(j, EPS)]).collect() }
    }

    /// How a number changes with each joint.
    fn slope(&self, of: impl Fn(&Shape) -> f64) -> Q {
        let mut slope = [0.0; N];
        slope.iter_mut().zip(&self.each).for_each(|(s, [back, forth])| *s = (of(forth) - of(back)) / (2.0 * EPS));
        slope
    }

    /// How a point moves with each joint.
    fn rates(&self, of: impl Fn(&Shape) -> Point3<f64>) -> [Vector3<f64>; N] {
        let mut rates = [Vector3::zeros(); N];
        rates.iter_mut().zip(&self.each).for_each(|(r, [back, forth])| *r = (of(forth) - of(back)) / (2.0 * EPS));
        rates
    }
}

/// The four points whose speed counts.
fn ends(shape: &Shape) -> [Point3<f64>; 4] {
    [shape.capsules[0].a, shape.capsules[0].b, shape.tip, shape.jaw_end]
}

/// A constraint as it should be: what is to spare, in which time, and how that changes with the joints of which arms.
struct Expected {
    key: Key,
    h: f64,
    time: f64,
    slopes: Vec<(usize, Q)>,
    /// An axis that is in a zone or crosses another, or all but that, has no single way out: no slope to compare.
    buried: bool,
}

fn room(travel: f64) -> f64 {
    2e-5 + 0.145 * travel + 5.0 * travel * travel
}

/// Everything that the arms keep from, near or far.
fn expected(world: &World, limbs: &[Limb]) -> Vec<Expected> {
    let moved: Vec<Moved> = limbs.iter().map(|l| Moved::of(world, l)).collect();
    let mut all = Vec::new();
    for (i, (limb, m)) in limbs.iter().zip(&moved).enumerate() {
        let Some((_, _, rules)) = limb.free else { continue };
        let arm = limb.arm;
        let one = |key, h, time, slope: Q| Expected { key, h, time, slopes: vec![(i, slope)], buried: false };
        for point in [2, 3] {
            let rates = m.rates(|s| ends(s)[point]);
            let velocity: Vector3<f64> = rates.iter().zip(&limb.state.v).map(|(r, v)| r * *v).sum();
            if velocity.norm() > 0.5 * rules.tip_speed {
                let ahead = velocity.normalize();
                let slope = m.slope(|s| -ahead.dot(&ends(s)[point].coords));
                all.push(one(Key::Tip { arm, point }, 0.95 * rules.tip_speed, 1.5, slope));
            }
        }
        let body = world.bodies.get(arm);
        if let Some(rc) = body.remote_centre() {
            let planes = |q: &Q| rc.planes(body.chain(), q).unwrap();
            for (side, (h, _)) in planes(&limb.state.q).into_iter().enumerate() {
                let at = |j: usize, by: f64| {
                    let mut q = limb.state.q;
                    q[j] += by;
                    planes(&q)[side].0
                };
                let slope = std::array::from_fn(|j| (at(j, EPS) - at(j, -EPS)) / (2.0 * EPS));
                all.push(one(Key::Trocar { arm, side }, h, limb.time, slope));
            }
            let inside = |s: &Shape| (s.capsules[0].b - s.capsules[0].a).norm();
            let h = inside(&m.here) - world.least_depth.get(arm) - 1e-4 - room(limb.travel);
            all.push(one(Key::Depth { arm }, h, limb.time, m.slope(inside)));
        }
        for (z, zone) in world.zones.iter().enumerate().filter(|(_, z)| z.holds_for(arm)) {
            for part in 0..m.here.capsules.len() {
                let distance = |s: &Shape| zone.distance_of(arm, part, &s.capsules[part], 10.0);
                let doubt = 2.0 * 1e-8_f64.sqrt();
                let h = distance(&m.here) - zone.margin() - doubt - 1e-4 - room(limb.travel);
                let buried = distance(&m.here) < -0.8 * m.here.capsules[part].radius;
                all.push(Expected { buried, ..one(Key::Zone { arm, zone: z, part }, h, limb.time, m.slope(distance)) });
            }
        }
        let mut near: Vec<_> = world
            .points
            .iter()
            .filter(|p| p.class.is_tissue())
            .filter_map(|p| {
                let kept = rules.policy.kept(p.class)? + rules.policy.doubt(p.sigma);
                let to = |part: usize, s: &Shape| s.capsules[part].distance_to_point(&p.position);
                let part = (0..m.here.capsules.len()).min_by(|a, b| to(*a, &m.here).total_cmp(&to(*b, &m.here)))?;
                let h = to(part, &m.here) - kept - 1e-4 - room(limb.travel);
                Some((h, p.class, m.slope(|s| to(part, s))))
            })
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (rank, (h, class, slope)) in near.into_iter().take(MAX_NEAR).enumerate() {
            all.push(one(Key::Tissue { arm, class, rank }, h, limb.time, slope));
        }
    }
    for a in 0..limbs.len() {
        for b in a + 1..limbs.len() {
            let (la, lb) = (&limbs[a], &limbs[b]);
            if la.free.is_none() && lb.free.is_none() {
                continue;
            }
            let spare = f64::max(room(la.travel) + lb.travel / 2.0, room(lb.travel) + la.travel / 2.0);
            for i in 0..la.capsules.len() {
                for k in 0..lb.capsules.len() {
                    let (ca, cb) = (&moved[a].here.capsules[i], &moved[b].here.capsules[k]);
                    let h = ca.distance_to(cb) - TOOL_TOOL - 1e-4 - spare;
                    let slopes = vec![
                        (a, moved[a].slope(|s| s.capsules[i].distance_to(cb))),
                        (b, moved[b].slope(|s| s.capsules[k].distance_to(ca))),
                    ];
                    let key = Key::Tools { arms: [la.arm, lb.arm], parts: [i, k] };
                    let buried = ca.distance_to(cb) < -0.8 * (ca.radius + cb.radius);
                    all.push(Expected { key, h, time: la.time.max(lb.time), slopes, buried });
                }
            }
        }
    }
    all
}

/// The smallest and largest `slope . v` over the corners of a limb's bounds.
fn corners(limb: &Limb, slope: &Q) -> (f64, f64) {
    (0..1_usize << limb.dofs).fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), corner| {
        let v = |j: usize| if corner >> j & 1 == 0 { limb.lower[j] } else { limb.upper[j] };
        let rate = (0..limb.dofs).map(|j| slope[j] * v(j)).sum::<f64>();
        (least.min(rate), most.max(rate))
    })
}

fn times(a: &Q, b: &Q) -> f64 {
    (0..N).map(|j| a[j] * b[j]).sum()
}

fn kind(key: &Key) -> &'static str {
    match key {
        Key::Bound { .. } => "bound",
        Key::Zone { .. } => "zone",
        Key::Tissue { .. } => "tissue",
        Key::Tools { .. } => "tools",
        Key::Tip { .. } => "tip",
        Key::Trocar { .. } => "trocar",
        Key::Depth { .. } => "depth",
    }
}

/// The stop's rate, what is settled of it, and what velocities within bounds may make of it: least and most.
fn span(limbs: &[Limb], slopes: &[(usize, Q)]) -> [f64; 4] {
    let [mut safe, mut settled, mut least, mut most] = [0.0; 4];
    for (i, slope) in slopes {
        let (limb, rate) = (&limbs[*i], times(slope, &limbs[*i].safe));
        let (low, high) = if limb.free.is_some() { corners(limb, slope) } else { (rate, rate) };
        settled += if limb.free.is_some() { 0.0 } else { rate };
        (safe, least, most) = (safe + rate, least + low, most + high);
    }
    [safe, settled, least, most]
}

#[test]
fn every_row_is_the_slope_of_what_it_keeps_and_none_that_could_matter_is_missing() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for i in 0..80 {
        let world = World::random(i);
        let (bender, limbs) = world.written();
        let mut found = 0;
        for Expected { key, h, time, slopes, buried } in expected(&world, &limbs) {
            if buried {
                found += usize::from(bender.keys.contains(&key));
                continue;
            }
            let [safe, settled, least, most] = span(&limbs, &slopes);
            let asked = -1.5 / time * h;
            let limit = asked.min(safe + 0.5 * (most - least) / 2.0);
            let row = bender.keys.iter().position(|k| *k == key);
            // What the steps of the differences may make of it.
            let size = slopes.iter().map(|(_, s)| s.iter().fold(0.0, |m: f64, x| m.max(x.abs()))).fold(0.0, f64::max);
            let rounding = (2e-3 * size + 1e-4)
                * slopes
                    .iter()
                    .map(|(l, _)| limbs[*l].upper.iter().chain(&limbs[*l].lower).fold(0.0, |m: f64, x| m.max(x.abs())))
                    .sum::<f64>()
                + 1e-7;
            let Some(row) = row else {
                assert!(least > limit - rounding, "{i}: {key:?} is missing: {h} m, {least} < {limit}");
                continue;
            };
            found += 1;
            *seen.entry(kind(&key)).or_default() += 1;
            assert!(least < limit + rounding, "{i}: {key:?} cannot be broken: {h} m, {least} against {limit}");
            let (normal, got) = bender.problem.row(row).unwrap();
            let mut numbers = [0.0; MAX_VARIABLES];
            for (l, slope) in &slopes {
                if let Some((first, ..)) = limbs[*l].free {
                    numbers[first..first + limbs[*l].dofs].copy_from_slice(&slope[..limbs[*l].dofs]);
                }
            }
            for (a, b) in normal.iter().zip(&numbers) {
                assert!((a - b).abs() <= 2e-3 * size + 1e-4, "{i}: {key:?} {h}: {normal:?} is not {numbers:?}");
            }
            let exact = if limit == asked && settled == 0.0 { 1e-9 * (1.0 + asked.abs()) } else { rounding };
            assert!((got - (limit - settled)).abs() <= exact, "{i}: {key:?}: {got} is not {}", limit - settled);
            let fallback = asked.min(safe) - settled;
            assert!((bender.fallback[row] - fallback).abs() <= rounding, "{i}: {key:?}");
        }
        assert_eq!(found, bender.keys.len(), "{i}: a row that stands for nothing");
    }
    for kind in ["zone", "tissue", "tools", "tip", "trocar", "depth"] {
        assert!(seen.get(kind).is_some_and(|n| *n >= 5), "{seen:?}");
    }
}

#[test]
fn an_arm_has_the_bounds_that_its_tightest_limit_leaves() {
    let mut tightest = [[0; 4]; 2];
    for i in 0..120 {
        let world = World::random(i);
        for limb in world.bender().limbs(&world.around()).unwrap() {
            let (b, body) = (world.bounds.get(limb.arm), world.bodies.get(limb.arm));
            let state = world.state(limb.arm);
            assert_eq!((limb.state, limb.dofs), (state, b.layout.used()));
            // How long a stop takes: what brakes a rate is the acceleration to the other side.
            let stopping = |v: &Q| {
                (0..limb.dofs)
                    .map(|j| v[j].abs() / if v[j] > 0.0 { b.acceleration.down[j] } else { b.acceleration.up[j] })
                    .fold(0.0, f64::max)
            };
            let wanted = limb.free.map_or(0.0, |(_, aim, _)| stopping(&aim.wanted));
            let time = (wanted.max(stopping(&state.v)) / 0.98).max(0.004);
            assert!((limb.time - time).abs() < 1e-12 * time, "{i}: {} is not {time}", limb.time);
            assert_eq!(limb.travel, body.travel(&state.q, &state.stop(&b.acceleration)));
            let safe = world.settled.get(limb.arm).unwrap_or_else(|| state.brake_velocity(&b.acceleration));
            assert_eq!(limb.safe, safe);
            // How deep it is: the wrist of a PSM lies at q3 - 0.0156 beyond the remote centre, the tip of the ECM at q3 + 0.0007.
            let depth = state.q[2] + if limb.arm == ArmId::Ecm { 0.0007 } else { 0.4162 - 0.4318 };
            for j in 0..N {
                if j >= limb.dofs {
                    assert_eq!((limb.lower[j], limb.upper[j]), (0.0, 0.0));
                    continue;
                }
                let (q, v) = (state.q[j], state.v[j]);
                let mut down = vec![
                    -0.98 * b.velocity.down[j],
                    v - 0.98e-3 * b.acceleration.down[j],
                    -1.999 * (q - b.lower[j]).max(0.0) / time,
                ];
                if j == 2 && body.remote_centre().is_none() {
                    down.push(-1.5 * (depth - world.least_depth.get(limb.arm) - 1e-4) / time);
                }
                let up = [
                    0.98 * b.velocity.up[j],
                    v + 0.98e-3 * b.acceleration.up[j],
                    1.999 * (b.upper[j] - q).max(0.0) / time,
                ];
                let lowest = down.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let highest = up.iter().copied().fold(f64::INFINITY, f64::min);
                tightest[0][down.iter().position(|x| *x == lowest).unwrap()] += 1;
                tightest[1][up.iter().position(|x| *x == highest).unwrap()] += 1;
                // The stop that is known is always left.
                let (lowest, highest) = (lowest.min(safe[j]), highest.max(safe[j]));
                assert!((limb.lower[j] - lowest).abs() < 1e-9, "{i} {j}: {} is not {lowest}", limb.lower[j]);
                assert!((limb.upper[j] - highest).abs() < 1e-9, "{i} {j}: {} is not {highest}", limb.upper[j]);
            }
        }
    }
    let [[a, b, c, d], [e, f, g, _]] = tightest;
    assert!([a, b, c, d, e, f, g].iter().all(|n| *n > 0), "{tightest:?}");
}

#[test]
fn nothing_beyond_the_horizon_is_reached_by_the_stop_of_any_velocity_within_bounds() {
    for i in 0..40 {
        let world = World::random(i);
        for limb in world.bender().limbs(&world.around()).unwrap() {
            let moved = Moved::of(&world, &limb);
            let fastest = (0..4).map(|end| {
                let rates = moved.rates(|s| ends(s)[end]);
                (0..limb.dofs).map(|j| rates[j].norm() * limb.lower[j].abs().max(limb.upper[j].abs())).sum::<f64>()
            });
            // The jaws grow wider, too.
            let radius = moved.slope(|s| s.capsules.last().unwrap().radius)[6];
            let widening = (radius * limb.lower[6]).abs().max((radius * limb.upper[6]).abs());
            let horizon = (fastest.fold(0.0, f64::max) + widening) * limb.time / 1.5;
            assert!((limb.horizon - horizon).abs() < 1e-6 * horizon + 1e-12, "{i}: {} is not {horizon}", limb.horizon);
        }
    }
}

#[test]
fn a_rate_costs_as_much_as_what_it_does_to_the_tip() {
    let mut shallow = 0;
    for i in 0..40 {
        let mut world = World::random(i);
        // Just behind the trocar yaw and pitch hardly move the tip; two centimetres' worth is what they cost at least.
        world.states.psm1.as_mut().unwrap().q[2] = 0.02 + 0.01 * w(i, 0.4);
        for limb in world.bender().limbs(&world.around()).unwrap() {
            let rates = Moved::of(&world, &limb).rates(|s| s.tip);
            for j in 0..limb.dofs {
                let moves = rates[j].norm_squared();
                let cost = match (limb.arm, j) {
                    _ if world.bodies.get(limb.arm).remote_centre().is_some() => moves + 0.1 * 0.1,
                    (_, 0..3) => moves.max(0.02 * 0.02),
                    (_, 3..6) => 0.1 * 0.1,
                    _ => 1.0,
                };
                shallow += usize::from(j < 3 && moves < 4e-4);
                assert!((limb.weights[j] - cost).abs() < 1e-8, "{i} {j}: {} is not {cost}", limb.weights[j]);
            }
        }
    }
    assert!(shallow > 5, "{shallow}");
}

/// `1/2 x'Hx + g'x`.
fn cost(p: &Problem, x: &Vector) -> f64 {
    let n = p.variables();
    (0..n).map(|i| p.gradient[i] * x[i] + (0..n).map(|k| 0.5 * x[i] * p.hessian[i][k] * x[k]).sum::<f64>()).sum()
}

/// What a velocity costs an arm: what leaves the wanted direction in full, what falls back along it by half, both as the weights see it.
fn off(limb: &Limb, aim: &Aim, v: &Q) -> f64 {
    let inner = |a: &Q, b: &Q| (0..N).map(|j| a[j] * limb.weights[j] * b[j]).sum::<f64>();
    let d = map2(v, &aim.next, |v, n| v - n);
    let square = inner(&aim.wanted, &aim.wanted);
    let share = if square > 1e-18 { inner(&d, &aim.wanted) / square } else { 0.0 };
    let aside = map2(&d, &aim.wanted, |d, w| d - share * w);
    0.5 * (inner(&aside, &aside) + 0.5 * share * share * square)
}

#[test]
fn leaving_the_wanted_direction_costs_twice_what_falling_behind_on_it_costs() {
    for i in 0..60 {
        let world = World::random(i);
        let (bender, limbs) = world.written();
        let at = |k: usize| -> Vector {
            let mut x = [0.0; MAX_VARIABLES];
            x.iter_mut()
                .take(bender.problem.variables())
                .enumerate()
                .for_each(|(j, x)| *x = 0.5 * w(i, (31 * k + j) as f64));
            x
        };
        let should = |x: &Vector| -> f64 {
            limbs.iter().filter_map(|l| l.free.map(|(_, aim, _)| off(l, &aim, &l.part(x)))).sum()
        };
        let zero = [0.0; MAX_VARIABLES];
        for k in 0..20 {
            let (x, by) = (at(k), should(&at(k)) - should(&zero));
            let got = cost(&bender.problem, &x) - cost(&bender.problem, &zero);
            assert!((got - by).abs() < 1e-10, "{i}: {got} is not {by}");
        }
    }
}

#[test]
fn a_wish_of_a_billionth_has_no_direction() {
    let world = World::alone([0.1, 0.05, 0.01, 0.1, 0.0, 0.0, 0.0]);
    let (mut bender, mut limbs) = world.written();
    let limb = &mut limbs[0];
    limb.weights = [1.0; N];
    let mut one = [0.0; N];
    one[0] = 1.0;
    // Of 1e-9, whose square is 1e-18, back by 1 costs a half of the square; with a direction, half of that.
    for (wanted, expected) in [(0.0, 0.5), (0.99e-9, 0.5), (1e-9, 0.5), (1.01e-9, 0.25), (1.0, 0.25)] {
        let (_, aim, _) = limb.free.as_mut().unwrap();
        (aim.wanted, aim.next) = (one.map(|x| x * wanted), [0.0; N]);
        bender.problem.reset(limb.dofs);
        bender.costs(limb);
        let mut x = [0.0; MAX_VARIABLES];
        x[0] = 1.0;
        assert!((cost(&bender.problem, &x) - expected).abs() < 1e-12, "{wanted}");
        x = [0.0; MAX_VARIABLES];
        x[1] = 1.0;
        assert!((cost(&bender.problem, &x) - 0.5).abs() < 1e-12, "{wanted}");
    }
}

/// Two arms, of which `free` has variables from `first` on and the other is settled, with bounds and safe velocities of about one.
fn two(i: usize) -> (Bender, ArrayVec<Limb, 3>) {
    let mut world = World::empty(false);
    world.want(PSM1, [0.1; N]);
    world.want(PSM2, [0.1; N]);
    world.states.ecm = None;
    if i.is_multiple_of(3) {
        world.settled.psm2 = Some([0.01; N]);
    }
    let (mut bender, mut limbs) = world.written();
    for (a, limb) in limbs.iter_mut().enumerate() {
        for j in 0..N {
            let k = (20 * a + j) as f64;
            (limb.lower[j], limb.upper[j]) = (-1.0 + 0.9 * w(i, k), 1.0 + 0.9 * w(i, k + 0.5));
            limb.safe[j] = limb.lower[j] + (limb.upper[j] - limb.lower[j]) * (0.5 + 0.5 * w(i, k + 0.7));
        }
    }
    bender.problem.reset(14);
    (bender.keys, bender.fallback) = (ArrayVec::new(), ArrayVec::new());
    (bender, limbs)
}

#[test]
fn a_clearance_may_fall_as_fast_as_a_stop_keeps_it_and_is_asked_to_grow_by_half_of_what_a_tick_can_do() {
    let (mut rows, mut none, mut eased) = (0, 0, 0);
    for i in 0..200 {
        let (mut bender, limbs) = two(i);
        let slopes: Vec<(usize, Q)> = (0..2)
            .map(|l| {
                (
                    l,
                    std::array::from_fn(
                        |j| if (i + j).is_multiple_of(4) { 0.0 } else { w(i, (70 + 9 * l + j) as f64) },
                    ),
                )
            })
            .collect();
        let (h, time) = (4.0 * w(i, 99.0), 1.0 + 0.5 * w(i, 98.0));
        let given: Vec<Slope> = slopes.iter().map(|(l, rates)| Slope { limb: &limbs[*l], rates: *rates }).collect();
        bender.keep(Key::Depth { arm: PSM1 }, h, time, &given);
        let [safe, settled, least, most] = span(&limbs, &slopes);
        let asked = -1.5 * h / time;
        let limit = asked.min(safe + 0.5 * (most - least) / 2.0);
        if least >= limit {
            assert!(bender.keys.is_empty() && bender.problem.rows().len() == 0, "{i}: nothing can break it");
            none += 1;
            continue;
        }
        rows += 1;
        eased += usize::from(limit < asked);
        let (normal, got) = bender.problem.row(0).unwrap();
        for (l, slope) in &slopes {
            let first = limbs[*l].free.map(|(first, ..)| first);
            assert_eq!(first, [Some(0), if i.is_multiple_of(3) { None } else { Some(7) }][*l]);
            let mine: Vec<f64> = normal.iter().skip(7 * l).take(7).copied().collect();
            assert_eq!(mine, if first.is_some() { slope.to_vec() } else { vec![0.0; 7] });
        }
        assert!((got - (limit - settled)).abs() < 1e-12, "{i}: {got} is not {}", limit - settled);
        // What holds in need: no more than the stop does, which meets it with a billionth to spare.
        let spare = asked.min(safe) - settled - bender.fallback[0];
        assert!((spare - 1e-9 * (1.0 + safe.abs())).abs() < 1e-14, "{i}: {spare}");
        assert_eq!((bender.keys.len(), bender.fallback.len(), bender.problem.rows().len()), (1, 1, 1));
    }
    assert!(rows > 30 && none > 30 && eased > 10, "{rows} {none} {eased}");
}

#[test]
fn a_limit_that_the_slowest_velocity_just_meets_is_no_row() {
    // From -1 to 1 in one joint; `h` in 1.5 s: it may fall by `h` a second.
    for (h, row) in [(1.0, false), (1.0 - 1e-9, true), (1.0 + 1e-9, false)] {
        let (mut bender, mut limbs) = two(1);
        (limbs[0].lower[0], limbs[0].upper[0], limbs[0].safe) = (-1.0, 1.0, [0.0; N]);
        let mut rates = [0.0; N];
        rates[0] = 1.0;
        bender.keep(Key::Depth { arm: PSM1 }, h, 1.5, &[Slope { limb: &limbs[0], rates }]);
        assert_eq!(!bender.keys.is_empty(), row, "{h}");
    }
}

#[test]
fn a_tip_is_watched_from_half_of_its_limit_on() {
    let mut world = World::alone([0.3, 0.2, 0.01, 0.0, 0.0, 0.0, 0.0]);
    world.states.psm1.as_mut().unwrap().v = [0.2, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0];
    let (mut bender, mut limbs) = world.written();
    let limb = &mut limbs[0];
    (limb.lower, limb.upper) = ([-100.0; N], [100.0; N]);
    let speeds = [2, 3].map(|end: usize| {
        let v: Vector3<f64> = limb.ends.rates[end].iter().zip(&limb.state.v).map(|(r, v)| r * *v).sum();
        v.norm()
    });
    let [tip, end] = speeds;
    assert!(tip > 0.01 && end > tip * 1.01);
    for (limit, points) in [
        (2.0 * end * (1.0 + 1e-9), vec![]),
        (2.0 * end, vec![]),
        (2.0 * end * (1.0 - 1e-9), vec![3]),
        (2.0 * tip, vec![3]),
        (2.0 * tip * (1.0 - 1e-9), vec![2, 3]),
    ] {
        limb.free.as_mut().unwrap().2.tip_speed = limit;
        (bender.keys, bender.fallback) = (ArrayVec::new(), ArrayVec::new());
        bender.problem.reset(limb.dofs);
        bender.tips(limb);
        let expected: Vec<Key> = points.into_iter().map(|point| Key::Tip { arm: PSM1, point }).collect();
        assert_eq!(bender.keys.as_slice(), expected, "{limit}");
    }
}

/// PSM1's first limb with bounds that break every row there is.
fn boundless(world: &World) -> (Bender, ArrayVec<Limb, 3>) {
    let (mut bender, mut limbs) = world.written();
    for limb in &mut limbs {
        (limb.lower, limb.upper) = ([-100.0; N], [100.0; N]);
    }
    (bender.keys, bender.fallback) = (ArrayVec::new(), ArrayVec::new());
    bender.problem.reset(limbs.iter().filter(|l| l.free.is_some()).map(|l| l.dofs).sum());
    (bender, limbs)
}

#[test]
fn a_zone_matters_up_to_the_horizon_and_is_felt_there() {
    let mut world = World::alone([0.1; N]);
    let end = world.shape(PSM1).jaw_end;
    let n = -(world.shape(PSM1).jaw_end - world.shape(PSM1).tip).normalize();
    let sheet = sheet(end - n * 0.01, n);
    for region in [ZoneShape::HalfSpace { point: (end - n * 0.01).into(), normal: n.into() }, ZoneShape::Mesh(sheet)] {
        world.zones = vec![zone(0.001, &[], region)];
        let (mut bender, mut limbs) = boundless(&world);
        let limb = &mut limbs[0];
        let part = 2;
        let kept = RESERVE + limb.room() + policy().doubt_of_arm();
        let d = world.zones[0].distance_of(PSM1, part, &limb.capsules[part], 1.0);
        let h = d - (world.zones[0].margin() + kept);
        assert!(h > 0.001 && (h - (d - 0.001 - 1e-4 - 2e-5 - 2e-4)).abs() < 1e-12, "{h}");
        let slope = Moved::of(&world, limb).slope(|s| world.zones[0].distance_of(PSM1, part, &s.capsules[part], 1.0));
        for (horizon, row) in [(h, false), (h - 1e-9, false), (h + 1e-9, true), (h + 1.5e-6, true), (h + 0.01, true)] {
            limb.horizon = horizon;
            (bender.keys, bender.fallback) = (ArrayVec::new(), ArrayVec::new());
            bender.problem.reset(limb.dofs);
            bender.zones(limb, &world.around());
            let found = bender.keys.iter().position(|k| *k == Key::Zone { arm: PSM1, zone: 0, part });
            assert_eq!(found.is_some(), row, "{h} of {horizon}");
            let Some((normal, limit)) = found.and_then(|row| bender.problem.row(row)) else { continue };
            assert!((limit + 1.5 / limb.time * h).abs() < 1e-6, "{horizon}: {limit}");
            for (a, b) in normal.iter().zip(&slope) {
                assert!((a - b).abs() < 1e-5, "{horizon}: {normal:?} is not {slope:?}");
            }
        }
    }
}

#[test]
fn another_arm_matters_as_far_as_both_may_come() {
    let mut world = World::empty(false);
    world.states.ecm = None;
    world.want(PSM1, [0.1; N]);
    world.want(PSM2, [0.1; N]);
    let (tip, off) = (world.shape(PSM1).jaw_end, Vector3::new(0.0, 0.0, -0.04));
    let base = *world.bodies.psm2.world_from_base();
    world.bodies.psm2.place(Translation3::from(tip + off - world.shape(PSM2).jaw_end) * base);
    let (mut bender, mut limbs) = boundless(&world);
    let key = Key::Tools { arms: [PSM1, PSM2], parts: [2, 2] };
    let kept = TOOL_TOOL + RESERVE + START;
    let h = limbs[0].capsules[2].distance_to(&limbs[1].capsules[2]) - kept;
    assert!(h > 0.005, "{h}");
    let parts = [(1.0, 0.0), (0.0, 1.0), (0.6, 0.6), (0.9, 0.2), (0.2, 0.9), (0.4, 0.4), (1.0 + 1e-9, 0.0)];
    for ((a, b), row) in parts.into_iter().zip([false, false, true, true, true, false, true]) {
        (limbs[0].horizon, limbs[1].horizon) = (a * h, b * h);
        (bender.keys, bender.fallback) = (ArrayVec::new(), ArrayVec::new());
        bender.problem.reset(14);
        let (one, other) = limbs.split_at(1);
        bender.tools(&one[0], &other[0], &world.around());
        assert_eq!(bender.keys.contains(&key), row, "{a} {b}");
    }
}

#[test]
fn what_a_stop_asks_for_grows_with_its_travel() {
    let world = World::alone([0.1; N]);
    let mut limb = world.written().1.remove(0);
    // 0.02 mm, 0.145 of the travel, 5 / m of its square: 0.02 + 1.45 + 0.5 mm.
    for (travel, room) in [(0.0, 2e-5), (0.01, 1.97e-3)] {
        limb.travel = travel;
        assert!((limb.room() - room).abs() < 1e-15, "{travel}: {}", limb.room());
    }
}

#[test]
fn what_meets_a_boundary_within_sixteen_degrees_of_its_normal_is_not_bent() {
    let mut world = World::empty(false);
    world.states.ecm = None;
    world.want(PSM1, [0.1; N]);
    world.want(PSM2, [0.1; N]);
    let (mut bender, mut limbs) = boundless(&world);
    for l in 0..2 {
        let (first, _, _) = limbs[l].free.unwrap();
        assert_eq!(first, 7 * l);
        let inner = |a: &Q, b: &Q, weights: &Q| (0..N).map(|j| a[j] * weights[j] * b[j]).sum::<f64>();
        for i in 0..20 {
            let weights = limbs[l].weights;
            // A unit normal and a unit vector square to it, as the weights see it.
            let normal: Q = std::array::from_fn(|j| w(i, j as f64));
            let normal = normal.map(|x| x / inner(&normal, &normal, &weights).sqrt());
            let across: Q = std::array::from_fn(|j| w(i, 10.0 + j as f64));
            let across = map2(&across, &normal, |a, n| a - n * inner(&across, &normal, &weights));
            let across = across.map(|x| x / inner(&across, &across, &weights).sqrt());
            let mut row = [0.0; MAX_VARIABLES];
            for j in 0..N {
                row[first + j] = 3.0 * weights[j] * normal[j];
            }
            bender.keys = ArrayVec::from_iter([Key::Zone { arm: limbs[l].arm, zone: 0, part: 0 }]);
            bender.problem.reset(14);
            bender.problem.push(&row, 0.0).unwrap();
            let mut active = Active::default();
            active.guess(Bind::Row(0));
            for (cosine, head_on) in [(0.9601, true), (0.9599, false), (1.0, true), (0.0, false), (-1.0, false)] {
                let sine = (1.0_f64 - cosine * cosine).sqrt();
                let speed = 0.05 + 0.04 * w(i, 33.0);
                limbs[l].free.as_mut().unwrap().1.wanted =
                    map2(&normal, &across, |n, a| speed * (sine * a - cosine * n));
                assert_eq!(bender.head_on(&limbs[l], &active), head_on, "{l} {i}: {cosine}");
                // What is not its own is not met by it, nor what does not bind, nor what is no boundary in the world.
                assert!(!bender.head_on(&limbs[1 - l], &active));
                assert!(!bender.head_on(&limbs[l], &Active::default()));
                let zone = std::mem::replace(&mut bender.keys[0], Key::Tip { arm: limbs[l].arm, point: 2 });
                assert!(!bender.head_on(&limbs[l], &active));
                bender.keys[0] = zone;
            }
        }
    }
    limbs[0].free = None;
    let mut active = Active::default();
    active.guess(Bind::Row(0));
    assert!(!bender.head_on(&limbs[0], &active));
}

#[test]
fn a_goal_straight_into_a_floor_is_not_bent_and_one_aslant_is() {
    let mut world = World::empty(false);
    let end = world.shape(PSM1).jaw_end;
    let n = (world.shape(PSM1).capsules[0].a - end).normalize();
    (world.states.psm2, world.states.ecm) = (None, None);
    let straight = [0.0, 0.0, 0.05, 0.0, 0.0, 0.0, 0.0];
    let aslant = [0.3, 0.0, 0.03, 0.0, 0.0, 0.0, 0.0];
    for (by, bent) in [(straight, false), (aslant, true)] {
        world.want(PSM1, by);
        // Nearer and nearer, until the floor binds.
        let mut bound = 0;
        for h in [1e-3, 5e-4, 1e-4, 5e-5, 3e-5] {
            let point = (end - n * (0.0013 + h + world.shape(PSM1).capsules[2].radius)).into();
            world.zones = vec![zone(0.001, &[], ZoneShape::HalfSpace { point, normal: n.into() })];
            let mut bender = world.bender();
            let got = bender.propose(PSM1, &world.around());
            if bender.last.iter().any(|k| matches!(k, Key::Zone { .. })) {
                bound += 1;
                assert_eq!(matches!(got, Bent::Past(_, Some(Barrier::Zone(0)))), bent, "{h}: {got:?}");
                assert_eq!(got == Bent::Straight, !bent, "{h}: {got:?}");
            }
        }
        assert!(bound > 0, "{bent}");
    }
}

#[test]
fn what_an_arm_was_bent_by_is_known_in_the_next_tick_and_of_that_arm_alone() {
    let mut bender = Bender::new();
    assert_eq!(ArmId::ALL.map(|arm| bender.bending(arm)), [None; 3]);
    bender.note(PSM2, Some(Barrier::Zone(3)));
    bender.begin(&PerArm::default());
    assert_eq!(ArmId::ALL.map(|arm| bender.bending(arm)), [None, Some(Barrier::Zone(3)), None]);
    bender.note(PSM2, None);
    assert_eq!(bender.bending(PSM2), None);
}

#[test]
fn what_opening_jaws_come_near_at_their_sides_is_no_surprise() {
    let mut world = World::alone([0.0; N]);
    world.states.psm1.as_mut().unwrap().v[6] = 0.5 * world.bounds.psm1.velocity.up[6];
    world.want(PSM1, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5]);
    let s = world.shape(PSM1);
    let n = (s.jaw_end - s.tip).cross(&Vector3::x()).normalize();
    let jaws = s.capsules[2];
    let key = Key::Zone { arm: PSM1, zone: 0, part: 2 };
    let mut needed = 0;
    for far in [1e-5, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3] {
        let point = (jaws.b - n * (jaws.radius + 0.0013 + far)).into();
        world.zones = vec![zone(0.001, &[], ZoneShape::HalfSpace { point, normal: n.into() })];
        let (bender, limbs) = world.written();
        let one = expected(&world, &limbs).into_iter().find(|e| e.key == key).unwrap();
        let [.., least, _] = span(&limbs, &one.slopes);
        let barred = least < -1.5 / one.time * one.h;
        assert_eq!(bender.keys.contains(&key), barred, "{} m", one.h);
        needed += usize::from(barred);
    }
    assert!(needed > 3 && needed < 7, "{needed}");
}

#[test]
fn what_binds_an_arm_is_what_presses_on_it_most() {
    let class = Class::CysticArtery;
    let keys = [
        Key::Zone { arm: PSM1, zone: 4, part: 1 },
        Key::Zone { arm: PSM2, zone: 3, part: 0 },
        Key::Tissue { arm: PSM1, class, rank: 0 },
        Key::Tissue { arm: PSM2, class, rank: 0 },
        Key::Tools { arms: [PSM1, PSM2], parts: [2, 2] },
        Key::Tools { arms: [PSM2, ArmId::Ecm], parts: [2, 0] },
        Key::Tip { arm: PSM1, point: 2 },
        Key::Depth { arm: PSM1 },
    ];
    let mut bender = Bender::new();
    bender.keys = keys.into_iter().collect();
    let (zone, tissue, tool) = (Barrier::Zone, Barrier::Tissue(class), Barrier::Tool);
    // With H = I and rows x_i >= p_i the multipliers are p_i.
    for (pressure, expected) in [
        ([1.0, 9.0, 0.5, 9.0, 0.5, 9.0, 9.0, 9.0], [Some(zone(4)), Some(tool(ArmId::Ecm)), Some(tool(PSM2))]),
        ([1.0, 2.0, 3.0, 1.0, 2.0, 1.0, 9.0, 9.0], [Some(tissue), Some(tool(PSM1)), Some(tool(PSM2))]),
        ([1.0, 5.0, 3.0, 4.0, 4.0, 1.0, 9.0, 9.0], [Some(tool(PSM2)), Some(zone(3)), Some(tool(PSM2))]),
        ([1.0, 5.0, 3.0, 7.0, 4.0, 1.0, 9.0, 9.0], [Some(tool(PSM2)), Some(tissue), Some(tool(PSM2))]),
        ([0.0, 5.0, 0.0, 7.0, 0.0, 0.0, 9.0, 9.0], [None, Some(tissue), None]),
        ([3.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0], [Some(zone(4)), None, None]),
    ] {
        let mut problem = Problem::new(8);
        for (i, limit) in pressure.into_iter().enumerate() {
            let mut row = [0.0; MAX_VARIABLES];
            row[i] = 1.0;
            problem.push(&row, limit).unwrap();
        }
        let Outcome::Solved(s) = Solver::new().solve(&problem, &Active::default()) else { panic!("{pressure:?}") };
        assert_eq!(ArmId::ALL.map(|arm| bender.barrier(arm, &s.active)), expected, "{pressure:?}");
    }
}

#[test]
fn what_bound_in_a_tick_is_found_again_in_the_next() {
    for i in 0..12 {
        let world = World::random(i);
        let (mut bender, limbs) = world.written();
        let variables = bender.problem.variables();
        let mut owners = Vec::new();
        for limb in limbs.iter().filter(|l| l.free.is_some()) {
            owners.extend((0..limb.dofs).map(|joint| (limb.arm, joint)));
        }
        assert_eq!(owners.len(), variables);
        let bounds = (0..variables).flat_map(|k| [Bind::Lower(k), Bind::Upper(k)]);
        for bind in bounds.chain((0..bender.keys.len()).map(Bind::Row)) {
            let key = bender.key(bind, &limbs).unwrap();
            match bind {
                Bind::Row(row) => assert_eq!(key, bender.keys[row]),
                Bind::Lower(k) | Bind::Upper(k) => {
                    let ((arm, joint), upper) = (owners[k], bind == Bind::Upper(k));
                    assert_eq!(key, Key::Bound { arm, joint, upper });
                }
            }
            bender.last = ArrayVec::from_iter([key]);
            assert_eq!(bender.guess(&limbs).iter().map(|(b, _)| b).collect::<Vec<_>>(), [bind]);
        }
        assert_eq!(bender.key(Bind::Upper(variables), &limbs), None);
        bender.last = ArrayVec::from_iter([Key::Zone { arm: PSM1, zone: 99, part: 0 }]);
        assert_eq!(bender.guess(&limbs).iter().count(), 0, "what is not there any more");
        // And a program that is solved leaves behind just what bound.
        let Some((_, active)) = bender.minimise(&limbs) else { continue };
        let binds = |active: &Active| active.iter().map(|(b, _)| b).collect::<Vec<_>>();
        assert_eq!(binds(&bender.guess(&limbs)), binds(&active));
    }
}

#[test]
fn the_solution_keeps_every_row_and_nothing_else_that_does_is_nearer_to_what_was_wanted() {
    let (mut solved, mut tried) = (0, 0);
    for i in 0..40 {
        let world = World::random(i);
        let (mut bender, limbs) = world.written();
        let Some((x, _)) = bender.minimise(&limbs) else { continue };
        solved += 1;
        let p = &bender.problem;
        let fits = |x: &Vector, by: f64| {
            let bounds = (0..p.variables()).all(|k| p.lower[k] - by <= x[k] && x[k] <= p.upper[k] + by);
            bounds && p.rows().all(|(a, b)| a.iter().zip(x).map(|(a, x)| a * x).sum::<f64>() >= b - by)
        };
        assert!(fits(&x, 1e-9), "{i}");
        for k in 0..60 {
            // Near the solution and all over the bounds.
            let far = 0.5_f64.powi(k % 12);
            let other: Vector = std::array::from_fn(|v| {
                if v >= p.variables() {
                    return 0.0;
                }
                let random = p.lower[v] + (p.upper[v] - p.lower[v]) * (0.5 + 0.5 * w(k as usize, (i + 20 * v) as f64));
                x[v] + far * (random - x[v])
            });
            if fits(&other, 0.0) {
                tried += 1;
                assert!(cost(p, &other) >= cost(p, &x) - 1e-12, "{i} {k}");
            }
        }
    }
    assert!(solved > 20 && tried > 80, "{solved} {tried}");
}

#[test]
fn an_arm_that_is_settled_or_wants_to_rest_keeps_to_that() {
    let by = [0.1, 0.05, 0.01, 0.1, 0.0, 0.0, 0.1];
    let mut world = World::empty(false);
    ArmId::ALL.into_iter().for_each(|arm| world.want(arm, by));
    let (used, ecm) = (7, 4);
    let bent = |world: &World| {
        let mut bender = world.bender();
        let bent = ArmId::ALL.map(|arm| bender.propose(arm, &world.around()));
        (bent.map(|b| matches!(b, Bent::Past(..))), bender.last().0.variables(), bender.last().1)
    };
    // Everybody; solved once for all.
    assert_eq!(bent(&world), ([true; 3], 2 * used + ecm, 1));
    world.settled.psm1 = Some([0.0; N]);
    assert_eq!(bent(&world), ([false, true, true], used + ecm, 1));
    world.settled.psm1 = None;
    world.wishes.psm2 = None;
    assert_eq!(bent(&world), ([true, false, true], used + ecm, 1));
    world.want(PSM2, [0.0; N]);
    assert_eq!(bent(&world), ([true, false, true], used + ecm, 1));
    // Where nothing bars it, what is proposed is what was wanted.
    let world = World::alone(by);
    let (aim, _) = aim(&world.bodies.psm1, &world.bounds.psm1, &world.wishes.psm1.unwrap());
    let Bent::Past(v, None) = world.bender().propose(PSM1, &world.around()) else { panic!("barred") };
    assert!(map2(&v, &aim.next, |v, n| (v - n).abs()).iter().all(|d| *d < 1e-9), "{v:?} is not {:?}", aim.next);
}

#[test]
fn slower_than_a_billionth_is_rest() {
    let mut world = World::empty(false);
    world.states.ecm = None;
    world.want(PSM1, [0.1; N]);
    world.want(PSM2, [0.1; N]);
    let (_, limbs) = world.written();
    for (fastest, rests) in [(0.5e-9, true), (1e-9, false), (2e-9, false)] {
        for sign in [-1.0, 1.0] {
            let mut x = [0.0; MAX_VARIABLES];
            (x[0], x[8]) = (0.1e-9, sign * fastest);
            let mut expected = [0.0; N];
            expected[1] = if rests { 0.0 } else { sign * fastest };
            assert_eq!(limbs[1].part(&x), expected);
            assert_eq!(limbs[0].part(&x), [0.0; N]);
        }
    }
}

#[test]
fn a_distances_slope_is_the_way_straight_off_and_where_that_touches() {
    for i in 0..200 {
        let at = |k: f64| Point3::from(direction(i, k) * (0.02 + 0.01 * w(i, k + 5.0)));
        let c = Capsule { a: at(1.0), b: at(2.0), radius: 0.003 };
        let p = at(3.0);
        // The nearest of many points of the axis.
        let axis = |t: f64| c.a + (c.b - c.a) * t;
        let nearest = (0..=2000)
            .map(|k| f64::from(k) / 2000.0)
            .min_by(|s, t| (axis(*s) - p).norm().total_cmp(&(axis(*t) - p).norm()));
        let (along, place) = foot(&c, &p);
        assert!((along - nearest.unwrap()).abs() <= 0.5 / 2000.0 + 1e-9, "{i}: {along}");
        assert!((place - axis(along)).norm() < 1e-12);
        if (place - p).norm() < 2e-3 {
            continue;
        }
        let (normal, touched) = slope(&c, c.distance_to_point(&p), |c| c.distance_to_point(&p));
        assert!((normal - (place - p).normalize()).norm() < 2e-3, "{i}: {normal}");
        assert!((touched - along).abs() < 2e-3, "{i}: {touched} is not {along}");
    }
    let ball = Capsule { a: Point3::new(0.0, 0.0, 0.01), b: Point3::new(0.0, 0.0, 0.01), radius: 0.003 };
    assert_eq!(foot(&ball, &Point3::new(0.0, 1.0, 0.0)), (0.0, ball.a));
    // What does not change has no slope.
    assert_eq!(slope(&ball, 0.1, |_| 0.1), (Vector3::zeros(), 0.0));
}
