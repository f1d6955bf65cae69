//! The rounds of a migration: where in the stream each lies, and which RAM it brought.
//!
//! Their file is a sequence of rounds, big-endian, without padding:
//!
//! | bytes | field |
//! |---|---|
//! | 8 | bytes of the stream before the round: it ends with a hook word |
//! | 4 | runs that follow |
//! | 4 | 1 if RAM was looked at after this round, 0 if a later round has what this one brought |
//!
//! and for each run, in the order of blocks and offsets:
//!
//! | bytes | field |
//! |---|---|
//! | 4 | index of the RAM block |
//! | 4 | 1 if the run was zero throughout after the round, else 0 |
//! | 8 | offset of its first byte in the block |
//! | 8 | its length in bytes |

use std::path::Path;

use byteorder::{BigEndian, ReadBytesExt, WriteBytesExt};

use super::error::{Fault, Place, RecordingError};
use super::setup::Block;

/// The most rounds that are recorded. A guest of 10 TiB that comes in the smallest parts that QEMU
/// sends has about as many.
pub(crate) const ROUNDS_MAX: usize = 1 << 20;

/// The most runs of all rounds together. What comes after that many is put down as coming in the
/// first round.
pub(crate) const RUNS_MAX: usize = 1 << 24;

const ROUND_BYTES: usize = 16;
const RUN_BYTES: usize = 24;

/// Bytes of the longest file of rounds.
pub(super) const FILE_BYTES_MAX: usize = ROUNDS_MAX * ROUND_BYTES + RUNS_MAX * RUN_BYTES;

/// A round of RAM.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Round {
    /// Bytes of the stream before it; the last eight are a hook word.
    pub stream_bytes: u64,
    /// Whether the RAM was looked at when the round had ended. If not, what it brought is among the
    /// runs of the next round that was looked at, or of the first.
    pub looked_at: bool,
    /// What it brought, as far as it changed the RAM: a page that came as it was before is among the runs
    /// of another round.
    pub runs: Vec<Run>,
}

/// RAM that came in a round.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Run {
    /// The index of the RAM block.
    pub block: u32,
    /// First byte in the block.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Whether it was zero throughout when the round had ended.
    pub zero: bool,
}

impl Run {
    /// The offset behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

impl Round {
    /// Adds what else the round brought. What is known already is not added again.
    pub(crate) fn add(&mut self, runs: Vec<Run>) {
        let mut all = core::mem::take(&mut self.runs);
        all.extend(runs);
        all.sort_by_key(|run| (run.block, run.offset));
        let mut reached = (0, 0);
        for run in all {
            let from = if run.block == reached.0 { run.offset.max(reached.1) } else { run.offset };
            if from < run.end() {
                reached = (run.block, run.end());
                self.runs.push(Run { offset: from, length: run.end() - from, ..run });
            }
        }
    }

    /// Bytes of RAM that the round brought, those that are zero and those that are not.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        self.runs.iter().fold((0, 0), |(zero, other), run| match run.zero {
            true => (zero + run.length, other),
            false => (zero, other + run.length),
        })
    }
}

/// The bytes of the rounds' file.
pub(super) fn encode(rounds: &[Round]) -> Vec<u8> {
    let runs: usize = rounds.iter().map(|round| round.runs.len()).sum();
    let mut bytes = Vec::with_capacity(rounds.len() * ROUND_BYTES + runs * RUN_BYTES);
    for round in rounds {
        // Writing to memory does not fail, and a recorder keeps to the limits.
        let _ = bytes.write_u64::<BigEndian>(round.stream_bytes);
        let _ = bytes.write_u32::<BigEndian>(u32::try_from(round.runs.len()).unwrap_or(u32::MAX));
        let _ = bytes.write_u32::<BigEndian>(u32::from(round.looked_at));
        for run in &round.runs {
            let _ = bytes.write_u32::<BigEndian>(run.block);
            let _ = bytes.write_u32::<BigEndian>(u32::from(run.zero));
            let _ = bytes.write_u64::<BigEndian>(run.offset);
            let _ = bytes.write_u64::<BigEndian>(run.length);
        }
    }
    bytes
}

