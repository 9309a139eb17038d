//! Every quantity of the remote centre by another way: numerical differences, the gate's kinematics, Lagrange's multipliers, bisection.
//! Two arms: the one that is shipped, and one whose joints also slide.

use super::*;
use crate::{SafetyParams, serial::Serial};
use proctor_kinematics::ArmFile;
use proctor_types::ArmId;

/// Half of the step of a difference quotient.
const H: f64 = 1e-6;
/// Between what is used and what is promised, m.
const RESERVED: f64 = 4.5e-4;

/// An arm, with limits that differ from side to side, and its shaft by the gate's kinematics.
struct Arm {
    chain: Chain,
    rc: RemoteCentre,
    b: Bounds,
    other: Serial,
}

impl Arm {
    fn of(chain: Chain) -> Self {
        let rc = RemoteCentre::of(&chain).unwrap();
        let mut b = Bounds::new(ArmId::Psm2, chain.limits(), &SafetyParams::default());
        for (j, part) in [1.0, 0.6, 0.8, 1.0, 0.7, 0.9, 0.5].into_iter().enumerate() {
            (b.acceleration.down[j], b.velocity.up[j]) = (part * b.acceleration.down[j], part * b.velocity.up[j]);
        }
        let other = Serial::new(chain.rows(), rc.tolerance());
        Self { chain, rc, b, other }
    }

    /// Home, and something else in every joint that there is.
    fn about_home(&self, part: f64, of: impl Fn(usize) -> f64) -> Q {
        let (home, slides) = (self.chain.home().unwrap(), self.chain.limits().slides);
        let mut q = [0.0; N];
        for j in 0..self.chain.dof() {
            q[j] = home[j] + part * of(j) * if slides[j] { 0.1 } else { 1.0 };
        }
        q
    }

    /// As far as that from home, wherever the shaft is then.
    fn somewhere(&self, i: usize) -> Q {
        self.about_home(0.25, |j| spread(i, j as f64))
    }

    /// In the trocar: the same, led back.
    fn inside(&self, i: usize) -> Q {
        let mut q = self.somewhere(i);
        for _ in 0..15 {
            let centring = self.pass(&q).centring(&[0.0; N], &[1.0; N]).unwrap();
            q = map2(&q, &centring, |q, v| q + v / RETURN);
        }
        assert!(self.offset(&q) < CENTRED);
        q
    }

    /// From there in a direction until the shaft is this far from the trocar.
    fn off(&self, q: &Q, direction: &Q, by: f64) -> Q {
        let far = |part: f64| map2(q, direction, |q, d| q + part * d);
        let (mut near, mut away) = (0.0, 0.05);
        for _ in 0..60 {
            let m = f64::midpoint(near, away);
            if self.offset(&far(m)) < by { near = m } else { away = m }
        }
        far(near)
    }

    fn pass(&self, q: &Q) -> Pass {
        pass(&self.chain, q).unwrap()
    }

    fn offset(&self, q: &Q) -> f64 {
        self.other.offset(q)
    }

    /// Rates of a part of the limits; none in joints that there are not.
    fn rates(&self, part: f64, i: usize, k: f64) -> Q {
        let limit = self.b.velocity.least();
        std::array::from_fn(|j| if j < self.chain.dof() { part * limit[j] * spread(i, k + j as f64) } else { 0.0 })
    }
}

fn lean7() -> Arm {
    Arm::of(Chain::held("LEAN7_PROBE").unwrap())
}

/// A chain whose joints turn and slide, crosswise and aslant; at zero joints everything stands upright over the trocar.
pub(crate) fn sliding_chain() -> Chain {
    let joints = [
        ("revolute", "0.6 0 0.8", 0.1),
        ("prismatic", "1 0 0", 0.1),
        ("revolute", "0 1 0", 0.1),
        ("prismatic", "0 0.6 0.8", 0.1),
        ("revolute", "1 0 0", 0.05),
        ("prismatic", "0 0 1", 0.05),
    ];
    let mut urdf = "<robot name=\"odd\"><link name=\"l0\"/>".to_owned();
    for (i, (kind, axis, z)) in joints.into_iter().enumerate() {
        urdf += &format!(
            "<joint name=\"j{i}\" type=\"{kind}\"><parent link=\"l{i}\"/><child link=\"l{next}\"/><origin xyz=\"0 0 {z}\" rpy=\"0 0 0\"/>\
             <axis xyz=\"{axis}\"/><limit lower=\"-2\" upper=\"2\" effort=\"1\" velocity=\"1\"/></joint><link name=\"l{next}\">\
             <collision><geometry><cylinder radius=\"0.004\" length=\"0.4\"/></geometry></collision></link>",
            next = i + 1
        );
    }
    urdf += "</robot>";
    let file = "urdf = \"\"\nfoot = \"l0\"\ntip = \"l6\"\nshaft = \"l6\"\nacceleration = [6.0, 1.0, 8.0, 2.0, 5.0, 1.5]\n\
                jerk = [1e3, 1e3, 1e3, 1e3, 1e3, 1e3]\nhome = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]\n\
                [remote_centre]\nfoot_xyz = [0.0, 0.0, -0.4]\nfoot_rpy = [0.0, 0.0, 0.0]\ntolerance = 0.0005\n";
    Chain::of_arm(&ArmFile::parse("odd", file, &urdf).unwrap()).unwrap()
}

