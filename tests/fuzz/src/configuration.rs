//! Files that configure: safety.toml, zones.toml with their meshes, model.toml, the map of `perception eval`, and URDF.

use crate::{Target, mutate::Kind, text};
use proctor_kinematics::{Chain, Instrument};
use proctor_perception::{eval::EvalMap, manifest::Manifest};
use proctor_safety::{
    ClassPolicy, DEFAULT_PARAMS, DEFAULT_ZONES, MAX_ZONES, Rotation, SafetyParams, Touch, Zone, ZoneShape, mesh::Mesh,
};
use proctor_types::{ArmId, Class, ZoneLabel};
use std::path::Path;

fn within(what: &str, value: f64, min: f64, max: f64) {
    assert!((min..=max).contains(&value), "{what}: {value} outside [{min}, {max}]");
}

fn points(of: &[&[f64; 3]]) {
    of.iter().copied().flatten().for_each(|x| within("coordinate", *x, -2.0, 2.0));
}

/// The ranges that the documentation of [`Zone`] and [`ZoneShape`] promises.
fn zone(z: &Zone) {
    assert!((1..=ZoneLabel::MAX_NAME).contains(&z.name.len()));
    within("margin", z.margin, 0.0, 0.1);
    match &z.region {
        ZoneShape::HalfSpace { point, normal } => {
            points(&[point]);
            let length = normal.iter().map(|x| x * x).sum::<f64>().sqrt();
            within("normal", length, 1e-6, 1e6);
        }
        ZoneShape::Sphere { center, radius } => {
            points(&[center]);
            within("radius", *radius, 0.0005, 1.0);
        }
        ZoneShape::Capsule { a, b, radius } => {
            points(&[a, b]);
            within("radius", *radius, 0.0005, 1.0);
        }
        ZoneShape::Box { center, size, rotation } => {
            points(&[center]);
            size.iter().for_each(|s| within("size", *s, 0.0005, 2.0));
            match rotation {
                Rotation::Quaternion(q) => {
                    within("norm", q.iter().map(|x| x * x).sum::<f64>().sqrt(), 0.999, 1.001);
                }
                Rotation::Rpy(angles) => angles.iter().for_each(|a| within("angle", *a, -6.3, 6.3)),
            }
        }
        ZoneShape::Mesh(m) => mesh(m),
    }
}

fn mesh(m: &Mesh) {
    assert!(!m.triangles().is_empty());
    m.triangles().iter().flatten().flatten().for_each(|x| within("corner", f64::from(*x), -2.0, 2.0));
}

/// The bounds that SAFETY.md names; the others are checked by the node itself, which is asked again.
fn promised(p: &SafetyParams) {
    let (w, m) = (&p.watchdogs, &p.motion);
    within("command", w.command, 0.005, 0.1);
    within("kinematics", w.kinematics, 0.005, 0.03);
    within("scene", w.scene, 0.05, 0.5);
    within("presence", w.presence, 0.02, 0.1);
    within("tick gap", w.tick_gap, 0.005, 0.1);
    within("request", w.request, 0.1, 2.0);
    within("limit fraction", m.limit_fraction, 0.05, 1.0);
    within("tip speed in TELEOP", m.tip_speed_teleop, 0.005, 0.25);
    within("tip speed in SUPERVISED", m.tip_speed_supervised, 0.005, 0.1);
    within("approach gain", m.approach_gain, 1.0, 50.0);
    within("force limit", p.force.limit, 0.5, 20.0);
    within("force rate", p.force.rate, 20.0, 5000.0);
    within("picture margin", p.view.margin, 0.0, 0.02);
    within("sigmas", p.clearance.sigmas, 1.0, 5.0);
    within("tool-tool", p.clearance.tool_tool, 0.0005, 0.05);
    for class in [Class::CysticDuct, Class::CysticArtery] {
        let ClassPolicy { teleop, supervised, retract, endoscope, speed, force } = p.classes.of(class).expect("tissue");
        within("speed at tissue", *speed, 0.002, 0.1);
        assert!(force.is_finite() && *force > 0.0);
        for touch in [teleop, supervised, retract, endoscope] {
            assert!(matches!(touch, Touch::Keep(d) if (0.001..=0.05).contains(d)), "{class:?} may be touched");
        }
    }
    p.validate().expect("what was read is valid");
}

