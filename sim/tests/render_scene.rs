//! Anatomy in plausible millimetres; tissue that yields, slips and comes back.

use nalgebra::{Point3, Vector3};
use proctor_sim::scene::{Gripper, SceneConfig, Tissue};
use proctor_types::{ArmId, Class};

const STILL: SceneConfig = SceneConfig { variation: 1.0, breathing: 0.0, breathing_period: 4.0, grasp_reach: 0.005 };

fn vertices(t: &Tissue, class: Class) -> Vec<[f32; 3]> {
    let m = t.mesh();
    m.parts.iter().filter(|p| p.class == class).flat_map(|p| m.position[p.vertices.clone()].to_vec()).collect()
}

fn span(points: &[[f32; 3]]) -> f32 {
    let mut most = 0.0f32;
    for a in points {
        for b in points {
            most = most.max((0..3).map(|k| (a[k] - b[k]).powi(2)).sum());
        }
    }
    most.sqrt()
}

/// Largest width of the rings of a tube.
fn widths(points: &[[f32; 3]], ring: usize) -> Vec<f32> {
    points.chunks(ring).map(span).collect()
}

fn moved(a: &Point3<f64>, b: &Point3<f64>) -> f64 {
    (a - b).norm()
}

fn hold(t: &mut Tissue, from: Point3<f64>, by: Vector3<f64>, seconds: f64) {
    let n = (seconds / 0.005) as i32;
    for i in 0..=n {
        let tip = from + by * (f64::from(i) / f64::from(n));
        t.step(0.005, &[Gripper { arm: ArmId::Psm1, tip, closed: true }]);
    }
}

#[test]
fn organs_have_the_sizes_of_anatomy_books() {
    for seed in 0..12 {
        let t = Tissue::new(&STILL, seed);
        let gallbladder = span(&vertices(&t, Class::Gallbladder));
        assert!((58.0..80.0).contains(&gallbladder), "seed {seed}: gallbladder {gallbladder} mm long");
        let wide = widths(&vertices(&t, Class::Gallbladder), 48).into_iter().fold(0.0, f32::max);
        assert!((22.0..34.0).contains(&wide), "seed {seed}: gallbladder {wide} mm wide");
        for (class, ring, low, high) in [(Class::CysticDuct, 20, 3.6, 5.5), (Class::CysticArtery, 16, 2.5, 3.05)] {
            for w in widths(&vertices(&t, class), ring) {
                assert!((low..high).contains(&w), "seed {seed}: {} {w} mm", class.name());
            }
        }
        let triangles = t.mesh().triangles.len();
        assert!((25_000..60_000).contains(&triangles), "{triangles}");
    }
}

#[test]
fn the_same_seed_is_the_same_patient_and_another_seed_another() {
    let (a, b, c) = (Tissue::new(&STILL, 3), Tissue::new(&STILL, 3), Tissue::new(&STILL, 4));
    assert_eq!(a.mesh().position, b.mesh().position);
    assert_ne!(a.mesh().position, c.mesh().position);
}

#[test]
fn a_grasped_fundus_follows_the_gripper_and_springs_back_on_release() {
    for seed in 0..4 {
        let mut t = Tissue::new(&STILL, seed);
        let rest = t.fundus();
        let pull = Vector3::new(0.003, 0.004, 0.016);
        hold(&mut t, rest.point, pull, 0.8);
        assert_eq!(t.held(ArmId::Psm1), Some(Class::Gallbladder), "seed {seed}");
        let now = t.fundus().point;
        assert!(
            moved(&now, &(rest.point + pull)) < 0.0015,
            "seed {seed}: fundus {now} should be at {}",
            rest.point + pull
        );
        // The neck is held by duct and bed.
        let neck = t.nearest_of(Class::CysticDuct, &now, &now).unwrap();
        assert!(neck.distance > 0.02, "seed {seed}");
        t.step(0.005, &[Gripper { arm: ArmId::Psm1, tip: now, closed: false }]);
        assert_eq!(t.held(ArmId::Psm1), None);
        for _ in 0..800 {
            t.step(0.005, &[]);
        }
        let back = moved(&t.fundus().point, &rest.point);
        assert!(back < 0.0005, "seed {seed}: {back} m from rest four seconds after release");
    }
}

