//! Whole migrations on the simulator, where nothing costs virtual time, beside a copy of the same
//! bytes.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset};
use rdma_migration_protocol::connection::{Closed, PinAllOffer};
use rdma_migration_protocol::deadline::Timeouts;
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::source::{Registration, Source, SourceConfig};
use rdma_migration_transport_sim::plain::{Piece, PlainDestination, PlainSource, Touch};
use rdma_migration_transport_sim::{
    Backing, CostPreset, Fabric, FabricConfig, Pair, Side, ZeroMap,
};

use crate::MIB;
use crate::codec::COPY;
use crate::contest::{Amount, Contest, Contestant, Target};

const BLOCK: BlockIndex = BlockIndex::new(0);
const GIB: u64 = 1 << 30;
const PAGE_BYTES: u64 = 4096;

/// Speed that is wanted of a migration in bulk, of RAM that is nowhere zero, as a share of that of one
/// copy.
const SPEED_MIN: f64 = 0.8;

/// The contestant that copies piece by piece, as the simulator does.
pub const COPY_BY_PIECES: &str = "memcpy by 256 KiB";

/// A piece of it.
const PIECE_BYTES: usize = 256 << 10;

/// Contests of migrations of 1 GiB, each made when it is asked for, since it holds 2 GiB of memory.
pub const CONTESTS: [fn() -> Contest; 5] = [
    || contest("1 GiB, all RAM pinned", None, Fill::Full, 0, true),
    || contest("1 GiB, dynamic, spans with look-ahead", LOOK_AHEAD, Fill::Full, 0, true),
    || contest("1 GiB, dynamic, chunk by chunk", Some(Registration::Chunks), Fill::Full, 0, true),
    || contest("1 GiB, dynamic, 90 % zero", LOOK_AHEAD, Fill::NineOfTenChunksZero, 0, false),
    || contest("1 GiB, all RAM pinned, 4 rounds more of 1 page in 16", None, Fill::Full, 4, false),
];

const LOOK_AHEAD: Option<Registration> = Some(Registration::LookAhead {
    chunks_max: rdma_migration_protocol::limits::SPAN_CHUNKS_DEFAULT,
});

/// Guests whose growth is measured, in GiB.
pub const GROWTH_GIB: [u64; 3] = [1, 32, 1024];

/// Migrations of guests without bytes, from 1 GiB to 1 TiB.
pub fn growth() -> impl Iterator<Item = Contest> {
    GROWTH_GIB.into_iter().map(|gib| {
        let contestants = [("all RAM pinned", None), ("look-ahead", LOOK_AHEAD)];
        let contestants = contestants.map(|(name, registration)| {
            let mut ram = Ram::without_bytes(gib * GIB);
            Contestant::new(name, move || migrate(&mut ram, registration, Vec::new()))
        });
        let name = format!("migration of {gib} GiB without bytes");
        let amount = Amount::Things(gib * GIB / MIB);
        Contest { name, amount, contestants: contestants.into(), target: None }
    })
}

/// What is in a guest's RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fill {
    /// No page is zero.
    Full,
    /// Nine of ten chunks are zero.
    NineOfTenChunksZero,
}

/// The RAM of both hosts.
#[derive(Debug)]
pub struct Ram {
    source: Backing,
    destination: Backing,
}

impl Ram {
    /// RAM of bytes, all of which have been written to, so that no page has to be given by the system
    /// while it is measured.
    ///
    /// # Panics
    /// Where it does not fit the address space.
    #[must_use]
    pub fn of_bytes(bytes: u64, fill: Fill) -> Self {
        let length = usize::try_from(bytes).expect("it fits memory");
        let chunk_bytes = usize::try_from(MIB).expect("it fits memory");
        let mut source = vec![0x5a; length];
        if fill == Fill::NineOfTenChunksZero {
            let chunks = source.chunks_mut(chunk_bytes).enumerate();
            chunks.filter(|(at, _)| at % 10 != 0).for_each(|(_, chunk)| chunk.fill(0));
        }
        Self { source: Backing::Bytes(source), destination: Backing::Bytes(vec![0xee; length]) }
    }

    /// RAM of which only is known that no page is zero.
    #[must_use]
    pub fn without_bytes(bytes: u64) -> Self {
        let mut source = ZeroMap::zero(bytes);
        source.set(0, bytes, false);
        let destination = Backing::ZeroMap(ZeroMap::zero(bytes));
        Self { source: Backing::ZeroMap(source), destination }
    }

    fn bytes(&mut self) -> (&mut [u8], &mut [u8]) {
        match (&mut self.source, &mut self.destination) {
            (Backing::Bytes(source), Backing::Bytes(destination)) => (source, destination),
            _ => (&mut [], &mut []),
        }
    }
}

