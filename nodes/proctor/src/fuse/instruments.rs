//! Which instrument each arm carries.

use anyhow::bail;
use proctor_kinematics::Instrument;
use proctor_types::ArmId;

/// The instruments of both arms, by dVRK name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruments([String; 2]);

impl Instruments {
    /// Of `[ARM=]NAME` arguments: one that names no arm is of those that none names; nothing at all means the default.
    pub fn of_arguments(arguments: &[String]) -> anyhow::Result<Self> {
        let (mut named, mut general): ([Option<String>; 2], Option<String>) = ([None, None], None);
        for argument in arguments {
            let (arm, name) = match argument.split_once('=') {
                Some((arm, name)) => match arm.to_uppercase().parse::<ArmId>() {
                    Ok(arm) if arm.has_jaw() => (Some(arm), name),
                    _ => bail!("--instrument {argument}: PSM1 or PSM2 is expected before the ="),
                },
                None => (None, argument.as_str()),
            };
            Instrument::named(name)?;
            let place = match arm {
                Some(arm) => &mut named[arm.index()],
                None => &mut general,
            };
            if place.replace(name.to_owned()).is_some() {
                bail!("--instrument {argument}: two for the same");
            }
        }
        let general = general.unwrap_or_else(|| Instrument::DEFAULT.to_owned());
        Ok(Self(named.map(|n| n.unwrap_or_else(|| general.clone()))))
    }

    /// The name of an arm's.
    pub fn name(&self, arm: ArmId) -> &str {
        self.0.get(arm.index()).map_or(Instrument::DEFAULT, String::as_str)
    }

    /// An arm's.
    pub fn of(&self, arm: ArmId) -> anyhow::Result<Instrument> {
        Ok(Instrument::named(self.name(arm))?)
    }

    /// Both names, PSM1's first.
    pub fn names(&self) -> [String; 2] {
        self.0.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Result<[String; 2], String> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        Instruments::of_arguments(&arguments).map(|i| i.names()).map_err(|e| e.to_string())
    }

    #[test]
    fn each_arm_has_its_own_or_the_one_of_all() {
        let (needle, hook, forceps) =
            ("LARGE_NEEDLE_DRIVER_400006", "PERMANENT_CAUTERY_HOOK_400183", "PROGRASP_FORCEPS_400093");
        assert_eq!(of(&[]).unwrap(), [needle, needle]);
        assert_eq!(of(&[hook]).unwrap(), [hook, hook]);
        assert_eq!(of(&["psm2=PROGRASP_FORCEPS_400093"]).unwrap(), [needle, forceps]);
        assert_eq!(of(&[hook, "PSM1=PROGRASP_FORCEPS_400093"]).unwrap(), [forceps, hook]);
        for (arguments, part) in [
            (&["SPOON"][..], "SPOON"),
            (&["ECM=PROGRASP_FORCEPS_400093"], "PSM1 or PSM2"),
            (&[hook, forceps], "two for the same"),
        ] {
            let error = of(arguments).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
