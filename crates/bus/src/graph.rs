//! The closed table of topics: who says what to whom, of which type, how often and how reliably.

use proctor_types::ArmId;
use std::borrow::Cow;

/// How a topic's messages are kept and delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Qos {
    /// Messages a subscriber holds; the oldest is dropped at the bound, counted.
    pub depth: usize,
    /// `true`: the writer waits for the network rather than lose a message. `false`: it never waits.
    pub reliable: bool,
    /// Whether a late reader receives the last message.
    pub latched: bool,
}

impl Qos {
    /// Only the newest counts; the writer never waits: servo set-points, states of the present moment.
    pub const LATEST: Self = Self { depth: 1, reliable: false, latched: false };
    /// Pictures: a few, so that left and right can be paired.
    pub const PICTURE: Self = Self { depth: 4, reliable: false, latched: false };
    /// Samples that a slower reader wants to see all of (5 s of measured joints would be 1000; readers poll within 0.3 s).
    pub const SAMPLES: Self = Self { depth: 64, reliable: false, latched: false };
    /// Orders and decisions: bounded, ordered, none lost on the way.
    pub const EVENTS: Self = Self { depth: 64, reliable: true, latched: false };
    /// Judgements: up to one per millisecond and arm; a reader that polls at 2 Hz still sees all of them.
    pub const LOG: Self = Self { depth: 2048, reliable: true, latched: false };
    /// State that a late reader must know.
    pub const LATCHED: Self = Self { depth: 1, reliable: true, latched: true };
    /// Where frames are, as tf2 has it.
    pub const FRAMES: Self = Self { depth: 100, reliable: true, latched: false };
    /// Lines of logs, as ROS has them: late readers hear what was said before.
    pub const LINES: Self = Self { depth: 1000, reliable: true, latched: true };
}

/// A topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    /// Full name.
    pub name: Cow<'static, str>,
    /// ROS type, e.g. `sensor_msgs/msg/Image`.
    pub type_name: &'static str,
    /// Keeping and delivery.
    pub qos: Qos,
    /// Nominal rate of each writer, Hz; 0 for events.
    pub rate_hz: f64,
    /// The only node that writes it ("sim" stands for whatever drives the arms and the endoscope).
    pub writer: &'static str,
    /// Nodes that read it, the recorder apart, which reads everything.
    pub readers: &'static [&'static str],
    /// The arm in whose namespace it lies; its messages do not name it.
    pub arm: Option<ArmId>,
}

impl Topic {
    /// Whether ROS has this topic once, outside every namespace.
    pub fn is_global(&self) -> bool {
        ["/clock", "/diagnostics", "/rosout", "/tf"].contains(&&*self.name)
    }

    /// Whether its messages hold pixels.
    pub(crate) fn is_bulky(&self) -> bool {
        [IMAGE, SEGMENTATION].contains(&self.type_name)
    }
}

const IMAGE: &str = "sensor_msgs/msg/Image";
const CAMERA_INFO: &str = "sensor_msgs/msg/CameraInfo";
const JOINT_STATE: &str = "sensor_msgs/msg/JointState";
const SEGMENTATION: &str = "proctor_msgs/msg/Segmentation";

/// Frames per second of the endoscope.
const FRAMES: f64 = 30.0;
/// Rate of measured joints, Hz.
const MEASURED: f64 = 200.0;
/// Rate of servo set-points, Hz.
const SERVO: f64 = 1000.0;

const fn topic(
    name: &'static str,
    type_name: &'static str,
    qos: Qos,
    rate_hz: f64,
    writer: &'static str,
    readers: &'static [&'static str],
) -> Topic {
    Topic { name: Cow::Borrowed(name), type_name, qos, rate_hz, writer, readers, arm: None }
}

/// The same topic in an arm's namespace; `name` holds `{arm}`.
fn of_arm(arm: ArmId, mut topic: Topic) -> Topic {
    topic.name = Cow::Owned(topic.name.replace("{arm}", arm.name()));
    topic.arm = Some(arm);
    topic
}

