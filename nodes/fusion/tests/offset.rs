//! The offset between pictures and joints, from made-up ways of a point whose offset is known.
#![allow(clippy::unwrap_used)]

use nalgebra::{Matrix2, Point2, Vector2};
use proctor_fusion::{OffsetEstimator, Reading};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

/// A way through the picture, px, over true time, s.
type Way = fn(f64) -> Vector2<f64>;

/// Hand motion: a few slow swings that never repeat.
fn hand(t: f64) -> Vector2<f64> {
    Vector2::new(
        40.0 * (TAU * 0.17 * t).sin() + 15.0 * (TAU * 0.41 * t + 1.0).sin(),
        30.0 * (TAU * 0.23 * t + 2.0).sin() + 12.0 * (TAU * 0.59 * t).sin(),
    )
}

fn rest(_: f64) -> Vector2<f64> {
    Vector2::zeros()
}

/// One swing that repeats every half second.
fn buzz(t: f64) -> Vector2<f64> {
    Vector2::new(40.0 * (TAU * 2.0 * t).sin(), 0.0)
}

/// Rest, then 20 mm straight on within a second and a half, as a first suggestion moves.
fn start(t: f64) -> Vector2<f64> {
    let s = ((t - 4.0) / 1.5).clamp(0.0, 1.0);
    Vector2::new(120.0 * s * s * (3.0 - 2.0 * s), 30.0 * s)
}

struct Case {
    way: Way,
    seconds: f64,
    /// True offset at the end, s, and how much it grows per second.
    offset: f64,
    drift: f64,
    /// Noise of a seen point, px, and how often it is somewhere else entirely.
    noise: f64,
    outliers: f64,
    seed: u64,
}

const PLAIN: Case = Case { way: hand, seconds: 10.0, offset: 0.0, drift: 0.0, noise: 1.5, outliers: 0.0, seed: 1 };

fn estimator(case: &Case) -> OffsetEstimator {
    let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
    let mut e = OffsetEstimator::new(1, 2);
    let ns = |t: f64| ((100.0 + t) * 1e9).round() as i64;
    // What a wrong hand-eye does to a picture: turned by 5 degrees, 10 % larger, 60 px off.
    let (s, c) = 0.087f64.sin_cos();
    let map = Matrix2::new(c, -s, s, c) * 1.1;
    let mut slow = [Vector2::zeros(); 2];
    for k in 0..(case.seconds * 200.0) as i64 {
        let t = k as f64 / 200.0;
        for (point, slow) in slow.iter_mut().enumerate() {
            e.joints(0, point, ns(t), Some(Point2::from((case.way)(t))));
            if k % 7 == 0 {
                // Errors of successive pictures resemble each other.
                let fresh = Vector2::new(rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0)) * 1.7;
                *slow = *slow * 0.8 + fresh * 0.6;
                let mut seen = map * (case.way)(t) + Vector2::new(60.0, -20.0) + *slow * case.noise;
                if rng.random_bool(case.outliers) {
                    seen += Vector2::new(rng.random_range(-90.0..90.0), rng.random_range(-90.0..90.0));
                }
                // The joints' stamp of this instant is `t`, the picture's is `offset` before it.
                let offset = case.offset - case.drift * (case.seconds - t);
                e.picture(0, point, ns(t - offset), Point2::from(seen));
            }
        }
    }
    e
}

fn read(case: &Case) -> Reading {
    estimator(case).read(None)
}

#[test]
fn offsets_of_both_signs_are_found_to_ten_milliseconds_within_ten_seconds_of_motion() {
    let mut worst: f64 = 0.0;
    for seed in 0..10 {
        for offset in [-0.5, -0.3, -0.062, -0.01, 0.0, 0.02, 0.15, 0.5] {
            let (found, sigma) =
                read(&Case { offset, seed, ..PLAIN }).found.unwrap_or_else(|| panic!("{offset}, seed {seed}"));
            worst = worst.max((found - offset).abs());
            assert!((found - offset).abs() < 0.010, "{offset}, seed {seed}: {found}");
            assert!(sigma < 0.012 && (found - offset).abs() < 4.0 * sigma, "{offset}, seed {seed}: {found} +- {sigma}");
        }
    }
    println!("worst error {:.1} ms", worst * 1e3);
}

