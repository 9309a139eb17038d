//! What happens when, for every cause: each test is a timeline.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_safety::{Approval, Event, Events, ForceLimits, LiveScene, SafetyParams};
use proctor_types::{
    ArmId, ArmJoints, Boot, Constraint, Digest, JointCommand, OperatingState, OperatorId, OperatorRequest, Outcome,
    QualityVerdict, RequestKind, SafetyMode, Stamp, StateRequest,
};
use std::time::Duration;
use support::{Cellar, HOME_PSM, Heard, MS, running, running_with, sway};

fn teleop() -> Cellar {
    Cellar::in_mode(SafetyParams::default(), SafetyMode::Teleop)
}

/// Teleoperation that moves PSM1 in yaw at about 0.3 rad/s; returns after 300 ms.
fn moving_teleop() -> Cellar {
    let mut c = teleop();
    drive(&mut c, 300);
    assert!(c.speed(ArmId::Psm1) > 0.2, "{}", c.speed(ArmId::Psm1));
    c
}

fn drive(c: &mut Cellar, ticks: usize) {
    for _ in 0..ticks {
        let mut q = *c.at.get(ArmId::Psm1);
        q[0] += 0.02;
        c.teleop(ArmId::Psm1, &q);
        c.tick();
    }
}

#[test]
fn boots_disabled_at_level_zero_with_the_gate_closed() {
    let mut c = Cellar::new(SafetyParams::default());
    for _ in 0..200 {
        let q = HOME_PSM.map(|x| x + 0.01);
        c.teleop(ArmId::Psm1, &q);
        assert!(c.tick().is_empty());
    }
    let state = c.state.unwrap();
    assert_eq!((state.mode, state.autonomy_level, state.executed), (SafetyMode::Disabled, 0, 0));
    assert_eq!(c.said(Constraint::WrongMode).unwrap().outcome, Outcome::Refused);
}

#[test]
fn enable_powers_and_homes_the_arms_and_then_stops_asking() {
    let mut c = Cellar::new(SafetyParams::default());
    c.status.psm1 = OperatingState::Disabled;
    c.homed.psm1 = false;
    c.status.ecm = OperatingState::Paused;
    c.run(20);
    c.ask(RequestKind::Enable);
    c.run(1200);
    let expected =
        [(ArmId::Psm1, StateRequest::Enable), (ArmId::Ecm, StateRequest::Resume), (ArmId::Psm1, StateRequest::Home)];
    assert_eq!(c.asked, expected);
    assert_eq!(c.mode(), SafetyMode::Ready);
    assert!(c.sent.is_empty(), "READY sends nothing");
}

#[test]
fn teleoperation_that_is_asked_to_end_at_speed_ends_in_what_was_asked_for() {
    for (asked, ends) in [(RequestKind::Ready, SafetyMode::Ready), (RequestKind::Disable, SafetyMode::Disabled)] {
        let mut c = teleop();
        for _ in 0..500 {
            let mut q = *c.at.get(ArmId::Psm1);
            q[0] += 0.15;
            c.teleop(ArmId::Psm1, &q);
            c.tick();
        }
        let fast = c.speed(ArmId::Psm1);
        c.ask(asked);
        let (mut ticks, mut modes) = (0, vec![]);
        while c.mode() != ends && ticks < 1000 {
            c.tick();
            modes.push(c.mode());
            ticks += 1;
        }
        // Longer than a command may be old: nobody commands any more, and that is no silence.
        assert!(ticks > 100, "{ticks} ticks from {fast} rad/s");
        assert!(modes.iter().all(|&m| m == SafetyMode::Teleop || m == ends), "{asked:?}: {modes:?}");
        assert_eq!(c.mode(), ends);
        assert!(c.said(Constraint::CommandStale).is_none());
    }
}

#[test]
fn teleoperation_reaches_its_goal_exactly_and_only_in_teleop() {
    let mut c = teleop();
    let mut goal = HOME_PSM;
    (goal[0], goal[2], goal[4]) = (0.05, 0.165, 0.1);
    for _ in 0..1000 {
        c.teleop(ArmId::Psm1, &goal);
        c.tick();
    }
    for j in 0..6 {
        assert!((c.at.psm1[j] - goal[j]).abs() < 1e-9, "joint {j}: {} {}", c.at.psm1[j], goal[j]);
    }
    c.ask(RequestKind::Ready);
    c.until(500, |c| c.mode() == SafetyMode::Ready).unwrap();
    goal[0] = 0.06;
    let sent = c.sent.len();
    for _ in 0..100 {
        c.teleop(ArmId::Psm1, &goal);
        c.tick();
    }
    assert_eq!(c.sent.len(), sent);
}

