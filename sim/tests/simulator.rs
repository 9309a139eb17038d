//! The simulated cell as a whole: what is true, what is believed, and that both repeat.

use nalgebra::{Isometry3, Point3, UnitQuaternion, Vector3};
use proctor_kinematics::{Cell, Instrument};
use proctor_sim::{
    Fault, FaultSchedule, HandEyeError, JointOffsets, ScheduledFault, SimConfig, Simulator,
    faults::Faults,
    plant::{ArmConfig, Command},
};
use proctor_types::{ArmId, Class, OperatingState, Pose, Stamp, StateRequest};
use std::time::Duration;

fn ready() -> SimConfig {
    SimConfig { arm: ArmConfig { starts_ready: true, ..ArmConfig::default() }, ..SimConfig::default() }
}

fn run(sim: &mut Simulator, ticks: u32) {
    (0..ticks).for_each(|_| sim.step());
}

fn at(seconds: f64) -> Stamp {
    Stamp::from_nanos("test", (seconds * 1e9) as i64).unwrap()
}

#[test]
fn at_home_both_tips_are_in_the_picture_36_mm_apart_and_45_mm_from_the_site() {
    for instrument in Instrument::names() {
        let config = SimConfig { instruments: [instrument.to_owned(), instrument.to_owned()], ..ready() };
        let sim = Simulator::new(config).unwrap();
        let tips = ArmId::PSMS.map(|a| Point3::from(sim.world_from_tip_true(a).translation()));
        assert!(((tips[0] - tips[1]).norm() - 0.036).abs() < 1e-9, "{instrument}");
        let rig = sim.cell().rig();
        let camera_from_world = sim.world_from_camera_true().inverse();
        for (arm, tip) in ArmId::PSMS.into_iter().zip(tips) {
            assert!((0.040..0.050).contains(&tip.coords.norm()));
            for p in [tip, sim.gripper(arm).tip] {
                let pixel = rig.left.project(&camera_from_world.transform(&p)).unwrap();
                assert!((60.0..580.0).contains(&pixel.x) && (60.0..420.0).contains(&pixel.y), "{instrument} {pixel}");
            }
        }
        assert!(tips[0].x > 0.0, "PSM1 is on the right");
    }
}

#[test]
fn hand_eye_and_joint_errors_have_the_size_asked_for_and_the_ecm_has_none() {
    let config = SimConfig {
        hand_eye_error: HandEyeError { translation: 0.005, rotation: 3.0_f64.to_radians() },
        joint_offsets: JointOffsets { angle: 0.02, insertion: 0.001 },
        ..ready()
    };
    let sim = Simulator::new(config).unwrap();
    let nominal = Cell::standard().unwrap();
    for arm in ArmId::PSMS {
        let error = nominal.world_from_base(arm).inverse() * sim.world_from_base_true(arm);
        assert!((error.translation().norm() - 0.005).abs() < 1e-12);
        assert!((error.rotation().angle() - 3.0_f64.to_radians()).abs() < 1e-12);
        let offset = sim.joint_offset(arm);
        assert!(offset.iter().any(|d| *d != 0.0) && offset[2].abs() <= 0.001);
        assert!(offset.iter().all(|d| d.abs() <= 0.02));
        // Believed and true tip, computed from the parts.
        let believed = nominal.world_from_base(arm) * sim.arm_pose(arm).base_from_tip;
        let true_tip = sim.world_from_base_true(arm) * sim.chain(arm).fk(&sim.true_joints(arm)).unwrap();
        assert_eq!(sim.world_from_tip_true(arm), true_tip);
        assert!((believed.translation() - true_tip.translation()).norm() > 1e-3);
        let pose = sim.instrument_poses()[arm.index()];
        assert!((pose.world_from_jaw.translation.vector - true_tip.translation()).norm() < 1e-12);
        assert!((pose.rcm.coords - sim.world_from_base_true(arm).translation()).norm() < 1e-12);
    }
    let [one, two] = ArmId::PSMS.map(|a| sim.joint_offset(a));
    assert_ne!(one, two, "each arm has its own");
    assert_eq!(sim.world_from_base_true(ArmId::Ecm), nominal.world_from_base(ArmId::Ecm));
    assert!(sim.joint_offset(ArmId::Ecm).iter().all(|d| *d == 0.0));
}