fn arms() -> [Arm; 2] {
    [lean7(), Arm::of(sliding_chain())]
}

/// Weyl sequence over [-1, 1]: the same on every run.
fn spread(i: usize, k: f64) -> f64 {
    2.0 * ((i as f64 + 1.0) * 0.618_033_988_749_894_9 * (k + 1.3)).fract() - 1.0
}

/// Further on a way.
fn on(q: &Q, way: &Q, part: f64) -> Q {
    map2(q, way, |q, w| q + part * w)
}

fn only(joint: usize, value: f64) -> Q {
    let mut q = [0.0; N];
    q[joint] = value;
    q
}

/// Across a direction, both unit.
fn across(along: &Vector3<f64>) -> [Vector3<f64>; 2] {
    let one = along.cross(&Vector3::new(0.3, -0.5, 0.8)).normalize();
    [one, along.cross(&one)]
}

/// How fast the shaft's point at the trocar moves on a way, and how fast the shaft turns: by differences.
fn by_differences(arm: &Arm, q: &Q, way: &Q) -> (Vector3<f64>, Vector3<f64>) {
    let pose = |part: f64| *arm.chain.fk(&on(q, way, part)[..arm.chain.dof()]).unwrap().iso();
    let (before, here, after) = (pose(-H), pose(0.0), pose(H));
    let point = here.inverse() * nalgebra::Point3::from(arm.pass(q).offset);
    (
        (after * point - before * point) / (2.0 * H),
        (after.rotation * before.rotation.inverse()).scaled_axis() / (2.0 * H),
    )
}

/// By Lagrange: the velocity that is nearest to `v` of those that move the shaft across by `-back`. Strength is an acceleration's square, and only
/// its ratios count.
fn nearest(pass: &Pass, v: &Q, acceleration: &Q, back: Vector3<f64>) -> Q {
    let most = acceleration.iter().copied().filter(|a| a.is_finite()).fold(0.0, f64::max);
    let strength = acceleration.map(|a| if a.is_finite() { (a / most).powi(2) } else { 0.0 });
    let mut rows = nalgebra::SMatrix::<f64, 9, 9>::zeros();
    let mut right = SVector::<f64, 9>::zeros();
    for j in 0..N {
        (rows[(j, j)], right[j]) = (1.0, v[j]);
        for (k, side) in across(&pass.along).iter().enumerate() {
            let across = side.dot(&pass.rates[j]);
            (rows[(7 + k, j)], rows[(j, 7 + k)]) = (across, strength[j] * across);
            right[7 + k] = -side.dot(&back);
        }
    }
    let x = rows.lu().solve(&right).unwrap();
    std::array::from_fn(|j| x[j])
}

fn apart(a: &Q, b: &Q) -> f64 {
    map2(a, b, |a, b| (a - b).abs()).into_iter().fold(0.0, f64::max)
}

#[test]
fn where_the_shaft_passes_and_how_joints_move_it_is_what_differences_say() {
    for arm in arms() {
        for i in 0..60 {
            let q = arm.somewhere(i);
            let pass = arm.pass(&q);
            let end = *arm.chain.fk(&q[..arm.chain.dof()]).unwrap().iso() * nalgebra::Point3::origin();
            assert!((pass.offset.norm() - arm.offset(&q)).abs() < 1e-12, "{i}");
            assert!(pass.offset.dot(&pass.along).abs() < 1e-12 && (pass.along.norm() - 1.0).abs() < 1e-12, "{i}");
            assert!((pass.offset - end.coords).cross(&pass.along).norm() < 1e-12, "{i}: a point of the shaft");
            for j in 0..N {
                if j >= arm.chain.dof() {
                    assert_eq!([pass.moves[j], pass.turns[j], pass.rates[j]], [Vector3::zeros(); 3]);
                    continue;
                }
                let (moves, turns) = by_differences(&arm, &q, &only(j, 1.0));
                assert!((pass.moves[j] - moves).norm() < 1e-8 && (pass.turns[j] - turns).norm() < 1e-8, "{i} {j}");
                let offset = |part: f64| arm.pass(&on(&q, &only(j, 1.0), part)).offset;
                let shifted = (offset(H) - offset(-H)) / (2.0 * H);
                assert!(pass.rates[j].dot(&pass.along).abs() < 1e-12, "{i} {j}");
                for side in across(&pass.along) {
                    assert!((pass.rates[j] - shifted).dot(&side).abs() < 1e-8, "{i} {j}");
                }
            }
        }
        assert!(pass(&arm.chain, &[f64::INFINITY; N]).is_none());
    }
}

