//! Turns a captured request into one to send: for `captured replay`, the page's "send again", `listen --forward-to`, and
//! deliveries that forward a capture.
//!
//! Method, path, query, headers and body are unchanged, except for headers about one connection and what the destination
//! sets itself. Incomplete captures are refused.

use std::sync::Arc;

use http::uri::Authority;

use crate::capture::{Body, Capture, HOPS_HEADER, Mask, credentials};
use crate::delivery::target::{MissingSecret, Resolved, Target};
use crate::http::{MAX_RESPONSE_BODY, MAX_STORED_BODY, Request};
use crate::secret::{Secret, Variables, safe_url};
use crate::signature::{ID_HEADER, Signer};
use crate::text::listed;
use crate::time::UnixMs;

/// The header that tells a receiver of a replay which capture it is.
pub const REPLAY_OF: &str = "hookfire-replay-of";

/// Adds the number of listeners that have forwarded a request, with this one.
pub fn add_hop(capture: &Capture, headers: &mut Vec<(String, Vec<u8>)>) {
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case(HOPS_HEADER));
    let hops = capture.hops().saturating_add(1).to_string();
    headers.push((HOPS_HEADER.to_owned(), hops.into_bytes()));
}

/// How the captures of deliveries are forwarded.
#[derive(Clone, Debug, Default)]
pub struct ForwardRules {
    /// Masks the captures' secrets in responses.
    pub mask: Mask,
    /// Leave out the captures' credentials, because they are sent elsewhere than they were meant for.
    pub withholds_credentials: bool,
}

/// The request of a delivery that forwards a capture: the capture's path is appended to that of the target. It has the
/// capture's `webhook-id`, if there is one, else `id`.
pub fn forwarded(
    capture: &Capture,
    body: &[u8],
    target: &Resolved,
    id: &str,
    rules: &ForwardRules,
    at: UnixMs,
) -> Request {
    let mut kept = kept_headers(capture, target);
    if rules.withholds_credentials {
        let names = credentials(kept.iter().copied());
        kept.retain(|(name, _)| !names.contains(name));
    }
    let mut headers = with_own_headers(kept, target);
    add_hop(capture, &mut headers);
    let given_id = capture.header(ID_HEADER).map(<[u8]>::to_vec);
    if given_id.is_none() {
        headers.push((ID_HEADER.to_owned(), id.as_bytes().to_vec()));
    }
    let mut redactor = Arc::clone(&target.redactor);
    Arc::make_mut(&mut redactor).add(&rules.mask.hidden_values(capture));
    // A target without a path, such as `*`, is sent to the target's own.
    let url = joined_url(capture, target, true);
    let mut request = Request {
        method: capture.method().to_owned(),
        url: url.map_or_else(|_| target.url.clone(), |url| Secret::new(&url)),
        headers,
        body: body_of(capture, body),
        body_limit: MAX_STORED_BODY + redactor.reach().max(1),
        redactor,
        memory: None,
    };
    if let Some(signer) = &target.signer {
        let id = given_id.unwrap_or_else(|| id.as_bytes().to_vec());
        request.sign(signer, &id, at);
    }
    request
}

/// Where captures are sent, and how.
#[derive(Clone, Debug)]
pub struct ReplayTarget {
    pub target: Target,
    /// Append a capture's path to that of the target, instead of sending it to the target's own.
    pub appends_path: bool,
    /// Send captured credentials to another host than they were sent to.
    pub send_credentials: bool,
    /// The capture's id, sent as `hookfire-replay-of`.
    pub replay_of: Option<i64>,
    /// Masks the request and its response for display.
    pub mask: Mask,
}

/// Why a capture cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the captured request is incomplete and cannot be replayed")]
    Partial,
    #[error("its target `{0}` has no path, and the URL to send it to has none either")]
    NoPath(String),
    #[error("its target contains a `#` and cannot be sent unchanged")]
    Unsendable,
    #[error("it carries {} for {}, not for `{there}`", listed(.names.iter().map(String::as_str)), host_text(.sent_to.as_deref()))]
    Credentials {
        names: Vec<String>,
        /// The host of the captured request.
        sent_to: Option<String>,
        there: String,
    },
    #[error(transparent)]
    Secret(#[from] MissingSecret),
}

fn host_text(host: Option<&str>) -> String {
    match host {
        Some(host) => format!("`{host}`"),
        None => "an unknown host".to_owned(),
    }
}

