//! A state of the model: both real machines, their owners, their memory, and the link between them.
//!
//! Time is not in it. All waits are of length zero, so every deadline lies at the origin, where `now`
//! stays for ever; the model chooses when one fires. Of several waits that are under way the first
//! in the order of [`TimeoutReason`](rdma_migration_protocol::deadline::TimeoutReason) ends: while
//! the connection is open a machine treats all of them alike, but for the farewell, which is alone.

use std::time::Duration;

use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_protocol::deadline::{TimeoutReason, Timeouts};
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::error::Error;
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Input, Machine, Operation};
use rdma_migration_transport_sim::{Side, Sides};

use crate::dialogue::Log;
use crate::exploration::Migration;
use crate::guest::Guest;
use crate::link::Link;
use crate::memory::Memory;
use crate::owners::{DestinationOwner, SourceOwner};
use crate::rules::{ControlChannel, Rule, Violation};

/// Bytes of the longest message of the small guests, with room to spare.
const SEND_BUFFER_BYTES: usize = 256;

/// What the fate of the last message of the stream is, as far as the source was told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum LastSend {
    #[default]
    NotPosted,
    Posted,
    Acknowledged,
}

/// What is left of a side that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// Who may run the guest, as the machine says for ever.
    pub(crate) guest: GuestOwner,
    /// Regions that the machine says it could not give back.
    pub(crate) regions_said: usize,
    /// Regions that are registered, or may be.
    pub(crate) regions_left: usize,
}

/// The result of a side, as far as properties go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Outcome {
    Success,
    Failure,
    /// It says that the peer or its transport have broken the rules.
    Blame,
    /// It was never told how it ended.
    Unknown,
}

/// One state.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    /// The machines, until they have reached their end: see [`Self::put_away`].
    pub(crate) source: Option<Source>,
    pub(crate) destination: Option<Destination>,
    /// How the sides have ended.
    pub(crate) ends: Sides<Option<Ended>>,
    pub(crate) source_owner: SourceOwner,
    pub(crate) destination_owner: DestinationOwner,
    pub(crate) link: Link,
    pub(crate) memory: Sides<Memory>,
    pub(crate) channel: ControlChannel,
    pub(crate) last_send: LastSend,
    /// What went wrong so far that no machine is to blame for.
    pub(crate) faults: u8,
    /// The side's transport did not close in time, so that it may leave regions behind.
    pub(crate) transport_late: Sides<bool>,
    /// Deregistrations that failed.
    pub(crate) failed_deregistrations: Sides<u8>,
    pub(crate) violation: Option<Violation>,
    /// What has happened so far. It grows along every edge of the graph of states.
    pub(crate) inputs: u16,
}

impl World {
    /// The beginning: the source's owner has called `connect`.
    pub(crate) fn new(guest: &Guest) -> Self {
        let zero = Duration::ZERO;
        let timeouts = Timeouts {
            connection: zero,
            response: zero,
            command: zero,
            acknowledgement: zero,
            memory: zero,
            farewell: zero,
            closing: zero,
        };
        let mut source = Source::new(SourceConfig {
            pin_all: guest.offer,
            registration: guest.registration,
            peer_unregisters: guest.unregisters,
            pinned_bytes_max: guest.pinned_bytes_max(Side::Source),
            timeouts: timeouts.clone(),
            ..SourceConfig::default()
        })
        .expect("the configuration is valid");
        source.connect().expect("the first call");
        let pin_all = guest.policy;
        let destination = Destination::new(DestinationConfig {
            pin_all,
            pinned_bytes_max: guest.pinned_bytes_max(Side::Destination),
            timeouts,
            ..DestinationConfig::default()
        });
        let memory = Sides::from_fn(|side| {
            Memory::new(match side {
                Side::Source => guest.ram.clone(),
                // Nothing of what was here before is what the source has.
                Side::Destination => guest.ram.iter().map(|b| vec![u8::MAX; b.len()]).collect(),
            })
        });
        Self {
            source: Some(source),
            destination: Some(destination),
            ends: Sides::default(),
            source_owner: SourceOwner::default(),
            destination_owner: DestinationOwner::default(),
            link: Link::default(),
            memory,
            channel: ControlChannel::default(),
            last_send: LastSend::default(),
            faults: 0,
            transport_late: Sides::default(),
            failed_deregistrations: Sides::default(),
            violation: None,
            inputs: 0,
        }
    }

    pub(crate) fn is_closed(&self, side: Side) -> bool {
        self.ends.of(side).is_some()
    }

    /// Who may run the guest, as a side says.
    pub(crate) fn guest_owner(&self, side: Side) -> GuestOwner {
        let running = match side {
            Side::Source => self.source.as_ref().map(Source::guest_owner),
            Side::Destination => self.destination.as_ref().map(Destination::guest_owner),
        };
        let ended = self.ends.of(side).map(|ended| ended.guest);
        running.or(ended).expect("a side runs or has ended")
    }

    /// The wait of a side that a deadline may end now.
    pub(crate) fn wait(&self, side: Side) -> Option<TimeoutReason> {
        let next = match side {
            Side::Source => self.source.as_ref().and_then(Source::poll_timeout),
            Side::Destination => self.destination.as_ref().and_then(Destination::poll_timeout),
        };
        next.map(|(_, reason)| reason)
    }

