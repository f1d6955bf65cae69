//! What people read: every error, reason and name as text.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, RamAddress};
use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::error::{Error, Incompatibility, Misbehavior, Misuse};
use rdma_migration_protocol::stream::setup::{SetupError, SetupFault};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    FailedOperation, ReceiveBuffer, RegionId, TransportError,
};
use rdma_migration_protocol::wire::{EncodeError, Kind, Malformed};
use std::fmt::Display;

const BLOCK: BlockIndex = BlockIndex::new(2);
const REGION: RegionId = RegionId(7);

#[track_caller]
fn read<const N: usize, T: Display>(texts: [(T, &str); N]) {
    for (value, text) in texts {
        assert_eq!(value.to_string(), text);
    }
}

#[test]
fn an_error_says_who_is_to_blame_and_for_what() {
    read([
        (
            Malformed::UnknownKind { number: 77 }.into(),
            "malformed message: unknown message type 77, expected 0 to 11",
        ),
        (
            Misbehavior::ReadyTwice.into(),
            "the peer broke the protocol: a second READY while one was unused",
        ),
        (
            Incompatibility::PinAllRefused.into(),
            "the peer is incompatible: it wants all RAM pinned (refused here)",
        ),
        (
            Misuse::UnexpectedCompletion.into(),
            "contract broken on this side: a completion that answers no operation",
        ),
        (
            Error::ConnectionFailed(TransportError::Unreachable),
            "cannot connect: unreachable: no route, or nobody listens",
        ),
        (
            Error::Transport { operation: FailedOperation::Send, error: TransportError::Os(12) },
            "send: operating system error 12",
        ),
        (Error::Timeout(TimeoutReason::Ready), "timed out: the destination sent no READY"),
        (Error::PeerReportedError, "the peer reported an error"),
        (Error::PeerDisconnected, "the peer disconnected before the migration had ended"),
        (Error::ConnectionRejected, "the destination refused the connection"),
        (Error::Aborted, "aborted by the owner of this side"),
    ]);
}

#[test]
fn a_misbehavior_at_the_wrong_time_says_what_was_due() {
    let kind = Kind::RegisterRequest;
    let expected = Kind::RegisterResult;
    read([
        (Misbehavior::CommandWithoutReady(kind), "REGISTER_REQUEST without a READY for it"),
        (Misbehavior::ReadyTwice, "a second READY while one was unused"),
        (
            Misbehavior::ReadyBeforeReply { expected },
            "READY before the REGISTER_RESULT that was due",
        ),
        (
            Misbehavior::Unexpected { received: kind, expected: Some(expected) },
            "REGISTER_REQUEST where REGISTER_RESULT was due",
        ),
        (
            Misbehavior::Unexpected { received: kind, expected: None },
            "REGISTER_REQUEST, which this side does not take",
        ),
        (Misbehavior::RamBlocksRequestedTwice, "RAM blocks requested twice"),
        (
            Misbehavior::RamBeforeRamBlocks(kind),
            "REGISTER_REQUEST before the RAM blocks were exchanged",
        ),
        (Misbehavior::RegistrationWhilePinned(kind), "REGISTER_REQUEST although all RAM is pinned"),
        (Misbehavior::OutsideWindow(kind), "REGISTER_REQUEST outside a registration window"),
        (Misbehavior::StreamInsideWindow, "QEMU_FILE inside a registration window"),
    ]);
}

#[test]
fn a_misbehavior_in_what_is_said_tells_what_was_received_and_expected() {
    let address = RamAddress::new(0x1000);
    read([
        (Misbehavior::UnknownBlock { block: BLOCK, blocks: 2 }, "block 2 of a table of 2"),
        (
            Misbehavior::OutsideBlock { block: BLOCK, address, length: 4096 },
            "4096 bytes at 0x1000 are not inside block 2",
        ),
        (
            Misbehavior::TooManyChunks { block: BLOCK, chunk: 3, further: 9 },
            "chunk 3 and 9 more are not in block 2",
        ),
        (
            Misbehavior::RegionsOverlap { block: BLOCK, chunk: 3 },
            "the region at chunk 3 of block 2 overlaps another",
        ),
        (
            Misbehavior::NotRegistered { block: BLOCK, chunk: 3 },
            "no registered region starts at chunk 3 of block 2",
        ),
        (Misbehavior::NonZeroFill { value: 5 }, "a zero run with fill value 5"),
        (Misbehavior::RamBlockCount { received: 3, expected: 4 }, "3 RAM blocks, here are 4"),
        (
            Misbehavior::RamBlockLength { block: BLOCK, received: 8192, expected: 4096 },
            "block 2 has 8192 bytes there, 4096 here",
        ),
        (
            Misbehavior::AddressOverflow { block: BLOCK, address: HostAddress::new(u64::MAX) },
            "block 2 at 0xffffffffffffffff wraps around",
        ),
        (Misbehavior::ZeroKey { block: BLOCK }, "a key of zero for block 2"),
        (Misbehavior::ResultCount { received: 1, expected: 2 }, "1 results for 2 requests"),
    ]);
}

