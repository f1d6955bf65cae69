//! Addresses between the forms of Rust and of the C library.

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// An address as the C library takes it.
pub(crate) struct RawAddress {
    storage: libc::sockaddr_storage,
}

impl RawAddress {
    pub(crate) fn new(address: &SocketAddr) -> Self {
        // SAFETY: all zeroes is a valid `sockaddr_storage`.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        let place = &raw mut storage;
        match address {
            SocketAddr::V4(v4) => {
                let raw = libc::sockaddr_in {
                    sin_family: family(libc::AF_INET),
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: `sockaddr_storage` is large enough and aligned for every address.
                unsafe { place.cast::<libc::sockaddr_in>().write(raw) };
            }
            SocketAddr::V6(v6) => {
                let raw = libc::sockaddr_in6 {
                    sin6_family: family(libc::AF_INET6),
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { place.cast::<libc::sockaddr_in6>().write(raw) };
            }
        }
        Self { storage }
    }

    /// For calls that take an address and only read it.
    pub(crate) fn pointer(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.storage).cast()
    }
}

/// Reads an address that the C library has written.
///
/// # Safety
///
/// `address` is null or points to an address that is valid for reading as a whole, in the size that
/// its family says.
pub(crate) unsafe fn read_address(address: *const libc::sockaddr) -> Option<SocketAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: the caller vouches for the pointer; every address begins with its family.
    let family = unsafe { (*address).sa_family };
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is a `sockaddr_in`; the caller vouches for its size.
            let raw = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that this is a `sockaddr_in6`; the caller vouches for its size.
            let raw = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            let port = u16::from_be(raw.sin6_port);
            Some(SocketAddrV6::new(ip, port, raw.sin6_flowinfo, raw.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Whether both addresses are of one family, so that the one can be reached from the other.
pub(crate) const fn same_family(one: &IpAddr, other: &IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

fn family(number: i32) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_there_and_back() {
        for text in ["192.0.2.1:4444", "[2001:db8::7]:65535", "[fe80::1%3]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut raw = RawAddress::new(&address);
            // SAFETY: the pointer is to a whole `sockaddr_storage`.
            assert_eq!(unsafe { read_address(raw.pointer()) }, Some(address));
        }
    }

    #[test]
    fn what_is_no_internet_address_is_none() {
        // SAFETY: a null pointer is allowed.
        assert_eq!(unsafe { read_address(std::ptr::null()) }, None);
        // SAFETY: all zeroes is a valid `sockaddr_storage`.
        let storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        // SAFETY: the pointer is to a whole `sockaddr_storage`.
        assert_eq!(unsafe { read_address((&raw const storage).cast()) }, None);
    }
}
