//! What the owner wants done to RAM, in order; adjacent pages are merged into runs.

use alloc::collections::VecDeque;

use super::block::Blocks;
use crate::address::{BlockIndex, BlockOffset};
use crate::limits::{RAM_WORK_QUEUED_MAX, SCANS_MAX};
use crate::transport::RegionId;

/// What is known of a run's contents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Scan {
    Unknown,
    Running,
    Zero,
    NonZero,
    /// The destination was told to set it to zero: nothing is left to do.
    Told,
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

/// The work that was accepted and is not done yet. It is gone through three times: what needs a scan
/// is scanned, what needs a command is commanded, and from its head it is written.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Queue {
    work: VecDeque<Work>,
    /// How much of it, from the head on, needs no scan any more.
    scanned: usize,
    /// How much of it, from the head on, needs no command any more.
    commanded: usize,
    /// Scans that the transport has not answered.
    scanning: usize,
    /// No chunk is higher of those that were gone through for scans since there was no work.
    scanned_highest: Option<RegionId>,
    /// What was found of the span that begins at the first work that may need a command.
    span: SpanSoFar,
}

/// The front of a span: all of these runs are in it, whatever is found of those behind them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct SpanSoFar {
    pub(crate) runs: usize,
    /// Chunks of the runs but for the first one's.
    pub(crate) further_chunks: usize,
}

impl Queue {
    /// Allocates all that it will ever need.
    pub(crate) fn reserve(&mut self) {
        self.work.reserve(RAM_WORK_QUEUED_MAX);
    }

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

    /// The work that is done next. With `sealed` there is none only where everything is done.
    pub(crate) fn head(&self, blocks: &Blocks, sealed: bool) -> Option<Work> {
        self.complete(0, blocks, sealed)
    }

    /// The head is done, and so is what was told behind it.
    pub(crate) fn pop(&mut self) {
        self.drop_head();
        self.drop_told();
    }

    /// The first work that may need a command.
    pub(crate) fn uncommanded(&self, blocks: &Blocks, sealed: bool) -> Option<Work> {
        self.complete(self.commanded, blocks, sealed)
    }

    /// Whether that is the head: everything before it is done.
    pub(crate) const fn uncommanded_is_head(&self) -> bool {
        self.commanded == 0
    }

    /// Whether the first work that may need a scan is the head.
    pub(crate) const fn unscanned_is_head(&self) -> bool {
        self.scanned == 0
    }

    /// That work needs no command, or has had it.
    pub(crate) fn commanded(&mut self) {
        self.commanded += 1;
        self.span = SpanSoFar::default();
    }

    pub(crate) const fn span(&self) -> SpanSoFar {
        self.span
    }

    /// Remembers of the span what need not be gone through again.
    pub(crate) const fn set_span(&mut self, span: SpanSoFar) {
        self.span = span;
    }

    /// The first `runs` that needed a command have had it, and that was all there was to do.
    pub(crate) fn told(&mut self, runs: usize) {
        for work in self.work.iter_mut().skip(self.commanded).take(runs) {
            if let Work::Run(run) = work {
                run.scan = Scan::Told;
            }
        }
        self.commanded += runs;
        self.span = SpanSoFar::default();
        self.drop_told();
    }

