//! Every refusal of the gate at its boundary: what is just inside passes, what is just outside is refused with constraint, value and limit.
//!
//! PSM1 stands at the origin with its base's axes along the world's: the straight instrument points along -z, its wrist lies `q3 - 0.0156`
//! below (the dVRK's 0.4162 - 0.4318), its jaw axis 0.0091 below that, and a positive yaw leads to +x.

use super::*;
use crate::{Narrowed, ZoneShape, dofs, surface::Dot};
use nalgebra::{Point3, Vector3};
use proctor_types::{
    Class,
    Constraint::{
        JointAcceleration, JointJerk, JointPosition, JointVelocity, LiveSurface, Malformed, NoGoZone, RemoteCentre,
        TipSpeed, ToolToolDistance, TrocarOffset, WrongMode,
    },
    Digest, ImageQuality, QualityVerdict, Scene, SurfacePoint,
};

const PSM: ArmId = ArmId::Psm1;
/// Insertion of a step, m: 0.5 m/s^2 from rest, half of the limit.
const STEP: f64 = 5e-7;
const YAW: usize = 0;
const PITCH: usize = 1;
const INSERTION: usize = 2;
const ROLL: usize = 3;
const WRIST_YAW: usize = 5;
const JAW: usize = 6;
/// Wrist-pitch axis beyond the remote centre at zero insertion, m.
const AT_ZERO: f64 = 0.4162 - 0.4318;
/// Wrist of PSM1's instrument, m.
const WRIST_A: f64 = 0.0091;

fn straight(insertion: f64) -> Q {
    [0.0, 0.0, insertion, 0.0, 0.0, 0.0, 0.0]
}

fn moved(q: &Q, joint: usize, by: f64) -> Q {
    let mut q = *q;
    q[joint] += by;
    q
}

/// A gate, what it was shown, and the rules.
struct Bench {
    gate: Gate,
    bodies: PerArm<Body>,
    rules: Rules,
    scene: Option<LiveScene>,
    /// Planned set-points of PSM1 (or whichever arm is asked about), newest first.
    planned: Vec<Q>,
}

impl Bench {
    fn with(params: &SafetyParams) -> Self {
        let bodies = PerArm::try_from_fn(|arm| Body::configured(arm, params)).unwrap();
        let filter = crate::Filter::new(params).unwrap();
        let mut gate = Gate::new(params, &bodies, filter.camera_mount());
        ArmId::ALL.into_iter().for_each(|arm| gate.place(arm, &Isometry3::identity()));
        let policy =
            Policy { keep: [None; Class::COUNT], sigmas: 2.0, arm_variance: 0.0, max_uncertainty: 0.01, growth: 0.0 };
        // What else there may be in the rules is as for teleoperation with nothing seen.
        let mut rules = filter.rules(PSM, false, false, Stamp::FIRST);
        (rules.tip_speed, rules.policy) = (1.0, policy);
        Self { gate, bodies, rules, scene: None, planned: Vec::new() }
    }

    fn new() -> Self {
        Self::with(&SafetyParams { zones: Vec::new(), ..SafetyParams::default() })
    }

    fn in_zone(region: ZoneShape, arms: &[ArmId]) -> Self {
        let zone = Zone { name: "zone".into(), margin: 0.002, arms: arms.to_vec(), region };
        Self::with(&SafetyParams { zones: vec![zone], ..SafetyParams::default() })
    }

    fn rest(&mut self, q: &Q) -> &mut Self {
        self.rest_of(PSM, q)
    }

    fn rest_of(&mut self, arm: ArmId, q: &Q) -> &mut Self {
        self.gate.rest_at(arm, q);
        self.planned = vec![*q; MAX_WINDOW];
        self
    }

    fn ask(&mut self, arm: ArmId, planned: &Q, sent: &Q) -> Result<SetPoint, Finding> {
        let stamp = Stamp::FIRST;
        let ask = Question { arm, stamp, q: sent, planned, rules: &self.rules, scene: self.scene.as_ref() };
        self.gate.clear(&ask).map(|c| *c.get())
    }

    /// The mean of the last eight, with this one: what the smoother would send.
    fn mean(&self, planned: &Q) -> Q {
        let mut off = [0.0; N];
        self.planned
            .iter()
            .take(7)
            .for_each(|q| off = dofs::map2(&off, &dofs::map2(q, planned, |x, p| x - p), |o, d| o + d));
        dofs::map2(planned, &off, |p, o| p + o / 8.0)
    }

    /// Plans `q` and sends the mean.
    fn plan_of(&mut self, arm: ArmId, q: &Q) -> Result<SetPoint, Finding> {
        let sent = self.mean(q);
        let cleared = self.ask(arm, q, &sent);
        if cleared.is_ok() {
            self.planned.insert(0, *q);
        }
        cleared
    }

    fn plan(&mut self, q: &Q) -> Result<SetPoint, Finding> {
        self.plan_of(PSM, q)
    }

    fn radius(&self, arm: ArmId, part: usize) -> f64 {
        self.bodies.get(arm).shape(&[0.0; N]).unwrap().capsules[part].radius
    }

    fn jaw_length(&self) -> f64 {
        self.bodies.get(PSM).chain().instrument().unwrap().jaw_length
    }

    fn bounds(&self) -> Bounds {
        let params = SafetyParams::default();
        Bounds::new(PSM, self.bodies.get(PSM).chain().limits(), &params)
    }
}

#[track_caller]
fn refused(got: Result<SetPoint, Finding>, constraint: Constraint, value: f64, limit: f64, index: i32) {
    let f = got.expect_err("refused");
    assert_eq!((f.constraint, f.index), (constraint, index), "{f:?}");
    assert!((f.value - value).abs() <= 1e-6 * value.abs() + 1e-12, "{f:?}: value {value}");
    assert!((f.limit - limit).abs() <= 1e-12, "{f:?}: limit {limit}");
}

#[test]
fn nothing_passes_for_an_arm_that_takes_no_commands() {
    let mut b = Bench::new();
    let q = straight(0.16);
    refused(b.plan(&q), WrongMode, 0.0, 1.0, -1);
    assert_eq!(b.rest(&q).plan(&q).unwrap().position.as_slice(), &q[..6]);
    b.gate.close(PSM);
    refused(b.plan(&q), WrongMode, 0.0, 1.0, -1);
}

#[test]
fn what_passes_is_what_was_sent_with_a_jaw_for_those_that_have_one() {
    let mut b = Bench::new();
    let q = moved(&straight(0.16), JAW, 0.3);
    b.rest(&q);
    let planned = moved(&q, JAW, 8e-6);
    let passed = b.plan(&planned).unwrap();
    assert!((passed.jaw.unwrap() - 0.300_001).abs() < 1e-12);
    assert_eq!((passed.arm, passed.stamp), (PSM, Stamp::FIRST));
    let ecm = [0.1, 0.0, 0.11, 0.2, 0.0, 0.0, 0.0];
    b.rest_of(ArmId::Ecm, &ecm);
    let passed = b.plan_of(ArmId::Ecm, &ecm).unwrap();
    assert_eq!((passed.jaw, passed.position.as_slice()), (None, &ecm[..4]));
}

