//! What we listen to: connections to others' publishers, and what comes over them.

use super::{Shared, lock, open};
use crate::{
    discovery,
    messages::{Contents, DiscoveryType, MessagePublisher, Named, Publisher, PublisherKind},
    names::Family,
    queue::Queue,
    zmtp::{self, Incoming, SocketType},
};
use std::{
    collections::{BTreeSet, btree_map::Entry},
    io::Write,
    marker::PhantomData,
    net::{SocketAddrV4, TcpStream},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Our connection to somebody's publisher.
pub(super) struct Link {
    pub stream: TcpStream,
    pub asked: BTreeSet<String>,
}

/// Where one subscription's messages wait.
pub(super) struct Inbox {
    pub type_suffix: &'static str,
    pub queue: Queue<Vec<u8>>,
    pub refused: AtomicU64,
}

impl Shared {
    /// Connects to a publisher of something we want, asks it for that and tells it that it is listened to.
    pub(super) fn connect(self: &Arc<Self>, offer: &Publisher) {
        let Some(address) = discovery::address(&offer.address).filter(|a| self.believes(*a.ip())) else { return };
        if self.stopped() || !lock(&self.wanted).contains_key(&offer.topic) {
            return;
        }
        if let Err(error) = self.ask_for(address, &offer.topic) {
            tracing::debug!(%address, topic = offer.topic, %error, "no connection to a publisher; tried again when it is heard of");
            return;
        }
        let Some(PublisherKind::Messages(messages)) = &offer.kind else { return };
        let registered = Publisher {
            process_uuid: self.uuid.clone(),
            node_uuid: self.node.clone(),
            // Gazebo's own use of this field: whose messages are listened to.
            kind: Some(PublisherKind::Messages(MessagePublisher {
                ctrl: offer.process_uuid.clone(),
                ..messages.clone()
            })),
            ..offer.clone()
        };
        self.topics.say(&discovery::packet(
            &self.uuid,
            DiscoveryType::NewConnection,
            Some(Contents::Publisher(registered)),
        ));
    }

    fn ask_for(self: &Arc<Self>, address: SocketAddrV4, topic: &str) -> std::io::Result<()> {
        let mut links = lock(&self.links);
        let link = match links.entry(address) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.link(address)?),
        };
        if link.asked.insert(topic.to_owned()) {
            link.stream.write_all(&zmtp::subscribe(topic.as_bytes()))
        } else {
            Ok(())
        }
    }

    /// A connection to a publisher, and a thread that reads it.
    fn link(self: &Arc<Self>, address: SocketAddrV4) -> std::io::Result<Link> {
        let stream = open(address, SocketType::Sub, b"")?;
        let (shared, mut reading) = (self.clone(), stream.try_clone()?);
        std::thread::Builder::new().name("gz-link".to_owned()).spawn(move || {
            let ended = shared.read_link(&mut reading);
            tracing::debug!(%address, reason = %ended, "publisher gone");
            lock(&shared.links).remove(&address);
        })?;
        Ok(Link { stream, asked: BTreeSet::new() })
    }

    /// Hands on what a publisher says, until it ends.
    fn read_link(&self, stream: &mut TcpStream) -> std::io::Error {
        loop {
            let mut frames = match zmtp::read(stream) {
                Ok(Incoming::Message(frames)) => frames,
                Ok(Incoming::Command(..)) => continue,
                Err(error) => return error,
            };
            // Topic, sender, message, type; with statistics switched on, one more.
            let [topic, _, body, type_name, ..] = &mut *frames else { continue };
            let (Ok(topic), Ok(type_name)) = (std::str::from_utf8(topic), std::str::from_utf8(type_name)) else {
                continue;
            };
            let inboxes: Vec<_> =
                lock(&self.wanted).get(topic).into_iter().flatten().filter_map(Weak::upgrade).collect();
            let Some((last, others)) = inboxes.split_last() else { continue };
            others.iter().for_each(|inbox| inbox.take_in(type_name, body.clone()));
            last.take_in(type_name, std::mem::take(body));
        }
    }
}

impl Inbox {
    fn take_in(&self, type_name: &str, body: Vec<u8>) {
        match Family::split(type_name) {
            Some((_, message)) if message == self.type_suffix => self.queue.push(body),
            _ => _ = self.refused.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// A topic that is listened to, until this is dropped.
pub struct Subscription<M> {
    pub(super) inbox: Arc<Inbox>,
    pub(super) message: PhantomData<fn() -> M>,
}

impl<M: Named> Subscription<M> {
    /// The oldest message that waits. Bytes that are no such message are passed over, and counted.
    pub fn take(&self) -> Option<M> {
        std::iter::from_fn(|| self.inbox.queue.take()).find_map(|bytes| self.decode(&bytes))
    }

    /// The newest message that waits; older ones are discarded.
    pub fn newest(&self) -> Option<M> {
        let newest = std::iter::from_fn(|| self.inbox.queue.take()).last()?;
        self.decode(&newest)
    }

    /// The oldest message, waiting for it at most `limit`.
    pub fn wait(&self, limit: Duration) -> Option<M> {
        let bytes = self.inbox.queue.wait(limit)?;
        self.decode(&bytes)
    }

    /// Messages that were dropped because this reader was too slow.
    pub fn dropped(&self) -> u64 {
        self.inbox.queue.dropped()
    }

    /// Messages of another type, or that were none.
    pub fn refused(&self) -> u64 {
        self.inbox.refused.load(Ordering::Relaxed)
    }

    fn decode(&self, bytes: &[u8]) -> Option<M> {
        M::decode(bytes).inspect_err(|_| _ = self.inbox.refused.fetch_add(1, Ordering::Relaxed)).ok()
    }
}
