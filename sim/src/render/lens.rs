//! The raw view: what the sensor sees before rectification, by plumb-bob distortion of the rectified picture.

use proctor_types::CameraModel;

/// Distortion of the simulated lens: k1, k2, p1, p2, k3 (a mild barrel, as small endoscopes have).
pub const RAW_DISTORTION: [f64; 5] = [-0.18, 0.035, 0.0008, -0.0005, 0.0];

/// Where one raw pixel comes from: index of the upper left rectified pixel and the position between its neighbours in 1/256;
/// `None` outside the rectified picture.
pub(crate) type Tap = Option<(u32, [u16; 2])>;

/// Where every raw pixel comes from, with the same focal length and centre. Each raw pixel is the ray that lands on it (five
/// fixed-point iterations, as OpenCV's `undistortPoints` does).
pub(crate) fn taps(camera: &CameraModel) -> Vec<Tap> {
    let (w, h) = (camera.width, camera.height);
    let [k1, k2, p1, p2, k3] = RAW_DISTORTION;
    (0..w * h)
        .map(|i| {
            let (xd, yd) = (((i % w) as f64 - camera.cx) / camera.fx, ((i / w) as f64 - camera.cy) / camera.fy);
            let (mut x, mut y) = (xd, yd);
            for _ in 0..5 {
                let r2 = x * x + y * y;
                let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
                let dx = 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x);
                let dy = p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y;
                (x, y) = ((xd - dx) / radial, (yd - dy) / radial);
            }
            let (u, v) = (x * camera.fx + camera.cx, y * camera.fy + camera.cy);
            if u < 0.0 || v < 0.0 || u > (w - 1) as f64 || v > (h - 1) as f64 {
                return None;
            }
            let (x0, y0) = ((u as usize).min(w - 2), (v as usize).min(h - 2));
            Some(((y0 * w + x0) as u32, [((u - x0 as f64) * 256.0) as u16, ((v - y0 as f64) * 256.0) as u16]))
        })
        .collect()
}

/// The rectified picture as the distorted lens shows it, bilinear; rays outside it are black. An empty picture stays empty.
pub(crate) fn distort(taps: &[Tap], width: usize, rectified: &[[u8; 3]]) -> Vec<[u8; 3]> {
    // Red, green and blue in lanes of 20 bits: one multiplication weighs all three, 256 * 255 plus rounding fits a lane.
    let lanes = |[r, g, b]: [u8; 3]| u64::from(r) | u64::from(g) << 20 | u64::from(b) << 40;
    let mix = |a: u64, b: u64, f: u64| {
        const HALF: u64 = 128 | 128 << 20 | 128 << 40;
        const BYTES: u64 = 255 | 255 << 20 | 255 << 40;
        (a * (256 - f) + b * f + HALF) >> 8 & BYTES
    };
    let pair = |i: usize| rectified.get(i..).and_then(<[_]>::first_chunk::<2>);
    taps.iter()
        .map(|tap| {
            let Some((i, [fx, fy])) = *tap else { return [0; 3] };
            let (i, fx, fy) = (i as usize, u64::from(fx), u64::from(fy));
            let (Some(&[p, q]), Some(&[r, s])) = (pair(i), pair(i + width)) else {
                return [0; 3];
            };
            let near = mix(lanes(p), lanes(q), fx);
            let below = mix(lanes(r), lanes(s), fx);
            let mixed = mix(near, below, fy);
            [mixed as u8, (mixed >> 20) as u8, (mixed >> 40) as u8]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMERA: CameraModel =
        CameraModel { width: 640, height: 480, fx: 560.0, fy: 560.0, cx: 319.5, cy: 239.5, distortion: [0.0; 5] };

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
            let Some((i, [fx, fy])) = taps[v * 640 + u] else { continue };
            let (x0, y0) = (f64::from(i % 640) + f64::from(fx) / 256.0, f64::from(i / 640) + f64::from(fy) / 256.0);
            let (x, y) = forward((x0 - CAMERA.cx) / CAMERA.fx, (y0 - CAMERA.cy) / CAMERA.fy);
            let (du, dv) = (x * CAMERA.fx + CAMERA.cx - u as f64, y * CAMERA.fy + CAMERA.cy - v as f64);
            assert!(du.hypot(dv) < 0.02, "raw ({u}, {v}) is off by ({du}, {dv})");
            checked += 1;
        }
        assert!(checked >= 4);
    }
}
