//! Either machine, under a script that decides what its peer, its transport and its owner do.
//!
//! The first byte says how: with or without a transport that keeps the contract, and how the run
//! ends. Each further step is one byte and what it needs. However it goes, the machine must keep its
//! half of the contract of [`transport`](rdma_migration_protocol::transport), and come to its end.

mod happenings;
mod judgment;
mod orders;

use std::cell::RefCell;
use std::fmt;

use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::limits::{
    COMMANDS_MAX, CONTROL_BUFFER_BYTES, RECEIVE_BUFFERS, heap_bytes_max,
};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, Machine, Operation, ReceiveBuffer, RegionId,
};
use rdma_migration_protocol::wire::Kind;

use crate::answers::ERRORS;
use crate::guest::{CHUNKS, LENGTHS};
use crate::heap::Heap;
use crate::made_up::MadeUp;
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

    fn expire(&mut self) {
        if let Some((deadline, _)) = self.machine.poll_timeout() {
            let (machine, now) = (&mut self.machine, self.now.max(deadline));
            self.now = now;
            self.left_behind = true;
            self.heap.during(|| machine.handle_timeout(now));
            self.note_end();
        }
    }
}
