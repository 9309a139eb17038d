//! The operating field: what tissue is where, how it yields to a grasp, and the ground truth of both.
//!
//! Inside, millimetres and `f32`; outside, metres and `f64`, world frame. A scene is a function of its configuration, its seed and
//! the sequence of [`Tissue::step`] calls, bit for bit.

mod anatomy;
mod deform;
pub(crate) mod mesh;
pub(crate) mod noise;
mod query;

pub use deform::{Gripper, Tissue};
pub use mesh::{Mesh, Part};
pub use query::Nearest;

use proctor_types::InvalidValue;
use serde::{Deserialize, Serialize};

/// How scenes differ and move.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SceneConfig {
    /// How much seeds differ from the mean anatomy, 0 (not at all) to 1.
    pub variation: f64,
    /// Amplitude of breathing, m, 0 to 0.01.
    pub breathing: f64,
    /// Period of breathing, s, 1 to 20.
    pub breathing_period: f64,
    /// A gripper closing farther than this from tissue holds nothing, m, 0 to 0.02.
    pub grasp_reach: f64,
}

impl Default for SceneConfig {
    fn default() -> Self {
        Self { variation: 0.6, breathing: 0.0012, breathing_period: 4.0, grasp_reach: 0.005 }
    }
}

impl SceneConfig {
    /// Refuses values outside their documented ranges.
    pub fn validate(&self) -> Result<(), InvalidValue> {
        for (what, value, min, max) in [
            ("scene variation", self.variation, 0.0, 1.0),
            ("scene breathing (m)", self.breathing, 0.0, 0.01),
            ("scene breathing period (s)", self.breathing_period, 1.0, 20.0),
            ("scene grasp reach (m)", self.grasp_reach, 0.0, 0.02),
        ] {
            if !(min..=max).contains(&value) {
                return Err(InvalidValue::Range { what, value, min, max });
            }
        }
        Ok(())
    }
}
