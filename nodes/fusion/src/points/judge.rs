//! What is wrong with a recording, in the terms of [`Finding`].

use super::{Fit, OffsetFit, Recording, Way};
use crate::findings::WRONG_LENGTH;
use proctor_types::Finding;

/// Movement in the picture that counts as such, px (root mean square of a picture 640 px wide).
const MOVES: f64 = 6.0;
/// Share of the seen movement that poses must leave unexplained to be wrong.
const UNEXPLAINED: f64 = 0.6;
/// How much better the other arm's poses must explain what is seen.
const CLEARLY: f64 = 0.5;
/// Standard deviations of the length at which it is significant.
const SIGNIFICANT: f64 = 4.0;
/// A length that improves the fit by less than this share explains nothing.
const BETTER: f64 = 0.9;
/// Share of stereo points whose right one must lie farther right.
const SWAPPED: f64 = 0.8;

/// A span in which the arm's poses stand still while the instrument moves in the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frozen {
    /// First and last stamp, s.
    pub span: (f64, f64),
}

/// What is wrong.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// Gravest first, each once.
    pub findings: Vec<Finding>,
    /// Spans with frozen poses.
    pub frozen: Vec<Frozen>,
}

impl Judgement {
    /// Whether the poses stand still at `t` while the instrument moves.
    pub fn is_frozen(&self, t: f64) -> bool {
        self.frozen.iter().any(|f| (f.span.0..=f.span.1).contains(&t))
    }
}

/// Judges one arm's recording; `crossed` is what the other arm's poses would leave over, px.
pub fn judge(recording: &Recording, fit: &Fit, crossed: Option<f64>) -> Judgement {
    let moves = MOVES * recording.eyes.camera.width as f64 / 640.0;
    let moving = fit.seen_px > moves;
    let frozen = frozen(recording, fit, moves);
    let unexplained = moving && fit.rms_px > UNEXPLAINED * fit.seen_px || used_share(fit) < 0.5;
    let (longer, sigma) = fit.longer;
    let length =
        longer.abs() > WRONG_LENGTH && longer.abs() > SIGNIFICANT * sigma && fit.rms_longer_px < BETTER * fit.rms_px;
    let said = [
        (Finding::SwappedCameras, is_swapped(recording)),
        (Finding::FrozenJoints, !frozen.is_empty()),
        (Finding::WrongArm, moving && crossed.is_some_and(|other| other < CLEARLY * fit.rms_px)),
        (Finding::WrongGeometry, length),
        (Finding::NotFollowing, unexplained && frozen.is_empty()),
        (Finding::BadPose, !recording.way.jumps().is_empty()),
        (Finding::TimeUnknown, moving && fit.offset == OffsetFit::Untold),
    ];
    Judgement { findings: said.into_iter().filter(|(_, said)| *said).map(|(f, _)| f).collect(), frozen }
}

/// Share of the points with a pose that counted.
fn used_share(fit: &Fit) -> f64 {
    let posed = fit.residuals.iter().flatten().count().max(1);
    fit.used.iter().filter(|u| **u).count() as f64 / posed as f64
}

/// Whether what comes as the left picture is the right one: seen from the left everything in the right picture lies farther left.
pub fn is_swapped(recording: &Recording) -> bool {
    let both: Vec<f64> = recording.seen.iter().filter_map(|s| Some(s.left.x - s.right?.x)).collect();
    let wrong = both.iter().filter(|d| **d < 0.0).count();
    both.len() >= 10 && wrong as f64 > SWAPPED * both.len() as f64
}

/// Spans of a second and more in which the poses rest and the point moves.
fn frozen(recording: &Recording, fit: &Fit, moves: f64) -> Vec<Frozen> {
    let mut out: Vec<Frozen> = Vec::new();
    let (Some(first), Some(last)) = (recording.seen.first(), recording.seen.last()) else { return out };
    if !recording.way.is_continuous() {
        return out;
    }
    let offset = fit.offset.seconds();
    let mut from = first.t;
    while from + Way::STILL <= last.t {
        let (start, end) = (from, from + Way::STILL);
        from += 0.5 * Way::STILL;
        let low = recording.seen.partition_point(|s| s.t < start);
        let high = recording.seen.partition_point(|s| s.t <= end);
        let within = &recording.seen[low..high];
        let covered = recording.way.at(start + offset).is_some() && recording.way.at(end + offset).is_some();
        let still = covered && recording.way.spread(start + offset, end + offset) < Way::RESTS;
        if within.len() < 5 || !still || super::fit::spread(within) < moves {
            continue;
        }
        match out.last_mut().filter(|f| start <= f.span.1) {
            Some(before) => before.span.1 = end,
            None => out.push(Frozen { span: (start, end) }),
        }
    }
    out
}
