//! The client: threads around [`crate::discovery`] and [`crate::zmtp`]. Here, who finds whom; `links` is what we listen to, `peers` what we publish,
//! `calls` the services that we ask.
//!
//! One thread per discovery port and per listening socket, one or two per connection. A connection that breaks is made anew when its other end is
//! heard of again, which is once a second at most.

mod calls;
mod links;
mod peers;

pub use links::Subscription;
pub use peers::Advertised;

use crate::{
    GzError,
    discovery::{self, Directory, Heard},
    messages::{Contents, DiscoveryType, MessagePublisher, Named, Publisher, PublisherKind},
    names::{Family, Partition},
    queue::Queue,
    zmtp::{self, SocketType},
};
use calls::Answer;
use links::{Inbox, Link};
use peers::Peer;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    marker::PhantomData,
    net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long threads wait before they look whether they shall end.
const LOOK: Duration = Duration::from_millis(20);
/// How long another end may take to open a connection.
const OPENING: Duration = Duration::from_secs(2);
/// Most connections that others may open to us.
const MOST_PEERS: usize = 64;
/// Questions about what we look for are asked anew so often, for those who have not heard the last one.
const ASK: Duration = Duration::from_secs(1);

/// Where and which simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which simulation.
    pub partition: Partition,
    /// This machine's address on the network that is used. On the loopback address nothing from other machines is heard.
    pub ip: Ipv4Addr,
    /// Port on which topics are found.
    pub topics_port: u16,
    /// Port on which services are found.
    pub services_port: u16,
}

impl Options {
    /// Partition `partition` on this machine alone, with Gazebo's own ports.
    pub fn local(partition: Partition) -> Self {
        let (topics_port, services_port) = (discovery::TOPICS_PORT, discovery::SERVICES_PORT);
        Self { partition, ip: Ipv4Addr::LOCALHOST, topics_port, services_port }
    }
}

/// A participant of a simulation's graph of topics and services. Ends when it is dropped.
pub struct Client {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    options: Options,
    /// Names of this process, of the one part it has, and of the socket on which answers arrive.
    uuid: String,
    node: String,
    answers_to: String,
    address: String,
    answers_address: String,
    topics: Side,
    services: Side,
    family: Mutex<Option<Family>>,
    wanted: Mutex<BTreeMap<String, Vec<Weak<Inbox>>>>,
    advertised: Mutex<BTreeMap<String, &'static str>>,
    links: Mutex<BTreeMap<SocketAddrV4, Link>>,
    peers: Mutex<Vec<Arc<Peer>>>,
    questions: Mutex<BTreeMap<String, Arc<Queue<Answer>>>>,
    next_question: AtomicU64,
    stop: AtomicBool,
}

/// One of the two kinds of discovery.
struct Side {
    socket: UdpSocket,
    group: SocketAddrV4,
    directory: Mutex<Directory>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name that nobody else has: 128 bits of the system's randomness.
fn unique() -> String {
    let bits = || RandomState::new().build_hasher().finish();
    let (a, b) = (bits(), bits());
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xFFFF,
        a & 0xFFFF,
        b >> 48,
        b & 0xFFFF_FFFF_FFFF
    )
}

