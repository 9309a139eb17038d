//! Ground truth by distance, on the surface as it is now.

use super::{
    Tissue,
    mesh::{V3, add, cross, dot, length, normalise, scale, sub},
};
use nalgebra::{Point3, Vector3};
use proctor_types::Class;

/// The nearest point of a tissue surface.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    /// What it belongs to.
    pub class: Class,
    /// The point on the surface, world frame, m.
    pub point: Point3<f64>,
    /// Outward unit normal of its triangle.
    pub normal: Vector3<f64>,
    /// Distance, m, never negative.
    pub distance: f64,
}

impl Tissue {
    /// Nearest surface point of any class to `p` (world, m); `None` only for a scene without triangles.
    pub fn nearest(&self, p: &Point3<f64>) -> Option<Nearest> {
        self.nearest_where(p, p, |_| true)
    }

    /// Nearest surface point of one class to the segment `a`-`b` (world, m); `None` if the scene does not have the class.
    pub fn nearest_of(&self, class: Class, a: &Point3<f64>, b: &Point3<f64>) -> Option<Nearest> {
        self.nearest_where(a, b, |c| c == class)
    }

    /// Class of the tissue whose surface is within `tolerance` metres of `p`.
    pub fn class_at(&self, p: &Point3<f64>, tolerance: f64) -> Option<Class> {
        self.nearest(p).filter(|n| n.distance <= tolerance).map(|n| n.class)
    }

    fn nearest_where(&self, a: &Point3<f64>, b: &Point3<f64>, wanted: impl Fn(Class) -> bool) -> Option<Nearest> {
        let mm = |p: &Point3<f64>| [(p.x * 1e3) as f32, (p.y * 1e3) as f32, (p.z * 1e3) as f32];
        let (a, b) = (mm(a), mm(b));
        let (centre, half) = (scale(add(a, b), 0.5), 0.5 * length(sub(b, a)));
        let mut positions = Vec::new();
        self.positions(&mut positions);
        let mesh = self.mesh();
        let mut best: Option<(f32, Class, V3, [V3; 3])> = None;
        for part in mesh.parts.iter().filter(|p| wanted(p.class)) {
            for t in &mesh.triangles[part.triangles.clone()] {
                let corners = t.map(|i| positions[i as usize]);
                if let Some((d, ..)) = best {
                    let middle = scale(add(add(corners[0], corners[1]), corners[2]), 1.0 / 3.0);
                    let reach = corners.iter().map(|c| length(sub(*c, middle))).fold(0.0, f32::max);
                    if length(sub(middle, centre)) - half - reach > d {
                        continue;
                    }
                }
                let (d, on) = segment_triangle(a, b, corners);
                if best.is_none_or(|b| d < b.0) {
                    best = Some((d, part.class, on, corners));
                }
            }
        }
        best.map(|(distance, class, on, [p, q, r])| {
            let n = normalise(cross(sub(q, p), sub(r, p)));
            let metres = |v: V3, k: f64| Vector3::new(f64::from(v[0]) * k, f64::from(v[1]) * k, f64::from(v[2]) * k);
            Nearest {
                class,
                point: Point3::from(metres(on, 1e-3)),
                normal: metres(n, 1.0),
                distance: f64::from(distance) * 1e-3,
            }
        })
    }
}

