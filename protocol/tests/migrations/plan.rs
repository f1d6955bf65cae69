//! What a migration is made of, drawn at random.

use proptest::collection::vec;
use proptest::prelude::*;
use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_protocol::source::Registration;
use rdma_migration_transport_sim::{CostPreset, PAGE_BYTES};

const MIB: u64 = 1 << 20;

/// What an owner has done to RAM in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// The guest fills these pages, and they are sent.
    Write { block: u32, offset: u64, length: u64, fill: u8 },
    /// The registration of a chunk is given back.
    Unregister { block: u32, chunk: u64 },
}

/// Stream bytes up to a hook, and the round that follows it.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) stream: Vec<u8>,
    pub(crate) work: Vec<Work>,
}

/// A whole migration.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) cost: CostPreset,
    pub(crate) pin_all: PinAllOffer,
    pub(crate) chunk_bytes: u64,
    pub(crate) registration: Registration,
    /// The most chunks that are registered at a time.
    pub(crate) pinned_chunks_max: Option<u64>,
    /// Whether the destination is asked to give registrations back.
    pub(crate) peer_unregisters: bool,
    pub(crate) signal_interval: u32,
    pub(crate) writes_in_flight_max: u32,
    /// Length in bytes of each block, and what fills its pages in turn.
    pub(crate) blocks: Vec<(u64, Vec<u8>)>,
    /// The first sends all RAM before its own work.
    pub(crate) rounds: Vec<Round>,
    /// The last stream bytes.
    pub(crate) tail: Vec<u8>,
    /// Bytes of the stream that the destination takes at a time, at most.
    pub(crate) taken_at_once: usize,
    /// Whether the destination takes commands only in windows that its owner opens.
    pub(crate) windows_announced: bool,
    /// Whether the destination finishes as soon as it has the stream, or only once its source is gone.
    pub(crate) finishes_early: bool,
}

fn lengths(chunk_bytes: u64) -> impl Strategy<Value = u64> {
    let chunk_pages = chunk_bytes / PAGE_BYTES;
    let pages = prop_oneof![
        1..=3_u64,
        chunk_pages - 1..=chunk_pages + 1,
        1..=3 * chunk_pages,
        Just(2 * chunk_pages),
    ];
    pages.prop_map(|pages| pages * PAGE_BYTES)
}

fn blocks(chunk_bytes: u64) -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
    // Whole blocks of zero, whole blocks of something, and mixtures.
    let fills = prop_oneof![
        Just(vec![0]),
        Just(vec![7]),
        vec(prop_oneof![3 => Just(0_u8), 1 => 1..=255_u8], 1..40),
    ];
    vec((lengths(chunk_bytes), fills), 1..=8)
}

/// Work on blocks of these lengths. Offsets and lengths are any bytes, not only pages.
fn work(lengths: Vec<u64>, chunk_bytes: u64) -> impl Strategy<Value = Work> {
    let block = 0..lengths.len();
    (block, any::<u64>(), any::<u64>(), 0..4_u8, 0..4_u8).prop_map(
        move |(block, at, length, fill, what)| {
            let bytes = lengths[block];
            let block = u32::try_from(block).unwrap();
            let offset = at % bytes;
            if what == 0 {
                return Work::Unregister { block, chunk: offset / chunk_bytes };
            }
            // Often the start of the block, so that work meets in one place.
            let offset = if what == 1 { 0 } else { offset / PAGE_BYTES * PAGE_BYTES };
            let pages = 1 + length % 20;
            let length = (pages * PAGE_BYTES).min(bytes - offset);
            // Zero as often as not.
            Work::Write { block, offset, length, fill: fill.saturating_sub(2) }
        },
    )
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![4 => 1..100_usize, 1 => 32_767..32_770_usize, 1 => 1..100_000_usize];
    (length, any::<u8>()).prop_map(|(length, first)| {
        (0..length).map(|at| first.wrapping_add(at.to_le_bytes()[0])).collect()
    })
}

fn rounds(lengths: Vec<u64>, chunk_bytes: u64) -> impl Strategy<Value = Vec<Round>> {
    let round = (stream(), vec(work(lengths, chunk_bytes), 0..12));
    vec(round.prop_map(|(stream, work)| Round { stream, work }), 1..5)
}

fn registration() -> impl Strategy<Value = Registration> {
    let span = prop_oneof![1..=3_u32, Just(64)];
    (span, 0..4_u8).prop_map(|(chunks_max, which)| match which {
        0 => Registration::Chunks,
        1 => Registration::Spans { chunks_max },
        2 => Registration::LookAhead { chunks_max },
        _ => Registration::Batches { chunks_max, requests_max: chunks_max + 1 },
    })
}

/// Any migration.
pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let chunk_bytes = prop::sample::select(vec![MIB, MIB, 2 * MIB, 4 * MIB]);
    let guest = chunk_bytes.prop_flat_map(|chunk_bytes| {
        (Just(chunk_bytes), blocks(chunk_bytes)).prop_flat_map(|(chunk_bytes, blocks)| {
            let lengths: Vec<_> = blocks.iter().map(|(length, _)| *length).collect();
            (Just(chunk_bytes), Just(blocks), rounds(lengths, chunk_bytes))
        })
    });
    let offers = [PinAllOffer::Never, PinAllOffer::Never, PinAllOffer::Required];
    let pinned_chunks_max = prop::option::of(2..6_u64);
    let registration = (registration(), pinned_chunks_max, any::<bool>());
    let source = (prop::sample::select(offers.to_vec()), registration, 1..5_u32, 1..20_u32);
    let destination = (1..50_000_usize, any::<bool>(), any::<bool>());
    let presets = prop::sample::select(CostPreset::ALL.to_vec());
    (any::<u64>(), presets, guest, source, destination, stream()).prop_map(
        |(seed, cost, guest, source, destination, tail)| {
            let (chunk_bytes, blocks, mut rounds) = guest;
            let (pin_all, registration, signal_interval, writes_in_flight_max) = source;
            let (registration, pinned_chunks_max, peer_unregisters) = registration;
            if !peer_unregisters {
                for round in &mut rounds {
                    round.work.retain(|work| matches!(work, Work::Write { .. }));
                }
            }
            let (taken_at_once, windows_announced, finishes_early) = destination;
            Plan {
                seed,
                cost,
                pin_all,
                chunk_bytes,
                registration,
                pinned_chunks_max: pinned_chunks_max.filter(|_| pin_all == PinAllOffer::Never),
                peer_unregisters,
                signal_interval,
                writes_in_flight_max,
                blocks,
                rounds,
                tail,
                taken_at_once,
                windows_announced,
                finishes_early,
            }
        },
    )
}

impl Plan {
    pub(crate) fn lengths(&self) -> Vec<u64> {
        self.blocks.iter().map(|(length, _)| *length).collect()
    }

    /// Whether registrations may be given back in the middle of a round.
    pub(crate) fn unregisters(&self) -> bool {
        let mut work = self.rounds.iter().flat_map(|round| &round.work);
        self.pinned_chunks_max.is_some() || work.any(|work| matches!(work, Work::Unregister { .. }))
    }

    /// The whole stream.
    pub(crate) fn stream(&self) -> Vec<u8> {
        let rounds = self.rounds.iter().flat_map(|round| round.stream.iter());
        rounds.chain(&self.tail).copied().collect()
    }

    /// How much of the stream there is at each hook.
    pub(crate) fn hooks(&self) -> Vec<usize> {
        let lengths = self.rounds.iter().map(|round| round.stream.len());
        lengths
            .scan(0, |end, length| {
                *end += length;
                Some(*end)
            })
            .collect()
    }
}
