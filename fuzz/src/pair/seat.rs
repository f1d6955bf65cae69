//! A side: a machine, what its host holds, and its owner.

use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::destination::Destination;
use rdma_migration_protocol::limits::heap_bytes_max;
use rdma_migration_protocol::source::Source;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Machine, Operation, TransportError,
};

use super::host::{Host, QueuePair, Work};
use super::owners::{DestinationOwner, SourceOwner};
use crate::answers::{badly, rkey};
use crate::guest::{CHUNKS, LENGTHS, MIB};
use crate::heap::Heap;

/// A machine with its host and its owner.
pub(super) struct Seat<M, O> {
    pub(super) machine: M,
    /// What its owner allows it to register.
    pub(super) pinned_bytes_max: Option<u64>,
    pub(super) heap: Heap,
    pub(super) host: Host,
    pub(super) owner: O,
    /// Whether something has happened to the machine since it was polled.
    pub(super) stirred: bool,
    /// Regions that were registered when the machine closed.
    pub(super) regions_at_the_end: Option<usize>,
}

/// What an owner does when it is its turn.
pub(super) trait Attend<M> {
    /// Whether there was something to do.
    fn attend(&mut self, machine: &mut M, host: &mut Host) -> bool;

    fn closed(&self) -> Option<&Closed>;
}

impl Attend<Source> for SourceOwner {
    fn attend(&mut self, machine: &mut Source, host: &mut Host) -> bool {
        self.attend(machine, host)
    }

    fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }
}

impl Attend<Destination> for DestinationOwner {
    fn attend(&mut self, machine: &mut Destination, host: &mut Host) -> bool {
        self.attend(machine, host)
    }

    fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }
}

impl<M: Machine, O: Attend<M>> Seat<M, O> {
    pub(super) fn new(machine: M, pinned_bytes_max: Option<u64>, host: Host, owner: O) -> Self {
        let heap = Heap::new(heap_bytes_max(LENGTHS.len(), CHUNKS));
        Self {
            machine,
            pinned_bytes_max,
            heap,
            host,
            owner,
            stirred: true,
            regions_at_the_end: None,
        }
    }

    pub(super) fn complete(&mut self, completion: Completion<'_>, now: Instant) {
        let machine = &mut self.machine;
        self.heap.during(|| machine.handle_completion(completion, now));
        self.note_end();
    }

    pub(super) fn event(&mut self, event: ConnectionEvent<'_>, now: Instant) {
        let machine = &mut self.machine;
        self.heap.during(|| machine.handle_connection(event, now));
        self.note_end();
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let machine = &mut self.machine;
        self.heap.during(|| machine.handle_timeout(now));
        self.note_end();
    }

    pub(super) fn note_end(&mut self) {
        self.stirred = true;
        if self.machine.is_closed() {
            self.regions_at_the_end.get_or_insert(self.host.regions());
        }
    }

    /// Polls and attends until nothing changes.
    pub(super) fn settle(&mut self, send_buffer: &mut [u8], now: Instant) {
        while std::mem::take(&mut self.stirred) {
            self.poll(send_buffer, now);
            // The few bytes that the owner itself needs count as the machine's.
            let (machine, owner, host) = (&mut self.machine, &mut self.owner, &mut self.host);
            if self.heap.during(|| owner.attend(machine, host)) {
                self.note_end();
            }
        }
    }

    /// Takes operations until there are none.
    fn poll(&mut self, send_buffer: &mut [u8], now: Instant) {
        loop {
            let machine = &mut self.machine;
            let next = self.heap.during(|| machine.poll_operation(send_buffer, now));
            let Some(operation) = next else { return };
            self.take(operation, send_buffer);
        }
    }

    fn take(&mut self, operation: Operation, send_buffer: &[u8]) {
        assert!(self.owner.closed().is_none(), "{operation:?} after the end");
        let host = &mut self.host;
        match operation {
            Operation::PostReceive { buffer } => {
                assert!(!host.posted.contains(&buffer), "{buffer:?} posted twice");
                host.posted.push_back(buffer);
            }
            Operation::Send { length } => {
                host.queued.push_back(Work::Send(send_buffer[..length].to_vec()));
                let sends = host.queued.iter().filter(|work| matches!(work, Work::Send(_)));
                assert!(sends.count() <= 2, "three sends at once");
            }
            Operation::WriteRam(write) => {
                crate::guest::assert_inside(write.block, write.offset, write.length);
                host.queued.push_back(Work::Write(write));
            }
            Operation::ScanRam { block, offset, length }
            | Operation::ZeroRam { block, offset, length }
            | Operation::RegisterMemory { block, offset, length, .. } => {
                crate::guest::assert_inside(block, offset, length);
                host.memory_work.push_back(operation);
                let chunks = host.pinned_chunks();
                let allowed = self.pinned_bytes_max.is_none_or(|max| chunks * MIB <= max);
                assert!(allowed, "{chunks} chunks registered at a time");
            }
            Operation::DeregisterMemory { region } => {
                let reads =
                    |work: &Work| matches!(work, Work::Write(write) if write.region == region);
                assert!(!host.queued.iter().any(reads), "{region} is read from, and given back");
                host.memory_work.push_back(operation);
            }
            Operation::Connect { .. }
            | Operation::Accept { .. }
            | Operation::Reject
            | Operation::Disconnect => host.connection_work.push_back(operation),
        }
    }

    /// Answers everything that was posted to the queue pair, and that it is gone.
    pub(super) fn destroy_queue_pair(&mut self, now: Instant) {
        let error = TransportError::Flushed;
        while let Some(buffer) = self.host.posted.pop_front() {
            let operation = FailedOperation::Receive { buffer };
            self.complete(Completion::Failed { operation, error }, now);
        }
        while let Some(work) = self.host.queued.pop_front() {
            self.fail_work(&work, error, now);
        }
        self.host.queue_pair = QueuePair::Gone;
        self.host.peer_left = false;
        self.complete(Completion::Disconnected, now);
    }

    pub(super) fn fail_work(&mut self, work: &Work, error: TransportError, now: Instant) {
        let operation = match work {
            Work::Send(_) => FailedOperation::Send,
            Work::Write(_) => FailedOperation::WriteRam,
        };
        self.complete(Completion::Failed { operation, error }, now);
    }

    /// The oldest work on memory is done, or fails.
    pub(super) fn do_memory_work(&mut self, error: Option<TransportError>, now: Instant) {
        let Some(operation) = self.host.memory_work.pop_front() else { return };
        if let Some(error) = error {
            let completion = badly(operation, error).expect("it can fail");
            return self.complete(completion, now);
        }
        let completion = match operation {
            Operation::RegisterMemory { region, block, offset, length, .. } => {
                self.host.register(region, block, offset, length);
                Completion::MemoryRegistered { region, rkey: rkey(region) }
            }
            Operation::DeregisterMemory { region } => {
                self.host.deregister(region);
                Completion::MemoryDeregistered { region }
            }
            Operation::ScanRam { block, offset, length } => {
                let pages = self.host.pages_touched(block, offset.get(), length);
                let zero = pages.iter().all(|page| *page == 0);
                Completion::RamScanned { block, offset, zero }
            }
            Operation::ZeroRam { block, offset, length } => {
                self.host.pages_touched(block, offset.get(), length).fill(0);
                Completion::RamZeroed { block, offset }
            }
            other => panic!("{other:?} is no work on memory"),
        };
        self.complete(completion, now);
    }
}