/// Left picture, rectified, rgb8.
pub const fn image_left() -> Topic {
    topic("/endoscope/left/image_rect", IMAGE, Qos::PICTURE, FRAMES, "sim", &["perception", "fusion", "console"])
}

/// Right picture, rectified, rgb8, same stamp as the left one.
pub const fn image_right() -> Topic {
    topic("/endoscope/right/image_rect", IMAGE, Qos::PICTURE, FRAMES, "sim", &["fusion"])
}

/// Calibration of the left camera, with each picture.
pub const fn camera_info_left() -> Topic {
    let readers = &["perception", "fusion", "console"];
    topic("/endoscope/left/camera_info", CAMERA_INFO, Qos::PICTURE, FRAMES, "sim", readers)
}

/// Calibration of the right camera, with each picture; carries the baseline.
pub const fn camera_info_right() -> Topic {
    topic("/endoscope/right/camera_info", CAMERA_INFO, Qos::PICTURE, FRAMES, "sim", &["fusion"])
}

/// Measured joints, jaw apart.
pub fn measured_js(arm: ArmId) -> Topic {
    const READERS: &[&str] = &["perception", "fusion", "autonomy", "safety", "teleop", "console"];
    // Perception asks whether the endoscope moved, and of nothing else.
    let readers = if arm == ArmId::Ecm { READERS } else { &READERS[1..] };
    of_arm(arm, topic("/{arm}/measured_js", JOINT_STATE, Qos::SAMPLES, MEASURED, "sim", readers))
}

/// The robot's own set-point.
pub fn setpoint_js(arm: ArmId) -> Topic {
    of_arm(arm, topic("/{arm}/setpoint_js", JOINT_STATE, Qos::LATEST, MEASURED, "sim", &["safety"]))
}

/// Measured tool tip in the arm's base.
pub fn measured_cp(arm: ArmId) -> Topic {
    of_arm(
        arm,
        topic("/{arm}/measured_cp", "geometry_msgs/msg/PoseStamped", Qos::LATEST, MEASURED, "sim", &["console"]),
    )
}

/// Measured contact force in the arm's base; silent on arms that measure none.
pub fn measured_cf(arm: ArmId) -> Topic {
    let name = "/{arm}/spatial/measured_cf";
    of_arm(arm, topic(name, "geometry_msgs/msg/WrenchStamped", Qos::LATEST, MEASURED, "sim", &["safety"]))
}

/// Measured jaw angle.
pub fn jaw_measured_js(arm: ArmId) -> Topic {
    let readers = &["fusion", "autonomy", "safety", "teleop", "console"];
    of_arm(arm, topic("/{arm}/jaw/measured_js", JOINT_STATE, Qos::SAMPLES, MEASURED, "sim", readers))
}

/// Joint set-points that reach the arm. Safety is the only writer.
pub fn servo_jp(arm: ArmId) -> Topic {
    of_arm(arm, topic("/{arm}/servo_jp", JOINT_STATE, Qos::LATEST, SERVO, "safety", &["sim"]))
}

/// Jaw set-points that reach the arm. Safety is the only writer.
pub fn jaw_servo_jp(arm: ArmId) -> Topic {
    of_arm(arm, topic("/{arm}/jaw/servo_jp", JOINT_STATE, Qos::LATEST, SERVO, "safety", &["sim"]))
}

/// CRTK state of the arm.
pub fn operating_state(arm: ArmId) -> Topic {
    let readers = &["safety", "console"];
    of_arm(arm, topic("/{arm}/operating_state", "crtk_msgs/msg/OperatingState", Qos::LATCHED, 0.0, "sim", readers))
}

