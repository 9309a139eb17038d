//! The shaft as the mask shows it: its two edges as straight lines, found without knowing where the kinematics
//! expects them, so that a large hand-eye error does not matter.

use crate::{
    mask::{Mask, NOT_INSTRUMENT, owner_of},
    picture::Pictures,
};
use nalgebra::{Matrix2, Point2, SymmetricEigen, Vector2};
use proctor_types::Class;

/// Edge offsets across the shaft at one place, picture pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Station {
    /// A point on the shaft's middle line.
    pub at: Point2<f64>,
    /// Unit normal to the middle line.
    pub normal: Vector2<f64>,
    /// Signed offset of the edge on the negative side along `normal`, if it was seen.
    pub lower: Option<f64>,
    /// Signed offset of the edge on the positive side, if it was seen.
    pub upper: Option<f64>,
    /// Whether every edge here was found in the picture itself, not only in the mask.
    pub sharp: bool,
}

/// A fitted shaft, picture pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct ShaftFit {
    /// Unit direction of the middle line, towards the tip.
    pub direction: Vector2<f64>,
    /// A proximal and a distal place.
    pub stations: [Station; 2],
    /// Where the shaft's distal end cuts the middle line, if wrist or jaws follow there.
    pub end: Option<Point2<f64>>,
    /// Length of the piece seen, px.
    pub length: f64,
}

/// A line `offset = a + b * along`.
#[derive(Debug, Clone, Copy)]
struct EdgeLine {
    a: f64,
    b: f64,
}

/// Fewest edge points that make a line.
const MIN_POINTS: usize = 6;
/// Farthest an edge may lie from the middle line, label pixels.
const MAX_HALF_WIDTH: f64 = 90.0;

/// Fits the shaft of `arm`. `hint` is the expected direction towards the tip (unit, picture); used to tell the
/// distal end, and as the axis when the visible piece is too stubby to have one. `None` if too little is seen.
pub fn fit_shaft(mask: &Mask, pictures: &Pictures, arm: usize, hint: &Vector2<f64>) -> Option<ShaftFit> {
    let points: Vec<Point2<f64>> = mask.pixels(arm, Class::InstrumentShaft).map(|i| mask.point(i)).collect();
    if points.len() < 40 {
        return None;
    }
    let (mut centre, mut direction) = principal_axis(&points, hint);
    let mut lines = (None, None);
    let mut span = (0.0, 0.0);
    for _ in 0..3 {
        let normal = Vector2::new(-direction.y, direction.x);
        span = extent(&points, &centre, &direction)?;
        let (lower, upper) = edge_points(mask, pictures, arm, (&centre, &direction, &normal), span);
        lines = (fit_line(&lower), fit_line(&upper));
        let (a, b) = match lines {
            (Some(l), Some(u)) => (0.5 * (l.a + u.a), 0.5 * (l.b + u.b)),
            (Some(one), None) | (None, Some(one)) => (0.0, one.b),
            (None, None) => return None,
        };
        centre += normal * a;
        let turned = direction + normal * b.clamp(-1.0, 1.0);
        direction = turned.normalize();
        // The lines above are in the frame before this turn; the last round's turn is tiny.
        lines = (lines.0.map(|l| shifted(l, a, b)), lines.1.map(|l| shifted(l, a, b)));
    }
    let normal = Vector2::new(-direction.y, direction.x);
    let length = span.1 - span.0;
    let station = |fraction: f64| {
        let s = span.0 + fraction * length;
        let at = mask.to_full(centre + direction * s);
        let mut sharp = true;
        let mut edge = |line: Option<EdgeLine>, sign: f64| {
            let line = line?;
            let coarse = (line.a + line.b * s) * mask.scale;
            // Half of the piece around the station, along the fitted edge.
            let along = (direction + normal * line.b).normalize();
            let reach = 0.25 * length * mask.scale;
            let fine = sharpen(pictures, &(at + normal * coarse), &along, &(normal * sign), reach);
            sharp &= fine.is_some();
            Some(coarse + sign * fine.unwrap_or(0.0))
        };
        let (lower, upper) = (edge(lines.0, -1.0), edge(lines.1, 1.0));
        Station { at, normal, lower, upper, sharp }
    };
    Some(ShaftFit {
        direction,
        stations: [station(0.25), station(0.75)],
        end: distal_end(mask, arm, &centre, &direction, span).map(|p| mask.to_full(p)),
        length: length * mask.scale,
    })
}

fn shifted(l: EdgeLine, a: f64, b: f64) -> EdgeLine {
    EdgeLine { a: l.a - a, b: l.b - b }
}

