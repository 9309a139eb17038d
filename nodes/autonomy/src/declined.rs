//! Why there is no proposal, and why one was taken back: values, said in plain words, never panics.

use proctor_types::{Alignment, ArmId, Class, Finding, QualityVerdict, SafetyMode, Skill};
use serde::Serialize;
use std::fmt;

/// Part of a motion; it decides which tissue must be kept clear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The endoscope moves.
    Look,
    /// Away from tissue that the instrument is too near to, as after a motion that ended half-way.
    Leave,
    /// Instrument in free space, on its way to the pre-grasp point.
    Transit,
    /// Straight towards the tissue.
    Approach,
    /// Jaws close at the tissue.
    Grip,
    /// Tissue moves with the jaws.
    Lift,
}

impl Phase {
    /// Plain word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Look => "moving the camera",
            Self::Leave => "backing off",
            Self::Transit => "moving to the tissue",
            Self::Approach => "approaching",
            Self::Grip => "gripping",
            Self::Lift => "lifting",
        }
    }
}

/// Why a skill is not proposed. Expected outcomes, not errors.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Declined {
    /// Fusion has not said anything yet.
    #[error("no scene yet")]
    NoScene,
    /// The scene is too old, or from the future.
    #[error("scene is {age:.3} s old, {limit:.3} s allowed")]
    SceneStale {
        /// Its age, s; negative when it lies in the future.
        age: f64,
        /// The bound, s.
        limit: f64,
    },
    /// The picture is not good enough to build on.
    #[error("the picture is {}", quality(*verdict))]
    Picture {
        /// What perception says of it.
        verdict: QualityVerdict,
    },
    /// Picture and kinematics do not agree, or not closely enough, on where an instrument is.
    #[error("{arm} {} ({residual_px:.1} px, known to {:.1} mm)", words(*alignment), sigma * 1e3)]
    NotAligned {
        /// Whose instrument.
        arm: ArmId,
        /// What fusion says of it.
        alignment: Alignment,
        /// Mean distance between projected and seen outline, px; 0 when not measured.
        residual_px: f64,
        /// How well the place of its tip is known: standard deviation in the worst axis, m.
        sigma: f64,
    },
    /// The scene does not say where an instrument is.
    #[error("the scene has no instruments")]
    NoInstruments,
    /// The stamps of pictures and joints differ by an unknown amount.
    #[error("{} (known to {:.0} ms)", Finding::TimeUnknown.words(), sigma * 1e3)]
    TimeUnknown {
        /// How well the difference is known, s.
        sigma: f64,
    },
    /// Fusion found something wrong with an instrument.
    #[error("{arm}: {}", finding.words())]
    Found {
        /// Whose instrument.
        arm: ArmId,
        /// What.
        finding: Finding,
    },
    /// The safety node is silent.
    #[error("no safety state within {limit:.3} s")]
    SafetySilent {
        /// The bound, s.
        limit: f64,
    },
    /// Motions are only offered in SUPERVISED.
    #[error("safety is {}, not SUPERVISED", mode.name())]
    WrongMode {
        /// The mode it is in.
        mode: SafetyMode,
    },
    /// An arm's joints are unknown or too old.
    #[error("joints of {arm} are not fresh ({limit:.3} s allowed)")]
    ArmSilent {
        /// Which arm.
        arm: ArmId,
        /// The bound, s.
        limit: f64,
    },
    /// An arm is not at rest.
    #[error("{arm} is moving (joint {joint} at {speed:.4} per second)")]
    ArmMoving {
        /// Which arm.
        arm: ArmId,
        /// Which joint.
        joint: usize,
        /// Its speed, rad/s or m/s.
        speed: f64,
    },
    /// Another motion is running.
    #[error("another motion is running")]
    Busy,
    /// The skill cannot be done with that arm.
    #[error("{arm} cannot do {}", skill.name())]
    WrongArm {
        /// The skill asked for.
        skill: Skill,
        /// The arm asked for.
        arm: ArmId,
    },
    /// The arm's instrument has no jaws that grasp.
    #[error("the instrument on {arm} cannot grasp")]
    CannotGrasp {
        /// Which arm.
        arm: ArmId,
    },
    /// The arm already holds tissue.
    #[error("{arm} already holds the gallbladder")]
    Holding {
        /// Which arm.
        arm: ArmId,
    },
    /// Nothing to grasp was seen.
    #[error("no place to grasp is seen")]
    NoTarget,
    /// No instrument tip lies in the picture.
    #[error("no instrument tip is in the picture")]
    NoTipVisible,
    /// The target is not a usable point.
    #[error("{what} is not a usable target")]
    BadTarget {
        /// What was tried.
        what: &'static str,
    },
    /// What the skill is for is already so.
    #[error("nothing to do")]
    NothingToDo,
    /// The skill's reason has not lasted long enough yet.
    #[error("a reason for {lasted:.1} s, {needed:.1} s needed")]
    TooSoon {
        /// How long it has lasted, s.
        lasted: f64,
        /// How long it must, s.
        needed: f64,
    },
    /// The skill is only proposed when somebody asks for it.
    #[error("only when asked for")]
    OnlyWhenAsked,
    /// A moment of rest after the last proposal ended, or between two attempts.
    #[error("rests for {left:.1} s")]
    Resting {
        /// How long still, s.
        left: f64,
    },
    /// An operator rejected the skill or let it expire.
    #[error("was not wanted, rests for {left:.0} s")]
    Unwanted {
        /// How long still, s.
        left: f64,
    },
    /// Inverse kinematics found no joints.
    #[error("{arm} cannot reach {what} ({:.1} mm and {rotation_error:.2} rad short)", position_error * 1e3)]
    Unreachable {
        /// Which arm.
        arm: ArmId,
        /// What was tried.
        what: &'static str,
        /// Remaining distance, m.
        position_error: f64,
        /// Remaining angle, rad.
        rotation_error: f64,
    },
    /// The target is singular.
    #[error("{arm} is singular at {what}")]
    Singular {
        /// Which arm.
        arm: ArmId,
        /// What was tried.
        what: &'static str,
    },
    /// A joint would leave its range less the planner's margin.
    #[error("joint {joint} of {arm} would be {value:.4}, [{lower:.4}, {upper:.4}] allowed")]
    JointLimit {
        /// Which arm.
        arm: ArmId,
        /// Which joint.
        joint: usize,
        /// Its value, rad or m.
        value: f64,
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
    },
    /// The wrist would come too close to the remote centre.
    #[error("wrist of {arm} would be {:.1} mm below its remote centre, {:.1} mm needed", depth * 1e3, limit * 1e3)]
    NearRemoteCentre {
        /// Which arm.
        arm: ArmId,
        /// Distance of the wrist from the remote centre, m.
        depth: f64,
        /// The least allowed, m.
        limit: f64,
    },
    /// Inverse kinematics jumps along the path.
    #[error("joint {joint} of {arm} would jump along the path")]
    IkBranch {
        /// Which arm.
        arm: ArmId,
        /// Which joint.
        joint: usize,
    },
    /// The path left what can be computed with.
    #[error("path of {arm} is not computable")]
    PathBroken {
        /// Which arm.
        arm: ArmId,
    },
    /// Within all limits the motion takes too long.
    #[error("motion of {arm} would take longer than {limit:.0} s")]
    TooLong {
        /// Which arm.
        arm: ArmId,
        /// The bound, s.
        limit: f64,
    },
    /// The motion comes too close to tissue.
    #[error("{arm} would come to {:.1} mm of {} while {}, {:.1} mm needed", clearance * 1e3, class.name(), phase.name(), margin * 1e3)]
    TissueClearance {
        /// Which arm.
        arm: ArmId,
        /// Which tissue.
        class: Class,
        /// In which part of the motion.
        phase: Phase,
        /// The smallest distance, m.
        clearance: f64,
        /// What is needed, m.
        margin: f64,
    },
    /// The tool tip would leave the picture.
    #[error("{arm} would leave the picture while {}, {:.1} mm inside its edge, {:.1} mm needed", phase.name(), inside * 1e3, margin * 1e3)]
    OutOfPicture {
        /// Which arm.
        arm: ArmId,
        /// In which part of the motion.
        phase: Phase,
        /// How far inside the edge it would be, m.
        inside: f64,
        /// What is needed, m.
        margin: f64,
    },
    /// The motion comes too close to another instrument or the endoscope.
    #[error("{arm} would come to {:.1} mm of {other}, {:.1} mm needed", clearance * 1e3, margin * 1e3)]
    ToolClearance {
        /// Which arm.
        arm: ArmId,
        /// The other arm.
        other: ArmId,
        /// The smallest distance, m.
        clearance: f64,
        /// What is needed, m.
        margin: f64,
    },
}

