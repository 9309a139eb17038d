//! By how much the stamps of pictures differ from those of the joints: the one shift in time at which the way of the instruments
//! through the picture follows from their joints.
//!
//! Points are compared per channel (a point of an instrument). A hand-eye error distorts the way of a point, but does not shift it
//! in time, so every channel may fit its own affine map near the identity: with `d = seen - expected`, the sum of squares left over at
//! one shift is `Cdd - tr(Cdk (Ckk + r)^-1 Ckd)`, C the sums of products about their means and r the stiffness of the map. The shift with the least
//! left over is the offset; how fast it rises around it, against the noise left over at the best, is its uncertainty.
//!
//! Says nothing rather than guess: where hardly anything moved, where another shift fits about as well (periodic motion),
//! where no shift explains what is seen, and where the best lies at the end of the search.

use crate::track::Track;
use nalgebra::{Matrix2, Point2, Vector2};
use std::collections::VecDeque;

const MS: i64 = 1_000_000;
/// Largest offset that is looked for, ns; offsets beyond [`OffsetEstimator::MAX_SECONDS`] are not believed.
const RANGE: i64 = 560 * MS;
const COARSE: i64 = 40 * MS;
const FINE: i64 = 8 * MS;
/// How much of the past counts, ns.
const WINDOW: i64 = 10_000 * MS;
/// How much of the past says how something moves now, ns.
const LATELY: i64 = 4_000 * MS;
/// Fewest pictures of a point that count.
const MIN_SAMPLES: usize = 12;
/// Time over which what is wrong with one picture is wrong with the next too, ns.
const CORRELATED: f64 = 2.5e8;
/// Points of one instrument share part of their errors: they count as this much less.
const SHARED: f64 = 2.0;
/// Noise of a seen point that is expected at worst, px, and never believed to be less than.
const WORST_PX: f64 = 3.0;
const LEAST_PX: f64 = 1.0;
/// Spread of the entries of a channel's map about the identity.
const MAP_SPREAD: f64 = 0.2;
/// What no noise model holds, s: exposure, jitter of stamps, and that parts look otherwise from every side. In the simulator, whose offset
/// is exactly zero, readings lie 5 to 10 ms off the truth.
const FLOOR: f64 = 0.006;
/// Chi-squared by which every other shift must fit worse.
const RIVAL: f64 = 16.0;
/// Chi-squared at 60 ms, for the worst noise, from which on movement ought to have told.
const TELLING: f64 = 25.0;
/// Share of what is seen to move that the joints must explain.
const EXPLAINED: f64 = 0.6;

/// One point of an instrument: where the joints say it was, and where pictures showed it.
#[derive(Debug, Clone, Default)]
struct Channel {
    expected: Track,
    seen: VecDeque<(i64, Point2<f64>)>,
}

/// What can be said about the offset.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reading {
    /// Offset and standard deviation, s: joints' stamp less picture's stamp of the same instant.
    pub found: Option<(f64, f64)>,
    /// Whether things moved so much that the offset ought to be found.
    pub telling: bool,
    /// Whether the offset that was asked about fits as well as the best.
    pub held_fits: bool,
}

/// How an instrument moved through the picture lately: root mean square distances from the mean place, px.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motion {
    /// As pictures showed it; of its points the one that moved least.
    pub seen: f64,
    /// As its joints say; of its points the one that moved most.
    pub expected: f64,
    /// What of the seen the joints do not explain at any offset.
    pub left: f64,
}

/// The comparison of pictures and joints over time.
#[derive(Debug, Clone)]
pub struct OffsetEstimator {
    channels: Vec<Channel>,
    /// Channels of one instrument follow each other.
    per_instrument: usize,
}

/// The pictures of a channel that every shift can be tried on.
type Samples = Vec<(i64, Point2<f64>)>;

