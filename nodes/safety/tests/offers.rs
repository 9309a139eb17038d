//! The table of proposals by itself: what is taken in, what makes room, what is refused.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_safety::{
    Finding, LiveScene, Plan, SafetyParams,
    authority::{Approved, Authority, Circumstances, MAX_PROPOSALS},
};
use proctor_types::{ArmId, Constraint, DecisionKind, Digest, Proposal, SafetyMode, Skill, Stamp, Withdrawal};
use std::time::Duration;
use support::{Cellar, HOME_PSM, MS, SURGEON, key, sway, verifier};

/// An authority, and a cell that makes proposals for it.
struct Desk {
    authority: Authority,
    cell: Cellar,
    scene: LiveScene,
}

impl Desk {
    fn new() -> Self {
        let mut cell = Cellar::new(SafetyParams::default());
        cell.run(5);
        let scene = LiveScene::new(&cell.scene());
        Self { authority: Authority::new(&cell.params), cell, scene }
    }

    fn now(&self) -> Stamp {
        self.cell.now
    }

    fn proposal(&mut self) -> Proposal {
        sway(&mut self.cell)
    }

    fn offer(&mut self, p: &Proposal) -> (Option<Box<Plan>>, Result<(), Finding>) {
        let plan = self.cell.planner.prepare(p).unwrap();
        self.authority.offer(Box::new(plan), self.now())
    }

    fn decide(&mut self, p: &Proposal, kind: DecisionKind) -> Result<Option<Approved>, Finding> {
        let decision = self.cell.decision(p, kind);
        let word = verifier().open(&key(SURGEON).seal(support::BOOT, decision)).unwrap();
        let c = Circumstances {
            now: self.now(),
            mode: SafetyMode::Supervised,
            holder: Some(SURGEON),
            scene: Some(&self.scene),
            set_point: &|_| Some(HOME_PSM),
            tolerance: &|_| [0.01; 7],
            busy: false,
        };
        self.authority.decide(&word, &c)
    }

    fn withdraw(&mut self, p: &Proposal, digest: Digest) -> Result<(), Finding> {
        let stamp = self.now();
        self.authority.withdraw(&Withdrawal { stamp, proposal: p.id, digest })
    }
}

fn constraint<T>(r: Result<T, Finding>) -> Option<Constraint> {
    r.err().map(|f| f.constraint)
}

#[test]
fn a_proposal_that_has_expired_is_handed_back_with_how_late_it_is() {
    let mut desk = Desk::new();
    let mut p = desk.proposal();
    p.expires = desk.now();
    let (back, refused) = desk.offer(&p);
    let f = refused.unwrap_err();
    assert_eq!(
        (back.unwrap().id, f.constraint, f.arm, f.value, f.limit),
        (p.id, Constraint::Expired, Some(ArmId::Psm1), 0.0, 0.0)
    );
    p.expires = desk.now().minus(Duration::from_millis(250));
    assert_eq!(desk.offer(&p).1.unwrap_err().value, 0.25);
    p.expires = desk.now().plus(MS);
    assert_eq!(constraint(desk.offer(&p).1), None);
}

#[test]
fn the_same_motion_or_the_same_number_is_offered_once() {
    let mut desk = Desk::new();
    let p = desk.proposal();
    assert_eq!(constraint(desk.offer(&p).1), None);
    let (back, refused) = desk.offer(&p);
    let f = refused.unwrap_err();
    assert_eq!((back.unwrap().digest, f.constraint), (p.digest(), Constraint::Sequence));
    assert_eq!((f.value, f.limit), (p.id.0 as f64, p.id.0 as f64 + 1.0));
    // Another motion under its number.
    let other = Proposal { skill: Skill::Retract, ..p.clone() };
    assert_ne!(other.digest(), p.digest());
    assert_eq!(constraint(desk.offer(&other).1), Some(Constraint::Sequence));
    assert_eq!(desk.decide(&p, DecisionKind::Approve).unwrap().unwrap().digest(), p.digest());
}

