//! CRTK: joints, jaws, tip poses, operating states.
//!
//! - `measured_js` must carry velocities: safety must not guess them. An empty `velocity` is refused.
//! - A command's `velocity` and `effort` may be empty and are otherwise only checked for length, not used.
//! - `name` may be empty (CRTK commands often leave it so); otherwise it must be the dVRK's names in order, or `joint_1` to `joint_7` for seven joints.
//! - `frame_id` of joint messages means nothing and is not looked at, except for safety's seal ([`super::command`]).

use super::fields::{finite, framed, header, pose, read_pose, read_vector, stamp, text, vector};
use super::{ConvertError, Origin, Wire};
use crate::{
    crtk_msgs,
    geometry_msgs::{PoseStamped, Wrench, WrenchStamped},
    sensor_msgs::JointState,
};
use proctor_types::{
    ArmForce, ArmId, ArmJoints, ArmPose, ArmStatus, InvalidValue, Jaw, JointCommand, Joints, MAX_JOINTS, Stamp,
    StateCommand,
};

/// dVRK names of a PSM's joints, jaw apart.
pub const PSM_JOINTS: [&str; 6] =
    ["outer_yaw", "outer_pitch", "outer_insertion", "outer_roll", "outer_wrist_pitch", "outer_wrist_yaw"];
/// dVRK names of the ECM's joints.
pub const ECM_JOINTS: [&str; 4] = ["outer_yaw", "outer_pitch", "outer_insertion", "outer_roll"];
/// Names of the joints of an arm of another form in an instrument's place.
pub const OTHER_JOINTS: [&str; MAX_JOINTS] =
    ["joint_1", "joint_2", "joint_3", "joint_4", "joint_5", "joint_6", "joint_7"];
/// dVRK name of the jaw joint.
pub const JAW_JOINT: &str = "jaw";

/// Names of an arm's joints on the wire.
pub const fn joint_names(arm: ArmId) -> &'static [&'static str] {
    match arm {
        ArmId::Psm1 | ArmId::Psm2 => &PSM_JOINTS,
        ArmId::Ecm => &ECM_JOINTS,
    }
}

/// The same for an arm that has so many joints: not the dVRK's, if they are not as many.
fn names(arm: ArmId, joints: usize) -> &'static [&'static str] {
    if joints != arm.dof() && arm.admits(joints) { &OTHER_JOINTS } else { joint_names(arm) }
}

/// `frame_id` of an arm's base.
pub const fn base_frame(arm: ArmId) -> &'static str {
    match arm {
        ArmId::Psm1 => "PSM1_base",
        ArmId::Psm2 => "PSM2_base",
        ArmId::Ecm => "ECM_base",
    }
}

fn joint_state(stamp: Stamp, names: &[&str], position: &[f64], velocity: &[f64]) -> JointState {
    JointState {
        header: header(stamp, ""),
        name: names.iter().map(|&n| n.to_owned()).collect(),
        position: position.to_vec(),
        velocity: velocity.to_vec(),
        effort: Vec::new(),
    }
}

/// Checks names and lengths; returns the stamp.
fn check(m: &JointState, names: &[&str]) -> Result<Stamp, ConvertError> {
    if !m.name.is_empty() && !m.name.iter().map(String::as_str).eq(names.iter().copied()) {
        let got: Vec<&str> = m.name.iter().take(8).map(String::as_str).collect();
        return Err(text("name", &got.join(" "), &names.join(" ")));
    }
    let lengths =
        [("position", m.position.len(), false), ("velocity", m.velocity.len(), true), ("effort", m.effort.len(), true)];
    for (what, got, optional) in lengths {
        if got != names.len() && !(optional && got == 0) {
            let problem = InvalidValue::Length { what, expected: names.len(), got };
            return Err(ConvertError::new(what, problem.into()));
        }
    }
    stamp("header.stamp", &m.header.stamp)
}

fn joints(what: &'static str, arm: ArmId, values: &[f64]) -> Result<Joints, ConvertError> {
    Joints::for_arm(arm, values).map_err(|e| ConvertError::new(what, e.into()))
}

impl Wire for ArmJoints {
    type Msg = JointState;

    fn encode(&self) -> JointState {
        joint_state(self.stamp, names(self.arm, self.position.len()), &self.position, &self.velocity)
    }

    fn decode(m: &JointState, origin: Origin) -> Result<Self, ConvertError> {
        let arm = origin.arm()?;
        let stamp = check(m, names(arm, m.position.len()))?;
        let (position, velocity) = (joints("position", arm, &m.position)?, joints("velocity", arm, &m.velocity)?);
        Ok(Self { arm, stamp, position, velocity })
    }
}

impl Wire for JointCommand {
    type Msg = JointState;

