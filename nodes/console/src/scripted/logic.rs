//! What the scripted surgeon does, as a function of what it sees. Clock-free; its own random numbers come from a seed.

use crate::protocol::ClientMessage;
use proctor_types::{Digest, ProposalId, RequestKind, SafetyMode, Skill};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Between two requests for the same thing.
const ASK_AGAIN: Duration = Duration::from_millis(700);
/// A hold that the console does not show for so long was lost: let go.
const HOLD_UNSEEN: Duration = Duration::from_millis(400);
/// From letting go to pressing again.
const PRESS_AGAIN: Duration = Duration::from_millis(150);

/// What it agrees to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Smallest clearance it accepts, m. A motion of an instrument without any measured clearance is rejected; a motion of
    /// the camera needs none.
    pub min_clearance: f64,
    /// Smallest confidence it accepts, [0, 1].
    pub min_confidence: f64,
    /// Shortest and longest time it looks at a proposal.
    pub think: (Duration, Duration),
    /// Seed of its random numbers.
    pub seed: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min_clearance: 0.002,
            min_confidence: 0.5,
            think: (Duration::from_millis(500), Duration::from_millis(1200)),
            seed: 1,
        }
    }
}

/// What happened while it worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Different proposals it saw.
    pub seen: u64,
    /// Of these, approved.
    pub approved: u64,
    /// Of these, rejected.
    pub rejected: u64,
    /// Motions that ran to their end, as the safety node counts them.
    pub executed: u64,
    /// Holds that were lost on the way and had to be pressed again.
    pub holds_lost: u64,
}

/// What it reads of a view; the rest is for people.
#[derive(Debug, Deserialize)]
struct Seen {
    seq: u64,
    picture: SeenPicture,
    safety: Option<SeenSafety>,
    card: Option<SeenCard>,
    seat: Option<SeenSeat>,
    holding: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct SeenPicture {
    stale: bool,
}

#[derive(Debug, Deserialize)]
struct SeenSafety {
    mode: SafetyMode,
    executed: u64,
    stale: bool,
}

#[derive(Debug, Deserialize)]
struct SeenCard {
    id: ProposalId,
    digest: Digest,
    skill: Skill,
    confidence: f64,
    clearance_mm: Option<f64>,
    phase: String,
}

#[derive(Debug, Deserialize)]
struct SeenSeat {
    conn: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
enum Heard {
    Hello { conn: u64 },
    View(Box<Seen>),
}

/// The proposal it is concerned with.
#[derive(Debug)]
struct Concern {
    digest: Digest,
    decide_at: Duration,
    decided: bool,
}

#[derive(Debug)]
struct Press {
    digest: Digest,
    since: Duration,
}

/// See the module. Times are since it started.
pub struct ScriptedSurgeon {
    policy: Policy,
    random: ChaCha8Rng,
    conn: Option<u64>,
    view: Option<Seen>,
    concern: Option<Concern>,
    press: Option<Press>,
    presses: u32,
    press_after: Duration,
    asked: Option<(Option<RequestKind>, Duration)>,
    executed_before: Option<u64>,
    summary: Summary,
}

impl ScriptedSurgeon {
    /// Has seen nothing yet.
    pub fn new(policy: Policy) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(policy.seed),
            policy,
            conn: None,
            view: None,
            concern: None,
            press: None,
            presses: 0,
            press_after: Duration::ZERO,
            asked: None,
            executed_before: None,
            summary: Summary::default(),
        }
    }

    /// What happened so far.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// A text message of the console.
    pub fn hear(&mut self, now: Duration, text: &str) -> Result<(), serde_json::Error> {
        let view = match serde_json::from_str(text)? {
            Heard::Hello { conn } => {
                self.conn = Some(conn);
                return Ok(());
            }
            Heard::View(view) => view,
        };
        if let Some(safety) = &view.safety {
            let before = *self.executed_before.get_or_insert(safety.executed);
            self.summary.executed = safety.executed.saturating_sub(before);
        }
        if let Some(card) = &view.card
            && self.concern.as_ref().is_none_or(|c| c.digest != card.digest)
        {
            self.summary.seen += 1;
            let (shortest, longest) = self.policy.think;
            let think = self.random.random_range(shortest..=longest.max(shortest));
            self.concern = Some(Concern { digest: card.digest, decide_at: now + think, decided: false });
        }
        self.view = Some(*view);
        Ok(())
    }

