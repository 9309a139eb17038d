//! The real safety core, model-checked: every interleaving of what two operators and a hostile network can do, up to a bound, is run
//! against the same `SafetyCore` that the node runs, and judged by what was heard and what the arms were sent.
//!
//! A state is the sequence of acts that led to it, run afresh from boot; two are the same when nothing that can be seen of the core, of the
//! messages that may still arrive, and of the judge's own book-keeping differs. Messages may be lost (never arrive), late (made now, heard
//! after others), doubled and replayed (heard again, also after a restart). The safety node may die and restart at any moment.
//!
//! `MODEL_ACTS` sets how many acts are explored (default below). Breaking the core on purpose makes a property fail: a test does so.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_safety::{Event, Finding, SafetyCore, SafetyParams};
use proctor_seal::Verifier;
use proctor_types::{
    ArmId, Boot, Constraint, Decision, DecisionKind, Digest, OperatorId, OperatorRequest, Presence, Proposal,
    RequestKind, SafetyMode, Stamp,
};
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::{
    hash::{Hash, Hasher},
    time::Duration,
};
use support::{BOOT, Cellar, Heard, key, root, sway};

/// Acts beyond the opening.
const ACTS: usize = 3;
/// Ticks of a millisecond that an act takes: longer than the onset of a stop.
const TICKS: usize = 10;
/// After this many ticks without permission nothing moves any more.
const STOP: u32 = 600;

/// The two operators, by index.
const OPERATORS: [OperatorId; 2] = [OperatorId(7), OperatorId(8)];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Word {
    Ask(RequestKind),
    /// Approve the motion on offer.
    Approve,
    /// Approve, under its name, a digest that is not its own.
    ApproveOther,
    /// Hold for the motion on offer.
    Hold,
    Release,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Act {
    /// Said and heard.
    Say(usize, Word),
    /// Said; it may be heard later.
    Post(usize, Word),
    /// A message said before, by its place in the log, is heard (again).
    Hear(usize),
    /// 120 ms pass: longer than presence lasts.
    Wait,
    /// 1.1 s pass: longer than any message is believed.
    WaitLong,
    /// The safety node dies and starts again.
    Crash,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Message {
    Request(OperatorRequest),
    Decision(Decision),
    Presence(Presence),
}

/// How the core is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// E-stops do not arrive.
    Deaf,
    /// Presence counts as new whenever it is heard.
    StalePresenceCounts,
    /// A decision counts for the motion on offer whatever digest it names.
    AnyDigestCounts,
    /// Whoever asks is taken for the one who holds authority.
    AnybodyIsTheHolder,
    /// What was said to an earlier start of the node counts for this one.
    OldStartsCount,
}

/// What the judge keeps: from what was heard, not from what the core says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent observations")]
struct Book {
    /// Who has approved the motion on offer since the last start, while holding authority.
    approved: Option<usize>,
    /// Who holds for it, as was heard last, not longer ago than presence lasts.
    held: [bool; 2],
    /// Ticks since both were true of the holder of authority; capped.
    since_permitted: Option<u32>,
    /// An e-stop was heard and no reset since.
    stopped: bool,
    moving: bool,
    /// What went wrong, by property.
    moved_without_permission: bool,
    left_e_stop: bool,
    gained_authority: bool,
}

/// One message on the wire: who said what, how long ago (in classes that matter), before which restart, heard or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Sent {
    who: usize,
    word: Word,
    /// 0: fresh; 1: too old for presence; 2: too old for anything.
    age: u8,
    restarts: u8,
    heard: bool,
}

/// What can be seen of a run: states with the same view are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Seen {
    machine: proctor_safety::machine::Machine,
    active: Digest,
    executed: u64,
    /// How far the motion got, in thousandths.
    progress: u64,
    log: Vec<Sent>,
    book: Book,
    acts: usize,
}

#[derive(Debug, Clone)]
struct Run {
    acts: Vec<Act>,
    seen: Seen,
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.seen == other.seen
    }
}

impl Hash for Run {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.seen.hash(state);
    }
}

/// A cell, the messages on its wire, and the judge.
struct World {
    cell: Cellar,
    broken: Broken,
    motion: Proposal,
    log: Vec<(Message, usize, Word, u8, bool)>,
    restarts: u8,
    book: Book,
    held_at: [Option<Stamp>; 2],
}

impl World {
    fn new(broken: Broken) -> Self {
        let mut cell = Cellar::new(SafetyParams::default());
        cell.run(12);
        let motion = sway(&mut cell);
        cell.offer(&motion);
        cell.run(1);
        Self { cell, broken, motion, log: Vec::new(), restarts: 0, book: Book::default(), held_at: [None; 2] }
    }

