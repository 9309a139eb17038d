//! Whether a picture is evidence of anything: blackout, frozen, stale, blurred, smoke, saturated, dark, covered, unfamiliar to the model.
//! How well each is told is measured by `examples/doubt_roc.rs` (docs/models.md).

use crate::{
    PerceptionError,
    picture::{self, Rgb},
};
use proctor_types::{Class, ImageQuality, QualityVerdict, Stamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Columns of the picture that is measured: wider ones are shrunk to it, so that thresholds mean the same for every camera and model.
pub const COLUMNS: usize = 320;

/// Columns and rows of cells whose sharpness is measured one by one.
pub const CELLS: (usize, usize) = (8, 6);

/// Thresholds of the verdict. All are compared with measures of the picture at 320 columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QualityParams {
    /// Mean luminance below which the picture is a blackout (unusable), in [0, 1].
    pub blackout_below: f32,
    /// Mean luminance below which it is dark (degraded), in [0, 1].
    pub dark_below: f32,
    /// Share of saturated pixels above which it is degraded, in [0, 1].
    pub saturated_above: f32,
    /// Share of saturated pixels above which it is unusable, in [0, 1].
    pub washed_out_above: f32,
    /// Variance of the Laplacian (8-bit levels squared) below which it is blurred, at least 0.
    pub blurred_below: f32,
    /// Median, over the lit pixels, of the darkest colour channel above which there is smoke, in [0, 1]. Smoke adds
    /// white light everywhere; tissue without it leaves blue or green dark (He, Sun and Tang 2009, dark channel).
    pub smoke_above: f32,
    /// Share of the picture's cells that lost sharpness while the endoscope stayed where it is ([`crate::clarity`]), above which something lies on the lens,
    /// in [0, 1]. At 1 this is never said: for an endoscope that is held by hand.
    pub covered_above: f32,
    /// The model's mean doubt about what lies inside the field of view, above which the picture is unlike what it was trained on, in [0, 1].
    pub unfamiliar_above: f32,
    /// Age in seconds above which the picture is stale (unusable), positive.
    pub stale_above: f64,
}

impl Default for QualityParams {
    fn default() -> Self {
        Self {
            blackout_below: 0.02,
            dark_below: 0.10,
            saturated_above: 0.09,
            washed_out_above: 0.5,
            blurred_below: 80.0,
            smoke_above: 0.35,
            covered_above: 0.3,
            unfamiliar_above: 0.06,
            stale_above: 0.25,
        }
    }
}

impl QualityParams {
    /// Checks every range; the error names the key, the range and the value.
    pub fn validate(&self) -> Result<(), PerceptionError> {
        let unit = [
            ("quality.blackout_below", self.blackout_below),
            ("quality.dark_below", self.dark_below),
            ("quality.saturated_above", self.saturated_above),
            ("quality.washed_out_above", self.washed_out_above),
            ("quality.smoke_above", self.smoke_above),
            ("quality.covered_above", self.covered_above),
            ("quality.unfamiliar_above", self.unfamiliar_above),
        ];
        for (what, value) in unit {
            if !(0.0..=1.0).contains(&value) {
                return Err(PerceptionError::value("parameters", what, "in [0, 1]", value));
            }
        }
        if !(self.blurred_below.is_finite() && self.blurred_below >= 0.0) {
            return Err(PerceptionError::value(
                "parameters",
                "quality.blurred_below",
                "at least 0",
                self.blurred_below,
            ));
        }
        if !(self.stale_above.is_finite() && self.stale_above > 0.0) {
            return Err(PerceptionError::value("parameters", "quality.stale_above", "positive", self.stale_above));
        }
        Ok(())
    }
}

