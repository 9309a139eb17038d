//! What models beside the segmentation found, newest per model, and how the page is told: boxes, points and classes with the view,
//! regions as a message of their own (`encode_regions`). Bounded: a model too many takes the place of the one silent longest.

use crate::picture::{KIND_REGIONS, header, runs};
use proctor_types::{Findings, Found, Scored, Stamp};
use serde::Serialize;

/// Most models shown.
pub const MAX_MODELS: usize = 8;
/// Most classes told of a classified picture, the likeliest ones.
const MAX_SCORES: usize = 5;

/// A model's newest answer and when it came.
#[derive(Debug, Clone)]
struct Heard {
    findings: Findings,
    arrived: Stamp,
}

/// The newest answer of every model, by the model's name.
#[derive(Debug, Clone, Default)]
pub struct FindingsTrack {
    heard: Vec<Heard>,
    /// Whether regions came since they were last told.
    fresh: bool,
}

/// A named box; edges left, top, right, bottom as shares of the picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BoxView {
    /// Class.
    pub label: String,
    /// In [0, 1].
    pub confidence: f64,
    /// Edges.
    pub at: [f64; 4],
}

/// A named point; column and row as shares of the picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointView {
    /// Which point.
    pub label: String,
    /// Place.
    pub at: [f64; 2],
}

/// What one model says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelView {
    /// Its name.
    pub name: String,
    /// Its task.
    pub task: &'static str,
    /// Age of the picture it answers, ms.
    pub age_ms: f64,
    /// Whether that is too old: then nothing below is filled.
    pub stale: bool,
    /// Boxes.
    pub boxes: Vec<BoxView>,
    /// Points.
    pub points: Vec<PointView>,
    /// Classes of the picture, the likeliest first; of regions every class in the model's order with its share of the picture.
    pub scores: Vec<(String, f64)>,
}

impl FindingsTrack {
    /// A model answered. An older answer than the one known changes nothing.
    pub fn hear(&mut self, now: Stamp, findings: Findings) {
        self.fresh |= matches!(findings.found, Found::Regions { .. });
        let heard = Heard { findings, arrived: now };
        match self.heard.iter_mut().find(|h| h.findings.name == heard.findings.name) {
            Some(old) if old.findings.stamp >= heard.findings.stamp => {}
            Some(old) => *old = heard,
            None => {
                if self.heard.len() >= MAX_MODELS
                    && let Some((oldest, _)) = self.heard.iter().enumerate().min_by_key(|(_, h)| h.arrived)
                {
                    self.heard.remove(oldest);
                }
                self.heard.push(heard);
                self.heard.sort_by(|a, b| a.findings.name.cmp(&b.findings.name));
            }
        }
    }

    /// Every model, by name. Answers older than `limit_ms` are stale.
    pub fn views(&self, now: Stamp, limit_ms: u64) -> Vec<ModelView> {
        self.heard.iter().map(|h| view(now, h, limit_ms)).collect()
    }

    /// The regions of every model as a message, if any came since the last call.
    pub fn regions(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.fresh).then(|| encode_regions(self.heard.iter().map(|h| &h.findings)))
    }
}

fn view(now: Stamp, heard: &Heard, limit_ms: u64) -> ModelView {
    let f = &heard.findings;
    let age_ms = now.seconds_since(f.stamp.min(heard.arrived)) * 1e3;
    let stale = age_ms > limit_ms as f64;
    let mut out = ModelView {
        name: f.name.clone(),
        task: f.found.task(),
        age_ms: age_ms.round(),
        stale,
        boxes: Vec::new(),
        points: Vec::new(),
        scores: Vec::new(),
    };
    if stale {
        return out;
    }
    // Pixel centres are integers: the left edge of the picture lies at -1/2.
    let share = |at: f64, size: usize| (((at + 0.5) / size as f64) * 1e4).round() / 1e4;
    let boxes = |all: &[proctor_types::FoundBox]| {
        let edges =
            |e: [f64; 4]| [share(e[0], f.width), share(e[1], f.height), share(e[2], f.width), share(e[3], f.height)];
        let view = |b: &proctor_types::FoundBox| BoxView {
            label: b.label.clone(),
            confidence: hundredth(b.confidence),
            at: edges(b.edges),
        };
        all.iter().map(view).collect()
    };
    match &f.found {
        Found::Regions { classes, .. } => out.scores = scores(classes),
        Found::Boxes(all) => out.boxes = boxes(all),
        Found::Points { boxes: objects, points } => {
            out.boxes = boxes(objects);
            let point = |p: &proctor_types::FoundPoint| PointView {
                label: p.label.clone(),
                at: [share(p.u, f.width), share(p.v, f.height)],
            };
            out.points = points.iter().map(point).collect();
        }
        Found::Scores(all) => {
            let mut sorted = scores(all);
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
            sorted.truncate(MAX_SCORES);
            out.scores = sorted;
        }
    }
    out
}

