//! An arm of seven joints in an instrument's place, without a mechanical remote centre: its shaft passes the trocar within half a
//! millimetre in every tick, whatever is asked of it - and it follows what can be followed. The judge has kinematics of its own.
#![allow(clippy::unwrap_used)]

mod support;

use nalgebra::Vector3;
use proctor_safety::Narrowed;
use proctor_types::{ArmId, Constraint, Outcome, RequestKind, SafetyMode};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::{
    Cellar,
    attack::{attack_in, crowded},
    judge::Judge,
    lean7::{self, PROMISED},
};

const ARM: ArmId = ArmId::Psm2;
/// Tip at home, from the trocar.
const HOME: Vector3<f64> = Vector3::new(0.0, 0.0, -0.15);

/// The cell with nothing in the way but the arms themselves.
fn free(mode: SafetyMode) -> Cellar {
    let mut params = lean7::cell();
    params.zones.clear();
    let mut c = Cellar::new(params);
    c.tissue.clear();
    c.run(50);
    c.ask(RequestKind::Enable);
    c.run(5);
    c.ask(if mode == SafetyMode::Teleop { RequestKind::Teleop } else { RequestKind::Supervise });
    c.run(5);
    assert_eq!(c.mode(), mode, "{:?}", c.verdicts.last());
    c
}

/// What the judge sees of the arm tick by tick.
#[derive(Default)]
struct Seen {
    /// Largest offset, m, at ticks and half-way between them.
    offset: f64,
    before: Option<[f64; 7]>,
    /// Way of the tip, m.
    way: f64,
}

impl Seen {
    fn see(&mut self, q: &[f64; 7]) {
        let before = self.before.replace(*q).unwrap_or(*q);
        let half: [f64; 7] = std::array::from_fn(|j| f64::midpoint(before[j], q[j]));
        self.offset = self.offset.max(lean7::offset(q)).max(lean7::offset(&half));
        self.way += (lean7::tip(q).0 - lean7::tip(&before).0).norm();
    }
}

/// One tick towards `goal`, judged.
fn towards(c: &mut Cellar, judge: &mut Judge, seen: &mut Seen, goal: &[f64; 7]) {
    let from = *c.at.get(ARM);
    c.teleop(ARM, goal);
    for s in c.tick().iter().filter(|s| s.arm == ARM) {
        judge.judge(c.ticks, s, &from, false, false);
    }
    seen.see(c.at.get(ARM));
}

/// `goal`, or as far on the way there as a command may be from the arm.
fn within_a_jump(at: &[f64; 7], goal: &[f64; 7]) -> [f64; 7] {
    let farthest = (0..7).map(|j| (goal[j] - at[j]).abs()).fold(0.0, f64::max);
    let part = if farthest > 0.14 { 0.14 / farthest } else { 1.0 };
    std::array::from_fn(|j| at[j] + part * (goal[j] - at[j]))
}

#[test]
fn the_tip_follows_a_circle_within_half_a_millimetre_and_the_shaft_stays_in_the_trocar() {
    let mut c = free(SafetyMode::Teleop);
    let mut judge = Judge::new(&c.params, Vec::new());
    let (mut seen, mut worst, mut q) = (Seen::default(), 0.0f64, *c.at.get(ARM));
    // 30 mm across, 20 mm/s, tilted; the first tenth of it is for getting going.
    let ticks = 9425;
    for tick in 0..ticks {
        let angle = 0.020 / 0.015 * f64::from(tick) * 1e-3;
        let lead = (f64::from(tick) / 300.0).min(1.0);
        let goal = HOME + Vector3::new(angle.cos() - 1.0, angle.sin(), 0.3 * angle.sin()) * 0.015 * lead;
        q = lean7::solve(&goal, &q);
        towards(&mut c, &mut judge, &mut seen, &q);
        if tick > ticks / 10 {
            worst = worst.max((lean7::tip(c.at.get(ARM)).0 - goal).norm());
        }
    }
    println!("circle: tip within {:.3} mm, shaft within {:.4} mm", worst * 1e3, seen.offset * 1e3);
    assert_eq!(judge.found, Vec::<String>::new());
    assert!(worst < 5e-4, "the tip lags by {worst} m");
    assert!(seen.offset < 1e-4, "an easy motion needs a fifth of what is allowed: {} m", seen.offset);
    assert!(seen.way > 0.15, "the tip went {} m", seen.way);
    assert!(c.said(Constraint::Gate).is_none());
}

