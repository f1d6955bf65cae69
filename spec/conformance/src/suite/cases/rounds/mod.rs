//! Chapter 9: rounds and handover.

pub(super) mod destination;
pub(super) mod source;
