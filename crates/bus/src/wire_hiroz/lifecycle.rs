//! The lifecycle's services and events over hiroz. (hiroz has a lifecycle node of its own; its `ChangeState` has another type hash than ROS's.)

use super::{failed, profile};
use crate::{
    BusError,
    lifecycle::{EVENTS, Edge, Lifecycle, LifecycleState, Transition, timestamp},
};
use hiroz::{
    Builder, MessageTypeInfo, ServiceTypeInfo,
    msg::{NativeCdrSerdes, ZDeserializer, ZMessage, ZService},
    node::ZNode,
    pubsub::ZPub,
    service::ZServer,
};
use proctor_msgs::{
    lifecycle_events::{State, Transition as AskedFor, TransitionEvent},
    lifecycle_msgs::{self as msg, srv},
};

/// Requests answered per call, per service.
const BURST: usize = 10;

/// The five services.
pub(crate) struct LifecycleServices {
    change_state: ZServer<srv::ChangeState>,
    get_state: ZServer<srv::GetState>,
    get_available_states: ZServer<srv::GetAvailableStates>,
    get_available_transitions: ZServer<srv::GetAvailableTransitions>,
    get_transition_graph: ZServer<srv::GetAvailableTransitions>,
    events: ZPub<TransitionEvent, NativeCdrSerdes<TransitionEvent>>,
}

impl LifecycleServices {
    pub(crate) fn offer(node: &ZNode) -> Result<Self, BusError> {
        let events = node.create_pub_impl::<TransitionEvent>("~/transition_event", Some(TransitionEvent::type_info()));
        let events = events.with_serdes::<NativeCdrSerdes<TransitionEvent>>().with_qos(profile(EVENTS, EVENTS.depth));
        Ok(Self {
            // First, so that whoever finds the services finds the events, too.
            events: events.build().map_err(|e| failed("publishing ~/transition_event", e))?,
            change_state: service(node, "change_state")?,
            get_state: service(node, "get_state")?,
            get_available_states: service(node, "get_available_states")?,
            get_available_transitions: service(node, "get_available_transitions")?,
            get_transition_graph: service(node, "get_transition_graph")?,
        })
    }

    /// Tells whoever listens what was done.
    pub(crate) fn tell(&self, edge: Edge) {
        let state = |of: LifecycleState| State { id: of as u8, label: of.label().to_owned() };
        let event = TransitionEvent {
            timestamp: timestamp(),
            transition: AskedFor { id: edge.id, label: edge.transition.label().to_owned() },
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
            msg::ChangeStateResponse { success: lifecycle.ask(wanted.id, &wanted.label, act) }
        });
        let here = lifecycle.state();
        answer(&mut self.get_state, |_| msg::GetStateResponse { current_state: state(here) });
        answer(&mut self.get_available_states, |_| msg::GetAvailableStatesResponse {
            available_states: LifecycleState::ALL.map(state).to_vec(),
        });
        answer(&mut self.get_available_transitions, |_| msg::GetAvailableTransitionsResponse {
            available_transitions: lifecycle.available().map(description).collect(),
        });
        answer(&mut self.get_transition_graph, |_| msg::GetAvailableTransitionsResponse {
            available_transitions: Lifecycle::EDGES.map(description).to_vec(),
        });
    }
}

fn service<T: ZService + ServiceTypeInfo>(node: &ZNode, name: &str) -> Result<ZServer<T>, BusError> {
    let made = node.create_service_impl::<T>(&format!("~/{name}"), Some(T::service_type_info())).build();
    made.map_err(|e| failed(format!("offering the service {name}"), e))
}

/// Answers what waits; what cannot be read is asked by nobody who could be answered.
fn answer<T: ZService>(server: &mut ZServer<T>, mut with: impl FnMut(&T::Request) -> T::Response)
where
    T::Request: ZMessage + Send + Sync + 'static,
    T::Response: ZMessage,
    for<'a> <T::Request as ZMessage>::Serdes: ZDeserializer<Output = T::Request, Input<'a> = &'a [u8]>,
{
    for _ in 0..BURST {
        match server.try_take_request() {
            Ok(Some(request)) => {
                let response = with(request.message());
                // Whoever asked and went away gets no answer.
                _ = request.reply_blocking(&response);
            }
            Ok(None) => return,
            Err(error) => tracing::warn!(%error, "a request to the lifecycle's services was not understood"),
        }
    }
}

fn state(of: LifecycleState) -> msg::State {
    msg::State { id: of as u8, label: of.label().to_owned() }
}

fn description(edge: Edge) -> msg::TransitionDescription {
    msg::TransitionDescription {
        transition: msg::Transition { id: edge.id, label: edge.transition.label().to_owned() },
        start_state: state(edge.start),
        goal_state: state(edge.goal),
    }
}
