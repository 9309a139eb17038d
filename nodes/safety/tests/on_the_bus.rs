//! The shell: messages in, messages out, malformed ones refused; and the real-time thread.
#![allow(clippy::unwrap_used)]

use proctor_bus::{Bus, Node, Publisher, graph};
use proctor_kinematics as _;
use proctor_safety::{DEFAULT_PARAMS, DEFAULT_ZONES, SafetyNode, SafetyParams, realtime};
use proctor_seal::{RootSecret, SessionKey, Verifier};
use proctor_types::{
    ArmId, ArmJoints, ArmStatus, Boot, Constraint, Diagnostics, Health, Jaw, JointCommand, Joints, OperatingState,
    OperatorId, OperatorRequest, RequestKind, SafetyMode, SafetyState, Sealed, SessionId, Stamp, Verdict, ZonesState,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

fn at(ms: i64) -> Stamp {
    Stamp::from_nanos("t", 1_000_000_000 + ms * 1_000_000).unwrap()
}

fn home(arm: ArmId) -> Joints {
    Joints::for_arm(arm, if arm.has_jaw() { &[0.0, 0.0, 0.16, 0.0, 0.0, 0.0] } else { &[0.0, 0.0, 0.11, 0.0] }).unwrap()
}

const BOOT: Boot = Boot(3);

fn root() -> RootSecret {
    RootSecret::from_bytes([3; 32])
}

fn verifier() -> Verifier {
    Verifier::new(root(), BOOT)
}

struct World {
    joints: Vec<Publisher<ArmJoints>>,
    jaws: Vec<Publisher<Jaw>>,
    status: Vec<Publisher<ArmStatus>>,
    request: Publisher<Sealed<OperatorRequest>>,
    teleop: Publisher<JointCommand>,
    seq: u64,
}

impl World {
    fn new(bus: &Bus) -> Self {
        Self {
            joints: ArmId::ALL.map(|a| bus.publisher(&graph::measured_js(a)).unwrap()).into(),
            jaws: ArmId::PSMS.map(|a| bus.publisher(&graph::jaw_measured_js(a)).unwrap()).into(),
            status: ArmId::ALL.map(|a| bus.publisher(&graph::operating_state(a)).unwrap()).into(),
            request: bus.publisher(&graph::request()).unwrap(),
            teleop: bus.publisher(&graph::teleop_servo_jp(ArmId::Psm1)).unwrap(),
            seq: 0,
        }
    }

    fn sense(&self, now: Stamp) {
        for arm in ArmId::ALL {
            let i = arm.index();
            let velocity = Joints::zeros(arm.dof());
            self.joints[i].publish(&ArmJoints { arm, stamp: now, position: home(arm), velocity }).unwrap();
            let state = OperatingState::Enabled;
            self.status[i].publish(&ArmStatus { arm, stamp: now, state, is_homed: true, is_busy: false }).unwrap();
            if arm.has_jaw() {
                self.jaws[i].publish(&Jaw { arm, stamp: now, position: 0.1 }).unwrap();
            }
        }
    }

    fn ask(&mut self, now: Stamp, kind: RequestKind) {
        self.seq += 1;
        let who = OperatorId(1);
        let key = SessionKey::new(&root(), who, SessionId([1; 16]), at(3_600_000));
        let request = OperatorRequest { stamp: now, seq: self.seq, operator: who, kind };
        self.request.publish(&key.seal(BOOT, request)).unwrap();
    }
}

#[test]
fn a_lifecycle_manager_may_stop_the_node_only_while_nothing_can_move() {
    let bus = Bus::memory();
    let mut node = SafetyNode::new(&bus, SafetyParams::default(), verifier()).unwrap();
    let mut world = World::new(&bus);
    let states = bus.subscriber::<SafetyState>(&graph::safety_state()).unwrap();
    let mut seen = Vec::new();
    for ms in 0..200 {
        let now = at(ms);
        world.sense(now);
        match ms {
            20 => world.ask(now, RequestKind::Enable),
            50 => world.ask(now, RequestKind::Teleop),
            100 => world.ask(now, RequestKind::Disable),
            _ => {}
        }
        node.poll(now);
        let mode = states.newest().map_or_else(|| seen.last().map_or(SafetyMode::Disabled, |&(m, _)| m), |s| s.mode);
        seen.push((mode, node.may_pause()));
    }
    assert!(seen.iter().all(|&(mode, may)| may == (mode == SafetyMode::Disabled)));
    let went_through = |wanted| seen.iter().any(|&(mode, _)| mode == wanted);
    assert!(went_through(SafetyMode::Ready) && went_through(SafetyMode::Teleop));
    assert_eq!(seen.last(), Some(&(SafetyMode::Disabled, true)));
}

#[test]
fn requests_and_commands_go_in_and_cleared_set_points_and_states_come_out() {
    let bus = Bus::memory();
    let mut node = SafetyNode::new(&bus, SafetyParams::default(), verifier()).unwrap();
    let mut world = World::new(&bus);
    let servo = bus.subscriber::<JointCommand>(&graph::servo_jp(ArmId::Psm1)).unwrap();
    let jaw = bus.subscriber::<Jaw>(&graph::jaw_servo_jp(ArmId::Psm1)).unwrap();
    let states = bus.subscriber::<SafetyState>(&graph::safety_state()).unwrap();
    for ms in 0..200 {
        let now = at(ms);
        world.sense(now);
        match ms {
            20 => world.ask(now, RequestKind::Enable),
            30 => world.ask(now, RequestKind::Teleop),
            40.. => {
                let position = Joints::new(&[0.01, 0.0, 0.16, 0.0, 0.0, 0.0]).unwrap();
                world.teleop.publish(&JointCommand { arm: ArmId::Psm1, stamp: now, position }).unwrap();
            }
            _ => {}
        }
        node.poll(now);
        if ms < 30 {
            assert!(servo.take().is_none(), "the gate is closed");
        }
    }
    let state = states.newest().unwrap();
    assert_eq!((state.mode, state.violations, state.boot), (SafetyMode::Teleop, 0, BOOT));
    let last = servo.newest().unwrap();
    assert!(last.position[0] > 0.0 && last.position[0] <= 0.01, "{last:?}");
    assert_eq!(last.stamp, at(199));
    assert!((jaw.newest().unwrap().position - 0.1).abs() < 1e-12);
}

#[test]
fn the_same_messages_give_the_same_verdicts() {
    let run = || {
        let bus = Bus::memory();
        let mut node = SafetyNode::new(&bus, SafetyParams::default(), verifier()).unwrap();
        let mut world = World::new(&bus);
        let verdicts = bus.subscriber_of_depth::<Verdict>(&graph::verdict(), 1000).unwrap();
        let mut text = String::new();
        for ms in 0..300 {
            let now = at(ms);
            if ms < 150 {
                world.sense(now);
            }
            for (when, kind) in [(20, RequestKind::Enable), (30, RequestKind::Teleop), (31, RequestKind::Reset)] {
                if ms == when {
                    world.ask(now, kind);
                }
            }
            let far = Joints::new(&[1.0, 0.0, 0.16, 0.0, 0.0, 0.0]).unwrap();
            world.teleop.publish(&JointCommand { arm: ArmId::Psm1, stamp: now, position: far }).unwrap();
            node.poll(now);
            while let Some(v) = verdicts.take() {
                text += &format!("{:?}\n", v.unwrap());
            }
        }
        text
    };
    let text = run();
    for c in [Constraint::WrongMode, Constraint::Jump, Constraint::KinematicsStale] {
        assert!(text.contains(&format!("{c:?}")), "{c:?} in {text}");
    }
    assert_eq!(text, run());
}

#[test]
fn how_the_loop_and_every_arm_fare_is_said_once_a_second() {
    let bus = Bus::memory();
    let mut node = SafetyNode::new(&bus, SafetyParams::default(), verifier()).unwrap();
    let world = World::new(&bus);
    let said = bus.subscriber::<Diagnostics>(&graph::diagnostics()).unwrap();
    for ms in 0..3500 {
        world.sense(at(ms));
        node.poll(at(ms));
    }
    let all: Vec<_> = std::iter::from_fn(|| said.take()).map(Result::unwrap).collect();
    assert_eq!(all.iter().map(|d| d.stamp).collect::<Vec<_>>(), [0, 1000, 2000, 3000].map(at));
    let names: Vec<_> = all[3].all.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["safety: loop", "safety: PSM1", "safety: PSM2", "safety: ECM"]);
    for arm in &all[3].all[1..] {
        let figure = |name: &str| arm.values.iter().find(|(n, _)| n == name).unwrap().1.parse::<f64>().unwrap();
        assert_eq!(arm.health, Health::Ok);
        assert!(figure("margin left (m)") > 0.0, "{arm:?}");
        assert!((figure("distance (m)") - figure("keeps (m)") - figure("margin left (m)")).abs() < 2e-5, "{arm:?}");
    }
    // At home a PSM's wrist is 160 - 15.6 mm below its remote centre and the ECM's tip 110 + 0.7 mm; nothing else is seen. Whichever of
    // depth, zones and the other arms is nearest, the depth alone leaves no more than this.
    let left = |i: usize| all[3].all[i].values.last().unwrap().1.parse::<f64>().unwrap();
    assert!(left(1) <= 0.1444 - 0.045 + 1e-5 && left(3) <= 0.1107 - 0.045 + 1e-5);
    assert!(all[0].all[1..].iter().all(|d| d.health == Health::Stale), "nothing is known at first");
}

