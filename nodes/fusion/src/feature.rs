//! What a picture says about one instrument, as scalar measurements with noise, and what the kinematics predict.

use crate::{
    geometry::{along_ray, cylinder_outline, offset_to_line, project},
    tool::{Part, Tool},
};
use nalgebra::{Point2, Vector2};
use proctor_types::StereoRig;

/// One scalar measurement. Its residual is predicted minus measured, pixels of the full-size left picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feature {
    /// What was measured.
    pub kind: FeatureKind,
    /// Standard deviation, px.
    pub sigma: f64,
}

/// Kinds of measurements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FeatureKind {
    /// The shaft's middle between its edges passes through `at`, measured along `normal`.
    Centre {
        /// Measured middle.
        at: Point2<f64>,
        /// Unit direction of measurement.
        normal: Vector2<f64>,
    },
    /// The shaft is this wide at `at` along `normal`.
    Width {
        /// Measured middle.
        at: Point2<f64>,
        /// Unit direction of measurement.
        normal: Vector2<f64>,
        /// Measured width, px.
        width: f64,
    },
    /// One edge of the shaft passes through `at`.
    Edge {
        /// Measured edge.
        at: Point2<f64>,
        /// Unit direction of measurement, away from the shaft.
        outward: Vector2<f64>,
    },
    /// The shaft ends at `at`, measured along `direction`.
    ShaftEnd {
        /// Measured end.
        at: Point2<f64>,
        /// Unit direction of measurement (along the shaft).
        direction: Vector2<f64>,
    },
    /// The middle of a part lies at `at`, measured along `direction`.
    Middle {
        /// Whose middle.
        part: Part,
        /// Measured middle.
        at: Point2<f64>,
        /// Unit direction of measurement.
        direction: Vector2<f64>,
    },
    /// The jaws end at `at`, measured along `direction`.
    JawEnd {
        /// Measured end.
        at: Point2<f64>,
        /// Unit direction in which they point: of the two the one that reaches farther is what ends there.
        along: Vector2<f64>,
        /// Unit direction of measurement.
        direction: Vector2<f64>,
    },
    /// The end of the jaws itself has this disparity.
    EndDisparity {
        /// Measured disparity, px.
        disparity: f64,
    },
    /// The front of a part, on the ray through `at`, has this disparity.
    Disparity {
        /// Whose front.
        part: Part,
        /// Pixel of the ray.
        at: Point2<f64>,
        /// Measured disparity, px.
        disparity: f64,
    },
}

impl Feature {
    /// Adds that the instrument may have been up to `px` away when the picture was taken. Sizes and depths hardly change with it.
    pub fn blur(&mut self, px: f64) {
        match self.kind {
            FeatureKind::Width { .. } | FeatureKind::EndDisparity { .. } | FeatureKind::Disparity { .. } => {}
            FeatureKind::Centre { .. }
            | FeatureKind::Edge { .. }
            | FeatureKind::ShaftEnd { .. }
            | FeatureKind::Middle { .. }
            | FeatureKind::JawEnd { .. } => self.sigma = self.sigma.hypot(px),
        }
    }

    /// Predicted minus measured for an instrument in camera coordinates; `None` where the prediction does not exist
    /// (behind the camera, edge-on).
    pub fn residual(&self, tool: &Tool, rig: &StereoRig) -> Option<f64> {
        let camera = &rig.left;
        let outline = |at: &Point2<f64>, along: &Vector2<f64>| -> Option<[f64; 2]> {
            let axis = tool.pitch - tool.top;
            let lines = cylinder_outline(camera, &tool.pitch, &axis, tool.radii[0])?;
            let (a, b) = (offset_to_line(&lines[0], at, along)?, offset_to_line(&lines[1], at, along)?);
            Some([a.min(b), a.max(b)])
        };
        let residual = match self.kind {
            FeatureKind::Centre { at, normal } => {
                let [lower, upper] = outline(&at, &normal)?;
                0.5 * (lower + upper)
            }
            FeatureKind::Width { at, normal, width } => {
                let [lower, upper] = outline(&at, &normal)?;
                upper - lower - width
            }
            // `outward` points away from the shaft, so the edge in question is the farther one along it.
            FeatureKind::Edge { at, outward } => outline(&at, &outward)?[1],
            FeatureKind::ShaftEnd { at, direction } => (project(camera, &tool.shaft_rim()?)? - at).dot(&direction),
            FeatureKind::Middle { part, at, direction } => {
                (project(camera, &tool.middle(part)?.0)? - at).dot(&direction)
            }
            FeatureKind::JawEnd { at, along, direction } => (tool.foremost(camera, &along)? - at).dot(&direction),
            FeatureKind::EndDisparity { disparity } => {
                project(camera, &tool.end)?;
                camera.fx * rig.baseline / tool.end.z - disparity
            }
            FeatureKind::Disparity { part, at, disparity } => front_disparity(tool, part, &at, rig)? - disparity,
        };
        residual.is_finite().then_some(residual)
    }
}

/// Disparity of a part's front surface where the ray through `at` passes its axis, px.
pub fn front_disparity(tool: &Tool, part: Part, at: &Point2<f64>, rig: &StereoRig) -> Option<f64> {
    let depth = if part == Part::Shaft {
        let (a, b, radius) = tool.part(part);
        let hit = along_ray(&rig.left, at, &a, &b, radius)?;
        hit.axis_depth - hit.half_thickness
    } else {
        // Short parts point anywhere, also at the camera: their middle stands for the whole of them.
        let (middle, _) = tool.middle(part)?;
        part_depth(tool, part, &project(&rig.left, &middle)?, rig)?
    };
    (depth > crate::geometry::NEAR).then(|| rig.left.fx * rig.baseline / depth)
}

/// Depth of the front of wrist or jaws on the ray through `at`, m.
pub fn part_depth(tool: &Tool, part: Part, at: &Point2<f64>, rig: &StereoRig) -> Option<f64> {
    let (a, b, radius) = tool.part(part);
    let front = part.front();
    let flat = tool.middle(part)?.0.z - front * radius;
    let depth = match along_ray(&rig.left, at, &a, &b, radius) {
        // Seen from the side: follow the axis, also a little beyond its ends.
        Some(hit) if hit.half_thickness < 2.0 * radius => {
            let along = hit.along.clamp(-0.7, 1.3);
            a.z + (b.z - a.z) * along - front * hit.half_thickness
        }
        _ => flat,
    };
    Some(depth)
}
