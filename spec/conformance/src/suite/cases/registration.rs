//! Chapter 5: registration.

use crate::codec::{Command, Kind, RegisterRequest};
use crate::suite::{Case, Play, Stop};

pub(super) const CASES: &[Case] = &[
    Case::destination("D-REG-001", "one chunk is registered", &["REG-16", "REG-14"], one_chunk)
        .text(
            "A request for the first chunk of the first RAM block.",
            "One result with a key that is not 0 and the address of the block; a write with it.",
        )
        .quick(),
    Case::destination("D-REG-002", "a RAM block that does not exist", &["REG-11"], no_such_block)
        .text("A request for a chunk of a RAM block past the last.", "The end of the migration."),
];

fn one_chunk(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let request = play.request_for(0, 0, 0);
    let results = play.register(&[request])?;
    let Some(result) = results.first() else { return Ok(()) };
    play.check(result.rkey != 0, "REG-18", "the key is 0");
    let address = play.destination_block(0).map(|block| block.remote_address);
    play.check(Some(result.host_address) == address, "REG-17", "the address is not the block's");
    let from = play.writable(1 << 20)?;
    let written = play.write(&from, 1 << 20, result.host_address, result.rkey)?;
    play.check(written.is_ok(), "REG-14", "the chunk cannot be written with its key");
    Ok(())
}

fn no_such_block(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let block = u32::try_from(play.blocks().len()).unwrap_or(u32::MAX);
    let request = RegisterRequest { address: 0, block, chunks: 0 };
    play.send_commands(Kind::RegisterRequest, &[Command::RegisterRequest(request)]);
    play.expect_end("REG-11")
}
