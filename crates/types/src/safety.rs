//! What the safety node says about itself and about every command.

use crate::{ArmId, Boot, Digest, Stamp};
use serde::{Deserialize, Serialize};

/// State of the safety node. The default is the safe one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SafetyMode {
    /// Gate closed; arms may be unpowered.
    #[default]
    Disabled,
    /// Gate closed; arms hold; waiting for an operator to choose.
    Ready,
    /// Teleoperation commands pass the filter.
    Teleop,
    /// Approved motions run while held.
    Supervised,
    /// Stopped by a protection that clears by itself once its cause is gone and the operator asks again.
    Hold,
    /// Stopped and latched; leaves only by a deliberate reset at rest.
    Fault,
}

impl SafetyMode {
    /// Every mode, in wire order (the index is the value on the wire).
    pub const ALL: [Self; 6] = [Self::Disabled, Self::Ready, Self::Teleop, Self::Supervised, Self::Hold, Self::Fault];

    /// Name as shown and sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "DISABLED",
            Self::Ready => "READY",
            Self::Teleop => "TELEOP",
            Self::Supervised => "SUPERVISED",
            Self::Hold => "HOLD",
            Self::Fault => "FAULT",
        }
    }
}

macro_rules! constraints {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $unit:literal;)+) => {
        /// Everything that can limit or refuse a command, or stop motion. One name per cause, used in every verdict.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Constraint {
            $($(#[$doc])* $name,)+
        }

        impl Constraint {
            /// Every constraint, in wire order (the index is the value on the wire).
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Unit of `value` and `limit` in a verdict (empty for none).
            pub const fn unit(self) -> &'static str {
                match self { $(Self::$name => $unit,)+ }
            }
        }
    };
}

constraints! {
    /// Nothing was binding.
    None = "none", "";
    /// Joint position limit.
    JointPosition = "joint_position", "rad|m";
    /// Joint velocity limit.
    JointVelocity = "joint_velocity", "rad/s|m/s";
    /// Joint acceleration limit.
    JointAcceleration = "joint_acceleration", "rad/s2|m/s2";
    /// Tip speed.
    TipSpeed = "tip_speed", "m/s";
    /// Remote centre of motion: minimum depth of the wrist below it.
    RemoteCentre = "remote_centre", "m";
    /// A configured no-go zone.
    NoGoZone = "no_go_zone", "m";
    /// Tissue seen by fusion, with its margin.
    LiveSurface = "live_surface", "m";
    /// Distance between two instruments, or an instrument and the endoscope.
    ToolToolDistance = "tool_tool_distance", "m";
    /// The desired joints were too far from the current ones to be a servo goal.
    Jump = "jump", "rad|m";
    /// A command with NaN, infinity, wrong arm, wrong length or stamp 0.
    Malformed = "malformed", "";
    /// A command that was already used or came out of order.
    Sequence = "sequence", "";
    /// Command older than its watchdog.
    CommandStale = "command_stale", "s";
    /// Measured joints older than their watchdog, or NaN.
    KinematicsStale = "kinematics_stale", "s";
    /// Scene older than its watchdog.
    SceneStale = "scene_stale", "s";
    /// Presence not held within its watchdog.
    PresenceLost = "presence_lost", "s";
    /// No live approval of that digest.
    NotApproved = "not_approved", "";
    /// The proposal or approval has expired.
    Expired = "expired", "s";
    /// The digest approved is not the digest of the motion.
    DigestMismatch = "digest_mismatch", "";
    /// The motion was planned with another model, hand-eye or zone version than is live now.
    OutdatedPlan = "outdated_plan", "";
    /// The motion does not start where the arm is.
    StartMismatch = "start_mismatch", "rad|m";
    /// The proposal was withdrawn or rejected.
    Withdrawn = "withdrawn", "";
    /// The mode does not allow this command.
    WrongMode = "wrong_mode", "";
    /// Another operator holds authority.
    WrongOperator = "wrong_operator", "";
    /// E-stop is latched.
    EStop = "e_stop", "";
    /// The arm is not enabled and homed, or reports a fault.
    ArmNotReady = "arm_not_ready", "";
    /// The arm does not follow its set-point.
    FollowingError = "following_error", "rad|m";
    /// The clock jumped.
    ClockJump = "clock_jump", "s";
    /// The gate behind the filter refused what the filter produced.
    Gate = "gate", "";
    /// Joint jerk limit.
    JointJerk = "joint_jerk", "rad/s3|m/s3";
    /// Not sealed by the login it claims: forged, damaged or altered. The value is the operator it names.
    NotAuthentic = "not_authentic", "";
    /// Sealed for another start of the safety node, or by a login that another one of the same name or sixteen later ones replaced.
    CrossSession = "cross_session", "";
    /// Tip speed near tissue; the index is its class.
    TissueSpeed = "tissue_speed", "m/s";
    /// Measured contact force; the index is the class of the tissue that is touched, -1 where none is known.
    Force = "force", "N";
    /// Rate of the measured contact force: something was hit.
    ForceRate = "force_rate", "N/s";
    /// An arm that measured forces does not any more.
    ForceStale = "force_stale", "s";
    /// How far inside the edge of the picture an instrument stays in autonomous motion; the index is its arm.
    OutOfView = "out_of_view", "m";
    /// Remote centre of motion kept by software: distance of the shaft's line from the trocar.
    TrocarOffset = "trocar_offset", "m";
}

