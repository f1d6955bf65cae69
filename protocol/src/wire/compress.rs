//! `COMPRESS`: a run of equal bytes.

use super::entries::sealed::Sealed;
use crate::address::{BlockIndex, RamAddress};
use core::mem::{offset_of, size_of};
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// One run of RAM that the destination fills by itself, without a WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Compress {
    /// The fill byte. Only 0 is ever sent.
    pub value: u32,
    /// The block that the run lies in.
    pub block: BlockIndex,
    /// The run's first byte: the block's start in RAM address space plus the offset in it.
    pub offset: RamAddress,
    /// Bytes of the run.
    pub length: u64,
}

/// The form on the wire, 24 bytes.
//= spec/text/07-zero-pages.md#layout
//# [ZERO-1] A `COMPRESS` command MUST be encoded as the 24 bytes of this table.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Layout {
    value: U32,
    block: U32,
    offset: U64,
    length: U64,
}

const _: () = assert!(size_of::<Layout>() == 24);
const _: () = assert!(offset_of!(Layout, value) == 0);
const _: () = assert!(offset_of!(Layout, block) == 4);
const _: () = assert!(offset_of!(Layout, offset) == 8);
const _: () = assert!(offset_of!(Layout, length) == 16);

impl Sealed for Compress {
    type Layout = Layout;

    fn from_layout(layout: &Layout) -> Self {
        Self {
            value: layout.value.get(),
            block: BlockIndex::new(layout.block.get()),
            offset: RamAddress::new(layout.offset.get()),
            length: layout.length.get(),
        }
    }

    fn to_layout(&self) -> Layout {
        Layout {
            value: self.value.into(),
            block: self.block.get().into(),
            offset: self.offset.get().into(),
            length: self.length.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden::bytes;
    use super::*;

    //= spec/text/07-zero-pages.md#layout
    //= type=test
    //# [ZERO-1] A `COMPRESS` command MUST be encoded as the 24 bytes of this table.
    #[test]
    fn a_zero_run_has_its_fields_in_the_order_of_the_table() {
        let run = Compress {
            value: 0x0102_0304,
            block: BlockIndex::new(0x0506_0708),
            offset: RamAddress::new(0x1112_1314_1516_1718),
            length: 0x2122_2324_2526_2728,
        };
        let wire = bytes("01020304 05060708 1112131415161718 2122232425262728");
        assert_eq!(run.to_layout().as_bytes(), wire);
        assert_eq!(Compress::from_layout(Layout::ref_from_bytes(&wire).unwrap()), run);
    }
}
