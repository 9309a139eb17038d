//! What people and scripts say: sealed words on the bus, and what comes in over the console's socket and log-in.

use crate::{Target, messages, mutate::Kind, text};
use proctor_console::{
    Token,
    auth::SessionSecret,
    protocol::{ClientMessage, MAX_MESSAGE_BYTES},
    scripted::{Policy, ScriptedSurgeon},
};
use proctor_msgs::{Wire, cdr};
use proctor_seal::{RootSecret, SessionKey, Spoken, Verifier};
use proctor_types::{
    ArmId, Boot, Decision, DecisionKind, Digest, OperatorId, OperatorRequest, Presence, ProposalId, RequestKind,
    Sealed, SessionId, Skill, Stamp,
};
use std::{fmt::Debug, time::Duration};

const BOOT: Boot = Boot(0x600d);
const OPERATOR: OperatorId = OperatorId(7);

fn root() -> RootSecret {
    RootSecret::from_bytes([0x5a; 32])
}

fn stamp(s: u64) -> Stamp {
    Stamp::FIRST.plus(Duration::from_secs(s))
}

fn decision() -> Decision {
    let (proposal, digest) = (ProposalId(9), Digest::of(b"motion"));
    Decision { stamp: stamp(5), seq: 3, operator: OPERATOR, proposal, digest, kind: DecisionKind::Approve }
}

fn presence() -> Presence {
    Presence { stamp: stamp(5), seq: 3, operator: OPERATOR, held: true, digest: Digest::of(b"motion") }
}

fn request() -> OperatorRequest {
    OperatorRequest { stamp: stamp(5), seq: 3, operator: OPERATOR, kind: RequestKind::Supervise }
}

fn seal<B: Spoken>(body: B) -> Sealed<B> {
    SessionKey::new(&root(), OPERATOR, SessionId([3; 16]), stamp(3600)).seal(BOOT, body)
}

/// Believed are the very words that were sealed, and no others.
fn believed<B: Spoken + PartialEq + Debug>(bytes: &[u8], said: B) -> bool
where
    Sealed<B>: Wire + Debug + PartialEq,
{
    let Some(word) = messages::sealed::<B>(bytes) else { return false };
    let opened = Verifier::new(root(), BOOT).open(&word);
    assert_eq!(opened.is_ok(), word == seal(said), "forged: {word:?}");
    opened.is_ok()
}

fn sealed_bytes<B: Spoken>(body: B) -> Vec<Vec<u8>>
where
    Sealed<B>: Wire,
{
    vec![cdr::to_cdr(&seal(body).encode())]
}

fn client_messages() -> Vec<Vec<u8>> {
    let (id, digest) = (ProposalId(7), Digest::of(b"x"));
    let kinds = RequestKind::ALL.into_iter().map(|what| ClientMessage::Request { what });
    let skills = Skill::ALL.into_iter().map(|skill| ClientMessage::Skill { skill, arm: ArmId::Psm2 });
    let others = [
        ClientMessage::Approve { id, digest, seen: u64::MAX },
        ClientMessage::Reject { id, digest },
        ClientMessage::Hold { digest, down: true, press: 3, seen: 12 },
        ClientMessage::TakeSeat {},
    ];
    kinds.chain(skills).chain(others).filter_map(|m| serde_json::to_vec(&m).ok()).collect()
}

fn read_client(bytes: &[u8]) -> bool {
    let Some(Ok(message)) = text(bytes).map(ClientMessage::parse) else { return false };
    assert!(bytes.len() <= MAX_MESSAGE_BYTES);
    let again = serde_json::to_string(&message).expect("what was understood can be said");
    assert_eq!(ClientMessage::parse(&again), Ok(message));
    true
}

fn read_token(bytes: &[u8]) -> bool {
    let Some(Ok(token)) = text(bytes).map(str::parse::<Token>) else { return false };
    let shown = token.to_string();
    assert_eq!(shown.parse::<Token>().map(|t| t.to_string()), Ok(shown.clone()));
    // The digits as they were typed, blanks, hyphens and case aside.
    let typed: String = bytes.iter().map(|b| char::from(*b).to_ascii_lowercase()).collect();
    let typed = typed.replace(|c: char| c == '-' || c.is_ascii_whitespace(), "");
    assert_eq!(typed, shown);
    true
}

fn read_cookie(bytes: &[u8]) -> bool {
    let Some(secret) = text(bytes).and_then(SessionSecret::from_cookie) else { return false };
    assert!(secret.to_cookie().as_bytes().eq_ignore_ascii_case(bytes));
    true
}

/// The console's words as the scripted surgeon hears them; whatever it hears, what it says is a message that the console understands.
fn read_view(bytes: &[u8]) -> bool {
    let mut surgeon = ScriptedSurgeon::new(Policy::default());
    let hello = surgeon.hear(Duration::ZERO, r#"{"t":"hello","conn":3}"#);
    assert!(hello.is_ok());
    let accepted = text(bytes).is_some_and(|t| surgeon.hear(Duration::from_millis(10), t).is_ok());
    for ms in [20, 5000] {
        for said in surgeon.act(Duration::from_millis(ms)) {
            let json = serde_json::to_string(&said).expect("it can be said");
            assert_eq!(ClientMessage::parse(&json), Ok(said));
        }
    }
    accepted
}

fn views() -> Vec<Vec<u8>> {
    let digest = Digest::of(b"x");
    let view = |mode: &str, card: &str| {
        format!(
            r#"{{"t":"view","seq":4,"picture":{{"stale":false}},"safety":{{"mode":"{mode}","executed":2,"stale":false}},"card":{card},"seat":{{"conn":3}},"holding":null}}"#
        )
    };
    let card = format!(
        r#"{{"id":7,"digest":"{digest}","skill":"retract","confidence":0.9,"clearance_mm":4.5,"phase":"offered"}}"#
    );
    vec![
        br#"{"t":"hello","conn":3}"#.to_vec(),
        view("SUPERVISED", &card).into_bytes(),
        view("READY", "null").into_bytes(),
    ]
}

/// Every target.
pub fn targets() -> Vec<Target> {
    let target = |name, kind, read, seeds| Target { name, kind, read, seeds };
    vec![
        target("seal_decision", Kind::Binary, |b| believed(b, decision()), || sealed_bytes(decision())),
        target("seal_presence", Kind::Binary, |b| believed(b, presence()), || sealed_bytes(presence())),
        target("seal_request", Kind::Binary, |b| believed(b, request()), || sealed_bytes(request())),
        target("console_message", Kind::Text, read_client, client_messages),
        target("console_token", Kind::Text, read_token, || {
            vec![b"0123-4567-89ab-cdef 0123-4567-89AB-CDEF".to_vec(), "a0".repeat(16).into_bytes()]
        }),
        target("console_cookie", Kind::Text, read_cookie, || {
            vec!["a0".repeat(32).into_bytes(), "B9".repeat(32).into_bytes()]
        }),
        target("console_view", Kind::Text, read_view, views),
    ]
}
