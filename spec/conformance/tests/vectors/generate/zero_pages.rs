//! Chapter 7: zero runs.

use rdma_migration_conformance::codec::{Command, Kind};
use rdma_migration_conformance::vectors::error_name::ErrorName;
use rdma_migration_conformance::vectors::vector::{Content, Reader, Vector};

use super::build::{Message, compress, read_by, reads, repeated, vector};
use super::talk::{BIOS, RAM, Talk};
use Reader::{Destination, Observer};

const MIB: u64 = 1 << 20;

pub(super) fn vectors() -> Vec<Vector> {
    [read_by(Destination, layout()), filled(), values(), outside(), observed()].concat()
}

fn layout() -> Vec<Vector> {
    const KIND: Kind = Kind::Compress;
    let run = |id, title, command| reads(id, "ZERO-1", title, Message::of(KIND, &[command]));
    let order = compress(0x0102_0304, 0x0506_0708, 0x1112_1314_1516_1718, 0x2122_2324_2526_2728);
    let turned = compress(0, 1_u32.swap_bytes(), MIB.swap_bytes(), 0x1000_u64.swap_bytes());
    let sent = Message::of(KIND, &[compress(0, 1, MIB, 0x1000)]).turned(16, &[4, 4, 8, 8]);
    let read = Message::of(KIND, &[turned]);
    assert_eq!(sent.bytes, read.bytes);
    vec![
        run("ZERO-V001", "the order of fields and bytes", order),
        run("ZERO-V002", "every field 0", compress(0, 0, 0, 0)),
        run("ZERO-V003", "every field at its highest", compress(!0, !0, !0, !0)),
        run("ZERO-V004", "a fill value of 0xff", compress(0xff, 0, 0, 0x1000)),
        run("ZERO-V005", "a fill value that is no byte", compress(0x100, 0, 0, 0x1000)),
        run("ZERO-V006", "the highest block alone", compress(0, !0, 0, 0x1000)),
        run("ZERO-V007", "the highest place alone", compress(0, 0, !0, 0x1000)),
        run("ZERO-V008", "the highest length alone", compress(0, 0, 0, !0)),
        run("ZERO-V009", "a run of a real guest", compress(0, 0, 0x10_1000, 0xf_f000)),
        reads("ZERO-V010", "ZERO-1", "a run in little-endian, read as it stands", read),
        reads(
            "ZERO-V011",
            "ZERO-1 CTL-11",
            "two runs",
            Message::of(KIND, &[compress(0, 0, 0, 0x1000), compress(0, 1, 0x100_0000, 0x2000)]),
        ),
        vector(
            "ZERO-V012",
            "CTL-10 LIM-2",
            "4096 runs, the most there can be",
            Content::Message(repeated(compress(0, 0, 0, 0x1000), KIND, 4096)),
        ),
    ]
}

fn open() -> Talk {
    Talk::dynamic().exchanged()
}

fn filled() -> Vec<Vector> {
    let runs = [compress(0, 0, 0, 0x1000), compress(0, 1, BIOS.offset, BIOS.length)];
    vec![
        open().zero(0, 0, 0x1000).finished().accepted("ZERO-V020", "ZERO-10", "the first page"),
        open().zero(0, 0, MIB).zero(0, MIB, MIB).zero(0, 2 * MIB, 0x8_0000).finished().accepted(
            "ZERO-V021",
            "ZERO-10 ZERO-13",
            "every chunk of a block, up to its last byte",
        ),
        open().zero(1, 0, BIOS.length).finished().accepted(
            "ZERO-V022",
            "ZERO-13",
            "a whole block that starts high",
        ),
        open()
            .zero(0, 0x1000, 0xf_f000)
            .registered(0, 0, 0x501)
            .write(0, 0, 0x1000, 0x501)
            .finished()
            .accepted("ZERO-V023", "ZERO-10", "a chunk is filled in part before it is registered"),
        open().compress(&runs).ready().accepted_by(
            Destination,
            "ZERO-V024",
            "ZERO-13",
            "two runs in one message",
        ),
    ]
}

