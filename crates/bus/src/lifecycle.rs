//! A node's lifecycle as ROS 2 has it (design.ros2.org, "Managed nodes"): *unconfigured*, *inactive*, *active*, *finalized*, and the services by which
//! `ros2 lifecycle` and lifecycle managers ask for transitions.
//!
//! What a transition does is its owner's; it may refuse, and then nothing has changed. Services are answered when the owner asks for it
//! ([`LifecycleServices::serve`]), so a transition runs on the owner's thread.

#[cfg(feature = "r2r")]
use crate::wire_r2r;
use crate::{graph::Qos, wire_hiroz};
use std::time::SystemTime;

/// A primary state; its number is the one of `lifecycle_msgs/msg/State`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleState {
    /// Nothing has been made yet.
    Unconfigured = 1,
    /// Everything is made, nothing runs.
    Inactive = 2,
    /// It runs.
    Active = 3,
    /// It has ended.
    Finalized = 4,
}

impl LifecycleState {
    /// Every value.
    pub const ALL: [Self; 4] = [Self::Unconfigured, Self::Inactive, Self::Active, Self::Finalized];

    /// As ROS writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unconfigured => "unconfigured",
            Self::Inactive => "inactive",
            Self::Active => "active",
            Self::Finalized => "finalized",
        }
    }
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Make everything.
    Configure,
    /// Take everything away again.
    Cleanup,
    /// Run.
    Activate,
    /// Do not run for the time being.
    Deactivate,
    /// End.
    Shutdown,
}

impl Transition {
    /// As ROS writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Cleanup => "cleanup",
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
            Self::Shutdown => "shutdown",
        }
    }
}

/// A transition from one state into another; `id` is its number in `lifecycle_msgs/msg/Transition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Number.
    pub id: u8,
    /// What is asked for.
    pub transition: Transition,
    /// Where it begins.
    pub start: LifecycleState,
    /// Where it ends.
    pub goal: LifecycleState,
}

const fn edge(id: u8, transition: Transition, start: LifecycleState, goal: LifecycleState) -> Edge {
    Edge { id, transition, start, goal }
}

/// The states a node goes through.
#[derive(Debug)]
pub struct Lifecycle {
    state: LifecycleState,
    /// What has been done and not been told yet ([`LifecycleServices::serve`]).
    untold: Vec<Edge>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { state: LifecycleState::Unconfigured, untold: Vec::new() }
    }
}

impl Lifecycle {
    /// Every transition there is.
    pub const EDGES: [Edge; 7] = {
        use {LifecycleState as S, Transition as T};
        [
            edge(1, T::Configure, S::Unconfigured, S::Inactive),
            edge(2, T::Cleanup, S::Inactive, S::Unconfigured),
            edge(3, T::Activate, S::Inactive, S::Active),
            edge(4, T::Deactivate, S::Active, S::Inactive),
            edge(5, T::Shutdown, S::Unconfigured, S::Finalized),
            edge(6, T::Shutdown, S::Inactive, S::Finalized),
            edge(7, T::Shutdown, S::Active, S::Finalized),
        ]
    };

    /// Where it is.
    pub fn state(&self) -> LifecycleState {
        self.state
    }

    /// What can be asked for now.
    pub fn available(&self) -> impl Iterator<Item = Edge> {
        let here = self.state;
        Self::EDGES.into_iter().filter(move |e| e.start == here)
    }

    /// Does what is asked for by its label or, without one, by its number. What cannot be asked for now, and what `act` refuses, changes nothing and is said
    /// in the log. Returns whether it was done.
    pub fn ask(&mut self, id: u8, label: &str, act: &mut dyn FnMut(Transition) -> Result<(), String>) -> bool {
        let meant = |e: &Edge| if label.is_empty() { e.id == id } else { e.transition.label() == label };
        let Some(edge) = self.available().find(meant) else {
            let can: Vec<_> = self.available().map(|e| e.transition.label()).collect();
            tracing::warn!(id, label, "not a transition from {}, expected {}", self.state.label(), can.join(" or "));
            return false;
        };
        match act(edge.transition) {
            Ok(()) => {
                tracing::info!("{}: {} -> {}", edge.transition.label(), edge.start.label(), edge.goal.label());
                self.state = edge.goal;
                self.untold.push(edge);
                true
            }
            Err(why) => {
                tracing::error!("{} refused, still {}: {why}", edge.transition.label(), self.state.label());
                false
            }
        }
    }

    /// What has been done since the last call.
    fn told(&mut self) -> Vec<Edge> {
        std::mem::take(&mut self.untold)
    }
}

/// Of `~/transition_event`, as rcl_lifecycle has it.
pub(crate) const EVENTS: Qos = Qos { reliable: true, latched: false, depth: 10 };

/// Now, as `lifecycle_msgs/msg/TransitionEvent` has it: nanoseconds since 1970.
pub(crate) fn timestamp() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The services of a node's lifecycle; none where there is no ROS to ask.
pub struct LifecycleServices(pub(crate) Offered);

pub(crate) enum Offered {
    Nowhere,
    Hiroz(Box<wire_hiroz::LifecycleServices>),
    #[cfg(feature = "r2r")]
    R2r(wire_r2r::LifecycleServices),
}

impl LifecycleServices {
    /// Answers what was asked since the last call, and tells what has been done (`~/transition_event`). Never blocks longer than `act` does.
    pub fn serve(&mut self, lifecycle: &mut Lifecycle, act: &mut dyn FnMut(Transition) -> Result<(), String>) {
        match &mut self.0 {
            Offered::Nowhere => {}
            Offered::Hiroz(services) => services.serve(lifecycle, act),
            #[cfg(feature = "r2r")]
            Offered::R2r(services) => services.serve(lifecycle, act),
        }
        for edge in lifecycle.told() {
            match &self.0 {
                Offered::Nowhere => {}
                Offered::Hiroz(services) => services.tell(edge),
                #[cfg(feature = "r2r")]
                Offered::R2r(services) => services.tell(edge),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions_lead_where_ros_says_and_refusals_change_nothing() {
        let mut life = Lifecycle::default();
        let mut done = Vec::new();
        let mut act = |t: Transition| {
            done.push(t);
            Ok(())
        };
        assert!(life.ask(0, "configure", &mut act) && life.state() == LifecycleState::Inactive);
        assert!(life.ask(3, "", &mut act) && life.state() == LifecycleState::Active);
        // Not from here, by label or by number; nobody is asked to act.
        assert!(!life.ask(0, "configure", &mut act) && !life.ask(6, "", &mut act) && !life.ask(99, "", &mut act));
        assert!(!life.ask(4, "fly", &mut act), "a label that is none is not overridden by a number");
        assert_eq!(life.state(), LifecycleState::Active);
        assert!(!life.ask(0, "deactivate", &mut |_| Err("an arm moves".to_owned())));
        assert_eq!(life.state(), LifecycleState::Active);
        assert!(life.ask(4, "", &mut act) && life.ask(2, "", &mut act) && life.ask(5, "", &mut act));
        assert_eq!((life.state(), life.available().count()), (LifecycleState::Finalized, 0));
        assert_eq!(
            life.told().iter().map(|e| e.id).collect::<Vec<_>>(),
            [1, 3, 4, 2, 5],
            "what was refused is not told"
        );
        assert!(life.told().is_empty());
        use Transition::{Activate, Cleanup, Configure, Deactivate, Shutdown};
        assert_eq!(done, [Configure, Activate, Deactivate, Cleanup, Shutdown]);
    }
}
