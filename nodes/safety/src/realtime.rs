//! A thread for the core: 1 kHz, FIFO priority and locked memory where permitted, connected to the bus half by bounded
//! lock-free rings. It allocates nothing, locks nothing, and counts its overruns.
//!
//! At the bounds: events that find no room wait on the bus; set-points that find no room are overtaken by the next (counted in
//! [`Health::dropped`]); spent memory that finds no room is freed by the thread itself.

use crate::{
    ArmPort, Cleared, Event, Events, PERIOD, SafetyCore, SafetyError, SetPoint, Spent, report::Margins, timing::Timing,
};
use proctor_types::{SafetyState, Stamp, StateCommand, Verdict};
use rtrb::{Consumer, Producer, RingBuffer};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

const EVENTS: usize = 512;
const OUTPUTS: usize = 1024;
/// A tick that begins later than this after it was due is an overrun, as is one that takes longer than its period.
const LATE: Duration = Duration::from_millis(1);

/// What the thread needs from its owner.
pub struct Options {
    /// The clock that stamps ticks.
    pub clock: Box<dyn Fn() -> Stamp + Send>,
    /// Ends the thread.
    pub stop: Arc<AtomicBool>,
    /// FIFO priority asked for, [1, 99]; `None` leaves the scheduling as it is.
    pub priority: Option<i32>,
    /// Whether to lock the process's memory.
    pub lock_memory: bool,
}

/// How the thread fares; shared, updated while it runs.
#[derive(Debug, Default)]
pub struct Health {
    /// Whether FIFO scheduling was granted.
    pub fifo: AtomicBool,
    /// Whether memory is locked.
    pub locked: AtomicBool,
    /// Ticks so far.
    pub ticks: AtomicU64,
    /// Ticks that took longer than their period or began a period too late.
    pub overruns: AtomicU64,
    /// Of these, ticks that began a period too late: the machine's doing, not the core's.
    pub late: AtomicU64,
    /// Longest tick so far, ns.
    pub longest_ns: AtomicU64,
    /// Latest beginning of a tick so far, ns after it was due.
    pub latest_ns: AtomicU64,
    /// Durations of the ticks since the last report.
    pub timing: Timing,
    /// Outputs that found no room.
    pub dropped: AtomicU64,
}

impl Health {
    /// Counts a tick that took `took` and began `late` after it was due.
    fn note(&self, took: Duration, late: Duration) {
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        self.ticks.fetch_add(1, Ordering::Relaxed);
        self.timing.record(nanos(took));
        self.longest_ns.fetch_max(nanos(took), Ordering::Relaxed);
        self.latest_ns.fetch_max(nanos(late), Ordering::Relaxed);
        self.late.fetch_add(u64::from(late > LATE), Ordering::Relaxed);
        self.overruns.fetch_add(u64::from(took > PERIOD || late > LATE), Ordering::Relaxed);
    }
}

/// The running thread.
pub struct RealTime {
    /// How it fares.
    pub health: Arc<Health>,
    thread: JoinHandle<()>,
}

impl RealTime {
    /// Waits until the thread has ended (set `Options::stop` first). Returns whether it ended without panic.
    pub fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

/// What goes back to the bus half.
enum Message {
    Command(Cleared<SetPoint>),
    ArmRequest(StateCommand),
    Verdict(Verdict),
    State(SafetyState),
    Margins(Margins),
    ReadZones,
    Zones(u64),
    Spent(Spent),
}

/// The bus half's end of the rings.
pub(crate) struct Link {
    events: Producer<Event>,
    outputs: Consumer<Message>,
    /// How the loop fares.
    pub health: Arc<Health>,
}

impl Link {
    /// To a core that says nothing.
    #[cfg(test)]
    pub fn of(events: Producer<Event>) -> Self {
        Self { events, outputs: RingBuffer::new(1).1, health: Arc::default() }
    }

    /// Whether there is room for an event: what finds none would be lost.
    pub fn has_room(&self) -> bool {
        self.events.slots() > 0
    }

    /// Hands an event to the core, for which there is room; says whether there is for another.
    pub fn push(&mut self, event: Event) -> bool {
        let _ = self.events.push(event);
        self.has_room()
    }

