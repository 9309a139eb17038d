//! The operators' desk: turns what clients say into decisions, presence and requests. Pure and clock-free.
//!
//! What it never does:
//! - it never makes presence up: each `held: true` is one message of the client that holds, stamped when that message came;
//! - it never passes on a hold of somebody who sees the past: each hold names the newest view its client has drawn, and
//!   that view must be younger than [`DeskLimits::seen_ms`];
//! - it never lets a hold that was lost resume: after a gap longer than [`DeskLimits::gap_ms`], a stale screen, another
//!   motion or a closed connection, the operator has to let go and press again;
//! - it never passes on an approval of anything but the proposal that is shown;
//! - it never gives more than one operator the seat, and never refuses an e-stop to anybody who logged in.

use crate::protocol::ClientMessage;
use proctor_types::{
    Decision, DecisionKind, Digest, OperatorId, OperatorRequest, Presence, ProposalId, RequestKind, Role, SkillRequest,
    Stamp,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Views whose sending is remembered; at 30 Hz about two seconds.
const VIEWS_REMEMBERED: usize = 64;
/// Notices kept for showing.
const NOTICES_KEPT: usize = 8;

/// Names one WebSocket connection; never reused.
pub type Conn = u64;

/// The desk's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeskLimits {
    /// Longest gap between two messages of a hold, ms.
    pub gap_ms: u64,
    /// How old the newest view that a holding client has drawn may be, ms.
    pub seen_ms: u64,
    /// How long the seat is kept for an operator whose connection closed, ms.
    pub seat_ms: u64,
}

/// Something that happened at a client, when it arrived at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Stamp,
    /// On which connection.
    pub conn: Conn,
    /// Whose connection.
    pub operator: OperatorId,
    /// What kind of client.
    pub role: Role,
    /// What.
    pub what: Happening,
}

/// See [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// It opened.
    Connected,
    /// It closed, by whatever cause.
    Disconnected,
    /// It said something.
    Said(ClientMessage),
}

/// What the desk must know about the present to judge a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// The proposal shown, if any.
    pub shown: Option<(ProposalId, Digest)>,
    /// What the safety node says is approved or running; zeros for none.
    pub active: Digest,
    /// Whether the picture is too old to decide on.
    pub picture_stale: bool,
}

/// What leaves the desk, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Publish a decision.
    Decision(Decision),
    /// Publish presence.
    Presence(Presence),
    /// Publish a request to the safety node.
    Request(OperatorRequest),
    /// Publish a request to autonomy.
    Skill(SkillRequest),
}

/// Why something was not done, in plain words, for one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// Rises by one per notice.
    pub n: u64,
    /// For which connection.
    pub conn: Conn,
    /// The words.
    pub words: &'static str,
}

/// Who may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Who.
    pub operator: OperatorId,
    /// What kind of client.
    pub role: Role,
    /// The connection that counts, the newest of that operator; `None` while it is away.
    pub conn: Option<Conn>,
    away_since: Stamp,
}

/// A hold that is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Whose.
    pub conn: Conn,
    /// Of which motion.
    pub digest: Digest,
    operator: OperatorId,
    press: u32,
    last: Stamp,
}

struct Client {
    operator: OperatorId,
    role: Role,
    /// Presses up to and including this one are spent.
    spent_press: u32,
}

/// See the module.
pub struct Desk {
    limits: DeskLimits,
    clients: BTreeMap<Conn, Client>,
    seat: Option<Seat>,
    hold: Option<Hold>,
    views: VecDeque<(u64, Stamp)>,
    notices: VecDeque<Notice>,
    noticed: u64,
    seq: u64,
}

impl Desk {
    /// Nobody there. Sequence numbers start at `now` in nanoseconds, so they rise across restarts too.
    pub fn new(now: Stamp, limits: DeskLimits) -> Self {
        Self {
            limits,
            clients: BTreeMap::new(),
            seat: None,
            hold: None,
            views: VecDeque::new(),
            notices: VecDeque::new(),
            noticed: 0,
            seq: now.nanos().unsigned_abs(),
        }
    }

    /// Who may decide, if anybody.
    pub fn seat(&self) -> Option<Seat> {
        self.seat
    }

    /// The hold that is on, if any.
    pub fn hold(&self) -> Option<Hold> {
        self.hold
    }