#[test]
fn a_number_that_is_none_is_refused_planned_or_sent() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for joint in [0, 3, JAW] {
            let mut b = Bench::new();
            let q = straight(0.16);
            let broken = moved(&q, joint, bad);
            b.rest(&q);
            refused(b.ask(PSM, &broken, &q), Malformed, f64::MAX, 0.0, joint as i32);
            refused(b.ask(PSM, &q, &broken), Malformed, f64::MAX, 0.0, joint as i32);
        }
    }
}

#[test]
fn joints_stay_in_range_or_come_back() {
    let limits = Bench::new().bounds();
    for joint in [YAW, ROLL, JAW] {
        for (limit, outwards) in [(limits.lower[joint], -1e-6), (limits.upper[joint], 1e-6)] {
            let mut b = Bench::new();
            let mut q = straight(0.16);
            q[joint] = limit;
            b.rest(&q);
            let out = moved(&q, joint, outwards);
            refused(b.plan(&out), JointPosition, limit + outwards, limit, joint as i32);
            refused(b.ask(PSM, &q, &out), JointPosition, limit + outwards, limit, joint as i32);
            b.plan(&moved(&q, joint, -outwards)).unwrap();
            // To the very end of the range.
            let inside = moved(&q, joint, -outwards);
            b.rest(&inside).plan(&q).unwrap();
            // From outside only inwards.
            let beyond = moved(&q, joint, 1e4 * outwards);
            b.rest(&beyond).plan(&moved(&beyond, joint, -outwards)).unwrap();
            let further = moved(&beyond, joint, outwards);
            refused(b.rest(&beyond).plan(&further), JointPosition, further[joint], limit, joint as i32);
            b.rest(&beyond).plan(&beyond).unwrap();
        }
    }
}

#[test]
fn speed_is_limited_to_a_millionth() {
    let limits = Bench::new().bounds();
    let most = limits.velocity.up[ROLL];
    for direction in [1.0, -1.0] {
        for (excess, passes) in [(5e-7, true), (2e-6, false)] {
            let mut b = Bench::new();
            let mut q = straight(0.16);
            b.rest(&q);
            // Up to the limit in equal steps of speed, below the limit of acceleration.
            let ticks = (most / (0.9 * limits.acceleration.up[ROLL] * DT)).ceil();
            for tick in 1..=ticks as u32 {
                q[ROLL] += direction * most * f64::from(tick) / ticks * DT;
                b.plan(&q).unwrap();
            }
            q[ROLL] += direction * most * (1.0 + excess) * DT;
            let got = b.plan(&q);
            if passes {
                got.unwrap();
            } else {
                refused(got, JointVelocity, most * (1.0 + excess), most, ROLL as i32);
            }
        }
    }
}

#[test]
fn acceleration_is_limited_to_a_millionth_of_each_joint() {
    let limits = Bench::new().bounds();
    for joint in [YAW, 1, ROLL, 4, WRIST_YAW, JAW] {
        let most = limits.acceleration.up[joint];
        for direction in [1.0, -1.0] {
            let q = moved(&straight(0.16), JAW, 0.3);
            let at = |excess: f64| moved(&q, joint, direction * most * (1.0 + excess) * DT * DT);
            let mut b = Bench::new();
            refused(b.rest(&q).plan(&at(2e-6)), JointAcceleration, most * (1.0 + 2e-6), most, joint as i32);
            b.rest(&q).plan(&at(5e-7)).unwrap();
        }
    }
}

#[test]
fn jerk_of_what_is_sent_is_limited_to_a_millionth() {
    let limits = Bench::new().bounds();
    for joint in [YAW, ROLL, JAW] {
        let most = limits.jerk.up[joint];
        for direction in [1.0, -1.0] {
            let q = moved(&straight(0.16), JAW, 0.3);
            let at = |excess: f64| moved(&q, joint, direction * most * (1.0 + excess) * DT.powi(3));
            let mut b = Bench::new();
            b.rest(&q);
            refused(b.ask(PSM, &q, &at(2e-6)), JointJerk, most * (1.0 + 2e-6), most, joint as i32);
            // Within the jerk it is still not the mean of what was planned.
            let off = most * DT.powi(3);
            refused(b.ask(PSM, &q, &at(-1e-3)), Malformed, off * (1.0 - 1e-3), MEAN, joint as i32);
        }
    }
}

/// What is planned may change its acceleration at once; the mean of eight of it does so in steps of the jerk limit.
#[test]
fn full_acceleration_either_way_keeps_the_jerk_of_the_mean() {
    let mut b = Bench::new();
    let limits = b.bounds();
    let (mut q, mut v) = (straight(0.16), 0.0);
    b.rest(&q);
    for tick in 0..200 {
        let sign = if (tick / 8) % 2 == 0 { 1.0 } else { -1.0 };
        v += sign * limits.acceleration.up[YAW] * DT;
        q[YAW] += v * DT;
        b.plan(&q).unwrap();
    }
}

#[test]
fn what_is_sent_is_the_mean_of_what_was_planned_to_a_picometre() {
    for (off, passes) in [(5e-13, true), (-5e-13, true), (2e-12, false), (-2e-12, false)] {
        let mut b = Bench::new();
        let q = straight(0.16);
        b.rest(&q);
        let planned = moved(&q, INSERTION, STEP);
        let sent = moved(&b.mean(&planned), INSERTION, off);
        let got = b.ask(PSM, &planned, &sent);
        assert_eq!(got.is_ok(), passes, "{off}");
        if let Err(f) = got {
            assert_eq!((f.constraint, f.limit, f.index), (Malformed, MEAN, INSERTION as i32));
            assert!((f.value - off.abs()).abs() < 1e-15, "{f:?}");
        }
    }
}

#[test]
fn a_refused_set_point_leaves_no_trace() {
    let mut b = Bench::new();
    let q = straight(0.16);
    b.rest(&q);
    b.plan(&moved(&q, INSERTION, STEP)).unwrap();
    b.plan(&moved(&q, INSERTION, 1.0)).unwrap_err();
    let on = moved(&q, INSERTION, 2.0 * STEP);
    b.plan(&on).unwrap();
}

#[test]
fn the_window_keeps_the_jerk_and_is_no_longer_than_that() {
    let of = |build_up: f64| {
        let mut b = Bench::new().bounds();
        b.jerk = b.acceleration.scaled(1.0 / build_up);
        window(&b)
    };
    // Twice the acceleration in so many ticks: 2 * build-up / 1 ms.
    for (build_up, ticks) in
        [(0.0004, 1), (0.0005, 1), (0.0006, 2), (0.004, 8), (0.004_000_01, 9), (0.0041, 9), (0.0155, 31), (0.5, 32)]
    {
        assert_eq!(of(build_up), ticks, "{build_up}");
    }
    // The slowest joint decides.
    let mut b = Bench::new().bounds();
    b.jerk.down[4] = b.acceleration.down[4] / 0.006;
    assert_eq!(window(&b), 12);
}

