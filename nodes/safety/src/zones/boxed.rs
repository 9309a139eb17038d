//! How far a capsule is from a box, as the filter works it out.
//!
//! The distance of a point from a box (negative inside: how deep below the nearest face) is convex, so along a capsule's axis it has one
//! lowest value. Outside, its square is a parabola between the places where the axis crosses a face's plane: its slope is straight there, never
//! falls, and is 0 where it is lowest. Inside, it is made of straight pieces, and lowest where two of them meet.

use super::Rotation;
use nalgebra::{Isometry3, Point3, Translation3, Vector3};
use proctor_kinematics::Capsule;

/// A solid box.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrientedBox {
    box_from_world: Isometry3<f64>,
    half: [f64; 3],
}

/// An axis in the box's own frame: `from + t * along`, t in [0, 1].
struct Axis {
    from: [f64; 3],
    along: [f64; 3],
    half: [f64; 3],
}

impl OrientedBox {
    /// From its middle, its edges' lengths and how it is turned.
    pub fn new(center: &[f64; 3], size: &[f64; 3], rotation: Rotation) -> Self {
        let world_from_box = Isometry3::from_parts(Translation3::from(*center), rotation.unit());
        Self { box_from_world: world_from_box.inverse(), half: size.map(|x| x / 2.0) }
    }

    /// Distance between the surfaces, m, negative when they overlap.
    pub fn distance(&self, c: &Capsule) -> f64 {
        let (a, b): (Point3<f64>, Point3<f64>) = (self.box_from_world * c.a, self.box_from_world * c.b);
        let along: Vector3<f64> = b - a;
        let axis = Axis { from: a.coords.into(), along: along.into(), half: self.half };
        let crossings = axis.crossings();
        let axial = if axis.meets(&crossings) { axis.inside() } else { axis.outside(&crossings) };
        axial - c.radius
    }
}

/// Per direction, where an axis crosses the planes of the two faces, in either order; no number, or infinite, where it runs along them.
type Crossings = [[f64; 2]; 3];

impl Axis {
    /// Per direction: where the axis starts and leads, and half the box's length.
    fn directions(&self) -> [(f64, f64, f64); 3] {
        let ([x, y, z], [dx, dy, dz], [hx, hy, hz]) = (self.from, self.along, self.half);
        [(x, dx, hx), (y, dy, hy), (z, dz, hz)]
    }

    fn crossings(&self) -> Crossings {
        self.directions().map(|(x, d, h)| [(-h - x) / d, (h - x) / d])
    }

    /// Whether a part of the axis, or one point of it, is between the faces of each direction.
    fn meets(&self, crossings: &Crossings) -> bool {
        let (mut enters, mut leaves) = (0.0f64, 1.0f64);
        for ((x, d, h), &[one, other]) in self.directions().into_iter().zip(crossings) {
            if d != 0.0 {
                (enters, leaves) = (enters.max(one.min(other)), leaves.min(one.max(other)));
            } else if x.abs() > h {
                return false;
            }
        }
        enters <= leaves
    }

    /// Distance from the box of an axis that does not meet it. The slope of its square never falls along the axis, and is straight between crossings: the
    /// stretch on which it turns is found crossing by crossing.
    fn outside(&self, crossings: &Crossings) -> f64 {
        // How far beyond the nearer face, to its side; 0 between the two.
        let beyond =
            |t: f64| self.directions().map(|(x, d, h)| (d, ((x + t * d).abs() - h).max(0.0).copysign(x + t * d)));
        let slope = |t: f64| beyond(t).iter().map(|(d, e)| d * e).sum::<f64>();
        let ((mut falls, mut falling), (mut rises, mut rising)) = ((0.0, slope(0.0)), (1.0, slope(1.0)));
        for &t in crossings.iter().flatten() {
            if falls < t && t < rises {
                let there = slope(t);
                if there < 0.0 {
                    (falls, falling) = (t, there);
                } else {
                    (rises, rising) = (t, there);
                }
            }
        }
        // At an end, when it only rises, or only falls.
        let turns = falls + (rises - falls) * unit(falling / (falling - rising));
        beyond(turns).iter().map(|(_, e)| e * e).sum::<f64>().sqrt()
    }