/// A request and its URL as it may be shown.
#[derive(Clone)]
pub struct Prepared {
    pub request: Request,
    pub shown_url: String,
    /// Signs the request when it is sent: signatures are too old after some minutes.
    signer: Option<Signer>,
}

impl Prepared {
    /// Signs the request if the destination says so.
    pub fn sign(&mut self, at: UnixMs) {
        if let Some(signer) = &self.signer {
            let mut headers = self.request.headers.iter();
            let id = headers.find(|(name, _)| name.eq_ignore_ascii_case(ID_HEADER));
            let id = id.map(|(_, value)| value.clone()).unwrap_or_default();
            self.request.sign(signer, &id, at);
        }
    }
}

/// Makes the request. A destination without a path (or with `/`) gets the capture's path; one without a
/// query gets the capture's query.
pub fn prepare(
    capture: &Capture,
    body: &Body,
    destination: &ReplayTarget,
    variables: &dyn Variables,
) -> Result<Prepared, ReplayError> {
    if capture.malformed {
        return Err(ReplayError::Partial);
    }
    let target = &destination.target;
    let resolved = target.resolve(variables)?;
    let url = joined_url(capture, &resolved, destination.appends_path)?;
    let headers = kept_headers(capture, &resolved);
    if !destination.send_credentials {
        refuse_credentials(capture, &headers, target)?;
    }
    let mut headers = with_own_headers(headers, &resolved);
    if let Some(id) = destination.replay_of {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(REPLAY_OF));
        headers.push((REPLAY_OF.to_owned(), id.to_string().into_bytes()));
    }
    let signs_id = resolved.signer.as_ref().is_some_and(Signer::signs_id);
    let has_id = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(ID_HEADER));
    if let Some(id) = destination.replay_of.filter(|_| signs_id && !has_id) {
        headers.push((ID_HEADER.to_owned(), format!("capture-{id}").into_bytes()));
    }
    let mut redactor = resolved.redactor;
    Arc::make_mut(&mut redactor).add(&destination.mask.hidden_values(capture));
    let request = Request {
        method: capture.method().to_owned(),
        url: Secret::new(&url),
        headers,
        body: body_of(capture, &body.bytes),
        redactor,
        body_limit: MAX_RESPONSE_BODY,
        memory: None,
    };
    Ok(Prepared {
        request,
        shown_url: shown(capture, target, &destination.mask, &url),
        signer: resolved.signer,
    })
}

/// The capture's headers that are not about its connection, and that the target does not replace.
fn kept_headers<'c>(capture: &'c Capture, target: &Resolved) -> Vec<(&'c str, &'c [u8])> {
    let mut headers = capture.end_to_end_headers();
    headers.retain(|(name, _)| !target.has_header(name));
    if let Some(signer) = &target.signer {
        headers.retain(|(name, _)| !signer.replaces(name));
    }
    headers
}

fn with_own_headers(kept: Vec<(&str, &[u8])>, target: &Resolved) -> Vec<(String, Vec<u8>)> {
    let own = target.headers.iter();
    let own = own.map(|(name, value)| (name.as_str(), value.expose().as_bytes()));
    let all = kept.into_iter().chain(own);
    all.map(|(name, value)| (name.to_owned(), value.to_vec()))
        .collect()
}

/// An empty body differs from none.
fn body_of(capture: &Capture, body: &[u8]) -> Option<Vec<u8>> {
    let has_body = ["content-length", "transfer-encoding"]
        .iter()
        .any(|name| capture.header(name).is_some());
    (has_body || !body.is_empty()).then(|| body.to_vec())
}

/// A path of `/` is not appended, so that a sender without a path reaches exactly the target.
fn joined_url(
    capture: &Capture,
    target: &Resolved,
    appends_path: bool,
) -> Result<String, ReplayError> {
    let own_query = target.url.expose().split_once('?').map(|(_, query)| query);
    let own_path = target.base.path();
    let query = own_query.or(capture.query());
    let path = if own_path != "/" && (!appends_path || capture.path() == "/") {
        own_path.to_owned()
    } else if capture.path().starts_with('/') {
        format!("{}{}", own_path.trim_end_matches('/'), capture.path())
    } else {
        return Err(ReplayError::NoPath(capture.path().to_owned()));
    };
    target
        .base
        .with_target(&path, query)
        .ok_or(ReplayError::Unsendable)
}

