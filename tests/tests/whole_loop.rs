//! The whole loop with the real model: what a surgeon does, and what goes wrong around it.

use proctor_bus::{RawSubscriber, graph};
use proctor_sim::{Faults, faults::ArmFaults};
use proctor_tests::World;
use proctor_types::{ArmId, Class, Constraint, DecisionKind, RequestKind, SafetyMode, Skill};

/// Longest a stop may take, milliseconds: watchdog and deceleration.
const STOP_MS: u64 = 500;

fn world() -> World {
    World::new(1).unwrap()
}

/// A world in which a motion is running, and the verdicts seen until then.
fn moving() -> (World, proctor_types::Proposal, usize) {
    let mut w = world();
    let proposal = w.to_proposal(None);
    w.start_motion(&proposal);
    let seen = w.verdicts.len();
    (w, proposal, seen)
}

fn assert_arms_rest(w: &mut World, why: &str) {
    let before = w.set_points();
    w.run_ms(300);
    let after = w.set_points();
    let moved = before.iter().flatten().zip(after.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(moved < 1e-4, "{why}: a joint still moved by {moved}");
}

#[test]
fn an_approved_and_held_motion_runs_to_its_end_and_an_unapproved_one_never_starts() {
    let mut w = world();
    let proposal = w.to_proposal(None);
    let start = w.set_points();
    // Presence alone is no approval.
    w.hold_until(&proposal, 500, |_| false);
    let moved = start.iter().flatten().zip(w.set_points().iter().flatten()).any(|(a, b)| (a - b).abs() > 1e-4);
    assert!(!moved, "moved without approval");
    let proposal = w.live_proposal(None).unwrap_or(proposal);
    w.start_motion(&proposal);
    let limit = 5 * (proposal.trajectory.duration() * 1e3) as u64 + 5000;
    assert!(w.hold_until(&proposal, limit, |w| w.executed() == 1), "never executed: {}", w.explain());
    let arm = proposal.trajectory.arm();
    let end = proposal.trajectory.at(f64::MAX).0;
    let reached = &w.set_points()[arm.index()];
    let error = end.iter().zip(reached).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(error < 0.01, "{arm} ended {error} from the approved end");
    w.assert_no_violation();
}

#[test]
fn the_retraction_takes_the_gallbladder_and_lifts_it() {
    let mut w = world();
    w.to_proposal(None);
    let fundus = |w: &World| w.simulator.lock().unwrap().tissue().fundus().point;
    let before = fundus(&w);
    let done = w.carry_out(Skill::Retract, 60_000).unwrap_or_else(|| panic!("not retracted: {}", w.explain()));
    let arm = done.trajectory.arm();
    assert_eq!(w.simulator.lock().unwrap().tissue().held(arm), Some(Class::Gallbladder), "{arm} holds nothing");
    // As far as it was proposed, along whatever way up is free: straight, or slanting past the instruments.
    let lifted = fundus(&w) - before;
    assert!(lifted.norm() > 0.014, "the fundus moved by {:.1} mm only", lifted.norm() * 1e3);
    assert!(lifted.z > 0.005, "the fundus rose by {:.1} mm only", lifted.z * 1e3);
    w.assert_no_violation();
}

#[test]
fn a_retraction_broken_off_at_the_tissue_is_done_after_backing_off() {
    let mut w = world();
    w.to_proposal(Some(Skill::CentreCamera));
    w.carry_out(Skill::CentreCamera, 20_000).unwrap_or_else(|| panic!("not centred: {}", w.explain()));
    assert!(w.until(20_000, |w| w.live_proposal(Some(Skill::Retract)).is_some()), "{}", w.explain());
    let proposal = w.live_proposal(Some(Skill::Retract)).unwrap();
    w.decide(&proposal, DecisionKind::Approve);
    // Half closed: the jaws have been at the tissue for a moment, and hold nothing yet.
    let points = proposal.trajectory.points();
    let open = points.iter().map(|p| p.jaw).fold(0.0, f64::max);
    let half = f64::midpoint(open, points.last().unwrap().jaw);
    let widest = points.iter().position(|p| p.jaw == open).unwrap();
    let closing = points[widest..].iter().find(|p| p.jaw < half).unwrap().t / proposal.trajectory.duration();
    assert!(w.hold_until(&proposal, 40_000, |w| w.state().progress > closing), "{}", w.explain());
    w.request(RequestKind::Ready);
    assert!(w.until(1000, |w| w.mode() == SafetyMode::Ready), "{}", w.explain());
    w.request(RequestKind::Supervise);
    assert!(w.until(1000, |w| w.mode() == SafetyMode::Supervised), "{}", w.explain());
    let next = |w: &World| w.live_proposal(Some(Skill::Retract)).filter(|p| p.id != proposal.id);
    assert!(w.until(30_000, |w| next(w).is_some()), "{}", w.explain());
    let summary = next(&w).unwrap().evidence.summary;
    assert!(summary.contains("backs off first"), "{summary}");
    let again = w.carry_out(Skill::Retract, 60_000).unwrap_or_else(|| panic!("not retracted: {}", w.explain()));
    let held = w.simulator.lock().unwrap().tissue().held(again.trajectory.arm());
    assert_eq!(held, Some(Class::Gallbladder));
    w.assert_no_violation();
}

#[test]
fn a_rejected_proposal_cannot_run() {
    let mut w = world();
    let proposal = w.to_proposal(None);
    w.decide(&proposal, DecisionKind::Reject);
    w.run_ms(50);
    let seen = w.verdicts.len();
    w.decide(&proposal, DecisionKind::Approve);
    w.hold_until(&proposal, 500, |w| w.state().moving);
    assert!(!w.state().moving && w.executed() == 0);
    assert!(
        w.named_since(seen, Constraint::Withdrawn) || w.named_since(seen, Constraint::NotApproved),
        "{}",
        w.explain()
    );
    w.assert_no_violation();
}

#[test]
fn an_expired_proposal_cannot_run() {
    let mut w = world();
    let proposal = w.to_proposal(None);
    let life = proposal.expires.seconds_since(w.exec.now());
    w.run_ms((life * 1e3) as u64 + 10);
    let seen = w.verdicts.len();
    w.decide(&proposal, DecisionKind::Approve);
    w.hold_until(&proposal, 300, |_| false);
    assert!(!w.state().moving && w.executed() == 0);
    assert!(w.named_since(seen, Constraint::Expired) || w.named_since(seen, Constraint::Withdrawn), "{}", w.explain());
    w.assert_no_violation();
}

#[test]
fn lost_presence_stops_the_arm_and_a_new_hold_resumes_it() {
    let (mut w, proposal, seen) = moving();
    w.run_ms(STOP_MS);
    assert!(!w.state().moving, "{}", w.explain());
    assert!(w.named_since(seen, Constraint::PresenceLost), "{}", w.explain());
    assert_arms_rest(&mut w, "presence lost");
    assert!(w.hold_until(&proposal, 2000, |w| w.state().moving), "never resumed: {}", w.explain());
    w.assert_no_violation();
}

#[test]
fn the_e_stop_stops_and_latches_until_a_reset() {
    let (mut w, proposal, seen) = moving();
    w.request(RequestKind::EStop);
    w.hold_until(&proposal, STOP_MS, |_| false);
    assert_eq!(w.mode(), SafetyMode::Fault);
    assert!(w.state().e_stop && w.named_since(seen, Constraint::EStop), "{}", w.explain());
    assert_arms_rest(&mut w, "e-stop");
    for kind in [RequestKind::Enable, RequestKind::Ready, RequestKind::Supervise] {
        w.request(kind);
        w.run_ms(50);
        assert_eq!(w.mode(), SafetyMode::Fault, "{kind:?} left FAULT");
    }
    w.request(RequestKind::Reset);
    assert!(w.until(1000, |w| w.mode() == SafetyMode::Disabled), "{}", w.explain());
    w.assert_no_violation();
}

#[test]
fn a_stale_camera_stops_the_motion() {
    let (mut w, proposal, seen) = moving();
    w.inject(Faults { dropped: 1.0, ..Faults::default() });
    w.hold_until(&proposal, 1000, |w| !w.state().moving && w.mode() != SafetyMode::Supervised);
    w.hold_until(&proposal, STOP_MS, |_| false);
    assert!(!w.state().moving, "{}", w.explain());
    assert!(
        w.named_since(seen, Constraint::SceneStale) || w.named_since(seen, Constraint::Withdrawn),
        "{}",
        w.explain()
    );
    assert_arms_rest(&mut w, "camera stale");
    w.assert_no_violation();
}

#[test]
fn a_frozen_camera_withdraws_the_motion() {
    let (mut w, proposal, _) = moving();
    w.inject(Faults { frozen: true, ..Faults::default() });
    w.hold_until(&proposal, 1500, |_| false);
    assert!(!w.state().moving, "{}", w.explain());
    assert_arms_rest(&mut w, "camera frozen");
    w.assert_no_violation();
}

#[test]
fn nan_joints_stop_every_arm() {
    let (mut w, proposal, seen) = moving();
    let mut faults = Faults::default();
    faults.arms[ArmId::Psm1.index()] = ArmFaults { nan: true, ..ArmFaults::default() };
    w.inject(faults);
    w.hold_until(&proposal, STOP_MS, |_| false);
    assert!(matches!(w.mode(), SafetyMode::Hold | SafetyMode::Fault), "{}", w.explain());
    assert!(
        w.named_since(seen, Constraint::KinematicsStale) || w.named_since(seen, Constraint::Malformed),
        "{}",
        w.explain()
    );
    assert_arms_rest(&mut w, "NaN joints");
    w.assert_no_violation();
}

#[test]
fn killing_any_node_before_safety_stops_the_motion() {
    for victim in ["perception", "fusion"] {
        let (mut w, proposal, seen) = moving();
        assert!(w.exec.kill(victim));
        w.hold_until(&proposal, 1500, |_| false);
        assert!(!w.state().moving, "{victim}: {}", w.explain());
        assert!(
            w.named_since(seen, Constraint::SceneStale) || w.named_since(seen, Constraint::Withdrawn),
            "{victim}: {}",
            w.explain()
        );
        assert_arms_rest(&mut w, victim);
        w.assert_no_violation();
    }
}

#[test]
fn killing_safety_leaves_every_arm_at_its_last_set_point() {
    let (mut w, proposal, _) = moving();
    assert!(w.exec.kill("safety"));
    w.hold_until(&proposal, STOP_MS, |_| false);
    assert_arms_rest(&mut w, "safety killed");
    w.assert_no_violation();
}

#[test]
fn killing_autonomy_loses_suggestions_and_nothing_else() {
    let (mut w, proposal, _) = moving();
    assert!(w.exec.kill("autonomy"));
    let limit = 5 * (proposal.trajectory.duration() * 1e3) as u64 + 5000;
    assert!(w.hold_until(&proposal, limit, |w| w.executed() == 1), "never executed: {}", w.explain());
    w.run_ms(3000);
    assert!(w.live_proposal(None).is_none_or(|p| p.id == proposal.id), "somebody suggested");
    w.assert_no_violation();
}

#[test]
fn every_topic_is_said_as_often_as_the_graph_says() {
    const SECONDS: u64 = 3;
    let (mut w, proposal, _) = moving();
    let topics = graph::all();
    let said: Vec<_> = topics.iter().map(|t| w.bus.raw_subscriber(t, 8192).unwrap()).collect();
    let latched: Vec<_> = said.iter().map(RawSubscriber::waiting).collect();
    assert!(!w.hold_until(&proposal, 1000 * SECONDS, |_| false));
    for ((topic, said), latched) in topics.iter().zip(&said).zip(latched) {
        // Nobody teleoperates, no other model runs, the ECM measures no force; the operator of these tests speaks as often as these tests say.
        let silent =
            topic.writer == "teleop" || *topic == graph::findings() || *topic == graph::measured_cf(ArmId::Ecm);
        if topic.rate_hz == 0.0 || *topic == graph::presence() {
            continue;
        }
        let expected = if silent { 0.0 } else { topic.rate_hz * topic.writer.split(", ").count() as f64 };
        let rate = (said.waiting() - latched) as f64 / SECONDS as f64;
        assert!((rate - expected).abs() <= 0.1 * expected, "{}: {rate} Hz, expected {expected}", topic.name);
    }
}

#[test]
fn the_same_seed_gives_byte_identical_verdicts() {
    let run = || {
        let mut w = world();
        let proposal = w.to_proposal(None);
        w.decide(&proposal, DecisionKind::Approve);
        w.hold_until(&proposal, 2000, |_| false);
        w.run_ms(300);
        w.request(RequestKind::EStop);
        w.run_ms(300);
        serde_json::to_string(&w.verdicts).unwrap()
    };
    let (a, b) = (run(), run());
    assert!(a.len() > 100, "almost no verdicts: {a}");
    assert!(a == b, "verdicts differ between two runs of the same seed");
}
