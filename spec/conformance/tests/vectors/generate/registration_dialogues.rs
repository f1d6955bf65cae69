//! Chapter 5: which requests are granted, and with what.

use rdma_migration_conformance::codec::{Command, Kind};
use rdma_migration_conformance::vectors::error_name::ErrorName;
use rdma_migration_conformance::vectors::vector::{Reader, Side, Vector};

use super::build::{Message, compress, register, repeated, result, unregister};
use super::talk::{BIOS, Place, RAM, Talk};
use Reader::{Destination, Observer, Source};

const MIB: u64 = 1 << 20;

pub(super) fn vectors() -> Vec<Vector> {
    [
        granted(),
        several(),
        no_block(),
        outside(),
        too_many(),
        overlaps(),
        at_the_wrong_time(),
        results(),
        given_back(),
        not_given_back(),
    ]
    .concat()
}

fn open() -> Talk {
    Talk::dynamic().exchanged()
}

fn granted() -> Vec<Vector> {
    vec![
        open().registered(0, 0, 0x501).write(0, 0, 0x1000, 0x501).finished().ready().accepted(
            "REG-V040",
            "REG-10 REG-14",
            "the first chunk is registered, and its first page written",
        ),
        open()
            .registered(0, 0x12_3000, 0x501)
            .write(0, 0x12_3000, 0x1000, 0x501)
            .write(0, MIB, 0x2000, 0x501)
            .write(0, 0x1f_f000, 0x1000, 0x501)
            .finished()
            .accepted(
                "REG-V041",
                "REG-14",
                "a page in the middle of a chunk is registered, and all of the chunk written",
            ),
        open()
            .registered(0, RAM.length - 0x1000, 0x501)
            .write(0, RAM.length - 0x1000, 0x1000, 0x501)
            .write(0, 2 * MIB, 0x1000, 0x501)
            .finished()
            .accepted("REG-V042", "REG-14", "the last chunk, which ends with its block"),
        open()
            .registered(0, 0, 0x501)
            .write(0, 0, 0x1000, 0x501)
            .registered(1, 0, 0x502)
            .write(1, 0, BIOS.length, 0x502)
            .finished()
            .accepted("REG-V043", "REG-10 REG-17", "a chunk of each block, each with its own key"),
        open()
            .registered(0, 0, 1)
            .write(0, 0, 0x1000, 1)
            .registered(0, MIB, !0)
            .write(0, MIB, 0x1000, !0)
            .finished()
            .accepted("REG-V044", "REG-18", "the lowest and the highest key"),
        open().registered(0, RAM.length - 1, 0x501).accepted_by(
            Destination,
            "REG-V045",
            "REG-12",
            "a request for the last byte of a block",
        ),
    ]
}

/// Our own source asks for one chunk at a time, and so does QEMU; a destination takes more.
fn several() -> Vec<Vector> {
    let by = Destination;
    let three = || open().register(&[register(0, 0, 2)]);
    let first = |rkey| result(rkey, RAM.address);
    let known = repeated(register(0, 0, 0), Kind::RegisterRequest, 4096);
    let one_key = repeated(result(0x501, RAM.address), Kind::RegisterResult, 4096);
    vec![
        three().results(&[first(0x501)]).ready().write(0, 2 * MIB, 0x1000, 0x501).accepted_by(
            by,
            "REG-V050",
            "REG-13 REG-14",
            "three chunks at once: all that the block has",
        ),
        open()
            .register(&[register(0, 0, 0), register(BIOS.offset, 1, 0), register(MIB, 0, 1)])
            .results(&[first(0x501), result(0x502, BIOS.address), first(0x503)])
            .ready()
            .accepted_by(by, "REG-V051", "REG-16", "three requests are answered in their order"),
        open()
            .registered(0, 0, 0x501)
            .register(&[register(0x5000, 0, 0)])
            .results(&[first(0x501)])
            .ready()
            .accepted_by(by, "REG-V052", "REG-15", "a chunk that is registered is asked for again"),
        three()
            .results(&[first(0x501)])
            .ready()
            .register(&[register(MIB, 0, 1)])
            .results(&[first(0x501)])
            .ready()
            .accepted_by(by, "REG-V053", "REG-15", "a part of a region is asked for again"),
        open().case(Side::Source, known).case(Side::Destination, one_key).ready().accepted_by(
            by,
            "REG-V054",
            "LIM-2 REG-15 REG-16",
            "4096 requests for one chunk are answered 4096 times",
        ),
        open()
            .register(&[register(0, 0, 0), register(MIB, 0, 0)])
            .destination(Message::of(Kind::RegisterResult, &[first(0x501)]).repeat(2))
            .ready()
            .accepted_by(
                Source,
                "REG-V055",
                "CTL-13",
                "two requests are answered with the first result alone, as QEMU does",
            ),
        open()
            .register(&[register(0, 0, 0)])
            .destination(Message::of(Kind::RegisterResult, &[first(0x501)]).repeat(2))
            .ready()
            .write(0, 0, 0x1000, 0x501)
            .accepted_by(
                Source,
                "REG-V056",
                "CTL-13",
                "one request is answered with one result whose repeat is 2",
            ),
    ]
}

