//! The kinematic instrument as geometry: shaft, wrist and jaws, in the arm's base frame and in the camera's.

use crate::geometry::project;
use nalgebra::{Isometry3, Point2, Point3, Vector2, Vector3};
use proctor_kinematics::Capsule;
use proctor_types::CameraModel;

/// An instrument's parts at one joint state. The same shape serves in base, world and camera coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tool {
    /// A point far up the shaft (the remote centre).
    pub top: Point3<f64>,
    /// Wrist-pitch axis: where the shaft ends.
    pub pitch: Point3<f64>,
    /// Wrist-yaw axis: where the jaws begin.
    pub yaw: Point3<f64>,
    /// End of the jaws, between them: nearer than that of closed jaws by the cosine of half the opening.
    pub end: Point3<f64>,
    /// From there to the end of one jaw, m; that of the other lies opposite.
    pub spread: Vector3<f64>,
    /// Radii of shaft, wrist and jaws, metres.
    pub radii: [f64; 3],
    /// How the labels divide the instrument.
    pub seams: Seams,
}

/// Where the classes of the label image meet on the instrument; a property of how training data are labelled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seams {
    /// The shaft class ends this far before the wrist-pitch axis, m: the clevis looks like wrist.
    pub shaft_end: f64,
    /// The wrist class ends this far beyond the wrist-yaw axis, m.
    pub wrist_end: f64,
}

/// A part of an instrument that a measurement speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The straight tube.
    Shaft,
    /// Between the pitch and yaw axes.
    Wrist,
    /// Beyond the yaw axis.
    Jaws,
}

impl Part {
    /// Every part, proximal first.
    pub const ALL: [Self; 3] = [Self::Shaft, Self::Wrist, Self::Jaws];

    /// How far before its axis the front lies that stereo finds, as a share of its radius. A wrist is forks and cheeks, not a round bar:
    /// measured at true poses.
    pub fn front(self) -> f64 {
        match self {
            Self::Shaft => 1.0,
            Self::Wrist => 0.56,
            Self::Jaws => 0.9,
        }
    }
}

impl Tool {
    /// The same instrument seen from another frame.
    #[must_use]
    pub fn transformed(&self, to_from: &Isometry3<f64>) -> Self {
        Self {
            top: to_from * self.top,
            pitch: to_from * self.pitch,
            yaw: to_from * self.yaw,
            end: to_from * self.end,
            spread: to_from * self.spread,
            ..*self
        }
    }

    /// Axis of a part, proximal end first, and its radius.
    pub fn part(&self, part: Part) -> (Point3<f64>, Point3<f64>, f64) {
        match part {
            Part::Shaft => (self.top, self.pitch, self.radii[0]),
            Part::Wrist => (self.pitch, self.yaw, self.radii[1]),
            Part::Jaws => (self.yaw, self.end, self.radii[2]),
        }
    }

    /// Shaft, wrist and jaws as capsules, grown by `by`, m.
    pub fn capsules(&self, by: f64) -> [Capsule; 3] {
        Part::ALL.map(|part| {
            let (a, b, radius) = self.part(part);
            Capsule { a, b, radius: radius + by }
        })
    }

    /// The front of the shaft's distal rim, as a camera at the origin sees it (camera coordinates only).
    pub fn shaft_rim(&self) -> Option<Point3<f64>> {
        let axis = (self.pitch - self.top).try_normalize(1e-9)?;
        let end = self.pitch - axis * self.seams.shaft_end;
        let towards_eye = axis * end.coords.dot(&axis) - end.coords;
        Some(end + towards_eye.try_normalize(1e-9)? * self.radii[0])
    }

    /// Where perception sees the jaws end that point along a direction of the picture: at the end of the jaw that reaches farther, or between
    /// both if they reach as far (camera coordinates only).
    pub fn foremost(&self, camera: &CameraModel, along: &Vector2<f64>) -> Option<Point2<f64>> {
        /// Lead of one jaw, px, that tells it from the other: the label image's pixels are two wide.
        const LEAD: f64 = 3.0;
        let ends = [self.end + self.spread, self.end - self.spread];
        let [one, other] = [project(camera, &ends[0])?, project(camera, &ends[1])?];
        let share = 1.0 / (1.0 + (-(one - other).dot(along) / LEAD).exp());
        Some(other + (one - other) * share)
    }

    /// Middle of what is labelled as wrist or jaws, and its length.
    pub fn middle(&self, part: Part) -> Option<(Point3<f64>, f64)> {
        let (a, b, _) = self.part(part);
        let axis = (b - a).try_normalize(1e-9)?;
        match part {
            Part::Shaft => None,
            Part::Wrist => {
                // Two straight pieces: the clevis along the shaft, and the wrist itself.
                let shaft = (self.pitch - self.top).try_normalize(1e-9)?;
                let (clevis, wrist) = (self.seams.shaft_end, (b - a).norm() + self.seams.wrist_end);
                let (c1, c2) = (self.pitch - shaft * (0.5 * clevis), a + axis * (0.5 * wrist));
                let length = clevis + wrist;
                Some((c1 + (c2 - c1) * (wrist / length), length))
            }
            Part::Jaws => {
                let a = a + axis * self.seams.wrist_end;
                Some((nalgebra::center(&a, &b), (b - a).norm()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMERA: CameraModel =
        CameraModel { width: 640, height: 480, fx: 500.0, fy: 500.0, cx: 319.5, cy: 239.5, distortion: [0.0; 5] };

    /// Jaws at 100 mm that point right and open by 2 mm to each side of where `turn` has them, in the picture: 5 px per mm.
    fn jaws(turn: f64, spread: f64) -> Tool {
        let axis = Vector3::new(turn.cos(), turn.sin(), 0.0);
        let yaw = Point3::new(0.0, 0.0, 0.1);
        Tool {
            top: yaw - axis * 0.1,
            pitch: yaw - axis * 0.009,
            yaw,
            end: yaw + axis * 0.009,
            spread: Vector3::new(-axis.y, axis.x, 0.0) * spread,
            radii: [0.004, 0.003, 0.001],
            seams: Seams { shaft_end: 0.006, wrist_end: 0.002 },
        }
    }

    #[test]
    fn jaws_end_where_the_farther_of_them_does() {
        let middle = |tool: &Tool| project(&CAMERA, &tool.end).unwrap();
        let right = Vector2::x();
        // Both as far: between them.
        let level = jaws(0.0, 0.002);
        assert!((level.foremost(&CAMERA, &right).unwrap() - middle(&level)).norm() < 1e-9);
        // One of them leads by 2 * 2 mm * sin(0.8), 14 px: at its end, 10 px from the middle.
        for (turn, side) in [(0.8, -1.0), (-0.8, 1.0)] {
            let tool = jaws(turn, 0.002);
            let off = tool.foremost(&CAMERA, &right).unwrap() - middle(&tool);
            let to_its_end = Vector2::new(-turn.sin(), turn.cos()) * 10.0 * side;
            assert!((off - to_its_end).norm() < 0.3, "{off} {to_its_end}");
        }
        // Closed, or but a point: the end itself.
        let closed = jaws(0.8, 0.0);
        assert!((closed.foremost(&CAMERA, &right).unwrap() - middle(&closed)).norm() < 1e-9);
    }
}
