//! A destination takes back what it has registered.

use super::{register_one, write_against, write_with};
use crate::codec::{Command, Kind, UnregisterRequest};
use crate::suite::play::{CHUNK, Message};
use crate::suite::{Case, Play, Stop};

/// What a source that breaks a rule is answered with.
const ENDS: &str = "The end of the migration, and no UNREGISTER_FINISHED.";

/// The first chunk of the first RAM block.
const FIRST: UnregisterRequest = UnregisterRequest { chunk: 0, block: 0 };

pub(in super::super) const CASES: &[Case] = &[
    Case::destination("D-REG-060", "a chunk is given back", &["REG-32", "REG-33"], |play| {
        play.reach_round(0)?;
        let result = register_one(play, (0, 0, 0))?;
        write_with(play, result, (0, 4096), "REG-14")?;
        give_back(play, FIRST)?;
        write_against(play, result, (0, 4096), "REG-32")
    })
    .text(
        "A request to unregister a chunk that is registered, and a write with its key afterwards.",
        "UNREGISTER_FINISHED without payload and with a `repeat` of 1; the write fails.",
    )
    .quick(),
    Case::destination("D-REG-061", "a span is given back whole", &["REG-32"], |play| {
        play.reach_round(0)?;
        play.first_block(2)?;
        let result = register_one(play, (0, 0, 1))?;
        give_back(play, FIRST)?;
        write_against(play, result, (CHUNK, 4096), "REG-32")
    })
    .text(
        "A request to unregister the first chunk of a span of two, and a write into the second.",
        "UNREGISTER_FINISHED; the write fails.",
    ),
    Case::destination("D-REG-062", "one chunk of two is given back", &["REG-32", "REG-14"], |play| {
        play.reach_round(0)?;
        play.first_block(2)?;
        let first = register_one(play, (0, 0, 0))?;
        let second = register_one(play, (0, CHUNK, 0))?;
        give_back(play, FIRST)?;
        write_with(play, second, (CHUNK, 4096), "REG-14")?;
        write_against(play, first, (0, 4096), "REG-32")
    })
    .text(
        "Two chunks registered apart, a request to unregister the first, and writes into both.",
        "UNREGISTER_FINISHED; the write into the second arrives, and the one into the first fails.",
    ),
    Case::destination("D-REG-063", "several chunks are given back", &["REG-33", "REG-32"], |play| {
        play.reach_round(0)?;
        play.first_block(2)?;
        register_one(play, (0, 0, 0))?;
        let second_key = register_one(play, (0, CHUNK, 0))?;
        let second = UnregisterRequest { chunk: 1, ..FIRST };
        finished(play, &[FIRST, second])?;
        write_against(play, second_key, (CHUNK, 4096), "REG-32")
    })
    .text(
        "Two requests to unregister a chunk in one message, and a write into the second chunk.",
        "One UNREGISTER_FINISHED whose `repeat` is 2; the write fails.",
    ),
    Case::destination("D-REG-064", "a chunk is registered again", &["REG-14", "REG-32"], |play| {
        play.reach_round(0)?;
        register_one(play, (0, 0, 0))?;
        give_back(play, FIRST)?;
        let result = register_one(play, (0, 0, 0))?;
        write_with(play, result, (0, 4096), "REG-14")
    })
    .text(
        "A chunk registered, given back, and registered again, and a write into it.",
        "Results as for a chunk that was never registered; the write arrives.",
    ),
    Case::destination("D-REG-065", "given back, then in a span", &["REG-14", "REG-32"], |play| {
        play.reach_round(0)?;
        play.first_block(2)?;
        register_one(play, (0, 0, 0))?;
        give_back(play, FIRST)?;
        let result = register_one(play, (0, 0, 1))?;
        write_with(play, result, (CHUNK - 1, 2), "REG-14")
    })
    .text(
        "A chunk registered and given back, then a span of it and the next, and a write across both.",
        "A result for the span; the write arrives.",
    ),
    Case::destination("D-REG-066", "fields of an unregister request that nobody reads", &["REG-36", "REG-2"], |play| {
        play.reach_round(0)?;
        register_one(play, (0, 0, 0))?;
        let mut payload = Vec::new();
        Command::UnregisterRequest(FIRST).encode(&mut payload);
        payload[12..24].fill(0xa5);
        play.send(Kind::UnregisterRequest, &payload);
        play.expect(Kind::UnregisterFinished, "REG-36")?;
        play.take_ready()
    })
    .text(
        "A request to unregister a chunk whose padding and `chunks` are not 0.",
        "UNREGISTER_FINISHED, as if they were 0.",
    ),
    Case::destination("D-REG-067", "a chunk that is not registered", &["REG-31"], |play| {
        play.reach_round(0)?;
        rejects(play, &[FIRST], "REG-31")
    })
    .text("A request to unregister a chunk that was never registered.", ENDS)
    .quick()
    .dangerous(),
    Case::destination("D-REG-068", "a chunk that was given back before", &["REG-31"], |play| {
        play.reach_round(0)?;
        register_one(play, (0, 0, 0))?;
        give_back(play, FIRST)?;
        rejects(play, &[FIRST], "REG-31")
    })
    .text("A request to unregister a chunk for the second time.", ENDS)
    .dangerous(),
    Case::destination("D-REG-069", "the middle of a span", &["REG-31"], |play| {
        play.reach_round(0)?;
        play.first_block(2)?;
        register_one(play, (0, 0, 1))?;
        rejects(play, &[UnregisterRequest { chunk: 1, ..FIRST }], "REG-31")
    })
    .text("A request to unregister the second chunk of a span.", ENDS)
    .dangerous(),
    Case::destination("D-REG-070", "a chunk twice in a message", &["REG-31"], |play| {
        play.reach_round(0)?;
        register_one(play, (0, 0, 0))?;
        rejects(play, &[FIRST, FIRST], "REG-31")
    })
    .text("Two requests to unregister the same chunk in one message.", ENDS)
    .dangerous(),
    Case::destination("D-REG-071", "a chunk behind the last", &["REG-31"], |play| {
        play.reach_round(0)?;
        let chunk = play.first_block(1)?.length.div_ceil(CHUNK);
        rejects(play, &[UnregisterRequest { chunk, ..FIRST }], "REG-31")
    })
    .text("A request to unregister the first chunk behind a RAM block.", ENDS)
    .dangerous(),
    Case::destination("D-REG-072", "the largest number of a chunk", &["REG-31"], |play| {
        play.reach_round(0)?;
        rejects(play, &[UnregisterRequest { chunk: u64::MAX, ..FIRST }], "REG-31")
    })
    .text("A request to unregister chunk 2^64 - 1.", ENDS)
    .dangerous(),
    Case::destination("D-REG-073", "an address in place of a chunk", &["REG-31"], |play| {
        play.reach_round(0)?;
        play.first_block(2)?;
        register_one(play, (0, CHUNK, 0))?;
        let chunk = play.ram_address(0, CHUNK);
        rejects(play, &[UnregisterRequest { chunk, ..FIRST }], "REG-31")
    })
    .text("A request to unregister the second chunk that names it by its RAM address.", ENDS)
    .dangerous(),
    Case::destination("D-REG-074", "unregistering in no RAM block", &["REG-11"], |play| {
        play.reach_round(0)?;
        let block = u32::try_from(play.blocks().len()).unwrap_or(u32::MAX);
        rejects(play, &[UnregisterRequest { block, ..FIRST }], "REG-11")
    })
    .text("A request to unregister a chunk of a RAM block past the last.", ENDS)
    .dangerous(),
    Case::destination("D-REG-075", "unregistering where all RAM is pinned", &["REG-35"], |play| {
        play.reach_pinned_round()?;
        rejects(play, &[FIRST], "REG-35")
    })
    .text("A request to unregister a chunk in pin-all mode.", ENDS)
    .pin_all()
    .quick()
    .dangerous(),
    Case::destination("D-REG-076", "unregistering before the exchange", &["REG-22"], |play| {
        play.reach_set_up(0)?;
        rejects(play, &[FIRST], "REG-22")
    })
    .text("A request to unregister behind the first hook word, in place of RAM_BLOCKS_REQUEST.", ENDS)
    .dangerous(),
    Case::destination("D-REG-077", "an unregister request cut short", &["CTL-11"], |play| {
        rejects_payload(play, 1, |payload| payload.truncate(23))
    })
    .text("A request to unregister of 23 bytes, with a header that says so.", ENDS),
    Case::destination("D-REG-078", "an unregister request with a byte more", &["CTL-11"], |play| {
        rejects_payload(play, 1, |payload| payload.push(0))
    })
    .text("A request to unregister of 25 bytes, with a header that says so.", ENDS),
    Case::destination("D-REG-079", "unregistering nothing", &["CTL-10"], |play| {
        rejects_payload(play, 0, Vec::clear)
    })
    .text("An UNREGISTER_REQUEST without payload whose `repeat` is 0.", ENDS)
    .dangerous(),
    Case::destination("D-REG-080", "4097 unregister requests", &["CTL-10", "LIM-2"], |play| {
        rejects_payload(play, 4097, |payload| *payload = payload.repeat(4097))
    })
    .text("4097 requests to unregister in a message whose `repeat` is 4097.", ENDS)
    .dangerous(),
    Case::destination("D-REG-081", "memory that cannot be given back", &["REG-32", "CON-33"], |play| {
        play.reach_round(0)?;
        register_one(play, (0, 0, 0))?;
        play.send_commands(Kind::UnregisterRequest, &[Command::UnregisterRequest(FIRST)]);
        play.expect_end("REG-32")
    })
    .text(
        "A request to unregister a chunk that the destination's host cannot deregister at once.",
        "No UNREGISTER_FINISHED; the end of the migration, with nothing left registered.",
    )
    .faults(&["destination-deregistration-failed@1"]),
    Case::destination("D-REG-082", "disconnection at an unregister request", &["RND-11"], |play| {
        ask(play)?;
        play.disconnect();
        Ok(())
    })
    .text(
        "A request to unregister a chunk, and the end of the connection before its answer.",
        "The migration has failed, and nothing is left registered.",
    ),
    Case::destination("D-REG-083", "ERROR at an unregister request", &["CTL-31"], |play| {
        ask(play)?;
        play.send(Kind::Error, &[]);
        play.wait_for_end()
    })
    .text(
        "A request to unregister a chunk, and ERROR without waiting for its answer.",
        "The end of the migration, with nothing left registered.",
    ),
];

