//! The node's logic: from what is seen and asked to at most one live proposal.

use crate::{
    AutonomyError, AutonomyParams, Context, Declined, Inputs, WithdrawReason,
    live::{Fate, Live, planned_with},
    robot::Robot,
    skill::{Plan, SkillPlanner, Stage},
    skills,
    standing::{Ledger, Standing},
};
use proctor_types::{ArmId, DecisionKind, Proposal, ProposalId, SafetyState, Skill, SkillRequest, Stamp, Withdrawal};
use std::{sync::Arc, time::Duration};

/// What one step decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// New proposals, at most one.
    pub proposals: Vec<Proposal>,
    /// Proposals taken back, at most one.
    pub withdrawals: Vec<Withdrawal>,
    /// What happened and why, for the log, in order.
    pub notes: Vec<Note>,
}

/// Something worth logging.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Note {
    /// A skill was wanted and not proposed.
    Declined {
        /// Which skill.
        skill: Skill,
        /// Whether an operator asked for it.
        asked: bool,
        /// Why.
        reason: Declined,
    },
    /// A proposal was made.
    Proposed(ProposalId, Skill),
    /// A proposal was taken back.
    Withdrawn(ProposalId, WithdrawReason),
    /// An operator rejected a proposal.
    Rejected(ProposalId),
    /// A motion ran to its end.
    Finished(ProposalId),
}

/// A request that is being pursued.
#[derive(Debug, Clone, Copy)]
struct Pending {
    request: SkillRequest,
    until: Stamp,
}

/// The logic of the autonomy node.
pub struct Autonomy {
    params: Arc<AutonomyParams>,
    robot: Arc<Robot>,
    library: Vec<Box<dyn SkillPlanner>>,
    /// Per skill of the library: why it does not want to act, if it does not, why its last plan failed, and until when it is quiet.
    wants: Vec<Result<(), Declined>>,
    failed: Vec<Option<Declined>>,
    quiet_until: Vec<Stamp>,
    counter: u32,
    live: Option<Live>,
    pending: Option<Pending>,
    next_attempt: Stamp,
    settled_at: Stamp,
    seen: Option<u64>,
    /// Since when there has been nothing to look at.
    blind_since: Option<Stamp>,
    last_declined: Option<(Skill, Declined)>,
    standing: Standing,
    ledger: Ledger,
}

/// What a skill wants before it has looked.
const NOT_LOOKED: Result<(), Declined> = Err(Declined::NoScene);

impl Autonomy {
    /// For the standard cell.
    pub fn new(params: AutonomyParams) -> Result<Self, AutonomyError> {
        params.validate()?;
        let robot = Robot::new(&params)?;
        let library = skills::all();
        let n = library.len();
        Ok(Self {
            params: Arc::new(params),
            robot: Arc::new(robot),
            library,
            wants: vec![NOT_LOOKED; n],
            failed: vec![None; n],
            quiet_until: vec![Stamp::FIRST; n],
            counter: 0,
            live: None,
            pending: None,
            next_attempt: Stamp::FIRST,
            settled_at: Stamp::FIRST,
            seen: None,
            blind_since: None,
            last_declined: None,
            standing: Standing::default(),
            ledger: Ledger::default(),
        })
    }

    /// Runs with other parameters from the next step on, a live proposal too; refused ones change nothing. [`AutonomyParams::FIXED`] ones stay what they were.
    pub fn adjust(&mut self, params: AutonomyParams) -> Result<(), AutonomyError> {
        params.validate()?;
        let (session, instruments) = (self.params.session, self.params.instruments.clone());
        self.params = Arc::new(AutonomyParams { session, instruments, ..params });
        Ok(())
    }

    /// The proposal that is out, if any.
    pub fn live(&self) -> Option<&Proposal> {
        self.live.as_ref().map(|l| &l.proposal)
    }

    /// Why there is a proposal, or none, as of the last step.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// How long it stood how.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// One step. Reads at most the newest of each input, plans at most once per skill, and emits at most one proposal and
    /// one withdrawal. The same inputs in the same order give the same outputs, bit for bit.
    pub fn step(&mut self, now: Stamp, inputs: &Inputs<'_>) -> Output {
        let mut out = Output::default();
        self.decide(now, inputs, &mut out);
        self.follow(now, inputs.safety_state, &mut out);
        self.ask(now, inputs, &mut out);
        // Held here, so that the rest of `self` stays free to change while the context borrows them.
        let robot = Arc::clone(&self.robot);
        let params = Arc::clone(&self.params);
        let context = Context::check(now, inputs, &robot, &params);
        self.review(now, &context, &mut out);
        self.look(now, &context);
        self.propose(now, &context, &mut out);
        self.standing = self.stands(now, context.err());
        self.ledger.enter(now, &self.standing);
        out
    }

