//! Chapter 10: errors.

pub(super) mod destination;
pub(super) mod source;

use crate::codec::{Header, Kind};
use crate::suite::play::Message;
use crate::suite::{Finding, Seen};

/// ERROR with something in each field that says nothing.
fn error_with_garbage() -> Vec<u8> {
    let mut error =
        Message::with_header(Header { length: 0, kind: Kind::Error, repeat: 0xdead_beef }, &[]);
    if let Some(padding) = error.get_mut(12..16) {
        padding.copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
    }
    error
}

/// A migration that failed is not called a success.
pub(super) fn has_failed(seen: &Seen<'_>) -> Vec<Finding> {
    let completed = seen.aftermath.completed == Some(true);
    let says = "the migration has failed, and it is called a success";
    completed.then(|| Finding::safety("ERR-2", says)).into_iter().collect()
}
