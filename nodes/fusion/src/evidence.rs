//! From one picture to the [`Feature`]s of one instrument.

use crate::{
    feature::{Feature, FeatureKind, front_disparity, part_depth},
    geometry::{along_ray, project},
    hand_eye::MAX_FEATURES,
    mask::{Mask, owner_of},
    params::FusionParams,
    picture::Pictures,
    shaft::{ShaftFit, fit_shaft},
    sweep::{MIN_SAMPLES, Sample, sweep},
    tool::{Part, Tool},
};
use nalgebra::{Point2, Vector2};
use proctor_types::{Class, StereoRig, ToolKeypoint};

/// What one picture offers for one arm.
pub struct Picture<'a> {
    /// Owners and labels.
    pub mask: &'a Mask,
    /// Luminance.
    pub pictures: &'a Pictures,
    /// Cameras.
    pub rig: &'a StereoRig,
    /// Perception's own points.
    pub keypoints: &'a [ToolKeypoint],
}

/// Everything the picture says about `arm`, at most [`MAX_FEATURES`]. `tool` is the expected instrument in camera
/// coordinates; `disparity_sigma` its uncertainty in disparity, px.
pub fn features(
    picture: &Picture<'_>,
    arm: usize,
    tool: &Tool,
    disparity_sigma: f64,
    params: &FusionParams,
) -> Vec<Feature> {
    let look = Expected { picture, arm, tool, disparity_sigma, params };
    let mut out = Vec::with_capacity(MAX_FEATURES);
    let camera = &picture.rig.left;
    let hint = axis_direction(tool, camera);
    let fit = hint.and_then(|hint| fit_shaft(picture.mask, picture.pictures, arm, &hint));
    if let Some(fit) = &fit {
        look.shaft_features(fit, &mut out);
        look.shaft_disparities(fit, &mut out);
    }
    let direction = fit.as_ref().map(|f| f.direction).or(hint);
    for (part, class) in [(Part::Wrist, Class::InstrumentWrist), (Part::Jaws, Class::InstrumentJaws)] {
        look.middle_features(part, class, &mut out);
    }
    if let Some(direction) = direction {
        look.keypoint_features(&direction, &mut out);
    }
    out.truncate(MAX_FEATURES);
    out
}

/// Expected direction of the shaft towards the tip, in the picture.
fn axis_direction(tool: &Tool, camera: &proctor_types::CameraModel) -> Option<Vector2<f64>> {
    let distal = project(camera, &tool.pitch)?;
    // A centimetre up the shaft; further up it may lie behind the camera.
    let up = (tool.top - tool.pitch).try_normalize(1e-9)? * 0.01;
    let proximal = project(camera, &(tool.pitch + up))?;
    (distal - proximal).try_normalize(1e-6)
}

/// An instrument where it is expected, and the picture that it is looked for in.
struct Expected<'a> {
    picture: &'a Picture<'a>,
    arm: usize,
    /// In camera coordinates.
    tool: &'a Tool,
    /// How uncertain its depth is, px of disparity.
    disparity_sigma: f64,
    params: &'a FusionParams,
}

