//! Both sides of a migration, run against each other to their ends.

use core::fmt;

use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_protocol::destination::Destination;
use rdma_migration_protocol::source::Source;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Machine, Owner, turn};

use crate::checker::{Checker, FinalOwner};
use crate::fabric::Fabric;
use crate::port::Port;
use crate::side::{Side, Sides};

/// Steps after which a run counts as endless. A guest of a terabyte takes some ten million.
const STEPS_MAX: u64 = 1_000_000_000;

/// A source and a destination with their owners, on a fabric.
#[derive(Debug)]
pub struct Pair<S, D> {
    /// The world between them.
    pub fabric: Fabric,
    /// The machine of the source.
    pub source: Source,
    /// The machine of the destination.
    pub destination: Destination,
    /// The owner of the guest at the source.
    pub source_owner: S,
    /// The owner at the destination.
    pub destination_owner: D,
    checker: Checker,
    closed_at: Option<Instant>,
    steps_left: u64,
}

/// A run that does not come to its end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Stuck {
    /// Nothing is scheduled and a side has not closed.
    #[error(
        "deadlock at {now}: nothing will ever happen\nsource: {source_state}\ndestination: {destination_state}"
    )]
    Deadlock {
        /// When.
        now: Instant,
        /// The source, or that it has closed.
        source_state: String,
        /// The destination, or that it has closed.
        destination_state: String,
    },
    /// More steps than any migration takes.
    #[error("no end after {steps} steps, at {now}")]
    Endless {
        /// How many.
        steps: u64,
        /// When.
        now: Instant,
    },
}

impl<S, D> Pair<S, D>
where
    S: for<'f> Owner<Source, Port<'f>>,
    D: for<'f> Owner<Destination, Port<'f>>,
{
    /// Puts two sides on a fabric. Their RAM blocks have been added to it, or are by the owners.
    pub fn new(
        fabric: Fabric,
        source: Source,
        source_owner: S,
        destination: Destination,
        destination_owner: D,
    ) -> Self {
        Self {
            fabric,
            source,
            destination,
            source_owner,
            destination_owner,
            checker: Checker::default(),
            closed_at: None,
            steps_left: STEPS_MAX,
        }
    }

    /// Runs until both sides have closed and nothing is on its way any more.
    ///
    /// # Errors
    ///
    /// [`Stuck`] if that never comes.
    pub fn run(&mut self) -> Result<(), Stuck> {
        while self.step()? {}
        Ok(())
    }

    /// Lets both sides do what they can, then time pass to the next thing that happens. False once
    /// both sides have closed and nothing is on its way.
    ///
    /// # Errors
    ///
    /// [`Stuck`] if nothing will ever happen, or too much has.
    pub fn step(&mut self) -> Result<bool, Stuck> {
        let now = self.fabric.now();
        self.steps_left =
            self.steps_left.checked_sub(1).ok_or(Stuck::Endless { steps: STEPS_MAX, now })?;
        self.take_turns();
        self.checker.observe(self.guest_owners(), now);
        let closed = self.source.is_closed() && self.destination.is_closed();
        if closed {
            self.closed_at.get_or_insert(now);
        }
        if let Some(next) = self.next_instant() {
            self.fabric.advance(next);
            return Ok(true);
        }
        if closed {
            return Ok(false);
        }
        // Nobody will call any more: who runs the listener stops it.
        if self.source.is_closed() && self.destination.abort().is_ok() {
            self.fabric.rouse(Side::Destination);
            return Ok(true);
        }
        Err(Stuck::Deadlock {
            now,
            source_state: state(&self.source),
            destination_state: state(&self.destination),
        })
    }

    /// When both sides had closed.
    #[must_use]
    pub const fn closed_at(&self) -> Option<Instant> {
        self.closed_at
    }

    /// Who owns the guest after a run, as both sides together tell.
    #[must_use]
    pub fn final_owner(&self) -> FinalOwner {
        FinalOwner::of(self.guest_owners())
    }

    /// What was found against the rules, after a run: breaches on the fabric, what is left
    /// registered, two owners of one guest. `orderly`: for which sides the migration ended well.
    #[must_use]
    pub fn findings(&mut self, orderly: Sides<bool>) -> Vec<String> {
        self.fabric.settle(orderly);
        let breaches = self.fabric.violations().iter().map(ToString::to_string);
        breaches.chain(self.checker.split_brain().map(ToString::to_string)).collect()
    }

    fn guest_owners(&self) -> Sides<GuestOwner> {
        Sides { source: self.source.guest_owner(), destination: self.destination.guest_owner() }
    }

    fn take_turns(&mut self) {
        if is_due(&self.source, &mut self.fabric, Side::Source) {
            let mut port = self.fabric.port(Side::Source);
            turn(&mut self.source, &mut port, &mut self.source_owner);
            // From posting the last message on, and not before, the source is undecided.
            if self.source.guest_owner() == GuestOwner::Undecided {
                self.fabric.mark_last_send();
            }
        }
        if is_due(&self.destination, &mut self.fabric, Side::Destination) {
            let mut port = self.fabric.port(Side::Destination);
            turn(&mut self.destination, &mut port, &mut self.destination_owner);
        }
    }

    fn next_instant(&self) -> Option<Instant> {
        let deadlines = [self.source.poll_timeout(), self.destination.poll_timeout()];
        let deadlines = deadlines.into_iter().flatten().map(|(deadline, _)| deadline);
        deadlines.chain(self.fabric.next_event()).min()
    }
}

/// Whether a side has anything to do: it was woken, or a deadline of its own has come.
fn is_due<M: Machine>(machine: &M, fabric: &mut Fabric, side: Side) -> bool {
    let now = fabric.now();
    if !fabric.is_awake(side) && machine.poll_timeout().is_some_and(|(at, _)| at <= now) {
        fabric.rouse(side);
    }
    fabric.is_awake(side)
}

fn state<M: Machine + fmt::Debug>(machine: &M) -> String {
    if machine.is_closed() { "closed".to_owned() } else { format!("{machine:?}") }
}