fn refused(talk: Talk, id: &str, requirements: &str, title: &str, error: ErrorName) -> Vector {
    talk.refused_by(Destination, id, requirements, title, error)
}

fn no_block() -> Vec<Vector> {
    let no = |talk, id, title| refused(talk, id, "REG-11", title, ErrorName::NoSuchBlock);
    vec![
        no(open().register(&[register(0, 2, 0)]), "REG-V060", "the first index behind the blocks"),
        no(open().register(&[register(0, !0, 0)]), "REG-V061", "the highest index"),
        no(
            open().register(&[register(0, 1_u32.swap_bytes(), 0)]),
            "REG-V062",
            "a little-endian index",
        ),
        no(
            open().register(&[register(0, 0, 0), register(0, 2, 0)]),
            "REG-V063",
            "the second of two requests names no block",
        ),
        no(open().unregister(&[unregister(0, 2)]), "REG-V064", "an unregister request of no block"),
        no(open().compress(&[compress(0, 2, 0, 0x1000)]), "REG-V065", "a zero run of no block"),
    ]
}

fn outside() -> Vec<Vector> {
    let out = |requests: &[Command], id, title| {
        refused(open().register(requests), id, "REG-12", title, ErrorName::OutsideBlock)
    };
    vec![
        out(&[register(RAM.length, 0, 0)], "REG-V070", "the first byte behind a block"),
        out(&[register(BIOS.offset - 1, 1, 0)], "REG-V071", "the last byte before a block"),
        out(&[register(0, 1, 0)], "REG-V072", "an address of another block"),
        out(&[register(!0, 0, 0)], "REG-V073", "the highest address"),
        out(&[register(!0, 1, 0)], "REG-V074", "the highest address, in a block that starts high"),
        out(
            &[register(BIOS.address, 1, 0)],
            "REG-V075",
            "a host address in place of a RAM address",
        ),
        out(&[register(MIB.swap_bytes(), 0, 0)], "REG-V076", "a little-endian address"),
        out(
            &[register(0, 0, 0), register(RAM.length, 0, 0)],
            "REG-V077",
            "the second of two requests is outside",
        ),
    ]
}

fn too_many() -> Vec<Vector> {
    let many = |request: Command, id, title| {
        let talk = open().register(&[request]);
        refused(talk, id, "REG-13", title, ErrorName::TooManyChunks)
    };
    vec![
        many(register(0, 0, 3), "REG-V080", "a chunk more than the block has"),
        many(register(2 * MIB, 0, 1), "REG-V081", "a chunk behind the last"),
        many(register(BIOS.offset, 1, 1), "REG-V082", "a second chunk of a block that has one"),
        many(register(0, 0, !0), "REG-V083", "the most further chunks"),
        many(register(MIB, 0, !0), "REG-V084", "further chunks that wrap around"),
        many(register(0, 0, !0 >> 20), "REG-V085", "as many chunks as an address space has"),
        many(register(0, 0, 1_u64.swap_bytes()), "REG-V086", "a little-endian number"),
    ]
}

