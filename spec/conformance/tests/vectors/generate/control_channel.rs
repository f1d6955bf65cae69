//! Chapter 3: headers, kinds and `repeat`, message by message.

use rdma_migration_conformance::codec::{Command, Kind};
use rdma_migration_conformance::vectors::error_name::ErrorName::{
    self, EmptyStream, HeaderTruncated, LengthMismatch, LengthTooLarge, PayloadNotRepeat,
    RepeatOutOfRange, UnexpectedPayload, UnknownType,
};
use rdma_migration_conformance::vectors::vector::Vector;

use super::build::{Message, compress, fails, ram_block, reads, register, result, unregister};

pub(super) fn vectors() -> Vec<Vector> {
    [kinds(), seen(), ignored(), headers(), lengths(), types(), payloads(), repeats(), counts()]
        .concat()
}

fn one(kind: Kind) -> Message {
    let command = match kind {
        Kind::RamBlocksResult => ram_block(0x7f2d_34a0_0000, 0, 0x400_0000, 0x530),
        Kind::Compress => compress(0, 0, 0x10_1000, 0xf_f000),
        Kind::RegisterRequest => register(0xf0_0000, 0, 0),
        Kind::RegisterResult => result(0x104, 0x7fc2_6820_0000),
        Kind::UnregisterRequest => unregister(15, 0),
        Kind::QemuFile => return Message::stream(&[0, 0, 0, 0, 0, 0, 0, 0x10]),
        _ => return Message::empty(kind),
    };
    Message::of(kind, &[command])
}

fn kinds() -> Vec<Vector> {
    let kind = |id, title, kind| reads(id, "CTL-1 CTL-12", title, one(kind));
    vec![
        kind("CTL-V001", "NONE, which nobody sends", Kind::None),
        kind("CTL-V002", "ERROR", Kind::Error),
        kind("CTL-V003", "READY", Kind::Ready),
        kind("CTL-V004", "QEMU_FILE with the word that ends a RAM record", Kind::QemuFile),
        kind("CTL-V005", "RAM_BLOCKS_REQUEST", Kind::RamBlocksRequest),
        kind("CTL-V006", "RAM_BLOCKS_RESULT of one block", Kind::RamBlocksResult),
        kind("CTL-V007", "COMPRESS of one run", Kind::Compress),
        kind("CTL-V008", "REGISTER_REQUEST of one request", Kind::RegisterRequest),
        kind("CTL-V009", "REGISTER_RESULT of one result", Kind::RegisterResult),
        kind("CTL-V010", "REGISTER_FINISHED", Kind::RegisterFinished),
        kind("CTL-V011", "UNREGISTER_REQUEST of one request", Kind::UnregisterRequest),
        kind("CTL-V012", "UNREGISTER_FINISHED", Kind::UnregisterFinished),
    ]
}

/// As QEMU was seen to send them.
fn seen() -> Vec<Vector> {
    vec![
        reads(
            "CTL-V020",
            "CTL-9",
            "QEMU_FILE of QEMU 8.2 and later: repeat 0",
            one(Kind::QemuFile).repeat(0),
        ),
        reads(
            "CTL-V021",
            "CTL-5 CTL-9",
            "QEMU_FILE of QEMU 8.1 and earlier: anything in repeat and padding",
            one(Kind::QemuFile).repeat(0xd8e6_3f10).padding(0x567f),
        ),
        reads(
            "CTL-V022",
            "REG-2",
            "REGISTER_REQUEST of QEMU 7.2: anything in the padding of the request",
            one(Kind::RegisterRequest).word(28, 0x567f),
        ),
    ]
}

