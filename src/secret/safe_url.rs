//! Endpoint URLs without secrets: scheme, host, port and path.
//!
//! [`BaseUrl::parse`] checks a URL and splits off its query, because every value in a query counts as secret. Messages never
//! show what follows a `?`.

use std::fmt;
use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::secret::{MASK, Secret};

/// Names of this machine besides `*.localhost`.
const LOCAL_NAMES: [&str; 4] = [
    "localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "ip6-loopback",
];

/// Why text is not an endpoint's URL.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlError {
    #[error("`{shown}` is not a URL: {reason}")]
    Unreadable {
        /// The text up to its query, which may contain secrets.
        shown: String,
        reason: String,
    },
    /// No scheme, or `host:port` parsed as one.
    #[error("`{0}` has no `http://` or `https://` in front")]
    NoScheme(String),
    #[error("the scheme `{0}:` is not supported; use http or https")]
    Scheme(String),
    #[error(
        "a user or password in the URL is refused; send credentials with `-H 'Authorization: @env:VARIABLE'` or `--secret`"
    )]
    UserInfo,
    #[error(
        "a fragment (`#…`) is never sent to a server; remove it, or write `%23` if it belongs to the query"
    )]
    Fragment,
    #[error("the URL contains a control character")]
    Control,
}

/// Scheme, host, port and path of an http or https URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// A placeholder if the text is not a URL.
    url: Url,
    /// What a portal lists as a URL although it is not one.
    not_a_url: Option<String>,
}

/// One `name=value` of a URL's own query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryPair {
    /// Decoded, like the value. Empty for a part without `=` (`?debug`), which is all value.
    pub name: String,
    pub value: Secret,
    pub spelling: Secret,
}

