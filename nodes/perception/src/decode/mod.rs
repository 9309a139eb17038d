//! From a network's answer to what was found: one file per task. Pure functions of the numbers; NaN, infinities and numbers that the
//! manifest's form excludes are errors, never findings.

pub mod boxes;
pub mod points;
pub mod regions;
pub mod scores;

use crate::PerceptionError;

/// How far outside [0, 1] a probability may lie by rounding.
const ROUNDING: f32 = 1e-3;

/// A probability; what lies outside [0, 1] by more than rounding is none.
fn probability(what: &'static str, value: f32) -> Result<f32, PerceptionError> {
    if (-ROUNDING..=1.0 + ROUNDING).contains(&value) {
        Ok(value.clamp(0.0, 1.0))
    } else {
        Err(PerceptionError::Answer { what, expected: "a probability in [0, 1]".into(), value: f64::from(value) })
    }
}

/// The logistic function.
fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
