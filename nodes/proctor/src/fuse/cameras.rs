//! Which cameras the points or pictures are of, and how a pixel of theirs becomes one of rectified pictures.

use anyhow::{Context as _, bail};
use nalgebra::{Matrix3, Point2, Point3, Vector2};
use proctor_calibration::{CameraInfo, Intrinsics};
use proctor_fusion::points::Eyes;
use proctor_types::CameraModel;
use std::{path::PathBuf, str::FromStr};

/// The cameras.
#[derive(Debug, Clone, clap::Args)]
pub struct CameraArgs {
    /// The camera, of a pair the left one: camera_info YAML as `proctor calibrate` and ROS write it.
    #[arg(long, value_name = "YAML")]
    pub camera: Option<PathBuf>,
    /// The right camera of the pair.
    #[arg(long, value_name = "YAML", requires = "camera")]
    pub right_camera: Option<PathBuf>,
    /// Points or pictures are rectified already: only the projection of the YAML files counts.
    #[arg(long)]
    pub rectified: bool,
    /// Instead of files: FX,FY,CX,CY[,BASELINE_MM[,WIDTH,HEIGHT]] of rectified pictures, px.
    #[arg(long, value_name = "NUMBERS", conflicts_with_all = ["camera", "right_camera"])]
    pub pinhole: Option<Pinhole>,
}

/// A pinhole, or a rectified pair of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pinhole(Eyes);

impl FromStr for Pinhole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<f64>, _> = text.split(',').map(|w| w.trim().parse::<f64>()).collect();
        let n = numbers.map_err(|e| format!("{text:?}: {e}"))?;
        if ![4, 5, 7].contains(&n.len()) || n.iter().any(|v| !v.is_finite()) || n[0] <= 0.0 || n[1] <= 0.0 {
            return Err(format!("FX,FY,CX,CY[,BASELINE_MM[,WIDTH,HEIGHT]] expected, got {text:?}"));
        }
        let (width, height) = if n.len() == 7 { (n[5], n[6]) } else { (2.0 * n[2], 2.0 * n[3]) };
        let camera = CameraModel {
            width: width.max(1.0) as usize,
            height: height.max(1.0) as usize,
            fx: n[0],
            fy: n[1],
            cx: n[2],
            cy: n[3],
            distortion: [0.0; 5],
        };
        Ok(Self(Eyes { camera, baseline: n.get(4).map(|mm| mm / 1e3) }))
    }
}

/// Cameras with what rectifies their pixels.
#[derive(Debug, Clone)]
pub struct Cameras {
    /// The rectified ones.
    pub eyes: Eyes,
    left: Option<Lens>,
    right: Option<Lens>,
}

#[derive(Debug, Clone)]
struct Lens {
    intrinsics: Intrinsics,
    rectification: Matrix3<f64>,
}

impl Cameras {
    /// Reads the files.
    pub fn read(args: &CameraArgs) -> anyhow::Result<Self> {
        if let Some(Pinhole(eyes)) = args.pinhole {
            return Ok(Self { eyes, left: None, right: None });
        }
        let path = args.camera.as_ref().context("no camera: give --camera or --pinhole")?;
        let left = CameraInfo::read(path)?;
        let right = args.right_camera.as_ref().map(|p| CameraInfo::read(p)).transpose()?;
        let right_name = args.right_camera.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        let left_name = path.display().to_string();
        Self::of((&left, left_name.as_str()), right.as_ref().map(|r| (r, right_name.as_str())), args.rectified)
    }

