use std::collections::{BTreeMap, BTreeSet};

/// The most runs of chunks with one key that are remembered; a guest of 1 TiB has as many chunks
/// of 1 MiB.
pub(super) const RUNS_MAX: usize = 1 << 20;

/// Chunks of one RAM block, by number, both ends included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Chunks {
    /// Index of the RAM block.
    pub(super) block: usize,
    /// Number of the first chunk.
    pub(super) first: u64,
    /// Number of the last chunk.
    pub(super) last: u64,
}

/// Which key gives access to which chunk. The key of a chunk is the last one granted for it.
#[derive(Clone, Debug, Default)]
pub(super) struct ChunkKeys {
    /// By block and first chunk: last chunk and key. Runs do not overlap.
    runs: BTreeMap<(usize, u64), (u64, u32)>,
    granted: BTreeSet<u32>,
    full: bool,
}

impl ChunkKeys {
    /// Grants access to chunks.
    pub(super) fn grant(&mut self, chunks: Chunks, rkey: u32) {
        if self.runs.len() >= RUNS_MAX {
            self.full = true;
            return;
        }
        self.revoke(chunks);
        self.runs.insert((chunks.block, chunks.first), (chunks.last, rkey));
        self.granted.insert(rkey);
    }

    /// This key was granted for something else than chunks.
    pub(super) fn note(&mut self, rkey: u32) {
        self.granted.insert(rkey);
    }

    /// Takes access to chunks back.
    pub(super) fn revoke(&mut self, chunks: Chunks) {
        let Chunks { block, first, last } = chunks;
        let overlapping: Vec<_> = self
            .runs
            .range((block, 0)..=(block, last))
            .rev()
            .take_while(|(_, (run_last, _))| *run_last >= first)
            .map(|((_, run_first), (run_last, rkey))| (*run_first, *run_last, *rkey))
            .collect();
        for (run_first, run_last, rkey) in overlapping {
            self.runs.remove(&(block, run_first));
            if run_first < first {
                self.runs.insert((block, run_first), (first - 1, rkey));
            }
            if run_last > last {
                self.runs.insert((block, last + 1), (run_last, rkey));
            }
        }
    }

    /// Whether this key was ever granted.
    pub(super) fn was_granted(&self, rkey: u32) -> bool {
        self.full || self.granted.contains(&rkey)
    }

    /// Whether this key gives access to every one of these chunks.
    pub(super) fn cover(&self, chunks: Chunks, rkey: u32) -> bool {
        let Chunks { block, first, last } = chunks;
        let mut uncovered_from = first;
        loop {
            let run = self.runs.range((block, 0)..=(block, uncovered_from)).next_back();
            match run {
                Some((_, (run_last, key))) if *key == rkey && *run_last >= last => return true,
                Some((_, (run_last, key))) if *key == rkey && *run_last >= uncovered_from => {
                    uncovered_from = run_last + 1;
                }
                _ => return self.full,
            }
        }
    }

    /// How many chunks of a block have a key.
    pub(super) fn count(&self, block: usize) -> u64 {
        let runs = self.runs.range((block, 0)..=(block, u64::MAX));
        runs.map(|((_, first), (last, _))| last - first + 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunks(first: u64, last: u64) -> Chunks {
        Chunks { block: 0, first, last }
    }

    #[test]
    fn a_key_covers_what_it_was_granted_for() {
        let mut keys = ChunkKeys::default();
        keys.grant(chunks(3, 5), 7);
        keys.grant(chunks(6, 6), 7);
        keys.grant(chunks(7, 7), 8);
        assert!(keys.cover(chunks(3, 6), 7));
        assert!(!keys.cover(chunks(2, 3), 7));
        assert!(!keys.cover(chunks(6, 7), 7));
        assert!(!keys.cover(Chunks { block: 1, first: 3, last: 3 }, 7));
        assert!(keys.was_granted(8) && !keys.was_granted(9));
    }

    #[test]
    fn what_is_taken_back_is_no_longer_covered() {
        let mut keys = ChunkKeys::default();
        keys.grant(chunks(0, 9), 7);
        keys.revoke(chunks(4, 4));
        assert!(keys.cover(chunks(0, 3), 7) && keys.cover(chunks(5, 9), 7));
        assert!(!keys.cover(chunks(4, 4), 7));
        assert_eq!(keys.count(0), 9);
    }

    proptest! {
        #[test]
        fn runs_agree_with_a_table_of_single_chunks(
            steps in prop::collection::vec((0..20_u64, 0..6_u64, 0..4_u32), 0..40)
        ) {
            let mut keys = ChunkKeys::default();
            let mut table = [0; 32];
            for (first, more, rkey) in steps {
                let touched = chunks(first, first + more);
                if rkey == 0 { keys.revoke(touched) } else { keys.grant(touched, rkey) }
                for chunk in first..=first + more {
                    table[usize::try_from(chunk).unwrap()] = rkey;
                }
            }
            for (number, rkey) in (0..).zip(table) {
                for key in 1..4 {
                    prop_assert_eq!(keys.cover(chunks(number, number), key), rkey == key);
                }
            }
            let with_key = table.iter().filter(|rkey| **rkey != 0).count();
            prop_assert_eq!(keys.count(0), u64::try_from(with_key).unwrap());
        }
    }
}
