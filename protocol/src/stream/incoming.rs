//! The holding area: stream bytes that have arrived and not been taken.

use core::ops::Range;

use crate::error::Misuse;
use crate::limits::HEADER_BYTES;
use crate::transport::ReceiveBuffer;

/// Stream bytes in a receive buffer, from which the owner takes them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HeldStream {
    /// The receive buffer that holds them.
    pub buffer: ReceiveBuffer,
    /// Where in the buffer they are; never empty.
    pub range: Range<usize>,
}

/// The holding area of a destination: at most one message.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Incoming {
    held: Option<HeldStream>,
}

impl Incoming {
    /// A QEMU_FILE with `payload_bytes` of stream arrived. The caller has made sure that the holding
    /// area is empty, by saying READY only then.
    pub(crate) fn arrived(&mut self, buffer: ReceiveBuffer, payload_bytes: usize) {
        let range = HEADER_BYTES..HEADER_BYTES.saturating_add(payload_bytes);
        self.held = Some(HeldStream { buffer, range });
    }

    pub(crate) const fn held(&self) -> Option<&HeldStream> {
        self.held.as_ref()
    }

    /// The owner has taken `bytes` bytes. Returns the buffer once none are left in it.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<Option<ReceiveBuffer>, Misuse> {
        let available = self.held.as_ref().map_or(0, |held| held.range.len());
        let too_much = Misuse::ConsumedTooMuch { asked: bytes, available };
        let Some(held) = self.held.as_mut().filter(|_| bytes <= available) else {
            return if bytes == 0 { Ok(None) } else { Err(too_much) };
        };
        held.range.start = held.range.start.saturating_add(bytes);
        if held.range.is_empty() { Ok(self.drop_held()) } else { Ok(None) }
    }

    /// Gives up what is left, and returns its buffer.
    pub(crate) fn drop_held(&mut self) -> Option<ReceiveBuffer> {
        self.held.take().map(|held| held.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_stays_in_the_holding_area() {
        let buffer = ReceiveBuffer(1);
        let mut incoming = Incoming::default();
        assert_eq!(incoming.take(0), Ok(None));
        incoming.arrived(buffer, 10);
        assert_eq!(incoming.take(3), Ok(None));
        assert_eq!(incoming.held(), Some(&HeldStream { buffer, range: 19..26 }));
        assert_eq!(incoming.take(8), Err(Misuse::ConsumedTooMuch { asked: 8, available: 7 }));
        assert_eq!(incoming.take(7), Ok(Some(buffer)));
        assert_eq!(incoming.held(), None);
    }
}
