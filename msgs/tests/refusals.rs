//! What decoding refuses, field by field, and that the .msg constants are the domain's enums.

#![allow(clippy::unwrap_used)]

mod strategies;

use nalgebra::Matrix6;
use proctor_msgs::{ConvertError, Origin, Problem, Wire, cdr, proctor_msgs as msg, registry};
use proctor_types::*;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, TestRng, TestRunner},
};

/// One value of a strategy, the same on every run.
fn sample<S: Strategy>(strategy: S) -> S::Value {
    let rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    strategy.new_tree(&mut TestRunner::new_with_rng(Config::default(), rng)).unwrap().current()
}

/// Decodes `value`'s message after `edit` and returns the error's field and text.
fn refused<T: Wire + std::fmt::Debug>(value: &T, origin: Origin, edit: impl FnOnce(&mut T::Msg)) -> (String, Problem) {
    let mut message = value.encode();
    edit(&mut message);
    let ConvertError { field, problem } = T::decode(&message, origin).expect_err("must be refused");
    (field.into_owned(), problem)
}

fn psm() -> ArmJoints {
    ArmJoints {
        arm: ArmId::Psm1,
        stamp: Stamp::FIRST,
        position: Joints::new(&[0.1, 0.2, 0.16, 0.3, 0.4, 0.5]).unwrap(),
        velocity: Joints::zeros(6),
    }
}

fn scene() -> Scene {
    let arm = ArmId::Psm2;
    let (covariance, class) = (Matrix6::identity(), Class::Liver);
    Scene {
        stamp: Stamp::FIRST,
        hand_eyes: vec![HandEye { arm, world_from_base: Pose::identity(), covariance, version: 1 }],
        instruments: vec![InstrumentEstimate {
            arm,
            joints: Joints::zeros(6),
            jaw: 0.0,
            world_from_tip: Pose::identity(),
            covariance,
            alignment: Alignment::Aligned,
            residual_px: 1.0,
            finding: Finding::None,
        }],
        surface: vec![SurfacePoint { position: nalgebra::Point3::origin(), class, sigma: 0.001 }],
        clearances: vec![Clearance { arm, class, distance: 0.01, sigma: 0.001, nearest: nalgebra::Point3::origin() }],
        grasp_target: Some((nalgebra::Point3::origin(), nalgebra::Vector3::z())),
        ..sample(strategies::scene())
    }
}

#[test]
fn joints_are_refused_with_the_field_that_is_wrong() {
    let origin = Origin::of(ArmId::Psm1);
    let field = |edit: fn(&mut proctor_msgs::sensor_msgs::JointState)| refused(&psm(), origin, edit).0;
    assert_eq!(field(|m| m.position[2] = f64::NAN), "position");
    assert_eq!(field(|m| m.velocity[5] = f64::INFINITY), "velocity");
    assert_eq!(field(|m| m.velocity.clear()), "velocity");
    assert_eq!(field(|m| m.position.extend([0.0, 0.0])), "position");
    assert_eq!(field(|m| m.position.push(0.0)), "name", "seven joints under the names of six");
    assert_eq!(field(|m| m.position = vec![0.0; 1_000_000]), "position");
    assert_eq!(field(|m| m.effort = vec![0.0; 2]), "effort");
    assert_eq!(field(|m| m.name.swap(0, 1)), "name");
    assert_eq!(field(|m| m.header.stamp = proctor_msgs::builtin_interfaces::Time::default()), "header.stamp");
    assert_eq!(field(|m| m.header.stamp.nanosec = 1_000_000_000), "header.stamp");
    assert_eq!(field(|m| m.header.stamp.sec = -1), "header.stamp");
}

#[test]
fn joints_of_another_arm_or_of_no_arm_are_refused() {
    assert!(matches!(refused(&psm(), Origin::of(ArmId::Ecm), |_| ()).1, Problem::Text { .. }));
    assert_eq!(refused(&psm(), Origin::NONE, |_| ()).1, Problem::NoArm);
    let mut message = psm().encode();
    message.name.clear();
    assert_eq!(ArmJoints::decode(&message, Origin::of(ArmId::Psm1)).unwrap(), psm(), "names are optional");
}

