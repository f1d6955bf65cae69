//! Every phase of a destination, reached by one migration that is played by hand.

use core::time::Duration;

use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::destination::{Destination, DestinationConfig, PlacedBlock};
use rdma_migration_protocol::transport::{Completion, ConnectionEvent, RegionId};
use rdma_migration_protocol::wire::{
    Capabilities, Compress, Entries, Flags, Kind, Message, PROTOCOL_VERSION, RegisterRequest,
    UnregisterRequest,
};

use crate::by_hand::{ByHand, Order, rkey};
use crate::layout::{LENGTHS, MIB, host_address, ram_address};

/// Which message of the source would be right now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// A command: a READY for it is out.
    Command,
    /// None: there is no READY for a command.
    Nothing,
    /// None can arrive: no receive is posted.
    Deaf,
    /// The side takes no notice any more.
    Ignored,
}

/// A destination in one of its phases.
#[derive(Clone, Debug)]
pub(crate) struct DestinationPhase {
    pub(crate) name: &'static str,
    pub(crate) hand: ByHand<Destination>,
    pub(crate) due: Due,
    /// The wait that ends first, and how long it lasts.
    pub(crate) wait: Option<(TimeoutReason, Duration)>,
    /// The calls that its owner may make.
    pub(crate) calls: &'static [&'static str],
    /// Whether the connection is up.
    pub(crate) connected: bool,
    /// Whether the stream may be complete, as far as the messages go.
    pub(crate) quiet: bool,
}

const ABORT: &[&str] = &["abort"];
const OPEN: &[&str] = &["open_window", "abort"];
const QUIET: &[&str] = &["open_window", "finish", "abort"];
const ENDED: &[&str] = &["finish", "abort"];
const NONE: &[&str] = &[];

const MEMORY: Duration = Duration::from_secs(60);
const COMMAND: Duration = Duration::from_secs(300);
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(30);
const CONNECTION: Duration = Duration::from_secs(30);
const CLOSING: Duration = Duration::from_secs(5);

/// A destination whose source asked for `flags`, and which has said READY.
pub(crate) fn connected(config: DestinationConfig, flags: Flags) -> ByHand<Destination> {
    let mut hand = ByHand::new(Destination::new(config));
    let private_data = Capabilities { version: PROTOCOL_VERSION, flags }.to_bytes();
    hand.connection(ConnectionEvent::Requested { private_data: &private_data });
    hand.run();
    hand.connection(ConnectionEvent::Established { private_data: &[] });
    hand.run();
    hand.message(Kind::Ready);
    hand.events();
    hand
}

/// A destination in its first round, with RAM blocks of these lengths, that has said READY.
pub(crate) fn in_round(config: DestinationConfig, lengths: &[u64]) -> ByHand<Destination> {
    let mut hand = connected(config, Flags::NONE);
    hand.receive(&Message::RamBlocksRequest);
    hand.machine.place_blocks(&placed(lengths)).unwrap();
    hand.run();
    hand.message(Kind::RamBlocksResult);
    hand.message(Kind::Ready);
    hand.events();
    hand
}

/// Blocks of these lengths, far from each other in both address spaces.
pub(crate) fn placed(lengths: &[u64]) -> Vec<PlacedBlock> {
    let blocks = lengths.iter().zip(0_u32..).map(|(length, index)| PlacedBlock {
        host_address: host_address(index),
        ram_address: ram_address(index, 0),
        length: *length,
    });
    blocks.collect()
}

pub(crate) fn request(block: u32, offset: u64, further: u64) -> RegisterRequest {
    let address = ram_address(block, offset);
    RegisterRequest { address, block: BlockIndex::new(block), chunks: further }
}

pub(crate) fn zero(block: u32, offset: u64, length: u64) -> Compress {
    let offset = ram_address(block, offset);
    Compress { value: 0, block: BlockIndex::new(block), offset, length }
}

pub(crate) fn unregister(block: u32, chunk: u64) -> UnregisterRequest {
    UnregisterRequest { chunk, block: BlockIndex::new(block) }
}

/// One migration with a chunk registered on the way, unregistered, and another one registered.
struct March {
    hand: ByHand<Destination>,
    phases: Vec<DestinationPhase>,
    connected: bool,
    quiet: bool,
}

impl March {
    fn begin() -> Self {
        let hand = ByHand::new(Destination::new(DestinationConfig::default()));
        Self { hand, phases: Vec::new(), connected: false, quiet: false }
    }

