//! One end of the link: what an adapter, its driver and the memory of the host hold.

use std::collections::VecDeque;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, Rkey};
use rdma_migration_protocol::limits::RECEIVE_BUFFERS;
use rdma_migration_protocol::transport::{Operation, ReceiveBuffer, RegionId, WriteRam};

use crate::answers::rkey;
use crate::guest::{HOST, LENGTHS, index};
use crate::registering::chunks;

/// The unit in which the contents of RAM are told apart, a byte for each.
pub(super) const PAGE: u64 = 4096;

/// How far a queue pair has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum QueuePair {
    /// It is being made: receives may be posted.
    Young,
    /// It carries messages.
    Open,
    /// Work on it has failed, or its peer is gone: all that is posted fails.
    Broken,
    Gone,
}

/// Work on the queue pair that has not been done yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Work {
    Send(Vec<u8>),
    Write(WriteRam),
}

/// A piece of RAM that is registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Region {
    id: RegionId,
    block: BlockIndex,
    offset: BlockOffset,
    length: u64,
}

impl Region {
    fn holds(&self, block: BlockIndex, offset: u64, length: u64) -> bool {
        let (start, end) = (self.offset.get(), self.offset.get() + self.length);
        self.block == block && start <= offset && offset + length <= end
    }
}

/// The host of one side.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) queue_pair: QueuePair,
    pub(super) posted: VecDeque<ReceiveBuffer>,
    /// What has arrived in each control buffer.
    pub(super) received: [Vec<u8>; RECEIVE_BUFFERS],
    /// Posted to the queue pair, oldest first.
    pub(super) queued: VecDeque<Work>,
    /// Registrations, scans and fills, oldest first.
    pub(super) memory_work: VecDeque<Operation>,
    /// Connect, accept, reject, disconnect.
    pub(super) connection_work: VecDeque<Operation>,
    /// Whether the news that the peer is gone is on its way.
    pub(super) peer_left: bool,
    regions: Vec<Region>,
    /// A byte for each page of each RAM block.
    pub(super) ram: [Vec<u8>; 3],
}

impl Host {
    pub(super) fn new(fill: impl Fn(usize, usize) -> u8) -> Self {
        let pages = |length: u64| usize::try_from(length / PAGE).expect("a small number");
        Self {
            queue_pair: QueuePair::Young,
            posted: VecDeque::with_capacity(RECEIVE_BUFFERS),
            received: Default::default(),
            queued: VecDeque::with_capacity(8),
            memory_work: VecDeque::with_capacity(8),
            connection_work: VecDeque::new(),
            peer_left: false,
            regions: Vec::with_capacity(8),
            ram: std::array::from_fn(|block| {
                (0..pages(LENGTHS[block])).map(|page| fill(block, page)).collect()
            }),
        }
    }

    /// The registered regions.
    pub(super) fn regions(&self) -> usize {
        self.regions.len()
    }

    /// Chunks that are registered, or may be.
    pub(super) fn pinned_chunks(&self) -> u64 {
        let registering = self.memory_work.iter().filter_map(|operation| match operation {
            Operation::RegisterMemory { length, .. } => Some(chunks(*length)),
            _ => None,
        });
        registering.chain(self.regions.iter().map(|region| chunks(region.length))).sum()
    }

    pub(super) fn register(
        &mut self,
        id: RegionId,
        block: BlockIndex,
        offset: BlockOffset,
        length: u64,
    ) {
        assert!(self.regions.iter().all(|region| region.id != id), "{id} is registered already");
        self.regions.push(Region { id, block, offset, length });
    }

    pub(super) fn deregister(&mut self, id: RegionId) {
        let at = self.regions.iter().position(|region| region.id == id);
        self.regions.swap_remove(at.unwrap_or_else(|| panic!("{id} is not registered")));
    }

    /// Asserts that the adapter may read this run of its own RAM.
    pub(super) fn assert_readable(&self, write: &WriteRam) {
        let region = self.regions.iter().find(|region| region.id == write.region);
        let (offset, length) = (write.offset.get(), write.length);
        let covered = region.is_some_and(|region| region.holds(write.block, offset, length));
        assert!(covered, "{write:?} reads from what is not registered");
    }

    /// Where in our RAM a write of the peer lands, if its key allows it.
    pub(super) fn granted(
        &self,
        address: HostAddress,
        length: u64,
        key: Rkey,
    ) -> Option<(BlockIndex, u64)> {
        let region = self.regions.iter().find(|region| rkey(region.id) == key)?;
        let offset = address.get().checked_sub(HOST[index(region.block)])?;
        let end = offset.checked_add(length)?;
        (end <= LENGTHS[index(region.block)] && region.holds(region.block, offset, length))
            .then_some((region.block, offset))
    }

    /// The pages of a run.
    pub(super) fn pages(&mut self, block: BlockIndex, offset: u64, length: u64) -> &mut [u8] {
        let page = |byte: u64| usize::try_from(byte / PAGE).expect("a small number");
        let pages = &mut self.ram[index(block)];
        &mut pages[page(offset)..page(offset + length)]
    }

    /// The pages that a run lies in, which may be in the middle of one where somebody lied.
    pub(super) fn pages_touched(
        &mut self,
        block: BlockIndex,
        offset: u64,
        length: u64,
    ) -> &mut [u8] {
        let first = offset / PAGE * PAGE;
        let end = (offset + length).next_multiple_of(PAGE);
        self.pages(block, first, end - first)
    }
}
