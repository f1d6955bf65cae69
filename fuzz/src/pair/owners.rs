//! The owners of the guest, who carry out a plan.

use std::collections::VecDeque;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset};
use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::destination::{Destination, DestinationEvent, Windows};
use rdma_migration_protocol::error::Misuse;
use rdma_migration_protocol::source::{Source, SourceEvent};
use rdma_migration_protocol::transport::Machine;

use super::host::{Host, PAGE};
use crate::guest::{LENGTHS, index, placed};
use crate::script::Script;

/// Stream bytes before a round: what they are does not matter here, only that they arrive.
const BEFORE_ROUND: [u8; 13] = *b"before\0\0round";
/// The last stream bytes. A liar never has them: its bytes are all below 0x80.
const TAIL: [u8; 16] = [0xf0; 16];

/// One piece of work on RAM.
#[derive(Clone, Copy, Debug)]
enum Job {
    Write { block: BlockIndex, offset: u64, length: u64, fill: u8 },
    Unregister { block: BlockIndex, chunk: u64 },
}

/// What the source's owner does.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    rounds: Vec<Vec<Job>>,
}

impl Plan {
    pub(super) fn new(script: &mut Script<'_>) -> Self {
        let rounds = usize::from(script.byte()) % 3 + 1;
        let rounds = (0..rounds).map(|_| {
            let jobs = usize::from(script.byte()) % 5;
            (0..jobs).map(|_| Self::job(script)).collect()
        });
        Self { rounds: rounds.collect() }
    }

    fn job(script: &mut Script<'_>) -> Job {
        let which = script.byte();
        let block = usize::from(which) % 3;
        let pages = LENGTHS[block] / PAGE;
        let block = BlockIndex::new(u32::from(which) % 3);
        if which >= 0xc0 {
            return Job::Unregister {
                block,
                chunk: u64::from(script.byte()) % pages.div_ceil(256),
            };
        }
        // A whole block, a chunk of it, or any pages.
        let (first, count) = match which / 0x40 {
            0 => (0, pages),
            1 => (u64::from(script.byte()) * 256 % pages, 256),
            _ => (u64::from(script.u16()) % pages, u64::from(script.byte()) + 1),
        };
        let length = count.min(pages - first) * PAGE;
        // One in four is written with zeroes.
        let fill = match script.byte() {
            fill if fill % 4 == 0 => 0,
            fill => fill,
        };
        Job::Write { block, offset: first * PAGE, length, fill }
    }

    pub(super) fn stream(&self) -> Vec<u8> {
        let mut stream = BEFORE_ROUND.repeat(self.rounds.len());
        stream.extend_from_slice(&TAIL);
        stream
    }
}

/// What the source's owner does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Wait,
    Stream,
    Ram,
    Finish,
}

/// The owner of the guest at the source.
#[derive(Debug)]
pub(super) struct SourceOwner {
    rounds: VecDeque<VecDeque<Job>>,
    work: VecDeque<Job>,
    stream: VecDeque<u8>,
    exchanged: bool,
    step: Step,
    /// The number of the round, from 1.
    round: u8,
    /// For each page of each block the last round in which it was sent, 0 for none.
    pub(super) sent: [Vec<u8>; 3],
    pub(super) closed: Option<Closed>,
}

impl SourceOwner {
    pub(super) fn new(plan: &Plan, host: &Host) -> Self {
        Self {
            rounds: plan.rounds.iter().map(|round| round.iter().copied().collect()).collect(),
            work: VecDeque::new(),
            stream: VecDeque::new(),
            exchanged: false,
            step: Step::Wait,
            round: 0,
            sent: std::array::from_fn(|block| vec![0; host.ram[block].len()]),
            closed: None,
        }
    }

    /// Whether there was something to do.
    pub(super) fn attend(&mut self, source: &mut Source, host: &mut Host) -> bool {
        let mut attended = false;
        while let Some(event) = source.poll_event() {
            attended = true;
            assert!(self.closed.is_none(), "{event:?} after the end");
            match event {
                SourceEvent::Connected(_) | SourceEvent::RoundFinished => self.begin_stream(),
                SourceEvent::BlocksExchanged => {
                    self.exchanged = true;
                    self.step = Step::Ram;
                }
                SourceEvent::Closed(closed) => {
                    self.closed = Some(closed);
                    self.step = Step::Wait;
                }
                SourceEvent::StreamWritable
                | SourceEvent::RamWritable
                | SourceEvent::HandedOver => {}
            }
        }
        // A machine that is closing takes no calls; why it closes comes as an event.
        while let Ok(true) = self.act(source, host) {
            attended = true;
        }
        attended
    }

    fn begin_stream(&mut self) {
        self.step = Step::Stream;
        match self.rounds.pop_front() {
            Some(work) => {
                self.round += 1;
                self.stream.extend(BEFORE_ROUND);
                self.work = work;
            }
            None => {
                self.stream.extend(TAIL);
                self.step = Step::Finish;
            }
        }
    }

