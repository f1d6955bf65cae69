//! The stream as it comes in, as far as a recorder has to understand it.

use rdma_migration_protocol::stream::{end, words};

use super::Refusal;

/// The end marker of a stream without a description of the device state.
const END_OF_STREAM: u8 = 0x00;

/// All bytes of the stream so far.
#[derive(Debug)]
pub(super) struct Stream {
    bytes: Vec<u8>,
    messages: u64,
    bytes_max: u64,
    /// Where the stream went on after the last round, until the word there has been looked at.
    word_due_at: Option<usize>,
}

impl Stream {
    pub(super) const fn new(bytes_max: u64) -> Self {
        Self { bytes: Vec::new(), messages: 0, bytes_max, word_due_at: None }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) const fn messages(&self) -> u64 {
        self.messages
    }

    /// Appends what one message brought.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let length = self.bytes.len().saturating_add(bytes.len());
        if u64::try_from(length).unwrap_or(u64::MAX) > self.bytes_max {
            return Err(Refusal::StreamTooLong { max: self.bytes_max });
        }
        self.bytes.extend_from_slice(bytes);
        self.messages += 1;
        self.look_after_round()
    }

    /// A round has ended: a hook word has to stand before it.
    pub(super) fn end_round(&mut self) -> Result<u64, Refusal> {
        let end = self.bytes.len();
        match self.bytes.last_chunk().map(|word| u64::from_be_bytes(*word)) {
            Some(words::HOOK) => {}
            Some(words::MULTIFD_FLUSH) => {
                return Err(Refusal::Multifd { offset: end.saturating_sub(8) });
            }
            _ => return Err(Refusal::NoHook { offset: end }),
        }
        self.word_due_at = Some(end);
        Ok(u64::try_from(end).unwrap_or(u64::MAX))
    }

    /// After a round, a source with multifd says so before it ends the record of RAM.
    fn look_after_round(&mut self) -> Result<(), Refusal> {
        let Some(offset) = self.word_due_at else { return Ok(()) };
        let word = self.bytes.get(offset..).and_then(|after| after.first_chunk());
        let Some(word) = word else { return Ok(()) };
        self.word_due_at = None;
        match u64::from_be_bytes(*word) {
            words::MULTIFD_FLUSH => Err(Refusal::Multifd { offset }),
            _ => Ok(()),
        }
    }

    /// Whether the stream ends with its end marker and a description of the device state.
    pub(super) fn has_description(&self) -> bool {
        end::vm_description(&self.bytes).is_some()
    }

    /// Whether the last byte is what a stream without a description ends with.
    pub(super) fn has_end_marker(&self) -> bool {
        self.bytes.last() == Some(&END_OF_STREAM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(bytes: &[u8]) -> Stream {
        let mut stream = Stream::new(64);
        stream.append(bytes).unwrap();
        stream
    }

    #[test]
    fn a_stream_longer_than_its_limit_is_refused() {
        let mut stream = stream(&[7; 63]);
        assert!(stream.append(&[7]).is_ok());
        let refusal = stream.append(&[7]).unwrap_err();
        assert!(matches!(refusal, Refusal::StreamTooLong { max: 64 }), "{refusal}");
        assert_eq!((stream.bytes().len(), stream.messages()), (64, 2));
    }

    #[test]
    fn a_round_needs_a_hook_word_before_it() {
        assert_eq!(stream(&words::HOOK.to_be_bytes()).end_round().unwrap(), 8);
        let refusal = stream(&words::EOS.to_be_bytes()).end_round().unwrap_err();
        assert!(matches!(refusal, Refusal::NoHook { offset: 8 }), "{refusal}");
        assert!(Stream::new(8).end_round().is_err());
    }

    #[test]
    fn multifd_is_refused_inside_a_round_and_after_it() {
        let refusal = stream(&words::MULTIFD_FLUSH.to_be_bytes()).end_round().unwrap_err();
        assert!(refusal.to_string().contains("multifd (word 0x200 at byte 0"), "{refusal}");
        let mut after = stream(&words::HOOK.to_be_bytes());
        after.end_round().unwrap();
        let word = words::MULTIFD_FLUSH.to_be_bytes();
        after.append(&word[..7]).unwrap();
        let refusal = after.append(&word[7..]).unwrap_err();
        assert!(matches!(refusal, Refusal::Multifd { offset: 8 }), "{refusal}");
    }

    #[test]
    fn only_the_word_behind_a_round_is_looked_at() {
        let mut stream = stream(&words::HOOK.to_be_bytes());
        stream.end_round().unwrap();
        stream.append(&words::EOS.to_be_bytes()).unwrap();
        stream.append(&words::MULTIFD_FLUSH.to_be_bytes()).unwrap();
    }
}
