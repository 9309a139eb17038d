//! Who may move what: proposals waiting for a decision, the decision's verification, and presence. Takes only words whose seal was
//! verified, and counts the words of every login.
//!
//! [`Approved`] can be made here only, by [`Authority::decide`], and is not `Clone`: a motion is played by whoever holds the one
//! that was granted for exactly its digest.
//!
//! ```compile_fail
//! let forged = proctor_safety::Approved { slot: 0 }; // private fields
//! ```

use crate::{
    Finding, SafetyParams,
    dofs::Q,
    plan::Plan,
    sessions::{Admission, Sessions, Word},
    surface::LiveScene,
};
use proctor_seal::Verified;
use proctor_types::{
    ArmId, Constraint, Decision, DecisionKind, Digest, OperatorId, Presence, ProposalId, SafetyMode, Stamp, Withdrawal,
};

/// Most proposals that wait for a decision at a time.
pub const MAX_PROPOSALS: usize = 8;
/// Digests remembered per reason, so that a motion runs at most once, and not after it was withdrawn.
const REMEMBERED: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Offered,
    Approved,
    /// Withdrawn by autonomy or rejected by the operator.
    Refused,
}

#[derive(Debug)]
struct Slot {
    plan: Box<Plan>,
    standing: Standing,
}

/// The grant to run one motion: made by [`Authority::decide`] only.
#[derive(Debug, PartialEq, Eq)]
pub struct Approved {
    slot: usize,
    digest: Digest,
    operator: OperatorId,
}

impl Approved {
    /// Digest of the motion.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Who approved it.
    pub fn operator(&self) -> OperatorId {
        self.operator
    }
}

/// The last few digests of something.
#[derive(Debug, Clone, Copy)]
struct Ring {
    digests: [Option<Digest>; REMEMBERED],
    next: usize,
}

impl Default for Ring {
    fn default() -> Self {
        Self { digests: [None; REMEMBERED], next: 0 }
    }
}

impl Ring {
    fn has(&self, digest: &Digest) -> bool {
        self.digests.contains(&Some(*digest))
    }

    fn note(&mut self, digest: Digest) {
        if let Some(slot) = self.digests.get_mut(self.next) {
            *slot = Some(digest);
        }
        self.next = (self.next + 1) % REMEMBERED;
    }
}

/// What the world looks like to a decision.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// Now.
    pub now: Stamp,
    /// Mode of the node.
    pub mode: SafetyMode,
    /// Who holds authority.
    pub holder: Option<OperatorId>,
    /// The live scene.
    pub scene: Option<&'a LiveScene>,
    /// Current set-point of an arm, if it has one.
    pub set_point: &'a dyn Fn(ArmId) -> Option<Q>,
    /// How far an arm's start may be from its set-point.
    pub tolerance: &'a dyn Fn(ArmId) -> Q,
    /// Whether a motion has begun and not ended.
    pub busy: bool,
}

/// Proposals, decisions and presence.
#[derive(Debug)]
pub struct Authority {
    admission: Admission,
    presence_age: f64,
    slots: [Option<Slot>; MAX_PROPOSALS],
    ended: Ring,
    /// Withdrawn before they were offered: messages of different topics may overtake each other.
    recalled: Ring,
    sessions: Sessions,
    presence: Option<Presence>,
}

impl Authority {
    /// Nothing offered, nothing approved, nobody present.
    pub fn new(params: &SafetyParams) -> Self {
        Self {
            admission: Admission::new(params),
            presence_age: params.watchdogs.presence,
            slots: [const { None }; MAX_PROPOSALS],
            ended: Ring::default(),
            recalled: Ring::default(),
            sessions: Sessions::default(),
            presence: None,
        }
    }

