//! Chapter 6: RAM writes.

use crate::suite::Case;

pub(super) const CASES: &[Case] = &[];
