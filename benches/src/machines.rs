//! The cost of each machine for a chunk, and of setting up a large guest.

use rdma_migration_protocol::source::Registration;

use crate::contest::{Amount, Contest, Contestant};
use crate::{destination, source};

/// Chunks of the guest that is moved: 16 GiB.
const CHUNKS: u64 = 16 << 10;

/// Chunks of a guest of 1 TiB.
pub const TEBIBYTE_CHUNKS: u64 = 1 << 20;

/// Chunks of one request where a source asks for spans.
pub const SPAN_CHUNKS: u64 = 64;

/// Every contest of the machines. None has a baseline: what is wanted of them is absolute.
#[must_use]
pub fn contests() -> Vec<Contest> {
    let mut contests: Vec<_> = source_plans(CHUNKS)
        .into_iter()
        .map(|(name, plan)| alone(format!("source, {name}"), CHUNKS, move || source::run(plan)))
        .collect();
    contests.extend(destination_plans(CHUNKS).into_iter().map(|(name, plan)| {
        alone(format!("destination, {name}"), CHUNKS, move || destination::run(plan))
    }));
    contests.push(alone("source, setting up 1 TiB".to_owned(), TEBIBYTE_CHUNKS, || {
        source::Session::new(source::Plan::once(TEBIBYTE_CHUNKS, Some(Registration::default())))
            .exchange();
    }));
    contests.push(alone("destination, setting up 1 TiB".to_owned(), TEBIBYTE_CHUNKS, || {
        let commands = destination::Commands::Register(SPAN_CHUNKS);
        destination::Session::new(destination::Plan { chunks: TEBIBYTE_CHUNKS, commands })
            .exchange();
    }));
    contests
}

/// The ways in which a source moves a guest of so many chunks.
#[must_use]
pub fn source_plans(chunks: u64) -> [(&'static str, source::Plan); 6] {
    let look_ahead = Some(Registration::default());
    let once = |registration| source::Plan::once(chunks, registration);
    [
        ("all RAM pinned", once(None)),
        ("chunk by chunk", once(Some(Registration::Chunks))),
        ("spans", once(Some(Registration::Spans { chunks_max: 64 }))),
        ("spans with look-ahead", once(look_ahead)),
        ("zero", source::Plan { zero: true, ..once(look_ahead) }),
        ("a round more of 1 page in 16", source::Plan { rounds: 1, ..once(look_ahead) }),
    ]
}

/// The ways in which a guest of so many chunks arrives.
#[must_use]
pub fn destination_plans(chunks: u64) -> [(&'static str, destination::Plan); 4] {
    let plan = |commands| destination::Plan { chunks, commands };
    [
        ("all RAM pinned", plan(destination::Commands::None)),
        ("chunk by chunk", plan(destination::Commands::Register(1))),
        ("spans", plan(destination::Commands::Register(SPAN_CHUNKS))),
        ("zero", plan(destination::Commands::Compress)),
    ]
}

fn alone(name: String, things: u64, run: impl FnMut() + 'static) -> Contest {
    let contestants = vec![Contestant::new("machine", run)];
    Contest { name, amount: Amount::Things(things), contestants, target: None }
}
