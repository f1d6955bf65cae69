//! The small guests that are migrated, and what their owners do.
//!
//! A guest's RAM has no bytes here but versions: one number for each half chunk, which the guest
//! raises when it writes there. Zero is RAM that was never touched. That is enough to tell whether
//! what arrived is what was sent, and keeps states small.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset};
use rdma_migration_protocol::connection::{PinAllOffer, PinAllPolicy};
use rdma_migration_protocol::limits::CHUNK_BYTES_MIN;
use rdma_migration_protocol::source::Registration;
use rdma_migration_transport_sim::Side;

/// Bytes that share a version: half a chunk, so that a chunk can have two runs.
pub(crate) const CELL_BYTES: u64 = CHUNK_BYTES_MIN / CELLS_IN_CHUNK;

const CELLS_IN_CHUNK: u64 = 2;

/// The RAM of one side: for each block the version of each cell.
pub(crate) type Ram = Vec<Vec<u8>>;

/// Cells of one block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Cells {
    pub(crate) block: usize,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl Cells {
    /// The cells of a range that a machine names in bytes. Machines only name whole cells, because
    /// their owners do.
    pub(crate) fn of(block: BlockIndex, offset: BlockOffset, length: u64) -> Self {
        assert!(offset.get().is_multiple_of(CELL_BYTES) && length.is_multiple_of(CELL_BYTES));
        let cells = |bytes: u64| usize::try_from(bytes / CELL_BYTES).unwrap();
        let block = usize::try_from(block.get()).unwrap();
        Self { block, first: cells(offset.get()), count: cells(length) }
    }

    pub(crate) fn block(self) -> BlockIndex {
        block_index(self.block)
    }

    pub(crate) fn offset(self) -> BlockOffset {
        BlockOffset::new(u64::try_from(self.first).unwrap() * CELL_BYTES)
    }

    pub(crate) fn bytes(self) -> u64 {
        u64::try_from(self.count).unwrap() * CELL_BYTES
    }

    /// The chunks that a registered region has, the last of a block as much as any other.
    pub(crate) fn chunks(self) -> u64 {
        u64::try_from(self.count).unwrap().div_ceil(CELLS_IN_CHUNK)
    }

    pub(crate) fn slice(self, ram: &Ram) -> &[u8] {
        &ram[self.block][self.first..self.first + self.count]
    }

    pub(crate) fn slice_mut(self, ram: &mut Ram) -> &mut [u8] {
        &mut ram[self.block][self.first..self.first + self.count]
    }
}

/// One thing that the source's owner wants done in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    Write(Cells),
    Unregister { block: usize, chunk: u64 },
}

/// A guest, its rounds, and what the two sides agree to.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) name: &'static str,
    pub(crate) offer: PinAllOffer,
    pub(crate) policy: PinAllPolicy,
    pub(crate) registration: Registration,
    /// Whether the source asks the destination to take back what it has granted.
    pub(crate) unregisters: bool,
    /// Chunks that are registered at a time, at most: at the source, and where it unregisters at the
    /// destination too.
    pub(crate) pinned_chunks_max: Option<u64>,
    /// What the RAM is like before the first round.
    pub(crate) ram: Ram,
    /// The work of each round. From the second round on the guest writes to the cells first.
    pub(crate) rounds: Vec<Vec<Work>>,
}

const fn write(block: usize, first: usize, count: usize) -> Work {
    Work::Write(Cells { block, first, count })
}

impl Guest {
    /// One block of one chunk, one round: the least there is.
    pub(crate) fn least() -> Self {
        Self {
            name: "1 chunk, 1 round",
            offer: PinAllOffer::Never,
            policy: PinAllPolicy::Accept,
            registration: Registration::default(),
            unregisters: false,
            pinned_chunks_max: None,
            ram: vec![vec![1, 1]],
            rounds: vec![vec![write(0, 0, 2)]],
        }
    }

    /// Registration, a zero run and a second round, in which a half of each chunk has changed.
    pub(crate) fn dynamic() -> Self {
        Self {
            name: "dynamic: 1 block of 2 chunks, one of them zero, 2 rounds",
            ram: vec![vec![1, 1, 0, 0]],
            rounds: vec![vec![write(0, 0, 4)], vec![write(0, 0, 1), write(0, 3, 1)]],
            ..Self::least()
        }
    }

    /// A chunk is unregistered and registered again, in one round and over two.
    pub(crate) fn unregistering() -> Self {
        let unregister = Work::Unregister { block: 0, chunk: 0 };
        Self {
            name: "unregistering: 1 chunk, unregistered twice, 2 rounds",
            unregisters: true,
            rounds: vec![
                vec![write(0, 0, 1), unregister, write(0, 1, 1)],
                vec![unregister, write(0, 0, 2)],
            ],
            ..Self::least()
        }
    }

    /// QEMU's rhythm: everything for a chunk before anything for the next.
    pub(crate) fn chunk_by_chunk() -> Self {
        Self {
            name: "chunk by chunk: 1 block of 2 chunks, 1 round",
            registration: Registration::Chunks,
            ram: vec![vec![1, 1, 1]],
            rounds: vec![vec![write(0, 0, 3)]],
            ..Self::least()
        }
    }

    /// A span of two chunks, and one of one, which is asked for before the first is written.
    pub(crate) fn spans_ahead() -> Self {
        Self {
            name: "look-ahead: spans of 2 chunks and 1, 1 round",
            registration: Registration::LookAhead { chunks_max: 2 },
            ram: vec![vec![1, 1, 1, 1, 1]],
            rounds: vec![vec![write(0, 0, 5)]],
            ..Self::least()
        }
    }