    fn run(broken: Broken, acts: &[Act]) -> Self {
        let mut world = Self::new(broken);
        acts.iter().for_each(|act| world.act(*act));
        world
    }

    fn act(&mut self, act: Act) {
        let tick = Duration::from_millis(1);
        match act {
            Act::Say(who, word) => {
                self.say(who, word);
                self.hear(self.log.len() - 1);
            }
            Act::Post(who, word) => self.say(who, word),
            Act::Hear(i) => self.hear(i),
            Act::Wait => (0..3).for_each(|_| self.tick(Duration::from_millis(40))),
            Act::WaitLong => (0..24).for_each(|_| self.tick(Duration::from_millis(46))),
            Act::Crash => {
                self.cell.core = SafetyCore::new(self.cell.params.clone()).unwrap();
                self.restarts += 1;
                self.cell.core.boot_as(boot(self.restarts));
                let before = self.book;
                self.book = Book {
                    moved_without_permission: before.moved_without_permission,
                    left_e_stop: before.left_e_stop,
                    gained_authority: before.gained_authority,
                    ..Book::default()
                };
                self.held_at = [None; 2];
                // Autonomy offers the motion again.
                self.cell.offer(&self.motion.clone());
            }
        }
        (0..TICKS).for_each(|_| self.tick(tick));
    }

    fn say(&mut self, who: usize, word: Word) {
        let operator = OPERATORS[who];
        self.cell.seq += 1;
        let (stamp, seq) = (self.cell.now, self.cell.seq);
        let digest = self.motion.digest();
        let decision = |digest| {
            let kind = DecisionKind::Approve;
            Message::Decision(Decision { stamp, seq, operator, proposal: self.motion.id, digest, kind })
        };
        let message = match word {
            Word::Ask(kind) => Message::Request(OperatorRequest { stamp, seq, operator, kind }),
            Word::Approve => decision(digest),
            Word::ApproveOther => decision(Digest::of(b"another motion")),
            Word::Hold => Message::Presence(Presence { stamp, seq, operator, held: true, digest }),
            Word::Release => Message::Presence(Presence { stamp, seq, operator, held: false, digest }),
        };
        self.log.push((message, who, word, self.restarts, false));
    }

    /// The message arrives, in the next tick; the judge notes what an honest listener would make of it.
    fn hear(&mut self, i: usize) {
        let holder = self.cell.core.machine().authority;
        let (restarts, now) = (self.restarts, self.cell.now);
        let (message, who, word, said_in, heard) = &mut self.log[i];
        let again = std::mem::replace(heard, true);
        let holds = holder == Some(OPERATORS[*who]);
        match word {
            Word::Ask(RequestKind::EStop) => self.book.stopped = true,
            Word::Ask(RequestKind::Reset) if !again && *said_in == restarts => self.book.stopped = false,
            Word::Ask(RequestKind::Enable) if again || *said_in != restarts => {
                // A replay must not give authority; looked at after the tick.
            }
            Word::Approve if !again && holds => self.book.approved = Some(*who),
            Word::Hold if !again => {
                let Message::Presence(p) = message else { unreachable!() };
                (self.book.held[*who], self.held_at[*who]) = (true, Some(p.stamp));
            }
            Word::Release if !again => self.book.held[*who] = false,
            _ => {}
        }
        let replay = again || *said_in != restarts;
        let taken = self.broken.takes(*message, now, &self.motion, holder);
        let meant_for = if self.broken == Broken::OldStartsCount { restarts } else { *said_in };
        let enabling = *word == Word::Ask(RequestKind::Enable);
        self.cell.queue.extend(taken.map(|m| m.heard(boot(meant_for), boot(restarts))));
        self.tick(Duration::from_millis(1));
        let gained = holder.is_none() && self.cell.core.machine().authority.is_some();
        self.book.gained_authority |= gained && (replay || !enabling);
    }

