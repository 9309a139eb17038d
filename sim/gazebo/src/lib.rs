//! The operating cell as a world of Gazebo: [`export`] writes it from what the built-in simulator is made of, so that there is one source.
//!
//! - arms: `urdf/generated/cell.urdf`, standing where the simulator says that they truly do;
//! - organs and instruments: the simulator's meshes, at rest (Gazebo has no soft bodies);
//! - endoscope: the intrinsics and the baseline of `proctor_kinematics::Cell`, a light beside it, a segmentation and a depth camera for ground truth.
//!
//! One world for Fortress (6.16 and later) and everything newer: SDF 1.9, systems by the names that both know.
//!
//! [`Arm`] says what a program that moves the arms needs to know: joints, topics, units.

mod arm;
mod links;
mod obj;
mod sdf;
mod world;

pub use arm::{Arm, Jaw, Joint};
pub use world::{Camera, JOINT_STATE, WORLD, export};

use proctor_kinematics::KinematicsError;
use proctor_sim::{SimError, render::RenderError};
use std::path::PathBuf;

/// What Gazebo's window shows of the world, as its `--gui-config` takes it.
pub const WINDOW: &str = include_str!("../gui.config");

/// What can go wrong while a world is written.
#[derive(Debug, thiserror::Error)]
pub enum GazeboError {
    /// The scene or an arm could not be made.
    #[error(transparent)]
    Scene(#[from] SimError),
    /// An instrument's shape could not be made.
    #[error(transparent)]
    Shape(#[from] RenderError),
    /// An arm's kinematics are not of the form we know.
    #[error(transparent)]
    Kinematics(#[from] KinematicsError),
    /// The cell's URDF is not as expected.
    #[error("cell.urdf: {0}")]
    Urdf(String),
    /// A file could not be written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
