//! What must hold for every message, and for every sequence of bytes taken for one.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use rdma_migration_protocol::address::{BlockIndex, HostAddress, RamAddress, Rkey};
use rdma_migration_protocol::limits::{COMMANDS_MAX, PAYLOAD_BYTES_MAX, RAM_BLOCKS_MAX};
use rdma_migration_protocol::wire::{
    Capabilities, Compress, Entries, Flags, Header, Kind, Message, RamBlock, RegisterRequest,
    RegisterResult, UnregisterRequest,
};

/// A message with what it borrows.
#[derive(Clone, Debug)]
enum Owned {
    Bare(Message<'static>),
    Stream(Vec<u8>),
    Blocks(Vec<RamBlock>),
    Runs(Vec<Compress>),
    Requests(Vec<RegisterRequest>),
    Results(u32, Vec<RegisterResult>),
    Unregistrations(Vec<UnregisterRequest>),
}

impl Owned {
    fn message(&self) -> Message<'_> {
        match self {
            Self::Bare(message) => *message,
            Self::Stream(bytes) => Message::QemuFile(bytes),
            Self::Blocks(blocks) => Message::RamBlocksResult(Entries::new(blocks)),
            Self::Runs(runs) => Message::Compress(Entries::new(runs)),
            Self::Requests(requests) => Message::RegisterRequest(Entries::new(requests)),
            Self::Results(repeat, results) => {
                Message::RegisterResult { repeat: *repeat, results: Entries::new(results) }
            }
            Self::Unregistrations(chunks) => Message::UnregisterRequest(Entries::new(chunks)),
        }
    }

    fn encoded(&self) -> Vec<u8> {
        let message = self.message();
        let mut buffer = vec![0xa5; message.encoded_len()];
        assert_eq!(message.encode(&mut buffer), Ok(buffer.len()));
        buffer
    }
}

prop_compose! {
    fn ram_block()(address: u64, offset: u64, length: u64, rkey: u32) -> RamBlock {
        let remote_address = HostAddress::new(address);
        RamBlock { remote_address, offset: RamAddress::new(offset), length, rkey: Rkey::new(rkey) }
    }
}

prop_compose! {
    fn zero_run()(value: u32, block: u32, offset: u64, length: u64) -> Compress {
        Compress { value, block: BlockIndex::new(block), offset: RamAddress::new(offset), length }
    }
}

prop_compose! {
    fn request()(address: u64, block: u32, chunks: u64) -> RegisterRequest {
        let address = RamAddress::new(address);
        RegisterRequest { address, block: BlockIndex::new(block), chunks }
    }
}

prop_compose! {
    fn result()(rkey: u32, host_address: u64) -> RegisterResult {
        RegisterResult { rkey: Rkey::new(rkey), host_address: HostAddress::new(host_address) }
    }
}

prop_compose! {
    fn unregistration()(chunk: u64, block: u32) -> UnregisterRequest {
        UnregisterRequest { chunk, block: BlockIndex::new(block) }
    }
}

