//! Chapter 2: connection.

use crate::suite::Case;

pub(super) const CASES: &[Case] = &[];
