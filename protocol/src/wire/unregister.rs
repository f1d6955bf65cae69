//! `UNREGISTER_REQUEST`: chunks that the source no longer writes.

use super::entries::sealed::Sealed;
use crate::address::BlockIndex;
use core::mem::{offset_of, size_of};
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Asks for one chunk to be unregistered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnregisterRequest {
    /// The chunk's number in its block, from 0.
    pub chunk: u64,
    /// The block that the chunk lies in.
    pub block: BlockIndex,
}

/// The form on the wire, 24 bytes: that of a register request.
//= spec/text/05-registration.md#layout
//# [REG-5] An unregister request MUST be encoded as the 24 bytes of this table.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Layout {
    chunk: U64,
    block: U32,
    padding: U32,
    chunks: U64,
}

const _: () = assert!(size_of::<Layout>() == 24);
const _: () = assert!(offset_of!(Layout, chunk) == 0);
const _: () = assert!(offset_of!(Layout, block) == 8);
const _: () = assert!(offset_of!(Layout, padding) == 12);
const _: () = assert!(offset_of!(Layout, chunks) == 16);

impl Sealed for UnregisterRequest {
    type Layout = Layout;

    //= spec/text/05-registration.md#layout
    //# [REG-36] A destination MUST ignore the `chunks` of an unregister request.
    fn from_layout(layout: &Layout) -> Self {
        Self { chunk: layout.chunk.get(), block: BlockIndex::new(layout.block.get()) }
    }

    fn to_layout(&self) -> Layout {
        Layout {
            chunk: self.chunk.into(),
            block: self.block.get().into(),
            padding: U32::ZERO,
            chunks: U64::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden::bytes;
    use super::*;

    //= spec/text/05-registration.md#layout
    //= type=test
    //# [REG-5] An unregister request MUST be encoded as the 24 bytes of this table.
    #[test]
    fn an_unregister_request_has_its_fields_in_the_order_of_the_table() {
        let request =
            UnregisterRequest { chunk: 0x0102_0304_0506_0708, block: BlockIndex::new(0x1112_1314) };
        let wire = bytes("0102030405060708 11121314 00000000 0000000000000000");
        assert_eq!(request.to_layout().as_bytes(), wire);
        let layout = Layout::ref_from_bytes(&wire).unwrap();
        assert_eq!(UnregisterRequest::from_layout(layout), request);
    }
}
