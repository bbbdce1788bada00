//! Reads a request's raw head: method, target and headers in their own case, order and number.
//!
//! Deliberately refuses nothing: whether the head is good HTTP was for the catcher to say. Of a head that cannot be read
//! it gives what could be.
//!
//! Invariant: every text and byte string it gives stands in the head, in that order.

/// How many headers the catcher takes of a head unless it is told otherwise. It is hyper's own number, which hyper holds room
/// for without asking the system: with 256, a request cost a third more.
pub const USUAL_HEADERS: usize = 100;

/// The most headers that are read of a head. Each takes more memory than its bytes, and lists hold many heads.
pub const MOST_HEADERS: usize = 1_000;

/// What a head says, as it says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Such as `POST`. Empty when the bytes cannot be read as HTTP that far.
    pub method: String,
    /// The raw request target, such as `/hook?a=1`. Empty when the bytes cannot be read that far.
    pub target: String,
    /// Names in their own case, values' bytes without the white space around them, in order, repeats kept. Empty when
    /// unreadable.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Fields {
    /// The fields of the head that `bytes` begin with; those that cannot be read are empty.
    pub fn read(bytes: &[u8]) -> Fields {
        let mut usual = [httparse::EMPTY_HEADER; USUAL_HEADERS];
        let (fields, too_many) = Fields::read_with(bytes, &mut usual);
        if !too_many {
            return fields;
        }
        // As many as there can be: there is a line for each.
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
        Fields::read_with(bytes, &mut vec![httparse::EMPTY_HEADER; lines.min(MOST_HEADERS)]).0
    }

    /// Also whether there are more headers than there is room for.
    fn read_with<'a>(bytes: &'a [u8], room: &mut [httparse::Header<'a>]) -> (Fields, bool) {
        let mut request = httparse::Request::new(room);
        let parsed = request.parse(bytes);
        let whole = matches!(parsed, Ok(httparse::Status::Complete(_)));
        let fields = Fields {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            // Of a head that breaks off or is refused, httparse does not say which headers it has filled in.
            headers: if whole {
                request.headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect()
            } else {
                Vec::new()
            },
        };
        (fields, parsed == Err(httparse::Error::TooManyHeaders))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_order_repeats_and_bytes_are_kept() {
        let head = Fields::read(b"pOsT /a?b HTTP/1.1\r\nX-B: 1\r\nx-a:  caf\xe9 \r\nX-b: 2\r\n\r\n");
        assert_eq!((head.method.as_str(), head.target.as_str()), ("pOsT", "/a?b"));
        let headers: Vec<(&str, &[u8])> = head.headers.iter().map(|(n, v)| (n.as_str(), &v[..])).collect();
        assert_eq!(headers, [("X-B", &b"1"[..]), ("x-a", b"caf\xe9"), ("X-b", b"2")]);
    }

    #[test]
    fn many_headers_are_read_as_far_as_there_may_be() {
        for (headers, read) in [(100, 100), (101, 101), (MOST_HEADERS, MOST_HEADERS), (MOST_HEADERS + 1, 0)] {
            let head = format!("GET /x HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(headers));
            let fields = Fields::read(head.as_bytes());
            assert_eq!((fields.target.as_str(), fields.headers.len()), ("/x", read));
        }
    }

    #[test]
    fn what_cannot_be_read_is_empty() {
        assert_eq!(Fields::read(b"\x16\x03\x01\x02"), Fields::default());
        let broken = Fields::read(b"PUT /x HTTP/1.1\r\nA: b\r\nbad header\r\n\r\n");
        assert_eq!((broken.method.as_str(), broken.target.as_str()), ("PUT", "/x"));
        assert!(broken.headers.is_empty());
    }
}
