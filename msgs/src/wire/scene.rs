//! What perception and fusion say.

use super::arm::{arm, read_arm, read_joints};
use super::fields::{
    at_most, bounded_text, cut, each, finite, framed, header, index, known, point, pose, pose_cov, range, range32,
    read_point, read_pose, read_pose_cov, read_vector, vector,
};
use super::picture::{LEFT_FRAME, mono, read_mono};
use super::{ConvertError, Origin, Problem, Wire};
use crate::proctor_msgs as msg;
use nalgebra::{Point3, Vector3};
use proctor_types::{
    Alignment, ArmId, Class, Clearance, Digest, Finding, HandEye, ImageQuality, InstrumentEstimate, InvalidValue,
    QualityVerdict, Scene, Segmentation, SurfacePoint, TimeOffset, Timing, ToolKeypoint,
};

/// `frame_id` of the operating cell.
pub const WORLD_FRAME: &str = "world";
/// Bound of `Segmentation.keypoints`.
pub const MAX_KEYPOINTS: usize = 64;
/// Bound of `Scene.hand_eyes` and `Scene.instruments`.
pub const MAX_ARMS: usize = 3;
/// Bound of `Scene.clearances`: every arm to every class fits.
pub const MAX_CLEARANCES: usize = 32;
/// Bound of `ImageQuality.reason`, bytes.
const MAX_REASON: usize = 256;
/// How far a surface normal's norm may be from 1.
const UNIT_NORMAL: f64 = 1e-3;

pub(super) fn class(c: Class) -> msg::TissueClass {
    msg::TissueClass { value: c.id() }
}

pub(super) fn read_class(field: &'static str, m: &msg::TissueClass) -> Result<Class, ConvertError> {
    known(field, &Class::ALL, m.value)
}

fn quality(q: &ImageQuality) -> msg::ImageQuality {
    msg::ImageQuality {
        verdict: index(&QualityVerdict::ALL, &q.verdict),
        reason: cut(&q.reason, MAX_REASON),
        brightness: q.brightness,
        sharpness: q.sharpness,
        saturation: q.saturation,
    }
}

fn read_quality(m: &msg::ImageQuality) -> Result<ImageQuality, ConvertError> {
    let read = || {
        Ok(ImageQuality {
            verdict: known("verdict", &QualityVerdict::ALL, m.verdict)?,
            reason: bounded_text("reason", &m.reason, MAX_REASON)?,
            brightness: range32("brightness", m.brightness, 0.0, 1.0)?,
            sharpness: range32("sharpness", m.sharpness, 0.0, f32::MAX)?,
            saturation: range32("saturation", m.saturation, 0.0, 1.0)?,
        })
    };
    read().map_err(|e: ConvertError| e.within("quality"))
}

impl Wire for Segmentation {
    type Msg = msg::Segmentation;

    fn encode(&self) -> Self::Msg {
        let keypoint = |k: &ToolKeypoint| msg::ToolKeypoint {
            part: class(k.part),
            u: k.u,
            v: k.v,
            confidence: k.confidence,
            instrument: k.instrument,
        };
        msg::Segmentation {
            header: header(self.stamp, LEFT_FRAME),
            seq: self.seq,
            labels: mono(self.stamp, &self.labels),
            uncertainty: mono(self.stamp, &self.uncertainty),
            confidence: self.confidence,
            keypoints: self.keypoints.iter().map(keypoint).collect(),
            quality: quality(&self.quality),
            model: self.model.0,
        }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let stamp = framed(&m.header, LEFT_FRAME)?;
        let labels = read_mono(stamp, &m.labels).map_err(|e| e.within("labels"))?;
        // The largest label decides; a fold that the compiler turns into vector maxima.
        let largest = labels.pixels().iter().fold(0, |a, &b| a.max(b));
        known("labels.data", &Class::ALL, largest)?;
        let uncertainty = read_mono(stamp, &m.uncertainty).map_err(|e| e.within("uncertainty"))?;
        if (uncertainty.width(), uncertainty.height()) != (labels.width(), labels.height()) {
            let (expected, got) = (labels.pixels().len(), uncertainty.pixels().len());
            let problem = InvalidValue::Length { what: "uncertainty pixels", expected, got };
            return Err(ConvertError::new("uncertainty", problem.into()));
        }
        for c in m.confidence {
            range32("confidence", c, 0.0, 1.0)?;
        }
        let keypoints = each("keypoints", &m.keypoints, MAX_KEYPOINTS, |k| {
            Ok(ToolKeypoint {
                part: read_class("part", &k.part)?,
                u: finite("u", k.u)?,
                v: finite("v", k.v)?,
                confidence: range32("confidence", k.confidence, 0.0, 1.0)?,
                instrument: k.instrument,
            })
        })?;
        Ok(Self {
            stamp,
            seq: m.seq,
            labels,
            uncertainty,
            confidence: m.confidence,
            keypoints,
            quality: read_quality(&m.quality)?,
            model: Digest(m.model),
        })
    }
}

fn hand_eye(h: &HandEye) -> msg::HandEye {
    msg::HandEye { arm: arm(h.arm), world_from_base: pose_cov(&h.world_from_base, &h.covariance), version: h.version }
}

fn read_hand_eye(m: &msg::HandEye) -> Result<HandEye, ConvertError> {
    let (world_from_base, covariance) = read_pose_cov("world_from_base", &m.world_from_base)?;
    Ok(HandEye { arm: read_arm("arm", &m.arm)?, world_from_base, covariance, version: m.version })
}

