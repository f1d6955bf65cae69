//! A real source against a real destination, over a link on which one thing goes wrong.
//!
//! The script says what is migrated, in which order everything that is under way comes to pass, and
//! which one step is a lie, a failure or a change of mind. Whatever it is, both sides come to their
//! end, give everything back, and never both run the guest; and if nobody lied, what they report is
//! true.

mod host;
mod lie;
mod owners;

use std::cell::RefCell;

use rdma_migration_protocol::address::Rkey;
use rdma_migration_protocol::connection::{Closed, GuestOwner, PinAllOffer};
use rdma_migration_protocol::destination::{Destination, DestinationConfig, Windows};
use rdma_migration_protocol::error::Error;
use rdma_migration_protocol::limits::{COMMANDS_MAX, CONTROL_BUFFER_BYTES, heap_bytes_max};
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Machine, Operation, TransportError, WriteRam,
};

use crate::answers::{badly, rkey};
use crate::guest::{CHUNKS, LENGTHS, MIB};
use crate::heap::Heap;
use crate::made_up::MadeUp;
use crate::registering::registering;
use crate::script::Script;
use host::{Host, QueuePair, Work};
use lie::{Lie, without_tail};
use owners::{DestinationOwner, Plan, SourceOwner};

/// More steps than any plan takes, with a message of a lie in it whose commands are all carried out
/// and undone.
const STEPS_MAX: usize = 4000 + 2 * COMMANDS_MAX;
/// More deadlines than two sides have on the way to their ends.
const DEADLINES_MAX: usize = 60;

thread_local! {
    static SEND_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CONTROL_BUFFER_BYTES]);
}

/// Runs a migration as the script says.
///
/// # Panics
///
/// If a side breaks its half of the contract, allocates more than its bound, or does not end; if both
/// would run the guest; if, without a lie, success is reported and something was lost.
pub fn drive(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    SEND_BUFFER.with_borrow_mut(|send_buffer| {
        let mut course = Course::new(&mut script, send_buffer);
        course.run(&mut script);
        course.judge();
    });
}

/// A machine with its host and its owner.
struct Seat<M, O> {
    machine: M,
    /// What its owner allows it to register.
    pinned_bytes_max: Option<u64>,
    heap: Heap,
    host: Host,
    owner: O,
    /// Whether something has happened to the machine since it was polled.
    stirred: bool,
    /// Regions that were registered when the machine closed.
    regions_at_the_end: Option<usize>,
}

/// What an owner does when it is its turn.
trait Attend<M> {
    /// Whether there was something to do.
    fn attend(&mut self, machine: &mut M, host: &mut Host) -> bool;

    fn closed(&self) -> Option<&Closed>;
}

impl Attend<Source> for SourceOwner {
    fn attend(&mut self, machine: &mut Source, host: &mut Host) -> bool {
        self.attend(machine, host)
    }

    fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }
}

impl Attend<Destination> for DestinationOwner {
    fn attend(&mut self, machine: &mut Destination, host: &mut Host) -> bool {
        self.attend(machine, host)
    }

    fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }
}

impl<M: Machine, O: Attend<M>> Seat<M, O> {
    fn new(machine: M, pinned_bytes_max: Option<u64>, host: Host, owner: O) -> Self {
        let heap = Heap::new(heap_bytes_max(LENGTHS.len(), CHUNKS));
        Self {
            machine,
            pinned_bytes_max,
            heap,
            host,
            owner,
            stirred: true,
            regions_at_the_end: None,
        }
    }

    fn complete(&mut self, completion: Completion<'_>, now: Instant) {
        let machine = &mut self.machine;
        self.heap.during(|| machine.handle_completion(completion, now));
        self.note_end();
    }

    fn event(&mut self, event: ConnectionEvent<'_>, now: Instant) {
        let machine = &mut self.machine;
        self.heap.during(|| machine.handle_connection(event, now));
        self.note_end();
    }

    fn expire(&mut self, now: Instant) {
        let machine = &mut self.machine;
        self.heap.during(|| machine.handle_timeout(now));
        self.note_end();
    }

    fn note_end(&mut self) {
        self.stirred = true;
        if self.machine.is_closed() {
            self.regions_at_the_end.get_or_insert(self.host.regions());
        }
    }

