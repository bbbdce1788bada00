//! Sending on what was caught: method, URL, headers and body as they came.
//!
//! Deliberately adds nothing of hookfire's own. What the client underneath cannot leave alone: header names go out in
//! lower case with repeats beside each other, a request without `Accept` gets `Accept: */*`, and all of it is HTTP/1.1
//! with a `Host` and a `Content-Length` made for it. HTTP gives none of that a meaning.

use std::time::Instant;

use reqwest::blocking::Request as WireRequest;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::{BodyEnd, Collected, Sender};
use crate::http::transport::{ANSWER_BODY_KEPT, Exchange, Exchanged, Relay, Verbatim};
use crate::secret::safe_url::as_written;

impl Relay for Sender {
    fn exchange(&self, request: &Verbatim) -> Exchange {
        let begun = Instant::now();
        // One byte more, or a body of exactly so many could not be told from a longer one.
        let room = request.room.clone();
        let answered = self.exchange(
            wire_request(request),
            &request.redactor,
            ANSWER_BODY_KEPT + 1,
            room,
        );
        Exchange {
            duration: begun.elapsed(),
            result: answered.map(as_it_came),
        }
    }
}

fn as_it_came(answer: Collected) -> Exchanged {
    let Collected {
        received: answer,
        end,
    } = answer;
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    let mut body = answer.body;
    let long = body.len() > ANSWER_BODY_KEPT;
    body.truncate(ANSWER_BODY_KEPT);
    let cut = match end {
        BodyEnd::Broken(words) => Some(words),
        _ if long => Some(format!(
            "is longer than {} MiB",
            ANSWER_BODY_KEPT / 1024 / 1024
        )),
        BodyEnd::Whole | BodyEnd::Kept => None,
    };
    Exchanged {
        status: answer.status,
        headers,
        body,
        cut,
    }
}

