//! What the filter answers to goals and states that no run brings about: it brakes, and says why.

use super::*;
use crate::dofs::N;
use proctor_types::{
    Class, Digest, Evidence, HandEye, ImageQuality, Joints, PlannedWith, Pose, Proposal, ProposalId, QualityVerdict,
    Scene, Skill, Trajectory, TrajectoryPoint,
};

const ARM: ArmId = ArmId::Psm1;
const HOME: Q = [0.0, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2];
const ROLL: usize = 3;

fn filter() -> Filter {
    Filter::new(&SafetyParams { zones: Vec::new(), ..SafetyParams::default() }).unwrap()
}

fn with(joint: usize, value: f64) -> Q {
    let mut q = HOME;
    q[joint] = value;
    q
}

/// One tick of an arm that is alone in the world.
fn decide(filter: &mut Filter, state: &MotionState, desire: Desire, tip_speed: f64) -> Decided {
    let rules = Rules { tip_speed, ..filter.rules(ARM, false, false, Stamp::FIRST) };
    filter.begin(&PerArm { psm1: Some(*state), ..PerArm::default() });
    filter.decide(ARM, state, desire, &rules)
}

fn braked(filter: &Filter, from: &MotionState, decided: &Decided) -> bool {
    decided.blocked && decided.state.v == from.brake_velocity(&filter.bounds(ARM).acceleration)
}

#[test]
fn a_goal_beyond_a_joints_range_is_followed_to_the_end_of_it() {
    let mut f = filter();
    for (limit, beyond) in [(f.bounds(ARM).upper[ROLL], 0.1), (f.bounds(ARM).lower[ROLL], -0.1)] {
        let mut state = MotionState::resting(with(ROLL, limit - 0.2 * beyond));
        let goal = with(ROLL, limit + beyond);
        for tick in 0..2000 {
            let decided = decide(&mut f, &state, Desire::Goal(&goal), 1.0);
            let b = decided.binding.unwrap();
            assert_eq!(
                (b.constraint, b.index, b.value, b.limit),
                (Constraint::JointPosition, 3, goal[ROLL], limit),
                "{tick}"
            );
            assert!((decided.state.q[ROLL] - limit) * beyond <= 0.0, "tick {tick}: {}", decided.state.q[ROLL]);
            state = decided.state;
        }
        assert!((state.q[ROLL] - limit).abs() < 1e-9 && state.rests());
    }
}

#[test]
fn a_tick_whose_stop_would_leave_a_joints_range_is_not_taken() {
    let mut f = filter();
    for (limit, outwards) in [(f.bounds(ARM).upper[ROLL], 1.0), (f.bounds(ARM).lower[ROLL], -1.0)] {
        let mut state = MotionState::resting(with(ROLL, limit - 0.001 * outwards));
        state.v[ROLL] = outwards;
        let mut goal = state.q;
        goal[0] += 0.1;
        let decided = decide(&mut f, &state, Desire::Goal(&goal), 1.0);
        assert!(braked(&f, &state, &decided), "{decided:?}");
        let b = decided.binding.unwrap();
        assert_eq!((b.constraint, b.index, b.limit), (Constraint::JointPosition, 3, limit));
        assert!((b.value - limit) * outwards > 0.01, "{b:?}");
    }
}

#[test]
fn an_arm_that_is_faster_than_a_limit_that_was_lowered_brakes() {
    let mut f = filter();
    let mut state = MotionState::resting(HOME);
    state.v[0] = 0.6;
    let mut goal = HOME;
    (goal[0], goal[1]) = (0.3, 0.2);
    let decided = decide(&mut f, &state, Desire::Goal(&goal), 0.02);
    assert!(braked(&f, &state, &decided), "{decided:?}");
    let b = decided.binding.unwrap();
    assert_eq!((b.constraint, b.limit), (Constraint::TipSpeed, 0.02));
    assert!(b.value > 0.02, "{b:?}");
}

