//! Which logins have spoken to this start of the node, and how far each has counted. Only verified words get here, so nobody without a
//! key can fill this table or push a login out of it.
//!
//! Nothing here depends on the clock: set it back, and a repeated word is a repeated word still.

use crate::Finding;
use proctor_seal::{SESSION_LIFETIME, Speaker, Verified};
use proctor_types::{Constraint, Decision, OperatorId, OperatorRequest, Presence, Role, SessionId, Stamp};

/// Most logins remembered; as many as the console admits at a time.
pub const MAX_SESSIONS: usize = 16;

/// Checks that apply to whatever an operator says: somebody, of an admitted role, logged in still, and recent.
#[derive(Debug, Clone, Copy)]
pub struct Admission {
    /// Oldest message that is acted upon, s.
    pub window: f64,
    /// Whether the scripted role is admitted.
    pub allow_scripted: bool,
}

impl Admission {
    /// From the configuration.
    pub fn new(params: &crate::SafetyParams) -> Self {
        Self { window: params.watchdogs.request, allow_scripted: params.allow_scripted_operator }
    }

    /// Refuses nobody, roles that are not admitted, ended logins, and stamps too old or from the future.
    pub fn check(&self, word: &Word, now: Stamp) -> Result<(), Finding> {
        let Word { who, stamp, .. } = *word;
        let scripted = who.operator.role() == Role::Scripted;
        if who.operator.0 == 0 || (scripted && !self.allow_scripted) {
            return Err(Finding::node(Constraint::WrongOperator, f64::from(who.operator.0), 0.0));
        }
        let ahead = 0.1 * self.window;
        let left = who.expires.seconds_since(now);
        if left <= 0.0 {
            return Err(Finding::node(Constraint::Expired, -left, 0.0));
        }
        // No login is so young: the clock was set back since.
        let longest = SESSION_LIFETIME.as_secs_f64() + ahead;
        if left > longest {
            return Err(Finding::node(Constraint::ClockJump, left, longest));
        }
        let age = now.seconds_since(stamp);
        if age > self.window {
            return Err(Finding::node(Constraint::Expired, age, self.window));
        }
        if age < -ahead {
            return Err(Finding::node(Constraint::ClockJump, age, -ahead));
        }
        Ok(())
    }
}

/// What is counted on its own: messages of different topics may overtake each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Line {
    /// Requests.
    Requests,
    /// Decisions.
    Decisions,
    /// Presence.
    Presence,
}

/// What decides whether an operator's word counts.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// Who said it.
    pub who: Speaker,
    /// Among what it is counted.
    pub line: Line,
    /// Its number.
    pub seq: u64,
    /// When it was said.
    pub stamp: Stamp,
}

impl From<&Verified<OperatorRequest>> for Word {
    fn from(r: &Verified<OperatorRequest>) -> Self {
        Self { who: *r.speaker(), line: Line::Requests, seq: r.seq, stamp: r.stamp }
    }
}

impl From<&Verified<Decision>> for Word {
    fn from(d: &Verified<Decision>) -> Self {
        Self { who: *d.speaker(), line: Line::Decisions, seq: d.seq, stamp: d.stamp }
    }
}

impl From<&Verified<Presence>> for Word {
    fn from(p: &Verified<Presence>) -> Self {
        Self { who: *p.speaker(), line: Line::Presence, seq: p.seq, stamp: p.stamp }
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    session: SessionId,
    operator: OperatorId,
    expires: Stamp,
    /// Per [`Line`].
    last: [u64; 3],
}

/// The logins that have spoken.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    entries: [Option<Entry>; MAX_SESSIONS],
    /// When the latest of the forgotten logins would have ended: whoever is unknown and ends no later may be one of them.
    forgotten: Option<Stamp>,
}

