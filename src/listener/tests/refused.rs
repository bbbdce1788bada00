//! What the listener refuses: it is answered where possible, and kept.

use super::*;

fn body_limited(body_bytes: usize) -> TestListener {
    listener_with(
        "200",
        ListenerLimits {
            body_bytes,
            ..ListenerLimits::default()
        },
    )
}

fn hasty() -> ListenerLimits {
    ListenerLimits {
        head_deadline: Duration::from_millis(50),
        body_deadline: Duration::from_millis(50),
        ..ListenerLimits::default()
    }
}

/// Sends `bytes`, expects `status` and then the end, and gives the one capture.
fn refused(bytes: &[u8], status: u16) -> Seen {
    let listener = listener("200");
    let mut client = Client::sending(&listener, bytes);
    assert_eq!(client.response().status, status);
    let capture = listener.try_captured().unwrap();
    assert_eq!(client.until_closed().unwrap(), b"");
    assert!(capture.malformed);
    assert_eq!(capture.response_status, Some(status));
    assert!(capture.note.is_some(), "it says why");
    assert!(listener.try_captured().is_err(), "one capture only");
    capture
}

#[test]
fn invalid_lengths_and_codings_are_400() {
    for header in [
        "Content-Length: five",
        "Content-Length: -1",
        "Content-Length: 1\r\nContent-Length: 2",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
    ] {
        let request = format!("POST /bad HTTP/1.1\r\nX-Own: 1\r\n{header}\r\n\r\nhello");
        let capture = refused(request.as_bytes(), 400);
        assert_eq!(String::from_utf8_lossy(&capture.head), request);
        assert_eq!(
            (capture.method.as_str(), capture.target.as_str()),
            ("POST", "/bad")
        );
        assert!(capture.body.is_empty());
    }
}

#[test]
fn a_length_beside_a_coding_is_400() {
    let head = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    let capture = refused(format!("{head}1\r\nx\r\n0\r\n\r\n").as_bytes(), 400);
    assert_eq!(capture.head, head.as_bytes());
    assert_eq!(capture.headers.len(), 2);
    assert_eq!(
        (capture.body.as_slice(), capture.wire.as_deref()),
        (&b"x"[..], Some(&b"1\r\nx\r\n0\r\n\r\n"[..]))
    );
}

#[test]
fn invalid_chunks_are_400_and_captured_as_sent() {
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let capture = refused(format!("{head}1\r\nx\r\nzz\r\n").as_bytes(), 400);
    assert_eq!(capture.head, head.as_bytes());
    assert_eq!(capture.body, b"1\r\nx\r\nzz\r\n");
}

#[test]
fn other_protocols_are_captured() {
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\n\r\n\r";
    let capture = refused(hello, 400);
    assert_eq!(capture.head, hello);
    assert_eq!((capture.method.as_str(), capture.headers.len()), ("", 0));
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    assert_eq!(refused(http2, 400).head, http2);
}

#[test]
fn long_heads_and_too_many_headers_are_431() {
    let mut giant = b"GET / HTTP/1.1\r\nX-Giant: ".to_vec();
    giant.resize(8 << 20, b'x');
    let capture = refused(&giant, 431);
    let kept = capture.head.len();
    assert!(giant.starts_with(&capture.head), "{kept} bytes");
    assert!(
        (64 << 10..(64 << 10) + (1 << 20)).contains(&kept),
        "{kept} bytes"
    );
    assert_eq!(
        capture.note.as_deref(),
        Some("the head is longer than 64 KiB")
    );
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101));
    let capture = refused(many.as_bytes(), 431);
    assert_eq!(
        (capture.head.as_slice(), capture.headers.len()),
        (many.as_bytes(), 101)
    );
    assert_eq!(
        capture.note.as_deref(),
        Some("the head has more than 100 headers")
    );
}

#[test]
fn a_head_with_too_many_headers_is_captured_completely() {
    for most in [3, 300] {
        let listener = listener_with(
            "200",
            ListenerLimits {
                headers: most,
                ..ListenerLimits::default()
            },
        );
        let head = |headers: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(headers));
        assert_eq!(
            Client::sending(&listener, head(most)).response().status,
            200
        );
        assert_eq!(captured(&listener).headers.len(), most);
        // As it comes in two pieces, hyper has refused it before the second is read.
        let whole = head(900);
        let (first, second) = whole.split_at(whole.len() - 100);
        let mut client = Client::sending(&listener, first);
        client.send(second);
        assert_eq!(client.response().status, 431);
        let capture = captured(&listener);
        assert_eq!(
            (capture.head.as_slice(), capture.headers.len()),
            (whole.as_bytes(), 900)
        );
    }
}

#[test]
fn too_many_headers_are_refused_before_the_head_ends() {
    let listener = listener("200");
    let mut client = Client::sending(
        &listener,
        format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(101)),
    );
    assert_eq!(client.response().status, 431);
    assert!(captured(&listener).malformed);
}

#[test]
fn malformed_captures_have_a_reason() {
    for (sent, status, why) in [
        (&b"GET /a<b> HTTP/1.1\r\n\r\n"[..], 400, "contains `<`"),
        (
            b"GET /caf\xe9 HTTP/1.1\r\n\r\n",
            400,
            "must be percent-encoded",
        ),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400, "has no name"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "both a Content-Length",
        ),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
            "chunked body is invalid",
        ),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
            413,
            "longer than 1 MiB",
        ),
    ] {
        let capture = refused(sent, status);
        let note = capture.note.unwrap();
        assert!(note.contains(why), "{why}: {note}");
    }
    let listener = listener_with("200", hasty());
    for (sent, closes, why) in [
        (&b"GET / HT"[..], true, "before the head was complete"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab",
            true,
            "before the body was complete",
        ),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            true,
            "before the body was complete",
        ),
        (b"GET / HT", false, "the head was not complete after 50ms"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab",
            false,
            "the body was not complete after 50ms",
        ),
    ] {
        let client = Client::sending(&listener, sent);
        if closes {
            client.half_close();
        }
        let note = captured(&listener).note.unwrap();
        assert!(note.contains(why), "{why}: {note}");
    }
}

