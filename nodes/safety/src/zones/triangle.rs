//! Where a segment is nearest to a triangle, as the filter works it out: at its crossing, at an end above the triangle's face, or at one of
//! the three edges. Exact up to rounding, for triangles without area and segments without length too.

use nalgebra::{Point3, Vector3};

/// Below this sine squared two segments count as parallel.
const PARALLEL: f64 = 1e-15;
/// Below this sine squared at a corner a triangle is no wider than 1e-10 of its length: its edges say everything.
const FLAT: f64 = 1e-20;

/// A segment made ready for many triangles.
#[derive(Debug)]
pub(super) struct Segment {
    a: Point3<f64>,
    b: Point3<f64>,
    along: Vector3<f64>,
    square: f64,
}

impl Segment {
    pub fn new(a: Point3<f64>, b: Point3<f64>) -> Self {
        let along = b - a;
        Self { a, b, along, square: along.norm_squared() }
    }

    /// Smallest distance squared, m^2, and where on the segment it is, [0, 1].
    pub fn to_triangle(&self, corners: &[Point3<f64>; 3]) -> (f64, f64) {
        let [p, q, r] = corners;
        let (first, second) = (q - p, r - p);
        let normal = first.cross(&second);
        let square = normal.norm_squared();
        let above = |x: &Point3<f64>| {
            let beside = |u: &Point3<f64>, v: &Point3<f64>| (v - u).cross(&(x - u)).dot(&normal) >= 0.0;
            beside(p, q) && beside(q, r) && beside(r, p)
        };
        let mut best = (f64::INFINITY, 0.0);
        if square > FLAT * first.norm_squared() * second.norm_squared() {
            let (ha, hb) = (normal.dot(&(self.a - p)), normal.dot(&(self.b - p)));
            if on_two_sides(ha, hb) {
                let t = ha / (ha - hb);
                if above(&(self.a + self.along * t)) {
                    return (0.0, t);
                }
            }
            for (end, height, t) in [(&self.a, ha, 0.0), (&self.b, hb, 1.0)] {
                let d = height * height / square;
                if d < best.0 && above(end) {
                    best = (d, t);
                }
            }
        }
        for (u, v) in [(p, q), (q, r), (r, p)] {
            let edge = self.to_segment(u, v);
            if edge.0 < best.0 {
                best = edge;
            }
        }
        best
    }

    /// The same for another segment: where the lines are nearest, moved into both segments one after the other.
    fn to_segment(&self, u: &Point3<f64>, v: &Point3<f64>) -> (f64, f64) {
        let (edge, between) = (v - u, self.a - u);
        let (e, f) = (edge.norm_squared(), edge.dot(&between));
        let (c, b) = (self.along.dot(&between), self.along.dot(&edge));
        let product = self.square * e;
        let determinant = product - b * b;
        let start = if determinant > PARALLEL * product { unit((b * f - c * e) / determinant) } else { 0.0 };
        let t = unit((b * start + f) / e);
        let s = unit((b * t - c) / self.square);
        ((between + self.along * s - edge * t).norm_squared(), s)
    }
}

/// Whether one height is above a plane and the other is not; within it is not above.
fn on_two_sides(ha: f64, hb: f64) -> bool {
    (ha > 0.0) != (hb > 0.0)
}