/// Closest point of a triangle to `p` (Ericson, Real-Time Collision Detection, 5.1.5).
fn point_triangle(p: V3, [a, b, c]: [V3; 3]) -> V3 {
    let (ab, ac, ap) = (sub(b, a), sub(c, a), sub(p, a));
    let (d1, d2) = (dot(ab, ap), dot(ac, ap));
    if d1 <= 0.0 && d2 <= 0.0 {
        return a;
    }
    let bp = sub(p, b);
    let (d3, d4) = (dot(ab, bp), dot(ac, bp));
    if d3 >= 0.0 && d4 <= d3 {
        return b;
    }
    let vc = d1 * d4 - d3 * d2;
    if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 {
        return add(a, scale(ab, d1 / (d1 - d3)));
    }
    let cp = sub(p, c);
    let (d5, d6) = (dot(ab, cp), dot(ac, cp));
    if d6 >= 0.0 && d5 <= d6 {
        return c;
    }
    let vb = d5 * d2 - d1 * d6;
    if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 {
        return add(a, scale(ac, d2 / (d2 - d6)));
    }
    let va = d3 * d6 - d5 * d4;
    if va <= 0.0 && d4 - d3 >= 0.0 && d5 - d6 >= 0.0 {
        return add(b, scale(sub(c, b), (d4 - d3) / ((d4 - d3) + (d5 - d6))));
    }
    let k = 1.0 / (va + vb + vc);
    add(a, add(scale(ab, vb * k), scale(ac, vc * k)))
}

/// Closest points of two segments (Ericson 5.1.9): squared distance and the point on the second.
fn segment_segment(p1: V3, q1: V3, p2: V3, q2: V3) -> (f32, V3) {
    let (d1, d2, r) = (sub(q1, p1), sub(q2, p2), sub(p1, p2));
    let (a, e, f) = (dot(d1, d1), dot(d2, d2), dot(d2, r));
    let (c, b) = (dot(d1, r), dot(d1, d2));
    let unit = |x: f32| if x.is_finite() { x.clamp(0.0, 1.0) } else { 0.0 };
    let mut s = unit((b * f - c * e) / (a * e - b * b));
    let mut t = (b * s + f) / e;
    // Not a number, when the second segment is a point, counts as its start.
    if t.is_nan() || t < 0.0 {
        t = 0.0;
        s = unit(-c / a);
    } else if t > 1.0 {
        t = 1.0;
        s = unit((b - c) / a);
    }
    let on = add(p2, scale(d2, t));
    let d = sub(add(p1, scale(d1, s)), on);
    (dot(d, d), on)
}

/// Distance from segment `a`-`b` to a triangle and the closest point on the triangle.
fn segment_triangle(a: V3, b: V3, t: [V3; 3]) -> (f32, V3) {
    let mut best = (f32::MAX, t[0]);
    let mut offer = |squared: f32, on: V3| {
        if squared < best.0 {
            best = (squared, on);
        }
    };
    for p in [a, b] {
        let on = point_triangle(p, t);
        let d = sub(p, on);
        offer(dot(d, d), on);
    }
    if a != b {
        for i in 0..3 {
            let (d, on) = segment_segment(a, b, t[i], t[(i + 1) % 3]);
            offer(d, on);
        }
        // A segment through the triangle's inside touches it.
        let n = cross(sub(t[1], t[0]), sub(t[2], t[0]));
        let (da, db) = (dot(sub(a, t[0]), n), dot(sub(b, t[0]), n));
        if da * db < 0.0 {
            let x = add(a, scale(sub(b, a), da / (da - db)));
            let on = point_triangle(x, t);
            let d = sub(x, on);
            if dot(d, d) < 1e-8 {
                offer(0.0, on);
            }
        }
    }
    (best.0.sqrt(), best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: [V3; 3] = [[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0]];

    #[test]
    fn distances_to_a_triangle_are_those_of_school_geometry() {
        for (a, b, expected) in [
            ([1.0, 1.0, 3.0], [1.0, 1.0, 3.0], 3.0),     // above the face
            ([-3.0, -4.0, 0.0], [-3.0, -4.0, 0.0], 5.0), // 3-4-5 from a corner
            ([1.0, 1.0, 2.0], [1.0, 1.0, -2.0], 0.0),    // through the face
            ([2.0, -1.0, 5.0], [2.0, -1.0, -5.0], 1.0),  // past an edge
            ([9.0, 0.0, 0.0], [7.0, 0.0, 0.0], 3.0),     // towards a corner
        ] {
            let (d, on) = segment_triangle(a, b, T);
            assert!((d - expected).abs() < 1e-5, "{a:?} {b:?}: {d} at {on:?}");
        }
    }
}
