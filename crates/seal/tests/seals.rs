//! Seals: what passes, what does not, and that the bytes are what docs/adr/0006 says they are.
#![allow(clippy::unwrap_used)]

use proctor_seal::{Refusal, RootSecret, SessionKey, Spoken, Verifier};
use proctor_types::{
    Boot, Decision, DecisionKind, Digest, OperatorId, OperatorRequest, Presence, ProposalId, RequestKind, Sealed,
    SessionId, Stamp,
};

const BOOT: Boot = Boot(0x0123_4567_89ab_cdef);
const WHO: OperatorId = OperatorId(0x1122_3344);

fn root() -> RootSecret {
    RootSecret::from_bytes(std::array::from_fn(|i| i as u8))
}

fn at(ns: i64) -> Stamp {
    Stamp::from_nanos("t", ns).unwrap()
}

fn key() -> SessionKey {
    SessionKey::new(&root(), WHO, SessionId([7; 16]), at(2_000_000_000))
}

fn decision() -> Decision {
    let digest = Digest(std::array::from_fn(|i| 0xff - i as u8));
    Decision {
        stamp: at(1_000_000_001),
        seq: 42,
        operator: WHO,
        proposal: ProposalId(9),
        digest,
        kind: DecisionKind::Approve,
    }
}

fn presence() -> Presence {
    Presence { stamp: at(1_000_000_002), seq: 43, operator: WHO, held: true, digest: Digest([3; 32]) }
}

fn request() -> OperatorRequest {
    OperatorRequest { stamp: at(1_000_000_003), seq: 44, operator: WHO, kind: RequestKind::Enable }
}

fn open<T: Spoken>(sealed: &Sealed<T>) -> Result<(), Refusal> {
    Verifier::new(root(), BOOT).open(sealed).map(|_| ())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, b| format!("{text}{b:02x}"))
}

#[test]
fn what_was_sealed_is_believed_and_says_who_spoke() {
    let verifier = Verifier::new(root(), BOOT);
    let heard = verifier.open(&key().seal(BOOT, decision())).unwrap();
    assert_eq!(*heard, decision());
    let speaker = *heard.speaker();
    assert_eq!((speaker.operator, speaker.session, speaker.expires), (WHO, SessionId([7; 16]), at(2_000_000_000)));
    assert_eq!(open(&key().seal(BOOT, presence())), Ok(()));
    assert_eq!(open(&key().seal(BOOT, request())), Ok(()));
}

/// Computed by another implementation (Python's hmac and hashlib) from the bytes that docs/adr/0006 lists.
#[test]
fn tags_are_those_of_an_independent_implementation() {
    let rows = [
        (key().seal(BOOT, decision()).seal.tag, "0ed1b975d84b0498f0dac82aae65423f68d50318e4def566bb5f4470e1a70562"),
        (key().seal(BOOT, presence()).seal.tag, "e9fbe99f27e3127aa04a57e2a08870276c5f89a6afa8736a9a5a2f7d5e35cfd2"),
        (key().seal(BOOT, request()).seal.tag, "6aeca791dcf7a4812ac500ea7f6002a3388359d0fc7d542bb9d3bd4a54348010"),
    ];
    for (tag, expected) in rows {
        assert_eq!(hex(&tag), expected);
    }
}

/// Every field altered in turn, by one bit.
#[test]
fn a_seal_holds_for_every_field_of_the_message_and_of_itself() {
    fn altered<T: Spoken>(body: T, edits: &[fn(&mut Sealed<T>)]) {
        for (i, edit) in edits.iter().enumerate() {
            let mut sealed = key().seal(BOOT, body);
            edit(&mut sealed);
            assert_eq!(open(&sealed), Err(Refusal::NotAuthentic), "{} edit {i}", T::DOMAIN);
        }
    }
    altered(
        decision(),
        &[
            |s| s.body.stamp = at(s.body.stamp.nanos() ^ 1),
            |s| s.body.seq ^= 1,
            |s| s.body.operator.0 ^= 1,
            |s| s.body.operator.0 ^= OperatorId::SCRIPTED_BIT,
            |s| s.body.proposal.0 ^= 1,
            |s| s.body.digest.0[31] ^= 1,
            |s| s.body.kind = DecisionKind::Reject,
            |s| s.seal.session.0[0] ^= 1,
            |s| s.seal.expires = at(s.seal.expires.nanos() ^ 1),
            |s| s.seal.boot.0 ^= 1,
            |s| s.seal.tag[0] ^= 1,
            |s| s.seal.tag[31] ^= 0x80,
            |s| s.seal.tag = [0; 32],
        ],
    );
    altered(
        presence(),
        &[
            |s| s.body.stamp = at(s.body.stamp.nanos() ^ 1),
            |s| s.body.seq ^= 1,
            |s| s.body.operator.0 ^= 1,
            |s| s.body.held = false,
            |s| s.body.digest.0[0] ^= 1,
        ],
    );
    altered(
        request(),
        &[
            |s| s.body.stamp = at(s.body.stamp.nanos() ^ 1),
            |s| s.body.seq ^= 1,
            |s| s.body.operator.0 ^= 1,
            |s| s.body.kind = RequestKind::Reset,
        ],
    );
}

#[test]
fn keys_of_others_and_starts_of_others_do_not_pass() {
    let d = decision();
    let bare = Sealed::bare(d);
    assert_eq!(open(&bare), Err(Refusal::NotAuthentic));
    let foreign = SessionKey::new(&RootSecret::from_bytes([9; 32]), WHO, SessionId([7; 16]), at(2_000_000_000));
    assert_eq!(open(&foreign.seal(BOOT, d)), Err(Refusal::NotAuthentic));
    let another = SessionKey::new(&root(), OperatorId(5), SessionId([7; 16]), at(2_000_000_000));
    assert_eq!(open(&another.seal(BOOT, d)), Err(Refusal::NotAuthentic), "an operator cannot speak for another");
    assert_eq!(open(&key().seal(Boot(1), d)), Err(Refusal::OtherBoot));
    // The seal of one session on the claim of another.
    let mut moved = key().seal(BOOT, d);
    moved.seal.tag = SessionKey::new(&root(), WHO, SessionId([8; 16]), at(2_000_000_000)).seal(BOOT, d).seal.tag;
    assert_eq!(open(&moved), Err(Refusal::NotAuthentic));
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let (root, key) = (
        RootSecret::from_bytes([0xab; 32]),
        SessionKey::new(&RootSecret::from_bytes([0xab; 32]), WHO, SessionId([1; 16]), at(5)),
    );
    let shown = format!("{root:?} {key:?} {:?}", Verifier::new(root.clone(), BOOT));
    assert!(!shown.contains("ab, ") && !shown.contains("171"), "{shown}");
    let words = shown.replace("01".repeat(16).as_str(), "");
    assert!(words.len() < 200, "{words}");
}
