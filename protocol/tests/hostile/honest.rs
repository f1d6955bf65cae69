//! Whole migrations in which everybody is honest, for others to begin with.

use rdma_migration_protocol::address::{BlockIndex, HostAddress, RamAddress, Rkey};
use rdma_migration_protocol::wire::{
    Compress, Entries, Message, RegisterRequest, RegisterResult, UnregisterRequest,
};

use crate::inputs::{Call, Input};
use crate::messages::{MIB, RAM, encode, ram_blocks};

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
        Input::Call(Call::OpenWindow),
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
