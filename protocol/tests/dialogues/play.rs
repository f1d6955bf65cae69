//! What dialogues over the fabric have in common: the start of a migration, and how it ended.

use rdma_migration_protocol::address::{BlockIndex, HostAddress, RamAddress, Rkey};
use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::destination::{DestinationConfig, DestinationEvent, PlacedBlock};
use rdma_migration_protocol::source::{SourceConfig, SourceEvent};
use rdma_migration_protocol::wire::{Entries, Flags, Kind, Message, RamBlock, RegisterResult};
use rdma_migration_transport_sim::{Backing, Scripted, ScriptedSource};

/// A block that the played destination has registered and grants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    /// The block, in its own counting.
    pub(crate) block: BlockIndex,
    pub(crate) address: HostAddress,
    pub(crate) rkey: Rkey,
}

impl Granted {
    pub(crate) fn result(&self) -> RegisterResult {
        RegisterResult { rkey: self.rkey, host_address: self.address }
    }
}

/// Where a played destination says that its blocks start in its RAM address space.
pub(crate) const RAM_START: u64 = 0x8000_0000;

/// A source with this RAM in its first round, chunks registered as they are needed, and what the
/// played destination would grant of each block. It holds no READY.
pub(crate) fn source_in_round(config: SourceConfig, blocks: &[&[u8]]) -> (Scripted, Vec<Granted>) {
    let (mut peer, granted) = source_asked(config, Flags::NONE, blocks);
    let none = granted.iter().map(|granted| Granted { rkey: Rkey::new(0), ..*granted });
    send_ram_blocks(&mut peer, blocks, &none.collect::<Vec<_>>());
    peer.events();
    (peer, granted)
}

/// A source that has asked for the RAM blocks.
pub(crate) fn source_asked(
    config: SourceConfig,
    flags: Flags,
    blocks: &[&[u8]],
) -> (Scripted, Vec<Granted>) {
    let mut peer = Scripted::established_with(config, flags);
    let granted = blocks.iter().map(|bytes| {
        peer.add_block(Backing::Bytes(bytes.to_vec()));
        let (block, address, rkey) = peer.grant(length(bytes));
        Granted { block, address, rkey }
    });
    let granted = granted.collect();
    let lengths: Vec<_> = blocks.iter().map(|bytes| length(bytes)).collect();
    peer.source.exchange_blocks(&lengths).unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RamBlocksRequest);
    peer.events();
    (peer, granted)
}

pub(crate) fn send_ram_blocks(peer: &mut Scripted, blocks: &[&[u8]], granted: &[Granted]) {
    let blocks = blocks.iter().zip(granted).zip(0..).map(|((bytes, granted), index)| RamBlock {
        remote_address: granted.address,
        offset: ram_start(index),
        length: length(bytes),
        rkey: granted.rkey,
    });
    let blocks: Vec<_> = blocks.collect();
    peer.send(&Message::RamBlocksResult(Entries::new(&blocks)));
}

/// The RAM address of a block's first byte.
pub(crate) fn ram_start(block: u32) -> RamAddress {
    RamAddress::new(RAM_START * (u64::from(block) + 1))
}

pub(crate) fn grant(peer: &mut Scripted, granted: &Granted) {
    let results = [granted.result()];
    peer.send(&Message::RegisterResult { repeat: 1, results: Entries::new(&results) });
}

/// A destination with blocks of these lengths in its first round. It has said READY.
pub(crate) fn destination_in_round(
    config: DestinationConfig,
    flags: Flags,
    blocks: &[&[u8]],
) -> ScriptedSource {
    let mut peer = ScriptedSource::established_with(config, flags);
    peer.expect_send(Kind::Ready);
    peer.reply(Kind::RamBlocksRequest);
    let placed = place(&mut peer, blocks);
    peer.destination.place_blocks(&placed).unwrap();
    peer.expect_send(Kind::RamBlocksResult);
    peer.expect_send(Kind::Ready);
    peer.events();
    peer
}

/// Gives the destination this RAM.
pub(crate) fn place(peer: &mut ScriptedSource, blocks: &[&[u8]]) -> Vec<PlacedBlock> {
    let placed = blocks.iter().zip(0..).map(|(bytes, index)| {
        let block = peer.add_block(Backing::Bytes(bytes.to_vec()));
        let host_address = peer.port().host_address(block).unwrap();
        PlacedBlock { host_address, ram_address: ram_start(index), length: length(bytes) }
    });
    placed.collect()
}

/// How the source has ended.
#[track_caller]
pub(crate) fn source_closed(peer: &mut Scripted) -> Closed {
    let events = peer.events();
    match events.last() {
        Some(SourceEvent::Closed(closed)) => closed.clone(),
        _ => panic!("the source has not closed: {events:?}"),
    }
}

/// How the destination has ended.
#[track_caller]
pub(crate) fn destination_closed(peer: &mut ScriptedSource) -> Closed {
    let events = peer.events();
    match events.last() {
        Some(DestinationEvent::Closed(closed)) => closed.clone(),
        _ => panic!("the destination has not closed: {events:?}"),
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap()
}