    /// The latest notices, oldest first.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.notices.iter()
    }

    /// A view was handed to the clients.
    pub fn view_sent(&mut self, now: Stamp, seq: u64) {
        if self.views.len() >= VIEWS_REMEMBERED {
            self.views.pop_front();
        }
        self.views.push_back((seq, now));
    }

    /// Something happened at a client. Events of one connection come in order.
    pub fn handle(&mut self, event: Event, facts: &Facts, out: &mut Vec<Output>) {
        match event.what {
            Happening::Connected => self.connect(event, out),
            Happening::Disconnected => self.disconnect(event, out),
            Happening::Said(message) => self.said(event, message, facts, out),
        }
    }

    /// Time passes: a hold without fresh messages is lost, and a seat left empty becomes free.
    pub fn tick(&mut self, now: Stamp, facts: &Facts, out: &mut Vec<Output>) {
        if let Some(hold) = self.hold {
            if now.age_of(hold.last) > self.limits.gap_ms {
                self.lose_hold(now, hold, "Hold lost: let go and press again", out);
            } else if facts.shown.map(|s| s.1) != Some(hold.digest) {
                self.lose_hold(now, hold, "", out);
            }
        }
        let gone = |s: &Seat| s.conn.is_none() && now.age_of(s.away_since) > self.limits.seat_ms;
        if self.seat.as_ref().is_some_and(gone) {
            self.seat = None;
        }
    }

    fn connect(&mut self, e: Event, out: &mut Vec<Output>) {
        self.clients.insert(e.conn, Client { operator: e.operator, role: e.role, spent_press: 0 });
        match self.seat {
            None => self.sit(e),
            Some(seat) if seat.operator == e.operator => {
                self.release(e.at, out);
                self.sit(e);
            }
            Some(_) => {}
        }
    }

    fn disconnect(&mut self, e: Event, out: &mut Vec<Output>) {
        self.clients.remove(&e.conn);
        if self.hold.is_some_and(|h| h.conn == e.conn) {
            self.release(e.at, out);
        }
        if let Some(seat) = self.seat.as_mut().filter(|s| s.conn == Some(e.conn)) {
            seat.conn = self.clients.iter().rev().find(|(_, c)| c.operator == seat.operator).map(|(&conn, _)| conn);
            seat.away_since = e.at;
        }
    }

    fn said(&mut self, e: Event, message: ClientMessage, facts: &Facts, out: &mut Vec<Output>) {
        if matches!(message, ClientMessage::Request { what: RequestKind::EStop }) {
            self.request(e, RequestKind::EStop, out);
            return;
        }
        if let ClientMessage::TakeSeat {} = message {
            self.take_seat(e, out);
            return;
        }
        if self.seat.and_then(|s| s.conn) != Some(e.conn) {
            // Holds come 30 times a second: one notice is enough.
            if !matches!(message, ClientMessage::Hold { .. }) {
                self.notice(e.conn, "Another console has the seat: you are watching");
            }
            return;
        }
        match message {
            ClientMessage::Approve { id, digest, seen } => self.approve(e, (id, digest), seen, facts, out),
            ClientMessage::Reject { id, digest } => {
                if facts.shown == Some((id, digest)) {
                    self.release(e.at, out);
                    self.decide(e, (id, digest), DecisionKind::Reject, out);
                } else {
                    self.notice(e.conn, "That suggestion is gone");
                }
            }
            ClientMessage::Hold { digest, down: true, press, seen } => {
                self.hold_down(e, digest, press, seen, facts, out);
            }
            ClientMessage::Hold { down: false, press, .. } => {
                self.spend(e.conn, press);
                if self.hold.is_some_and(|h| h.conn == e.conn) {
                    self.release(e.at, out);
                }
            }
            ClientMessage::Request { what } => {
                // A request to stop or to change mode is never given while holding on.
                self.release(e.at, out);
                self.request(e, what, out);
            }
            ClientMessage::Skill { skill, arm } => {
                out.push(Output::Skill(SkillRequest { stamp: e.at, operator: e.operator, skill, arm }));
            }
            ClientMessage::TakeSeat {} => {}
        }
    }

    fn approve(&mut self, e: Event, what: (ProposalId, Digest), seen: u64, facts: &Facts, out: &mut Vec<Output>) {
        if facts.shown != Some(what) {
            self.notice(e.conn, "That suggestion is gone");
        } else if facts.picture_stale {
            self.notice(e.conn, "Not approved: the picture is stale");
        } else if !self.sees_the_present(e.at, seen) {
            self.notice(e.conn, "Not approved: your screen is behind");
        } else if facts.active != what.1 {
            self.decide(e, what, DecisionKind::Approve, out);
        }
    }

    fn hold_down(&mut self, e: Event, digest: Digest, press: u32, seen: u64, facts: &Facts, out: &mut Vec<Output>) {
        if self.clients.get(&e.conn).is_none_or(|c| press <= c.spent_press) {
            return;
        }
        let continued = self.hold.filter(|h| h.conn == e.conn && h.press == press);
        let lost = if facts.shown.map(|s| s.1) != Some(digest) || continued.is_some_and(|h| h.digest != digest) {
            Some("")
        } else if continued.is_some_and(|h| e.at.age_of(h.last) > self.limits.gap_ms) {
            Some("Hold lost: let go and press again")
        } else if !self.sees_the_present(e.at, seen) {
            Some("Hold lost: your screen is behind. Let go and press again")
        } else {
            None
        };
        if let Some(words) = lost {
            self.spend(e.conn, press);
            if !words.is_empty() {
                self.notice(e.conn, words);
            }
            self.release(e.at, out);
            return;
        }
        self.hold = Some(Hold { conn: e.conn, digest, operator: e.operator, press, last: e.at });
        let seq = self.next_seq();
        out.push(Output::Presence(Presence { stamp: e.at, seq, operator: e.operator, held: true, digest }));
    }

    fn take_seat(&mut self, e: Event, out: &mut Vec<Output>) {
        let free = match self.seat {
            None => true,
            Some(s) => s.operator == e.operator || (s.role == Role::Scripted && e.role == Role::Surgeon),
        };
        if free {
            self.release(e.at, out);
            self.sit(e);
        } else {
            self.notice(e.conn, "The seat is taken");
        }
    }

    fn sit(&mut self, e: Event) {
        self.seat = Some(Seat { operator: e.operator, role: e.role, conn: Some(e.conn), away_since: e.at });
    }

    fn decide(&mut self, e: Event, what: (ProposalId, Digest), kind: DecisionKind, out: &mut Vec<Output>) {
        let (proposal, digest) = what;
        let seq = self.next_seq();
        out.push(Output::Decision(Decision { stamp: e.at, seq, operator: e.operator, proposal, digest, kind }));
    }

    fn request(&mut self, e: Event, kind: RequestKind, out: &mut Vec<Output>) {
        let seq = self.next_seq();
        out.push(Output::Request(OperatorRequest { stamp: e.at, seq, operator: e.operator, kind }));
    }

    fn lose_hold(&mut self, now: Stamp, hold: Hold, words: &'static str, out: &mut Vec<Output>) {
        if !words.is_empty() {
            self.notice(hold.conn, words);
        }
        self.release(now, out);
    }

    /// Says once that nobody holds any more, and spends the press.
    fn release(&mut self, now: Stamp, out: &mut Vec<Output>) {
        if let Some(hold) = self.hold.take() {
            self.spend(hold.conn, hold.press);
            let seq = self.next_seq();
            let (operator, digest) = (hold.operator, hold.digest);
            out.push(Output::Presence(Presence { stamp: now, seq, operator, held: false, digest }));
        }
    }

    fn spend(&mut self, conn: Conn, press: u32) {
        if let Some(c) = self.clients.get_mut(&conn) {
            c.spent_press = c.spent_press.max(press);
        }
    }

    fn sees_the_present(&self, at: Stamp, seen: u64) -> bool {
        let sent = self.views.iter().find(|(seq, _)| *seq == seen);
        sent.is_some_and(|(_, when)| at.age_of(*when) <= self.limits.seen_ms)
    }

    fn notice(&mut self, conn: Conn, words: &'static str) {
        if self.notices.back().is_some_and(|n| n.conn == conn && n.words == words) {
            self.notices.pop_back();
        }
        if self.notices.len() >= NOTICES_KEPT {
            self.notices.pop_front();
        }
        self.noticed += 1;
        self.notices.push_back(Notice { n: self.noticed, conn, words });
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// How many clients of each kind are there: (people, scripts).
    pub fn present(&self) -> (usize, usize) {
        let people = self.clients.values().filter(|c| c.role == Role::Surgeon).count();
        (people, self.clients.len() - people)
    }
}

trait AgeMs {
    fn age_of(self, earlier: Stamp) -> u64;
}

impl AgeMs for Stamp {
    /// Whole milliseconds from `earlier` to `self`, rounded up; 0 if `earlier` is later.
    fn age_of(self, earlier: Stamp) -> u64 {
        let age: Duration = earlier.age(self);
        u64::try_from(age.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
