//! Chapter 8: the list of RAM blocks in the stream, its words, its messages and its end.

use rdma_migration_conformance::codec::Kind;
use rdma_migration_conformance::vectors::bytes::Bytes;
use rdma_migration_conformance::vectors::error_name::ErrorName::{
    self, BadMagic, BadPageSize, BadVersion, BlockExceedsTotal, CommandBeforeHook, DuplicateName,
    EmptyBlock, EmptyName, ListNotAtHook, NoHook, NoRamBlocks, NoRamSection, StreamInRound,
    StreamIncomplete, StreamTruncated,
};
use rdma_migration_conformance::vectors::reading::{
    NamedBlock, StreamEndReading, StreamReading, Wide,
};
use rdma_migration_conformance::vectors::vector::{Case, Content, Expected, Reader, Vector};

use super::build::{Message, compress, read_by, reads, register, vector, wrong};
use super::stream_parts::{
    END_OF_RECORD, HOOK, MAGIC_AND_VERSION, block, command, configuration, end, ram, round, stream,
    whole,
};
use super::talk::Talk;

pub(super) fn vectors() -> Vec<Vector> {
    let lists = [lists(), heads(), starts(), hooks(), sections(), entries(), page_sizes()].concat();
    [read_by(Reader::Destination, [lists, ends()].concat()), messages(), dialogues()].concat()
}

/// The first message of QEMU 7.2 with 16 MiB of RAM and no devices.
const QEMU_7_2: &[u8] = b"QEVM\0\0\0\x03\
    \x07\0\0\0\x0dpc-i440fx-7.2\
    \x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04\
    \0\0\0\0\x01\x08\x20\x04\
    \x06pc.ram\0\0\0\0\x01\0\0\0\
    \x14/rom@etc/acpi/tables\0\0\0\0\0\x02\0\0\
    \x07pc.bios\0\0\0\0\0\x04\0\0\
    \x06pc.rom\0\0\0\0\0\x02\0\0\
    \x15/rom@etc/table-loader\0\0\0\0\0\0\x10\0\
    \x12/rom@etc/acpi/rsdp\0\0\0\0\0\0\x10\0\
    \0\0\0\0\0\0\0\x80";

/// A section of a device before the RAM section, which only the device can read.
const UNKNOWN: &[u8] = b"\x04\0\0\0\x01\x03foo\0\0\0\0\0\0\0\x01 bytes of unknown length \xff\xff";

/// Blocks with the page sizes that the list gives.
fn blocks(blocks: &[(&str, u64, Option<u64>)]) -> StreamReading {
    let named = |&(name, length, page_size): &(&str, u64, Option<u64>)| NamedBlock {
        name: name.to_owned(),
        length: Wide(length),
        page_size: page_size.map(Wide),
    };
    StreamReading {
        capabilities: Vec::new(),
        return_path: false,
        postcopy: false,
        blocks: blocks.iter().map(named).collect(),
    }
}

fn list(id: &str, requirements: &str, title: &str, bytes: &[u8], reading: StreamReading) -> Vector {
    let case = Case { bytes: Bytes::whole(bytes), expected: Expected::Reading { reading } };
    vector(id, requirements, title, Content::Stream(case))
}

fn bad(id: &str, requirements: &str, title: &str, bytes: &[u8], errors: &[ErrorName]) -> Vector {
    let case = Case { bytes: Bytes::whole(bytes), expected: wrong(errors) };
    vector(id, requirements, title, Content::Stream(case))
}

fn one_block() -> (Vec<u8>, StreamReading) {
    (ram(0x2000, &[block("pc.ram", 0x2000)]), blocks(&[("pc.ram", 0x2000, None)]))
}

