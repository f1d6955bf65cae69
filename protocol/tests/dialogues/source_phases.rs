//! Every phase of a source, reached by one migration that is played by hand.

use core::time::Duration;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, Rkey};
use rdma_migration_protocol::connection::{GuestOwner, PinAllOffer};
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::transport::{Completion, ConnectionEvent, RegionId};
use rdma_migration_protocol::wire::{
    Capabilities, Entries, Flags, Kind, Message, PROTOCOL_VERSION, RamBlock, RegisterResult,
};

use crate::by_hand::{ByHand, Order};
use crate::layout::{LENGTHS, MIB, host_address, ram_address};

/// Which message of the destination would be right now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// A READY.
    Ready,
    /// A reply, and no READY before it.
    Reply(Kind),
    /// None: a READY is there and unused.
    Nothing,
    /// None can arrive: no receive is posted.
    Deaf,
    /// The side is closing: it takes no notice.
    Ignored,
}

/// A source in one of its phases.
#[derive(Clone, Debug)]
pub(crate) struct SourcePhase {
    pub(crate) name: &'static str,
    pub(crate) hand: ByHand<Source>,
    pub(crate) due: Due,
    /// The wait that ends first, and how long it lasts.
    pub(crate) wait: Option<(TimeoutReason, Duration)>,
    /// The calls that its owner may make.
    pub(crate) calls: &'static [&'static str],
    pub(crate) guest: GuestOwner,
}

const IDLE: &[&str] = &["connect", "abort"];
const ABORT: &[&str] = &["abort"];
const SETUP: &[&str] = &["write_stream", "flush_stream", "exchange_blocks", "abort"];
const ROUND: &[&str] = &["write_ram", "unregister", "finish_round", "abort"];
const BETWEEN: &[&str] =
    &["write_stream", "flush_stream", "write_ram", "unregister", "finish_round", "abort"];
const NONE: &[&str] = &[];

const RESPONSE: Duration = Duration::from_secs(60);
const MEMORY: Duration = Duration::from_secs(60);
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(30);
const CONNECTION: Duration = Duration::from_secs(30);
const FAREWELL: Duration = Duration::from_secs(2);
const CLOSING: Duration = Duration::from_secs(5);

/// A source that has connected to a destination that grants `flags`.
pub(crate) fn connected(config: SourceConfig, flags: Flags) -> ByHand<Source> {
    let mut hand = ByHand::new(Source::new(config).unwrap());
    hand.machine.connect().unwrap();
    hand.orders();
    let private_data = Capabilities { version: PROTOCOL_VERSION, flags }.to_bytes();
    hand.connection(ConnectionEvent::Established { private_data: &private_data });
    hand.orders();
    hand.events();
    hand
}

/// A source in its first round, with these RAM blocks on both sides, that holds no READY.
pub(crate) fn in_round(config: SourceConfig, lengths: &[u64]) -> ByHand<Source> {
    let mut hand = connected(config, Flags::NONE);
    hand.machine.exchange_blocks(lengths).unwrap();
    hand.receive(&Message::Ready);
    hand.run();
    hand.message(Kind::RamBlocksRequest);
    hand.receive(&Message::RamBlocksResult(Entries::new(&ram_blocks(lengths, 0))));
    hand.run();
    hand.events();
    hand
}

/// What the played destination says of blocks of these lengths. `rkey`: the first block's, if not 0.
pub(crate) fn ram_blocks(lengths: &[u64], rkey: u32) -> Vec<RamBlock> {
    let blocks = lengths.iter().zip(0_u32..).map(|(length, index)| RamBlock {
        remote_address: host_address(index),
        offset: ram_address(index, 0),
        length: *length,
        rkey: Rkey::new(if rkey == 0 { 0 } else { rkey + index }),
    });
    blocks.collect()
}

/// The result for a chunk of a block.
pub(crate) fn granted(block: u32, rkey: u32) -> RegisterResult {
    RegisterResult { rkey: Rkey::new(rkey), host_address: host_address(block) }
}

pub(crate) fn receive_result(hand: &mut ByHand<Source>, result: RegisterResult) {
    hand.receive(&Message::RegisterResult { repeat: 1, results: Entries::new(&[result]) });
}

pub(crate) fn write(hand: &mut ByHand<Source>, block: u32, offset: u64, length: u64) {
    let (block, offset) = (BlockIndex::new(block), BlockOffset::new(offset));
    assert_eq!(hand.machine.write_ram(block, offset, length), Ok(length));
}

