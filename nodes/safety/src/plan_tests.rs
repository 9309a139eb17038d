//! What a plan refuses, at each limit, and the rates that it allows, by hand and by brute force.

use super::*;
use crate::dofs::N;
use proctor_types::{Class, Evidence, Joints, Trajectory, TrajectoryPoint};
use std::time::Duration;

const ARM: ArmId = ArmId::Psm1;
const HOME: Q = [0.0, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2];
const ROLL: usize = 3;

fn planner() -> Planner {
    Planner::new(&SafetyParams::default()).unwrap()
}

/// Points of PSM1 with times, for a while.
fn proposal(points: &[(f64, Q)], life: Duration) -> Proposal {
    let point = |&(t, q): &(f64, Q)| TrajectoryPoint { t, position: Joints::new(&q[..6]).unwrap(), jaw: q[6] };
    let evidence = Evidence {
        summary: String::new(),
        confidence: 1.0,
        smallest_clearance: None,
        clearance_class: Class::Background,
    };
    Proposal {
        id: ProposalId(7),
        stamp: Stamp::FIRST,
        expires: Stamp::FIRST.plus(life),
        skill: Skill::Retract,
        trajectory: Trajectory::new(ARM, points.iter().map(point).collect()).unwrap(),
        planned_with: PlannedWith { model: Digest::default(), hand_eye: 0, zones: 0 },
        evidence,
    }
}

/// The plan of a path of PSM1 that may start for ten seconds.
pub(crate) fn plan(points: &[(f64, Q)]) -> Result<Plan, Finding> {
    planner().prepare(&proposal(points, Duration::from_secs(10)))
}

fn with(joint: usize, value: f64) -> Q {
    let mut q = HOME;
    q[joint] = value;
    q
}

/// A motion of the roll alone, which moves no tip: angles, and the time that each takes.
fn rolls(first: f64, ways: &[(f64, f64)]) -> Plan {
    let mut points = vec![(0.0, with(ROLL, first))];
    for &(time, to) in ways {
        points.push((points.last().unwrap().0 + time, with(ROLL, to)));
    }
    plan(&points).unwrap()
}

fn bounds() -> Bounds {
    *planner().bounds.get(ARM)
}

/// Weyl sequence over [-1, 1]: the same on every run.
fn spread(i: usize, k: f64) -> f64 {
    2.0 * ((i as f64 + 1.0) * 0.618_033_988_749_894_9 * (k + 1.3)).fract() - 1.0
}

#[test]
fn a_proposal_may_live_as_long_as_is_allowed_and_no_longer() {
    let points = [(0.0, HOME), (1.0, with(ROLL, 0.1))];
    // A number of seconds that as many nanoseconds are to the last bit.
    let mut params = SafetyParams::default();
    params.approval.longest_life = 10.0;
    let planner = Planner::new(&params).unwrap();
    assert!(planner.prepare(&proposal(&points, Duration::from_secs(10))).is_ok());
    let longer = planner.prepare(&proposal(&points, Duration::from_millis(10_001))).unwrap_err();
    assert!((longer.value - 10.001).abs() < 1e-9);
    assert_eq!(longer, Finding::of(ARM, Constraint::Expired, longer.value, 10.0));
}

#[test]
fn a_point_beyond_a_limit_is_refused_by_that_limit() {
    let b = bounds();
    for j in 0..N {
        for (limit, out) in [(b.lower[j], -1e-6), (b.upper[j], 1e-6)] {
            assert_eq!(within(ARM, &b, &with(j, limit)), Ok(()));
            assert_eq!(within(ARM, &b, &with(j, limit - out)), Ok(()));
            let refused = Finding::of(ARM, Constraint::JointPosition, limit + out, limit).at(j);
            assert_eq!(within(ARM, &b, &with(j, limit + out)), Err(refused));
            assert_eq!(plan(&[(0.0, HOME), (5.0, with(j, limit + out))]).unwrap_err(), refused);
        }
        assert!(within(ARM, &b, &with(j, f64::NAN)).is_err());
    }
}

#[test]
fn points_are_two_milliseconds_apart_or_refused_by_number() {
    assert!(plan(&[(0.0, HOME), (MIN_SPACING, HOME)]).is_ok());
    let near = plan(&[(0.0, HOME), (1.0, HOME), (1.0009, HOME)]).unwrap_err();
    assert!((near.value - 0.0009).abs() < 1e-12);
    assert_eq!(near, Finding::of(ARM, Constraint::Malformed, near.value, MIN_SPACING).at(2));
    // Seven joints are another arm's.
    let mut seven = proposal(&[(0.0, HOME), (1.0, HOME)], Duration::from_secs(1));
    let point = |t| TrajectoryPoint { t, position: Joints::new(&[0.0; 7]).unwrap(), jaw: 0.0 };
    seven.trajectory = Trajectory::new(ARM, vec![point(0.0), point(1.0)]).unwrap();
    assert_eq!(planner().prepare(&seven).unwrap_err(), Finding::of(ARM, Constraint::Malformed, 7.0, 6.0).at(0));
}