/// Ticks from the last one before the cause until the set-point first decelerates, and until it rests.
fn reaction(c: &mut Cellar) -> (usize, usize) {
    let mut last = c.speed(ArmId::Psm1);
    let (mut braking, mut ticks) = (0, 0);
    while ticks < 2000 {
        c.tick();
        ticks += 1;
        let speed = c.speed(ArmId::Psm1);
        if braking == 0 && speed < last * 0.999 {
            braking = ticks;
        }
        if speed == 0.0 {
            return (braking, ticks);
        }
        last = speed;
    }
    panic!("never came to rest");
}

#[test]
fn an_e_stop_brakes_in_the_tick_it_arrives_latches_and_leaves_only_by_reset_at_rest() {
    for start in [moving_teleop, || running().0] {
        let mut c = start();
        c.ask(RequestKind::EStop);
        let (braking, _) = reaction(&mut c);
        assert_eq!(braking, 1);
        assert_eq!((c.mode(), c.core.machine().e_stop), (SafetyMode::Fault, true));
        for kind in [RequestKind::Enable, RequestKind::Ready, RequestKind::Teleop, RequestKind::Disable] {
            c.ask(kind);
            c.run(3);
            assert_eq!(c.mode(), SafetyMode::Fault, "{kind:?}");
        }
        c.hold = None;
        c.ask(RequestKind::Reset);
        c.run(2);
        assert_eq!((c.mode(), c.core.machine().e_stop), (SafetyMode::Disabled, false));
        assert_eq!(c.core.machine().authority, None);
    }
}

#[test]
fn reset_while_moving_is_refused() {
    let mut c = moving_teleop();
    c.ask(RequestKind::EStop);
    c.run(2);
    assert!(c.speed(ArmId::Psm1) > 0.0);
    c.ask(RequestKind::Reset);
    c.run(1);
    assert_eq!(c.mode(), SafetyMode::Fault);
}

#[test]
fn anybody_stops_with_any_sequence_number_and_any_stamp_and_nobody_else_gets_in_the_way() {
    let mut c = moving_teleop();
    let junk = (0..40).map(|i| {
        OperatorRequest { stamp: Stamp::FIRST, seq: 0, operator: OperatorId(i), kind: RequestKind::Teleop }.verified()
    });
    c.queue.extend(junk);
    let kind = RequestKind::EStop;
    c.hear(OperatorRequest { stamp: Stamp::FIRST, seq: 0, operator: OperatorId(0), kind });
    c.tick();
    assert_eq!(c.mode(), SafetyMode::Fault);
}

#[test]
fn the_e_stop_line_stops_and_blocks_the_reset_while_pressed() {
    let mut c = moving_teleop();
    c.queue.push(Event::EStopLine(true));
    assert_eq!(reaction(&mut c).0, 1);
    c.ask(RequestKind::Reset);
    c.run(3);
    assert_eq!(c.mode(), SafetyMode::Fault);
    c.queue.push(Event::EStopLine(false));
    c.run(1);
    c.ask(RequestKind::Reset);
    c.run(2);
    assert_eq!(c.mode(), SafetyMode::Disabled);
}

#[test]
fn a_silent_teleoperator_is_braked_101_ms_after_the_last_command_and_held() {
    let mut c = teleop();
    let mut goal = HOME_PSM;
    goal[0] = 0.14;
    c.teleop(ArmId::Psm1, &goal);
    // The command is stamped at the tick before it is taken; at a tenth of the speed the goal is far away.
    let held = c.until(400, |c| c.mode() == SafetyMode::Hold).unwrap() + 1;
    assert_eq!(held, 101);
    assert_eq!(c.core.machine().cause, Some(Constraint::CommandStale));
    let speed = c.speed(ArmId::Psm1);
    // It was speeding up; the jerk limit turns that round in eight ticks.
    c.run(8);
    assert!(c.speed(ArmId::Psm1) < speed);
    let v = c.said(Constraint::CommandStale).unwrap();
    assert!(v.value > 0.1 && v.limit == 0.1 && v.arm == Some(ArmId::Psm1));
}

