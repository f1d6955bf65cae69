//! What can happen next: each action is one input to one machine, or its owner's attention.

use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_transport_sim::Side;

use crate::faults::{Deadline, Faults};
use crate::link::{News, QueuePair};
use crate::memory::Chore;
use crate::world::World;

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
    /// The side that it happens to.
    pub(crate) const fn side(self) -> Side {
        match self {
            Self::Hear(side)
            | Self::Receive(side)
            | Self::Acknowledge(side)
            | Self::Answer(side, ..)
            | Self::Break(side, _)
            | Self::FlushRequest(side)
            | Self::FlushReceive(side)
            | Self::Disconnected(side)
            | Self::Attend(side)
            | Self::Deadline(side)
            | Self::Abort(side) => side,
        }
    }

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
    pub(crate) fn may_break(&self, faults: Faults) -> bool {
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
    pub(crate) fn is_for_transport_to_close(&self, side: Side) -> bool {
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
    pub(crate) fn is_never_asked(&self, side: Side) -> bool {
        let end = self.link.end(side);
        side == Side::Destination
            && end.queue_pair == QueuePair::Absent
            && end.news.is_empty()
            && self.is_closed(Side::Source)
    }
}
