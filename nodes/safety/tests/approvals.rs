//! Every way in which an approval is not one: refused, and named.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_safety::SafetyParams;
use proctor_types::{
    Alignment, ArmId, Constraint, DecisionKind, Digest, OperatorId, Outcome, Proposal, QualityVerdict, SafetyMode,
    SceneFault, Skill,
};
use std::time::Duration;
use support::{Cellar, HOME_PSM, sway};

fn supervised() -> Cellar {
    Cellar::in_mode(SafetyParams::default(), SafetyMode::Supervised)
}

/// Holds after the approval and says what was refused first, and whether anything moved.
fn outcome(c: &mut Cellar, p: &Proposal) -> (Option<Constraint>, bool) {
    c.verdicts.clear();
    c.hold = Some(p.digest());
    c.run(600);
    let refused = c.verdicts.iter().find(|v| v.outcome == Outcome::Refused).map(|v| v.constraint);
    (refused, c.at.psm1 != HOME_PSM)
}

#[test]
fn a_matching_approval_moves_the_arm() {
    let mut c = supervised();
    let p = sway(&mut c);
    c.offer(&p);
    c.run(2);
    c.approve(&p);
    assert_eq!(outcome(&mut c, &p), (None, true));
}

#[test]
fn an_approval_that_is_wrong_in_any_one_way_is_refused_by_name() {
    type Edit = fn(&mut Cellar, &Proposal);
    let rows: [(&str, Constraint, Edit); 11] = [
        ("never offered", Constraint::NotApproved, |c, p| {
            let mut d = c.decision(p, DecisionKind::Approve);
            d.proposal.0 += 100;
            c.hear(d);
        }),
        ("one bit of the digest", Constraint::DigestMismatch, |c, p| {
            let mut d = c.decision(p, DecisionKind::Approve);
            d.digest.0[31] ^= 1;
            c.hear(d);
        }),
        ("another operator", Constraint::WrongOperator, |c, p| {
            let mut d = c.decision(p, DecisionKind::Approve);
            d.operator = OperatorId(99);
            c.hear(d);
        }),
        ("nobody", Constraint::WrongOperator, |c, p| {
            let mut d = c.decision(p, DecisionKind::Approve);
            d.operator = OperatorId(0);
            c.hear(d);
        }),
        ("an old decision", Constraint::Expired, |c, p| {
            let mut d = c.decision(p, DecisionKind::Approve);
            d.stamp = c.now.minus(Duration::from_millis(1001));
            c.hear(d);
        }),
        ("a decision from the future", Constraint::ClockJump, |c, p| {
            let mut d = c.decision(p, DecisionKind::Approve);
            d.stamp = c.now.plus(Duration::from_millis(150));
            c.hear(d);
        }),
        ("withdrawn", Constraint::Withdrawn, |c, p| {
            c.withdraw(p);
            c.approve(p);
        }),
        ("rejected before", Constraint::Withdrawn, |c, p| {
            let d = c.decision(p, DecisionKind::Reject);
            c.hear(d);
            c.approve(p);
        }),
        ("zones changed", Constraint::OutdatedPlan, |c, p| {
            c.zones += 1;
            c.run(40);
            c.approve(p);
        }),
        ("hand-eye changed", Constraint::OutdatedPlan, |c, p| {
            c.hand_eye += 1;
            c.run(40);
            c.approve(p);
        }),
        ("another model", Constraint::OutdatedPlan, |c, p| {
            c.model = Digest::of(b"other");
            c.run(40);
            c.approve(p);
        }),
    ];
    for (name, constraint, edit) in rows {
        let mut c = supervised();
        let p = sway(&mut c);
        c.offer(&p);
        c.run(2);
        c.verdicts.clear();
        edit(&mut c, &p);
        c.run(2);
        let refused: Vec<_> =
            c.verdicts.iter().filter(|v| v.outcome == Outcome::Refused).map(|v| v.constraint).collect();
        assert_eq!(refused, [constraint], "{name}");
        assert!(!outcome(&mut c, &p).1, "{name}: nothing moves");
    }
}

