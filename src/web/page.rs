//! The page: a template whose nonce and token are new in each response.
//!
//! The Content-Security-Policy runs only the page's own script and style, loads nothing from elsewhere, and forbids frames.

use axum::Extension;
use axum::extract::State;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::http::{HeaderName, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Web;
use super::auth::{Rights, random_hex};
use crate::capture::is_bin_name;

/// The markup, with the placeholders `{{nonce}}`, `{{token}}`, `{{program}}`, `{{style}}` and `{{script}}`. The page is
/// read-only without a token.
const TEMPLATE: &str = include_str!("page/index.html");
const TOKEN_FORM: &str = include_str!("page/token.html");
const STYLE: &str = include_str!("page/style.css");
/// One script: the files share their names.
const SCRIPT: &str = concat!(
    include_str!("page/base.js"),
    include_str!("page/bins.js"),
    include_str!("page/captures.js"),
    include_str!("page/deliveries.js"),
    include_str!("page/main.js"),
);

pub(super) async fn show(State(state): Web, Extension(rights): Extension<Rights>) -> Response {
    let nonce = random_hex();
    let token = match rights {
        Rights::Change => state.options.auth.page_token.expose(),
        Rights::Read => "",
    };
    let program = utf8_percent_encode(&state.options.program, NON_ALPHANUMERIC).to_string();
    let html = TEMPLATE
        .replace("{{nonce}}", &nonce)
        .replace("{{token}}", token)
        .replace("{{program}}", &program)
        .replace("{{style}}", STYLE)
        .replace("{{script}}", SCRIPT);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    with_policy(policy, html)
}

/// Asks for the token of an exposed listener. The form opens the page with the token in the query, as the link that is
/// printed at the start does.
pub(super) fn token_form(uri: &Uri) -> Response {
    let nonce = random_hex();
    let query = uri.query().unwrap_or_default().as_bytes();
    let parameter = |name| form_urlencoded::parse(query).find(|(given, _)| given == name);
    let message = match parameter("token") {
        Some(_) => "That is not the token of this listener. ",
        None => "",
    };
    let first_segment = uri.path().split('/').nth(1).unwrap_or_default().to_owned();
    let bin = parameter("bin").map_or(first_segment, |(_, bin)| bin.into_owned());
    let bin = match is_bin_name(&bin) && bin != "_hookfire" {
        true => format!("<input type=\"hidden\" name=\"bin\" value=\"{bin}\">"),
        false => String::new(),
    };
    let html = TOKEN_FORM
        .replace("{{nonce}}", &nonce)
        .replace("{{style}}", STYLE)
        .replace("{{message}}", message)
        .replace("{{bin}}", &bin);
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'"
    );
    (StatusCode::UNAUTHORIZED, with_policy(policy, html)).into_response()
}

fn with_policy(policy: String, html: String) -> Response {
    let opener = HeaderName::from_static("cross-origin-opener-policy");
    let headers = [
        (CONTENT_SECURITY_POLICY, policy),
        (opener, "same-origin".to_owned()),
    ];
    (headers, Html(html)).into_response()
}
