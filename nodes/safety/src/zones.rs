//! No-go zones: places of the world where no part of an arm's shape may be, whatever was approved.
//!
//! A zone is data (`launch/config/zones.toml`). The shape is in the world frame, metres; `margin` is kept on top, and the
//! uncertainty of where the arm stands (hand-eye) on top of that.

use crate::{SafetyError, params::in_range};
use nalgebra::{Point3, Vector3};
use proctor_kinematics::Capsule;
use proctor_types::ArmId;
use serde::{Deserialize, Serialize};

/// Most zones a cell can have. A named bound, so that a tick's work is bounded.
pub const MAX_ZONES: usize = 16;

/// Farthest a coordinate of a zone may be from the world's origin, m.
const FAR: f64 = 2.0;

/// Where no arm may go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case", deny_unknown_fields)]
pub enum ZoneShape {
    /// Everything behind a plane: points with `normal . (p - point) < 0` are inside.
    HalfSpace {
        /// A point of the plane, m.
        point: [f64; 3],
        /// Towards the allowed side; any length above 1e-6.
        normal: [f64; 3],
    },
    /// A ball.
    Sphere {
        /// Centre, m.
        center: [f64; 3],
        /// Radius, m, [0.0005, 1].
        radius: f64,
    },
    /// A ball swept along a segment.
    Capsule {
        /// One end of the axis, m.
        a: [f64; 3],
        /// Other end of the axis, m.
        b: [f64; 3],
        /// Radius, m, [0.0005, 1].
        radius: f64,
    },
}

/// A named no-go zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Shown to the operator.
    pub name: String,
    /// Distance kept from the shape, m, [0, 0.1].
    pub margin: f64,
    /// For whom it holds; empty: for every arm.
    pub arms: Vec<ArmId>,
    /// Shape, world frame.
    pub region: ZoneShape,
}

/// A zones file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ZoneFile {
    /// The zones; the key must be there even when there are none.
    pub zones: Vec<Zone>,
}

impl Zone {
    /// Whether `arm` must keep out.
    pub fn holds_for(&self, arm: ArmId) -> bool {
        self.arms.is_empty() || self.arms.contains(&arm)
    }

    /// Refuses numbers outside the documented ranges, naming the first.
    pub fn validate(&self, index: usize) -> Result<(), SafetyError> {
        let key = |what: &str| format!("zones[{index}].{what}");
        let point = |what: &str, p: &[f64; 3]| p.iter().try_for_each(|&x| in_range(&key(what), x, -FAR, FAR));
        in_range(&key("margin"), self.margin, 0.0, 0.1)?;
        match &self.region {
            ZoneShape::HalfSpace { point: p, normal } => {
                point("region.point", p)?;
                in_range(&key("region.normal (length)"), Vector3::from(*normal).norm(), 1e-6, 1e6)
            }
            ZoneShape::Sphere { center, radius } => {
                point("region.center", center)?;
                in_range(&key("region.radius"), *radius, 0.0005, 1.0)
            }
            ZoneShape::Capsule { a, b, radius } => {
                point("region.a", a)?;
                point("region.b", b)?;
                in_range(&key("region.radius"), *radius, 0.0005, 1.0)
            }
        }
    }
}

/// A zone made ready for the filter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keepout {
    volume: Volume,
    margin: f64,
    arms: [bool; 3],
}

#[derive(Debug, Clone, Copy)]
enum Volume {
    Plane { point: Point3<f64>, normal: Vector3<f64> },
    Round(Capsule),
}

impl Keepout {
    /// From a validated zone.
    pub fn new(zone: &Zone) -> Self {
        let volume = match zone.region {
            ZoneShape::HalfSpace { point, normal } => {
                Volume::Plane { point: point.into(), normal: Vector3::from(normal).normalize() }
            }
            ZoneShape::Sphere { center, radius } => {
                Volume::Round(Capsule { a: center.into(), b: center.into(), radius })
            }
            ZoneShape::Capsule { a, b, radius } => Volume::Round(Capsule { a: a.into(), b: b.into(), radius }),
        };
        Self { volume, margin: zone.margin, arms: ArmId::ALL.map(|a| zone.holds_for(a)) }
    }

    /// Whether `arm` must keep out.
    pub fn holds_for(&self, arm: ArmId) -> bool {
        self.arms.get(arm.index()).copied().unwrap_or(true)
    }

    /// Distance kept, m.
    pub fn margin(&self) -> f64 {
        self.margin
    }

    /// Distance from a capsule's surface to the zone's, m, negative inside.
    pub fn distance(&self, c: &Capsule) -> f64 {
        match &self.volume {
            Volume::Plane { point, normal } => normal.dot(&(c.a - point)).min(normal.dot(&(c.b - point))) - c.radius,
            Volume::Round(round) if round.a == round.b => c.distance_to_point(&round.a) - round.radius,
            Volume::Round(round) => c.distance_to(round),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capsule(a: [f64; 3], b: [f64; 3]) -> Capsule {
        Capsule { a: a.into(), b: b.into(), radius: 0.005 }
    }

    fn zone(region: ZoneShape) -> Zone {
        Zone { name: "z".into(), margin: 0.002, arms: vec![ArmId::Psm1], region }
    }

    #[test]
    fn distances_to_each_shape_are_those_of_school_geometry() {
        let c = capsule([0.0, 0.0, 0.1], [0.0, 0.0, 0.04]);
        for (region, expected) in [
            (ZoneShape::HalfSpace { point: [0.0, 0.0, 0.01], normal: [0.0, 0.0, 7.0] }, 0.03 - 0.005),
            (ZoneShape::Sphere { center: [0.0, 0.0, 0.0], radius: 0.01 }, 0.03 - 0.005),
            (ZoneShape::Sphere { center: [0.03, 0.0, 0.07], radius: 0.01 }, 0.02 - 0.005),
            (ZoneShape::Capsule { a: [-1.0, 0.02, 0.05], b: [1.0, 0.02, 0.05], radius: 0.01 }, 0.01 - 0.005),
        ] {
            let d = Keepout::new(&zone(region)).distance(&c);
            assert!((d - expected).abs() < 1e-12, "{region:?}: {d} != {expected}");
        }
    }

    #[test]
    fn a_zone_holds_for_its_arms_or_for_all() {
        let sphere = ZoneShape::Sphere { center: [0.0; 3], radius: 0.01 };
        let some = Keepout::new(&zone(sphere));
        assert!(some.holds_for(ArmId::Psm1) && !some.holds_for(ArmId::Ecm));
        let all = Keepout::new(&Zone { arms: vec![], ..zone(sphere) });
        assert!(ArmId::ALL.into_iter().all(|a| all.holds_for(a)));
    }

    #[test]
    fn malformed_zones_are_refused_by_name() {
        for (region, name) in [
            (ZoneShape::HalfSpace { point: [0.0; 3], normal: [0.0; 3] }, "normal"),
            (ZoneShape::Sphere { center: [f64::NAN, 0.0, 0.0], radius: 0.01 }, "center"),
            (ZoneShape::Sphere { center: [0.0; 3], radius: 0.0 }, "radius"),
            (ZoneShape::Capsule { a: [0.0; 3], b: [0.0, 9.0, 0.0], radius: 0.01 }, "region.b"),
        ] {
            let e = zone(region).validate(3).unwrap_err().to_string();
            assert!(e.contains("zones[3]") && e.contains(name), "{e}");
        }
    }
}
