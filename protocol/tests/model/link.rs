//! The link: two queue pairs, and what is on its way between them.
//!
//! It is the reliable connection of InfiniBand without its packets. Requests of one queue pair
//! arrive in order; an acknowledgement means that the request has arrived; after a break nobody
//! knows which of the requests without one have. Everything may be late: a message is told to the
//! receiver, and its completion to the sender, in separate steps at any later time, in either order.
//!
//! The link decides as late as it can. A request is *on its way* until one of the two hears of it;
//! so one state stands for "has arrived and nobody knows" and for "has not arrived yet".

use std::collections::VecDeque;

use rdma_migration_protocol::limits::PRIVATE_DATA_BYTES;
use rdma_migration_protocol::transport::{ReceiveBuffer, RegionId};
use rdma_migration_transport_sim::{Side, Sides};

use crate::guest::Cells;

/// The state of one side's queue pair.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum QueuePair {
    /// Not connected yet.
    #[default]
    Absent,
    Open,
    /// It has failed: everything posted is answered by a failure, one by one.
    Broken,
    /// The machine has ordered `Disconnect`. `broken`: it had failed before.
    Disconnecting {
        broken: bool,
    },
    /// `Disconnected` was reported.
    Gone,
}

impl QueuePair {
    /// Whether requests of this side can still be carried out, and the peer's be received.
    pub(crate) const fn works(self) -> bool {
        matches!(self, Self::Open | Self::Disconnecting { broken: false })
    }

    /// Whether the other side can come to see that the connection is gone.
    pub(crate) const fn is_ending(self) -> bool {
        matches!(self, Self::Broken | Self::Disconnecting { .. } | Self::Gone)
    }
}

/// A send or a write that has no answer yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Request {
    pub(crate) kind: RequestKind,
    pub(crate) fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum RequestKind {
    Send {
        /// It carries the last bytes of the stream.
        last_of_stream: bool,
        /// A seeded bug has sent it; the machine knows nothing of it and is told nothing.
        injected: bool,
    },
    Write {
        signaled: bool,
        /// The source's region that it reads from.
        from: RegionId,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Fate {
    OnItsWay,
    /// The peer has heard of it.
    Arrived,
    /// The peer's queue pair was gone first.
    Lost,
}

/// Something on its way to a side.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Inbound {
    pub(crate) what: Arrival,
    /// The sender has heard that it arrived: it cannot get lost any more.
    pub(crate) acknowledged: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Arrival {
    Message(Vec<u8>),
    Write(Landing),
}

/// An RDMA WRITE, which lands before anything that was sent after it arrives.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Landing {
    pub(crate) cells: Cells,
    /// The versions that the source's RAM had.
    pub(crate) versions: Vec<u8>,
    /// The destination's region that its key stands for.
    pub(crate) region: Option<RegionId>,
}

/// What connection management has to tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum News {
    Requested([u8; PRIVATE_DATA_BYTES]),
    Established([u8; PRIVATE_DATA_BYTES]),
    Rejected,
    Lost,
}

/// One end of the link.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct End {
    pub(crate) queue_pair: QueuePair,
    /// The machine was told that the connection is up.
    pub(crate) established: bool,
    /// From the first failure of a request on, all others fail too. Before it there may be
    /// successes, even after receives were flushed: those are reported by another queue.
    pub(crate) requests_fail: bool,
    /// Posted receives, the next one to be filled first.
    pub(crate) receives: VecDeque<ReceiveBuffer>,
    /// Sends and writes of this side without an answer, the oldest first.
    pub(crate) requests: VecDeque<Request>,
    /// What comes from the peer, the oldest first. The acknowledged part comes first.
    pub(crate) inbound: VecDeque<Inbound>,
    pub(crate) news: VecDeque<News>,
}

impl End {
    /// Whether requests that were carried out are still reported so.
    const fn still_answers(&self) -> bool {
        !self.requests_fail && !matches!(self.queue_pair, QueuePair::Absent | QueuePair::Gone)
    }

    /// Messages on their way to this end.
    pub(crate) fn messages(&self) -> usize {
        let is_message = |inbound: &&Inbound| matches!(inbound.what, Arrival::Message(_));
        self.inbound.iter().filter(is_message).count()
    }

    /// Whether a message has arrived for certain and was not reported yet.
    pub(crate) fn holds_message(&self) -> bool {
        let held =
            |inbound: &Inbound| inbound.acknowledged && matches!(inbound.what, Arrival::Message(_));
        self.inbound.iter().any(held)
    }

    /// Whether the peer has the oldest request, and the completion is still to come.
    pub(crate) fn front_has_arrived(&self) -> bool {
        let arrived = |request: &Request| request.fate == Fate::Arrived;
        self.answerable().is_some() && self.requests.front().is_some_and(arrived)
    }

