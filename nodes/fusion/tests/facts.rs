//! What fusion does when something is late, silent, wrong or repeated.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_fusion::{Fusion, FusionInput, FusionParams};
use proctor_types::{Alignment, ArmId, CameraModel, Class, Image, QualityVerdict, Scene, StereoRig, ToolKeypoint};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;
use support::{Setup, World, fusion, stamp};

fn world(seed: u64) -> World {
    World::new(Setup { label_noise: 0.5, ..Setup::new(seed) })
}

/// Every number of a scene is finite and every list within its bound.
fn check(scene: &Scene) {
    assert_eq!(scene.instruments.len(), 2);
    assert_eq!(scene.hand_eyes.len(), 2);
    assert!(scene.world_from_camera.is_finite());
    for i in &scene.instruments {
        assert!(i.world_from_tip.is_finite() && i.residual_px.is_finite() && i.jaw.is_finite());
        assert!(i.covariance.iter().all(|v| v.is_finite()));
        assert!((0..6).all(|k| i.covariance[(k, k)] > 0.0));
        assert!(i.alignment != Alignment::Aligned || i.residual_px > 0.0, "aligned means measured");
    }
    for h in &scene.hand_eyes {
        assert!(h.world_from_base.is_finite() && h.covariance.iter().all(|v| v.is_finite()));
        assert!(nalgebra::Cholesky::new(h.covariance).is_some(), "covariance must be positive definite");
    }
    assert!(scene.surface.len() <= Scene::MAX_SURFACE_POINTS);
    for p in &scene.surface {
        assert!(p.position.iter().all(|v| v.is_finite()) && p.sigma.is_finite() && p.sigma > 0.0);
        assert!(p.class.is_tissue());
    }
    assert!(scene.clearances.iter().all(|c| c.distance.is_finite() && c.sigma.is_finite() && c.sigma > 0.0));
    if let Some((at, normal)) = scene.grasp_target {
        assert!(at.iter().all(|v| v.is_finite()) && (normal.norm() - 1.0).abs() < 1e-6);
    }
}

/// A world and a fusion that has settled on it, and the time.
fn settled(seed: u64, frames: usize) -> (World, Fusion, f64) {
    let (mut world, mut fusion) = (world(seed), fusion());
    let mut last = 0.0;
    world.run(&mut fusion, (0.0, frames), |t, scene, _| {
        check(scene);
        last = t;
    });
    (world, fusion, last)
}

fn alignments(scene: &Scene) -> [Alignment; 2] {
    ArmId::PSMS.map(|a| scene.instrument(a).unwrap().alignment)
}

#[test]
fn joints_that_stop_are_extrapolated_for_20_ms_and_then_the_instrument_is_unknown() {
    let (mut world, mut fusion, t) = settled(1, 15);
    // The last joint sample lies 10 to 12 ms after the last picture: 10 ms more is within 20 ms, 60 ms is not.
    let (mut input, _) = world.picture(t, &ArmId::PSMS);
    let mut at = |later: f64| {
        input.frame.stamp = stamp(t + later);
        input.segmentation.stamp = input.frame.stamp;
        let scene = fusion.step(input.frame.stamp, &input);
        check(&scene);
        (scene, *fusion.stats())
    };
    let (scene, stats) = at(0.020);
    assert_eq!((stats.joints_extrapolated, stats.joints_refused), ([1; 3], [0; 3]));
    assert_ne!(alignments(&scene), [Alignment::Unknown; 2]);
    let (scene, stats) = at(0.060);
    assert_eq!((stats.joints_extrapolated, stats.joints_refused), ([1; 3], [1; 3]));
    assert_eq!(alignments(&scene), [Alignment::Unknown; 2]);
    assert!(!scene.is_trustworthy());
    let sigma = scene.instruments[0].covariance[(0, 0)].sqrt();
    assert!(sigma > 0.003, "50 ms at 0.1 m/s must show in the covariance, got {sigma}");
}

#[test]
fn before_anything_is_known_everything_is_unknown() {
    let mut world = world(2);
    let (input, _) = world.picture(0.1, &ArmId::PSMS);
    let scene = fusion().step(stamp(0.1), &input);
    check(&scene);
    assert_eq!(alignments(&scene), [Alignment::Unknown; 2]);
    assert!(scene.surface.is_empty() && scene.clearances.is_empty() && scene.grasp_target.is_none());
    assert!(!scene.is_trustworthy());
}

