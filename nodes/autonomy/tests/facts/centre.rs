//! Skill *centre the camera*.

use crate::bench::{Bench, assert_within_limits, autonomy, brute_force_clearance, speeds};
use nalgebra::{Point2, Point3, Vector3};
use proctor_autonomy::{AutonomyParams, PROTECTED};
use proctor_kinematics::Cell;
use proctor_types::{ArmId, Joints, Proposal, Scene, Skill};

fn ask(bench: &mut Bench) -> Proposal {
    let mut autonomy = autonomy();
    bench.ask(&mut autonomy, Skill::CentreCamera, ArmId::Ecm).unwrap_or_else(|out| panic!("{:?}", out.notes))
}

fn tips(scene: &Scene) -> Point3<f64> {
    let sum: Vector3<f64> = scene.instruments.iter().map(|i| i.world_from_tip.translation()).sum();
    Point3::from(sum / scene.instruments.len() as f64)
}

fn pixel(q: &Joints, p: &Point3<f64>) -> (Point2<f64>, f64) {
    let cell = Cell::standard().unwrap();
    let in_camera = cell.world_from_camera(q).unwrap().inverse().transform(p);
    (cell.rig().left.project(&in_camera).unwrap(), in_camera.z)
}

/// Height of the picture's x axis above the horizon, rad.
fn tilt(q: &Joints) -> f64 {
    let camera = Cell::standard().unwrap().world_from_camera(q).unwrap();
    (camera.rotation() * Vector3::x()).z.asin()
}

/// Camera poses from which the tips are seen off-centre.
const VIEWS: [[f64; 4]; 5] = [
    [0.07, 0.0, 0.085, 0.0],
    [-0.05, 0.06, 0.075, 0.2],
    [-0.04, 0.06, 0.080, -0.3],
    [-0.05, -0.08, 0.060, 0.0],
    [0.02, 0.03, 0.040, 0.1],
];

#[test]
fn the_tips_lie_in_the_middle_at_a_good_distance_after_the_motion() {
    for view in VIEWS {
        let mut bench = Bench::new();
        bench.put(ArmId::Ecm, &view, 0.0);
        let p = ask(&mut bench);
        let end = p.trajectory.points().last().unwrap().position;
        let (before, _) = pixel(&bench.joints(ArmId::Ecm), &tips(&bench.scene));
        let (after, z) = pixel(&end, &tips(&bench.scene));
        let off = |p: Point2<f64>| (p - Point2::new(319.5, 239.5)).norm();
        assert!(off(before) > 32.0, "{view:?}: it was off before, {before}");
        assert!(off(after) < 0.05 * 480.0, "{view:?}: {after}");
        assert!(z > 0.069 && z < 0.111, "{view:?}: {z}");
    }
}

#[test]
fn a_tip_outside_the_picture_does_not_count() {
    let mut bench = Bench::new();
    bench.put(ArmId::Ecm, &[0.14, 0.0, 0.085, 0.0], 0.0);
    let at = |q: &Joints, i: usize| pixel(q, &Point3::from(bench.scene.instruments[i].world_from_tip.translation())).0;
    let outside: Vec<usize> = (0..2).filter(|&i| !(0.0..640.0).contains(&at(&bench.joints(ArmId::Ecm), i).x)).collect();
    assert_eq!(outside.len(), 1);
    let end = ask(&mut bench.clone()).trajectory.points().last().unwrap().position;
    assert!((at(&end, 1 - outside[0]) - Point2::new(319.5, 239.5)).norm() < 24.0);
}

#[test]
fn the_horizon_is_kept_along_the_whole_motion() {
    for view in VIEWS {
        let mut bench = Bench::new();
        bench.put(ArmId::Ecm, &view, 0.0);
        let p = ask(&mut bench);
        let start = tilt(&bench.joints(ArmId::Ecm));
        for point in p.trajectory.points() {
            assert!((tilt(&point.position) - start).abs() < 1e-5, "{view:?} at {}", point.t);
        }
    }
}

#[test]
fn it_starts_at_the_measured_joints_and_respects_every_limit() {
    let params = AutonomyParams::default();
    let chain = Cell::standard().unwrap().chain(ArmId::Ecm).unwrap();
    for view in VIEWS {
        let mut bench = Bench::new();
        bench.put(ArmId::Ecm, &view, 0.0);
        let p = ask(&mut bench);
        assert_eq!(p.trajectory.points()[0].position, bench.joints(ArmId::Ecm));
        assert_within_limits(&p.trajectory, &params);
        for (_, speed) in speeds(&p.trajectory, |q| Point3::from(chain.fk(q).unwrap().translation())) {
            assert!(speed <= params.motion.free_speed + 1e-9, "{speed}");
        }
    }
}

