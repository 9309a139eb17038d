//! Clearances against brute force: every distance is measured again by school geometry, among random things; and what each is called.

use super::*;
use crate::{
    SafetyParams, Zone, ZoneShape,
    dofs::{N, PerArm, map2},
    surface::{LiveScene, Policy},
    zones::mesh::Mesh,
};
use nalgebra::{Point3, Vector3};
use proctor_kinematics::Capsule;
use proctor_types::{Stamp, SurfacePoint};

const PSM: ArmId = ArmId::Psm1;
const HOME: Q = [0.0, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2];
/// Reach of the check's usual questions, m.
const NEAR: f64 = 0.01;

/// Uniform over [-1, 1], the same on every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    fn within(&mut self, low: f64, high: f64) -> f64 {
        f64::midpoint(low, high) + (high - low) / 2.0 * self.throw()
    }

    fn vector(&mut self, size: f64) -> Vector3<f64> {
        Vector3::from_fn(|_, _| size * self.throw())
    }

    fn joints(&mut self, arm: ArmId) -> Q {
        let (deep, sizes) = match arm {
            ArmId::Psm1 | ArmId::Psm2 => (0.16, [0.3, 0.3, 0.03, 1.0, 0.6, 0.6, 0.3]),
            ArmId::Ecm => (0.08, [0.2, 0.2, 0.03, 0.5, 0.0, 0.0, 0.0]),
        };
        let mut q = sizes.map(|size| size * self.throw());
        q[2] += deep;
        q
    }
}

/// The least of a convex function along a capsule's axis, less the radius: by ternary search.
fn least(c: &Capsule, of: impl Fn(&Point3<f64>) -> f64) -> f64 {
    let at = |s: f64| of(&(c.a + (c.b - c.a) * s));
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..44 {
        let (a, b) = ((2.0 * low + high) / 3.0, (low + 2.0 * high) / 3.0);
        if at(a) < at(b) { high = b } else { low = a }
    }
    at(low).min(at(0.0)).min(at(1.0)) - c.radius
}

fn between(a: &Capsule, b: &Capsule) -> f64 {
    least(a, |p| least(b, |q| (p - q).norm()))
}

/// Distance of a capsule from a zone.
fn from_zone(zone: &ZoneShape, c: &Capsule) -> f64 {
    match zone {
        ZoneShape::HalfSpace { point, normal } => {
            least(c, |p| Vector3::from(*normal).normalize().dot(&(p - Point3::from(*point))))
        }
        ZoneShape::Sphere { center, radius } => least(c, |p| (p - Point3::from(*center)).norm()) - radius,
        ZoneShape::Capsule { a, b, radius } => between(c, &Capsule { a: (*a).into(), b: (*b).into(), radius: *radius }),
        ZoneShape::Box { .. } | ZoneShape::Mesh(_) => unreachable!("not thrown here"),
    }
}

/// A world full of things around the arms, and what is known of it.
struct World {
    filter: Filter,
    zones: Vec<Zone>,
    points: Vec<SurfacePoint>,
    states: PerArm<Option<MotionState>>,
    rules: Rules,
}

