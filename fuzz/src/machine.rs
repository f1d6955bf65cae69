//! Either machine, under a script that decides what its peer, its transport and its owner do.
//!
//! The first byte says how: with or without a transport that keeps the contract, and how the run
//! ends. Each further step is one byte and what it needs. However it goes, the machine must keep its
//! half of the contract of [`transport`](rdma_migration_protocol::transport), and come to its end.

use std::cell::RefCell;
use std::fmt;

use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::error::Error;
use rdma_migration_protocol::limits::{
    COMMANDS_MAX, CONTROL_BUFFER_BYTES, RECEIVE_BUFFERS, SENDS_OUTSTANDING_MAX, heap_bytes_max,
};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Machine, Operation, ReceiveBuffer, RegionId,
    TransportError,
};
use rdma_migration_protocol::wire::{Header, Kind};

use crate::answers::{self, ERRORS, badly, well};
use crate::guest::{CHUNKS, LENGTHS, MIB, assert_inside};
use crate::heap::Heap;
use crate::made_up::MadeUp;
use crate::registering::chunks;
use crate::script::Script;

/// More orders than one input can cause: one for each of its commands, and a few.
const ORDERS_MAX: usize = COMMANDS_MAX + 64;
/// More deadlines than a machine can have on the way to its end.
const DEADLINES_MAX: usize = 20;
/// Steps of a script: enough for a whole migration several times over.
const STEPS_MAX: usize = 400;
/// Calls of a script that are watched, if any are.
const WATCHED_MAX: u8 = 50;

thread_local! {
    /// The registered buffer that messages are encoded into. It is never read beyond a message.
    static SEND_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CONTROL_BUFFER_BYTES]);
}

/// A machine that a script can drive.
pub(crate) trait Subject: Machine<Event: fmt::Debug> + Clone + Eq + fmt::Debug {
    /// Whether it sends commands, or takes them.
    const SENDS_COMMANDS: bool;

    /// Whether it holds stream bytes that its owner has not taken.
    fn holds_stream(&self) -> bool;

    /// Makes one call of the owner, with arguments of the script. Says whether it was refused.
    fn call(&mut self, script: &mut Script<'_>) -> bool;

    /// The owner gives up, if it still may.
    fn give_up(&mut self);

    fn guest_owner(&self) -> GuestOwner;

    fn closed(event: &Self::Event) -> Option<&Closed>;

    /// Makes what the peer sends next: `honest` where a source waits for it, else made up.
    fn due(
        made_up: &mut MadeUp,
        reply: Option<Kind>,
        honest: bool,
        script: &mut Script<'_>,
    ) -> Vec<u8>;
}

/// How a script is carried out.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// The transport keeps its half of the contract: it answers what was ordered, once.
    faithful: bool,
    /// So many of the calls that change nothing are held against a copy from before. A machine may
    /// hold thousands of commands and be called thousands of times, so not all of them are.
    watched: u8,
    /// At the end everything is answered; otherwise nothing is, and deadlines have to do.
    answered_at_the_end: bool,
}

impl Manner {
    fn new(byte: u8) -> Self {
        Self {
            faithful: byte & 3 != 3,
            watched: if byte & 0x1c == 0x1c { WATCHED_MAX } else { 0 },
            answered_at_the_end: byte & 0x20 == 0,
        }
    }
}

/// Carries a script out on a machine. `pinned_bytes_max`: what its owner allows it to register.
pub(crate) fn run<M: Subject>(
    machine: M,
    manner: u8,
    pinned_bytes_max: Option<u64>,
    script: &mut Script<'_>,
) {
    SEND_BUFFER.with_borrow_mut(|send_buffer| {
        let mut driver = Driver::new(machine, Manner::new(manner), send_buffer);
        driver.pinned_bytes_max = pinned_bytes_max;
        for _ in 0..STEPS_MAX {
            let Some(step) = script.step() else { break };
            driver.step(step, script);
            driver.check();
        }
        driver.end();
    });
}

