//! The owner at the source: carries out a plan, while the guest goes on.

use std::collections::VecDeque;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rdma_migration_protocol::address::{BlockIndex, BlockOffset};
use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::error::Misuse;
use rdma_migration_protocol::source::{Source, SourceEvent};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Machine, Owner, Transport};
use rdma_migration_transport_sim::Port;

use crate::guest::{self, Work};
use crate::plan::Plan;
use crate::watch::Watched;

/// What the owner does next.
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

/// The owner of the guest. While a round is under way the guest dirties what the next will send.
#[derive(Debug)]
pub(crate) struct SourceOwner {
    plan: Plan,
    step: Step,
    /// The round that is under way or comes next, from 0.
    round: usize,
    /// What the guest's RAM holds, by what the guest did to it and nothing else.
    pub(crate) ram: Vec<Vec<u8>>,
    /// The whole stream.
    pub(crate) stream: Vec<u8>,
    /// Up to where it may be written now, and how much of it is.
    stream_end: usize,
    stream_written: usize,
    /// What is still to be sent in this round.
    work: VecDeque<Work>,
    /// How much of the next round's work the guest has done already.
    dirtied: usize,
    exchanged: bool,
    chance: ChaCha8Rng,
    pub(crate) paused_until: Option<Instant>,
    pub(crate) closed: Vec<Closed>,
}

impl SourceOwner {
    pub(crate) fn new(plan: &Plan) -> Self {
        let blocks = plan.blocks.iter().enumerate();
        Self {
            plan: plan.clone(),
            step: Step::Connect,
            round: 0,
            ram: blocks.map(|(index, block)| guest::contents(plan, index, *block)).collect(),
            stream: guest::stream(plan),
            stream_end: 0,
            stream_written: 0,
            work: VecDeque::new(),
            dirtied: 0,
            exchanged: false,
            chance: guest::random(plan, "source pauses", 0),
            paused_until: None,
            closed: Vec::new(),
        }
    }

    fn take(&mut self, event: SourceEvent, port: &mut Port<'_>) {
        match event {
            SourceEvent::Connected(_) => self.begin_stream(port),
            SourceEvent::RoundFinished => {
                self.round += 1;
                self.begin_stream(port);
            }
            SourceEvent::BlocksExchanged => {
                self.exchanged = true;
                let later = core::mem::take(&mut self.work);
                self.work = guest::all(&self.plan).into_iter().chain(later).collect();
                self.step = Step::Ram;
            }
            SourceEvent::Closed(closed) => {
                self.closed.push(closed);
                self.step = Step::Done;
            }
            SourceEvent::StreamWritable | SourceEvent::RamWritable | SourceEvent::HandedOver => {}
        }
    }

    /// The head of the next round, or behind the last the tail.
    fn begin_stream(&mut self, port: &mut Port<'_>) {
        if self.round >= self.plan.rounds {
            if port.fault_due("stream-truncated") {
                let kept = self.plan.tail_bytes.div_ceil(2);
                self.stream.truncate(self.stream.len() - self.plan.tail_bytes + kept);
            }
            self.stream_end = self.stream.len();
            self.step = Step::Stream { then: After::Finish };
            return;
        }
        let work = guest::work(&self.plan, self.round);
        for work in work.iter().skip(self.dirtied) {
            self.dirty(*work, port);
        }
        self.dirtied = 0;
        self.work = work.into();
        self.stream_end = self.plan.head_bytes * (self.round + 1);
        let then = if self.exchanged { After::Round } else { After::Exchange };
        self.step = Step::Stream { then };
    }

    /// The guest goes on while the round is under way.
    fn run_guest(&mut self, port: &mut Port<'_>) {
        let next = self.round + 1;
        if !self.exchanged || next >= self.plan.rounds || self.dirtied >= self.plan.work {
            return;
        }
        let work = guest::work(&self.plan, next)[self.dirtied];
        self.dirty(work, port);
        self.dirtied += 1;
    }

    fn dirty(&mut self, work: Work, port: &mut Port<'_>) {
        let Work::Write { block, offset, length, fill: Some(fill) } = work else { return };
        let index = usize::try_from(block).unwrap();
        guest::touch(&mut self.ram[index], offset, length, fill);
        guest::touch(port.memory_mut(BlockIndex::new(block)), offset, length, fill);
    }

    /// Whether the owner does nothing just now.
    fn pauses(&mut self, port: &mut Port<'_>) -> bool {
        let now = port.now();
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            return false;
        }
        let acts = !matches!(self.step, Step::Wait | Step::Done);
        let may = self.paused_until.is_none() && acts && !self.plan.pause.is_zero();
        if may && self.chance.random_ratio(1, 4) {
            let until = now.after(self.plan.pause.mul_f64(self.chance.random()));
            port.wake_at(until);
            self.paused_until = Some(until);
        }
        self.paused_until.is_some()
    }

    /// Does one step. False if there is nothing to do before the next event.
    fn act(&mut self, source: &mut Watched<Source>) -> Result<bool, Misuse> {
        match self.step {
            Step::Connect => {
                source.call(Source::connect)?;
                self.step = Step::Wait;
                Ok(true)
            }
            Step::Stream { then } => self.write_stream(then, source),
            Step::Ram => self.send_ram(source),
            Step::Wait | Step::Done => Ok(false),
        }
    }

    fn write_stream(&mut self, then: After, source: &mut Watched<Source>) -> Result<bool, Misuse> {
        let bytes = &self.stream[self.stream_written..self.stream_end];
        self.stream_written += source.call(|source| source.write_stream(bytes))?;
        if self.stream_written < self.stream_end {
            return Ok(false);
        }
        self.step = Step::Wait;
        match then {
            After::Exchange => {
                let lengths = self.plan.lengths();
                source.call(|source| source.exchange_blocks(&lengths))?;
            }
            After::Round => self.step = Step::Ram,
            After::Finish => {
                source.record.stream_ends_at = Some(self.stream.len());
                source.call(Source::finish)?;
            }
        }
        Ok(true)
    }

    fn send_ram(&mut self, source: &mut Watched<Source>) -> Result<bool, Misuse> {
        match self.work.front_mut() {
            None => {
                source.call(Source::finish_round)?;
                self.step = Step::Wait;
            }
            Some(Work::Write { block, offset, length, .. }) => {
                let (index, at) = (BlockIndex::new(*block), BlockOffset::new(*offset));
                let taken = source.call(|source| source.write_ram(index, at, *length))?;
                *offset += taken;
                *length -= taken;
                if *length > 0 {
                    return Ok(false);
                }
                self.work.pop_front();
            }
            Some(Work::Unregister { block, chunk }) => {
                let (index, chunk) = (BlockIndex::new(*block), *chunk);
                if !source.call(|source| source.unregister(index, chunk))? {
                    return Ok(false);
                }
                self.work.pop_front();
            }
        }
        Ok(true)
    }
}

impl<'f> Owner<Watched<Source>, Port<'f>> for SourceOwner {
    fn attend(&mut self, source: &mut Watched<Source>, port: &mut Port<'f>) {
        while let Some(event) = source.poll_event() {
            self.take(event, port);
        }
        if port.fault_due("source-aborts") {
            // Refused once the guest is handed over, which is as it should be.
            let _too_late = source.call(Source::abort);
        }
        self.run_guest(port);
        // A machine that is closing takes no calls; why it closes comes as an event.
        while !self.pauses(port) && self.act(source) == Ok(true) {}
    }
}
