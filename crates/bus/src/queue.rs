//! A bounded queue that drops its oldest message when full and counts what it dropped.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Several producers, one consumer. A push takes a lock that is held for a few instructions only.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    depth: usize,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    dropped: u64,
}

impl<T> Queue<T> {
    /// Room for `depth` messages (at least one), reserved at once.
    pub(crate) fn new(depth: usize) -> Self {
        let depth = depth.max(1);
        Self { inner: Mutex::new(Inner { items: VecDeque::with_capacity(depth), dropped: 0 }), depth }
    }

    pub(crate) fn push(&self, item: T) {
        let mut inner = self.lock();
        let oldest = if inner.items.len() == self.depth {
            inner.dropped += 1;
            inner.items.pop_front()
        } else {
            None
        };
        inner.items.push_back(item);
        drop(inner);
        // Freed after the lock is released: a large message takes a while to free.
        drop(oldest);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.lock().items.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // No code that can panic runs under the lock, so a poisoned one still holds a whole queue.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_the_oldest_and_counts_it() {
        let q = Queue::new(2);
        (0..5).for_each(|i| q.push(i));
        assert_eq!((q.dropped(), q.len()), (3, 2));
        assert_eq!((q.pop(), q.pop(), q.pop()), (Some(3), Some(4), None));
    }
}
