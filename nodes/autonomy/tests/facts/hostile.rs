//! Whatever a scene says, nothing panics and nothing bad is proposed.

use crate::bench::{Bench, assert_within_limits, autonomy};
use nalgebra::{Matrix6, Point3, UnitQuaternion, Vector3};
use proctor_autonomy::AutonomyParams;
use proctor_types::*;
use proptest::prelude::*;

/// Finite numbers from tame to absurd.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -0.2f64..0.2,
        1 => Just(0.0),
        1 => prop::num::f64::NORMAL,
        1 => Just(f64::MAX),
        1 => Just(-1e200),
        1 => prop::num::f64::SUBNORMAL,
    ]
}

fn vector() -> impl Strategy<Value = Vector3<f64>> {
    (number(), number(), number()).prop_map(|(x, y, z)| Vector3::new(x, y, z))
}

fn point() -> impl Strategy<Value = SurfacePoint> {
    (vector(), 0..Class::COUNT, number()).prop_map(|(v, class, sigma)| SurfacePoint {
        position: Point3::from(v),
        class: Class::ALL[class],
        sigma,
    })
}

#[derive(Debug, Clone)]
struct Attack {
    target: Option<(Vector3<f64>, Vector3<f64>)>,
    surface: Vec<SurfacePoint>,
    empty: bool,
    base: Option<(Vector3<f64>, Vector3<f64>)>,
    tip: Option<Vector3<f64>>,
    camera: Option<(Vector3<f64>, Vector3<f64>)>,
    joints: Vec<f64>,
    arm: usize,
    covariance: f64,
    jaw: f64,
    skill: usize,
    with: usize,
}

fn attack() -> impl Strategy<Value = Attack> {
    let pair = || (vector(), vector());
    (
        (
            prop::option::weighted(0.9, pair()),
            prop::collection::vec(point(), 0..40),
            prop::bool::weighted(0.2),
            prop::option::weighted(0.3, pair()),
            prop::option::weighted(0.3, vector()),
            prop::option::weighted(0.3, pair()),
        ),
        (prop::collection::vec(number(), 6), 0usize..6, number(), number(), 0usize..2, 0usize..3),
    )
        .prop_map(|((target, surface, empty, base, tip, camera), (joints, arm, covariance, jaw, skill, with))| {
            Attack { target, surface, empty, base, tip, camera, joints, arm, covariance, jaw, skill, with }
        })
}

fn pose<A: Frame, B: Frame>((t, r): (Vector3<f64>, Vector3<f64>)) -> Pose<A, B> {
    let rotation = UnitQuaternion::from_scaled_axis(r);
    let p = Pose::new(nalgebra::Isometry3::from_parts(t.into(), rotation));
    // Messages cannot carry NaN, but an absurd rotation vector can make one.
    if p.is_finite() { p } else { Pose::identity() }
}

impl Attack {
    fn apply(&self, b: &mut Bench) {
        b.scene.grasp_target = self.target.map(|(p, n)| (Point3::from(p), n));
        if self.empty {
            b.scene.surface.clear();
        }
        b.scene.surface.extend(&self.surface);
        if let Some(base) = self.base {
            b.scene.hand_eyes[1].world_from_base = pose(base);
        }
        if let Some(tip) = self.tip {
            b.scene.instruments[0].world_from_tip = pose((tip, Vector3::zeros()));
        }
        if let Some(camera) = self.camera {
            b.scene.world_from_camera = pose(camera);
        }
        b.scene.instruments[1].covariance = Matrix6::identity() * self.covariance;
        // Half of the attacks leave the arms where they are.
        if let Some(state) = b.arms.get_mut(self.arm).and_then(Option::as_mut) {
            let n = state.arm.dof();
            state.position = Joints::new(&self.joints[..n]).unwrap();
            state.jaw = self.jaw;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_hostile_scene_never_panics_and_every_proposal_keeps_the_limits(a in attack(), b in attack()) {
        let (mut bench, mut autonomy) = (Bench::new(), autonomy());
        let params = AutonomyParams::default();
        for attack in [&a, &b, &b] {
            bench.next();
            attack.apply(&mut bench);
            bench.request(Skill::ALL[attack.skill], ArmId::ALL[attack.with]);
            let out = bench.step(&mut autonomy);
            prop_assert!(out.proposals.len() <= 1 && out.withdrawals.len() <= 1);
            for p in &out.proposals {
                let start = bench.arms[p.trajectory.arm().index()].unwrap();
                prop_assert_eq!(p.trajectory.points()[0].position, start.position);
                prop_assert!(p.evidence.confidence >= 0.0 && p.evidence.confidence <= 1.0);
                prop_assert!(p.evidence.smallest_clearance.is_none_or(f64::is_finite));
                assert_within_limits(&p.trajectory, &params);
            }
        }
    }
}

#[test]
fn an_empty_scene_is_answered_with_nothing() {
    let (mut bench, mut autonomy) = (Bench::new(), autonomy());
    bench.scene.hand_eyes.clear();
    bench.scene.instruments.clear();
    bench.scene.surface.clear();
    bench.scene.grasp_target = None;
    for skill in Skill::ALL {
        for arm in ArmId::ALL {
            bench.next();
            bench.request(skill, arm);
            let out = bench.step(&mut autonomy);
            assert!(out.proposals.is_empty() && out.withdrawals.is_empty());
        }
    }
}
