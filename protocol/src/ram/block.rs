//! The RAM blocks of one side, and where their chunks are.

use alloc::vec::Vec;

use super::chunk::ChunkSize;
use crate::address::{BlockIndex, BlockOffset};
use crate::error::Misuse;
use crate::limits::RAM_BLOCKS_MAX;
use crate::transport::RegionId;

/// One RAM block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Block {
    length: u64,
    /// The number of its first chunk, counted over all blocks.
    first_chunk: u32,
}

/// The RAM blocks, in the order of the RAM block exchange.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Blocks {
    chunk_size: ChunkSize,
    blocks: Vec<Block>,
    chunks: u32,
}

impl Blocks {
    /// The table of blocks with these lengths in bytes.
    pub(crate) fn new(
        chunk_size: ChunkSize,
        lengths: impl ExactSizeIterator<Item = u64>,
    ) -> Result<Self, Misuse> {
        let count = lengths.len();
        if count == 0 || count > RAM_BLOCKS_MAX {
            return Err(Misuse::RamBlocks { blocks: count });
        }
        let mut table = Self { chunk_size, blocks: Vec::with_capacity(count), chunks: 0 };
        for (length, index) in lengths.zip(0..) {
            if length == 0 {
                return Err(Misuse::RamBlock { block: BlockIndex::new(index) });
            }
            table.blocks.push(Block { length, first_chunk: table.chunks });
            table.chunks = u32::try_from(chunk_size.count(length))
                .ok()
                .and_then(|chunks| table.chunks.checked_add(chunks))
                .ok_or(Misuse::RamBlocks { blocks: count })?;
        }
        Ok(table)
    }

    pub(crate) fn count(&self) -> usize {
        self.blocks.len()
    }

    /// Chunks of all blocks together.
    pub(crate) const fn chunks(&self) -> u32 {
        self.chunks
    }

    pub(crate) fn lengths(&self) -> impl ExactSizeIterator<Item = u64> {
        self.blocks.iter().map(|block| block.length)
    }

    pub(crate) fn length(&self, block: BlockIndex) -> Option<u64> {
        Some(self.get(block)?.length)
    }

    /// Whether a range is not empty and lies inside its block.
    pub(crate) fn contains(&self, block: BlockIndex, offset: BlockOffset, length: u64) -> bool {
        let end = offset.checked_add(length);
        match (self.length(block), end) {
            (Some(block_length), Some(end)) => length > 0 && end.get() <= block_length,
            _ => false,
        }
    }

    /// The number of the chunk, over all blocks, that holds this byte.
    pub(crate) fn chunk(&self, block: BlockIndex, offset: BlockOffset) -> Option<RegionId> {
        self.numbered_chunk(block, self.chunk_size.of(offset.get()))
    }

    /// The number, over all blocks, of a block's chunk.
    pub(crate) fn numbered_chunk(&self, block: BlockIndex, chunk: u64) -> Option<RegionId> {
        let held = self.get(block)?;
        if chunk >= self.chunk_size.count(held.length) {
            return None;
        }
        held.first_chunk.checked_add(u32::try_from(chunk).ok()?).map(RegionId)
    }

    /// The number in its block of a chunk of that block.
    pub(crate) fn chunk_in_block(&self, block: BlockIndex, chunk: RegionId) -> Option<u64> {
        let first = self.get(block)?.first_chunk;
        chunk.0.checked_sub(first).map(u64::from)
    }

    /// The block that a chunk belongs to.
    pub(crate) fn block_of(&self, chunk: RegionId) -> Option<BlockIndex> {
        let after = self.blocks.partition_point(|block| block.first_chunk <= chunk.0);
        let last = after.checked_sub(1).filter(|_| chunk.0 < self.chunks)?;
        u32::try_from(last).ok().map(BlockIndex::new)
    }

