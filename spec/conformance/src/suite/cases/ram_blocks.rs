//! Chapter 4: RAM blocks.

use crate::suite::Case;

pub(super) const CASES: &[Case] = &[];
