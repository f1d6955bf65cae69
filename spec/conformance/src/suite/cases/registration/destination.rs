//! A destination registers what it is asked for.

use super::{register_one, write_against, write_with};
use crate::codec::{Command, Kind, RegisterRequest, RegisterResult};
use crate::suite::play::{CHUNK, Message, breach};
use crate::suite::{Case, Play, Stop};

pub(in super::super) const CASES: &[Case] = &[
    Case::destination("D-REG-001", "one chunk is registered", &["REG-16", "REG-14"], one_chunk)
        .text(
            "A request for the first chunk of the first RAM block.",
            "One result with a key that is not 0 and the address of the block; a write with it.",
        )
        .quick(),
    Case::destination(
        "D-REG-003",
        "an address in the middle of a chunk",
        &["REG-14", "REG-17"],
        middle_of_a_chunk,
    )
    .text(
        "A request whose address is in the middle of a chunk, and a write of the whole chunk.",
        "A key that is good for the whole chunk, and the address of the block, not of the chunk.",
    ),
    Case::destination("D-REG-004", "the last byte of a RAM block", &["REG-14"], last_byte).text(
        "A request for the last byte of the first RAM block, whose last chunk may be short.",
        "A key that is good for the last chunk up to the end of the block.",
    ),
    Case::destination("D-REG-005", "the key ends with its chunk", &["REG-14"], key_ends).text(
        "A request for one chunk, and a write that ends one byte past it.",
        "The write fails.",
    ),
    Case::destination("D-REG-006", "the key begins with its chunk", &["REG-14"], key_begins).text(
        "A request for the second chunk, and a write that begins one byte before it.",
        "The write fails.",
    ),
    Case::destination("D-REG-007", "a span of two chunks", &["REG-14", "REG-16"], span)
        .text(
            "One request for the first chunk and one more, and writes into both.",
            "One result, whose key is good for both chunks.",
        )
        .quick(),
    Case::destination(
        "D-REG-008",
        "a span of a whole RAM block",
        &["REG-14", "REG-13"],
        whole_block,
    )
    .text(
        "A request for the first chunk and all that the block has behind it.",
        "One result, whose key is good up to the last byte of the block.",
    ),
    Case::destination(
        "D-REG-009",
        "a span from the middle of a chunk",
        &["REG-14"],
        span_from_middle,
    )
    .text(
        "A request for an address in the middle of the first chunk and one more chunk.",
        "A key that is good from the first byte of the first chunk on.",
    ),
    Case::destination("D-REG-010", "the padding of a request", &["REG-2"], padding)
        .text(
            "A request whose padding is not 0, as QEMU sends it.",
            "The same answer as without it.",
        )
        .quick(),
    Case::destination(
        "D-REG-011",
        "how a result is encoded",
        &["REG-3", "REG-18", "REG-17"],
        encoded,
    )
    .text(
        "A request for one chunk.",
        "A message of 16 bytes behind its header: key, padding of 0, address of the block.",
    )
    .quick(),
    Case::destination("D-REG-012", "the same chunk again", &["REG-15"], again).text(
        "The same request twice.",
        "The same key twice, which is good for the chunk after the second result.",
    ),
    Case::destination("D-REG-013", "a chunk of a span again", &["REG-15"], again_in_a_span).text(
        "A request for two chunks, and then one for the second of them.",
        "The key of the span for both.",
    ),
    Case::destination("D-REG-014", "several requests in a message", &["REG-16"], several)
        .text(
            "Two requests for chunks of two RAM blocks in one message, and a write with each key.",
            "Two results, in the order of the requests, in a message whose `repeat` is 2.",
        )
        .quick(),
    Case::destination(
        "D-REG-300",
        "the `repeat` of a result",
        &["REG-16", "CTL-11"],
        repeat_of_result,
    )
    .text(
        "Three requests for one chunk in one message.",
        "Three results in a message whose `repeat` is 3.",
    ),
    Case::destination(
        "D-REG-015",
        "4096 requests in a message",
        &["REG-16", "REG-15"],
        most_requests,
    )
    .text("4096 requests for the same chunk in one message.", "4096 results with one key.")
    .dangerous(),
    Case::destination("D-REG-016", "keys of two chunks", &["REG-14"], key_of_another).text(
        "Requests for the first two chunks, and a write into the first with the second's key.",
        "The write fails, unless both have one key.",
    ),
    Case::destination(
        "D-REG-017",
        "registering in the first round",
        &["REG-22"],
        in_the_first_round,
    )
    .text(
        "A request for a chunk directly after the exchange of RAM blocks.",
        "A result: RAM commands may follow in the first round.",
    ),
    Case::destination("D-REG-018", "a registration that fails", &["CON-30", "CON-33"], |play| {
        fails(play, &[(0, 0, 0)])
    })
    .text(
        "A request for a chunk that the destination's host cannot register.",
        "The end of the migration, and no result.",
    )
    .faults(&["destination-registration-refused@1"])
    .quick(),
    Case::destination(
        "D-REG-019",
        "one registration of several fails",
        &["CON-33", "CON-30"],
        |play| fails(play, &[(0, 0, 0), (0, CHUNK, 0), (1, 0, 0)]),
    )
    .text(
        "Three requests in a message, of which the host cannot register the second.",
        "The end of the migration, with nothing left registered.",
    )
    .faults(&["destination-registration-refused@2"]),
    Case::destination("D-REG-020", "disconnection at a request", &["RND-11", "CON-33"], leave)
        .text(
            "A request for a chunk, and the end of the connection before its result.",
            "The migration has failed, and nothing is left registered.",
        ),
    Case::destination("D-REG-021", "ERROR at a request", &["CTL-31", "CON-33"], fail).text(
        "A request for a chunk, and ERROR without waiting for its result.",
        "The end of the migration, with nothing left registered.",
    ),
    Case::destination("D-REG-022", "silence after a result", &["ERR-2", "ERR-1"], silence).text(
        "A request for a chunk, and nothing after its result.",
        "The end of the migration, once the destination has waited long enough.",
    ),
];

