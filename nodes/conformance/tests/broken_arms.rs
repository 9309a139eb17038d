//! A right arm passes, and every check fails an arm that is wrong in just that.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use proctor_bus::{Announced, Bus, graph};
use proctor_conformance::{AsIs, Check, Heard, Level, Outcome, Probe, ProbeNode, Report};
use proctor_msgs::sensor_msgs::JointState;
use proctor_seal::{RootSecret, Verifier};
use proctor_sim::{
    SimConfig, Simulator,
    node::{Commander, PlantNode, PlantParams},
};
use proctor_types::{Boot, Stamp};
use std::sync::{Arc, Mutex};
use support::{ARM, TestArm, Wrong, chain, options, run};

fn judged(wrong: Option<Wrong>, level: Level) -> (Report, TestArm) {
    let bus = Bus::memory();
    let mut arm = TestArm::new(&bus, wrong);
    let probe = ProbeNode::new(&bus, options(level), chain(), None).unwrap();
    let report = run(&mut arm, probe, |_| {});
    (report, arm)
}

#[test]
fn an_arm_that_does_everything_right_passes_and_is_left_as_it_was_found() {
    let (report, arm) = judged(None, Level::Provoke);
    assert_eq!(report.with(Outcome::Pass), Check::ALL, "{report}");
    assert!(report.passed && report.stopped.is_none());
    assert_eq!(arm.state(), "DISABLED");
    // The jump was followed, at the arm's own pace, and led back.
    assert!(arm.off() < 0.011, "{}", arm.off());
}

#[test]
fn the_simulators_arm_passes_with_sealed_commands() {
    let (bus, root) = (Bus::memory(), RootSecret::from_bytes([2; 32]));
    let simulator = Arc::new(Mutex::new(Simulator::new(SimConfig::default()).unwrap()));
    let mut plant = PlantNode::new(&bus, simulator, PlantParams::default(), &Commander::Safety(root.clone())).unwrap();
    let sealer = Verifier::new(root, Boot(5)).sealer();
    let probe = ProbeNode::new(&bus, options(Level::Provoke), chain(), Some(sealer)).unwrap();
    let report = run(&mut plant, probe, |_| {});
    assert_eq!(report.with(Outcome::Pass), Check::ALL, "{report}");
}

#[test]
fn an_arm_that_asks_for_seals_follows_nothing_without_one() {
    let (bus, root) = (Bus::memory(), RootSecret::from_bytes([2; 32]));
    let simulator = Arc::new(Mutex::new(Simulator::new(SimConfig::default()).unwrap()));
    let mut plant = PlantNode::new(&bus, simulator, PlantParams::default(), &Commander::Safety(root)).unwrap();
    let report = run(&mut plant, ProbeNode::new(&bus, options(Level::Provoke), chain(), None).unwrap(), |_| {});
    assert_eq!(report.with(Outcome::Fail), [Check::Enable], "{report}");
}

#[test]
fn the_simulators_arm_without_seals_is_found_to_take_what_is_old() {
    let bus = Bus::memory();
    let simulator = Arc::new(Mutex::new(Simulator::new(SimConfig::default()).unwrap()));
    let mut plant = PlantNode::new(&bus, simulator, PlantParams::default(), &Commander::Anybody).unwrap();
    let report = run(&mut plant, ProbeNode::new(&bus, options(Level::Provoke), chain(), None).unwrap(), |_| {});
    assert_eq!(report.with(Outcome::Fail), [Check::LatchedEnable, Check::Stale], "{report}");
}