    fn encode(&self) -> JointState {
        joint_state(self.stamp, names(self.arm, self.position.len()), &self.position, &[])
    }

    fn decode(m: &JointState, origin: Origin) -> Result<Self, ConvertError> {
        let arm = origin.arm()?;
        let stamp = check(m, names(arm, m.position.len()))?;
        Ok(Self { arm, stamp, position: joints("position", arm, &m.position)? })
    }
}

impl Wire for Jaw {
    type Msg = JointState;

    fn encode(&self) -> JointState {
        joint_state(self.stamp, &[JAW_JOINT], &[self.position], &[])
    }

    fn decode(m: &JointState, origin: Origin) -> Result<Self, ConvertError> {
        let arm = origin.arm()?;
        let stamp = check(m, &[JAW_JOINT])?;
        Ok(Self { arm, stamp, position: finite("position[0]", m.position[0])? })
    }
}

impl Wire for ArmPose {
    type Msg = PoseStamped;

    fn encode(&self) -> PoseStamped {
        PoseStamped { header: header(self.stamp, base_frame(self.arm)), pose: pose(&self.base_from_tip) }
    }

    fn decode(m: &PoseStamped, origin: Origin) -> Result<Self, ConvertError> {
        let arm = origin.arm()?;
        let stamp = framed(&m.header, origin.base(arm))?;
        Ok(Self { arm, stamp, base_from_tip: read_pose("pose", &m.pose)? })
    }
}

impl Wire for ArmForce {
    type Msg = WrenchStamped;

    fn encode(&self) -> WrenchStamped {
        let wrench = Wrench { force: vector(&self.force), torque: vector(&self.torque) };
        WrenchStamped { header: header(self.stamp, base_frame(self.arm)), wrench }
    }

    fn decode(m: &WrenchStamped, origin: Origin) -> Result<Self, ConvertError> {
        let arm = origin.arm()?;
        let stamp = framed(&m.header, origin.base(arm))?;
        let force = read_vector("wrench.force", &m.wrench.force)?;
        Ok(Self { arm, stamp, force, torque: read_vector("wrench.torque", &m.wrench.torque)? })
    }
}

impl Wire for ArmStatus {
    type Msg = crtk_msgs::OperatingState;

    fn encode(&self) -> Self::Msg {
        crtk_msgs::OperatingState {
            header: header(self.stamp, ""),
            state: self.state.name().to_owned(),
            is_homed: self.is_homed,
            is_busy: self.is_busy,
        }
    }

    fn decode(m: &Self::Msg, origin: Origin) -> Result<Self, ConvertError> {
        let arm = origin.arm()?;
        let stamp = stamp("header.stamp", &m.header.stamp)?;
        let state = m.state.parse().map_err(|_| text("state", &m.state, "DISABLED, ENABLED, PAUSED or FAULT"))?;
        Ok(Self { arm, stamp, state, is_homed: m.is_homed, is_busy: m.is_busy })
    }
}

impl Wire for StateCommand {
    type Msg = crtk_msgs::StringStamped;

    fn encode(&self) -> Self::Msg {
        crtk_msgs::StringStamped { header: header(self.stamp, ""), string: self.request.name().to_owned() }
    }

    fn decode(m: &Self::Msg, origin: Origin) -> Result<Self, ConvertError> {
        let arm = origin.arm()?;
        let stamp = stamp("header.stamp", &m.header.stamp)?;
        let expected = "enable, disable, pause, resume, home or unhome";
        let request = m.string.parse().map_err(|_| text("string", &m.string, expected))?;
        Ok(Self { arm, stamp, request })
    }
}

/// The arm of a message field; NONE is refused.
pub(super) fn read_arm(field: &'static str, m: &crate::proctor_msgs::Arm) -> Result<ArmId, ConvertError> {
    super::fields::specified(field, &ArmId::ALL, m.value)
}

/// The arm of a message field; NONE is `None`.
pub(super) fn read_optional_arm(
    field: &'static str,
    m: &crate::proctor_msgs::Arm,
) -> Result<Option<ArmId>, ConvertError> {
    if m.value == crate::proctor_msgs::Arm::NONE { Ok(None) } else { read_arm(field, m).map(Some) }
}

pub(super) fn arm(arm: ArmId) -> crate::proctor_msgs::Arm {
    crate::proctor_msgs::Arm { value: arm.index() as u8 + 1 }
}

pub(super) fn optional_arm(value: Option<ArmId>) -> crate::proctor_msgs::Arm {
    value.map_or(crate::proctor_msgs::Arm { value: crate::proctor_msgs::Arm::NONE }, arm)
}

/// An arm's joints in a bounded list of ours.
pub(super) fn read_joints(field: &'static str, arm: ArmId, values: &[f64]) -> Result<Joints, ConvertError> {
    joints(field, arm, values)
}
