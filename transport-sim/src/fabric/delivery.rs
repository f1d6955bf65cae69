//! From the link to a machine: arrivals, acknowledgements, refusals, repetitions, failures.

use core::time::Duration;

use rdma_migration_protocol::address::HostAddress;
use rdma_migration_protocol::transport::{
    Access, FailedOperation, ReceiveBuffer, TransportError, WriteRam,
};

use super::{Event, Fabric, Refusal, Report, Seen, is_ready};
use rdma_migration_protocol::wire::{Header, Kind};

use crate::fault::{Effect, Site};
use crate::memory::Run;
use crate::queue_pair::{Done, Fate, Payload, Request, SEQUENCE_MASK, State, Transmission};
use crate::region::{Key, Region};
use crate::side::Side;
use crate::trace::Answer;
use crate::violation::Breach;

/// The number of retries that stands for "for ever" where a receive is missing.
const FOR_EVER: u8 = 7;

impl Fabric {
    pub(super) fn arrived(&mut self, to: Side, transmission: Transmission) {
        let from = to.peer();
        if !is_ready(self.endpoints.of(to)) {
            return self.arm_timer(from);
        }
        let request = transmission.request;
        let queue_pair = &mut self.endpoints.of_mut(to).queue_pair;
        if request.sequence < queue_pair.expected {
            return self.acknowledge(to, &request);
        }
        if request.sequence > queue_pair.expected {
            if core::mem::replace(&mut queue_pair.gap_reported, true) {
                return;
            }
            return self.answer_refusal(to, &request, Refusal::OutOfSequence);
        }
        match self.carry_out(to, &request) {
            Ok(()) => {
                let queue_pair = &mut self.endpoints.of_mut(to).queue_pair;
                queue_pair.expected += 1;
                queue_pair.gap_reported = false;
                queue_pair.message_number = (queue_pair.message_number + 1) & SEQUENCE_MASK;
                self.acknowledge(to, &request);
            }
            Err(refusal) => {
                self.endpoints.of_mut(to).queue_pair.gap_reported = true;
                self.answer_refusal(to, &request, refusal);
                if matches!(refusal, Refusal::Fatal(_)) {
                    self.enter_error(to, TransportError::Flushed);
                }
            }
        }
    }

    fn carry_out(&mut self, to: Side, request: &Request) -> Result<(), Refusal> {
        match request.fate {
            Fate::Refused(TransportError::ReceiverNotReady) => {
                return Err(Refusal::ReceiverNotReady);
            }
            Fate::Refused(error) => return Err(Refusal::Fatal(error)),
            _ => {}
        }
        match &request.payload {
            Payload::Message(message) => {
                let swallowed =
                    request.fate == Fate::Swallowed || self.endpoints.of(to.peer()).silent;
                if swallowed { Ok(()) } else { self.deliver(to, message) }
            }
            Payload::Write(write) => self.deliver_write(to, write),
        }
    }

    fn deliver(&mut self, to: Side, message: &[u8]) -> Result<(), Refusal> {
        let (bytes, room) = (message.len(), self.config.receive_buffer_bytes);
        let endpoint = self.endpoints.of_mut(to);
        let Some(buffer) = endpoint.queue_pair.receives.pop_front() else {
            self.breach(to.peer(), Breach::SendWithoutReceive { bytes });
            return Err(Refusal::ReceiverNotReady);
        };
        if let Some(error) = endpoint.slot_mut(buffer).and_then(|slot| slot.fails.take()) {
            return Err(self.fail_receive(to, buffer, error));
        }
        if Header::parse(message).is_ok_and(|header| header.kind == Kind::Ready) && bytes <= room {
            endpoint.unused_ready += 1;
            if endpoint.unused_ready > 1 {
                self.breach(to.peer(), Breach::ReadyTwice);
            }
        }
        let endpoint = self.endpoints.of_mut(to);
        if let Some(slot) = endpoint.slot_mut(buffer) {
            slot.seen = Seen::Held;
            slot.bytes.extend_from_slice(message.get(..room).unwrap_or(message));
        }
        if bytes > room {
            self.breach(to.peer(), Breach::SendTooLong { bytes, room });
            let failed = FailedOperation::Receive { buffer };
            self.report(to, Report::Failed(failed, TransportError::LocalLength));
            return Err(Refusal::Fatal(TransportError::RemoteInvalidRequest));
        }
        self.report(to, Report::Received(buffer));
        Ok(())
    }

