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