#[test]
fn the_stated_uncertainty_is_neither_boast_nor_excuse() {
    let squares = (0..60).map(|seed| {
        let (found, sigma) = read(&Case { offset: 0.1, seed, noise: 3.0, ..PLAIN }).found.unwrap();
        ((found - 0.1) / sigma).powi(2)
    });
    let mean = squares.sum::<f64>() / 60.0;
    println!("mean squared error over variance {mean:.2}");
    assert!((0.05..1.5).contains(&mean), "{mean}");
}

#[test]
fn rest_and_repetition_tell_nothing_and_are_not_believed() {
    for seed in 0..20 {
        for noise in [0.3, 1.5, 4.0] {
            let still = read(&Case { way: rest, noise, seed, ..PLAIN });
            assert_eq!((still.found, still.telling), (None, false), "seed {seed}, noise {noise}");
        }
        let buzzing = read(&Case { way: buzz, offset: 0.1, seed, ..PLAIN });
        assert_eq!(buzzing.found, None, "a shift of half a second fits as well");
    }
}

#[test]
fn beyond_its_range_it_says_nothing() {
    for offset in [-0.7, 0.7, 1.5] {
        let reading = read(&Case { offset, ..PLAIN });
        assert_eq!(reading.found, None, "{offset}");
        assert!(reading.telling, "it moved enough to tell");
    }
}

#[test]
fn drift_outliers_and_noise_are_survived() {
    for seed in 0..10 {
        for (drift, outliers, noise) in [(1e-3, 0.0, 1.5), (-1e-3, 0.0, 1.5), (0.0, 0.1, 1.5), (0.0, 0.0, 4.0)] {
            let case = Case { offset: -0.12, drift, outliers, noise, seed, ..PLAIN };
            let (found, _) = read(&case).found.unwrap_or_else(|| panic!("{drift}, {outliers}, {noise}, seed {seed}"));
            // Of what drifts, the middle of the window is found.
            let middle = -0.12 - 5.0 * drift;
            assert!((found - middle).abs() < 0.012, "{drift}, {outliers}, {noise}, seed {seed}: {found}");
        }
    }
}

#[test]
fn a_first_motion_tells_before_it_would_have_to() {
    for seed in 0..10 {
        for offset in [-0.2, -0.06, 0.0, 0.1] {
            for seconds in [4.5, 5.0, 5.5, 6.0, 6.5, 7.0] {
                let reading = read(&Case { way: start, seconds, offset, seed, ..PLAIN });
                if let Some((found, sigma)) = reading.found {
                    assert!(
                        (found - offset).abs() < (4.0 * sigma).max(0.01),
                        "{offset} at {seconds}: {found} +- {sigma}"
                    );
                } else {
                    assert!(!reading.telling, "{offset} at {seconds} s, seed {seed}");
                }
            }
            assert!(read(&Case { way: start, seconds: 6.5, offset, seed, ..PLAIN }).found.is_some(), "{offset}");
        }
    }
}

#[test]
fn an_offset_that_no_longer_holds_is_noticed() {
    let e = estimator(&Case { offset: 0.15, ..PLAIN });
    assert!(e.read(Some(0.15)).held_fits && !e.read(Some(0.0)).held_fits);
}

#[test]
fn gaps_duplicates_and_backward_stamps_do_no_harm() {
    let mut e = estimator(&Case { offset: 0.1, ..PLAIN });
    let before = e.read(None);
    let old = 105_000_000_000;
    e.joints(0, 0, old, Some(Point2::new(1e6, 1e6)));
    e.picture(0, 0, old, Point2::new(1e6, 1e6));
    assert_eq!(e.read(None), before);
    e.clear();
    assert_eq!(e.read(None), Reading::default());
}
