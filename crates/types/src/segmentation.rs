//! What perception saw in one picture.

use crate::{Class, Digest, Image, Stamp};
use serde::{Deserialize, Serialize};

/// Verdict on a picture. The default is `Unknown`, never `Good`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityVerdict {
    /// Nobody looked yet.
    #[default]
    Unknown,
    /// Usable for everything.
    Good,
    /// Usable for display; autonomy must not start on it.
    Degraded,
    /// Blackout, frozen or unreadable: not evidence of anything.
    Unusable,
}

impl QualityVerdict {
    /// Every verdict, in wire order (the index is the value on the wire).
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Good, Self::Degraded, Self::Unusable];
}

/// Picture quality with the reason for the verdict.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImageQuality {
    /// The verdict.
    pub verdict: QualityVerdict,
    /// Plain words: what is wrong ("blurred", "smoke", "blackout", "frozen"); empty when good.
    pub reason: String,
    /// Mean luminance in [0, 1].
    pub brightness: f32,
    /// Variance of the Laplacian of the 8-bit luminance (larger is sharper).
    pub sharpness: f32,
    /// Fraction of saturated pixels in [0, 1].
    pub saturation: f32,
}

/// A point of an instrument found in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ToolKeypoint {
    /// Part the point belongs to: end of the jaws, middle of the wrist, or where the shaft leaves the picture.
    pub part: Class,
    /// Column, pixels of the full-size left picture.
    pub u: f64,
    /// Row, pixels of the full-size left picture.
    pub v: f64,
    /// Confidence in [0, 1].
    pub confidence: f32,
    /// Which connected instrument of this picture (0 = leftmost).
    pub instrument: u8,
}

/// Perception's answer for one picture.
#[derive(Debug, Clone)]
pub struct Segmentation {
    /// Stamp of the picture it answers.
    pub stamp: Stamp,
    /// `seq` of that picture.
    pub seq: u64,
    /// Class id per pixel ([`Class::id`]); may be smaller than the picture by a whole factor.
    pub labels: Image<u8>,
    /// Normalised entropy of the class distribution per pixel, 0 certain .. 255 uniform; same size as `labels`.
    pub uncertainty: Image<u8>,
    /// Mean soft-max confidence over the pixels given to each class, in [0, 1]; 0 where the class is absent.
    pub confidence: [f32; Class::COUNT],
    /// Points of instruments.
    pub keypoints: Vec<ToolKeypoint>,
    /// Quality of the picture.
    pub quality: ImageQuality,
    /// SHA-256 of the model file.
    pub model: Digest,
}
