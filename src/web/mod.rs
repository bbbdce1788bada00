//! What `listen` serves besides capturing: the page, its JSON API, RequestBin's API and the portal emulator.
//!
//! [`web_ui`] builds an axum router. The listener passes it the requests for reserved paths (`paths`), which are not
//! captured. Each request is checked by `auth`, then routed to a handler in the file of its subject. Handlers that use
//! the journal run on blocking threads: see [`WebState::with_journal`].

mod auth;
mod bins;
mod captures;
mod deliveries;
mod events;
mod list;
mod page;
mod paths;
mod portal_emulator;
mod requestbin;
mod sending;
#[cfg(test)]
mod tests;
mod transfer;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, SET_COOKIE, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

pub use auth::{Access, Auth, parse_origin, random_token};
use auth::{Authorized, random_hex};
use paths::Area;
pub use sending::Sending;

use crate::capture::Mask;
use crate::error::{Failure, Kind};
use crate::journal::{self, Journal};
use crate::listener::{Bound, Notifier, WebUi};
use crate::output::{ErrorReport, json};
use crate::secret::Secret;

pub struct WebOptions {
    /// A connection of the web UI's own, so that it does not block capturing.
    pub journal: Mutex<Box<dyn Journal>>,
    pub notifier: Notifier,
    pub sending: Sending,
    pub auth: Auth,
    /// The bin of requests whose path does not name a bin.
    pub default_bin: String,
    /// Masks captures in the page's API until `reveal=1` is passed. RequestBin's API is not masked.
    pub mask: Mask,
    /// `hookfire` with the options that commands for pasting need.
    pub program: String,
    /// Emulates a 3scale portal below `/admin`.
    pub emulate_portal: bool,
    /// The token that the portal emulator requires.
    pub portal_token: Option<Secret>,
    /// Shows the page to a browser that opens the listener's address.
    pub redirects_browsers: bool,
}

struct WebState {
    options: WebOptions,
    /// The emulated portal's webhook settings.
    portal_settings: Mutex<Map<String, Value>>,
    /// Held during a change of many rows.
    bulk_change: Mutex<()>,
    streams: Arc<Semaphore>,
    /// Whether the thread of `events::watch_journal` is running.
    is_watching: AtomicBool,
    /// Differs between two listeners at the same address.
    instance: String,
}

type Web = State<Arc<WebState>>;
/// A failure becomes a response as the page expects it.
type ApiResult = Result<Response, Failure>;

/// The router for reserved paths.
pub fn web_ui(options: WebOptions) -> WebUi {
    let emulates_portal = options.emulate_portal;
    let redirects_browsers = options.redirects_browsers;
    let state = Arc::new(WebState {
        options,
        portal_settings: Mutex::new(portal_emulator::default_settings()),
        bulk_change: Mutex::default(),
        streams: Arc::new(Semaphore::new(events::MAX_STREAMS)),
        is_watching: AtomicBool::new(false),
        instance: random_hex(),
    });
    let page_api = Router::new()
        .route("/version", get(version))
        .route("/instance", get(instance))
        .merge(bins::routes())
        .merge(captures::routes())
        .merge(deliveries::routes())
        .merge(transfer::routes())
        .fallback(no_such_call);
    let routes = Router::new()
        .route(paths::PAGE, get(page::show))
        .route(paths::EVENTS, get(events::stream))
        .nest(paths::PAGE_API, page_api)
        .nest(paths::REQUESTBIN_API, requestbin::routes())
        .nest(paths::PORTAL, portal_emulator::routes())
        // The listener has read the body within its own limit.
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(&state));
    let router =
        Router::new().fallback(move |request| serve(Arc::clone(&state), routes.clone(), request));
    let reserves = move |request: &Parts| {
        paths::reserved(&request.method, &request.uri, emulates_portal).is_some()
            || redirects_browsers && browsing(request).is_some()
    };
    WebUi {
        reserves: Box::new(reserves),
        router,
    }
}

/// Authorizes a request, routes it by the canonical spelling of its path, and adds the headers of all responses.
async fn serve(state: Arc<WebState>, routes: Router, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let (Some((area, path)), Some(bound)) = (
        paths::reserved(&parts.method, &parts.uri, state.options.emulate_portal),
        parts.extensions.get::<Bound>().copied(),
    ) else {
        let mut response =
            browsing(&parts).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response());
        add_common_headers(&state.options.auth, Area::Page, &mut response);
        return response;
    };
    let auth = &state.options.auth;
    let mut response = match auth.check(area, &parts, &bound) {
        Err((StatusCode::UNAUTHORIZED, _)) if area == Area::Page && accepts_html(&parts) => {
            page::token_form(&parts.uri)
        }
        Err(refused) => refused.into_response(),
        Ok(Authorized::Preflight) => preflight(),
        Ok(Authorized::Request { rights, cookie }) => {
            parts.extensions.insert(rights);
            parts.uri = paths::with_path(&parts.uri, &path);
            let Ok(mut response) = routes.oneshot(Request::from_parts(parts, body)).await;
            if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            response
        }
    };
    add_common_headers(auth, area, &mut response);
    response
}

