//! A console with the rig behind it, and a client that may say anything.

#![allow(dead_code, clippy::unwrap_used)]

pub mod rig;

use futures_util::{SinkExt, StreamExt};
use proctor_bus::{Bus, Node};
use proctor_console::{ConsoleNode, ConsoleParams, Server, Shared, Token};
use proctor_types::{Role, Stamp};
use rig::Rig;
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Server, node and rig, running until dropped.
pub struct Console {
    pub address: SocketAddr,
    pub shared: Arc<Shared>,
    pub rig: Arc<Mutex<Rig>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _server: Server,
}

impl Console {
    pub fn start(params: ConsoleParams) -> Self {
        let bus = Bus::memory();
        let mut node = ConsoleNode::new(&bus, params, rig::root_secret()).unwrap();
        let shared = node.shared();
        let server = Server::start(([127, 0, 0, 1], 0).into(), shared.clone()).unwrap();
        let mut rig = Rig::new(&bus);
        rig.render = false;
        let rig = Arc::new(Mutex::new(rig));
        let stop = Arc::new(AtomicBool::new(false));
        let (thread_rig, thread_stop) = (rig.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            while !thread_stop.load(Ordering::Relaxed) {
                let now = Stamp::from_nanos("test", 1_000_000_000_000).unwrap().plus(start.elapsed());
                thread_rig.lock().unwrap().step(now);
                node.poll(now);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { address: server.address(), shared, rig, stop, thread: Some(thread), _server: server }
    }

    /// A logged-in client of this role.
    pub async fn client(&self, role: Role) -> Client {
        let token = Token::random();
        self.shared.add_token(token, role);
        let cookie = self.login(&token.to_string()).await.1.unwrap();
        self.socket(&cookie).await
    }

    /// Status of a log-in, and the cookie if one came.
    pub async fn login(&self, token: &str) -> (u16, Option<String>) {
        let body = format!("token={token}");
        let head = format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", body.len());
        let answer =
            self.http(&format!("POST /login HTTP/1.1\r\n{head}Origin: http://{}\r\n", self.address), &body).await;
        let cookie = answer
            .lines()
            .find_map(|l| l.to_ascii_lowercase().strip_prefix("set-cookie: ").map(str::to_owned))
            .and_then(|l| l.split(';').next().map(str::to_owned));
        (answer[9..12].parse().unwrap(), cookie)
    }

    /// Everything the server answers to a request with this start.
    pub async fn http(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{head}Host: {}\r\nConnection: close\r\n\r\n{body}", self.address);
        // A server that refuses early may close before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn socket(&self, cookie: &str) -> Client {
        let mut request = format!("ws://{}/ws", self.address).into_client_request().unwrap();
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        request.headers_mut().insert("origin", format!("http://{}", self.address).parse().unwrap());
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (socket, _) = timeout(PATIENCE, client_async(request, stream)).await.unwrap().unwrap();
        let mut client = Client { socket, conn: 0, view: Value::Null };
        client.until("the greeting", |c| c.conn != 0).await;
        client
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A client without manners.
pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    pub conn: u64,
    pub view: Value,
}

impl Client {
    pub async fn say(&mut self, message: Value) {
        self.raw(&message.to_string()).await;
    }

    /// Sends a text as it is; that the server has closed already is no news.
    pub async fn raw(&mut self, text: &str) {
        let _ = timeout(PATIENCE, self.socket.send(Message::text(text))).await.unwrap();
    }

    /// Hears one message; `Err` with the close code once it is over.
    pub async fn hear(&mut self) -> Result<(), Option<CloseCode>> {
        match timeout(PATIENCE, self.socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => {
                let value: Value = serde_json::from_str(&text).unwrap();
                match value["t"].as_str() {
                    Some("hello") => self.conn = value["conn"].as_u64().unwrap(),
                    _ => self.view = value,
                }
                Ok(())
            }
            Some(Ok(Message::Close(frame))) => Err(frame.map(|f| f.code)),
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => Err(None),
        }
    }

    pub async fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "waited in vain for {what}; last view {}", self.view);
            self.hear().await.unwrap_or_else(|code| panic!("closed ({code:?}) while waiting for {what}"));
        }
    }

    /// Hears until the server closes, and says with which code.
    pub async fn until_closed(&mut self) -> Option<CloseCode> {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "never closed");
            if let Err(code) = self.hear().await {
                return code;
            }
        }
    }

    pub fn mode(&self) -> &str {
        self.view["safety"]["mode"].as_str().unwrap_or("")
    }
}
