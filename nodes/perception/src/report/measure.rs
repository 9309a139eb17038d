//! What is measured on one picture.

use super::{boundary::Outline, calibration::Pixel};
use crate::{
    Model, PerceptionError,
    eval::{Count, EvalMap, Tally, Truth},
    head::{Head, Planes},
    manifest::Fit,
    picture::{self, Rgb},
    placement::Placement,
    posterior::Posterior,
};
use proctor_types::{Class, Image};

/// Every so many-th row and column of the network's picture is looked at for calibration.
const STEP: usize = 4;

/// A model, picture by picture.
pub struct Engine {
    model: Model,
    input: Vec<f32>,
}

impl Engine {
    /// With a loaded model, which must answer with logits of Proctor's classes for every pixel of a stretched picture.
    pub fn new(model: Model) -> Result<Self, PerceptionError> {
        let m = model.manifest();
        let logits = m.head == Head::Segmentation(Planes::Logits) && m.is_anatomy();
        if !logits || m.input.fit != Fit::Stretch {
            let expected = "a segmentation of Proctor's classes by logits, with fit = \"stretch\"".into();
            return Err(PerceptionError::Value {
                path: "parameters".into(),
                what: "model".into(),
                expected,
                got: m.name.clone(),
            });
        }
        Ok(Self { model, input: Vec::new() })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Columns and rows of the network's picture.
    pub fn size(&self) -> (usize, usize) {
        let input = &self.model.manifest().input;
        (input.width, input.height)
    }

    /// What the network is given for a picture of any size.
    pub fn input(&mut self, picture: &Rgb) -> Result<Vec<f32>, PerceptionError> {
        let (w, h) = self.size();
        let small = picture::resize(picture, w, h)?;
        let contract = &self.model.manifest().input;
        let placement = Placement::new((picture.width(), picture.height()), contract);
        picture::normalise(&small, contract, &placement, &mut self.input);
        Ok(self.input.clone())
    }

    /// The network's logits, class-major. Refuses what is not finite.
    pub fn logits(&mut self, input: &[f32]) -> Result<(Vec<f32>, Posterior), PerceptionError> {
        let logits = self.model.infer(input, <[f32]>::to_vec)?;
        let (w, h) = self.size();
        if logits.len() != Class::COUNT * w * h {
            let (expected, got) = (format!("{} x {h} x {w} logits", Class::COUNT), logits.len().to_string());
            return Err(PerceptionError::Value {
                path: "parameters".into(),
                what: "model's answer".into(),
                expected,
                got,
            });
        }
        let posterior = Posterior::new(Class::COUNT, &logits)?;
        Ok((logits, posterior))
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
    let (w, h) = engine.size();
    let input = engine.input(picture)?;
    let (logits, posterior) = engine.logits(&input)?;
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
