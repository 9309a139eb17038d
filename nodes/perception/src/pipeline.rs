//! The node's logic: one picture in, one [`Segmentation`] out. Reads no clock and no file.

use crate::{
    Model, PerceptionError, QualityParams, keypoints, picture,
    picture::Rgb,
    posterior::Posterior,
    quality::{self, Measures, Timing},
};
use proctor_types::{Image, Segmentation, Stamp, StereoFrame};

/// Segments pictures with one model.
///
/// `step` is a function of its arguments and of the picture before (to see a frozen camera); the same pictures in the
/// same order give the same answers, bit by bit, on the same machine and library.
#[derive(Debug)]
pub struct Perception {
    model: Model,
    params: QualityParams,
    input: Vec<f32>,
    previous: Option<Rgb>,
}

impl Perception {
    /// With a loaded model and checked thresholds.
    pub fn new(model: Model, params: QualityParams) -> Result<Self, PerceptionError> {
        params.validate()?;
        Ok(Self { model, params, input: Vec::new(), previous: None })
    }

    /// The model in use.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Segments the left picture of a stereo pair. `now` only judges its age.
    ///
    /// Labels have the network's size where that divides the picture's by one whole number, else the picture's own size.
    pub fn step(&mut self, now: Stamp, frame: &StereoFrame) -> Result<Segmentation, PerceptionError> {
        self.segment(now, frame.stamp, frame.seq, &frame.left)
    }

    /// As [`Self::step`], for a single picture.
    pub fn segment(&mut self, now: Stamp, stamp: Stamp, seq: u64, full: &Rgb) -> Result<Segmentation, PerceptionError> {
        let (w, h) = (self.model.manifest().input.width, self.model.manifest().input.height);
        let repeats = self.previous.as_ref().is_some_and(|p| same(p, full));
        self.previous = Some(full.clone());

        let small = picture::resize(full, w, h)?;
        picture::normalise(&small, &self.model.manifest().input, &mut self.input);
        let quality = quality::judge(Measures::of(&small), Timing::new(now, stamp, repeats), &self.params);
        let answer = self.model.infer(&self.input, Posterior::new)??;

        let scale = (full.width() as f64 / w as f64, full.height() as f64 / h as f64);
        let mut labels = Image::new(w, h, answer.labels)?;
        let mut uncertainty = Image::new(w, h, answer.uncertainty)?;
        let keypoints = keypoints::find(&labels, &answer.top, scale);
        if !(scale.0 == scale.1 && scale.0.fract() == 0.0) {
            labels = picture::resize_labels(&labels, full.width(), full.height())?;
            uncertainty = picture::resize_labels(&uncertainty, full.width(), full.height())?;
        }
        Ok(Segmentation {
            stamp,
            seq,
            labels,
            uncertainty,
            confidence: answer.confidence,
            keypoints,
            quality,
            model: self.model.digest(),
        })
    }

    /// Forgets the picture before, so that the next one is not called frozen (a new file, a new camera).
    pub fn forget(&mut self) {
        self.previous = None;
    }
}

/// Whether two pictures have the same pixels, as one comparison of memory.
fn same(a: &Rgb, b: &Rgb) -> bool {
    a.width() == b.width() && a.pixels().as_flattened() == b.pixels().as_flattened()
}