fn principal_axis(points: &[Point2<f64>], hint: &Vector2<f64>) -> (Point2<f64>, Vector2<f64>) {
    let n = points.len() as f64;
    let mean = points.iter().fold(Vector2::zeros(), |s, p| s + p.coords) / n;
    let scatter = points.iter().fold(Matrix2::zeros(), |s, p| {
        let d = p.coords - mean;
        s + d * d.transpose()
    }) / n;
    let eigen = SymmetricEigen::new(scatter);
    let (long, short) = if eigen.eigenvalues[0] >= eigen.eigenvalues[1] { (0, 1) } else { (1, 0) };
    let elongated = eigen.eigenvalues[long] > 4.0 * eigen.eigenvalues[short].max(1e-9);
    let axis: Vector2<f64> = eigen.eigenvectors.column(long).into_owned();
    let axis = if axis.dot(hint) < 0.0 { -axis } else { axis };
    // A stub's longest direction may be across; a long piece's axis beats the prediction.
    let direction = if elongated && axis.dot(hint) > 0.7 { axis } else { *hint };
    (Point2::from(mean), direction)
}

/// 2nd to 98th percentile of the pixels along the axis.
fn extent(points: &[Point2<f64>], centre: &Point2<f64>, direction: &Vector2<f64>) -> Option<(f64, f64)> {
    let mut s: Vec<f64> = points.iter().map(|p| (p - centre).dot(direction)).collect();
    let n = s.len();
    let (low, high) = (n / 50, n - 1 - n / 50);
    let low = *s.select_nth_unstable_by(low, f64::total_cmp).1;
    let high = *s.select_nth_unstable_by(high, f64::total_cmp).1;
    (high - low > 6.0).then_some((low, high))
}

type Samples = Vec<(f64, f64)>;

/// Walks from the middle line to both sides and notes where the shaft ends against something that is not an
/// instrument, not the border of the picture and not the dark rim.
fn edge_points(
    mask: &Mask,
    pictures: &Pictures,
    arm: usize,
    (centre, direction, normal): (&Point2<f64>, &Vector2<f64>, &Vector2<f64>),
    span: (f64, f64),
) -> (Samples, Samples) {
    const STATIONS: usize = 48;
    let (mut lower, mut upper) = (Vec::with_capacity(STATIONS), Vec::with_capacity(STATIONS));
    let own = |p: &Point2<f64>| mask.index(p).is_some_and(|i| mask.is(i, arm, Class::InstrumentShaft));
    for k in 0..STATIONS {
        let s = span.0 + (span.1 - span.0) * (k as f64 + 0.5) / STATIONS as f64;
        let middle = centre + direction * s;
        if !own(&middle) {
            continue;
        }
        for (sign, samples) in [(-1.0, &mut lower), (1.0, &mut upper)] {
            if let Some(t) = walk(mask, pictures, &own, &middle, &(normal * sign)) {
                samples.push((s, sign * t));
            }
        }
    }
    (lower, upper)
}

/// Distance from `start` along `step` to the shaft's edge, label pixels; `None` if the edge is not an honest one.
fn walk(
    mask: &Mask,
    pictures: &Pictures,
    own: &impl Fn(&Point2<f64>) -> bool,
    start: &Point2<f64>,
    step: &Vector2<f64>,
) -> Option<f64> {
    const STRIDE: f64 = 0.5;
    /// Holes up to this wide are walked over, label pixels.
    const HOLE: f64 = 2.5;
    let mut last_inside = 0.0;
    let mut t = 0.0;
    while t < MAX_HALF_WIDTH && t - last_inside <= HOLE {
        t += STRIDE;
        if own(&(start + step * t)) {
            last_inside = t;
        }
    }
    let outside = start + step * (last_inside + 1.5);
    let index = mask.index(&outside)?;
    if mask.owner[index] != NOT_INSTRUMENT {
        return None;
    }
    let full = mask.to_full(outside);
    let rim = mask.labels[index] == Class::Background.id() && pictures.is_dark(full.x, full.y);
    (!rim && last_inside > 0.0).then_some(last_inside + 0.5 * STRIDE)
}

