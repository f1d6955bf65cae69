//! What a destination tells its owner.

use crate::connection::{Closed, Negotiated};

/// A fact for the owner of a destination.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum DestinationEvent {
    /// The connection is up.
    Connected(Negotiated),
    /// Stream bytes are held: [`Destination::held_stream`](super::Destination::held_stream).
    StreamReadable,
    /// The source asks for the RAM blocks: the owner calls
    /// [`Destination::place_blocks`](super::Destination::place_blocks).
    BlocksRequested,
    /// All RAM of the round has arrived.
    RoundFinished,
    /// The source is gone. What is held of the stream can still be read; then the owner calls
    /// [`Destination::finish`](super::Destination::finish) if the stream is complete, or
    /// [`Destination::abort`](super::Destination::abort).
    StreamEnded,
    /// After `finish`: the source can write no more, the guest may run.
    GuestReleased,
    /// The end. Nothing follows.
    Closed(Closed),
}
