//! Which requests are not caught, because they ask for what was: a handful of reserved paths.
//!
//! Deliberately does not say who may ask: see `guard`.
//!
//! Invariant: what is decided here, is decided on the decoded path, so that no other spelling of a reserved path is caught
//! or passes by the guard.

use hyper::{Method, Uri};
use percent_encoding::percent_decode_str;

/// The first segment of all paths that are hookfire's own.
const OWN: &str = "_hookfire";

/// Segments that a reserved path may have.
const SEGMENTS: usize = 64;

/// What a reserved request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// The page.
    Page,
    /// The live stream.
    Live,
    /// The data behind the page; the path's segments, decoded.
    Data(Vec<String>),
    /// RequestBin's API; the path's segments, decoded.
    Api(Vec<String>),
    /// A stand-in for a 3scale tenant; the path's segments, decoded.
    Tenant(Vec<String>),
    /// Nothing that there is.
    Nothing,
}

/// What the request asks for, if its path is reserved; `None` if it is to be caught.
pub(super) fn reserved(method: &Method, uri: &Uri, as_tenant: bool) -> Option<Route> {
    own(uri.path())
        .or_else(|| as_tenant.then(|| tenant(uri.path())).flatten())
        .or_else(|| {
            let inspects = method == Method::GET && uri.query().is_some_and(asks_to_inspect);
            inspects.then_some(Route::Page)
        })
}

fn own(path: &str) -> Option<Route> {
    // Nearly everything ends here.
    if !(path.starts_with("/_") || path.starts_with("/api") || path.contains('%')) {
        return None;
    }
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut segments = path
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy());
    match segments.next()?.as_ref() {
        OWN => {}
        "api"
            if segments.next().is_some_and(|segment| segment == "v1")
            // No more of it than RequestBin has: others have an API of that kind of name, too.
            && segments.next().is_some_and(|segment| segment == "bins") => {}
        _ => return None,
    }
    let segments: Vec<String> = path
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let named: Vec<&str> = segments.iter().map(String::as_str).collect();
    Some(match named.as_slice() {
        _ if segments.len() > SEGMENTS => Route::Nothing,
        [OWN] => Route::Page,
        [OWN, "events"] => Route::Live,
        [OWN, "api", ..] => Route::Data(segments),
        [OWN, ..] => Route::Nothing,
        _ => Route::Api(segments),
    })
}

/// A path of a tenant's API. All of them are reserved, also those that a stand-in has no answer for: each carries the
/// tenant's token, which is not to be caught.
fn tenant(path: &str) -> Option<Route> {
    let path = path.strip_prefix('/')?;
    let segments: Vec<String> = path
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let named: Vec<&str> = segments.iter().map(String::as_str).collect();
    match named.as_slice() {
        ["admin", ..] if segments.len() > SEGMENTS => Some(Route::Nothing),
        ["admin", ..] => Some(Route::Tenant(segments)),
        _ => None,
    }
}

/// Whether `inspect` is among the query's names, without a value.
fn asks_to_inspect(query: &str) -> bool {
    query.split('&').any(|pair| pair == "inspect")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(uri: &str) -> Option<Route> {
        reserved(&Method::GET, &uri.parse().unwrap(), false)
    }

    fn segments(path: &[&str]) -> Vec<String> {
        path.iter().map(|&segment| segment.to_owned()).collect()
    }

    #[test]
    fn reserved_paths_in_every_spelling() {
        for page in [
            "/_hookfire",
            "/_hookfire/",
            "/%5Fhookfire/",
            "http://h/_hookfire/?x",
            "/bin?inspect",
            "/?a=1&inspect",
        ] {
            assert_eq!(get(page), Some(Route::Page), "{page}");
        }
        assert_eq!(get("/_hookfire/events?x"), Some(Route::Live));
        let data = Some(Route::Data(segments(&[
            "_hookfire",
            "api",
            "captures",
            "a/b",
        ])));
        for path in [
            "/_hookfire/api/captures/a%2Fb",
            "/_hookfire/%61pi/captures/a%2fb/",
        ] {
            assert_eq!(get(path), data, "{path}");
        }
        assert_eq!(
            get("/api/v1/bins/"),
            Some(Route::Api(segments(&["api", "v1", "bins"])))
        );
        assert_eq!(
            get("/api/v%31/b%69ns"),
            Some(Route::Api(segments(&["api", "v1", "bins"])))
        );
        assert_eq!(get("/_hookfire/other"), Some(Route::Nothing));
        assert_eq!(
            get(&format!("/api/v1/bins{}", "/x".repeat(62))),
            Some(Route::Nothing)
        );
        assert_eq!(
            get(&format!("/api/v1/bins{}", "/x".repeat(61))),
            Some(Route::Api(
                [segments(&["api", "v1", "bins"]), vec!["x".to_owned(); 61]].concat()
            ))
        );
    }

    #[test]
    fn a_tenants_paths_are_only_those_of_one_that_stands_in() {
        for (path, own) in [
            ("/admin/api/webhooks/failures.xml?time=x", true),
            ("/admin/api/webhooks/failures%2Ejson", true),
            ("/admin/api/webhooks.json", true),
            ("/admin/api/accounts/1.xml?access_token=x", true),
            ("/%61dmin/admin/api/webhooks.json", true),
            ("/administrator", false),
            ("/hook/admin/api", false),
        ] {
            let found = reserved(&Method::DELETE, &path.parse().unwrap(), true);
            assert_eq!(matches!(found, Some(Route::Tenant(_))), own, "{path}");
            assert_eq!(get(path), None, "{path}");
        }
    }

    #[test]
    fn everything_else_is_caught() {
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
            "//api/v1",
            "/bin?inspect=1",
            "/bin?inspector",
        ] {
            assert_eq!(get(path), None, "{path}");
        }
        assert_eq!(
            reserved(&Method::POST, &"/bin?inspect".parse().unwrap(), false),
            None
        );
        assert_eq!(
            reserved(&Method::CONNECT, &"host:443".parse().unwrap(), false),
            None
        );
        assert_eq!(
            reserved(&Method::POST, &"/api/v1/bins".parse().unwrap(), false),
            Some(Route::Api(segments(&["api", "v1", "bins"])))
        );
    }
}
