//! What tissue bears: how fast a tip may be near it, and how hard an instrument may press.
//!
//! - Speed: at a class of tissue the tip may have that class's speed, and more with every millimetre of distance. Counted with the distance
//!   that is left at the *end* of the stop from here: while the stop is followed the allowance cannot fall, so the stop keeps it.
//! - Force: a measured force grows, as far as is foreseen, by a stiffness times the way that the stop goes against it. What would grow beyond
//!   what the touched tissue bears is refused; what goes with the force, or beside it, is not.

use crate::{SafetyParams, body::Body, dofs::Q};
use nalgebra::Vector3;
use proctor_types::Class;

/// A smaller force has no direction, N.
const NOISE: f64 = 0.2;

/// What each class bears.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bearing {
    /// Fastest tip at it, m/s.
    pub speed: [f64; Class::COUNT],
    /// Largest force, N.
    pub force: [f64; Class::COUNT],
    /// Added speed per distance, 1/s.
    pub gain: f64,
    /// Largest force on an instrument, whatever it touches, N.
    pub most: f64,
    /// N/m.
    pub stiffness: f64,
}

/// Distance from each class less doubt, m; large where none is near.
pub type Distances = [f64; Class::COUNT];

impl Bearing {
    /// As configured.
    pub fn new(params: &SafetyParams) -> Self {
        let (mut speed, mut force) = ([f64::INFINITY; Class::COUNT], [f64::INFINITY; Class::COUNT]);
        for ((speed, force), class) in speed.iter_mut().zip(&mut force).zip(Class::ALL) {
            if let Some(policy) = params.classes.of(class) {
                (*speed, *force) = (policy.speed, policy.force);
            }
        }
        let (most, stiffness) = (params.force.limit, params.force.stiffness);
        Self { speed, force, gain: params.motion.approach_gain, most, stiffness }
    }

    /// How far tissue slows a tip that may otherwise have this speed, m.
    pub fn reach(&self, tip_speed: f64) -> f64 {
        let slowest = self.speed.iter().copied().fold(f64::INFINITY, f64::min);
        ((tip_speed - slowest) / self.gain).max(0.0)
    }

    /// The speed that tissue allows a tip whose stop goes this far, and the class that allows the least, if any less than `tip_speed`.
    pub fn allowance(&self, near: &Distances, travel: f64, tip_speed: f64) -> (f64, Option<usize>) {
        let each = self.speed.iter().zip(near).enumerate();
        each.map(|(class, (speed, d))| (speed + self.gain * (d - travel).max(0.0), Some(class)))
            .fold((tip_speed, None), |least, one| if one.0 < least.0 { one } else { least })
    }

    /// The force that what is touched, or may be for all that is known, bears, N, and its class. An arm follows behind what is planned for
    /// it, as far as `behind`, m: what it is leaving it still touches.
    pub fn bears(&self, near: &Distances, behind: f64) -> (f64, Option<usize>) {
        let touched = self.force.iter().zip(near).enumerate().filter(|(_, (_, d))| **d <= behind);
        touched
            .map(|(class, (force, _))| (*force, Some(class)))
            .fold((self.most, None), |least, one| if one.0 < least.0 { one } else { least })
    }

