//! Which RAM each round brought, found out by looking.
//!
//! RDMA WRITEs pass the destination's processor by, so a destination that wants to know what a round
//! brought has to compare its RAM with what it was before. Of each page a fingerprint is kept.

use std::hash::{DefaultHasher, Hasher};

use rdma_migration_protocol::address::BlockIndex;

use crate::guest_memory::GuestMemory;
use crate::page::{PAGE, PAGE_BYTES, PIECE, for_each_piece, is_zero};
use crate::recording::Run;

/// The fingerprint of a page that is zero throughout, as all are before the first round.
const ZERO: u64 = 0;

/// A page of which it is known that a round brought it.
const BROUGHT: u64 = 1 << 63;

/// The RAM of a destination, page by page, as it was when it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Changes {
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    length: u64,
    /// Of each page: [`BROUGHT`], and 63 bits of a hash, 0 for zero pages.
    pages: Vec<u64>,
}

impl Changes {
    /// RAM blocks of these lengths in bytes, all zero.
    pub(super) fn new(lengths: &[u64]) -> Self {
        let blocks = lengths.iter().map(|&length| {
            let pages = usize::try_from(length.div_ceil(PAGE_BYTES)).unwrap_or(usize::MAX);
            Block { length, pages: vec![ZERO; pages] }
        });
        Self { blocks: blocks.collect() }
    }

    /// What has changed since the last look, as runs of pages that are alike.
    pub(super) fn look(&mut self, memory: &impl GuestMemory) -> Vec<Run> {
        let mut runs = Runs::default();
        let mut buffer = vec![0; PIECE];
        for (index, block) in (0..).zip(&mut self.blocks) {
            let mut pages = block.pages.iter_mut();
            // What cannot be read has not changed; the block is as long as it was made.
            let _: Result<(), ()> = for_each_piece(block.length, |offset, length| {
                let bytes = buffer.get_mut(..length).unwrap_or_default();
                if !memory.read(BlockIndex::new(index), offset, bytes) {
                    return Err(());
                }
                for ((at, page), known) in
                    (offset..).step_by(PAGE).zip(bytes.chunks(PAGE)).zip(&mut pages)
                {
                    let found = fingerprint(page);
                    if *known & !BROUGHT != found {
                        *known = found | BROUGHT;
                        runs.push(index, at, page.len(), found == ZERO);
                    }
                }
                Ok(())
            });
        }
        runs.0
    }

    /// RAM of which no look has found a change: what came as it had been before, zero pages above
    /// all. It counts as found from then on.
    pub(super) fn rest(&mut self) -> Vec<Run> {
        let mut runs = Runs::default();
        for (index, block) in (0..).zip(&mut self.blocks) {
            let mut left = block.length;
            for (at, known) in (0..).step_by(PAGE).zip(&mut block.pages) {
                let length = left.min(PAGE_BYTES);
                left -= length;
                if *known & BROUGHT == 0 {
                    *known |= BROUGHT;
                    let length = usize::try_from(length).unwrap_or(PAGE);
                    runs.push(index, at, length, *known & !BROUGHT == ZERO);
                }
            }
        }
        runs.0
    }
}

/// Tells contents apart. Where two collide, a change is missed, and the page is put down as coming in
/// another round; what it holds at the end is not affected.
fn fingerprint(page: &[u8]) -> u64 {
    if is_zero(page) {
        return ZERO;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(page);
    (hasher.finish() & !BROUGHT).max(1)
}

/// Runs under construction: pages that follow each other and are alike make one.
#[derive(Default)]
struct Runs(Vec<Run>);

impl Runs {
    fn push(&mut self, block: u32, offset: u64, length: usize, zero: bool) {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        match self.0.last_mut() {
            Some(run) if run.block == block && run.zero == zero && run.end() == offset => {
                run.length += length;
            }
            _ => self.0.push(Run { block, offset, length, zero }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdma_migration_transport_sim::{Backing, Fabric, FabricConfig, Side};

    fn run(block: u32, offset: u64, length: u64, zero: bool) -> Run {
        Run { block, offset, length, zero }
    }

    #[test]
    fn a_look_finds_what_has_changed_since_the_last_one() {
        let lengths = [2 * PAGE_BYTES + 100, PAGE_BYTES];
        let mut fabric = Fabric::new(FabricConfig::default());
        let mut port = fabric.port(Side::Destination);
        for length in lengths {
            port.add_block(Backing::zeroed(length));
        }
        let mut changes = Changes::new(&lengths);
        assert_eq!(changes.look(&port), []);
        assert!(port.write(BlockIndex::new(0), PAGE_BYTES + 7, &[1; 4150]));
        assert_eq!(changes.look(&port), [run(0, PAGE_BYTES, PAGE_BYTES + 100, false)]);
        assert_eq!(changes.look(&port), []);
        assert!(port.write(BlockIndex::new(0), PAGE_BYTES, &[0; 4096]));
        assert!(port.write(BlockIndex::new(0), 2 * PAGE_BYTES, &[3]));
        assert!(port.write(BlockIndex::new(1), 4095, &[1]));
        let last = 2 * PAGE_BYTES;
        assert_eq!(
            changes.look(&port),
            [
                run(0, PAGE_BYTES, PAGE_BYTES, true),
                run(0, last, 100, false),
                run(1, 0, PAGE_BYTES, false)
            ]
        );
        assert_eq!(changes.rest(), [run(0, 0, PAGE_BYTES, true)]);
        assert_eq!(changes.rest(), []);
    }

    #[test]
    fn what_was_never_looked_at_is_the_rest() {
        let mut changes = Changes::new(&[3 * PAGE_BYTES, 1]);
        assert_eq!(changes.rest(), [run(0, 0, 3 * PAGE_BYTES, true), run(1, 0, 1, true)]);
    }
}