impl World {
    fn new(dice: &mut Dice) -> Self {
        let params = SafetyParams { zones: Vec::new(), ..SafetyParams::default() };
        let mut filter = Filter::new(&params).unwrap();
        let states = PerArm::from_fn(|arm| Some(MotionState::resting(dice.joints(arm))));
        let middle = filter.bodies.psm1.shape(&states.psm1.unwrap().q).unwrap().tip;
        let mut somewhere = |size: f64| middle + dice.vector(size);
        let mut zones = Vec::new();
        for i in 0..MAX_ZONES {
            let (here, there) = (somewhere(0.08), somewhere(0.08));
            let away = (middle - here).normalize();
            let region = match i % 3 {
                0 => ZoneShape::HalfSpace { point: (here - away * 0.05).coords.into(), normal: (away * 3.0).into() },
                1 => ZoneShape::Sphere { center: here.coords.into(), radius: 0.01 },
                _ => ZoneShape::Capsule { a: here.coords.into(), b: there.coords.into(), radius: 0.004 },
            };
            let arms = [vec![], vec![PSM], vec![ArmId::Psm2, ArmId::Ecm]][i / 3 % 3].clone();
            zones.push(Zone { name: "z".into(), margin: 0.001 * i as f64, arms, region });
        }
        let point = |i: usize| SurfacePoint {
            position: somewhere(0.06),
            class: Class::ALL[i % Class::COUNT],
            sigma: 1e-4 * (i % 50) as f64,
        };
        let points: Vec<_> = (0..150).map(point).collect();
        filter.zones = zones.iter().map(Keepout::new).collect();
        filter.scene = Some(Box::new(LiveScene::of(&points)));
        let keep = Class::ALL.map(|_| Some(dice.within(0.0, 0.01)).filter(|k| *k > 0.002));
        let policy = Policy {
            keep,
            sigmas: 2.0,
            arm_variance: dice.within(0.0, 0.003).powi(2),
            max_uncertainty: 0.006,
            growth: dice.within(0.0, 0.001),
        };
        filter.begin(&states);
        filter.watch(&states);
        Self { filter, zones, points, states, rules: Rules { tip_speed: 0.1, policy, force: None, watched: true } }
    }

    /// The whole list as its order says: depth, zones, classes, arms, the picture. Exact up to `within`.
    fn by_brute_force(&self, arm: ArmId, q: &Q, within: f64) -> Vec<f64> {
        let (body, policy) = (self.filter.body(arm), &self.rules.policy);
        let shape = body.shape(q).unwrap();
        let of_arm = (policy.sigmas * policy.arm_variance.sqrt()).min(policy.max_uncertainty);
        // crtk.md: wrist-pitch axis at q3 - 0.4318 + 0.4162; ECM's tip at q3 - 0.3822 + 0.3829. Both stay 45 mm deep.
        let mut all = vec![q[2] + if arm == ArmId::Ecm { 0.0007 } else { -0.0156 } - 0.045];
        for zone in &self.zones {
            let d = shape.capsules.iter().map(|c| from_zone(&zone.region, c) - zone.margin - of_arm);
            all.push(d.filter(|_| zone.holds_for(arm)).fold(within, f64::min));
        }
        for class in Class::ALL {
            let mine = self.points.iter().filter(|p| p.class == class && class.is_tissue());
            let kept = policy.keep[usize::from(class.id())];
            let d = mine.filter_map(|p| {
                let doubt = (policy.sigmas * p.sigma.hypot(policy.arm_variance.sqrt())).min(policy.max_uncertainty);
                let d = shape.capsules.iter().map(|c| least(c, |x| (x - p.position).norm()));
                Some(d.fold(f64::INFINITY, f64::min) - doubt - policy.growth - kept?)
            });
            all.push(d.fold(within, f64::min));
        }
        for other in ArmId::ALL {
            let theirs = self.filter.body(other).shape(&self.states.get(other).unwrap().q).unwrap().capsules;
            let d =
                shape.capsules.iter().flat_map(|a| theirs.iter().map(|b| between(a, b) - 0.002).collect::<Vec<_>>());
            all.push(d.filter(|_| other != arm).fold(within, f64::min));
        }
        // From the four sides of the pyramid: an instrument's own tip, or those that the endoscope saw, where they are in the picture.
        let scope = if arm == ArmId::Ecm { *q } else { self.states.ecm.unwrap().q };
        let camera = |q: &Q| self.filter.body(ArmId::Ecm).shape(q).unwrap().frame.iso() * self.filter.camera_mount();
        let inside = |scope: &Q, tip: &Point3<f64>| {
            let p = camera(scope).inverse_transform_point(tip).coords;
            let ((sw, cw), (sh, ch)) = (0.5_f64.sin_cos(), 0.39_f64.sin_cos());
            let sides = [[cw, 0.0, sw], [-cw, 0.0, sw], [0.0, ch, sh], [0.0, -ch, sh]];
            sides.map(|side| Vector3::from(side).dot(&p)).into_iter().fold(f64::INFINITY, f64::min) - 0.002
        };
        let tips = ArmId::PSMS.map(|psm| self.filter.body(psm).shape(&self.states.get(psm).unwrap().q).unwrap().tip);
        let seen = tips.iter().filter(|tip| inside(&self.states.ecm.unwrap().q, tip) >= -0.002);
        all.push(match arm {
            ArmId::Psm1 | ArmId::Psm2 => inside(&scope, &shape.tip).min(within),
            ArmId::Ecm => seen.map(|tip| inside(&scope, tip)).fold(within, f64::min),
        });
        all
    }
}

