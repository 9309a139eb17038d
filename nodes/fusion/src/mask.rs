//! Which instrument pixels belong to which arm.
//!
//! Blobs of instrument pixels go to the arm whose projected skeleton is nearest; a blob that two arms share (crossing
//! tools) is divided pixel by pixel. Blobs far from every skeleton are nobody's: an unknown object is not evidence.

use crate::geometry::segment_distance_2d;
use nalgebra::Point2;
use opencv::{core, imgproc, prelude::*};
use proctor_types::{Class, Image};

/// Owner value of a pixel without an instrument.
pub const NOT_INSTRUMENT: u8 = 0;
/// Owner value of an instrument pixel that belongs to no arm.
pub const NOBODY: u8 = 255;

/// One arm's projected axes and how far off the mask may be.
#[derive(Debug, Clone)]
pub struct Skeleton {
    /// Axis segments (shaft, wrist, jaws) with half their width, px.
    pub segments: Vec<(Point2<f64>, Point2<f64>, f64)>,
    /// Farthest a blob may lie from the skeleton, px.
    pub gate: f64,
}

impl Skeleton {
    /// Distance from a pixel to the skeleton's surface, px; negative inside.
    fn distance(&self, p: &Point2<f64>) -> f64 {
        self.segments.iter().map(|(a, b, w)| segment_distance_2d(p, a, b) - w).fold(f64::INFINITY, f64::min)
    }
}

/// Label image with an owner per instrument pixel. Works in label pixels; [`Mask::to_full`] leads to picture pixels.
#[derive(Debug, Clone)]
pub struct Mask {
    /// Columns of the label image.
    pub width: usize,
    /// Rows of the label image.
    pub height: usize,
    /// Picture pixels per label pixel.
    pub scale: f64,
    /// Class ids; unknown ids were made background.
    pub labels: Vec<u8>,
    /// [`NOT_INSTRUMENT`], 1 + arm index, or [`NOBODY`].
    pub owner: Vec<u8>,
    /// Pixels whose label was no class.
    pub unknown_labels: usize,
}

impl Mask {
    /// Reads labels and gives every blob of at least `min_blob` pixels its owner; `None` if the label image is not the
    /// picture (`full_width` x `full_height`) divided by a whole factor.
    pub fn new(
        labels: &Image<u8>,
        (full_width, full_height): (usize, usize),
        arms: &[Option<Skeleton>],
        min_blob: usize,
    ) -> Option<Self> {
        let (width, height) = (labels.width(), labels.height());
        if width < 16 || height < 16 || full_width % width != 0 || full_height % height != 0 {
            return None;
        }
        let factor = full_width / width;
        if full_height / height != factor {
            return None;
        }
        let mut unknown_labels = 0;
        let labels: Vec<u8> = labels
            .pixels()
            .iter()
            .map(|&id| {
                let known = Class::from_id(id).is_some();
                unknown_labels += usize::from(!known);
                if known { id } else { Class::Background.id() }
            })
            .collect();
        let mut mask = Self {
            width,
            height,
            scale: factor as f64,
            owner: vec![NOT_INSTRUMENT; labels.len()],
            labels,
            unknown_labels,
        };
        mask.assign(arms, min_blob).ok()?;
        Some(mask)
    }

    /// Picture pixel at a label coordinate (pixel centres at integers in both).
    pub fn to_full(&self, p: Point2<f64>) -> Point2<f64> {
        Point2::new((p.x + 0.5) * self.scale - 0.5, (p.y + 0.5) * self.scale - 0.5)
    }

    /// Label coordinate at a picture pixel.
    pub fn to_label(&self, p: Point2<f64>) -> Point2<f64> {
        Point2::new((p.x + 0.5) / self.scale - 0.5, (p.y + 0.5) / self.scale - 0.5)
    }

    /// Index of the label pixel nearest to a label coordinate, `None` outside.
    pub fn index(&self, p: &Point2<f64>) -> Option<usize> {
        let (x, y) = ((p.x + 0.5).floor(), (p.y + 0.5).floor());
        (x >= 0.0 && y >= 0.0 && x < self.width as f64 && y < self.height as f64)
            .then(|| y as usize * self.width + x as usize)
    }

    /// Label coordinate of a pixel index.
    pub fn point(&self, index: usize) -> Point2<f64> {
        Point2::new((index % self.width) as f64, (index / self.width) as f64)
    }

    /// Whether `index` belongs to `arm` and shows `class`.
    pub fn is(&self, index: usize, arm: usize, class: Class) -> bool {
        self.owner[index] == owner_of(arm) && self.labels[index] == class.id()
    }

