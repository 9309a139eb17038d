//! How far the projected instrument lies from the seen one, and whether it should be seen at all.

use crate::{
    geometry::{clip_near, project, segment_distance_2d},
    mask::{Mask, NOT_INSTRUMENT, owner_of},
    picture::Pictures,
    tool::{Part, Tool},
};
use nalgebra::{Point2, Vector3};
use opencv::{core, imgproc, prelude::*};
use proctor_types::{CameraModel, Class};

/// Distances are capped here, px: one lost jaw must not outvote a whole shaft.
const CAP_PX: f64 = 40.0;
/// Fewest outline samples in view that make a measurement.
const MIN_SAMPLES: usize = 8;
/// Share of the outline in view that must be bare for it to say anything where the rest is covered.
const LEAST_BARE: f64 = 0.3;
/// How far open jaws reach aside, m.
const OPEN: f64 = 0.003;

/// Agreement of the expected with the seen silhouette.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Mean distance of the expected outline to the nearest seen outline, px; `None` when there is nothing to compare.
    pub residual_px: Option<f64>,
    /// Points of the expected axes in the field of view, one per 4 px.
    pub expected: usize,
    /// How many of them lie on (any) instrument pixels.
    pub covered: usize,
    /// What is seen of it is where it should be, but most of it is covered by something: nothing can be said.
    pub hidden: bool,
}

impl Agreement {
    /// Whether a good part of the instrument should be in the picture.
    pub fn should_be_seen(&self) -> bool {
        self.expected >= 10
    }
}

/// Compares `tool` (camera coordinates) with the pixels of `arm`.
pub fn agreement(
    mask: &Mask,
    pictures: &Pictures,
    arm: usize,
    tool: &Tool,
    camera: &CameraModel,
) -> opencv::Result<Agreement> {
    let (expected, covered) = coverage(mask, pictures, tool, camera);
    let mut out = Agreement { residual_px: None, expected, covered, hidden: false };
    let Some(distance) = distance_to_outline(mask, pictures, arm)? else { return Ok(out) };
    let own = |p: Point2<f64>| mask.index(&mask.to_label(p)).is_some_and(|i| mask.owner[i] == owner_of(arm));
    let (mut all, mut bare) = (Mean::default(), Mean::default());
    for (p, inside) in outline(tool, camera) {
        let Some(i) = mask.index(&mask.to_label(p)) else { continue };
        let hidden = mask.owner[i] != NOT_INSTRUMENT && mask.owner[i] != owner_of(arm);
        if hidden || at_border(mask, i) || rim(mask, pictures, i) {
            continue;
        }
        let away = distance.at(mask, i)?;
        all.add(away);
        if own(inside) {
            bare.add(away);
        }
    }
    // Where nothing of the instrument is seen, something may lie in front of it, if all that is seen of it is where it should be.
    let explained = bare.n < all.n && is_explained(mask, arm, tool, camera);
    out.hidden = explained && (bare.n as f64) < LEAST_BARE * all.n as f64;
    let mean = if explained { bare } else { all };
    out.residual_px = (mean.n >= MIN_SAMPLES && !out.hidden).then(|| mean.sum / mean.n as f64);
    Ok(out)
}

/// A mean in the making.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    n: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }
}

