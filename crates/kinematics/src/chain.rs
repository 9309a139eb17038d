//! One arm's serial chain: forward kinematics, Jacobian, link frames and capsules, on the stack.
//!
//! PSM and ECM are remote-centre arms of the dVRK's form, so their chain is written out by hand; the URDF supplies the lengths, and
//! construction checks that the URDF's own joints, multiplied one by one, give the same poses - a URDF of another form is refused.
//! An arm with a file of its own ([`ArmFile`]) is walked joint by joint (see `general`).

use crate::{
    ArmFile, Capsule, Instrument, JointLimits, KinematicsError, Row,
    frame::{Frame, V3, blend, cross, minus, sub},
    general::{General, Motion},
    model::{Model, Segment, Serial},
};
use arrayvec::ArrayVec;
use nalgebra::{ArrayStorage, Isometry3, Point3, SMatrix, Vector3};
use proctor_types::{Base, InvalidValue, Joints, MAX_JOINTS, Pose, Tip};
use std::sync::Arc;

/// Geometric Jacobian at the tip, in base axes: rows are linear (m/s) then angular (rad/s) velocity, column `i` belongs to joint `i`;
/// columns beyond the arm's joints are zero.
pub type Jacobian = SMatrix<f64, 6, MAX_JOINTS>;

const ECM_URDF: &str = include_str!("../../../urdf/generated/ecm.urdf");

/// What [`crate::ik`] needs to know of the geometry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    /// Depth beyond the RCM of the wrist-pitch axis (PSM) or tip (ECM) at zero insertion, m.
    pub depth_at_zero: f64,
    /// Wrist-pitch axis to jaw axis, m; `None` for the ECM.
    pub wrist_a: Option<f64>,
}

/// Frames of an instrument's links, all `base_from_link`. For the ECM and for arms of their own form all four frames are the tip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Links {
    /// Origin at the wrist-pitch axis, z along the shaft (distal); turns with the roll joint.
    pub shaft: Isometry3<f64>,
    /// Origin at the wrist-yaw (= jaw) axis, z along the wrist (distal), x the jaw axis.
    pub wrist: Isometry3<f64>,
    /// Origin at the jaw axis, z towards the end of the jaws, x the axis the jaws rotate about. Equal to `tip`.
    pub jaw: Isometry3<f64>,
    /// The dVRK's tip frame.
    pub tip: Isometry3<f64>,
    /// End of the closed jaws (the tip itself for the ECM).
    pub jaw_end: Point3<f64>,
}

/// Where an arm runs at some joints, base frame: what its shape takes, without quaternions. For the ECM and for arms of their own form all of it is
/// at the tip.
#[derive(Debug, Clone, Copy)]
pub struct Outline {
    /// As [`Links::shaft`].
    pub shaft: Frame,
    /// As [`Links::tip`].
    pub tip: Frame,
    /// As [`Links::jaw_end`], m.
    pub jaw_end: [f64; 3],
}

/// Axes and points of a chain at some joints, base frame.
struct Walk {
    /// Axis of the pitch joint.
    pitch_axis: V3,
    /// After the roll joint: z along the shaft (the scope).
    roll: Frame,
    /// A PSM's wrist.
    wrist: Option<Wrist>,
    /// The tip.
    tip: Frame,
}

struct Wrist {
    /// After the wrist-pitch joint: x along the wrist, y the jaw axis, z the wrist-pitch axis.
    pitch: Frame,
}

/// Axis of the yaw joint, base frame.
const YAW_AXIS: V3 = [0.0, -1.0, 0.0];

/// One arm's serial chain, read from its URDF. [`Chain::fk`], [`Chain::fk_jacobian`], [`Chain::links`], [`Chain::outline`] and [`Chain::capsules`] use no heap.
#[derive(Debug, Clone)]
pub struct Chain {
    limits: JointLimits,
    geometry: Geometry,
    instrument: Option<Instrument>,
    shaft_radius: f64,
    /// An arm of its own form; `None` for one of the dVRK's.
    general: Option<Arc<General>>,
}

/// Fewest joints that a shaft through a trocar needs to bring its end somewhere.
const FEWEST_JOINTS: usize = 4;

