//! The shell on the in-memory bus.

use crate::bench::Bench;
use proctor_autonomy::{AutonomyNode, AutonomyParams};
use proctor_bus::{ArmPublisher, Bus, Node, Publisher, graph};
use proctor_types::{
    Alignment, ArmId, Diagnosis, Diagnostics, Health, Proposal, SafetyMode, SafetyState, Scene, Skill, SkillRequest,
    Withdrawal,
};

/// The node, and who tells it of scene, safety and arms.
struct Shell {
    node: AutonomyNode,
    scenes: Publisher<Scene>,
    safety: Publisher<SafetyState>,
    arms: [ArmPublisher; 3],
}

impl Shell {
    fn new(bus: &Bus) -> Self {
        Self {
            node: AutonomyNode::new(bus, AutonomyParams::default()).unwrap(),
            scenes: bus.publisher(&graph::scene()).unwrap(),
            safety: bus.publisher(&graph::safety_state()).unwrap(),
            arms: ArmId::ALL.map(|arm| ArmPublisher::new(bus, arm).unwrap()),
        }
    }

    fn poll(&mut self, bench: &Bench) {
        self.scenes.publish(&bench.scene).unwrap();
        self.safety.publish(&bench.safety).unwrap();
        for (publisher, state) in self.arms.iter().zip(bench.arms) {
            publisher.publish(&state.unwrap()).unwrap();
        }
        self.node.poll(bench.now);
    }
}

#[test]
fn a_request_on_the_bus_is_answered_with_a_proposal_and_a_mode_change_with_its_withdrawal() {
    let bus = Bus::memory();
    let mut shell = Shell::new(&bus);
    let requests = bus.publisher::<SkillRequest>(&graph::skill_request()).unwrap();
    let proposals = bus.subscriber::<Proposal>(&graph::proposal()).unwrap();
    let withdrawals = bus.subscriber::<Withdrawal>(&graph::withdrawal()).unwrap();

    let mut bench = Bench::new();
    let mut poll = |bench: &Bench| {
        bench.requests.iter().for_each(|r| requests.publish(r).unwrap());
        shell.poll(bench);
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
    let mut shell = Shell::new(&bus);
    let reports = bus.subscriber::<Diagnostics>(&graph::diagnostics()).unwrap();

    let mut bench = Bench::new();
    bench.scene.instruments[0].alignment = Alignment::Converging;
    bench.scene.instruments[0].residual_px = 12.0;
    let mut said = Vec::new();
    for _ in 0..61 {
        shell.poll(&bench);
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