#[test]
fn seven_joints_are_another_arm_s_in_an_instrument_s_place() {
    let seven = Joints::new(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]).unwrap();
    let state = ArmJoints { arm: ArmId::Psm2, stamp: Stamp::FIRST, position: seven, velocity: seven };
    let mut message = state.encode();
    assert_eq!(message.name.last().map(String::as_str), Some("joint_7"));
    assert_eq!(ArmJoints::decode(&message, Origin::of(ArmId::Psm2)).unwrap(), state);
    message.name.clear();
    assert_eq!(ArmJoints::decode(&message, Origin::of(ArmId::Psm2)).unwrap(), state);
    assert!(ArmJoints::decode(&message, Origin::of(ArmId::Ecm)).is_err(), "an endoscope's place holds the ECM");
    assert_eq!(refused(&state, Origin::of(ArmId::Psm2), |m| m.velocity.truncate(6)).0, "velocity");
}

#[test]
fn a_command_needs_no_velocity_but_checks_its_length() {
    let command = JointCommand { arm: ArmId::Psm1, stamp: Stamp::FIRST, position: psm().position };
    let mut message = command.encode();
    assert!(message.velocity.is_empty());
    message.velocity = vec![f64::NAN; 6];
    assert_eq!(JointCommand::decode(&message, Origin::of(ArmId::Psm1)).unwrap(), command, "velocity is not used");
    assert_eq!(refused(&command, Origin::of(ArmId::Psm1), |m| m.velocity = vec![0.0; 5]).0, "velocity");
}

#[test]
fn pictures_are_refused_with_the_field_that_is_wrong() {
    let image = Image::new(3, 2, vec![[1, 2, 3]; 6]).unwrap();
    let picture = CameraImage { stamp: Stamp::FIRST, side: CameraSide::Right, image };
    let field = |edit: fn(&mut proctor_msgs::sensor_msgs::Image)| refused(&picture, Origin::NONE, edit).0;
    assert_eq!(field(|m| m.header.frame_id = "world".into()), "header.frame_id");
    assert_eq!(field(|m| m.encoding = "mono8".into()), "encoding");
    assert_eq!(field(|m| m.width = 0), "width");
    assert_eq!(field(|m| m.height = u32::MAX), "height");
    assert_eq!(field(|m| m.step = 8), "step");
    assert_eq!(field(|m| m.height = 3), "data");
    assert_eq!(field(|m| m.step = u32::MAX), "data");
}

#[test]
fn calibrations_are_refused_with_the_field_that_is_wrong() {
    let info = sample(strategies::calibration());
    let field = |edit: fn(&mut proctor_msgs::sensor_msgs::CameraInfo)| refused(&info, Origin::NONE, edit).0;
    assert_eq!(field(|m| m.p[0] = 0.0), "p[0]");
    assert_eq!(field(|m| m.p[6] = f64::NAN), "p[6]");
    assert_eq!(field(|m| m.p[3] = f64::MAX), "p[3] / -p[0]");
    assert_eq!(field(|m| m.width = 0), "width");
    // A real robot's raw camera matrix and distortion do not matter on a rectified topic.
    let mut message = info.encode();
    (message.k, message.d) = ([f64::NAN; 9], vec![0.1; 14]);
    assert_eq!(CameraCalibration::decode(&message, Origin::NONE).unwrap().model, info.model);
}

