//! From every state a feasible stop exists: wherever teleoperation drives the arms, an e-stop at any moment breaks no constraint.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_safety::{Rotation, SafetyParams, Zone, ZoneShape};
use proctor_types::{ArmId, RequestKind, SafetyMode};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use support::{Cellar, home, hump, judge::Judge};

/// One leg: which arm goes where (as parts of a wide box around home), for how many ticks.
type Leg = (usize, [f64; 7], usize);

fn leg() -> impl Strategy<Value = Leg> {
    (0..3usize, proptest::array::uniform7(-1.0..1.0f64), 20..250usize)
}

fn params() -> SafetyParams {
    let mut p = SafetyParams::default();
    p.motion.tip_speed_teleop = 0.25;
    let zone = |name: &str, region| Zone { name: name.into(), margin: 0.001, arms: vec![], region };
    p.zones.push(zone("ball", ZoneShape::Sphere { center: [0.02, 0.0, 0.0], radius: 0.01 }));
    p.zones.push(zone("rod", ZoneShape::Capsule { a: [-0.05, 0.02, -0.01], b: [0.0, 0.02, 0.01], radius: 0.003 }));
    let (center, rotation) = ([-0.02, -0.02, 0.0], Rotation::Rpy([0.3, 0.2, 0.5]));
    p.zones.push(zone("box", ZoneShape::Box { center, size: [0.02, 0.01, 0.03], rotation }));
    p.zones.push(zone("hump", ZoneShape::Mesh(hump([0.02, -0.03, -0.01], 0.012, 0.01, 4))));
    p
}

/// Drives, cuts, stops; returns what the judge found.
fn drive(legs: &[Leg], cut: usize) -> Vec<String> {
    let params = params();
    let mut c = Cellar::in_mode(params.clone(), SafetyMode::Teleop);
    c.sent.clear();
    let mut judge = Judge::new(&params, c.tissue.clone());
    let mut goals = ArmId::ALL.map(home);
    let mut tick = |c: &mut Cellar| {
        let before = c.at;
        for s in c.tick() {
            let moves = *before.get(s.arm) != *c.at.get(s.arm);
            judge.judge(c.ticks, &s, before.get(s.arm), false, moves && c.ticks.is_multiple_of(3));
        }
    };
    let mut left = cut;
    'all: for (arm, target, ticks) in legs {
        let scale = [0.5, 0.4, 0.07, 2.0, 1.2, 1.2, 0.6];
        let base = home(ArmId::ALL[*arm]);
        (0..7).for_each(|j| goals[*arm][j] = base[j] + scale[j] * target[j]);
        for _ in 0..*ticks {
            if left == 0 {
                break 'all;
            }
            left -= 1;
            for a in ArmId::ALL {
                let (at, goal) = (*c.at.get(a), goals[a.index()]);
                let mut q = at;
                (0..a.dof()).for_each(|j| q[j] += (goal[j] - at[j]).clamp(-0.014, 0.014));
                c.teleop(a, &q);
            }
            tick(&mut c);
        }
    }
    c.ask(RequestKind::EStop);
    for _ in 0..400 {
        tick(&mut c);
    }
    let mut found = std::mem::take(&mut judge.found);
    if ArmId::ALL.into_iter().any(|a| c.speed(a) != 0.0) {
        found.push("still moving 400 ms after the e-stop".into());
    }
    found
}

#[test]
fn an_e_stop_at_any_moment_breaks_no_constraint() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|s| s.parse().ok()).unwrap_or(48);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&(proptest::collection::vec(leg(), 1..6), 1..900usize), |(legs, cut)| {
        let found = drive(&legs, cut);
        prop_assert!(found.is_empty(), "{:?}", found);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, (legs, cut))) => panic!("{why}\nlegs {legs:?}\ncut {cut}"),
        Err(other) => panic!("{other}"),
    }
}