/// Reads the bytes of the rounds' file.
pub(super) fn decode(mut bytes: &[u8], path: &Path) -> Result<Vec<Round>, RecordingError> {
    let whole = bytes.len();
    let mut rounds = Vec::new();
    while !bytes.is_empty() {
        let at = whole - bytes.len();
        let truncated = |what| {
            let place = Place::Byte(u64::try_from(at).unwrap_or(u64::MAX));
            RecordingError::damaged(path, place, Fault::Truncated(what))
        };
        let (mut head, rest) =
            bytes.split_at_checked(ROUND_BYTES).ok_or_else(|| truncated("a round"))?;
        let (stream_bytes, count, looked_at) = read_head(&mut head).unwrap_or_default();
        let runs_bytes = usize::try_from(count).ok().and_then(|runs| runs.checked_mul(RUN_BYTES));
        let (runs, rest) = runs_bytes
            .and_then(|length| rest.split_at_checked(length))
            .ok_or_else(|| truncated("the runs of a round"))?;
        bytes = rest;
        let index = rounds.len();
        let place = |run| Place::Run { round: index, run };
        let runs = runs.chunks_exact(RUN_BYTES).enumerate().map(|(number, run)| {
            read_run(run).map_err(|fault| RecordingError::damaged(path, place(number), fault))
        });
        let looked_at = read_flag(looked_at, "whether RAM was looked at")
            .map_err(|fault| RecordingError::damaged(path, Place::Round(index), fault))?;
        rounds.push(Round { stream_bytes, looked_at, runs: runs.collect::<Result<_, _>>()? });
    }
    Ok(rounds)
}

fn read_head(head: &mut &[u8]) -> Option<(u64, u32, u32)> {
    let stream_bytes = head.read_u64::<BigEndian>().ok()?;
    let runs = head.read_u32::<BigEndian>().ok()?;
    Some((stream_bytes, runs, head.read_u32::<BigEndian>().ok()?))
}

fn read_run(mut bytes: &[u8]) -> Result<Run, Fault> {
    let truncated = |_| Fault::Truncated("a run");
    let block = bytes.read_u32::<BigEndian>().map_err(truncated)?;
    let zero = bytes.read_u32::<BigEndian>().map_err(truncated)?;
    let zero = read_flag(zero, "whether a run is zero")?;
    let offset = bytes.read_u64::<BigEndian>().map_err(truncated)?;
    let length = bytes.read_u64::<BigEndian>().map_err(truncated)?;
    Ok(Run { block, offset, length, zero })
}

fn read_flag(value: u32, field: &'static str) -> Result<bool, Fault> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Fault::Value { found: other.into(), field }),
    }
}

/// Checks that every run lies inside its block, and behind the run before it.
pub(super) fn check_runs(
    rounds: &[Round],
    blocks: &[Block],
    path: &Path,
) -> Result<(), RecordingError> {
    for (index, round) in rounds.iter().enumerate() {
        let mut reached = (0, 0);
        for (number, run) in round.runs.iter().enumerate() {
            let place = || Place::Run { round: index, run: number };
            let &Run { block, offset, length, .. } = run;
            let held = usize::try_from(block).ok().and_then(|index| blocks.get(index));
            let end = offset.checked_add(length).filter(|_| length > 0);
            if held.zip(end).is_none_or(|(held, end)| end > held.length) {
                let fault = Fault::OutsideBlock { block, offset, length };
                return Err(RecordingError::damaged(path, place(), fault));
            }
            if (block, offset) < reached {
                return Err(RecordingError::damaged(path, place(), Fault::RunOrder));
            }
            reached = (block, run.end());
        }
    }
    Ok(())
}

