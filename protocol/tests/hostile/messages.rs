//! Messages of either side, with any contents, and bytes that are none.

use proptest::collection::vec;
use proptest::prelude::*;
use rdma_migration_protocol::address::{BlockIndex, HostAddress, RamAddress, Rkey};
use rdma_migration_protocol::limits::HEADER_BYTES;
use rdma_migration_protocol::wire::{
    Compress, Entries, Message, RamBlock, RegisterRequest, RegisterResult, UnregisterRequest,
};

pub(crate) const MIB: u64 = 1 << 20;
/// The RAM blocks of both sides.
pub(crate) const LENGTHS: [u64; 3] = [3 * MIB + 0x2000, 0x1000, MIB];
/// Where each starts in the destination's RAM address space; the last one ends as late as it may.
pub(crate) const RAM: [u64; 3] = [0, 0x1_0000_0000, u64::MAX - MIB];

pub(crate) fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut bytes).expect("a message that can be encoded");
    bytes
}

/// The descriptors that a destination would give.
pub(crate) fn ram_blocks(rkey: u32) -> Vec<RamBlock> {
    let blocks = LENGTHS.iter().zip(RAM).map(|(length, ram)| RamBlock {
        remote_address: HostAddress::new(0x7000_0000_0000),
        offset: RamAddress::new(ram),
        length: *length,
        rkey: Rkey::new(rkey),
    });
    blocks.collect()
}

/// Numbers around the edges of blocks and of chunks.
pub(crate) fn edge() -> impl Strategy<Value = u64> + Clone {
    let near = prop::sample::select(vec![0, 0x1000, 0x2000, MIB, 2 * MIB, 3 * MIB, u64::MAX]);
    let exact = near.clone();
    prop_oneof![
        3 => exact,
        2 => (near, 0..3_u64).prop_map(|(near, by)| near.wrapping_add(by).wrapping_sub(1)),
        1 => any::<u64>(),
    ]
}

/// The number of a block, which mostly exists.
pub(crate) fn block() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0..3_u32, 1 => any::<u32>()]
}

/// A place in the RAM address space: often inside a block.
fn place() -> impl Strategy<Value = (BlockIndex, RamAddress)> {
    (block(), edge()).prop_map(|(block, offset)| {
        let start = usize::try_from(block).ok().and_then(|block| RAM.get(block)).copied();
        let address = start.unwrap_or_default().wrapping_add(offset);
        (BlockIndex::new(block), RamAddress::new(address))
    })
}

fn count() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 1..4_usize, 1 => Just(4096)]
}

fn commands<T: Clone + core::fmt::Debug>(
    one: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<T>> {
    (vec(one, 1..4), count()).prop_map(|(few, count)| few.into_iter().cycle().take(count).collect())
}

/// Commands of a source, with any contents.
pub(crate) fn command() -> impl Strategy<Value = Vec<u8>> {
    let register = (place(), edge()).prop_map(|((block, address), chunks)| RegisterRequest {
        address,
        block,
        chunks: chunks & 3,
    });
    let greedy = (place(), edge()).prop_map(|((block, address), chunks)| RegisterRequest {
        address,
        block,
        chunks,
    });
    let zero = (place(), edge(), 0..8_u32).prop_map(|((block, offset), length, value)| {
        // Rarely a value that is not zero.
        Compress { value: value.saturating_sub(6), block, offset, length: length & 0x3_ffff }
    });
    let unregister = (block(), 0..5_u64)
        .prop_map(|(block, chunk)| UnregisterRequest { chunk, block: BlockIndex::new(block) });
    prop_oneof![
        2 => vec(any::<u8>(), 1..50).prop_map(|stream| encode(&Message::QemuFile(&stream))),
        1 => Just(encode(&Message::RamBlocksRequest)),
        2 => Just(encode(&Message::RegisterFinished)),
        8 => commands(register)
            .prop_map(|few| encode(&Message::RegisterRequest(Entries::new(&few)))),
        1 => commands(greedy)
            .prop_map(|few| encode(&Message::RegisterRequest(Entries::new(&few)))),
        4 => commands(zero).prop_map(|few| encode(&Message::Compress(Entries::new(&few)))),
        6 => commands(unregister)
            .prop_map(|few| encode(&Message::UnregisterRequest(Entries::new(&few)))),
    ]
}

/// Replies of a destination, with any contents.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![Just(0_u32), Just(7), any::<u32>()];
    let result =
        (key.clone(), prop_oneof![Just(0x7000_0000_0000), edge()]).prop_map(|(rkey, address)| {
            RegisterResult { rkey: Rkey::new(rkey), host_address: HostAddress::new(address) }
        });
    let blocks = (key, 0..4_usize, any::<bool>()).prop_map(|(key, count, right)| {
        let mut blocks = ram_blocks(key);
        if !right {
            blocks.truncate(count);
            blocks.iter_mut().for_each(|block| block.length ^= 1);
        }
        encode(&Message::RamBlocksResult(Entries::new(&blocks)))
    });
    prop_oneof![
        2 => blocks,
        2 => vec(result, 1..3).prop_map(|few| {
            let repeat = u32::try_from(few.len()).unwrap();
            encode(&Message::RegisterResult { repeat, results: Entries::new(&few) })
        }),
        1 => any::<u32>().prop_map(|repeat| encode(&Message::UnregisterFinished { repeat })),
    ]
}

/// Any valid message.
pub(crate) fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => command(),
        4 => reply(),
        2 => Just(encode(&Message::Ready)),
        1 => Just(encode(&Message::Error)),
        1 => Just(encode(&Message::None)),
    ]
}

/// Bytes that are mostly no message.
pub(crate) fn garbage() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..64),
        (message(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
            let at = at.index(bytes.len().min(2 * HEADER_BYTES));
            bytes[at] = byte;
            bytes
        }),
        (message(), any::<prop::sample::Index>()).prop_map(|(mut bytes, at)| {
            bytes.truncate(at.index(bytes.len()));
            bytes
        }),
    ]
}
