//! Chapter 10: errors.

use crate::suite::Case;

pub(super) const CASES: &[Case] = &[];