#[test]
fn duplicate_and_backward_pictures_are_counted_and_teach_nothing() {
    let (mut world, mut fusion, t) = settled(3, 12);
    let (input, _) = world.picture(t, &ArmId::PSMS);
    let before = fusion.step(stamp(t), &input).hand_eyes[0];
    assert_eq!(fusion.stats().duplicate_frames, 1);
    let (old, _) = world.picture(t - 0.3, &ArmId::PSMS);
    let scene = fusion.step(stamp(t), &old);
    check(&scene);
    assert_eq!(fusion.stats().backward_frames, 1);
    assert_eq!(scene.hand_eyes[0], before);
}

#[test]
fn a_clock_set_back_is_survived() {
    let (mut world, mut fusion, _) = settled(4, 12);
    let first = world.setup.clone();
    // The same world, started again 100 s later, then back at the beginning.
    let mut again = World::new(first);
    again.run(&mut fusion, (0.0, 12), |_, scene, _| check(scene));
    assert!(fusion.stats().clock_resets >= 1);
    let (input, _) = world.picture(1.31, &ArmId::PSMS);
    again.feed(&mut fusion, 1.4);
    assert_eq!(alignments(&fusion.step(stamp(1.31), &input)), [Alignment::Aligned; 2]);
}

#[test]
fn a_segmentation_of_another_picture_is_no_evidence() {
    let (mut world, mut fusion, t) = settled(5, 12);
    world.feed(&mut fusion, t + 0.2);
    let (mut input, _) = world.picture(t + 0.1, &ArmId::PSMS);
    input.segmentation.stamp = stamp(t);
    let before = *fusion.hand_eye_filter(ArmId::Psm1).unwrap().pose();
    check(&fusion.step(stamp(t + 0.1), &input));
    assert_eq!(fusion.stats().mismatched_segmentations, 1);
    assert_eq!(*fusion.hand_eye_filter(ArmId::Psm1).unwrap().pose(), before);
}

#[test]
fn an_unusable_picture_leaves_kinematics_only_with_growing_covariance() {
    let (mut world, mut fusion, t) = settled(6, 20);
    let mut sigmas = Vec::new();
    let mut last = None;
    for k in 1..=10 {
        let t = t + 0.1 * f64::from(k);
        world.feed(&mut fusion, t + 0.01);
        let (mut input, _) = world.picture(t, &ArmId::PSMS);
        input.segmentation.quality.verdict = QualityVerdict::Unusable;
        let scene = fusion.step(stamp(t), &input);
        check(&scene);
        sigmas.push(scene.hand_eyes[0].covariance.trace());
        last = Some(scene);
    }
    assert!(sigmas.windows(2).all(|w| w[1] > w[0]), "{sigmas:?}");
    let last = last.unwrap();
    assert_eq!(alignments(&last), [Alignment::KinematicOnly; 2]);
    assert_eq!(last.instruments[0].residual_px, 0.0);
    assert!(!last.is_trustworthy());
}

#[test]
fn an_instrument_missing_where_it_should_be_is_inconsistent() {
    let (mut world, mut fusion, t) = settled(7, 20);
    let mut seen = Vec::new();
    for k in 1..=15 {
        let t = t + 0.1 * f64::from(k);
        world.feed(&mut fusion, t + 0.01);
        let (input, _) = world.picture(t, &[ArmId::Psm1]);
        let scene = fusion.step(stamp(t), &input);
        check(&scene);
        seen.push(alignments(&scene));
    }
    let last = seen.last().unwrap();
    assert_eq!(last[1], Alignment::Inconsistent, "{seen:?}");
    assert_ne!(last[0], Alignment::Inconsistent, "{seen:?}");
}

