//! Why there is a suggestion or none: said at every step, in words and as figures, so that nobody has to guess.

use crate::Declined;
use proctor_types::{Diagnosis, Health, Skill, Stamp};
use std::{collections::BTreeMap, fmt};

/// Where autonomy stands after a step.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Standing {
    /// It has not looked yet.
    #[default]
    Unknown,
    /// A motion is suggested.
    Offered(Skill),
    /// A suggested motion runs.
    Running(Skill),
    /// Nothing whatever may be suggested.
    Barred(Declined),
    /// Something might be: why each skill, in the library's order, is not.
    Idle(Vec<(Skill, Declined)>),
}

impl Standing {
    /// Plain words without figures, one for all skills or one for each: equal as long as the reason is of the same kind.
    pub fn kinds(&self) -> Vec<String> {
        match self {
            Self::Unknown => vec!["not looked yet".to_owned()],
            Self::Offered(_) => vec!["suggested".to_owned()],
            Self::Running(_) => vec!["running".to_owned()],
            Self::Barred(why) => vec![why.kind()],
            Self::Idle(all) => all.iter().map(|(skill, why)| format!("{}: {}", title(*skill), why.kind())).collect(),
        }
    }

    fn health(&self) -> Health {
        match self {
            Self::Unknown => Health::Stale,
            Self::Offered(_) | Self::Running(_) | Self::Idle(_) | Self::Barred(Declined::WrongMode { .. }) => {
                Health::Ok
            }
            Self::Barred(_) => Health::Warn,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("not looked yet"),
            Self::Offered(skill) => write!(f, "suggests to {}", title(*skill)),
            Self::Running(skill) => write!(f, "{} runs", title(*skill)),
            Self::Barred(why) => why.fmt(f),
            Self::Idle(all) => all.iter().enumerate().try_for_each(|(i, (skill, why))| {
                let comma = if i > 0 { "; " } else { "" };
                write!(f, "{comma}{}: {why}", title(*skill))
            }),
        }
    }
}

fn title(skill: Skill) -> &'static str {
    match skill {
        Skill::CentreCamera => "centre the camera",
        Skill::Retract => "retract",
    }
}

/// How long each kind of standing lasted since the start. Bounded: kinds beyond the bound are counted together.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    seconds: BTreeMap<String, f64>,
    last: Option<(Stamp, Vec<String>)>,
}

impl Ledger {
    /// Most kinds told apart; a [`Diagnosis`] carries no more than 64 figures.
    pub const KINDS: usize = 56;
    /// Longest time between two steps that counts, s: nobody knows how it stood in a longer one.
    const LONGEST: f64 = 1.0;
    const OTHERS: &'static str = "something else";

    /// From `now` on it stands so; what stood until now is credited with the time since.
    pub fn enter(&mut self, now: Stamp, standing: &Standing) {
        let kinds = standing.kinds();
        let Some((since, before)) = self.last.replace((now, kinds)) else { return };
        let lasted = now.seconds_since(since).clamp(0.0, Self::LONGEST);
        for kind in before {
            let known = self.seconds.contains_key(&kind) || self.seconds.len() < Self::KINDS;
            *self.seconds.entry(if known { kind } else { Self::OTHERS.to_owned() }).or_default() += lasted;
        }
    }

    /// Seconds by kind.
    pub fn seconds(&self) -> &BTreeMap<String, f64> {
        &self.seconds
    }

    /// For `/diagnostics`: how it stands, and how long it stood how.
    pub fn diagnosis(&self, standing: &Standing) -> Diagnosis {
        let values = self.seconds.iter().map(|(kind, s)| (kind.clone(), format!("{s:.1}"))).collect();
        let name = Diagnosis::SUGGESTIONS.to_owned();
        Diagnosis { health: standing.health(), name, message: standing.to_string(), values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_types::{Alignment, ArmId, SafetyMode};
    use std::time::Duration;

    fn at(ms: u64) -> Stamp {
        Stamp::FIRST.plus(Duration::from_millis(ms))
    }

    fn askew(residual_px: f64) -> Standing {
        let alignment = Alignment::Converging;
        Standing::Barred(Declined::NotAligned { arm: ArmId::Psm1, alignment, residual_px, sigma: 0.0021 })
    }

    #[test]
    fn what_is_in_the_way_is_said_with_its_figures_and_counted_without() {
        let mut ledger = Ledger::default();
        let ready = Standing::Barred(Declined::WrongMode { mode: SafetyMode::Ready });
        let idle = Standing::Idle(vec![
            (Skill::CentreCamera, Declined::NothingToDo),
            (Skill::Retract, Declined::Holding { arm: ArmId::Psm2 }),
        ]);
        for (ms, standing) in [(0, &ready), (500, &askew(12.0)), (700, &askew(9.0)), (1000, &idle), (1250, &ready)] {
            ledger.enter(at(ms), standing);
        }
        assert_eq!(askew(12.0).to_string(), "PSM1 is aligning (12.0 px, known to 2.1 mm)");
        let words = "centre the camera: nothing to do; retract: PSM2 already holds the gallbladder";
        assert_eq!(idle.to_string(), words);
        let said = ledger.diagnosis(&askew(12.0));
        assert_eq!((said.health, said.message.as_str()), (Health::Warn, "PSM1 is aligning (12.0 px, known to 2.1 mm)"));
        let seconds: Vec<(&str, &str)> = said.values.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("PSM1 is aligning", "0.5"),
            ("centre the camera: nothing to do", "0.2"),
            ("retract: PSM2 already holds the gallbladder", "0.2"),
            ("safety is READY, not SUPERVISED", "0.5"),
        ];
        assert_eq!(seconds, expected);
    }

    #[test]
    fn kinds_are_bounded_and_a_pause_of_the_node_counts_as_a_second() {
        let mut ledger = Ledger::default();
        for k in 0..400 {
            let jump = Declined::IkBranch { arm: ArmId::Psm1, joint: k };
            ledger.enter(at(k as u64), &Standing::Idle(vec![(Skill::Retract, jump)]));
        }
        assert!(ledger.seconds().len() <= Ledger::KINDS + 1);
        let before: f64 = ledger.seconds().values().sum();
        ledger.enter(at(60_000), &Standing::Unknown);
        assert!((ledger.seconds().values().sum::<f64>() - before - 1.0).abs() < 1e-9);
    }
}
