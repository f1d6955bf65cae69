//! A machine between its loop and itself: what it orders and is told is written down here, so that
//! it can be held against what must hold, by other means than its own and the fabric's.

use core::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, Rkey};
use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::destination::Destination;
use rdma_migration_protocol::limits::HEADER_BYTES;
use rdma_migration_protocol::source::Source;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Access, Completion, ConnectionEvent, FailedOperation, Machine, Operation, RegionId,
    TransportError, WriteRam,
};
use rdma_migration_protocol::wire::{Header, Kind};

use crate::defect::Defect;
use crate::invariants::{Broken, Invariant};
use crate::meter::Meter;

/// A piece of a destination's RAM that a source may write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    pub(crate) block: BlockIndex,
    pub(crate) offset: BlockOffset,
    pub(crate) length: u64,
    /// Where the destination has its first byte.
    pub(crate) address: u64,
    /// Whether it was taken back, while the queue pair was there to be written through.
    pub(crate) taken_back: bool,
}

/// What a destination has granted.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// Where it has its RAM blocks.
    pub(crate) blocks: Vec<u64>,
    by_key: BTreeMap<Rkey, Window>,
}

/// Both sides look at them.
pub(crate) type SharedWindows = Rc<RefCell<Windows>>;

/// The owner of a machine's guest, as the machine tells.
pub(crate) trait Guest: Machine {
    fn guest_owner(&self) -> GuestOwner;
}

impl Guest for Source {
    fn guest_owner(&self) -> GuestOwner {
        Self::guest_owner(self)
    }
}

impl Guest for Destination {
    fn guest_owner(&self) -> GuestOwner {
        Self::guest_owner(self)
    }
}

/// How far the last message of the stream has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum LastMessage {
    #[default]
    NotPosted,
    Posted,
    Acknowledged,
}

/// What one machine has ordered and was told.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) meter: Meter,
    /// Operations ordered.
    pub(crate) operations: u64,
    /// Whether anything has happened that the side has to bring to an end.
    pub(crate) begun: bool,
    pub(crate) disconnect_ordered: bool,
    pub(crate) disconnected: bool,
    /// Bytes of the whole stream, once the owner has said that what it wrote last is the end of it.
    pub(crate) stream_ends_at: Option<usize>,
    pub(crate) last_message: LastMessage,
    /// Sends that are not answered: whether each is the last message of the stream.
    sends: VecDeque<bool>,
    stream_bytes_sent: usize,
    /// Regions that are registered, or may be, and their bytes.
    pub(crate) regions: BTreeMap<RegionId, u64>,
    orders: BTreeMap<RegionId, Window>,
    /// When the machine had come to its end, and how many regions there were then.
    pub(crate) ended_at: Option<Instant>,
    pub(crate) regions_at_end: Option<usize>,
    pub(crate) broken: Option<Broken>,
}

/// A machine that is watched.
#[derive(Debug)]
pub(crate) struct Watched<M> {
    machine: M,
    pub(crate) record: Record,
    windows: SharedWindows,
    defect: Option<Defect>,
}

impl<M: Guest> Watched<M> {
    pub(crate) fn new(machine: M, windows: &SharedWindows, defect: Option<Defect>) -> Self {
        Self { machine, record: Record::default(), windows: Rc::clone(windows), defect }
    }

    /// Makes a call of the owner.
    pub(crate) fn call<T>(&mut self, call: impl FnOnce(&mut M) -> T) -> T {
        let Self { machine, record, .. } = self;
        record.meter.call(|| call(machine))
    }

    pub(crate) const fn machine(&self) -> &M {
        &self.machine
    }

    /// The instant is over: notes whether the machine has come to its end in it.
    pub(crate) fn note_end(&mut self, now: Instant) {
        if self.machine.is_closed() && self.record.ended_at.is_none() {
            self.record.ended_at = Some(now);
            self.record.regions_at_end = Some(self.record.regions.len());
        }
    }

    pub(crate) fn guest_owner(&self) -> GuestOwner {
        let owner = self.machine.guest_owner();
        self.defect.map_or(owner, |defect| defect.guest_owner(owner, &self.record))
    }

    fn note_operation(&mut self, operation: &Operation, send_buffer: &[u8]) {
        self.record.operations += 1;
        if self.machine.is_closed() {
            self.record.break_rule(format!("{operation:?} after the end"));
        }
        match *operation {
            Operation::Connect { .. } | Operation::Accept { .. } | Operation::Reject => {
                self.record.begun = true;
            }
            Operation::Disconnect => self.record.disconnect_ordered = true,
            Operation::Send { length } => {
                let message = send_buffer.get(..length).unwrap_or_default();
                self.record.note_send(message);
            }
            Operation::WriteRam(write) => self.check_write(&write),
            Operation::RegisterMemory { region, block, offset, length, access } => {
                self.record.regions.insert(region, length);
                if access == Access::RemoteWrite {
                    let index = usize::try_from(block.get()).unwrap();
                    let address = self.windows.borrow().blocks[index] + offset.get();
                    let window = Window { block, offset, length, address, taken_back: false };
                    self.record.orders.insert(region, window);
                }
            }
            Operation::DeregisterMemory { region } => self.take_back(region),
            Operation::PostReceive { .. }
            | Operation::ScanRam { .. }
            | Operation::ZeroRam { .. } => {}
        }
    }

