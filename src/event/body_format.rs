//! The two forms in which 3scale has posted events: the document itself, and a form with it in a field.
//!
//! Reading deliberately does not ask for a `Content-Type`: clients that post XML say `application/x-www-form-urlencoded` of
//! it often enough. Invariant: what [`BodyFormat::body`] makes of a document, [`extract_xml`] gives back byte for byte.

use std::borrow::Cow;

use crate::secret::safe_url;

/// The field that holds the document, as it is written, and as a form's own rules would have it.
const FIELD: [&[u8]; 2] = [b"params[xml]", b"params%5Bxml%5D"];

/// How a request carries an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// The body is the document.
    #[default]
    Xml,
    /// The body is a form whose field `params[xml]` is the document.
    Form,
}

impl BodyFormat {
    /// Both, the default first.
    pub const ALL: [BodyFormat; 2] = [BodyFormat::Xml, BodyFormat::Form];

    /// The word for it on the command line, in the configuration and in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            BodyFormat::Xml => "xml",
            BodyFormat::Form => "form",
        }
    }

    /// What the request says of its body.
    pub fn content_type(self) -> &'static str {
        match self {
            BodyFormat::Xml => "application/xml",
            BodyFormat::Form => "application/x-www-form-urlencoded",
        }
    }

    /// The body that carries a document.
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

/// The document that a body carries: of a form with a field `params[xml]` that field, else the body as it is.
pub fn extract_xml(body: &[u8]) -> Cow<'_, [u8]> {
    // A document is no form.
    if body.trim_ascii_start().starts_with(b"<") {
        return Cow::Borrowed(body);
    }
    let value = body.split(|byte| *byte == b'&').find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        FIELD
            .iter()
            .any(|field| name.eq_ignore_ascii_case(field))
            .then_some(value)
    });
    value.map_or(Cow::Borrowed(body), |value| {
        Cow::Owned(safe_url::form_decoded_bytes(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_form_and_the_plain_body_carry_the_same_document() {
        let document = "<event><name>a &amp; b+c = é</name></event>";
        let form = "utf8=1&params%5bxml%5D=%3Cevent%3E%3Cname%3Ea+%26amp%3B+b%2Bc+%3D+%C3%A9%3C%2Fname%3E%3C%2Fevent%3E&x=";
        assert_eq!(extract_xml(form.as_bytes()), document.as_bytes());
        assert_eq!(extract_xml(document.as_bytes()), document.as_bytes());
        assert_eq!(&*extract_xml(b"params[xml]=<a/>"), b"<a/>");
    }

    #[test]
    fn a_document_goes_out_as_it_is_or_as_the_one_field_of_a_form() {
        let document = "<a>é +&</a>\n".as_bytes();
        assert_eq!(&*BodyFormat::Xml.body(document), document);
        assert_eq!(
            &*BodyFormat::Form.body(document),
            b"params[xml]=%3Ca%3E%C3%A9+%2B%26%3C%2Fa%3E%0A"
        );
    }

    #[test]
    fn anything_else_is_left_as_it_is() {
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
        fn what_a_form_carries_is_the_document_byte_for_byte(document: Vec<u8>) {
            let body = BodyFormat::Form.body(&document);
            prop_assert_eq!(&*extract_xml(&body), &document[..]);
        }
    }
}
