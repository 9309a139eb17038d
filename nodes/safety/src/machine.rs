//! The mode of the node as a pure function: `update(state, facts, request) -> (state, effects)`.
//!
//! Invariants, each with a test:
//! - e-stop wins from every state, whoever asks, and latches: FAULT leaves only by a reset at rest;
//! - nobody holds authority at boot, nor after Disable or Reset; while somebody does, only their requests count, except those
//!   that stop (e-stop, Disable) and Reset, which anybody may ask for: none of them gives motion;
//! - motion is possible in TELEOP and SUPERVISED only, and not while a stop is pending;
//! - a protection that trips in TELEOP or SUPERVISED leads to HOLD or FAULT in the same tick.

use crate::Finding;
use proctor_types::{Constraint, OperatorId, RequestKind, SafetyMode};

/// Protections that stop motion, in the order in which they name the cause when several trip at once.
pub const PROTECTIONS: [(Constraint, Severity); 11] = [
    (Constraint::EStop, Severity::Fault),
    (Constraint::FollowingError, Severity::Fault),
    (Constraint::ClockJump, Severity::Hold),
    (Constraint::Gate, Severity::Hold),
    (Constraint::ArmNotReady, Severity::Hold),
    (Constraint::TrocarOffset, Severity::Hold),
    (Constraint::ForceRate, Severity::Hold),
    (Constraint::KinematicsStale, Severity::Hold),
    (Constraint::ForceStale, Severity::Hold),
    (Constraint::SceneStale, Severity::Hold),
    (Constraint::CommandStale, Severity::Hold),
];

/// How a protection acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Stop; the operator may go on once the cause is gone.
    Hold,
    /// Stop and latch until a reset.
    Fault,
}

/// Which protections see their cause in this tick: a bit per entry of [`PROTECTIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Causes(u16);

impl Causes {
    /// Adds a protection. Constraints that are none are ignored.
    pub fn add(&mut self, c: Constraint) {
        self.0 |= Self::bit(c);
    }

    /// Whether a protection sees its cause.
    pub fn has(self, c: Constraint) -> bool {
        self.0 & Self::bit(c) != 0
    }

    fn bit(c: Constraint) -> u16 {
        PROTECTIONS.iter().position(|(p, _)| *p == c).map_or(0, |i| 1 << i)
    }

    /// The most severe protection that is relevant in `mode`, if any.
    fn worst(self, mode: SafetyMode) -> Option<(Constraint, Severity)> {
        PROTECTIONS.into_iter().find(|&(c, _)| self.has(c) && guards(c, mode))
    }
}

/// Whether a protection guards a mode. HOLD is guarded by what a return to READY needs.
fn guards(c: Constraint, mode: SafetyMode) -> bool {
    match mode {
        SafetyMode::Disabled | SafetyMode::Ready | SafetyMode::Fault => c == Constraint::EStop,
        SafetyMode::Teleop => c != Constraint::SceneStale,
        SafetyMode::Supervised => c != Constraint::CommandStale,
        SafetyMode::Hold => !matches!(c, Constraint::SceneStale | Constraint::CommandStale),
    }
}

/// What the machine needs to know about the world in this tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Facts {
    /// Protections that see their cause.
    pub causes: Causes,
    /// Whether every set-point and every measured joint rests.
    pub at_rest: bool,
}

/// Where a stop in progress leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pending {
    /// To READY.
    Ready,
    /// To DISABLED.
    Disable,
}

/// State of the machine. The default is the boot state: DISABLED, no authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Machine {
    /// Mode.
    pub mode: SafetyMode,
    /// Why it is in HOLD or FAULT.
    pub cause: Option<Constraint>,
    /// Whether an e-stop is latched.
    pub e_stop: bool,
    /// Who holds authority.
    pub authority: Option<OperatorId>,
    /// A stop that has to end before the mode changes.
    pub pending: Option<Pending>,
}

/// What a transition asks of the rest of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing.
    None,
    /// Enable and home the arms.
    EnableArms,
    /// Disable the arms.
    DisableArms,
}

/// A request with its sender; what the machine refuses it says in [`Update::refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ask {
    /// Who.
    pub operator: OperatorId,
    /// What.
    pub kind: RequestKind,
}

/// Outcome of [`Machine::update`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// The next state.
    pub next: Machine,
    /// What it asks for.
    pub effect: Effect,
    /// Why the request was refused, if it was.
    pub refused: Option<Finding>,
}

impl Machine {
    /// Whether arms may move under this state.
    pub fn may_move(&self) -> bool {
        matches!(self.mode, SafetyMode::Teleop | SafetyMode::Supervised) && self.pending.is_none()
    }

    /// Autonomy level (Yang et al. 2017): teleoperation within active constraints is assistance, an approved motion is a task.
    pub fn autonomy_level(&self) -> u8 {
        match self.mode {
            SafetyMode::Supervised => 2,
            SafetyMode::Teleop => 1,
            SafetyMode::Disabled | SafetyMode::Ready | SafetyMode::Hold | SafetyMode::Fault => 0,
        }
    }

    /// One step: first what the world forces, then what an operator asks.
    #[must_use]
    pub fn update(self, facts: &Facts, ask: Option<Ask>) -> Update {
        let (next, effect) = self.protect(facts).settle(facts);
        match ask {
            None => Update { next, effect, refused: None },
            Some(ask) => match next.answer(facts, ask) {
                Ok((answered, more)) => {
                    let effect = if more == Effect::None { effect } else { more };
                    Update { next: answered, effect, refused: None }
                }
                Err(finding) => Update { next, effect, refused: Some(finding) },
            },
        }
    }

