//! The camera's response.

use super::lanes::{F, RUN, U, s};

/// Linear light that the tone table covers: from all but black to more than white.
const TONED: [f32; 2] = [1.0 / (1 << 20) as f32, 4.0];
/// Steps of the tone table, of which the upper bits of a float are the index: 256 steps per octave.
const TONES: usize = 8192;
/// Bits of a float that the tone table does not look at.
const TONE_SHIFT: u32 = 15;

/// From linear light, exposed and white-balanced, to display bytes: shoulder and gamma.
pub(crate) struct Tones {
    gamma: f32,
    table: Box<[u8; TONES]>,
}

impl Tones {
    pub(crate) fn new(gamma: f32) -> Self {
        let table = Box::new(std::array::from_fn(|i| {
            let middle = TONED[0].to_bits() + ((i as u32) << TONE_SHIFT) + (1 << (TONE_SHIFT - 1));
            let linear = f32::from_bits(middle).min(TONED[1]);
            // Linear up to the knee, then a shoulder towards white.
            let knee = 0.55;
            let over = 1.0 - libm::expf((knee - linear) / (1.0 - knee));
            let soft = if linear < knee { linear } else { knee + (1.0 - knee) * over };
            (libm::powf(soft.min(1.0), 1.0 / gamma) * 255.0 + 0.5) as u8
        }));
        Self { gamma, table }
    }

    /// Whether the table is the one for `gamma`.
    pub(crate) fn suits(&self, gamma: f32) -> bool {
        self.gamma.to_bits() == gamma.to_bits()
    }

    /// RGBX bytes of a run of pixels.
    pub(crate) fn bytes(&self, light: [F; 3]) -> [u32; RUN] {
        let mut out = [0u32; RUN];
        for (c, light) in light.iter().enumerate() {
            let bits = bytemuck::cast::<F, U>(light.fast_max(s(TONED[0])).fast_min(s(TONED[1])));
            let at = ((bits - U::splat(TONED[0].to_bits())) >> U::splat(TONE_SHIFT)).to_array();
            for i in 0..RUN {
                out[i] |= u32::from(self.table[at[i] as usize % TONES]) << (8 * c);
            }
        }
        out
    }
}
