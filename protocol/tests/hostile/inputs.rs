//! Whatever a peer, a transport and an owner can do to a machine, in any order.

use proptest::collection::vec;
use proptest::prelude::*;
use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, RamAddress, Rkey};
use rdma_migration_protocol::limits::HEADER_BYTES;
use rdma_migration_protocol::transport::{
    Completion, FailedOperation, ReceiveBuffer, RegionId, TransportError,
};
use rdma_migration_protocol::wire::{
    Compress, Entries, Message, RamBlock, RegisterRequest, RegisterResult, UnregisterRequest,
};

pub(crate) const MIB: u64 = 1 << 20;
/// The RAM blocks of both sides.
pub(crate) const LENGTHS: [u64; 3] = [3 * MIB + 0x2000, 0x1000, MIB];
/// Where each starts in the destination's RAM address space; the last one ends as late as it may.
pub(crate) const RAM: [u64; 3] = [0, 0x1_0000_0000, u64::MAX - MIB];

/// One thing that happens to a machine.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A connection event, with private data where it has some.
    Requested(Vec<u8>),
    Established(Vec<u8>),
    Rejected,
    ConnectionFailed,
    Lost,
    /// Bytes arrive in the receive that was posted first, if one is.
    Message(Vec<u8>),
    /// An answer to one of the operations that wait for one: it went well, or this is wrong.
    Answer(usize, Option<TransportError>),
    /// An answer to nothing in particular.
    Stray(Stray),
    /// Operations and events are polled.
    Poll,
    /// Everything that was ordered goes well.
    Cooperate,
    /// Time passes to the next deadline.
    Expire,
    /// The owner calls.
    Call(Call),
}

/// A completion that owns its bytes.
#[derive(Clone, Debug)]
pub(crate) enum Stray {
    Received(ReceiveBuffer, Vec<u8>),
    Other(Completion<'static>),
}

/// A call of either owner, with any arguments.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Connect,
    WriteStream(usize),
    FlushStream,
    ExchangeBlocks,
    WriteRam(u32, u64, u64),
    Unregister(u32, u64),
    FinishRound,
    TakeStream(usize),
    OpenWindow,
    PlaceBlocks,
    Finish,
    Abort,
}

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

fn edge() -> impl Strategy<Value = u64> + Clone {
    let near = prop::sample::select(vec![0, 0x1000, 0x2000, MIB, 2 * MIB, 3 * MIB, u64::MAX]);
    let exact = near.clone();
    prop_oneof![
        3 => exact,
        2 => (near, 0..3_u64).prop_map(|(near, by)| near.wrapping_add(by).wrapping_sub(1)),
        1 => any::<u64>(),
    ]
}

fn block() -> impl Strategy<Value = u32> {
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

/// Valid messages with any contents.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![Just(0_u32), Just(7), any::<u32>()];
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
    let result =
        (key.clone(), prop_oneof![Just(0x7000_0000_0000), edge()]).prop_map(|(rkey, address)| {
            RegisterResult { rkey: Rkey::new(rkey), host_address: HostAddress::new(address) }
        });
    let blocks = (key, 0..5_usize, any::<bool>()).prop_map(|(key, count, right)| {
        let mut blocks = ram_blocks(key);
        if !right {
            blocks.truncate(count);
            blocks[..count.min(1)].iter_mut().for_each(|block| block.length ^= 1);
        }
        encode(&Message::RamBlocksResult(Entries::new(&blocks)))
    });
    prop_oneof![
        8 => Just(encode(&Message::Ready)),
        1 => Just(encode(&Message::Error)),
        1 => Just(encode(&Message::None)),
        3 => vec(any::<u8>(), 1..50).prop_map(|stream| encode(&Message::QemuFile(&stream))),
        2 => Just(encode(&Message::RamBlocksRequest)),
        3 => Just(encode(&Message::RegisterFinished)),
        3 => blocks,
        4 => commands(register)
            .prop_map(|few| encode(&Message::RegisterRequest(Entries::new(&few)))),
        1 => commands(greedy)
            .prop_map(|few| encode(&Message::RegisterRequest(Entries::new(&few)))),
        4 => commands(zero).prop_map(|few| encode(&Message::Compress(Entries::new(&few)))),
        4 => commands(unregister)
            .prop_map(|few| encode(&Message::UnregisterRequest(Entries::new(&few)))),
        4 => vec(result, 1..3).prop_map(|few| {
            let repeat = u32::try_from(few.len()).unwrap();
            encode(&Message::RegisterResult { repeat, results: Entries::new(&few) })
        }),
        3 => any::<u32>()
            .prop_map(|repeat| encode(&Message::UnregisterFinished { repeat })),
    ]
}