impl Expected<'_> {
    /// Middle and width of the shaft at each station. A width that the shaft cannot have there means that one of the edges is that of something
    /// else: then the middle is not the shaft's either, and of the edges the one that is where it is expected counts, if the other is clearly not.
    fn shaft_features(&self, fit: &ShaftFit, out: &mut Vec<Feature>) {
        /// Standard deviations within which a width may be the shaft's, and the least of one, px.
        const MAY_BE: f64 = 3.0;
        const LEAST_SIGMA: f64 = 2.0;
        /// Farthest an edge lies from where it is expected that is believed alone, and least that the other lies, px.
        const EXPECTED: f64 = 6.0;
        const ELSEWHERE: f64 = 18.0;
        let Self { picture, tool, params, .. } = *self;
        // Doubt about the depth as a share of it: so much narrower or wider the shaft may look.
        let depth = tool.pitch.z.max(0.02);
        let scale_sigma = self.disparity_sigma * depth / (picture.rig.left.fx * picture.rig.baseline);
        let off = |feature: &Feature| feature.residual(tool, picture.rig);
        for station in &fit.stations {
            let normal = station.normal;
            let edge = |offset: f64, outward: Vector2<f64>| {
                let kind = FeatureKind::Edge { at: station.at + normal * offset, outward };
                Feature { kind, sigma: params.sigma_edge_px }
            };
            match (station.lower, station.upper) {
                (Some(lower), Some(upper)) => {
                    let at = station.at + normal * (0.5 * (lower + upper));
                    let sigma = if station.sharp { params.sigma_sharp_width_px } else { params.sigma_width_px };
                    let width = Feature { kind: FeatureKind::Width { at, normal, width: upper - lower }, sigma };
                    let may_be = |too_wide: f64| {
                        let expected = upper - lower + too_wide;
                        too_wide.abs() <= MAY_BE * sigma.max(LEAST_SIGMA).hypot(expected * scale_sigma)
                    };
                    if off(&width).is_some_and(may_be) {
                        out.push(Feature { kind: FeatureKind::Centre { at, normal }, sigma: params.sigma_centre_px });
                        out.push(width);
                        continue;
                    }
                    let edges = [edge(lower, -normal), edge(upper, normal)];
                    let away = edges.each_ref().map(|e| off(e).map_or(f64::INFINITY, f64::abs));
                    let nearer = usize::from(away[1] < away[0]);
                    if away[nearer] < EXPECTED && away[1 - nearer] > ELSEWHERE {
                        out.push(edges[nearer]);
                    }
                }
                (Some(lower), None) => out.push(edge(lower, -normal)),
                (None, Some(upper)) => out.push(edge(upper, normal)),
                (None, None) => {}
            }
        }
        if let Some(at) = fit.end {
            let kind = FeatureKind::ShaftEnd { at, direction: fit.direction };
            out.push(Feature { kind, sigma: params.sigma_shaft_end_px });
        }
    }

    /// Patches along the visible shaft, each with the tube's own depth profile.
    fn shaft_disparities(&self, fit: &ShaftFit, out: &mut Vec<Feature>) {
        const PATCHES: usize = 4;
        let Self { picture, arm, tool, disparity_sigma, params } = *self;
        let mask = picture.mask;
        let normal = Vector2::new(-fit.direction.y, fit.direction.x);
        let [near, far] = &fit.stations;
        let (a, b, radius) = tool.part(Part::Shaft);
        let half_width = |t: f64| {
            let width = |s: &crate::shaft::Station| Some(s.upper? - s.lower?);
            Some(0.5 * (width(near)? * (1.0 - t) + width(far)? * t))
        };
        let middle = |s: &crate::shaft::Station| Some(s.at + normal * (0.5 * (s.lower? + s.upper?)));
        let (Some(start), Some(end)) = (middle(near), middle(far)) else { return };
        let patch_length = (end - start).norm() / PATCHES as f64;
        for k in 0..PATCHES {
            let t = (k as f64 + 0.5) / PATCHES as f64;
            let at = start + (end - start) * t;
            let Some(half) = half_width(t).filter(|h| *h > 2.0) else { continue };
            let Some(front) = front_disparity(tool, Part::Shaft, &at, picture.rig) else { continue };
            // Subsample wide patches to about 20 x 14 pixels.
            let (du, ds) = ((half / 10.0).max(1.0), (patch_length / 14.0).max(1.0));
            let mut samples = Vec::with_capacity(400);
            let mut s = -0.5 * patch_length;
            while s <= 0.5 * patch_length {
                let mut x = -half;
                while x <= half {
                    let p = at + fit.direction * s + normal * x;
                    let own = mask.index(&mask.to_label(p)).is_some_and(|i| mask.is(i, arm, Class::InstrumentShaft));
                    if own {
                        push_sample(picture, &mut samples, &p, || {
                            // Depth of the tube across its width, carried from the expected to the seen middle line.
                            let on_axis = at + fit.direction * s;
                            let hit = along_ray(&picture.rig.left, &on_axis, &a, &b, radius)?;
                            let bulge = (1.0 - (x / half).powi(2)).max(0.0).sqrt();
                            Some(hit.axis_depth - hit.half_thickness * bulge)
                        });
                    }
                    x += du;
                }
                s += ds;
            }
            if let Some(shift) = sweep(picture.pictures, &samples, search_range(disparity_sigma)) {
                let kind = FeatureKind::Disparity { part: Part::Shaft, at, disparity: front + shift.disparity };
                out.push(Feature { kind, sigma: params.sigma_disparity_px.hypot(shift.sigma) });
            }
        }
    }

    /// Centroid of a part's pixels in both directions, and its disparity. Of a part that is cut off or mostly covered only the
    /// disparity counts: its centroid would be that of what is left of it. Of too much of it nothing counts.
    fn middle_features(&self, part: Part, class: Class, out: &mut Vec<Feature>) {
        /// Share of the expected area that is the whole part, and that cannot be the part alone.
        const LEAST: f64 = 0.4;
        const MOST: f64 = 2.5;
        /// Share of the expected area below which some of it is missing, and by how much of the missing length the middle may be off.
        const WHOLE: f64 = 0.85;
        const MISSING: f64 = 0.4;
        let Self { picture, arm, tool, disparity_sigma, params } = *self;
        let mask = picture.mask;
        let Some(blob) = blob(mask, arm, class) else { return };
        let (a, b, radius) = tool.part(part);
        let Some((middle, length)) = tool.middle(part) else { return };
        let (Some(pa), Some(pb)) = (project(&picture.rig.left, &a), project(&picture.rig.left, &b)) else { return };
        let depth = middle.z;
        let width = 2.0 * radius * picture.rig.left.fx / depth;
        let seen_length = (pb - pa).norm() * length / (b - a).norm().max(1e-9);
        let expected_area = (width * seen_length + 0.25 * std::f64::consts::PI * width * width) / mask.scale.powi(2);
        let ratio = blob.count as f64 / expected_area.max(1.0);
        if ratio > MOST {
            return;
        }
        let at = mask.to_full(blob.centroid);
        let Some(expected_at) = project(&picture.rig.left, &middle) else { return };
        let whole = !blob.at_border && ratio >= LEAST;
        if whole {
            // Larger parts are surer to be all there; open jaws are not a capsule.
            let sigma = params.sigma_part_px * if part == Part::Jaws { 1.3 } else { 1.0 };
            // What is missing lay somewhere: the middle of the whole may be that far from the middle of the rest.
            let missing = ((WHOLE - ratio) / WHOLE).max(0.0);
            let sigma = sigma.hypot(MISSING * missing * seen_length);
            for direction in [Vector2::x(), Vector2::y()] {
                out.push(Feature { kind: FeatureKind::Middle { part, at, direction }, sigma });
            }
        }
        let Some(front) = front_disparity(tool, part, &at, picture.rig) else { return };
        // The expected part, carried to where the part is seen. Where that is, a piece of it does not say.
        let carry = if whole { expected_at - at } else { Vector2::zeros() };
        let mut samples = Vec::with_capacity(400);
        let stride = (blob.count / 300).max(1);
        for i in mask.pixels(arm, class).step_by(stride) {
            let p = mask.to_full(mask.point(i));
            push_sample(picture, &mut samples, &p, || part_depth(tool, part, &(p + carry), picture.rig));
        }
        if samples.len() >= MIN_SAMPLES
            && let Some(shift) = sweep(picture.pictures, &samples, search_range(disparity_sigma))
        {
            let kind = FeatureKind::Disparity { part, at, disparity: front + shift.disparity };
            // Where in the part the front is, the capsule does not know: half a radius of doubt.
            let doubt = 0.5 * front * radius / depth;
            out.push(Feature { kind, sigma: params.sigma_disparity_px.hypot(shift.sigma).hypot(doubt) });
        }
    }

    /// Perception's jaw end, if it lies on this arm's pixels. Jaws that seem shorter than they are may end behind something: the shorter, the
    /// less it says. `shaft` is the direction of jaws that point at the camera.
    fn keypoint_features(&self, shaft: &Vector2<f64>, out: &mut Vec<Feature>) {
        const MIN_CONFIDENCE: f32 = 0.4;
        /// Shortest jaws in the picture that have a direction there, px.
        const SHORTEST: f64 = 8.0;
        /// Doubt across the jaws, as a multiple of that along them.
        const ACROSS: f64 = 1.5;
        let Self { picture, arm, tool, params, .. } = *self;
        let mask = picture.mask;
        let best = picture
            .keypoints
            .iter()
            .filter(|k| k.part == Class::InstrumentJaws && k.confidence >= MIN_CONFIDENCE)
            .filter(|k| k.u.is_finite() && k.v.is_finite() && on_arm(mask, arm, &Point2::new(k.u, k.v)))
            .max_by(|a, b| a.confidence.total_cmp(&b.confidence));
        if let Some(k) = best {
            let at = Point2::new(k.u, k.v);
            let [yaw, end] = [tool.yaw, tool.end].map(|p| project(&picture.rig.left, &p));
            let jaws = end.zip(yaw).and_then(|(end, yaw)| (end - yaw).try_normalize(SHORTEST));
            let along = jaws.unwrap_or(*shaft);
            let feature = |direction, sigma| Feature { kind: FeatureKind::JawEnd { at, along, direction }, sigma };
            let reach = feature(along, params.sigma_keypoint_px);
            let short = reach.residual(tool, picture.rig).map_or(0.0, |px| px.max(0.0));
            let across = feature(Vector2::new(-along.y, along.x), ACROSS * params.sigma_keypoint_px);
            out.extend([reach, across].map(|f| Feature { sigma: f.sigma.hypot(short), ..f }));
        }
    }
}

