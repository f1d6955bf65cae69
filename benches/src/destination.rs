//! A destination over the [desk](crate::desk): what the machine and the run loop cost for each chunk.

use rdma_migration_protocol::address::{BlockIndex, HostAddress, RamAddress};
use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::destination::{
    Destination, DestinationConfig, DestinationEvent, PlacedBlock,
};
use rdma_migration_protocol::transport::{Machine, Owner};
use rdma_migration_protocol::wire::{Compress, Entries, Message, RegisterRequest};

use crate::MIB;
use crate::desk::{Desk, Peer, Post, settle};

const BLOCK: BlockIndex = BlockIndex::new(0);
const HOST_ADDRESS: HostAddress = HostAddress::new(0x7f00_0000_0000);

/// What the source asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Commands {
    /// Nothing: all RAM is pinned, and every chunk written without a word.
    None,
    /// Registration, so many chunks a request.
    Register(u64),
    /// That every chunk is set to zero.
    Compress,
}

/// How a guest arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Chunks of the guest, of 1 MiB each, all in one RAM block.
    pub chunks: u64,
    /// What is said of them.
    pub commands: Commands,
}

/// A destination, what stands in for its source, and its owner.
#[derive(Debug)]
pub struct Session {
    destination: Destination,
    desk: Desk<PlayedSource>,
    owner: DestinationOwner,
}

impl Session {
    /// A destination that nobody has connected to.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let peer = PlayedSource { plan, next: Next::Head, held: true };
        Self {
            destination: Destination::new(DestinationConfig::default()),
            desk: Desk::new(peer, plan.commands == Commands::None),
            owner: DestinationOwner { plan, stage: Stage::Before, closed: None },
        }
    }

    /// Takes the connection and exchanges the RAM blocks.
    ///
    /// # Panics
    /// If that fails.
    pub fn exchange(&mut self) {
        self.desk.request();
        self.settle();
        assert_eq!(
            (self.desk.peer.next, self.owner.stage),
            (Next::Ram { chunk: 0 }, Stage::Rounds)
        );
    }

    /// Does everything that the source asks for up to the end of its round.
    ///
    /// # Panics
    /// If that fails.
    pub fn migrate(&mut self) {
        self.desk.peer.held = false;
        self.desk.speak(PlayedSource::speak);
        self.settle();
        assert_eq!(self.owner.stage, Stage::LastOfStream);
    }

    /// Takes the last of the stream, releases the guest and gives everything back.
    ///
    /// # Panics
    /// If that fails.
    pub fn close(&mut self) {
        self.desk.peer.held = false;
        self.desk.speak(PlayedSource::speak);
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
        settle(&mut self.destination, &mut self.desk, &mut self.owner);
    }
}

/// Receives a guest from its start to its end.
pub fn run(plan: Plan) {
    Session::new(plan).run();
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Before,
    Rounds,
    LastOfStream,
}

#[derive(Debug)]
struct DestinationOwner {
    plan: Plan,
    stage: Stage,
    closed: Option<Closed>,
}

impl DestinationOwner {
    fn take(&mut self, event: DestinationEvent, destination: &mut Destination) {
        match event {
            DestinationEvent::StreamReadable => {
                let held = destination.held_stream().map_or(0, |held| held.range.len());
                destination.take_stream(held).expect("that many are held");
                if self.stage == Stage::LastOfStream {
                    destination.finish().expect("no round is open");
                }
            }
            DestinationEvent::BlocksRequested => {
                let length = self.plan.chunks * MIB;
                let (host_address, ram_address) = (HOST_ADDRESS, RamAddress::new(0));
                let placed = PlacedBlock { host_address, ram_address, length };
                destination.place_blocks(&[placed]).expect("they were asked for");
                self.stage = Stage::Rounds;
            }
            DestinationEvent::RoundFinished => self.stage = Stage::LastOfStream,
            DestinationEvent::Closed(closed) => self.closed = Some(closed),
            DestinationEvent::Connected(_)
            | DestinationEvent::GuestReleased
            | DestinationEvent::StreamEnded => {}
        }
    }
}

impl Owner<Destination, Desk<PlayedSource>> for DestinationOwner {
    fn attend(&mut self, destination: &mut Destination, _desk: &mut Desk<PlayedSource>) {
        while let Some(event) = destination.poll_event() {
            self.take(event, destination);
        }
    }
}

/// What the source says at the next READY.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Head,
    Blocks,
    Ram { chunk: u64 },
    Tail,
    Nothing,
}

/// Says one thing for each READY; before the RAM and before the end it waits until it may go on.
#[derive(Debug)]
struct PlayedSource {
    plan: Plan,
    next: Next,
    held: bool,
}

impl PlayedSource {
    fn speak(&mut self, post: &mut Post<'_>) {
        match self.next {
            Next::Head => {
                post.send(&Message::QemuFile(b"head"));
                self.next = Next::Blocks;
            }
            Next::Blocks => {
                post.send(&Message::RamBlocksRequest);
                self.next = Next::Ram { chunk: 0 };
            }
            Next::Ram { chunk } => self.speak_of_ram(chunk, post),
            Next::Tail => {
                post.send(&Message::QemuFile(b"tail"));
                self.next = Next::Nothing;
            }
            Next::Nothing => {}
        }
    }

    fn speak_of_ram(&mut self, chunk: u64, post: &mut Post<'_>) {
        let (address, block) = (RamAddress::new(chunk * MIB), BLOCK);
        let left = self.plan.chunks.saturating_sub(chunk);
        let chunks = match self.plan.commands {
            Commands::None => 0,
            Commands::Register(span) => span.min(left),
            Commands::Compress => left.min(1),
        };
        if chunks == 0 {
            post.send(&Message::RegisterFinished);
            (self.next, self.held) = (Next::Tail, true);
            return;
        }
        if self.plan.commands == Commands::Compress {
            let run = Compress { value: 0, block, offset: address, length: MIB };
            post.send(&Message::Compress(Entries::new(&[run])));
        } else {
            let request = RegisterRequest { address, block, chunks: chunks - 1 };
            post.send(&Message::RegisterRequest(Entries::new(&[request])));
        }
        self.next = Next::Ram { chunk: chunk + chunks };
    }
}

impl Peer for PlayedSource {
    fn connected(&mut self, _post: &mut Post<'_>) {}

    fn hear(&mut self, message: &Message<'_>, post: &mut Post<'_>) {
        let before_ram = self.next == Next::Ram { chunk: 0 };
        let waits = self.held && (before_ram || self.next == Next::Tail);
        if *message == Message::Ready && !waits {
            self.speak(post);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_comes_to_its_end() {
        for commands in
            [Commands::None, Commands::Register(1), Commands::Register(64), Commands::Compress]
        {
            run(Plan { chunks: 300, commands });
        }
    }
}