#[test]
fn a_stop_that_is_too_long_to_be_judged_is_the_only_thing_left() {
    let mut f = filter();
    let mut state = MotionState::resting(HOME);
    (state.v[0], state.v[1]) = (2.5, 2.5);
    let mut goal = HOME;
    goal[ROLL] = 0.5;
    let decided = decide(&mut f, &state, Desire::Goal(&goal), 100.0);
    assert!(braked(&f, &state, &decided), "{decided:?}");
}

#[test]
fn a_state_without_numbers_is_never_followed() {
    let mut f = filter();
    let state = MotionState { q: with(ROLL, f64::NAN), v: [0.0; N] };
    let decided = decide(&mut f, &state, Desire::Goal(&with(0, 0.1)), 1.0);
    assert!(decided.blocked && decided.binding.is_some(), "{decided:?}");
    // Where it is, nobody knows: it is in nobody's way, and the gate lets nothing through for it.
    let other = MotionState::resting(HOME);
    f.begin(&PerArm { psm1: Some(state), psm2: Some(other), ecm: None });
    let rules = f.rules(ArmId::Psm2, false, false, Stamp::FIRST);
    let goal = with(ROLL, 0.1);
    assert!(!f.decide(ArmId::Psm2, &other, Desire::Goal(&goal), &rules).blocked);
}

/// A turn of a joint by 0.2 rad within a second.
fn plan(joint: usize) -> Plan {
    let point = |t, turn| TrajectoryPoint { t, position: Joints::new(&with(joint, turn)[..6]).unwrap(), jaw: 0.2 };
    let proposal = Proposal {
        id: ProposalId(1),
        stamp: Stamp::FIRST,
        expires: Stamp::FIRST.plus(std::time::Duration::from_secs(10)),
        skill: Skill::Retract,
        trajectory: Trajectory::new(ARM, vec![point(0.0, 0.0), point(1.0, 0.2)]).unwrap(),
        planned_with: PlannedWith { model: Digest::default(), hand_eye: 0, zones: 0 },
        evidence: Evidence {
            summary: String::new(),
            confidence: 1.0,
            smallest_clearance: None,
            clearance_class: Class::Background,
        },
    };
    crate::Planner::new(&SafetyParams::default()).unwrap().prepare(&proposal).unwrap()
}

#[test]
fn a_path_without_a_next_place_is_left_by_braking() {
    let mut f = filter();
    let plan = plan(ROLL);
    let state = MotionState { q: HOME, v: with(ROLL, f64::NAN) };
    let lost = MotionState { q: with(ROLL, f64::NAN), ..state };
    for desire in [Desire::Advance(&plan, Player::default()), Desire::Pause(&plan, Player::default())] {
        let decided = decide(&mut f, &lost, desire, 1.0);
        assert!(decided.blocked && decided.player.is_none(), "{decided:?}");
        assert_eq!(decided.binding.unwrap().constraint, Constraint::Malformed);
    }
}