#[test]
fn a_withdrawal_takes_back_the_very_motion_it_names_even_before_it_comes() {
    let mut desk = Desk::new();
    let p = desk.proposal();
    desk.offer(&p).1.unwrap();
    let f = desk.withdraw(&p, Digest::of(b"another")).unwrap_err();
    assert_eq!((f.constraint, f.arm), (Constraint::DigestMismatch, Some(ArmId::Psm1)));
    let approved = desk.decide(&p, DecisionKind::Approve).unwrap().unwrap();
    assert_eq!((approved.operator(), approved.digest()), (SURGEON, p.digest()));
    assert!(desk.authority.stands(&approved));
    desk.withdraw(&p, p.digest()).unwrap();
    assert!(!desk.authority.stands(&approved));
    // A withdrawal that overtakes its proposal.
    let early = desk.proposal();
    desk.withdraw(&early, early.digest()).unwrap();
    let (back, refused) = desk.offer(&early);
    let f = refused.unwrap_err();
    assert_eq!((f.constraint, f.value, back.is_some()), (Constraint::Withdrawn, early.id.0 as f64, true));
}

#[test]
fn the_oldest_offer_makes_room_the_useless_ones_first_and_an_approved_one_never() {
    let mut desk = Desk::new();
    let mut offered = Vec::new();
    for i in 0..MAX_PROPOSALS {
        let mut p = desk.proposal();
        // Ends earlier the later it comes: the last is the oldest by its end.
        p.expires = desk.now().plus(Duration::from_secs(20 - i as u64));
        let (made_room, taken) = desk.offer(&p);
        assert!(made_room.is_none() && taken.is_ok(), "{i}");
        offered.push(p);
    }
    // The third is rejected, so it goes first; then the one that ends first.
    assert!(desk.decide(&offered[2], DecisionKind::Reject).unwrap().is_none());
    for expected in [2, MAX_PROPOSALS - 1] {
        let mut p = desk.proposal();
        p.expires = desk.now().plus(Duration::from_secs(30));
        let (made_room, taken) = desk.offer(&p);
        assert_eq!((made_room.unwrap().id, constraint(taken)), (offered[expected].id, None));
    }
    assert_eq!(constraint(desk.decide(&offered[2], DecisionKind::Approve)), Some(Constraint::NotApproved));
    // One that is over makes room before one that is not.
    desk.cell.now = desk.now().plus(Duration::from_secs(15));
    let mut p = desk.proposal();
    p.expires = desk.now().plus(Duration::from_secs(30));
    assert_eq!(desk.offer(&p).0.unwrap().id, offered[6].id);
}

#[test]
fn a_table_of_approved_motions_has_no_room() {
    let mut desk = Desk::new();
    let mut grants = Vec::new();
    for _ in 0..MAX_PROPOSALS {
        let p = desk.proposal();
        desk.offer(&p).1.unwrap();
        grants.push(desk.decide(&p, DecisionKind::Approve).unwrap().unwrap());
    }
    let p = desk.proposal();
    let (back, refused) = desk.offer(&p);
    let f = refused.unwrap_err();
    let all = MAX_PROPOSALS as f64;
    assert_eq!((back.unwrap().id, f.constraint, f.value, f.limit), (p.id, Constraint::Sequence, all, all));
    // One ends; its place is free, and it cannot come again.
    let ended = grants.pop().unwrap();
    let digest = ended.digest();
    assert_eq!(desk.authority.plan(&ended).map(|plan| plan.digest), Some(digest));
    let plan = desk.authority.end(ended).unwrap();
    assert_eq!(plan.digest, digest);
    assert_eq!(constraint(desk.authority.offer(plan, desk.cell.now).1), Some(Constraint::Sequence));
    assert_eq!(constraint(desk.offer(&p).1), None);
}