impl BaseUrl {
    /// Checks `text` and splits off its query. Errors show nothing of the query.
    pub fn parse(text: &str) -> Result<(BaseUrl, Vec<QueryPair>), UrlError> {
        if text.chars().any(char::is_control) {
            return Err(UrlError::Control);
        }
        let shown = shown(text);
        let mut url = Url::parse(text).map_err(|e| match e {
            url::ParseError::RelativeUrlWithoutBase => UrlError::NoScheme(shown.clone()),
            e => UrlError::Unreadable {
                shown: shown.clone(),
                reason: e.to_string(),
            },
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            let looks_like_host = url.scheme().contains('.') || url.scheme() == "localhost";
            return Err(
                if looks_like_host || url.cannot_be_a_base() && !shown.contains("//") {
                    UrlError::NoScheme(shown)
                } else {
                    UrlError::Scheme(url.scheme().to_owned())
                },
            );
        }
        if let Some(advice) = advice_to_rewrite(text) {
            return Err(UrlError::Unreadable {
                shown,
                reason: advice.to_owned(),
            });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        let pairs = url.query().map(split_query).unwrap_or_default();
        url.set_query(None);
        let base = BaseUrl {
            url,
            not_a_url: None,
        };
        Ok((base, pairs))
    }

    /// A URL that a portal lists, or that the journal stores. Text that is not a URL is kept with the secrets in it
    /// masked, for display: see [`BaseUrl::is_url`].
    pub fn parse_lossy(text: &str) -> BaseUrl {
        if let Ok((base, _)) = BaseUrl::parse(text) {
            return base;
        }
        let masked = masked(text);
        BaseUrl {
            url: Url::parse("about:invalid").expect("it is a URL"),
            // Masked text must not be taken for a URL.
            not_a_url: Some(match BaseUrl::parse(&masked) {
                Ok(_) => MASK.to_owned(),
                Err(_) => masked,
            }),
        }
    }

    /// Whether requests can be sent to it.
    pub fn is_url(&self) -> bool {
        self.not_a_url.is_none()
    }

    pub fn as_str(&self) -> &str {
        self.not_a_url.as_deref().unwrap_or(self.url.as_str())
    }

    /// The server that `HOST` or `HOST:PORT` names, over plain HTTP; none for other text.
    pub fn of_host(text: &str) -> Option<BaseUrl> {
        let is_name =
            !text.contains(['/', '?', '#', '@', '\\']) && !text.contains(char::is_whitespace);
        let url = is_name.then(|| BaseUrl::parse(&format!("http://{text}/")));
        Some(url?.ok()?.0)
    }

    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// An IPv6 address has brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The scheme's default where the URL has none.
    pub fn port(&self) -> Option<u16> {
        self.url.port_or_known_default()
    }

    /// Whether the host is this machine, in any spelling: `localhost`, `*.localhost`, `127.0.0.0/8`, `::1`, `0.0.0.0`, `::`.
    pub fn is_loopback(&self) -> bool {
        let is_local_v4 = |ip: Ipv4Addr| ip.is_loopback() || ip.is_unspecified();
        match self.url.host() {
            Some(url::Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                LOCAL_NAMES.contains(&name) || name.ends_with(".localhost")
            }
            Some(url::Host::Ipv4(ip)) => is_local_v4(ip),
            Some(url::Host::Ipv6(ip)) => {
                ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.to_ipv4_mapped().is_some_and(is_local_v4)
            }
            None => false,
        }
    }

    /// Whether a `Host` header names this URL's host; ports are not compared. All names of this machine are the same host.
    pub fn is_host(&self, header: &str) -> bool {
        match BaseUrl::parse(&format!("http://{header}")) {
            Ok((other, _)) => {
                other.host() == self.host() || other.is_loopback() && self.is_loopback()
            }
            Err(_) => false,
        }
    }

    /// Whether scheme, host and port are the same.
    pub fn same_origin(&self, other: &BaseUrl) -> bool {
        self.url.origin() == other.url.origin()
    }

    /// `/` where the URL has none.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// This server's URL with another path and query, both as written. None if no request can have them: a `#` would end it.
    pub fn with_target(&self, path: &str, query: Option<&str>) -> Option<String> {
        let target = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let parsed = target.parse::<http::uri::PathAndQuery>().ok()?;
        let origin = &self.url[..url::Position::BeforePath];
        (parsed.as_str() == target).then(|| format!("{origin}{target}"))
    }

    /// This server's URL with another path and query, percent-encoded.
    pub fn with_path(&self, path: &str, query: Option<&str>) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url.set_query(query);
        url
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A URL without its user information and fragment, and the user information as the value of a header `Authorization`.
pub fn split_user_info(text: &str) -> Option<(String, Option<Secret>)> {
    let mut url = Url::parse(text).ok()?;
    url.set_fragment(None);
    let decoded = |part: &str| percent_encoding::percent_decode_str(part).collect::<Vec<u8>>();
    let (user, password) = (decoded(url.username()), url.password().map(decoded));
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    let given = !user.is_empty() || password.is_some();
    let pair = [user, b":".to_vec(), password.unwrap_or_default()].concat();
    let header = given.then(|| Secret::new(format!("Basic {}", STANDARD.encode(pair))));
    Some((url.into(), header))
}

/// URL-like text from outside (a `Location` header) with the values of its query masked,
/// without user information and fragment.
pub fn masked(text: &str) -> String {
    let has_no_user = match Url::parse(text) {
        Ok(url) => url.has_host() && url.username().is_empty() && url.password().is_none(),
        Err(_) => text.starts_with('/') && !text.starts_with("//"),
    };
    if !has_no_user && is_user_unclear(text) {
        return shown(text);
    }
    let head = shown_part(text);
    let Some((_, query)) = text.split_once('?') else {
        return head;
    };
    let query = query.split('#').next().unwrap_or_default();
    let names: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}={MASK}"),
            // A part without a name is all value.
            None => MASK.to_owned(),
        })
        .collect();
    format!("{head}?{}", names.join("&"))
}

/// The part of a mistyped URL that may be shown: nothing after `?` or `#`, no user information, and only the scheme where
/// it is unclear where user information ends (a password with a `/`).
pub fn shown(text: &str) -> String {
    if is_user_unclear(text) {
        format!("{}{MASK}", &text[..authority_start(text)])
    } else {
        shown_part(text)
    }
}

/// Whether an `@` follows the first end of the authority, so that a user or password may go on after it.
fn is_user_unclear(text: &str) -> bool {
    let authority = &text[authority_start(text)..];
    let end = authority.find(['/', '?', '#']).unwrap_or(authority.len());
    authority[end..].contains('@')
}

fn authority_start(text: &str) -> usize {
    text.find("//").map_or(0, |at| at + 2)
}

/// The host of a [`database_url`] without one.
pub const NO_HOST: &str = "no-host.invalid";

