//! The monitor as a node: listens to every topic it judges, writes none.

use crate::monitor::Monitor;
use proctor_bus::{Bus, BusError, Node, Subscriber, Urgency, graph};
use proctor_kinematics::{Chain, Instrument, KinematicsError};
use proctor_seal::Verifier;
use proctor_types::{
    ArmId, Decision, Diagnostics, JointCommand, Presence, Proposal, SafetyState, Scene, Sealed, Stamp,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Commands kept while this node was away: a second of them.
const COMMANDS: usize = 1024;

/// Feeds a shared [`Monitor`] from the bus.
pub struct MonitorNode {
    monitor: Arc<Mutex<Monitor>>,
    commands: Vec<Subscriber<JointCommand>>,
    scene: Subscriber<Scene>,
    state: Subscriber<SafetyState>,
    proposal: Subscriber<Proposal>,
    decision: Subscriber<Sealed<Decision>>,
    presence: Subscriber<Sealed<Presence>>,
    diagnostics: Subscriber<Diagnostics>,
    verifier: Verifier,
}

/// Why the monitor cannot start.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The bus refused a subscription.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// An instrument cannot be modelled.
    #[error(transparent)]
    Kinematics(#[from] KinematicsError),
}

impl MonitorNode {
    /// Subscribes on `bus`; judges arms that carry these instruments on PSM1 and PSM2. An approval or a hold that `verifier` does not
    /// believe allows no motion.
    pub fn new(bus: &Bus, instruments: &[String; 2], verifier: Verifier) -> Result<Self, MonitorError> {
        let [psm1, psm2] = instruments;
        let limits = |name: &str| Ok::<_, KinematicsError>(*Chain::psm(&Instrument::named(name)?)?.limits());
        let monitor = Monitor::new([limits(psm1)?, limits(psm2)?, *Chain::ecm()?.limits()]);
        let commands = ArmId::ALL.iter().map(|&arm| bus.subscriber_of_depth(&graph::servo_jp(arm), COMMANDS));
        Ok(Self {
            monitor: Arc::new(Mutex::new(monitor)),
            commands: commands.collect::<Result<_, _>>()?,
            scene: bus.subscriber_of_depth(&graph::scene(), 64)?,
            state: bus.subscriber_of_depth(&graph::safety_state(), 64)?,
            proposal: bus.subscriber_of_depth(&graph::proposal(), 64)?,
            decision: bus.subscriber_of_depth(&graph::decision(), 64)?,
            presence: bus.subscriber_of_depth(&graph::presence(), 64)?,
            diagnostics: bus.subscriber_of_depth(&graph::diagnostics(), 64)?,
            verifier,
        })
    }

    /// The monitor this node feeds.
    pub fn monitor(&self) -> Arc<Mutex<Monitor>> {
        self.monitor.clone()
    }
}

impl Node for MonitorNode {
    fn name(&self) -> &'static str {
        "monitor"
    }

    fn period(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn urgency(&self) -> Urgency {
        Urgency::Prompt
    }

    fn poll(&mut self, now: Stamp) {
        let mut monitor = self.monitor.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(state) = self.state.take() {
            let _: Result<(), _> = state.map(|s| monitor.on_state(s));
        }
        while let Some(presence) = self.presence.take() {
            let believed = presence.ok().and_then(|p| self.verifier.open(&p).ok());
            believed.into_iter().for_each(|p| monitor.on_presence(*p));
        }
        while let Some(proposal) = self.proposal.take() {
            let _: Result<(), _> = proposal.map(|p| monitor.on_proposal(&p));
        }
        while let Some(decision) = self.decision.take() {
            let believed = decision.ok().and_then(|d| self.verifier.open(&d).ok());
            believed.into_iter().for_each(|d| monitor.on_decision(&d));
        }
        while let Some(scene) = self.scene.take() {
            let _: Result<(), _> = scene.map(|s| monitor.on_scene(s.stamp));
        }
        while let Some(said) = self.diagnostics.take() {
            let _: Result<(), _> = said.map(|d| monitor.on_diagnostics(&d));
        }
        monitor.on_tick(now);
        for commands in &self.commands {
            while let Some(command) = commands.take() {
                match command {
                    Ok(c) => monitor.on_command(now, c),
                    Err(e) => monitor.on_malformed(now, &e.to_string()),
                }
            }
        }
    }
}
