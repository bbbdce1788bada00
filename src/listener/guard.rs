//! Who may use the reserved paths: programs on this machine, holders of the token, and no other site's scripts.
//!
//! Against a page that calls itself by a name which resolves to this machine (DNS rebinding) stands the check of the Host;
//! against one that sends here what its visitor never asked for (CSRF) stand the Origin and the page's own token; against
//! one that would read the page to have that token stands that browsers get it to show it to people, and for nothing else;
//! against strangers, where the catcher listens beyond this machine, stands the token that was printed at its start.
//!
//! Deliberately reads no body and answers nothing itself.
//!
//! Invariant: tokens are compared in constant time, and no refusal tells one.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, ORIGIN};
use hyper::{Method, Request};

use super::setup::Access;
use crate::secret::Secret;

/// What a reserved path belongs to; each has its own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    Page,
    Live,
    Data,
    Api,
    /// What stands in for a tenant, and asks for a token of its own.
    Tenant,
}

/// What a request that may go on is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// What it says; with the cookie that is to be set, if any.
    Request { cookie: Option<String> },
    /// A browser's question whether another site's script may ask.
    Preflight,
}

/// Why a request may not go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub status: u16,
    pub words: &'static str,
}

/// The checks of one catcher.
pub(super) struct Guard {
    pub access: Access,
    /// What only the page carries.
    pub page_token: Secret,
    pub bound: SocketAddr,
    pub over_tls: bool,
    pub allow_origin: Option<String>,
}

impl Guard {
    /// Whether a request for something in `area` may go on.
    pub(super) fn admit<B>(&self, area: Area, request: &Request<B>) -> Result<Admitted, Refused> {
        let headers = request.headers();
        if matches!(self.access, Access::Loopback) && !self.is_called_by_own_name(request) {
            return refused(
                403,
                "this is only for this machine: call it localhost or by its own address",
            );
        }
        let origin = headers
            .get(ORIGIN)
            .map(hyper::header::HeaderValue::as_bytes);
        let foreign = origin.is_some_and(|origin| !is_own_origin(origin, headers));
        let allowed = area == Area::Api && self.allows(origin);
        let from_elsewhere = headers
            .get("sec-fetch-site")
            .is_some_and(|site| site != "same-origin" && site != "none");
        // A link on another site may lead to the page; its script or form may lead nowhere.
        if !allowed && (foreign || from_elsewhere && area != Area::Page) {
            return refused(403, "other sites may not ask here");
        }
        if area == Area::Page && !is_to_be_looked_at(headers) {
            return refused(
                403,
                "the page is to be looked at: no script may read it, and no other page may frame it",
            );
        }
        if allowed
            && request.method() == Method::OPTIONS
            && headers.contains_key("access-control-request-method")
        {
            return Ok(Admitted::Preflight);
        }
        let cookie = match &self.access {
            Access::Loopback => None,
            Access::Token(_) if area == Area::Tenant => None,
            Access::Token(token) => self.cookie_for(area, request, token)?,
        };
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if area == Area::Data && !reads && !self.is_from_page(headers) {
            return refused(403, "only the page may change something here");
        }
        Ok(Admitted::Request { cookie })
    }

    /// The cookie to set, if any, for a request that has the token.
    fn cookie_for<B>(
        &self,
        area: Area,
        request: &Request<B>,
        token: &Secret,
    ) -> Result<Option<String>, Refused> {
        let name = self.cookie_name();
        if bearer(request.headers()).is_some_and(|sent| token.is(sent))
            || password(request.headers()).is_some_and(|sent| token.is(&sent))
            || cookies(request.headers(), &name).any(|sent| token.is(sent))
        {
            return Ok(None);
        }
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let in_query = form_urlencoded::parse(query)
            .any(|(name, value)| name == "token" && token.is(value.as_bytes()));
        if area == Area::Page && in_query {
            let secure = if self.over_tls { "; Secure" } else { "" };
            let value = token.expose();
            return Ok(Some(format!(
                "{name}={value}; Path=/_hookfire; HttpOnly; SameSite=Strict{secure}"
            )));
        }
        // Whoever writes such a URL has the token, and needs nothing else: a client of RequestBin knows no headers.
        if matches!(area, Area::Api | Area::Data) && in_query {
            return Ok(None);
        }
        refused(
            401,
            "this asks for the token that was printed when hookfire started: as `Authorization: Bearer TOKEN`, as \
             `?token=TOKEN`, or as the password in the URL, http://x:TOKEN@HOST",
        )
    }