    /// Polls and attends until nothing changes.
    fn settle(&mut self, send_buffer: &mut [u8], now: Instant) {
        while std::mem::take(&mut self.stirred) {
            self.poll(send_buffer, now);
            // The few bytes that the owner itself needs count as the machine's.
            let (machine, owner, host) = (&mut self.machine, &mut self.owner, &mut self.host);
            if self.heap.during(|| owner.attend(machine, host)) {
                self.note_end();
            }
        }
    }

    /// Takes operations until there are none.
    fn poll(&mut self, send_buffer: &mut [u8], now: Instant) {
        loop {
            let machine = &mut self.machine;
            let next = self.heap.during(|| machine.poll_operation(send_buffer, now));
            let Some(operation) = next else { return };
            self.take(operation, send_buffer);
        }
    }

    fn take(&mut self, operation: Operation, send_buffer: &[u8]) {
        assert!(self.owner.closed().is_none(), "{operation:?} after the end");
        let host = &mut self.host;
        match operation {
            Operation::PostReceive { buffer } => {
                assert!(!host.posted.contains(&buffer), "{buffer:?} posted twice");
                host.posted.push_back(buffer);
            }
            Operation::Send { length } => {
                host.queued.push_back(Work::Send(send_buffer[..length].to_vec()));
                let sends = host.queued.iter().filter(|work| matches!(work, Work::Send(_)));
                assert!(sends.count() <= 2, "three sends at once");
            }
            Operation::WriteRam(write) => {
                crate::guest::assert_inside(write.block, write.offset, write.length);
                host.queued.push_back(Work::Write(write));
            }
            Operation::ScanRam { block, offset, length }
            | Operation::ZeroRam { block, offset, length }
            | Operation::RegisterMemory { block, offset, length, .. } => {
                crate::guest::assert_inside(block, offset, length);
                host.memory_work.push_back(operation);
                let chunks = host.pinned_chunks();
                let allowed = self.pinned_bytes_max.is_none_or(|max| chunks * MIB <= max);
                assert!(allowed, "{chunks} chunks registered at a time");
            }
            Operation::DeregisterMemory { region } => {
                let reads =
                    |work: &Work| matches!(work, Work::Write(write) if write.region == region);
                assert!(!host.queued.iter().any(reads), "{region} is read from, and given back");
                host.memory_work.push_back(operation);
            }
            Operation::Connect { .. }
            | Operation::Accept { .. }
            | Operation::Reject
            | Operation::Disconnect => host.connection_work.push_back(operation),
        }
    }

    /// Answers everything that was posted to the queue pair, and that it is gone.
    fn destroy_queue_pair(&mut self, now: Instant) {
        let error = TransportError::Flushed;
        while let Some(buffer) = self.host.posted.pop_front() {
            let operation = FailedOperation::Receive { buffer };
            self.complete(Completion::Failed { operation, error }, now);
        }
        while let Some(work) = self.host.queued.pop_front() {
            self.fail_work(&work, error, now);
        }
        self.host.queue_pair = QueuePair::Gone;
        self.host.peer_left = false;
        self.complete(Completion::Disconnected, now);
    }

    fn fail_work(&mut self, work: &Work, error: TransportError, now: Instant) {
        let operation = match work {
            Work::Send(_) => FailedOperation::Send,
            Work::Write(_) => FailedOperation::WriteRam,
        };
        self.complete(Completion::Failed { operation, error }, now);
    }

    /// The oldest work on memory is done, or fails.
    fn do_memory_work(&mut self, error: Option<TransportError>, now: Instant) {
        let Some(operation) = self.host.memory_work.pop_front() else { return };
        if let Some(error) = error {
            let completion = badly(operation, error).expect("it can fail");
            return self.complete(completion, now);
        }
        let completion = match operation {
            Operation::RegisterMemory { region, block, offset, length, .. } => {
                self.host.register(region, block, offset, length);
                Completion::MemoryRegistered { region, rkey: rkey(region) }
            }
            Operation::DeregisterMemory { region } => {
                self.host.deregister(region);
                Completion::MemoryDeregistered { region }
            }
            Operation::ScanRam { block, offset, length } => {
                let pages = self.host.pages_touched(block, offset.get(), length);
                let zero = pages.iter().all(|page| *page == 0);
                Completion::RamScanned { block, offset, zero }
            }
            Operation::ZeroRam { block, offset, length } => {
                self.host.pages_touched(block, offset.get(), length).fill(0);
                Completion::RamZeroed { block, offset }
            }
            other => panic!("{other:?} is no work on memory"),
        };
        self.complete(completion, now);
    }
}

