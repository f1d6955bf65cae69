//! Whole migrations in which everybody is honest, for others to begin with.

use rdma_migration_protocol::address::{BlockIndex, RamAddress};
use rdma_migration_protocol::wire::{
    Compress, Entries, Message, RegisterRequest, UnregisterRequest,
};

use crate::inputs::{Call, Input};
use crate::messages::{MIB, RAM, encode};

const fn private_data(pinned: bool) -> [u8; 8] {
    let flags = if pinned { 1 } else { 0 };
    [0, 0, 0, 1, 0, 0, 0, flags]
}

/// A migration as the source would live it with an honest destination.
pub(crate) fn honest_to_source(pinned: bool) -> Vec<Input> {
    let due = || Input::Due(Vec::new());
    vec![
        Input::Call(Call::Connect),
        Input::Poll,
        Input::Established(private_data(pinned).to_vec()),
        Input::Call(Call::WriteStream(100)),
        Input::Call(Call::ExchangeBlocks),
        due(),
        Input::Cooperate,
        due(),
        Input::Cooperate,
        due(),
        Input::Call(Call::WriteRam(0, 0, 0x2000)),
        Input::Call(Call::WriteRam(0, MIB, MIB)),
        due(),
        Input::Cooperate,
        due(),
        Input::Cooperate,
        Input::Call(Call::Unregister(0, 0)),
        due(),
        Input::Cooperate,
        due(),
        Input::Cooperate,
        due(),
        Input::Cooperate,
        due(),
        Input::Call(Call::FinishRound),
        Input::Cooperate,
        due(),
        Input::Cooperate,
        Input::Call(Call::WriteStream(100)),
        Input::Call(Call::Finish),
        due(),
        Input::Poll,
        Input::Cooperate,
        Input::Lost,
        Input::Cooperate,
    ]
}

/// A migration as the destination would live it with an honest source.
pub(crate) fn honest_to_destination(pinned: bool) -> Vec<Input> {
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
    let mut inputs = vec![
        Input::Requested(private_data(pinned).to_vec()),
        Input::Poll,
        Input::Established(Vec::new()),
        Input::Cooperate,
        stream(),
        Input::Call(Call::TakeStream(20)),
        Input::Call(Call::OpenWindow),
        Input::Cooperate,
        Input::Message(encode(&Message::RamBlocksRequest)),
        Input::Call(Call::PlaceBlocks),
        Input::Cooperate,
    ];
    if !pinned {
        inputs.extend([
            register(request(0, MIB)),
            Input::Cooperate,
            register(request(1, 0)),
            Input::Cooperate,
            Input::Message(encode(&Message::UnregisterRequest(Entries::new(&[unregister])))),
            Input::Cooperate,
        ]);
    }
    inputs.extend([
        Input::Message(encode(&Message::Compress(Entries::new(&[zero])))),
        Input::Cooperate,
        Input::Message(encode(&Message::RegisterFinished)),
        Input::Cooperate,
        stream(),
        Input::Call(Call::TakeStream(20)),
        Input::Call(Call::Finish),
        Input::Poll,
        Input::Cooperate,
    ]);
    inputs
}
