//! Skill *retract*.

use crate::bench::{Bench, assert_within_limits, autonomy, brute_force_clearance, chain, speeds};
use nalgebra::{Point3, Vector3};
use proctor_autonomy::{AutonomyParams, Declined, Note, PROTECTED};
use proctor_types::{ArmId, Class, Joints, Pose, Proposal, Skill, Trajectory, TrajectoryPoint, World};

fn ask(bench: &mut Bench, arm: ArmId) -> Proposal {
    let mut autonomy = autonomy();
    bench.ask(&mut autonomy, Skill::Retract, arm).unwrap_or_else(|out| panic!("{:?}", out.notes))
}

/// End of the closed jaws in the world by the fused hand-eye estimate.
fn jaw_end(bench: &Bench, arm: ArmId, q: &Joints) -> Point3<f64> {
    bench.hand_eye(arm).transform(&chain(arm).links(q).unwrap().jaw_end)
}

/// Index of the first point at which the jaws begin to close, which is at the grasp.
fn contact(p: &Proposal) -> usize {
    let points = p.trajectory.points();
    (1..points.len()).find(|&i| points[i].jaw < points[i - 1].jaw - 1e-12).unwrap() - 1
}

/// Outward directions of the fundus that the cell can reach.
const NORMALS: [[f64; 3]; 4] = [[-0.1, -0.35, 1.0], [0.0, 0.0, 1.0], [-0.4, -0.2, 1.0], [0.3, -0.4, 0.9]];

fn benches() -> impl Iterator<Item = (Bench, ArmId)> {
    NORMALS.into_iter().flat_map(|n| {
        ArmId::PSMS.into_iter().map(move |arm| {
            let mut bench = Bench::new();
            bench.aim_at_fundus(Vector3::from(n));
            bench.park_the_other(arm);
            // Far enough back to see all of every way.
            bench.put(ArmId::Ecm, &[0.0, 0.0, 0.05, 0.0], 0.0);
            (bench, arm)
        })
    })
}

#[test]
fn the_jaws_close_on_the_target_seen_through_the_fused_hand_eye() {
    for (mut bench, arm) in benches() {
        let p = ask(&mut bench, arm);
        let at = jaw_end(&bench, arm, &p.trajectory.points()[contact(&p)].position);
        let (target, _) = bench.scene.grasp_target.unwrap();
        assert!((at - target).norm() < 0.0005, "{arm}: {at} {target}");
        assert!((at - target).norm() < 1e-6, "planned, not merely close");
    }
}

#[test]
fn the_approach_is_straight_along_the_normal_with_open_jaws_and_the_lift_leads_away() {
    let params = AutonomyParams::default().retract;
    for (mut bench, arm) in benches() {
        let p = ask(&mut bench, arm);
        let (target, normal) = bench.scene.grasp_target.unwrap();
        let contact = contact(&p);
        let points = p.trajectory.points();
        // Backwards from contact: on the normal until the stand-off.
        let mut farthest: f64 = 0.0;
        for point in points[..contact].iter().rev() {
            let off = jaw_end(&bench, arm, &point.position) - target;
            if off.norm() > params.standoff - 1e-7 {
                farthest = off.norm();
                assert!(off.cross(&normal).norm() < 1e-6, "the pre-grasp point lies on the normal");
                break;
            }
            assert!(off.cross(&normal).norm() < 1e-6, "{off:?} is off the normal");
            assert!((point.jaw - params.jaw_open).abs() < 1e-12, "open all the way");
        }
        assert!((farthest - params.standoff).abs() < 1e-6, "{farthest}");

        let last = points.last().unwrap();
        let lifted = jaw_end(&bench, arm, &last.position) - target;
        assert!((0.0149..0.0201).contains(&lifted.norm()), "{}", lifted.norm());
        assert!(lifted.z > 0.0 && lifted.dot(&normal) > 0.0, "{lifted:?}");
        assert!((last.jaw - params.jaw_closed).abs() < 1e-12);
        let liver = |p: Point3<f64>| {
            let livers = bench.scene.surface.iter().filter(|s| s.class == Class::Liver);
            livers.map(|s| (s.position - p).norm()).fold(f64::INFINITY, f64::min)
        };
        assert!(liver(target + lifted) > liver(target), "away from the liver");
    }
}

