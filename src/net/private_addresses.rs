//! Which addresses are public, and which belong to this machine or network, where a stranger's redirect must not lead.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// The addresses that a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// All addresses.
    Any,
    /// Public addresses.
    Public,
    /// Addresses of this machine or network.
    Private,
}

/// Resolves a host to its addresses within reach. The connection goes to exactly these addresses, so a name that
/// changes its meaning a moment later gains nothing.
#[derive(Debug)]
pub(super) struct Within(pub Reach, pub DefaultResolver);

/// The host has no address within reach.
#[derive(Debug, thiserror::Error)]
#[error("no address within reach")]
pub(super) struct OutOfReach;

impl Resolver for Within {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let all = self.1.resolve(uri, config, timeout)?;
        if self.0 == Reach::Any || config.proxy().is_some_and(|proxy| proxy.uri() == uri) {
            return Ok(all); // the user chose the proxy, wherever it is
        }
        let mut some = self.empty();
        let wanted = all.iter().filter(|address| is_public(address.ip()) == (self.0 == Reach::Public));
        wanted.for_each(|address| some.push(*address));
        if some.is_empty() { Err(Error::Other(Box::new(OutOfReach))) } else { Ok(some) }
    }
}

/// Returns whether a host name can only be private, or can only be judged by the system's resolver. Other names are
/// resolved, behind a proxy by the proxy.
pub(super) fn is_private_host(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    if let Ok(address) = host.parse::<IpAddr>() {
        return !is_public(address);
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let number = last.starts_with("0x") || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
    number || last == "localhost" || host == "metadata.google.internal"
}

/// Returns whether an address is public: not of this machine, a local network, or a cloud's metadata.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127, ..) | (224.., ..) => true, // this network, private, loopback; multicast and reserved
        (100, 64..=127, _) => true,               // carrier-grade NAT
        (169, 254, _) => true,                    // link-local, and with it the clouds' metadata
        (172, 16..=31, _) | (192, 168, _) => true,
        (192, 0, 0) | (198, 18..=19, _) => true, // protocols, benchmarks
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let words = address.segments();
    let last = |high: u16, low: u16| is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match words {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => last(high, low), // unspecified and loopback among them
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => last(high, low),  // translated to IPv4
        [0x2002, high, low, ..] => last(high, low),                // tunnelled to IPv4
        [0x64, 0xff9b, 1, ..] => false,
        [0x2000..=0x3fff, ..] => true, // all global unicast addresses
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "fe80::1",
            "fec0::1",
            "fd00:ec2::254",
            "ff02::1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn names_are_judged_by_what_they_resolve_to() {
        let ask = |reach: Reach, url: &str| {
            let connector = ureq::unversioned::transport::DefaultConnector::default();
            let resolver = Within(reach, DefaultResolver::default());
            ureq::Agent::with_parts(Config::default(), connector, resolver).get(url).call().unwrap_err()
        };
        let is_refused = |e: &Error| matches!(e, Error::Other(e) if e.is::<OutOfReach>());
        for url in ["http://localhost:9/", "http://127.1:9/"] {
            assert!(is_refused(&ask(Reach::Public, url)), "{url}");
            assert!(!is_refused(&ask(Reach::Private, url)) && !is_refused(&ask(Reach::Any, url)), "{url}");
        }
        assert!(is_refused(&ask(Reach::Private, "http://192.0.2.1:9/")), "public to all appearance");
    }

    #[test]
    fn hosts_are_judged_however_they_are_written() {
        for private in ["localhost", "a.LOCALHOST.", "127.0.0.1", "[::1]", "2130706433", "0x7f.1", "127.1", "10.0.0.1."]
        {
            assert!(is_private_host(private), "{private}");
        }
        for other in ["example.com", "8.8.8.8", "[2606:4700::1111]", "1.example"] {
            assert!(!is_private_host(other), "{other}");
        }
    }
}