impl Client {
    /// Joins.
    pub fn new(options: Options) -> Result<Self, GzError> {
        let listen =
            |what| TcpListener::bind((options.ip, 0)).map_err(GzError::socket(format!("{what} on {}", options.ip)));
        let address = |listener: &TcpListener| {
            listener.set_nonblocking(true)?;
            listener.local_addr().map(|at| format!("tcp://{at}"))
        };
        let (messages, answers) = (listen("publisher")?, listen("receiver of answers")?);
        let uuid = unique();
        let (topics_port, services_port) = (options.topics_port, options.services_port);
        let shared = Arc::new(Shared {
            topics: Side::open(&options, topics_port, &uuid)?,
            services: Side::open(&options, services_port, &uuid)?,
            address: address(&messages).map_err(GzError::socket("publisher"))?,
            answers_address: address(&answers).map_err(GzError::socket("receiver of answers"))?,
            options,
            uuid,
            node: unique(),
            answers_to: unique(),
            family: Mutex::default(),
            wanted: Mutex::default(),
            advertised: Mutex::default(),
            links: Mutex::default(),
            peers: Mutex::default(),
            questions: Mutex::default(),
            next_question: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let mut client = Self { shared, threads: Vec::new() };
        client.thread("gz-topics", |shared| shared.discover(&shared.topics))?;
        client.thread("gz-services", |shared| shared.discover(&shared.services))?;
        client.thread("gz-publisher", move |shared| shared.accept(&messages, Shared::serve_reader))?;
        client.thread("gz-answers", move |shared| shared.accept(&answers, Shared::hear_answers))?;
        Ok(client)
    }

    fn thread(&mut self, name: &str, run: impl FnOnce(&Arc<Shared>) + Send + 'static) -> Result<(), GzError> {
        let shared = self.shared.clone();
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&shared));
        self.threads.push(started.map_err(GzError::socket(format!("thread {name}")))?);
        Ok(())
    }

    /// Listens to `topic`; at most `depth` messages wait, then the oldest is dropped.
    pub fn subscribe<M: Named>(&self, topic: &str, depth: usize) -> Result<Subscription<M>, GzError> {
        let topic = self.shared.options.partition.full_name(topic)?;
        let inbox = Arc::new(Inbox { type_suffix: M::NAME, queue: Queue::new(depth), refused: AtomicU64::new(0) });
        lock(&self.shared.wanted).entry(topic.clone()).or_default().push(Arc::downgrade(&inbox));
        let known: Vec<_> = lock(&self.shared.topics.directory).offers(&topic).cloned().collect();
        known.iter().for_each(|offer| self.shared.connect(offer));
        self.shared.topics.say(&discovery::question(&self.shared.uuid, &topic));
        Ok(Subscription { inbox, message: PhantomData })
    }

    /// Offers `topic`, which nobody else of this process may.
    pub fn advertise<M: Named>(&self, topic: &str) -> Result<Advertised<M>, GzError> {
        let topic = self.shared.options.partition.full_name(topic)?;
        lock(&self.shared.advertised).insert(topic.clone(), M::NAME);
        self.shared.announce(&topic, M::NAME);
        Ok(Advertised { shared: self.shared.clone(), topic, message: PhantomData })
    }

    /// Asks a service and waits at most `limit`.
    pub fn request<Q: Named, A: Named>(&self, service: &str, question: &Q, limit: Duration) -> Result<A, GzError> {
        let start = Instant::now();
        let topic = self.shared.options.partition.full_name(service)?;
        let offer = self
            .shared
            .find_service(&topic, limit)
            .ok_or_else(|| GzError::NoService { service: service.to_owned(), waited: limit })?;
        let rest = limit.saturating_sub(start.elapsed());
        match self.shared.ask(&offer, &topic, &question.encode_to_vec(), rest)? {
            None => Err(GzError::NoAnswer { service: service.to_owned(), waited: limit }),
            Some(Answer { worked: false, .. }) => Err(GzError::Refused { service: service.to_owned() }),
            Some(Answer { body, .. }) => A::decode(&*body)
                .map_err(|e| GzError::Message { what: format!("answer of {service}"), reason: e.to_string() }),
        }
    }

