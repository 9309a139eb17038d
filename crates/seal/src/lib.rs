//! Who said it. Console and safety share a [`RootSecret`]; from it the console derives a [`SessionKey`] per login and seals
//! every decision, presence and request; safety derives the same key from what the seal claims, and its [`Verifier`] alone
//! turns a `Sealed` into a [`Verified`]. Why so, and what it does not give: docs/adr/0006.
//!
//! - The key is bound to operator, session and end of the session: whoever claims another one has no key for it.
//! - The tag covers a name per type of message, the seal and every field: nothing can be altered or moved to another topic.
//! - The seal names the start of the safety node it is meant for ([`proctor_types::Boot`]): a restart forgets nobody's replays.
//! - The verifier keeps no table that a forger could fill, allocates nothing and compares in constant time.
//! - What safety sends to arms is sealed too ([`Sealer`]), and a [`Receiver`] in front of an arm takes nothing else.
//! - Freshness, order and the end of the session are the safety core's to judge: a verifier knows no time.
//!
//! A verified word cannot be made up, and a key cannot be read out of the program's logs:
//! ```compile_fail
//! fn forge(body: proctor_types::Decision, speaker: proctor_seal::Speaker) -> proctor_seal::Verified<proctor_types::Decision> {
//!     proctor_seal::Verified { body, speaker }
//! }
//! ```
//! ```compile_fail
//! fn alter(mut word: proctor_seal::Verified<proctor_types::Presence>) {
//!     word.body.held = true;
//! }
//! ```
//! ```compile_fail
//! fn unseal(sealed: proctor_types::Sealed<proctor_types::Decision>) -> proctor_seal::Verified<proctor_types::Decision> {
//!     sealed.into()
//! }
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod command;
mod key;
pub mod key_file;
mod spoken;
mod verify;

pub use command::{Command, NotTaken, Receiver, Sealer};
pub use key::{RootSecret, SESSION_LIFETIME, SessionKey, random_boot, random_session};
pub use spoken::Spoken;
pub use verify::{Refusal, Speaker, Verified, Verifier};