/// Into [0, 1]; 0 for -0 and for what is no number: a segment without length is its first end.
fn unit(t: f64) -> f64 {
    // NaN is not above 0.
    if t > 0.0 { t.min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(x: f64, y: f64, z: f64) -> Point3<f64> {
        Point3::new(x, y, z)
    }

    #[test]
    fn distances_are_those_of_school_geometry() {
        let triangle = [p(0.0, 0.0, 0.0), p(4.0, 0.0, 0.0), p(0.0, 4.0, 0.0)];
        let line = [p(0.0, 0.0, 0.0), p(1.0, 0.0, 0.0), p(4.0, 0.0, 0.0)];
        let dot = [p(1.0, 1.0, 0.0); 3];
        for (corners, a, b, distance, place) in [
            (triangle, p(1.0, 1.0, 3.0), p(1.0, 1.0, 1.0), 1.0, 1.0), // end above the face
            (triangle, p(1.0, 1.0, 3.0), p(1.0, 1.0, -1.0), 0.0, 0.75), // through the face
            (triangle, p(1.0, 1.0, 2.0), p(1.0, 1.0, 0.0), 0.0, 1.0), // touching it
            (triangle, p(-3.0, 1.0, 4.0), p(-3.0, 2.0, 4.0), 5.0, 0.0), // beside an edge, parallel: 3-4-5
            (triangle, p(-3.0, -4.0, 0.0), p(-6.0, -8.0, 0.0), 5.0, 0.0), // before a corner
            (triangle, p(2.0, -1.0, 1.0), p(2.0, 1.0, 3.0), 2f64.sqrt(), 0.0), // end beside an edge, the rest rises above it
            (triangle, p(3.0, 3.0, -1.0), p(3.0, 3.0, 1.0), 2f64.sqrt(), 0.5), // across the plane outside the long edge
            (line, p(2.0, -1.0, 1.0), p(2.0, 1.0, 1.0), 1.0, 0.5),             // no area: a segment
            (dot, p(1.0, 0.0, 1.0), p(1.0, 2.0, 1.0), 1.0, 0.5),               // no area: a point
            (triangle, p(1.0, 1.0, 2.0), p(1.0, 1.0, 2.0), 2.0, 0.0),          // no length: a ball
        ] {
            let (d2, s) = Segment::new(a, b).to_triangle(&corners);
            assert!((d2.sqrt() - distance).abs() < 1e-12 && (s - place).abs() < 1e-12, "{a} {b}: {} at {s}", d2.sqrt());
        }
    }

    #[test]
    fn places_lie_on_the_segment_and_sides_are_two() {
        for (t, place) in [(-0.5, 0.0), (-0.0, 0.0), (0.25, 0.25), (1.0, 1.0), (7.0, 1.0), (f64::NAN, 0.0)] {
            assert_eq!(unit(t).to_bits(), f64::to_bits(place), "{t}");
        }
        for (ha, hb, two) in
            [(1.0, -1.0, true), (1.0, 2.0, false), (0.0, 1.0, true), (0.0, -1.0, false), (0.0, 0.0, false)]
        {
            assert_eq!([on_two_sides(ha, hb), on_two_sides(hb, ha)], [two; 2], "{ha} {hb}");
        }
    }

    /// No sampled pair of points is nearer, and some sampled pair is nearly as near.
    #[test]
    fn the_distance_bounds_dense_samples_from_below_and_is_reached() {
        let w = |i: usize, a: f64| 2.0 * ((i as f64 + 1.0) * a).fract() - 1.0;
        for i in 0..1500 {
            let at = |k: f64| p(w(i, 0.618 * k), w(i, 0.414 * k), w(i, 0.732 * k));
            let thin = if i % 5 == 0 { 1.0 } else { 0.0 };
            let (u, v) = (at(1.0), at(2.3));
            let corners = [u, v, at(3.1) * (1.0 - thin) + (u.coords * 0.3 + v.coords * 0.7) * thin];
            let segment = Segment::new(at(4.7), if i % 7 == 0 { at(4.7) } else { at(5.9) });
            let found = segment.to_triangle(&corners).0.sqrt();
            let mut sampled = f64::INFINITY;
            for (j, k) in (0..=20).flat_map(|j| (0..=20 - j).map(move |k| (f64::from(j) / 20.0, f64::from(k) / 20.0))) {
                let q = u + (v - u) * j + (corners[2] - u) * k;
                let t = unit((q - segment.a).dot(&segment.along) / segment.square);
                sampled = sampled.min((segment.a + segment.along * t - q).norm());
            }
            assert!(found <= sampled + 1e-9 && found >= sampled - 0.12, "case {i}: {found}, sampled {sampled}");
        }
    }

    /// A distance has no size of its own: a power of two changes no digit.
    #[test]
    fn what_is_a_millionth_as_large_is_a_millionth_as_far_to_the_last_bit() {
        let w = |i: usize, a: f64| 2.0 * ((i as f64 + 1.0) * a).fract() - 1.0;
        let small = 2f64.powi(-20);
        for i in 0..600 {
            let at = |k: f64| p(w(i, 0.618 * k), w(i, 0.414 * k), w(i, 0.732 * k));
            let (u, v) = (at(1.0), at(2.3));
            let corners = match i % 4 {
                0 => [u, v, u + (v - u) * 0.3 + at(3.1).coords * 1e-9],
                1 => [u, v, v],
                _ => [u, v, at(3.1)],
            };
            let ends = [at(4.7), if i % 7 == 0 { at(4.7) } else { at(5.9) }];
            let (d2, place) = Segment::new(ends[0], ends[1]).to_triangle(&corners);
            let [a, b] = ends.map(|x| x * small);
            let found = Segment::new(a, b).to_triangle(&corners.map(|x| x * small));
            assert_eq!(found, (d2 * small * small, place), "case {i}");
        }
    }

    #[test]
    fn a_triangle_wider_than_a_ten_billionth_of_its_length_has_a_face() {
        // The sine at the first corner is w / (length / 2), to the last bit 1e-10 squared.
        for (length, w) in [(0.1_f64, 5.0000000000000005e-12_f64), (0.01, 5e-13), (0.4, 2.0000000000000002e-11)] {
            let through = |w: f64| {
                let corners = [p(0.0, 0.0, 0.0), p(length, 0.0, 0.0), p(length / 2.0, w, 0.0)];
                let at = |z: f64| p(length / 2.0, w / 4.0, z);
                Segment::new(at(0.1), at(-0.1)).to_triangle(&corners)
            };
            assert_eq!(through(w.next_up()), (0.0, 0.5), "{length}");
            assert!(through(w).0 > 0.0, "{length}: by its edges");
        }
    }
}