#[test]
fn a_changed_trajectory_under_an_approved_name_is_another_motion() {
    let mut c = supervised();
    let p = sway(&mut c);
    let mut farther = HOME_PSM;
    farther[0] += 0.1;
    let mut forged = c.proposal(ArmId::Psm1, &[(0.0, HOME_PSM), (2.0, farther)]);
    forged.id = p.id;
    c.offer(&forged);
    c.run(2);
    c.approve(&p);
    assert_eq!(outcome(&mut c, &p), (Some(Constraint::DigestMismatch), false));
    // The other way round: the name is taken.
    let mut c = supervised();
    c.offer(&p);
    c.offer(&forged);
    c.run(2);
    assert_eq!(c.said(Constraint::Sequence).map(|v| v.outcome), Some(Outcome::Refused));
}

#[test]
fn a_withdrawal_that_overtakes_its_proposal_counts() {
    let mut c = supervised();
    let p = sway(&mut c);
    c.withdraw(&p);
    c.run(2);
    c.offer(&p);
    c.run(2);
    assert_eq!(c.said(Constraint::Withdrawn).map(|v| v.outcome), Some(Outcome::Refused));
    c.approve(&p);
    assert_eq!(outcome(&mut c, &p), (Some(Constraint::NotApproved), false));
}

#[test]
fn a_replayed_decision_is_refused() {
    let mut c = supervised();
    let (p, q) = (sway(&mut c), sway(&mut c));
    c.offer(&p);
    c.offer(&q);
    c.run(2);
    let old = c.decision(&q, DecisionKind::Approve);
    c.approve(&p);
    c.run(2);
    c.hear(old);
    assert_eq!(outcome(&mut c, &q), (Some(Constraint::Sequence), false));
}

#[test]
fn a_proposal_can_be_neither_approved_nor_started_after_it_expired() {
    let mut c = supervised();
    let mut p = sway(&mut c);
    p.expires = c.now.plus(Duration::from_millis(100));
    c.offer(&p);
    c.run(101);
    c.approve(&p);
    assert_eq!(outcome(&mut c, &p), (Some(Constraint::Expired), false));

    let mut c = supervised();
    let mut p = sway(&mut c);
    p.expires = c.now.plus(Duration::from_millis(100));
    c.offer(&p);
    c.run(50);
    c.approve(&p);
    c.run(60);
    assert_eq!(c.said(Constraint::Expired).map(|v| v.outcome), Some(Outcome::Refused));
    assert!(!outcome(&mut c, &p).1);
}

#[test]
fn what_was_planned_with_must_still_be_live_at_the_start() {
    let mut c = supervised();
    let p = sway(&mut c);
    c.offer(&p);
    c.run(2);
    c.approve(&p);
    c.run(2);
    c.zones += 1;
    c.run(40);
    assert_eq!(outcome(&mut c, &p), (Some(Constraint::OutdatedPlan), false));
}

#[test]
fn tissue_that_moves_during_the_motion_does_not_stop_it() {
    let mut c = supervised();
    let p = sway(&mut c);
    c.offer(&p);
    c.run(2);
    c.approve(&p);
    c.hold = Some(p.digest());
    c.run(200);
    c.zones += 1;
    assert!(c.until(4000, |c| c.executed() == 1).is_some());
}

#[test]
fn a_motion_starts_on_a_good_and_aligned_scene_only() {
    let edits: [fn(&mut Cellar); 3] = [
        |c| c.quality = QualityVerdict::Degraded,
        |c| c.alignment = Alignment::Converging,
        |c| c.alignment = Alignment::KinematicOnly,
    ];
    for edit in edits {
        let mut c = supervised();
        edit(&mut c);
        c.run(40);
        let p = sway(&mut c);
        c.offer(&p);
        c.run(2);
        c.approve(&p);
        assert!(!outcome(&mut c, &p).1);
        assert_eq!(c.said(Constraint::SceneStale).map(|v| v.outcome), Some(Outcome::Held));
    }
}

