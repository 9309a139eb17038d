//! The life of a proposal: offered, withdrawn, run, finished.

use crate::bench::{Bench, autonomy};
use nalgebra::{Point3, Vector3};
use proctor_autonomy::{Autonomy, AutonomyParams, Declined, Note, WithdrawReason};
use proctor_types::*;
use std::time::Duration;

/// A bench with a live retraction by PSM2.
fn offered() -> (Bench, Autonomy, Proposal) {
    let (mut bench, mut autonomy) = (Bench::new(), autonomy());
    let p = bench.ask(&mut autonomy, Skill::Retract, ArmId::Psm2).unwrap_or_else(|out| panic!("{:?}", out.notes));
    (bench, autonomy, p)
}

/// As [`offered`], running since one scene, at `progress`.
fn running(progress: f64) -> (Bench, Autonomy, Proposal) {
    let (mut bench, mut autonomy, p) = offered();
    bench.next();
    run(&mut bench, &p, progress);
    assert!(bench.step(&mut autonomy).withdrawals.is_empty());
    (bench, autonomy, p)
}

fn run(bench: &mut Bench, p: &Proposal, progress: f64) {
    bench.safety.active = p.digest();
    bench.safety.progress = progress;
    bench.safety.moving = true;
    let t = &p.trajectory;
    let (q, jaw) = t.at(progress * t.duration());
    bench.put(t.arm(), &q, jaw);
}

/// Steps `scenes` scenes, applying `edit` to each, and returns how long it took until the withdrawal (s), with its reason.
fn until_withdrawn(
    bench: &mut Bench,
    autonomy: &mut Autonomy,
    p: &Proposal,
    scenes: usize,
    edit: fn(&mut Bench),
) -> Option<(f64, WithdrawReason)> {
    let start = bench.now;
    for _ in 0..scenes {
        bench.next();
        edit(bench);
        let out = bench.step(autonomy);
        if let [w] = out.withdrawals[..] {
            assert_eq!((w.proposal, w.digest, w.stamp), (p.id, p.digest(), bench.now));
            let reason = out.notes.iter().find_map(|n| match n {
                Note::Withdrawn(id, reason) if *id == p.id => Some(*reason),
                _ => None,
            });
            return Some((bench.now.seconds_since(start), reason.expect("a withdrawal says why")));
        }
        assert!(out.proposals.is_empty(), "one at a time");
    }
    None
}

fn move_target(b: &mut Bench, by: f64) {
    let n = Vector3::new(-0.1, -0.35, 1.0).normalize();
    let (centre, radius) = crate::bench::FUNDUS;
    b.scene.grasp_target = Some((Point3::from(centre) + n * radius + Vector3::x() * by, n));
}

fn move_gallbladder(b: &mut Bench, by: f64) {
    for s in b.scene.surface.iter_mut().filter(|s| s.class == Class::Gallbladder) {
        s.position.z -= by;
    }
}

fn artery_in_the_way(b: &mut Bench) {
    let (target, normal) = Bench::new().scene.grasp_target.unwrap();
    for s in b.scene.surface.iter_mut().filter(|s| s.class == Class::CysticArtery) {
        s.position = target + normal * 0.012;
    }
}

/// At once is within one scene; a doubt must last `doubt_for`, 0.2 s.
const AT_ONCE: f64 = 0.05;
const DOUBT: f64 = 0.25;