#[test]
fn what_leads_back_is_the_nearest_velocity_that_does_whatever_the_accelerations_unit() {
    for arm in arms() {
        for i in 0..100 {
            let q = if i % 2 == 0 { arm.somewhere(i) } else { arm.inside(i) };
            let (pass, v) = (arm.pass(&q), arm.rates(0.5, i, 3.0));
            let mut acceleration: Q = std::array::from_fn(|j| 6.0 + 5.0 * spread(i, 17.0 + j as f64));
            // What has no limit is no joint, and is not used.
            acceleration[i % N] = if i % 3 == 0 { f64::INFINITY } else { acceleration[i % N] };
            let back = if i % 2 == 0 { RETURN * pass.offset } else { Vector3::zeros() };
            let wanted = nearest(&pass, &v, &acceleration, back);
            for unit in [1e-6, 1.0, 1e6] {
                let found = pass.centring(&v, &acceleration.map(|a| a * unit)).unwrap();
                assert!(apart(&found, &wanted) < 1e-9, "{i} {unit}: {}", apart(&found, &wanted));
            }
        }
    }
}

/// The shaft points along z; the first two joints move it along x, the third along y, half a metre each.
fn by_hand(offset: f64) -> Pass {
    let half = Vector3::new(0.5, 0.0, 0.0);
    let rates = [
        half,
        half,
        Vector3::new(0.0, 0.5, 0.0),
        Vector3::zeros(),
        Vector3::zeros(),
        Vector3::zeros(),
        Vector3::zeros(),
    ];
    Pass {
        offset: Vector3::new(offset, 0.0, 0.0),
        rates,
        moves: rates,
        along: Vector3::z(),
        turns: [Vector3::zeros(); N],
    }
}

#[test]
fn an_offset_is_led_back_from_a_micrometre_on_and_joints_share_it_by_their_strength() {
    let acceleration = [1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0];
    let v = [0.1, 0.2, 0.3, 0.4, 0.0, 0.0, 0.0];
    let centred = |offset: f64| by_hand(offset).centring(&v, &acceleration).unwrap();
    // Along x the shaft would go at 0.5 (0.1 + 0.2) m/s. The first joint takes 1 part of 1 + 4, the second 4: 0.3/5 and 4 * 0.3/5.
    assert!(apart(&centred(0.0), &[0.04, -0.04, 0.0, 0.4, 0.0, 0.0, 0.0]) < 1e-15);
    assert_eq!(centred(0.999_999 * CENTRED), centred(0.0));
    // A micrometre off, at 20/s: 2e-5 m/s, 4e-5 rad/s of the two together.
    for offset in [CENTRED, -CENTRED, 0.01] {
        let back = offset / CENTRED * 4e-5;
        let wanted = [0.04 - back / 5.0, -0.04 - 4.0 * back / 5.0, 0.0, 0.4, 0.0, 0.0, 0.0];
        assert!(apart(&centred(offset), &wanted) < 1e-12, "{offset}");
    }
    let nothing = Pass { rates: [Vector3::zeros(); N], ..by_hand(0.01) };
    assert_eq!(nothing.centring(&v, &acceleration), None, "no joint moves it");
    assert_eq!(by_hand(0.01).centring(&v, &[f64::INFINITY; N]), None, "nor may one");
}

/// What [`RemoteCentre::lead`] promises, worked out here.
fn led(arm: &Arm, state: &MotionState, wanted: &Q, planned: f64) -> (Q, Option<f64>) {
    let pass = arm.pass(&state.q);
    let back = if pass.offset.norm() < CENTRED { Vector3::zeros() } else { RETURN * pass.offset };
    let v = nearest(&pass, wanted, &arm.b.acceleration.least(), back);
    let (mut slowest, mut longest) = (1.0f64, 0.0f64);
    for j in (0..N).filter(|&j| v[j] != 0.0) {
        slowest = slowest.min(LIMIT_USE * arm.b.velocity.towards(j, v[j]) / v[j].abs());
    }
    let v = v.map(|v| slowest * v);
    for j in (0..N).filter(|&j| v[j] != 0.0) {
        longest = longest.max(v[j].abs() / (LIMIT_USE * arm.b.acceleration.towards(j, -v[j])));
    }
    // A stop at constant deceleration goes half as far as the speed would in its time.
    let foreseen = arm.offset(&on(&state.q, &v, longest / 2.0));
    if foreseen <= planned {
        return (v, None);
    }
    // How far a stop leads out grows with the fourth power of the speed.
    (v.map(|v| v * (planned / foreseen).powf(0.25).max(SLOWEST)), Some(foreseen))
}

