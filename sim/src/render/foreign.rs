//! Things in the field that belong to no class: swabs, clips, sutures, needles, tubes. Their pixels are labelled
//! [`proctor_types::anatomy::UNKNOWN`], their instance numbers follow those of the instruments.

use super::{
    appearance::Surface,
    instrument::{loft, ring, rod},
    texture::Tile,
};
use crate::scene::{
    mesh::{Columns, Mesh, V3},
    noise::{hash, unit},
};
use nalgebra::Isometry3;
use proctor_types::Class;
use serde::Serialize;

/// Most foreign objects in one picture; further ones are not drawn.
pub const MOST_FOREIGN: usize = 8;
/// Instance number of the first one.
pub const FIRST_FOREIGN: u8 = 9;
const PI: f32 = std::f32::consts::PI;

/// What a foreign object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignKind {
    /// A crumpled piece of gauze, 2 to 4 cm.
    Swab,
    /// A ligating clip, 8 mm.
    Clip,
    /// A loose end of suture, 2 to 5 cm.
    Thread,
    /// A curved needle.
    Needle,
    /// A drain, sucker or trocar that reaches in from outside, along -z.
    Tube,
}

impl ForeignKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Swab, Self::Clip, Self::Thread, Self::Needle, Self::Tube];

    /// Name in groups and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Swab => "swab",
            Self::Clip => "clip",
            Self::Thread => "thread",
            Self::Needle => "needle",
            Self::Tube => "tube",
        }
    }
}

/// One foreign object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Foreign {
    /// What it is.
    pub kind: ForeignKind,
    /// Where it lies: z away from what it lies on.
    pub world_from_object: Isometry3<f64>,
    /// Its colour, linear RGB reflectances.
    pub colour: [f32; 3],
    /// Whether it is metal.
    pub metal: bool,
    /// Its shape among those of its kind.
    pub seed: u32,
}

impl Foreign {
    pub(crate) fn surface(&self) -> Surface {
        let [roughness, specular, bump] = match (self.kind, self.metal) {
            (ForeignKind::Swab, _) => [0.8, 0.01, 0.8],
            (_, true) => [0.18, 0.6, 0.1],
            (_, false) => [0.3, 0.08, 0.1],
        };
        Surface {
            dark: self.colour.map(|v| v * 0.7),
            light: self.colour.map(|v| (v * 1.15).min(0.95)),
            feature: self.colour.map(|v| v * 0.55),
            feature_strength: 0.5,
            roughness,
            specular,
            bump,
            texels_per_mm: 9.0,
        }
    }

    pub(crate) fn tile(&self) -> Tile {
        match (self.kind, self.metal) {
            (ForeignKind::Swab, _) => Tile::Fat,
            (_, true) => Tile::Metal,
            (_, false) => Tile::Parenchyma,
        }
    }

    /// Its shape in its own frame, mm. Meshes know classes only; a foreign object's is never looked at.
    pub(crate) fn mesh(&self) -> Mesh {
        let mut m = Mesh::default();
        let r = |k: i32| unit(hash(k, 11, 0, self.seed));
        let class = Class::Background;
        match self.kind {
            ForeignKind::Swab => swab(&mut m, class, &r),
            ForeignKind::Clip => {
                let gap = 0.7 + 1.6 * r(0);
                let leg =
                    |s: f32| [[s * gap, -4.0, 0.6], [s * gap * 0.9, 0.0, 0.8], [s * 0.5, 4.0, 0.6], [0.0, 4.4, 0.6]];
                leg(-1.0).windows(2).chain(leg(1.0).windows(2)).for_each(|p| rod(&mut m, class, p, 0.55, 10));
            }
            ForeignKind::Thread => {
                let (radius, length) = (0.14 + 0.16 * r(0), 20.0 + 30.0 * r(1));
                let (mut heading, mut p): (f32, V3) = (6.3 * r(2), [0.0, 0.0, 0.4]);
                let mut path = vec![p];
                for i in 0..24 {
                    heading += 0.9 * (r(10 + i) - 0.5);
                    let step = length / 24.0;
                    p = [
                        p[0] + step * libm::cosf(heading),
                        p[1] + step * libm::sinf(heading),
                        0.4 + 2.5 * r(50 + i / 4),
                    ];
                    path.push(p);
                }
                rod(&mut m, class, &path, radius, 8);
            }
            ForeignKind::Needle => {
                let (radius, turn) = (5.0 + 4.0 * r(0), PI * (0.75 + 0.35 * r(1)));
                let at = |t: f32| [radius * libm::cosf(turn * t), radius * libm::sinf(turn * t), 0.8 + 1.5 * t * r(2)];
                let path: Vec<V3> = (0..=20).map(|i| at(i as f32 / 20.0)).collect();
                rod(&mut m, class, &path, 0.4, 8);
            }
            ForeignKind::Tube => {
                let radius = if r(0) < 0.6 { 1.6 + 1.4 * r(1) } else { 3.5 + 1.8 * r(1) };
                let rings: Vec<_> = (0..12).map(|i| ring(-220.0 * (1.0 - i as f32 / 11.0), radius, radius)).collect();
                loft(&mut m, class, &rings, 28, 2.0);
            }
        }
        m
    }
}

/// A flat, folded lump.
fn swab(m: &mut Mesh, class: Class, r: &impl Fn(i32) -> f32) {
    let half = [9.0 + 9.0 * r(0), 7.0 + 7.0 * r(1), 2.0 + 2.5 * r(2)];
    let (columns, rows) = (48, 25);
    let point = |c: usize, row: usize| {
        let (a, b) = (c as f32 / columns as f32 * 2.0 * PI, (row as f32 / (rows - 1) as f32 - 0.5) * PI);
        let fold = |k: i32, n: f32, o: f32| libm::sinf(n * a + o * b + 6.3 * r(k));
        let bulge = 1.0 + 0.16 * fold(3, 3.0, 2.0) + 0.10 * fold(4, 5.0, -3.0) + 0.07 * fold(5, 8.0, 7.0);
        let (ring, up) = (libm::cosf(b).max(0.0) * bulge, libm::sinf(b) * (1.0 + 0.35 * fold(6, 4.0, 1.0)));
        [half[0] * ring * libm::cosf(a), half[1] * ring * libm::sinf(a), half[2] * up]
    };
    m.grid(class, (columns, rows), Columns::Ring, point, |p| p, |_, _| true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_shape_of_the_size_it_says() {
        for (kind, low, high) in [
            (ForeignKind::Swab, 20.0, 50.0),
            (ForeignKind::Clip, 8.0, 12.0),
            (ForeignKind::Thread, 4.0, 51.0),
            (ForeignKind::Needle, 8.0, 20.0),
            (ForeignKind::Tube, 220.0, 220.0),
        ] {
            for seed in 0..20 {
                let pose = Isometry3::identity();
                let m = Foreign { kind, world_from_object: pose, colour: [0.5; 3], metal: false, seed }.mesh();
                let extent = (0..3)
                    .map(|k| {
                        let along = m.position.iter().map(|p| p[k]);
                        along.clone().fold(f32::MIN, f32::max) - along.fold(f32::MAX, f32::min)
                    })
                    .fold(0.0, f32::max);
                assert!((low - 0.1..=high + 0.1).contains(&extent), "{kind:?} {seed}: {extent} mm");
                assert!(m.position.iter().flatten().all(|v| v.is_finite()));
            }
        }
    }
}