#[test]
fn a_hand_eye_estimate_that_is_far_off_is_not_believed() {
    let turned = |angle: f64| nalgebra::UnitQuaternion::from_axis_angle(&nalgebra::Vector3::x_axis(), angle);
    let shifted = |x: f64| nalgebra::Translation3::new(x, 0.0, 0.0);
    let params = SafetyParams::default();
    let c = &params.clearance;
    // (shift, turn, what is said: which fault, value, limit)
    for (x, angle, expected) in [
        (0.0, 0.0, None),
        (c.hand_eye_translation - 1e-6, 0.0, None),
        (0.0, c.hand_eye_rotation - 1e-6, None),
        (c.hand_eye_translation + 1e-6, 0.0, Some((SceneFault::Displaced, c.hand_eye_translation))),
        (0.0, c.hand_eye_rotation + 1e-6, Some((SceneFault::Turned, c.hand_eye_rotation))),
        (c.hand_eye_translation + 1e-6, 1.0, Some((SceneFault::Displaced, c.hand_eye_translation))),
    ] {
        let mut f = filter();
        let nominal = *f.body(ARM).world_from_base();
        let seen = nominal * Isometry3::from_parts(shifted(x), turned(angle));
        let covariance = nalgebra::Matrix6::identity() * 1e-8;
        let hand_eye = HandEye { arm: ARM, world_from_base: Pose::new(seen), covariance, version: 1 };
        let scene = Scene {
            stamp: Stamp::FIRST,
            seq: 1,
            world_from_camera: Pose::identity(),
            hand_eyes: vec![hand_eye],
            instruments: Vec::new(),
            surface: Vec::new(),
            zones_version: 0,
            clearances: Vec::new(),
            grasp_target: None,
            quality: ImageQuality { verdict: QualityVerdict::Good, ..ImageQuality::default() },
            model: Digest::default(),
            time: proctor_types::TimeOffset { timing: proctor_types::Timing::Known, seconds: 0.0, sigma: 0.003 },
        };
        let (_, doubted) = f.see(Box::new(LiveScene::new(&scene)));
        let believed = expected.is_none();
        assert_eq!(
            doubted.map(|d| (d.constraint, d.index, d.limit)),
            expected.map(|(fault, limit)| (Constraint::SceneStale, fault.index() as i32, limit))
        );
        if let (Some(d), Some((_, limit))) = (doubted, expected) {
            assert!(d.value > limit && d.arm == Some(ARM), "{d:?}");
        }
        assert_eq!(f.body(ARM).world_from_base(), if believed { &seen } else { &nominal });
        let doubt = if believed { 1e-8 } else { (c.max_uncertainty / c.sigmas).powi(2) };
        assert!((f.variance(ARM) - doubt).abs() < 1e-15, "{}", f.variance(ARM));
        let alignment = *f.scene().unwrap().alignment.get(ARM);
        assert_eq!(alignment == Alignment::Inconsistent, !believed);
    }
}

#[test]
fn every_bent_tick_is_a_program_that_can_be_looked_at() {
    let mut params = SafetyParams { zones: Vec::new(), ..SafetyParams::default() };
    let low = Body::configured(ARM, &params).unwrap().shape(&HOME).unwrap().jaw_end.z - 0.016;
    let region = crate::ZoneShape::HalfSpace { point: [0.0, 0.0, low], normal: [0.0, 0.0, 1.0] };
    params.zones.push(crate::Zone { name: "floor".into(), margin: 0.001, arms: vec![], region });
    let mut f = Filter::new(&params).unwrap();
    let rules = f.rules(ARM, false, false, Stamp::FIRST);
    assert_eq!(f.last_program().1, 0);
    let mut state = MotionState::resting(HOME);
    let goal = map2(&HOME, &[0.4, 0.0, 0.03, 0.0, 0.0, 0.0, 0.0], |a, b| a + b);
    for _ in 0..400 {
        f.begin(&PerArm { psm1: Some(state), ..PerArm::default() });
        f.wish(&PerArm { psm1: Some(Wish { state, goal, rules }), ..PerArm::default() });
        state = f.decide(ARM, &state, Desire::Goal(&goal), &rules).state;
    }
    assert!(f.last_program().1 > 0);
}

fn zone(region: crate::ZoneShape, arms: Vec<ArmId>) -> crate::Zone {
    crate::Zone { name: "z".into(), margin: 0.0, arms, region }
}

/// Below PSM1 at home, and so far away.
fn floor(gap: f64) -> crate::Zone {
    let body = Body::configured(ARM, &SafetyParams::default()).unwrap();
    let capsules = body.shape(&HOME).unwrap().capsules;
    let low = capsules.iter().map(|c| (c.a.z - c.radius).min(c.b.z - c.radius)).fold(f64::INFINITY, f64::min);
    zone(crate::ZoneShape::HalfSpace { point: [0.0, 0.0, low - gap], normal: [0.0, 0.0, 1.0] }, vec![])
}

