//! Where foreign objects lie in samples.

use super::frame;
use crate::{
    render::{Foreign, ForeignKind},
    scene::Tissue,
};
use nalgebra::{Isometry3, Point3, Vector3};
use proctor_types::{Camera, Pose, World};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Share of samples with foreign objects.
const SHARE: f64 = 0.3;

/// One to three foreign objects on the tissue in view of `camera`, in [`SHARE`] of the samples. They have a stream of random numbers of
/// their own, so that the rest of a sample is the same with and without them.
pub(super) fn scatter(seed: u64, tissue: &Tissue, camera: &Pose<World, Camera>) -> Vec<Foreign> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0xF0_2E16);
    if !rng.random_bool(SHARE) {
        return Vec::new();
    }
    let count = rng.random_range(1..=3);
    (0..count).filter_map(|_| one(&mut rng, tissue, camera)).collect()
}

fn one(rng: &mut ChaCha8Rng, tissue: &Tissue, camera: &Pose<World, Camera>) -> Option<Foreign> {
    let kind = ForeignKind::ALL[rng.random_range(0..ForeignKind::ALL.len())];
    let ray = Vector3::new(rng.random_range(-0.42..0.42), rng.random_range(-0.32..0.32), 1.0);
    let (eye, ray) = (Point3::from(camera.translation()), camera.rotation() * ray);
    let depth = (eye.z / -ray.z.min(-0.05)).clamp(0.03, 0.17);
    let on = tissue.nearest(&(eye + ray * depth))?;
    // Towards the camera, or what lies under a fold would seldom be seen.
    let up = if on.normal.dot(&ray) < 0.0 { on.normal } else { -on.normal };
    let turn = rng.random_range(-3.1..3.1);
    let world_from_object: Isometry3<f64> = match kind {
        ForeignKind::Tube => {
            let side: f64 = rng.random_range(-3.1..3.1);
            let outside = Vector3::new(libm::cos(side) * 0.12, libm::sin(side) * 0.12, rng.random_range(-0.05..0.02));
            let end = on.point + up * rng.random_range(0.003..0.03);
            frame(end - camera.transform(&Point3::from(outside)), turn, end)
        }
        _ => frame(up, turn, on.point + up * rng.random_range(-0.0005..0.0015)),
    };
    let (colour, metal) = paint(rng, kind);
    Some(Foreign { kind, world_from_object, colour, metal, seed: rng.random_range(0..1 << 30) })
}

/// Colours that such things have, and whether they are metal.
fn paint(rng: &mut ChaCha8Rng, kind: ForeignKind) -> ([f32; 3], bool) {
    let steel = ([0.16, 0.16, 0.155], true);
    let plain = |choices: &[[f32; 3]], rng: &mut ChaCha8Rng| (choices[rng.random_range(0..choices.len())], false);
    match kind {
        // Clean, soaked with blood, or with bile.
        ForeignKind::Swab => {
            plain(&[[0.75, 0.74, 0.70], [0.75, 0.74, 0.70], [0.42, 0.06, 0.05], [0.62, 0.50, 0.22]], rng)
        }
        ForeignKind::Clip if rng.random_bool(0.5) => steel,
        ForeignKind::Clip => plain(&[[0.70, 0.70, 0.68], [0.28, 0.10, 0.42], [0.10, 0.45, 0.18]], rng),
        ForeignKind::Thread => {
            plain(&[[0.22, 0.08, 0.40], [0.04, 0.12, 0.45], [0.03, 0.03, 0.03], [0.65, 0.63, 0.58]], rng)
        }
        ForeignKind::Needle => steel,
        ForeignKind::Tube if rng.random_bool(0.4) => steel,
        ForeignKind::Tube => {
            plain(&[[0.70, 0.70, 0.70], [0.10, 0.30, 0.45], [0.60, 0.55, 0.20], [0.08, 0.08, 0.08]], rng)
        }
    }
}
