//! The owner of the guest at a source under test.

use std::collections::VecDeque;
use std::mem;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset};
use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::error::Misuse;
use rdma_migration_protocol::source::{Source, SourceEvent};
use rdma_migration_protocol::transport::{Machine, Owner};

use crate::guest_memory::GuestMemory;
use crate::migrate::guest::{self, GuestBlock};
use crate::migrate::stream;

const CHUNK: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// Something that a source does, in order.
#[derive(Clone, Debug)]
enum Step {
    Stream(Vec<u8>),
    ExchangeBlocks,
    Ram { block: u32, offset: u64, length: u64 },
    Unregister { block: u32, chunk: u64 },
    FinishRound,
    Finish,
}

/// An owner that moves a small guest in three rounds: an empty one, all RAM, and a few pages again,
/// one of which was zero at first.
#[derive(Debug)]
pub(super) struct SourceOwner {
    blocks: Vec<GuestBlock>,
    steps: VecDeque<Step>,
    /// Whether the next step waits for an event.
    waits: bool,
    connects: bool,
    /// A run that was zero and is written to before the last round.
    late: (u32, u64),
    closed: Option<Closed>,
}

impl SourceOwner {
    /// Makes the guest's RAM. `unregisters`: the first chunk is given back before the last round.
    pub(super) fn new(
        blocks: Vec<GuestBlock>,
        memory: &mut impl GuestMemory,
        seed: u64,
        unregisters: bool,
    ) -> Self {
        for block in &blocks {
            // A simulated host has memory, and the contents are as long as the block.
            let Ok(index) = memory.allocate(block.length) else { continue };
            let _ = memory.write(index, 0, &contents(block, seed));
        }
        let mut steps = VecDeque::from([
            Step::Stream(stream::setup(&blocks)),
            Step::ExchangeBlocks,
            Step::FinishRound,
            Step::Stream(stream::between_rounds(false)),
        ]);
        for (block, GuestBlock { length, .. }) in (0..).zip(&blocks) {
            steps.push_back(Step::Ram { block, offset: 0, length: *length });
        }
        steps.extend([Step::FinishRound, Step::Stream(stream::between_rounds(true))]);
        if unregisters {
            steps.push_back(Step::Unregister { block: 0, chunk: 0 });
        }
        steps.extend([
            Step::Ram { block: 0, offset: 2 * PAGE, length: PAGE },
            Step::Ram { block: 0, offset: CHUNK, length: 2 * PAGE },
            Step::FinishRound,
            Step::Stream(stream::device_state(&guest::device_state(seed))),
            Step::Finish,
        ]);
        let late = (0, CHUNK);
        Self { blocks, steps, waits: true, connects: true, late, closed: None }
    }

    pub(super) const fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    fn act(&mut self, source: &mut Source, memory: &mut impl GuestMemory) -> Result<(), Misuse> {
        while !self.waits {
            let Some(step) = self.steps.pop_front() else { return Ok(()) };
            let left = match step {
                Step::Stream(mut bytes) => {
                    bytes.drain(..source.write_stream(&bytes)?);
                    (!bytes.is_empty()).then_some(Step::Stream(bytes))
                }
                Step::ExchangeBlocks => {
                    let lengths: Vec<_> = self.blocks.iter().map(|block| block.length).collect();
                    source.exchange_blocks(&lengths)?;
                    self.waits = true;
                    None
                }
                Step::Ram { block, offset, length } => {
                    if (block, offset) == self.late {
                        let _ = memory.write(BlockIndex::new(block), offset, &[0xa5; 5000]);
                    }
                    let taken = source.write_ram(
                        BlockIndex::new(block),
                        BlockOffset::new(offset),
                        length,
                    )?;
                    let (offset, length) = (offset + taken, length - taken);
                    (length > 0).then_some(Step::Ram { block, offset, length })
                }
                Step::Unregister { block, chunk } => {
                    let taken = source.unregister(BlockIndex::new(block), chunk)?;
                    (!taken).then_some(Step::Unregister { block, chunk })
                }
                Step::FinishRound => {
                    source.finish_round()?;
                    self.waits = true;
                    None
                }
                Step::Finish => {
                    source.finish()?;
                    self.waits = true;
                    None
                }
            };
            if let Some(left) = left {
                self.steps.push_front(left);
                self.waits = true;
            }
        }
        Ok(())
    }
}

/// The second chunk is zero, and so is the last page of the first; everything else is random.
fn contents(block: &GuestBlock, seed: u64) -> Vec<u8> {
    let mut bytes = guest::contents(&GuestBlock::new(&block.name, block.length, u8::MAX), seed);
    let page = usize::try_from(PAGE).unwrap_or_default();
    let chunk = usize::try_from(CHUNK).unwrap_or_default();
    if let Some(second) = bytes.get_mut(chunk - page..2 * chunk) {
        second.fill(0);
    }
    bytes
}

impl<T: GuestMemory> Owner<Source, T> for SourceOwner {
    fn attend(&mut self, source: &mut Source, memory: &mut T) {
        if mem::take(&mut self.connects) {
            // The first call of a new machine.
            let _ = source.connect();
        }
        while let Some(event) = source.poll_event() {
            match event {
                SourceEvent::Closed(closed) => self.closed = Some(closed),
                SourceEvent::HandedOver => {}
                SourceEvent::Connected(_)
                | SourceEvent::StreamWritable
                | SourceEvent::BlocksExchanged
                | SourceEvent::RamWritable
                | SourceEvent::RoundFinished => self.waits = false,
            }
        }
        if self.act(source, memory).is_err() {
            // A machine that is closing takes no calls; its end comes as an event.
            self.steps.clear();
        }
    }
}
