//! What a machine orders its transport to do.

use core::fmt;

use crate::address::{BlockIndex, BlockOffset, HostAddress, Rkey};
use crate::limits::PRIVATE_DATA_BYTES;

/// One of the registered control buffers that messages are received into.
///
/// A transport has [`RECEIVE_BUFFERS`](crate::limits::RECEIVE_BUFFERS) of them, numbered from 0,
/// each of [`CONTROL_BUFFER_BYTES`](crate::limits::CONTROL_BUFFER_BYTES).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReceiveBuffer(pub u8);

/// The machine's own name for a piece of registered memory: the number of its first chunk, counted
/// over all RAM blocks in their order.
///
/// Local to one side; the peer knows the region only by its rkey.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RegionId(pub u32);

impl fmt::Display for RegionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "region {}", self.0)
    }
}

/// Who may touch a registered region, never wider than needed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// The local adapter reads: what a source grants itself to write from its RAM.
    LocalRead,
    /// The local adapter writes on behalf of the peer: what a destination grants a source.
    RemoteWrite,
}

/// An RDMA WRITE of one run of guest RAM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WriteRam {
    /// The local region that the bytes are read from.
    pub region: RegionId,
    /// The RAM block, in the order of the RAM block exchange.
    pub block: BlockIndex,
    /// First byte of the run in the block.
    pub offset: BlockOffset,
    /// Length of the run in bytes, at least 1.
    pub length: u64,
    /// Where the destination has the first byte.
    pub remote_address: HostAddress,
    /// The destination's key for it.
    pub rkey: Rkey,
    /// Whether the transport reports this write, and with it all before it, as
    /// [`Completion::RamWritten`](super::Completion::RamWritten).
    pub signaled: bool,
}

/// An order to the transport. Order among operations is part of the contract.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// Open the connection, with our capabilities as private data. Answered by
    /// [`ConnectionEvent`](super::ConnectionEvent), not by a completion.
    Connect {
        /// The eight bytes of our capabilities.
        private_data: [u8; PRIVATE_DATA_BYTES],
    },
    /// Accept the connection that was requested. Answered by
    /// [`ConnectionEvent::Established`](super::ConnectionEvent::Established).
    Accept {
        /// The eight bytes of what we agreed to.
        private_data: [u8; PRIVATE_DATA_BYTES],
    },
    /// Refuse the connection that was requested. Not answered; `Disconnect` follows.
    Reject,
    /// End the connection, or the attempt at one, and destroy the queue pair. Answered by
    /// [`Completion::Disconnected`](super::Completion::Disconnected).
    Disconnect,
    /// Post a receive into a control buffer.
    PostReceive {
        /// The buffer, which is the transport's until a completion returns it.
        buffer: ReceiveBuffer,
    },
    /// Send the message that was just encoded into the send buffer. Always signaled.
    Send {
        /// Bytes of the message, header included.
        length: usize,
    },
    /// Write guest RAM into the destination.
    WriteRam(WriteRam),
    /// Find out whether a run of our own RAM is zero throughout.
    ScanRam {
        /// The RAM block.
        block: BlockIndex,
        /// First byte of the run in the block.
        offset: BlockOffset,
        /// Length of the run in bytes.
        length: u64,
    },
    /// Set a run of our own RAM to zero.
    ZeroRam {
        /// The RAM block.
        block: BlockIndex,
        /// First byte of the run in the block.
        offset: BlockOffset,
        /// Length of the run in bytes.
        length: u64,
    },
    /// Pin and register a piece of our own RAM.
    RegisterMemory {
        /// The name that later operations use.
        region: RegionId,
        /// The RAM block.
        block: BlockIndex,
        /// First byte of the region in the block.
        offset: BlockOffset,
        /// Length of the region in bytes.
        length: u64,
        /// Who may touch it.
        access: Access,
    },
    /// Give a registered region back.
    DeregisterMemory {
        /// The region.
        region: RegionId,
    },
}
