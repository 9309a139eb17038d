//! One WebSocket: views, pictures, labels and regions go out, newest only; messages of [`crate::protocol`] come in.
//! Reading never waits for writing, so that a slow client can still stop the robot.

use super::http::{App, cookie};
use crate::{
    auth::Session,
    desk::{Conn, Happening},
    protocol::{ClientMessage, MAX_MESSAGE_BYTES},
    shared::{Arrival, Shared, Ticket},
};
use axum::{
    body::Bytes,
    extract::{
        State,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use proctor_types::{Class, RequestKind};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// Messages per second that a client may send for long; a hold is 30.
const MESSAGES_PER_SECOND: f64 = 120.0;
/// Messages it may send at once.
const MESSAGES_AT_ONCE: f64 = 120.0;
/// A client that does not take a message for so long is gone.
const SEND_LIMIT: Duration = Duration::from_secs(3);
/// How often a session is looked at again.
const SESSION_CHECK: Duration = Duration::from_secs(1);

pub(super) async fn upgrade(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(ticket) = app.shared.enter() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let secret = cookie(&headers).unwrap_or_default().to_owned();
    upgrade
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .on_upgrade(move |socket| attend(app.shared, session, secret, ticket, socket))
}

async fn attend(shared: Arc<Shared>, session: Session, secret: String, ticket: Ticket, socket: WebSocket) {
    let conn = ticket.conn;
    let arrival = |what| Arrival { at: Instant::now(), conn, session, what };
    shared.tell_surely(arrival(Happening::Connected)).await;
    let (mut sink, stream) = socket.split();
    let ending = tokio::select! {
        ending = listen(&shared, session, conn, stream) => ending,
        ending = talk(&shared, session, conn, &secret, &mut sink) => ending,
    };
    shared.tell_surely(arrival(Happening::Disconnected)).await;
    tracing::info!(conn, operator = session.operator.0, ?ending, "console client left");
    let (code, reason) = match ending {
        Ending::Gone => return,
        Ending::Malformed => (close_code::POLICY, "message not understood"),
        Ending::Flood => (close_code::POLICY, "too many messages"),
        Ending::LoggedOut => (close_code::POLICY, "session ended"),
    };
    let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    // The client may be gone already; then there is nobody to tell.
    let _ = timeout(SEND_LIMIT, sink.send(close)).await;
}

/// Why a connection ended.
#[derive(Debug)]
enum Ending {
    Gone,
    Malformed,
    Flood,
    LoggedOut,
}

async fn listen(
    shared: &Shared,
    session: Session,
    conn: Conn,
    mut stream: impl Stream<Item = Result<Message, axum::Error>> + Unpin,
) -> Ending {
    let mut allowance = MESSAGES_AT_ONCE;
    let mut last = Instant::now();
    while let Some(message) = stream.next().await {
        let at = Instant::now();
        let parsed = match message {
            Ok(Message::Text(text)) => ClientMessage::parse(&text),
            Ok(Message::Ping(_) | Message::Pong(_)) => continue,
            Ok(Message::Binary(_)) => return Ending::Malformed,
            Ok(Message::Close(_)) | Err(_) => return Ending::Gone,
        };
        // An e-stop is never counted, queued or refused.
        if let Ok(ClientMessage::Request { what: RequestKind::EStop }) = parsed {
            shared.press_e_stop(session.operator);
            continue;
        }
        allowance =
            (allowance + at.duration_since(last).as_secs_f64() * MESSAGES_PER_SECOND).min(MESSAGES_AT_ONCE) - 1.0;
        last = at;
        if allowance < 0.0 {
            return Ending::Flood;
        }
        match parsed {
            Ok(message) => shared.tell(Arrival { at, conn, session, what: Happening::Said(message) }),
            Err(error) => {
                tracing::warn!(conn, %error, "console client sent nonsense");
                return Ending::Malformed;
            }
        }
    }
    Ending::Gone
}

async fn talk(
    shared: &Shared,
    session: Session,
    conn: Conn,
    secret: &str,
    sink: &mut (impl Sink<Message, Error = axum::Error> + Unpin),
) -> Ending {
    let (mut view, mut picture) = (shared.view.subscribe(), shared.picture.subscribe());
    let (mut labels, mut regions) = (shared.labels.subscribe(), shared.regions.subscribe());
    let mut check = tokio::time::interval(SESSION_CHECK);
    let mut next = Some(Message::Text(hello(session, conn)));
    loop {
        if let Some(message) = next.take()
            && !matches!(timeout(SEND_LIMIT, sink.send(message)).await, Ok(Ok(())))
        {
            return Ending::Gone;
        }
        // Views first: they carry the state and the proof of freshness.
        tokio::select! {
            biased;
            changed = view.changed() => {
                if changed.is_err() {
                    return Ending::Gone;
                }
                let text: Utf8Bytes = (&**view.borrow_and_update()).into();
                next = Some(Message::Text(text));
            }
            Ok(()) = picture.changed() => next = Some(binary(&picture.borrow_and_update())),
            Ok(()) = regions.changed() => next = Some(binary(&regions.borrow_and_update())),
            Ok(()) = labels.changed() => next = Some(binary(&labels.borrow_and_update())),
            _ = check.tick() => {
                if shared.session(secret).is_none() {
                    return Ending::LoggedOut;
                }
            }
        }
    }
}

fn binary(bytes: &Arc<[u8]>) -> Message {
    Message::Binary(Bytes::copy_from_slice(bytes))
}

/// What a client needs to know once.
fn hello(session: Session, conn: Conn) -> Utf8Bytes {
    let classes: Vec<_> = Class::ALL
        .iter()
        .map(|c| json!({"name": crate::words::class_name(*c), "colour": c.colour(), "tissue": c.is_tissue()}))
        .collect();
    json!({"t": "hello", "conn": conn, "operator": session.operator, "role": session.role, "classes": classes})
        .to_string()
        .into()
}