/// A machine and all that is known of it.
struct Driver<'b, M> {
    machine: M,
    manner: Manner,
    heap: Heap,
    send_buffer: &'b mut [u8],
    made_up: MadeUp,
    now: Instant,
    posted: Vec<ReceiveBuffer>,
    /// Operations that wait for their answer.
    open: Vec<Operation>,
    /// Regions that are registered, or may be, and the bytes of each.
    regions: Vec<(RegionId, u64)>,
    pinned_bytes_max: Option<u64>,
    /// How many there were when the machine closed.
    regions_at_the_end: Option<usize>,
    /// Whether the connection is being made.
    connecting: bool,
    requested: bool,
    /// Whether work on the queue pair has failed: then all of it does.
    broken: bool,
    /// Whether the machine was told that its peer is gone.
    lost: bool,
    /// Whether a deadline has come, or memory could not be given back.
    left_behind: bool,
    /// Whether the machine was told something that is not so.
    strayed: bool,
    /// Whether a READY is unused, as the peer sees it.
    ready: bool,
    /// The reply that the peer owes.
    reply: Option<Kind>,
    owner: GuestOwner,
    closed: Option<Closed>,
}

impl<'b, M: Subject> Driver<'b, M> {
    fn new(machine: M, manner: Manner, send_buffer: &'b mut [u8]) -> Self {
        Self {
            manner,
            heap: Heap::new(heap_bytes_max(LENGTHS.len(), CHUNKS)),
            send_buffer,
            made_up: MadeUp::default(),
            now: Instant::ORIGIN,
            posted: Vec::with_capacity(RECEIVE_BUFFERS),
            open: Vec::with_capacity(16),
            regions: Vec::with_capacity(CHUNKS),
            pinned_bytes_max: None,
            regions_at_the_end: None,
            connecting: false,
            requested: false,
            broken: false,
            lost: false,
            left_behind: false,
            strayed: false,
            ready: false,
            reply: None,
            owner: machine.guest_owner(),
            closed: None,
            machine,
        }
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let low = step & 0x0f;
        match step {
            0x00..=0x3f => self.receive_due(step & 7 != 7, script),
            0x40..=0x7f => self.cooperate(step & 3 == 3),
            0x80..=0xaf => self.call(script),
            0xb0..=0xbf => {
                let bytes = self.made_up.any(script).to_vec();
                self.receive(&bytes);
            }
            0xc0..=0xcf => self.answer_one(low.into(), None),
            0xd0..=0xd7 => self.answer_one((low & 7).into(), Some(script.pick(&ERRORS))),
            0xd8 => self.fail_receive(script.pick(&ERRORS)),
            0xd9..=0xdf => self.poll(),
            0xe0..=0xe7 => self.stray(script),
            0xe8..=0xef => self.connection(step & 7, script),
            0xf0..=0xf7 => {
                let bytes = script.short().to_vec();
                self.receive(&bytes);
            }
            0xf8..=0xff => self.expire(),
        }
    }

    fn call(&mut self, script: &mut Script<'_>) {
        let before = self.watches().then(|| self.machine.clone());
        let machine = &mut self.machine;
        let refused = self.heap.during(|| machine.call(script));
        if let Some(before) = before.filter(|_| refused) {
            assert_eq!(self.machine, before, "a call that was refused had an effect");
        }
    }

    /// Whether this call is watched.
    fn watches(&mut self) -> bool {
        let watched = self.manner.watched > 0;
        self.manner.watched = self.manner.watched.saturating_sub(1);
        watched
    }

    fn complete(&mut self, completion: Completion<'_>) {
        let (machine, now) = (&mut self.machine, self.now);
        self.heap.during(|| machine.handle_completion(completion, now));
        self.note_end();
    }

    fn event(&mut self, event: ConnectionEvent<'_>) {
        let (machine, now) = (&mut self.machine, self.now);
        self.heap.during(|| machine.handle_connection(event, now));
        self.note_end();
    }

    fn note_end(&mut self) {
        if self.machine.is_closed() {
            self.regions_at_the_end.get_or_insert(self.regions.len());
        }
    }

    /// Bytes arrive in the receive that was posted first, if one is.
    fn receive(&mut self, bytes: &[u8]) {
        if self.posted.is_empty() || self.broken {
            return;
        }
        let buffer = self.posted.remove(0);
        self.note_received(bytes);
        self.complete(Completion::Received { buffer, bytes });
    }

    /// What a message of the peer changes between the two.
    fn note_received(&mut self, bytes: &[u8]) {
        match Header::parse(bytes).map(|header| header.kind) {
            Ok(Kind::Ready) if M::SENDS_COMMANDS => self.ready = true,
            Ok(kind) if Some(kind) == self.reply => self.reply = None,
            Ok(_) if !M::SENDS_COMMANDS => self.ready = false,
            Ok(_) | Err(_) => {}
        }
    }

