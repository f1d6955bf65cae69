//! Whatever a peer, a transport and an owner can do to a machine, in any order.

use proptest::collection::vec;
use proptest::prelude::*;
use rdma_migration_protocol::address::{BlockIndex, BlockOffset, Rkey};
use rdma_migration_protocol::transport::{
    Completion, FailedOperation, ReceiveBuffer, RegionId, TransportError,
};

use crate::messages::{block, command, edge, garbage, message};

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
    /// What is due arrives: the reply or the READY that a source waits for, or, if a destination has
    /// said READY, this command.
    Due(Vec<u8>),
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
        8 => (block(), edge(), edge()).prop_map(|(block, at, length)| {
            Call::WriteRam(block, at, length)
        }),
        4 => (block(), 0..5_u64).prop_map(|(block, chunk)| Call::Unregister(block, chunk)),
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
        1 => prop_oneof![
            private_data().prop_map(Input::Requested),
            private_data().prop_map(Input::Established),
            prop::sample::select(vec![Input::Rejected, Input::ConnectionFailed, Input::Lost]),
        ],
        40 => command().prop_map(Input::Due),
        2 => command().prop_map(Input::Message),
        1 => message().prop_map(Input::Message),
        1 => garbage().prop_map(Input::Message),
        8 => (any::<usize>(), proptest::option::weighted(0.05, error()))
            .prop_map(|(which, error)| Input::Answer(which, error)),
        1 => stray().prop_map(Input::Stray),
        10 => Just(Input::Poll),
        24 => Just(Input::Cooperate),
        1 => Just(Input::Expire),
        24 => call().prop_map(Input::Call),
    ]
}