    /// A receive fails as a message meets it. Returns what the sender is told.
    fn fail_receive(
        &mut self,
        side: Side,
        buffer: ReceiveBuffer,
        error: TransportError,
    ) -> Refusal {
        if let Some(slot) = self.endpoints.of_mut(side).slot_mut(buffer) {
            slot.seen = Seen::Empty;
        }
        self.report(side, Report::Failed(FailedOperation::Receive { buffer }, error));
        Refusal::Fatal(match error {
            TransportError::LocalLength => TransportError::RemoteInvalidRequest,
            _ => TransportError::RemoteOperation,
        })
    }

    /// The one copy by which RAM moves.
    fn deliver_write(&mut self, to: Side, write: &WriteRam) -> Result<(), Refusal> {
        let target = self.granted(to, write).map_err(|breach| {
            self.breach(to.peer(), breach);
            Refusal::Fatal(TransportError::RemoteAccess)
        })?;
        let run = Run { block: write.block, offset: write.offset, length: write.length };
        let (here, there) = self.endpoints.with_peer(to);
        here.memory.write(target, &there.memory, run).map_err(|_differ| {
            self.breach(to.peer(), Breach::BackingsDiffer);
            Refusal::Fatal(TransportError::RemoteOperation)
        })
    }

    /// Where a write lands, if its key grants that.
    fn granted(&self, to: Side, write: &WriteRam) -> Result<Run, Breach> {
        let rkey = write.rkey;
        let endpoint = self.endpoints.of(to);
        let region = match endpoint.regions.find(rkey) {
            Key::Unknown => return Err(Breach::UnknownKey(rkey)),
            Key::TakenBack => return Err(Breach::KeyTakenBack(rkey)),
            Key::Of(region) => region,
        };
        if region.access != Access::RemoteWrite {
            return Err(Breach::WrongAccess(rkey));
        }
        let base = endpoint.memory.host_address(region.run.block);
        base.and_then(|base| target(&region, base, write)).ok_or(Breach::OutsideRegion {
            rkey,
            address: write.remote_address.get(),
            length: write.length,
        })
    }

    fn acknowledge(&mut self, by: Side, request: &Request) {
        let to = by.peer();
        let message_number = self.endpoints.of(by).queue_pair.message_number;
        let lost = self.acknowledgement_is_lost(to, request) || self.is_cut(by);
        self.record_answer(by, request, message_number, Answer::Acknowledged, !lost);
        if lost {
            return self.arm_timer(to);
        }
        let event = Event::Acknowledged { to, sequence: request.sequence };
        self.agenda.add_after(self.config.cost.one_way(), event);
    }

    fn acknowledgement_is_lost(&mut self, to: Side, request: &Request) -> bool {
        let is_last = to == Side::Source && self.last_send == Some(request.sequence);
        if is_last
            && let Some(Effect::CutLink(duration)) =
                self.striker.pass(Site::LastSendAcknowledgement)
        {
            self.cut_link(duration);
        }
        self.striker.pass(Site::Acknowledgement(to)) == Some(Effect::Lose)
    }

    fn answer_refusal(&mut self, by: Side, request: &Request, refusal: Refusal) {
        let to = by.peer();
        let queue_pair = &self.endpoints.of(by).queue_pair;
        let message_number = queue_pair.message_number;
        let lost = self.is_cut(by);
        let answer = Answer::Refused { refusal, missing: self.missing_packet(by, request) };
        self.record_answer(by, request, message_number, answer, !lost);
        if lost {
            return self.arm_timer(to);
        }
        let sequence = match refusal {
            Refusal::OutOfSequence => self.endpoints.of(by).queue_pair.expected,
            Refusal::ReceiverNotReady | Refusal::Fatal(_) => request.sequence,
        };
        let event = Event::Refused { to, sequence, refusal };
        self.agenda.add_after(self.config.cost.one_way(), event);
        if refusal == Refusal::OutOfSequence {
            self.arm_timer(to);
        }
    }

    /// The number of the packet that a side waits for, which is its peer's oldest unacknowledged.
    fn missing_packet(&self, by: Side, request: &Request) -> u32 {
        let queue_pair = &self.endpoints.of(by.peer()).queue_pair;
        let expected = self.endpoints.of(by).queue_pair.expected;
        let mut unacknowledged = queue_pair.on_wire.iter().chain(&queue_pair.waiting);
        let missing = unacknowledged.find(|one| one.sequence == expected);
        missing.unwrap_or(request).first_packet
    }

    fn record_answer(
        &mut self,
        by: Side,
        request: &Request,
        message_number: u32,
        answer: Answer,
        arrives: bool,
    ) {
        let last_packet = request.first_packet.wrapping_add(request.packets - 1) & SEQUENCE_MASK;
        let seen = self.seen(arrives);
        self.recorder.answer(by, last_packet, message_number, answer, seen);
    }

