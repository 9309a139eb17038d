//! What an arm's own limits leave of a wish, before anything around it is looked at.

use super::{TIP_PLANNED, entry};
use crate::{
    Finding,
    bend::{Aim, Wish},
    body::Body,
    dofs::{Bounds, N, map2},
    remote_centre::RemoteCentre,
};
use proctor_types::Constraint;

/// What an arm's own limits leave of the way to a goal, and which of them was binding.
pub(crate) fn aim(body: &Body, b: &Bounds, wish: &Wish) -> (Aim, Option<Finding>) {
    let Wish { state, goal, rules } = wish;
    let arm = body.arm();
    let mut binding = None;
    let clamped = map2(&map2(goal, &b.lower, f64::max), &b.upper, f64::min);
    if let Some(j) = (0..N).find(|&j| goal.get(j) != clamped.get(j)) {
        let (value, limit) = (entry(goal, j), entry(&clamped, j));
        binding = Some(Finding::of(arm, Constraint::JointPosition, value, limit).at(j));
    }
    let wanted = state.approach(&clamped, &b.velocity, &b.acceleration);
    let wanted = match body.remote_centre() {
        None => wanted,
        Some(rc) => {
            let (led, foreseen) = rc.lead(body.chain(), state, &wanted, b);
            binding = binding.or(foreseen.map(|offset| body.off_trocar(offset)));
            led
        }
    };
    let speed = b.velocity.worst_ratio(&wanted);
    if speed > 0.97 {
        let j = b.velocity.worst_index(&wanted);
        let value = entry(&wanted, j);
        let finding = Finding::of(arm, Constraint::JointVelocity, value.abs(), b.velocity.towards(j, value));
        binding = binding.or(Some(finding.at(j)));
    }
    let tip = body.tip_speed(&state.q, &wanted).unwrap_or(f64::INFINITY);
    let too_fast = tip > TIP_PLANNED * rules.tip_speed;
    let wanted = if too_fast {
        binding = Some(Finding::of(arm, Constraint::TipSpeed, tip, rules.tip_speed));
        let part = TIP_PLANNED * rules.tip_speed / tip;
        wanted.map(|w| w * part)
    } else {
        wanted
    };
    let next = match body.remote_centre() {
        None => state.accelerate(&wanted, &b.acceleration),
        Some(_) => RemoteCentre::mend(body.chain(), state, &wanted, b),
    };
    if binding.is_none() && next != wanted {
        let change = map2(&wanted, &state.v, |w, v| w - v).map(|d| d / crate::dofs::DT);
        let j = b.acceleration.worst_index(&change);
        let (value, limit) = (entry(&change, j).abs(), b.acceleration.towards(j, entry(&change, j)));
        binding = Some(Finding::of(arm, Constraint::JointAcceleration, value, limit).at(j));
    }
    (Aim { wanted, next, braking: state.brake_velocity(&b.acceleration) }, binding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SafetyParams,
        braking::MotionState,
        dofs::{DT, LIMIT_USE, Q, Sides},
        filter::{Filter, Rules},
    };
    use proctor_types::{ArmId, Stamp};

    const HOME: Q = [0.0, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2];
    const INSERTION: usize = 2;
    /// Faster than any tip.
    const UNLIMITED: f64 = 1e3;

    /// What is left of a wish of PSM1 to move one joint by `way`, on which it has the speed `speed` already.
    fn aimed(b: &Bounds, joint: usize, way: f64, speed: f64, tip_speed: f64) -> (Aim, Option<Finding>) {
        let f = Filter::new(&SafetyParams::default()).unwrap();
        let mut state = MotionState::resting(HOME);
        let mut goal = HOME;
        (state.v[joint], goal[joint]) = (speed, HOME[joint] + way);
        let rules = Rules { tip_speed, ..f.rules(ArmId::Psm1, false, false, Stamp::FIRST) };
        aim(f.body(ArmId::Psm1), b, &Wish { state, goal, rules })
    }

    fn bounds() -> Bounds {
        let f = Filter::new(&SafetyParams::default()).unwrap();
        let own = *f.bounds(ArmId::Psm1);
        // Less to one side than to the other, so that a limit of the wrong side is seen.
        Bounds { velocity: uneven(&own.velocity, 0.9), acceleration: uneven(&own.acceleration, 0.8), ..own }
    }

    fn uneven(sides: &Sides, up: f64) -> Sides {
        Sides { up: sides.up.map(|x| x * up), ..*sides }
    }

    /// The value near `near` of which `of` makes exactly `wanted`, if rounding leaves one.
    fn exactly(wanted: f64, near: f64, of: impl Fn(f64) -> f64) -> Option<f64> {
        let up = std::iter::successors(Some(near), |x| Some(x.next_up()));
        let down = std::iter::successors(Some(near), |x| Some(x.next_down()));
        up.zip(down).take(20).flat_map(|(a, b)| [a, b]).find(|x| of(*x) == wanted)
    }

    #[test]
    fn a_way_is_as_fast_as_its_braking_distance_allows_and_the_limit_that_says_so_is_named() {
        let b = bounds();
        let mut named = [0; 3];
        for joint in [0, 1, 2, 3, 5] {
            for way in [1e-7, 1e-5, 1e-3, 0.01, 0.05, 0.35] {
                for way in [way, -way] {
                    // The insertion has no room for the longest.
                    let way = if joint == INSERTION { way * 0.2 } else { way };
                    let (aim, binding) = aimed(&b, joint, way, 0.0, UNLIMITED);
                    let (v, a) = (b.velocity.towards(joint, way), b.acceleration.towards(joint, -way));
                    // One tick at the speed and then a stop: v dt + v^2 / (2 a) = way.
                    let a_used = LIMIT_USE * a;
                    let root = a_used * ((DT * DT + 2.0 * way.abs() / a_used).sqrt() - DT);
                    let expected = root.min(LIMIT_USE * v);
                    let got = aim.wanted[joint] * way.signum();
                    assert!((got / expected - 1.0).abs() < 1e-6, "joint {joint} by {way}: {got}, expected {expected}");
                    assert!(aim.wanted.iter().enumerate().all(|(j, w)| j == joint || *w == 0.0));
                    let step = LIMIT_USE * DT * b.acceleration.towards(joint, way);
                    let next = aim.next[joint] * way.signum();
                    assert!((next / expected.min(step) - 1.0).abs() < 1e-6, "joint {joint} by {way}");
                    let said = binding.map(|f| (f.constraint, f.index, f.value, f.limit));
                    let index = joint as i32;
                    if expected > 0.97 * v {
                        named[0] += 1;
                        assert_eq!(said, Some((Constraint::JointVelocity, index, got, v)));
                    } else if expected > step {
                        named[1] += 1;
                        let value = said.unwrap().2;
                        assert!((value / (got / DT) - 1.0).abs() < 1e-12, "{value}");
                        let limit = b.acceleration.towards(joint, way);
                        assert_eq!(said, Some((Constraint::JointAcceleration, index, value, limit)));
                    } else {
                        named[2] += 1;
                        assert_eq!((said, aim.next), (None, aim.wanted));
                    }
                }
            }
        }
        assert!(named.iter().all(|n| *n > 5), "{named:?}");
    }

    #[test]
    fn what_a_moving_arm_is_asked_to_change_counts_against_its_acceleration() {
        let b = bounds();
        for (way, speed) in [(0.05, 0.3), (0.05, -0.3), (-0.05, 0.3), (0.002, 0.6)] {
            let (aim, binding) = aimed(&b, 0, way, speed, UNLIMITED);
            let change = aim.wanted[0] - speed;
            let limit = b.acceleration.towards(0, change);
            assert!((aim.next[0] - speed - LIMIT_USE * DT * limit * change.signum()).abs() < 1e-12, "{way} {speed}");
            let said = binding.unwrap();
            assert_eq!((said.constraint, said.index, said.limit), (Constraint::JointAcceleration, 0, limit));
            assert!((said.value * DT - change.abs()).abs() < 1e-12, "{said:?}");
        }
        // At the speed that is wanted, nothing is asked.
        let (aim, binding) = aimed(&b, 0, 0.05, aimed(&b, 0, 0.05, 0.0, UNLIMITED).0.wanted[0], UNLIMITED);
        assert_eq!((aim.next, binding), (aim.wanted, None));
    }

    #[test]
    fn a_speed_is_said_to_be_limited_beyond_97_hundredths() {
        let mut b = bounds();
        let to = |way: f64| {
            let wanted = aimed(&bounds(), 3, way, 0.0, UNLIMITED).0.wanted[3];
            Some((way, wanted, exactly(0.97, wanted / 0.97, |most| wanted / most)?))
        };
        let (way, wanted, most) = (0..50).find_map(|i| to(0.05 + 0.001 * f64::from(i))).unwrap();
        for (most, limited) in [(most, false), (most * (1.0 - 1e-9), true), (most * (1.0 + 1e-9), false)] {
            b.velocity.up[3] = most;
            let (aim, binding) = aimed(&b, 3, way, 0.0, UNLIMITED);
            assert_eq!(aim.wanted[3], wanted);
            assert_eq!(binding.unwrap().constraint == Constraint::JointVelocity, limited, "{most}");
        }
    }

    #[test]
    fn a_tip_has_95_hundredths_of_its_limit_and_says_what_it_would_have_had() {
        let b = bounds();
        // Along the insertion the tip is as fast as the joint.
        let free = aimed(&b, INSERTION, 0.02, 0.0, UNLIMITED).0.wanted[INSERTION];
        assert!(free > 0.1);
        let planned = |limit: f64| TIP_PLANNED * limit;
        let enough = exactly(free, free / TIP_PLANNED, planned).unwrap();
        for (limit, limited) in [
            (enough, false),
            (enough * (1.0 + 1e-9), false),
            (enough * (1.0 - 1e-9), true),
            (free, true),
            (0.1, true),
            (0.005, true),
        ] {
            let (aim, binding) = aimed(&b, INSERTION, 0.02, 0.0, limit);
            let said = binding.unwrap();
            if limited {
                assert!((aim.wanted[INSERTION] - 0.95 * limit).abs() < 1e-15, "{aim:?}");
                assert_eq!((said.constraint, said.index, said.limit), (Constraint::TipSpeed, -1, limit));
                assert!((said.value - free).abs() < 1e-15, "{said:?}");
            } else {
                assert_eq!(aim.wanted[INSERTION], free);
                assert_ne!(said.constraint, Constraint::TipSpeed);
            }
        }
    }
}
