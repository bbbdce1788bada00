//! The secrets that the catcher demands of whoever sends it something.
//!
//! Deliberately looks at the query only, which is where 3scale puts them.
//!
//! Invariant: a request passes only if each demanded parameter is there, and has the demanded value wherever it is there.

use crate::secret::Secret;

/// Query parameters with the values they must have.
#[derive(Clone, Debug, Default)]
pub(super) struct Demanded(pub Vec<(String, Secret)>);

impl Demanded {
    /// Whether this raw query has them all; `None` if none is demanded.
    pub(super) fn are_in(&self, query: Option<&str>) -> Option<bool> {
        if self.0.is_empty() {
            return None;
        }
        let query = query.unwrap_or_default().as_bytes();
        // Neither loop ends early: the time it takes does not tell which parameter was wrong.
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
    fn each_must_be_there_and_right_wherever_it_is() {
        let secrets = [("token", "a b"), ("app", "x")]
            .map(|(name, value)| (name.to_owned(), Secret::new(value)));
        let demanded = Demanded(secrets.into());
        for query in [
            "token=a%20b&app=x",
            "app=x&token=a+b",
            "other=1&%74oken=a+b&app=x",
            "token=a+b&app=x&token=a%20b",
        ] {
            assert_eq!(demanded.are_in(Some(query)), Some(true), "{query}");
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
            assert_eq!(demanded.are_in(Some(query)), Some(false), "{query}");
        }
        assert_eq!(demanded.are_in(None), Some(false));
        assert_eq!(Demanded::default().are_in(Some("token=c")), None);
    }
}
