//! The bus itself: one type over its backends.

#[cfg(feature = "r2r")]
use crate::wire_r2r;
use crate::{
    config::{HirozConfig, R2rConfig},
    graph::Topic,
    hub::{Bytes, Channel, Hub, Item},
    lifecycle::{LifecycleServices, Offered},
    names::Names,
    parameters::ParameterValue,
    queue::Queue,
    wire_hiroz::{self, Session},
};
use proctor_msgs::{
    ConvertError, Message, Origin, Problem, Wire,
    cdr::{self, CdrFault, Payload},
    registry, ros_name,
};
use std::{
    marker::PhantomData,
    sync::{
        Arc, OnceLock,
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
pub struct Bus(Backend, Arc<Names>);

/// Who says and who hears a topic: the ROS types under which its writers and its readers are known, one entry each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    /// Of its writers.
    pub writers: Vec<String>,
    /// Of its readers.
    pub readers: Vec<String>,
}

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
        Self(Backend::Memory(Arc::default()), Arc::default())
    }

    /// ROS 2 over Zenoh.
    pub fn hiroz(config: &HirozConfig) -> Result<Self, BusError> {
        config.validate()?;
        Ok(Self(Backend::Hiroz(Arc::new(Session::open(config)?)), Arc::default()))
    }

    /// The same bus, on which topics have these names.
    #[must_use]
    pub fn with_names(&self, names: Names) -> Self {
        Self(self.0.clone(), Arc::new(names))
    }

    /// Whether this bus stays inside the process.
    pub fn is_memory(&self) -> bool {
        matches!(self.0, Backend::Memory(_))
    }

    /// Who else says and hears a topic. Over the network these are other processes; in memory everybody, so that a caller counts its
    /// own out.
    pub fn announced(&self, topic: &Topic) -> Announced {
        let name = self.1.of(&topic.name);
        match &self.0 {
            Backend::Memory(hub) => hub.announced(name),
            Backend::Hiroz(session) => session.announced(name),
            // r2r tells of no readers, so it is asked for none.
            #[cfg(feature = "r2r")]
            Backend::R2r(_) => Announced::default(),
        }
    }

    /// The sourced ROS 2 with its own RMW, through rcl. A process has one context: open it once. Reads the process's `--ros-args` and
    /// ROS's environment variables itself.
    #[cfg(feature = "r2r")]
    pub fn r2r(config: &R2rConfig) -> Result<Self, BusError> {
        config.validate()?;
        Ok(Self(Backend::R2r(Arc::new(wire_r2r::Session::open(config)?)), Arc::default()))
    }

    /// The sourced ROS 2 with its own RMW: not in this build.
    #[cfg(not(feature = "r2r"))]
    pub fn r2r(_: &R2rConfig) -> Result<Self, BusError> {
        Err(BusError::NotBuilt { feature: "r2r" })
    }

    /// From now on `accept` takes the values that others set, or refuses them (`ros2 param set`); until then all are refused. The first one holds. It is called
    /// on the middleware's thread, which must not wait.
    pub fn accept_parameters(
        &self,
        accept: impl Fn(&[(String, ParameterValue)]) -> Result<(), String> + Send + Sync + 'static,
    ) {
        match &self.0 {
            Backend::Memory(_) => {}
            Backend::Hiroz(session) => session.accept_parameters(Box::new(accept)),
            #[cfg(feature = "r2r")]
            Backend::R2r(session) => session.accept_parameters(Box::new(accept)),
        }
    }

    /// The services of the lifecycle of this process's node.
    pub fn lifecycle_services(&self) -> Result<LifecycleServices, BusError> {
        Ok(LifecycleServices(match &self.0 {
            Backend::Memory(_) => Offered::Nowhere,
            Backend::Hiroz(session) => session.lifecycle()?.map_or(Offered::Nowhere, |s| Offered::Hiroz(Box::new(s))),
            #[cfg(feature = "r2r")]
            Backend::R2r(session) => Offered::R2r(session.lifecycle()?),
        }))
    }

    /// A writer of a topic. The topic's type must be `T`'s message.
    pub fn publisher<T: Wire>(&self, topic: &Topic) -> Result<Publisher<T>, BusError> {
        let topic = &self.1.named(topic);
        check_type(topic, &ros_name::<T::Msg>())?;
        let out = match &self.0 {
            Backend::Memory(hub) => {
                let channel = channel(hub, topic)?;
                let writes = channel.write();
                Out::Memory(channel, writes)
            }
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
        let topic = &self.1.named(topic);
        check_type(topic, &ros_name::<T::Msg>())?;
        let source = self.source(topic, depth, registry::Entry::of::<T::Msg>)?;
        let origin = Origin { arm: topic.arm, frame: topic.arm.and_then(|arm| self.1.frame(arm)) };
        Ok(Subscriber { source, origin, refused: AtomicU64::new(0), layout: OnceLock::new(), value: PhantomData })
    }

    /// A writer of any topic's bytes, for recordings that are played back; in memory only. They are checked by whoever reads them, as bytes from a
    /// network are.
    pub fn raw_publisher(&self, topic: &Topic) -> Result<RawPublisher, BusError> {
        let topic = &self.1.named(topic);
        let Backend::Memory(hub) = &self.0 else {
            let what = format!("publishing bytes on {}", topic.name);
            return Err(BusError::Middleware { what, reason: "recordings are played in memory".to_owned() });
        };
        let channel = channel(hub, topic)?;
        let writes = channel.write();
        Ok(RawPublisher { channel, _writes: writes })
    }

    /// A reader of any topic's bytes that holds at most `depth` messages. In memory the bytes are made when they are
    /// taken, on the reader's thread.
    pub fn raw_subscriber(&self, topic: &Topic, depth: usize) -> Result<RawSubscriber, BusError> {
        let topic = &self.1.named(topic);
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
    /// The channel, and the sign that it has a writer, which is only held.
    Memory(Arc<Channel>, #[expect(dead_code, reason = "it counts while it lives")] Arc<()>),
    Hiroz(wire_hiroz::HirozPublisher<M>),
    #[cfg(feature = "r2r")]
    R2r(wire_r2r::R2rPublisher),
}

impl<T: Wire> Publisher<T> {
    /// Publishes a value. In memory this never waits and never fails.
    pub fn publish(&self, value: &T) -> Result<(), BusError> {
        match &self.out {
            Out::Memory(channel, _) => {
                channel.publish(Arc::new(value.encode()));
                Ok(())
            }
            Out::Hiroz(publisher) => publisher.publish(&value.encode()),
            #[cfg(feature = "r2r")]
            Out::R2r(publisher) => publisher.publish(&value.encode()),
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
fn owned<M: Message>(layout: &cdr::Layout, bytes: &Payload, seq: u64) -> Result<Received<M>, ConvertError> {
    let message = cdr::from_payload(layout, bytes).map_err(|e| ConvertError::new("payload", e.into()))?;
    Ok(Received::Owned(message, seq))
}

/// Reads one topic.
pub struct Subscriber<T: Wire> {
    source: Source,
    origin: Origin,
    refused: AtomicU64,
    /// Of messages that come as bytes.
    layout: OnceLock<cdr::Layout>,
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
            Source::Memory(queue) => queue.pop().map(|item| match item.message.as_any().downcast_ref::<Bytes>() {
                Some(Bytes(bytes)) => owned(self.layout.get_or_init(cdr::Layout::of::<T::Msg>), bytes, item.seq),
                None => Ok(Received::Shared(item, PhantomData)),
            }),
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

/// Writes one topic's bytes.
pub struct RawPublisher {
    channel: Arc<Channel>,
    _writes: Arc<()>,
}

impl RawPublisher {
    /// Publishes CDR with its 4-byte header.
    pub fn publish(&self, cdr: Vec<u8>) {
        self.channel.publish(Arc::new(Bytes(cdr.into())));
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

fn checked(layout: &cdr::Layout, bytes: &Payload, seq: u64) -> Result<RawMessage, CdrFault> {
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
