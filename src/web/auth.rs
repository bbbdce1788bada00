//! Who may use the reserved paths: programs on this machine, holders of the token, and no script of another site.
//!
//! | attack | defence |
//! |---|---|
//! | a site whose name resolves to this machine (DNS rebinding) | the Host check |
//! | a site that sends requests its visitor did not ask for (CSRF) | the Origin check and the page's own token |
//! | a script that reads the page to get that token | browsers get the page only for display |
//! | other machines that reach an exposed listener | the token printed at start, or a read token |
//! | a holder of a read token who changes something | only GET and HEAD, and a page without its own token |
//!
//! Tokens are compared in constant time.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderValue, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, Uri, request::Parts};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::paths::Area;
use crate::listener::Bound;
use crate::secret::Secret;

/// Who may use the page and the APIs.
#[derive(Clone, Debug)]
pub enum Access {
    /// Clients that address this machine by a name that only stands for this machine.
    Loopback,
    /// Clients that have a token.
    Tokens {
        /// The token of the page, which permits reading and changing.
        token: Secret,
        /// Tokens that permit only reading.
        read_tokens: Vec<Secret>,
    },
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rights {
    Read,
    Change,
}

/// An origin as browsers send it, in lower case: a scheme, a host and a port that is not the default.
pub fn parse_origin(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?);
    let port = uri.port_u16().map(|port| format!(":{port}"));
    let origin = format!("{scheme}://{host}{}", port.unwrap_or_default());
    (origin.eq_ignore_ascii_case(text) && !host.is_empty()).then(|| text.to_ascii_lowercase())
}

/// A new random token: 32 hexadecimal digits.
pub fn random_token() -> Secret {
    Secret::new(random_hex())
}

