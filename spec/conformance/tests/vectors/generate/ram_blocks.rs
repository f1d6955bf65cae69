//! Chapter 4: RAM blocks and their exchange.

use rdma_migration_conformance::codec::{Command, Kind, RamBlock};
use rdma_migration_conformance::vectors::error_name::ErrorName::{self, PartialRamBlock};
use rdma_migration_conformance::vectors::vector::{Content, Reader, Vector};

use super::build::{Message, fails, ram_block, read_by, reads, repeated, vector};
use super::talk::{BIOS, Place, RAM, Talk};
use Reader::{Destination, Observer, Source};

pub(super) fn vectors() -> Vec<Vector> {
    let messages = read_by(Source, [layout(), partial()].concat());
    [messages, exchanges(), counts_and_lengths(), addresses(), keys()].concat()
}

const KIND: Kind = Kind::RamBlocksResult;

fn layout() -> Vec<Vector> {
    let order =
        ram_block(0x0102_0304_0506_0708, 0x1112_1314_1516_1718, 0x2122_2324_2526_2728, 0x3132_3334);
    let one = |id, requirements, title, block| {
        reads(id, requirements, title, Message::of(KIND, &[block]))
    };
    let real =
        [(0x7f2d_34a0_0000, 0, 0x400_0000, 0x530), (0x7f2d_4e60_0000, 0x42c_0000, 0x1000, 0xa12)];
    let real = real.map(|(address, offset, length, rkey)| ram_block(address, offset, length, rkey));
    let many = repeated(ram_block(0x7f00_0000_0000, 0, 0x1000, 0), KIND, 16_383);
    vec![
        one("BLK-V001", "BLK-1", "the order of fields and bytes", order),
        one("BLK-V002", "BLK-1 BLK-17", "no key", ram_block(0x7f00_0000_0000, 0, 0x1000, 0)),
        one("BLK-V003", "BLK-1", "every field 0", ram_block(0, 0, 0, 0)),
        one("BLK-V004", "BLK-1", "every field at its highest", ram_block(!0, !0, !0, !0)),
        one("BLK-V005", "BLK-1", "the highest address alone", ram_block(!0, 0, 1, 1)),
        one("BLK-V006", "BLK-1", "the highest offset alone", ram_block(0, !0, 1, 1)),
        one("BLK-V007", "BLK-1", "the highest length alone", ram_block(0, 0, !0, 1)),
        one("BLK-V008", "BLK-1", "the highest key alone", ram_block(0, 0, 1, !0)),
        reads(
            "BLK-V009",
            "BLK-1",
            "the first and the last block of a guest",
            Message::of(KIND, &real),
        ),
        reads("BLK-V010", "BLK-2", "no block at all", Message::of(KIND, &[])),
        reads(
            "BLK-V011",
            "BLK-3",
            "anything in the padding of a block",
            Message::of(KIND, &[order]).word(44, 0x567f),
        ),
        reads(
            "BLK-V012",
            "BLK-3 CTL-5 CTL-9",
            "everything that is ignored is set",
            Message::of(KIND, &real).repeat(!0).padding(!0).word(44, !0).word(76, !0),
        ),
        vector(
            "BLK-V013",
            "BLK-2 LIM-3",
            "16383 blocks, the most there can be",
            Content::Message(many),
        ),
        little_endian(),
    ]
}

/// A host that forgot to turn the fields around is read as what it sent.
fn little_endian() -> Vector {
    let block =
        RamBlock { remote_address: 0x7f00_0000_0000, offset: 0, length: 0x1000, rkey: 0x103 };
    let turned = RamBlock {
        remote_address: block.remote_address.swap_bytes(),
        offset: block.offset.swap_bytes(),
        length: block.length.swap_bytes(),
        rkey: block.rkey.swap_bytes(),
    };
    let sent = Message::of(KIND, &[Command::RamBlock(block)]).turned(16, &[8, 8, 8, 4]);
    let read = Message::of(KIND, &[Command::RamBlock(turned)]);
    assert_eq!(sent.bytes, read.bytes);
    reads("BLK-V014", "BLK-1", "a block in little-endian, read as it stands", read)
}

fn partial() -> Vec<Vector> {
    let block = || Message::of(KIND, &[ram_block(0x7f00_0000_0000, 0, 0x1000, 0x103)]);
    let cut =
        |id, title, bytes| fails(id, "BLK-2", title, block().payload(bytes), &[PartialRamBlock]);
    vec![
        cut("BLK-V020", "one byte", 1),
        cut("BLK-V021", "a block without its padding", 28),
        cut("BLK-V022", "a block that is a byte short", 31),
        cut("BLK-V023", "a block and a byte", 33),
        cut("BLK-V024", "a block and a half", 48),
        cut("BLK-V025", "two blocks that are a byte short", 63),
    ]
}

