//! What we publish: others' connections to our publisher, and what they ask for.

use super::{Shared, greet, lock};
use crate::{
    messages::Named,
    queue::Queue,
    zmtp::{self, SocketType, Wish},
};
use std::{
    collections::BTreeSet,
    io::Write,
    marker::PhantomData,
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

/// Messages that wait for a slow reader of ours.
const DEPTH: usize = 1024;
/// Most topics that one reader may ask for.
const MOST_WISHES: usize = 256;

/// Somebody's connection to our publisher.
pub(super) struct Peer {
    stream: TcpStream,
    wishes: Mutex<BTreeSet<Vec<u8>>>,
    outgoing: Queue<Arc<[u8]>>,
}

impl Peer {
    /// Ends the connection and its threads.
    pub fn end(&self) {
        self.outgoing.close();
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn wants(&self, topic: &[u8]) -> bool {
        lock(&self.wishes).iter().any(|prefix| topic.starts_with(prefix))
    }
}

impl Shared {
    /// Serves somebody who listens to what we publish.
    pub(super) fn serve_reader(&self, mut stream: TcpStream) -> std::io::Result<()> {
        greet(&mut stream, SocketType::Pub, b"")?;
        let mut writing = stream.try_clone()?;
        let peer =
            Arc::new(Peer { stream: stream.try_clone()?, wishes: Mutex::default(), outgoing: Queue::new(DEPTH) });
        lock(&self.peers).push(peer.clone());
        if self.stopped() {
            peer.end();
        }
        let outgoing = peer.clone();
        let writer = std::thread::Builder::new().name("gz-writer".to_owned()).spawn(move || {
            while !outgoing.outgoing.is_closed() {
                let Some(first) = outgoing.outgoing.wait(Duration::from_secs(1)) else { continue };
                let mut bytes = first.to_vec();
                while let Some(more) = outgoing.outgoing.take() {
                    bytes.extend_from_slice(&more);
                }
                if writing.write_all(&bytes).is_err() {
                    outgoing.end();
                }
            }
        });
        let read = writer.map(|_| ()).and_then(|()| hear_wishes(&peer, &mut stream));
        peer.end();
        lock(&self.peers).retain(|other| !Arc::ptr_eq(other, &peer));
        read
    }

    fn publish(&self, topic: &str, message: &str, body: &[u8]) {
        let readers: Vec<_> = lock(&self.peers).iter().filter(|peer| peer.wants(topic.as_bytes())).cloned().collect();
        if readers.is_empty() {
            return;
        }
        let type_name = self.family().type_name(message);
        let bytes: Arc<[u8]> =
            zmtp::message(&[topic.as_bytes(), self.address.as_bytes(), body, type_name.as_bytes()]).into();
        readers.iter().for_each(|peer| peer.outgoing.push(bytes.clone()));
    }
}

fn hear_wishes(peer: &Peer, stream: &mut TcpStream) -> std::io::Result<()> {
    loop {
        let wish = zmtp::wish(zmtp::read(stream)?);
        let mut wishes = lock(&peer.wishes);
        match wish {
            Some(Wish::Subscribe(prefix)) if wishes.len() < MOST_WISHES => _ = wishes.insert(prefix),
            Some(Wish::Cancel(prefix)) => _ = wishes.remove(&prefix),
            Some(Wish::Subscribe(_)) | None => {}
        }
    }
}

/// A topic that is offered, until this is dropped.
pub struct Advertised<M> {
    pub(super) shared: Arc<Shared>,
    pub(super) topic: String,
    pub(super) message: PhantomData<fn(M)>,
}

impl<M: Named> Advertised<M> {
    /// Publishes to whoever listens now. Never waits.
    pub fn publish(&self, message: &M) {
        self.shared.publish(&self.topic, M::NAME, &message.encode_to_vec());
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        lock(&self.shared.peers).iter().any(|peer| peer.wants(self.topic.as_bytes()))
    }
}

impl<M> Drop for Advertised<M> {
    fn drop(&mut self) {
        lock(&self.shared.advertised).remove(&self.topic);
    }
}
