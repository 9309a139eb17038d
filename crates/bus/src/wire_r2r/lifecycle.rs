//! The lifecycle's services and events over r2r: the node's thread hands over the streams of requests, whoever owns the lifecycle answers them.

use crate::lifecycle::{EVENTS, Edge, Lifecycle, LifecycleState, Transition, timestamp};
use futures_util::{FutureExt, Stream, StreamExt};
use r2r::{
    Node, Publisher, QosProfile, ServiceRequest, WrappedServiceTypeSupport,
    lifecycle_msgs::{
        msg,
        srv::{ChangeState, GetAvailableStates, GetAvailableTransitions, GetState},
    },
};

/// Requests answered per call, per service: as many as r2r's channel holds.
const BURST: usize = 10;

type Requests<S> = Box<dyn Stream<Item = ServiceRequest<S>> + Unpin + Send>;

/// The five services.
pub(crate) struct LifecycleServices {
    change_state: Requests<ChangeState::Service>,
    get_state: Requests<GetState::Service>,
    get_available_states: Requests<GetAvailableStates::Service>,
    get_available_transitions: Requests<GetAvailableTransitions::Service>,
    get_transition_graph: Requests<GetAvailableTransitions::Service>,
    events: Publisher<msg::TransitionEvent>,
}

impl LifecycleServices {
    pub(super) fn offer(node: &mut Node) -> r2r::Result<Self> {
        Ok(Self {
            // First, so that whoever finds the services finds the events, too.
            events: node.create_publisher("~/transition_event", super::profile(EVENTS, EVENTS.depth))?,
            change_state: requests::<ChangeState::Service>(node, "change_state")?,
            get_state: requests::<GetState::Service>(node, "get_state")?,
            get_available_states: requests::<GetAvailableStates::Service>(node, "get_available_states")?,
            get_available_transitions: requests::<GetAvailableTransitions::Service>(node, "get_available_transitions")?,
            get_transition_graph: requests::<GetAvailableTransitions::Service>(node, "get_transition_graph")?,
        })
    }

    /// Tells whoever listens what was done.
    pub(crate) fn tell(&self, edge: Edge) {
        let event = msg::TransitionEvent {
            timestamp: timestamp(),
            transition: transition(edge),
            start_state: state(edge.start),
            goal_state: state(edge.goal),
        };
        if let Err(error) = self.events.publish(&event) {
            tracing::warn!(%error, "~/transition_event was not published");
        }
    }

    pub(crate) fn serve(&mut self, lifecycle: &mut Lifecycle, act: &mut dyn FnMut(Transition) -> Result<(), String>) {
        answer(&mut self.change_state, |asked| {
            let wanted = &asked.transition;
            ChangeState::Response { success: lifecycle.ask(wanted.id, &wanted.label, act) }
        });
        let here = lifecycle.state();
        answer(&mut self.get_state, |_| GetState::Response { current_state: state(here) });
        answer(&mut self.get_available_states, |_| GetAvailableStates::Response {
            available_states: LifecycleState::ALL.map(state).to_vec(),
        });
        answer(&mut self.get_available_transitions, |_| GetAvailableTransitions::Response {
            available_transitions: lifecycle.available().map(description).collect(),
        });
        answer(&mut self.get_transition_graph, |_| GetAvailableTransitions::Response {
            available_transitions: Lifecycle::EDGES.map(description).to_vec(),
        });
    }
}

fn requests<S: WrappedServiceTypeSupport + 'static>(node: &mut Node, name: &str) -> r2r::Result<Requests<S>> {
    Ok(Box::new(node.create_service::<S>(&format!("~/{name}"), QosProfile::services_default())?))
}

fn answer<S: WrappedServiceTypeSupport + 'static>(
    requests: &mut Requests<S>,
    mut with: impl FnMut(&S::Request) -> S::Response,
) {
    for _ in 0..BURST {
        let Some(Some(request)) = requests.next().now_or_never() else { return };
        let response = with(&request.message);
        // Whoever asked and went away gets no answer.
        _ = request.respond(response);
    }
}

fn state(of: LifecycleState) -> msg::State {
    msg::State { id: of as u8, label: of.label().to_owned() }
}

fn transition(edge: Edge) -> msg::Transition {
    msg::Transition { id: edge.id, label: edge.transition.label().to_owned() }
}

fn description(edge: Edge) -> msg::TransitionDescription {
    msg::TransitionDescription {
        transition: transition(edge),
        start_state: state(edge.start),
        goal_state: state(edge.goal),
    }
}
