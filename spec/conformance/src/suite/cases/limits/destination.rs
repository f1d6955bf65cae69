//! What a destination takes at most, and what it sends.

use super::super::stream::set_up::{Entry, SetUp};
use crate::codec::{Command, Compress, Kind, RegisterResult, find_description};
use crate::suite::play::{CHUNK, breach};
use crate::suite::{Case, Play, Stop};

/// What is answered to what is past a limit.
const ENDS: &str = "The end of the migration, and no RAM blocks.";
/// What is answered at a limit by whoever need not have what is named.
const ENDS_OR_ANSWERS: &str = "The RAM blocks as the stream has them, or the end of the migration.";
/// The most RAM blocks whose descriptors fit a message.
const BLOCKS_MAX: usize = 16383;
/// How far before the hook word a list can start.
const LIST_BYTES_MAX: usize = 4_587_265;

pub(in super::super) const CASES: &[Case] = &[
    Case::destination("D-LIM-001", "the longest message", &["LIM-7"], |play| {
        play.reach_connected(0)?;
        // A stream that starts as one has to; what follows is any section's.
        let mut stream = SetUp::of(play.guest())?.magic;
        stream.resize(524_272, 0x51);
        play.send(Kind::QemuFile, &stream);
        play.expect_taken("LIM-7")?;
        play.take_ready_unless_ended().map(drop)
    })
    .text(
        "QEMU_FILE of 524272 stream bytes: a message of 524288.",
        "It finds a receive with room for it.",
    )
    .quick(),
    Case::destination("D-LIM-002", "the most RAM blocks", &["LIM-3", "LIM-1"], |play| {
        let set_up = with_blocks(play, BLOCKS_MAX, |index| format!("{index}").into_bytes())?;
        answers_or_ends(play, &set_up)
    })
    .text("A stream that names 16383 RAM blocks of a page.", ENDS_OR_ANSWERS)
    .dangerous(),
    Case::destination("D-LIM-003", "a RAM block too many", &["LIM-3"], |play| {
        let set_up = with_blocks(play, BLOCKS_MAX + 1, |index| format!("{index}").into_bytes())?;
        rejects(play, "LIM-3", &set_up)
    })
    .text("A stream that names 16384 RAM blocks of a page.", ENDS)
    .dangerous()
    .quick(),
    Case::destination("D-LIM-004", "twice the most RAM blocks", &["LIM-3"], |play| {
        let set_up = with_blocks(play, 2 * BLOCKS_MAX, |index| format!("{index}").into_bytes())?;
        rejects(play, "LIM-3", &set_up)
    })
    .text("A stream that names 32766 RAM blocks of a page.", ENDS)
    .dangerous(),
    Case::destination("D-LIM-005", "the most capabilities", &["LIM-4"], |play| {
        let set_up = with_capabilities(play, 64)?;
        answers_or_ends(play, &set_up)
    })
    .text(
        "A stream that names 64 capabilities that no version has. Whoever has none ends the \
         migration, so the limit shows in destinations that take what they do not know.",
        ENDS_OR_ANSWERS,
    ),
    Case::destination("D-LIM-006", "a capability too many", &["LIM-4"], |play| {
        let set_up = with_capabilities(play, 65)?;
        rejects(play, "LIM-4", &set_up)
    })
    .text("A stream that names 65 capabilities.", ENDS)
    .dangerous(),
    Case::destination("D-LIM-007", "capabilities without end", &["LIM-4"], |play| {
        let mut set_up = with_capabilities(play, 1)?;
        // The count is behind the name of the part and its version.
        let count = set_up.front.len() - 1 - CAPABILITY.len() - 4;
        set_up.front[count..count + 4].fill(0xff);
        rejects(play, "LIM-4", &set_up)
    })
    .text("A stream that announces 4294967295 capabilities and names one.", ENDS)
    .dangerous(),
    Case::destination("D-LIM-008", "the most commands", &["LIM-5"], |play| {
        let set_up = with_commands(play, 64)?;
        answers_or_ends(play, &set_up)
    })
    .text("A stream with 64 commands that ask for nothing.", ENDS_OR_ANSWERS),
    Case::destination("D-LIM-009", "a command too many", &["LIM-5"], |play| {
        let set_up = with_commands(play, 65)?;
        rejects(play, "LIM-5", &set_up)
    })
    .text("A stream with 65 commands before its first section.", ENDS)
    .dangerous()
    .quick(),
    Case::destination("D-LIM-010", "the longest names", &["LIM-6", "LIM-3"], |play| {
        let name = |index| format!("{index:0>255}").into_bytes();
        let set_up = with_blocks(play, BLOCKS_MAX, name)?;
        answers_or_ends(play, &set_up)
    })
    .text("A stream that names 16383 RAM blocks by 255 bytes each.", ENDS_OR_ANSWERS)
    .dangerous(),
    Case::destination("D-LIM-011", "a RAM section too far back", &["LIM-6", "STR-26"], |play| {
        let mut set_up = SetUp::of(play.guest())?;
        set_up.behind = vec![0xff; LIST_BYTES_MAX];
        rejects(play, "LIM-6", &set_up)
    })
    .text("A stream whose list of RAM blocks lies 4587265 bytes before the hook word.", ENDS)
    .dangerous(),
    Case::destination(
        "D-LIM-012",
        "nothing but starts of sections",
        &["LIM-6", "STR-22"],
        |play| {
            let mut set_up = SetUp::of(play.guest())?;
            let start = [&set_up.section[..], &set_up.total.to_be_bytes()].concat();
            set_up.front = start.repeat(20_000);
            set_up.list.clear();
            rejects(play, "LIM-6", &set_up)
        },
    )
    .text("A stream in which 20000 RAM sections start, of which none has a list.", ENDS)
    .dangerous(),
    Case::destination("D-LIM-013", "the longest description", &["STR-40"], |play| {
        ends_with_description(play, 1 << 20)
    })
    .text(
        "A migration whose stream ends with a description of the device state of 1 MiB.",
        "The guest arrives.",
    )
    .completes(),
    Case::destination("D-LIM-014", "the shortest description", &["STR-40"], |play| {
        ends_with_description(play, 2)
    })
    .text(
        "A migration whose stream ends with a description of the device state of 2 bytes: `{}`.",
        "The guest arrives.",
    )
    .completes(),
    Case::destination("D-LIM-020", "chunks of 1 MiB", &["LIM-10", "REG-14"], chunk_size)
        .text(
            "A request for the second chunk, and writes of the bytes at its ends and next to them.",
            "The key is good for the second MiB of the block, and for no byte before it.",
        )
        .quick(),
    Case::destination("D-LIM-021", "4096 zero runs in a message", &["LIM-2", "ZERO-13"], |play| {
        play.reach_round(0)?;
        let run = Compress { value: 0, block: 0, offset: play.ram_address(0, 0), length: 1 };
        play.send_commands(Kind::Compress, &[Command::Compress(run); 4096]);
        play.take_ready()
    })
    .text("4096 commands in a COMPRESS, all for the same byte.", "READY.")
    .dangerous(),
    Case::destination("D-LIM-022", "the longest replies", &["LIM-1", "LIM-2"], |play| {
        play.reach_round(0)?;
        let requests = [play.request_for(0, 0, 0); 4096].map(Command::RegisterRequest);
        play.send_commands(Kind::RegisterRequest, &requests);
        let reply = play.expect(Kind::RegisterResult, "REG-16")?;
        let (repeat, bytes) = (reply.header.repeat, 16 + reply.payload.len());
        play.check(repeat <= 4096, "LIM-2", format!("a reply to {repeat} requests"));
        play.check(bytes <= 524_288, "LIM-1", format!("a reply of {bytes} bytes"));
        play.take_ready()
    })
    .text("4096 requests in a message.", "A reply of at most 4096 results and 524288 bytes.")
    .dangerous(),
];

