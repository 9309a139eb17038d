//! From surface samples to colour, sixteen pixels at a time. Every operation is plain IEEE arithmetic, so a picture has the same bits
//! on every x86-64 and for every thread count.

#![allow(
    clippy::needless_range_loop,
    clippy::inline_always,
    reason = "lanes and channels of several arrays at once, in the hot loop"
)]

use super::{
    appearance::{Appearance, Surface},
    foreign::{FIRST_FOREIGN, Foreign, MOST_FOREIGN},
    lanes::{F, I, RUN, U, clamp01, inverse_root, mix, ramp, rough_inverse_root, s},
    lookup::{Skin, lookup, lookup_mottle},
    raster::Pinhole,
    sight::{Ray, Sight, Slant},
    texture::{Textures, Tile},
    tone::Tones,
};
use crate::scene::noise::{hash, smoothstep, unit};
use proctor_types::{Class, anatomy::UNKNOWN};

/// Distance at which `Appearance::light` is meant, mm.
const REFERENCE: f32 = 90.0;
/// Materials: 0 nothing, 1..=6 tissue by class, then three parts for each of eight instruments, then foreign objects; a power of two.
pub(crate) const MATERIALS: usize = 64;
/// Material of the first foreign object.
const FOREIGN: usize = 8 + 3 * 8;
const _: () = assert!(FOREIGN + MOST_FOREIGN <= MATERIALS);
/// Side of the coarse grid that holds blood on the lens, pixels.
pub(super) const LENS_CELL: usize = 16;
/// Average colour that metal mirrors.
const SURROUNDINGS: [f32; 3] = [0.55, 0.30, 0.24];
/// Light that smoke scatters back.
pub(super) const SMOKE: [f32; 3] = [0.40, 0.38, 0.38];
/// What blood on the lens lets through.
pub(super) const STAIN: [f32; 3] = [0.75, 0.06, 0.05];
/// What it adds.
pub(super) const STAIN_ITSELF: [f32; 3] = [0.05, 0.0, 0.0];

/// Material number of a part of an instrument (instance counts from 1).
pub(crate) fn instrument_material(instance: u8, class: Class) -> f32 {
    f32::from(8 + 3 * (instance.clamp(1, 8) - 1) + (class.id() - Class::InstrumentShaft.id()))
}

/// Material number of a foreign object.
pub(crate) fn foreign_material(index: usize) -> f32 {
    (FOREIGN + index) as f32
}

#[derive(Clone, Copy)]
struct Material {
    class: u8,
    instance: u8,
    surface: Surface,
    tile: Tile,
    metal: bool,
}

/// Everything that is constant over a picture.
pub(crate) struct Shader<'a> {
    look: &'a Appearance,
    textures: &'a Textures,
    materials: [Material; MATERIALS],
    pinhole: Pinhole,
    /// Columns: right, down and forward of the camera in the world.
    world: [[f32; 3]; 3],
    tones: &'a Tones,
    smoke: f32,
    smoke_shift: [f32; 2],
    lens: Vec<f32>,
    specks: Vec<f32>,
    lens_columns: usize,
}

/// What a run of pixels shows.
pub(crate) struct Shown {
    /// RGBX bytes.
    pub colour: [u32; RUN],
    /// Millimetres, 0 where nothing is seen.
    pub depth: [f32; RUN],
    /// One byte per pixel, the first pixel's the lowest.
    pub class: u128,
    pub instance: u128,
}

impl Shown {
    /// Black, without truth.
    pub(crate) const NOTHING: Self = Self { colour: [0; RUN], depth: [0.0; RUN], class: 0, instance: 0 };

    /// Says that the pixels of a bit mask show a material.
    fn mark(&mut self, m: &Material, pixels: u32) {
        let spread = if pixels == 0xffff {
            u128::from_le_bytes([1; RUN])
        } else {
            (0..RUN).fold(0, |bytes, i| bytes | u128::from(pixels >> i & 1) << (8 * i))
        };
        self.class |= spread * u128::from(m.class);
        self.instance |= spread * u128::from(m.instance);
    }
}

