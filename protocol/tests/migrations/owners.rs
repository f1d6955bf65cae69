//! Owners that carry out a plan.

use std::collections::VecDeque;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, RamAddress};
use rdma_migration_protocol::connection::{Closed, PinAllOffer};
use rdma_migration_protocol::destination::{Destination, DestinationEvent, PlacedBlock};
use rdma_migration_protocol::error::Misuse;
use rdma_migration_protocol::source::{Source, SourceEvent};
use rdma_migration_protocol::transport::{Machine, Owner, Transport};
use rdma_migration_transport_sim::Port;

use crate::plan::{Plan, Round, Work};

/// What the source does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Connect,
    Wait,
    Stream { then: After },
    Ram,
    Done,
}

/// What follows stream bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    Exchange,
    Round,
    Finish,
}

/// The owner of the guest at the source. While a round is under way the guest goes on, and dirties
/// what the next round will send.
#[derive(Debug)]
pub(crate) struct SourceOwner {
    lengths: Vec<u64>,
    rounds: VecDeque<Round>,
    tail: Vec<u8>,
    unregisters: bool,
    step: Step,
    /// Stream bytes that are still to be written.
    stream: VecDeque<u8>,
    /// What is still to be sent in this round.
    work: VecDeque<Work>,
    /// Work of the next round that the guest has done already.
    dirtied: usize,
    exchanged: bool,
    /// Whether `finish` was called.
    pub(crate) finishing: bool,
    pub(crate) closed: Option<Closed>,
}

impl SourceOwner {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            lengths: plan.lengths(),
            rounds: plan.rounds.iter().cloned().collect(),
            tail: plan.tail.clone(),
            unregisters: plan.pin_all == PinAllOffer::Never,
            step: Step::Connect,
            stream: VecDeque::new(),
            work: VecDeque::new(),
            dirtied: 0,
            exchanged: false,
            finishing: false,
            closed: None,
        }
    }

    fn take(&mut self, event: SourceEvent, transport: &mut Port<'_>) {
        match event {
            SourceEvent::Connected(_) | SourceEvent::RoundFinished => self.begin_stream(transport),
            SourceEvent::BlocksExchanged => {
                self.exchanged = true;
                let all = self.lengths.iter().zip(0..);
                let all = all.map(|(length, block)| Work::Write {
                    block,
                    offset: 0,
                    length: *length,
                    fill: 0,
                });
                let mut work: VecDeque<_> = all.collect();
                work.append(&mut self.work);
                self.work = work;
                self.step = Step::Ram;
            }
            SourceEvent::Closed(closed) => {
                self.closed = Some(closed);
                self.step = Step::Done;
            }
            SourceEvent::StreamWritable | SourceEvent::RamWritable | SourceEvent::HandedOver => {}
        }
    }

    fn begin_stream(&mut self, transport: &mut Port<'_>) {
        let Some(round) = self.rounds.pop_front() else {
            let mut tail = self.tail.clone();
            if transport.fault_due("stream-truncated") {
                tail.truncate(tail.len().div_ceil(2));
            }
            self.stream = tail.into();
            self.step = Step::Stream { then: After::Finish };
            return;
        };
        for work in round.work.iter().skip(self.dirtied) {
            dirty(transport, work);
        }
        self.dirtied = 0;
        self.stream = round.stream.into();
        self.work = round.work.into();
        let then = if self.exchanged { After::Round } else { After::Exchange };
        self.step = Step::Stream { then };
    }

    /// The guest goes on while the round is under way.
    fn run_guest(&mut self, transport: &mut Port<'_>) {
        let Some(next) = self.rounds.front() else { return };
        if let Some(work) = next.work.get(self.dirtied).filter(|_| self.exchanged) {
            dirty(transport, work);
            self.dirtied += 1;
        }
    }

    /// Does one step. False if there is nothing to do before the next event.
    fn act(&mut self, source: &mut Source) -> Result<bool, Misuse> {
        match self.step {
            Step::Connect => {
                source.connect()?;
                self.step = Step::Wait;
                Ok(true)
            }
            Step::Stream { then } => self.write_stream(then, source),
            Step::Ram => self.send_ram(source),
            Step::Wait | Step::Done => Ok(false),
        }
    }

    fn write_stream(&mut self, then: After, source: &mut Source) -> Result<bool, Misuse> {
        let taken = source.write_stream(self.stream.make_contiguous())?;
        self.stream.drain(..taken);
        if !self.stream.is_empty() {
            return Ok(false);
        }
        self.step = Step::Wait;
        match then {
            After::Exchange => source.exchange_blocks(&self.lengths)?,
            After::Round => self.step = Step::Ram,
            After::Finish => {
                self.finishing = true;
                source.finish()?;
            }
        }
        Ok(true)
    }

    fn send_ram(&mut self, source: &mut Source) -> Result<bool, Misuse> {
        match self.work.front_mut() {
            None => {
                source.finish_round()?;
                self.step = Step::Wait;
            }
            Some(Work::Write { block, offset, length, .. }) => {
                let (index, at) = (BlockIndex::new(*block), BlockOffset::new(*offset));
                let taken = source.write_ram(index, at, *length)?;
                *offset += taken;
                *length -= taken;
                if *length > 0 {
                    return Ok(false);
                }
                self.work.pop_front();
            }
            Some(Work::Unregister { block, chunk }) => {
                let index = BlockIndex::new(*block);
                if self.unregisters && !source.unregister(index, *chunk)? {
                    return Ok(false);
                }
                self.work.pop_front();
            }
        }
        Ok(true)
    }
}