impl Chain {
    /// What an instrument's place holds, by name: a PSM with the instrument of that name, or else the arm of that name.
    pub fn held(name: &str) -> Result<Self, KinematicsError> {
        if Instrument::names().contains(&name) {
            return Self::psm(&Instrument::named(name)?);
        }
        Self::of_arm(&ArmFile::named(name)?)
    }

    /// An arm of its own form, with a straight shaft and a remote centre kept by software; 4 to 7 joints.
    pub fn of_arm(file: &ArmFile) -> Result<Self, KinematicsError> {
        let (model, data) = (file.model()?, &file.data);
        let serial = model.serial(&data.foot, &data.tip)?;
        let foot = file.base_from_foot();
        let joints = serial.segments.iter().enumerate().map(|(i, s)| {
            let origin = if i == 0 { foot * s.origin } else { s.origin };
            (Frame::of(&origin), s.prismatic)
        });
        let dof = serial.segments.len();
        for (what, values) in [("acceleration", &data.acceleration), ("jerk", &data.jerk), ("home, joints", &data.home)]
        {
            if values.len() != dof {
                return Err(InvalidValue::Length { what, expected: dof, got: values.len() }.into());
            }
        }
        if dof < FEWEST_JOINTS {
            return Err(InvalidValue::Length { what: "joints", expected: FEWEST_JOINTS, got: dof }.into());
        }
        let (xyz, rpy) = (data.remote_centre.foot_xyz, data.remote_centre.foot_rpy);
        let mut rows = vec![Row { xyz, rpy, motion: Motion::Fixed }];
        rows.extend(&serial.rows);
        let tolerance = data.remote_centre.tolerance;
        let general = General {
            joints: joints.collect(),
            tail: Frame::of(&serial.tail),
            rows,
            home: Joints::new(&data.home)?,
            tolerance,
        };
        let chain = Self {
            limits: JointLimits::with(&serial.segments, None, &data.acceleration, &data.jerk)?,
            geometry: Geometry { depth_at_zero: 0.0, wrist_a: None },
            instrument: None,
            // The capsule runs from the trocar to the tip; the shaft itself may pass the trocar at this distance.
            shaft_radius: model.cylinder_radius(&data.shaft)? + tolerance,
            general: Some(Arc::new(general)),
        };
        chain.rests_in_its_trocar(file)
    }

    /// Refuses an arm whose home is not in reach or not in the trocar.
    fn rests_in_its_trocar(self, file: &ArmFile) -> Result<Self, KinematicsError> {
        let Some(general) = &self.general else { return Ok(self) };
        let (off, most) = (self.shaft_offset(&general.home)?.norm(), general.tolerance);
        let inside = self.limits.contains(&general.home);
        if inside && off <= most {
            return Ok(self);
        }
        let reason = if inside {
            format!("home passes the remote centre at {off:.6} m, more than {most} m")
        } else {
            "home is outside the joints' limits".to_owned()
        };
        Err(KinematicsError::ArmFile { file: file.name.clone(), reason })
    }

    /// A PSM that carries `instrument`; 6 joints.
    pub fn psm(instrument: &Instrument) -> Result<Self, KinematicsError> {
        Self::psm_of(&Instrument::model(&instrument.name)?, instrument)
    }

    /// A PSM with whatever instrument this URDF describes, called `name`. The URDF's links and joints must be named as the shipped ones' are.
    pub fn psm_from_urdf(name: &str, urdf: &str) -> Result<Self, KinematicsError> {
        let model = Model::parse(name, urdf)?;
        Self::psm_of(&model, &model.instrument("PSM", name)?)
    }

    fn psm_of(model: &Model, instrument: &Instrument) -> Result<Self, KinematicsError> {
        let serial = model.serial("PSM_base", "PSM_tip")?;
        let (wrist_a, shaft_radius) = (Some(instrument.wrist_a), instrument.shaft_radius);
        let geometry = Geometry { depth_at_zero: depth_at_zero(&serial.segments), wrist_a };
        let limits = JointLimits::of(&serial.segments, Some(model.jaw_limits("PSM")?))?;
        Self { limits, geometry, instrument: Some(instrument.clone()), shaft_radius, general: None }
            .checked(model, &serial)
    }

