//! Pinhole geometry of cylinders and segments: outlines in the picture, depth along a ray, distances.
//!
//! Points are in the left camera's optical frame (m) unless said otherwise; pixels are of the full-size picture.

use nalgebra::{Matrix3, Point2, Point3, Unit, Vector2, Vector3};
use proctor_types::CameraModel;

/// Homogeneous line of pixels: `l . (u, v, 1) = 0`.
pub type ImageLine = Vector3<f64>;

/// Nearest depth at which geometry is projected, metres.
pub const NEAR: f64 = 0.004;

/// Homogeneous pixel.
fn homogeneous(p: &Point2<f64>) -> Vector3<f64> {
    Vector3::new(p.x, p.y, 1.0)
}

/// Direction (z = 1) of the ray through a pixel.
pub fn ray(camera: &CameraModel, p: &Point2<f64>) -> Vector3<f64> {
    Vector3::new((p.x - camera.cx) / camera.fx, (p.y - camera.cy) / camera.fy, 1.0)
}

/// Point at `depth` (m, along the optical axis) on the ray through a pixel.
pub fn back_project(camera: &CameraModel, p: &Point2<f64>, depth: f64) -> Point3<f64> {
    Point3::from(ray(camera, p) * depth)
}

/// The pixel of a point, or `None` nearer than [`NEAR`].
pub fn project(camera: &CameraModel, p: &Point3<f64>) -> Option<Point2<f64>> {
    if p.z > NEAR { camera.project(p) } else { None }
}

/// Pixel line of a plane through the camera centre with normal `n`.
fn line_of_plane(camera: &CameraModel, n: &Vector3<f64>) -> ImageLine {
    let (a, b) = (n.x / camera.fx, n.y / camera.fy);
    Vector3::new(a, b, n.z - a * camera.cx - b * camera.cy)
}

/// The two outline lines of an endless cylinder: planes through the camera centre that touch it. `None` when the
/// camera sits inside the cylinder or the axis has no direction.
pub fn cylinder_outline(
    camera: &CameraModel,
    axis_point: &Point3<f64>,
    axis: &Vector3<f64>,
    radius: f64,
) -> Option<[ImageLine; 2]> {
    let d = Unit::try_new(*axis, 1e-9)?;
    let nearest = axis_point.coords - d.into_inner() * axis_point.coords.dot(&d);
    let rho = nearest.norm();
    if rho <= radius * 1.001 {
        return None;
    }
    let e1 = nearest / rho;
    let e2 = d.cross(&e1);
    let sin = radius / rho;
    let cos = (1.0 - sin * sin).sqrt();
    Some([line_of_plane(camera, &(e1 * sin + e2 * cos)), line_of_plane(camera, &(e2 * cos - e1 * sin))])
}

/// Signed distance along unit `direction` from `p` to the line; `None` when nearly parallel (under 6 degrees).
pub fn offset_to_line(line: &ImageLine, p: &Point2<f64>, direction: &Vector2<f64>) -> Option<f64> {
    let slope = line.x * direction.x + line.y * direction.y;
    let scale = line.x.hypot(line.y);
    (slope.abs() > 0.1 * scale && scale > 0.0).then(|| -line.dot(&homogeneous(p)) / slope)
}

/// A finite cylinder's axis as seen along one ray.
#[derive(Debug, Clone, Copy)]
pub struct AlongRay {
    /// Depth (optical z) of the ray's nearest point to the axis, metres.
    pub axis_depth: f64,
    /// How much nearer the front surface is than the axis on a ray through the axis, metres of depth.
    pub half_thickness: f64,
    /// Position of that axis point as a fraction of a -> b, not clamped.
    pub along: f64,
}

