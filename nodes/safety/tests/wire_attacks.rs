//! Somebody on the network who can read, record, alter, withhold and send anything, and does not have the key: every attack is
//! refused and named, none moves an arm, none shuts the surgeon out, none keeps an e-stop from stopping.
#![allow(clippy::unwrap_used)]

mod support;
#[path = "support/theatre.rs"]
mod theatre;

use proctor_msgs::{cdr, proctor_msgs as msg};
use proctor_seal::{RootSecret, SessionKey};
use proctor_types::{
    ArmId, Boot, Constraint, Decision, Digest, OperatorId, OperatorRequest, Presence, Proposal, ProposalId,
    RequestKind, Role, SafetyMode, Seal, Sealed, SessionId, Stamp,
};
use std::time::Duration;
use support::{BOOT, HOME_PSM, SURGEON, at, key, root};
use theatre::{OnTheWire, Raw, Theatre, bytes, read};

/// What an attack would need: the surgeon holds the motion (and has not approved it), or has approved it (and does not hold it).
#[derive(Clone, Copy)]
enum Lacks {
    Approval,
    Hold,
}
use Lacks::{Approval, Hold};

type Attack = fn(&mut Theatre, &Proposal);

/// A login of the surgeon's name with its own identity and end.
fn login(id: u8, expires: Stamp) -> SessionKey {
    SessionKey::new(&root(), SURGEON, SessionId([id; 16]), expires)
}

/// The surgeon's hold, as somebody recorded it, after the surgeon let go.
fn recorded_hold(t: &mut Theatre, p: &Proposal) -> Sealed<Presence> {
    let (down, up) = (t.presence(true, p.digest()), t.presence(false, p.digest()));
    t.say(up);
    t.tick();
    t.sealed(down)
}