/// Bytes that are mostly no message.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
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

fn error() -> impl Strategy<Value = TransportError> {
    prop::sample::select(vec![
        TransportError::Flushed,
        TransportError::Cancelled,
        TransportError::RetryExceeded,
        TransportError::ReceiverNotReady,
        TransportError::MemoryLimit,
        TransportError::Os(5),
    ])
}

fn stray() -> impl Strategy<Value = Stray> {
    let buffer = (0..5_u8).prop_map(ReceiveBuffer);
    let region = (0..8_u32).prop_map(RegionId);
    let run = (0..4_u32, edge())
        .prop_map(|(block, offset)| (BlockIndex::new(block), BlockOffset::new(offset)));
    let failed = prop_oneof![
        buffer.clone().prop_map(|buffer| FailedOperation::Receive { buffer }),
        Just(FailedOperation::Send),
        Just(FailedOperation::WriteRam),
        run.clone().prop_map(|(block, offset)| FailedOperation::ScanRam { block, offset }),
        run.clone().prop_map(|(block, offset)| FailedOperation::ZeroRam { block, offset }),
        region.clone().prop_map(|region| FailedOperation::RegisterMemory { region }),
        region.clone().prop_map(|region| FailedOperation::DeregisterMemory { region }),
    ];
    let other =
        prop_oneof![
            Just(Completion::Sent),
            Just(Completion::RamWritten),
            Just(Completion::Disconnected),
            (run.clone(), any::<bool>())
                .prop_map(|((block, offset), zero)| Completion::RamScanned { block, offset, zero }),
            run.prop_map(|(block, offset)| Completion::RamZeroed { block, offset }),
            (region.clone(), 0..3_u32).prop_map(|(region, rkey)| Completion::MemoryRegistered {
                region,
                rkey: Rkey::new(rkey)
            }),
            region.prop_map(|region| Completion::MemoryDeregistered { region }),
            (failed, error())
                .prop_map(|(operation, error)| Completion::Failed { operation, error }),
        ];
    prop_oneof![
        (buffer, garbage()).prop_map(|(buffer, bytes)| Stray::Received(buffer, bytes)),
        other.prop_map(Stray::Other),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        1 => Just(Call::Connect),
        1 => (0..70_000_usize).prop_map(Call::WriteStream),
        1 => Just(Call::FlushStream),
        1 => Just(Call::ExchangeBlocks),
        4 => (block(), edge(), edge()).prop_map(|(block, at, length)| {
            Call::WriteRam(block, at, length)
        }),
        2 => (block(), 0..5_u64).prop_map(|(block, chunk)| Call::Unregister(block, chunk)),
        1 => Just(Call::FinishRound),
        2 => (0..60_usize).prop_map(Call::TakeStream),
        1 => Just(Call::OpenWindow),
        2 => Just(Call::PlaceBlocks),
        1 => Just(Call::Finish),
        1 => Just(Call::Abort),
    ]
}

/// Any input: mostly such as a peer or a transport in good order would give.
pub(crate) fn input() -> impl Strategy<Value = Input> {
    let private_data = || {
        prop_oneof![
            Just(vec![0, 0, 0, 1, 0, 0, 0, 0]),
            Just(vec![0, 0, 0, 1, 0, 0, 0, 1]),
            vec(any::<u8>(), 0..20),
        ]
    };
    prop_oneof![
        1 => private_data().prop_map(Input::Requested),
        1 => private_data().prop_map(Input::Established),
        1 => prop::sample::select(vec![Input::Rejected, Input::ConnectionFailed, Input::Lost]),
        24 => message().prop_map(Input::Message),
        2 => garbage().prop_map(Input::Message),
        8 => (any::<usize>(), proptest::option::weighted(0.1, error()))
            .prop_map(|(which, error)| Input::Answer(which, error)),
        1 => stray().prop_map(Input::Stray),
        10 => Just(Input::Poll),
        24 => Just(Input::Cooperate),
        1 => Just(Input::Expire),
        24 => call().prop_map(Input::Call),
    ]
}

