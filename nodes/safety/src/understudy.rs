//! Who stands in for the operator in shadow mode: asks the core again and again to judge as it would in TELEOP, and is heard by no other.
//!
//! The core takes verified words only; these are sealed with a secret that is nobody's, because a core that has no hands is worth nothing to a
//! forger. Fixed numbers, so that a recording is judged the same every time.

use crate::Event;
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
        let stale = self.login.as_ref().is_none_or(|(_, since)| since.age(now) > LOGIN || *since > now);
        let kind = match mode {
            SafetyMode::Disabled => RequestKind::Enable,
            SafetyMode::Ready | SafetyMode::Teleop | SafetyMode::Hold if stale => RequestKind::Disable,
            SafetyMode::Ready => RequestKind::Teleop,
            SafetyMode::Hold => RequestKind::Ready,
            SafetyMode::Fault => RequestKind::Reset,
            SafetyMode::Teleop | SafetyMode::Supervised => return None,
        };
        if self.asked.is_some_and(|a| a.age(now) < ASK_AGAIN && a <= now) {
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
