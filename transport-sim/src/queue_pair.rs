//! One end of a reliable connection: its queues, its sequence numbers, its state.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    FailedOperation, ReceiveBuffer, RegionId, TransportError, WriteRam,
};

/// Bytes of payload in one packet: the path's maximum transfer unit.
pub const PATH_MTU_BYTES: u64 = 4096;

/// Packet sequence numbers have 24 bits.
pub(crate) const SEQUENCE_MASK: u32 = 0x00ff_ffff;

/// What a queue pair can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Not connected. Receives may be posted.
    Unconnected,
    /// Connected.
    Ready,
    /// Failed or being closed: whatever is posted is flushed.
    Error,
    /// No more.
    Destroyed,
}

/// What a request carries.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Message(Arc<[u8]>),
    Write(WriteRam),
}

impl Payload {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Message(bytes) => crate::memory::to_u64(bytes.len()),
            Self::Write(write) => write.length,
        }
    }
}

/// What becomes of a request, where a fault decides otherwise than usual.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Fate {
    /// It is carried out.
    #[default]
    Carried,
    /// Every transmission of it is lost.
    Lost,
    /// Its adapter fails it without sending anything.
    FailsHere(TransportError),
    /// The peer's adapter refuses it; the status is the one that the requester sees.
    Refused(TransportError),
    /// The peer's adapter takes and acknowledges it, the peer's program never sees it.
    Swallowed,
    /// It leaves that much later.
    Delayed(Duration),
}

/// A posted send or write.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Counts the requests of this queue pair.
    pub(crate) sequence: u64,
    /// Number of its first packet, 24 bits.
    pub(crate) first_packet: u32,
    /// Packets that it takes.
    pub(crate) packets: u32,
    pub(crate) payload: Payload,
    pub(crate) fate: Fate,
    /// Whether the machine that owns the queue pair knows of it.
    pub(crate) injected: bool,
    pub(crate) transmissions: u32,
    /// When its last transmission ended.
    pub(crate) sent_at: Instant,
}

impl Request {
    /// How a failure of it is reported.
    pub(crate) const fn operation(&self) -> FailedOperation {
        match self.payload {
            Payload::Message(_) => FailedOperation::Send,
            Payload::Write(_) => FailedOperation::WriteRam,
        }
    }

    fn writes_from(&self, region: RegionId) -> bool {
        matches!(&self.payload, Payload::Write(write) if write.region == region)
    }
}

/// One transmission of a request, on its way.
#[derive(Clone, Debug)]
pub(crate) struct Transmission {
    pub(crate) request: Request,
    pub(crate) started_at: Instant,
}

