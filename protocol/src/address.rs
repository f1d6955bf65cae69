//! Addresses, indices and keys, each a type of its own, so that none is taken for another.
//!
//! Two address spaces meet in this protocol, the destination's virtual memory and its RAM
//! addresses, and a third number, the place inside a block, lies between them.

use core::fmt;

/// Defines a newtype over an unsigned integer with `new`, `get` and the conversions.
macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($integer:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($integer);

        impl $name {
            /// Wraps the bare number.
            #[must_use]
            pub const fn new(value: $integer) -> Self {
                Self(value)
            }

            /// The bare number.
            #[must_use]
            pub const fn get(self) -> $integer {
                self.0
            }
        }
    };
}

/// Gives an address newtype its arithmetic and its hexadecimal form.
macro_rules! address {
    ($name:ident) => {
        impl $name {
            /// The address `bytes` further on, or `None` where it would pass 2^64 - 1.
            #[must_use]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// Whether `bytes` bytes that start here all have an address: the last one's is at most
            /// 2^64 - 1. True for none.
            #[must_use]
            pub const fn has_room_for(self, bytes: u64) -> bool {
                self.0.checked_add(bytes.saturating_sub(1)).is_some()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

newtype! {
    /// A virtual address in the destination's process: where an RDMA WRITE lands.
    HostAddress(u64)
}
address!(HostAddress);

newtype! {
    /// An address in the destination's RAM address space, in bytes.
    ///
    /// The destination chooses where each block starts in it; commands name a byte of a block by
    /// that start plus the byte's [`BlockOffset`].
    RamAddress(u64)
}
address!(RamAddress);

newtype! {
    /// A place in a RAM block, in bytes from the block's first byte.
    BlockOffset(u64)
}
address!(BlockOffset);

newtype! {
    /// The position of a RAM block in `RAM_BLOCKS_RESULT`, from 0.
    BlockIndex(u32)
}

impl fmt::Display for BlockIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

newtype! {
    /// A remote key: the right to WRITE into one memory region of the destination.
    ///
    /// Zero says that nothing is registered.
    Rkey(u32)
}

impl fmt::Display for Rkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_address_never_wraps_around() {
        let last = HostAddress::new(u64::MAX);
        assert_eq!(last.checked_add(0), Some(last));
        assert_eq!(last.checked_add(1), None);
        assert_eq!(RamAddress::new(0x1000).checked_add(0x10), Some(RamAddress::new(0x1010)));
    }

    #[test]
    fn there_is_room_up_to_the_last_address() {
        let at = |bytes_left: u64| HostAddress::new(bytes_left.wrapping_neg());
        assert!(at(0x1000).has_room_for(0x1000) && !at(0x1000).has_room_for(0x1001));
        assert!(at(1).has_room_for(1) && !at(1).has_room_for(2) && at(1).has_room_for(0));
        assert!(HostAddress::new(0).has_room_for(u64::MAX));
    }

    #[test]
    fn addresses_and_keys_are_shown_in_hexadecimal_and_indices_in_decimal() {
        assert_eq!(HostAddress::new(0x7fc2_6820_0000).to_string(), "0x7fc268200000");
        assert_eq!(Rkey::new(0x104).to_string(), "0x104");
        assert_eq!(BlockIndex::new(12).to_string(), "12");
    }
}
