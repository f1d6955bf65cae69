//! Chapter 8: the stream.

pub(super) mod destination;
pub(super) mod destination_finds_blocks;
pub(super) mod set_up;
pub(super) mod source;
