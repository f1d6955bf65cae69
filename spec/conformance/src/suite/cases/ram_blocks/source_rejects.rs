//! A source rejects RAM blocks that are not its own or that cannot be.

use crate::codec::{Command, Kind, RamBlock};
use crate::suite::play::Message;
use crate::suite::{Case, Play, Stop};

/// What a source makes of RAM blocks that it must reject.
const ENDS: &str = "The end of the migration; the guest stays the source's.";

pub(in super::super) const CASES: &[Case] = &[
    Case::source("S-BLK-040", "a byte short", &["BLK-2"], |play| {
        rejects_payload(play, |payload| payload.truncate(payload.len() - 1))
    })
    .text("RAM blocks of which the last lacks a byte, with a header that says so.", ENDS)
    .quick(),
    Case::source("S-BLK-041", "a byte long", &["BLK-2"], |play| {
        rejects_payload(play, |payload| payload.push(0))
    })
    .text("RAM blocks with a byte behind them, with a header that says so.", ENDS),
    Case::source("S-BLK-042", "half a RAM block more", &["BLK-2"], |play| {
        rejects_payload(play, |payload| payload.extend([0; 16]))
    })
    .text("RAM blocks with 16 bytes behind them.", ENDS),
    Case::source("S-BLK-043", "without the last padding", &["BLK-2", "BLK-1"], |play| {
        rejects_payload(play, |payload| payload.truncate(payload.len() - 4))
    })
    .text("RAM blocks of which the last has no padding.", ENDS),
    Case::source("S-BLK-044", "one byte for all", &["BLK-2"], |play| {
        rejects_payload(play, |payload| payload.truncate(1))
    })
    .text("A RAM_BLOCKS_RESULT with a payload of one byte.", ENDS),
    Case::source("S-BLK-050", "no RAM blocks", &["BLK-13"], |play| {
        rejects(play, "BLK-13", Vec::clear)
    })
    .text("A RAM_BLOCKS_RESULT without payload.", ENDS)
    .quick(),
    Case::source("S-BLK-051", "a RAM block too few", &["BLK-13"], |play| {
        rejects(play, "BLK-13", |blocks| blocks.truncate(blocks.len() - 1))
    })
    .text("All RAM blocks but the last.", ENDS)
    .quick(),
    Case::source("S-BLK-052", "a RAM block too many", &["BLK-13"], |play| {
        rejects(play, "BLK-13", |blocks| blocks.extend_from_within(..1))
    })
    .text("All RAM blocks, and the first one again behind the last.", ENDS)
    .dangerous(),
    Case::source("S-BLK-053", "all RAM blocks twice", &["BLK-13"], |play| {
        rejects(play, "BLK-13", |blocks| blocks.extend_from_within(..))
    })
    .text("All RAM blocks, and all of them again.", ENDS)
    .dangerous(),
    Case::source("S-BLK-054", "the most RAM blocks there are", &["BLK-13", "LIM-3"], |play| {
        rejects(play, "BLK-13", |blocks| {
            if let Some(first) = blocks.first().copied() {
                blocks.resize(16383, first);
            }
        })
    })
    .text("16383 RAM blocks in a message of 524272 bytes.", ENDS)
    .dangerous(),
    Case::source("S-BLK-060", "a page short", &["BLK-14"], |play| {
        rejects(play, "BLK-14", |blocks| first(blocks, |block| block.length -= 4096))
    })
    .text("A first RAM block that is a page shorter than the source's.", ENDS)
    .quick(),
    Case::source("S-BLK-061", "a byte too long", &["BLK-14"], |play| {
        rejects(play, "BLK-14", |blocks| first(blocks, |block| block.length += 1))
    })
    .text("A first RAM block that is a byte longer than the source's.", ENDS),
    Case::source("S-BLK-062", "no length", &["BLK-14"], |play| {
        rejects(play, "BLK-14", |blocks| first(blocks, |block| block.length = 0))
    })
    .text("A first RAM block of no bytes.", ENDS),
    Case::source("S-BLK-063", "the largest length", &["BLK-14"], |play| {
        rejects(play, "BLK-14", |blocks| first(blocks, |block| block.length = u64::MAX))
    })
    .text("A first RAM block of 2^64 - 1 bytes.", ENDS),
    Case::source("S-BLK-064", "a length in the other byte order", &["BLK-14", "BLK-1"], |play| {
        rejects(play, "BLK-14", |blocks| {
            first(blocks, |block| block.length = block.length.swap_bytes());
        })
    })
    .text("A first RAM block whose length has its bytes reversed.", ENDS),
    Case::source("S-BLK-065", "the last RAM block alone differs", &["BLK-14"], |play| {
        rejects(play, "BLK-14", |blocks| {
            if let Some(block) = blocks.last_mut() {
                block.length += 4096;
            }
        })
    })
    .text("A last RAM block that is a page longer than the source's.", ENDS),
    Case::source("S-BLK-066", "two RAM blocks in the other order", &["BLK-14", "BLK-11"], |play| {
        rejects(play, "BLK-14", |blocks| blocks.reverse())
    })
    .text("All RAM blocks, from the last to the first.", ENDS),
    Case::source("S-BLK-067", "a page short in pin-all mode", &["BLK-14", "CON-33"], |play| {
        rejects(play, "BLK-14", |blocks| first(blocks, |block| block.length -= 4096))
    })
    .text("A first RAM block that is a page shorter than the source's, with its key.", ENDS)
    .pin_all(),
    Case::source("S-BLK-070", "the largest address", &["BLK-15"], |play| {
        rejects(play, "BLK-15", |blocks| first(blocks, |block| block.remote_address = u64::MAX))
    })
    .text("A first RAM block at address 2^64 - 1.", ENDS)
    .quick(),
    Case::source("S-BLK-071", "the largest offset", &["BLK-15"], |play| {
        rejects(play, "BLK-15", |blocks| first(blocks, |block| block.offset = u64::MAX))
    })
    .text("A first RAM block at RAM address 2^64 - 1.", ENDS),
    Case::source("S-BLK-072", "an address that wraps around by a byte", &["BLK-15"], |play| {
        rejects(play, "BLK-15", |blocks| {
            first(blocks, |block| block.remote_address = (block.length - 1).wrapping_neg());
        })
    })
    .text("A first RAM block whose last byte would be at address 2^64.", ENDS),
    Case::source("S-BLK-073", "an offset that wraps around by a byte", &["BLK-15"], |play| {
        rejects(play, "BLK-15", |blocks| {
            first(blocks, |block| block.offset = (block.length - 1).wrapping_neg());
        })
    })
    .text("A first RAM block whose last byte would be at RAM address 2^64.", ENDS),
    Case::source("S-BLK-074", "the last RAM block wraps around", &["BLK-15"], |play| {
        rejects(play, "BLK-15", |blocks| {
            if let Some(block) = blocks.last_mut() {
                block.remote_address = (block.length - 1).wrapping_neg();
            }
        })
    })
    .text("A last RAM block whose last byte would be at address 2^64.", ENDS),
    Case::source("S-BLK-075", "an address that wraps in pin-all mode", &["BLK-15"], |play| {
        rejects(play, "BLK-15", |blocks| {
            first(blocks, |block| block.remote_address = (block.length - 1).wrapping_neg());
        })
    })
    .text("A first RAM block whose last byte would be at address 2^64, with a key.", ENDS)
    .pin_all(),
    Case::source("S-BLK-080", "no key in pin-all mode", &["BLK-18"], |play| {
        rejects(play, "BLK-18", |blocks| first(blocks, |block| block.rkey = 0))
    })
    .text("A first RAM block without a key, with all RAM pinned.", ENDS)
    .pin_all()
    .quick(),
    Case::source("S-BLK-081", "no key for the last RAM block", &["BLK-18"], |play| {
        rejects(play, "BLK-18", |blocks| {
            if let Some(block) = blocks.last_mut() {
                block.rkey = 0;
            }
        })
    })
    .text("A last RAM block without a key, with all RAM pinned.", ENDS)
    .pin_all(),
    Case::source("S-BLK-082", "no key at all in pin-all mode", &["BLK-18"], |play| {
        rejects(play, "BLK-18", |blocks| blocks.iter_mut().for_each(|block| block.rkey = 0))
    })
    .text("RAM blocks without keys, as in dynamic mode, with all RAM pinned.", ENDS)
    .pin_all(),
];

