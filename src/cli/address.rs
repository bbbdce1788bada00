//! Parses the address to listen on: `8080`, `:8080`, `localhost:8080`, `[::1]:0` or `0.0.0.0`.
//!
//! The only host name is `localhost`, because the address must belong to this machine.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::error::{Failure, Kind};
use crate::listener::ListenerError;

pub const DEFAULT_PORT: u16 = 8080;

/// A host, a port, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address {
    host: Option<IpAddr>,
    port: Option<u16>,
}

impl Address {
    /// Adds the port of a separate option. Returns none if both have a port.
    pub fn with_port(self, port: Option<u16>) -> Option<Address> {
        match (self.port, port) {
            (Some(_), Some(_)) => None,
            (own, given) => Some(Address {
                port: own.or(given),
                ..self
            }),
        }
    }

    /// All addresses of this machine unless a host was typed.
    pub fn or_all_hosts(self) -> Address {
        Address {
            host: self.host.or(Some(Ipv4Addr::UNSPECIFIED.into())),
            ..self
        }
    }

    /// The socket address: on loopback without a host, and with the `default` port without a port.
    pub fn or_port(self, default: u16) -> SocketAddr {
        SocketAddr::new(
            self.host.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            self.port.unwrap_or(default),
        )
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let refused =
            || "write an address such as 8080, :8080, 127.0.0.1:8080 or [::1]:8080".to_owned();
        let port = |text: &str| parse_port(text).map_err(|_| refused());
        if let Ok(host) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Address {
                host: Some(host),
                port: None,
            });
        }
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(Address {
                host: Some(addr.ip()),
                port: Some(addr.port()),
            });
        }
        match text.rsplit_once(':') {
            Some(("", digits)) => Ok(Address {
                host: None,
                port: Some(port(digits)?),
            }),
            Some((name, digits)) if name.eq_ignore_ascii_case("localhost") => Ok(Address {
                host: Some(Ipv4Addr::LOCALHOST.into()),
                port: Some(port(digits)?),
            }),
            None if text.eq_ignore_ascii_case("localhost") => Ok(Address {
                host: Some(Ipv4Addr::LOCALHOST.into()),
                port: None,
            }),
            None => Ok(Address {
                host: None,
                port: Some(port(text)?),
            }),
            Some(_) => Err(refused()),
        }
    }
}

/// Parses a port; 0 means any free port.
pub fn parse_port(text: &str) -> Result<u16, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| "a port is a number from 0 (any free port) to 65535".to_owned())
}

/// A listener's error. If its port is in use, `other` names the alternatives, given another port.
pub fn bind_failure(error: ListenerError, other: impl FnOnce(u16) -> String) -> Failure {
    match error {
        ListenerError::Bind { addr, source } if source.kind() == ErrorKind::AddrInUse => {
            let port = addr.port();
            let other = other(port.checked_add(1).unwrap_or(DEFAULT_PORT));
            Failure::new(
                Kind::Error,
                format!("port {port} is already in use on {}", addr.ip()),
            )
            .hint(format!("use another port: {other}"))
        }
        ListenerError::Header(_) => Failure::from_error(Kind::Usage, error),
        _ => Failure::from_error(Kind::Error, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_is_parsed() {
        for (text, expected) in [
            ("8080", "127.0.0.1:8080"),
            (":9", "127.0.0.1:9"),
            ("0", "127.0.0.1:0"),
            ("127.0.0.2", "127.0.0.2:8080"),
            ("127.0.0.1:65535", "127.0.0.1:65535"),
            ("localhost:1", "127.0.0.1:1"),
            ("LocalHost", "127.0.0.1:8080"),
            ("[::1]:7", "[::1]:7"),
            ("::1", "[::1]:8080"),
            ("[::]", "[::]:8080"),
            ("0.0.0.0:80", "0.0.0.0:80"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                address.or_port(DEFAULT_PORT).to_string(),
                expected,
                "{text}"
            );
        }
        for text in [
            "",
            ":",
            "65536",
            "-1",
            "+1",
            "host:1",
            "1.2.3.4:",
            "localhost:x",
            "http://127.0.0.1:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_one_port_is_accepted() {
        let with_5 = |text: &str| {
            let address: Address = text.parse().unwrap();
            address
                .with_port(Some(5))
                .map(|address| address.or_port(0).to_string())
        };
        assert_eq!(with_5("127.0.0.2"), Some("127.0.0.2:5".to_owned()));
        assert_eq!(with_5("127.0.0.2:6"), None);
        assert_eq!(
            Address::default()
                .with_port(None)
                .unwrap()
                .or_port(7)
                .to_string(),
            "127.0.0.1:7"
        );
    }
}
