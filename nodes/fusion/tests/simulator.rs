//! Fusion in the built-in simulator, when nothing is wrong but where the instruments stand and their joints.
#![allow(clippy::unwrap_used)]

mod cell;

use cell::{Cell, ISSUE_ERROR, NO_OFFSETS, rms};
use nalgebra::Point3;
use proctor_sim::{JointOffsets, render::Rendered};
use proctor_types::{Alignment, ArmId, Class, Scene, TimeOffset, Timing};

fn depth_error(scene: &Scene, rendered: &Rendered) -> Vec<f64> {
    let camera_from_world = scene.world_from_camera.inverse();
    let camera = proctor_kinematics::Cell::standard().unwrap().rig().left;
    scene
        .surface
        .iter()
        .filter_map(|p| {
            let seen: Point3<f64> = camera_from_world.transform(&p.position);
            let pixel = camera.project(&seen)?;
            let (x, y) = (pixel.x.round() as usize, pixel.y.round() as usize);
            let truth = f64::from(*rendered.depth.get(x, y)?);
            // Points remembered behind an instrument have no truth in this picture.
            let tissue = Class::from_id(*rendered.labels.get(x, y)?)?.is_tissue();
            (truth > 0.0 && tissue).then_some((seen.z - truth).abs())
        })
        .collect()
}

/// What ten seconds of ordinary motion at ten pictures a second gave.
struct Report {
    /// RMS tip error with the nominal hand-eye, m.
    before: f64,
    /// RMS tip error of the last two seconds, m.
    after: f64,
    /// Mean of the squared tip error over its covariance, last five seconds; 3 when the covariance is exact.
    nees: f64,
    /// Verdicts at the end.
    alignments: Vec<Alignment>,
    /// How often hand-eye versions rose in the last five seconds, both arms.
    late_versions: u64,
    /// How often the zones version rose in the last five seconds.
    late_zones: u64,
    /// Median depth error of surface points, m.
    depth: f64,
    /// The offset between pictures and joints, as known at the end.
    time: TimeOffset,
}

fn ten_seconds(cell: &mut Cell) -> Report {
    let (mut before, mut after, mut nees, mut depths) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut alignments = Vec::new();
    let mut time = TimeOffset::default();
    let (mut versions, mut zones) = (Vec::new(), Vec::new());
    cell.run(10.0, 10.0, |sim, scene, truth| {
        let t = truth.t;
        for arm in ArmId::PSMS {
            let tip = Point3::from(truth.world_from_tip[arm.index()].translation());
            let nominal = sim.cell().world_from_base(arm) * sim.world_from_base_true(arm).inverse();
            before.push((nominal.transform(&tip) - tip).norm());
            let e = truth.tip_error(scene, arm);
            if t > 8.0 {
                after.push(e.norm());
            }
            if t > 5.0 {
                let covariance = scene.instrument(arm).unwrap().covariance.fixed_view::<3, 3>(0, 0).into_owned();
                nees.push(e.dot(&covariance.cholesky().unwrap().solve(&e)));
            }
        }
        if t > 5.0 {
            versions.push(scene.hand_eyes.iter().map(|h| h.version).sum::<u64>());
            zones.push(scene.zones_version);
        }
        depths.extend(depth_error(scene, &truth.rendered));
        time = scene.time;
        alignments = scene.instruments.iter().map(|i| i.alignment).collect();
    });
    depths.sort_by(f64::total_cmp);
    let rise = |v: &[u64]| v.last().unwrap() - v.first().unwrap();
    Report {
        before: rms(&before),
        after: rms(&after),
        nees: nees.iter().sum::<f64>() / nees.len() as f64,
        alignments,
        late_versions: rise(&versions),
        late_zones: rise(&zones),
        depth: depths[depths.len() / 2],
        time,
    }
}

fn describe(what: &str, r: &Report) {
    println!(
        "{what}: tip RMS {:.2} -> {:.2} mm, NEES {:.1}, {:?}, late versions {}, late zones {}, depth median {:.2} mm, offset {:.1} +- {:.1} ms",
        r.before * 1e3,
        r.after * 1e3,
        r.nees,
        r.alignments,
        r.late_versions,
        r.late_zones,
        r.depth * 1e3,
        r.time.seconds * 1e3,
        r.time.sigma * 1e3
    );
}

