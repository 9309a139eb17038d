//! What a client may say over its WebSocket. Parsed once, here; unknown fields, kinds and oversized texts are refused.

use proctor_types::{ArmId, Digest, ProposalId, RequestKind, Skill};
use serde::{Deserialize, Serialize};

/// Longest text a client may send, bytes. The longest legal message is about 200.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// One message from a client. `seen` is the `seq` of the newest view the client has drawn: it proves that the
/// operator looks at the present, see [`crate::desk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// Run exactly this motion while I hold.
    Approve {
        /// The proposal shown.
        id: ProposalId,
        /// Its digest as shown.
        digest: Digest,
        /// Newest view drawn.
        seen: u64,
    },
    /// Do not run it.
    Reject {
        /// The proposal shown.
        id: ProposalId,
        /// Its digest as shown.
        digest: Digest,
    },
    /// I am holding (sent at 30 Hz while pressed), or I let go.
    Hold {
        /// The motion being held.
        digest: Digest,
        /// Whether it is pressed.
        down: bool,
        /// Counts presses of this connection. A hold that was lost needs a new press.
        press: u32,
        /// Newest view drawn.
        seen: u64,
    },
    /// Ask the safety node for something. [`RequestKind::EStop`] is for everybody, the rest for who has the seat.
    Request {
        /// What.
        what: RequestKind,
    },
    /// Ask autonomy for a skill.
    Skill {
        /// Which.
        skill: Skill,
        /// With which arm.
        arm: ArmId,
    },
    /// Take the surgeon's seat if it is free, or held by a script and I am a person.
    TakeSeat {},
}

/// Why a text is not a [`ClientMessage`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("message of {0} bytes is longer than {MAX_MESSAGE_BYTES}")]
    TooLong(usize),
    /// Not JSON of a known shape.
    #[error("message is not understood: {0}")]
    Malformed(String),
}

impl ClientMessage {
    /// Parses one text message.
    pub fn parse(text: &str) -> Result<Self, BadMessage> {
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(BadMessage::TooLong(text.len()));
        }
        serde_json::from_str(text).map_err(|e| BadMessage::Malformed(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_page_are_understood() {
        let d = Digest::of(b"x");
        let rows = [
            (
                format!(r#"{{"t":"approve","id":7,"digest":"{d}","seen":12}}"#),
                ClientMessage::Approve { id: ProposalId(7), digest: d, seen: 12 },
            ),
            (
                format!(r#"{{"t":"hold","digest":"{d}","down":true,"press":3,"seen":12}}"#),
                ClientMessage::Hold { digest: d, down: true, press: 3, seen: 12 },
            ),
            (r#"{"t":"request","what":"e_stop"}"#.to_owned(), ClientMessage::Request { what: RequestKind::EStop }),
            (
                r#"{"t":"skill","skill":"retract","arm":"PSM1"}"#.to_owned(),
                ClientMessage::Skill { skill: Skill::Retract, arm: ArmId::Psm1 },
            ),
            (r#"{"t":"take_seat"}"#.to_owned(), ClientMessage::TakeSeat {}),
        ];
        for (text, expected) in rows {
            assert_eq!(ClientMessage::parse(&text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!(r#"{{"t":"take_seat"}}{}"#, " ".repeat(MAX_MESSAGE_BYTES));
        let d = Digest::of(b"x");
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"t":"presence","held":true}"#,
            r#"{"t":"take_seat","extra":1}"#,
            r#"{"t":"request","what":"fly"}"#,
            r#"{"t":"hold","digest":"00","down":true,"press":1,"seen":1}"#,
            &format!(r#"{{"t":"hold","digest":"{d}","down":1,"press":1,"seen":1}}"#),
            &format!(r#"{{"t":"hold","digest":"{d}","down":true,"press":-1,"seen":1}}"#),
            &format!(r#"{{"t":"hold","digest":"{d}","down":true,"press":1}}"#),
            &format!(r#"{{"t":"reject","id":1e99,"digest":"{d}"}}"#),
            r#"{"t":"skill","skill":"retract","arm":"PSM9"}"#,
            &long,
            &"[".repeat(900),
        ] {
            assert!(ClientMessage::parse(text).is_err(), "{text}");
        }
    }
}
