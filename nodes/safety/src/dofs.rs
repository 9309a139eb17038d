//! One arm's degrees of freedom as a fixed array: the joints, then the jaw (if there is one), then unused zeros. How many there are and which
//! slide is its model's [`Layout`], not its name's. On the stack, no lengths to disagree about; unused entries have infinite limits and are always zero.

use crate::{Narrowed, SafetyParams};
use proctor_kinematics::{JawLimits, JointLimits};
use proctor_types::{ArmId, Joints, MAX_JOINTS};

/// Entries of [`Q`]: six joints and a jaw, or seven joints.
pub const N: usize = MAX_JOINTS;

/// Positions, rates or accelerations of one arm's degrees of freedom (rad; insertion m).
pub type Q = [f64; N];

/// Period of the loop, s.
pub const DT: f64 = 1e-3;

/// Part of velocity and acceleration limits that the filter uses; the rest keeps rounding out of the gate.
pub const LIMIT_USE: f64 = 0.98;

/// Which entries of [`Q`] an arm has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// How many joints.
    pub joints: usize,
    /// Whether a jaw follows them.
    pub jaw: bool,
    /// Which of them slide: lengths, not angles.
    pub slides: [bool; N],
}

impl Layout {
    /// Of an arm with these limits.
    pub fn of(limits: &JointLimits) -> Self {
        Self { joints: limits.lower.len(), jaw: limits.jaw != JawLimits::default(), slides: limits.slides }
    }

    /// How many entries are used.
    pub fn used(&self) -> usize {
        self.joints + usize::from(self.jaw)
    }

    /// Joints and jaw as one array; `jaw` is ignored for an arm without one.
    pub fn pack(&self, joints: &Joints, jaw: f64) -> Q {
        let mut q = [0.0; N];
        for (slot, &x) in q.iter_mut().zip(joints.iter().take(self.joints)) {
            *slot = x;
        }
        self.set_jaw(&mut q, jaw);
        q
    }

    /// The joints of an array, or `None` when one is not finite.
    pub fn joints(&self, q: &Q) -> Option<Joints> {
        Joints::new(q.get(..self.joints)?).ok()
    }

    /// The jaw of an array; 0 for an arm without one.
    pub fn jaw(&self, q: &Q) -> f64 {
        if self.jaw { q.get(self.joints).copied().unwrap_or(0.0) } else { 0.0 }
    }

    /// Another jaw angle, for an arm that has one.
    pub fn set_jaw(&self, q: &mut Q, jaw: f64) {
        if let (true, Some(slot)) = (self.jaw, q.get_mut(self.joints)) {
            *slot = jaw;
        }
    }
}

/// Element-wise `f(a, b)`.
pub fn map2(a: &Q, b: &Q, f: impl Fn(f64, f64) -> f64) -> Q {
    let mut out = [0.0; N];
    for ((slot, &x), &y) in out.iter_mut().zip(a).zip(b) {
        *slot = f(x, y);
    }
    out
}

/// Largest `|a| / b` over the entries, 0 for none; infinite when a positive entry meets a zero limit.
pub fn worst_ratio(a: &Q, b: &Q) -> f64 {
    Sides::even(*b).worst_ratio(a)
}

/// Which entry has the largest `|a| / b`.
pub fn worst_index(a: &Q, b: &Q) -> usize {
    Sides::even(*b).worst_index(a)
}

/// How large a rate may be to each side, per degree of freedom; both positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sides {
    /// Towards smaller values.
    pub down: Q,
    /// Towards larger values.
    pub up: Q,
}

impl Sides {
    /// The same to both sides.
    pub fn even(both: Q) -> Self {
        Self { down: both, up: both }
    }

    /// Both scaled.
    #[must_use]
    pub fn scaled(&self, by: f64) -> Self {
        Self { down: self.down.map(|x| x * by), up: self.up.map(|x| x * by) }
    }

    /// The smaller of the two.
    pub fn least(&self) -> Q {
        map2(&self.down, &self.up, f64::min)
    }

    /// Of degree of freedom `j`, to the side to which `x` points.
    pub fn towards(&self, j: usize, x: f64) -> f64 {
        let side = if x < 0.0 { &self.down } else { &self.up };
        side.get(j).copied().unwrap_or(0.0)
    }

    /// Every entry's size as a part of its limit to that side; infinite when a limit is zero.
    fn parts<'a>(&'a self, a: &'a Q) -> impl Iterator<Item = f64> + 'a {
        let sides = a.iter().zip(&self.down).zip(&self.up);
        sides.map(
            |((&x, &down), &up)| if x == 0.0 { 0.0 } else { x.abs() / if x.is_sign_negative() { down } else { up } },
        )
    }

    /// The largest of them; 0 for none.
    pub fn worst_ratio(&self, a: &Q) -> f64 {
        self.parts(a).fold(0.0, f64::max)
    }

    /// Which one that is.
    pub fn worst_index(&self, a: &Q) -> usize {
        self.parts(a).enumerate().fold((0, 0.0), |best, (i, r)| if r > best.1 { (i, r) } else { best }).0
    }
}

/// Limits of one arm's degrees of freedom.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Which entries the arm has.
    pub layout: Layout,
    /// Smallest positions.
    pub lower: Q,
    /// Largest positions.
    pub upper: Q,
    /// Largest speeds.
    pub velocity: Sides,
    /// Largest accelerations.
    pub acceleration: Sides,
    /// Largest jerks.
    pub jerk: Sides,
}

