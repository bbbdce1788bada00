//! Addresses to connect to instead of looking up a host: `HOST:PORT:ADDRESS`, as in curl's `--resolve`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::secret::safe_url::BaseUrl;

/// The addresses of a host for one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddresses {
    /// The host name in lower case, for comparison with that of a URL.
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseHostError {
    #[error("cannot read `{0}` as HOST:PORT:ADDRESS, such as hooks.example.com:443:127.0.0.1")]
    Form(String),
    #[error("`{0}` is an address, or always this machine; write a host name")]
    NotAName(String),
}

impl HostAddresses {
    /// Whether connections to the server of `base` use these addresses.
    pub fn applies_to(&self, base: &BaseUrl) -> bool {
        let host = base.host().trim_end_matches('.');
        self.host.eq_ignore_ascii_case(host) && base.port() == Some(self.port)
    }

    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }
}

/// The addresses for the server of `base`; of several entries the last.
pub fn addresses_of<'a>(all: &'a [HostAddresses], base: &BaseUrl) -> Option<&'a [IpAddr]> {
    let found = all.iter().rev().find(|entry| entry.applies_to(base))?;
    Some(found.addresses())
}

impl FromStr for HostAddresses {
    type Err = ParseHostError;

    fn from_str(text: &str) -> Result<HostAddresses, ParseHostError> {
        let error = || ParseHostError::Form(text.to_owned());
        // An IPv6 address has colons of its own.
        let mut parts = text.splitn(3, ':');
        let (Some(host), Some(port), Some(addresses)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(error());
        };
        let address = |text: &str| {
            let text = text.trim();
            let inner = text
                .strip_prefix('[')
                .and_then(|text| text.strip_suffix(']'));
            inner.unwrap_or(text).parse().ok()
        };
        let addresses: Option<Vec<IpAddr>> = addresses.split(',').map(address).collect();
        let addresses = addresses.ok_or_else(error)?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(error)?;
        // curl reads `*` as any host.
        let base = BaseUrl::of_host(host).filter(|_| !host.contains('*'));
        let base = base.ok_or_else(error)?;
        let host = base.host().trim_end_matches('.').to_owned();
        if base.is_loopback() || host.parse::<IpAddr>().is_ok() {
            return Err(ParseHostError::NotAName(host));
        }
        Ok(HostAddresses {
            host,
            port,
            addresses,
        })
    }
}

impl fmt::Display for HostAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        write!(f, "{}:{}:{}", self.host, self.port, addresses.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_port_have_addresses() {
        for (text, shown) in [
            (
                "Hooks.Example.com:443:127.0.0.1",
                "hooks.example.com:443:127.0.0.1",
            ),
            ("h:80:[::1],10.0.0.1", "h:80:::1,10.0.0.1"),
            ("h:80:::1", "h:80:::1"),
        ] {
            let read: HostAddresses = text.parse().unwrap();
            assert_eq!(read.to_string(), shown);
            assert_eq!(shown.parse(), Ok(read));
        }
        for text in [
            "",
            "h",
            "h:80",
            "h:80:",
            "h:0:::1",
            "h:x:::1",
            "h:80:h2",
            "a b:80:::1",
            "a/b:80:::1",
            "*:80:::1",
            "u@h:80:::1",
            "127.0.0.1:80:::1",
            "localhost:80:10.0.0.1",
            "a.localhost:80:10.0.0.1",
        ] {
            assert!(text.parse::<HostAddresses>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_for_one_port_and_the_last_entry_wins() {
        let all: Vec<HostAddresses> = ["h:80:10.0.0.1", "h:443:10.0.0.2", "h:80:10.0.0.3"]
            .map(|text| text.parse().unwrap())
            .into();
        let found = |url: &str| {
            let base = BaseUrl::parse(url).unwrap().0;
            addresses_of(&all, &base).map(|found| found[0].to_string())
        };
        assert_eq!(found("http://H./a"), Some("10.0.0.3".to_owned()));
        assert_eq!(found("https://h/"), Some("10.0.0.2".to_owned()));
        assert_eq!(found("http://h:8080/"), None);
        assert_eq!(found("http://other/"), None);
    }
}