/// What can come to pass next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Move {
    /// The oldest work of the source on its queue pair.
    SourceQueue,
    DestinationQueue,
    SourceMemory,
    DestinationMemory,
    SourceConnection,
    DestinationConnection,
    /// The source is told that its peer is gone.
    SourceToldOfLoss,
    DestinationToldOfLoss,
}

/// One migration.
struct Course<'b> {
    source: Seat<Source, SourceOwner>,
    destination: Seat<Destination, DestinationOwner>,
    send_buffer: &'b mut [u8],
    made_up: MadeUp,
    now: Instant,
    lie: Lie,
    /// The step at which it is told.
    lie_at: usize,
    told: bool,
    silent: bool,
}

impl<'b> Course<'b> {
    fn new(script: &mut Script<'_>, send_buffer: &'b mut [u8]) -> Self {
        let choices = script.byte();
        let pin_all = [PinAllOffer::Never, PinAllOffer::Required][usize::from(choices & 1)];
        let windows = [Windows::Anywhere, Windows::Announced][usize::from(choices >> 1 & 1)];
        let lie_at = usize::from(script.byte());
        let lie = Lie::new(script);
        let plan = Plan::new(script);
        let config = SourceConfig {
            pin_all,
            signal_interval: [64, 2][usize::from(choices >> 2 & 1)],
            writes_in_flight_max: [256, 3][usize::from(choices >> 3 & 1)],
            peer_unregisters: true,
            ..SourceConfig::default()
        };
        let config = match choices & 0x80 {
            0 => config,
            _ => {
                let choices = script.byte();
                let peer_unregisters = choices & 0x80 == 0;
                SourceConfig { peer_unregisters, ..registering(config, choices) }
            }
        };
        let pinned = config.pinned_bytes_max;
        let pinned_there = pinned.filter(|_| config.peer_unregisters);
        let source = Source::new(config).expect("a valid configuration");
        let destination = Destination::new(DestinationConfig {
            windows,
            pinned_bytes_max: pinned_there,
            ..DestinationConfig::default()
        });
        // Some of the source's pages are zero; none of the destination's is what the source has.
        let host = Host::new(|block, page| [1, 2, 0, 3][(block + page / 100) % 4]);
        let owner = SourceOwner::new(&plan, &host);
        let source = Seat::new(source, pinned, host, owner);
        let owner = DestinationOwner::new(&plan, windows, choices >> 4);
        let destination = Seat::new(destination, pinned_there, Host::new(|_, _| 0xee), owner);
        Self {
            source,
            destination,
            send_buffer,
            made_up: MadeUp::default(),
            now: Instant::ORIGIN,
            lie,
            lie_at,
            told: false,
            silent: false,
        }
    }

    fn run(&mut self, script: &mut Script<'_>) {
        let source = &mut self.source;
        source.heap.during(|| source.machine.connect()).expect("the first call");
        let mut deadlines = 0;
        for step in 0..STEPS_MAX {
            self.settle();
            if self.source.machine.is_closed() && self.destination.machine.is_closed() {
                return;
            }
            let lie = if step == self.lie_at { self.lie } else { Lie::Nothing };
            self.tell(lie, script);
            let (moves, count) = self.moves();
            if count == 0 {
                deadlines += 1;
                assert!(deadlines <= DEADLINES_MAX, "no end of deadlines");
                self.expire();
                continue;
            }
            let next = moves[usize::from(script.byte()) % count];
            self.make(next, lie, script);
        }
        panic!("no end of steps");
    }

    fn settle(&mut self) {
        self.source.settle(self.send_buffer, self.now);
        self.destination.settle(self.send_buffer, self.now);
        let both = self.destination.machine.guest_owner() == GuestOwner::Destination
            && self.source.machine.guest_owner() == GuestOwner::Source;
        assert!(!both, "both sides may run the guest");
    }

