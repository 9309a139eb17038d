//! Who may use the console: one-time tokens become sessions. Pure; the shell gives time, randomness and addresses.
//!
//! Only SHA-256 hashes of tokens and session secrets are kept, every entry is compared in full, and a token that
//! was used is gone. A peer that guesses wrong too often is refused without looking at what it sent.

use proctor_seal::SESSION_LIFETIME;
use proctor_types::{Digest, OperatorId, Role, SessionId};
use std::{fmt, hint::black_box, net::IpAddr, str::FromStr, time::Duration};

/// Most sessions at a time. A login beyond it is refused.
pub const MAX_SESSIONS: usize = 16;
/// Most unused tokens at a time. Adding one more forgets the oldest.
pub const MAX_TOKENS: usize = 16;
/// Wrong tokens a peer may send at once before it is refused.
pub const FAILURES_ALLOWED: f64 = 5.0;
/// Seconds until one wrong token is forgiven.
pub const FORGIVE_SECONDS: f64 = 10.0;
/// Peers whose failures are remembered. At the bound the one with the fewest is forgotten.
pub const MAX_PEERS: usize = 64;

/// A one-time login token: 128 random bits, shown as 32 hexadecimal digits. Its `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; 16]);

impl Token {
    /// From 16 random bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    fn hash(self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What was typed is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token is 32 hexadecimal digits")]
pub struct NotAToken;

impl FromStr for Token {
    type Err = NotAToken;

    /// Blanks and hyphens around and between the digits are ignored, upper case is accepted.
    fn from_str(s: &str) -> Result<Self, NotAToken> {
        let digits: Vec<u8> = s.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'-').take(33).collect();
        Ok(Self(from_hex(&digits).ok_or(NotAToken)?))
    }
}

/// A session's secret: 256 random bits, only ever in the cookie. Its `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionSecret([u8; 32]);

impl SessionSecret {
    /// From 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it stands in the cookie: 64 hexadecimal digits.
    pub fn to_cookie(self) -> String {
        Digest(self.0).to_string()
    }

    /// From the cookie; `None` for anything else than 64 hexadecimal digits.
    pub fn from_cookie(s: &str) -> Option<Self> {
        from_hex(s.as_bytes()).map(Self)
    }

    fn hash(self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(..)")
    }
}

/// Who is behind a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The operator, random and never 0, so that it differs after a restart of the console.
    pub operator: OperatorId,
    /// What kind of client.
    pub role: Role,
    /// Names this login in what it says to the safety node.
    pub id: SessionId,
    /// When the session ends, since the instant that times here count from.
    pub ends: Duration,
}

/// Fresh randomness for one login, drawn by the shell.
#[derive(Debug, Clone, Copy)]
pub struct Fresh {
    /// The new session's secret.
    pub secret: SessionSecret,
    /// The new operator's number, 31 bits; 0 becomes 1.
    pub number: u32,
    /// The new session's name on the wire.
    pub id: SessionId,
}

/// Why a login did not become a session.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum LoginRefused {
    /// Too many wrong tokens from this peer.
    #[error("too many wrong tokens: try again in {retry_after_s} s")]
    TooManyFailures {
        /// Whole seconds until the next try is looked at, at least 1.
        retry_after_s: u64,
    },
    /// No such token, or it was used already.
    #[error("this token is wrong or was used already")]
    UnknownToken,
    /// A scripted surgeon where only people are admitted.
    #[error("the scripted surgeon is admitted on the simulator only")]
    ScriptedNotAllowed,
    /// [`MAX_SESSIONS`] are open.
    #[error("{MAX_SESSIONS} sessions are open already")]
    TooManySessions,
}

#[derive(Debug)]
struct Peer {
    address: IpAddr,
    level: f64,
    at: Duration,
}

/// The door: tokens, sessions and the count of failures. Times are since any fixed instant of a monotonic clock.
#[derive(Debug, Default)]
pub struct Access {
    allow_scripted: bool,
    tokens: Vec<(Digest, Role)>,
    sessions: Vec<(Digest, Session)>,
    peers: Vec<Peer>,
}

impl Access {
    /// Nobody may enter yet. `allow_scripted` admits [`Role::Scripted`]: give `true` on the built-in simulator only.
    pub fn new(allow_scripted: bool) -> Self {
        Self { allow_scripted, ..Self::default() }
    }

