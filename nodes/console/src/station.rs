//! The console's logic in one piece: what was heard goes in, what to publish and what to show comes out. Pure and clock-free.

use crate::{
    ConsoleError, ConsoleParams,
    desk::{Desk, Event, Facts, Output},
    latest::Latest,
    picture::{encode_labels, encode_picture, fingerprint},
    project::Projector,
    view::{self, StaleLimits},
};
use proctor_types::{DecisionKind, Digest, Image, Segmentation, Stamp};
use std::time::Duration;

/// See the module.
pub struct Station {
    /// What was heard. Feed it directly, except pictures, segmentations and clients' events.
    pub latest: Latest,
    desk: Desk,
    projector: Projector,
    limits: StaleLimits,
    jpeg_quality: u8,
    seq: u64,
    views: Pace,
    video: Pace,
    picture: Option<(u64, Stamp, Image<[u8; 3]>)>,
    labels: Option<(u64, Stamp, Image<u8>)>,
}

impl Station {
    /// Nothing heard, nobody there.
    pub fn new(now: Stamp, params: &ConsoleParams) -> Result<Self, ConsoleError> {
        params.validate()?;
        Ok(Self {
            latest: Latest::default(),
            desk: Desk::new(now, params.desk_limits()),
            projector: Projector::new(&params.instruments)?,
            limits: params.stale_limits(),
            jpeg_quality: params.jpeg_quality,
            seq: 0,
            views: Pace::new(now, params.view_hz),
            video: Pace::new(now, params.video_hz),
            picture: None,
            labels: None,
        })
    }

    /// A left picture came.
    pub fn picture(&mut self, now: Stamp, seq: u64, stamp: Stamp, image: Image<[u8; 3]>) {
        if self.latest.picture(now, seq, stamp, fingerprint(&image)) {
            self.picture = Some((seq, stamp, image));
        }
    }

    /// A segmentation came.
    pub fn segmentation(&mut self, now: Stamp, s: Segmentation) {
        self.latest.segmentation(now, &s);
        self.labels = Some((s.seq, s.stamp, s.labels));
    }

    /// Something happened at a client.
    pub fn client(&mut self, now: Stamp, event: Event, out: &mut Vec<Output>) {
        let first = out.len();
        let facts = self.facts(now);
        self.desk.handle(event, &facts, out);
        for output in &out[first..] {
            if let Output::Decision(d) = output
                && d.kind == DecisionKind::Reject
            {
                self.latest.cards.reject(now, d.digest);
            }
        }
    }

    /// Time passes: offers expire and holds are lost. Call after everything that was heard went in.
    pub fn tick(&mut self, now: Stamp, out: &mut Vec<Output>) {
        self.latest.cards.tick(now);
        let facts = self.facts(now);
        self.desk.tick(now, &facts, out);
    }

    /// The next view as JSON, when one is due.
    pub fn view(&mut self, now: Stamp) -> Option<String> {
        if !self.views.due(now) {
            return None;
        }
        self.seq += 1;
        let fresh_scene = self
            .latest
            .scene
            .as_ref()
            .filter(|s| now.seconds_since(s.stamp) * 1e3 <= self.limits.scene_ms as f64)
            .map(|s| s.value.clone());
        let outlines = fresh_scene.as_ref().map(|s| self.projector.outlines(s)).unwrap_or_default();
        let ghost = match (&fresh_scene, self.latest.cards.current()) {
            (Some(scene), Some(card)) => self.projector.ghost(scene, &card.proposal),
            _ => None,
        };
        let view = view::build(now, self.seq, &self.latest, &self.desk, &self.limits, outlines, ghost);
        self.desk.view_sent(now, self.seq);
        serde_json::to_string(&view).ok()
    }

    /// What was not sent yet of the newest picture, label image and regions, as messages, when due.
    pub fn video(&mut self, now: Stamp) -> Video {
        if !self.video.due(now) {
            return Video::default();
        }
        let picture = self.picture.take().and_then(|(seq, stamp, image)| {
            encode_picture(seq, stamp, &image, self.jpeg_quality)
                .inspect_err(|error| tracing::warn!(%error, "picture cannot be shown"))
                .ok()
        });
        let labels = self.labels.take().map(|(seq, stamp, image)| encode_labels(seq, stamp, &image));
        Video { picture, labels, regions: self.latest.findings.regions() }
    }