impl Sessions {
    /// Counts a word whose number is larger than the last one of its login and line. An operator's name belongs to the login that
    /// used it first. When the table is full, the login that ends first makes room for one that ends later, except the holder's.
    pub fn accept(&mut self, word: &Word, holder: Option<OperatorId>) -> Result<(), Finding> {
        let Word { ref who, line, seq, .. } = *word;
        let known = self.entries.iter_mut().flatten().find(|e| e.operator == who.operator || e.session == who.session);
        let entry = match known {
            Some(e) if e.operator == who.operator && e.session == who.session => e,
            Some(_) => return Err(cross_session(who)),
            None => self.admit(who, holder)?,
        };
        let Some(last) = entry.last.get_mut(line as usize) else { return Err(cross_session(who)) };
        if seq <= *last {
            return Err(Finding::node(Constraint::Sequence, seq as f64, last.saturating_add(1) as f64));
        }
        *last = seq;
        Ok(())
    }

    fn admit(&mut self, who: &Speaker, holder: Option<OperatorId>) -> Result<&mut Entry, Finding> {
        if self.forgotten.is_some_and(|f| who.expires <= f) {
            return Err(cross_session(who));
        }
        // Empty places first, then what ends first.
        let worth = |e: &Option<Entry>| e.map(|e| e.expires);
        let free = |e: &&mut Option<Entry>| e.is_none_or(|e| Some(e.operator) != holder && e.expires < who.expires);
        let Some(slot) = self.entries.iter_mut().filter(free).min_by_key(|e| worth(e)) else {
            return Err(cross_session(who));
        };
        self.forgotten = self.forgotten.max(worth(slot));
        Ok(slot.insert(Entry { session: who.session, operator: who.operator, expires: who.expires, last: [0; 3] }))
    }
}

