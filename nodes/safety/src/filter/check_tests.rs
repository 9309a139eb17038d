//! What a tick is refused for, on each side of every threshold. PSM1 stands at the origin with its base's axes along the world's: the straight
//! instrument points along -z, and more insertion leads straight down.
#![expect(clippy::result_large_err, reason = "as what it tests")]

use super::*;
use crate::{
    SafetyParams, Zone, ZoneShape,
    dofs::{DT, PerArm},
    player::Player,
    surface::{LiveScene, Policy},
    zones::Keepout,
};
use nalgebra::{Isometry3, Point3, Vector3};
use proctor_types::{Class, SurfacePoint};

const PSM: ArmId = ArmId::Psm1;
const HOME: Q = [0.0, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2];
const INSERTION: usize = 2;
/// Less than any threshold is wide, more than rounding, m.
const BIT: f64 = 1e-8;

fn filter() -> Filter {
    let mut f = Filter::new(&SafetyParams { zones: Vec::new(), ..SafetyParams::default() }).unwrap();
    f.bodies.psm1.place(Isometry3::identity());
    f
}

/// Nothing is doubted, contact is allowed, and no tip is too fast.
fn rules() -> Rules {
    let policy =
        Policy { keep: [None; Class::COUNT], sigmas: 2.0, arm_variance: 0.0, max_uncertainty: 0.01, growth: 0.0 };
    Rules { tip_speed: 1e3, policy, force: None, watched: false }
}

fn zone(region: ZoneShape) -> Keepout {
    Keepout::new(&Zone { name: "z".into(), margin: 0.0, arms: vec![], region })
}

/// Below the arm at `q`, and so far away.
fn floor(f: &Filter, q: &Q, gap: f64) -> Keepout {
    let low = |c: &proctor_kinematics::Capsule| (c.a.z - c.radius).min(c.b.z - c.radius);
    let low = f.body(PSM).shape(q).unwrap().capsules.iter().map(low).fold(f64::INFINITY, f64::min);
    zone(ZoneShape::HalfSpace { point: [0.0, 0.0, low - gap], normal: [0.0, 0.0, 1.0] })
}

/// A ball of 1 mm beside the end of the jaws at `q`, towards `side`, and so far away.
fn ball(f: &Filter, q: &Q, side: Vector3<f64>, gap: f64) -> Keepout {
    let jaws = *f.body(PSM).shape(q).unwrap().capsules.last().unwrap();
    let center = jaws.b + side * (jaws.radius + 0.001 + gap);
    zone(ZoneShape::Sphere { center: center.coords.into(), radius: 0.001 })
}

fn moved(q: &Q, joint: usize, by: f64) -> Q {
    let mut to = *q;
    to[joint] += by;
    to
}

/// Whether the way from rest at `from` to rest at `to` is taken.
fn goes(f: &mut Filter, from: &Q, to: &Q, rules: &Rules) -> bool {
    checked(f, from, &MotionState::resting(*to), rules).is_ok()
}

fn checked(f: &mut Filter, from: &Q, to: &MotionState, rules: &Rules) -> Result<(), Barred> {
    let from = MotionState::resting(*from);
    f.begin(&PerArm::default());
    let here = f.here(PSM, &from, rules);
    f.check(PSM, &from, to, &here, rules)
}

fn limit(refused: &Result<(), Barred>) -> Finding {
    match refused {
        Err(Barred::By(finding)) => *finding,
        other => panic!("{other:?}"),
    }
}

/// Uniform over [-1, 1], the same on every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