#[test]
fn it_starts_at_the_measured_joints_and_respects_every_limit() {
    for (mut bench, arm) in benches() {
        let p = ask(&mut bench, arm);
        let first = p.trajectory.points()[0];
        assert_eq!(first.position, bench.joints(arm), "bit for bit");
        assert_eq!(first.jaw, 0.3);
        assert_within_limits(&p.trajectory, &AutonomyParams::default());
    }
}

#[test]
fn tip_and_jaws_are_slow_and_slower_at_the_tissue() {
    let m = AutonomyParams::default().motion;
    for (mut bench, arm) in benches() {
        let p = ask(&mut bench, arm);
        let chain = chain(arm);
        let (target, _) = bench.scene.grasp_target.unwrap();
        let target = bench.hand_eye(arm).inverse().transform(&target);
        let end = |q: &Joints| chain.links(q).unwrap().jaw_end;
        let tip = |q: &Joints| Point3::from(chain.fk(q).unwrap().translation());
        for (at, speed) in speeds(&p.trajectory, end).into_iter().chain(speeds(&p.trajectory, tip)) {
            assert!(speed <= m.free_speed + 1e-9, "{speed}");
            if (at - target).norm() < 0.0099 {
                assert!(speed <= m.near_speed + 1e-9, "{speed} at {} mm", (at - target).norm() * 1e3);
            }
        }
        assert!(p.trajectory.duration() < 25.0, "{}", p.trajectory.duration());
    }
}

#[test]
fn the_clearance_told_is_that_of_brute_force() {
    for (mut bench, arm) in benches() {
        let p = ask(&mut bench, arm);
        let (distance, class) = brute_force_clearance(&bench, &p.trajectory, |_, _| true, &PROTECTED).unwrap();
        let told = p.evidence.smallest_clearance.unwrap();
        assert!((told - distance).abs() < 1e-9, "{arm}: {told} {distance}");
        assert_eq!(p.evidence.clearance_class, class);
        let critical = brute_force_clearance(&bench, &p.trajectory, |_, _| true, &PROTECTED[..2]).unwrap().0;
        assert!(critical >= AutonomyParams::default().clearance.critical, "{critical}");
    }
}

#[test]
fn another_hand_eye_estimate_gives_other_joints_but_the_same_grasp() {
    let mut bench = Bench::new();
    let a = ask(&mut bench, ArmId::Psm2);
    let shift = Pose::<World, World>::from_parts(Vector3::new(0.004, -0.003, 0.002), Vector3::new(0.0, 0.03, 0.02));
    let eye = &mut bench.scene.hand_eyes[1];
    eye.world_from_base = shift * eye.world_from_base;
    eye.version += 1;
    let b = ask(&mut bench, ArmId::Psm2);
    assert_eq!(b.planned_with.hand_eye, a.planned_with.hand_eye + 1);
    let (target, _) = bench.scene.grasp_target.unwrap();
    let (qa, qb) = (a.trajectory.points()[contact(&a)].position, b.trajectory.points()[contact(&b)].position);
    assert!((jaw_end(&bench, ArmId::Psm2, &qb) - target).norm() < 1e-6);
    assert!((jaw_end(&bench, ArmId::Psm2, &qa) - target).norm() > 0.002, "the old plan would miss now");
}

/// Asks and returns why there was no proposal.
fn declined(bench: &mut Bench, arm: ArmId) -> Declined {
    let out = bench.ask(&mut autonomy(), Skill::Retract, arm).unwrap_err();
    let reasons: Vec<_> = out
        .notes
        .iter()
        .filter_map(|n| if let Note::Declined { reason, .. } = n { Some(*reason) } else { None })
        .collect();
    assert_eq!(reasons.len(), 1, "{:?}", out.notes);
    reasons[0]
}

