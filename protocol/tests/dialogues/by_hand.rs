//! A machine without a fabric: the test answers its operations one by one, when it likes and how.

use std::collections::{BTreeSet, VecDeque};

use core::fmt;
use core::time::Duration;

use rdma_migration_protocol::address::Rkey;
use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::destination::DestinationEvent;
use rdma_migration_protocol::limits::{CONTROL_BUFFER_BYTES, SENDS_OUTSTANDING_MAX};
use rdma_migration_protocol::source::SourceEvent;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Machine, Operation, ReceiveBuffer, RegionId,
    TransportError, WriteRam,
};
use rdma_migration_protocol::wire::{Header, Kind, Message};

/// More orders in a row than any machine gives without an answer.
const ORDERS_MAX: usize = 10_000;

/// What a machine has ordered. A send is known by its message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    Send(Kind),
    Do(Operation),
}

/// A machine in the hands of a test.
#[derive(Clone, Debug)]
pub(crate) struct ByHand<M> {
    pub(crate) machine: M,
    pub(crate) now: Instant,
    /// The receives that are posted, the one to be filled next first.
    pub(crate) posted: VecDeque<ReceiveBuffer>,
    /// Regions that are registered.
    pub(crate) registered: BTreeSet<RegionId>,
    /// Whether the connection is broken: what is on it is flushed.
    pub(crate) broken: bool,
    /// Operations that have not been answered, oldest first.
    open: VecDeque<Operation>,
    /// Messages that the test has not looked at.
    sent: VecDeque<Vec<u8>>,
}

/// How a machine ended, after everything it still ordered was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ending {
    pub(crate) closed: Closed,
    /// Whether the peer was sent ERROR.
    pub(crate) peer_told: bool,
    /// Whether there was anything to disconnect.
    pub(crate) disconnected: bool,
}

/// An event that may be the last.
pub(crate) trait Last {
    fn closed(&self) -> Option<&Closed>;
}

impl Last for SourceEvent {
    fn closed(&self) -> Option<&Closed> {
        if let Self::Closed(closed) = self { Some(closed) } else { None }
    }
}

impl Last for DestinationEvent {
    fn closed(&self) -> Option<&Closed> {
        if let Self::Closed(closed) = self { Some(closed) } else { None }
    }
}