    /// Indices of an arm's pixels of one class.
    pub fn pixels(&self, arm: usize, class: Class) -> impl Iterator<Item = usize> + '_ {
        (0..self.owner.len()).filter(move |&i| self.is(i, arm, class))
    }

    /// How many pixels an arm owns.
    #[cfg(test)]
    fn area(&self, arm: usize) -> usize {
        self.owner.iter().filter(|&&o| o == owner_of(arm)).count()
    }

    fn assign(&mut self, arms: &[Option<Skeleton>], min_blob: usize) -> opencv::Result<()> {
        let binary: Vec<u8> = self
            .labels
            .iter()
            .map(|&id| if Class::from_id(id).is_some_and(Class::is_instrument) { 255 } else { 0 })
            .collect();
        let image = core::Mat::new_rows_cols_with_data(self.height as i32, self.width as i32, &binary)?;
        let mut blobs = core::Mat::default();
        let count = imgproc::connected_components(&image, &mut blobs, 8, core::CV_32S)?;
        let blobs = blobs.data_typed::<i32>()?;
        let blob_count = usize::try_from(count).unwrap_or(0);
        // Per blob: pixels, votes per arm (by nearest skeleton, on every fourth pixel), smallest distance per arm.
        let mut pixels = vec![0usize; blob_count];
        let mut votes = vec![[0usize; MAX_ARMS]; blob_count];
        let mut nearest = vec![[f64::INFINITY; MAX_ARMS]; blob_count];
        for (i, &blob) in blobs.iter().enumerate() {
            let blob = blob as usize;
            if blob == 0 {
                continue;
            }
            pixels[blob] += 1;
            if pixels[blob] % 4 != 1 {
                continue;
            }
            let p = self.to_full(self.point(i));
            let mut best: Option<(usize, f64)> = None;
            for (arm, skeleton) in arms.iter().enumerate().take(MAX_ARMS) {
                let Some(skeleton) = skeleton else { continue };
                let d = skeleton.distance(&p);
                nearest[blob][arm] = nearest[blob][arm].min(d);
                if best.is_none_or(|(_, b)| d < b) {
                    best = Some((arm, d));
                }
            }
            if let Some((arm, _)) = best {
                votes[blob][arm] += 1;
            }
        }
        let verdicts: Vec<Owner> =
            (0..blob_count).map(|b| decide(pixels[b] >= min_blob, &votes[b], &nearest[b], arms)).collect();
        for (i, &blob) in blobs.iter().enumerate() {
            if blob == 0 {
                continue;
            }
            self.owner[i] = match verdicts[blob as usize] {
                Owner::Nobody => NOBODY,
                Owner::Arm(arm) => owner_of(arm),
                Owner::Shared => {
                    let p = self.to_full(self.point(i));
                    let mut best = (NOBODY, f64::INFINITY);
                    for (arm, skeleton) in arms.iter().enumerate().take(MAX_ARMS) {
                        let d = skeleton.as_ref().map_or(f64::INFINITY, |s| s.distance(&p));
                        if d < best.1 {
                            best = (owner_of(arm), d);
                        }
                    }
                    best.0
                }
            };
        }
        Ok(())
    }
}

/// Arms a mask can tell apart.
pub const MAX_ARMS: usize = 2;

/// Owner value of an arm index.
pub const fn owner_of(arm: usize) -> u8 {
    arm as u8 + 1
}

#[derive(Clone, Copy)]
enum Owner {
    Nobody,
    Arm(usize),
    Shared,
}

fn decide(big_enough: bool, votes: &[usize; MAX_ARMS], nearest: &[f64; MAX_ARMS], arms: &[Option<Skeleton>]) -> Owner {
    /// A blob with more than this share of votes for the second arm is divided.
    const SHARED: f64 = 0.2;
    let total: usize = votes.iter().sum();
    if !big_enough || total == 0 {
        return Owner::Nobody;
    }
    let within = |arm: usize| arms.get(arm).and_then(Option::as_ref).is_some_and(|s| nearest[arm] <= s.gate);
    let (first, second) = if votes[0] >= votes[1] { (0, 1) } else { (1, 0) };
    if votes[second] as f64 > SHARED * total as f64 && within(first) && within(second) {
        Owner::Shared
    } else if within(first) {
        Owner::Arm(first)
    } else {
        Owner::Nobody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skeleton(x: f64) -> Skeleton {
        Skeleton { segments: vec![(Point2::new(x, 0.0), Point2::new(x, 200.0), 8.0)], gate: 30.0 }
    }

    fn bars(columns: &[std::ops::Range<usize>]) -> Image<u8> {
        let mut v = vec![Class::Liver.id(); 320 * 240];
        for y in 20..100 {
            for c in columns {
                v[y * 320 + c.start..y * 320 + c.end].fill(Class::InstrumentShaft.id());
            }
        }
        Image::new(320, 240, v).unwrap()
    }

    #[test]
    fn each_blob_goes_to_the_nearest_arm_and_far_ones_to_nobody() {
        let labels = bars(&[48..54, 250..256, 150..156]);
        let m = Mask::new(&labels, (640, 480), &[500.0, 110.0].map(skeleton).map(Some), 50).unwrap();
        assert_eq!(m.owner[50 * 320 + 252], owner_of(0));
        assert_eq!(m.owner[50 * 320 + 50], owner_of(1));
        assert_eq!(m.owner[50 * 320 + 152], NOBODY);
        assert_eq!(m.area(0), 80 * 6);
    }

    #[test]
    fn a_blob_between_two_arms_is_divided() {
        let labels = bars(std::slice::from_ref(&(100..140)));
        let m = Mask::new(&labels, (640, 480), &[210.0, 270.0].map(skeleton).map(Some), 50).unwrap();
        assert_eq!((m.owner[50 * 320 + 102], m.owner[50 * 320 + 138]), (owner_of(0), owner_of(1)));
    }

    #[test]
    fn unknown_labels_are_background_and_odd_sizes_are_refused() {
        let labels = Image::new(320, 240, vec![77u8; 320 * 240]).unwrap();
        let m = Mask::new(&labels, (640, 480), &[None, None], 50).unwrap();
        assert_eq!((m.unknown_labels, m.labels[0], m.area(0)), (320 * 240, 0, 0));
        assert!(Mask::new(&labels, (650, 480), &[None, None], 50).is_none());
    }
}
