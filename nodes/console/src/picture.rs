//! Pictures and label images as they go over the WebSocket: small, newest only, one kind byte in front.
//!
//! | kind | bytes |
//! |---|---|
//! | [`KIND_PICTURE`] | kind u8, seq u64, stamp i64 (ns), JPEG |
//! | [`KIND_LABELS`] | kind u8, seq u64, stamp i64 (ns), width u16, height u16, runs of (class u8, length - 1 u8) |
//! | [`KIND_REGIONS`] | see [`crate::findings`] |
//!
//! Integers are little-endian. Labels are sent apart from the picture so that the page can switch them on and off.

use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};
use proctor_types::{Image, Stamp};

/// First byte of a picture.
pub const KIND_PICTURE: u8 = 1;
/// First byte of a label image.
pub const KIND_LABELS: u8 = 2;
/// First byte of the regions that models beside the segmentation found.
pub const KIND_REGIONS: u8 = 3;
/// Every this many-th pixel takes part in a [`fingerprint`]; prime, so that columns do not line up.
const FINGERPRINT_STRIDE: usize = 61;

/// A picture as a message. `quality` is JPEG's, 1..=100.
pub fn encode_picture(seq: u64, stamp: Stamp, image: &Image<[u8; 3]>, quality: u8) -> Result<Vec<u8>, EncodingError> {
    let mut out = header(KIND_PICTURE, seq, Some(stamp), 48 * 1024);
    let mut encoder = Encoder::new(&mut out, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(image.pixels().as_flattened(), image.width() as u16, image.height() as u16, ColorType::Rgb)?;
    Ok(out)
}

/// A label image as a message. At most two bytes per pixel; usually some hundredths of that.
pub fn encode_labels(seq: u64, stamp: Stamp, labels: &Image<u8>) -> Vec<u8> {
    let mut out = header(KIND_LABELS, seq, Some(stamp), 8 * 1024);
    out.extend((labels.width() as u16).to_le_bytes());
    out.extend((labels.height() as u16).to_le_bytes());
    out.extend(runs(labels));
    out
}

/// Runs of (value u8, length - 1 u8).
pub(crate) fn runs(labels: &Image<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    for run in labels.pixels().chunk_by(|a, b| a == b) {
        for part in run.chunks(256) {
            out.extend([run[0], (part.len() - 1) as u8]);
        }
    }
    out
}

/// A number that changes when the picture does. A live camera has noise: two equal fingerprints in a row are the same picture.
pub fn fingerprint(image: &Image<[u8; 3]>) -> u64 {
    // FNV-1a, 64 bit.
    let sampled = image.pixels().iter().step_by(FINGERPRINT_STRIDE).flatten();
    sampled.fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

pub(crate) fn header(kind: u8, seq: u64, stamp: Option<Stamp>, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    out.push(kind);
    out.extend(seq.to_le_bytes());
    out.extend(stamp.map_or(0, Stamp::nanos).to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    fn decode(message: &[u8]) -> (usize, usize, Vec<u8>) {
        let word = |i: usize| usize::from(u16::from_le_bytes([message[i], message[i + 1]]));
        let pixels = message[21..].chunks(2).flat_map(|r| std::iter::repeat_n(r[0], usize::from(r[1]) + 1)).collect();
        (word(17), word(19), pixels)
    }

    #[test]
    fn labels_come_back_from_their_runs() {
        for pixels in
            [vec![3u8; 600], (0..600).map(|i| (i / 7 % 10) as u8).collect(), (0..600).map(|i| (i % 2) as u8).collect()]
        {
            let image = Image::new(30, 20, pixels.clone()).unwrap();
            let message = encode_labels(5, at(0), &image);
            assert_eq!(message[0], KIND_LABELS);
            assert_eq!(decode(&message), (30, 20, pixels));
        }
    }

    #[test]
    fn a_picture_message_is_its_header_and_a_jpeg() {
        let image = Image::new(16, 8, vec![[200u8, 30, 40]; 128]).unwrap();
        let message = encode_picture(0x0102, at(0), &image, 80).unwrap();
        assert_eq!(message[..9], [KIND_PICTURE, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message[9..17], at(0).nanos().to_le_bytes());
        assert_eq!((&message[17..19], &message[message.len() - 2..]), (&[0xff, 0xd8][..], &[0xff, 0xd9][..]));
    }

    #[test]
    fn an_empty_picture_is_an_error_not_a_panic() {
        assert!(encode_picture(1, at(0), &Image::new(0, 0, vec![]).unwrap(), 80).is_err());
    }

    #[test]
    fn the_fingerprint_tells_noise_from_a_repeat() {
        let mut pixels: Vec<[u8; 3]> = (0..640 * 480).map(|i| [(i % 251) as u8, (i / 7 % 13) as u8, 9]).collect();
        let a = Image::new(640, 480, pixels.clone()).unwrap();
        assert_eq!(fingerprint(&a), fingerprint(&a.clone()));
        pixels.iter_mut().step_by(10).for_each(|p| p[1] ^= 1);
        assert_ne!(fingerprint(&a), fingerprint(&Image::new(640, 480, pixels).unwrap()));
    }
}
