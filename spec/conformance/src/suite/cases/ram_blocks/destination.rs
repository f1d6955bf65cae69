//! A destination says where its RAM blocks lie.

use super::super::errors::has_failed;
use super::super::stream::set_up::{Entry, SetUp};
use crate::codec::{Capabilities, Command, Kind, RamBlock, RegisterResult};
use crate::suite::play::{Message, breach};
use crate::suite::{Case, Play, Stop};

/// What is answered to a source that asks where it must not.
const ENDS: &str = "The end of the migration, and no RAM blocks.";
/// What is answered to a list that a destination need not be able to serve.
const ENDS_OR_ANSWERS: &str = "The RAM blocks as the stream has them, or the end of the migration.";

pub(in super::super) const CASES: &[Case] = &[
    Case::destination("D-BLK-001", "the exchange", &["BLK-11", "BLK-1", "BLK-17"], |play| {
        let blocks = exchange(play, 0)?;
        let keyless = blocks.iter().all(|block| block.rkey == 0);
        play.check(keyless, "BLK-17", "a RAM block has a key though none is pinned");
        Ok(())
    })
    .text(
        "RAM_BLOCKS_REQUEST behind the first hook word.",
        "32 bytes for each RAM block of the stream, with its length, no key, and a padding of 0.",
    )
    .quick(),
    Case::destination("D-BLK-002", "the exchange in pin-all mode", &["BLK-16", "BLK-11"], |play| {
        let blocks = exchange(play, Capabilities::PIN_ALL)?;
        writes_reach(play, &blocks)
    })
    .text(
        "RAM_BLOCKS_REQUEST, and writes of the first and the last byte of each RAM block.",
        "A key for each RAM block that is not 0 and that is good for all of it.",
    )
    .pin_all()
    .quick(),
    Case::destination("D-BLK-003", "RAM blocks keep to themselves", &["BLK-11"], |play| {
        let blocks = exchange(play, 0)?;
        let mut ranges: Vec<_> = blocks
            .iter()
            .map(|block| (block.remote_address, block.remote_address.wrapping_add(block.length)))
            .collect();
        ranges.sort_unstable();
        let apart = ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        play.check_safety(apart, "BLK-11", "two RAM blocks share memory");
        Ok(())
    })
    .text("RAM_BLOCKS_REQUEST.", "RAM blocks of which no two lie in the same memory."),
    Case::destination("D-BLK-004", "a key ends with its RAM block", &["BLK-16"], |play| {
        let blocks = exchange(play, Capabilities::PIN_ALL)?;
        writes_past(play, &blocks)
    })
    .text(
        "A write that ends one byte past the last RAM block, with the key of it.",
        "The write fails.",
    )
    .pin_all(),
    Case::destination("D-BLK-005", "RAM blocks in another order", &["BLK-11"], |play| {
        answers(play, |set_up| set_up.list.reverse())
    })
    .text(
        "A stream that names the RAM blocks of the guest from the last to the first.",
        "The RAM blocks in the order of the stream.",
    ),
    Case::destination("D-BLK-006", "one RAM block", &["BLK-11"], |play| {
        answers_or_ends(play, |set_up| keep_first(set_up, 1))
    })
    .text("A stream that names the first RAM block only.", ENDS_OR_ANSWERS),
    Case::destination("D-BLK-007", "many RAM blocks", &["BLK-11"], |play| {
        answers_or_ends(play, |set_up| many(set_up, 1000))
    })
    .text("A stream that names 1000 RAM blocks of a page.", ENDS_OR_ANSWERS),
    Case::destination("D-BLK-008", "a RAM block of one byte", &["BLK-11"], |play| {
        answers_or_ends(play, |set_up| {
            set_up.list = vec![named("one", 1), named("rest", 4095)];
            set_up.total = 4096 | 4;
        })
    })
    .text("A stream that names a RAM block of one byte and one of 4095.", ENDS_OR_ANSWERS),
    Case::destination("D-BLK-009", "a name of 255 bytes", &["BLK-11"], |play| {
        answers_or_ends(play, |set_up| set_up.list[0].name = vec![b'n'; 255])
    })
    .text("A stream whose first RAM block has the longest name there is.", ENDS_OR_ANSWERS)
    .dangerous(),
    Case::destination("D-BLK-010", "a name that is no text", &["BLK-11"], |play| {
        answers_or_ends(play, |set_up| set_up.list[0].name = vec![0, 0xff, b'%', b's', b'\n'])
    })
    .text("A stream whose first RAM block has a name with a zero byte and others.", ENDS_OR_ANSWERS)
    .dangerous(),
    Case::destination("D-BLK-011", "a RAM block longer than here", &["BLK-11"], |play| {
        answers_or_ends(play, |set_up| {
            set_up.list[0].length += 4096;
            set_up.total += 4096;
        })
    })
    .text("A stream whose first RAM block is a page longer than the guest's.", ENDS_OR_ANSWERS)
    .should(),
    Case::destination("D-BLK-012", "a RAM block shorter than here", &["BLK-11"], |play| {
        answers_or_ends(play, |set_up| {
            set_up.list[0].length -= 4096;
            set_up.total -= 4096;
        })
    })
    .text("A stream whose first RAM block is a page shorter than the guest's.", ENDS_OR_ANSWERS)
    .should(),
    Case::destination("D-BLK-013", "more RAM than any host has", &["BLK-11", "CON-30"], |play| {
        answers_or_ends(play, |set_up| {
            set_up.list = vec![named("pc.ram", 1 << 62)];
            set_up.total = 1 << 62 | 4;
        })
    })
    .text("A stream that names one RAM block of 4 EiB.", ENDS_OR_ANSWERS)
    .dangerous(),
    Case::destination("D-BLK-020", "asked twice in a round", &["BLK-12", "BLK-10"], |play| {
        play.reach_exchanged(0)?;
        asks_again(play)
    })
    .text("RAM_BLOCKS_REQUEST directly after the exchange.", ENDS)
    .quick(),
    Case::destination("D-BLK-021", "asked again between rounds", &["BLK-12"], |play| {
        play.reach_exchanged(0)?;
        play.finish_round()?;
        asks_again(play)
    })
    .text("RAM_BLOCKS_REQUEST behind the first round, without a hook word.", ENDS),
    Case::destination("D-BLK-022", "asked again in a later round", &["BLK-12"], |play| {
        play.reach_round(0)?;
        asks_again(play)
    })
    .text("RAM_BLOCKS_REQUEST behind the second hook word.", ENDS),
    Case::destination(
        "D-BLK-023",
        "asked again with RAM registered",
        &["BLK-12", "CON-33"],
        |play| {
            play.reach_round(0)?;
            play.register(&[play.request_for(0, 0, 0)])?;
            asks_again(play)
        },
    )
    .text("RAM_BLOCKS_REQUEST in a round in which a chunk was registered.", ENDS),
    Case::destination("D-BLK-024", "asked twice in pin-all mode", &["BLK-12", "CON-33"], |play| {
        play.reach_exchanged(Capabilities::PIN_ALL)?;
        asks_again(play)
    })
    .text("RAM_BLOCKS_REQUEST directly after the exchange, with all RAM pinned.", ENDS)
    .pin_all(),
    Case::destination(
        "D-BLK-025",
        "asked again before the answer",
        &["CTL-23", "BLK-12"],
        |play| {
            play.reach_set_up(0)?;
            play.send(Kind::RamBlocksRequest, &[]);
            play.send(Kind::RamBlocksRequest, &[]);
            play.expect_end_after("CTL-23", &[Kind::RamBlocksResult, Kind::Ready])
        },
    )
    .text("RAM_BLOCKS_REQUEST twice, without a READY between.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-BLK-026", "a round without the exchange", &["BLK-10"], |play| {
        play.reach_set_up(0)?;
        play.send(Kind::RegisterFinished, &[]);
        play.take_ready_unless_ended().map(drop)
    })
    .text(
        "REGISTER_FINISHED behind the first hook word, in place of RAM_BLOCKS_REQUEST.",
        "READY or the end of the migration: nothing is required of a destination.",
    )
    .observed(),
    Case::destination("D-BLK-030", "disconnection at the exchange", &["RND-11"], |play| {
        play.reach_set_up(0)?;
        play.send(Kind::RamBlocksRequest, &[]);
        play.disconnect();
        Ok(())
    })
    .text(
        "RAM_BLOCKS_REQUEST, and the end of the connection before the reply.",
        "The migration has failed.",
    )
    .after(has_failed),
    Case::destination("D-BLK-031", "ERROR at the exchange", &["CTL-31"], |play| {
        play.reach_set_up(0)?;
        play.send(Kind::RamBlocksRequest, &[]);
        play.send(Kind::Error, &[]);
        play.expect_end_after("CTL-31", &[Kind::RamBlocksResult, Kind::Ready])
    })
    .text(
        "RAM_BLOCKS_REQUEST, and ERROR without waiting for the reply.",
        "The end of the migration.",
    ),
    Case::destination("D-BLK-032", "ERROR while RAM is pinned", &["CTL-31", "CON-33"], |play| {
        play.reach_set_up(Capabilities::PIN_ALL)?;
        play.send(Kind::RamBlocksRequest, &[]);
        play.send(Kind::Error, &[]);
        play.expect_end_after("CTL-31", &[Kind::RamBlocksResult, Kind::Ready])
    })
    .text(
        "RAM_BLOCKS_REQUEST in pin-all mode, and ERROR without waiting for the reply.",
        "The end of the migration, with nothing left registered.",
    )
    .pin_all(),
    Case::destination("D-BLK-033", "pinning that fails", &["CON-30", "CON-33"], pinning_fails)
        .text(
            "RAM_BLOCKS_REQUEST in pin-all mode to a destination whose host cannot pin its RAM.",
            "The end of the migration, no RAM blocks, and nothing left registered.",
        )
        .pin_all()
        .faults(&["destination-registration-refused@1"])
        .quick(),
    Case::destination("D-BLK-034", "pinning that fails late", &["CON-33", "CON-30"], pinning_fails)
        .text(
            "The same where the host can pin the first RAM block and not the second.",
            "The end of the migration, no RAM blocks, and nothing left registered.",
        )
        .pin_all()
        .faults(&["destination-registration-refused@2"]),
    Case::destination("D-BLK-035", "pinning that takes long", &["BLK-16"], |play| {
        let blocks = exchange(play, Capabilities::PIN_ALL)?;
        writes_reach(play, &blocks)
    })
    .text(
        "RAM_BLOCKS_REQUEST in pin-all mode to a destination whose host is slow at the last block.",
        "Keys that are good for all of the RAM blocks when they come.",
    )
    .pin_all()
    .faults(&["destination-registration-slow@3"]),
    Case::destination("D-BLK-036", "pinning that never ends", &["ERR-1"], |play| {
        play.reach_set_up(Capabilities::PIN_ALL)?;
        play.send(Kind::RamBlocksRequest, &[]);
        play.expect_end("ERR-1")
    })
    .text(
        "RAM_BLOCKS_REQUEST in pin-all mode to a destination whose host never answers.",
        "The end of the migration, once the destination has waited long enough.",
    )
    .pin_all()
    .faults(&["destination-registration-stuck@1"]),
];

