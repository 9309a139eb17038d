//! What can keep fusion from starting. A running fusion has no errors: doubt is part of the scene.

use proctor_types::Class;

/// Why fusion could not be built.
#[derive(Debug, thiserror::Error)]
pub enum FusionError {
    /// A parameter is outside its range.
    #[error("parameter {name} must lie in [{min}, {max}], got {value}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Smallest allowed value.
        min: f64,
        /// Largest allowed value.
        max: f64,
    },
    /// A class that must be tissue is not.
    #[error("guarded classes must be tissue, got {}", class.name())]
    NotTissue {
        /// The class.
        class: Class,
    },
    /// The robot's description was refused.
    #[error(transparent)]
    Kinematics(#[from] proctor_kinematics::KinematicsError),
    /// A recording in which hardly any point has a pose at its time.
    #[error(
        "only {pairs} of {points} points have a pose at their time ({poses} poses), at least {needed} are needed: are the stamps of one clock?"
    )]
    TooFewPairs {
        /// Points with a pose.
        pairs: usize,
        /// How many are needed.
        needed: usize,
        /// All points.
        points: usize,
        /// All poses.
        poses: usize,
    },
    /// A recording whose motion does not tell where the arm's base is.
    #[error(
        "the motion does not tell where the arm's base is (standard deviation {:.0} mm): give a hand-eye file, or a recording in which the tip \
         moves in all directions", .sigma * 1e3
    )]
    Undetermined {
        /// Standard deviation of the point before the camera, m.
        sigma: f64,
    },
    /// OpenCV could not set up what fusion needs.
    #[error("OpenCV: {0}")]
    OpenCv(#[from] opencv::Error),
    /// A stereo rig whose disparities between the nearest and farthest depth do not fit into its pictures.
    #[error("stereo rig with fx = {fx} px, baseline = {baseline} m and pictures {width} px wide cannot be matched")]
    Rig {
        /// Focal length, px.
        fx: f64,
        /// Distance of the cameras, m.
        baseline: f64,
        /// Width of the pictures, px.
        width: usize,
    },
}
