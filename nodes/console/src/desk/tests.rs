//! Timelines of clients at the desk.

use super::*;
use crate::testing::at;
use proctor_types::{ArmId, Skill};

const LIMITS: DeskLimits = DeskLimits { gap_ms: 100, seen_ms: 250, seat_ms: 10_000 };
const SURGEON: OperatorId = OperatorId(11);
const OTHER: OperatorId = OperatorId(22);
const SCRIPT: OperatorId = OperatorId(33);

/// No presence at all.
const NOTHING: [bool; 0] = [];

struct Bench {
    desk: Desk,
    facts: Facts,
}

impl Bench {
    /// A surgeon on connection 1, a proposal shown, view 1 sent at 0 ms.
    fn new() -> Self {
        let mut b = Self {
            desk: Desk::new(at(0), LIMITS),
            facts: Facts { shown: Some((ProposalId(7), motion())), ..Facts::default() },
        };
        b.desk.view_sent(at(0), 1);
        assert_eq!(b.event(0, 1, SURGEON, Happening::Connected), []);
        b
    }

    fn event(&mut self, ms: i64, conn: Conn, operator: OperatorId, what: Happening) -> Vec<Output> {
        let role = if operator == SCRIPT { Role::Scripted } else { Role::Surgeon };
        let mut out = Vec::new();
        self.desk.handle(Event { at: at(ms), conn, operator, role, what }, &self.facts, &mut out);
        out
    }

    fn say(&mut self, ms: i64, conn: Conn, operator: OperatorId, message: ClientMessage) -> Vec<Output> {
        self.event(ms, conn, operator, Happening::Said(message))
    }

    fn hold(&mut self, ms: i64, press: u32, seen: u64) -> Vec<bool> {
        let message = ClientMessage::Hold { digest: motion(), down: true, press, seen };
        held(&self.say(ms, 1, SURGEON, message))
    }

    fn tick(&mut self, ms: i64) -> Vec<bool> {
        let mut out = Vec::new();
        self.desk.tick(at(ms), &self.facts, &mut out);
        held(&out)
    }

    fn last_notice(&self) -> &'static str {
        self.desk.notices().last().map_or("", |n| n.words)
    }
}

fn motion() -> Digest {
    Digest::of(b"motion")
}

fn held(out: &[Output]) -> Vec<bool> {
    out.iter().filter_map(|o| if let Output::Presence(p) = o { Some(p.held) } else { None }).collect()
}

fn approve(digest: Digest) -> ClientMessage {
    ClientMessage::Approve { id: ProposalId(7), digest, seen: 1 }
}

#[test]
fn an_approval_names_exactly_what_was_shown() {
    let mut b = Bench::new();
    let out = b.say(50, 1, SURGEON, approve(motion()));
    let [Output::Decision(d)] = out[..] else { panic!("{out:?}") };
    assert_eq!((d.operator, d.proposal, d.digest, d.kind), (SURGEON, ProposalId(7), motion(), DecisionKind::Approve));
    assert_eq!(d.stamp, at(50));
    assert_eq!(b.say(51, 1, SURGEON, approve(Digest::of(b"another"))), []);
    let other_id = ClientMessage::Approve { id: ProposalId(8), digest: motion(), seen: 1 };
    assert_eq!(b.say(52, 1, SURGEON, other_id), []);
    b.facts.shown = None;
    assert_eq!(b.say(53, 1, SURGEON, approve(motion())), []);
    assert_eq!(b.last_notice(), "That suggestion is gone");
}

#[test]
fn an_approval_on_a_stale_picture_or_a_late_screen_is_not_passed_on() {
    let mut b = Bench::new();
    b.facts.picture_stale = true;
    assert_eq!(b.say(50, 1, SURGEON, approve(motion())), []);
    b.facts.picture_stale = false;
    assert_eq!(b.say(251, 1, SURGEON, approve(motion())), [], "view 1 is 251 ms old");
    let never_sent = ClientMessage::Approve { id: ProposalId(7), digest: motion(), seen: 2 };
    assert_eq!(b.say(10, 1, SURGEON, never_sent), []);
    assert_eq!(b.say(250, 1, SURGEON, approve(motion())).len(), 1);
}

