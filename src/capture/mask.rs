//! Hides secret parameters and credentials where a capture is shown.
//!
//! Only values are replaced: names, their order and their number stay visible. Bodies are never masked, nor are bytes that
//! the user asked for as they are.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::Capture;
use crate::secret::safe_url::{self, decoded_pairs};
use crate::secret::{MASK, Redactor, Secret, credentials_in_header, header_is_secret};

#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// Secret query parameters, by decoded name in any case.
    pub names: BTreeSet<String>,
    /// Parameters that the listener requires. If they are unknown (none), every query value of a capture that
    /// needed a secret is hidden.
    pub required: Option<BTreeSet<String>>,
    /// Values that are hidden in every query parameter.
    pub values: Vec<Secret>,
    pub reveal: bool,
}

impl Mask {
    /// A mask that hides nothing, for `--reveal`.
    pub fn revealing() -> Mask {
        Mask {
            reveal: true,
            ..Mask::default()
        }
    }

    /// The decoded pairs of the query, in order; a word without `=` is a name with an empty value.
    pub fn query(&self, capture: &Capture) -> Vec<(String, String)> {
        let query = capture.query().unwrap_or_default();
        let parts = query.split('&').filter(|part| !part.is_empty());
        parts
            .map(|part| decoded(&self.part(capture, part)))
            .collect()
    }

    /// The request target as received, with values masked.
    pub fn target(&self, capture: &Capture) -> String {
        let target = capture.head.target();
        let Some((before, query)) = target.split_once('?') else {
            return target.to_owned();
        };
        let parts = query.split('&').map(|part| self.part(capture, part));
        format!("{before}?{}", parts.collect::<Vec<_>>().join("&"))
    }

    /// One part of a query, between two `&`, masked if necessary.
    fn part<'a>(&self, capture: &Capture, part: &'a str) -> Cow<'a, str> {
        let (name, value) = decoded(part);
        if self.reveal || part.is_empty() {
            return Cow::Borrowed(part);
        }
        // A wrong secret may be the right one elsewhere.
        let asked = capture.secret_ok.is_some();
        let hides_all = asked && self.required.is_none();
        if self.holds_secret(&name) || hides_all && !part.contains('=') {
            return Cow::Borrowed(MASK);
        }
        // A sender may spell `TOKEN=`.
        let is_name = |known: &String| known.to_lowercase() == name.to_lowercase();
        let required = self.required.iter().flatten();
        let mut names = self.names.iter().chain(required.filter(|_| asked));
        match part.split_once('=') {
            Some((name, _)) if hides_all || names.any(is_name) || self.holds_secret(&value) => {
                Cow::Owned(format!("{name}={MASK}"))
            }
            _ => Cow::Borrowed(part),
        }
    }

    /// A head that cannot be parsed: everything that looks like a secret header or a query is masked.
    pub fn unread_head(&self, capture: &Capture) -> Vec<u8> {
        if self.reveal {
            return capture.head.to_vec();
        }
        let lines = capture
            .head
            .split(|byte| *byte == b'\n')
            .map(|line| self.unread_line(capture, line));
        // Known values are masked anywhere.
        Redactor::new(&self.values).redact_bytes(&lines.collect::<Vec<_>>().join(&b'\n'))
    }

    fn unread_line(&self, capture: &Capture, line: &[u8]) -> Vec<u8> {
        if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let shown = self.header(header_text(name).trim(), value);
            if *shown != *value {
                let end: &[u8] = if line.ends_with(b"\r") { b"\r" } else { b"" };
                return [name, b": ", &shown, end].concat();
            }
        }
        let mut shown = Vec::new();
        for word in line.split_inclusive(u8::is_ascii_whitespace) {
            let query = word
                .iter()
                .position(|byte| *byte == b'?')
                .map(|mark| mark + 1);
            let (before, query) = word.split_at(query.unwrap_or(word.len()));
            shown.extend_from_slice(before);
            let (query, blank) = query.split_at(query.trim_ascii_end().len());
            for (i, part) in query.split(|byte| *byte == b'&').enumerate() {
                shown.extend((i > 0).then_some(b'&'));
                match self.part(capture, &String::from_utf8_lossy(part)) {
                    Cow::Borrowed(text) if text != MASK => shown.extend_from_slice(part),
                    masked => shown.extend_from_slice(masked.as_bytes()),
                }
            }
            shown.extend_from_slice(blank);
        }
        shown
    }

    /// A header's value, masked if necessary.
    pub fn header<'a>(&self, name: &str, value: &'a [u8]) -> Cow<'a, [u8]> {
        if self.reveal {
            return Cow::Borrowed(value);
        }
        if is_hidden(name, value) {
            return Cow::Borrowed(MASK.as_bytes());
        }
        // The address of a page may contain a token.
        if name.eq_ignore_ascii_case("referer") && value.contains(&b'?') {
            return Cow::Owned(safe_url::masked(&header_text(value)).into_bytes());
        }
        Cow::Borrowed(value)
    }

    /// The headers in order, masked, with values as [`header_text`].
    pub fn headers(&self, capture: &Capture) -> Vec<(String, String)> {
        let headers = capture.head.headers().into_iter();
        headers
            .map(|(name, value)| (name.to_owned(), header_text(&self.header(name, value))))
            .collect()
    }

    /// Whether anything in this capture is hidden.
    pub fn hides(&self, capture: &Capture) -> bool {
        let headers = capture.head.headers();
        self.target(capture) != capture.head.target()
            || headers.is_empty() && self.unread_head(capture) != *capture.head
            || headers
                .iter()
                .any(|(name, value)| *self.header(name, value) != **value)
    }

    /// The hidden values, decoded: other texts may repeat them.
    pub fn hidden_values(&self, capture: &Capture) -> Vec<Secret> {
        let open = Mask::revealing();
        let mut values = Vec::new();
        for (received, shown) in open.query(capture).into_iter().zip(self.query(capture)) {
            if received != shown {
                let (name, value) = received;
                values.push(Secret::new(if value.is_empty() { name } else { value }));
            }
        }
        for (name, value) in capture.head.headers() {
            if !self.reveal && is_hidden(name, value) {
                values.push(Secret::new(header_text(value)));
            }
        }
        let inside: Vec<Secret> = values.iter().flat_map(credentials_in_header).collect();
        values.into_iter().chain(inside).collect()
    }

    fn holds_secret(&self, text: &str) -> bool {
        self.values
            .iter()
            .any(|secret| !secret.expose().is_empty() && text.contains(secret.expose()))
    }
}