const ATTACKS: [(&str, Lacks, Constraint, Attack); 29] = [
    ("forged: no seal", Approval, Constraint::NotAuthentic, |t, p| {
        let d = t.approval(p);
        t.send(&Sealed::bare(d));
    }),
    ("forged: a random tag", Approval, Constraint::NotAuthentic, |t, p| {
        let d = t.approval(p);
        let mut word = t.sealed(d);
        word.seal.tag = Digest::of(b"a guess").0;
        t.send(&word);
    }),
    ("forged: a key from another root secret", Approval, Constraint::NotAuthentic, |t, p| {
        let d = t.approval(p);
        let forger = SessionKey::new(&RootSecret::from_bytes([6; 32]), SURGEON, t.key.session(), t.key.expires());
        t.send(&forger.seal(BOOT, d));
    }),
    ("forged: the hold, no seal", Hold, Constraint::NotAuthentic, |t, p| {
        let hold = t.presence(true, p.digest());
        t.send(&Sealed::bare(hold));
    }),
    ("another operator's key, the surgeon's name", Approval, Constraint::NotAuthentic, |t, p| {
        let d = t.approval(p);
        t.send(&key(OperatorId(8)).seal(BOOT, d));
    }),
    ("another operator in person", Approval, Constraint::WrongOperator, |t, p| {
        let d = Decision { operator: OperatorId(8), ..t.approval(p) };
        t.send(&key(OperatorId(8)).seal(BOOT, d));
    }),
    ("replayed: a hold, after it was released", Hold, Constraint::Sequence, |t, p| {
        let hold = t.presence(true, p.digest());
        t.say(hold);
        let up = t.presence(false, p.digest());
        t.say(up);
        t.tick();
        t.say(hold);
    }),
    ("reordered: the hold after its release", Hold, Constraint::Sequence, |t, p| {
        let down = recorded_hold(t, p);
        t.send(&down);
    }),
    ("reordered: an approval after a later rejection", Approval, Constraint::Sequence, |t, p| {
        let early = t.approval(p);
        let other = Decision { proposal: ProposalId(p.id.0 + 50), ..t.approval(p) };
        t.say(other);
        t.tick();
        t.verdicts.clear();
        t.say(early);
    }),
    ("old: an approval withheld for a second", Approval, Constraint::Expired, |t, p| {
        let d = t.approval(p);
        t.run(1001);
        t.say(d);
    }),
    ("old: a hold withheld", Hold, Constraint::Expired, |t, p| {
        let hold = t.presence(true, p.digest());
        t.run(1001);
        t.say(hold);
    }),
    ("expired: the login has ended", Approval, Constraint::Expired, |t, p| {
        let d = t.approval(p);
        t.send(&login(9, t.now).seal(BOOT, d));
    }),
    ("expired: its end moved", Approval, Constraint::NotAuthentic, |t, p| {
        let d = t.approval(p);
        let mut word = login(9, t.now).seal(BOOT, d);
        word.seal.expires = t.key.expires();
        t.send(&word);
    }),
    ("from the future", Approval, Constraint::ClockJump, |t, p| {
        let d = Decision { stamp: t.now.plus(Duration::from_millis(150)), ..t.approval(p) };
        t.say(d);
    }),
    ("cross-session: sealed for another start of the node", Approval, Constraint::CrossSession, |t, p| {
        let d = t.approval(p);
        t.send(&t.key.seal(Boot(BOOT.0 ^ 1), d));
    }),
    ("cross-session: the other start renamed", Approval, Constraint::NotAuthentic, |t, p| {
        let d = t.approval(p);
        let mut word = t.key.seal(Boot(BOOT.0 ^ 1), d);
        word.seal.boot = BOOT;
        t.send(&word);
    }),
    ("cross-session: another login of the same name", Approval, Constraint::CrossSession, |t, p| {
        let d = t.approval(p);
        t.send(&login(9, t.key.expires()).seal(BOOT, d));
    }),
    ("cross-session: the hold of another login", Hold, Constraint::CrossSession, |t, p| {
        let hold = t.presence(true, p.digest());
        t.send(&login(9, t.key.expires()).seal(BOOT, hold));
    }),
    ("cross-session: the tag of another login", Approval, Constraint::NotAuthentic, |t, p| {
        let d = t.approval(p);
        let mut word = t.sealed(d);
        word.seal.tag = login(9, t.key.expires()).seal(BOOT, d).seal.tag;
        t.send(&word);
    }),
    ("cross-arm: another arm's motion under an approved name", Approval, Constraint::DigestMismatch, |t, _| {
        // The surgeon saw a motion of PSM1; safety was given one of PSM2 under its name.
        let (seen, mut other) = (support::sway(&mut t.cell), HOME_PSM);
        other[0] += 0.1;
        let mut given = t.cell.proposal(ArmId::Psm2, &[(0.0, HOME_PSM), (2.0, other)]);
        given.id = seen.id;
        t.proposals.publish(&given).unwrap();
        t.run(2);
        t.hold = Some(given.digest());
        let d = t.approval(&seen);
        t.say(d);
    }),
    ("wrong digest: exchanged on the way", Approval, Constraint::NotAuthentic, |t, p| {
        let d = Decision { digest: Digest::of(b"another motion"), ..t.approval(p) };
        let mut word = t.sealed(d);
        word.body.digest = p.digest();
        t.send(&word);
    }),
    ("wrong digest: sealed", Approval, Constraint::DigestMismatch, |t, p| {
        let d = Decision { digest: Digest::of(b"another motion"), ..t.approval(p) };
        t.say(d);
    }),
    ("clock set back: a hold that is young again", Hold, Constraint::Sequence, |t, p| {
        let down = recorded_hold(t, p);
        let then = down.body.stamp;
        t.run(600);
        t.now = then;
        t.send(&down);
    }),
    ("clock set back: a login that is alive again", Approval, Constraint::ClockJump, |t, p| {
        // It ended within its twelve hours; now there seem to be more than that to go.
        let late = login(9, at(30 * 3_600_000));
        let d = t.approval(p);
        t.send(&late.seal(BOOT, d));
    }),
    ("role swapped: the surgeon as a script", Approval, Constraint::NotAuthentic, |t, p| {
        let d = t.approval(p);
        let mut word = t.sealed(d);
        word.body.operator = OperatorId::new(SURGEON.0, Role::Scripted);
        t.send(&word);
    }),
    ("role swapped: a script as a surgeon", Approval, Constraint::NotAuthentic, |t, p| {
        let script = OperatorId::new(SURGEON.0, Role::Scripted);
        let d = t.approval(p);
        let mut word = key(script).seal(BOOT, Decision { operator: script, ..d });
        word.body.operator = SURGEON;
        t.send(&word);
    }),
    ("a script in person, where only people are admitted", Approval, Constraint::WrongOperator, |t, p| {
        let script = OperatorId::new(5, Role::Scripted);
        let d = Decision { operator: script, ..t.approval(p) };
        t.send(&key(script).seal(BOOT, d));
    }),
    ("one message's seal on another", Hold, Constraint::NotAuthentic, |t, p| {
        let (d, hold) = (t.approval(p), t.presence(true, p.digest()));
        t.send(&Sealed { body: hold, seal: t.sealed(d).seal });
    }),
    ("ten thousand invented operators", Approval, Constraint::NotAuthentic, |t, p| {
        for n in 0..10_000u32 {
            let d = Decision { operator: OperatorId(n + 1), ..t.approval(p) };
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_le_bytes());
            t.send(&Sealed { body: d, seal: Seal { session: SessionId(id), boot: BOOT, ..t.sealed(d).seal } });
            if n % 16 == 15 {
                t.tick();
            }
        }
    }),
];

