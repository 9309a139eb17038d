//! What bars a teleoperated arm's way is passed along, not stopped at - and never entered.
#![allow(clippy::unwrap_used)]

mod support;

use nalgebra::{Matrix3, Point3, Vector3};
use proctor_kinematics::Cell;
use proctor_safety::{SafetyParams, Zone, ZoneShape};
use proctor_types::{ArmId, Class, Constraint, Outcome, SafetyMode, SurfacePoint};
use support::{Cellar, home, judge::Judge};

/// Where the tool tip is, world frame.
fn tip(params: &SafetyParams, arm: ArmId, q: &[f64; 7]) -> Point3<f64> {
    let base = Cell::standard().unwrap().world_from_base(arm);
    let pose = support::chain(params, arm).fk(&q[..arm.dof()]).unwrap();
    base.iso() * Point3::from(pose.translation())
}

/// Yaw, pitch and insertion that take the tip to a point, the rest as at home (Newton's method).
fn reach(params: &SafetyParams, arm: ArmId, target: &Point3<f64>) -> [f64; 7] {
    let mut q = home(arm);
    for _ in 0..20 {
        let here = tip(params, arm, &q);
        let column = |j: usize| {
            let mut moved = q;
            moved[j] += 1e-6;
            (tip(params, arm, &moved) - here) / 1e-6
        };
        let step = Matrix3::from_columns(&[column(0), column(1), column(2)]).lu().solve(&(target - here)).unwrap();
        (0..3).for_each(|j| q[j] += step[j]);
    }
    assert!((tip(params, arm, &q) - target).norm() < 1e-9);
    q
}

fn with(regions: &[ZoneShape]) -> SafetyParams {
    let mut p = SafetyParams::default();
    let zone = |region: &ZoneShape| Zone { name: "z".into(), margin: 0.001, arms: vec![], region: region.clone() };
    p.zones.extend(regions.iter().map(zone));
    p
}

struct Drive {
    cell: Cellar,
    judge: Judge,
}

impl Drive {
    fn new(params: SafetyParams, tissue: Option<Vec<SurfacePoint>>) -> Self {
        let mut cell = Cellar::new(params.clone());
        cell.tissue = tissue.unwrap_or_default();
        cell.run(50);
        cell.ask(proctor_types::RequestKind::Enable);
        cell.run(5);
        cell.ask(proctor_types::RequestKind::Teleop);
        cell.run(5);
        assert_eq!(cell.mode(), SafetyMode::Teleop);
        cell.verdicts.clear();
        let judge = Judge::new(&params, cell.tissue.clone());
        Self { cell, judge }
    }

    /// Commands for so many ticks; everything that was sent is judged.
    fn run(&mut self, ticks: usize, goals: &[(ArmId, [f64; 7])]) {
        for _ in 0..ticks {
            for (arm, goal) in goals {
                let at = *self.cell.at.get(*arm);
                // As far ahead on the straight way as a command may be.
                let farthest = (0..arm.dof()).map(|j| (goal[j] - at[j]).abs()).fold(0.0, f64::max);
                let part = (0.014 / farthest).min(1.0);
                let mut q = at;
                (0..arm.dof()).for_each(|j| q[j] += part * (goal[j] - at[j]));
                self.cell.teleop(*arm, &q);
            }
            let before = self.cell.at;
            for s in self.cell.tick() {
                self.judge.judge(self.cell.ticks, &s, before.get(s.arm), false, true);
            }
        }
        assert_eq!(self.judge.found, Vec::<String>::new());
    }

    fn tip(&self, arm: ArmId) -> Point3<f64> {
        tip(&self.cell.params, arm, self.cell.at.get(arm))
    }

    /// Whether this constraint limited the arm, with its value at or above its limit.
    fn limited_by(&self, constraint: Constraint) -> bool {
        let named = self.cell.verdicts.iter().filter(|v| v.constraint == constraint && v.outcome == Outcome::Limited);
        named.clone().count() > 0 && named.into_iter().all(|v| v.value >= v.limit - 1e-6)
    }
}

const ARM: ArmId = ArmId::Psm1;

/// A floor this far below the tip's place at home, m.
fn floor(params: &SafetyParams, below: f64) -> ZoneShape {
    let z = tip(params, ARM, &home(ARM)).z - below;
    ZoneShape::HalfSpace { point: [0.0, 0.0, z], normal: [0.0, 0.0, 1.0] }
}

#[test]
fn a_goal_below_a_floor_is_followed_along_the_floor() {
    let free = SafetyParams::default();
    for (x, y) in [(0.0, 0.025), (0.0, -0.025), (0.02, 0.01), (-0.02, 0.015)] {
        let level = Vector3::new(x, y, 0.0);
        let start = tip(&free, ARM, &home(ARM));
        let at_floor = reach(&free, ARM, &(start - Vector3::z() * 0.014));
        let goal = reach(&free, ARM, &(start + level - Vector3::z() * 0.022));
        let done = |params: SafetyParams| {
            let mut d = Drive::new(params, None);
            // Down to the floor first, then along and further down.
            d.run(1200, &[(ARM, at_floor)]);
            let from = d.tip(ARM);
            d.run(400, &[(ARM, goal)]);
            let soon = (d.tip(ARM) - from).dot(&level.normalize());
            d.run(1600, &[(ARM, goal)]);
            (soon, (d.tip(ARM) - from).dot(&level.normalize()), d)
        };
        let (soon_free, _, _) = done(free.clone());
        let (soon, late, d) = done(with(&[floor(&free, 0.030)]));
        assert!(soon > 0.7 * soon_free, "{level:?}: {soon} m in 0.4 s, without a floor {soon_free}");
        assert!(late > 0.85 * level.norm(), "{level:?}: {late} m in the end");
        assert!(d.limited_by(Constraint::NoGoZone));
    }
}

