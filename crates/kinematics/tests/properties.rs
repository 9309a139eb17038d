//! FK, IK and Jacobian against each other over the whole workspace.

use nalgebra::{Isometry3, UnitQuaternion, Vector3};
use proctor_kinematics::{Chain, Ik, Instrument};
use proctor_types::{Base, Joints, Pose, Tip};
use proptest::prelude::*;
use std::sync::LazyLock;

static CHAINS: LazyLock<Vec<Chain>> = LazyLock::new(|| {
    let mut all: Vec<_> =
        Instrument::names().iter().map(|n| Chain::psm(&Instrument::named(n).unwrap()).unwrap()).collect();
    all.push(Chain::ecm().unwrap());
    all
});

/// A chain and joints within its limits; the insertion deep enough (10 mm of shaft beyond the RCM) for a wrist to be outside it.
fn reachable() -> impl Strategy<Value = (usize, Vec<f64>)> {
    (0..CHAINS.len(), proptest::collection::vec(0.0..=1.0_f64, 7)).prop_map(|(i, unit)| {
        let chain = &CHAINS[i];
        let limits = chain.limits();
        let mut q: Vec<f64> =
            (0..chain.dof()).map(|j| limits.lower[j] + unit[j] * (limits.upper[j] - limits.lower[j])).collect();
        let wrist_a = chain.instrument().map_or(0.0, |t| t.wrist_a);
        q[2] = q[2].max(chain.insertion_for_depth(0.010 + wrist_a));
        (i, q)
    })
}

