//! What happens when filter, gate and permission do not agree, which from outside they always do.

use super::super::support::{BOOT, Cellar, SURGEON, key, running, sway, verifier};
use super::*;
use crate::{SafetyParams, machine::Pending};

const PSM: ArmId = ArmId::Psm1;

#[test]
fn a_motion_that_nothing_allows_is_a_violation_once_a_stop_should_have_ended() {
    let mut c = Cellar::in_mode(SafetyParams::default(), SafetyMode::Teleop);
    let core = &mut c.core;
    let here = core.arms.get(PSM).set_point();
    let elsewhere = here.map(|q| q.map(|x| x + 1e-9));
    (core.tick, core.violations) = (10_000, 3);
    for (allowed, before, counted) in [
        (Some(9_400), elsewhere, 3),
        (Some(9_399), here, 3),
        (Some(9_399), elsewhere, 4),
        (Some(10_000), elsewhere, 4),
        (Some(0), elsewhere, 5),
        (None, here, 5),
        (None, elsewhere, 6),
    ] {
        core.motion_allowed = allowed;
        core.audit(PSM, before);
        assert_eq!(core.violations, counted, "{allowed:?}");
    }
    let v = core.log.verdicts().iter().find(|v| v.constraint == Constraint::Gate).unwrap();
    assert_eq!((v.outcome, v.arm, v.value, v.limit), (Outcome::Refused, Some(PSM), 601.0, 600.0));
}

#[test]
fn motion_is_allowed_in_teleop_and_while_an_approved_motion_is_held_and_no_stop_is_asked_for() {
    let (mut c, _) = running();
    let now = c.now;
    let core = &mut c.core;
    let allowed = |core: &mut SafetyCore| {
        SafetyMode::ALL.map(|mode| {
            core.machine.mode = mode;
            core.motion_is_allowed(now).then_some(mode)
        })
    };
    let only = |modes: &[SafetyMode]| SafetyMode::ALL.map(|m| modes.contains(&m).then_some(m));
    assert_eq!(allowed(core), only(&[SafetyMode::Teleop, SafetyMode::Supervised]));
    core.machine.pending = Some(Pending::Ready);
    assert_eq!(allowed(core), only(&[]));
    core.machine.pending = None;
    core.authority.forget_presence();
    assert_eq!(allowed(core), only(&[SafetyMode::Teleop]), "nobody holds it");
    core.run = None;
    assert_eq!(allowed(core), only(&[SafetyMode::Teleop]), "nothing was approved");
}

#[test]
fn what_the_gate_refuses_is_not_sent_and_stops_everything_in_the_next_tick() {
    let (mut c, _) = running();
    c.core.gate.close(PSM);
    let last = c.at.psm1;
    let sent = c.tick();
    assert_eq!(sent.iter().map(|s| s.arm).collect::<Vec<_>>(), [ArmId::Psm2, ArmId::Ecm]);
    assert_eq!((c.core.set_point(PSM), c.mode()), (Some(last), SafetyMode::Supervised));
    let v = *c.verdicts.iter().rev().find(|v| v.constraint == Constraint::Gate).unwrap();
    assert_eq!((v.outcome, v.arm), (Outcome::Refused, Some(PSM)));
    c.tick();
    assert_eq!((c.mode(), c.core.machine().cause), (SafetyMode::Hold, Some(Constraint::Gate)));
    c.run(100);
    assert_eq!(c.at.psm1, last);
}

#[test]
fn a_start_is_reached_within_a_nanoradian() {
    for (off, reached) in [(0.0, true), (1e-9, true), (-1e-9, true), (1.01e-9, false), (-1.01e-9, false)] {
        let mut c = Cellar::in_mode(SafetyParams::default(), SafetyMode::Supervised);
        c.at.psm1[0] = 0.0;
        let mut p = sway(&mut c);
        let points: Vec<_> = p
            .trajectory
            .points()
            .iter()
            .map(|x| {
                let mut q = [0.0; 7];
                q[..6].copy_from_slice(&x.position);
                (q[0], q[6]) = (q[0] + off, x.jaw);
                (x.t, q)
            })
            .collect();
        p = c.proposal(PSM, &points);
        c.offer(&p);
        c.run(2);
        c.approve(&p);
        c.hold = Some(p.digest());
        c.until(100, |c| c.core.run.as_ref().is_some_and(|r| r.started)).unwrap();
        assert_eq!(c.core.run.as_ref().unwrap().player.is_some(), reached, "{off}");
    }
}

#[test]
fn a_goal_is_not_followed_while_a_stop_is_asked_for() {
    let mut c = Cellar::in_mode(SafetyParams::default(), SafetyMode::Teleop);
    for _ in 0..30 {
        let mut q = c.at.psm1;
        q[0] += 0.15;
        c.teleop(PSM, &q);
        c.tick();
    }
    let speed = |c: &Cellar| c.core.arms.get(PSM).motion.unwrap().v[0];
    let before = speed(&c);
    c.core.machine.pending = Some(Pending::Ready);
    assert!(c.core.arms.get(PSM).goal().is_some());
    c.tick();
    assert!(0.0 < speed(&c) && speed(&c) < before, "{before} {}", speed(&c));
}

/// Clocks of two machines differ by a little: what lies ahead is from now.
#[test]
fn presence_from_ahead_counts_from_now() {
    let (mut c, _) = running();
    let (now, core) = (c.now, &mut c.core);
    let run = core.run.as_ref().unwrap();
    let stamp = now.plus(std::time::Duration::from_millis(20));
    let held =
        proctor_types::Presence { stamp, seq: 1_000_000, operator: SURGEON, held: true, digest: run.approved.digest() };
    let word = verifier().open(&key(SURGEON).seal(BOOT, held)).unwrap();
    core.authority.note_presence(&word, Some(SURGEON), now).unwrap();
    assert_eq!(core.authority.presence().unwrap().stamp, now);
    assert_eq!(core.authority.held(&run.approved, now), Some(0.0));
}

#[test]
fn a_motion_starts_where_the_arm_is_within_its_tolerance() {
    let (c, _) = running();
    let plan = c.core.authority.plan(&c.core.run.as_ref().unwrap().approved).unwrap();
    let (mut at, mut tolerance) = (plan.start(), [1.0; dofs::N]);
    at[1] += 0.01;
    let off = (plan.start()[1] - at[1]).abs();
    tolerance[1] = off;
    authority::startable(plan, Some(at), &tolerance).unwrap();
    tolerance[1] = off * 0.999;
    let refused = authority::startable(plan, Some(at), &tolerance).unwrap_err();
    assert_eq!((refused.constraint, refused.value, refused.index), (Constraint::StartMismatch, off, 1));
    assert_eq!(authority::startable(plan, None, &tolerance).unwrap_err().constraint, Constraint::ArmNotReady);
}
