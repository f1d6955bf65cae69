//! Why a migration ended other than well, sorted by who is to blame.

use core::fmt;

use crate::address::{BlockIndex, HostAddress, RamAddress};
use crate::deadline::TimeoutReason;
use crate::transport::{FailedOperation, TransportError};
use crate::wire::{Kind, Malformed};

/// Why a migration failed. Values, not strings: each carries what was received and what was
/// expected.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Error {
    /// The peer sent bytes that are no message of this protocol.
    Malformed(Malformed),
    /// The peer sent a valid message that it may not send now, or with contents that do not fit
    /// what was agreed.
    PeerMisbehaved(Misbehavior),
    /// The peer and we cannot work together.
    PeerIncompatible(Incompatibility),
    /// The peer sent ERROR: it failed, and says no more than that.
    PeerReportedError,
    /// The peer closed the connection before the migration had ended.
    PeerDisconnected,
    /// The destination refused the connection.
    ConnectionRejected,
    /// The connection could not be made.
    ConnectionFailed(TransportError),
    /// An operation failed on the way or at this side.
    Transport {
        /// The operation.
        operation: FailedOperation,
        /// What became of it.
        error: TransportError,
    },
    /// A wait came to its deadline.
    Timeout(TimeoutReason),
    /// The owner of this side aborted.
    Aborted,
    /// The transport or the owner broke the contract of this crate.
    ApiMisuse(Misuse),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => write!(formatter, "malformed message: {malformed}"),
            Self::PeerMisbehaved(misbehavior) => {
                write!(formatter, "the peer broke the protocol: {misbehavior}")
            }
            Self::PeerIncompatible(incompatibility) => {
                write!(formatter, "the peer is incompatible: {incompatibility}")
            }
            Self::PeerReportedError => formatter.write_str("the peer reported an error"),
            Self::PeerDisconnected => {
                formatter.write_str("the peer disconnected before the migration had ended")
            }
            Self::ConnectionRejected => {
                formatter.write_str("the destination refused the connection")
            }
            Self::ConnectionFailed(error) => write!(formatter, "cannot connect: {error}"),
            Self::Transport { operation, error } => write!(formatter, "{operation}: {error}"),
            Self::Timeout(reason) => write!(formatter, "timed out: {reason}"),
            Self::Aborted => formatter.write_str("aborted by the owner of this side"),
            Self::ApiMisuse(misuse) => write!(formatter, "contract broken on this side: {misuse}"),
        }
    }
}

impl core::error::Error for Error {}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Misbehavior> for Error {
    fn from(misbehavior: Misbehavior) -> Self {
        Self::PeerMisbehaved(misbehavior)
    }
}

impl From<Incompatibility> for Error {
    fn from(incompatibility: Incompatibility) -> Self {
        Self::PeerIncompatible(incompatibility)
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Self::ApiMisuse(misuse)
    }
}