#[test]
fn a_way_is_taken_when_its_middles_are_clear_of_all_that_is_near_it_and_then_all_of_it_is_clear() {
    let (mut f, rules, mut dice) = (filter(), rules(), Dice(5));
    // Where a way of halves, quarters and eighths is looked at.
    let looks: [(&[f64], f64); 3] = [(&[0.5], 2.0), (&[0.25, 0.75], 4.0), (&[0.125, 0.375, 0.625, 0.875], 8.0)];
    let mut count = [0; 6];
    for case in 0..1500 {
        let mut from = moved(&HOME, INSERTION, 0.02 * dice.throw());
        // A third of the ways begin where the wrist is hardly deep enough: 45 mm, at an insertion of 60.6.
        if case % 3 == 0 {
            from[INSERTION] = 0.0606 + 0.004 * (1.0 + dice.throw());
        }
        let size = 0.03 * 10_f64.powf(1.3 * dice.throw() - 1.0);
        let scales =
            [1.0, 1.0, 0.1, 1.0, 1.0, 1.0, 0.5].map(|scale| scale * if dice.throw() > 0.0 { 1.0 } else { 0.05 });
        let end = map2(&from, &scales.map(|scale| size * scale * dice.throw()), |q, way| q + way);
        let at = |s: f64| map2(&from, &end, |a, b| a + s * (b - a));
        let body = f.body(PSM);
        let (travel, sinks) = (body.travel(&from, &end), (end[INSERTION] - from[INSERTION]).abs());
        if travel <= ESCAPE_TRAVEL {
            continue;
        }
        let near = at(0.5 + 0.5 * dice.throw());
        let side = Vector3::from_fn(|_, _| dice.throw()).normalize();
        let wide = if case % 4 == 0 { 4.0 } else { 1.0 };
        let gaps = [0.3, 0.6].map(|size| wide * size * travel * (1.0 + dice.throw()));
        let things = [ball(&f, &near, side, gaps[0]), floor(&f, &near, gaps[1])];
        f.zones.clear();
        f.zones.extend(things);
        let got = checked(&mut f, &from, &MotionState::resting(end), &rules);

        let here = f.here(PSM, &MotionState::resting(from), &rules);
        // The least that is left anywhere, less the part of the way that a point may have moved: the depth changes by the insertion only.
        let left = |q: &Q, part: f64| {
            let h = f.clearance_at(PSM, q, &here, FAR, &rules);
            let rest = h[1..].iter().copied().fold(f64::INFINITY, f64::min);
            (h[0] - part * sinks).min(rest - part * travel) - RESERVE
        };
        let mut steps = vec![left(&from, 1.0)];
        for (places, parts) in looks {
            steps.push(places.iter().map(|s| left(&at(*s), 1.0 / parts)).fold(f64::INFINITY, f64::min));
            if travel / parts < RESERVE {
                break;
            }
        }
        if travel > MAX_TRAVEL || steps.iter().any(|left| left.abs() < BIT) {
            continue;
        }
        let taken = steps.iter().position(|left| *left > 0.0);
        assert_eq!(got.is_ok(), taken.is_some(), "case {case}: {steps:?} on {travel}");
        count[taken.unwrap_or(if steps.len() < 4 { 4 } else { 5 })] += 1;
        if got.is_ok() {
            let worst = (0..=40).map(|k| left(&at(f64::from(k) / 40.0), 0.0)).fold(f64::INFINITY, f64::min);
            assert!(worst > -1e-9, "case {case}: {worst} on the way");
        } else if let Err(Barred::Near { end: said, .. }) = got {
            assert_eq!(said, end);
        }
    }
    assert!(count.iter().all(|n| *n > 10), "{count:?}");
}

#[test]
fn a_way_is_looked_at_no_closer_than_the_reserve() {
    // Beside the floor, which a roll neither nears nor leaves; the bound on its travel says otherwise.
    let (mut f, rules) = (filter(), rules());
    let body = f.body(PSM);
    let lever = body.travel(&HOME, &moved(&HOME, 3, 1.0));
    let ways = |travel: f64| moved(&HOME, 3, travel / lever);
    for (travel, parts) in [(3.9e-4, 4.0), (4.1e-4, 8.0), (7.9e-4, 8.0), (8.1e-4, 8.0), (0.01, 8.0)] {
        for (more, taken) in [(1e-6, true), (-1e-6, false)] {
            f.zones.clear();
            let floor = floor(&f, &HOME, RESERVE + travel / parts + more);
            f.zones.push(floor);
            assert_eq!(goes(&mut f, &HOME, &ways(travel), &rules), taken, "{travel} with {more}");
        }
    }
}

#[test]
fn a_stop_of_more_than_80_mm_is_not_judged() {
    let (mut f, rules) = (filter(), rules());
    let from = moved(&HOME, INSERTION, -0.05);
    for (way, taken) in [(0.0799, true), (0.0801, false)] {
        assert_eq!(goes(&mut f, &from, &moved(&from, INSERTION, way), &rules), taken, "{way}");
    }
    assert_eq!(AMPLE, 2.0 * RESERVE);
}

