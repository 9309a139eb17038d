//! A cell full of zones.

use super::home;
use nalgebra::{Point3, Vector3};
use proctor_safety::{MAX_ZONES, Rotation, SafetyCore, SafetyParams, Zone, ZoneShape};
use proctor_types::ArmId;

/// As many zones as a cell may have, of every shape but a mesh: a floor, and five around each tip at home.
pub fn params() -> SafetyParams {
    let mut params = SafetyParams { zones: Vec::new(), ..SafetyParams::default() };
    let core = SafetyCore::new(params.clone()).unwrap();
    let mut zone = |region| {
        let name = format!("zone {}", params.zones.len());
        params.zones.push(Zone { name, margin: 0.001, arms: vec![], region });
    };
    zone(ZoneShape::HalfSpace { point: [0.0, 0.0, -0.018], normal: [0.0, 0.0, 1.0] });
    for arm in ArmId::ALL {
        let body = core.filter().body(arm);
        let tip =
            body.world_from_base() * Point3::from(body.chain().fk(&home(arm)[..arm.dof()]).unwrap().translation());
        let room = if arm.has_jaw() { 0.012 } else { 0.018 };
        let at = |x: f64, y: f64, z: f64| (tip + Vector3::new(x, y, z)).into();
        zone(ZoneShape::Sphere { center: at(room, 0.0, -0.004), radius: 0.004 });
        zone(ZoneShape::Sphere { center: at(0.0, -room, -0.004), radius: 0.004 });
        zone(ZoneShape::Capsule { a: at(-0.01, room, -0.004), b: at(0.01, room, -0.004), radius: 0.004 });
        zone(ZoneShape::Capsule { a: at(-room, -room, -0.01), b: at(-room, -room, 0.0), radius: 0.003 });
        let rotation = Rotation::Rpy([0.0, 0.0, 0.5]);
        zone(ZoneShape::Box { center: at(-room - 0.002, 0.0, -0.004), size: [0.01, 0.008, 0.012], rotation });
    }
    assert_eq!(params.zones.len(), MAX_ZONES);
    params
}