/// A valid message at the wrong time, or with the wrong contents.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Misbehavior {
    /// The source sent a command without holding a READY.
    CommandWithoutReady(Kind),
    /// The destination sent a second READY while the first had not been used.
    ReadyTwice,
    /// The destination sent READY while it owed a reply.
    ReadyBeforeReply {
        /// The reply that was due.
        expected: Kind,
    },
    /// A message of a kind that is not expected now.
    Unexpected {
        /// What arrived.
        received: Kind,
        /// The reply that was due, if one was.
        expected: Option<Kind>,
    },
    /// RAM blocks were asked for twice.
    RamBlocksRequestedTwice,
    /// A command on RAM before the RAM blocks were exchanged.
    RamBeforeRamBlocks(Kind),
    /// A command that has no place where all RAM is pinned.
    RegistrationWhilePinned(Kind),
    /// A registration command outside a window that the owner had opened (strict windows).
    OutsideWindow(Kind),
    /// Stream bytes inside a registration window that the owner had opened (strict windows).
    StreamInsideWindow,
    /// A block index past the end of the table.
    UnknownBlock {
        /// What was received.
        block: BlockIndex,
        /// How many blocks there are.
        blocks: usize,
    },
    /// An address or a range that is not wholly inside its RAM block.
    OutsideBlock {
        /// The block.
        block: BlockIndex,
        /// First address, in the destination's RAM address space.
        address: RamAddress,
        /// Bytes from there; 0 where only the address is known.
        length: u64,
    },
    /// More chunks than the RAM block has.
    TooManyChunks {
        /// The block.
        block: BlockIndex,
        /// The first chunk in the block.
        chunk: u64,
        /// How many chunks after it were asked for.
        further: u64,
    },
    /// A registration that covers part of an earlier one and more.
    RegionsOverlap {
        /// The block.
        block: BlockIndex,
        /// The first chunk in the block.
        chunk: u64,
    },
    /// The unregistration of a chunk at which no registered region starts.
    NotRegistered {
        /// The block.
        block: BlockIndex,
        /// The chunk in the block.
        chunk: u64,
    },
    /// A zero run with another fill value than zero.
    NonZeroFill {
        /// What was received.
        value: u32,
    },
    /// A number of RAM blocks that differs from ours.
    RamBlockCount {
        /// What was received.
        received: usize,
        /// How many we have.
        expected: usize,
    },
    /// A RAM block whose length differs from ours.
    RamBlockLength {
        /// The block.
        block: BlockIndex,
        /// What was received, in bytes.
        received: u64,
        /// What we have, in bytes.
        expected: u64,
    },
    /// A block that wraps around the end of an address space.
    AddressOverflow {
        /// The block.
        block: BlockIndex,
        /// Where the block was said to start.
        address: HostAddress,
    },
    /// A key of zero, which stands for "not registered".
    ZeroKey {
        /// The block.
        block: BlockIndex,
    },
    /// A number of results that differs from the number of requests.
    ResultCount {
        /// What was received.
        received: usize,
        /// How many were asked for.
        expected: usize,
    },
}

impl fmt::Display for Misbehavior {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandWithoutReady(kind) => write!(formatter, "{kind} without a READY for it"),
            Self::ReadyTwice => formatter.write_str("a second READY while one was unused"),
            Self::ReadyBeforeReply { expected } => {
                write!(formatter, "READY before the {expected} that was due")
            }
            Self::Unexpected { received, expected: Some(expected) } => {
                write!(formatter, "{received} where {expected} was due")
            }
            Self::Unexpected { received, expected: None } => {
                write!(formatter, "{received}, which this side does not take")
            }
            Self::RamBlocksRequestedTwice => formatter.write_str("RAM blocks requested twice"),
            Self::RamBeforeRamBlocks(kind) => {
                write!(formatter, "{kind} before the RAM blocks were exchanged")
            }
            Self::RegistrationWhilePinned(kind) => {
                write!(formatter, "{kind} although all RAM is pinned")
            }
            Self::OutsideWindow(kind) => {
                write!(formatter, "{kind} outside a registration window")
            }
            Self::StreamInsideWindow => {
                formatter.write_str("QEMU_FILE inside a registration window")
            }
            Self::UnknownBlock { block, blocks } => {
                write!(formatter, "block {block} of a table of {blocks}")
            }
            Self::OutsideBlock { block, address, length } => {
                write!(formatter, "{length} bytes at {address} are not inside block {block}")
            }
            Self::TooManyChunks { block, chunk, further } => {
                write!(formatter, "chunk {chunk} and {further} more are not in block {block}")
            }
            Self::RegionsOverlap { block, chunk } => {
                write!(formatter, "the region at chunk {chunk} of block {block} overlaps another")
            }
            Self::NotRegistered { block, chunk } => {
                write!(formatter, "no registered region starts at chunk {chunk} of block {block}")
            }
            Self::NonZeroFill { value } => write!(formatter, "a zero run with fill value {value}"),
            Self::RamBlockCount { received, expected } => {
                write!(formatter, "{received} RAM blocks, here are {expected}")
            }
            Self::RamBlockLength { block, received, expected } => {
                write!(formatter, "block {block} has {received} bytes there, {expected} here")
            }
            Self::AddressOverflow { block, address } => {
                write!(formatter, "block {block} at {address} wraps around")
            }
            Self::ZeroKey { block } => write!(formatter, "a key of zero for block {block}"),
            Self::ResultCount { received, expected } => {
                write!(formatter, "{received} results for {expected} requests")
            }
        }
    }
}