/// Where the ray through a pixel passes the axis a -> b of a cylinder; `None` when parallel (under 3 degrees).
pub fn along_ray(
    camera: &CameraModel,
    p: &Point2<f64>,
    a: &Point3<f64>,
    b: &Point3<f64>,
    radius: f64,
) -> Option<AlongRay> {
    let r = ray(camera, p);
    let length = r.norm();
    let r = r / length;
    let axis = b - a;
    let d = Unit::try_new(axis, 1e-9)?.into_inner();
    let cos = r.dot(&d);
    let sin2 = 1.0 - cos * cos;
    if sin2 < 0.003 {
        return None;
    }
    // Closest points of the ray s r and the axis a + t d.
    let (ra, da) = (r.dot(&a.coords), d.dot(&a.coords));
    let s = (ra - cos * da) / sin2;
    let t = (cos * ra - da) / sin2;
    Some(AlongRay { axis_depth: s / length, half_thickness: radius / sin2.sqrt() / length, along: t / axis.norm() })
}

/// The point of the segment a -> b nearest to `p`.
pub fn closest_on_segment(p: &Point3<f64>, a: &Point3<f64>, b: &Point3<f64>) -> Point3<f64> {
    let ab = b - a;
    let t = (p - a).dot(&ab) / ab.norm_squared().max(1e-18);
    a + ab * t.clamp(0.0, 1.0)
}

/// Distance from a pixel to the segment a -> b, pixels.
pub fn segment_distance_2d(p: &Point2<f64>, a: &Point2<f64>, b: &Point2<f64>) -> f64 {
    let ab = b - a;
    let t = (p - a).dot(&ab) / ab.norm_squared().max(1e-18);
    (p - (a + ab * t.clamp(0.0, 1.0))).norm()
}

/// The part of the segment a -> b in front of [`NEAR`], or `None` if all of it lies behind.
pub fn clip_near(a: Point3<f64>, b: Point3<f64>) -> Option<(Point3<f64>, Point3<f64>)> {
    let cross = |inside: Point3<f64>, outside: Point3<f64>| {
        let t = (inside.z - NEAR * 1.01) / (inside.z - outside.z);
        inside + (outside - inside) * t
    };
    match (a.z > NEAR * 1.01, b.z > NEAR * 1.01) {
        (true, true) => Some((a, b)),
        (true, false) => Some((a, cross(a, b))),
        (false, true) => Some((cross(b, a), b)),
        (false, false) => None,
    }
}

/// Cross-product matrix: `skew(a) b = a x b`.
pub fn skew(a: &Vector3<f64>) -> Matrix3<f64> {
    Matrix3::new(0.0, -a.z, a.y, a.z, 0.0, -a.x, -a.y, a.x, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera() -> CameraModel {
        CameraModel { width: 640, height: 480, fx: 560.0, fy: 560.0, cx: 319.5, cy: 239.5, distortion: [0.0; 5] }
    }

    #[test]
    fn outline_of_a_frontal_cylinder_lies_where_trigonometry_says() {
        // Axis parallel to image columns, 100 mm away: the tangent ray makes asin(r / rho) with the axis plane.
        let (r, rho) = (0.004, 0.1);
        let lines = cylinder_outline(&camera(), &Point3::new(0.0, 0.0, rho), &Vector3::y(), r).unwrap();
        let expected = 560.0 * (r / rho).asin().tan();
        let mut t: Vec<f64> =
            lines.iter().map(|l| offset_to_line(l, &Point2::new(319.5, 100.0), &Vector2::x()).unwrap()).collect();
        t.sort_by(f64::total_cmp);
        assert!((t[0] + expected).abs() < 1e-9 && (t[1] - expected).abs() < 1e-9, "{t:?} {expected}");
    }

    #[test]
    fn depth_along_a_ray_is_the_front_surface_of_the_cylinder() {
        let (a, b) = (Point3::new(-0.05, 0.0, 0.1), Point3::new(0.05, 0.0, 0.1));
        let hit = along_ray(&camera(), &Point2::new(319.5, 239.5), &a, &b, 0.004).unwrap();
        assert!((hit.axis_depth - hit.half_thickness - 0.096).abs() < 1e-12 && (hit.along - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_segment_crossing_the_camera_plane_is_cut() {
        let (a, b) = clip_near(Point3::new(0.0, 0.0, 0.1), Point3::new(0.1, 0.0, -0.1)).unwrap();
        assert!(a.z == 0.1 && b.z > NEAR && b.z < 0.005 && b.x > 0.04);
        assert!(clip_near(Point3::new(0.0, 0.0, -0.1), b - Vector3::z()).is_none());
    }
}
