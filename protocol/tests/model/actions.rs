//! What can happen next, and what comes of it: each action is one input to one machine.

use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::destination::Destination;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Input, TransportError,
};
use rdma_migration_protocol::wire::Message;
use rdma_migration_transport_sim::Side;

use crate::bugs::Bug;
use crate::dialogue::Log;
use crate::exploration::Migration;
use crate::faults::{Deadline, Faults};
use crate::link::{Landing, News, QueuePair, RequestKind};
use crate::memory::Chore;
use crate::world::{LastSend, World};

/// How a side comes to see that the connection is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    /// By the news.
    News,
    /// By the failure of its oldest send or write.
    Request,
    /// By the flush of its first receive.
    Receive,
}

/// Something that happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// The next news of the connection.
    Hear(Side),
    /// The next message from the peer.
    Receive(Side),
    /// The next completion of the send queue.
    Acknowledge(Side),
    /// Work on memory ends, well or not.
    Answer(Side, Chore, bool),
    /// The connection breaks for this side.
    Break(Side, Notice),
    /// The next request of a broken queue pair is flushed.
    FlushRequest(Side),
    /// The next receive of a broken queue pair is flushed.
    FlushReceive(Side),
    /// The queue pair is destroyed, as ordered; everything that was posted is answered.
    Disconnected(Side),
    /// A late owner does what follows from what it was told.
    Attend(Side),
    /// The earliest deadline fires.
    Deadline(Side),
    /// The owner aborts.
    Abort(Side),
}

impl Action {
    /// Whether this comes to pass if nothing else does. An abort does not, nor a break without a
    /// cause, nor a failure.
    pub(crate) fn is_certain(self, world: &World) -> bool {
        match self {
            Self::Abort(side) => world.is_never_asked(side),
            Self::Break(side, _) => world.peer_is_ending(side),
            Self::Answer(_, _, success) => success,
            _ => true,
        }
    }
}

impl World {
    /// Everything that can happen next.
    pub(crate) fn actions(&self, faults: Faults, actions: &mut Vec<Action>) {
        if self.violation.is_some() {
            return;
        }
        for side in Side::BOTH {
            if !self.is_closed(side) {
                self.actions_of_link(side, faults, actions);
                self.actions_of_host(side, faults, actions);
            }
        }
    }

    fn actions_of_link(&self, side: Side, faults: Faults, actions: &mut Vec<Action>) {
        let end = self.link.end(side);
        let nothing_lost = self.may_break(faults) || !end.front_has_arrived();
        let in_order = end.news.front() != Some(&News::Lost) || nothing_lost;
        if !end.news.is_empty() && end.queue_pair != QueuePair::Gone && in_order {
            actions.push(Action::Hear(side));
        }
        if self.link.can_deliver(side) {
            actions.push(Action::Receive(side));
        }
        if self.link.can_acknowledge(side) {
            actions.push(Action::Acknowledge(side));
        }
        match end.queue_pair {
            QueuePair::Open => self.actions_of_break(side, faults, actions),
            QueuePair::Broken => {
                if !end.requests.is_empty() && nothing_lost {
                    actions.push(Action::FlushRequest(side));
                }
                if !end.receives.is_empty() && !end.holds_message() {
                    actions.push(Action::FlushReceive(side));
                }
            }
            QueuePair::Disconnecting { .. } => actions.push(Action::Disconnected(side)),
            QueuePair::Absent | QueuePair::Gone => {}
        }
    }

    fn actions_of_break(&self, side: Side, faults: Faults, actions: &mut Vec<Action>) {
        let lossy = self.may_break(faults);
        if !lossy && !self.peer_is_ending(side) {
            return;
        }
        let end = self.link.end(side);
        // A link that loses nothing reports what has arrived, and tells its news in order. Only a
        // flushed receive may come before the completion of a send: they have queues of their own.
        let in_order = lossy || end.news.is_empty();
        let nothing_lost = lossy || !end.front_has_arrived();
        if in_order && nothing_lost && !end.holds_message() {
            actions.push(Action::Break(side, Notice::News));
        }
        if in_order && nothing_lost && end.established && !end.requests.is_empty() {
            actions.push(Action::Break(side, Notice::Request));
        }
        if in_order && end.established && !end.receives.is_empty() && !end.holds_message() {
            actions.push(Action::Break(side, Notice::Receive));
        }
    }

