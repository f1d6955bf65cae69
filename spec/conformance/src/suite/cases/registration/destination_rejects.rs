//! A destination rejects what it must not register.

use super::register_one;
use crate::codec::{Command, Kind, RegisterRequest};
use crate::suite::play::{CHUNK, Message};
use crate::suite::{Case, Play, Stop};

/// What a source that breaks a rule is answered with.
const ENDS: &str = "The end of the migration, and no result.";

pub(in super::super) const CASES: &[Case] = &[
    Case::destination("D-REG-002", "a RAM block that does not exist", &["REG-11"], |play| {
        rejects(play, "REG-11", |play| RegisterRequest { block: blocks(play), ..anywhere(play) })
    })
    .text("A request for a chunk of a RAM block past the last.", ENDS)
    .quick()
    .dangerous(),
    Case::destination("D-REG-030", "the largest index of a RAM block", &["REG-11"], |play| {
        rejects(play, "REG-11", |play| RegisterRequest { block: u32::MAX, ..anywhere(play) })
    })
    .text("A request for a chunk of RAM block 4294967295.", ENDS)
    .dangerous(),
    Case::destination("D-REG-031", "an address at the end of a RAM block", &["REG-12"], |play| {
        rejects(play, "REG-12", |play| play.request_for(0, length(play), 0))
    })
    .text("A request whose address is the first behind the first RAM block.", ENDS)
    .quick()
    .dangerous(),
    Case::destination("D-REG-032", "an address before a RAM block", &["REG-12"], |play| {
        rejects(play, "REG-12", |play| {
            let last = blocks(play).saturating_sub(1);
            let address = play.ram_address(last, 0).wrapping_sub(1);
            RegisterRequest { address, block: last, chunks: 0 }
        })
    })
    .text("A request whose address is the last in front of the last RAM block.", ENDS)
    .dangerous(),
    Case::destination("D-REG-033", "the largest address", &["REG-12"], |play| {
        rejects(play, "REG-12", |_| RegisterRequest { address: u64::MAX, block: 0, chunks: 0 })
    })
    .text("A request whose address is 2^64 - 1.", ENDS)
    .dangerous(),
    Case::destination("D-REG-034", "one chunk too many", &["REG-13"], |play| {
        rejects(play, "REG-13", |play| play.request_for(0, 0, chunks(play)))
    })
    .text("A request for all chunks of a RAM block and one more.", ENDS)
    .quick()
    .dangerous(),
    Case::destination("D-REG-035", "a chunk behind the last", &["REG-13"], |play| {
        rejects(play, "REG-13", |play| play.request_for(0, length(play) - 1, 1))
    })
    .text("A request for the last chunk of a RAM block and one more.", ENDS)
    .dangerous(),
    Case::destination("D-REG-036", "the largest number of chunks", &["REG-13"], |play| {
        rejects(play, "REG-13", |play| play.request_for(0, 0, u64::MAX))
    })
    .text("A request for 2^64 - 1 further chunks: one more is no number.", ENDS)
    .dangerous(),
    Case::destination("D-REG-037", "chunks of more than 2^64 bytes", &["REG-13"], |play| {
        rejects(play, "REG-13", |play| play.request_for(0, 0, 1 << 44))
    })
    .text("A request for 2^44 further chunks: their bytes are no number.", ENDS)
    .dangerous(),
    Case::destination("D-REG-038", "a registered chunk and another", &["REG-21"], |play| {
        overlaps(play, (0, 0), (0, 1))
    })
    .text("A request for the first chunk, and then one for the first two.", ENDS),
    Case::destination("D-REG-039", "a part of a span and another chunk", &["REG-21"], |play| {
        overlaps(play, (0, 1), (CHUNK, 1))
    })
    .text("A request for the first two chunks, and then one for the second and the third.", ENDS),
    Case::destination("D-REG-040", "a span around a registered chunk", &["REG-21"], |play| {
        overlaps(play, (CHUNK, 0), (0, 2))
    })
    .text("A request for the second chunk, and then one for the first three.", ENDS),
    Case::destination("D-REG-041", "one bad request of several", &["REG-12", "CON-33"], |play| {
        play.reach_round(0)?;
        let bad = play.request_for(0, length(play), 0);
        let requests = [anywhere(play), bad, play.request_for(0, CHUNK, 0)];
        play.send_commands(Kind::RegisterRequest, &requests.map(Command::RegisterRequest));
        play.expect_end("REG-12")
    })
    .text(
        "Three requests in a message, of which the second has an address outside its block.",
        "The end of the migration, no result, and nothing left registered.",
    )
    .dangerous(),
    Case::destination("D-REG-042", "registering where all RAM is pinned", &["REG-20"], |play| {
        play.reach_pinned_round()?;
        let request = Command::RegisterRequest(anywhere(play));
        play.send_commands(Kind::RegisterRequest, &[request]);
        play.expect_end("REG-20")
    })
    .text("A request for a chunk in pin-all mode.", ENDS)
    .pin_all()
    .quick(),
    Case::destination("D-REG-043", "registering before the exchange", &["REG-22"], |play| {
        play.reach_set_up(0)?;
        let request = RegisterRequest { address: 0, block: 0, chunks: 0 };
        play.send_commands(Kind::RegisterRequest, &[Command::RegisterRequest(request)]);
        play.expect_end("REG-22")
    })
    .text("A request behind the first hook word, in place of RAM_BLOCKS_REQUEST.", ENDS)
    .quick()
    .dangerous(),
    Case::destination("D-REG-044", "a request before the stream", &["REG-22"], |play| {
        play.reach_connected(0)?;
        let request = RegisterRequest { address: 0, block: 0, chunks: 0 };
        play.send_commands(Kind::RegisterRequest, &[Command::RegisterRequest(request)]);
        play.expect_end("REG-22")
    })
    .text("A request as the first message of the connection.", ENDS)
    .dangerous(),
    Case::destination("D-REG-045", "a request that is cut short", &["CTL-11", "REG-1"], |play| {
        rejects_payload(play, 1, |payload| payload.truncate(23))
    })
    .text("A request of 23 bytes, with a header that says so.", ENDS),
    Case::destination("D-REG-046", "a request with a byte more", &["CTL-11", "REG-1"], |play| {
        rejects_payload(play, 1, |payload| payload.push(0))
    })
    .text("A request of 25 bytes, with a header that says so.", ENDS),
    Case::destination("D-REG-047", "a message without a request", &["CTL-11"], |play| {
        rejects_payload(play, 1, Vec::clear)
    })
    .text("A REGISTER_REQUEST without payload whose `repeat` is 1.", ENDS)
    .dangerous(),
    Case::destination("D-REG-048", "no requests at all", &["CTL-10"], |play| {
        rejects_payload(play, 0, Vec::clear)
    })
    .text("A REGISTER_REQUEST without payload whose `repeat` is 0.", ENDS)
    .dangerous(),
    Case::destination("D-REG-049", "more requests than `repeat`", &["CTL-11"], |play| {
        rejects_payload(play, 1, |payload| payload.extend_from_within(..))
    })
    .text("Two requests in a message whose `repeat` is 1.", ENDS),
    Case::destination("D-REG-050", "fewer requests than `repeat`", &["CTL-11"], |play| {
        rejects_payload(play, 2, |_| {})
    })
    .text("One request in a message whose `repeat` is 2.", ENDS)
    .dangerous(),
    Case::destination("D-REG-051", "4097 requests in a message", &["CTL-10", "LIM-2"], |play| {
        rejects_payload(play, 4097, |payload| *payload = payload.repeat(4097))
    })
    .text("4097 requests in a message whose `repeat` is 4097.", ENDS)
    .dangerous(),
];

