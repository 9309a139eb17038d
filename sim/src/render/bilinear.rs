//! Bilinear interpolation of four-byte texels at eight places at once, in 16-bit fixed point: what texture lookups and the lens share.

#![allow(clippy::inline_always, reason = "the innermost loops; vectors must stay in registers")]

use wide::{f32x8, i32x8, u16x16, u32x8, u64x4};

/// For eight places, the texel there and its neighbour to the right. `pair(i)` reads both of place `i`.
#[inline(always)]
pub(crate) fn pairs(pair: impl Fn(usize) -> [u32; 2]) -> [u32x8; 2] {
    // Neighbours travel in one 64-bit read; afterwards even and odd places are zipped.
    let read = |i| bytemuck::cast::<[u32; 2], u64>(pair(i));
    let even = u64x4::new([read(0), read(2), read(4), read(6)]);
    let odd = u64x4::new([read(1), read(3), read(5), read(7)]);
    let low = u64x4::splat(u64::from(u32::MAX));
    [bytemuck::cast((even & low) | (odd << 32)), bytemuck::cast((even >> 32) | (odd & !low))]
}

/// Weights in whole 1/256 (0 to 256), twice per place, as [`blend`] takes them.
#[inline(always)]
pub(crate) fn weights(of_256: f32x8) -> u16x16 {
    // 65537 w is w in both halves, exact in f32.
    bytemuck::cast::<i32x8, u16x16>((of_256 * f32x8::splat(65537.0)).fast_trunc_int())
}

/// Between a row's pairs and those of the row below, `across` the pairs and `down` the rows: bytes 0 and 2 of each texel, then bytes 1
/// and 3, times 256. `rounding` is added before the first of two divisions by 256: 128 rounds, 0 truncates.
#[inline(always)]
pub(crate) fn blend(rows: [[u32x8; 2]; 2], across: u16x16, down: u16x16, rounding: u16) -> [u16x16; 2] {
    let whole = u16x16::splat(256);
    let (left, up) = (whole - across, whole - down);
    // Shifts take a vector of counts, which AVX2 has in one instruction; scalar counts travel through memory.
    let (low, eight, rounding) = (u32x8::splat(0x00ff_00ff), u32x8::splat(8), u16x16::splat(rounding));
    let halves = |v: u32x8| bytemuck::cast::<u32x8, u16x16>(v);
    let divided = |v: u16x16| halves(bytemuck::cast::<u16x16, u32x8>(v) >> eight & low);
    let across = |a: u32x8, b: u32x8| divided(halves(a) * left + halves(b) * across + rounding);
    let [[a, b], [c, d]] = rows;
    let even = across(a & low, b & low) * up + across(c & low, d & low) * down;
    let odd = across(a >> eight & low, b >> eight & low) * up + across(c >> eight & low, d >> eight & low) * down;
    [even, odd]
}