fn ignored() -> Vec<Vector> {
    let padded = |id, title, kind| reads(id, "CTL-5", title, one(kind).padding(0xffff_ffff));
    let repeat = |id, title, kind, repeat| reads(id, "CTL-9", title, one(kind).repeat(repeat));
    vec![
        padded("CTL-V030", "ERROR with anything in the padding", Kind::Error),
        padded("CTL-V031", "READY with anything in the padding", Kind::Ready),
        padded("CTL-V032", "QEMU_FILE with anything in the padding", Kind::QemuFile),
        padded(
            "CTL-V033",
            "RAM_BLOCKS_REQUEST with anything in the padding",
            Kind::RamBlocksRequest,
        ),
        padded("CTL-V034", "RAM_BLOCKS_RESULT with anything in the padding", Kind::RamBlocksResult),
        padded("CTL-V035", "COMPRESS with anything in the padding", Kind::Compress),
        padded("CTL-V036", "REGISTER_REQUEST with anything in the padding", Kind::RegisterRequest),
        padded("CTL-V037", "REGISTER_RESULT with anything in the padding", Kind::RegisterResult),
        padded(
            "CTL-V038",
            "REGISTER_FINISHED with anything in the padding",
            Kind::RegisterFinished,
        ),
        padded(
            "CTL-V039",
            "UNREGISTER_REQUEST with anything in the padding",
            Kind::UnregisterRequest,
        ),
        repeat("CTL-V040", "ERROR with repeat 0", Kind::Error, 0),
        repeat("CTL-V041", "READY with repeat 0", Kind::Ready, 0),
        repeat("CTL-V042", "READY with the highest repeat", Kind::Ready, !0),
        repeat("CTL-V043", "QEMU_FILE with the highest repeat", Kind::QemuFile, !0),
        repeat("CTL-V044", "QEMU_FILE with repeat 4097", Kind::QemuFile, 4097),
        repeat("CTL-V045", "RAM_BLOCKS_REQUEST with repeat 2", Kind::RamBlocksRequest, 2),
        repeat("CTL-V046", "RAM_BLOCKS_RESULT with repeat 0", Kind::RamBlocksResult, 0),
        repeat(
            "CTL-V047",
            "RAM_BLOCKS_RESULT with another repeat than blocks",
            Kind::RamBlocksResult,
            6,
        ),
        repeat("CTL-V048", "REGISTER_FINISHED with repeat 0", Kind::RegisterFinished, 0),
        repeat("CTL-V049", "REGISTER_FINISHED with repeat 5000", Kind::RegisterFinished, 5000),
        repeat("CTL-V050", "UNREGISTER_FINISHED with repeat 0", Kind::UnregisterFinished, 0),
        repeat("CTL-V051", "UNREGISTER_FINISHED with repeat 4097", Kind::UnregisterFinished, 4097),
    ]
}

fn headers() -> Vec<Vector> {
    let cut = |id, bytes: usize| {
        let title = format!("READY cut off after {bytes} bytes");
        fails(id, "CTL-2", &title, one(Kind::Ready).resized(bytes), &[HeaderTruncated])
    };
    vec![
        cut("CTL-V060", 0),
        cut("CTL-V061", 1),
        cut("CTL-V062", 4),
        cut("CTL-V063", 8),
        cut("CTL-V064", 12),
        cut("CTL-V065", 15),
        fails(
            "CTL-V066",
            "CTL-2",
            "REGISTER_REQUEST cut off after the type",
            one(Kind::RegisterRequest).resized(8),
            &[HeaderTruncated],
        ),
    ]
}

fn lengths() -> Vec<Vector> {
    let too_large = |id, title, kind, length| {
        fails(id, "CTL-3", title, one(kind).length(length), &[LengthTooLarge, LengthMismatch])
    };
    let mismatch = |id, title, message| fails(id, "CTL-4", title, message, &[LengthMismatch]);
    let counted = [LengthTooLarge, LengthMismatch];
    vec![
        too_large("CTL-V070", "a length one above the limit", Kind::QemuFile, 524_273),
        too_large("CTL-V071", "a length of a whole buffer", Kind::QemuFile, 524_288),
        too_large("CTL-V072", "the highest length", Kind::QemuFile, !0),
        too_large("CTL-V073", "a length that wraps with the header", Kind::QemuFile, !15),
        too_large("CTL-V074", "the highest length in RAM_BLOCKS_RESULT", Kind::RamBlocksResult, !0),
        too_large("CTL-V075", "the highest length in READY", Kind::Ready, !0),
        fails(
            "CTL-V076",
            "CTL-1 CTL-3",
            "a little-endian length",
            one(Kind::Compress).turned(0, &[4]),
            &counted,
        ),
        mismatch("CTL-V080", "READY that declares a byte", one(Kind::Ready).length(1)),
        mismatch("CTL-V081", "READY with a byte behind it", one(Kind::Ready).resized(17)),
        mismatch("CTL-V082", "ERROR with a second header behind it", one(Kind::Error).resized(32)),
        mismatch("CTL-V083", "QEMU_FILE that is a byte short", one(Kind::QemuFile).resized(23)),
        mismatch("CTL-V084", "QEMU_FILE with a byte behind it", one(Kind::QemuFile).resized(25)),
        mismatch(
            "CTL-V085",
            "QEMU_FILE of which the header alone came",
            one(Kind::QemuFile).resized(16),
        ),
        mismatch(
            "CTL-V086",
            "QEMU_FILE that declares the limit and is short",
            one(Kind::QemuFile).length(524_272),
        ),
        mismatch(
            "CTL-V087",
            "RAM_BLOCKS_RESULT that is a block short",
            one(Kind::RamBlocksResult).length(64),
        ),
        mismatch("CTL-V088", "COMPRESS that is a byte short", one(Kind::Compress).resized(39)),
        mismatch(
            "CTL-V089",
            "REGISTER_REQUEST with trailing bytes",
            one(Kind::RegisterRequest).resized(48),
        ),
        mismatch(
            "CTL-V090",
            "REGISTER_RESULT that is cut off in its key",
            one(Kind::RegisterResult).resized(18),
        ),
        mismatch(
            "CTL-V091",
            "UNREGISTER_REQUEST that declares nothing",
            one(Kind::UnregisterRequest).length(0),
        ),
        mismatch(
            "CTL-V092",
            "REGISTER_FINISHED that declares 24 bytes",
            one(Kind::RegisterFinished).length(24),
        ),
    ]
}

