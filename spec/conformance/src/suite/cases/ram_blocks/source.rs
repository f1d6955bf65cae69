//! A source asks where the RAM blocks lie.

use super::super::errors::has_failed;
use crate::codec::{Kind, RamBlock};
use crate::suite::play::{Asked, CHUNK, Message};
use crate::suite::{Case, Play, Stop};

/// What a source goes on to.
const GOES_ON: &str = "The migration goes on, and the guest leaves.";
/// What ends a migration before its end.
const ENDS: &str = "The end of the migration; the guest stays the source's.";

pub(in super::super) const CASES: &[Case] = &[
    Case::source("S-BLK-001", "the exchange", &["BLK-10", "STR-2"], asked_once)
        .text(
            "What a destination answers in a whole migration.",
            "RAM_BLOCKS_REQUEST once, as the first command behind the first hook word.",
        )
        .completes()
        .quick(),
    Case::source("S-BLK-002", "the exchange in pin-all mode", &["BLK-10"], asked_once)
        .text(
            "What a destination answers in a whole migration where all RAM is pinned.",
            "RAM_BLOCKS_REQUEST once, as the first command behind the first hook word.",
        )
        .completes()
        .pin_all(),
    Case::source("S-BLK-003", "garbage in the padding", &["BLK-3"], padding)
        .text("RAM blocks whose padding is not 0.", GOES_ON)
        .completes()
        .quick(),
    Case::source("S-BLK-004", "garbage in the padding in pin-all mode", &["BLK-3"], padding)
        .text("RAM blocks with keys, whose padding is not 0.", GOES_ON)
        .completes()
        .pin_all(),
    Case::source("S-BLK-005", "every RAM block at offset 0", &["BLK-1"], |play| {
        goes_on(play, |blocks| blocks.iter_mut().for_each(|block| block.offset = 0))
    })
    .text("RAM blocks that all begin at RAM address 0.", GOES_ON)
    .completes(),
    Case::source("S-BLK-006", "offsets in no order", &["BLK-1"], |play| {
        goes_on(play, |blocks| {
            for (index, block) in (1..).zip(blocks.iter_mut().rev()) {
                block.offset = index * 0x1234_5678_9000 + 0x123;
            }
        })
    })
    .text("RAM blocks whose offsets fall, lie far apart and on no page.", GOES_ON)
    .completes(),
    Case::source("S-BLK-007", "up to the last address", &["BLK-15"], |play| {
        goes_on(play, |blocks| {
            for block in blocks {
                block.remote_address = block.length.wrapping_neg();
                block.offset = block.length.wrapping_neg();
            }
        })
    })
    .text(
        "RAM blocks whose last byte is at 2^64 - 1 in both address spaces; results have others.",
        GOES_ON,
    )
    .completes(),
    Case::source("S-BLK-008", "addresses that results replace", &["WRITE-6", "BLK-1"], |play| {
        goes_on(play, |blocks| blocks.iter_mut().for_each(|block| block.remote_address = CHUNK))
    })
    .text("RAM blocks that all lie at one address, and results with other ones.", GOES_ON)
    .completes(),
    Case::source("S-BLK-009", "keys where nothing is pinned", &["REG-10", "BLK-17"], |play| {
        let asked =
            goes_on_asked(play, |blocks| blocks.iter_mut().for_each(|block| block.rkey = 0x77))?;
        let asks = asked.messages.iter().any(|message| message.kind() == Kind::RegisterRequest);
        play.check(asks, "REG-10", "it asks for no key");
        Ok(())
    })
    .text("RAM blocks with keys that are good for nothing, in dynamic mode.", GOES_ON)
    .completes()
    .observed(),
    Case::source("S-BLK-020", "no answer", &["ERR-2", "ERR-1"], |play| {
        play.reach_command(Kind::RamBlocksRequest)?;
        play.expect_end("ERR-2")
    })
    .text("Nothing in answer to RAM_BLOCKS_REQUEST.", ENDS)
    .quick(),
    Case::source("S-BLK-021", "no answer in pin-all mode", &["ERR-2", "CON-33"], |play| {
        play.reach_command(Kind::RamBlocksRequest)?;
        play.expect_end("ERR-2")
    })
    .text("Nothing in answer to RAM_BLOCKS_REQUEST, with all RAM pinned at the source.", ENDS)
    .pin_all(),
    Case::source("S-BLK-022", "no READY behind the RAM blocks", &["ERR-2"], |play| {
        let (mut asked, request) = play.reach_command(Kind::RamBlocksRequest)?;
        play.serve(&mut asked, &request)?;
        play.expect_end("ERR-2")
    })
    .text("RAM blocks, and no READY behind them.", ENDS),
    Case::source("S-BLK-023", "ERROR in pin-all mode", &["CTL-31", "CON-33"], |play| {
        play.reach_command(Kind::RamBlocksRequest)?;
        play.send(Kind::Error, &[]);
        play.expect_end_at_once("CTL-31")
    })
    .text("ERROR in answer to RAM_BLOCKS_REQUEST, while the source pins its RAM.", ENDS)
    .pin_all(),
    Case::source("S-BLK-024", "disconnection in pin-all mode", &["RND-5", "CON-33"], |play| {
        play.reach_command(Kind::RamBlocksRequest)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection in place of the RAM blocks, while RAM is pinned.", ENDS)
    .pin_all()
    .after(has_failed),
    Case::source("S-BLK-025", "ERROR behind the RAM blocks", &["CTL-31", "RND-5"], |play| {
        let (mut asked, request) = play.reach_command(Kind::RamBlocksRequest)?;
        play.serve(&mut asked, &request)?;
        play.send(Kind::Error, &[]);
        play.expect_end_at_once("CTL-31")
    })
    .text("RAM blocks, and ERROR in place of READY.", ENDS),
    Case::source("S-BLK-026", "the RAM blocks twice", &["CTL-26", "BLK-10"], |play| {
        let (mut asked, request) = play.reach_command(Kind::RamBlocksRequest)?;
        play.serve(&mut asked, &request)?;
        play.answer_blocks();
        play.expect_end_at_once("CTL-26")
    })
    .text("RAM blocks, and the same again in place of READY.", ENDS),
    Case::source(
        "S-BLK-027",
        "the second RAM block cannot be pinned",
        &["CON-30", "CON-33"],
        |play| {
            let (mut asked, request) = play.reach_command(Kind::RamBlocksRequest)?;
            play.serve(&mut asked, &request)?;
            play.ready();
            play.expect_end_at_once("CON-30")
        },
    )
    .text("RAM blocks to a source whose host can pin the first of its own and no other.", ENDS)
    .pin_all()
    .faults(&["source-registration-refused@2"]),
    Case::source("S-BLK-028", "pinning that never ends", &["ERR-1", "RND-5"], |play| {
        let (mut asked, request) = play.reach_command(Kind::RamBlocksRequest)?;
        play.serve(&mut asked, &request)?;
        play.ready();
        play.expect_end("ERR-1")
    })
    .text("RAM blocks to a source whose host never answers when it is to pin RAM.", ENDS)
    .pin_all()
    .faults(&["source-registration-stuck@1"]),
    Case::source("S-BLK-029", "pinning that takes long", &["BLK-10", "CTL-20"], asked_once)
        .text("What a destination answers, to a source whose host is slow to pin its RAM.", GOES_ON)
        .completes()
        .pin_all()
        .faults(&["source-registration-slow@2"]),
];

fn asked_once(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_to_the_end(&mut asked)?;
    let mut commands =
        asked.messages.iter().map(Message::kind).filter(|kind| *kind != Kind::QemuFile);
    let first = commands.next();
    play.check(
        first == Some(Kind::RamBlocksRequest),
        "BLK-10",
        "its first command is another than RAM_BLOCKS_REQUEST",
    );
    let again = commands.filter(|kind| *kind == Kind::RamBlocksRequest).count();
    play.check(again == 0, "BLK-10", format!("it asks {again} times more"));
    Ok(())
}

fn padding(play: &mut Play<'_>) -> Result<(), Stop> {
    play.alter_messages(|message| {
        if message.get(4..8) == Some(&[0, 0, 0, 5]) {
            for block in message.get_mut(16..).unwrap_or_default().chunks_exact_mut(RamBlock::BYTES)
            {
                block[28..].copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
            }
        }
    });
    let mut asked = play.reach_accepted()?;
    play.serve_to_the_end(&mut asked)
}

/// Serves the source with RAM blocks that lie elsewhere until a result says where.
fn goes_on(play: &mut Play<'_>, change: impl FnOnce(&mut Vec<RamBlock>)) -> Result<(), Stop> {
    goes_on_asked(play, change).map(drop)
}

fn goes_on_asked(
    play: &mut Play<'_>,
    change: impl FnOnce(&mut Vec<RamBlock>),
) -> Result<Asked, Stop> {
    let (mut asked, _) = play.reach_command(Kind::RamBlocksRequest)?;
    play.place_blocks(&mut asked)?;
    let mut blocks = play.blocks().to_vec();
    change(&mut blocks);
    play.answer_blocks_as(blocks);
    play.serve_to_the_end(&mut asked)?;
    Ok(asked)
}
