//! From a machine's order to the link.

use core::time::Duration;
use std::sync::Arc;

use rdma_migration_protocol::limits::SENDS_OUTSTANDING_MAX;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    FailedOperation, Operation, ReceiveBuffer, TransportError, WriteRam,
};
use rdma_migration_protocol::wire::{Header, Kind};

use super::connection::ConnectionState;
use super::{Event, Fabric, Report, Seen};
use crate::fault::{Corruption, Effect, Site};
use crate::memory::Run;
use crate::queue_pair::{Fate, Payload, State, Transmission};
use crate::region::Life;
use crate::side::Side;
use crate::violation::Breach;

/// A kind that no version of the protocol has.
const NO_KIND: u32 = 77;

/// One more than a message may repeat its command.
const REPEAT_TOO_LARGE: u32 = 4097;

/// The end of time.
const FOR_EVER: Instant = Instant::from_nanoseconds(u64::MAX);

impl Fabric {
    pub(crate) fn issue(&mut self, side: Side, operation: Operation) {
        match self.striker.pass(Site::Operation(side)) {
            Some(Effect::BreakQueuePair(error)) => self.enter_error(side, error),
            Some(Effect::DropConnection) => self.drop_connection(),
            _ => {}
        }
        match operation {
            Operation::Connect { private_data } => self.connect(side, private_data),
            Operation::Accept { private_data } => self.accept(side, private_data),
            Operation::Reject => self.reject(side),
            Operation::Disconnect => self.disconnect(side),
            Operation::PostReceive { buffer } => self.post_receive(side, buffer),
            Operation::Send { length } => self.send(side, length),
            Operation::WriteRam(write) => self.write(side, write),
            Operation::ScanRam { block, offset, length } => {
                self.scan(side, Run { block, offset, length });
            }
            Operation::ZeroRam { block, offset, length } => {
                self.zero(side, Run { block, offset, length });
            }
            Operation::RegisterMemory { region, block, offset, length, access } => {
                self.register(side, region, Run { block, offset, length }, access, operation);
            }
            Operation::DeregisterMemory { region } => self.deregister(side, region),
        }
    }

    fn post_receive(&mut self, side: Side, buffer: ReceiveBuffer) {
        let depth = self.config.receive_queue_depth;
        let endpoint = self.endpoints.of_mut(side);
        let closed = endpoint.connection == ConnectionState::Closed;
        let state = endpoint.queue_pair.state;
        let posted = endpoint.queue_pair.receives.len();
        let failed = FailedOperation::Receive { buffer };
        let breach = match endpoint.slot_mut(buffer) {
            _ if closed => Breach::AfterDisconnect(Operation::PostReceive { buffer }),
            None => Breach::UnknownReceiveBuffer(buffer),
            Some(slot) if slot.seen == Seen::Posted => Breach::ReceivePostedTwice(buffer),
            Some(_) if posted >= depth => Breach::ReceiveQueueFull { depth },
            Some(slot) => {
                slot.bytes.clear();
                if state == State::Error {
                    slot.seen = Seen::Empty;
                    let flushed = Report::Failed(failed, TransportError::Flushed);
                    return self.report(side, flushed);
                }
                return self.post_good_receive(side, buffer);
            }
        };
        let error = match breach {
            Breach::ReceiveQueueFull { .. } => TransportError::QueueFull,
            _ => TransportError::LocalQueuePair,
        };
        self.refuse(side, breach, failed, error);
    }

    fn post_good_receive(&mut self, side: Side, buffer: ReceiveBuffer) {
        let effect = self.striker.pass(Site::Receive(side));
        if let Some(Effect::Fail(error)) = effect {
            return self
                .report_local(side, Report::Failed(FailedOperation::Receive { buffer }, error));
        }
        let endpoint = self.endpoints.of_mut(side);
        endpoint.queue_pair.receives.push_back(buffer);
        if let Some(slot) = endpoint.slot_mut(buffer) {
            slot.seen = Seen::Posted;
            slot.fails = match effect {
                Some(Effect::Fate(Fate::FailsHere(error))) => Some(error),
                _ => None,
            };
        }
    }

    fn send(&mut self, side: Side, length: usize) {
        let endpoint = self.endpoints.of_mut(side);
        let outstanding = endpoint.queue_pair.sends_outstanding();
        let Some(bytes) = endpoint.send_buffer.get_mut(..length).filter(|bytes| !bytes.is_empty())
        else {
            let breach = Breach::SendLength { bytes: length };
            return self.refuse(side, breach, FailedOperation::Send, TransportError::LocalLength);
        };
        let message = Self::copy_message(bytes);
        // Whoever relies on an old message still being there finds this.
        bytes.fill(0xa5);
        if outstanding >= SENDS_OUTSTANDING_MAX {
            self.breach(side, Breach::TooManySends { outstanding });
        }
        if !self.may_post(side, Operation::Send { length }, FailedOperation::Send) {
            return;
        }
        let effect = self.striker.pass(Site::Send(side));
        if let Some(Effect::Fail(error)) = effect {
            return self.report_local(side, Report::Failed(FailedOperation::Send, error));
        }
        self.spend_credit(side, &message);
        let (message, fate) = match effect {
            Some(Effect::Fate(fate)) => (message, fate),
            Some(Effect::Corrupt(corruption)) => (spoil(&message, corruption), Fate::Carried),
            _ => (message, Fate::Carried),
        };
        if effect == Some(Effect::Silence) {
            self.endpoints.of_mut(side).silent = true;
        }
        let endpoint = self.endpoints.of_mut(side);
        let sequence = endpoint.queue_pair.post(Payload::Message(message), fate, false);
        endpoint.latest_send = Some(sequence);
        if effect == Some(Effect::InjectError) {
            self.inject_error(side);
        }
        self.pump(side);
    }