#[test]
fn every_attack_is_refused_by_name_moves_nothing_and_shuts_nobody_out() {
    for (name, lacks, named, attack) in ATTACKS {
        let mut t = Theatre::supervised();
        let p = t.offered();
        match lacks {
            Approval => t.hold = Some(p.digest()),
            Hold => {
                let d = t.approval(&p);
                t.say(d);
            }
        }
        t.run(40);
        t.verdicts.clear();
        let (before, refused) = (t.at, t.state.unwrap().refused);
        attack(&mut t, &p);
        t.run(5);
        assert!(t.refused().contains(&named), "{name}: {:?}", t.verdicts);
        t.run(300);
        assert_eq!(t.at, before, "{name}: nothing moves");
        let state = t.state.unwrap();
        assert!(state.refused > refused && state.executed == 0 && state.violations == 0, "{name}: {state:?}");
        t.assert_surgeon_is_heard(name);
        t.assert_e_stop_works(name);
    }
}

/// Every bit of every byte of the encoded message, flipped in turn.
#[test]
fn a_flipped_bit_anywhere_is_refused_and_changes_nothing() {
    fn flips<T>(t: &mut Theatre, word: T) -> (u64, usize)
    where
        T: OnTheWire,
        Sealed<T>: proctor_bus::Wire<Msg = T::Msg>,
    {
        let good = bytes(&t.sealed(word));
        let (mut sent, mut unreadable) = (0, 0);
        for bit in 0..8 * good.len() {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match read::<T::Msg>(&bad) {
                // Padding, and options of the header that say nothing: the message is what it was.
                Some(m) if cdr::to_cdr(&m) == good => continue,
                None => unreadable += 1,
                Some(_) => {
                    assert!(t.send_bytes::<T>(&bad));
                    sent += 1;
                }
            }
            if bit % 8 == 7 {
                t.tick();
            }
        }
        t.run(25);
        (sent, unreadable)
    }
    let mut t = Theatre::supervised();
    let p = t.offered();
    // Both halves of what the surgeon would have to say, of which each flip spoils one.
    let (d, hold, request) = (t.approval(&p), t.presence(true, p.digest()), t.request(RequestKind::Teleop));
    let (before, refused) = (t.at, t.state.unwrap().refused);
    let counts = [flips(&mut t, d), flips(&mut t, hold), flips(&mut t, request)];
    // Stamp 8, numbers 8, operator 4, then: proposal 8, digest 32, kind 1 | held 1, digest 32 | kind 1; seal 16 + 8 + 8 + 32.
    let fields = [8 + 8 + 4 + 8 + 32 + 1 + 64, 8 + 8 + 4 + 1 + 32 + 64, 8 + 8 + 4 + 1 + 64];
    // Two bytes of header; of a boolean only 0 and 1 are one.
    let unreadable = [16, 16 + 7, 16];
    for ((sent, lost), (bytes, expected)) in counts.into_iter().zip(fields.into_iter().zip(unreadable)) {
        assert_eq!((sent, lost), (8 * bytes - (expected - 16), expected as usize));
    }
    assert_eq!(t.state.unwrap().refused - refused, counts.iter().map(|c| c.0).sum::<u64>(), "each was refused");
    for c in t.refused() {
        assert!(matches!(c, Constraint::NotAuthentic | Constraint::Malformed), "{c:?}");
    }
    assert_eq!((t.mode(), t.at), (SafetyMode::Supervised, before));
    t.assert_surgeon_is_heard("flipped bits");
    t.assert_e_stop_works("flipped bits");
}