/// Parses a database's URL, which may have a user and no host.
pub fn database_url(text: &str) -> Result<Url, url::ParseError> {
    let start = authority_start(text);
    let rest = &text[start..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if !authority.ends_with('@') {
        return Url::parse(text);
    }
    let after = &rest[authority.len()..];
    Url::parse(&format!("{}{authority}{NO_HOST}{after}", &text[..start]))
}

/// Whether a database's URL contains a password.
pub fn has_password(text: &str) -> bool {
    let Ok(url) = database_url(text) else {
        return !credentials(text).is_empty();
    };
    let mut names = url.query_pairs();
    url.password().is_some() || names.any(|(name, _)| name == "password")
}

/// The password in URL-like text, as written and decoded. A user without a password may be a token.
pub fn credentials(text: &str) -> Vec<Secret> {
    let has_scheme = text.contains("://");
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let Some((user_info, _)) = rest.rsplit_once('@') else {
        return Vec::new();
    };
    let secret = match user_info.split_once(':') {
        Some((user, "")) => user,
        Some((_, password)) => password,
        None if has_scheme => user_info,
        None => return Vec::new(),
    };
    let decoded = percent_encoding::percent_decode_str(secret).decode_utf8_lossy();
    vec![Secret::new(secret), Secret::new(decoded)]
}

/// Everything before a query or fragment, without user information.
fn shown_part(text: &str) -> String {
    let head = text.split(['?', '#']).next().unwrap_or_default();
    let authority = authority_start(head);
    let path = head[authority..]
        .find('/')
        .map_or(head.len(), |at| authority + at);
    match head[authority..path].rfind('@') {
        Some(at) => format!("{}{}", &head[..authority], &head[authority + at + 1..]),
        None => head.to_owned(),
    }
}

/// What to do if the parser changes the text: it ignores missing and extra slashes, takes backslashes for slashes,
/// and resolves `.` and `..`.
fn advice_to_rewrite(text: &str) -> Option<&'static str> {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let authority = path.split_once("://").map(|(_, rest)| rest);
    if authority.is_none_or(|rest| rest.starts_with('/')) || path.contains('\\') {
        return Some("write it as `http://HOST/PATH`");
    }
    let is_dots = |segment: &str| matches!(segment.replace("%2e", ".").as_str(), "." | "..");
    let mut segments = path.split('/').skip(3);
    segments
        .any(|segment| is_dots(&segment.to_ascii_lowercase()))
        .then_some("write its path without `.` and `..`")
}

fn split_query(query: &str) -> Vec<QueryPair> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (mut name, mut value) = decoded_pairs(pair).pop().unwrap_or_default();
            if !pair.contains('=') {
                (name, value) = (value, name);
            }
            QueryPair {
                name,
                value: Secret::new(value),
                spelling: Secret::new(pair),
            }
        })
        .collect()
}

/// Encodes a name or value of a form.
pub fn form_encoded(bytes: &[u8]) -> String {
    url::form_urlencoded::byte_serialize(bytes).collect()
}

/// Decodes the name or value of a form.
pub fn form_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut spaced = bytes.to_vec();
    for plus in spaced.iter_mut().filter(|byte| **byte == b'+') {
        *plus = b' ';
    }
    percent_encoding::percent_decode(&spaced).collect()
}

