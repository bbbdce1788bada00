//! The signed content as a template: `{timestamp}.{body}`.

use std::borrow::Cow;

use crate::text::did_you_mean;

/// Text with placeholders for what differs between requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PayloadTemplate(Cow<'static, str>);

/// A part of the signed content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TemplatePart<'a> {
    Text(&'a str),
    /// The value of the header `webhook-id`.
    Id,
    /// The time of signing, in seconds since 1970.
    Timestamp,
    Body,
}

const PLACEHOLDERS: [(&str, TemplatePart<'static>); 3] = [
    ("{id}", TemplatePart::Id),
    ("{timestamp}", TemplatePart::Timestamp),
    ("{body}", TemplatePart::Body),
];

/// Why text is not a template.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PayloadError {
    #[error(
        "`payload` contains the unknown placeholder `{{{name}}}`{}",
        did_you_mean(.name, ["id", "timestamp", "body"])
    )]
    Unknown { name: String },
    #[error("`payload` contains a `{{` without `}}`; it begins a placeholder such as `{{body}}`")]
    Unclosed,
    #[error("`payload` must contain `{{body}}`, because a signature without it fits any body")]
    NoBody,
}

impl PayloadTemplate {
    /// For templates of this program.
    pub const fn known(text: &'static str) -> PayloadTemplate {
        PayloadTemplate(Cow::Borrowed(text))
    }

    pub fn parse(text: String) -> Result<PayloadTemplate, PayloadError> {
        let payload = PayloadTemplate(Cow::Owned(text));
        for part in payload.parts() {
            if let TemplatePart::Text(text) = part
                && let Some(rest) = text.strip_prefix('{')
            {
                let (name, _) = rest.split_once('}').ok_or(PayloadError::Unclosed)?;
                let name = name.to_owned();
                return Err(PayloadError::Unknown { name });
            }
        }
        match payload.contains(TemplatePart::Body) {
            true => Ok(payload),
            false => Err(PayloadError::NoBody),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn contains(&self, part: TemplatePart<'_>) -> bool {
        self.parts().any(|own| own == part)
    }

    pub fn parts(&self) -> impl Iterator<Item = TemplatePart<'_>> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let known = PLACEHOLDERS.into_iter();
            let mut known = known.filter_map(|(text, part)| Some((part, rest.strip_prefix(text)?)));
            if let Some((part, after)) = known.next() {
                rest = after;
                return Some(part);
            }
            let mut braces = rest.match_indices('{').map(|(at, _)| at);
            let end = braces.find(|at| *at > 0).unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            rest = after;
            (!text.is_empty()).then_some(TemplatePart::Text(text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_is_split_at_its_placeholders() {
        let payload = PayloadTemplate::parse("v0:é{timestamp}{id}.}{body}".to_owned()).unwrap();
        let parts: Vec<TemplatePart<'_>> = payload.parts().collect();
        assert_eq!(
            parts,
            [
                TemplatePart::Text("v0:é"),
                TemplatePart::Timestamp,
                TemplatePart::Id,
                TemplatePart::Text(".}"),
                TemplatePart::Body
            ]
        );
    }

    #[test]
    fn unusable_templates_are_explained() {
        for (text, words) in [
            ("{time}.{body}", "unknown placeholder `{time}`"),
            ("{timestmp}.{body}", "did you mean `timestamp`?"),
            ("{body}{", "a `{` without `}`"),
            ("{{body}}", "a `{` without `}`"),
            ("{timestamp}", "must contain `{body}`"),
            ("", "must contain `{body}`"),
        ] {
            let error = PayloadTemplate::parse(text.to_owned())
                .unwrap_err()
                .to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