    /// Lets one login through with this token.
    pub fn add_token(&mut self, token: Token, role: Role) {
        if self.tokens.len() >= MAX_TOKENS {
            self.tokens.remove(0);
        }
        self.tokens.push((token.hash(), role));
    }

    /// Trades a token for a session. The token is used up by success only.
    pub fn login(&mut self, now: Duration, peer: IpAddr, typed: &str, fresh: Fresh) -> Result<Session, LoginRefused> {
        let level = self.failures_of(peer, now);
        let room_at = FAILURES_ALLOWED - 1.0;
        if level > room_at {
            let wait = (level - room_at) * FORGIVE_SECONDS;
            return Err(LoginRefused::TooManyFailures { retry_after_s: wait.ceil().max(1.0) as u64 });
        }
        let Some((index, role)) = self.find_token(typed) else {
            self.count_failure(peer, now, level);
            return Err(LoginRefused::UnknownToken);
        };
        if role == Role::Scripted && !self.allow_scripted {
            return Err(LoginRefused::ScriptedNotAllowed);
        }
        self.sessions.retain(|(_, s)| now < s.ends);
        if self.sessions.len() >= MAX_SESSIONS {
            return Err(LoginRefused::TooManySessions);
        }
        self.tokens.remove(index);
        let operator = OperatorId::new(fresh.number.max(1), role);
        let session = Session { operator, role, id: fresh.id, ends: now + SESSION_LIFETIME };
        self.sessions.push((fresh.secret.hash(), session));
        Ok(session)
    }

    /// The session of a cookie's value, while it lives.
    pub fn session(&self, now: Duration, cookie: &str) -> Option<Session> {
        let hash = SessionSecret::from_cookie(cookie)?.hash();
        let mut found = None;
        for (stored, session) in &self.sessions {
            if same(stored, &hash) && now < session.ends {
                found = Some(*session);
            }
        }
        found
    }

    /// Ends the session of a cookie's value; nothing happens if there is none.
    pub fn logout(&mut self, cookie: &str) {
        if let Some(secret) = SessionSecret::from_cookie(cookie) {
            let hash = secret.hash();
            self.sessions.retain(|(stored, _)| !same(stored, &hash));
        }
    }

    fn find_token(&self, typed: &str) -> Option<(usize, Role)> {
        let hash = typed.parse::<Token>().ok()?.hash();
        let mut found = None;
        for (i, (stored, role)) in self.tokens.iter().enumerate() {
            if same(stored, &hash) {
                found = Some((i, *role));
            }
        }
        found
    }

    fn failures_of(&self, peer: IpAddr, now: Duration) -> f64 {
        self.peers.iter().find(|p| p.address == peer).map_or(0.0, |p| p.level_at(now))
    }

    fn count_failure(&mut self, peer: IpAddr, now: Duration, level: f64) {
        self.peers.retain(|p| p.address != peer && p.level_at(now) > 0.0);
        if self.peers.len() >= MAX_PEERS {
            let least = (0..self.peers.len()).min_by(|&a, &b| self.peers[a].level.total_cmp(&self.peers[b].level));
            if let Some(i) = least {
                self.peers.swap_remove(i);
            }
        }
        self.peers.push(Peer { address: peer, level: level + 1.0, at: now });
    }
}

impl Peer {
    fn level_at(&self, now: Duration) -> f64 {
        (self.level - now.saturating_sub(self.at).as_secs_f64() / FORGIVE_SECONDS).max(0.0)
    }
}

/// Compares every byte whatever differs first.
fn same(a: &Digest, b: &Digest) -> bool {
    black_box(a.0.iter().zip(&b.0).fold(0u8, |acc, (x, y)| acc | (x ^ y))) == 0
}