    /// Every topic that anybody else offers in this partition, by full name.
    pub fn topics(&self) -> Vec<String> {
        let prefix = self.shared.options.partition.prefix();
        let directory = lock(&self.shared.topics.directory);
        let ours = directory.all().filter(|offer| offer.topic.starts_with(&prefix));
        let mut topics: Vec<_> = ours.map(|offer| offer.topic.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.stop.store(true, Ordering::Relaxed);
        for side in [&shared.topics, &shared.services] {
            side.say(&discovery::packet(&shared.uuid, DiscoveryType::Bye, None));
        }
        lock(&shared.links).values().for_each(|link| _ = link.stream.shutdown(Shutdown::Both));
        lock(&shared.peers).iter().for_each(|peer| peer.end());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the gz client ended by a panic");
            }
        }
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether something from this machine may be believed: on the loopback address only what is of this machine.
    fn believes(&self, from: Ipv4Addr) -> bool {
        !self.options.ip.is_loopback() || from.is_loopback()
    }

    /// Hears and says who has what, until the end.
    fn discover(self: &Arc<Self>, side: &Side) {
        let mut buffer = vec![0; discovery::MOST_BYTES];
        let mut next = Instant::now();
        while !self.stopped() {
            if let Ok((length, SocketAddr::V4(from))) = side.socket.recv_from(&mut buffer)
                && self.believes(*from.ip())
                && let Some(said) = buffer.get(..length).and_then(discovery::parse)
            {
                let heard = lock(&side.directory).hear(said, Instant::now());
                match heard {
                    Some(Heard::Offer(offer)) => self.hear_offer(&offer),
                    Some(Heard::Question(topic)) => self.answer_question(&topic),
                    None => {}
                }
            }
            let now = Instant::now();
            if now >= next {
                next = now + discovery::HEARTBEAT.min(ASK);
                side.say(&discovery::packet(&self.uuid, DiscoveryType::Heartbeat, None));
                lock(&side.directory).expire(now);
                if std::ptr::eq(side, &raw const self.topics) {
                    self.ask_again();
                }
            }
        }
    }

    fn ask_again(&self) {
        let mut wanted = lock(&self.wanted);
        wanted.retain(|_, inboxes| {
            inboxes.retain(|inbox| inbox.strong_count() > 0);
            !inboxes.is_empty()
        });
        for topic in wanted.keys() {
            self.topics.say(&discovery::question(&self.uuid, topic));
        }
    }

    fn answer_question(&self, topic: &str) {
        let message = lock(&self.advertised).get(topic).copied();
        if let Some(message) = message {
            self.announce(topic, message);
        }
    }

    fn announce(&self, topic: &str, message: &str) {
        let messages = MessagePublisher { ctrl: String::new(), msg_type: self.family().type_name(message) };
        let offer = Publisher {
            topic: topic.to_owned(),
            address: self.address.clone(),
            process_uuid: self.uuid.clone(),
            node_uuid: self.node.clone(),
            scope: 2,
            kind: Some(PublisherKind::Messages(messages)),
        };
        self.topics.say(&discovery::packet(&self.uuid, DiscoveryType::Advertise, Some(Contents::Publisher(offer))));
    }

    fn family(&self) -> Family {
        lock(&self.family).unwrap_or_default()
    }

    fn hear_offer(self: &Arc<Self>, offer: &Publisher) {
        if let Some((family, _)) = discovery::message_type(offer).and_then(Family::split) {
            let before = lock(&self.family).replace(family).unwrap_or_default();
            if before != family {
                let advertised = lock(&self.advertised).clone();
                advertised.iter().for_each(|(topic, message)| self.announce(topic, message));
            }
        }
        self.connect(offer);
    }

    /// Accepts connections until the end, a thread for each.
    fn accept(self: &Arc<Self>, listener: &TcpListener, serve: fn(&Self, TcpStream) -> std::io::Result<()>) {
        let open = Arc::new(());
        while !self.stopped() {
            let Ok((stream, SocketAddr::V4(from))) = listener.accept() else {
                std::thread::sleep(LOOK);
                continue;
            };
            if !self.believes(*from.ip()) || Arc::strong_count(&open) > MOST_PEERS {
                continue;
            }
            let (shared, open) = (self.clone(), open.clone());
            let started = std::thread::Builder::new().name("gz-peer".to_owned()).spawn(move || {
                if let Err(error) = stream.set_nonblocking(false).and_then(|()| serve(&shared, stream)) {
                    tracing::debug!(%from, %error, "connection ended");
                }
                drop(open);
            });
            if let Err(error) = started {
                tracing::warn!(%error, "no thread for a connection");
            }
        }
    }
}

