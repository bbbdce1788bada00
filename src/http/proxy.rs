//! Which proxy a request goes through: `--proxy`, else the environment's, unless `NO_PROXY` contains the host.

use std::net::IpAddr;

use ipnet::IpNet;
use reqwest::Url;
use url::Host;

use super::ClientError;
use crate::secret::Secret;

/// The proxies for each scheme of a target.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    no_proxy: String,
}

impl Proxies {
    pub fn new(option: Option<&Secret>) -> Result<Proxies, ClientError> {
        let no_proxy = variable(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        if let Some(proxy) = option {
            let url = parse(proxy.expose())?;
            return Ok(Proxies {
                http: Some(url.clone()),
                https: Some(url),
                no_proxy,
            });
        }
        // In a CGI program, HTTP_PROXY is a header of the request.
        let http: &[&str] = match std::env::var_os("REQUEST_METHOD") {
            Some(_) => &["http_proxy"],
            None => &["http_proxy", "HTTP_PROXY"],
        };
        let all = || variable(&["all_proxy", "ALL_PROXY"]);
        let url = |proxy: Option<String>| proxy.as_deref().map(parse).transpose();
        Ok(Proxies {
            http: url(variable(http).or_else(all))?,
            https: url(variable(&["https_proxy", "HTTPS_PROXY"]).or_else(all))?,
            no_proxy,
        })
    }

    pub fn for_url(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" {
            self.https.as_ref()
        } else {
            self.http.as_ref()
        };
        proxy.filter(|_| !is_excluded(&self.no_proxy, url))
    }

    /// Whether the connection to a proxy is encrypted.
    pub fn need_tls(&self) -> bool {
        let mut proxies = [&self.http, &self.https].into_iter().flatten();
        proxies.any(|proxy| proxy.scheme() == "https")
    }
}

fn variable(names: &[&str]) -> Option<String> {
    let mut values = names.iter().filter_map(|name| std::env::var(name).ok());
    values.find(|value| !value.is_empty())
}

fn parse(text: &str) -> Result<Url, ClientError> {
    // Without a scheme it is http, as in curl. Other schemes are not supported.
    let url = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("http://{text}"))
    };
    match url {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ => Err(ClientError::Proxy),
    }
}

/// Whether the list contains the URL's host, as in curl: `*`, a domain with its subdomains, an address, or a network
/// (`10.0.0.0/8`), each optionally with a port.
fn is_excluded(no_proxy: &str, url: &Url) -> bool {
    let mut entries = no_proxy.split([',', ' ']).filter(|entry| !entry.is_empty());
    entries.any(|entry| {
        let (name, port) = split_port(entry);
        let is_port = port.is_none_or(|port| url.port_or_known_default() == Some(port));
        let is_host = name == "*"
            || match url.host() {
                Some(Host::Domain(host)) => is_domain(host, name),
                Some(Host::Ipv4(ip)) => is_address(ip.into(), name),
                Some(Host::Ipv6(ip)) => is_address(ip.into(), name),
                None => false,
            };
        is_port && is_host
    })
}

/// The host and port of `host:port`, `[::1]:port`, or the host alone.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    let (host, port) = match entry
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => match entry.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (entry, None),
        },
    };
    (host, port.and_then(|port| port.parse().ok()))
}

fn is_domain(host: &str, name: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let name = name.trim_matches('.').to_ascii_lowercase();
    match host.strip_suffix(&name) {
        Some(before) => !name.is_empty() && (before.is_empty() || before.ends_with('.')),
        None => false,
    }
}

fn is_address(ip: IpAddr, name: &str) -> bool {
    let network = name.parse::<IpNet>();
    name.parse() == Ok(ip) || network.is_ok_and(|network| network.contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_matches_as_in_curl() {
        for (no_proxy, host, expected) in [
            ("", "http://a.example", false),
            ("*", "http://a.example", true),
            ("*", "http://192.0.2.1", true),
            ("*", "http://[2001:db8::1]", true),
            ("example", "http://a.example", true),
            (".example", "http://a.example", true),
            ("b.test, A.example", "http://a.example.", true),
            ("b.test a.example", "http://a.example", true),
            ("ample", "http://a.example", false),
            ("a.example:80", "http://a.example", true),
            ("a.example:8080", "http://a.example", false),
            ("a.example:8080", "http://a.example:8080", true),
            ("192.0.2.1", "http://192.0.2.1", true),
            ("2.1", "http://192.0.2.1", false),
            ("192.0.2.0/24", "http://192.0.2.200", true),
            ("192.0.2.0/25", "http://192.0.2.200", false),
            ("0.0.0.0/0", "http://192.0.2.200", true),
            ("192.0.2.1:80", "http://192.0.2.1:81", false),
            ("2001:db8::1", "http://[2001:db8::1]", true),
            ("[2001:db8::1]", "http://[2001:db8::1]", true),
            ("[2001:db8::1]:443", "http://[2001:db8::1]", false),
            ("2001:db8::/32", "http://[2001:db8:1::1]", true),
            ("2001:db8::/32", "http://[2001:db9::1]", false),
            ("::/0", "http://[2001:db9::1]", true),
        ] {
            let url = Url::parse(host).unwrap();
            assert_eq!(is_excluded(no_proxy, &url), expected, "{no_proxy:?} {host}");
        }
    }
}