fn wire_request(request: &Verbatim) -> Result<WireRequest, String> {
    let url = request.url.expose();
    let url = match as_written(url) {
        Some(url) => url,
        None => Url::parse(url).map_err(|e| format!("the URL cannot be sent to: {e}"))?,
    };
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| format!("`{}` cannot be sent as a method", request.method))?;
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for (name, value) in &request.headers {
        let unsendable = |_| format!("`{name}` cannot be sent as a header");
        let mut value = HeaderValue::from_bytes(value).map_err(|_| unsendable(()))?;
        value.set_sensitive(true);
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable(()))?,
            value,
        );
    }
    let mut wire = WireRequest::new(method, url);
    *wire.headers_mut() = headers;
    *wire.body_mut() = request.body.clone().map(Into::into);
    Ok(wire)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::delivery::ErrorKind;
    use crate::http::TransportOptions;
    use crate::http::transport::Room;
    use crate::secret::safe_url::BaseUrl;
    use crate::secret::{Redactor, Secret};

    fn request(url: &str) -> Verbatim {
        Verbatim {
            method: "GET".to_owned(),
            url: Secret::new(url),
            headers: Vec::new(),
            body: None,
            redactor: Redactor::default(),
            room: None,
        }
    }

    fn send(request: &Verbatim) -> Exchange {
        let options = TransportOptions {
            timeout: Duration::from_secs(10),
            ..TransportOptions::default()
        };
        let (base, _) = BaseUrl::parse(request.url.expose()).unwrap();
        Relay::exchange(
            &Sender::new(&options, &base, 0, Arc::default()).unwrap(),
            request,
        )
    }

    /// Answers one request, and gives what came until nothing more did.
    fn serve(answer: Vec<u8>) -> (String, std::thread::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut came, mut piece) = (Vec::new(), [0; 4096]);
            while !came.ends_with(b"END") && !came.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut piece).unwrap();
                assert!(
                    read > 0,
                    "the request breaks off: {:?}",
                    String::from_utf8_lossy(&came)
                );
                came.extend_from_slice(&piece[..read]);
            }
            // A client that has enough hangs up.
            let _ = stream.write_all(&answer);
            came
        });
        (url, served)
    }

    #[test]
    fn it_goes_out_as_it_came_and_so_does_the_answer() {
        let answer = b"HTTP/1.1 418 Short\r\nX-A: 1\r\nX-B: caf\xe9\r\nx-a: 2\r\nContent-Length: 3\r\n\r\n\x00\xffx";
        let (url, served) = serve(answer.to_vec());
        let exchange = send(&Verbatim {
            method: "pUt".to_owned(),
            headers: [
                ("X-Z", &b"caf\xe9"[..]),
                ("accept", b"a/b"),
                ("x-z", b"2"),
                ("Empty", b""),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .to_vec(),
            body: Some(b"\x00\xff END".to_vec()),
            ..request(&format!("{url}/a%2fb//c?x=%41&&y"))
        });
        let came = served.join().unwrap();
        let host = url.strip_prefix("http://").unwrap();
        let expected = [
            b"pUt /a%2fb//c?x=%41&&y HTTP/1.1\r\nx-z: caf\xe9\r\nx-z: 2\r\naccept: a/b\r\nempty: \r\ncontent-length: 6\r\nhost: ",
            host.as_bytes(),
            b"\r\n\r\n\x00\xff END",
        ]
        .concat();
        assert_eq!(
            came.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
        let answer = exchange.result.map_err(|none| none.error.message).unwrap();
        assert_eq!(
            (answer.status, &answer.body[..], answer.cut),
            (418, &b"\x00\xffx"[..], None)
        );
        let headers: Vec<(&str, &[u8])> = answer
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), &value[..]))
            .collect();
        assert_eq!(
            headers,
            [
                ("x-a", &b"1"[..]),
                ("x-a", b"2"),
                ("x-b", b"caf\xe9"),
                ("content-length", b"3")
            ]
        );
    }

    #[test]
    fn nothing_of_our_own_is_added_but_what_the_client_must() {
        let (url, served) = serve(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
        assert!(send(&request(&url)).result.is_ok());
        let host = url.strip_prefix("http://").unwrap();
        let came = String::from_utf8(served.join().unwrap()).unwrap();
        assert_eq!(
            came,
            format!("GET / HTTP/1.1\r\naccept: */*\r\nhost: {host}\r\n\r\n")
        );
    }

    #[test]
    fn a_target_is_not_respelled_on_the_way() {
        for target in [
            "/a%2Fb/../c",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a\\b",
            "/a\"b",
            "/a{b}",
            "//b?",
            "/?q={'x':1}",
            "/caf\u{e9}?q=\u{20ac}",
        ] {
            let (url, served) = serve(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
            assert!(
                send(&request(&format!("{url}{target}"))).result.is_ok(),
                "{target}"
            );
            let came = String::from_utf8(served.join().unwrap()).unwrap();
            assert_eq!(
                came.lines().next(),
                Some(format!("GET {target} HTTP/1.1").as_str())
            );
        }
    }

    #[test]
    fn a_body_that_is_not_whole_is_said_to_be_cut() {
        let whole = vec![b'x'; ANSWER_BODY_KEPT];
        let head = |length: usize| {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes()
        };
        for (answer, cut) in [
            ([head(whole.len()), whole.clone()].concat(), None),
            (
                [head(whole.len() + 1), whole, b"x".to_vec()].concat(),
                Some("is longer than 16 MiB"),
            ),
            (
                [head(5), b"abc".to_vec()].concat(),
                Some("was cut short: the connection broke before its end"),
            ),
        ] {
            let (url, served) = serve(answer);
            let answer = send(&request(&url))
                .result
                .map_err(|none| none.error.message)
                .unwrap();
            assert_eq!(answer.cut.as_deref(), cut);
            assert!(answer.body.len() <= ANSWER_BODY_KEPT);
            served.join().unwrap();
        }
    }

    struct Narrow;

    impl Room for Narrow {
        fn grow(&self, length: usize) -> Result<(), String> {
            if length > 10 {
                Err("is too long for this".to_owned())
            } else {
                Ok(())
            }
        }
    }

    #[test]
    fn a_body_is_read_as_far_as_it_finds_room() {
        for (length, cut) in [(10, None), (11, Some("is too long for this"))] {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
            let (url, served) = serve([head, vec![b'x'; length]].concat());
            let answer = send(&Verbatim {
                room: Some(Arc::new(Narrow)),
                ..request(&url)
            })
            .result;
            let answer = answer.map_err(|none| none.error.message).unwrap();
            assert_eq!(answer.cut.as_deref(), cut);
            assert!(answer.body.len() <= 10);
            served.join().unwrap();
        }
    }

    #[test]
    fn what_does_not_arrive_has_a_kind_as_a_delivery_has() {
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let none = send(&request(&format!("http://{closed}")))
            .result
            .err()
            .unwrap();
        assert_eq!(
            (none.error.kind, none.maybe_received),
            (ErrorKind::Connect, false)
        );
        let (url, _served) = serve(b"no HTTP at all\r\n\r\n".to_vec());
        assert_eq!(
            send(&request(&url)).result.err().unwrap().error.kind,
            ErrorKind::Protocol
        );
        let none = send(&Verbatim {
            method: "A B".to_owned(),
            ..request("http://127.0.0.1:1")
        })
        .result
        .err()
        .unwrap();
        assert_eq!(
            (none.error.message.as_str(), none.maybe_received),
            ("`A B` cannot be sent as a method", false)
        );
    }
}
