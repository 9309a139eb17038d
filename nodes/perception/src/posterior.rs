//! From logits to labels, confidence and uncertainty, in one pass over blocks that the compiler turns into SIMD.

use crate::PerceptionError;

/// Pixels per block: the working set (classes x block floats) stays in the L1 cache.
const BLOCK: usize = 64;

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
    /// From `classes * pixels` logits of 1 to 256 classes, class-major. Refuses NaN and infinities.
    pub fn new(classes: usize, logits: &[f32]) -> Result<Self, PerceptionError> {
        let n = logits.len() / classes.max(1);
        let mut out =
            Self { labels: vec![0; n], top: vec![0.0; n], uncertainty: vec![0; n], confidence: vec![0.0; classes] };
        if fill(classes, logits, &mut out) { Ok(out) } else { Err(not_finite(logits, n)) }
    }
}

/// Fills `out`, whose lists have their lengths; `false` if a logit is not finite. The same bits with and without AVX2: no operation
/// is fused, only more pixels are worked on at a time.
fn fill(classes: usize, logits: &[f32], out: &mut Posterior) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn wide(classes: usize, logits: &[f32], out: &mut Posterior) -> bool {
            fill_blocks(classes, logits, out)
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "the processor was asked whether it has the instructions")]
            return unsafe { wide(classes, logits, out) };
        }
    }
    fill_blocks(classes, logits, out)
}

#[expect(clippy::inline_always, reason = "compiled once more with AVX2 inside `wide`")]
#[inline(always)]
fn fill_blocks(classes: usize, logits: &[f32], out: &mut Posterior) -> bool {
    let n = out.labels.len();
    let (mut sum, mut count) = (vec![0.0f64; classes], vec![0u32; classes]);
    let mut x = vec![[0.0f32; BLOCK]; classes];
    for start in (0..n).step_by(BLOCK) {
        let len = BLOCK.min(n - start);
        for (class, lane) in x.iter_mut().enumerate() {
            lane[..len].copy_from_slice(&logits[class * n + start..][..len]);
        }
        let block = Block::new(&x);
        if !block.total[..len].iter().all(|t| t.is_finite()) {
            return false;
        }
        let uncertainty = block.uncertainty(classes);
        let (labels, tops) = (&mut out.labels[start..start + len], &mut out.top[start..start + len]);
        for (i, (label, top)) in labels.iter_mut().zip(tops.iter_mut()).enumerate() {
            (*label, *top) = (block.label[i] as u8, 1.0 / block.total[i]);
        }
        for (label, top) in labels.iter().zip(tops) {
            sum[usize::from(*label)] += f64::from(*top);
            count[usize::from(*label)] += 1;
        }
        out.uncertainty[start..start + len].copy_from_slice(&uncertainty[..len]);
    }
    for (confidence, (sum, count)) in out.confidence.iter_mut().zip(sum.iter().zip(count)) {
        *confidence = if count == 0 { 0.0 } else { (sum / f64::from(count)) as f32 };
    }
    true
}

/// 1.5 * 2^23: moves the whole part of a small number into the low bits of the sum.
const MAGIC: f32 = 12_582_912.0;
/// Differences from the largest logit below which a class adds less than a 32-bit number beside 1 can hold: e^-17 < 2^-24.
const NEGLIGIBLE: f32 = -17.0;

struct Block {
    label: [u32; BLOCK],
    /// Sum of exp(x - max); not finite if any logit is not.
    total: [f32; BLOCK],
    /// Sum of exp(x - max) * (x - max).
    weighted: [f32; BLOCK],
}

#[expect(clippy::inline_always, reason = "part of `fill_blocks`")]
impl Block {
    #[inline(always)]
    fn new(x: &[[f32; BLOCK]]) -> Self {
        let mut max = x[0];
        let mut label = [0u32; BLOCK];
        for (class, lane) in x.iter().enumerate().skip(1) {
            for i in 0..BLOCK {
                let better = lane[i] > max[i];
                max[i] = if better { lane[i] } else { max[i] };
                label[i] = if better { class as u32 } else { label[i] };
            }
        }
        let mut total = [0.0; BLOCK];
        let mut weighted = [0.0; BLOCK];
        for lane in x {
            let mut d = [0.0f32; BLOCK];
            let mut matters = 0u32;
            for i in 0..BLOCK {
                d[i] = lane[i] - max[i];
                // What is not finite must reach the sum on its own: d * 0 is 0 or NaN.
                total[i] += d[i] * 0.0;
                matters |= u32::from(d[i] > NEGLIGIBLE);
            }
            // Of most blocks most classes are far from likely: their exponentials are spared.
            if matters == 0 {
                continue;
            }
            for i in 0..BLOCK {
                let e = exp(d[i]);
                total[i] += e;
                weighted[i] += e * d[i];
            }
        }
        Self { label, total, weighted }
    }