/// A way of the tip straight up or down, m, for small ones.
fn raised(filter: &Filter, by: f64) -> Q {
    let rates = filter.body(ARM).ends(&HOME).unwrap().rates[3];
    let jacobian = nalgebra::Matrix3::from_columns(&rates[..3]);
    let step = jacobian.lu().solve(&Vector3::new(0.0, 0.0, by)).unwrap();
    map2(&HOME, &[step.x, step.y, step.z, 0.0, 0.0, 0.0, 0.0], |a, b| a + b)
}

/// Rules that doubt nothing.
fn sure(filter: &Filter) -> Rules {
    let mut rules = filter.rules(ARM, false, false, Stamp::FIRST);
    (rules.policy.arm_variance, rules.policy.growth) = (0.0, 0.0);
    rules
}

#[test]
fn a_hand_eye_estimate_exactly_as_far_off_as_is_believed_is_believed() {
    let turn = nalgebra::UnitQuaternion::from_axis_angle(&Vector3::x_axis(), 0.1);
    let shift = nalgebra::Translation3::new(0.01, 0.0, 0.0);
    for off in [
        Isometry3::from_parts(shift, nalgebra::UnitQuaternion::identity()),
        Isometry3::from_parts(nalgebra::Translation3::identity(), turn),
    ] {
        let mut f = filter();
        let seen = f.body(ARM).world_from_base() * off;
        let off = f.nominal.psm1.inverse() * seen;
        let c = &mut f.params.clearance;
        (c.hand_eye_translation, c.hand_eye_rotation) = (off.translation.vector.norm(), off.rotation.angle());
        assert_eq!(f.too_far(ARM, &seen), None);
        let c = &mut f.params.clearance;
        (c.hand_eye_translation, c.hand_eye_rotation) =
            (c.hand_eye_translation.next_down(), c.hand_eye_rotation.next_down());
        assert!(f.too_far(ARM, &seen).is_some());
    }
}

#[test]
fn what_an_arm_keeps_from_tissue_is_by_its_kind_and_by_what_it_does() {
    let mut f = filter();
    let classes = &mut f.params.classes;
    classes.liver.teleop = Touch::Keep(0.001);
    classes.liver.supervised = Touch::Keep(0.002);
    classes.liver.retract = Touch::Contact;
    classes.liver.endoscope = Touch::Keep(0.004);
    let liver = usize::from(Class::Liver.id());
    for (arm, supervised, retracting, keep) in [
        (ArmId::Psm1, false, false, Some(0.001)),
        (ArmId::Psm2, false, true, Some(0.001)),
        (ArmId::Psm1, true, false, Some(0.002)),
        (ArmId::Psm2, true, true, None),
        (ArmId::Ecm, false, false, Some(0.004)),
        (ArmId::Ecm, true, true, Some(0.004)),
    ] {
        let rules = f.rules(arm, supervised, retracting, Stamp::FIRST);
        assert_eq!(rules.policy.keep[liver], keep, "{arm}, supervised {supervised}, retracting {retracting}");
        assert_eq!(rules.policy.keep[usize::from(Class::Background.id())], None);
        assert_eq!((rules.watched, rules.tip_speed), (supervised, if supervised { 0.04 } else { 0.1 }));
        // 3 mm for an instrument that nobody has seen; the endoscope's base is exact by definition.
        let sigma = if arm == ArmId::Ecm { 0.0 } else { 0.003_f64 };
        assert_eq!((rules.policy.arm_variance, f.variance(arm)), (sigma.powi(2), sigma.powi(2)));
        assert_eq!(rules.policy.growth, 0.0, "without a scene there is none that ages");
    }
    // 3 mm/s, up to 0.4 s.
    f.scene = Some(Box::new(LiveScene::of(&[])));
    for (age, growth) in [(0, 0.0), (100, 0.0003), (399, 0.001_197), (401, 0.0012), (5000, 0.0012)] {
        let now = Stamp::FIRST.plus(std::time::Duration::from_millis(age));
        let rules = f.rules(ARM, false, false, now);
        assert!((rules.policy.growth - growth).abs() < 1e-12, "{age} ms: {}", rules.policy.growth);
    }
}

