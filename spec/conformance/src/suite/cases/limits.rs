//! Chapter 11: limits.

use crate::suite::Case;

pub(super) const CASES: &[Case] = &[];
