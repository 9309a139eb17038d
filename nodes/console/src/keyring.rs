//! The keys of the logins whose clients spoke: seals what the desk lets out. Pure; the shell gives the root secret and the times.

use crate::auth::{MAX_SESSIONS, Session};
use proctor_seal::{RootSecret, SessionKey, Spoken};
use proctor_types::{Boot, Sealed, Stamp};

/// See the module.
#[derive(Debug)]
pub struct Keyring {
    root: RootSecret,
    /// At most [`MAX_SESSIONS`].
    keys: Vec<SessionKey>,
}

impl Keyring {
    /// No keys yet.
    pub fn new(root: RootSecret) -> Self {
        Self { root, keys: Vec::new() }
    }

    /// A client of this login is there; the login ends at `expires`. The first time its key is made and its end fixed.
    pub fn admit(&mut self, session: &Session, expires: Stamp) {
        if self.keys.iter().any(|k| k.session() == session.id) {
            return;
        }
        if self.keys.len() >= MAX_SESSIONS {
            // Logins are bounded by the same number: one of these has ended.
            let first = (0..self.keys.len()).min_by_key(|&i| self.keys[i].expires());
            first.into_iter().for_each(|i| _ = self.keys.swap_remove(i));
        }
        self.keys.push(SessionKey::new(&self.root, session.operator, session.id, expires));
    }

    /// Seals what an operator says to this start of the safety node. Without a key there is no proof: enough for an e-stop only.
    pub fn seal<T: Spoken>(&self, boot: Boot, body: T) -> Sealed<T> {
        let key = self.keys.iter().find(|k| k.operator() == body.operator());
        key.map_or(Sealed::bare(body), |k| k.seal(boot, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;
    use proctor_seal::{Refusal, Verifier};
    use proctor_types::{OperatorId, OperatorRequest, RequestKind, Role, SessionId};
    use std::time::Duration;

    const BOOT: Boot = Boot(5);

    fn session(n: u8) -> Session {
        let (operator, id) = (OperatorId(u32::from(n)), SessionId([n; 16]));
        Session { operator, role: Role::Surgeon, id, ends: Duration::from_secs(1) }
    }

    fn enable(n: u8) -> OperatorRequest {
        OperatorRequest { stamp: at(0), seq: 1, operator: OperatorId(u32::from(n)), kind: RequestKind::Enable }
    }

    fn root() -> RootSecret {
        RootSecret::from_bytes([1; 32])
    }

    #[test]
    fn each_login_speaks_for_its_own_operator_only() {
        let mut ring = Keyring::new(root());
        let verifier = Verifier::new(root(), BOOT);
        ring.admit(&session(1), at(1000));
        ring.admit(&session(1), at(2000));
        let heard = verifier.open(&ring.seal(BOOT, enable(1))).unwrap();
        assert_eq!(heard.speaker().session, session(1).id);
        assert_eq!(heard.speaker().expires, at(1000), "a login does not grow longer");
        assert_eq!(verifier.open(&ring.seal(BOOT, enable(2))), Err(Refusal::NotAuthentic));
        ring.admit(&session(2), at(1000));
        assert_eq!(verifier.open(&ring.seal(BOOT, enable(2))).unwrap().speaker().session, session(2).id);
    }

    #[test]
    fn keys_are_bounded_and_the_login_that_ends_first_makes_room() {
        let mut ring = Keyring::new(root());
        let last = MAX_SESSIONS as u8 + 1;
        (1..=last).for_each(|n| ring.admit(&session(n), at(i64::from(n) * 1000)));
        assert_eq!(ring.keys.len(), MAX_SESSIONS);
        assert_eq!(ring.seal(BOOT, enable(1)), Sealed::bare(enable(1)));
        assert_ne!(ring.seal(BOOT, enable(last)), Sealed::bare(enable(last)));
    }
}
