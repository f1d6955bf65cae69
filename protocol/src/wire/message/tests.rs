use super::super::golden::{self, bytes};
use super::*;
use crate::address::{BlockIndex, HostAddress, RamAddress, Rkey};
use crate::limits::CONTROL_BUFFER_BYTES;
use alloc::vec;
use alloc::vec::Vec;

fn encoded(message: Message<'_>) -> Vec<u8> {
    let mut buffer = vec![0xa5; message.encoded_len()];
    assert_eq!(message.encode(&mut buffer), Ok(buffer.len()));
    buffer
}

fn header(payload_bytes: usize, kind: u32, repeat: u32) -> Vec<u8> {
    let words = [u32::try_from(payload_bytes).unwrap(), kind, repeat, 0];
    words.into_iter().flat_map(u32::to_be_bytes).collect()
}

fn message(kind: Kind, repeat: u32, payload_bytes: usize) -> Vec<u8> {
    let mut message = header(payload_bytes, kind.number(), repeat);
    message.resize(HEADER_BYTES + payload_bytes, 0);
    message
}

const ZERO_RUN: Compress = Compress {
    value: 0,
    block: BlockIndex::new(0),
    offset: RamAddress::new(0x10_1000),
    length: 0xf_f000,
};
const REQUEST: RegisterRequest =
    RegisterRequest { address: RamAddress::new(0xf0_0000), block: BlockIndex::new(0), chunks: 0 };
const RESULT: RegisterResult =
    RegisterResult { rkey: Rkey::new(0x104), host_address: HostAddress::new(0x7fc2_6820_0000) };
const BLOCKS: [RamBlock; 2] = [
    RamBlock {
        remote_address: HostAddress::new(0x7f2d_34a0_0000),
        offset: RamAddress::new(0),
        length: 0x400_0000,
        rkey: Rkey::new(0x530),
    },
    RamBlock {
        remote_address: HostAddress::new(0x7f2d_4e60_0000),
        offset: RamAddress::new(0x42c_0000),
        length: 0x1000,
        rkey: Rkey::new(0xa12),
    },
];

#[test]
fn what_qemu_sends_is_read_and_written_byte_for_byte() {
    let stream = 0x10u64.to_be_bytes();
    let cases = [
        (golden::READY, Message::Ready),
        (golden::QEMU_FILE, Message::QemuFile(&stream)),
        (golden::RAM_BLOCKS_REQUEST, Message::RamBlocksRequest),
        (golden::RAM_BLOCKS_RESULT, Message::RamBlocksResult(Entries::new(&BLOCKS))),
        (golden::COMPRESS, Message::Compress(Entries::new(&[ZERO_RUN]))),
        (
            golden::REGISTER_RESULT,
            Message::RegisterResult { repeat: 1, results: Entries::new(&[RESULT]) },
        ),
        (golden::REGISTER_FINISHED, Message::RegisterFinished),
    ];
    for (golden, message) in cases {
        assert_eq!(Message::parse(&bytes(golden)), Ok(message));
        assert_eq!(encoded(message), bytes(golden), "{}", message.kind());
    }
}

#[test]
fn padding_is_neither_read_nor_passed_on() {
    let received = bytes(golden::REGISTER_REQUEST_GARBAGE);
    let message = Message::parse(&received).unwrap();
    assert_eq!(message, Message::RegisterRequest(Entries::new(&[REQUEST])));

    let mut clean = received.clone();
    clean[28..32].fill(0);
    assert_eq!(encoded(message), clean);
    assert_ne!(clean, received);
}

//= spec/text/03-control-channel.md#header
//= type=test
//# [CTL-3] A receiver MUST reject a header whose `length` is more than 524272.
#[test]
fn a_length_beyond_every_control_buffer_is_rejected() {
    let declared = 524_273;
    let kind = Kind::QemuFile;
    let received = message(kind, 1, 524_273);
    assert_eq!(Message::parse(&received), Err(Malformed::PayloadTooLong { kind, declared }));
    assert!(Message::parse(&message(kind, 1, 524_272)).is_ok());
}