    /// One READY pays for one command; ERROR is free.
    fn spend_credit(&mut self, side: Side, message: &[u8]) {
        let Ok(Header { kind, .. }) = Header::parse(message) else { return };
        if side == Side::Destination || kind == Kind::Error {
            return;
        }
        let unused = &mut self.endpoints.source.unused_ready;
        if let Some(left) = unused.checked_sub(1) {
            *unused = left;
        } else {
            self.breach(side, Breach::CommandWithoutReady(kind));
        }
    }

    /// The side's program sends ERROR without its machine knowing.
    fn inject_error(&mut self, side: Side) {
        let header = Header { payload_bytes: 0, kind: Kind::Error, repeat: 1 };
        let message = Self::copy_message(&header.to_bytes());
        let queue_pair = &mut self.endpoints.of_mut(side).queue_pair;
        queue_pair.post(Payload::Message(message), Fate::Carried, true);
    }

    fn write(&mut self, side: Side, write: WriteRam) {
        let failed = FailedOperation::WriteRam;
        if write.length == 0 {
            return self.refuse(side, Breach::EmptyWrite, failed, TransportError::LocalLength);
        }
        if !self.may_post(side, Operation::WriteRam(write), failed) {
            return;
        }
        let fate = match self.striker.pass(Site::Write) {
            Some(Effect::Fail(error)) => {
                return self.report_local(side, Report::Failed(failed, error));
            }
            Some(Effect::Fate(fate)) => fate,
            _ => Fate::Carried,
        };
        let queue_pair = &mut self.endpoints.of_mut(side).queue_pair;
        queue_pair.post(Payload::Write(write), fate, false);
        self.pump(side);
    }

    /// Whether the send queue takes one more request; if not, the request is answered.
    fn may_post(&mut self, side: Side, operation: Operation, failed: FailedOperation) -> bool {
        let depth = self.config.send_queue_depth;
        let endpoint = self.endpoints.of(side);
        let (breach, error) = match (endpoint.connection, endpoint.queue_pair.state) {
            (ConnectionState::Closed, _) => {
                (Breach::AfterDisconnect(operation), TransportError::LocalQueuePair)
            }
            (_, State::Error | State::Destroyed) => {
                self.report(side, Report::Failed(failed, TransportError::Flushed));
                return false;
            }
            // An accepting side may not send: its peer may not take requests yet.
            (state, _) if !may_send(state) => {
                (Breach::NotConnected(operation), TransportError::LocalQueuePair)
            }
            (_, State::Unconnected) => {
                (Breach::NotConnected(operation), TransportError::LocalQueuePair)
            }
            (_, State::Ready) if endpoint.queue_pair.slots >= depth => {
                (Breach::SendQueueFull { depth }, TransportError::QueueFull)
            }
            (_, State::Ready) => return true,
        };
        self.refuse(side, breach, failed, error);
        false
    }

    /// Answers an operation that is against the rules as the library call would.
    pub(super) fn refuse(
        &mut self,
        side: Side,
        breach: Breach,
        failed: FailedOperation,
        error: TransportError,
    ) {
        self.breach(side, breach);
        self.report_local(side, Report::Failed(failed, error));
    }

    /// Puts the next request on the link if the link and the queue pair are free for it.
    pub(super) fn pump(&mut self, side: Side) {
        let queue_pair = &mut self.endpoints.of_mut(side).queue_pair;
        let busy = queue_pair.transmitting.is_some() || queue_pair.stalled;
        if queue_pair.state != State::Ready || busy {
            return;
        }
        let Some(front) = queue_pair.waiting.front_mut() else { return };
        if let Fate::Delayed(delay) = front.fate {
            front.fate = Fate::Carried;
            return self.pause(side, delay);
        }
        let fails = match (front.fate, &front.payload) {
            (Fate::FailsHere(error), _) => Some(error),
            (_, Payload::Write(write)) => {
                let write = *write;
                self.local_protection(side, &write)
            }
            (_, Payload::Message(_)) => None,
        };
        match fails {
            Some(error) => self.fail_front(side, error),
            None => self.transmit(side),
        }
    }

    /// An adapter completes in order: the requests before the failing one come first.
    fn fail_front(&mut self, side: Side, error: TransportError) {
        let queue_pair = &mut self.endpoints.of_mut(side).queue_pair;
        if let Some(front) = queue_pair.waiting.front_mut() {
            front.fate = Fate::FailsHere(error);
        }
        if queue_pair.on_wire.is_empty() {
            self.enter_error(side, error);
        }
    }