impl Declined {
    /// Whether it is what fusion believes at present, of which it may change its mind within a moment.
    pub(crate) fn is_doubt(&self) -> bool {
        matches!(
            self,
            Self::Picture { .. }
                | Self::NotAligned { .. }
                | Self::NoInstruments
                | Self::TimeUnknown { .. }
                | Self::Found { .. }
        )
    }

    /// In plain words without figures: the same for everything of this kind.
    pub fn kind(&self) -> String {
        match *self {
            Self::SceneStale { .. } => "the scene is too old".to_owned(),
            Self::Picture { verdict } => format!("the picture is {}", quality(verdict)),
            Self::NotAligned { arm, alignment, .. } => format!("{arm} {}", words(alignment)),
            Self::TimeUnknown { .. } => Finding::TimeUnknown.words().to_owned(),
            Self::SafetySilent { .. } => "safety is silent".to_owned(),
            Self::ArmSilent { arm, .. } => format!("joints of {arm} are not fresh"),
            Self::ArmMoving { arm, .. } => format!("{arm} is moving"),
            Self::TooSoon { .. } => "has not had a reason for long enough".to_owned(),
            Self::Resting { .. } => "rests for a moment".to_owned(),
            Self::Unwanted { .. } => "was not wanted".to_owned(),
            Self::Unreachable { arm, what, .. } => format!("{arm} cannot reach {what}"),
            Self::JointLimit { arm, .. } => format!("a joint of {arm} would leave its range"),
            Self::NearRemoteCentre { arm, .. } => format!("wrist of {arm} would come too near the remote centre"),
            Self::IkBranch { arm, .. } => format!("a joint of {arm} would jump"),
            Self::TooLong { arm, .. } => format!("motion of {arm} would take too long"),
            Self::TissueClearance { arm, class, phase, .. } => {
                format!("{arm} would come too near {} while {}", class.name(), phase.name())
            }
            Self::OutOfPicture { arm, phase, .. } => format!("{arm} would leave the picture while {}", phase.name()),
            Self::ToolClearance { arm, other, .. } => format!("{arm} would come too near {other}"),
            Self::NoScene
            | Self::NoInstruments
            | Self::Found { .. }
            | Self::WrongMode { .. }
            | Self::Busy
            | Self::WrongArm { .. }
            | Self::CannotGrasp { .. }
            | Self::Holding { .. }
            | Self::NoTarget
            | Self::NoTipVisible
            | Self::BadTarget { .. }
            | Self::NothingToDo
            | Self::OnlyWhenAsked
            | Self::Singular { .. }
            | Self::PathBroken { .. } => self.to_string(),
        }
    }
}