/// Mostly a few values, now and then `max` of them. Of many, only the first few differ, so that
/// a full message costs little.
fn up_to<T: Clone + std::fmt::Debug>(
    max: usize,
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<T>> {
    let count = prop_oneof![8 => 1..10usize, 1 => 1..=max, 1 => Just(max)];
    (vec(value, 1..10), count)
        .prop_map(|(values, count)| values.into_iter().cycle().take(count).collect())
}

/// As many results as the request has commands, or one alone.
fn results() -> impl Strategy<Value = Owned> {
    (up_to(COMMANDS_MAX, result()), option::of(1..=4096u32)).prop_map(|(mut results, alone)| {
        let repeat = alone.unwrap_or(u32::try_from(results.len()).unwrap());
        if alone.is_some() {
            results.truncate(1);
        }
        Owned::Results(repeat, results)
    })
}

fn message() -> impl Strategy<Value = Owned> {
    let bare = vec![
        Message::None,
        Message::Error,
        Message::Ready,
        Message::RamBlocksRequest,
        Message::RamBlocksResult(Entries::new(&[])),
        Message::RegisterFinished,
    ];
    prop_oneof![
        prop::sample::select(bare).prop_map(Owned::Bare),
        any::<u32>().prop_map(|repeat| Owned::Bare(Message::UnregisterFinished { repeat })),
        up_to(PAYLOAD_BYTES_MAX, any::<u8>()).prop_map(Owned::Stream),
        up_to(RAM_BLOCKS_MAX, ram_block()).prop_map(Owned::Blocks),
        up_to(COMMANDS_MAX, zero_run()).prop_map(Owned::Runs),
        up_to(COMMANDS_MAX, request()).prop_map(Owned::Requests),
        results(),
        up_to(COMMANDS_MAX, unregistration()).prop_map(Owned::Unregistrations),
    ]
}

/// Bytes that are a message, or would be but for one thing.
fn plausible_message() -> impl Strategy<Value = Vec<u8>> {
    let repeat = prop_oneof![0..6u32, 4095..4098u32, any::<u32>()];
    let payload_bytes = prop_oneof![Just(0usize), (0..6usize).prop_map(|n| n * 8), 0..100usize];
    let error = prop_oneof![8 => Just(0i32), 1 => -2..=2i32];
    (0..14u32, repeat, payload_bytes, error, any::<u8>()).prop_map(
        |(kind, repeat, payload_bytes, error, byte)| {
            let length = u32::try_from(payload_bytes).unwrap().wrapping_add_signed(error);
            let header = [length, kind, repeat, 0x567f].into_iter().flat_map(u32::to_be_bytes);
            header.chain(std::iter::repeat_n(byte, payload_bytes)).collect()
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_parsed_to_the_same(owned in message()) {
        let bytes = owned.encoded();
        prop_assert_eq!(Message::parse(&bytes), Ok(owned.message()));
        let header = Header::parse(&bytes).unwrap();
        prop_assert_eq!(header.kind, owned.message().kind());
        prop_assert_eq!(usize::try_from(header.payload_bytes).unwrap() + 16, bytes.len());
    }

    #[test]
    fn one_byte_more_or_less_is_rejected(owned in message(), byte: u8) {
        let mut bytes = owned.encoded();
        bytes.push(byte);
        prop_assert!(Message::parse(&bytes).is_err());
        bytes.truncate(bytes.len() - 2);
        prop_assert!(Message::parse(&bytes).is_err());
    }

    #[test]
    fn every_truncation_is_rejected(owned in message(), index: Index) {
        let bytes = owned.encoded();
        prop_assert!(Message::parse(&bytes[..index.index(bytes.len())]).is_err());
    }

    #[test]
    fn a_buffer_that_is_too_small_stays_unchanged(owned in message(), index: Index) {
        let mut buffer = vec![0xa5; index.index(owned.message().encoded_len())];
        prop_assert!(owned.message().encode(&mut buffer).is_err());
        prop_assert!(buffer.iter().all(|&byte| byte == 0xa5));
    }

    #[test]
    fn arbitrary_bytes_are_parsed_or_rejected(bytes in vec(any::<u8>(), 0..600)) {
        if let Ok(message) = Message::parse(&bytes) {
            prop_assert_eq!(message.encoded_len(), bytes.len());
        }
    }

    #[test]
    fn whatever_is_parsed_can_be_sent_on(bytes in plausible_message()) {
        if let Ok(message) = Message::parse(&bytes) {
            let mut buffer = vec![0; bytes.len()];
            prop_assert_eq!(message.encode(&mut buffer), Ok(bytes.len()));
            prop_assert_eq!(Message::parse(&buffer), Ok(message));
        }
    }

    #[test]
    fn capabilities_are_the_first_8_bytes(private_data in vec(any::<u8>(), 0..200)) {
        match (Capabilities::parse(&private_data), private_data.get(..8)) {
            (Ok(capabilities), Some(first)) => {
                prop_assert_eq!(&capabilities.to_bytes()[..], first);
            }
            (parsed, first) => prop_assert_eq!(parsed.is_ok(), first.is_some()),
        }
    }

    #[test]
    fn capabilities_are_parsed_to_the_same(version: u32, bits: u32) {
        let capabilities = Capabilities { version, flags: Flags::from_bits(bits) };
        prop_assert_eq!(Capabilities::parse(&capabilities.to_bytes()), Ok(capabilities));
    }

    #[test]
    fn a_kind_has_one_number(number in prop_oneof![0..20u32, any::<u32>()]) {
        match Kind::try_from(number) {
            Ok(kind) => prop_assert_eq!((kind.number(), number < 12), (number, true)),
            Err(unknown) => prop_assert_eq!((unknown.number, number < 12), (number, false)),
        }
    }
}