/// How far a zone is from PSM1 at home, if any is near.
fn nearest_zone(f: &Filter) -> Option<f64> {
    let said = f.nearest(ARM, &HOME, &sure(f));
    let near = said.constraint == Constraint::NoGoZone && said.value < crate::surface::FAR;
    near.then_some(said.value)
}

#[test]
fn zones_that_are_read_again_hold_at_once_and_the_old_ones_come_out() {
    let mut f = filter();
    let mut zones: ArrayVec<_, MAX_ZONES> = std::iter::once(Keepout::new(&floor(0.003))).collect();
    f.swap_zones(&mut zones);
    assert!(zones.is_empty() && nearest_zone(&f).is_some_and(|d| (d - 0.003).abs() < 1e-12));
    f.swap_zones(&mut zones);
    assert_eq!((zones.len(), nearest_zone(&f)), (1, None));
}

#[test]
fn a_zone_is_nothing_to_an_arm_for_which_it_does_not_hold() {
    let mut f = filter();
    for (arms, holds) in [(vec![], true), (vec![ARM], true), (vec![ArmId::Psm2, ArmId::Ecm], false)] {
        f.zones.clear();
        f.zones.push(Keepout::new(&crate::Zone { arms, ..floor(-0.01) }));
        assert_eq!(nearest_zone(&f).is_some(), holds);
    }
}

#[test]
fn the_picture_counts_while_arms_move_by_themselves_and_no_longer() {
    let mut f = filter();
    let scope = MotionState::resting([0.0, 0.0, 0.08, 0.0, 0.0, 0.0, 0.0]);
    let psm = MotionState::resting([0.1, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2]);
    let states = PerArm { psm1: Some(psm), psm2: None, ecm: Some(scope) };
    let rules = Rules { watched: true, ..sure(&f) };
    let roll = map2(&scope.q, &[0.0, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0], |a, b| a + b);
    let seen = |f: &Filter| f.nearest(ARM, &psm.q, &rules).constraint == Constraint::OutOfView;
    f.begin(&states);
    assert!(!seen(&f) && f.body(ArmId::Ecm).travel(&scope.q, &roll) == 0.0);
    f.watch(&states);
    // The endoscope's roll turns its picture of the tip, which lies so far from its pivot.
    let pivot = nalgebra::Point3::from(f.body(ArmId::Ecm).world_from_base().translation.vector);
    let lever = (f.body(ARM).shape(&psm.q).unwrap().tip - pivot).norm();
    assert!(seen(&f) && (f.body(ArmId::Ecm).travel(&scope.q, &roll) - 0.1 * lever).abs() < 1e-12);
    f.look_away();
    assert!(!seen(&f) && f.body(ArmId::Ecm).travel(&scope.q, &roll) == 0.0);
}

#[test]
fn the_others_keep_from_everywhere_an_arm_may_be_while_it_stops() {
    let mut f = filter();
    for i in 0..40 {
        let speed = |j: usize| f.bounds(ARM).velocity.up[j] * ((f64::from(i) * 0.618 * (j as f64 + 1.3)).fract() - 0.5);
        let state = MotionState { q: HOME, v: std::array::from_fn(speed) };
        f.begin(&PerArm { psm1: Some(state), ..PerArm::default() });
        let end = state.stop(&f.bounds(ARM).acceleration);
        let body = f.body(ARM);
        let swept = &f.sweeps.psm1.capsules;
        for k in 0..=10 {
            let at = map2(&HOME, &end, |a, b| a + (b - a) * f64::from(k) / 10.0);
            for (c, s) in body.shape(&at).unwrap().capsules.iter().zip(swept) {
                let within = |p| s.distance_to_point(&p) + c.radius <= 1e-12;
                assert!(within(c.a) && within(c.b), "case {i} at {k}");
            }
        }
        // And no wider than the bound on its way asks for.
        let half = body.travel(&HOME, &end) / 2.0;
        let middle = body.shape(&map2(&HOME, &end, f64::midpoint)).unwrap();
        for (c, s) in middle.capsules.iter().zip(swept) {
            assert!((s.radius - c.radius - half).abs() < 1e-12);
        }
    }
    f.begin(&PerArm::default());
    assert!(f.sweeps.psm1.capsules.is_empty(), "where an arm is that nobody knows of, nobody knows");
}

