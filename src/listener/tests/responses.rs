//! Responses by the script and by the path, with chosen bodies and headers, after the capture is stored.

use std::sync::Mutex;
use std::time::Instant;

use super::super::{HeaderError, ListenerError};
use super::*;
use crate::capture;
use crate::journal::{CaptureStore, JournalError, StoreReply, StoredCapture};
use crate::secret::Secret;

#[test]
fn the_script_counts_over_all_connections() {
    let listener = listener("503x2,204,200");
    let mut statuses = Vec::new();
    for request in ["GET", "POST", "HEAD", "OPTIONS", "BREW"] {
        let mut client = Client::sending(
            &listener,
            format!("{request} / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
        );
        client.half_close();
        let response = client.until_closed().unwrap();
        statuses.push(String::from_utf8(response[9..12].to_vec()).unwrap());
        assert_eq!(
            captured(&listener).response_status,
            statuses[statuses.len() - 1].parse().ok()
        );
    }
    assert_eq!(statuses, ["503", "503", "204", "200", "200"]);
}

#[test]
fn other_statuses_have_their_reason_as_body() {
    let listener = listener("503,599");
    for body in ["Service Unavailable\n", "No Reason Phrase\n"] {
        let mut client = Client::sending(&listener, "GET / HTTP/1.1\r\n\r\n");
        assert_eq!(client.response().body, body);
    }
}

#[test]
fn timeout_sends_nothing_and_reset_resets() {
    let listener = listener("timeout,reset,200");
    let mut silent = Client::sending(&listener, "GET /1 HTTP/1.1\r\n\r\n");
    assert_eq!(captured(&listener).response_status, None);
    let mut reset = Client::sending(&listener, "GET /2 HTTP/1.1\r\n\r\n");
    assert_eq!(captured(&listener).response_status, None);
    let error = reset.until_closed().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    // Still open and silent after others were served.
    let mut other = Client::sending(&listener, "GET /3 HTTP/1.1\r\n\r\n");
    assert_eq!(other.response().status, 200);
    silent.0.get_ref().set_nonblocking(true).unwrap();
    assert_eq!(
        silent.until_closed().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    silent.0.get_ref().set_nonblocking(false).unwrap();
    silent.half_close();
    assert_eq!(silent.until_closed().unwrap(), b"");
}

#[test]
fn a_delayed_response_is_captured_first() {
    let listener = listener("201@200ms,reset@200ms,200");
    let mut delayed = Client::sending(&listener, "GET /1 HTTP/1.1\r\n\r\n");
    let started = Instant::now();
    let capture = captured(&listener);
    assert!(
        started.elapsed() < Duration::from_millis(150),
        "kept before the delay"
    );
    assert_eq!(capture.response_status, Some(201));
    assert!(
        (200..300).contains(&capture.duration_ms),
        "{}",
        capture.duration_ms
    );
    let mut reset = Client::sending(&listener, "GET /2 HTTP/1.1\r\n\r\n");
    // Others are not delayed.
    let mut other = Client::connect(&listener);
    assert_eq!(captured(&listener).response_status, None);
    other.send("GET /3 HTTP/1.1\r\n\r\n");
    assert_eq!(other.response().status, 200);
    assert_eq!(delayed.response().status, 201);
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(
        reset.until_closed().unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
}

#[test]
fn a_status_in_the_path_uses_no_step() {
    let listener = listener_set_up("500,200", |setup| setup.status_in_path = true);
    let mut client = Client::connect(&listener);
    for (path, status) in [
        ("/bin/503", 503),
        ("/204?x=500", 204),
        ("/bin/999", 500),
        ("/bin", 200),
        ("/bin/418", 418),
    ] {
        client.send(format!("POST {path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.response().status, status, "{path}");
        assert_eq!(captured(&listener).response_status, Some(status), "{path}");
    }
    let without = super::listener("200");
    assert_eq!(
        Client::sending(&without, "GET /bin/503 HTTP/1.1\r\n\r\n")
            .response()
            .status,
        200
    );
}

#[test]
fn refusals_ignore_the_chosen_body_and_headers() {
    let listener = listener_set_up("200,503,204,200", |setup| {
        setup.response_body = Some(b"<done/>".to_vec());
        setup.response_headers = [
            ("Content-Type", "text/xml"),
            ("X-A", "1"),
            ("x-a", "caf\u{e9}"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    });
    let mut client = Client::connect(&listener);
    for (status, body) in [(200, "<done/>"), (503, "<done/>"), (204, "")] {
        client.send("GET / HTTP/1.1\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status, response.body.as_str()), (status, body));
        let own: Vec<&str> = response
            .headers
            .iter()
            .map(String::as_str)
            .filter(|line| !line.starts_with("date"))
            .collect();
        assert_eq!(
            own[..3],
            ["content-type: text/xml", "x-a: 1", "x-a: caf\u{e9}"],
            "{own:?}"
        );
    }
    client.send("GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n");
    assert_eq!(client.response().body, "Bad Request\n");
}

#[test]
fn invalid_response_headers_are_errors() {
    let with = |name: &str, value: &str| {
        let mut setup = Setup::new(
            ANY_PORT,
            "200".parse().unwrap(),
            Arc::new(mpsc::channel().0),
        );
        setup.response_headers = vec![(name.to_owned(), value.to_owned())];
        Listener::bind(setup).map(drop).unwrap_err()
    };
    let framing = with("Content-Length", "5");
    assert!(matches!(
        framing,
        ListenerError::Header(HeaderError::Framing(_))
    ));
    assert_eq!(
        framing.to_string(),
        "`Content-Length` cannot be set: it follows from the body and the connection"
    );
    for (name, value) in [
        ("X A", "1"),
        ("", "1"),
        ("X-A", "1\r\nX-B: 2"),
        ("X-A", "\0"),
    ] {
        assert!(
            matches!(
                with(name, value),
                ListenerError::Header(HeaderError::Invalid(_))
            ),
            "{name:?} {value:?}"
        );
    }
}

#[test]
fn a_missing_secret_is_403_and_captured() {
    let listener = listener_set_up("202,200", |setup| {
        setup.require_secret = vec![("token".to_owned(), Secret::new("s3 cret"))];
    });
    let mut client = Client::connect(&listener);
    for (target, status, ok) in [
        ("/hook?token=wrong", 403, false),
        ("/hook", 403, false),
        ("/hook?token=s3+cret&token=other", 403, false),
        ("/hook?a=1&token=s3%20cret", 202, true),
        ("/hook?token=s3+cret", 200, true),
    ] {
        client.send(format!(
            "POST {target} HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
        ));
        let response = client.response();
        assert_eq!(response.status, status, "{target}");
        let capture = captured(&listener);
        assert_eq!(
            (capture.secret_ok, capture.response_status),
            (Some(ok), Some(status)),
            "{target}"
        );
        assert_eq!(
            (capture.body.as_slice(), capture.malformed),
            (&b"abc"[..], false)
        );
    }
    let none = super::listener("200");
    Client::sending(&none, "GET /?token=x HTTP/1.1\r\n\r\n").response();
    assert_eq!(captured(&none).secret_ok, None);
}

#[test]
fn a_large_response_is_complete_and_the_connection_reusable() {
    let size = 8 << 20;
    let listener = listener_set_up("200", |setup| setup.response_body = Some(vec![b'x'; size]));
    let mut client = Client::connect(&listener);
    for number in 0..3 {
        client.send(format!(
            "POST /{number} HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"
        ));
        assert_eq!(client.response().body.len(), size);
        let capture = captured(&listener);
        assert_eq!(
            (capture.target, capture.body),
            (format!("/{number}"), b"ab".to_vec())
        );
    }
    client.send("HEAD /head HTTP/1.1\r\n\r\nGET /after HTTP/1.1\r\n\r\n");
    assert_eq!(
        [captured(&listener).target, captured(&listener).target],
        ["/head", "/after"]
    );
}

/// Stores nothing while `broken`, and reports changed responses.
#[derive(Default)]
struct Fickle {
    broken: Mutex<bool>,
    kept: Mutex<i64>,
    amended: Mutex<Option<mpsc::Sender<(i64, capture::CapturedResponse)>>>,
}

impl CaptureStore for Fickle {
    fn store(&self, capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>) {
        if *self.broken.lock().unwrap() {
            let error = JournalError::Unusable {
                path: "journal.db".into(),
                problem: "is locked".to_owned(),
            };
            return done(Err(Arc::new(error)));
        }
        let mut kept = self.kept.lock().unwrap();
        *kept += 1;
        done(Ok(Arc::new(StoredCapture::new(
            *kept, "inbox", None, capture, body,
        ))));
    }

    fn set_response(&self, id: i64, response: capture::CapturedResponse, done: StoreReply<()>) {
        if let Some(amended) = &*self.amended.lock().unwrap() {
            amended.send((id, response)).unwrap();
        }
        done(Ok(()));
    }
}

#[test]
fn an_unread_response_is_recorded() {
    let (amends, amended) = mpsc::channel();
    let store = Arc::new(Fickle {
        amended: Mutex::new(Some(amends)),
        ..Fickle::default()
    });
    let listener = Listener::bind(Setup::new(
        ANY_PORT,
        "201@100ms,200".parse().unwrap(),
        store,
    ))
    .unwrap();
    Client::sending(&listener, "GET /gone HTTP/1.1\r\n\r\n").reset();
    let (id, response) = amended.recv_timeout(TIMEOUT).unwrap();
    assert_eq!((id, response.status), (1, None));
    assert_eq!(
        response.note.as_deref(),
        Some("the client closed the connection before it read the response 201")
    );
    assert_eq!(
        Client::sending(&listener, "GET /there HTTP/1.1\r\n\r\n")
            .response()
            .status,
        200
    );
    assert!(
        amended.try_recv().is_err(),
        "who was answered is not amended"
    );
}

#[test]
fn a_failed_write_is_503() {
    let store = Arc::new(Fickle::default());
    let setup = Setup::new(
        ANY_PORT,
        "200".parse().unwrap(),
        Arc::clone(&store) as Arc<dyn CaptureStore>,
    );
    let listener = Listener::bind(setup).unwrap();
    let ask = || {
        Client::sending(&listener, "GET / HTTP/1.1\r\n\r\n")
            .response()
            .status
    };

    assert_eq!(ask(), 200);
    *store.broken.lock().unwrap() = true;
    assert_eq!([ask(), ask()], [503, 503]);
    assert_eq!(
        Client::sending(&listener, "nonsense\r\n\r\n")
            .response()
            .status,
        503
    );
    *store.broken.lock().unwrap() = false;
    assert_eq!(ask(), 200);
}
