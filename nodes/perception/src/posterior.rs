//! From logits to labels, confidence and uncertainty, 16 pixels at a time in registers.

use crate::PerceptionError;
use wide::{f32x8, i32x8, u32x8};

/// Pixels worked on at a time: what a class says of them is one line of the cache.
const LANES: usize = 16;

/// What the network says, per pixel of its own resolution (row-major) and per class.
#[derive(Debug, Clone, PartialEq)]
pub struct Posterior {
    /// Most probable class; the lowest id among equals.
    pub labels: Vec<u8>,
    /// Its soft-max probability, in [1 / classes, 1].
    pub top: Vec<f32>,
    /// Entropy of the soft-max over ln(classes): 0 certain .. 255 uniform.
    pub uncertainty: Vec<u8>,
    /// Mean of `top` over the pixels of each class; 0 where a class has none.
    pub confidence: Vec<f32>,
}

impl Posterior {
    /// From `classes * pixels` logits of 1 to 256 classes, class-major, divided by `temperature` before soft-max. Refuses NaN and infinities.
    pub fn new(classes: usize, temperature: f32, logits: &[f32]) -> Result<Self, PerceptionError> {
        let n = logits.len() / classes.max(1);
        let mut out =
            Self { labels: vec![0; n], top: vec![0.0; n], uncertainty: vec![0; n], confidence: vec![0.0; classes] };
        if fill(classes, temperature, logits, &mut out) { Ok(out) } else { Err(not_finite(logits, n)) }
    }
}

/// Fills `out`, whose lists have their lengths; `false` if a logit is not finite.
fn fill(classes: usize, temperature: f32, logits: &[f32], out: &mut Posterior) -> bool {
    let sharpness = f32x8::splat(1.0 / temperature);
    let n = out.labels.len();
    let (mut sum, mut count) = (vec![0.0f64; classes], vec![0u32; classes]);
    let scale = f32x8::splat(255.0 / (classes.max(2) as f32).ln());
    for start in (0..n).step_by(LANES) {
        let len = LANES.min(n - start);
        let lanes = if len == LANES {
            Lanes::of(classes, sharpness, |class| halves(&logits[class * n + start..][..LANES]))
        } else {
            Lanes::of(classes, sharpness, |class| {
                let mut padded = [0.0; LANES];
                padded[..len].copy_from_slice(&logits[class * n + start..][..len]);
                halves(&padded)
            })
        };
        let Some(lanes) = lanes else { return false };
        let (labels, top) = (lanes.labels(), lanes.top());
        let tops = flat(top.map(f32x8::to_array));
        out.labels[start..start + len].copy_from_slice(&labels[..len]);
        out.top[start..start + len].copy_from_slice(&tops[..len]);
        out.uncertainty[start..start + len].copy_from_slice(&lanes.uncertainty(scale)[..len]);
        // Most neighbours are of one class: one addition then instead of a chain of sixteen.
        if len == LANES && labels == [labels[0]; LANES] {
            sum[usize::from(labels[0])] += f64::from((top[0] + top[1]).reduce_add());
            count[usize::from(labels[0])] += LANES as u32;
            continue;
        }
        for (label, top) in labels.iter().zip(tops).take(len) {
            sum[usize::from(*label)] += f64::from(top);
            count[usize::from(*label)] += 1;
        }
    }
    for (confidence, (sum, count)) in out.confidence.iter_mut().zip(sum.iter().zip(count)) {
        *confidence = if count == 0 { 0.0 } else { (sum / f64::from(count)) as f32 };
    }
    true
}

/// Two registers from 16 numbers.
fn halves(x: &[f32]) -> [f32x8; 2] {
    let half = |from: usize| f32x8::new(std::array::from_fn(|i| x[from + i]));
    [half(0), half(8)]
}

/// Both halves in the order of the pixels.
fn flat<T: Copy>([a, b]: [[T; 8]; 2]) -> [T; LANES] {
    std::array::from_fn(|i| if i < 8 { a[i] } else { b[i - 8] })
}

/// 1.5 * 2^23: moves the whole part of a small number into the low bits of the sum.
const MAGIC: f32 = 12_582_912.0;
/// Differences from the largest logit below which a class adds less than a 32-bit number beside 1 can hold: e^-17 < 2^-24.
const NEGLIGIBLE: f32 = -17.0;