#[test]
fn a_goal_straight_below_a_floor_is_approached_and_nothing_slips_aside() {
    let free = SafetyParams::default();
    let start = tip(&free, ARM, &home(ARM));
    let goal = reach(&free, ARM, &(start - Vector3::z() * 0.020));
    let mut open = Drive::new(free.clone(), None);
    open.run(2000, &[(ARM, goal)]);
    let mut d = Drive::new(with(&[floor(&free, 0.024)]), None);
    d.run(2000, &[(ARM, goal)]);
    let end = d.tip(ARM);
    // The way in joint space bends a little by itself: where the free arm was at the same height.
    let aside = (end - start).xy().norm();
    assert!(start.z - end.z > 0.002, "it moved: {}", start.z - end.z);
    assert!(open.tip(ARM).z < end.z - 0.003, "it was stopped");
    assert!(aside < 5e-4, "slipped {aside} m aside");
    assert_eq!(d.cell.speed(ARM), 0.0);
}

#[test]
fn a_ball_in_the_way_is_passed() {
    let free = SafetyParams::default();
    let start = tip(&free, ARM, &home(ARM));
    for (side, off) in [(1.0, 0.008), (-1.0, 0.008), (1.0, 0.006)] {
        let goal_at = start + Vector3::new(0.0, side * 0.036, 0.0);
        let goal = reach(&free, ARM, &goal_at);
        // A ball below the jaws' way (their end is so far from the tip), two to four millimetres into it: it is passed over.
        let center = start + Vector3::new(-0.0056, side * 0.018, -0.0077 - off);
        let ball = ZoneShape::Sphere { center: center.coords.into(), radius: 0.006 };
        let mut d = Drive::new(with(&[ball]), None);
        d.run(3000, &[(ARM, goal)]);
        let left = (d.tip(ARM) - goal_at).norm();
        assert!(left < 1e-3, "side {side}, {off}: {left} m from the goal");
        assert!(d.limited_by(Constraint::NoGoZone), "side {side}, {off}: the ball was in the way");
    }
}

#[test]
fn an_artery_is_passed_along() {
    let free = SafetyParams::default();
    let start = tip(&free, ARM, &home(ARM));
    // A wall of artery points, half a millimetre apart, 8 mm beside the tip.
    let mut points = Vec::new();
    for i in -60..=60 {
        for k in -12..=12 {
            let position = start + Vector3::new(0.0006 * f64::from(i), 0.012, 0.0006 * f64::from(k) - 0.010);
            points.push(SurfacePoint { position, class: Class::CysticArtery, sigma: 0.0003 });
        }
    }
    let goal = reach(&free, ARM, &(start + Vector3::new(0.02, 0.012, 0.0)));
    let mut open = Drive::new(free, None);
    open.run(2000, &[(ARM, goal)]);
    let mut d = Drive::new(SafetyParams::default(), Some(points));
    d.run(2000, &[(ARM, goal)]);
    let along = d.tip(ARM).x - start.x;
    assert!(
        along > 0.7 * (open.tip(ARM).x - start.x),
        "{along} m along, without the artery {}",
        open.tip(ARM).x - start.x
    );
    assert!(d.tip(ARM).y - start.y < 0.010, "and not through it");
    assert!(d.limited_by(Constraint::LiveSurface));
}

#[test]
fn one_shaft_slides_along_another_that_rests_where_it_is() {
    let free = SafetyParams::default();
    let [one, two] = ArmId::PSMS;
    let other = tip(&free, two, &home(two));
    let pivot = Cell::standard().unwrap().world_from_base(two).iso().translation.vector;
    let up = (pivot - other.coords).normalize();
    let beside = (Vector3::x() - up * up.x).normalize();
    // Down along the other's shaft, and into it.
    let [from, to] = [(0.035, 0.020), (0.010, 0.006)].map(|(along, off)| other + up * along + beside * off);
    let (from, goal, still) = (reach(&free, one, &from), reach(&free, one, &to), home(two));
    let done = |with_other: bool| {
        let mut d = Drive::new(free.clone(), None);
        if !with_other {
            let mut aside = still;
            aside[0] -= 0.5;
            d.run(1000, &[(one, from), (two, aside)]);
        }
        d.run(1000, &[(one, from), (two, if with_other { still } else { *d.cell.at.get(two) })]);
        let start = d.tip(one);
        let rests = *d.cell.at.get(two);
        d.run(800, &[(one, goal), (two, rests)]);
        assert_eq!(*d.cell.at.get(two), rests, "an arm that is asked to rest is not pushed");
        ((start - d.tip(one)).dot(&up), d)
    };
    let (along_free, _) = done(false);
    let (along, d) = done(true);
    assert!(along > 0.6 * along_free, "{along} m along, alone {along_free}");
    assert!(d.limited_by(Constraint::ToolToolDistance));
}
