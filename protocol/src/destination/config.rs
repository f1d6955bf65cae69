//! What an owner can choose about a destination.

use crate::connection::{NewerVersion, PinAllPolicy};
use crate::deadline::Timeouts;
use crate::ram::ChunkSize;

/// The configuration of a [`Destination`](super::Destination).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct DestinationConfig {
    /// What to answer to a source that wants all RAM pinned. Default: agree.
    pub pin_all: PinAllPolicy,
    /// What to answer to a source of a newer version. Default: version 1.
    pub newer_version: NewerVersion,
    /// The chunk size, which the source has to share. Default 1 MiB.
    pub chunk_size: ChunkSize,
    /// Where commands on RAM are taken. Default: anywhere.
    pub windows: Windows,
    /// Bytes of RAM, in whole chunks, that are registered at a time, at most. A destination cannot
    /// take back what it has granted: a source that wants more, or all RAM pinned, is told ERROR.
    /// Default: no bound.
    pub pinned_bytes_max: Option<u64>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

/// Where a destination takes commands on RAM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Windows {
    /// Wherever a command may come. Needs nothing of the stream, and takes what the sources of QEMU
    /// 8.1.0 to 8.1.2 send in the middle of a round.
    #[default]
    Anywhere,
    /// Only from a hook word to REGISTER_FINISHED, and no stream bytes there: for owners that parse
    /// the stream and call [`Destination::open_window`](super::Destination::open_window) at each
    /// hook word.
    Announced,
}
