//! Requests that the web UI serves: they are complete, not captured, and their streams end with the client or the listener.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Extension;
use axum::routing::{get, post};

use super::*;
use crate::listener::{Bound, Notification, Notifier, WebUi};

/// Sends one event for each notification.
async fn stream(notifier: Notifier) -> Body {
    struct Events(tokio::sync::mpsc::Receiver<String>);
    impl hyper::body::Body for Events {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            self.0
                .poll_recv(cx)
                .map(|event| event.map(|event| Ok(hyper::body::Frame::data(event.into()))))
        }
    }
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    let mut events = notifier.subscribe();
    tokio::spawn(async move {
        let _ = sender.send("ready\n".to_owned()).await;
        while let Ok(Notification::Captured { id, bin }) = events.recv().await {
            if sender.send(format!("{id} {bin}\n")).await.is_err() {
                break;
            }
        }
    });
    Body::new(Events(receiver))
}

fn listener_with_web() -> TestListener {
    listener_set_up("200", |setup| {
        let notifier = setup.notifier.clone();
        let router = Router::new()
            .route(
                "/ui/echo",
                post(
                    |Extension(bound): Extension<Bound>, body: String| async move {
                        format!("{} {} {body}", bound.addr.ip(), bound.tls)
                    },
                ),
            )
            .route("/ui/events", get(move || stream(notifier.clone())));
        setup.web = Some(WebUi {
            reserves: Box::new(|request| request.uri.path().starts_with("/ui/")),
            router,
        });
    })
}

#[test]
fn reserved_requests_are_served_and_not_captured() {
    let listener = listener_with_web();
    let mut client = Client::sending(
        &listener,
        "POST /ui/echo HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    );
    assert_eq!(client.response().body, "127.0.0.1 false abc");
    client.send("GET /ui/nothing HTTP/1.1\r\n\r\n");
    assert_eq!(client.response().status, 404);
    client.send("GET /other HTTP/1.1\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.send("POST /ui/echo HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n");
    assert_eq!(client.response().status, 413);
    assert_eq!(captured(&listener).target, "/other");
    assert!(listener.try_captured().is_err());
}

#[test]
fn a_stream_ends_with_the_listener() {
    let mut listener = listener_with_web();
    let mut events = Client::sending(&listener, "GET /ui/events HTTP/1.1\r\n\r\n");
    while events.line() != "ready" {}
    let mut client = Client::sending(&listener, "GET /bin HTTP/1.1\r\n\r\n");
    assert_eq!(client.response().status, 200);
    while events.line() != "0 inbox" {}
    listener.stop();
    assert_eq!(events.until_closed().unwrap(), b"\r\n0\r\n\r\n");
}

#[test]
fn a_stream_ends_when_its_client_hangs_up() {
    let listener = listener_with_web();
    let mut events = Client::sending(&listener, "GET /ui/events HTTP/1.1\r\n\r\n");
    while events.line() != "ready" {}
    events.half_close();
    assert_eq!(events.until_closed().unwrap(), b"\r\n0\r\n\r\n");
}

/// A web UI that reserves nothing.
pub(super) fn empty_web() -> WebUi {
    WebUi {
        reserves: Box::new(|_| false),
        router: Router::new(),
    }
}

fn content_security_policy(choose: impl FnOnce(&mut Setup)) -> Option<String> {
    let listener = listener_set_up("200", choose);
    let response = Client::sending(&listener, "GET / HTTP/1.1\r\n\r\n").response();
    let policy = response
        .headers
        .iter()
        .find_map(|line| line.strip_prefix("content-security-policy: "));
    policy.map(str::to_owned)
}

#[test]
fn chosen_responses_are_sandboxed_beside_the_web_ui() {
    let sandboxed = Some("sandbox allow-scripts allow-forms".to_owned());
    let html = || vec![("Content-Type".to_owned(), "text/html".to_owned())];
    let plain = content_security_policy(|setup| setup.web = Some(empty_web()));
    assert_eq!(plain, None, "hookfire's own text needs no sandbox");
    let without_web = content_security_policy(|setup| setup.response_headers = html());
    assert_eq!(without_web, None);
    let with_header = content_security_policy(|setup| {
        setup.response_headers = html();
        setup.web = Some(empty_web());
    });
    assert_eq!(with_header, sandboxed);
    let with_body = content_security_policy(|setup| {
        setup.response_body = Some(b"<script>".to_vec());
        setup.web = Some(empty_web());
    });
    assert_eq!(with_body, sandboxed);
}

#[test]
fn malformed_requests_for_reserved_paths_are_captured() {
    let listener = listener_with_web();
    let head = "POST /ui/echo HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = Client::sending(&listener, format!("{head}0\r\n\r\n"));
    assert_eq!(client.response().status, 400);
    let capture = captured(&listener);
    assert_eq!(
        (capture.head.as_slice(), capture.malformed),
        (head.as_bytes(), true)
    );
}
