//! The arms' shell between a bus in memory and a world that is ours: Gazebo's topics over real sockets, joints that go where they are steered.

use proctor_arm::{ArmsNode, ArmsParams, SharedFaults};
use proctor_bus::{Bus, Node, Subscriber, graph};
use proctor_controller::Commander;
use proctor_gazebo::{Arm, Joint};
use proctor_gz::{
    Advertised, Client, Options, Partition, Subscription,
    messages::{self, Axis, Clock, Double, Header, Model, Time},
};
use proctor_sim::{Fault, Faults, SimConfig, Simulator};
use proctor_types::{
    ArmId, ArmJoints, ArmStatus, Jaw, JointCommand, Joints, OperatingState, Stamp, StateCommand, StateRequest, ToArm,
};
use std::time::{Duration, Instant};

/// Long enough for a busy machine; nothing waits for it to pass.
const LONG: Duration = Duration::from_mins(2);
const ARM: ArmId = ArmId::Psm1;

/// Longest wait for what the node steers to come through a socket: without it the world's time would run ahead of the sockets'.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// A joint that goes where it is steered at once.
struct WorldJoint {
    name: String,
    commands: Subscription<Double>,
    position: f64,
    /// Whether it was ever steered; from then on it is at every step.
    steered: bool,
}

impl WorldJoint {
    fn follow(&mut self) {
        let start = Instant::now();
        loop {
            if let Some(double) = self.commands.newest() {
                (self.position, self.steered) = (double.data, true);
                return;
            }
            if !self.steered || start.elapsed() > ON_ITS_WAY {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// One arm of the world.
struct WorldJoints {
    name: String,
    states: Advertised<Model>,
    joints: Vec<WorldJoint>,
}

/// A world whose joints are at 0 when it is loaded.
struct World {
    clock: Advertised<Clock>,
    arms: Vec<WorldJoints>,
    ms: i64,
    node: ArmsNode,
    heard: Subscriber<Stamp>,
    _clients: [Client; 2],
}

impl World {
    fn new(bus: &Bus, faults: &SharedFaults) -> Self {
        let options = Options {
            topics_port: 20_447,
            services_port: 20_448,
            ..Options::local(Partition::new(&format!("arms-{}", std::process::id())).unwrap())
        };
        let (world, ours) = (Client::new(options.clone()).unwrap(), Client::new(options).unwrap());
        let arm = |id| {
            let arm = Arm::of(id).unwrap();
            let jaws = arm.jaw.iter().flat_map(|jaw| &jaw.sides);
            let joint = |j: &Joint| WorldJoint {
                name: j.name.clone(),
                commands: world.subscribe(&j.command, 8).unwrap(),
                position: 0.0,
                steered: false,
            };
            let joints = arm.joints.iter().chain(jaws).map(joint).collect();
            WorldJoints { name: id.name().to_owned(), states: world.advertise(&arm.state_topic()).unwrap(), joints }
        };
        let arms = ArmId::ALL.map(arm).into();
        let clock = world.advertise("/clock").unwrap();
        let cell = Simulator::new(SimConfig::default()).unwrap();
        let stands = |arm| (cell.chain(arm).clone(), cell.plant(arm).position());
        let from = (&Commander::Anybody, faults.clone());
        let node = ArmsNode::new(bus, &ours, stands, ArmsParams::default(), from).unwrap();
        let heard = bus.subscriber(&graph::clock()).unwrap();
        Self { clock, arms, ms: 0, node, heard, _clients: [world, ours] }
    }

    fn say(&self) {
        let time = Some(Time { sec: self.ms / 1000, nsec: (self.ms % 1000) as i32 * 1_000_000 });
        for arm in &self.arms {
            let joint = |j: &WorldJoint| messages::Joint {
                name: j.name.clone(),
                axis1: Some(Axis { position: j.position, velocity: 0.0, force: 0.0 }),
            };
            let joint = arm.joints.iter().map(joint).collect();
            arm.states.publish(&Model { header: Some(Header { stamp: time }), name: arm.name.clone(), joint });
        }
        self.clock.publish(&Clock { sim: time });
    }

    /// One step of 2 ms, as often as it takes until the node has said its time: the first ones find nobody connected.
    fn step(&mut self) {
        self.ms += 2;
        let now = self.ms * 1_000_000;
        let start = Instant::now();
        self.say();
        let mut said = Instant::now();
        while self.heard.newest().is_none_or(|heard| heard.nanos() != now) {
            if said.elapsed() > Duration::from_millis(200) {
                self.say();
                said = Instant::now();
            }
            self.node.poll(Stamp::FIRST);
            std::thread::yield_now();
            assert!(start.elapsed() < LONG, "the world's clock is not heard");
        }
        self.arms.iter_mut().flat_map(|arm| &mut arm.joints).for_each(WorldJoint::follow);
    }

    fn run_until(&mut self, limit_ms: i64, mut done: impl FnMut() -> bool) {
        let end = self.ms + limit_ms;
        while !done() {
            assert!(self.ms < end, "not within {limit_ms} simulated ms");
            self.step();
        }
    }

    fn value(&self, joint: &str) -> f64 {
        self.arms.iter().flat_map(|arm| &arm.joints).find(|j| j.name == joint).unwrap().position
    }
}

fn state(states: &Subscriber<ArmStatus>, last: &mut Option<ArmStatus>) -> Option<ArmStatus> {
    *last = states.newest().or(*last);
    *last
}

#[test]
fn a_world_of_gazebos_is_a_crtk_robot() {
    let bus = Bus::memory();
    let states = bus.subscriber::<ArmStatus>(&graph::operating_state(ARM)).unwrap();
    let measured = bus.subscriber::<ArmJoints>(&graph::measured_js(ARM)).unwrap();
    let orders = bus.publisher::<ToArm<StateCommand>>(&graph::state_command(ARM)).unwrap();
    let servo = bus.publisher::<ToArm<JointCommand>>(&graph::servo_jp(ARM)).unwrap();
    let jaws = bus.publisher::<ToArm<Jaw>>(&graph::jaw_servo_jp(ARM)).unwrap();
    let faults = SharedFaults::default();
    let mut world = World::new(&bus, &faults);
    let mut last = None;

    world.run_until(6000, || state(&states, &mut last).is_some());
    let at_home = measured.newest().unwrap();
    assert_eq!(last.map(|s| (s.state, s.is_homed)), Some((OperatingState::Disabled, false)));
    let home = Simulator::new(SimConfig::default()).unwrap().plant(ARM).position();
    let off = at_home.position.zip_with(&home, |a, b| (a - b).abs()).unwrap();
    assert!(off.iter().all(|gap| *gap < 5e-3), "{:?} is not {home:?}", at_home.position);
    assert!(at_home.stamp.nanos() <= world.ms * 1_000_000 && at_home.stamp.nanos() > (world.ms - 10) * 1_000_000);

    for request in [StateRequest::Enable, StateRequest::Home] {
        let stamp = Stamp::FIRST.plus(Duration::from_millis(world.ms as u64));
        orders.publish(&ToArm { seal: None, body: StateCommand { arm: ARM, stamp, request } }).unwrap();
        world.run_until(3000, || {
            let now = state(&states, &mut last).unwrap();
            now.state == OperatingState::Enabled && (request == StateRequest::Enable || now.is_homed)
        });
    }

    let goal = Joints::new(&[home[0] + 0.1, home[1], home[2], home[3], home[4], home[5]]).unwrap();
    let stamp = Stamp::FIRST.plus(Duration::from_millis(world.ms as u64));
    servo.publish(&ToArm { seal: None, body: JointCommand { arm: ARM, stamp, position: goal } }).unwrap();
    jaws.publish(&ToArm { seal: None, body: Jaw { arm: ARM, stamp, position: 0.6 } }).unwrap();
    let mut reached = home[0];
    world.run_until(3000, || {
        reached = measured.newest().map_or(reached, |m| m.position[0]);
        (reached - goal[0]).abs() < 1e-3
    });
    for _ in 0..300 {
        world.step();
    }
    assert!((world.value("PSM1_jaw_1") - 0.3).abs() < 1e-3 && (world.value("PSM1_jaw_2") - 0.3).abs() < 1e-3);

    go_wrong(&mut world, &bus, &faults);
}

/// Every fault of an arm, one after the other, on the arm that is enabled and homed.
fn go_wrong(world: &mut World, bus: &Bus, faults: &SharedFaults) {
    let states = bus.subscriber::<ArmStatus>(&graph::operating_state(ARM)).unwrap();
    let measured = bus.subscriber::<ArmJoints>(&graph::measured_js(ARM)).unwrap();
    let steps = |world: &mut World, fault: Option<Fault>| {
        let mut now = Faults::default();
        fault.into_iter().for_each(|fault| now.add(fault));
        faults.inject(now);
        while states.take().is_some() {}
        while measured.take().is_some() {}
        (0..250).for_each(|_| world.step());
        let heard: Vec<_> = std::iter::from_fn(|| measured.take()).collect();
        let ages: Vec<_> = heard.iter().flatten().map(|joints| world.ms - joints.stamp.nanos() / 1_000_000).collect();
        (heard.len(), ages.last().copied(), states.newest().map(|status| status.state))
    };
    let (all, age, state) = steps(world, None);
    assert!(all > 50 && age.is_some_and(|ms| (0..10).contains(&ms)) && state == Some(OperatingState::Enabled));

    let (heard, age, state) = steps(world, Some(Fault::SilentArm { arm: ARM }));
    assert_eq!((heard, age, state), (0, None, None));

    let (heard, age, state) = steps(world, Some(Fault::NanJoints { arm: ARM }));
    assert!(heard > 50 && age.is_none(), "they come, and none is taken for joints");
    assert_eq!(state, Some(OperatingState::Enabled));

    let delay = Duration::from_millis(200);
    let (_, age, _) = steps(world, Some(Fault::DelayedJoints { arm: ARM, delay }));
    assert!(age.is_some_and(|ms| (200..210).contains(&ms)), "{age:?}");
    let (_, age, _) = steps(world, Some(Fault::JointLag { lag: delay }));
    assert!(age.is_some_and(|ms| (0..10).contains(&ms)), "a lag does not show in the stamp: {age:?}");
    let (_, age, _) = steps(world, Some(Fault::ClockJump { seconds: 5.0 }));
    assert!(age.is_some_and(|ms| (-5000..-4990).contains(&ms)), "{age:?}");

    let (_, _, state) = steps(world, Some(Fault::ArmFault { arm: ARM }));
    assert_eq!(state, Some(OperatingState::Fault));
    let (heard, age, state) = steps(world, None);
    assert!(heard > 50 && age.is_some_and(|ms| (0..10).contains(&ms)));
    assert_eq!(state, Some(OperatingState::Fault), "what stopped the arm is over, and nobody has put it back");
}
