//! Shadow mode: the core judges what others command the arms, and nothing in the node can reach an arm.
#![allow(clippy::unwrap_used)]

use proctor_bus::{Bus, Node, Publisher, Subscriber, graph};
use proctor_safety::{Intent, SafetyNode, SafetyParams};
use proctor_seal::{RootSecret, SessionKey, Verifier};
use proctor_types::{
    ArmId, ArmJoints, ArmStatus, Boot, Constraint, Diagnostics, Health, Jaw, JointCommand, Joints, OperatingState,
    OperatorId, OperatorRequest, Outcome, RequestKind, SafetyMode, SafetyState, Sealed, SessionId, Stamp, Verdict,
};

const ARM: ArmId = ArmId::Psm1;

fn at(ms: i64) -> Stamp {
    Stamp::from_nanos("t", 1_000_000_000 + ms * 1_000_000).unwrap()
}

fn home(arm: ArmId) -> Joints {
    Joints::for_arm(arm, if arm.has_jaw() { &[0.0, 0.0, 0.16, 0.0, 0.0, 0.0] } else { &[0.0, 0.0, 0.11, 0.0] }).unwrap()
}

fn yaw(by: f64) -> Joints {
    Joints::new(&[by, 0.0, 0.16, 0.0, 0.0, 0.0]).unwrap()
}

/// A robot that somebody else commands, and a node in its shadow.
struct Theatre {
    bus: Bus,
    node: SafetyNode,
    joints: Vec<Publisher<ArmJoints>>,
    jaws: Vec<Publisher<Jaw>>,
    status: Vec<Publisher<ArmStatus>>,
    wanted: Publisher<JointCommand>,
    verdicts: Subscriber<Verdict>,
    states: Subscriber<SafetyState>,
    state: Option<SafetyState>,
    said: Vec<Verdict>,
    ms: i64,
}

impl Theatre {
    fn new(intent: Intent) -> Self {
        let bus = Bus::memory();
        let topic = match intent {
            Intent::ServoJp => graph::servo_jp(ARM),
            Intent::SetpointJs => graph::setpoint_js(ARM),
        };
        Self {
            node: SafetyNode::shadow(&bus, SafetyParams::default(), intent).unwrap(),
            joints: ArmId::ALL.map(|a| bus.publisher(&graph::measured_js(a)).unwrap()).into(),
            jaws: ArmId::PSMS.map(|a| bus.publisher(&graph::jaw_measured_js(a)).unwrap()).into(),
            status: ArmId::ALL.map(|a| bus.publisher(&graph::operating_state(a)).unwrap()).into(),
            wanted: bus.publisher(&topic).unwrap(),
            verdicts: bus.subscriber(&graph::verdict()).unwrap(),
            states: bus.subscriber(&graph::safety_state()).unwrap(),
            bus,
            state: None,
            said: Vec::new(),
            ms: 0,
        }
    }

    fn sense(&self) {
        let now = at(self.ms);
        for arm in ArmId::ALL {
            let velocity = Joints::zeros(arm.dof());
            let position = home(arm);
            self.joints[arm.index()].publish(&ArmJoints { arm, stamp: now, position, velocity }).unwrap();
            let status = ArmStatus { arm, stamp: now, state: OperatingState::Enabled, is_homed: true, is_busy: false };
            self.status[arm.index()].publish(&status).unwrap();
            if arm.has_jaw() {
                self.jaws[arm.index()].publish(&Jaw { arm, stamp: now, position: 0.1 }).unwrap();
            }
        }
    }

    fn tick(&mut self) {
        self.node.poll(at(self.ms));
        self.ms += 1;
        self.state = self.states.newest().or(self.state);
        self.said.extend(std::iter::from_fn(|| self.verdicts.take()).map(Result::unwrap));
    }

    /// Milliseconds in which the arms are measured and somebody wants `goal` of PSM1.
    fn run(&mut self, ms: i64, goal: Option<&Joints>) {
        for _ in 0..ms {
            self.sense();
            if let Some(&position) = goal {
                self.wanted.publish(&JointCommand { arm: ARM, stamp: at(self.ms), position }).unwrap();
            }
            self.tick();
        }
    }

    fn mode(&self) -> SafetyMode {
        self.state.unwrap().mode
    }

    fn named(&self, outcome: Outcome, constraint: Constraint) -> bool {
        self.said.iter().any(|v| (v.outcome, v.constraint) == (outcome, constraint))
    }
}

#[test]
fn nothing_that_reaches_an_arm_has_a_writer() {
    let reaching = || {
        ArmId::ALL.into_iter().flat_map(|arm| {
            [graph::servo_jp(arm), graph::state_command(arm), graph::jaw_servo_jp(arm)]
                .into_iter()
                .take(2 + usize::from(arm.has_jaw()))
        })
    };
    for intent in [Intent::ServoJp, Intent::SetpointJs] {
        let bus = Bus::memory();
        let _node = SafetyNode::shadow(&bus, SafetyParams::default(), intent).unwrap();
        assert!(reaching().all(|t| bus.announced(&t).writers.is_empty()));
    }
    // The gate has one of each: what is asked here can be told apart.
    let bus = Bus::memory();
    let verifier = Verifier::new(RootSecret::from_bytes([3; 32]), Boot(3));
    let _node = SafetyNode::new(&bus, SafetyParams::default(), verifier).unwrap();
    assert!(reaching().all(|t| bus.announced(&t).writers.len() == 1));
}