/// Where the picture's own edge lies relative to a line through `on` along `along`, px along `outward`: the steepest
/// rise of redness away from the shaft, averaged over `reach` px to both sides so that texture cancels out. `None`
/// when no change stands out.
fn sharpen(
    pictures: &Pictures,
    on: &Point2<f64>,
    along: &Vector2<f64>,
    outward: &Vector2<f64>,
    reach: f64,
) -> Option<f64> {
    /// Farthest the mask's edge may be off, px.
    const RANGE: i32 = 6;
    const TRACKS: i32 = 20;
    /// Least mean step over 2 px, 8-bit levels.
    const MIN_STEP: f64 = 3.0;
    let mut profile = [0.0f64; (2 * RANGE + 3) as usize];
    let mut tracks = 0;
    for k in -TRACKS..=TRACKS {
        let p = on + along * (reach * f64::from(k) / f64::from(TRACKS));
        let redness = |d: f64| pictures.redness(&(p + outward * d));
        // Tracks that leave the picture or its circular field of view would add the step at the rim.
        let far = f64::from(RANGE + 1);
        let lit = [-far, 0.0, far].iter().all(|d| {
            let q = p + outward * *d;
            !pictures.is_dark(q.x, q.y)
        });
        if !lit {
            continue;
        }
        for (i, slot) in profile.iter_mut().enumerate() {
            *slot += redness(i as f64 - far).unwrap_or(0.0);
        }
        tracks += 1;
    }
    if tracks < TRACKS / 2 {
        return None;
    }
    // Central differences at -RANGE ..= RANGE.
    let steps: Vec<f64> = profile.windows(3).map(|w| (w[2] - w[0]) / f64::from(tracks)).collect();
    let (best, &peak) = steps.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    if peak < MIN_STEP || best == 0 || best + 1 == steps.len() {
        return None;
    }
    let (before, after) = (steps[best - 1], steps[best + 1]);
    let bend = before - 2.0 * peak + after;
    let fraction = if bend < -1e-9 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 };
    Some(best as f64 - f64::from(RANGE) + fraction)
}

/// Robust straight line: Theil-Sen start on a coarse pairing, then Tukey-weighted least squares.
fn fit_line(samples: &[(f64, f64)]) -> Option<EdgeLine> {
    if samples.len() < MIN_POINTS {
        return None;
    }
    let half = samples.len() / 2;
    let mut slopes: Vec<f64> = (0..samples.len() - half)
        .filter_map(|i| {
            let (p, q) = (samples[i], samples[i + half]);
            let ds = q.0 - p.0;
            (ds.abs() > 1e-6).then(|| (q.1 - p.1) / ds)
        })
        .collect();
    let mut b = median(&mut slopes)?;
    let mut intercepts: Vec<f64> = samples.iter().map(|(s, t)| t - b * s).collect();
    let mut a = median(&mut intercepts)?;
    for _ in 0..5 {
        let mut residuals: Vec<f64> = samples.iter().map(|(s, t)| (t - a - b * s).abs()).collect();
        let cut = (4.0 * 1.4826 * median(&mut residuals)?).max(1.5);
        let (mut w0, mut ws, mut wss, mut wt, mut wst, mut inliers) = (0.0, 0.0, 0.0, 0.0, 0.0, 0);
        for (s, t) in samples {
            let r = (t - a - b * s) / cut;
            if r.abs() < 1.0 {
                let w = (1.0 - r * r).powi(2);
                w0 += w;
                ws += w * s;
                wss += w * s * s;
                wt += w * t;
                wst += w * s * t;
                inliers += 1;
            }
        }
        let det = w0 * wss - ws * ws;
        if inliers < MIN_POINTS || det.abs() < 1e-9 {
            return None;
        }
        b = (w0 * wst - ws * wt) / det;
        a = (wt - b * ws) / w0;
    }
    Some(EdgeLine { a, b })
}

/// Median (upper of the two middle ones); `None` when empty.
pub fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    Some(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// Where the shaft class gives way to wrist or jaws of the same arm, on the middle line (median of five tracks).
fn distal_end(
    mask: &Mask,
    arm: usize,
    centre: &Point2<f64>,
    direction: &Vector2<f64>,
    span: (f64, f64),
) -> Option<Point2<f64>> {
    let normal = Vector2::new(-direction.y, direction.x);
    let class_at = |p: &Point2<f64>| mask.index(p).map(|i| (mask.owner[i] == owner_of(arm), mask.labels[i]));
    let mut ends: Vec<f64> = Vec::new();
    for track in -2..=2 {
        let start = centre + normal * (f64::from(track) * 1.5);
        let mut s = span.1 + 8.0;
        // Backwards from beyond the end to the first shaft pixel.
        while s > span.0 && class_at(&(start + direction * s)) != Some((true, Class::InstrumentShaft.id())) {
            s -= 0.5;
        }
        let beyond = class_at(&(start + direction * (s + 2.0)));
        let followed = [Class::InstrumentWrist, Class::InstrumentJaws].iter().any(|c| beyond == Some((true, c.id())));
        if s > span.0 && followed {
            ends.push(s + 0.25);
        }
    }
    (ends.len() >= 3).then(|| median(&mut ends)).flatten().map(|s| centre + direction * s)
}
