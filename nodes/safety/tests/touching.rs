//! Near tissue: slower, and no harder than it bears; and in the picture.
#![allow(clippy::unwrap_used)]

mod support;

use nalgebra::{Isometry3, Point3, Vector3};
use proctor_kinematics::Cell;
use proctor_safety::SafetyParams;
use proctor_types::{ArmId, Class, Constraint, Outcome, SafetyMode};
use support::{Cellar, HOME_ECM, HOME_PSM, chain, judge::Judge};

/// Where tool tip and jaw end are at `q`, world frame.
fn ends(c: &Cellar, arm: ArmId, q: &[f64; 7]) -> [Point3<f64>; 2] {
    let links = chain(&c.params, arm).links(&q[..arm.dof()]).unwrap();
    let base = *Cell::standard().unwrap().world_from_base(arm).iso();
    [base * Point3::from(links.tip.translation.vector), base * links.jaw_end]
}

/// A teleoperated tick that asks PSM1 to go on by `step` in insertion; judged. Returns the speed of the faster end, m/s.
fn go(c: &mut Cellar, judge: &mut Judge, step: f64) -> f64 {
    let (before, mut q) = (*c.at.get(ArmId::Psm1), *c.at.get(ArmId::Psm1));
    q[2] += step;
    c.teleop(ArmId::Psm1, &q);
    judge.force = c.force;
    for s in c.tick() {
        let from = if s.arm == ArmId::Psm1 { before } else { *c.at.get(s.arm) };
        judge.judge(c.ticks, &s, &from, false, s.arm == ArmId::Psm1);
    }
    let (a, b) = (ends(c, ArmId::Psm1, &before), ends(c, ArmId::Psm1, c.at.get(ArmId::Psm1)));
    (0..2).map(|i| (b[i] - a[i]).norm() / 1e-3).fold(0.0, f64::max)
}

fn teleop() -> (Cellar, Judge) {
    let params = SafetyParams::default();
    let c = Cellar::in_mode(params.clone(), SafetyMode::Teleop);
    let judge = Judge::new(&params, c.tissue.clone());
    (c, judge)
}

#[test]
fn the_nearer_tissue_is_the_slower_the_tip_though_it_may_touch_it() {
    let (mut c, mut judge) = teleop();
    // Back first, to arrive fast.
    for _ in 0..400 {
        go(&mut c, &mut judge, -0.012);
    }
    let speeds: Vec<f64> = (0..1500).map(|_| go(&mut c, &mut judge, 0.012)).collect();
    let fastest = speeds.iter().copied().fold(0.0, f64::max);
    assert!(fastest > 0.09, "far away the general limit holds: {fastest}");
    let said = *c.verdicts.iter().rev().find(|v| v.constraint == Constraint::TissueSpeed).expect("it is said why");
    assert_eq!((said.outcome, said.index), (Outcome::Limited, i32::from(Class::Liver.id())));
    // In the liver: as fast as that allows, neither more nor much less.
    let last = speeds[speeds.iter().rposition(|&v| v > 0.03).unwrap()];
    let depth = ends(&c, ArmId::Psm1, c.at.get(ArmId::Psm1))[1].z;
    assert!(depth < -0.020, "it touches: {depth}");
    assert!(last <= 0.04, "{last}");
    assert_eq!(judge.found, Vec::<String>::new());
}

#[test]
fn an_arm_presses_no_harder_than_what_it_touches_bears_and_may_always_let_go() {
    let (mut c, mut judge) = teleop();
    let base = Cell::standard().unwrap().world_from_base(ArmId::Psm1).iso().rotation;
    // The liver as a spring, as stiff as the filter reckons with.
    let stiffness = c.params.force.stiffness;
    let press = |c: &mut Cellar| {
        let deep = (-0.020 - ends(c, ArmId::Psm1, c.at.get(ArmId::Psm1))[1].z).max(0.0);
        c.force.psm1 = Some(base.inverse() * Vector3::z() * (stiffness * deep));
        stiffness * deep
    };
    let mut hardest: f64 = 0.0;
    for _ in 0..2500 {
        hardest = hardest.max(press(&mut c));
        go(&mut c, &mut judge, 0.012);
    }
    // What is sent follows what is decided, and the spring that, a few ticks late.
    assert!((1.95..2.05).contains(&hardest), "{hardest}");
    let said = *c.verdicts.iter().rev().find(|v| v.constraint == Constraint::Force).expect("it is said why");
    assert_eq!((said.limit, said.index), (2.0, i32::from(Class::Liver.id())));
    let deepest = c.at.psm1[2];
    for _ in 0..300 {
        press(&mut c);
        go(&mut c, &mut judge, -0.012);
    }
    assert!(c.at.psm1[2] < deepest - 0.004, "it may let go");
    assert_eq!((c.mode(), judge.found), (SafetyMode::Teleop, Vec::<String>::new()));
}

