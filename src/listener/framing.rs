//! Where a request ends on the wire: whether its head is complete, and how its body is delimited.
//!
//! hyper parses the same bytes and decides which requests are valid. The recorder only follows, so that
//! it knows which bytes belong to which request. So for every request that hyper accepts, the end found here must be the end
//! that hyper finds. For what hyper refuses they may differ, because the connection ends there.

use httparse::Status;

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

/// The length of the head at the start of `bytes`, and the framing of its body.
///
/// `None` if the head is incomplete or hyper refuses it.
pub(super) fn parse_head(bytes: &[u8], max_headers: usize) -> Option<(usize, BodyFraming)> {
    let mut headers = vec![httparse::EMPTY_HEADER; max_headers];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(Status::Complete(length)) => Some((length, body_framing(&request)?)),
        _ => None,
    }
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
    let last = value.rsplit(|&byte| byte == b',').next();
    let last = last.unwrap_or_default().trim_ascii();
    value.is_ascii() && last.eq_ignore_ascii_case(b"chunked")
}

/// Digits only: neither a sign nor a list.
fn parse_length(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The length of the chunked body at the start of `bytes`, with its trailers; `None` if it is incomplete or invalid.
pub(super) fn chunked_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let Ok(Status::Complete((line, size))) = httparse::parse_chunk_size(bytes.get(at..)?)
        else {
            return None;
        };
        at += line;
        if size == 0 {
            break;
        }
        let data_and_line_end = usize::try_from(size).ok()?.checked_add(2)?;
        at = at.checked_add(data_and_line_end)?;
    }
    loop {
        let line = bytes
            .get(at..)?
            .split_inclusive(|&byte| byte == b'\n')
            .next()?;
        at += line.len();
        match line {
            b"\r\n" => return Some(at),
            line if !line.ends_with(b"\n") => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn framing(head: &str) -> Option<BodyFraming> {
        parse_head(head.as_bytes(), 100).map(|(_, framing)| framing)
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
    fn a_chunked_body_ends_where_hyper_ends_it() {
        for body in [
            &b"0\r\n\r\n"[..],
            b"5\r\nhello\r\n0\r\n\r\n",
            b"00A;name=\"v\"\r\n0123456789\r\n3 \r\n\r\n\r\r\n0;last\r\n\r\n",
            b"1\r\nx\r\n000\r\nTrailer: a\r\nOther: b\r\n\r\n",
        ] {
            let wire = [body, b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(chunked_length(&wire), Some(body.len()));
            for end in 0..body.len() {
                assert_eq!(chunked_length(&body[..end]), None, "{end}");
            }
        }
        assert_eq!(chunked_length(b"zz\r\n\r\n"), None);
        assert_eq!(chunked_length(b"ffffffffffffffff\r\n"), None);
    }

    #[test]
    fn heads_may_have_as_many_headers_as_the_limit() {
        for most in [3, 300] {
            let head = |headers| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(headers));
            assert!(parse_head(head(most).as_bytes(), most).is_some(), "{most}");
            assert_eq!(parse_head(head(most + 1).as_bytes(), most), None, "{most}");
        }
    }
}
