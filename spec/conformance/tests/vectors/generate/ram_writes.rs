//! Chapter 6: where a source may write.

use rdma_migration_conformance::vectors::error_name::ErrorName::{
    self, RunAcrossChunks, WriteOutsideBlocks, WriteWithoutKey,
};
use rdma_migration_conformance::vectors::vector::{Reader, Vector};

use super::talk::{BIOS, RAM, Talk};

const MIB: u64 = 1 << 20;

pub(super) fn vectors() -> Vec<Vector> {
    [written(), outside(), across(), without_key()].concat()
}

fn pinned() -> Talk {
    Talk::pinned().exchanged()
}

fn refused(talk: Talk, id: &str, requirements: &str, title: &str, error: ErrorName) -> Vector {
    talk.refused_by(Reader::Observer, id, requirements, title, error)
}

fn written() -> Vec<Vector> {
    vec![
        pinned()
            .write(0, 0, 0x1000, RAM.rkey)
            .write(0, MIB, MIB, RAM.rkey)
            .write(0, 2 * MIB, 0x8_0000, RAM.rkey)
            .write(1, 0, BIOS.length, BIOS.rkey)
            .finished()
            .accepted("WRITE-V001", "WRITE-1 WRITE-4", "all RAM is pinned: pages, chunks, a block"),
        pinned()
            .write(0, RAM.length - 0x1000, 0x1000, RAM.rkey)
            .write(1, BIOS.length - 0x1000, 0x1000, BIOS.rkey)
            .finished()
            .accepted("WRITE-V002", "WRITE-1", "all RAM is pinned: the last page of each block"),
        Talk::dynamic()
            .exchanged()
            .registered(0, 0xc_d000, 0x501)
            .write(0, 0xc_d000, 0x3_3000, 0x501)
            .registered(0, MIB, 0x502)
            .write(0, MIB, 0x1000, 0x502)
            .finished()
            .accepted(
                "WRITE-V003",
                "REG-10 WRITE-4",
                "a run to the end of its chunk, and the next",
            ),
        Talk::dynamic()
            .chunks_of(2 * MIB)
            .exchanged()
            .registered(0, 0, 0x501)
            .write(0, 0, 2 * MIB, 0x501)
            .finished()
            .accepted("WRITE-V004", "LIM-10 WRITE-4", "chunks of 2 MiB were agreed on"),
        Talk::dynamic()
            .chunks_of(1 << 30)
            .exchanged()
            .registered(0, 0, 0x501)
            .write(0, 0, RAM.length, 0x501)
            .finished()
            .accepted("WRITE-V005", "LIM-10 WRITE-4", "chunks of 1 GiB were agreed on"),
    ]
}

fn outside() -> Vec<Vector> {
    let write = |address, length, id, title| {
        let talk = pinned().write_to(address, length, RAM.rkey);
        refused(talk, id, "WRITE-1", title, WriteOutsideBlocks)
    };
    vec![
        write(RAM.address + RAM.length, 0x1000, "WRITE-V010", "a page behind a block"),
        write(RAM.address + RAM.length - 0x1000, 0x1001, "WRITE-V011", "a byte over a block's end"),
        write(RAM.address - 1, 0x1000, "WRITE-V012", "a byte before a block"),
        write(RAM.address - 0x1000, 0x1000, "WRITE-V013", "a page before a block"),
        write(0, 0x1000, "WRITE-V014", "address 0"),
        write(RAM.offset + MIB, 0x1000, "WRITE-V015", "a RAM address in place of a host address"),
        write(!0, 1, "WRITE-V016", "the highest address"),
        write(RAM.address.swap_bytes(), 0x1000, "WRITE-V017", "a little-endian address"),
        write(RAM.address, RAM.length + 1, "WRITE-V018", "a block and a byte"),
    ]
}

fn across() -> Vec<Vector> {
    let write = |at, length, id, title| {
        let talk = pinned().write(0, at, length, RAM.rkey);
        refused(talk, id, "WRITE-4", title, RunAcrossChunks)
    };
    let large = Talk::dynamic().chunks_of(2 * MIB).exchanged().registered(0, 0, 0x501);
    vec![
        write(MIB - 0x1000, 0x2000, "WRITE-V020", "the last page of a chunk and the next"),
        write(0, MIB + 1, "WRITE-V021", "a chunk and a byte"),
        write(0, RAM.length, "WRITE-V022", "a whole block of three chunks"),
        refused(
            large.write(0, 0, 2 * MIB + 1, 0x501),
            "WRITE-V023",
            "WRITE-4 LIM-10",
            "a chunk of 2 MiB and a byte",
            RunAcrossChunks,
        ),
    ]
}

fn without_key() -> Vec<Vector> {
    let none = |talk, id, title| refused(talk, id, "REG-10", title, WriteWithoutKey);
    let dynamic = || Talk::dynamic().exchanged();
    let held = || dynamic().registered(0, 0, 0x501);
    vec![
        none(dynamic().write(0, 0, 0x1000, 0), "WRITE-V030", "nothing is registered, key 0"),
        none(dynamic().write(0, 0, 0x1000, 0x103), "WRITE-V031", "nothing is registered, any key"),
        none(held().write(0, 0, 0x1000, 0x502), "WRITE-V032", "another key than that of the chunk"),
        none(held().write(0, MIB, 0x1000, 0x501), "WRITE-V033", "the key of the chunk before"),
        none(
            held().registered(1, 0, 0x502).write(1, 0, 0x1000, 0x501),
            "WRITE-V034",
            "the key of another block",
        ),
        none(
            held().write(0, 0, 0x1000, 0x501_u32.swap_bytes()),
            "WRITE-V035",
            "a little-endian key",
        ),
        none(
            pinned().write(0, 0, 0x1000, BIOS.rkey),
            "WRITE-V036",
            "all RAM is pinned: the key of another block",
        ),
        none(pinned().write(0, 0, 0x1000, 0), "WRITE-V037", "all RAM is pinned: key 0"),
    ]
}
