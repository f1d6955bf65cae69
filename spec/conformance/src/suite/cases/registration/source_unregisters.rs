//! A source gives registrations back.

use core::time::Duration;

use crate::codec::{Command, Kind, UnregisterRequest};
use crate::suite::play::{Asked, CHUNK, ChunkKeys, Message, breach, different_ram};
use crate::suite::{Case, Play, Stop};

/// What a destination that breaks a rule is answered with.
const ENDS: &str = "The end of the migration; the guest stays the source's.";

pub(in super::super) const CASES: &[Case] = &[
    Case::source("S-REG-060", "how an unregister request is encoded", &["REG-5"], encoded)
        .text(
            "What a destination answers in a whole migration.",
            "Unregister requests of 24 bytes each, with padding and `chunks` of 0.",
        )
        .unregisters()
        .completes(),
    Case::source("S-REG-061", "a key that was given back", &["REG-34", "REG-10"], not_used_again)
        .text(
            "A key for each chunk, which is taken back when the source asks for that.",
            "No write with a key that was given back: the guest arrives whole.",
        )
        .unregisters()
        .completes()
        .after(|seen| different_ram(seen, "REG-34"))
        .quick(),
    Case::source("S-REG-062", "no write is in flight", &["REG-30"], nothing_in_flight)
        .text(
            "No answer to the first unregister request for a second, then the answer.",
            "The chunk's RAM does not change from the request on; the guest leaves.",
        )
        .unregisters()
        .completes(),
    Case::source("S-REG-063", "the `repeat` of UNREGISTER_FINISHED", &["CTL-9"], |play| {
        let (mut asked, _) = play.reach_command(Kind::UnregisterRequest)?;
        play.send_bytes(Message::encode(Kind::UnregisterFinished, 0xdead_beef, &[]));
        play.serve_to_the_end(&mut asked)
    })
    .text(
        "UNREGISTER_FINISHED whose `repeat` is not that of the request.",
        "The same as with the right one: the guest leaves.",
    )
    .unregisters()
    .completes(),
    Case::source("S-REG-064", "UNREGISTER_FINISHED with a payload", &["CTL-7"], |play| {
        answers(play, "CTL-7", &Message::encode(Kind::UnregisterFinished, 1, &[0; 24]))
    })
    .text("UNREGISTER_FINISHED with 24 bytes of payload.", ENDS)
    .unregisters(),
    Case::source("S-REG-065", "another reply to an unregister request", &["CTL-26"], |play| {
        answers(play, "CTL-26", &Message::encode(Kind::RegisterResult, 1, &[1; 16]))
    })
    .text("REGISTER_RESULT in answer to an unregister request.", ENDS)
    .unregisters(),
    Case::source("S-REG-066", "READY before UNREGISTER_FINISHED", &["CTL-24"], |play| {
        answers(play, "CTL-24", &Message::encode(Kind::Ready, 1, &[]))
    })
    .text("READY in answer to an unregister request.", ENDS)
    .unregisters(),
    Case::source("S-REG-067", "ERROR at an unregister request", &["CTL-31", "RND-5"], |play| {
        answers(play, "CTL-31", &Message::encode(Kind::Error, 1, &[]))
    })
    .text("ERROR in answer to an unregister request.", ENDS)
    .unregisters(),
    Case::source("S-REG-068", "no answer to an unregister request", &["ERR-2"], |play| {
        play.reach_command(Kind::UnregisterRequest)?;
        play.expect_end("ERR-2")
    })
    .text(
        "No answer to an unregister request.",
        "The end of the migration, once the source has waited long enough.",
    )
    .unregisters(),
    Case::source("S-REG-069", "disconnection at an unregister request", &["RND-5"], |play| {
        play.reach_command(Kind::UnregisterRequest)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection in place of UNREGISTER_FINISHED.", ENDS)
    .unregisters(),
    Case::source("S-REG-070", "memory that cannot be given back", &["CON-33"], fails)
        .text(
            "What a destination answers; the source's host cannot deregister a chunk at once.",
            "The end of the migration, or its success; nothing is left registered in either case.",
        )
        .unregisters()
        .faults(&["source-deregistration-failed@1"]),
];

fn encoded(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_to_the_end(&mut asked)?;
    let mut requests = asked.messages.iter().filter(|it| it.kind() == Kind::UnregisterRequest);
    let Some(Message { header, payload }) = requests.next() else {
        return Err(Stop::Unsupported { what: "a source that gives registrations back".into() });
    };
    let count = usize::try_from(header.repeat).unwrap_or(usize::MAX);
    let (bytes, wanted) = (payload.len(), count.saturating_mul(24));
    let says = format!("{bytes} bytes for {count} unregister requests");
    play.check(count > 0 && bytes == wanted, "REG-5", says);
    for request in payload.chunks_exact(24) {
        let says = format!("padding and `chunks` are {}", hex::encode(&request[12..]));
        play.check(request[12..] == [0; 12], "REG-5", says);
    }
    Ok(())
}

fn not_used_again(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_by_chunk_to_the_end(&mut asked, &mut ChunkKeys::default())?;
    play.look_at_regions(&asked.regions)
}

fn nothing_in_flight(play: &mut Play<'_>) -> Result<(), Stop> {
    let (mut asked, message) = play.reach_command(Kind::UnregisterRequest)?;
    let Some(Command::UnregisterRequest(request)) = message.commands().first().copied() else {
        return Err(breach("REG-5", "an UNREGISTER_REQUEST without a request"));
    };
    let before = chunk_of(play, &asked, request)?;
    play.expect_silence(Duration::from_secs(1), "CTL-20");
    let after = chunk_of(play, &asked, request)?;
    play.check_safety(before == after, "REG-30", "a write was in flight behind the request");
    play.serve(&mut asked, &message)?;
    play.serve_to_the_end(&mut asked)
}

/// The digest of a chunk on the suite's side.
fn chunk_of(
    play: &mut Play<'_>,
    asked: &Asked,
    UnregisterRequest { chunk, block }: UnregisterRequest,
) -> Result<String, Stop> {
    let region = asked.regions.get(usize::try_from(block).unwrap_or(usize::MAX));
    let offset = chunk.saturating_mul(CHUNK);
    match region.filter(|region| offset < region.length) {
        Some(region) => {
            let length = CHUNK.min(region.length - offset);
            play.ram(region.block, offset, length).map(|(digest, _)| digest)
        }
        None => Err(breach("REG-5", format!("it gives back chunk {chunk} of block {block}"))),
    }
}

fn answers(play: &mut Play<'_>, requirement: &str, reply: &[u8]) -> Result<(), Stop> {
    play.reach_command(Kind::UnregisterRequest)?;
    play.send_bytes(reply.to_vec());
    play.expect_end(requirement)
}

fn fails(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    while let Some(message) = play.take_command_unless_ended(&mut asked)? {
        if message.kind() == Kind::Error {
            return play.wait_for_end();
        }
        play.serve(&mut asked, &message)?;
    }
    Ok(())
}
