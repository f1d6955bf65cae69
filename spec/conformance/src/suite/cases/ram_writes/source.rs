//! A source writes RAM.

use crate::codec::{Command, Kind, RegisterResult};
use crate::suite::action::Access;
use crate::suite::play::{Asked, CHUNK, ChunkKeys, Message, Region, breach, different_ram};
use crate::suite::{Case, Play, Stop};

/// What ends a migration before its end.
const ENDS: &str = "The end of the migration; the guest stays the source's.";

pub(in super::super) const CASES: &[Case] = &[
    Case::source("S-WRITE-001", "all RAM arrives", &["WRITE-5", "WRITE-3", "WRITE-1"], whole)
        .text(
            "What a destination answers in a whole migration.",
            "The RAM of the guest, each byte in its place.",
        )
        .completes()
        .after(|seen| different_ram(seen, "WRITE-5"))
        .quick(),
    Case::source("S-WRITE-002", "all RAM arrives in pin-all mode", &["WRITE-5", "WRITE-6"], pinned)
        .text(
            "What a destination answers in a whole migration where all RAM is pinned.",
            "The RAM of the guest, at the addresses of RAM_BLOCKS_RESULT.",
        )
        .pin_all()
        .completes()
        .after(|seen| different_ram(seen, "WRITE-6"))
        .quick(),
    Case::source("S-WRITE-003", "runs end with their chunk", &["WRITE-4", "WRITE-1"], by_chunk)
        .text(
            "A region and a key of its own for each chunk that is asked for.",
            "No write is refused: the guest arrives whole.",
        )
        .completes()
        .after(|seen| different_ram(seen, "WRITE-4"))
        .quick(),
    Case::source("S-WRITE-004", "nothing around the RAM blocks", &["WRITE-1"], |play| {
        guarded(play, false)
    })
    .text(
        "Keys that are good for a chunk more on both sides of each RAM block.",
        "Nothing is written there, and the guest arrives.",
    )
    .completes(),
    Case::source("S-WRITE-005", "nothing around pinned RAM blocks", &["WRITE-1"], |play| {
        guarded(play, true)
    })
    .text(
        "Keys of RAM blocks that are good for a chunk more on both sides, in pin-all mode.",
        "Nothing is written there, and the guest arrives.",
    )
    .pin_all()
    .completes(),
    Case::source("S-WRITE-006", "the address of the last result", &["WRITE-6"], moves)
        .text(
            "Results for one RAM block with two addresses: the first with one, all later with another.",
            "From the second result on, nothing is written at the first address.",
        )
        .completes(),
    Case::source("S-WRITE-007", "the address of a result", &["WRITE-6"], elsewhere)
        .text(
            "Results with other addresses than RAM_BLOCKS_RESULT had.",
            "The RAM of the guest at the addresses of the results, and nothing at the others.",
        )
        .completes()
        .after(|seen| different_ram(seen, "WRITE-6")),
    Case::source("S-WRITE-008", "a round is written when it ends", &["WRITE-2", "WRITE-3"], |play| {
        at_the_end_of_rounds(play)
    })
    .text(
        "What a destination answers, with a look at RAM when the last REGISTER_FINISHED arrives.",
        "All RAM of the guest is there by then: nothing is written afterwards.",
    )
    .completes()
    .after(|seen| different_ram(seen, "WRITE-2"))
    .quick(),
    Case::source("S-WRITE-009", "the same in pin-all mode", &["WRITE-2", "WRITE-3"], |play| {
        at_the_end_of_rounds(play)
    })
    .text(
        "As S-WRITE-008, where all RAM is pinned.",
        "All RAM of the guest is there when the last REGISTER_FINISHED arrives.",
    )
    .pin_all()
    .completes()
    .after(|seen| different_ram(seen, "WRITE-2")),
    Case::source("S-WRITE-010", "a write that is refused", &["RND-5", "WRITE-3"], refused)
        .text("A key that is taken back before the source can use it.", ENDS)
        .misleads(),
    Case::source("S-WRITE-011", "a write that is lost", &["RND-5", "WRITE-3"], ends_by_itself)
        .text("What a destination answers; the source's second write never arrives.", ENDS)
        .faults(&["write-lost@2"]),
    Case::source("S-WRITE-012", "a write that cannot be read", &["RND-5"], ends_by_itself)
        .text("What a destination answers; the source's adapter cannot read its own memory.", ENDS)
        .faults(&["write-unprotected@1"]),
    Case::source("S-WRITE-013", "disconnection while writes are under way", &["RND-5"], |play| {
        serve_first_request(play)?;
        play.disconnect();
        Ok(())
    })
    .text("The first result, and the end of the connection behind it.", ENDS),
    Case::source("S-WRITE-014", "ERROR while writes are under way", &["CTL-31", "RND-5"], |play| {
        serve_first_request(play)?;
        play.send(Kind::Error, &[]);
        play.wait_for_end()
    })
    .text("The first result, and ERROR behind it.", ENDS),
    Case::source("S-WRITE-015", "silence while writes are under way", &["ERR-2"], |play| {
        serve_first_request(play)?;
        play.expect_end("ERR-2")
    })
    .text(
        "The first result, and no READY after it.",
        "The end of the migration, once the source has waited long enough.",
    ),
];

fn whole(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_to_the_end(&mut asked)?;
    play.look_at_regions(&asked.regions)
}