/// What 16 pixels come to.
struct Lanes {
    label: [f32x8; 2],
    /// Sum of exp(d), d = (x - max) / temperature.
    total: [f32x8; 2],
    /// Sum of exp(d) * d.
    weighted: [f32x8; 2],
}

impl Lanes {
    /// From the logits of every class, times `sharpness`; `None` if one is not finite.
    #[inline]
    fn of(classes: usize, sharpness: f32x8, logits: impl Fn(usize) -> [f32x8; 2]) -> Option<Self> {
        let mut max = logits(0);
        let mut label = [f32x8::ZERO; 2];
        // Stays 0 unless something is not finite: that times 0 is no number.
        let mut finite = max[0] * f32x8::ZERO + max[1] * f32x8::ZERO;
        for class in 1..classes {
            let (x, id) = (logits(class), f32x8::splat(class as f32));
            for h in 0..2 {
                let better = x[h].simd_gt(max[h]);
                max[h] = better.bitselect(x[h], max[h]);
                label[h] = better.bitselect(id, label[h]);
                finite += x[h] * f32x8::ZERO;
            }
        }
        if !finite.simd_eq(f32x8::ZERO).all() {
            return None;
        }
        let (mut total, mut weighted) = ([f32x8::ZERO; 2], [f32x8::ZERO; 2]);
        for class in 0..classes {
            let x = logits(class);
            for h in 0..2 {
                let d = (x[h] - max[h]) * sharpness;
                // Of most pixels most classes are far from likely: their exponentials are spared.
                if d.simd_gt(f32x8::splat(NEGLIGIBLE)).any() {
                    let e = exp(d);
                    total[h] += e;
                    weighted[h] = e.mul_add(d, weighted[h]);
                }
            }
        }
        Some(Self { label, total, weighted })
    }

    /// Most probable classes. Ids up to 255 are whole numbers among 32-bit ones.
    fn labels(&self) -> [u8; LANES] {
        flat(self.label.map(f32x8::to_array)).map(|id| id as u8)
    }

    /// Their probabilities.
    fn top(&self) -> [f32x8; 2] {
        self.total.map(|total| f32x8::ONE / total)
    }

    /// Normalised entropy, 0..=255: H = ln(total) - weighted / total.
    fn uncertainty(&self, scale: f32x8) -> [u8; LANES] {
        let of = |h: usize| {
            let entropy = ln(self.total[h]) - self.weighted[h] / self.total[h];
            let scaled = (entropy * scale).fast_max(f32x8::ZERO).fast_min(f32x8::splat(255.0));
            // Adding the constant rounds to a whole number, which then stands in the lowest bits.
            bits(scaled + f32x8::splat(MAGIC)).to_array()
        };
        flat([of(0), of(1)]).map(|word| word as u8)
    }
}

fn bits(x: f32x8) -> u32x8 {
    bytemuck::cast(x)
}

fn from_bits(x: u32x8) -> f32x8 {
    bytemuck::cast(x)
}

/// By a constant the compiler shifts in one instruction; `wide` takes the count for a variable, at ten times the cost.
#[inline]
fn each(x: u32x8, f: impl Fn(u32) -> u32) -> u32x8 {
    u32x8::new(x.to_array().map(f))
}

/// Natural logarithm of x in [1, 2 * classes], absolute error below 1e-5: x = m * 2^k with m in [2/3, 4/3), and
/// ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 1/5.
#[inline]
fn ln(x: f32x8) -> f32x8 {
    const LEAST: u32 = 0x3F2A_AAAB;
    let offset = bits(x) - u32x8::splat(LEAST);
    let k = f32x8::from_i32x8(bytemuck::cast::<u32x8, i32x8>(each(offset, |word| word >> 23)));
    let m = from_bits((offset & u32x8::splat(0x007F_FFFF)) + u32x8::splat(LEAST));
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    k * std::f32::consts::LN_2 + s * 2.0 * (f32x8::ONE + q * (q * (q * (1.0 / 7.0) + 0.2) + 1.0 / 3.0))
}

/// e^x for x <= 0, relative error below 1e-6, flushed to about 1e-35 below -80. The constant [`MAGIC`] moves the rounded exponent into
/// the low bits of the sum.
#[expect(clippy::approx_constant, reason = "coefficients of one fitted polynomial")]
#[inline]
fn exp(x: f32x8) -> f32x8 {
    let y = x.fast_max(f32x8::splat(-80.0)) * std::f32::consts::LOG2_E;
    let shifted = y + MAGIC;
    let f = y - (shifted - MAGIC);
    let term = |high: f32, low: f32| f.mul_add(f32x8::splat(high), f32x8::splat(low));
    let square = f * f;
    let low = square.mul_add(term(0.055_504_11, 0.240_226_5), term(0.693_147_2, 1.0));
    let high = square.mul_add(f32x8::splat(0.000_154_04), term(0.001_333_36, 0.009_618_13));
    let p = (square * square).mul_add(high, low);
    p * from_bits(each(bits(shifted) - u32x8::splat(0x4B40_0000 - 127), |word| word << 23))
}

