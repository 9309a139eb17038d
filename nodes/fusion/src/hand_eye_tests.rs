//! Whether the stated covariance is the true one: errors drawn from the prior, measurements with the noise that is stated.

use super::*;
use crate::{
    feature::FeatureKind,
    geometry::project,
    tool::{Part, Seams},
};
use nalgebra::{Point2, Vector2};
use proctor_kinematics::{Cell, Chain, Instrument};
use proctor_types::ArmId;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Standard normal (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random_range(1e-12..1.0), rng.random_range(0.0..1.0));
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// What a camera with the stated noise would measure of a tool, camera coordinates.
fn measured(tool: &Tool, rig: &StereoRig, rng: &mut ChaCha8Rng) -> Vec<Feature> {
    let camera = &rig.left;
    let axis = (tool.pitch - tool.top).normalize();
    let pixel = |p: &Point3<f64>| project(camera, p).unwrap();
    let end = pixel(&tool.pitch);
    let direction = (end - pixel(&(tool.pitch - axis * 0.01))).normalize();
    let across = Vector2::new(-direction.y, direction.x);
    let (near, far) = (pixel(&(tool.pitch - axis * 0.025)), pixel(&(tool.pitch - axis * 0.01)));
    let wrist = pixel(&tool.middle(Part::Wrist).unwrap().0);
    let mut kinds = vec![
        (FeatureKind::ShaftEnd { at: end, direction }, 5.0),
        (FeatureKind::Middle { part: Part::Wrist, at: wrist, direction: Vector2::x() }, 5.0),
        (FeatureKind::Middle { part: Part::Wrist, at: wrist, direction: Vector2::y() }, 5.0),
        (FeatureKind::Disparity { part: Part::Wrist, at: wrist, disparity: 0.0 }, 0.8),
    ];
    for at in [near, far] {
        kinds.push((FeatureKind::Centre { at, normal: across }, 1.0));
        kinds.push((FeatureKind::Width { at, normal: across, width: 0.0 }, 1.2));
        kinds.push((FeatureKind::Disparity { part: Part::Shaft, at, disparity: 0.0 }, 0.6));
    }
    let noisy = |(kind, sigma): (FeatureKind, f64)| {
        // Moved so that it is off by noise alone.
        let off = Feature { kind, sigma }.residual(tool, rig).unwrap() + sigma * normal(rng);
        let moved = |at: Point2<f64>, along: Vector2<f64>| at + along * off;
        let kind = match kind {
            FeatureKind::ShaftEnd { at, direction } => FeatureKind::ShaftEnd { at: moved(at, direction), direction },
            FeatureKind::Middle { part, at, direction } => {
                FeatureKind::Middle { part, at: moved(at, direction), direction }
            }
            FeatureKind::Centre { at, normal } => FeatureKind::Centre { at: moved(at, normal), normal },
            FeatureKind::Width { at, normal, width } => FeatureKind::Width { at, normal, width: width + off },
            FeatureKind::Disparity { part, at, disparity } => {
                FeatureKind::Disparity { part, at, disparity: disparity + off }
            }
            other => other,
        };
        Feature { kind, sigma }
    };
    kinds.into_iter().map(noisy).collect()
}

/// Normalised squared error of the base after 25 pictures from different postures, one draw.
fn normalised_squared_error(seed: u64) -> f64 {
    /// Between two pictures that are independent evidence, s.
    const STEP: f64 = 0.4;
    let (cell, params) = (Cell::standard().unwrap(), FusionParams::default());
    let spec = Instrument::named(Instrument::DEFAULT).unwrap();
    let (chain, rig) = (Chain::psm(&spec).unwrap(), cell.rig());
    let camera_from_world = cell.world_from_camera(&[0.0, 0.0, 0.110, 0.0]).unwrap().inverse();
    let nominal = *cell.world_from_base(ArmId::Psm1).iso();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut filter = HandEyeFilter::new(nominal, &params);
    let drawn = Vector6::from_fn(|i, _| filter.prior[i].sqrt() * normal(&mut rng));
    filter.pose = filter.moved(&drawn);
    let mut truth = filter.pose;
    filter.pose = nominal;
    let radii = [spec.shaft_radius, spec.wrist_radius, 0.5 * spec.jaw_width];
    for _ in 0..25 {
        let q: Vec<f64> = [(0.0, 0.07), (0.0, 0.07), (0.183, 0.01), (0.0, 0.5), (0.0, 0.3), (0.0, 0.3)]
            .map(|(middle, spread)| middle + spread * rng.random_range(-1.0..1.0))
            .to_vec();
        let links = chain.links(&proctor_types::Joints::new(&q).unwrap()).unwrap();
        let (yaw, end) = (Point3::from(links.jaw.translation.vector), links.jaw_end);
        let tool = Tool {
            top: Point3::origin(),
            pitch: Point3::from(links.shaft.translation.vector),
            yaw,
            end,
            spread: Vector3::zeros(),
            radii,
            seams: Seams { shaft_end: params.shaft_end_m, wrist_end: params.wrist_end_m },
        };
        // The truth walks as the filter says that it does.
        let mut walked = |drift: f64| Vector3::from_fn(|_, _| drift * STEP.sqrt() * normal(&mut rng));
        truth.translation.vector += walked(params.drift_translation);
        truth.rotation = UnitQuaternion::from_scaled_axis(walked(params.drift_rotation)) * truth.rotation;
        filter.predict(STEP, &params);
        let features = measured(&tool.transformed(&(camera_from_world.iso() * truth)), &rig, &mut rng);
        filter.update(&features, &tool, camera_from_world.iso(), &rig, 1.0, &params);
    }
    let shift = truth.translation.vector - filter.pose.translation.vector;
    let turn = (truth.rotation * filter.pose.rotation.inverse()).scaled_axis();
    let error = Vector6::new(shift.x, shift.y, shift.z, turn.x, turn.y, turn.z);
    error.dot(&Cholesky::new(filter.covariance).unwrap().solve(&error))
}

