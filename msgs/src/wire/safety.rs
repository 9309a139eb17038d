//! What the safety node says.

use super::arm::{optional_arm, read_optional_arm};
use super::fields::{bounded_text, cut, each, finite, index, known, range, specified, stamp, time};
use super::{ConvertError, Origin, Problem, Wire};
use crate::proctor_msgs as msg;
use proctor_types::{
    Boot, Constraint, Digest, Outcome, SafetyMode, SafetyState, Stamp, Verdict, ZoneLabel, ZonesState,
};

/// Highest autonomy level Proctor knows (Yang et al. 2017: task).
const MAX_AUTONOMY: u8 = 2;

fn constraint(c: Constraint) -> msg::Constraint {
    msg::Constraint { value: index(Constraint::ALL, &c) }
}

impl Wire for SafetyState {
    type Msg = msg::SafetyState;

    fn encode(&self) -> Self::Msg {
        msg::SafetyState {
            stamp: time(self.stamp),
            tick: self.tick,
            boot: self.boot.0,
            mode: msg::SafetyMode { value: index(&SafetyMode::ALL, &self.mode) },
            cause: constraint(self.cause),
            e_stop: self.e_stop,
            autonomy_level: self.autonomy_level,
            active: self.active.0,
            progress: self.progress,
            moving: self.moving,
            executed: self.executed,
            refused: self.refused,
            violations: self.violations,
            overruns: self.overruns,
            shadow: self.shadow,
        }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        if m.autonomy_level > MAX_AUTONOMY {
            let problem = Problem::Unknown { got: u64::from(m.autonomy_level), known: usize::from(MAX_AUTONOMY) + 1 };
            return Err(ConvertError::new("autonomy_level", problem));
        }
        Ok(Self {
            stamp: stamp("stamp", &m.stamp)?,
            tick: m.tick,
            boot: Boot(m.boot),
            mode: known("mode", &SafetyMode::ALL, m.mode.value)?,
            cause: known("cause", Constraint::ALL, m.cause.value)?,
            e_stop: m.e_stop,
            autonomy_level: m.autonomy_level,
            active: Digest(m.active),
            progress: range("progress", m.progress, 0.0, 1.0)?,
            moving: m.moving,
            executed: m.executed,
            refused: m.refused,
            violations: m.violations,
            overruns: m.overruns,
            shadow: m.shadow,
        })
    }
}

impl Wire for Verdict {
    type Msg = msg::Verdict;

    fn encode(&self) -> Self::Msg {
        msg::Verdict {
            stamp: time(self.stamp),
            tick: self.tick,
            arm: optional_arm(self.arm),
            outcome: index(&Outcome::ALL, &self.outcome) + 1,
            constraint: constraint(self.constraint),
            value: self.value,
            limit: self.limit,
            margin: self.margin(),
            index: self.index,
        }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let stamp: Stamp = stamp("stamp", &m.stamp)?;
        let verdict = Self {
            stamp,
            tick: m.tick,
            arm: read_optional_arm("arm", &m.arm)?,
            outcome: specified("outcome", &Outcome::ALL, m.outcome)?,
            constraint: known("constraint", Constraint::ALL, m.constraint.value)?,
            value: finite("value", m.value)?,
            limit: finite("limit", m.limit)?,
            index: m.index,
        };
        let margin = verdict.margin();
        range("margin", m.margin, margin, margin)?;
        Ok(verdict)
    }
}

/// `/clock`: a bare stamp.
impl Wire for Stamp {
    type Msg = crate::rosgraph_msgs::Clock;

    fn encode(&self) -> Self::Msg {
        crate::rosgraph_msgs::Clock { clock: time(*self) }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        stamp("clock", &m.clock)
    }
}

impl Wire for ZonesState {
    type Msg = msg::ZonesState;

    fn encode(&self) -> Self::Msg {
        let label = |z: &ZoneLabel| msg::ZoneLabel { name: cut(&z.name, ZoneLabel::MAX_NAME), margin: z.margin };
        let zones = self.zones.iter().take(Self::MAX_ZONES).map(label).collect();
        msg::ZonesState { stamp: time(self.stamp), version: self.version, zones }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let zones = each("zones", &m.zones, Self::MAX_ZONES, |z| {
            let name = bounded_text("name", &z.name, ZoneLabel::MAX_NAME)?;
            Ok(ZoneLabel { name, margin: finite("margin", z.margin)? })
        })?;
        Ok(Self { stamp: stamp("stamp", &m.stamp)?, version: m.version, zones })
    }
}
