//! Who stands in for the operator in shadow mode: asks the core again and again to judge as it would in TELEOP, and is heard by no other.
//!
//! The core takes verified words only; these are sealed with a secret that is nobody's, because a core that has no hands is worth nothing to a
//! forger. Fixed numbers, so that a recording is judged the same every time.

use crate::{Event, arms::lately};
use proctor_seal::{RootSecret, SessionKey, Verified, Verifier};
use proctor_types::{Boot, OperatorId, OperatorRequest, RequestKind, SafetyMode, SafetyState, SessionId, Stamp};
use std::time::Duration;

/// Between two askings: the core refuses while an arm moves or is not ready.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A login is left after this, well before it ends.
const LOGIN: Duration = Duration::from_hours(8);
/// The secret that is nobody's.
const NOBODYS: [u8; 32] = [0; 32];

/// The stand-in.
#[derive(Debug)]
pub(crate) struct Understudy {
    verifier: Verifier,
    login: Option<(SessionKey, Stamp)>,
    logins: u32,
    seq: u64,
    asked: Option<Stamp>,
}

impl Understudy {
    /// Knows nobody yet.
    pub fn new() -> Self {
        let verifier = Verifier::new(RootSecret::from_bytes(NOBODYS), Boot(1));
        Self { verifier, login: None, logins: 0, seq: 0, asked: None }
    }

    /// The start of the node that the core says it is.
    pub fn boot(&self) -> Boot {
        self.verifier.boot()
    }

    /// What to ask for in this mode, if it is time.
    pub fn ask(&mut self, now: Stamp, said: Option<&SafetyState>) -> Option<Event> {
        let mode = said.map_or(SafetyMode::Disabled, |s| s.mode);
        let stale = self.login.as_ref().is_none_or(|(_, since)| !lately(*since, now, LOGIN));
        let kind = match mode {
            SafetyMode::Disabled => RequestKind::Enable,
            SafetyMode::Ready | SafetyMode::Teleop | SafetyMode::Hold if stale => RequestKind::Disable,
            SafetyMode::Ready => RequestKind::Teleop,
            SafetyMode::Hold => RequestKind::Ready,
            SafetyMode::Fault => RequestKind::Reset,
            SafetyMode::Teleop | SafetyMode::Supervised => return None,
        };
        if self.asked.is_some_and(|asked| lately(asked, now, ASK_AGAIN)) {
            return None;
        }
        self.asked = Some(now);
        if mode == SafetyMode::Disabled || stale {
            self.log_in(now);
        }
        let (key, _) = self.login.as_ref()?;
        self.seq += 1;
        let request = OperatorRequest { stamp: now, seq: self.seq, operator: key.operator(), kind };
        let word: Verified<OperatorRequest> = self.verifier.open(&key.seal(self.boot(), request)).ok()?;
        Some(Event::Request(word))
    }

    /// A name belongs to the login that first used it, so each has a new one.
    fn log_in(&mut self, now: Stamp) {
        self.logins = self.logins.wrapping_add(1);
        let session = SessionId(u128::from(self.logins).to_le_bytes());
        let key = SessionKey::new(
            &RootSecret::from_bytes(NOBODYS),
            OperatorId(self.logins),
            session,
            now.plus(proctor_seal::SESSION_LIFETIME),
        );
        self.login = Some((key, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: u64 = 3_600_000;

    fn at(ms: u64) -> Stamp {
        Stamp::FIRST.plus(Duration::from_millis(ms))
    }

    fn in_mode(mode: SafetyMode) -> SafetyState {
        SafetyState { mode, shadow: true, ..crate::report::tests::state() }
    }

    /// What is asked for, by whom and as which word of the understudy's.
    fn asked(u: &mut Understudy, ms: u64, mode: SafetyMode) -> Option<(RequestKind, u32, u64)> {
        match u.ask(at(ms), Some(&in_mode(mode)))? {
            Event::Request(word) => Some((word.kind, word.operator.0, word.seq)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_mode_is_led_to_teleop_by_words_that_count_up() {
        let mut u = Understudy::new();
        assert_eq!(u.boot(), Boot(1));
        assert!(matches!(u.ask(at(0), None), Some(Event::Request(w)) if w.kind == RequestKind::Enable && w.seq == 1));
        for (i, (mode, kind)) in [
            (SafetyMode::Ready, RequestKind::Teleop),
            (SafetyMode::Hold, RequestKind::Ready),
            (SafetyMode::Fault, RequestKind::Reset),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(asked(&mut u, 1000 * (i as u64 + 1), mode), Some((kind, 1, i as u64 + 2)));
        }
        assert_eq!(asked(&mut u, 9000, SafetyMode::Teleop), None, "there it is");
        assert_eq!(asked(&mut u, 9500, SafetyMode::Supervised), None);
        assert_eq!(asked(&mut u, 10_000, SafetyMode::Disabled), Some((RequestKind::Enable, 2, 5)), "under a new name");
    }

    #[test]
    fn it_asks_every_tenth_of_a_second_and_at_once_when_the_clock_was_set_back() {
        let mut u = Understudy::new();
        let times = [1000, 1000, 1050, 1099, 1100, 1199, 1200, 500, 599, 600];
        let asks = times.map(|ms| asked(&mut u, ms, SafetyMode::Disabled).is_some());
        assert_eq!(asks, [true, false, false, false, true, false, true, true, false, true]);
    }

    #[test]
    fn a_login_is_left_after_eight_hours_and_when_the_clock_was_set_back() {
        for (later, left) in [(8 * HOURS - 1, false), (8 * HOURS, true), (20 * HOURS, true)] {
            let mut u = Understudy::new();
            asked(&mut u, 5000, SafetyMode::Disabled);
            let (kind, who) = if left { (RequestKind::Disable, 2) } else { (RequestKind::Teleop, 1) };
            assert_eq!(asked(&mut u, 5000 + later, SafetyMode::Ready), Some((kind, who, 2)), "{later} ms");
        }
        for mode in [SafetyMode::Ready, SafetyMode::Hold, SafetyMode::Teleop] {
            let mut u = Understudy::new();
            asked(&mut u, 5000, SafetyMode::Disabled);
            assert_eq!(asked(&mut u, 4000, mode), Some((RequestKind::Disable, 2, 2)), "{mode:?}");
        }
    }
}