    /// The ECM; 4 joints.
    pub fn ecm() -> Result<Self, KinematicsError> {
        let model = Model::embedded("urdf/generated/ecm.urdf", ECM_URDF)?;
        let serial = model.serial("ECM_base", "ECM_tip")?;
        let geometry = Geometry { depth_at_zero: depth_at_zero(&serial.segments), wrist_a: None };
        let limits = JointLimits::of(&serial.segments, None)?;
        let shaft_radius = model.cylinder_radius("ECM_scope")?;
        Self { limits, geometry, instrument: None, shaft_radius, general: None }.checked(&model, &serial)
    }

    /// Refuses a URDF whose joints, multiplied one by one, do not give the poses this module computes.
    fn checked(self, model: &Model, serial: &Serial) -> Result<Self, KinematicsError> {
        let other_form = || model.error("remote-centre chain", "of the dVRK's form");
        if serial.segments.len() != if self.instrument.is_some() { 6 } else { 4 } {
            return Err(other_form());
        }
        for sample in 0..8 {
            let mut q = [0.0; MAX_JOINTS];
            for (joint, slot) in q.iter_mut().enumerate() {
                *slot = f64::from(sample) * 0.37 * (f64::from(joint as u32) + 0.9).sin();
            }
            let q = q.get(..self.dof()).unwrap_or_default();
            let gap = serial.pose(q).inverse() * self.fk(q)?.iso();
            // Written so that NaN is refused too.
            let alike = gap.translation.vector.norm() <= 1e-9 && gap.rotation.imag().norm() <= 1e-9;
            if !alike {
                return Err(other_form());
            }
        }
        Ok(self)
    }

    /// How many joints, jaw apart.
    pub fn dof(&self) -> usize {
        self.limits.lower.len()
    }

    /// Joint limits.
    pub fn limits(&self) -> &JointLimits {
        &self.limits
    }

    /// The instrument a PSM carries; `None` for the ECM.
    pub fn instrument(&self) -> Option<&Instrument> {
        self.instrument.as_ref()
    }

    /// How far the shaft's line may be from the remote centre, m, for an arm that keeps it by software; `None` for one whose mechanism does.
    pub fn software_remote_centre(&self) -> Option<f64> {
        self.general.as_ref().map(|g| g.tolerance)
    }

    /// Where an arm of its own form rests; `None` for PSM and ECM.
    pub fn home(&self) -> Option<Joints> {
        self.general.as_ref().map(|g| g.home)
    }

    /// The joints of an arm of its own form in its files' raw numbers, base to tip; empty for PSM and ECM.
    pub fn rows(&self) -> &[Row] {
        self.general.as_ref().map_or(&[], |g| &g.rows)
    }

    /// From the remote centre to the nearest point of the shaft's line, m, base frame: zero for PSM and ECM. Refuses what [`Chain::fk`] refuses.
    pub fn shaft_offset(&self, q: &[f64]) -> Result<Vector3<f64>, KinematicsError> {
        let shaft = self.links(q)?.shaft;
        let (end, along) = (shaft.translation.vector, shaft.rotation * Vector3::z());
        Ok(end - along * end.dot(&along))
    }

