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
