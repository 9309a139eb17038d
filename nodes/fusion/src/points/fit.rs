//! What is constant over a recording, by least squares over all of it: where the base is before the camera, the offset between the stamps,
//! and, asked separately, how much longer the instrument is than the poses say. Samples that fit nothing do not count (redescending
//! weights), and are named afterwards.

use super::{Eyes, Recording, Seen, Way, judge::is_swapped, shift, start::start};
use crate::FusionError;
use nalgebra::{Isometry3, Point3, SMatrix, SVector, Translation3, UnitQuaternion, Vector3};

/// Pose (translation, rotation vector), offset in time, and length.
const N: usize = 8;
const OFFSET: usize = 6;
const LENGTH: usize = 7;
/// Fewest points with a pose.
pub const FEWEST: usize = 12;
/// Standard deviation of a seen point is never believed to be less, px.
const LEAST_PX: f64 = 0.5;
/// Beyond so many standard deviations a sample fits nothing.
const CUT: f64 = 4.0;
/// Time over which what is wrong with one sample is wrong with the next too, s.
const CORRELATED: f64 = 0.25;
/// An offset that is known no better than this is not known, s.
const OFFSET_SIGMA: f64 = 0.015;
/// A base whose place before the camera is known no better than this is not known, m.
const UNDETERMINED: f64 = 0.02;
/// Share of the points that must be of a moving arm for those of a resting one not to count.
const ENOUGH: f64 = 0.3;
/// How far the length is thought to be off, m (one standard deviation).
const LENGTH_PRIOR: f64 = 0.1;

/// The offset between the stamps of points and poses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OffsetFit {
    /// Poses' stamp less points' stamp of the same instant, and its standard deviation, s.
    Known(f64, f64),
    /// Nothing that moved tells: zero is used.
    Untold,
    /// Poses were measured where the arm stood; stamps say only which belongs to which.
    NotAsked,
}

impl OffsetFit {
    /// What is used, s.
    pub fn seconds(self) -> f64 {
        match self {
            Self::Known(seconds, _) => seconds,
            Self::Untold | Self::NotAsked => 0.0,
        }
    }
}

/// What is constant over a recording.
#[derive(Debug, Clone)]
pub struct Fit {
    /// Where the base is.
    pub camera_from_base: Isometry3<f64>,
    /// Offset in time.
    pub offset: OffsetFit,
    /// By how much the point lies farther along the ray from the base's origin (on a dVRK the remote centre) than the poses say, and its
    /// standard deviation, m. Not applied.
    pub longer: (f64, f64),
    /// What is left over when the length fits too, px.
    pub rms_longer_px: f64,
    /// Root mean square of what is left over, per coordinate, of the samples that count, px.
    pub rms_px: f64,
    /// Root mean square distance from the mean place in the picture, per coordinate, px.
    pub seen_px: f64,
    /// Per seen point: distance left over in the left picture, px; `None` without a pose.
    pub residuals: Vec<Option<f64>>,
    /// Whether the point counted.
    pub used: Vec<bool>,
    /// Standard deviation of the point's place before the camera that comes from the fit alone, worst direction, m.
    pub sigma_m: f64,
}

#[derive(Debug, Clone, Copy)]
struct State {
    pose: Isometry3<f64>,
    offset: f64,
    length: f64,
}

impl State {
    fn moved(&self, x: &SVector<f64, N>) -> Self {
        let turn = UnitQuaternion::from_scaled_axis(Vector3::new(x[3], x[4], x[5]));
        let shift = self.pose.translation.vector + Vector3::new(x[0], x[1], x[2]);
        let pose = Isometry3::from_parts(Translation3::from(shift), turn * self.pose.rotation);
        Self { pose, offset: self.offset + x[OFFSET], length: self.length + x[LENGTH] }
    }
}

/// A point of the arm farther along the ray from the base.
pub fn lengthened(p: &Point3<f64>, by: f64) -> Point3<f64> {
    p + p.coords.try_normalize(1e-6).unwrap_or_else(Vector3::zeros) * by
}