#[test]
fn a_message_cut_anywhere_is_no_message() {
    let mut t = Theatre::supervised();
    let p = t.offered();
    let (d, hold, request) = (t.approval(&p), t.presence(true, p.digest()), t.request(RequestKind::Teleop));
    let (d, hold, request) = (bytes(&t.sealed(d)), bytes(&t.sealed(hold)), bytes(&t.sealed(request)));
    (0..d.len()).for_each(|n| assert!(!t.send_bytes::<Decision>(&d[..n]), "{n}"));
    (0..hold.len()).for_each(|n| assert!(!t.send_bytes::<Presence>(&hold[..n]), "{n}"));
    (0..request.len()).for_each(|n| assert!(!t.send_bytes::<OperatorRequest>(&request[..n]), "{n}"));
}

/// Requests that give motion or clear a stop, in the state in which each would work, unsealed and sealed by a stranger.
#[test]
#[allow(clippy::type_complexity, reason = "a table")]
fn only_a_sealed_request_enables_moves_clears_or_disables() {
    let rows: [(RequestKind, SafetyMode, SafetyMode, fn(&mut Theatre)); 6] = [
        (RequestKind::Enable, SafetyMode::Disabled, SafetyMode::Ready, |_| {}),
        (RequestKind::Teleop, SafetyMode::Ready, SafetyMode::Teleop, |t| t.ask(RequestKind::Enable)),
        (RequestKind::Supervise, SafetyMode::Ready, SafetyMode::Supervised, |t| t.ask(RequestKind::Enable)),
        (RequestKind::Ready, SafetyMode::Teleop, SafetyMode::Ready, |t| {
            t.ask(RequestKind::Enable);
            t.run(5);
            t.ask(RequestKind::Teleop);
        }),
        (RequestKind::Disable, SafetyMode::Ready, SafetyMode::Disabled, |t| t.ask(RequestKind::Enable)),
        (RequestKind::Reset, SafetyMode::Fault, SafetyMode::Disabled, |t| t.assert_e_stop_works("set-up")),
    ];
    for (kind, from, to, prepare) in rows {
        let mut t = Theatre::new();
        prepare(&mut t);
        t.run(25);
        assert_eq!(t.mode(), from);
        let r = t.request(kind);
        t.send(&Sealed::bare(r));
        let stranger = SessionKey::new(&RootSecret::from_bytes([6; 32]), SURGEON, t.key.session(), t.key.expires());
        t.send(&stranger.seal(BOOT, r));
        t.run(25);
        assert_eq!(t.mode(), from, "{kind:?}");
        assert_eq!(t.refused().last(), Some(&Constraint::NotAuthentic), "{kind:?}");
        t.say(r);
        t.run(25);
        assert_eq!(t.mode(), to, "{kind:?}");
    }
}