    fn moves(&self) -> ([Move; 8], usize) {
        let mut moves = [Move::SourceQueue; 8];
        let mut count = 0;
        let mut may = |possible: bool, each: Move| {
            if possible {
                moves[count] = each;
                count += 1;
            }
        };
        let (source, destination) = (&self.source.host, &self.destination.host);
        let works = |host: &Host| {
            let fails = matches!(host.queue_pair, QueuePair::Broken);
            let carries = host.queue_pair == QueuePair::Open && !self.silent;
            !host.queued.is_empty() && (fails || carries)
        };
        let connects = |host: &Host| match host.connection_work.back() {
            Some(Operation::Disconnect) => true,
            Some(_) => !self.silent,
            None => false,
        };
        may(works(source), Move::SourceQueue);
        may(works(destination), Move::DestinationQueue);
        may(!source.memory_work.is_empty(), Move::SourceMemory);
        may(!destination.memory_work.is_empty(), Move::DestinationMemory);
        may(connects(source), Move::SourceConnection);
        may(connects(destination), Move::DestinationConnection);
        may(source.peer_left && !self.silent, Move::SourceToldOfLoss);
        may(destination.peer_left && !self.silent, Move::DestinationToldOfLoss);
        (moves, count)
    }

    /// What goes wrong beside the step that is made.
    fn tell(&mut self, lie: Lie, script: &mut Script<'_>) {
        self.told |= lie != Lie::Nothing;
        match lie {
            Lie::Cut => self.cut(),
            Lie::Silence => self.silent = true,
            Lie::Abort { source: true } => {
                // Refused once the guest is handed over, which is as it should be.
                let source = &mut self.source;
                let _too_late = source.heap.during(|| source.machine.abort());
                source.note_end();
                self.settle();
            }
            Lie::Abort { source: false } => {
                let destination = &mut self.destination;
                let _too_late = destination.heap.during(|| destination.machine.abort());
                destination.note_end();
                self.settle();
            }
            Lie::MadeUp { to_source } => {
                let mut message = self.made_up.any(script).to_vec();
                without_tail(&mut message);
                let now = self.now;
                match to_source {
                    true => drop(arrive(&mut self.source, &message, now)),
                    false => drop(arrive(&mut self.destination, &message, now)),
                }
                self.settle();
            }
            _ => {}
        }
    }

    /// Both ends learn that the connection is gone.
    fn cut(&mut self) {
        for host in [&mut self.source.host, &mut self.destination.host] {
            if host.queue_pair == QueuePair::Open {
                host.queue_pair = QueuePair::Broken;
                host.peer_left = true;
            }
        }
    }

    fn make(&mut self, next: Move, lie: Lie, script: &mut Script<'_>) {
        let now = self.now;
        let error = match lie {
            Lie::Failed { error, .. } => Some(error),
            _ => None,
        };
        match next {
            Move::SourceQueue | Move::DestinationQueue => {
                let made_up = match lie {
                    Lie::Replaced => {
                        let mut message = self.made_up.any(script).to_vec();
                        without_tail(&mut message);
                        message
                    }
                    _ => Vec::new(),
                };
                let told = Told { lie, made_up, error, lied: self.has_lied() };
                match next {
                    Move::SourceQueue => told.work(&mut self.source, &mut self.destination, now),
                    _ => told.work(&mut self.destination, &mut self.source, now),
                }
            }
            Move::SourceMemory => self.source.do_memory_work(error, now),
            Move::DestinationMemory => self.destination.do_memory_work(error, now),
            Move::SourceConnection => self.source_connection(lie, script),
            Move::DestinationConnection => self.destination_connection(lie, script),
            Move::SourceToldOfLoss => {
                self.source.host.peer_left = false;
                self.source.event(ConnectionEvent::Disconnected, now);
            }
            Move::DestinationToldOfLoss => {
                self.destination.host.peer_left = false;
                self.destination.event(ConnectionEvent::Disconnected, now);
            }
        }
    }

    /// Whether a peer has lied by now.
    fn has_lied(&self) -> bool {
        self.told && self.lie.is_of_a_peer()
    }

    fn source_connection(&mut self, lie: Lie, script: &mut Script<'_>) {
        let now = self.now;
        match self.source.host.connection_work.pop_front() {
            Some(Operation::Connect { private_data }) => {
                if let Lie::Failed { error, .. } = lie {
                    return self.source.event(ConnectionEvent::Failed { error }, now);
                }
                let private_data = other_private_data(private_data, lie, script);
                let private_data = &private_data;
                self.destination.event(ConnectionEvent::Requested { private_data }, now);
            }
            Some(Operation::Disconnect) => {
                leave(&mut self.source, &mut self.destination, now);
            }
            other => panic!("{other:?} of a source"),
        }
    }