#[test]
fn picture_and_kinematics_that_contradict_each_other_hold_the_motion() {
    let (mut c, _) = support::running();
    c.alignment = Alignment::Inconsistent;
    let held = c.until(100, |c| c.mode() == SafetyMode::Hold).unwrap();
    assert!(held <= 34, "with the next scene: {held}");
}

#[test]
fn a_motion_that_starts_elsewhere_is_refused_and_a_near_start_is_joined() {
    let mut c = supervised();
    let mut far = HOME_PSM;
    far[1] += 0.03;
    let mut end = far;
    end[0] += 0.02;
    let p = c.proposal(ArmId::Psm1, &[(0.0, far), (1.0, end)]);
    c.offer(&p);
    c.run(2);
    c.approve(&p);
    assert_eq!(outcome(&mut c, &p), (Some(Constraint::StartMismatch), false));

    let mut near = HOME_PSM;
    near[1] += 0.01;
    let mut end = near;
    end[0] += 0.02;
    let p = c.proposal(ArmId::Psm1, &[(0.0, near), (1.0, end)]);
    c.offer(&p);
    c.run(2);
    c.approve(&p);
    c.hold = Some(p.digest());
    assert!(c.until(4000, |c| c.executed() == 1).is_some());
}

#[test]
fn proposals_beyond_the_arms_means_are_refused_when_they_arrive() {
    let mut c = supervised();
    let mut outside = HOME_PSM;
    outside[2] = 0.25;
    let beyond = c.proposal(ArmId::Psm1, &[(0.0, HOME_PSM), (5.0, outside)]);
    let hasty = c.proposal(ArmId::Psm1, &[(0.0, HOME_PSM), (0.001, HOME_PSM)]);
    let mut eternal = sway(&mut c);
    eternal.expires = c.now.plus(Duration::from_secs(61));
    for (p, constraint) in
        [(beyond, Constraint::JointPosition), (hasty, Constraint::Malformed), (eternal, Constraint::Expired)]
    {
        c.verdicts.clear();
        c.offer(&p);
        c.run(2);
        assert_eq!(c.said(constraint).map(|v| v.outcome), Some(Outcome::Refused), "{constraint:?}");
        c.approve(&p);
        assert_eq!(outcome(&mut c, &p), (Some(Constraint::NotApproved), false));
    }
}

#[test]
fn a_second_approval_waits_until_the_first_motion_has_ended() {
    let (mut c, p) = support::running();
    let q = sway(&mut c);
    c.offer(&q);
    c.run(1);
    c.approve(&q);
    c.run(2);
    assert_eq!(c.said(Constraint::WrongMode).map(|v| v.outcome), Some(Outcome::Refused));
    assert_eq!(c.state.unwrap().active, p.digest());
    assert!(c.until(4000, |c| c.executed() == 1).is_some());
}

