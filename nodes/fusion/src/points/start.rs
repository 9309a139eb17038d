//! Where the base is before the camera, from nothing: poses that explain a few points each, and of these the one that half of all points
//! agree with best (least median of squares, Rousseeuw 1984), so that up to half of them may be wrong.

use super::{Eyes, Seen};
use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion, Vector3};
use opencv::{
    calib3d,
    core::{Mat, MatTraitConst as _, Point2d, Point3d, Vector},
};
use proctor_types::CameraModel;

/// Poses tried.
const TRIES: usize = 240;
/// Points per pose: few are likely to be all right, many give a good pose.
const FEW: usize = 6;
const MANY: usize = 14;
/// Points that each pose is judged by at most.
const JUDGES: usize = 600;

/// The pose, and the median distance it leaves, px.
pub fn start(pairs: &[(Seen, Point3<f64>)], eyes: &Eyes) -> Option<(Isometry3<f64>, f64)> {
    let stride = pairs.len().div_ceil(JUDGES).max(1);
    let judges: Vec<&(Seen, Point3<f64>)> = pairs.iter().step_by(stride).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut best: Option<(Isometry3<f64>, f64)> = None;
    for attempt in 0..TRIES {
        let count = if attempt % 2 == 0 { FEW } else { MANY }.min(pairs.len());
        let chosen: Vec<&(Seen, Point3<f64>)> =
            (0..count).map(|_| &pairs[(next(&mut state) % pairs.len() as u64) as usize]).collect();
        let Some(pose) = pose_of(&chosen, &eyes.camera) else { continue };
        let Some(median) = median_of(&judges, &pose, &eyes.camera) else { continue };
        if best.as_ref().is_none_or(|(_, least)| median < *least) {
            best = Some((pose, median));
        }
    }
    best
}

/// xorshift64 (Marsaglia 2003): the same choices in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn median_of(judges: &[&(Seen, Point3<f64>)], pose: &Isometry3<f64>, camera: &CameraModel) -> Option<f64> {
    let miss = |(seen, p): &&(Seen, Point3<f64>)| {
        camera.project(&(pose * p)).map_or(f64::INFINITY, |at| (at - seen.left).norm())
    };
    let mut misses: Vec<f64> = judges.iter().map(miss).collect();
    crate::shaft::median(&mut misses).filter(|m| m.is_finite())
}

/// The pose that explains a few points (SQPnP, Terzakis & Lourakis 2020).
fn pose_of(chosen: &[&(Seen, Point3<f64>)], camera: &CameraModel) -> Option<Isometry3<f64>> {
    let points: Vector<Point3d> = chosen.iter().map(|(_, p)| Point3d::new(p.x, p.y, p.z)).collect();
    let pixels: Vector<Point2d> = chosen.iter().map(|(s, _)| Point2d::new(s.left.x, s.left.y)).collect();
    let rows = [[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]];
    let matrix = Mat::from_slice_2d(&rows).ok()?;
    let (mut turn, mut shift) = (Mat::default(), Mat::default());
    let none = Mat::default();
    let method = calib3d::SOLVEPNP_SQPNP;
    let found = calib3d::solve_pnp(&points, &pixels, &matrix, &none, &mut turn, &mut shift, false, method).ok()?;
    let vector = |m: &Mat| Some(Vector3::new(*m.at::<f64>(0).ok()?, *m.at::<f64>(1).ok()?, *m.at::<f64>(2).ok()?));
    let (turn, shift) = (vector(&turn)?, vector(&shift)?);
    let finite = turn.iter().chain(shift.iter()).all(|v| v.is_finite());
    (found && finite).then(|| Isometry3::from_parts(Translation3::from(shift), UnitQuaternion::from_scaled_axis(turn)))
}
