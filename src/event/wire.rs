//! The document in a body as it came: the body itself, or the field `params[xml]` of a form.
//!
//! 3scale has posted events in both forms. Deliberately does not ask for a `Content-Type`: clients that post XML say
//! `application/x-www-form-urlencoded` of it often enough.

use std::borrow::Cow;

use crate::safe_url;

/// The field that holds the document.
const FIELD: [&[u8]; 2] = [b"params[xml]", b"params%5Bxml%5D"];

/// The document that a body carries: of a form with a field `params[xml]` that field, else the body as it is.
pub fn carried(body: &[u8]) -> Cow<'_, [u8]> {
    // A document is no form.
    if body.trim_ascii_start().starts_with(b"<") {
        return Cow::Borrowed(body);
    }
    let value = body.split(|byte| *byte == b'&').find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        FIELD.iter().any(|field| name.eq_ignore_ascii_case(field)).then_some(value)
    });
    value.map_or(Cow::Borrowed(body), |value| Cow::Owned(safe_url::form_decoded(value).into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_and_the_plain_body_carry_the_same_document() {
        let document = "<event><name>a &amp; b+c = é</name></event>";
        let form =
            "utf8=1&params%5bxml%5D=%3Cevent%3E%3Cname%3Ea+%26amp%3B+b%2Bc+%3D+%C3%A9%3C%2Fname%3E%3C%2Fevent%3E&x=";
        assert_eq!(carried(form.as_bytes()), document.as_bytes());
        assert_eq!(carried(document.as_bytes()), document.as_bytes());
        assert_eq!(&*carried(b"params[xml]=<a/>"), b"<a/>");
    }

    #[test]
    fn anything_else_is_left_as_it_is() {
        for body in [&b""[..], b"a=1&b=2", b"params[xml]", b"\xff\x00", b"{\"params[xml]\":\"=\"}", b"xparams[xml]=1"] {
            assert_eq!(&*carried(body), body);
        }
    }
}