/// The first byte of RAM, by block and offset, that no round brings. The runs have been checked.
pub(super) fn first_gap(rounds: &[Round], blocks: &[Block]) -> Option<(u32, u64)> {
    let mut runs: Vec<_> = rounds.iter().flat_map(|round| &round.runs).collect();
    runs.sort_unstable_by_key(|run| (run.block, run.offset));
    let mut runs = runs.into_iter().peekable();
    (0..).zip(blocks).find_map(|(index, block)| {
        let mut reached = 0;
        while let Some(run) = runs.next_if(|run| run.block == index && run.offset <= reached) {
            reached = reached.max(run.end());
        }
        (reached < block.length).then_some((index, reached))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(block: u32, offset: u64, length: u64) -> Run {
        Run { block, offset, length, zero: false }
    }

    fn round(runs: &[Run]) -> Round {
        Round { stream_bytes: 191, looked_at: true, runs: runs.to_vec() }
    }

    fn blocks() -> Vec<Block> {
        [0x4000, 0x1000]
            .map(|length| Block { name: "some.ram".to_owned(), length })
            .into_iter()
            .collect()
    }

    fn path() -> &'static Path {
        Path::new("rounds")
    }

    #[test]
    fn rounds_are_read_as_they_were_written() {
        let zero = Run { zero: true, ..run(1, 0, 0x1000) };
        let rounds =
            vec![Round::default(), round(&[run(0, 0, 0x1000), run(0, 0x2000, 0x1000), zero])];
        let bytes = encode(&rounds);
        assert_eq!(bytes.len(), 2 * ROUND_BYTES + 3 * RUN_BYTES);
        assert_eq!(decode(&bytes, path()).unwrap(), rounds);
        assert_eq!(rounds[1].bytes(), (0x1000, 0x2000));
    }

    #[test]
    fn rounds_cut_short_or_with_wrong_flags_are_refused_at_their_place() {
        let bytes = encode(&[round(&[run(0, 0, 0x1000)])]);
        for length in 1..bytes.len() {
            let error = decode(&bytes[..length], path()).unwrap_err().to_string();
            assert!(error.starts_with("rounds: byte 0: ends in the middle of"), "{error}");
        }
        let mut flagged = bytes.clone();
        flagged[23] = 2;
        let error = decode(&flagged, path()).unwrap_err().to_string();
        assert_eq!(error, "rounds: round 0, run 0: 2 where whether a run is zero has to be");
        flagged = bytes;
        flagged[12] = 1;
        assert!(decode(&flagged, path()).is_err());
    }

    #[test]
    fn runs_outside_their_block_or_out_of_order_are_refused() {
        let check = |runs: &[Run]| {
            check_runs(&[round(runs)], &blocks(), path()).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[run(0, 0, 0x4000), run(1, 0, 0x1000)]), Ok(()));
        for wrong in [run(0, 0x3001, 0x1000), run(2, 0, 1), run(0, 0, 0), run(0, u64::MAX, 2)] {
            let error = check(&[wrong]).unwrap_err();
            assert!(error.contains("round 0, run 0") && error.contains("not inside"), "{error}");
        }
        for pair in [[run(0, 0, 2), run(0, 1, 2)], [run(1, 0, 1), run(0, 0, 1)]] {
            let error = check(&pair).unwrap_err();
            assert!(error.contains("round 0, run 1: starts before"), "{error}");
        }
    }

    #[test]
    fn runs_that_are_added_never_overlap_with_those_there_are() {
        let mut some = round(&[run(0, 0x1000, 0x2000), run(1, 0, 0x1000)]);
        some.add(vec![run(1, 0, 0x800), run(0, 0, 0x4000), run(0, 0x1000, 0x1000)]);
        let expected = [run(0, 0, 0x4000), run(1, 0, 0x1000)];
        assert_eq!(some.runs, expected);
        let mut some = round(&[run(0, 0, 0x2000)]);
        some.add(vec![run(0, 0x1000, 0x2000)]);
        assert_eq!(some.runs, [run(0, 0, 0x2000), run(0, 0x2000, 0x1000)]);
        assert!(check_runs(&[some], &blocks(), path()).is_ok());
    }

    #[test]
    fn ram_that_no_round_brings_is_found() {
        let gap = |rounds: &[Round]| first_gap(rounds, &blocks());
        let both = [run(0, 0, 0x4000), run(1, 0, 0x1000)];
        assert_eq!(gap(&[round(&both)]), None);
        assert_eq!(gap(&[round(&both[1..]), round(&both[..1])]), None);
        assert_eq!(gap(&[]), Some((0, 0)));
        assert_eq!(gap(&[round(&both[..1])]), Some((1, 0)));
        let holed = [run(0, 0, 0x1000), run(0, 0x1001, 0x2fff), run(1, 0, 0x1000)];
        assert_eq!(gap(&[round(&holed)]), Some((0, 0x1000)));
        let overlapping = [round(&[run(0, 0, 0x3000)]), round(&[run(0, 0x800, 0x100)])];
        assert_eq!(gap(&overlapping), Some((0, 0x3000)));
    }
}