/// Everything up to the RAM blocks and the READY behind them, with a look at how they are encoded.
fn exchange(play: &mut Play<'_>, flags: u32) -> Result<Vec<RamBlock>, Stop> {
    let agreed = play.reach_set_up(flags)?;
    if agreed.flags != flags {
        return Err(Stop::Unsupported { what: "pin-all".into() });
    }
    let wanted: Vec<_> = play.guest().blocks.iter().map(|block| block.length).collect();
    play.send(Kind::RamBlocksRequest, &[]);
    let reply = play.expect(Kind::RamBlocksResult, "BLK-11")?;
    play.take_ready()?;
    let blocks = read_blocks(play, &reply, &wanted);
    for bytes in reply.payload.chunks_exact(RamBlock::BYTES) {
        let padding = bytes.get(28..).unwrap_or_default();
        play.check(padding == [0; 4], "BLK-1", format!("the padding is {}", hex::encode(padding)));
    }
    Ok(blocks)
}

/// The RAM blocks of a reply, after a look whether they are those of the stream.
fn read_blocks(play: &mut Play<'_>, reply: &Message, wanted: &[u64]) -> Vec<RamBlock> {
    let block = |command| match command {
        Command::RamBlock(block) => Some(block),
        _ => None,
    };
    let blocks: Vec<_> = reply.commands().into_iter().filter_map(block).collect();
    let got: Vec<_> = blocks.iter().map(|block| block.length).collect();
    if got.len() == wanted.len() {
        let differ = got.iter().zip(wanted).position(|(got, wanted)| got != wanted);
        let says = |index| format!("RAM block {index} has another length than in the stream");
        play.check(differ.is_none(), "BLK-11", differ.map(says).unwrap_or_default());
    } else {
        let says = format!("{} RAM blocks for the {} of the stream", got.len(), wanted.len());
        play.check(false, "BLK-11", says);
    }
    let bytes = reply.payload.len();
    let whole = bytes == blocks.len() * RamBlock::BYTES;
    play.check(whole, "BLK-1", format!("{bytes} bytes for {} RAM blocks", blocks.len()));
    for (index, block) in blocks.iter().enumerate() {
        let last = block.length.saturating_sub(1);
        let inside = block.remote_address.checked_add(last).is_some()
            && block.offset.checked_add(last).is_some();
        play.check(inside, "BLK-15", format!("RAM block {index} wraps around"));
    }
    blocks
}