#[test]
fn a_pull_bends_the_body_less_than_the_fundus_and_moves_the_liver_a_little() {
    let mut t = Tissue::new(&STILL, 1);
    let (mut before, mut after, mut normals) = (Vec::new(), Vec::new(), Vec::new());
    t.deformed(&mut before, &mut normals);
    let start = t.fundus().point;
    hold(&mut t, start, Vector3::new(0.0, 0.0, 0.016), 0.8);
    t.deformed(&mut after, &mut normals);
    let most = |class: Class| {
        t.mesh()
            .parts
            .iter()
            .filter(|p| p.class == class)
            .flat_map(|p| p.vertices.clone())
            .map(|v| (0..3).map(|k| (after[v][k] - before[v][k]).powi(2)).sum::<f32>().sqrt())
            .fold(0.0, f32::max)
    };
    assert!(most(Class::Gallbladder) > 14.0);
    let liver = most(Class::Liver);
    assert!((0.3..10.0).contains(&liver), "liver moved {liver} mm");
    assert_eq!(most(Class::AbdominalWall), 0.0);
    assert!(normals.iter().all(|n| (n.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-3));
}

#[test]
fn tissue_slips_out_of_a_pull_it_cannot_follow() {
    let mut t = Tissue::new(&STILL, 1);
    let start = t.fundus().point;
    hold(&mut t, start, Vector3::new(0.0, 0.0, 0.2), 1.0);
    assert_eq!(t.held(ArmId::Psm1), None);
}

#[test]
fn a_gripper_that_closes_in_the_air_holds_nothing() {
    let mut t = Tissue::new(&STILL, 1);
    let rest = t.fundus().point;
    hold(&mut t, rest + Vector3::new(0.0, 0.0, 0.02), Vector3::new(0.0, 0.0, 0.01), 0.3);
    assert_eq!(t.held(ArmId::Psm1), None);
    assert_eq!(t.fundus().point, rest);
}

#[test]
fn breathing_is_periodic_and_of_the_configured_size() {
    let mut t = Tissue::new(&SceneConfig { breathing: 0.002, ..STILL }, 1);
    let rest = t.fundus().point;
    let mut most = 0.0f64;
    for _ in 0..400 {
        t.step(0.01, &[]);
        most = most.max(moved(&t.fundus().point, &rest));
    }
    assert!((most - 0.002).abs() < 1e-5, "{most}");
    assert!(moved(&t.fundus().point, &rest) < 1e-5, "after one period of 4 s");
}

#[test]
fn queries_answer_with_the_surface_that_is_there() {
    let t = Tissue::new(&STILL, 1);
    let fundus = t.fundus();
    let outside = fundus.point + fundus.normal * 0.004;
    let n = t.nearest(&outside).unwrap();
    assert_eq!(n.class, Class::Gallbladder);
    assert!((n.distance - 0.004).abs() < 0.0002, "{}", n.distance);
    assert!(n.normal.dot(&fundus.normal) > 0.95);
    assert_eq!(t.class_at(&fundus.point, 0.0005), Some(Class::Gallbladder));
    assert_eq!(t.class_at(&(fundus.point + Vector3::z() * 0.05), 0.01), None);
    // A segment that passes 4 mm above the fundus, along the surface.
    let along = fundus.normal.cross(&Vector3::x()).normalize() * 0.001;
    let s = t.nearest_of(Class::Gallbladder, &(outside - along), &(outside + along)).unwrap();
    assert!((s.distance - 0.004).abs() < 0.0003, "{}", s.distance);
}

#[test]
fn negative_and_nan_steps_change_nothing() {
    let mut t = Tissue::new(&STILL, 1);
    t.step(-1.0, &[]);
    t.step(f64::NAN, &[]);
    assert_eq!(t.seconds(), 0.0);
}
