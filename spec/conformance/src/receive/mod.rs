//! `rdma-migration receive`: the destination of one migration, which records what comes.

mod changes;
mod refusal;
mod stream;

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use rdma_migration_protocol::address::{BlockIndex, RamAddress};
use rdma_migration_protocol::connection::{Closed, Negotiated};
use rdma_migration_protocol::destination::{Destination, DestinationEvent, PlacedBlock};
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Machine, Owner, Transport};

use crate::guest_memory::GuestMemory;
use crate::recording::{
    Block, Layout, Limits, Manifest, Migration, ROUNDS_MAX, RUNS_MAX, RecordingError, Round, Run,
    Writer,
};
use changes::Changes;
pub use refusal::Refusal;
use stream::Stream;

/// Is told how a migration comes in.
pub trait Progress {
    /// A source has connected.
    fn connected(&mut self, negotiated: Negotiated);

    /// The RAM blocks were asked for.
    fn placed(&mut self, layout: &Layout);

    /// A round has ended, the first one being 0.
    fn round(&mut self, number: usize, round: &Round);
}

/// Nobody who waits.
impl Progress for () {
    fn connected(&mut self, _negotiated: Negotiated) {}
    fn placed(&mut self, _layout: &Layout) {}
    fn round(&mut self, _number: usize, _round: &Round) {}
}

/// What a recorder is told.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// What is taken at the most.
    pub limits: Limits,
    /// Whether a stream that ends with its end marker is complete without a description of the device
    /// state, once the source is gone.
    pub accept_no_vm_description: bool,
    /// Whether only a source is taken that has all RAM pinned.
    pub require_pin_all: bool,
    /// Of 100 parts of the time, how many may go into finding out which RAM each round brought. With
    /// 100 all rounds are looked at, with 0 none.
    pub looking_percent: u32,
}

impl Default for Wishes {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            limits,
            accept_no_vm_description: false,
            require_pin_all: false,
            looking_percent: 20,
        }
    }
}

/// The owner of a [`Destination`] that keeps everything that comes.
#[derive(Debug)]
pub struct Recorder<P> {
    wishes: Wishes,
    interrupted: Arc<AtomicBool>,
    progress: P,
    stream: Stream,
    layout: Option<Layout>,
    changes: Changes,
    rounds: Vec<Round>,
    runs: usize,
    began: Option<Instant>,
    looked: Duration,
    negotiated: Option<Negotiated>,
    refusal: Option<Refusal>,
    released: Option<Instant>,
    closed: Option<Closed>,
}

impl<P: Progress> Recorder<P> {
    /// A recorder that gives up once `interrupted` is set.
    pub fn new(wishes: Wishes, interrupted: Arc<AtomicBool>, progress: P) -> Self {
        Self {
            wishes,
            interrupted,
            progress,
            stream: Stream::new(wishes.limits.stream_bytes_max),
            layout: None,
            changes: Changes::default(),
            rounds: Vec::new(),
            runs: 0,
            began: None,
            looked: Duration::ZERO,
            negotiated: None,
            refusal: None,
            released: None,
            closed: None,
        }
    }

    /// All of the stream that came.
    #[must_use]
    pub fn stream(&self) -> &[u8] {
        self.stream.bytes()
    }

    /// What the stream says of the guest, once its RAM was asked for.
    #[must_use]
    pub const fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// The rounds that have ended.
    #[must_use]
    pub fn rounds(&self) -> &[Round] {
        &self.rounds
    }

    /// What was agreed with the source.
    #[must_use]
    pub const fn negotiated(&self) -> Option<Negotiated> {
        self.negotiated
    }

    /// When the connection was made.
    #[must_use]
    pub const fn began(&self) -> Option<Instant> {
        self.began
    }

    /// When the guest was whole, and nobody could write into it any more.
    #[must_use]
    pub const fn released(&self) -> Option<Instant> {
        self.released
    }

    /// The end, once it has come.
    #[must_use]
    pub const fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Whether somebody interrupted it.
    #[must_use]
    pub const fn was_interrupted(&self) -> bool {
        matches!(self.refusal, Some(Refusal::Interrupted))
    }

