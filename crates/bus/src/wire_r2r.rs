//! The backend for a sourced ROS 2: r2r over rcl, with whatever RMW is set. Only its raw calls are used, so the same message
//! types serve every backend; what comes in is checked against the message's layout like any other stranger's bytes.
//!
//! r2r hands a node's entities to one thread, delivers at most one message per subscription and spin, and drops what its own
//! channels of ten cannot hold. So one thread owns the node, spins, and moves what came into our bounded queues after every
//! spin: nothing waits in r2r's channels, and what a slow reader loses is counted.

mod lifecycle;
mod services;

pub(crate) use lifecycle::LifecycleServices;

use crate::{
    BusError, R2rConfig,
    graph::{Qos, Topic},
    parameters::Accept,
    queue::Queue,
};
use futures_util::{FutureExt, Stream, StreamExt};
use proctor_msgs::{
    Message,
    cdr::{self, Layout, Payload},
    registry::Entry,
};
use r2r::{Context, Node, PublisherUntyped, QosProfile};
use std::{
    fmt::Display,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Longest wait in a spin without traffic; what is asked of the thread waits so long at most.
const IDLE: Duration = Duration::from_millis(2);
/// Messages taken from one stream after a spin: as many as r2r's channel holds.
const BURST: usize = 10;
/// Longest wait for the thread's answer.
const PATIENCE: Duration = Duration::from_secs(20);

fn failed(what: impl Display, reason: impl Display) -> BusError {
    BusError::Middleware { what: what.to_string(), reason: reason.to_string() }
}

/// What is asked of the thread that owns the node.
enum Order {
    Publish { topic: Topic, reply: SyncSender<r2r::Result<PublisherUntyped>> },
    Subscribe { topic: Topic, queue: Arc<Queue<Vec<u8>>>, depth: usize, reply: SyncSender<r2r::Result<()>> },
    Destroy(PublisherUntyped),
    Lifecycle { reply: SyncSender<r2r::Result<LifecycleServices>> },
}

/// One rcl context with one node on it, and the thread that spins it.
pub(crate) struct Session {
    orders: Orders,
    thread: Option<JoinHandle<()>>,
    /// What takes new parameters, once there is such.
    accept: Arc<OnceLock<Box<Accept>>>,
}

/// Where orders go; `None` once the session ends, which ends the thread.
type Orders = Arc<Mutex<Option<Sender<Order>>>>;

fn send(orders: &Orders, order: Order) -> Result<(), BusError> {
    let orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
    let sent = orders.as_ref().and_then(|orders| orders.send(order).ok());
    sent.ok_or_else(|| failed("asking the ROS node's thread", "it has ended"))
}

fn answer<T>(what: &str, replies: &Receiver<r2r::Result<T>>) -> Result<T, BusError> {
    let replied = replies.recv_timeout(PATIENCE).map_err(|_| failed(what, "the ROS node's thread does not answer"))?;
    replied.map_err(|e| failed(what, e))
}

impl Session {
    /// The thread inherits the caller's scheduling.
    pub(crate) fn open(config: &R2rConfig) -> Result<Self, BusError> {
        let (name, parameters) = (config.node_name.clone(), config.parameters.clone());
        let (orders, received) = channel();
        let (reply, replies) = sync_channel(1);
        let accept: Arc<OnceLock<Box<Accept>>> = Arc::default();
        let taker = accept.clone();
        let thread = std::thread::Builder::new().name("r2r".to_owned()).spawn(move || {
            let made = Context::create().and_then(|context| Node::create(context, &name, "")).and_then(|mut node| {
                let services = services::offer(&mut node, parameters, taker)?;
                Ok((node, services))
            });
            match made {
                Ok((node, services)) => {
                    _ = reply.send(Ok(()));
                    spin(node, services, &received);
                }
                Err(e) => _ = reply.send(Err(e)),
            }
        });
        let thread = Some(thread.map_err(|e| failed("starting the ROS node's thread", e))?);
        answer(&format!("creating the node {}", config.node_name), &replies)?;
        Ok(Self { orders: Arc::new(Mutex::new(Some(orders))), thread, accept })
    }

    pub(crate) fn accept_parameters(&self, accept: Box<Accept>) {
        // The first one holds.
        _ = self.accept.set(accept);
    }

    pub(crate) fn lifecycle(&self) -> Result<LifecycleServices, BusError> {
        let (reply, replies) = sync_channel(1);
        send(&self.orders, Order::Lifecycle { reply })?;
        answer("offering the lifecycle's services", &replies)
    }

    pub(crate) fn publisher(&self, topic: &Topic) -> Result<R2rPublisher, BusError> {
        let (reply, replies) = sync_channel(1);
        send(&self.orders, Order::Publish { topic: topic.clone(), reply })?;
        let inner = answer(&format!("publishing {}", topic.name), &replies)?;
        let inner = Mutex::new((inner, Vec::new()));
        Ok(R2rPublisher { inner, orders: self.orders.clone(), topic: topic.name.to_string() })
    }

    pub(crate) fn subscriber(&self, topic: &Topic, depth: usize, entry: Entry) -> Result<R2rSubscriber, BusError> {
        let queue = Arc::new(Queue::new(depth));
        let (reply, replies) = sync_channel(1);
        send(&self.orders, Order::Subscribe { topic: topic.clone(), queue: queue.clone(), depth, reply })?;
        answer(&format!("subscribing to {}", topic.name), &replies)?;
        Ok(R2rSubscriber { layout: entry.layout, queue, received: AtomicU64::new(0) })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

/// A subscription's stream and the queue of whoever reads it.
struct Feed {
    stream: Box<dyn Stream<Item = Vec<u8>> + Unpin>,
    queue: Weak<Queue<Vec<u8>>>,
}

/// Until the session ends: does what is asked, waits for messages, moves them into the readers' queues.
fn spin(mut node: Node, mut services: Vec<services::Answer>, orders: &Receiver<Order>) {
    let mut feeds = Vec::new();
    loop {
        match orders.try_recv() {
            Ok(order) => obey(&mut node, &mut feeds, order),
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                node.spin_once(IDLE);
                // A stream whose reader is gone is dropped, and with its next message r2r ends the subscription.
                feeds.retain_mut(deliver);
                services.iter_mut().for_each(|answer| answer());
            }
        }
    }
}

fn obey(node: &mut Node, feeds: &mut Vec<Feed>, order: Order) {
    // Replies go nowhere if the asker lost patience; nothing else depends on them.
    match order {
        Order::Publish { topic, reply } => {
            let made =
                node.create_publisher_untyped(relative(&topic), topic.type_name, profile(topic.qos, topic.qos.depth));
            _ = reply.send(made);
        }
        Order::Subscribe { topic, queue, depth, reply } => {
            let made = node.subscribe_raw(relative(&topic), topic.type_name, profile(topic.qos, depth));
            let feed = made.map(|s| feeds.push(Feed { stream: Box::new(s), queue: Arc::downgrade(&queue) }));
            _ = reply.send(feed);
        }
        Order::Lifecycle { reply } => _ = reply.send(LifecycleServices::offer(node)),
        Order::Destroy(publisher) => node.destroy_publisher_untyped(publisher),
    }
}

fn deliver(feed: &mut Feed) -> bool {
    let Some(queue) = feed.queue.upgrade() else { return false };
    for _ in 0..BURST {
        match feed.stream.next().now_or_never() {
            Some(Some(bytes)) => queue.push(bytes),
            Some(None) => return false,
            None => break,
        }
    }
    true
}

/// The name as rcl resolves it: below the node's namespace, which is `/` unless `__ns` says another. What ROS has once stays where
/// it is.
fn relative(topic: &Topic) -> &str {
    if topic.is_global() { &topic.name } else { topic.name.trim_start_matches('/') }
}

fn profile(qos: Qos, depth: usize) -> QosProfile {
    let profile = QosProfile::default().keep_last(depth.max(1));
    let profile = if qos.reliable { profile.reliable() } else { profile.best_effort() };
    if qos.latched { profile.transient_local() } else { profile.volatile() }
}

pub(crate) struct R2rPublisher {
    /// r2r's handle, which may move between threads but not be shared, and the memory in which messages become bytes.
    inner: Mutex<(PublisherUntyped, Vec<u8>)>,
    orders: Orders,
    topic: String,
}

impl R2rPublisher {
    pub(crate) fn publish<M: Message>(&self, message: &M) -> Result<(), BusError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (publisher, bytes) = &mut *inner;
        cdr::write_cdr(message, bytes);
        publisher.publish_raw(bytes).map_err(|e| failed(format!("publishing on {}", self.topic), e))
    }
}

impl Drop for R2rPublisher {
    fn drop(&mut self) {
        // r2r keeps a publisher whose handle is dropped. After the session's end there is nothing left to destroy.
        let publisher = self.inner.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        _ = send(&self.orders, Order::Destroy(publisher));
    }
}

/// A subscription whose messages wait as bytes. r2r does not say who sent a message or its number, so it is numbered here.
pub(crate) struct R2rSubscriber {
    layout: Layout,
    queue: Arc<Queue<Vec<u8>>>,
    received: AtomicU64,
}

impl R2rSubscriber {
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// What this reader was too slow for; what the RMW lost on the way is not known.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Shows the oldest waiting message to `look`.
    pub(crate) fn take<R>(&self, look: impl FnOnce(&Layout, &Payload, u64) -> R) -> Option<R> {
        let bytes = Payload::from(self.queue.pop()?);
        let seq = self.received.fetch_add(1, Ordering::Relaxed) + 1 + self.queue.dropped();
        Some(look(&self.layout, &bytes, seq))
    }
}
