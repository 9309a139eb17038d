//! Writes what the independent judge (tests/interop/judge.py) looks at: the RIHS01 hash of every interface, CDR bytes of
//! every message type with the values they should hold, and a recording with the values published into it.
//!
//! `cargo run --release -p proctor-recorder --example interop -- FOLDER`

#![allow(clippy::unwrap_used)]

#[path = "../../../msgs/tests/strategies/mod.rs"]
mod strategies;

use proctor_bus::{Bus, Node, Publisher, Topic, graph};
use proctor_msgs::{Message, Wire, cdr, crtk_msgs, lifecycle_msgs, proctor_msgs as msg, registry::Entry};
use proctor_recorder::{RecorderNode, RecorderParams};
use proctor_types::{ArmId, Stamp};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// Values per message type.
const SAMPLES: usize = 16;

/// Deterministic values of a strategy: the same on every run.
fn values<S: Strategy>(strategy: S) -> Vec<S::Value> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..SAMPLES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

struct Output<'a> {
    folder: &'a Path,
    bus: Bus,
    cases: Vec<Value>,
    published: BTreeMap<String, Vec<Value>>,
}

impl Output<'_> {
    /// One CDR file and one published message per value.
    fn write<T: Wire>(&mut self, topic: &Topic, values: &[T])
    where
        T::Msg: Serialize,
    {
        let publisher: Publisher<T> = self.bus.publisher(topic).unwrap();
        for value in values {
            let message = value.encode();
            self.case(topic.type_name, &message);
            publisher.publish(value).unwrap();
            let list = self.published.entry(topic.name.to_string()).or_default();
            list.push(serde_json::to_value(&message).unwrap());
        }
    }

    fn case<M: Message + Serialize>(&mut self, type_name: &str, message: &M) {
        let file = format!("{:04}.cdr", self.cases.len());
        fs::write(self.folder.join(&file), cdr::to_cdr(message)).unwrap();
        self.cases.push(json!({ "type": type_name, "file": file, "value": serde_json::to_value(message).unwrap() }));
    }
}

/// Values of one arm, on its topics.
fn of<T>(arm: ArmId, values: Vec<T>, whose: impl Fn(&T) -> ArmId) -> Vec<T> {
    values.into_iter().filter(|v| whose(v) == arm).collect()
}

fn main() {
    let folder = std::env::args().nth(1).expect("usage: interop FOLDER");
    let folder = Path::new(&folder);
    fs::create_dir_all(folder).unwrap();
    let recording = folder.join("session.mcap");
    let _ = fs::remove_file(&recording);
    let bus = Bus::memory();
    let mut recorder = RecorderNode::new(&bus, RecorderParams::to(&recording)).unwrap();
    let mut out = Output { folder, bus, cases: Vec::new(), published: BTreeMap::new() };

    for arm in ArmId::ALL {
        out.write(&graph::measured_js(arm), &of(arm, values(strategies::arm_joints()), |v| v.arm));
        out.write(&graph::servo_jp(arm), &of(arm, values(strategies::joint_command()), |v| v.arm));
        out.write(&graph::measured_cp(arm), &of(arm, values(strategies::arm_pose()), |v| v.arm));
        out.write(&graph::measured_cf(arm), &of(arm, values(strategies::arm_force()), |v| v.arm));
        out.write(&graph::operating_state(arm), &of(arm, values(strategies::arm_status()), |v| v.arm));
        out.write(&graph::state_command(arm), &of(arm, values(strategies::state_command()), |v| v.arm));
        if arm.has_jaw() {
            out.write(&graph::jaw_measured_js(arm), &of(arm, values(strategies::jaw()), |v| v.arm));
        }
    }
    out.write(&graph::image_left(), &values(strategies::camera_image()));
    out.write(&graph::camera_info_left(), &values(strategies::calibration()));
    out.write(&graph::segmentation(), &values(strategies::segmentation()));
    out.write(&graph::findings(), &values(strategies::findings()));
    out.write(&graph::scene(), &values(strategies::scene()));
    out.write(&graph::proposal(), &values(strategies::proposal()));
    out.write(&graph::withdrawal(), &values(strategies::withdrawal()));
    out.write(&graph::decision(), &values(strategies::decision()));
    out.write(&graph::presence(), &values(strategies::presence()));
    out.write(&graph::request(), &values(strategies::operator_request()));
    out.write(&graph::skill_request(), &values(strategies::skill_request()));
    out.write(&graph::safety_state(), &values(strategies::safety_state()));
    out.write(&graph::verdict(), &values(strategies::verdict()));
    out.write(&graph::zones_state(), &values(strategies::zones_state()));
    for zones in values(strategies::zones_state()) {
        zones.encode().zones.iter().for_each(|label| out.case("proctor_msgs/msg/ZoneLabel", label));
    }
    out.write(&graph::clock(), &values(strategies::stamp()));
    out.write(&graph::rosout(), &values(strategies::log_record()));
    out.write(&graph::tf(), &values(strategies::transforms()));
    out.write(&graph::joint_states(), &values(strategies::named_joints()));
    out.write(&graph::surface(), &values(strategies::surface_cloud()));
    values(strategies::decision()).iter().for_each(|d| out.case("proctor_msgs/msg/Seal", &d.encode().seal));
    for findings in values(strategies::findings()) {
        let m = findings.encode();
        m.boxes.iter().take(2).for_each(|b| out.case("proctor_msgs/msg/FoundBox", b));
        m.points.iter().take(2).for_each(|p| out.case("proctor_msgs/msg/FoundPoint", p));
        m.scores.iter().take(2).for_each(|s| out.case("proctor_msgs/msg/Scored", s));
    }
    for scene in values(strategies::scene()) {
        nested(&mut out, &scene.encode());
    }

    let now = Stamp::from_nanos("now", 1_700_000_000_123_456_789).unwrap();
    recorder.poll(now);
    recorder.finish(now).unwrap();
    assert!(recorder.counts().dropped.is_empty());

    let types = types();
    let services = services();
    let index = json!({
        "types": types, "services": services, "cases": out.cases, "published": out.published,
        "recorded_at": now.nanos(),
    });
    fs::write(folder.join("index.json"), serde_json::to_vec_pretty(&index).unwrap()).unwrap();
    println!("{} types, {} services, {} messages", types.len(), services.len(), out.cases.len());
}