#[test]
fn an_incompatibility_says_what_the_peer_wants() {
    read([
        (Incompatibility::Version { received: 2 }, "protocol version 2"),
        (Incompatibility::PinAllRefused, "it wants all RAM pinned (refused here)"),
        (Incompatibility::PinAllDeclined, "it declined to pin all RAM"),
        (
            Incompatibility::PinnedTooMuch { bytes: 4096, bytes_max: 100 },
            "it wants 4096 bytes pinned, and 100 are allowed here",
        ),
    ]);
}

#[test]
fn a_misuse_says_which_call_or_value_was_wrong() {
    read([
        (Misuse::WrongPhase { call: "finish" }, "`finish` does not fit the phase"),
        (Misuse::RamBlocks { blocks: 0 }, "a table of 0 RAM blocks"),
        (Misuse::RamBlock { block: BLOCK }, "block 2 is empty or wraps around"),
        (
            Misuse::Range { block: BLOCK, offset: 4096, length: 512 },
            "512 bytes at 4096 are not inside block 2",
        ),
        (
            Misuse::ChunkBytes { bytes: 3 },
            "chunk size 3: a power of two from 1 MiB to 1 GiB is needed",
        ),
        (Misuse::Limit { name: "scans" }, "`scans` is out of range"),
        (Misuse::NothingLeftToFinish, "`finish` needs stream bytes that have not been sent yet"),
        (Misuse::ConsumedTooMuch { asked: 9, available: 8 }, "9 bytes consumed where 8 were held"),
        (Misuse::UnexpectedCompletion, "a completion that answers no operation"),
        (Misuse::SendBuffer { bytes: 15 }, "a send buffer of 15 bytes is too small"),
        (Misuse::ZeroKey, "the transport registered with a key of zero"),
    ]);
}

#[test]
fn a_failed_operation_says_what_it_was_for() {
    let offset = BlockOffset::new(0x2000);
    read([
        (FailedOperation::Receive { buffer: ReceiveBuffer(0) }, "receive"),
        (FailedOperation::Send, "send"),
        (FailedOperation::WriteRam, "RDMA WRITE"),
        (FailedOperation::ScanRam { block: BLOCK, offset }, "scan of block 2 at 0x2000"),
        (FailedOperation::ZeroRam { block: BLOCK, offset }, "zeroing of block 2 at 0x2000"),
        (FailedOperation::RegisterMemory { region: REGION }, "registration of region 7"),
        (FailedOperation::DeregisterMemory { region: REGION }, "deregistration of region 7"),
    ]);
}

#[test]
fn a_transport_error_says_what_the_status_means() {
    read([
        (TransportError::LocalLength, "local length error"),
        (TransportError::LocalQueuePair, "local queue pair operation error"),
        (TransportError::LocalProtection, "local protection error: the buffer is not registered"),
        (TransportError::Flushed, "flushed: the queue pair had failed before"),
        (TransportError::BadResponse, "bad response"),
        (TransportError::LocalAccess, "local access error: a write of the peer was refused here"),
        (
            TransportError::RemoteInvalidRequest,
            "remote invalid request: too long for the peer's buffer",
        ),
        (
            TransportError::RemoteAccess,
            "remote access error: the peer refused the key or the range",
        ),
        (TransportError::RemoteOperation, "remote operation error"),
        (TransportError::RetryExceeded, "retries exceeded: the peer is gone or the link is down"),
        (TransportError::ReceiverNotReady, "receiver not ready: the peer had posted no receive"),
        (TransportError::QueueFull, "the queue is full"),
        (TransportError::DeviceFatal, "fatal device error"),
        (TransportError::MemoryLimit, "the limit on locked memory (RLIMIT_MEMLOCK) is reached"),
        (TransportError::OutOfMemory, "out of memory or device resources"),
        (TransportError::Unreachable, "unreachable: no route, or nobody listens"),
        (TransportError::Cancelled, "cancelled because the connection closes"),
        (TransportError::Os(-5), "operating system error -5"),
    ]);
}

