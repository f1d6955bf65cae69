//! Chapter 7: zero pages.

pub(super) mod destination;
pub(super) mod source;