/// The first and the last byte of each RAM block can be written with its key.
fn writes_reach(play: &mut Play<'_>, blocks: &[RamBlock]) -> Result<(), Stop> {
    let from = play.writable(1)?;
    for (index, block) in blocks.iter().enumerate() {
        play.check(block.rkey != 0, "BLK-16", format!("the key of RAM block {index} is 0"));
        for place in [0, block.length - 1] {
            let to = block.remote_address.wrapping_add(place);
            let written = play.write(&from, 1, to, block.rkey)?;
            let says = format!("byte {place:#x} of RAM block {index} cannot be written");
            play.check(written.is_ok(), "BLK-16", says);
        }
    }
    Ok(())
}

/// What lies behind the last RAM block cannot be written with its key.
fn writes_past(play: &mut Play<'_>, blocks: &[RamBlock]) -> Result<(), Stop> {
    let Some(block) = blocks.last() else {
        return Err(breach("BLK-11", "no RAM block"));
    };
    let result = RegisterResult { rkey: block.rkey, host_address: block.remote_address };
    let from = play.writable(2)?;
    let to = result.host_address.wrapping_add(block.length - 1);
    let written = play.write(&from, 2, to, result.rkey)?;
    play.check_safety(written.is_err(), "BLK-16", "the key is good for what lies behind the block");
    Ok(())
}