#[test]
fn silent_kinematics_hold_every_arm_31_ms_after_the_last_measurement() {
    for arm in ArmId::ALL {
        let mut c = moving_teleop();
        *c.faults.silent.get_mut(arm) = true;
        let mut ticks = 0;
        while c.mode() == SafetyMode::Teleop {
            drive(&mut c, 1);
            ticks += 1;
        }
        assert_eq!((ticks, c.mode()), (31, SafetyMode::Hold), "{arm}");
        assert_eq!(c.core.machine().cause, Some(Constraint::KinematicsStale));
        c.verdicts.clear();
        c.ask(RequestKind::Ready);
        c.run(300);
        assert_eq!(c.mode(), SafetyMode::Hold, "the cause persists");
        let v = c.verdicts.iter().find(|v| v.outcome == Outcome::Refused).unwrap();
        assert_eq!((v.constraint, v.arm, v.limit), (Constraint::KinematicsStale, Some(arm), 0.03));
        assert!(v.value > 0.03 && v.margin() == 0.03 - v.value, "with the age it has: {v:?}");
        *c.faults.silent.get_mut(arm) = false;
        c.run(2);
        assert_eq!(c.mode(), SafetyMode::Hold, "nothing clears by itself");
        c.ask(RequestKind::Ready);
        c.run(2);
        assert_eq!(c.mode(), SafetyMode::Ready);
    }
}

#[test]
fn a_stale_scene_holds_a_supervised_motion_and_leaves_teleoperation_alone() {
    let (mut c, _) = running();
    c.faults.blind = true;
    let held = c.until(600, |c| c.mode() == SafetyMode::Hold).unwrap();
    // Scenes come every 33 ms; the limit is 400 ms.
    assert!((367..=401).contains(&held), "{held}");
    assert_eq!(c.core.machine().cause, Some(Constraint::SceneStale));
    let mut c = moving_teleop();
    c.faults.blind = true;
    c.tissue.clear();
    drive(&mut c, 200);
    let mut q = c.at.psm1;
    for _ in 0..600 {
        q[4] += 0.0002;
        c.teleop(ArmId::Psm1, &q);
        c.tick();
    }
    assert_eq!(c.mode(), SafetyMode::Teleop);
}

#[test]
fn a_picture_that_shows_nothing_is_no_scene() {
    let (mut c, _) = running();
    c.quality = QualityVerdict::Unusable;
    let held = c.until(600, |c| c.mode() == SafetyMode::Hold).unwrap();
    assert!((367..=401).contains(&held), "{held}");
}

#[test]
fn an_arm_that_is_not_ready_holds_all() {
    let mut c = moving_teleop();
    c.status.ecm = OperatingState::Fault;
    let mut ticks = 0;
    while c.mode() == SafetyMode::Teleop && ticks < 50 {
        drive(&mut c, 1);
        ticks += 1;
    }
    assert!(ticks <= 10, "operating states come every 10 ms");
    assert_eq!((c.mode(), c.core.machine().cause), (SafetyMode::Hold, Some(Constraint::ArmNotReady)));
}

#[test]
fn an_arm_that_does_not_follow_is_a_fault() {
    let mut c = moving_teleop();
    c.faults.stuck.psm1 = true;
    let stuck = c.at.psm1[0];
    let mut q = c.at.psm1;
    for _ in 0..1000 {
        q[0] += 0.0003;
        c.teleop(ArmId::Psm1, &q);
        c.tick();
        if c.mode() != SafetyMode::Teleop {
            break;
        }
    }
    assert_eq!((c.mode(), c.core.machine().cause), (SafetyMode::Fault, Some(Constraint::FollowingError)));
    let v = *c.said(Constraint::FollowingError).unwrap();
    assert!(v.index == 0 && v.value > v.limit && v.limit >= 0.1, "{v:?}");
    // The set-point ran at most the limit, what a lag of 0.1 s explains, and a stop away.
    let last = c.sent.iter().rev().find(|(_, s)| s.arm == ArmId::Psm1).unwrap().1.position[0];
    assert!((last - stuck).abs() < 0.1 + 0.1 * 0.7 + 0.02, "{}", last - stuck);
}

#[test]
fn a_jumping_clock_holds_in_the_same_tick_whichever_way_it_jumps() {
    for jump in ["gap", "back", "still"] {
        let mut c = moving_teleop();
        match jump {
            "gap" => drop(c.tick_after(Duration::from_millis(51))),
            "back" => {
                c.now = c.now.minus(Duration::from_hours(1));
                c.tick();
            }
            _ => drop(c.tick_after(Duration::ZERO)),
        }
        assert_eq!((c.mode(), c.core.machine().cause), (SafetyMode::Hold, Some(Constraint::ClockJump)), "{jump}");
    }
    let mut c = moving_teleop();
    c.teleop(ArmId::Psm1, &c.at.psm1.map(|x| x + 0.001));
    c.tick_after(Duration::from_millis(29));
    assert_eq!(c.mode(), SafetyMode::Teleop, "a late tick is no jump");
}

