//! A robot's profile: a data file that says what Proctor's topics and frames are called there, what its arms carry, and which of their limits
//! are narrower. Mistakes are refused with their line.

use crate::stack::StackConfig;
use proctor_bus::{BusError, Names, graph, names};
use proctor_kinematics::{ArmFile, Chain, Instrument, JawLimits};
use proctor_msgs::wire::base_frame;
use proctor_safety::{Narrowed, SafetyError, SafetyParams};
use proctor_types::ArmId;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use toml::Spanned;

/// Longest frame name.
const LONGEST_FRAME: usize = 64;

/// Why a profile is not used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It cannot be read.
    #[error("{}: {source}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It was not understood; the message has line and column.
    #[error("{}: {source}", .file.display())]
    Parse {
        /// The file.
        file: PathBuf,
        /// What the parser said.
        source: Box<toml::de::Error>,
    },
    /// A value was refused.
    #[error("{}, line {line}: {reason}", .file.display())]
    At {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// The narrowed limits and the safety node's own do not go together.
    #[error("{}: {source}", .file.display())]
    Limits {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<SafetyError>,
    },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    robot: String,
    arms: Arms,
    topics: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    limits: Vec<Spanned<Narrowed>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "UPPERCASE")]
struct Arms {
    psm1: Held,
    psm2: Held,
    ecm: Bare,
}

/// An arm in an instrument's place.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    namespace: Spanned<String>,
    instrument: Spanned<String>,
    frame: Spanned<String>,
}

/// The endoscope's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bare {
    namespace: Spanned<String>,
    frame: Spanned<String>,
}

/// A checked profile.
#[derive(Debug, Clone)]
pub struct Profile {
    file: PathBuf,
    data: Data,
    names: Names,
}

impl Profile {
    /// Reads a file.
    pub fn read(file: &Path) -> Result<Self, ProfileError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| ProfileError::Unreadable { file: file.to_path_buf(), source })?;
        Self::parse(file, &text)
    }

    /// From a text; `file` is what errors call it.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ProfileError> {
        let parse = |source| ProfileError::Parse { file: file.to_path_buf(), source: Box::new(source) };
        let data: Data = toml::from_str(text).map_err(parse)?;
        let at = |(place, reason): (usize, String)| ProfileError::At {
            file: file.to_path_buf(),
            line: 1 + text.get(..place).unwrap_or(text).matches('\n').count(),
            reason,
        };
        let names = data.check().map_err(at)?;
        Ok(Self { file: file.to_path_buf(), data, names })
    }

    /// What the robot calls itself.
    pub fn robot(&self) -> &str {
        &self.data.robot
    }

    /// What topics and frames are called.
    pub fn names(&self) -> Names {
        self.names.clone()
    }

    /// What an instrument's place holds.
    pub fn instrument(&self, arm: ArmId) -> Option<&str> {
        self.data.held(arm).map(|h| h.instrument.get_ref().as_str())
    }

    /// What the frame of an arm's base is called.
    pub fn frame(&self, arm: ArmId) -> &str {
        self.data.frame(arm).get_ref()
    }

    /// Tells every node what the arms carry, and the safety node which limits are narrower.
    pub fn apply(&self, config: &mut StackConfig) -> Result<(), ProfileError> {
        let held = self.held();
        config.fusion.instruments.clone_from(&held);
        config.autonomy.instruments.clone_from(&held);
        config.console.instruments.clone_from(&held);
        config.sim.instruments = held;
        self.tell_safety(&mut config.safety)
    }

    /// The safety node's part of it.
    pub fn tell_safety(&self, params: &mut SafetyParams) -> Result<(), ProfileError> {
        params.instruments = self.held();
        params.limits.extend(self.data.limits.iter().map(|l| *l.get_ref()));
        let checked = params.validate();
        checked.map_err(|source| ProfileError::Limits { file: self.file.clone(), source: Box::new(source) })
    }

    fn held(&self) -> [String; 2] {
        [&self.data.arms.psm1, &self.data.arms.psm2].map(|h| h.instrument.get_ref().clone())
    }
}

/// A refusal: where in the text, and why.
type Refused = (usize, String);

impl Data {
    fn held(&self, arm: ArmId) -> Option<&Held> {
        match arm {
            ArmId::Psm1 => Some(&self.arms.psm1),
            ArmId::Psm2 => Some(&self.arms.psm2),
            ArmId::Ecm => None,
        }
    }