    /// How deep the axis goes below the nearest face, as a negative number, for an axis that meets the box.
    fn inside(&self) -> f64 {
        let height =
            |t: f64| self.directions().iter().map(|(x, d, h)| (x + t * d).abs() - h).fold(f64::NEG_INFINITY, f64::max);
        let line = |i: usize| {
            let get = |v: &[f64; 3]| v.get(i).copied().unwrap_or(0.0);
            (get(&self.from), get(&self.along), get(&self.half))
        };
        let mut best = height(0.0).min(height(1.0));
        for (i, j) in [(0, 1), (1, 2), (2, 0)] {
            let ((x, dx, hx), (y, dy, hy)) = (line(i), line(j));
            best = best.min(height(unit(-x / dx)));
            for (s, r) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
                // s (x + t dx) - hx = r (y + t dy) - hy
                best = best.min(height(unit((r * y - hy - s * x + hx) / (s * dx - r * dy))));
            }
        }
        best
    }
}

/// Into [0, 1]; 0 for what is no number.
fn unit(t: f64) -> f64 {
    if t.is_finite() { t.clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solid(rpy: [f64; 3]) -> OrientedBox {
        OrientedBox::new(&[0.01, -0.02, 0.03], &[0.04, 0.06, 0.10], Rotation::Rpy(rpy))
    }

    fn capsule(a: [f64; 3], b: [f64; 3]) -> Capsule {
        Capsule { a: a.into(), b: b.into(), radius: 0.004 }
    }

    #[test]
    fn face_edge_corner_and_depth_are_those_of_school_geometry() {
        // Faces at x = -0.01 and 0.03, y = -0.05 and 0.01, z = -0.02 and 0.08.
        for (a, b, axial) in [
            ([0.05, 0.0, 0.0], [0.05, 0.0, 0.05], 0.02),                 // along a face
            ([0.06, 0.05, 0.0], [0.06, 0.05, 0.05], 0.05),               // along an edge: 3-4-5
            ([0.04, 0.03, 0.10], [0.04, 0.03, 0.2], 0.03),               // end before a corner: 1-2-2
            ([-1.0, 0.02, 0.09], [1.0, 0.02, 0.09], 2f64.sqrt() * 0.01), // crossing above an edge
            ([0.01, -0.02, 0.2], [0.01, -0.02, 0.06], -0.02), // stuck in from above, as deep as the sides are near
            ([0.01, -0.02, 0.2], [0.01, -0.02, 0.07], -0.01), // not so deep
            ([0.01, -0.02, 0.03], [0.01, -0.02, 0.03], -0.02), // a ball in the middle
            ([-1.0, -0.02, 0.07], [1.0, -0.02, 0.07], -0.01), // right through
        ] {
            let d = solid([0.0; 3]).distance(&capsule(a, b));
            assert!((d - axial + 0.004).abs() < 1e-12, "{a:?} {b:?}: {d}, expected {axial} less the radius");
        }
    }

    /// No sampled point of the axis is nearer, and some sampled point is nearly as near.
    #[test]
    fn the_distance_bounds_dense_samples_from_below_and_is_reached() {
        let w = |i: usize, a: f64| 2.0 * ((i as f64 + 1.0) * a).fract() - 1.0;
        for i in 0..3000 {
            let rpy = [3.0 * w(i, 0.618), 3.0 * w(i, 0.414), 3.0 * w(i, 0.732)];
            let p = |k: f64| [0.12 * w(i, 0.236 * k), 0.12 * w(i, 0.303 * k) - 0.02, 0.12 * w(i, 0.791 * k) + 0.03];
            let (a, b) = (p(1.0), if i % 7 == 0 { p(1.0) } else { p(1.9) });
            let (solid, c) = (solid(rpy), capsule(a, b));
            let found = solid.distance(&c);
            let mut sampled = f64::INFINITY;
            for k in 0..=400 {
                let q = solid.box_from_world * (c.a + (c.b - c.a) * (f64::from(k) / 400.0));
                let over = [q.x.abs() - 0.02, q.y.abs() - 0.03, q.z.abs() - 0.05];
                let outside = over.map(|x| x.max(0.0).powi(2)).iter().sum::<f64>().sqrt();
                let inside = over.into_iter().fold(f64::NEG_INFINITY, f64::max).min(0.0);
                sampled = sampled.min(outside + inside - c.radius);
            }
            let step = (c.b - c.a).norm() / 800.0;
            assert!(found <= sampled + 1e-12 && found >= sampled - step, "case {i}: {found}, sampled {sampled}");
        }
    }
}
