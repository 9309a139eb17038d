//! No-go zones: places of the world where no part of an arm's shape may be, whatever was approved.
//!
//! A zone is data (`launch/config/zones.toml`, read by [`file`]). The shape is in the world frame, metres; `margin` is kept on top, and
//! the uncertainty of where the arm stands (hand-eye) on top of that.
//!
//! [`Keepout`] is the filter's form of a zone. The gate has its own (`gate_shapes`), which shares nothing with it but the numbers.

mod boxed;
pub(crate) mod file;
mod live;
pub mod mesh;
mod mesh_file;
mod tree;
mod triangle;

use crate::{SafetyError, params::in_range};
pub use live::LiveZones;

use boxed::OrientedBox;
use mesh::Mesh;
use nalgebra::{Point3, Quaternion, UnitQuaternion, Vector3};
use proctor_kinematics::Capsule;
use proctor_types::{ArmId, ZoneLabel, ZonesState};
use serde::Deserialize;
use std::sync::Arc;
use tree::Watch;

/// Most zones a cell can have. A named bound, so that a tick's work is bounded.
pub const MAX_ZONES: usize = ZonesState::MAX_ZONES;

/// Farthest a coordinate of a zone may be from the world's origin, m.
pub(crate) const FARTHEST: f64 = 2.0;

/// How a box lies in the world.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rotation {
    /// x, y, z, w; its length may be off 1 by 0.001.
    Quaternion([f64; 4]),
    /// Roll, pitch, yaw, rad: turned about the world's x, then its y, then its z axis, as in URDF. Each in [-2 pi, 2 pi].
    Rpy([f64; 3]),
}

impl Rotation {
    /// As a unit quaternion.
    fn unit(self) -> UnitQuaternion<f64> {
        match self {
            Self::Quaternion([x, y, z, w]) => UnitQuaternion::from_quaternion(Quaternion::new(w, x, y, z)),
            Self::Rpy([roll, pitch, yaw]) => UnitQuaternion::from_euler_angles(roll, pitch, yaw),
        }
    }
}

/// Where no arm may go.
#[derive(Debug, Clone, PartialEq)]
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
    /// A solid box.
    Box {
        /// Centre, m.
        center: [f64; 3],
        /// Lengths of the edges along the box's own axes, m, each in [0.0005, 2].
        size: [f64; 3],
        /// Turns the box's axes into the world's.
        rotation: Rotation,
    },
    /// A surface of triangles, kept away from on *both* sides: it need not be closed, and has no inside. See [`Mesh`].
    Mesh(Arc<Mesh>),
}

/// A named no-go zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// Shown to the operator, at most [`ZoneLabel::MAX_NAME`] bytes.
    pub name: String,
    /// Distance kept from the shape, m, [0, 0.1].
    pub margin: f64,
    /// For whom it holds; empty: for every arm.
    pub arms: Vec<ArmId>,
    /// Shape, world frame.
    pub region: ZoneShape,
}

impl Zone {
    /// Whether `arm` must keep out.
    pub fn holds_for(&self, arm: ArmId) -> bool {
        self.arms.is_empty() || self.arms.contains(&arm)
    }