    fn facts(&self, now: Stamp) -> Facts {
        Facts {
            shown: self.latest.cards.current().map(|c| (c.proposal.id, c.digest)),
            active: self.latest.safety.as_ref().map_or(Digest::default(), |s| s.value.active),
            picture_stale: view::picture_alarm(now, &self.latest, &self.limits).is_some(),
        }
    }
}

/// Messages for the page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Video {
    /// See [`crate::picture::KIND_PICTURE`].
    pub picture: Option<Vec<u8>>,
    /// See [`crate::picture::KIND_LABELS`].
    pub labels: Option<Vec<u8>>,
    /// See [`crate::picture::KIND_REGIONS`].
    pub regions: Option<Vec<u8>>,
}

/// Says when the next one is due; late ones are not caught up.
struct Pace {
    period: Duration,
    next: Stamp,
}

impl Pace {
    fn new(now: Stamp, hz: f64) -> Self {
        Self { period: Duration::from_secs_f64(1.0 / hz), next: now }
    }

    fn due(&mut self, now: Stamp) -> bool {
        if now < self.next {
            return false;
        }
        self.next = if self.next.plus(self.period) > now { self.next.plus(self.period) } else { now.plus(self.period) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        desk::Happening,
        protocol::ClientMessage,
        testing::{at, proposal, safety, scene},
    };
    use proctor_types::{OperatorId, ProposalId, Role, SafetyMode};

    fn station() -> Station {
        Station::new(at(0), &ConsoleParams::default()).unwrap()
    }

    fn noise(seed: u8) -> Image<[u8; 3]> {
        Image::new(640, 480, (0..640 * 480).map(|i| [(i % 251) as u8 ^ seed, 0, seed]).collect()).unwrap()
    }

    #[test]
    fn a_rejected_proposal_leaves_the_view_at_once() {
        let mut s = station();
        let p = proposal(1, 10_000);
        let digest = p.digest();
        s.latest.cards.offer(at(0), p);
        let mut out = Vec::new();
        let mut event = |what| {
            let event = Event { at: at(1), conn: 1, operator: OperatorId(5), role: Role::Surgeon, what };
            s.client(at(1), event, &mut out);
        };
        event(Happening::Connected);
        event(Happening::Said(ClientMessage::Reject { id: ProposalId(1), digest }));
        assert!(matches!(out[..], [Output::Decision(d)] if d.kind == DecisionKind::Reject && d.digest == digest));
        let view: serde_json::Value = serde_json::from_str(&s.view(at(40)).unwrap()).unwrap();
        assert!(view["card"].is_null());
        assert_eq!(view["ended"], "Retract the gallbladder: rejected");
    }

    #[test]
    fn views_and_pictures_keep_their_pace_and_old_ones_are_skipped() {
        let mut s = station();
        let (mut views, mut pictures) = (0, Vec::new());
        for ms in 0..1000 {
            if ms % 33 == 0 {
                s.picture(at(ms), ms as u64, at(ms), noise(ms as u8));
            }
            views += usize::from(s.view(at(ms)).is_some());
            if let Some(picture) = s.video(at(ms)).picture {
                pictures.push(u64::from_le_bytes(picture[1..9].try_into().unwrap()));
            }
        }
        assert_eq!(views, 25);
        assert!((14..=16).contains(&pictures.len()), "{pictures:?}");
        assert!(pictures.windows(2).all(|w| w[0] < w[1]), "never twice, never backwards: {pictures:?}");
    }

    #[test]
    fn outlines_and_ghost_are_shown_only_with_a_fresh_scene() {
        let mut s = station();
        s.latest.safety(at(0), safety(SafetyMode::Supervised));
        s.latest.cards.offer(at(0), proposal(1, 10_000));
        s.latest.scene(at(0), scene());
        let view: serde_json::Value = serde_json::from_str(&s.view(at(400)).unwrap()).unwrap();
        assert_eq!(view["outlines"].as_array().unwrap().len(), 2);
        assert_eq!(view["ghost"]["arm"], "PSM1");
        let view: serde_json::Value = serde_json::from_str(&s.view(at(600)).unwrap()).unwrap();
        assert!(view["outlines"].as_array().unwrap().is_empty() && view["ghost"].is_null());
    }
}
