//! Arms of their own form are data: `urdf/arms/<NAME>.toml` beside a URDF, or a file of the same kind anywhere else.

use crate::{Instrument, KinematicsError, model::Model};
use nalgebra::{Isometry3, Translation3, UnitQuaternion};
use proctor_types::InvalidValue;
use serde::Deserialize;
use std::path::Path;

/// Farthest that a foot stands from the trocar, m.
const FARTHEST_FOOT: f64 = 3.0;
/// Largest acceleration (rad/s^2 or m/s^2) and jerk that a file may give: beyond, it is a mistake.
const MOST_ACCELERATION: f64 = 1e3;
const MOST_JERK: f64 = 1e6;
/// No software remote centre is laxer than this, m.
pub const MOST_TOLERANCE: f64 = 5e-4;

/// An arm's file, read and checked by itself. [`crate::Chain::of_arm`] checks it against its URDF.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmFile {
    /// What errors call it.
    pub(crate) name: String,
    pub(crate) data: Data,
    pub(crate) urdf: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    urdf: String,
    pub foot: String,
    pub tip: String,
    pub shaft: String,
    pub acceleration: Vec<f64>,
    pub jerk: Vec<f64>,
    pub home: Vec<f64>,
    pub remote_centre: RemoteCentre,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoteCentre {
    pub foot_xyz: [f64; 3],
    pub foot_rpy: [f64; 3],
    pub tolerance: f64,
}

/// (name, file, its URDF), embedded.
const EMBEDDED: &[(&str, &str, &str)] = &[(
    "LEAN7_PROBE",
    include_str!("../../../urdf/arms/LEAN7_PROBE.toml"),
    include_str!("../../../urdf/arms/lean7.urdf"),
)];

impl ArmFile {
    /// Every arm in `urdf/arms`.
    pub fn names() -> Vec<&'static str> {
        EMBEDDED.iter().map(|(name, ..)| *name).collect()
    }

    /// Looks an arm up by its exact name (see [`ArmFile::names`]).
    pub fn named(name: &str) -> Result<Self, KinematicsError> {
        let found = EMBEDDED.iter().find(|(known, ..)| *known == name);
        let (known, file, urdf) = found.ok_or_else(|| KinematicsError::UnknownInstrument {
            name: name.to_owned(),
            known: [Instrument::names(), Self::names()].concat().join(", "),
        })?;
        Self::parse(known, file, urdf)
    }

    /// Reads a file and the URDF beside it that it names.
    pub fn read(path: &Path) -> Result<Self, KinematicsError> {
        let name = path.display().to_string();
        let refuse = |reason: String| KinematicsError::ArmFile { file: name.clone(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
        let data: Data = toml::from_str(&text).map_err(|e| refuse(e.to_string()))?;
        let beside = path.parent().unwrap_or(Path::new("")).join(&data.urdf);
        let urdf = std::fs::read_to_string(&beside).map_err(|e| refuse(format!("{}: {e}", beside.display())))?;
        Self { name, data, urdf }.checked()
    }

    /// From both texts; `name` is what errors call the file.
    pub fn parse(name: &str, file: &str, urdf: &str) -> Result<Self, KinematicsError> {
        let refuse = |e: toml::de::Error| KinematicsError::ArmFile { file: name.to_owned(), reason: e.to_string() };
        let data = toml::from_str(file).map_err(refuse)?;
        Self { name: name.to_owned(), data, urdf: urdf.to_owned() }.checked()
    }

    fn checked(self) -> Result<Self, KinematicsError> {
        let centre = &self.data.remote_centre;
        in_range("remote_centre.tolerance, m", &[centre.tolerance], f64::MIN_POSITIVE, MOST_TOLERANCE)?;
        in_range("remote_centre.foot_xyz, m", &centre.foot_xyz, -FARTHEST_FOOT, FARTHEST_FOOT)?;
        in_range("remote_centre.foot_rpy, rad", &centre.foot_rpy, -7.0, 7.0)?;
        in_range("acceleration", &self.data.acceleration, f64::MIN_POSITIVE, MOST_ACCELERATION)?;
        in_range("jerk", &self.data.jerk, f64::MIN_POSITIVE, MOST_JERK)?;
        Ok(self)
    }

    pub(crate) fn model(&self) -> Result<Model, KinematicsError> {
        Model::parse(&self.name, &self.urdf)
    }

    /// Base (the trocar) from foot.
    pub(crate) fn base_from_foot(&self) -> Isometry3<f64> {
        let RemoteCentre { foot_xyz, foot_rpy: [roll, pitch, yaw], .. } = self.data.remote_centre;
        Isometry3::from_parts(Translation3::from(foot_xyz), UnitQuaternion::from_euler_angles(roll, pitch, yaw))
    }
}

fn in_range(what: &'static str, values: &[f64], min: f64, max: f64) -> Result<(), InvalidValue> {
    // Written so that NaN is refused too.
    match values.iter().find(|v| !(**v >= min && **v <= max)) {
        Some(&value) => Err(InvalidValue::Range { what, value, min, max }),
        None => Ok(()),
    }
}