//= spec/text/03-control-channel.md#header
//= type=test
//# [CTL-4] A receiver MUST reject a header whose `length` does not match the number of bytes
//# received after it.
#[test]
fn a_length_other_than_what_was_received_is_rejected() {
    let kind = Kind::QemuFile;
    for received in [0, 7, 9, 100] {
        let mut message = header(8, kind.number(), 1);
        message.resize(HEADER_BYTES + received, 0);
        let expected = Malformed::LengthMismatch { kind, declared: 8, received };
        assert_eq!(Message::parse(&message), Err(expected));
    }
}

//= spec/text/03-control-channel.md#kinds
//= type=test
//# [CTL-6] A receiver MUST reject a message whose `type` is not in this table.
#[test]
fn a_type_beyond_the_table_is_rejected() {
    for number in [12, 77, u32::MAX] {
        let expected = Err(Malformed::UnknownKind { number });
        assert_eq!(Message::parse(&header(0, number, 1)), expected);
    }
}

const EMPTY: [Kind; 6] = [
    Kind::None,
    Kind::Error,
    Kind::Ready,
    Kind::RamBlocksRequest,
    Kind::RegisterFinished,
    Kind::UnregisterFinished,
];

//= spec/text/03-control-channel.md#kinds
//= type=test
//# [CTL-7] A receiver MUST reject a payload where this table has none.
#[test]
fn a_payload_where_there_is_none_is_rejected() {
    for kind in EMPTY {
        assert_eq!(Message::parse(&message(kind, 1, 0)).map(|message| message.kind()), Ok(kind));
        let expected = Malformed::UnexpectedPayload { kind, payload_bytes: 24 };
        assert_eq!(Message::parse(&message(kind, 1, 24)), Err(expected));
    }
}

//= spec/text/03-control-channel.md#kinds
//= type=test
//# [CTL-8] A receiver MUST reject a `QEMU_FILE` without payload.
#[test]
fn a_qemu_file_without_a_byte_is_rejected() {
    let received = message(Kind::QemuFile, 1, 0);
    assert_eq!(Message::parse(&received), Err(Malformed::EmptyStream));
    let expected = Err(EncodeError::StreamOutOfRange { stream_bytes: 0 });
    assert_eq!(Message::QemuFile(&[]).encode(&mut [0; 64]), expected);
}

//= spec/text/03-control-channel.md#repeat
//= type=test
//# [CTL-9] A receiver MUST ignore `repeat` in a message whose commands it does not count.
#[test]
fn repeat_says_nothing_where_it_counts_nothing() {
    let expected = bytes(golden::QEMU_FILE);
    for golden in [golden::QEMU_FILE_REPEAT_0, golden::QEMU_FILE_GARBAGE] {
        assert_eq!(Message::parse(&bytes(golden)), Message::parse(&expected));
    }
    for repeat in [0, 4097, u32::MAX] {
        for kind in EMPTY {
            assert!(Message::parse(&message(kind, repeat, 0)).is_ok(), "{kind} {repeat}");
        }
        assert!(Message::parse(&message(Kind::RamBlocksResult, repeat, 64)).is_ok());
    }
}

//= spec/text/03-control-channel.md#repeat
//= type=test
//# [CTL-10] A receiver MUST reject a counted `repeat` that is 0 or more than 4096.
#[test]
fn a_counted_repeat_outside_1_to_4096_is_rejected() {
    let cases = [
        (Kind::Compress, 24),
        (Kind::RegisterRequest, 24),
        (Kind::UnregisterRequest, 24),
        (Kind::RegisterResult, 16),
    ];
    for (kind, bytes) in cases {
        for (repeat, payload_bytes) in [(0, 0), (0, bytes), (4097, 4097 * bytes), (u32::MAX, bytes)]
        {
            let expected = Err(Malformed::RepeatOutOfRange { kind, repeat });
            assert_eq!(Message::parse(&message(kind, repeat, payload_bytes)), expected);
        }
        assert!(Message::parse(&message(kind, 4096, 4096 * bytes)).is_ok());
    }
}

