//! What the owner wants done to RAM, in order; adjacent pages are merged into runs.

use alloc::collections::VecDeque;

use super::block::Blocks;
use crate::address::{BlockIndex, BlockOffset};
use crate::limits::{RAM_WORK_QUEUED_MAX, SCAN_AHEAD_MAX};
use crate::transport::RegionId;

/// What is known of a run's contents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Scan {
    Unknown,
    Running,
    Zero,
    NonZero,
}

/// Adjacent bytes of one chunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Run {
    pub(crate) block: BlockIndex,
    pub(crate) offset: BlockOffset,
    pub(crate) length: u64,
    pub(crate) scan: Scan,
}

/// One piece of work on RAM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Work {
    Run(Run),
    /// Take back the registration of a block's chunk.
    Unregister {
        block: BlockIndex,
        chunk: u64,
    },
}

/// The work that was accepted and is not done yet.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Queue {
    work: VecDeque<Work>,
    /// Scans that the transport has not answered.
    scanning: usize,
}

impl Queue {
    pub(crate) fn has_room(&self) -> bool {
        self.work.len() < RAM_WORK_QUEUED_MAX
    }

    pub(crate) const fn scanning(&self) -> usize {
        self.scanning
    }

    /// Takes as many of the `length` bytes at `offset` as there is room for and returns how many. The
    /// caller has checked that they lie inside the block.
    pub(crate) fn push(
        &mut self,
        blocks: &Blocks,
        block: BlockIndex,
        offset: BlockOffset,
        length: u64,
    ) -> u64 {
        let mut taken = 0;
        while taken < length {
            let Some(at) = offset.checked_add(taken) else { break };
            //= spec/text/06-ram-writes.md#runs
            //# [WRITE-4] A run MUST NOT cross the end of a chunk.
            let Some(chunk_end) = blocks.chunk_end(block, at) else { break };
            let piece = (length - taken).min(chunk_end.get().saturating_sub(at.get()));
            if piece == 0 {
                break;
            }
            if !self.extend(blocks, block, at, piece) {
                if !self.has_room() {
                    break;
                }
                let run = Run { block, offset: at, length: piece, scan: Scan::Unknown };
                self.work.push_back(Work::Run(run));
            }
            taken += piece;
        }
        taken
    }

    pub(crate) fn push_unregister(&mut self, block: BlockIndex, chunk: u64) -> bool {
        let room = self.has_room();
        if room {
            self.work.push_back(Work::Unregister { block, chunk });
        }
        room
    }

    /// The work to do next. The last run may still grow and is held back until it fills its chunk,
    /// other work follows, or `sealed` says that no more will come: then there is none only where
    /// everything is done.
    pub(crate) fn head(&self, blocks: &Blocks, sealed: bool) -> Option<Work> {
        let head = *self.work.front()?;
        let complete = match head {
            Work::Run(run) => sealed || self.work.len() > 1 || run.fills_its_chunk(blocks),
            Work::Unregister { .. } => true,
        };
        complete.then_some(head)
    }

    /// The head is done.
    pub(crate) fn pop(&mut self) {
        self.work.pop_front();
    }

    /// The next run to scan: one whose contents decide what is done with it. A run waits until it is
    /// known what becomes of those of its chunk before it: that may decide for it as well, and so no
    /// two scans that run at once begin at the same place.
    pub(crate) fn scan_next(
        &mut self,
        blocks: &Blocks,
        sealed: bool,
        contents_matter: impl Fn(&Run) -> bool,
    ) -> Option<Run> {
        let queued = self.work.len();
        let chosen = self.work.iter().take(SCAN_AHEAD_MAX).enumerate().find(|(position, work)| {
            let Work::Run(run) = work else { return false };
            let complete = sealed || position + 1 < queued || run.fills_its_chunk(blocks);
            let wanted = complete && run.scan == Scan::Unknown && contents_matter(run);
            let chunk = run.chunk(blocks);
            let mut earlier = self.work.iter().take(*position);
            wanted
                && !earlier.any(|work| matches!(work, Work::Run(run) if run.chunk(blocks) == chunk))
        });
        let (position, _) = chosen?;
        let Work::Run(run) = self.work.get_mut(position)? else { return None };
        run.scan = Scan::Running;
        self.scanning += 1;
        Some(*run)
    }

    /// A scan was answered. False where none was under way.
    pub(crate) fn scanned(&mut self, block: BlockIndex, offset: BlockOffset, scan: Scan) -> bool {
        let run = self.work.iter_mut().find_map(|work| match work {
            Work::Run(run)
                if (run.block, run.offset, run.scan) == (block, offset, Scan::Running) =>
            {
                Some(run)
            }
            _ => None,
        });
        let Some(run) = run else { return false };
        run.scan = scan;
        self.scanning -= 1;
        true
    }

