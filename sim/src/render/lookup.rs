//! Texture lookups of a run of pixels.

#![allow(clippy::inline_always, reason = "the innermost loops; vectors must stay in registers")]

use super::{
    bilinear,
    lanes::{F, I, s},
    texture::{SIDE, STRIDE, Texels, WINDOW},
};
use wide::{f32x8, i32x8, u16x16, u32x8};

/// What a texture says, summed over the planes it is projected along: mottle and feature, and the slope along each axis.
pub(crate) struct Skin {
    pub value: [F; 2],
    pub slope: [F; 3],
}

impl Skin {
    /// The plane of axes A and B, with a weight, if any pixel sees it.
    #[inline(always)]
    pub(crate) fn add<const A: usize, const B: usize>(&mut self, tile: &Texels, at: &[F; 3], weight: F, scale: F) {
        if weight.simd_gt(s(0.0)).to_bitmask() == 0 {
            return;
        }
        let [p, q, u, v] = lookup(tile, at[A], at[B]);
        let k = weight * scale;
        self.value[0] += p * k;
        self.value[1] += q * k;
        self.slope[A] += u * k;
        self.slope[B] += v * k;
    }
}

/// Bilinear texels at (u, v), repeated: mottle and feature in 0..1, slopes in -1..1.
#[inline(always)]
pub(crate) fn lookup(tile: &Texels, u: F, v: F) -> [F; 4] {
    let [a, b] = places(u, v);
    let (a, b) = (a.texels(tile), b.texels(tile));
    let joined = |k: usize| bytemuck::cast::<[f32x8; 2], F>([a[k], b[k]]);
    let unsigned = |k: usize| joined(k) * s(1.0 / 65280.0);
    let signed = |k: usize| joined(k) * s(2.0 / 65280.0) - s(1.0);
    [unsigned(0), unsigned(1), signed(2), signed(3)]
}

/// Bilinear mottle at (u, v), 0..1.
#[inline(always)]
pub(crate) fn lookup_mottle(tile: &Texels, u: F, v: F) -> F {
    let [a, b] = places(u, v);
    bytemuck::cast::<[f32x8; 2], F>([a.mottle(tile), b.mottle(tile)]) * s(1.0 / 255.0)
}

/// Eight places in a tile.
struct Places {
    /// Index of the texel up and left.
    at: [i32; 8],
    /// Position between it and its neighbours in whole 1/256.
    across: f32x8,
    down: f32x8,
}

/// Where (u, v) lie in a tile, repeated.
#[inline(always)]
fn places(u: F, v: F) -> [Places; 2] {
    let (wu, wv) = (u.floor(), v.floor());
    let whole = |f: F| f.fast_trunc_int() & I::splat(SIDE as i32 - 1);
    let between = |f: F, whole: F| bytemuck::cast::<F, [f32x8; 2]>(((f - whole) * s(256.0)).floor());
    let ([a, b], [across_a, across_b], [down_a, down_b]) = (
        bytemuck::cast::<I, [[i32; 8]; 2]>(whole(wv) * I::splat(STRIDE as i32) + whole(wu)),
        between(u, wu),
        between(v, wv),
    );
    [Places { at: a, across: across_a, down: down_a }, Places { at: b, across: across_b, down: down_b }]
}

impl Places {
    /// The texel there and its right neighbour, in the row there or the one below.
    #[inline(always)]
    fn row(&self, tile: &Texels, below: usize) -> [u32x8; 2] {
        bilinear::pairs(|i| {
            let from = self.at[i] as usize % WINDOW + below * STRIDE;
            [tile[from], tile[from + 1]]
        })
    }

    /// Mottle, feature and both slopes, 0..65280.
    #[inline(always)]
    fn texels(&self, tile: &Texels) -> [f32x8; 4] {
        let rows = [self.row(tile, 0), self.row(tile, 1)];
        let [even, odd] = bilinear::blend(rows, bilinear::weights(self.across), bilinear::weights(self.down), 0);
        let (even, odd) = (bytemuck::cast::<u16x16, u32x8>(even), bytemuck::cast::<u16x16, u32x8>(odd));
        let (first, sixteen) = (u32x8::splat(0xffff), u32x8::splat(16));
        [float(even & first), float(odd & first), float(even >> sixteen), float(odd >> sixteen)]
    }

    /// Mottle, 0..255.
    #[inline(always)]
    fn mottle(&self, tile: &Texels) -> f32x8 {
        let (across, down) = (self.across * f32x8::splat(1.0 / 256.0), self.down * f32x8::splat(1.0 / 256.0));
        let part = |texel: u32x8| float(texel & u32x8::splat(255));
        let mix = |[a, b]: [f32x8; 2], t: f32x8| a + (b - a) * t;
        let ([a, b], [c, d]) = (self.row(tile, 0), self.row(tile, 1));
        mix([mix([part(a), part(b)], across), mix([part(c), part(d)], across)], down)
    }
}

#[inline(always)]
fn float(v: u32x8) -> f32x8 {
    f32x8::from_i32x8(bytemuck::cast::<u32x8, i32x8>(v))
}
