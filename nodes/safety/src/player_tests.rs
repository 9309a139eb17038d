//! The player against closed forms, brute force and a second formula, on paths made by hand.

use super::*;
use crate::{SafetyParams, dofs::N};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Time, velocity at rate 1, cap, alpha, own alpha.
type Segment = (f64, Q, f64, f64, f64);

/// One joint at 1 rad/s, which may be slowed as quickly on the way as it is planned.
fn straight(seconds: f64, cap: f64, alpha: f64) -> Segment {
    (seconds, along(1.0), cap, alpha, alpha)
}

fn along(u: f64) -> Q {
    let mut q = [0.0; N];
    q[0] = u;
    q
}

/// The path of these segments from zero; its points are passed as fast as caps and braking allow.
fn path(segments: &[Segment]) -> Plan {
    let mut knots = vec![];
    let (mut t, mut q) = (0.0, [0.0; N]);
    for &(seconds, u, cap, alpha, own) in segments {
        knots.push(Knot { t, q, u, cap, alpha, own, rate: 0.0 });
        (t, q) = (t + seconds, map2(&q, &u, |q, u| q + u * seconds));
    }
    knots.push(Knot { t, q, u: [0.0; N], cap: 1.0, alpha: 1.0, own: 1.0, rate: 0.0 });
    for i in (0..segments.len()).rev() {
        let (seconds, _, cap, alpha, _) = segments[i];
        let before = if i == 0 { 1.0 } else { segments[i - 1].2 };
        knots[i].rate = (knots[i + 1].rate.powi(2) + 2.0 * alpha * seconds).sqrt().min(cap).min(before);
    }
    Plan::of_knots(knots)
}

fn random_path(rng: &mut ChaCha8Rng) -> Plan {
    let segments = rng.random_range(1..6);
    let u = |rng: &mut ChaCha8Rng| std::array::from_fn(|_| rng.random_range(-1.0..1.0));
    let size = |rng: &mut ChaCha8Rng| 10f64.powf(rng.random_range(-1.0..2.5));
    let segment = |rng: &mut ChaCha8Rng| {
        (rng.random_range(0.002..0.3), u(rng), rng.random_range(0.05..1.0), size(rng), size(rng))
    };
    path(&(0..segments).map(|_| segment(rng)).collect::<Vec<_>>())
}

/// The segment that a path time lies in.
fn segment_at(plan: &Plan, tau: f64) -> usize {
    let begun = plan.knots().iter().filter(|k| k.t <= tau).count();
    begun.saturating_sub(1).min(plan.knots().len() - 2)
}

/// Where on the path the path time lies, and at what rate: some that may come to be.
fn place(plan: &Plan, tau: f64, rate: f64) -> Player {
    Player { segment: segment_at(plan, tau), tau, rate }
}

