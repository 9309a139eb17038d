//! What fusion believes about the operating field at one instant, in the [`World`] frame, with its doubt.

use crate::{ArmId, Base, Class, ImageQuality, Joints, Pose, Stamp, Tip, World};
use nalgebra::{Matrix6, Point3, Vector3};
use serde::{Deserialize, Serialize};

/// How an instrument pose came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// Nobody looked yet.
    #[default]
    Unknown,
    /// Kinematics with the nominal hand-eye only; covariance grows with time.
    KinematicOnly,
    /// Hand-eye estimate is being refined by the picture, not yet converged.
    Converging,
    /// Kinematics and picture agree.
    Aligned,
    /// Kinematics and picture contradict each other: do not trust either.
    Inconsistent,
}

impl Alignment {
    /// Every value, in wire order (the index is the value on the wire).
    pub const ALL: [Self; 5] =
        [Self::Unknown, Self::KinematicOnly, Self::Converging, Self::Aligned, Self::Inconsistent];
}

/// Estimate of where an instrument arm's base is, as seen through the endoscope (lumped hand-eye and joint error,
/// Richter et al. 2021). By definition the ECM's own base is exact, so errors of the ECM are lumped in too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HandEye {
    /// Which arm.
    pub arm: ArmId,
    /// Corrected pose of the arm's base.
    pub world_from_base: Pose<World, Base>,
    /// Covariance of (translation m, rotation vector rad), applied on the left in the world frame.
    pub covariance: Matrix6<f64>,
    /// Rises whenever the estimate moved by more than fusion's threshold; proposals name the version they used.
    pub version: u64,
}

/// Where an instrument is, after fusion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InstrumentEstimate {
    /// Which arm.
    pub arm: ArmId,
    /// Joints this estimate used, interpolated at the picture's stamp.
    pub joints: Joints,
    /// Jaw angle at the picture's stamp, rad.
    pub jaw: f64,
    /// Tool tip.
    pub world_from_tip: Pose<World, Tip>,
    /// Covariance of (translation m, rotation vector rad) of the tip in the world frame.
    pub covariance: Matrix6<f64>,
    /// How the estimate came about.
    pub alignment: Alignment,
    /// Mean distance between projected and seen silhouette, pixels of the full-size picture; NaN-free, 0 when not
    /// measured (then `alignment` is not `Aligned`).
    pub residual_px: f64,
}

/// A surface point measured by stereo.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SurfacePoint {
    /// Where, metres.
    pub position: Point3<f64>,
    /// What.
    pub class: Class,
    /// Standard deviation along the viewing ray, metres.
    pub sigma: f64,
}

/// Smallest distance between an instrument and a class of tissue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Clearance {
    /// Whose instrument.
    pub arm: ArmId,
    /// To which tissue.
    pub class: Class,
    /// Distance from the tip capsule's surface to the nearest labelled point, metres; negative when penetrating.
    pub distance: f64,
    /// Its standard deviation, metres.
    pub sigma: f64,
    /// The nearest labelled point.
    pub nearest: Point3<f64>,
}

/// Everything fusion believes at one instant.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Stamp of the picture it rests on.
    pub stamp: Stamp,
    /// Rises by one per scene.
    pub seq: u64,
    /// `world_from_camera` at `stamp`, from the ECM's kinematics.
    pub world_from_camera: Pose<World, crate::Camera>,
    /// One per instrument arm.
    pub hand_eyes: Vec<HandEye>,
    /// One per instrument arm.
    pub instruments: Vec<InstrumentEstimate>,
    /// At most [`Scene::MAX_SURFACE_POINTS`].
    pub surface: Vec<SurfacePoint>,
    /// Rises whenever the surface that safety guards moved by more than fusion's threshold.
    pub zones_version: u64,
    /// Smallest clearances, per arm and tissue class seen.
    pub clearances: Vec<Clearance>,
    /// Where the gallbladder can be grasped (its seen part farthest from duct and artery), with the outward normal.
    pub grasp_target: Option<(Point3<f64>, Vector3<f64>)>,
    /// Quality of the picture.
    pub quality: ImageQuality,
    /// SHA-256 of the model that segmented it.
    pub model: crate::Digest,
}

impl Scene {
    /// Bound on [`Scene::surface`].
    pub const MAX_SURFACE_POINTS: usize = 2048;

    /// The estimate of an arm's instrument.
    pub fn instrument(&self, arm: ArmId) -> Option<&InstrumentEstimate> {
        self.instruments.iter().find(|i| i.arm == arm)
    }

    /// The hand-eye estimate of an arm.
    pub fn hand_eye(&self, arm: ArmId) -> Option<&HandEye> {
        self.hand_eyes.iter().find(|h| h.arm == arm)
    }

    /// Whether autonomy may build on it: picture good and every instrument aligned.
    pub fn is_trustworthy(&self) -> bool {
        self.quality.verdict == crate::QualityVerdict::Good
            && !self.instruments.is_empty()
            && self.instruments.iter().all(|i| i.alignment == Alignment::Aligned)
    }
}