#[test]
fn limits_may_differ_from_side_to_side() {
    let q = straight(0.16);
    let narrowed = Narrowed {
        arm: PSM,
        joint: INSERTION,
        position: Some([0.05, 0.2]),
        velocity: Some([0.2, 0.05]),
        acceleration: Some([1.0, 0.4]),
        jerk: Some([100.0, 250.0]),
    };
    let mut b = Bench::with(&SafetyParams { zones: Vec::new(), limits: vec![narrowed], ..SafetyParams::default() });
    let bounds = b.gate.arms.get(PSM).bounds;
    // No wider than the arm's own; the acceleration builds up in the arm's own 4 ms, to the weaker jerk.
    assert_eq!((bounds.lower[INSERTION], bounds.upper[INSERTION]), (0.05, 0.2));
    assert_eq!((bounds.velocity.down[INSERTION], bounds.velocity.up[INSERTION]), (0.2, 0.05));
    assert!((bounds.acceleration.down[INSERTION] - 0.4).abs() < 1e-12);
    assert_eq!(bounds.acceleration.up[INSERTION], 0.4);
    assert_eq!((bounds.jerk.down[INSERTION], bounds.jerk.up[INSERTION]), (100.0, 250.0));
    // From rest, a step of 0.39 m/s^2 passes to either side; 0.41 upwards and downwards do not.
    for (by, side) in [(1.0, 0.4), (-1.0, 0.4)] {
        b.rest(&q).plan(&moved(&q, INSERTION, by * 0.99 * side * DT * DT)).unwrap();
        let beyond = 1.01 * side;
        let found = b.rest(&q).plan(&moved(&q, INSERTION, by * beyond * DT * DT));
        refused(found, JointAcceleration, beyond, side, INSERTION as i32);
    }
    // Speed: as fast as 0.2 m/s out, 0.05 m/s in.
    for (by, most) in [(-1.0, 0.2), (1.0, 0.05)] {
        let (mut at, mut v, mut worst) = (q, 0.0, Ok(()));
        b.rest(&q);
        for _ in 0..700 {
            v += 0.99 * 0.4 * DT;
            at = moved(&at, INSERTION, by * v * DT);
            worst = b.plan(&at).map(drop);
            if worst.is_err() {
                break;
            }
        }
        let f = worst.unwrap_err();
        assert_eq!((f.constraint, f.limit), (JointVelocity, most), "{f:?}");
        assert!(f.value > most && f.value < most + 0.4 * DT);
    }
}

#[test]
fn neither_tip_nor_jaw_end_is_faster_than_the_rules_allow() {
    let q = straight(0.16);
    let inserted = STEP / DT;
    for by in [STEP, -STEP] {
        let mut b = Bench::new();
        b.rules.tip_speed = 0.99 * inserted;
        refused(b.rest(&q).plan(&moved(&q, INSERTION, by)), TipSpeed, inserted, 0.99 * inserted, -1);
        // Just as fast as allowed is allowed.
        b.rules.tip_speed = b.rest(&q).plan(&moved(&q, INSERTION, by)).unwrap_err().value;
        b.rest(&q).plan(&moved(&q, INSERTION, by)).unwrap();
        b.rules.tip_speed = 1.01 * inserted;
        b.rest(&q).plan(&moved(&q, INSERTION, by)).unwrap();
    }
    // The wrist turns about the jaw axis: the tip stays, the jaw end moves.
    let mut b = Bench::new();
    let turned = b.jaw_length() * 1e-5 / DT;
    b.rules.tip_speed = 0.99 * turned;
    refused(b.rest(&q).plan(&moved(&q, WRIST_YAW, 1e-5)), TipSpeed, turned, 0.99 * turned, -1);
    b.rules.tip_speed = 1.01 * turned;
    b.rest(&q).plan(&moved(&q, WRIST_YAW, 1e-5)).unwrap();
}

#[test]
fn no_arm_is_drawn_back_beyond_its_least_depth() {
    let mut params = SafetyParams { zones: Vec::new(), ..SafetyParams::default() };
    (params.clearance.psm_depth, params.clearance.ecm_depth) = (0.05, 0.06);
    // The ECM's tip lies 0.3829 - 0.3822 beyond its insertion.
    for (arm, least, zero) in [(PSM, 0.05, AT_ZERO), (ArmId::Ecm, 0.06, 0.3829 - 0.3822)] {
        let mut b = Bench::with(&params);
        // 0.2 m/s^2: within the ECM's limit too.
        let by = 2e-7;
        let just = straight(least - zero);
        refused(b.rest_of(arm, &just).plan_of(arm, &moved(&just, INSERTION, -by)), RemoteCentre, least - by, least, -1);
        // A fraction of the slack for rounding.
        b.rest_of(arm, &just).plan_of(arm, &moved(&just, INSERTION, -0.5 * SLACK)).unwrap();
        // From too far out only inwards, or neither.
        let out = straight(least - zero - 0.01);
        b.rest_of(arm, &out).plan_of(arm, &moved(&out, ROLL, 1e-6)).unwrap();
        b.rest_of(arm, &out).plan_of(arm, &moved(&out, INSERTION, by)).unwrap();
        refused(
            b.rest_of(arm, &out).plan_of(arm, &moved(&out, INSERTION, -by)),
            RemoteCentre,
            least - 0.01 - by,
            least,
            -1,
        );
    }
}

/// A floor so far below.
fn floor(below: f64) -> ZoneShape {
    ZoneShape::HalfSpace { point: [0.3, -0.2, -below], normal: [0.0, 0.0, 2.0] }
}

#[test]
fn zones_are_kept_clear_by_margin_and_doubt() {
    let insertion = 0.16;
    for (opening, sigma, most, limit) in [
        (0.0, 0.0, 0.01, 0.002),
        (0.0, 0.001, 0.01, 0.004),
        (0.0, 0.001, 0.0015, 0.0035),
        (0.7, 0.0, 0.01, 0.002),
        (-0.3, 0.0, 0.01, 0.002),
    ] {
        for (short, passes) in [(0.5 * SLACK, true), (2.0 * SLACK, false)] {
            let lowest = {
                let b = Bench::new();
                let jaws = b.radius(PSM, 2) + b.jaw_length() * f64::sin(f64::abs(opening) / 2.0);
                insertion + STEP + AT_ZERO + WRIST_A + b.jaw_length() + jaws
            };
            let mut b = Bench::in_zone(floor(lowest + limit - short), &[PSM]);
            (b.rules.policy.arm_variance, b.rules.policy.max_uncertainty) = (sigma * sigma, most);
            let q = moved(&straight(insertion), JAW, opening);
            b.rest(&q);
            let got = b.plan(&moved(&q, INSERTION, STEP));
            if passes {
                got.unwrap();
            } else {
                refused(got, NoGoZone, limit - short, limit, 0);
            }
        }
    }
}

