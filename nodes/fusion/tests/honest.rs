//! Fusion finds out what is wrong and says so: stamps that are off, a wrong instrument, swapped cameras, crossed arms, frozen joints,
//! a bad pose, stereo pictures that were false at first. And it does not cry wolf.
#![allow(clippy::unwrap_used)]

mod cell;

use cell::{Cell, ISSUE_ERROR, NO_OFFSETS};
use proctor_types::{Alignment, ArmId, Finding, Timing};

fn cell(seed: u64) -> Cell {
    Cell::new(seed, ISSUE_ERROR, NO_OFFSETS)
}

/// Runs and returns the findings of both arms over time: seconds, finding, alignment.
fn watch(cell: &mut Cell, seconds: f64) -> [Vec<(f64, Finding, Alignment)>; 2] {
    let mut out = [Vec::new(), Vec::new()];
    cell.run(seconds, 15.0, |_, scene, truth| {
        for arm in ArmId::PSMS {
            let i = scene.instrument(arm).unwrap();
            assert!(i.finding == Finding::None || i.alignment != Alignment::Aligned, "{}: {:?}", truth.t, i.finding);
            out[arm.index()].push((truth.t, i.finding, i.alignment));
        }
    });
    out
}

/// When a finding was first said, s.
fn said(watched: &[(f64, Finding, Alignment)], finding: Finding) -> Option<f64> {
    watched.iter().find(|(_, f, _)| *f == finding).map(|(t, ..)| *t)
}

#[test]
fn late_pictures_and_late_joints_are_found_to_ten_milliseconds_and_allowed_for() {
    for (seed, video, joints) in [(1, 62, 0), (2, 300, 0), (3, 480, 0), (1, 0, 150), (2, 0, 480)] {
        let mut cell = cell(seed);
        (cell.wrong.video_lag_ms, cell.wrong.joint_lag_ms) = (video, joints);
        let expected = (f64::from(joints) - f64::from(video)) * 1e-3;
        let (mut last, mut known_after, mut errors) = (None, None, Vec::new());
        cell.run(12.0, 15.0, |_, scene, truth| {
            let time = scene.time;
            if time.timing == Timing::Known {
                known_after = known_after.or(Some(truth.t));
            }
            if truth.t > 9.0 {
                errors.extend(ArmId::PSMS.map(|arm| truth.tip_error(scene, arm).norm()));
            }
            let alignments: Vec<_> = scene.instruments.iter().map(|i| (i.alignment, i.finding)).collect();
            last = Some((time, alignments));
        });
        let (time, alignments) = last.unwrap();
        println!(
            "video {video} ms, joints {joints} ms late: {:.1} +- {:.1} ms, known after {known_after:?} s, tip RMS {:.2} mm, {alignments:?}",
            time.seconds * 1e3,
            time.sigma * 1e3,
            cell::rms(&errors) * 1e3
        );
        assert!((time.seconds - expected).abs() < 0.010, "{expected}: {time:?}");
        assert_eq!(time.timing, Timing::Known);
        assert!(known_after.unwrap() < 10.0);
        // Joints half a second late are found late, after 6 s, and what was learnt with the wrong ones takes its time to be unlearnt.
        assert!(cell::rms(&errors) < if joints > 400 { 0.003 } else { 0.002 }, "{}", cell::rms(&errors));
        assert!(alignments.iter().all(|(a, _)| *a == Alignment::Aligned), "{alignments:?}");
    }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    for seed in 11..=16 {
        for (arm, watched) in ArmId::PSMS.into_iter().zip(watch(&mut cell(seed), 8.0)) {
            let found: Vec<_> = watched.iter().filter(|(_, f, _)| *f != Finding::None).collect();
            assert!(found.is_empty(), "seed {seed}, {arm}: {:?}", found[0]);
        }
    }
}

#[test]
fn a_longer_instrument_than_configured_is_named_and_so_is_a_shorter_one() {
    let truth = ["LARGE_NEEDLE_DRIVER_420006", "PROGRASP_FORCEPS_400093"];
    for seed in 1..=3 {
        let mut longer = Cell::with(seed, ISSUE_ERROR, NO_OFFSETS, truth, cell::INSTRUMENTS);
        let watched = watch(&mut longer, 6.0);
        println!("Si configured as Classic, seed {seed}: {:?}", said(&watched[0], Finding::WrongGeometry));
        assert!(said(&watched[0], Finding::WrongGeometry).is_some(), "seed {seed}: {:?}", watched[0].last());
        assert!(watched[0].iter().all(|(_, _, a)| *a != Alignment::Aligned));
        assert_eq!(said(&watched[1], Finding::WrongGeometry), None);
        let mut shorter = Cell::with(seed, ISSUE_ERROR, NO_OFFSETS, cell::INSTRUMENTS, truth);
        let watched = watch(&mut shorter, 6.0);
        println!("Classic configured as Si, seed {seed}: {:?}", said(&watched[0], Finding::WrongGeometry));
        assert!(said(&watched[0], Finding::WrongGeometry).is_some(), "seed {seed}: {:?}", watched[0].last());
        assert!(watched[0].iter().all(|(_, _, a)| *a != Alignment::Aligned));
    }
}

#[test]
fn swapped_cameras_are_named_for_both_arms() {
    for seed in 1..=3 {
        let mut cell = cell(seed);
        cell.wrong.swapped_cameras = true;
        for watched in watch(&mut cell, 3.0) {
            assert!(
                said(&watched, Finding::SwappedCameras).is_some_and(|t| t < 2.0),
                "seed {seed}: {:?}",
                watched.last()
            );
            assert!(watched.iter().all(|(_, _, a)| *a != Alignment::Aligned));
        }
    }
}

