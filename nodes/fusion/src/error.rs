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