#[test]
fn an_arm_within_a_zone_may_only_leave_it_and_brakes_as_it_likes() {
    let q = straight(0.16);
    let deep = || Bench::in_zone(floor(0.1), &[]);
    let mut b = deep();
    let depth = 0.1 - (0.16 + STEP + AT_ZERO + WRIST_A + b.jaw_length() + b.radius(PSM, 2));
    refused(b.rest(&q).plan(&moved(&q, INSERTION, STEP)), NoGoZone, depth, 0.002, 0);
    b.rest(&q).plan(&moved(&q, INSERTION, -STEP)).unwrap();
    b.rest(&q).plan(&q).unwrap();
    // Slower than before, and not turned round: a stop under way.
    let on = |b: &mut Bench, steps: &[f64]| {
        let mut at = q;
        steps
            .iter()
            .map(|s| {
                b.plan({
                    at = moved(&at, INSERTION, *s);
                    &at
                })
            })
            .collect::<Vec<_>>()
    };
    let going = |b: &mut Bench| {
        // Runs into what was not there when it began.
        let mut none = ArrayVec::new();
        b.gate.swap_zones(&mut none);
        b.rest(&q).plan(&moved(&q, INSERTION, STEP)).unwrap();
        b.gate.swap_zones(&mut none);
    };
    // Slower by at least a hundredth of its limit, 1 m/s^2: by 1e-8 m in a tick.
    let slower = [(STEP, false), (STEP - 0.9e-8, false), (STEP - 1.1e-8, true), (0.5 * STEP, true), (0.0, true)];
    for (next, passes) in slower.into_iter().chain([(1.1 * STEP, false)]) {
        let mut b = deep();
        going(&mut b);
        let got = b.plan(&moved(&q, INSERTION, STEP + next));
        assert_eq!(got.is_ok(), passes, "{next}: {got:?}");
    }
    // Slower, but turned round towards the zone: no stop.
    let mut b = deep();
    b.rest(&q);
    let got = on(&mut b, &[-STEP, 0.4 * STEP]);
    assert!(got[0].is_ok() && got[1].is_err_and(|f| f.constraint == NoGoZone), "{got:?}");
}

/// A joint brakes by a hundredth at least of its limit to the side to which it slows, and does not turn round.
#[test]
fn what_counts_as_braking_goes_by_the_limit_of_the_side_to_which_it_slows() {
    // Insertion: 1 m/s^2 downwards, 0.4 upwards.
    let narrowed = Narrowed {
        arm: PSM,
        joint: INSERTION,
        position: None,
        velocity: None,
        acceleration: Some([1.0, 0.4]),
        jerk: None,
    };
    let mut b = Bench::with(&SafetyParams { zones: Vec::new(), limits: vec![narrowed], ..SafetyParams::default() });
    let q = straight(0.16);
    for (first, next, brakes) in [
        (3e-7, 3e-7 - 0.9e-8, false),
        (3e-7, 3e-7 - 1.1e-8, true),
        (-3e-7, -3e-7 + 0.35e-8, false),
        (-3e-7, -3e-7 + 0.45e-8, true),
        (3e-7, -0.5e-7, false),
        (-3e-7, 0.5e-7, false),
    ] {
        b.rules.tip_speed = 1.0;
        b.rest(&q).plan(&moved(&q, INSERTION, first)).unwrap();
        // Only what brakes may be faster than nothing.
        b.rules.tip_speed = 0.0;
        let got = b.plan(&moved(&q, INSERTION, first + next));
        assert_eq!(got.err().map(|f| f.constraint), (!brakes).then_some(TipSpeed), "{first}, {next}");
    }
}

#[test]
fn a_zone_holds_for_its_arms_only_and_is_named() {
    let q = straight(0.16);
    let into = moved(&q, INSERTION, STEP);
    Bench::in_zone(floor(0.1), &[ArmId::Psm2, ArmId::Ecm]).rest(&q).plan(&into).unwrap();
    Bench::in_zone(floor(0.1), &[PSM]).rest(&q).plan(&into).unwrap_err();
    let zone = |region, arms: &[ArmId]| Zone { name: "z".into(), margin: 0.002, arms: arms.to_vec(), region };
    let zones = vec![zone(floor(0.1), &[ArmId::Ecm]), zone(floor(5.0), &[]), zone(floor(0.12), &[])];
    let mut b = Bench::with(&SafetyParams { zones, ..SafetyParams::default() });
    let f = b.rest(&q).plan(&into).unwrap_err();
    assert_eq!((f.constraint, f.index), (NoGoZone, 2));
}

#[test]
fn the_scope_is_one_thick_segment_to_its_tip() {
    let q = straight(0.11);
    for (short, passes) in [(0.5 * SLACK, true), (1.9 * SLACK, false)] {
        let radius = Bench::new().radius(ArmId::Ecm, 0);
        let lowest = 0.11 + 2e-7 + 0.0007 + radius;
        let mut b = Bench::in_zone(floor(lowest + 0.002 - short), &[]);
        let got = b.rest_of(ArmId::Ecm, &q).plan_of(ArmId::Ecm, &moved(&q, INSERTION, 2e-7));
        assert_eq!(got.is_ok(), passes, "{short}: {got:?}");
    }
}

#[test]
fn instruments_keep_clear_of_each_other_by_their_shafts() {
    let q = straight(0.16);
    let turn = 5e-6;
    let tool_tool = SafetyParams::default().clearance.tool_tool;
    // Beside each other, 2 r and the margin apart; PSM1's wrist swings towards PSM2's shaft.
    let beside = |short: f64, open: bool| {
        let mut b = Bench::new();
        let apart = b.radius(PSM, 0) + b.radius(ArmId::Psm2, 0) + tool_tool;
        let swing = (0.16 + AT_ZERO) * f64::sin(turn);
        b.gate.place(ArmId::Psm2, &Isometry3::translation(apart + swing - short, 0.0, 0.0));
        if open {
            b.rest_of(ArmId::Psm2, &q);
        }
        b.rest(&q);
        b
    };
    let towards = moved(&q, YAW, turn);
    let other = ArmId::Psm2.index() as i32;
    beside(0.5 * SLACK, true).plan(&towards).unwrap();
    refused(beside(2.0 * SLACK, true).plan(&towards), ToolToolDistance, tool_tool - 2.0 * SLACK, tool_tool, other);
    beside(2.0 * SLACK, false).plan(&towards).unwrap();
    // Too near already: away only.
    refused(beside(0.001, true).plan(&towards), ToolToolDistance, tool_tool - 0.001, tool_tool, other);
    beside(0.001, true).plan(&moved(&q, YAW, -turn)).unwrap();
}

