//! What surfaces look like as plain tiles, for renderers of others.

use super::{
    Appearance,
    texture::{SIDE, STRIDE, Textures, Tile},
};
use proctor_types::{Class, Image};

/// What polished metal mirrors of the wide surroundings, which a renderer of others may not have: reflectance of shaft, wrist and jaws on top of their
/// own. Chosen so that steel looks as bright beside tissue as in our own pictures.
const MIRRORED: [f32; 3] = [0.12, 0.30, 0.30];

/// The colours of a surface as a tile that repeats.
#[derive(Debug, Clone)]
pub struct Albedo {
    /// Reflectances, coded for a display (gamma 2.2).
    pub tile: Image<[u8; 3]>,
    /// Length of the tile's side on the surface, mm.
    pub side: f32,
}

impl Albedo {
    /// The nominal look of a class; nothing for what has none.
    pub fn of(class: Class) -> Option<Self> {
        let look = Appearance::nominal();
        let index = usize::from(class.id());
        let tissue = index.checked_sub(1).and_then(|i| Some((*look.tissue.get(i)?, Tile::of_tissue(i))));
        let steel = index.checked_sub(7).and_then(|i| Some((*look.instrument.get(i)?, Tile::Metal)));
        let (surface, tile) = tissue.or(steel)?;
        let mirrored = index.checked_sub(7).and_then(|i| MIRRORED.get(i)).copied().unwrap_or(0.0);
        let textures = Textures::new();
        let texels = textures.tile(tile);
        let pixel = |i: usize| {
            let texel = texels[i / SIDE * STRIDE + i % SIDE];
            let [mottle, feature] = [texel & 0xFF, texel >> 8 & 0xFF].map(|byte| byte as f32 / 255.0);
            let channel = |c: usize| {
                let plain = surface.dark[c] + mottle * (surface.light[c] - surface.dark[c]);
                let seen = plain + surface.feature_strength * feature * (surface.feature[c] - plain) + mirrored;
                (libm::powf(seen.clamp(0.0, 1.0), 1.0 / 2.2) * 255.0 + 0.5) as u8
            };
            [channel(0), channel(1), channel(2)]
        };
        let tile = Image::new(SIDE, SIDE, (0..SIDE * SIDE).map(pixel).collect()).ok()?;
        Some(Self { tile, side: SIDE as f32 / surface.texels_per_mm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_that_is_drawn_has_its_colours_and_nothing_else_has() {
        assert!(Albedo::of(Class::Background).is_none());
        let look = Appearance::nominal();
        for class in Class::ALL.into_iter().skip(1) {
            let albedo = Albedo::of(class).unwrap();
            let mean = |c: usize| {
                let linear = |p: &[u8; 3]| (f32::from(p[c]) / 255.0).powf(2.2);
                albedo.tile.pixels().iter().map(linear).sum::<f32>() / albedo.tile.pixels().len() as f32
            };
            let index = usize::from(class.id());
            let s = look.tissue.get(index - 1).copied().unwrap_or_else(|| look.instrument[index - 7]);
            for c in 0..3 {
                let more = index.checked_sub(7).map_or(0.0, |i| MIRRORED[i]);
                let (low, high) = (more + s.dark[c].min(s.feature[c]), more + s.light[c].max(s.feature[c]));
                assert!((low..=high).contains(&mean(c)), "{class:?} {c}: {} not in {low}..{high}", mean(c));
            }
            assert!((20.0..=130.0).contains(&albedo.side), "{}", albedo.side);
        }
    }
}
