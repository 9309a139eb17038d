//! Executors: the only places where a node's `now` comes from.
//!
//! [`Lockstep`] is deterministic: one thread, a simulated clock, nodes polled in a fixed order whenever their period has passed.
//! [`Threads`] is live: a thread per node on the wall clock, or on a simulation's ([`crate::sim_time`]). A node that panics takes only
//! itself down; the others' watchdogs notice its silence, which is the behaviour a robot needs.

use crate::sim_time::SimulatedClock;
use proctor_bus::{Bus, BusError, Node, Urgency};
use proctor_types::Stamp;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

/// Simulated time step of [`Lockstep`]: the plant's and the safety loop's period.
pub const TICK: Duration = Duration::from_millis(1);

/// Deterministic executor with a simulated clock.
pub struct Lockstep {
    now: Stamp,
    nodes: Vec<Slot>,
}

struct Slot {
    node: Box<dyn Node>,
    due: Stamp,
}

impl Lockstep {
    /// Starts the simulated clock at `start`; no node yet.
    pub fn new(start: Stamp) -> Self {
        Self { now: start, nodes: Vec::new() }
    }

    /// Adds a node, due at the next tick; nodes are polled in the order in which they were added.
    pub fn add(&mut self, node: Box<dyn Node>) {
        self.nodes.push(Slot { node, due: self.now.plus(TICK) });
    }

    /// Removes a node, as if its process were killed. Returns whether it was there.
    pub fn kill(&mut self, name: &str) -> bool {
        let before = self.nodes.len();
        self.nodes.retain(|s| s.node.name() != name);
        self.nodes.len() < before
    }

    /// Simulated time.
    pub fn now(&self) -> Stamp {
        self.now
    }

    /// One tick: advances the clock by [`TICK`], then polls every node that is due.
    pub fn tick(&mut self) {
        self.now = self.now.plus(TICK);
        for slot in &mut self.nodes {
            if slot.due <= self.now {
                slot.node.poll(self.now);
                slot.due = slot.due.plus(slot.node.period());
            }
        }
    }

    /// Runs for a simulated duration.
    pub fn run_for(&mut self, duration: Duration) {
        for _ in 0..duration.as_millis() {
            self.tick();
        }
    }

    /// Runs until `done` holds after a tick, at most for `limit`. Returns whether it held.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        for _ in 0..limit.as_millis() {
            self.tick();
            if done() {
                return true;
            }
        }
        false
    }
}

/// Wall-clock time as a stamp (nanoseconds since 1970).
pub fn wall_clock() -> Stamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::from_nanos(1));
    Stamp::FIRST.plus(since)
}

/// A wall clock that cannot step: starts at the system's time and advances with the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct SteadyClock {
    start: Stamp,
    since: Instant,
}

impl SteadyClock {
    /// Starts now.
    pub fn start() -> Self {
        Self { start: wall_clock(), since: Instant::now() }
    }

    /// The current time.
    pub fn now(&self) -> Stamp {
        self.start.plus(self.since.elapsed())
    }
}

/// Asks for the scheduling that an urgency needs, for the calling thread and those it starts: real time where permitted, below the
/// safety core's own. A nice level would not do: Linux shares time between sessions first (autogroup), and a browser is another session.
pub fn schedule(urgency: Urgency) {
    const PROMPT: i32 = 50;
    if urgency == Urgency::Prompt && !proctor_safety::realtime::ask_for_fifo(PROMPT) {
        tracing::debug!("no permission for real-time scheduling: a prompt thread takes its turn like the others");
    }
}

/// Live executor: a thread per node.
pub struct Threads {
    stop: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    /// Name, thread, and whether the node may be paused.
    running: Vec<(String, JoinHandle<()>, Arc<AtomicBool>)>,
    clock: SteadyClock,
    simulated: Option<Arc<SimulatedClock>>,
}

impl Threads {
    /// An executor without nodes, on the wall clock.
    pub fn new(clock: SteadyClock) -> Self {
        let flag = || Arc::new(AtomicBool::new(false));
        Self { stop: flag(), paused: flag(), running: Vec::new(), clock, simulated: None }
    }

    /// Nodes that are started from now on run on the clock that `bus` carries.
    pub fn use_sim_time(&mut self, bus: &Bus) -> Result<(), BusError> {
        let clock = Arc::new(SimulatedClock::default());
        let follower = clock.clone().follow(bus, self.stop.clone())?;
        self.running.push(("clock".to_owned(), follower, Arc::new(AtomicBool::new(true))));
        self.simulated = Some(clock);
        Ok(())
    }

    /// The simulation's clock that nodes run on, if they do.
    pub fn simulated(&self) -> Option<&SimulatedClock> {
        self.simulated.as_deref()
    }

    /// Nodes are not polled until [`Threads::resume`]; messages wait in their bounded queues. Refused, by name, if a node must not be stopped now.
    pub fn pause(&self) -> Result<(), String> {
        if let Some((busy, ..)) = self.running.iter().find(|(.., may_pause)| !may_pause.load(Ordering::Relaxed)) {
            return Err(format!("{busy} must not be stopped now"));
        }
        self.paused.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Nodes are polled, from now on or again.
    pub fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
    }

