//! The classes Proctor sees, their numbers in label images, and their colour-blind-safe display colours.

use crate::InvalidValue;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What a pixel shows. The discriminant is the value in label images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Class {
    /// Outside the field of view, or nothing known.
    #[default]
    Background = 0,
    /// Peritoneum of the abdominal wall.
    AbdominalWall = 1,
    /// Liver.
    Liver = 2,
    /// Gallbladder.
    Gallbladder = 3,
    /// Cystic duct.
    CysticDuct = 4,
    /// Cystic artery.
    CysticArtery = 5,
    /// Fat, omentum, mesentery.
    Fat = 6,
    /// Instrument shaft.
    InstrumentShaft = 7,
    /// Instrument wrist.
    InstrumentWrist = 8,
    /// Instrument jaws (or hook).
    InstrumentJaws = 9,
}

/// Label of pixels that belong to no class (a swab, a clip): no [`Class`] has it. Scores leave such pixels out; whoever trains may call them
/// [`Class::Background`], nothing known.
pub const UNKNOWN: u8 = 255;

impl Class {
    /// How many classes there are.
    pub const COUNT: usize = 10;
    /// Every class, in label order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Background,
        Self::AbdominalWall,
        Self::Liver,
        Self::Gallbladder,
        Self::CysticDuct,
        Self::CysticArtery,
        Self::Fat,
        Self::InstrumentShaft,
        Self::InstrumentWrist,
        Self::InstrumentJaws,
    ];

    /// Value in label images.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The class of a label value.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// Name in manifests, maps and messages (snake_case).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::AbdominalWall => "abdominal_wall",
            Self::Liver => "liver",
            Self::Gallbladder => "gallbladder",
            Self::CysticDuct => "cystic_duct",
            Self::CysticArtery => "cystic_artery",
            Self::Fat => "fat",
            Self::InstrumentShaft => "instrument_shaft",
            Self::InstrumentWrist => "instrument_wrist",
            Self::InstrumentJaws => "instrument_jaws",
        }
    }

    /// Whether the class is a part of an instrument.
    pub const fn is_instrument(self) -> bool {
        matches!(self, Self::InstrumentShaft | Self::InstrumentWrist | Self::InstrumentJaws)
    }

    /// Whether the class is tissue.
    pub const fn is_tissue(self) -> bool {
        !self.is_instrument() && !matches!(self, Self::Background)
    }

    /// Display colour, sRGB: hues of Okabe & Ito's colour-blind-safe palette.
    pub const fn colour(self) -> [u8; 3] {
        match self {
            Self::Background => [0, 0, 0],
            Self::AbdominalWall => [204, 121, 167],
            Self::Liver => [213, 94, 0],
            Self::Gallbladder => [0, 158, 115],
            Self::CysticDuct => [240, 228, 66],
            Self::CysticArtery => [255, 40, 40],
            Self::Fat => [230, 159, 0],
            Self::InstrumentShaft => [0, 114, 178],
            Self::InstrumentWrist => [86, 180, 233],
            Self::InstrumentJaws => [255, 255, 255],
        }
    }
}

impl FromStr for Class {
    type Err = InvalidValue;
    fn from_str(s: &str) -> Result<Self, InvalidValue> {
        Self::ALL.into_iter().find(|c| c.name() == s).ok_or_else(|| InvalidValue::Name {
            what: "class",
            expected: "background, abdominal_wall, liver, gallbladder, cystic_duct, cystic_artery, fat, \
                       instrument_shaft, instrument_wrist, instrument_jaws",
            got: s.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_round_trip() {
        for (i, c) in Class::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(c.id()), i);
            assert_eq!(Class::from_id(c.id()), Some(c));
            assert_eq!(c.name().parse::<Class>().unwrap(), c);
        }
        assert_eq!((Class::from_id(10), Class::from_id(UNKNOWN)), (None, None));
    }
}