#[test]
fn frozen_kinematics_of_a_moving_instrument_are_inconsistent() {
    let (mut world, mut fusion, t) = settled(8, 25);
    let frozen = ArmId::ALL.map(|arm| world.state(arm, t));
    // The pictures go on: half a second later the joints differ by many millimetres.
    let mut verdicts = Vec::new();
    for k in 1..=30 {
        let t = t + 0.1 * f64::from(k);
        for state in frozen {
            fusion.on_arm_state(proctor_types::ArmState { stamp: stamp(t), ..state });
        }
        let (input, _) = world.picture(t, &ArmId::PSMS);
        let scene = fusion.step(stamp(t), &input);
        check(&scene);
        verdicts.push(alignments(&scene));
    }
    for arm in 0..2 {
        let said = verdicts.iter().any(|v| v[arm] == Alignment::Inconsistent);
        assert!(said, "arm {arm}: {:?}", verdicts.iter().map(|v| v[arm]).collect::<Vec<_>>());
    }
}

#[test]
fn garbage_never_panics_and_never_makes_an_aligned_scene_of_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(99);
    let (mut world, mut fusion, t) = settled(9, 5);
    let (template, _) = world.picture(t + 0.1, &ArmId::PSMS);
    for k in 0..60u32 {
        let t = t + 0.1 * f64::from(k + 1);
        world.feed(&mut fusion, t + 0.01);
        let input = spoiled(&template, k, t, &mut rng);
        check(&fusion.step(stamp(t), &input));
    }
    let stats = fusion.stats();
    assert!(stats.malformed_pictures > 0 && stats.unknown_label_pixels > 0, "{stats:?}");
}

/// The `k`-th way to spoil an input.
fn spoiled(template: &FusionInput, k: u32, t: f64, rng: &mut ChaCha8Rng) -> FusionInput {
    let mut input = template.clone();
    input.frame.stamp = stamp(t);
    input.segmentation.stamp = input.frame.stamp;
    let mut noise = |w: usize, h: usize, max: u8| {
        Image::new(w, h, (0..w * h).map(|_| rng.random_range(0..=max)).collect()).unwrap()
    };
    match k % 12 {
        0 => input.segmentation.labels = noise(320, 240, 255),
        1 => input.segmentation.labels = noise(320, 240, 9),
        2 => input.segmentation.labels = noise(17, 3, 9),
        3 => input.segmentation.labels = noise(640, 480, 9),
        4 => input.segmentation.labels = Image::new(320, 240, vec![Class::InstrumentShaft.id(); 320 * 240]).unwrap(),
        5 => {
            input.segmentation.labels = Image::new(0, 0, Vec::new()).unwrap();
            input.segmentation.uncertainty = Image::new(0, 0, Vec::new()).unwrap();
        }
        6 => {
            input.segmentation.keypoints = [(f64::NAN, 0.0), (f64::INFINITY, -5.0), (1e300, 1e300), (400.0, 200.0)]
                .map(|(u, v)| ToolKeypoint { part: Class::InstrumentJaws, u, v, confidence: f32::NAN, instrument: 9 })
                .to_vec();
            input.segmentation.keypoints[3].confidence = 1.0;
        }
        7 => {
            let broken = CameraModel { fx: f64::NAN, ..input.frame.rig.left };
            input.frame.rig = StereoRig { left: broken, baseline: -1.0 };
        }
        8 => input.frame.rig.baseline = 1e9,
        9 => input.frame.rig.left.fx = 1e-9,
        10 => {
            input.frame.left = Image::new(640, 480, vec![[0; 3]; 640 * 480]).unwrap();
            input.frame.right = input.frame.left.clone();
        }
        _ => input.frame.right = Image::new(8, 8, vec![[9; 3]; 64]).unwrap(),
    }
    input
}

#[test]
fn the_same_calls_give_the_same_scenes_bit_for_bit() {
    let record = || {
        let (mut world, mut fusion) = (world(10), fusion());
        let mut out = String::new();
        // Debug prints every bit of a float that matters: the shortest text that reads back the same.
        world.run(&mut fusion, (0.0, 10), |_, scene, _| out.push_str(&format!("{scene:?}\n")));
        out
    };
    assert_eq!(record(), record());
}

