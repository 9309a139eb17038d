//! Compressed parts of files, inflated to at most [`MOST`] bytes. What comes out is counted, never what is claimed.

use std::io::Read;

/// Largest record or inflated part that is looked at, bytes.
pub const MOST: u64 = 256 << 20;

/// How a part is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// bzip2 (ROS 1).
    Bzip2,
    /// LZ4 frames (ROS 1, MCAP).
    Lz4,
    /// Zstandard frames (MCAP, rosbag2).
    Zstd,
}

impl Compression {
    /// By the name that MCAP ("" for none) or ROS 1 ("none") gives it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "" | "none" => Some(Self::None),
            "bz2" => Some(Self::Bzip2),
            "lz4" => Some(Self::Lz4),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// What a part holds, as far as it can be read, and what went wrong on the way. More than [`MOST`] bytes are an error.
    pub fn inflate(self, bytes: &[u8]) -> (Vec<u8>, Option<String>) {
        let mut out = Vec::new();
        let fault = match self {
            Self::None => {
                out.extend_from_slice(bytes);
                None
            }
            Self::Bzip2 => fill(bzip2::read::MultiBzDecoder::new(bytes), &mut out),
            Self::Lz4 => fill(lz4_flex::frame::FrameDecoder::new(bytes), &mut out),
            Self::Zstd => match ruzstd::decoding::StreamingDecoder::new(bytes) {
                Ok(decoder) => fill(decoder, &mut out),
                Err(error) => Some(error.to_string()),
            },
        };
        (out, fault)
    }
}

fn fill(reader: impl Read, out: &mut Vec<u8>) -> Option<String> {
    match reader.take(MOST + 1).read_to_end(out) {
        Ok(_) if out.len() as u64 > MOST => Some(format!("more than {} MiB in one part", MOST >> 20)),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn packed(compression: Compression, plain: &[u8]) -> Vec<u8> {
        match compression {
            Compression::None => plain.to_vec(),
            Compression::Bzip2 => {
                let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                writer.write_all(plain).unwrap();
                writer.finish().unwrap()
            }
            Compression::Lz4 => {
                let mut writer = lz4_flex::frame::FrameEncoder::new(Vec::new());
                writer.write_all(plain).unwrap();
                writer.finish().unwrap()
            }
            Compression::Zstd => ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest),
        }
    }

    #[test]
    fn what_was_packed_comes_out_and_a_cut_part_gives_its_beginning_and_a_fault() {
        let plain: Vec<u8> = (0..100_000_u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        for compression in [Compression::None, Compression::Bzip2, Compression::Lz4, Compression::Zstd] {
            let bytes = packed(compression, &plain);
            assert_eq!(compression.inflate(&bytes), (plain.clone(), None), "{compression:?}");
            let (part, fault) = compression.inflate(&bytes[..bytes.len() / 2]);
            assert!(plain.starts_with(&part), "{compression:?}");
            assert_eq!(fault.is_some(), compression != Compression::None, "{compression:?}");
            let (_, fault) = compression.inflate(b"nothing of the kind");
            assert_eq!(fault.is_some(), compression != Compression::None, "{compression:?}");
        }
        assert_eq!(
            ["", "none", "bz2", "lz4", "zstd", "rar"].map(|n| Compression::named(n).is_some()),
            [true, true, true, true, true, false]
        );
    }

    #[test]
    fn a_part_that_inflates_without_end_is_given_up() {
        let endless = std::io::repeat(0);
        let mut out = Vec::new();
        assert!(fill(endless, &mut out).unwrap().contains("256 MiB"));
        assert_eq!(out.len() as u64, MOST + 1);
    }
}