/// A place from which what follows can be kept; often near the end of a segment.
fn random_place(rng: &mut ChaCha8Rng, plan: &Plan) -> Player {
    let s = rng.random_range(0..plan.knots().len() - 1);
    let (a, b) = (plan.knots()[s], plan.knots()[s + 1]);
    let left = (b.t - a.t) * rng.random_range(0.0..1.0f64).powi(rng.random_range(1..9));
    let most = (b.rate.powi(2) + 2.0 * a.alpha * left).sqrt().min(a.cap);
    place(plan, b.t - left, most * rng.random_range(0.0..1.0f64).sqrt())
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

fn at_rest(plan: &Plan, player: &Player) -> MotionState {
    MotionState::resting(player.position(plan))
}

#[test]
fn a_place_between_two_points_divides_the_way_as_the_time_and_a_point_is_met_exactly() {
    let mut rng = rng();
    for _ in 0..300 {
        let plan = random_path(&mut rng);
        let player = random_place(&mut rng, &plan);
        let (a, b) = (plan.knots()[player.segment], plan.knots()[player.segment + 1]);
        let part = (player.tau() - a.t) / (b.t - a.t);
        for (j, x) in player.position(&plan).into_iter().enumerate() {
            assert!((x - (a.q[j] * (1.0 - part) + b.q[j] * part)).abs() < 1e-14);
        }
        let last = plan.knots().len() - 2;
        assert_eq!(Player { segment: last, tau: plan.duration(), rate: 0.0 }.position(&plan), plan.knots()[last + 1].q);
    }
    // Interpolated, the end would often lie beside its point in the last bit.
    let mut beside = 0;
    for i in 1..100 {
        let (seconds, from, to) = (0.01 * f64::from(i), -1.0, 0.3);
        let u = along((to - from) / seconds);
        let end = Knot { t: seconds, q: along(to), u: [0.0; N], cap: 1.0, alpha: 1.0, own: 1.0, rate: 0.0 };
        let plan = Plan::of_knots(vec![Knot { t: 0.0, q: along(from), u, ..end }, end]);
        assert_eq!(place(&plan, seconds, 0.0).position(&plan), along(to));
        beside += usize::from(from + u[0] * seconds != to);
    }
    assert!(beside > 10, "{beside}");
}

#[test]
fn where_nothing_is_near_the_rate_changes_by_the_segments_own_alpha_each_tick_between_zero_and_the_cap() {
    let plan = path(&[(10.0, along(1.0), 0.5, 4.0, 20.0)]);
    for (rate, up, down) in
        [(0.0, 0.02, 0.0), (0.01, 0.03, 0.0), (0.3, 0.32, 0.28), (0.49, 0.5, 0.47), (0.5, 0.5, 0.48)]
    {
        let player = place(&plan, 1.0, rate);
        let from = at_rest(&plan, &player);
        for (step, expected) in [(player.forward(&plan, &from), up), (player.slower(&plan, &from), down)] {
            let step = step.unwrap();
            assert!((step.player.rate() - expected).abs() < 1e-12);
            assert!((step.player.tau() - (1.0 + expected * DT)).abs() < 1e-12);
            assert!((step.v[0] - expected).abs() < 1e-12, "1 rad/s at rate 1");
        }
    }
}

#[test]
fn a_straight_path_takes_its_length_at_the_cap_and_half_a_ramp_at_each_end() {
    for (seconds, cap, own, alpha) in [(1.0, 0.5, 5.0, 2.0), (2.0, 1.0, 20.0, 20.0), (0.5, 0.3, 1.0, 0.8)] {
        let plan = path(&[(seconds, along(1.0), cap, alpha, own)]);
        let (mut player, mut ticks) = (Player::default(), 0.0);
        while !player.done(&plan) {
            let step = player.forward(&plan, &at_rest(&plan, &player)).unwrap();
            player = step.player;
            ticks += 1.0;
        }
        let expected = seconds / cap + cap / (2.0 * own) + cap / (2.0 * alpha);
        assert!((ticks * DT - expected).abs() < 4.0 * DT, "{} for {expected} s", ticks * DT);
    }
}

/// The largest rate up to `wanted` that keeps the promise, by bisection; 0 keeps it.
fn largest(wanted: f64, kept: impl Fn(f64) -> bool) -> f64 {
    if kept(wanted) {
        return wanted;
    }
    let (mut low, mut high) = (0.0, wanted);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        *if kept(middle) { &mut low } else { &mut high } = middle;
    }
    low
}

