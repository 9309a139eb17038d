//! Pictures and cameras, independent of OpenCV and ROS.

use crate::{InvalidValue, Stamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Row-major picture of `width * height` pixels. Cloning shares the pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Image<P> {
    width: usize,
    height: usize,
    data: Arc<Vec<P>>,
}

impl<P> Image<P> {
    /// From row-major pixels; the length must be `width * height`.
    pub fn new(width: usize, height: usize, data: Vec<P>) -> Result<Self, InvalidValue> {
        let expected = width.saturating_mul(height);
        if data.len() == expected {
            Ok(Self { width, height, data: Arc::new(data) })
        } else {
            Err(InvalidValue::Length { what: "image pixels", expected, got: data.len() })
        }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Row-major pixels.
    pub fn pixels(&self) -> &[P] {
        &self.data
    }

    /// The pixels as they lie in memory, to be used again; the image itself where a clone still shares them.
    pub fn into_pixels(self) -> Result<Vec<P>, Self> {
        let Self { width, height, data } = self;
        Arc::try_unwrap(data).map_err(|data| Self { width, height, data })
    }

    /// Pixel at column `x`, row `y`, or `None` outside.
    pub fn get(&self, x: usize, y: usize) -> Option<&P> {
        if x < self.width { self.data.get(y * self.width + x) } else { None }
    }
}

/// Pinhole camera with plumb-bob distortion, as `sensor_msgs/CameraInfo` carries it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CameraModel {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Focal length along x, pixels.
    pub fx: f64,
    /// Focal length along y, pixels.
    pub fy: f64,
    /// Principal point column, pixels (pixel centres at integers).
    pub cx: f64,
    /// Principal point row, pixels.
    pub cy: f64,
    /// Plumb-bob coefficients k1, k2, p1, p2, k3; all zero for a rectified picture.
    pub distortion: [f64; 5],
}

impl CameraModel {
    /// Pixel of a point in the camera's optical frame (m), without distortion; `None` at or behind the camera.
    pub fn project(&self, p: &nalgebra::Point3<f64>) -> Option<nalgebra::Point2<f64>> {
        (p.z > 1e-6).then(|| nalgebra::Point2::new(self.fx * p.x / p.z + self.cx, self.fy * p.y / p.z + self.cy))
    }
}

/// A rectified stereo pair: the right camera sits `baseline` metres along the left camera's +x.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StereoRig {
    /// Left camera; the right one is the same after rectification.
    pub left: CameraModel,
    /// Distance between the optical centres, metres.
    pub baseline: f64,
}

impl StereoRig {
    /// Depth in metres of a disparity in pixels; `None` for disparities at or below zero.
    pub fn depth(&self, disparity: f64) -> Option<f64> {
        (disparity > 0.0).then(|| self.left.fx * self.baseline / disparity)
    }
}

/// Which of the endoscope's two cameras.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CameraSide {
    /// The left camera, whose optical frame is [`crate::Camera`].
    Left,
    /// The right camera.
    Right,
}

/// One rectified picture of one camera.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraImage {
    /// When the shutter closed; equal for both pictures of a pair.
    pub stamp: Stamp,
    /// Which camera.
    pub side: CameraSide,
    /// RGB.
    pub image: Image<[u8; 3]>,
}

/// Calibration of one rectified camera.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CameraCalibration {
    /// Stamp of the picture it came with.
    pub stamp: Stamp,
    /// Which camera.
    pub side: CameraSide,
    /// The rectified camera; its distortion is zero.
    pub model: CameraModel,
    /// How far the optical centre lies along the left camera's +x, metres; 0 for the left camera.
    pub offset: f64,
}

/// One stereo pair, rectified, RGB. Both pictures have the same stamp and size.
#[derive(Debug, Clone)]
pub struct StereoFrame {
    /// When both shutters closed.
    pub stamp: Stamp,
    /// Counts frames from the camera, to see gaps.
    pub seq: u64,
    /// Left picture.
    pub left: Image<[u8; 3]>,
    /// Right picture.
    pub right: Image<[u8; 3]>,
    /// The cameras.
    pub rig: StereoRig,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_wrong_length_is_refused() {
        assert!(Image::new(3, 2, vec![0u8; 5]).is_err());
        let i = Image::new(3, 2, vec![1u8, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!((i.get(2, 1), i.get(3, 0), i.get(0, 2)), (Some(&6), None, None));
    }
}
