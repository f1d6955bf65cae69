//! What a source sends at most, and what it takes.

use crate::codec::{Command, Kind};
use crate::suite::play::{ChunkKeys, Message, different_ram};
use crate::suite::{Case, Play, Stop};

/// What ends a migration before its end.
const ENDS: &str = "The end of the migration; the guest stays the source's.";

pub(in super::super) const CASES: &[Case] = &[
    Case::source("S-LIM-001", "how long its messages are", &["LIM-1", "LIM-2"], short_messages)
        .text(
            "What a destination answers in a whole migration.",
            "Messages of at most 524288 bytes, and of at most 4096 commands.",
        )
        .completes()
        .quick(),
    Case::source(
        "S-LIM-002",
        "how long its messages are in pin-all mode",
        &["LIM-1"],
        short_messages,
    )
    .text(
        "What a destination answers in a whole migration where all RAM is pinned.",
        "Messages of at most 524288 bytes.",
    )
    .completes()
    .pin_all(),
    Case::source("S-LIM-003", "the longest RAM blocks", &["LIM-7", "BLK-13"], |play| {
        let (mut asked, _) = play.reach_command(Kind::RamBlocksRequest)?;
        play.place_blocks(&mut asked)?;
        let Some(first) = play.blocks().first().copied() else {
            return Err(Stop::Unsupported { what: "a source with RAM".into() });
        };
        play.send_commands(Kind::RamBlocksResult, &[Command::RamBlock(first); 16383]);
        play.expect_taken("LIM-7")?;
        play.expect_end_at_once("BLK-13")
    })
    .text("16383 RAM blocks: a message of 524272 bytes.", "It finds room; then the end.")
    .dangerous(),
    Case::source("S-LIM-004", "the longest message", &["LIM-7", "BLK-2"], |play| {
        play.reach_command(Kind::RamBlocksRequest)?;
        play.send(Kind::RamBlocksResult, &[0; 524_272]);
        play.expect_taken("LIM-7")?;
        play.expect_end_at_once("BLK-2")
    })
    .text(
        "A RAM_BLOCKS_RESULT of 524288 bytes, which ends inside a RAM block.",
        "It finds a receive with room for it; then the end of the migration.",
    )
    .dangerous()
    .quick(),
    Case::source(
        "S-LIM-005",
        "the longest message in place of READY",
        &["LIM-7", "CTL-7"],
        |play| {
            play.reach_accepted()?;
            play.send(Kind::Ready, &[0; 524_272]);
            play.expect_taken("LIM-7")?;
            play.expect_end_at_once("CTL-7")
        },
    )
    .text("READY with 524272 bytes of payload.", "It finds room; then the end of the migration.")
    .dangerous(),
    Case::source("S-LIM-006", "the most results", &["REG-24", "LIM-2", "LIM-7"], |play| {
        let (asked, request) = play.reach_command(Kind::RegisterRequest)?;
        let results = play.results_for(&asked, &request)?;
        let results: Vec<_> = results.iter().copied().cycle().take(4096).collect();
        play.send_commands(Kind::RegisterResult, &results);
        play.expect_taken("LIM-7")?;
        play.expect_end_at_once("REG-24")
    })
    .text("4096 results in answer to one request.", ENDS)
    .dangerous(),
    Case::source("S-LIM-010", "chunks of 1 MiB", &["LIM-10", "WRITE-4"], |play| {
        let mut asked = play.reach_accepted()?;
        play.serve_by_chunk_to_the_end(&mut asked, &mut ChunkKeys::default())?;
        play.look_at_regions(&asked.regions)
    })
    .text(
        "A key for each chunk, which is good for its 1 MiB and no byte more.",
        "The guest leaves, and all of its RAM arrives.",
    )
    .completes()
    .quick()
    .after(|seen| different_ram(seen, "LIM-10")),
];

fn short_messages(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_to_the_end(&mut asked)?;
    for message in &asked.messages {
        let (kind, bytes) = (message.kind(), 16 + message.payload.len());
        play.check(bytes <= 524_288, "LIM-1", format!("{kind} of {bytes} bytes"));
        let commands = message.commands().len();
        play.check(commands <= 4096, "LIM-2", format!("{kind} of {commands} commands"));
    }
    let none = asked.messages.iter().map(Message::kind).all(|kind| kind == Kind::Error);
    play.check(!none, "LIM-1", "it sends nothing");
    Ok(())
}
