//! Software remote centre: the line of the shaft of an arm whose mechanism does not hold it in the trocar stays within the
//! arm's own tolerance of it (at most 0.5 mm), in every tick and on every stop.
//!
//! The trocar is the origin of the arm's base, so nothing the world does moves one against the other. Three parts:
//! - [`RemoteCentre::lead`] turns what is wanted into the nearest motion along which the shaft keeps passing the trocar, and slows it so
//!   that the stop after it does too: a stop is straight in joint space, and a straight line in joint space leaves the trocar by a distance
//!   that grows with the fourth power of the speed;
//! - [`RemoteCentre::mend`] spends what is left of a tick's acceleration on coming back to the trocar;
//! - [`RemoteCentre::check`] judges a tick and the stop after it. The first two only propose.

use crate::{
    braking::MotionState,
    dofs::{Bounds, DT, LIMIT_USE, N, Q, map2},
    filter::RESERVE,
};
use nalgebra::{Matrix3, SVector, Vector3};
use proctor_kinematics::Chain;

/// How fast an offset is led back, 1/s.
const RETURN: f64 = 20.0;
/// An offset smaller than this is none, m.
const CENTRED: f64 = 1e-6;
/// Part of the room that a stop may use where the speed is planned; a candidate may use all.
const PLANNED: f64 = 0.6;
/// Part of a tick's acceleration that goes towards what is wanted; the rest is for staying in the trocar.
const SHARE: f64 = 0.7;
/// Rates slower than this are rest, rad/s or m/s.
const REST: f64 = 1e-7;
/// Least part that a motion is slowed to at once.
const SLOWEST: f64 = 0.1;
/// Between two samples of a way the offset may be larger than at both by this, m, as far as samples suffice.
const BETWEEN: f64 = 2e-5;
/// Most samples of a way.
const MAX_SAMPLES: f64 = 24.0;
/// Most ticks of a stop from a place between what is used and what is allowed.
const ESCAPE_TICKS: usize = 48;

/// The tolerance of an arm's remote centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RemoteCentre {
    tolerance: f64,
}

/// How the shaft passes the trocar at some joints, base frame.
struct Pass {
    /// From the trocar to the nearest point of the shaft's line, m.
    offset: Vector3<f64>,
    /// How each joint moves it, m per rad or per m.
    rates: [Vector3<f64>; N],
    /// How each joint moves that point of the shaft: as `rates`, and along the shaft.
    moves: [Vector3<f64>; N],
    /// Unit, along the shaft.
    along: Vector3<f64>,
    /// How each joint turns the shaft.
    turns: [Vector3<f64>; N],
}

impl RemoteCentre {
    /// An arm's, unless its mechanism holds it in the trocar.
    pub fn of(chain: &Chain) -> Option<Self> {
        chain.software_remote_centre().map(|tolerance| Self { tolerance })
    }

    /// What is promised, m.
    pub fn tolerance(&self) -> f64 {
        self.tolerance
    }

    /// What the filter uses of it, m: the rest is for the mean that is sent, and rounding.
    fn used(&self) -> f64 {
        self.tolerance - RESERVE
    }

    /// Distance of the shaft's line from the trocar, m; infinite when a joint is not finite.
    pub fn offset(chain: &Chain, q: &Q) -> f64 {
        let joints = q.get(..chain.dof()).unwrap_or_default();
        chain.shaft_offset(joints).map_or(f64::INFINITY, |o| o.norm())
    }

    /// The motion nearest to `wanted` along which the shaft passes the trocar, or comes back to it, slow enough for the stop after it. Returns it
    /// with the offset that the stop would have had, if that made it slower.
    pub fn lead(&self, chain: &Chain, state: &MotionState, wanted: &Q, b: &Bounds) -> (Q, Option<f64>) {
        let Some(along) = pass(chain, &state.q).and_then(|p| p.centring(wanted, &b.acceleration.least())) else {
            return ([0.0; N], None);
        };
        let fastest = b.velocity.worst_ratio(&along) / LIMIT_USE;
        let along = along.map(|v| v / fastest.max(1.0));
        let along = if along.iter().all(|v| v.abs() < REST) { [0.0; N] } else { along };
        let time = b.acceleration.worst_ratio(&along.map(|v| -v)) / LIMIT_USE;
        let foreseen = Self::offset(chain, &map2(&state.q, &along, |q, v| q + v * time / 2.0));
        let planned = PLANNED * self.used();
        if foreseen <= planned {
            return (along, None);
        }
        let part = (planned / foreseen).sqrt().sqrt().max(SLOWEST);
        (along.map(|v| v * part), Some(foreseen))
    }

