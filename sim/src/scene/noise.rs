//! Deterministic noise from an integer hash: the same on every machine, no tables, no libm.

/// Avalanche of a lattice point and a seed.
pub(crate) fn hash(x: i32, y: i32, z: i32, seed: u32) -> u32 {
    let mut v = (x as u32).wrapping_mul(0x9E37_79B1)
        ^ (y as u32).wrapping_mul(0x85EB_CA77)
        ^ (z as u32).wrapping_mul(0xC2B2_AE3D)
        ^ seed.wrapping_mul(0x27D4_EB2F);
    v ^= v >> 15;
    v = v.wrapping_mul(0x2C1B_3C6D);
    v ^= v >> 12;
    v = v.wrapping_mul(0x297A_2D39);
    v ^ (v >> 15)
}

/// The hash as a number in [0, 1).
pub(crate) fn unit(h: u32) -> f32 {
    (h >> 8) as f32 * (1.0 / 16_777_216.0)
}

fn smooth(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// `a` at 0, `b` at 1.
pub(crate) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 below `a`, 1 above `b`, smooth in between.
pub(crate) fn smoothstep(a: f32, b: f32, x: f32) -> f32 {
    smooth(((x - a) / (b - a)).clamp(0.0, 1.0))
}

/// Value noise over the plane in [-1, 1], lattice spacing 1.
pub(crate) fn value2(x: f32, y: f32, seed: u32) -> f32 {
    let (fx, fy) = (x.floor(), y.floor());
    let (ix, iy) = (fx as i32, fy as i32);
    let (tx, ty) = (smooth(x - fx), smooth(y - fy));
    let g = |dx: i32, dy: i32| unit(hash(ix.wrapping_add(dx), iy.wrapping_add(dy), 0, seed));
    let v = mix(mix(g(0, 0), g(1, 0), tx), mix(g(0, 1), g(1, 1), tx), ty);
    v * 2.0 - 1.0
}

/// Sum of `octaves` octaves of [`value2`], about [-1, 1].
pub(crate) fn fbm2(x: f32, y: f32, octaves: u32, seed: u32) -> f32 {
    let (mut sum, mut amplitude, mut f) = (0.0, 0.5, 1.0);
    for o in 0..octaves {
        sum += amplitude * value2(x * f, y * f, seed.wrapping_add(o.wrapping_mul(101)));
        amplitude *= 0.5;
        f *= 2.03;
    }
    sum
}

/// Distance from a point of the plane to the nearest of one jittered point per unit cell.
pub(crate) fn worley2(x: f32, y: f32, seed: u32) -> f32 {
    let (ix, iy) = (x.floor() as i32, y.floor() as i32);
    let mut nearest = f32::MAX;
    for dy in -1..=1 {
        for dx in -1..=1 {
            let (cx, cy) = (ix.wrapping_add(dx), iy.wrapping_add(dy));
            let h = hash(cx, cy, 1, seed);
            let px = cx as f32 + 0.15 + 0.7 * unit(h);
            let py = cy as f32 + 0.15 + 0.7 * unit(hash(cx, cy, 2, seed));
            nearest = nearest.min((px - x) * (px - x) + (py - y) * (py - y));
        }
    }
    nearest.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_bounded_continuous_and_not_constant() {
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        for i in 0..4000 {
            let (x, y) = (i as f32 * 0.137 - 200.0, i as f32 * 0.071);
            let v = value2(x, y, 7);
            assert!((value2(x + 1e-3, y, 7) - v).abs() < 0.02);
            low = low.min(v);
            high = high.max(v);
        }
        assert!(low >= -1.0 && high <= 1.0 && high - low > 1.0, "{low} {high}");
    }
}