    /// What the peer may send now arrives.
    fn receive_due(&mut self, honest: bool, script: &mut Script<'_>) {
        self.poll();
        let waits =
            if M::SENDS_COMMANDS { self.reply.is_some() || !self.ready } else { self.ready };
        if waits {
            let bytes = M::due(&mut self.made_up, self.reply, honest, script);
            self.receive(&bytes);
        }
    }

    /// Polls operations until there are none, then events.
    fn poll(&mut self) {
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

    /// No more is registered than the owner allows, in whole chunks.
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

    /// Answers one of the open operations, well or with an error.
    fn answer_one(&mut self, which: usize, error: Option<TransportError>) {
        if !self.open.is_empty() {
            let at = which % self.open.len();
            self.answer(at, error, which % 4 == 3);
        }
    }

    fn answer(&mut self, at: usize, error: Option<TransportError>, zero: bool) {
        let operation = self.open.remove(at);
        if operation == Operation::Disconnect {
            self.flush();
        }
        let on_queue_pair = matches!(operation, Operation::Send { .. } | Operation::WriteRam(_));
        let error = match error {
            None if on_queue_pair && self.broken => Some(TransportError::Flushed),
            error => error,
        };
        let completion = match error {
            None => well(operation, zero),
            Some(error) => badly(operation, error).or(well(operation, zero)),
        };
        self.broken |= on_queue_pair && error.is_some();
        let kept = matches!(operation, Operation::DeregisterMemory { .. }) && error.is_some();
        self.left_behind |= kept;
        if let Some(
            Completion::MemoryDeregistered { region }
            | Completion::Failed { operation: FailedOperation::RegisterMemory { region }, .. },
        ) = completion
        {
            self.regions.retain(|(held, _)| *held != region);
        }
        if let Some(completion) = completion {
            self.complete(completion);
        }
    }

    /// Everything that was posted to the queue pair is answered before it is gone.
    fn flush(&mut self) {
        while let Some(buffer) = (!self.posted.is_empty()).then(|| self.posted.remove(0)) {
            let operation = FailedOperation::Receive { buffer };
            self.complete(Completion::Failed { operation, error: TransportError::Flushed });
        }
        let on_queue_pair =
            |open: &Operation| matches!(open, Operation::Send { .. } | Operation::WriteRam(_));
        while let Some(at) = self.open.iter().position(on_queue_pair) {
            let flushed = badly(self.open.remove(at), TransportError::Flushed);
            self.complete(flushed.expect("it can fail"));
        }
    }

    fn fail_receive(&mut self, error: TransportError) {
        if !self.posted.is_empty() {
            let operation = FailedOperation::Receive { buffer: self.posted.remove(0) };
            self.broken = true;
            self.complete(Completion::Failed { operation, error });
        }
    }

    /// Everything that was ordered goes well.
    fn cooperate(&mut self, zero: bool) {
        self.poll();
        for _ in 0..ORDERS_MAX {
            if self.open.is_empty() {
                return;
            }
            self.answer(0, None, zero);
            self.poll();
        }
        panic!("no end of work");
    }

    /// An answer to nothing in particular, if the transport is such a one.
    fn stray(&mut self, script: &mut Script<'_>) {
        if self.manner.faithful {
            return;
        }
        self.strayed = true;
        if script.yes() {
            let buffer = answers::buffer(script);
            self.posted.retain(|posted| *posted != buffer);
            let bytes = self.made_up.any(script).to_vec();
            // The machine cannot tell that the peer has sent no such thing.
            self.note_received(&bytes);
            self.complete(Completion::Received { buffer, bytes: &bytes });
        } else {
            let completion = answers::any(script);
            // What answers an open operation by chance counts as its answer.
            let answers_one = |open: &Operation| match completion {
                Completion::Sent | Completion::Failed { operation: FailedOperation::Send, .. } => {
                    matches!(open, Operation::Send { .. })
                }
                _ => false,
            };
            if let Some(at) = self.open.iter().position(answers_one) {
                self.open.remove(at);
            }
            if let Completion::Failed { operation: FailedOperation::Receive { buffer }, .. } =
                completion
            {
                self.posted.retain(|posted| *posted != buffer);
            }
            self.complete(completion);
        }
    }

    fn connection(&mut self, which: u8, script: &mut Script<'_>) {
        const PINNED: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
        const PLAIN: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 0];
        let (event, fits) = match which {
            0 => (ConnectionEvent::Established { private_data: &PLAIN }, self.connecting),
            1 => (ConnectionEvent::Established { private_data: &PINNED }, self.connecting),
            2 => (ConnectionEvent::Established { private_data: script.short() }, self.connecting),
            3 => (ConnectionEvent::Rejected, self.connecting && M::SENDS_COMMANDS),
            4 => {
                let error = script.pick(&ERRORS);
                (ConnectionEvent::Failed { error }, self.connecting)
            }
            5 => {
                let private_data = script.pick(&[&PLAIN, &PINNED]);
                let fits = !M::SENDS_COMMANDS && !self.requested;
                (ConnectionEvent::Requested { private_data }, fits)
            }
            6 => {
                let private_data = script.short();
                let fits = !M::SENDS_COMMANDS && !self.requested;
                (ConnectionEvent::Requested { private_data }, fits)
            }
            _ => (ConnectionEvent::Disconnected, true),
        };
        if !fits && self.manner.faithful {
            return;
        }
        self.strayed |= !fits;
        match event {
            ConnectionEvent::Requested { .. } => self.requested = true,
            ConnectionEvent::Disconnected => self.lost = true,
            _ => self.connecting = false,
        }
        self.event(event);
        self.poll();
    }

