//! Chapter 11: everything at its limit, and one more.

use rdma_migration_conformance::codec::{Command, Header, Kind};
use rdma_migration_conformance::vectors::bytes::{Bytes, Hex, Part};
use rdma_migration_conformance::vectors::error_name::ErrorName::{
    self, DuplicateName, EmptyName, LengthTooLarge, NoRamSection, PartialRamBlock,
    RepeatOutOfRange, TooManyBlocks, TooManyCapabilities, TooManyCommands,
};
use rdma_migration_conformance::vectors::reading::{
    MessageReading, NamedBlock, StreamReading, Wide,
};
use rdma_migration_conformance::vectors::vector::{Case, Content, Expected, Reader, Vector};

use super::build::{
    compress, number, ram_block, read_by, register, repeated, result, unregister, vector, wrong,
};
use super::stream_parts::{
    HOOK, MAGIC_AND_VERSION, block, capabilities_of, command, configuration, ram, short_string,
    stream,
};

pub(super) fn vectors() -> Vec<Vector> {
    [messages(), counts(), read_by(Reader::Destination, [streams(), lists()].concat())].concat()
}

/// A message with a payload of so many bytes of one value.
fn filled(kind: Kind, repeat: u32, bytes: usize) -> Bytes {
    let mut header = Vec::new();
    Header { length: number(bytes), kind, repeat }.encode(&mut header);
    let header = Part::Repeated { hex: Hex(header), times: 1 };
    Bytes::Parts { parts: vec![header, Part::Repeated { hex: Hex(vec![0x5a]), times: bytes }] }
}

fn messages() -> Vec<Vector> {
    let reads = |id, requirements, title, bytes| {
        let length = number(bytes);
        let reading =
            MessageReading { kind: "QEMU_FILE".to_owned(), length, repeat: None, entries: None };
        let expected = Expected::Reading { reading };
        let case = Case { bytes: filled(Kind::QemuFile, 1, bytes), expected };
        vector(id, requirements, title, Content::Message(case))
    };
    let fails = |id, requirements, title, kind, bytes, errors: &[ErrorName]| {
        let case = Case { bytes: filled(kind, 1, bytes), expected: wrong(errors) };
        vector(id, requirements, title, Content::Message(case))
    };
    vec![
        reads(
            "LIM-V001",
            "LIM-1 STR-1",
            "QEMU_FILE of 32768 bytes, the most a sender sends",
            32_768,
        ),
        reads(
            "LIM-V002",
            "LIM-1 STR-1",
            "QEMU_FILE of 32769 bytes, which a receiver takes",
            32_769,
        ),
        reads(
            "LIM-V003",
            "LIM-1 CTL-3",
            "QEMU_FILE of 524272 bytes, the most there can be",
            524_272,
        ),
        fails(
            "LIM-V004",
            "LIM-1 CTL-3",
            "QEMU_FILE of 524273 bytes",
            Kind::QemuFile,
            524_273,
            &[LengthTooLarge],
        ),
        fails(
            "LIM-V005",
            "LIM-1 CTL-3",
            "QEMU_FILE of a whole buffer behind its header",
            Kind::QemuFile,
            524_288,
            &[LengthTooLarge],
        ),
        fails(
            "LIM-V006",
            "LIM-1 BLK-2",
            "RAM_BLOCKS_RESULT of 524272 bytes",
            Kind::RamBlocksResult,
            524_272,
            &[PartialRamBlock],
        ),
    ]
}

fn counts() -> Vec<Vector> {
    let one_more = |id, title, command: Command, kind| {
        let case = repeated(command, kind, 4097);
        let case = Case { expected: wrong(&[RepeatOutOfRange]), ..case };
        vector(id, "LIM-2 CTL-10", title, Content::Message(case))
    };
    let blocks = repeated(ram_block(0, 0, 0x1000, 0), Kind::RamBlocksResult, 16_384);
    let blocks = Case { expected: wrong(&[LengthTooLarge]), ..blocks };
    vec![
        one_more("LIM-V010", "COMPRESS of 4097 runs", compress(0, 0, 0, 0x1000), Kind::Compress),
        one_more("LIM-V011", "REGISTER_REQUEST of 4097", register(0, 0, 0), Kind::RegisterRequest),
        one_more("LIM-V012", "REGISTER_RESULT of 4097", result(1, 0), Kind::RegisterResult),
        one_more(
            "LIM-V013",
            "UNREGISTER_REQUEST of 4097",
            unregister(0, 0),
            Kind::UnregisterRequest,
        ),
        vector(
            "LIM-V014",
            "LIM-1 CTL-3",
            "RAM_BLOCKS_RESULT of 16384 blocks",
            Content::Message(blocks),
        ),
    ]
}