#[test]
fn what_cannot_or_must_not_be_done_is_declined_with_its_reason() {
    type Row = (&'static str, fn(&mut Bench), ArmId, fn(&Declined) -> bool);
    let rows: [Row; 9] = [
        ("no target", |b| b.scene.grasp_target = None, ArmId::Psm2, |d| matches!(d, Declined::NoTarget)),
        ("with the camera", |_| {}, ArmId::Ecm, |d| matches!(d, Declined::WrongArm { .. })),
        (
            "target behind the remote centre",
            |b| b.scene.grasp_target = Some((Point3::new(-0.2, -0.1, 0.3), Vector3::z())),
            ArmId::Psm2,
            |d| matches!(d, Declined::Unreachable { .. } | Declined::Singular { .. } | Declined::JointLimit { .. }),
        ),
        (
            "no normal",
            |b| b.scene.grasp_target = Some((Point3::origin(), Vector3::zeros())),
            ArmId::Psm2,
            |d| matches!(d, Declined::BadTarget { .. }),
        ),
        (
            "artery on the way",
            |b| {
                let (target, normal) = b.scene.grasp_target.unwrap();
                for s in b.scene.surface.iter_mut().filter(|s| s.class == Class::CysticArtery) {
                    s.position = target + normal * 0.004 + Vector3::x() * 0.003;
                }
            },
            ArmId::Psm2,
            |d| matches!(d, Declined::TissueClearance { class: Class::CysticArtery, .. }),
        ),
        (
            "the endoscope is too near to see where it leads",
            |b| b.put(ArmId::Ecm, &[0.0, 0.0, 0.13, 0.0], 0.0),
            ArmId::Psm2,
            |d| matches!(d, Declined::OutOfPicture { arm: ArmId::Psm2, .. }),
        ),
        (
            "the other instrument is already there",
            |b| {
                let mut alone = b.clone();
                alone.park_the_other(ArmId::Psm1);
                let q = ask(&mut alone, ArmId::Psm1).trajectory;
                let grasp = q.points()[q.points().len() * 3 / 4];
                b.put(ArmId::Psm1, &grasp.position, 0.3);
            },
            ArmId::Psm2,
            |d| matches!(d, Declined::ToolClearance { other: ArmId::Psm1, .. }),
        ),
        (
            "the arm moves",
            |b| b.arms[1].as_mut().unwrap().velocity = Joints::new(&[0.0, 0.0, 0.01, 0.0, 0.0, 0.0]).unwrap(),
            ArmId::Psm2,
            |d| matches!(d, Declined::ArmMoving { arm: ArmId::Psm2, joint: 2, .. }),
        ),
        (
            "fusion does not know the arm",
            |b| b.scene.hand_eyes.retain(|h| h.arm != ArmId::Psm2),
            ArmId::Psm2,
            |d| matches!(d, Declined::NoInstruments),
        ),
    ];
    for (name, edit, arm, expected) in rows {
        let mut bench = Bench::new();
        edit(&mut bench);
        let reason = declined(&mut bench, arm);
        assert!(expected(&reason), "{name}: {reason:?}");
    }
}

#[test]
fn what_was_taken_and_not_lifted_is_lifted_and_what_was_lifted_is_left() {
    let mut params = AutonomyParams::default();
    params.centre.unasked = false;
    let fresh = || proctor_autonomy::Autonomy::new(params.clone()).unwrap();
    let scenes = 2 * (params.retract.seen_for * 1000.0) as u64 / crate::bench::PERIOD;
    let watch = |bench: &mut Bench, autonomy: &mut proctor_autonomy::Autonomy| {
        (0..scenes).find_map(|_| {
            bench.next();
            bench.step(autonomy).proposals.pop()
        })
    };
    for (mut bench, arm) in benches() {
        let mut autonomy = fresh();
        broken_off(&mut bench, arm, 0.3);
        let taken = bench.joints(arm);
        bench.step(&mut autonomy);
        bench.put(arm, &taken, 0.1);
        let p = watch(&mut bench, &mut autonomy).expect("it is lifted unasked");
        assert_eq!((p.skill, p.trajectory.arm()), (Skill::Retract, arm));
        assert!(p.evidence.summary.starts_with(&format!("{arm} holds the gallbladder. It lifts it by")));
        assert_within_limits(&p.trajectory, &params);
        let points = p.trajectory.points();
        let (first, last) = (points[0], *points.last().unwrap());
        assert_eq!((first.position, first.jaw), (taken, 0.1));
        assert!(points.windows(2).all(|w| w[1].jaw <= w[0].jaw) && last.jaw == params.retract.jaw_closed);
        let lift = jaw_end(&bench, arm, &last.position) - jaw_end(&bench, arm, &taken);
        assert!(lift.z > 0.0 && (0.0149..0.0181).contains(&lift.norm()), "{lift:?}");

        // Lifted, it is left.
        let mut lifted = fresh();
        for (q, jaw) in [(taken, 0.3), (taken, 0.1)] {
            bench.put(arm, &q, jaw);
            bench.next();
            bench.step(&mut lifted);
        }
        bench.put(arm, &last.position, last.jaw);
        bench.scene.surface.iter_mut().filter(|s| s.class == Class::Gallbladder).for_each(|s| s.position += lift);
        assert!(watch(&mut bench, &mut lifted).is_none());
        let standing = lifted.standing().to_string();
        assert!(standing.contains(&format!("{arm} already holds the gallbladder")), "{standing}");
        // Nor is what was closed when it was first seen.
        assert!(watch(&mut bench, &mut fresh()).is_none());
    }
    let mut bench = Bench::new();
    broken_off(&mut bench, ArmId::Psm2, 0.1);
    assert!(
        ask(&mut bench, ArmId::Psm2).evidence.summary.contains("lifts it by"),
        "asked for it lifts whatever it saw"
    );
}

/// Where a retraction broken off leaves the arm: at the tissue, its jaws closed to `jaw`.
fn broken_off(bench: &mut Bench, arm: ArmId, jaw: f64) {
    let whole = ask(&mut bench.clone(), arm);
    let at = whole.trajectory.points()[contact(&whole)].position;
    bench.put(arm, &at, jaw);
}

#[test]
fn a_retraction_broken_off_at_the_tissue_lets_go_and_backs_off_before_the_next() {
    let params = AutonomyParams::default();
    for (mut bench, arm) in benches() {
        broken_off(&mut bench, arm, 0.35);
        let p = ask(&mut bench, arm);
        let points = p.trajectory.points();
        assert!(p.evidence.summary.contains("backs off first"), "{}", p.evidence.summary);
        assert_within_limits(&p.trajectory, &params);
        // Jaws open before anything else moves.
        let moves = points.iter().position(|q| (q.position[2] - points[0].position[2]).abs() > 1e-6).unwrap();
        assert!((points[moves - 1].jaw - params.retract.jaw_open).abs() < 1e-12, "{arm}");
        // From the first motion on the gallbladder only gets farther, until there is room; then it goes as from anywhere.
        let gap = |k: usize| gap(&bench, &p.trajectory, k, Class::Gallbladder);
        let room = params.clearance.tissue + params.clearance.hysteresis;
        let free = (moves..contact(&p)).find(|&k| gap(k) >= room).expect("there is room on the way");
        assert!(gap(moves) < 0.0, "it began in the tissue");
        let gaps: Vec<f64> = (moves..free).step_by(5).map(gap).collect();
        assert!(gaps.windows(2).all(|w| w[1] > w[0] - 1e-4), "{gaps:?}");
        let at = jaw_end(&bench, arm, &points[contact(&p)].position);
        assert!((at - bench.scene.grasp_target.unwrap().0).norm() < 1e-6);
    }
}

/// Distance of the instrument to tissue at one point of a motion.
fn gap(bench: &Bench, t: &Trajectory, k: usize, class: Class) -> f64 {
    let still = vec![TrajectoryPoint { t: 0.0, ..t.points()[k] }, TrajectoryPoint { t: 1.0, ..t.points()[k] }];
    let still = Trajectory::new(t.arm(), still).unwrap();
    brute_force_clearance(bench, &still, |_, _| true, &[class]).unwrap().0
}

#[test]
fn who_backs_off_comes_no_nearer_to_an_artery_it_is_too_near_to_already() {
    let arm = ArmId::Psm2;
    let params = AutonomyParams::default().clearance;
    // Beside the jaws it can be left, or not, where the artery lies around the shaft too.
    for (around, possible) in [(false, true), (true, false)] {
        let mut bench = Bench::new();
        bench.park_the_other(arm);
        bench.put(ArmId::Ecm, &[0.0, 0.0, 0.05, 0.0], 0.0);
        bench.aim_at_fundus(Vector3::new(-0.8, -0.2, 1.0));
        broken_off(&mut bench, arm, 0.35);
        let end = jaw_end(&bench, arm, &bench.joints(arm));
        let back = (bench.hand_eye(arm).transform(&Point3::origin()) - end).normalize();
        let (aside, across) = (back.cross(&Vector3::x()).normalize(), back.cross(&Vector3::y()).normalize());
        for (k, s) in bench.scene.surface.iter_mut().filter(|s| s.class == Class::CysticArtery).enumerate() {
            let turn = k as f64 * std::f64::consts::TAU / 6.0;
            let ring = back * (0.012 * (k % 3) as f64 + 0.01) + (aside * turn.cos() + across * turn.sin()) * 0.011;
            s.position = end + if around { ring } else { -back * 0.004 - Vector3::z() * 0.002 };
        }
        bench.aim_at_fundus(Vector3::new(0.6, -0.3, 1.0));
        match bench.ask(&mut autonomy(), Skill::Retract, arm) {
            Ok(p) => {
                assert!(possible);
                let gap = |k: usize| gap(&bench, &p.trajectory, k, Class::CysticArtery);
                let begin = gap(0);
                assert!(begin < params.critical, "{begin}");
                let free = (0..contact(&p)).find(|&k| gap(k) >= params.critical).unwrap();
                assert!((0..free).all(|k| gap(k) >= begin - 1e-9));
                assert!((free..contact(&p)).all(|k| gap(k) >= params.critical));
            }
            Err(out) => {
                let why = matches!(
                    out.notes[..],
                    [Note::Declined { reason: Declined::TissueClearance { class: Class::CysticArtery, .. }, .. }]
                );
                assert!(why && !possible, "{:?}", out.notes);
            }
        }
    }
}

#[test]
fn a_hook_cannot_grasp() {
    let mut params = AutonomyParams::default();
    params.instruments[1] = "PERMANENT_CAUTERY_HOOK_400183".into();
    let mut autonomy = proctor_autonomy::Autonomy::new(params).unwrap();
    let out = Bench::new().ask(&mut autonomy, Skill::Retract, ArmId::Psm2).unwrap_err();
    assert!(
        matches!(out.notes[..], [Note::Declined { reason: Declined::CannotGrasp { arm: ArmId::Psm2 }, .. }]),
        "{:?}",
        out.notes
    );
}

#[test]
fn unasked_the_nearer_arm_is_proposed_after_the_target_was_steady() {
    let params = AutonomyParams::default();
    let while_ = (params.retract.seen_for * 1000.0) as usize / crate::bench::PERIOD as usize;
    for jitter in [0.0, 0.004] {
        let (mut bench, mut autonomy) = (Bench::new(), autonomy());
        let (target, normal) = bench.scene.grasp_target.unwrap();
        let mut first = None;
        for k in 0..2 * while_ {
            bench.next();
            bench.scene.grasp_target = Some((target + Vector3::x() * jitter * (k % 2) as f64, normal));
            if let Some(p) = bench.step(&mut autonomy).proposals.pop() {
                first = Some((k, p));
                break;
            }
        }
        if jitter == 0.0 {
            let (k, p) = first.expect("a steady target is proposed");
            assert_eq!((k, p.skill), (while_, Skill::Retract));
            let distance = |arm| (jaw_end(&bench, arm, &bench.joints(arm)) - target).norm();
            let other = if p.trajectory.arm() == ArmId::Psm1 { ArmId::Psm2 } else { ArmId::Psm1 };
            assert!(distance(p.trajectory.arm()) < distance(other));
        } else {
            assert!(first.is_none(), "a target that jumps by 4 mm is not");
        }
    }
}

#[test]
fn a_late_message_now_and_then_does_not_keep_a_steady_target_from_being_proposed() {
    // Every half second joints are missing for so many scenes of 50 ms; a target must be steady for a second.
    for (missing, proposed) in [(1, true), (3, true), (5, false)] {
        let (mut bench, mut autonomy) = (Bench::new(), crate::bench::autonomy());
        let mut found = Vec::new();
        for k in 0..200 {
            bench.next();
            let joints = bench.arms[0];
            bench.arms[0] = joints.filter(|_| k % 10 >= missing);
            found.extend(bench.step(&mut autonomy).proposals);
            bench.arms[0] = joints;
        }
        assert_eq!(!found.is_empty(), proposed, "{missing} scenes in ten without joints");
    }
}
