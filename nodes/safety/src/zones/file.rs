//! The zones file: its form, its meshes, and the line of whatever is wrong in it.

use super::{MAX_ZONES, Rotation, Zone, ZoneShape, mesh_file};
use crate::SafetyError;
use proctor_types::ArmId;
use serde::Deserialize;
use std::{path::Path, sync::Arc};
use toml::de::{DeTable, DeValue};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The key must be there even when there are none.
    zones: Vec<Entry>,
}

/// A zone as it is written; see [`Zone`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    margin: f64,
    arms: Vec<ArmId>,
    region: Region,
}

/// A shape as it is written; see [`ZoneShape`].
#[derive(Debug, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case", deny_unknown_fields)]
enum Region {
    HalfSpace { point: [f64; 3], normal: [f64; 3] },
    Sphere { center: [f64; 3], radius: f64 },
    Capsule { a: [f64; 3], b: [f64; 3], radius: f64 },
    Box { center: [f64; 3], size: [f64; 3], rotation: Rotation },
    Mesh { file: String },
}

/// Reads zones. Meshes lie in `folder` or below it; without one, none may be named. `called` is what errors call the file. Reads files and
/// takes up to a second for a large mesh: not for the real-time thread.
pub(crate) fn read(called: &'static str, text: &str, folder: Option<&Path>) -> Result<Vec<Zone>, SafetyError> {
    let at_line = |e: SafetyError| e.in_file(called, text);
    let file: File = toml::from_str(text).map_err(|e| SafetyError::File { file: called, source: Box::new(e) })?;
    if file.zones.len() > MAX_ZONES {
        return Err(at_line(SafetyError::TooManyZones { got: file.zones.len(), max: MAX_ZONES }));
    }
    let zones = file.zones.into_iter().enumerate().map(|(i, entry)| {
        let zone = entry.load(i, folder)?;
        zone.validate(i)?;
        Ok(zone)
    });
    zones.collect::<Result<_, _>>().map_err(at_line)
}

impl Entry {
    fn load(self, index: usize, folder: Option<&Path>) -> Result<Zone, SafetyError> {
        let region = match self.region {
            Region::HalfSpace { point, normal } => ZoneShape::HalfSpace { point, normal },
            Region::Sphere { center, radius } => ZoneShape::Sphere { center, radius },
            Region::Capsule { a, b, radius } => ZoneShape::Capsule { a, b, radius },
            Region::Box { center, size, rotation } => ZoneShape::Box { center, size, rotation },
            Region::Mesh { file } => {
                let key = || format!("zones[{index}].region.file");
                let folder = folder.ok_or_else(|| SafetyError::NoMeshHere { key: key() })?;
                let read = mesh_file::read(folder, &file);
                ZoneShape::Mesh(Arc::new(read.map_err(|source| SafetyError::Mesh { key: key(), file, source })?))
            }
        };
        Ok(Zone { name: self.name, margin: self.margin, arms: self.arms, region })
    }
}

