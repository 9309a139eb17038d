//! The bus itself: one type over its backends.

#[cfg(feature = "r2r")]
use crate::wire_r2r;
use crate::{
    config::{HirozConfig, R2rConfig},
    graph::Topic,
    hub::{Channel, Hub, Item},
    queue::Queue,
    wire_hiroz::{self, Session},
};
use proctor_msgs::{
    ConvertError, Message, Origin, Problem, Wire,
    cdr::{self, CdrFault},
    registry, ros_name,
};
use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What went wrong with a bus, a publisher or a subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// A topic carries another type than its publisher or subscriber.
    #[error("topic {topic} carries {expected}, not {got}")]
    Type {
        /// The topic.
        topic: String,
        /// What it carries.
        expected: String,
        /// What the caller has.
        got: String,
    },
    /// A raw subscription of a type whose definition nobody knows.
    #[error("topic {topic} carries the unknown type {type_name}")]
    UnknownType {
        /// The topic.
        topic: String,
        /// Its type.
        type_name: String,
    },
    /// A parameter out of its range.
    #[error("{field} = {value}, expected {expected}")]
    Config {
        /// Which parameter.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The middleware refused.
    #[error("{what} failed: {reason}")]
    Middleware {
        /// What was tried.
        what: String,
        /// What the middleware said.
        reason: String,
    },
    /// A backend that this build does not have.
    #[error("this build has no {feature} backend: build it with `--features {feature}` where ROS 2 is sourced")]
    NotBuilt {
        /// The cargo feature that brings it.
        feature: &'static str,
    },
}

/// Publishes and subscribes. Clones share the same bus.
#[derive(Clone)]
pub struct Bus(Backend);

#[derive(Clone)]
enum Backend {
    Memory(Arc<Hub>),
    Hiroz(Arc<Session>),
    #[cfg(feature = "r2r")]
    R2r(Arc<wire_r2r::Session>),
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Backend::Memory(_) => "Bus::memory",
            Backend::Hiroz(_) => "Bus::hiroz",
            #[cfg(feature = "r2r")]
            Backend::R2r(_) => "Bus::r2r",
        })
    }
}

impl Bus {
    /// A bus inside this process: deterministic, messages are shared, nothing is serialised.
    pub fn memory() -> Self {
        Self(Backend::Memory(Arc::default()))
    }

    /// ROS 2 over Zenoh.
    pub fn hiroz(config: &HirozConfig) -> Result<Self, BusError> {
        config.validate()?;
        Ok(Self(Backend::Hiroz(Arc::new(Session::open(config)?))))
    }

    /// The sourced ROS 2 with its own RMW, through rcl. A process has one context: open it once. Reads the process's `--ros-args` and
    /// ROS's environment variables itself.
    #[cfg(feature = "r2r")]
    pub fn r2r(config: &R2rConfig) -> Result<Self, BusError> {
        config.validate()?;
        Ok(Self(Backend::R2r(Arc::new(wire_r2r::Session::open(config)?))))
    }

    /// The sourced ROS 2 with its own RMW: not in this build.
    #[cfg(not(feature = "r2r"))]
    pub fn r2r(_: &R2rConfig) -> Result<Self, BusError> {
        Err(BusError::NotBuilt { feature: "r2r" })
    }

    /// A writer of a topic. The topic's type must be `T`'s message.
    pub fn publisher<T: Wire>(&self, topic: &Topic) -> Result<Publisher<T>, BusError> {
        check_type(topic, &ros_name::<T::Msg>())?;
        let out = match &self.0 {
            Backend::Memory(hub) => Out::Memory(channel(hub, topic)?),
            Backend::Hiroz(session) => Out::Hiroz(session.publisher::<T::Msg>(topic)?),
            #[cfg(feature = "r2r")]
            Backend::R2r(session) => Out::R2r(session.publisher(topic)?),
        };
        Ok(Publisher { out })
    }

    /// A reader of a topic with the topic's own depth.
    pub fn subscriber<T: Wire>(&self, topic: &Topic) -> Result<Subscriber<T>, BusError> {
        self.subscriber_of_depth(topic, topic.qos.depth)
    }