#[test]
fn a_segment_is_run_as_fast_as_its_fastest_joint_may_go_and_no_faster_than_planned() {
    let fastest = bounds().velocity.up[ROLL];
    for (speed, cap) in
        [(2.0 * fastest, 0.49), (fastest, 0.98), (0.97 * fastest, 1.0), (0.1 * fastest, 1.0), (0.0, 1.0)]
    {
        for sign in [-1.0, 1.0] {
            let knots = rolls(-0.1 * sign * speed, &[(0.2, 0.1 * sign * speed)]).knots;
            assert!((knots[0].cap - cap).abs() < 1e-12, "{speed}: {}", knots[0].cap);
            assert!(
                (knots[0].u[ROLL] - sign * speed).abs() < 1e-12 && knots[0].u.iter().filter(|u| **u != 0.0).count() < 2
            );
        }
    }
}

#[test]
fn a_segment_is_run_no_faster_than_the_tip_may_go_where_it_is_fastest() {
    let (planner, b) = (planner(), bounds());
    let body = planner.bodies.get(ARM);
    let (mut in_between, mut by_tip) = (0, 0);
    for i in 0..200 {
        let at = |k: f64| {
            [0.6, 0.6, 0.04, 1.0, 0.8, 0.8, 0.3]
                .iter()
                .enumerate()
                .map(|(j, part)| part * spread(i, k + j as f64))
                .collect::<Vec<_>>()
        };
        let (mut from, mut to) = (HOME, HOME);
        for j in 0..N {
            (from[j], to[j]) = (HOME[j] + at(1.0)[j], HOME[j] + at(9.0)[j]);
        }
        // The yaw's lever is longest where the pitch is zero.
        (from[1], to[1]) = if i % 2 == 0 { (-from[1].abs() - 0.3, to[1].abs() + 0.3) } else { (from[1], to[1]) };
        let time = [0.5, 5.0, 20.0][i % 3];
        let knots = plan(&[(0.0, from), (time, to)]).unwrap().knots;
        let u = map2(&to, &from, |t, f| (t - f) / time);
        let speed = |part: f64| body.tip_speed(&map2(&from, &u, |f, u| f + u * time * part), &u).unwrap();
        let fastest = (0..=2000).map(|k| speed(f64::from(k) / 2000.0)).fold(0.0, f64::max);
        let joints = (0..N).map(|j| LIMIT_USE * b.velocity.up[j] / u[j].abs()).fold(1.0, f64::min);
        let tip = 0.96 * SafetyParams::default().motion.tip_speed_supervised / fastest;
        assert!((knots[0].cap / joints.min(tip) - 1.0).abs() < 3e-4, "{i}: {} {joints} {tip}", knots[0].cap);
        by_tip += usize::from(tip < joints);
        in_between += usize::from(tip < joints && fastest > 1.01 * speed(0.0).max(speed(1.0)));
    }
    assert!(by_tip > 50 && in_between > 10, "{by_tip} {in_between}");
}

#[test]
fn the_rate_changes_with_three_tenths_of_the_acceleration_that_the_segment_and_those_beside_it_allow() {
    // Roll: 0.3 * 0.98 of its acceleration, divided by its speed.
    let most = 0.294 * bounds().acceleration.up[ROLL];
    let speeds = [0.25, 0.5, 1.0, 0.4, 0.2, 0.1, 0.8];
    let mut at = 0.0;
    let ways = speeds.map(|speed| {
        at += speed;
        (1.0, at)
    });
    let knots = rolls(0.0, &ways).knots;
    // The fastest of itself and its neighbours.
    let around = [0.5, 1.0, 1.0, 1.0, 0.4, 0.8, 0.8];
    for (i, (speed, fastest)) in speeds.into_iter().zip(around).enumerate() {
        assert!((knots[i].own / (most / speed) - 1.0).abs() < 1e-9, "{i}: {}", knots[i].own);
        assert!((knots[i].alpha / (most / fastest) - 1.0).abs() < 1e-9, "{i}: {}", knots[i].alpha);
    }
    let rests = rolls(0.0, &[(1.0, 0.0)]).knots;
    assert_eq!((rests[0].own, rests[0].alpha), (1e3, 1e3), "what stands still is no reason to be slow");
}