    /// What it says now. Call about 30 times a second: this is also what keeps its hold alive.
    pub fn act(&mut self, now: Duration) -> Vec<ClientMessage> {
        let mut out = Vec::new();
        let (Some(view), Some(conn)) = (&self.view, self.conn) else { return out };
        if view.seat.as_ref().and_then(|s| s.conn) != Some(conn) {
            self.press = None;
            self.ask(now, None, &mut out);
            return out;
        }
        let Some(safety) = view.safety.as_ref().filter(|s| !s.stale) else { return out };
        match safety.mode {
            SafetyMode::Disabled => self.ask(now, Some(RequestKind::Enable), &mut out),
            SafetyMode::Ready => self.ask(now, Some(RequestKind::Supervise), &mut out),
            SafetyMode::Hold | SafetyMode::Teleop => self.ask(now, Some(RequestKind::Ready), &mut out),
            SafetyMode::Fault => {}
            SafetyMode::Supervised => self.attend(now, conn, &mut out),
        }
        if safety_is_not_supervised(self.view.as_ref()) {
            self.let_go(now, &mut out);
        }
        out
    }

    fn attend(&mut self, now: Duration, conn: u64, out: &mut Vec<ClientMessage>) {
        let Some(view) = &self.view else { return };
        let seen = view.seq;
        let Some(card) = &view.card else {
            self.let_go(now, out);
            return;
        };
        let (id, digest, phase) = (card.id, card.digest, card.phase.as_str());
        if let Some(press) = &self.press {
            let unseen = view.holding != Some(conn) && now.saturating_sub(press.since) > HOLD_UNSEEN;
            if press.digest != digest || unseen {
                self.summary.holds_lost += u64::from(unseen);
                self.let_go(now, out);
            } else {
                out.push(ClientMessage::Hold { digest, down: true, press: self.presses, seen });
            }
            return;
        }
        let Some(concern) = self.concern.as_mut().filter(|c| c.digest == digest && now >= c.decide_at) else { return };
        let offered = phase == "offered";
        if view.picture.stale || now < self.press_after {
            return;
        }
        if offered && !self.policy.accepts(card) {
            if !concern.decided {
                self.summary.rejected += 1;
            }
            concern.decided = true;
            concern.decide_at = now + ASK_AGAIN;
            out.push(ClientMessage::Reject { id, digest });
            return;
        }
        if offered {
            if !concern.decided {
                self.summary.approved += 1;
            }
            concern.decided = true;
            out.push(ClientMessage::Approve { id, digest, seen });
        } else if !concern.decided {
            // Somebody else approved it: not ours to hold.
            return;
        }
        self.presses += 1;
        self.press = Some(Press { digest, since: now });
        out.push(ClientMessage::Hold { digest, down: true, press: self.presses, seen });
    }

    fn let_go(&mut self, now: Duration, out: &mut Vec<ClientMessage>) {
        if let (Some(press), Some(view)) = (self.press.take(), &self.view) {
            let (digest, seen) = (press.digest, view.seq);
            out.push(ClientMessage::Hold { digest, down: false, press: self.presses, seen });
            self.press_after = now + PRESS_AGAIN;
        }
    }

    /// Asks for a mode, or for the seat, and not again too soon.
    fn ask(&mut self, now: Duration, what: Option<RequestKind>, out: &mut Vec<ClientMessage>) {
        if self.asked.is_some_and(|(asked, at)| asked == what && now.saturating_sub(at) < ASK_AGAIN) {
            return;
        }
        self.asked = Some((what, now));
        out.push(what.map_or(ClientMessage::TakeSeat {}, |what| ClientMessage::Request { what }));
    }
}

impl Policy {
    fn accepts(&self, card: &SeenCard) -> bool {
        let clear = match (card.clearance_mm, card.skill) {
            (Some(mm), _) => mm * 1e-3 >= self.min_clearance,
            (None, Skill::CentreCamera) => true,
            (None, Skill::Retract) => false,
        };
        clear && card.confidence >= self.min_confidence
    }
}

