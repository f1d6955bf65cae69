//! A valid message of every kind, about the RAM blocks of the marches.

use rdma_migration_protocol::wire::{Entries, Kind, Message};

use crate::by_hand::encode;
use crate::destination_phases::{request, unregister, zero};
use crate::layout::LENGTHS;
use crate::source_phases::{granted, ram_blocks};

/// The message of this kind that the phases of both sides would take if it were due.
pub(crate) fn message(kind: Kind) -> Vec<u8> {
    let blocks = ram_blocks(&LENGTHS, 0x50);
    let (zero, request, unregister) = ([zero(1, 0, 1)], [request(0, 0, 0)], [unregister(0, 1)]);
    let results = [granted(0, 0x79)];
    let repeat = 1;
    encode(&match kind {
        Kind::None => Message::None,
        Kind::Error => Message::Error,
        Kind::Ready => Message::Ready,
        Kind::QemuFile => Message::QemuFile(b"x"),
        Kind::RamBlocksRequest => Message::RamBlocksRequest,
        Kind::RamBlocksResult => Message::RamBlocksResult(Entries::new(&blocks)),
        Kind::Compress => Message::Compress(Entries::new(&zero)),
        Kind::RegisterRequest => Message::RegisterRequest(Entries::new(&request)),
        Kind::RegisterResult => Message::RegisterResult { repeat, results: Entries::new(&results) },
        Kind::RegisterFinished => Message::RegisterFinished,
        Kind::UnregisterRequest => Message::UnregisterRequest(Entries::new(&unregister)),
        Kind::UnregisterFinished => Message::UnregisterFinished { repeat },
    })
}