fn overlaps() -> Vec<Vector> {
    let overlap = |held: Command, request: Command, id, title| {
        let talk = open().register(&[held]).results(&[result(0x501, RAM.address)]).ready();
        let talk = talk.register(&[request]);
        refused(talk, id, "REG-21", title, ErrorName::RegionsOverlap)
    };
    let twice = [register(0, 0, 1), register(MIB, 0, 1)];
    vec![
        overlap(
            register(0, 0, 0),
            register(0, 0, 1),
            "REG-V090",
            "a region and the chunk behind it",
        ),
        overlap(
            register(MIB, 0, 0),
            register(0, 0, 1),
            "REG-V091",
            "the chunk before a region and it",
        ),
        overlap(
            register(MIB, 0, 0),
            register(0, 0, 2),
            "REG-V092",
            "a region and chunks on both sides",
        ),
        overlap(
            register(0, 0, 1),
            register(MIB, 0, 1),
            "REG-V093",
            "the end of a region and what is behind",
        ),
        refused(
            open().register(&twice),
            "REG-V094",
            "REG-21",
            "two requests of one message overlap",
            ErrorName::RegionsOverlap,
        ),
    ]
}

fn at_the_wrong_time() -> Vec<Vector> {
    let early = || Talk::dynamic().ready().list().ready();
    let before = |talk, id, title| refused(talk, id, "REG-22", title, ErrorName::BeforeRamBlocks);
    let pinned = |request, id, title| {
        let talk = Talk::pinned().exchanged().register(&[request]);
        refused(talk, id, "REG-20", title, ErrorName::RegistrationWhilePinned)
    };
    vec![
        before(
            early().register(&[register(0, 0, 0)]),
            "REG-V100",
            "REGISTER_REQUEST before the RAM blocks were exchanged",
        ),
        before(
            early().unregister(&[unregister(0, 0)]),
            "REG-V101",
            "UNREGISTER_REQUEST before the RAM blocks were exchanged",
        ),
        before(
            early().compress(&[compress(0, 0, 0, 0x1000)]),
            "REG-V102",
            "COMPRESS before the RAM blocks were exchanged",
        ),
        pinned(register(0, 0, 0), "REG-V103", "all RAM is pinned"),
        pinned(register(BIOS.offset, 1, 0), "REG-V104", "all RAM is pinned, the last block too"),
        refused(
            Talk::pinned().exchanged().unregister(&[unregister(0, 0)]),
            "REG-V105",
            "REG-35",
            "UNREGISTER_REQUEST where all RAM is pinned",
            ErrorName::RegistrationWhilePinned,
        ),
    ]
}

fn results() -> Vec<Vector> {
    let asked = || open().register(&[register(0, 0, 0)]);
    let answer = |results: &[Command], by, id, requirements, title, error| {
        asked().results(results).refused_by(by, id, requirements, title, error)
    };
    let good = result(0x501, RAM.address);
    vec![
        answer(
            &[result(0, RAM.address)],
            Source,
            "REG-V110",
            "REG-19 REG-18",
            "a key of 0",
            ErrorName::ZeroKey,
        ),
        answer(
            &[good, good],
            Source,
            "REG-V111",
            "REG-24 REG-16",
            "two results to one request",
            ErrorName::ResultCount,
        ),
        answer(
            &[result(0x501, RAM.address + MIB)],
            Observer,
            "REG-V112",
            "REG-17",
            "the host address is not that of the block",
            ErrorName::NotHostAddressOfBlock,
        ),
        open()
            .registered(0, MIB, 0x501)
            .register(&[register(0, 0, 0)])
            .results(&[result(0x502, RAM.address + MIB)])
            .refused_by(
                Observer,
                "REG-V113",
                "REG-17",
                "the host address is that of another chunk",
                ErrorName::NotHostAddressOfBlock,
            ),
        open()
            .registered(0, 0, 0x501)
            .register(&[register(0, 0, 0)])
            .results(&[result(0x502, RAM.address)])
            .refused_by(
                Observer,
                "REG-V114",
                "REG-15",
                "a chunk that is registered is answered with another key",
                ErrorName::AnotherKey,
            ),
        answer(
            &[result(0x501, !0)],
            Source,
            "REG-V115",
            "REG-23",
            "the highest host address",
            ErrorName::AddressOverflow,
        ),
        answer(
            &[result(0x501, (RAM.length - 1).wrapping_neg())],
            Source,
            "REG-V116",
            "REG-23",
            "a host address from which the last byte wraps",
            ErrorName::AddressOverflow,
        ),
        Talk::dynamic()
            .places(&[Place { address: RAM.length.wrapping_neg(), ..RAM }])
            .exchanged()
            .registered(0, 0, 0x501)
            .write(0, 0, 0x1000, 0x501)
            .finished()
            .accepted("REG-V117", "REG-23", "a block that takes up the last byte there is"),
    ]
}

