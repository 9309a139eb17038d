//! Wavefront OBJ files of the scene's meshes, in metres.

use proctor_sim::scene::{Mesh, Part};
use std::fmt::Write as _;

/// One part of a mesh whose points and normals (mm) are these. Its texture repeats every `side` mm along the two axes that it extends along most.
pub(crate) fn part(mesh: &Mesh, part: &Part, positions: &[[f32; 3]], normals: &[[f32; 3]], side: f32) -> String {
    let mut out = String::from("# Written by `proctor gazebo export`; do not edit.\n");
    let vertices = part.vertices.clone();
    let points = positions.get(vertices.clone()).unwrap_or_default();
    let [across, along] = longest(points);
    for [x, y, z] in points {
        let _ = writeln!(out, "v {:.7} {:.7} {:.7}", x * 1e-3, y * 1e-3, z * 1e-3);
    }
    for point in points {
        let _ = writeln!(out, "vt {:.5} {:.5}", point[across] / side, point[along] / side);
    }
    for [x, y, z] in normals.get(vertices.clone()).unwrap_or_default() {
        let _ = writeln!(out, "vn {x:.5} {y:.5} {z:.5}");
    }
    for triangle in mesh.triangles.get(part.triangles.clone()).unwrap_or_default() {
        // OBJ counts from 1.
        let [a, b, c] = triangle.map(|i| i as usize + 1 - vertices.start);
        let _ = writeln!(out, "f {a}/{a}/{a} {b}/{b}/{b} {c}/{c}/{c}");
    }
    out
}

/// The two axes along which points extend most.
fn longest(points: &[[f32; 3]]) -> [usize; 2] {
    let extent = |axis: usize| {
        let (low, high) =
            points.iter().fold((f32::MAX, f32::MIN), |(low, high), p| (low.min(p[axis]), high.max(p[axis])));
        high - low
    };
    let shortest = (0..3).min_by(|a, b| extent(*a).total_cmp(&extent(*b))).unwrap_or(2);
    [usize::from(shortest == 0), if shortest == 2 { 1 } else { 2 }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_types::Class;

    #[test]
    fn a_part_is_written_in_metres_and_counts_from_one() {
        let at = vec![[0.0, 0.0, 0.0], [1000.0, 0.0, 0.0], [0.0, 500.0, 0.0], [0.0, 0.0, 7.0]];
        let up = vec![[0.0, 0.0, 1.0]; 4];
        let whole = Part { class: Class::Liver, vertices: 1..4, triangles: 0..1 };
        let mesh = Mesh { triangles: vec![[1, 2, 3]], ..Mesh::default() };
        let text = part(&mesh, &whole, &at, &up, 100.0);
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(lines[0], "v 1.0000000 0.0000000 0.0000000");
        assert_eq!((lines.len(), lines[9]), (10, "f 1/1/1 2/2/2 3/3/3"));
        // x from 0 to 1000 and y from 0 to 500 are longer than z; 100 mm are one tile.
        assert_eq!((lines[3], lines[4]), ("vt 10.00000 0.00000", "vt 0.00000 5.00000"));
    }
}
