//! RDMA devices by name, and the network addresses that lead to them.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::ptr;
use std::slice;

use rdma_sys::{ibv_free_device_list, ibv_get_device_list, ibv_get_device_name};

use crate::error::{Errno, VerbsError};
use crate::socket_address::{read_address, same_family};

/// The names of the RDMA devices of this host.
///
/// # Errors
///
/// [`VerbsError::NoDevice`] where the system has no RDMA at all.
pub fn devices() -> Result<Vec<String>, VerbsError> {
    let mut count = 0;
    // SAFETY: `count` is a valid place for the answer.
    let list = unsafe { ibv_get_device_list(&raw mut count) };
    if list.is_null() {
        let (call, errno) = ("ibv_get_device_list", Errno::last());
        return Err(VerbsError::NoDevice { call, errno });
    }
    // SAFETY: the list has `count` entries.
    let entries = unsafe { slice::from_raw_parts(list, usize::try_from(count).unwrap_or(0)) };
    let mut names = Vec::with_capacity(entries.len());
    for device in entries {
        // SAFETY: the device is valid until the list is freed.
        let name = unsafe { ibv_get_device_name(*device) };
        if !name.is_null() {
            // SAFETY: a string of C that lives as long as the device.
            let name = unsafe { CStr::from_ptr(name) };
            names.push(name.to_string_lossy().into_owned());
        }
    }
    // SAFETY: the list comes from the call above and is not used any more.
    unsafe { ibv_free_device_list(list) };
    Ok(names)
}

/// Checks that there is a device of this name.
pub(crate) fn require(wanted: &str) -> Result<(), VerbsError> {
    let present = devices()?;
    if present.iter().any(|name| name == wanted) {
        Ok(())
    } else {
        Err(VerbsError::UnknownDevice { wanted: wanted.to_owned(), present })
    }
}

/// An address of the device from which `peer` may be reached.
pub(crate) fn address_towards(device: &str, peer: &SocketAddr) -> Result<SocketAddr, VerbsError> {
    let interfaces = interfaces_of(&Path::new("/sys/class/infiniband").join(device));
    let own = interface_addresses()?.into_iter().find_map(|(interface, address)| {
        let fits = interfaces.contains(&interface) && same_family(&address.ip(), &peer.ip());
        fits.then_some(address)
    });
    own.ok_or_else(|| VerbsError::NoAddress { device: device.to_owned(), peer: *peer })
}

/// The network interfaces of a device: of RoCE by its table of addresses, of InfiniBand by its
/// IPoIB interfaces.
fn interfaces_of(device: &Path) -> BTreeSet<String> {
    let mut interfaces: BTreeSet<_> = entries(&device.join("device/net")).map(name_of).collect();
    for port in entries(&device.join("ports")) {
        for entry in entries(&port.join("gid_attrs/ndevs")) {
            // Entries of the table that are not in use cannot be read.
            if let Ok(interface) = fs::read_to_string(entry) {
                interfaces.insert(interface.trim().to_owned());
            }
        }
    }
    interfaces.remove("");
    interfaces
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn name_of(path: PathBuf) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The addresses of all network interfaces, with the names of these.
fn interface_addresses() -> Result<Vec<(String, SocketAddr)>, VerbsError> {
    let mut list = ptr::null_mut();
    // SAFETY: `list` is a valid place for the answer.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(VerbsError::last("getifaddrs", None));
    }
    let mut found = Vec::new();
    let mut next: *const libc::ifaddrs = list;
    while !next.is_null() {
        // SAFETY: the entries are valid until the list is freed.
        let entry = unsafe { &*next };
        // SAFETY: the address is null or valid, in the size of its family.
        if let Some(address) = unsafe { read_address(entry.ifa_addr) } {
            // SAFETY: every entry has a name, a string of C.
            let name = unsafe { CStr::from_ptr(entry.ifa_name) };
            found.push((name.to_string_lossy().into_owned(), address));
        }
        next = entry.ifa_next;
    }
    // SAFETY: the list comes from the call above and is not used any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_a_loopback_address() {
        let found = interface_addresses().unwrap();
        assert!(found.iter().any(|(name, address)| name == "lo" && address.ip().is_loopback()));
    }

    #[test]
    fn interfaces_are_found_by_the_table_of_addresses() {
        let folder = std::env::temp_dir().join(format!("rdma-device-{}", std::process::id()));
        let table = folder.join("ports/1/gid_attrs/ndevs");
        fs::create_dir_all(&table).unwrap();
        fs::create_dir_all(folder.join("device/net/ib0")).unwrap();
        fs::write(table.join("0"), "veth0\n").unwrap();
        fs::write(table.join("1"), "veth0\n").unwrap();
        let interfaces: Vec<_> = interfaces_of(&folder).into_iter().collect();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(interfaces, ["ib0", "veth0"]);
    }

    #[test]
    fn a_device_without_addresses_leads_nowhere() {
        let peer = "192.0.2.1:1".parse().unwrap();
        let error = address_towards("no such device", &peer).unwrap_err();
        assert!(error.to_string().contains("no such device"), "{error}");
    }
}
