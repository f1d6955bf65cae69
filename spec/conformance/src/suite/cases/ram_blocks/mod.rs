//! Chapter 4: RAM blocks.

pub(super) mod destination;
pub(super) mod source;
pub(super) mod source_rejects;