/// Whether the pixels of `arm` lie where `tool` has their part, every part's nearly all.
fn is_explained(mask: &Mask, arm: usize, tool: &Tool, camera: &CameraModel) -> bool {
    /// Farthest outside its part: px, and m at its depth; the larger counts.
    const BESIDE: (f64, f64) = (6.0, 0.0015);
    /// Share of a part's pixels that must be explained, and fewest pixels that count.
    const NEARLY: f64 = 0.8;
    const FEWEST: usize = 20;
    let shaft = (tool.pitch - tool.top).try_normalize(1e-9).unwrap_or_else(Vector3::zeros);
    let wrist = (tool.yaw - tool.pitch).try_normalize(1e-9).unwrap_or_else(Vector3::zeros);
    let (clevis, cheeks) = (tool.pitch - shaft * tool.seams.shaft_end, tool.yaw + wrist * tool.seams.wrist_end);
    // Open jaws reach as far aside as they are shorter than closed ones.
    let parts = [
        (Class::InstrumentShaft, tool.top, clevis, tool.radii[0]),
        (Class::InstrumentWrist, clevis, cheeks, tool.radii[1]),
        (Class::InstrumentJaws, tool.yaw, tool.end, tool.radii[2] + OPEN),
    ];
    parts.into_iter().all(|(class, a, b, radius)| {
        let count = mask.pixels(arm, class).count();
        if count < FEWEST {
            return true;
        }
        let Some((a, b)) = clip_near(a, b) else { return false };
        let (Some(pa), Some(pb)) = (project(camera, &a), project(camera, &b)) else { return false };
        // Wide where it is near: a tube that comes from beside the camera is a wedge.
        let widths = [radius * camera.fx / a.z, radius * camera.fx / b.z];
        let stride = (count / 200).max(1);
        let sampled = mask.pixels(arm, class).step_by(stride);
        let (mut inside, mut n) = (0u32, 0u32);
        for i in sampled {
            let p = mask.to_full(mask.point(i));
            let along = ((p - pa).dot(&(pb - pa)) / (pb - pa).norm_squared().max(1e-9)).clamp(0.0, 1.0);
            let depth = 1.0 / ((1.0 - along) / a.z + along / b.z);
            let width = (radius * camera.fx / depth).min(widths[0].max(widths[1]));
            inside +=
                u32::from(segment_distance_2d(&p, &pa, &pb) <= width + BESIDE.0.max(BESIDE.1 * camera.fx / depth));
            n += 1;
        }
        f64::from(inside) >= NEARLY * f64::from(n)
    })
}

/// Whether a label pixel lies on the dark rim outside the circular field of view.
fn rim(mask: &Mask, pictures: &Pictures, index: usize) -> bool {
    let full = mask.to_full(mask.point(index));
    mask.labels[index] == Class::Background.id() && pictures.is_dark(full.x, full.y)
}

fn at_border(mask: &Mask, index: usize) -> bool {
    let (x, y) = (index % mask.width, index / mask.width);
    x < 2 || y < 2 || x + 2 >= mask.width || y + 2 >= mask.height
}

/// Axis points in view, and those on instrument pixels.
fn coverage(mask: &Mask, pictures: &Pictures, tool: &Tool, camera: &CameraModel) -> (usize, usize) {
    let (mut expected, mut covered) = (0, 0);
    for part in Part::ALL {
        let (a, b, _) = tool.part(part);
        let Some((a, b)) = clip_near(a, b) else { continue };
        let (Some(pa), Some(pb)) = (project(camera, &a), project(camera, &b)) else { continue };
        for p in dotted(&pa, &pb, 4.0, camera) {
            let Some(i) = mask.index(&mask.to_label(p)) else { continue };
            if at_border(mask, i) || rim(mask, pictures, i) {
                continue;
            }
            expected += 1;
            covered += usize::from(mask.owner[i] != NOT_INSTRUMENT);
        }
    }
    (expected, covered)
}

/// Points every `step` px from b towards a, as long as they stay near the picture.
fn dotted(a: &Point2<f64>, b: &Point2<f64>, step: f64, camera: &CameraModel) -> Vec<Point2<f64>> {
    const MAX_POINTS: usize = 256;
    let ba = a - b;
    let length = ba.norm();
    let margin = 50.0;
    (0..MAX_POINTS)
        .map(|k| k as f64 * step)
        .take_while(|s| *s <= length)
        .map(|s| b + ba * (s / length.max(1e-9)))
        .take_while(|p| {
            p.x > -margin && p.y > -margin && p.x < camera.width as f64 + margin && p.y < camera.height as f64 + margin
        })
        .collect()
}

