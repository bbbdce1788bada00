//! Looks up host names: with the C library or, in builds with the feature `hickory-dns`, with hickory.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Returns addresses with port 0, which stands for the URL's.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// Whether the host is `localhost` or a subdomain of it, whose addresses are known (RFC 6761, 6.3). The system's resolver
    /// is not used, because secrets are sent there unencrypted and without a proxy.
    pub is_loopback: bool,
    /// The host that is not looked up, and its addresses.
    pub given: Option<(String, Arc<[IpAddr]>)>,
}

impl Resolver {
    pub async fn addresses(self, host: &str) -> io::Result<Vec<SocketAddr>> {
        let given = self
            .given
            .filter(|(name, _)| name.eq_ignore_ascii_case(host));
        let addresses = if let Some((_, addresses)) = given {
            addresses.to_vec()
        } else if self.is_loopback {
            vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]
        } else {
            look_up(host).await?
        };
        let port = |address| SocketAddr::new(address, 0);
        Ok(addresses.into_iter().map(port).collect())
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(not(feature = "hickory-dns"))]
async fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((host, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

/// Reads `/etc/hosts` and `/etc/resolv.conf` for each lookup, because they may change while a process watches the schedule.
/// Asks no other server than these files name.
#[cfg(feature = "hickory-dns")]
async fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    use hickory_resolver::Resolver;
    use hickory_resolver::config::{LookupIpStrategy, ResolverConfig, ResolverOpts};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::system_conf::read_system_conf;

    let listed = listed_addresses(host);
    if !listed.is_empty() {
        return Ok(listed);
    }
    let no_servers = || {
        (
            ResolverConfig::from_parts(None, vec![], vec![]),
            ResolverOpts::default(),
        )
    };
    let (config, mut options) = read_system_conf().unwrap_or_else(|_| no_servers());
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    let builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    let resolver = builder
        .with_options(options)
        .build()
        .map_err(io::Error::other)?;
    let found = resolver.lookup_ip(host).await.map_err(|error| {
        if error.is_no_records_found() {
            io::Error::new(io::ErrorKind::NotFound, "no such name")
        } else {
            io::Error::other(error)
        }
    })?;
    Ok(found.iter().collect())
}

/// The addresses in `/etc/hosts`. If there are any, no server is asked, not even for addresses of the other kind.
#[cfg(feature = "hickory-dns")]
fn listed_addresses(host: &str) -> Vec<IpAddr> {
    use hickory_resolver::Hosts;
    use hickory_resolver::lookup_ip::LookupIp;
    use hickory_resolver::proto::op::Query;
    use hickory_resolver::proto::rr::{Name, RecordType};

    let (Ok(hosts), Ok(name)) = (Hosts::from_system(), Name::from_utf8(host)) else {
        return Vec::new();
    };
    let of_kind = |kind| hosts.lookup_static_host(&Query::query(name.clone(), kind));
    let found = [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(of_kind);
    found
        .flat_map(|found| LookupIp::from(found).iter().collect::<Vec<_>>())
        .collect()
}
