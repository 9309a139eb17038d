//! Tracking over a recording that holds no pictures, only where a point of each instrument was seen: `proctor fuse --points`.
//!
//! The whole recording is at hand, so what is constant is found from all of it first ([`fit`]): where the arm's base is before the camera,
//! by how much the stamps of points and poses differ, and which samples fit neither. Then `track` walks through it as the running node
//! would, with the same filter and verdict.
//!
//! Invariants: no clock, no I/O; the same input gives the same output bit for bit; what cannot be known is said, not guessed.

mod fit;
mod judge;
mod shift;
mod start;
mod track;
mod way;

pub use fit::{Fit, OffsetFit, fit};
pub use judge::{Frozen, Judgement};
pub use track::{Estimate, Fate};
pub use way::Way;

use crate::{FusionError, FusionParams};
use nalgebra::{Isometry3, Point2, Point3};
use proctor_types::{CameraModel, Finding};

/// Where a point of an instrument was seen, in rectified pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Stamp of the picture, s since the start of the recording.
    pub t: f64,
    /// In the left picture, px.
    pub left: Point2<f64>,
    /// In the right one, px.
    pub right: Option<Point2<f64>>,
}

/// Where an arm's joints or measured pose put that point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed {
    /// Stamp of the pose, s since the start of the recording.
    pub t: f64,
    /// The point in the arm's base, m.
    pub at: Point3<f64>,
}

/// Rectified cameras.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Eyes {
    /// The left camera.
    pub camera: CameraModel,
    /// How far to the right the right one stands, m; `None` for one camera.
    pub baseline: Option<f64>,
}

/// One arm's recording.
#[derive(Debug, Clone)]
pub struct Recording {
    /// What was seen, by stamp.
    pub seen: Vec<Seen>,
    /// Where the arm was, by stamp.
    pub way: Way,
    /// The cameras.
    pub eyes: Eyes,
    /// Where the arm's base is in the camera, if it was calibrated.
    pub camera_from_base: Option<Isometry3<f64>>,
    /// Largest offset between the stamps of points and poses that is looked for, s.
    pub max_offset: f64,
}

/// What came of one arm's recording.
#[derive(Debug, Clone)]
pub struct Tracked {
    /// What is constant over the recording.
    pub fit: Fit,
    /// What is wrong with it.
    pub judgement: Judgement,
    /// One per seen point, in order.
    pub estimates: Vec<Estimate>,
}

/// Tracks every arm. Arms are compared with each other, to notice that they are mixed up.
pub fn track_all(recordings: &[Recording], params: &FusionParams) -> Vec<Result<Tracked, FusionError>> {
    let mut fits: Vec<Result<Fit, FusionError>> = recordings.iter().map(fit::fit).collect();
    let crossed: Vec<Option<f64>> = (0..recordings.len()).map(|i| crossed_rms(recordings, i)).collect();
    let each = recordings.iter().zip(fits.drain(..)).zip(crossed);
    each.map(|((recording, fit), crossed)| {
        let fit = fit?;
        let judgement = judge::judge(recording, &fit, crossed);
        let trusted = judgement.findings.iter().all(|f| matches!(f, Finding::BadPose));
        let estimates = track::track(recording, &fit, &judgement, trusted, params);
        Ok(Tracked { fit, judgement, estimates })
    })
    .collect()
}

/// What is left over, px, when what is seen of one arm is explained by the other's poses.
fn crossed_rms(recordings: &[Recording], i: usize) -> Option<f64> {
    let [one, two] = recordings else { return None };
    let (own, other) = if i == 0 { (one, two) } else { (two, one) };
    let exchanged = Recording { way: other.way.clone(), camera_from_base: None, ..own.clone() };
    fit::fit(&exchanged).ok().map(|f| f.rms_px)
}