/// How far to look, px: three sigma and a little.
fn search_range(disparity_sigma: f64) -> f64 {
    (3.0 * disparity_sigma + 2.0).clamp(3.0, 15.0)
}

fn push_sample(picture: &Picture<'_>, samples: &mut Vec<Sample>, p: &Point2<f64>, depth: impl FnOnce() -> Option<f64>) {
    let (x, y) = ((p.x + 0.5).floor(), (p.y + 0.5).floor());
    let inside = x >= 0.0 && y >= 0.0 && x < picture.pictures.width as f64 && y < picture.pictures.height as f64;
    if let (true, Some(depth)) = (inside, depth().filter(|z| *z > crate::geometry::NEAR)) {
        let disparity = picture.rig.left.fx * picture.rig.baseline / depth;
        samples.push(Sample { u: x as usize, v: y as usize, disparity });
    }
}

struct Blob {
    count: usize,
    centroid: Point2<f64>,
    at_border: bool,
}

fn blob(mask: &Mask, arm: usize, class: Class) -> Option<Blob> {
    const MIN_PIXELS: usize = 12;
    let (mut count, mut sum, mut border) = (0usize, Vector2::zeros(), 0usize);
    for i in mask.pixels(arm, class) {
        let p = mask.point(i);
        count += 1;
        sum += p.coords;
        let edge = p.x < 1.5 || p.y < 1.5 || p.x > mask.width as f64 - 2.5 || p.y > mask.height as f64 - 2.5;
        border += usize::from(edge);
    }
    (count >= MIN_PIXELS).then(|| Blob { count, centroid: Point2::from(sum / count as f64), at_border: border > 2 })
}