#[test]
fn what_is_led_is_what_is_nearest_as_fast_as_limits_and_the_stop_allow() {
    for arm in arms() {
        let (mut slowed, mut free, mut fast) = (0, 0, 0);
        for i in 0..200 {
            let q = if i % 5 == 0 { arm.off(&arm.inside(i), &arm.rates(1.0, i, 4.0), RESERVED) } else { arm.inside(i) };
            let state = MotionState::resting(q);
            let wanted = arm.rates([0.1, 0.5, 1.0, 4.0][i % 4], i, 20.0);
            let rc = RemoteCentre { tolerance: if i % 16 < 8 { arm.rc.tolerance } else { 0.05 } };
            let (v, foreseen) = rc.lead(&arm.chain, &state, &wanted, &arm.b);
            let (w, expected) = led(&arm, &state, &wanted, PLANNED * (rc.tolerance - RESERVE));
            assert!(apart(&v, &w) < 1e-9, "{i}: {}", apart(&v, &w));
            assert_eq!(foreseen.is_some(), expected.is_some(), "{i}");
            assert!((foreseen.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-10, "{i}");
            slowed += usize::from(foreseen.is_some());
            free += usize::from(foreseen.is_none());
            fast += usize::from(foreseen.is_none() && arm.b.velocity.worst_ratio(&v) > LIMIT_USE - 1e-9);
        }
        assert!(slowed > 30 && free > 30 && fast > 10, "{slowed} {free} {fast}");
    }
}

#[test]
fn where_there_is_hardly_room_a_motion_is_slowed_to_a_tenth_and_no_further() {
    let arm = lean7();
    let tight = RemoteCentre { tolerance: RESERVE + 1e-9 };
    let state = MotionState::resting(arm.inside(4));
    let wanted = arm.rates(1.0, 4, 20.0);
    let (free, _) = RemoteCentre { tolerance: 1.0 }.lead(&arm.chain, &state, &wanted, &arm.b);
    let (slow, foreseen) = tight.lead(&arm.chain, &state, &wanted, &arm.b);
    assert!(foreseen.is_some() && apart(&slow, &free.map(|v| 0.1 * v)) < 1e-15);
}

#[test]
fn rates_below_a_ten_millionth_are_rest() {
    let arm = lean7();
    let state = MotionState::resting(arm.inside(2));
    // The last joint turns the shaft about itself.
    let led = |rate: f64| arm.rc.lead(&arm.chain, &state, &only(6, rate), &arm.b);
    assert_eq!(led(0.999 * REST), ([0.0; N], None));
    assert_eq!(led(-0.999 * REST), ([0.0; N], None));
    for rate in [REST, -REST, 1.001 * REST] {
        assert!(apart(&led(rate).0, &only(6, rate)) < 1e-12, "{rate}");
    }
}

#[test]
fn what_is_led_keeps_the_offset_and_leads_one_back() {
    for arm in arms() {
        for i in 0..100 {
            let q = arm.inside(i);
            let wanted = arm.rates(0.05, i, 9.0);
            let lead = |q: &Q, wanted: &Q| arm.rc.lead(&arm.chain, &MotionState::resting(*q), wanted, &arm.b);
            let (v, slowed) = lead(&q, &wanted);
            assert_eq!(slowed, None);
            // Off by the square of the way at most.
            let after = |q: &Q, v: &Q, by: f64| arm.offset(&on(q, v, by));
            assert!(after(&q, &v, 1e-3) < 2e-6, "{i}: {}", after(&q, &v, 1e-3));
            assert!(after(&q, &wanted, 1e-3) > after(&q, &v, 1e-3), "{i}");
            // From a tenth of a millimetre off, a hundredth of the return time takes a hundredth of it away.
            let off = arm.off(&q, &wanted, 1e-4);
            let (back, _) = lead(&off, &[0.0; N]);
            assert!((after(&off, &back, 0.01 / RETURN) / arm.offset(&off) - 0.99).abs() < 1e-3, "{i}");
        }
        let broken = MotionState::resting([f64::NAN; N]);
        assert_eq!(arm.rc.lead(&arm.chain, &broken, &[0.1; N], &arm.b), ([0.0; N], None));
    }
}

#[test]
fn the_speed_is_planned_so_that_the_stop_keeps_the_trocar() {
    let arm = lean7();
    let (chain, rc, b) = (&arm.chain, &arm.rc, &arm.b);
    let mut slowed = 0;
    for i in 0..200 {
        let q = arm.inside(i);
        let wanted: Q = std::array::from_fn(|j| b.velocity.up[j] * spread(i, 20.0 + j as f64));
        let (v, foreseen) = rc.lead(chain, &MotionState::resting(q), &wanted, b);
        assert!(b.velocity.worst_ratio(&v) <= 1.0);
        let state = MotionState { q, v };
        let at_end = RemoteCentre::offset(chain, &state.stop(&b.acceleration));
        assert!(at_end <= rc.used(), "{i}: {at_end} m, foreseen {foreseen:?}");
        if let Some(foreseen) = foreseen {
            slowed += 1;
            assert!(foreseen > PLANNED * rc.used());
        }
    }
    assert!(slowed > 50, "{slowed}");
}

#[test]
fn mending_takes_as_much_of_the_correction_as_joints_can_do() {
    for arm in arms() {
        let (mut whole, mut part, mut none) = (0, 0, 0);
        for i in 0..400 {
            let q = if i % 3 == 0 { arm.somewhere(i) } else { arm.inside(i) };
            // The last joint, which turns or slides the shaft along itself and needs no correction, is never at its limit.
            let tame = |v: Q| map2(&v, &only(arm.chain.dof() - 1, 0.5), |v, less| v * (1.0 - less));
            let v = tame(arm.rates([0.1, 0.97, 1.1][i / 3 % 3], i, 80.0));
            // Some move as the trocar wants it already.
            let v =
                if i % 5 < 2 { nearest(&arm.pass(&q), &v, &arm.b.acceleration.least(), Vector3::zeros()) } else { v };
            let state = MotionState { q, v };
            // A command that changes little leaves all of the acceleration to the correction.
            let wanted = on(&state.v, &tame(arm.rates(1.0, i, 90.0)), [0.001, 0.1, 1.0, 1.0][i % 4]);
            // On the straight line to what is wanted, as far as its share of the acceleration goes.
            let change = map2(&wanted, &state.v, |w, v| w - v);
            let room = |j: usize| SHARE * LIMIT_USE * DT * arm.b.acceleration.towards(j, change[j]) / change[j].abs();
            let share = (0..N).filter(|&j| change[j] != 0.0).map(room).fold(1.0, f64::min);
            let next = on(&state.v, &change, share);
            let pass = arm.pass(&q);
            let back = if pass.offset.norm() < CENTRED { Vector3::zeros() } else { RETURN * pass.offset };
            let least = arm.b.acceleration.least();
            let fix = map2(&nearest(&pass, &next, &least, back), &next, |c, n| c - n);
            // A joint may not go farther in the correction's direction than its acceleration and speed allow.
            let may = |part: f64| {
                (0..N).filter(|&j| fix[j].abs() > 1e-12).all(|j| {
                    let (to, from) = ((next[j] + part * fix[j]) * fix[j].signum(), state.v[j] * fix[j].signum());
                    to - from <= least[j] * LIMIT_USE * DT && to <= LIMIT_USE * arm.b.velocity.least()[j]
                })
            };
            let (mut most, mut over) = if may(1.0) { (1.0, 1.0) } else { (0.0, 1.0) };
            for _ in 0..50 {
                let m = f64::midpoint(most, over);
                if may(m) { most = m } else { over = m }
            }
            let mended = RemoteCentre::mend(&arm.chain, &state, &wanted, &arm.b);
            assert!(apart(&mended, &on(&next, &fix, most)) < 1e-9, "{i} {most}: {mended:?}");
            *(if most == 1.0 {
                &mut whole
            } else if most > 1e-9 {
                &mut part
            } else {
                &mut none
            }) += 1;
        }
        assert!(whole > 10 && part > 10 && none > 10, "{whole} {part} {none}");
    }
}

#[test]
fn mending_keeps_what_joints_can_do() {
    let arm = lean7();
    for i in 0..300 {
        let state = MotionState { q: arm.inside(i), v: arm.rates(0.97, i, 80.0) };
        let next = RemoteCentre::mend(&arm.chain, &state, &arm.rates(0.98, i, 90.0), &arm.b);
        for j in 0..N {
            let change = next[j] - state.v[j];
            assert!(change.abs() <= arm.b.acceleration.towards(j, change) * DT + 1e-12, "{i} {j}");
            assert!(next[j].abs() <= arm.b.velocity.towards(j, next[j]), "{i} {j}");
        }
    }
}

#[test]
fn a_tick_whose_stop_leaves_the_trocar_is_refused() {
    let arm = lean7();
    let (chain, rc, b) = (&arm.chain, &arm.rc, &arm.b);
    let (mut taken, mut refused) = (0, 0);
    for i in 0..300 {
        let q = arm.inside(i);
        let wanted: Q = std::array::from_fn(|j| b.velocity.up[j] * spread(i, 60.0 + j as f64));
        let v = arm.pass(&q).centring(&wanted, &b.acceleration.least()).unwrap();
        let v = v.map(|x| x / b.velocity.worst_ratio(&v).max(1.0));
        let to = MotionState { q, v }.advanced(v);
        let worst = stop(&arm, &to).into_iter().fold(0.0, f64::max);
        match rc.check(chain, &q, &to, b) {
            Ok(()) => {
                taken += 1;
                assert!(worst <= rc.used(), "{i}: {worst}");
            }
            Err(said) => {
                refused += 1;
                // What may lie between samples is added, here and to what the ticks of the stop miss.
                let way = map2(&to.stop(&b.acceleration), &q, |e, q| e - q);
                let between = BETWEEN.max(bend(chain, &q, &way).unwrap() / (8.0 * MAX_SAMPLES * MAX_SAMPLES));
                assert!(said > rc.used() && said <= worst + 2.0 * between, "{i}: {said} {worst} {between}");
            }
        }
    }
    assert!(taken > 30 && refused > 30, "{taken} {refused}");
}

/// Offsets in every tick of a stop, where it begins included.
fn stop(arm: &Arm, to: &MotionState) -> Vec<f64> {
    let (mut s, mut offsets) = (*to, vec![arm.offset(&to.q)]);
    while !s.rests() {
        s = s.advanced(s.brake_velocity(&arm.b.acceleration));
        offsets.push(arm.offset(&s.q));
    }
    offsets
}

#[test]
fn from_the_reserve_every_tick_of_the_stop_comes_nearer_or_it_is_refused() {
    for arm in arms() {
        let (mut taken, mut refused) = (0, 0);
        for i in 0..400 {
            let inside = arm.inside(i);
            let by = [4.1e-4, RESERVED, 4.99e-4, 5.01e-4][i % 4];
            let from = arm.off(&inside, &arm.rates(1.0, i, 4.0), by);
            // Led back, and something else, up to a hundred times as fast.
            let back = arm.pass(&from).centring(&arm.rates(0.02, i, 60.0), &arm.b.acceleration.least()).unwrap();
            let aside = arm.rates([0.0, 0.01, 0.1][i / 4 % 3], i, 70.0);
            let v = map2(&back, &aside, |b, a| (b + a) * [0.1, 1.0, 10.0][i / 12 % 3]);
            let to = MotionState { q: from, v }.advanced(v);
            let offsets = stop(&arm, &to);
            let mut last = arm.offset(&from);
            let mut expected = if last <= arm.rc.tolerance() { Ok(()) } else { Err(last.max(offsets[0])) };
            for (tick, now) in offsets.into_iter().enumerate() {
                if expected.is_ok() && (now > last || tick == ESCAPE_TICKS) {
                    expected = Err(now.max(arm.offset(&from)));
                }
                last = now;
            }
            match (arm.rc.check(&arm.chain, &from, &to, &arm.b), expected) {
                (Ok(()), Ok(())) => taken += 1,
                (Err(said), Err(expected)) if (said - expected).abs() < 1e-12 => refused += 1,
                other => panic!("{i}: {other:?}"),
            }
            let rests = arm.rc.check(&arm.chain, &from, &MotionState::resting(from), &arm.b);
            assert_eq!(rests.is_ok(), i % 4 != 3, "{i}: where it is it may stay, unless that is too far");
        }
        assert!(taken > 30 && refused > 30, "{taken} {refused}");
    }
}

#[test]
fn from_the_reserve_a_stop_of_48_ticks_is_too_long() {
    let arm = lean7();
    let from = arm.off(&arm.inside(3), &arm.rates(1.0, 3, 4.0), RESERVED);
    let back = arm.pass(&from).centring(&[0.0; N], &arm.b.acceleration.least()).unwrap();
    // Slowly back, while the shaft turns about itself.
    let tick = LIMIT_USE * DT * arm.b.acceleration.down[6];
    let check = |ticks: f64| {
        let to =
            MotionState::resting(from).advanced(map2(&back.map(|v| v * 0.1), &only(6, ticks * tick), |b, t| b + t));
        assert_eq!(stop(&arm, &to).len() as f64, 1.0 + ticks.ceil());
        arm.rc.check(&arm.chain, &from, &to, &arm.b)
    };
    assert_eq!(check(46.5), Ok(()));
    assert!((check(47.5).unwrap_err() - arm.offset(&from)).abs() < 1e-12);
}

#[test]
fn from_the_reserve_it_may_only_come_back() {
    let arm = lean7();
    let (chain, rc, b) = (&arm.chain, &arm.rc, &arm.b);
    let q = arm.inside(3);
    let out: Q = arm.pass(&q).rates.map(|r| r.x);
    let step = |from: &Q, sign: f64| MotionState::resting(*from).advanced(out.map(|o| sign * 1e-3 * o));
    let reserve = arm.off(&q, &out, RESERVED);
    assert!(rc.check(chain, &reserve, &step(&reserve, -1.0), b).is_ok());
    assert!(rc.check(chain, &reserve, &step(&reserve, 1.0), b).is_err());
    let beyond = arm.off(&q, &out, 5.5e-4);
    assert!(rc.check(chain, &beyond, &step(&beyond, -1.0), b).is_err());
}

/// Ways of many lengths: straight from the trocar to the trocar, and anywhere.
fn ways(arm: &Arm, i: usize) -> (Q, Q) {
    let from = arm.inside(i);
    let size = [0.001, 0.01, 0.05, 0.2][i % 4];
    let way = arm.about_home(size, |j| spread(i, 40.0 + j as f64));
    let way = map2(&way, &arm.about_home(0.0, |_| 0.0), |w, h| w - h);
    // Half of them along the trocar's own directions, where only the bend leads out.
    let way = if i % 8 < 4 { arm.pass(&from).centring(&way, &[1.0; N]).unwrap() } else { way };
    (from, if i.is_multiple_of(3) { map2(&arm.inside(i + 1), &from, |e, f| (e - f) * size * 4.0) } else { way })
}

#[test]
fn the_bound_between_samples_holds_on_every_way() {
    for arm in arms() {
        let (chain, rc) = (&arm.chain, &arm.rc);
        let (mut kept, mut left) = (0, 0);
        for i in 0..400 {
            let (from, way) = ways(&arm, i);
            let dense = (0..=100).map(|k| on(&from, &way, f64::from(k) / 100.0));
            let truly = dense.map(|q| arm.offset(&q)).fold(0.0, f64::max);
            match rc.keeps(chain, &from, &on(&from, &way, 1.0)) {
                Ok(()) => {
                    kept += 1;
                    assert!(truly <= rc.used(), "{i}: {truly}");
                }
                Err(said) => {
                    left += 1;
                    assert!(said >= truly - 1e-12, "{i}: {said} {truly}");
                }
            }
            // The second derivative of the offset's vector, by differences, is never larger than its bound.
            let g = |s: f64| chain.shaft_offset(&on(&from, &way, s)[..chain.dof()]).unwrap();
            let bent = (0..=20)
                .map(|k| f64::from(k) * 0.048 + 0.02)
                .map(|s| (g(s + 0.02) - 2.0 * g(s) + g(s - 0.02)).norm() / 4e-4);
            let bound = bend(chain, &from, &way).unwrap();
            assert!(bent.fold(0.0, f64::max) <= bound * 1.001 + 1e-9, "{i}");
        }
        assert!(kept > 60 && left > 60, "{kept} {left}");
        assert!(rc.keeps(chain, &[f64::NAN; N], &[0.0; N]).is_err());
    }
}

#[test]
fn the_bound_of_the_bend_is_the_sum_of_what_each_part_of_it_may_be() {
    for arm in arms() {
        let slides = arm.chain.limits().slides;
        for i in 0..100 {
            let (from, way) = (arm.somewhere(i), ways(&arm, i).1);
            let joints = &from[..arm.chain.dof()];
            let (tip, levers) = (arm.chain.fk(joints).unwrap().translation().norm(), arm.chain.levers(joints).unwrap());
            let (mut angle, mut moved) = (0.0, 0.0);
            for j in 0..N {
                angle += if slides[j] { 0.0 } else { way[j].abs() };
                // The shaft's point at the trocar is no farther from a joint than the tip is, and the tip from the trocar.
                moved += way[j].abs() * if slides[j] { 1.0 } else { levers[j] + tip };
            }
            let (moves, turns) = by_differences(&arm, &from, &way);
            // g = z x r: g'' = z'' x r + 2 z' x r' + z x r''.
            let r2 = angle * moved * angle.exp();
            let (r1, z1, z2) = (moves.norm() + r2, turns.norm() + angle * angle, angle * angle);
            let expected = z2 * (arm.offset(&from) + r1) + 2.0 * z1 * r1 + r2;
            let bound = bend(&arm.chain, &from, &way).unwrap();
            assert!((bound / expected - 1.0).abs() < 1e-6, "{i}: {bound} {expected}");
        }
        assert_eq!(bend(&arm.chain, &[f64::NAN; N], &[0.1; N]), None);
    }
    // What only slides goes straight.
    let arm = Arm::of(sliding_chain());
    assert_eq!(bend(&arm.chain, &arm.somewhere(1), &[0.0, 0.1, 0.0, -0.2, 0.0, 0.3, 0.0]), Some(0.0));
}

#[test]
fn a_way_is_looked_at_as_often_as_its_bend_asks_for() {
    for arm in arms() {
        let mut often = [0; MAX_SAMPLES as usize + 1];
        for i in 0..200 {
            let (from, way) = ways(&arm, i);
            let bend = bend(&arm.chain, &from, &way).unwrap();
            // Between two samples that are 1 / n apart lies an eighth of the second derivative / n^2.
            let between = |n: u32| bend / 8.0 / f64::from(n).powi(2);
            let n = (1..MAX_SAMPLES as u32).find(|&n| between(n) <= BETWEEN).unwrap_or(MAX_SAMPLES as u32);
            often[n as usize] += 1;
            let places = (0..=n).map(|k| on(&from, &way, f64::from(k) / f64::from(n)));
            let worst = places.map(|q| arm.offset(&q)).fold(0.0, f64::max) + between(n);
            let keeps =
                |used: f64| RemoteCentre { tolerance: used + RESERVE }.keeps(&arm.chain, &from, &on(&from, &way, 1.0));
            assert!((keeps(0.0).unwrap_err() - worst).abs() < 1e-12, "{i}");
            assert!(keeps(worst - 1e-9).is_err() && keeps(worst + 1e-9).is_ok(), "{i}");
        }
        assert!(often[1] > 5 && often[2..24].iter().sum::<i32>() > 30 && often[24] > 5, "{often:?}");
    }
}

#[test]
fn the_reserve_covers_how_far_the_mean_that_is_sent_may_lie_beside() {
    let arm = lean7();
    let b = Bounds::new(ArmId::Psm2, arm.chain.limits(), &SafetyParams::default());
    let w = crate::smooth::window(&b) as f64;
    let mut worst = 0.0f64;
    for i in 0..200 {
        let pass = arm.pass(&arm.inside(i));
        let off = pass.rates.iter().zip(&b.acceleration.up).map(|(r, a)| r.norm() * a * DT * DT * (w * w - 1.0) / 24.0);
        worst = worst.max(off.sum());
    }
    assert!(worst < RESERVE, "{worst}");
}

#[test]
fn the_planes_of_a_program_are_where_the_offset_is_half_of_what_is_used() {
    let arm = lean7();
    let (q, half) = (arm.inside(5), arm.rc.used() / 2.0);
    for (h, rates) in arm.rc.planes(&arm.chain, &q).unwrap() {
        assert!((h - half).abs() < 1e-5);
        for j in 0..N {
            let (mut a, mut z) = (q, q);
            (a[j], z[j]) = (a[j] - 1e-6, z[j] + 1e-6);
            let plane = |q: &Q| {
                let all = arm.rc.planes(&arm.chain, q).unwrap();
                all.into_iter().map(|(h, r)| (h, (0..N).map(|k| (r[k] - rates[k]).abs()).sum::<f64>()))
            };
            let nearest = |q: &Q| plane(q).min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
            assert!(((nearest(&z) - nearest(&a)) / 2e-6 - rates[j]).abs() < 1e-3, "{j}");
        }
    }
}

#[test]
fn the_planes_stand_opposite_each_other_and_crosswise() {
    for arm in arms() {
        for i in 0..50 {
            let q = arm.off(&arm.inside(i), &arm.rates(1.0, i, 4.0), 1e-5 * i as f64);
            let (half, pass) = (arm.rc.used() / 2.0, arm.pass(&q));
            let [left, right, low, high] = arm.rc.planes(&arm.chain, &q).unwrap();
            for (one, other) in [(left, right), (low, high)] {
                assert!((one.0 + other.0 - 2.0 * half).abs() < 1e-15 && apart(&one.1, &other.1.map(|r| -r)) < 1e-15);
            }
            // By Pythagoras, of the offset and of how each joint moves it.
            let (x, y) = (left.0 - half, low.0 - half);
            assert!((x.hypot(y) - arm.offset(&q)).abs() < 1e-12, "{i}");
            for j in 0..N {
                assert!((left.1[j].hypot(low.1[j]) - pass.rates[j].norm()).abs() < 1e-12, "{i} {j}");
            }
        }
        assert!(arm.rc.planes(&arm.chain, &[f64::NAN; N]).is_none());
    }
}
