//! The RAM of one host: blocks of bytes, or of nothing but the knowledge which pages are zero.

use core::ops::Range;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress};
use rdma_migration_protocol::ram::is_zero;

/// Bytes of a page: the grain of scans and of memory without backing.
pub const PAGE_BYTES: u64 = 4096;

/// Bytes that are copied at a time. A C library copies what a second-level cache holds by another
/// way than what is larger, and a whole guest so is copied faster than by one call (the benches'
/// README has the figures).
const COPY_BYTES: usize = 256 << 10;

const PAGE: usize = 4096;
const WORD_BITS: u64 = 64;

/// Which pages of memory without backing hold something. A terabyte takes 32 MiB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZeroMap {
    bytes: u64,
    /// One bit a page, set where the page is not zero.
    words: Vec<u64>,
}

impl ZeroMap {
    /// Memory of `bytes` that is zero throughout.
    ///
    /// # Panics
    /// Where the map itself does not fit the address space of this machine.
    #[must_use]
    pub fn zero(bytes: u64) -> Self {
        let words = bytes.div_ceil(PAGE_BYTES * WORD_BITS);
        let words = usize::try_from(words).expect("a map that fits memory");
        Self { bytes, words: vec![0; words] }
    }

    /// Length of the memory in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Says of every page that `offset` and the `length` bytes from there touch whether it is zero.
    /// What lies outside the memory is left out.
    pub fn set(&mut self, offset: u64, length: u64, zero: bool) {
        for page in self.pages(offset, length) {
            self.set_page(page, zero);
        }
    }

    /// Whether the page that holds `offset` is zero. Outside the memory every page is.
    #[must_use]
    pub fn is_zero(&self, offset: u64) -> bool {
        self.page_is_zero(offset / PAGE_BYTES)
    }

    fn pages(&self, offset: u64, length: u64) -> Range<u64> {
        let end = offset.saturating_add(length).min(self.bytes);
        offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES)
    }

    fn page_is_zero(&self, page: u64) -> bool {
        let word = usize::try_from(page / WORD_BITS).ok().and_then(|at| self.words.get(at));
        word.is_none_or(|word| word & (1 << (page % WORD_BITS)) == 0)
    }

    fn set_page(&mut self, page: u64, zero: bool) {
        let at = usize::try_from(page / WORD_BITS).ok();
        if let Some(word) = at.and_then(|at| self.words.get_mut(at)) {
            let bit = 1 << (page % WORD_BITS);
            *word = if zero { *word & !bit } else { *word | bit };
        }
    }
}

/// What a RAM block is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Backing {
    /// Bytes, which move.
    Bytes(Vec<u8>),
    /// No bytes: only whether each page is zero moves. For guests of any size.
    ZeroMap(ZeroMap),
}

impl Backing {
    /// Bytes that are all zero.
    ///
    /// # Panics
    /// Where `bytes` does not fit the address space of this machine.
    #[must_use]
    pub fn zeroed(bytes: u64) -> Self {
        Self::Bytes(vec![0; usize::try_from(bytes).expect("a block that fits memory")])
    }

    /// Length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::ZeroMap(map) => map.bytes(),
        }
    }
}

/// What a scan found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scan {
    pub(crate) zero: bool,
    /// Pages that were looked at before the answer was known.
    pub(crate) pages: u64,
}

/// A run in a block: where it starts and how long it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) block: BlockIndex,
    pub(crate) offset: BlockOffset,
    pub(crate) length: u64,
}

impl Run {
    /// The offset after the last byte, if there is one.
    pub(crate) fn end(self) -> Option<u64> {
        self.offset.get().checked_add(self.length)
    }
}

/// The two ends of a write are not made of the same thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BackingsDiffer;

#[derive(Debug)]
struct Block {
    host_address: HostAddress,
    backing: Backing,
}

/// The RAM blocks of one side.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    blocks: Vec<Block>,
}

impl Memory {
    pub(crate) fn add(&mut self, host_address: HostAddress, backing: Backing) -> BlockIndex {
        let index = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        self.blocks.push(Block { host_address, backing });
        BlockIndex::new(index)
    }

    /// The first address after all blocks.
    pub(crate) fn end(&self) -> Option<u64> {
        let last = self.blocks.last()?;
        last.host_address.get().checked_add(last.backing.length())
    }

    pub(crate) fn host_address(&self, block: BlockIndex) -> Option<HostAddress> {
        self.block(block).map(|block| block.host_address)
    }

    pub(crate) fn backing(&self, block: BlockIndex) -> Option<&Backing> {
        self.block(block).map(|block| &block.backing)
    }

    pub(crate) fn backing_mut(&mut self, block: BlockIndex) -> Option<&mut Backing> {
        self.block_mut(block).map(|block| &mut block.backing)
    }

    /// Whether the run is not empty and wholly inside its block.
    pub(crate) fn contains(&self, run: Run) -> bool {
        let Some(block) = self.block(run.block) else { return false };
        run.length > 0 && run.end().is_some_and(|end| end <= block.backing.length())
    }

    /// Looks whether a run is zero, up to the first page that is not.
    pub(crate) fn scan(&self, run: Run) -> Option<Scan> {
        match self.backing(run.block)? {
            Backing::Bytes(bytes) => Some(scan_bytes(bytes.get(range(run)?)?)),
            Backing::ZeroMap(map) => {
                let pages = map.pages(run.offset.get(), run.length);
                let filled = pages.clone().position(|page| !map.page_is_zero(page));
                let seen = filled.map_or(pages.end - pages.start, |at| to_u64(at) + 1);
                Some(Scan { zero: filled.is_none(), pages: seen })
            }
        }
    }

