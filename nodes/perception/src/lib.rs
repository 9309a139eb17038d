//! Perception: what the endoscope's picture shows, with ONNX Runtime and OpenCV.
//!
//! [`Perception::step`] takes a picture and gives a `Segmentation`: class per pixel, confidence per class, an uncertainty
//! map, points of instruments and a verdict on the picture. [`Finder::find`] runs a model of any other task - boxes, points, scores,
//! regions of its own classes - beside it, for people to see. Logic reads no clock and no file; [`cli`] (the `segment`
//! and `eval segmentation` tools), [`report`] (`model report`) and the node are the shells. A model is a folder of `model.onnx` and `model.toml`;
//! [`Model::load`] refuses it when hash, tensors or classes differ from the manifest.

pub mod clarity;
pub mod cli;
pub mod contract;
pub mod decode;
pub mod device;
pub mod error;
pub mod eval;
pub mod find;
pub mod finder;
pub mod finder_node;
pub mod head;
pub mod keypoints;
pub mod manifest;
pub mod message;
pub mod model;
pub mod node;
pub mod overlay;
pub mod picture;
pub mod pipeline;
pub mod placement;
pub mod posterior;
pub mod quality;
pub mod report;
pub mod runtime;
pub mod segment;

pub use device::Device;
pub use error::PerceptionError;
pub use finder::Finder;
pub use finder_node::FinderNode;
pub use model::{DEFAULT_MODEL, Model};
pub use node::{PerceptionNode, PerceptionNodeError, PerceptionParams};
pub use pipeline::Perception;
pub use quality::QualityParams;
pub use runtime::{OrtConfig, find_onnxruntime};