fn named(name: &str, length: u64) -> Entry {
    Entry { name: name.as_bytes().to_vec(), length, more: Vec::new() }
}

fn keep_first(set_up: &mut SetUp, blocks: usize) {
    set_up.list.truncate(blocks);
    set_up.total = set_up.list.iter().map(|entry| entry.length).sum::<u64>() | 4;
}

fn many(set_up: &mut SetUp, blocks: usize) {
    set_up.list = (0..blocks).map(|index| named(&format!("block{index}"), 4096)).collect();
    keep_first(set_up, blocks);
}

/// The lengths of a changed list.
fn lengths(set_up: &SetUp) -> Vec<u64> {
    set_up.list.iter().map(|entry| entry.length).collect()
}

fn answers(play: &mut Play<'_>, change: impl FnOnce(&mut SetUp)) -> Result<(), Stop> {
    let mut set_up = SetUp::of(play.guest())?;
    change(&mut set_up);
    play.reach_connected(0)?;
    play.stream(&set_up.bytes())?;
    play.send(Kind::RamBlocksRequest, &[]);
    let reply = play.expect(Kind::RamBlocksResult, "BLK-11")?;
    read_blocks(play, &reply, &lengths(&set_up));
    play.take_ready()
}

fn answers_or_ends(play: &mut Play<'_>, change: impl FnOnce(&mut SetUp)) -> Result<(), Stop> {
    let mut set_up = SetUp::of(play.guest())?;
    change(&mut set_up);
    play.reach_connected(0)?;
    if !play.stream_is_taken(&set_up.bytes())? {
        return Ok(());
    }
    play.send(Kind::RamBlocksRequest, &[]);
    let Some(reply) = play.take_message_unless_ended()? else { return Ok(()) };
    if reply.kind() != Kind::RamBlocksResult {
        return Err(breach("CTL-22", format!("{} instead of RAM_BLOCKS_RESULT", reply.kind())));
    }
    read_blocks(play, &reply, &lengths(&set_up));
    play.take_ready()
}

fn asks_again(play: &mut Play<'_>) -> Result<(), Stop> {
    play.send(Kind::RamBlocksRequest, &[]);
    play.expect_end_at_once("BLK-12")
}

fn pinning_fails(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_set_up(Capabilities::PIN_ALL)?;
    play.send(Kind::RamBlocksRequest, &[]);
    play.expect_end_at_once("CON-30")
}
