//! Fuzzes heads of requests, byte by byte: each is partial until it is complete.

use super::framing::{HeadProgress, head_progress};
use crate::capture::{DEFAULT_MAX_HEADERS, Head};
use crate::fuzz::fuzz;

const SEEDS: &[&[u8]] = &[
    b"POST /hook?token=a%20b HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/xml\r\nContent-Length: 12\r\n\r\n",
    b"PUT / HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: gzip, chunked\r\nExpect: 100-continue\r\n\r\n",
    b"\r\nGET /?a=1&a=2 HTTP/1.0\nA: caf\xe9\nb:\t c \n\n",
    b"POST /_hookfire/x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
];

const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    ":",
    " ",
    "\t",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "GET ",
    "Content-Length: ",
    "Transfer-Encoding: chunked",
    "chunked",
    ",",
    "identity",
    "+1",
    "-1",
    "0x10",
    "18446744073709551616",
    "99999999999",
    "\0",
    "\u{7f}",
    "é",
    "Host: ",
    "?inspect",
    "http://h:1/",
    "*",
    "%00",
    "A: b\r\n",
];

#[test]
fn fuzzed_request_heads() {
    fuzz(SEEDS, WORDS, |input| {
        let mut ended = None;
        for end in 1..=input.len() {
            match (head_progress(&input[..end], DEFAULT_MAX_HEADERS), ended) {
                (HeadProgress::Partial, None) => {}
                (HeadProgress::Partial, Some(at)) => {
                    panic!("complete at {at}, partial at {end}")
                }
                (HeadProgress::Complete(_), None) => {
                    assert!(input[..end].ends_with(b"\n"), "a head ends with its line");
                    assert!(
                        !Head::read(input[..end].to_vec()).method().is_empty(),
                        "a complete head has a method"
                    );
                    ended = Some(end);
                }
                (HeadProgress::Complete(_), Some(at)) => {
                    panic!("complete at {at} and again at {end}")
                }
                (HeadProgress::Invalid, _) => ended = Some(end),
            }
        }
        let _ = Head::read(input.to_vec()).headers();
    });
}