/// What one shift leaves over.
#[derive(Debug, Clone, Copy, Default)]
struct Fit {
    /// Sum of squares, px^2, and how many samples it is of.
    left: f64,
    samples: usize,
    /// Sum of squares of what is seen, and of what is expected, about their means, px^2.
    seen: f64,
    expected: f64,
    /// The channel's map: seen - mean = map (expected - mean).
    map: Matrix2<f64>,
    means: (Vector2<f64>, Vector2<f64>),
}

impl OffsetEstimator {
    /// Offsets up to this are found, either way, s.
    pub const MAX_SECONDS: f64 = 0.52;
    /// Pictures kept per channel: the window at 50 Hz.
    const PICTURES: usize = 500;

    /// For so many instruments with so many points each.
    pub fn new(instruments: usize, per_instrument: usize) -> Self {
        Self { channels: vec![Channel::default(); instruments * per_instrument], per_instrument }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        for channel in &mut self.channels {
            channel.expected.clear();
            channel.seen.clear();
        }
    }

    /// Where a point of an instrument is at `t` ns by its joints' stamps, px; `None` behind the camera. A stamp that does not
    /// rise is ignored.
    pub fn joints(&mut self, instrument: usize, point: usize, t: i64, at: Option<Point2<f64>>) {
        if let Some(channel) = self.channels.get_mut(instrument * self.per_instrument + point) {
            channel.expected.push(t, at);
        }
    }

    /// Where a picture stamped `t` ns showed it, px. A stamp that does not rise is ignored.
    pub fn picture(&mut self, instrument: usize, point: usize, t: i64, at: Point2<f64>) {
        let Some(channel) = self.channels.get_mut(instrument * self.per_instrument + point) else { return };
        if channel.seen.back().is_some_and(|(last, _)| t <= *last) {
            return;
        }
        if channel.seen.len() == Self::PICTURES {
            channel.seen.pop_front();
        }
        channel.seen.push_back((t, at));
    }

    /// Forgets where the joints said that points were, not where pictures showed them: for saying it anew with a better hand-eye.
    pub fn clear_joints(&mut self) {
        self.channels.iter_mut().for_each(|c| c.expected.clear());
    }

    /// How an instrument moved lately; `None` with too few pictures of it.
    pub fn motion(&self, instrument: usize) -> Option<Motion> {
        let newest = self.of(instrument).iter().filter_map(|c| c.seen.back()).map(|(t, _)| *t).max()?;
        let recent = |c: &Channel| samples(c, newest, LATELY);
        let channels: Vec<_> = self.of(instrument).iter().filter_map(|c| Some((c, recent(c)?))).collect();
        let rms = |sum: f64, n: usize| (sum / n.max(1) as f64).sqrt();
        let each = channels.iter().map(|(c, s)| fit(c, s, 0));
        let (seen, expected) = each.fold((f64::INFINITY, 0.0f64), |(seen, expected), f| {
            (seen.min(rms(f.seen, f.samples)), expected.max(rms(f.expected, f.samples)))
        });
        let samples = total(&channels, 0).samples;
        let least = shifts(COARSE).map(|s| left(&channels, s)).fold(f64::INFINITY, f64::min);
        (samples > 0).then(|| Motion { seen, expected, left: rms(least, samples) })
    }

    fn of(&self, instrument: usize) -> &[Channel] {
        let start = instrument * self.per_instrument;
        self.channels.get(start..start + self.per_instrument).unwrap_or_default()
    }