    fn namespace(&self, arm: ArmId) -> &Spanned<String> {
        self.held(arm).map_or(&self.arms.ecm.namespace, |h| &h.namespace)
    }

    fn frame(&self, arm: ArmId) -> &Spanned<String> {
        self.held(arm).map_or(&self.arms.ecm.frame, |h| &h.frame)
    }

    /// Checks everything that the parser cannot; returns the names.
    fn check(&self) -> Result<Names, Refused> {
        for arm in ArmId::ALL {
            let (namespace, frame) = (self.namespace(arm), self.frame(arm));
            if !names::is_absolute(namespace.get_ref()) {
                return refuse(namespace, format!("namespace {:?} is no absolute ROS name", namespace.get_ref()));
            }
            let doubled = ArmId::ALL.into_iter().take(arm.index()).find(|a| self.namespace(*a) == namespace);
            if let Some(other) = doubled {
                return refuse(namespace, format!("{other} and {arm} are both in {}", namespace.get_ref()));
            }
            if frame.get_ref().is_empty() || frame.get_ref().len() > LONGEST_FRAME {
                return refuse(
                    frame,
                    format!("a frame has a name of 1 to {LONGEST_FRAME} bytes, such as {}", base_frame(arm)),
                );
            }
            let carried = self.held(arm).map(|h| &h.instrument);
            if let Some((carried, error)) = carried.and_then(|c| Some((c, Chain::held(c.get_ref()).err()?))) {
                let known = [Instrument::names(), ArmFile::names()].concat().join(", ");
                return refuse(carried, format!("instrument: {error}; known are {known}"));
            }
        }
        self.limits.iter().try_for_each(|limit| self.check_limit(limit))?;
        self.name_topics()
    }

    fn check_limit(&self, limit: &Spanned<Narrowed>) -> Result<(), Refused> {
        let l = limit.get_ref();
        let chain = match self.held(l.arm) {
            Some(held) => Chain::held(held.instrument.get_ref()),
            None => Chain::ecm(),
        };
        let chain = chain.map_err(|e| (limit.span().start, e.to_string()))?;
        let jaw = usize::from(chain.limits().jaw != JawLimits::default());
        if l.joint >= chain.dof() + jaw {
            return refuse(limit, format!("joint {} of an arm with 0 to {}", l.joint, chain.dof() + jaw - 1));
        }
        if l.joint == chain.dof() {
            return Ok(());
        }
        let (own, Some([lower, upper])) = (chain.limits(), l.position) else { return Ok(()) };
        // Written so that NaN is refused too. A range beyond the arm's own is a mistake in units.
        let sane = lower < upper && lower >= own.lower[l.joint] - 0.1 && upper <= own.upper[l.joint] + 0.1;
        let (low, high) = (own.lower[l.joint], own.upper[l.joint]);
        if sane {
            Ok(())
        } else {
            refuse(limit, format!("position [{lower}, {upper}] of a joint that goes from {low} to {high}"))
        }
    }

    fn name_topics(&self) -> Result<Names, Refused> {
        let mut pairs: BTreeMap<String, String> = BTreeMap::new();
        for arm in ArmId::ALL {
            pairs.extend(names::below(arm, self.namespace(arm).get_ref()));
        }
        let single =
            |ours: &Spanned<String>, theirs: &Spanned<String>| (ours.get_ref().clone(), theirs.get_ref().clone());
        for (ours, theirs) in &self.topics {
            if !graph::all().iter().any(|t| t.name == ours.get_ref().as_str()) {
                return refuse(ours, format!("{} is no topic of `proctor graph`", ours.get_ref()));
            }
            if !names::is_absolute(theirs.get_ref()) {
                return refuse(theirs, format!("{:?} is no absolute ROS name", theirs.get_ref()));
            }
            let (ours, theirs) = single(ours, theirs);
            pairs.insert(ours, theirs);
        }
        let place = self.topics.values().next().map_or(0, |t| t.span().start);
        let named = Names::new(pairs).map_err(|e: BusError| (place, e.to_string()))?;
        Ok(ArmId::ALL.into_iter().fold(named, |n, arm| n.with_frame(arm, self.frame(arm).get_ref())))
    }
}

fn refuse<T, R>(place: &Spanned<T>, reason: String) -> Result<R, Refused> {
    Err((place.span().start, reason))
}
