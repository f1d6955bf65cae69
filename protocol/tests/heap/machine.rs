//! A machine whose heap is counted.

use rdma_migration_protocol::address::Rkey;
use rdma_migration_protocol::limits::CONTROL_BUFFER_BYTES;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, Machine, Operation, ReceiveBuffer,
};
use rdma_migration_protocol::wire::{Header, Kind, Message};
use std::collections::VecDeque;

const NOW: Instant = Instant::ORIGIN;
const PRIVATE_DATA: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 0];

/// A machine for which everything goes well at once, and the most that it ever had on the heap.
pub(crate) struct Peak<M> {
    machine: M,
    held: i64,
    peak: i64,
    posted: VecDeque<ReceiveBuffer>,
    send_buffer: Vec<u8>,
    sent: Option<Kind>,
}

impl<M: Machine> Peak<M> {
    pub(crate) fn new(machine: M) -> Self {
        let send_buffer = vec![0; CONTROL_BUFFER_BYTES];
        Self { machine, held: 0, peak: 0, posted: VecDeque::new(), send_buffer, sent: None }
    }

    pub(crate) fn peak(&self) -> usize {
        usize::try_from(self.peak).unwrap()
    }

    /// The last message but READY that it sent.
    pub(crate) fn last_sent(&self) -> Option<Kind> {
        self.sent
    }

    /// Calls the machine, and then does what it orders.
    pub(crate) fn call<R>(&mut self, call: impl FnOnce(&mut M) -> R) {
        self.count(call);
        self.poll();
    }

    fn count<R>(&mut self, call: impl FnOnce(&mut M) -> R) -> R {
        let (machine, mut result) = (&mut self.machine, None);
        let used = allocation_counter::measure(|| result = Some(call(machine)));
        self.peak = self.peak.max(self.held + i64::try_from(used.bytes_max).unwrap());
        self.held += used.bytes_current;
        result.unwrap()
    }

    pub(crate) fn request(&mut self) {
        let private_data = &PRIVATE_DATA;
        self.call(|machine| {
            machine.handle_connection(ConnectionEvent::Requested { private_data }, NOW);
        });
        self.establish();
    }

    pub(crate) fn establish(&mut self) {
        let private_data = &PRIVATE_DATA;
        self.call(|machine| {
            machine.handle_connection(ConnectionEvent::Established { private_data }, NOW);
        });
    }

    pub(crate) fn receive(&mut self, message: &Message<'_>) {
        self.receive_without_polling(message);
        self.poll();
    }

    pub(crate) fn receive_without_polling(&mut self, message: &Message<'_>) {
        let mut bytes = vec![0; message.encoded_len()];
        message.encode(&mut bytes).unwrap();
        let buffer = self.posted.pop_front().expect("a receive is posted");
        let completion = Completion::Received { buffer, bytes: &bytes };
        self.count(|machine| machine.handle_completion(completion, NOW));
    }

    fn poll(&mut self) {
        let mut buffer = core::mem::take(&mut self.send_buffer);
        // Everything is ordered before anything is answered: then most is remembered at once.
        let mut orders = Vec::new();
        loop {
            while let Some(order) = self.count(|machine| machine.poll_operation(&mut buffer, NOW)) {
                orders.push(order);
                if let Operation::Send { length } = order {
                    let kind = Header::parse(&buffer[..length]).unwrap().kind;
                    self.sent = Some(kind).filter(|kind| *kind != Kind::Ready).or(self.sent);
                }
            }
            if orders.is_empty() {
                break;
            }
            for order in core::mem::take(&mut orders) {
                self.answer(order);
            }
        }
        self.send_buffer = buffer;
        while self.count(Machine::poll_event).is_some() {}
    }

    fn answer(&mut self, order: Operation) {
        let completion = match order {
            Operation::PostReceive { buffer } => return self.posted.push_back(buffer),
            Operation::Send { .. } => Completion::Sent,
            Operation::RegisterMemory { region, .. } => {
                Completion::MemoryRegistered { region, rkey: Rkey::new(1) }
            }
            Operation::DeregisterMemory { region } => Completion::MemoryDeregistered { region },
            Operation::ZeroRam { block, offset, .. } => Completion::RamZeroed { block, offset },
            Operation::ScanRam { block, offset, .. } => {
                Completion::RamScanned { block, offset, zero: false }
            }
            Operation::WriteRam(write) if write.signaled => Completion::RamWritten,
            Operation::WriteRam(_)
            | Operation::Connect { .. }
            | Operation::Accept { .. }
            | Operation::Reject => return,
            Operation::Disconnect => Completion::Disconnected,
        };
        self.count(|machine| machine.handle_completion(completion, NOW));
    }
}