/// A request that was acknowledged, and the slots of the send queue that its report frees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Retired {
    pub(crate) done: Done,
    pub(crate) slots: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Done {
    Sent,
    RamWritten,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct QueuePair {
    pub(crate) state: State,
    /// Posted and not on the wire.
    pub(crate) waiting: VecDeque<Request>,
    /// Put on the wire and not acknowledged.
    pub(crate) on_wire: VecDeque<Request>,
    /// What is being put on the wire now.
    pub(crate) transmitting: Option<Transmission>,
    /// Changes whenever what is being transmitted is given up, so that its end is not heeded.
    pub(crate) ticket: u64,
    /// Whether transmission pauses.
    pub(crate) stalled: bool,
    /// Repetitions since the last progress.
    pub(crate) retries: u64,
    /// Whether a check for a missing acknowledgement is on the agenda.
    pub(crate) timer_armed: bool,
    /// Posted receives, the next one to be filled first.
    pub(crate) receives: VecDeque<ReceiveBuffer>,
    /// The request of the peer that is due.
    pub(crate) expected: u64,
    /// Whether the peer was told that a request is missing.
    pub(crate) gap_reported: bool,
    /// Requests of the peer that were carried out, 24 bits.
    pub(crate) message_number: u32,
    /// Slots of the send queue that are in use until a completion is polled.
    pub(crate) slots: usize,
    next_sequence: u64,
    next_packet: u32,
    /// Acknowledged unsignaled writes that no signaled write has reported.
    unreported: usize,
    /// Slots of acknowledged unsignaled writes that no completion has freed.
    silent_slots: usize,
}

impl QueuePair {
    pub(crate) fn new(first_packet: u32) -> Self {
        Self {
            state: State::Unconnected,
            waiting: VecDeque::new(),
            on_wire: VecDeque::new(),
            transmitting: None,
            ticket: 0,
            stalled: false,
            retries: 0,
            timer_armed: false,
            receives: VecDeque::new(),
            expected: 0,
            gap_reported: false,
            message_number: 0,
            slots: 0,
            next_sequence: 0,
            next_packet: first_packet & SEQUENCE_MASK,
            unreported: 0,
            silent_slots: 0,
        }
    }

    /// Takes requests from here on, unless it has failed already.
    pub(crate) fn connect(&mut self) {
        if self.state == State::Unconnected {
            self.state = State::Ready;
        }
    }

    /// Number of the packet that the next new request starts with.
    pub(crate) const fn next_packet(&self) -> u32 {
        self.next_packet
    }

    /// Sends that the machine posted and that are not answered.
    pub(crate) fn sends_outstanding(&self) -> usize {
        let requests = self.on_wire.iter().chain(&self.waiting);
        let send = |request: &&Request| {
            !request.injected && matches!(request.payload, Payload::Message(_))
        };
        requests.filter(send).count()
    }

    /// Whether a write from `region` is posted and not acknowledged.
    pub(crate) fn writes_from(&self, region: RegionId) -> bool {
        self.on_wire.iter().chain(&self.waiting).any(|request| request.writes_from(region))
    }

    /// Adds a request to the send queue and returns its number.
    pub(crate) fn post(&mut self, payload: Payload, fate: Fate, injected: bool) -> u64 {
        let packets = payload.bytes().div_ceil(PATH_MTU_BYTES).max(1);
        let packets = u32::try_from(packets).unwrap_or(u32::MAX);
        let request = Request {
            sequence: self.next_sequence,
            first_packet: self.next_packet,
            packets,
            payload,
            fate,
            injected,
            transmissions: 0,
            sent_at: Instant::ORIGIN,
        };
        let sequence = request.sequence;
        self.next_sequence += 1;
        self.next_packet = self.next_packet.wrapping_add(packets) & SEQUENCE_MASK;
        self.slots += usize::from(!injected);
        self.waiting.push_back(request);
        sequence
    }

    /// Takes every request up to and including `sequence` off the queue, acknowledged.
    pub(crate) fn retire(&mut self, sequence: u64) -> Vec<Retired> {
        let mut retired = Vec::new();
        while let Some(request) = self.take_acknowledged(sequence) {
            self.retries = 0;
            let done = match request.payload {
                _ if request.injected => continue,
                Payload::Message(_) => Done::Sent,
                Payload::Write(write) if write.signaled => Done::RamWritten,
                Payload::Write(_) => {
                    self.unreported += 1;
                    self.silent_slots += 1;
                    continue;
                }
            };
            if done == Done::RamWritten {
                self.unreported = 0;
            }
            retired.push(Retired { done, slots: 1 + core::mem::take(&mut self.silent_slots) });
        }
        retired
    }

    /// Also finds requests that wait to be repeated: an acknowledgement may still be under way.
    fn take_acknowledged(&mut self, sequence: u64) -> Option<Request> {
        let acknowledged = |request: &Request| request.sequence <= sequence;
        if self.on_wire.front().is_some_and(acknowledged) {
            return self.on_wire.pop_front();
        }
        let repeated = |request: &Request| request.transmissions > 0 && acknowledged(request);
        if self.on_wire.is_empty() && self.waiting.front().is_some_and(repeated) {
            return self.waiting.pop_front();
        }
        None
    }

    /// Puts everything that is not acknowledged back to be transmitted again.
    pub(crate) fn go_back(&mut self) {
        self.give_up_transmission();
        while let Some(request) = self.on_wire.pop_back() {
            self.waiting.push_front(request);
        }
    }

    /// Enters the error state: what was posted fails, the oldest request (without one, the oldest
    /// receive) with `first`, all others flushed. Returns the failures in order, each with the slots that its report frees.
    pub(crate) fn fail(&mut self, first: TransportError) -> Vec<(FailedOperation, TransportError)> {
        self.state = State::Error;
        self.give_up_transmission();
        let flushed = |operation| (operation, TransportError::Flushed);
        let unreported = core::mem::take(&mut self.unreported);
        let mut failures = vec![flushed(FailedOperation::WriteRam); unreported];
        self.slots = self.slots.saturating_sub(core::mem::take(&mut self.silent_slots));
        let mut error = first;
        for request in self.on_wire.drain(..).chain(self.waiting.drain(..)) {
            if !request.injected {
                failures.push((request.operation(), error));
                self.slots = self.slots.saturating_sub(1);
            }
            error = TransportError::Flushed;
        }
        for buffer in self.receives.drain(..) {
            failures.push((FailedOperation::Receive { buffer }, error));
            error = TransportError::Flushed;
        }
        failures
    }

    /// Unsignaled writes that no signaled write has followed.
    pub(crate) fn unsignaled_left(&self) -> usize {
        let mut left = self.unreported;
        for request in self.on_wire.iter().chain(&self.waiting) {
            match &request.payload {
                Payload::Write(write) if write.signaled => left = 0,
                Payload::Write(_) => left += 1,
                Payload::Message(_) => {}
            }
        }
        left
    }

    fn give_up_transmission(&mut self) {
        self.transmitting = None;
        self.ticket += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, Rkey};

    fn write(signaled: bool) -> Payload {
        Payload::Write(WriteRam {
            region: RegionId(3),
            block: BlockIndex::new(0),
            offset: BlockOffset::new(0),
            length: 2 * PATH_MTU_BYTES + 1,
            remote_address: HostAddress::new(0),
            rkey: Rkey::new(1),
            signaled,
        })
    }

    fn on_wire(payloads: impl IntoIterator<Item = Payload>) -> QueuePair {
        let mut queue_pair = QueuePair::new(0x00ff_fffe);
        queue_pair.state = State::Ready;
        for payload in payloads {
            queue_pair.post(payload, Fate::Carried, false);
        }
        queue_pair.on_wire = core::mem::take(&mut queue_pair.waiting);
        queue_pair
    }

    fn send() -> Payload {
        Payload::Message(Arc::from(&[0; 16][..]))
    }

    #[test]
    fn packet_numbers_count_packets_and_wrap_at_24_bits() {
        let queue_pair = on_wire([write(true), send()]);
        let numbers: Vec<_> = queue_pair.on_wire.iter().map(|one| one.first_packet).collect();
        assert_eq!(numbers, [0x00ff_fffe, 1]);
        assert_eq!(queue_pair.next_packet(), 2);
    }

    #[test]
    fn a_signaled_write_reports_those_before_it_and_a_send_frees_their_slots() {
        let mut queue_pair = on_wire([write(false), send(), write(false), write(true)]);
        assert_eq!(queue_pair.retire(1), [Retired { done: Done::Sent, slots: 2 }]);
        assert_eq!(queue_pair.unsignaled_left(), 0);
        assert_eq!(queue_pair.retire(9), [Retired { done: Done::RamWritten, slots: 2 }]);
    }

    #[test]
    fn a_failure_answers_everything_that_was_posted_in_order() {
        let mut queue_pair = on_wire([write(false), write(false), send()]);
        queue_pair.receives.push_back(ReceiveBuffer(2));
        assert!(queue_pair.retire(0).is_empty());
        let flushed = TransportError::Flushed;
        let buffer = ReceiveBuffer(2);
        assert_eq!(
            queue_pair.fail(TransportError::RemoteAccess),
            [
                (FailedOperation::WriteRam, flushed),
                (FailedOperation::WriteRam, TransportError::RemoteAccess),
                (FailedOperation::Send, flushed),
                (FailedOperation::Receive { buffer }, flushed),
            ]
        );
        assert_eq!(queue_pair.slots, 0);
    }

    #[test]
    fn a_late_acknowledgement_spares_the_repetition() {
        let mut queue_pair = on_wire([send(), send()]);
        for request in &mut queue_pair.on_wire {
            request.transmissions = 1;
        }
        queue_pair.go_back();
        assert_eq!(queue_pair.retire(0).len(), 1);
        assert_eq!(queue_pair.waiting.len(), 1);
    }

    #[test]
    fn unsignaled_writes_at_the_end_are_counted() {
        let queue_pair = on_wire([write(false), write(true), write(false), write(false)]);
        assert_eq!(queue_pair.unsignaled_left(), 2);
    }
}