fn one_chunk(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let request = play.request_for(0, 0, 0);
    let results = play.register(&[request])?;
    let Some(result) = results.first() else { return Ok(()) };
    play.check(result.rkey != 0, "REG-18", "the key is 0");
    let address = play.destination_block(0).map(|block| block.remote_address);
    play.check(Some(result.host_address) == address, "REG-17", "the address is not the block's");
    let length = play.first_block(1)?.length.min(CHUNK);
    write_with(play, *result, (0, length), "REG-14")
}

fn middle_of_a_chunk(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let block = play.first_block(2)?;
    let end = block.length.min(2 * CHUNK);
    let result = register_one(play, (0, CHUNK + (end - CHUNK) / 2 + 1, 0))?;
    let is_block = result.host_address == block.remote_address;
    play.check(is_block, "REG-17", "the address is not the block's");
    write_with(play, result, (CHUNK, end - CHUNK), "REG-14")
}

fn last_byte(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let length = play.first_block(1)?.length;
    let start = (length - 1) / CHUNK * CHUNK;
    let result = register_one(play, (0, length - 1, 0))?;
    write_with(play, result, (start, length - start), "REG-14")
}

fn key_ends(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    play.first_block(2)?;
    let result = register_one(play, (0, 0, 0))?;
    write_with(play, result, (CHUNK - 1, 1), "REG-14")?;
    write_against(play, result, (CHUNK - 1, 2), "REG-14")
}

fn key_begins(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    play.first_block(2)?;
    let result = register_one(play, (0, CHUNK, 0))?;
    write_with(play, result, (CHUNK, 1), "REG-14")?;
    write_against(play, result, (CHUNK - 1, 2), "REG-14")
}

fn span(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    play.first_block(2)?;
    let result = register_one(play, (0, 0, 1))?;
    write_with(play, result, (0, CHUNK), "REG-14")?;
    write_with(play, result, (CHUNK, 4096), "REG-14")
}

fn whole_block(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let length = play.first_block(2)?.length;
    let result = register_one(play, (0, 0, (length - 1) / CHUNK))?;
    write_with(play, result, (0, 4096), "REG-14")?;
    write_with(play, result, (length - 4096, 4096), "REG-14")
}

fn span_from_middle(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let length = play.first_block(2)?.length.min(2 * CHUNK);
    let result = register_one(play, (0, CHUNK / 2, 1))?;
    write_with(play, result, (0, 1), "REG-14")?;
    write_with(play, result, (length - 1, 1), "REG-14")
}

fn padding(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let mut message = Vec::new();
    let request = Command::RegisterRequest(play.request_for(0, 0, 0));
    request.encode(&mut message);
    message[12..16].copy_from_slice(&[0x00, 0x00, 0x56, 0x7f]);
    play.send(Kind::RegisterRequest, &message);
    let reply = play.expect(Kind::RegisterResult, "REG-2")?;
    play.take_ready()?;
    let Some(Command::RegisterResult(result)) = reply.commands().first().copied() else {
        return Err(breach("REG-16", "a result without a key"));
    };
    write_with(play, result, (0, 4096), "REG-2")
}

