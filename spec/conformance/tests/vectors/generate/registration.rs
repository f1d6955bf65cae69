//! Chapter 5: requests and results, message by message.

use rdma_migration_conformance::codec::{Command, Kind};
use rdma_migration_conformance::vectors::vector::{Content, Reader, Vector};

use super::build::{Message, read_by, reads, register, repeated, result, unregister, vector};

pub(super) fn vectors() -> Vec<Vector> {
    [
        read_by(Reader::Destination, requests()),
        read_by(Reader::Source, results()),
        read_by(Reader::Destination, unregister_requests()),
        read_by(Reader::Source, vec![unregistered()]),
        read_by(Reader::Destination, vec![any_number_of_chunks()]),
    ]
    .concat()
}

fn one(id: &str, requirements: &str, title: &str, kind: Kind, command: Command) -> Vector {
    reads(id, requirements, title, Message::of(kind, &[command]))
}

fn requests() -> Vec<Vector> {
    const KIND: Kind = Kind::RegisterRequest;
    let request = |id, title, address, block, chunks| {
        one(id, "REG-1", title, KIND, register(address, block, chunks))
    };
    let order = register(0x0102_0304_0506_0708, 0x1112_1314, 0x2122_2324_2526_2728);
    let turned = register(0xf0_0000_u64.swap_bytes(), 1_u32.swap_bytes(), 0);
    let sent = Message::of(KIND, &[register(0xf0_0000, 1, 0)]).turned(16, &[8, 4]);
    let read = Message::of(KIND, &[turned]);
    assert_eq!(sent.bytes, read.bytes);
    vec![
        one("REG-V001", "REG-1", "a request: the order of fields and bytes", KIND, order),
        request("REG-V002", "a request of every field 0", 0, 0, 0),
        request("REG-V003", "a request of every field at its highest", !0, !0, !0),
        request("REG-V004", "a request of the highest address alone", !0, 0, 0),
        request("REG-V005", "a request of the highest block alone", 0, !0, 0),
        request("REG-V006", "a request of the most further chunks alone", 0, 0, !0),
        request("REG-V007", "a request in the middle of a chunk", 0x12_3456, 0, 0),
        request("REG-V008", "a request of four chunks", 0x30_0000, 0, 3),
        reads(
            "REG-V009",
            "REG-2",
            "a request with anything in its padding",
            Message::of(KIND, &[order]).word(28, 0xaf7f_0000),
        ),
        reads("REG-V010", "REG-1", "a request in little-endian, read as it stands", read),
        reads(
            "REG-V011",
            "REG-1 REG-2",
            "three requests, of which each has something else in its padding",
            Message::of(KIND, &[register(0, 0, 0), register(0x10_0000, 0, 1), order])
                .word(28, 1)
                .word(52, 2)
                .word(76, 3),
        ),
        vector(
            "REG-V012",
            "CTL-10 LIM-2",
            "4096 requests, the most there can be",
            Content::Message(repeated(register(0, 0, 0), KIND, 4096)),
        ),
    ]
}

fn results() -> Vec<Vector> {
    const KIND: Kind = Kind::RegisterResult;
    let order = result(0x0102_0304, 0x1112_1314_1516_1718);
    let turned = result(0x104_u32.swap_bytes(), 0x7fc2_6820_0000_u64.swap_bytes());
    let sent = Message::of(KIND, &[result(0x104, 0x7fc2_6820_0000)]).turned(16, &[4, 4, 8]);
    let read = Message::of(KIND, &[turned]);
    assert_eq!(sent.bytes, read.bytes);
    vec![
        one("REG-V020", "REG-3", "a result: the order of fields and bytes", KIND, order),
        one("REG-V021", "REG-3", "a result of every field 0", KIND, result(0, 0)),
        one("REG-V022", "REG-3", "a result of every field at its highest", KIND, result(!0, !0)),
        one("REG-V023", "REG-3", "a result of the highest key alone", KIND, result(!0, 0)),
        one("REG-V024", "REG-3", "a result of the highest address alone", KIND, result(1, !0)),
        reads(
            "REG-V025",
            "REG-4",
            "a result with anything in its padding",
            Message::of(KIND, &[order]).word(20, 0xaf7f_0000),
        ),
        reads("REG-V026", "REG-3", "a result in little-endian, read as it stands", read),
        reads(
            "REG-V027",
            "REG-3 REG-16",
            "two results, of which each has something else in its padding",
            Message::of(KIND, &[result(0x104, 0), result(0x105, 0)]).word(20, 1).word(36, 2),
        ),
        vector(
            "REG-V028",
            "CTL-10 LIM-2",
            "4096 results, the most there can be",
            Content::Message(repeated(result(0x104, 0x7f00_0000_0000), KIND, 4096)),
        ),
    ]
}

fn unregister_requests() -> Vec<Vector> {
    const KIND: Kind = Kind::UnregisterRequest;
    let order = unregister(0x0102_0304_0506_0708, 0x1112_1314);
    let request = |id, title, chunk, block| one(id, "REG-5", title, KIND, unregister(chunk, block));
    vec![
        one("REG-V030", "REG-5", "an unregister request: the order of fields", KIND, order),
        request("REG-V031", "an unregister request of every field 0", 0, 0),
        request("REG-V032", "an unregister request of every field at its highest", !0, !0),
        request("REG-V033", "an unregister request of the highest chunk alone", !0, 0),
        request("REG-V034", "an unregister request of the highest block alone", 0, !0),
        reads(
            "REG-V035",
            "REG-2 REG-5",
            "an unregister request with anything in its padding",
            Message::of(KIND, &[order]).word(28, 0x567f),
        ),
        vector(
            "REG-V036",
            "CTL-10 LIM-2",
            "4096 unregister requests, the most there can be",
            Content::Message(repeated(unregister(0, 0), KIND, 4096)),
        ),
    ]
}

fn any_number_of_chunks() -> Vector {
    let one = Message::of(Kind::UnregisterRequest, &[unregister(5, 1)]);
    let title = "an unregister request with anything in its chunks";
    reads("REG-V038", "REG-36 REG-5", title, one.word(32, !0).word(36, !0))
}

fn unregistered() -> Vector {
    let finished = Message::empty(Kind::UnregisterFinished).repeat(3);
    reads("REG-V037", "REG-33", "UNREGISTER_FINISHED for three requests", finished)
}
