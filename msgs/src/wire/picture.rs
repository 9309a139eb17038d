//! Pictures, calibrations, label images.

use super::fields::{finite, framed, header, range, text};
use super::{
    ConvertError, Origin, Problem, Wire,
    lent::{self, Lendable},
};
use crate::{
    sensor_msgs::{self, CameraInfo},
    std_msgs::Header,
};
use proctor_types::{CameraCalibration, CameraImage, CameraModel, CameraSide, Image, InvalidValue, Stamp};
use std::borrow::Cow;
use zenoh_buffers::buffer::SplitBuffer;

/// `frame_id` of the left camera's optical frame.
pub const LEFT_FRAME: &str = "endoscope_left_optical";
/// `frame_id` of the right camera's optical frame.
pub const RIGHT_FRAME: &str = "endoscope_right_optical";
/// Largest width and height that is accepted, pixels.
pub const MAX_SIDE: u32 = 4096;

/// Farthest the right optical centre can be from the left one, metres.
const MAX_OFFSET: f64 = 1.0;

const fn frame(side: CameraSide) -> &'static str {
    match side {
        CameraSide::Left => LEFT_FRAME,
        CameraSide::Right => RIGHT_FRAME,
    }
}

fn read_side(h: &Header) -> Result<(CameraSide, Stamp), ConvertError> {
    let side = match h.frame_id.as_str() {
        LEFT_FRAME => CameraSide::Left,
        RIGHT_FRAME => CameraSide::Right,
        other => return Err(text("header.frame_id", other, "endoscope_left_optical or endoscope_right_optical")),
    };
    Ok((side, framed(h, frame(side))?))
}

/// A picture's message, which shares the pixels.
fn message<P: Lendable>(stamp: Stamp, frame: &str, encoding: &str, image: &Image<P>) -> sensor_msgs::Image {
    sensor_msgs::Image {
        header: header(stamp, frame),
        height: image.height() as u32,
        width: image.width() as u32,
        encoding: encoding.to_owned(),
        is_bigendian: 0,
        step: (image.width() * size_of::<P>()) as u32,
        data: lent::lend(image),
    }
}

/// The picture that checked rows hold: the lender's own if its bytes came here as they were, a copy otherwise.
fn image<P: Lendable>(m: &sensor_msgs::Image, rows: &[u8]) -> Result<Image<P>, ConvertError> {
    let size = (m.width as usize, m.height as usize);
    let own = lent::lender(&m.data, size);
    let copy = || Image::new(size.0, size.1, bytemuck::cast_slice(rows).to_vec());
    own.map_or_else(copy, Ok).map_err(|e| ConvertError::new("data", e.into()))
}

/// Rows of a picture of `channels` bytes per pixel without row padding; checks size (1 to [`MAX_SIDE`]), step and length.
pub fn rows(m: &sensor_msgs::Image, channels: usize) -> Result<Cow<'_, [u8]>, ConvertError> {
    for (what, side) in [("width", m.width), ("height", m.height)] {
        range(what, f64::from(side), 1.0, f64::from(MAX_SIDE))?;
    }
    let (row, step, height) = (m.width as usize * channels, m.step as usize, m.height as usize);
    let data = m.data.contiguous();
    if step < row {
        return Err(ConvertError::new("step", InvalidValue::Length { what: "step", expected: row, got: step }.into()));
    }
    let expected = step.saturating_mul(height);
    if data.len() != expected {
        let problem = InvalidValue::Length { what: "data", expected, got: data.len() };
        return Err(ConvertError::new("data", problem.into()));
    }
    if step == row {
        return Ok(data);
    }
    Ok(Cow::Owned(data.chunks_exact(step).flat_map(|r| &r[..row]).copied().collect()))
}

/// The file in a compressed picture.
pub fn packed(m: &sensor_msgs::CompressedImage) -> Cow<'_, [u8]> {
    m.data.contiguous()
}

impl Wire for CameraImage {
    type Msg = sensor_msgs::Image;

    fn encode(&self) -> Self::Msg {
        message(self.stamp, frame(self.side), "rgb8", &self.image)
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let (side, stamp) = read_side(&m.header)?;
        let swap = match m.encoding.as_str() {
            "rgb8" => false,
            "bgr8" => true,
            other => return Err(text("encoding", other, "rgb8 or bgr8")),
        };
        let bytes = rows(m, 3)?;
        if !swap {
            return Ok(Self { stamp, side, image: image(m, &bytes)? });
        }
        let pixels = bytes.as_chunks::<3>().0.iter().map(|&[b, g, r]| [r, g, b]).collect();
        let image = Image::new(m.width as usize, m.height as usize, pixels);
        Ok(Self { stamp, side, image: image.map_err(|e| ConvertError::new("data", e.into()))? })
    }
}

/// A one-byte-per-pixel picture.
pub(super) fn mono(stamp: Stamp, image: &Image<u8>) -> sensor_msgs::Image {
    message(stamp, LEFT_FRAME, "mono8", image)
}

pub(super) fn read_mono(stamp: Stamp, m: &sensor_msgs::Image) -> Result<Image<u8>, ConvertError> {
    if framed(&m.header, LEFT_FRAME)? != stamp {
        let problem = Problem::Stamp { sec: m.header.stamp.sec, nanosec: m.header.stamp.nanosec };
        return Err(ConvertError::new("header.stamp", problem));
    }
    if m.encoding != "mono8" {
        return Err(text("encoding", &m.encoding, "mono8"));
    }
    image(m, &rows(m, 1)?)
}

/// `camera_info` of a rectified camera. `k`, `d` and `r` may describe the raw camera of a real robot: only the
/// projection matrix `p` is read, because the pictures on the topic beside it are rectified.
impl Wire for CameraCalibration {
    type Msg = CameraInfo;

    fn encode(&self) -> CameraInfo {
        let m = &self.model;
        let (fx, fy, cx, cy) = (m.fx, m.fy, m.cx, m.cy);
        CameraInfo {
            header: header(self.stamp, frame(self.side)),
            height: m.height as u32,
            width: m.width as u32,
            distortion_model: "plumb_bob".to_owned(),
            d: vec![0.0; 5],
            k: [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
            r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            p: [fx, 0.0, cx, -fx * self.offset, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
            ..CameraInfo::default()
        }
    }

    fn decode(m: &CameraInfo, _: Origin) -> Result<Self, ConvertError> {
        let (side, stamp) = read_side(&m.header)?;
        for (what, side) in [("width", m.width), ("height", m.height)] {
            range(what, f64::from(side), 1.0, f64::from(MAX_SIDE))?;
        }
        let (fx, fy) = (range("p[0]", m.p[0], 1e-3, 1e9)?, range("p[5]", m.p[5], 1e-3, 1e9)?);
        let model = CameraModel {
            width: m.width as usize,
            height: m.height as usize,
            fx,
            fy,
            cx: finite("p[2]", m.p[2])?,
            cy: finite("p[6]", m.p[6])?,
            distortion: [0.0; 5],
        };
        // +0.0 for the left camera, whose p[3] is -0.0.
        let offset = range("p[3] / -p[0]", -m.p[3] / fx, -MAX_OFFSET, MAX_OFFSET)? + 0.0;
        Ok(Self { stamp, side, model, offset })
    }
}
