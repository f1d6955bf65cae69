//! Chapter 6: RAM writes.

pub(super) mod destination;
pub(super) mod source;
