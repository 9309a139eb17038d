//! The machine as a table, and its invariants over every reachable state.
#![allow(clippy::unwrap_used)]

use proctor_safety::machine::{Ask, Causes, Effect, Facts, Machine, PROTECTIONS, Pending, Severity};
use proctor_types::{Constraint, OperatorId, RequestKind, SafetyMode};
use std::collections::{HashSet, VecDeque};

const A: OperatorId = OperatorId(1);
const B: OperatorId = OperatorId(2);

fn rest() -> Facts {
    Facts { at_rest: true, ..Facts::default() }
}

fn with(cause: Constraint, at_rest: bool) -> Facts {
    let mut causes = Causes::default();
    causes.add(cause);
    Facts { causes, at_rest }
}

fn ask(kind: RequestKind) -> Ask {
    Ask { operator: A, kind }
}

fn machine(mode: SafetyMode) -> Machine {
    let authority = (mode != SafetyMode::Disabled).then_some(A);
    Machine { mode, authority, e_stop: mode == SafetyMode::Fault, ..Machine::default() }
}

#[test]
fn boots_disabled_without_authority_or_autonomy() {
    let m = Machine::default();
    assert_eq!((m.mode, m.authority, m.autonomy_level(), m.may_move()), (SafetyMode::Disabled, None, 0, false));
}

#[test]
fn requests_at_rest_without_causes_lead_where_the_table_says() {
    use RequestKind as R;
    use SafetyMode::{Disabled, Fault, Hold, Ready, Supervised, Teleop};
    // Rows: mode; columns: enable, disable, teleop, supervise, ready, e-stop, reset; `None` is a refusal.
    let table: [(SafetyMode, [Option<SafetyMode>; 7]); 6] = [
        (Disabled, [Some(Ready), Some(Disabled), None, None, None, Some(Fault), None]),
        (Ready, [Some(Ready), Some(Disabled), Some(Teleop), Some(Supervised), Some(Ready), Some(Fault), None]),
        (Teleop, [None, Some(Disabled), Some(Teleop), None, Some(Ready), Some(Fault), None]),
        (Supervised, [None, Some(Disabled), None, Some(Supervised), Some(Ready), Some(Fault), None]),
        (Hold, [None, Some(Disabled), None, None, Some(Ready), Some(Fault), None]),
        (Fault, [None, None, None, None, None, Some(Fault), Some(Disabled)]),
    ];
    for (mode, row) in table {
        // Reading the zones again leads nowhere.
        let row = row.into_iter().chain([Some(mode)]);
        for (kind, expected) in R::ALL.into_iter().zip(row) {
            let asked = machine(mode).update(&rest(), Some(ask(kind)));
            // A stop that is pending ends in the next update, at rest.
            let settled = asked.next.update(&rest(), None).next;
            assert_eq!(settled.mode, expected.unwrap_or(mode), "{mode:?} {kind:?}");
            assert_eq!(asked.refused.is_some(), expected.is_none(), "{mode:?} {kind:?}");
        }
    }
}

#[test]
fn enabling_and_disabling_say_so_to_the_arms() {
    let on = machine(SafetyMode::Disabled).update(&rest(), Some(ask(RequestKind::Enable)));
    assert_eq!((on.effect, on.next.authority), (Effect::EnableArms, Some(A)));
    let stopping = machine(SafetyMode::Teleop).update(&Facts::default(), Some(ask(RequestKind::Disable)));
    assert_eq!((stopping.effect, stopping.next.mode), (Effect::None, SafetyMode::Teleop));
    assert_eq!(stopping.next.pending, Some(Pending::Disable));
    let off = stopping.next.update(&rest(), None);
    assert_eq!((off.effect, off.next), (Effect::DisableArms, Machine::default()));
}

#[test]
fn every_protection_stops_the_modes_it_guards_and_no_other() {
    use Constraint as C;
    for (cause, severity) in PROTECTIONS {
        for mode in SafetyMode::ALL {
            let guards = match mode {
                SafetyMode::Disabled | SafetyMode::Ready | SafetyMode::Fault => cause == C::EStop,
                SafetyMode::Teleop => cause != C::SceneStale,
                SafetyMode::Supervised => cause != C::CommandStale,
                SafetyMode::Hold => !matches!(cause, C::SceneStale | C::CommandStale),
            };
            let next = machine(mode).update(&with(cause, false), None).next;
            let expected = match (guards, severity) {
                (false, _) => mode,
                (true, Severity::Fault) => SafetyMode::Fault,
                (true, Severity::Hold) => SafetyMode::Hold,
            };
            assert_eq!(next.mode, expected, "{cause:?} in {mode:?}");
            if guards && mode != expected {
                assert_eq!(next.cause, Some(cause));
            }
        }
    }
}