    /// Refuses numbers outside the documented ranges, naming the first.
    pub fn validate(&self, index: usize) -> Result<(), SafetyError> {
        let key = |what: &str| format!("zones[{index}].{what}");
        let within = |what: &str, value: f64, min: f64, max: f64| in_range(&key(what), value, min, max);
        let point = |what: &str, p: &[f64; 3]| p.iter().try_for_each(|&x| within(what, x, -FARTHEST, FARTHEST));
        within("name (bytes)", self.name.len() as f64, 1.0, ZoneLabel::MAX_NAME as f64)?;
        within("margin", self.margin, 0.0, 0.1)?;
        match &self.region {
            ZoneShape::HalfSpace { point: p, normal } => {
                point("region.point", p)?;
                within("region.normal (length)", Vector3::from(*normal).norm(), 1e-6, 1e6)
            }
            ZoneShape::Sphere { center, radius } => {
                point("region.center", center)?;
                within("region.radius", *radius, 0.0005, 1.0)
            }
            ZoneShape::Capsule { a, b, radius } => {
                point("region.a", a)?;
                point("region.b", b)?;
                within("region.radius", *radius, 0.0005, 1.0)
            }
            ZoneShape::Box { center, size, rotation } => {
                point("region.center", center)?;
                size.iter().try_for_each(|&x| within("region.size", x, 0.0005, 2.0))?;
                match rotation {
                    Rotation::Quaternion([x, y, z, w]) => {
                        let norm = (x * x + y * y + z * z + w * w).sqrt();
                        within("region.rotation.quaternion (length)", norm, 0.999, 1.001)
                    }
                    Rotation::Rpy(angles) => {
                        let turn = std::f64::consts::TAU;
                        angles.iter().try_for_each(|&x| within("region.rotation.rpy", x, -turn, turn))
                    }
                }
            }
            // A mesh was checked when it was made.
            ZoneShape::Mesh(_) => Ok(()),
        }
    }
}

/// A zone made ready for the filter.
#[derive(Debug, Clone)]
pub struct Keepout {
    volume: Volume,
    margin: f64,
    arms: [bool; 3],
}

#[derive(Debug, Clone)]
enum Volume {
    Plane { point: Point3<f64>, normal: Vector3<f64> },
    Round(Capsule),
    Box(OrientedBox),
    Mesh(Watch),
}

