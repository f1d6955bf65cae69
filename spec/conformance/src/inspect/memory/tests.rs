use super::*;

const CHUNK: NonZeroU64 = NonZeroU64::new(MIB).unwrap();
const MIB: u64 = 1 << 20;
const BASE: u64 = 0x7f00_0000_0000;

fn memory(rkey: u32) -> Memory {
    let mut memory = Memory::new(CHUNK, true);
    memory.take_names(&[NamedBlock { name: "pc.ram".into(), length: 16 * MIB }]);
    let block = RamBlock { remote_address: BASE, offset: 0x1000, length: 16 * MIB, rkey };
    assert_eq!(memory.take_blocks(&[block], rkey != 0), []);
    memory
}

fn range(offset: u64, rkey: u32, length: u32) -> RemoteRange {
    RemoteRange { address: BASE + offset, rkey, length }
}

fn register(memory: &mut Memory, chunk: u64, chunks: u64, rkey: u32) {
    let address = 0x1000 + chunk * MIB + 0x5000;
    memory.begin_requests();
    let request = RegisterRequest { address, block: 0, chunks };
    assert_eq!(memory.request(&request).1, None);
    assert_eq!(memory.result(0, &RegisterResult { rkey, host_address: BASE }).1, None);
}

#[test]
fn a_write_needs_the_key_of_every_chunk_that_it_touches() {
    let mut memory = memory(0);
    assert_eq!(memory.write(&range(0, 9, 4096)).1, Some(Deviation::UnknownKey { rkey: 9 }));
    register(&mut memory, 3, 1, 9);
    assert_eq!(memory.write(&range(3 * MIB, 9, 0x20_0000)).1, None);
    let place = "pc.ram chunks 4 to 5, 1.5 MiB at 0x400000".to_owned();
    assert_eq!(
        memory.write(&range(4 * MIB, 9, 0x18_0000)).1,
        Some(Deviation::OutsideGrant { rkey: 9, place })
    );
    memory.unregister(&UnregisterRequest { chunk: 3, block: 0 });
    assert!(memory.write(&range(3 * MIB, 9, 4096)).1.is_some());
}

#[test]
fn with_pin_all_the_key_of_the_block_opens_all_of_it() {
    let mut memory = memory(7);
    assert_eq!(memory.write(&range(15 * MIB, 7, 0x10_0000)).1, None);
    assert_eq!(
        memory.write(&range(15 * MIB, 7, 0x10_0001)).1,
        Some(Deviation::WriteOutsideBlocks { address: BASE + 15 * MIB, length: 0x10_0001 })
    );
    assert_eq!(memory.blocks()[0].written_bytes, MIB);
}

#[test]
fn a_block_without_a_key_is_an_error_with_pin_all_only() {
    let block = RamBlock { remote_address: BASE, offset: 0, length: MIB, rkey: 0 };
    let mut memory = Memory::new(CHUNK, true);
    assert_eq!(memory.take_blocks(&[block], false), []);
    let deviation = Deviation::ZeroKey { place: "block 0".into() };
    assert_eq!(memory.take_blocks(&[block], true), [deviation]);
}

#[test]
fn blocks_are_compared_with_their_names() {
    let mut memory = Memory::new(CHUNK, true);
    memory.take_names(&[NamedBlock { name: "pc.ram".into(), length: 2 * MIB }]);
    let block = RamBlock { remote_address: BASE, offset: 0, length: MIB, rkey: 0 };
    assert_eq!(
        memory.take_blocks(&[block, block], false),
        [
            Deviation::BlockCount { named: 1, granted: 2 },
            Deviation::BlockLength { block: "pc.ram".into(), named: 2 * MIB, granted: MIB }
        ]
    );
}

#[test]
fn commands_that_leave_their_block_are_seen() {
    let mut memory = memory(0);
    let run = Compress { value: 0, block: 0, offset: 0x1000 + 15 * MIB, length: MIB };
    assert_eq!(memory.compress(&run).0.unwrap().to_string(), "pc.ram chunk 15, 1 MiB at 0xf00000");
    assert!(memory.compress(&Compress { length: MIB + 1, ..run }).1.is_some());
    assert!(memory.compress(&Compress { offset: 0xfff, ..run }).1.is_some());
    assert!(memory.compress(&Compress { block: 1, ..run }).1.is_some());
    assert!(memory.compress(&Compress { offset: u64::MAX, ..run }).1.is_some());
    let request = RegisterRequest { address: 0x1000, block: 0, chunks: 15 };
    assert_eq!(memory.request(&request).1, None);
    assert!(memory.request(&RegisterRequest { chunks: 16, ..request }).1.is_some());
    assert!(memory.request(&RegisterRequest { chunks: u64::MAX, ..request }).1.is_some());
    assert!(memory.unregister(&UnregisterRequest { chunk: 16, block: 0 }).1.is_some());
}

#[test]
fn the_address_in_a_result_is_that_of_the_block_from_then_on() {
    let mut memory = memory(0);
    memory.begin_requests();
    memory.request(&RegisterRequest { address: 0x1000, block: 0, chunks: 0 });
    memory.result(0, &RegisterResult { rkey: 9, host_address: BASE + 64 * MIB });
    assert_eq!(memory.write(&range(64 * MIB, 9, 4096)).1, None);
    let outside = Deviation::WriteOutsideBlocks { address: BASE, length: 4096 };
    assert_eq!(memory.write(&range(0, 9, 4096)).1, Some(outside));
}

#[test]
fn keys_are_judged_from_the_ram_blocks_on_even_if_the_beginning_is_missing() {
    let mut memory = Memory::new(CHUNK, false);
    let block = RamBlock { remote_address: BASE, offset: 0, length: MIB, rkey: 0 };
    memory.take_blocks(&[block], false);
    assert_eq!(memory.write(&range(0, 9, 4096)).1, Some(Deviation::UnknownKey { rkey: 9 }));
    memory.lose_track();
    assert_eq!(memory.write(&range(0, 9, 4096)).1, None);
}

#[test]
fn nothing_is_judged_without_the_blocks_when_the_beginning_is_missing() {
    let mut memory = Memory::new(CHUNK, false);
    assert_eq!(memory.write(&range(0, 9, 4096)), (None, None));
    let run = Compress { value: 0, block: 3, offset: 0, length: MIB };
    assert_eq!(memory.compress(&run), (None, None));
}
