//! The bytes of control messages, good or bad.

use rdma_migration_protocol::limits::{CONTROL_BUFFER_BYTES, HEADER_BYTES};
use rdma_migration_protocol::wire::{Header, Kind, Message};

/// Places in a header.
pub(crate) const LENGTH: usize = 0;
pub(crate) const TYPE: usize = 4;
pub(crate) const REPEAT: usize = 8;
pub(crate) const PADDING: usize = 12;

/// The bytes of one command.
pub(crate) const COMMAND: usize = 24;

/// Whether a message has this kind, whatever else is wrong with it.
pub(crate) fn is(message: &[u8], kind: Kind) -> bool {
    Header::parse(message).is_ok_and(|header| header.kind == kind)
}

/// Whether it has one of these kinds.
pub(crate) fn is_any(message: &[u8], kinds: &[Kind]) -> bool {
    kinds.iter().any(|kind| is(message, *kind))
}

/// A message that counts its commands.
pub(crate) fn is_counted(message: &[u8]) -> bool {
    is_any(message, &[Kind::Compress, Kind::RegisterRequest, Kind::UnregisterRequest])
}

/// A message of which `repeat` says nothing.
pub(crate) fn is_uncounted(message: &[u8]) -> bool {
    let counted = [Kind::RegisterResult, Kind::UnregisterFinished];
    !is_counted(message) && !is_any(message, &counted)
}

/// A command of a source.
pub(crate) fn is_command(message: &[u8]) -> bool {
    let others = [Kind::QemuFile, Kind::RamBlocksRequest, Kind::RegisterFinished];
    is_counted(message) || is_any(message, &others)
}

/// A reply of a destination.
pub(crate) fn is_reply(message: &[u8]) -> bool {
    is_any(message, &[Kind::RamBlocksResult, Kind::RegisterResult, Kind::UnregisterFinished])
}

/// What is behind the header.
pub(crate) fn payload(message: &[u8]) -> &[u8] {
    message.get(HEADER_BYTES..).unwrap_or_default()
}

/// The whole entries of the payload.
pub(crate) fn entries(message: &[u8], bytes: usize) -> impl Iterator<Item = &[u8]> {
    payload(message).chunks_exact(bytes)
}

/// The place of each whole entry in the message.
pub(crate) fn places(message: &[u8], bytes: usize) -> Vec<usize> {
    (0..entries(message, bytes).count()).map(|index| HEADER_BYTES + index * bytes).collect()
}

/// The bytes of a message that can be encoded.
pub(crate) fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut buffer = vec![0; CONTROL_BUFFER_BYTES];
    let length = message.encode(&mut buffer).unwrap_or_default();
    buffer.truncate(length);
    buffer
}

/// The bytes of a message with any payload, with a header that fits.
pub(crate) fn compose(kind: Kind, repeat: u32, payload: &[u8]) -> Vec<u8> {
    // Every message without payload has the header of READY but for its kind.
    let mut message = encode(&Message::Ready);
    put_u32(&mut message, TYPE, kind.number());
    put_u32(&mut message, REPEAT, repeat);
    message.extend_from_slice(payload);
    fit(&mut message);
    message
}

/// Makes the `length` of the header that of the payload.
pub(crate) fn fit(message: &mut [u8]) {
    let length = u32::try_from(payload(message).len()).unwrap_or(u32::MAX);
    put_u32(message, LENGTH, length);
}

pub(crate) fn get_u32(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    found.map(|bytes| u32::from_be_bytes(*bytes)).unwrap_or_default()
}

pub(crate) fn get_u64(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    found.map(|bytes| u64::from_be_bytes(*bytes)).unwrap_or_default()
}

pub(crate) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    put(bytes, at, &value.to_be_bytes());
}

pub(crate) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    put(bytes, at, &value.to_be_bytes());
}

pub(crate) fn change_u32(bytes: &mut [u8], at: usize, change: impl FnOnce(u32) -> u32) {
    let changed = change(get_u32(bytes, at));
    put_u32(bytes, at, changed);
}

pub(crate) fn change_u64(bytes: &mut [u8], at: usize, change: impl FnOnce(u64) -> u64) {
    let changed = change(get_u64(bytes, at));
    put_u64(bytes, at, changed);
}

/// Overwrites bytes; what would be outside is left out.
pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (byte, value) in bytes.iter_mut().skip(at).zip(value) {
        *byte = *value;
    }
}

/// Turns round the order of bytes, as a sender does that forgets about byte order.
pub(crate) fn reverse(bytes: &mut [u8], at: usize, length: usize) {
    if let Some(field) = bytes.get_mut(at..at + length) {
        field.reverse();
    }
}