/// CRTK requests to the arm: ordered, bounded, never latched.
pub fn state_command(arm: ArmId) -> Topic {
    of_arm(arm, topic("/{arm}/state_command", "crtk_msgs/msg/StringStamped", Qos::EVENTS, 0.0, "safety", &["sim"]))
}

/// What perception saw.
pub const fn segmentation() -> Topic {
    let readers = &["fusion", "console"];
    topic("/proctor/segmentation", SEGMENTATION, Qos::PICTURE, FRAMES, "perception", readers)
}

/// What models beside the segmentation found: boxes, points, scores, regions; each message names its model.
pub const fn findings() -> Topic {
    topic("/proctor/findings", "proctor_msgs/msg/Findings", Qos::SAMPLES, FRAMES, "perception", &["console"])
}

/// What fusion believes.
pub const fn scene() -> Topic {
    let readers = &["autonomy", "safety", "console"];
    topic("/proctor/scene", "proctor_msgs/msg/Scene", Qos::PICTURE, FRAMES, "fusion", readers)
}

/// Suggested motions.
pub const fn proposal() -> Topic {
    topic("/proctor/proposal", "proctor_msgs/msg/Proposal", Qos::EVENTS, 0.0, "autonomy", &["safety", "console"])
}

/// Proposals taken back.
pub const fn withdrawal() -> Topic {
    topic("/proctor/withdrawal", "proctor_msgs/msg/Withdrawal", Qos::EVENTS, 0.0, "autonomy", &["safety", "console"])
}

/// Approvals and rejections.
pub const fn decision() -> Topic {
    topic("/proctor/decision", "proctor_msgs/msg/Decision", Qos::EVENTS, 0.0, "console", &["safety", "autonomy"])
}

/// "I am holding".
pub const fn presence() -> Topic {
    topic("/proctor/presence", "proctor_msgs/msg/Presence", Qos::EVENTS, 30.0, "console", &["safety"])
}

/// What operators ask of the safety node.
pub const fn request() -> Topic {
    topic("/proctor/request", "proctor_msgs/msg/OperatorRequest", Qos::EVENTS, 0.0, "console", &["safety"])
}

/// Whatever arrives here is an e-stop, readable or not. A topic of its own, so that no flood of other messages can crowd it out.
pub const fn e_stop() -> Topic {
    topic("/proctor/e_stop", "proctor_msgs/msg/OperatorRequest", Qos::EVENTS, 0.0, "console", &["safety"])
}

/// What operators ask of autonomy.
pub const fn skill_request() -> Topic {
    topic("/proctor/skill_request", "proctor_msgs/msg/SkillRequest", Qos::EVENTS, 0.0, "console", &["autonomy"])
}

/// State of the safety node.
pub const fn safety_state() -> Topic {
    let readers = &["autonomy", "console", "teleop"];
    topic("/proctor/safety_state", "proctor_msgs/msg/SafetyState", Qos::LATCHED, 50.0, "safety", readers)
}

/// Judgements of the safety node.
pub const fn verdict() -> Topic {
    topic("/proctor/verdict", "proctor_msgs/msg/Verdict", Qos::LOG, 0.0, "safety", &["console", "autonomy"])
}

/// How safety and fusion fare, why autonomy suggests a motion or none, and from the console how long pictures take; for people and
/// dashboards. ROS's common topic: here alone there is more than one writer.
pub const fn diagnostics() -> Topic {
    let writers = "safety, fusion, autonomy, console";
    topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", Qos::EVENTS, 1.0, writers, &["console"])
}

/// What nodes say in words. Every process says what its own nodes do, under its name in ROS.
pub const fn rosout() -> Topic {
    let writers = "sim, perception, fusion, autonomy, safety, console, recorder";
    topic("/rosout", "rcl_interfaces/msg/Log", Qos::LINES, 0.0, writers, &[])
}

/// Where the arms' bases are in the world: as the picture has it, nominally until then. What hangs on them is in the robot's description.
pub const fn tf() -> Topic {
    topic("/tf", "tf2_msgs/msg/TFMessage", Qos::FRAMES, FRAMES, "fusion", &[])
}

