//! One camera: pinhole with ROS' `plumb_bob` distortion (Brown's model: k1, k2, p1, p2, k3), in pixels whose centres are whole numbers.

use nalgebra::{Matrix2, Matrix2x3, Matrix3, Point3, Vector2};
use opencv::core::{Mat, MatTraitConst as _};

/// Intrinsic parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intrinsics {
    /// Width of the pictures, px.
    pub width: u32,
    /// Height of the pictures, px.
    pub height: u32,
    /// Focal length along x, px.
    pub fx: f64,
    /// Focal length along y, px.
    pub fy: f64,
    /// Principal point, px.
    pub cx: f64,
    /// Principal point, px.
    pub cy: f64,
    /// k1, k2, p1, p2, k3.
    pub distortion: [f64; 5],
}

impl Intrinsics {
    /// The camera matrix.
    pub fn matrix(&self) -> Matrix3<f64> {
        Matrix3::new(self.fx, 0.0, self.cx, 0.0, self.fy, self.cy, 0.0, 0.0, 1.0)
    }

    /// Pixel of a point in the camera's optical frame; `None` unless the point is in front of the camera.
    pub fn project(&self, point: &Point3<f64>) -> Option<Vector2<f64>> {
        self.project_with_jacobian(point).map(|(pixel, _)| pixel)
    }

    /// Pixel of a point, and how it moves with the point (px per metre).
    pub fn project_with_jacobian(&self, point: &Point3<f64>) -> Option<(Vector2<f64>, Matrix2x3<f64>)> {
        if point.z.is_nan() || point.z <= 1e-6 {
            return None;
        }
        let (x, y, inverse) = (point.x / point.z, point.y / point.z, 1.0 / point.z);
        let [k1, k2, p1, p2, k3] = self.distortion;
        let r2 = x * x + y * y;
        let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
        let slope = k1 + r2 * (2.0 * k2 + r2 * 3.0 * k3); // of the radial factor by r2
        let distorted = Vector2::new(
            x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
            y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
        );
        let cross = 2.0 * x * y * slope + 2.0 * (p1 * x + p2 * y);
        let by_normalised = Matrix2::new(
            radial + 2.0 * x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x,
            cross,
            cross,
            radial + 2.0 * y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x,
        );
        let by_point = Matrix2x3::new(inverse, 0.0, -x * inverse, 0.0, inverse, -y * inverse);
        let focal = Matrix2::new(self.fx, 0.0, 0.0, self.fy);
        let pixel = Vector2::new(self.fx * distorted.x + self.cx, self.fy * distorted.y + self.cy);
        Some((pixel, focal * by_normalised * by_point))
    }

    /// Whether every number is finite and the focal length is one that a lens can have.
    pub fn is_plausible(&self) -> bool {
        let width = f64::from(self.width);
        let focal = |f: f64| f.is_finite() && (0.1..50.0).contains(&(f / width));
        focal(self.fx) && focal(self.fy) && [self.cx, self.cy].iter().chain(&self.distortion).all(|v| v.is_finite())
    }

    /// Camera matrix and distortion for OpenCV.
    pub(crate) fn to_mats(self) -> opencv::Result<(Mat, Mat)> {
        Ok((mat3(&self.matrix())?, Mat::from_slice(&self.distortion)?.try_clone()?))
    }
}

/// A 3x3 matrix for OpenCV.
pub(crate) fn mat3(m: &Matrix3<f64>) -> opencv::Result<Mat> {
    let row = |r: usize| [m[(r, 0)], m[(r, 1)], m[(r, 2)]];
    Mat::from_slice_2d(&[row(0), row(1), row(2)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lens() -> Intrinsics {
        Intrinsics {
            width: 640,
            height: 480,
            fx: 700.0,
            fy: 710.0,
            cx: 322.0,
            cy: 241.0,
            distortion: [-0.3, 0.12, 0.001, -0.002, 0.05],
        }
    }

    #[test]
    fn the_projection_is_opencvs() {
        use opencv::core::{Point2d, Point3d, Vector};
        let (matrix, distortion) = lens().to_mats().unwrap();
        let points = [Point3d::new(0.02, -0.01, 0.08), Point3d::new(-0.03, 0.025, 0.1)];
        let zero = Mat::from_slice(&[0.0f64; 3]).unwrap().try_clone().unwrap();
        let mut out = Vector::<Point2d>::new();
        opencv::calib3d::project_points_def(
            &Vector::<Point3d>::from_slice(&points),
            &zero,
            &zero,
            &matrix,
            &distortion,
            &mut out,
        )
        .unwrap();
        for (p, want) in points.iter().zip(out) {
            let got = lens().project(&Point3::new(p.x, p.y, p.z)).unwrap();
            assert!((got - Vector2::new(want.x, want.y)).norm() < 1e-9, "{got} {want:?}");
        }
    }

    #[test]
    fn the_jacobian_is_the_slope_of_the_projection() {
        let at = Point3::new(0.02, -0.013, 0.07);
        let (_, jacobian) = lens().project_with_jacobian(&at).unwrap();
        for axis in 0..3 {
            let mut step = nalgebra::Vector3::zeros();
            step[axis] = 1e-6;
            let slope = (lens().project(&(at + step)).unwrap() - lens().project(&(at - step)).unwrap()) / 2e-6;
            assert!((slope - jacobian.column(axis)).norm() < 1e-4 * slope.norm(), "axis {axis}");
        }
    }

    #[test]
    fn nothing_behind_the_camera_is_projected() {
        assert_eq!(lens().project(&Point3::new(0.0, 0.0, -0.1)), None);
        assert_eq!(lens().project(&Point3::new(0.0, 0.0, f64::NAN)), None);
    }
}