    /// What the last ten seconds say; `held` is an offset, s, of which it is asked whether it still fits.
    pub fn read(&self, held: Option<f64>) -> Reading {
        let newest = self.channels.iter().filter_map(|c| c.seen.back()).map(|(t, _)| *t).max();
        let Some(newest) = newest else { return Reading::default() };
        let instruments = self.channels.len() / self.per_instrument.max(1);
        let mut moving: Vec<(&Channel, Samples)> = Vec::new();
        let (mut telling, mut unexplained) = (0.0, false);
        for instrument in 0..instruments {
            let channels: Vec<_> =
                self.of(instrument).iter().filter_map(|c| Some((c, samples(c, newest, WINDOW)?))).collect();
            if channels.is_empty() {
                continue;
            }
            telling += telling_of(&channels);
            let best = shifts(COARSE).map(|s| left(&channels, s)).fold(f64::INFINITY, f64::min);
            let fit = total(&channels, 0);
            if best < (1.0 - EXPLAINED) * fit.seen {
                moving.extend(channels);
            } else {
                let rms = (fit.seen / fit.samples as f64).sqrt();
                unexplained |= rms > 5.0 * WORST_PX;
            }
        }
        let telling = telling > TELLING || unexplained;
        let Some(found) = Search::run(moving) else { return Reading { telling, ..Reading::default() } };
        let verdict = found.verdict();
        let held_fits = held.is_some_and(|s| {
            let near = verdict.is_some_and(|(seconds, sigma)| (s - seconds).powi(2) < RIVAL * sigma.powi(2));
            near || found.worse((s * 1e9) as i64) < RIVAL
        });
        Reading { found: verdict, telling, held_fits }
    }
}

/// The pictures of a channel within the window whose expectation is known at every shift.
fn samples(channel: &Channel, newest: i64, window: i64) -> Option<Samples> {
    let usable = |t: i64| channel.expected.covers(t - RANGE, t + RANGE);
    let samples: Samples = channel.seen.iter().filter(|(t, _)| newest - t <= window && usable(*t)).copied().collect();
    (samples.len() >= MIN_SAMPLES).then_some(samples)
}

fn shifts(step: i64) -> impl Iterator<Item = i64> {
    (-RANGE / step..=RANGE / step).map(move |k| k * step)
}

/// How many samples count as one independent one.
fn repeats(samples: &Samples) -> f64 {
    let (Some((first, _)), Some((last, _))) = (samples.first(), samples.last()) else { return 1.0 };
    let spacing = (last - first) as f64 / (samples.len() - 1).max(1) as f64;
    (CORRELATED / spacing.max(1.0)).max(1.0) * SHARED
}

/// The shift at which something is least.
fn lowest(shifts: impl Iterator<Item = i64>, of: impl Fn(i64) -> f64) -> Option<i64> {
    shifts.map(|s| (s, of(s))).min_by(|a, b| a.1.total_cmp(&b.1)).map(|(s, _)| s)
}

fn left(channels: &[(&Channel, Samples)], shift: i64) -> f64 {
    total(channels, shift).left
}

fn total(channels: &[(&Channel, Samples)], shift: i64) -> Fit {
    channels.iter().fold(Fit::default(), |sum, (channel, samples)| {
        let f = fit(channel, samples, shift);
        Fit {
            left: sum.left + f.left,
            samples: sum.samples + f.samples,
            seen: sum.seen + f.seen,
            expected: sum.expected + f.expected,
            ..sum
        }
    })
}

/// Chi-squared by which a shift of 60 ms would show with the worst noise, were everything seen as expected.
fn telling_of(channels: &[(&Channel, Samples)]) -> f64 {
    let of = |(channel, samples): &(&Channel, Samples)| {
        let ideal: Samples = samples.iter().filter_map(|(t, _)| Some((*t, channel.expected.at(*t)?))).collect();
        let either = fit(channel, &ideal, -60 * MS).left + fit(channel, &ideal, 60 * MS).left;
        0.5 * either / (WORST_PX * WORST_PX * repeats(&ideal))
    };
    channels.iter().map(of).sum()
}