    /// Whether one more fault may happen.
    fn may_fail(&self, faults: Faults) -> bool {
        self.faults < faults.max
    }

    /// Whether the link may break without a cause and lose acknowledgements.
    fn may_break(&self, faults: Faults) -> bool {
        faults.cut && self.may_fail(faults)
    }

    fn actions_of_host(&self, side: Side, faults: Faults, actions: &mut Vec<Action>) {
        for chore in &self.memory.of(side).chores {
            actions.push(Action::Answer(side, *chore, true));
            let may_fail = match chore {
                Chore::Deregister { .. } => {
                    *self.failed_deregistrations.of(side) < faults.deregistrations
                }
                Chore::Register { .. } | Chore::Scan(_) | Chore::Zero(_) => faults.memory,
            };
            if may_fail && self.may_fail(faults) {
                actions.push(Action::Answer(side, *chore, false));
            }
        }
        // A prompt owner leaves nothing to attend to.
        if self.has_events(side) {
            actions.push(Action::Attend(side));
        }
        if self.deadline_may_fire(side, faults) {
            actions.push(Action::Deadline(side));
        }
        if faults.abort && self.may_fail(faults) || self.is_never_asked(side) {
            actions.push(Action::Abort(side));
        }
    }

    fn deadline_may_fire(&self, side: Side, faults: Faults) -> bool {
        let Some(reason) = self.wait(side) else { return false };
        if reason == TimeoutReason::Farewell {
            return true;
        }
        let permitted = match faults.deadline {
            Deadline::Farewell => false,
            Deadline::Open => !self.is_for_transport_to_close(side),
            Deadline::All => true,
        };
        permitted && self.may_fail(faults)
    }

    /// Whether all that a closing side waits for is its own transport.
    fn is_for_transport_to_close(&self, side: Side) -> bool {
        let queue_pair = self.link.end(side).queue_pair;
        matches!(queue_pair, QueuePair::Disconnecting { .. } | QueuePair::Gone)
    }

    /// Whether the peer has ended the connection or seen it broken, so that this side will.
    pub(crate) fn peer_is_ending(&self, side: Side) -> bool {
        let peer = side.peer();
        self.link.end(peer).queue_pair.is_ending() || self.is_closed(peer)
    }

    /// Whether a destination waits for a source that will not come: nobody has asked it for
    /// anything, so it has no deadline, and its owner gives up in time.
    fn is_never_asked(&self, side: Side) -> bool {
        let end = self.link.end(side);
        side == Side::Destination
            && end.queue_pair == QueuePair::Absent
            && end.news.is_empty()
            && self.is_closed(Side::Source)
    }

    /// Lets something happen. False if it changes nothing.
    pub(crate) fn happen(&mut self, action: Action, model: &Migration, log: &mut Log) -> bool {
        self.inputs += 1;
        let side = match action {
            Action::Hear(side) => {
                self.hear(side, log);
                side
            }
            Action::Receive(side) => {
                self.receive(side, log);
                side
            }
            Action::Acknowledge(side) => {
                self.acknowledge(side);
                side
            }
            Action::Answer(side, chore, success) => {
                self.answer(side, chore, success);
                side
            }
            Action::Break(side, notice) => {
                self.break_connection(side, notice);
                side
            }
            Action::FlushRequest(side) => {
                self.flush_request(side, TransportError::Flushed);
                side
            }
            Action::FlushReceive(side) => {
                self.flush_receive(side);
                side
            }
            Action::Disconnected(side) => {
                self.disconnected(side, model, log);
                side
            }
            Action::Attend(side) => {
                self.attend(side, model);
                side
            }
            Action::Deadline(side) => {
                self.deadline(side, model.bug);
                side
            }
            Action::Abort(side) => {
                self.faults += u8::from(!self.is_never_asked(side));
                if !self.abort(side) {
                    return false;
                }
                side
            }
        };
        self.drain(side, model, log);
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