pub(super) fn random_hex() -> String {
    Uuid::new_v4().simple().to_string()
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Authorized {
    /// To be served; with the cookie to set, if any.
    Request {
        rights: Rights,
        cookie: Option<String>,
    },
    /// A browser's question whether a script of another origin may send a request.
    Preflight,
}

/// The response to a request that is refused.
type Refused = (StatusCode, &'static str);

const NO_TOKEN: &str = "requires a token, one given with `--read-token` or the one printed when hookfire started: as `Authorization: Bearer TOKEN`, as \
    `?token=TOKEN`, or as the password in the URL, http://x:TOKEN@HOST\n";

const READ_ONLY: &str = "a read token may not change, send or delete anything; use the token printed when hookfire \
    started\n";

pub struct Auth {
    access: Access,
    /// Part of the page; requests that change something must carry it.
    pub(super) page_token: Secret,
    /// The origin whose scripts may use RequestBin's API: `*` or like `http://localhost:3000`.
    pub(super) allow_origin: Option<String>,
}

impl Auth {
    pub fn new(access: Access, allow_origin: Option<String>) -> Auth {
        Auth {
            access,
            page_token: random_token(),
            allow_origin,
        }
    }

    pub(super) fn check(
        &self,
        area: Area,
        request: &Parts,
        bound: &Bound,
    ) -> Result<Authorized, Refused> {
        let headers = &request.headers;
        if matches!(self.access, Access::Loopback) && !names_this_machine(request, bound.addr) {
            return forbidden(
                "only reachable from this machine, as localhost or by its own address\n",
            );
        }
        let origin = headers.get(ORIGIN).map(HeaderValue::as_bytes);
        let is_foreign = origin.is_some_and(|origin| !is_own_origin(origin, headers));
        let is_allowed = area == Area::RequestBin && self.allows(origin);
        let is_cross_site = headers
            .get("sec-fetch-site")
            .is_some_and(|site| site != "same-origin" && site != "none");
        // A link on another site may lead to the page; its scripts and forms may not send requests.
        if !is_allowed && (is_foreign || is_cross_site && area != Area::Page) {
            return forbidden("requests from other sites are not allowed\n");
        }
        if area == Area::Page && !is_for_display(headers) {
            return forbidden("the web UI is not available to scripts and frames\n");
        }
        if is_allowed
            && request.method == Method::OPTIONS
            && headers.contains_key("access-control-request-method")
        {
            return Ok(Authorized::Preflight);
        }
        let (rights, cookie) = match area {
            // The portal emulator checks its own token.
            Area::Portal => (Rights::Change, None),
            _ => self.check_token(area, request, bound)?,
        };
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        if rights == Rights::Read && !is_read {
            return forbidden(READ_ONLY);
        }
        if area == Area::PageApi && !is_read && !self.is_from_page(headers) {
            return forbidden("only the web UI may change data\n");
        }
        Ok(Authorized::Request { rights, cookie })
    }

    /// What the request's tokens permit, and the cookie to set.
    fn check_token(
        &self,
        area: Area,
        request: &Parts,
        bound: &Bound,
    ) -> Result<(Rights, Option<String>), Refused> {
        let Access::Tokens { token, read_tokens } = &self.access else {
            return Ok((Rights::Change, None));
        };
        let rights = |sent: &[u8]| rights_of(sent, token, read_tokens);
        // Browsers share cookies between all ports of a host.
        let name = format!("hookfire_{}", bound.addr.port());
        let headers = &request.headers;
        let in_header = match authorization(headers) {
            Some(Authorization::Bearer(sent)) => rights(sent.as_bytes()),
            Some(Authorization::Basic(_, password)) => rights(password.as_bytes()),
            None => None,
        };
        let in_cookies = cookies(headers, &name).filter_map(rights);
        let sent = in_cookies.chain(in_header).max();
        // Events are requested by scripts, which can send a header or a cookie. RequestBin's clients cannot set headers, but
        // can add a parameter to the URL.
        let query = match area {
            Area::Events => b"",
            _ => request.uri.query().unwrap_or_default().as_bytes(),
        };
        let in_query = form_urlencoded::parse(query)
            .filter(|(name, _)| name == "token")
            .filter_map(|(_, value)| Some((rights(value.as_bytes())?, value)))
            .max_by_key(|(rights, _)| *rights);
        match in_query {
            Some((rights, value)) if sent.is_none_or(|sent| sent < rights) => {
                let secure = if bound.tls { "; Secure" } else { "" };
                let cookie =
                    format!("{name}={value}; Path=/_hookfire; HttpOnly; SameSite=Strict{secure}");
                Ok((rights, (area == Area::Page).then_some(cookie)))
            }
            _ => sent
                .map(|rights| (rights, None))
                .ok_or((StatusCode::UNAUTHORIZED, NO_TOKEN)),
        }
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
        // A browser sends an origin with every request that a script of another origin makes.
        allowed == "*"
            || origin.is_some_and(|origin| origin.eq_ignore_ascii_case(allowed.as_bytes()))
    }
}

fn forbidden<T>(message: &'static str) -> Result<T, Refused> {
    Err((StatusCode::FORBIDDEN, message))
}

/// What a token permits, none if it is wrong.
fn rights_of(sent: &[u8], token: &Secret, read_tokens: &[Secret]) -> Option<Rights> {
    // Compares with all of them, so that the duration does not depend on which one is right.
    let may_read = read_tokens
        .iter()
        .fold(false, |found, token| token.is(sent) | found);
    match token.is(sent) {
        true => Some(Rights::Change),
        false => may_read.then_some(Rights::Read),
    }
}

/// Whether every host in the request is a name or address of this machine.
fn names_this_machine(request: &Parts, bound: SocketAddr) -> bool {
    let mut hosts = request.headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let in_target = request
        .uri
        .authority()
        .is_none_or(|authority| is_this_machine(authority.as_str(), bound));
    in_target && host.to_str().is_ok_and(|host| is_this_machine(host, bound))
}

fn is_this_machine(host: &str, bound: SocketAddr) -> bool {
    let Ok(authority) = host.trim().parse::<Authority>() else {
        return false;
    };
    let name = authority.host().to_ascii_lowercase();
    // No user, and no port that is not a number.
    let is_strict = authority.as_str() == authority.host() || authority.port().is_some();
    if host.contains('@') || !is_strict {
        return false;
    }
    let address = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = address.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        return ip.is_loopback() || ip == bound.ip().to_canonical() && !ip.is_unspecified();
    }
    let name = name.strip_suffix('.').unwrap_or(&name);
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether an origin is the requested host, port included. Schemes are not compared: a proxy in front may add TLS.
fn is_own_origin(origin: &[u8], headers: &HeaderMap) -> bool {
    let origin = String::from_utf8_lossy(origin);
    let (Some((_, host)), Some(requested)) = (origin.split_once("://"), headers.get(HOST)) else {
        return false;
    };
    requested.as_bytes().eq_ignore_ascii_case(host.as_bytes())
}

/// Whether a browser would show the response as a top-level page. Other clients do not send these headers.
fn is_for_display(headers: &HeaderMap) -> bool {
    let is = |name: &str, expected: &str| headers.get(name).is_none_or(|value| value == expected);
    is("sec-fetch-dest", "document") && is("sec-fetch-mode", "navigate")
}

/// What an `Authorization` header contains.
pub(super) enum Authorization {
    Bearer(String),
    /// User and password, which clients take from `http://USER:PASSWORD@HOST`.
    Basic(String, String),
}

pub(super) fn authorization(headers: &HeaderMap) -> Option<Authorization> {
    let value = std::str::from_utf8(headers.get(AUTHORIZATION)?.as_bytes()).ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Authorization::Bearer(credentials.to_owned()));
    }
    let decoded = STANDARD.decode(credentials).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    scheme
        .eq_ignore_ascii_case("basic")
        .then(|| Authorization::Basic(user.to_owned(), password.to_owned()))
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

    fn auth(access: Access, allow_origin: Option<&str>) -> Auth {
        Auth {
            access,
            page_token: Secret::new("page"),
            allow_origin: allow_origin.map(str::to_owned),
        }
    }

    fn bound() -> Bound {
        Bound {
            addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: false,
        }
    }

    /// The status of a refused request, 0 for an authorized one.
    fn asked(auth: &Auth, area: Area, method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = axum::http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        match auth.check(area, &parts, &bound()) {
            Ok(_) => 0,
            Err((status, _)) => status.as_u16(),
        }
    }

    #[test]
    fn loopback_accepts_only_names_of_this_machine() {
        let auth = auth(Access::Loopback, None);
        let called = |host: &str| {
            asked(
                &auth,
                Area::RequestBin,
                "GET",
                "/api/v1/bins",
                &[("host", host)],
            )
        };
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
            "localhost:x",
            "x@localhost",
        ] {
            assert_eq!(called(foreign), 403, "{foreign}");
        }
        assert_eq!(
            asked(&auth, Area::Page, "GET", "/_hookfire/", &[]),
            403,
            "no host at all"
        );
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(asked(&auth, Area::Page, "GET", "/_hookfire/", &twice), 403);
        let target = "http://evil.example/_hookfire/";
        assert_eq!(
            asked(&auth, Area::Page, "GET", target, &[("host", "localhost")]),
            403,
            "the target names another host"
        );
    }

    #[test]
    fn changes_require_the_page_token() {
        let auth = auth(Access::Loopback, None);
        let delete = |token: Option<&str>| {
            let mut headers = vec![("host", "localhost")];
            headers.extend(token.map(|token| ("x-hookfire-token", token)));
            asked(
                &auth,
                Area::PageApi,
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
            asked(
                &auth,
                Area::PageApi,
                "GET",
                "/_hookfire/api/captures",
                &host
            ),
            0
        );
        assert_eq!(
            asked(&auth, Area::RequestBin, "POST", "/api/v1/bins", &host),
            0,
            "RequestBin's clients have no page token"
        );
    }

    #[test]
    fn other_sites_are_refused_unless_allowed() {
        let closed = auth(Access::Loopback, None);
        let opened = auth(Access::Loopback, Some("http://app.example"));
        let to_all = auth(Access::Loopback, Some("*"));
        let from = |auth: &Auth, area, method: &str, name, value| {
            let headers = [
                ("host", "localhost:8080"),
                (name, value),
                ("x-hookfire-token", "page"),
            ];
            asked(auth, area, method, "/", &headers)
        };
        for area in [Area::Page, Area::Events, Area::PageApi, Area::RequestBin] {
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
            let allowed = if area == Area::RequestBin { 0 } else { 403 };
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
    fn browsers_get_the_page_only_for_display() {
        let auth = auth(Access::Loopback, None);
        let page = |dest: &str, mode: &str| {
            let headers = [
                ("host", "localhost"),
                ("sec-fetch-dest", dest),
                ("sec-fetch-mode", mode),
            ];
            asked(&auth, Area::Page, "GET", "/_hookfire/", &headers)
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
                    &auth,
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
    fn read_tokens_permit_reading_only() {
        let auth = auth(
            Access::Tokens {
                token: Secret::new("let-me-in"),
                read_tokens: ["first-reader", "second-reader"].map(Secret::new).into(),
            },
            None,
        );
        let with = |area, method: &str, token: &str| {
            let bearer = format!("Bearer {token}");
            let headers = [
                ("host", "any.example"),
                ("authorization", bearer.as_str()),
                ("x-hookfire-token", "page"),
            ];
            asked(&auth, area, method, "/", &headers)
        };
        for area in [Area::Page, Area::Events, Area::PageApi, Area::RequestBin] {
            for token in ["first-reader", "second-reader"] {
                let statuses = ["GET", "HEAD", "POST", "PUT", "DELETE"]
                    .map(|method| with(area, method, token));
                assert_eq!(statuses, [0, 0, 403, 403, 403], "{area:?} {token}");
            }
            assert_eq!(with(area, "POST", "let-me-in"), 0, "{area:?}");
            assert_eq!(with(area, "GET", "third-reader"), 401, "{area:?}");
        }
        // Of two tokens the one that permits more counts.
        let both = [
            ("host", "any.example"),
            ("authorization", "Bearer first-reader"),
            ("cookie", "hookfire_8080=let-me-in"),
            ("x-hookfire-token", "page"),
        ];
        assert_eq!(asked(&auth, Area::PageApi, "DELETE", "/", &both), 0);
        let request = axum::http::Request::builder()
            .uri("/_hookfire/?token=first-reader")
            .body(())
            .unwrap();
        let cookie =
            "hookfire_8080=first-reader; Path=/_hookfire; HttpOnly; SameSite=Strict".to_owned();
        assert_eq!(
            auth.check(Area::Page, &request.into_parts().0, &bound()),
            Ok(Authorized::Request {
                rights: Rights::Read,
                cookie: Some(cookie)
            })
        );
    }

    #[test]
    fn exposed_listener_requires_its_token() {
        let auth = auth(
            Access::Tokens {
                token: Secret::new("let-me-in"),
                read_tokens: vec![Secret::new("look-at-it")],
            },
            Some("http://app.example"),
        );
        let with = |area, uri: &str, name: &'static str, value: &str| {
            asked(
                &auth,
                area,
                "GET",
                uri,
                &[("host", "any.example"), (name, value)],
            )
        };
        for area in [Area::Page, Area::Events, Area::PageApi, Area::RequestBin] {
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
                if area == Area::Events { 401 } else { 0 },
                "{area:?}"
            );
            assert_eq!(
                with(area, "/?token=let-me", "accept", "*/*"),
                401,
                "{area:?}"
            );
        }
        let request = axum::http::Request::builder()
            .uri("/_hookfire/?token=let-me-in")
            .body(())
            .unwrap();
        let cookie =
            "hookfire_8080=let-me-in; Path=/_hookfire; HttpOnly; SameSite=Strict".to_owned();
        assert_eq!(
            auth.check(Area::Page, &request.into_parts().0, &bound()),
            Ok(Authorized::Request {
                rights: Rights::Change,
                cookie: Some(cookie)
            })
        );
        // A preflight carries no token.
        let preflight = axum::http::Request::builder()
            .method("OPTIONS")
            .uri("/api/v1/bins")
            .header("host", "any.example")
            .header("origin", "http://app.example")
            .header("access-control-request-method", "POST");
        assert_eq!(
            auth.check(
                Area::RequestBin,
                &preflight.body(()).unwrap().into_parts().0,
                &bound()
            ),
            Ok(Authorized::Preflight)
        );
    }
}