#[test]
fn the_speed_that_tissue_leaves_is_planned_and_its_class_said() {
    let mut f = filter();
    let body = f.body(ARM);
    let jaws = *body.shape(&HOME).unwrap().capsules.last().unwrap();
    let down = (jaws.b - jaws.a).normalize();
    let point = |d: f64| proctor_types::SurfacePoint {
        position: jaws.b + down * (jaws.radius + d),
        class: Class::Gallbladder,
        sigma: 0.0,
    };
    let gallbladder = usize::from(Class::Gallbladder.id());
    let state = MotionState::resting(HOME);
    // At the gallbladder 0.04 m/s, and 6 m/s more per m.
    for (d, expected) in [(0.0, 0.04), (-0.002, 0.04), (0.005, 0.07), (0.011, 0.1), (0.05, 0.1)] {
        f.scene = Some(Box::new(LiveScene::of(&[point(d)])));
        f.begin(&PerArm { psm1: Some(state), ..PerArm::default() });
        let rules = sure(&f);
        let (speed, class) = f.allowance(ARM, &state, &rules);
        assert!((speed - expected).abs() < 1e-9, "{d}: {speed}");
        assert_eq!(class, Some(gallbladder).filter(|_| expected < 0.1));
        // Yawed away as fast as it may: the tip is what limits it.
        f.begin(&PerArm { psm1: Some(state), ..PerArm::default() });
        let decided = f.decide(ARM, &state, Desire::Goal(&with(0, 0.5)), &rules);
        let said = decided.binding.unwrap();
        let constraint = if expected < 0.1 { Constraint::TissueSpeed } else { Constraint::TipSpeed };
        assert_eq!((said.constraint, said.limit), (constraint, speed), "{d}");
    }
    // A tip that is fast looks as much farther ahead as it takes to stop: to the duct 13.3 mm and the stop, from where it is not slowed.
    let mut fast = state;
    fast.v[2] = 0.1;
    let way = fast.stop(&f.bounds(ARM).acceleration)[2] - HOME[2];
    assert!(way > 0.004);
    for (d, expected) in [(0.0099, 0.04 + 6.0 * 0.0099), (0.0101, 0.1), (0.03, 0.1)] {
        f.scene = Some(Box::new(LiveScene::of(&[point(d + way)])));
        f.begin(&PerArm { psm1: Some(fast), ..PerArm::default() });
        let rules = sure(&f);
        let (speed, class) = f.allowance(ARM, &fast, &rules);
        assert!((speed - expected).abs() < 1e-9, "{d}: {speed}");
        assert_eq!(class, Some(gallbladder).filter(|_| expected < 0.1));
    }
}

#[test]
fn an_arm_deep_in_something_goes_straight_out_and_is_not_led_along_it() {
    for (depth, led) in [(0.0005, true), (0.0015, false)] {
        let mut f = filter();
        f.zones.push(Keepout::new(&floor(-depth)));
        let rules = sure(&f);
        let state = MotionState::resting(HOME);
        // Along the floor, and a little down.
        let mut goal = raised(&f, -0.002);
        goal[0] += 0.1;
        let mut ask = |goal: Q| {
            f.begin(&PerArm { psm1: Some(state), ..PerArm::default() });
            f.wish(&PerArm { psm1: Some(Wish { state, goal, rules }), ..PerArm::default() });
            f.decide(ARM, &state, Desire::Goal(&goal), &rules)
        };
        let along = ask(goal);
        assert_eq!(along.binding.unwrap().constraint, Constraint::NoGoZone);
        assert_eq!((!along.state.rests(), along.blocked), (led, !led), "{depth}");
        let out = raised(&filter(), 0.002);
        let out = ask(out);
        assert!(!out.blocked && !out.state.rests(), "{depth}: {out:?}");
    }
}

