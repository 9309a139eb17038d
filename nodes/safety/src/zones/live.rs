//! A set of zones, and what may be done to tissue, made ready for the core, to take the place of others while it runs.

use super::{Keepout, MAX_ZONES, Zone};
use crate::{Classes, gate::Flat};
use arrayvec::ArrayVec;

/// Zones in the filter's and in the gate's form, and the policies of tissue classes. Made outside the real-time thread, swapped in by the core, and handed back with what was
/// there before.
#[derive(Debug)]
pub struct LiveZones {
    /// Names the set in [`crate::Output::zones`]; whoever makes sets counts them.
    pub version: u64,
    pub(crate) zones: Vec<Zone>,
    pub(crate) classes: Classes,
    pub(crate) keepouts: ArrayVec<Keepout, MAX_ZONES>,
    pub(crate) flats: ArrayVec<Flat, MAX_ZONES>,
}

impl LiveZones {
    /// From validated zones, at most [`MAX_ZONES`] of them, and policies. Sorts the triangles of meshes, a second for a million.
    pub fn new(version: u64, zones: Vec<Zone>, classes: Classes) -> Self {
        let few = || zones.iter().take(MAX_ZONES);
        let (keepouts, flats) = (few().map(Keepout::new).collect(), few().map(Flat::new).collect());
        Self { version, zones, classes, keepouts, flats }
    }

    /// The first zone of `old` that this set does not keep at least as well: with the same shape, no smaller margin, for all its arms.
    pub fn loosens(&self, old: &[Zone]) -> Option<usize> {
        let keeps = |new: &Zone, old: &Zone| {
            let all = proctor_types::ArmId::ALL.into_iter().all(|a| new.holds_for(a) || !old.holds_for(a));
            all && new.margin >= old.margin && new.region == old.region
        };
        old.iter().position(|old| !self.zones.iter().any(|new| keeps(new, old)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SafetyParams, ZoneShape};
    use proctor_types::ArmId;

    #[test]
    fn only_the_same_shape_with_no_less_margin_for_no_fewer_arms_keeps_a_zone() {
        let ball = |radius, margin, arms: &[ArmId]| Zone {
            name: format!("{radius} {margin}"),
            margin,
            arms: arms.to_vec(),
            region: ZoneShape::Sphere { center: [0.0; 3], radius },
        };
        let old = [ball(0.01, 0.002, &[]), ball(0.02, 0.001, &[ArmId::Psm1])];
        for (new, loosened) in [
            (vec![old[0].clone(), old[1].clone()], None),
            (vec![old[1].clone(), ball(0.5, 0.0, &[]), old[0].clone()], None),
            (vec![ball(0.01, 0.003, &[]), ball(0.02, 0.001, &[])], None),
            (vec![ball(0.01, 0.002, &ArmId::ALL), old[1].clone()], None),
            (vec![], Some(0)),
            (vec![old[0].clone()], Some(1)),
            (vec![ball(0.01, 0.0019, &[]), old[1].clone()], Some(0)),
            (vec![ball(0.01, 0.002, &ArmId::PSMS), old[1].clone()], Some(0)),
            (vec![ball(0.011, 0.002, &[]), old[1].clone()], Some(0)),
            (vec![old[0].clone(), ball(0.02, 0.001, &[ArmId::Psm2])], Some(1)),
        ] {
            let names: Vec<_> = new.iter().map(|z| z.name.clone()).collect();
            assert_eq!(LiveZones::new(1, new, SafetyParams::default().classes).loosens(&old), loosened, "{names:?}");
        }
    }
}
