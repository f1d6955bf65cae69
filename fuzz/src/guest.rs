//! The guest of all machine targets: small, with every shape that a RAM block can have.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, RamAddress};
use rdma_migration_protocol::destination::PlacedBlock;

use crate::script::Script;

pub(crate) const MIB: u64 = 1 << 20;

/// Bytes of each RAM block: three chunks of which the last is short, a small block, one whole chunk.
pub(crate) const LENGTHS: [u64; 3] = [2 * MIB + 0x2000, 0x1000, MIB];

/// Chunks of all of them.
pub(crate) const CHUNKS: usize = 5;

/// Where each block starts in the RAM address space; the last one ends where that ends.
pub(crate) const RAM: [u64; 3] = [0, 0x1_0000_0000, u64::MAX - (MIB - 1)];

/// Where each block lies in the destination's memory.
pub(crate) const HOST: [u64; 3] = [0x7000_0000_0000, 0x7100_0000_0000, 0x7200_0000_0000];

/// The blocks of the destination.
pub(crate) fn placed() -> [PlacedBlock; 3] {
    std::array::from_fn(|index| PlacedBlock {
        host_address: HostAddress::new(HOST[index]),
        ram_address: RamAddress::new(RAM[index]),
        length: LENGTHS[index],
    })
}

/// A block's place among the three, for an index that the machine gave.
pub(crate) fn index(block: BlockIndex) -> usize {
    usize::try_from(block.get()).expect("a small number")
}

/// Asserts that a machine stays inside its RAM blocks.
pub(crate) fn assert_inside(block: BlockIndex, offset: BlockOffset, length: u64) {
    let end = offset.checked_add(length).map(BlockOffset::get);
    let inside = LENGTHS.get(index(block)).zip(end).is_some_and(|(length, end)| end <= *length);
    assert!(length > 0 && inside, "{length} bytes at {offset} are outside block {block}");
}

/// Numbers around the edges of blocks and chunks, and any others.
pub(crate) fn edge(script: &mut Script<'_>) -> u64 {
    const NEAR: [u64; 8] = [0, 0x1000, 0x2000, MIB, 2 * MIB, 2 * MIB + 0x2000, 1 << 63, u64::MAX];
    match script.byte() {
        exact @ 0x00..=0x3f => NEAR[usize::from(exact % 8)],
        above @ 0x40..=0x7f => NEAR[usize::from(above % 8)].wrapping_add(1),
        below @ 0x80..=0xbf => NEAR[usize::from(below % 8)].wrapping_sub(1),
        0xc0..=0xef => u64::from(script.u16()) << 8,
        0xf0..=0xff => script.u64(),
    }
}

/// The number of a block, which mostly exists.
pub(crate) fn block(script: &mut Script<'_>) -> BlockIndex {
    BlockIndex::new(match script.byte() {
        exists @ 0x00..=0xbf => u32::from(exists) % 3,
        0xc0..=0xef => 3,
        0xf0..=0xff => script.u32(),
    })
}

/// A place in the RAM address space, mostly inside a block.
pub(crate) fn place(script: &mut Script<'_>) -> (BlockIndex, RamAddress) {
    let block = block(script);
    let start = usize::try_from(block.get()).ok().and_then(|index| RAM.get(index));
    let address = start.copied().unwrap_or_default().wrapping_add(edge(script));
    (block, RamAddress::new(address))
}