/// Points of the expected outline, each with one inside the instrument beside it: both sides of shaft and wrist, and the end of the jaws. The
/// sides of the jaws are left out because how jaws look when open is not a capsule.
fn outline(tool: &Tool, camera: &CameraModel) -> Vec<(Point2<f64>, Point2<f64>)> {
    /// How far towards the axis the point inside lies.
    const INWARD: f64 = 0.6;
    /// Spacing along the axis, metres.
    const SPACING: f64 = 0.001;
    /// Longest piece of shaft that can be in a picture, metres.
    const REACH: f64 = 0.12;
    let mut points = Vec::with_capacity(300);
    for part in [Part::Shaft, Part::Wrist] {
        let (a, b, radius) = tool.part(part);
        let Some(up) = (a - b).try_normalize(1e-9) else { continue };
        let length = (a - b).norm().min(REACH);
        let mut s = 0.0;
        while s <= length {
            let q = b + up * s;
            if let Some(side) = up.cross(&q.coords).try_normalize(1e-9) {
                let side: Vector3<f64> = side * radius;
                let pair = |sign: f64| {
                    Some((
                        project(camera, &(q + side * sign))?,
                        project(camera, &(q + side * (sign * (1.0 - INWARD))))?,
                    ))
                };
                points.extend([1.0, -1.0].into_iter().filter_map(pair));
            }
            s += SPACING;
        }
    }
    // The end counts as much as a centimetre of sides.
    let within = tool.end + (tool.yaw - tool.end) * INWARD;
    if let (Some(end), Some(within)) = (project(camera, &tool.end), project(camera, &within)) {
        points.extend(std::iter::repeat_n((end, within), 10));
    }
    points
}

/// Distances to the nearest outline pixel of an arm, over the part of the label image around it.
struct OutlineDistance {
    /// Label pixels, f32.
    map: core::Mat,
    left: usize,
    top: usize,
}

impl OutlineDistance {
    /// Distance at a label pixel, px of the picture, capped at [`CAP_PX`].
    fn at(&self, mask: &Mask, index: usize) -> opencv::Result<f64> {
        let (x, y) = (index % mask.width, index / mask.width);
        let (Some(x), Some(y)) = (x.checked_sub(self.left), y.checked_sub(self.top)) else { return Ok(CAP_PX) };
        if x as i32 >= self.map.cols() || y as i32 >= self.map.rows() {
            return Ok(CAP_PX);
        }
        let distance = *self.map.at_2d::<f32>(y as i32, x as i32)?;
        Ok((f64::from(distance) * mask.scale).min(CAP_PX))
    }
}

/// Distance map to the outline of `arm`'s pixels; `None` when it has (almost) none.
fn distance_to_outline(mask: &Mask, pictures: &Pictures, arm: usize) -> opencv::Result<Option<OutlineDistance>> {
    let own = owner_of(arm);
    let mut outline = Vec::new();
    let (mut left, mut top, mut right, mut bottom) = (mask.width, mask.height, 0, 0);
    for y in 1..mask.height - 1 {
        let row = y * mask.width;
        for x in 1..mask.width - 1 {
            let i = row + x;
            if mask.owner[i] != own {
                continue;
            }
            let open = |j: usize| mask.owner[j] == NOT_INSTRUMENT && !rim(mask, pictures, j);
            if open(i - 1) || open(i + 1) || open(i - mask.width) || open(i + mask.width) {
                outline.push((x, y));
                (left, right) = (left.min(x), right.max(x));
                (top, bottom) = (top.min(y), bottom.max(y));
            }
        }
    }
    if outline.len() < 12 {
        return Ok(None);
    }
    // Farther away the distance is beyond the cap anyway.
    let margin = (CAP_PX / mask.scale).ceil() as usize + 1;
    let (left, top) = (left.saturating_sub(margin), top.saturating_sub(margin));
    let (right, bottom) = ((right + margin).min(mask.width - 1), (bottom + margin).min(mask.height - 1));
    let (columns, rows) = (right - left + 1, bottom - top + 1);
    let mut image = vec![255u8; columns * rows];
    for (x, y) in outline {
        image[(y - top) * columns + x - left] = 0;
    }
    let image = core::Mat::new_rows_cols_with_data(rows as i32, columns as i32, &image)?;
    let mut map = core::Mat::default();
    imgproc::distance_transform(&image, &mut map, imgproc::DIST_L2, imgproc::DIST_MASK_3, core::CV_32F)?;
    Ok(Some(OutlineDistance { map, left, top }))
}