    /// Publishes what the core said. Of several set-points for an arm only the newest counts.
    pub fn drain(&mut self, comms: &mut crate::node::Comms) {
        let mut newest: crate::PerArm<Option<Cleared<SetPoint>>> = crate::PerArm::default();
        let mut out = crate::Output::default();
        for _ in 0..OUTPUTS {
            match self.outputs.pop() {
                Ok(Message::Command(c)) => *newest.get_mut(c.get().arm) = Some(c),
                Ok(Message::ArmRequest(r)) => {
                    let _ = out.arm_requests.try_push(r);
                    comms.publish(&mut out);
                    out.clear();
                }
                Ok(Message::Verdict(v)) => {
                    let _ = out.verdicts.try_push(v);
                    if out.verdicts.is_full() {
                        comms.publish(&mut out);
                        out.clear();
                    }
                }
                Ok(Message::State(s)) => {
                    out.state = Some(s);
                    comms.publish(&mut out);
                    out.clear();
                }
                Ok(Message::Margins(m)) => comms.margins = m,
                Ok(Message::ReadZones) => out.read_zones = true,
                Ok(Message::Zones(version)) => {
                    out.zones = Some(version);
                    comms.publish(&mut out);
                    out.clear();
                }
                Ok(Message::Spent(s)) => drop(s),
                Err(_) => break,
            }
        }
        comms.publish(&mut out);
        newest.each().into_iter().flatten().for_each(|c| comms.send(c));
    }
}

/// Starts the thread.
pub(crate) fn start(core: SafetyCore, options: Options) -> Result<(Link, RealTime), SafetyError> {
    let (events, incoming) = RingBuffer::new(EVENTS);
    let (outgoing, outputs) = RingBuffer::new(OUTPUTS);
    let health = Arc::new(Health::default());
    let shared = health.clone();
    let mut core = Box::new(core);
    let thread = std::thread::Builder::new().name("safety-rt".into()).spawn(move || {
        shared.fifo.store(options.priority.is_some_and(ask_for_fifo), Ordering::Relaxed);
        shared.locked.store(options.lock_memory && lock_memory(), Ordering::Relaxed);
        run(&mut core, incoming, outgoing, &options, &shared);
    })?;
    Ok((Link { events, outputs, health: health.clone() }, RealTime { health, thread }))
}

fn run(core: &mut SafetyCore, mut incoming: Consumer<Event>, mut outgoing: Producer<Message>, o: &Options, h: &Health) {
    let mut events = Events::new();
    let mut due = Instant::now();
    while !o.stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        while !events.is_full() {
            let Ok(event) = incoming.pop() else { break };
            events.push(event);
        }
        core.count_overruns(h.overruns.load(Ordering::Relaxed));
        let out = core.step((o.clock)(), &mut events);
        let mut send = |m: Message| {
            if outgoing.push(m).is_err() {
                h.dropped.fetch_add(1, Ordering::Relaxed);
            }
        };
        out.commands.drain(..).for_each(|c| send(Message::Command(c)));
        out.arm_requests.drain(..).for_each(|r| send(Message::ArmRequest(r)));
        out.verdicts.drain(..).for_each(|v| send(Message::Verdict(v)));
        out.state.take().into_iter().for_each(|s| send(Message::State(s)));
        out.margins.take().into_iter().for_each(|m| send(Message::Margins(m)));
        out.zones.take().into_iter().for_each(|v| send(Message::Zones(v)));
        if out.read_zones {
            send(Message::ReadZones);
        }
        out.spent.drain(..).for_each(|s| send(Message::Spent(s)));

        h.note(begin.elapsed(), begin.saturating_duration_since(due));
        due += PERIOD;
        match due.checked_duration_since(Instant::now()) {
            Some(rest) => std::thread::sleep(rest),
            // Late ticks are not caught up: that would double the speed.
            None => due = Instant::now(),
        }
    }
}

/// Asks for FIFO scheduling of the calling thread; says whether it was granted.
#[expect(unsafe_code, reason = "there is no safe interface to the scheduler")]
pub fn ask_for_fifo(priority: i32) -> bool {
    let param = libc::sched_param { sched_priority: priority.clamp(1, 99) };
    // SAFETY: the thread is the calling one and `param` outlives the call, which reads it only.
    unsafe { libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_FIFO, &raw const param) == 0 }
}

/// Takes turns with everybody else from now on, for a thread that has time but was started by one that has none.
#[expect(unsafe_code, reason = "there is no safe interface to the scheduler")]
pub(crate) fn take_turns() {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: the thread is the calling one and `param` outlives the call, which reads it only.
    // Giving up a priority is always permitted; if not, the thread only has more than it needs.
    let _ = unsafe { libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_OTHER, &raw const param) };
}

/// Locks present and future memory as it is touched; says whether that was granted.
#[expect(unsafe_code, reason = "there is no safe interface to memory locking")]
fn lock_memory() -> bool {
    // SAFETY: takes flags only.
    unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) == 0 }
}

#[cfg(test)]
#[path = "realtime_tests.rs"]
mod realtime_tests;
