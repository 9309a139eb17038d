//! Routes, the log-in, and the headers that keep a browser honest.

use super::{bounded::Peer, socket};
use crate::{auth::LoginRefused, auth::Session, shared::Shared};
use axum::{
    Form, Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use proctor_types::Digest;
use serde::Deserialize;
use std::{net::SocketAddr, sync::Arc};

const COOKIE: &str = "proctor_session";
/// Longest body of the log-in form, bytes.
const MAX_FORM_BYTES: usize = 512;

const LOGIN_PAGE: &str = include_str!("../../web/login.html");
const LOGIN_STYLE: &str = include_str!("../../web/login.css");
const INDEX: &str = include_str!("../../web/index.html");
const APP_JS: &str = include_str!("../../web/app.js");
const VIEW_JS: &str = include_str!("../../web/view.js");
const PICTURE_JS: &str = include_str!("../../web/picture.js");
const APP_CSS: &str = include_str!("../../web/app.css");

const APP_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                          form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[derive(Clone)]
pub(super) struct App {
    pub shared: Arc<Shared>,
    hosts: Arc<[String]>,
    login_policy: HeaderValue,
}

/// Every route, behind the checks that hold for all of them.
pub(super) fn router(shared: Arc<Shared>, address: SocketAddr) -> Router {
    let port = address.port();
    let own = [address.to_string(), format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
    let hosts = own.into_iter().chain(shared.params().hosts.iter().cloned()).collect();
    let app = App { shared, hosts, login_policy: login_policy() };
    Router::new()
        .route("/", get(index))
        .route("/app.js", get(async |_: Session| asset("text/javascript; charset=utf-8", APP_JS)))
        .route("/view.js", get(async |_: Session| asset("text/javascript; charset=utf-8", VIEW_JS)))
        .route("/picture.js", get(async |_: Session| asset("text/javascript; charset=utf-8", PICTURE_JS)))
        .route("/app.css", get(async |_: Session| asset("text/css; charset=utf-8", APP_CSS)))
        .route("/ws", get(socket::upgrade))
        .route("/login", get(login_page).post(login))
        .route("/logout", post(logout))
        // Browsers ask for it by themselves; without an answer every page load would count as an error.
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .fallback(async |_: Session| StatusCode::NOT_FOUND)
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

/// Whoever has a live session. Everybody else gets 401 and not a word more.
impl FromRequestParts<App> for Session {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, StatusCode> {
        cookie(&parts.headers).and_then(|c| app.shared.session(c)).ok_or(StatusCode::UNAUTHORIZED)
    }
}

/// The session's cookie, if the request carries exactly one.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|h| h.to_str().ok())
        .flat_map(|h| h.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
    let first = found.next();
    first.filter(|_| found.next().is_none())
}

/// Refuses foreign names (DNS rebinding) and foreign origins (cross-site requests); sets the headers of every answer.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = match refuse(&app, &request) {
        Some(status) => status.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not "no-referrer": a browser then sends the log-in form with "Origin: null", which is refused as foreign.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(APP_POLICY));
    response
}

fn refuse(app: &App, request: &Request) -> Option<StatusCode> {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("");
    if !app.hosts.iter().any(|h| h.eq_ignore_ascii_case(host)) {
        return Some(StatusCode::MISDIRECTED_REQUEST);
    }
    let origin = headers.get(header::ORIGIN).map(|o| o.to_str().unwrap_or("?"));
    let is_own = |o: &str| {
        o.strip_prefix("http://").or_else(|| o.strip_prefix("https://")).is_some_and(|o| o.eq_ignore_ascii_case(host))
    };
    // What changes something, and the WebSocket, must say where it comes from.
    let must_say = request.method() != axum::http::Method::GET || headers.contains_key(header::UPGRADE);
    let is_foreign = origin.map_or(must_say, |o| !is_own(o));
    is_foreign.then_some(StatusCode::FORBIDDEN)
}

async fn index(State(app): State<App>, headers: HeaderMap) -> Response {
    match cookie(&headers).and_then(|c| app.shared.session(c)) {
        Some(_) => asset("text/html; charset=utf-8", INDEX),
        None => Redirect::to("/login").into_response(),
    }
}

async fn login_page(State(app): State<App>) -> Response {
    page(&app, StatusCode::OK, "")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginForm {
    token: String,
}

async fn login(
    State(app): State<App>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Form(form): Form<LoginForm>,
) -> Response {
    match app.shared.login(peer.ip(), &form.token) {
        Ok(secret) => {
            let value = format!("{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/", secret.to_cookie());
            ([(header::SET_COOKIE, value)], Redirect::to("/")).into_response()
        }
        Err(refused) => {
            tracing::warn!(%peer, %refused, "log-in refused");
            let status = match refused {
                LoginRefused::TooManyFailures { .. } => StatusCode::TOO_MANY_REQUESTS,
                LoginRefused::UnknownToken | LoginRefused::ScriptedNotAllowed => StatusCode::UNAUTHORIZED,
                LoginRefused::TooManySessions => StatusCode::SERVICE_UNAVAILABLE,
            };
            page(&app, status, &refused.to_string())
        }
    }
}

async fn logout(State(app): State<App>, headers: HeaderMap) -> Response {
    if let Some(c) = cookie(&headers) {
        app.shared.logout(c);
    }
    let value = format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    ([(header::SET_COOKIE, value)], Redirect::to("/login")).into_response()
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// The log-in page; `error` is one of this crate's own sentences.
fn page(app: &App, status: StatusCode, error: &str) -> Response {
    let text = LOGIN_PAGE.replace("{{style}}", LOGIN_STYLE).replace("{{error}}", error);
    let mut response = (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], Body::from(text)).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, app.login_policy.clone());
    response
}

/// No script at all, and only the one style, by its hash.
fn login_policy() -> HeaderValue {
    let hash = BASE64_STANDARD.encode(Digest::of(LOGIN_STYLE.as_bytes()).0);
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'; form-action 'self'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others_and_refused_when_doubled() {
        let of = |values: &[&'static str]| {
            let mut h = HeaderMap::new();
            values.iter().for_each(|v| _ = h.append(header::COOKIE, HeaderValue::from_static(v)));
            cookie(&h).map(str::to_owned)
        };
        assert_eq!(of(&["a=b; proctor_session=xyz; c=d"]).as_deref(), Some("xyz"));
        assert_eq!(of(&["a=b", "proctor_session=xyz"]).as_deref(), Some("xyz"));
        assert_eq!(of(&["proctor_session=1; proctor_session=2"]), None);
        assert_eq!(of(&["proctor_session=1", "proctor_session=2"]), None);
        assert_eq!(of(&["xproctor_session=1", "proctor_sessionx=2"]), None);
    }
}