#[test]
fn the_rate_is_the_largest_from_which_the_next_point_and_the_one_beyond_a_crossed_one_can_be_kept() {
    let mut rng = rng();
    let (mut crossed, mut beyond_counts, mut ended) = (0, 0, 0);
    for case in 0..20_000 {
        let plan = random_path(&mut rng);
        let mut player = random_place(&mut rng, &plan);
        let (s, knots) = (player.segment, plan.knots());
        let (a, b) = (knots[s], knots[s + 1]);
        let last = s + 2 == knots.len();
        if last && rng.random_bool(0.5) {
            player.tau = b.t - a.alpha * DT * DT * rng.random_range(0.0..2.0);
            player.tau = player.tau.max(a.t);
        }
        let left = b.t - player.tau;
        let wanted = if rng.random_bool(0.5) { (left / DT * rng.random_range(0.0..2.0)).min(a.cap) } else { a.cap };
        let rate = player.limited(&plan, &a, &b, wanted);

        let fastest = largest(wanted, |r| r * r <= b.rate.powi(2) + 2.0 * a.alpha * (left - r * DT));
        let mut expected = fastest;
        if last && left <= a.alpha * DT * DT && left <= wanted * DT {
            // It can rest in the tick after: at the end, exactly.
            expected = left / DT;
            assert_eq!(rate, expected);
            ended += 1;
        } else if fastest * DT > left {
            let c = knots[s + 2];
            let overshoot = fastest * DT - left;
            let kept = c.rate.powi(2) + 2.0 * b.alpha * (c.t - b.t - overshoot);
            expected = fastest.min(kept.sqrt());
            crossed += 1;
            beyond_counts += usize::from(expected < fastest * (1.0 - 1e-6));
            assert!(rate <= b.rate && b.rate <= b.cap, "case {case}: no point is passed too fast");
        }
        assert!((rate - expected).abs() < 1e-9 * (1.0 + expected), "case {case}: {rate}, not {expected}");
        assert!(rate <= wanted);
    }
    assert!(crossed > 1000 && beyond_counts > 20 && ended > 500, "{crossed} {beyond_counts} {ended}");
}

#[test]
fn nothing_moves_that_shall_rest_however_near_the_end_is() {
    let plan = path(&[straight(1.0, 1.0, 10.0)]);
    for left in [1e-9, 1e-6, 9e-6] {
        let player = place(&plan, 1.0 - left, 0.0);
        let step = player.slower(&plan, &at_rest(&plan, &player)).unwrap();
        assert_eq!((step.player, step.v), (player, [0.0; N]));
        let on = player.forward(&plan, &at_rest(&plan, &player)).unwrap();
        assert_eq!(on.player.tau(), 1.0, "held, it goes all the way");
    }
}

#[test]
fn a_path_is_done_when_it_rests_at_its_end() {
    let plan = path(&[straight(1.0, 1.0, 10.0)]);
    for (tau, rate, done) in [(1.0, 0.0, true), (1.0, 1e-3, false), (0.999_999, 0.0, false), (0.5, 0.5, false)] {
        assert_eq!(place(&plan, tau, rate).done(&plan), done, "{tau} at {rate}");
    }
}

#[test]
fn the_hardest_stop_uses_the_acceleration_against_the_motion() {
    let plan = path(&[(10.0, along(-2.0), 1.0, 1.0, 1.0)]);
    let acceleration = Sides { down: [100.0; N], up: [8.0; N] };
    let player = place(&plan, 1.0, 0.5);
    let from = MotionState { q: player.position(&plan), v: along(-1.0) };
    // Towards smaller values at 2 rad/s: slowed towards larger ones.
    let step = player.hard(&plan, &from, &acceleration).unwrap();
    let expected = 0.5 - 0.98 * 8.0 / 2.0 * DT;
    assert!((step.player.rate() - expected).abs() < 1e-12, "{}", step.player.rate());
    assert!((step.v[0] + 2.0 * expected).abs() < 1e-12);
    let slow = place(&plan, 1.0, 0.5 * 0.98 * 8.0 / 2.0 * DT);
    let from = MotionState { q: slow.position(&plan), v: along(-2.0 * slow.rate) };
    assert_eq!(slow.hard(&plan, &from, &acceleration).unwrap().player.rate(), 0.0, "no tick goes backwards");
}