    /// Takes a prepared proposal in. Returns a plan that is no longer needed: one that made room, or this one if it was refused.
    pub fn offer(&mut self, plan: Box<Plan>, now: Stamp) -> (Option<Box<Plan>>, Result<(), Finding>) {
        let arm = plan.arm;
        if plan.expires <= now {
            let late = now.seconds_since(plan.expires);
            return (Some(plan), Err(Finding::of(arm, Constraint::Expired, late, 0.0)));
        }
        if self.recalled.has(&plan.digest) {
            let id = plan.id.0 as f64;
            return (Some(plan), Err(Finding::of(arm, Constraint::Withdrawn, id, 0.0)));
        }
        let same = |s: &Slot| s.plan.id == plan.id || s.plan.digest == plan.digest;
        if self.ended.has(&plan.digest) || self.slots.iter().flatten().any(same) {
            let id = plan.id.0 as f64;
            return (Some(plan), Err(Finding::of(arm, Constraint::Sequence, id, id + 1.0)));
        }
        // An empty slot, else one that can no longer be approved, else the oldest offer.
        let worth = |s: &Option<Slot>| match s {
            None => Some((0, Stamp::FIRST)),
            Some(s) if s.standing == Standing::Approved => None,
            Some(s) if s.standing == Standing::Refused || s.plan.expires <= now => Some((1, s.plan.expires)),
            Some(s) => Some((2, s.plan.expires)),
        };
        let best = self.slots.iter_mut().filter_map(|s| worth(s).map(|w| (w, s))).min_by_key(|(w, _)| *w);
        match best {
            Some((_, slot)) => {
                let old = slot.replace(Slot { plan, standing: Standing::Offered });
                (old.map(|s| s.plan), Ok(()))
            }
            None => {
                (Some(plan), Err(Finding::of(arm, Constraint::Sequence, MAX_PROPOSALS as f64, MAX_PROPOSALS as f64)))
            }
        }
    }

    fn find(&mut self, id: ProposalId) -> Option<(usize, &mut Slot)> {
        self.slots.iter_mut().enumerate().find_map(|(i, s)| s.as_mut().filter(|s| s.plan.id == id).map(|s| (i, s)))
    }

    /// Autonomy takes a proposal back. A running motion must be stopped: ask [`Authority::stands`].
    pub fn withdraw(&mut self, w: &Withdrawal) -> Result<(), Finding> {
        match self.find(w.proposal) {
            Some((_, slot)) if slot.plan.digest == w.digest => {
                slot.standing = Standing::Refused;
                Ok(())
            }
            Some((_, slot)) => Err(Finding::of(slot.plan.arm, Constraint::DigestMismatch, 0.0, 0.0)),
            None => {
                self.recalled.note(w.digest);
                Ok(())
            }
        }
    }

    /// Whether the motion of an approval still stands (was not withdrawn or rejected since).
    pub fn stands(&self, approved: &Approved) -> bool {
        self.slots.get(approved.slot).and_then(Option::as_ref).is_some_and(|s| s.standing == Standing::Approved)
    }

    /// The plan of an approval.
    pub fn plan(&self, approved: &Approved) -> Option<&Plan> {
        self.slots.get(approved.slot)?.as_ref().map(|s| &*s.plan).filter(|p| p.digest == approved.digest)
    }

    /// An approval ends: run, cancelled or superseded. Its plan cannot be approved again. Returns it for disposal.
    pub fn end(&mut self, approved: Approved) -> Option<Box<Plan>> {
        self.ended.note(approved.digest);
        self.slots.get_mut(approved.slot)?.take().map(|s| s.plan)
    }

    /// Whether a word counts: its speaker is admitted, it is recent, and it comes after the last one.
    pub fn admit(&mut self, word: &Word, holder: Option<OperatorId>, now: Stamp) -> Result<(), Finding> {
        self.admission.check(word, now)?;
        self.sessions.accept(word, holder)
    }

    /// Judges a decision. An approval that passes every check is granted; a rejection is noted.
    pub fn decide(&mut self, d: &Verified<Decision>, c: &Circumstances) -> Result<Option<Approved>, Finding> {
        self.admit(&d.into(), c.holder, c.now)?;
        if c.holder != Some(d.operator) {
            let holder = c.holder.map_or(0.0, |h| f64::from(h.0));
            return Err(Finding::node(Constraint::WrongOperator, f64::from(d.operator.0), holder));
        }
        let Some((index, slot)) = self.find(d.proposal) else {
            return Err(Finding::node(Constraint::NotApproved, d.proposal.0 as f64, 0.0));
        };
        let plan = &slot.plan;
        if plan.digest != d.digest {
            return Err(Finding::of(plan.arm, Constraint::DigestMismatch, 0.0, 0.0));
        }
        match d.kind {
            DecisionKind::Reject => {
                slot.standing = Standing::Refused;
                Ok(None)
            }
            DecisionKind::Approve => {
                approvable(slot, c)?;
                slot.standing = Standing::Approved;
                Ok(Some(Approved { slot: index, digest: d.digest, operator: d.operator }))
            }
        }
    }

