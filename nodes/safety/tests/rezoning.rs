//! Zones that change while the node runs: no jump, only away from what is too near, and nothing loosened while arms can move.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_safety::{Event, Keepout, LiveZones, Rotation, SafetyParams, Spent, Zone, ZoneShape};
use proctor_types::{ArmId, Constraint, RequestKind, SafetyMode};
use support::{Cellar, HOME_PSM, MS, hump, judge::Judge};

fn zone(name: &str, region: ZoneShape) -> Zone {
    Zone { name: name.into(), margin: 0.001, arms: vec![], region }
}

/// A zone of every shape, all of them far away.
fn far() -> Vec<Zone> {
    let rotation = Rotation::Rpy([0.0; 3]);
    vec![
        zone("ball", ZoneShape::Sphere { center: [0.5, 0.5, 0.5], radius: 0.01 }),
        zone("bench", ZoneShape::Box { center: [0.5, 0.5, 0.5], size: [0.1; 3], rotation }),
        zone("hump", ZoneShape::Mesh(hump([0.5, 0.5, 0.5], 0.05, 0.02, 20))),
    ]
}

fn rezone(c: &mut Cellar, version: u64, zones: Vec<Zone>) {
    c.queue.push(Event::Zones(Box::new(LiveZones::new(version, zones))));
}

/// Where an arm's jaws end.
fn tip(c: &Cellar, arm: ArmId) -> [f64; 3] {
    let body = c.core.filter().body(arm);
    body.shape(c.at.get(arm)).unwrap().jaw_end.coords.into()
}

/// The version that the core says it took in this tick, and how many sets it handed back.
fn step(c: &mut Cellar) -> (Option<u64>, usize) {
    c.now = c.now.plus(MS);
    let mut events = proctor_safety::Events::new();
    c.sense(&mut events);
    events.extend(c.queue.drain(..));
    c.ticks += 1;
    let out = c.core.step(c.now, &mut events);
    c.verdicts.extend(out.verdicts.iter().copied());
    (out.zones, out.spent.drain(..).filter(|s| matches!(s, Spent::Zones(_))).count())
}

#[test]
fn zones_are_added_at_any_moment_and_loosened_only_while_no_arm_can_move() {
    use SafetyMode::{Disabled, Ready, Supervised, Teleop};
    for mode in [Disabled, Ready, Teleop, Supervised] {
        let params = SafetyParams { zones: far(), ..SafetyParams::default() };
        let mut c = match mode {
            Disabled => {
                let mut c = Cellar::new(params);
                c.run(50);
                c
            }
            _ => Cellar::in_mode(params, mode),
        };
        assert_eq!(c.mode(), mode);
        let mut more = far();
        more[1].margin = 0.002;
        more.push(zone("rod", ZoneShape::Capsule { a: [0.5; 3], b: [0.6; 3], radius: 0.01 }));
        rezone(&mut c, 2, more.clone());
        assert_eq!(step(&mut c), (Some(2), 1), "{mode:?}: added, and the old set came back");
        // Back to the smaller margin, and then without a zone: each loosens.
        let mut fewer = more.clone();
        fewer.remove(0);
        let mut nearer = more;
        nearer[1].margin = 0.001;
        let closed = matches!(mode, Disabled | Ready);
        for (version, zones, loosened) in [(3, nearer, 1), (4, fewer, 0)] {
            c.verdicts.clear();
            rezone(&mut c, version, zones);
            assert_eq!(step(&mut c), (closed.then_some(version), 1), "{mode:?}");
            let refused = c.verdicts.iter().find(|v| v.constraint == Constraint::WrongMode);
            assert_eq!(refused.map(|v| v.index), (!closed).then_some(loosened), "{mode:?}");
        }
    }
}