/// Bits of everything that moves.
fn fingerprint(sim: &Simulator) -> Vec<u64> {
    let mut bits = Vec::new();
    for arm in ArmId::ALL {
        let state = sim.arm_state(arm);
        bits.extend(state.position.iter().chain(state.velocity.iter()).chain([&state.jaw]).map(|v| v.to_bits()));
        let tip = sim.world_from_tip_true(arm);
        bits.extend(tip.translation().iter().chain(tip.rotation().coords.iter()).map(|v| v.to_bits()));
    }
    let (mut points, mut normals) = (Vec::new(), Vec::new());
    sim.tissue().deformed(&mut points, &mut normals);
    bits.extend(points.iter().flatten().map(|v| u64::from(v.to_bits())));
    bits
}

fn scripted(seed: u64) -> Vec<u64> {
    let config = SimConfig {
        seed,
        hand_eye_error: HandEyeError { translation: 0.005, rotation: 0.05 },
        joint_offsets: JointOffsets { angle: 0.01, insertion: 0.001 },
        ..ready()
    };
    let mut sim = Simulator::new(config).unwrap();
    let start = ArmId::ALL.map(|a| sim.arm_state(a).position);
    for tick in 0..1500_u32 {
        let t = f64::from(tick) * 1e-3;
        for (arm, q) in ArmId::ALL.into_iter().zip(&start) {
            let phase = arm.index() as f64;
            let goal = q.zip_with(q, |v, _| v + 0.01 * (3.0 * t + phase).sin()).unwrap();
            sim.command(arm, Command::ServoJp(goal));
        }
        if tick % 400 == 0 {
            sim.command(ArmId::Psm1, Command::ServoJaw(if tick % 800 == 0 { 0.6 } else { 0.0 }));
        }
        sim.step();
    }
    fingerprint(&sim)
}

#[test]
fn the_same_seed_and_commands_give_the_same_bits_and_another_seed_does_not() {
    assert_eq!(scripted(7), scripted(7));
    assert_ne!(scripted(7), scripted(8));
}

#[test]
fn time_follows_the_given_clock_and_long_gaps_are_skipped_and_counted() {
    let mut sim = Simulator::new(ready()).unwrap();
    sim.advance_to(at(100.0));
    assert_eq!((sim.ticks(), sim.now()), (0, at(100.0)), "the first call sets the time");
    sim.advance_to(at(100.0105));
    assert_eq!((sim.ticks(), sim.now()), (10, at(100.010)));
    sim.advance_to(at(100.011));
    assert_eq!(sim.ticks(), 11);
    sim.advance_to(at(110.011));
    assert_eq!((sim.ticks(), sim.skipped(), sim.now()), (261, 9750, at(110.011)));
    sim.advance_to(at(110.0));
    assert_eq!(sim.ticks(), 261, "a little back: wait");
    sim.advance_to(at(50.0));
    sim.advance_to(at(50.002));
    assert_eq!((sim.ticks(), sim.now()), (263, at(50.002)), "far back: follow");
}