impl Keepout {
    /// From a validated zone. Sorts a mesh's triangles (0.1 s for 100 000 of them): not for the real-time thread.
    pub fn new(zone: &Zone) -> Self {
        let volume = match &zone.region {
            ZoneShape::HalfSpace { point, normal } => {
                Volume::Plane { point: (*point).into(), normal: Vector3::from(*normal).normalize() }
            }
            ZoneShape::Sphere { center, radius } => {
                Volume::Round(Capsule { a: (*center).into(), b: (*center).into(), radius: *radius })
            }
            ZoneShape::Capsule { a, b, radius } => {
                Volume::Round(Capsule { a: (*a).into(), b: (*b).into(), radius: *radius })
            }
            ZoneShape::Box { center, size, rotation } => Volume::Box(OrientedBox::new(center, size, *rotation)),
            ZoneShape::Mesh(mesh) => Volume::Mesh(Watch::new(mesh)),
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

    /// Distance from an arm's surface to the zone's, m, negative inside; exact up to `limit`, and no less than `limit` beyond. The capsules
    /// are the arm's, from its pivot outwards.
    pub fn distance(&self, arm: ArmId, capsules: &[Capsule], limit: f64) -> f64 {
        match &self.volume {
            Volume::Mesh(watch) => watch.distance(arm, capsules, limit),
            Volume::Plane { .. } | Volume::Round(_) | Volume::Box(_) => {
                let parts = capsules.iter().enumerate();
                parts.map(|(i, c)| self.distance_of(arm, i, c, limit)).fold(f64::INFINITY, f64::min)
            }
        }
    }

    /// The same for one part of the arm alone, counted from its pivot.
    pub(crate) fn distance_of(&self, arm: ArmId, part: usize, c: &Capsule, limit: f64) -> f64 {
        match &self.volume {
            Volume::Plane { point, normal } => normal.dot(&(c.a - point)).min(normal.dot(&(c.b - point))) - c.radius,
            Volume::Round(round) if round.a == round.b => c.distance_to_point(&round.a) - round.radius,
            Volume::Round(round) => c.distance_to(round),
            Volume::Box(solid) => solid.distance(c),
            Volume::Mesh(watch) => watch.distance_of(arm, part, c, limit),
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
        let flat = Rotation::Rpy([0.0; 3]);
        let eighth = std::f64::consts::FRAC_PI_4;
        for (region, expected) in [
            (ZoneShape::HalfSpace { point: [0.0, 0.0, 0.01], normal: [0.0, 0.0, 7.0] }, 0.03 - 0.005),
            (ZoneShape::Sphere { center: [0.0, 0.0, 0.0], radius: 0.01 }, 0.03 - 0.005),
            (ZoneShape::Sphere { center: [0.03, 0.0, 0.07], radius: 0.01 }, 0.02 - 0.005),
            (ZoneShape::Capsule { a: [-1.0, 0.02, 0.05], b: [1.0, 0.02, 0.05], radius: 0.01 }, 0.01 - 0.005),
            (ZoneShape::Box { center: [0.0; 3], size: [0.02; 3], rotation: flat }, 0.03 - 0.005),
            // Standing on an edge, it reaches as high as half its diagonal.
            (
                ZoneShape::Box { center: [0.0; 3], size: [0.02; 3], rotation: Rotation::Rpy([eighth, 0.0, 0.0]) },
                0.04 - 0.01 * std::f64::consts::SQRT_2 - 0.005,
            ),
        ] {
            let d = Keepout::new(&zone(region.clone())).distance(ArmId::Psm1, &[c], f64::INFINITY);
            assert!((d - expected).abs() < 1e-12, "{region:?}: {d} != {expected}");
        }
    }

    #[test]
    fn a_zone_holds_for_its_arms_or_for_all() {
        let sphere = ZoneShape::Sphere { center: [0.0; 3], radius: 0.01 };
        let some = Keepout::new(&zone(sphere.clone()));
        assert!(some.holds_for(ArmId::Psm1) && !some.holds_for(ArmId::Ecm));
        let all = Keepout::new(&Zone { arms: vec![], ..zone(sphere) });
        assert!(ArmId::ALL.into_iter().all(|a| all.holds_for(a)));
    }

    #[test]
    fn malformed_zones_are_refused_by_name() {
        let solid = |size, rotation| ZoneShape::Box { center: [0.0; 3], size, rotation };
        for (region, name) in [
            (ZoneShape::HalfSpace { point: [0.0; 3], normal: [0.0; 3] }, "normal"),
            (ZoneShape::Sphere { center: [f64::NAN, 0.0, 0.0], radius: 0.01 }, "center"),
            (ZoneShape::Sphere { center: [0.0; 3], radius: 0.0 }, "radius"),
            (ZoneShape::Capsule { a: [0.0; 3], b: [0.0, 9.0, 0.0], radius: 0.01 }, "region.b"),
            (solid([0.1, 0.0, 0.1], Rotation::Rpy([0.0; 3])), "region.size"),
            (solid([0.1; 3], Rotation::Quaternion([0.0; 4])), "region.rotation.quaternion"),
            (solid([0.1; 3], Rotation::Rpy([0.0, f64::NAN, 0.0])), "region.rotation.rpy"),
        ] {
            let e = zone(region).validate(3).unwrap_err().to_string();
            assert!(e.contains("zones[3]") && e.contains(name), "{e}");
        }
        for (quaternion, taken) in [
            ([0.5, -0.5, 0.5, -0.5], true),
            ([0.6, 0.0, 0.0, 0.8], true),
            ([0.0, 0.28, 0.96, 0.0], true),
            ([0.0, 0.28, 0.9, 0.0], false),
            ([1.0, 1.0, 0.0, 0.0], false),
            ([0.0, 0.0, 1.0, 1.0], false),
            ([0.0, 1.0, 1.0, -1.0], false),
        ] {
            let turned = zone(solid([0.1; 3], Rotation::Quaternion(quaternion)));
            assert_eq!(turned.validate(0).is_ok(), taken, "{quaternion:?}");
        }
        let nameless = Zone { name: String::new(), ..zone(ZoneShape::Sphere { center: [0.0; 3], radius: 0.01 }) };
        assert!(nameless.validate(0).unwrap_err().to_string().contains("zones[0].name"));
    }

    #[test]
    fn a_zones_margin_is_what_is_written() {
        assert_eq!(Keepout::new(&zone(ZoneShape::Sphere { center: [0.0; 3], radius: 0.01 })).margin(), 0.002);
    }
}
