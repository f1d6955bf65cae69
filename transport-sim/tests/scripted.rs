//! Dialogues of one machine with a peer that the test plays.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, RamAddress, Rkey};
use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::destination::{DestinationEvent, PlacedBlock};
use rdma_migration_protocol::error::{Error, Misbehavior};
use rdma_migration_protocol::source::SourceEvent;
use rdma_migration_protocol::wire::{
    Entries, Kind, Message, RamBlock, RegisterRequest, RegisterResult,
};
use rdma_migration_transport_sim::{Backing, Scripted, ScriptedSource};

const MIB: u64 = 1 << 20;

#[test]
fn a_source_writes_what_the_played_destination_grants() {
    let mut peer = Scripted::established();
    let block = peer.add_block(Backing::Bytes(vec![7; 2 << 20]));
    let (granted, remote_address, rkey) = peer.grant(2 * MIB);
    peer.source.exchange_blocks(&[2 * MIB]).unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RamBlocksRequest);
    let offset = RamAddress::new(0);
    let blocks = [RamBlock { remote_address, offset, length: 2 * MIB, rkey: Rkey::new(0) }];
    peer.send(&Message::RamBlocksResult(Entries::new(&blocks)));
    peer.source.write_ram(block, BlockOffset::new(MIB), 0x1000).unwrap();
    peer.source.finish_round().unwrap();
    peer.expect_no_send();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RegisterRequest);
    let results = [RegisterResult { rkey, host_address: remote_address }];
    peer.send(&Message::RegisterResult { repeat: 1, results: Entries::new(&results) });
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RegisterFinished);
    let written = peer.peer_memory(granted);
    let page = |offset| written[offset..offset + 0x1000].to_vec();
    assert_eq!(page(1 << 20), [7; 0x1000]);
    assert_eq!(page((1 << 20) + 0x1000), [0; 0x1000]);
    assert!(matches!(peer.events()[..], [SourceEvent::Connected(_), ..]));
    assert_eq!(peer.violations(), [""; 0]);
}

#[test]
fn a_source_names_the_wait_that_ended_it() {
    let mut peer = Scripted::established();
    peer.source.exchange_blocks(&[MIB]).unwrap();
    assert_eq!(peer.expire(), TimeoutReason::Ready);
    peer.expect_send(Kind::Error);
    let events = peer.events();
    let Some(SourceEvent::Closed(closed)) = events.last() else { panic!("{events:?}") };
    assert_eq!(closed.result, Err(Error::Timeout(TimeoutReason::Ready)));
    assert_eq!(closed.guest, GuestOwner::Source);
    assert!(peer.is_disconnected());
}

#[test]
fn a_destination_takes_what_the_played_source_writes() {
    let mut peer = ScriptedSource::established();
    peer.send(&Message::QemuFile(b"stream"));
    assert_eq!(peer.held_stream(), b"stream");
    peer.destination.take_stream(6).unwrap();
    peer.expect_send(Kind::Ready);
    peer.reply(Kind::RamBlocksRequest);
    let block = peer.add_block(Backing::zeroed(MIB));
    let host_address = peer.port().host_address(block).unwrap();
    let placed = PlacedBlock { host_address, ram_address: RamAddress::new(0), length: MIB };
    peer.destination.place_blocks(&[placed]).unwrap();
    peer.expect_send(Kind::RamBlocksResult);
    peer.expect_send(Kind::Ready);
    let request =
        RegisterRequest { address: RamAddress::new(0), block: BlockIndex::new(0), chunks: 0 };
    peer.send(&Message::RegisterRequest(Entries::new(&[request])));
    let answer = peer.expect_send(Kind::RegisterResult);
    let Ok(Message::RegisterResult { results, .. }) = Message::parse(&answer) else { panic!() };
    let result = results.first().unwrap();
    peer.write(host_address, result.rkey, &[5; 100]);
    assert_eq!(peer.port().memory(block)[..101], [[5; 100].as_slice(), &[0]].concat());
    assert_eq!(peer.violations(), [""; 0]);
}

#[test]
fn a_played_source_without_credit_is_found_out() {
    let mut peer = ScriptedSource::established();
    peer.send(&Message::QemuFile(b"held by the owner, who has not taken it"));
    peer.expect_no_send();
    peer.send(&Message::QemuFile(b"more"));
    let events = peer.events();
    let Some(DestinationEvent::Closed(closed)) = events.last() else { panic!("{events:?}") };
    let early = Misbehavior::CommandWithoutReady(Kind::QemuFile);
    assert_eq!(closed.result, Err(Error::PeerMisbehaved(early)));
    assert_eq!(peer.violations(), ["source: QEMU_FILE without a READY for it"]);
}