    pub(super) fn acknowledged(&mut self, to: Side, sequence: u64) {
        if !is_ready(self.endpoints.of(to)) {
            return;
        }
        for retired in self.endpoints.of_mut(to).queue_pair.retire(sequence) {
            let report = match retired.done {
                Done::Sent => Report::Sent { slots: retired.slots },
                Done::RamWritten => Report::RamWritten { slots: retired.slots },
            };
            self.report(to, report);
        }
        self.pump(to);
    }

    pub(super) fn refused(&mut self, to: Side, sequence: u64, refusal: Refusal) {
        if !is_ready(self.endpoints.of(to)) {
            return;
        }
        // What came before the refused request was carried out.
        if let Some(before) = sequence.checked_sub(1) {
            self.acknowledged(to, before);
        }
        match refusal {
            Refusal::Fatal(error) => self.enter_error(to, error),
            Refusal::OutOfSequence => self.repeat_from(to),
            Refusal::ReceiverNotReady => self.receiver_not_ready(to),
        }
    }

    fn receiver_not_ready(&mut self, side: Side) {
        let retries = *self.config.receiver_not_ready_retries.of(side);
        let queue_pair = &mut self.endpoints.of_mut(side).queue_pair;
        if retries < FOR_EVER && queue_pair.retries >= u64::from(retries) {
            return self.enter_error(side, TransportError::ReceiverNotReady);
        }
        queue_pair.retries += 1;
        queue_pair.go_back();
        let pause = Duration::from_nanos(self.config.cost.receiver_not_ready_pause.value);
        self.pause(side, pause);
    }

    fn repeat_from(&mut self, side: Side) {
        self.endpoints.of_mut(side).queue_pair.go_back();
        self.pump(side);
    }

    /// Looks later for an acknowledgement that is known not to come. (An adapter always looks; where
    /// the acknowledgement does come, looking changes nothing.)
    pub(super) fn arm_timer(&mut self, side: Side) {
        let queue_pair = &mut self.endpoints.of_mut(side).queue_pair;
        if !core::mem::replace(&mut queue_pair.timer_armed, true) {
            let delay = Duration::from_nanos(self.config.cost.acknowledgement_timeout.value);
            self.agenda.add_after(delay, Event::RetryDue { side });
        }
    }

    pub(super) fn retry_due(&mut self, side: Side) {
        let timeout = Duration::from_nanos(self.config.cost.acknowledgement_timeout.value);
        let (now, retries_max) = (self.now(), self.config.cost.retries.value);
        let queue_pair = &mut self.endpoints.of_mut(side).queue_pair;
        queue_pair.timer_armed = false;
        if queue_pair.state != State::Ready {
            return;
        }
        let Some(oldest) = queue_pair.on_wire.front() else {
            if !queue_pair.waiting.is_empty() {
                self.arm_timer(side);
            }
            return;
        };
        let sequence = oldest.sequence;
        let transmitting = queue_pair.transmitting.as_ref();
        let leaving = transmitting.is_some_and(|one| one.request.sequence == sequence);
        if leaving || now < oldest.sent_at.after(timeout) {
            return self.arm_timer(side);
        }
        queue_pair.retries += 1;
        if queue_pair.retries > retries_max {
            return self.enter_error(side, TransportError::RetryExceeded);
        }
        self.repeat_from(side);
        self.arm_timer(side);
    }

    /// The queue pair fails: everything on it is answered, the oldest request with `first`.
    pub(super) fn enter_error(&mut self, side: Side, first: TransportError) {
        let endpoint = self.endpoints.of_mut(side);
        for (operation, error) in endpoint.queue_pair.fail(first) {
            if let FailedOperation::Receive { buffer } = operation
                && let Some(slot) = self.endpoints.of_mut(side).slot_mut(buffer)
            {
                slot.seen = Seen::Empty;
            }
            self.report(side, Report::Failed(operation, error));
        }
    }
}

/// The run that a write covers, if it is wholly inside the region.
fn target(region: &Region, base: HostAddress, write: &WriteRam) -> Option<Run> {
    let offset = write.remote_address.get().checked_sub(base.get())?;
    let offset = rdma_migration_protocol::address::BlockOffset::new(offset);
    let run = Run { block: region.run.block, offset, length: write.length };
    let inside = region.run.offset <= offset && run.end()? <= region.run.end()?;
    inside.then_some(run)
}