    /// A reader that holds at most `depth` messages.
    pub fn subscriber_of_depth<T: Wire>(&self, topic: &Topic, depth: usize) -> Result<Subscriber<T>, BusError> {
        check_type(topic, &ros_name::<T::Msg>())?;
        let source = self.source(topic, depth, registry::Entry::of::<T::Msg>)?;
        Ok(Subscriber { source, origin: Origin { arm: topic.arm }, refused: AtomicU64::new(0), value: PhantomData })
    }

    /// A reader of any topic's bytes that holds at most `depth` messages. In memory the bytes are made when they are
    /// taken, on the reader's thread.
    pub fn raw_subscriber(&self, topic: &Topic, depth: usize) -> Result<RawSubscriber, BusError> {
        let unknown = || BusError::UnknownType { topic: topic.name.to_string(), type_name: topic.type_name.to_owned() };
        let entry = registry::find(topic.type_name).ok_or_else(unknown)?;
        let source = self.source(topic, depth, || entry)?;
        Ok(RawSubscriber { source, refused: AtomicU64::new(0) })
    }

    fn source(&self, topic: &Topic, depth: usize, entry: impl FnOnce() -> registry::Entry) -> Result<Source, BusError> {
        Ok(match &self.0 {
            Backend::Memory(hub) => Source::Memory(channel(hub, topic)?.subscribe(depth)),
            Backend::Hiroz(session) => Source::Hiroz(session.subscriber(topic, depth, entry())?),
            #[cfg(feature = "r2r")]
            Backend::R2r(session) => Source::R2r(session.subscriber(topic, depth, entry())?),
        })
    }
}

fn check_type(topic: &Topic, got: &str) -> Result<(), BusError> {
    if topic.type_name == got {
        return Ok(());
    }
    let (topic, expected) = (topic.name.to_string(), topic.type_name.to_owned());
    Err(BusError::Type { topic, expected, got: got.to_owned() })
}

fn channel(hub: &Hub, topic: &Topic) -> Result<Arc<Channel>, BusError> {
    let channel = hub.channel(&topic.name, topic.type_name, topic.qos.latched);
    if channel.type_name == topic.type_name {
        return Ok(channel);
    }
    let (got, expected) = (topic.type_name.to_owned(), channel.type_name.clone());
    Err(BusError::Type { topic: topic.name.to_string(), expected, got })
}

/// Writes one topic.
pub struct Publisher<T: Wire> {
    out: Out<T::Msg>,
}

enum Out<M: Message> {
    Memory(Arc<Channel>),
    Hiroz(wire_hiroz::HirozPublisher<M>),
    #[cfg(feature = "r2r")]
    R2r(wire_r2r::R2rPublisher),
}

impl<T: Wire> Publisher<T> {
    /// Publishes a value. In memory this never waits and never fails.
    pub fn publish(&self, value: &T) -> Result<(), BusError> {
        match &self.out {
            Out::Memory(channel) => {
                channel.publish(Arc::new(value.encode()));
                Ok(())
            }
            Out::Hiroz(publisher) => publisher.publish(&value.encode()),
            #[cfg(feature = "r2r")]
            Out::R2r(publisher) => publisher.publish(&cdr::to_cdr(&value.encode())),
        }
    }
}

enum Source {
    Memory(Arc<Queue<Item>>),
    Hiroz(wire_hiroz::HirozSubscriber),
    #[cfg(feature = "r2r")]
    R2r(wire_r2r::R2rSubscriber),
}

impl Source {
    fn len(&self) -> usize {
        match self {
            Self::Memory(queue) => queue.len(),
            Self::Hiroz(subscriber) => subscriber.len(),
            #[cfg(feature = "r2r")]
            Self::R2r(subscriber) => subscriber.len(),
        }
    }

    fn dropped(&self) -> u64 {
        match self {
            Self::Memory(queue) => queue.dropped(),
            Self::Hiroz(subscriber) => subscriber.dropped(),
            #[cfg(feature = "r2r")]
            Self::R2r(subscriber) => subscriber.dropped(),
        }
    }
}

/// A message as it was received, before it becomes a value, with its publisher's running number.
pub(crate) enum Received<M> {
    Shared(Item, PhantomData<M>),
    Owned(M, u64),
}

impl<M: Message> Received<M> {
    pub(crate) fn seq(&self) -> u64 {
        match self {
            Self::Shared(item, _) => item.seq,
            Self::Owned(_, seq) => *seq,
        }
    }