#[test]
fn the_hardest_stop_becomes_the_gentle_one_where_the_tick_would_break_an_acceleration_limit() {
    let plan = path(&[straight(10.0, 1.0, 1.0)]);
    let acceleration = Sides { down: [8.0; N], up: [3.0; N] };
    let player = place(&plan, 1.0, 0.5);
    let q = player.position(&plan);
    let hard = player.hard(&plan, &MotionState { q, v: along(0.5) }, &acceleration).unwrap();
    // How fast it was decides how much the tick changes: 98 % of the limits are used, 99 % may be, and rounding has the rest.
    for (change, kept) in
        [(-0.98, true), (-0.9899, true), (-0.9901, false), (-1.2, false), (0.9899, true), (0.9901, false)]
    {
        let most = if change < 0.0 { 8.0 } else { 3.0 };
        let from = MotionState { q, v: along(hard.v[0] - change * most * DT) };
        let gentle = player.slower(&plan, &from);
        let taken = player.hard(&plan, &from, &acceleration);
        assert_eq!(taken, if kept { Some(hard) } else { gentle }, "{change}");
    }
}

#[test]
fn a_tick_between_two_goes_at_a_rate_between_theirs() {
    let plan = path(&[straight(10.0, 1.0, 100.0)]);
    let player = place(&plan, 1.0, 0.5);
    let from = at_rest(&plan, &player);
    let (low, high) = (player.slower(&plan, &from).unwrap(), player.forward(&plan, &from).unwrap());
    // 0.4 and 0.6.
    for (part, rate) in [(0.0, 0.4), (0.25, 0.45), (0.5, 0.5), (1.0, 0.6)] {
        let step = player.between(&plan, &from, &low, &high, part).unwrap();
        assert!((step.player.rate() - rate).abs() < 1e-12 && (step.v[0] - rate).abs() < 1e-12);
    }
}

#[test]
fn a_stop_is_foretold_by_the_gentlest_braking_that_it_can_meet() {
    // 0.8 at 4 per second: 0.08 s of path. From 0.05 on, a segment of 1: with it, 0.32. From 0.36 on, one that brakes worse still.
    let plan = path(&[straight(0.05, 1.0, 4.0), straight(0.31, 1.0, 1.0), straight(10.0, 1.0, 0.25)]);
    for (tau, rate, way) in [
        (0.0, 0.8, 0.32),
        (0.0, 0.4, 0.02),
        (0.0, 0.632, 0.632 * 0.632 / 8.0),
        (0.0, 0.633, 0.633 * 0.633 / 2.0),
        (0.05, 0.4, 0.08),
        (0.05, 0.7, 0.245),
        (0.05, 0.8, 0.64 / 0.5),
        (0.2, 0.0, 0.0),
    ] {
        let player = place(&plan, tau, rate);
        let (half, end) = player.stop(&plan);
        assert!((end.tau() - (tau + way)).abs() < 1e-12, "{tau} at {rate}: {}", end.tau() - tau);
        assert!((half.tau() - (tau + way / 2.0)).abs() < 1e-12);
        assert!((player.stopping(&plan, 0.2).tau() - (tau + 0.2 * way)).abs() < 1e-12);
        for stop in [half, end] {
            assert_eq!(stop.segment, segment_at(&plan, stop.tau()));
        }
    }
    assert_eq!(place(&plan, 10.3, 1.0).stop(&plan).1.tau(), plan.duration(), "nothing lies behind the end");
}

#[test]
fn an_arm_travels_from_point_to_point_of_its_path_and_no_shorter_way() {
    let body = Body::configured(proctor_types::ArmId::Psm1, &SafetyParams::default()).unwrap();
    let mut rng = rng();
    for _ in 0..300 {
        let plan = random_path(&mut rng);
        let (a, b) = (random_place(&mut rng, &plan), random_place(&mut rng, &plan));
        let (a, b) = if a.tau <= b.tau { (a, b) } else { (b, a) };
        let passed = plan.knots().iter().filter(|k| k.t > a.tau && k.t <= b.tau).map(|k| k.q);
        let way: Vec<Q> = [a.position(&plan)].into_iter().chain(passed).chain([b.position(&plan)]).collect();
        let expected: f64 = way.windows(2).map(|w| body.travel(&w[0], &w[1])).sum();
        let travelled = a.travel(&plan, &body, &b);
        assert!((travelled - expected).abs() < 1e-12, "{travelled}, not {expected}");
    }
}