impl<M: Machine> ByHand<M>
where
    M::Event: Last + fmt::Debug,
{
    pub(crate) fn new(machine: M) -> Self {
        Self {
            machine,
            now: Instant::ORIGIN,
            posted: VecDeque::new(),
            registered: BTreeSet::new(),
            broken: false,
            open: VecDeque::new(),
            sent: VecDeque::new(),
        }
    }

    /// Everything that the machine orders now.
    pub(crate) fn all_orders(&mut self) -> Vec<Order> {
        let mut buffer = vec![0; CONTROL_BUFFER_BYTES];
        let mut orders = Vec::new();
        while let Some(operation) = self.machine.poll_operation(&mut buffer, self.now) {
            assert!(orders.len() < ORDERS_MAX, "no end of orders: {:?}", orders.last());
            orders.push(self.note(operation, &buffer));
        }
        orders
    }

    /// Everything that the machine orders now, but for receives.
    pub(crate) fn orders(&mut self) -> Vec<Order> {
        let orders = self.all_orders().into_iter();
        orders.filter(|order| !matches!(order, Order::Do(Operation::PostReceive { .. }))).collect()
    }

    /// The next message that was sent. It has to be of this kind.
    #[track_caller]
    pub(crate) fn message(&mut self, kind: Kind) -> Vec<u8> {
        let message = self.sent.pop_front().expect("a message was sent");
        assert_eq!(Header::parse(&message).map(|header| header.kind), Ok(kind));
        message
    }

    /// Bytes arrive in the receive that was posted first.
    #[track_caller]
    pub(crate) fn receive_bytes(&mut self, bytes: &[u8]) {
        let buffer = self.posted.pop_front().expect("a receive is posted");
        self.machine.handle_completion(Completion::Received { buffer, bytes }, self.now);
    }

    #[track_caller]
    pub(crate) fn receive(&mut self, message: &Message<'_>) {
        self.receive_bytes(&encode(message));
    }

    pub(crate) fn connection(&mut self, event: ConnectionEvent<'_>) {
        self.machine.handle_connection(event, self.now);
    }

    /// Answers an operation.
    pub(crate) fn complete(&mut self, completion: Completion<'_>) {
        if let Some(at) = self.open.iter().position(|open| answers(&completion, open)) {
            self.open.remove(at);
            if completion == Completion::RamWritten {
                // It stands for the unsignaled writes before it as well.
                let (answered, later) = self.open.make_contiguous().split_at(at);
                let answered =
                    answered.iter().filter(|open| !matches!(open, Operation::WriteRam(_)));
                self.open = answered.chain(later).copied().collect();
            }
        }
        self.deliver(completion);
    }

    pub(crate) fn fail(&mut self, operation: FailedOperation, error: TransportError) {
        self.complete(Completion::Failed { operation, error });
    }

    /// Answers everything that was ordered so far, oldest first: it went well, or the connection is
    /// broken. What is scanned is not zero.
    pub(crate) fn answer_all(&mut self) {
        while let Some(operation) = self.open.pop_front() {
            self.answer(operation);
        }
    }

    /// Polls and answers until nothing is left to do without the peer. Returns the orders.
    pub(crate) fn run(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        loop {
            orders.extend(self.orders());
            if self.open.is_empty() {
                return orders;
            }
            self.answer_all();
        }
    }

    pub(crate) fn events(&mut self) -> Vec<M::Event> {
        core::iter::from_fn(|| self.machine.poll_event()).collect()
    }

    /// The wait that ends first, and how long it has left.
    pub(crate) fn wait(&self) -> Option<(TimeoutReason, Duration)> {
        let next = self.machine.poll_timeout();
        next.map(|(deadline, reason)| (reason, deadline.since(self.now)))
    }

    /// Time passes to the next deadline.
    #[track_caller]
    pub(crate) fn expire(&mut self) -> TimeoutReason {
        let (deadline, reason) = self.machine.poll_timeout().expect("a wait is under way");
        self.now = deadline;
        self.machine.handle_timeout(deadline);
        reason
    }

    /// The machine is closing: everything it orders goes well. Whatever the reason of the end, memory
    /// is given back once, behind the queue pair, and all of it before the end is reported.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Ending {
        let before = self.open.clone();
        let mut disconnected = None;
        let mut peer_told = false;
        loop {
            for order in self.all_orders() {
                match order {
                    Order::Send(Kind::Error) => {
                        assert_eq!((peer_told, disconnected), (false, None), "a late ERROR");
                        peer_told = true;
                    }
                    Order::Do(Operation::Disconnect) => {
                        assert_eq!(disconnected, None, "disconnected twice");
                        disconnected = Some(false);
                    }
                    Order::Do(Operation::DeregisterMemory { .. }) => {
                        let early = "deregistered while the queue pair was there";
                        assert_ne!(disconnected, Some(false), "{early}");
                    }
                    order => panic!("{order:?} after the end; unanswered before: {before:?}"),
                }
            }
            if self.open.is_empty() {
                break;
            }
            assert!(!self.machine.is_closed(), "the end came before the last answer");
            self.answer_all();
            disconnected = disconnected.map(|_| true);
        }
        self.ended(peer_told, disconnected.is_some())
    }

    #[track_caller]
    fn ended(&mut self, peer_told: bool, disconnected: bool) -> Ending {
        assert!(self.machine.is_closed());
        assert_eq!(self.machine.poll_timeout(), None);
        assert_eq!(self.registered, BTreeSet::new());
        let events = self.events();
        let closed = events.last().and_then(Last::closed).cloned();
        let ends = events.iter().filter(|event| event.closed().is_some()).count();
        assert_eq!(ends, 1, "{events:?}");
        Ending { closed: closed.expect("the end is the last event"), peer_told, disconnected }
    }

    /// The machine has ended without the answers that it waited for.
    #[track_caller]
    pub(crate) fn given_up(&mut self) -> Closed {
        assert!(self.machine.is_closed());
        assert_eq!(self.machine.poll_timeout(), None);
        assert_eq!(self.all_orders(), []);
        let closed = self.events().last().and_then(Last::closed).cloned();
        closed.expect("the end is the last event")
    }

    fn note(&mut self, operation: Operation, buffer: &[u8]) -> Order {
        match operation {
            Operation::PostReceive { buffer } => self.posted.push_back(buffer),
            Operation::Connect { .. } | Operation::Accept { .. } | Operation::Reject => {}
            _ => self.open.push_back(operation),
        }
        let Operation::Send { length } = operation else { return Order::Do(operation) };
        let sends = self.open.iter().filter(|open| matches!(open, Operation::Send { .. })).count();
        assert!(sends <= SENDS_OUTSTANDING_MAX, "{sends} sends at once");
        let message = buffer[..length].to_vec();
        let kind = Message::parse(&message).expect("a machine sends valid messages").kind();
        self.sent.push_back(message);
        Order::Send(kind)
    }

    fn answer(&mut self, operation: Operation) {
        let flushed = |operation| Completion::Failed { operation, error: TransportError::Flushed };
        match operation {
            Operation::Send { .. } if self.broken => self.deliver(flushed(FailedOperation::Send)),
            Operation::WriteRam(_) if self.broken => {
                self.deliver(flushed(FailedOperation::WriteRam));
            }
            Operation::Send { .. } => self.deliver(Completion::Sent),
            Operation::WriteRam(write) if write.signaled => self.deliver(Completion::RamWritten),
            Operation::ScanRam { block, offset, .. } => {
                self.deliver(Completion::RamScanned { block, offset, zero: false });
            }
            Operation::ZeroRam { block, offset, .. } => {
                self.deliver(Completion::RamZeroed { block, offset });
            }
            Operation::RegisterMemory { region, .. } => {
                self.deliver(Completion::MemoryRegistered { region, rkey: rkey(region) });
            }
            Operation::DeregisterMemory { region } => {
                self.deliver(Completion::MemoryDeregistered { region });
            }
            Operation::Disconnect => {
                for buffer in core::mem::take(&mut self.posted) {
                    self.deliver(flushed(FailedOperation::Receive { buffer }));
                }
                self.deliver(Completion::Disconnected);
            }
            // The next signaled write answers those that are not.
            Operation::WriteRam(_)
            | Operation::Connect { .. }
            | Operation::Accept { .. }
            | Operation::Reject
            | Operation::PostReceive { .. } => {}
        }
    }

    fn deliver(&mut self, completion: Completion<'_>) {
        match completion {
            Completion::MemoryRegistered { region, .. } => drop(self.registered.insert(region)),
            Completion::MemoryDeregistered { region } => drop(self.registered.remove(&region)),
            _ => {}
        }
        self.machine.handle_completion(completion, self.now);
    }
}