#[test]
fn an_arm_that_is_pushed_too_hard_already_goes_no_deeper() {
    let (mut c, mut judge) = teleop();
    let base = Cell::standard().unwrap().world_from_base(ArmId::Psm1).iso().rotation;
    let deeper = |c: &Cellar| {
        let mut ahead = c.at.psm1;
        ahead[2] += 0.001;
        (ends(c, ArmId::Psm1, &ahead)[0] - ends(c, ArmId::Psm1, &c.at.psm1)[0]).normalize()
    };
    // Nothing is touched: 5 N is the most. It rises slowly enough to be no blow.
    for i in 0..200 {
        c.force.psm1 = Some(base.inverse() * -deeper(&c) * (0.03 * f64::from(i)));
        go(&mut c, &mut judge, 0.0);
    }
    let start = c.at.psm1;
    for _ in 0..100 {
        go(&mut c, &mut judge, 0.012);
    }
    assert_eq!(c.at.psm1, start);
    let said = c.said(Constraint::Force).unwrap();
    assert_eq!((said.outcome, said.limit, said.index), (Outcome::Held, 5.0, -1));
    assert!((said.value - 0.03 * 199.0).abs() < 1e-9);
    for _ in 0..100 {
        go(&mut c, &mut judge, -0.012);
    }
    assert!(c.at.psm1[2] < start[2] - 0.001);
}

/// Runs an approved motion of `arm` that leads from home by `change`, to its end or to a stop; returns the cell.
fn supervised(arm: ArmId, change: [f64; 7]) -> (Cellar, Judge) {
    let params = SafetyParams::default();
    let mut c = Cellar::in_mode(params.clone(), SafetyMode::Supervised);
    c.tissue.clear();
    c.run(40);
    let home = if arm.has_jaw() { HOME_PSM } else { HOME_ECM };
    let points: Vec<_> = (0..=100)
        .map(|i| {
            let s = f64::from(i) / 100.0;
            let s = s * s * s * (10.0 - 15.0 * s + 6.0 * s * s);
            let mut q = home;
            (0..7).for_each(|j| q[j] += s * change[j]);
            (f64::from(i) * 0.05, q)
        })
        .collect();
    let p = c.proposal(arm, &points);
    c.offer(&p);
    c.run(2);
    c.approve(&p);
    c.hold = Some(p.digest());
    let mut judge = Judge::new(&params, vec![]);
    for _ in 0..8000 {
        let before = c.at;
        for s in c.tick() {
            judge.judge(c.ticks, &s, before.get(s.arm), true, s.arm == arm);
        }
    }
    (c, judge)
}

/// Angles between the left camera's axis and PSM1's tip, across and up, rad.
fn seen(c: &Cellar) -> [f64; 2] {
    let cell = Cell::standard().unwrap();
    let camera: Isometry3<f64> = *cell.world_from_camera(&c.at.ecm[..4]).unwrap().iso();
    let tip = camera.inverse_transform_point(&ends(c, ArmId::Psm1, &c.at.psm1)[0]);
    [tip.x.abs().atan2(tip.z), tip.y.abs().atan2(tip.z)]
}

#[test]
fn an_instrument_that_moves_by_itself_stays_in_the_picture() {
    for (change, inside) in [([0.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], false), ([0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], true)]
    {
        let (c, judge) = supervised(ArmId::Psm1, change);
        let [across, up] = seen(&c);
        assert!(across < 0.5 && up < 0.39, "{across} {up}");
        assert_eq!(c.executed(), u64::from(inside));
        let said = c.said(Constraint::OutOfView);
        assert_eq!(said.map(|v| v.index), (!inside).then_some(0));
        assert_eq!(
            (c.mode(), c.said(Constraint::Gate)),
            (SafetyMode::Supervised, None),
            "the filter holds it, not the gate"
        );
        if !inside {
            assert!(across > 0.4 || up > 0.3, "it went as far as it may: {across} {up}");
        }
        assert_eq!(judge.found, Vec::<String>::new());
    }
}

#[test]
fn an_endoscope_that_moves_by_itself_keeps_the_instruments_that_it_sees() {
    let (c, judge) = supervised(ArmId::Ecm, [0.0, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(c.executed(), 0);
    let said = c.said(Constraint::OutOfView).expect("it is said why");
    assert!(said.index < 2 && said.arm == Some(ArmId::Ecm), "{said:?}");
    assert_eq!(
        (c.mode(), c.said(Constraint::Gate)),
        (SafetyMode::Supervised, None),
        "the filter holds it, not the gate"
    );
    let [across, up] = seen(&c);
    assert!(across < 0.5 && up < 0.39, "{across} {up}");
    assert_eq!(judge.found, Vec::<String>::new());
}
