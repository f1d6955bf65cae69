//! A source asks for chunks to be registered, and judges the results.

use core::time::Duration;
use std::collections::BTreeSet;

use crate::codec::{Command, Kind, RegisterRequest, RegisterResult};
use crate::suite::play::{Asked, CHUNK, Message, breach};
use crate::suite::{Case, Play, Stop};

/// What a destination that breaks a rule is answered with.
const ENDS: &str = "The end of the migration; the guest stays the source's.";

pub(in super::super) const CASES: &[Case] = &[
    Case::source("S-REG-001", "how a request is encoded", &["REG-1", "WRITE-1"], encoded)
        .text(
            "What a destination answers in a whole migration.",
            "Requests of 24 bytes each, with padding of 0, for chunks that exist.",
        )
        .quick()
        .completes(),
    Case::source("S-REG-002", "nothing is written without a key", &["REG-10"], waits_for_key)
        .text(
            "No answer to the first request for a second, then the result.",
            "Neither a command nor a write before the result; the guest leaves.",
        )
        .quick()
        .completes(),
    Case::source("S-REG-003", "a key is asked for once", &["REG-10"], asks_once)
        .text(
            "What a destination answers in a whole migration.",
            "One request for each chunk at the most: a key holds until it is given back.",
        )
        .should()
        .completes(),
    Case::source("S-REG-004", "the padding of a result", &["REG-4"], padding)
        .text("Results whose padding is not 0.", "The same as without it: the guest leaves.")
        .quick()
        .completes(),
    Case::source("S-REG-005", "nothing in pin-all mode", &["REG-20", "REG-35"], none_while_pinned)
        .text(
            "What a destination answers in a whole migration where all RAM is pinned.",
            "No REGISTER_REQUEST and no UNREGISTER_REQUEST, which a destination would reject.",
        )
        .pin_all()
        .completes(),
    Case::source("S-REG-010", "a key of 0", &["REG-19"], |play| {
        rejects(play, "REG-19", |result| RegisterResult { rkey: 0, ..result })
    })
    .text("A result whose key is 0.", ENDS)
    .quick(),
    Case::source("S-REG-011", "an address that wraps around", &["REG-23"], |play| {
        rejects(play, "REG-23", |result| RegisterResult { host_address: u64::MAX, ..result })
    })
    .text("A result whose host address is 2^64 - 1.", ENDS)
    .quick(),
    Case::source(
        "S-REG-012",
        "an address that wraps around by a byte",
        &["REG-23"],
        wraps_by_a_byte,
    )
    .text("A result whose host address leaves no room for the last byte of its block.", ENDS),
    Case::source("S-REG-013", "more results than requests", &["REG-24"], |play| {
        rejects_message(play, "REG-24", |results| {
            let twice = [results, results].concat();
            Message::encode(Kind::RegisterResult, 2, &twice)
        })
    })
    .text("Two results in a message whose `repeat` is 2, for one request.", ENDS)
    .quick(),
    Case::source("S-REG-014", "two results and a `repeat` of 1", &["CTL-11", "REG-24"], |play| {
        rejects_message(play, "CTL-11", |results| {
            Message::encode(Kind::RegisterResult, 1, &[results, results].concat())
        })
    })
    .text("Two results in a message whose `repeat` is 1, for one request.", ENDS),
    Case::source("S-REG-015", "a message without a result", &["CTL-11"], |play| {
        rejects_message(play, "CTL-11", |_| Message::encode(Kind::RegisterResult, 1, &[]))
    })
    .text("A REGISTER_RESULT without payload whose `repeat` is 1.", ENDS)
    .dangerous(),
    Case::source("S-REG-016", "a result that is cut short", &["CTL-11", "REG-3"], |play| {
        rejects_message(play, "CTL-11", |results| {
            Message::encode(Kind::RegisterResult, 1, results.get(..15).unwrap_or_default())
        })
    })
    .text("A result of 15 bytes, with a header that says so.", ENDS)
    .dangerous(),
    Case::source("S-REG-017", "a result with a byte more", &["CTL-11", "REG-3"], |play| {
        rejects_message(play, "CTL-11", |results| {
            Message::encode(Kind::RegisterResult, 1, &[results, &[0]].concat())
        })
    })
    .text("A result of 17 bytes, with a header that says so.", ENDS),
    Case::source("S-REG-018", "a result with a `repeat` of 0", &["CTL-10"], |play| {
        rejects_message(play, "CTL-10", |results| Message::encode(Kind::RegisterResult, 0, results))
    })
    .text("A result in a message whose `repeat` is 0.", ENDS),
    Case::source("S-REG-019", "another reply in place of a result", &["CTL-26"], |play| {
        rejects_message(play, "CTL-26", |_| Message::encode(Kind::UnregisterFinished, 1, &[]))
    })
    .text("UNREGISTER_FINISHED in answer to a request.", ENDS),
    Case::source("S-REG-020", "READY in place of a result", &["CTL-24"], |play| {
        rejects_message(play, "CTL-24", |_| Message::encode(Kind::Ready, 1, &[]))
    })
    .text("READY in answer to a request, before its result.", ENDS)
    .quick(),
    Case::source("S-REG-021", "a result that nobody asked for", &["CTL-26"], unasked)
        .text("The result of the first request twice, in two messages.", ENDS),
    Case::source("S-REG-022", "no result", &["ERR-2", "ERR-1"], |play| {
        play.reach_command(Kind::RegisterRequest)?;
        play.expect_end("ERR-2")
    })
    .text(
        "No answer to the first request.",
        "The end of the migration, once the source has waited long enough.",
    ),
    Case::source("S-REG-023", "disconnection at a request", &["RND-5"], |play| {
        play.reach_command(Kind::RegisterRequest)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection in place of the first result.", ENDS)
    .quick(),
    Case::source("S-REG-024", "ERROR in place of a result", &["CTL-31", "RND-5"], |play| {
        rejects_message(play, "CTL-31", |_| Message::encode(Kind::Error, 1, &[]))
    })
    .text("ERROR in answer to the first request.", ENDS)
    .quick(),
    Case::source("S-REG-025", "a registration that fails", &["CON-30", "RND-5"], fails)
        .text(
            "What a destination answers; the source's host cannot register a chunk of its own.",
            ENDS,
        )
        .faults(&["source-registration-refused@1"]),
    Case::source("S-REG-026", "a later registration that fails", &["CON-30", "CON-33"], fails)
        .text(
            "What a destination answers; the source's host cannot register its third chunk.",
            "The end of the migration, with nothing left registered; the guest stays the source's.",
        )
        .faults(&["source-registration-refused@3"]),
    Case::source("S-REG-027", "pinning that fails", &["CON-30", "CON-33"], fails)
        .text(
            "What a destination answers; the source's host cannot pin its second RAM block.",
            "The end of the migration, with nothing left registered; the guest stays the source's.",
        )
        .pin_all()
        .faults(&["source-registration-refused@2"]),
    Case::source("S-REG-028", "a foreign key", &["RND-5", "ERR-2"], |play| {
        misleads(play, |result| RegisterResult { rkey: !result.rkey, ..result })
    })
    .text(
        "A result with a key that was never given out: a source cannot know.",
        "The end of the migration once its write has been refused; the guest stays the source's.",
    )
    .misleads(),
    Case::source("S-REG-029", "a foreign address", &["RND-5", "ERR-2"], |play| {
        misleads(play, |result| RegisterResult {
            host_address: result.host_address ^ 1 << 46,
            ..result
        })
    })
    .text(
        "A result with an address at which nothing is registered: a source cannot know.",
        "The end of the migration once its write has been refused; the guest stays the source's.",
    )
    .misleads(),
];

fn encoded(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_to_the_end(&mut asked)?;
    for Message { header, payload } in of_kind(&asked, Kind::RegisterRequest) {
        let count = usize::try_from(header.repeat).unwrap_or(usize::MAX);
        let (bytes, wanted) = (payload.len(), count.saturating_mul(24));
        let says = format!("{bytes} bytes for {count} requests");
        play.check(count > 0 && bytes == wanted, "REG-1", says);
        let padded = payload.chunks_exact(24).all(|request| request[12..16] == [0; 4]);
        play.check(padded, "REG-1", "the padding of a request is not 0");
    }
    Ok(())
}

fn of_kind(asked: &Asked, kind: Kind) -> Vec<Message> {
    asked.messages.iter().filter(|message| message.kind() == kind).cloned().collect()
}

fn waits_for_key(play: &mut Play<'_>) -> Result<(), Stop> {
    let (mut asked, message) = play.reach_command(Kind::RegisterRequest)?;
    play.expect_silence(Duration::from_secs(1), "CTL-20");
    for command in message.commands() {
        let Command::RegisterRequest(RegisterRequest { block, .. }) = command else { continue };
        let Some(region) = asked.regions.get(usize::try_from(block).unwrap_or(usize::MAX)) else {
            return Err(breach("WRITE-1", "it asks for a RAM block that does not exist"));
        };
        let (_, zero) = play.ram(region.block, 0, region.length)?;
        play.check_safety(zero, "REG-10", "it has written without a key");
    }
    play.serve(&mut asked, &message)?;
    play.serve_to_the_end(&mut asked)
}

fn asks_once(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_to_the_end(&mut asked)?;
    let mut seen = BTreeSet::new();
    for command in of_kind(&asked, Kind::RegisterRequest).iter().flat_map(Message::commands) {
        let Command::RegisterRequest(RegisterRequest { address, block, chunks }) = command else {
            continue;
        };
        let index = usize::try_from(block).unwrap_or(usize::MAX);
        let start = play.blocks().get(index).map_or(0, |block| block.offset);
        let first = address.saturating_sub(start) / CHUNK;
        for chunk in (first..=first.saturating_add(chunks)).take(1 << 20) {
            let says = format!("chunk {chunk} of block {block} is asked for again");
            play.check(seen.insert((block, chunk)), "REG-10", says);
        }
    }
    Ok(())
}

fn padding(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    while let Some(message) = play.take_command_unless_ended(&mut asked)? {
        if message.kind() != Kind::RegisterRequest {
            play.serve(&mut asked, &message)?;
            continue;
        }
        let results = play.results_for(&asked, &message)?;
        let mut bytes = Message::of_commands(Kind::RegisterResult, &results);
        for result in bytes.get_mut(16..).unwrap_or_default().chunks_exact_mut(16) {
            result[4..8].copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
        }
        play.send_bytes(bytes);
    }
    Ok(())
}

fn none_while_pinned(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    if !asked.pin_all {
        return Err(Stop::Unsupported { what: "pin-all".into() });
    }
    play.serve_to_the_end(&mut asked)?;
    for (kind, requirement) in
        [(Kind::RegisterRequest, "REG-20"), (Kind::UnregisterRequest, "REG-35")]
    {
        let none = of_kind(&asked, kind).is_empty();
        play.check(none, requirement, format!("it sends {kind} though all RAM is pinned"));
    }
    Ok(())
}

/// The result that the first request ought to get, after which the source waits for it.
fn first_result(play: &mut Play<'_>) -> Result<(Asked, RegisterResult), Stop> {
    let (asked, message) = play.reach_command(Kind::RegisterRequest)?;
    match play.results_for(&asked, &message)?.first() {
        Some(Command::RegisterResult(result)) => Ok((asked, *result)),
        _ => Err(breach("REG-1", "a REGISTER_REQUEST without a request")),
    }
}

fn rejects(
    play: &mut Play<'_>,
    requirement: &str,
    spoil: impl FnOnce(RegisterResult) -> RegisterResult,
) -> Result<(), Stop> {
    let (_, result) = first_result(play)?;
    play.send_commands(Kind::RegisterResult, &[Command::RegisterResult(spoil(result))]);
    play.expect_end(requirement)
}

fn wraps_by_a_byte(play: &mut Play<'_>) -> Result<(), Stop> {
    let (_, message) = play.reach_command(Kind::RegisterRequest)?;
    let Some(Command::RegisterRequest(request)) = message.commands().first().copied() else {
        return Err(breach("REG-1", "a REGISTER_REQUEST without a request"));
    };
    let length = play.destination_block(request.block).map_or(1, |block| block.length);
    let result = RegisterResult { rkey: 1, host_address: (length - 1).wrapping_neg() };
    play.send_commands(Kind::RegisterResult, &[Command::RegisterResult(result)]);
    play.expect_end("REG-23")
}

/// The first request is answered with a message that is made of its results.
fn rejects_message(
    play: &mut Play<'_>,
    requirement: &str,
    reply: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Result<(), Stop> {
    let (_, result) = first_result(play)?;
    let mut bytes = Vec::new();
    Command::RegisterResult(result).encode(&mut bytes);
    play.send_bytes(reply(&bytes));
    play.expect_end(requirement)
}

fn unasked(play: &mut Play<'_>) -> Result<(), Stop> {
    let (_, result) = first_result(play)?;
    let result = [Command::RegisterResult(result)];
    play.send_commands(Kind::RegisterResult, &result);
    play.send_commands(Kind::RegisterResult, &result);
    play.expect_end("CTL-26")
}

/// Serves a source whose own host fails.
fn fails(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    loop {
        let Some(message) = play.take_command_unless_ended(&mut asked)? else { return Ok(()) };
        match message.kind() {
            Kind::Error => return play.wait_for_end(),
            Kind::RegisterFinished if asked.rounds > 0 => {
                return Err(breach("CON-30", "it goes on without the memory"));
            }
            _ => play.serve(&mut asked, &message)?,
        }
    }
}

/// The first result is spoilt in a way that only the adapter can find out.
fn misleads(
    play: &mut Play<'_>,
    spoil: impl FnOnce(RegisterResult) -> RegisterResult,
) -> Result<(), Stop> {
    let (_, result) = first_result(play)?;
    play.send_commands(Kind::RegisterResult, &[Command::RegisterResult(spoil(result))]);
    play.expect_end("RND-5")
}
