//! The proposal that is out, and when it must be taken back.
//!
//! Safety compares `planned_with` and the start position when a motion is approved and when it starts, never afterwards: tissue that is being
//! pulled changes the guarded surface by intention. So versions, start position and expiry matter until the motion starts. While it runs, a proposal
//! is withdrawn - which stops the arm - when the scene stops being trustworthy or fresh, and, until contact, when the target moved away or the
//! way there is no longer clear. After contact tissue is expected to move; live surfaces are then guarded by safety at 1 kHz.

use crate::{
    AutonomyParams, Context, Declined, WithdrawReason,
    plan::clearance::Tissue,
    skill::{Drift, Plan, SkillPlanner, Stage},
};
use proctor_types::{ArmId, Digest, PlannedWith, Proposal, SafetyState, Stamp};

/// How far short of its margin a running motion may fall before it is withdrawn, m.
const RUNNING_SLACK: f64 = 0.004;
/// Every how many trajectory points the clearance of a live proposal is checked again; at 20 ms and 20 mm/s that is every 1.6 mm.
const STRIDE: usize = 4;

/// A proposal that is out.
#[derive(Debug)]
pub struct Live {
    /// What was proposed.
    pub proposal: Proposal,
    /// Its digest.
    pub digest: Digest,
    /// How it was planned.
    pub plan: Plan,
    /// Index of its skill in the library.
    pub skill: usize,
    /// Whether it runs.
    pub stage: Stage,
    /// `SafetyState::executed` when it was seen to start.
    executed_before: u64,
    progress: f64,
    doubt: Option<(Stamp, WithdrawReason)>,
    judged: Option<u64>,
}

/// What the safety node did with a live proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Still out, perhaps running.
    Open,
    /// Ran to its end.
    Finished,
    /// Began and was dropped.
    Aborted,
}

impl Live {
    /// A proposal as just made.
    pub fn new(proposal: Proposal, plan: Plan, skill: usize) -> Self {
        let digest = proposal.digest();
        Self {
            proposal,
            digest,
            plan,
            skill,
            stage: Stage::Offered,
            executed_before: 0,
            progress: 0.0,
            doubt: None,
            judged: None,
        }
    }

    /// Follows what safety says about it.
    pub fn follow(&mut self, safety: &SafetyState) -> Fate {
        let mine = safety.active == self.digest;
        match (self.stage, mine) {
            (Stage::Offered, true) => {
                if safety.moving || safety.progress > 0.0 {
                    self.stage = Stage::Running;
                    self.executed_before = safety.executed;
                }
                Fate::Open
            }
            (Stage::Offered, false) => Fate::Open,
            (Stage::Running, true) => {
                self.progress = safety.progress;
                if safety.executed > self.executed_before { Fate::Finished } else { Fate::Open }
            }
            (Stage::Running, false) if safety.executed > self.executed_before => Fate::Finished,
            (Stage::Running, false) => Fate::Aborted,
        }
    }

    /// Why it must be taken back now, if it must.
    pub fn withdraw(
        &mut self,
        now: Stamp,
        context: &Result<Context<'_>, Declined>,
        planner: &dyn SkillPlanner,
        params: &AutonomyParams,
    ) -> Option<WithdrawReason> {
        if self.stage == Stage::Offered && now >= self.proposal.expires {
            return Some(WithdrawReason::Expired);
        }
        let doubt = match context {
            // Fusion may change its mind within a moment.
            Err(declined) if declined.is_doubt() => Some(WithdrawReason::NoLonger(*declined)),
            Err(declined) => return Some(WithdrawReason::NoLonger(*declined)),
            Ok(context) => {
                let offered = self.stage == Stage::Offered;
                let unfit = || self.outdated(context).or_else(|| self.arm_moved(context));
                if let Some(reason) = offered.then(unfit).flatten() {
                    return Some(reason);
                }
                // Clearances cost a millisecond or two: judged once per scene, and the judgement stands until the next.
                if self.judged == Some(context.scene.seq) {
                    self.doubt.map(|(_, reason)| reason)
                } else {
                    self.judged = Some(context.scene.seq);
                    self.judge(context, planner)
                }
            }
        };
        let Some(reason) = doubt else {
            self.doubt = None;
            return None;
        };
        let since = self.doubt.map_or(now, |(since, _)| since);
        self.doubt = Some((since, reason));
        (now.seconds_since(since) >= params.gate.doubt_for).then_some(reason)
    }

    fn outdated(&self, context: &Context<'_>) -> Option<WithdrawReason> {
        (planned_with(context, self.plan.sweep.arm) != self.proposal.planned_with).then_some(WithdrawReason::Outdated)
    }

    fn arm_moved(&self, context: &Context<'_>) -> Option<WithdrawReason> {
        let gate = &context.params.gate;
        let start = self.proposal.trajectory.points().first()?.position;
        let measured = context.arm(self.plan.sweep.arm).position;
        measured.iter().zip(start.iter()).enumerate().find_map(|(joint, (a, b))| {
            let (by, bound) = ((a - b).abs(), if joint == 2 { gate.start_linear } else { gate.start_angular });
            (by > bound).then_some(WithdrawReason::ArmMoved { joint, by })
        })
    }

    /// What a new scene says against it.
    fn judge(&self, context: &Context<'_>, planner: &dyn SkillPlanner) -> Option<WithdrawReason> {
        let at = match self.stage {
            Stage::Offered => 0.0,
            Stage::Running => self.progress * self.proposal.trajectory.duration(),
        };
        if self.stage == Stage::Running && self.plan.contact_at().is_some_and(|contact| at >= contact) {
            return None;
        }
        match planner.drift(context, &self.plan, self.stage) {
            Drift::By(by) if by > planner.tolerance(context.params) => return Some(WithdrawReason::TargetMoved { by }),
            Drift::Lost => return Some(WithdrawReason::NoLonger(Declined::NoTarget)),
            Drift::By(_) | Drift::Hidden => {}
        }
        let arm = self.plan.sweep.arm;
        let base_from_world = context.world_from_base(arm)?.inverse();
        let tissue = Tissue::new(context.scene, arm, base_from_world.iso(), &context.params.clearance);
        // While it runs safety stops it at the margin, on every scene; taking it back is for what became hopeless.
        let slack = if self.stage == Stage::Running { RUNNING_SLACK } else { 0.0 };
        let short = self.plan.sweep.shortfall(&tissue, &context.params.clearance, -slack, (at, STRIDE))?;
        Some(WithdrawReason::NoLonger(short.declined(arm)))
    }
}

/// The versions a plan for `arm` made from this scene rests on.
pub fn planned_with(context: &Context<'_>, arm: ArmId) -> PlannedWith {
    PlannedWith {
        model: context.scene.model,
        hand_eye: context.scene.hand_eye(arm).map_or(0, |h| h.version),
        zones: context.scene.zones_version,
    }
}
