//! How a request carries an event: as its body, or in a form field.
//!
//! [`extract_xml`] ignores the `Content-Type`: many clients post XML as `application/x-www-form-urlencoded`.

use std::borrow::Cow;

use crate::secret::safe_url;
use crate::text::named_enum;

/// The form field, plain and percent-encoded.
const FIELD: [&[u8]; 2] = [b"params[xml]", b"params%5Bxml%5D"];

named_enum! {
    #[derive(Default)]
    pub enum BodyFormat {
        /// The body is the document.
        #[default]
        Xml = "xml",
        /// The body is a form whose field `params[xml]` is the document.
        Form = "form",
    }
}

impl BodyFormat {
    pub fn content_type(self) -> &'static str {
        match self {
            BodyFormat::Xml => "application/xml",
            BodyFormat::Form => "application/x-www-form-urlencoded",
        }
    }

    pub fn body(self, document: &[u8]) -> Cow<'_, [u8]> {
        match self {
            BodyFormat::Xml => Cow::Borrowed(document),
            BodyFormat::Form => {
                let value = safe_url::form_encoded(document);
                Cow::Owned([FIELD[0], b"=", value.as_bytes()].concat())
            }
        }
    }
}

/// The field `params[xml]` of a form, or else the body itself.
pub fn extract_xml(body: &[u8]) -> Cow<'_, [u8]> {
    if body.trim_ascii_start().starts_with(b"<") {
        return Cow::Borrowed(body);
    }
    for pair in body.split(|byte| *byte == b'&') {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        if FIELD.iter().any(|field| name.eq_ignore_ascii_case(field)) {
            return Cow::Owned(safe_url::form_decoded(value));
        }
    }
    Cow::Borrowed(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn form_and_plain_body_carry_the_same_document() {
        let document = "<event><name>a &amp; b+c = é</name></event>";
        let form = "utf8=1&params%5bxml%5D=%3Cevent%3E%3Cname%3Ea+%26amp%3B+b%2Bc+%3D+%C3%A9%3C%2Fname%3E%3C%2Fevent%3E&x=";
        assert_eq!(extract_xml(form.as_bytes()), document.as_bytes());
        assert_eq!(extract_xml(document.as_bytes()), document.as_bytes());
        assert_eq!(&*extract_xml(b"params[xml]=<a/>"), b"<a/>");
    }

    #[test]
    fn documents_are_sent_plain_or_as_a_form_field() {
        let document = "<a>é +&</a>\n".as_bytes();
        assert_eq!(&*BodyFormat::Xml.body(document), document);
        assert_eq!(
            &*BodyFormat::Form.body(document),
            b"params[xml]=%3Ca%3E%C3%A9+%2B%26%3C%2Fa%3E%0A"
        );
    }

    #[test]
    fn other_bodies_are_unchanged() {
        for body in [
            &b""[..],
            b"a=1&b=2",
            b"params[xml]",
            b"\xff\x00",
            b"{\"params[xml]\":\"=\"}",
            b"xparams[xml]=1",
        ] {
            assert_eq!(&*extract_xml(body), body);
        }
    }

    proptest! {
        #[test]
        fn forms_carry_documents_byte_for_byte(document: Vec<u8>) {
            let body = BodyFormat::Form.body(&document);
            prop_assert_eq!(&*extract_xml(&body), &document[..]);
        }
    }
}