/// What a picture measures, all of it in one pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measures {
    /// Mean luminance, in [0, 1].
    pub brightness: f32,
    /// Variance of the Laplacian of the 8-bit luminance over the lit pixels.
    pub sharpness: f32,
    /// Share of pixels with luminance at or above 250, in [0, 1].
    pub saturation: f32,
    /// Median over the lit pixels of their smallest channel, in [0, 1].
    pub veil: f32,
    /// Of each of [`CELLS`], row by row; none where less than a quarter is lit.
    pub cells: [Option<Cell>; CELLS.0 * CELLS.1],
}

/// What a part of a picture measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Variance of the Laplacian of the 8-bit luminance over the lit pixels.
    pub sharpness: f32,
    /// Their mean luminance, 8-bit.
    pub light: f32,
}

/// Luminance (8-bit) below which a pixel counts as the dark surround of the field of view.
const LIT: u8 = 12;
/// Luminance (8-bit) at and above which a pixel is saturated.
const SATURATED: u8 = 250;

impl Measures {
    /// Measures a picture, at 320 columns if it has more.
    pub fn of(full: &Rgb) -> Result<Self, PerceptionError> {
        if full.width() <= COLUMNS {
            return Ok(Self::at_size(full));
        }
        let rows = (full.height() * COLUMNS / full.width()).max(1);
        Ok(Self::at_size(&picture::resize(full, COLUMNS, rows)?))
    }

    fn at_size(picture: &Rgb) -> Self {
        let (w, h) = (picture.width(), picture.height());
        // ITU-R BT.601 luma in 8-bit fixed point.
        let luma: Vec<u8> = picture
            .pixels()
            .iter()
            .map(|&[r, g, b]| ((77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b) + 128) >> 8) as u8)
            .collect();
        let n = luma.len().max(1) as f64;
        let brightness = luma.iter().map(|&v| u64::from(v)).sum::<u64>() as f64 / n / 255.0;
        let saturation = luma.iter().filter(|&&v| v >= SATURATED).count() as f64 / n;

        let mut histogram = [0u32; 256];
        for (&[r, g, b], _) in picture.pixels().iter().zip(&luma).filter(|(_, l)| **l >= LIT) {
            histogram[usize::from(r.min(g).min(b))] += 1;
        }
        let lit: u32 = histogram.iter().sum();
        let mut below = 0;
        let median = histogram.iter().position(|&count| {
            below += count;
            2 * below > lit
        });
        let (sharpness, cells) = laplacian_variance(&luma, w, h);
        Self {
            brightness: brightness as f32,
            sharpness,
            cells,
            saturation: saturation as f32,
            veil: median.unwrap_or(0) as f32 / 255.0,
        }
    }
}

/// Sums of the Laplacian over some pixels.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: u64,
    light: u64,
    sum: i64,
    squares: u64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.light += other.light;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    fn variance(&self) -> f32 {
        if self.count == 0 {
            return 0.0;
        }
        let mean = self.sum as f64 / self.count as f64;
        (self.squares as f64 / self.count as f64 - mean * mean) as f32
    }
}

/// Variance of the 4-neighbour Laplacian over pixels whose whole cross is lit, so the rim of a circular field of view
/// does not pass for sharpness; of the picture and of its cells.
fn laplacian_variance(luma: &[u8], w: usize, h: usize) -> (f32, [Option<Cell>; CELLS.0 * CELLS.1]) {
    let mut cells = [Sums::default(); CELLS.0 * CELLS.1];
    for y in 1..h.saturating_sub(1) {
        let (up, row, down) = (&luma[(y - 1) * w..][..w], &luma[y * w..][..w], &luma[(y + 1) * w..][..w]);
        let line = &mut cells[y * CELLS.1 / h * CELLS.0..][..CELLS.0];
        for (column, cell) in line.iter_mut().enumerate() {
            let (from, to) = ((column * w / CELLS.0).max(1), ((column + 1) * w / CELLS.0).min(w.saturating_sub(1)));
            if from < to {
                cell.add(sums(&row[from - 1..=to], &up[from..to], &down[from..to]));
            }
        }
    }
    let mut all = Sums::default();
    cells.iter().for_each(|cell| all.add(*cell));
    let enough = (w * h / (4 * cells.len())) as u64;
    let cell = |c: Sums| Cell { sharpness: c.variance(), light: (c.light as f64 / c.count as f64) as f32 };
    (all.variance(), cells.map(|c| (c.count > enough).then(|| cell(c))))
}