#[test]
fn crossed_arms_are_named_at_one_arm_at_least_and_trusted_at_none() {
    for seed in 1..=3 {
        let mut cell = cell(seed);
        cell.wrong.crossed = true;
        let mut named = 0;
        for watched in watch(&mut cell, 8.0) {
            let (_, finding, alignment) = *watched.last().unwrap();
            let aligned = watched.iter().filter(|(_, _, a)| *a == Alignment::Aligned).count();
            println!(
                "crossed, seed {seed}: named at {:?}, in the end {finding:?}, {alignment:?}; aligned in {aligned} of {}",
                said(&watched, Finding::WrongArm),
                watched.len()
            );
            assert_ne!(alignment, Alignment::Aligned);
            named += usize::from(said(&watched, Finding::WrongArm).is_some_and(|t| t < 5.0));
        }
        assert!(named > 0, "seed {seed}: named nowhere");
    }
}

#[test]
fn joints_that_freeze_while_the_instrument_moves_are_named() {
    for seed in 1..=3 {
        let mut cell = cell(seed);
        cell.wrong.frozen = Some((ArmId::Psm2, 4.0));
        let watched = watch(&mut cell, 12.0);
        println!("frozen at 4 s, seed {seed}: {:?}", said(&watched[1], Finding::FrozenJoints));
        assert!(
            said(&watched[1], Finding::FrozenJoints).is_some_and(|t| t > 4.0),
            "seed {seed}: {:?}",
            watched[1].last()
        );
        assert_eq!(said(&watched[0], Finding::FrozenJoints), None);
    }
}

#[test]
fn one_bad_pose_is_left_out_counted_and_said_for_half_a_second() {
    let mut cell = cell(1);
    cell.wrong.bad_pose = Some((ArmId::Psm1, 5000));
    let watched = watch(&mut cell, 7.0);
    let times: Vec<f64> = watched[0].iter().filter(|(_, f, _)| *f == Finding::BadPose).map(|(t, ..)| *t).collect();
    assert!(times.first().is_some_and(|t| (5.0..5.1).contains(t)), "{times:?}");
    assert!(times.last().is_some_and(|t| (5.3..5.6).contains(t)), "{times:?}");
    assert_eq!(watched[0].last().unwrap().2, Alignment::Aligned, "and it recovers");
    assert_eq!(cell.fusion.stats().bad_poses, 1);
    assert_eq!(said(&watched[1], Finding::BadPose), None);
}

/// Arms at rest whose stereo pictures are false, by so many px, until this second: when each arm was seen, whether it was trusted, its tip's
/// error and how large fusion says that it is, m.
fn false_at_first(seed: u64, until: f64, px: i32, seconds: f64) -> [Vec<(f64, bool, f64, f64)>; 2] {
    let mut cell = cell(seed);
    cell.at_rest = true;
    cell.wrong.shifted = Some((until, px));
    let mut out = [Vec::new(), Vec::new()];
    cell.run(seconds, 30.0, |_, scene, truth| {
        for arm in ArmId::PSMS {
            let i = scene.instrument(arm).unwrap();
            let stated = i.covariance.fixed_view::<3, 3>(0, 0).symmetric_eigenvalues().max().sqrt();
            let (trusted, error) = (i.alignment == Alignment::Aligned, truth.tip_error(scene, arm).norm());
            out[arm.index()].push((truth.t, trusted, error, stated));
        }
    });
    out
}

#[test]
fn first_pictures_that_are_false_are_outvoted_by_the_next_ones() {
    for (seed, px) in [(1, -9), (1, 9), (2, -9), (3, 9)] {
        for (arm, watched) in ArmId::PSMS.into_iter().zip(false_at_first(seed, 0.15, px, 4.0)) {
            for (t, _, error, stated) in watched.iter().filter(|(t, trusted, ..)| *trusted && *t > 1.0) {
                assert!(
                    *error < 3.0 * stated + 0.001,
                    "seed {seed}, {px} px, {arm} at {t}: {error} m, stated {stated}"
                );
            }
            let (_, trusted, error, _) = watched.last().unwrap();
            assert!(*trusted && *error < 0.003, "seed {seed}, {px} px, {arm}: {trusted}, {error} m");
        }
    }
}

#[test]
fn a_depth_that_nothing_bears_out_is_given_up_after_three_seconds_and_found_anew() {
    for (seed, px) in [(1, 9), (3, 9), (2, -9)] {
        let watched = false_at_first(seed, 0.5, px, 8.0);
        let wrong = |from: f64, to: f64| {
            let all = watched.iter().flatten();
            all.filter(|(t, trusted, error, _)| (from..to).contains(t) && *trusted && *error > 0.005).count()
        };
        // As bad as it gets: false for long enough to be believed.
        assert!(wrong(0.0, 3.5) > 10, "seed {seed}: {}", wrong(0.0, 3.5));
        assert_eq!(wrong(4.0, 8.0), 0, "seed {seed}");
        for (arm, watched) in ArmId::PSMS.into_iter().zip(&watched) {
            let (_, trusted, error, _) = watched.last().unwrap();
            assert!(*trusted && *error < 0.003, "seed {seed}, {arm}: {trusted}, {error} m");
        }
    }
}