fn parts(parts: &[(&[u8], usize)]) -> Bytes {
    let part = |(bytes, times): &(&[u8], usize)| Part::Repeated {
        hex: Hex(bytes.to_vec()),
        times: *times,
    };
    Bytes::Parts { parts: parts.iter().map(part).collect() }
}

fn reading(capabilities: Vec<String>) -> StreamReading {
    let block = NamedBlock { name: "pc.ram".to_owned(), length: Wide(0x2000), page_size: None };
    StreamReading { capabilities, return_path: false, postcopy: false, blocks: vec![block] }
}

fn streams() -> Vec<Vector> {
    let section = ram(0x2000, &[block("pc.ram", 0x2000)]);
    let tail = [&section[..], &HOOK].concat();
    let head = [MAGIC_AND_VERSION, &configuration(&[])].concat();
    let with_count = |count: u32| [&head[..], &capabilities_of(count)].concat();
    let case = |bytes, expected| Content::Stream(Case { bytes, expected });
    let reads = |bytes, reading| case(bytes, Expected::Reading { reading });
    let capability = short_string("c");
    let ping = command(2, &[0, 0, 0, 1]);
    vec![
        vector(
            "LIM-V020",
            "LIM-4 STR-32",
            "64 capabilities",
            reads(
                parts(&[(&with_count(64), 1), (&capability, 64), (&tail, 1)]),
                reading(vec!["c".to_owned(); 64]),
            ),
        ),
        vector(
            "LIM-V021",
            "LIM-4",
            "65 capabilities",
            case(
                parts(&[(&with_count(65), 1), (&capability, 65), (&tail, 1)]),
                wrong(&[TooManyCapabilities]),
            ),
        ),
        vector(
            "LIM-V022",
            "LIM-4",
            "the highest number of capabilities, and none of them",
            case(parts(&[(&with_count(!0), 1), (&tail, 1)]), wrong(&[TooManyCapabilities])),
        ),
        vector(
            "LIM-V023",
            "LIM-5",
            "64 commands",
            reads(parts(&[(&head, 1), (&ping, 64), (&tail, 1)]), reading(Vec::new())),
        ),
        vector(
            "LIM-V024",
            "LIM-5",
            "65 commands",
            case(parts(&[(&head, 1), (&ping, 65), (&tail, 1)]), wrong(&[TooManyCommands])),
        ),
    ]
}

/// How far before the hook word the list may start.
const LIST_BYTES_MAX: usize = 4_587_265;

fn lists() -> Vec<Vector> {
    let start = ram(0x2000, &[]);
    let same = block("pc.ram", 0x1000);
    let head = [MAGIC_AND_VERSION, &configuration(&[])].concat();
    let filled = LIST_BYTES_MAX - start.len();
    let many = [&head[..], &ram(16_384 * 0x1000, &[])].concat();
    let far = |id, requirements, title, bytes, error| {
        let bytes = parts(&[(&head, 1), (&start, 1), (&[0], bytes), (&HOOK, 1)]);
        let case = Case { bytes, expected: wrong(&[error]) };
        vector(id, requirements, title, Content::Stream(case))
    };
    let near = Bytes::whole(&stream(&[&ram(0x2000, &[vec![0; 64]])]));
    let too_many = wrong(&[TooManyBlocks, DuplicateName]);
    let many = parts(&[(&many, 1), (&same, 16_384), (&HOOK, 1)]);
    vec![
        vector(
            "LIM-V030",
            "LIM-3",
            "16384 RAM blocks, all of one name",
            Content::Stream(Case { bytes: many, expected: too_many }),
        ),
        far(
            "LIM-V031",
            "LIM-6 STR-23",
            "a list that starts as far back as it may",
            filled,
            EmptyName,
        ),
        far(
            "LIM-V032",
            "LIM-6",
            "a list that starts a byte further back",
            filled + 1,
            NoRamSection,
        ),
        vector(
            "LIM-V033",
            "LIM-6 STR-23",
            "the same list near the hook word",
            Content::Stream(Case { bytes: near, expected: wrong(&[EmptyName]) }),
        ),
    ]
}
