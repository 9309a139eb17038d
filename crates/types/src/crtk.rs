//! What travels between an arm and its controllers, one value per CRTK topic; with
//! [`crate::JointCommand`] and [`crate::Jaw`]. [`crate::ArmState`] is `measured_js` and `jaw/measured_js` together.

use crate::{ArmId, Base, InvalidValue, Joints, OperatingState, Pose, Stamp, Tip};
use nalgebra::Vector3;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Measured joints of one arm, jaw apart (CRTK `measured_js`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmJoints {
    /// Which arm.
    pub arm: ArmId,
    /// When it was measured.
    pub stamp: Stamp,
    /// Joint positions (rad; insertion in m), the arm's length.
    pub position: Joints,
    /// Joint velocities (rad/s; m/s), the arm's length.
    pub velocity: Joints,
}

/// Measured tool tip of one arm (CRTK `measured_cp`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmPose {
    /// Which arm.
    pub arm: ArmId,
    /// When it was measured.
    pub stamp: Stamp,
    /// Tool tip in the arm's base, as the robot's own kinematics say.
    pub base_from_tip: Pose<Base, Tip>,
}

/// Measured contact of one arm (CRTK `measured_cf`, dVRK `spatial/measured_cf`): what the world exerts on the instrument.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmForce {
    /// Which arm.
    pub arm: ArmId,
    /// When it was measured.
    pub stamp: Stamp,
    /// Force, N, along the axes of the arm's base.
    pub force: Vector3<f64>,
    /// Torque about the base's origin, N m, along its axes.
    pub torque: Vector3<f64>,
}

/// Operating state of one arm (CRTK `operating_state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmStatus {
    /// Which arm.
    pub arm: ArmId,
    /// When.
    pub stamp: Stamp,
    /// The state.
    pub state: OperatingState,
    /// Whether the arm knows where it is.
    pub is_homed: bool,
    /// Whether a `move_*` or homing is running.
    pub is_busy: bool,
}

impl ArmStatus {
    /// CRTK `is_ready`: enabled and homed.
    pub fn is_ready(&self) -> bool {
        self.state == OperatingState::Enabled && self.is_homed
    }
}

/// What a controller asks of an arm's state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateRequest {
    /// DISABLED -> ENABLED.
    Enable,
    /// Any -> DISABLED.
    Disable,
    /// ENABLED -> PAUSED.
    Pause,
    /// PAUSED -> ENABLED.
    Resume,
    /// Find the joints' zero.
    Home,
    /// Forget it.
    Unhome,
}

impl StateRequest {
    /// Every request.
    pub const ALL: [Self; 6] = [Self::Enable, Self::Disable, Self::Pause, Self::Resume, Self::Home, Self::Unhome];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Home => "home",
            Self::Unhome => "unhome",
        }
    }
}

impl FromStr for StateRequest {
    type Err = InvalidValue;
    fn from_str(s: &str) -> Result<Self, InvalidValue> {
        Self::ALL.into_iter().find(|a| a.name() == s).ok_or_else(|| InvalidValue::Name {
            what: "state command",
            expected: "enable, disable, pause, resume, home, unhome",
            got: s.to_owned(),
        })
    }
}

/// A [`StateRequest`] for one arm (CRTK `state_command`; never latched).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCommand {
    /// Which arm.
    pub arm: ArmId,
    /// When.
    pub stamp: Stamp,
    /// What.
    pub request: StateRequest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_round_trip_by_name() {
        for r in StateRequest::ALL {
            assert_eq!(r.name().parse::<StateRequest>().unwrap(), r);
        }
        assert!("ENABLE".parse::<StateRequest>().is_err());
    }
}
