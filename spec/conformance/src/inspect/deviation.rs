use std::fmt;

use super::entry::Role;
use crate::capture::infiniband::Answer;
use crate::codec::{Kind, MESSAGE_BYTES_MAX, REPEAT_MAX};

/// Something that only the source does, and only at certain times.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Act {
    /// A message of this kind.
    Message(Kind),
    /// An RDMA WRITE.
    Write,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(kind) => kind.fmt(f),
            Self::Write => f.write_str("RDMA WRITE"),
        }
    }
}

/// A departure from the protocol.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Deviation {
    #[error("asks for protocol version 0, which does not exist")]
    VersionZero,
    #[error("answers with protocol version {version}, where every version answers 1")]
    ReplyVersion { version: u32 },
    #[error("grants flags {flags:#x}, which were not asked for or are not defined")]
    UnmaskedFlags { flags: u32 },

    #[error("{kind} without a READY to pay for it")]
    CommandWithoutReady { kind: Kind },
    #[error("{kind} while {reply} is still due")]
    CommandBeforeReply { kind: Kind, reply: Kind },
    #[error("a second READY while the first has not been used")]
    SecondReady,
    #[error("READY before {reply}, which was due first")]
    ReadyBeforeReply { reply: Kind },
    #[error("{kind} though nothing was asked for")]
    ReplyWithoutRequest { kind: Kind },
    #[error("{kind} where {expected} was due")]
    WrongReply { kind: Kind, expected: Kind },
    #[error("{kind} repeats {repeat} where the request repeats {requested}")]
    ReplyRepeat { kind: Kind, repeat: u32, requested: u32 },
    #[error("{kind} from the {from}, which never sends it")]
    WrongDirection { kind: Kind, from: Role },
    #[error("{kind} from the {from} after its own ERROR")]
    AfterError { kind: Kind, from: Role },

    #[error("message kind {number} is not defined")]
    UnknownKind { number: u32 },
    #[error("a message of {bytes} bytes has no room for the header")]
    ShorterThanHeader { bytes: u64 },
    #[error("a message of {bytes} bytes exceeds {MESSAGE_BYTES_MAX}")]
    MessageTooLong { bytes: u64 },
    #[error("the header of {kind} declares {declared} bytes, and {carried} follow it")]
    LengthMismatch { kind: Kind, declared: u32, carried: u64 },
    #[error("{kind} carries {length} bytes where {expected} belong")]
    PayloadLength { kind: Kind, length: u32, expected: u64 },
    #[error("QEMU_FILE without a byte of the stream")]
    EmptyStream,
    #[error("{kind} repeats {repeat}, outside 1 to {REPEAT_MAX}")]
    RepeatOutOfRange { kind: Kind, repeat: u32 },

    #[error("{act} outside a registration window: the stream has not just reached a hook")]
    OutsideWindow { act: Act },
    #[error("QEMU_FILE inside a registration window, before REGISTER_FINISHED")]
    StreamInWindow,
    #[error("REGISTER_FINISHED before every RDMA WRITE was acknowledged")]
    FinishedBeforeWrites,
    #[error("asks for the RAM blocks a second time")]
    BlocksRequestedAgain,
    #[error("{act} before the RAM blocks are known")]
    BeforeBlocks { act: Act },

    #[error("{granted} RAM blocks where the stream names {named}")]
    BlockCount { named: usize, granted: usize },
    #[error("RAM block {block} has {granted:#x} bytes where the stream says {named:#x}")]
    BlockLength { block: String, named: u64, granted: u64 },
    #[error("no key (0) for {place}")]
    ZeroKey { place: String },
    #[error("{kind} names RAM block {block} of {count}")]
    NoSuchBlock { kind: Kind, block: u32, count: usize },
    #[error("{kind} at {address:#x} leaves RAM block {block}")]
    OutsideBlock { kind: Kind, block: String, address: u64 },
    #[error("COMPRESS of no bytes")]
    EmptyRun,
    #[error("RDMA WRITE of {length:#x} bytes at {address:#x} lies in no RAM block")]
    WriteOutsideBlocks { address: u64, length: u32 },
    #[error("RDMA WRITE with rkey {rkey:#x}, which was not granted or was taken back")]
    UnknownKey { rkey: u32 },
    #[error("RDMA WRITE with rkey {rkey:#x}, which does not cover {place}")]
    OutsideGrant { rkey: u32, place: String },
    #[error("RDMA WRITE from the destination")]
    WriteByDestination,
    #[error("RDMA WRITE declares {declared} bytes and carries {carried}")]
    WriteLength { declared: u32, carried: u64 },

    #[error("{operation}, which the protocol does not use")]
    OtherOperation { operation: &'static str },
    #[error("{}", refusal(*answer))]
    Refused { answer: Answer },
}

fn refusal(answer: Answer) -> &'static str {
    match answer {
        Answer::ReceiverNotReady => "a SEND found no receive posted (receiver not ready)",
        Answer::InvalidRequest => "a request was refused as invalid",
        Answer::RemoteAccessError => "a request was refused for its key or address",
        Answer::RemoteOperationalError => "a request failed at its receiver",
        Answer::Acknowledged | Answer::OutOfSequence => "a request was answered",
    }
}

impl Deviation {
    /// A name that stays the same when the wording changes.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::VersionZero => "version_zero",
            Self::ReplyVersion { .. } => "reply_version",
            Self::UnmaskedFlags { .. } => "unmasked_flags",
            Self::CommandWithoutReady { .. } => "command_without_ready",
            Self::CommandBeforeReply { .. } => "command_before_reply",
            Self::SecondReady => "second_ready",
            Self::ReadyBeforeReply { .. } => "ready_before_reply",
            Self::ReplyWithoutRequest { .. } => "reply_without_request",
            Self::WrongReply { .. } => "wrong_reply",
            Self::ReplyRepeat { .. } => "reply_repeat",
            Self::WrongDirection { .. } => "wrong_direction",
            Self::AfterError { .. } => "after_error",
            Self::UnknownKind { .. } => "unknown_kind",
            Self::ShorterThanHeader { .. } => "shorter_than_header",
            Self::MessageTooLong { .. } => "message_too_long",
            Self::LengthMismatch { .. } => "length_mismatch",
            Self::PayloadLength { .. } => "payload_length",
            Self::EmptyStream => "empty_stream",
            Self::RepeatOutOfRange { .. } => "repeat_out_of_range",
            Self::OutsideWindow { .. } => "outside_window",
            Self::StreamInWindow => "stream_in_window",
            Self::FinishedBeforeWrites => "finished_before_writes",
            Self::BlocksRequestedAgain => "blocks_requested_again",
            Self::BeforeBlocks { .. } => "before_blocks",
            Self::BlockCount { .. } => "block_count",
            Self::BlockLength { .. } => "block_length",
            Self::ZeroKey { .. } => "zero_key",
            Self::NoSuchBlock { .. } => "no_such_block",
            Self::OutsideBlock { .. } => "outside_block",
            Self::EmptyRun => "empty_run",
            Self::WriteOutsideBlocks { .. } => "write_outside_blocks",
            Self::UnknownKey { .. } => "unknown_key",
            Self::OutsideGrant { .. } => "outside_grant",
            Self::WriteByDestination => "write_by_destination",
            Self::WriteLength { .. } => "write_length",
            Self::OtherOperation { .. } => "other_operation",
            Self::Refused { .. } => "refused",
        }
    }
}
