//! A bounded queue between threads that drops its oldest.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    depth: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    dropped: u64,
    closed: bool,
}

impl<T> Queue<T> {
    /// Holds at most `depth`, at least one.
    pub fn new(depth: usize) -> Self {
        let state = State { waiting: VecDeque::new(), dropped: 0, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), depth: depth.max(1) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, item: T) {
        let mut state = self.lock();
        if state.waiting.len() >= self.depth {
            state.waiting.pop_front();
            state.dropped += 1;
        }
        state.waiting.push_back(item);
        drop(state);
        self.changed.notify_one();
    }

    pub fn take(&self) -> Option<T> {
        self.lock().waiting.pop_front()
    }

    /// The oldest, waiting for it at most `limit`; `None` then, or once closed.
    pub fn wait(&self, limit: Duration) -> Option<T> {
        let state = self.lock();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, limit, |s| s.waiting.is_empty() && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting.pop_front()
    }

    /// Nobody need wait any more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_dropped_at_the_bound_and_counted() {
        let queue = Queue::new(2);
        (0..5).for_each(|i| queue.push(i));
        assert_eq!((queue.take(), queue.take(), queue.take(), queue.dropped()), (Some(3), Some(4), None, 3));
    }

    #[test]
    fn closing_ends_a_wait_and_loses_nothing() {
        let queue = Queue::new(2);
        queue.push(1);
        queue.close();
        let long = Duration::from_hours(1);
        assert_eq!((queue.wait(long), queue.wait(long), queue.is_closed()), (Some(1), None, true));
    }
}
