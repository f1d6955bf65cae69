//! The destination of a migration: the side that the guest arrives at.
//!
//! The owner listens by its transport; a source's request arrives as
//! [`ConnectionEvent::Requested`]. Then the owner takes the stream
//! ([`held_stream`](Destination::held_stream), [`take_stream`](Destination::take_stream)), gives its
//! RAM when it is asked for ([`place_blocks`](Destination::place_blocks)), and says when the stream
//! is complete ([`finish`](Destination::finish)). [`abort`](Destination::abort) ends it at any
//! moment. Everything between the calls goes by [`Machine`]: see the
//! [contract](crate::transport).
//!
//! The destination is driven by the types of the messages: it says READY whenever it holds no stream
//! bytes and owes no answer, and takes whichever valid command comes. It needs nothing of the stream
//! itself.

mod answer;
mod closing;
mod command;
mod config;
mod event;
mod input;
mod state;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

pub use config::{DestinationConfig, Windows};
pub use event::DestinationEvent;
pub use state::PlacedBlock;
use state::{Command, Phase, Spare};

use crate::address::BlockIndex;
use crate::connection::{CloseStep, GuestOwner, Negotiator};
use crate::control::{Receives, Sends, Serve};
use crate::deadline::{Deadlines, TimeoutReason};
use crate::error::{Error, Misuse};
use crate::ram::{Blocks, Grants};
use crate::stream::{HeldStream, Incoming};
use crate::time::Instant;
use crate::transport::{Completion, ConnectionEvent, Machine, Operation};

/// The destination of one migration.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Destination {
    config: DestinationConfig,
    phase: Phase,
    receives: Receives,
    sends: Sends,
    serve: Serve,
    incoming: Incoming,
    command: Command,
    spare: Spare,
    blocks: Blocks,
    placed: Vec<PlacedBlock>,
    grants: Grants,
    pin_all: bool,
    /// Whether a round is open: RAM may still be on its way.
    window_open: bool,
    /// The owner has said that the stream is complete.
    finished: bool,
    /// The guest may run here.
    released: bool,
    events: VecDeque<DestinationEvent>,
    deadlines: Deadlines,
}

impl Destination {
    /// A destination that waits for a source.
    #[must_use]
    pub fn new(config: DestinationConfig) -> Self {
        Self {
            config,
            phase: Phase::Listening,
            receives: Receives::new(),
            sends: Sends::new(),
            serve: Serve::new(),
            incoming: Incoming::default(),
            command: Command::None,
            spare: Spare::default(),
            blocks: Blocks::default(),
            placed: Vec::new(),
            grants: Grants::default(),
            pin_all: false,
            window_open: false,
            finished: false,
            released: false,
            events: VecDeque::new(),
            deadlines: Deadlines::default(),
        }
    }

    /// The stream bytes that are held: where they are in which receive buffer of the transport.
    #[must_use]
    pub const fn held_stream(&self) -> Option<&HeldStream> {
        self.incoming.held()
    }

    /// The owner has used the first `bytes` of what is held. Once nothing is left, the source is told
    /// that more may come.
    ///
    /// # Errors
    ///
    /// [`Misuse::ConsumedTooMuch`] if fewer are held.
    pub fn take_stream(&mut self, bytes: usize) -> Result<(), Misuse> {
        if let Some(buffer) = self.incoming.take(bytes)? {
            self.receives.release(buffer);
        }
        Ok(())
    }

