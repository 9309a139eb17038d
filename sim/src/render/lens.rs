//! The raw view: what the sensor sees before rectification, by plumb-bob distortion of the rectified picture.

use super::bilinear;
use proctor_types::CameraModel;
use wide::{u16x16, u32x8};

/// Distortion of the simulated lens: k1, k2, p1, p2, k3 (a mild barrel, as small endoscopes have).
pub const RAW_DISTORTION: [f64; 5] = [-0.18, 0.035, 0.0008, -0.0005, 0.0];

/// Where eight neighbouring raw pixels come from.
pub(crate) struct Taps {
    /// Index of the upper left rectified pixel; that of [`margin`] outside the rectified picture.
    at: [u32; 8],
    /// Position between it and its neighbours in 1/256, across and down.
    between: [[u8; 8]; 2],
}

/// How many black pixels must follow a picture that is to be distorted: what lies outside it.
pub(crate) fn margin(width: usize) -> usize {
    width + 2
}

/// Where every raw pixel comes from, with the same focal length and centre. The picture's width must be a multiple of 8.
pub(crate) fn taps(camera: &CameraModel) -> Vec<Taps> {
    let (w, h) = (camera.width, camera.height);
    (0..w * h / 8)
        .map(|block| {
            let mut taps = Taps { at: [(w * h) as u32; 8], between: [[0; 8]; 2] };
            for i in 0..8 {
                let (u, v) = undistorted(camera, (8 * block + i) % w, (8 * block + i) / w);
                if u >= 0.0 && v >= 0.0 && u <= (w - 1) as f64 && v <= (h - 1) as f64 {
                    let (x0, y0) = ((u as usize).min(w - 2), (v as usize).min(h - 2));
                    taps.at[i] = (y0 * w + x0) as u32;
                    taps.between[0][i] = ((u - x0 as f64) * 256.0) as u8;
                    taps.between[1][i] = ((v - y0 as f64) * 256.0) as u8;
                }
            }
            taps
        })
        .collect()
}

/// The rectified pixel on the ray that lands on raw pixel (x, y): five fixed-point iterations, as OpenCV's `undistortPoints` does.
fn undistorted(camera: &CameraModel, x: usize, y: usize) -> (f64, f64) {
    let [k1, k2, p1, p2, k3] = RAW_DISTORTION;
    let (xd, yd) = ((x as f64 - camera.cx) / camera.fx, (y as f64 - camera.cy) / camera.fy);
    let (mut x, mut y) = (xd, yd);
    for _ in 0..5 {
        let r2 = x * x + y * y;
        let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
        let dx = 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x);
        let dy = p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y;
        (x, y) = ((xd - dx) / radial, (yd - dy) / radial);
    }
    (x * camera.fx + camera.cx, y * camera.fy + camera.cy)
}

/// Eight pixels of a rectified RGBX picture, followed by its [`margin`], as the distorted lens shows them: RGBX, bilinear.
#[inline]
pub(crate) fn distort(taps: &Taps, width: usize, rectified: &[u32]) -> [u8; 32] {
    let below = &rectified[width..];
    let row = |pixels: &[u32]| {
        bilinear::pairs(|i| {
            let from = taps.at[i] as usize;
            [pixels[from], pixels[from + 1]]
        })
    };
    let [across, down] = taps.between.map(|f| bytemuck::cast::<u32x8, u16x16>(f.map(|f| u32::from(f) * 65537).into()));
    let [even, odd] = bilinear::blend([row(rectified), row(below)], across, down, 128);
    let half = u16x16::splat(128);
    let [even, odd] = [even + half, odd + half].map(bytemuck::cast::<u16x16, u32x8>);
    bytemuck::cast((even >> u32x8::splat(8) & u32x8::splat(0x00ff_00ff)) | (odd & u32x8::splat(0xff00_ff00)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMERA: CameraModel =
        CameraModel { width: 640, height: 480, fx: 560.0, fy: 560.0, cx: 319.5, cy: 239.5, distortion: [0.0; 5] };

    #[test]
    fn distorting_blends_the_four_pixels_around_and_shows_black_outside() {
        let width = 8;
        let mut picture = vec![0x0003_0201; width * 4];
        picture[9] = 0x00ff_6620;
        picture.extend(vec![0; margin(width)]);
        let mut taps = Taps { at: [0, 1, 8, 9, 9, 20, 32, 32], between: [[0; 8]; 2] };
        (taps.between[0][3], taps.between[0][4], taps.between[1][4]) = (128, 64, 192);
        let shown = distort(&taps, width, &picture);
        let pixel = |i: usize| &shown[4 * i..4 * i + 4];
        assert_eq!(pixel(0), [1, 2, 3, 0]);
        // Half of pixel 9, half of its plain neighbour: (32 + 1) / 2, (102 + 2) / 2, (255 + 3) / 2, rounded.
        assert_eq!(pixel(3), [17, 52, 129, 0]);
        // 3/4 of it across and 1/4 down: 1 + 31 * 3/16, 2 + 100 * 3/16, 3 + 252 * 3/16.
        assert_eq!(pixel(4), [7, 21, 50, 0]);
        assert_eq!((pixel(6), pixel(7)), (&[0; 4][..], &[0; 4][..]));
    }

    /// The plumb-bob model as OpenCV's documentation writes it: ideal to distorted normalised coordinates.
    fn forward(x: f64, y: f64) -> (f64, f64) {
        let [k1, k2, p1, p2, k3] = RAW_DISTORTION;
        let r2 = x * x + y * y;
        let radial = 1.0 + k1 * r2 + k2 * r2 * r2 + k3 * r2 * r2 * r2;
        (
            x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
            y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
        )
    }

    #[test]
    fn a_raw_pixel_shows_the_ray_that_the_plumb_bob_model_sends_there() {
        let taps = taps(&CAMERA);
        let mut checked = 0;
        for (u, v) in [(319, 239), (40, 60), (600, 30), (100, 400), (500, 460), (320, 470), (610, 240)] {
            let (taps, k) = (&taps[(v * 640 + u) / 8], u % 8);
            let (i, [fx, fy]) = (taps.at[k], taps.between.map(|f| f64::from(f[k]) / 256.0));
            if i == 640 * 480 {
                continue;
            }
            let (x0, y0) = (f64::from(i % 640) + fx, f64::from(i / 640) + fy);
            let (x, y) = forward((x0 - CAMERA.cx) / CAMERA.fx, (y0 - CAMERA.cy) / CAMERA.fy);
            let (du, dv) = (x * CAMERA.fx + CAMERA.cx - u as f64, y * CAMERA.fy + CAMERA.cy - v as f64);
            assert!(du.hypot(dv) < 0.02, "raw ({u}, {v}) is off by ({du}, {dv})");
            checked += 1;
        }
        assert!(checked >= 4);
    }
}