    /// The flag that ends every thread, for threads that live outside this executor.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Starts `node` in its own thread.
    pub fn spawn(&mut self, node: Box<dyn Node>) -> std::io::Result<()> {
        match self.simulated.clone() {
            None => self.spawn_on_wall_clock(node),
            Some(clock) => self.thread(node, move |node, stop| clock.drive(node, stop)),
        }
    }

    /// Starts `node` in its own thread on the wall clock, whatever clock the others have. A late poll is not caught up: the next one is due a period
    /// after now.
    pub fn spawn_on_wall_clock(&mut self, node: Box<dyn Node>) -> std::io::Result<()> {
        let clock = self.clock;
        self.thread(node, move |node, stop| {
            let period = node.period();
            let mut due = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                if catch_unwind(AssertUnwindSafe(|| node.poll(clock.now()))).is_err() {
                    return false;
                }
                due += period;
                match due.checked_duration_since(Instant::now()) {
                    Some(rest) => std::thread::sleep(rest),
                    None => due = Instant::now(),
                }
            }
            true
        })
    }

    /// A thread that drives a node until the flag is set or the node has panicked, which `drive` says by `false`.
    fn thread(
        &mut self,
        node: Box<dyn Node>,
        drive: impl FnOnce(&mut dyn Node, &AtomicBool) -> bool + Send + 'static,
    ) -> std::io::Result<()> {
        let (stop, name) = (self.stop.clone(), node.name().to_owned());
        let may_pause = Arc::new(AtomicBool::new(true));
        let mut pausing = Pausing { node, paused: self.paused.clone(), may_pause: may_pause.clone() };
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            schedule(pausing.urgency());
            if !drive(&mut pausing, &stop) {
                tracing::error!(node = pausing.name(), "node died: its thread panicked; the others go on without it");
            }
        })?;
        self.running.push((name, thread, may_pause));
        Ok(())
    }

    /// Stops every thread and waits for it.
    pub fn join(self) {
        self.stop.store(true, Ordering::Relaxed);
        for (name, thread, _) in self.running {
            if thread.join().is_err() {
                tracing::error!(node = name, "thread ended by a panic");
            }
        }
    }
}

/// A node that is polled unless everything is paused, and says whether it may be.
struct Pausing {
    node: Box<dyn Node>,
    paused: Arc<AtomicBool>,
    may_pause: Arc<AtomicBool>,
}

impl Node for Pausing {
    fn name(&self) -> &'static str {
        self.node.name()
    }

    fn period(&self) -> Duration {
        self.node.period()
    }

    fn urgency(&self) -> Urgency {
        self.node.urgency()
    }

    fn poll(&mut self, now: Stamp) {
        if !self.paused.load(Ordering::Relaxed) {
            self.node.poll(now);
            self.may_pause.store(self.node.may_pause(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Log(&'static str, u64, Arc<Mutex<Vec<(&'static str, i64)>>>);

    impl Node for Log {
        fn name(&self) -> &'static str {
            self.0
        }
        fn period(&self) -> Duration {
            Duration::from_millis(self.1)
        }
        fn poll(&mut self, now: Stamp) {
            self.2.lock().unwrap().push((self.0, now.nanos() / 1_000_000));
        }
    }

    #[test]
    fn paused_nodes_are_not_polled_and_one_that_must_not_be_stopped_is_named() {
        struct Busy(Arc<AtomicBool>, std::sync::mpsc::Sender<()>);
        impl Node for Busy {
            fn name(&self) -> &'static str {
                "busy"
            }
            fn period(&self) -> Duration {
                Duration::from_millis(1)
            }
            fn may_pause(&self) -> bool {
                !self.0.load(Ordering::Relaxed)
            }
            fn poll(&mut self, _: Stamp) {
                _ = self.1.send(());
            }
        }
        let (busy, (tx, polled)) = (Arc::new(AtomicBool::new(true)), std::sync::mpsc::channel());
        let mut threads = Threads::new(SteadyClock::start());
        threads.pause().unwrap();
        threads.spawn(Box::new(Busy(busy.clone(), tx))).unwrap();
        assert!(polled.recv_timeout(Duration::from_millis(20)).is_err());
        threads.resume();
        // What it says of itself counts from its last poll on: two polls are one after it was said.
        let two = || (0..3).for_each(|_| polled.recv_timeout(Duration::from_secs(30)).unwrap());
        two();
        assert!(threads.pause().unwrap_err().contains("busy"));
        busy.store(false, Ordering::Relaxed);
        two();
        threads.pause().unwrap();
        threads.join();
    }

    #[test]
    fn lockstep_polls_in_order_at_each_nodes_period_until_it_is_killed() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut exec = Lockstep::new(Stamp::FIRST);
        exec.add(Box::new(Log("a", 2, log.clone())));
        exec.add(Box::new(Log("b", 1, log.clone())));
        exec.run_for(Duration::from_millis(3));
        assert_eq!(*log.lock().unwrap(), [("a", 1), ("b", 1), ("b", 2), ("a", 3), ("b", 3)]);
        assert!(exec.kill("b") && !exec.kill("b"));
        log.lock().unwrap().clear();
        exec.run_for(Duration::from_millis(2));
        assert_eq!(*log.lock().unwrap(), [("a", 5)]);
    }
}