    /// First byte and length of `count` chunks of a block from `chunk` on, up to the block's end.
    pub(crate) fn span(
        &self,
        block: BlockIndex,
        chunk: u64,
        count: u64,
    ) -> Option<(BlockOffset, u64)> {
        let length = self.length(block)?;
        let start = self.chunk_size.start(chunk)?;
        let end = chunk.checked_add(count).and_then(|last| self.chunk_size.start(last));
        let end = end.map_or(length, |end| end.min(length));
        Some((BlockOffset::new(start), end.checked_sub(start).filter(|length| *length > 0)?))
    }

    /// Where the chunk that holds this byte ends, in its block.
    pub(crate) fn chunk_end(&self, block: BlockIndex, offset: BlockOffset) -> Option<BlockOffset> {
        let (start, length) = self.span(block, self.chunk_size.of(offset.get()), 1)?;
        start.checked_add(length)
    }

    fn get(&self, block: BlockIndex) -> Option<&Block> {
        self.blocks.get(usize::try_from(block.get()).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn blocks(lengths: &[u64]) -> Result<Blocks, Misuse> {
        Blocks::new(ChunkSize::default(), lengths.iter().copied())
    }

    fn index(number: u32) -> BlockIndex {
        BlockIndex::new(number)
    }

    fn at(offset: u64) -> BlockOffset {
        BlockOffset::new(offset)
    }

    #[test]
    fn chunks_are_numbered_over_all_blocks_from_each_block_start() {
        let table = blocks(&[2 * MIB + 1, 0x1000, MIB]).unwrap();
        assert_eq!(table.chunks(), 5);
        assert_eq!(table.chunk(index(0), at(2 * MIB)), Some(RegionId(2)));
        assert_eq!(table.chunk(index(0), at(3 * MIB)), None);
        assert_eq!(table.chunk(index(1), at(0)), Some(RegionId(3)));
        assert_eq!(table.chunk(index(2), at(MIB - 1)), Some(RegionId(4)));
        assert_eq!(table.chunk(index(3), at(0)), None);
        let blocks = [0, 2, 3, 4, 5].map(|chunk| table.block_of(RegionId(chunk)));
        assert_eq!(blocks, [Some(index(0)), Some(index(0)), Some(index(1)), Some(index(2)), None]);
    }

    #[test]
    fn the_last_chunk_ends_with_its_block() {
        let table = blocks(&[2 * MIB + 0x3000]).unwrap();
        assert_eq!(table.span(index(0), 2, 1), Some((at(2 * MIB), 0x3000)));
        assert_eq!(table.span(index(0), 1, u64::MAX), Some((at(MIB), MIB + 0x3000)));
        assert_eq!(table.span(index(0), 3, 1), None);
        assert_eq!(blocks(&[2 * MIB]).unwrap().span(index(0), 2, 1), None);
        assert_eq!(table.chunk_end(index(0), at(2 * MIB + 5)), Some(at(2 * MIB + 0x3000)));
    }

    #[test]
    fn a_range_is_inside_its_block_to_the_last_byte_and_no_further() {
        let table = blocks(&[MIB]).unwrap();
        assert!(table.contains(index(0), at(MIB - 1), 1));
        assert!(!table.contains(index(0), at(MIB - 1), 2));
        assert!(!table.contains(index(0), at(0), 0));
        assert!(!table.contains(index(0), at(u64::MAX), 2));
        assert!(!table.contains(index(1), at(0), 1));
    }

    #[test]
    fn tables_that_are_empty_or_too_large_are_refused() {
        assert_eq!(blocks(&[]), Err(Misuse::RamBlocks { blocks: 0 }));
        assert_eq!(blocks(&[MIB, 0]), Err(Misuse::RamBlock { block: index(1) }));
        assert_eq!(blocks(&[u64::MAX]), Err(Misuse::RamBlocks { blocks: 1 }));
        let many = alloc::vec![MIB; RAM_BLOCKS_MAX + 1];
        assert_eq!(blocks(&many), Err(Misuse::RamBlocks { blocks: RAM_BLOCKS_MAX + 1 }));
    }
}
