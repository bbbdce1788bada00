//! The reserved paths: requests for them are served by the web UI instead of being captured.
//!
//! Paths are compared in one canonical spelling, percent-decoded and without a final slash. So no other spelling of a
//! reserved path is captured, or gets past the checks in `auth`.

use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

pub(super) const PAGE: &str = "/_hookfire";
pub(super) const EVENTS: &str = "/_hookfire/events";
pub(super) const PAGE_API: &str = "/_hookfire/api";
pub(super) const REQUESTBIN_API: &str = "/api/v1/bins";
pub(super) const PORTAL: &str = "/admin";

/// What stays percent-encoded in a segment: everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A group of reserved paths with rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    Page,
    Events,
    PageApi,
    RequestBin,
    /// The portal emulator, which checks a token of its own.
    Portal,
}

/// The first that fits decides.
const AREAS: [(&str, Area); 5] = [
    (EVENTS, Area::Events),
    (PAGE_API, Area::PageApi),
    (PAGE, Area::Page),
    (REQUESTBIN_API, Area::RequestBin),
    (PORTAL, Area::Portal),
];

/// The area and canonical spelling of a reserved path; `None` for requests to be captured.
///
/// A GET of any path with the bare parameter `inspect` asks for the page, as at RequestBin.
pub(super) fn reserved(
    method: &Method,
    uri: &Uri,
    emulates_portal: bool,
) -> Option<(Area, String)> {
    let mut parameters = uri.query().unwrap_or_default().split('&');
    if method == Method::GET && parameters.any(|pair| pair == "inspect") {
        return Some((Area::Page, PAGE.to_owned()));
    }
    let path = canonical(uri.path());
    let (_, area) = AREAS.iter().find(|(root, _)| is_below(&path, root))?;
    (*area != Area::Portal || emulates_portal).then_some((*area, path))
}

/// `path` with the query of `uri`, as the router gets it.
pub(super) fn with_path(uri: &Uri, path: &str) -> Uri {
    let full = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    // A canonical path and a query that was parsed before are valid.
    PathAndQuery::try_from(full).map_or_else(|_| Uri::default(), Uri::from)
}

/// Whether `path` is `root` or one of the paths below it.
fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn canonical(path: &str) -> String {
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments = path.split('/').map(|segment| {
        let decoded = percent_decode_str(segment).decode_utf8_lossy();
        utf8_percent_encode(&decoded, ENCODED).to_string()
    });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(uri: &str) -> Option<String> {
        reserved(&Method::GET, &uri.parse().unwrap(), false).map(|(_, path)| path)
    }

    #[test]
    fn reserved_paths_are_found_in_every_spelling() {
        for (uri, path) in [
            ("/_hookfire", PAGE),
            ("/_hookfire/", PAGE),
            ("/%5Fhookfire/", PAGE),
            ("http://h/_hookfire/?x", PAGE),
            ("/bin?inspect", PAGE),
            ("/?a=1&inspect", PAGE),
            ("/_hookfire/events?x", EVENTS),
            (
                "/_hookfire/api/captures/a%2Fb",
                "/_hookfire/api/captures/a%2Fb",
            ),
            (
                "/_hookfire/%61pi/captures/a%2fb/",
                "/_hookfire/api/captures/a%2Fb",
            ),
            ("/api/v1/bins/", REQUESTBIN_API),
            ("/api/v%31/b%69ns", REQUESTBIN_API),
            ("/_hookfire/other", "/_hookfire/other"),
        ] {
            assert_eq!(get(uri).as_deref(), Some(path), "{uri}");
        }
    }

    #[test]
    fn portal_paths_are_reserved_only_while_emulated() {
        for (path, is_reserved) in [
            ("/admin/api/webhooks/failures.xml?time=x", true),
            ("/admin/api/webhooks/failures%2Ejson", true),
            ("/%61dmin/admin/api/webhooks.json", true),
            ("/administrator", false),
            ("/hook/admin/api", false),
        ] {
            let uri = path.parse().unwrap();
            assert_eq!(
                reserved(&Method::DELETE, &uri, true).is_some(),
                is_reserved,
                "{path}"
            );
            assert_eq!(get(path), None, "{path}");
        }
    }

    #[test]
    fn other_paths_are_captured() {
        for path in [
            "/",
            "*",
            "/api",
            "/api/v2/bins",
            "/api/v1",
            "/api/v1/hooks",
            "/api/v1/binsx",
            "/_hookfirex",
            "/x/_hookfire/",
            "//api/v1/bins",
            "/bin?inspect=1",
            "/bin?inspector",
        ] {
            assert_eq!(get(path), None, "{path}");
        }
        assert_eq!(
            reserved(&Method::POST, &"/bin?inspect".parse().unwrap(), false),
            None
        );
    }

    #[test]
    fn the_query_is_kept_for_the_router() {
        let uri = "http://h/%5Fhookfire/?a=%20".parse().unwrap();
        assert_eq!(with_path(&uri, PAGE), "/_hookfire?a=%20");
    }
}