    /// Where it stands after a step; `barred` is what spoke against proposing anything.
    fn stands(&self, now: Stamp, barred: Option<Declined>) -> Standing {
        if let Some(live) = &self.live {
            return match live.stage {
                Stage::Offered => Standing::Offered(live.proposal.skill),
                Stage::Running => Standing::Running(live.proposal.skill),
            };
        }
        if let Some(why) = barred {
            return Standing::Barred(why);
        }
        let rest = |until: Stamp| until.seconds_since(now).max(0.0);
        let asked = self.pending.map(|p| p.request.skill);
        let why = |i: usize| {
            let failed = self.failed[i].unwrap_or(Declined::Resting { left: rest(self.next_attempt) });
            if asked == Some(self.library[i].skill()) {
                return failed;
            }
            match self.wants[i] {
                Err(why) => why,
                Ok(()) if now < self.quiet_until[i] => Declined::Unwanted { left: rest(self.quiet_until[i]) },
                Ok(()) if now < self.settled_at => Declined::Resting { left: rest(self.settled_at) },
                Ok(()) => failed,
            }
        };
        Standing::Idle((0..self.library.len()).map(|i| (self.library[i].skill(), why(i))).collect())
    }

    /// Decisions about the live proposal: only a rejection concerns autonomy.
    fn decide(&mut self, now: Stamp, inputs: &Inputs<'_>, out: &mut Output) {
        let Some(live) = &self.live else { return };
        let (id, digest, skill) = (live.proposal.id, live.digest, live.skill);
        let rejected =
            inputs.decisions.iter().any(|d| d.kind == DecisionKind::Reject && d.proposal == id && d.digest == digest);
        if rejected {
            out.notes.push(Note::Rejected(id));
            self.forget(now, skill, Quiet::Long);
        }
    }

    /// What safety did with the live proposal.
    fn follow(&mut self, now: Stamp, safety: Option<&SafetyState>, out: &mut Output) {
        let (Some(live), Some(safety)) = (&mut self.live, safety) else { return };
        let (id, skill) = (live.proposal.id, live.skill);
        match live.follow(safety) {
            Fate::Open => {}
            Fate::Finished => {
                out.notes.push(Note::Finished(id));
                self.forget(now, skill, Quiet::Settle);
            }
            Fate::Aborted => self.take_back(now, WithdrawReason::Aborted, Quiet::Settle, out),
        }
    }

    /// Takes up the newest request.
    fn ask(&mut self, now: Stamp, inputs: &Inputs<'_>, out: &mut Output) {
        let gate = &self.params.gate;
        if self.pending.is_some_and(|p| now >= p.until) {
            self.pending = None;
        }
        let Some(&request) = inputs.requests.last() else { return };
        if now.seconds_since(request.stamp).abs() > gate.request_lifetime {
            return;
        }
        let until = now.plus(Duration::from_secs_f64(gate.request_lifetime));
        if let Some(live) = &self.live {
            if live.stage == Stage::Running {
                self.decline(request.skill, true, Declined::Busy, out);
                return;
            }
            if live.proposal.skill == request.skill && live.proposal.trajectory.arm() == request.arm {
                // What is asked for is already on offer.
                self.pending = Some(Pending { request, until });
                return;
            }
            self.take_back(now, WithdrawReason::Superseded, Quiet::None, out);
        }
        self.pending = Some(Pending { request, until });
        self.next_attempt = now;
        self.last_declined = None;
    }

    /// Withdraws the live proposal if it no longer fits.
    fn review(&mut self, now: Stamp, context: &Result<Context<'_>, Declined>, out: &mut Output) {
        let Some(live) = &mut self.live else { return };
        let planner = self.library[live.skill].as_ref();
        if let Some(reason) = live.withdraw(now, context, planner, &self.params) {
            let quiet = if reason == WithdrawReason::Expired { Quiet::Long } else { Quiet::Settle };
            self.take_back(now, reason, quiet, out);
        }
    }

    /// Lets every skill see a new scene once. A moment without anything to look at does not undo how long a reason has lasted: else a
    /// late message now and then would keep every skill from ever having one for long enough.
    fn look(&mut self, now: Stamp, context: &Result<Context<'_>, Declined>) {
        let Ok(context) = context else {
            self.wants.fill(NOT_LOOKED);
            self.failed.fill(None);
            self.seen = None;
            let since = *self.blind_since.get_or_insert(now);
            if now.seconds_since(since) >= self.params.gate.doubt_for {
                self.library.iter_mut().for_each(|planner| planner.reset());
            }
            return;
        };
        self.blind_since = None;
        if self.seen != Some(context.scene.seq) {
            self.seen = Some(context.scene.seq);
            let asked = self.pending.map(|p| p.request.skill);
            for (i, planner) in self.library.iter_mut().enumerate() {
                self.wants[i] = planner.wants(context);
                // Why a plan failed is said for as long as one is wanted.
                let wanted = self.wants[i].is_ok() || asked == Some(planner.skill());
                self.failed[i] = self.failed[i].filter(|_| wanted);
            }
        }
    }

