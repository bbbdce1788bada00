//! A request's raw head: method, target and headers in their own case, order and number.
//!
//! Deliberately refuses nothing: whether the head is good HTTP was for the catcher to say. Of a head that cannot be read
//! it gives what could be.
//!
//! Invariant: every text and byte string it gives stands in the head, in that order.

use std::fmt;
use std::ops::{Deref, Range};

/// How many headers are read of a head: as many as the catcher takes, above which it answers 431. It is hyper's own number,
/// which hyper holds room for without asking the system: with 256, a request cost a third more.
pub const MAX_HEADERS: usize = 100;

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
            if text.is_empty() { 0..0 } else { start..start + text.len() }
        };
        let (method, target) = (place(request.method), place(request.path));
        Head { bytes, method, target }
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
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        // Of a head that breaks off or is refused, httparse does not say which headers it has filled in.
        match request.parse(&self.bytes) {
            Ok(httparse::Status::Complete(_)) => request.headers.iter().map(|h| (h.name, h.value)).collect(),
            _ => Vec::new(),
        }
    }

    fn text(&self, place: &Range<usize>) -> &str {
        // It was read as text.
        self.bytes.get(place.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
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
        let head = Head::read(b"\r\npOsT /a?b HTTP/1.1\r\nX-B: 1\r\nx-a:  caf\xe9 \r\nX-b: 2\r\n\r\n".to_vec());
        assert_eq!((head.method(), head.target()), ("pOsT", "/a?b"));
        assert_eq!(head.headers(), [("X-B", &b"1"[..]), ("x-a", b"caf\xe9"), ("X-b", b"2")]);
    }

    #[test]
    fn what_cannot_be_read_is_empty() {
        let hello = Head::read(b"\x16\x03\x01\x02".to_vec());
        assert_eq!((hello.method(), hello.target(), hello.headers()), ("", "", vec![]));
        let broken = Head::read(b"PUT /x HTTP/1.1\r\nA: b\r\nbad header\r\n\r\n".to_vec());
        assert_eq!((broken.method(), broken.target()), ("PUT", "/x"));
        assert!(broken.headers().is_empty());
        let half = Head::read(b"PUT /x".to_vec());
        assert_eq!((half.method(), half.target()), ("PUT", ""));
    }
}