/// The key that a region gets by hand.
pub(crate) fn rkey(region: RegionId) -> Rkey {
    Rkey::new(0x100 + region.0)
}

pub(crate) fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut bytes).expect("a message that can be encoded");
    bytes
}

/// Whether a completion is the answer to an operation.
fn answers(completion: &Completion<'_>, operation: &Operation) -> bool {
    let failed = |operation| match operation {
        FailedOperation::Receive { .. } => None,
        FailedOperation::Send => Some(Completion::Sent),
        FailedOperation::WriteRam => Some(Completion::RamWritten),
        FailedOperation::ScanRam { block, offset } => {
            Some(Completion::RamScanned { block, offset, zero: false })
        }
        FailedOperation::ZeroRam { block, offset } => Some(Completion::RamZeroed { block, offset }),
        FailedOperation::RegisterMemory { region } => {
            Some(Completion::MemoryRegistered { region, rkey: rkey(region) })
        }
        FailedOperation::DeregisterMemory { region } => {
            Some(Completion::MemoryDeregistered { region })
        }
    };
    match (*completion, *operation) {
        (Completion::Sent, Operation::Send { .. })
        | (Completion::RamWritten, Operation::WriteRam(WriteRam { signaled: true, .. }))
        | (Completion::Disconnected, Operation::Disconnect) => true,
        (
            Completion::RamScanned { block, offset, .. },
            Operation::ScanRam { block: of, offset: at, .. },
        )
        | (
            Completion::RamZeroed { block, offset },
            Operation::ZeroRam { block: of, offset: at, .. },
        ) => (block, offset) == (of, at),
        (
            Completion::MemoryRegistered { region, .. },
            Operation::RegisterMemory { region: of, .. },
        )
        | (Completion::MemoryDeregistered { region }, Operation::DeregisterMemory { region: of }) => {
            region == of
        }
        (Completion::Failed { operation: what, .. }, operation) => {
            failed(what).is_some_and(|completion| answers(&completion, &operation))
        }
        _ => false,
    }
}