/// The response to a browser that opens the listener's address, or then asks for its icon.
fn browsing(request: &Parts) -> Option<Response> {
    if request.method != Method::GET || request.uri.query().is_some() {
        return None;
    }
    match request.uri.path() {
        "/" if accepts_html(request) => Some(Redirect::to("/_hookfire/").into_response()),
        "/favicon.ico" if accepts(request, "image/") => {
            Some(StatusCode::NO_CONTENT.into_response())
        }
        _ => None,
    }
}

fn accepts_html(request: &Parts) -> bool {
    accepts(request, "text/html")
}

fn accepts(request: &Parts, content_type: &str) -> bool {
    let accept = request.headers.get(ACCEPT).map(HeaderValue::as_bytes);
    accept.is_some_and(|types| String::from_utf8_lossy(types).contains(content_type))
}

/// Keeps responses out of caches, content sniffing, referrers and, unless allowed, other origins.
fn add_common_headers(auth: &Auth, area: Area, response: &mut Response) {
    let is_unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    let mut add = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    add(CACHE_CONTROL, "no-store");
    add(X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(REFERRER_POLICY, "no-referrer");
    if is_unauthorized && area != Area::Portal {
        add(WWW_AUTHENTICATE, "Bearer");
    }
    let allowed = auth.allow_origin.as_deref();
    match allowed.and_then(|origin| HeaderValue::from_str(origin).ok()) {
        Some(origin) if area == Area::RequestBin => {
            add(VARY, "Origin");
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        _ => {
            let policy = HeaderName::from_static("cross-origin-resource-policy");
            add(policy, "same-origin");
        }
    }
}

fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

async fn version(State(state): Web) -> Result<String, Failure> {
    state.with_journal(|_, journal| version_of(journal)).await
}

/// Changes with every write to the journal, by this process or another.
fn version_of(journal: &dyn Journal) -> Result<String, Failure> {
    let (by_others, by_this) = journal.change_counters()?;
    Ok(format!("{by_others}.{by_this}"))
}

async fn instance(State(state): Web) -> String {
    state.instance.clone()
}

async fn no_such_call(method: Method, uri: Uri) -> Failure {
    let path = uri.path();
    Failure::new(
        Kind::NotFound,
        format!("there is no API call {method} {path}"),
    )
}

impl WebState {
    /// Responds with the JSON that `work` returns: see [`WebState::with_journal`].
    async fn respond(
        self: Arc<Self>,
        work: impl FnOnce(&WebOptions, &dyn Journal) -> Result<Value, Failure> + Send + 'static,
    ) -> ApiResult {
        let value = self.with_journal(work).await?;
        Ok(json_response(StatusCode::OK, &value))
    }

    /// Runs `work` with the journal, one call at a time, on a thread that may block. One at a time also bounds memory:
    /// building a response can take many times the memory of a captured request.
    async fn with_journal<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&WebOptions, &dyn Journal) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        blocking(move || {
            let options = &self.options;
            // A panic while the lock was held left nothing half done: SQLite rolls back.
            let journal = options.journal.lock();
            work(options, &**journal.unwrap_or_else(PoisonError::into_inner))
        })
        .await
    }

    /// Runs a change of many rows, one at a time, on a connection of its own: other calls use the journal meanwhile.
    async fn change_many<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&dyn Journal) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        blocking(move || {
            let _one_at_a_time = self.bulk_change.lock();
            let location = {
                let journal = self.options.journal.lock();
                let journal = journal.unwrap_or_else(PoisonError::into_inner);
                // Fails if the journal was replaced: the rows of the new one are not those that the client saw.
                journal.change_counters()?;
                journal.location().clone()
            };
            work(&*journal::open(location)?)
        })
        .await
    }
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Failure::new(Kind::Error, "internal error")))
}

fn status_of(failure: &Failure) -> StatusCode {
    match failure.kind {
        Kind::Usage => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Journal => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let report = ErrorReport {
            kind: self.kind.as_str(),
            message: &self.error.to_string(),
            causes: &self.causes(),
            hints: &self.hints,
        };
        json_body(status_of(&self), json::error(&report))
    }
}

fn json_response(status: StatusCode, value: &impl Serialize) -> Response {
    json_body(status, json::compact(value))
}

/// `json` is a JSON text.
fn json_body(status: StatusCode, json: impl Into<Body>) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], json.into()).into_response()
}
