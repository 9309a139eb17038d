//! Damages inputs the way networks, editors and attackers do: bits, lengths, numbers, lines, splices. The same seed gives the same damage.

use rand::{Rng as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

/// What an input is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Numbers and lengths at aligned offsets.
    Binary,
    /// Lines and words.
    Text,
}

/// Longest input that is made, bytes.
pub const MAX_INPUT: usize = 16 << 10;
/// Most changes to an input at a time.
const MAX_CHANGES: u32 = 6;

const INTEGERS: [u64; 14] = [
    0,
    1,
    2,
    3,
    4,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
    1_000_000_000,
];
const FLOATS: [f64; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1.000_000_1,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    1e-3,
    1e9,
    4096.0,
];
/// What stands for numbers and values in texts.
const WORDS: [&str; 36] = [
    "nan",
    "NaN",
    "inf",
    "-inf",
    "0",
    "-0",
    "-0.0",
    "1e308",
    "1e309",
    "-1e309",
    "1e-320",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "0x10",
    "1_000",
    "+1",
    ".5",
    "1.",
    "true",
    "null",
    "\"\"",
    "''",
    "[]",
    "{}",
    "[[]]",
    "\\u0000",
    "\u{feff}",
    "\u{e9}",
    "#",
    "=",
    ",",
    "\"",
    "../",
    "0.001",
];

/// Makes inputs.
#[derive(Debug, Clone)]
pub struct Mutator {
    random: ChaCha8Rng,
}

impl Mutator {
    /// Of a seed.
    pub fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// A number below `n`; 0 for `n` = 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { self.random.random_range(0..n) }
    }

    /// One of `pool`, damaged a few times; now and then spliced with another. `pairs` are numbers that were compared while it was read: where
    /// one of a pair stands in the input, the other may take its place.
    pub fn damage(&mut self, kind: Kind, base: &[u8], pool: &[Vec<u8>], pairs: &[(u64, u64)]) -> Vec<u8> {
        let mut bytes = base.to_vec();
        let changes = 1 + self.random.random::<u32>().trailing_zeros().min(MAX_CHANGES - 1);
        for _ in 0..changes {
            match (kind, self.below(8)) {
                _ if !pairs.is_empty() && self.below(4) == 0 => self.satisfy(&mut bytes, pairs),
                (_, 0) => self.splice(&mut bytes, pool),
                (Kind::Text, 1..=2) => self.line(&mut bytes),
                (Kind::Text, 3..=5) => self.word(&mut bytes),
                (Kind::Binary, 1..=4) => self.number(&mut bytes),
                (_, _) => self.byte(&mut bytes),
            }
        }
        bytes.truncate(MAX_INPUT);
        bytes
    }

    /// A bit, a byte, or a run of them.
    fn byte(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let run = at..(at + 1 + self.below(16)).min(bytes.len());
        match self.below(6) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            2 if !bytes.is_empty() => bytes[at] = self.random.random(),
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(run)),
            _ => {
                let more: Vec<u8> = if self.below(2) == 0 { bytes[run].to_vec() } else { vec![self.random.random()] };
                bytes.splice(at..at, more);
            }
        }
    }

    /// An interesting number at an aligned offset, the four bytes of a CDR header not counted.
    fn number(&mut self, bytes: &mut [u8]) {
        let integer = *INTEGERS.choose(&mut self.random).unwrap_or(&0);
        let float = *FLOATS.choose(&mut self.random).unwrap_or(&0.0);
        let number: Vec<u8> = match self.below(6) {
            0 => vec![integer as u8],
            1 => (integer as u32).to_le_bytes().to_vec(),
            2 => integer.to_le_bytes().to_vec(),
            3 => float.to_le_bytes().to_vec(),
            4 => (float as f32).to_le_bytes().to_vec(),
            // A length that is a little off.
            _ => (self.below(9) as u32).to_le_bytes().to_vec(),
        };
        let size = number.len();
        let offset = if size == 1 { self.below(bytes.len()) } else { 4 + size * self.below(bytes.len() / size) };
        if let Some(place) = bytes.get_mut(offset..offset + size) {
            place.copy_from_slice(&number);
        }
    }

    /// A part of another input in the place of a part of this one.
    fn splice(&mut self, bytes: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let Some(other) = pool.choose(&mut self.random) else { return };
        let (from, to) = (self.below(bytes.len() + 1), self.below(other.len() + 1));
        let till = from + self.below(bytes.len() + 1 - from);
        let part = other[to..(to + 1 + self.below(64)).min(other.len())].to_vec();
        if self.below(2) == 0 {
            // What follows comes from the other too.
            bytes.truncate(from);
            bytes.extend_from_slice(&other[from.min(other.len())..]);
        } else {
            bytes.splice(from..till.min(from + 64), part);
        }
    }

    /// A line dropped, doubled, or moved.
    fn line(&mut self, bytes: &mut Vec<u8>) {
        let mut lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
        let (at, to) = (self.below(lines.len()), self.below(lines.len()));
        match self.below(3) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at]),
            _ => lines.swap(at, to),
        }
        *bytes = lines.join(&b'\n');
    }

    /// A word (letters, digits, sign, point) replaced.
    fn word(&mut self, bytes: &mut Vec<u8>) {
        let inside = |b: &u8| b.is_ascii_alphanumeric() || b"+-._".contains(b);
        let at = self.below(bytes.len());
        let Some(start) = bytes.iter().skip(at).position(inside).map(|i| at + i) else { return };
        let start = bytes[..start].iter().rposition(|b| !inside(b)).map_or(0, |i| i + 1);
        let end = bytes[start..].iter().position(|b| !inside(b)).map_or(bytes.len(), |i| start + i);
        let word = match self.below(4) {
            // Another word of the same text.
            0 => {
                let words: Vec<&[u8]> = bytes.split(|b| !inside(b)).filter(|w| !w.is_empty()).collect();
                words.choose(&mut self.random).map_or_else(Vec::new, |w| w.to_vec())
            }
            1 => format!("{:e}", f64::from_bits(self.random.random())).into_bytes(),
            _ => WORDS.choose(&mut self.random).map_or_else(Vec::new, |w| w.as_bytes().to_vec()),
        };
        bytes.splice(start..end, word);
    }

    /// One of two numbers that were compared in the place of the other.
    fn satisfy(&mut self, bytes: &mut [u8], pairs: &[(u64, u64)]) {
        let Some(&(a, b)) = pairs.choose(&mut self.random) else { return };
        let (from, to) = if self.below(2) == 0 { (a, b) } else { (b, a) };
        let to = to.wrapping_add([0, 1, u64::MAX][self.below(3)]);
        let size = [1, 2, 4, 8][self.below(4)];
        let (from, to) = (&from.to_le_bytes()[..size], &to.to_le_bytes()[..size]);
        let places: Vec<usize> = bytes.windows(size).enumerate().filter(|(_, w)| *w == from).map(|(i, _)| i).collect();
        if let Some(&at) = places.choose(&mut self.random) {
            bytes[at..at + size].copy_from_slice(to);
        }
    }
}
