//! The header in front of every control message.

use super::{Kind, Malformed};
use crate::limits::HEADER_BYTES;
use core::mem::{offset_of, size_of};
use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The first 16 bytes of every control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Bytes after the header: the wire's `length`.
    pub payload_bytes: u32,
    /// What the message is: the wire's `type`.
    pub kind: Kind,
    /// How many commands the payload carries, for the kinds that carry an array of them. Other
    /// kinds are sent with 1 and received with anything.
    pub repeat: u32,
}

//= spec/text/03-control-channel.md#header
//# [CTL-1] A header MUST be encoded as the 16 bytes of this table.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    payload_bytes: U32,
    kind: U32,
    repeat: U32,
    padding: U32,
}

const _: () = assert!(size_of::<Layout>() == HEADER_BYTES);
const _: () = assert!(offset_of!(Layout, payload_bytes) == 0);
const _: () = assert!(offset_of!(Layout, kind) == 4);
const _: () = assert!(offset_of!(Layout, repeat) == 8);
const _: () = assert!(offset_of!(Layout, padding) == 12);

impl Header {
    /// Reads the header from the first 16 of `bytes` and ignores the rest.
    ///
    /// # Errors
    /// [`Malformed::HeaderTruncated`] with fewer than 16 bytes, [`Malformed::UnknownKind`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::split_from(bytes).map(|(header, _)| header)
    }

    /// Reads the header and returns the bytes after it.
    pub(super) fn split_from(bytes: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        //= spec/text/03-control-channel.md#header
        //# [CTL-2] A receiver MUST reject a message that is shorter than its header.
        let (layout, payload) = Layout::ref_from_prefix(bytes)
            .map_err(|_| Malformed::HeaderTruncated { received: bytes.len() })?;
        //= spec/text/03-control-channel.md#kinds
        //# [CTL-6] A receiver MUST reject a message whose `type` is not in this table.
        let kind = Kind::try_from(layout.kind.get())?;
        //= spec/text/03-control-channel.md#header
        //# [CTL-5] A receiver MUST ignore the padding of a header.
        let header =
            Self { payload_bytes: layout.payload_bytes.get(), kind, repeat: layout.repeat.get() };
        Ok((header, payload))
    }

    /// The 16 bytes that are sent.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let layout = Layout {
            payload_bytes: self.payload_bytes.into(),
            kind: self.kind.number().into(),
            repeat: self.repeat.into(),
            padding: U32::ZERO,
        };
        zerocopy::transmute!(layout)
    }

    /// Writes the header to the front of `buffer` and returns the bytes after it, or `None` if
    /// the buffer is shorter than a header.
    pub(super) fn write_to(self, buffer: &mut [u8]) -> Option<&mut [u8]> {
        let (front, payload) = buffer.split_first_chunk_mut()?;
        *front = self.to_bytes();
        Some(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden::{self, bytes};
    use super::*;

    //= spec/text/03-control-channel.md#header
    //= type=test
    //# [CTL-1] A header MUST be encoded as the 16 bytes of this table.
    #[test]
    fn a_header_is_four_big_endian_words() {
        let header = Header { payload_bytes: 0x0102_0304, kind: Kind::Ready, repeat: 0x0506_0708 };
        assert_eq!(header.to_bytes()[..], bytes("01020304 00000002 05060708 00000000"));
        assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
    }

    //= spec/text/03-control-channel.md#header
    //= type=test
    //# [CTL-5] A receiver MUST ignore the padding of a header.
    #[test]
    fn the_padding_of_a_header_says_nothing() {
        let clean = Header::parse(&bytes("00000008 00000003 d8e63f10 00000000")).unwrap();
        let garbage = bytes(golden::QEMU_FILE_GARBAGE);
        assert_eq!(Header::parse(&garbage), Ok(clean));
        assert_ne!(clean.to_bytes()[..], garbage[..16]);
    }

    //= spec/text/03-control-channel.md#header
    //= type=test
    //# [CTL-2] A receiver MUST reject a message that is shorter than its header.
    #[test]
    fn a_message_shorter_than_a_header_is_rejected() {
        for received in 0..HEADER_BYTES {
            let bytes = &bytes(golden::READY)[..received];
            assert_eq!(Header::parse(bytes), Err(Malformed::HeaderTruncated { received }));
        }
    }
}
