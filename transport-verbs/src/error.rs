//! What can go wrong, with the call, the peer and the number that the system gave.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use rdma_migration_protocol::transport::TransportError;
use rdma_sys::ibv_wc_status;

use crate::preflight::LockedMemory;

/// An error number of the operating system.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Errno(pub i32);

impl Errno {
    /// What the last failed call of this thread left behind.
    pub(crate) fn last() -> Self {
        Self(io::Error::last_os_error().raw_os_error().unwrap_or_default())
    }

    /// The kind of failure that a machine is told of.
    pub(crate) const fn transport_error(self) -> TransportError {
        match self.0 {
            libc::ENOMEM | libc::ENOBUFS | libc::ENOSPC => TransportError::OutOfMemory,
            libc::ENODEV
            | libc::ENETUNREACH
            | libc::EHOSTUNREACH
            | libc::ENETDOWN
            | libc::EHOSTDOWN
            | libc::ECONNREFUSED
            | libc::ETIMEDOUT
            | libc::EADDRNOTAVAIL => TransportError::Unreachable,
            libc::EIO => TransportError::DeviceFatal,
            number => TransportError::Os(number),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(formatter)
    }
}

/// The status of a work completion, under its number in the verbs interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WorkStatus(pub u32);

impl WorkStatus {
    pub(crate) const fn is_success(self) -> bool {
        self.0 == ibv_wc_status::IBV_WC_SUCCESS
    }

    /// The kind of failure that a machine is told of.
    pub(crate) const fn transport_error(self) -> TransportError {
        match self.0 {
            ibv_wc_status::IBV_WC_LOC_LEN_ERR => TransportError::LocalLength,
            ibv_wc_status::IBV_WC_LOC_QP_OP_ERR
            | ibv_wc_status::IBV_WC_LOC_EEC_OP_ERR
            | ibv_wc_status::IBV_WC_LOC_RDD_VIOL_ERR
            | ibv_wc_status::IBV_WC_INV_EECN_ERR
            | ibv_wc_status::IBV_WC_INV_EEC_STATE_ERR => TransportError::LocalQueuePair,
            ibv_wc_status::IBV_WC_LOC_PROT_ERR | ibv_wc_status::IBV_WC_MW_BIND_ERR => {
                TransportError::LocalProtection
            }
            ibv_wc_status::IBV_WC_WR_FLUSH_ERR => TransportError::Flushed,
            ibv_wc_status::IBV_WC_BAD_RESP_ERR => TransportError::BadResponse,
            ibv_wc_status::IBV_WC_LOC_ACCESS_ERR => TransportError::LocalAccess,
            ibv_wc_status::IBV_WC_REM_INV_REQ_ERR | ibv_wc_status::IBV_WC_REM_INV_RD_REQ_ERR => {
                TransportError::RemoteInvalidRequest
            }
            ibv_wc_status::IBV_WC_REM_ACCESS_ERR => TransportError::RemoteAccess,
            ibv_wc_status::IBV_WC_REM_OP_ERR | ibv_wc_status::IBV_WC_REM_ABORT_ERR => {
                TransportError::RemoteOperation
            }
            ibv_wc_status::IBV_WC_RETRY_EXC_ERR | ibv_wc_status::IBV_WC_RESP_TIMEOUT_ERR => {
                TransportError::RetryExceeded
            }
            ibv_wc_status::IBV_WC_RNR_RETRY_EXC_ERR => TransportError::ReceiverNotReady,
            // FATAL, GENERAL, tag matching (never asked for), and numbers of versions to come.
            _ => TransportError::DeviceFatal,
        }
    }
}

impl fmt::Display for WorkStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (work completion status {})", self.transport_error(), self.0)
    }
}

/// Why something could not be set up or failed later, in more detail than a machine needs.
///
/// A machine is told [`TransportError`]; the transport keeps the first error of this kind for its
/// owner: [`VerbsTransport::failure`](crate::VerbsTransport::failure).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerbsError {
    /// A call of libibverbs, librdmacm or the system failed.
    #[error("{call}{}: {errno}", Peer(*peer))]
    Call {
        /// The name of the call.
        call: &'static str,
        /// The other end, where there is one.
        peer: Option<SocketAddr>,
        /// What the call left in `errno`.
        errno: Errno,
    },
    /// Work on the queue pair failed.
    #[error("{operation}{}: {status}, vendor error {vendor_error:#x}", Peer(*peer))]
    Work {
        /// Which operation.
        operation: String,
        /// The other end.
        peer: Option<SocketAddr>,
        /// The status of its completion.
        status: WorkStatus,
        /// What the device adds to it; its meaning is the vendor's.
        vendor_error: u32,
    },
    /// The connection manager reported that the connection failed or ended.
    #[error("{event}{}: {}", Peer(*peer), EventStatus(*status))]
    Connection {
        /// The event.
        event: &'static str,
        /// The other end.
        peer: Option<SocketAddr>,
        /// Its status: an error number, negative, or a reason of the InfiniBand connection manager.
        status: i32,
    },
    /// A source gave up its attempt to connect before it was answered.
    #[error("the source, {peer}, has withdrawn its request to connect")]
    Withdrawn {
        /// The other end.
        peer: SocketAddr,
    },
    /// The host of the source has asked for one more connection, and was rejected. A source that
    /// needs a second one fails by itself then: this is why.
    #[error(
        "a second connection was asked for by {peer}; postcopy and the return path need one, and \
         are not supported"
    )]
    SecondConnection {
        /// The other end of the request.
        peer: SocketAddr,
    },
    /// A host name could not be resolved.
    #[error("cannot find the address of {host}: {reason}")]
    LookUp {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// There is no RDMA device, or the kernel's RDMA modules are not loaded.
    #[error(
        "there is no RDMA device ({call}: {errno}); is an adapter present and are the modules \
         rdma_cm and ib_uverbs loaded? For soft-RoCE: rdma link add NAME type rxe netdev INTERFACE"
    )]
    NoDevice {
        /// The call that found out.
        call: &'static str,
        /// What it left in `errno`.
        errno: Errno,
    },
    /// The device that was asked for does not exist.
    #[error("there is no RDMA device {wanted}; there is: {}", present.join(", "))]
    UnknownDevice {
        /// The name that was asked for.
        wanted: String,
        /// The devices that exist.
        present: Vec<String>,
    },
    /// The device that was asked for has no address from which the peer could be reached.
    #[error("the RDMA device {device} has no address of the family of {peer}")]
    NoAddress {
        /// The device.
        device: String,
        /// The other end.
        peer: SocketAddr,
    },
    /// The connection goes by another device than the one asked for.
    #[error("the connection{} goes by the RDMA device {found}, not by {wanted}", Peer(*peer))]
    OtherDevice {
        /// The device that was asked for.
        wanted: String,
        /// The device of the connection.
        found: String,
        /// The other end.
        peer: Option<SocketAddr>,
    },
    /// The device can do less than a migration needs.
    #[error("the RDMA device {device} allows {limit} {what}; {needed} are needed")]
    DeviceLimit {
        /// The device.
        device: String,
        /// What there is too little of.
        what: &'static str,
        /// How many are needed.
        needed: u32,
        /// How many the device allows.
        limit: u32,
    },
    /// More memory would have to be locked than this process may lock.
    #[error(transparent)]
    LockedMemory(#[from] LockedMemory),
}

