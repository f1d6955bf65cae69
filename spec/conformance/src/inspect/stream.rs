//! What of the migration stream can be told without knowing the guest's devices.

use crate::codec::{NamedBlock, find_ram_block_list};

/// The most bytes of the stream that are kept to find the list of RAM blocks.
const SETUP_BYTES_MAX: usize = 1 << 20;
/// Searching is linear in the stream, so it is not repeated at every later hook.
const SEARCHES_MAX: u32 = 2;
const MAGIC: &[u8] = b"QEVM";
const HOOK: [u8; 8] = 0x80_u64.to_be_bytes();
const END_OF_SECTION: [u8; 8] = 0x10_u64.to_be_bytes();

/// The migration stream so far.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    length: u64,
    /// Whether `length` and `tail` are right: nothing before was missing.
    known: bool,
    from_qemu: Option<bool>,
    tail: [u8; HOOK.len()],
    hook_used: bool,
    setup: Vec<u8>,
    searches_left: u32,
}

/// What one message adds to the stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Piece {
    /// Offset of its first byte in the stream; none when earlier bytes are missing.
    pub(super) start: Option<u64>,
    /// Bytes.
    pub(super) length: u32,
    /// What its end means.
    pub(super) end: PieceEnd,
    /// The RAM blocks, if their list ends here.
    pub(super) blocks: Option<Vec<NamedBlock>>,
}

/// What the end of a piece of the stream means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PieceEnd {
    /// A registration window begins.
    Hook,
    /// The piece is nothing but the end of a section of RAM.
    RamSectionEnd,
    /// Nothing in particular.
    Plain,
}

impl Stream {
    /// A stream of which the beginning is in the capture, or not.
    pub(super) fn new(from_the_beginning: bool) -> Self {
        Self {
            length: 0,
            known: from_the_beginning,
            from_qemu: None,
            tail: [0; HOOK.len()],
            hook_used: false,
            setup: Vec::new(),
            searches_left: SEARCHES_MAX,
        }
    }

    /// Packets are missing from the capture, and bytes of the stream with them.
    pub(super) fn lose_track(&mut self) {
        self.known = false;
        self.searches_left = 0;
        self.setup = Vec::new();
    }

    /// Appends the payload of a message that declares this length.
    pub(super) fn append(&mut self, payload: &[u8], length: u32) -> Piece {
        if self.length == 0 && payload.starts_with(MAGIC) {
            self.known = true;
        }
        if usize::try_from(length) != Ok(payload.len()) {
            self.lose_track();
        }
        if self.length == 0 && self.known {
            self.from_qemu = Some(payload.starts_with(MAGIC));
        }
        let start = self.known.then_some(self.length);
        self.length = self.length.saturating_add(u64::from(length));
        let kept = [self.tail.as_slice(), payload].concat();
        if let Some(tail) = kept.last_chunk() {
            self.tail = *tail;
        }
        self.hook_used = false;
        let end = match payload {
            _ if self.known && self.tail == HOOK => PieceEnd::Hook,
            payload if payload == END_OF_SECTION => PieceEnd::RamSectionEnd,
            _ => PieceEnd::Plain,
        };
        Piece { start, length, end, blocks: self.search(payload, end) }
    }

    /// Whether the stream has reached a hook that no registration window has used yet; none when
    /// that cannot be told, or the stream is not one of QEMU.
    pub(super) fn at_hook(&self) -> Option<bool> {
        (self.known && self.from_qemu == Some(true)).then_some(self.tail == HOOK && !self.hook_used)
    }

    /// A registration window has begun.
    pub(super) fn use_hook(&mut self) {
        self.hook_used = true;
    }

    fn search(&mut self, payload: &[u8], end: PieceEnd) -> Option<Vec<NamedBlock>> {
        if self.searches_left == 0 || self.setup.len() + payload.len() > SETUP_BYTES_MAX {
            self.setup = Vec::new();
            self.searches_left = 0;
            return None;
        }
        self.setup.extend_from_slice(payload);
        if end != PieceEnd::Hook {
            return None;
        }
        self.searches_left -= 1;
        let blocks = find_ram_block_list(&self.setup);
        if blocks.is_some() || self.searches_left == 0 {
            self.searches_left = 0;
            self.setup = Vec::new();
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(stream: &mut Stream, bytes: &[u8]) -> Piece {
        stream.append(bytes, u32::try_from(bytes.len()).unwrap())
    }

    #[test]
    fn a_hook_is_found_across_messages_and_used_once() {
        let mut stream = Stream::new(true);
        assert_eq!(append(&mut stream, b"QEVM\0\0\0\0").end, PieceEnd::Plain);
        assert_eq!(stream.at_hook(), Some(false));
        let piece = append(&mut stream, &[0, 0, 0, 0x80]);
        assert_eq!((piece.start, piece.end), (Some(8), PieceEnd::Hook));
        assert_eq!(stream.at_hook(), Some(true));
        stream.use_hook();
        assert_eq!(stream.at_hook(), Some(false));
        assert_eq!(append(&mut stream, &END_OF_SECTION).end, PieceEnd::RamSectionEnd);
    }

    #[test]
    fn nothing_is_said_of_hooks_where_bytes_are_missing_or_the_stream_is_foreign() {
        let mut foreign = Stream::new(true);
        append(&mut foreign, b"something else");
        assert_eq!(foreign.at_hook(), None);
        let mut cut = Stream::new(true);
        append(&mut cut, b"QEVM");
        assert_eq!(cut.append(b"abc", 100).start, None);
        assert_eq!(cut.at_hook(), None);
    }
}
