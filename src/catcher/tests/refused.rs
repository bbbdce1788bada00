//! What the catcher refuses: it is answered where possible, and kept.

use super::*;

fn body_limited(body_bytes: usize) -> TestCatcher {
    catcher_with("200", Limits { body_bytes, ..Limits::default() })
}

fn hasty() -> Limits {
    Limits { head_deadline: Duration::from_millis(50), body_deadline: Duration::from_millis(50), ..Limits::default() }
}

/// Sends `bytes`, expects `status` and then the end, and gives the one capture.
fn refused(bytes: &[u8], status: u16) -> Seen {
    let catcher = catcher("200");
    let mut client = Client::sending(&catcher, bytes);
    assert_eq!(client.answer().status, status);
    let capture = catcher.try_caught().unwrap();
    assert_eq!(client.until_closed().unwrap(), b"");
    assert!(capture.malformed);
    assert_eq!(capture.answer_status, Some(status));
    assert!(catcher.try_caught().is_err(), "one capture only");
    capture
}

#[test]
fn bad_lengths_and_codings_are_400_with_all_their_bytes() {
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
        assert_eq!((capture.method.as_str(), capture.target.as_str()), ("POST", "/bad"));
        assert!(capture.body.is_empty());
    }
}

#[test]
fn a_length_beside_a_coding_is_400_and_both_are_shown() {
    let head = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    let capture = refused(format!("{head}1\r\nx\r\n0\r\n\r\n").as_bytes(), 400);
    assert_eq!(capture.head, head.as_bytes());
    assert_eq!(capture.headers.len(), 2);
    assert_eq!((capture.body.as_slice(), capture.wire.as_deref()), (&b"x"[..], Some(&b"1\r\nx\r\n0\r\n\r\n"[..])));
}

#[test]
fn broken_chunks_are_400_with_the_bytes_as_they_came() {
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let capture = refused(format!("{head}1\r\nx\r\nzz\r\n").as_bytes(), 400);
    assert_eq!(capture.head, head.as_bytes());
    assert_eq!(capture.body, b"1\r\nx\r\nzz\r\n");
}

#[test]
fn tls_and_other_protocols_are_kept() {
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\n\r\n\r";
    let capture = refused(hello, 400);
    assert_eq!(capture.head, hello);
    assert_eq!((capture.method.as_str(), capture.headers.len()), ("", 0));
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    assert_eq!(refused(http2, 400).head, http2);
}

#[test]
fn giant_heads_and_too_many_headers_are_431() {
    let mut giant = b"GET / HTTP/1.1\r\nX-Giant: ".to_vec();
    giant.resize(8 << 20, b'x');
    let capture = refused(&giant, 431);
    let kept = capture.head.len();
    assert!(giant.starts_with(&capture.head), "{kept} bytes");
    assert!((64 << 10..(64 << 10) + (1 << 20)).contains(&kept), "{kept} bytes");
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101));
    assert_eq!(refused(many.as_bytes(), 431).head, many.as_bytes());
}

#[test]
fn a_body_over_the_limit_is_413_and_kept_as_far_as_the_limit() {
    let catcher = catcher("200");
    let size = 5 << 20;
    let head = format!("POST / HTTP/1.1\r\nContent-Length: {size}\r\n\r\n");
    let mut client = Client::sending(&catcher, &head);
    client.send(vec![b'x'; size]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.body.as_str()), (413, "Payload Too Large\n"));
    let capture = caught(&catcher);
    assert_eq!(capture.head, head.as_bytes());
    assert_eq!(capture.body.len(), 1 << 20);
    assert!(capture.malformed);
    assert_eq!(client.until_closed().unwrap(), b"");
    assert!(catcher.try_caught().is_err());
}

#[test]
fn the_body_limit_is_exact_and_of_the_decoded_bytes() {
    let catcher = body_limited(3);
    for (chunks, status, malformed) in [("3\r\nabc\r\n", 200, false), ("2\r\nab\r\n2\r\ncd\r\n", 413, true)] {
        let mut client = Client::sending(
            &catcher,
            format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
        );
        assert_eq!(client.answer().status, status);
        let capture = caught(&catcher);
        assert_eq!((capture.body.as_slice(), capture.malformed), (&b"abc"[..], malformed), "{chunks}")
    }
}

#[test]
fn a_good_request_before_a_bad_one_is_answered_first() {
    let catcher = catcher("200");
    let mut client = Client::sending(&catcher, "GET /good HTTP/1.1\r\n\r\nGET /bad\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().status, 400);
    let (good, bad) = (caught(&catcher), caught(&catcher));
    assert_eq!((good.target.as_str(), good.malformed), ("/good", false));
    assert_eq!((bad.head.as_slice(), bad.malformed), (&b"GET /bad\r\n\r\n"[..], true));
}

#[test]
fn what_breaks_off_is_kept_and_answered_400() {
    let catcher = catcher("200");
    for (sent, body) in [("GET / HTTP/1.1\r\nHo", ""), ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc", "abc")] {
        let mut client = Client::sending(&catcher, sent);
        client.half_close();
        assert_eq!(client.answer().status, 400);
        let capture = caught(&catcher);
        assert_eq!([capture.head, capture.body.clone()].concat(), sent.as_bytes());
        assert_eq!((capture.body, capture.malformed), (body.into(), true));
    }
}

#[test]
fn a_vanished_client_leaves_its_bytes() {
    let catcher = catcher("200");
    drop(Client::sending(&catcher, "GET /gone HTTP/1.1\r\n"));
    let capture = caught(&catcher);
    assert_eq!((capture.head.as_slice(), capture.malformed), (&b"GET /gone HTTP/1.1\r\n"[..], true));
}

#[test]
fn bytes_after_a_last_request_are_kept() {
    let catcher = catcher("200");
    let mut client = Client::sending(&catcher, "GET /1 HTTP/1.1\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    assert!(!caught(&catcher).malformed);
    let after = caught(&catcher);
    assert_eq!(after.target, "/2");
    assert_eq!((after.malformed, after.answer_status), (true, None));
}

#[test]
fn slow_heads_and_bodies_are_408() {
    let catcher = catcher_with("200", hasty());
    for sent in ["GET / HTTP/1.1\r\nA: b\r\n", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc"] {
        let mut client = Client::sending(&catcher, sent);
        assert_eq!(client.answer().status, 408);
        let capture = caught(&catcher);
        assert_eq!([capture.head, capture.body].concat(), sent.as_bytes());
        assert_eq!((capture.malformed, capture.answer_status), (true, Some(408)));
    }
    // Who says nothing is no request.
    assert_eq!(Client::connect(&catcher).until_closed().unwrap(), b"");
    assert_eq!(Client::sending(&catcher, "\r\n").until_closed().unwrap(), b"");
    assert!(catcher.try_caught().is_err());
}

#[test]
fn refusals_use_no_step_of_the_script() {
    let catcher = catcher("503,200");
    Client::sending(&catcher, "nonsense\r\n\r\n").answer();
    assert_eq!(Client::sending(&catcher, "GET / HTTP/1.1\r\n\r\n").answer().status, 503);
}
