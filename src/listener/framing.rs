//! Where a request ends on the wire: whether its head is complete, and how its body is delimited.
//!
//! hyper parses the same bytes and decides which requests are valid. The recorder only follows, so that
//! it knows which bytes belong to which request. So for every request that hyper accepts, the end found here must be the end
//! that hyper finds. For what hyper refuses they may differ, because the connection ends there.

use crate::capture::DEFAULT_MAX_HEADERS;

/// How complete a head is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadProgress {
    Partial,
    Complete(BodyFraming),
    /// Cannot be followed: hyper will refuse it.
    Invalid,
}

/// Whether `bytes` end with the end of a head that has at most `max_headers`.
pub(super) fn head_progress(bytes: &[u8], max_headers: usize) -> HeadProgress {
    let mut usual = [httparse::EMPTY_HEADER; DEFAULT_MAX_HEADERS];
    match usual.get_mut(..max_headers) {
        Some(headers) => head_progress_in(bytes, headers),
        None => head_progress_in(bytes, &mut vec![httparse::EMPTY_HEADER; max_headers]),
    }
}

fn head_progress_in<'a>(bytes: &'a [u8], headers: &mut [httparse::Header<'a>]) -> HeadProgress {
    let mut request = httparse::Request::new(headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => HeadProgress::Partial,
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {
            body_framing(&request).map_or(HeadProgress::Invalid, HeadProgress::Complete)
        }
        _ => HeadProgress::Invalid,
    }
}

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    Bytes(u64),
    /// Chunks, trailers, and an empty line.
    Chunked,
}

/// What a head says about its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BodyFraming {
    pub length: BodyLength,
    /// Both a length and a transfer coding are given, as in request smuggling. hyper uses the coding and hides the length.
    pub conflicting: bool,
}

/// Reads the framing by hyper's rules, in hyper's order; `None` if hyper refuses it.
pub(super) fn body_framing(head: &httparse::Request<'_, '_>) -> Option<BodyFraming> {
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
            // After a transfer coding, hyper ignores lengths, even invalid ones.
            if last_coding_is_chunked.is_none() {
                let read = parse_length(header.value)?;
                if length.is_some_and(|before| before != read) {
                    return None;
                }
                length = Some(read);
            }
        }
    }
    let length = match last_coding_is_chunked {
        Some(true) => BodyLength::Chunked,
        Some(false) => return None,
        None => BodyLength::Bytes(length.unwrap_or(0)),
    };
    Some(BodyFraming {
        length,
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

/// Finds the end of a chunked body. Less strict than hyper within a line (it accepts an invalid size), and equally strict
/// about where lines end.
#[derive(Debug)]
pub(super) enum ChunkScanner {
    /// In a chunk's size.
    Size(u64),
    /// After the size, on its line.
    Extension(u64),
    /// With this many bytes left of a chunk and its line end.
    Data(u64),
    /// At the start of a line after the last chunk.
    TrailerStart,
    /// In a trailer.
    Trailer,
    /// After a trailer's carriage return.
    TrailerLf,
    /// After the carriage return of the empty line.
    EndLf,
}

impl ChunkScanner {
    pub(super) fn new() -> Self {
        Self::Size(0)
    }

    /// Returns how many of `bytes` belong to the body, and whether the body ends with them.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> (usize, bool) {
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

    fn framing(head: &str) -> Option<BodyFraming> {
        let mut headers = [httparse::EMPTY_HEADER; DEFAULT_MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        assert!(request.parse(head.as_bytes()).unwrap().is_complete());
        body_framing(&request)
    }

    fn length(headers: &str) -> Option<BodyLength> {
        framing(&format!("POST / HTTP/1.1\r\n{headers}\r\n")).map(|framing| framing.length)
    }

    #[test]
    fn framing_follows_the_rules_of_hyper() {
        assert_eq!(length(""), Some(BodyLength::Bytes(0)));
        assert_eq!(
            length("content-LENGTH: 12\r\n"),
            Some(BodyLength::Bytes(12))
        );
        assert_eq!(
            length("Content-Length: 1\r\nContent-Length: 1\r\n"),
            Some(BodyLength::Bytes(1))
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
                length(&format!("Content-Length: {refused}\r\n")),
                None,
                "{refused}"
            );
        }
        assert_eq!(
            length("Transfer-Encoding: gzip, Chunked\r\n"),
            Some(BodyLength::Chunked)
        );
        assert_eq!(length("Transfer-Encoding: chunked, gzip\r\n"), None);
        assert_eq!(length("Transfer-Encoding: xchunked\r\n"), None);
        assert_eq!(
            framing("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            None
        );
    }

    #[test]
    fn a_length_beside_a_coding_conflicts() {
        let (coding, length) = ("Transfer-Encoding: chunked\r\n", "Content-Length: 3\r\n");
        for headers in [format!("{coding}{length}"), format!("{length}{coding}")] {
            let framing = framing(&format!("POST / HTTP/1.1\r\n{headers}\r\n")).unwrap();
            assert_eq!(
                (framing.length, framing.conflicting),
                (BodyLength::Chunked, true)
            );
        }
    }

    #[test]
    fn a_chunked_body_ends_at_the_same_byte_in_any_pieces() {
        for body in [
            &b"0\r\n\r\n"[..],
            b"5\r\nhello\r\n0\r\n\r\n",
            b"00A;name=\"v\"\r\n0123456789\r\n3 \r\n\r\n\r\r\n0;last\r\n\r\n",
            b"1\r\nx\r\n000\r\nTrailer: a\r\nOther: b\r\n\r\n",
        ] {
            let mut wire = body.to_vec();
            wire.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
            for piece in 1..=wire.len() {
                let (mut scanner, mut at, mut ended) = (ChunkScanner::new(), 0, false);
                while !ended {
                    let (used, end) = scanner.scan(&wire[at..wire.len().min(at + piece)]);
                    (at, ended) = (at + used, end);
                }
                assert_eq!(at, body.len(), "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn heads_may_have_as_many_headers_as_the_limit() {
        for most in [3, 300] {
            let progress = |headers: usize| {
                let lines = "A: b\r\n".repeat(headers);
                head_progress(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes(), most)
            };
            assert!(
                matches!(progress(most), HeadProgress::Complete(_)),
                "{most}"
            );
            assert_eq!(progress(most + 1), HeadProgress::Invalid, "{most}");
        }
    }

    #[test]
    fn heads_are_partial_complete_or_invalid() {
        let progress = |bytes: &[u8]| head_progress(bytes, DEFAULT_MAX_HEADERS);
        assert_eq!(progress(b"\r\n\r\n"), HeadProgress::Partial);
        assert_eq!(
            progress(b"GET / HTTP/1.1\r\nA: b\r\n"),
            HeadProgress::Partial
        );
        let invalid = b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n";
        assert_eq!(progress(invalid), HeadProgress::Invalid);
        let complete = HeadProgress::Complete(BodyFraming {
            length: BodyLength::Bytes(0),
            conflicting: false,
        });
        assert_eq!(progress(b"\r\nGET / HTTP/1.1\n\n"), complete);
    }
}
