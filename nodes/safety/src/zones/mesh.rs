//! A surface of triangles as a no-go zone.
//!
//! It is a *surface*, not a solid: arms keep their distance from both sides of every triangle, the mesh need not be closed, and which way
//! its triangles are wound does not matter. So a hole in a scan is a hole for a thin tool, and an arm that is wholly behind the surface is
//! kept from it as one in front is. While the axis of an arm's part passes through the surface, the arm counts as in it by its largest
//! radius and all of its axis beyond the first crossing, counted from the pivot: it may be drawn out, and go no deeper.
//!
//! Corners are `f32`, metres, world frame: what an STL file holds, and 0.1 um at 2 m for what an OBJ file says. Triangles without area count as
//! the segments or points they are.

use super::triangle::Segment;
use nalgebra::Point3;
use proctor_kinematics::Capsule;
use proctor_types::Digest;
use std::fmt;

/// Most triangles of a mesh: twice what the timings in `benches/mesh_zone.rs` are for.
pub const MAX_TRIANGLES: usize = 2_000_000;

/// Three corners, m.
pub type Triangle = [[f32; 3]; 3];

/// A checked mesh: not empty, at most [`MAX_TRIANGLES`], every corner finite and within 2 m of the world's origin in every direction.
#[derive(Clone)]
pub struct Mesh {
    name: String,
    triangles: Vec<Triangle>,
    digest: Digest,
}

/// What is wrong with a mesh.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MeshError {
    /// No triangle at all.
    #[error("no triangles; a zone needs at least one")]
    Empty,
    /// More than fit.
    #[error("{got} triangles, at most {} are taken", MAX_TRIANGLES)]
    TooMany {
        /// How many came.
        got: usize,
    },
    /// A corner is NaN, infinite or too far away.
    #[error("triangle {triangle} (from 0) has a corner at [{}, {}, {}] m; every coordinate must be finite and within 2 m of the origin{}",
        .corner[0], .corner[1], .corner[2], if .corner.iter().any(|x| x.abs() > 2.0) { " (is the file in millimetres?)" } else { "" })]
    Corner {
        /// Which triangle, from 0.
        triangle: usize,
        /// Where its corner is.
        corner: [f32; 3],
    },
    /// The file is too short, too long or of another kind.
    #[error("{got} bytes; {expected}")]
    Size {
        /// How long it is.
        got: usize,
        /// What was expected.
        expected: String,
    },
    /// A line of an OBJ file was not understood.
    #[error("line {line}: expected {expected}, got {got:?}")]
    Line {
        /// From 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
        /// What stands there, cut.
        got: String,
    },
    /// Neither `.stl` nor `.obj`.
    #[error("a mesh is an .stl (binary) or .obj file")]
    Kind,
    /// The name leads out of the folder of the zones file.
    #[error("a mesh lies in the folder of the zones file or below it: no absolute path, no `..`")]
    Outside,
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

impl Mesh {
    /// From a file's bytes, binary STL or OBJ as the end of its `name` says; metres.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self, MeshError> {
        super::mesh_file::decode(name, bytes)
    }

    /// From triangles in the world frame, metres. `name` is for errors and logs.
    pub fn new(name: &str, triangles: Vec<Triangle>) -> Result<Self, MeshError> {
        if triangles.is_empty() {
            return Err(MeshError::Empty);
        }
        if triangles.len() > MAX_TRIANGLES {
            return Err(MeshError::TooMany { got: triangles.len() });
        }
        // Written so that NaN is refused too.
        let near = |corner: &[f32; 3]| corner.iter().all(|&x| f64::from(x).abs() <= super::FARTHEST);
        for (triangle, corners) in triangles.iter().enumerate() {
            if let Some(&corner) = corners.iter().find(|c| !near(c)) {
                return Err(MeshError::Corner { triangle, corner });
            }
        }
        let bytes: Vec<u8> = triangles.iter().flatten().flatten().flat_map(|x| x.to_le_bytes()).collect();
        Ok(Self { name: name.to_owned(), digest: Digest::of(&bytes), triangles })
    }

    /// What the zones file calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The triangles, in the file's order.
    pub fn triangles(&self) -> &[Triangle] {
        &self.triangles
    }

    /// Distance from a capsule's surface to the nearest triangle, m, every triangle looked at; minus the radius where the axis passes
    /// through one. What searches are measured against.
    pub fn distance_by_brute_force(&self, c: &Capsule) -> f64 {
        let segment = Segment::new(c.a, c.b);
        let square = |t: &Triangle| segment.to_triangle(&t.map(|corner| Point3::from(corner).cast())).0;
        self.triangles.iter().map(square).fold(f64::INFINITY, f64::min).sqrt() - c.radius
    }
}

/// The same triangles in the same order, whatever they are called.
impl PartialEq for Mesh {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.triangles.len() == other.triangles.len()
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mesh({:?}, {} triangles)", self.name, self.triangles.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Triangle = [[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0]];

    #[test]
    fn a_mesh_is_not_empty_not_too_large_and_everywhere_finite_and_near() {
        assert_eq!(Mesh::new("m", vec![]).unwrap_err(), MeshError::Empty);
        assert_eq!(
            Mesh::new("m", vec![ONE; MAX_TRIANGLES + 1]).unwrap_err(),
            MeshError::TooMany { got: MAX_TRIANGLES + 1 }
        );
        for bad in [f32::NAN, f32::INFINITY, 2.1, -150.0] {
            let mut wrong = ONE;
            wrong[2][1] = bad;
            let e = Mesh::new("m", vec![ONE, wrong]).unwrap_err();
            assert!(matches!(e, MeshError::Corner { triangle: 1, .. }), "{e}");
            assert_eq!(e.to_string().contains("millimetres"), bad.abs() > 2.0, "{e}");
        }
        assert_eq!(Mesh::new("m", vec![ONE]).unwrap().triangles(), [ONE]);
    }

    #[test]
    fn meshes_are_equal_by_their_triangles() {
        let of = |name, triangles| Mesh::new(name, triangles).unwrap();
        let mut moved = ONE;
        moved[0][0] = 1e-6;
        assert_eq!(of("a", vec![ONE, moved]), of("b", vec![ONE, moved]));
        assert_ne!(of("a", vec![ONE, moved]), of("a", vec![ONE, ONE]));
        assert_ne!(of("a", vec![ONE, moved]), of("a", vec![moved, ONE]));
    }

    #[test]
    fn a_capsule_is_as_far_from_a_mesh_as_from_its_nearest_triangle() {
        let high = ONE.map(|[x, y, _]| [x, y, 0.05]);
        let mesh = Mesh::new("plate", vec![high, ONE]).unwrap();
        let upright =
            |z: f64| Capsule { a: Point3::new(0.02, 0.02, z), b: Point3::new(0.02, 0.02, z + 0.01), radius: 0.002 };
        for (z, distance) in [(0.01, 0.008), (0.035, 0.003), (-0.013, 0.001), (-0.005, -0.002), (0.06, 0.008)] {
            assert!((mesh.distance_by_brute_force(&upright(z)) - distance).abs() < 1e-8, "{z}");
        }
        assert_eq!((mesh.name(), format!("{mesh:?}").as_str()), ("plate", "Mesh(\"plate\", 2 triangles)"));
    }
}