impl Side {
    fn open(options: &Options, port: u16, own: &str) -> Result<Self, GzError> {
        let open = || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
            socket.join_multicast_v4(&discovery::GROUP, &options.ip)?;
            socket.set_multicast_if_v4(&options.ip)?;
            socket.set_read_timeout(Some(LOOK))?;
            Ok(socket.into())
        };
        let what = format!("discovery on UDP port {port} of {} (GZ_IP, IGN_IP)", options.ip);
        let socket: UdpSocket = open().map_err(GzError::socket(what))?;
        let directory = Mutex::new(Directory::new(own));
        Ok(Self { socket, group: SocketAddrV4::new(discovery::GROUP, port), directory })
    }

    /// Says something to everybody; what is lost is said again.
    fn say(&self, packet: &[u8]) {
        if packet.len() > discovery::MOST_BYTES {
            return;
        }
        if let Err(error) = self.socket.send_to(packet, self.group) {
            tracing::debug!(%error, "discovery packet not sent");
        }
    }
}

/// Opens a connection to somebody.
fn open(address: SocketAddrV4, own: SocketType, identity: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address.into(), OPENING)?;
    greet(&mut stream, own, identity)?;
    Ok(stream)
}

/// Opens the protocol on a connection, within [`OPENING`] for each of its few steps.
fn greet(stream: &mut TcpStream, own: SocketType, identity: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(OPENING))?;
    stream.set_write_timeout(Some(OPENING))?;
    zmtp::open(stream, own, identity)?;
    stream.set_read_timeout(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Clock, Double, Empty, Time};

    /// Long enough for a machine that is busy with other tests; nothing waits for it to pass.
    const LONG: Duration = Duration::from_mins(1);

    /// This process's, so that another one that runs the same tests is not heard.
    fn partition() -> String {
        format!("test-{}", std::process::id())
    }

    /// A simulation of its own for a test, on ports that no Gazebo listens to.
    fn client(port: u16) -> Client {
        let partition = Partition::new(&partition()).unwrap();
        Client::new(Options { topics_port: port, services_port: port + 1, ..Options::local(partition) }).unwrap()
    }

    #[test]
    fn two_clients_find_and_hear_each_other() {
        let (a, b) = (client(20_417), client(20_417));
        let heard = b.subscribe::<Clock>("/clock", 4).unwrap();
        let other = b.subscribe::<Double>("/clock", 4).unwrap();
        let clock = a.advertise::<Clock>("/clock").unwrap();
        let start = Instant::now();
        let said = Clock { sim: Some(Time { sec: 1, nsec: 2 }) };
        let got = loop {
            clock.publish(&said);
            if let Some(got) = heard.wait(LOOK) {
                break got;
            }
            assert!(start.elapsed() < LONG, "nothing heard");
        };
        assert_eq!(got, said);
        // Its socket is another, and may be later.
        while other.refused() == 0 {
            clock.publish(&said);
            assert_eq!(other.wait(LOOK), None, "another type on this topic");
            assert!(start.elapsed() < LONG, "another type on this topic is not refused");
        }
        assert_eq!(b.topics(), [format!("@/{}@/clock", partition())]);
    }

    #[test]
    fn a_service_that_nobody_offers_is_said_so() {
        let asked = client(20_427).request::<Empty, Empty>("/none", &Empty {}, Duration::from_millis(50));
        let error = asked.unwrap_err().to_string();
        assert!(error.contains("/none") && error.contains("GZ_PARTITION"), "{error}");
    }
}
