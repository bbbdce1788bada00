//! Reads a recorded head while it comes: whether it is whole, and what it announces.
//!
//! Deliberately refuses nothing: whether the head is good HTTP is hyper's verdict.

use std::borrow::Cow;

use super::framing::{self, Announced};
use crate::capture::DEFAULT_MAX_HEADERS;

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

/// Whether the head that `bytes` ends with is whole, where one may have as many as `most` headers.
pub(super) fn standing(bytes: &[u8], most: usize) -> Standing {
    let mut usual = [httparse::EMPTY_HEADER; DEFAULT_MAX_HEADERS];
    match usual.get_mut(..most) {
        Some(room) => standing_in(bytes, room),
        None => standing_in(bytes, &mut vec![httparse::EMPTY_HEADER; most]),
    }
}

/// The target in the first line of a head that cannot be read; what is no text is replaced.
pub(super) fn unread_target(bytes: &[u8]) -> Cow<'_, str> {
    let line = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(line.split(|&byte| byte == b' ').nth(1).unwrap_or_default())
}

fn standing_in<'a>(bytes: &'a [u8], room: &mut [httparse::Header<'a>]) -> Standing {
    let mut request = httparse::Request::new(room);
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

    fn standing(bytes: &[u8]) -> Standing {
        super::standing(bytes, DEFAULT_MAX_HEADERS)
    }

    #[test]
    fn as_many_headers_as_there_may_be_are_read() {
        for most in [3, 300] {
            let head =
                |headers: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(headers));
            assert!(
                matches!(
                    super::standing(head(most).as_bytes(), most),
                    Standing::Whole(_)
                ),
                "{most}"
            );
            assert_eq!(
                super::standing(head(most + 1).as_bytes(), most),
                Standing::Unreadable,
                "{most}"
            );
        }
    }

    #[test]
    fn standing_of_heads() {
        assert_eq!(standing(b"\r\n\r\n"), Standing::Unfinished);
        assert_eq!(
            standing(b"GET / HTTP/1.1\r\nA: b\r\n"),
            Standing::Unfinished
        );
        assert_eq!(
            standing(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
            Standing::Unreadable
        );
        assert_eq!(
            standing(b"\r\nGET / HTTP/1.1\n\n"),
            Standing::Whole(Announced {
                body: BodyKind::Length(0),
                conflicting: false
            })
        );
    }
}
