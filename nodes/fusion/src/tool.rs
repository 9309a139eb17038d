//! The kinematic instrument as geometry: shaft, wrist and jaws, in the arm's base frame and in the camera's.

use nalgebra::{Isometry3, Point3};
use proctor_kinematics::Capsule;

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
