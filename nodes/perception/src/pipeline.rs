//! The node's logic: one picture in, one [`Segmentation`] out. Reads no clock and no file.

use crate::{
    Model, PerceptionError, QualityParams,
    clarity::Clarity,
    decode::regions,
    finder::{Eye, Shown},
    head::{Head, Planes},
    keypoints, picture,
    picture::Rgb,
    quality::{self, Measures, Timing},
};
use proctor_types::{Class, Image, QualityVerdict, Segmentation, Stamp, StereoFrame};

/// Segments pictures with one model.
///
/// `step` is a function of its arguments and of the pictures before (to see a frozen camera and a lens that is covered); the same pictures in the
/// same order give the same answers, bit by bit, on the same machine and library.
#[derive(Debug, Clone)]
pub struct Perception {
    eye: Eye,
    planes: Planes,
    temperature: f32,
    params: QualityParams,
    previous: Option<Rgb>,
    clarity: Clarity,
}

impl Perception {
    /// With a loaded model, which must segment Proctor's classes and state its doubt, and checked thresholds.
    pub fn new(model: Model, params: QualityParams) -> Result<Self, PerceptionError> {
        params.validate()?;
        let manifest = model.manifest();
        let refuse = |got: String| {
            let expected = Class::ALL.map(Class::name).join(", ");
            Err(PerceptionError::Classes { name: manifest.name.clone(), expected, got })
        };
        let planes = match manifest.head {
            Head::Segmentation(_) if !manifest.is_anatomy() => return refuse(manifest.classes.join(", ")),
            Head::Segmentation(Planes::Labels) => return refuse("labels without doubt".into()),
            Head::Segmentation(planes) => planes,
            _ => return refuse("another task's".into()),
        };
        let temperature = manifest.temperature;
        Ok(Self { eye: Eye::new(model), planes, temperature, params, previous: None, clarity: Clarity::default() })
    }

    /// Judges pictures by other thresholds from now on; refused ones change nothing.
    pub fn adjust(&mut self, params: QualityParams) -> Result<(), PerceptionError> {
        params.validate()?;
        self.params = params;
        Ok(())
    }

    /// What is usual in the pictures so far.
    pub fn clarity(&self) -> &Clarity {
        &self.clarity
    }

    /// The model in use.
    pub fn model(&self) -> &Model {
        self.eye.model()
    }

    /// Segments the left picture of a stereo pair. `now` only judges its age.
    ///
    /// Labels have the size of the network's answer where that divides the picture's by one whole number, else the picture's own size.
    pub fn step(&mut self, now: Stamp, frame: &StereoFrame) -> Result<Segmentation, PerceptionError> {
        self.segment(now, frame.stamp, frame.seq, &frame.left)
    }

    /// As [`Self::step`], for a single picture.
    pub fn segment(&mut self, now: Stamp, stamp: Stamp, seq: u64, full: &Rgb) -> Result<Segmentation, PerceptionError> {
        let repeats = self.previous.as_ref().is_some_and(|p| same(p, full));
        self.previous = Some(full.clone());

        let Shown { small, placement } = self.eye.show(full)?;
        // What was shrunk for the network need not be shrunk again.
        let measures = Measures::of(if small.width() >= quality::COLUMNS { &small } else { full })?;
        let answer = self.eye.answer(|tensor| regions::decode(self.planes, Class::COUNT, self.temperature, &tensor))?;
        let (mut size, mut seen) = (answer.size, answer.posterior);
        if let Some(crop) = placement.crop(size) {
            size = crop.size();
            (seen.labels, seen.top) = (crop.take(&seen.labels), crop.take(&seen.top));
            seen.uncertainty = crop.take(&seen.uncertainty);
        }

        let doubt = quality::doubt(&seen.labels, &seen.uncertainty);
        let seen_before = self.clarity.compare(stamp, &measures, &seen.labels, size.0);
        let judge =
            |doubt| quality::judge(measures, doubt, seen_before.lost, Timing::new(now, stamp, repeats), &self.params);
        let quality = judge(doubt);
        // What the model makes of a picture says nothing of its sharpness.
        let clear = quality.verdict == QualityVerdict::Good || judge(0.0).verdict == QualityVerdict::Good;
        self.clarity.learn(&seen_before, clear);
        let scale = (full.width() as f64 / size.0 as f64, full.height() as f64 / size.1 as f64);
        let mut labels = Image::new(size.0, size.1, seen.labels)?;
        let mut uncertainty = Image::new(size.0, size.1, seen.uncertainty)?;
        let keypoints = keypoints::find(&labels, &seen.top, scale);
        if !(scale.0 == scale.1 && scale.0.fract() == 0.0) {
            labels = picture::resize_labels(&labels, full.width(), full.height())?;
            uncertainty = picture::resize_labels(&uncertainty, full.width(), full.height())?;
        }
        let confidence = std::array::from_fn(|class| seen.confidence[class]);
        Ok(Segmentation {
            stamp,
            seq,
            labels,
            uncertainty,
            confidence,
            keypoints,
            quality,
            model: self.model().digest(),
        })
    }

    /// Forgets the picture before, so that the next one is not called frozen (a new file, a new camera).
    pub fn forget(&mut self) {
        self.previous = None;
        self.clarity.forget();
    }

    /// The endoscope moved: what was sharp says nothing of what it sees now.
    pub fn look_elsewhere(&mut self) {
        self.clarity.forget();
    }
}

/// Whether two pictures have the same pixels, as one comparison of memory.
fn same(a: &Rgb, b: &Rgb) -> bool {
    a.width() == b.width() && a.pixels().as_flattened() == b.pixels().as_flattened()
}