/// Of a run of pixels: `row` has one more on each side than the rows above and below. Sums of one run fit 32 bits (at most 1020 squared times 2048
/// columns) and the loop has no branch, so it is SIMD.
fn sums(row: &[u8], up: &[u8], down: &[u8]) -> Sums {
    let (mut count, mut light, mut sum, mut squares) = (0u32, 0u32, 0i32, 0u32);
    let across = row[1..].iter().zip(row).zip(&row[2..]);
    for (((&c, &l), &r), (&a, &b)) in across.zip(up.iter().zip(down)) {
        let lit = i32::from(c.min(l).min(r).min(a).min(b) >= LIT);
        let value = (i32::from(a) + i32::from(b) + i32::from(l) + i32::from(r) - 4 * i32::from(c)) * lit;
        count = count.wrapping_add(lit as u32);
        light = light.wrapping_add(u32::from(c) * lit as u32);
        sum = sum.wrapping_add(value);
        squares = squares.wrapping_add(value.wrapping_mul(value) as u32);
    }
    Sums { count: count.into(), light: light.into(), sum: sum.into(), squares: squares.into() }
}

/// How a picture relates to time and to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Whether its pixels equal those of the picture before. A live sensor's noise never repeats.
    pub repeats: bool,
    /// How old it is.
    pub age: Duration,
}

impl Timing {
    /// Age of a picture taken at `stamp`, seen at `now`.
    pub fn new(now: Stamp, stamp: Stamp, repeats: bool) -> Self {
        Self { repeats, age: stamp.age(now) }
    }
}

/// How much the model doubts what it says lies inside the field of view: mean entropy of the classes, 0 certain to 1 no idea. 0 where it sees
/// nothing but the surround.
pub fn doubt(labels: &[u8], uncertainty: &[u8]) -> f32 {
    let outside = Class::Background.id();
    let (mut sum, mut count) = (0u64, 0u64);
    for (label, entropy) in labels.iter().zip(uncertainty) {
        let inside = u64::from(*label != outside);
        sum += inside * u64::from(*entropy);
        count += inside;
    }
    if count == 0 { 0.0 } else { (sum as f64 / count as f64 / 255.0) as f32 }
}