/// Predicted less seen, px: left, and right where it was seen.
fn residual(seen: &Seen, way: &Way, eyes: &Eyes, state: &State) -> Option<[f64; 4]> {
    let p = state.pose * lengthened(&way.at(seen.t + state.offset)?, state.length);
    let at = eyes.camera.project(&p)?;
    let mut out = [at.x - seen.left.x, at.y - seen.left.y, 0.0, 0.0];
    if let (Some(right), Some(baseline)) = (seen.right, eyes.baseline) {
        let at = eyes.camera.project(&Point3::new(p.x - baseline, p.y, p.z))?;
        out[2] = at.x - right.x;
        out[3] = at.y - right.y;
    }
    Some(out)
}

/// Distance in the left picture, px.
fn distance(r: &[f64; 4]) -> f64 {
    r[0].hypot(r[1])
}

/// Largest distance in either picture, px.
fn worst(r: &[f64; 4]) -> f64 {
    distance(r).max(r[2].hypot(r[3]))
}

struct Problem<'a> {
    seen: Vec<Seen>,
    recording: &'a Recording,
    /// Prior information per parameter: infinite where it does not move.
    prior: [f64; N],
}

impl Problem<'_> {
    fn residuals(&self, state: &State) -> Vec<Option<[f64; 4]>> {
        self.seen.iter().map(|s| residual(s, &self.recording.way, &self.recording.eyes, state)).collect()
    }

    fn scale(&self, state: &State) -> f64 {
        let mut worsts: Vec<f64> = self.residuals(state).iter().flatten().map(worst).collect();
        // The median of a Rayleigh distribution is 1.1774 sigma.
        crate::shaft::median(&mut worsts).map_or(f64::INFINITY, |m| m / 1.1774).max(LEAST_PX)
    }

    /// Cost, gradient and information at a state; a sample that cannot be projected costs as much as one that fits nothing.
    fn normal(&self, state: &State, scale: f64) -> (f64, SVector<f64, N>, SMatrix<f64, N, N>) {
        const STEPS: [f64; N] = [1e-6, 1e-6, 1e-6, 1e-6, 1e-6, 1e-6, 1e-4, 1e-6];
        let here = self.residuals(state);
        let moved: Vec<_> = (0..N)
            .map(|k| {
                let mut x = SVector::<f64, N>::zeros();
                x[k] = STEPS[k];
                if self.prior[k].is_finite() { self.residuals(&state.moved(&x)) } else { here.clone() }
            })
            .collect();
        let (mut cost, mut g, mut h) = (0.0, SVector::<f64, N>::zeros(), SMatrix::<f64, N, N>::zeros());
        let cut2 = CUT * CUT;
        for (i, r) in here.iter().enumerate() {
            let Some(r) = r else {
                cost += cut2;
                continue;
            };
            // Geman and McClure's weight: falls to zero where a sample fits nothing.
            let u = (worst(r) / scale).powi(2);
            cost += cut2 * u / (cut2 + u);
            let weight = (cut2 / (cut2 + u)).powi(2) / (scale * scale);
            for c in 0..4 {
                let slope = |k: usize| moved[k][i].map_or(0.0, |m| (m[c] - r[c]) / STEPS[k]);
                let row = SVector::<f64, N>::from_fn(|k, _| slope(k));
                g += row * (weight * r[c]);
                h += row * row.transpose() * weight;
            }
        }
        for k in 0..N {
            if self.prior[k].is_finite() {
                h[(k, k)] += self.prior[k];
            } else {
                (g[k], h[(k, k)]) = (0.0, 1.0);
            }
        }
        cost += self.prior[LENGTH].min(1e12) * state.length * state.length;
        g[LENGTH] += self.prior[LENGTH].min(1e12) * state.length;
        (cost, g, h)
    }

    /// Levenberg-Marquardt from `start`, the noise estimated anew in between; the state, its noise (px) and covariance.
    fn solve(&self, start: State) -> Option<(State, f64, SMatrix<f64, N, N>)> {
        const ROUNDS: usize = 4;
        const STEPS: usize = 15;
        let mut state = start;
        for _ in 0..ROUNDS {
            let (scale, mut damping) = (self.scale(&state), 1e-4);
            let (mut cost, mut g, mut h) = self.normal(&state, scale);
            for _ in 0..STEPS {
                let damped = h + SMatrix::<f64, N, N>::from_diagonal(&(h.diagonal() * damping));
                let Some(step) = damped.cholesky().map(|c| c.solve(&-g)) else { break };
                let next = state.moved(&step);
                let there = self.normal(&next, scale);
                if there.0 < cost {
                    let gained = cost - there.0;
                    (state, damping) = (next, (damping * 0.1).max(1e-9));
                    (cost, g, h) = there;
                    if gained < 1e-9 * cost {
                        break;
                    }
                } else if damping > 1e8 {
                    break;
                } else {
                    damping *= 10.0;
                }
            }
        }
        let scale = self.scale(&state);
        let (_, _, h) = self.normal(&state, scale);
        let repeats = (CORRELATED / self.spacing()).max(1.0);
        let mut covariance = h.cholesky()?.inverse() * repeats;
        for k in (0..N).filter(|k| !self.prior[*k].is_finite()) {
            covariance[(k, k)] = 0.0;
        }
        Some((state, scale, covariance))
    }

    /// Median time between points, s; very long for separate poses.
    fn spacing(&self) -> f64 {
        let mut steps: Vec<f64> = self.seen.windows(2).map(|w| w[1].t - w[0].t).collect();
        crate::shaft::median(&mut steps).unwrap_or(1.0).max(1e-3)
    }
}

