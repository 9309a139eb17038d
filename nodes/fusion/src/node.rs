//! The shell: gathers joints and pictures, pairs each segmentation with its picture by stamp, publishes the scene.

use crate::{Fusion, FusionError, FusionInput, FusionParams, FusionStats, report};
use proctor_bus::{ArmSubscriber, Bus, BusError, Node, Publisher, StereoSubscriber, Subscriber, graph};
use proctor_types::{ArmId, Diagnostics, Scene, Segmentation, Stamp, StereoFrame};
use std::{collections::VecDeque, time::Duration};

/// How often the node looks for something new: twice per 100 Hz sample, eight times per picture.
const PERIOD: Duration = Duration::from_millis(4);

/// Most messages of one topic taken per poll; the rest waits in its bounded queue.
const AT_ONCE: usize = 256;

/// What stops the node at its start.
#[derive(Debug, thiserror::Error)]
pub enum FusionNodeError {
    /// The parameters, the instruments or OpenCV.
    #[error(transparent)]
    Fusion(#[from] FusionError),
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// What the node did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FusionCounts {
    /// Scenes published.
    pub published: u64,
    /// Segmentations whose picture had not come or was gone already; no scene was made of them.
    pub unpaired: u64,
    /// Segmentations passed over because a newer one waited.
    pub superseded: u64,
    /// Messages that were refused by conversion.
    pub refused: u64,
    /// Scenes that could not be published.
    pub unpublished: u64,
}

/// One scene per segmentation. Silence of perception or of the camera is silence here: readers see the scene's age.
pub struct FusionNode {
    pictures: StereoSubscriber,
    segmentations: Subscriber<Segmentation>,
    arms: [ArmSubscriber; 3],
    scenes: Publisher<Scene>,
    diagnostics: Publisher<Diagnostics>,
    recent: VecDeque<StereoFrame>,
    /// Pictures whose joints are still on their way, with when they came; empty unless joints are stamped late.
    waiting: VecDeque<(Stamp, FusionInput)>,
    reported: Option<Stamp>,
    fusion: Fusion,
    counts: FusionCounts,
}

impl FusionNode {
    /// Pictures kept to be paired with their segmentation: a quarter of a second at 30 Hz.
    pub const RECENT: usize = 8;
    /// Longest a picture waits for its joints: the largest offset between their stamps, and a little.
    pub const LONGEST_WAIT: Duration = Duration::from_millis(600);
    /// Most pictures that wait: that long at 30 Hz.
    pub const WAITING: usize = 20;

    /// Checks the parameters and joins the bus.
    pub fn new(bus: &Bus, params: FusionParams) -> Result<Self, FusionNodeError> {
        let [one, two, three] = ArmId::ALL.map(|arm| ArmSubscriber::new(bus, arm));
        Ok(Self {
            fusion: Fusion::new(params)?,
            pictures: StereoSubscriber::new(bus)?,
            segmentations: bus.subscriber(&graph::segmentation())?,
            arms: [one?, two?, three?],
            scenes: bus.publisher(&graph::scene())?,
            diagnostics: bus.publisher(&graph::diagnostics())?,
            recent: VecDeque::with_capacity(Self::RECENT),
            waiting: VecDeque::new(),
            reported: None,
            counts: FusionCounts::default(),
        })
    }

    /// As [`Fusion::adjust`].
    pub fn adjust(&mut self, params: FusionParams) -> Result<(), FusionError> {
        self.fusion.adjust(params)
    }

    /// What the node did so far.
    pub fn counts(&self) -> FusionCounts {
        self.counts
    }

    /// What the logic survived so far.
    pub fn stats(&self) -> &FusionStats {
        self.fusion.stats()
    }

    fn gather(&mut self) {
        for arm in &mut self.arms {
            for state in (0..AT_ONCE).map_while(|_| arm.take()) {
                match state {
                    Ok(state) => self.fusion.on_arm_state(state),
                    Err(error) => {
                        self.counts.refused += 1;
                        tracing::warn!(%error, "joints refused");
                    }
                }
            }
        }
        if let Some(frame) = self.pictures.take() {
            if self.recent.len() == Self::RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(frame);
        }
    }

    /// The newest segmentation that waits.
    fn segmentation(&mut self) -> Option<Segmentation> {
        let mut newest = None;
        for segmentation in (0..AT_ONCE).map_while(|_| self.segmentations.take()) {
            match segmentation {
                Ok(s) => self.counts.superseded += u64::from(newest.replace(s).is_some()),
                Err(error) => {
                    self.counts.refused += 1;
                    tracing::warn!(%error, "segmentation refused");
                }
            }
        }
        newest
    }
}

impl FusionNode {
    /// A segmentation with its picture.
    fn paired(&mut self, segmentation: Segmentation) -> Option<FusionInput> {
        let Some(at) = self.recent.iter().rposition(|f| f.stamp == segmentation.stamp) else {
            self.counts.unpaired += 1;
            return None;
        };
        // The picture and everything older have had their turn.
        let frame = self.recent.drain(..=at).next_back()?;
        Some(FusionInput { frame, segmentation })
    }

    fn report(&mut self, now: Stamp, scene: &Scene) {
        if self.reported.is_some_and(|last| last <= now && last.age(now) < report::EVERY) {
            return;
        }
        self.reported = Some(now);
        let said = report::report(now, scene, self.fusion.stats(), &self.counts);
        if let Err(error) = self.diagnostics.publish(&said) {
            tracing::warn!(%error, "diagnostics not published");
        }
    }
}

impl Node for FusionNode {
    fn name(&self) -> &'static str {
        "fusion"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn poll(&mut self, now: Stamp) {
        self.gather();
        if let Some(input) = self.segmentation().and_then(|s| self.paired(s)) {
            if self.waiting.len() == Self::WAITING {
                self.waiting.pop_front();
                self.counts.superseded += 1;
            }
            self.waiting.push_back((now, input));
        }
        let Some((came, input)) = self.waiting.front() else { return };
        if self.fusion.waits_for_joints(input.frame.stamp) && came.age(now) < Self::LONGEST_WAIT {
            return;
        }
        let Some((_, input)) = self.waiting.pop_front() else { return };
        let scene = self.fusion.step(now, &input);
        self.report(now, &scene);
        match self.scenes.publish(&scene) {
            Ok(()) => self.counts.published += 1,
            Err(error) => {
                self.counts.unpublished += 1;
                tracing::warn!(%error, "scene not published");
            }
        }
    }
}
