//! Reads a recorded head again, for what hyper's own view has lost: the names' case, their order, their repeats.
//!
//! Deliberately refuses nothing: whether the head is good HTTP is hyper's verdict. Of a head that cannot be read it gives
//! what could be.
//!
//! Invariant: every text and byte string it gives stands in the head, in that order.

use super::framing::{self, Announced, MAX_HEADERS};

/// What a head says, as it says it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RawHead {
    pub method: String,
    pub target: String,
    /// Names in their own case, values' bytes without the white space around them, in order, repeats kept.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The fields of `bytes`; those that cannot be read are empty.
pub(super) fn read(bytes: &[u8]) -> RawHead {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let whole = matches!(request.parse(bytes), Ok(httparse::Status::Complete(_)));
    RawHead {
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        // Of a head that breaks off or is refused, httparse does not say which headers it has filled in.
        headers: if whole {
            request.headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect()
        } else {
            Vec::new()
        },
    }
}

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
    fn case_order_repeats_and_bytes_are_kept() {
        let head = read(b"pOsT /a?b HTTP/1.1\r\nX-B: 1\r\nx-a:  caf\xe9 \r\nX-b: 2\r\n\r\n");
        assert_eq!((head.method.as_str(), head.target.as_str()), ("pOsT", "/a?b"));
        let headers: Vec<(&str, &[u8])> = head.headers.iter().map(|(n, v)| (n.as_str(), &v[..])).collect();
        assert_eq!(headers, [("X-B", &b"1"[..]), ("x-a", b"caf\xe9"), ("X-b", b"2")]);
    }

    #[test]
    fn what_cannot_be_read_is_empty() {
        assert_eq!(read(b"\x16\x03\x01\x02"), RawHead::default());
        let broken = read(b"PUT /x HTTP/1.1\r\nA: b\r\nbad header\r\n\r\n");
        assert_eq!((broken.method.as_str(), broken.target.as_str()), ("PUT", "/x"));
        assert!(broken.headers.is_empty());
    }

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