/// What is wrong, and what is found to be. Some wrongs hide others: an arm that does not enable is not asked to pause.
const TABLE: &[(Wrong, &[Check])] = &[
    (Wrong::NoMeasured, &[Check::MeasuredJs]),
    (Wrong::NoSetpoint, &[Check::SetpointJs, Check::Tells]),
    (Wrong::NoPose, &[Check::MeasuredCp]),
    (Wrong::NoJaw, &[Check::JawMeasuredJs]),
    (Wrong::NoState, &[Check::OperatingState]),
    (Wrong::DeafToServo, &[Check::ServoJp, Check::Follows, Check::Tells]),
    (Wrong::DeafToWords, &[Check::StateCommand, Check::Enable]),
    (Wrong::OtherNames, &[Check::Names]),
    (Wrong::NoVelocity, &[Check::Lengths]),
    (Wrong::NanVelocity, &[Check::Finite]),
    (Wrong::Degrees, &[Check::Units, Check::Pose, Check::Follows, Check::Tells]),
    (Wrong::Millimetres, &[Check::Pose]),
    (Wrong::WorldFrame, &[Check::Frame]),
    (Wrong::FiftyHertz, &[Check::Rate]),
    (Wrong::Gaps, &[Check::Gap]),
    (Wrong::StepsBack, &[Check::Stamps]),
    (Wrong::ClockBehind, &[Check::Clock]),
    (Wrong::SaysHoming, &[Check::Words]),
    (Wrong::ResumesDisabled, &[Check::OutOfTurn]),
    (Wrong::AnyWordEnables, &[Check::UnknownWord]),
    (Wrong::OldEnable, &[Check::LatchedEnable]),
    (Wrong::MovesDisabled, &[Check::Disabled]),
    (Wrong::NeverEnables, &[Check::Enable]),
    (Wrong::RemembersGoal, &[Check::EnableRests]),
    (Wrong::NeverPauses, &[Check::Pause]),
    (Wrong::MovesPaused, &[Check::Paused]),
    (Wrong::NeverResumes, &[Check::Resume]),
    (Wrong::DoesNotFollow, &[Check::Follows, Check::Tells]),
    (Wrong::HidesSetpoint, &[Check::Tells]),
    (Wrong::Coasts, &[Check::Silence]),
    (Wrong::OldGoals, &[Check::Stale]),
    (Wrong::ShortGoals, &[Check::Length]),
    (Wrong::NeverDisables, &[Check::Disable]),
    (Wrong::NanFaults, &[Check::Nan]),
    (Wrong::Teleports, &[Check::Jump]),
    (Wrong::NoLimits, &[Check::Beyond]),
];

