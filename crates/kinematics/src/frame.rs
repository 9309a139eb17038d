//! Rigid frames as three axes and an origin on plain arrays: the inner loop of the kinematics.
//!
//! Why not nalgebra here: Proctor's one profile keeps debug assertions on (docs/adr/0001), and with them the element accesses
//! inside nalgebra are checked. The interface stays nalgebra's.

use nalgebra::{Isometry3, Point3, Quaternion, Translation3, UnitQuaternion, Vector3};

/// A vector.
pub(crate) type V3 = [f64; 3];

/// `a * s + b * t`.
#[inline]
pub(crate) fn blend([ax, ay, az]: V3, s: f64, [bx, by, bz]: V3, t: f64) -> V3 {
    [ax * s + bx * t, ay * s + by * t, az * s + bz * t]
}

/// `a - b`.
#[inline]
pub(crate) fn sub(a: V3, b: V3) -> V3 {
    blend(a, 1.0, b, -1.0)
}

/// `-a`.
#[inline]
pub(crate) fn minus([x, y, z]: V3) -> V3 {
    [-x, -y, -z]
}

/// Cross product.
#[inline]
pub(crate) fn cross([ax, ay, az]: V3, [bx, by, bz]: V3) -> V3 {
    [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx]
}

/// A frame seen from its parent. Without a quaternion: for what is worked out many times a tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Its axes, unit, right-handed.
    pub x: [f64; 3],
    /// Second axis.
    pub y: [f64; 3],
    /// Third axis.
    pub z: [f64; 3],
    /// Its origin, m.
    pub p: [f64; 3],
}

impl Frame {
    /// The parent's own.
    pub(crate) const IDENTITY: Self = Self { x: [1.0, 0.0, 0.0], y: [0.0, 1.0, 0.0], z: [0.0, 0.0, 1.0], p: [0.0; 3] };

    /// The same as an isometry's.
    pub fn of(iso: &Isometry3<f64>) -> Self {
        let axis = |unit: Vector3<f64>| <[f64; 3]>::from(iso.rotation * unit);
        let (x, y, z) = (axis(Vector3::x()), axis(Vector3::y()), axis(Vector3::z()));
        Self { x, y, z, p: iso.translation.vector.into() }
    }

    /// A frame given in this one, seen from this one's parent.
    #[inline]
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let along = |v| self.along(v);
        Self { x: along(next.x), y: along(next.y), z: along(next.z), p: self.at(next.p) }
    }

    /// A direction given in this one, seen from its parent.
    #[inline]
    pub fn along(&self, [a, b, c]: [f64; 3]) -> [f64; 3] {
        blend(blend(self.x, a, self.y, b), 1.0, self.z, c)
    }

    /// A point given in this one, seen from its parent.
    #[inline]
    pub fn at(&self, p: [f64; 3]) -> [f64; 3] {
        blend(self.p, 1.0, self.along(p), 1.0)
    }

    /// A point given in its parent, seen from this one.
    #[inline]
    pub fn seen(&self, p: [f64; 3]) -> [f64; 3] {
        let [x, y, z] = sub(p, self.p);
        [self.x, self.y, self.z].map(|[a, b, c]| a * x + b * y + c * z)
    }

    /// Turned about its own z.
    #[inline]
    pub(crate) fn turned(self, by: f64) -> Self {
        let (s, c) = by.sin_cos();
        Self { x: blend(self.x, c, self.y, s), y: blend(self.y, c, self.x, -s), ..self }
    }

    /// Moved along its own z.
    #[inline]
    pub(crate) fn slid(self, by: f64) -> Self {
        Self { p: blend(self.p, 1.0, self.z, by), ..self }
    }

    /// Its origin.
    pub fn origin(&self) -> Point3<f64> {
        Point3::from(self.p)
    }

    /// The rotation as a quaternion (Shepperd's method: divides by the largest component).
    fn quaternion(&self) -> UnitQuaternion<f64> {
        let ([r00, r10, r20], [r01, r11, r21], [r02, r12, r22]) = (self.x, self.y, self.z);
        let trace = r00 + r11 + r22;
        let (w, i, j, k) = if trace >= r00 && trace >= r11 && trace >= r22 {
            (1.0 + trace, r21 - r12, r02 - r20, r10 - r01)
        } else if r00 >= r11 && r00 >= r22 {
            (r21 - r12, 1.0 + r00 - r11 - r22, r01 + r10, r02 + r20)
        } else if r11 >= r22 {
            (r02 - r20, r01 + r10, 1.0 - r00 + r11 - r22, r12 + r21)
        } else {
            (r10 - r01, r02 + r20, r12 + r21, 1.0 - r00 - r11 + r22)
        };
        let scale = 1.0 / (w * w + i * i + j * j + k * k).sqrt();
        UnitQuaternion::new_unchecked(Quaternion::new(w * scale, i * scale, j * scale, k * scale))
    }

    /// As an isometry.
    pub fn iso(&self) -> Isometry3<f64> {
        Isometry3::from_parts(Translation3::from(Vector3::from(self.p)), self.quaternion())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quaternions_of_any_rotation_are_those_of_nalgebra() {
        for n in 0..500 {
            let f = f64::from(n);
            let axis = Vector3::new((f * 0.7).sin(), (f * 1.3).cos(), (f * 2.1).sin()).normalize();
            let rotation = UnitQuaternion::from_scaled_axis(axis * (f * 0.013));
            let iso = Isometry3::from_parts(Translation3::new(f, -f, 0.5), rotation);
            let axis = |unit: Vector3<f64>| <[f64; 3]>::from(rotation * unit);
            let (x, y, z) = (axis(Vector3::x()), axis(Vector3::y()), axis(Vector3::z()));
            let back = Frame { x, y, z, p: iso.translation.vector.into() }.iso();
            assert!(back.rotation.angle_to(&rotation) < 1e-7 && back.translation == iso.translation, "{n}");
            let gap = (back.rotation.to_rotation_matrix().matrix() - rotation.to_rotation_matrix().matrix()).norm();
            assert!(gap < 1e-14, "{n}: {gap}");
        }
    }

    #[test]
    fn points_and_frames_pass_from_one_to_the_other_as_isometries_take_them() {
        let rotation = |n: f64| UnitQuaternion::from_euler_angles(n, 0.3 - n, 2.0 * n);
        let (one, two) = (
            Isometry3::from_parts(Translation3::new(0.1, -0.2, 0.3), rotation(0.7)),
            Isometry3::from_parts(Translation3::new(-0.4, 0.5, 0.6), rotation(-1.9)),
        );
        let (frame, p) = (Frame::of(&one), Point3::new(0.2, 0.7, -0.3));
        let near = |a: [f64; 3], b: Point3<f64>| (Point3::from(a) - b).norm() < 1e-15;
        assert!(near(frame.at(p.into()), one * p) && near(frame.seen(p.into()), one.inverse_transform_point(&p)));
        assert!(near(frame.along(p.into()), Point3::from(one.rotation * p.coords)));
        let both = frame.then(&Frame::of(&two)).iso();
        assert!((both.translation.vector - (one * two).translation.vector).norm() < 1e-15);
        assert!(both.rotation.angle_to(&(one * two).rotation) < 1e-7);
    }
}
