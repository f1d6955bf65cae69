//! Stream bytes on their way into QEMU_FILE messages.

use alloc::vec::Vec;

use crate::limits::STREAM_MESSAGE_BYTES_MAX;

/// Stream bytes that have not left yet: at most one message.
///
/// Bytes are held back until more follow, or until a flush, so that the last bytes of a stream always
/// leave after `finish` has named them the last.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    due: bool,
}

impl Outgoing {
    /// Allocates all that it will ever need.
    pub(crate) fn reserve(&mut self) {
        self.bytes.reserve_exact(STREAM_MESSAGE_BYTES_MAX.saturating_sub(self.bytes.len()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes as many bytes as there is room for and returns how many.
    //= spec/text/08-stream.md#messages
    //# [STR-1] A source MUST put 1 to 32768 bytes of the stream into a QEMU_FILE message.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let room = STREAM_MESSAGE_BYTES_MAX.saturating_sub(self.bytes.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(taken);
        if taken.len() < bytes.len() {
            self.due = true;
        }
        taken.len()
    }

    /// Lets what has been written leave.
    pub(crate) fn flush(&mut self) {
        self.due = !self.bytes.is_empty();
    }

    /// The bytes of the next message, if they may leave.
    pub(crate) fn due(&self) -> Option<&[u8]> {
        self.due.then_some(&*self.bytes)
    }

    /// They have left.
    pub(crate) fn sent(&mut self) {
        self.bytes.clear();
        self.due = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/text/08-stream.md#messages
    //= type=test
    //# [STR-1] A source MUST put 1 to 32768 bytes of the stream into a QEMU_FILE message.
    #[test]
    fn a_message_has_1_to_32768_bytes() {
        let mut outgoing = Outgoing::default();
        outgoing.flush();
        assert_eq!(outgoing.due(), None);
        assert_eq!(outgoing.write(&[7; 40_000]), 32_768);
        assert_eq!(outgoing.due().map(<[u8]>::len), Some(32_768));
        outgoing.sent();
        assert!(outgoing.is_empty());
    }

    #[test]
    fn bytes_are_held_back_until_more_follow_or_a_flush() {
        let mut outgoing = Outgoing::default();
        assert_eq!(outgoing.write(&[7; 32_768]), 32_768);
        assert_eq!(outgoing.due(), None);
        assert_eq!(outgoing.write(&[8]), 0);
        assert!(outgoing.due().is_some());
        outgoing.sent();
        outgoing.write(&[8]);
        assert_eq!(outgoing.due(), None);
        outgoing.flush();
        assert_eq!(outgoing.due(), Some(&[8][..]));
    }
}
