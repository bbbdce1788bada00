//! Checks the secrets that captured requests must have in their query, where 3scale puts them, and removes the web UI's own
//! token from captured requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Secret;

/// Whether a raw query has all required parameters, with the required value wherever they occur; `None` if none is required.
pub(super) fn check_secrets(required: &[(String, Secret)], query: Option<&str>) -> Option<bool> {
    if required.is_empty() {
        return None;
    }
    let query = query.unwrap_or_default().as_bytes();
    let mut passed = true;
    // Neither loop ends early, so that the duration does not reveal which parameter is wrong.
    for (name, secret) in required {
        let mut is_given = false;
        for (_, value) in form_urlencoded::parse(query).filter(|(given, _)| given == name) {
            is_given = true;
            passed &= secret.is(value.as_bytes());
        }
        passed &= is_given;
    }
    Some(passed)
}

/// A head without a token of the web UI, which browsers and API clients send to every path. Removes `Authorization` headers
/// that contain it, and masks it everywhere else, percent-encoded or not.
pub(super) fn without_token(head: &[u8], token: &Secret) -> Vec<u8> {
    let lines = head.split_inclusive(|&byte| byte == b'\n');
    let kept: Vec<&[u8]> = lines
        .filter(|line| !is_authorization(line, token))
        .collect();
    let kept = kept.concat();
    let mut rest = kept.as_slice();
    let mut masked = Vec::with_capacity(rest.len());
    while let Some((first, following)) = rest.split_first() {
        match encoded_length(rest, token.expose().as_bytes()) {
            Some(length) => {
                masked.extend(b"***");
                rest = &rest[length..];
            }
            None => {
                masked.push(*first);
                rest = following;
            }
        }
    }
    masked
}

/// How many bytes of `text` are the token that it starts with, each of its bytes percent-encoded or not.
fn encoded_length(text: &[u8], token: &[u8]) -> Option<usize> {
    let mut rest = text;
    for &expected in token {
        rest = match rest {
            [b'%', high, low, after @ ..] if hex_byte(*high, *low) == Some(expected) => after,
            [byte, after @ ..] if *byte == expected => after,
            _ => return None,
        };
    }
    (!token.is_empty()).then(|| text.len() - rest.len())
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn is_authorization(line: &[u8], token: &Secret) -> bool {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    let is =
        |word: Option<&str>, expected| word.is_some_and(|word| word.eq_ignore_ascii_case(expected));
    if !is(words.next(), "authorization:") {
        return false;
    }
    let (scheme, credentials) = (words.next(), words.next().unwrap_or_default());
    if is(scheme, "bearer") {
        return token.is(credentials.as_bytes());
    }
    let decoded = STANDARD.decode(credentials).unwrap_or_default();
    let mut parts = decoded.split(|&byte| byte == b':');
    is(scheme, "basic") && parts.any(|part| token.is(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_is_required_wherever_it_occurs() {
        let secrets = [("token", "a b"), ("app", "x")]
            .map(|(name, value)| (name.to_owned(), Secret::new(value)));
        for query in [
            "token=a%20b&app=x",
            "app=x&token=a+b",
            "other=1&%74oken=a+b&app=x",
            "token=a+b&app=x&token=a%20b",
        ] {
            assert_eq!(check_secrets(&secrets, Some(query)), Some(true), "{query}");
        }
        for query in [
            "",
            "token=a+b",
            "app=x",
            "token=a&app=x",
            "token=a+b&app=x&token=c",
            "TOKEN=a+b&app=x",
            "token&app=x",
        ] {
            assert_eq!(check_secrets(&secrets, Some(query)), Some(false), "{query}");
        }
        assert_eq!(check_secrets(&secrets, None), Some(false));
        assert_eq!(check_secrets(&[], Some("token=c")), None);
    }

    #[test]
    fn the_token_of_the_web_ui_is_removed() {
        let token = Secret::new("0123abcd");
        let basic = STANDARD.encode("x:0123abcd");
        let head = format!(
            "GET /bin?a=1&token=0123abcd&b=x HTTP/1.1\r\nHost: h\r\nauthorization: Basic {basic}\r\n\
             Authorization: Bearer 0123abcd\r\nAuthorization: Bearer other\r\n\
             Referer: http://h/?token=0123abcd\r\nCookie: a=b; hookfire_80=0123abcd\r\n\r\n"
        );
        let expected = "GET /bin?a=1&token=***&b=x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer other\r\n\
             Referer: http://h/?token=***\r\nCookie: a=b; hookfire_80=***\r\n\r\n";
        let cleaned = without_token(head.as_bytes(), &token);
        assert_eq!(String::from_utf8(cleaned).unwrap(), expected);
        let encoded = b"GET /?token=%30123%61bcd&x=%3&y=%30123abce HTTP/1.1\r\n\r\n";
        let cleaned = without_token(encoded, &token);
        assert_eq!(
            String::from_utf8(cleaned).unwrap(),
            "GET /?token=***&x=%3&y=%30123abce HTTP/1.1\r\n\r\n"
        );
        let other = b"POST /?token=other&&x HTTP/1.1\r\nA:  b \r\n\r\n";
        assert_eq!(without_token(other, &token), other);
    }
}
