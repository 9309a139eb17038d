//! Where the arms' bases are before the camera, as calibrated.

use anyhow::{Context as _, bail};
use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion};
use proctor_types::ArmId;
use serde::Deserialize;
use std::path::Path;

/// What is read of a hand-eye file; the rest of what `proctor calibrate hand-eye` writes is left alone.
#[derive(Deserialize)]
struct File {
    camera_from_base: Option<Transform>,
}

#[derive(Deserialize)]
struct Transform {
    position_m: [f64; 3],
    quaternion_xyzw: [f64; 4],
}

/// The bases that are known.
#[derive(Debug, Default)]
pub struct HandEyes(Vec<(ArmId, Isometry3<f64>)>);

impl HandEyes {
    /// Reads `[ARM=]FILE` arguments; one that names no arm is of `arm`.
    pub fn read(arguments: &[String], arm: ArmId) -> anyhow::Result<Self> {
        let mut out = Self::default();
        for argument in arguments {
            let named = argument.split_once('=').and_then(|(name, file)| Some((name.parse::<ArmId>().ok()?, file)));
            let (arm, file) = named.unwrap_or((arm, argument));
            if out.of(arm).is_some() {
                bail!("two hand-eye files for {arm}");
            }
            out.0.push((arm, read(Path::new(file))?));
        }
        Ok(out)
    }

    /// Where an arm's base is, if it is known.
    pub fn of(&self, arm: ArmId) -> Option<Isometry3<f64>> {
        self.0.iter().find(|(a, _)| *a == arm).map(|(_, pose)| *pose)
    }
}

fn read(path: &Path) -> anyhow::Result<Isometry3<f64>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    let file: File = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
    let transform = file.camera_from_base.with_context(|| {
        format!(
            "{}: a table [camera_from_base] with position_m and quaternion_xyzw is expected (eye-to-hand)",
            path.display()
        )
    })?;
    let [x, y, z] = transform.position_m;
    let [i, j, k, w] = transform.quaternion_xyzw;
    let q = Quaternion::new(w, i, j, k);
    let finite = [x, y, z, q.norm()].iter().all(|v| v.is_finite());
    if !finite || (q.norm() - 1.0).abs() > 0.01 {
        bail!("{}: quaternion_xyzw has length {:.3}, 1 is expected", path.display(), q.norm());
    }
    Ok(Isometry3::from_parts(Translation3::new(x, y, z), UnitQuaternion::new_normalize(q)))
}
