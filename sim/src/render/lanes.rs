//! The vectors that pixels are shaded in. Every operation is plain IEEE arithmetic: no fused multiply-add, no approximate reciprocals.

#![allow(clippy::inline_always, reason = "the innermost loops; vectors must stay in registers")]

use wide::{f32x16, i32x16, u32x16};

/// Pixels shaded at a time. Sixteen rather than the eight of a register: the chains of dependent operations are long, and two of them
/// side by side keep the processor busy.
pub(crate) const RUN: usize = 16;
pub(crate) type F = f32x16;
pub(crate) type I = i32x16;
pub(crate) type U = u32x16;

pub(crate) fn s(v: f32) -> F {
    F::splat(v)
}

pub(crate) fn mix(a: F, b: F, t: F) -> F {
    a + (b - a) * t
}

pub(crate) fn clamp01(v: F) -> F {
    v.fast_max(s(0.0)).fast_min(s(1.0))
}

/// Smooth step of the whole pixel's soft threshold: 0 below `edge`, 1 above `edge + width`.
pub(crate) fn ramp(v: F, edge: f32, width: f32) -> F {
    clamp01((v - s(edge)) * s(1.0 / width))
}

/// One over the square root to 7e-4 either way, for positive normal numbers: the float's bits halved as a first guess, one Newton step
/// with constants that balance the error. Cheaper than a root and a division, and the same bits everywhere, which the processor's
/// own approximation is not.
#[inline(always)]
pub(crate) fn rough_inverse_root(v: F) -> F {
    let guess = I::splat(0x5f1f_fff9) - (bytemuck::cast::<F, I>(v) >> I::splat(1));
    let r = bytemuck::cast::<I, F>(guess);
    r * s(0.703_952_25) * (s(2.389_244_6) - v * r * r)
}

/// The same to 1e-6, by another step.
#[inline(always)]
pub(crate) fn inverse_root(v: F) -> F {
    let r = rough_inverse_root(v);
    r * (s(1.5) - s(0.5) * v * r * r)
}