    /// A span of two chunks is unregistered as one, and half of it is registered again.
    pub(crate) fn unregistering_spans() -> Self {
        let unregister = Work::Unregister { block: 0, chunk: 1 };
        Self {
            name: "unregistering: a span of 2 chunks, 1 round",
            registration: Registration::Spans { chunks_max: 2 },
            unregisters: true,
            ram: vec![vec![1, 1, 1]],
            rounds: vec![vec![write(0, 0, 3), unregister, write(0, 1, 1)]],
            ..Self::least()
        }
    }

    /// Two requests in a message.
    pub(crate) fn batches() -> Self {
        Self {
            name: "batches: 2 requests of 1 chunk, 1 round",
            registration: Registration::Batches { chunks_max: 1, requests_max: 2 },
            ram: vec![vec![1, 1, 1]],
            rounds: vec![vec![write(0, 0, 3)]],
            ..Self::least()
        }
    }

    /// Less may be registered at the source than the guest has. The destination keeps what it has
    /// granted, and a chunk comes back under its old key.
    pub(crate) fn bounded() -> Self {
        Self {
            name: "bounded at the source: 1 chunk of 2, 2 rounds",
            registration: Registration::Spans { chunks_max: 1 },
            pinned_chunks_max: Some(1),
            ram: vec![vec![1, 1, 1]],
            rounds: vec![vec![write(0, 0, 3)], vec![write(0, 0, 1)]],
            ..Self::least()
        }
    }

    /// Less may be registered on both sides than the guest has.
    pub(crate) fn bounded_on_both_sides() -> Self {
        Self {
            name: "bounded on both sides: 1 chunk of 2, 2 rounds",
            unregisters: true,
            ..Self::bounded()
        }
    }

    /// With look-ahead: what is asked for makes something give way that was written just before.
    pub(crate) fn bounded_ahead() -> Self {
        Self {
            name: "bounded at the source, look-ahead: 2 chunks of 3, 1 round",
            registration: Registration::LookAhead { chunks_max: 1 },
            pinned_chunks_max: Some(2),
            ram: vec![vec![1, 1, 1, 1, 1]],
            rounds: vec![vec![write(0, 0, 5)]],
            ..Self::least()
        }
    }

    /// The same on both sides.
    pub(crate) fn bounded_ahead_on_both_sides() -> Self {
        Self {
            name: "bounded on both sides, look-ahead: 2 chunks of 3, 1 round",
            unregisters: true,
            ..Self::bounded_ahead()
        }
    }

    /// A span gives way on both sides, and a half of it comes back.
    pub(crate) fn bounded_spans() -> Self {
        Self {
            name: "bounded on both sides: a span of 2 chunks of 3, 2 rounds",
            registration: Registration::Spans { chunks_max: 2 },
            rounds: vec![vec![write(0, 0, 5)], vec![write(0, 2, 1)]],
            ..Self::bounded_ahead_on_both_sides()
        }
    }

    /// All RAM pinned: two blocks, the second with two runs in one round.
    pub(crate) fn pinned() -> Self {
        Self {
            name: "pin-all: 2 blocks of 1 and 2 chunks, 2 rounds",
            offer: PinAllOffer::Required,
            ram: vec![vec![1], vec![1, 1, 1]],
            rounds: vec![
                vec![write(0, 0, 1), write(1, 0, 3)],
                vec![write(1, 0, 1), write(1, 2, 1)],
            ],
            ..Self::least()
        }
    }

    /// The destination declines to pin all RAM.
    pub(crate) fn declined() -> Self {
        Self {
            name: "pin-all preferred and declined: 1 chunk, 1 round",
            offer: PinAllOffer::Preferred,
            policy: PinAllPolicy::Decline,
            ..Self::least()
        }
    }

    /// The destination refuses the connection.
    pub(crate) fn refused() -> Self {
        Self {
            name: "pin-all refused: no migration",
            offer: PinAllOffer::Required,
            policy: PinAllPolicy::Refuse,
            ..Self::least()
        }
    }

    /// Whether the destination refuses to begin.
    pub(crate) fn is_refused(&self) -> bool {
        self.policy == PinAllPolicy::Refuse && self.offer != PinAllOffer::Never
    }

    /// Chunks that are registered at a time on a side, at most.
    pub(crate) fn bound(&self, side: Side) -> Option<u64> {
        self.pinned_chunks_max.filter(|_| side == Side::Source || self.unregisters)
    }

    /// The same in bytes.
    pub(crate) fn pinned_bytes_max(&self, side: Side) -> Option<u64> {
        self.bound(side).map(|chunks| chunks * CHUNK_BYTES_MIN)
    }

    /// Lengths of the blocks in bytes.
    pub(crate) fn lengths(&self) -> Vec<u64> {
        let cells = |block: &Vec<u8>| u64::try_from(block.len()).unwrap();
        self.ram.iter().map(|block| cells(block) * CELL_BYTES).collect()
    }

    /// The whole stream: a byte in front of each round, and the last one.
    pub(crate) fn stream(&self) -> Vec<u8> {
        (0..=self.rounds.len()).map(stream_byte).collect()
    }
}

pub(crate) fn block_index(block: usize) -> BlockIndex {
    BlockIndex::new(u32::try_from(block).unwrap())
}

/// What the stream says in front of a round; after the last round, its end.
pub(crate) fn stream_byte(round: usize) -> u8 {
    b'a' + u8::try_from(round).unwrap()
}
