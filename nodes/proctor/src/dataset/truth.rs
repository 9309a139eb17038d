//! What a data set says about itself (`dataset.json`) and about each frame (`truth/NNNNNN.json`).

use super::coco::{self, Annotation};
use proctor_sim::{
    dataset::{Sample, SampledInstrument, groups},
    render::{FIRST_FOREIGN, Foreign},
};
use proctor_types::{Base, Class, Digest, Frame as AnyFrame, Pose, StereoRig, World, anatomy::UNKNOWN};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Metres of one step of a depth picture: 0.01 mm.
pub const DEPTH_UNIT: f64 = 1e-5;

/// What a data set is made from, and what is the same for all its frames. Two runs with equal recipes make the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recipe {
    /// Layout of the folder.
    pub format: u32,
    /// Version of Proctor: another one may draw other pictures.
    pub proctor: &'static str,
    /// How many frames.
    pub frames: u64,
    /// Seed of the set.
    pub seed: u64,
    /// Seed of frame 0 in the simulator; frame i has this plus i.
    pub first_sample_seed: u64,
    /// Consecutive frames that share an anatomy.
    pub frames_per_anatomy: u64,
    /// Share of frames that look as the demo does; the others look random.
    pub nominal_share: f64,
    /// Whether there are right pictures.
    pub stereo: bool,
    /// The cameras, rectified: the right one stands `baseline` metres along the left one's x axis.
    pub cameras: StereoRig,
    /// Metres of one step of a depth picture.
    pub depth_unit_m: f64,
    /// Class of each label value.
    pub labels: BTreeMap<u8, &'static str>,
}

/// The truth of one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Index of the frame.
    pub frame: u64,
    /// Its seed in the simulator.
    pub sample_seed: u64,
    /// Frames of one anatomy show the same patient.
    pub anatomy: u64,
    /// Where the left camera stands.
    pub world_from_camera: Placement,
    /// Instruments that were put into the scene: joints (rad; the third m), jaw angle, poses. Not all need be in view.
    pub instruments: Vec<Value>,
    /// Foreign objects that were put into the scene: what they are and where.
    pub unknown_objects: Vec<Value>,
    /// The look, in numbers.
    pub appearance: Value,
    /// The look, in words: what is grouped by, and the frame's group in it.
    pub groups: BTreeMap<String, String>,
    /// Pixels of each class.
    pub pixels: BTreeMap<String, u64>,
    /// What COCO is told.
    pub annotations: Vec<Annotation>,
    /// SHA-256 of the frame's pictures.
    pub files: BTreeMap<String, Digest>,
}

/// A rigid transform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    position_m: [f64; 3],
    quaternion_xyzw: [f64; 4],
}

impl<To: AnyFrame, From: AnyFrame> std::convert::From<Pose<To, From>> for Placement {
    fn from(pose: Pose<To, From>) -> Self {
        let q = pose.rotation();
        Self { position_m: pose.translation().into(), quaternion_xyzw: [q.i, q.j, q.k, q.w] }
    }
}

impl Truth {
    /// Of a sample; without digests.
    pub fn new(frame: u64, sample_seed: u64, anatomy: u64, sample: &Sample) -> anyhow::Result<Self> {
        let groups = groups(sample).into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let mut pixels = BTreeMap::new();
        for label in sample.labels.pixels() {
            *pixels.entry(coco::label_name(*label).to_owned()).or_default() += 1;
        }
        Ok(Self {
            frame,
            sample_seed,
            anatomy,
            world_from_camera: sample.world_from_camera.into(),
            instruments: sample.instruments.iter().map(instrument).collect(),
            unknown_objects: sample.foreign.iter().enumerate().map(foreign).collect(),
            appearance: serde_json::to_value(sample.appearance)?,
            groups,
            pixels,
            annotations: coco::annotations(&sample.labels, &sample.instances),
            files: BTreeMap::new(),
        })
    }
}

fn instrument(i: &SampledInstrument) -> Value {
    json!({
        "instance": i.arm.index() + 1,
        "arm": i.arm.name(),
        "name": i.name,
        "kind": i.kind,
        "joints": i.joints,
        "jaw": i.jaw,
        "holds_tissue": i.holds,
        "world_from_base": Placement::from(i.world_from_base),
        "world_from_tip": Placement::from(i.world_from_tip),
    })
}

fn foreign((i, object): (usize, &Foreign)) -> Value {
    json!({
        "instance": usize::from(FIRST_FOREIGN) + i,
        "kind": object.kind,
        "metal": object.metal,
        "colour": object.colour,
        "world_from_object": Placement::from(Pose::<World, Base>::new(object.world_from_object)),
    })
}

/// Every label value with its class.
pub fn labels() -> BTreeMap<u8, &'static str> {
    Class::ALL.map(|c| (c.id(), c.name())).into_iter().chain([(UNKNOWN, coco::label_name(UNKNOWN))]).collect()
}