    /// Browsers keep one cookie of a name for all ports of a host.
    fn cookie_name(&self) -> String {
        format!("hookfire_{}", self.bound.port())
    }

    fn is_from_page(&self, headers: &HeaderMap) -> bool {
        headers
            .get("x-hookfire-token")
            .is_some_and(|sent| self.page_token.is(sent.as_bytes()))
    }

    fn allows(&self, origin: Option<&[u8]>) -> bool {
        let Some(allowed) = &self.allow_origin else {
            return false;
        };
        // Without an origin it is no script of another site, which its browser would have said.
        allowed == "*"
            || origin.is_some_and(|origin| origin.eq_ignore_ascii_case(allowed.as_bytes()))
    }

    /// Whether the request names this machine, wherever it names a host.
    fn is_called_by_own_name<B>(&self, request: &Request<B>) -> bool {
        let mut hosts = request.headers().get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return false;
        };
        let in_target = request
            .uri()
            .authority()
            .is_none_or(|authority| self.is_own_name(authority.as_str()));
        in_target && host.to_str().is_ok_and(|host| self.is_own_name(host))
    }

    fn is_own_name(&self, host: &str) -> bool {
        let name = without_port(host.trim());
        if let Ok(ip) = name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
        {
            let ip = ip.to_canonical();
            return ip.is_loopback()
                || ip == self.bound.ip().to_canonical() && !ip.is_unspecified();
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        name == "localhost" || name.ends_with(".localhost")
    }
}

fn refused<T>(status: u16, words: &'static str) -> Result<T, Refused> {
    Err(Refused { status, words })
}

/// `name` of `name:8080`, `[::1]` of `[::1]:8080`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') =>
        {
            name
        }
        _ => host,
    }
}

/// Whether an origin is the host that is asked itself, port included. The scheme is left out: what is plain here may be
/// TLS to the browser, by way of a proxy.
fn is_own_origin(origin: &[u8], headers: &HeaderMap) -> bool {
    let origin = String::from_utf8_lossy(origin);
    let (Some((_, host)), Some(asked)) = (origin.split_once("://"), headers.get(HOST)) else {
        return false;
    };
    asked.as_bytes().eq_ignore_ascii_case(host.as_bytes())
}

/// Whether a browser would show the answer as a page of its own. What is no browser does not say, and may read it.
fn is_to_be_looked_at(headers: &HeaderMap) -> bool {
    let is = |name: &str, expected: &str| headers.get(name).is_none_or(|value| value == expected);
    is("sec-fetch-dest", "document") && is("sec-fetch-mode", "navigate")
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers
        .get(AUTHORIZATION)?
        .as_bytes()
        .split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// The password of HTTP Basic, which clients make of `http://x:PASSWORD@HOST`.
fn password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let (scheme, sent) = headers
        .get(AUTHORIZATION)?
        .as_bytes()
        .split_at_checked("Basic ".len())?;
    let decoded = STANDARD
        .decode(sent.trim_ascii())
        .ok()
        .filter(|_| scheme.eq_ignore_ascii_case(b"basic "))?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    Some(decoded[colon + 1..].to_vec())
}