/// The number of RAM blocks: the first index that does not exist.
fn blocks(play: &Play<'_>) -> u32 {
    u32::try_from(play.blocks().len()).unwrap_or(u32::MAX)
}

/// Bytes of the first RAM block.
fn length(play: &Play<'_>) -> u64 {
    play.destination_block(0).map_or(0, |block| block.length)
}

/// Chunks of the first RAM block.
fn chunks(play: &Play<'_>) -> u64 {
    length(play).div_ceil(CHUNK)
}

/// A request that has nothing wrong.
fn anywhere(play: &Play<'_>) -> RegisterRequest {
    play.request_for(0, 0, 0)
}

fn rejects(
    play: &mut Play<'_>,
    requirement: &str,
    request: impl FnOnce(&Play<'_>) -> RegisterRequest,
) -> Result<(), Stop> {
    play.reach_round(0)?;
    let request = Command::RegisterRequest(request(play));
    play.send_commands(Kind::RegisterRequest, &[request]);
    play.expect_end(requirement)
}

/// `first` is registered, and `second` overlaps it: offsets and further chunks.
fn overlaps(play: &mut Play<'_>, first: (u64, u64), second: (u64, u64)) -> Result<(), Stop> {
    play.reach_round(0)?;
    play.first_block(3)?;
    register_one(play, (0, first.0, first.1))?;
    let request = Command::RegisterRequest(play.request_for(0, second.0, second.1));
    play.send_commands(Kind::RegisterRequest, &[request]);
    play.expect_end("REG-21")
}

fn rejects_payload(
    play: &mut Play<'_>,
    repeat: u32,
    spoil: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Stop> {
    play.reach_round(0)?;
    let mut payload = Vec::new();
    Command::RegisterRequest(anywhere(play)).encode(&mut payload);
    spoil(&mut payload);
    play.send_bytes(Message::encode(Kind::RegisterRequest, repeat, &payload));
    play.expect_end(if (1..=4096).contains(&repeat) { "CTL-11" } else { "CTL-10" })
}