    /// Whether a force that is measured now, world frame, N, grows beyond `bearable` when an arm that was sent to `sent` and is to be at `from`
    /// stops at `end`. Only a way from `from` to `end` that goes against the force makes it grow; how far it grows counts from `sent`.
    pub fn grows_beyond(&self, bearable: f64, force: &Vector3<f64>, body: &Body, [sent, from, end]: [&Q; 3]) -> bool {
        let size = force.norm();
        if size <= NOISE {
            return false;
        }
        let against = -force / size;
        let way = |from: &Q| {
            let (now, then) = (body.shape(from)?, body.shape(end)?);
            Some((then.tip - now.tip).dot(&against).max((then.jaw_end - now.jaw_end).dot(&against)))
        };
        let (Some(ahead), Some(whole)) = (way(from), way(sent)) else { return true };
        ahead > 0.0 && size + self.stiffness * whole.max(ahead) > bearable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_types::ArmId;

    fn bearing() -> Bearing {
        Bearing::new(&SafetyParams::default())
    }

    fn near(class: Class, d: f64) -> Distances {
        let mut near = [1.0; Class::COUNT];
        near[usize::from(class.id())] = d;
        near
    }

    #[test]
    fn the_nearer_the_slower_and_the_class_is_named() {
        let b = bearing();
        let duct = usize::from(Class::CysticDuct.id());
        // 0.02 m/s at the duct, 6 m/s per m.
        assert_eq!(b.allowance(&near(Class::CysticDuct, -0.001), 0.0, 0.1), (0.02, Some(duct)));
        let (speed, class) = b.allowance(&near(Class::CysticDuct, 0.006), 0.001, 0.1);
        assert!((speed - 0.05).abs() < 1e-12 && class == Some(duct));
        assert_eq!(b.allowance(&near(Class::CysticDuct, 0.02), 0.0, 0.1), (0.1, None));
        assert!((b.reach(0.1) - 0.08 / 6.0).abs() < 1e-12);
        // What is no tissue slows nothing.
        assert_eq!(b.allowance(&near(Class::InstrumentShaft, 0.0), 0.0, 0.1), (0.1, None));
    }

    #[test]
    fn the_most_delicate_of_what_is_touched_counts() {
        let b = bearing();
        let liver = Some(usize::from(Class::Liver.id()));
        assert_eq!(b.bears(&[1.0; Class::COUNT], 0.0), (5.0, None));
        let mut both = near(Class::Liver, 0.0);
        assert_eq!(b.bears(&both, 0.0), (2.0, liver));
        both[usize::from(Class::CysticArtery.id())] = -0.0009;
        assert_eq!(b.bears(&both, 0.0), (0.5, Some(usize::from(Class::CysticArtery.id()))));
        // Planned to be a millimetre away already, with the arm two behind: it touches still.
        assert_eq!(b.bears(&near(Class::Liver, 0.001), 0.002), (2.0, liver));
        assert_eq!(b.bears(&near(Class::Liver, 0.001), 0.0005), (5.0, None));
    }

    #[test]
    fn a_force_grows_with_the_way_against_it_only() {
        let b = bearing();
        let body = Body::configured(ArmId::Psm1, &SafetyParams::default()).unwrap();
        let from = [0.0, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2];
        let deeper = [0.0, 0.0, 0.162, 0.0, 0.0, 0.0, 0.2];
        let (a, z) = (body.shape(&from).unwrap().tip, body.shape(&deeper).unwrap().tip);
        // Two millimetres against a force of 1 N: 1 N more, at 500 N/m.
        let push = -(z - a).normalize();
        assert!(b.grows_beyond(1.99, &push, &body, [&from, &from, &deeper]));
        assert!(!b.grows_beyond(2.01, &push, &body, [&from, &from, &deeper]));
        // Half of the way was sent already.
        let half = [0.0, 0.0, 0.161, 0.0, 0.0, 0.0, 0.2];
        assert!(b.grows_beyond(1.99, &push, &body, [&from, &half, &deeper]));
        assert!(!b.grows_beyond(1.6, &push, &body, [&half, &half, &deeper]));
        // Out again, and beside it: never.
        assert!(!b.grows_beyond(0.0, &push, &body, [&deeper, &deeper, &from]));
        let mut beside = from;
        beside[0] += 0.01;
        let along = body.shape(&beside).unwrap().tip - a;
        let square = along.cross(&push).normalize();
        assert!(!b.grows_beyond(1.01, &square, &body, [&from, &from, &beside]));
        // Noise has no direction.
        assert!(!b.grows_beyond(0.0, &(push * 0.19), &body, [&from, &from, &deeper]));
    }

    #[test]
    fn what_bears_no_less_than_another_or_the_instrument_is_not_named_instead() {
        let mut b = bearing();
        (b.force[usize::from(Class::Liver.id())], b.force[usize::from(Class::Fat.id())]) = (b.most, 2.0);
        assert_eq!(b.bears(&near(Class::Liver, 0.0), 0.0), (5.0, None));
        let mut both = near(Class::Fat, 0.0);
        both[usize::from(Class::Gallbladder.id())] = 0.0;
        b.force[usize::from(Class::Gallbladder.id())] = 2.0;
        assert_eq!(b.bears(&both, 0.0), (2.0, Some(usize::from(Class::Gallbladder.id()))));
        // As fast at the tissue as anywhere: it is not what limits.
        b.speed = [0.1; Class::COUNT];
        assert_eq!(b.allowance(&near(Class::Fat, 0.0), 0.0, 0.1), (0.1, None));
    }

    #[test]
    fn a_force_of_any_size_grows_by_the_stiffness_of_the_way_and_by_nothing_where_the_arm_stays() {
        let b = bearing();
        let body = Body::configured(ArmId::Psm1, &SafetyParams::default()).unwrap();
        let at = |insertion: f64| [0.0, 0.0, insertion, 0.0, 0.0, 0.0, 0.2];
        let (from, deeper) = (at(0.16), at(0.162));
        let (a, z) = (body.shape(&from).unwrap(), body.shape(&deeper).unwrap());
        let up = -(z.tip - a.tip).normalize();
        for size in [0.25, 1.0, 4.0] {
            let push = up * size;
            // 500 N/m on 2 mm.
            for (more, grows) in [(-1e-9, true), (1e-9, false)] {
                assert_eq!(b.grows_beyond(size + 1.0 + more, &push, &body, [&from, &from, &deeper]), grows, "{size}");
            }
            // What is exactly borne is borne.
            let against = -push / push.norm();
            let way = (z.tip - a.tip).dot(&against).max((z.jaw_end - a.jaw_end).dot(&against));
            let grown = push.norm() + b.stiffness * way;
            assert!(!b.grows_beyond(grown, &push, &body, [&from, &from, &deeper]));
            assert!(b.grows_beyond(grown.next_down(), &push, &body, [&from, &from, &deeper]));
            // An arm that stays where it is to be presses no harder, wherever it was sent before.
            assert!(!b.grows_beyond(0.0, &push, &body, [&from, &deeper, &deeper]));
        }
    }
}
