//! A destination finds the list of RAM blocks in the stream.

use super::set_up::{Entry, SetUp, rejects, rejects_bytes};
use crate::codec::{Command, Kind, RamBlock};
use crate::suite::{Case, Play, Stop};

/// What a stream that breaks a rule is answered with.
const ENDS: &str = "The end of the migration, and no RAM blocks.";
/// What a stream is answered with that asks for what a destination need not have.
const ENDS_OR_ANSWERS: &str = "The RAM blocks as the stream has them, or the end of the migration.";

pub(in super::super) const CASES: &[Case] = &[
    Case::destination("D-STR-020", "a stream of another kind", &["STR-20"], |play| {
        rejects(play, "STR-20", |set_up| set_up.magic[..4].copy_from_slice(b"QEVX"))
    })
    .text("A stream that starts with `QEVX`.", ENDS)
    .quick(),
    Case::destination("D-STR-021", "version 2 of the stream", &["STR-20"], |play| {
        rejects(play, "STR-20", |set_up| set_up.magic[7] = 2)
    })
    .text("A stream that starts with `QEVM` and version 2.", ENDS),
    Case::destination("D-STR-022", "version 4 of the stream", &["STR-20"], |play| {
        rejects(play, "STR-20", |set_up| set_up.magic[7] = 4)
    })
    .text("A stream that starts with `QEVM` and version 4.", ENDS),
    Case::destination("D-STR-023", "no hook word", &["STR-21"], |play| {
        rejects(play, "STR-21", |set_up| set_up.hook.clear())
    })
    .text("RAM_BLOCKS_REQUEST after a stream that ends with the list, without a hook word.", ENDS)
    .quick(),
    Case::destination("D-STR-024", "half a hook word", &["STR-21"], |play| {
        rejects(play, "STR-21", |set_up| set_up.hook.truncate(7))
    })
    .text("RAM_BLOCKS_REQUEST after a stream that ends with 7 bytes of a hook word.", ENDS),
    Case::destination("D-STR-025", "bytes behind the hook word", &["STR-21"], |play| {
        rejects(play, "STR-21", |set_up| set_up.hook.push(0))
    })
    .text("RAM_BLOCKS_REQUEST after a stream with a byte behind its hook word.", ENDS),
    Case::destination("D-STR-026", "another word in place of the hook", &["STR-21"], |play| {
        rejects(play, "STR-21", |set_up| set_up.hook[7] = 0x10)
    })
    .text("RAM_BLOCKS_REQUEST after a stream that ends with the word 0x10.", ENDS),
    Case::destination("D-STR-027", "no stream at all", &["STR-21"], |play| {
        rejects_bytes(play, "STR-21", &[])
    })
    .text("RAM_BLOCKS_REQUEST as the first message.", ENDS)
    .quick(),
    Case::destination("D-STR-028", "no RAM section", &["STR-22", "STR-21"], |play| {
        let set_up = SetUp::of(play.guest())?;
        rejects_bytes(play, "STR-22", &[&set_up.magic[..], &set_up.front, &set_up.hook].concat())
    })
    .text("A stream whose hook word comes without a RAM section before it.", ENDS),
    Case::destination("D-STR-029", "the last of two RAM sections", &["STR-22", "BLK-11"], |play| {
        let mut set_up = SetUp::of(play.guest())?;
        let mut decoy = SetUp { magic: Vec::new(), front: Vec::new(), ..set_up.clone() };
        decoy.list.truncate(1);
        decoy.total = decoy.list.iter().map(|entry| entry.length).sum::<u64>() | 4;
        set_up.front.extend_from_slice(&decoy.bytes());
        answers(play, &set_up)
    })
    .text(
        "A stream with two RAM sections, the first with fewer blocks than the last.",
        "The RAM blocks of the last section.",
    ),
    Case::destination("D-STR-030", "a RAM block without a name", &["STR-23"], |play| {
        rejects(play, "STR-23", |set_up| set_up.list[0].name.clear())
    })
    .text("A list in which the first RAM block has an empty name.", ENDS),
    Case::destination("D-STR-031", "an empty RAM block", &["STR-24"], |play| {
        rejects(play, "STR-24", |set_up| {
            set_up.list.insert(0, Entry { name: b"empty".to_vec(), length: 0, more: vec![] });
        })
    })
    .text("A list with a RAM block of no bytes before the others.", ENDS)
    .quick(),
    Case::destination("D-STR-032", "a RAM block longer than the total", &["STR-25"], |play| {
        rejects(play, "STR-25", |set_up| {
            if let Some(last) = set_up.list.last_mut() {
                last.length += 4096;
            }
        })
    })
    .text("A list whose last RAM block has a page more than is left of the total.", ENDS)
    .quick(),
    Case::destination("D-STR-033", "the longest RAM block", &["STR-25"], |play| {
        rejects(play, "STR-25", |set_up| set_up.list[0].length = u64::MAX)
    })
    .text("A list whose first RAM block has 2^64 - 1 bytes.", ENDS)
    .dangerous(),
    Case::destination("D-STR-034", "lengths that wrap around", &["STR-25"], |play| {
        rejects(play, "STR-25", |set_up| {
            let half = 1 << 63;
            set_up.list[0].length = set_up.list[0].length.wrapping_add(half);
            let second = Entry { name: b"half".to_vec(), length: half, more: vec![] };
            set_up.list.insert(1, second);
        })
    })
    .text("A list whose lengths add up to the total with 64 bits only.", ENDS)
    .dangerous(),
    Case::destination("D-STR-035", "bytes behind the list", &["STR-26"], |play| {
        rejects(play, "STR-26", |set_up| set_up.behind.push(0))
    })
    .text("A byte between the last RAM block and the hook word.", ENDS)
    .quick(),
    Case::destination("D-STR-036", "a list that is cut short", &["STR-26", "STR-25"], |play| {
        rejects(play, "STR-26", |set_up| set_up.total += 4096)
    })
    .text("A total that is a page more than the RAM blocks of the list.", ENDS),
    Case::destination("D-STR-037", "a RAM block twice", &["STR-27"], |play| {
        rejects(play, "STR-27", |set_up| {
            let first = set_up.list[0].clone();
            set_up.total += first.length;
            set_up.list.push(first);
        })
    })
    .text("A list that names its first RAM block again at its end.", ENDS)
    .quick(),
    Case::destination("D-STR-038", "a name that is cut short", &["STR-26"], |play| {
        let mut set_up = SetUp::of(play.guest())?;
        set_up.list.pop();
        set_up.behind.push(255);
        let bytes = set_up.bytes();
        rejects_bytes(play, "STR-26", &bytes)
    })
    .text("A list whose last name has 255 bytes of which the stream has fewer.", ENDS),
    Case::destination("D-STR-039", "a list of nothing", &["STR-33"], |play| {
        let mut set_up = SetUp::of(play.guest())?;
        set_up.list.clear();
        set_up.total = 4;
        let bytes = set_up.bytes();
        rejects_bytes(play, "STR-33", &bytes)
    })
    .text("A list without RAM blocks and a total of 0.", ENDS),
    Case::destination("D-STR-040", "page sizes", &["STR-28"], |play| {
        answers_or_ends(play, |set_up| set_up.more(65536))
    })
    .text(
        "A page size of 64 KiB behind each RAM block, as with postcopy. Whoever has no postcopy ends \
         the migration, so the reading shows in destinations that have it.",
        ENDS_OR_ANSWERS,
    ),
    Case::destination("D-STR-041", "a page size that is none", &["STR-29"], |play| {
        rejects(play, "STR-29", |set_up| set_up.more(65535))
    })
    .text("A page size of 65535 behind each RAM block.", ENDS),
    Case::destination("D-STR-042", "a page size of 0", &["STR-29"], |play| {
        rejects(play, "STR-29", |set_up| set_up.more(0))
    })
    .text("A page size of 0 behind each RAM block.", ENDS),
    Case::destination("D-STR-043", "guest addresses", &["STR-30", "STR-32"], |play| {
        answers_or_ends(play, |set_up| {
            set_up.capabilities(&["x-ignore-shared"]);
            set_up.more(0x1_0000_0000);
        })
    })
    .text(
        "The capability `x-ignore-shared`, and a guest address behind each RAM block. Whoever has no \
         such capability ends the migration, so the reading shows in destinations that have it.",
        ENDS_OR_ANSWERS,
    ),
    Case::destination("D-STR-044", "no guest addresses", &["STR-30", "STR-32"], |play| {
        rejects(play, "STR-30", |set_up| set_up.capabilities(&["x-ignore-shared"]))
    })
    .text("The capability `x-ignore-shared`, and a list without guest addresses.", ENDS),
    Case::destination("D-STR-045", "the last of several capabilities", &["STR-32"], |play| {
        let names = ["one-that-nobody-has", "another", "x-ignore-shared"];
        rejects(play, "STR-32", |set_up| set_up.capabilities(&names))
    })
    .text(
        "Three capabilities, the last of which is `x-ignore-shared`, and a list without guest \
         addresses.",
        ENDS,
    ),
    Case::destination("D-STR-046", "a capability that nobody knows", &["STR-32"], |play| {
        answers_or_ends(play, |set_up| set_up.capabilities(&["one-that-nobody-has"]))
    })
    .text(
        "A capability that no version has. What follows is for the destination's owner to decide.",
        ENDS_OR_ANSWERS,
    ),
    Case::destination("D-STR-047", "the return path", &["STR-31"], |play| {
        rejects(play, "STR-31", |set_up| {
            set_up.command(1, &[]);
            set_up.command(2, &1_u32.to_be_bytes());
        })
    })
    .text(
        "The commands for a return path and a ping, over one connection, where there can be none.",
        ENDS,
    )
    .should(),
    Case::destination("D-STR-048", "postcopy", &["STR-31"], |play| {
        let sizes = [4096_u64.to_be_bytes(), 4096_u64.to_be_bytes()].concat();
        rejects(play, "STR-31", |set_up| set_up.command(3, &sizes))
    })
    .text("The command for postcopy, which cannot work over one connection.", ENDS)
    .should(),
    Case::destination("D-STR-049", "postcopy behind another command", &["STR-31"], |play| {
        rejects(play, "STR-31", |set_up| {
            set_up.command(2, &1_u32.to_be_bytes());
            set_up.command(3, &[]);
        })
    })
    .text("A ping, and then the command for postcopy without data.", ENDS)
    .should(),
    Case::destination("D-STR-050", "something in front of the RAM section", &["STR-22"], |play| {
        let mut set_up = SetUp::of(play.guest())?;
        set_up.front.extend_from_slice(b"\x04\x00\x00\x00\x09\x05early\x00\x00\x00\x00");
        set_up.front.extend_from_slice(b"\x00\x00\x00\x01any bytes\x7e\x00\x00\x00\x09");
        answers(play, &set_up)
    })
    .text(
        "A section of another device in front of the RAM section, with data of unknown length.",
        "The RAM blocks: the list is found from the end.",
    ),
];