/// The verdict: the worst of all findings, each named in plain words. `doubt` is the model's ([`doubt`]), `lost` the share of the picture that lost
/// sharpness ([`crate::clarity::Compared`]).
pub fn judge(measures: Measures, doubt: f32, lost: f32, timing: Timing, params: &QualityParams) -> ImageQuality {
    use QualityVerdict::{Degraded, Unusable};
    let m = measures;
    let blackout = m.brightness < params.blackout_below;
    let washed_out = m.saturation > params.washed_out_above;
    let dark = !blackout && m.brightness < params.dark_below;
    let smoke = !washed_out && m.veil > params.smoke_above;
    let blurred = !blackout && !washed_out && m.sharpness < params.blurred_below;
    // Each of these takes sharpness from all of the picture. Smoke does too, but is what a pale film on the lens looks like.
    let clear = !(blackout || dark || washed_out || blurred);
    let findings = [
        (timing.age.as_secs_f64() > params.stale_above, Unusable, "stale"),
        (timing.repeats, Unusable, "frozen"),
        (blackout, Unusable, "blackout"),
        (dark, Degraded, "dark"),
        (washed_out, Unusable, "saturated"),
        (!washed_out && m.saturation > params.saturated_above, Degraded, "saturated"),
        (smoke, Degraded, "smoke"),
        (blurred, Degraded, "blurred"),
        (clear && lost > params.covered_above, Degraded, "lens covered"),
        (doubt > params.unfamiliar_above, Degraded, "unfamiliar"),
    ];
    let holding = findings.into_iter().filter(|f| f.0);
    let verdict = match holding.clone().map(|f| f.1).collect::<Vec<_>>() {
        all if all.is_empty() => QualityVerdict::Good,
        all if all.contains(&Unusable) => Unusable,
        _ => Degraded,
    };
    ImageQuality {
        verdict,
        reason: holding.map(|f| f.2).collect::<Vec<_>>().join(", "),
        brightness: m.brightness,
        sharpness: m.sharpness,
        saturation: m.saturation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_types::Image;

    const W: usize = 64;
    const H: usize = 48;

    fn paint(f: impl Fn(usize, usize) -> [u8; 3]) -> Rgb {
        Image::new(W, H, (0..W * H).map(|i| f(i % W, i / W)).collect()).unwrap()
    }

    /// Reddish tissue with a fine checkered texture of +-12 levels.
    fn tissue(x: usize, y: usize) -> [u8; 3] {
        let t = if (x + y).is_multiple_of(2) { 12 } else { 0 };
        [150 + t, 60 + t, 50 + t]
    }

    fn fresh() -> Timing {
        Timing { repeats: false, age: Duration::ZERO }
    }

    fn verdict(picture: &Rgb, timing: Timing) -> (QualityVerdict, String) {
        let q = judge(Measures::of(picture).unwrap(), 0.0, 0.0, timing, &QualityParams::default());
        (q.verdict, q.reason)
    }

    #[test]
    fn verdicts_by_picture() {
        use QualityVerdict::{Degraded, Good, Unusable};
        let smoke = |x, y| tissue(x, y).map(|v: u8| (f32::from(v) * 0.35 + 200.0 * 0.65) as u8);
        let glare = |x, y| if x < 16 { [255; 3] } else { tissue(x, y) };
        let white = |x, y| if x < 48 { [255; 3] } else { tissue(x, y) };
        let rim = |x: usize, y: usize| if x.abs_diff(32) < 24 { [150, 60, 50] } else { [y as u8 % 2; 3] };
        let table: [(&str, Rgb, QualityVerdict, &str); 8] = [
            ("tissue", paint(tissue), Good, ""),
            ("black", paint(|_, _| [0; 3]), Unusable, "blackout"),
            ("nearly black", paint(|x, y| tissue(x, y).map(|v| v / 7)), Degraded, "dark, blurred"),
            ("smoke", paint(smoke), Degraded, "smoke"),
            ("glare over a quarter", paint(glare), Degraded, "saturated"),
            ("white over three quarters", paint(white), Unusable, "saturated"),
            ("flat", paint(|_, _| [150, 60, 50]), Degraded, "blurred"),
            ("a sharp rim around a flat picture", paint(rim), Degraded, "blurred"),
        ];
        for (name, picture, expected, reason) in table {
            let (got, words) = verdict(&picture, fresh());
            assert_eq!((got, words.as_str()), (expected, reason), "{name}: {:?}", Measures::of(&picture).unwrap());
        }
    }

    #[test]
    fn repeated_and_old_pictures_are_unusable_and_every_reason_is_said() {
        let frozen = Timing { repeats: true, age: Duration::from_millis(10) };
        assert_eq!(verdict(&paint(tissue), frozen), (QualityVerdict::Unusable, "frozen".into()));
        let stale = Timing { repeats: true, age: Duration::from_millis(300) };
        assert_eq!(
            verdict(&paint(|_, _| [150, 60, 50]), stale),
            (QualityVerdict::Unusable, "stale, frozen, blurred".into())
        );
    }

    #[test]
    fn the_laplacian_of_a_checkerboard_is_known() {
        // Levels a and a + d alternate: the Laplacian is +4d or -4d everywhere, so its variance is 16 d^2.
        let p = paint(|x, y| if (x + y) % 2 == 0 { [110; 3] } else { [100; 3] });
        assert!((Measures::of(&p).unwrap().sharpness - 1600.0).abs() < 1e-3);
    }

    #[test]
    fn pictures_too_small_for_a_cross_have_no_sharpness() {
        for (w, h) in [(0, 5), (1, 5), (2, 5), (5, 2)] {
            let m = Measures::of(&Image::new(w, h, vec![[100; 3]; w * h]).unwrap()).unwrap();
            assert_eq!(m.sharpness, 0.0, "{w}x{h}");
        }
    }

    #[test]
    fn brightness_saturation_and_veil_are_shares() {
        let p = paint(|x, _| if x < 16 { [255, 255, 255] } else { [102, 102, 51] });
        let m = Measures::of(&p).unwrap();
        assert!((m.saturation - 0.25).abs() < 1e-6);
        // Luma of (102, 102, 51) is 96 after rounding: 0.886 * 102 + 0.114 * 51 = 96.2.
        assert!((m.brightness - (0.25 + 0.75 * 96.0 / 255.0)).abs() < 1e-6);
        assert_eq!(m.veil, 0.2);
    }

    #[test]
    fn parameters_outside_their_range_are_named() {
        let bad = QualityParams { smoke_above: 1.5, ..Default::default() };
        let message = bad.validate().unwrap_err().to_string();
        assert!(message.contains("smoke_above") && message.contains("1.5"), "{message}");
        assert!(QualityParams { stale_above: f64::NAN, ..Default::default() }.validate().is_err());
        QualityParams::default().validate().unwrap();
    }

    #[test]
    fn what_lost_sharpness_is_covered_unless_all_of_it_is_dark_or_blurred() {
        let said = |picture: &Rgb, lost| {
            let q = judge(Measures::of(picture).unwrap(), 0.0, lost, fresh(), &QualityParams::default());
            (q.verdict, q.reason)
        };
        assert_eq!(said(&paint(tissue), 0.3), (QualityVerdict::Good, String::new()));
        assert_eq!(said(&paint(tissue), 0.31), (QualityVerdict::Degraded, "lens covered".into()));
        assert_eq!(said(&paint(|_, _| [150, 60, 50]), 1.0).1, "blurred");
        assert_eq!(said(&paint(|x, y| tissue(x, y).map(|v| v / 7)), 1.0).1, "dark, blurred");
    }

    #[test]
    fn cells_have_their_own_sharpness_and_light_and_dark_ones_have_none() {
        // Left half a checkerboard of levels 100 and 110, right half flat; the lowest row of cells is dark.
        let level = |x: usize, y: usize| if x < 32 && (x + y).is_multiple_of(2) { 110 } else { 100 };
        let m = Measures::of(&paint(|x, y| if y < 40 { [level(x, y); 3] } else { [0; 3] })).unwrap();
        let cell = |column: usize, row: usize| m.cells[row * CELLS.0 + column];
        assert_eq!(cell(1, 1), Some(Cell { sharpness: 1600.0, light: 105.0 }));
        assert_eq!(cell(6, 1), Some(Cell { sharpness: 0.0, light: 100.0 }));
        assert_eq!(cell(1, 5), None);
    }

    #[test]
    fn a_picture_that_the_model_doubts_is_unfamiliar_and_the_surround_does_not_count() {
        assert_eq!(doubt(&[0, 0, 2, 3], &[255, 200, 51, 0]), 0.1);
        assert_eq!(doubt(&[0, 0], &[255, 255]), 0.0);
        let params = QualityParams { unfamiliar_above: 0.1, ..Default::default() };
        let said = |doubt| judge(Measures::of(&paint(tissue)).unwrap(), doubt, 0.0, fresh(), &params);
        assert_eq!(said(0.1).verdict, QualityVerdict::Good);
        let q = said(0.11);
        assert_eq!((q.verdict, q.reason.as_str()), (QualityVerdict::Degraded, "unfamiliar"));
    }
}
