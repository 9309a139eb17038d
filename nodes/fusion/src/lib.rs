//! Fusion node: segmentation, stereo and kinematics into one [`Scene`](proctor_types::Scene) with covariance.
//!
//! [`Fusion::on_arm_state`] feeds a bounded history per arm; [`Fusion::step`] pairs a picture with the joints at its
//! stamp, finds each arm's pixels, measures how they disagree with the projected instrument, corrects the arm's
//! hand-eye estimate by it, and measures the tissue around the tools by stereo.
//!
//! Invariants: no clock, no I/O, no unbounded memory; nothing that arrives can make it panic; the same calls give
//! the same scenes bit for bit; an instrument is `Aligned` only while kinematics *and* picture say so; every PSM is
//! in every scene, with [`Alignment::Unknown`](proctor_types::Alignment) when its joints at that instant are not known.

mod arm;
mod borne_out;
mod cameras;
mod clearance;
mod error;
mod evidence;
mod feature;
mod findings;
mod frames;
mod fusion;
mod geometry;
mod grasp;
mod hand_eye;
mod history;
mod mask;
mod node;
mod offset;
mod params;
mod picture;
mod plausible;
pub mod points;
mod report;
mod residual;
mod shaft;
mod stats;
mod stereo;
mod surface;
mod sweep;
mod timing;
mod tool;
mod track;
mod verdict;

pub use error::FusionError;
pub use frames::{FramesError, FramesNode};
pub use fusion::{Fusion, FusionInput};
pub use hand_eye::HandEyeFilter;
pub use history::{HistoryBounds, KinematicsHistory, Lookup, Push, Refusal};
pub use node::{FusionCounts, FusionNode, FusionNodeError};
pub use offset::{Motion, OffsetEstimator, Reading};
pub use params::FusionParams;
pub use stats::FusionStats;
