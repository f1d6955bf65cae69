//! Chapter 2: connection.

pub(super) mod destination;
pub(super) mod source;