    fn at(
        &mut self,
        name: &'static str,
        due: Due,
        wait: Option<(TimeoutReason, Duration)>,
        calls: &'static [&'static str],
    ) {
        self.hand.events();
        let (hand, connected, quiet) = (self.hand.clone(), self.connected, self.quiet);
        self.phases.push(DestinationPhase { name, hand, due, wait, calls, connected, quiet });
    }

    /// The machine sends these, and they are acknowledged.
    #[track_caller]
    fn sends(&mut self, kinds: &[Kind]) {
        let sends: Vec<_> = kinds.iter().map(|kind| Order::Send(*kind)).collect();
        assert_eq!(self.hand.orders(), sends);
        for kind in kinds {
            self.hand.complete(Completion::Sent);
            self.hand.message(*kind);
        }
    }

    fn connect(&mut self, flags: Flags) {
        self.at("listening", Due::Deaf, None, ABORT);
        let private_data = Capabilities { version: PROTOCOL_VERSION, flags }.to_bytes();
        self.hand.connection(ConnectionEvent::Requested { private_data: &private_data });
        self.at("to accept", Due::Deaf, None, ABORT);
        self.hand.orders();
        let wait = Some((TimeoutReason::Connection, CONNECTION));
        self.at("accepting", Due::Nothing, wait, ABORT);
        self.hand.connection(ConnectionEvent::Established { private_data: &[] });
        self.connected = true;
        self.at("connected", Due::Nothing, None, OPEN);
        self.hand.orders();
        let sent = Some((TimeoutReason::Send, ACKNOWLEDGEMENT));
        self.at("READY on its way", Due::Command, sent, OPEN);
        self.hand.complete(Completion::Sent);
        self.hand.message(Kind::Ready);
    }

    fn set_up(&mut self) {
        let command = Some((TimeoutReason::Command, COMMAND));
        self.at("stream awaited", Due::Command, command, OPEN);
        self.hand.receive(&Message::QemuFile(b"head"));
        self.hand.orders();
        self.at("stream held", Due::Nothing, None, OPEN);
        self.hand.machine.take_stream(4).unwrap();
        self.sends(&[Kind::Ready]);
        self.hand.receive(&Message::RamBlocksRequest);
        self.hand.orders();
        // The request has opened a round.
        const PLACE_IN_ROUND: &[&str] = &["place_blocks", "abort"];
        self.at("RAM blocks asked for", Due::Nothing, None, PLACE_IN_ROUND);
        self.hand.machine.place_blocks(&placed(&LENGTHS)).unwrap();
    }

    fn first_round(&mut self) {
        let command = Some((TimeoutReason::Command, COMMAND));
        let registration = Some((TimeoutReason::Registration, MEMORY));
        self.sends(&[Kind::RamBlocksResult, Kind::Ready]);
        self.at("round open", Due::Command, command, ABORT);
        self.hand.receive(&Message::RegisterRequest(Entries::new(&[request(0, 0, 0)])));
        self.hand.orders();
        self.at("registering", Due::Nothing, registration, ABORT);
        self.hand.answer_all();
        self.sends(&[Kind::RegisterResult, Kind::Ready]);
        self.hand.receive(&Message::Compress(Entries::new(&[zero(1, 0, 0x1000)])));
        self.hand.orders();
        self.at("zeroing", Due::Nothing, Some((TimeoutReason::Memory, MEMORY)), ABORT);
        self.hand.answer_all();
        self.sends(&[Kind::Ready]);
        self.hand.receive(&Message::UnregisterRequest(Entries::new(&[unregister(0, 0)])));
        self.hand.orders();
        self.at("deregistering", Due::Nothing, registration, ABORT);
        self.hand.answer_all();
        self.sends(&[Kind::UnregisterFinished, Kind::Ready]);
        self.hand.receive(&Message::RegisterRequest(Entries::new(&[request(0, MIB, 0)])));
        self.hand.orders();
        self.hand.answer_all();
        self.sends(&[Kind::RegisterResult, Kind::Ready]);
        self.at("round open, registered", Due::Command, command, ABORT);
    }

    fn hand_over(&mut self) {
        self.hand.receive(&Message::RegisterFinished);
        self.sends(&[Kind::Ready]);
        self.quiet = true;
        let command = Some((TimeoutReason::Command, COMMAND));
        self.at("between rounds", Due::Command, command, QUIET);
        self.hand.receive(&Message::QemuFile(b"tail"));
        self.hand.orders();
        self.at("tail held", Due::Nothing, None, QUIET);
    }

    fn end(&mut self) {
        let tail_held = self.hand.clone();
        self.hand.connection(ConnectionEvent::Disconnected);
        self.hand.broken = true;
        self.connected = false;
        self.quiet = false;
        self.at("source gone", Due::Ignored, None, ENDED);
        self.hand = tail_held;
        self.hand.machine.abort().unwrap();
        self.at("ERROR to send", Due::Ignored, None, NONE);
        self.hand.orders();
        self.hand.message(Kind::Error);
        let error = Some((TimeoutReason::ErrorSent, CLOSING));
        self.at("ERROR on its way", Due::Ignored, error, NONE);
        self.hand.complete(Completion::Sent);
        self.hand.orders();
        let disconnection = Some((TimeoutReason::Disconnection, CLOSING));
        self.at("disconnecting", Due::Ignored, disconnection, NONE);
        self.hand.answer_all();
        self.hand.orders();
        let registration = Some((TimeoutReason::Registration, MEMORY));
        self.at("releasing", Due::Deaf, registration, NONE);
    }
}

/// Every phase of a destination whose source asks for chunks as it needs them.
pub(crate) fn dynamic() -> Vec<DestinationPhase> {
    let mut march = March::begin();
    march.connect(Flags::NONE);
    march.set_up();
    march.first_round();
    march.hand_over();
    march.end();
    march.phases
}

/// The phases that are different where all RAM is pinned.
pub(crate) fn pinned() -> Vec<DestinationPhase> {
    let mut march = March::begin();
    march.connect(Flags::PIN_ALL);
    march.set_up();
    march.phases.clear();
    march.hand.orders();
    let registration = Some((TimeoutReason::Registration, MEMORY));
    march.at("pinning", Due::Nothing, registration, ABORT);
    let region = RegionId(0);
    march.hand.complete(Completion::MemoryRegistered { region, rkey: rkey(region) });
    march.at("pinning the rest", Due::Nothing, registration, ABORT);
    march.hand.answer_all();
    march.sends(&[Kind::RamBlocksResult, Kind::Ready]);
    let command = Some((TimeoutReason::Command, COMMAND));
    march.at("pinned round", Due::Command, command, ABORT);
    march.phases
}

/// Every phase of a destination in both pin modes.
pub(crate) fn all() -> Vec<DestinationPhase> {
    [dynamic(), pinned()].concat()
}

/// A destination in the phase of that name.
#[track_caller]
pub(crate) fn phase(name: &str) -> ByHand<Destination> {
    let found = all().into_iter().find(|phase| phase.name == name);
    found.expect("a phase of that name").hand
}