#[test]
fn a_pull_at_the_fundus_lifts_the_gallbladder() {
    let mut sim = Simulator::new(ready()).unwrap();
    let arm = ArmId::Psm1;
    let instrument = sim.chain(arm).instrument().unwrap().clone();
    let before = sim.tissue().fundus();
    // Jaw ends at `point`, instrument as at home.
    let goal = |sim: &Simulator, point: Point3<f64>| {
        let base_from_world = sim.world_from_base_true(arm).inverse();
        let end = base_from_world.transform(&point);
        let straight = sim.chain(arm).aim(&end).unwrap();
        let tip = sim.chain(arm).fk(&straight).unwrap();
        let back = tip.translation() - tip.rotation() * Vector3::z() * instrument.jaw_length;
        let target = Pose::new(Isometry3::from_parts(back.into(), tip.rotation()));
        sim.chain(arm).ik(&target, &straight).solution().expect("reachable")
    };
    let move_to = |sim: &mut Simulator, point: Point3<f64>| {
        let q = goal(sim, point);
        sim.command(arm, Command::MoveJp(q));
        run(sim, 2500);
        assert!((sim.gripper(arm).tip - point).norm() < 3e-3, "{}", (sim.gripper(arm).tip - point).norm());
    };
    sim.command(arm, Command::ServoJaw(0.6));
    move_to(&mut sim, before.point);
    assert_eq!(sim.tissue().held(arm), None);
    sim.command(arm, Command::ServoJaw(0.0));
    run(&mut sim, 500);
    assert_eq!(sim.tissue().held(arm), Some(Class::Gallbladder));
    let start = sim.tissue().fundus().point;
    move_to(&mut sim, start + Vector3::new(0.0, 0.0, 0.012));
    let lifted = sim.tissue().fundus().point - start;
    assert!(lifted.z > 0.006, "{lifted}");
    // It pulls back where it came from, by 60 N/m, along the arm's own axes.
    let force = sim.world_from_base_true(arm).rotation() * sim.arm_force(arm).force;
    let off = sim.tissue().fundus().point - before.point;
    assert!((force + off * 60.0).norm() < 0.1 * force.norm() && force.norm() > 0.3, "{force} {off}");
    sim.command(arm, Command::ServoJaw(0.6));
    run(&mut sim, 3000);
    assert_eq!(sim.tissue().held(arm), None);
    assert_eq!(sim.arm_force(arm).force, Vector3::zeros());
    let rest = sim.tissue().fundus().point - start;
    assert!(rest.norm() < 0.5 * lifted.norm(), "springs back: {rest}");
}

fn with_fault(from: f64, until: f64, fault: Fault) -> SimConfig {
    SimConfig { faults: FaultSchedule(vec![ScheduledFault { from, until: Some(until), fault }]), ..ready() }
}

#[test]
fn delayed_joints_are_old_joints_with_their_old_stamps() {
    let arm = ArmId::Psm1;
    let delay = Duration::from_millis(100);
    let mut sim = Simulator::new(with_fault(1.0, 2.0, Fault::DelayedJoints { arm, delay })).unwrap();
    let q = sim.arm_state(arm).position;
    sim.command(arm, Command::MoveJp(q.zip_with(&q, |v, _| v + 0.05).unwrap()));
    run(&mut sim, 900);
    let old = sim.arm_state(arm);
    assert_eq!(sim.reported_state(arm), Some(old));
    run(&mut sim, 101);
    let reported = sim.reported_state(arm).unwrap();
    assert_eq!(reported, old);
    assert_eq!(reported.stamp.age(sim.now()).as_millis(), 101);
    assert_eq!(sim.reported_state(ArmId::Psm2), Some(sim.arm_state(ArmId::Psm2)), "the other arm is well");
    run(&mut sim, 1000);
    assert_eq!(sim.reported_state(arm), Some(sim.arm_state(arm)), "over");
}

#[test]
fn a_silent_arm_hears_nothing_until_it_speaks_again() {
    let arm = ArmId::Psm2;
    let mut sim = Simulator::new(with_fault(0.1, 0.3, Fault::SilentArm { arm })).unwrap();
    run(&mut sim, 150);
    sim.command(arm, Command::State(StateRequest::Pause));
    run(&mut sim, 50);
    assert_eq!(sim.arm_status(arm).state, OperatingState::Enabled);
    run(&mut sim, 200);
    sim.command(arm, Command::State(StateRequest::Pause));
    run(&mut sim, 50);
    assert_eq!(sim.arm_status(arm).state, OperatingState::Paused);
}