/// What is constant over a recording. Refuses one with too few points that have a pose, and one whose motion does not tell where the base
/// is, if nobody else told. Spans in which the arm rests do not count, if enough is left; pictures of swapped cameras are taken as of one.
pub fn fit(recording: &Recording) -> Result<Fit, FusionError> {
    let swapped = is_swapped(recording);
    let seen = recording.seen.iter().map(|s| Seen { right: s.right.filter(|_| !swapped), ..*s }).collect();
    let whole = Recording { seen, ..recording.clone() };
    let moving = Recording { way: whole.way.moving(), ..whole.clone() };
    let posed = |r: &Recording| r.seen.iter().filter(|s| r.way.at(s.t).is_some()).count();
    let part = if posed(&moving) as f64 >= ENOUGH * posed(&whole) as f64 { &moving } else { &whole };
    fit_part(part, &whole)
}

/// Fits `recording`, and says what is left over of `whole`.
fn fit_part(recording: &Recording, whole: &Recording) -> Result<Fit, FusionError> {
    let way = &recording.way;
    let asked = way.is_continuous() && recording.max_offset > 0.0;
    let roughly = if asked { shift::coarse(recording).unwrap_or(0.0) } else { 0.0 };
    let paired = |shift: f64| -> Vec<(Seen, Point3<f64>)> {
        recording.seen.iter().filter_map(|s| Some((*s, way.at(s.t + shift)?))).collect()
    };
    let pairs = paired(roughly);
    if pairs.len() < FEWEST {
        let (points, poses) = (recording.seen.len(), way.samples().len());
        return Err(FusionError::TooFewPairs { pairs: pairs.len(), needed: FEWEST, points, poses });
    }
    let told = recording.camera_from_base.map(|pose| State { pose, offset: roughly, length: 0.0 });
    let found = start(&pairs, &recording.eyes).map(|(pose, _)| State { pose, offset: roughly, length: 0.0 });
    // A few thousand points say all there is to say.
    const MOST: usize = 2500;
    let stride = pairs.len().div_ceil(MOST).max(1);
    let seen: Vec<Seen> = pairs.iter().step_by(stride).map(|(s, _)| *s).collect();
    let free = |offset: f64, length: f64| [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, offset, length];
    let fixed = f64::INFINITY;
    let problem = Problem { seen, recording, prior: free(if asked { 1.0 } else { fixed }, fixed) };
    let solved = [told, found].into_iter().flatten().filter_map(|s| problem.solve(s));
    let Some(best) = solved.min_by(|a, b| a.1.total_cmp(&b.1)) else {
        return Err(FusionError::Undetermined { sigma: f64::INFINITY });
    };
    finish(recording, whole, &problem, best, asked)
}