fn scores(all: &[Scored]) -> Vec<(String, f64)> {
    all.iter().map(|s| (s.label.clone(), hundredth(s.score))).collect()
}

fn hundredth(x: f32) -> f64 {
    (f64::from(x) * 100.0).round() / 100.0
}

/// Regions as they go over the WebSocket: kind u8, 0 u64, 0 i64, then for each model the length of its name u8, its name, width u16,
/// height u16, bytes of runs u32, runs as of labels ([`crate::picture`]).
fn encode_regions<'a>(all: impl Iterator<Item = &'a Findings>) -> Vec<u8> {
    let mut out = header(KIND_REGIONS, 0, None, 8 * 1024);
    for f in all {
        let Found::Regions { image, .. } = &f.found else { continue };
        out.push(f.name.len().min(Findings::MAX_NAME) as u8);
        out.extend(f.name.bytes().take(Findings::MAX_NAME));
        out.extend((image.width() as u16).to_le_bytes());
        out.extend((image.height() as u16).to_le_bytes());
        let runs = runs(image);
        out.extend((runs.len() as u32).to_le_bytes());
        out.extend(runs);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;
    use proctor_types::{Digest, FoundBox, FoundPoint, Image};

    fn findings(name: &str, ms: i64, found: Found) -> Findings {
        Findings { stamp: at(ms), name: name.to_owned(), model: Digest::default(), width: 200, height: 100, found }
    }

    fn scored(label: &str, score: f32) -> Scored {
        Scored { label: label.to_owned(), score }
    }

    #[test]
    fn places_are_shares_of_the_picture_measured_from_its_corner() {
        let mut t = FindingsTrack::default();
        let b = FoundBox { label: "needle".into(), confidence: 0.876, edges: [-0.5, 24.5, 99.5, 99.5] };
        let p = FoundPoint { label: "tip".into(), u: 49.5, v: 0.0, confidence: 0.5, object: Some(0) };
        t.hear(at(0), findings("pose", 0, Found::Points { boxes: vec![b], points: vec![p] }));
        let v = &t.views(at(10), 500)[0];
        assert_eq!((v.boxes[0].at, v.boxes[0].confidence), ([0.0, 0.25, 0.5, 1.0], 0.88));
        assert_eq!((v.points[0].at, v.task, v.stale), ([0.25, 0.005], "keypoints", false));
    }

    #[test]
    fn what_is_old_is_not_shown_and_says_so() {
        let mut t = FindingsTrack::default();
        t.hear(at(0), findings("frames", 0, Found::Scores(vec![scored("bleeding", 0.9)])));
        assert_eq!(t.views(at(500), 500)[0].scores, [("bleeding".to_owned(), 0.9)]);
        let v = &t.views(at(501), 500)[0];
        assert!(v.stale && v.scores.is_empty() && v.name == "frames");
        // An older picture that comes late renews nothing.
        t.hear(at(510), findings("frames", -5, Found::Scores(Vec::new())));
        assert!(t.views(at(511), 500)[0].stale);
    }

    #[test]
    fn the_likeliest_classes_come_first_and_only_some_of_them() {
        let mut t = FindingsTrack::default();
        let all = (0..9).map(|i| scored(&i.to_string(), [0.1, 0.9, 0.3][i % 3] / (1 + i / 3) as f32)).collect();
        t.hear(at(0), findings("frames", 0, Found::Scores(all)));
        let scores = &t.views(at(0), 500)[0].scores;
        let names: Vec<_> = scores.iter().map(|s| s.0.as_str()).collect();
        assert_eq!((names.len(), names[0], names[1]), (MAX_SCORES, "1", "4"));
    }

    #[test]
    fn a_flood_of_models_is_bounded_and_the_longest_silent_goes() {
        let mut t = FindingsTrack::default();
        for i in 0..20 {
            t.hear(at(i), findings(&format!("m{i:02}"), i, Found::Boxes(Vec::new())));
        }
        let names: Vec<_> = t.views(at(20), 500).into_iter().map(|v| v.name).collect();
        assert_eq!((names.len(), names[0].as_str()), (MAX_MODELS, "m12"));
    }

    #[test]
    fn regions_are_told_once_with_their_models_name() {
        let mut t = FindingsTrack::default();
        assert_eq!(t.regions(), None);
        let image = Image::new(3, 2, vec![0, 0, 1, 1, 1, 1]).unwrap();
        t.hear(at(0), findings("zone", 0, Found::Regions { image, classes: vec![scored("a", 0.3), scored("b", 0.7)] }));
        let message = t.regions().unwrap();
        assert_eq!((message[0], &message[17..22]), (KIND_REGIONS, &[4, b'z', b'o', b'n', b'e'][..]));
        assert_eq!(message[22..], [3, 0, 2, 0, 4, 0, 0, 0, 0, 1, 1, 3]);
        assert_eq!(t.regions(), None);
    }
}
