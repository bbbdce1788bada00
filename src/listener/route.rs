//! Responses by method and path: `POST /paid=503x2,200`.

use std::str::FromStr;

use super::script::Script;
use crate::capture::Capture;

/// The requests with this method and path, and the script of their responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    method: String,
    /// The path without the final `*` of a prefix.
    path: String,
    /// Whether longer paths match too.
    is_prefix: bool,
    pub(super) script: Script,
}

impl Route {
    pub(super) fn matches(&self, capture: &Capture) -> bool {
        let path = capture.path();
        let matches_path = match self.is_prefix {
            true => path.starts_with(&self.path),
            false => path == self.path,
        };
        matches_path && capture.method().eq_ignore_ascii_case(&self.method)
    }
}

/// Reads `METHOD PATH=SCRIPT`. No script contains `=`, so a path may.
impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Route, String> {
        let form = || format!("write METHOD PATH=SCRIPT instead of `{text}`");
        let (request, script) = text.rsplit_once('=').ok_or_else(form)?;
        let (method, path) = request.trim().split_once(' ').ok_or_else(form)?;
        let path = path.trim();
        let is_method = method
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !is_method {
            return Err(format!("`{method}` is not a method, such as POST"));
        }
        let prefix = path.strip_suffix('*');
        let rest = prefix.unwrap_or(path);
        if rest.contains(['*', '?'])
            || !rest.is_empty() && !rest.starts_with('/')
            || path.is_empty()
        {
            return Err(format!(
                "`{path}` is not a path: it begins with `/`, has no query, and may end with `*`"
            ));
        }
        Ok(Route {
            method: method.to_owned(),
            path: rest.to_owned(),
            is_prefix: prefix.is_some(),
            script: script.trim().parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMs;

    fn matches(route: &str, request: &str) -> bool {
        let head = format!("{request} HTTP/1.1\r\n\r\n").into_bytes();
        let capture = Capture::new(UnixMs(0), ([127, 0, 0, 1], 1).into(), head);
        route.parse::<Route>().unwrap().matches(&capture)
    }

    #[test]
    fn routes_match_method_and_path() {
        for (route, request, expected) in [
            ("POST /paid=200", "POST /paid?a=1", true),
            ("post  /paid = 200", "POST /paid", true),
            ("POST /paid=200", "GET /paid", false),
            ("POST /paid=200", "POST /paid/1", false),
            ("POST /paid/*=200", "POST /paid/1", true),
            ("POST /paid/*=200", "POST /paid", false),
            ("OPTIONS *=204", "OPTIONS *", true),
            ("OPTIONS *=204", "OPTIONS /any/path", true),
            ("GET /a=b=200", "GET /a=b", true),
        ] {
            assert_eq!(matches(route, request), expected, "{route} {request}");
        }
    }

    #[test]
    fn invalid_routes_are_explained() {
        for (route, words) in [
            ("/paid=200", "write METHOD PATH=SCRIPT"),
            ("POST /paid", "write METHOD PATH=SCRIPT"),
            ("POST paid=200", "`paid` is not a path"),
            ("POST /a*b=200", "`/a*b` is not a path"),
            ("POST /a?b=200", "is not a path"),
            ("PO/ST /a=200", "`PO/ST` is not a method"),
            ("POST /a=20", "`20` is not a response status"),
            ("POST /a=503x2", "last step"),
        ] {
            let error = route.parse::<Route>().unwrap_err();
            assert!(error.contains(words), "{route}: {error}");
        }
    }
}
