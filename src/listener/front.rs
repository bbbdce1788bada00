//! The reserved paths: the page, its live stream, and the calls that the desk answers.
//!
//! Deliberately knows no bins and no captures: what is asked and what is replied goes through as it is.
//!
//! Invariant: nothing is shown to whom the guard did not admit, and nothing here blocks the connections' thread.

use std::sync::Arc;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW,
};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, VARY, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response};
use rustls::crypto::SecureRandom;

use super::answer::{self, Answer, Sent, status_code};
use super::exchange::{Ending, Exchange, Fault, NotAnswered, read};
use super::guard::{Admitted, Area, Guard};
use super::live::{self, Subscription};
use super::page;
use super::route::Route;
use super::token;
use crate::listener::desk::{Call, Desk, Reply};

/// Bytes that the body of a call may have.
const CALL_BODY: usize = 1024 * 1024;

/// The beginning of a live stream, which lasts until its connection ends.
pub(super) const LIVE_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\
    x-content-type-options: nosniff\r\ncross-origin-resource-policy: same-origin\r\nconnection: close\r\n\r\n";

/// What the reserved paths stand on.
pub(super) struct FrontDoor {
    pub desk: Arc<dyn Desk>,
    pub page: &'static str,
    pub guard: Guard,
    pub as_tenant: bool,
    pub random: &'static dyn SecureRandom,
}

impl Exchange {
    /// Answers a request for a reserved path.
    pub(super) async fn show(
        &self,
        front: &FrontDoor,
        route: Route,
        request: Request<Incoming>,
    ) -> Result<Sent, NotAnswered> {
        let area = match &route {
            Route::Page | Route::Nothing => Area::Page,
            Route::Live => Area::Live,
            Route::Data(_) => Area::Data,
            Route::Api(_) => Area::Api,
            Route::Tenant(_) => Area::Tenant,
        };
        let unread = !request.body().is_end_stream();
        let method = request.method().clone();
        let mut shown = match (front.guard.admit(area, &request), route) {
            (Err(refused), _) => {
                let mut refusal = answer::refusing(refused.status, refused.words, unread);
                if refused.status == 401 {
                    refusal
                        .headers_mut()
                        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                refusal
            }
            (Ok(Admitted::Preflight), _) => preflight(),
            (Ok(_), Route::Nothing) => answer::refusing(404, "there is nothing here", unread),
            (Ok(_), _) if !allowed_in(area).contains(&method) => not_allowed(area, unread),
            (Ok(Admitted::Request { cookie }), Route::Page) => front.page(cookie),
            (Ok(_), Route::Live) if method == Method::HEAD => answer::refusing(204, "", false),
            (Ok(_), Route::Live) => match self.subscribe(front) {
                true => return Err(NotAnswered),
                false => answer::refusing(503, "too many pages are watching already", unread),
            },
            (Ok(_), Route::Data(path) | Route::Api(path) | Route::Tenant(path)) => {
                let shown = self.call(front, path, request).await;
                return Ok(self.send(front.dressed(shown, area)));
            }
        };
        self.seat.work();
        if unread {
            shown
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
            self.linger();
        }
        Ok(self.send(front.dressed(shown, area)))
    }

    /// Turns the connection into a live stream, unless there are too many.
    fn subscribe(&self, front: &FrontDoor) -> bool {
        let Some(subscription) = Subscription::new(&self.shared.bell) else {
            return false;
        };
        *self.ending.borrow_mut() = Ending::Live(Box::new(subscription));
        self.seat.work();
        let (desk, bell) = (Arc::clone(&front.desk), Arc::clone(&self.shared.bell));
        tokio::task::spawn_local(live::watch(desk, bell, self.stop.clone()));
        true
    }

    /// Has the desk answer.
    async fn call(
        &self,
        front: &FrontDoor,
        path: Vec<String>,
        request: Request<Incoming>,
    ) -> Answer {
        let mut call = call(path, &request);
        let mut body = request.into_body();
        if body.is_end_stream() {
            self.seat.work();
        } else if let Some(fault) = self
            .in_time(read(&mut body, CALL_BODY, Some(&mut call.body)))
            .await
        {
            self.linger();
            return answer::refusing(fault.status(), Fault::words(fault), true);
        }
        let desk = Arc::clone(&front.desk);
        match tokio::task::spawn_blocking(move || desk.answer(&call)).await {
            Ok(reply) => replied(reply),
            // It panicked, which was reported when it happened.
            Err(_) => answer::refusing(500, "hookfire could not answer this", false),
        }
    }
}

impl FrontDoor {
    fn page(&self, cookie: Option<String>) -> Answer {
        match token::random_hex(self.random) {
            Ok(nonce) => page::page(self.page, &nonce, &self.guard.page_token, cookie),
            Err(error) => answer::refusing(500, &error.to_string(), false),
        }
    }

    /// The headers that everything shown carries, beside its own.
    fn dressed(&self, mut shown: Answer, area: Area) -> Answer {
        let headers = shown.headers_mut();
        page::keep_to_itself(headers);
        match &self.guard.allow_origin {
            Some(origin) if area == Area::Api => allow(headers, origin),
            _ => {
                headers.insert(
                    "cross-origin-resource-policy",
                    HeaderValue::from_static("same-origin"),
                );
            }
        }
        shown
    }
}

fn allow(headers: &mut HeaderMap, origin: &str) {
    if let Ok(value) = HeaderValue::from_str(origin) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
}

fn call(path: Vec<String>, request: &Request<Incoming>) -> Call {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let query = request.uri().query().unwrap_or_default().as_bytes();
    Call {
        // A question for the head of an answer is one for the answer; hyper leaves its body out.
        method: if request.method() == Method::HEAD {
            "GET".to_owned()
        } else {
            request.method().to_string()
        },
        path,
        query: form_urlencoded::parse(query).into_owned().collect(),
        content_type: String::from_utf8_lossy(content_type).into_owned(),
        body: Vec::new(),
    }
}

fn replied(reply: Reply) -> Answer {
    let mut response = Response::new(Bytes::from(reply.body));
    *response.status_mut() = status_code(reply.status);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    response
}

fn allowed_in(area: Area) -> &'static [Method] {
    match area {
        Area::Page | Area::Live => &[Method::GET, Method::HEAD],
        Area::Data | Area::Api | Area::Tenant => &[
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
        ],
    }
}

fn not_allowed(area: Area, close: bool) -> Answer {
    let mut response = answer::refusing(405, answer::reason(405), close);
    let allowed: Vec<&str> = allowed_in(area).iter().map(Method::as_str).collect();
    if let Ok(allowed) = HeaderValue::try_from(allowed.join(", ")) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

fn preflight() -> Answer {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status_code(204);
    let headers = response.headers_mut();
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE"),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Authorization, Content-Type"),
    );
    response
}