#[test]
fn every_set_point_of_a_motion_lies_on_the_approved_polyline() {
    let mut c = supervised();
    let corner = |y: f64, p: f64, d: f64| {
        let mut q = HOME_PSM;
        (q[0], q[1], q[2]) = (y, p, 0.16 + d);
        q
    };
    let points = [(0.0, HOME_PSM), (0.8, corner(0.05, 0.03, 0.0)), (1.4, corner(0.02, 0.05, -0.01)), (2.0, HOME_PSM)];
    let p = c.proposal(ArmId::Psm1, &points);
    c.offer(&p);
    c.run(2);
    c.approve(&p);
    c.hold = Some(p.digest());
    c.sent.clear();
    let mut tick = 0;
    let done = c.until(20_000, |c| {
        tick += 1;
        c.executed() == 1
    });
    assert!(done.is_some());
    let mut farthest = 0.0f64;
    for (_, s) in c.sent.iter().filter(|(_, s)| s.arm == ArmId::Psm1) {
        let off = points.windows(2).map(|w| {
            let (a, b) = (w[0].1, w[1].1);
            let d: Vec<f64> = (0..6).map(|j| b[j] - a[j]).collect();
            let len2: f64 = d.iter().map(|x| x * x).sum();
            let t = ((0..6).map(|j| (s.position[j] - a[j]) * d[j]).sum::<f64>() / len2).clamp(0.0, 1.0);
            (0..6).map(|j| (s.position[j] - a[j] - t * d[j]).abs()).fold(0.0, f64::max)
        });
        farthest = farthest.max(off.fold(f64::INFINITY, f64::min));
    }
    // Corners are rounded by the limited jerk: half an 8-tick window of the largest acceleration of these joints, 6 rad/s^2.
    assert!(farthest < 6.0 * 0.001f64.powi(2) * 63.0 / 24.0, "{farthest}");
    assert!(farthest > 1e-12, "something moved round a corner");
}

#[test]
fn an_approved_motion_into_protected_tissue_is_held_before_its_margin_and_does_not_leave_its_path() {
    let mut c = supervised();
    // Straight on through the field: the tip starts 40 mm short of the site and ends 25 mm, 19 mm deep, beyond it, the jaws 10 mm farther;
    // the tissue lies 20 mm deep.
    let mut down = HOME_PSM;
    down[2] = 0.225;
    let gallbladder = |c: &mut Cellar| {
        c.tissue.iter_mut().for_each(|p| p.class = proctor_types::Class::Gallbladder);
        c.run(40);
    };
    gallbladder(&mut c);
    let p = c.proposal(ArmId::Psm1, &[(0.0, HOME_PSM), (6.0, down)]);
    c.offer(&p);
    c.run(2);
    c.approve(&p);
    c.hold = Some(p.digest());
    c.run(9000);
    assert_eq!(c.executed(), 0);
    let v = c.verdicts.iter().rev().find(|v| v.constraint == Constraint::LiveSurface).unwrap();
    assert_eq!((v.outcome, v.arm), (Outcome::Held, Some(ArmId::Psm1)));
    assert!(v.value - v.limit < 0.001 && v.value >= v.limit, "stopped close to its margin: {v:?}");
    assert_eq!(c.state.unwrap().violations, 0);
    // A retraction may touch the gallbladder.
    let mut c = supervised();
    gallbladder(&mut c);
    let mut p = c.proposal(ArmId::Psm1, &[(0.0, HOME_PSM), (6.0, down)]);
    p.skill = Skill::Retract;
    c.offer(&p);
    c.run(2);
    c.approve(&p);
    c.hold = Some(p.digest());
    assert!(c.until(12_000, |c| c.executed() == 1).is_some(), "{:?}", c.verdicts.last());
}

#[test]
fn an_arm_whose_hand_eye_estimate_is_far_from_nominal_runs_no_motion() {
    let mut c = supervised();
    c.shift = nalgebra::Isometry3::translation(0.03, 0.0, 0.0);
    c.run(40);
    let p = sway(&mut c);
    c.offer(&p);
    c.run(2);
    c.approve(&p);
    assert!(!outcome(&mut c, &p).1);
    // With each scene it is said why the estimate is not believed (index 0: too far), with each tick that the arm therefore waits (2).
    let v = c
        .verdicts
        .iter()
        .find(|v| v.constraint == Constraint::SceneStale && v.index == SceneFault::Displaced.index() as i32)
        .unwrap();
    assert_eq!(v.arm, Some(ArmId::Psm1));
    assert!((v.value - 0.03).abs() < 1e-9 && v.limit == 0.02, "{v:?}");
}
