//! Chapter 3: the control channel.

use crate::suite::Case;

pub(super) const CASES: &[Case] = &[];