fn quality(verdict: QualityVerdict) -> &'static str {
    match verdict {
        QualityVerdict::Unknown => "not judged",
        QualityVerdict::Good => "good",
        QualityVerdict::Degraded => "degraded",
        QualityVerdict::Unusable => "unusable",
    }
}

fn words(alignment: Alignment) -> &'static str {
    match alignment {
        Alignment::Unknown => "is not known",
        Alignment::KinematicOnly => "is not seen",
        Alignment::Converging => "is aligning",
        Alignment::Aligned => "is aligned",
        Alignment::Inconsistent => "is not where its joints say",
    }
}

/// The first try that succeeds, or why the first of all failed; `none` where there was nothing to try. What comes after the success is not tried.
pub(crate) fn first_of<T>(tries: impl IntoIterator<Item = Result<T, Declined>>, none: Declined) -> Result<T, Declined> {
    let mut refusal = None;
    for tried in tries {
        match tried {
            Ok(done) => return Ok(done),
            Err(declined) => {
                refusal.get_or_insert(declined);
            }
        }
    }
    Err(refusal.unwrap_or(none))
}

/// Why a live proposal was taken back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WithdrawReason {
    /// What would have declined it now (stale or untrustworthy scene, mode, silent arm, clearance, target gone).
    NoLonger(Declined),
    /// The model, the hand-eye estimate or the guarded surface has another version than it was planned with.
    Outdated,
    /// The target moved, m.
    TargetMoved {
        /// By how much, m.
        by: f64,
    },
    /// The arm is not where the motion starts.
    ArmMoved {
        /// Which joint.
        joint: usize,
        /// By how much, rad or m.
        by: f64,
    },
    /// Nobody answered in time.
    Expired,
    /// Safety dropped the motion before its end.
    Aborted,
    /// An operator asked for something else.
    Superseded,
}

impl fmt::Display for WithdrawReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLonger(declined) => declined.fmt(f),
            Self::Outdated => f.write_str("model, hand-eye or guarded surface changed"),
            Self::TargetMoved { by } => write!(f, "the target moved by {:.1} mm", by * 1e3),
            Self::ArmMoved { joint, by } => write!(f, "joint {joint} moved by {by:.4} from the start"),
            Self::Expired => f.write_str("nobody answered in time"),
            Self::Aborted => f.write_str("safety stopped it before its end"),
            Self::Superseded => f.write_str("an operator asked for something else"),
        }
    }
}