#[test]
fn stereo_points_lie_on_the_surface_and_their_sigma_is_honest() {
    let (mut world, mut fusion, t) = settled(11, 6);
    let (input, depth) = world.picture(t + 0.1, &ArmId::PSMS);
    world.feed(&mut fusion, t + 0.2);
    let scene = fusion.step(stamp(t + 0.1), &input);
    let camera_from_world = scene.world_from_camera.inverse();
    let (mut errors, mut within) = (Vec::new(), 0);
    for p in &scene.surface {
        let seen = camera_from_world.transform(&p.position);
        let pixel = world.rig.left.project(&seen).unwrap();
        let (x, y) = (pixel.x.round() as usize, pixel.y.round() as usize);
        let label = *input.segmentation.labels.get(x / 2, y / 2).unwrap();
        if Class::from_id(label).unwrap().is_tissue() {
            let error = (seen.z - depth[y * 640 + x]).abs();
            within += usize::from(error < 3.0 * p.sigma);
            errors.push(error);
        }
    }
    errors.sort_by(f64::total_cmp);
    let median = errors[errors.len() / 2];
    let share = within as f64 / errors.len() as f64;
    println!("{} points, median {:.2} mm, {:.0} % within 3 sigma", errors.len(), median * 1e3, share * 100.0);
    assert!(errors.len() > 300);
    assert!(median < 0.001, "{median}");
    assert!(share > 0.85, "{share}");
    // Classes are those of the truth under them.
    assert!(scene.surface.iter().any(|p| p.class == Class::Gallbladder));
}

#[test]
fn zones_version_stays_while_tissue_rests_and_rises_when_it_moves() {
    let (mut world, mut fusion, t) = settled(12, 25);
    let rest = {
        world.feed(&mut fusion, t + 0.2);
        let (input, _) = world.picture(t + 0.1, &ArmId::PSMS);
        fusion.step(stamp(t + 0.1), &input).zones_version
    };
    world.tissue.height += 0.010;
    let mut moved = rest;
    for k in 2..=16 {
        let t = t + 0.1 * f64::from(k);
        world.feed(&mut fusion, t + 0.05);
        let (input, _) = world.picture(t, &ArmId::PSMS);
        moved = fusion.step(stamp(t), &input).zones_version;
    }
    assert!(rest <= 2, "one version for the first sight, at most one more for noise; got {rest}");
    assert!(moved > rest, "{moved}");
}

#[test]
fn parameters_out_of_range_and_unknown_keys_are_refused() {
    assert!(Fusion::new(FusionParams { gate: f64::NAN, ..FusionParams::default() }).is_err());
    let unknown = FusionParams { instruments: ["SPOON".into(), "SPOON".into()], ..FusionParams::default() };
    assert!(Fusion::new(unknown).unwrap_err().to_string().contains("SPOON"));
    assert!(serde_json::from_str::<FusionParams>(r#"{"gat": 3.0}"#).is_err());
    let read: FusionParams = serde_json::from_str(r#"{"gate": 3.0}"#).unwrap();
    assert_eq!(read, FusionParams { gate: 3.0, ..FusionParams::default() });
}

#[test]
fn adjusted_parameters_hold_from_the_next_picture_on_and_refused_ones_change_nothing() {
    let (mut world, mut fusion, t) = settled(14, 6);
    let mut next = 0.0;
    let mut points = |fusion: &mut Fusion| {
        next += 0.1;
        world.feed(fusion, t + next + 0.1);
        let (input, _) = world.picture(t + next, &ArmId::PSMS);
        fusion.step(stamp(t + next), &input).surface.len()
    };
    assert!(points(&mut fusion) > 300);
    let of = |max_surface_points| FusionParams { max_surface_points, ..FusionParams::default() };
    fusion.adjust(of(7)).unwrap();
    assert_eq!(points(&mut fusion), 7);
    fusion.adjust(FusionParams { gate: 11.0, ..of(9) }).unwrap_err();
    assert_eq!(points(&mut fusion), 7);
    // The matcher is made anew for depths that the tissue does not have: next to nothing is seen, and what was seen fades.
    fusion.adjust(FusionParams { depth_min_m: 0.17, surface_age_s: 0.05, occluded_age_s: 0.05, ..of(300) }).unwrap();
    assert!(points(&mut fusion) < 30);
}

#[test]
fn out_of_time_surface_fades() {
    let (mut world, mut fusion, t) = settled(13, 8);
    world.feed(&mut fusion, t + 8.0);
    let (mut input, _) = world.picture(t + 7.9, &ArmId::PSMS);
    input.segmentation.quality.verdict = QualityVerdict::Unusable;
    let scene = fusion.step(stamp(t + 7.9).plus(Duration::from_millis(30)), &input);
    assert!(scene.surface.is_empty(), "{} points from 8 s ago", scene.surface.len());
}