    /// How far the tip is from each joint's origin at `q`, m; zeros for PSM and ECM. Refuses what [`Chain::fk`] refuses.
    pub fn levers(&self, q: &[f64]) -> Result<[f64; MAX_JOINTS], KinematicsError> {
        self.check(q)?;
        Ok(self.general.as_ref().map_or([0.0; MAX_JOINTS], |g| g.walk(q).levers()))
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// For PSM and ECM, the insertion (m) at which the tip of a straight instrument lies `depth` (m) beyond the RCM, not limited to the joint's range.
    pub fn insertion_for_depth(&self, depth: f64) -> f64 {
        depth - self.geometry.depth_at_zero - self.geometry.wrist_a.unwrap_or(0.0)
    }

    #[cold]
    fn wrong_length(&self, q: &[f64]) -> KinematicsError {
        InvalidValue::Length { what: "joints", expected: self.dof(), got: q.len() }.into()
    }

    fn check(&self, q: &[f64]) -> Result<(), KinematicsError> {
        if q.len() != self.dof() {
            return Err(self.wrong_length(q));
        }
        for &value in q {
            proctor_types::finite("joint", value)?;
        }
        Ok(())
    }

    /// The chain at `q`, joint by joint (modified DH; see urdf/rcm.xacro).
    #[inline]
    fn walk(&self, q: &[f64]) -> Result<Walk, KinematicsError> {
        self.check(q)?;
        let (carriage, wrist) = match *q {
            [q1, q2, q3, q4] => ([q1, q2, q3, q4], None),
            [q1, q2, q3, q4, q5, q6] => ([q1, q2, q3, q4], self.geometry.wrist_a.map(|a| (a, q5, q6))),
            _ => return Err(self.wrong_length(q)),
        };
        let [q1, q2, q3, q4] = carriage;
        let ((s1, c1), (s2, c2), (s4, c4)) = (q1.sin_cos(), q2.sin_cos(), q4.sin_cos());
        let (x, y, z) = ([-s1 * s2, -c2, c1 * s2], [-c1, 0.0, -s1], [s1 * c2, -s2, -c1 * c2]);
        let depth = q3 + self.geometry.depth_at_zero;
        let roll = Frame { x: blend(x, c4, y, s4), y: blend(y, c4, x, -s4), z, p: blend(z, depth, z, 0.0) };
        let Some((wrist_a, q5, q6)) = wrist else { return Ok(Walk { pitch_axis: y, roll, wrist: None, tip: roll }) };
        let ((s5, c5), (s6, c6)) = (q5.sin_cos(), q6.sin_cos());
        let (along, jaw_axis) = (blend(roll.x, s5, z, c5), blend(roll.x, c5, z, -s5));
        let pitch = Frame { x: along, y: jaw_axis, z: roll.y, p: roll.p };
        let tip = Frame {
            x: minus(jaw_axis),
            y: blend(along, -s6, roll.y, -c6),
            z: blend(along, c6, roll.y, -s6),
            p: blend(roll.p, 1.0, along, wrist_a),
        };
        Ok(Walk { pitch_axis: y, roll, wrist: Some(Wrist { pitch }), tip })
    }

    /// Forward kinematics: the tip in the base. Refuses another length than [`Chain::dof`] and non-finite joints; joints beyond
    /// their limits are computed all the same.
    pub fn fk(&self, q: &[f64]) -> Result<Pose<Base, Tip>, KinematicsError> {
        if let Some(general) = &self.general {
            self.check(q)?;
            return Ok(Pose::new(general.walk(q).tip.iso()));
        }
        Ok(Pose::new(self.walk(q)?.tip.iso()))
    }

    /// Forward kinematics and geometric [`Jacobian`] in one pass. Refuses what [`Chain::fk`] refuses.
    pub fn fk_jacobian(&self, q: &[f64]) -> Result<(Pose<Base, Tip>, Jacobian), KinematicsError> {
        let (tip, jacobian) = self.tip_jacobian(q)?;
        Ok((Pose::new(tip.iso()), jacobian))
    }

    /// The same without a quaternion.
    pub fn tip_jacobian(&self, q: &[f64]) -> Result<(Frame, Jacobian), KinematicsError> {
        if let Some(general) = &self.general {
            self.check(q)?;
            let steps = general.walk(q);
            let columns = steps.columns().map(|(linear, angular)| column(linear, angular));
            return Ok((steps.tip, Jacobian::from_array_storage(ArrayStorage(columns))));
        }
        let Walk { pitch_axis, roll, wrist, tip } = self.walk(q)?;
        let turning = |axis: V3, through: V3| column(cross(axis, sub(tip.p, through)), axis);
        let rcm = [0.0; 3];
        let mut columns = [[0.0; 6]; MAX_JOINTS];
        let [c1, c2, c3, c4, c5, c6, _] = &mut columns;
        *c1 = turning(YAW_AXIS, rcm);
        *c2 = turning(pitch_axis, rcm);
        *c3 = column(roll.z, rcm);
        *c4 = turning(roll.z, rcm);
        if let Some(Wrist { pitch }) = wrist {
            *c5 = turning(pitch.z, pitch.p);
            // The tip lies on the jaw axis.
            *c6 = column([0.0; 3], pitch.y);
        }
        Ok((tip, Jacobian::from_array_storage(ArrayStorage(columns))))
    }

    /// Where the arm runs at `q`. Refuses what [`Chain::fk`] refuses.
    pub fn outline(&self, q: &[f64]) -> Result<Outline, KinematicsError> {
        let one = |tip: Frame| Outline { shaft: tip, tip, jaw_end: tip.p };
        if let Some(general) = &self.general {
            self.check(q)?;
            return Ok(one(general.walk(q).tip));
        }
        let Walk { roll, tip, .. } = self.walk(q)?;
        let of_psm = |i: &Instrument| Outline { shaft: roll, tip, jaw_end: tip.slid(i.jaw_length).p };
        Ok(self.instrument.as_ref().map_or(one(tip), of_psm))
    }

    /// Frames of the links at `q`. Refuses what [`Chain::fk`] refuses.
    pub fn links(&self, q: &[f64]) -> Result<Links, KinematicsError> {
        if self.general.is_some() {
            let frame = *self.fk(q)?.iso();
            let jaw_end = Point3::from(frame.translation.vector);
            return Ok(Links { shaft: frame, wrist: frame, jaw: frame, tip: frame, jaw_end });
        }
        let Walk { roll, wrist, tip, .. } = self.walk(q)?;
        let (Some(Wrist { pitch }), Some(instrument)) = (wrist, &self.instrument) else {
            let (frame, jaw_end) = (tip.iso(), tip.origin());
            return Ok(Links { shaft: frame, wrist: frame, jaw: frame, tip: frame, jaw_end });
        };
        let wrist = Frame { x: minus(pitch.y), y: minus(pitch.z), z: pitch.x, p: tip.p };
        let jaw_end = tip.slid(instrument.jaw_length).origin();
        let tip = tip.iso();
        Ok(Links { shaft: roll.iso(), wrist: wrist.iso(), jaw: tip, tip, jaw_end })
    }

    /// Capsules around the arm inside the patient, base frame: shaft from RCM to wrist, wrist, closed jaws; for the ECM one
    /// around the scope, for an arm of its own form one around the shaft from RCM to tip. Refuses what [`Chain::fk`] refuses.
    pub fn capsules(&self, q: &[f64]) -> Result<ArrayVec<Capsule, 3>, KinematicsError> {
        Ok(self.capsules_of(&self.outline(q)?))
    }

    /// The capsules of an outline that is known.
    pub fn capsules_of(&self, outline: &Outline) -> ArrayVec<Capsule, 3> {
        let (wrist_start, jaw_axis) = (outline.shaft.origin(), outline.tip.origin());
        let mut capsules = ArrayVec::new();
        capsules.push(Capsule { a: Point3::origin(), b: wrist_start, radius: self.shaft_radius });
        if let Some(instrument) = &self.instrument {
            capsules.push(Capsule { a: wrist_start, b: jaw_axis, radius: instrument.wrist_radius });
            capsules.push(Capsule { a: jaw_axis, b: outline.jaw_end.into(), radius: instrument.jaw_width / 2.0 });
        }
        capsules
    }

    /// Middle of the given joints' ranges, a tame seed for [`Chain::ik`].
    pub fn mid_range(&self) -> Joints {
        self.limits.lower.zip_with(&self.limits.upper, f64::midpoint).unwrap_or(self.limits.lower)
    }
}

/// A column of the Jacobian.
#[inline]
fn column([vx, vy, vz]: V3, [wx, wy, wz]: V3) -> [f64; 6] {
    [vx, vy, vz, wx, wy, wz]
}

/// Sum of the lengths along the insertion axis of the insertion and roll joints.
fn depth_at_zero(segments: &[Segment]) -> f64 {
    let along = |s: &Segment| (s.origin.rotation.inverse() * s.origin.translation.vector).z;
    segments.iter().skip(2).take(2).map(along).sum()
}
