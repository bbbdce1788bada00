//! Checks the secrets that captured requests must have in their query, where 3scale puts them.

use crate::secret::Secret;

/// Query parameters that must be present, and must have the given value wherever they occur.
#[derive(Clone, Debug, Default)]
pub(super) struct RequiredSecrets(pub Vec<(String, Secret)>);

impl RequiredSecrets {
    /// Whether a raw query has all of them; `None` if none is required.
    pub(super) fn check(&self, query: Option<&str>) -> Option<bool> {
        if self.0.is_empty() {
            return None;
        }
        let query = query.unwrap_or_default().as_bytes();
        // Neither loop ends early, so that the duration does not reveal which parameter is wrong.
        let passed = self.0.iter().fold(true, |passed, (name, secret)| {
            let mut values = form_urlencoded::parse(query)
                .filter(|(given, _)| given == name)
                .peekable();
            let given = values.peek().is_some();
            let right = values.fold(true, |right, (_, value)| {
                right & secret.is(value.as_bytes())
            });
            passed & given & right
        });
        Some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_is_required_wherever_it_occurs() {
        let secrets = [("token", "a b"), ("app", "x")]
            .map(|(name, value)| (name.to_owned(), Secret::new(value)));
        let required = RequiredSecrets(secrets.into());
        for query in [
            "token=a%20b&app=x",
            "app=x&token=a+b",
            "other=1&%74oken=a+b&app=x",
            "token=a+b&app=x&token=a%20b",
        ] {
            assert_eq!(required.check(Some(query)), Some(true), "{query}");
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
            assert_eq!(required.check(Some(query)), Some(false), "{query}");
        }
        assert_eq!(required.check(None), Some(false));
        assert_eq!(RequiredSecrets::default().check(Some("token=c")), None);
    }
}