#[test]
fn ticks_that_come_too_early_do_not_add_speed() {
    let mut c = moving_teleop();
    let start = c.at.psm1[0];
    for _ in 0..100 {
        let mut q = c.at.psm1;
        q[0] += 0.02;
        c.teleop(ArmId::Psm1, &q);
        c.tick_after(Duration::from_micros(250));
    }
    // 25 ms of time at no more than 1.2 rad/s.
    assert!(c.at.psm1[0] - start <= 0.025 * 1.2, "{}", c.at.psm1[0] - start);
}

#[test]
fn an_approved_and_held_motion_runs_to_its_end_on_time() {
    let (mut c, p) = running();
    let left = c.until(4000, |c| c.executed() == 1).unwrap();
    assert!(left < 2000, "{left}");
    let end = p.trajectory.at(9.0).0;
    (0..6).for_each(|j| assert_eq!(c.at.psm1[j], end[j]));
    assert_eq!(c.state.unwrap().violations, 0);
    c.run(500);
    assert_eq!(c.executed(), 1, "it runs once");
}

#[test]
fn without_presence_an_approved_motion_does_not_start() {
    let mut c = Cellar::in_mode(SafetyParams::default(), SafetyMode::Supervised);
    let p = sway(&mut c);
    c.offer(&p);
    c.run(2);
    c.approve(&p);
    c.run(1000);
    assert_eq!(c.at.psm1, HOME_PSM);
    assert_eq!(c.state.unwrap().active, p.digest(), "approved all the same");
}

#[test]
fn presence_for_another_digest_moves_nothing() {
    let mut c = Cellar::in_mode(SafetyParams::default(), SafetyMode::Supervised);
    let (p, other) = (sway(&mut c), sway(&mut c));
    c.offer(&p);
    c.offer(&other);
    c.run(2);
    c.approve(&p);
    c.hold = Some(other.digest());
    c.run(1000);
    assert_eq!(c.at.psm1, HOME_PSM);
}

#[test]
fn a_released_hold_brakes_at_once_and_holding_again_goes_on() {
    let (mut c, p) = running();
    let release = c.presence(false, p.digest());
    c.hear(release);
    c.hold = None;
    let (braking, rest) = reaction(&mut c);
    assert_eq!(braking, 1);
    assert!(rest < 120, "{rest}");
    assert_eq!(c.mode(), SafetyMode::Supervised);
    let paused = c.at.psm1;
    c.run(1000);
    assert_eq!(c.at.psm1, paused);
    c.hold = Some(p.digest());
    assert!(c.until(4000, |c| c.executed() == 1).is_some());
}

#[test]
fn a_lost_presence_brakes_101_ms_after_its_last_stamp() {
    let (mut c, _) = running();
    // Run up to a tick in which a presence is sent, then lose the line.
    while !(c.ticks - 1).is_multiple_of(20) {
        c.tick();
    }
    c.faults.absent = true;
    assert_eq!(reaction_of_presence(&mut c), 101);
    assert_eq!(c.said(Constraint::PresenceLost).unwrap().limit, 0.1);
}

/// Ticks until the state says that the approved motion is paused by lost presence.
fn reaction_of_presence(c: &mut Cellar) -> usize {
    c.until(300, |c| c.said(Constraint::PresenceLost).is_some()).unwrap() + 1
}

#[test]
fn a_pause_longer_than_the_window_cancels_the_motion() {
    let (mut c, p) = running();
    c.hold = None;
    c.run(5500);
    assert_eq!(c.state.unwrap().active, proctor_types::Digest::default());
    let paused = c.at.psm1;
    c.hold = Some(p.digest());
    c.run(1000);
    assert_eq!((c.at.psm1, c.executed()), (paused, 0));
    c.approve(&p);
    c.run(1000);
    assert_eq!(c.at.psm1, paused, "a cancelled motion cannot be approved again");
}

#[test]
fn a_withdrawal_stops_the_running_motion_for_good() {
    let (mut c, p) = running();
    c.withdraw(&p);
    let (braking, _) = reaction(&mut c);
    assert_eq!(braking, 1);
    let rest = c.at.psm1;
    c.run(500);
    assert_eq!((c.at.psm1, c.executed()), (rest, 0));
    assert!(c.said(Constraint::Withdrawn).is_some());
}