fn lists() -> Vec<Vector> {
    let real = blocks(&[
        ("pc.ram", 0x100_0000, None),
        ("/rom@etc/acpi/tables", 0x2_0000, None),
        ("pc.bios", 0x4_0000, None),
        ("pc.rom", 0x2_0000, None),
        ("/rom@etc/table-loader", 0x1000, None),
        ("/rom@etc/acpi/rsdp", 0x1000, None),
    ]);
    let (section, reading) = one_block();
    let decoy = ram(0x1000, &[block("decoy", 0x1000)]);
    let behind_decoy = stream(&[&configuration(&[]), UNKNOWN, &decoy, UNKNOWN, &section]);
    let long = "n".repeat(255);
    let high = 1 << 52;
    // All of the start of a RAM section but its first byte, and all but the flag of its word.
    let names = ["\x02\0\0\0\0\x03ram\0\0\0\0\0\0\0\x04", "\x01\0\0\0\0\x03ram\0\0\0\0\0\0\0\x04"];
    let look_alike = [block(names[0], 0x1004), block(names[1], 0xffc)];
    vec![
        list("STR-V001", "STR-20 STR-22", "the first message of QEMU 7.2", QEMU_7_2, real),
        list(
            "STR-V002",
            "STR-20 STR-22",
            "one block, and a configuration",
            &stream(&[&configuration(&[]), &section]),
            reading.clone(),
        ),
        list(
            "STR-V003",
            "STR-20 STR-22",
            "one block, without a configuration",
            &stream(&[&section]),
            reading.clone(),
        ),
        list(
            "STR-V004",
            "STR-22",
            "a section of unknown length before the RAM section",
            &stream(&[&configuration(&[]), UNKNOWN, &section]),
            reading.clone(),
        ),
        list("STR-V005", "STR-22", "of two RAM sections, the last counts", &behind_decoy, reading),
        list(
            "STR-V006",
            "STR-23",
            "a name of 255 bytes, and a name of one",
            &whole(&[block(&long, 0x1000), block("n", 0x1000)]),
            blocks(&[(&long, 0x1000, None), ("n", 0x1000, None)]),
        ),
        list(
            "STR-V007",
            "STR-24",
            "a block of one byte beside one that fills up the page",
            &whole(&[block("one", 1), block("rest", 0xfff)]),
            blocks(&[("one", 1, None), ("rest", 0xfff, None)]),
        ),
        list(
            "STR-V008",
            "STR-25",
            "a block of 4 PiB",
            &whole(&[block("pc.ram", high)]),
            blocks(&[("pc.ram", high, None)]),
        ),
        list(
            "STR-V009",
            "STR-22",
            "names that are nearly the start of a RAM section",
            &stream(&[&ram(0x2000, &look_alike)]),
            blocks(&[(names[0], 0x1004, None), (names[1], 0xffc, None)]),
        ),
        list(
            "STR-V010",
            "STR-27",
            "names that differ in case or length alone",
            &whole(&[block("ram", 0x1000), block("RAM", 0x1000), block("ram0", 0x1000)]),
            blocks(&[("ram", 0x1000, None), ("RAM", 0x1000, None), ("ram0", 0x1000, None)]),
        ),
    ]
}

fn heads() -> Vec<Vector> {
    let (section, reading) = one_block();
    let with = |capabilities: &[&str], return_path, postcopy| StreamReading {
        capabilities: capabilities.iter().map(|name| (*name).to_owned()).collect(),
        return_path,
        postcopy,
        ..reading.clone()
    };
    let commands = |id, requirements, title, commands: &[Vec<u8>], return_path, postcopy| {
        let stream = stream(&[&configuration(&[]), &commands.concat(), &section]);
        list(id, requirements, title, &stream, with(&[], return_path, postcopy))
    };
    let addressed = [block("pc.ram", 0x1000), vec![0xff; 8], block("pc.rom", 0x1000), vec![0; 8]];
    let capabilities = ["x-ignore-shared", "mapped-ram"];
    let (return_path, ping) = (command(1, &[]), command(2, &[0, 0, 0, 1]));
    let (advise, switchover) = (command(3, &[0; 16]), command(11, &[]));
    vec![
        commands(
            "STR-V020",
            "STR-31",
            "the return path",
            std::slice::from_ref(&return_path),
            true,
            false,
        ),
        commands("STR-V021", "STR-31", "postcopy", std::slice::from_ref(&advise), false, true),
        commands(
            "STR-V022",
            "STR-31",
            "postcopy without page sizes, in an empty command",
            &[command(3, &[])],
            false,
            true,
        ),
        commands(
            "STR-V023",
            "STR-31",
            "the return path, a ping, postcopy, and the start of the switchover",
            &[return_path, ping.clone(), advise, switchover.clone()],
            true,
            true,
        ),
        commands("STR-V024", "STR-31", "neither of the two", &[ping, switchover], false, false),
        commands(
            "STR-V025",
            "STR-31",
            "data of a command that look like the return path",
            &[command(2, &command(1, &[]))],
            false,
            false,
        ),
        list(
            "STR-V026",
            "STR-32",
            "a capability",
            &stream(&[&configuration(&["mapped-ram"]), &section]),
            with(&["mapped-ram"], false, false),
        ),
        list(
            "STR-V027",
            "STR-30 STR-32",
            "two capabilities, of which one puts a guest address behind each block",
            &stream(&[&configuration(&capabilities), &ram(0x2000, &addressed)]),
            StreamReading {
                capabilities: capabilities.map(str::to_owned).to_vec(),
                ..blocks(&[("pc.ram", 0x1000, None), ("pc.rom", 0x1000, None)])
            },
        ),
    ]
}