#[cold]
fn not_finite(logits: &[f32], n: usize) -> PerceptionError {
    let at = logits.iter().position(|v| !v.is_finite()).unwrap_or(0);
    PerceptionError::NotFinite { class: at / n, pixel: at % n, value: logits[at] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: usize = proctor_types::Class::COUNT;

    /// One pixel's logits by class, for several pixels, as the network lays them out.
    fn planar(pixels: &[[f32; CLASSES]]) -> Vec<f32> {
        (0..CLASSES).flat_map(|c| pixels.iter().map(move |p| p[c])).collect()
    }

    #[test]
    fn probability_and_entropy_match_the_formulas_in_double_precision() {
        // 77 pixels: four full rows of lanes and a partial one; logits from a fixed irrational sequence.
        let pixels: Vec<[f32; CLASSES]> = (0..77)
            .map(|i| std::array::from_fn(|c| (((i * 10 + c) as f64 * 0.618_034).fract() * 24.0 - 12.0) as f32))
            .collect();
        let got = Posterior::new(CLASSES, 1.0, &planar(&pixels)).unwrap();
        for (i, pixel) in pixels.iter().enumerate() {
            let total: f64 = pixel.iter().map(|&v| f64::from(v).exp()).sum();
            let p: Vec<f64> = pixel.iter().map(|&v| f64::from(v).exp() / total).collect();
            let best = (0..CLASSES).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap();
            let entropy = -p.iter().map(|p| p * p.ln()).sum::<f64>() / 10f64.ln();
            assert_eq!(usize::from(got.labels[i]), best);
            assert!((f64::from(got.top[i]) - p[best]).abs() < 1e-5);
            assert!((f64::from(got.uncertainty[i]) - entropy * 255.0).abs() <= 0.505, "pixel {i}");
        }
    }

    #[test]
    fn equal_logits_are_background_and_wholly_uncertain() {
        let got = Posterior::new(CLASSES, 1.0, &planar(&[[3.0; CLASSES]])).unwrap();
        assert_eq!((got.labels[0], got.uncertainty[0]), (0, 255));
        assert!((got.top[0] - 0.1).abs() < 1e-6);
    }

    #[test]
    fn a_sure_pixel_is_certain_and_absent_classes_have_no_confidence() {
        let mut pixel = [-500.0; CLASSES];
        pixel[3] = 500.0;
        let got = Posterior::new(CLASSES, 1.0, &planar(&[pixel])).unwrap();
        assert_eq!((got.labels[0], got.uncertainty[0], got.top[0]), (3, 0, 1.0));
        assert_eq!(got.confidence, (0..CLASSES).map(|c| if c == 3 { 1.0 } else { 0.0 }).collect::<Vec<f32>>());
    }

    #[test]
    fn confidence_is_the_mean_over_the_pixels_of_a_class() {
        // Two classes at equal height against very low others: p = 1/2; three: 1/3. Ties go to the lower id.
        let mut half = [-100.0; CLASSES];
        (half[2], half[5]) = (0.0, 0.0);
        let mut third = half;
        third[9] = 0.0;
        let got = Posterior::new(CLASSES, 1.0, &planar(&[half, third])).unwrap();
        assert_eq!(got.labels, [2, 2]);
        assert!((got.confidence[2] - f32::midpoint(0.5, 1.0 / 3.0)).abs() < 1e-6);
    }

    #[test]
    fn nan_and_infinite_logits_are_refused_wherever_they_are() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 5, 69, 70 * 4 + 69, 699] {
                let mut logits = vec![0.5; 70 * CLASSES];
                logits[at] = bad;
                match Posterior::new(CLASSES, 1.0, &logits) {
                    Err(PerceptionError::NotFinite { class, pixel, .. }) => {
                        assert_eq!((class, pixel), (at / 70, at % 70));
                    }
                    other => panic!("{bad} at {at}: {other:?}"),
                }
            }
        }
    }
}