#[test]
fn a_far_goal_is_reached_as_fast_as_the_stop_allows() {
    let mut c = free(SafetyMode::Teleop);
    let mut judge = Judge::new(&c.params, Vec::new());
    let (mut seen, mut fastest) = (Seen::default(), 0.0f64);
    let mut q = *c.at.get(ARM);
    for corner in [[0.04, 0.03, -0.13], [-0.03, 0.04, -0.17], [-0.03, -0.04, -0.12], [0.04, -0.03, -0.16]] {
        q = lean7::solve(&Vector3::from(corner), &q);
        let mut ticks = 0;
        while (lean7::tip(c.at.get(ARM)).0 - Vector3::from(corner)).norm() > 5e-4 {
            let (goal, way) = (within_a_jump(c.at.get(ARM), &q), seen.way);
            towards(&mut c, &mut judge, &mut seen, &goal);
            fastest = fastest.max((seen.way - way) / 1e-3);
            ticks += 1;
            assert!(ticks < 4000, "on the way to {corner:?}: {:?}", c.verdicts.last());
        }
    }
    println!("corners: at up to {:.1} mm/s, shaft within {:.4} mm", fastest * 1e3, seen.offset * 1e3);
    assert_eq!(judge.found, Vec::<String>::new());
    assert!(fastest > 0.05, "at up to {fastest} m/s");
    let said = c.said(Constraint::TrocarOffset).expect("it is slowed for the trocar's sake, and said so");
    assert!(said.arm == Some(ARM) && said.value > 0.0 && said.limit == PROMISED && said.outcome == Outcome::Limited);
    assert!(c.said(Constraint::Gate).is_none());
}

/// Goals that lead the shaft out of the trocar as fast as joints can, by this judge's own slope, to changing sides.
#[test]
fn an_adversary_who_pulls_at_the_trocar_gets_nowhere() {
    let mut most = Seen::default();
    for seed in 0..12 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut c = free(SafetyMode::Teleop);
        let mut judge = Judge::new(&c.params, Vec::new());
        let mut side = Vector3::x();
        let mut roam: [f64; 7] = [0.0; 7];
        for tick in 0..4000 {
            if rng.random_bool(0.01) {
                side = Vector3::new(rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0), 0.0);
                roam = std::array::from_fn(|_| rng.random_range(-0.14..0.14));
            }
            let at = *c.at.get(ARM);
            let beside = |q: &[f64; 7]| {
                let (end, along) = lean7::tip(q);
                (end - along * end.dot(&along)).dot(&side)
            };
            let goal: [f64; 7] = std::array::from_fn(|j| {
                let (mut a, mut b) = (at, at);
                (a[j], b[j]) = (a[j] - 1e-6, b[j] + 1e-6);
                let pull = 0.14 * ((beside(&b) - beside(&a)) / 2e-6).clamp(-1.0, 1.0);
                // Roaming along, so that it is not only at rest that nothing gives.
                at[j] + if tick % 3 == 0 { pull } else { (pull + roam[j]).clamp(-0.14, 0.14) }
            });
            if rng.random_bool(0.002) {
                c.ask(RequestKind::EStop);
            }
            if c.mode() != SafetyMode::Teleop && rng.random_bool(0.05) {
                c.ask(match c.mode() {
                    SafetyMode::Fault => RequestKind::Reset,
                    SafetyMode::Disabled => RequestKind::Enable,
                    SafetyMode::Ready => RequestKind::Teleop,
                    _ => RequestKind::Ready,
                });
            }
            towards(&mut c, &mut judge, &mut most, &goal);
        }
        most.before = None;
        assert_eq!(judge.found, Vec::<String>::new(), "seed {seed}");
        assert!(c.said(Constraint::Gate).is_none(), "seed {seed}: the filter never needs the gate");
    }
    println!("adversary: shaft within {:.4} mm over {:.2} m of the tip's way", most.offset * 1e3, most.way);
    assert!(most.offset <= PROMISED, "{}", most.offset);
    assert!(most.way > 0.5, "it must move to mean anything: {} m", most.way);
}

#[test]
fn random_and_hostile_inputs_never_bring_it_beside_its_trocar() {
    let mut params = crowded();
    params.instruments = lean7::cell().instruments;
    // Its elbow opens more slowly than it bends, and stops more gently.
    let (velocity, acceleration) = (Some([0.5, 1.4]), Some([6.0, 4.0]));
    params.limits = vec![Narrowed { arm: ARM, joint: 3, position: None, velocity, acceleration, jerk: None }];
    let mut moving = 0;
    for seed in 500..510 {
        let report = attack_in(&params, seed, 20_000, 5);
        assert_eq!(report.violations, Vec::<String>::new());
        moving += report.moving;
    }
    assert!(moving > 10_000, "{moving}");
}

