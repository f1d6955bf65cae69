//! Where a migration goes to or comes in, written as QEMU writes it: `rdma:HOST:PORT`.

use std::fmt;
use std::str::FromStr;

/// A host and a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RdmaAddress {
    /// A host name, or an address of IPv4 or IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Text that is no address of this kind.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseAddressError {
    /// No port, or no number from 0 to 65535.
    #[error("a port is needed at the end: rdma:HOST:PORT")]
    Port,
    /// No host.
    #[error("a host is needed: rdma:HOST:PORT")]
    Host,
    /// Colons in the host, which only brackets make unambiguous.
    #[error("an IPv6 address needs brackets: rdma:[ADDRESS]:PORT")]
    Brackets,
}

impl FromStr for RdmaAddress {
    type Err = ParseAddressError;

    /// Reads `rdma:HOST:PORT`, where `rdma:` may be left out and an IPv6 address stands in brackets.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix("rdma:").unwrap_or(text);
        let (host, port) = text.rsplit_once(':').ok_or(ParseAddressError::Port)?;
        // Rust would take a sign.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits).ok_or(ParseAddressError::Port)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(host) => host,
            None if host.contains(':') => return Err(ParseAddressError::Brackets),
            None => host,
        };
        if host.is_empty() {
            return Err(ParseAddressError::Host);
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for RdmaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "rdma:[{host}]:{port}")
        } else {
            write!(f, "rdma:{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_qemu_writes_them() {
        for (text, host, port) in [
            ("rdma:host.example:4444", "host.example", 4444),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("rdma:[fe80::1%eth0]:65535", "fe80::1%eth0", 65535),
        ] {
            let address: RdmaAddress = text.parse().unwrap();
            assert_eq!((&*address.host, address.port), (host, port));
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        let refused = |text: &str| text.parse::<RdmaAddress>().unwrap_err();
        for text in ["", "rdma:host", "host:", "host:65536", "host:+1", "host:-1", "host:x"] {
            assert_eq!(refused(text), ParseAddressError::Port, "{text}");
        }
        assert_eq!(refused("fe80::1:4444"), ParseAddressError::Brackets);
        assert_eq!(refused("rdma::4444"), ParseAddressError::Host);
        assert_eq!(refused("rdma:[]:4444"), ParseAddressError::Host);
    }
}
