//! FK with Jacobian of a 6-joint PSM: this crate against the crate `k`, same URDF, same joints.

use criterion::{Criterion, criterion_group, criterion_main};
use proctor_kinematics::{Chain, Instrument};
use std::hint::black_box;

const URDF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../urdf/generated/psm_LARGE_NEEDLE_DRIVER_400006.urdf");
const Q: [f64; 6] = [0.3, -0.2, 0.15, 0.7, -0.4, 0.5];

fn fk(c: &mut Criterion) {
    let ours = Chain::psm(&Instrument::named(Instrument::DEFAULT).expect("known")).expect("valid");
    let tree = k::Chain::<f64>::from_urdf_file(URDF).expect("valid");
    let theirs = k::SerialChain::from_end(tree.find_link("PSM_tip").expect("exists"));
    theirs.set_joint_positions(&Q).expect("six joints");
    // The two must agree before their speeds mean anything (`k` has a nalgebra of its own, so number by number).
    let (tip, jacobian) = ours.fk_jacobian(&Q).expect("finite");
    let other = theirs.end_transform();
    for (a, b) in other.translation.vector.iter().zip(tip.translation().iter()) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
    for (a, b) in k::jacobian(&theirs).iter().zip(jacobian.iter()) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }

    c.bench_function("fk", |b| b.iter(|| ours.fk(black_box(&Q))));
    c.bench_function("fk+jacobian", |b| b.iter(|| ours.fk_jacobian(black_box(&Q))));
    c.bench_function("fk+jacobian of crate k", |b| {
        b.iter(|| {
            theirs.set_joint_positions_unchecked(black_box(&Q));
            (theirs.end_transform(), k::jacobian(&theirs))
        });
    });
    let seed = [0.0, 0.0, 0.1, 0.0, 0.0, 0.0];
    c.bench_function("ik", |b| b.iter(|| ours.ik(black_box(&tip), black_box(&seed))));
}

criterion_group!(benches, fk);
criterion_main!(benches);