#[test]
fn leaving_supervised_drops_approvals_and_a_new_session_needs_new_ones() {
    let (mut c, p) = running();
    c.ask(RequestKind::Ready);
    c.until(300, |c| c.mode() == SafetyMode::Ready).unwrap();
    c.ask(RequestKind::Supervise);
    c.run(500);
    assert_eq!(c.mode(), SafetyMode::Supervised);
    let rest = c.at.psm1;
    c.run(500);
    assert_eq!(c.at.psm1, rest);
    assert_eq!(c.state.unwrap().active, proctor_types::Digest::default());
    assert!(c.hold == Some(p.digest()));
}

#[test]
fn only_the_holder_of_authority_is_heard_and_a_restart_gives_none() {
    let mut c = teleop();
    let other = OperatorId(8);
    for kind in [RequestKind::Ready, RequestKind::Supervise, RequestKind::Enable] {
        let r = c.request(other, kind);
        c.hear(r);
        c.run(2);
        assert_eq!(c.mode(), SafetyMode::Teleop);
    }
    assert_eq!(c.said(Constraint::WrongOperator).unwrap().value, 8.0);
    // Whoever comes back under a new identity can stop the node, and start anew from DISABLED.
    let r = c.request(other, RequestKind::Disable);
    c.hear(r);
    c.run(5);
    assert_eq!((c.mode(), c.core.machine().authority), (SafetyMode::Disabled, None));
}

#[test]
fn a_scripted_operator_is_refused_unless_configured() {
    let script = OperatorId::new(3, proctor_types::Role::Scripted);
    for (allowed, mode) in [(false, SafetyMode::Disabled), (true, SafetyMode::Ready)] {
        let mut c = Cellar::new(SafetyParams { allow_scripted_operator: allowed, ..SafetyParams::default() });
        c.run(20);
        let r = c.request(script, RequestKind::Enable);
        c.hear(r);
        c.run(2);
        assert_eq!(c.mode(), mode);
    }
}

#[test]
fn stale_replayed_future_and_far_commands_are_refused_by_name() {
    let mut c = teleop();
    let command = |stamp, yaw: f64| {
        let mut q = HOME_PSM;
        q[0] = yaw;
        JointCommand { arm: ArmId::Psm1, stamp, position: support::joints(ArmId::Psm1, &q) }
    };
    let now = c.now;
    let rows = [
        (now.minus(Duration::from_millis(150)), 0.01, Constraint::CommandStale),
        (now.plus(Duration::from_millis(50)), 0.01, Constraint::ClockJump),
        (now, 1.0, Constraint::Jump),
        (now, 0.01, Constraint::Sequence),
    ];
    for (stamp, yaw, constraint) in rows {
        c.verdicts.clear();
        let event = Event::Teleop(command(stamp, yaw));
        c.queue.push(event);
        c.run(1);
        assert_eq!(c.said(constraint).map(|v| v.outcome), Some(Outcome::Refused), "{constraint:?}: {:?}", c.verdicts);
        assert_eq!(c.at.psm1, HOME_PSM);
    }
    assert_eq!(c.state.unwrap().mode, SafetyMode::Teleop);
}

#[test]
fn the_state_is_published_at_50_hz_and_on_every_change() {
    let mut c = teleop();
    c.state = None;
    let mut published = 0;
    for _ in 0..1000 {
        c.state = None;
        c.tick();
        published += usize::from(c.state.is_some());
    }
    assert_eq!(published, 50);
    c.ask(RequestKind::EStop);
    c.state = None;
    c.tick();
    assert_eq!(c.state.unwrap().mode, SafetyMode::Fault);
}

#[test]
fn every_state_says_which_start_it_is_of_what_the_node_is_for_and_how_its_loop_fares() {
    let mut c = Cellar::new(SafetyParams::default());
    c.run(25);
    let first = c.state.unwrap();
    assert_eq!((first.boot, first.shadow, first.overruns), (Boot::default(), false, 0));
    c.core.boot_as(Boot(7));
    c.core.in_shadow();
    c.core.count_overruns(5);
    c.run(25);
    let then = c.state.unwrap();
    assert_eq!((then.boot, then.shadow, then.overruns), (Boot(7), true, 5));
    assert!((1..=25).contains(&(then.tick - first.tick)) && then.tick <= c.ticks);
    assert_eq!(c.core.zones(), c.params.zones);
}

