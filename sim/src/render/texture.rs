//! Tile-able material textures from an integer hash. A texel holds, from the low byte: mottle, vessels (or other features), and the
//! surface's slope along the two texture axes (128 is flat).

use crate::scene::noise::{hash, mix, smoothstep, unit};

/// Texels per side of a tile.
pub(crate) const SIDE: usize = 256;
/// Row stride: one repeated column, so that a texel and its right neighbour are read together.
pub(crate) const STRIDE: usize = SIDE + 1;

/// A power of two beyond the last place in a tile: an index masked by it needs no further check.
pub(crate) const WINDOW: usize = 1 << 17;

/// A tile's texels, and what follows them, so that any place below [`WINDOW`] has its right and lower neighbours.
pub(crate) type Texels = [u32; WINDOW + STRIDE + 1];

/// Which tile a material uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Tile {
    /// Fine-grained, almost no vessels.
    Parenchyma,
    /// Smooth with a branching net of vessels.
    Serosa,
    /// Lobules with dark seams.
    Fat,
    /// Brushed along v, scratched.
    Metal,
}

impl Tile {
    /// Of the tissue with this index in `Appearance::tissue`.
    pub(crate) fn of_tissue(index: usize) -> Self {
        match index {
            1 => Self::Parenchyma,
            5 => Self::Fat,
            _ => Self::Serosa,
        }
    }
}

const TILES: [Tile; 4] = [Tile::Parenchyma, Tile::Serosa, Tile::Fat, Tile::Metal];

/// Every tile, one after the other.
pub(crate) struct Textures {
    texels: Vec<u32>,
}

/// Periodic value noise in [0, 1]: `cells` lattice cells across the tile, stretched by `aspect` along v.
fn noise(x: f32, y: f32, cells: u32, seed: u32) -> f32 {
    let k = cells as f32 / SIDE as f32;
    let (x, y) = (x * k, y * k);
    let (fx, fy) = (x.floor(), y.floor());
    let s = |t: f32| t * t * (3.0 - 2.0 * t);
    let (tx, ty) = (s(x - fx), s(y - fy));
    let n = cells as i32;
    let g = |dx: i32, dy: i32| unit(hash((fx as i32 + dx).rem_euclid(n), (fy as i32 + dy).rem_euclid(n), 0, seed));
    mix(mix(g(0, 0), g(1, 0), tx), mix(g(0, 1), g(1, 1), tx), ty)
}

/// Periodic cellular noise: distance to the nearest jittered point, in cells.
fn cells(x: f32, y: f32, count: u32, seed: u32) -> (f32, f32) {
    let k = count as f32 / SIDE as f32;
    let (x, y) = (x * k, y * k);
    let (ix, iy, n) = (x.floor() as i32, y.floor() as i32, count as i32);
    let (mut first, mut second) = (9.0f32, 9.0f32);
    for dy in -1..=1 {
        for dx in -1..=1 {
            let (cx, cy) = ((ix + dx).rem_euclid(n), (iy + dy).rem_euclid(n));
            let px = (ix + dx) as f32 + 0.1 + 0.8 * unit(hash(cx, cy, 1, seed));
            let py = (iy + dy) as f32 + 0.1 + 0.8 * unit(hash(cx, cy, 2, seed));
            let d = ((px - x) * (px - x) + (py - y) * (py - y)).sqrt();
            if d < first {
                second = first;
                first = d;
            } else {
                second = second.min(d);
            }
        }
    }
    (first, second)
}

/// Branching vessels: random walks that taper and fork, drawn with soft edges. `count` trunks of `width` texels.
fn vessels(count: u32, width: f32, length: f32, seed: u32) -> Vec<f32> {
    let mut plane = vec![0.0f32; SIDE * SIDE];
    let random = |i: u32, k: i32| unit(hash(i as i32, k, 7, seed));
    // Position, heading, width, remaining length, number (for the hash).
    let mut open: Vec<([f32; 2], f32, f32, f32, u32)> = (0..count)
        .map(|i| {
            let side = SIDE as f32;
            (
                [random(i, 0) * side, random(i, 1) * side],
                random(i, 2) * 6.3,
                width * (0.6 + 0.6 * random(i, 3)),
                length,
                i + 1,
            )
        })
        .collect();
    let mut number = count + 1;
    while let Some((mut p, mut heading, mut w, mut left, id)) = open.pop() {
        let total = left;
        let mut step = 0;
        while left > 0.0 && w > 0.28 {
            stamp(&mut plane, p, w, (left / total * 4.0).min(1.0) * (0.45 + 0.55 * (w / width).min(1.0)));
            let bend = noise(p[0], p[1], 16, seed ^ id) - 0.5;
            heading += 0.10 * bend + 0.34 * (random(id, 100 + step) - 0.5);
            p = [p[0] + 0.8 * libm::cosf(heading), p[1] + 0.8 * libm::sinf(heading)];
            left -= 0.8;
            w -= width * 0.8 / length * 0.55;
            if random(id, 5000 + step) < 0.022 && number < count * 9 {
                let away = if random(id, 9000 + step) < 0.5 { -1.0 } else { 1.0 };
                open.push((p, heading + away * (0.45 + 0.5 * random(number, 4)), w * 0.72, left * 0.75, number));
                number += 1;
            }
            step += 1;
        }
    }
    plane
}