fn read_safety(bytes: &[u8]) -> bool {
    let Some(Ok(params)) = text(bytes).map(|t| SafetyParams::from_toml(t, DEFAULT_ZONES)) else { return false };
    promised(&params);
    true
}

fn read_zones(bytes: &[u8]) -> bool {
    let Some(read) = text(bytes).map(|t| SafetyParams::from_toml(DEFAULT_PARAMS, t)) else { return false };
    let Ok(params) = read else {
        // Whatever is wrong, it can be said.
        assert!(read.is_err_and(|e| !e.to_string().is_empty()));
        return false;
    };
    assert!(params.zones.len() <= MAX_ZONES);
    params.zones.iter().for_each(zone);
    params.validate().expect("what was read is valid");
    true
}

/// A folder as the node reads it: the input is zones.toml, and there are meshes beside it.
fn read_zones_with_meshes(bytes: &[u8]) -> bool {
    thread_local! {
        static FOLDER: tempfile::TempDir = folder();
    }
    FOLDER.with(|folder| {
        std::fs::write(folder.path().join("zones.toml"), bytes).expect("a folder that can be written");
        let Ok(params) = SafetyParams::read(folder.path()) else { return false };
        params.zones.iter().for_each(zone);
        true
    })
}

const OBJ: &str = "# made by hand\no organ\nv 0 0 0\nv 0.5 0 0 1.0\nv 0 0.25 0\nvn 0 0 1\nf 1//1 2//1 3//1 # one\nv 0 0 -1.5\nf -4 3 4\nf 1 2 3 4\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    std::fs::write(folder.path().join("safety.toml"), DEFAULT_PARAMS).expect("writable");
    std::fs::write(folder.path().join("liver.obj"), OBJ).expect("writable");
    std::fs::write(folder.path().join("fat.stl"), stl(2)).expect("writable");
    folder
}

