//! The shell of a model beside the one that feeds fusion: a thread of its own, so that it never delays what safety waits for.

use crate::{Finder, Model, PerceptionError, PerceptionParams, node::PerceptionNodeError};
use proctor_bus::{Bus, Node, Publisher, Subscriber, graph};
use proctor_types::{CameraImage, Findings, Stamp};
use std::time::Duration;

/// Publishes what a model finds in the newest left picture; older ones are dropped, never queued. A picture that cannot be answered
/// is logged and counted, and nothing is published for it.
pub struct FinderNode {
    pictures: Subscriber<CameraImage>,
    findings: Publisher<Findings>,
    finder: Finder,
    period: Duration,
    failed: u64,
}

impl FinderNode {
    /// One node for every model of `params` that does not feed fusion.
    pub fn all(bus: &Bus, params: &PerceptionParams) -> Result<Vec<Self>, PerceptionNodeError> {
        let (_, others) = params.roles()?;
        let node = |folder| Self::new(bus, params, Model::load_on(folder, &params.runtime(), params.device)?);
        others.into_iter().map(node).collect()
    }

    fn new(bus: &Bus, params: &PerceptionParams, model: Model) -> Result<Self, PerceptionNodeError> {
        Ok(Self {
            pictures: bus.subscriber_of_depth(&graph::image_left(), 1)?,
            findings: bus.publisher(&graph::findings())?,
            finder: Finder::new(model),
            period: Duration::from_millis(params.period_ms),
            failed: 0,
        })
    }

    /// Pictures that could not be answered.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    fn answer(&mut self, picture: &CameraImage) -> Result<Findings, PerceptionError> {
        self.finder.find(picture.stamp, &picture.image)
    }

    fn fail(&mut self, error: &dyn std::error::Error) {
        self.failed += 1;
        // A broken model fails at every frame: say it at 1, 2, 4, 8, ... failures.
        if self.failed.is_power_of_two() {
            let model = &self.finder.model().manifest().name;
            tracing::error!(%model, failures = self.failed, %error, "picture not answered");
        }
    }
}

impl Node for FinderNode {
    fn name(&self) -> &'static str {
        "finder"
    }

    fn period(&self) -> Duration {
        self.period
    }

    fn poll(&mut self, _: Stamp) {
        let Some(picture) = self.pictures.newest() else { return };
        match self.answer(&picture) {
            Ok(findings) => {
                if let Err(error) = self.findings.publish(&findings) {
                    self.fail(&error);
                }
            }
            Err(error) => self.fail(&error),
        }
    }
}

impl std::fmt::Debug for FinderNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FinderNode").field("finder", &self.finder).field("failed", &self.failed).finish_non_exhaustive()
    }
}