/// Whether any pixel within two label pixels of `full` belongs to `arm`.
fn on_arm(mask: &Mask, arm: usize, full: &Point2<f64>) -> bool {
    let centre = mask.to_label(*full);
    (-2..=2).any(|dy| {
        (-2..=2).any(|dx| {
            let p = centre + Vector2::new(f64::from(dx), f64::from(dy));
            mask.index(&p).is_some_and(|i| mask.owner[i] == owner_of(arm))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Seams;
    use nalgebra::{Point3, Vector3};
    use proctor_types::{CameraModel, Image};

    #[test]
    fn the_shorter_jaws_seem_the_less_their_end_counts() {
        let (width, height) = (640, 480);
        let left = CameraModel { width, height, fx: 500.0, fy: 500.0, cx: 319.5, cy: 239.5, distortion: [0.0; 5] };
        let rig = StereoRig { left, baseline: 0.005 };
        // At 100 mm, 5 px per mm: jaws of 45 px that point right and end in column 364.5.
        let at = |x: f64| Point3::new(x, 0.0, 0.1);
        let tool = Tool {
            top: at(-0.1),
            pitch: at(-0.009),
            yaw: at(0.0),
            end: at(0.009),
            spread: Vector3::zeros(),
            radii: [0.004, 0.003, 0.001],
            seams: Seams { shaft_end: 0.006, wrist_end: 0.002 },
        };
        let grey = vec![100; width * height];
        let left_rgb = Image::new(0, 0, Vec::new()).unwrap();
        let pictures = Pictures { width, height, left_rgb, left: grey.clone(), right: grey };
        // Nothing but the keypoint is seen of it.
        let (columns, rows) = (width / 2, height / 2);
        let (labels, owner) = (vec![0; columns * rows], vec![owner_of(0); columns * rows]);
        let mask = Mask { width: columns, height: rows, scale: 2.0, labels, owner, unknown_labels: 0 };
        let params = FusionParams::default();
        let sigmas = |u: f64| {
            let end = ToolKeypoint { part: Class::InstrumentJaws, u, v: 239.5, confidence: 0.9, instrument: 0 };
            let picture = Picture { mask: &mask, pictures: &pictures, rig: &rig, keypoints: &[end] };
            features(&picture, 0, &tool, 1.0, &params).iter().map(|f| f.sigma).collect::<Vec<_>>()
        };
        let (along, across) = (params.sigma_keypoint_px, 1.5 * params.sigma_keypoint_px);
        for (u, short) in [(364.5, 0.0), (384.5, 0.0), (344.5, 20.0)] {
            let seen = sigmas(u);
            assert_eq!(seen.len(), 2, "{seen:?}");
            for (seen, expected) in seen.iter().zip([along, across]) {
                assert!((seen - expected.hypot(short)).abs() < 1e-9, "column {u}: {seen}, not {expected} and {short}");
            }
        }
    }
}