    fn expire(&mut self) {
        if let Some((deadline, _)) = self.machine.poll_timeout() {
            let (machine, now) = (&mut self.machine, self.now.max(deadline));
            self.now = now;
            self.left_behind = true;
            self.heap.during(|| machine.handle_timeout(now));
            self.note_end();
        }
    }

    /// What holds at any time.
    fn check(&mut self) {
        let owner = self.machine.guest_owner();
        let rank = |owner| match owner {
            GuestOwner::Source => 0,
            GuestOwner::Undecided => 1,
            GuestOwner::Destination => 2,
        };
        assert!(rank(self.owner) <= rank(owner), "the guest went back to {owner:?}");
        self.owner = owner;
        if let Some(closed) = &self.closed {
            assert!(self.machine.is_closed());
            assert_eq!(closed.guest, owner, "another owner after the end");
            assert_eq!(self.machine.poll_timeout(), None);
        }
    }

    /// Whoever waits for its peer or for its transport has a deadline.
    fn assert_bounded(&self) {
        let unsignaled =
            |open: &Operation| matches!(open, Operation::WriteRam(write) if !write.signaled);
        let transport = self.connecting || self.open.iter().any(|open| !unsignaled(open));
        // A destination whose source is gone waits for its owner alone.
        let peer = if M::SENDS_COMMANDS { self.reply.is_some() } else { self.ready };
        let waits = !self.lost && !self.broken && (transport || peer);
        if waits && self.closed.is_none() && !self.strayed {
            let deadline = self.machine.poll_timeout();
            assert!(deadline.is_some(), "it waits without end: {:?}", self.machine);
        }
    }

    /// The owner gives up; then the end has to come, by answers or by deadlines alone.
    fn end(&mut self) {
        self.poll();
        self.assert_bounded();
        let machine = &mut self.machine;
        self.heap.during(|| machine.give_up());
        self.note_end();
        self.poll();
        let mut deadlines = 0;
        while self.closed.is_none() {
            if self.manner.answered_at_the_end {
                self.cooperate(false);
            }
            if self.closed.is_none() {
                deadlines += 1;
                assert!(deadlines <= DEADLINES_MAX, "no end of deadlines");
                assert!(
                    self.machine.poll_timeout().is_some(),
                    "it waits for nothing: {:?}",
                    self.machine
                );
                self.expire();
                self.poll();
            }
        }
        self.check();
        self.judge_end();
    }

    fn judge_end(&self) {
        let closed = self.closed.as_ref().expect("it has ended");
        if self.strayed {
            return;
        }
        let blamed_us = matches!(closed.result, Err(Error::ApiMisuse(_)));
        assert!(!blamed_us, "{:?} with a transport that kept the contract", closed.result);
        assert_eq!(Some(closed.regions_left), self.regions_at_the_end, "regions left behind");
        assert!(closed.regions_left == 0 || self.left_behind, "{closed:?}");
    }
}
