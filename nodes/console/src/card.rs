//! Which proposal lies before the surgeon: the newest that is neither withdrawn, rejected, expired nor done.
//! A motion that is approved or running is never pushed aside by a newer proposal.

use proctor_types::{Digest, Proposal, ProposalId, SafetyState, Skill, Stamp};
use std::{collections::VecDeque, sync::Arc};

/// How many ended proposals are remembered, so that a repeated message does not bring one back.
pub const REMEMBERED: usize = 64;

/// Where a shown proposal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a decision.
    Offered,
    /// Approved, and at rest: not started, or stopped on the way.
    Waiting,
    /// Approved and moving.
    Moving,
}

/// How a proposal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Run to its end.
    Executed,
    /// The surgeon said no.
    Rejected,
    /// Autonomy took it back.
    Withdrawn,
    /// Nobody decided in time.
    Expired,
    /// Its approval ended before the motion did.
    Stopped,
}

/// A shown proposal.
#[derive(Debug, Clone)]
pub struct Card {
    /// The proposal.
    pub proposal: Arc<Proposal>,
    /// Its digest, computed here from what arrived.
    pub digest: Digest,
    /// Where it stands.
    pub phase: Phase,
    /// When it was first shown.
    pub shown: Stamp,
}

/// The last proposal that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Stamp,
    /// Which.
    pub id: ProposalId,
    /// What it was for.
    pub skill: Skill,
    /// How.
    pub how: Ending,
}

/// Follows proposals through their life.
#[derive(Debug, Default)]
pub struct CardTrack {
    current: Option<Card>,
    next: Option<Arc<Proposal>>,
    ended: VecDeque<Digest>,
    last: Option<Ended>,
    executed: u64,
    progress: f64,
}

impl CardTrack {
    /// The proposal to show.
    pub fn current(&self) -> Option<&Card> {
        self.current.as_ref()
    }

    /// The last proposal that ended.
    pub fn last_ended(&self) -> Option<Ended> {
        self.last
    }

    /// A proposal arrived.
    pub fn offer(&mut self, now: Stamp, proposal: Proposal) {
        let digest = proposal.digest();
        let known = self.current.as_ref().is_some_and(|c| c.digest == digest) || self.ended.contains(&digest);
        if known || proposal.expires <= now {
            return;
        }
        let proposal = Arc::new(proposal);
        if self.current.as_ref().is_some_and(|c| c.phase != Phase::Offered) {
            self.next = Some(proposal);
        } else {
            self.current = Some(Card { proposal, digest, phase: Phase::Offered, shown: now });
        }
    }

    /// Autonomy took a proposal back.
    pub fn withdraw(&mut self, now: Stamp, digest: Digest) {
        if self.next.as_ref().is_some_and(|p| p.digest() == digest) {
            self.next = None;
        }
        if self.current.as_ref().is_some_and(|c| c.digest == digest) {
            self.end(now, Ending::Withdrawn);
        } else {
            self.remember(digest);
        }
    }

    /// The surgeon said no.
    pub fn reject(&mut self, now: Stamp, digest: Digest) {
        if self.current.as_ref().is_some_and(|c| c.digest == digest) {
            self.end(now, Ending::Rejected);
        }
    }

    /// The safety node spoke.
    pub fn safety(&mut self, now: Stamp, state: &SafetyState) {
        let one_more_executed = state.executed > self.executed;
        self.executed = state.executed;
        if let Some(card) = &mut self.current {
            let was_active = card.phase != Phase::Offered;
            let is_active = state.active == card.digest;
            if was_active && one_more_executed {
                self.end(now, Ending::Executed);
            } else if is_active {
                card.phase = if state.moving { Phase::Moving } else { Phase::Waiting };
            } else if was_active && self.progress > 0.0 {
                self.end(now, Ending::Stopped);
            } else {
                card.phase = Phase::Offered;
            }
        }
        self.progress = state.progress;
    }

    /// Time passes: an offer expires. An approved motion does not; that is for the safety node to say.
    pub fn tick(&mut self, now: Stamp) {
        let expired = |c: &Card| c.phase == Phase::Offered && c.proposal.expires <= now;
        if self.current.as_ref().is_some_and(expired) {
            self.end(now, Ending::Expired);
        }
    }

    fn end(&mut self, now: Stamp, how: Ending) {
        let Some(card) = self.current.take() else { return };
        self.remember(card.digest);
        self.last = Some(Ended { at: now, id: card.proposal.id, skill: card.proposal.skill, how });
        if let Some(next) = self.next.take().filter(|p| p.expires > now) {
            let digest = next.digest();
            self.current = Some(Card { proposal: next, digest, phase: Phase::Offered, shown: now });
        }
    }

    fn remember(&mut self, digest: Digest) {
        if self.ended.len() >= REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, proposal, safety};
    use proctor_types::SafetyMode;

    #[test]
    fn the_newest_offer_is_shown_and_expires() {
        let mut t = CardTrack::default();
        t.offer(at(0), proposal(1, 1000));
        t.offer(at(10), proposal(2, 2000));
        assert_eq!(t.current().unwrap().proposal.id, ProposalId(2));
        t.tick(at(1999));
        assert!(t.current().is_some());
        t.tick(at(2000));
        assert!(t.current().is_none());
        assert_eq!(t.last_ended().unwrap().how, Ending::Expired);
        t.offer(at(2001), proposal(3, 2001));
        assert!(t.current().is_none(), "expired on arrival");
    }

    #[test]
    fn a_running_motion_is_not_pushed_aside_and_outlives_its_expiry() {
        let mut t = CardTrack::default();
        let p = proposal(1, 1000);
        let digest = p.digest();
        t.offer(at(0), p);
        let mut s = safety(SafetyMode::Supervised);
        s.active = digest;
        s.moving = true;
        s.progress = 0.5;
        t.safety(at(900), &s);
        t.offer(at(950), proposal(2, 5000));
        t.tick(at(1500));
        assert_eq!((t.current().unwrap().digest, t.current().unwrap().phase), (digest, Phase::Moving));
        s.moving = false;
        t.safety(at(1550), &s);
        assert_eq!(t.current().unwrap().phase, Phase::Waiting);
        s.executed = 1;
        s.active = Digest::default();
        t.safety(at(1600), &s);
        assert_eq!(
            t.last_ended().unwrap(),
            Ended { at: at(1600), id: ProposalId(1), skill: Skill::Retract, how: Ending::Executed }
        );
        assert_eq!(t.current().unwrap().proposal.id, ProposalId(2), "the one that waited comes next");
    }

    #[test]
    fn an_approval_that_ends_on_the_way_ends_the_card_and_one_before_the_start_does_not() {
        for (progress, kept) in [(0.3, false), (0.0, true)] {
            let mut t = CardTrack::default();
            let p = proposal(1, 1000);
            let mut s = safety(SafetyMode::Supervised);
            s.active = p.digest();
            s.progress = progress;
            t.offer(at(0), p);
            t.safety(at(1), &s);
            s.active = Digest::default();
            s.progress = 0.0;
            t.safety(at(2), &s);
            assert_eq!(t.current().is_some(), kept, "progress {progress}");
        }
    }

    #[test]
    fn rejected_and_withdrawn_proposals_do_not_come_back() {
        let mut t = CardTrack::default();
        t.offer(at(0), proposal(1, 1000));
        t.reject(at(1), proposal(1, 1000).digest());
        t.withdraw(at(2), proposal(2, 1000).digest());
        t.offer(at(3), proposal(1, 1000));
        t.offer(at(3), proposal(2, 1000));
        assert!(t.current().is_none());
    }
}