pub(crate) fn scanned(hand: &mut ByHand<Source>, block: u32, offset: u64, zero: bool) {
    let (block, offset) = (BlockIndex::new(block), BlockOffset::new(offset));
    hand.complete(Completion::RamScanned { block, offset, zero });
}

fn registered(hand: &mut ByHand<Source>, region: u32) {
    let region = RegionId(region);
    hand.complete(Completion::MemoryRegistered { region, rkey: crate::by_hand::rkey(region) });
}

/// One migration with a chunk registered on the way, unregistered, and another one registered.
struct March {
    hand: ByHand<Source>,
    phases: Vec<SourcePhase>,
    guest: GuestOwner,
}

impl March {
    fn begin(pin_all: PinAllOffer) -> Self {
        let config = SourceConfig { pin_all, peer_unregisters: true, ..SourceConfig::default() };
        let hand = ByHand::new(Source::new(config).unwrap());
        Self { hand, phases: Vec::new(), guest: GuestOwner::Source }
    }

    fn at(
        &mut self,
        name: &'static str,
        due: Due,
        wait: Option<(TimeoutReason, Duration)>,
        calls: &'static [&'static str],
    ) {
        self.hand.events();
        let (hand, guest) = (self.hand.clone(), self.guest);
        self.phases.push(SourcePhase { name, hand, due, wait, calls, guest });
    }

    /// The machine sends one message, which is acknowledged.
    #[track_caller]
    fn sends(&mut self, kind: Kind) {
        assert_eq!(self.hand.orders().first(), Some(&Order::Send(kind)));
        self.hand.complete(Completion::Sent);
        self.hand.message(kind);
    }

    fn connect(&mut self, flags: Flags) {
        self.at("idle", Due::Deaf, None, IDLE);
        self.hand.machine.connect().unwrap();
        self.at("to connect", Due::Deaf, None, ABORT);
        self.hand.orders();
        let wait = Some((TimeoutReason::Connection, CONNECTION));
        self.at("connecting", Due::Ready, wait, ABORT);
        let private_data = Capabilities { version: PROTOCOL_VERSION, flags }.to_bytes();
        self.hand.connection(ConnectionEvent::Established { private_data: &private_data });
        self.at("connected", Due::Ready, None, SETUP);
    }

    fn set_up(&mut self) {
        let ready = Some((TimeoutReason::Ready, RESPONSE));
        self.hand.machine.write_stream(b"head").unwrap();
        self.hand.machine.exchange_blocks(&LENGTHS).unwrap();
        self.hand.orders();
        self.at("stream to send", Due::Ready, ready, ABORT);
        self.hand.receive(&Message::Ready);
        self.hand.orders();
        self.hand.message(Kind::QemuFile);
        let sent = Some((TimeoutReason::Send, ACKNOWLEDGEMENT));
        self.at("stream on its way", Due::Ready, sent, ABORT);
        self.hand.complete(Completion::Sent);
        self.at("RAM blocks to ask for", Due::Ready, ready, ABORT);
        self.hand.receive(&Message::Ready);
        self.sends(Kind::RamBlocksRequest);
        let reply = Some((TimeoutReason::Reply, RESPONSE));
        self.at("RAM blocks asked for", Due::Reply(Kind::RamBlocksResult), reply, ABORT);
    }

    fn first_round(&mut self) {
        let reply = Some((TimeoutReason::Reply, RESPONSE));
        let registration = Some((TimeoutReason::Registration, MEMORY));
        self.hand.receive(&Message::RamBlocksResult(Entries::new(&ram_blocks(&LENGTHS, 0))));
        self.at("round open", Due::Ready, None, ROUND);
        self.hand.receive(&Message::Ready);
        self.at("round open, READY held", Due::Nothing, None, ROUND);
        write(&mut self.hand, 0, 0, MIB);
        self.hand.orders();
        self.at("scanning", Due::Nothing, Some((TimeoutReason::Memory, MEMORY)), ROUND);
        scanned(&mut self.hand, 0, 0, false);
        self.sends(Kind::RegisterRequest);
        self.at("registration asked for", Due::Reply(Kind::RegisterResult), reply, ROUND);
        receive_result(&mut self.hand, granted(0, 0x77));
        self.at("registering here", Due::Ready, registration, ROUND);
        registered(&mut self.hand, 0);
        self.hand.orders();
        let written = Some((TimeoutReason::Write, ACKNOWLEDGEMENT));
        self.at("writing", Due::Ready, written, ROUND);
        self.hand.complete(Completion::RamWritten);
        self.hand.machine.unregister(BlockIndex::new(0), 0).unwrap();
        self.hand.orders();
        let ready = Some((TimeoutReason::Ready, RESPONSE));
        self.at("unregistration to ask for", Due::Ready, ready, ROUND);
        self.hand.receive(&Message::Ready);
        self.sends(Kind::UnregisterRequest);
        self.at("unregistration asked for", Due::Reply(Kind::UnregisterFinished), reply, ROUND);
        self.hand.receive(&Message::UnregisterFinished { repeat: 1 });
        self.hand.orders();
        self.at("deregistering here", Due::Ready, registration, ROUND);
        self.hand.complete(Completion::MemoryDeregistered { region: RegionId(0) });
    }

    /// A second chunk, which stays registered.
    fn second_chunk(&mut self) {
        write(&mut self.hand, 0, MIB, MIB);
        self.hand.run();
        let ready = Some((TimeoutReason::Ready, RESPONSE));
        self.at("registration to ask for", Due::Ready, ready, ROUND);
        self.hand.receive(&Message::Ready);
        self.hand.run();
        self.hand.message(Kind::RegisterRequest);
        receive_result(&mut self.hand, granted(0, 0x78));
        self.hand.run();
        self.hand.machine.finish_round().unwrap();
        self.hand.run();
        self.at("round to finish", Due::Ready, ready, ABORT);
        self.hand.receive(&Message::Ready);
        self.sends(Kind::RegisterFinished);
        self.at("between rounds", Due::Ready, None, BETWEEN);
    }

    fn hand_over(&mut self) {
        self.hand.machine.write_stream(b"tail").unwrap();
        self.hand.machine.finish().unwrap();
        self.hand.orders();
        let ready = Some((TimeoutReason::Ready, RESPONSE));
        self.at("last message to send", Due::Ready, ready, ABORT);
        self.hand.receive(&Message::Ready);
        self.hand.orders();
        self.hand.message(Kind::QemuFile);
        self.guest = GuestOwner::Undecided;
        let sent = Some((TimeoutReason::Send, ACKNOWLEDGEMENT));
        self.at("last message on its way", Due::Ready, sent, ABORT);
        self.hand.complete(Completion::Sent);
        self.guest = GuestOwner::Destination;
        let farewell = Some((TimeoutReason::Farewell, FAREWELL));
        self.at("farewell", Due::Ready, farewell, NONE);
    }

    fn abort(&mut self) {
        let registered = self.phases.iter().find(|phase| phase.name == "round to finish");
        self.hand = registered.unwrap().hand.clone();
        self.guest = GuestOwner::Source;
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

/// Every phase of a source whose destination registers chunks as they are needed.
pub(crate) fn dynamic() -> Vec<SourcePhase> {
    let mut march = March::begin(PinAllOffer::Never);
    march.connect(Flags::NONE);
    march.set_up();
    march.first_round();
    march.second_chunk();
    march.hand_over();
    march.abort();
    march.phases
}

/// The phases that are different where all RAM is pinned.
pub(crate) fn pinned() -> Vec<SourcePhase> {
    let mut march = March::begin(PinAllOffer::Required);
    march.connect(Flags::PIN_ALL);
    march.set_up();
    march.phases.clear();
    let reply = Some((TimeoutReason::Reply, RESPONSE));
    march.at("pinning", Due::Reply(Kind::RamBlocksResult), reply, ABORT);
    march.hand.receive(&Message::RamBlocksResult(Entries::new(&ram_blocks(&LENGTHS, 0x50))));
    let registration = Some((TimeoutReason::Registration, MEMORY));
    march.at("pinning, answered", Due::Ready, registration, ABORT);
    registered(&mut march.hand, 0);
    registered(&mut march.hand, 2);
    const PINNED_ROUND: &[&str] = &["write_ram", "finish_round", "abort"];
    march.at("pinned round", Due::Ready, None, PINNED_ROUND);
    march.phases
}

/// Every phase of a source in both pin modes.
pub(crate) fn all() -> Vec<SourcePhase> {
    [dynamic(), pinned()].concat()
}

/// A source in the phase of that name.
#[track_caller]
pub(crate) fn phase(name: &str) -> ByHand<Source> {
    let found = all().into_iter().find(|phase| phase.name == name);
    found.expect("a phase of that name").hand
}
