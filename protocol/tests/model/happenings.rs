//! What comes of an action: what the link and the memory do, what the machine is told, and all that
//! it orders for it.

use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::destination::Destination;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Input, TransportError,
};
use rdma_migration_protocol::wire::Message;
use rdma_migration_transport_sim::Side;

use crate::actions::{Action, Notice};
use crate::bugs::Bug;
use crate::dialogue::Log;
use crate::exploration::Migration;
use crate::link::{Landing, News, QueuePair, RequestKind};
use crate::memory::Chore;
use crate::world::{LastSend, World};

impl World {
    /// Lets something happen. False if it changes nothing.
    pub(crate) fn happen(&mut self, action: Action, model: &Migration, log: &mut Log) -> bool {
        self.inputs += 1;
        match action {
            Action::Hear(side) => self.hear(side, log),
            Action::Receive(side) => self.receive(side, log),
            Action::Acknowledge(side) => self.acknowledge(side),
            Action::Answer(side, chore, success) => self.answer(side, chore, success),
            Action::Break(side, notice) => self.break_connection(side, notice),
            Action::FlushRequest(side) => self.flush_request(side, TransportError::Flushed),
            Action::FlushReceive(side) => self.flush_receive(side),
            Action::Disconnected(side) => self.disconnected(side, model, log),
            Action::Attend(side) => self.attend(side, model),
            Action::Deadline(side) => self.deadline(side, model.bug),
            Action::Abort(side) => {
                self.faults += u8::from(!self.is_never_asked(side));
                if !self.abort(side) {
                    return false;
                }
            }
        }
        self.drain(action.side(), model, log);
        true
    }

    fn hear(&mut self, side: Side, log: &mut Log) {
        let end = self.link.end_mut(side);
        let news = end.news.pop_front().expect("an action only where there is news");
        log.say(|| format!("  {side} hears {news:?}"));
        match news {
            News::Requested(private_data) => {
                let private_data = &private_data;
                self.tell(side, Input::Connection(ConnectionEvent::Requested { private_data }));
            }
            News::Established(private_data) => {
                end.established = true;
                let private_data = match side {
                    Side::Source => {
                        // The source's adapter has answered: the destination's will hear of it.
                        let peer = self.link.end_mut(Side::Destination);
                        if peer.queue_pair.works() {
                            peer.news.push_back(News::Established([0; 8]));
                        }
                        &private_data[..]
                    }
                    Side::Destination => &[],
                };
                self.tell(side, Input::Connection(ConnectionEvent::Established { private_data }));
            }
            News::Rejected => self.tell(side, Input::Connection(ConnectionEvent::Rejected)),
            // All that ended before was reported before.
            News::Lost => {
                self.fail_requests(side);
                self.tell(side, Input::Connection(ConnectionEvent::Disconnected));
            }
        }
    }

    fn receive(&mut self, side: Side, log: &mut Log) {
        let (buffer, bytes, landings) = self.link.deliver(side);
        self.land(&landings);
        let kind = Message::parse(&bytes).expect("checked when it was sent").kind();
        log.say(|| format!("  {side} receives {}", kind.name()));
        self.channel.received(side, kind);
        self.tell(side, Input::Completion(Completion::Received { buffer, bytes: &bytes }));
        let holds = |destination: &Destination| {
            destination.held_stream().is_some_and(|held| held.buffer == buffer)
        };
        if side == Side::Destination && self.destination.as_ref().is_some_and(holds) {
            self.destination_owner.held = bytes;
        }
    }

    fn land(&mut self, landings: &[Landing]) {
        for Landing { cells, versions, .. } in landings {
            cells.slice_mut(&mut self.memory.destination.ram).copy_from_slice(versions);
        }
    }

    fn acknowledge(&mut self, side: Side) {
        let (kind, landings) = self.link.acknowledge(side);
        self.land(&landings);
        match kind {
            RequestKind::Send { injected: true, .. } => {}
            RequestKind::Send { last_of_stream, .. } => {
                if last_of_stream {
                    self.last_send = LastSend::Acknowledged;
                }
                self.tell(side, Input::Completion(Completion::Sent));
            }
            RequestKind::Write { .. } => self.tell(side, Input::Completion(Completion::RamWritten)),
        }
    }

