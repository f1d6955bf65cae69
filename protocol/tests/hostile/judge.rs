//! Feeds a machine anything and watches what it does.

use core::fmt;
use std::collections::{BTreeSet, VecDeque};

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, Rkey};
use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::limits::{
    COMMANDS_MAX, CONTROL_BUFFER_BYTES, RECEIVE_BUFFERS, SENDS_OUTSTANDING_MAX,
};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Machine, Operation, ReceiveBuffer, RegionId,
    TransportError,
};
use rdma_migration_protocol::wire::{Entries, Kind, Message, RegisterResult};

use crate::answers::{badly, well};
use crate::inputs::{Call, Input, Stray};
use crate::messages::{LENGTHS, encode, ram_blocks};

/// More orders than any input can cause: a registration for each of its commands, and a few.
const ORDERS_MAX: usize = COMMANDS_MAX + 1000;
/// More deadlines than a machine can have on the way to its end.
const DEADLINES_MAX: usize = 20;
/// What a machine remembers, in characters of its own description: some 80 for each command of the
/// longest message, and the stream bytes of one.
const DESCRIPTION_MAX: usize = 80 * COMMANDS_MAX * 5;

/// A machine that can be treated badly.
pub(crate) trait Victim: Machine<Event: fmt::Debug> + Clone + Eq + fmt::Debug {
    /// Whether it sends commands, or takes them.
    const SENDS_COMMANDS: bool;

    /// Whether it holds stream bytes that its owner has not taken.
    fn holds_stream(&self) -> bool;
    fn call(&mut self, call: &Call);
    fn guest_owner(&self) -> GuestOwner;
    fn closed(event: &Self::Event) -> Option<&Closed>;
}

/// A machine and everything that is known of it.
#[derive(Debug)]
pub(crate) struct Judge<M> {
    pub(crate) machine: M,
    now: Instant,
    posted: VecDeque<ReceiveBuffer>,
    open: Vec<Operation>,
    registrations: usize,
    /// Regions that are registered, or may be.
    regions: BTreeSet<RegionId>,
    /// Whether the machine was told something of memory that is not so.
    memory_strayed: bool,
    /// Whether a READY is unused, as the peer sees it.
    ready: bool,
    /// The reply that the peer owes.
    reply: Option<Kind>,
    owner: GuestOwner,
    closed: Option<Closed>,
    send_buffer: Vec<u8>,
}

impl<M: Victim> Judge<M> {
    pub(crate) fn new(machine: M) -> Self {
        let owner = machine.guest_owner();
        Self {
            machine,
            now: Instant::ORIGIN,
            posted: VecDeque::new(),
            open: Vec::new(),
            registrations: 0,
            regions: BTreeSet::new(),
            memory_strayed: false,
            ready: false,
            reply: None,
            owner,
            closed: None,
            send_buffer: vec![0; CONTROL_BUFFER_BYTES],
        }
    }

    pub(crate) fn feed(&mut self, input: &Input) {
        let now = self.now;
        match input {
            Input::Requested(private_data) => {
                self.machine.handle_connection(ConnectionEvent::Requested { private_data }, now);
            }
            Input::Established(private_data) => {
                self.machine.handle_connection(ConnectionEvent::Established { private_data }, now);
            }
            Input::Rejected => self.machine.handle_connection(ConnectionEvent::Rejected, now),
            Input::ConnectionFailed => {
                let error = TransportError::Unreachable;
                self.machine.handle_connection(ConnectionEvent::Failed { error }, now);
            }
            Input::Lost => self.machine.handle_connection(ConnectionEvent::Disconnected, now),
            Input::Message(bytes) => self.receive(bytes),
            Input::Due(command) => self.receive_due(command),
            Input::Answer(which, error) => self.answer(*which, *error),
            Input::Stray(Stray::Received(buffer, bytes)) => {
                if self.posted.front() == Some(buffer) {
                    return self.receive(bytes);
                }
                let completion = Completion::Received { buffer: *buffer, bytes };
                self.machine.handle_completion(completion, now);
            }
            Input::Stray(Stray::Other(completion)) => self.stray(*completion),
            Input::Poll => self.poll(),
            Input::Cooperate => self.cooperate(),
            Input::Expire => self.expire(),
            Input::Call(call) => self.machine.call(call),
        }
        self.check();
    }