#[test]
fn errors_are_as_large_as_the_covariance_says_over_a_hundred_seeds() {
    let errors: Vec<f64> = (0..100).map(normalised_squared_error).collect();
    let mean = errors.iter().sum::<f64>() / 100.0;
    let within = errors.iter().filter(|e| **e < 12.59).count();
    println!("NEES {mean:.2} (6 when exact), {within} of 100 below the 95 % quantile of chi-squared with 6 degrees");
    // 95 % bounds of the mean of a hundred: the quantiles of chi-squared with 600 degrees, over 100.
    assert!((5.34..=6.70).contains(&mean), "{mean}");
}

#[test]
fn opened_again_the_tip_stays_and_the_base_is_where_it_is_likeliest() {
    let (cell, params) = (Cell::standard().unwrap(), FusionParams::default());
    let nominal = *cell.world_from_base(ArmId::Psm1).iso();
    let tip = Point3::new(0.02, -0.03, -0.17);
    let opened = |pose: Isometry3<f64>| {
        let mut filter = HandEyeFilter { pose, tip: Some(tip), ..HandEyeFilter::new(nominal, &params) };
        filter.reopen();
        assert!((filter.pose * tip - pose * tip).norm() < 2e-4, "the tip stays");
        filter
    };
    // A turn about the tip alone, which one view cannot tell from none, is taken back.
    let seen = nominal * tip;
    let about = |turn: Vector3<f64>| {
        let turn = UnitQuaternion::from_scaled_axis(turn);
        Isometry3::from_parts(Translation3::from(seen - turn * seen), turn)
    };
    let turned = about(Vector3::new(0.06, -0.05, 0.04)) * nominal;
    assert!((turned.translation.vector - nominal.translation.vector).norm() > 0.008);
    let (metres, radians) = opened(turned).correction();
    assert!(metres < 1e-4 && radians < 1e-3, "{metres} m, {radians} rad");
    // Where the tip itself is elsewhere: of many places of the base that put it there none is likelier.
    let shift = Translation3::new(0.006, -0.004, 0.005) * about(Vector3::new(-0.05, 0.07, 0.1)) * nominal;
    let filter = opened(shift);
    let unlikely = |pose: &Isometry3<f64>| {
        let moved = (pose.translation.vector - nominal.translation.vector) / params.prior_translation_m;
        let turned = (pose.rotation * nominal.rotation.inverse()).scaled_axis() / params.prior_rotation_rad;
        moved.norm_squared() + turned.norm_squared()
    };
    let best = unlikely(&filter.pose);
    assert!(best < unlikely(&shift));
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let there = filter.pose * tip;
    for _ in 0..500 {
        let turn = UnitQuaternion::from_scaled_axis(Vector3::from_fn(|_, _| 0.02 * normal(&mut rng)));
        let other = Isometry3::from_parts(Translation3::from(there - turn * there), turn) * filter.pose;
        // The tip may give way by a fraction of a millimetre, which is worth a little.
        assert!(unlikely(&other) > best - 0.02, "{} is likelier than {best}", unlikely(&other));
    }
    // Nothing seen yet: nothing to keep.
    let mut fresh = HandEyeFilter { pose: turned, ..HandEyeFilter::new(nominal, &params) };
    fresh.reopen();
    assert_eq!(fresh.pose, turned);
}