fn finish(
    recording: &Recording,
    whole: &Recording,
    problem: &Problem<'_>,
    (mut state, mut scale, mut covariance): (State, f64, SMatrix<f64, N, N>),
    asked: bool,
) -> Result<Fit, FusionError> {
    let sigma = covariance[(OFFSET, OFFSET)].sqrt();
    let mut offset = if asked { OffsetFit::Known(state.offset, sigma) } else { OffsetFit::NotAsked };
    let mut problem = Problem { seen: problem.seen.clone(), recording, prior: problem.prior };
    if asked && (!sigma.is_finite() || sigma > OFFSET_SIGMA) {
        problem.prior[OFFSET] = f64::INFINITY;
        let again = problem.solve(State { offset: 0.0, ..state });
        (state, scale, covariance) = again.ok_or(FusionError::Undetermined { sigma: f64::INFINITY })?;
        offset = OffsetFit::Untold;
    }
    let sigma_m = point_sigma(&covariance, &problem, &state);
    if sigma_m > UNDETERMINED {
        let Some(pose) = recording.camera_from_base else { return Err(FusionError::Undetermined { sigma: sigma_m }) };
        state.pose = pose;
    }
    let mut lengthen = Problem { seen: problem.seen.clone(), recording, prior: problem.prior };
    lengthen.prior[LENGTH] = 1.0 / (LENGTH_PRIOR * LENGTH_PRIOR);
    let (longer, rms_longer_px) =
        lengthen.solve(state).map_or(((0.0, LENGTH_PRIOR), scale), |(s, scale, covariance)| {
            ((s.length, covariance[(LENGTH, LENGTH)].sqrt()), scale)
        });
    let all = |s: &Seen| residual(s, &whole.way, &whole.eyes, &state);
    let each: Vec<Option<[f64; 4]>> = whole.seen.iter().map(all).collect();
    let used: Vec<bool> = each.iter().map(|r| r.as_ref().is_some_and(|r| worst(r) <= CUT * scale)).collect();
    let counted = || each.iter().zip(&used).filter(|(_, used)| **used).filter_map(|(r, _)| *r);
    let n = counted().count().max(1) as f64;
    let rms_px = (counted().map(|r| r[0] * r[0] + r[1] * r[1]).sum::<f64>() / (2.0 * n)).sqrt();
    Ok(Fit {
        camera_from_base: state.pose,
        offset,
        longer,
        rms_longer_px,
        rms_px,
        seen_px: spread(&whole.seen),
        residuals: each.iter().map(|r| r.as_ref().map(distance)).collect(),
        used,
        sigma_m,
    })
}

/// Root mean square distance from the mean, per coordinate, px.
pub fn spread(seen: &[Seen]) -> f64 {
    let n = seen.len().max(1) as f64;
    let mean = seen.iter().fold(nalgebra::Vector2::zeros(), |sum, s| sum + s.left.coords) / n;
    (seen.iter().map(|s| (s.left.coords - mean).norm_squared()).sum::<f64>() / (2.0 * n)).sqrt()
}

/// Worst standard deviation of where the point is before the camera, in the middle of the recording, m.
fn point_sigma(covariance: &SMatrix<f64, N, N>, problem: &Problem<'_>, state: &State) -> f64 {
    let middle = problem.seen.get(problem.seen.len() / 2).and_then(|s| problem.recording.way.at(s.t + state.offset));
    let lever = middle.map_or_else(Vector3::zeros, |p| state.pose.rotation * p.coords);
    let mut j = SMatrix::<f64, 3, N>::zeros();
    j.fixed_view_mut::<3, 3>(0, 0).fill_with_identity();
    j.fixed_view_mut::<3, 3>(0, 3).copy_from(&-crate::geometry::skew(&lever));
    (j * covariance * j.transpose()).symmetric_eigenvalues().max().max(0.0).sqrt()
}