    fn receive(&mut self, bytes: &[u8]) {
        let Some(buffer) = self.posted.pop_front() else { return };
        match Message::parse(bytes).map(|message| message.kind()) {
            Ok(Kind::Ready) if M::SENDS_COMMANDS => self.ready = true,
            Ok(_) if !M::SENDS_COMMANDS => self.ready = false,
            Ok(kind) if Some(kind) == self.reply => self.reply = None,
            Ok(_) | Err(_) => {}
        }
        self.machine.handle_completion(Completion::Received { buffer, bytes }, self.now);
    }

    fn receive_due(&mut self, command: &[u8]) {
        self.poll();
        let (rkey, host_address) = (Rkey::new(9), HostAddress::new(0x7000_0000_0000));
        let results = [RegisterResult { rkey, host_address }];
        match (self.reply, self.ready) {
            (Some(Kind::RamBlocksResult), _) => {
                let blocks = ram_blocks(7);
                self.receive(&encode(&Message::RamBlocksResult(Entries::new(&blocks))));
            }
            (Some(Kind::RegisterResult), _) => {
                let results = Entries::new(&results);
                self.receive(&encode(&Message::RegisterResult { repeat: 1, results }));
            }
            (Some(_), _) => self.receive(&encode(&Message::UnregisterFinished { repeat: 1 })),
            (None, false) if M::SENDS_COMMANDS => self.receive(&encode(&Message::Ready)),
            (None, true) if !M::SENDS_COMMANDS => self.receive(command),
            (None, _) => {}
        }
    }

    /// Polls until there is nothing, twice: the second time nothing has changed.
    fn poll(&mut self) {
        let mut orders = 0;
        while let Some(operation) = self.machine.poll_operation(&mut self.send_buffer, self.now) {
            orders += 1;
            assert!(orders <= ORDERS_MAX, "no end of orders: {operation:?}");
            self.note(operation);
        }
        let before = self.machine.clone();
        assert_eq!(self.machine.poll_operation(&mut self.send_buffer, self.now), None);
        assert_eq!(self.machine, before, "polling in vain changes nothing");
        while let Some(event) = self.machine.poll_event() {
            assert_eq!(self.closed, None, "{event:?} after the end");
            self.closed = M::closed(&event).cloned();
        }
        self.check();
    }

    fn note(&mut self, operation: Operation) {
        assert_eq!(self.closed, None, "{operation:?} after the end");
        match operation {
            Operation::PostReceive { buffer } => {
                assert!(!self.posted.contains(&buffer), "{buffer:?} posted twice");
                self.posted.push_back(buffer);
                assert!(self.posted.len() <= RECEIVE_BUFFERS);
                return;
            }
            Operation::Connect { .. } | Operation::Accept { .. } | Operation::Reject => return,
            Operation::Send { length } => self.note_message(length),
            Operation::WriteRam(write) => {
                assert_inside(write.block, write.offset, write.length);
                assert_ne!(write.rkey, Rkey::new(0));
                assert!(write.remote_address.checked_add(write.length).is_some());
            }
            Operation::ScanRam { block, offset, length }
            | Operation::ZeroRam { block, offset, length } => assert_inside(block, offset, length),
            Operation::RegisterMemory { region, block, offset, length, .. } => {
                assert_inside(block, offset, length);
                self.registrations += 1;
                let new = self.regions.insert(region);
                assert!(new || self.memory_strayed, "{region} registered twice");
            }
            Operation::DeregisterMemory { region } => {
                let known = self.regions.contains(&region);
                assert!(known || self.memory_strayed, "{region} was not registered");
            }
            Operation::Disconnect => {}
        }
        self.open.push(operation);
        let sends = self.open.iter().filter(|open| matches!(open, Operation::Send { .. })).count();
        assert!(sends <= SENDS_OUTSTANDING_MAX, "{sends} sends at once");
    }

    fn note_message(&mut self, length: usize) {
        let kind = Message::parse(&self.send_buffer[..length]).unwrap().kind();
        if M::SENDS_COMMANDS {
            let may = self.ready && self.reply.is_none();
            assert!(may || kind == Kind::Error, "{kind} without a READY");
            self.ready = false;
        } else if kind == Kind::Ready {
            assert!(!self.ready, "a second READY");
            assert!(!self.machine.holds_stream(), "READY while stream bytes are held");
            self.ready = true;
        }
        self.reply = match kind {
            Kind::RamBlocksRequest => Some(Kind::RamBlocksResult),
            Kind::RegisterRequest => Some(Kind::RegisterResult),
            Kind::UnregisterRequest => Some(Kind::UnregisterFinished),
            _ => None,
        };
    }