#[test]
fn padded_rows_and_bgr_become_the_same_picture() {
    let image = Image::new(2, 2, vec![[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]).unwrap();
    let picture = CameraImage { stamp: Stamp::FIRST, side: CameraSide::Left, image };
    let mut message = picture.encode();
    message.encoding = "bgr8".into();
    message.step = 7;
    message.data = vec![3u8, 2, 1, 6, 5, 4, 99, 9, 8, 7, 12, 11, 10, 99].into();
    assert_eq!(CameraImage::decode(&message, Origin::NONE).unwrap(), picture);
}

#[test]
fn scenes_are_refused_with_the_path_of_the_wrong_field() {
    let field = |edit: fn(&mut msg::Scene)| refused(&scene(), Origin::NONE, edit).0;
    assert_eq!(field(|m| m.header.frame_id = "map".into()), "header.frame_id");
    assert_eq!(field(|m| m.hand_eyes[0].arm.value = 0), "hand_eyes[0].arm");
    assert_eq!(field(|m| m.hand_eyes[0].world_from_base.covariance[7] = -1.0), "hand_eyes[0].world_from_base");
    assert_eq!(field(|m| m.instruments[0].alignment = 5), "instruments[0].alignment");
    assert_eq!(field(|m| m.instruments[0].finding.value = 8), "instruments[0].finding");
    assert_eq!(field(|m| m.time.timing = 3), "time.timing");
    assert_eq!(field(|m| m.time.seconds = f64::NAN), "time.seconds");
    assert_eq!(field(|m| m.time.sigma = -1.0), "time.sigma");
    assert_eq!(field(|m| m.instruments[0].joints.truncate(5)), "instruments[0].joints");
    assert_eq!(field(|m| m.instruments[0].world_from_tip.pose.orientation.w = 0.9), "instruments[0].world_from_tip");
    assert_eq!(field(|m| m.instruments.push(m.instruments[0].clone())), "instruments");
    assert_eq!(field(|m| m.surface[0].tissue.value = 10), "surface[0].tissue");
    assert_eq!(field(|m| m.surface = vec![msg::SurfacePoint::default(); 2049]), "surface");
    assert_eq!(field(|m| m.clearances[0].distance = f64::NEG_INFINITY), "clearances[0].distance");
    assert_eq!(field(|m| m.grasp_target[0].normal.z = 0.5), "grasp_target[0].normal");
    assert_eq!(field(|m| m.quality.verdict = 4), "quality.verdict");
    assert_eq!(field(|m| m.quality.reason = "x".repeat(257)), "quality.reason");
}

#[test]
fn labels_beyond_the_classes_are_refused() {
    let seen = Segmentation {
        labels: Image::new(2, 1, vec![9, 0]).unwrap(),
        uncertainty: Image::new(2, 1, vec![255, 0]).unwrap(),
        ..sample(strategies::segmentation())
    };
    let field = |edit: fn(&mut msg::Segmentation)| refused(&seen, Origin::NONE, edit).0;
    assert_eq!(field(|m| m.labels.data = vec![10u8, 0].into()), "labels.data");
    assert_eq!(field(|m| m.labels.header.frame_id.clear()), "labels.header.frame_id");
    assert_eq!(field(|m| m.labels.header.stamp.nanosec ^= 1), "labels.header.stamp");
    assert_eq!(field(|m| m.confidence[3] = 1.5), "confidence");
    assert_eq!(field(|m| m.keypoints = vec![msg::ToolKeypoint::default(); 65]), "keypoints");
}

#[test]
fn unspecified_enums_are_refused() {
    let decision = sample(strategies::decision());
    assert_eq!(refused(&decision, Origin::NONE, |m| m.kind = 0).0, "kind");
    assert_eq!(refused(&sample(strategies::operator_request()), Origin::NONE, |m| m.kind = 9).0, "kind");
    assert_eq!(refused(&sample(strategies::skill_request()), Origin::NONE, |m| m.skill.value = 0).0, "skill");
    assert_eq!(refused(&sample(strategies::verdict()), Origin::NONE, |m| m.outcome = 0).0, "outcome");
    assert_eq!(refused(&sample(strategies::safety_state()), Origin::NONE, |m| m.mode.value = 6).0, "mode");
    let (_, problem) = refused(&decision, Origin::NONE, |m| m.kind = 77);
    assert_eq!(problem.to_string(), "77 is not one of the 2 known values");
}

#[test]
fn not_even_a_verdict_about_bad_numbers_carries_one() {
    for constraint in [Constraint::Malformed, Constraint::KinematicsStale, Constraint::TipSpeed] {
        let about = Verdict { constraint, ..sample(strategies::verdict()) };
        assert_eq!(refused(&about, Origin::NONE, |m| m.value = f64::NAN).0, "value");
        assert_eq!(refused(&about, Origin::NONE, |m| m.limit = f64::INFINITY).0, "limit");
    }
}

#[test]
fn nearly_unit_quaternions_are_normalised() {
    let pose = ArmPose { arm: ArmId::Psm1, stamp: Stamp::FIRST, base_from_tip: Pose::identity() };
    let mut message = pose.encode();
    message.pose.orientation.w = 1.0001;
    let read = ArmPose::decode(&message, Origin::of(ArmId::Psm1)).unwrap();
    assert_eq!(read.base_from_tip.rotation().norm(), 1.0);
    message.pose.orientation.w = 0.0;
    assert!(matches!(
        ArmPose::decode(&message, Origin::of(ArmId::Psm1)).unwrap_err().problem,
        Problem::Quaternion { norm: 0.0 }
    ));
}

#[test]
fn a_length_that_lies_is_refused_before_anything_is_allocated() {
    let layout = cdr::Layout::of::<msg::Scene>();
    let mut bytes = cdr::to_cdr(&msg::Scene::default());
    // Default: header (8 + string of 1) then seq, pose (7 f64), then the length of hand_eyes.
    let at = 4 + (8 + 4 + 1usize).next_multiple_of(8) + 8 + 56;
    assert_eq!(bytes[at..at + 4], [0; 4]);
    bytes[at..at + 4].copy_from_slice(&3u32.to_le_bytes());
    assert!(matches!(layout.check(&bytes), Err(cdr::CdrFault::Truncated { .. } | cdr::CdrFault::Bound { .. })));
    bytes[at..at + 4].copy_from_slice(&100_000_000u32.to_le_bytes());
    assert_eq!(layout.check(&bytes), Err(cdr::CdrFault::Bound { at: at - 4, len: 100_000_000, bound: 3 }));
}

#[test]
fn other_encapsulations_and_tails_are_refused() {
    let layout = cdr::Layout::of::<msg::Presence>();
    let bytes = cdr::to_cdr(&sample(strategies::presence()).encode());
    assert!(layout.check(&bytes).is_ok());
    assert!(layout.check(&[&bytes[..], &[0; 3]].concat()).is_ok(), "padding");
    assert_eq!(layout.check(&[&bytes[..], &[0; 4]].concat()), Err(cdr::CdrFault::Trailing { extra: 4 }));
    let mut big_endian = bytes.clone();
    big_endian[1] = 0;
    assert_eq!(layout.check(&big_endian), Err(cdr::CdrFault::Header { got: [0; 4] }));
    assert!(matches!(layout.check(&[0, 1]), Err(cdr::CdrFault::Size { len: 2, .. })));
}

#[test]
fn an_e_stop_is_one_whatever_else_the_message_holds_and_nothing_else_is() {
    let mut message = sample(strategies::operator_request()).encode();
    (message.stamp.sec, message.stamp.nanosec) = (0, u32::MAX);
    (message.seal.expires.sec, message.seal.expires.nanosec) = (i32::MIN, u32::MAX);
    for kind in 0..=u8::MAX {
        message.kind = kind;
        let decoded = Sealed::<OperatorRequest>::decode(&message, Origin::NONE);
        match kind {
            msg::OperatorRequest::E_STOP => assert_eq!(decoded.unwrap().body.kind, RequestKind::EStop),
            _ => assert!(decoded.is_err(), "{kind}"),
        }
    }
}

#[test]
fn findings_are_refused_with_the_field_that_is_wrong() {
    let class = |label: &str| Scored { label: label.into(), score: 0.5 };
    let found_box = FoundBox { label: "needle".into(), confidence: 0.9, edges: [1.0, 2.0, 30.0, 40.0] };
    let point = FoundPoint { label: "tip".into(), u: 1.0, v: 2.0, confidence: 0.5, object: Some(0) };
    let image = Image::new(2, 1, vec![0, 1]).unwrap();
    let of = |found| {
        let (name, model) = ("model".to_owned(), Digest::default());
        Findings { stamp: Stamp::FIRST, name, model, width: 640, height: 480, found }
    };
    let field = |found, edit: fn(&mut msg::Findings)| refused(&of(found), Origin::NONE, edit).0;
    let regions = || Found::Regions { image: image.clone(), classes: vec![class("a"), class("b")] };
    let points = || Found::Points { boxes: vec![found_box.clone()], points: vec![point.clone()] };
    let boxes = || Found::Boxes(vec![found_box.clone()]);
    assert_eq!(field(boxes(), |m| m.header.frame_id.clear()), "header.frame_id");
    assert_eq!(field(boxes(), |m| m.width = 0), "width");
    assert_eq!(field(boxes(), |m| m.task = 4), "task");
    assert_eq!(field(boxes(), |m| m.boxes[0].confidence = 1.1), "boxes[0].confidence");
    assert_eq!(field(boxes(), |m| m.boxes[0].right = 0.5), "boxes[0].right");
    assert_eq!(field(boxes(), |m| m.boxes[0].top = f64::NAN), "boxes[0].top");
    assert_eq!(field(boxes(), |m| m.boxes = vec![m.boxes[0].clone(); 129]), "boxes");
    assert_eq!(field(boxes(), |m| m.name = "x".repeat(65)), "name");
    assert_eq!(field(points(), |m| m.points[0].object = 1), "points[0].object");
    assert_eq!(field(points(), |m| m.points[0].object = -2), "points[0].object");
    assert_eq!(field(points(), |m| m.points = vec![m.points[0].clone(); 513]), "points");
    assert_eq!(field(regions(), |m| m.scores.truncate(1)), "regions.data");
    assert_eq!(
        field(regions(), |m| m.regions = proctor_msgs::sensor_msgs::Image::default()),
        "regions.header.frame_id"
    );
    assert_eq!(field(Found::Scores(vec![class("a")]), |m| m.scores[0].score = f32::NAN), "scores[0].score");
}

/// Constants of a .msg definition, in order: (name, value), up to the first field.
fn constants(type_name: &str) -> Vec<(String, u8)> {
    let text = registry::definition(type_name).unwrap();
    let own = text.split("====").next().unwrap();
    let lines = own.lines().map(|l| l.split('#').next().unwrap().trim());
    lines
        .filter_map(|l| l.strip_prefix("uint8 ")?.split_once('='))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().parse().unwrap()))
        .collect()
}

