//! A real source against a real destination, over a link on which one thing goes wrong.
//!
//! The script says what is migrated, in which order everything that is under way comes to pass, and
//! which one step is a lie, a failure or a change of mind. Whatever it is, both sides come to their
//! end, give everything back, and never both run the guest; and if nobody lied, what they report is
//! true.

mod host;
mod judgment;
mod lie;
mod link;
mod owners;
mod seat;

use std::cell::RefCell;

use rdma_migration_protocol::connection::{GuestOwner, PinAllOffer};
use rdma_migration_protocol::destination::{Destination, DestinationConfig, Windows};
use rdma_migration_protocol::limits::{COMMANDS_MAX, CONTROL_BUFFER_BYTES};
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{ConnectionEvent, Machine, Operation, TransportError};

use crate::made_up::MadeUp;
use crate::registering::registering;
use crate::script::Script;
use host::{Host, QueuePair};
use lie::{Lie, without_tail};
use link::{Told, arrive, leave};
use owners::{DestinationOwner, Plan, SourceOwner};
use seat::Seat;

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
}

fn other_private_data(mut private_data: [u8; 8], lie: Lie, script: &mut Script<'_>) -> [u8; 8] {
    if lie == Lie::PrivateData {
        let at = usize::from(script.byte() % 8);
        private_data[at] ^= script.byte();
    }
    private_data
}