fn safety_is_not_supervised(view: Option<&Seen>) -> bool {
    view.and_then(|v| v.safety.as_ref()).is_none_or(|s| s.mode != SafetyMode::Supervised)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    struct Bench {
        surgeon: ScriptedSurgeon,
        seq: u64,
    }

    impl Bench {
        fn new(policy: Policy) -> Self {
            let mut surgeon = ScriptedSurgeon::new(policy);
            let hello = json!({"t": "hello", "conn": 4, "operator": 9, "role": "scripted", "classes": []});
            surgeon.hear(ms(0), &hello.to_string()).unwrap();
            Self { surgeon, seq: 0 }
        }

        fn see(
            &mut self,
            now: u64,
            mode: &str,
            card: serde_json::Value,
            holding: Option<u64>,
            executed: u64,
        ) -> Vec<ClientMessage> {
            self.seq += 1;
            let view = json!({
                "t": "view", "seq": self.seq, "picture": {"stale": false}, "card": card, "holding": holding,
                "safety": {"mode": mode, "executed": executed, "stale": false}, "seat": {"conn": 4},
            });
            self.surgeon.hear(ms(now), &view.to_string()).unwrap();
            self.surgeon.act(ms(now))
        }
    }

    fn card(what: &[u8], clearance_mm: Option<f64>, confidence: f64, phase: &str) -> serde_json::Value {
        json!({"id": 7, "digest": Digest::of(what), "skill": "retract", "confidence": confidence,
               "clearance_mm": clearance_mm, "phase": phase})
    }

    #[test]
    fn it_brings_the_safety_node_up_step_by_step_without_nagging() {
        let mut b = Bench::new(Policy::default());
        let none = serde_json::Value::Null;
        let asked = |what| vec![ClientMessage::Request { what }];
        assert_eq!(b.see(0, "DISABLED", none.clone(), None, 0), asked(RequestKind::Enable));
        assert_eq!(b.see(100, "DISABLED", none.clone(), None, 0), []);
        assert_eq!(b.see(200, "READY", none.clone(), None, 0), asked(RequestKind::Supervise));
        assert_eq!(b.see(800, "READY", none.clone(), None, 0), []);
        assert_eq!(b.see(900, "READY", none.clone(), None, 0), asked(RequestKind::Supervise));
        assert_eq!(b.see(1000, "HOLD", none.clone(), None, 0), asked(RequestKind::Ready));
        assert_eq!(b.see(9000, "FAULT", none, None, 0), [], "an e-stop is for people to reset");
    }

    #[test]
    fn it_approves_and_holds_until_the_motion_is_gone() {
        let mut b = Bench::new(Policy::default());
        let offered = card(b"a", Some(5.0), 0.9, "offered");
        assert_eq!(b.see(0, "SUPERVISED", offered.clone(), None, 3), [], "it thinks first");
        let out = b.see(1300, "SUPERVISED", offered, None, 3);
        let digest = Digest::of(b"a");
        assert_eq!(
            out,
            [
                ClientMessage::Approve { id: ProposalId(7), digest, seen: 2 },
                ClientMessage::Hold { digest, down: true, press: 1, seen: 2 }
            ]
        );
        for now in (1333..3000).step_by(33) {
            let out = b.see(now, "SUPERVISED", card(b"a", Some(5.0), 0.9, "moving"), Some(4), 3);
            assert_eq!(out, [ClientMessage::Hold { digest, down: true, press: 1, seen: b.seq }]);
        }
        let out = b.see(3000, "SUPERVISED", serde_json::Value::Null, None, 4);
        assert_eq!(out, [ClientMessage::Hold { digest, down: false, press: 1, seen: b.seq }]);
        let expected = Summary { seen: 1, approved: 1, rejected: 0, executed: 1, holds_lost: 0 };
        assert_eq!(b.surgeon.summary(), expected);
    }

    #[test]
    fn it_rejects_what_is_too_close_unsure_or_unmeasured_and_says_so_once() {
        for bad in [
            card(b"a", Some(1.0), 0.9, "offered"),
            card(b"a", Some(5.0), 0.2, "offered"),
            card(b"a", None, 0.9, "offered"),
        ] {
            let mut b = Bench::new(Policy::default());
            b.see(0, "SUPERVISED", bad.clone(), None, 0);
            let out = b.see(1300, "SUPERVISED", bad.clone(), None, 0);
            assert_eq!(out, [ClientMessage::Reject { id: ProposalId(7), digest: Digest::of(b"a") }]);
            assert_eq!(b.see(1333, "SUPERVISED", bad, None, 0), []);
            assert_eq!(
                (b.surgeon.summary().seen, b.surgeon.summary().rejected, b.surgeon.summary().approved),
                (1, 1, 0)
            );
        }
    }

    #[test]
    fn a_lost_hold_is_let_go_and_pressed_again() {
        let mut b = Bench::new(Policy::default());
        b.see(0, "SUPERVISED", card(b"a", Some(5.0), 0.9, "offered"), None, 0);
        b.see(1300, "SUPERVISED", card(b"a", Some(5.0), 0.9, "offered"), None, 0);
        let waiting = card(b"a", Some(5.0), 0.9, "waiting");
        let digest = Digest::of(b"a");
        let out = b.see(1701, "SUPERVISED", waiting.clone(), None, 0);
        assert_eq!(out, [ClientMessage::Hold { digest, down: false, press: 1, seen: 3 }]);
        assert_eq!(b.see(1801, "SUPERVISED", waiting.clone(), None, 0), []);
        let out = b.see(1900, "SUPERVISED", waiting, None, 0);
        assert_eq!(out, [ClientMessage::Hold { digest, down: true, press: 2, seen: 5 }], "approved once");
        assert_eq!(b.surgeon.summary().holds_lost, 1);
    }

    #[test]
    fn the_same_seed_thinks_for_the_same_time() {
        let when = |seed| {
            let mut b = Bench::new(Policy { seed, ..Policy::default() });
            (0..1300).find(|&t| !b.see(t, "SUPERVISED", card(b"a", Some(5.0), 0.9, "offered"), None, 0).is_empty())
        };
        assert_eq!(when(5), when(5));
        assert!(when(5).unwrap() >= 500);
        assert_ne!(when(5), when(6));
    }
}