#[test]
fn hold_clears_by_request_only_once_the_cause_is_gone_and_everything_rests() {
    let held = machine(SafetyMode::Teleop).update(&with(Constraint::KinematicsStale, false), None).next;
    assert_eq!(held.update(&rest(), None).next.mode, SafetyMode::Hold, "nothing clears by itself");
    let refused = held.update(&with(Constraint::KinematicsStale, true), Some(ask(RequestKind::Ready)));
    assert_eq!(
        (refused.next.mode, refused.refused.unwrap().constraint),
        (SafetyMode::Hold, Constraint::KinematicsStale)
    );
    assert_eq!(
        held.update(&Facts::default(), Some(ask(RequestKind::Ready))).next.mode,
        SafetyMode::Hold,
        "still moving"
    );
    let ready = held.update(&rest(), Some(ask(RequestKind::Ready))).next;
    assert_eq!((ready.mode, ready.cause), (SafetyMode::Ready, None));
}

#[test]
fn entering_motion_is_refused_by_the_cause_that_would_stop_it() {
    for (kind, cause) in [
        (RequestKind::Teleop, Constraint::ArmNotReady),
        (RequestKind::Supervise, Constraint::SceneStale),
        (RequestKind::Supervise, Constraint::KinematicsStale),
    ] {
        let u = machine(SafetyMode::Ready).update(&with(cause, true), Some(ask(kind)));
        assert_eq!((u.next.mode, u.refused.unwrap().constraint), (SafetyMode::Ready, cause));
    }
    let u = machine(SafetyMode::Ready).update(&with(Constraint::SceneStale, true), Some(ask(RequestKind::Teleop)));
    assert_eq!(u.next.mode, SafetyMode::Teleop, "teleoperation needs no scene");
}

#[test]
fn a_request_that_a_mode_does_not_take_is_refused_with_the_modes_number() {
    // In the order of SafetyMode.msg.
    for (number, mode) in SafetyMode::ALL.into_iter().enumerate() {
        let kind = if mode == SafetyMode::Fault { RequestKind::Enable } else { RequestKind::Reset };
        let f = machine(mode).update(&rest(), Some(ask(kind))).refused.unwrap();
        assert_eq!((f.constraint, f.value, f.limit), (Constraint::WrongMode, number as f64, 0.0), "{mode:?}");
    }
}

#[test]
fn autonomy_is_assistance_under_teleop_and_a_task_under_supervised() {
    for mode in SafetyMode::ALL {
        let level = match mode {
            SafetyMode::Teleop => 1,
            SafetyMode::Supervised => 2,
            SafetyMode::Disabled | SafetyMode::Ready | SafetyMode::Hold | SafetyMode::Fault => 0,
        };
        assert_eq!(machine(mode).autonomy_level(), level, "{mode:?}");
    }
}

#[test]
fn a_stop_on_request_ends_at_rest_and_not_before() {
    for (kind, pending, leads_to) in [
        (RequestKind::Ready, Pending::Ready, SafetyMode::Ready),
        (RequestKind::Disable, Pending::Disable, SafetyMode::Disabled),
    ] {
        for mode in [SafetyMode::Teleop, SafetyMode::Supervised] {
            let stopping = machine(mode).update(&rest(), Some(ask(kind))).next;
            assert_eq!((stopping.mode, stopping.pending, stopping.may_move()), (mode, Some(pending), false));
            let moving = stopping.update(&Facts::default(), None).next;
            assert_eq!(moving, stopping, "still moving");
            // What is asked meanwhile changes nothing: no way back into motion, no better end.
            let mine = if mode == SafetyMode::Teleop { RequestKind::Teleop } else { RequestKind::Supervise };
            let back = moving.update(&Facts::default(), Some(ask(mine)));
            assert_eq!((back.next, back.refused.map(|f| f.constraint)), (moving, Some(Constraint::WrongMode)));
            assert_eq!(moving.update(&Facts::default(), Some(ask(RequestKind::Ready))).next, moving);
            let rested = moving.update(&rest(), None).next;
            assert_eq!((rested.mode, rested.pending, rested.cause), (leads_to, None, None));
        }
    }
}

