//! Whole messages and writes out of their packets.

use super::infiniband::{Position, RemoteRange};
use crate::codec::MESSAGE_BYTES_MAX;

/// A SEND put together from its packets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Message {
    /// Its bytes from the beginning, as far as they were captured, and at most
    /// [`MESSAGE_BYTES_MAX`] of them.
    pub bytes: Vec<u8>,
    /// Bytes that were sent.
    pub length: u64,
    /// Packets that carried it.
    pub packets: u64,
}

impl Message {
    /// Whether some of its bytes were not captured.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.missing_bytes() > 0
    }

    /// Bytes that were sent and not captured.
    #[must_use]
    pub fn missing_bytes(&self) -> u64 {
        self.length.saturating_sub(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX))
    }

    fn append(&mut self, payload: &[u8], payload_bytes: usize) {
        // Behind a gap nothing can be put at its right place.
        if !self.is_cut() {
            let room = MESSAGE_BYTES_MAX.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(payload.get(..room).unwrap_or(payload));
        }
        self.length = self.length.saturating_add(u64::try_from(payload_bytes).unwrap_or(u64::MAX));
        self.packets += 1;
    }
}

/// What a packet of a SEND leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Assembled {
    /// More packets follow.
    Open,
    /// The message is complete.
    Message(Message),
    /// The message ends here, but its beginning is not in the capture.
    NoBeginning,
}

/// The SEND that one direction of a connection is in.
#[derive(Clone, Debug, Default)]
pub struct MessageAssembly {
    open: Option<Message>,
}

impl MessageAssembly {
    /// Takes the next packet of a SEND.
    pub fn take(&mut self, position: Position, payload: &[u8], payload_bytes: usize) -> Assembled {
        if position.begins() {
            self.open = Some(Message::default());
        }
        match (self.open.as_mut(), position.ends()) {
            (Some(message), false) => {
                message.append(payload, payload_bytes);
                Assembled::Open
            }
            (Some(message), true) => {
                message.append(payload, payload_bytes);
                self.open.take().map_or(Assembled::Open, Assembled::Message)
            }
            (None, false) => Assembled::Open,
            (None, true) => Assembled::NoBeginning,
        }
    }

    /// Gives up the message that is open, and says whether there was one.
    pub fn abandon(&mut self) -> bool {
        self.open.take().is_some()
    }
}

/// The WRITE that one direction of a connection is in.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteAssembly {
    open: Option<OpenWrite>,
}

#[derive(Clone, Copy, Debug)]
struct OpenWrite {
    declared: Option<u32>,
    carried: u64,
}

/// A WRITE whose packets carried more or less than its header says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WrongWriteLength {
    /// Bytes that the header names.
    pub declared: u32,
    /// Bytes that the packets carried.
    pub carried: u64,
}

impl WriteAssembly {
    /// Takes the next packet of a WRITE; at the last one, says if the length was wrong.
    pub fn take(
        &mut self,
        position: Position,
        range: Option<RemoteRange>,
        payload_bytes: usize,
    ) -> Option<WrongWriteLength> {
        if position.begins() {
            self.open = Some(OpenWrite { declared: range.map(|range| range.length), carried: 0 });
        }
        let write = self.open.as_mut()?;
        write.carried += u64::try_from(payload_bytes).unwrap_or_default();
        if !position.ends() {
            return None;
        }
        let OpenWrite { declared, carried } = self.open.take()?;
        let declared = declared?;
        (u64::from(declared) != carried).then_some(WrongWriteLength { declared, carried })
    }

    /// Gives up the write that is open.
    pub fn abandon(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Position::{First, Last, Middle, Only};

    #[test]
    fn a_message_in_pieces_is_put_together() {
        let mut assembly = MessageAssembly::default();
        assert_eq!(assembly.take(First, b"ab", 2), Assembled::Open);
        assert_eq!(assembly.take(Middle, b"cd", 2), Assembled::Open);
        let message = Message { bytes: b"abcde".to_vec(), length: 5, packets: 3 };
        assert_eq!(assembly.take(Last, b"e", 1), Assembled::Message(message));
        assert_eq!(assembly.take(Last, b"e", 1), Assembled::NoBeginning);
    }

    #[test]
    fn a_piece_that_was_cut_ends_what_is_known_of_the_bytes() {
        let mut assembly = MessageAssembly::default();
        assembly.take(First, b"ab", 4);
        let Assembled::Message(message) = assembly.take(Last, b"ef", 2) else { panic!() };
        assert_eq!(message, Message { bytes: b"ab".to_vec(), length: 6, packets: 2 });
        assert_eq!(message.missing_bytes(), 4);
    }

    #[test]
    fn memory_stays_bounded_while_the_length_is_still_known() {
        let mut assembly = MessageAssembly::default();
        let piece = vec![0; 4096];
        assembly.take(First, &piece, 4096);
        for _ in 0..1000 {
            assembly.take(Middle, &piece, 4096);
        }
        let Assembled::Message(message) = assembly.take(Last, &piece, 4096) else { panic!() };
        assert_eq!(message.bytes.len(), MESSAGE_BYTES_MAX);
        assert_eq!(message.length, 1002 * 4096);
    }

    #[test]
    fn a_write_that_carries_less_than_it_names_is_seen() {
        let mut assembly = WriteAssembly::default();
        let range = Some(RemoteRange { address: 0, rkey: 1, length: 8192 });
        assert_eq!(assembly.take(First, range, 4096), None);
        assert_eq!(assembly.take(Last, None, 4096), None);
        let wrong = WrongWriteLength { declared: 8192, carried: 4096 };
        assert_eq!(assembly.take(Only, range, 4096), Some(wrong));
    }
}