impl Constraint {
    /// What is left before the limit, in the constraint's unit: negative beyond it; 0 for what is no quantity.
    pub fn margin(self, value: f64, limit: f64) -> f64 {
        let left = match self {
            Self::RemoteCentre | Self::NoGoZone | Self::LiveSurface | Self::ToolToolDistance | Self::OutOfView => {
                value - limit
            }
            // Its limit is the nearer end of the range that the value has left.
            Self::JointPosition => -(value - limit).abs(),
            _ if self.unit().is_empty() => 0.0,
            _ => limit - value,
        };
        left.clamp(f64::MIN, f64::MAX)
    }
}

/// Which test the scene failed: the `index` of a verdict about [`Constraint::SceneStale`], where -1 is its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SceneFault {
    /// An arm is seen too far from where it is mounted, m.
    Displaced,
    /// An arm is seen turned too far from its mounting, rad.
    Turned,
    /// Picture and joints contradict each other, or are not known to agree.
    Contradicted,
    /// The picture is not good enough.
    BadPicture,
}

impl SceneFault {
    /// Every fault, in order of index.
    pub const ALL: [Self; 4] = [Self::Displaced, Self::Turned, Self::Contradicted, Self::BadPicture];

    /// The index that says so.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// What an index says; `None` for the scene's age.
    pub fn of(index: i32) -> Option<Self> {
        usize::try_from(index).ok().and_then(|i| Self::ALL.get(i).copied())
    }
}

/// What happened to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Passed unchanged.
    Passed,
    /// Passed after slowing or shaping by `constraint`.
    Limited,
    /// Not passed.
    Refused,
    /// The arm was brought to rest or kept there.
    Held,
}

impl Outcome {
    /// Every outcome, in wire order.
    pub const ALL: [Self; 4] = [Self::Passed, Self::Limited, Self::Refused, Self::Held];
}

/// One judgement of the safety node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// When.
    pub stamp: Stamp,
    /// Tick of the safety loop, 1 per millisecond.
    pub tick: u64,
    /// About which arm; `None` for the node as a whole.
    pub arm: Option<ArmId>,
    /// What happened.
    pub outcome: Outcome,
    /// Which constraint was binding.
    pub constraint: Constraint,
    /// What it was (see [`Constraint::unit`]).
    pub value: f64,
    /// What it may be.
    pub limit: f64,
    /// Which joint, zone or class, by index; -1 for none.
    pub index: i32,
}

impl Verdict {
    /// See [`Constraint::margin`].
    pub fn margin(&self) -> f64 {
        self.constraint.margin(self.value, self.limit)
    }
}

/// State of the safety node, published at 10 Hz or more and on every change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SafetyState {
    /// When.
    pub stamp: Stamp,
    /// Tick of the loop.
    pub tick: u64,
    /// Which start of the node speaks; what operators say must be sealed for it.
    pub boot: Boot,
    /// Mode.
    pub mode: SafetyMode,
    /// Why it is in HOLD or FAULT.
    pub cause: Constraint,
    /// Whether the e-stop is latched.
    pub e_stop: bool,
    /// Autonomy level (Yang et al. 2017): 0 none, 1 assistance, 2 task.
    pub autonomy_level: u8,
    /// Digest of the motion that is approved or running; zeros for none.
    pub active: Digest,
    /// How far the running motion is, [0, 1].
    pub progress: f64,
    /// Whether the running motion's arm moves in this tick: on its way, or stopping on it.
    pub moving: bool,
    /// Motions run to their end since start.
    pub executed: u64,
    /// Commands refused since start.
    pub refused: u64,
    /// Checks behind the gate that found a violation in what was sent; must stay 0.
    pub violations: u64,
    /// Ticks that took longer than their period.
    pub overruns: u64,
    /// Whether the node judges what others command and commands nothing itself: set when it starts, for as long as it runs.
    pub shadow: bool,
}

/// A no-go zone as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZoneLabel {
    /// As in the zones file, at most [`ZoneLabel::MAX_NAME`] bytes.
    pub name: String,
    /// Distance kept from its shape, m; uncertainty comes on top.
    pub margin: f64,
}

impl ZoneLabel {
    /// Longest name, bytes.
    pub const MAX_NAME: usize = 64;
}

/// Which no-go zones hold, published when the safety node starts and on every change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZonesState {
    /// Since when.
    pub stamp: Stamp,
    /// Rises with each change.
    pub version: u64,
    /// In the order in which verdicts number them, at most [`ZonesState::MAX_ZONES`].
    pub zones: Vec<ZoneLabel>,
}

impl ZonesState {
    /// Most zones of a cell.
    pub const MAX_ZONES: usize = 16;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_counts_away_from_the_limit_whichever_side_it_is_on() {
        for (constraint, value, limit, left) in [
            // Distances are kept.
            (Constraint::LiveSurface, 0.0018, 0.004, 0.0018 - 0.004),
            (Constraint::NoGoZone, 0.75, 0.5, 0.25),
            (Constraint::OutOfView, 0.75, 0.5, 0.25),
            (Constraint::ToolToolDistance, 0.75, 0.5, 0.25),
            (Constraint::RemoteCentre, 0.75, 0.5, 0.25),
            // Speeds, ages, forces and offsets stay below.
            (Constraint::TipSpeed, 0.75, 0.5, -0.25),
            (Constraint::TrocarOffset, 0.25, 0.5, 0.25),
            (Constraint::PresenceLost, 0.75, 0.5, -0.25),
            // Beyond a range at either end.
            (Constraint::JointPosition, 0.75, 0.5, -0.25),
            (Constraint::JointPosition, -0.75, -0.5, -0.25),
            // No quantities.
            (Constraint::WrongMode, 3.0, 1.0, 0.0),
            (Constraint::None, 1.0, 1.0, 0.0),
            (Constraint::TipSpeed, f64::MIN, f64::MAX, f64::MAX),
        ] {
            assert_eq!(constraint.margin(value, limit), left, "{constraint:?}");
        }
    }
}
