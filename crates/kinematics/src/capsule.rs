//! Capsules: the shape in which safety and planning see an instrument.

use nalgebra::Point3;

/// All points within `radius` of the segment from `a` to `b`. Metres, frame of the one who asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capsule {
    /// One end of the axis.
    pub a: Point3<f64>,
    /// Other end of the axis.
    pub b: Point3<f64>,
    /// Radius, positive.
    pub radius: f64,
}

impl Capsule {
    /// Distance from the capsule's surface to `p`, negative inside.
    pub fn distance_to_point(&self, p: &Point3<f64>) -> f64 {
        let axis = self.b - self.a;
        let length2 = axis.norm_squared();
        let t = if length2 > 0.0 { ((p - self.a).dot(&axis) / length2).clamp(0.0, 1.0) } else { 0.0 };
        (p - (self.a + axis * t)).norm() - self.radius
    }

    /// The capsule seen from another frame.
    #[must_use]
    pub fn transformed(&self, by: &nalgebra::Isometry3<f64>) -> Self {
        Self { a: by * self.a, b: by * self.b, radius: self.radius }
    }

    /// Whether the capsule lies in, or within `beside` metres of, the line of sight from `eye` to `p`.
    pub fn hides(&self, eye: &Point3<f64>, p: &Point3<f64>, beside: f64) -> bool {
        self.distance_to(&Self { a: *eye, b: *p, radius: beside }) < 0.0
    }

    /// Distance between the surfaces of two capsules, negative when they overlap (Ericson, Real-Time Collision Detection, 5.1.9).
    pub fn distance_to(&self, other: &Self) -> f64 {
        let (d1, d2, r) = (self.b - self.a, other.b - other.a, self.a - other.a);
        let (a, e, f) = (d1.norm_squared(), d2.norm_squared(), d2.dot(&r));
        let (c, b) = (d1.dot(&r), d1.dot(&d2));
        let clamp = |x: f64| if x.is_finite() { x.clamp(0.0, 1.0) } else { 0.0 };
        let denominator = a * e - b * b;
        let mut s = if denominator > 1e-12 * a * e { clamp((b * f - c * e) / denominator) } else { 0.0 };
        let mut t = (b * s + f) / e;
        if t.is_nan() || t < 0.0 {
            t = 0.0;
            s = clamp(-c / a);
        } else if t > 1.0 {
            t = 1.0;
            s = clamp((b - c) / a);
        }
        ((self.a + d1 * s) - (other.a + d2 * t)).norm() - self.radius - other.radius
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn capsule(a: [f64; 3], b: [f64; 3], radius: f64) -> Capsule {
        Capsule { a: a.into(), b: b.into(), radius }
    }

    #[test]
    fn distances_are_those_of_school_geometry() {
        let x = capsule([0.0, 0.0, 0.0], [1.0, 0.0, 0.0], 0.1);
        for (other, expected) in [
            (capsule([0.5, -1.0, 0.5], [0.5, 1.0, 0.5], 0.1), 0.3), // crossing at height 0.5
            (capsule([0.0, 0.0, 2.0], [1.0, 0.0, 2.0], 0.0), 1.9),  // parallel
            (capsule([4.0, 4.0, 0.0], [4.0, 9.0, 0.0], 0.0), 4.9),  // 3-4-5 from end to end
            (capsule([1.0, 0.0, 0.0], [1.0, 0.0, 0.0], 0.1), -0.2), // a point on the end
        ] {
            assert!((x.distance_to(&other) - expected).abs() < 1e-12, "{other:?}: {}", x.distance_to(&other));
            assert!((other.distance_to(&x) - expected).abs() < 1e-12, "{other:?} reversed");
        }
        assert!((x.distance_to_point(&[0.3, 0.0, 0.4].into()) - 0.3).abs() < 1e-12);
        assert!((x.distance_to_point(&[-0.3, 0.4, 0.0].into()) - 0.4).abs() < 1e-12);
    }
}