    /// Why the migration did not come to its end, if it did not.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match (&self.closed, &self.refusal) {
            (Some(Closed { result: Ok(()), .. }), _) => None,
            (_, Some(refusal)) => Some(refusal.to_string()),
            (Some(Closed { result: Err(error), .. }), None) => Some(error.to_string()),
            (None, None) => Some("it has not ended".to_owned()),
        }
    }

    /// Writes what came, once the migration has ended. `memory` is that of the transport, and `cause`
    /// what that knows of a failure; `progress` is told the length of each piece of RAM and may end it.
    ///
    /// # Errors
    /// [`RecordingError`] if it cannot be written.
    pub fn write(
        &mut self,
        writer: Writer,
        memory: &impl GuestMemory,
        chunk_size: ChunkSize,
        cause: Option<&str>,
        progress: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Manifest, RecordingError> {
        self.attribute_the_rest(memory);
        let reason = self.failure().map(|failure| match cause {
            Some(cause) => format!("{failure}, because of {cause}"),
            None => failure,
        });
        let migration = Migration {
            stream: self.stream.bytes(),
            messages: self.stream.messages(),
            layout: self.layout.as_ref(),
            rounds: &self.rounds,
            pin_all: self.negotiated.is_some_and(|negotiated| negotiated.pin_all),
            chunk_bytes: chunk_size.bytes(),
            vm_description: self.stream.has_description(),
            reason: reason.as_deref(),
        };
        writer.write(&migration, memory, progress)
    }

    /// Puts all RAM into rounds: what nobody has looked at since it changed into the last one, and
    /// what came as it had been before, zero pages above all, into the first in which RAM comes, which
    /// for QEMU is the one after the exchange.
    fn attribute_the_rest(&mut self, memory: &impl GuestMemory) {
        let Some(last) = self.rounds.len().checked_sub(1) else { return };
        let first = last.min(1);
        let changed = self.changes.look(memory);
        let unseen = if self.wishes.looking_percent == 0 { first } else { last };
        let rest = self.changes.rest();
        for (round, runs) in [(unseen, changed), (first, rest)] {
            if let Some(round) = self.rounds.get_mut(round) {
                round.add(runs);
            }
        }
        if self.rounds.iter().map(|round| round.runs.len()).sum::<usize>() > RUNS_MAX {
            self.forget_rounds(first);
        }
    }

    /// Too much is known to be written down: all RAM counts as coming in one round.
    fn forget_rounds(&mut self, first: usize) {
        for round in &mut self.rounds {
            *round = Round { looked_at: false, runs: Vec::new(), ..*round };
        }
        let blocks = self.layout.iter().flat_map(|layout| &layout.blocks);
        let whole = (0..).zip(blocks).map(|(block, Block { length, .. })| Run {
            block,
            offset: 0,
            length: *length,
            zero: false,
        });
        if let Some(round) = self.rounds.get_mut(first) {
            round.runs = whole.collect();
        }
    }

    fn take_event<T: Transport + GuestMemory>(
        &mut self,
        event: DestinationEvent,
        destination: &mut Destination,
        transport: &mut T,
    ) -> Result<(), Refusal> {
        match event {
            DestinationEvent::Connected(negotiated) => {
                self.negotiated = Some(negotiated);
                self.began = Some(transport.now());
                self.progress.connected(negotiated);
                if self.wishes.require_pin_all && !negotiated.pin_all {
                    return Err(Refusal::NotPinned);
                }
                Ok(())
            }
            DestinationEvent::StreamReadable => self.take_stream(destination, transport),
            DestinationEvent::BlocksRequested => self.place_blocks(destination, transport),
            DestinationEvent::RoundFinished => self.end_round(transport),
            DestinationEvent::StreamEnded => self.end_stream(destination),
            DestinationEvent::GuestReleased => {
                self.released = Some(transport.now());
                Ok(())
            }
            DestinationEvent::Closed(closed) => {
                self.closed = Some(closed);
                Ok(())
            }
        }
    }

    fn take_stream<T: Transport>(
        &mut self,
        destination: &mut Destination,
        transport: &T,
    ) -> Result<(), Refusal> {
        let Some(held) = destination.held_stream().cloned() else { return Ok(()) };
        let buffer = transport.receive_buffer(held.buffer);
        self.stream.append(buffer.get(held.range.clone()).unwrap_or_default())?;
        destination.take_stream(held.range.len())?;
        // A source only disconnects at the end; whoever knows that the stream is complete need not
        // wait for that. Where it cannot be complete yet, the machine says so.
        if self.stream.has_description() {
            let _not_yet = destination.finish();
        }
        Ok(())
    }

    fn place_blocks<T: GuestMemory>(
        &mut self,
        destination: &mut Destination,
        transport: &mut T,
    ) -> Result<(), Refusal> {
        let layout = Layout::read(self.stream.bytes()).map_err(Refusal::Setup)?;
        if !layout.unsupported.is_empty() {
            return Err(Refusal::Unsupported(layout.unsupported.join(", ")));
        }
        let found = layout.ram_bytes().unwrap_or(u64::MAX);
        let max = self.wishes.limits.ram_bytes_max;
        if found > max {
            return Err(Refusal::TooMuchRam { found, max });
        }
        let mut placed = Vec::with_capacity(layout.blocks.len());
        let mut ram_address = 0;
        for block in &layout.blocks {
            let length = block.length;
            let no_memory = |error| {
                let block = block.name.clone();
                Refusal::NoMemory { block, length, error }
            };
            let index = transport.allocate(length).map_err(no_memory)?;
            let host_address = transport.address(index).unwrap_or_default();
            debug_assert_eq!(index, BlockIndex::new(u32::try_from(placed.len()).unwrap_or(0)));
            let ram_address_of_block = RamAddress::new(ram_address);
            placed.push(PlacedBlock { host_address, ram_address: ram_address_of_block, length });
            // The sum has been checked.
            ram_address = ram_address.saturating_add(length);
        }
        self.progress.placed(&layout);
        self.changes = Changes::new(&layout.lengths());
        self.layout = Some(layout);
        Ok(destination.place_blocks(&placed)?)
    }

    fn end_round<T: Transport + GuestMemory>(&mut self, transport: &T) -> Result<(), Refusal> {
        if self.rounds.len() == ROUNDS_MAX {
            return Err(Refusal::TooManyRounds { max: ROUNDS_MAX });
        }
        let stream_bytes = self.stream.end_round()?;
        let mut round = Round { stream_bytes, looked_at: false, runs: Vec::new() };
        if self.may_look(transport.now()) {
            let before = transport.now();
            let runs = self.changes.look(transport);
            self.looked += transport.now().since(before);
            round.looked_at = true;
            round.runs = runs;
        }
        self.runs = self.runs.saturating_add(round.runs.len());
        self.progress.round(self.rounds.len(), &round);
        self.rounds.push(round);
        Ok(())
    }

    /// Whether there is time to look at all RAM now. The source waits meanwhile, and its guest goes
    /// on dirtying memory.
    fn may_look(&self, now: Instant) -> bool {
        let percent = self.wishes.looking_percent;
        let elapsed = self.began.map_or(Duration::ZERO, |began| now.since(began));
        let within = self.looked * 100 <= elapsed * percent;
        percent > 0 && self.runs < RUNS_MAX && (within || percent >= 100)
    }

    fn end_stream(&mut self, destination: &mut Destination) -> Result<(), Refusal> {
        let complete = if self.wishes.accept_no_vm_description {
            self.stream.has_description() || self.stream.has_end_marker()
        } else {
            self.stream.has_description()
        };
        if complete {
            return Ok(destination.finish()?);
        }
        let may_have_none = !self.wishes.accept_no_vm_description && self.stream.has_end_marker();
        Err(Refusal::LeftEarly { bytes: self.stream.bytes().len(), may_have_none })
    }

    fn refuse(&mut self, refusal: Refusal, destination: &mut Destination) {
        // A machine that is closing has a reason already, and it is the first that counts.
        if self.refusal.is_none() && destination.abort().is_ok() {
            self.refusal = Some(refusal);
        }
    }
}

impl<T, P> Owner<Destination, T> for Recorder<P>
where
    T: Transport + GuestMemory,
    P: Progress,
{
    fn attend(&mut self, destination: &mut Destination, transport: &mut T) {
        if self.interrupted.load(Ordering::Relaxed) {
            self.refuse(Refusal::Interrupted, destination);
        }
        while let Some(event) = destination.poll_event() {
            if let Err(refusal) = self.take_event(event, destination, transport) {
                self.refuse(refusal, destination);
            }
        }
    }
}