#[test]
fn a_zone_that_appears_around_a_moving_arm_brakes_it_and_lets_it_only_away() {
    // The jaws' end is a little inside; away is back.
    let around = [
        |[x, y, z]: [f64; 3]| ZoneShape::Sphere { center: [x, y, z - 0.014], radius: 0.015 },
        |[x, y, z]: [f64; 3]| ZoneShape::Box {
            center: [x, y, z - 0.014],
            size: [0.06, 0.06, 0.03],
            rotation: Rotation::Rpy([0.0, 0.0, 0.4]),
        },
        // A hump that the shaft passes through.
        |[x, y, z]: [f64; 3]| ZoneShape::Mesh(hump([x, y, z + 0.004], 0.03, 0.004, 10)),
    ];
    for (k, region) in around.into_iter().enumerate() {
        let params = SafetyParams { zones: vec![], ..SafetyParams::default() };
        let mut c = Cellar::in_mode(params.clone(), SafetyMode::Teleop);
        c.tissue.clear();
        let mut judge = Judge::new(&params, vec![]);
        let tick = |c: &mut Cellar, judge: &mut Judge, q: [f64; 7]| {
            c.teleop(ArmId::Psm1, &q);
            let before = c.at;
            for s in c.tick() {
                let moved = before.get(s.arm) != c.at.get(s.arm);
                judge.judge(c.ticks, &s, before.get(s.arm), false, moved);
            }
        };
        let insert = |by: f64| move |q: [f64; 7]| [q[0], q[1], q[2] + by, q[3], q[4], q[5], q[6]];
        for _ in 0..150 {
            let q = insert(0.012)(*c.at.get(ArmId::Psm1));
            tick(&mut c, &mut judge, q);
        }
        assert!(c.speed(ArmId::Psm1) > 0.02, "it moves inwards");
        // Here it appears.
        let zone = zone("new", region(tip(&c, ArmId::Psm1)));
        rezone(&mut c, 2, vec![zone.clone()]);
        let keepout = Keepout::new(&zone);
        let depth = |c: &Cellar| {
            let shape = c.core.filter().body(ArmId::Psm1).shape(c.at.get(ArmId::Psm1)).unwrap();
            -keepout.distance(ArmId::Psm1, &shape.capsules, 1.0)
        };
        judge.rezone(c.ticks, vec![zone]);
        c.verdicts.clear();
        let mut last = f64::INFINITY;
        for ms in 0..400 {
            let q = insert(0.012)(*c.at.get(ArmId::Psm1));
            tick(&mut c, &mut judge, q);
            // Longer than a stop takes.
            if ms >= 120 {
                assert!(depth(&c) <= last, "shape {k}, {ms} ms: deeper is not followed");
                last = depth(&c);
            }
        }
        let said = c.verdicts.iter().find(|v| v.constraint == Constraint::NoGoZone);
        assert!(said.is_some_and(|v| v.value < 0.0), "shape {k}: {said:?}");
        let inside = depth(&c);
        for _ in 0..400 {
            let q = insert(-0.012)(*c.at.get(ArmId::Psm1));
            tick(&mut c, &mut judge, q);
        }
        assert!(depth(&c) < inside - 0.001, "shape {k}: outwards is followed, from {inside} to {}", depth(&c));
        assert_eq!(judge.found, Vec::<String>::new(), "shape {k}");
        assert_eq!(c.mode(), SafetyMode::Teleop);
    }
}

#[test]
fn what_the_node_was_started_with_can_be_asked_for_again_by_its_operator_only() {
    let mut c = Cellar::in_mode(SafetyParams::default(), SafetyMode::Teleop);
    let asks = |c: &mut Cellar, operator| {
        let r = c.request(operator, RequestKind::ReadZones);
        let mut events = proctor_safety::Events::new();
        c.now = c.now.plus(MS);
        c.ticks += 1;
        c.sense(&mut events);
        events.push(support::Heard::verified(r));
        let out = c.core.step(c.now, &mut events);
        out.read_zones
    };
    assert!(asks(&mut c, support::SURGEON));
    assert!(!asks(&mut c, proctor_types::OperatorId(9)), "another operator holds authority");
    assert_eq!(c.mode(), SafetyMode::Teleop);
    assert_eq!(c.at.psm1, HOME_PSM);
}