fn same(got: &Clearance, expected: &[f64], what: &str) {
    assert_eq!(got.len(), expected.len());
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() < 1e-7, "{what}, number {i}: {got}, by brute force {expected}");
    }
}

#[test]
fn every_clearance_is_the_distance_by_brute_force_less_what_is_kept() {
    let mut dice = Dice(1);
    let mut measured = [0; CLEARANCES];
    for case in 0..16 {
        let mut world = World::new(&mut dice);
        for arm in ArmId::ALL {
            let state = world.states.get(arm).unwrap();
            let here = world.filter.here(arm, &state, &world.rules);
            same(&here.clearance, &world.by_brute_force(arm, &state.q, FAR), &format!("{arm} in case {case}"));
            here.clearance.iter().zip(&mut measured).for_each(|(&h, n)| *n += usize::from(h < FAR));
            // A little way on only what may be near by then is measured again.
            for size in [0.003, 0.03] {
                let to = map2(&state.q, &dice.joints(arm), |from, to| from + size * (to - from));
                let there = world.filter.clearance_at(arm, &to, &here, NEAR, &world.rules);
                same(&there, &world.by_brute_force(arm, &to, NEAR), &format!("{arm} near case {case}"));
            }
        }
    }
    for (i, n) in measured.iter().enumerate() {
        let tissue = (CLASSES..TOOLS).contains(&i) && Class::ALL[i - CLASSES].is_tissue();
        assert!(*n > 1 || ((CLASSES..TOOLS).contains(&i) && !tissue), "number {i} was near in {n} cases only");
    }
}

#[test]
fn there_is_one_number_for_each_thing() {
    let counts = [ZONES, CLASSES, TOOLS, VIEW, CLEARANCES].windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>();
    assert_eq!((DEPTH, ZONES, counts), (0, 1, vec![MAX_ZONES, Class::COUNT, 3, 1]));
}

#[test]
fn a_mesh_is_measured_as_far_away_as_its_margin_and_doubt_ask_for() {
    let mut f = Filter::new(&SafetyParams { zones: Vec::new(), ..SafetyParams::default() }).unwrap();
    let mut rules = f.rules(PSM, false, false, Stamp::FIRST);
    rules.policy.arm_variance = 0.001_f64.powi(2);
    let shape = f.bodies.psm1.shape(&HOME).unwrap();
    let low = shape.capsules.iter().flat_map(|c| [c.a.z - c.radius, c.b.z - c.radius]).fold(f64::INFINITY, f64::min);
    // A floor 25 mm below the lowest point; 15 mm are its margin, 2 mm the arm's doubt.
    let z = (low - 0.025) as f32;
    let corners = [[-1.0, -1.0, z], [1.0, -1.0, z], [0.0, 1.5, z]];
    let region = ZoneShape::Mesh(std::sync::Arc::new(Mesh::new("floor", vec![corners]).unwrap()));
    f.zones.push(Keepout::new(&Zone { name: "floor".into(), margin: 0.015, arms: vec![], region }));
    let nothing = Known { clearance: &UNKNOWN, vicinity: &Vicinity::default(), moved: 0.0 };
    for (within, expected) in [(0.02, 0.008), (0.009, 0.008), (0.005, 0.005)] {
        let h = f.clearance(PSM, &shape, nothing, within, &rules)[ZONES];
        assert!((h - expected).abs() < 1e-6, "{h} up to {within}");
    }
}