fn values() -> Vec<Vector> {
    let wrong = |value, id, title| {
        let talk = open().compress(&[compress(value, 0, 0, 0x1000)]);
        let requirements = "ZERO-12 ZERO-11";
        talk.refused_by(Destination, id, requirements, title, ErrorName::NonzeroFill)
    };
    let second = [compress(0, 0, 0, 0x1000), compress(1, 0, 0x1000, 0x1000)];
    vec![
        wrong(1, "ZERO-V030", "a fill value of 1"),
        wrong(0xff, "ZERO-V031", "a fill value of 0xff"),
        wrong(0x100, "ZERO-V032", "a fill value whose lowest byte is 0"),
        wrong(!0, "ZERO-V033", "the highest fill value"),
        open().compress(&second).refused_by(
            Destination,
            "ZERO-V034",
            "ZERO-12 ZERO-11",
            "the second of two runs has a fill value",
            ErrorName::NonzeroFill,
        ),
    ]
}

fn outside() -> Vec<Vector> {
    let out = |runs: &[Command], id, title| {
        let talk = open().compress(runs);
        talk.refused_by(Destination, id, "ZERO-13", title, ErrorName::OutsideBlock)
    };
    let end = RAM.length;
    vec![
        out(&[compress(0, 0, 0, 0)], "ZERO-V040", "a run of no bytes"),
        out(&[compress(0, 0, end, 0x1000)], "ZERO-V041", "a run behind its block"),
        out(&[compress(0, 0, end, 0)], "ZERO-V042", "a run of no bytes at the end of its block"),
        out(
            &[compress(0, 0, end - 0x1000, 0x1001)],
            "ZERO-V043",
            "a byte over the end of its block",
        ),
        out(&[compress(0, 1, BIOS.offset - 1, 0x1000)], "ZERO-V044", "a byte before its block"),
        out(&[compress(0, 1, 0, 0x1000)], "ZERO-V045", "a place of another block"),
        out(&[compress(0, 0, 0, !0)], "ZERO-V046", "the highest length"),
        out(&[compress(0, 0, 0x1000, !0)], "ZERO-V047", "a length that wraps around"),
        out(&[compress(0, 0, !0, 1)], "ZERO-V048", "the highest place"),
        out(&[compress(0, 0, !0xfff, 0x1000)], "ZERO-V049", "the last page of the address space"),
        out(&[compress(0, 0, 0, 0x1000_u64.swap_bytes())], "ZERO-V050", "a little-endian length"),
        out(
            &[compress(0, 0, 0, 0x1000), compress(0, 0, end, 0x1000)],
            "ZERO-V051",
            "the second of two runs is outside",
        ),
    ]
}

fn observed() -> Vec<Vector> {
    let registered = || open().registered(0, 0, 0x501).write(0, 0, 0x1000, 0x501);
    let run = |at, length| [compress(0, 0, at, length)];
    let refused = |talk: Talk, id, requirement, title, error| {
        talk.refused_by(Observer, id, requirement, title, error)
    };
    vec![
        refused(
            registered().compress(&run(0x1000, 0x1000)),
            "ZERO-V060",
            "ZERO-10",
            "a run in a chunk that is registered",
            ErrorName::CompressOfRegisteredChunk,
        ),
        refused(
            Talk::pinned().exchanged().compress(&run(0, 0x1000)),
            "ZERO-V061",
            "ZERO-10",
            "a run where all RAM is pinned",
            ErrorName::CompressOfRegisteredChunk,
        ),
        refused(
            open().compress(&run(MIB - 0x1000, 0x2000)),
            "ZERO-V062",
            "WRITE-4",
            "a run across the end of a chunk",
            ErrorName::RunAcrossChunks,
        ),
        refused(
            open().compress(&[compress(0, 0, 0, 0x1000), compress(0, 0, 0x2000, 0x1000)]),
            "ZERO-V063",
            "ZERO-15",
            "a source that puts two runs into one message",
            ErrorName::SeveralZeroRuns,
        ),
    ]
}