fn types() -> Vec<Vector> {
    let unknown = |id, title, number| {
        fails(id, "CTL-6", title, one(Kind::Ready).word(4, number), &[UnknownType])
    };
    vec![
        unknown("CTL-V100", "the first type behind the table", 12),
        unknown("CTL-V101", "type 77", 77),
        unknown("CTL-V102", "the highest type", !0),
        unknown("CTL-V103", "a type with its highest bit set", 0x8000_0002),
        fails(
            "CTL-V104",
            "CTL-1 CTL-6",
            "a little-endian type",
            one(Kind::Ready).turned(4, &[4]),
            &[UnknownType],
        ),
        fails(
            "CTL-V105",
            "CTL-6",
            "an unknown type with a payload",
            one(Kind::QemuFile).word(4, 12),
            &[UnknownType],
        ),
        fails(
            "CTL-V106",
            "CTL-1 CTL-6",
            "a header that is little-endian throughout",
            one(Kind::RegisterRequest).turned(0, &[4, 4, 4, 4]),
            &[LengthTooLarge, LengthMismatch, UnknownType, RepeatOutOfRange],
        ),
    ]
}

fn payloads() -> Vec<Vector> {
    let extra = |id, title, kind, bytes| {
        fails(id, "CTL-7", title, one(kind).payload(bytes), &[UnexpectedPayload])
    };
    vec![
        extra("CTL-V110", "NONE with a byte of payload", Kind::None, 1),
        extra("CTL-V111", "ERROR with a byte of payload", Kind::Error, 1),
        extra("CTL-V112", "ERROR with 16 bytes of payload", Kind::Error, 16),
        extra("CTL-V113", "READY with a byte of payload", Kind::Ready, 1),
        extra("CTL-V114", "READY with 24 bytes of payload", Kind::Ready, 24),
        extra(
            "CTL-V115",
            "RAM_BLOCKS_REQUEST with 32 bytes of payload",
            Kind::RamBlocksRequest,
            32,
        ),
        extra("CTL-V116", "REGISTER_FINISHED with 24 bytes of payload", Kind::RegisterFinished, 24),
        extra(
            "CTL-V117",
            "UNREGISTER_FINISHED with 24 bytes of payload",
            Kind::UnregisterFinished,
            24,
        ),
        fails(
            "CTL-V118",
            "CTL-8",
            "QEMU_FILE without payload",
            one(Kind::QemuFile).payload(0),
            &[EmptyStream],
        ),
        fails(
            "CTL-V119",
            "CTL-8 CTL-9",
            "QEMU_FILE without payload, repeat 0",
            one(Kind::QemuFile).payload(0).repeat(0),
            &[EmptyStream],
        ),
        reads("CTL-V120", "CTL-8", "QEMU_FILE with one byte", Message::stream(&[0])),
    ]
}

fn repeats() -> Vec<Vector> {
    let wrong = |id, title, kind, repeat| {
        let errors: &[ErrorName] = &[RepeatOutOfRange, PayloadNotRepeat];
        // One result goes with any repeat that counts.
        let errors = if kind == Kind::RegisterResult { &errors[..1] } else { errors };
        fails(id, "CTL-10", title, one(kind).repeat(repeat), errors)
    };
    let empty = |id, title, kind| {
        let message = one(kind).payload(0).repeat(0);
        fails(id, "CTL-10", title, message, &[RepeatOutOfRange])
    };
    vec![
        wrong("CTL-V130", "COMPRESS with repeat 0", Kind::Compress, 0),
        wrong("CTL-V131", "COMPRESS with repeat 4097", Kind::Compress, 4097),
        wrong("CTL-V132", "COMPRESS with the highest repeat", Kind::Compress, !0),
        wrong("CTL-V133", "REGISTER_REQUEST with repeat 0", Kind::RegisterRequest, 0),
        wrong("CTL-V134", "REGISTER_REQUEST with repeat 4097", Kind::RegisterRequest, 4097),
        wrong("CTL-V135", "REGISTER_REQUEST with repeat 5000", Kind::RegisterRequest, 5000),
        wrong("CTL-V136", "REGISTER_REQUEST with the highest repeat", Kind::RegisterRequest, !0),
        wrong("CTL-V137", "REGISTER_RESULT with repeat 0", Kind::RegisterResult, 0),
        wrong("CTL-V138", "REGISTER_RESULT with repeat 4097", Kind::RegisterResult, 4097),
        wrong("CTL-V139", "REGISTER_RESULT with the highest repeat", Kind::RegisterResult, !0),
        wrong("CTL-V140", "UNREGISTER_REQUEST with repeat 0", Kind::UnregisterRequest, 0),
        wrong("CTL-V141", "UNREGISTER_REQUEST with repeat 4097", Kind::UnregisterRequest, 4097),
        wrong(
            "CTL-V142",
            "a repeat that makes 24 bytes modulo 2^32",
            Kind::RegisterRequest,
            0x2000_0001,
        ),
        wrong("CTL-V143", "a little-endian repeat", Kind::Compress, 1_u32.swap_bytes()),
        wrong(
            "CTL-V144",
            "a little-endian repeat of one result",
            Kind::RegisterResult,
            1_u32.swap_bytes(),
        ),
        empty("CTL-V145", "COMPRESS of no run with repeat 0", Kind::Compress),
        empty("CTL-V146", "REGISTER_REQUEST of no request with repeat 0", Kind::RegisterRequest),
        empty("CTL-V147", "REGISTER_RESULT of no result with repeat 0", Kind::RegisterResult),
        empty(
            "CTL-V148",
            "UNREGISTER_REQUEST of no request with repeat 0",
            Kind::UnregisterRequest,
        ),
    ]
}