/// Tissue points: place, class; standard deviation 0.5 mm.
fn tissue(points: &[([f64; 3], Class)]) -> LiveScene {
    doubtful(&points.iter().map(|&(p, class)| (p, class, 0.0005)).collect::<Vec<_>>())
}

/// Tissue points: place, class, standard deviation.
fn doubtful(points: &[([f64; 3], Class, f64)]) -> LiveScene {
    let surface = points.iter().map(|&(p, class, sigma)| SurfacePoint { position: Point3::from(p), class, sigma });
    LiveScene::new(&Scene {
        stamp: Stamp::FIRST,
        seq: 1,
        world_from_camera: proctor_types::Pose::identity(),
        hand_eyes: Vec::new(),
        instruments: Vec::new(),
        surface: surface.collect(),
        zones_version: 0,
        clearances: Vec::new(),
        grasp_target: None,
        quality: ImageQuality { verdict: QualityVerdict::Good, ..ImageQuality::default() },
        model: Digest::default(),
        time: proctor_types::TimeOffset { timing: proctor_types::Timing::Known, seconds: 0.0, sigma: 0.003 },
    })
}

fn among(points: &[([f64; 3], Class)], keeps: &[(Class, f64)]) -> Bench {
    let mut b = Bench::new();
    keeps.iter().for_each(|(class, keep)| b.rules.policy.keep[usize::from(class.id())] = Some(*keep));
    b.scene = Some(tissue(points));
    b
}

#[test]
fn tissue_is_kept_clear_by_policy_doubt_and_age() {
    let q = straight(0.16);
    let into = moved(&q, INSERTION, STEP);
    let (keep, class) = (0.003, Class::Liver);
    // (standard deviation of the arm, most that doubt adds, growth, limit)
    for (sigma, most, growth, limit) in [
        (0.0, 0.01, 0.0, keep + 2.0 * 0.0005),
        (0.0012, 0.01, 0.0, keep + 2.0 * 0.0013),
        (0.0012, 0.002, 0.0, keep + 0.002),
        (0.0, 0.01, 0.0007, keep + 2.0 * 0.0005 + 0.0007),
        (0.0012, 0.002, 0.0007, keep + 0.002 + 0.0007),
    ] {
        let lowest = {
            let b = Bench::new();
            0.16 + STEP + AT_ZERO + WRIST_A + b.jaw_length() + b.radius(PSM, 2)
        };
        let point = |short: f64| [([0.0, 0.0, -(lowest + limit - short)], class)];
        let bench = |short: f64, keeps: &[(Class, f64)]| {
            let mut b = among(&point(short), keeps);
            let p = &mut b.rules.policy;
            (p.arm_variance, p.max_uncertainty, p.growth) = (sigma * sigma, most, growth);
            b.rest(&q);
            b
        };
        bench(0.5 * SLACK, &[(class, keep)]).plan(&into).unwrap();
        let short = 2.0 * SLACK;
        refused(bench(short, &[(class, keep)]).plan(&into), LiveSurface, limit - short, limit, i32::from(class.id()));
        bench(short, &[(class, keep)]).plan(&moved(&q, INSERTION, -STEP)).unwrap();
        // Contact is allowed with this class, and none is seen of that one.
        bench(short, &[]).plan(&into).unwrap();
        bench(short, &[(Class::CysticArtery, keep)]).plan(&into).unwrap();
    }
}

#[test]
fn leaving_the_worst_point_may_near_another_of_its_class_and_no_other() {
    let q = straight(0.16);
    let turn = 5e-6;
    let b = Bench::new();
    let low = -(0.16 + AT_ZERO) + 0.01;
    let beside = b.radius(PSM, 0) + 0.001;
    // The arm swings to +x, away from the nearer point at -x and towards the one at +x.
    let (worst, next) = ([-beside, 0.0, low], [beside + 0.0005, 0.0, low]);
    let (liver, artery) = (Class::Liver, Class::CysticArtery);
    let keeps = [(liver, 0.003), (artery, 0.003)];
    let away = moved(&q, YAW, turn);
    among(&[(worst, liver), (next, liver)], &keeps).rest(&q).plan(&away).unwrap();
    let f = among(&[(worst, liver), (next, artery)], &keeps).rest(&q).plan(&away).unwrap_err();
    assert_eq!((f.constraint, f.index), (LiveSurface, i32::from(artery.id())));
    let f = among(&[(worst, liver), (next, liver)], &keeps).rest(&q).plan(&moved(&q, YAW, -turn)).unwrap_err();
    assert_eq!((f.constraint, f.index), (LiveSurface, i32::from(liver.id())));
}

/// The worst point is the one that has least room, whatever its distance and however far its doubt reaches.
#[test]
fn the_worst_point_of_a_class_is_found_by_its_room_not_by_its_distance() {
    let q = straight(0.16);
    let turn = 5e-6;
    let radius = Bench::new().radius(PSM, 0);
    let low = -(0.16 + AT_ZERO) + 0.01;
    let (keep, most, growth) = (0.003, 0.002, 0.0007);
    // The arm swings to +x, towards a point that is sure and half a millimetre too near.
    let sure = ([radius + keep + growth - 0.0005, 0.0, low], Class::Liver, 0.0);
    // How much worse than that the doubtful point at -x is; its doubt is as large as doubt may be.
    for (worse, passes) in [(5e-6, true), (-5e-6, false)] {
        let far = radius + keep + most + growth - 0.0005 - worse;
        let doubted = ([-far, 0.0, low], Class::Liver, 0.01);
        // In leaves of their own.
        let points = [[sure; 16], [doubted; 16]].concat();
        let mut b = among(&[], &[(Class::Liver, keep)]);
        (b.rules.policy.max_uncertainty, b.rules.policy.growth) = (most, growth);
        b.scene = Some(doubtful(&points));
        let got = b.rest(&q).plan(&moved(&q, YAW, turn));
        assert_eq!(got.is_ok(), passes, "{worse}: {got:?}");
    }
}

/// The quick look at boxes never hides a point that is too near.
#[test]
fn a_tools_box_reaches_every_point_that_is_near() {
    let b = Bench::new();
    let body = b.bodies.get(PSM);
    for i in 0..4000 {
        let w = |k: f64| 2.0 * ((f64::from(i) + 1.0) * 0.618_033_988 * k).fract() - 1.0;
        let q = [0.8 * w(1.0), 0.6 * w(2.3), 0.14 + 0.06 * w(3.1), w(4.7), 0.9 * w(5.9), 0.9 * w(6.1), 0.4 * w(7.3)];
        let axes = axes(&Isometry3::identity());
        let arm = b.gate.arms.get(PSM);
        let tool = Tool::new(&scalar::corners(axes, &lengths(body), &q), arm, &q);
        let at = Vector3::new(0.15 * w(8.9), 0.15 * w(9.7), -0.1 + 0.1 * w(10.1));
        let dot = Dot { position: Point3::from(at), sigma: 0.0 };
        let p = [dot.position.x, dot.position.y, dot.position.z];
        let near = tool.to_point(p);
        let reach = 0.01 + 0.01 * w(11.3).abs();
        assert!(near >= reach || tool.may_reach(p, p, reach), "case {i}: {near} within {reach}");
    }
    // And it hides what is farther than the reach along an axis.
    let q = straight(0.16);
    let arm = b.gate.arms.get(PSM);
    let tool = Tool::new(&scalar::corners(axes(&Isometry3::identity()), &arm.lengths, &q), arm, &q);
    let side = b.radius(PSM, 0) + 0.01;
    for (x, y, reach, seen) in [
        (side, 0.0, 0.0099, false),
        (side, 0.0, 0.0101, true),
        (-side, 0.0, 0.0099, false),
        (-side, 0.0, 0.0101, true),
        (0.0, side, 0.0099, false),
        (0.0, -side, 0.0101, true),
    ] {
        assert_eq!(tool.may_reach([x, y, -0.05], [x, y, -0.05], reach), seen, "{x} {y} {reach}");
    }
}

