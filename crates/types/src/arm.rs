//! Arms and their joint-space values, in dVRK names and CRTK terms.

use crate::{InvalidValue, Stamp, finite};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Deref, str::FromStr};

/// Most joints any supported arm has (jaw apart). A named bound, so joint vectors live on the stack.
pub const MAX_JOINTS: usize = 7;

/// A place in the operating cell, by the dVRK name of the arm that usually stands there, which is also its ROS namespace (`/PSM1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ArmId {
    /// Patient-side manipulator 1: the instrument on the right of the picture.
    Psm1,
    /// Patient-side manipulator 2: the instrument on the left of the picture.
    Psm2,
    /// Endoscope camera manipulator.
    Ecm,
}

impl ArmId {
    /// Every arm, in index order.
    pub const ALL: [Self; 3] = [Self::Psm1, Self::Psm2, Self::Ecm];
    /// The instrument arms, in index order.
    pub const PSMS: [Self; 2] = [Self::Psm1, Self::Psm2];

    /// Position in [`ArmId::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Self::Psm1 => 0,
            Self::Psm2 => 1,
            Self::Ecm => 2,
        }
    }

    /// dVRK name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Psm1 => "PSM1",
            Self::Psm2 => "PSM2",
            Self::Ecm => "ECM",
        }
    }

    /// Joints of the dVRK's arm in this place, jaw apart: yaw, pitch, insertion (m), roll, then for a PSM wrist pitch and wrist yaw. The
    /// place may hold an arm of another form (docs/adr/0008): whoever knows its model goes by that.
    pub const fn dof(self) -> usize {
        match self {
            Self::Psm1 | Self::Psm2 => 6,
            Self::Ecm => 4,
        }
    }

    /// Whether an arm of so many joints can stand here: the dVRK's own, or, in an instrument's place, one of [`MAX_JOINTS`].
    pub const fn admits(self, joints: usize) -> bool {
        joints == self.dof() || (self.has_jaw() && joints == MAX_JOINTS)
    }

    /// Whether this is an instrument's place. The dVRK's arms carry a jaw there; an arm of another form need not.
    pub const fn has_jaw(self) -> bool {
        !matches!(self, Self::Ecm)
    }
}

impl fmt::Display for ArmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ArmId {
    type Err = InvalidValue;
    fn from_str(s: &str) -> Result<Self, InvalidValue> {
        Self::ALL.into_iter().find(|a| a.name() == s).ok_or_else(|| InvalidValue::Name {
            what: "arm",
            expected: "PSM1, PSM2, ECM",
            got: s.to_owned(),
        })
    }
}

/// Joint values of one arm (rad; insertion in m; or their rates): at most [`MAX_JOINTS`], always finite, no heap.
/// Dereferences to a slice.
#[derive(Clone, Copy, PartialEq)]
pub struct Joints {
    n: u8,
    v: [f64; MAX_JOINTS],
}

impl Joints {
    /// From a slice of any length up to [`MAX_JOINTS`]; refuses NaN, infinities and longer slices.
    pub fn new(values: &[f64]) -> Result<Self, InvalidValue> {
        if values.len() > MAX_JOINTS {
            return Err(InvalidValue::Length { what: "joints", expected: MAX_JOINTS, got: values.len() });
        }
        let mut v = [0.0; MAX_JOINTS];
        for (slot, &x) in v.iter_mut().zip(values) {
            *slot = finite("joint", x)?;
        }
        Ok(Self { n: values.len() as u8, v })
    }

    /// As [`Joints::new`], and the length must be one that the arm's place admits.
    pub fn for_arm(arm: ArmId, values: &[f64]) -> Result<Self, InvalidValue> {
        if arm.admits(values.len()) {
            Self::new(values)
        } else {
            Err(InvalidValue::Length { what: "joints", expected: arm.dof(), got: values.len() })
        }
    }

    /// `n` zeros (at most [`MAX_JOINTS`]).
    pub fn zeros(n: usize) -> Self {
        Self { n: n.min(MAX_JOINTS) as u8, v: [0.0; MAX_JOINTS] }
    }

