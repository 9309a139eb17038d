//! How near the estimated tips are to the true ones under everything at once: 10 mm and 5 degrees of initial error, joint offsets, 30 % of
//! every instrument hidden, and one instrument that leaves the picture and comes back.
#![allow(clippy::unwrap_used)]

mod cell;

use cell::{Cell, rms};
use proctor_sim::{HandEyeError, JointOffsets};
use proctor_types::{Alignment, ArmId, Timing};

const ERROR: HandEyeError = HandEyeError { translation: 0.010, rotation: 0.087_27 };
const OFFSETS: JointOffsets = JointOffsets { angle: 0.01, insertion: 0.001 };
/// When errors count from, s: what is learnt takes its time.
const LEARNT: f64 = 5.0;
/// PSM1 is out of view in this time, s.
const AWAY: (f64, f64) = (10.0, 14.0);

#[derive(Default)]
struct Measured {
    /// Tip errors, m, of instruments whose tip is in the field of view, hidden or not.
    errors: Vec<f64>,
    /// Those of the instrument that came back, and its share of pictures that called it aligned.
    back: Vec<f64>,
    aligned: (usize, usize),
    /// Tip errors, m, of instruments that were called aligned.
    trusted: Vec<f64>,
    nees: Vec<f64>,
    /// Offsets in time that were believed, s; there is none.
    offsets: Vec<f64>,
}

fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

fn measure(seed: u64) -> Measured {
    let mut cell = Cell::new(seed, ERROR, OFFSETS);
    cell.occluded = 0.3;
    cell.away = Some(AWAY);
    let mut out = Measured::default();
    cell.run(20.0, 15.0, |sim, scene, truth| {
        if scene.time.timing == Timing::Known {
            out.offsets.push(scene.time.seconds);
        }
        for arm in ArmId::PSMS {
            if truth.t < LEARNT || !truth.in_view(sim, arm) {
                continue;
            }
            let e = truth.tip_error(scene, arm);
            let instrument = scene.instrument(arm).unwrap();
            out.errors.push(e.norm());
            let covariance = instrument.covariance.fixed_view::<3, 3>(0, 0).into_owned();
            out.nees.push(e.dot(&covariance.cholesky().unwrap().solve(&e)));
            if arm == ArmId::Psm1 && truth.t > AWAY.1 {
                out.back.push(e.norm());
            }
            if instrument.alignment == Alignment::Aligned {
                out.aligned.0 += 1;
                out.trusted.push(e.norm());
            }
            out.aligned.1 += 1;
        }
    });
    out
}

/// All seeds together; each is said by itself.
fn measure_all(seeds: impl IntoIterator<Item = u64>) -> Measured {
    let mut all = Measured::default();
    for seed in seeds {
        let m = measure(seed);
        describe(&format!("seed {seed}"), &m);
        all.offsets.extend(m.offsets);
        all.errors.extend(m.errors);
        all.trusted.extend(m.trusted);
        all.back.extend(m.back);
        all.nees.extend(m.nees);
        all.aligned = (all.aligned.0 + m.aligned.0, all.aligned.1 + m.aligned.1);
    }
    describe("all", &all);
    all
}

fn describe(what: &str, m: &Measured) {
    println!(
        "{what}: tip RMS {:.2}, median {:.2}, p95 {:.2} mm, after coming back p95 {:.2} mm; aligned in {} of {}, within {:.2} mm; NEES {:.1}; \
         offset RMS {:.1} ms",
        rms(&m.errors) * 1e3,
        percentile(&m.errors, 0.5) * 1e3,
        percentile(&m.errors, 0.95) * 1e3,
        percentile(&m.back, 0.95) * 1e3,
        m.aligned.0,
        m.aligned.1,
        m.trusted.iter().copied().fold(0.0, f64::max) * 1e3,
        m.nees.iter().sum::<f64>() / m.nees.len() as f64,
        rms(&m.offsets) * 1e3
    );
}

#[test]
fn tips_are_known_to_a_millimetre_mostly_under_everything_at_once() {
    let all = measure_all(1..=3);
    // The target of issue 4 is 1.0 mm at the 95th percentile, which fifteen seeds keep together; of these three the second is the hardest of all (TESTING.md).
    assert!(percentile(&all.errors, 0.5) <= 0.0005);
    assert!(percentile(&all.errors, 0.95) <= 0.0016);
    assert!(percentile(&all.back, 0.95) <= 0.001, "it must recover when the tool comes back");
    assert!(rms(&all.offsets) < 0.010, "there is no offset between pictures and joints");
    assert!(all.nees.iter().sum::<f64>() / (all.nees.len() as f64) < 9.0, "the covariance claims too much");
}

/// Where what lies before the instruments contradicts a right estimate again and again, and one is thrown away at the wrong moment: 6.4 mm on
/// seed 6 when a single bad picture could do that, the depth then found was false, and readings of the offset were applied that might as well be nothing.
#[test]
fn tips_stay_known_where_what_hides_them_contradicts_them() {
    let all = measure_all([4, 6, 9]);
    assert!(percentile(&all.errors, 0.95) <= 0.0008);
    assert!(
        percentile(&all.trusted, 0.95) <= 0.0008 && percentile(&all.trusted, 1.0) <= 0.0015,
        "what is called aligned is"
    );
}

/// The table in TESTING.md: `cargo test --release --workspace --test accuracy -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, two minutes"]
fn tips_of_fifteen_seeds() {
    measure_all(1..=15);
}
