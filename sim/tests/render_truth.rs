//! The pictures' truth against independent geometry: brute-force ray casting, projection, stereo.

mod common;

use common::{Cast, Field, WIDTH};
use nalgebra::{Point3, Vector3};
use proctor_sim::render::{Appearance, ImageFaults, Want};
use proctor_types::{ArmId, Class};

#[test]
fn labels_and_depth_agree_with_a_ray_cast_over_the_deformed_mesh() {
    let mut field = Field::new(5);
    field.pull_fundus(Vector3::new(0.004, 0.003, 0.015));
    let picture = field.render(1, Want::LeftOnly);
    let (mut positions, mut normals) = (Vec::new(), Vec::new());
    field.tissue.deformed(&mut positions, &mut normals);
    let cast = Cast::new(&field, &positions);
    let (mut compared, mut wrong_class, mut worst) = (0, 0, 0.0f64);
    for v in (7..480).step_by(31) {
        for u in (5..WIDTH).step_by(29) {
            let label = *picture.labels.get(u, v).unwrap();
            let depth = f64::from(*picture.depth.get(u, v).unwrap());
            if label == 0 {
                assert_eq!(depth, 0.0, "({u}, {v}) shows nothing but has a depth");
                continue;
            }
            let (expected, class) = cast.ray(u as f64, v as f64).unwrap_or_else(|| panic!("({u}, {v}): no surface"));
            compared += 1;
            if class.id() == label {
                worst = worst.max((expected - depth).abs());
            } else {
                wrong_class += 1;
            }
        }
    }
    assert!(compared > 200, "{compared}");
    // Sub-pixel snapping may give a silhouette pixel to the neighbour.
    assert!(wrong_class * 100 <= compared, "{wrong_class} of {compared} labels differ");
    assert!(worst < 0.0004, "depth off by {worst} m");
}

#[test]
fn the_projected_tool_lies_on_pixels_of_that_instrument() {
    let mut field = Field::new(2).with_instruments();
    let picture = field.render(1, Want::LeftOnly);
    let camera_from_world = field.world_from_camera.inverse();
    for pose in field.instruments.clone() {
        let points = [
            (Class::InstrumentJaws, pose.world_from_jaw * Point3::new(0.0, 0.0, 0.006)),
            (Class::InstrumentWrist, pose.world_from_wrist * Point3::new(0.0, 0.0, -0.005)),
            (Class::InstrumentShaft, pose.world_from_shaft * Point3::new(0.0, 0.0, -0.012)),
        ];
        let mut seen = 0;
        for (class, p) in points {
            let q = camera_from_world.transform(&p);
            let Some(pixel) = field.rig.left.project(&q) else { continue };
            let (u, v) = (pixel.x.round(), pixel.y.round());
            if !(3.0..637.0).contains(&u) || !(3.0..477.0).contains(&v) || (u - 319.5).hypot(v - 239.5) > 318.0 {
                continue;
            }
            seen += 1;
            let (u, v) = (u as usize, v as usize);
            let around = || (-3..=3i32).flat_map(|dy| (-3..=3i32).map(move |dx| (dx, dy)));
            let at = |dx: i32, dy: i32| ((u as i32 + dx) as usize, (v as i32 + dy) as usize);
            let label = around().any(|(dx, dy)| {
                let (x, y) = at(dx, dy);
                picture.labels.get(x, y) == Some(&class.id())
                    && picture.instances.get(x, y) == Some(&(pose.arm.index() as u8 + 1))
            });
            assert!(label, "{} of {} is not at ({u}, {v})", class.name(), pose.arm);
            let depth = f64::from(*picture.depth.get(u, v).unwrap());
            assert!((depth - q.z).abs() < 0.006, "{}: seen at {depth} m, is at {} m", class.name(), q.z);
        }
        assert!(seen >= 1, "nothing of {} is in view", pose.arm);
    }
}