#[test]
fn an_arm_beside_its_trocar_is_refused_and_told_why() {
    let mut c = free(SafetyMode::Teleop);
    c.ask(RequestKind::Ready);
    c.run(200);
    assert_eq!(c.mode(), SafetyMode::Ready);
    let q = c.at.get_mut(ARM);
    q[3] += 0.002;
    let off = lean7::offset(q);
    assert!(off > PROMISED && off < 2e-3);
    c.run(5);
    c.verdicts.clear();
    c.ask(RequestKind::Teleop);
    c.run(2);
    assert_eq!(c.mode(), SafetyMode::Ready);
    let said = *c.said(Constraint::TrocarOffset).expect("it is said why");
    assert_eq!((said.arm, said.outcome, said.limit), (Some(ARM), Outcome::Refused, PROMISED));
    assert!((said.value - off).abs() < 1e-12);
    c.at.get_mut(ARM)[3] -= 0.002;
    c.run(5);
    c.ask(RequestKind::Teleop);
    c.run(2);
    assert_eq!(c.mode(), SafetyMode::Teleop);
}

#[test]
fn an_arm_that_is_pushed_beside_its_trocar_stops_everything() {
    let mut c = free(SafetyMode::Teleop);
    // Within what counts as following: 2 mrad of the elbow.
    *c.faults.stuck.get_mut(ARM) = true;
    c.at.get_mut(ARM)[3] += 0.002;
    c.run(2);
    assert_eq!(c.mode(), SafetyMode::Hold);
    assert_eq!(c.core.machine().cause, Some(Constraint::TrocarOffset));
}

/// Points of a motion of the tip from home to `to`, this often.
fn path(to: &Vector3<f64>, points: u32, seconds: f64, from: &[f64; 7]) -> Vec<(f64, [f64; 7])> {
    let mut q = *from;
    let point = |i: u32| {
        let s = f64::from(i) / f64::from(points);
        let x = s * s * s * (10.0 - 15.0 * s + 6.0 * s * s);
        if i > 0 {
            q = lean7::solve(&(HOME + (to - HOME) * x), &q);
        }
        (s * seconds, q)
    };
    (0..=points).map(point).collect()
}

#[test]
fn an_approved_motion_through_the_trocar_runs_and_one_beside_it_is_refused() {
    let mut c = free(SafetyMode::Supervised);
    let to = Vector3::new(0.02, 0.01, -0.14);
    let start = *c.at.get(ARM);
    // Two points far apart: the straight line in joint space between them leaves the trocar.
    let coarse = c.proposal(ARM, &path(&Vector3::new(0.05, -0.04, -0.12), 1, 8.0, &start));
    c.offer(&coarse);
    c.run(2);
    let said = *c.said(Constraint::TrocarOffset).expect("refused before anybody can approve it");
    assert!(said.outcome == Outcome::Refused && said.value > PROMISED - 1e-4);
    let fine = c.proposal(ARM, &path(&to, 100, 3.0, &start));
    c.offer(&fine);
    c.run(2);
    c.approve(&fine);
    c.hold = Some(fine.digest());
    let mut seen = Seen::default();
    let mut ticks = 0;
    while c.executed() == 0 {
        // Let go of and held again on the way.
        c.hold = Some(fine.digest()).filter(|_| !(900..1400).contains(&ticks));
        c.tick();
        seen.see(c.at.get(ARM));
        ticks += 1;
        assert!(ticks < 8000, "{:?}", c.verdicts.last());
    }
    println!("approved: shaft within {:.4} mm", seen.offset * 1e3);
    assert!((lean7::tip(c.at.get(ARM)).0 - to).norm() < 1e-6);
    assert!(seen.offset < 2e-4, "{}", seen.offset);
    assert!(c.said(Constraint::Gate).is_none());
}

#[test]
fn joints_of_another_arm_s_number_are_no_command() {
    let mut c = free(SafetyMode::Teleop);
    let position = proctor_types::Joints::new(&[0.0, 0.0, 0.16, 0.0, 0.0, 0.0]).unwrap();
    let command = proctor_types::JointCommand { arm: ARM, stamp: c.now, position };
    c.queue.push(proctor_safety::Event::Teleop(command));
    c.run(2);
    let said = c.said(Constraint::Malformed).expect("six joints for seven");
    assert_eq!((said.value, said.limit), (6.0, 7.0));
}
