//! `REGISTER_REQUEST` and `REGISTER_RESULT`: keys for chunks, when they are first needed.

use super::entries::sealed::Sealed;
use crate::address::{BlockIndex, HostAddress, RamAddress, Rkey};
use crate::limits::{COMMANDS_MAX, PAYLOAD_BYTES_MAX};
use core::mem::{offset_of, size_of};
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Asks for the chunk of one address, and for those after it, to be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegisterRequest {
    /// A byte in the first chunk: the block's start in RAM address space plus the offset in it.
    pub address: RamAddress,
    /// The block that the chunks lie in.
    pub block: BlockIndex,
    /// How many FURTHER chunks follow the first; 0 asks for one chunk.
    pub chunks: u64,
}

/// The form of a request on the wire, 24 bytes.
//= spec/text/05-registration.md#layout
//# [REG-1] A register request MUST be encoded as the 24 bytes of this table.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RequestLayout {
    address: U64,
    block: U32,
    padding: U32,
    chunks: U64,
}

const _: () = assert!(size_of::<RequestLayout>() == 24);
const _: () = assert!(offset_of!(RequestLayout, address) == 0);
const _: () = assert!(offset_of!(RequestLayout, block) == 8);
const _: () = assert!(offset_of!(RequestLayout, padding) == 12);
const _: () = assert!(offset_of!(RequestLayout, chunks) == 16);
const _: () = assert!(COMMANDS_MAX * size_of::<RequestLayout>() <= PAYLOAD_BYTES_MAX);

impl Sealed for RegisterRequest {
    type Layout = RequestLayout;

    fn from_layout(layout: &RequestLayout) -> Self {
        //= spec/text/05-registration.md#layout
        //# [REG-2] A destination MUST ignore the padding of a request.
        Self {
            address: RamAddress::new(layout.address.get()),
            block: BlockIndex::new(layout.block.get()),
            chunks: layout.chunks.get(),
        }
    }

    fn to_layout(&self) -> RequestLayout {
        RequestLayout {
            address: self.address.get().into(),
            block: self.block.get().into(),
            padding: U32::ZERO,
            chunks: self.chunks.into(),
        }
    }
}

/// Answers one request with the key of the chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegisterResult {
    /// The key of the chunks. Zero means "not registered" to a source.
    pub rkey: Rkey,
    /// Virtual address of the BLOCK's first byte at the destination, not of the chunk's.
    pub host_address: HostAddress,
}

/// The form of a result on the wire, 16 bytes.
//= spec/text/05-registration.md#layout
//# [REG-3] A register result MUST be encoded as the 16 bytes of this table.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ResultLayout {
    rkey: U32,
    padding: U32,
    host_address: U64,
}

const _: () = assert!(size_of::<ResultLayout>() == 16);
const _: () = assert!(offset_of!(ResultLayout, rkey) == 0);
const _: () = assert!(offset_of!(ResultLayout, padding) == 4);
const _: () = assert!(offset_of!(ResultLayout, host_address) == 8);

impl Sealed for RegisterResult {
    type Layout = ResultLayout;

    fn from_layout(layout: &ResultLayout) -> Self {
        //= spec/text/05-registration.md#layout
        //# [REG-4] A source MUST ignore the padding of a result.
        Self {
            rkey: Rkey::new(layout.rkey.get()),
            host_address: HostAddress::new(layout.host_address.get()),
        }
    }

    fn to_layout(&self) -> ResultLayout {
        ResultLayout {
            rkey: self.rkey.get().into(),
            padding: U32::ZERO,
            host_address: self.host_address.get().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden::bytes;
    use super::*;

    const REQUEST: RegisterRequest = RegisterRequest {
        address: RamAddress::new(0x0102_0304_0506_0708),
        block: BlockIndex::new(0x1112_1314),
        chunks: 0x2122_2324_2526_2728,
    };
    const RESULT: RegisterResult = RegisterResult {
        rkey: Rkey::new(0x0102_0304),
        host_address: HostAddress::new(0x1112_1314_1516_1718),
    };

    //= spec/text/05-registration.md#layout
    //= type=test
    //# [REG-1] A register request MUST be encoded as the 24 bytes of this table.
    #[test]
    fn a_request_has_its_fields_in_the_order_of_the_table() {
        let wire = bytes("0102030405060708 11121314 00000000 2122232425262728");
        assert_eq!(REQUEST.to_layout().as_bytes(), wire);
        let layout = RequestLayout::ref_from_bytes(&wire).unwrap();
        assert_eq!(RegisterRequest::from_layout(layout), REQUEST);
    }

    //= spec/text/05-registration.md#layout
    //= type=test
    //# [REG-2] A destination MUST ignore the padding of a request.
    #[test]
    fn the_padding_of_a_request_says_nothing() {
        let wire = bytes("0102030405060708 11121314 0000567f 2122232425262728");
        let layout = RequestLayout::ref_from_bytes(&wire).unwrap();
        assert_eq!(RegisterRequest::from_layout(layout), REQUEST);
    }

    //= spec/text/05-registration.md#layout
    //= type=test
    //# [REG-3] A register result MUST be encoded as the 16 bytes of this table.
    #[test]
    fn a_result_has_its_fields_in_the_order_of_the_table() {
        let wire = bytes("01020304 00000000 1112131415161718");
        assert_eq!(RESULT.to_layout().as_bytes(), wire);
        let layout = ResultLayout::ref_from_bytes(&wire).unwrap();
        assert_eq!(RegisterResult::from_layout(layout), RESULT);
    }

    //= spec/text/05-registration.md#layout
    //= type=test
    //# [REG-4] A source MUST ignore the padding of a result.
    #[test]
    fn the_padding_of_a_result_says_nothing() {
        let wire = bytes("01020304 af7f0000 1112131415161718");
        let layout = ResultLayout::ref_from_bytes(&wire).unwrap();
        assert_eq!(RegisterResult::from_layout(layout), RESULT);
    }
}