fn exchanges() -> Vec<Vector> {
    let low = Place { address: 0x10_0000, offset: 0x4000_0000, length: 0x10_0000, rkey: 7 };
    let high = Place { address: !0x10_0000, offset: !0x10_0000, length: 0x10_0000, rkey: !0 };
    let last = Place { address: high.address + 1, offset: high.offset + 1, ..high };
    let same = |offset| Place { offset, ..BIOS };
    let again = |talk: Talk, id, title| {
        let requirements = "BLK-12 BLK-10";
        talk.refused_by(Destination, id, requirements, title, ErrorName::BlocksRequestedTwice)
    };
    vec![
        Talk::dynamic().exchanged().accepted(
            "BLK-V030",
            "BLK-10 BLK-11 BLK-17",
            "the RAM blocks are exchanged, without keys",
        ),
        Talk::pinned().exchanged().accepted(
            "BLK-V031",
            "BLK-10 BLK-11 BLK-18",
            "the RAM blocks are exchanged, with keys",
        ),
        Talk::pinned().places(&[low, high]).exchanged().accepted(
            "BLK-V032",
            "BLK-11 BLK-15",
            "the order is that of the list, and a block may end a byte before its address space",
        ),
        Talk::dynamic().places(&[same(0), Place { address: 0, ..same(0) }]).exchanged().accepted(
            "BLK-V033",
            "BLK-11",
            "every block may start at 0 in the RAM address space, and one at address 0",
        ),
        Talk::dynamic().places(&[BIOS]).exchanged().accepted("BLK-V034", "BLK-11", "one block"),
        again(
            Talk::dynamic().exchanged().blocks_request(),
            "BLK-V035",
            "RAM_BLOCKS_REQUEST again in the same round",
        ),
        again(
            Talk::pinned()
                .exchanged()
                .finished()
                .ready()
                .stream(&super::stream_parts::round())
                .ready()
                .blocks_request(),
            "BLK-V036",
            "RAM_BLOCKS_REQUEST again in the next round",
        ),
        Talk::pinned().places(&[low, last]).exchanged().accepted(
            "BLK-V037",
            "BLK-15 BLK-11",
            "a block may take up its address spaces to the last byte",
        ),
    ]
}

fn answered(
    id: &str,
    requirement: &str,
    title: &str,
    blocks: &[Command],
    error: ErrorName,
) -> Vector {
    let talk = Talk::dynamic().up_to_blocks_request().blocks_result(blocks);
    talk.refused_by(Source, id, requirement, title, error)
}

fn counts_and_lengths() -> Vec<Vector> {
    let block = |place: Place, length| ram_block(place.address, place.offset, length, 0);
    let (ram, bios) = (block(RAM, RAM.length), block(BIOS, BIOS.length));
    let count = |id, title, blocks: &[Command]| {
        answered(id, "BLK-13", title, blocks, ErrorName::BlockCount)
    };
    let length = |id, title, blocks: &[Command]| {
        answered(id, "BLK-14", title, blocks, ErrorName::BlockLength)
    };
    vec![
        count("BLK-V040", "no block for two", &[]),
        count("BLK-V041", "one block for two", &[ram]),
        count("BLK-V042", "three blocks for two", &[ram, bios, bios]),
        length("BLK-V043", "the first block is a page short", &[block(RAM, 0x27_f000), bios]),
        length("BLK-V044", "the first block is a byte long", &[block(RAM, 0x28_0001), bios]),
        length("BLK-V045", "the last block is empty", &[ram, block(BIOS, 0)]),
        length("BLK-V046", "the last block has the highest length", &[ram, block(BIOS, !0)]),
        length("BLK-V047", "two blocks in the other order", &[bios, ram]),
        length("BLK-V048", "a little-endian length", &[block(RAM, RAM.length.swap_bytes()), bios]),
    ]
}

fn addresses() -> Vec<Vector> {
    let ram = |address, offset| ram_block(address, offset, RAM.length, 0);
    let bios = |address, offset| ram_block(address, offset, BIOS.length, 0);
    let wraps = |id, title, blocks: [Command; 2]| {
        answered(id, "BLK-15", title, &blocks, ErrorName::AddressOverflow)
    };
    let (ram_ok, bios_ok) = (ram(RAM.address, RAM.offset), bios(BIOS.address, BIOS.offset));
    vec![
        wraps("BLK-V050", "the highest address", [ram(!0, 0), bios_ok]),
        wraps("BLK-V051", "the highest offset", [ram(RAM.address, !0), bios_ok]),
        wraps(
            "BLK-V052",
            "an address from which the last byte wraps",
            [ram(!0 - 0x27_fffe, 0), bios_ok],
        ),
        wraps(
            "BLK-V053",
            "an offset from which the last byte wraps",
            [ram(0, !0 - 0x27_fffe), bios_ok],
        ),
        wraps("BLK-V054", "the last block wraps", [ram_ok, bios(BIOS.address, !0)]),
    ]
}

fn keys() -> Vec<Vector> {
    let answered = |blocks: &[Command]| Talk::pinned().up_to_blocks_request().blocks_result(blocks);
    let block = |place: Place, rkey| ram_block(place.address, place.offset, place.length, rkey);
    let zero = |id, title, blocks: &[Command]| {
        answered(blocks).refused_by(Source, id, "BLK-18", title, ErrorName::ZeroKey)
    };
    vec![
        zero(
            "BLK-V060",
            "all RAM is pinned, and no block has a key",
            &[block(RAM, 0), block(BIOS, 0)],
        ),
        zero(
            "BLK-V061",
            "all RAM is pinned, and the first block has no key",
            &[block(RAM, 0), block(BIOS, 1)],
        ),
        zero(
            "BLK-V062",
            "all RAM is pinned, and the last block has no key",
            &[block(RAM, 1), block(BIOS, 0)],
        ),
        Talk::dynamic()
            .up_to_blocks_request()
            .blocks_result(&[block(RAM, 0x103), block(BIOS, 0)])
            .refused_by(
                Observer,
                "BLK-V063",
                "BLK-17",
                "a key where chunks are registered one by one",
                ErrorName::KeyWithoutPinAll,
            ),
        answered(&[block(RAM, 1), block(BIOS, !0)]).accepted(
            "BLK-V064",
            "BLK-18",
            "the lowest and the highest key",
        ),
    ]
}