/// The line, from 1, on which a key such as `zones[3].region.radius` has its value - or, if it is not there, the innermost table that is.
/// What stands after a space is no part of the key.
pub(crate) fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut place = document.span().start;
    let mut table = Some(document.get_ref());
    let mut list = None;
    let path = key.split(' ').next().unwrap_or_default();
    for step in path.split(['.', '[']) {
        let value = match step.strip_suffix(']') {
            Some(index) => list.and_then(|l: &toml::de::DeArray| l.get(index.parse::<usize>().ok()?)),
            None => table.and_then(|t: &DeTable| t.get(step)),
        };
        let Some(value) = value else { break };
        place = value.span().start;
        (table, list) = match value.get_ref() {
            DeValue::Table(t) => (Some(t), None),
            DeValue::Array(a) => (None, Some(a)),
            _ => (None, None),
        };
    }
    Some(1 + text.get(..place)?.matches('\n').count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEFAULT_ZONES;

    const ALL: &str = r#"# every shape
[[zones]]
name = "floor"
margin = 0.002
arms = []
region = { shape = "half_space", point = [0.0, 0.0, -0.045], normal = [0.0, 0.0, 1.0] }

[[zones]]
name = "ball"
margin = 0.002
arms = ["PSM1"]
region = { shape = "sphere", center = [0.0, 0.0, 0.0], radius = 0.01 }

[[zones]]
name = "rod"
margin = 0.002
arms = []
region = { shape = "capsule", a = [0.0, 0.0, 0.0], b = [0.1, 0.0, 0.0], radius = 0.01 }

[[zones]]
name = "bench"
margin = 0.002
arms = []
[zones.region]
shape = "box"
center = [0.0, 0.0, 0.0]
size = [0.1, 0.2, 0.3]
rotation = { rpy = [0.0, 0.0, 0.5] }
"#;

    fn refusal(text: &str) -> String {
        read("zones.toml", text, None).unwrap_err().to_string()
    }

    #[test]
    fn every_shape_is_read_as_written() {
        let zones = read("zones.toml", ALL, None).unwrap();
        assert_eq!(zones.iter().map(|z| z.name.as_str()).collect::<Vec<_>>(), ["floor", "ball", "rod", "bench"]);
        assert_eq!(zones[1].arms, [ArmId::Psm1]);
        let rotation = Rotation::Rpy([0.0, 0.0, 0.5]);
        assert_eq!(zones[3].region, ZoneShape::Box { center: [0.0; 3], size: [0.1, 0.2, 0.3], rotation });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let row = |from: &str, to: &str| {
            assert!(ALL.contains(from), "{from}");
            refusal(&ALL.replacen(from, to, 1))
        };
        for (error, line, says) in [
            // Out of range.
            (
                row("radius = 0.01 }\n\n[[zones]]\nname = \"rod\"", "radius = 5.0 }\n\n[[zones]]\nname = \"rod\""),
                12,
                "zones[1].region.radius",
            ),
            (row("name = \"rod\"\nmargin = 0.002", "name = \"rod\"\nmargin = 0.5"), 16, "zones[2].margin"),
            (row("size = [0.1, 0.2, 0.3]", "size = [0.1, 0.0, 0.3]"), 27, "zones[3].region.size"),
            (row("rpy = [0.0, 0.0, 0.5]", "quaternion = [0.0, 0.0, 0.5, 0.5]"), 28, "quaternion"),
            (row("normal = [0.0, 0.0, 1.0]", "normal = [0.0, 0.0, 0.0]"), 6, "normal"),
            (row("name = \"ball\"", "name = \"\""), 9, "zones[1].name"),
            // Missing, unknown and wrong keys.
            (row("name = \"ball\"\nmargin = 0.002\n", "name = \"ball\"\n"), 8, "missing field `margin`"),
            (row("name = \"ball\"\nmargin = 0.002\n", "name = \"ball\"\nmargin = 0.002\nmargine = 1\n"), 11, "margine"),
            (
                row(", radius = 0.01 }\n\n[[zones]]\nname = \"rod\"", "}\n\n[[zones]]\nname = \"rod\""),
                12,
                "missing field `radius`",
            ),
            (row("radius = 0.01 }", "radius = 0.01, colour = 3 }"), 12, "colour"),
            (row("shape = \"sphere\"", "shape = \"blob\""), 12, "blob"),
            (row("center = [0.0, 0.0, 0.0], radius", "center = [0.0, 0.0], radius"), 12, "length"),
            (row("size = [0.1, 0.2, 0.3]\n", ""), 24, "missing field `size`"),
            (row("arms = [\"PSM1\"]", "arms = [\"PSM7\"]"), 11, "PSM7"),
            (row("radius = 0.01 }", "radius = 0.01 "), 14, "inline table"),
            // A mesh where none can be.
            (
                row(
                    "shape = \"box\"\ncenter = [0.0, 0.0, 0.0]\nsize = [0.1, 0.2, 0.3]\nrotation = { rpy = [0.0, 0.0, 0.5] }",
                    "shape = \"mesh\"\nfile = \"a.stl\"",
                ),
                26,
                "file",
            ),
        ] {
            assert!(error.contains(&format!("line {line}")) && error.contains(says), "line {line}, {says:?}: {error}");
        }
        let floor = &ALL[ALL.find("[[zones]]").unwrap()..ALL.find("[[zones]]\nname = \"ball\"").unwrap()];
        assert_eq!(read("zones.toml", &floor.repeat(MAX_ZONES), None).unwrap().len(), MAX_ZONES);
        assert!(refusal(&floor.repeat(MAX_ZONES + 1)).contains("at most 16"));
        assert!(refusal("").contains("missing field `zones`"));
    }

    #[test]
    fn a_key_is_found_where_its_value_stands() {
        let line = |key| line_of(DEFAULT_ZONES, key);
        let shown = |n: Option<usize>| DEFAULT_ZONES.lines().nth(n.unwrap() - 1).unwrap();
        assert!(shown(line("zones[1].name")).contains("right border"));
        assert!(shown(line("zones[1].region.normal (length)")).contains("0.16"));
        // Not there: the innermost that is.
        assert!(shown(line("zones[0].region.radius")).contains("-0.045"));
        assert_eq!(line_of("not = [toml", "x"), None);
    }

    #[test]
    fn a_mesh_is_read_beside_the_file_and_its_errors_name_it() {
        let folder = std::env::temp_dir().join(format!("proctor-zones-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("liver.obj"), "v 0 0 0\nv 0.1 0 0\nv 0 0.1 0\nf 1 2 3\n").unwrap();
        std::fs::write(folder.join("bad.obj"), "v 0 0 0\nv 100 0 0\nv 0 100 0\nf 1 2 3\n").unwrap();
        let text = |file: &str| {
            format!(
                "[[zones]]\nname = \"liver\"\nmargin = 0.002\narms = []\nregion = {{ shape = \"mesh\", file = \"{file}\" }}\n"
            )
        };
        let zones = read("zones.toml", &text("liver.obj"), Some(&folder));
        let bad = read("zones.toml", &text("bad.obj"), Some(&folder)).unwrap_err().to_string();
        let outside = read("zones.toml", &text("../liver.obj"), Some(&folder)).unwrap_err().to_string();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(&zones.unwrap()[0].region, ZoneShape::Mesh(m) if m.triangles().len() == 1));
        for (error, says) in [(bad, "triangle 0"), (outside, "no `..`")] {
            assert!(error.contains("zones.toml, line 5: ") && error.contains(says), "{error}");
        }
    }
}
