//! Grey pictures at full and half size, as the matchers need them.

use opencv::{core, imgproc, prelude::*};
use proctor_types::{Image, StereoFrame};

/// Luminance of a stereo pair.
#[derive(Debug, Clone)]
pub struct Pictures {
    /// Columns of the full-size pictures.
    pub width: usize,
    /// Rows of the full-size pictures.
    pub height: usize,
    /// The left picture itself.
    pub left_rgb: Image<[u8; 3]>,
    /// Left, full size, row-major.
    pub left: Vec<u8>,
    /// Right, full size, row-major.
    pub right: Vec<u8>,
}

/// Luminance at or below this is outside the circular field of view (or a blackout).
pub const DARK: u8 = 10;

impl Pictures {
    /// Luminance of both views; `None` when their sizes differ from each other or from the camera model, or are tiny.
    pub fn new(frame: &StereoFrame) -> Option<Self> {
        let (width, height) = (frame.left.width(), frame.left.height());
        let same = (frame.right.width(), frame.right.height()) == (width, height)
            && (frame.rig.left.width, frame.rig.left.height) == (width, height);
        if !same || width < 64 || height < 64 {
            return None;
        }
        Some(Self { width, height, left_rgb: frame.left.clone(), left: grey(&frame.left), right: grey(&frame.right) })
    }

    /// How red the left picture is between pixels (bilinear), 8-bit levels: red minus the mean of green and blue.
    /// Tissue is red or yellow, metal is grey however it is lit, so this steps at an instrument's outline where
    /// luminance does not (its limb is as dark as the tissue behind it). `None` outside.
    pub fn redness(&self, p: &nalgebra::Point2<f64>) -> Option<f64> {
        let (x, y) = (p.x.floor(), p.y.floor());
        if x < 0.0 || y < 0.0 || x >= (self.width - 1) as f64 || y >= (self.height - 1) as f64 {
            return None;
        }
        let (fx, fy) = (p.x - x, p.y - y);
        let i = y as usize * self.width + x as usize;
        let at = |i: usize| {
            let [r, g, b] = self.left_rgb.pixels()[i].map(f64::from);
            r - 0.5 * (g + b)
        };
        let top = at(i) * (1.0 - fx) + at(i + 1) * fx;
        let bottom = at(i + self.width) * (1.0 - fx) + at(i + self.width + 1) * fx;
        Some(top * (1.0 - fy) + bottom * fy)
    }

    /// Whether the left picture is dark at a pixel (outside counts as dark).
    pub fn is_dark(&self, u: f64, v: f64) -> bool {
        let (x, y) = ((u + 0.5).floor(), (v + 0.5).floor());
        if x < 0.0 || y < 0.0 || x >= self.width as f64 || y >= self.height as f64 {
            return true;
        }
        self.left[y as usize * self.width + x as usize] <= DARK
    }
}

/// Rec. 601 luminance, 8-bit fixed point.
fn grey(rgb: &Image<[u8; 3]>) -> Vec<u8> {
    rgb.pixels()
        .iter()
        .map(|p| ((77 * u32::from(p[0]) + 150 * u32::from(p[1]) + 29 * u32::from(p[2]) + 128) >> 8) as u8)
        .collect()
}

/// A view of `pixels` as an OpenCV matrix.
pub fn as_mat(pixels: &[u8], width: usize, height: usize) -> opencv::Result<core::Mat> {
    debug_assert_eq!(pixels.len(), width * height);
    core::Mat::new_rows_cols_with_data(height as i32, width as i32, pixels)?.try_clone()
}

/// Half-size picture by averaging 2 x 2 pixels.
pub fn halved(full: &core::Mat) -> opencv::Result<core::Mat> {
    let size = core::Size::new(full.cols() / 2, full.rows() / 2);
    let mut half = core::Mat::default();
    imgproc::resize(full, &mut half, size, 0.0, 0.0, imgproc::INTER_AREA)?;
    Ok(half)
}
