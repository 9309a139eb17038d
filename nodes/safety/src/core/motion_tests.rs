//! What happens when filter, gate and permission do not agree, which from outside they always do.

use super::super::support::{Cellar, running, sway};
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
