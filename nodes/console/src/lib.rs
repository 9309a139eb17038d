//! Console node: the surgeon's supervised console in the browser.
//!
//! A web page served by this node shows the live endoscope with what the system sees in it, the suggested motion as a ghost
//! in the picture, and why it is suggested. The surgeon runs it by *holding*: pressing approves exactly the digest that is
//! shown, and every 33 ms of holding is one message that becomes one [`proctor_types::Presence`].
//!
//! - Logic, pure and clock-free: [`auth`] (who may enter), [`desk`] (who may decide, holding), [`keyring`] (the seal on what
//!   leaves it), [`card`] (which proposal is shown), [`latest`] and [`view`] (what is shown, what is stale), [`project`] (drawing into the picture), [`station`]
//!   (all of it together).
//! - Shell: [`ConsoleNode`] (bus), [`serve`] and [`Server`] (HTTP and WebSocket), [`Shared`] between them.
//! - [`scripted`]: the scripted surgeon, a client of the same API.
//!
//! Invariants: whoever has no session gets the log-in page and nothing else; presence is never made up, see [`desk`]; an
//! e-stop passes every queue and every rule; every queue and table has a bound; a client that is slow misses pictures, and
//! nothing else waits for it.

pub mod auth;
pub mod card;
pub mod desk;
mod error;
pub mod findings;
pub mod keyring;
pub mod latency;
pub mod latest;
mod node;
mod params;
pub mod picture;
pub mod project;
pub mod protocol;
pub mod scripted;
mod server;
mod shared;
pub mod station;
#[cfg(test)]
mod testing;
pub mod view;
pub mod words;

pub use auth::Token;
pub use error::ConsoleError;
pub use node::ConsoleNode;
pub use params::ConsoleParams;
pub use server::{Server, serve};
pub use shared::{MAX_CLIENTS, Shared};
