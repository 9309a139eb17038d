//! The shell on the in-memory bus.

use crate::bench::Bench;
use proctor_autonomy::{AutonomyNode, AutonomyParams};
use proctor_bus::{ArmPublisher, Bus, Node, graph};
use proctor_types::{
    Alignment, ArmId, Diagnosis, Diagnostics, Health, Proposal, SafetyMode, SafetyState, Scene, Skill, SkillRequest,
    Withdrawal,
};

#[test]
fn a_request_on_the_bus_is_answered_with_a_proposal_and_a_mode_change_with_its_withdrawal() {
    let bus = Bus::memory();
    let mut node = AutonomyNode::new(&bus, AutonomyParams::default()).unwrap();
    let scenes = bus.publisher::<Scene>(&graph::scene()).unwrap();
    let safety = bus.publisher::<SafetyState>(&graph::safety_state()).unwrap();
    let requests = bus.publisher::<SkillRequest>(&graph::skill_request()).unwrap();
    let arms = ArmId::ALL.map(|arm| ArmPublisher::new(&bus, arm).unwrap());
    let proposals = bus.subscriber::<Proposal>(&graph::proposal()).unwrap();
    let withdrawals = bus.subscriber::<Withdrawal>(&graph::withdrawal()).unwrap();

    let mut bench = Bench::new();
    let mut poll = |bench: &Bench| {
        scenes.publish(&bench.scene).unwrap();
        safety.publish(&bench.safety).unwrap();
        for (publisher, state) in arms.iter().zip(bench.arms) {
            publisher.publish(&state.unwrap()).unwrap();
        }
        bench.requests.iter().for_each(|r| requests.publish(r).unwrap());
        node.poll(bench.now);
    };
    poll(&bench);
    assert!(proposals.take().is_none());

    bench.next();
    bench.request(Skill::Retract, ArmId::Psm2);
    poll(&bench);
    let p = proposals.take().expect("a proposal").unwrap();
    assert_eq!((p.skill, p.trajectory.arm()), (Skill::Retract, ArmId::Psm2));
    assert_eq!(p.trajectory.points()[0].position, bench.joints(ArmId::Psm2));
    assert!(proposals.take().is_none() && withdrawals.take().is_none());

    bench.next();
    bench.safety.mode = SafetyMode::Ready;
    poll(&bench);
    let w = withdrawals.take().expect("a withdrawal").unwrap();
    assert_eq!((w.proposal, w.digest), (p.id, p.digest()), "the digest survives the wire");
}

#[test]
fn why_there_is_no_suggestion_is_said_once_a_second() {
    let bus = Bus::memory();
    let mut node = AutonomyNode::new(&bus, AutonomyParams::default()).unwrap();
    let scenes = bus.publisher::<Scene>(&graph::scene()).unwrap();
    let safety = bus.publisher::<SafetyState>(&graph::safety_state()).unwrap();
    let arms = ArmId::ALL.map(|arm| ArmPublisher::new(&bus, arm).unwrap());
    let reports = bus.subscriber::<Diagnostics>(&graph::diagnostics()).unwrap();

    let mut bench = Bench::new();
    bench.scene.instruments[0].alignment = Alignment::Converging;
    bench.scene.instruments[0].residual_px = 12.0;
    let mut said = Vec::new();
    for _ in 0..61 {
        scenes.publish(&bench.scene).unwrap();
        safety.publish(&bench.safety).unwrap();
        for (publisher, state) in arms.iter().zip(bench.arms) {
            publisher.publish(&state.unwrap()).unwrap();
        }
        node.poll(bench.now);
        said.extend(std::iter::from_fn(|| reports.take()).map(|d| d.unwrap()));
        bench.next();
    }
    let stamps: Vec<f64> = said.iter().map(|d| d.stamp.seconds_since(said[0].stamp)).collect();
    assert!(stamps.iter().zip([0.0, 1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-9), "{stamps:?}");
    let last = &said[3].all[0];
    assert_eq!((last.name.as_str(), last.health), (Diagnosis::SUGGESTIONS, Health::Warn));
    assert_eq!(last.message, "PSM1 is aligning (12.0 px, known to 0.3 mm)");
    assert_eq!(last.values, [("PSM1 is aligning".to_owned(), "3.0".to_owned())]);
}