    /// The owner has parsed a hook word: commands on RAM follow. Only of use with
    /// [`Windows::Announced`].
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] while a window is open, and unless connected.
    pub fn open_window(&mut self) -> Result<(), Misuse> {
        if self.window_open || !self.is_connected() {
            return Err(Misuse::WrongPhase { call: "open_window" });
        }
        self.window_open = true;
        Ok(())
    }

    /// The owner's RAM blocks, in the order in which the stream has named them. Answers
    /// [`DestinationEvent::BlocksRequested`].
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] unless they were asked for; [`Misuse::RamBlocks`] or
    /// [`Misuse::RamBlock`] if they cannot be described.
    pub fn place_blocks(&mut self, blocks: &[PlacedBlock]) -> Result<(), Misuse> {
        let asked = matches!(self.command, Command::Blocks { placed: false, .. });
        if !asked || !self.is_connected() {
            return Err(Misuse::WrongPhase { call: "place_blocks" });
        }
        let lengths = blocks.iter().map(|block| block.length);
        let table = Blocks::new(self.config.chunk_size, lengths)?;
        for (placed, index) in blocks.iter().zip(0..) {
            let PlacedBlock { host_address, ram_address, length } = *placed;
            if !host_address.has_room_for(length) || !ram_address.has_room_for(length) {
                return Err(Misuse::RamBlock { block: BlockIndex::new(index) });
            }
        }
        self.grants = Grants::new(&table);
        self.blocks = table;
        self.placed = blocks.to_vec();
        self.spare = Spare::new();
        self.command = Command::Blocks { placed: true, pin_next: 0 };
        Ok(())
    }

    /// The stream is complete: take back what was granted and release the guest.
    /// [`DestinationEvent::GuestReleased`] and [`DestinationEvent::Closed`] follow.
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] while a round is open or a command is being carried out, before the RAM
    /// blocks are exchanged, and once the migration is closing.
    pub fn finish(&mut self) -> Result<(), Misuse> {
        let serving = matches!(self.phase, Phase::Serving | Phase::Ended { .. });
        if !serving || !self.is_quiet() {
            return Err(Misuse::WrongPhase { call: "finish" });
        }
        self.finished = true;
        self.close(Ok(()));
        Ok(())
    }

    /// Ends the migration. [`DestinationEvent::Closed`] follows.
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] once the migration is closing.
    pub fn abort(&mut self) -> Result<(), Misuse> {
        let reason = match &self.phase {
            Phase::Closing(_) => return Err(Misuse::WrongPhase { call: "abort" }),
            Phase::Ended { reason } => reason.clone(),
            _ => Error::Aborted,
        };
        self.fail(reason);
        Ok(())
    }

    /// Who may run the guest, as far as this side knows now: the source, until the guest is released
    /// here.
    #[must_use]
    pub const fn guest_owner(&self) -> GuestOwner {
        //= spec/text/09-rounds.md#handover
        //# [RND-6] A destination MUST NOT run the guest before its owner has found the stream complete.
        if self.released { GuestOwner::Destination } else { GuestOwner::Source }
    }

    /// Whether the stream may be complete, as far as the messages go.
    fn is_quiet(&self) -> bool {
        self.command == Command::None && !self.window_open && self.blocks.count() > 0
    }

    fn negotiator(&self) -> Negotiator {
        Negotiator { pin_all: self.config.pin_all, newer_version: self.config.newer_version }
    }

    fn next_operation(&mut self, buffer: &mut [u8]) -> Result<Option<Operation>, Error> {
        if matches!(self.phase, Phase::Accept { .. } | Phase::Accepting { .. } | Phase::Serving) {
            //= spec/text/03-control-channel.md#receives
            //# [CTL-29] A destination MUST have posted the receive for the command before it sends READY.
            if let Some(buffer) = self.receives.post() {
                return Ok(Some(Operation::PostReceive { buffer }));
            }
        }
        match &self.phase {
            Phase::Accept { private_data, negotiated } => {
                let (private_data, negotiated) = (*private_data, *negotiated);
                self.phase = Phase::Accepting { negotiated };
                Ok(Some(Operation::Accept { private_data }))
            }
            Phase::Refuse { reason } => {
                let reason = reason.clone();
                self.close(Err(reason));
                Ok(Some(Operation::Reject))
            }
            Phase::Serving => self.serve_operation(buffer),
            Phase::Closing(_) => self.close_operation(buffer),
            Phase::Listening | Phase::Accepting { .. } | Phase::Ended { .. } => Ok(None),
        }
    }

    /// Brings the deadlines in line with what is awaited now.
    fn arm(&mut self, now: Instant) {
        self.deadlines.arm(self.waits(), &self.config.timeouts, now);
    }
}

impl Machine for Destination {
    type Event = DestinationEvent;

    fn handle_connection(&mut self, event: ConnectionEvent<'_>, now: Instant) {
        self.take_connection(event);
        self.arm(now);
    }

    fn handle_completion(&mut self, completion: Completion<'_>, now: Instant) {
        if let Err(error) = self.take_completion(completion) {
            self.fail(error);
        }
        self.settle();
        self.arm(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(reason) = self.deadlines.expired(now) {
            self.deadlines.progress(reason);
            self.take_timeout(reason);
            self.settle();
        }
        self.arm(now);
    }

    fn poll_operation(&mut self, send_buffer: &mut [u8], now: Instant) -> Option<Operation> {
        let operation = loop {
            match self.next_operation(send_buffer) {
                Ok(operation) => break operation,
                Err(error) => self.fail(error),
            }
        };
        self.arm(now);
        operation
    }

    fn poll_event(&mut self) -> Option<DestinationEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, TimeoutReason)> {
        self.deadlines.next()
    }

    fn is_closed(&self) -> bool {
        self.close_step() == Some(CloseStep::Done)
    }
}