fn given_back() -> Vec<Vector> {
    let finished = |repeat| Message::empty(Kind::UnregisterFinished).repeat(repeat);
    let held = || open().registered(0, 0, 0x501).write(0, 0, 0x1000, 0x501);
    vec![
        held()
            .unregister(&[unregister(0, 0)])
            .destination(finished(1))
            .ready()
            .finished()
            .accepted("REG-V120", "REG-5 REG-33", "a chunk is unregistered"),
        held()
            .unregister(&[unregister(0, 0)])
            .destination(finished(1))
            .ready()
            .registered(0, 0x2000, 0x502)
            .write(0, 0x2000, 0x1000, 0x502)
            .finished()
            .accepted("REG-V121", "REG-33 REG-34", "a chunk is unregistered and registered again"),
        open()
            .registered(0, 0, 0x501)
            .registered(1, 0, 0x502)
            .unregister(&[unregister(0, 1), unregister(0, 0)])
            .destination(finished(2))
            .ready()
            .accepted_by(Destination, "REG-V122", "REG-33", "two regions are unregistered at once"),
        held().unregister(&[unregister(0, 0)]).destination(finished(2)).refused_by(
            Observer,
            "REG-V123",
            "REG-33",
            "UNREGISTER_FINISHED with another repeat",
            ErrorName::RepeatNotOfRequest,
        ),
        held()
            .unregister(&[unregister(0, 0)])
            .destination(finished(1))
            .ready()
            .write(0, 0x2000, 0x1000, 0x501)
            .refused_by(
                Observer,
                "REG-V124",
                "REG-34 REG-10",
                "a key is used after it was given back",
                ErrorName::WriteWithoutKey,
            ),
        open()
            .registered(0, 0, 0x501)
            .registered(0, MIB, 0x502)
            .source(Message::of(Kind::UnregisterRequest, &[unregister(0, 0)]).word(36, 1))
            .destination(finished(1))
            .ready()
            .write(0, MIB, 0x1000, 0x502)
            .finished()
            .accepted_by(
                Destination,
                "REG-V125",
                "REG-36 REG-33",
                "one region is given back, though `chunks` is 1",
            ),
    ]
}

fn not_given_back() -> Vec<Vector> {
    let no = |talk, id, title| refused(talk, id, "REG-31", title, ErrorName::NotRegistered);
    let region = || {
        let talk = open().register(&[register(0, 0, 2)]);
        talk.results(&[result(0x501, RAM.address)]).ready()
    };
    let chunk = || open().registered(0, 0, 0x501);
    let gone = || {
        let finished = Message::empty(Kind::UnregisterFinished);
        chunk().unregister(&[unregister(0, 0)]).destination(finished).ready()
    };
    vec![
        no(open().unregister(&[unregister(0, 0)]), "REG-V130", "a chunk that was never registered"),
        no(region().unregister(&[unregister(1, 0)]), "REG-V131", "a chunk inside a region"),
        no(gone().unregister(&[unregister(0, 0)]), "REG-V132", "a chunk that was given back"),
        no(
            chunk().unregister(&[unregister(0, 0), unregister(0, 0)]),
            "REG-V133",
            "a chunk twice in one message",
        ),
        no(chunk().unregister(&[unregister(3, 0)]), "REG-V134", "a chunk behind its block"),
        no(chunk().unregister(&[unregister(!0, 0)]), "REG-V135", "the highest chunk"),
        no(chunk().unregister(&[unregister(0, 1)]), "REG-V136", "the same chunk of another block"),
    ]
}