//= spec/text/03-control-channel.md#repeat
//= type=test
//# [CTL-11] A receiver MUST reject a payload that is not as long as the commands that `repeat`
//# counts.
#[test]
fn a_payload_that_is_not_repeat_commands_is_rejected() {
    let cases = [
        (Kind::Compress, 2, 24, 24),
        (Kind::Compress, 1, 24, 48),
        (Kind::RegisterRequest, 1, 24, 23),
        (Kind::RegisterRequest, 2, 24, 47),
        (Kind::UnregisterRequest, 3, 24, 48),
        (Kind::UnregisterRequest, 1, 24, 0),
        (Kind::RegisterResult, 3, 16, 32),
        (Kind::RegisterResult, 1, 16, 32),
        (Kind::RegisterResult, 1, 16, 15),
        (Kind::RegisterResult, 2, 16, 0),
    ];
    for (kind, repeat, command_bytes, payload_bytes) in cases {
        let expected = Malformed::PayloadNotRepeat { kind, repeat, command_bytes, payload_bytes };
        assert_eq!(Message::parse(&message(kind, repeat, payload_bytes)), Err(expected));
    }
}

//= spec/text/03-control-channel.md#repeat
//= type=test
//# [CTL-12] A sender MUST set `repeat` to 1 in a message whose commands it does not count.
#[test]
fn a_message_that_counts_nothing_is_sent_with_repeat_1() {
    let blocks = Entries::new(&BLOCKS);
    let uncounted = [
        Message::None,
        Message::Error,
        Message::Ready,
        Message::QemuFile(&[0]),
        Message::RamBlocksRequest,
        Message::RamBlocksResult(blocks),
        Message::RegisterFinished,
    ];
    for message in uncounted {
        assert_eq!(encoded(message)[8..12], [0, 0, 0, 1], "{}", message.kind());
    }
    let runs = Message::Compress(Entries::new(&[ZERO_RUN; 3]));
    assert_eq!(encoded(runs)[8..12], [0, 0, 0, 3]);
    let finished = Message::UnregisterFinished { repeat: 5 };
    assert_eq!(encoded(finished)[8..12], [0, 0, 0, 5]);
}

//= spec/text/03-control-channel.md#repeat
//= type=test
//# [CTL-13] A source MUST accept a `REGISTER_RESULT` that carries one result, whatever its counted
//# `repeat`.
#[test]
fn one_result_answers_several_requests() {
    let mut received = bytes(golden::REGISTER_RESULT);
    received[8..12].copy_from_slice(&2u32.to_be_bytes());
    let expected = Message::RegisterResult { repeat: 2, results: Entries::new(&[RESULT]) };
    assert_eq!(Message::parse(&received), Ok(expected));
    assert_eq!(encoded(expected), received);

    let two = Message::RegisterResult { repeat: 2, results: Entries::new(&[RESULT; 2]) };
    assert_eq!(Message::parse(&encoded(two)), Ok(two));
    assert_ne!(two, expected);
}

//= spec/text/04-ram-blocks.md#layout
//= type=test
//# [BLK-2] A source MUST reject a `RAM_BLOCKS_RESULT` whose payload is not a whole number of RAM
//# blocks.
#[test]
fn half_a_ram_block_is_rejected() {
    for payload_bytes in [1, 31, 33, 48] {
        let expected = Malformed::PartialRamBlock { block_bytes: 32, payload_bytes };
        assert_eq!(
            Message::parse(&message(Kind::RamBlocksResult, 1, payload_bytes)),
            Err(expected)
        );
    }
    let none = Message::RamBlocksResult(Entries::new(&[]));
    assert_eq!(Message::parse(&message(Kind::RamBlocksResult, 1, 0)), Ok(none));
}

