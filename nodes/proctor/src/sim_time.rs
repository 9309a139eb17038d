//! `use_sim_time`: nodes run on the clock of a simulation, as ROS's do, instead of the machine's.
//!
//! [`SimulatedClock`] follows `/clock`. A node on it is polled at its periods in simulated time, whatever the simulation's speed; while the
//! simulation pauses it is not polled at all. Within one step of `/clock` no period is left out, so that the safety loop keeps its 1 kHz where
//! the simulation steps by several milliseconds; after a longer gap a node goes on at the present moment, as on the wall clock.

use proctor_bus::{Bus, BusError, Node, Subscriber, graph};
use proctor_types::Stamp;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Most simulated time that is made up for, when the clock has moved by more than a node's period: more than a simulator's step, less than what safety
/// takes for a stamp from the future.
pub const CATCH_UP: Duration = Duration::from_millis(10);

/// How often `/clock` is looked at.
const LOOK: Duration = Duration::from_micros(200);

/// How long a node waits before it looks whether it shall end.
const WAIT: Duration = Duration::from_millis(50);

/// The simulation's time, as far as `/clock` told.
#[derive(Debug, Default)]
pub struct SimulatedClock {
    now: Mutex<Option<Stamp>>,
    moved: Condvar,
}

impl SimulatedClock {
    /// It is `now` in the simulation. Time may go back: a simulation that was reset.
    pub fn set(&self, now: Stamp) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.moved.notify_all();
    }

    /// The time, once there is one.
    pub fn now(&self) -> Option<Stamp> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a node that was due at `due` and has this period is to be polled, and says at what time; `None` when `stop` is set.
    fn wait(&self, due: Option<Stamp>, period: Duration, stop: &AtomicBool) -> Option<Stamp> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        while !stop.load(Ordering::Relaxed) {
            if let Some(at) = now.and_then(|now| poll_at(now, due, period)) {
                return Some(at);
            }
            now = self.moved.wait_timeout(now, WAIT).unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    /// Polls `node` on this clock until `stop` is set. Returns whether it ended without panic.
    pub fn drive(&self, node: &mut dyn Node, stop: &AtomicBool) -> bool {
        let (period, mut due) = (node.period(), None);
        while let Some(at) = self.wait(due, period, stop) {
            if catch_unwind(AssertUnwindSafe(|| node.poll(at))).is_err() {
                return false;
            }
            due = Some(at.plus(period));
        }
        true
    }

    /// Follows `/clock` in a thread of its own, until `stop` is set.
    pub fn follow(self: Arc<Self>, bus: &Bus, stop: Arc<AtomicBool>) -> Result<JoinHandle<()>, BusError> {
        let clock: Subscriber<Stamp> = bus.subscriber(&graph::clock())?;
        let thread = std::thread::Builder::new().name("clock".to_owned()).spawn(move || {
            let mut waiting = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                match clock.newest() {
                    Some(now) => self.set(now),
                    None if self.now().is_none() => {
                        waiting += 1;
                        if waiting == 10_000 {
                            tracing::warn!(
                                "use_sim_time: nobody says /clock yet, and nothing runs until somebody does"
                            );
                        }
                    }
                    None => {}
                }
                std::thread::sleep(LOOK);
            }
        });
        thread.map_err(|e| BusError::Middleware {
            what: "starting a thread for /clock".to_owned(),
            reason: e.to_string(),
        })
    }
}

/// At what time a node that was due at `due` is polled when it is `now`, if it is.
fn poll_at(now: Stamp, due: Option<Stamp>, period: Duration) -> Option<Stamp> {
    let Some(due) = due else { return Some(now) };
    if due > now {
        // Far further ahead than a period: the simulation began anew.
        return (now.age(due) > period + CATCH_UP).then_some(now);
    }
    Some(if due.age(now) <= CATCH_UP { due } else { now })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Stamp {
        Stamp::FIRST.plus(Duration::from_millis(ms))
    }

    /// When a node of this period is polled while the clock shows these times, in ms.
    fn polls(period: u64, shown: &[u64]) -> Vec<u64> {
        let period = Duration::from_millis(period);
        let (mut due, mut polled) = (None, Vec::new());
        for &now in shown {
            while let Some(t) = poll_at(at(now), due, period) {
                polled.push((t.nanos() - Stamp::FIRST.nanos()) as u64 / 1_000_000);
                due = Some(t.plus(period));
            }
        }
        polled
    }

    #[test]
    fn every_period_within_a_step_of_the_clock_is_polled_once() {
        assert_eq!(polls(1, &[100, 104, 104, 108]), [100, 101, 102, 103, 104, 105, 106, 107, 108]);
        assert_eq!(polls(5, &[100, 104, 108, 112]), [100, 105, 110]);
    }

    #[test]
    fn a_long_gap_is_not_made_up_for_and_a_pause_polls_nothing() {
        assert_eq!(polls(1, &[100, 111, 112]), [100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112]);
        assert_eq!(polls(1, &[100, 112, 113]), [100, 112, 113]);
        assert_eq!(polls(1, &[100, 100, 100]), [100]);
    }

    #[test]
    fn a_simulation_that_begins_anew_is_followed() {
        assert_eq!(polls(4, &[100, 5, 6, 9]), [100, 5, 9]);
        // A step back within a period is jitter: the node waits.
        assert_eq!(polls(4, &[100, 99, 103, 104]), [100, 104]);
    }

    #[test]
    fn a_node_is_driven_by_what_slash_clock_says() {
        struct Tell(std::sync::mpsc::Sender<Stamp>);
        impl Node for Tell {
            fn name(&self) -> &'static str {
                "tell"
            }
            fn period(&self) -> Duration {
                Duration::from_millis(2)
            }
            fn poll(&mut self, now: Stamp) {
                self.0.send(now).unwrap();
            }
        }
        let bus = Bus::memory();
        let says = bus.publisher::<Stamp>(&graph::clock()).unwrap();
        let (clock, stop) = (Arc::new(SimulatedClock::default()), Arc::new(AtomicBool::new(false)));
        let follower = clock.clone().follow(&bus, stop.clone()).unwrap();
        let (tx, told) = std::sync::mpsc::channel();
        let driven = {
            let (clock, stop) = (clock.clone(), stop.clone());
            std::thread::spawn(move || clock.drive(&mut Tell(tx), &stop))
        };
        let next = || told.recv_timeout(Duration::from_secs(30)).unwrap();
        says.publish(&at(50)).unwrap();
        assert_eq!(next(), at(50));
        says.publish(&at(54)).unwrap();
        assert_eq!([next(), next()], [at(52), at(54)]);
        stop.store(true, Ordering::Relaxed);
        assert!(driven.join().unwrap());
        follower.join().unwrap();
        assert!(told.try_recv().is_err());
    }
}