    /// The velocity of the next tick towards `wanted`, bent back to the trocar as far as the acceleration limits leave room for it.
    pub fn mend(chain: &Chain, state: &MotionState, wanted: &Q, b: &Bounds) -> Q {
        let next = state.accelerate(wanted, &b.acceleration.scaled(SHARE));
        let centred = pass(chain, &state.q).and_then(|p| p.centring(&next, &b.acceleration.least())).unwrap_or(next);
        let step = b.acceleration.least().map(|a| a * LIMIT_USE * DT);
        let fix = map2(&centred, &next, |c, n| c - n);
        // Largest part of the correction with which no joint changes by more than its step, nor is faster than its limit.
        let fastest = b.velocity.least();
        let joints = fix.iter().zip(&next).zip(&state.v).zip(step.iter().zip(&fastest));
        let part = joints.fold(1.0, |part: f64, (((fix, next), v), (step, fastest))| {
            let along = |x: f64| if fix.is_sign_negative() { -x } else { x };
            let room = (along(*v) + step).min(LIMIT_USE * fastest) - along(*next);
            if *fix == 0.0 { part } else { part.min((room / fix.abs()).max(0.0)) }
        });
        map2(&next, &fix, |n, f| n + part * f)
    }

    /// Whether the shaft keeps passing the trocar from `from` through the tick to `to` and on the stop after it. If not, the largest
    /// offset foreseen, m.
    pub fn check(&self, chain: &Chain, from: &Q, to: &MotionState, b: &Bounds) -> Result<(), f64> {
        let end = to.stop(&b.acceleration);
        let here = Self::offset(chain, from);
        if here <= self.used() {
            return self.keeps(chain, from, &end);
        }
        // Between what is used and what is allowed it may only come back, tick by tick.
        let stop =
            std::iter::successors(Some(*to), |s| (!s.rests()).then(|| s.advanced(s.brake_velocity(&b.acceleration))));
        let mut last = here;
        for (tick, s) in stop.enumerate() {
            let now = Self::offset(chain, &s.q);
            // Written so that NaN is refused too.
            if tick >= ESCAPE_TICKS || !(now <= last && here <= self.tolerance) {
                return Err(now.max(here));
            }
            last = now;
        }
        Ok(())
    }

    /// Whether the shaft keeps passing the trocar while the joints go straight from `from` to `end`; if not, the largest offset found, m.
    pub fn keeps(&self, chain: &Chain, from: &Q, end: &Q) -> Result<(), f64> {
        let way = map2(end, from, |e, f| e - f);
        let bend = bend(chain, from, &way).unwrap_or(f64::INFINITY);
        let samples = (bend / (8.0 * BETWEEN)).sqrt().ceil().clamp(1.0, MAX_SAMPLES);
        let between = bend / (8.0 * samples * samples);
        let at = |k: u32| map2(from, &way, |f, w| f + w * f64::from(k) / samples);
        let worst = (0..=samples as u32).map(|k| Self::offset(chain, &at(k))).fold(0.0, f64::max) + between;
        // Written so that NaN is refused too.
        if worst <= self.used() { Ok(()) } else { Err(worst) }
    }

    /// Distances of the shaft's line from four planes around the trocar, and how each joint changes them: what a program over the joints keeps
    /// positive. They allow half of what the filter uses, so that ways that bend remain.
    pub fn planes(&self, chain: &Chain, q: &Q) -> Option<[(f64, Q); 4]> {
        let pass = pass(chain, q)?;
        let across = pass.along.cross(&Vector3::x()).try_normalize(1e-3).unwrap_or_else(Vector3::y);
        let up = pass.along.cross(&across);
        let plane = |inward: Vector3<f64>| {
            (self.used() / 2.0 + inward.dot(&pass.offset), pass.rates.map(|rate| inward.dot(&rate)))
        };
        Some([plane(across), plane(-across), plane(up), plane(-up)])
    }
}