/// A box may be reached when its nearest face may, and when the ball around it may.
#[test]
fn a_box_is_within_reach_by_its_faces_and_by_the_ball_around_it() {
    let b = Bench::new();
    let q = straight(0.16);
    let arm = b.gate.arms.get(PSM);
    let tool = Tool::new(&scalar::corners(axes(&Isometry3::identity()), &arm.lengths, &q), arm, &q);
    let (reach, z) = (0.01, -0.05);
    let beside = b.radius(PSM, 0) + reach;
    let below = -(0.16 + AT_ZERO + WRIST_A + b.jaw_length() + b.radius(PSM, 2) + reach);
    let half = 0.001;
    let cube = |from_axis: f64| {
        let c = from_axis / 2.0_f64.sqrt();
        ([c - half, c - half, z - half], [c + half, c + half, z + half])
    };
    let corner = beside + half * 3.0_f64.sqrt();
    for (off, seen) in [(-1e-6, true), (1e-6, false)] {
        for (what, (lower, upper)) in [
            ("a bar that leads away", ([beside + off, 0.0, z], [beside + 0.02, 0.0, z])),
            ("a bar that leads away", ([-0.02 - beside, 0.0, z], [-beside - off, 0.0, z])),
            ("a plate at +x", ([beside + off, -0.03, z - 0.03], [beside + off, 0.03, z + 0.03])),
            ("a plate at -y", ([-0.03, -beside - off, z - 0.03], [0.03, -beside - off, z + 0.03])),
            ("a plate below", ([-0.03, -0.03, below - off], [0.03, 0.03, below - off])),
            ("a cube whose edge is near", cube(corner + off)),
        ] {
            assert_eq!(tool.may_reach(lower, upper, reach), seen, "{what}, {off} m off");
        }
    }
    // Rounding hides no point.
    let at = [beside - 0.5 * SLACK, 0.0, z];
    assert!(tool.may_reach(at, at, reach));
}

#[test]
fn near_tissue_the_tip_is_slower_by_class_and_distance() {
    let mut params = SafetyParams { zones: Vec::new(), ..SafetyParams::default() };
    (params.classes.liver.speed, params.classes.fat.speed) = (3e-4, 1.0);
    let q = straight(0.16);
    let into = moved(&q, INSERTION, STEP);
    let speed = STEP / DT;
    let liver = i32::from(Class::Liver.id());
    // The limit grows by so many mm/s for each millimetre beyond what doubt and age add.
    for (gain, most, growth, added) in [(2.0, 0.01, 0.0, 0.001), (0.5, 0.0004, 0.0007, 0.0011)] {
        params.motion.approach_gain = gain;
        let bench = |params: &SafetyParams, beyond: f64, class| {
            let mut b = Bench::with(params);
            (b.rules.policy.max_uncertainty, b.rules.policy.growth) = (most, growth);
            let lowest = 0.16 + STEP + AT_ZERO + WRIST_A + b.jaw_length() + b.radius(PSM, 2);
            b.scene = Some(tissue(&[([0.0, 0.0, -(lowest + added + beyond)], class)]));
            b.rest(&q);
            b
        };
        let from = (speed - 3e-4) / gain;
        bench(&params, 1.01 * from, Class::Liver).plan(&into).unwrap();
        let near = bench(&params, 0.99 * from, Class::Liver).plan(&into);
        refused(near, Constraint::TissueSpeed, speed, 3e-4 + 0.99 * 2e-4, liver);
        let touching = bench(&params, -5e-4, Class::Liver).plan(&into);
        refused(touching, Constraint::TissueSpeed, speed, 3e-4, liver);
        bench(&params, -5e-4, Class::Fat).plan(&into).unwrap();
        // Policies that come while the gate is in use.
        let mut other = params.clone();
        other.classes.liver.speed = 0.1;
        let mut late = bench(&other, -5e-4, Class::Liver);
        late.gate.police(&params.classes);
        refused(late.plan(&into), Constraint::TissueSpeed, speed, 3e-4, liver);
        bench(&other, -5e-4, Class::Liver).plan(&into).unwrap();
        // To a millionth.
        for (excess, passes) in [(5e-7, true), (2e-6, false)] {
            let mut params = params.clone();
            params.classes.liver.speed = speed / (1.0 + excess);
            assert_eq!(bench(&params, -5e-4, Class::Liver).plan(&into).is_ok(), passes, "{excess}");
        }
        // What is slower than every class bears is slowed nowhere.
        let gate = bench(&params, 0.0, Class::Liver).gate;
        for (speed, from) in [(2e-4, -1e-4 / gain), (3e-4, 0.0), (5e-4, 2e-4 / gain), (0.1, 0.0997 / gain)] {
            assert!((gate.slows_from(speed) - from).abs() < 1e-12, "{speed}");
        }
    }
}

