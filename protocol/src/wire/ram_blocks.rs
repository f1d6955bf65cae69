//! `RAM_BLOCKS_RESULT`: where the destination's RAM blocks lie.

use super::entries::sealed::Sealed;
use crate::address::{HostAddress, RamAddress, Rkey};
use crate::limits::{PAYLOAD_BYTES_MAX, RAM_BLOCKS_MAX};
use core::mem::{offset_of, size_of};
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// One RAM block of the destination. Its position in the array is its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RamBlock {
    /// Virtual address of the block's first byte at the destination.
    pub remote_address: HostAddress,
    /// The block's start in the destination's RAM address space.
    pub offset: RamAddress,
    /// Bytes of the block in use.
    pub length: u64,
    /// With pin-all, the key of the whole block; else 0.
    pub rkey: Rkey,
}

/// The form on the wire, 32 bytes.
//= spec/text/04-ram-blocks.md#layout
//# [BLK-1] A RAM block MUST be encoded as the 32 bytes of this table.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Layout {
    remote_address: U64,
    offset: U64,
    length: U64,
    rkey: U32,
    padding: U32,
}

const _: () = assert!(size_of::<Layout>() == 32);
const _: () = assert!(offset_of!(Layout, remote_address) == 0);
const _: () = assert!(offset_of!(Layout, offset) == 8);
const _: () = assert!(offset_of!(Layout, length) == 16);
const _: () = assert!(offset_of!(Layout, rkey) == 24);
const _: () = assert!(offset_of!(Layout, padding) == 28);

// The limit is what one message holds, so a valid length never carries more blocks than that.
const _: () = assert!(PAYLOAD_BYTES_MAX / size_of::<Layout>() == RAM_BLOCKS_MAX);

impl Sealed for RamBlock {
    type Layout = Layout;

    fn from_layout(layout: &Layout) -> Self {
        //= spec/text/04-ram-blocks.md#layout
        //# [BLK-3] A source MUST ignore the padding of a RAM block.
        Self {
            remote_address: HostAddress::new(layout.remote_address.get()),
            offset: RamAddress::new(layout.offset.get()),
            length: layout.length.get(),
            rkey: Rkey::new(layout.rkey.get()),
        }
    }

    fn to_layout(&self) -> Layout {
        Layout {
            remote_address: self.remote_address.get().into(),
            offset: self.offset.get().into(),
            length: self.length.into(),
            rkey: self.rkey.get().into(),
            padding: U32::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden::bytes;
    use super::*;

    const BLOCK: RamBlock = RamBlock {
        remote_address: HostAddress::new(0x0102_0304_0506_0708),
        offset: RamAddress::new(0x1112_1314_1516_1718),
        length: 0x2122_2324_2526_2728,
        rkey: Rkey::new(0x3132_3334),
    };

    //= spec/text/04-ram-blocks.md#layout
    //= type=test
    //# [BLK-1] A RAM block MUST be encoded as the 32 bytes of this table.
    #[test]
    fn a_ram_block_has_its_fields_in_the_order_of_the_table() {
        let wire = bytes("0102030405060708 1112131415161718 2122232425262728 31323334 00000000");
        assert_eq!(BLOCK.to_layout().as_bytes(), wire);
        assert_eq!(RamBlock::from_layout(Layout::ref_from_bytes(&wire).unwrap()), BLOCK);
    }

    //= spec/text/04-ram-blocks.md#layout
    //= type=test
    //# [BLK-3] A source MUST ignore the padding of a RAM block.
    #[test]
    fn the_padding_of_a_ram_block_says_nothing() {
        let wire = bytes("0102030405060708 1112131415161718 2122232425262728 31323334 0000567f");
        assert_eq!(RamBlock::from_layout(Layout::ref_from_bytes(&wire).unwrap()), BLOCK);
    }
}
