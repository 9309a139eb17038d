//! Pictures of recordings: `sensor_msgs/Image` in the encodings of endoscope drivers, and `sensor_msgs/CompressedImage` as JPEG or PNG.
//!
//! The size of a compressed picture is read from its head before OpenCV sees it, so that a small message cannot ask for a large picture.

use crate::{
    PerceptionError,
    picture::{self, Rgb},
};
use opencv::{
    core::{Mat, MatTraitConst as _},
    imgcodecs, imgproc,
};
use proctor_msgs::{
    sensor_msgs::{CompressedImage, Image},
    wire::{MAX_SIDE, packed, rows},
};
use proctor_recording::{Entry, Recording, Topic};

const IMAGE: &str = "sensor_msgs/msg/Image";
const COMPRESSED: &str = "sensor_msgs/msg/CompressedImage";

fn wrong(what: &'static str, got: impl Into<String>, expected: &str) -> PerceptionError {
    PerceptionError::Message { what, got: got.into(), expected: expected.to_owned() }
}

/// What an encoding is: bytes per pixel, and OpenCV's conversion to RGB, if one is needed. Bayer patterns are named by their first row in ROS, by the
/// second pixels of the second row in OpenCV.
fn encoding(name: &str) -> Option<(usize, Option<i32>)> {
    Some(match name {
        "rgb8" | "8UC3" => (3, None),
        "bgr8" => (3, Some(imgproc::COLOR_BGR2RGB)),
        "rgba8" => (4, Some(imgproc::COLOR_RGBA2RGB)),
        "bgra8" | "8UC4" => (4, Some(imgproc::COLOR_BGRA2RGB)),
        "mono8" | "8UC1" => (1, Some(imgproc::COLOR_GRAY2RGB)),
        "bayer_rggb8" => (1, Some(imgproc::COLOR_BayerBG2RGB)),
        "bayer_bggr8" => (1, Some(imgproc::COLOR_BayerRG2RGB)),
        "bayer_gbrg8" => (1, Some(imgproc::COLOR_BayerGR2RGB)),
        "bayer_grbg8" => (1, Some(imgproc::COLOR_BayerGB2RGB)),
        "yuv422" | "uyvy" => (2, Some(imgproc::COLOR_YUV2RGB_UYVY)),
        "yuv422_yuy2" | "yuyv" => (2, Some(imgproc::COLOR_YUV2RGB_YUY2)),
        _ => return None,
    })
}

/// The picture of a message.
pub fn from_image(m: &Image) -> Result<Rgb, PerceptionError> {
    let Some((channels, conversion)) = encoding(&m.encoding) else {
        return Err(wrong(
            "encoding",
            format!("{:?}", m.encoding),
            "rgb8, bgr8, rgba8, bgra8, mono8, bayer_*8, yuv422 or yuv422_yuy2",
        ));
    };
    let bytes =
        rows(m, channels).map_err(|e| wrong("shape", e.to_string(), "width, height and step that fit its data"))?;
    let (width, height) = (m.width as usize, m.height as usize);
    let Some(conversion) = conversion else {
        return Ok(Rgb::new(width, height, bytes.as_chunks::<3>().0.to_vec())?);
    };
    if channels == 2 && !width.is_multiple_of(2) {
        return Err(wrong("width", width.to_string(), "an even one with yuv422"));
    }
    let flat = Mat::new_rows_cols_with_data(height as i32, (width * channels) as i32, &bytes[..])?;
    let mut out = Mat::default();
    imgproc::cvt_color_def(&flat.reshape_def(channels as i32)?, &mut out, conversion)?;
    picture::from_mat(&out)
}

/// The picture of a compressed message.
pub fn from_compressed(m: &CompressedImage) -> Result<Rgb, PerceptionError> {
    let bytes = packed(m);
    let Some((width, height)) = size(&bytes) else {
        return Err(wrong("data", format!("\"{}\" of format {:?}", begin(&bytes), m.format), "a JPEG or PNG file"));
    };
    let side = 1..=MAX_SIDE;
    if !(side.contains(&width) && side.contains(&height)) {
        return Err(wrong("size", format!("{width}x{height}"), &format!("sides of 1 to {MAX_SIDE} pixels")));
    }
    let unreadable =
        || wrong("data", format!("{} bytes that OpenCV cannot read", bytes.len()), "a whole JPEG or PNG file");
    let bgr = imgcodecs::imdecode(&Mat::from_slice(&bytes[..])?, imgcodecs::IMREAD_COLOR).map_err(|_| unreadable())?;
    if bgr.empty() { Err(unreadable()) } else { picture::from_bgr(&bgr) }
}

/// The picture of a message in a recording.
pub fn from_recording(recording: &mut Recording, entry: &Entry) -> Result<Rgb, PerceptionError> {
    let plain = recording.topics().get(entry.topic as usize).is_some_and(|t| t.type_name == IMAGE);
    if plain { from_image(&recording.message(entry)?) } else { from_compressed(&recording.message(entry)?) }
}