#[test]
fn a_motion_that_is_approved_already_is_not_approved_again() {
    let mut b = Bench::new();
    b.facts.active = motion();
    assert_eq!(b.say(50, 1, SURGEON, approve(motion())), []);
}

#[test]
fn each_presence_is_one_message_of_the_client_and_carries_its_time() {
    let mut b = Bench::new();
    let hold = ClientMessage::Hold { digest: motion(), down: true, press: 1, seen: 1 };
    let mut seqs = Vec::new();
    for ms in [10, 43, 76, 109] {
        let out = b.say(ms, 1, SURGEON, hold);
        let [Output::Presence(p)] = out[..] else { panic!("{out:?}") };
        assert_eq!((p.stamp, p.operator, p.held, p.digest), (at(ms), SURGEON, true, motion()));
        seqs.push(p.seq);
        assert_eq!(b.tick(ms + 20), NOTHING, "time alone makes no presence");
    }
    assert!(seqs.windows(2).all(|w| w[1] > w[0]));
}

#[test]
fn a_gap_of_more_than_100_ms_releases_once_and_needs_a_new_press() {
    let mut b = Bench::new();
    assert_eq!(b.hold(0, 1, 1), [true]);
    assert_eq!(b.tick(100), NOTHING);
    assert_eq!(b.tick(101), [false]);
    assert_eq!(b.last_notice(), "Hold lost: let go and press again");
    assert_eq!(b.tick(200), NOTHING, "said once");
    assert_eq!(b.hold(210, 1, 1), NOTHING, "the same press does not resume");
    assert_eq!(b.hold(220, 2, 1), [true], "a new press does");
}

#[test]
fn a_burst_after_a_stall_does_not_resume_even_if_no_tick_came_between() {
    let mut b = Bench::new();
    assert_eq!(b.hold(0, 1, 1), [true]);
    assert_eq!(b.hold(150, 1, 1), [false]);
    assert_eq!(b.hold(151, 1, 1), NOTHING);
}

#[test]
fn a_hold_of_somebody_who_sees_the_past_is_lost() {
    let mut b = Bench::new();
    for ms in [0, 90, 180, 250] {
        assert_eq!(b.hold(ms, 1, 1), [true]);
    }
    assert_eq!(b.hold(260, 1, 1), [false], "view 1 is 260 ms old");
    b.desk.view_sent(at(261), 2);
    assert_eq!(b.hold(270, 1, 2), NOTHING);
    assert_eq!(b.hold(280, 2, 2), [true]);
}

#[test]
fn letting_go_releases_once() {
    let mut b = Bench::new();
    b.hold(0, 1, 1);
    let up = ClientMessage::Hold { digest: motion(), down: false, press: 1, seen: 1 };
    assert_eq!(held(&b.say(10, 1, SURGEON, up)), [false]);
    assert_eq!(held(&b.say(20, 1, SURGEON, up)), NOTHING);
    assert_eq!(b.hold(30, 1, 1), NOTHING, "a straggler of the old press");
}

#[test]
fn a_closed_connection_releases() {
    let mut b = Bench::new();
    b.hold(0, 1, 1);
    assert_eq!(held(&b.event(5, 1, SURGEON, Happening::Disconnected)), [false]);
    assert_eq!(b.tick(200), NOTHING);
}

#[test]
fn a_motion_that_goes_away_or_changes_takes_the_hold_with_it() {
    let mut b = Bench::new();
    b.hold(0, 1, 1);
    b.facts.shown = Some((ProposalId(8), Digest::of(b"another")));
    assert_eq!(b.tick(10), [false]);
    let hold = ClientMessage::Hold { digest: Digest::of(b"another"), down: true, press: 1, seen: 1 };
    assert_eq!(b.say(20, 1, SURGEON, hold), [], "the finger was down for another motion");
}