fn pinned(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    if !asked.pin_all {
        return Err(Stop::Unsupported { what: "pin-all".into() });
    }
    play.serve_to_the_end(&mut asked)?;
    play.look_at_regions(&asked.regions)
}

fn by_chunk(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_by_chunk_to_the_end(&mut asked, &mut ChunkKeys::default())?;
    play.look_at_regions(&asked.regions)
}

/// Answers with regions that are longer than the RAM blocks inside them, and looks at what is around.
fn guarded(play: &mut Play<'_>, pin_all: bool) -> Result<(), Stop> {
    let (mut asked, _) = play.reach_command(Kind::RamBlocksRequest)?;
    if pin_all && !asked.pin_all {
        return Err(Stop::Unsupported { what: "pin-all".into() });
    }
    let mut around = Vec::new();
    play.place_blocks_in(&mut asked, |play, length| {
        let room = play.make_region(length + 2 * CHUNK, Access::RemoteWrite, false)?;
        around.push(room);
        Ok(Region { address: room.address + CHUNK, length, ..room })
    })?;
    play.answer_blocks();
    play.serve_to_the_end(&mut asked)?;
    for room in around {
        for offset in [0, room.length - CHUNK] {
            let (_, zero) = play.ram(room.block, offset, CHUNK)?;
            play.check_safety(zero, "WRITE-1", "it has written outside a RAM block");
        }
    }
    Ok(())
}

/// One region twice as long as a RAM block: the block may lie in either half.
fn moves(play: &mut Play<'_>) -> Result<(), Stop> {
    let (mut asked, _) = play.reach_command(Kind::RamBlocksRequest)?;
    play.place_blocks_in(&mut asked, |play, length| {
        play.make_region(2 * length, Access::RemoteWrite, false)
    })?;
    play.answer_blocks();
    let mut at_first = None;
    let mut results = 0;
    while let Some(message) = play.take_command_unless_ended(&mut asked)? {
        let of_first = message.commands().into_iter().any(
            |command| matches!(command, Command::RegisterRequest(request) if request.block == 0),
        );
        if !of_first {
            play.serve(&mut asked, &message)?;
            continue;
        }
        let Some(Region { block, address, length, rkey, .. }) = asked.regions.first().copied()
        else {
            return Err(breach("BLK-10", "it asks for chunks before RAM blocks"));
        };
        if results == 1 {
            at_first = Some((block, length / 2, play.ram(block, 0, length / 2)?.0));
        }
        let host_address = if results == 0 { address } else { address + length / 2 };
        results += 1;
        let result = Command::RegisterResult(RegisterResult { rkey, host_address });
        play.send_commands(Kind::RegisterResult, &[result]);
    }
    let Some((block, length, digest)) = at_first else {
        return Err(Stop::Unsupported { what: "two requests for the first RAM block".into() });
    };
    let stays = play.ram(block, 0, length)?.0 == digest;
    play.check_safety(stays, "WRITE-6", "it writes to the address of an earlier result");
    let (_, zero) = play.ram(block, length, length)?;
    play.check(!zero, "WRITE-6", "it writes nothing to the address of the last result");
    Ok(())
}

fn elsewhere(play: &mut Play<'_>) -> Result<(), Stop> {
    let (mut asked, _) = play.reach_command(Kind::RamBlocksRequest)?;
    play.place_blocks_in(&mut asked, |play, length| {
        play.make_region(length, Access::RemoteWrite, false)
    })?;
    play.answer_blocks();
    let first = core::mem::take(&mut asked.regions);
    for region in &first {
        asked.regions.push(play.make_region(region.length, Access::RemoteWrite, false)?);
    }
    play.serve_to_the_end(&mut asked)?;
    for region in first {
        let (_, zero) = play.ram(region.block, 0, region.length)?;
        play.check_safety(zero, "WRITE-6", "it writes to the address of RAM_BLOCKS_RESULT");
    }
    play.look_at_regions(&asked.regions)
}

/// Looks at RAM at each REGISTER_FINISHED; the last look is what remains.
fn at_the_end_of_rounds(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    while let Some(message) = play.take_command_unless_ended(&mut asked)? {
        if message.kind() == Kind::RegisterFinished {
            let regions = asked.regions.clone();
            play.look_at_regions(&regions)?;
        }
        play.serve(&mut asked, &message)?;
    }
    Ok(())
}

fn refused(play: &mut Play<'_>) -> Result<(), Stop> {
    let (asked, message) = play.reach_command(Kind::RegisterRequest)?;
    let results = play.results_for(&asked, &message)?;
    for region in &asked.regions {
        play.give_back(region)?;
    }
    play.send_commands(Kind::RegisterResult, &results);
    play.expect_end("RND-5")
}

/// Serves a source that finds out by itself that it has to end.
fn ends_by_itself(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    while let Some(message) = play.take_command_unless_ended(&mut asked)? {
        if message.kind() == Kind::Error {
            return play.wait_for_end();
        }
        play.serve(&mut asked, &message)?;
    }
    Ok(())
}

/// Answers the first request, without the READY after it.
fn serve_first_request(play: &mut Play<'_>) -> Result<(Asked, Message), Stop> {
    let (mut asked, message) = play.reach_command(Kind::RegisterRequest)?;
    play.serve(&mut asked, &message)?;
    Ok((asked, message))
}