#[test]
fn nothing_goes_against_a_force_that_is_more_than_what_is_touched_bears() {
    let mut params = SafetyParams { zones: Vec::new(), ..SafetyParams::default() };
    params.force.limit = 4.0;
    (params.classes.liver.force, params.classes.fat.force) = (2.0, 1.0);
    let q = straight(0.16);
    let (into, out) = (moved(&q, INSERTION, STEP), moved(&q, INSERTION, -STEP));
    // Pushed upwards and aside; liver or fat so far below.
    let with = |params: &SafetyParams, size: f64, points: &[(f64, Class)]| {
        let mut b = Bench::with(params);
        let lowest = 0.16 + AT_ZERO + WRIST_A + b.jaw_length() + b.radius(PSM, 2);
        let points: Vec<_> = points.iter().map(|(d, class)| ([0.0, 0.0, -(lowest + d)], *class)).collect();
        b.scene = Some(tissue(&points));
        b.rules.force = Some((Vector3::new(0.6, 0.0, 0.8) * size, q));
        b.rest(&q);
        b
    };
    let bench = |size: f64, points: &[(f64, Class)]| with(&params, size, points);
    let liver = i32::from(Class::Liver.id());
    bench(3.99, &[]).plan(&into).unwrap();
    refused(bench(4.01, &[]).plan(&into), Constraint::Force, 4.01, 4.0, -1);
    bench(4.01, &[]).plan(&out).unwrap();
    bench(0.0, &[]).plan(&into).unwrap();
    // Touched is what is no farther than its doubt, 1 mm.
    let both = [(0.0009, Class::Liver), (0.0011, Class::Fat)];
    bench(1.99, &both).plan(&into).unwrap();
    refused(bench(2.01, &both).plan(&into), Constraint::Force, 2.01, 2.0, liver);
    bench(3.99, &[(0.0011, Class::Liver)]).plan(&into).unwrap();
    // Most that doubt adds, and age.
    let aged = |size: f64| {
        let mut b = bench(size, &both);
        (b.rules.policy.max_uncertainty, b.rules.policy.growth) = (0.0004, 0.0006);
        b
    };
    aged(1.99).plan(&into).unwrap();
    refused(aged(2.01).plan(&into), Constraint::Force, 2.01, 2.0, liver);
    // Tissue is named only where it bears less than the arm may press anyway.
    params.classes.liver.force = 4.0;
    refused(with(&params, 4.01, &both).plan(&into), Constraint::Force, 4.01, 4.0, -1);
    // What goes against the force by no more than rounding does not go against it.
    for (size, part, passes) in [(4.01, 0.9, true), (4.01, 1.1, false), (40.0, 0.9, true), (40.0, 1.1, false)] {
        let got = with(&params, size, &[]).plan(&moved(&q, INSERTION, part * SLACK / 0.8));
        assert_eq!(got.is_ok(), passes, "{size} N, {part}: {got:?}");
    }
}

/// How far inside the picture PSM1's tip is, by nalgebra and the arms' own chains.
fn inside(b: &Bench, mount: &Isometry3<f64>, view: (f64, f64), psm: &Q, ecm: &Q) -> f64 {
    let scope = b.bodies.get(ArmId::Ecm);
    let tip = b.bodies.get(PSM).shape(psm).unwrap().tip;
    let camera = scope.world_from_base() * scope.chain().fk(&ecm[..4]).unwrap().iso() * mount;
    let p = camera.inverse() * tip;
    let edge = |off: f64, half: f64| p.z * half.sin() - off.abs() * half.cos();
    edge(p.x, view.0).min(edge(p.y, view.1))
}

#[test]
fn what_moves_by_itself_keeps_instruments_in_the_picture() {
    let params = SafetyParams { zones: Vec::new(), ..SafetyParams::default() };
    let view = (params.view.horizontal, params.view.vertical);
    let mount = *crate::Filter::new(&params).unwrap().camera_mount();
    let (psm, ecm) = (straight(0.16), straight(0.11));
    let bench = |margin: f64, watched: bool| {
        let view = crate::View { margin, ..params.view };
        let mut b = Bench::with(&SafetyParams { view, ..params.clone() });
        ArmId::ALL.into_iter().for_each(|arm| b.gate.place(arm, b.bodies.get(arm).world_from_base()));
        b.rules.watched = watched;
        b
    };
    let plain = bench(0.0, true);
    let here = inside(&plain, &mount, view, &psm, &ecm);
    let index = PSM.index() as i32;

    // The instrument moves: which way leads outwards?
    let at = |by: f64| inside(&plain, &mount, view, &moved(&psm, YAW, by), &ecm);
    let outwards = if at(5e-6) < here { 5e-6 } else { -5e-6 };
    let margin = at(outwards) + 2.0 * SLACK;
    let instrument = |margin: f64, watched: bool, sees: bool, to: &Q| {
        let mut b = bench(margin, watched);
        if sees {
            b.gate.rest_at(ArmId::Ecm, &ecm);
        }
        b.rest(&psm).plan(to)
    };
    let (out, back) = (moved(&psm, YAW, outwards), moved(&psm, YAW, -outwards));
    refused(instrument(margin, true, true, &out), Constraint::OutOfView, at(outwards), margin, index);
    instrument(margin, true, true, &back).unwrap();
    instrument(margin, false, true, &out).unwrap();
    instrument(margin, true, false, &out).unwrap();
    // A fraction of the slack for rounding; and what is out of the picture may open its jaws there.
    instrument(at(outwards) + 0.5 * SLACK, true, true, &out).unwrap();
    instrument(here + 1e-3, true, true, &moved(&psm, JAW, 1e-6)).unwrap();

    // The endoscope moves: instruments that are in its picture stay there, others do not hold it.
    let at = |by: f64| inside(&plain, &mount, view, &psm, &moved(&ecm, YAW, by));
    let outwards = if at(1.9e-6) < here { 1.9e-6 } else { -1.9e-6 };
    let endoscope = |margin: f64, seen: bool, by: f64| {
        let mut b = bench(margin, true);
        if seen {
            b.gate.rest_at(PSM, &psm);
        }
        b.rest_of(ArmId::Ecm, &ecm).plan_of(ArmId::Ecm, &moved(&ecm, YAW, by))
    };
    assert!(here - at(outwards) > 1.2 * SLACK, "{}", here - at(outwards));
    let margin = here - 1e-10;
    refused(endoscope(margin, true, outwards), Constraint::OutOfView, at(outwards), margin, index);
    endoscope(margin, true, -outwards).unwrap();
    endoscope(margin, false, outwards).unwrap();
    refused(endoscope(here + 1e-3, true, outwards), Constraint::OutOfView, at(outwards), here + 1e-3, index);
    endoscope(here + 1e-3, true, -outwards).unwrap();
    endoscope(here - 1e-6, true, outwards).unwrap();
}