#[test]
fn a_stop_stays_in_each_joints_range_or_comes_back_towards_it() {
    let (mut f, rules) = (filter(), rules());
    let b = *f.bounds(PSM);
    for joint in [1, 3, 5, 6] {
        for (edge, out) in [(b.upper[joint], 1e-4), (b.lower[joint], -1e-4)] {
            let at = |beyond: f64| {
                let mut q = HOME;
                q[joint] = edge + beyond * out;
                q
            };
            // (from, to, taken), in steps beyond the edge.
            for (from, to, taken) in
                [(-2.0, 0.0, true), (-1.0, 1.0, false), (3.0, 1.0, true), (1.0, 1.0, true), (1.0, 2.0, false)]
            {
                let got = checked(&mut f, &at(from), &MotionState::resting(at(to)), &rules);
                if taken {
                    assert!(got.is_ok(), "joint {joint} from {from} to {to}: {got:?}");
                } else {
                    let said = limit(&got);
                    assert_eq!((said.constraint, said.index), (Constraint::JointPosition, joint as i32));
                    assert_eq!((said.value, said.limit), (at(to)[joint], edge));
                }
            }
        }
    }
}

#[test]
fn a_tip_may_have_98_hundredths_of_its_limit_and_less_near_tissue() {
    let f = filter();
    let from = MotionState::resting(HOME);
    let mut to = from;
    to.v[INSERTION] = 0.05;
    to = from.advanced(to.v);
    let tip = f.body(PSM).tip_speed(&HOME, &to.v).unwrap();
    let free = Here { q: HOME, clearance: [FAR; _], tissue: [1.0; Class::COUNT] };
    let asked = |here: &Here, tip_speed: f64| f.check(PSM, &from, &to, here, &Rules { tip_speed, ..rules() });
    let near = tip / TIP_CHECKED;
    let just = [near.next_down(), near, near.next_up()].into_iter().find(|most| TIP_CHECKED * most == tip).unwrap();
    assert!(asked(&free, just).is_ok());
    assert!(asked(&free, just * (1.0 + 1e-9)).is_ok());
    let said = limit(&asked(&free, just * (1.0 - 1e-9)));
    assert_eq!((said.constraint, said.index, said.value), (Constraint::TipSpeed, -1, tip));
    assert_eq!(said.limit, just * (1.0 - 1e-9));
    // At the duct 0.02 m/s, and 6 m/s per m of what is left after the stop: 0.05 / 0.98 = 0.02 + 6 * 0.00517.
    let end = to.stop(&f.bounds(PSM).acceleration);
    let duct = usize::from(Class::CysticDuct.id());
    for (left, taken) in [(0.005_171, true), (0.005_169, false)] {
        let mut here = free;
        here.tissue[duct] = left + end[INSERTION] - HOME[INSERTION];
        let got = asked(&here, 0.1);
        assert_eq!(got.is_ok(), taken, "{left}");
        if !taken {
            let said = limit(&got);
            assert_eq!((said.constraint, said.index, said.value), (Constraint::TissueSpeed, duct as i32, tip));
            assert!((said.limit - 0.02 - 6.0 * left).abs() < 1e-12, "{said:?}");
        }
    }
}

#[test]
fn a_force_may_grow_to_what_is_touched_bears() {
    let f = filter();
    let from = MotionState::resting(HOME);
    let free = Here { q: HOME, clearance: [FAR; _], tissue: [1.0; Class::COUNT] };
    let mut liver = free;
    liver.tissue[usize::from(Class::Liver.id())] = 0.001;
    // 1 N upwards on the tip, and 500 N/m: 8 mm down are 5 N, which the instrument bears; 2 mm are 2 N, which the liver does.
    let (force, behind) = (Vector3::new(0.0, 0.0, 1.0), moved(&HOME, INSERTION, -0.001));
    for (here, sent, way, bears) in [
        (free, HOME, 0.007_999, None),
        (free, HOME, 0.008_001, Some((5.0, -1))),
        // Not touched, and where it was sent last a millimetre behind it: then it may be, and the millimetre counts.
        (liver, HOME, 0.007_999, None),
        (liver, behind, 0.000_999, None),
        (liver, behind, 0.001_001, Some((2.0, 2))),
    ] {
        let rules = Rules { force: Some((force, sent)), ..rules() };
        let got = f.check(PSM, &from, &MotionState::resting(moved(&HOME, INSERTION, way)), &here, &rules);
        match bears {
            None => assert!(got.is_ok(), "{way}: {got:?}"),
            Some((bears, class)) => {
                let said = limit(&got);
                assert_eq!(
                    (said.constraint, said.value, said.limit, said.index),
                    (Constraint::Force, 1.0, bears, class)
                );
            }
        }
    }
}

