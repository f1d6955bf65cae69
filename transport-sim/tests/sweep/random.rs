//! Migrations and faults by chance, the same for the same number.

use core::time::Duration;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdma_migration_protocol::connection::{PinAllOffer, PinAllPolicy};
use rdma_migration_protocol::source::Registration;
use rdma_migration_transport_sim::{CostPreset, Fault};

use crate::plan::{Block, Fill, Plan};
use crate::run::Outcome;

/// A migration of any guest, without faults.
pub(crate) fn plan(number: u64) -> Plan {
    let mut random = ChaCha8Rng::seed_from_u64(number);
    let random = &mut random;
    let chunk_bytes = if random.random_ratio(1, 10) { 2 << 20 } else { 1 << 20 };
    let pages_of_a_chunk = chunk_bytes / rdma_migration_transport_sim::PAGE_BYTES;
    let blocks = random.random_range(1..=6);
    let plan = Plan {
        seed: number,
        cost: *CostPreset::ALL.choose(random).expect("a preset"),
        jitter: random.random_range(0..=5),
        pin: pin(random),
        answer: if random.random_ratio(1, 8) {
            PinAllPolicy::Decline
        } else {
            PinAllPolicy::Accept
        },
        chunk_bytes,
        signal_interval: random.random_range(1..=8),
        writes_in_flight_max: random.random_range(1..=20),
        windows_announced: random.random(),
        blocks: (0..blocks).map(|_| block(pages_of_a_chunk, random)).collect(),
        by_pages: random.random_ratio(1, 3),
        rounds: if random.random_ratio(1, 10) { 20 } else { random.random_range(1..=4) },
        work: random.random_range(0..=8),
        unregisters: random.random(),
        head_bytes: stream_bytes(random),
        tail_bytes: stream_bytes(random),
        taken_at_once: random.random_range(1..=50_000),
        finishes_late: random.random_ratio(1, 4),
        pause: if random.random_ratio(1, 3) { Duration::from_millis(20) } else { Duration::ZERO },
        ..Plan::default()
    };
    let registration = registration(random);
    let bounded = plan.pin == PinAllOffer::Never && random.random_ratio(1, 3);
    let pinned_chunks_max = bounded.then(|| random.random_range(2..=6));
    Plan { registration, pinned_chunks_max, ..plan }
}

/// Mostly in small numbers, so that they matter to a small guest.
fn registration(random: &mut ChaCha8Rng) -> Registration {
    let chunks_max = random.random_range(1..=4);
    match random.random_range(0..6) {
        0 => Registration::Chunks,
        1 => Registration::Spans { chunks_max },
        2 => Registration::LookAhead { chunks_max },
        3 => Registration::Batches { chunks_max, requests_max: random.random_range(1..=4) },
        _ => Registration::default(),
    }
}

fn pin(random: &mut ChaCha8Rng) -> PinAllOffer {
    match random.random_range(0..4) {
        0 => PinAllOffer::Required,
        1 => PinAllOffer::Preferred,
        _ => PinAllOffer::Never,
    }
}

/// Mostly small; now and then around a chunk, or of several.
fn block(pages_of_a_chunk: u64, random: &mut ChaCha8Rng) -> Block {
    let pages = match random.random_range(0..40) {
        0 => random.random_range(pages_of_a_chunk - 1..=pages_of_a_chunk + 1),
        1 => random.random_range(1..=3 * pages_of_a_chunk),
        _ => random.random_range(1..=12),
    };
    let fill = *[Fill::Full, Fill::Zero, Fill::Mixed, Fill::Mixed].choose(random).expect("a fill");
    Block { pages, fill }
}

/// Mostly few; now and then around what one message carries, or several messages.
fn stream_bytes(random: &mut ChaCha8Rng) -> usize {
    match random.random_range(0..10) {
        0 => random.random_range(32_767..=32_769),
        1 => random.random_range(1..=100_000),
        _ => random.random_range(1..=100),
    }
}

/// So many faults, each at a moment at which it strikes if none does before.
pub(crate) fn faults(usual: &Outcome, count: usize, number: u64) -> Vec<Fault> {
    let mut random = ChaCha8Rng::seed_from_u64(!number);
    let possible: Vec<_> = usual.moments.iter().filter(|(_, moments)| *moments > 0).collect();
    let draw = |random: &mut ChaCha8Rng| {
        let (kind, moments) = **possible.choose(random).expect("something happens in every run");
        Fault { kind, at: random.random_range(1..=moments) }
    };
    (0..count).map(|_| draw(&mut random)).collect()
}