impl VerbsError {
    /// A failed call that has left its reason in `errno`.
    pub(crate) fn last(call: &'static str, peer: Option<SocketAddr>) -> Self {
        Self::Call { call, peer, errno: Errno::last() }
    }

    /// The kind of failure that a machine is told of.
    #[must_use]
    pub const fn transport_error(&self) -> TransportError {
        match self {
            Self::Call { errno, .. } => errno.transport_error(),
            Self::Work { status, .. } => status.transport_error(),
            Self::Connection { status, .. } => match status.checked_neg() {
                Some(number) if number > 0 => Errno(number).transport_error(),
                _ => TransportError::Unreachable,
            },
            Self::Withdrawn { .. }
            | Self::SecondConnection { .. }
            | Self::LookUp { .. }
            | Self::NoDevice { .. }
            | Self::UnknownDevice { .. }
            | Self::NoAddress { .. }
            | Self::OtherDevice { .. } => TransportError::Unreachable,
            Self::DeviceLimit { .. } => TransportError::OutOfMemory,
            Self::LockedMemory(_) => TransportError::MemoryLimit,
        }
    }
}

struct Peer(Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(peer) => write!(formatter, ", peer {peer}"),
            None => Ok(()),
        }
    }
}

struct EventStatus(i32);

impl fmt::Display for EventStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.checked_neg() {
            Some(number) if number > 0 => Errno(number).fmt(formatter),
            _ => write!(formatter, "reason {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_status_of_the_verbs_interface_has_a_name() {
        let names: Vec<_> = (1..=23).map(|status| WorkStatus(status).transport_error()).collect();
        assert_eq!(names[0], TransportError::LocalLength);
        assert_eq!(names[4], TransportError::Flushed);
        assert_eq!(names[9], TransportError::RemoteAccess);
        assert_eq!(names[11], TransportError::RetryExceeded);
        assert_eq!(names[12], TransportError::ReceiverNotReady);
        assert_eq!(names[18], TransportError::DeviceFatal);
        assert_eq!(WorkStatus(1000).transport_error(), TransportError::DeviceFatal);
        assert!(WorkStatus(0).is_success() && !WorkStatus(1).is_success());
    }

    #[test]
    fn an_error_names_the_call_the_peer_and_the_reason() {
        let peer = Some("192.0.2.7:4444".parse().unwrap());
        let error = VerbsError::Call { call: "rdma_connect", peer, errno: Errno(libc::EINVAL) };
        let text = error.to_string();
        assert!(text.starts_with("rdma_connect, peer 192.0.2.7:4444: Invalid argument"), "{text}");
        let error = VerbsError::Connection { event: "UNREACHABLE", peer, status: -libc::ETIMEDOUT };
        assert!(error.to_string().contains("timed out"), "{error}");
        assert_eq!(error.transport_error(), TransportError::Unreachable);
        let error = VerbsError::Connection { event: "REJECTED", peer, status: 8 };
        assert!(error.to_string().ends_with("reason 8"), "{error}");
        let status = WorkStatus(ibv_wc_status::IBV_WC_REM_ACCESS_ERR);
        let error = VerbsError::Work {
            operation: "RDMA WRITE".to_owned(),
            peer,
            status,
            vendor_error: 0x88,
        };
        assert!(error.to_string().contains("the peer refused the key"), "{error}");
    }

    #[test]
    fn an_error_number_keeps_its_meaning() {
        assert_eq!(Errno(libc::ENOMEM).transport_error(), TransportError::OutOfMemory);
        assert_eq!(Errno(libc::EHOSTUNREACH).transport_error(), TransportError::Unreachable);
        assert_eq!(Errno(libc::EPERM).transport_error(), TransportError::Os(libc::EPERM));
    }
}