/// The name and value of one part of a query.
fn decoded(part: &str) -> (String, String) {
    decoded_pairs(part).into_iter().next().unwrap_or_default()
}

/// The names of the headers with credentials, each once. They are not sent to another host unless the user asks for it.
pub fn credentials<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, value) in headers {
        let is_known = names.iter().any(|known| known.eq_ignore_ascii_case(name));
        if !is_known && is_hidden(name, value) {
            names.push(name);
        }
    }
    names
}

/// Whether a header contains a credential, by its name or its value.
pub fn is_hidden(name: &str, value: &[u8]) -> bool {
    header_is_secret(name, &header_text(value))
}

/// UTF-8, or else Latin-1, in which every byte is a character.
pub fn header_text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMs;

    fn capture(target: &str) -> Capture {
        let head = format!("GET {target} HTTP/1.1\r\nCookie: a=b\r\nX: y\r\ncookie: c\r\n\r\n")
            .into_bytes();
        Capture::new(
            UnixMs(0),
            std::net::SocketAddr::from(([127, 0, 0, 1], 1)),
            head,
        )
    }

    fn naming(name: &str) -> Mask {
        Mask {
            names: BTreeSet::from([name.to_owned()]),
            ..Mask::default()
        }
    }

    #[test]
    fn named_parameters_are_hidden_in_any_spelling() {
        let capture = capture("/h?a=1&to%6ben=s%20s&token&token=&b=x+y");
        let mask = naming("token");
        assert_eq!(
            mask.target(&capture),
            "/h?a=1&to%6ben=***&token&token=***&b=x+y"
        );
        let pairs = mask.query(&capture);
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("a", "1"),
                ("token", "***"),
                ("token", ""),
                ("token", "***"),
                ("b", "x y")
            ]
        );
    }

    #[test]
    fn known_values_are_hidden_under_any_name() {
        let capture = capture("/h?TOKEN=a&Token=b&t=s%65cret&s=xsecretx&secret&secret=1&secre=t");
        let mask = Mask {
            values: vec![Secret::new("secret"), Secret::new("")],
            ..naming("token")
        };
        assert_eq!(
            mask.target(&capture),
            "/h?TOKEN=***&Token=***&t=***&s=***&***&***&secre=t"
        );
        let hidden: Vec<Secret> = mask.hidden_values(&capture);
        assert!(hidden.contains(&Secret::new("xsecretx")));
    }

    #[test]
    fn secret_headers_and_referer_queries_are_hidden() {
        for (name, value, shown) in [
            ("X-Api-Key", "k", "***"),
            ("X-Hub-Signature-256", "sha256=1", "sha256=1"),
            ("Stripe-Signature", "t=1,v1=2", "t=1,v1=2"),
            ("webhook-signature", "v1,aaa=", "v1,aaa="),
            ("X-Auth-Signature", "aaa", "aaa"),
            ("X-Custom", "Bearer k", "***"),
            ("X-Source", "ci", "ci"),
            (
                "Referer",
                "https://h/p?token=k&a",
                "https://h/p?token=***&***",
            ),
            ("referer", "https://h/p", "https://h/p"),
        ] {
            assert_eq!(
                header_text(&Mask::default().header(name, value.as_bytes())),
                shown,
                "{name}"
            );
            let open = Mask::revealing();
            assert_eq!(
                header_text(&open.header(name, value.as_bytes())),
                value,
                "{name}"
            );
        }
    }

    #[test]
    fn unknown_required_names_hide_every_value() {
        let mut capture = capture("/h?a=1&word&&b=");
        assert_eq!(Mask::default().target(&capture), "/h?a=1&word&&b=");
        capture.secret_ok = Some(false);
        assert_eq!(Mask::default().target(&capture), "/h?a=***&***&&b=***");
        assert_eq!(
            Mask::default().query(&capture)[1],
            ("***".to_owned(), String::new())
        );
        let knowing = Mask {
            required: Some(BTreeSet::from(["b".to_owned()])),
            ..Mask::default()
        };
        assert_eq!(knowing.target(&capture), "/h?a=1&word&&b=***");
    }

    #[test]
    fn unreadable_heads_hide_the_same_secrets() {
        let broken = |head: &[u8]| {
            let mut capture = Capture::new(UnixMs(0), ([127, 0, 0, 1], 1).into(), head.to_vec());
            capture.secret_ok = Some(false);
            capture
        };
        for head in [
            &b"G<T /hook?token=canary&a=canary HTTP/1.1\r\nHost: h\r\n\r\n"[..],
            b"GET /1?token=canary HTTP/1.1\r\n\r\nGET http://h/2?a&token=canary HTTP/1.1\r\n\r\n",
            b"GET /hook HTTP/1.1\r\nX-Api-Key: canary\r\nno header\r\n\r\n",
            b"\x16\x03GET /hook?token=canary\xff HTTP/1.1\r\n",
            b"hook?canary",
        ] {
            let capture = broken(head);
            let shown =
                String::from_utf8_lossy(&Mask::default().unread_head(&capture)).into_owned();
            assert!(
                !shown.contains("canary") && shown.contains("***"),
                "{shown:?}"
            );
            assert!(Mask::default().hides(&capture), "{shown:?}");
            let open = Mask::revealing();
            assert!(open.unread_head(&capture) == head && !open.hides(&capture));
        }
        let head = b"G<T /hook?token=canary&a=1 HTTP/1.1\r\nHost:  h\r\n\r\ncan%61ry";
        let knowing = Mask {
            required: Some(["token".to_owned()].into()),
            ..Mask::default()
        };
        let shown = |mask: &Mask| String::from_utf8(mask.unread_head(&broken(head))).unwrap();
        assert_eq!(
            shown(&knowing),
            "G<T /hook?token=***&a=1 HTTP/1.1\r\nHost:  h\r\n\r\ncan%61ry"
        );
        let mask = Mask {
            values: vec![Secret::new("canary")],
            ..knowing
        };
        assert_eq!(
            shown(&mask),
            "G<T /hook?token=***&a=1 HTTP/1.1\r\nHost:  h\r\n\r\n***"
        );
    }

    #[test]
    fn masked_headers_keep_their_number() {
        let capture = capture("/");
        let shown: Vec<String> = Mask::default()
            .headers(&capture)
            .into_iter()
            .map(|(n, v)| n + "=" + &v)
            .collect();
        assert_eq!(shown, ["Cookie=***", "X=y", "cookie=***"]);
        assert!(Mask::default().hides(&capture));
    }

    #[test]
    fn revealed_captures_are_as_received() {
        let mut capture = capture("/h?token=%73");
        capture.secret_ok = Some(true);
        let mask = Mask {
            reveal: true,
            ..naming("token")
        };
        assert!(!mask.hides(&capture));
        assert_eq!(mask.target(&capture), "/h?token=%73");
        assert_eq!(mask.query(&capture), [("token".to_owned(), "s".to_owned())]);
        assert_eq!(mask.headers(&capture)[0].1, "a=b");
    }

    #[test]
    fn latin_1_headers_are_readable() {
        assert_eq!(header_text(b"caf\xe9"), "café");
        assert_eq!(header_text("café".as_bytes()), "café");
    }
}
