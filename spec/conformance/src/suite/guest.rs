//! The guest that the suite's side pretends to move to a destination under test.

use crate::codec::NamedBlock;
use crate::migrate::{guest, stream};
use crate::recording::Recording;

/// Bytes of each RAM block of the synthetic guest: two and a half chunks, one chunk, and less.
const LENGTHS: [(&str, u64); 3] =
    [("pc.ram", 5 << 19), ("vga.vram", 1 << 20), ("pc.bios", 256 << 10)];

/// The stream of a guest, and its RAM blocks.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The RAM blocks, in the order of their indices.
    pub blocks: Vec<NamedBlock>,
    /// The stream up to the hook word after the list of RAM blocks, which it includes.
    pub set_up: Vec<u8>,
    /// From the end of a round to the hook word of the next.
    pub between_rounds: Vec<u8>,
    /// The same, where the next round is the last.
    pub before_last_round: Vec<u8>,
    /// From the end of the last round to the end of the stream.
    pub end: Vec<u8>,
}

impl Guest {
    /// A guest without a machine, for destinations that load no device state.
    #[must_use]
    pub fn synthetic() -> Self {
        let blocks = LENGTHS.map(|(name, length)| NamedBlock { name: name.to_owned(), length });
        let made: Vec<_> = blocks
            .iter()
            .map(|block| guest::GuestBlock::new(&block.name, block.length, 128))
            .collect();
        Self {
            set_up: stream::setup(&made),
            between_rounds: stream::between_rounds(false),
            before_last_round: stream::between_rounds(true),
            end: stream::device_state(&[7; 40_000]),
            blocks: blocks.to_vec(),
        }
    }

    /// The guest of a recording: what a destination of the same machine type can load. `None` if the
    /// recording has fewer than three rounds, so that the stream between two is not known.
    #[must_use]
    pub fn of_recording(recording: &Recording) -> Option<Self> {
        let ends: Vec<_> = recording.rounds().iter().map(|round| round.stream_bytes).collect();
        let (first, second) = (*ends.first()?, *ends.get(1)?);
        let (last, before_last) = (*ends.last()?, *ends.get(ends.len().checked_sub(2)?)?);
        if ends.len() < 3 {
            return None;
        }
        let part = |from: u64, to: u64| {
            let range = usize::try_from(from).ok()?..usize::try_from(to).ok()?;
            recording.stream().get(range).map(<[u8]>::to_vec)
        };
        let all = u64::try_from(recording.stream().len()).ok()?;
        let blocks = recording.layout()?.blocks.iter();
        Some(Self {
            blocks: blocks
                .map(|block| NamedBlock { name: block.name.clone(), length: block.length })
                .collect(),
            set_up: part(0, first)?,
            between_rounds: part(first, second)?,
            before_last_round: part(before_last, last)?,
            end: part(last, all)?,
        })
    }
}
