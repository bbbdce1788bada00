//! Reads a recorded head while it comes: whether it is whole, and what it announces.
//!
//! Deliberately refuses nothing: whether the head is good HTTP is hyper's verdict.

use super::framing::{self, Announced};
use crate::capture::MAX_HEADERS;

/// How the head at the start of `bytes` stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The empty line at its end has not come.
    Unfinished,
    /// It is whole, and announces this.
    Whole(Announced),
    /// It cannot be followed: hyper will refuse it.
    Unreadable,
}

/// Whether the head that `bytes` ends with is whole.
pub(super) fn standing(bytes: &[u8]) -> Standing {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => Standing::Unfinished,
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {
            framing::announced(&request).map_or(Standing::Unreadable, Standing::Whole)
        }
        _ => Standing::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::super::framing::BodyKind;
    use super::*;

    #[test]
    fn standing_of_heads() {
        assert_eq!(standing(b"\r\n\r\n"), Standing::Unfinished);
        assert_eq!(standing(b"GET / HTTP/1.1\r\nA: b\r\n"), Standing::Unfinished);
        assert_eq!(standing(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"), Standing::Unreadable);
        assert_eq!(
            standing(b"\r\nGET / HTTP/1.1\n\n"),
            Standing::Whole(Announced { body: BodyKind::Length(0), conflicting: false })
        );
    }
}