const CAPABILITY: &str = "one-that-nobody-has-00";

fn with_capabilities(play: &Play<'_>, count: usize) -> Result<SetUp, Stop> {
    let mut set_up = SetUp::of(play.guest())?;
    let names: Vec<_> = (0..count).map(|index| format!("one-that-nobody-has-{index:02}")).collect();
    set_up.capabilities(&names.iter().map(String::as_str).collect::<Vec<_>>());
    Ok(set_up)
}

fn with_commands(play: &Play<'_>, count: usize) -> Result<SetUp, Stop> {
    // The start of the switchover, which asks for nothing.
    const SWITCHOVER: u16 = 11;
    let mut set_up = SetUp::of(play.guest())?;
    for _ in 0..count {
        set_up.command(SWITCHOVER, &[]);
    }
    Ok(set_up)
}

/// A list of RAM blocks of a page each, with these names.
fn with_blocks(
    play: &Play<'_>,
    blocks: usize,
    name: impl Fn(usize) -> Vec<u8>,
) -> Result<SetUp, Stop> {
    let mut set_up = SetUp::of(play.guest())?;
    let entry = |index| Entry { name: name(index), length: 4096, more: Vec::new() };
    set_up.list = (0..blocks).map(entry).collect();
    set_up.total = set_up.list.iter().map(|entry| entry.length).sum::<u64>() | 4;
    Ok(set_up)
}