/// Moves a guest. `rounds`: what it writes before each round after the first. `registration`: `None`
/// where all RAM is pinned.
///
/// # Panics
/// If the migration does not end well on both sides.
pub fn migrate(ram: &mut Ram, registration: Option<Registration>, rounds: Vec<Vec<Touch>>) {
    let config = FabricConfig { cost: CostPreset::Free.model(), ..FabricConfig::default() };
    let mut fabric = Fabric::new(config);
    let length = ram.source.length();
    fabric.port(Side::Source).add_block(taken(&mut ram.source));
    fabric.port(Side::Destination).add_block(taken(&mut ram.destination));
    let timeouts = Timeouts::for_guest(length);
    let pin_all = if registration.is_some() { PinAllOffer::Never } else { PinAllOffer::Required };
    let registration = registration.unwrap_or_default();
    let (source_config, destination_config) = (
        SourceConfig {
            pin_all,
            registration,
            timeouts: timeouts.clone(),
            ..SourceConfig::default()
        },
        DestinationConfig { timeouts, ..DestinationConfig::default() },
    );
    let source = Source::new(source_config).expect("the configuration is in range");
    let source_owner = PlainSource::new(vec![length], rounds);
    let destination_owner = PlainDestination::new(vec![length], source_owner.stream_length());
    let destination = Destination::new(destination_config);
    let mut pair = Pair::new(fabric, source, source_owner, destination, destination_owner);
    pair.run().expect("it comes to an end");
    assert_well(pair.source_owner.closed.as_ref());
    assert_well(pair.destination_owner.closed.as_ref());
    assert_eq!(pair.fabric.violations(), []);
    ram.source = taken_from(&mut pair.fabric, Side::Source);
    ram.destination = taken_from(&mut pair.fabric, Side::Destination);
}

/// Whether the destination's RAM is the source's.
#[must_use]
pub fn has_moved(ram: &Ram) -> bool {
    ram.source == ram.destination
}

fn assert_well(closed: Option<&Closed>) {
    let closed = closed.expect("it has closed");
    assert_eq!((&closed.result, closed.regions_left), (&Ok(()), 0));
}

fn taken(backing: &mut Backing) -> Backing {
    core::mem::replace(backing, Backing::Bytes(Vec::new()))
}

fn taken_from(fabric: &mut Fabric, side: Side) -> Backing {
    taken(fabric.port(side).backing_mut(BLOCK).expect("the block was added"))
}

/// One page in 16 of the guest, in each of `rounds` rounds.
fn touches(bytes: u64, rounds: usize) -> Vec<Vec<Touch>> {
    let piece =
        |offset| Piece { block: BLOCK, offset: BlockOffset::new(offset), length: PAGE_BYTES };
    let pages = (0..bytes / (16 * PAGE_BYTES)).map(|place| piece(place * 16 * PAGE_BYTES));
    let round: Vec<_> = pages.map(|piece| Touch { piece, fill: 0x77 }).collect();
    vec![round; rounds]
}

fn contest(
    name: &str,
    registration: Option<Registration>,
    fill: Fill,
    rounds: usize,
    wanted: bool,
) -> Contest {
    let ram = Rc::new(RefCell::new(Ram::of_bytes(GIB, fill)));
    let rounds = touches(GIB, rounds);
    let copied_again: u64 = rounds.iter().flatten().map(|touch| touch.piece.length).sum();
    let (in_one, by_pieces) = (Rc::clone(&ram), Rc::clone(&ram));
    let (rounds_of_one, rounds_by_pieces) = (rounds.clone(), rounds.clone());
    let contestants = vec![
        Contestant::new("migration", move || {
            migrate(&mut ram.borrow_mut(), registration, rounds.clone());
        }),
        Contestant::new(COPY, move || copy(&mut in_one.borrow_mut(), usize::MAX, &rounds_of_one)),
        Contestant::new(COPY_BY_PIECES, move || {
            copy(&mut by_pieces.borrow_mut(), PIECE_BYTES, &rounds_by_pieces);
        }),
    ];
    let target = wanted.then_some(Target { baseline: COPY, speed_min: SPEED_MIN });
    let amount = Amount::Bytes(GIB + copied_again);
    Contest { name: format!("migration of {name}"), amount, contestants, target }
}

/// The baseline: the guest's bytes and what it writes in each round, copied.
fn copy(ram: &mut Ram, piece_bytes: usize, rounds: &[Vec<Touch>]) {
    let (source, destination) = ram.bytes();
    let piece_bytes = piece_bytes.min(source.len());
    for (from, to) in source.chunks(piece_bytes).zip(destination.chunks_mut(piece_bytes)) {
        black_box(to).copy_from_slice(black_box(from));
    }
    for round in rounds {
        for touch in round {
            page(source, touch).fill(touch.fill);
        }
        for touch in round {
            page(destination, touch).copy_from_slice(page(source, touch));
        }
    }
}

fn page<'a>(ram: &'a mut [u8], touch: &Touch) -> &'a mut [u8] {
    let start = usize::try_from(touch.piece.offset.get()).unwrap_or(usize::MAX);
    let length = usize::try_from(touch.piece.length).unwrap_or(usize::MAX);
    &mut ram[start..start + length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_moves_the_guest() {
        for registration in [None, LOOK_AHEAD, Some(Registration::Chunks)] {
            for fill in [Fill::Full, Fill::NineOfTenChunksZero] {
                let mut ram = Ram::of_bytes(24 * MIB, fill);
                migrate(&mut ram, registration, touches(24 * MIB, 2));
                assert!(has_moved(&ram));
            }
            let mut ram = Ram::without_bytes(24 * MIB);
            migrate(&mut ram, registration, Vec::new());
            assert!(has_moved(&ram));
        }
    }

    #[test]
    fn the_baseline_moves_the_same_bytes() {
        for piece_bytes in [PIECE_BYTES, usize::MAX] {
            let mut ram = Ram::of_bytes(3 * MIB, Fill::Full);
            copy(&mut ram, piece_bytes, &touches(3 * MIB, 1));
            assert!(has_moved(&ram));
        }
    }
}