/// A migration as the source would live it with an honest destination.
pub(crate) fn honest_to_source() -> Vec<Input> {
    let ready = || Input::Message(encode(&Message::Ready));
    let blocks = encode(&Message::RamBlocksResult(Entries::new(&ram_blocks(7))));
    let results =
        [RegisterResult { rkey: Rkey::new(9), host_address: HostAddress::new(0x7000_0000_0000) }];
    let result = encode(&Message::RegisterResult { repeat: 1, results: Entries::new(&results) });
    vec![
        Input::Call(Call::Connect),
        Input::Poll,
        Input::Established(vec![0, 0, 0, 1, 0, 0, 0, 0]),
        Input::Call(Call::WriteStream(100)),
        Input::Call(Call::ExchangeBlocks),
        ready(),
        Input::Cooperate,
        ready(),
        Input::Cooperate,
        Input::Message(blocks),
        Input::Call(Call::WriteRam(0, 0, 0x2000)),
        Input::Call(Call::WriteRam(0, MIB, MIB)),
        ready(),
        Input::Cooperate,
        Input::Message(result.clone()),
        Input::Cooperate,
        Input::Call(Call::Unregister(0, 0)),
        ready(),
        Input::Cooperate,
        Input::Message(result),
        Input::Cooperate,
        ready(),
        Input::Cooperate,
        Input::Message(encode(&Message::UnregisterFinished { repeat: 1 })),
        Input::Cooperate,
        Input::Call(Call::FinishRound),
        ready(),
        Input::Cooperate,
        Input::Call(Call::WriteStream(100)),
        Input::Call(Call::Finish),
        ready(),
        Input::Poll,
        Input::Cooperate,
        Input::Lost,
        Input::Cooperate,
    ]
}

/// A migration as the destination would live it with an honest source.
pub(crate) fn honest_to_destination() -> Vec<Input> {
    let request = |block, offset| {
        let address = RamAddress::new(RAM[block] + offset);
        let block = BlockIndex::new(u32::try_from(block).unwrap());
        RegisterRequest { address, block, chunks: 0 }
    };
    let register =
        |request| Input::Message(encode(&Message::RegisterRequest(Entries::new(&[request]))));
    let block = BlockIndex::new(2);
    let zero = Compress { value: 0, block, offset: RamAddress::new(RAM[2]), length: MIB };
    let unregister = UnregisterRequest { chunk: 1, block: BlockIndex::new(0) };
    let stream = || Input::Message(encode(&Message::QemuFile(&[7; 20])));
    vec![
        Input::Requested(vec![0, 0, 0, 1, 0, 0, 0, 0]),
        Input::Poll,
        Input::Established(Vec::new()),
        Input::Cooperate,
        stream(),
        Input::Call(Call::TakeStream(20)),
        Input::Cooperate,
        Input::Message(encode(&Message::RamBlocksRequest)),
        Input::Call(Call::PlaceBlocks),
        Input::Cooperate,
        register(request(0, MIB)),
        Input::Cooperate,
        register(request(1, 0)),
        Input::Cooperate,
        Input::Message(encode(&Message::Compress(Entries::new(&[zero])))),
        Input::Cooperate,
        Input::Message(encode(&Message::UnregisterRequest(Entries::new(&[unregister])))),
        Input::Cooperate,
        Input::Message(encode(&Message::RegisterFinished)),
        Input::Cooperate,
        stream(),
        Input::Call(Call::TakeStream(20)),
        Input::Call(Call::Finish),
        Input::Poll,
        Input::Cooperate,
    ]
}