fn counts() -> Vec<Vector> {
    let wrong = |id, title, message| fails(id, "CTL-11", title, message, &[PayloadNotRepeat]);
    let several = |kind, command: Command, count| Message::of(kind, &vec![command; count]);
    let two_runs = several(Kind::Compress, compress(0, 0, 0, 0x1000), 2);
    let two_requests = several(Kind::RegisterRequest, register(0, 0, 0), 2);
    let two_results = several(Kind::RegisterResult, result(0x104, 0x7fc2_6820_0000), 2);
    let two_chunks = several(Kind::UnregisterRequest, unregister(0, 0), 2);
    let one_result =
        |id, title, repeat| reads(id, "CTL-13", title, one(Kind::RegisterResult).repeat(repeat));
    vec![
        wrong("CTL-V150", "COMPRESS of two runs with repeat 1", two_runs.clone().repeat(1)),
        wrong("CTL-V151", "COMPRESS of two runs with repeat 3", two_runs.clone().repeat(3)),
        wrong(
            "CTL-V152",
            "COMPRESS with a byte more than its run",
            one(Kind::Compress).payload(25),
        ),
        wrong(
            "CTL-V153",
            "COMPRESS with a byte less than its run",
            one(Kind::Compress).payload(23),
        ),
        wrong("CTL-V154", "COMPRESS without its run", one(Kind::Compress).payload(0)),
        wrong("CTL-V155", "REGISTER_REQUEST of two with repeat 1", two_requests.clone().repeat(1)),
        wrong(
            "CTL-V156",
            "REGISTER_REQUEST of two with repeat 4096",
            two_requests.clone().repeat(4096),
        ),
        wrong("CTL-V157", "REGISTER_REQUEST of one and a half", two_requests.payload(36)),
        wrong(
            "CTL-V158",
            "REGISTER_REQUEST without its request",
            one(Kind::RegisterRequest).payload(0),
        ),
        wrong("CTL-V159", "REGISTER_RESULT of two with repeat 1", two_results.clone().repeat(1)),
        wrong("CTL-V160", "REGISTER_RESULT of two with repeat 3", two_results.clone().repeat(3)),
        wrong("CTL-V161", "REGISTER_RESULT of one and a half", two_results.clone().payload(24)),
        wrong(
            "CTL-V162",
            "REGISTER_RESULT without its result",
            one(Kind::RegisterResult).payload(0),
        ),
        wrong("CTL-V163", "UNREGISTER_REQUEST of two with repeat 1", two_chunks.clone().repeat(1)),
        wrong(
            "CTL-V164",
            "UNREGISTER_REQUEST of the bytes that matter alone",
            one(Kind::UnregisterRequest).payload(12),
        ),
        wrong(
            "CTL-V165",
            "COMPRESS with the payload of a RAM block",
            one(Kind::RamBlocksResult).word(4, 6),
        ),
        wrong(
            "CTL-V166",
            "REGISTER_RESULT with the payload of its request",
            one(Kind::RegisterRequest).word(4, 8),
        ),
        one_result("CTL-V167", "one result to two requests", 2),
        one_result("CTL-V168", "one result to 4096 requests", 4096),
        reads("CTL-V169", "CTL-11", "two results to two requests", two_results),
        reads("CTL-V170", "CTL-11", "COMPRESS of two runs", two_runs),
        reads("CTL-V171", "CTL-11", "UNREGISTER_REQUEST of two", two_chunks),
    ]
}