    /// The message; `None` only if another type was published under the topic's name, which `channel` prevents.
    pub(crate) fn message(&self) -> Option<&M> {
        match self {
            Self::Shared(item, _) => item.message.as_any().downcast_ref(),
            Self::Owned(message, _) => Some(message),
        }
    }
}

/// The message in checked bytes.
fn owned<M: Message>(layout: &cdr::Layout, bytes: &[u8], seq: u64) -> Result<Received<M>, ConvertError> {
    let message = cdr::from_cdr(layout, bytes).map_err(|e| ConvertError::new("payload", e.into()))?;
    Ok(Received::Owned(message, seq))
}

/// Reads one topic.
pub struct Subscriber<T: Wire> {
    source: Source,
    origin: Origin,
    refused: AtomicU64,
    value: PhantomData<fn() -> T>,
}

impl<T: Wire> Subscriber<T> {
    /// The oldest message that waits, as a value; `None` when none waits. Never blocks.
    pub fn take(&self) -> Option<Result<T, ConvertError>> {
        let result = self.take_message()?.and_then(|m| self.decode(&m));
        if result.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        Some(result)
    }

    /// The newest valid message that waits; older ones are discarded, refused ones are counted in [`Self::refused`].
    pub fn newest(&self) -> Option<T> {
        // As many as wait now: a writer that never stops cannot keep us here.
        (0..self.source.len()).map_while(|_| self.take()).filter_map(Result::ok).last()
    }

    /// Messages that were dropped because this reader was too slow (over the network also: lost on the way).
    pub fn dropped(&self) -> u64 {
        self.source.dropped()
    }

    /// Messages that were no values of `T`: malformed, NaN, wrong frame ...
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many messages wait.
    pub fn waiting(&self) -> usize {
        self.source.len()
    }

    pub(crate) fn take_message(&self) -> Option<Result<Received<T::Msg>, ConvertError>> {
        match &self.source {
            Source::Memory(queue) => queue.pop().map(|item| Ok(Received::Shared(item, PhantomData))),
            Source::Hiroz(subscriber) => subscriber.take(owned),
            #[cfg(feature = "r2r")]
            Source::R2r(subscriber) => subscriber.take(owned),
        }
    }

    pub(crate) fn decode(&self, received: &Received<T::Msg>) -> Result<T, ConvertError> {
        // `channel` gives one topic one type, so this never fires; as an error it is harmless, as a panic it would not be.
        let other_type = || {
            let problem = Problem::Text { got: "another type".to_owned(), expected: ros_name::<T::Msg>() };
            ConvertError::new("payload", problem)
        };
        T::decode(received.message().ok_or_else(other_type)?, self.origin)
    }
}

/// A message as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// CDR with its 4-byte header.
    pub cdr: Vec<u8>,
    /// The publisher's running number.
    pub seq: u64,
}

fn checked(layout: &cdr::Layout, bytes: &[u8], seq: u64) -> Result<RawMessage, CdrFault> {
    layout.check(bytes).map(|_| RawMessage { cdr: bytes.to_vec(), seq })
}

/// Reads one topic's bytes.
pub struct RawSubscriber {
    source: Source,
    refused: AtomicU64,
}

impl RawSubscriber {
    /// The oldest message that waits; `None` when none waits. Malformed payloads are counted and passed over. Never
    /// blocks.
    pub fn take(&self) -> Option<RawMessage> {
        match &self.source {
            Source::Memory(queue) => queue.pop().map(|i| RawMessage { cdr: i.message.to_cdr(), seq: i.seq }),
            Source::Hiroz(subscriber) => (0..subscriber.len()).find_map(|_| self.whole(subscriber.take(checked)?)),
            #[cfg(feature = "r2r")]
            Source::R2r(subscriber) => (0..subscriber.len()).find_map(|_| self.whole(subscriber.take(checked)?)),
        }
    }

    fn whole(&self, checked: Result<RawMessage, CdrFault>) -> Option<RawMessage> {
        checked.inspect_err(|_| _ = self.refused.fetch_add(1, Ordering::Relaxed)).ok()
    }

    /// How many messages wait.
    pub fn waiting(&self) -> usize {
        self.source.len()
    }

    /// Messages that were dropped because this reader was too slow.
    pub fn dropped(&self) -> u64 {
        self.source.dropped()
    }

    /// Payloads that were not the topic's message.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}
