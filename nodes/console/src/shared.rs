//! Where the node's thread and the server's tasks meet. Everything is bounded: events in a queue of [`MAX_EVENTS`],
//! everything going out as a latest-value slot that a slow client simply misses.

use crate::{
    ConsoleError, ConsoleParams,
    auth::{Access, Fresh, LoginRefused, Session, SessionSecret, Token},
    desk::{Conn, Happening},
};
use proctor_types::{OperatorId, Role};
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// Events of clients waiting for the node. At the bound, messages are dropped and counted; e-stops have their own way.
pub const MAX_EVENTS: usize = 256;
/// WebSocket connections at a time.
pub const MAX_CLIENTS: usize = 8;

/// An event of a client with the instant at which the server read it.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// Which connection.
    pub conn: Conn,
    /// Who is behind it.
    pub session: Session,
    /// What.
    pub what: Happening,
}

/// A message to every client; empty until there is one.
pub type Slot = Arc<[u8]>;

/// See the module.
pub struct Shared {
    params: ConsoleParams,
    access: Mutex<Access>,
    started: Instant,
    pub(crate) view: watch::Sender<Arc<str>>,
    pub(crate) picture: watch::Sender<Slot>,
    pub(crate) labels: watch::Sender<Slot>,
    pub(crate) regions: watch::Sender<Slot>,
    events: mpsc::Sender<Arrival>,
    e_stop: AtomicU32,
    clients: AtomicUsize,
    connections: AtomicU64,
    dropped: AtomicU64,
}

impl Shared {
    /// The meeting place and the node's end of the event queue.
    pub(crate) fn new(params: ConsoleParams) -> (Arc<Self>, mpsc::Receiver<Arrival>) {
        let (events, receiver) = mpsc::channel(MAX_EVENTS);
        let shared = Self {
            access: Mutex::new(Access::new(params.allow_scripted)),
            params,
            started: Instant::now(),
            view: watch::Sender::new("".into()),
            picture: watch::Sender::new(Vec::new().into()),
            labels: watch::Sender::new(Vec::new().into()),
            regions: watch::Sender::new(Vec::new().into()),
            events,
            e_stop: AtomicU32::new(0),
            clients: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        };
        (Arc::new(shared), receiver)
    }

    /// The parameters.
    pub fn params(&self) -> &ConsoleParams {
        &self.params
    }

    /// Lets one login through with `token`.
    pub fn add_token(&self, token: Token, role: Role) {
        self.access().add_token(token, role);
    }

    /// Clients connected now.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Messages of clients dropped because the node did not keep up.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn login(&self, peer: IpAddr, typed: &str) -> Result<SessionSecret, LoginRefused> {
        let number = rand::random::<u32>() >> 1;
        let (secret, id) = (SessionSecret::from_bytes(rand::random()), proctor_seal::random_session());
        let fresh = Fresh { secret, number, id };
        let session = self.access().login(self.started.elapsed(), peer, typed, fresh)?;
        tracing::info!(%peer, operator = session.operator.0, role = ?session.role, "logged in");
        Ok(fresh.secret)
    }

    pub(crate) fn session(&self, cookie: &str) -> Option<Session> {
        self.access().session(self.started.elapsed(), cookie)
    }

    /// How long a session still lasts at `instant`.
    pub(crate) fn left(&self, session: &Session, instant: Instant) -> Duration {
        session.ends.saturating_sub(instant.saturating_duration_since(self.started))
    }

    pub(crate) fn logout(&self, cookie: &str) {
        self.access().logout(cookie);
    }

    /// Counts a client in, unless [`MAX_CLIENTS`] are there.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Ticket> {
        let free = |n: usize| (n < MAX_CLIENTS).then_some(n + 1);
        self.clients.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        let conn = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Some(Ticket { conn, shared: self.clone() })
    }

    /// Hands a message to the node, or drops and counts it if the node is behind.
    pub(crate) fn tell(&self, arrival: Arrival) {
        if self.events.try_send(arrival).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands over what must not be lost, waiting for room.
    pub(crate) async fn tell_surely(&self, arrival: Arrival) {
        // An error means that the node is gone, and with it everybody who would listen.
        let _ = self.events.send(arrival).await;
    }

    /// An e-stop passes every queue.
    pub(crate) fn press_e_stop(&self, operator: OperatorId) {
        self.e_stop.store(operator.0.max(1), Ordering::Release);
    }

    /// The operator of an e-stop since the last call.
    pub(crate) fn take_e_stop(&self) -> Option<OperatorId> {
        match self.e_stop.swap(0, Ordering::AcqRel) {
            0 => None,
            operator => Some(OperatorId(operator)),
        }
    }

    fn access(&self) -> MutexGuard<'_, Access> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    /// A fresh token from the system's randomness.
    pub fn random() -> Self {
        Self::from_bytes(rand::random())
    }
}

/// A client's place; dropping it frees the place.
pub(crate) struct Ticket {
    /// Names the connection.
    pub conn: Conn,
    shared: Arc<Shared>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Refuses an address that other machines reach unless the parameters allow it.
pub(crate) fn check_address(params: &ConsoleParams, ip: IpAddr) -> Result<(), ConsoleError> {
    if ip.is_loopback() || params.allow_remote { Ok(()) } else { Err(ConsoleError::NotLoopback { address: ip }) }
}