    fn extend(&mut self, blocks: &Blocks, block: BlockIndex, at: BlockOffset, piece: u64) -> bool {
        let Some(Work::Run(run)) = self.work.back_mut() else { return false };
        let adjacent = run.block == block
            && run.offset.checked_add(run.length) == Some(at)
            && blocks.chunk(block, run.offset) == blocks.chunk(block, at)
            && run.scan == Scan::Unknown;
        if adjacent {
            run.length += piece;
        }
        adjacent
    }
}

impl Run {
    fn chunk(&self, blocks: &Blocks) -> Option<RegionId> {
        blocks.chunk(self.block, self.offset)
    }

    fn fills_its_chunk(&self, blocks: &Blocks) -> bool {
        let end = self.offset.checked_add(self.length);
        end.is_some() && end == blocks.chunk_end(self.block, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ram::ChunkSize;

    const MIB: u64 = 1 << 20;
    const BLOCK: BlockIndex = BlockIndex::new(0);

    fn blocks() -> Blocks {
        Blocks::new(ChunkSize::default(), [1024 * MIB].into_iter()).unwrap()
    }

    fn pushed(ranges: &[(u64, u64)]) -> (Blocks, Queue) {
        let blocks = blocks();
        let mut queue = Queue::default();
        for (offset, length) in ranges {
            assert_eq!(queue.push(&blocks, BLOCK, BlockOffset::new(*offset), *length), *length);
        }
        (blocks, queue)
    }

    fn runs(queue: &Queue) -> alloc::vec::Vec<(u64, u64)> {
        let runs = queue.work.iter().filter_map(|work| match work {
            Work::Run(run) => Some((run.offset.get(), run.length)),
            Work::Unregister { .. } => None,
        });
        runs.collect()
    }

    //= spec/text/06-ram-writes.md#runs
    //= type=test
    //# [WRITE-4] A run MUST NOT cross the end of a chunk.
    #[test]
    fn pages_merge_into_runs_that_end_with_their_chunk() {
        let (_, queue) = pushed(&[(0xf_e000, 0x1000), (0xf_f000, 0x1000), (0x10_0000, 0x1000)]);
        assert_eq!(runs(&queue), [(0xf_e000, 0x2000), (0x10_0000, 0x1000)]);
        let (_, queue) = pushed(&[(0x8_0000, 2 * MIB)]);
        assert_eq!(runs(&queue), [(0x8_0000, MIB / 2), (MIB, MIB), (2 * MIB, MIB / 2)]);
    }

    #[test]
    fn pages_with_a_gap_do_not_merge() {
        let (_, queue) = pushed(&[(0, 0x1000), (0x2000, 0x1000)]);
        assert_eq!(runs(&queue), [(0, 0x1000), (0x2000, 0x1000)]);
    }

    #[test]
    fn the_last_run_is_held_back_until_it_can_grow_no_more() {
        let (blocks, mut queue) = pushed(&[(0, 0x1000)]);
        assert_eq!(queue.head(&blocks, false), None);
        assert!(queue.head(&blocks, true).is_some());
        assert!(queue.scan_next(&blocks, false, |_| true).is_none());
        queue.push(&blocks, BLOCK, BlockOffset::new(0x1000), MIB - 0x1000);
        assert!(queue.head(&blocks, false).is_some());
    }

    #[test]
    fn a_full_queue_takes_only_what_fits() {
        let blocks = blocks();
        let mut queue = Queue::default();
        let room = u64::try_from(RAM_WORK_QUEUED_MAX).unwrap() * MIB;
        assert_eq!(queue.push(&blocks, BLOCK, BlockOffset::new(0), 1024 * MIB), room);
        assert_eq!(queue.push(&blocks, BLOCK, BlockOffset::new(room), MIB), 0);
        assert!(!queue.push_unregister(BLOCK, 0));
    }

    #[test]
    fn a_run_is_scanned_once_and_a_second_run_of_its_chunk_waits() {
        let (blocks, mut queue) = pushed(&[(0, 0x1000), (0x3000, 0x1000), (MIB, MIB)]);
        let mut scan = || queue.scan_next(&blocks, false, |_| true).map(|run| run.offset.get());
        assert_eq!([scan(), scan(), scan()], [Some(0), Some(MIB), None]);
        assert!(queue.scanned(BLOCK, BlockOffset::new(MIB), Scan::Zero));
        assert!(!queue.scanned(BLOCK, BlockOffset::new(MIB), Scan::Zero));
        assert!(queue.scanned(BLOCK, BlockOffset::new(0), Scan::NonZero));
        queue.pop();
        assert_eq!(
            queue.scan_next(&blocks, false, |_| true).map(|run| run.offset.get()),
            Some(0x3000)
        );
    }
}
