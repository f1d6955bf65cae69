//! The guest that the suite's side pretends to move to a destination under test.

use crate::codec::NamedBlock;
use crate::migrate::{guest, stream};

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
}
