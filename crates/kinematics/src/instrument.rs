//! Instruments are data: `urdf/instruments/<NAME>.yaml`, expanded into `urdf/generated/psm_<NAME>.urdf`, read back here.

use crate::{KinematicsError, model::Model};
use serde::{Deserialize, Serialize};

/// What sits at the end of an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JawKind {
    /// Two short jaws.
    NeedleDriver,
    /// Two long grasping jaws.
    Forceps,
    /// One hook, no jaws.
    Hook,
}

/// Geometry of an instrument, metres and radians.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instrument {
    /// Name with the manufacturer's part number, such as `LARGE_NEEDLE_DRIVER_400006`.
    pub name: String,
    /// What sits at its end.
    pub kind: JawKind,
    /// Length parameter of the roll joint (DH `D`): 0.4162 classic, 0.4670 Si. The wrist-pitch axis lies `roll_d - 0.4318` beyond
    /// the RCM at zero insertion.
    pub roll_d: f64,
    /// From the wrist-pitch axis to the wrist-yaw (= jaw) axis.
    pub wrist_a: f64,
    /// Outer radius of the shaft.
    pub shaft_radius: f64,
    /// Outer radius of the wrist.
    pub wrist_radius: f64,
    /// From the jaw axis to the end of the closed jaws or of the hook.
    pub jaw_length: f64,
    /// Width of the closed jaws.
    pub jaw_width: f64,
    /// Smallest and largest angle between the jaws; negative is squeezing.
    pub jaw_limits: (f64, f64),
}

macro_rules! instruments {
    ($($name:literal),+ $(,)?) => {
        /// (name, URDF of a PSM that carries it), embedded.
        const EMBEDDED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../urdf/generated/psm_", $name, ".urdf")))),+];
    };
}
instruments!(
    "LARGE_NEEDLE_DRIVER_400006",
    "LARGE_NEEDLE_DRIVER_420006",
    "PROGRASP_FORCEPS_400093",
    "PERMANENT_CAUTERY_HOOK_400183",
);

impl Instrument {
    /// The instrument Proctor assumes when nothing else is said.
    pub const DEFAULT: &'static str = "LARGE_NEEDLE_DRIVER_400006";

    /// Looks an instrument up by its exact name (see [`Instrument::names`]).
    pub fn named(name: &str) -> Result<Self, KinematicsError> {
        Self::model(name)?.instrument("PSM", name)
    }

    /// Every known name.
    pub fn names() -> Vec<&'static str> {
        EMBEDDED.iter().map(|(name, _)| *name).collect()
    }

    /// The parsed URDF of a PSM with this instrument.
    pub(crate) fn model(name: &str) -> Result<Model, KinematicsError> {
        let found = EMBEDDED.iter().find(|(known, _)| *known == name);
        let (known, text) = found.ok_or_else(|| KinematicsError::UnknownInstrument {
            name: name.to_owned(),
            known: Self::names().join(", "),
        })?;
        Model::embedded(&format!("urdf/generated/psm_{known}.urdf"), text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_instrument_reads_back_the_published_constants() {
        // sawIntuitiveResearchKit, share/tool: D of roll, A of wrist yaw, jaw qmin and qmax.
        let published = [
            ("LARGE_NEEDLE_DRIVER_400006", 0.4162, 0.0091, (-0.698132, 1.39626), JawKind::NeedleDriver),
            ("LARGE_NEEDLE_DRIVER_420006", 0.4670, 0.0091, (-0.349066, 1.39626), JawKind::NeedleDriver),
            ("PROGRASP_FORCEPS_400093", 0.4162, 0.0107, (-0.349066, 1.39626), JawKind::Forceps),
            ("PERMANENT_CAUTERY_HOOK_400183", 0.4162, 0.0093, (0.0, 0.5), JawKind::Hook),
        ];
        assert_eq!(Instrument::names().len(), published.len());
        for (name, d, a, jaw, kind) in published {
            let i = Instrument::named(name).unwrap();
            assert_eq!((i.roll_d, i.wrist_a, i.jaw_limits, i.kind), (d, a, jaw, kind), "{name}");
            assert!(i.jaw_length > 0.0 && i.shaft_radius > i.wrist_radius && i.wrist_radius > 0.0);
        }
    }

    #[test]
    fn an_unknown_instrument_is_refused_with_the_known_names() {
        let e = Instrument::named("SPOON").unwrap_err().to_string();
        assert!(e.contains("SPOON") && e.contains("PROGRASP_FORCEPS_400093"), "{e}");
    }
}
