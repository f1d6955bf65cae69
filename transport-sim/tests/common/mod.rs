//! A guest of bytes, moved by plain owners.
#![allow(dead_code, reason = "each test file uses its part")]

use rdma_migration_protocol::address::{BlockIndex, BlockOffset};
use rdma_migration_protocol::connection::{Closed, PinAllOffer};
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_transport_sim::plain::{Piece, PlainDestination, PlainSource, Touch};
use rdma_migration_transport_sim::{Backing, Fabric, FabricConfig, Pair, Side, Sides};

pub(crate) const MIB: usize = 1 << 20;

pub(crate) type PlainPair = Pair<PlainSource, PlainDestination>;

/// A few blocks with full, empty and mixed chunks, and two that are no whole chunk.
pub(crate) fn guest() -> Vec<Vec<u8>> {
    let mut ram = vec![0; 6 * MIB];
    ram[..3 * MIB].fill(7);
    ram[5 * MIB + 77] = 1;
    vec![ram, vec![9; 0x3000], vec![0; 0x1000]]
}

pub(crate) fn touch(block: u32, offset: u64, length: u64, fill: u8) -> Touch {
    let (block, offset) = (BlockIndex::new(block), BlockOffset::new(offset));
    Touch { piece: Piece { block, offset, length }, fill }
}

/// A second round that touches old and new chunks.
pub(crate) fn touches() -> Vec<Touch> {
    vec![touch(0, 0x5000, 0x2000, 3), touch(0, 4 * MIB as u64, 0x1000, 4), touch(2, 0, 0x1000, 5)]
}

pub(crate) fn pair(config: FabricConfig, pin_all: PinAllOffer) -> PlainPair {
    pair_of(config, pin_all, guest(), [touches()])
}

pub(crate) fn pair_of(
    config: FabricConfig,
    pin_all: PinAllOffer,
    blocks: Vec<Vec<u8>>,
    rounds: impl IntoIterator<Item = Vec<Touch>>,
) -> PlainPair {
    let mut fabric = Fabric::new(config);
    let lengths: Vec<_> = blocks.iter().map(|block| block.len() as u64).collect();
    for (block, length) in blocks.into_iter().zip(&lengths) {
        // What the destination had in its memory before has to go, zero pages included.
        let stale = vec![0xee; usize::try_from(*length).unwrap()];
        fabric.port(Side::Destination).add_block(Backing::Bytes(stale));
        fabric.port(Side::Source).add_block(Backing::Bytes(block));
    }
    let source = Source::new(SourceConfig { pin_all, ..SourceConfig::default() }).unwrap();
    let source_owner = PlainSource::new(lengths.clone(), rounds);
    let destination_owner = PlainDestination::new(lengths, source_owner.stream_length());
    let destination = Destination::new(DestinationConfig::default());
    Pair::new(fabric, source, source_owner, destination, destination_owner)
}

pub(crate) fn closed(pair: &PlainPair) -> Sides<Closed> {
    Sides {
        source: pair.source_owner.closed.clone().expect("the source has closed"),
        destination: pair.destination_owner.closed.clone().expect("the destination has closed"),
    }
}

pub(crate) fn succeeded(pair: &PlainPair) -> Sides<bool> {
    let closed = closed(pair);
    Sides::from_fn(|side| closed.of(side).result.is_ok())
}

pub(crate) fn memory_is_equal(pair: &mut PlainPair) -> bool {
    let count = u32::try_from(pair.source_owner.blocks.len()).unwrap();
    (0..count).map(BlockIndex::new).all(|block| {
        let source = pair.fabric.port(Side::Source).memory(block).to_vec();
        source == pair.fabric.port(Side::Destination).memory(block)
    })
}

/// Everything that has to hold of a migration that went well.
pub(crate) fn assert_success(pair: &mut PlainPair) {
    let ended = closed(pair);
    assert_eq!((&ended.source.result, &ended.destination.result), (&Ok(()), &Ok(())));
    assert!(pair.destination_owner.released_at.is_some());
    assert!(memory_is_equal(pair));
    let findings = pair.findings(Sides { source: true, destination: true });
    assert_eq!(findings, [""; 0]);
}
