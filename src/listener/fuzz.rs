//! Fuzzes heads of requests, byte by byte: each is partial until it is complete.

use super::framing::parse_head;
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
        let mut complete = None;
        for end in 1..=input.len() {
            let parsed = parse_head(&input[..end], DEFAULT_MAX_HEADERS);
            if let Some((length, _)) = parsed {
                assert!(
                    input[..length].ends_with(b"\n"),
                    "a head ends with its line"
                );
                let method = Head::read(input[..length].to_vec()).method().to_owned();
                assert!(!method.is_empty(), "a complete head has a method");
            }
            if complete.is_some() {
                assert_eq!(parsed, complete, "a complete head stays the same");
            }
            complete = parsed;
        }
        let _ = Head::read(input.to_vec()).headers();
    });
}
