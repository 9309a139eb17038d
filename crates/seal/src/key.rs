//! The root secret, the keys derived from it, and sealing.

use crate::Spoken;
use hmac::{Hmac, KeyInit, Mac};
use proctor_types::{Boot, OperatorId, Seal, Sealed, SessionId, Stamp};
use sha2::Sha256;
use std::{fmt, time::Duration};

pub(crate) type HmacSha256 = Hmac<Sha256>;

/// A session ends this long after its login; a seal that claims to last longer is not believed.
pub const SESSION_LIFETIME: Duration = Duration::from_hours(12);

/// What console and safety share: whoever knows it can speak for any operator. Its `Debug` hides it.
#[derive(Clone)]
pub struct RootSecret([u8; 32]);

impl RootSecret {
    /// From 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh one, from a generator that the system's randomness seeds.
    pub fn random() -> Self {
        Self(rand::random())
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key of a session, from everything it is bound to.
    pub(crate) fn derive(&self, operator: OperatorId, session: SessionId, expires: Stamp) -> [u8; 32] {
        let (operator, expires) = (operator.0.to_le_bytes(), expires.nanos().to_le_bytes());
        self.expand(&[b"proctor session v1", &operator, &session.0, &expires])
    }

    /// HKDF-Expand (RFC 5869, 2.3) of one block, the root secret as the pseudorandom key and these parts, one after the other, as the info.
    pub(crate) fn expand(&self, info: &[&[u8]]) -> [u8; 32] {
        let mut mac = hmac(&self.0);
        info.iter().for_each(|part| mac.update(part));
        mac.update(&[1]);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootSecret(..)")
    }
}

/// HMAC takes keys of any length; ours have 32 bytes.
pub(crate) fn hmac(key: &[u8; 32]) -> HmacSha256 {
    let mut block = hmac::digest::common::Key::<HmacSha256>::default();
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    HmacSha256::new(&block)
}

/// Feeds the name of what is sealed. No name is a prefix of another once its length stands before it.
pub(crate) fn name(mac: &mut HmacSha256, domain: &str) {
    mac.update(&(domain.len() as u64).to_le_bytes());
    mac.update(domain.as_bytes());
}

/// Feeds everything that a tag covers.
pub(crate) fn cover<T: Spoken>(mac: &mut HmacSha256, body: &T, session: SessionId, expires: Stamp, boot: Boot) {
    name(mac, T::DOMAIN);
    mac.update(&session.0);
    mac.update(&expires.nanos().to_le_bytes());
    mac.update(&boot.0.to_le_bytes());
    body.bytes(&mut |bytes| mac.update(bytes));
}

/// The key of one login of one operator. Its `Debug` hides it.
#[derive(Clone)]
pub struct SessionKey {
    operator: OperatorId,
    session: SessionId,
    expires: Stamp,
    key: [u8; 32],
}

impl SessionKey {
    /// Derives it. `expires` lies at most [`SESSION_LIFETIME`] ahead, or safety does not believe it.
    pub fn new(root: &RootSecret, operator: OperatorId, session: SessionId, expires: Stamp) -> Self {
        Self { operator, session, expires, key: root.derive(operator, session, expires) }
    }

    /// Whose.
    pub fn operator(&self) -> OperatorId {
        self.operator
    }

    /// Of which login.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Until when.
    pub fn expires(&self) -> Stamp {
        self.expires
    }

    /// Seals what its operator says to this start of the safety node. What names another operator is sealed too, and refused.
    pub fn seal<T: Spoken>(&self, boot: Boot, body: T) -> Sealed<T> {
        let mut mac = hmac(&self.key);
        cover(&mut mac, &body, self.session, self.expires, boot);
        let tag = mac.finalize().into_bytes().into();
        Sealed { body, seal: Seal { session: self.session, expires: self.expires, boot, tag } }
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({:?}, {:?}, ..)", self.operator, self.session)
    }
}

/// A name for a login, from the system's randomness.
pub fn random_session() -> SessionId {
    SessionId(rand::random())
}

/// A name for a start of the safety node, from the system's randomness. Never 0, which is what nobody has heard yet.
pub fn random_boot() -> Boot {
    Boot(rand::random::<u64>().max(1))
}
