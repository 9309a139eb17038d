//! The simulator on the in-memory bus, in simulated time.

use proctor_bus::{Bus, Node, StereoSubscriber, graph};
use proctor_seal::{RootSecret, Verifier};
use proctor_sim::{
    Fault, Faults, SimConfig, Simulator,
    node::{CameraNode, CameraParams, Commander, PlantNode, PlantParams, SharedSimulator},
    plant::ArmConfig,
};
use proctor_types::{
    ArmId, ArmJoints, ArmPose, ArmStatus, Boot, CameraImage, Jaw, JointCommand, Joints, OperatingState, Stamp,
    StateCommand, StateRequest, ToArm,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ARM: ArmId = ArmId::Psm1;

struct Rig {
    bus: Bus,
    simulator: SharedSimulator,
    plant: PlantNode,
    now: Stamp,
}

impl Rig {
    fn new(config: SimConfig) -> Self {
        Self::of(config, &Commander::Anybody)
    }

    fn of(config: SimConfig, commander: &Commander) -> Self {
        let bus = Bus::memory();
        let simulator = Arc::new(Mutex::new(Simulator::new(config).unwrap()));
        let plant = PlantNode::new(&bus, simulator.clone(), PlantParams::default(), commander).unwrap();
        let mut rig = Self { bus, simulator, plant, now: Stamp::from_nanos("test", 5_000_000_000).unwrap() };
        rig.plant.poll(rig.now);
        rig
    }

    fn ready() -> Self {
        Self::new(SimConfig { arm: ArmConfig { starts_ready: true, ..ArmConfig::default() }, ..SimConfig::default() })
    }

    fn run(&mut self, ms: u32) {
        for _ in 0..ms {
            self.now = self.now.plus(Duration::from_millis(1));
            self.plant.poll(self.now);
        }
    }

    fn inject(&self, fault: Fault) {
        let mut faults = Faults::default();
        faults.add(fault);
        self.simulator.lock().unwrap().inject(faults);
    }
}

#[test]
fn every_topic_of_every_arm_speaks_at_its_rate() {
    let mut rig = Rig::ready();
    for arm in ArmId::ALL {
        let js = rig.bus.subscriber::<ArmJoints>(&graph::measured_js(arm)).unwrap();
        let cp = rig.bus.subscriber_of_depth::<ArmPose>(&graph::measured_cp(arm), 64).unwrap();
        let setpoint = rig.bus.subscriber_of_depth::<JointCommand>(&graph::setpoint_js(arm), 64).unwrap();
        let state = rig.bus.subscriber_of_depth::<ArmStatus>(&graph::operating_state(arm), 64).unwrap();
        let jaw = arm.has_jaw().then(|| rig.bus.subscriber::<Jaw>(&graph::jaw_measured_js(arm)).unwrap());
        while state.take().is_some() {}
        rig.run(200);
        let mut stamps = Vec::new();
        while let Some(sample) = js.take() {
            stamps.push(sample.unwrap().stamp);
        }
        assert_eq!(stamps.len(), 40, "200 Hz");
        assert!(stamps.windows(2).all(|w| w[0].age(w[1]) == Duration::from_millis(5)));
        assert_eq!(*stamps.last().unwrap(), rig.now);
        assert_eq!(std::iter::from_fn(|| cp.take()).count(), 40);
        assert_eq!(std::iter::from_fn(|| setpoint.take()).count(), 40);
        assert_eq!(std::iter::from_fn(|| state.take()).count(), 2, "unchanged: every 100 ms");
        if let Some(jaw) = jaw {
            assert_eq!(std::iter::from_fn(|| jaw.take()).count(), 40);
        }
    }
}

#[test]
fn an_arm_is_enabled_homed_and_servoed_over_the_bus() {
    let mut rig = Rig::new(SimConfig::default());
    let state = rig.bus.subscriber::<ArmStatus>(&graph::operating_state(ARM)).unwrap();
    assert_eq!(state.newest().unwrap().state, OperatingState::Disabled, "latched for the late joiner");
    let commands = rig.bus.publisher::<StateCommand>(&graph::state_command(ARM)).unwrap();
    for request in [StateRequest::Enable, StateRequest::Home] {
        commands.publish(&StateCommand { arm: ARM, stamp: rig.now, request }).unwrap();
    }
    rig.run(700);
    assert!(state.newest().unwrap().is_ready());
    let start = rig.simulator.lock().unwrap().arm_state(ARM).position;
    let goal = start.zip_with(&start, |q, _| q + 0.02).unwrap();
    let servo = rig.bus.publisher::<JointCommand>(&graph::servo_jp(ARM)).unwrap();
    let jaw = rig.bus.publisher::<Jaw>(&graph::jaw_servo_jp(ARM)).unwrap();
    let measured = rig.bus.subscriber::<ArmJoints>(&graph::measured_js(ARM)).unwrap();
    for _ in 0..500 {
        servo.publish(&JointCommand { arm: ARM, stamp: rig.now, position: goal }).unwrap();
        jaw.publish(&Jaw { arm: ARM, stamp: rig.now, position: 0.4 }).unwrap();
        rig.run(1);
    }
    let end = measured.newest().unwrap().position;
    assert!(end.iter().zip(goal.iter()).all(|(a, b)| (a - b).abs() < 1e-3), "{end:?} {goal:?}");
    assert!((rig.simulator.lock().unwrap().arm_state(ARM).jaw - 0.4).abs() < 1e-3);
}

#[test]
fn nan_joints_are_nan_on_the_wire_and_refused_by_who_reads_them() {
    let mut rig = Rig::ready();
    let measured = rig.bus.subscriber::<ArmJoints>(&graph::measured_js(ARM)).unwrap();
    let other = rig.bus.subscriber::<ArmJoints>(&graph::measured_js(ArmId::Psm2)).unwrap();
    let raw = rig.bus.raw_subscriber(&graph::measured_js(ARM), 64).unwrap();
    rig.inject(Fault::NanJoints { arm: ARM });
    rig.run(50);
    let results: Vec<_> = std::iter::from_fn(|| measured.take()).collect();
    assert!(results.len() == 10 && results.iter().all(Result::is_err), "{results:?}");
    assert!(std::iter::from_fn(|| other.take()).all(|r| r.is_ok()));
    let nan = f64::NAN.to_le_bytes();
    assert!(raw.take().unwrap().cdr.windows(8).any(|w| w == nan), "the bytes hold a NaN");
}

#[test]
fn a_silent_arm_publishes_nothing_and_the_others_go_on() {
    let mut rig = Rig::ready();
    let silent = rig.bus.subscriber::<ArmJoints>(&graph::measured_js(ARM)).unwrap();
    let other = rig.bus.subscriber::<ArmJoints>(&graph::measured_js(ArmId::Ecm)).unwrap();
    rig.inject(Fault::SilentArm { arm: ARM });
    rig.run(100);
    assert!(silent.take().is_none() && other.take().is_some());
}

#[test]
fn a_jumping_clock_moves_every_stamp() {
    let mut rig = Rig::ready();
    let measured = rig.bus.subscriber::<ArmJoints>(&graph::measured_js(ARM)).unwrap();
    let clock = rig.bus.subscriber::<Stamp>(&graph::clock()).unwrap();
    rig.inject(Fault::ClockJump { seconds: -2.0 });
    rig.run(100);
    assert_eq!(measured.newest().unwrap().stamp, rig.now.minus(Duration::from_secs(2)));
    assert_eq!(clock.newest().unwrap(), rig.now.minus(Duration::from_secs(2)));
}

#[test]
fn pictures_come_in_pairs_and_freeze_black_out_and_drop_on_request() {
    let mut rig = Rig::ready();
    let mut camera = CameraNode::new(&rig.bus, rig.simulator.clone(), CameraParams::default()).unwrap();
    let left = rig.bus.subscriber::<CameraImage>(&graph::image_left()).unwrap();
    let mut stereo = StereoSubscriber::new(&rig.bus).unwrap();
    let mut shoot = |rig: &mut Rig| {
        rig.run(33);
        camera.poll(rig.now);
        left.newest()
    };
    let first = shoot(&mut rig).unwrap();
    assert_eq!(first.stamp, rig.now);
    let pair = stereo.take().unwrap();
    assert_eq!((pair.stamp, &pair.left), (first.stamp, &first.image));
    assert_ne!(pair.left, pair.right);
    let lit = |image: &CameraImage| image.image.pixels().iter().filter(|p| p.iter().any(|c| *c > 40)).count();
    assert!(lit(&first) > 640 * 480 / 4, "{}", lit(&first));

    rig.inject(Fault::FrozenFrames);
    let frozen = shoot(&mut rig).unwrap();
    assert!(frozen.image == first.image && frozen.stamp == rig.now, "same pixels, new stamp");
    rig.inject(Fault::Blackout);
    let black = shoot(&mut rig).unwrap();
    assert!(lit(&black) == 0, "{}", lit(&black));
    rig.inject(Fault::DroppedFrames { fraction: 1.0 });
    assert!(shoot(&mut rig).is_none());
    rig.inject(Fault::DroppedFrames { fraction: 0.5 });
    let seen = (0..40).filter(|_| shoot(&mut rig).is_some()).count();
    assert!((10..=30).contains(&seen), "{seen} of 40");
}

#[test]
fn nonsense_parameters_are_refused() {
    let rig = Rig::ready();
    let plant = PlantParams { measured_every_ms: 0, ..PlantParams::default() };
    assert!(PlantNode::new(&rig.bus, rig.simulator.clone(), plant, &Commander::Anybody).is_err());
    for camera in [
        CameraParams { fps: f64::NAN, ..CameraParams::default() },
        CameraParams { threads: 0, ..CameraParams::default() },
    ] {
        assert!(CameraNode::new(&rig.bus, rig.simulator.clone(), camera).is_err());
    }
}

#[test]
fn an_arm_takes_only_what_safety_sealed() {
    let root = RootSecret::from_bytes([9; 32]);
    let mut rig = Rig::of(
        SimConfig {
            arm: ArmConfig { starts_ready: true, latency: Duration::ZERO, ..ArmConfig::default() },
            ..SimConfig::default()
        },
        &Commander::Safety(root.clone()),
    );
    let servo = rig.bus.publisher::<ToArm<JointCommand>>(&graph::servo_jp(ARM)).unwrap();
    let jaws = rig.bus.publisher::<ToArm<Jaw>>(&graph::jaw_servo_jp(ARM)).unwrap();
    let states = rig.bus.publisher::<ToArm<StateCommand>>(&graph::state_command(ARM)).unwrap();
    let mut safety = Verifier::new(root, Boot(1)).sealer();
    let mut stranger = Verifier::new(RootSecret::from_bytes([8; 32]), Boot(1)).sealer();
    let set_point = |rig: &Rig| {
        let simulator = rig.simulator.lock().unwrap();
        (simulator.plant(ARM).setpoint().to_vec(), simulator.arm_status(ARM).state)
    };
    let start = set_point(&rig);
    let ahead = |rig: &Rig| {
        let mut q = start.0.clone();
        q[0] += 1e-4;
        JointCommand { arm: ARM, stamp: rig.now, position: Joints::new(&q).unwrap() }
    };

    // Forged in every way, and the arm stands.
    let true_one = safety.seal(ahead(&rig));
    servo.publish(&ToArm { seal: None, ..true_one }).unwrap();
    rig.run(1);
    servo.publish(&stranger.seal(ahead(&rig))).unwrap();
    jaws.publish(&stranger.seal(Jaw { arm: ARM, stamp: rig.now, position: 0.9 })).unwrap();
    states.publish(&stranger.seal(StateCommand { arm: ARM, stamp: rig.now, request: StateRequest::Disable })).unwrap();
    rig.run(1);
    servo.publish(&ToArm { body: JointCommand { stamp: rig.now, ..true_one.body }, ..true_one }).unwrap();
    rig.run(200);
    // Too late by now.
    servo.publish(&true_one).unwrap();
    rig.run(5);
    assert_eq!(set_point(&rig), start);

    // True, and it moves; again, and it does not move back to it.
    let moves = safety.seal(ahead(&rig));
    servo.publish(&moves).unwrap();
    rig.run(1);
    let there = set_point(&rig);
    assert_eq!(there.0, moves.body.position.to_vec());
    let back = safety.seal(JointCommand { position: Joints::new(&start.0).unwrap(), ..ahead(&rig) });
    servo.publish(&back).unwrap();
    rig.run(1);
    assert_eq!(set_point(&rig), start);
    servo.publish(&moves).unwrap();
    rig.run(1);
    assert_eq!(set_point(&rig), start, "a replay");
    // And a true state command.
    states.publish(&safety.seal(StateCommand { arm: ARM, stamp: rig.now, request: StateRequest::Disable })).unwrap();
    rig.run(2);
    assert_ne!(set_point(&rig).1, start.1);
}