/// Messages that travel only inside a Scene, on their own.
fn nested(out: &mut Output, scene: &msg::Scene) {
    scene.hand_eyes.iter().for_each(|m| out.case("proctor_msgs/msg/HandEye", m));
    scene.instruments.iter().for_each(|m| out.case("proctor_msgs/msg/InstrumentEstimate", m));
    scene.surface.iter().take(2).for_each(|m| out.case("proctor_msgs/msg/SurfacePoint", m));
    scene.clearances.iter().for_each(|m| out.case("proctor_msgs/msg/Clearance", m));
    scene.grasp_target.iter().for_each(|m| out.case("proctor_msgs/msg/GraspTarget", m));
    out.case("proctor_msgs/msg/ImageQuality", &scene.quality);
    out.case("proctor_msgs/msg/TimeOffset", &scene.time);
    scene.instruments.iter().for_each(|m| out.case("proctor_msgs/msg/Finding", &m.finding));
}

macro_rules! hashes {
    ($($t:ty),+ $(,)?) => { [$(Entry::of::<$t>()),+] };
}

/// Every message of our packages, with its hash. The judge compares this list with the .msg files.
fn types() -> BTreeMap<String, String> {
    let ours = hashes![
        msg::Arm,
        msg::Clearance,
        msg::Constraint,
        msg::Decision,
        msg::Evidence,
        msg::Finding,
        msg::Findings,
        msg::FoundBox,
        msg::FoundPoint,
        msg::GraspTarget,
        msg::HandEye,
        msg::ImageQuality,
        msg::InstrumentEstimate,
        msg::OperatorRequest,
        msg::PlannedWith,
        msg::Presence,
        msg::Proposal,
        msg::SafetyMode,
        msg::SafetyState,
        msg::Scene,
        msg::Seal,
        msg::Scored,
        msg::Segmentation,
        msg::Skill,
        msg::SkillRequest,
        msg::SurfacePoint,
        msg::TimeOffset,
        msg::TissueClass,
        msg::ToolKeypoint,
        msg::Trajectory,
        msg::TrajectoryPoint,
        msg::Verdict,
        msg::Withdrawal,
        msg::ZoneLabel,
        msg::ZonesState,
        crtk_msgs::OperatingState,
        crtk_msgs::StringStamped,
    ];
    let all = ours.into_iter().chain(proctor_msgs::registry::all());
    all.map(|e| (e.name, e.type_info.hash.to_rihs_string())).collect()
}

fn services() -> BTreeMap<&'static str, String> {
    [
        ("crtk_msgs/srv/TriggerOperatingState", proctor_msgs::service_hash::<crtk_msgs::srv::TriggerOperatingState>()),
        (
            "crtk_msgs/srv/QueryForwardKinematics",
            proctor_msgs::service_hash::<crtk_msgs::srv::QueryForwardKinematics>(),
        ),
        (
            "crtk_msgs/srv/QueryInverseKinematics",
            proctor_msgs::service_hash::<crtk_msgs::srv::QueryInverseKinematics>(),
        ),
        ("lifecycle_msgs/srv/ChangeState", proctor_msgs::service_hash::<lifecycle_msgs::srv::ChangeState>()),
        ("lifecycle_msgs/srv/GetState", proctor_msgs::service_hash::<lifecycle_msgs::srv::GetState>()),
        (
            "lifecycle_msgs/srv/GetAvailableStates",
            proctor_msgs::service_hash::<lifecycle_msgs::srv::GetAvailableStates>(),
        ),
        (
            "lifecycle_msgs/srv/GetAvailableTransitions",
            proctor_msgs::service_hash::<lifecycle_msgs::srv::GetAvailableTransitions>(),
        ),
    ]
    .into()
}
