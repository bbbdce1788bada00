//! What `listen` serves besides capturing: the page, its JSON API, RequestBin's API and the portal emulator.
//!
//! [`web_ui`] builds an axum router. The listener passes it the requests for reserved paths (`paths`), which are not
//! captured. Each request is checked by `auth`, then routed to a handler in the file of its subject. Handlers that use
//! the journal run on blocking threads: see [`WebState::with_journal`].

mod auth;
mod captures;
mod deliveries;
mod events;
mod page;
mod paths;
mod portal_emulator;
mod requestbin;
mod sending;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, REFERRER_POLICY, SET_COOKIE, VARY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

pub use auth::{Access, parse_origin, random_token};
use auth::{Area, Auth, Authorized};
pub use sending::Sending;

use crate::capture::Mask;
use crate::error::{Failure, Kind};
use crate::journal::Journal;
use crate::listener::{Bound, Notifier, WebUi};
use crate::output::{ErrorReport, json};
use crate::secret::Secret;

pub struct WebOptions {
    /// A connection of the web UI's own, so that it does not block capturing.
    pub journal: Box<dyn Journal>,
    pub notifier: Notifier,
    pub sending: Sending,
    pub access: Access,
    /// The other origin whose scripts may use RequestBin's API: `*` or like `http://localhost:3000`.
    pub allow_origin: Option<String>,
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
}

struct WebState {
    journal: Mutex<Box<dyn Journal>>,
    notifier: Notifier,
    sending: Sending,
    auth: Auth,
    default_bin: String,
    mask: Mask,
    program: String,
    emulates_portal: bool,
    portal_token: Option<Secret>,
    /// The emulated portal's webhook settings.
    portal_settings: Mutex<Map<String, Value>>,
    streams: Arc<Semaphore>,
    /// Whether `events::watch_journal` runs.
    is_watching: AtomicBool,
    /// Differs between two listeners at the same address.
    instance: String,
}

type Web = State<Arc<WebState>>;
type ApiResult = Result<Response, ApiError>;

/// The router for reserved paths.
pub fn web_ui(options: WebOptions) -> WebUi {
    let state = Arc::new(WebState {
        sending: options.sending,
        notifier: options.notifier,
        auth: Auth {
            access: options.access,
            page_token: random_token(),
            allow_origin: options.allow_origin,
        },
        default_bin: options.default_bin,
        mask: options.mask,
        program: options.program,
        emulates_portal: options.emulate_portal,
        portal_token: options.portal_token,
        portal_settings: Mutex::new(portal_emulator::default_settings()),
        streams: Arc::new(Semaphore::new(events::MAX_STREAMS)),
        is_watching: AtomicBool::new(false),
        instance: format!("{:x}.{:x}", options.journal.now().0, std::process::id()),
        journal: Mutex::new(options.journal),
    });
    let page_api = Router::new()
        .route("/version", get(version))
        .route("/instance", get(instance))
        .merge(captures::routes())
        .merge(deliveries::routes())
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
    let emulates_portal = state.emulates_portal;
    let router =
        Router::new().fallback(move |request| serve(Arc::clone(&state), routes.clone(), request));
    let reserves =
        move |method: &Method, uri: &Uri| paths::reserved(method, uri, emulates_portal).is_some();
    WebUi {
        reserves: Box::new(reserves),
        router,
    }
}

/// Authorizes a request, routes it by the canonical spelling of its path, and adds the headers of all responses.
async fn serve(state: Arc<WebState>, routes: Router, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let (Some(path), Some(bound)) = (
        paths::reserved(&parts.method, &parts.uri, state.emulates_portal),
        parts.extensions.get::<Bound>().copied(),
    ) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let area = Area::of(&path);
    let mut response = match state.auth.check(area, &parts, &bound) {
        Err(refused) => (refused.status, format!("{}\n", refused.message)).into_response(),
        Ok(Authorized::Preflight) => preflight(),
        Ok(Authorized::Request { cookie }) => {
            parts.uri = paths::with_path(&parts.uri, &path);
            let routed = routes.oneshot(Request::from_parts(parts, body)).await;
            let mut response = routed.unwrap_or_else(|never| match never {});
            if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            response
        }
    };
    if response.status() == StatusCode::UNAUTHORIZED && area != Area::Portal {
        let headers = response.headers_mut();
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    add_common_headers(&state, area, response.headers_mut());
    response
}

/// Keeps responses out of caches, content sniffing, referrers and, unless allowed, other origins.
fn add_common_headers(state: &WebState, area: Area, headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let allowed = state.auth.allow_origin.as_deref();
    match allowed.and_then(|origin| HeaderValue::from_str(origin).ok()) {
        Some(origin) if area == Area::RequestBin => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(VARY, HeaderValue::from_static("Origin"));
        }
        _ => {
            let same_origin = HeaderValue::from_static("same-origin");
            headers.insert("cross-origin-resource-policy", same_origin);
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

async fn version(State(state): Web) -> Result<String, ApiError> {
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

async fn no_such_call(method: Method, uri: Uri) -> ApiError {
    let path = uri.path();
    ApiError(Failure::new(
        Kind::NotFound,
        format!("there is no API call {method} {path}"),
    ))
}

impl WebState {
    /// Responds with the JSON that `work` returns: see [`WebState::with_journal`].
    async fn respond(
        self: Arc<Self>,
        work: impl FnOnce(&WebState, &dyn Journal) -> Result<Value, Failure> + Send + 'static,
    ) -> ApiResult {
        let value = self.with_journal(work).await?;
        Ok(json_response(StatusCode::OK, &value))
    }

    /// Runs `work` with the journal, one call at a time, on a thread that may block. One at a time also bounds memory:
    /// building a response can take many times the memory of a captured request.
    async fn with_journal<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&WebState, &dyn Journal) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, ApiError> {
        blocking(move || {
            // A panic while the lock was held left nothing half done: SQLite rolls back.
            let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
            work(&self, &**journal)
        })
        .await
    }
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, ApiError> {
    let panicked = |_| Err(Failure::new(Kind::Error, "internal error"));
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(panicked).map_err(ApiError)
}

/// A failure as the page's API reports it.
struct ApiError(Failure);

impl ApiError {
    fn status(&self) -> StatusCode {
        match self.0.kind {
            Kind::Usage => StatusCode::BAD_REQUEST,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Journal => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> ApiError {
        ApiError(failure)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let report = ErrorReport {
            kind: self.0.kind.as_str(),
            message: &self.0.error.to_string(),
            causes: &self.0.causes(),
            hints: &self.0.hints,
        };
        json_body(self.status(), json::error(&report))
    }
}

fn json_response(status: StatusCode, value: &impl Serialize) -> Response {
    json_body(status, json::compact(value))
}

/// `json` is a JSON text.
fn json_body(status: StatusCode, json: impl Into<Body>) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], json.into()).into_response()
}
