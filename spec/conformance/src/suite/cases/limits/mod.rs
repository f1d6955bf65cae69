//! Chapter 11: limits.

pub(super) mod destination;
pub(super) mod source;