    fn destination_connection(&mut self, lie: Lie, script: &mut Script<'_>) {
        let now = self.now;
        // A source that has gone away by then does not learn of it.
        let is_there = self.source.host.queue_pair == QueuePair::Young;
        match self.destination.host.connection_work.pop_front() {
            Some(Operation::Accept { private_data }) => {
                if let Lie::Failed { error, .. } = lie {
                    self.source.host.peer_left = is_there;
                    return self.destination.event(ConnectionEvent::Failed { error }, now);
                }
                if !is_there {
                    let error = TransportError::Unreachable;
                    return self.destination.event(ConnectionEvent::Failed { error }, now);
                }
                let private_data = other_private_data(private_data, lie, script);
                self.source.host.queue_pair = QueuePair::Open;
                self.destination.host.queue_pair = QueuePair::Open;
                self.destination.event(ConnectionEvent::Established { private_data: &[] }, now);
                let private_data = &private_data;
                self.source.event(ConnectionEvent::Established { private_data }, now);
            }
            Some(Operation::Reject) => {
                if is_there {
                    self.source.event(ConnectionEvent::Rejected, now);
                }
            }
            Some(Operation::Disconnect) => {
                leave(&mut self.destination, &mut self.source, now);
            }
            other => panic!("{other:?} of a destination"),
        }
    }

    /// Nothing is under way: time passes.
    fn expire(&mut self) {
        let source = self.source.machine.poll_timeout().map(|(at, _)| at);
        let destination = self.destination.machine.poll_timeout().map(|(at, _)| at);
        let Some(next) = source.into_iter().chain(destination).min() else {
            // A destination that no source has asked waits for ever; its owner need not.
            let aborted = self.destination.machine.abort();
            self.destination.note_end();
            assert_eq!(aborted, Ok(()), "both sides wait, and not for each other");
            return;
        };
        self.now = self.now.max(next);
        if source.is_some_and(|at| at <= self.now) {
            self.source.expire(self.now);
        }
        if destination.is_some_and(|at| at <= self.now) {
            self.destination.expire(self.now);
        }
    }

    fn judge(&self) {
        let at_source = self.source.owner.closed.as_ref().expect("the source has ended");
        let at_destination = self.destination.owner.closed.as_ref().expect("so has the other");
        let regions = [self.source.regions_at_the_end, self.destination.regions_at_the_end];
        assert_eq!(
            regions,
            [Some(at_source.regions_left), Some(at_destination.regions_left)],
            "regions left behind"
        );
        if !matches!(self.lie, Lie::Failed { .. }) {
            assert_eq!(regions, [Some(0); 2], "regions left behind");
        }
        for closed in [at_source, at_destination] {
            let blamed = matches!(closed.result, Err(Error::ApiMisuse(_)));
            assert!(!blamed, "{closed:?}");
            let accused = matches!(
                closed.result,
                Err(Error::Malformed(_) | Error::PeerMisbehaved(_) | Error::PeerIncompatible(_))
            );
            assert!(!accused || self.has_lied(), "{closed:?} of an honest peer");
        }
        if !self.told {
            assert_eq!(at_source.result, Ok(()));
            assert_eq!(at_destination.result, Ok(()));
        }
        let arrived = at_destination.guest == GuestOwner::Destination;
        assert!(!arrived || at_source.guest != GuestOwner::Source, "two running guests");
        assert_eq!(at_destination.result.is_ok(), arrived);
        if arrived && !self.has_lied() {
            self.assert_arrived();
        }
    }

    fn assert_arrived(&self) {
        for block in 0..LENGTHS.len() {
            let here = &self.source.host.ram[block];
            let there = &self.destination.host.ram[block];
            let sent = &self.source.owner.sent[block];
            for (page, ((here, there), sent)) in here.iter().zip(there).zip(sent).enumerate() {
                let expected = if *sent > 0 { *here } else { 0xee };
                assert_eq!(*there, expected, "page {page} of block {block}");
            }
        }
    }
}

fn other_private_data(mut private_data: [u8; 8], lie: Lie, script: &mut Script<'_>) -> [u8; 8] {
    if lie == Lie::PrivateData {
        let at = usize::from(script.byte() % 8);
        private_data[at] ^= script.byte();
    }
    private_data
}

