//! Everything about how a picture looks that is not geometry, so that training can randomise it.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// How one kind of surface looks. Colours are linear RGB reflectances in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Surface {
    /// Colour where the mottle is low.
    pub dark: [f32; 3],
    /// Colour where the mottle is high.
    pub light: [f32; 3],
    /// Colour of vessels, seams or scratches.
    pub feature: [f32; 3],
    /// How strongly features show, 0 to 1.
    pub feature_strength: f32,
    /// GGX roughness (alpha), 0.03 mirror-like to 1 matt.
    pub roughness: f32,
    /// Strength of the highlight.
    pub specular: f32,
    /// How bumpy, 0 smooth to about 2.
    pub bump: f32,
    /// Texels per millimetre of its texture, 2 to 16.
    pub texels_per_mm: f32,
}

/// The look of a whole picture: surfaces, light, camera, dirt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Appearance {
    /// Seeds everything random in the picture: noise, blood, smoke.
    pub seed: u32,
    /// Abdominal wall, liver, gallbladder, duct, artery, fat: classes 1 to 6.
    pub tissue: [Surface; 6],
    /// Instrument shaft, wrist, jaws: classes 7 to 9.
    pub instrument: [Surface; 3],
    /// Share of the wide surroundings that polished metal mirrors, 0 to 1.
    pub reflection: f32,
    /// Brightness of a white surface 90 mm away, facing the light, before exposure.
    pub light: f32,
    /// Colour of the light.
    pub light_colour: [f32; 3],
    /// 1 is pure inverse square; less is a flatter fall-off (automatic gain, several lamps).
    pub fall_off: f32,
    /// Light that comes from everywhere, of the tissue's colour, 0 to 0.2.
    pub ambient: f32,
    /// Factor on everything before the tone curve.
    pub exposure: f32,
    /// Display gamma, 1.6 to 2.8.
    pub gamma: f32,
    /// White balance: factor per channel.
    pub balance: [f32; 3],
    /// Colour saturation; 1 leaves colours alone.
    pub saturation: f32,
    /// Radius of the round field of view, pixels.
    pub circle: f32,
    /// Its centre relative to the middle of the picture, pixels.
    pub circle_offset: [f32; 2],
    /// Darkening at the circle's rim, 0 to 1.
    pub vignette: f32,
    /// Standard deviation of the noise in mid-grey, grey levels of 255.
    pub noise: f32,
    /// Optical blur: binomial passes, may be fractional, 0 to 4.
    pub blur: f32,
    /// Share of the tissue covered with blood, 0 to 1.
    pub blood: f32,
    /// Share of the instruments covered with blood, 0 to 1.
    pub dirt: f32,
    /// Smoke: 0 none, 1 hardly anything visible.
    pub smoke: f32,
    /// Blood on the lens: 0 none, 1 everything covered.
    pub lens_blood: f32,
    /// Specks and smears on the lens: 0 none, 1 nearly everything covered.
    pub lens_dirt: f32,
    /// How wet tissue is: 0 dry and matt, 1 as its surfaces say, 2 dripping.
    pub wetness: f32,
}

const fn surface(dark: [f32; 3], light: [f32; 3], feature: [f32; 3], k: [f32; 5]) -> Surface {
    let [feature_strength, roughness, specular, bump, texels_per_mm] = k;
    Surface { dark, light, feature, feature_strength, roughness, specular, bump, texels_per_mm }
}

const WALL: Surface =
    surface([0.36, 0.085, 0.055], [0.60, 0.21, 0.135], [0.34, 0.028, 0.030], [0.70, 0.27, 0.07, 0.28, 5.0]);
const LIVER: Surface =
    surface([0.060, 0.0085, 0.0085], [0.125, 0.0190, 0.0165], [0.17, 0.045, 0.040], [0.35, 0.115, 0.055, 0.24, 5.0]);
const GALLBLADDER: Surface =
    surface([0.62, 0.42, 0.185], [0.80, 0.64, 0.38], [0.46, 0.095, 0.095], [0.85, 0.17, 0.075, 0.12, 6.0]);
const DUCT: Surface =
    surface([0.58, 0.36, 0.165], [0.75, 0.55, 0.31], [0.46, 0.11, 0.08], [0.60, 0.19, 0.07, 0.15, 8.0]);