#[test]
fn a_long_way_is_cut_at_the_limits_of_one_motion_and_goes_the_right_way() {
    let mut bench = Bench::new();
    bench.put(ArmId::Ecm, &[0.08, 0.03, 0.080, 0.0], 0.0);
    let mut params = AutonomyParams::default();
    params.centre.max_turn = 0.04;
    let mut autonomy = proctor_autonomy::Autonomy::new(params).unwrap();
    let p = bench.ask(&mut autonomy, Skill::CentreCamera, ArmId::Ecm).unwrap();
    let cell = Cell::standard().unwrap();
    let (start, end) = (bench.joints(ArmId::Ecm), p.trajectory.points().last().unwrap().position);
    let turn =
        cell.world_from_camera(&start).unwrap().rotation().angle_to(&cell.world_from_camera(&end).unwrap().rotation());
    assert!(turn <= 0.04 && turn > 0.035, "{turn}");
    let off = |q: &Joints| (pixel(q, &tips(&bench.scene)).0 - Point2::new(319.5, 239.5)).norm();
    assert!(off(&end) < 0.8 * off(&start), "{} {}", off(&end), off(&start));
    assert!(p.evidence.summary.contains("as far as one motion may"));
}

#[test]
fn the_clearance_told_is_that_of_brute_force() {
    let mut bench = Bench::new();
    bench.put(ArmId::Ecm, &VIEWS[1], 0.0);
    let p = ask(&mut bench);
    let (distance, class) = brute_force_clearance(&bench, &p.trajectory, |_, _| true, &PROTECTED).unwrap();
    assert!((p.evidence.smallest_clearance.unwrap() - distance).abs() < 1e-12);
    assert_eq!(p.evidence.clearance_class, class);
}

#[test]
fn it_is_proposed_unasked_only_after_the_tips_were_off_for_a_while_and_with_hysteresis() {
    let params = AutonomyParams::default();
    let run = |views: &[(f64, usize)]| {
        let (mut bench, mut autonomy) = (Bench::new(), autonomy());
        bench.scene.grasp_target = None;
        let mut proposed = Vec::new();
        for &(pitch, scenes) in views {
            bench.put(ArmId::Ecm, &[0.0, pitch, 0.078, 0.0], 0.0);
            for _ in 0..scenes {
                bench.next();
                proposed.push(!bench.step(&mut autonomy).proposals.is_empty());
            }
        }
        proposed.iter().position(|&p| p)
    };
    let radial = |pitch: f64| {
        let mut bench = Bench::new();
        bench.put(ArmId::Ecm, &[0.0, pitch, 0.078, 0.0], 0.0);
        let (p, z) = pixel(&bench.joints(ArmId::Ecm), &tips(&bench.scene));
        let half = 0.5 * params.centre.band;
        let good = params.centre.near - half..params.centre.far + half;
        assert!(good.contains(&z), "only the direction is at issue, not {z}");
        (p - Point2::new(319.5, 239.5)).norm() / 400.0
    };
    // One far off, one between the thresholds, one fine.
    let pitch_at = |wanted: f64| {
        let off = |pitch: &f64| (radial(*pitch) - wanted).abs();
        (-60..60).map(|k| f64::from(k) * 0.005).min_by(|a, b| off(a).total_cmp(&off(b))).unwrap()
    };
    let (far, between, fine) = (pitch_at(0.45), pitch_at(0.28), pitch_at(0.0));
    assert!(radial(far) > params.centre.off, "{}", radial(far));
    assert!((params.centre.on..params.centre.off).contains(&radial(between)), "{}", radial(between));
    assert!(radial(fine) < params.centre.on, "{}", radial(fine));

    let while_ = (params.centre.off_for * 1000.0) as usize / crate::bench::PERIOD as usize;
    assert_eq!(run(&[(far, 60)]), Some(while_), "after off_for");
    assert_eq!(run(&[(between, 60)]), None, "not off enough to begin with");
    assert_eq!(run(&[(fine, 60)]), None);
    assert_eq!(run(&[(far, 10), (between, 50)]), Some(while_), "off enough to stay with");
    assert_eq!(run(&[(far, 10), (fine, 1), (between, 50)]), None, "forgotten once fine");
}