#[test]
fn the_shaft_is_a_cylinder_of_the_kinematics_radius() {
    let mut field = Field::new(2).with_instruments();
    let picture = field.render(1, Want::LeftOnly);
    let world_from_camera = field.world_from_camera;
    let mut checked = 0;
    for v in (0..480).step_by(5) {
        for u in (0..WIDTH).step_by(5) {
            if picture.labels.get(u, v) != Some(&Class::InstrumentShaft.id()) {
                continue;
            }
            let arm = ArmId::ALL[usize::from(*picture.instances.get(u, v).unwrap()) - 1];
            let pose = field.instruments.iter().find(|i| i.arm == arm).unwrap();
            let z = f64::from(*picture.depth.get(u, v).unwrap());
            let c = field.rig.left;
            let p = Point3::new((u as f64 - c.cx) / c.fx * z, (v as f64 - c.cy) / c.fy * z, z);
            let local = pose.world_from_shaft.inverse() * world_from_camera.transform(&p);
            if local.z < -0.0075 {
                let r = local.x.hypot(local.y);
                assert!((r - 0.0042).abs() < 0.00006, "({u}, {v}): {r} m from the axis");
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "only {checked} shaft pixels");
}

#[test]
fn disparity_matches_depth() {
    let mut field = Field::new(3);
    // Highlights move with the eye and vignettes with the lens; texture does not.
    field.look = Appearance { noise: 0.0, blur: 0.0, vignette: 0.0, ..Appearance::nominal() };
    field.look.tissue.iter_mut().for_each(|s| s.specular = 0.0);
    let r = field.render(1, Want::Rectified);
    let grey = |p: &[u8; 3]| i32::from(p[0]) + i32::from(p[1]) + i32::from(p[2]);
    let (mut tried, mut matched) = (0, 0);
    for v in (60..420).step_by(12) {
        for u in (120..520).step_by(12) {
            let depth = f64::from(*r.depth.get(u, v).unwrap());
            let flat = (-6..=6i32).all(|d| {
                let there = f64::from(*r.depth.get((u as i32 + d) as usize, v).unwrap());
                (there - depth).abs() < 0.002
            });
            let texture: i32 = (-4..=4i32)
                .flat_map(|dy| (-6..6i32).map(move |dx| (dx, dy)))
                .map(|(dx, dy)| {
                    let (x, y) = ((u as i32 + dx) as usize, (v as i32 + dy) as usize);
                    (grey(r.left.get(x, y).unwrap()) - grey(r.left.get(x + 1, y).unwrap())).pow(2)
                })
                .sum();
            if depth == 0.0 || !flat || texture < 600 {
                continue;
            }
            let cost = |shift: f64| -> f64 {
                (-4..=4i32)
                    .flat_map(|dy| (-6..=6i32).map(move |dx| (dx, dy)))
                    .map(|(dx, dy)| {
                        let x = f64::from(u as i32 + dx) - shift;
                        let (x0, y) = (x.floor() as usize, (v as i32 + dy) as usize);
                        let f = x - x.floor();
                        let right = f64::from(grey(r.right.get(x0, y).unwrap())) * (1.0 - f)
                            + f64::from(grey(r.right.get(x0 + 1, y).unwrap())) * f;
                        let left = f64::from(grey(r.left.get((u as i32 + dx) as usize, y).unwrap()));
                        (left - right) * (left - right)
                    })
                    .sum()
            };
            let disparity = field.rig.left.fx * field.rig.baseline / depth;
            let here = cost(disparity);
            tried += 1;
            matched += usize::from([-4.0, -2.5, 2.5, 4.0].into_iter().all(|d| cost(disparity + d) > here));
        }
    }
    assert!(tried > 150, "{tried}");
    assert!(matched * 100 >= tried * 90, "only {matched} of {tried} patches match at the disparity of their depth");
}

#[test]
fn every_organ_shows_in_the_nominal_view_of_most_patients() {
    let mut seen = [0; Class::COUNT];
    for seed in 0..8 {
        let mut field = Field::new(seed);
        let r = field.render(1, Want::LeftOnly);
        let mut area = [0usize; Class::COUNT];
        r.labels.pixels().iter().for_each(|l| area[usize::from(*l)] += 1);
        for (class, least) in [
            (Class::AbdominalWall, 4000),
            (Class::Liver, 40_000),
            (Class::Gallbladder, 20_000),
            (Class::CysticDuct, 1000),
            (Class::CysticArtery, 400),
            (Class::Fat, 2000),
        ] {
            seen[usize::from(class.id())] += usize::from(area[usize::from(class.id())] >= least);
        }
        // The fundus lies in the picture, unoccluded, where the retract skill needs it.
        let fundus = field.tissue.fundus();
        let q = field.world_from_camera.inverse().transform(&fundus.point);
        let p = field.rig.left.project(&q).unwrap();
        assert_eq!(
            r.labels.get(p.x.round() as usize, p.y.round() as usize),
            Some(&Class::Gallbladder.id()),
            "seed {seed}"
        );
        let depth = f64::from(*r.depth.get(p.x.round() as usize, p.y.round() as usize).unwrap());
        assert!((depth - q.z).abs() < 0.001, "seed {seed}: fundus at {} m, pixel shows {depth} m", q.z);
    }
    for class in Class::ALL.into_iter().filter(|c| c.is_tissue()) {
        assert!(
            seen[usize::from(class.id())] >= 6,
            "{} shows for {} of 8 seeds",
            class.name(),
            seen[usize::from(class.id())]
        );
    }
}

#[test]
fn outside_the_round_field_of_view_is_black_and_background() {
    let mut field = Field::new(1);
    field.look = Appearance { circle: 200.0, circle_offset: [10.0, -5.0], blur: 0.0, ..Appearance::nominal() };
    field.faults = ImageFaults { smoke: 0.5, ..ImageFaults::default() };
    let r = field.render(1, Want::Rectified);
    for v in 0..480 {
        for u in 0..WIDTH {
            let d = (u as f64 - 329.5).hypot(v as f64 - 234.5);
            if d > 200.5 {
                assert_eq!(r.left.get(u, v), Some(&[0, 0, 0]), "({u}, {v})");
                assert_eq!(r.labels.get(u, v), Some(&0));
            } else if d < 199.5 {
                assert_ne!(r.labels.get(u, v), Some(&0), "({u}, {v})");
            }
        }
    }
}