#[test]
fn each_clearance_has_its_name_with_the_distance_now_and_what_is_kept() {
    let margins = |i: usize| 0.001 * i as f64;
    let region = || ZoneShape::Sphere { center: [1.0; 3], radius: 0.01 };
    let zones = (0..3).map(|i| Zone { name: "z".into(), margin: margins(i), arms: vec![], region: region() }).collect();
    let params = SafetyParams { zones, ..SafetyParams::default() };
    let f = Filter::new(&params).unwrap();
    let mut rules = f.rules(PSM, false, false, Stamp::FIRST);
    // Doubt 2 * 3 mm, and 0.5 mm for age, of tissue only.
    (rules.policy.arm_variance, rules.policy.growth) = (0.003_f64.powi(2), 0.0005);
    rules.policy.keep = std::array::from_fn(|id| Some(0.002 * id as f64).filter(|_| id != 6));
    let here: Clearance = std::array::from_fn(|i| 0.01 * (i + 1) as f64);
    let check = |arm, i: usize, constraint, index, limit: f64| {
        let f = f.named(arm, i, &here, &rules);
        assert_eq!((f.arm, f.constraint, f.index), (Some(arm), constraint, index), "number {i}");
        assert!((f.limit - limit).abs() < 1e-12 && (f.value - here[i] - limit).abs() < 1e-12, "number {i}: {f:?}");
    };
    for arm in ArmId::ALL {
        check(arm, 0, Constraint::RemoteCentre, -1, 0.045);
        for zone in 0..3 {
            check(arm, 1 + zone, Constraint::NoGoZone, zone as i32, margins(zone) + 0.006);
        }
        for id in 0..Class::COUNT {
            let keep = if id == 6 { 0.0 } else { 0.002 * id as f64 };
            check(arm, 1 + MAX_ZONES + id, Constraint::LiveSurface, id as i32, keep + 0.0065);
        }
        for other in ArmId::ALL {
            let i = 1 + MAX_ZONES + Class::COUNT + other.index();
            check(arm, i, Constraint::ToolToolDistance, other.index() as i32, 0.002);
        }
        check(arm, CLEARANCES - 1, Constraint::OutOfView, arm.index() as i32, 0.002);
    }
    for (barrier, constraint, index) in [
        (Barrier::Zone(2), Constraint::NoGoZone, 2),
        (Barrier::Tissue(Class::CysticDuct), Constraint::LiveSurface, 4),
        (Barrier::Tool(ArmId::Psm2), Constraint::ToolToolDistance, 1),
        (Barrier::Tool(ArmId::Ecm), Constraint::ToolToolDistance, 2),
    ] {
        let said = f.barred(PSM, barrier, &here, &rules);
        assert_eq!((said.constraint, said.index), (constraint, index));
    }
}

#[test]
fn the_endoscope_says_whose_tip_would_leave_its_picture() {
    let mut f = Filter::new(&SafetyParams::default()).unwrap();
    let rules = f.rules(ArmId::Ecm, true, false, Stamp::FIRST);
    let scope = [0.0, 0.0, 0.08, 0.0, 0.0, 0.0, 0.0];
    for (psm1, psm2, whose) in [(0.1, 0.0, ArmId::Psm1), (0.0, -0.1, ArmId::Psm2)] {
        let at = |yaw: f64| Some(MotionState::resting([yaw, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2]));
        f.watch(&PerArm { psm1: at(psm1), psm2: at(psm2), ecm: Some(MotionState::resting(scope)) });
        let said = f.named(ArmId::Ecm, VIEW, &[0.0; CLEARANCES], &rules);
        assert_eq!((said.constraint, said.index), (Constraint::OutOfView, whose.index() as i32));
        assert_eq!((said.value, said.limit), (0.002, 0.002));
    }
}