fn answers(play: &mut Play<'_>, set_up: &SetUp) -> Result<(), Stop> {
    play.reach_connected(0)?;
    play.stream(&set_up.bytes())?;
    play.exchange_blocks()?;
    let blocks = play.blocks().to_vec();
    same_blocks(play, &blocks);
    Ok(())
}

/// The destination has the RAM blocks of the guest.
fn same_blocks(play: &mut Play<'_>, blocks: &[RamBlock]) {
    let wanted: Vec<_> = play.guest().blocks.iter().map(|block| block.length).collect();
    let got: Vec<_> = blocks.iter().map(|block| block.length).collect();
    let says = format!("RAM blocks of {got:?} bytes for those of {wanted:?}");
    play.check(got == wanted, "BLK-11", says);
}

fn answers_or_ends(play: &mut Play<'_>, change: impl FnOnce(&mut SetUp)) -> Result<(), Stop> {
    let mut set_up = SetUp::of(play.guest())?;
    change(&mut set_up);
    play.reach_connected(0)?;
    if !play.stream_is_taken(&set_up.bytes())? {
        return Ok(());
    }
    play.send(Kind::RamBlocksRequest, &[]);
    let Some(message) = play.take_message_unless_ended()? else { return Ok(()) };
    play.check(message.kind() == Kind::RamBlocksResult, "CTL-22", message.kind().to_string());
    let block = |command| match command {
        Command::RamBlock(block) => Some(block),
        _ => None,
    };
    let blocks: Vec<_> = message.commands().into_iter().filter_map(block).collect();
    same_blocks(play, &blocks);
    Ok(())
}