    /// Sets a run to zero.
    pub(crate) fn zero(&mut self, run: Run) -> Option<()> {
        match self.backing_mut(run.block)? {
            Backing::Bytes(bytes) => bytes.get_mut(range(run)?)?.fill(0),
            Backing::ZeroMap(map) => map.set(run.offset.get(), run.length, true),
        }
        Some(())
    }

    /// Carries out a write: one copy from `from` into this memory. The caller has checked both ends.
    pub(crate) fn write(&mut self, to: Run, from: &Self, run: Run) -> Result<(), BackingsDiffer> {
        match (from.backing(run.block), self.backing_mut(to.block)) {
            (Some(Backing::Bytes(from)), Some(Backing::Bytes(bytes))) => {
                let from = range(run).and_then(|range| from.get(range)).ok_or(BackingsDiffer)?;
                let to = range(to).and_then(|range| bytes.get_mut(range)).ok_or(BackingsDiffer)?;
                for (to, from) in to.chunks_mut(COPY_BYTES).zip(from.chunks(COPY_BYTES)) {
                    to.copy_from_slice(from);
                }
                Ok(())
            }
            (Some(Backing::ZeroMap(from)), Some(Backing::ZeroMap(map))) => {
                let pages = from.pages(run.offset.get(), run.length);
                for (page, to) in pages.zip(map.pages(to.offset.get(), to.length)) {
                    map.set_page(to, from.page_is_zero(page));
                }
                Ok(())
            }
            (None | Some(_), None | Some(_)) => Err(BackingsDiffer),
        }
    }

    fn block(&self, block: BlockIndex) -> Option<&Block> {
        self.blocks.get(usize::try_from(block.get()).ok()?)
    }

    fn block_mut(&mut self, block: BlockIndex) -> Option<&mut Block> {
        self.blocks.get_mut(usize::try_from(block.get()).ok()?)
    }
}

fn range(run: Run) -> Option<Range<usize>> {
    let start = usize::try_from(run.offset.get()).ok()?;
    let end = usize::try_from(run.end()?).ok()?;
    Some(start..end)
}

fn scan_bytes(bytes: &[u8]) -> Scan {
    let pages = bytes.chunks(PAGE);
    let all = pages.len();
    let filled = { pages }.position(|page| !is_zero(page));
    Scan { zero: filled.is_none(), pages: to_u64(filled.map_or(all, |at| at + 1)) }
}

pub(crate) fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(offset: u64, length: u64) -> Run {
        Run { block: BlockIndex::new(0), offset: BlockOffset::new(offset), length }
    }

    fn memory(backing: Backing) -> Memory {
        let mut memory = Memory::default();
        memory.add(HostAddress::new(0x1000), backing);
        memory
    }

    fn both(filled: &[u64]) -> [Memory; 2] {
        let mut bytes = vec![0; 5 * PAGE];
        let mut map = ZeroMap::zero(5 * PAGE_BYTES);
        for offset in filled {
            bytes[usize::try_from(*offset).unwrap()] = 1;
            map.set(*offset, 1, false);
        }
        [memory(Backing::Bytes(bytes)), memory(Backing::ZeroMap(map))]
    }

    #[test]
    fn a_scan_stops_at_the_first_page_that_is_not_zero() {
        for memory in both(&[2 * PAGE_BYTES + 77]) {
            let scan = |offset, length| memory.scan(run(offset, length)).unwrap();
            assert_eq!(scan(0, 5 * PAGE_BYTES), Scan { zero: false, pages: 3 });
            assert_eq!(scan(0, 2 * PAGE_BYTES), Scan { zero: true, pages: 2 });
            assert_eq!(scan(3 * PAGE_BYTES, 2 * PAGE_BYTES), Scan { zero: true, pages: 2 });
        }
    }

    #[test]
    fn the_last_byte_of_a_run_counts_and_the_one_after_it_does_not() {
        let [memory, _] = both(&[100]);
        assert!(!memory.scan(run(0, 101)).unwrap().zero);
        assert!(memory.scan(run(0, 100)).unwrap().zero);
        assert!(memory.scan(run(101, 900)).unwrap().zero);
    }

    #[test]
    fn a_write_moves_a_run_and_nothing_else() {
        let from = both(&[0, PAGE_BYTES, 2 * PAGE_BYTES]);
        for (from, mut to) in from.iter().zip(both(&[4 * PAGE_BYTES])) {
            to.write(run(3 * PAGE_BYTES, PAGE_BYTES), from, run(PAGE_BYTES, PAGE_BYTES)).unwrap();
            let zero = |page| to.scan(run(page * PAGE_BYTES, PAGE_BYTES)).unwrap().zero;
            assert_eq!([0, 1, 2, 3, 4].map(zero), [true, true, true, false, false]);
        }
    }

    #[test]
    fn a_write_between_memory_of_two_kinds_is_refused() {
        let [bytes, mut map] = both(&[]);
        assert_eq!(map.write(run(0, 1), &bytes, run(0, 1)), Err(BackingsDiffer));
    }

    #[test]
    fn a_run_is_inside_its_block_to_the_last_byte() {
        let [memory, _] = both(&[]);
        assert!(memory.contains(run(PAGE_BYTES, 4 * PAGE_BYTES)));
        assert!(!memory.contains(run(PAGE_BYTES, 4 * PAGE_BYTES + 1)));
        assert!(!memory.contains(run(u64::MAX, 2)));
        assert!(!memory.contains(run(0, 0)));
    }
}