#[test]
fn what_was_said_before_a_restart_counts_for_nothing_after_it_however_young() {
    let mut t = Theatre::new();
    let (enable, supervise) = (t.request(RequestKind::Enable), t.request(RequestKind::Supervise));
    t.say(enable);
    t.run(3);
    t.say(supervise);
    t.run(3);
    t.restart(Boot(BOOT.0 + 1));
    t.run(25);
    assert_eq!(t.mode(), SafetyMode::Disabled, "a restart gives nobody authority");
    t.verdicts.clear();
    t.say(enable);
    t.say(supervise);
    t.run(25);
    assert_eq!((t.mode(), t.refused()), (SafetyMode::Disabled, vec![Constraint::CrossSession]));
    // The surgeon's console hears of the new start, seals for it, and begins from DISABLED.
    let r = t.request(RequestKind::Enable);
    t.send(&t.key.seal(Boot(BOOT.0 + 1), r));
    t.run(25);
    assert_eq!(t.mode(), SafetyMode::Ready);
    t.assert_e_stop_works("restart");
}

/// Of an e-stop among the requests only the kind must survive; on its own topic nothing must.
#[test]
fn an_e_stop_with_any_flipped_bit_still_stops() {
    let mut t = Theatre::new();
    let word = Sealed::bare(t.request(RequestKind::EStop));
    let good = bytes(&word);
    let mut lost = Vec::new();
    for bit in 0..8 * good.len() {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        t.send_bytes::<OperatorRequest>(&bad);
        t.tick();
        if t.mode() == SafetyMode::Fault {
            t.ask(RequestKind::Reset);
            t.tick();
            assert_eq!(t.mode(), SafetyMode::Disabled);
        } else {
            lost.push(bit / 8);
        }
    }
    lost.dedup();
    // The encapsulation's two bytes, and the kind: after header 4, stamp 8, number 8, operator 4.
    assert_eq!(lost, [0, 1, 24]);
    for kind in 0..=u8::MAX {
        let message = msg::OperatorRequest { kind, ..msg::OperatorRequest::default() };
        t.e_stops.publish(&Raw(message)).unwrap();
        t.tick();
        assert_eq!(t.mode(), SafetyMode::Fault, "{kind}");
        t.ask(RequestKind::Reset);
        t.tick();
    }
}

#[test]
fn no_flood_delays_an_e_stop_by_a_tick() {
    for sealed in [false, true] {
        let mut t = Theatre::supervised();
        let p = t.offered();
        let d = t.approval(&p);
        t.say(d);
        t.hold = Some(p.digest());
        t.run(400);
        let junk = |t: &mut Theatre| {
            for _ in 0..1000 {
                let (d, hold, r) = (t.approval(&p), t.presence(false, p.digest()), t.request(RequestKind::Disable));
                t.send(&Sealed::bare(d));
                t.send(&Sealed::bare(hold));
                t.send(&Sealed::bare(r));
            }
        };
        junk(&mut t);
        let stop = t.request(RequestKind::EStop);
        let stop = if sealed { t.sealed(stop) } else { Sealed::bare(stop) };
        t.e_stops.publish(&Raw(proctor_bus::Wire::encode(&stop))).unwrap();
        junk(&mut t);
        assert_eq!(t.mode(), SafetyMode::Supervised);
        t.tick();
        assert_eq!(t.mode(), SafetyMode::Fault);
        // Behind as many requests as can wait.
        let mut t = Theatre::new();
        junk(&mut t);
        t.send(&stop);
        t.tick();
        assert_eq!(t.mode(), SafetyMode::Fault);
    }
}

#[test]
fn floods_of_forged_words_do_not_become_floods_of_verdicts() {
    let mut t = Theatre::supervised();
    let p = t.offered();
    t.run(200);
    t.verdicts.clear();
    for _ in 0..1000 {
        for _ in 0..10 {
            let (d, hold, r) = (t.approval(&p), t.presence(true, p.digest()), t.request(RequestKind::Disable));
            t.send(&Sealed::bare(d));
            t.send(&Sealed::bare(hold));
            t.send(&t.key.seal(Boot(1), r));
        }
        t.tick();
    }
    // Two kinds of refusal, ten times a second.
    assert!(t.verdicts.len() <= 22, "{}", t.verdicts.len());
    assert_eq!(t.mode(), SafetyMode::Supervised);
    t.assert_surgeon_is_heard("flood");
}
