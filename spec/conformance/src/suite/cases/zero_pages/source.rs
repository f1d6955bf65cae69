//! A source says which runs are zero.

use core::time::Duration;
use std::collections::BTreeSet;

use crate::codec::{Command, Compress, Kind, RegisterRequest};
use crate::suite::action::{Access, Action};
use crate::suite::play::{Asked, CHUNK, Message, breach, different_ram};
use crate::suite::{Case, Play, Stop};

/// What ends a migration before its end.
const ENDS: &str = "The end of the migration; the guest stays the source's.";

pub(in super::super) const CASES: &[Case] = &[
    Case::source(
        "S-ZERO-001",
        "how a zero run is encoded",
        &["ZERO-1", "ZERO-11", "ZERO-15"],
        encoded,
    )
    .text(
        "What a destination answers in a whole migration.",
        "Zero runs of 24 bytes, one a message, with a `value` of 0.",
    )
    .completes()
    .quick(),
    Case::source("S-ZERO-002", "zero runs end with their chunk", &["WRITE-4", "WRITE-1"], inside)
        .text(
            "What a destination answers in a whole migration.",
            "Zero runs of a byte or more, each inside a RAM block and a chunk.",
        )
        .completes(),
    Case::source("S-ZERO-003", "none for a registered chunk", &["ZERO-10"], unregistered)
        .text(
            "What a destination answers in a whole migration.",
            "No zero run in a chunk whose registration was asked for.",
        )
        .completes()
        .quick(),
    Case::source(
        "S-ZERO-004",
        "none for a chunk of a source that unregisters",
        &["ZERO-10"],
        unregistered,
    )
    .text(
        "What a destination answers in a whole migration of a source that gives keys back.",
        "No zero run in a chunk between the request for it and the request to give it back.",
    )
    .unregisters()
    .completes(),
    Case::source("S-ZERO-005", "none in pin-all mode", &["ZERO-10"], none_while_pinned)
        .text(
            "What a destination answers in a whole migration where all RAM is pinned.",
            "No zero run: every chunk is registered from the start.",
        )
        .pin_all()
        .completes()
        .quick(),
    Case::source("S-ZERO-006", "only what is zero", &["ZERO-10", "WRITE-5"], filled)
        .text(
            "Zero runs carried out, in memory that was not zero before.",
            "The RAM of the guest: a run that was said to be zero is, or is written later.",
        )
        .completes()
        .after(|seen| different_ram(seen, "WRITE-5")),
    Case::source("S-ZERO-007", "nothing before READY", &["CTL-20"], |play| {
        let (mut asked, message) = play.reach_command(Kind::Compress)?;
        play.expect_silence(Duration::from_secs(1), "CTL-20");
        play.serve(&mut asked, &message)?;
        play.serve_to_the_end(&mut asked)
    })
    .text(
        "No READY after a zero run for a second.",
        "No further command in that time; the guest leaves.",
    )
    .completes(),
    Case::source("S-ZERO-008", "no READY after a zero run", &["ERR-2"], |play| {
        play.reach_command(Kind::Compress)?;
        play.expect_end("ERR-2")
    })
    .text(
        "No READY after a zero run.",
        "The end of the migration, once the source has waited long enough.",
    ),
    Case::source("S-ZERO-009", "a reply to a zero run", &["CTL-26"], |play| {
        play.reach_command(Kind::Compress)?;
        play.send_bytes(Message::encode(Kind::RegisterResult, 1, &[1; 16]));
        play.expect_end("CTL-26")
    })
    .text("REGISTER_RESULT after a zero run, which has no reply.", ENDS),
    Case::source("S-ZERO-010", "ERROR after a zero run", &["CTL-31", "RND-5"], |play| {
        play.reach_command(Kind::Compress)?;
        play.send(Kind::Error, &[]);
        play.expect_end("CTL-31")
    })
    .text("ERROR in place of READY after a zero run.", ENDS),
    Case::source("S-ZERO-011", "disconnection after a zero run", &["RND-5"], |play| {
        play.reach_command(Kind::Compress)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection in place of READY after a zero run.", ENDS),
    Case::source("S-ZERO-012", "memory that cannot be looked at", &["CON-30", "RND-5"], |play| {
        let mut asked = play.reach_accepted()?;
        while let Some(message) = play.take_command_unless_ended(&mut asked)? {
            if message.kind() == Kind::Error {
                return play.wait_for_end();
            }
            play.serve(&mut asked, &message)?;
        }
        Ok(())
    })
    .text("What a destination answers; the source's host cannot tell whether RAM is zero.", ENDS)
    .faults(&["scan-failed@1"]),
];

fn whole(play: &mut Play<'_>) -> Result<Asked, Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_to_the_end(&mut asked)?;
    let zero_runs = asked.messages.iter().filter(|message| message.kind() == Kind::Compress);
    if zero_runs.count() == 0 && !asked.pin_all {
        return Err(Stop::Unsupported { what: "a guest with zero pages".into() });
    }
    Ok(asked)
}

fn encoded(play: &mut Play<'_>) -> Result<(), Stop> {
    let asked = whole(play)?;
    for message in asked.messages.iter().filter(|message| message.kind() == Kind::Compress) {
        let (repeat, bytes) = (message.header.repeat, message.payload.len());
        play.check(repeat == 1, "ZERO-15", format!("{repeat} commands in a COMPRESS"));
        play.check(bytes == 24, "ZERO-1", format!("a COMPRESS of {bytes} bytes"));
        for run in runs(message) {
            play.check(run.value == 0, "ZERO-11", format!("a `value` of {}", run.value));
        }
    }
    Ok(())
}

fn runs(message: &Message) -> Vec<Compress> {
    let run = |command| match command {
        Command::Compress(run) => Some(run),
        _ => None,
    };
    message.commands().into_iter().filter_map(run).collect()
}

fn inside(play: &mut Play<'_>) -> Result<(), Stop> {
    let asked = whole(play)?;
    for run in asked.messages.iter().flat_map(runs) {
        match place(play, run.block, run.offset) {
            Some((offset, block)) => {
                let end = offset.checked_add(run.length);
                let says = format!("{} zero bytes at {offset:#x}", run.length);
                let fits = run.length > 0 && end.is_some_and(|end| end <= block);
                play.check_safety(fits, "WRITE-1", format!("{says} of a block of {block}"));
                let left = CHUNK - offset % CHUNK;
                let crosses = format!("{says} go past the end of their chunk");
                play.check(run.length <= left, "WRITE-4", crosses);
            }
            None => play.check_safety(false, "WRITE-1", "a zero run outside every RAM block"),
        }
    }
    Ok(())
}

/// The place in its block of a RAM address, and the length of the block.
fn place(play: &Play<'_>, block: u32, address: u64) -> Option<(u64, u64)> {
    let block = play.destination_block(block)?;
    let offset = address.checked_sub(block.offset)?;
    (offset < block.length).then_some((offset, block.length))
}

fn unregistered(play: &mut Play<'_>) -> Result<(), Stop> {
    let asked = whole(play)?;
    let mut registered = BTreeSet::new();
    for command in asked.messages.iter().flat_map(Message::commands) {
        match command {
            Command::RegisterRequest(RegisterRequest { address, block, chunks }) => {
                let Some((offset, length)) = place(play, block, address) else { continue };
                let (first, all) = (offset / CHUNK, length.div_ceil(CHUNK));
                let span = first..all.min(first.saturating_add(chunks).saturating_add(1));
                registered.extend(span.map(|chunk| (block, chunk)));
            }
            Command::UnregisterRequest(request) => {
                registered.remove(&(request.block, request.chunk));
            }
            Command::Compress(run) => {
                let Some((offset, _)) = place(play, run.block, run.offset) else { continue };
                let chunk = offset / CHUNK;
                let says = format!("chunk {chunk} of block {} is registered", run.block);
                play.check(!registered.contains(&(run.block, chunk)), "ZERO-10", says);
            }
            Command::RamBlock(_) | Command::RegisterResult(_) => {}
        }
    }
    Ok(())
}

fn none_while_pinned(play: &mut Play<'_>) -> Result<(), Stop> {
    let asked = whole(play)?;
    if !asked.pin_all {
        return Err(Stop::Unsupported { what: "pin-all".into() });
    }
    let none = !asked.messages.iter().any(|message| message.kind() == Kind::Compress);
    play.check(none, "ZERO-10", "a zero run though all RAM is pinned");
    Ok(())
}

/// RAM that holds something before the migration: what is said to be zero is set to zero, and
/// everything else has to be written.
fn filled(play: &mut Play<'_>) -> Result<(), Stop> {
    let (mut asked, _) = play.reach_command(Kind::RamBlocksRequest)?;
    play.place_blocks_in(&mut asked, |play, length| {
        play.make_region(length, Access::RemoteWrite, true)
    })?;
    play.answer_blocks();
    while let Some(message) = play.take_command_unless_ended(&mut asked)? {
        play.serve(&mut asked, &message)?;
        for run in runs(&message) {
            let (Some((offset, _)), Some(region)) = (
                place(play, run.block, run.offset),
                asked.regions.get(usize::try_from(run.block).unwrap_or(usize::MAX)),
            ) else {
                return Err(breach("WRITE-1", "a zero run outside every RAM block"));
            };
            let length = run.length.min(region.length - offset);
            play.act(Action::Zero { block: region.block, offset, length });
        }
    }
    play.look_at_regions(&asked.regions)
}