//= spec/text/11-limits.md#control-messages
//= type=test
//# [LIM-1] A sender MUST NOT send a control message of more than 524288 bytes, header included.
#[test]
fn a_message_longer_than_a_control_buffer_is_not_sent() {
    let mut buffer = vec![0; CONTROL_BUFFER_BYTES + 64];
    let stream = vec![0x51; PAYLOAD_BYTES_MAX + 1];
    let longest = Message::QemuFile(&stream[1..]);
    assert_eq!(longest.encode(&mut buffer), Ok(CONTROL_BUFFER_BYTES));
    let expected = Err(EncodeError::StreamOutOfRange { stream_bytes: stream.len() });
    assert_eq!(Message::QemuFile(&stream).encode(&mut buffer), expected);

    let blocks = vec![BLOCKS[0]; 16_384];
    let most = Message::RamBlocksResult(Entries::new(&blocks[1..]));
    assert_eq!(most.encode(&mut buffer), Ok(16 + 16_383 * 32));
    let (kind, count) = (Kind::RamBlocksResult, 16_384);
    let expected = Err(EncodeError::CountOutOfRange { kind, count, min: 0, max: 16_383 });
    assert_eq!(Message::RamBlocksResult(Entries::new(&blocks)).encode(&mut buffer), expected);
}

//= spec/text/11-limits.md#control-messages
//= type=test
//# [LIM-2] A sender MUST NOT put more than 4096 commands into a control message.
#[test]
fn more_commands_than_4096_are_not_sent() {
    let mut buffer = vec![0; CONTROL_BUFFER_BYTES];
    for count in [0, 4097] {
        let runs = vec![ZERO_RUN; count];
        let requests = vec![REQUEST; count];
        let chunks = vec![UnregisterRequest { chunk: 0, block: BlockIndex::new(0) }; count];
        let results = vec![RESULT; count];
        let repeat = 4096;
        let messages = [
            Message::Compress(Entries::new(&runs)),
            Message::RegisterRequest(Entries::new(&requests)),
            Message::UnregisterRequest(Entries::new(&chunks)),
            Message::RegisterResult { repeat, results: Entries::new(&results) },
        ];
        for message in messages {
            let kind = message.kind();
            let expected = Err(EncodeError::CountOutOfRange { kind, count, min: 1, max: 4096 });
            assert_eq!(message.encode(&mut buffer), expected);
        }
    }
}

#[test]
fn results_that_do_not_answer_the_request_are_not_sent() {
    for (repeat, results) in [(3, 2), (1, 2), (0, 1), (4097, 1)] {
        let all = vec![RESULT; results];
        let message = Message::RegisterResult { repeat, results: Entries::new(&all) };
        let expected = Err(EncodeError::ResultsNotRepeat { repeat, results });
        assert_eq!(message.encode(&mut [0; 64]), expected);
    }
}

#[test]
fn a_buffer_that_is_too_small_stays_unchanged() {
    let message = Message::RamBlocksResult(Entries::new(&BLOCKS));
    for available in 0..80 {
        let mut buffer = vec![0xa5; available];
        let expected = Err(EncodeError::BufferTooSmall { needed: 80, available });
        assert_eq!(message.encode(&mut buffer), expected);
        assert!(buffer.iter().all(|&byte| byte == 0xa5));
    }
}

#[test]
fn received_commands_are_read_one_by_one() {
    let received = bytes(golden::RAM_BLOCKS_RESULT);
    let Ok(Message::RamBlocksResult(blocks)) = Message::parse(&received) else {
        panic!("no RAM blocks in {received:?}");
    };
    assert_eq!((blocks.len(), blocks.is_empty(), blocks.first()), (2, false, Some(BLOCKS[0])));
    assert_eq!(blocks.iter().len(), 2);
    assert_eq!(blocks.into_iter().collect::<Vec<_>>(), BLOCKS);
    assert_eq!(alloc::format!("{blocks:?}"), alloc::format!("{BLOCKS:?}"));
    assert_ne!(blocks, Entries::new(&BLOCKS[..1]));
}