/// The decoded pairs of a query or form, in order. A part without `=` is a name with an empty value. Bytes that are not
/// UTF-8 are replaced by U+FFFD, unlike by [`form_decoded`].
pub fn decoded_pairs(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

/// `name=value` for a query, form-encoded; only the value where the name is empty.
pub fn encode_pair(name: &str, value: &str) -> String {
    let encode = |text: &str| form_encoded(text.as_bytes());
    if name.is_empty() {
        encode(value)
    } else {
        format!("{}={}", encode(name), encode(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> UrlError {
        BaseUrl::parse(text).expect_err(text)
    }

    #[test]
    fn query_is_split_off_with_its_spelling() {
        let url = "https://h.example:8443/a%20b?token=x%2By+z&debug&e=";
        let (base, pairs) = BaseUrl::parse(url).unwrap();
        assert_eq!(base.as_str(), "https://h.example:8443/a%20b");
        let pairs = pairs.iter();
        let pairs = pairs.map(|p| [&p.name, p.value.expose(), p.spelling.expose()].join(" "));
        let expected = ["token x+y z token=x%2By+z", " debug debug", "e  e="];
        assert_eq!(pairs.collect::<Vec<_>>(), expected);
        let query = Some("token=x%2By+z");
        assert_eq!(
            base.with_path(base.path(), query).as_str(),
            "https://h.example:8443/a%20b?token=x%2By+z"
        );
    }

    #[test]
    fn bad_urls_are_refused_without_their_query() {
        assert_eq!(refused("ftp://h/?t=CANARY"), UrlError::Scheme("ftp".into()));
        assert_eq!(refused("http://user:CANARY@h/"), UrlError::UserInfo);
        assert_eq!(refused("http://h/#CANARY"), UrlError::Fragment);
        assert_eq!(refused("http://h/a\nb"), UrlError::Control);
        for text in ["localhost:8080/x?t=CANARY", "hooks.example.com/x"] {
            assert!(matches!(refused(text), UrlError::NoScheme(_)), "{text}");
        }
        for text in
            "http://h:65536/?t=CANARY http:///h/x http:/h http:h http:\\\\h http://h\\x http://h/a/../b http://h/a/. http://h/%2E%2e/b".split(' ')
        {
            let is_unreadable = matches!(refused(text), UrlError::Unreadable { .. });
            assert!(is_unreadable, "{text}");
        }
        assert!(BaseUrl::parse("http://h/?a=\\").is_ok());
        for text in
            "http://h:65536/?t=CANARY x?CANARY http://u:CANARY@h:99999/ ftp://h/?t=CANARY http://"
                .split(' ')
        {
            assert!(!refused(text).to_string().contains("CANARY"), "{text}");
        }
    }

    #[test]
    fn another_target_is_kept_as_written_or_refused() {
        for server in ["http://h:8080", "https://[::1]", "http://127.0.0.1:1"] {
            let (base, _) = BaseUrl::parse(server).unwrap();
            assert_eq!(base.path(), "/");
            let with_target = |target: &str| match target.split_once('?') {
                Some((path, query)) => base.with_target(path, Some(query)),
                None => base.with_target(target, None),
            };
            for target in [
                "/a%2Fb//c?x=%41&&y=+",
                "/a?",
                "//a??",
                "/a/../b/./c/%2e%2E/d",
                "/a\\b\"c{d}?q={'x':1}&/../b\\c",
                "/caf\u{e9}?q=caf\u{e9}",
            ] {
                assert_eq!(with_target(target), Some(format!("{server}{target}")));
            }
            for target in ["/a#b", "/a?c#d", "/a b", "/a?\u{1}"] {
                assert_eq!(with_target(target), None, "{target}");
            }
        }
    }

    #[test]
    fn the_pairs_of_a_query_are_decoded_in_order() {
        let pairs = decoded_pairs("a=1&a=%20+&debug&&%FF=x&a=%2B%C3%A9==&%zz=%");
        let pairs = pairs.iter().map(|(name, value)| format!("{name}|{value}"));
        let expected = ["a|1", "a|  ", "debug|", "\u{fffd}|x", "a|+é==", "%zz|%"];
        assert_eq!(pairs.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn this_machine_is_known_by_all_its_names() {
        let local = "localhost a.localhost LOCALHOST. 127.9.9.9 127.1 2130706433 0.0.0.0 [::1]:80 [::] [::ffff:127.0.0.1] \
            [::ffff:0.0.0.0]";
        let hosts = local.split(' ').map(|host| (host, true));
        for (host, expected) in hosts.chain([("localhost.example.com", false), ("10.0.0.1", false)])
        {
            let (base, _) = BaseUrl::parse(&format!("http://{host}/")).unwrap();
            assert_eq!(base.is_loopback(), expected, "{host}");
        }
    }

    #[test]
    fn a_password_is_not_shown_wherever_it_seems_to_end() {
        assert_eq!(shown("http://u:CANARY@h:99999/x?y"), "http://h:99999/x");
        for text in [
            "http://u:CAN/ARY@h",
            "http://u:CAN?ARY@h",
            "http://u:CAN#ARY@h",
            "http://u:p@ss/ARY@h/",
        ] {
            assert_eq!(shown(text), "http://***", "{text}");
            let masked = masked(text);
            assert!(!masked.contains("ARY"), "{masked}");
        }
        for text in [
            "http://u:CAN/ARY@h/",
            "http:://u:CAN/ARY@h/?a=b@c",
            "u:CAN/ARY@h",
            "//u:CAN/ARY@h",
            "http://u:CAN ARY@h/",
        ] {
            let listed = BaseUrl::parse_lossy(text);
            assert!(!listed.is_url(), "{text}");
            assert!(!listed.as_str().contains("ARY"), "{}", listed.as_str());
        }
        assert_eq!(shown("u:CAN/ARY@h"), "***");
    }

    #[test]
    fn the_credentials_of_a_proxy_are_found_as_written_and_decoded() {
        let found = |text: &str| -> Vec<String> {
            let secrets = credentials(text).into_iter();
            secrets.map(|secret| secret.expose().to_owned()).collect()
        };
        assert_eq!(found("http://u:p%40ss+w@h:1/"), ["p%40ss+w", "p@ss+w"]);
        assert_eq!(found("http://token@h/")[0], "token");
        assert_eq!(found("u:p/a@h")[0], "p/a");
        assert!(found("http://h/").is_empty() && found("a@b.c").is_empty());
    }

    #[test]
    fn urls_of_others_are_shown_masked() {
        for (text, expected) in [
            ("https://u:p@h/x?a=1&b=2#f", "https://h/x?a=***&b=***"),
            ("/login?SECRET", "/login?***"),
            ("/login", "/login"),
            ("/login/@me?to=a@b", "/login/@me?to=***"),
            ("http://h/@me", "http://h/@me"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }
}