fn stl(triangles: u32) -> Vec<u8> {
    let mut bytes = vec![b' '; 80];
    bytes.extend(triangles.to_le_bytes());
    for i in 0..triangles {
        bytes.extend([0u8; 12]);
        let corners = [[0.0, 0.0, 0.01 * i as f32], [0.5, 0.0, 0.0], [0.0, 0.25, -1.5]];
        bytes.extend(corners.as_flattened().iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend([7, 7]);
    }
    bytes
}

fn read_mesh(name: &str, bytes: &[u8]) -> bool {
    match Mesh::decode(name, bytes) {
        Ok(read) => {
            mesh(&read);
            // The same triangles make the same mesh.
            let again = Mesh::new(name, read.triangles().to_vec()).expect("a mesh's own triangles");
            assert_eq!(again.triangles(), read.triangles());
            true
        }
        Err(e) => {
            assert!(!e.to_string().is_empty());
            false
        }
    }
}

fn read_stl(bytes: &[u8]) -> bool {
    let accepted = read_mesh("x.stl", bytes);
    // Not a byte more or fewer than its triangles take.
    assert!(!accepted || (bytes.len() - 84).is_multiple_of(50));
    accepted
}

fn read_manifest(bytes: &[u8]) -> bool {
    let Some(Ok(m)) = text(bytes).map(|t| Manifest::parse(Path::new("model.toml"), t)) else { return false };
    assert!((16..=2048).contains(&m.input.width) && (16..=2048).contains(&m.input.height));
    assert!(m.input.mean.iter().all(|x| x.is_finite()) && m.input.std.iter().all(|x| x.is_finite() && *x > 0.0));
    let anatomy = m.classes.iter().map(String::as_str).eq(Class::ALL.map(Class::name));
    let once: std::collections::HashSet<_> = m.classes.iter().collect();
    assert!(once.len() == m.classes.len() && (anatomy || !m.is_anatomy()));
    true
}

fn read_map(bytes: &[u8]) -> bool {
    let Some(Ok(map)) = text(bytes).map(|t| EvalMap::parse(Path::new("map.toml"), t)) else { return false };
    assert!(!map.classes().is_empty() && map.classes().is_sorted());
    true
}

const MAP: &str = r##"ignore = [255]
[masks]
background = [0, "#505050"]
tissue     = [1, 2, 3, 4, 5, 6]
instrument = [7, 8, 9]
[model]
background = ["background"]
tissue     = ["abdominal_wall", "liver", "gallbladder", "cystic_duct", "cystic_artery", "fat"]
instrument = ["instrument_shaft", "instrument_wrist", "instrument_jaws"]
"##;

const MORE_ZONES: &str = r#"[[zones]]
name = "ball"
margin = 0.002
arms = ["PSM1", "ECM"]
region = { shape = "sphere", center = [0.0, 0.0, 0.0], radius = 0.01 }
[[zones]]
name = "rod"
margin = 0.0
arms = []
region = { shape = "capsule", a = [0.0, 0.0, 0.0], b = [0.1, 0.0, 0.0], radius = 0.01 }
[[zones]]
name = "bench"
margin = 0.002
arms = []
region = { shape = "box", center = [0.0, 0.0, 0.0], size = [0.1, 0.2, 0.3], rotation = { rpy = [0.0, 0.0, 0.5] } }
[[zones]]
name = "turned bench"
margin = 0.002
arms = []
region = { shape = "box", center = [0.0, 0.0, 0.0], size = [0.1, 0.2, 0.3], rotation = { quaternion = [0.0, 0.0, 0.6, 0.8] } }
"#;

const MESH_ZONES: &str = r#"[[zones]]
name = "liver"
margin = 0.002
arms = []
region = { shape = "mesh", file = "liver.obj" }
[[zones]]
name = "fat"
margin = 0.002
arms = []
region = { shape = "mesh", file = "./fat.stl" }
"#;

const MANIFEST: &str = include_str!("../../../nodes/perception/tests/models/colours/model.toml");
const URDF: &str = include_str!("../../../urdf/generated/psm_PROGRASP_FORCEPS_400093.urdf");

/// A PSM's URDF: the chain that it makes has finite poses wherever its joints may be.
fn read_urdf(bytes: &[u8]) -> bool {
    let Some(Ok(chain)) = text(bytes).map(|t| Chain::psm_from_urdf(Instrument::DEFAULT, t)) else { return false };
    assert_eq!(chain.dof(), ArmId::Psm1.dof());
    let limits = chain.limits();
    assert!(limits.lower.iter().zip(limits.upper.iter()).all(|(l, u)| l <= u) && limits.jaw.lower <= limits.jaw.upper);
    assert!(limits.velocity.iter().chain([&limits.jaw.velocity]).all(|v| *v > 0.0 && v.is_finite()));
    let i = chain.instrument().expect("a PSM's");
    [i.roll_d, i.wrist_a, i.shaft_radius, i.wrist_radius, i.jaw_length, i.jaw_width]
        .into_iter()
        .for_each(|x| within("length", x, 1e-4, 1.0));
    for part in [0.0, 0.3, 1.0] {
        let q: Vec<f64> = limits.lower.iter().zip(limits.upper.iter()).map(|(l, u)| l + part * (u - l)).collect();
        let tip = chain.fk(&q).expect("within the limits");
        assert!(tip.translation().iter().chain(tip.rotation().coords.iter()).all(|x| x.is_finite()));
    }
    true
}

/// Every target.
pub fn targets() -> Vec<Target> {
    let target = |name, kind, read, seeds| Target { name, kind, read, seeds };
    vec![
        target("safety_toml", Kind::Text, read_safety, || vec![DEFAULT_PARAMS.into()]),
        target("zones_toml", Kind::Text, read_zones, || {
            vec![DEFAULT_ZONES.into(), MORE_ZONES.into(), "zones = []".into()]
        }),
        target("zones_with_meshes", Kind::Text, read_zones_with_meshes, || vec![MESH_ZONES.into(), MORE_ZONES.into()]),
        target("mesh_stl", Kind::Binary, read_stl, || vec![stl(1), stl(2), stl(9)]),
        target("mesh_obj", Kind::Text, |b| read_mesh("x.obj", b), || vec![OBJ.into()]),
        target("model_toml", Kind::Text, read_manifest, || vec![MANIFEST.into()]),
        target("eval_map", Kind::Text, read_map, || vec![MAP.into()]),
        target("urdf", Kind::Text, read_urdf, || vec![URDF.into()]),
    ]
}