#[test]
fn tip_error_falls_below_two_millimetres_within_ten_seconds_of_ordinary_motion() {
    for seed in 1..=4 {
        let r = ten_seconds(&mut Cell::new(seed, ISSUE_ERROR, NO_OFFSETS));
        describe(&format!("seed {seed}"), &r);
        assert!(r.before > 0.004, "the test must start from a real error, got {}", r.before);
        assert!(r.after < 0.002, "seed {seed}: {}", r.after);
        assert_eq!(r.alignments, [Alignment::Aligned; 2], "seed {seed}");
        assert!(r.nees < 9.0, "the covariance claims too much: {}", r.nees);
        assert!(r.depth < 0.001, "depth {}", r.depth);
        assert!(r.time.seconds.abs() < 0.015 && r.time.timing == Timing::Known, "{:?}", r.time);
        assert!(r.late_versions <= 4 && r.late_zones <= 1, "versions must come to rest");
    }
}

#[test]
fn swollen_and_shrunken_masks_and_joint_offsets_do_not_spoil_it() {
    let offsets = JointOffsets { angle: 0.005, insertion: 0.0005 };
    for (seed, swell, offsets) in [(5, 1, NO_OFFSETS), (6, -1, NO_OFFSETS), (7, 0, offsets)] {
        let mut cell = Cell::new(seed, ISSUE_ERROR, offsets);
        cell.swell = swell;
        let r = ten_seconds(&mut cell);
        describe(&format!("swell {swell} label pixels, offsets {offsets:?}"), &r);
        assert!(r.after < 0.002, "swell {swell}: {}", r.after);
    }
}

#[test]
fn at_rest_in_the_home_pose_both_instruments_align_within_two_seconds() {
    for seed in 1..=4 {
        let mut cell = Cell::new(seed, ISSUE_ERROR, NO_OFFSETS);
        cell.at_rest = true;
        let (mut last, mut errors, mut versions) = (Vec::new(), Vec::new(), Vec::new());
        cell.run(4.0, 15.0, |_, scene, truth| {
            if truth.t > 2.0 {
                last.push(scene.is_trustworthy());
                errors.extend(ArmId::PSMS.map(|arm| truth.tip_error(scene, arm).norm()));
                versions.push(scene.hand_eyes.iter().map(|h| h.version).sum::<u64>() + scene.zones_version);
            }
        });
        let trusted = last.iter().filter(|t| **t).count();
        println!(
            "seed {seed}: trusted {trusted} of {}, tip RMS {:.2} mm, versions {versions:?}",
            last.len(),
            rms(&errors) * 1e3
        );
        assert!(trusted == last.len(), "seed {seed}: trusted {trusted} of {}", last.len());
        assert!(rms(&errors) < 0.0025, "seed {seed}: {}", rms(&errors));
        assert!(versions.last().unwrap() - versions[0] <= 1, "versions must rest when nothing moves: {versions:?}");
    }
}

#[test]
fn a_first_picture_of_a_false_depth_does_not_keep_an_instrument_at_rest_from_ever_aligning() {
    // Once none of these was ever trusted: the first picture counted as much as all that came after it.
    for (seed, px) in [(1, -15), (2, -11), (3, -11), (4, -11)] {
        let mut cell = Cell::new(seed, ISSUE_ERROR, NO_OFFSETS);
        cell.at_rest = true;
        cell.wrong.shifted = Some((0.15, px));
        let (mut since, mut errors) = (None, Vec::new());
        cell.run(12.0, 10.0, |_, scene, truth| {
            since = if scene.is_trustworthy() { since.or(Some(truth.t)) } else { None };
            if truth.t > 11.0 {
                errors.extend(ArmId::PSMS.map(|arm| truth.tip_error(scene, arm).norm()));
            }
        });
        let afresh = cell.fusion.stats().looked_afresh;
        println!("seed {seed}, {px} px: trusted since {since:?}, RMS {:.2} mm, afresh {afresh}", rms(&errors) * 1e3);
        assert!(since.is_some_and(|t| t < 10.0), "seed {seed}, {px} px: trusted since {since:?}");
        assert!(rms(&errors) < 0.0025, "seed {seed}, {px} px: {}", rms(&errors));
    }
}