fn first(blocks: &mut [RamBlock], spoil: impl FnOnce(&mut RamBlock)) {
    if let Some(block) = blocks.first_mut() {
        spoil(block);
    }
}

/// The RAM blocks, spoilt, in answer to RAM_BLOCKS_REQUEST; and READY, so that a source that takes
/// them goes on.
fn rejects(
    play: &mut Play<'_>,
    requirement: &str,
    spoil: impl FnOnce(&mut Vec<RamBlock>),
) -> Result<(), Stop> {
    let (mut asked, _) = play.reach_command(Kind::RamBlocksRequest)?;
    play.place_blocks(&mut asked)?;
    let mut blocks = play.blocks().to_vec();
    spoil(&mut blocks);
    play.answer_blocks_as(blocks);
    play.ready();
    play.expect_end_at_once(requirement)
}

fn rejects_payload(play: &mut Play<'_>, spoil: impl FnOnce(&mut Vec<u8>)) -> Result<(), Stop> {
    let (mut asked, _) = play.reach_command(Kind::RamBlocksRequest)?;
    play.place_blocks(&mut asked)?;
    let mut payload = Vec::new();
    for block in play.blocks() {
        Command::RamBlock(*block).encode(&mut payload);
    }
    spoil(&mut payload);
    play.send_bytes(Message::encode(Kind::RamBlocksResult, 1, &payload));
    play.ready();
    play.expect_end_at_once("BLK-2")
}