#[test]
fn what_falls_to_the_least_on_the_way_is_named_and_of_two_the_first() {
    let f = Filter::new(&SafetyParams::default()).unwrap();
    let rules = f.rules(PSM, false, false, Stamp::FIRST);
    let (here, wide) = ([0.02; CLEARANCES], [0.03; CLEARANCES]);
    let with = |low: &[(usize, f64)]| {
        let mut all = wide;
        low.iter().for_each(|&(i, h)| all[i] = h);
        all
    };
    let duct = CLASSES + usize::from(Class::CysticDuct.id());
    for (middle, end, constraint) in [
        (with(&[(duct, 0.001), (DEPTH, 0.002)]), wide, Constraint::LiveSurface),
        (with(&[(DEPTH, 0.002)]), with(&[(duct, 0.001)]), Constraint::LiveSurface),
        (with(&[(duct, 0.001)]), with(&[(duct, 0.002), (TOOLS + 1, 0.0015)]), Constraint::LiveSurface),
        (with(&[(DEPTH, -0.002)]), with(&[(duct, -0.001)]), Constraint::RemoteCentre),
        (with(&[(VIEW, 0.01)]), with(&[(TOOLS + 1, 0.01)]), Constraint::ToolToolDistance),
    ] {
        let said = f.finding(PSM, &here, &middle, &end, &rules);
        assert_eq!(said.constraint, constraint);
        assert!((said.value - said.limit - 0.02).abs() < 1e-12, "where it is now: {said:?}");
    }
}

#[test]
fn the_nearest_limit_is_the_trocars_when_less_is_left_there_than_to_anything_else() {
    let mut params = SafetyParams { zones: Vec::new(), ..SafetyParams::default() };
    params.instruments[1] = "LEAN7_PROBE".into();
    let (arm, mut f) = (ArmId::Psm2, Filter::new(&params).unwrap());
    let chain = f.bodies.psm2.chain().clone();
    let home = chain.home().unwrap();
    let at = |turn: f64| -> Q { std::array::from_fn(|j| home[j] + if j == 1 { turn } else { 0.0 }) };
    let offset = |q: &Q| RemoteCentre::offset(&chain, q);
    // 0.3 mm of 0.5 beside the trocar: 0.2 mm left.
    let (mut low, mut high) = (0.0, 0.02);
    while high - low > 1e-12 {
        let turn = f64::midpoint(low, high);
        if offset(&at(turn)) < 3e-4 { low = turn } else { high = turn }
    }
    let q = at(low);
    let trocar = Finding::of(arm, Constraint::TrocarOffset, offset(&q), 5e-4);
    assert!((trocar.value - 3e-4).abs() < 1e-9);
    let mut rules = f.rules(arm, false, false, Stamp::FIRST);
    rules.policy.arm_variance = 0.0;
    assert_eq!(f.nearest(arm, &q, &rules), trocar);
    let low = |c: &Capsule| (c.a.z - c.radius).min(c.b.z - c.radius);
    let low = f.bodies.psm2.shape(&q).unwrap().capsules.iter().map(low).fold(f64::INFINITY, f64::min);
    for (margin, left, floor) in
        [(0.001, 1e-4, true), (0.001, 4e-4, false), (0.0, 1.99e-4, true), (0.02, 2.01e-4, false)]
    {
        let region = ZoneShape::HalfSpace { point: [0.0, 0.0, low - margin - left], normal: [0.0, 0.0, 1.0] };
        f.zones.clear();
        f.zones.push(Keepout::new(&Zone { name: "floor".into(), margin, arms: vec![], region }));
        let said = f.nearest(arm, &q, &rules);
        if floor {
            assert_eq!((said.constraint, said.index, said.limit), (Constraint::NoGoZone, 0, margin));
            assert!((said.value - margin - left).abs() < 1e-9, "{said:?}");
        } else {
            assert_eq!(said, trocar);
        }
    }
    // An arm whose mechanism holds it in the trocar has only the others; its depth, where none is near.
    f.zones.clear();
    let depth = f.bodies.psm1.shape(&HOME).unwrap().depth;
    let said = f.nearest(PSM, &HOME, &Rules { policy: rules.policy, ..f.rules(PSM, false, false, Stamp::FIRST) });
    assert_eq!(said, Finding::of(PSM, Constraint::RemoteCentre, depth, f.params.clearance.psm_depth));
    // Where it is, nobody knows: nothing is clear.
    let lost = f.nearest(PSM, &[f64::NAN; N], &rules);
    assert!(lost.value < lost.limit, "{lost:?}");
}
