//! The Lean7 by a formula of its own: a product of exponentials from its lengths (as urdf/golden/golden.py, not as the code under test).

use nalgebra::{Isometry3, Point3, Vector3};
use proctor_kinematics::Chain;
use proctor_safety::SafetyParams;

/// Height of each joint's axis above the foot when the arm stands upright, m, and whether it is z or y; where the foot stands.
const AXES: [(f64, bool); 7] =
    [(0.16, true), (0.30, false), (0.47, true), (0.62, false), (0.78, true), (0.92, false), (1.00, true)];
const TIP: f64 = 1.45;
const FOOT: [f64; 3] = [-0.34, 0.0, -0.12];
/// What is promised, m.
pub const PROMISED: f64 = 5e-4;

/// The standard cell with a Lean7 in the second instrument's place.
pub fn cell() -> SafetyParams {
    let mut params = SafetyParams::default();
    params.instruments[1] = "LEAN7_PROBE".into();
    params
}

/// Tip and direction of the shaft, from the trocar.
pub fn tip(q: &[f64; 7]) -> (Vector3<f64>, Vector3<f64>) {
    let mut pose = Isometry3::translation(FOOT[0], FOOT[1], FOOT[2]);
    for ((height, upright), angle) in AXES.into_iter().zip(q) {
        let axis = if upright { Vector3::z() } else { Vector3::y() };
        let through = Isometry3::translation(0.0, 0.0, height);
        pose = pose * through * Isometry3::rotation(axis * *angle) * through.inverse();
    }
    ((pose * Point3::new(0.0, 0.0, TIP)).coords, pose * Vector3::z())
}

/// Distance of the shaft's line from the trocar, m.
pub fn offset(q: &[f64; 7]) -> f64 {
    let (end, along) = tip(q);
    end.cross(&along).norm()
}

/// What a judge says of a set-point of an arm that is a Lean7.
pub fn beside_the_trocar(chain: &Chain, q: &[f64; 7]) -> Option<String> {
    chain.software_remote_centre()?;
    let off = offset(q);
    (off.is_nan() || off > PROMISED).then(|| format!("the shaft passes the trocar at {off} m"))
}

/// Joints near `seed` that bring the tip to `goal` with the shaft through the trocar: Newton steps on differences, least change of joints.
pub fn solve(goal: &Vector3<f64>, seed: &[f64; 7]) -> [f64; 7] {
    let miss = |q: &[f64; 7]| {
        let (end, along) = tip(q);
        // Two directions across the shaft do for its line.
        let across = Vector3::x() - along * along.x;
        let up = along.cross(&across);
        let e = end - goal;
        nalgebra::SVector::<f64, 5>::new(e.x, e.y, e.z, end.dot(&across), end.dot(&up))
    };
    let mut q = *seed;
    for _ in 0..20 {
        let e = miss(&q);
        let mut j = nalgebra::SMatrix::<f64, 5, 7>::zeros();
        for k in 0..7 {
            let (mut a, mut b) = (q, q);
            (a[k], b[k]) = (a[k] - 1e-6, b[k] + 1e-6);
            j.set_column(k, &((miss(&b) - miss(&a)) / 2e-6));
        }
        let step = j.transpose() * (j * j.transpose()).try_inverse().unwrap() * e;
        q.iter_mut().zip(step.iter()).for_each(|(q, s)| *q -= s);
        if e.norm() < 1e-10 {
            break;
        }
    }
    q
}
