//! The raw head of a request: method, target and headers in their own case, order and number.
//!
//! Nothing is refused here: of an unreadable head it returns what can be read.

use std::fmt;
use std::ops::{Deref, Range};

/// The listener's limit unless configured otherwise. It is hyper's own default, for which hyper does not allocate.
pub const DEFAULT_MAX_HEADERS: usize = 100;

/// Bounds the memory that parsed headers take.
pub const MAX_HEADERS: usize = 1_000;

/// The bytes of a head, and where method and target are. Headers are parsed on demand.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Head {
    bytes: Vec<u8>,
    method: Range<usize>,
    target: Range<usize>,
}

impl Head {
    pub fn read(bytes: Vec<u8>) -> Head {
        // Without space for headers, only the request line is read.
        let mut request = httparse::Request::new(&mut []);
        let _ = request.parse(&bytes);
        let place = |text: Option<&str>| {
            let text = text.unwrap_or_default();
            let start = text.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
            if text.is_empty() {
                0..0
            } else {
                start..start + text.len()
            }
        };
        let (method, target) = (place(request.method), place(request.path));
        Head {
            bytes,
            method,
            target,
        }
    }

    /// The method of the request line, as sent; empty if the request line cannot be parsed.
    pub fn method(&self) -> &str {
        self.text(&self.method)
    }

    /// The raw request target, such as `/hook?a=1`; empty if unreadable.
    pub fn target(&self) -> &str {
        self.text(&self.target)
    }

    /// In order, repeats kept; values without surrounding white space. Empty if unreadable.
    pub fn headers(&self) -> Vec<(&str, &[u8])> {
        match self.headers_in(&mut [httparse::EMPTY_HEADER; DEFAULT_MAX_HEADERS]) {
            Err(httparse::Error::TooManyHeaders) => {
                // There is a line for each.
                let lines = self.bytes.iter().filter(|&&byte| byte == b'\n').count();
                self.headers_in(&mut vec![httparse::EMPTY_HEADER; lines.min(MAX_HEADERS)])
                    .unwrap_or_default()
            }
            headers => headers.unwrap_or_default(),
        }
    }

    fn headers_in<'a>(
        &'a self,
        space: &mut [httparse::Header<'a>],
    ) -> Result<Vec<(&'a str, &'a [u8])>, httparse::Error> {
        let mut request = httparse::Request::new(space);
        // For an incomplete or refused head, httparse does not say which headers it has set.
        let whole = request.parse(&self.bytes)?.is_complete();
        Ok(if whole {
            request.headers.iter().map(|h| (h.name, h.value)).collect()
        } else {
            Vec::new()
        })
    }

    fn text(&self, place: &Range<usize>) -> &str {
        self.bytes
            .get(place.clone())
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The size only, as for a [`super::Capture`].
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({} bytes)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_order_repeats_and_bytes_are_kept() {
        let head = Head::read(
            b"\r\npOsT /a?b HTTP/1.1\r\nX-B: 1\r\nx-a:  caf\xe9 \r\nX-b: 2\r\n\r\n".to_vec(),
        );
        assert_eq!((head.method(), head.target()), ("pOsT", "/a?b"));
        assert_eq!(
            head.headers(),
            [("X-B", &b"1"[..]), ("x-a", b"caf\xe9"), ("X-b", b"2")]
        );
    }

    #[test]
    fn headers_are_read_up_to_the_limit() {
        for (headers, read) in [
            (100, 100),
            (101, 101),
            (MAX_HEADERS, MAX_HEADERS),
            (MAX_HEADERS + 1, 0),
        ] {
            let head = format!("GET /x HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(headers));
            let head = Head::read(head.into_bytes());
            assert_eq!((head.target(), head.headers().len()), ("/x", read));
        }
    }

    #[test]
    fn unreadable_parts_are_empty() {
        let hello = Head::read(b"\x16\x03\x01\x02".to_vec());
        assert_eq!(
            (hello.method(), hello.target(), hello.headers()),
            ("", "", vec![])
        );
        let broken = Head::read(b"PUT /x HTTP/1.1\r\nA: b\r\nbad header\r\n\r\n".to_vec());
        assert_eq!((broken.method(), broken.target()), ("PUT", "/x"));
        assert!(broken.headers().is_empty());
        let half = Head::read(b"PUT /x".to_vec());
        assert_eq!((half.method(), half.target()), ("PUT", ""));
    }
}
