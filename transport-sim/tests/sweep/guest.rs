//! The guest of a plan: what its RAM holds, what it does to it, and its stream.

use core::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdma_migration_transport_sim::PAGE_BYTES;

use crate::plan::{Block, Fill, Plan};

/// What a destination's memory holds before: all of it has to go, where the guest's is zero too.
pub(crate) const STALE: u8 = 0xee;

/// Something that is done to RAM in a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    /// The guest fills these bytes, or has filled them, and they are sent.
    Write { block: u32, offset: u64, length: u64, fill: Option<u8> },
    /// The registration of a chunk is given back.
    Unregister { block: u32, chunk: u64 },
}

/// A generator for one purpose of a plan, so that fewer of one thing leave the others as they were.
pub(crate) fn random(plan: &Plan, purpose: &str, number: usize) -> ChaCha8Rng {
    let purpose = purpose.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
    let number = u64::try_from(number).unwrap();
    ChaCha8Rng::seed_from_u64(
        plan.seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number << 48,
    )
}

/// What the RAM of a block holds at first. Each page that is not zero is another.
pub(crate) fn contents(plan: &Plan, index: usize, block: Block) -> Vec<u8> {
    let mut random = random(plan, "contents", index);
    let mut bytes = vec![0; usize::try_from(block.bytes()).unwrap()];
    for (number, page) in (0_u64..).zip(bytes.chunks_mut(usize::try_from(PAGE_BYTES).unwrap())) {
        let filled = match block.fill {
            Fill::Full => true,
            Fill::Zero => false,
            Fill::Mixed => random.random(),
        };
        if filled {
            page.fill(random.random_range(1..=0xff));
            let (stamp, _) = page.split_at_mut(8);
            stamp.copy_from_slice(&number.to_be_bytes());
        }
    }
    bytes
}

/// What the first round sends before the work: all RAM.
pub(crate) fn all(plan: &Plan) -> Vec<Work> {
    let run = |block, pages: Range<u64>| Work::Write {
        block,
        offset: pages.start * PAGE_BYTES,
        length: (pages.end - pages.start) * PAGE_BYTES,
        fill: None,
    };
    let numbered = || (0..).zip(&plan.blocks);
    if !plan.by_pages {
        return numbered().map(|(index, block)| run(index, 0..block.pages)).collect();
    }
    let pages = |first| {
        numbered().flat_map(move |(index, block)| {
            (first..block.pages).step_by(2).map(move |page| run(index, page..page + 1))
        })
    };
    pages(0).chain(pages(1)).collect()
}

/// What the guest does before a round, and what it sends of it.
pub(crate) fn work(plan: &Plan, round: usize) -> Vec<Work> {
    let mut random = random(plan, "work", round);
    (0..plan.work).map(|_| one_work(plan, &mut random)).collect()
}

fn one_work(plan: &Plan, random: &mut ChaCha8Rng) -> Work {
    let index = random.random_range(0..plan.blocks.len());
    let bytes = plan.blocks[index].bytes();
    let block = u32::try_from(index).unwrap();
    let page = random.random_range(0..bytes / PAGE_BYTES);
    // Often the start of the block, so that work meets in one place.
    let offset = if random.random() { page * PAGE_BYTES } else { 0 };
    let unregisters = plan.unregisters && !plan.pins_all() && random.random_ratio(1, 3);
    if unregisters {
        return Work::Unregister { block, chunk: offset / plan.chunk_bytes };
    }
    let length = (random.random_range(1..=4) * PAGE_BYTES).min(bytes - offset);
    // Zero as often as not.
    let fill = if random.random() { 0 } else { random.random() };
    Work::Write { block, offset, length, fill: Some(fill) }
}

/// The stream, from the head of the first round to the tail.
pub(crate) fn stream(plan: &Plan) -> Vec<u8> {
    let mut bytes = vec![0; plan.stream_bytes()];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::try_from((at * 7 + at / 251) % 256).unwrap();
    }
    bytes
}

/// Does to `memory` what the guest does; to RAM of either side, or to a copy.
pub(crate) fn touch(memory: &mut [u8], offset: u64, length: u64, fill: u8) {
    let start = usize::try_from(offset).unwrap();
    memory[start..start + usize::try_from(length).unwrap()].fill(fill);
}