    fn tick(&mut self, after: Duration) {
        let before = self.cell.speed(ArmId::Psm1);
        drop(self.cell.tick_after(after));
        let speed = self.cell.speed(ArmId::Psm1);
        for (held, at) in self.book.held.iter_mut().zip(self.held_at) {
            *held &= at.is_some_and(|at| self.cell.now.seconds_since(at) <= 0.1 + 1e-9);
        }
        let machine = self.cell.core.machine();
        if machine.mode != SafetyMode::Supervised {
            self.book.approved = None;
        }
        let holder = machine.authority;
        let granted = self.book.approved.is_some_and(|w| holder == Some(OPERATORS[w]) && self.book.held[w]);
        if granted {
            self.book.since_permitted = Some(0);
        } else if let Some(n) = &mut self.book.since_permitted {
            *n = (*n + 1).min(STOP + 1);
        }
        self.book.moving = speed > 0.0;
        let since = self.book.since_permitted.unwrap_or(u32::MAX);
        // The jerk is limited: a stop needs eight ticks to be slower than before.
        let speeding = speed > before * (1.0 + 1e-9) && since > 8;
        self.book.moved_without_permission |= self.book.moving && (speeding || since > STOP);
        let latched = machine.mode == SafetyMode::Fault && machine.e_stop;
        self.book.left_e_stop |= self.book.stopped && !latched;
    }

    fn seen(&self, acts: usize) -> Seen {
        let now = self.cell.now;
        let age = |m: &Message| {
            let stamp = match m {
                Message::Request(r) => r.stamp,
                Message::Decision(d) => d.stamp,
                Message::Presence(p) => p.stamp,
            };
            let age = now.seconds_since(stamp);
            u8::from(age > 0.1) + u8::from(age > 1.0)
        };
        let state = self.cell.state.unwrap();
        Seen {
            machine: *self.cell.core.machine(),
            active: state.active,
            executed: state.executed,
            progress: (state.progress * 1000.0) as u64,
            log: self
                .log
                .iter()
                .map(|(m, who, word, restarts, heard)| Sent {
                    who: *who,
                    word: *word,
                    age: age(m),
                    restarts: *restarts,
                    heard: *heard,
                })
                .collect(),
            book: self.book,
            acts,
        }
    }
}

impl Broken {
    /// What a core broken in this way takes a message for.
    fn takes(self, message: Message, now: Stamp, motion: &Proposal, holder: Option<OperatorId>) -> Option<Message> {
        let of = |operator: OperatorId| holder.unwrap_or(operator);
        Some(match (self, message) {
            (Self::Deaf, Message::Request(r)) if r.kind == RequestKind::EStop => return None,
            (Self::StalePresenceCounts, Message::Presence(p)) => {
                let seq = (now.seconds_since(Stamp::FIRST) * 1e6) as u64;
                Message::Presence(Presence { stamp: now, seq, ..p })
            }
            (Self::AnyDigestCounts, Message::Decision(d)) => {
                Message::Decision(Decision { digest: motion.digest(), ..d })
            }
            (Self::AnybodyIsTheHolder, Message::Decision(d)) => {
                Message::Decision(Decision { operator: of(d.operator), ..d })
            }
            (Self::AnybodyIsTheHolder, Message::Presence(p)) => {
                Message::Presence(Presence { operator: of(p.operator), ..p })
            }
            (_, message) => message,
        })
    }
}

/// The name of a start of the node.
fn boot(restarts: u8) -> Boot {
    Boot(BOOT.0 + u64::from(restarts))
}

impl Message {
    /// What the core hears of a message that was sealed for one start of the node and arrives in another.
    fn heard(self, meant_for: Boot, now: Boot) -> Event {
        fn open<T: Heard>(word: T, meant_for: Boot, now: Boot) -> Event {
            let sealed = key(word.operator()).seal(meant_for, word);
            match Verifier::new(root(), now).open(&sealed) {
                Ok(word) => T::event(word),
                Err(_) => Event::Refused(Finding::node(Constraint::CrossSession, 0.0, 0.0)),
            }
        }
        match self {
            // Needs no seal.
            Self::Request(r) if r.kind == RequestKind::EStop => Event::EStop,
            Self::Request(r) => open(r, meant_for, now),
            Self::Decision(d) => open(d, meant_for, now),
            Self::Presence(p) => open(p, meant_for, now),
        }
    }
}

/// Everything that can happen after an opening.
struct Cell {
    broken: Broken,
    opening: Vec<Act>,
    /// What may be said and heard, by whom.
    says: Vec<(usize, Word)>,
    /// What may be said and heard late.
    posts: Vec<(usize, Word)>,
    acts: usize,
}

impl Cell {
    fn run(&self, acts: Vec<Act>) -> Run {
        let world = World::run(self.broken, &acts);
        let seen = world.seen(acts.len());
        Run { acts, seen }
    }
}

impl Model for Cell {
    type State = Run;
    type Action = Act;

    fn init_states(&self) -> Vec<Run> {
        vec![self.run(self.opening.clone())]
    }

