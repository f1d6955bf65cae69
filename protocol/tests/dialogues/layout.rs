//! Where the RAM of a played destination lies.

use rdma_migration_protocol::address::{HostAddress, RamAddress};

pub(crate) const MIB: u64 = 1 << 20;

/// RAM blocks of two chunks, and of less than one.
pub(crate) const LENGTHS: [u64; 2] = [2 * MIB, 0x3000];

/// What lies between the starts of two blocks, in either address space.
const BETWEEN_BLOCKS: u64 = 1 << 40;

/// The virtual address of a block's first byte.
pub(crate) fn host_address(block: u32) -> HostAddress {
    HostAddress::new(0x7fc2_6820_0000 + u64::from(block) * BETWEEN_BLOCKS)
}

/// A byte of a block in the RAM address space.
pub(crate) fn ram_address(block: u32, offset: u64) -> RamAddress {
    RamAddress::new(0x10_0000 + u64::from(block) * BETWEEN_BLOCKS + offset)
}