fn cross_session(who: &Speaker) -> Finding {
    Finding::node(Constraint::CrossSession, f64::from(who.operator.0), 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(s: u64) -> Stamp {
        Stamp::FIRST.plus(Duration::from_secs(s))
    }

    fn login(n: u8, ends: u64) -> Speaker {
        Speaker { operator: OperatorId(u32::from(n)), session: SessionId([n; 16]), expires: at(ends) }
    }

    fn word(who: &Speaker, line: Line, seq: u64) -> Word {
        Word { who: *who, line, seq, stamp: at(1) }
    }

    fn constraint(r: Result<(), Finding>) -> Option<Constraint> {
        r.err().map(|f| f.constraint)
    }

    #[test]
    fn each_line_counts_upwards_for_itself() {
        let mut s = Sessions::default();
        let who = login(1, 100);
        for (line, seq, refused) in [
            (Line::Requests, 0, Some(Constraint::Sequence)),
            (Line::Requests, 5, None),
            (Line::Requests, 5, Some(Constraint::Sequence)),
            (Line::Requests, 4, Some(Constraint::Sequence)),
            (Line::Presence, 4, None),
            (Line::Decisions, 1, None),
            (Line::Requests, u64::MAX, None),
            (Line::Requests, u64::MAX, Some(Constraint::Sequence)),
        ] {
            assert_eq!(constraint(s.accept(&word(&who, line, seq), None)), refused, "{line:?} {seq}");
        }
    }

    #[test]
    fn an_operators_name_belongs_to_the_login_that_used_it_first() {
        let mut s = Sessions::default();
        s.accept(&word(&login(1, 100), Line::Requests, 1), None).unwrap();
        let again = Speaker { session: SessionId([9; 16]), expires: at(200), ..login(1, 100) };
        assert_eq!(constraint(s.accept(&word(&again, Line::Requests, 2), None)), Some(Constraint::CrossSession));
        let renamed = Speaker { operator: OperatorId(2), ..login(1, 100) };
        assert_eq!(constraint(s.accept(&word(&renamed, Line::Requests, 2), None)), Some(Constraint::CrossSession));
        assert_eq!(constraint(s.accept(&word(&login(1, 100), Line::Requests, 2), None)), None);
    }

    #[test]
    fn later_logins_replace_the_earliest_but_never_the_holder_and_what_was_replaced_stays_out() {
        let mut s = Sessions::default();
        let holder = Some(OperatorId(1));
        for n in 1..=16 {
            s.accept(&word(&login(n, 100 + u64::from(n)), Line::Requests, 1), holder).unwrap();
        }
        assert_eq!(
            constraint(s.accept(&word(&login(40, 50), Line::Requests, 1), holder)),
            Some(Constraint::CrossSession)
        );
        s.accept(&word(&login(17, 117), Line::Requests, 1), holder).unwrap();
        // 2 made room, 1 holds.
        assert_eq!(
            constraint(s.accept(&word(&login(2, 102), Line::Requests, 9), holder)),
            Some(Constraint::CrossSession)
        );
        for n in (3..=17).chain([1]) {
            assert_eq!(
                constraint(s.accept(&word(&login(n, 100 + u64::from(n)), Line::Requests, 2), holder)),
                None,
                "{n}"
            );
        }
        // A login as old as one that was forgotten may be that one.
        assert_eq!(
            constraint(s.accept(&word(&login(41, 102), Line::Requests, 1), None)),
            Some(Constraint::CrossSession)
        );
    }

    #[test]
    fn who_is_heard_at_all() {
        let a = Admission { window: 2.0, allow_scripted: false };
        let now = at(1000);
        let lifetime = SESSION_LIFETIME.as_secs();
        let scripted = Speaker { operator: OperatorId::new(3, Role::Scripted), ..login(3, 2000) };
        let ms = Duration::from_millis;
        for (name, who, stamp, refused) in [
            ("somebody", login(1, 2000), now, None),
            ("nobody", login(0, 2000), now, Some(Constraint::WrongOperator)),
            ("a script", scripted, now, Some(Constraint::WrongOperator)),
            ("in its last second", login(1, 1001), now, None),
            ("just ended", login(1, 1000), now, Some(Constraint::Expired)),
            ("just logged in", login(1, 1000 + lifetime), now, None),
            ("not logged in yet", login(1, 1001 + lifetime), now, Some(Constraint::ClockJump)),
            ("two seconds old", login(1, 2000), now.minus(ms(2000)), None),
            ("older", login(1, 2000), now.minus(ms(2001)), Some(Constraint::Expired)),
            ("slightly early", login(1, 2000), now.plus(ms(200)), None),
            ("early", login(1, 2000), now.plus(ms(201)), Some(Constraint::ClockJump)),
        ] {
            assert_eq!(constraint(a.check(&Word { stamp, ..word(&who, Line::Requests, 1) }, now)), refused, "{name}");
        }
    }

    #[test]
    fn a_login_ends_at_most_a_lifetime_and_a_tenth_of_the_window_from_now() {
        let a = Admission { window: 10.0, allow_scripted: false };
        let lifetime = SESSION_LIFETIME.as_secs();
        let refused =
            |ends| constraint(a.check(&Word { stamp: at(1000), ..word(&login(1, ends), Line::Requests, 1) }, at(1000)));
        assert_eq!(refused(1001 + lifetime), None);
        assert_eq!(refused(1002 + lifetime), Some(Constraint::ClockJump));
    }

    #[test]
    fn a_refusal_says_by_how_much() {
        let a = Admission { window: 2.0, allow_scripted: false };
        let refused = |who: Speaker, ms: u64| {
            let word = Word { who, line: Line::Requests, seq: 1, stamp: at(1000) };
            let f = a.check(&word, Stamp::FIRST.plus(Duration::from_millis(ms))).unwrap_err();
            (f.constraint, (f.value * 1e3).round(), (f.limit * 1e3).round())
        };
        assert_eq!(refused(login(1, 998), 1_000_000), (Constraint::Expired, 2000.0, 0.0), "the login, two seconds ago");
        assert_eq!(refused(login(1, 2000), 1_003_000), (Constraint::Expired, 3000.0, 2000.0), "the word");
        assert_eq!(refused(login(1, 2000), 999_500), (Constraint::ClockJump, -500.0, -200.0));
    }

    #[test]
    fn a_login_that_ends_with_the_earliest_finds_no_room() {
        let mut s = Sessions::default();
        for n in 1..=16 {
            s.accept(&word(&login(n, 100), Line::Requests, 1), None).unwrap();
        }
        let as_long = s.accept(&word(&login(17, 100), Line::Requests, 1), None);
        assert_eq!(constraint(as_long), Some(Constraint::CrossSession));
        assert_eq!(constraint(s.accept(&word(&login(18, 101), Line::Requests, 1), None)), None);
    }
}
