//! How long ticks take, counted without locks: the loop writes, the shell reads once a second.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Width of a class of durations, ns.
const WIDTH: u64 = 5_000;
/// Classes; the last holds everything longer, from 1.275 ms on.
const CLASSES: usize = 256;

/// Durations since the last [`Timing::take`].
#[derive(Debug)]
pub struct Timing {
    classes: [AtomicU32; CLASSES],
    sum_ns: AtomicU64,
    longest_ns: AtomicU64,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timed {
    /// How many.
    pub count: u64,
    /// Mean, ns.
    pub mean_ns: u64,
    /// Upper end of the class that holds the 99th percentile, ns; at most the longest.
    pub p99_ns: u64,
    /// Longest, ns.
    pub longest_ns: u64,
}

impl Default for Timing {
    fn default() -> Self {
        let classes = [const { AtomicU32::new(0) }; CLASSES];
        Self { classes, sum_ns: AtomicU64::new(0), longest_ns: AtomicU64::new(0) }
    }
}

impl Timing {
    /// Counts a duration.
    pub fn record(&self, ns: u64) {
        let class = usize::try_from(ns / WIDTH).unwrap_or(CLASSES).min(CLASSES - 1);
        if let Some(slot) = self.classes.get(class) {
            slot.fetch_add(1, Relaxed);
        }
        self.sum_ns.fetch_add(ns, Relaxed);
        self.longest_ns.fetch_max(ns, Relaxed);
    }

    /// What was counted since the last call.
    pub fn take(&self) -> Timed {
        let counts: [u64; CLASSES] =
            std::array::from_fn(|i| self.classes.get(i).map_or(0, |slot| u64::from(slot.swap(0, Relaxed))));
        let (sum, longest_ns) = (self.sum_ns.swap(0, Relaxed), self.longest_ns.swap(0, Relaxed));
        let count: u64 = counts.iter().sum();
        let wanted = count - count / 100;
        let mut seen = 0;
        let class = counts.iter().position(|n| {
            seen += n;
            seen >= wanted
        });
        let p99_ns = class.map_or(0, |c| (c as u64 + 1) * WIDTH).min(longest_ns);
        Timed { count, mean_ns: sum.checked_div(count).unwrap_or(0), p99_ns, longest_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_durations_and_begin_anew_when_taken() {
        let timing = Timing::default();
        assert_eq!(timing.take(), Timed::default());
        (1..=200).for_each(|i| timing.record(i * 1000));
        // Of 1..200 us, two are longer than the 99th percentile, 198 us: the class that ends at 200.
        assert_eq!(timing.take(), Timed { count: 200, mean_ns: 100_500, p99_ns: 200_000, longest_ns: 200_000 });
        timing.record(3_000_000_000);
        assert_eq!(timing.take().p99_ns, 1_280_000, "the last class is open; its lower bound is what is known");
        assert_eq!(timing.take().count, 0);
    }

    #[test]
    fn one_long_tick_among_hundreds_is_the_longest_and_not_the_99th_percentile() {
        let timing = Timing::default();
        (0..500).for_each(|_| timing.record(9_000));
        timing.record(700_000);
        let timed = timing.take();
        assert!(timed.longest_ns == 700_000 && (9_000..=2 * WIDTH.max(9_000)).contains(&timed.p99_ns), "{timed:?}");
    }
}