    fn propose(&mut self, now: Stamp, context: &Result<Context<'_>, Declined>, out: &mut Output) {
        if self.live.is_some() || now < self.next_attempt {
            return;
        }
        for (skill, arm, asked) in self.candidates(now) {
            let planner = self.library[skill].as_ref();
            let kind = planner.skill();
            let planned = context.as_ref().map_err(|declined| *declined).and_then(|context| {
                ArmId::ALL.into_iter().try_for_each(|arm| context.at_rest(arm))?;
                let plan = planner.plan(context, arm)?;
                let planned_with = planned_with(context, plan.sweep.arm);
                Ok((plan, planned_with))
            });
            self.next_attempt = now.plus(Duration::from_secs_f64(self.params.gate.retry));
            match planned {
                Ok((plan, planned_with)) => {
                    self.offer(now, skill, plan, planned_with, out);
                    return;
                }
                Err(reason) => {
                    self.failed[skill] = Some(reason);
                    if asked && hopeless(&reason) {
                        self.pending = None;
                    }
                    self.decline(kind, asked, reason, out);
                }
            }
        }
    }

    /// What to try now: what was asked for, else what wants to act and is not quiet.
    fn candidates(&self, now: Stamp) -> Vec<(usize, Option<ArmId>, bool)> {
        if let Some(Pending { request, .. }) = self.pending {
            let index = self.library.iter().position(|planner| planner.skill() == request.skill);
            return index.map(|i| (i, Some(request.arm), true)).into_iter().collect();
        }
        let ready = now >= self.settled_at;
        (0..self.library.len())
            .filter(|&i| ready && self.wants[i].is_ok() && now >= self.quiet_until[i])
            .map(|i| (i, None, false))
            .collect()
    }

    fn offer(
        &mut self,
        now: Stamp,
        skill: usize,
        plan: Plan,
        planned_with: proctor_types::PlannedWith,
        out: &mut Output,
    ) {
        self.counter = self.counter.saturating_add(1);
        let proposal = Proposal {
            id: ProposalId(u64::from(self.params.session) << 32 | u64::from(self.counter)),
            stamp: now,
            expires: now.plus(Duration::from_secs_f64(self.params.gate.expiry)),
            skill: self.library[skill].skill(),
            trajectory: plan.timed.trajectory.clone(),
            planned_with,
            evidence: plan.evidence.clone(),
        };
        out.notes.push(Note::Proposed(proposal.id, proposal.skill));
        out.proposals.push(proposal.clone());
        self.last_declined = None;
        self.failed.fill(None);
        self.live = Some(Live::new(proposal, plan, skill));
    }

    /// Says why a skill is not proposed, once per change of the reason's kind.
    fn decline(&mut self, skill: Skill, asked: bool, reason: Declined, out: &mut Output) {
        let same = self.last_declined.is_some_and(|(before, why)| {
            before == skill && std::mem::discriminant(&why) == std::mem::discriminant(&reason)
        });
        self.last_declined = Some((skill, reason));
        if !same {
            out.notes.push(Note::Declined { skill, asked, reason });
        }
    }

    fn take_back(&mut self, now: Stamp, reason: WithdrawReason, quiet: Quiet, out: &mut Output) {
        let Some(live) = &self.live else { return };
        let (proposal, digest, skill) = (live.proposal.id, live.digest, live.skill);
        out.withdrawals.push(Withdrawal { stamp: now, proposal, digest });
        out.notes.push(Note::Withdrawn(proposal, reason));
        if reason == WithdrawReason::Expired || reason == WithdrawReason::Aborted {
            self.forget(now, skill, quiet);
        } else {
            // A request outlives a scene that changed: it is planned afresh, but not in the same instant.
            self.live = None;
            self.next_attempt = now.plus(Duration::from_secs_f64(self.params.gate.retry));
            self.pause(now, skill, quiet);
        }
    }

    /// The live proposal is done with, and so is the request it answered.
    fn forget(&mut self, now: Stamp, skill: usize, quiet: Quiet) {
        self.live = None;
        if self.pending.is_some_and(|p| p.request.skill == self.library[skill].skill()) {
            self.pending = None;
        }
        self.pause(now, skill, quiet);
    }

    fn pause(&mut self, now: Stamp, skill: usize, quiet: Quiet) {
        let gate = &self.params.gate;
        let after = |seconds| now.plus(Duration::from_secs_f64(seconds));
        match quiet {
            Quiet::None => {}
            Quiet::Settle => self.settled_at = after(gate.settle),
            Quiet::Long => {
                self.settled_at = after(gate.settle);
                self.quiet_until[skill] = after(gate.quiet);
            }
        }
        self.wants[skill] = NOT_LOOKED;
        self.library[skill].reset();
    }
}

/// How long autonomy holds back after a proposal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quiet {
    None,
    Settle,
    Long,
}

/// Whether asking again could not help.
fn hopeless(reason: &Declined) -> bool {
    matches!(
        reason,
        Declined::WrongArm { .. } | Declined::CannotGrasp { .. } | Declined::Holding { .. } | Declined::NothingToDo
    )
}
