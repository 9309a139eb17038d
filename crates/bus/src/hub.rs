//! The in-memory backend: one channel per topic, messages shared by reference count, nothing serialised.

use crate::{Announced, queue::Queue};
use proctor_msgs::{
    Message,
    cdr::{self, Payload},
};
use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// A message whose type is known only to its topic.
pub(crate) trait Erased: Send + Sync {
    fn to_cdr(&self) -> Vec<u8>;
    fn as_any(&self) -> &dyn Any;
}

impl<M: Message> Erased for M {
    fn to_cdr(&self) -> Vec<u8> {
        cdr::to_cdr(self)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A message of which only the bytes are known.
pub(crate) struct Bytes(pub(crate) Payload);

impl Erased for Bytes {
    fn to_cdr(&self) -> Vec<u8> {
        self.0.to_vec()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A message with its publisher's running number.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) message: Arc<dyn Erased>,
    pub(crate) seq: u64,
}

/// Every topic of one in-memory bus.
#[derive(Default)]
pub(crate) struct Hub {
    channels: Mutex<HashMap<String, Arc<Channel>>>,
}

/// One topic.
pub(crate) struct Channel {
    pub(crate) type_name: String,
    latched: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seq: u64,
    last: Option<Item>,
    queues: Vec<Weak<Queue<Item>>>,
    writers: Vec<Weak<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// The channel of a topic, made on first use.
    pub(crate) fn channel(&self, name: &str, type_name: &str, latched: bool) -> Arc<Channel> {
        let make = || {
            let state = Mutex::new(State::default());
            Arc::new(Channel { type_name: type_name.to_owned(), latched, state })
        };
        Arc::clone(lock(&self.channels).entry(name.to_owned()).or_insert_with(make))
    }

    /// Who writes and reads a topic now.
    pub(crate) fn announced(&self, name: &str) -> Announced {
        let Some(channel) = lock(&self.channels).get(name).cloned() else { return Announced::default() };
        let state = lock(&channel.state);
        let each = |n| vec![channel.type_name.clone(); n];
        Announced {
            writers: each(state.writers.iter().filter(|w| w.strong_count() > 0).count()),
            readers: each(state.queues.iter().filter(|q| q.strong_count() > 0).count()),
        }
    }
}

impl Channel {
    /// Gives the message to every subscriber. Waits for none.
    pub(crate) fn publish(&self, message: Arc<dyn Erased>) {
        let mut state = lock(&self.state);
        state.seq += 1;
        let item = Item { message, seq: state.seq };
        let mut gone = false;
        for queue in &state.queues {
            match queue.upgrade() {
                Some(queue) => queue.push(item.clone()),
                None => gone = true,
            }
        }
        if gone {
            state.queues.retain(|q| q.strong_count() > 0);
        }
        if self.latched {
            state.last = Some(item);
        }
    }

    /// A new writer, for as long as what is returned lives.
    pub(crate) fn write(&self) -> Arc<()> {
        let writes = Arc::new(());
        let mut state = lock(&self.state);
        state.writers.retain(|w| w.strong_count() > 0);
        state.writers.push(Arc::downgrade(&writes));
        writes
    }

    /// A new subscriber; of a latched topic it finds the last message waiting.
    pub(crate) fn subscribe(&self, depth: usize) -> Arc<Queue<Item>> {
        let queue = Arc::new(Queue::new(depth));
        let mut state = lock(&self.state);
        if let Some(last) = &state.last {
            queue.push(last.clone());
        }
        state.queues.push(Arc::downgrade(&queue));
        queue
    }
}