#[test]
fn a_motions_progress_grows_from_nothing_to_all_of_it() {
    let (mut c, p) = running();
    let mut last = c.state.unwrap().progress;
    assert!((0.05..0.5).contains(&last), "{last} after 0.4 of {} s", p.trajectory.duration());
    c.until(4000, |c| {
        let now = c.state.unwrap().progress;
        assert!(c.executed() == 1 || (last..=1.0).contains(&now), "{last}, then {now}");
        last = if c.executed() == 1 { last } else { now };
        c.executed() == 1
    })
    .unwrap();
    assert!(last > 0.95, "{last}");
}

#[test]
fn what_limits_the_arms_next_is_said_once_a_second() {
    let mut c = Cellar::in_mode(SafetyParams::default(), SafetyMode::Teleop);
    let mut said = Vec::new();
    for _ in 0..3000 {
        c.now = c.now.plus(MS);
        let mut events = Events::new();
        c.sense(&mut events);
        let out = c.core.step(c.now, &mut events);
        said.extend(out.margins.take());
        out.spent.clear();
    }
    assert_eq!(said.len(), 3);
    let last = said.last().unwrap();
    for arm in ArmId::ALL {
        let finding = last.get(arm).unwrap();
        assert!(finding.value > finding.limit && finding.arm == Some(arm), "{finding:?}");
    }
}

#[test]
fn what_limits_an_arm_next_is_looked_up_anew() {
    let mut c = teleop();
    c.run(2000);
    let before = c.margins.unwrap();
    drive(&mut c, 500);
    c.run(1500);
    let after = c.margins.unwrap();
    assert!((before.psm1.unwrap().value - after.psm1.unwrap().value).abs() > 1e-4, "{before:?} {after:?}");
    assert_eq!(before.ecm.map(|f| f.constraint), after.ecm.map(|f| f.constraint));
}

#[test]
fn a_gap_as_long_as_it_may_be_is_no_jump_and_three_quarters_of_a_period_are_enough_to_move() {
    let longest = Duration::from_secs_f64(SafetyParams::default().watchdogs.tick_gap);
    for (gap, mode) in [(longest, SafetyMode::Teleop), (longest + Duration::from_nanos(1), SafetyMode::Hold)] {
        let mut c = moving_teleop();
        c.tick_after(gap);
        assert_eq!(c.mode(), mode, "{gap:?}");
    }
    let mut c = moving_teleop();
    for (micros, moves) in [(750, true), (749, false), (751, true)] {
        assert_eq!(!c.tick_after(Duration::from_micros(micros)).is_empty(), moves, "{micros}");
    }
}

#[test]
fn a_force_may_rise_as_fast_as_it_may_and_no_faster() {
    // Rates are counted over 9 ms.
    let most = 3.0 / support::at(9).seconds_since(support::at(0));
    for (rate, mode) in [(most, SafetyMode::Teleop), (0.999 * most, SafetyMode::Hold)] {
        let force = ForceLimits { rate, ..SafetyParams::default().force };
        let mut c = Cellar::in_mode(SafetyParams { force, ..SafetyParams::default() }, SafetyMode::Teleop);
        c.force.psm1 = Some(nalgebra::Vector3::z() * 3.0);
        c.run(30);
        assert_eq!(c.mode(), mode);
        if mode == SafetyMode::Hold {
            assert_eq!(c.said(Constraint::ForceRate).map(|v| (v.value, v.limit)), Some((most, rate)));
        }
    }
}

#[test]
fn a_stale_scene_is_said_where_it_counts() {
    let (mut c, _) = running();
    c.faults.blind = true;
    c.run(450);
    let v = c.said(Constraint::SceneStale).unwrap();
    assert!((v.value - 0.4).abs() < 0.002 && v.limit == 0.4 && v.outcome == Outcome::Held, "{v:?}");
    let mut c = teleop();
    c.faults.blind = true;
    c.run(450);
    assert!(c.said(Constraint::SceneStale).is_none());
}

#[test]
fn a_picture_from_the_future_is_not_taken() {
    for (ahead, taken) in [(20, true), (21, false), (100, false)] {
        let mut c = Cellar::new(SafetyParams::default());
        c.run(40);
        let mut scene = c.scene();
        // The tick that takes it comes a millisecond from now.
        scene.stamp = c.now.plus(MS * (ahead + 1));
        c.queue.push(Event::Scene(Box::new(LiveScene::new(&scene))));
        c.tick();
        assert_eq!(c.said(Constraint::ClockJump).is_none(), taken, "{ahead}");
        assert_eq!(c.core.filter().scene().unwrap().stamp == scene.stamp, taken);
    }
}