    /// The runs that have had the command they needed, and are not written yet.
    pub(crate) fn commanded_runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.work.range(..self.commanded.min(self.work.len())).filter_map(|work| match work {
            Work::Run(run) => Some(*run),
            Work::Unregister { .. } => None,
        })
    }

    pub(crate) fn front(&self) -> Option<Work> {
        self.work.front().copied()
    }

    /// The runs from the first work on that may need a command, without the first `skipped`, up to
    /// other work.
    pub(crate) fn uncommanded_runs<'a>(
        &'a self,
        blocks: &'a Blocks,
        sealed: bool,
        skipped: usize,
    ) -> impl Iterator<Item = Run> + 'a {
        let from = self.commanded.saturating_add(skipped);
        let works = (from..).map_while(move |at| self.complete(at, blocks, sealed));
        works.map_while(|work| match work {
            Work::Run(run) => Some(run),
            Work::Unregister { .. } => None,
        })
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
        while self.scanning < SCANS_MAX {
            let Work::Run(run) = self.complete(self.scanned, blocks, sealed)? else { return None };
            let unknown = run.scan == Scan::Unknown && contents_matter(&run);
            let wanted = unknown
                && match self.earlier_scan(blocks, &run) {
                    Some(Scan::Running | Scan::Zero) => return None,
                    Some(Scan::NonZero) => false,
                    Some(Scan::Unknown | Scan::Told) | None => true,
                };
            self.scanned_highest = self.scanned_highest.max(run.chunk(blocks));
            self.scanned += 1;
            let at = self.scanned - 1;
            if let Some(Work::Run(run)) = self.work.get_mut(at).filter(|_| wanted) {
                run.scan = Scan::Running;
                self.scanning += 1;
                return Some(*run);
            }
        }
        None
    }

    /// What a command was to bring did not come: work may need one after all.
    pub(crate) fn command_again(&mut self) {
        self.commanded = 0;
        self.span = SpanSoFar::default();
    }

    /// What is known of the last run before the next to scan that lies in the same chunk and is still
    /// to be commanded.
    fn earlier_scan(&self, blocks: &Blocks, run: &Run) -> Option<Scan> {
        let chunk = run.chunk(blocks);
        if chunk > self.scanned_highest {
            return None;
        }
        let before = self.work.range(self.commanded.min(self.scanned)..self.scanned);
        before.rev().find_map(|work| match work {
            Work::Run(run) if run.chunk(blocks) == chunk => Some(run.scan),
            _ => None,
        })
    }

    /// A region is given back: work in it that needed no scan may need one after all.
    pub(crate) fn scan_again(&mut self) {
        self.scanned = self.scanned.min(self.commanded);
        self.span = SpanSoFar::default();
    }

    /// A scan was answered. False where none was under way.
    pub(crate) fn scanned(&mut self, block: BlockIndex, offset: BlockOffset, scan: Scan) -> bool {
        // What needs no command any more is not being scanned either.
        let run = self.work.iter_mut().skip(self.commanded).find_map(|work| match work {
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

    /// The work at a place. The last run may still grow and is held back until it fills its chunk,
    /// other work follows, or `sealed` says that no more will come.
    fn complete(&self, at: usize, blocks: &Blocks, sealed: bool) -> Option<Work> {
        let work = *self.work.get(at)?;
        let complete = match work {
            Work::Run(run) => sealed || at + 1 < self.work.len() || run.fills_its_chunk(blocks),
            Work::Unregister { .. } => true,
        };
        complete.then_some(work)
    }

    fn drop_told(&mut self) {
        while matches!(self.work.front(), Some(Work::Run(run)) if run.scan == Scan::Told) {
            self.drop_head();
        }
    }

    fn drop_head(&mut self) {
        self.work.pop_front();
        if self.work.is_empty() {
            self.scanned_highest = None;
        }
        self.scanned = self.scanned.saturating_sub(1);
        if self.commanded == 0 {
            self.span = SpanSoFar::default();
        }
        self.commanded = self.commanded.saturating_sub(1);
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
    fn a_chunk_that_comes_again_waits_for_its_earlier_run_and_a_lower_one_does_not() {
        let works = [(2 * MIB, 0x1000), (MIB, 0x1000), (2 * MIB + 0x3000, 0x1000), (0, MIB)];
        let (blocks, mut queue) = pushed(&works);
        let scan = |queue: &mut Queue| {
            queue.scan_next(&blocks, false, |_| true).map(|run| run.offset.get())
        };
        assert_eq!([(); 3].map(|()| scan(&mut queue)), [Some(2 * MIB), Some(MIB), None]);
        assert!(queue.scanned(BLOCK, BlockOffset::new(2 * MIB), Scan::NonZero));
        assert_eq!(scan(&mut queue), Some(0));
    }

    #[test]
    fn a_run_is_scanned_once_and_a_second_run_of_its_chunk_waits_for_the_first() {
        let works = [(0, 0x1000), (MIB, 0x1000), (MIB + 0x3000, 0x1000), (2 * MIB, MIB)];
        for (found, then) in [(Scan::NonZero, 2 * MIB), (Scan::Zero, MIB + 0x3000)] {
            let (blocks, mut queue) = pushed(&works);
            let scan = |queue: &mut Queue| {
                queue.scan_next(&blocks, false, |_| true).map(|run| run.offset.get())
            };
            assert_eq!([(); 3].map(|()| scan(&mut queue)), [Some(0), Some(MIB), None]);
            assert!(queue.scanned(BLOCK, BlockOffset::new(MIB), found));
            assert!(!queue.scanned(BLOCK, BlockOffset::new(MIB), found));
            if found == Scan::Zero {
                // Until the destination was told, it is not known whether the chunk is registered.
                assert_eq!(scan(&mut queue), None);
                assert!(queue.scanned(BLOCK, BlockOffset::new(0), Scan::NonZero));
                queue.commanded();
                queue.told(1);
            }
            assert_eq!(scan(&mut queue), Some(then));
        }
    }
}
