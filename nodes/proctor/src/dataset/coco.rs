//! COCO's view of a data set: a mask, box and area per class and instance, as compressed run lengths, which are exact.
//!
//! An annotation is one part of one instrument, or all that is seen of one tissue class. Background has none.

use proctor_types::{Class, Image, anatomy::UNKNOWN};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One mask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// [`Class::id`] or [`UNKNOWN`].
    pub category_id: u8,
    /// Value in the instance picture; 0 for tissue.
    pub instance: u8,
    /// Pixels.
    pub area: u64,
    /// Left, top, width, height, pixels.
    pub bbox: [usize; 4],
    /// Run lengths down the columns, as COCO's tools compress them.
    pub counts: String,
}

/// A category of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Category {
    pub id: u8,
    pub name: &'static str,
    pub supercategory: &'static str,
}

/// Everything that may be annotated.
pub fn categories() -> Vec<Category> {
    let kind = |c: Class| if c.is_instrument() { "instrument" } else { "tissue" };
    let named = |c: Class| Category { id: c.id(), name: c.name(), supercategory: kind(c) };
    let unknown = Category { id: UNKNOWN, name: label_name(UNKNOWN), supercategory: "unknown" };
    Class::ALL.into_iter().filter(|c| *c != Class::Background).map(named).chain([unknown]).collect()
}

/// Name of a label value.
pub fn label_name(label: u8) -> &'static str {
    if label == UNKNOWN { "unknown_object" } else { Class::from_id(label).unwrap_or_default().name() }
}

/// The masks of a frame, by class and then by instance.
pub fn annotations(labels: &Image<u8>, instances: &Image<u8>) -> Vec<Annotation> {
    let (w, h) = (labels.width(), labels.height());
    let mut masks: BTreeMap<(u8, u8), Mask> = BTreeMap::new();
    for place in 0..w * h {
        // Down the columns.
        let at = (place % h) * w + place / h;
        let key = (labels.pixels()[at], instances.pixels()[at]);
        if key.0 != Class::Background.id() {
            masks.entry(key).or_default().add(place);
        }
    }
    masks.into_iter().map(|((category_id, instance), mask)| mask.annotation(category_id, instance, w, h)).collect()
}

/// Runs of places: start and length, ascending.
#[derive(Default)]
struct Mask {
    runs: Vec<(usize, usize)>,
}

impl Mask {
    fn add(&mut self, place: usize) {
        match self.runs.last_mut() {
            Some((start, length)) if *start + *length == place => *length += 1,
            _ => self.runs.push((place, 1)),
        }
    }

    fn annotation(&self, category_id: u8, instance: u8, w: usize, h: usize) -> Annotation {
        let (mut left, mut right, mut top, mut bottom) = (w, 0, h, 0);
        let mut counts = Vec::with_capacity(2 * self.runs.len() + 1);
        let mut end = 0;
        for &(start, length) in &self.runs {
            counts.extend([start - end, length]);
            end = start + length;
            let (first, last) = (start / h, (end - 1) / h);
            (left, right) = (left.min(first), right.max(last));
            // A run over a column's end touches both edges.
            let (high, low) = if first == last { (start % h, (end - 1) % h) } else { (0, h - 1) };
            (top, bottom) = (top.min(high), bottom.max(low));
        }
        if end < w * h {
            counts.push(w * h - end);
        }
        Annotation {
            category_id,
            instance,
            area: self.runs.iter().map(|r| r.1 as u64).sum(),
            bbox: [left, top, right + 1 - left, bottom + 1 - top],
            counts: compress(&counts),
        }
    }
}

/// COCO's text of run lengths (`rleToString` of its C API): each beyond the third as the difference to the one before last, in groups of
/// five bits, low ones first, the sixth bit saying that more follow, 48 added.
fn compress(counts: &[usize]) -> String {
    let mut out = String::new();
    for (i, count) in counts.iter().enumerate() {
        let mut x = *count as i64 - if i > 2 { counts[i - 2] as i64 } else { 0 };
        loop {
            let five = x & 31;
            x >>= 5;
            let done = x == if five & 16 == 0 { 0 } else { -1 };
            out.push(char::from(48 + five as u8 + if done { 0 } else { 32 }));
            if done {
                break;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inverse as COCO's `rleFrString` does it, and from run lengths to places.
    fn places(text: &str) -> Vec<usize> {
        let mut counts: Vec<i64> = Vec::new();
        let mut bytes = text.bytes();
        while let Some(mut byte) = bytes.next() {
            let (mut x, mut shift) = (0i64, 0);
            loop {
                let five = i64::from(byte) - 48;
                x |= (five & 31) << shift;
                shift += 5;
                if five & 32 == 0 {
                    if five & 16 != 0 {
                        x |= -1 << shift;
                    }
                    break;
                }
                byte = bytes.next().unwrap();
            }
            let before = if counts.len() > 2 { counts[counts.len() - 2] } else { 0 };
            counts.push(x + before);
        }
        let (mut at, mut out) = (0, Vec::new());
        for (i, count) in counts.iter().enumerate() {
            if i % 2 == 1 {
                out.extend(at..at + *count as usize);
            }
            at += *count as usize;
        }
        out
    }

    #[test]
    fn masks_come_back_exactly_and_boxes_enclose_them() {
        // A hashed picture with long and short runs, several instances, and runs over the ends of columns.
        let (w, h) = (37, 23);
        let random = |i: usize| (i as u32 / 5).wrapping_mul(0x9E37_79B1) >> 16;
        let labels: Vec<u8> = (0..w * h).map(|i| [0, 2, 2, 6, 7, 7, 9, 2][random(i) as usize % 8]).collect();
        let instances: Vec<u8> =
            labels.iter().enumerate().map(|(i, l)| if *l >= 7 { 1 + u8::from(i % w > 20) } else { 0 }).collect();
        let image = |p: &[u8]| Image::new(w, h, p.to_vec()).unwrap();
        let found = annotations(&image(&labels), &image(&instances));
        let mut covered = 0;
        for a in &found {
            let wanted: Vec<usize> = (0..w * h)
                .filter(|p| {
                    let at = (p % h) * w + p / h;
                    (labels[at], instances[at]) == (a.category_id, a.instance)
                })
                .collect();
            assert_eq!(places(&a.counts), wanted, "{a:?}");
            assert_eq!(a.area, wanted.len() as u64);
            let (columns, rows) = (wanted.iter().map(|p| p / h), wanted.iter().map(|p| p % h));
            let (x, y) = (columns.clone().min().unwrap(), rows.clone().min().unwrap());
            assert_eq!(a.bbox, [x, y, columns.max().unwrap() + 1 - x, rows.max().unwrap() + 1 - y]);
            covered += wanted.len();
        }
        assert_eq!(covered, labels.iter().filter(|l| **l != 0).count());
        assert_eq!(found.len(), 6, "liver, fat, and two parts of each of two instruments");
    }

    #[test]
    fn run_lengths_are_written_as_cocos_own_tools_write_them() {
        // pycocotools.mask.encode of a 4x5 picture with ones at rows 1..3 of columns 1 and 2: counts 5, 2, 2, 2, 9.
        assert_eq!(compress(&[5, 2, 2, 2, 9]), "52207");
        // 40 needs two groups, and so does the difference -38.
        assert_eq!(compress(&[0, 40, 3, 2]), "0X13jN");
    }
}