#[test]
fn a_second_surgeon_watches_and_can_stop() {
    let mut b = Bench::new();
    b.event(1, 2, OTHER, Happening::Connected);
    assert_eq!(b.say(2, 2, OTHER, approve(motion())), []);
    assert_eq!(b.say(2, 2, OTHER, ClientMessage::Reject { id: ProposalId(7), digest: motion() }), []);
    let hold = ClientMessage::Hold { digest: motion(), down: true, press: 1, seen: 1 };
    assert_eq!(b.say(3, 2, OTHER, hold), []);
    for what in RequestKind::ALL {
        let out = b.say(4, 2, OTHER, ClientMessage::Request { what });
        assert_eq!(out.len(), usize::from(what == RequestKind::EStop), "{what:?}");
    }
    let skill = ClientMessage::Skill { skill: Skill::Retract, arm: ArmId::Psm1 };
    assert_eq!(b.say(5, 2, OTHER, skill), []);
    b.say(6, 2, OTHER, ClientMessage::TakeSeat {});
    assert_eq!(b.desk.seat().unwrap().operator, SURGEON);
    assert_eq!(b.last_notice(), "The seat is taken");
}

#[test]
fn a_stranger_to_the_desk_can_still_stop() {
    let mut b = Bench::new();
    let out = b.say(1, 99, OTHER, ClientMessage::Request { what: RequestKind::EStop });
    assert!(matches!(out[..], [Output::Request(OperatorRequest { kind: RequestKind::EStop, operator: OTHER, .. })]));
}

#[test]
fn the_seat_waits_for_its_operator_and_then_becomes_free() {
    let mut b = Bench::new();
    b.event(1, 2, OTHER, Happening::Connected);
    b.event(100, 1, SURGEON, Happening::Disconnected);
    b.tick(10_100);
    b.say(10_100, 2, OTHER, ClientMessage::TakeSeat {});
    assert_eq!(b.desk.seat().unwrap().operator, SURGEON, "kept for 10 s");
    b.tick(10_101);
    b.say(10_102, 2, OTHER, ClientMessage::TakeSeat {});
    assert_eq!(b.desk.seat().unwrap().operator, OTHER);
}

#[test]
fn the_newest_page_of_an_operator_counts_and_the_older_loses_its_hold() {
    let mut b = Bench::new();
    b.hold(0, 1, 1);
    assert_eq!(held(&b.event(10, 3, SURGEON, Happening::Connected)), [false]);
    assert_eq!(b.hold(20, 2, 1), NOTHING, "connection 1 only watches now");
    b.event(30, 3, SURGEON, Happening::Disconnected);
    assert_eq!(b.hold(40, 3, 1), [true], "and counts again when the newer one is gone");
}

#[test]
fn a_person_takes_the_seat_from_a_script_and_not_the_other_way_round() {
    let mut b = Bench::new();
    b.event(0, 1, SURGEON, Happening::Disconnected);
    b.tick(20_000);
    b.event(20_001, 5, SCRIPT, Happening::Connected);
    assert_eq!(b.desk.seat().unwrap().role, Role::Scripted);
    b.event(20_002, 6, SURGEON, Happening::Connected);
    b.say(20_003, 6, SURGEON, ClientMessage::TakeSeat {});
    assert_eq!(b.desk.seat().unwrap().operator, SURGEON);
    b.say(20_004, 5, SCRIPT, ClientMessage::TakeSeat {});
    assert_eq!(b.desk.seat().unwrap().operator, SURGEON);
}

#[test]
fn a_mode_request_ends_the_hold_first() {
    let mut b = Bench::new();
    b.hold(0, 1, 1);
    let out = b.say(10, 1, SURGEON, ClientMessage::Request { what: RequestKind::Ready });
    assert!(matches!(out[..], [Output::Presence(Presence { held: false, .. }), Output::Request(_)]), "{out:?}");
}

#[test]
fn sequence_numbers_rise_across_a_restart() {
    let first = Bench::new().desk.next_seq();
    let mut later = Desk::new(at(1000), LIMITS);
    assert!(later.next_seq() > first);
}

#[test]
fn notices_are_bounded_and_not_repeated() {
    let mut b = Bench::new();
    for ms in 0..100 {
        b.say(ms, 1, SURGEON, approve(Digest::of(&[ms as u8])));
    }
    assert_eq!(b.desk.notices().count(), 1);
    assert_eq!(b.desk.notices().next().unwrap().n, 100);
}
