//! The one place that believes a seal.

use crate::{RootSecret, Sealer, Spoken, key};
use hmac::Mac;
use proctor_types::{Boot, OperatorId, Sealed, SessionId, Stamp};
use std::ops::Deref;

/// Who says something, as its seal proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaker {
    /// Which operator.
    pub operator: OperatorId,
    /// In which login.
    pub session: SessionId,
    /// When that login ends.
    pub expires: Stamp,
}

/// What an operator said, every bit of it, in the session that [`Verified::speaker`] names, to this start of the safety node. Made by
/// [`Verifier::open`] only; read through `Deref`, never altered. It may be old or a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified<T> {
    body: T,
    speaker: Speaker,
}

impl<T> Verified<T> {
    /// Who said it.
    pub fn speaker(&self) -> &Speaker {
        &self.speaker
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.body
    }
}

/// Why a seal is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The tag is not that of this message under the key of the session it claims: forged, damaged, altered, or another root secret.
    NotAuthentic,
    /// Rightly sealed, for another start of the safety node.
    OtherBoot,
}

/// Checks seals for one start of the safety node. Stateless: nothing that arrives changes what it does with the next.
#[derive(Debug, Clone)]
pub struct Verifier {
    root: RootSecret,
    boot: Boot,
}

impl Verifier {
    /// Of messages sealed under this secret for this start.
    pub fn new(root: RootSecret, boot: Boot) -> Self {
        Self { root, boot }
    }

    /// The start it checks for.
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// What seals the commands that this start sends to arms.
    pub fn sealer(&self) -> Sealer {
        Sealer::new(&self.root, self.boot)
    }

    /// Believes a message or says why not. Three SHA-256 blocks of derivation and five of checking at most; no allocation.
    pub fn open<T: Spoken>(&self, sealed: &Sealed<T>) -> Result<Verified<T>, Refusal> {
        let (body, seal) = (sealed.body, &sealed.seal);
        let mut mac = key::hmac(&self.root.derive(body.operator(), seal.session, seal.expires));
        key::cover(&mut mac, &body, seal.session, seal.expires, seal.boot);
        // Constant time, as `hmac` promises.
        mac.verify_slice(&seal.tag).map_err(|_| Refusal::NotAuthentic)?;
        if seal.boot != self.boot {
            return Err(Refusal::OtherBoot);
        }
        let speaker = Speaker { operator: body.operator(), session: seal.session, expires: seal.expires };
        Ok(Verified { body, speaker })
    }
}
