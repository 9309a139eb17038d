//! Any model on any picture: fits the picture in, runs the network, and says what was found in the picture's own pixels.
//!
//! [`Eye`] is the part that every model needs; [`Finder`] is what models beside the one that feeds fusion run through.

use crate::{
    Model, PerceptionError,
    decode::{boxes, boxes::Candidate, points, regions, scores},
    head::Head,
    manifest::Manifest,
    model::Tensor,
    picture,
    picture::Rgb,
    placement::Placement,
};
use proctor_types::{Findings, Found, FoundBox, FoundPoint, Image, Scored, Stamp};

/// A model with its input buffer.
#[derive(Debug, Clone)]
pub struct Eye {
    model: Model,
    input: Vec<f32>,
}

/// A picture as a network is shown it.
#[derive(Debug)]
pub struct Shown {
    /// At the size it has in the network's input.
    pub small: Rgb,
    /// Where it lies there.
    pub placement: Placement,
}

impl Eye {
    /// Of a model.
    pub fn new(model: Model) -> Self {
        Self { model, input: Vec::new() }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Writes the network's input.
    pub fn show(&mut self, full: &Rgb) -> Result<Shown, PerceptionError> {
        let contract = &self.model.manifest().input;
        let placement = Placement::new((full.width(), full.height()), contract);
        let small = picture::resize(full, placement.content.0, placement.content.1)?;
        picture::normalise(&small, contract, &placement, &mut self.input);
        Ok(Shown { small, placement })
    }

    /// The network's input as it was shown last, to be written over.
    pub fn input(&mut self) -> &mut [f32] {
        &mut self.input
    }

    /// Runs the network on what was shown last.
    pub fn answer<T>(&self, read: impl FnOnce(Tensor<'_>) -> Result<T, PerceptionError>) -> Result<T, PerceptionError> {
        self.model.run(&self.input, read)?
    }
}

/// A model whose findings are shown, of any task.
#[derive(Debug)]
pub struct Finder {
    eye: Eye,
}

impl Finder {
    /// Of a model.
    pub fn new(model: Model) -> Self {
        Self { eye: Eye::new(model) }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.eye.model()
    }

    /// What the model finds in a picture of at least one pixel.
    pub fn find(&mut self, stamp: Stamp, full: &Rgb) -> Result<Findings, PerceptionError> {
        let placement = self.eye.show(full)?.placement;
        let manifest = self.eye.model().manifest();
        let found = self.eye.answer(|tensor| found(manifest, &placement, &tensor))?;
        Ok(Findings {
            stamp,
            name: manifest.name.clone(),
            model: manifest.sha256,
            width: full.width(),
            height: full.height(),
            found,
        })
    }
}

fn found(manifest: &Manifest, placement: &Placement, tensor: &Tensor<'_>) -> Result<Found, PerceptionError> {
    let (classes, input) = (&manifest.classes, placement.input);
    let in_picture = |all: &[Candidate]| all.iter().map(|c| found_box(classes, placement, c)).collect();
    Ok(match &manifest.head {
        Head::Segmentation(planes) => {
            let answer = regions::decode(*planes, classes.len(), manifest.temperature, tensor)?;
            let (size, labels) = match placement.crop(answer.size) {
                Some(crop) => (crop.size(), crop.take(&answer.posterior.labels)),
                None => (answer.size, answer.posterior.labels),
            };
            let image = Image::new(size.0, size.1, labels)?;
            Found::Regions { classes: shares(classes, &image), image }
        }
        Head::Detection(form) => Found::Boxes(in_picture(&boxes::decode(form, classes.len(), tensor, input)?)),
        Head::Keypoints(form) => {
            let (objects, points) = points::decode(form, classes.len(), tensor, input)?;
            let point = |p: &points::Point| {
                let (u, v) = placement.point_inside(f64::from(p.at.0), f64::from(p.at.1));
                let object = p.object.and_then(|o| u8::try_from(o).ok());
                FoundPoint { label: form.names[p.name].clone(), u, v, confidence: p.confidence, object }
            };
            Found::Points { boxes: in_picture(&objects), points: points.iter().map(point).collect() }
        }
        Head::Classification(form) => {
            let scored = |(label, score): (&String, f32)| Scored { label: label.clone(), score };
            Found::Scores(classes.iter().zip(scores::decode(*form, tensor)?).map(scored).collect())
        }
    })
}

fn found_box(classes: &[String], placement: &Placement, c: &Candidate) -> FoundBox {
    let [left, top, right, bottom] = c.edges.map(f64::from);
    let ((left, top), (right, bottom)) = (placement.point_inside(left, top), placement.point_inside(right, bottom));
    FoundBox { label: classes[c.class].clone(), confidence: c.confidence, edges: [left, top, right, bottom] }
}

/// Every class with the share of the picture that it covers.
fn shares(classes: &[String], image: &Image<u8>) -> Vec<Scored> {
    let mut counts = [0u32; 256];
    image.pixels().iter().for_each(|&l| counts[usize::from(l)] += 1);
    let n = image.pixels().len().max(1) as f32;
    classes.iter().zip(counts).map(|(label, c)| Scored { label: label.clone(), score: c as f32 / n }).collect()
}