/// One side disconnects; the other one learns of it later.
fn leave<M, N, O, P>(from: &mut Seat<M, O>, other: &mut Seat<N, P>, now: Instant)
where
    M: Machine,
    N: Machine,
    O: Attend<M>,
    P: Attend<N>,
{
    let asked = other.host.queue_pair == QueuePair::Young && !other.host.posted.is_empty();
    if other.host.queue_pair == QueuePair::Open || asked {
        other.host.queue_pair = match asked {
            true => QueuePair::Young,
            false => QueuePair::Broken,
        };
        other.host.peer_left = true;
    }
    from.destroy_queue_pair(now);
}

/// A message arrives, if there is a receive for it.
fn arrive<M: Machine, O: Attend<M>>(to: &mut Seat<M, O>, message: &[u8], now: Instant) -> bool {
    if to.host.queue_pair != QueuePair::Open {
        return false;
    }
    let Some(buffer) = to.host.posted.pop_front() else { return false };
    let slot = usize::from(buffer.0);
    let mut bytes = std::mem::take(&mut to.host.received[slot]);
    bytes.clear();
    bytes.extend_from_slice(message);
    to.complete(Completion::Received { buffer, bytes: &bytes }, now);
    to.host.received[slot] = bytes;
    true
}

/// How the oldest work on a queue pair goes.
struct Told {
    lie: Lie,
    made_up: Vec<u8>,
    error: Option<TransportError>,
    /// Whether a peer has lied, so that what follows may be wrong.
    lied: bool,
}

impl Told {
    fn work<M, N, O, P>(&self, from: &mut Seat<M, O>, to: &mut Seat<N, P>, now: Instant)
    where
        M: Machine,
        N: Machine,
        O: Attend<M>,
        P: Attend<N>,
    {
        let Some(work) = from.host.queued.pop_front() else { return };
        let error = match (from.host.queue_pair, to.host.queue_pair) {
            (QueuePair::Broken, _) => Some(TransportError::Flushed),
            (_, QueuePair::Open) => self.error,
            _ => Some(TransportError::RetryExceeded),
        };
        if let Some(error) = error {
            if let (Work::Send(message), Lie::Failed { arrives: true, .. }) = (&work, self.lie) {
                // Its peer has it, whatever the sender is told.
                arrive(to, message, now);
            }
            return break_off(from, to, &work, error, now);
        }
        match work {
            Work::Send(mut message) => {
                let sent = message.clone();
                let times = self.lie.told(&mut message, &self.made_up);
                for time in 0..times {
                    let arrived = arrive(to, &message, now);
                    if !arrived && time == 0 {
                        assert!(self.lied, "no receive is posted for {sent:?}");
                        let error = TransportError::ReceiverNotReady;
                        return break_off(from, to, &Work::Send(sent), error, now);
                    }
                }
                from.complete(Completion::Sent, now);
            }
            Work::Write(write) => {
                if !self.write(from, to, &write) {
                    let error = TransportError::RemoteAccess;
                    return break_off(from, to, &Work::Write(write), error, now);
                }
                if write.signaled {
                    from.complete(Completion::RamWritten, now);
                }
            }
        }
    }

    /// Whether the peer's adapter takes the write.
    fn write<M, N, O, P>(
        &self,
        from: &mut Seat<M, O>,
        to: &mut Seat<N, P>,
        write: &WriteRam,
    ) -> bool {
        from.host.assert_readable(write);
        assert_ne!(write.rkey, Rkey::new(0));
        let granted = to.host.granted(write.remote_address, write.length, write.rkey);
        assert!(granted.is_some() || self.lied, "{write:?} outside what is granted");
        let Some((block, offset)) = granted else { return false };
        if self.lied && (block, offset) != (write.block, write.offset.get()) {
            // It went where a lie has led it.
            to.host.pages_touched(block, offset, write.length).fill(0xdd);
            return true;
        }
        assert_eq!((block, offset), (write.block, write.offset.get()));
        let pages = from.host.pages_touched(write.block, offset, write.length);
        to.host.pages_touched(block, offset, write.length).copy_from_slice(pages);
        true
    }
}

/// Work fails, and the connection with it.
fn break_off<M, N, O, P>(
    from: &mut Seat<M, O>,
    to: &mut Seat<N, P>,
    work: &Work,
    error: TransportError,
    now: Instant,
) where
    M: Machine,
    N: Machine,
    O: Attend<M>,
    P: Attend<N>,
{
    from.host.queue_pair = QueuePair::Broken;
    if to.host.queue_pair == QueuePair::Open {
        to.host.queue_pair = QueuePair::Broken;
        to.host.peer_left = true;
    }
    from.fail_work(work, error, now);
}