#[test]
fn an_arm_that_is_too_near_goes_straight_out_in_small_steps_or_not_at_all() {
    let (mut f, rules) = (filter(), rules());
    let floor = floor(&f, &HOME, -5e-5);
    f.zones.push(floor);
    for (joint, way, taken) in [
        (INSERTION, -1.99e-4, true),
        (INSERTION, -2.01e-4, false),
        (INSERTION, 1e-6, false),
        // Not out, and not in either.
        (3, 1e-3, true),
    ] {
        assert_eq!(goes(&mut f, &HOME, &moved(&HOME, joint, way), &rules), taken, "joint {joint} by {way}");
    }
    // Still moving: every tick of the stop leads out.
    let mut out = MotionState::resting(HOME);
    out.v[INSERTION] = -0.01;
    assert!(checked(&mut f, &HOME, &out.advanced(out.v), &rules).is_ok());
    let why = checked(&mut f, &HOME, &MotionState::resting(moved(&HOME, INSERTION, 1e-6)), &rules).unwrap_err();
    let here = f.here(PSM, &MotionState::resting(HOME), &rules);
    let said = f.said(PSM, &why, &here, &rules);
    assert_eq!((said.constraint, said.index, said.limit), (Constraint::NoGoZone, 0, 0.0));
    assert!((said.value + 5e-5).abs() < 1e-12, "{said:?}");
}

/// A yaw by which no point moves farther than this.
fn swung(f: &Filter, travel: f64) -> Q {
    moved(&HOME, 0, travel / f.body(PSM).travel(&HOME, &moved(&HOME, 0, 1.0)))
}

/// How the jaws' end moves on the way to `to`: unit vector.
fn towards(f: &Filter, to: &Q) -> Vector3<f64> {
    let at = |q: &Q| f.body(PSM).shape(q).unwrap().jaw_end;
    (at(to) - at(&HOME)).normalize()
}

#[test]
fn what_is_neared_on_the_way_out_of_something_stays_ample() {
    let (mut f, rules) = (filter(), rules());
    let travel = 1e-4;
    let to = swung(&f, travel);
    let ahead = towards(&f, &to);
    // (gap at the end of the way to what lies ahead, taken)
    for (gap, taken) in
        [(travel + RESERVE + 1e-6, true), (travel + RESERVE - 1e-6, false), (travel, false), (0.0, false)]
    {
        let things = [ball(&f, &HOME, -ahead, -5e-5), ball(&f, &to, ahead, gap)];
        f.zones.clear();
        f.zones.extend(things);
        assert_eq!(goes(&mut f, &HOME, &to, &rules), taken, "{gap}");
        // The other way leads into the first.
        assert!(!goes(&mut f, &HOME, &moved(&HOME, 0, HOME[0] - to[0]), &rules));
    }
}

#[test]
fn every_point_of_tissue_that_is_neared_on_the_way_out_of_another_stays_ample() {
    let (mut f, mut rules) = (filter(), rules());
    let (travel, keep) = (5e-5, 0.001);
    rules.policy.keep[usize::from(Class::Liver.id())] = Some(keep);
    let to = swung(&f, travel);
    let ahead = towards(&f, &to);
    let beside = |q: &Q, side: Vector3<f64>, gap: f64| {
        let jaws = *f.body(PSM).shape(q).unwrap().capsules.last().unwrap();
        let position: Point3<f64> = jaws.b + side * (jaws.radius + keep + gap);
        SurfacePoint { position, class: Class::Liver, sigma: 0.0 }
    };
    let ways = [(travel + RESERVE + 1e-6, true), (travel + RESERVE - 1e-6, false), (travel, false), (1e-5, false)];
    let scenes =
        ways.map(|(gap, taken)| (gap, taken, LiveScene::of(&[beside(&HOME, -ahead, -5e-5), beside(&to, ahead, gap)])));
    for (gap, taken, scene) in scenes {
        f.scene = Some(Box::new(scene));
        assert_eq!(goes(&mut f, &HOME, &to, &rules), taken, "{gap}");
    }
}