    /// Notes a presence message. Only that of the holder of authority counts.
    pub fn note_presence(
        &mut self,
        p: &Verified<Presence>,
        holder: Option<OperatorId>,
        now: Stamp,
    ) -> Result<(), Finding> {
        self.admit(&p.into(), holder, now)?;
        if holder != Some(p.operator) {
            let holder = holder.map_or(0.0, |h| f64::from(h.0));
            return Err(Finding::node(Constraint::WrongOperator, f64::from(p.operator.0), holder));
        }
        self.presence = Some(Presence { stamp: p.stamp.min(now), ..**p });
        Ok(())
    }

    /// Age of the presence that holds exactly this motion, s, or `None` if it is not held or too old. Age counts from the
    /// message's own stamp, so a delayed message is worth less.
    pub fn held(&self, approved: &Approved, now: Stamp) -> Option<f64> {
        let p = self.presence.filter(|p| p.held && p.digest == approved.digest && p.operator == approved.operator)?;
        let age = now.seconds_since(p.stamp);
        (0.0..=self.presence_age).contains(&age).then_some(age)
    }

    /// The newest presence, whatever it holds.
    pub fn presence(&self) -> Option<&Presence> {
        self.presence.as_ref()
    }

    /// Forgets presence: after a jump of the clock its age means nothing.
    pub fn forget_presence(&mut self) {
        self.presence = None;
    }
}

/// Whether a known proposal with the right digest may be approved now.
fn approvable(slot: &Slot, c: &Circumstances) -> Result<(), Finding> {
    let plan = &*slot.plan;
    let arm = plan.arm;
    if slot.standing == Standing::Refused {
        return Err(Finding::of(arm, Constraint::Withdrawn, plan.id.0 as f64, 0.0));
    }
    if slot.standing == Standing::Approved {
        return Err(Finding::of(arm, Constraint::Sequence, plan.id.0 as f64, 0.0));
    }
    if c.now >= plan.expires {
        return Err(Finding::of(arm, Constraint::Expired, c.now.seconds_since(plan.expires), 0.0));
    }
    if c.mode != SafetyMode::Supervised || c.busy {
        return Err(Finding::of(arm, Constraint::WrongMode, crate::machine::mode_number(c.mode), 3.0));
    }
    current(plan, c.scene)?;
    startable(plan, (c.set_point)(arm), &(c.tolerance)(arm))
}

/// Whether the plan rests on what is live now.
pub(crate) fn current(plan: &Plan, scene: Option<&LiveScene>) -> Result<(), Finding> {
    let outdated = |value: u64, limit: u64, index| {
        Err(Finding::of(plan.arm, Constraint::OutdatedPlan, value as f64, limit as f64).at(index))
    };
    let Some(scene) = scene else { return Err(Finding::of(plan.arm, Constraint::SceneStale, 0.0, 0.0)) };
    let with = plan.planned_with;
    if with.model != scene.model {
        return outdated(0, 1, 0);
    }
    if with.hand_eye != scene.hand_eye_version(plan.arm) {
        return outdated(with.hand_eye, scene.hand_eye_version(plan.arm), 1);
    }
    if with.zones != scene.zones {
        return outdated(with.zones, scene.zones, 2);
    }
    Ok(())
}

/// Whether the arm is where the plan starts.
pub(crate) fn startable(plan: &Plan, at: Option<Q>, tolerance: &Q) -> Result<(), Finding> {
    let Some(at) = at else { return Err(Finding::of(plan.arm, Constraint::ArmNotReady, 0.0, 1.0)) };
    let (joint, off) = plan.start_mismatch(&at, tolerance);
    let allowed = tolerance.get(joint).copied().unwrap_or(0.0);
    if off > allowed {
        return Err(Finding::of(plan.arm, Constraint::StartMismatch, off, allowed).at(joint));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sixty_four_digests_are_remembered_and_no_others() {
        let digest = |i: usize| Digest::of(&i.to_le_bytes());
        let mut ring = Ring::default();
        for i in 0..3 * REMEMBERED {
            assert!(!ring.has(&digest(i)));
            ring.note(digest(i));
            assert!((0..=i).all(|k| ring.has(&digest(k)) == (i - k < REMEMBERED)), "after {i}");
        }
    }
}
