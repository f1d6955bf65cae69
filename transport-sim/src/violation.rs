//! What a machine or its owner did that verbs do not allow.

use rdma_migration_protocol::address::Rkey;
use rdma_migration_protocol::transport::{Operation, ReceiveBuffer, RegionId};

use rdma_migration_protocol::wire::Kind;

use crate::side::Side;

/// A breach of the rules of verbs or of the transport contract, with the side that is to blame.
///
/// The fabric also acts it out as an adapter would. Correct machines cause none, whatever faults
/// strike; tests assert that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Who did it.
    pub side: Side,
    /// What was done.
    pub breach: Breach,
}

impl core::fmt::Display for Violation {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{}: {}", self.side, self.breach)
    }
}

/// A rule that was broken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// A message reached a side that had no receive posted.
    #[error("a send of {bytes} bytes found no receive posted")]
    SendWithoutReceive {
        /// Length of the message.
        bytes: usize,
    },
    /// A message was longer than the buffer that was posted for it.
    #[error("a send of {bytes} bytes into a receive buffer of {room}")]
    SendTooLong {
        /// Length of the message.
        bytes: usize,
        /// Length of the buffer.
        room: usize,
    },
    /// A message of no bytes, or longer than the control buffer that it is encoded in.
    #[error("a send of {bytes} bytes from a control buffer")]
    SendLength {
        /// Length of the message.
        bytes: usize,
    },
    /// One send too many at a time.
    #[error("a send while {outstanding} were outstanding")]
    TooManySends {
        /// Sends that were outstanding already.
        outstanding: usize,
    },
    /// A post to a full send queue.
    #[error("a post to a send queue that was full at {depth}")]
    SendQueueFull {
        /// What the queue holds.
        depth: usize,
    },
    /// A post to a full receive queue.
    #[error("a post to a receive queue that was full at {depth}")]
    ReceiveQueueFull {
        /// What the queue holds.
        depth: usize,
    },
    /// A buffer was posted that is on the queue already.
    #[error("receive buffer {} was posted twice", .0.0)]
    ReceivePostedTwice(ReceiveBuffer),
    /// A buffer was posted or read that does not exist.
    #[error("there is no receive buffer {}", .0.0)]
    UnknownReceiveBuffer(ReceiveBuffer),
    /// A buffer was read while the adapter owned it, or before anything was received into it.
    #[error("receive buffer {} was read while it held no message", .0.0)]
    ReceiveBufferNotHeld(ReceiveBuffer),
    /// A write with a key that was never given out.
    #[error("a write with the key {0}, which was never given out")]
    UnknownKey(Rkey),
    /// A write with a key that had been taken back.
    #[error("a write with the key {0} after it was taken back")]
    KeyTakenBack(Rkey),
    /// A write that is not wholly inside the region of its key.
    #[error("a write of {length} bytes at {address:#x} outside the region of the key {rkey}")]
    OutsideRegion {
        /// The key.
        rkey: Rkey,
        /// First address.
        address: u64,
        /// Bytes.
        length: u64,
    },
    /// A write with the key of a region that does not allow it.
    #[error("a write with the key {0}, which grants no remote write")]
    WrongAccess(Rkey),
    /// A write from memory that is not covered by its region.
    #[error("a write from memory that {0} does not cover")]
    LocalBufferNotRegistered(RegionId),
    /// A region was registered under a name that is in use.
    #[error("{0} was registered twice")]
    RegisteredTwice(RegionId),
    /// A region of no bytes or outside its RAM block.
    #[error("{0} is empty or not inside its RAM block")]
    RegionOutsideBlock(RegionId),
    /// A region was given back that does not exist or is given back already.
    #[error("{0} was given back but is not registered")]
    NotRegistered(RegionId),
    /// A region was given back while a write from it was on its way.
    #[error("{0} was given back while a write from it was on its way")]
    WriteInFlight(RegionId),
    /// A scan or a fill of no bytes or outside its RAM block.
    #[error("a scan or fill of nothing or outside the RAM block")]
    RunOutsideBlock,
    /// A write of no bytes.
    #[error("a write of no bytes")]
    EmptyWrite,
    /// A send or a write before the connection was up.
    #[error("{0:?} before the connection was up")]
    NotConnected(Operation),
    /// An operation of connection management that does not fit the state of the connection.
    #[error("{0:?} does not fit the state of the connection")]
    ConnectionState(Operation),
    /// An operation on the queue pair, or a registration, after `Disconnect`.
    #[error("{0:?} after Disconnect")]
    AfterDisconnect(Operation),
    /// The two ends of a write are a block of bytes and one without backing.
    #[error("a write between a RAM block of bytes and one without backing")]
    BackingsDiffer,
    /// A source sent a command without holding a READY.
    #[error("{0} without a READY for it")]
    CommandWithoutReady(Kind),
    /// A destination sent a READY while an earlier one was unused.
    #[error("a READY while an earlier one was unused")]
    ReadyTwice,
    /// A region was never given back.
    #[error("{0} was never given back")]
    Leak(RegionId),
    /// A write that nothing reports: no signaled one followed it.
    #[error("{0} unsignaled writes that no signaled one followed")]
    UnsignaledWritesLeft(usize),
}
