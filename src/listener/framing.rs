//! Where a message ends on the wire: how long a body its head announces, and where a chunked body stops.
//!
//! Deliberately judges nothing and decodes nothing: hyper decides what is good HTTP, and its verdict is what the client
//! gets. This only follows along, so that the recording knows which bytes belong to which request.
//!
//! Invariant: for every message hyper accepts, the end found here is the end hyper finds. On what hyper refuses the two
//! may differ, because the connection ends there.

/// How the body after a head is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// This many bytes, possibly none.
    Length(u64),
    /// Chunks, trailers, and an empty line.
    Chunked,
}

/// What a head says about the body after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Announced {
    pub body: BodyKind,
    /// Both a length and a transfer coding were given: the classic of request smuggling. hyper takes the coding and
    /// hides the length; the recording must not.
    pub conflicting: bool,
}

/// Reads what a parsed head announces, by hyper's rules and in hyper's order; `None` for what hyper refuses.
pub(super) fn announced(head: &httparse::Request<'_, '_>) -> Option<Announced> {
    let mut length = None;
    let mut has_length = false;
    let mut last_coding_is_chunked = None;
    for header in head.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if head.version != Some(1) {
                return None;
            }
            length = None;
            last_coding_is_chunked = Some(ends_in_chunked(header.value));
        } else if header.name.eq_ignore_ascii_case("content-length") {
            has_length = true;
            // Once a transfer coding was seen, hyper no longer reads lengths, not even to refuse them.
            if last_coding_is_chunked.is_none() {
                let read = parse_length(header.value)?;
                if length.is_some_and(|before| before != read) {
                    return None;
                }
                length = Some(read);
            }
        }
    }
    let body = match last_coding_is_chunked {
        Some(true) => BodyKind::Chunked,
        Some(false) => return None,
        None => BodyKind::Length(length.unwrap_or(0)),
    };
    Some(Announced {
        body,
        conflicting: has_length && last_coding_is_chunked.is_some(),
    })
}

fn ends_in_chunked(value: &[u8]) -> bool {
    value
        .rsplit(|&byte| byte == b',')
        .next()
        .is_some_and(|coding| {
            value.is_ascii() && coding.trim_ascii().eq_ignore_ascii_case(b"chunked")
        })
}

/// Digits only: neither a sign nor a list.
fn parse_length(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Walks over a chunked body byte by byte, to find where it ends.
///
/// Laxer than hyper within a line (it does not refuse a bad size), and exactly as strict about where lines end.
#[derive(Debug)]
pub(super) enum ChunkWalk {
    /// In the hexadecimal digits of a chunk's size.
    Size(u64),
    /// In what may follow the size on its line.
    Extension(u64),
    /// This many bytes left of a chunk and the line end after it.
    Data(u64),
    /// At the start of a line after the last chunk.
    TrailerStart,
    /// Within a trailer.
    Trailer,
    /// After a trailer's carriage return.
    TrailerLf,
    /// After the carriage return of the empty line.
    EndLf,
}

impl ChunkWalk {
    pub(super) fn new() -> Self {
        Self::Size(0)
    }

    /// Walks over `bytes`; gives how many of them belong to the body, and whether the body ended with them.
    pub(super) fn walk(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Self::Data(left) = self {
                let here = usize::try_from(*left)
                    .map_or(bytes.len() - at, |left| left.min(bytes.len() - at));
                *left -= here as u64;
                at += here;
                if *left == 0 {
                    *self = Self::Size(0);
                }
                continue;
            }
            at += 1;
            if matches!(self, Self::EndLf) {
                return (at, true);
            }
            self.step(byte);
        }
        (at, false)
    }

    /// One byte outside of chunk data and before the end.
    fn step(&mut self, byte: u8) {
        *self = match (&*self, byte) {
            (&Self::Size(size), byte) => match (byte as char).to_digit(16) {
                Some(digit) => Self::Size(size.saturating_mul(16).saturating_add(u64::from(digit))),
                None => Self::Extension(size).line_end(byte),
            },
            (&Self::Extension(size), byte) => Self::Extension(size).line_end(byte),
            (Self::TrailerStart, b'\r') => Self::EndLf,
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::TrailerLf, _) => Self::TrailerStart,
            _ => Self::Trailer,
        };
    }

    /// The state after `byte` on a size line: the last chunk is the one of size 0.
    fn line_end(self, byte: u8) -> Self {
        match self {
            Self::Extension(0) if byte == b'\n' => Self::TrailerStart,
            Self::Extension(size) if byte == b'\n' => Self::Data(size.saturating_add(2)),
            same => same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::DEFAULT_MAX_HEADERS;

    fn of(head: &str) -> Option<Announced> {
        let mut headers = [httparse::EMPTY_HEADER; DEFAULT_MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        assert!(request.parse(head.as_bytes()).unwrap().is_complete());
        announced(&request)
    }

    fn body_of(headers: &str) -> Option<BodyKind> {
        of(&format!("POST / HTTP/1.1\r\n{headers}\r\n")).map(|announced| announced.body)
    }

    #[test]
    fn lengths_and_codings_are_read_by_hypers_rules() {
        assert_eq!(body_of(""), Some(BodyKind::Length(0)));
        assert_eq!(
            body_of("content-LENGTH: 12\r\n"),
            Some(BodyKind::Length(12))
        );
        assert_eq!(
            body_of("Content-Length: 1\r\nContent-Length: 1\r\n"),
            Some(BodyKind::Length(1))
        );
        for refused in [
            "1\r\nContent-Length: 2",
            "+1",
            "-1",
            "1, 1",
            "",
            "one",
            "99999999999999999999",
        ] {
            assert_eq!(
                body_of(&format!("Content-Length: {refused}\r\n")),
                None,
                "{refused}"
            );
        }
        assert_eq!(
            body_of("Transfer-Encoding: gzip, Chunked\r\n"),
            Some(BodyKind::Chunked)
        );
        assert_eq!(body_of("Transfer-Encoding: chunked, gzip\r\n"), None);
        assert_eq!(body_of("Transfer-Encoding: xchunked\r\n"), None);
        assert_eq!(
            of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            None
        );
    }

    #[test]
    fn a_length_beside_a_coding_is_a_conflict_in_either_order() {
        let (coding, length) = ("Transfer-Encoding: chunked\r\n", "Content-Length: 3\r\n");
        for headers in [format!("{coding}{length}"), format!("{length}{coding}")] {
            let announced = of(&format!("POST / HTTP/1.1\r\n{headers}\r\n")).unwrap();
            assert_eq!(
                (announced.body, announced.conflicting),
                (BodyKind::Chunked, true)
            );
        }
    }

    #[test]
    fn a_chunked_body_ends_at_the_same_byte_however_it_is_cut() {
        for body in [
            &b"0\r\n\r\n"[..],
            b"5\r\nhello\r\n0\r\n\r\n",
            b"00A;name=\"v\"\r\n0123456789\r\n3 \r\n\r\n\r\r\n0;last\r\n\r\n",
            b"1\r\nx\r\n000\r\nTrailer: a\r\nOther: b\r\n\r\n",
        ] {
            let mut wire = body.to_vec();
            wire.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
            for piece in 1..=wire.len() {
                let (mut walk, mut at, mut ended) = (ChunkWalk::new(), 0, false);
                while !ended {
                    let (used, end) = walk.walk(&wire[at..wire.len().min(at + piece)]);
                    (at, ended) = (at + used, end);
                }
                assert_eq!(at, body.len(), "in pieces of {piece}");
            }
        }
    }
}