#[test]
fn a_declared_length_over_the_limit_is_413_at_once() {
    let listener = listener("200");
    for expect in ["", "Expect: 100-continue\r\n"] {
        let head = format!("POST / HTTP/1.1\r\n{expect}Content-Length: 5000000\r\n\r\n");
        let mut client = Client::sending(&listener, format!("{head}what came"));
        let response = client.response();
        assert_eq!(
            (response.status, response.body.as_str()),
            (413, "Payload Too Large\n")
        );
        let capture = captured(&listener);
        assert_eq!(
            (capture.head.as_slice(), capture.body.as_slice()),
            (head.as_bytes(), &b"what came"[..])
        );
        assert!(capture.malformed);
    }
}

#[test]
fn a_body_over_the_limit_is_413_and_truncated() {
    let listener = listener("200");
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = Client::sending(&listener, format!("{head}{:x}\r\n", 5 << 20));
    client.send(vec![b'x'; 5 << 20]);
    let response = client.response();
    assert_eq!(
        (response.status, response.body.as_str()),
        (413, "Payload Too Large\n")
    );
    let capture = captured(&listener);
    assert_eq!(capture.head, head.as_bytes());
    assert_eq!(capture.body.len(), 1 << 20);
    assert!(capture.malformed);
    assert_eq!(client.until_closed().unwrap(), b"");
    assert!(listener.try_captured().is_err());
}

#[test]
fn the_body_limit_counts_decoded_bytes() {
    let listener = body_limited(3);
    for (chunks, status, malformed) in [
        ("3\r\nabc\r\n", 200, false),
        ("2\r\nab\r\n2\r\ncd\r\n", 413, true),
    ] {
        let mut client = Client::sending(
            &listener,
            format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
        );
        assert_eq!(client.response().status, status);
        let capture = captured(&listener);
        assert_eq!(
            (capture.body.as_slice(), capture.malformed),
            (&b"abc"[..], malformed),
            "{chunks}"
        )
    }
}

#[test]
fn a_valid_request_before_an_invalid_one_gets_its_response() {
    let listener = listener("200");
    let mut client = Client::sending(&listener, "GET /good HTTP/1.1\r\n\r\nGET /bad\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 400);
    let (good, bad) = (captured(&listener), captured(&listener));
    assert_eq!((good.target.as_str(), good.malformed), ("/good", false));
    assert_eq!(
        (bad.head.as_slice(), bad.malformed),
        (&b"GET /bad\r\n\r\n"[..], true)
    );
}

#[test]
fn an_incomplete_request_is_400_and_captured() {
    let listener = listener("200");
    for (sent, body) in [
        ("GET / HTTP/1.1\r\nHo", ""),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc", "abc"),
    ] {
        let mut client = Client::sending(&listener, sent);
        client.half_close();
        assert_eq!(client.response().status, 400);
        let capture = captured(&listener);
        assert_eq!(
            [capture.head, capture.body.clone()].concat(),
            sent.as_bytes()
        );
        assert_eq!((capture.body, capture.malformed), (body.into(), true));
    }
}

#[test]
fn a_partial_request_is_captured_when_the_client_closes() {
    let listener = listener("200");
    drop(Client::sending(&listener, "GET /gone HTTP/1.1\r\n"));
    let capture = captured(&listener);
    assert_eq!(
        (capture.head.as_slice(), capture.malformed),
        (&b"GET /gone HTTP/1.1\r\n"[..], true)
    );
}

#[test]
fn bytes_after_the_last_request_are_captured() {
    let listener = listener("200");
    let mut client = Client::sending(
        &listener,
        "GET /1 HTTP/1.1\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
    );
    assert_eq!(client.response().status, 200);
    assert!(!captured(&listener).malformed);
    let after = captured(&listener);
    assert_eq!(after.target, "/2");
    assert_eq!((after.malformed, after.response_status), (true, None));
}

#[test]
fn slow_heads_and_bodies_are_408() {
    let listener = listener_with("200", hasty());
    for sent in [
        "GET / HTTP/1.1\r\nA: b\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
    ] {
        let mut client = Client::sending(&listener, sent);
        assert_eq!(client.response().status, 408);
        let capture = captured(&listener);
        assert_eq!([capture.head, capture.body].concat(), sent.as_bytes());
        assert_eq!(
            (capture.malformed, capture.response_status),
            (true, Some(408))
        );
    }
    // Silence is not a request.
    assert_eq!(Client::connect(&listener).until_closed().unwrap(), b"");
    assert_eq!(
        Client::sending(&listener, "\r\n").until_closed().unwrap(),
        b""
    );
    assert!(listener.try_captured().is_err());
}

#[test]
fn refusals_use_no_step_of_the_script() {
    let listener = listener("503,200");
    Client::sending(&listener, "nonsense\r\n\r\n").response();
    assert_eq!(
        Client::sending(&listener, "GET / HTTP/1.1\r\n\r\n")
            .response()
            .status,
        503
    );
}