fn from_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let mut out = [0u8; N];
    for (slot, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |c: u8| char::from(c).to_digit(16);
        *slot = (nibble(pair[0])? * 16 + nibble(pair[1])?) as u8;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const T0: Duration = Duration::from_secs(100);

    fn token(n: u8) -> Token {
        Token::from_bytes([n; 16])
    }

    fn fresh(n: u8) -> Fresh {
        Fresh { secret: SessionSecret::from_bytes([n; 32]), number: u32::from(n), id: SessionId([!n; 16]) }
    }

    #[test]
    fn a_token_opens_one_session_and_is_then_used_up() {
        let mut a = Access::new(false);
        a.add_token(token(1), Role::Surgeon);
        let s = a.login(T0, PEER, &token(1).to_string(), fresh(9)).unwrap();
        let (id, ends) = (SessionId([!9; 16]), T0 + SESSION_LIFETIME);
        assert_eq!(s, Session { operator: OperatorId(9), role: Role::Surgeon, id, ends });
        assert_eq!(a.session(T0, &fresh(9).secret.to_cookie()), Some(s));
        assert_eq!(a.login(T0, PEER, &token(1).to_string(), fresh(8)), Err(LoginRefused::UnknownToken));
        assert_eq!(a.session(T0, &fresh(8).secret.to_cookie()), None);
    }

    #[test]
    fn a_token_may_be_typed_in_groups_and_capitals() {
        assert_eq!(" ABABABAB-abababab ABABABAB-abababab\n".parse::<Token>(), Ok(token(0xab)));
        for bad in ["", "ab", &"0".repeat(33), &"g".repeat(32), "é".repeat(16).as_str()] {
            assert_eq!(bad.parse::<Token>(), Err(NotAToken), "{bad:?}");
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let mut a = Access::new(false);
        a.add_token(token(0xab), Role::Surgeon);
        let shown = format!("{:?} {:?} {:?}", token(0xab), fresh(0xcd), a);
        assert!(!shown.contains("abab") && !shown.contains("cdcd"), "{shown}");
    }

    #[test]
    fn scripted_is_refused_unless_allowed() {
        for (allowed, expected) in [(false, Err(LoginRefused::ScriptedNotAllowed)), (true, Ok(Role::Scripted))] {
            let mut a = Access::new(allowed);
            a.add_token(token(2), Role::Scripted);
            assert_eq!(a.login(T0, PEER, &token(2).to_string(), fresh(1)).map(|s| s.role), expected);
        }
    }

    #[test]
    fn wrong_tokens_lock_that_peer_out_even_with_the_right_one_until_forgiven() {
        let mut a = Access::new(false);
        a.add_token(token(1), Role::Surgeon);
        for _ in 0..5 {
            assert_eq!(a.login(T0, PEER, "wrong", fresh(1)), Err(LoginRefused::UnknownToken));
        }
        let right = token(1).to_string();
        assert_eq!(a.login(T0, PEER, &right, fresh(1)), Err(LoginRefused::TooManyFailures { retry_after_s: 10 }));
        let other: IpAddr = "10.0.0.7".parse().unwrap();
        assert_eq!(a.login(T0, other, "wrong", fresh(1)), Err(LoginRefused::UnknownToken), "others are not locked out");
        assert!(a.login(T0 + Duration::from_secs(9), PEER, &right, fresh(1)).is_err());
        assert!(a.login(T0 + Duration::from_secs(11), PEER, &right, fresh(1)).is_ok());
    }

    #[test]
    fn failures_are_remembered_for_a_bounded_number_of_peers() {
        let mut a = Access::new(false);
        for n in 0..1000u32 {
            let _ = a.login(T0, IpAddr::V4(n.into()), "wrong", fresh(1));
        }
        assert_eq!(a.peers.len(), MAX_PEERS);
    }

    #[test]
    fn sessions_end_by_logout_and_by_age() {
        let mut a = Access::new(false);
        for n in 1..=2 {
            a.add_token(token(n), Role::Surgeon);
            a.login(T0, PEER, &token(n).to_string(), fresh(n)).unwrap();
        }
        a.logout(&fresh(1).secret.to_cookie());
        assert_eq!(a.session(T0, &fresh(1).secret.to_cookie()), None);
        let cookie = fresh(2).secret.to_cookie();
        assert!(a.session((T0 + SESSION_LIFETIME).checked_sub(Duration::from_secs(1)).unwrap(), &cookie).is_some());
        assert!(a.session(T0 + SESSION_LIFETIME, &cookie).is_none());
        for bad in ["", "00", &cookie.to_uppercase().replace('0', "z"), &format!("{cookie}0")] {
            assert_eq!(a.session(T0, bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sessions_are_bounded() {
        let mut a = Access::new(false);
        for n in 0..=MAX_SESSIONS as u8 {
            a.add_token(token(n), Role::Surgeon);
            let outcome = a.login(T0, PEER, &token(n).to_string(), fresh(n));
            assert_eq!(outcome.is_ok(), usize::from(n) < MAX_SESSIONS);
        }
    }
}