    /// Normalised entropy, 0..=255: H = ln(total) - weighted / total.
    #[inline(always)]
    fn uncertainty(&self, classes: usize) -> [u8; BLOCK] {
        let scale = 255.0 / (classes.max(2) as f32).ln();
        let mut out = [0; BLOCK];
        for i in 0..BLOCK {
            let h = ln(self.total[i]) - self.weighted[i] / self.total[i];
            // Adding the constant rounds to a whole number, which then stands in the lowest bits.
            out[i] = ((h * scale).clamp(0.0, 255.0) + MAGIC).to_bits() as u8;
        }
        out
    }
}

/// Natural logarithm of x in [1, 2 * classes], absolute error below 1e-5, branch-free: x = m * 2^k with m in [2/3, 4/3), and
/// ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 1/5.
#[inline]
fn ln(x: f32) -> f32 {
    let bits = x.to_bits().wrapping_sub(0x3F2A_AAAB) as i32;
    let k = (bits >> 23) as f32;
    let m = f32::from_bits((bits as u32 & 0x007F_FFFF).wrapping_add(0x3F2A_AAAB));
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    k * std::f32::consts::LN_2 + 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (0.2 + q / 7.0)))
}

/// e^x for x <= 0, relative error below 1e-6, flushed to about 1e-35 below -80. Branch-free, so it vectorises; the
/// constant [`MAGIC`] moves the rounded exponent into the low bits of the sum.
#[expect(clippy::approx_constant, reason = "coefficients of one fitted polynomial")]
#[inline]
fn exp(x: f32) -> f32 {
    let y = x.max(-80.0) * std::f32::consts::LOG2_E;
    let shifted = y + MAGIC;
    let f = y - (shifted - MAGIC);
    let p = 1.0
        + f * (0.693_147_2
            + f * (0.240_226_5 + f * (0.055_504_11 + f * (0.009_618_13 + f * (0.001_333_36 + f * 0.000_154_04)))));
    p * f32::from_bits(shifted.to_bits().wrapping_sub(0x4B40_0000 - 127).wrapping_shl(23))
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
        // 77 pixels: one full block and a partial one; logits from a fixed irrational sequence.
        let pixels: Vec<[f32; CLASSES]> = (0..77)
            .map(|i| std::array::from_fn(|c| (((i * 10 + c) as f64 * 0.618_034).fract() * 24.0 - 12.0) as f32))
            .collect();
        let got = Posterior::new(CLASSES, &planar(&pixels)).unwrap();
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
    fn the_same_bits_come_of_wide_and_narrow_registers() {
        let logits: Vec<f32> = (0..1000 * CLASSES).map(|i| (i as f32 * 0.618_034).fract() * 60.0 - 30.0).collect();
        let wide = Posterior::new(CLASSES, &logits).unwrap();
        let mut narrow = Posterior { confidence: vec![0.0; CLASSES], ..wide.clone() };
        assert!(fill_blocks(CLASSES, &logits, &mut narrow));
        assert_eq!(narrow, wide);
    }

    #[test]
    fn equal_logits_are_background_and_wholly_uncertain() {
        let got = Posterior::new(CLASSES, &planar(&[[3.0; CLASSES]])).unwrap();
        assert_eq!((got.labels[0], got.uncertainty[0]), (0, 255));
        assert!((got.top[0] - 0.1).abs() < 1e-6);
    }

    #[test]
    fn a_sure_pixel_is_certain_and_absent_classes_have_no_confidence() {
        let mut pixel = [-500.0; CLASSES];
        pixel[3] = 500.0;
        let got = Posterior::new(CLASSES, &planar(&[pixel])).unwrap();
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
        let got = Posterior::new(CLASSES, &planar(&[half, third])).unwrap();
        assert_eq!(got.labels, [2, 2]);
        assert!((got.confidence[2] - f32::midpoint(0.5, 1.0 / 3.0)).abs() < 1e-6);
    }

    #[test]
    fn nan_and_infinite_logits_are_refused_wherever_they_are() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 5, 69, 70 * 4 + 69, 699] {
                let mut logits = vec![0.5; 70 * CLASSES];
                logits[at] = bad;
                match Posterior::new(CLASSES, &logits) {
                    Err(PerceptionError::NotFinite { class, pixel, .. }) => {
                        assert_eq!((class, pixel), (at / 70, at % 70));
                    }
                    other => panic!("{bad} at {at}: {other:?}"),
                }
            }
        }
    }
}