    fn answer(&mut self, side: Side, chore: Chore, success: bool) {
        let memory = self.memory.of_mut(side);
        memory.chores.remove(&chore);
        if !success {
            self.faults += 1;
            if matches!(chore, Chore::Deregister { .. }) {
                *self.failed_deregistrations.of_mut(side) += 1;
            }
            let (operation, error) = (chore.failed(), TransportError::OutOfMemory);
            return self.tell(side, Input::Completion(Completion::Failed { operation, error }));
        }
        let completion = match chore {
            Chore::Register { region, cells, remote } => {
                let rkey = memory.register(region, cells, remote);
                Completion::MemoryRegistered { region, rkey }
            }
            Chore::Deregister { region } => {
                memory.regions.remove(&region);
                Completion::MemoryDeregistered { region }
            }
            Chore::Scan(cells) => {
                let zero = is_zero(cells.slice(&memory.ram));
                Completion::RamScanned { block: cells.block(), offset: cells.offset(), zero }
            }
            Chore::Zero(cells) => {
                cells.slice_mut(&mut memory.ram).fill(0);
                Completion::RamZeroed { block: cells.block(), offset: cells.offset() }
            }
        };
        self.tell(side, Input::Completion(completion));
    }

    fn break_connection(&mut self, side: Side, notice: Notice) {
        self.faults += u8::from(!self.peer_is_ending(side));
        self.link.shut(side, QueuePair::Broken);
        let end = self.link.end_mut(side);
        let established = end.established;
        end.news.clear();
        if notice == Notice::News {
            self.fail_requests(side);
        } else {
            end.news.push_back(News::Lost);
        }
        match notice {
            Notice::News if established => {
                self.tell(side, Input::Connection(ConnectionEvent::Disconnected));
            }
            Notice::News => {
                let error = TransportError::Unreachable;
                self.tell(side, Input::Connection(ConnectionEvent::Failed { error }));
            }
            Notice::Request => self.flush_request(side, TransportError::RetryExceeded),
            Notice::Receive => self.flush_receive(side),
        }
    }

    /// From now on no request is reported as carried out. Where one was, its acknowledgement is
    /// lost, which is a fault of the link.
    fn fail_requests(&mut self, side: Side) {
        let end = self.link.end_mut(side);
        self.faults += u8::from(end.front_has_arrived());
        end.requests_fail = true;
    }

    fn flush_request(&mut self, side: Side, error: TransportError) {
        self.fail_requests(side);
        let requests = &mut self.link.end_mut(side).requests;
        let request = requests.pop_front().expect("an action only then");
        let operation = match request.kind {
            RequestKind::Send { injected: true, .. } => return,
            RequestKind::Send { .. } => FailedOperation::Send,
            RequestKind::Write { .. } => FailedOperation::WriteRam,
        };
        self.tell(side, Input::Completion(Completion::Failed { operation, error }));
    }

    fn flush_receive(&mut self, side: Side) {
        let buffer = self.link.end_mut(side).receives.pop_front().expect("an action only then");
        let operation = FailedOperation::Receive { buffer };
        let error = TransportError::Flushed;
        self.tell(side, Input::Completion(Completion::Failed { operation, error }));
    }

    /// The last word of a queue pair: what has arrived for certain is reported, everything else
    /// flushed, then the end.
    fn disconnected(&mut self, side: Side, model: &Migration, log: &mut Log) {
        let QueuePair::Disconnecting { broken } = self.link.end(side).queue_pair else {
            unreachable!("an action only then");
        };
        // What the peer has taken was acknowledged; only a break loses that.
        let lossy = self.may_break(model.faults);
        while !lossy && self.link.end(side).front_has_arrived() {
            self.acknowledge(side);
        }
        if !broken {
            self.link.shut(side, QueuePair::Disconnecting { broken });
        }
        while self.link.can_deliver(side) {
            self.receive(side, log);
        }
        while !self.link.end(side).receives.is_empty() {
            self.flush_receive(side);
        }
        while !self.link.end(side).requests.is_empty() {
            self.flush_request(side, TransportError::Flushed);
        }
        let end = self.link.end_mut(side);
        end.inbound.clear();
        end.news.clear();
        end.queue_pair = QueuePair::Gone;
        if model.bug != Some(Bug::DisconnectNeverAnswered) {
            self.tell(side, Input::Completion(Completion::Disconnected));
        }
    }

    fn deadline(&mut self, side: Side, bug: Option<Bug>) {
        if self.wait(side) != Some(TimeoutReason::Farewell) {
            self.faults += 1;
        }
        if self.is_for_transport_to_close(side) {
            *self.transport_late.of_mut(side) = true;
        }
        if bug != Some(Bug::DeadlineForEver) {
            self.fire(side);
        }
    }
}

fn is_zero(versions: &[u8]) -> bool {
    versions.iter().all(|version| *version == 0)
}
