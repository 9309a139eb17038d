//! What models beside the segmentation found.

use super::fields::{bounded_text, cut, each, finite, framed, header, range, range32};
use super::picture::{LEFT_FRAME, MAX_SIDE, mono, read_mono};
use super::{ConvertError, Origin, Problem, Wire};
use crate::{proctor_msgs as msg, sensor_msgs};
use proctor_types::{Findings, Found, FoundBox, FoundPoint, Image, Scored};

fn scored(s: &Scored) -> msg::Scored {
    msg::Scored { label: cut(&s.label, Findings::MAX_NAME), score: s.score }
}

fn read_scored(m: &msg::Scored) -> Result<Scored, ConvertError> {
    let label = bounded_text("label", &m.label, Findings::MAX_NAME)?;
    Ok(Scored { label, score: range32("score", m.score, 0.0, 1.0)? })
}

fn found_box(b: &FoundBox) -> msg::FoundBox {
    let [left, top, right, bottom] = b.edges;
    msg::FoundBox { label: cut(&b.label, Findings::MAX_NAME), confidence: b.confidence, left, top, right, bottom }
}

fn read_box(m: &msg::FoundBox) -> Result<FoundBox, ConvertError> {
    let label = bounded_text("label", &m.label, Findings::MAX_NAME)?;
    let confidence = range32("confidence", m.confidence, 0.0, 1.0)?;
    let (left, top) = (finite("left", m.left)?, finite("top", m.top)?);
    let (right, bottom) = (range("right", m.right, left, f64::MAX)?, range("bottom", m.bottom, top, f64::MAX)?);
    Ok(FoundBox { label, confidence, edges: [left, top, right, bottom] })
}

fn point(p: &FoundPoint) -> msg::FoundPoint {
    msg::FoundPoint {
        label: cut(&p.label, Findings::MAX_NAME),
        u: p.u,
        v: p.v,
        confidence: p.confidence,
        object: p.object.map_or(-1, i16::from),
    }
}

/// `objects` is how many boxes there are for a point to belong to.
fn read_point(m: &msg::FoundPoint, objects: usize) -> Result<FoundPoint, ConvertError> {
    let object = match m.object {
        -1 => None,
        // As many boxes as the bound allows can be named by a byte.
        n => match u8::try_from(n) {
            Ok(n) if usize::from(n) < objects => Some(n),
            _ => {
                let problem = Problem::Unknown { got: u64::from(n.unsigned_abs()), known: objects };
                return Err(ConvertError::new("object", problem));
            }
        },
    };
    Ok(FoundPoint {
        label: bounded_text("label", &m.label, Findings::MAX_NAME)?,
        u: finite("u", m.u)?,
        v: finite("v", m.v)?,
        confidence: range32("confidence", m.confidence, 0.0, 1.0)?,
        object,
    })
}

impl Wire for Findings {
    type Msg = msg::Findings;

    fn encode(&self) -> Self::Msg {
        let mut m = msg::Findings {
            header: header(self.stamp, LEFT_FRAME),
            name: cut(&self.name, Self::MAX_NAME),
            model: self.model.0,
            width: self.width as u32,
            height: self.height as u32,
            ..msg::Findings::default()
        };
        let boxes = |all: &[FoundBox]| all.iter().take(Self::MAX_BOXES).map(found_box).collect();
        let scores = |all: &[Scored]| all.iter().take(Self::MAX_CLASSES).map(scored).collect();
        match &self.found {
            Found::Regions { image, classes } => {
                (m.task, m.scores) = (msg::Findings::SEGMENTATION, scores(classes));
                m.regions = mono(self.stamp, image);
            }
            Found::Boxes(all) => (m.task, m.boxes) = (msg::Findings::DETECTION, boxes(all)),
            Found::Points { boxes: objects, points } => {
                (m.task, m.boxes) = (msg::Findings::KEYPOINTS, boxes(objects));
                m.points = points.iter().take(Self::MAX_POINTS).map(point).collect();
            }
            Found::Scores(all) => (m.task, m.scores) = (msg::Findings::CLASSIFICATION, scores(all)),
        }
        m
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let stamp = framed(&m.header, LEFT_FRAME)?;
        for (what, side) in [("width", m.width), ("height", m.height)] {
            range(what, f64::from(side), 1.0, f64::from(MAX_SIDE))?;
        }
        let boxes = || each("boxes", &m.boxes, Self::MAX_BOXES, read_box);
        let scores = || each("scores", &m.scores, Self::MAX_CLASSES, read_scored);
        let found = match m.task {
            msg::Findings::SEGMENTATION => {
                let classes = scores()?;
                let image = read_regions(m, classes.len())?;
                Found::Regions { image, classes }
            }
            msg::Findings::DETECTION => Found::Boxes(boxes()?),
            msg::Findings::KEYPOINTS => {
                let boxes = boxes()?;
                let points = each("points", &m.points, Self::MAX_POINTS, |p| read_point(p, boxes.len()))?;
                Found::Points { boxes, points }
            }
            msg::Findings::CLASSIFICATION => Found::Scores(scores()?),
            other => return Err(ConvertError::new("task", Problem::Unknown { got: u64::from(other), known: 4 })),
        };
        Ok(Self {
            stamp,
            name: bounded_text("name", &m.name, Self::MAX_NAME)?,
            model: proctor_types::Digest(m.model),
            width: m.width as usize,
            height: m.height as usize,
            found,
        })
    }
}

fn read_regions(m: &msg::Findings, classes: usize) -> Result<Image<u8>, ConvertError> {
    let stamp = framed(&m.header, LEFT_FRAME)?;
    let regions: &sensor_msgs::Image = &m.regions;
    let image = read_mono(stamp, regions).map_err(|e| e.within("regions"))?;
    let largest = image.pixels().iter().fold(0, |a, &b| a.max(b));
    if usize::from(largest) < classes {
        return Ok(image);
    }
    Err(ConvertError::new("regions.data", Problem::Unknown { got: u64::from(largest), known: classes }))
}
