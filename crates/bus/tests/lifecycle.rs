//! The lifecycle's services over hiroz, asked by another session as `ros2 lifecycle` asks.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the rest is the other buses' tests'")]
mod support;

use hiroz::{Builder, MessageTypeInfo, ServiceTypeInfo, context::ZContextBuilder, msg::NativeCdrSerdes, node::ZNode};
use proctor_bus::{
    Bus, HirozConfig,
    lifecycle::{Lifecycle, LifecycleState, Transition},
};
use proctor_msgs::{
    lifecycle_events::TransitionEvent,
    lifecycle_msgs::{self as msg, srv},
};
use std::{
    net::TcpListener,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Asks until somebody answers: until the sessions know each other, nobody does.
macro_rules! ask {
    ($node:expr, $service:ty, $name:expr, $request:expr) => {{
        let client = $node
            .create_client_impl::<$service>(concat!("/arm_node/", $name), Some(<$service>::service_type_info()))
            .build()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let request = $request;
        let call = || runtime.block_on(client.call_with_timeout(&request, Duration::from_secs(20))).ok();
        support::until("an answer", call)
    }};
}

fn change(node: &ZNode, label: &str) -> bool {
    let transition = msg::Transition { id: 0, label: label.to_owned() };
    ask!(node, srv::ChangeState, "change_state", msg::ChangeStateRequest { transition }).success
}

fn state(node: &ZNode) -> (u8, String) {
    let state = ask!(node, srv::GetState, "get_state", msg::GetStateRequest::default()).current_state;
    (state.id, state.label)
}

/// Ends the owner's loop, also when a check fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn another_session_leads_a_node_through_its_states() {
    let endpoint = format!("tcp/{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let config = HirozConfig {
        domain_id: 78,
        listen: vec![endpoint.clone()],
        node_name: "arm_node".to_owned(),
        ..HirozConfig::default()
    };
    let bus = Bus::hiroz(&config).unwrap();
    let mut services = bus.lifecycle_services().unwrap();
    let context = ZContextBuilder::default()
        .with_domain_id(78)
        .disable_multicast_scouting()
        .with_mode("peer")
        .with_connect_endpoints([endpoint])
        .build()
        .unwrap();
    let asker = context.create_node("asker").build().unwrap();
    // As Jazzy's own lifecycle_msgs/msg/TransitionEvent.json has it.
    let hash = "RIHS01_d5f8873a2f0146498f812d7885c7327ce27e463d36811d8792f35ee38c0d6c38";
    assert_eq!(TransitionEvent::type_hash().to_rihs_string(), hash);
    let events = asker
        .create_sub_impl::<TransitionEvent>("/arm_node/transition_event", Some(TransitionEvent::type_info()))
        .with_serdes::<NativeCdrSerdes<TransitionEvent>>()
        .build()
        .unwrap();
    let over = AtomicBool::new(false);

    std::thread::scope(|scope| {
        let done = Done(&over);
        // The owner: it refuses to be deactivated.
        let owner = scope.spawn(|| {
            let (mut life, mut done) = (Lifecycle::default(), Vec::new());
            while !over.load(Ordering::Relaxed) {
                services.serve(&mut life, &mut |t| {
                    done.push(t);
                    if t == Transition::Deactivate { Err("an arm moves".to_owned()) } else { Ok(()) }
                });
                std::thread::yield_now();
            }
            (life.state(), done)
        });
        assert_eq!(state(&asker), (1, "unconfigured".to_owned()));
        let can = ask!(
            asker,
            srv::GetAvailableTransitions,
            "get_available_transitions",
            msg::GetAvailableTransitionsRequest::default()
        );
        let labels: Vec<_> = can.available_transitions.iter().map(|t| t.transition.label.as_str()).collect();
        assert_eq!(labels, ["configure", "shutdown"]);
        assert!(!change(&asker, "activate"), "not from unconfigured");
        assert!(change(&asker, "configure") && change(&asker, "activate"));
        assert_eq!(state(&asker), (3, "active".to_owned()));
        assert!(!change(&asker, "deactivate"), "the owner refuses");
        assert_eq!(state(&asker), (3, "active".to_owned()));
        assert!(change(&asker, "shutdown"));
        let told: Vec<_> = (0..3).map(|_| events.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
        assert!(told.iter().all(|e| e.timestamp > 0));
        let told: Vec<_> =
            told.iter().map(|e| (e.transition.id, e.start_state.id, e.goal_state.label.as_str())).collect();
        assert_eq!(told, [(1, 1, "inactive"), (3, 2, "active"), (7, 3, "finalized")], "what was refused is not told");
        drop(done);
        let (ended, done) = owner.join().unwrap();
        use Transition::{Activate, Configure, Deactivate, Shutdown};
        assert_eq!((ended, done), (LifecycleState::Finalized, vec![Configure, Activate, Deactivate, Shutdown]));
    });
}