    /// The error of a write from memory that its region does not cover.
    fn local_protection(&mut self, side: Side, write: &WriteRam) -> Option<TransportError> {
        let run = Run { block: write.block, offset: write.offset, length: write.length };
        let region = self.endpoints.of(side).regions.get(write.region);
        let covered = region.is_some_and(|region| {
            region.life == Life::Registered
                && region.run.block == run.block
                && region.run.offset <= run.offset
                && run.end().is_some_and(|end| region.run.end().is_some_and(|last| end <= last))
        });
        if covered {
            return None;
        }
        self.breach(side, Breach::LocalBufferNotRegistered(write.region));
        Some(TransportError::LocalProtection)
    }

    fn transmit(&mut self, side: Side) {
        let now = self.now();
        let queue_pair = &mut self.endpoints.of_mut(side).queue_pair;
        let Some(mut request) = queue_pair.waiting.pop_front() else { return };
        request.transmissions += 1;
        request.sent_at = now;
        let departs_at = now.after(self.config.cost.wire_time(request.payload.bytes()));
        queue_pair.on_wire.push_back(request.clone());
        queue_pair.transmitting = Some(Transmission { request, started_at: now });
        queue_pair.ticket += 1;
        let ticket = queue_pair.ticket;
        self.agenda.add(departs_at, Event::Departed { from: side, ticket });
    }

    pub(super) fn departed(&mut self, from: Side, ticket: u64) {
        let now = self.now();
        let queue_pair = &mut self.endpoints.of_mut(from).queue_pair;
        if queue_pair.ticket != ticket {
            return;
        }
        let Some(transmission) = queue_pair.transmitting.take() else { return };
        let sequence = transmission.request.sequence;
        if let Some(request) =
            queue_pair.on_wire.iter_mut().rev().find(|one| one.sequence == sequence)
        {
            request.sent_at = now;
        }
        let copies = self.copies_that_arrive(from, &transmission);
        let one_way = self.config.cost.one_way();
        self.recorder.departed(from, &transmission, now, one_way, copies);
        for _ in 0..copies {
            let transmission = Box::new(transmission.clone());
            let event = Event::Arrived { to: from.peer(), transmission };
            self.agenda.add_after(one_way, event);
        }
        if copies == 0 {
            self.arm_timer(from);
        }
        self.pump(from);
    }

    fn copies_that_arrive(&mut self, from: Side, transmission: &Transmission) -> usize {
        let is_last = from == Side::Source && self.last_send == Some(transmission.request.sequence);
        let last = if is_last { self.striker.pass(Site::LastSend) } else { None };
        let mut copies = 1;
        for effect in self.striker.pass(Site::Departure).into_iter().chain(last) {
            match effect {
                Effect::CutLink(duration) => self.cut_link(duration),
                Effect::CutLinkFrom(side) => *self.cut_until.of_mut(side) = Some(FOR_EVER),
                Effect::Lose => copies = 0,
                Effect::Duplicate => copies = 2,
                _ => {}
            }
        }
        if self.is_cut(from) || transmission.request.fate == Fate::Lost { 0 } else { copies }
    }

    pub(super) fn cut_link(&mut self, duration: Option<Duration>) {
        let until = duration.map_or(FOR_EVER, |duration| self.now().after(duration));
        for side in Side::BOTH {
            let cut_until = self.cut_until.of_mut(side);
            *cut_until = Some(cut_until.map_or(until, |earlier| earlier.max(until)));
        }
    }

    pub(super) fn pause(&mut self, side: Side, delay: Duration) {
        self.endpoints.of_mut(side).queue_pair.stalled = true;
        self.agenda.add_after(delay, Event::PauseOver { side });
    }

    pub(super) fn pause_over(&mut self, side: Side) {
        self.endpoints.of_mut(side).queue_pair.stalled = false;
        self.pump(side);
    }
}

const fn may_send(state: ConnectionState) -> bool {
    matches!(state, ConnectionState::Connected | ConnectionState::Lost)
}

/// A message as a program with a bug would have sent it.
fn spoil(message: &[u8], corruption: Corruption) -> Arc<[u8]> {
    let mut spoilt = message.to_vec();
    match corruption {
        Corruption::Kind => {
            if let Some(kind) = spoilt.get_mut(4..8) {
                kind.copy_from_slice(&NO_KIND.to_be_bytes());
            }
        }
        Corruption::Length => {
            if let Some(length) = spoilt.first_chunk_mut::<4>() {
                *length = u32::from_be_bytes(*length).wrapping_add(1).to_be_bytes();
            }
        }
        Corruption::Repeat => {
            if let Some(repeat) = spoilt.get_mut(8..12) {
                repeat.copy_from_slice(&REPEAT_TOO_LARGE.to_be_bytes());
            }
        }
        Corruption::Truncated => spoilt.truncate((message.len() / 2).max(1)),
    }
    Arc::from(spoilt)
}
