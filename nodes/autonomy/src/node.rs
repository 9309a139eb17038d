//! The shell: takes what arrived, steps [`Autonomy`], publishes and logs.

use crate::{Autonomy, AutonomyError, AutonomyParams, Inputs, Note, Output};
use proctor_bus::{ArmSubscriber, Bus, BusError, Node, Publisher, Subscriber, Wire, graph};
use proctor_types::{
    ArmId, ArmState, Decision, Diagnostics, Proposal, SafetyState, Scene, Sealed, SkillRequest, Stamp, Withdrawal,
};
use std::time::Duration;

/// How often the node looks at its inputs.
const PERIOD: Duration = Duration::from_millis(20);

/// Time between two reports of why there is a suggestion or none.
const REPORT: Duration = Duration::from_secs(1);

/// Autonomy on the bus.
pub struct AutonomyNode {
    autonomy: Autonomy,
    subscriptions: Subscriptions,
    proposals: Publisher<Proposal>,
    withdrawals: Publisher<Withdrawal>,
    diagnostics: Publisher<Diagnostics>,
    /// When it was reported last, and of which kind the reason was.
    reported: Option<(Stamp, Vec<String>)>,
    scene: Option<Scene>,
    arms: [Option<ArmState>; 3],
    safety: Option<SafetyState>,
}

struct Subscriptions {
    scene: Subscriber<Scene>,
    arms: [ArmSubscriber; 3],
    safety: Subscriber<SafetyState>,
    requests: Subscriber<SkillRequest>,
    decisions: Subscriber<Sealed<Decision>>,
}

impl AutonomyNode {
    /// Subscribes and advertises. Refuses parameters out of range.
    pub fn new(bus: &Bus, params: AutonomyParams) -> Result<Self, AutonomyError> {
        let [first, second, third] = ArmId::ALL;
        let arm = |arm| ArmSubscriber::new(bus, arm);
        Ok(Self {
            autonomy: Autonomy::new(params)?,
            subscriptions: Subscriptions {
                scene: bus.subscriber(&graph::scene())?,
                arms: [arm(first)?, arm(second)?, arm(third)?],
                safety: bus.subscriber(&graph::safety_state())?,
                requests: bus.subscriber(&graph::skill_request())?,
                decisions: bus.subscriber(&graph::decision())?,
            },
            proposals: bus.publisher(&graph::proposal())?,
            withdrawals: bus.publisher(&graph::withdrawal())?,
            diagnostics: bus.publisher(&graph::diagnostics())?,
            reported: None,
            scene: None,
            arms: [None; 3],
            safety: None,
        })
    }

    /// As [`Autonomy::adjust`].
    pub fn adjust(&mut self, params: AutonomyParams) -> Result<(), AutonomyError> {
        self.autonomy.adjust(params)
    }
}

impl Node for AutonomyNode {
    fn name(&self) -> &'static str {
        "autonomy"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn poll(&mut self, now: Stamp) {
        let s = &mut self.subscriptions;
        self.scene = all(&s.scene).pop().or(self.scene.take());
        self.safety = all(&s.safety).pop().or(self.safety);
        for (slot, arm) in self.arms.iter_mut().zip(&mut s.arms) {
            *slot = arm.newest().or(*slot);
        }
        let requests = all(&s.requests);
        // Of decisions only rejections concern autonomy, and they only make it quiet: it needs no proof of them.
        let decisions: Vec<Decision> = all(&s.decisions).into_iter().map(|d| d.body).collect();
        let output = self.autonomy.step(
            now,
            &Inputs {
                scene: self.scene.as_ref(),
                arm_states: &self.arms,
                safety_state: self.safety.as_ref(),
                requests: &requests,
                decisions: &decisions,
            },
        );
        self.publish(&output);
        self.report(now);
    }
}

impl AutonomyNode {
    fn publish(&self, output: &Output) {
        // Withdrawals first: a proposal must never be out beside the one it replaces.
        let withdrawn = output.withdrawals.iter().try_for_each(|w| self.withdrawals.publish(w));
        let proposed = output.proposals.iter().try_for_each(|p| self.proposals.publish(p));
        for error in [withdrawn, proposed].into_iter().filter_map(Result::err) {
            complain(&error);
        }
        output.notes.iter().for_each(log);
    }

    /// Once a second: why there is a suggestion or none; logged when the reason is another one.
    fn report(&mut self, now: Stamp) {
        let since = |last: Stamp| if last <= now { last.age(now) } else { REPORT };
        if self.reported.as_ref().is_some_and(|(last, _)| since(*last) < REPORT) {
            return;
        }
        let standing = self.autonomy.standing();
        let kinds = standing.kinds();
        if self.reported.as_ref().is_none_or(|(_, before)| *before != kinds) {
            tracing::info!("{standing}");
        }
        self.reported = Some((now, kinds));
        let all = vec![self.autonomy.ledger().diagnosis(standing)];
        if let Err(error) = self.diagnostics.publish(&Diagnostics { stamp: now, all }) {
            complain(&error);
        }
    }
}

fn complain(error: &BusError) {
    tracing::error!(%error, "autonomy cannot publish");
}

/// Everything that waits, oldest first; the queue is bounded by the topic. What cannot be converted is logged and left out.
fn all<T: Wire>(subscriber: &Subscriber<T>) -> Vec<T> {
    let mut out = Vec::new();
    while let Some(message) = subscriber.take() {
        match message {
            Ok(value) => out.push(value),
            Err(error) => tracing::warn!(%error, "autonomy refuses a message"),
        }
    }
    out
}

fn log(note: &Note) {
    match note {
        Note::Declined { skill, asked: true, reason } => {
            tracing::info!(skill = skill.name(), %reason, "request declined");
        }
        Note::Declined { skill, asked: false, reason } => {
            tracing::debug!(skill = skill.name(), %reason, "not proposed");
        }
        Note::Proposed(id, skill) => tracing::info!(id = id.0, skill = skill.name(), "proposed"),
        Note::Withdrawn(id, reason) => tracing::info!(id = id.0, %reason, "withdrawn"),
        Note::Rejected(id) => tracing::info!(id = id.0, "rejected by the operator"),
        Note::Finished(id) => tracing::info!(id = id.0, "ran to its end"),
    }
}
