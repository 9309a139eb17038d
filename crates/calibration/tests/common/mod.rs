//! Pictures of a board by a known camera: every pixel's rays through the exact lens and homography onto the board, then blur and noise.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several tests, each of which uses a part")]

use nalgebra::{Isometry3, Matrix3, Point3, Translation3, UnitQuaternion, Vector2, Vector3};
use opencv::{
    aruco,
    core::{Mat, MatTraitConst as _, MatTraitConstManual as _, Size, Vector},
    imgcodecs, imgproc,
};
use proctor_calibration::{BoardSpec, Corner, Intrinsics, Kind, View};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// An endoscope-like lens with barrel distortion.
pub fn lens() -> Intrinsics {
    Intrinsics {
        width: 640,
        height: 480,
        fx: 600.0,
        fy: 602.0,
        cx: 323.0,
        cy: 237.0,
        distortion: [-0.25, 0.08, 0.001, -0.0008, 0.0],
    }
}

/// A Gaussian number by Box and Muller.
pub fn gauss(rng: &mut ChaCha8Rng) -> f64 {
    let (a, b): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Poses `camera_from_board` with the whole board in the picture: all over it, at different distances, tilted by up to `tilt` degrees.
pub fn poses(board: &BoardSpec, camera: &Intrinsics, n: usize, tilt: f64, seed: u64) -> Vec<Isometry3<f64>> {
    let mut rng = rng(seed);
    let size = board.point(board.corners() - 1).coords.norm();
    let (w, h) = (f64::from(camera.width), f64::from(camera.height));
    let mut out = Vec::new();
    while out.len() < n {
        let mut draw = |from: f64, to: f64| from + (to - from) * rng.random::<f64>();
        let turn = UnitQuaternion::from_scaled_axis(Vector3::new(
            draw(-tilt, tilt).to_radians(),
            draw(-tilt, tilt).to_radians(),
            draw(-0.4, 0.4),
        ));
        let z = size * draw(1.3, 2.4);
        let (u, v) = (draw(0.0, w), draw(0.0, h));
        let centre = Vector3::new((u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z);
        let pose = Isometry3::from_parts(Translation3::from(centre - turn * board.centre().coords), turn);
        if in_view(board, camera, &pose) {
            out.push(pose);
        }
    }
    out
}

/// Whether every corner is in the picture, with some rim.
pub fn in_view(board: &BoardSpec, camera: &Intrinsics, pose: &Isometry3<f64>) -> bool {
    let rim = 14.0;
    (0..board.corners()).all(|c| {
        camera.project(&(pose * board.point(c))).is_some_and(|p| {
            (rim..f64::from(camera.width) - rim).contains(&p.x) && (rim..f64::from(camera.height) - rim).contains(&p.y)
        })
    })
}

/// What a perfect detector would see, with Gaussian noise, px.
pub fn seen(
    board: &BoardSpec,
    camera: &Intrinsics,
    pose: &Isometry3<f64>,
    noise: f64,
    rng: &mut ChaCha8Rng,
    name: &str,
) -> View {
    let corner = |id| {
        let exact = camera.project(&(pose * board.point(id))).unwrap();
        Corner { id, pixel: exact + Vector2::new(gauss(rng), gauss(rng)) * noise }
    };
    View { name: name.into(), corners: (0..board.corners()).map(corner).collect() }
}

/// Rays per pixel and axis.
const FINE: usize = 3;

/// A camera that takes pictures of a printed board.
pub struct Photographer {
    camera: Intrinsics,
    /// Normalised coordinates of the rays, row by row at `FINE` times the resolution.
    rays: Vec<(f64, f64)>,
    print: Print,
    rng: ChaCha8Rng,
    pub noise: f64,
    pub blur: f64,
}

/// What is printed, as OpenCV draws it for ChArUco.
enum Print {
    Chessboard { columns: usize, rows: usize, square: f64 },
    Raster { pixels: Vec<u8>, width: usize, height: usize, pixels_per_metre: f64, square: f64 },
}

impl Print {
    fn of(board: &BoardSpec) -> Self {
        let Kind::Charuco { marker, dictionary } = board.kind else {
            return Self::Chessboard { columns: board.columns + 1, rows: board.rows + 1, square: board.square };
        };
        let dictionary = aruco::get_predefined_dictionary_i32(dictionary.id).unwrap();
        let (columns, rows) = (board.columns as i32 + 1, board.rows as i32 + 1);
        let (square, marker) = (board.square as f32, marker as f32);
        let charuco = aruco::CharucoBoard::create(columns, rows, square, marker, &dictionary).unwrap();
        let per_square = 80;
        let mut image = Mat::default();
        use aruco::CharucoBoardTrait as _;
        let mut charuco = charuco;
        charuco.draw(Size::new(columns * per_square, rows * per_square), &mut image, 0, 1).unwrap();
        Self::Raster {
            pixels: image.data_bytes().unwrap().to_vec(),
            width: image.cols() as usize,
            height: image.rows() as usize,
            pixels_per_metre: f64::from(per_square) / board.square,
            square: board.square,
        }
    }

    /// Brightness at a point of the board's plane (m from the first inner corner), 0 to 1.
    fn at(&self, x: f64, y: f64) -> f64 {
        const TABLE: f64 = 0.42;
        match self {
            Self::Chessboard { columns, rows, square } => {
                let (i, j) = ((x / square).floor() + 1.0, (y / square).floor() + 1.0);
                let on = |v: f64, n: usize| v >= 0.0 && v < n as f64;
                if on(i, *columns) && on(j, *rows) {
                    f64::from((i as i64 + j as i64) % 2 != 0)
                } else if on(i + 1.0, columns + 2) && on(j + 1.0, rows + 2) {
                    1.0
                } else {
                    TABLE
                }
            }
            Self::Raster { pixels, width, height, pixels_per_metre, square } => {
                let (i, j) = ((x + square) * pixels_per_metre, (y + square) * pixels_per_metre);
                let inside = |v: f64, n: usize, rim: f64| v >= -rim && v < n as f64 + rim;
                if inside(i, *width, 0.0) && inside(j, *height, 0.0) {
                    f64::from(pixels[j as usize * width + i as usize]) / 255.0
                } else if inside(i, *width, 40.0) && inside(j, *height, 40.0) {
                    1.0
                } else {
                    TABLE
                }
            }
        }
    }
}

impl Photographer {
    pub fn new(board: &BoardSpec, camera: Intrinsics, seed: u64) -> Self {
        let (w, h) = (camera.width as usize * FINE, camera.height as usize * FINE);
        let pixel = |i: usize| (i as f64 + 0.5) / FINE as f64 - 0.5;
        let rays = (0..w * h).map(|i| undistorted(&camera, pixel(i % w), pixel(i / w))).collect();
        Self { camera, rays, print: Print::of(board), rng: rng(seed), noise: 2.0, blur: 0.7 }
    }

    /// A grey picture, 8 bits.
    pub fn picture(&mut self, camera_from_board: &Isometry3<f64>) -> Mat {
        let r = camera_from_board.rotation.to_rotation_matrix();
        let plane = Matrix3::from_columns(&[
            r.matrix().column(0).into(),
            r.matrix().column(1).into(),
            camera_from_board.translation.vector,
        ]);
        let board_from_ray = plane.try_inverse().unwrap();
        let (w, h) = (self.camera.width as usize, self.camera.height as usize);
        let mut grey = vec![0u8; w * h];
        for (i, value) in grey.iter_mut().enumerate() {
            let (x, y) = (i % w, i / w);
            let mut sum = 0.0;
            for fine in 0..FINE * FINE {
                let (u, v) = self.rays[(y * FINE + fine / FINE) * w * FINE + x * FINE + fine % FINE];
                let p = board_from_ray * Vector3::new(u, v, 1.0);
                sum += self.print.at(p.x / p.z, p.y / p.z);
            }
            *value = (35.0 + 180.0 * sum / (FINE * FINE) as f64).round() as u8;
        }
        let sharp = Mat::from_slice(&grey).unwrap().reshape(1, h as i32).unwrap().try_clone().unwrap();
        let mut blurred = Mat::default();
        imgproc::gaussian_blur_def(&sharp, &mut blurred, Size::new(0, 0), self.blur).unwrap();
        let noisy: Vec<u8> = blurred
            .data_bytes()
            .unwrap()
            .iter()
            .map(|v| (f64::from(*v) + self.noise * gauss(&mut self.rng)).round().clamp(0.0, 255.0) as u8)
            .collect();
        Mat::from_slice(&noisy).unwrap().reshape(1, h as i32).unwrap().try_clone().unwrap()
    }

    /// Takes a picture into a file.
    pub fn take(&mut self, camera_from_board: &Isometry3<f64>, file: &Path) {
        write(&self.picture(camera_from_board), file);
    }
}

pub fn write(picture: &Mat, file: &Path) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    assert!(imgcodecs::imwrite(file.to_str().unwrap(), picture, &Vector::new()).unwrap());
}

/// Left and right picture in one file.
pub fn write_side_by_side(left: &Mat, right: &Mat, file: &Path) {
    let mut both = Mat::default();
    opencv::core::hconcat2(left, right, &mut both).unwrap();
    write(&both, file);
}

/// The normalised coordinates that a lens brings to a pixel, by Newton's method on its projection.
fn undistorted(camera: &Intrinsics, u: f64, v: f64) -> (f64, f64) {
    let mut p = Point3::new((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0);
    for _ in 0..6 {
        let (at, jacobian) = camera.project_with_jacobian(&p).unwrap();
        let by = jacobian.fixed_columns::<2>(0).into_owned().try_inverse().unwrap() * (Vector2::new(u, v) - at);
        p += Vector3::new(by.x, by.y, 0.0);
    }
    (p.x, p.y)
}
