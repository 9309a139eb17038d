//! What is measured on one picture.

use super::{boundary::Outline, calibration::Pixel, saliency::Patch};
use crate::{
    Model, PerceptionError,
    eval::{Count, EvalMap, Tally, Truth},
    finder::{Eye, Shown},
    head::{Head, Planes},
    picture::{self, Rgb},
    placement::Placement,
    posterior::Posterior,
};
use proctor_types::{Class, Image};

/// Every so many-th row and column of the answer is looked at for calibration.
const STEP: usize = 4;

/// A model, picture by picture.
pub struct Engine {
    eye: Eye,
}

/// What a network says of a picture, over the picture alone.
pub struct Answer {
    /// Columns and rows.
    pub size: (usize, usize),
    /// Class-major, at the temperature that the model runs at.
    pub logits: Vec<f32>,
    /// What they come to.
    pub posterior: Posterior,
}

impl Engine {
    /// With a loaded model, which must answer with logits of Proctor's classes.
    pub fn new(model: Model) -> Result<Self, PerceptionError> {
        let m = model.manifest();
        if m.head != Head::Segmentation(Planes::Logits) || !m.is_anatomy() {
            let expected = "a segmentation of Proctor's classes by logits";
            return Err(PerceptionError::value("parameters", "model", expected, &m.name));
        }
        Ok(Self { eye: Eye::new(model) })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.eye.model()
    }

    /// What the network says of a picture of any size. Refuses what is not finite.
    pub fn answer(&mut self, picture: &Rgb) -> Result<Answer, PerceptionError> {
        let Shown { placement, .. } = self.eye.show(picture)?;
        self.read(&placement)
    }

    /// The size that a picture has in the network's input, and what is said of it as it is, and with patches of it covered.
    #[expect(clippy::type_complexity, reason = "the closure's type is its signature")]
    pub fn look(
        &mut self,
        picture: &Rgb,
    ) -> Result<((usize, usize), impl FnMut(Option<&Patch>) -> Result<Answer, PerceptionError>), PerceptionError> {
        let Shown { placement, .. } = self.eye.show(picture)?;
        let open = self.eye.input().to_vec();
        let run = move |patch: Option<&Patch>| {
            let input = self.eye.input();
            input.copy_from_slice(&open);
            if let Some(patch) = patch {
                let ((w, h), (left, top)) = (placement.input, placement.corner);
                for plane in input.chunks_exact_mut(w * h) {
                    // 0 is the mean colour.
                    patch.rows.clone().for_each(|y| plane[(y + top) * w + left..][patch.columns.clone()].fill(0.0));
                }
            }
            self.read(&placement)
        };
        Ok((placement.content, run))
    }

    fn read(&self, placement: &Placement) -> Result<Answer, PerceptionError> {
        let (mut size, mut logits) = self
            .eye
            .answer(|tensor| Ok(((tensor.axis_from_end(1), tensor.axis_from_end(2)), tensor.floats().to_vec())))?;
        if logits.len() != Class::COUNT * size.0 * size.1 {
            let expected = format!("{} x {} x {} logits", Class::COUNT, size.1, size.0);
            return Err(PerceptionError::value("parameters", "model's answer", expected, logits.len()));
        }
        let temperature = self.model().manifest().temperature;
        logits.iter_mut().for_each(|logit| *logit /= temperature);
        if let Some(crop) = placement.crop(size) {
            logits = logits.chunks_exact(size.0 * size.1).flat_map(|plane| crop.take(plane)).collect();
            size = crop.size();
        }
        let posterior = Posterior::new(Class::COUNT, 1.0, &logits)?;
        Ok(Answer { size, logits, posterior })
    }
}

/// What the model made of ignored pixels: how many became a class, and how sure it was in sum.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Made {
    pub pixels: u64,
    pub confidence: f64,
}

/// One picture's measures.
pub struct Measures {
    /// Pixels of each class of the comparison in mask, answer and both.
    pub tally: Tally,
    /// The same of all classes that are instruments, taken together.
    pub instrument: Count,
    /// Each class's outline.
    pub outlines: Vec<Outline>,
    /// Pixels for calibration.
    pub pixels: Vec<Pixel>,
    /// What became of ignored pixels, by class of the comparison.
    pub ignored: Vec<Made>,
    /// Class of the comparison per pixel of the mask's size, `None` where the mask is ignored.
    pub answer: Vec<Option<usize>>,
}

/// Measures one picture.
pub fn measure(engine: &mut Engine, map: &EvalMap, picture: &Rgb, truth: &Truth) -> Result<Measures, PerceptionError> {
    let Answer { size: (w, h), logits, posterior } = engine.answer(picture)?;
    let small = Image::new(w, h, posterior.labels)?;
    let labels = picture::resize_labels(&small, truth.width(), truth.height())?;
    let mut tally = Tally::new(map);
    tally.add(map, &labels, truth);
    let answers = labels.pixels().iter().map(|l| map.class_of()[usize::from(*l)]);
    let answer: Vec<_> = truth.pixels().iter().zip(answers).map(|(t, a)| t.map(|_| a)).collect();
    let outlines = (0..map.classes().len())
        .map(|k| Outline::compare(truth.pixels(), &answer, truth.width(), k))
        .collect::<Result<_, _>>()?;
    let mut out = Measures {
        instrument: instrument(map, truth, &answer),
        tally,
        outlines,
        pixels: Vec::new(),
        ignored: vec![Made::default(); map.classes().len()],
        answer,
    };
    for y in (0..h).step_by(STEP) {
        for x in (0..w).step_by(STEP) {
            let (tx, ty) = ((2 * x + 1) * truth.width() / (2 * w), (2 * y + 1) * truth.height() / (2 * h));
            if let Some(k) = truth.get(tx, ty).copied().flatten() {
                out.pixels.push((std::array::from_fn(|c| logits[c * w * h + y * w + x]), k));
            } else {
                let made = &mut out.ignored[map.class_of()[usize::from(small.pixels()[y * w + x])]];
                made.pixels += 1;
                made.confidence += f64::from(posterior.top[y * w + x]);
            }
        }
    }
    Ok(out)
}

/// Whether each class of the comparison is made of instruments.
pub fn instruments(map: &EvalMap) -> Vec<bool> {
    let of = |k: usize| Class::ALL.into_iter().filter(move |c| map.class_of()[usize::from(c.id())] == k);
    (0..map.classes().len()).map(|k| of(k).count() > 0 && of(k).all(Class::is_instrument)).collect()
}

fn instrument(map: &EvalMap, truth: &Truth, answer: &[Option<usize>]) -> Count {
    let is = instruments(map);
    let mut count = Count::default();
    for (truth, answer) in truth.pixels().iter().zip(answer) {
        let [t, a] = [truth, answer].map(|c| c.is_some_and(|k| is[k]));
        count.mask += u64::from(t);
        count.answer += u64::from(a);
        count.both += u64::from(t && a);
    }
    count
}
