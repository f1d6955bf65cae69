//! What the machine orders, and whether it may.

use rdma_migration_protocol::limits::{RECEIVE_BUFFERS, SENDS_OUTSTANDING_MAX};
use rdma_migration_protocol::transport::{Operation, RegionId};
use rdma_migration_protocol::wire::{Header, Kind};

use super::{Driver, ORDERS_MAX, Subject};
use crate::guest::{MIB, assert_inside};
use crate::registering::chunks;

impl<M: Subject> Driver<'_, M> {
    pub(super) fn poll(&mut self) {
        let mut orders = 0;
        loop {
            let (machine, now, buffer) = (&mut self.machine, self.now, &mut *self.send_buffer);
            let Some(operation) = self.heap.during(|| machine.poll_operation(buffer, now)) else {
                break;
            };
            orders += 1;
            assert!(orders <= ORDERS_MAX, "no end of orders: {operation:?}");
            self.note(operation);
        }
        if self.watches() {
            let before = self.machine.clone();
            assert_eq!(self.machine.poll_operation(self.send_buffer, self.now), None);
            assert_eq!(self.machine, before, "polling in vain changes nothing");
        }
        while let Some(event) = self.machine.poll_event() {
            assert_eq!(self.closed, None, "{event:?} after the end");
            self.closed = M::closed(&event).cloned();
        }
        self.note_end();
    }

    fn note(&mut self, operation: Operation) {
        assert_eq!(self.closed, None, "{operation:?} after the end");
        match operation {
            Operation::PostReceive { buffer } => {
                assert!(usize::from(buffer.0) < RECEIVE_BUFFERS);
                assert!(!self.posted.contains(&buffer), "{buffer:?} posted twice");
                self.posted.push(buffer);
                return;
            }
            Operation::Connect { .. } | Operation::Accept { .. } => {
                self.connecting = true;
                return;
            }
            Operation::Reject => return,
            Operation::Send { length } => {
                let sends = self.open.iter().filter(|open| matches!(open, Operation::Send { .. }));
                let earlier = sends.count();
                assert!(earlier < SENDS_OUTSTANDING_MAX, "a send beside {earlier} others");
                self.note_message(length);
            }
            Operation::WriteRam(write) => {
                assert_inside(write.block, write.offset, write.length);
                assert_ne!(write.rkey.get(), 0);
                assert!(write.remote_address.has_room_for(write.length));
                assert!(self.strayed || self.is_registered(write.region), "{write:?}");
            }
            Operation::ScanRam { block, offset, length }
            | Operation::ZeroRam { block, offset, length } => assert_inside(block, offset, length),
            Operation::RegisterMemory { region, block, offset, length, .. } => {
                assert_inside(block, offset, length);
                let new = !self.is_registered(region);
                assert!(new || self.strayed, "{region} registered twice");
                if new {
                    self.regions.push((region, length));
                }
                self.assert_pinned();
            }
            Operation::DeregisterMemory { region } => {
                let known = self.is_registered(region);
                assert!(known || self.strayed, "{region} was not registered");
            }
            Operation::Disconnect => {}
        }
        self.open.push(operation);
    }

    fn is_registered(&self, region: RegionId) -> bool {
        self.regions.iter().any(|(held, _)| *held == region)
    }

    fn assert_pinned(&self) {
        let chunks: u64 = self.regions.iter().map(|(_, length)| chunks(*length)).sum();
        let allowed = self.pinned_bytes_max.is_none_or(|bytes_max| chunks * MIB <= bytes_max);
        assert!(allowed || self.strayed, "{chunks} chunks registered at a time");
    }

    fn note_message(&mut self, length: usize) {
        let message = &self.send_buffer[..length];
        let kind = Header::parse(message).expect("a message").kind;
        if M::SENDS_COMMANDS {
            let may = self.ready && self.reply.is_none();
            assert!(may || kind == Kind::Error, "{kind} without a READY");
            assert!(kind == Kind::Error || self.posted.len() == RECEIVE_BUFFERS);
            self.ready = false;
        } else if kind == Kind::Ready {
            assert!(!self.ready, "a second READY");
            assert!(!self.machine.holds_stream(), "READY while stream bytes are held");
            assert!(self.posted.len() >= 2, "READY without a receive for the command");
            self.ready = true;
        }
        self.reply = match kind {
            Kind::RamBlocksRequest => Some(Kind::RamBlocksResult),
            Kind::RegisterRequest => Some(Kind::RegisterResult),
            Kind::UnregisterRequest => Some(Kind::UnregisterFinished),
            _ => None,
        };
    }
}