/// Least squares of one channel at one shift.
fn fit(channel: &Channel, samples: &Samples, shift: i64) -> Fit {
    let pairs = || samples.iter().filter_map(|(t, seen)| Some((seen.coords, channel.expected.at(t + shift)?.coords)));
    let n = samples.len() as f64;
    let (mut v, mut k) = (Vector2::zeros(), Vector2::zeros());
    pairs().for_each(|(seen, expected)| {
        v += seen;
        k += expected;
    });
    let means = (v / n, k / n);
    let (mut cdd, mut cdk, mut ckk, mut cvv) = (0.0, Matrix2::zeros(), Matrix2::zeros(), 0.0);
    for (seen, expected) in pairs() {
        let (v, k) = (seen - means.0, expected - means.1);
        let d = v - k;
        cdd += d.norm_squared();
        cdk += d * k.transpose();
        ckk += k * k.transpose();
        cvv += v.norm_squared();
    }
    let stiffness = Matrix2::identity() * (WORST_PX / MAP_SPREAD).powi(2) * repeats(samples);
    let map = (ckk + stiffness).try_inverse().map_or_else(Matrix2::zeros, |inverse| cdk * inverse);
    let left = (cdd - (map * cdk.transpose()).trace()).max(0.0);
    Fit { left, samples: samples.len(), seen: cvv, expected: ckk.trace(), map: map + Matrix2::identity(), means }
}

/// A parabola through three values, the outer ones `half` to either side.
#[derive(Debug, Clone, Copy)]
struct Parabola {
    slope: f64,
    bend: f64,
}

impl Parabola {
    fn new([before, at, after]: [f64; 3]) -> Self {
        Self { slope: after - before, bend: before + after - 2.0 * at }
    }

    /// Where its least is, in units of `half`; `None` where it has none.
    fn least(self) -> Option<f64> {
        (self.bend > 0.0).then(|| -0.5 * self.slope / self.bend)
    }

    /// How much lower its least is than the value in the middle; it tells between its points only.
    fn dip(self) -> f64 {
        let inside = self.slope.abs() <= 2.0 * self.bend;
        if self.bend > 0.0 && inside { self.slope.powi(2) / (8.0 * self.bend) } else { 0.0 }
    }
}

/// A channel, its pictures, and the variance of an independent one of them, px^2: the middle of the jaws is seen far worse than the end of the shaft.
struct Weighed<'a> {
    channel: &'a Channel,
    samples: Samples,
    variance: f64,
}

impl<'a> Weighed<'a> {
    fn new(channel: &'a Channel, samples: Samples, shift: i64) -> Self {
        let fit = fit(channel, &samples, shift);
        let freedom = (2 * fit.samples) as f64 - 6.0;
        let noise = (fit.left / freedom.max(1.0)).max(LEAST_PX * LEAST_PX);
        let variance = noise * repeats(&samples);
        Self { channel, samples, variance }
    }

    /// Chi-squared of a shift.
    fn misfit(&self, shift: i64) -> f64 {
        fit(self.channel, &self.samples, shift).left / self.variance
    }
}

/// The curve of chi-squared, and its least.
struct Search<'a> {
    channels: Vec<Weighed<'a>>,
    best: i64,
    least: f64,
}

impl<'a> Search<'a> {
    /// Half the width of the parabola through the least, ns.
    const HALF: i64 = 2 * FINE;