#[test]
fn an_endoscope_keeps_in_the_picture_what_was_in_it_when_it_last_stood_still() {
    let params = SafetyParams {
        zones: Vec::new(),
        view: crate::View { margin: 0.015, ..SafetyParams::default().view },
        ..SafetyParams::default()
    };
    let view = (params.view.horizontal, params.view.vertical);
    let mount = *crate::Filter::new(&params).unwrap().camera_mount();
    let ecm = straight(0.11);
    let mut b = Bench::with(&params);
    ArmId::ALL.into_iter().for_each(|arm| b.gate.place(arm, b.bodies.get(arm).world_from_base()));
    // The instrument a millimetre within one edge of the picture, beyond it, and within the opposite edge; the endoscope's yaw and pitch together lead across.
    let along = |yaw: f64| moved(&straight(0.16), YAW, yaw);
    let place = |sign: f64, off: f64| {
        let edge = |m: f64| inside(&b, &mount, view, &along(sign * m), &ecm);
        let found = (0..60).fold((0.0, 0.6), |(a, z), _| {
            let m = f64::midpoint(a, z);
            if edge(m) > off { (m, z) } else { (a, m) }
        });
        along(sign * found.0)
    };
    let [within, beyond, other] = [place(1.0, 0.001), place(1.0, -0.001), place(-1.0, 0.001)];
    for (psm, off) in [(within, 0.001), (beyond, -0.001), (other, 0.001)] {
        let there = inside(&b, &mount, view, &psm, &ecm);
        assert!((there - off).abs() < 1e-9, "{there} {off} {psm:?}");
    }
    let turned = |by: f64| moved(&moved(&ecm, YAW, by), PITCH, by);
    let step = 1.9e-6;
    let inwards = |psm: &Q| {
        let here = inside(&b, &mount, view, psm, &ecm);
        if inside(&b, &mount, view, psm, &turned(step)) > here { step } else { -step }
    };
    let (inwards, back) = (inwards(&within), inwards(&other));
    assert!(inwards * back < 0.0, "one side's inwards is the other's outwards");
    // Begins to move with the instrument at the first place, goes on the same way with it at the others in turn.
    let mut passes = |places: &[Q]| -> bool {
        b.rules.watched = true;
        b.rest_of(ArmId::Ecm, &ecm);
        (1..).zip(places).all(|(tick, psm)| {
            b.gate.rest_at(PSM, psm);
            b.plan_of(ArmId::Ecm, &turned(f64::from(tick) * inwards)).is_ok()
        })
    };
    assert!(passes(&[within, within]));
    assert!(!passes(&[other]));
    assert!(!passes(&[within, other]), "at a steady speed as well");
    assert!(passes(&[beyond, other]), "it was not in the picture when the motion began");
    assert!(passes(&[within, beyond, other]), "it has left since");
    b.rules.watched = false;
    b.rest_of(ArmId::Ecm, &ecm).gate.rest_at(PSM, &within);
    b.plan_of(ArmId::Ecm, &turned(inwards)).unwrap();
    b.rules.watched = true;
    b.gate.rest_at(PSM, &other);
    b.plan_of(ArmId::Ecm, &turned(2.0 * inwards)).unwrap();
    // That a hand moves the instrument meanwhile does not end it.
    b.rest_of(ArmId::Ecm, &ecm).gate.rest_at(PSM, &within);
    b.plan_of(ArmId::Ecm, &turned(inwards)).unwrap();
    b.rules.watched = false;
    b.gate.rest_at(PSM, &other);
    b.ask(PSM, &moved(&other, ROLL, 8e-8), &moved(&other, ROLL, 1e-8)).unwrap();
    b.rules.watched = true;
    let got = b.plan_of(ArmId::Ecm, &turned(2.0 * inwards));
    assert!(got.is_err_and(|f| f.constraint == Constraint::OutOfView), "{got:?}");
}

#[test]
fn a_steady_speed_is_no_braking() {
    let floor = ZoneShape::HalfSpace { point: [0.0, 0.0, -0.2], normal: [0.0, 0.0, 1.0] };
    let mut b = Bench::in_zone(floor, &[]);
    // The wrist, straight down: how far in for the jaws to be at the zone's margin, by the gate's own word.
    let mut q = straight(0.15);
    b.rest(&q);
    let (mut speed, mut refusal) = (0.0, None);
    for _ in 0..20_000 {
        speed = (speed + STEP / 4.0_f64).min(2e-5);
        q = moved(&q, INSERTION, speed);
        if let Err(finding) = b.plan(&q) {
            refusal = Some((speed, finding.constraint));
            break;
        }
    }
    assert_eq!(refusal, Some((2e-5, NoGoZone)), "it went at 0.02 m/s into the zone");
}

#[test]
fn a_shaft_beside_its_trocar_is_refused_now_and_where_a_stop_would_end() {
    let mut params = SafetyParams { zones: Vec::new(), ..SafetyParams::default() };
    params.instruments[1] = "LEAN7_PROBE".into();
    let arm = ArmId::Psm2;
    let chain = proctor_kinematics::Chain::held("LEAN7_PROBE").unwrap();
    let home: Q = chain.home().unwrap().as_slice().try_into().unwrap();
    let offset = |q: &Q| chain.shaft_offset(q).unwrap().norm();
    // The elbow alone leads out; how far it may be for half a millimetre, by bisection.
    let edge = |sign: f64| {
        let inside = |m: f64| offset(&moved(&home, 3, sign * m)) < 5e-4;
        let halve = |(a, z), _| {
            let m = f64::midpoint(a, z);
            if inside(m) { (m, z) } else { (a, m) }
        };
        (0..60).fold((0.0, 0.01), halve).0
    };
    let (out, step) = (edge(1.0), 2e-6);
    let inner = moved(&home, 3, out - 1e-5);
    let mut b = Bench::with(&params);
    b.rest_of(arm, &inner);
    let passed = b.plan_of(arm, &moved(&inner, 3, step)).unwrap();
    assert_eq!((passed.jaw, passed.position.len()), (None, 7));
    // Already outside: nothing passes, in whichever direction.
    let outer = moved(&home, 3, out + 1e-5);
    b.rest_of(arm, &outer);
    let stop = (step / DT).powi(2) / (2.0 * 6.0);
    refused(b.plan_of(arm, &moved(&outer, 3, step)), TrocarOffset, offset(&moved(&outer, 3, step + stop)), 5e-4, -1);
    // Inside, but so fast that the stop would end outside: 0.09 rad/s take 0.015 s and 0.7 mrad at 6 rad/s^2.
    let mut b = Bench::with(&params);
    let start = moved(&home, 3, out - 1.2e-3);
    b.rest_of(arm, &start);
    let (mut at, mut v) = (start, 0.0);
    let end = loop {
        v += 5.9e-3;
        at = moved(&at, 3, v * DT);
        let end = moved(&at, 3, v * v / (2.0 * 6.0));
        if offset(&end) > 5e-4 {
            break end;
        }
        b.plan_of(arm, &at).unwrap();
    };
    assert!(offset(&at) < 4e-4, "it is well inside itself");
    refused(b.plan_of(arm, &at), TrocarOffset, offset(&end), 5e-4, -1);
    // A stop is not held up.
    v -= 5.9e-3;
    let braking = moved(&b.planned[0].clone(), 3, (v - 5.9e-3) * DT);
    assert!(b.plan_of(arm, &braking).is_ok());
    // To either side the stop is as long as the limit of the other makes it.
    let acceleration = Some([3.0, 4.0]);
    params.limits = vec![Narrowed { arm, joint: 3, position: None, velocity: None, acceleration, jerk: None }];
    let mut b = Bench::with(&params);
    for (sign, slowing) in [(1.0, 3.0), (-1.0, 4.0)] {
        let outer = moved(&home, 3, sign * (edge(sign) + 1e-5));
        let end = moved(&outer, 3, sign * (step + (step / DT).powi(2) / (2.0 * slowing)));
        let got = b.rest_of(arm, &outer).plan_of(arm, &moved(&outer, 3, sign * step));
        refused(got, TrocarOffset, offset(&end), 5e-4, -1);
    }
}