    /// Takes the writes that have landed for certain, up to the next message.
    fn land_certain(&mut self) -> Vec<Landing> {
        let mut landings = Vec::new();
        while let Some(Inbound { what: Arrival::Write(_), acknowledged: true }) =
            self.inbound.front()
        {
            landings.extend(self.inbound.pop_front().and_then(landing));
        }
        landings
    }

    /// How many of the oldest requests one send completion would answer: a signaled one with the
    /// unsignaled ones before it. None if no completion is to come.
    fn answerable(&self) -> Option<usize> {
        let signaled = |request: &Request| match request.kind {
            RequestKind::Send { .. } => true,
            RequestKind::Write { signaled, .. } => signaled,
        };
        let count = self.requests.iter().position(signaled)? + 1;
        let lost = self.requests.iter().take(count).any(|request| request.fate == Fate::Lost);
        (self.still_answers() && !lost).then_some(count)
    }
}

/// Both ends.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Link {
    pub(crate) ends: Sides<End>,
}

impl Link {
    pub(crate) const fn end(&self, side: Side) -> &End {
        self.ends.of(side)
    }

    pub(crate) const fn end_mut(&mut self, side: Side) -> &mut End {
        self.ends.of_mut(side)
    }

    /// A side posts a request.
    pub(crate) fn post(&mut self, from: Side, kind: RequestKind, what: Arrival) {
        let works = self.end(from).queue_pair.works() && self.end(from.peer()).queue_pair.works();
        let fate = if works { Fate::OnItsWay } else { Fate::Lost };
        self.end_mut(from).requests.push_back(Request { kind, fate });
        if works {
            self.end_mut(from.peer()).inbound.push_back(Inbound { what, acknowledged: false });
        }
    }

    pub(crate) fn can_acknowledge(&self, from: Side) -> bool {
        self.end(from).answerable().is_some()
    }

    /// The next completion of a side's send queue: the request that it names, and the writes that
    /// have landed for certain with it.
    pub(crate) fn acknowledge(&mut self, from: Side) -> (RequestKind, Vec<Landing>) {
        let count = self.end(from).answerable().expect("the caller has asked");
        let answered: Vec<_> = self.end_mut(from).requests.drain(..count).collect();
        let on_its_way = answered.iter().filter(|request| request.fate == Fate::OnItsWay).count();
        let peer = self.end_mut(from.peer());
        let unacknowledged = peer.inbound.iter_mut().filter(|inbound| !inbound.acknowledged);
        for inbound in unacknowledged.take(on_its_way) {
            inbound.acknowledged = true;
        }
        (answered.last().expect("at least one").kind, peer.land_certain())
    }

    pub(crate) fn can_deliver(&self, to: Side) -> bool {
        let end = self.end(to);
        let reports = !matches!(end.queue_pair, QueuePair::Absent | QueuePair::Gone);
        reports && end.messages() > 0 && !end.receives.is_empty()
    }

    /// The next message for a side fills the next receive; writes before it have landed.
    pub(crate) fn deliver(&mut self, to: Side) -> (ReceiveBuffer, Vec<u8>, Vec<Landing>) {
        let mut landings = Vec::new();
        loop {
            let inbound = self.end_mut(to).inbound.pop_front().expect("the caller has asked");
            if !inbound.acknowledged {
                self.settle_next(to.peer(), Fate::Arrived);
            }
            match inbound.what {
                Arrival::Write(landing) => landings.push(landing),
                Arrival::Message(bytes) => {
                    let buffer = self.end_mut(to).receives.pop_front();
                    landings.extend(self.end_mut(to).land_certain());
                    return (buffer.expect("the caller has asked"), bytes, landings);
                }
            }
        }
    }

    /// A side's queue pair takes nothing more: what is on its way to it and not known to have
    /// arrived is lost.
    pub(crate) fn shut(&mut self, side: Side, queue_pair: QueuePair) {
        let end = self.end_mut(side);
        end.queue_pair = queue_pair;
        let before = end.inbound.len();
        end.inbound.retain(|inbound| inbound.acknowledged);
        for _ in end.inbound.len()..before {
            self.settle_next(side.peer(), Fate::Lost);
        }
    }

    /// A side has ended and hears of nothing any more.
    pub(crate) fn put_away(&mut self, side: Side) {
        self.shut(side, QueuePair::Gone);
        *self.end_mut(side) = End { queue_pair: QueuePair::Gone, ..End::default() };
    }

    /// Decides about a side's oldest request that is on its way.
    fn settle_next(&mut self, from: Side, fate: Fate) {
        let end = self.end_mut(from);
        // Failures come whatever became of the requests.
        if !end.still_answers() {
            return;
        }
        let mut requests = end.requests.iter_mut();
        if let Some(request) = requests.find(|request| request.fate == Fate::OnItsWay) {
            request.fate = fate;
        }
    }
}

fn landing(inbound: Inbound) -> Option<Landing> {
    match inbound.what {
        Arrival::Write(landing) => Some(landing),
        Arrival::Message(_) => None,
    }
}