    /// Protections act.
    fn protect(mut self, facts: &Facts) -> Self {
        if facts.causes.has(Constraint::EStop) {
            return self.fault(Constraint::EStop);
        }
        let Some((cause, severity)) = facts.causes.worst(self.mode) else { return self };
        match severity {
            Severity::Fault => return self.fault(cause),
            Severity::Hold if self.mode != SafetyMode::Hold => {
                (self.mode, self.cause) = (SafetyMode::Hold, Some(cause));
                if self.pending == Some(Pending::Ready) {
                    self.pending = None;
                }
            }
            Severity::Hold => {}
        }
        self
    }

    fn fault(self, cause: Constraint) -> Self {
        // In FAULT only an e-stop is heard, so the first cause is kept unless an e-stop comes and names itself.
        let e_stop = self.e_stop || cause == Constraint::EStop;
        Self { mode: SafetyMode::Fault, cause: Some(cause), e_stop, pending: None, ..self }
    }

    /// A pending stop ends.
    fn settle(self, facts: &Facts) -> (Self, Effect) {
        match self.pending {
            Some(Pending::Ready) if facts.at_rest => {
                (Self { mode: SafetyMode::Ready, pending: None, ..self }, Effect::None)
            }
            Some(Pending::Disable) if facts.at_rest => (Self::default(), Effect::DisableArms),
            Some(Pending::Ready | Pending::Disable) | None => (self, Effect::None),
        }
    }

    fn answer(self, facts: &Facts, ask: Ask) -> Result<(Self, Effect), Finding> {
        use SafetyMode::{Disabled, Fault, Hold, Ready, Supervised, Teleop};
        let wrong_mode = || Err(Finding::node(Constraint::WrongMode, mode_number(self.mode), 0.0));
        let stops = matches!(ask.kind, RequestKind::EStop | RequestKind::Disable | RequestKind::Reset);
        if let Some(holder) = self.authority
            && holder != ask.operator
            && !stops
        {
            return Err(Finding::node(Constraint::WrongOperator, f64::from(ask.operator.0), f64::from(holder.0)));
        }
        let go = |next| Ok((next, Effect::None));
        match (ask.kind, self.mode) {
            (RequestKind::EStop, _) => go(self.fault(Constraint::EStop)),

            (RequestKind::Enable, Disabled) => {
                Ok((Self { mode: Ready, authority: Some(ask.operator), ..self }, Effect::EnableArms))
            }
            // Asking again is harmless: arms that were not ready are asked again.
            (RequestKind::Enable, Ready) => Ok((self, Effect::EnableArms)),
            (RequestKind::Enable, Teleop | Supervised | Hold | Fault) => wrong_mode(),

            (RequestKind::Disable, Disabled | Ready) => Ok((Self::default(), Effect::DisableArms)),
            (RequestKind::Disable, Teleop | Supervised | Hold) => go(Self { pending: Some(Pending::Disable), ..self }),
            (RequestKind::Disable, Fault) => wrong_mode(),

            (RequestKind::Teleop, Ready) => self.enter(Teleop, facts),
            (RequestKind::Supervise, Ready) => self.enter(Supervised, facts),
            (RequestKind::Teleop, Teleop) | (RequestKind::Supervise, Supervised) if self.pending.is_none() => go(self),
            (RequestKind::Teleop | RequestKind::Supervise, _) => wrong_mode(),

            (RequestKind::Ready, Ready) => go(self),
            (RequestKind::Ready, Teleop | Supervised) if self.pending.is_none() => {
                go(Self { pending: Some(Pending::Ready), ..self })
            }
            (RequestKind::Ready, Teleop | Supervised) => go(self),
            (RequestKind::Ready, Hold) => match facts.causes.worst(Hold) {
                Some((cause, _)) => Err(Finding::node(cause, 1.0, 0.0)),
                None if !facts.at_rest || self.pending.is_some() => wrong_mode(),
                None => go(Self { mode: Ready, cause: None, ..self }),
            },
            (RequestKind::Ready, Disabled | Fault) => wrong_mode(),

            (RequestKind::Reset, Fault) if facts.causes.has(Constraint::EStop) => {
                Err(Finding::node(Constraint::EStop, 1.0, 0.0))
            }
            (RequestKind::Reset, Fault) if facts.at_rest => go(Self::default()),
            (RequestKind::Reset, _) => wrong_mode(),

            // Heard in every mode; what may come of it is decided when the zones are there.
            (RequestKind::ReadZones, _) => go(self),
        }
    }

    fn enter(self, mode: SafetyMode, facts: &Facts) -> Result<(Self, Effect), Finding> {
        match facts.causes.worst(mode) {
            Some((cause, _)) => Err(Finding::node(cause, 1.0, 0.0)),
            None if !facts.at_rest => Err(Finding::node(Constraint::WrongMode, mode_number(self.mode), 0.0)),
            None => Ok((Self { mode, ..self }, Effect::None)),
        }
    }
}

/// Number of a mode on the wire, for verdicts.
pub(crate) fn mode_number(mode: SafetyMode) -> f64 {
    SafetyMode::ALL.iter().take_while(|m| **m != mode).count() as f64
}