/// The values of all cookies of that name.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
    pairs.filter_map(move |pair| {
        pair.trim_ascii()
            .strip_prefix(name.as_bytes())?
            .strip_prefix(b"=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(access: Access, allow_origin: Option<&str>) -> Guard {
        Guard {
            access,
            page_token: Secret::new("page"),
            bound: SocketAddr::from(([127, 0, 0, 1], 8080)),
            over_tls: false,
            allow_origin: allow_origin.map(str::to_owned),
        }
    }

    /// The status of what is refused; 0 of what is admitted.
    fn asked(guard: &Guard, area: Area, method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match guard.admit(area, &request.body(()).unwrap()) {
            Ok(_) => 0,
            Err(refused) => refused.status,
        }
    }

    #[test]
    fn on_loopback_only_names_of_this_machine_will_do() {
        let guard = guard(Access::Loopback, None);
        let called =
            |host: &str| asked(&guard, Area::Api, "GET", "/api/v1/bins", &[("host", host)]);
        for own in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.:1",
            "hooks.localhost:8080",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
            "[::ffff:127.0.0.1]:8080",
        ] {
            assert_eq!(called(own), 0, "{own}");
        }
        for foreign in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "evillocalhost",
            "127.0.0.1.evil.example",
            "192.168.1.1:8080",
            "0.0.0.0:8080",
            "[::]:8080",
            "",
            "localhost:8080:1",
        ] {
            assert_eq!(called(foreign), 403, "{foreign}");
        }
        assert_eq!(
            asked(&guard, Area::Page, "GET", "/_hookfire/", &[]),
            403,
            "no host at all"
        );
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(asked(&guard, Area::Page, "GET", "/_hookfire/", &twice), 403);
        let target = "http://evil.example/_hookfire/";
        assert_eq!(
            asked(&guard, Area::Page, "GET", target, &[("host", "localhost")]),
            403,
            "the target names another"
        );
    }

    #[test]
    fn what_changes_something_needs_the_pages_token() {
        let guard = guard(Access::Loopback, None);
        let delete = |token: Option<&str>| {
            let mut headers = vec![("host", "localhost")];
            headers.extend(token.map(|token| ("x-hookfire-token", token)));
            asked(
                &guard,
                Area::Data,
                "DELETE",
                "/_hookfire/api/captures/1",
                &headers,
            )
        };
        assert_eq!(
            [delete(None), delete(Some("wrong")), delete(Some("page"))],
            [403, 403, 0]
        );
        let host = [("host", "localhost")];
        assert_eq!(
            asked(&guard, Area::Data, "GET", "/_hookfire/api/captures", &host),
            0
        );
        assert_eq!(
            asked(&guard, Area::Api, "POST", "/api/v1/bins", &host),
            0,
            "RequestBin's clients know no token"
        );
    }

    #[test]
    fn other_sites_are_refused_unless_the_api_was_opened_to_them() {
        let closed = guard(Access::Loopback, None);
        let opened = guard(Access::Loopback, Some("http://app.example"));
        let to_all = guard(Access::Loopback, Some("*"));
        let from = |guard: &Guard, area, method: &str, name, value| {
            let headers = [
                ("host", "localhost:8080"),
                (name, value),
                ("x-hookfire-token", "page"),
            ];
            asked(guard, area, method, "/", &headers)
        };
        for area in [Area::Page, Area::Live, Area::Data, Area::Api] {
            assert_eq!(
                from(&closed, area, "GET", "origin", "http://localhost:8080"),
                0,
                "{area:?}"
            );
            for other in [
                "http://evil.example",
                "null",
                "http://localhost:3000",
                "http://localhost",
            ] {
                assert_eq!(
                    from(&closed, area, "POST", "origin", other),
                    403,
                    "{area:?} {other}"
                );
            }
            for elsewhere in ["cross-site", "same-site"] {
                let link = from(&closed, area, "GET", "sec-fetch-site", elsewhere);
                assert_eq!(
                    link,
                    if area == Area::Page { 0 } else { 403 },
                    "{area:?} {elsewhere}"
                );
            }
            for here in ["same-origin", "none"] {
                assert_eq!(
                    from(&closed, area, "GET", "sec-fetch-site", here),
                    0,
                    "{area:?} {here}"
                );
            }
            let allowed = if area == Area::Api { 0 } else { 403 };
            assert_eq!(
                from(&opened, area, "POST", "origin", "http://app.example"),
                allowed,
                "{area:?}"
            );
            assert_eq!(
                from(&opened, area, "POST", "origin", "http://evil.example"),
                403,
                "{area:?}"
            );
            assert_eq!(
                from(&to_all, area, "POST", "origin", "http://evil.example"),
                allowed,
                "{area:?}"
            );
        }
    }

    #[test]
    fn a_browser_gets_the_page_to_show_it_and_for_nothing_else() {
        let guard = guard(Access::Loopback, None);
        let page = |dest: &str, mode: &str| {
            let headers = [
                ("host", "localhost"),
                ("sec-fetch-dest", dest),
                ("sec-fetch-mode", mode),
            ];
            asked(&guard, Area::Page, "GET", "/_hookfire/", &headers)
        };
        assert_eq!(page("document", "navigate"), 0);
        for (dest, mode) in [
            ("iframe", "navigate"),
            ("object", "navigate"),
            ("empty", "cors"),
            ("empty", "same-origin"),
        ] {
            assert_eq!(page(dest, mode), 403, "{dest} {mode}");
        }
        for told in [("sec-fetch-dest", "empty"), ("sec-fetch-mode", "no-cors")] {
            assert_eq!(
                asked(
                    &guard,
                    Area::Page,
                    "GET",
                    "/",
                    &[("host", "localhost"), told]
                ),
                403,
                "{told:?}"
            );
        }
    }

    #[test]
    fn an_exposed_catcher_asks_for_its_token_on_every_reserved_path() {
        let guard = guard(
            Access::Token(Secret::new("let-me-in")),
            Some("http://app.example"),
        );
        let with = |area, uri: &str, name: &'static str, value: &str| {
            asked(
                &guard,
                area,
                "GET",
                uri,
                &[("host", "any.example"), (name, value)],
            )
        };
        for area in [Area::Page, Area::Live, Area::Data, Area::Api] {
            assert_eq!(with(area, "/", "accept", "*/*"), 401, "{area:?}");
            assert_eq!(
                with(area, "/", "authorization", "Bearer let-me-in"),
                0,
                "{area:?}"
            );
            let basic = |pair: &str| {
                with(
                    area,
                    "/",
                    "authorization",
                    &format!("Basic {}", STANDARD.encode(pair)),
                )
            };
            assert_eq!(
                [basic("x:let-me-in"), basic(":let-me-in")],
                [0, 0],
                "{area:?}"
            );
            assert_eq!(
                [basic("let-me-in:x"), basic("let-me-in"), basic("x:let")],
                [401; 3],
                "{area:?}"
            );
            assert_eq!(
                with(area, "/", "authorization", "Basic let-me-in"),
                401,
                "{area:?}"
            );
            assert_eq!(
                with(area, "/", "cookie", "a=b; hookfire_8080=let-me-in"),
                0,
                "{area:?}"
            );
            assert_eq!(
                with(
                    area,
                    "/",
                    "cookie",
                    "hookfire_8081=let-me-in; hookfire_8080=x"
                ),
                401,
                "{area:?}"
            );
            let in_query = with(area, "/?token=let-me-in", "accept", "*/*");
            assert_eq!(
                in_query,
                if area == Area::Live { 401 } else { 0 },
                "{area:?}"
            );
            assert_eq!(
                with(area, "/?token=let-me", "accept", "*/*"),
                401,
                "{area:?}"
            );
        }
        let request = Request::builder()
            .uri("/_hookfire/?token=let-me-in")
            .body(())
            .unwrap();
        let cookie =
            "hookfire_8080=let-me-in; Path=/_hookfire; HttpOnly; SameSite=Strict".to_owned();
        assert_eq!(
            guard.admit(Area::Page, &request),
            Ok(Admitted::Request {
                cookie: Some(cookie)
            })
        );
        // A preflight carries no token, and gets nothing but its answer.
        let preflight = Request::builder()
            .method("OPTIONS")
            .uri("/api/v1/bins")
            .header("host", "any.example")
            .header("origin", "http://app.example")
            .header("access-control-request-method", "POST");
        assert_eq!(
            guard.admit(Area::Api, &preflight.body(()).unwrap()),
            Ok(Admitted::Preflight)
        );
    }
}