fn starts() -> Vec<Vector> {
    let start = |id, title, bytes: &[u8], error| {
        let stream = [bytes, &whole(&[block("pc.ram", 0x2000)])[8..]].concat();
        bad(id, "STR-20", title, &stream, &[error])
    };
    let cut = |id, bytes: usize| {
        let title = format!("a stream of {bytes} bytes");
        bad(id, "STR-20", &title, &MAGIC_AND_VERSION[..bytes], &[StreamTruncated])
    };
    vec![
        start("STR-V030", "another magic word", b"QEVX\0\0\0\x03", BadMagic),
        start("STR-V031", "a little-endian magic word", b"MVEQ\0\0\0\x03", BadMagic),
        start("STR-V032", "version 2", b"QEVM\0\0\0\x02", BadVersion),
        start("STR-V033", "version 4", b"QEVM\0\0\0\x04", BadVersion),
        start("STR-V034", "version 0", b"QEVM\0\0\0\0", BadVersion),
        start("STR-V035", "a little-endian version", b"QEVM\x03\0\0\0", BadVersion),
        cut("STR-V036", 0),
        cut("STR-V037", 3),
        cut("STR-V038", 4),
        cut("STR-V039", 7),
    ]
}

fn hooks() -> Vec<Vector> {
    let list = whole(&[block("pc.ram", 0x2000)]);
    let without = &list[..list.len() - HOOK.len()];
    let ends =
        |id, title, word: &[u8]| bad(id, "STR-21", title, &[without, word].concat(), &[NoHook]);
    vec![
        ends("STR-V040", "the list ends with the end of a record", &END_OF_RECORD),
        ends("STR-V041", "nothing behind the list", &[]),
        ends("STR-V042", "a hook word that lacks a byte", &HOOK[..7]),
        ends("STR-V043", "a little-endian hook word", &[0x80, 0, 0, 0, 0, 0, 0, 0]),
        ends("STR-V044", "a hook word with an address", &[0, 0, 0, 0, 0, 0, 0x10, 0x80]),
        ends("STR-V045", "a hook word with a byte behind it", &[&HOOK[..], &[0]].concat()),
        ends(
            "STR-V046",
            "a hook word with another word behind it",
            &[HOOK, END_OF_RECORD].concat(),
        ),
        bad(
            "STR-V047",
            "STR-21",
            "magic word and version alone",
            MAGIC_AND_VERSION,
            &[NoHook, StreamTruncated],
        ),
    ]
}

fn sections() -> Vec<Vector> {
    let (section, _) = one_block();
    let changed = |id, title, offset: usize, byte| {
        let mut section = section.clone();
        section[offset] = byte;
        let stream = stream(&[&configuration(&[]), &section]);
        bad(id, "STR-22", title, &stream, &[NoRamSection])
    };
    vec![
        bad(
            "STR-V050",
            "STR-22",
            "no section at all",
            &stream(&[&configuration(&[])]),
            &[NoRamSection],
        ),
        bad("STR-V051", "STR-22", "another section alone", &stream(&[UNKNOWN]), &[NoRamSection]),
        changed("STR-V052", "a RAM section that goes on instead of starting", 0, 2),
        changed("STR-V053", "another name of the section", 6, b'R'),
        changed("STR-V054", "another instance of the section", 12, 1),
        changed("STR-V055", "another version of the section", 16, 3),
        changed("STR-V056", "a total without its flag", 24, 0),
        changed("STR-V057", "a total with another flag besides", 24, 0x84),
    ]
}

