//! Zones that change while the node runs: no jump, only away from what is too near, and nothing loosened while arms can move.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_safety::{
    Classes, Event, Keepout, LiveZones, MAX_ZONES, Rotation, SafetyParams, Spent, Touch, Zone, ZoneShape,
};
use proctor_types::{ArmId, Class, Constraint, RequestKind, SafetyMode, SurfacePoint};
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
    let classes = *c.core.classes();
    c.queue.push(Event::Zones(Box::new(LiveZones::new(version, zones, classes))));
}

/// Other policies, and the zones that there are.
fn police(c: &mut Cellar, version: u64, classes: &Classes) {
    let zones = c.core.zones().to_vec();
    c.queue.push(Event::Zones(Box::new(LiveZones::new(version, zones, *classes))));
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
        judge.rezone(c.ticks, vec![zone], &params.classes);
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
fn policies_are_tightened_at_any_moment_and_loosened_only_while_no_arm_can_move() {
    let shipped = SafetyParams::default().classes;
    let with = |change: fn(&mut Classes)| {
        let mut classes = shipped;
        change(&mut classes);
        classes
    };
    // Class by class, each in one thing; the liver is the second class of tissue, the artery the fifth.
    let (liver, artery) = (i32::from(Class::Liver.id()), i32::from(Class::CysticArtery.id()));
    let tighter = [
        with(|c| c.liver.teleop = Touch::Keep(0.0)),
        with(|c| c.liver.speed = 0.03),
        with(|c| c.liver.force = 1.0),
        with(|c| c.cystic_artery.supervised = Touch::Keep(0.003)),
        with(|c| c.cystic_artery.endoscope = Touch::Keep(0.009)),
    ];
    let looser = [
        (with(|c| c.liver.supervised = Touch::Contact), liver),
        (with(|c| c.liver.retract = Touch::Contact), liver),
        (with(|c| c.liver.speed = 0.05), liver),
        (with(|c| c.cystic_artery.force = 0.6), artery),
        (with(|c| c.cystic_artery.endoscope = Touch::Keep(0.007)), artery),
        (with(|c| (c.liver.speed, c.cystic_artery.teleop) = (0.01, Touch::Keep(0.001))), artery),
    ];
    for mode in [SafetyMode::Ready, SafetyMode::Teleop, SafetyMode::Supervised] {
        let same = std::iter::once((shipped, None));
        let tighter = tighter.into_iter().map(|classes| (classes, None));
        for (classes, loosens) in same.chain(tighter).chain(looser.map(|(classes, class)| (classes, Some(class)))) {
            let mut c = Cellar::in_mode(SafetyParams::default(), mode);
            c.verdicts.clear();
            police(&mut c, 2, &classes);
            let taken = mode == SafetyMode::Ready || loosens.is_none();
            assert_eq!(step(&mut c), (taken.then_some(2), 1), "{mode:?} {loosens:?}");
            assert_eq!(*c.core.classes(), if taken { classes } else { shipped });
            let refused = c.verdicts.iter().find(|v| v.constraint == Constraint::WrongMode);
            let index = loosens.map(|class| MAX_ZONES as i32 + class);
            assert_eq!(refused.map(|v| v.index), index.filter(|_| !taken), "{mode:?}");
        }
    }
}

#[test]
fn a_policy_that_tightens_beside_a_moving_arm_slows_it_without_a_jump_and_lets_it_only_away() {
    // A plane of liver below the tip, which a surgeon may touch; a tip that goes down to it.
    let mut c = Cellar::in_mode(SafetyParams::default(), SafetyMode::Teleop);
    let floor = tip(&c, ArmId::Psm1)[2] - 0.012;
    c.tissue = (0..900)
        .map(|i| {
            let (x, y) = (f64::from(i % 30) - 14.5, f64::from(i / 30) - 14.5);
            let [cx, cy, _] = tip(&c, ArmId::Psm1);
            let position = nalgebra::Point3::new(cx + x * 0.002, cy + y * 0.002, floor);
            SurfacePoint { position, class: Class::Liver, sigma: 0.0002 }
        })
        .collect();
    let mut judge = Judge::new(&SafetyParams::default(), c.tissue.clone());
    let tick = |c: &mut Cellar, judge: &mut Judge, by: f64| {
        let mut q = *c.at.get(ArmId::Psm1);
        q[2] += by;
        c.teleop(ArmId::Psm1, &q);
        let before = c.at;
        for s in c.tick() {
            let moved = before.get(s.arm) != c.at.get(s.arm);
            judge.judge(c.ticks, &s, before.get(s.arm), false, moved);
        }
    };
    c.run(40);
    while tip(&c, ArmId::Psm1)[2] > floor + 0.003 {
        tick(&mut c, &mut judge, 0.012);
    }
    let fast = c.speed(ArmId::Psm1);
    assert!(fast > 0.03, "{fast} m/s, at most 40 mm/s there and more above");
    let mut classes = SafetyParams::default().classes;
    (classes.liver.teleop, classes.liver.speed) = (Touch::Keep(0.004), 0.01);
    police(&mut c, 2, &classes);
    c.verdicts.clear();
    judge.rezone(c.ticks + 1, c.core.zones().to_vec(), &classes);
    let (mut deepest, mut last) = (f64::INFINITY, 0.0);
    for ms in 0..500 {
        let z = tip(&c, ArmId::Psm1)[2];
        tick(&mut c, &mut judge, 0.012);
        // Longer than a stop takes: deeper is not followed.
        if ms >= 120 {
            assert!(tip(&c, ArmId::Psm1)[2] >= z - 1e-9, "{ms} ms");
        }
        deepest = z.min(deepest);
        last = z;
    }
    assert!(last < floor + 0.004, "it is nearer than what is kept now");
    assert!(
        c.verdicts.iter().any(|v| v.constraint == Constraint::LiveSurface && v.index == i32::from(Class::Liver.id()))
    );
    (0..600).for_each(|_| tick(&mut c, &mut judge, -0.012));
    assert!(tip(&c, ArmId::Psm1)[2] > deepest + 0.003, "away is followed");
    assert_eq!(judge.found, Vec::<String>::new());
    assert_eq!(c.mode(), SafetyMode::Teleop);
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