    /// Of cameras with the names of where they are from. Of `rectified` pictures only the projection counts.
    pub fn of(
        (left, left_name): (&CameraInfo, &str),
        right: Option<(&CameraInfo, &str)>,
        rectified: bool,
    ) -> anyhow::Result<Self> {
        let p = &left.projection;
        let camera = CameraModel {
            width: left.intrinsics.width as usize,
            height: left.intrinsics.height as usize,
            fx: p[(0, 0)],
            fy: p[(1, 1)],
            cx: p[(0, 2)],
            cy: p[(1, 2)],
            distortion: [0.0; 5],
        };
        if !(camera.fx > 0.0 && camera.fy > 0.0) {
            bail!("{left_name}: projection_matrix has no focal length: is the camera calibrated?");
        }
        let baseline = right.map(|(info, _)| info.baseline());
        if let (Some(b), Some((_, name))) = (baseline, right)
            && (b.is_nan() || b <= 1e-4)
        {
            bail!(
                "{name}: projection_matrix says that the right camera stands {:.1} mm to the right of the left one; are they swapped, or not of a pair?",
                b * 1e3
            );
        }
        let lens = |info: &CameraInfo| {
            (!rectified).then_some(Lens { intrinsics: info.intrinsics, rectification: info.rectification })
        };
        Ok(Self { eyes: Eyes { camera, baseline }, left: lens(left), right: right.and_then(|(info, _)| lens(info)) })
    }

    /// Both lenses with the turns that rectify them; `None` where pictures are rectified already.
    pub fn lenses(&self) -> Option<[(&Intrinsics, &Matrix3<f64>); 2]> {
        let (left, right) = (self.left.as_ref()?, self.right.as_ref()?);
        Some([left, right].map(|l| (&l.intrinsics, &l.rectification)))
    }

    /// Where a pixel of the left picture lies in the rectified one.
    pub fn left(&self, pixel: Point2<f64>) -> Point2<f64> {
        self.rectify(self.left.as_ref(), pixel)
    }

    /// Where a pixel of the right picture lies in the rectified one.
    pub fn right(&self, pixel: Point2<f64>) -> Point2<f64> {
        self.rectify(self.right.as_ref(), pixel)
    }

    fn rectify(&self, lens: Option<&Lens>, pixel: Point2<f64>) -> Point2<f64> {
        let Some(lens) = lens else { return pixel };
        let ray = lens.rectification * undistorted(&lens.intrinsics, pixel).coords;
        let c = &self.eyes.camera;
        Point2::new(c.fx * ray.x / ray.z + c.cx, c.fy * ray.y / ray.z + c.cy)
    }
}

/// The ray (z = 1) that a lens bends onto a pixel, by Newton's method.
fn undistorted(lens: &Intrinsics, pixel: Point2<f64>) -> Point3<f64> {
    let mut ray = Point3::new((pixel.x - lens.cx) / lens.fx, (pixel.y - lens.cy) / lens.fy, 1.0);
    for _ in 0..20 {
        let Some((at, slope)) = lens.project_with_jacobian(&ray) else { break };
        let Some(inverse) = slope.fixed_columns::<2>(0).into_owned().try_inverse() else { break };
        let step: Vector2<f64> = inverse * (pixel.coords - at);
        ray.x += step.x;
        ray.y += step.y;
        if step.norm() < 1e-10 {
            break;
        }
    }
    ray
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn undistorting_is_the_inverse_of_the_lens() {
        let distortion = [-0.3, 0.12, 0.001, -0.002, 0.05];
        let lens = Intrinsics { width: 640, height: 480, fx: 700.0, fy: 710.0, cx: 322.0, cy: 241.0, distortion };
        for (x, y) in [(0.0, 0.0), (0.3, -0.2), (-0.4, 0.3)] {
            let pixel = lens.project(&Point3::new(x, y, 1.0)).unwrap();
            let ray = undistorted(&lens, Point2::from(pixel));
            assert!((ray - Point3::new(x, y, 1.0)).norm() < 1e-9, "{ray}");
        }
    }

    #[test]
    fn a_pinhole_is_four_five_or_seven_numbers() {
        let Pinhole(eyes) = "800,810,320,240,5.2".parse().unwrap();
        assert_eq!((eyes.camera.fx, eyes.camera.width, eyes.baseline), (800.0, 640, Some(0.0052)));
        assert!("800,810,320".parse::<Pinhole>().is_err() && "a,b,c,d".parse::<Pinhole>().is_err());
    }
}
