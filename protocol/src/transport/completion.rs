//! What a transport reports back.

use core::fmt;

use super::operation::{ReceiveBuffer, RegionId};
use crate::address::{BlockIndex, BlockOffset, Rkey};

/// The answer to an [`Operation`](super::Operation).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion<'a> {
    /// A message arrived in the buffer whose receive was posted first.
    Received {
        /// The buffer, which is the machine's again.
        buffer: ReceiveBuffer,
        /// The bytes that arrived, header included.
        bytes: &'a [u8],
    },
    /// The oldest outstanding send was acknowledged by the peer's adapter.
    Sent,
    /// The oldest outstanding signaled write, and every write before it, was acknowledged.
    RamWritten,
    /// A scan ended.
    RamScanned {
        /// The RAM block.
        block: BlockIndex,
        /// First byte of the run that was scanned.
        offset: BlockOffset,
        /// Whether every byte of it is zero.
        zero: bool,
    },
    /// A run of RAM was set to zero.
    RamZeroed {
        /// The RAM block.
        block: BlockIndex,
        /// First byte of the run.
        offset: BlockOffset,
    },
    /// A region is pinned and registered.
    MemoryRegistered {
        /// The region.
        region: RegionId,
        /// The key by which the peer may reach it, if its access allows that.
        rkey: Rkey,
    },
    /// A region was given back.
    MemoryDeregistered {
        /// The region.
        region: RegionId,
    },
    /// The queue pair is gone, and everything that was posted to it has been answered.
    Disconnected,
    /// An operation failed, or was flushed because an earlier one had.
    Failed {
        /// Which operation.
        operation: FailedOperation,
        /// What became of it.
        error: TransportError,
    },
}

/// Which operation a failure answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FailedOperation {
    /// The receive that was posted first. Its buffer is the machine's again.
    Receive {
        /// The buffer.
        buffer: ReceiveBuffer,
    },
    /// The oldest outstanding send.
    Send,
    /// An RDMA WRITE, signaled or not.
    WriteRam,
    /// A scan.
    ScanRam {
        /// The RAM block.
        block: BlockIndex,
        /// First byte of the run.
        offset: BlockOffset,
    },
    /// A fill with zero.
    ZeroRam {
        /// The RAM block.
        block: BlockIndex,
        /// First byte of the run.
        offset: BlockOffset,
    },
    /// A registration: the region does not exist.
    RegisterMemory {
        /// The region.
        region: RegionId,
    },
    /// A deregistration: the region may still be pinned.
    DeregisterMemory {
        /// The region.
        region: RegionId,
    },
}

impl FailedOperation {
    /// Whether the queue pair, and with it the connection, is broken by this failure.
    pub(crate) const fn breaks_connection(self) -> bool {
        match self {
            Self::Receive { .. } | Self::Send | Self::WriteRam => true,
            Self::ScanRam { .. }
            | Self::ZeroRam { .. }
            | Self::RegisterMemory { .. }
            | Self::DeregisterMemory { .. } => false,
        }
    }
}

impl fmt::Display for FailedOperation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive { .. } => formatter.write_str("receive"),
            Self::Send => formatter.write_str("send"),
            Self::WriteRam => formatter.write_str("RDMA WRITE"),
            Self::ScanRam { block, offset } => {
                write!(formatter, "scan of block {block} at {offset}")
            }
            Self::ZeroRam { block, offset } => {
                write!(formatter, "zeroing of block {block} at {offset}")
            }
            Self::RegisterMemory { region } => write!(formatter, "registration of {region}"),
            Self::DeregisterMemory { region } => write!(formatter, "deregistration of {region}"),
        }
    }
}

/// Why a transport could not do what it was told.
///
/// The first group are the statuses of InfiniBand work completions, under the names of the verbs
/// specification; the second is what the operating system answers to a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// A local buffer is longer or shorter than the operation allows.
    LocalLength,
    /// The queue pair cannot do this operation in its state.
    LocalQueuePair,
    /// A local buffer is not covered by a registered region.
    LocalProtection,
    /// The queue pair failed earlier; this request was never carried out or its fate is unknown.
    Flushed,
    /// The peer answered with something that does not fit the request.
    BadResponse,
    /// A write of the peer was refused here: key, range or access.
    LocalAccess,
    /// The peer could not take the request, for instance a message longer than its buffer.
    RemoteInvalidRequest,
    /// The peer refused a write: key, range or access.
    RemoteAccess,
    /// The peer failed while it carried out the request.
    RemoteOperation,
    /// The peer did not acknowledge within the retries: it is dead or the link is down.
    RetryExceeded,
    /// The peer had no receive posted within the retries.
    ReceiverNotReady,
    /// The send queue or the receive queue has no room.
    QueueFull,
    /// The device failed.
    DeviceFatal,
    /// The operating system refused to lock more memory (`RLIMIT_MEMLOCK`).
    MemoryLimit,
    /// There is not enough memory or another resource of the device.
    OutOfMemory,
    /// The address or the route to it could not be resolved, or nobody listens there.
    Unreachable,
    /// The operation was given up because the connection is being closed.
    Cancelled,
    /// Any other error of the operating system, by number.
    Os(i32),
}

impl fmt::Display for TransportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::LocalLength => "local length error",
            Self::LocalQueuePair => "local queue pair operation error",
            Self::LocalProtection => "local protection error: the buffer is not registered",
            Self::Flushed => "flushed: the queue pair had failed before",
            Self::BadResponse => "bad response",
            Self::LocalAccess => "local access error: a write of the peer was refused here",
            Self::RemoteInvalidRequest => "remote invalid request: too long for the peer's buffer",
            Self::RemoteAccess => "remote access error: the peer refused the key or the range",
            Self::RemoteOperation => "remote operation error",
            Self::RetryExceeded => "retries exceeded: the peer is gone or the link is down",
            Self::ReceiverNotReady => "receiver not ready: the peer had posted no receive",
            Self::QueueFull => "the queue is full",
            Self::DeviceFatal => "fatal device error",
            Self::MemoryLimit => "the limit on locked memory (RLIMIT_MEMLOCK) is reached",
            Self::OutOfMemory => "out of memory or device resources",
            Self::Unreachable => "unreachable: no route, or nobody listens",
            Self::Cancelled => "cancelled because the connection closes",
            Self::Os(code) => return write!(formatter, "operating system error {code}"),
        };
        formatter.write_str(text)
    }
}

impl core::error::Error for TransportError {}

/// What happens to the connection, as opposed to the operations on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionEvent<'a> {
    /// A source asks to connect (destination only).
    Requested {
        /// The source's private data, as long as the transport delivers it.
        private_data: &'a [u8],
    },
    /// The connection is up.
    Established {
        /// The destination's private data (source only; empty at the destination).
        private_data: &'a [u8],
    },
    /// The destination refused the connection (source only).
    Rejected,
    /// The connection could not be made.
    Failed {
        /// Why.
        error: TransportError,
    },
    /// The peer ended the connection, or it broke. All completions of work that ended before are
    /// reported first.
    Disconnected,
}