fn encoded(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let request = Command::RegisterRequest(play.request_for(0, 0, 0));
    play.send_commands(Kind::RegisterRequest, &[request]);
    let Message { header, payload } = play.expect(Kind::RegisterResult, "REG-16")?;
    let says = format!("{} bytes of results for one request", payload.len());
    play.check(payload.len() == 16, "REG-3", says);
    play.check(header.repeat == 1, "REG-16", format!("`repeat` is {}", header.repeat));
    let padding = payload.get(4..8).unwrap_or_default();
    play.check(padding == [0; 4], "REG-3", format!("the padding is {}", hex::encode(padding)));
    let key = payload.get(..4).unwrap_or_default();
    play.check(key != [0; 4], "REG-18", "the key is 0");
    let address = play.destination_block(0).map(|block| block.remote_address.to_be_bytes());
    let is_block = payload.get(8..16) == address.as_ref().map(|address| &address[..]);
    play.check(is_block, "REG-17", "the address is not the block's");
    play.take_ready()
}

fn again(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let first = register_one(play, (0, 0, 0))?;
    let second = register_one(play, (0, 0, 0))?;
    play.check(first.rkey == second.rkey, "REG-15", "the second request has another key");
    write_with(play, first, (0, 4096), "REG-15")
}

fn again_in_a_span(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    play.first_block(2)?;
    let span = register_one(play, (0, 0, 1))?;
    let second = register_one(play, (0, CHUNK, 0))?;
    play.check(span.rkey == second.rkey, "REG-15", "the chunk has another key than its span");
    write_with(play, span, (CHUNK - 1, 2), "REG-15")
}

fn several(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let Some(other) = play.destination_block(1) else {
        return Err(Stop::Unsupported { what: "a guest with two RAM blocks".into() });
    };
    let first = play.destination_block(0).map(|block| block.remote_address);
    let requests = [play.request_for(0, 0, 0), play.request_for(1, 0, 0)];
    let results = play.register(&requests)?;
    let [one, two] = results[..] else { return Ok(()) };
    let in_order = Some(one.host_address) == first && two.host_address == other.remote_address;
    play.check(in_order, "REG-16", "the results are not in the order of the requests");
    write_with(play, one, (0, 4096), "REG-16")?;
    write_with(play, two, (0, 4096), "REG-16")
}

fn repeat_of_result(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let request = Command::RegisterRequest(play.request_for(0, 0, 0));
    play.send_commands(Kind::RegisterRequest, &[request; 3]);
    let reply = play.expect(Kind::RegisterResult, "REG-16")?;
    let (results, repeat) = (reply.commands().len(), reply.header.repeat);
    play.check(results == 3, "REG-16", format!("of 3 requests it answers {results}"));
    play.check(repeat == 3, "REG-16", format!("a `repeat` of {repeat} for 3 requests"));
    play.take_ready()
}

fn most_requests(play: &mut Play<'_>) -> Result<(), Stop> {
    const MOST: usize = 4096;
    play.reach_round(0)?;
    let requests = [play.request_for(0, 0, 0); MOST];
    let results = play.register(&requests)?;
    let Some(first) = results.first() else { return Ok(()) };
    let same = results.iter().all(|result| result == first);
    play.check(same, "REG-15", "the results differ");
    write_with(play, *first, (0, 4096), "REG-16")
}

fn key_of_another(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    play.first_block(2)?;
    let one = register_one(play, (0, 0, 0))?;
    let two = register_one(play, (0, CHUNK, 0))?;
    write_with(play, one, (0, 4096), "REG-14")?;
    write_with(play, two, (CHUNK, 4096), "REG-14")?;
    if one.rkey == two.rkey {
        return Ok(());
    }
    let wrong = RegisterResult { rkey: two.rkey, ..one };
    write_against(play, wrong, (0, 4096), "REG-14")
}

fn in_the_first_round(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_exchanged(0)?;
    let result = register_one(play, (0, 0, 0))?;
    write_with(play, result, (0, 4096), "REG-14")
}

fn fails(play: &mut Play<'_>, wanted: &[(u32, u64, u64)]) -> Result<(), Stop> {
    play.reach_round(0)?;
    let requests = wanted.iter().map(|(block, offset, further)| {
        Command::RegisterRequest(play.request_for(*block, *offset, *further))
    });
    let requests: Vec<_> = requests.collect();
    play.send_commands(Kind::RegisterRequest, &requests);
    play.expect_end("CON-30")
}

fn ask(play: &mut Play<'_>) -> Result<RegisterRequest, Stop> {
    play.reach_round(0)?;
    let request = play.request_for(0, 0, 0);
    play.send_commands(Kind::RegisterRequest, &[Command::RegisterRequest(request)]);
    Ok(request)
}

fn leave(play: &mut Play<'_>) -> Result<(), Stop> {
    ask(play)?;
    play.disconnect();
    Ok(())
}

fn fail(play: &mut Play<'_>) -> Result<(), Stop> {
    ask(play)?;
    play.send(Kind::Error, &[]);
    play.wait_for_end()
}

fn silence(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    register_one(play, (0, 0, 0))?;
    play.expect_end("ERR-2")
}