fn entries() -> Vec<Vector> {
    let list = |id, requirement, title, total, entries: &[Vec<u8>], errors: &[ErrorName]| {
        bad(id, requirement, title, &stream(&[&ram(total, entries)]), errors)
    };
    let ram_block = || block("pc.ram", 0x2000);
    let missing = [StreamTruncated, ListNotAtHook];
    let behind = |bytes: usize| [ram_block(), vec![0xff; bytes]];
    vec![
        list(
            "STR-V060",
            "STR-23",
            "a block without a name",
            0x2000,
            &[block("", 0x2000)],
            &[EmptyName],
        ),
        list(
            "STR-V061",
            "STR-24",
            "a block of length 0",
            0x2000,
            &[block("pc.ram", 0)],
            &[EmptyBlock],
        ),
        list(
            "STR-V062",
            "STR-24",
            "the second block has length 0",
            0x3000,
            &[ram_block(), block("pc.rom", 0)],
            &[EmptyBlock],
        ),
        list(
            "STR-V063",
            "STR-25",
            "a block longer than the total",
            0x1000,
            &[ram_block()],
            &[BlockExceedsTotal],
        ),
        list(
            "STR-V064",
            "STR-25",
            "the second block is a byte longer than what is left",
            0x3000,
            &[ram_block(), block("pc.rom", 0x1001)],
            &[BlockExceedsTotal],
        ),
        list(
            "STR-V065",
            "STR-25",
            "the highest length",
            0x2000,
            &[block("pc.ram", !0)],
            &[BlockExceedsTotal],
        ),
        list(
            "STR-V066",
            "STR-26",
            "a byte between list and hook word",
            0x2000,
            &behind(1),
            &[ListNotAtHook],
        ),
        list(
            "STR-V067",
            "STR-26",
            "nine bytes between list and hook word",
            0x2000,
            &behind(9),
            &[ListNotAtHook],
        ),
        list(
            "STR-V068",
            "STR-26",
            "another block than the total has",
            0x2000,
            &[ram_block(), block("pc.rom", 0x1000)],
            &[ListNotAtHook],
        ),
        list(
            "STR-V069",
            "STR-26",
            "a block less than the total has",
            0x3000,
            &[ram_block()],
            &missing,
        ),
        list("STR-V070", "STR-26", "no block for the total", 0x1000, &[], &missing),
        list(
            "STR-V071",
            "STR-26",
            "a name that goes on behind the hook word",
            0x2000,
            &[b"\x40pc.ram\0\0\0\0\0\0\x20\0".to_vec()],
            &missing,
        ),
        list(
            "STR-V072",
            "STR-26",
            "a length that is cut off",
            0x2000,
            &[b"\x06pc.ram\0\0\0\0".to_vec()],
            &missing,
        ),
        list(
            "STR-V073",
            "STR-27",
            "a name that comes twice",
            0x3000,
            &[ram_block(), block("pc.ram", 0x1000)],
            &[DuplicateName],
        ),
        list(
            "STR-V074",
            "STR-27",
            "a name that comes twice with another between",
            0x4000,
            &[ram_block(), block("pc.rom", 0x1000), block("pc.ram", 0x1000)],
            &[DuplicateName],
        ),
        bad(
            "STR-V075",
            "STR-30 STR-26",
            "guest addresses are announced and missing",
            &stream(&[&configuration(&["x-ignore-shared"]), &ram(0x2000, &[ram_block()])]),
            &missing,
        ),
        list("STR-V076", "STR-33", "a total of 0 and no block", 0, &[], &[NoRamBlocks]),
    ]
}