    fn actions(&self, state: &Run, actions: &mut Vec<Act>) {
        if state.acts.len() >= self.opening.len() + self.acts {
            return;
        }
        actions.extend(self.says.iter().map(|&(who, word)| Act::Say(who, word)));
        actions.extend(self.posts.iter().map(|&(who, word)| Act::Post(who, word)));
        // Old messages say nothing new once they are too old to be believed, except an e-stop.
        let heard = state.seen.log.iter().enumerate();
        let alive = heard.filter(|(_, m)| m.age < 2 || m.word == Word::Ask(RequestKind::EStop));
        actions.extend(alive.map(|(i, _)| Act::Hear(i)));
        actions.extend([Act::Wait, Act::WaitLong, Act::Crash]);
    }

    fn next_state(&self, last: &Run, act: Act) -> Option<Run> {
        let mut acts = last.acts.clone();
        acts.push(act);
        Some(self.run(acts))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(MOTION, |_, s: &Run| !s.seen.book.moved_without_permission),
            Property::always(E_STOP, |_, s: &Run| !s.seen.book.left_e_stop),
            Property::always(AUTHORITY, |_, s: &Run| !s.seen.book.gained_authority),
            Property::sometimes(MOVES, |_, s: &Run| s.seen.book.moving),
        ]
    }
}

const MOTION: &str = "an arm moves only while the holder's approval of that digest and fresh presence stand";
const E_STOP: &str = "an e-stop latches until a reset";
const AUTHORITY: &str = "nobody gains authority but by asking for it anew";
const MOVES: &str = "an approved motion runs";

fn acts() -> usize {
    std::env::var("MODEL_ACTS").ok().and_then(|s| s.parse().ok()).unwrap_or(ACTS)
}

/// From boot: modes and authority.
fn modes(broken: Broken) -> Cell {
    use RequestKind::{Disable, EStop, Enable, Ready, Reset, Supervise};
    let ask = |who: usize| move |kind| (who, Word::Ask(kind));
    let mut says: Vec<_> = [Enable, Supervise, Ready, Disable, Reset, EStop].into_iter().map(ask(0)).collect();
    says.extend([Enable, Supervise, EStop].into_iter().map(ask(1)));
    let posts = vec![(0, Word::Ask(Enable)), (0, Word::Ask(Reset)), (1, Word::Ask(EStop))];
    Cell { broken, opening: Vec::new(), says, posts, acts: acts() }
}

/// In SUPERVISED, the motion on offer: approvals and presence.
fn approvals(broken: Broken) -> Cell {
    let say = |word| Act::Say(0, word);
    let opening = vec![say(Word::Ask(RequestKind::Enable)), say(Word::Ask(RequestKind::Supervise))];
    let stop = Word::Ask(RequestKind::EStop);
    let mut says: Vec<_> = [Word::Approve, Word::ApproveOther, Word::Hold, Word::Release].map(|w| (0, w)).to_vec();
    says.extend([Word::Approve, Word::Hold, stop].map(|w| (1, w)));
    let posts = vec![(0, Word::Approve), (0, Word::Hold)];
    Cell { broken, opening, says, posts, acts: acts() }
}

/// A hold was said that nobody has heard yet.
fn with_a_late_hold(mut cell: Cell) -> Cell {
    cell.opening.push(Act::Post(0, Word::Hold));
    cell
}

fn check(cell: Cell, until: HasDiscoveries) -> impl Checker<Cell> {
    cell.checker().threads(2).finish_when(until).spawn_bfs().join()
}

#[test]
fn no_interleaving_gives_motion_or_authority_that_was_not_granted() {
    let checked = check(approvals(Broken::Nothing), HasDiscoveries::AnyFailures);
    println!("approvals: {} states, {} of them different", checked.state_count(), checked.unique_state_count());
    checked.assert_properties();
    let checked = check(modes(Broken::Nothing), HasDiscoveries::AnyFailures);
    println!("modes: {} states, {} of them different", checked.state_count(), checked.unique_state_count());
    for name in [MOTION, E_STOP, AUTHORITY] {
        checked.assert_no_discovery(name);
    }
}

#[test]
fn breaking_the_core_on_purpose_is_found() {
    for (cell, property) in [
        (modes(Broken::Deaf), E_STOP),
        (with_a_late_hold(approvals(Broken::StalePresenceCounts)), MOTION),
        (approvals(Broken::AnyDigestCounts), MOTION),
        (approvals(Broken::AnybodyIsTheHolder), MOTION),
        (modes(Broken::OldStartsCount), AUTHORITY),
    ] {
        let broken = cell.broken;
        let found = check(cell, HasDiscoveries::AnyFailures);
        assert!(found.discovery(property).is_some(), "{broken:?} went unnoticed");
    }
}