#[test]
fn a_timeout_says_what_did_not_come() {
    let texts = [
        "the connection was not made",
        "the destination sent no READY",
        "the destination sent no reply",
        "the source sent no command",
        "a send was not acknowledged",
        "RDMA WRITEs were not acknowledged",
        "memory was not registered or released",
        "memory was not scanned or zeroed",
        "the destination did not disconnect",
        "ERROR did not leave",
        "the queue pair was not destroyed",
    ];
    assert_eq!(TimeoutReason::ALL.map(|reason| reason.to_string()), texts);
}

#[test]
fn a_malformed_message_says_what_was_received_and_what_was_expected() {
    let kind = Kind::Compress;
    read([
        (
            Malformed::PayloadTooLong { kind, declared: 524_273 },
            "COMPRESS declares 524273 bytes, expected 524272 at most",
        ),
        (
            Malformed::UnexpectedPayload { kind: Kind::Ready, payload_bytes: 1 },
            "READY with a payload of 1 bytes, expected none",
        ),
        (Malformed::EmptyStream, "QEMU_FILE with 0 bytes, expected 1 to 524272"),
        (
            Malformed::RepeatOutOfRange { kind, repeat: 4097 },
            "COMPRESS with repeat 4097, expected 1 to 4096",
        ),
        (
            Malformed::PartialRamBlock { block_bytes: 32, payload_bytes: 33 },
            "RAM_BLOCKS_RESULT with a payload of 33 bytes, expected a multiple of 32",
        ),
    ]);
}

#[test]
fn a_value_that_is_no_message_says_what_is_allowed() {
    read([
        (
            EncodeError::ResultsNotRepeat { repeat: 3, results: 2 },
            "REGISTER_RESULT with 2 results, expected 1 or 3",
        ),
        (
            EncodeError::StreamOutOfRange { stream_bytes: 0 },
            "QEMU_FILE with 0 bytes, expected 1 to 524272",
        ),
    ]);
}

#[test]
fn a_stream_without_a_block_list_says_what_stands_there() {
    let faults = [
        (
            SetupFault::Truncated { field: "name", wanted: 8, left: 3 },
            "name: 3 bytes are left, expected 8",
        ),
        (
            SetupFault::Magic { found: 0x7f45_4c46 },
            "no migration stream: found 0x7f454c46, expected 0x5145564d",
        ),
        (SetupFault::Version { found: 2 }, "stream version 2, expected 3"),
        (SetupFault::NoHook { found: 0x10 }, "the stream ends with 0x10, expected the hook 0x80"),
        (
            SetupFault::NoRamSection { searched: 99 },
            "the last 99 bytes start no RAM section, expected one",
        ),
        (SetupFault::TooManyCapabilities { found: 65 }, "65 capabilities, expected 64 at most"),
        (
            SetupFault::TooManyCommands,
            "one command more than the 64 expected at most before the RAM section",
        ),
        (
            SetupFault::TooManyBlocks { left: 4096 },
            "4096 bytes of RAM are left after 16383 RAM blocks, expected none",
        ),
        (SetupFault::NoBlocks, "a total of 0 bytes of RAM, expected 1 or more"),
        (SetupFault::EmptyName, "RAM block with a name of 0 bytes, expected 1 to 255"),
        (SetupFault::EmptyBlock, "RAM block of 0 bytes, expected 1 or more"),
        (
            SetupFault::PageSize { found: 0x1001 },
            "found 0x1001 after a RAM block, expected the next name or a page size, which is a \
             power of two below 2^56",
        ),
        (
            SetupFault::NotAtHook { left: 4 },
            "4 bytes stand between the RAM block list and the hook, expected none",
        ),
        (
            SetupFault::DuplicateName { first_offset: 45 },
            "RAM block with the name of the one at 45, expected another",
        ),
    ];
    for (fault, text) in faults {
        let whole = SetupError { offset: 40, fault }.to_string();
        assert_eq!(whole, format!("stream offset 40: {text}"));
    }
}

#[test]
fn owners_and_instants_read_as_in_a_report() {
    read([
        (GuestOwner::Source, "source"),
        (GuestOwner::Destination, "destination"),
        (GuestOwner::Undecided, "undecided"),
    ]);
    read([(Instant::from_nanoseconds(12_034_567_890), "12034.567890 ms")]);
}