    /// A write has to be inside what its key grants, as it was granted.
    fn check_write(&mut self, write: &WriteRam) {
        let granted = self.windows.borrow().by_key.get(&write.rkey).is_some_and(|window| {
            let at = write.remote_address.get().checked_sub(window.address);
            let inside = at.is_some_and(|at| at + write.length <= window.length);
            inside && window.block == write.block && !window.taken_back
        });
        if !granted {
            let what = format!("a write outside every granted window: {write:?}");
            self.record.broken.get_or_insert(Broken::new(Invariant::Windows, what));
        }
    }

    fn take_back(&mut self, region: RegionId) {
        if self.record.disconnect_ordered {
            return;
        }
        let Some(order) = self.record.orders.get(&region) else { return };
        let mut windows = self.windows.borrow_mut();
        let same =
            |window: &&mut Window| (window.block, window.offset) == (order.block, order.offset);
        windows.by_key.values_mut().filter(same).for_each(|window| window.taken_back = true);
    }

    fn note_completion(&mut self, completion: &Completion<'_>) {
        match *completion {
            Completion::Sent => self.record.note_sent(),
            Completion::MemoryRegistered { region, rkey } => {
                if let Some(window) = self.record.orders.get(&region) {
                    self.windows.borrow_mut().by_key.insert(rkey, *window);
                }
            }
            Completion::MemoryDeregistered { region }
            | Completion::Failed {
                operation: FailedOperation::RegisterMemory { region }, ..
            } => {
                self.record.regions.remove(&region);
            }
            Completion::Failed { operation: FailedOperation::Send, error } => {
                self.record.note_send_failed(error);
            }
            Completion::Disconnected => self.record.disconnected = true,
            Completion::Received { .. }
            | Completion::RamWritten
            | Completion::RamScanned { .. }
            | Completion::RamZeroed { .. }
            | Completion::Failed { .. } => {}
        }
    }
}

impl Record {
    fn break_rule(&mut self, what: String) {
        self.broken.get_or_insert(Broken::new(Invariant::Contract, what));
    }

    fn note_send(&mut self, message: &[u8]) {
        let header = Header::parse(message);
        let stream = header.is_ok_and(|header| header.kind == Kind::QemuFile);
        if stream {
            self.stream_bytes_sent += message.len().saturating_sub(HEADER_BYTES);
        }
        let ended = self.stream_ends_at.is_some_and(|end| self.stream_bytes_sent >= end);
        let last = stream && ended;
        if last {
            self.last_message = LastMessage::Posted;
        }
        self.sends.push_back(last);
    }

    fn note_sent(&mut self) {
        if self.sends.pop_front() == Some(true) {
            self.last_message = LastMessage::Acknowledged;
        }
    }

    /// One that was not taken at all is the latest; any other is the oldest.
    fn note_send_failed(&mut self, error: TransportError) {
        let _failed = match error {
            TransportError::QueueFull => self.sends.pop_back(),
            _ => self.sends.pop_front(),
        };
    }
}

impl<M: Guest> Machine for Watched<M> {
    type Event = M::Event;

    fn handle_connection(&mut self, event: ConnectionEvent<'_>, now: Instant) {
        self.record.begun = true;
        self.call(|machine| machine.handle_connection(event, now));
    }

    fn handle_completion(&mut self, completion: Completion<'_>, now: Instant) {
        self.note_completion(&completion);
        let waste = self.defect.map_or(0, |defect| defect.waste());
        self.call(|machine| {
            drop(std::hint::black_box(Vec::<u8>::with_capacity(waste)));
            machine.handle_completion(completion, now);
        });
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.call(|machine| machine.handle_timeout(now));
    }

    fn poll_operation(&mut self, send_buffer: &mut [u8], now: Instant) -> Option<Operation> {
        loop {
            let operation = self.call(|machine| machine.poll_operation(send_buffer, now))?;
            let Some(defect) = self.defect else {
                self.note_operation(&operation, send_buffer);
                return Some(operation);
            };
            match defect.spoil(operation, send_buffer, self.record.operations) {
                Ok(spoilt) => {
                    self.note_operation(&spoilt, send_buffer);
                    return Some(spoilt);
                }
                Err(answer) => self.call(|machine| machine.handle_completion(answer, now)),
            }
        }
    }

    fn poll_event(&mut self) -> Option<M::Event> {
        self.call(Machine::poll_event)
    }

    fn poll_timeout(&self) -> Option<(Instant, TimeoutReason)> {
        let deadline = self.machine.poll_timeout();
        self.defect.map_or(deadline, |defect| defect.deadline(deadline))
    }

    fn is_closed(&self) -> bool {
        self.machine.is_closed()
    }
}