#[test]
fn what_others_command_is_judged_as_in_teleop_and_goes_nowhere() {
    for intent in [Intent::ServoJp, Intent::SetpointJs] {
        let mut theatre = Theatre::new(intent);
        let servo = theatre.bus.subscriber_of_depth::<JointCommand>(&graph::servo_jp(ARM), 4096).unwrap();
        theatre.run(300, Some(&home(ARM)));
        assert_eq!(theatre.mode(), SafetyMode::Teleop);
        assert!(theatre.state.unwrap().shadow);
        assert_eq!(theatre.said, [], "{intent:?}: what rests is not refused");
        theatre.run(20, Some(&yaw(1.0)));
        assert!(theatre.named(Outcome::Refused, Constraint::Jump), "{:?}", theatre.said);
        let heard = std::iter::from_fn(|| servo.take()).count();
        assert_eq!(heard, if intent == Intent::ServoJp { 320 } else { 0 }, "only what somebody else wrote");
        assert_eq!(theatre.state.unwrap().violations, 0);
    }
}

#[test]
fn an_arm_that_goes_where_the_node_would_not_lead_it_is_a_following_error_and_judging_goes_on() {
    let mut theatre = Theatre::new(Intent::ServoJp);
    theatre.run(300, Some(&home(ARM)));
    // Within a jump, but the arm stays where it is.
    theatre.run(900, Some(&yaw(0.14)));
    assert!(theatre.named(Outcome::Held, Constraint::FollowingError), "{:?}", theatre.said);
    theatre.run(1500, Some(&home(ARM)));
    assert_eq!(theatre.mode(), SafetyMode::Teleop);
}

#[test]
fn silence_is_named_and_judging_goes_on_after_it() {
    let mut theatre = Theatre::new(Intent::ServoJp);
    theatre.run(300, Some(&home(ARM)));
    (0..60).for_each(|_| theatre.tick());
    assert!(theatre.named(Outcome::Held, Constraint::KinematicsStale), "{:?}", theatre.said);
    theatre.run(500, Some(&home(ARM)));
    assert_eq!(theatre.mode(), SafetyMode::Teleop);
}

#[test]
fn nobodys_word_changes_what_the_node_is() {
    let mut theatre = Theatre::new(Intent::ServoJp);
    theatre.run(300, Some(&home(ARM)));
    let requests = theatre.bus.publisher::<Sealed<OperatorRequest>>(&graph::request()).unwrap();
    // Of somebody who knows how an understudy is sealed, and of a console.
    for root in [[0; 32], [3; 32]] {
        let operator = OperatorId(7);
        let key = SessionKey::new(&RootSecret::from_bytes(root), operator, SessionId([1; 16]), at(3_600_000));
        for kind in [RequestKind::Disable, RequestKind::Supervise, RequestKind::ReadZones] {
            let request = OperatorRequest { stamp: at(theatre.ms), seq: theatre.ms as u64, operator, kind };
            requests.publish(&key.seal(Boot(1), request)).unwrap();
            theatre.run(20, Some(&home(ARM)));
        }
    }
    assert_eq!((theatre.mode(), theatre.said.len()), (SafetyMode::Teleop, 0), "{:?}", theatre.said);
    assert!(theatre.state.unwrap().shadow);
}

#[test]
fn an_e_stop_is_said_and_judging_goes_on() {
    let mut theatre = Theatre::new(Intent::ServoJp);
    theatre.run(300, Some(&home(ARM)));
    let e_stop = theatre.bus.publisher::<Sealed<OperatorRequest>>(&graph::e_stop()).unwrap();
    let key = SessionKey::new(&RootSecret::from_bytes([9; 32]), OperatorId(1), SessionId([1; 16]), at(3_600_000));
    let request = OperatorRequest { stamp: at(theatre.ms), seq: 1, operator: OperatorId(1), kind: RequestKind::EStop };
    e_stop.publish(&key.seal(Boot(1), request)).unwrap();
    theatre.run(1, Some(&home(ARM)));
    assert_eq!((theatre.mode(), theatre.state.unwrap().e_stop), (SafetyMode::Fault, true));
    theatre.run(800, Some(&home(ARM)));
    assert_eq!(theatre.mode(), SafetyMode::Teleop);
}

#[test]
fn diagnostics_say_that_it_only_watches() {
    let mut theatre = Theatre::new(Intent::ServoJp);
    let reports = theatre.bus.subscriber::<Diagnostics>(&graph::diagnostics()).unwrap();
    theatre.run(1200, Some(&home(ARM)));
    let report = reports.newest().unwrap();
    let health = report.all.iter().find(|d| d.name == "safety: loop").unwrap();
    assert_eq!(health.health, Health::Warn);
    assert!(health.message.contains("commands nothing"), "{}", health.message);
}
