//! The scripted surgeon, over real sockets, with a stand-in for the rest of the system.

#![allow(clippy::unwrap_used)]

mod support;

use proctor_console::{
    ConsoleParams, Token,
    scripted::{Policy, ScriptedError, run},
};
use proctor_types::{DecisionKind, Role};
use std::time::Duration;
use support::Console;

fn policy() -> Policy {
    Policy { think: (Duration::from_millis(50), Duration::from_millis(100)), ..Policy::default() }
}

#[tokio::test]
async fn it_brings_a_motion_to_its_end() {
    let c = Console::start(ConsoleParams { allow_scripted: true, ..ConsoleParams::default() });
    let token = Token::random();
    c.shared.add_token(token, Role::Scripted);
    let summary = run(c.address, token, policy(), Duration::from_secs(12)).await.unwrap();
    assert!(summary.executed >= 1 && summary.approved >= 1 && summary.seen >= summary.approved, "{summary:?}");
    assert_eq!(summary.executed, c.rig.lock().unwrap().state.executed);
    let rig = c.rig.lock().unwrap();
    assert!(rig.heard_decisions.iter().all(|d| d.operator.role() == Role::Scripted && d.kind == DecisionKind::Approve));
}

#[tokio::test]
async fn it_rejects_what_it_does_not_trust() {
    let c = Console::start(ConsoleParams { allow_scripted: true, ..ConsoleParams::default() });
    let token = Token::random();
    c.shared.add_token(token, Role::Scripted);
    let strict = Policy { min_confidence: 0.99, ..policy() };
    let summary = run(c.address, token, strict, Duration::from_secs(4)).await.unwrap();
    assert!(summary.rejected >= 1 && summary.approved == 0 && summary.executed == 0, "{summary:?}");
    assert!(c.rig.lock().unwrap().heard_decisions.iter().all(|d| d.kind == DecisionKind::Reject));
}

#[tokio::test]
async fn it_is_turned_away_where_only_people_are_admitted() {
    let c = Console::start(ConsoleParams::default());
    let token = Token::random();
    c.shared.add_token(token, Role::Scripted);
    let outcome = run(c.address, token, policy(), Duration::from_secs(1)).await;
    assert!(matches!(outcome, Err(ScriptedError::Refused { status: 401 })), "{outcome:?}");
}