fn page_sizes() -> Vec<Vector> {
    let postcopy = command(3, &[0; 16]);
    let page = |bytes: u64| bytes.to_be_bytes().to_vec();
    let (ram_block, rom_block) = (block("pc.ram", 0x20_0000), block("pc.rom", 0x1000));
    let huge = 0x20_0000;
    let head = [configuration(&[]), postcopy.clone()].concat();
    let shared = [configuration(&["x-ignore-shared"]), postcopy].concat();
    let sized = |id, title, head: &[u8], entries: &[Vec<u8>], ram, rom| {
        let total = if entries.contains(&rom_block) { 0x20_1000 } else { 0x20_0000 };
        let stream = stream(&[head, &super::stream_parts::ram(total, entries)]);
        let named = [("pc.ram", 0x20_0000, ram), ("pc.rom", 0x1000, rom)];
        let named = &named[..if entries.contains(&rom_block) { 2 } else { 1 }];
        let capabilities = if head == shared { vec!["x-ignore-shared".to_owned()] } else { vec![] };
        let reading = StreamReading { capabilities, postcopy: true, ..blocks(named) };
        list(id, "STR-28", title, &stream, reading)
    };
    let wrong = |id, title, entries: &[Vec<u8>]| {
        let total = if entries.contains(&rom_block) { 0x20_1000 } else { 0x20_0000 };
        let stream = stream(&[&head, &ram(total, entries)]);
        bad(id, "STR-29", title, &stream, &[BadPageSize])
    };
    let (first, last) = (ram_block, rom_block.clone());
    vec![
        sized(
            "STR-V080",
            "a page size behind the only block",
            &head,
            &[first.clone(), page(huge)],
            Some(huge),
            None,
        ),
        sized(
            "STR-V081",
            "a page size behind the first block",
            &head,
            &[first.clone(), page(huge), last.clone()],
            Some(huge),
            None,
        ),
        sized(
            "STR-V082",
            "a page size behind the last block",
            &head,
            &[first.clone(), last.clone(), page(1 << 16)],
            None,
            Some(1 << 16),
        ),
        sized(
            "STR-V083",
            "a page size behind each block",
            &head,
            &[first.clone(), page(huge), last.clone(), page(1)],
            Some(huge),
            Some(1),
        ),
        sized(
            "STR-V084",
            "no page size, and postcopy all the same",
            &head,
            &[first.clone(), last.clone()],
            None,
            None,
        ),
        sized(
            "STR-V085",
            "page sizes and guest addresses",
            &shared,
            &[first.clone(), page(huge), page(1 << 32), last.clone(), page(1 << 30), page(0)],
            Some(huge),
            Some(1 << 30),
        ),
        wrong(
            "STR-V086",
            "a page size that is no power of two",
            &[first.clone(), page(0x20_1000), last.clone()],
        ),
        wrong(
            "STR-V087",
            "a page size of 0 behind the last block",
            &[first.clone(), last.clone(), page(0)],
        ),
        wrong(
            "STR-V088",
            "a page size that is one less than a power of two",
            &[first.clone(), page(0xfff), last],
        ),
        wrong(
            "STR-V089",
            "eight bytes behind the last block that are no page size",
            &[first.clone(), page(!0)],
        ),
        sized(
            "STR-V090",
            "a page size in front of a guest address of 2^56",
            &shared,
            &[first.clone(), page(huge), page(1 << 56), rom_block.clone(), page(0)],
            Some(huge),
            None,
        ),
        sized(
            "STR-V091",
            "page sizes in front of the highest guest addresses",
            &shared,
            &[first.clone(), page(huge), page(!0), rom_block.clone(), page(huge), page(!0)],
            Some(huge),
            Some(huge),
        ),
        sized(
            "STR-V092",
            "guest addresses that look like page sizes",
            &shared,
            &[first.clone(), page(huge), rom_block.clone(), page(huge)],
            None,
            None,
        ),
        wrong("STR-V093", "a page size of 2^56, which might begin a name", &[first, page(1 << 56)]),
    ]
}

fn ends() -> Vec<Vector> {
    let description = br#"{"page_size": 4096, "devices": [{"name": "timer"}]}"#;
    let complete = end(b"device state", description);
    let cut = |bytes: usize| complete[..bytes].to_vec();
    let ends = |id, title, bytes: &[u8], description: u32| {
        let expected = Expected::Reading { reading: StreamEndReading { description } };
        let case = Case { bytes: Bytes::whole(bytes), expected };
        vector(id, "STR-40", title, Content::StreamEnd(case))
    };
    let open = |id, title, bytes: &[u8]| {
        let case = Case { bytes: Bytes::whole(bytes), expected: wrong(&[StreamIncomplete]) };
        vector(id, "STR-40", title, Content::StreamEnd(case))
    };
    let length = u32::try_from(description.len()).unwrap();
    let other_length =
        |length: u32| [b"device state\x00\x06", &length.to_be_bytes()[..], description].concat();
    vec![
        ends("STR-V100", "a complete stream", &complete, length),
        ends("STR-V101", "the shortest description", &end(&[], b"{}"), 2),
        ends(
            "STR-V102",
            "device state that looks like a description",
            &end(&end(&[], b"{}"), b"{\"a\": 1}"),
            8,
        ),
        open("STR-V103", "nothing", &[]),
        open("STR-V104", "the last byte is missing", &cut(complete.len() - 1)),
        open("STR-V105", "the description is missing", &cut(complete.len() - description.len())),
        open("STR-V106", "the end marker alone", &cut(13)),
        open("STR-V107", "no end marker", &[b"device state\x01", &complete[13..]].concat()),
        open("STR-V108", "a byte behind the description", &[&complete[..], b"}"].concat()),
        open("STR-V109", "the length is one too small", &other_length(length - 1)),
        open("STR-V110", "the length is one too large", &other_length(length + 1)),
        open("STR-V111", "the length is little-endian", &other_length(length.swap_bytes())),
    ]
}

