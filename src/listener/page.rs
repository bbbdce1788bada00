//! The page as it leaves: the template with what is new in each answer, under headers that let it do nothing else.
//!
//! Deliberately knows nothing of what the page shows or does.
//!
//! Invariant: only the page's own script and style run, as their nonce is not known beforehand; nothing is loaded from
//! anywhere else, and no other site can frame the page or read it.

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, REFERRER_POLICY,
};
use hyper::header::{SET_COOKIE, X_CONTENT_TYPE_OPTIONS};

use super::answer::Answer;
use crate::secret::Secret;

/// The page with its nonce and token filled in; sets the cookie, if there is one.
pub(super) fn page(template: &str, nonce: &str, token: &Secret, cookie: Option<String>) -> Answer {
    let html = template
        .replace("{{nonce}}", nonce)
        .replace("{{token}}", token.expose());
    let mut response = Response::new(Bytes::from(html));
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    keep_to_itself(headers);
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    // A nonce is hexadecimal, and so is a token that hookfire made.
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    if let Some(Ok(cookie)) = cookie.map(HeaderValue::try_from) {
        headers.insert(SET_COOKIE, cookie);
    }
    response
}

/// Headers of everything that is shown: it is kept nowhere, taken for nothing else, and no address leaves with a link.
pub(super) fn keep_to_itself(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