impl Bounds {
    /// The arm's own limits, rates scaled by `motion.limit_fraction`, and narrowed by what `limits` in the file says of it.
    pub fn new(arm: ArmId, limits: &JointLimits, params: &SafetyParams) -> Self {
        let layout = Layout::of(limits);
        let part = params.motion.limit_fraction;
        let j = &limits.jaw;
        let free = |q: Q, unused: f64| {
            let mut q = q;
            q.iter_mut().skip(layout.used()).for_each(|x| *x = unused);
            q
        };
        let rates = |own: &Joints, jaw: f64| Sides::even(free(layout.pack(own, jaw).map(|x| x * part), f64::INFINITY));
        let mut bounds = Self {
            layout,
            lower: free(layout.pack(&limits.lower, j.lower), f64::NEG_INFINITY),
            upper: free(layout.pack(&limits.upper, j.upper), f64::INFINITY),
            velocity: rates(&limits.velocity, j.velocity),
            acceleration: rates(&limits.acceleration, j.acceleration),
            jerk: rates(&limits.jerk, j.jerk),
        };
        params.limits.iter().filter(|n| n.arm == arm && n.joint < layout.used()).for_each(|n| bounds.narrow(n));
        bounds
    }

    /// Never wider than before. The acceleration shrinks with the jerk, so that it takes no longer to build up than the arm's own does: what is
    /// sent then lies no farther beside what was decided (see `smooth`).
    fn narrow(&mut self, by: &Narrowed) {
        let j = by.joint;
        let build_up = self.acceleration.towards(j, 1.0) / self.jerk.towards(j, 1.0);
        let at = |q: &mut Q, f: &dyn Fn(f64) -> f64| q.iter_mut().skip(j).take(1).for_each(|x| *x = f(*x));
        let sides = |limit: &mut Sides, most: Option<[f64; 2]>| {
            let [down, up] = most.unwrap_or([f64::INFINITY; 2]);
            at(&mut limit.down, &|x| x.min(down));
            at(&mut limit.up, &|x| x.min(up));
        };
        if let Some([lower, upper]) = by.position {
            at(&mut self.lower, &|x| x.max(lower));
            at(&mut self.upper, &|x| x.min(upper));
        }
        sides(&mut self.velocity, by.velocity);
        sides(&mut self.jerk, by.jerk);
        sides(&mut self.acceleration, by.acceleration);
        let jerk = self.jerk.towards(j, 1.0).min(self.jerk.towards(j, -1.0));
        sides(&mut self.acceleration, Some([jerk * build_up; 2]));
    }
}

/// A value per arm.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PerArm<T> {
    /// PSM1's.
    pub psm1: T,
    /// PSM2's.
    pub psm2: T,
    /// The ECM's.
    pub ecm: T,
}

impl<T> PerArm<T> {
    /// From a function of the arm.
    pub fn from_fn(mut f: impl FnMut(ArmId) -> T) -> Self {
        Self { psm1: f(ArmId::Psm1), psm2: f(ArmId::Psm2), ecm: f(ArmId::Ecm) }
    }

    /// From a fallible function of the arm.
    pub fn try_from_fn<E>(mut f: impl FnMut(ArmId) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self { psm1: f(ArmId::Psm1)?, psm2: f(ArmId::Psm2)?, ecm: f(ArmId::Ecm)? })
    }

    /// An arm's value.
    pub fn get(&self, arm: ArmId) -> &T {
        match arm {
            ArmId::Psm1 => &self.psm1,
            ArmId::Psm2 => &self.psm2,
            ArmId::Ecm => &self.ecm,
        }
    }

    /// An arm's value.
    pub fn get_mut(&mut self, arm: ArmId) -> &mut T {
        match arm {
            ArmId::Psm1 => &mut self.psm1,
            ArmId::Psm2 => &mut self.psm2,
            ArmId::Ecm => &mut self.ecm,
        }
    }

    /// Every arm's value, in [`ArmId::ALL`]'s order.
    pub fn each(&self) -> [&T; 3] {
        [&self.psm1, &self.psm2, &self.ecm]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(values: [f64; 3]) -> Q {
        let mut q = [0.0; N];
        q.iter_mut().zip(values).for_each(|(slot, x)| *slot = x);
        q
    }

    #[test]
    fn rates_count_against_the_limit_of_their_side() {
        let sides = Sides { down: q([1.0, 4.0, 0.5]), up: q([2.0, 4.0, 0.25]) };
        assert_eq!([-3.0, 3.0].map(|x| sides.towards(0, x)), [1.0, 2.0]);
        assert_eq!(sides.towards(0, 0.0), 2.0, "what stands still goes up next");
        assert_eq!(sides.worst_ratio(&q([-1.5, 2.0, 0.0])), 1.5);
        assert_eq!(sides.worst_ratio(&[0.0; N]), 0.0, "no rate breaks no limit, even one of zero");
        assert_eq!(sides.worst_ratio(&q([0.0, 0.0, -0.25])), 0.5);
        assert_eq!(sides.worst_index(&q([0.5, -3.0, 0.1])), 1);
        assert_eq!(sides.worst_index(&q([0.0, 2.0, 0.125])), 1, "the first of two that are as large");
    }
}
