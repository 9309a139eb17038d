//! From URDF text to serial chains: the only place that knows what a URDF looks like.

use crate::{
    Instrument, JawKind, JawLimits, KinematicsError,
    general::{Motion, Row},
};
use arrayvec::ArrayVec;
use nalgebra::{Isometry3, Translation3, Unit, UnitQuaternion, Vector3};
use proctor_types::{InvalidValue, MAX_JOINTS};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use urdf_rs::{Geometry, Joint, JointType, Link, Robot};

/// Shortest part of an instrument, m.
const SHORTEST: f64 = 1e-4;
/// Longest part of an instrument, m.
const LONGEST: f64 = 1.0;

/// A fixed transform followed by motion about (or along) its z axis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    /// Parent link from joint frame.
    pub origin: Isometry3<f64>,
    /// Slides along z instead of turning about it.
    pub prismatic: bool,
    /// (lower, upper, velocity), rad or m.
    pub limit: (f64, f64, f64),
}

/// A serial chain: joints, and the fixed transform behind the last one.
pub(crate) struct Serial {
    pub segments: ArrayVec<Segment, MAX_JOINTS>,
    /// The same joints, and the fixed ones between them, in the URDF's own numbers.
    pub rows: Vec<Row>,
    pub tail: Isometry3<f64>,
}

impl Serial {
    /// Tip in base at `q`, multiplied out joint by joint.
    pub fn pose(&self, q: &[f64]) -> Isometry3<f64> {
        let moved = self.segments.iter().zip(q).fold(Isometry3::identity(), |at, (segment, &q)| {
            let motion = if segment.prismatic {
                Isometry3::translation(0.0, 0.0, q)
            } else {
                Isometry3::rotation(Vector3::z() * q)
            };
            at * segment.origin * motion
        });
        moved * self.tail
    }
}

/// A parsed URDF with its name for error messages.
pub(crate) struct Model {
    file: String,
    robot: Arc<Robot>,
}

/// Embedded files that were parsed already, by name: they never change.
static PARSED: Mutex<BTreeMap<String, Arc<Robot>>> = Mutex::new(BTreeMap::new());

impl Model {
    /// An embedded file; parsed once.
    pub fn embedded(file: &str, text: &'static str) -> Result<Self, KinematicsError> {
        let mut parsed = PARSED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(robot) = parsed.get(file) {
            return Ok(Self { file: file.to_owned(), robot: Arc::clone(robot) });
        }
        let model = Self::parse(file, text)?;
        parsed.insert(file.to_owned(), Arc::clone(&model.robot));
        Ok(model)
    }

    /// Any text; `file` is what errors call it.
    pub fn parse(file: &str, text: &str) -> Result<Self, KinematicsError> {
        let robot = urdf_rs::read_from_string(text)
            .map_err(|e| KinematicsError::Urdf { file: file.to_owned(), reason: e.to_string() })?;
        Ok(Self { file: file.to_owned(), robot: Arc::new(robot) })
    }

    pub fn error(&self, what: &'static str, name: &str) -> KinematicsError {
        KinematicsError::Model { file: self.file.clone(), what, name: name.to_owned() }
    }

    pub fn joint(&self, name: &str) -> Result<&Joint, KinematicsError> {
        self.robot.joints.iter().find(|j| j.name == name).ok_or_else(|| self.error("joint", name))
    }

    pub fn link(&self, name: &str) -> Result<&Link, KinematicsError> {
        self.robot.links.iter().find(|l| l.name == name).ok_or_else(|| self.error("link", name))
    }

    /// The joint's fixed transform, parent from joint.
    pub fn origin(&self, joint: &str) -> Result<Isometry3<f64>, KinematicsError> {
        Ok(origin(self.joint(joint)?))
    }

    /// Moving segments from link `base` to link `tip`, and the fixed transform behind the last one.
    pub fn serial(&self, base: &str, tip: &str) -> Result<Serial, KinematicsError> {
        let mut path = Vec::new();
        let mut at = tip;
        while at != base {
            let up = self.robot.joints.iter().find(|j| j.child.link == at);
            let up = up.ok_or_else(|| self.error("joint above link", at))?;
            if path.len() > self.robot.joints.len() {
                return Err(self.error("tree above link", tip));
            }
            path.push(up);
            at = &up.parent.link;
        }
        let rows = path.iter().rev().map(|joint| row(joint)).collect();
        let mut segments = ArrayVec::new();
        let mut fixed = Isometry3::identity();
        for joint in path.into_iter().rev() {
            fixed *= origin(joint);
            let prismatic = match joint.joint_type {
                JointType::Fixed => continue,
                JointType::Revolute => false,
                JointType::Prismatic => true,
                _ => return Err(self.error("revolute, prismatic or fixed joint", &joint.name)),
            };
            let axis = Unit::try_new(Vector3::from(joint.axis.xyz.0), 1e-6);
            let axis = axis.filter(|a| a.iter().all(|x| x.is_finite()));
            let about_z = onto(&axis.ok_or_else(|| self.error("axis of joint", &joint.name))?);
            fixed *= about_z;
            let limit = (joint.limit.lower, joint.limit.upper, joint.limit.velocity);
            segments
                .try_push(Segment { origin: fixed, prismatic, limit })
                .map_err(|_| self.error("chain of at most 7 joints to link", tip))?;
            fixed = about_z.inverse();
        }
        Ok(Serial { segments, rows, tail: fixed })
    }