#[test]
fn arms_are_asked_for_fifteen_seconds_and_not_longer() {
    let mut c = Cellar::new(SafetyParams::default());
    c.status.psm1 = OperatingState::Disabled;
    c.run(20);
    c.ask(RequestKind::Enable);
    for i in 0..40 {
        c.tick_after(if i == 0 { MS } else { Duration::from_millis(500) });
        c.status.psm1 = OperatingState::Disabled;
    }
    // At 0, 0.5, .. 14.5 s.
    assert_eq!(c.asked, [(ArmId::Psm1, StateRequest::Enable); 30]);
    assert_eq!(c.mode(), SafetyMode::Ready);
}

#[test]
fn half_of_a_motion_is_half_of_its_progress() {
    let (mut c, _) = running();
    // The same forth as back in time. What is sent comes a few ticks after what was decided, and the state every 20 ms.
    c.until(2000, |c| c.at.psm1[0] >= 0.075).unwrap();
    let progress = c.state.unwrap().progress;
    assert!((0.49..0.51).contains(&progress), "{progress}");
}

#[test]
fn an_arm_is_taken_up_where_it_was_sent_last_and_else_where_it_is_whatever_its_jaw_does() {
    let near = SafetyParams::default().motion.start_angular;
    for (off, kept) in [(0.9 * near, true), (-0.9 * near, true), (1.1 * near, false)] {
        let mut c = moving_teleop();
        c.ask(RequestKind::Ready);
        c.until(500, |c| c.mode() == SafetyMode::Ready).unwrap();
        let sent = c.at.psm1;
        c.at.psm1[0] += off;
        c.at.psm1[6] += 0.5;
        let measured = c.at.psm1;
        c.run(5);
        c.ask(RequestKind::Teleop);
        c.tick();
        assert_eq!(c.core.set_point(ArmId::Psm1), Some(if kept { sent } else { measured }), "{off}");
    }
}

#[test]
fn a_measurement_that_is_not_used_is_said_and_is_no_refused_command() {
    let mut c = teleop();
    c.run(30);
    let refused = c.state.unwrap().refused;
    let (position, velocity) = (support::joints(ArmId::Psm1, &HOME_PSM), support::joints(ArmId::Psm1, &[0.0; 7]));
    c.queue.push(Event::Joints(ArmJoints { arm: ArmId::Psm1, stamp: c.now, position, velocity }));
    c.run(30);
    let v = c.said(Constraint::Sequence).unwrap();
    assert_eq!((v.outcome, v.arm), (Outcome::Refused, Some(ArmId::Psm1)));
    assert_eq!(c.state.unwrap().refused, refused);
}

#[test]
fn teleoperation_is_heard_in_teleop_only_and_not_once_a_stop_is_asked_for() {
    let mut goal = HOME_PSM;
    goal[0] += 0.01;
    let mut c = Cellar::in_mode(SafetyParams::default(), SafetyMode::Supervised);
    c.teleop(ArmId::Psm1, &goal);
    c.run(100);
    let wrong = |c: &Cellar| c.said(Constraint::WrongMode).map(|v| (v.outcome, v.arm));
    assert_eq!(wrong(&c), Some((Outcome::Refused, Some(ArmId::Psm1))));
    assert_eq!(c.at.psm1, HOME_PSM);
    let mut c = moving_teleop();
    assert_eq!(wrong(&c), None);
    c.ask(RequestKind::Ready);
    c.tick();
    drive(&mut c, 1);
    assert_eq!((wrong(&c), c.mode()), (Some((Outcome::Refused, Some(ArmId::Psm1))), SafetyMode::Teleop));
}

#[test]
fn asked_for_ready_teleoperation_brakes_at_once_however_far_its_goal_is() {
    let mut c = moving_teleop();
    let mut goal = c.at.psm1;
    goal[0] += 0.15;
    for _ in 0..60 {
        c.teleop(ArmId::Psm1, &goal);
        c.tick();
    }
    c.ask(RequestKind::Ready);
    assert_eq!(reaction(&mut c).0, 1);
    assert!(c.at.psm1[0] < goal[0] - 0.05);
}

