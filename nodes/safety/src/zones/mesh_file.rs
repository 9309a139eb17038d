//! Reads meshes: binary STL, and the triangles and polygons of OBJ. Units are metres; nothing is scaled or repaired.

use super::mesh::{MAX_TRIANGLES, Mesh, MeshError, Triangle};
use std::path::{Component, Path};

/// Largest file read, bytes: an OBJ of the largest mesh takes about 150 MB.
const MAX_BYTES: u64 = 400_000_000;
/// Most corners of a polygon.
const MAX_POLYGON: usize = 64;
const STL_HEADER: usize = 84;
const STL_TRIANGLE: usize = 50;

/// Reads `name`, which lies in `folder` or below it.
pub(super) fn read(folder: &Path, name: &str) -> Result<Mesh, MeshError> {
    let inside = Path::new(name).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(MeshError::Outside);
    }
    decode(name, &contents(&folder.join(name), MAX_BYTES)?)
}

/// The bytes of a file of at most `most`.
fn contents(path: &Path, most: u64) -> Result<Vec<u8>, MeshError> {
    let unreadable = |e: std::io::Error| MeshError::Unreadable(e.to_string());
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > most {
        return Err(MeshError::Size { got: length as usize, expected: format!("at most {most} are read") });
    }
    std::fs::read(path).map_err(unreadable)
}

/// From a file's bytes; its name says of which kind.
pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<Mesh, MeshError> {
    let extension = Path::new(name).extension().map(|e| e.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("stl") => Mesh::new(name, stl(bytes, MAX_TRIANGLES)?),
        Some("obj") => Mesh::new(name, obj(bytes, MAX_TRIANGLES)?),
        _ => Err(MeshError::Kind),
    }
}

/// 80 bytes of anything, the number of triangles (at most `most`), and per triangle a normal, three corners and two bytes of anything.
fn stl(bytes: &[u8], most: usize) -> Result<Vec<Triangle>, MeshError> {
    let size = |expected: &str| MeshError::Size { got: bytes.len(), expected: expected.to_owned() };
    let Some((header, body)) = bytes.split_at_checked(STL_HEADER) else {
        return Err(size("a binary STL has at least 84"));
    };
    let count = header.get(80..).and_then(|c| c.try_into().ok()).map_or(0, u32::from_le_bytes) as usize;
    if body.len() != count.saturating_mul(STL_TRIANGLE) {
        return Err(if bytes.starts_with(b"solid") {
            size("this is an STL in text; save it as binary STL")
        } else {
            size(&format!("a binary STL of {count} triangles has {}", count.saturating_mul(STL_TRIANGLE) + STL_HEADER))
        });
    }
    if count > most {
        return Err(MeshError::TooMany { got: count });
    }
    let corners = |facet: &[u8]| {
        let mut numbers = facet.chunks_exact(4).skip(3).map(|b| b.try_into().map_or(f32::NAN, f32::from_le_bytes));
        let mut triangle = [[f32::NAN; 3]; 3];
        triangle.iter_mut().flatten().for_each(|x| *x = numbers.next().unwrap_or(f32::NAN));
        triangle
    };
    Ok(body.chunks_exact(STL_TRIANGLE).map(corners).collect())
}

/// `v x y z` and `f` with corners counted from 1, or from the last one with -1; polygons are cut into fans. What only colours, groups or
/// smooths is passed over. Ends soon after more than `most` triangles.
fn obj(bytes: &[u8], most: usize) -> Result<Vec<Triangle>, MeshError> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes.iter().take(e.valid_up_to()).filter(|b| **b == b'\n').count();
        MeshError::Line { line, expected: "text in UTF-8", got: String::new() }
    })?;
    let (mut points, mut triangles): (Vec<[f32; 3]>, Vec<Triangle>) = (Vec::new(), Vec::new());
    for (number, full) in text.lines().enumerate() {
        let wrong = |expected| MeshError::Line { line: number + 1, expected, got: full.chars().take(64).collect() };
        let line = full.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("v") => points.push(point(words).ok_or_else(|| wrong("v and three numbers"))?),
            Some("f") => fan(words, &points, &mut triangles).map_err(wrong)?,
            None | Some("vn" | "vt" | "vp" | "o" | "g" | "s" | "usemtl" | "mtllib") => {}
            Some(_) => return Err(wrong("v, f, or a line that only names, groups or colours")),
        }
        if triangles.len() > most {
            return Err(MeshError::TooMany { got: triangles.len() });
        }
    }
    Ok(triangles)
}

/// Three finite numbers; a fourth (weight) and colours after it are passed over.
fn point<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<[f32; 3]> {
    let mut number = || words.next()?.parse::<f32>().ok().filter(|x| x.is_finite());
    Some([number()?, number()?, number()?])
}

