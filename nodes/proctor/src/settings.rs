//! Parameters of a process while it runs: who may change which, when, and how its node learns of it.
//!
//! - While the node is unconfigured any parameter may be set: the next *configure* makes the node with it.
//! - While there is a node, only those that it can take between two polls, as a whole: the middleware's thread puts them down here, the node's own thread picks
//!   them up. A safety core is never adjusted: it must be DISABLED before it can be taken away, and a new one boots DISABLED.

use crate::{
    overrides::Overrides,
    run::{NodeName, override_parameters},
    stack::StackConfig,
};
use proctor_autonomy::AutonomyNode;
use proctor_bus::{Node, ParameterValue, Settable, Urgency};
use proctor_fusion::FusionNode;
use proctor_perception::PerceptionNode;
use proctor_types::Stamp;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What the nodes of a process are made with and run with.
pub struct Settings {
    version: AtomicU64,
    now: Mutex<Now>,
}

struct Now {
    config: StackConfig,
    /// Whether there are nodes.
    made: bool,
}

impl Settings {
    /// Of a process whose nodes are not made yet.
    pub fn new(config: StackConfig) -> Self {
        Self { version: AtomicU64::new(0), now: Mutex::new(Now { config, made: false }) }
    }

    /// What to make nodes with; from now on there are some, until [`Settings::unmake`].
    pub fn make(&self) -> StackConfig {
        let mut now = self.lock();
        now.made = true;
        now.config.clone()
    }

    /// There are no nodes any more.
    pub fn unmake(&self) {
        self.lock().made = false;
    }

    /// Sets parameters of the process' one node, all of them or none.
    pub fn set(&self, node: NodeName, changes: &[(String, ParameterValue)]) -> Result<(), String> {
        let mut now = self.lock();
        let settable = |name: &str| node.declaration().map_or(Settable::Unconfigured, |d| d.settable(name));
        if let Some((name, _)) = changes.iter().find(|(name, _)| now.made && settable(name) != Settable::Running) {
            return Err(format!("{name} can be set {}", Settable::Unconfigured.text()));
        }
        let mut config = now.config.clone();
        override_parameters(node, &mut config, &Overrides::of(changes)).map_err(|e| format!("{e:#}"))?;
        node.validate(&config)?;
        now.config = config;
        self.version.fetch_add(1, Ordering::Release);
        for (name, value) in changes {
            tracing::info!(name, ?value, "parameter set");
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        // A change is put down as a whole, so a panic leaves nothing half done.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What can take parameters between two polls.
pub trait Adjust: Node {
    /// Takes its own, or refuses them and goes on as before.
    fn adjust_to(&mut self, config: &StackConfig) -> Result<(), String>;
}

impl Adjust for PerceptionNode {
    fn adjust_to(&mut self, config: &StackConfig) -> Result<(), String> {
        self.adjust(&config.perception).map_err(|e| e.to_string())
    }
}

impl Adjust for FusionNode {
    fn adjust_to(&mut self, config: &StackConfig) -> Result<(), String> {
        self.adjust(config.fusion.clone()).map_err(|e| e.to_string())
    }
}

impl Adjust for AutonomyNode {
    fn adjust_to(&mut self, config: &StackConfig) -> Result<(), String> {
        self.adjust(config.autonomy.clone()).map_err(|e| e.to_string())
    }
}

/// A node that is polled with what was set before.
pub struct Adjusted<N> {
    node: N,
    settings: Arc<Settings>,
    /// Version of the settings that it runs with.
    seen: Option<u64>,
}

impl<N: Adjust> Adjusted<N> {
    /// A node that was made with what [`Settings::make`] gave, or an older one.
    pub fn new(node: N, settings: &Arc<Settings>) -> Self {
        Self { node, settings: settings.clone(), seen: None }
    }
}

impl<N: Adjust> Node for Adjusted<N> {
    fn name(&self) -> &'static str {
        self.node.name()
    }

    fn period(&self) -> Duration {
        self.node.period()
    }

    fn urgency(&self) -> Urgency {
        self.node.urgency()
    }

    fn may_pause(&self) -> bool {
        self.node.may_pause()
    }

    fn poll(&mut self, now: Stamp) {
        let version = self.settings.version.load(Ordering::Acquire);
        if self.seen.replace(version) != Some(version)
            && let Err(why) = self.node.adjust_to(&self.settings.lock().config)
        {
            tracing::error!(node = self.node.name(), "parameters that were accepted are not taken: {why}");
        }
        self.node.poll(now);
    }
}