#[test]
fn each_wrong_is_found_by_its_check_and_by_no_other() {
    let mut problems = String::new();
    for &(wrong, expected) in TABLE {
        let (report, _) = judged(Some(wrong), Level::Provoke);
        if report.with(Outcome::Fail) != expected || report.passed {
            problems += &format!("{wrong:?}: expected {expected:?}, found\n{report}\n");
        }
    }
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn every_check_can_fail() {
    let found: std::collections::BTreeSet<_> = TABLE.iter().flat_map(|(_, checks)| checks.iter().copied()).collect();
    assert!(Check::ALL.iter().all(|c| found.contains(c)), "{found:?}");
}

#[test]
fn watching_sends_nothing_and_has_nothing_to_send_with() {
    let bus = Bus::memory();
    let mut arm = TestArm::new(&bus, None);
    let probe = ProbeNode::new(&bus, options(Level::Watch), chain(), None).unwrap();
    for topic in [graph::servo_jp(ARM), graph::state_command(ARM)] {
        assert!(bus.announced(&topic).writers.is_empty(), "{}", topic.name);
    }
    let report = run(&mut arm, probe, |_| {});
    let (watched, rest): (Vec<Check>, Vec<Check>) = Check::ALL.iter().partition(|c| c.level() == Level::Watch);
    assert_eq!(report.with(Outcome::Pass), watched, "{report}");
    assert_eq!(report.with(Outcome::NotTried), rest);
}

#[test]
fn moving_does_not_provoke() {
    let (report, _) = judged(None, Level::Move);
    let provoking: Vec<_> = Check::ALL.iter().copied().filter(|c| c.level() == Level::Provoke).collect();
    assert_eq!(report.with(Outcome::NotTried), provoking, "{report}");
    assert!(report.passed);
}

#[test]
fn an_arm_that_somebody_else_commands_is_left_alone() {
    // From the start: the graph tells, and nothing is ever sent.
    let bus = Bus::memory();
    let mut arm = TestArm::new(&bus, None);
    let other = bus.publisher::<AsIs<JointState>>(&graph::servo_jp(ARM)).unwrap();
    let probe = ProbeNode::new(&bus, options(Level::Provoke), chain(), None).unwrap();
    let words = bus.raw_subscriber(&graph::state_command(ARM), 16).unwrap();
    let report = run(&mut arm, probe, |_| {});
    assert!(report.stopped.as_deref().unwrap().contains("somebody else"), "{report}");
    assert_eq!(words.waiting(), 0, "no word was said");
    drop(other);

    // Later: the probe lets go at once, with the arm as it is.
    let bus = Bus::memory();
    let mut arm = TestArm::new(&bus, None);
    let probe = ProbeNode::new(&bus, options(Level::Provoke), chain(), None).unwrap();
    let mut other = None;
    let report = run(&mut arm, probe, |ms| {
        if ms == 9000 {
            let publisher = bus.publisher::<AsIs<JointState>>(&graph::servo_jp(ARM)).unwrap();
            publisher.publish(&AsIs(JointState::default())).unwrap();
            other = Some(publisher);
        }
    });
    assert!(report.stopped.as_deref().unwrap().contains("somebody else"), "{report}");
}

#[test]
fn who_interrupts_the_probe_finds_the_arm_disabled() {
    let bus = Bus::memory();
    let mut arm = TestArm::new(&bus, None);
    let probe = ProbeNode::new(&bus, options(Level::Provoke), chain(), None).unwrap();
    let leave = probe.leave();
    // At 8 s the arm is enabled.
    let report = run(&mut arm, probe, |ms| leave.store(ms > 8000, std::sync::atomic::Ordering::Relaxed));
    assert_eq!(report.stopped.as_deref(), Some("interrupted"), "{report}");
    assert!(report.of(Check::Enable).unwrap().outcome == Outcome::Pass && arm.state() == "DISABLED");
}

#[test]
fn a_topic_of_another_type_is_named() {
    // dVRK pages of old say TransformStamped.
    let mut probe = Probe::new(options(Level::Watch), chain());
    let mut graph: [Announced; 7] = Default::default();
    graph[2].writers = vec!["geometry_msgs/msg/TransformStamped".to_owned()];
    let mut now = Stamp::FIRST;
    let report = loop {
        now = now.plus(std::time::Duration::from_millis(100));
        probe.step(now, &[Heard::Graph(Box::new(graph.clone()))]);
        if let Some(report) = probe.report() {
            break report;
        }
    };
    let finding = report.of(Check::MeasuredCp).unwrap();
    assert_eq!(finding.outcome, Outcome::Fail);
    assert!(finding.seen.contains("TransformStamped"), "{finding:?}");
}

#[test]
fn the_report_is_json_with_everything_that_was_asked() {
    let (report, _) = judged(Some(Wrong::WorldFrame), Level::Watch);
    let json = serde_json::to_value(&report).unwrap();
    let rows = json["checks"].as_array().unwrap();
    assert_eq!(rows.len(), Check::ALL.len());
    let row = rows.iter().find(|r| r["check"] == "pose.frame").unwrap();
    assert_eq!((row["outcome"].as_str(), row["crtk"].as_str()), (Some("fail"), Some("measured_cp.header.frame_id")));
    assert!(row["seen"].as_str().unwrap().contains("world") && !row["asked"].as_str().unwrap().is_empty());
    assert_eq!(json["passed"], false);
}

#[test]
fn the_same_arm_gives_the_same_report() {
    let text = |wrong| judged(wrong, Level::Provoke).0.to_string();
    assert_eq!(text(None), text(None));
}
