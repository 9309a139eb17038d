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

/// What fusion found to be wrong with an instrument, its arm or the cameras. Whatever is found keeps the instrument from being
/// [`Alignment::Aligned`]; those that make nonsense of the estimate make it [`Alignment::Inconsistent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Nothing.
    #[default]
    None,
    /// Things move, but by how much the stamps of picture and joints differ is not known.
    TimeUnknown,
    /// A joint position that cannot be: it was left out.
    BadPose,
    /// The instrument moves in the picture, its joints say that it does not.
    FrozenJoints,
    /// The instrument moves as the other arm's joints say.
    WrongArm,
    /// The instrument is longer or shorter than the configured one.
    WrongGeometry,
    /// What comes as the left picture is the right one.
    SwappedCameras,
    /// The instrument moves otherwise than its joints say.
    NotFollowing,
}

impl Finding {
    /// Every value, in wire order (the index is the value on the wire).
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::TimeUnknown,
        Self::BadPose,
        Self::FrozenJoints,
        Self::WrongArm,
        Self::WrongGeometry,
        Self::SwappedCameras,
        Self::NotFollowing,
    ];

    /// In plain words; empty for [`Finding::None`].
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::TimeUnknown => "timing between video and robot is not known",
            Self::BadPose => "joints jumped",
            Self::FrozenJoints => "moves in the picture while its joints stand still",
            Self::WrongArm => "moves as the other arm's joints say: are the arms mixed up?",
            Self::WrongGeometry => "is not as long as the configured instrument",
            Self::SwappedCameras => "left and right picture are swapped",
            Self::NotFollowing => "moves otherwise than its joints say",
        }
    }
}

/// Whether it is known by how much the stamps of pictures and joints differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// Not known, although things moved enough to tell.
    #[default]
    Unknown,
    /// Nothing has moved enough to tell. What is seen of things at rest does not depend on it.
    Untested,
    /// Known to the stated uncertainty.
    Known,
}

impl Timing {
    /// Every value, in wire order (the index is the value on the wire).
    pub const ALL: [Self; 3] = [Self::Unknown, Self::Untested, Self::Known];
}

/// How the stamps of pictures and joints relate.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TimeOffset {
    /// Whether it is known.
    pub timing: Timing,
    /// Add this to a picture's stamp to get the stamp of the joints of the same instant, s: negative when pictures are stamped late.
    pub seconds: f64,
    /// Its standard deviation, s.
    pub sigma: f64,
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
    /// What is wrong, the gravest of it.
    pub finding: Finding,
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

/// The surface of a scene for people's eyes: RViz and Foxglove draw it, nothing decides by it.
#[derive(Debug, Clone, PartialEq)]
pub struct SurfaceCloud {
    /// Of the scene.
    pub stamp: Stamp,
    /// At most [`Scene::MAX_SURFACE_POINTS`].
    pub points: Vec<SurfacePoint>,
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
    /// How the picture's stamp relates to the joints'.
    pub time: TimeOffset,
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

    /// Whether autonomy may build on it: picture good, every instrument aligned, and their stamps compared as far as they could be.
    pub fn is_trustworthy(&self) -> bool {
        self.quality.verdict == crate::QualityVerdict::Good
            && self.time.timing != Timing::Unknown
            && !self.instruments.is_empty()
            && self.instruments.iter().all(|i| i.alignment == Alignment::Aligned)
    }
}
