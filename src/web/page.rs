//! The page: a template whose nonce and token are new in each response.
//!
//! The Content-Security-Policy runs only the page's own script and style, loads nothing from elsewhere, and forbids frames.

use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Web;
use super::auth::random_hex;

/// Markup, style and script, with the placeholders `{{nonce}}`, `{{token}}` and `{{program}}`.
const TEMPLATE: &str = include_str!("page.html");

pub(super) async fn show(State(state): Web) -> Response {
    let nonce = random_hex();
    let program = utf8_percent_encode(&state.options.program, NON_ALPHANUMERIC).to_string();
    let html = TEMPLATE
        .replace("{{nonce}}", &nonce)
        .replace("{{token}}", state.options.auth.page_token.expose())
        .replace("{{program}}", &program);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let opener = HeaderName::from_static("cross-origin-opener-policy");
    let headers = [
        (CONTENT_SECURITY_POLICY, policy),
        (opener, "same-origin".to_owned()),
    ];
    (headers, Html(html)).into_response()
}
