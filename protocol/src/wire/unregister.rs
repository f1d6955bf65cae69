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