/// A soft dot of radius `r` at `p`, on the torus; keeps the stronger value.
fn stamp(plane: &mut [f32], p: [f32; 2], r: f32, strength: f32) {
    let reach = r.ceil() as i32 + 1;
    let (cx, cy) = (p[0].floor() as i32, p[1].floor() as i32);
    let n = SIDE as i32;
    for y in cy - reach..=cy + reach {
        for x in cx - reach..=cx + reach {
            let d = ((x as f32 - p[0]) * (x as f32 - p[0]) + (y as f32 - p[1]) * (y as f32 - p[1])).sqrt();
            let v = strength * (1.0 - smoothstep(r - 0.6, r + 0.7, d));
            let slot = &mut plane[(y.rem_euclid(n) * n + x.rem_euclid(n)) as usize];
            *slot = slot.max(v);
        }
    }
}

/// Mottle, feature and height of a tile at a texel; `net` is the tile's vessels there.
fn sample(tile: Tile, x: f32, y: f32, net: f32) -> (f32, f32, f32) {
    let n = |c: u32, s: u32| noise(x, y, c, s);
    match tile {
        Tile::Parenchyma => {
            let mottle = 0.42 * n(5, 1) + 0.23 * n(17, 2) + 0.17 * n(52, 3) + 0.18 * n(120, 4);
            let feature = (0.5 * net).max(0.35 * smoothstep(0.74, 0.92, n(34, 5)));
            (mottle, feature, 1.9 * n(9, 6) + 0.9 * n(23, 7) + 0.42 * n(57, 8) + 0.16 * n(120, 9))
        }
        Tile::Serosa => {
            let mottle = 0.55 * n(4, 11) + 0.28 * n(11, 12) + 0.17 * n(41, 13);
            (mottle, net, 2.2 * n(6, 14) + 0.7 * n(19, 15) + 0.30 * n(58, 16) + 0.12 * net)
        }
        Tile::Fat => {
            let (a, b) = cells(x + 16.0 * (n(9, 21) - 0.5), y + 16.0 * (n(9, 22) - 0.5), 9, 40);
            let seam = 1.0 - smoothstep(0.0, 0.30, b - a);
            let mottle = 0.40 * (1.0 - a.min(1.0)) + 0.38 * n(6, 23) + 0.22 * n(31, 24);
            (mottle, (0.45 * seam).max(net), 2.6 * (1.0 - (a * a).min(1.0)) + 0.9 * n(21, 25) + 0.3 * n(64, 26))
        }
        Tile::Metal => {
            let brushed = noise(x, 0.0, 128, 41);
            let wear = 0.6 * n(7, 42) + 0.4 * n(23, 43);
            let scratch = (0.6 * smoothstep(0.80, 0.95, n(90, 44))).max(0.5 * smoothstep(0.66, 0.85, n(9, 45)));
            (0.35 * brushed + 0.65 * wear, scratch, 0.22 * brushed + 0.5 * n(17, 46) + 0.12 * n(90, 47))
        }
    }
}

impl Textures {
    pub(crate) fn new() -> Self {
        let mut texels = vec![0u32; (TILES.len() - 1) * STRIDE * STRIDE + size_of::<Texels>() / 4];
        for tile in TILES {
            let net = match tile {
                Tile::Parenchyma => vessels(2, 1.3, 110.0, 20),
                Tile::Serosa => vessels(6, 1.7, 170.0, 30),
                Tile::Fat => vessels(3, 1.2, 120.0, 33),
                Tile::Metal => vec![0.0; SIDE * SIDE],
            };
            let values: Vec<(f32, f32, f32)> = net
                .iter()
                .enumerate()
                .map(|(i, net)| sample(tile, (i % SIDE) as f32, (i / SIDE) as f32, *net))
                .collect();
            let base = tile as usize * STRIDE * STRIDE;
            for y in 0..STRIDE {
                for x in 0..STRIDE {
                    let get = |x: usize, y: usize| values[(y % SIDE) * SIDE + x % SIDE];
                    let (mottle, feature, _) = get(x, y);
                    let slope = |a: (f32, f32, f32), b: (f32, f32, f32)| 0.5 + 1.6 * (a.2 - b.2);
                    let u = slope(get(x + 1, y), get(x + SIDE - 1, y));
                    let v = slope(get(x, y + 1), get(x, y + SIDE - 1));
                    let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u32;
                    texels[base + y * STRIDE + x] = byte(mottle) | byte(feature) << 8 | byte(u) << 16 | byte(v) << 24;
                }
            }
        }
        Self { texels }
    }

    /// The texels of a tile.
    pub(crate) fn tile(&self, tile: Tile) -> &Texels {
        let base = tile as usize * STRIDE * STRIDE;
        self.texels[base..].first_chunk().expect("room for a window behind every tile was allocated")
    }
}
