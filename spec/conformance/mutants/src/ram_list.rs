//! The list of RAM blocks in a stream, read with less care than it deserves.

use rdma_migration_protocol::stream::words::HOOK;

use crate::message::{get_u64, put_u64};

/// What stands before the total.
const NAME: &[u8] = b"\x03ram\0\0\0\0\0\0\0\x04";

/// A list of RAM blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RamList {
    /// Where its total is in the bytes.
    pub(crate) total_at: usize,
    /// The blocks.
    pub(crate) entries: Vec<Entry>,
}

/// One RAM block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) length: u64,
}

/// Finds the last list in bytes of the stream that end with a hook word, and reads what is before the
/// hook word as blocks, whatever their total.
pub(crate) fn find(stream: &[u8]) -> Option<RamList> {
    let total_at = total_at(stream)?;
    let end = stream.len().checked_sub(8).filter(|end| get_u64(stream, *end) == HOOK)?;
    let mut entries = Vec::new();
    let mut at = total_at + 8;
    while at < end {
        let name_bytes = usize::from(*stream.get(at)?);
        let name = stream.get(at + 1..at + 1 + name_bytes)?.to_vec();
        at += 1 + name_bytes;
        entries.push(Entry { name, length: get_u64(stream, at) });
        at += 8;
    }
    (at == end).then_some(RamList { total_at, entries })
}

/// Where the total of the last list is.
pub(crate) fn total_at(stream: &[u8]) -> Option<usize> {
    let named = stream.windows(NAME.len()).rposition(|bytes| bytes == NAME);
    named.map(|at| at + NAME.len())
}

/// Puts a list in the place of the one that is there, with a total that fits and a hook word.
pub(crate) fn replace(stream: &mut Vec<u8>, list: &RamList) {
    let total = list.entries.iter().fold(0, |sum: u64, entry| sum.wrapping_add(entry.length));
    stream.truncate(list.total_at + 8);
    put_u64(stream, list.total_at, total | 4);
    for Entry { name, length } in &list.entries {
        stream.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        stream.extend_from_slice(name);
        stream.extend_from_slice(&length.to_be_bytes());
    }
    stream.extend_from_slice(&HOOK.to_be_bytes());
}
