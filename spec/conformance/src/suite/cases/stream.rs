//! Chapter 8: the stream.

use crate::suite::Case;

pub(super) const CASES: &[Case] = &[];