    /// Does one thing. False if there is nothing to do before the next event.
    fn act(&mut self, source: &mut Source, host: &mut Host) -> Result<bool, Misuse> {
        match self.step {
            Step::Wait => return Ok(false),
            Step::Stream | Step::Finish => {
                let taken = source.write_stream(self.stream.make_contiguous())?;
                self.stream.drain(..taken);
                if !self.stream.is_empty() {
                    return Ok(false);
                }
                match (self.step, self.exchanged) {
                    (Step::Finish, _) => {
                        source.finish()?;
                        self.step = Step::Wait;
                    }
                    (_, true) => self.step = Step::Ram,
                    (_, false) => {
                        source.exchange_blocks(&LENGTHS)?;
                        self.step = Step::Wait;
                    }
                }
            }
            Step::Ram => match self.work.front().copied() {
                None => {
                    source.finish_round()?;
                    self.step = Step::Wait;
                }
                Some(Job::Unregister { block, chunk }) => {
                    // Refused where all RAM is pinned, which ends nothing.
                    if matches!(source.unregister(block, chunk), Ok(false)) {
                        return Ok(false);
                    }
                    self.work.pop_front();
                }
                Some(Job::Write { block, offset, length, fill }) => {
                    self.write(host, block, offset, length, fill);
                    let taken = source.write_ram(block, BlockOffset::new(offset), length)?;
                    assert_eq!(taken, length, "a queue of {} runs is full", self.work.len());
                    self.work.pop_front();
                }
            },
        }
        Ok(true)
    }

    /// The guest writes what is sent next, but for pages that are under way already in this round.
    fn write(&mut self, host: &mut Host, block: BlockIndex, offset: u64, length: u64, fill: u8) {
        let first = usize::try_from(offset / PAGE).expect("a small number");
        let sent = self.sent[index(block)].iter_mut().skip(first);
        for (sent, page) in sent.zip(host.pages(block, offset, length)) {
            if std::mem::replace(sent, self.round) != self.round {
                *page = fill;
            }
        }
    }
}

/// The owner at the destination.
#[derive(Debug)]
pub(super) struct DestinationOwner {
    expected: Vec<u8>,
    windows: Windows,
    /// Takes so many stream bytes at once.
    at_once: usize,
    /// Says that the stream is complete without waiting for the source to go.
    finishes_early: bool,
    pub(super) stream: Vec<u8>,
    pub(super) closed: Option<Closed>,
}

impl DestinationOwner {
    pub(super) fn new(plan: &Plan, windows: Windows, choices: u8) -> Self {
        Self {
            expected: plan.stream(),
            windows,
            at_once: [usize::MAX, 1, 5, 12][usize::from(choices & 3)],
            finishes_early: choices & 4 != 0,
            stream: Vec::with_capacity(64),
            closed: None,
        }
    }

    /// Whether there was something to do.
    pub(super) fn attend(&mut self, destination: &mut Destination, host: &mut Host) -> bool {
        let mut attended = false;
        while let Some(event) = destination.poll_event() {
            attended = true;
            assert!(self.closed.is_none(), "{event:?} after the end");
            // A machine that is closing takes no calls; why it closes comes as an event.
            let _refused = self.take(event, destination, host);
        }
        attended
    }

    fn take(
        &mut self,
        event: DestinationEvent,
        destination: &mut Destination,
        host: &mut Host,
    ) -> Result<(), Misuse> {
        match event {
            DestinationEvent::StreamReadable => self.read(destination, host)?,
            DestinationEvent::BlocksRequested if self.stream == BEFORE_ROUND => {
                destination.place_blocks(&placed())?;
            }
            DestinationEvent::BlocksRequested => destination.abort()?,
            DestinationEvent::StreamEnded => {
                // No window can be opened any more.
                let _refused = self.read(destination, host);
                match self.stream == self.expected {
                    true => destination.finish()?,
                    false => destination.abort()?,
                }
            }
            DestinationEvent::Closed(closed) => self.closed = Some(closed),
            DestinationEvent::Connected(_)
            | DestinationEvent::RoundFinished
            | DestinationEvent::GuestReleased => {}
        }
        Ok(())
    }

    fn read(&mut self, destination: &mut Destination, host: &Host) -> Result<(), Misuse> {
        while let Some(held) = destination.held_stream().cloned() {
            let bytes = &host.received[usize::from(held.buffer.0)][held.range];
            let bytes = &bytes[..bytes.len().min(self.at_once)];
            if self.stream.len() <= self.expected.len() {
                self.stream.extend_from_slice(bytes);
            }
            destination.take_stream(bytes.len())?;
        }
        let hook = self.stream.len().is_multiple_of(BEFORE_ROUND.len());
        let complete = self.stream == self.expected;
        if self.windows == Windows::Announced && hook && !complete {
            destination.open_window()?;
        }
        if complete && self.finishes_early {
            destination.finish()?;
        }
        Ok(())
    }
}
