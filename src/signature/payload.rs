//! The signed content as a template: `{timestamp}.{body}`.

use std::borrow::Cow;

use crate::text::did_you_mean;

/// Text with placeholders for what differs between requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload(Cow<'static, str>);

/// A part of the signed content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    /// The header `webhook-id`.
    Id,
    /// In seconds since 1970.
    Timestamp,
    Body,
}

const PLACEHOLDERS: [(&str, Part<'static>); 3] = [
    ("{id}", Part::Id),
    ("{timestamp}", Part::Timestamp),
    ("{body}", Part::Body),
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

impl Payload {
    /// For templates of this program.
    pub const fn known(text: &'static str) -> Payload {
        Payload(Cow::Borrowed(text))
    }

    pub fn parse(text: String) -> Result<Payload, PayloadError> {
        let payload = Payload(Cow::Owned(text));
        for part in payload.parts() {
            if let Part::Text(text) = part
                && let Some(rest) = text.strip_prefix('{')
            {
                let (name, _) = rest.split_once('}').ok_or(PayloadError::Unclosed)?;
                let name = name.to_owned();
                return Err(PayloadError::Unknown { name });
            }
        }
        match payload.contains(Part::Body) {
            true => Ok(payload),
            false => Err(PayloadError::NoBody),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn contains(&self, part: Part<'_>) -> bool {
        self.parts().any(|own| own == part)
    }

    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
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
            (!text.is_empty()).then_some(Part::Text(text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_is_split_at_its_placeholders() {
        let payload = Payload::parse("v0:é{timestamp}{id}.}{body}".to_owned()).unwrap();
        let parts: Vec<Part<'_>> = payload.parts().collect();
        assert_eq!(
            parts,
            [
                Part::Text("v0:é"),
                Part::Timestamp,
                Part::Id,
                Part::Text(".}"),
                Part::Body
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
            let error = Payload::parse(text.to_owned()).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
