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

/// A roll of 0.2 rad within a second.
fn plan() -> Plan {
    let point = |t, roll| TrajectoryPoint { t, position: Joints::new(&with(ROLL, roll)[..6]).unwrap(), jaw: 0.2 };
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
    let plan = plan();
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
