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
pub struct ListenAddr {
    pub host: Option<IpAddr>,
    pub port: Option<u16>,
}

impl ListenAddr {
    /// The socket address, with the `default` host or port where none was typed.
    pub fn or(self, default: (Ipv4Addr, u16)) -> SocketAddr {
        let host = self.host.unwrap_or(default.0.into());
        SocketAddr::new(host, self.port.unwrap_or(default.1))
    }
}

impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<ListenAddr, String> {
        let refused =
            || "write an address such as 8080, :8080, 127.0.0.1:8080 or [::1]:8080".to_owned();
        if let Some(host) = parse_host(text) {
            let (host, port) = (Some(host), None);
            return Ok(ListenAddr { host, port });
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let host = match host {
            "" => None,
            host => Some(parse_host(host).ok_or_else(refused)?),
        };
        let port = Some(parse_port(port).map_err(|_| refused())?);
        Ok(ListenAddr { host, port })
    }
}

fn parse_host(text: &str) -> Option<IpAddr> {
    match text.eq_ignore_ascii_case("localhost") {
        true => Some(Ipv4Addr::LOCALHOST.into()),
        false => text.trim_matches(['[', ']']).parse().ok(),
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
            let address: ListenAddr = text.parse().unwrap();
            assert_eq!(
                address.or((Ipv4Addr::LOCALHOST, DEFAULT_PORT)).to_string(),
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
            assert!(text.parse::<ListenAddr>().is_err(), "{text}");
        }
    }
}
