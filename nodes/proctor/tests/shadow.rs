//! A recording of a robot that somebody else commands, judged afterwards.
#![allow(clippy::unwrap_used)]

use proctor::{exec::Lockstep, shadow};
use proctor_bus::{Bus, Names, Node, Publisher, Subscriber, graph};
use proctor_recorder::{
    RecorderNode, RecorderParams,
    bag::{self, Bag},
};
use proctor_safety::{Intent, SafetyParams};
use proctor_sim::{
    SimConfig, Simulator,
    node::{Commander, PlantNode, PlantParams},
    plant::ArmConfig,
};
use proctor_types::{ArmId, ArmJoints, Constraint, JointCommand, Joints, Outcome, Stamp};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

const ARM: ArmId = ArmId::Psm1;
/// When the careless surgeon jumps, ms.
const JUMPS: u64 = 2000;

/// A surgeon who writes the arm's own topic: PSM1 turns its roll slowly back and forth after half a second; at [`JUMPS`] a careless one asks for 0.5 rad of yaw at once.
struct Surgeon {
    servo: Publisher<JointCommand>,
    measured: Subscriber<ArmJoints>,
    start: Option<Joints>,
    careless: bool,
    ms: u64,
}

impl Node for Surgeon {
    fn name(&self) -> &'static str {
        "surgeon"
    }

    fn period(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn poll(&mut self, now: Stamp) {
        self.ms += 1;
        self.start = self.start.or(self.measured.newest().map(|m| m.position));
        let Some(start) = self.start else { return };
        let mut q = start.to_vec();
        q[3] += 0.05 * (1.0 - (self.ms.saturating_sub(500) as f64 * 2e-3).cos());
        if self.careless && self.ms >= JUMPS {
            q[0] += 0.5;
        }
        let command = JointCommand { arm: ARM, stamp: now, position: Joints::new(&q).unwrap() };
        self.servo.publish(&command).unwrap();
    }
}

fn record(folder: &Path, careless: bool) -> PathBuf {
    let bus = Bus::memory();
    let config = SimConfig { arm: ArmConfig { starts_ready: true, ..ArmConfig::default() }, ..SimConfig::default() };
    let simulator = Arc::new(Mutex::new(Simulator::new(config).unwrap()));
    let file = folder.join(format!("{careless}.mcap"));
    let mut exec = Lockstep::new(Stamp::from_nanos("t", 5_000_000_000).unwrap());
    let surgeon = Surgeon {
        servo: bus.publisher(&graph::servo_jp(ARM)).unwrap(),
        measured: bus.subscriber(&graph::measured_js(ARM)).unwrap(),
        start: None,
        careless,
        ms: 0,
    };
    exec.add(Box::new(PlantNode::new(&bus, simulator, PlantParams::default(), &Commander::Anybody).unwrap()));
    exec.add(Box::new(surgeon));
    exec.add(Box::new(RecorderNode::new(&bus, RecorderParams::to(&file)).unwrap()));
    exec.run_for(Duration::from_secs(4));
    file
}

fn params() -> SafetyParams {
    let needle_drivers = ["LARGE_NEEDLE_DRIVER_400006", "LARGE_NEEDLE_DRIVER_400006"].map(str::to_owned);
    SafetyParams { instruments: needle_drivers, ..SafetyParams::default() }
}

fn read(file: &Path) -> Bag {
    bag::read(file, &graph::all(), &Names::default()).unwrap()
}

fn judged(file: &Path, intent: Intent) -> shadow::Report {
    shadow::judge(bag::read(file, &shadow::topics(intent), &Names::default()).unwrap(), intent, params()).unwrap()
}

#[test]
fn a_recording_of_careful_hands_has_nothing_to_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), false);
    assert!(read(&file).messages.len() > 4000, "surgeon and arms were recorded");
    for intent in [Intent::ServoJp, Intent::SetpointJs] {
        let report = judged(&file, intent);
        // Where the roll turns round, the filter's next step is for a tick not exactly the command's.
        let brief = |e: &shadow::Episode| e.outcome == Outcome::Limited && e.until - e.from < 0.002;
        assert!(report.episodes.iter().all(brief), "{intent:?}: {:?}", report.episodes);
        assert!(report.judged > 3.0 && report.complete, "{report:?}");
        assert!(report.missing.contains(&"/proctor/scene".to_owned()));
    }
}

#[test]
fn what_would_have_been_refused_is_said_with_when_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let report = judged(&record(folder.path(), true), Intent::ServoJp);
    let jump = report.episodes.iter().find(|e| e.constraint == Constraint::Jump).unwrap();
    assert_eq!((jump.arm, jump.outcome, jump.index), (Some(ARM), Outcome::Refused, 0));
    // 0.5 rad of yaw, against 0.15 in the defaults; the first message of the recording comes in the first tick.
    assert!((jump.value - 0.5).abs() < 0.01 && jump.limit == 0.15, "{jump:?}");
    assert!((jump.from - JUMPS as f64 * 1e-3).abs() < 0.02, "{jump:?}");
    assert!(report.episodes.iter().all(|e| e.from >= jump.from), "{:?}", report.episodes);
    let mut text = Vec::new();
    report.write(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("PSM1 refused") && text.contains("jump"), "{text}");
}

#[test]
fn the_same_recording_gives_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), true);
    assert_eq!(judged(&file, Intent::SetpointJs), judged(&file, Intent::SetpointJs));
}

#[test]
fn the_command_prints_and_writes_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let (file, json) = (record(folder.path(), true), folder.path().join("report.json"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_proctor"));
    command.current_dir(root).arg("shadow").arg(&file).args(["--intent", "servo-jp", "--json"]).arg(&json);
    let out = command.args(["--profile", "launch/config/dvrk.toml"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("PSM1 refused") && text.contains("judged"), "{text}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(report["episodes"][0]["constraint"], "jump");
    assert_eq!(report["episodes"][0]["arm"], "PSM1");
}