impl<'a> Shader<'a> {
    pub(crate) fn new(
        (look, foreign): (&'a Appearance, &[Foreign]),
        (textures, tones): (&'a Textures, &'a Tones),
        pinhole: Pinhole,
        world: [[f32; 3]; 3],
        seq: u64,
        (smoke, lens_blood): (f32, f32),
    ) -> Self {
        let nothing = Material { class: 0, instance: 0, surface: look.tissue[0], tile: Tile::Serosa, metal: false };
        let mut materials = [nothing; MATERIALS];
        for (i, surface) in look.tissue.iter().enumerate() {
            let tile = Tile::of_tissue(i);
            materials[i + 1] = Material {
                class: i as u8 + 1,
                instance: 0,
                surface: wetted(surface, look.wetness),
                tile,
                metal: false,
            };
        }
        for (i, m) in materials[8..FOREIGN].iter_mut().enumerate() {
            let part = i % 3;
            *m = Material {
                class: Class::InstrumentShaft.id() + part as u8,
                instance: (i / 3) as u8 + 1,
                surface: look.instrument[part],
                tile: Tile::Metal,
                metal: true,
            };
        }
        for (i, (m, object)) in materials[FOREIGN..].iter_mut().zip(foreign).enumerate() {
            let (surface, tile) = (object.surface(), object.tile());
            *m = Material { class: UNKNOWN, instance: FIRST_FOREIGN + i as u8, surface, tile, metal: object.metal };
        }
        let lens_columns = pinhole.width / LENS_CELL + 2;
        let grid = (lens_columns, pinhole.height / LENS_CELL + 2);
        let lens = if lens_blood > 0.0 { lens_film(look.seed, grid, lens_blood, &BLOOD) } else { Vec::new() };
        let dirt = look.lens_dirt;
        let specks = if dirt > 0.0 { lens_film(look.seed ^ 0xD127, grid, dirt, &DIRT) } else { Vec::new() };
        let drift = seq as f32 * 0.9;
        Self {
            look,
            textures,
            materials,
            pinhole,
            world,
            tones,
            smoke: smoke.clamp(0.0, 1.0),
            smoke_shift: [drift % 256.0, (drift * 0.37) % 256.0],
            lens,
            specks,
            lens_columns,
        }
    }

    /// Whether no pixel of the run `x..x+RUN` of row `y` lies in the field of view.
    pub(crate) fn outside(&self, x: usize, y: usize) -> bool {
        let (cx, cy) = self.centre();
        let dx = (cx.clamp(x as f32, (x + RUN - 1) as f32)) - cx;
        let dy = y as f32 - cy;
        dx * dx + dy * dy >= self.look.circle * self.look.circle
    }

    fn centre(&self) -> (f32, f32) {
        (
            (self.pinhole.width - 1) as f32 * 0.5 + self.look.circle_offset[0],
            (self.pinhole.height - 1) as f32 * 0.5 + self.look.circle_offset[1],
        )
    }

    /// Shades pixels `x..x+RUN` of row `y`; `g` is what they show, part by part of a sample.
    pub(crate) fn shade(&self, x: usize, y: usize, g: &[F; 8]) -> Shown {
        let one = s(1.0);
        let columns = s(x as f32) + F::from(std::array::from_fn::<f32, RUN, _>(|i| i as f32));
        let (cx, cy) = self.centre();
        let (rx, ry) = (columns - s(cx), y as f32 - cy);
        let r2 = (rx * rx + s(ry * ry)) * s(1.0 / (self.look.circle * self.look.circle));
        let inside = r2.simd_lt(one);
        let seen = inside & g[7].simd_gt(s(0.5));

        let py = (y as f32 - self.pinhole.cy) / self.pinhole.fy;
        let [_, down, forward] = self.world;
        let sight = Sight {
            z: one / g[0],
            near: g[0],
            px: (columns - s(self.pinhole.cx)) * s(1.0 / self.pinhole.fx),
            row2: py * py + 1.0,
            row: std::array::from_fn(|k| down[k] * py + forward[k]),
        };
        let lamp = sight.from(self.aside());
        let mut out = Shown { colour: [0; RUN], depth: (seen & sight.z).to_array(), class: 0, instance: 0 };
        let mut light = [s(0.0); 3];
        // Usually one material; at silhouettes each is shaded for the whole run and its own are kept.
        let number = g[7].fast_trunc_int();
        let mut left = seen.to_bitmask();
        while left != 0 {
            let first = number.as_array()[left.trailing_zeros() as usize];
            let material = &self.materials[first as usize % MATERIALS];
            let colour = self.surface(material, g, &sight, &lamp);
            let own = bytemuck::cast::<I, F>(number.simd_eq(I::splat(first))) & seen;
            for c in 0..3 {
                light[c] = own.bitselect(colour[c], light[c]);
            }
            let mine = own.to_bitmask();
            out.mark(material, mine);
            left &= !mine;
        }

        // Light from the scope: inverse square (limited close up) with a flattened share, vignette.
        let closeness = s(REFERENCE) * g[0] * lamp.inverse;
        let square = (closeness * closeness).fast_min(s(1.0 / 0.06));
        let fall = self.look.fall_off;
        let arriving = s(self.look.light) * (s(fall) * square + s(1.0 - fall)) * (one - s(self.look.vignette) * r2);
        for l in &mut light {
            *l *= arriving;
        }
        if self.smoke > 0.0 {
            self.add_smoke(&mut light, sight.z, columns, y, seen.to_bitmask());
        }
        if !self.lens.is_empty() {
            self.add_lens_blood(&mut light, x, y);
        }
        if !self.specks.is_empty() {
            self.add_lens_dirt(&mut light, x, y);
        }
        let grey = (light[0] * s(0.3) + light[1] * s(0.59) + light[2] * s(0.11)) * s(1.0 - self.look.saturation);
        let gain = self.look.balance.map(|b| s(b * self.look.exposure));
        let exposed = |c: usize| (light[c] * s(self.look.saturation) + grey) * gain[c];
        let colour = self.tones.bytes([exposed(0), exposed(1), exposed(2)]);
        // A pixel outside the circle, or one that sees nothing, is black (smoke included in the latter).
        let lit = if self.smoke > 0.0 { inside } else { seen };
        out.colour = (U::from(colour) & bytemuck::cast::<F, U>(lit)).to_array();
        out
    }

    /// How far right of the eye the light leaves the scope, mm.
    fn aside(&self) -> f32 {
        self.pinhole.light - self.pinhole.shift
    }

    /// Reflected light of one material for unit arriving light.
    #[inline]
    fn surface(&self, m: &Material, g: &[F; 8], sight: &Sight, lamp: &Ray) -> [F; 3] {
        let (zero, one) = (s(0.0), s(1.0));
        let (f, z) = (&m.surface, sight.z);
        let open = clamp01((g[7] - g[7].floor() - s(0.05)) * s(1.0 / 0.9));
        let t = [g[4] * z, g[5] * z, g[6] * z];
        let il = rough_inverse_root((g[1] * g[1] + g[2] * g[2] + g[3] * g[3]).fast_max(s(1e-20)));
        let n = [g[1] * il, g[2] * il, g[3] * il];
        let tile = self.textures.tile(m.tile);
        let scale = s(f.texels_per_mm);
        let at = [t[0] * scale, t[1] * scale, t[2] * scale];
        let mut skin = Skin { value: [zero; 2], slope: [zero; 3] };
        if m.metal {
            let [a, b, u, v] = lookup(tile, at[0] + at[1], at[2]);
            skin = Skin { value: [a, b], slope: [u, u, v] };
        } else {
            let w = n.map(|n| {
                let a = (n.abs() - s(0.48)).fast_max(zero);
                a * a
            });
            let total = one / (w[0] + w[1] + w[2]).fast_max(s(1e-9));
            skin.add::<1, 2>(tile, &at, w[0], total);
            skin.add::<0, 2>(tile, &at, w[1], total);
            skin.add::<0, 1>(tile, &at, w[2], total);
        }
        let Skin { value, slope } = skin;
        // Bump: tilt the normal against the slope's tangential part.
        let along = slope[0] * n[0] + slope[1] * n[1] + slope[2] * n[2];
        let bump = s(f.bump);
        let mut tilted = [zero; 3];
        for k in 0..3 {
            tilted[k] = n[k] - bump * (slope[k] - n[k] * along);
        }
        let il = inverse_root(tilted[0] * tilted[0] + tilted[1] * tilted[1] + tilted[2] * tilted[2]);
        let slant = |n: &[F; 3], inverse: F| Slant::new(n, inverse, &self.world[0], &sight.row);
        let smooth_ndl = slant(&n, one).facing(lamp);
        let rough_slant = slant(&tilted, il);
        let ndl = rough_slant.facing(lamp);
        // The direction half-way between eye and light is all but opposite to the half vector: they stand so near each other.
        let ndh = rough_slant.facing(&sight.from(0.5 * self.aside()));

        let mut rough = s(f.roughness);
        let mut specular = s(f.specular);
        let feature = value[1] * s(f.feature_strength);
        let mut albedo = [zero; 3];
        for c in 0..3 {
            albedo[c] = mix(mix(s(f.dark[c]), s(f.light[c]), value[0]), s(f.feature[c]), feature);
        }
        let covered = if m.metal { self.look.dirt } else { self.look.blood };
        if covered > 0.0 {
            // Blood: large soft-edged blotches, seen from above; dark, smooth, glossy.
            let a = lookup_mottle(
                self.textures.tile(Tile::Serosa),
                (t[0] + t[2] * s(0.4)) * s(3.1),
                (t[1] + t[2] * s(0.4)) * s(3.1),
            );
            let wet = ramp(a, 0.74 - 0.5 * covered, 0.06) * s(0.85);
            for c in 0..3 {
                albedo[c] = mix(albedo[c], albedo[c] * s([0.45, 0.10, 0.10][c]) + s([0.075, 0.002, 0.002][c]), wet);
            }
            rough = mix(rough, s(0.14), wet);
            specular = mix(specular, s(0.06), wet);
        }

        // GGX; eye and light stand so near each other that half vector, view and light make the same angle with the normal.
        let a2 = rough * rough;
        let n2 = ndh * ndh;
        let d = n2 * (a2 - one) + one;
        let d2 = d * d;
        let lobe = a2 * specular * s(0.25) * rough_inverse_root(d2 * d2 * (n2 * (one - a2) + a2));
        let gloss = lobe * open;
        // Darker towards silhouettes than Lambert: light that enters wet tissue obliquely comes out elsewhere.
        let body = ndl * (s(0.62) + s(0.38) * smooth_ndl) * open;
        let mirrored = if m.metal {
            // Metal mirrors the red surroundings below and around it, and darkness above.
            let eye = sight.from(0.0);
            let ray = (eye.x * s(self.world[0][2]) + s(sight.row[2])) * eye.inverse;
            let up = tilted[2] * il * s(2.0) * rough_slant.facing(&eye) + ray;
            s(self.look.reflection) * specular.fast_min(one) * clamp01(s(0.30) - s(0.70) * up)
        } else {
            zero
        };
        let inter = s(self.look.ambient) * (s(0.35) + s(0.65) * open);
        let mut out = [zero; 3];
        for c in 0..3 {
            out[c] =
                (albedo[c] * (body + inter) + gloss + mirrored * s(SURROUNDINGS[c])) * s(self.look.light_colour[c]);
        }
        out
    }

    /// Grey scatter that grows with distance, in drifting wisps.
    fn add_smoke(&self, light: &mut [F; 3], z: F, columns: F, y: usize, seen: u32) {
        let a = lookup_mottle(
            self.textures.tile(Tile::Serosa),
            columns * s(0.11) + s(self.smoke_shift[0]),
            s(y as f32 * 0.11 + self.smoke_shift[1]),
        );
        let far = if seen == 0 { s(150.0) } else { z.fast_min(s(150.0)) };
        let thickness = far * (s(0.35) + a * s(1.1)) * s(1.0 / 90.0);
        let through = s(1.0 - self.smoke);
        // (1 - smoke)^thickness, rational: exact at 0 and 1 and monotone between.
        let kept = through / (through + (s(1.0) - through) * thickness);
        for (c, l) in light.iter_mut().enumerate() {
            *l = *l * kept + s(SMOKE[c] * self.look.light) * (s(1.0) - kept);
        }
    }

    /// Coverage of a run of pixels by a film on the lens.
    fn film(&self, film: &[f32], x: usize, y: usize) -> F {
        let (row, fy) = (y / LENS_CELL, (y % LENS_CELL) as f32 / LENS_CELL as f32);
        F::from(std::array::from_fn::<f32, RUN, _>(|i| {
            let (col, fx) = ((x + i) / LENS_CELL, ((x + i) % LENS_CELL) as f32 / LENS_CELL as f32);
            let at = |dx: usize, dy: usize| film[(row + dy) * self.lens_columns + col + dx];
            let (p, q) = (at(0, 0) + (at(1, 0) - at(0, 0)) * fx, at(0, 1) + (at(1, 1) - at(0, 1)) * fx);
            p + (q - p) * fy
        }))
    }

    /// Blood on the lens: out of focus, so a smooth film that swallows green and blue first.
    fn add_lens_blood(&self, light: &mut [F; 3], x: usize, y: usize) {
        let film = self.film(&self.lens, x, y);
        let grey = (light[0] + light[1] + light[2]) * s(1.0 / 3.0);
        for (c, l) in light.iter_mut().enumerate() {
            let stained = (*l * s(0.3) + grey * s(0.2)) * s(STAIN[c]) + s(STAIN_ITSELF[c]);
            *l = mix(*l, stained, film);
        }
    }

    /// Specks and smears on the lens: too near to be in focus, they take light and scatter a pale veil.
    fn add_lens_dirt(&self, light: &mut [F; 3], x: usize, y: usize) {
        let film = self.film(&self.specks, x, y) * s(0.75);
        for (c, l) in light.iter_mut().enumerate() {
            *l = mix(*l, *l * s(0.35) + s([0.13, 0.115, 0.095][c] * self.look.light), film);
        }
    }
}

/// A tissue's surface, wetter or drier: water is smooth and mirrors.
fn wetted(surface: &Surface, wetness: f32) -> Surface {
    if wetness == 1.0 {
        return *surface;
    }
    let roughness = (surface.roughness * libm::exp2f(1.0 - wetness)).clamp(0.05, 0.9);
    Surface { roughness, specular: surface.specular * (0.15 + 0.85 * wetness), ..*surface }
}

/// What a lens film is made of: how many drops, their least and further radius in cells.
pub(super) struct Drops {
    count: i32,
    radius: [f32; 2],
}

pub(super) const BLOOD: Drops = Drops { count: 7, radius: [1.5, 9.0] };
const DIRT: Drops = Drops { count: 9, radius: [3.2, 5.0] };

/// Coverage of the lens, 0..1, on a coarse grid: round drops that merge and grow with the amount.
pub(super) fn lens_film(seed: u32, (columns, rows): (usize, usize), amount: f32, of: &Drops) -> Vec<f32> {
    let drops: Vec<[f32; 3]> = (0..of.count)
        .map(|i| {
            let r = |k: i32| unit(hash(i, k, 3, seed));
            let radius = of.radius[0] + of.radius[1] * r(2);
            [r(0) * columns as f32, r(1) * rows as f32, radius * (0.25 + 1.9 * amount)]
        })
        .collect();
    let mut film = Vec::with_capacity(columns * rows);
    for y in 0..rows {
        for x in 0..columns {
            let field: f32 = drops
                .iter()
                .map(|[dx, dy, r]| {
                    let d2 = (x as f32 - dx) * (x as f32 - dx) + (y as f32 - dy) * (y as f32 - dy);
                    r * r / (d2 + 0.3 * r * r)
                })
                .sum();
            film.push(smoothstep(0.8, 2.0, field).max(smoothstep(0.75, 1.0, amount)));
        }
    }
    film
}