    /// Records that a rule was broken. The first one stands.
    pub(crate) fn violate(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    pub(crate) fn require(&mut self, holds: bool, rule: Rule, how: &'static str) {
        if !holds {
            self.violate(Violation { rule, how });
        }
    }

    pub(crate) fn tell(&mut self, side: Side, input: Input<'_>) {
        match side {
            Side::Source => tell(self.source.as_mut(), input),
            Side::Destination => tell(self.destination.as_mut(), input),
        }
    }

    pub(crate) fn fire(&mut self, side: Side) {
        match side {
            Side::Source => fire(self.source.as_mut()),
            Side::Destination => fire(self.destination.as_mut()),
        }
    }

    /// The owner of a side aborts. False if it may not any more.
    pub(crate) fn abort(&mut self, side: Side) -> bool {
        match side {
            Side::Source => self.source.as_mut().is_some_and(|source| source.abort().is_ok()),
            Side::Destination => {
                self.destination.as_mut().is_some_and(|destination| destination.abort().is_ok())
            }
        }
    }

    /// Carries out everything that a machine orders and tells its owner everything that it has to
    /// tell, until there is no more.
    pub(crate) fn drain(&mut self, side: Side, model: &Migration, log: &mut Log) {
        let mut buffer = [0; SEND_BUFFER_BYTES];
        loop {
            while let Some(operation) = self.poll_operation(side, &mut buffer) {
                let message = match operation {
                    Operation::Send { length } => &buffer[..length],
                    _ => &[],
                };
                self.carry_out(side, operation, message, model.bug, log);
            }
            self.poll_events(side);
            if model.late_owners || !self.has_events(side) {
                break;
            }
            self.attend(side, model);
        }
        self.put_away(side, model);
    }

    fn poll_events(&mut self, side: Side) {
        match (side, &mut self.source, &mut self.destination) {
            (Side::Source, Some(source), _) => {
                self.source_owner.events.extend(std::iter::from_fn(|| source.poll_event()));
            }
            (Side::Destination, _, Some(destination)) => {
                let events = &mut self.destination_owner.events;
                events.extend(std::iter::from_fn(|| destination.poll_event()));
            }
            _ => {}
        }
    }

    /// Whether an owner was told something that it has not attended to.
    pub(crate) fn has_events(&self, side: Side) -> bool {
        match side {
            Side::Source => !self.source_owner.events.is_empty(),
            Side::Destination => !self.destination_owner.events.is_empty(),
        }
    }

    /// The owner of a side does what follows from what it was told.
    pub(crate) fn attend(&mut self, side: Side, model: &Migration) {
        let guest = &model.guest;
        match (side, &mut self.source, &mut self.destination) {
            (Side::Source, Some(source), _) => {
                self.source_owner.attend(source, guest, &mut self.memory.source.ram);
            }
            (Side::Destination, _, Some(destination)) => {
                self.destination_owner.attend(destination, guest);
            }
            _ => {}
        }
    }

    fn poll_operation(&mut self, side: Side, buffer: &mut [u8]) -> Option<Operation> {
        let now = Instant::ORIGIN;
        match side {
            Side::Source => self.source.as_mut()?.poll_operation(buffer, now),
            Side::Destination => self.destination.as_mut()?.poll_operation(buffer, now),
        }
    }

    /// A machine that has reached its end orders and awaits nothing any more. Nobody drives it from
    /// then on, so it leaves the state, and only what the properties speak of is kept: the states of
    /// its peer need not be told apart by how it came there.
    fn put_away(&mut self, side: Side, model: &Migration) {
        let ended = match side {
            Side::Source => self.source.as_ref().is_some_and(Source::is_closed),
            Side::Destination => self.destination.as_ref().is_some_and(Destination::is_closed),
        };
        if !ended {
            return;
        }
        self.attend(side, model);
        let guest = self.guest_owner(side);
        let closed = match side {
            Side::Source => {
                self.source = None;
                self.source_owner.closed.take()
            }
            Side::Destination => {
                self.destination = None;
                self.destination_owner.held.clear();
                self.destination_owner.closed.take()
            }
        };
        let outcome = match closed.as_ref().map(|closed| &closed.result) {
            Some(Ok(())) => Outcome::Success,
            Some(Err(Error::Malformed(_) | Error::PeerMisbehaved(_) | Error::ApiMisuse(_))) => {
                Outcome::Blame
            }
            Some(Err(_)) => Outcome::Failure,
            None => Outcome::Unknown,
        };
        let outcome = model.bug.map_or(outcome, |bug| bug.report(self, side, outcome));
        let regions_said = closed.map_or(0, |closed| closed.regions_left);
        let memory = self.memory.of_mut(side);
        let regions_left = memory.registered();
        memory.forget_regions();
        *self.ends.of_mut(side) = Some(Ended { outcome, guest, regions_said, regions_left });
        self.link.put_away(side);
    }
}

fn tell<M: Machine>(machine: Option<&mut M>, input: Input<'_>) {
    let Some(machine) = machine else { return };
    match input {
        Input::Connection(event) => machine.handle_connection(event, Instant::ORIGIN),
        Input::Completion(completion) => machine.handle_completion(completion, Instant::ORIGIN),
    }
}

fn fire<M: Machine>(machine: Option<&mut M>) {
    if let Some(machine) = machine {
        machine.handle_timeout(Instant::ORIGIN);
    }
}