#[test]
fn an_offer_is_withdrawn_when_the_scene_moves_away_from_it() {
    type Row = (&'static str, f64, fn(&mut Bench), fn(&WithdrawReason) -> bool);
    let rows: [Row; 18] = [
        ("model", AT_ONCE, |b| b.scene.model = Digest::of(b"other"), |r| *r == WithdrawReason::Outdated),
        ("hand-eye of that arm", AT_ONCE, |b| b.scene.hand_eyes[1].version = 4, |r| *r == WithdrawReason::Outdated),
        ("zones", AT_ONCE, |b| b.scene.zones_version = 5, |r| *r == WithdrawReason::Outdated),
        (
            "target moved 3.1 mm",
            DOUBT,
            |b| move_target(b, 0.0031),
            |r| matches!(r, WithdrawReason::TargetMoved { by } if (by - 0.0031).abs() < 1e-9),
        ),
        ("target gone", DOUBT, |b| b.scene.grasp_target = None, |r| *r == WithdrawReason::NoLonger(Declined::NoTarget)),
        ("artery in the way", DOUBT, artery_in_the_way, |r| {
            matches!(r, WithdrawReason::NoLonger(Declined::TissueClearance { class: Class::CysticArtery, .. }))
        }),
        (
            "arm moved 0.011 rad",
            AT_ONCE,
            |b| {
                let mut q = b.arms[1].unwrap().position.to_vec();
                q[0] = 0.05 + 0.011;
                b.arms[1].as_mut().unwrap().position = Joints::new(&q).unwrap();
            },
            |r| matches!(r, WithdrawReason::ArmMoved { joint: 0, .. }),
        ),
        (
            "picture degraded",
            DOUBT,
            |b| b.scene.quality.verdict = QualityVerdict::Degraded,
            |r| *r == WithdrawReason::NoLonger(Declined::Picture { verdict: QualityVerdict::Degraded }),
        ),
        (
            "an instrument inconsistent",
            DOUBT,
            |b| b.scene.instruments[0].alignment = Alignment::Inconsistent,
            |r| {
                matches!(
                    r,
                    WithdrawReason::NoLonger(Declined::NotAligned {
                        arm: ArmId::Psm1,
                        alignment: Alignment::Inconsistent,
                        ..
                    })
                )
            },
        ),
        (
            "timing lost",
            DOUBT,
            |b| b.scene.time.timing = Timing::Unknown,
            |r| matches!(r, WithdrawReason::NoLonger(Declined::TimeUnknown { .. })),
        ),
        (
            "scene 0.31 s old",
            AT_ONCE,
            |b| b.scene.stamp = b.now.minus(Duration::from_millis(310)),
            |r| matches!(r, WithdrawReason::NoLonger(Declined::SceneStale { .. })),
        ),
        (
            "scene from the future",
            AT_ONCE,
            |b| b.scene.stamp = b.now.plus(Duration::from_millis(310)),
            |r| matches!(r, WithdrawReason::NoLonger(Declined::SceneStale { .. })),
        ),
        (
            "safety left SUPERVISED",
            AT_ONCE,
            |b| b.safety.mode = SafetyMode::Ready,
            |r| matches!(r, WithdrawReason::NoLonger(Declined::WrongMode { mode: SafetyMode::Ready })),
        ),
        (
            "e-stop",
            AT_ONCE,
            |b| b.safety.e_stop = true,
            |r| matches!(r, WithdrawReason::NoLonger(Declined::WrongMode { .. })),
        ),
        (
            "safety silent",
            AT_ONCE,
            |b| b.safety.stamp = b.now.minus(Duration::from_millis(510)),
            |r| matches!(r, WithdrawReason::NoLonger(Declined::SafetySilent { .. })),
        ),
        (
            "arm silent",
            AT_ONCE,
            |b| b.arms[1].as_mut().unwrap().stamp = b.now.minus(Duration::from_millis(110)),
            |r| matches!(r, WithdrawReason::NoLonger(Declined::ArmSilent { arm: ArmId::Psm2, .. })),
        ),
        (
            "other arm silent",
            AT_ONCE,
            |b| b.arms[0] = None,
            |r| matches!(r, WithdrawReason::NoLonger(Declined::ArmSilent { arm: ArmId::Psm1, .. })),
        ),
        (
            "another skill asked for",
            AT_ONCE,
            |b| b.request(Skill::CentreCamera, ArmId::Ecm),
            |r| *r == WithdrawReason::Superseded,
        ),
    ];
    for (name, after, edit, expected) in rows {
        let (mut bench, mut autonomy, p) = offered();
        let (t, reason) =
            until_withdrawn(&mut bench, &mut autonomy, &p, 10, edit).unwrap_or_else(|| panic!("{name}: stays"));
        assert!(expected(&reason), "{name}: {reason:?}");
        assert!((t - after).abs() < 1e-9, "{name}: after {t} s");
    }
}

#[test]
fn an_offer_stays_while_nothing_that_matters_changes() {
    type Row = (&'static str, fn(&mut Bench));
    let rows: [Row; 6] = [
        ("nothing", |_| {}),
        ("target moved 2.9 mm", |b| move_target(b, 0.0029)),
        ("hand-eye of the other arm", |b| b.scene.hand_eyes[0].version = 9),
        ("scene 0.29 s old", |b| b.scene.stamp = b.now.minus(Duration::from_millis(290))),
        ("asked for again", |b| b.request(Skill::Retract, ArmId::Psm2)),
        ("a doubt every other scene", |b| {
            let good = b.scene.seq % 2 == 0;
            b.scene.quality.verdict = if good { QualityVerdict::Good } else { QualityVerdict::Degraded };
        }),
    ];
    for (name, edit) in rows {
        let (mut bench, mut autonomy, p) = offered();
        assert_eq!(until_withdrawn(&mut bench, &mut autonomy, &p, 40, edit), None, "{name}");
        assert_eq!(autonomy.live().map(|l| l.id), Some(p.id), "{name}");
    }
}

#[test]
fn an_offer_expires_and_the_skill_is_then_quiet() {
    let gate = AutonomyParams::default().gate;
    let (mut bench, mut autonomy, p) = offered();
    assert!((p.expires.seconds_since(p.stamp) - gate.expiry).abs() < 1e-9);
    let (t, reason) = until_withdrawn(&mut bench, &mut autonomy, &p, 500, |_| {}).unwrap();
    assert_eq!(reason, WithdrawReason::Expired);
    assert!((t - gate.expiry).abs() < 1e-9, "{t}");
    let mut again = None;
    for _ in 0..(2.0 * gate.quiet * 20.0) as usize {
        bench.next();
        if let Some(p) = bench.step(&mut autonomy).proposals.pop() {
            assert_eq!(p.skill, Skill::Retract);
            again = Some(p.stamp);
            break;
        }
    }
    let quiet = again.expect("proposed again later").seconds_since(p.expires);
    assert!(quiet >= gate.quiet && quiet < gate.quiet + 1.0, "{quiet}");
}

#[test]
fn a_rejection_ends_the_offer_without_a_withdrawal_and_makes_the_skill_quiet() {
    for (matching, wrong_digest) in [(true, false), (false, true)] {
        let (mut bench, mut autonomy, p) = offered();
        bench.next();
        let digest = if wrong_digest { Digest::of(b"another motion") } else { p.digest() };
        bench.decisions.push(Decision {
            stamp: bench.now,
            seq: 1,
            operator: OperatorId(1),
            proposal: p.id,
            digest,
            kind: DecisionKind::Reject,
        });
        let out = bench.step(&mut autonomy);
        assert!(out.withdrawals.is_empty());
        assert_eq!(autonomy.live().is_none(), matching);
        if matching {
            assert_eq!(out.notes, [Note::Rejected(p.id)]);
            for _ in 0..200 {
                bench.next();
                assert!(bench.step(&mut autonomy).proposals.is_empty());
            }
        }
    }
}

#[test]
fn a_running_motion_survives_what_safety_only_compares_at_the_start() {
    type Row = (&'static str, f64, fn(&mut Bench));
    let rows: [Row; 6] = [
        ("zones change", 0.5, |b| b.scene.zones_version += 1),
        ("hand-eye refined", 0.5, |b| b.scene.hand_eyes[1].version += 1),
        ("expiry passes", 0.5, |b| b.now = b.now.plus(Duration::from_millis(0))),
        ("target hidden by the arm", 0.55, |b| b.scene.grasp_target = None),
        ("gallbladder lifted with the jaws", 0.9, |b| move_gallbladder(b, -0.001)),
        ("target gone after contact", 0.9, |b| b.scene.grasp_target = None),
    ];
    for (name, progress, edit) in rows {
        let (mut bench, mut autonomy, p) = running(progress);
        assert_eq!(until_withdrawn(&mut bench, &mut autonomy, &p, 20, edit), None, "{name}");
    }
    // Expiry: hold the motion in the middle past its expiry.
    let (mut bench, mut autonomy, p) = running(0.5);
    assert_eq!(until_withdrawn(&mut bench, &mut autonomy, &p, 500, |_| {}), None);
    assert!(bench.now > p.expires);
}

#[test]
fn a_running_motion_is_withdrawn_when_it_must_stop() {
    type Row = (&'static str, f64, f64, fn(&mut Bench), fn(&WithdrawReason) -> bool);
    let rows: [Row; 4] = [
        ("artery comes into the way", 0.05, DOUBT, artery_in_the_way, |r| {
            matches!(r, WithdrawReason::NoLonger(Declined::TissueClearance { .. }))
        }),
        (
            "untrustworthy after contact",
            0.9,
            DOUBT,
            |b| b.scene.quality.verdict = QualityVerdict::Unusable,
            |r| *r == WithdrawReason::NoLonger(Declined::Picture { verdict: QualityVerdict::Unusable }),
        ),
        (
            "stale after contact",
            0.9,
            AT_ONCE,
            |b| b.scene.stamp = b.now.minus(Duration::from_millis(400)),
            |r| matches!(r, WithdrawReason::NoLonger(Declined::SceneStale { .. })),
        ),
        ("dropped by safety", 0.5, AT_ONCE, |b| b.safety.active = Digest::default(), |r| *r == WithdrawReason::Aborted),
    ];
    for (name, progress, after, edit, expected) in rows {
        let (mut bench, mut autonomy, p) = running(progress);
        let (t, reason) =
            until_withdrawn(&mut bench, &mut autonomy, &p, 10, edit).unwrap_or_else(|| panic!("{name}: runs on"));
        assert!(expected(&reason), "{name}: {reason:?}");
        assert!((t - after).abs() < 1e-9, "{name}: after {t} s");
    }
}

#[test]
fn a_gallbladder_that_sinks_before_contact_stops_the_motion_if_it_can_be_seen() {
    // PSM2 comes from the left with its tip clear of the line of sight, or right in it.
    for (yaw, seen) in [(-0.25, true), (0.05, false)] {
        let (mut bench, mut autonomy) = (Bench::new(), autonomy());
        bench.put(ArmId::Psm2, &[yaw, 0.0, 0.14, -0.1, 0.05, 0.1], 0.3);
        let p = bench.ask(&mut autonomy, Skill::Retract, ArmId::Psm2).unwrap_or_else(|out| panic!("{:?}", out.notes));
        bench.next();
        run(&mut bench, &p, 0.02);
        assert!(bench.step(&mut autonomy).withdrawals.is_empty());
        move_gallbladder(&mut bench, 0.010);
        let end = until_withdrawn(&mut bench, &mut autonomy, &p, 10, |_| {});
        if seen {
            let (t, reason) = end.expect("it is seen to sink");
            assert!(matches!(reason, WithdrawReason::TargetMoved { by } if by > 0.003), "{reason:?}");
            assert!((t - DOUBT).abs() < 1e-9, "{t}");
        } else {
            assert_eq!(end, None, "hidden: no evidence either way");
        }
    }
}

#[test]
fn a_finished_motion_is_not_proposed_again_while_the_jaws_hold() {
    let (mut bench, mut autonomy, p) = running(0.95);
    bench.next();
    run(&mut bench, &p, 1.0);
    // The tissue came with the jaws.
    let end = bench
        .hand_eye(ArmId::Psm2)
        .transform(&crate::bench::chain(ArmId::Psm2).links(&bench.joints(ArmId::Psm2)).unwrap().jaw_end);
    let nearest = bench.scene.surface.iter_mut().find(|s| s.class == Class::Gallbladder).unwrap();
    nearest.position = end;
    bench.safety.executed += 1;
    bench.safety.active = Digest::default();
    bench.safety.progress = 0.0;
    bench.safety.moving = false;
    let out = bench.step(&mut autonomy);
    assert_eq!((out.notes, out.withdrawals), (vec![Note::Finished(p.id)], vec![]));
    for _ in 0..1000 {
        bench.next();
        assert!(bench.step(&mut autonomy).proposals.is_empty());
    }
}

#[test]
fn nothing_is_offered_where_nothing_may_run() {
    type Row = (&'static str, fn(&mut Bench), fn(&Declined) -> bool);
    let rows: [Row; 10] = [
        ("timing unknown", |b| b.scene.time.timing = Timing::Unknown, |d| matches!(d, Declined::TimeUnknown { .. })),
        (
            "wrong arm",
            |b| b.scene.instruments[0].finding = Finding::WrongArm,
            |d| *d == Declined::Found { arm: ArmId::Psm1, finding: Finding::WrongArm },
        ),
        ("disabled", |b| b.safety.mode = SafetyMode::Disabled, |d| matches!(d, Declined::WrongMode { .. })),
        ("ready", |b| b.safety.mode = SafetyMode::Ready, |d| matches!(d, Declined::WrongMode { .. })),
        ("teleoperation", |b| b.safety.mode = SafetyMode::Teleop, |d| matches!(d, Declined::WrongMode { .. })),
        ("hold", |b| b.safety.mode = SafetyMode::Hold, |d| matches!(d, Declined::WrongMode { .. })),
        ("fault", |b| b.safety.mode = SafetyMode::Fault, |d| matches!(d, Declined::WrongMode { .. })),
        (
            "converging",
            |b| b.scene.instruments[1].alignment = Alignment::Converging,
            |d| matches!(d, Declined::NotAligned { arm: ArmId::Psm2, alignment: Alignment::Converging, .. }),
        ),
        (
            "quality unknown",
            |b| b.scene.quality.verdict = QualityVerdict::Unknown,
            |d| *d == Declined::Picture { verdict: QualityVerdict::Unknown },
        ),
        (
            "stale",
            |b| b.scene.stamp = b.now.minus(Duration::from_millis(301)),
            |d| matches!(d, Declined::SceneStale { .. }),
        ),
    ];
    for (name, edit, expected) in rows {
        let (mut bench, mut autonomy) = (Bench::new(), autonomy());
        bench.request(Skill::Retract, ArmId::Psm2);
        let mut reasons = Vec::new();
        for _ in 0..60 {
            edit(&mut bench);
            let out = bench.step(&mut autonomy);
            assert!(out.proposals.is_empty() && out.withdrawals.is_empty(), "{name}");
            reasons.extend(out.notes);
            bench.next();
        }
        assert!(
            matches!(&reasons[..], [Note::Declined { skill: Skill::Retract, asked: true, reason }] if expected(reason)),
            "{name}: said once: {reasons:?}"
        );
    }
}

#[test]
fn adjusted_parameters_hold_from_the_next_step_on_and_refused_ones_change_nothing() {
    let (mut bench, mut autonomy, p) = offered();
    let life = |bench: &Bench, p: &Proposal| p.expires.seconds_since(bench.now);
    assert_eq!(life(&bench, &p), AutonomyParams::default().gate.expiry);
    let with = |expiry, critical| {
        let mut params = AutonomyParams { session: 9, ..AutonomyParams::default() };
        (params.gate.expiry, params.clearance.critical) = (expiry, critical);
        params
    };
    assert!(autonomy.adjust(with(1.0, 0.003)).unwrap_err().to_string().contains("gate.expiry"));
    // No room that this plan has is enough any more: the live proposal is measured by it, too.
    autonomy.adjust(with(20.0, 0.05)).unwrap();
    let (_, reason) = until_withdrawn(&mut bench, &mut autonomy, &p, 60, |_| {}).expect("a withdrawal");
    assert!(matches!(reason, WithdrawReason::NoLonger(Declined::TissueClearance { .. })), "{reason:?}");
    autonomy.adjust(with(7.0, 0.003)).unwrap();
    bench.next();
    let next = bench.ask(&mut autonomy, Skill::Retract, ArmId::Psm2).unwrap_or_else(|out| panic!("{:?}", out.notes));
    assert_eq!(life(&bench, &next), 7.0);
    assert!(next.id.0 > p.id.0 && next.id.0 >> 32 == 1, "the session is the same");
}

#[test]
fn ids_rise_and_differ_between_sessions() {
    let collect = |session| {
        let mut autonomy = Autonomy::new(AutonomyParams { session, ..AutonomyParams::default() }).unwrap();
        let mut bench = Bench::new();
        (0..4)
            .map(|i| {
                bench.scene.zones_version += 1;
                let (skill, arm) = [(Skill::Retract, ArmId::Psm2), (Skill::CentreCamera, ArmId::Ecm)][i % 2];
                bench.ask(&mut autonomy, skill, arm).unwrap().id.0
            })
            .collect::<Vec<_>>()
    };
    let (a, b) = (collect(1), collect(2));
    assert!(a.windows(2).all(|w| w[0] < w[1]) && b.windows(2).all(|w| w[0] < w[1]));
    assert!(a.iter().all(|id| !b.contains(id)));
}

#[test]
fn the_same_inputs_give_the_same_proposals_bit_for_bit() {
    let run = || {
        let (mut bench, mut autonomy) = (Bench::new(), autonomy());
        let mut all = Vec::new();
        for k in 0..120 {
            bench.next();
            if k == 60 {
                bench.put(ArmId::Ecm, &[-0.05, 0.02, 0.09, 0.05], 0.0);
            }
            if k == 100 {
                bench.request(Skill::CentreCamera, ArmId::Ecm);
            }
            all.push(bench.step(&mut autonomy));
        }
        all
    };
    let (a, b) = (run(), run());
    let proposals = |o: &[proctor_autonomy::Output]| o.iter().flat_map(|o| o.proposals.clone()).collect::<Vec<_>>();
    let (pa, pb) = (proposals(&a), proposals(&b));
    assert!(pa.len() >= 2, "{}", pa.len());
    for (x, y) in pa.iter().zip(&pb) {
        assert_eq!(x.digest(), y.digest());
        assert_eq!(serde_json::to_vec(x).unwrap(), serde_json::to_vec(y).unwrap());
    }
    assert_eq!(a, b);
}