    /// Reads the instrument that the arm `arm` carries back from its links and joints.
    pub fn instrument(&self, arm: &str, name: &str) -> Result<Instrument, KinematicsError> {
        let kinds = [
            (JawKind::NeedleDriver, format!("{arm}_needle_driver_jaw_1")),
            (JawKind::Forceps, format!("{arm}_forceps_jaw_1")),
            (JawKind::Hook, format!("{arm}_hook")),
        ];
        let (kind, end_link) = kinds
            .into_iter()
            .find(|(_, link)| self.link(link).is_ok())
            .ok_or_else(|| self.error("link of a jaw of", arm))?;
        let jaw = self.joint(&format!("{arm}_jaw"))?;
        let translation = |joint: &str| self.origin(joint).map(|o| o.translation.vector);
        let instrument = Instrument {
            name: name.to_owned(),
            kind,
            roll_d: translation(&format!("{arm}_roll"))?.z,
            wrist_a: translation(&format!("{arm}_wrist_yaw"))?.x,
            shaft_radius: self.cylinder_radius(&format!("{arm}_shaft"))?,
            wrist_radius: self.cylinder_radius(&format!("{arm}_wrist"))?,
            jaw_length: translation(&format!("{arm}_jaw_end_fixed"))?.z,
            jaw_width: self.box_width(&end_link)?,
            jaw_limits: (jaw.limit.lower, jaw.limit.upper),
        };
        let lengths = [
            ("roll D, m", instrument.roll_d),
            ("wrist A, m", instrument.wrist_a),
            ("shaft radius, m", instrument.shaft_radius),
            ("wrist radius, m", instrument.wrist_radius),
            ("jaw length, m", instrument.jaw_length),
            ("jaw width, m", instrument.jaw_width),
        ];
        for (what, value) in lengths {
            // Written so that NaN is refused too.
            if !(SHORTEST..=LONGEST).contains(&value) {
                return Err(InvalidValue::Range { what, value, min: SHORTEST, max: LONGEST }.into());
            }
        }
        Ok(instrument)
    }

    /// Limits of the jaw joint of `arm`.
    pub fn jaw_limits(&self, arm: &str) -> Result<JawLimits, KinematicsError> {
        let limit = &self.joint(&format!("{arm}_jaw"))?.limit;
        Ok(JawLimits {
            lower: limit.lower,
            upper: limit.upper,
            velocity: limit.velocity,
            acceleration: crate::limits::JAW_ACCELERATION,
            jerk: crate::limits::JAW_ACCELERATION / crate::limits::BUILD_UP,
        })
    }

    /// Radius of the cylinder that is the link's collision shape.
    pub fn cylinder_radius(&self, link: &str) -> Result<f64, KinematicsError> {
        match self.link(link)?.collision.first().map(|c| &c.geometry) {
            Some(Geometry::Cylinder { radius, .. }) => Ok(*radius),
            _ => Err(self.error("collision cylinder of link", link)),
        }
    }

    fn box_width(&self, link: &str) -> Result<f64, KinematicsError> {
        match self.link(link)?.collision.first().map(|c| &c.geometry) {
            Some(Geometry::Box { size }) => {
                let [x, _, _] = size.0;
                Ok(x)
            }
            _ => Err(self.error("collision box of link", link)),
        }
    }
}

/// A turn of z onto `axis`: none for z itself, so that such a joint keeps its numbers.
fn onto(axis: &Unit<Vector3<f64>>) -> Isometry3<f64> {
    if **axis == Vector3::z() {
        return Isometry3::identity();
    }
    let turn = UnitQuaternion::rotation_between_axis(&Vector3::z_axis(), axis);
    // Opposite axes leave the turn's own axis open.
    let turn = turn.unwrap_or_else(|| UnitQuaternion::from_axis_angle(&Vector3::x_axis(), std::f64::consts::PI));
    Isometry3::from_parts(Translation3::identity(), turn)
}

fn row(joint: &Joint) -> Row {
    let axis = joint.axis.xyz.0;
    let motion = match joint.joint_type {
        JointType::Revolute => Motion::Turns(axis),
        JointType::Prismatic => Motion::Slides(axis),
        // Others than fixed ones are refused where the chain is made.
        _ => Motion::Fixed,
    };
    Row { xyz: joint.origin.xyz.0, rpy: joint.origin.rpy.0, motion }
}

fn origin(joint: &Joint) -> Isometry3<f64> {
    let [roll, pitch, yaw] = joint.origin.rpy.0;
    let translation = Vector3::from(joint.origin.xyz.0);
    Isometry3::from_parts(Translation3::from(translation), UnitQuaternion::from_euler_angles(roll, pitch, yaw))
}