/// The triangles of a polygon.
fn fan<'a>(
    words: impl Iterator<Item = &'a str>,
    points: &[[f32; 3]],
    out: &mut Vec<Triangle>,
) -> Result<(), &'static str> {
    let mut corners = arrayvec::ArrayVec::<[f32; 3], MAX_POLYGON>::new();
    for word in words {
        let index = word.split('/').next().and_then(|i| i.parse::<i64>().ok()).ok_or("f and numbers of corners")?;
        let from_start = if index.is_negative() { index + points.len() as i64 } else { index - 1 };
        let corner = usize::try_from(from_start).ok().and_then(|i| points.get(i));
        let corner = corner.ok_or("numbers of corners that stand above")?;
        corners.try_push(*corner).map_err(|_| "at most 64 corners")?;
    }
    let Some((first, rest)) = corners.split_first().filter(|(_, rest)| rest.len() >= 2) else {
        return Err("at least three corners");
    };
    out.extend(rest.iter().zip(rest.iter().skip(1)).map(|(a, b)| [*first, *a, *b]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Triangle = [[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.25, 0.0]];
    const B: Triangle = [[0.0, 0.0, 0.0], [0.0, 0.25, 0.0], [0.0, 0.0, -1.5]];

    fn binary(triangles: &[Triangle]) -> Vec<u8> {
        let mut bytes = vec![b' '; 80];
        bytes.extend((triangles.len() as u32).to_le_bytes());
        for t in triangles {
            bytes.extend([0u8; 12]);
            bytes.extend(t.iter().flatten().flat_map(|x| x.to_le_bytes()));
            bytes.extend([7, 7]);
        }
        bytes
    }

    fn refusal(name: &str, bytes: &[u8]) -> String {
        decode(name, bytes).unwrap_err().to_string()
    }

    #[test]
    fn both_kinds_give_the_triangles_they_hold() {
        assert_eq!(decode("x.STL", &binary(&[A, B])).unwrap().triangles(), [A, B]);
        let text = "# made by hand\no organ\nv 0 0 0\nv 0.5 0 0 1.0\nv 0 0.25 0\r\nvn 0 0 1\nf 1//1 2//1 3//1 # one\nv 0 0 -1.5\nf -4 3 4\n";
        assert_eq!(decode("x.obj", text.as_bytes()).unwrap().triangles(), [A, B]);
        let quad = "v 0 0 0\nv 0.5 0 0\nv 0 0.25 0\nv 0 0 -1.5\nf 1 2 3 4\n";
        assert_eq!(decode("x.obj", quad.as_bytes()).unwrap().triangles(), [A, B]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let good = binary(&[A, B]);
        assert!(refusal("x.stl", &good[..83]).contains("83 bytes"));
        assert!(refusal("x.stl", &good[..good.len() - 1]).contains("2 triangles has 184"));
        assert!(refusal("x.stl", &[good.clone(), vec![0]].concat()).contains("185 bytes"));
        let mut text = b"solid organ\nfacet normal 0 0 1".to_vec();
        text.resize(200, b' ');
        assert!(refusal("x.stl", &text).contains("save it as binary"));
        let mut nan = good.clone();
        nan[84 + 50 + 12..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(refusal("x.stl", &nan).contains("triangle 1 "));
        assert!(refusal("x.stl", &binary(&[])).contains("no triangles"));
        assert!(refusal("x.ply", &good).contains(".stl (binary) or .obj"));
        for (text, line, expected) in [
            ("v 0 0 0\nv 1 0\n", "line 2", "three numbers"),
            ("v 0 0 nan\n", "line 1", "three numbers"),
            ("v 0 0 0\nv 1 0 0\nv 0 1 0\n\nf 1 2 4\n", "line 5", "stand above"),
            ("v 0 0 0\nf 0 1 1\n", "line 2", "stand above"),
            ("v 0 0 0\nf 1 1\n", "line 2", "three corners"),
            ("v 0 0 0\nf 1 1 x\n", "line 2", "numbers of corners"),
            ("curv 0 1\n", "line 1", "v, f"),
            ("v 0 0 0\n", "no triangles", ""),
        ] {
            let e = refusal("x.obj", text.as_bytes());
            assert!(e.contains(line) && e.contains(expected), "{text:?}: {e}");
        }
        assert!(refusal("x.obj", b"v 0 0 0\n\xff").contains("line 2"));
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_folder() {
        for name in ["../x.stl", "/etc/x.stl", "a/../../x.stl"] {
            assert_eq!(read(Path::new("."), name).unwrap_err(), MeshError::Outside);
        }
        assert!(matches!(read(Path::new("."), "none.stl").unwrap_err(), MeshError::Unreadable(_)));
    }

    #[test]
    fn files_and_meshes_are_read_up_to_their_limits() {
        let path = std::env::temp_dir().join(format!("proctor-mesh-{}", std::process::id()));
        std::fs::write(&path, [b' '; 100]).unwrap();
        let read = [101, 100, 99, 98].map(|most| contents(&path, most));
        std::fs::remove_file(&path).unwrap();
        let size = |most: u64| MeshError::Size { got: 100, expected: format!("at most {most} are read") };
        assert_eq!(read, [Ok(vec![b' '; 100]), Ok(vec![b' '; 100]), Err(size(99)), Err(size(98))]);

        let text = b"v 0 0 0\nv 0.5 0 0\nv 0 0.25 0\nv 0 0 -1.5\nf 1 2 3 4 3\n";
        for most in 1..5 {
            for triangles in [stl(&binary(&[A, B, A]), most), obj(text, most)] {
                let expected = if most < 3 { Err(MeshError::TooMany { got: 3 }) } else { Ok(3) };
                assert_eq!(triangles.map(|t| t.len()), expected, "at most {most}");
            }
        }
    }
}