#[test]
fn a_corner_is_passed_at_the_rate_at_which_it_costs_sixty_five_hundredths_of_a_tick_s_acceleration() {
    // There and back at 0.5 rad/s: a turn of 1 rad/s.
    let knots = rolls(0.0, &[(2.0, 1.0), (2.0, 0.0)]).knots;
    assert!((knots[1].rate - 0.65 * 0.98 * 1e-3 * bounds().acceleration.up[ROLL]).abs() < 1e-12);
    // Without a corner, what comes before may be what is slow: twice as fast as the roll may go, then a crawl.
    let fastest = bounds().velocity.up[ROLL];
    let knots = rolls(0.0, &[(0.1, 0.2 * fastest), (0.1, 0.4 * fastest), (1.0, 0.4 * fastest)]).knots;
    assert!((knots[0].rate - 0.49).abs() < 1e-12 && knots[1].rate <= 0.49, "{} {}", knots[0].rate, knots[1].rate);
}

#[test]
fn an_even_motion_brakes_towards_its_end_at_its_own_rate() {
    let speed = 0.5 * bounds().velocity.up[ROLL];
    let alpha = 0.294 * bounds().acceleration.up[ROLL] / speed;
    let ways: Vec<_> = (1..=40).map(|k| (0.02, 0.02 * speed * f64::from(k))).collect();
    let knots = rolls(0.0, &ways).knots;
    let mut braking = 0;
    for (i, knot) in knots.iter().enumerate() {
        // v^2 = 2 a s.
        let rate = (2.0 * alpha * 0.02 * (40 - i) as f64).sqrt();
        braking += usize::from(rate < 1.0);
        assert!((knot.rate - rate.min(1.0)).abs() < 1e-6, "{i}: {} {rate}", knot.rate);
    }
    assert!(braking > 5 && braking < 35, "{braking}");
}

#[test]
fn every_point_is_passed_as_fast_as_what_lies_ahead_can_be_braked_for() {
    let step = bounds().acceleration.scaled(0.65 * 0.98 * 1e-3);
    let mut kinds = [0; 3];
    for seed in 0..60 {
        let mut t = 0.0;
        let points: Vec<_> = (0..10)
            .map(|i| {
                let w = |j: f64| spread(seed, 11.0 * i as f64 + j);
                let point = (
                    t,
                    [0.05 * w(0.0), 0.05 * w(1.0), 0.16 + 0.01 * w(2.0), 0.5 * w(3.0), 0.2 * w(4.0), 0.2 * w(5.0), 0.4],
                );
                t += [0.002, 0.5, 3.0][(i + seed) % 3] * (2.1 + w(7.0));
                point
            })
            .collect();
        let knots = plan(&points).unwrap().knots;
        let limit = |i: usize| {
            if i + 1 == knots.len() {
                return 0.0;
            }
            let Some(before) = i.checked_sub(1).map(|b| &knots[b]) else { return knots[0].cap };
            let turn = map2(&knots[i].u, &before.u, |a, b| a - b);
            let corner = (0..N).filter(|&j| turn[j] != 0.0).map(|j| step.towards(j, turn[j]) / turn[j].abs());
            corner.fold(knots[i].cap.min(before.cap), f64::min)
        };
        for i in 0..knots.len() {
            // From each limit ahead, back along the path: v^2 = v0^2 + 2 a s.
            let gained = |to: usize| (i..to).map(|k| 2.0 * knots[k].alpha * (knots[k + 1].t - knots[k].t)).sum::<f64>();
            let from = |to: usize| (limit(to) * limit(to) + gained(to)).sqrt();
            let rate = (i..knots.len()).map(from).fold(f64::INFINITY, f64::min);
            assert!((knots[i].rate - rate).abs() < 1e-9, "{seed} {i}: {} {rate}", knots[i].rate);
            kinds[if rate < limit(i) - 1e-9 {
                0
            } else if i > 0 && rate < knots[i].cap - 1e-9 {
                1
            } else {
                2
            }] += 1;
        }
    }
    assert!(kinds.iter().all(|k| *k > 20), "{kinds:?}");
}

#[test]
fn a_plan_says_what_it_was_made_of_and_where_it_starts() {
    let points = [(0.0, HOME), (1.0, with(ROLL, 0.1)), (2.5, HOME)];
    let proposal = proposal(&points, Duration::from_secs(10));
    let plan = planner().prepare(&proposal).unwrap();
    assert_eq!((plan.id, plan.arm, plan.expires), (proposal.id, ARM, proposal.expires));
    assert_eq!((plan.digest, plan.skill), (proposal.digest(), Skill::Retract));
    assert_eq!((plan.start(), plan.duration(), plan.knots().len()), (HOME, 2.5, 3));
    // Of a yaw 0.01 rad off and a roll 0.03 off, the yaw is the worse one where it may be off by a fifth as much.
    let (mut off, mut tolerance) = (HOME, [1.0; N]);
    (off[0], off[ROLL], tolerance[0]) = (0.01, -0.03, 0.2);
    assert_eq!(plan.start_mismatch(&off, &tolerance), (0, 0.01));
    assert_eq!(plan.start_mismatch(&off, &[1.0; N]), (ROLL, 0.03));
}
