//! What a source tells its owner.

use crate::connection::{Closed, Negotiated};

/// A fact for the owner of a source.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SourceEvent {
    /// The connection is up; stream bytes may be written.
    Connected(Negotiated),
    /// There is room for stream bytes again, after a write that took less than it was given.
    StreamWritable,
    /// The RAM blocks are exchanged and, where all RAM is pinned, registered on both sides. The first
    /// round has begun.
    BlocksExchanged,
    /// There is room for RAM again, after a call that took less than it was given.
    RamWritable,
    /// Everything of the round has arrived at the destination; stream bytes may be written again.
    RoundFinished,
    /// The last bytes of the stream have arrived at the destination: the guest is the destination's.
    HandedOver,
    /// The end. Nothing follows.
    Closed(Closed),
}