/// Every arm's joints under their names in the robot's description (urdf/), for robot_state_publisher.
pub const fn joint_states() -> Topic {
    topic("/joint_states", JOINT_STATE, Qos::EVENTS, FRAMES, "fusion", &[])
}

/// The scene's surface as a cloud of points, for RViz and Foxglove.
pub const fn surface() -> Topic {
    topic("/proctor/surface", "sensor_msgs/msg/PointCloud2", Qos::PICTURE, 5.0, "fusion", &[])
}

/// Which no-go zones hold; verdicts number them.
pub const fn zones_state() -> Topic {
    topic("/proctor/zones_state", "proctor_msgs/msg/ZonesState", Qos::LATCHED, 0.0, "safety", &["console"])
}

/// Joint set-points a teleoperator wants; safety decides what reaches the arm.
pub fn teleop_servo_jp(arm: ArmId) -> Topic {
    of_arm(arm, topic("/teleop/{arm}/servo_jp", JOINT_STATE, Qos::LATEST, SERVO, "teleop", &["safety"]))
}

/// Jaw set-points a teleoperator wants.
pub fn teleop_jaw(arm: ArmId) -> Topic {
    of_arm(arm, topic("/teleop/{arm}/jaw/servo_jp", JOINT_STATE, Qos::LATEST, SERVO, "teleop", &["safety"]))
}

/// The clock of a simulation.
pub const fn clock() -> Topic {
    topic("/clock", "rosgraph_msgs/msg/Clock", Qos::LATEST, SERVO, "sim", &[])
}

/// Every topic there is.
pub fn all() -> Vec<Topic> {
    let mut topics = vec![
        clock(),
        image_left(),
        image_right(),
        camera_info_left(),
        camera_info_right(),
        segmentation(),
        findings(),
        scene(),
        proposal(),
        withdrawal(),
        decision(),
        presence(),
        request(),
        e_stop(),
        skill_request(),
        safety_state(),
        verdict(),
        diagnostics(),
        zones_state(),
        rosout(),
        tf(),
        joint_states(),
        surface(),
    ];
    for arm in ArmId::ALL {
        let of_every_arm = [
            measured_js,
            setpoint_js,
            measured_cp,
            measured_cf,
            operating_state,
            state_command,
            servo_jp,
            teleop_servo_jp,
        ];
        topics.extend(of_every_arm.map(|t| t(arm)));
        if arm.has_jaw() {
            topics.extend([jaw_measured_js(arm), jaw_servo_jp(arm), teleop_jaw(arm)]);
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_absolute() {
        let names: Vec<_> = all().into_iter().map(|t| t.name).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        assert!(names.iter().all(|n| n.starts_with('/') && !n.contains(['{', '}']) && !n.ends_with('/')));
    }

    #[test]
    fn every_type_is_one_the_messages_crate_knows() {
        for t in all() {
            let entry = proctor_msgs::registry::find(t.type_name).unwrap_or_else(|| panic!("{}", t.type_name));
            assert!(!entry.definition.is_empty(), "{}", t.type_name);
        }
    }

    #[test]
    fn only_safety_writes_what_reaches_an_arm() {
        for arm in ArmId::ALL {
            for t in [servo_jp(arm), jaw_servo_jp(arm), state_command(arm)] {
                assert_eq!(t.writer, "safety", "{}", t.name);
            }
        }
        let others = all().into_iter().filter(|t| t.writer != "safety" && t.name.ends_with("servo_jp"));
        assert!(others.into_iter().all(|t| t.name.starts_with("/teleop/")));
    }

    #[test]
    fn orders_are_never_latched() {
        for t in all().into_iter().filter(|t| t.qos.latched && t.name != "/rosout") {
            assert!(t.name.ends_with("state"), "{} is latched but is no state", t.name);
        }
    }
}