#[test]
fn an_arm_that_was_bent_and_rests_goes_straight_where_that_is_free() {
    let mut f = filter();
    let (rules, state) = (sure(&f), MotionState::resting(HOME));
    let goal = with(0, 0.2);
    f.zones.push(Keepout::new(&floor(0.01)));
    let free = decide(&mut f, &state, Desire::Goal(&goal), rules.tip_speed);
    f.bender.note(ARM, Some(Barrier::Zone(0)));
    let again = decide(&mut f, &state, Desire::Goal(&goal), rules.tip_speed);
    assert!(free == again && !free.state.rests(), "{again:?}");
}

#[test]
fn an_arm_that_was_bent_and_whose_way_is_free_again_says_its_own_limit() {
    let mut f = filter();
    let rules = sure(&f);
    let mut state = MotionState::resting(HOME);
    let goal = with(0, 0.3);
    f.zones.push(Keepout::new(&floor(0.03)));
    let mut ask = |state: &MotionState, was| {
        f.begin(&PerArm { psm1: Some(*state), ..PerArm::default() });
        f.wish(&PerArm { psm1: Some(Wish { state: *state, goal, rules }), ..PerArm::default() });
        f.bender.note(ARM, was);
        f.decide(ARM, state, Desire::Goal(&goal), &rules)
    };
    for _ in 0..20 {
        state = ask(&state, None).state;
    }
    let (free, again) = (ask(&state, None), ask(&state, Some(Barrier::Zone(0))));
    assert_eq!(free.binding.unwrap().constraint, Constraint::TipSpeed);
    assert_eq!(again.binding, free.binding);
    assert!(!again.blocked && map2(&again.state.v, &free.state.v, |a, b| (a - b).abs()).iter().all(|d| *d < 1e-6));
}

#[test]
fn an_arm_is_held_only_where_something_bars_it_and_the_tick_that_is_left_rests() {
    let plan = plan(0);
    let mut f = filter();
    let rules = sure(&f);
    let tick = |f: &mut Filter, state: &MotionState, desire: Desire| {
        f.begin(&PerArm { psm1: Some(*state), ..PerArm::default() });
        f.decide(ARM, state, desire, &rules)
    };
    // Played, then paused: never held, to the last tick, which rests.
    let (mut player, mut state) = (Player::default(), MotionState::resting(plan.start()));
    for i in 0..400 {
        let desire = if i < 100 { Desire::Advance(&plan, player) } else { Desire::Pause(&plan, player) };
        let decided = tick(&mut f, &state, desire);
        assert!(!decided.blocked && decided.binding.is_none(), "tick {i}: {decided:?}");
        (player, state) = (decided.player.unwrap(), decided.state);
    }
    assert!(state.rests() && player.tau() > 0.0);
    // In front of a limit that is lower than a tick from rest asks for, it is held; in motion, slowed.
    let held = Rules { tip_speed: 1e-9, ..rules };
    f.begin(&PerArm { psm1: Some(state), ..PerArm::default() });
    let decided = f.decide(ARM, &state, Desire::Advance(&plan, player), &held);
    assert!(decided.blocked && decided.state.rests(), "{decided:?}");
    assert_eq!(decided.binding.unwrap().constraint, Constraint::TipSpeed);
    let (mut player, mut state) = (Player::default(), MotionState::resting(plan.start()));
    for _ in 0..3 {
        let decided = tick(&mut f, &state, Desire::Advance(&plan, player));
        (player, state) = (decided.player.unwrap(), decided.state);
    }
    let now = f.body(ARM).tip_speed(&state.q, &state.v).unwrap();
    let slowed = Rules { tip_speed: now / 0.97, ..rules };
    f.begin(&PerArm { psm1: Some(state), ..PerArm::default() });
    let decided = f.decide(ARM, &state, Desire::Advance(&plan, player), &slowed);
    assert!(!decided.blocked && !decided.state.rests(), "{decided:?}");
    assert_eq!(decided.binding.unwrap().constraint, Constraint::TipSpeed);
}