#[test]
fn a_pause_may_last_as_long_as_the_window() {
    let approval = Approval { resume_window: 0.25, ..SafetyParams::default().approval };
    let (mut c, p) = running_with(SafetyParams { approval, ..SafetyParams::default() });
    let release = c.presence(false, p.digest());
    c.hear(release);
    c.hold = None;
    let ended = c.until(400, |c| c.state.unwrap().active == Digest::default()).unwrap() + 1;
    // Held last in the tick before the release.
    assert_eq!(ended, 251);
    let v = *c.verdicts.iter().rev().find(|v| v.constraint == Constraint::PresenceLost).unwrap();
    assert!(v.outcome == Outcome::Refused && v.value > v.limit && v.limit == 0.25, "{v:?}");
}

#[test]
fn a_plan_comes_back_once_when_its_motion_has_ended() {
    let (mut c, _) = running();
    assert_eq!(c.plans_back, 0);
    c.until(4000, |c| c.executed() == 1).unwrap();
    assert_eq!(c.plans_back, 1);
    let (mut c, p) = running();
    c.withdraw(&p);
    c.run(300);
    assert_eq!((c.plans_back, c.executed()), (1, 0));
    let (mut c, _) = running();
    c.ask(RequestKind::EStop);
    c.run(300);
    assert_eq!(c.plans_back, 1);
}

#[test]
fn a_motion_is_said_to_move_as_long_as_its_arm_does() {
    let (mut c, p) = running();
    let release = c.presence(false, p.digest());
    c.hear(release);
    c.hold = None;
    while c.state.unwrap().moving {
        c.tick();
        assert!(c.speed(ArmId::Psm1) > 0.0);
    }
    let rest = c.at.psm1;
    c.run(100);
    assert_eq!((c.at.psm1, c.state.unwrap().moving), (rest, false));
}

#[test]
fn what_passes_is_said_while_it_moves_and_may_with_how_much_of_its_speed_it_uses() {
    let passed = |c: &Cellar| {
        let passed = c.verdicts.iter().filter(|v| v.outcome == Outcome::Passed);
        passed.map(|v| (v.arm, v.constraint, v.limit)).collect::<Vec<_>>()
    };
    let mut c = teleop();
    c.run(300);
    assert_eq!(passed(&c), [], "all rest");
    let mut goal = c.at.psm1;
    goal[0] += 0.002;
    for _ in 0..250 {
        c.teleop(ArmId::Psm1, &goal);
        c.tick();
    }
    let said = passed(&c);
    assert!(!said.is_empty() && said.iter().all(|s| *s == (Some(ArmId::Psm1), Constraint::None, 1.0)), "{said:?}");
    let fastest = c.verdicts.iter().filter(|v| v.outcome == Outcome::Passed).map(|v| v.value).fold(0.0, f64::max);
    assert!((0.01..=1.0).contains(&fastest), "{fastest}");
    let mut c = moving_teleop();
    c.ask(RequestKind::Ready);
    c.verdicts.clear();
    c.until(300, |c| c.mode() == SafetyMode::Ready).unwrap();
    assert_eq!(passed(&c), [], "a stop is no motion that passes");
}

#[test]
fn a_motion_that_an_operator_stops_ends_by_the_mode_and_not_by_the_gate_and_a_paused_one_does_not_end() {
    let (mut c, _) = running();
    c.ask(RequestKind::Ready);
    c.run(3);
    let number = |mode| SafetyMode::ALL.iter().position(|m| *m == mode).unwrap() as f64;
    let v = c.said(Constraint::WrongMode).unwrap();
    assert_eq!((v.outcome, v.arm), (Outcome::Held, Some(ArmId::Psm1)));
    assert_eq!((v.value, v.limit), (number(SafetyMode::Ready), number(SafetyMode::Supervised)));
    assert_eq!(c.said(Constraint::Gate), None);

    let (mut c, p) = running();
    let release = c.presence(false, p.digest());
    c.hear(release);
    c.hold = None;
    c.run(300);
    c.ask(RequestKind::Ready);
    for i in 0..200 {
        // The endoscope is shaken: its arm does not rest, and the mode stays.
        c.at.ecm[0] += if i % 2 == 0 { 1e-4 } else { -1e-4 };
        c.tick();
    }
    assert_eq!((c.mode(), c.state.unwrap().active), (SafetyMode::Supervised, p.digest()));
    assert_eq!(c.said(Constraint::WrongMode), None);
    c.run(5);
    assert_eq!((c.mode(), c.state.unwrap().active), (SafetyMode::Ready, Digest::default()));
}
