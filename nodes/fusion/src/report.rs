//! What the node says of itself on `/diagnostics`: how pictures and joints keep time with each other, what is wrong with an
//! instrument, and what was survived.

use crate::{FusionCounts, FusionStats};
use proctor_types::{
    Alignment, Diagnosis, Diagnostics, Finding, Health, InstrumentEstimate, Scene, Stamp, TimeOffset, Timing,
};
use std::time::Duration;

/// Time between two reports.
pub const EVERY: Duration = Duration::from_secs(1);

/// The report on the newest scene, and on everything counted since the start.
pub fn report(now: Stamp, scene: &Scene, stats: &FusionStats, counts: &FusionCounts) -> Diagnostics {
    let mut all = vec![of_time(&scene.time, stats)];
    all.extend(scene.instruments.iter().map(of_instrument));
    all.push(of_inputs(stats, counts));
    Diagnostics { stamp: now, all }
}

fn of_time(time: &TimeOffset, stats: &FusionStats) -> Diagnosis {
    let (health, message) = match time.timing {
        Timing::Unknown => (Health::Error, Finding::TimeUnknown.words()),
        Timing::Untested => (Health::Ok, "nothing has moved enough to compare times"),
        Timing::Known => (Health::Ok, "known"),
    };
    let values = vec![
        ("offset (ms)".to_owned(), format!("{:.1}", time.seconds * 1e3)),
        ("sigma (ms)".to_owned(), format!("{:.1}", time.sigma * 1e3)),
        ("jumps".to_owned(), stats.time_jumps.to_string()),
    ];
    Diagnosis { health, name: "fusion: time".to_owned(), message: message.to_owned(), values }
}

fn of_instrument(i: &InstrumentEstimate) -> Diagnosis {
    let (health, message) = match (i.finding, i.alignment) {
        (Finding::None, Alignment::Aligned) => (Health::Ok, "aligned"),
        (Finding::None, Alignment::Inconsistent) => (Health::Error, "picture and kinematics disagree"),
        (Finding::None, _) => (Health::Warn, "not aligned"),
        (finding, _) => (Health::Error, finding.words()),
    };
    let sigma = (0..3).map(|k| i.covariance[(k, k)]).fold(0.0, f64::max).sqrt();
    let values = vec![
        ("silhouette distance (px)".to_owned(), format!("{:.1}", i.residual_px)),
        ("tip sigma (mm)".to_owned(), format!("{:.2}", sigma * 1e3)),
    ];
    Diagnosis { health, name: format!("fusion: {}", i.arm), message: message.to_owned(), values }
}

fn of_inputs(stats: &FusionStats, counts: &FusionCounts) -> Diagnosis {
    let refused: u64 = stats.joints_refused.iter().sum();
    let figures: [(&str, u64); 12] = [
        ("scenes", stats.scenes),
        ("pictures repeated", stats.duplicate_frames),
        ("pictures out of order", stats.backward_frames),
        ("joints repeated", stats.duplicate_states),
        ("joints out of order", stats.backward_states),
        ("joints that cannot be", stats.malformed_states + stats.bad_poses),
        ("joints missing at a picture", refused),
        ("clock set back", stats.clock_resets),
        ("segmentations without picture", counts.unpaired),
        ("messages refused", counts.refused),
        ("pictures unusable", stats.malformed_pictures),
        ("instruments looked at afresh", stats.looked_afresh),
    ];
    let values = figures.map(|(name, n)| (name.to_owned(), n.to_string())).to_vec();
    Diagnosis {
        health: Health::Ok,
        name: "fusion: inputs".to_owned(),
        message: "counted since the start".to_owned(),
        values,
    }
}