/// The topic of pictures in a recording: the one that is named, else the only one.
pub fn topic(recording: &Recording, named: Option<&str>) -> Result<u32, PerceptionError> {
    let is_picture =
        |t: &Topic| t.messages > 0 && t.unreadable.is_none() && [IMAGE, COMPRESSED].contains(&t.type_name.as_str());
    let pictures: Vec<(u32, &str)> =
        (0..).zip(recording.topics()).filter(|(_, t)| is_picture(t)).map(|(i, t)| (i, t.name.as_str())).collect();
    let found = match named {
        Some(name) => pictures.iter().find(|(_, n)| *n == name),
        None => pictures.first().filter(|_| pictures.len() == 1),
    };
    found.map(|(i, _)| *i).ok_or_else(|| {
        let names: Vec<&str> = pictures.iter().map(|(_, n)| *n).collect();
        PerceptionError::Topic {
            path: recording.path().to_owned(),
            got: named
                .map_or_else(|| "no topic is named".to_owned(), |n| format!("{n} is none of its topics of pictures")),
            there: if names.is_empty() { "it has none".to_owned() } else { names.join(", ") },
        }
    })
}

fn begin(bytes: &[u8]) -> String {
    bytes.get(..bytes.len().min(8)).unwrap_or_default().escape_ascii().to_string()
}

/// Width and height as the head of a PNG or JPEG file says them.
fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        let field = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        return Some((field(16)?, field(20)?));
    }
    // JPEG: segments behind a start, each 0xff, a kind, and its length; the frame's has the size.
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, kind, ..] = rest else { return None };
        if *kind == 0xff {
            rest = &rest[1..];
            continue;
        }
        let field = |at: usize| Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?));
        // Start of frame, but for the tables of that range.
        if matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc) {
            return Some((field(7)?.into(), field(5)?.into()));
        }
        rest = rest.get(2 + usize::from(field(2)?)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opencv::core::Vector;
    use opencv::core::VectorToVec as _;

    fn image(encoding: &str, width: u32, height: u32, step: u32, data: &[u8]) -> Image {
        Image { width, height, step, encoding: encoding.to_owned(), data: data.to_vec().into(), ..Image::default() }
    }

    #[test]
    fn pictures_of_every_encoding_have_their_colours() {
        let red = [[200, 30, 10]];
        for (encoding, pixel) in [
            ("rgb8", &[200, 30, 10][..]),
            ("bgr8", &[10, 30, 200]),
            ("rgba8", &[200, 30, 10, 7]),
            ("bgra8", &[10, 30, 200, 7]),
        ] {
            let got = from_image(&image(encoding, 1, 1, pixel.len() as u32, pixel)).unwrap();
            assert_eq!(got.pixels(), red, "{encoding}");
        }
        assert_eq!(
            from_image(&image("mono8", 2, 1, 3, &[5, 9, 0])).unwrap().pixels(),
            [[5; 3], [9; 3]],
            "padding is left out"
        );
        // White, and the limits of video levels.
        let white = from_image(&image("yuv422", 2, 1, 4, &[128, 235, 128, 235])).unwrap();
        assert!(white.pixels().iter().flatten().all(|c| *c > 250), "{:?}", white.pixels());
        // A red surface before a sensor whose first row is red, green.
        let sensor: Vec<u8> =
            (0..8).flat_map(|y| (0..8).map(move |x| if x % 2 == 0 && y % 2 == 0 { 200 } else { 0 })).collect();
        let seen = from_image(&image("bayer_rggb8", 8, 8, 8, &sensor)).unwrap();
        assert!(seen.pixels()[3 * 8 + 3][0] > 150 && seen.pixels()[3 * 8 + 3][2] < 50, "{:?}", seen.pixels()[27]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        for (message, part) in [
            (image("32FC1", 1, 1, 4, &[0; 4]), "32FC1"),
            (image("rgb8", 2, 2, 6, &[0; 11]), "data"),
            (image("rgb8", 2, 2, 5, &[0; 10]), "step"),
            (image("rgb8", 1_000_000, 1_000_000, 3_000_000, &[]), "width"),
            (image("yuv422", 3, 1, 6, &[0; 6]), "even"),
        ] {
            let error = from_image(&message).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    fn file(extension: &str) -> Vec<u8> {
        let mat = Mat::new_rows_cols_with_default(
            48,
            64,
            opencv::core::CV_8UC3,
            opencv::core::Scalar::new(10.0, 30.0, 200.0, 0.0),
        )
        .unwrap();
        let mut out = Vector::new();
        imgcodecs::imencode_def(extension, &mat, &mut out).unwrap();
        out.to_vec()
    }

    fn compressed(data: &[u8]) -> CompressedImage {
        CompressedImage {
            format: "bgr8; compressed".to_owned(),
            data: data.to_vec().into(),
            ..CompressedImage::default()
        }
    }

    #[test]
    fn compressed_pictures_are_read_once_their_head_says_a_size_that_can_be() {
        for extension in [".png", ".jpg"] {
            let file = file(extension);
            let picture = from_compressed(&compressed(&file)).unwrap();
            assert_eq!((picture.width(), picture.height()), (64, 48), "{extension}");
            assert!(
                picture.pixels()[0].iter().zip([200_u8, 30, 10]).all(|(a, b)| a.abs_diff(b) < 6),
                "{:?}",
                picture.pixels()[0]
            );
            for n in 0..file.len().min(300) {
                assert!(from_compressed(&compressed(&file[..n])).is_err(), "{extension} of {n} bytes");
            }
        }
        // A head that claims what nobody has.
        let mut huge = file(".png");
        huge[16..20].copy_from_slice(&1_000_000_u32.to_be_bytes());
        assert!(from_compressed(&compressed(&huge)).unwrap_err().to_string().contains("1000000x48"));
        assert!(from_compressed(&compressed(b"II*\0 a TIFF")).unwrap_err().to_string().contains("II*"));
    }
}
