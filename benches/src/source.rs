//! A source over the [desk](crate::desk): what the machine and the run loop cost for each chunk.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, RamAddress, Rkey};
use rdma_migration_protocol::connection::{Closed, PinAllOffer};
use rdma_migration_protocol::source::{Registration, Source, SourceConfig, SourceEvent};
use rdma_migration_protocol::transport::{Machine, Owner};
use rdma_migration_protocol::wire::{Entries, Message, RamBlock, RegisterResult};

use crate::MIB;
use crate::desk::{Desk, Peer, Post, settle};

const BLOCK: BlockIndex = BlockIndex::new(0);
const PAGE_BYTES: u64 = 4096;
const HOST_ADDRESS: HostAddress = HostAddress::new(0x7f00_0000_0000);

/// How a guest is moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Chunks of the guest, of 1 MiB each, all in one RAM block.
    pub chunks: u64,
    /// How they are registered; `None`: all RAM is pinned.
    pub registration: Option<Registration>,
    /// Whether every scan finds zero.
    pub zero: bool,
    /// Rounds after the first. Each writes one page of every sixteen.
    pub rounds: u32,
}

impl Plan {
    /// Bytes between two pages that a later round writes.
    const STRIDE_BYTES: u64 = 16 * PAGE_BYTES;

    /// A guest that is written once, whole.
    #[must_use]
    pub const fn once(chunks: u64, registration: Option<Registration>) -> Self {
        Self { chunks, registration, zero: false, rounds: 0 }
    }

    /// Bytes that all rounds together write.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let guest = self.chunks * MIB;
        let first = if self.zero { 0 } else { guest };
        first + u64::from(self.rounds) * (guest / Self::STRIDE_BYTES) * PAGE_BYTES
    }
}

/// A source, what stands in for its destination, and its owner.
#[derive(Debug)]
pub struct Session {
    source: Source,
    desk: Desk<PlayedDestination>,
    owner: SourceOwner,
}

impl Session {
    /// A source that has not connected.
    ///
    /// # Panics
    /// Where the source does not take the plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let defaults = SourceConfig::default();
        let config = SourceConfig {
            pin_all: match plan.registration {
                Some(_) => PinAllOffer::Never,
                None => PinAllOffer::Required,
            },
            registration: plan.registration.unwrap_or_default(),
            ..defaults
        };
        let peer = PlayedDestination { length: plan.chunks * MIB };
        let mut desk = Desk::new(peer, plan.registration.is_none());
        desk.ram_is_zero = plan.zero;
        let source = Source::new(config).expect("the configuration is in range");
        Self { source, desk, owner: SourceOwner::new(plan) }
    }

    /// Connects and exchanges the RAM blocks.
    ///
    /// # Panics
    /// If that fails.
    pub fn exchange(&mut self) {
        self.source.connect().expect("it has not connected");
        self.settle();
        assert_eq!(self.owner.step, Step::Exchanged);
    }

    /// Writes all rounds and hands the guest over.
    ///
    /// # Panics
    /// If that fails, or other bytes were written than planned.
    pub fn migrate(&mut self) {
        self.owner.step = Step::Write { at: 0 };
        self.settle();
        assert_eq!(self.owner.step, Step::HandedOver);
        assert_eq!(self.desk.bytes_written, self.owner.plan.bytes());
    }

    /// The destination disconnects, and everything is given back.
    ///
    /// # Panics
    /// If that fails.
    pub fn close(&mut self) {
        self.desk.hang_up();
        self.settle();
        let closed = self.owner.closed.as_ref().expect("it has closed");
        assert_eq!((&closed.result, closed.regions_left), (&Ok(()), 0));
    }

    /// All of it, from the connection to the end.
    pub fn run(&mut self) {
        self.exchange();
        self.migrate();
        self.close();
    }

    fn settle(&mut self) {
        settle(&mut self.source, &mut self.desk, &mut self.owner);
    }
}

