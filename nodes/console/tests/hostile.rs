//! Clients that misbehave, over real sockets. What counts is what reaches the bus.

#![allow(clippy::unwrap_used)]

mod support;

use proctor_console::{ConsoleParams, MAX_CLIENTS, Token};
use proctor_types::{DecisionKind, RequestKind, Role};
use serde_json::json;
use support::{Console, PATIENCE};
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

fn console() -> Console {
    Console::start(ConsoleParams::default())
}

#[tokio::test]
async fn without_a_session_there_is_nothing_to_see() {
    let c = console();
    for path in ["/app.js", "/view.js", "/picture.js", "/app.css", "/ws", "/nowhere", "/%2e%2e/Cargo.toml"] {
        for cookie in ["", "Cookie: proctor_session=\r\n", "Cookie: proctor_session=zz; proctor_session=zz\r\n"] {
            let answer = c.http(&format!("GET {path} HTTP/1.1\r\n{cookie}"), "").await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
            assert!(answer.ends_with("\r\n\r\n"), "an empty body: {answer}");
        }
    }
    assert!(c.http("GET / HTTP/1.1\r\n", "").await.contains("location: /login"));
}

#[tokio::test]
async fn a_token_opens_one_session_and_guessing_is_slowed_down() {
    let c = console();
    let token = Token::random();
    c.shared.add_token(token, Role::Surgeon);
    assert_eq!(c.login(&token.to_string()).await.0, 303);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(c.login(&token.to_string()).await.0);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
}

#[tokio::test]
async fn a_scripted_token_is_refused_unless_allowed() {
    for (allow_scripted, status) in [(false, 401), (true, 303)] {
        let c = Console::start(ConsoleParams { allow_scripted, ..ConsoleParams::default() });
        let token = Token::random();
        c.shared.add_token(token, Role::Scripted);
        assert_eq!(c.login(&token.to_string()).await.0, status);
    }
}

