//! One host: its memory, its queue pair, and what it has not looked at yet.

use core::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rdma_migration_protocol::address::{BlockIndex, BlockOffset, Rkey};
use rdma_migration_protocol::limits::{CONTROL_BUFFER_BYTES, RECEIVE_BUFFERS};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    FailedOperation, ReceiveBuffer, RegionId, Statistics, TransportError,
};

use super::connection::ConnectionState;
use super::local::Work;
use crate::memory::Memory;
use crate::queue_pair::QueuePair;
use crate::region::{Life, Regions};
use crate::side::Side;

/// What a side will be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Report {
    Requested(Vec<u8>),
    Established(Vec<u8>),
    Rejected,
    ConnectionFailed(TransportError),
    ConnectionLost,
    Received(ReceiveBuffer),
    /// With the slots of the send queue that looking at it frees.
    Sent {
        slots: usize,
    },
    /// With the slots of the send queue that looking at it frees.
    RamWritten {
        slots: usize,
    },
    RamScanned {
        block: BlockIndex,
        offset: BlockOffset,
        zero: bool,
    },
    RamZeroed {
        block: BlockIndex,
        offset: BlockOffset,
    },
    MemoryRegistered {
        region: RegionId,
        rkey: Rkey,
    },
    MemoryDeregistered {
        region: RegionId,
    },
    Disconnected,
    Failed(FailedOperation, TransportError),
}

impl Report {
    /// Slots of the send queue that looking at it frees.
    pub(crate) const fn slots(&self) -> usize {
        match self {
            Self::Sent { slots } | Self::RamWritten { slots } => *slots,
            _ => 0,
        }
    }
}

/// Who may look at a receive buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Seen {
    /// Nobody: there is nothing in it.
    #[default]
    Empty,
    /// The adapter, which may write into it at any time.
    Posted,
    /// The side: it holds a message.
    Held,
}

/// A registered control buffer for one message.
#[derive(Debug, Default)]
pub(crate) struct ReceiveSlot {
    pub(crate) bytes: Vec<u8>,
    pub(crate) seen: Seen,
    /// How the message fails that meets the receive, where a fault has struck it.
    pub(crate) fails: Option<TransportError>,
}

/// One host.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) queue_pair: QueuePair,
    pub(crate) connection: ConnectionState,
    pub(crate) memory: Memory,
    pub(crate) regions: Regions,
    pub(crate) inbox: VecDeque<Report>,
    pub(crate) receive_slots: [ReceiveSlot; RECEIVE_BUFFERS],
    pub(crate) send_buffer: Vec<u8>,
    pub(crate) statistics: Statistics,
    /// What the last connection event carried, for as long as the side looks at it.
    pub(crate) private_data: Vec<u8>,
    /// Whether the side looks at its inbox.
    pub(crate) awake: bool,
    pub(crate) wakes_at: Option<Instant>,
    /// Work on memory that has not ended.
    pub(crate) works: BTreeMap<u64, Work>,
    pub(crate) next_work: u64,
    pub(crate) registrar_free_at: Instant,
    pub(crate) walker_free_at: Instant,
    /// How many READY the side holds that it has not used.
    pub(crate) unused_ready: usize,
    /// Whether the peer's program sees what this side sends.
    pub(crate) silent: bool,
    /// The number of the request that carries the latest message.
    pub(crate) latest_send: Option<u64>,
    /// Unsignaled writes that nothing had reported when the queue pair was closed.
    pub(crate) unsignaled_left: usize,
    /// A receive buffer that was read against the rules; a reader has no mutable access.
    pub(crate) misread: Cell<Option<ReceiveBuffer>>,
}

impl Endpoint {
    pub(crate) fn new(side: Side, random: &mut ChaCha8Rng) -> Self {
        Self {
            queue_pair: QueuePair::new(random.random()),
            connection: ConnectionState::first(side),
            memory: Memory::default(),
            regions: Regions::default(),
            inbox: VecDeque::new(),
            receive_slots: Default::default(),
            send_buffer: vec![0; CONTROL_BUFFER_BYTES],
            statistics: Statistics::default(),
            private_data: Vec::new(),
            awake: true,
            wakes_at: None,
            works: BTreeMap::new(),
            next_work: 0,
            registrar_free_at: Instant::ORIGIN,
            walker_free_at: Instant::ORIGIN,
            unused_ready: 0,
            silent: false,
            latest_send: None,
            unsignaled_left: 0,
            misread: Cell::new(None),
        }
    }

    pub(crate) fn slot(&self, buffer: ReceiveBuffer) -> Option<&ReceiveSlot> {
        self.receive_slots.get(usize::from(buffer.0))
    }

    pub(crate) fn slot_mut(&mut self, buffer: ReceiveBuffer) -> Option<&mut ReceiveSlot> {
        self.receive_slots.get_mut(usize::from(buffer.0))
    }

    /// Regions that nobody asked to have back. One whose deregistration failed goes with the device.
    pub(crate) fn leaks(&self) -> impl Iterator<Item = RegionId> {
        let leaked = |life| matches!(life, Life::Registering | Life::Registered);
        self.regions.iter().filter(move |(_, region)| leaked(region.life)).map(|(id, _)| id)
    }
}