fn messages() -> Vec<Vector> {
    let words = |id, title, bytes: &[u8]| reads(id, "STR-1", title, Message::stream(bytes));
    vec![
        words("STR-V120", "a hook word of its own", &HOOK),
        words("STR-V121", "the end of a record, as QEMU sends it between rounds", &END_OF_RECORD),
        words(
            "STR-V122",
            "footer, header of the next record, hook word: the 18 bytes of a round",
            &round(),
        ),
        words("STR-V123", "a footer of its own", &[0x7e, 0, 0, 0, 2]),
        words("STR-V124", "the first message of QEMU 7.2", QEMU_7_2),
    ]
}

fn dialogues() -> Vec<Vector> {
    let asked = |stream: &[u8], id, requirement, title, error| {
        let talk = Talk::dynamic().ready().stream(stream).ready().blocks_request();
        talk.refused_by(Reader::Destination, id, requirement, title, error)
    };
    let list = whole(&[block("pc.ram", 0x28_0000), block("pc.bios", 0x4_0000)]);
    let (first, second) = list.split_at(40);
    let twice = whole(&[block("pc.ram", 0x28_0000), block("pc.ram", 0x4_0000)]);
    let observed = |talk: Talk, id, requirements, title, error| {
        talk.refused_by(Reader::Observer, id, requirements, title, error)
    };
    let later = || Talk::dynamic().exchanged().finished().ready().stream(&END_OF_RECORD).ready();
    let split = Talk::dynamic().ready().stream(first).ready().stream(second).ready();
    let blocks = split.blocks();
    vec![
        split.blocks_request().blocks_result(&blocks).ready().accepted(
            "STR-V130",
            "STR-21 STR-22",
            "the list comes in two messages",
        ),
        asked(
            &[&list[..list.len() - 8], &END_OF_RECORD].concat(),
            "STR-V131",
            "STR-21",
            "RAM_BLOCKS_REQUEST behind the end of a record",
            NoHook,
        ),
        asked(&twice, "STR-V132", "STR-27", "a name twice in the list", DuplicateName),
        asked(
            &stream(&[&configuration(&[])]),
            "STR-V133",
            "STR-22",
            "RAM_BLOCKS_REQUEST behind a hook word without a list",
            NoRamSection,
        ),
        Talk::dynamic().ready().blocks_request().refused_by(
            Reader::Destination,
            "STR-V134",
            "STR-20",
            "RAM_BLOCKS_REQUEST before any stream",
            StreamTruncated,
        ),
        observed(
            later().compress(&[compress(0, 0, 0, 0x1000)]),
            "STR-V135",
            "STR-2",
            "COMPRESS behind the end of a record",
            CommandBeforeHook,
        ),
        observed(
            later().register(&[register(0, 0, 0)]),
            "STR-V136",
            "STR-2",
            "REGISTER_REQUEST behind the end of a record",
            CommandBeforeHook,
        ),
        observed(
            later().source(Message::empty(Kind::RegisterFinished)),
            "STR-V137",
            "STR-2",
            "REGISTER_FINISHED without a round",
            CommandBeforeHook,
        ),
        observed(
            Talk::dynamic().exchanged().stream(&END_OF_RECORD),
            "STR-V138",
            "STR-3 RND-1",
            "QEMU_FILE in the first round",
            StreamInRound,
        ),
        observed(
            later().stream(&round()).ready().zero(0, 0, 0x1000).stream(&END_OF_RECORD),
            "STR-V139",
            "STR-3 RND-1",
            "QEMU_FILE in a later round",
            StreamInRound,
        ),
    ]
}