#[tokio::test]
async fn foreign_origins_and_names_are_refused() {
    let c = console();
    let post = |origin: &str| format!("POST /login HTTP/1.1\r\nContent-Length: 0\r\n{origin}");
    assert!(c.http(&post("Origin: http://evil.example\r\n"), "").await.starts_with("HTTP/1.1 403"));
    assert!(c.http(&post(""), "").await.starts_with("HTTP/1.1 403"));
    // A second Host header is a malformed request, the wrong one alone a misdirected one.
    assert!(!c.http("GET /login HTTP/1.1\r\nHost: evil.example\r\n", "").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_long_form_is_not_read() {
    let c = console();
    let head = "POST /login HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100006\r\n";
    let body = format!("token={}", "0".repeat(100_000));
    let answer = c.http(&format!("{head}Origin: http://{}\r\n", c.address), &body).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn nonsense_ends_the_connection_and_reaches_nobody() {
    let c = console();
    for text in
        ["", "{}", "null", r#"{"t":"presence","held":true}"#, r#"{"t":"request","what":"fly"}"#, "\u{0}", "[[[[["]
    {
        let mut client = c.client(Role::Surgeon).await;
        client.raw(text).await;
        assert_eq!(client.until_closed().await, Some(CloseCode::Policy), "{text:?}");
    }
    let mut client = c.client(Role::Surgeon).await;
    client.socket.send_binary().await;
    assert_eq!(client.until_closed().await, Some(CloseCode::Policy));
    let rig = c.rig.lock().unwrap();
    assert!(rig.heard_requests.is_empty() && rig.heard_decisions.is_empty() && rig.heard_presences.is_empty());
}

#[tokio::test]
async fn an_oversized_message_ends_the_connection() {
    let c = console();
    for size in [1025, 1 << 20] {
        let mut client = c.client(Role::Surgeon).await;
        client.raw(&" ".repeat(size)).await;
        client.until_closed().await;
    }
}

#[tokio::test]
async fn a_flood_ends_the_connection_but_never_an_e_stop() {
    let c = console();
    let mut client = c.client(Role::Surgeon).await;
    for _ in 0..2000 {
        client.raw(r#"{"t":"request","what":"e_stop"}"#).await;
    }
    client.until("the e-stop", |c| c.mode() == "FAULT").await;
    for _ in 0..2000 {
        client.raw(r#"{"t":"take_seat"}"#).await;
    }
    assert!(matches!(client.until_closed().await, Some(CloseCode::Policy) | None));
}

#[tokio::test]
async fn a_second_surgeon_watches_and_can_stop() {
    let c = console();
    let mut first = c.client(Role::Surgeon).await;
    first.until("a view", |c| !c.view.is_null()).await;
    let mut second = c.client(Role::Surgeon).await;
    second.say(json!({"t": "request", "what": "enable"})).await;
    second.say(json!({"t": "take_seat"})).await;
    let conn = second.conn;
    second
        .until("two notices", |c| {
            let notices = c.view["notices"].as_array();
            notices.is_some_and(|n| n.iter().any(|n| n["conn"] == conn && n["words"] == "The seat is taken"))
        })
        .await;
    assert_eq!(second.view["seat"]["conn"], first.conn);
    assert!(c.rig.lock().unwrap().heard_requests.is_empty());
    second.say(json!({"t": "request", "what": "e_stop"})).await;
    second.until("the e-stop", |c| c.mode() == "FAULT").await;
    assert_eq!(c.rig.lock().unwrap().heard_requests.iter().filter(|r| r.kind == RequestKind::EStop).count(), 1);
}

#[tokio::test]
async fn clients_are_bounded_and_a_place_becomes_free_again() {
    let c = console();
    let token = Token::random();
    c.shared.add_token(token, Role::Surgeon);
    let cookie = c.login(&token.to_string()).await.1.unwrap();
    let mut clients = Vec::new();
    for _ in 0..MAX_CLIENTS {
        clients.push(c.socket(&cookie).await);
    }
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nCookie: {cookie}\r\nOrigin: http://{}\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        c.address
    );
    // Connection: close from the helper is no upgrade, so ask by another client instead.
    assert!(!c.http(&upgrade, "").await.starts_with("HTTP/1.1 101"));
    assert_eq!(c.shared.clients(), MAX_CLIENTS);
    drop(clients);
    let start = std::time::Instant::now();
    while c.shared.clients() > 0 {
        assert!(start.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    c.socket(&cookie).await;
}

#[tokio::test]
async fn presence_is_what_the_client_says_and_ends_with_it() {
    let c = console();
    let mut client = c.client(Role::Surgeon).await;
    client.until("a view", |c| !c.view.is_null()).await;
    client.say(json!({"t": "request", "what": "enable"})).await;
    client.until("READY", |c| c.mode() == "READY").await;
    client.say(json!({"t": "request", "what": "supervise"})).await;
    client.until("a card", |c| c.view["card"].is_object()).await;
    let (id, digest) = (client.view["card"]["id"].clone(), client.view["card"]["digest"].clone());
    let seen = client.view["seq"].clone();
    client.say(json!({"t": "approve", "id": id, "digest": digest, "seen": seen})).await;
    client.say(json!({"t": "hold", "digest": digest, "down": true, "press": 1, "seen": seen})).await;
    let conn = client.conn;
    client.until("the hold", |c| c.view["holding"] == conn).await;
    // Nothing more is said: the hold ends by itself, and the motion rests.
    client.until("the hold's end", |c| c.view["holding"].is_null()).await;
    client.until("rest", |c| c.view["safety"]["moving"] == false).await;
    // The view may reach the client before the release reaches the others on the bus.
    client.until("the release is heard", |_| c.rig.lock().unwrap().heard_presences.iter().any(|p| !p.held)).await;
    let rig = c.rig.lock().unwrap();
    let held: Vec<bool> = rig.heard_presences.iter().map(|p| p.held).collect();
    assert_eq!(held, [true, false], "one message, one presence, one release");
    let [decision] = rig.heard_decisions[..] else { panic!("{:?}", rig.heard_decisions) };
    assert_eq!((decision.kind, json!(decision.digest)), (DecisionKind::Approve, digest));
    assert_eq!(decision.operator, rig.heard_presences[0].operator);
    assert_eq!(decision.operator.role(), Role::Surgeon);
}

#[tokio::test]
async fn a_connection_that_breaks_lets_go() {
    let c = console();
    let mut client = c.client(Role::Surgeon).await;
    for (what, mode) in [("enable", "READY"), ("supervise", "SUPERVISED")] {
        client.until("a view", |c| !c.view.is_null()).await;
        client.say(json!({"t": "request", "what": what})).await;
        client.until(mode, |c| c.mode() == mode).await;
    }
    client.until("a card", |c| c.view["card"].is_object()).await;
    let (digest, seen) = (client.view["card"]["digest"].clone(), client.view["seq"].clone());
    client.say(json!({"t": "hold", "digest": digest, "down": true, "press": 1, "seen": seen})).await;
    let conn = client.conn;
    client.until("the hold", |c| c.view["holding"] == conn).await;
    drop(client);
    let start = std::time::Instant::now();
    while c.rig.lock().unwrap().heard_presences.last().is_none_or(|p| p.held) {
        assert!(start.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
}

trait SendBinary {
    async fn send_binary(&mut self);
}

impl SendBinary for tokio_tungstenite::WebSocketStream<tokio::net::TcpStream> {
    async fn send_binary(&mut self) {
        use futures_util::SinkExt;
        self.send(Message::binary(vec![1u8, 2, 3])).await.unwrap();
    }
}