    /// The values.
    pub fn as_slice(&self) -> &[f64] {
        self.v.get(..usize::from(self.n)).unwrap_or(&self.v)
    }

    /// Element-wise `f(self, other)` over the shorter length; `None` if a result is not finite.
    pub fn zip_with(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let mut out = Self { n: self.n.min(other.n), v: [0.0; MAX_JOINTS] };
        for ((slot, &a), &b) in out.v.iter_mut().zip(self.as_slice()).zip(other.as_slice()) {
            *slot = f(a, b);
        }
        out.v.iter().all(|x| x.is_finite()).then_some(out)
    }
}

impl Deref for Joints {
    type Target = [f64];
    fn deref(&self) -> &[f64] {
        self.as_slice()
    }
}

impl fmt::Debug for Joints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl Serialize for Joints {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(s)
    }
}

impl<'de> Deserialize<'de> for Joints {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let values = Vec::<f64>::deserialize(d)?;
        Self::new(&values).map_err(serde::de::Error::custom)
    }
}

/// CRTK operating state of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OperatingState {
    /// Not powered; commands are ignored. The default, because it is the safe one.
    #[default]
    Disabled,
    /// Powered and, if homed, following commands.
    Enabled,
    /// Powered, holding, ignoring motion commands.
    Paused,
    /// The robot stopped itself; entered by the robot only.
    Fault,
}

impl OperatingState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Disabled, Self::Enabled, Self::Paused, Self::Fault];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "DISABLED",
            Self::Enabled => "ENABLED",
            Self::Paused => "PAUSED",
            Self::Fault => "FAULT",
        }
    }
}

impl FromStr for OperatingState {
    type Err = InvalidValue;
    fn from_str(s: &str) -> Result<Self, InvalidValue> {
        Self::ALL.into_iter().find(|a| a.name() == s).ok_or_else(|| InvalidValue::Name {
            what: "operating state",
            expected: "DISABLED, ENABLED, PAUSED, FAULT",
            got: s.to_owned(),
        })
    }
}

/// What an arm measured at one instant (CRTK `measured_js`, `jaw/measured_js`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmState {
    /// Which arm.
    pub arm: ArmId,
    /// When it was measured.
    pub stamp: Stamp,
    /// Joint positions (rad; insertion in m), the arm's length.
    pub position: Joints,
    /// Joint velocities (rad/s; m/s), the arm's length.
    pub velocity: Joints,
    /// Jaw angle (rad, 0 closed); 0 for the ECM.
    pub jaw: f64,
}

/// A joint-space goal of one arm, jaw apart (CRTK `servo_jp`, `move_jp`, `setpoint_js`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct JointCommand {
    /// Which arm.
    pub arm: ArmId,
    /// When it was issued.
    pub stamp: Stamp,
    /// Goal (rad; insertion in m), the arm's length.
    pub position: Joints,
}

/// A jaw angle of one arm (CRTK `jaw/measured_js`, `jaw/servo_jp`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Jaw {
    /// Which arm.
    pub arm: ArmId,
    /// When it was measured or issued.
    pub stamp: Stamp,
    /// Angle, rad (0 closed), finite.
    pub position: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joints_refuse_nan_infinity_and_wrong_length() {
        assert!(matches!(Joints::new(&[0.0, f64::NAN]), Err(InvalidValue::NotFinite { .. })));
        assert!(Joints::new(&[f64::INFINITY]).is_err());
        assert!(Joints::new(&[0.0; 8]).is_err());
        assert_eq!(
            Joints::for_arm(ArmId::Ecm, &[0.0; 6]),
            Err(InvalidValue::Length { what: "joints", expected: 4, got: 6 })
        );
    }

    #[test]
    fn names_round_trip() {
        for arm in ArmId::ALL {
            assert_eq!(arm.name().parse::<ArmId>().unwrap(), arm);
        }
        for state in OperatingState::ALL {
            assert_eq!(state.name().parse::<OperatingState>().unwrap(), state);
        }
        assert!("PSM9".parse::<ArmId>().is_err());
    }
}