#[test]
fn an_arm_in_fault_leaves_it_by_disable_only_and_only_when_the_cause_is_gone() {
    let arm = ArmId::Psm1;
    let mut sim = Simulator::new(ready()).unwrap();
    let mut faults = Faults::default();
    faults.add(Fault::ArmFault { arm });
    sim.inject(faults);
    run(&mut sim, 5);
    assert_eq!(sim.arm_status(arm).state, OperatingState::Fault);
    sim.command(arm, Command::State(StateRequest::Disable));
    run(&mut sim, 5);
    assert_eq!(sim.arm_status(arm).state, OperatingState::Fault);
    sim.inject(Faults::default());
    for request in [StateRequest::Enable, StateRequest::Resume] {
        sim.command(arm, Command::State(request));
        run(&mut sim, 5);
        assert_eq!(sim.arm_status(arm).state, OperatingState::Fault);
    }
    for (request, state) in
        [(StateRequest::Disable, OperatingState::Disabled), (StateRequest::Enable, OperatingState::Enabled)]
    {
        sim.command(arm, Command::State(request));
        run(&mut sim, 5);
        assert_eq!(sim.arm_status(arm).state, state);
    }
}

#[test]
fn nonsense_configurations_are_refused() {
    let mut bad = vec![ready(), ready(), ready(), ready()];
    bad[0].instruments[1] = "SPOON".to_owned();
    bad[1].hand_eye_error.translation = f64::NAN;
    bad[2].arm.bandwidth = 1.0;
    bad[3].scene.variation = 2.0;
    for config in bad {
        assert!(Simulator::new(config.clone()).is_err(), "{config:?}");
    }
}

#[test]
fn the_true_camera_is_where_the_cell_says() {
    let sim = Simulator::new(ready()).unwrap();
    let nominal = sim.cell().world_from_camera(&sim.arm_state(ArmId::Ecm).position).unwrap();
    let gap = nominal.inverse() * sim.world_from_camera_true();
    assert!(gap.translation().norm() < 1e-12 && gap.rotation().angle() < 1e-9);
    let level: UnitQuaternion<f64> = sim.world_from_camera_true().rotation();
    assert!((level * Vector3::x() - Vector3::x()).norm() < 1e-12, "the picture is level");
}

#[test]
fn an_arm_of_seven_joints_stands_in_its_trocar_and_follows_in_step() {
    let config = SimConfig {
        instruments: [Instrument::DEFAULT.to_owned(), "LEAN7_PROBE".to_owned()],
        joint_offsets: JointOffsets { angle: 0.02, insertion: 0.001 },
        ..ready()
    };
    let mut sim = Simulator::new(config).unwrap();
    let arm = ArmId::Psm2;
    let chain = sim.chain(arm).clone();
    let offset = |sim: &Simulator| chain.shaft_offset(&sim.true_joints(arm)).unwrap().norm();
    assert!(offset(&sim) < 1e-6 && sim.plant(arm).position().len() == 7 && sim.plant(arm).jaw() == 0.0);
    // A circle of the tip that begins gently, solved point by point: joints that all lag alike stay on the way that they are sent.
    let at = |tick: u32| {
        let seconds = f64::from(tick) * 1e-3;
        let angle = 0.5 * (seconds - 1.0 + (-seconds).exp());
        Point3::new(0.01 * angle.sin(), 0.01 * (1.0 - angle.cos()), -0.15)
    };
    let mut worst = 0.0f64;
    for tick in 0..4000 {
        let point = at(tick);
        sim.command(arm, Command::ServoJp(chain.aim(&point).unwrap()));
        sim.step();
        worst = worst.max(offset(&sim));
    }
    let tip = sim.world_from_base_true(arm).inverse() * sim.world_from_tip_true(arm);
    let off = (tip.translation() - at(3999).coords).norm();
    assert!(off < 2e-3, "the tip is {off} m behind");
    assert!(worst < 5e-4, "the shaft passes the trocar at up to {worst} m");
}