fn instrument(i: &InstrumentEstimate) -> msg::InstrumentEstimate {
    msg::InstrumentEstimate {
        arm: arm(i.arm),
        joints: i.joints.to_vec(),
        jaw: i.jaw,
        world_from_tip: pose_cov(&i.world_from_tip, &i.covariance),
        alignment: index(&Alignment::ALL, &i.alignment),
        residual_px: i.residual_px,
        finding: msg::Finding { value: index(&Finding::ALL, &i.finding) },
    }
}

fn read_instrument(m: &msg::InstrumentEstimate) -> Result<InstrumentEstimate, ConvertError> {
    let arm = read_arm("arm", &m.arm)?;
    let (world_from_tip, covariance) = read_pose_cov("world_from_tip", &m.world_from_tip)?;
    Ok(InstrumentEstimate {
        arm,
        joints: read_joints("joints", arm, &m.joints)?,
        jaw: finite("jaw", m.jaw)?,
        world_from_tip,
        covariance,
        alignment: known("alignment", &Alignment::ALL, m.alignment)?,
        residual_px: range("residual_px", m.residual_px, 0.0, f64::MAX)?,
        finding: known("finding", &Finding::ALL, m.finding.value)?,
    })
}

fn time(t: &TimeOffset) -> msg::TimeOffset {
    msg::TimeOffset { timing: index(&Timing::ALL, &t.timing), seconds: t.seconds, sigma: t.sigma }
}

fn read_time(m: &msg::TimeOffset) -> Result<TimeOffset, ConvertError> {
    let read = || {
        Ok(TimeOffset {
            timing: known("timing", &Timing::ALL, m.timing)?,
            seconds: finite("seconds", m.seconds)?,
            sigma: range("sigma", m.sigma, 0.0, f64::MAX)?,
        })
    };
    read().map_err(|e: ConvertError| e.within("time"))
}

fn read_surface(m: &msg::SurfacePoint) -> Result<SurfacePoint, ConvertError> {
    Ok(SurfacePoint {
        position: read_point("position", &m.position)?,
        class: read_class("tissue", &m.tissue)?,
        sigma: range("sigma", m.sigma, 0.0, f64::MAX)?,
    })
}

fn read_clearance(m: &msg::Clearance) -> Result<Clearance, ConvertError> {
    Ok(Clearance {
        arm: read_arm("arm", &m.arm)?,
        class: read_class("tissue", &m.tissue)?,
        distance: finite("distance", m.distance)?,
        sigma: range("sigma", m.sigma, 0.0, f64::MAX)?,
        nearest: read_point("nearest", &m.nearest)?,
    })
}

fn read_grasp(m: &msg::GraspTarget) -> Result<(Point3<f64>, Vector3<f64>), ConvertError> {
    let normal = read_vector("normal", &m.normal)?;
    range("normal", normal.norm(), 1.0 - UNIT_NORMAL, 1.0 + UNIT_NORMAL)?;
    Ok((read_point("position", &m.position)?, normal))
}

/// Refuses two entries of one arm.
fn one_per_arm(field: &'static str, arms: impl Iterator<Item = ArmId>) -> Result<(), ConvertError> {
    let mut seen = [0usize; ArmId::ALL.len()];
    for arm in arms {
        seen[arm.index()] += 1;
        if seen[arm.index()] > 1 {
            return Err(ConvertError::new(field, Problem::TooLong { got: seen[arm.index()], max: 1 }));
        }
    }
    Ok(())
}

impl Wire for Scene {
    type Msg = msg::Scene;

    fn encode(&self) -> Self::Msg {
        let surface = |s: &SurfacePoint| msg::SurfacePoint {
            position: point(&s.position),
            tissue: class(s.class),
            sigma: s.sigma,
        };
        let clearance = |c: &Clearance| msg::Clearance {
            arm: arm(c.arm),
            tissue: class(c.class),
            distance: c.distance,
            sigma: c.sigma,
            nearest: point(&c.nearest),
        };
        let grasp = self.grasp_target.as_ref().map(|(p, n)| msg::GraspTarget { position: point(p), normal: vector(n) });
        msg::Scene {
            header: header(self.stamp, WORLD_FRAME),
            seq: self.seq,
            world_from_camera: pose(&self.world_from_camera),
            hand_eyes: self.hand_eyes.iter().map(hand_eye).collect(),
            instruments: self.instruments.iter().map(instrument).collect(),
            surface: self.surface.iter().map(surface).collect(),
            zones_version: self.zones_version,
            clearances: self.clearances.iter().map(clearance).collect(),
            grasp_target: grasp.into_iter().collect(),
            quality: quality(&self.quality),
            model: self.model.0,
            time: time(&self.time),
        }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let scene = Self {
            stamp: framed(&m.header, WORLD_FRAME)?,
            seq: m.seq,
            world_from_camera: read_pose("world_from_camera", &m.world_from_camera)?,
            hand_eyes: each("hand_eyes", &m.hand_eyes, MAX_ARMS, read_hand_eye)?,
            instruments: each("instruments", &m.instruments, MAX_ARMS, read_instrument)?,
            surface: each("surface", &m.surface, Self::MAX_SURFACE_POINTS, read_surface)?,
            zones_version: m.zones_version,
            clearances: each("clearances", &m.clearances, MAX_CLEARANCES, read_clearance)?,
            grasp_target: at_most("grasp_target", &m.grasp_target, 1)?
                .first()
                .map(|g| read_grasp(g).map_err(|e| e.within("grasp_target[0]")))
                .transpose()?,
            quality: read_quality(&m.quality)?,
            model: Digest(m.model),
            time: read_time(&m.time)?,
        };
        one_per_arm("hand_eyes", scene.hand_eyes.iter().map(|h| h.arm))?;
        one_per_arm("instruments", scene.instruments.iter().map(|i| i.arm))?;
        Ok(scene)
    }
}
