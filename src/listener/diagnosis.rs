//! Why a request was refused, in words: what its capture says beside `malformed`.
//!
//! Deliberately refuses nothing: the verdict was hyper's, and this finds out from the bytes what it was for. So it may know
//! less than hyper did, and then says only what is certain.
//!
//! Invariant: no reason quotes what was sent, but for single characters of a target.

use hyper::Uri;

use super::framing;
use super::raw_head::unread_target;
use super::setup::Limits;
use crate::text::size;
use crate::time::compact;

/// Why the head that `bytes` begin with was refused with `status`.
pub(super) fn of_head(bytes: &[u8], status: u16, limits: &Limits) -> String {
    match status {
        408 => format!(
            "its head was not whole within {}",
            compact(limits.head_deadline)
        ),
        414 => "its target is longer than 64 KiB".to_owned(),
        431 if bytes.len() > limits.head_bytes => {
            format!("its head is longer than {}", size(limits.head_bytes as u64))
        }
        431 => format!("its head has more than {} headers", limits.headers),
        _ => of_bad_head(bytes, limits),
    }
}

fn of_bad_head(bytes: &[u8], limits: &Limits) -> String {
    if bytes.starts_with(b"\x16\x03") {
        return "it is TLS, and this port speaks plain HTTP".to_owned();
    }
    if bytes.starts_with(b"PRI * HTTP/2.0\r\n") {
        return "it is HTTP/2, and this port speaks HTTP/1".to_owned();
    }
    let mut room = vec![httparse::EMPTY_HEADER; limits.headers];
    let mut head = httparse::Request::new(&mut room);
    let words = match head.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => return of_readable_head(&head),
        Ok(httparse::Status::Partial) => {
            "its client ended the connection before the head was whole"
        }
        Err(httparse::Error::Token) if head.method.is_none() => {
            "it does not begin with a method, as HTTP does"
        }
        Err(httparse::Error::Token) => return of_target(&unread_target(bytes)),
        Err(httparse::Error::Version) => "its first line does not end with HTTP/1.0 or HTTP/1.1",
        Err(httparse::Error::NewLine) => "a line of its head does not end as lines do",
        Err(httparse::Error::HeaderName) => {
            "a line of its head is no header: there is no name, or a character that is in no name"
        }
        Err(httparse::Error::HeaderValue) => "a header's value has a control character",
        Err(_) => "its head is not readable as HTTP",
    };
    words.to_owned()
}

/// What HTTP's grammar allows and the head's sense does not.
fn of_readable_head(head: &httparse::Request<'_, '_>) -> String {
    if framing::announced(head).is_none() {
        return "its Content-Length or Transfer-Encoding cannot be followed".to_owned();
    }
    of_target(head.path.unwrap_or_default())
}

/// What is wrong with a target that was refused.
fn of_target(target: &str) -> String {
    let bad = target
        .chars()
        .find(|c| !c.is_ascii() || c.is_ascii_control() || format!("/{c}").parse::<Uri>().is_err());
    match bad {
        Some(char::REPLACEMENT_CHARACTER) => {
            "its target has bytes that are no text: they must be percent-encoded".to_owned()
        }
        Some(c) if c.is_control() => format!(
            "its target has the control character U+{:04X}",
            u32::from(c)
        ),
        Some(c) => format!("its target has the character `{c}`, which must be percent-encoded"),
        None => "its target cannot be read as one".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let limits = Limits::default();
        for (head, why) in [
            (&b"\x16\x03\x01\x02\x00"[..], "it is TLS"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "it is HTTP/2"),
            (b"(nonsense)\r\n\r\n", "it does not begin with a method"),
            (b"GET /a<b> HTTP/1.1\r\n\r\n", "the character `<`"),
            (b"GET /caf\xe9 HTTP/1.1\r\n\r\n", "bytes that are no text"),
            (
                b"GET /a\x07 HTTP/1.1\r\n\r\n",
                "the control character U+0007",
            ),
            (b"GET / HTTP/3.1\r\n\r\n", "HTTP/1.0 or HTTP/1.1"),
            (b"GET / HTTP/1.1\r\nno header\r\n\r\n", "is no header"),
            (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", "a control character"),
            (
                b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                "its Content-Length or",
            ),
            (b"GET / HTTP/1.1\r\nHost", "ended the connection"),
        ] {
            let said = of_head(head, 400, &limits);
            assert!(said.contains(why), "{why}: {said}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101));
        assert_eq!(
            of_head(many.as_bytes(), 431, &limits),
            "its head has more than 100 headers"
        );
        assert_eq!(
            of_head(&[b'x'; 70_000], 431, &limits),
            "its head is longer than 64 KiB"
        );
        assert_eq!(
            of_head(b"GET", 408, &limits),
            "its head was not whole within 30s"
        );
    }
}