fn gap(a: &Pose<Base, Tip>, b: &Pose<Base, Tip>) -> (f64, f64) {
    ((a.translation() - b.translation()).norm(), a.rotation().angle_to(&b.rotation()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn fk_of_ik_is_the_identity((i, q) in reachable(), seed in proptest::collection::vec(-1.0..1.0_f64, 6)) {
        let chain = &CHAINS[i];
        let target = chain.fk(&q).unwrap();
        let answer = chain.ik(&target, &seed[..chain.dof()]);
        let Ik::Solution(found) = answer else { panic!("{q:?} -> {answer:?}") };
        prop_assert!(chain.limits().contains(&found));
        let (position, rotation) = gap(&chain.fk(&found).unwrap(), &target);
        prop_assert!(position < 1e-6 && rotation < 1e-6, "{position} m {rotation} rad at {q:?}");
    }

    #[test]
    fn ik_seeded_nearby_returns_the_same_joints((i, q) in reachable()) {
        let chain = &CHAINS[i];
        let found = chain.ik(&chain.fk(&q).unwrap(), &q).solution().unwrap();
        for (a, b) in found.iter().zip(&q) {
            prop_assert!((a - b).abs() < 1e-6, "{found:?} {q:?}");
        }
    }

    #[test]
    fn the_jacobian_is_the_derivative_of_fk((i, q) in reachable(), direction in proptest::collection::vec(-1.0..1.0_f64, 6)) {
        let chain = &CHAINS[i];
        let h = 1e-5;
        let moved = |k: f64| -> Isometry3<f64> {
            let q: Vec<f64> = q.iter().zip(&direction).map(|(a, d)| a + k * h * d).collect();
            *chain.fk(&q).unwrap().iso()
        };
        let (before, after) = (moved(-1.0), moved(1.0));
        let v = (after.translation.vector - before.translation.vector) / (2.0 * h);
        let w = (after.rotation * before.rotation.inverse()).scaled_axis() / (2.0 * h);
        let (tip, jacobian) = chain.fk_jacobian(&q).unwrap();
        prop_assert_eq!(tip, chain.fk(&q).unwrap());
        let mut rates = nalgebra::SVector::<f64, 7>::zeros();
        for (slot, d) in rates.iter_mut().zip(direction.iter().take(chain.dof())) {
            *slot = *d;
        }
        let twist = jacobian * rates;
        // Central differences are exact to h^2 times the third derivative, here below 1e-8.
        prop_assert!((twist.fixed_rows::<3>(0) - v).norm() < 1e-7, "{twist} {v}");
        prop_assert!((twist.fixed_rows::<3>(3) - w).norm() < 1e-7, "{twist} {w}");
    }

    #[test]
    fn any_target_gets_an_answer_within_limits(
        i in 0..CHAINS.len(),
        p in proptest::array::uniform3(-0.4..0.4_f64),
        r in proptest::array::uniform3(-3.0..3.0_f64),
    ) {
        let chain = &CHAINS[i];
        let target = Pose::from_parts(Vector3::from(p), Vector3::from(r));
        let answer = chain.ik(&target, &chain.mid_range());
        prop_assert!(chain.limits().contains(&answer.joints()), "{answer:?}");
        let (position, rotation) = gap(&chain.fk(&answer.joints()).unwrap(), &target);
        match answer {
            Ik::Solution(_) => prop_assert!(position < 1e-6 && rotation < 1e-6),
            Ik::Unreachable { position_error, rotation_error, .. } | Ik::Singular { position_error, rotation_error, .. } => {
                prop_assert!((position - position_error).abs() < 1e-12 && (rotation - rotation_error).abs() < 1e-9);
                prop_assert!(position > 1e-8 || rotation > 1e-8, "called out of reach, but reached");
            }
        }
    }
}

#[test]
fn targets_out_of_reach_are_values_with_the_closest_joints() {
    let chain = &CHAINS[0];
    // 50 mm deeper than the insertion allows: the closest point is straight below, at the end of the range.
    let q = [0.1, 0.2, 0.24, 0.0, 0.0, 0.0];
    let deepest = chain.fk(&q).unwrap();
    let beyond = deepest.translation().normalize() * 0.05;
    let target = Pose::new(Isometry3::from_parts((deepest.translation() + beyond).into(), deepest.rotation()));
    let Ik::Unreachable { closest, position_error, rotation_error } = chain.ik(&target, &q) else { panic!() };
    assert!((position_error - 0.05).abs() < 1e-4 && rotation_error < 1e-2, "{position_error} {rotation_error}");
    assert!((closest[2] - 0.24).abs() < 1e-9);
}

#[test]
fn aiming_brings_a_straight_arm_to_the_point() {
    for chain in CHAINS.iter() {
        let point = nalgebra::Point3::new(0.03, -0.04, -0.17);
        let q = chain.aim(&point).unwrap();
        assert!((chain.fk(&q).unwrap().translation() - point.coords).norm() < 1e-12);
        assert!(q[3..].iter().all(|v| *v == 0.0));
        assert_eq!(chain.aim(&nalgebra::Point3::origin()), None);
    }
}

#[test]
fn singular_and_hostile_targets_are_values() {
    let chain = &CHAINS[0];
    let seed = chain.mid_range();
    // At the RCM itself; jaw axis along the line to the RCM (the tip's x is the jaw axis).
    let x_down = UnitQuaternion::rotation_between(&Vector3::x(), &-Vector3::z()).unwrap();
    for target in [Isometry3::identity(), Isometry3::from_parts(Vector3::new(0.0, 0.0, -0.15).into(), x_down)] {
        let answer = chain.ik(&Pose::new(target), &seed);
        assert!(matches!(answer, Ik::Singular { .. }), "{answer:?}");
    }
    let nan = Pose::new(Isometry3::translation(f64::NAN, 0.0, 0.0));
    assert!(matches!(chain.ik(&nan, &seed), Ik::Unreachable { position_error, .. } if position_error == f64::INFINITY));
    let target = chain.fk(&seed).unwrap();
    for bad_seed in [&[][..], &[f64::NAN; 6], &[0.0; 9]] {
        assert!(chain.ik(&target, bad_seed).solution().is_some());
    }
}

#[test]
fn an_ecm_target_that_looks_away_from_its_axis_is_unreachable() {
    let chain = CHAINS.last().unwrap();
    let target = chain.fk(&[0.1, 0.2, 0.15, 0.3]).unwrap();
    let turned = target.rotation() * UnitQuaternion::from_scaled_axis(Vector3::y() * 0.2);
    let turned = Pose::new(Isometry3::from_parts(target.translation().into(), turned));
    let answer = chain.ik(&turned, &chain.mid_range());
    assert!(matches!(answer, Ik::Unreachable { rotation_error, .. } if rotation_error <= 0.2), "{answer:?}");
}

#[test]
fn fk_refuses_wrong_lengths_and_nan() {
    for chain in CHAINS.iter() {
        let n = chain.dof();
        for bad in [vec![0.0; n - 1], vec![0.0; n + 1], vec![f64::NAN; n], vec![f64::INFINITY; n], vec![]] {
            assert!(chain.fk(&bad).is_err() && chain.fk_jacobian(&bad).is_err() && chain.links(&bad).is_err());
            assert!(chain.capsules(&bad).is_err() && chain.outline(&bad).is_err());
        }
    }
}

#[test]
fn an_outline_runs_where_the_links_are() {
    let own = Chain::held("LEAN7_PROBE").unwrap();
    for chain in CHAINS.iter().chain([&own]) {
        for i in 0..100 {
            let q: Vec<f64> = (0..chain.dof()).map(|j| 0.3 * f64::from(i * 7 + j as u32).sin()).collect();
            let (links, outline) = (chain.links(&q).unwrap(), chain.outline(&q).unwrap());
            for (frame, link) in [(outline.shaft, links.shaft), (outline.tip, links.tip)] {
                let gap = link.inverse() * frame.iso();
                assert!(gap.translation.vector.norm() < 1e-12 && gap.rotation.imag().norm() < 1e-12, "{q:?}");
            }
            assert!((nalgebra::Point3::from(outline.jaw_end) - links.jaw_end).norm() < 1e-12);
            let (tip, jacobian) = chain.fk_jacobian(&q).unwrap();
            let (frame, same) = chain.tip_jacobian(&q).unwrap();
            assert!(Pose::new(frame.iso()) == tip && same == jacobian);
        }
    }
}

#[test]
fn limits_name_the_joint_the_value_and_the_limit() {
    let chain = &CHAINS[0];
    let mut q = [0.0, 0.0, 0.1, 0.0, 0.0, 0.0];
    assert!(chain.limits().contains(&q));
    q[2] = 0.3;
    let v = chain.limits().violation(&q, 0.0).unwrap();
    assert_eq!((v.joint, v.value, v.limit), (2, 0.3, 0.24));
    q[1] = -1.0;
    let v = chain.limits().violation(&q, 0.0).unwrap();
    assert_eq!((v.joint, v.value, v.limit), (1, -1.0, -0.925025));
    let clamped = chain.limits().clamp(&Joints::new(&q).unwrap());
    assert_eq!((clamped[1], clamped[2]), (-0.925025, 0.24));
    assert!(chain.limits().violation(&[f64::NAN; 6], 1.0).is_some());
}