#[test]
fn msg_constants_are_the_domains_enums() {
    let table = |names: &[&str], first: u8| -> Vec<(String, u8)> {
        names.iter().enumerate().map(|(i, n)| (n.to_lowercase(), i as u8 + first)).collect()
    };
    let with_zero = |zero: &str, mut rest: Vec<(String, u8)>| {
        rest.insert(0, (zero.to_owned(), 0));
        rest
    };
    let names: Vec<_> = Constraint::ALL.iter().map(|c| c.name()).collect();
    assert_eq!(constants("proctor_msgs/msg/Constraint"), table(&names, 0));
    assert_eq!(constants("proctor_msgs/msg/TissueClass"), table(&Class::ALL.map(Class::name), 0));
    assert_eq!(constants("proctor_msgs/msg/SafetyMode"), table(&SafetyMode::ALL.map(SafetyMode::name), 0));
    let arms = with_zero("none", table(&ArmId::ALL.map(ArmId::name), 1));
    assert_eq!(constants("proctor_msgs/msg/Arm"), arms);
    let skills = with_zero("unspecified", table(&Skill::ALL.map(Skill::name), 1));
    assert_eq!(constants("proctor_msgs/msg/Skill"), skills);
    let requests = with_zero("unspecified", table(&RequestKind::ALL.map(RequestKind::name), 1));
    assert_eq!(constants("proctor_msgs/msg/OperatorRequest"), requests);
    let image = Image::new(1, 1, vec![0]).unwrap();
    let tasks = [
        Found::Regions { image, classes: Vec::new() }.task(),
        Found::Boxes(Vec::new()).task(),
        Found::Points { boxes: Vec::new(), points: Vec::new() }.task(),
        Found::Scores(Vec::new()).task(),
    ];
    assert_eq!(constants("proctor_msgs/msg/Findings"), table(&tasks, 0));
    // Enums without names: their serde names.
    let serde = |values: Vec<String>| -> Vec<String> { values.iter().map(|v| v.to_lowercase()).collect() };
    let list = |t: &str| constants(t).into_iter().map(|(n, _)| n.replace('_', "")).collect::<Vec<_>>();
    let debug = |d: &[&dyn std::fmt::Debug]| serde(d.iter().map(|x| format!("{x:?}")).collect());
    let of = |all: &[&dyn std::fmt::Debug], zero: Option<&str>| {
        zero.map(str::to_owned).into_iter().chain(debug(all)).collect::<Vec<_>>()
    };
    let q: Vec<&dyn std::fmt::Debug> = QualityVerdict::ALL.iter().map(|x| x as _).collect();
    assert_eq!(list("proctor_msgs/msg/ImageQuality"), of(&q, None));
    let a: Vec<&dyn std::fmt::Debug> = Alignment::ALL.iter().map(|x| x as _).collect();
    assert_eq!(list("proctor_msgs/msg/InstrumentEstimate"), of(&a, None));
    let f: Vec<&dyn std::fmt::Debug> = Finding::ALL.iter().map(|x| x as _).collect();
    assert_eq!(list("proctor_msgs/msg/Finding"), of(&f, None));
    let t: Vec<&dyn std::fmt::Debug> = Timing::ALL.iter().map(|x| x as _).collect();
    assert_eq!(list("proctor_msgs/msg/TimeOffset"), of(&t, None));
    let o: Vec<&dyn std::fmt::Debug> = Outcome::ALL.iter().map(|x| x as _).collect();
    assert_eq!(list("proctor_msgs/msg/Verdict"), of(&o, Some("unspecified")));
    assert_eq!(list("proctor_msgs/msg/Decision"), ["unspecified", "approve", "reject"]);
}

#[test]
fn every_field_of_our_messages_is_commented() {
    for entry in
        registry::all().into_iter().filter(|e| e.name.starts_with("proctor_msgs") || e.name.starts_with("crtk_msgs"))
    {
        for block in entry.definition.split("MSG: ").filter(|b| !b.starts_with(['s', 'g', 'b'])) {
            let fields =
                block.lines().filter(|l| l.contains(' ') && !l.starts_with(['#', '=', ' ']) && !l.contains(" = "));
            for line in fields {
                assert!(line.contains('#'), "{}: {line}", entry.name);
            }
        }
    }
}
