//! The scripted surgeon: a client of the console's own HTTP and WebSocket API, in the role *scripted*. It enables, supervises,
//! waits for proposals, and approves by holding until the motion has run, or rejects. It never resets an e-stop.

mod logic;

pub use logic::{Policy, ScriptedSurgeon, Summary};

use crate::{
    auth::Token,
    protocol::{ClientMessage, MAX_MESSAGE_BYTES},
};
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::{Request, body::Bytes, header};
use hyper_util::rt::TokioIo;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    time::{interval, timeout},
};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{self, Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

/// How often it acts and keeps its hold alive.
const PERIOD: Duration = Duration::from_millis(33);
/// Longest wait for the server to answer a log-in or a handshake.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Longest message it takes, bytes: a picture.
const MAX_INCOMING: usize = 4 << 20;

/// Why the scripted surgeon gave up.
#[derive(Debug, thiserror::Error)]
pub enum ScriptedError {
    /// The console did not let it in.
    #[error("the console refused the log-in with HTTP status {status}")]
    Refused {
        /// The status.
        status: u16,
    },
    /// The console did not answer in time.
    #[error("the console did not answer within {0:?}")]
    Silent(Duration),
    /// HTTP failed.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// A request could not be made of the address.
    #[error("request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The WebSocket failed.
    #[error("WebSocket: {0}")]
    WebSocket(#[from] Box<tungstenite::Error>),
    /// The connection failed.
    #[error("connection: {0}")]
    Connection(#[from] std::io::Error),
    /// The console said something this client does not understand.
    #[error("view not understood: {0}")]
    View(#[from] serde_json::Error),
}

/// Logs in at `console` with a scripted token and works for `duration`. The console's end of the connection ends it early.
pub async fn run(
    console: SocketAddr,
    token: Token,
    policy: Policy,
    duration: Duration,
) -> Result<Summary, ScriptedError> {
    run_watched(console, token, policy, duration, |_| {}).await
}

/// As [`run`]; `watch` sees everything that it says.
pub async fn run_watched(
    console: SocketAddr,
    token: Token,
    policy: Policy,
    duration: Duration,
    mut watch: impl FnMut(&ClientMessage),
) -> Result<Summary, ScriptedError> {
    let cookie = in_time(login(console, token)).await?;
    let mut request = format!("ws://{console}/ws").into_client_request().map_err(Box::new)?;
    let value = |text: String| header::HeaderValue::try_from(text).map_err(hyper::http::Error::from);
    request.headers_mut().insert(header::COOKIE, value(cookie)?);
    request.headers_mut().insert(header::ORIGIN, value(format!("http://{console}"))?);
    let stream = TcpStream::connect(console).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().max_message_size(Some(MAX_INCOMING)).max_frame_size(Some(MAX_INCOMING));
    let handshake = async {
        client_async_with_config(request, stream, Some(config)).await.map_err(|e| ScriptedError::from(Box::new(e)))
    };
    let (mut socket, _) = in_time(handshake).await?;

    let mut surgeon = ScriptedSurgeon::new(policy);
    let start = Instant::now();
    let mut beat = interval(PERIOD);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while start.elapsed() < duration {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => surgeon.hear(start.elapsed(), &text)?,
                Some(Ok(Message::Close(_))) | None => return Ok(surgeon.summary()),
                Some(Ok(_)) => {}
                Some(Err(e)) => return Err(Box::new(e).into()),
            },
            _ = beat.tick() => {
                for message in surgeon.act(start.elapsed()) {
                    watch(&message);
                    let text = serde_json::to_string(&message)?;
                    debug_assert!(text.len() <= MAX_MESSAGE_BYTES);
                    socket.send(Message::text(text)).await.map_err(Box::new)?;
                }
            }
        }
    }
    // Closing lets go; the console has what it needs if this is not heard.
    let _ = timeout(ANSWER_LIMIT, socket.close(None)).await;
    Ok(surgeon.summary())
}

/// As [`run`], on a runtime of its own; for callers without one.
pub fn run_blocking(
    console: SocketAddr,
    token: Token,
    policy: Policy,
    duration: Duration,
) -> Result<Summary, ScriptedError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(console, token, policy, duration))
}

/// The session's cookie.
async fn login(console: SocketAddr, token: Token) -> Result<String, ScriptedError> {
    let stream = TcpStream::connect(console).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post("/login")
        .header(header::HOST, console.to_string())
        .header(header::ORIGIN, format!("http://{console}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(format!("token={token}"))))?;
    let response = tokio::select! {
        biased;
        response = sender.send_request(request) => response?,
        ended = connection => return Err(ended.err().map_or(ScriptedError::Refused { status: 0 }, ScriptedError::from)),
    };
    let status = response.status().as_u16();
    let cookie = response.headers().get(header::SET_COOKIE).and_then(|c| c.to_str().ok()?.split(';').next());
    cookie.map(str::to_owned).ok_or(ScriptedError::Refused { status })
}

async fn in_time<T>(what: impl Future<Output = Result<T, ScriptedError>>) -> Result<T, ScriptedError> {
    timeout(ANSWER_LIMIT, what).await.map_err(|_| ScriptedError::Silent(ANSWER_LIMIT))?
}
