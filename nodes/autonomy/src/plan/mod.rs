//! What both skills share: Cartesian path -> joint path -> time law -> clearance.

pub mod clearance;
pub mod picture;
pub mod time_law;
pub mod tool_path;

use crate::Declined;
use nalgebra::Point3;
use proctor_types::Joints;

/// A point of a path.
#[derive(Debug, Clone, Copy)]
pub struct PathPoint {
    /// Joints there.
    pub joints: Joints,
    /// Points whose speed is limited, base frame: the tip frame's origin and the jaws' end (twice the tip for the ECM).
    pub tips: [Point3<f64>; 2],
}

/// A path in joint space, by path fraction.
pub trait JointPath {
    /// Joints at the path fraction `s` in [0, 1]; `seed` is the previous point, so that inverse kinematics stays on
    /// its branch.
    fn at(&self, s: f64, seed: &Joints) -> Result<PathPoint, Declined>;

    /// Length of the tip's path, m; a lower bound for the time law, not a promise.
    fn length(&self) -> f64;
}
