//! Chapter 7: zero pages.

use crate::suite::Case;

pub(super) const CASES: &[Case] = &[];
