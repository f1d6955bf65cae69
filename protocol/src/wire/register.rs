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