    /// Finds the best shift, twice: the second time without pictures that the first could not explain, and every channel worth what its noise leaves.
    fn run(channels: Vec<(&'a Channel, Samples)>) -> Option<Self> {
        if channels.is_empty() {
            return None;
        }
        let first = lowest(shifts(COARSE), |s| left(&channels, s))?;
        let weigh = |(channel, samples): (&'a Channel, Samples)| {
            let samples = trimmed(channel, &samples, first);
            Weighed::new(channel, samples, first)
        };
        let channels: Vec<_> = channels.into_iter().map(weigh).collect();
        let mut search = Self { channels, best: first, least: 0.0 };
        let coarse = search.best_of(shifts(COARSE))?;
        search.best = search.best_of(Self::near(coarse))?;
        search.least = search.bottom(search.best);
        Some(search)
    }

    /// Shifts about one.
    fn near(shift: i64) -> impl Iterator<Item = i64> {
        ((shift - COARSE) / FINE..=(shift + COARSE) / FINE).map(|k| k * FINE)
    }

    fn best_of(&self, shifts: impl Iterator<Item = i64>) -> Option<i64> {
        lowest(shifts, |s| self.misfit(s))
    }

    fn misfit(&self, shift: i64) -> f64 {
        self.channels.iter().map(|c| c.misfit(shift)).sum()
    }

    /// Least of the parabola through chi-squared at a shift and beside it.
    fn bottom(&self, shift: i64) -> f64 {
        let around = [shift - FINE, shift, shift + FINE].map(|s| self.misfit(s));
        around[1] - Parabola::new(around).dip()
    }

    /// Chi-squared by which a shift fits worse than the best.
    fn worse(&self, shift: i64) -> f64 {
        self.misfit(shift) - self.least
    }

    /// Every coarse shift, and where the curve dips, the lowest near it: fast movement makes dips that are narrower than the steps.
    fn dips(&self) -> impl Iterator<Item = i64> {
        let curve: Vec<(i64, f64)> = shifts(COARSE).map(|s| (s, self.misfit(s))).collect();
        let dips = curve.windows(3).filter(|w| w[1].1 <= w[0].1 && w[1].1 <= w[2].1);
        let dips: Vec<i64> = dips.filter_map(|w| self.best_of(Self::near(w[1].0))).collect();
        shifts(COARSE).chain(dips)
    }

    /// The offset, if it is the only one that fits.
    fn verdict(&self) -> Option<(f64, f64)> {
        let around = [self.best - Self::HALF, self.best, self.best + Self::HALF];
        let each: Vec<[f64; 3]> = self.channels.iter().map(|c| around.map(|s| c.misfit(s))).collect();
        let sum = each.iter().fold([0.0; 3], |sum, c| [0, 1, 2].map(|i| sum[i] + c[i]));
        let half = Self::HALF as f64 * 1e-9;
        let parabola = Parabola::new(sum);
        let seconds = self.best as f64 * 1e-9 + half * parabola.least()?;
        // Chi-squared is (offset / sigma)^2 about the least.
        let sigma = half * (2.0 / parabola.bend).sqrt();
        let away = (5.0 * sigma * 1e9) as i64;
        let is_far = |s: &i64| (s - self.best).abs() > away.max(COARSE);
        let rival = self.dips().filter(is_far).any(|s| self.bottom(s) - self.least < RIVAL);
        let inside = seconds.abs() <= OffsetEstimator::MAX_SECONDS;
        (inside && !rival).then(|| (seconds, sigma.hypot(FLOOR).hypot(half * disagreement(&each, sum))))
    }
}

/// Standard deviation of the least of a sum of parabolas by the jackknife, in units of half their width: how much it depends on any one of them.
/// What lies before one part of an instrument, and moves, shifts that part's channel and no other.
fn disagreement(each: &[[f64; 3]], sum: [f64; 3]) -> f64 {
    let without = |c: &[f64; 3]| Parabola::new([0, 1, 2].map(|i| sum[i] - c[i])).least();
    let leasts: Vec<f64> = each.iter().filter_map(without).collect();
    let n = leasts.len() as f64;
    let mean = leasts.iter().sum::<f64>() / n.max(1.0);
    (leasts.iter().map(|l| (l - mean).powi(2)).sum::<f64>() * (n - 1.0).max(0.0) / n.max(1.0)).sqrt()
}

/// Without the samples that a shift leaves unexplained.
fn trimmed(channel: &Channel, samples: &Samples, shift: i64) -> Samples {
    let f = fit(channel, samples, shift);
    let misfit = |(t, seen): &(i64, Point2<f64>)| {
        let expected = channel.expected.at(t + shift).map_or(f.means.1, |p| p.coords);
        (seen.coords - f.means.0 - f.map * (expected - f.means.1)).norm()
    };
    let mut misfits: Vec<f64> = samples.iter().map(misfit).collect();
    let typical = crate::shaft::median(&mut misfits).unwrap_or(0.0);
    let cut = (4.0 * typical).max(2.0 * WORST_PX);
    let kept: Samples = samples.iter().filter(|s| misfit(s) <= cut).copied().collect();
    if kept.len() >= MIN_SAMPLES { kept } else { samples.clone() }
}