const ARTERY: Surface =
    surface([0.46, 0.080, 0.062], [0.62, 0.17, 0.125], [0.50, 0.06, 0.05], [0.40, 0.18, 0.07, 0.15, 9.0]);
const FAT: Surface =
    surface([0.56, 0.31, 0.085], [0.76, 0.53, 0.215], [0.45, 0.15, 0.055], [0.60, 0.18, 0.065, 0.16, 4.0]);
const SHAFT: Surface =
    surface([0.048, 0.047, 0.050], [0.085, 0.083, 0.086], [0.15, 0.145, 0.14], [0.30, 0.36, 0.14, 0.10, 4.0]);
const STEEL: Surface =
    surface([0.050, 0.050, 0.053], [0.115, 0.113, 0.112], [0.24, 0.235, 0.23], [0.35, 0.20, 0.50, 0.13, 5.0]);

impl Appearance {
    /// The look of the simulator as shipped: a clean modern endoscope.
    pub fn nominal() -> Self {
        Self {
            seed: 1,
            tissue: [WALL, LIVER, GALLBLADDER, DUCT, ARTERY, FAT],
            instrument: [SHAFT, STEEL, STEEL],
            reflection: 0.30,
            light: 1.0,
            light_colour: [1.0, 0.97, 0.93],
            fall_off: 0.9,
            ambient: 0.03,
            exposure: 1.35,
            gamma: 2.2,
            balance: [1.0, 1.0, 1.0],
            saturation: 1.0,
            circle: 325.0,
            circle_offset: [0.0, 0.0],
            vignette: 0.35,
            noise: 2.0,
            blur: 1.0,
            blood: 0.0,
            dirt: 0.0,
            smoke: 0.0,
            lens_blood: 0.0,
            lens_dirt: 0.0,
            wetness: 1.0,
        }
    }

    /// A look far from the nominal one in every respect, the same for the same seed: what carries a model from simulated to real
    /// pictures.
    pub fn random(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x0A99_EA2A);
        let mut a = Self::nominal();
        let mut r = |low: f32, high: f32| rng.random_range(low..high);
        a.seed = (seed as u32) ^ 0x51ED_270B;
        for s in &mut a.tissue {
            vary(s, &mut r, 0.22);
            s.roughness = (s.roughness * r(0.55, 1.7)).clamp(0.08, 0.6);
            s.specular *= r(0.15, 2.2);
            s.bump *= r(0.3, 3.0);
            s.feature_strength = (s.feature_strength * r(0.2, 1.35)).min(1.0);
            s.texels_per_mm *= r(0.65, 1.5);
        }
        // Livers run from pale brown to nearly black, gallbladders from white over yellow to green and inflamed red.
        let liver = r(0.55, 2.2);
        scale(&mut a.tissue[1], [liver * r(0.9, 1.1), liver, liver]);
        match (r(0.0, 6.0)) as u32 {
            0 => scale(&mut a.tissue[2], [0.62, 0.90, 0.85]),
            1 => scale(&mut a.tissue[2], [0.85, 0.62, 0.72]),
            2 => scale(&mut a.tissue[2], [0.95, 1.05, 1.45]),
            3 => scale(&mut a.tissue[2], [0.70, 0.85, 1.20]),
            _ => {}
        }
        if r(0.0, 1.0) < 0.3 {
            // Covered by the same peritoneum: the vessels hardly differ from fat.
            let fat = a.tissue[5];
            let k = r(0.2, 0.7);
            for i in [3, 4] {
                for c in 0..3 {
                    a.tissue[i].dark[c] += k * (fat.dark[c] - a.tissue[i].dark[c]);
                    a.tissue[i].light[c] += k * (fat.light[c] - a.tissue[i].light[c]);
                }
            }
        }
        instruments(&mut a, &mut r);
        a.light = r(0.75, 1.35);
        a.light_colour = [r(0.9, 1.08), r(0.9, 1.05), r(0.82, 1.08)];
        a.fall_off = r(0.45, 1.0);
        a.ambient = r(0.0, 0.10);
        a.exposure = libm::expf(r(-0.75, 0.65));
        a.gamma = r(1.8, 2.6);
        a.balance = [r(0.86, 1.16), r(0.9, 1.1), r(0.82, 1.2)];
        a.saturation = r(0.6, 1.35);
        a.circle = if r(0.0, 1.0) < 0.35 { r(400.0, 520.0) } else { r(225.0, 390.0) };
        a.circle_offset = [r(-30.0, 30.0), r(-22.0, 22.0)];
        a.vignette = r(0.0, 0.8);
        a.noise = r(0.3, 6.0);
        a.blur = if r(0.0, 1.0) < 0.2 { r(1.5, 4.0) } else { r(0.0, 1.5) };
        a.blood = if r(0.0, 1.0) < 0.4 { r(0.1, 0.6) } else { r(0.0, 0.1) };
        a.dirt = if r(0.0, 1.0) < 0.3 { r(0.1, 0.5) } else { r(0.0, 0.1) };
        a.smoke = if r(0.0, 1.0) < 0.15 { r(0.05, 0.5) } else { 0.0 };
        a.lens_blood = if r(0.0, 1.0) < 0.06 { r(0.05, 0.3) } else { 0.0 };
        a.lens_dirt = if r(0.0, 1.0) < 0.15 { r(0.05, 0.6) } else { 0.0 };
        a.wetness = r(0.1, 1.9);
        a
    }
}

