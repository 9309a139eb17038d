//! The file a hand-eye calibration ends in: TOML, frames named as in ARCHITECTURE.md.

use crate::{CalibrationError, HandEye, HandEyeFit, Mount, Verdict};
use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What the file holds. Of the transforms, either the first two are there (eye-in-hand) or the last two (eye-to-hand).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandEyeFile {
    /// `eye-in-hand` or `eye-to-hand`.
    pub mount: String,
    /// The verdict in words.
    pub verdict: String,
    /// The camera's optical frame on the arm's tip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tip_from_camera: Option<Transform>,
    /// The board in the arm's base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_from_board: Option<Transform>,
    /// The arm's base in the camera's optical frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera_from_base: Option<Transform>,
    /// The board on the arm's tip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tip_from_board: Option<Transform>,
    /// How well it fits.
    pub residuals: Residuals,
}

/// A rigid transform: takes coordinates in the frame after `from` to the frame before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// Position, metres.
    pub position_m: [f64; 3],
    /// Rotation, unit quaternion with w >= 0.
    pub quaternion_xyzw: [f64; 4],
    /// 1 sigma of the position, mm; of the transform that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma_position_mm: Option<[f64; 3]>,
    /// 1 sigma of the rotation, degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma_rotation_deg: Option<[f64; 3]>,
}

/// How well a hand-eye transform fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residuals {
    /// Poses that the fit used.
    pub poses_used: usize,
    /// Pictures that were left out.
    pub left_out: Vec<String>,
    /// RMS of the corners, px.
    pub rms_px: f64,
    /// RMS distance of the board from where it was predicted, mm.
    pub board_mm: f64,
    /// RMS angle, degrees.
    pub board_deg: f64,
}

impl Transform {
    fn of(pose: &Isometry3<f64>) -> Self {
        let (p, q) = (pose.translation.vector, pose.rotation);
        let sign = if q.w < 0.0 { -1.0 } else { 1.0 };
        Self {
            position_m: [p.x, p.y, p.z],
            quaternion_xyzw: [q.i, q.j, q.k, q.w].map(|v| sign * v),
            sigma_position_mm: None,
            sigma_rotation_deg: None,
        }
    }

    /// As an isometry.
    pub fn isometry(&self) -> Isometry3<f64> {
        let [x, y, z] = self.position_m;
        let [i, j, k, w] = self.quaternion_xyzw;
        let rotation = UnitQuaternion::new_normalize(Quaternion::new(w, i, j, k));
        Isometry3::from_parts(Translation3::new(x, y, z), rotation)
    }
}

impl HandEyeFile {
    /// What a fit becomes.
    pub fn new(fit: &HandEyeFit, verdict: &Verdict) -> Self {
        let first = |pose: &Isometry3<f64>| {
            Some(Transform {
                sigma_position_mm: Some(fit.sigma.position_mm),
                sigma_rotation_deg: Some(fit.sigma.rotation_deg),
                ..Transform::of(pose)
            })
        };
        let miss = fit.miss();
        let residuals = Residuals {
            poses_used: fit.used_views(),
            left_out: fit.views.iter().filter(|v| !v.used).map(|v| v.name.clone()).collect(),
            rms_px: fit.rms,
            board_mm: miss.mm,
            board_deg: miss.degrees,
        };
        let mut out = Self {
            mount: String::new(),
            verdict: verdict.to_string(),
            tip_from_camera: None,
            base_from_board: None,
            camera_from_base: None,
            tip_from_board: None,
            residuals,
        };
        match &fit.hand_eye {
            HandEye::InHand { tip_from_camera, base_from_board } => {
                Mount::EyeInHand.name().clone_into(&mut out.mount);
                out.tip_from_camera = first(tip_from_camera.iso());
                out.base_from_board = Some(Transform::of(base_from_board.iso()));
            }
            HandEye::ToHand { camera_from_base, tip_from_board } => {
                Mount::EyeToHand.name().clone_into(&mut out.mount);
                out.camera_from_base = first(camera_from_base.iso());
                out.tip_from_board = Some(Transform::of(tip_from_board.iso()));
            }
        }
        out
    }

    /// The file's text.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let head = "# Hand-eye calibration by `proctor calibrate hand-eye`. Research software, not a medical device.\n\
                    # `a_from_b` takes coordinates in frame b to frame a. Camera: left optical frame (x right, y down, z forward).\n";
        Ok(format!("{head}{}", toml::to_string(self)?))
    }

    /// Reads the text of a file; `path` is for messages.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, CalibrationError> {
        let wrong = |e: toml::de::Error| CalibrationError::HandEyeFile { path: path.to_owned(), source: Box::new(e) };
        toml::from_str(text).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = r#"
mount = "eye-in-hand"
verdict = "good: 0.21 px over 18 poses"

[tip_from_camera]
position_m = [0.001, -0.002, 0.01]
quaternion_xyzw = [0.0, 0.0, 0.7071067811865476, 0.7071067811865476]
sigma_position_mm = [0.1, 0.1, 0.2]
sigma_rotation_deg = [0.02, 0.02, 0.01]

[base_from_board]
position_m = [0.0, 0.1, -0.2]
quaternion_xyzw = [1.0, 0.0, 0.0, 0.0]

[residuals]
poses_used = 18
left_out = ["a.png"]
rms_px = 0.21
board_mm = 0.3
board_deg = 0.1
"#;

    #[test]
    fn the_golden_file_is_read_and_written_back_the_same() {
        let file = HandEyeFile::from_toml(GOLDEN, Path::new("hand_eye.toml")).unwrap();
        let transform = file.tip_from_camera.unwrap().isometry();
        assert!((transform.rotation.angle() - std::f64::consts::FRAC_PI_2).abs() < 1e-12);
        assert_eq!(transform.translation.vector.y, -0.002);
        assert_eq!(HandEyeFile::from_toml(&file.to_toml().unwrap(), Path::new("x")).unwrap(), file);
    }

    #[test]
    fn a_wrong_key_is_named_with_the_file() {
        let text = GOLDEN.replace("rms_px", "rms");
        let error = HandEyeFile::from_toml(&text, Path::new("hand_eye.toml")).unwrap_err().to_string();
        assert!(error.contains("hand_eye.toml") && error.contains("rms"), "{error}");
    }
}
