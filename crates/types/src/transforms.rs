//! Where frames are, and joints under their names in the robot's description, for tf2, RViz and Foxglove; never for decisions.

use crate::Stamp;
use nalgebra::Isometry3;

/// Where one frame is in another.
#[derive(Debug, Clone, PartialEq)]
pub struct Transform {
    /// When.
    pub stamp: Stamp,
    /// `header.frame_id`.
    pub parent: String,
    /// `child_frame_id`.
    pub child: String,
    /// Takes what is said in the child to the parent.
    pub parent_from_child: Isometry3<f64>,
}

/// What one message of `/tf` holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transforms(
    /// At most [`Transforms::MAX`].
    pub Vec<Transform>,
);

impl Transforms {
    /// Most transforms in one message.
    pub const MAX: usize = 256;
    /// Longest name of a frame, bytes.
    pub const MAX_NAME: usize = 256;
}

/// Joints under their names in the robot's description (`/joint_states`).
#[derive(Debug, Clone, PartialEq)]
pub struct NamedJoints {
    /// When.
    pub stamp: Stamp,
    /// Name, position (rad or m) and velocity; at most [`NamedJoints::MAX`].
    pub joints: Vec<(String, f64, f64)>,
}

impl NamedJoints {
    /// Most joints in one message.
    pub const MAX: usize = 64;
    /// Longest name, bytes.
    pub const MAX_NAME: usize = 64;
}