/// A path that only moves the insertion: (time, insertion), m from home's.
fn path(points: &[(f64, f64)]) -> Plan {
    let points: Vec<_> = points.iter().map(|&(t, down)| (t, moved(&HOME, INSERTION, down))).collect();
    crate::plan::plan_tests::plan(&points).unwrap()
}

/// The path played for some ticks, and the tick after them.
fn played(plan: &Plan, ticks: usize) -> (MotionState, Step) {
    let (mut player, mut state) = (Player::default(), MotionState::resting(plan.start()));
    for _ in 0..ticks {
        let step = player.forward(plan, &state).unwrap();
        (player, state) = (step.player, MotionState { q: step.q, v: step.v });
    }
    (state, player.forward(plan, &state).unwrap())
}

fn stepped(f: &mut Filter, plan: &Plan, from: &MotionState, step: &Step) -> Result<(), Barred> {
    let rules = rules();
    f.begin(&PerArm::default());
    let here = f.here(PSM, from, &rules);
    f.check_step(PSM, from, plan, step, &here, &rules)
}

#[test]
fn a_tick_along_a_path_keeps_its_stop_along_the_path_clear() {
    let mut f = filter();
    let plan = path(&[(0.0, 0.0), (1.0, 0.03)]);
    let (from, step) = played(&plan, 300);
    let end = step.player.stop(&plan).1.position(&plan);
    let way = end[INSERTION] - from.q[INSERTION];
    let straight =
        MotionState { q: step.q, v: step.v }.stop(&f.bounds(PSM).acceleration)[INSERTION] - from.q[INSERTION];
    assert!(
        way > 2.0 * straight && straight > 10.0 * DT * step.v[INSERTION],
        "the stop along the path is the longer one"
    );
    for (gap, taken) in [(way + 1e-6, true), (way - 1e-6, false), (way / 2.0, false), (straight - 1e-6, false)] {
        f.zones.clear();
        let floor = floor(&f, &from.q, RESERVE + gap);
        f.zones.push(floor);
        let got = stepped(&mut f, &plan, &from, &step);
        assert_eq!(got.is_ok(), taken, "{gap} of {way}");
        if let Err(Barred::Near { end: said, .. }) = got
            && gap > straight
        {
            assert_eq!(said, end);
        }
    }
    // On the way out the end of the stop is clearer than its beginning.
    let plan = path(&[(0.0, 0.0), (1.0, -0.03)]);
    let (from, step) = played(&plan, 300);
    for (gap, taken) in [(1e-6, true), (-1e-4, false)] {
        f.zones.clear();
        let floor = floor(&f, &from.q, RESERVE + gap);
        f.zones.push(floor);
        assert_eq!(stepped(&mut f, &plan, &from, &step).is_ok(), taken, "{gap}");
    }
}

#[test]
fn a_path_that_leads_out_is_followed_as_far_as_its_stop_leads_out() {
    // Out by 0.3 mm and in again; 75 um before the turn, with a stop of 15.
    let mut f = filter();
    let plan = path(&[(0.0, 0.0), (0.1, -3e-4), (0.2, 0.0)]);
    let (from, step) = played(&plan, 80);
    let out = |q: &Q| HOME[INSERTION] - q[INSERTION];
    let stop = out(&step.player.stop(&plan).1.position(&plan)) - out(&step.q);
    let left = 3e-4 - out(&step.q);
    assert!(stop > 1e-5 && stop < left && left < 7.0 * stop, "{left} {stop}");
    let floor_here = floor(&f, &from.q, -5e-5);
    f.zones.push(floor_here);
    assert!(stepped(&mut f, &plan, &from, &step).is_ok());
    // Behind the turn it leads in again.
    let (from, step) = played(&plan, 140);
    f.zones.clear();
    let floor_here = floor(&f, &from.q, -5e-5);
    f.zones.push(floor_here);
    assert!(step.v[INSERTION] > 0.0 && stepped(&mut f, &plan, &from, &step).is_err());
}
