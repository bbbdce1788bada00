//! A request's raw head: method, target and headers in their own case, order and number.
//!
//! Deliberately refuses nothing: whether the head is good HTTP was for the catcher to say. Of a head that cannot be read
//! it gives what could be.
//!
//! Invariant: every text and byte string it gives stands in the head, in that order.

use std::fmt;
use std::ops::{Deref, Range};

/// How many headers the catcher takes of a head unless it is told otherwise. It is hyper's own number, which hyper holds room
/// for without asking the system: with 256, a request cost a third more.
pub const USUAL_HEADERS: usize = 100;

/// The most headers that are read of a head. Each takes more memory than its bytes, and lists hold many heads.
pub const MOST_HEADERS: usize = 1_000;

/// The bytes of a head, and where in them it says what. Headers are looked for when somebody asks for them: most requests
/// come and go without that.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Head {
    bytes: Vec<u8>,
    method: Range<usize>,
    target: Range<usize>,
}

impl Head {
    /// The head that `bytes` begin with.
    pub fn read(bytes: Vec<u8>) -> Head {
        // Without room for headers nothing is read after the request line.
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

    /// Such as `POST`. Empty when the bytes cannot be read as HTTP that far.
    pub fn method(&self) -> &str {
        self.text(&self.method)
    }

    /// The raw request target, such as `/hook?a=1`. Empty when the bytes cannot be read that far.
    pub fn target(&self) -> &str {
        self.text(&self.target)
    }

    /// Names in their own case, values' bytes without the white space around them, in order, repeats kept. Empty when
    /// unreadable.
    pub fn headers(&self) -> Vec<(&str, &[u8])> {
        match self.headers_in(&mut [httparse::EMPTY_HEADER; USUAL_HEADERS]) {
            Err(httparse::Error::TooManyHeaders) => {
                // As many as there can be: there is a line for each.
                let lines = self.bytes.iter().filter(|&&byte| byte == b'\n').count();
                self.headers_in(&mut vec![httparse::EMPTY_HEADER; lines.min(MOST_HEADERS)])
                    .unwrap_or_default()
            }
            headers => headers.unwrap_or_default(),
        }
    }

    fn headers_in<'a>(
        &'a self,
        room: &mut [httparse::Header<'a>],
    ) -> Result<Vec<(&'a str, &'a [u8])>, httparse::Error> {
        let mut request = httparse::Request::new(room);
        // Of a head that breaks off or is refused, httparse does not say which headers it has filled in.
        let whole = request.parse(&self.bytes)?.is_complete();
        Ok(if whole {
            request.headers.iter().map(|h| (h.name, h.value)).collect()
        } else {
            Vec::new()
        })
    }

    fn text(&self, place: &Range<usize>) -> &str {
        // It was read as text.
        self.bytes
            .get(place.clone())
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

/// The bytes.
impl Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Sizes only, as of a [`super::Capture`].
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
    fn many_headers_are_read_as_far_as_there_may_be() {
        for (headers, read) in [
            (100, 100),
            (101, 101),
            (MOST_HEADERS, MOST_HEADERS),
            (MOST_HEADERS + 1, 0),
        ] {
            let head = format!("GET /x HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(headers));
            let head = Head::read(head.into_bytes());
            assert_eq!((head.target(), head.headers().len()), ("/x", read));
        }
    }

    #[test]
    fn what_cannot_be_read_is_empty() {
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