fn pass(chain: &Chain, q: &Q) -> Option<Pass> {
    let joints = q.get(..chain.dof())?;
    let (tip, jacobian) = chain.fk_jacobian(joints).ok()?;
    let (end, along) = (tip.translation(), tip.rotation() * Vector3::z());
    let offset = end - along * end.dot(&along);
    let mut pass = Pass {
        offset,
        along,
        rates: [Vector3::zeros(); N],
        moves: [Vector3::zeros(); N],
        turns: [Vector3::zeros(); N],
    };
    let slots = pass.rates.iter_mut().zip(&mut pass.moves).zip(&mut pass.turns);
    for (((rate, moves), turn), column) in slots.zip(jacobian.column_iter()) {
        let linear: Vector3<f64> = column.fixed_rows::<3>(0).into();
        *turn = column.fixed_rows::<3>(3).into();
        *moves = linear + turn.cross(&(offset - end));
        *rate = *moves - along * moves.dot(&along);
    }
    Some(pass)
}

impl Pass {
    /// The velocity nearest to `v`, joints weighed by what they can do, that leads the offset back; `None` where no joint can.
    fn centring(&self, v: &Q, acceleration: &Q) -> Option<Q> {
        let strength = acceleration.map(|a| if a.is_finite() { a * a } else { 0.0 });
        let back = if self.offset.norm() < CENTRED { Vector3::zeros() } else { self.offset * RETURN };
        let drift: Vector3<f64> = self.rates.iter().zip(v).map(|(rate, v)| rate * *v).sum();
        let each = self.rates.iter().zip(&strength).map(|(rate, strength)| rate * rate.transpose() * *strength);
        let mut gain: Matrix3<f64> = each.sum();
        // The rates have no part along the shaft: one is added, so that there is an inverse.
        gain += self.along * self.along.transpose() * gain.trace().max(f64::MIN_POSITIVE);
        let push = gain.try_inverse()? * (drift + back);
        let mut out = *v;
        for ((slot, rate), strength) in out.iter_mut().zip(&self.rates).zip(&strength) {
            *slot -= strength * rate.dot(&push);
        }
        out.iter().all(|x| x.is_finite()).then_some(out)
    }
}

/// A bound on how much the offset bends along a straight way in joint space, m: its second derivative over the whole way.
///
/// Offset = |g|, g = z x r, with r from a point of the shaft to the trocar. g'' = z'' x r + 2 z' x r' + z x r''. Rates are the Jacobian's at the
/// start plus what their own derivatives, bounded by angles and levers, may add.
fn bend(chain: &Chain, from: &Q, way: &Q) -> Option<f64> {
    let joints = from.get(..chain.dof())?;
    let pass = pass(chain, from)?;
    // Levers of the shaft's point at the trocar, by those of the tip and its distance from there.
    let depth = chain.fk(joints).ok()?.translation().norm();
    let slides = chain.limits().slides;
    let angles = map2(way, &slides.map(|s| if s { 0.0 } else { 1.0 }), |w, s| w.abs() * s);
    let turned: f64 = angles.iter().sum();
    let slid: f64 = way.iter().map(|w| w.abs()).sum::<f64>() - turned;
    let moved: f64 = chain.levers(joints).ok()?.iter().zip(&angles).map(|(l, a)| (l + depth) * a).sum::<f64>() + slid;
    // Levers grow by no more than the point moves (Groenwall).
    let curved = moved * turned.exp() * turned;
    let of = |rates: &[Vector3<f64>; N]| {
        let sum: SVector<f64, 3> = rates.iter().zip(way).map(|(r, w)| r * *w).sum();
        sum.norm()
    };
    let swing = of(&pass.turns) + turned * turned;
    let speed = of(&pass.moves) + curved;
    let reach = pass.offset.norm() + speed;
    Some(turned * turned * reach + 2.0 * swing * speed + curved)
}

#[cfg(test)]
#[path = "remote_centre_tests.rs"]
pub(crate) mod remote_centre_tests;