/// Moves a guest from its start to its end.
pub fn run(plan: Plan) {
    Session::new(plan).run();
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Connect,
    Exchanged,
    /// RAM is handed over, from this byte on.
    Write {
        at: u64,
    },
    FinishingRound,
    Finishing,
    HandedOver,
}

#[derive(Debug)]
struct SourceOwner {
    plan: Plan,
    step: Step,
    round: u32,
    closed: Option<Closed>,
}

impl SourceOwner {
    const fn new(plan: Plan) -> Self {
        Self { plan, step: Step::Connect, round: 0, closed: None }
    }

    fn take(&mut self, event: SourceEvent, source: &mut Source) {
        match event {
            SourceEvent::Connected(_) => {
                source.write_stream(b"head").expect("connected");
                source.exchange_blocks(&[self.plan.chunks * MIB]).expect("not exchanged yet");
            }
            SourceEvent::BlocksExchanged => self.step = Step::Exchanged,
            SourceEvent::RoundFinished if self.round < self.plan.rounds => {
                self.round += 1;
                source.write_stream(b"head").expect("between rounds");
                self.step = Step::Write { at: 0 };
            }
            SourceEvent::RoundFinished => {
                source.write_stream(b"tail").expect("between rounds");
                source.finish().expect("between rounds, with bytes left");
                self.step = Step::Finishing;
            }
            SourceEvent::HandedOver => self.step = Step::HandedOver,
            SourceEvent::Closed(closed) => self.closed = Some(closed),
            SourceEvent::StreamWritable | SourceEvent::RamWritable => {}
        }
    }

    /// Hands over as much as the source takes.
    fn write(&mut self, source: &mut Source, mut at: u64) {
        let end = self.plan.chunks * MIB;
        while at < end {
            let (length, step) = match self.round {
                0 => (end - at, end - at),
                _ => (PAGE_BYTES, Plan::STRIDE_BYTES),
            };
            let offset = BlockOffset::new(at);
            let taken = source.write_ram(BLOCK, offset, length).expect("a round is open");
            if taken < length {
                self.step = Step::Write { at: at + taken };
                return;
            }
            at += step;
        }
        source.finish_round().expect("a round is open");
        self.step = Step::FinishingRound;
    }
}

impl Owner<Source, Desk<PlayedDestination>> for SourceOwner {
    fn attend(&mut self, source: &mut Source, _desk: &mut Desk<PlayedDestination>) {
        while let Some(event) = source.poll_event() {
            self.take(event, source);
        }
        if let Step::Write { at } = self.step {
            self.write(source, at);
        }
    }
}

/// Answers what a source asks, as a destination does that always agrees.
#[derive(Debug)]
struct PlayedDestination {
    length: u64,
}

impl Peer for PlayedDestination {
    fn connected(&mut self, post: &mut Post<'_>) {
        post.send(&Message::Ready);
    }

    fn hear(&mut self, message: &Message<'_>, post: &mut Post<'_>) {
        let rkey = Rkey::new(7);
        match message {
            Message::RamBlocksRequest => {
                let offset = RamAddress::new(0);
                let block =
                    RamBlock { remote_address: HOST_ADDRESS, offset, length: self.length, rkey };
                post.send(&Message::RamBlocksResult(Entries::new(&[block])));
            }
            Message::RegisterRequest(_) => {
                let result = RegisterResult { rkey, host_address: HOST_ADDRESS };
                let results = Entries::new(core::slice::from_ref(&result));
                post.send(&Message::RegisterResult { repeat: 1, results });
            }
            _ => {}
        }
        post.send(&Message::Ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_comes_to_its_end() {
        let spans = Registration::Spans { chunks_max: 4 };
        for registration in
            [None, Some(Registration::Chunks), Some(spans), Some(Registration::default())]
        {
            for (zero, rounds) in [(false, 0), (false, 2), (true, 0)] {
                if registration.is_some() || !zero {
                    run(Plan { chunks: 300, registration, zero, rounds });
                }
            }
        }
    }
}