    fn answer(&mut self, which: usize, error: Option<TransportError>) {
        if self.open.is_empty() {
            return;
        }
        let operation = self.open.remove(which % self.open.len());
        let completion = match error {
            None => well(operation, which),
            Some(error) => badly(operation, error),
        };
        if let Some(completion) = completion {
            self.complete(completion);
        }
    }

    fn complete(&mut self, completion: Completion<'static>) {
        match completion {
            Completion::MemoryDeregistered { region }
            | Completion::Failed {
                operation: FailedOperation::RegisterMemory { region }, ..
            } => {
                self.regions.remove(&region);
            }
            _ => {}
        }
        self.machine.handle_completion(completion, self.now);
    }

    /// What answers one of the open operations by chance counts as its answer.
    fn stray(&mut self, completion: Completion<'static>) {
        let answered = self.open.iter().position(|open| match completion {
            Completion::Sent | Completion::Failed { operation: FailedOperation::Send, .. } => {
                matches!(open, Operation::Send { .. })
            }
            _ => false,
        });
        if let Some(at) = answered {
            self.open.remove(at);
        }
        self.memory_strayed |= matches!(
            completion,
            Completion::MemoryRegistered { .. }
                | Completion::MemoryDeregistered { .. }
                | Completion::Failed {
                    operation: FailedOperation::RegisterMemory { .. }
                        | FailedOperation::DeregisterMemory { .. },
                    ..
                }
        );
        if let Completion::Failed { operation: FailedOperation::Receive { buffer }, .. } =
            completion
            && self.posted.front() == Some(&buffer)
        {
            self.posted.pop_front();
        }
        self.machine.handle_completion(completion, self.now);
    }

    fn cooperate(&mut self) {
        self.poll();
        for _ in 0..ORDERS_MAX {
            if self.open.is_empty() {
                return;
            }
            let operation = self.open.remove(0);
            if operation == Operation::Disconnect {
                for buffer in core::mem::take(&mut self.posted) {
                    let operation = FailedOperation::Receive { buffer };
                    let error = TransportError::Flushed;
                    self.machine
                        .handle_completion(Completion::Failed { operation, error }, self.now);
                }
            }
            if let Some(completion) = well(operation, 1) {
                self.complete(completion);
            }
            self.poll();
        }
        panic!("no end of work");
    }

    fn expire(&mut self) {
        if let Some((deadline, _)) = self.machine.poll_timeout() {
            self.now = self.now.max(deadline);
            self.machine.handle_timeout(self.now);
        }
    }

    /// What must hold at any time.
    fn check(&mut self) {
        let owner = self.machine.guest_owner();
        let rank = |owner| match owner {
            GuestOwner::Source => 0,
            GuestOwner::Undecided => 1,
            GuestOwner::Destination => 2,
        };
        assert!(
            rank(self.owner) <= rank(owner),
            "the guest went back: {:?}, {owner:?}",
            self.owner
        );
        self.owner = owner;
        if let Some(closed) = &self.closed {
            assert!(self.machine.is_closed());
            assert_eq!(closed.guest, owner, "another owner after the end");
            assert_eq!(self.machine.poll_timeout(), None);
        }
        let described = description_length(&self.machine);
        assert!(described <= DESCRIPTION_MAX, "{described} characters of state");
    }

    /// The owner gives up and nothing is answered any more: deadlines alone lead to the end.
    pub(crate) fn abandon(&mut self) -> Closed {
        self.machine.call(&Call::Abort);
        self.poll();
        let mut deadlines = 0;
        while self.machine.poll_timeout().is_some() {
            deadlines += 1;
            assert!(deadlines <= DEADLINES_MAX, "no end of deadlines");
            self.expire();
            self.poll();
        }
        let closed = self.closed.clone().expect("deadlines lead to the end");
        assert!(closed.regions_left <= self.registrations, "{closed:?}");
        closed
    }
}

fn assert_inside(block: BlockIndex, offset: BlockOffset, length: u64) {
    let block = usize::try_from(block.get()).unwrap();
    let end = offset.checked_add(length).map(BlockOffset::get);
    assert!(length > 0 && end.is_some_and(|end| end <= LENGTHS[block]), "outside {block}");
}

/// How long a machine's description is, without keeping it.
fn description_length(machine: &impl fmt::Debug) -> usize {
    struct Counter(usize);
    impl fmt::Write for Counter {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut counter = Counter(0);
    fmt::write(&mut counter, format_args!("{machine:?}")).expect("counting does not fail");
    counter.0
}