/// The URL with the secrets of capture and destination masked.
fn shown(capture: &Capture, target: &Target, mask: &Mask, url: &str) -> String {
    if !target.params.is_empty() {
        return safe_url::masked(url);
    }
    let path = url.split('?').next().unwrap_or_default();
    match mask.target(capture).split_once('?') {
        Some((_, query)) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

fn refuse_credentials(
    capture: &Capture,
    headers: &[(&str, &[u8])],
    target: &Target,
) -> Result<(), ReplayError> {
    let names = credentials(headers.iter().copied());
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let host = capture
        .header("host")
        .map(|host| String::from_utf8_lossy(host));
    if names.is_empty() || host.as_ref().is_some_and(|host| target.base.is_host(host)) {
        return Ok(());
    }
    let sent_to = host.map(|host| match host.parse::<Authority>() {
        Ok(authority) => authority.host().to_owned(),
        Err(_) => host.into_owned(),
    });
    let there = target.base.host().to_owned();
    Err(ReplayError::Credentials {
        names,
        sent_to,
        there,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::target::Param;
    use crate::secret::{SecretSource, TestVariables};
    use crate::time::UnixMs;

    fn captured(head: &[u8]) -> Capture {
        let mut capture = Capture::new(
            UnixMs(0),
            std::net::SocketAddr::from(([127, 0, 0, 1], 1)),
            head.to_vec(),
        );
        capture.malformed = false;
        capture
    }

    fn to(url: &str) -> ReplayTarget {
        let mask = Mask {
            names: ["token".to_owned()].into(),
            ..Mask::default()
        };
        ReplayTarget {
            target: Target::from_url(url).unwrap(),
            appends_path: false,
            send_credentials: false,
            replay_of: None,
            mask,
        }
    }

    fn prepared(head: &[u8], destination: &ReplayTarget) -> Result<Prepared, ReplayError> {
        let body = Body {
            bytes: b"body".into(),
            wire: None,
        };
        prepare(&captured(head), &body, destination, &TestVariables(&[]))
    }

    #[test]
    fn the_capture_says_path_and_query_unless_the_url_does() {
        for (target, to_url, sent) in [
            (
                "/a%20b?x=1&token=secret",
                "http://h:1",
                "http://h:1/a%20b?x=1&token=secret",
            ),
            ("/a?x=1", "http://h/", "http://h/a?x=1"),
            ("/a?x=1", "http://h/?y=2", "http://h/a?y=2"),
            ("/a?x=1", "http://h/own", "http://h/own?x=1"),
            ("/a?x=1", "http://h/own?y=%41", "http://h/own?y=%41"),
            ("http://other/a", "http://h", "http://h/a"),
            ("*", "http://h/own", "http://h/own"),
        ] {
            let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            let prepared = prepared(head.as_bytes(), &to(to_url)).unwrap();
            assert_eq!(prepared.request.url.expose(), sent, "{target} {to_url}");
            let url = &prepared.shown_url;
            assert!(!url.contains("secret"), "{url}");
            let is_masked = prepared.request.redactor.redact("secret") == "***";
            assert_eq!(is_masked, sent.contains("secret"));
        }
        let none = prepared(b"OPTIONS * HTTP/1.1\r\n\r\n", &to("http://h"));
        assert!(matches!(none, Err(ReplayError::NoPath(path)) if path == "*"));
    }

    #[test]
    fn a_target_is_sent_as_it_came_or_not_at_all() {
        for target in ["/a/../b", "/a\\b?q={'x':1}"] {
            let head = format!("GET {target} HTTP/1.1\r\n\r\n");
            let sent = prepared(head.as_bytes(), &to("http://h")).unwrap();
            assert_eq!(sent.request.url.expose(), format!("http://h{target}"));
        }
        let none = prepared(b"GET /a?b#c HTTP/1.1\r\n\r\n", &to("http://h"));
        assert!(matches!(none, Err(ReplayError::Unsendable)));
    }

    #[test]
    fn headers_go_on_but_for_those_of_one_connection() {
        let head = b"pOST / HTTP/1.1\r\nHost: h\r\nX-B: 1\r\nConnection: keep-alive, X-Hop\r\nx-hop: 1\r\nTE: gzip\r\n\
            Upgrade: ws\r\nProxy-Authorization: Basic x\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\
            Content-Length: 4\r\nx-a: caf\xe9\r\nx-b: 2\r\nHookfire-Replay-Of: 1\r\n\r\n";
        let destination = ReplayTarget {
            replay_of: Some(17),
            ..to("http://h")
        };
        let request = prepared(head, &destination).unwrap().request;
        let headers: Vec<(&str, &[u8])> = request
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), &v[..]))
            .collect();
        assert_eq!(
            headers,
            [
                ("X-B", &b"1"[..]),
                ("x-a", b"caf\xe9"),
                ("x-b", b"2"),
                (REPLAY_OF, b"17")
            ]
        );
        assert_eq!(
            (request.method.as_str(), request.body.as_deref()),
            ("pOST", Some(&b"body"[..]))
        );
    }

    #[test]
    fn forwarding_appends_the_path_and_drops_hop_by_hop_headers() {
        let head = b"GET /a/../b?x=1 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTE: trailers\r\nKeep-Alive: 1\r\nProxy-Authorization: p\r\n\r\n";
        for (base, url) in [
            ("http://h", "http://h/a/../b?x=1"),
            ("http://h/base", "http://h/base/a/../b?x=1"),
            ("http://h/base/", "http://h/base/a/../b?x=1"),
            ("http://h/base?y=2", "http://h/base/a/../b?y=2"),
        ] {
            let destination = ReplayTarget {
                appends_path: true,
                ..to(base)
            };
            let request = prepared(head, &destination).unwrap().request;
            assert_eq!((request.url.expose(), request.headers), (url, Vec::new()));
        }
    }

    #[test]
    fn empty_body_differs_from_none() {
        let body = |head: &[u8]| {
            let (capture, none) = (captured(head), TestVariables(&[]));
            let prepared = prepare(&capture, &Body::default(), &to("http://h"), &none);
            prepared.unwrap().request.body
        };
        assert_eq!(
            body(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
            Some(Vec::new())
        );
        assert_eq!(body(b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn credentials_are_only_sent_to_their_own_host() {
        let head = "GET / HTTP/1.1\r\nHost: Hooks.example:8080\r\nCookie: a\r\nauthorization: b\r\ncookie: c\r\n\r\n";
        for (host, shown) in [
            ("Hooks.example:8080", "`Hooks.example`"),
            ("[::2]", "`[::2]`"),
            ("[::2]:80", "`[::2]`"),
            ("a b", "`a b`"),
        ] {
            let head = head.replace("Hooks.example:8080", host);
            let refused = prepared(head.as_bytes(), &to("http://other/"))
                .err()
                .unwrap();
            assert_eq!(
                refused.to_string(),
                format!("it carries `Cookie` and `authorization` for {shown}, not for `other`")
            );
        }
        let head = head.as_bytes();
        assert!(prepared(head, &to("https://hooks.example:9/")).is_ok());
        let local = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nCookie: a\r\n\r\n";
        for url in ["http://localhost:1/", "http://[::1]/", "http://127.0.0.1/"] {
            assert!(prepared(local, &to(url)).is_ok(), "{url}");
        }
        assert!(prepared(local, &to("http://other/")).is_err());
        let allowed = ReplayTarget {
            send_credentials: true,
            ..to("http://other/")
        };
        assert_eq!(prepared(head, &allowed).unwrap().request.headers.len(), 3);
        for (header, stays) in [
            ("X-Api-Key: k", true),
            ("X-Auth-Token: t", true),
            ("X: Bearer b", true),
            ("X: b", false),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n");
            let sent = prepared(head.as_bytes(), &to("http://other/"));
            assert_eq!(sent.is_err(), stays, "{header}");
        }
        assert!(matches!(
            prepared(b"GET / HTTP/1.0\r\nCookie: a\r\n\r\n", &to("http://other/")),
            Err(ReplayError::Credentials { sent_to: None, .. })
        ));
    }

    #[test]
    fn header_of_the_destination_replaces_a_captured_one() {
        let head = b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: theirs\r\n\r\n";
        let mut destination = to("http://other/");
        let source = SecretSource::parse("ours").unwrap();
        let header = Param::secret("authorization", source);
        destination.target.set_header(header);
        let request = prepared(head, &destination).unwrap().request;
        assert_eq!(
            request.headers,
            [("authorization".to_owned(), b"ours".to_vec())]
        );
    }

    #[test]
    fn an_incomplete_request_is_not_sent() {
        let capture = Capture {
            malformed: true,
            ..captured(b"GET / HTTP/1.1\r\n\r\n")
        };
        let none = TestVariables(&[]);
        let refused = prepare(&capture, &Body::default(), &to("http://h"), &none);
        assert!(matches!(refused, Err(ReplayError::Partial)));
    }
}
