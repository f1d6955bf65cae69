//! What each side can do, exchanged before the first control message.

use super::Malformed;
use crate::limits::PRIVATE_DATA_BYTES;
use core::fmt;
use core::mem::{offset_of, size_of};
use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version of the protocol that this crate speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// The private data of a connection request, and of its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// The version of the protocol, from 1.
    pub version: u32,
    /// What the source asks for; in a reply, what the destination grants of it.
    pub flags: Flags,
}

/// A set of capabilities, a bit each. Bits that this crate does not know are kept.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags(u32);

impl Flags {
    /// No capability.
    pub const NONE: Self = Self(0);

    /// Bit 0: all RAM is registered before the first round, with one key for each block.
    pub const PIN_ALL: Self = Self(1);

    /// Every capability of version 1.
    pub const KNOWN: Self = Self::PIN_ALL;

    /// The set with these bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits of the set.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether every capability of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The capabilities that are in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The capabilities that are in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({:#x})", self.0)
    }
}

//= spec/text/02-connection.md#private-data
//# [CON-1] The capabilities MUST be encoded as the 8 bytes of this table.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    version: U32,
    flags: U32,
}

const _: () = assert!(size_of::<Layout>() == PRIVATE_DATA_BYTES);
const _: () = assert!(offset_of!(Layout, version) == 0);
const _: () = assert!(offset_of!(Layout, flags) == 4);

impl Capabilities {
    /// Reads the first 8 bytes of the private data of a connection request or reply.
    ///
    /// Connection managers hand over a longer area, padded with zeroes, so the rest says nothing.
    /// Neither version nor flags are judged here.
    ///
    /// # Errors
    /// [`Malformed::PrivateDataTooShort`] with fewer than 8 bytes.
    pub fn parse(private_data: &[u8]) -> Result<Self, Malformed> {
        //= spec/text/02-connection.md#private-data
        //# [CON-3] A receiver MUST ignore the bytes of the private data after the first 8.
        //= spec/text/02-connection.md#private-data
        //# [CON-2] A receiver MUST reject private data that is shorter than 8 bytes.
        let (layout, _) = Layout::ref_from_prefix(private_data)
            .map_err(|_| Malformed::PrivateDataTooShort { received: private_data.len() })?;
        Ok(Self { version: layout.version.get(), flags: Flags(layout.flags.get()) })
    }

    /// The 8 bytes that are sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; PRIVATE_DATA_BYTES] {
        let layout = Layout { version: self.version.into(), flags: self.flags.0.into() };
        zerocopy::transmute!(layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    //= spec/text/02-connection.md#private-data
    //= type=test
    //# [CON-1] The capabilities MUST be encoded as the 8 bytes of this table.
    #[test]
    fn capabilities_are_two_big_endian_words() {
        let capabilities = Capabilities { version: 1, flags: Flags::PIN_ALL };
        assert_eq!(capabilities.to_bytes(), [0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(Capabilities::parse(&[0, 0, 0, 1, 0, 0, 0, 1]), Ok(capabilities));

        let strange = Capabilities { version: 0x0102_0304, flags: Flags::from_bits(0xfffe_0005) };
        assert_eq!(strange.to_bytes(), [1, 2, 3, 4, 0xff, 0xfe, 0, 5]);
        assert_eq!(Capabilities::parse(&strange.to_bytes()), Ok(strange));
    }

    //= spec/text/02-connection.md#private-data
    //= type=test
    //# [CON-2] A receiver MUST reject private data that is shorter than 8 bytes.
    #[test]
    fn private_data_shorter_than_the_capabilities_is_rejected() {
        for received in 0..PRIVATE_DATA_BYTES {
            let private_data = &[0, 0, 0, 1, 0, 0, 0, 1][..received];
            let expected = Err(Malformed::PrivateDataTooShort { received });
            assert_eq!(Capabilities::parse(private_data), expected);
        }
    }

    //= spec/text/02-connection.md#private-data
    //= type=test
    //# [CON-3] A receiver MUST ignore the bytes of the private data after the first 8.
    #[test]
    fn what_follows_the_capabilities_says_nothing() {
        let mut area = [0xa5; 56];
        area[..8].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
        let expected = Capabilities { version: 1, flags: Flags::NONE };
        assert_eq!(Capabilities::parse(&area), Ok(expected));
    }

    #[test]
    fn flags_are_a_set() {
        let unknown = Flags::from_bits(0xffff_fffe);
        assert!(!unknown.contains(Flags::PIN_ALL));
        assert_eq!(unknown.intersection(Flags::KNOWN), Flags::NONE);
        assert!(unknown.union(Flags::PIN_ALL).contains(Flags::PIN_ALL));
        assert_eq!(Flags::PIN_ALL.union(Flags::PIN_ALL), Flags::PIN_ALL);
        assert!(Flags::NONE.contains(Flags::NONE));
        assert_eq!(
            (unknown.bits(), format!("{unknown:?}").as_str()),
            (0xffff_fffe, "Flags(0xfffffffe)")
        );
    }
}