fn scale(s: &mut Surface, k: [f32; 3]) {
    for c in 0..3 {
        s.dark[c] = (s.dark[c] * k[c]).clamp(0.0, 0.95);
        s.light[c] = (s.light[c] * k[c]).clamp(0.0, 0.95);
    }
}

/// Brightness and hue of all three colours together, and the contrast between them.
fn vary(s: &mut Surface, r: &mut impl FnMut(f32, f32) -> f32, hue: f32) {
    let brightness = libm::expf(r(-0.35, 0.35));
    let tint = [r(-hue, hue), r(-hue, hue), r(-hue, hue)];
    let contrast = r(0.3, 1.6);
    for c in 0..3 {
        let k = brightness * (1.0 + tint[c]);
        let middle = 0.5 * (s.dark[c] + s.light[c]);
        s.dark[c] = ((middle + contrast * (s.dark[c] - middle)) * k).clamp(0.002, 0.95);
        s.light[c] = ((middle + contrast * (s.light[c] - middle)) * k).clamp(0.002, 0.95);
        s.feature[c] = (s.feature[c] * k * r(0.8, 1.25)).clamp(0.0, 0.95);
    }
}

/// Shaft and ends: black, grey, steel, white or blue, polished or matt.
fn instruments(a: &mut Appearance, r: &mut impl FnMut(f32, f32) -> f32) {
    let paint = |rgb: [f32; 3], rough: f32, specular: f32| Surface {
        dark: rgb.map(|v| v * 0.75),
        light: rgb.map(|v| (v * 1.25).min(0.95)),
        feature: rgb.map(|v| (v * 1.8 + 0.02).min(0.95)),
        roughness: rough,
        specular,
        ..SHAFT
    };
    a.instrument[0] = match r(0.0, 8.0) as u32 {
        0 | 1 => paint([0.025, 0.025, 0.028], r(0.2, 0.5), r(0.05, 0.25)),
        2 => paint([0.10, 0.14, 0.22], r(0.2, 0.5), r(0.1, 0.4)),
        3 => paint([0.55, 0.55, 0.54], r(0.2, 0.5), r(0.05, 0.2)),
        4 | 5 => paint([0.22, 0.22, 0.22], r(0.15, 0.4), r(0.3, 0.8)),
        _ => paint([0.085, 0.083, 0.085], r(0.25, 0.5), r(0.08, 0.3)),
    };
    for i in [1, 2] {
        a.instrument[i] = match r(0.0, 6.0) as u32 {
            0 => paint([0.07, 0.07, 0.07], r(0.2, 0.5), r(0.1, 0.4)),
            1 => paint([0.45, 0.44, 0.42], r(0.12, 0.4), r(0.3, 0.9)),
            _ => paint([0.15, 0.148, 0.145], r(0.14, 0.4), r(0.3, 0.9)),
        };
    }
    a.reflection = r(0.1, 0.6);
    for s in &mut a.instrument {
        vary(s, r, 0.08);
        s.bump *= r(0.3, 3.0);
    }
}