#[test]
fn hold_keeps_its_first_cause_and_a_wish_to_be_disabled_but_none_to_be_ready() {
    let stale = with(Constraint::KinematicsStale, false);
    let held = machine(SafetyMode::Teleop).update(&stale, None).next;
    assert_eq!((held.mode, held.cause), (SafetyMode::Hold, Some(Constraint::KinematicsStale)));
    let again = held.update(&with(Constraint::ArmNotReady, false), None).next;
    assert_eq!((again.mode, again.cause), (SafetyMode::Hold, Some(Constraint::KinematicsStale)));
    for (kind, kept, leads_to) in [
        (RequestKind::Disable, Some(Pending::Disable), SafetyMode::Disabled),
        (RequestKind::Ready, None, SafetyMode::Hold),
    ] {
        let stopping = machine(SafetyMode::Teleop).update(&Facts::default(), Some(ask(kind))).next;
        let held = stopping.update(&stale, None).next;
        assert_eq!((held.mode, held.pending), (SafetyMode::Hold, kept));
        assert_eq!(held.update(&rest(), None).next.mode, leads_to);
    }
    // Asked for while held.
    let disabling = held.update(&Facts::default(), Some(ask(RequestKind::Disable))).next;
    assert_eq!((disabling.mode, disabling.pending), (SafetyMode::Hold, Some(Pending::Disable)));
    let refused = disabling.update(&Facts::default(), Some(ask(RequestKind::Ready)));
    assert_eq!((refused.refused.unwrap().constraint, refused.next), (Constraint::WrongMode, disabling));
    assert_eq!(disabling.update(&rest(), None).next.mode, SafetyMode::Disabled);
}

#[test]
fn a_fault_names_what_led_to_it_and_an_e_stop_that_comes_later() {
    let held = machine(SafetyMode::Teleop).update(&with(Constraint::KinematicsStale, false), None).next;
    let fault = held.update(&with(Constraint::FollowingError, false), None).next;
    assert_eq!((fault.mode, fault.cause, fault.e_stop), (SafetyMode::Fault, Some(Constraint::FollowingError), false));
    let later = fault.update(&with(Constraint::ArmNotReady, false), None).next;
    assert_eq!(later, fault, "a latched fault keeps its cause");
    for stopped in [
        fault.update(&with(Constraint::EStop, false), None).next,
        fault.update(&Facts::default(), Some(Ask { operator: B, kind: RequestKind::EStop })).next,
    ] {
        assert_eq!((stopped.mode, stopped.cause, stopped.e_stop), (SafetyMode::Fault, Some(Constraint::EStop), true));
    }
}

/// Every state that any sequence of facts and requests of two operators can reach.
fn reachable() -> Vec<(Machine, Facts, Option<Ask>, Machine)> {
    let mut facts = vec![Facts::default(), rest()];
    for (cause, _) in PROTECTIONS {
        facts.extend([with(cause, false), with(cause, true)]);
    }
    let kinds = RequestKind::ALL.into_iter();
    let asks = kinds.flat_map(|kind| [A, B].map(|operator| Some(Ask { operator, kind })));
    let asks: Vec<_> = std::iter::once(None).chain(asks).collect();
    let (mut seen, mut queue) = (HashSet::new(), VecDeque::from([Machine::default()]));
    let mut edges = Vec::new();
    while let Some(m) = queue.pop_front() {
        if !seen.insert(m) {
            continue;
        }
        for f in &facts {
            for a in &asks {
                let next = m.update(f, *a).next;
                edges.push((m, *f, *a, next));
                queue.push_back(next);
            }
        }
    }
    assert!(seen.len() > 30, "{}", seen.len());
    edges
}

#[test]
fn invariants_hold_on_every_edge_of_the_state_graph() {
    use SafetyMode::{Disabled, Fault, Ready, Supervised, Teleop};
    for (m, f, a, next) in reachable() {
        let edge = format!("{m:?} --{f:?} {a:?}--> {next:?}");
        let kind = a.map(|a| a.kind);
        if kind == Some(RequestKind::EStop) || f.causes.has(Constraint::EStop) {
            assert!(next.mode == Fault && next.e_stop, "e-stop wins: {edge}");
        }
        if m.mode == Fault && next.mode != Fault {
            assert!(kind == Some(RequestKind::Reset) && f.at_rest && next.mode == Disabled, "fault latches: {edge}");
        }
        if m.e_stop && !next.e_stop {
            assert_eq!(kind, Some(RequestKind::Reset), "e-stop latches: {edge}");
        }
        if !m.may_move() && next.may_move() {
            let by = a.map(|a| a.operator);
            // A stop that leads to READY ends before the request is heard.
            let ready = m.mode == Ready || m.pending == Some(Pending::Ready);
            assert!(ready && by == m.authority && f.at_rest, "motion begins by its holder only: {edge}");
            assert!(matches!(kind, Some(RequestKind::Teleop | RequestKind::Supervise)), "{edge}");
        }
        if m.authority != next.authority && next.authority.is_some() {
            // A stop that leads to DISABLED ends before the request is heard.
            let free = m.authority.is_none() || (m.pending == Some(Pending::Disable) && f.at_rest);
            assert!(free && kind == Some(RequestKind::Enable), "authority is not taken: {edge}");
        }
        if next.mode == Disabled {
            assert_eq!(next.authority, None, "{edge}");
        }
        if matches!(next.mode, Teleop | Supervised) {
            assert!(next.authority.is_some() && !next.e_stop, "{edge}");
        }
        if next.mode != Supervised {
            assert!(next.autonomy_level() < 2, "{edge}");
        }
    }
}