/// The file is read in a thread of its own: the test polls until it is done, and waits for that, not for time to pass.
#[test]
fn zones_are_read_again_when_an_operator_asks_and_everybody_is_told_which_hold() {
    let folder = std::env::temp_dir().join(format!("proctor-rezoning-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |zones: &str| std::fs::write(folder.join("zones.toml"), zones).unwrap();
    std::fs::write(folder.join("safety.toml"), DEFAULT_PARAMS).unwrap();
    write(DEFAULT_ZONES);
    let params = SafetyParams::read(&folder).unwrap();

    let bus = Bus::memory();
    let mut node = SafetyNode::new(&bus, params, verifier()).unwrap();
    let mut world = World::new(&bus);
    let zones = bus.subscriber::<ZonesState>(&graph::zones_state()).unwrap();
    let verdicts = bus.subscriber_of_depth::<Verdict>(&graph::verdict(), 1000).unwrap();
    let mut ms = 0;
    let mut until = |world: &mut World, asked: bool, done: &dyn Fn() -> bool| {
        for k in 0..1_000_000 {
            ms += 1;
            world.sense(at(ms));
            if k == 0 && asked {
                world.ask(at(ms), RequestKind::ReadZones);
            }
            node.poll(at(ms));
            if done() {
                return;
            }
            std::thread::yield_now();
        }
        panic!("never done");
    };
    let names = || zones.newest().map(|z| (z.version, z.zones.into_iter().map(|z| z.name).collect::<Vec<_>>()));
    let heard = std::cell::RefCell::new(None);
    let hear = || {
        *heard.borrow_mut() = names();
        heard.borrow().is_some()
    };
    until(&mut world, false, &hear);
    let first = heard.take().unwrap();
    assert_eq!((first.0, first.1.len(), first.1[0].as_str()), (1, 4, "deep tissue"));

    write(&format!(
        "{DEFAULT_ZONES}\n[[zones]]\nname = \"vena cava\"\nmargin = 0.002\narms = []\n\
         region = {{ shape = \"sphere\", center = [0.5, 0.5, 0.5], radius = 0.01 }}\n"
    ));
    until(&mut world, true, &hear);
    let second = heard.take().unwrap();
    assert_eq!((second.0, second.1.len(), second.1[4].as_str()), (2, 5, "vena cava"));

    // A mistake changes nothing and is said.
    write("zones = 3");
    let refused = || std::iter::from_fn(|| verdicts.take()).any(|v| v.unwrap().constraint == Constraint::Malformed);
    until(&mut world, true, &refused);
    assert!(names().is_none());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The thread steps by the clock it is given; the test owns that clock, and waits for events, not for time to pass.
#[test]
fn the_real_time_thread_steps_publishes_and_ends_when_told() {
    let bus = Bus::memory();
    let ns = Arc::new(AtomicI64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let clock = {
        let ns = ns.clone();
        // Every reading is a tick later than the last: a clock that runs as fast as the thread does.
        Box::new(move || at(0).plus(Duration::from_nanos(ns.fetch_add(1_000_000, Ordering::SeqCst) as u64)))
    };
    let options = realtime::Options { clock, stop: stop.clone(), priority: None, lock_memory: false };
    let (mut node, thread) = SafetyNode::real_time(&bus, SafetyParams::default(), verifier(), options).unwrap();
    let states = bus.subscriber::<SafetyState>(&graph::safety_state()).unwrap();
    let diagnostics = bus.subscriber::<Diagnostics>(&graph::diagnostics()).unwrap();
    let mut world = World::new(&bus);
    let now = || at(0).plus(Duration::from_nanos(ns.load(Ordering::SeqCst) as u64));
    let mut mode = SafetyMode::Disabled;
    world.ask(now(), RequestKind::Enable);
    for _ in 0..1_000_000 {
        node.poll(now());
        if let Some(state) = states.newest() {
            mode = state.mode;
        }
        if mode == SafetyMode::Ready {
            break;
        }
        std::thread::yield_now();
    }
    stop.store(true, Ordering::SeqCst);
    assert_eq!(mode, SafetyMode::Ready);
    assert!(thread.health.ticks.load(Ordering::SeqCst) > 0);
    // More than a second of its clock passes before the last report.
    ns.fetch_add(2_000_000_000, Ordering::SeqCst);
    node.poll(now());
    let report = diagnostics.newest().unwrap();
    let figure = |name: &str| report.all[0].values.iter().find(|(n, _)| n == name).unwrap().1.clone();
    assert!(figure("ticks in the last second").parse::<u64>().unwrap() > 0);
    assert!(figure("tick p99 (us)").parse::<f64>().unwrap() <= figure("tick longest (us)").parse::<f64>().unwrap());
    assert_eq!(figure("FIFO scheduling"), "false");
    assert!(thread.join());
}