/// Registers the first chunk and asks for its end.
fn ask(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    register_one(play, (0, 0, 0))?;
    play.send_commands(Kind::UnregisterRequest, &[Command::UnregisterRequest(FIRST)]);
    Ok(())
}

fn give_back(play: &mut Play<'_>, request: UnregisterRequest) -> Result<(), Stop> {
    finished(play, &[request])
}

/// Gives regions back, and takes the answer and the READY after it.
fn finished(play: &mut Play<'_>, requests: &[UnregisterRequest]) -> Result<(), Stop> {
    let commands: Vec<_> = requests.iter().copied().map(Command::UnregisterRequest).collect();
    play.send_commands(Kind::UnregisterRequest, &commands);
    let Message { header, payload } = play.expect(Kind::UnregisterFinished, "REG-32")?;
    let same = usize::try_from(header.repeat) == Ok(requests.len());
    let says = format!("`repeat` is {} for {} requests", header.repeat, requests.len());
    play.check(same, "REG-33", says);
    play.check(payload.is_empty(), "CTL-1", "UNREGISTER_FINISHED has a payload");
    play.take_ready()
}

fn rejects(
    play: &mut Play<'_>,
    requests: &[UnregisterRequest],
    requirement: &str,
) -> Result<(), Stop> {
    let commands: Vec<_> = requests.iter().copied().map(Command::UnregisterRequest).collect();
    play.send_commands(Kind::UnregisterRequest, &commands);
    play.expect_end(requirement)
}

fn rejects_payload(
    play: &mut Play<'_>,
    repeat: u32,
    spoil: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Stop> {
    play.reach_round(0)?;
    register_one(play, (0, 0, 0))?;
    let mut payload = Vec::new();
    Command::UnregisterRequest(FIRST).encode(&mut payload);
    spoil(&mut payload);
    play.send_bytes(Message::encode(Kind::UnregisterRequest, repeat, &payload));
    play.expect_end(if (1..=4096).contains(&repeat) { "CTL-11" } else { "CTL-10" })
}