fn rejects(play: &mut Play<'_>, requirement: &str, set_up: &SetUp) -> Result<(), Stop> {
    play.reach_connected(0)?;
    if !play.stream_is_taken(&set_up.bytes())? {
        return Ok(());
    }
    play.send(Kind::RamBlocksRequest, &[]);
    play.expect_end(requirement)
}

/// What a destination answers is as long as it may be, and as it has to be.
fn answers_or_ends(play: &mut Play<'_>, set_up: &SetUp) -> Result<(), Stop> {
    play.reach_connected(0)?;
    if !play.stream_is_taken(&set_up.bytes())? {
        return Ok(());
    }
    play.send(Kind::RamBlocksRequest, &[]);
    let Some(reply) = play.take_message_unless_ended()? else { return Ok(()) };
    if reply.kind() != Kind::RamBlocksResult {
        return Err(breach("CTL-22", format!("{} instead of RAM_BLOCKS_RESULT", reply.kind())));
    }
    let (got, wanted) = (reply.payload.len(), 32 * set_up.list.len());
    let says = format!("{got} bytes for {} RAM blocks", set_up.list.len());
    play.check(got == wanted, "BLK-11", says);
    play.check(got <= 524_272, "LIM-1", format!("a reply of {} bytes", got + 16));
    play.take_ready()
}

/// A whole migration whose stream ends with a description of so many bytes, most of them blank.
fn ends_with_description(play: &mut Play<'_>, bytes: u32) -> Result<(), Stop> {
    let mut end = play.guest().end.clone();
    let Some(there) = find_description(&end).map(<[u8]>::len) else {
        return Err(Stop::Unsupported { what: "a guest with a description".into() });
    };
    end.truncate(end.len() - there - 4);
    end.extend_from_slice(&bytes.to_be_bytes());
    end.push(b'{');
    end.extend((2..bytes).map(|_| b' '));
    end.push(b'}');
    play.reach_round(0)?;
    play.finish_round()?;
    let last_round = play.guest().before_last_round.clone();
    play.stream(&last_round)?;
    play.finish_round()?;
    let (before, last) = end.split_at(end.len() - 1);
    play.stream(before)?;
    play.send(Kind::QemuFile, last);
    play.wait_for_acknowledgements()
}

fn chunk_size(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let end = play.first_block(2)?.length.min(2 * CHUNK);
    let results = play.register(&[play.request_for(0, CHUNK, 0)])?;
    let Some(RegisterResult { rkey, host_address }) = results.first().copied() else {
        return Err(breach("REG-16", "a result without a key"));
    };
    let from = play.writable(1)?;
    for place in [CHUNK, end - 1] {
        let written = play.write(&from, 1, host_address.wrapping_add(place), rkey)?;
        play.check(written.is_ok(), "LIM-10", format!("byte {place:#x} cannot be written"));
    }
    // The adapter refuses a write that is not granted and takes no other afterwards.
    let written = play.write(&from, 1, host_address.wrapping_add(CHUNK - 1), rkey)?;
    play.check_safety(written.is_err(), "LIM-10", "the key is good for the chunk before");
    Ok(())
}