impl<'f> Owner<Source, Port<'f>> for SourceOwner {
    fn attend(&mut self, source: &mut Source, transport: &mut Port<'f>) {
        while let Some(event) = source.poll_event() {
            self.take(event, transport);
        }
        if transport.fault_due("source-aborts") {
            // Refused once the guest is handed over, which is as it should be.
            let _too_late = source.abort();
        }
        self.run_guest(transport);
        // A machine that is closing takes no calls; why it closes comes as an event.
        while let Ok(true) = self.act(source) {}
    }
}

fn dirty(transport: &mut Port<'_>, work: &Work) {
    let Work::Write { block, offset, length, fill } = *work else { return };
    let start = usize::try_from(offset).unwrap();
    let end = start + usize::try_from(length).unwrap();
    transport.memory_mut(BlockIndex::new(block))[start..end].fill(fill);
}

/// The owner at the destination. It knows the stream's length and where its hooks are.
#[derive(Debug)]
pub(crate) struct DestinationOwner {
    lengths: Vec<u64>,
    stream_length: usize,
    hooks: VecDeque<usize>,
    taken_at_once: usize,
    finishes_early: bool,
    pub(crate) stream: Vec<u8>,
    pub(crate) rounds: usize,
    pub(crate) released: bool,
    pub(crate) closed: Option<Closed>,
}

impl DestinationOwner {
    pub(crate) fn new(plan: &Plan) -> Self {
        let hooks = if plan.windows_announced { plan.hooks() } else { Vec::new() };
        Self {
            lengths: plan.lengths(),
            stream_length: plan.stream().len(),
            hooks: hooks.into(),
            taken_at_once: plan.taken_at_once,
            finishes_early: plan.finishes_early,
            stream: Vec::new(),
            rounds: 0,
            released: false,
            closed: None,
        }
    }

    fn is_complete(&self) -> bool {
        self.stream.len() >= self.stream_length
    }

    fn take(
        &mut self,
        event: DestinationEvent,
        destination: &mut Destination,
        transport: &Port<'_>,
    ) -> Result<(), Misuse> {
        match event {
            DestinationEvent::Connected(_) => {}
            DestinationEvent::StreamReadable => self.read(destination, transport)?,
            DestinationEvent::BlocksRequested => {
                destination.place_blocks(&self.place(transport))?;
            }
            DestinationEvent::RoundFinished => self.rounds += 1,
            DestinationEvent::StreamEnded if self.is_complete() => destination.finish()?,
            DestinationEvent::StreamEnded => destination.abort()?,
            DestinationEvent::GuestReleased => self.released = true,
            DestinationEvent::Closed(closed) => self.closed = Some(closed),
        }
        Ok(())
    }

    fn read(&mut self, destination: &mut Destination, transport: &Port<'_>) -> Result<(), Misuse> {
        while let Some(held) = destination.held_stream().cloned() {
            let bytes = &transport.receive_buffer(held.buffer)[held.range];
            let bytes = &bytes[..bytes.len().min(self.taken_at_once)];
            self.stream.extend_from_slice(bytes);
            destination.take_stream(bytes.len())?;
        }
        if self.hooks.front() == Some(&self.stream.len()) {
            self.hooks.pop_front();
            destination.open_window()?;
        }
        if self.finishes_early && self.is_complete() { destination.finish() } else { Ok(()) }
    }

    /// The blocks, one after the other in the RAM address space, the last one first.
    fn place(&self, transport: &Port<'_>) -> Vec<PlacedBlock> {
        let mut end: u64 = self.lengths.iter().sum();
        let placed = self.lengths.iter().zip(0..).map(|(length, index)| {
            end -= length;
            PlacedBlock {
                host_address: transport.host_address(BlockIndex::new(index)).unwrap(),
                ram_address: RamAddress::new(end),
                length: *length,
            }
        });
        placed.collect()
    }
}

impl<'f> Owner<Destination, Port<'f>> for DestinationOwner {
    fn attend(&mut self, destination: &mut Destination, transport: &mut Port<'f>) {
        while let Some(event) = destination.poll_event() {
            // A machine that is closing takes no calls; why it closes comes as an event.
            let _closing = self.take(event, destination, transport);
        }
        if transport.fault_due("destination-aborts") {
            let _too_late = destination.abort();
        }
    }
}