/// What keeps two correct sides from working together.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Incompatibility {
    /// A version that is none (0), or newer than the policy of this side takes.
    Version {
        /// What was received.
        received: u32,
    },
    /// The source wants all RAM pinned and this side's policy refuses it.
    PinAllRefused,
    /// This side's configuration demands that all RAM be pinned and the peer declined.
    PinAllDeclined,
    /// The source asks for more registrations than the configuration of this side allows.
    PinnedTooMuch {
        /// Bytes of all registrations together.
        bytes: u64,
        /// Bytes that are allowed.
        bytes_max: u64,
    },
}

impl fmt::Display for Incompatibility {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { received } => write!(formatter, "protocol version {received}"),
            Self::PinAllRefused => formatter.write_str("it wants all RAM pinned (refused here)"),
            Self::PinAllDeclined => formatter.write_str("it declined to pin all RAM"),
            Self::PinnedTooMuch { bytes, bytes_max } => {
                write!(formatter, "it wants {bytes} bytes pinned, and {bytes_max} are allowed here")
            }
        }
    }
}

/// A call or an answer that the contract of this crate does not allow. The call had no effect.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Misuse {
    /// The call does not fit the phase of the migration.
    WrongPhase {
        /// The call.
        call: &'static str,
    },
    /// There are no RAM blocks, too many, or too many chunks in them for one table.
    RamBlocks {
        /// Blocks handed over.
        blocks: usize,
    },
    /// A RAM block that is empty or wraps around the end of an address space.
    RamBlock {
        /// Its place in the table.
        block: BlockIndex,
    },
    /// A range that is empty or not inside the RAM block.
    Range {
        /// The block.
        block: BlockIndex,
        /// First byte in the block.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// A chunk size that is not a power of two from 1 MiB to 1 GiB.
    ChunkBytes {
        /// The size asked for.
        bytes: u64,
    },
    /// A limit of the configuration that is zero, or so large that it has no effect.
    Limit {
        /// Its name.
        name: &'static str,
    },
    /// `finish` while no stream byte is left to send: the destination may run already.
    NothingLeftToFinish,
    /// More stream bytes consumed than there are.
    ConsumedTooMuch {
        /// Bytes asked for.
        asked: usize,
        /// Bytes there.
        available: usize,
    },
    /// A completion that answers no operation.
    UnexpectedCompletion,
    /// A send buffer that is too small for the message.
    SendBuffer {
        /// Bytes that it has.
        bytes: usize,
    },
    /// A registration result with a key of zero, which this protocol cannot carry.
    ZeroKey,
}

impl fmt::Display for Misuse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPhase { call } => write!(formatter, "`{call}` does not fit the phase"),
            Self::RamBlocks { blocks } => write!(formatter, "a table of {blocks} RAM blocks"),
            Self::RamBlock { block } => {
                write!(formatter, "block {block} is empty or wraps around")
            }
            Self::Range { block, offset, length } => {
                write!(formatter, "{length} bytes at {offset} are not inside block {block}")
            }
            Self::ChunkBytes { bytes } => {
                write!(
                    formatter,
                    "chunk size {bytes}: a power of two from 1 MiB to 1 GiB is needed"
                )
            }
            Self::Limit { name } => write!(formatter, "`{name}` is out of range"),
            Self::NothingLeftToFinish => {
                formatter.write_str("`finish` needs stream bytes that have not been sent yet")
            }
            Self::ConsumedTooMuch { asked, available } => {
                write!(formatter, "{asked} bytes consumed where {available} were held")
            }
            Self::UnexpectedCompletion => {
                formatter.write_str("a completion that answers no operation")
            }
            Self::SendBuffer { bytes } => {
                write!(formatter, "a send buffer of {bytes} bytes is too small")
            }
            Self::ZeroKey => formatter.write_str("the transport registered with a key of zero"),
        }
    }
}

impl core::error::Error for Misuse {}
