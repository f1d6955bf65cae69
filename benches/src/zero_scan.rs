//! The scan for zero, beside a read of the same bytes at the speed of memory.

use std::hint::black_box;
use std::rc::Rc;

use rdma_migration_protocol::ram::is_zero;

use crate::MIB;
use crate::contest::{Amount, Contest, Contestant, Target};

/// Bytes of a run that is scanned: a chunk.
const RUN_BYTES: usize = 1 << 20;

/// Bytes that no cache holds.
const BEYOND_CACHE_BYTES: usize = 256 << 20;

/// Speed that is wanted of a scan, as a share of that of reading.
const SPEED_MIN: f64 = 0.8;

/// The contestant that only reads.
pub const READ: &str = "read";

/// Every contest of the scan.
#[must_use]
pub fn contests() -> Vec<Contest> {
    vec![
        contest("zero scan of 1 MiB, all zero, in cache", RUN_BYTES, None),
        contest("zero scan of 1 MiB, first byte set, in cache", RUN_BYTES, Some(0)),
        contest("zero scan of 1 MiB, last byte set, in cache", RUN_BYTES, Some(RUN_BYTES - 1)),
        contest("zero scan of 1 MiB, all zero, beyond cache", BEYOND_CACHE_BYTES, None),
        contest(
            "zero scan of 1 MiB, last byte set, beyond cache",
            BEYOND_CACHE_BYTES,
            Some(RUN_BYTES - 1),
        ),
    ]
}

/// Goes through the runs of a buffer in turn. `set`: the byte of each run that is not zero.
fn contest(name: &str, buffer_bytes: usize, set: Option<usize>) -> Contest {
    // Written to, so that it does not all lie in the one page of zeros that the system lends.
    let mut buffer = vec![1_u8; buffer_bytes];
    for run in buffer.chunks_mut(RUN_BYTES) {
        run.fill(0);
        if let Some(byte) = set {
            run[byte] = 1;
        }
    }
    let buffer = Rc::new(buffer);
    // Neither finds in a cache what the other has just read.
    let half_way = buffer.len() / RUN_BYTES / 2 * RUN_BYTES;
    let ours = over_runs(Rc::clone(&buffer), 0, move |run| {
        assert_eq!(is_zero(run), set.is_none());
    });
    let read = over_runs(buffer, half_way, |run| {
        black_box(sum(run));
    });
    let contestants = vec![Contestant::new("protocol", ours), Contestant::new(READ, read)];
    let target = (set != Some(0)).then_some(Target { baseline: READ, speed_min: SPEED_MIN });
    Contest { name: name.to_owned(), amount: Amount::Bytes(MIB), contestants, target }
}

/// Works through the runs of a buffer, from the one at `at` on, again and again.
fn over_runs(buffer: Rc<Vec<u8>>, mut at: usize, mut work: impl FnMut(&[u8])) -> impl FnMut() {
    move || {
        work(black_box(&buffer[at..at + RUN_BYTES]));
        at = (at + RUN_BYTES) % buffer.len();
    }
}

/// The sum of the words of `bytes`: it has to read them all, and the compiler makes vectors of it.
#[must_use]
pub fn sum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks();
    words.iter().fold(0, |sum: u64, word| sum.wrapping_add(u64::from_ne_bytes(*word)))
}
