//! The published names of what the protocol crate's decoders find wrong, so that they and others can
//! be held against one another.

use rdma_migration_protocol::stream::setup::SetupFault;
use rdma_migration_protocol::wire::Malformed;

use super::error_name::ErrorName;

/// The name of a fault in a message or in private data, if it has one.
#[must_use]
pub const fn of_message(malformed: &Malformed) -> Option<ErrorName> {
    Some(match malformed {
        Malformed::HeaderTruncated { .. } => ErrorName::HeaderTruncated,
        Malformed::UnknownKind { .. } => ErrorName::UnknownType,
        Malformed::PayloadTooLong { .. } => ErrorName::LengthTooLarge,
        Malformed::LengthMismatch { .. } => ErrorName::LengthMismatch,
        Malformed::UnexpectedPayload { .. } => ErrorName::UnexpectedPayload,
        Malformed::EmptyStream => ErrorName::EmptyStream,
        Malformed::RepeatOutOfRange { .. } => ErrorName::RepeatOutOfRange,
        Malformed::PayloadNotRepeat { .. } => ErrorName::PayloadNotRepeat,
        Malformed::PartialRamBlock { .. } => ErrorName::PartialRamBlock,
        Malformed::PrivateDataTooShort { .. } => ErrorName::PrivateDataTruncated,
        _ => return None,
    })
}

/// The name of a fault in the front of a stream, if it has one.
#[must_use]
pub const fn of_stream(fault: &SetupFault) -> Option<ErrorName> {
    Some(match fault {
        SetupFault::Truncated { .. } => ErrorName::StreamTruncated,
        SetupFault::Magic { .. } => ErrorName::BadMagic,
        SetupFault::Version { .. } => ErrorName::BadVersion,
        SetupFault::NoHook { .. } => ErrorName::NoHook,
        SetupFault::NoRamSection { .. } => ErrorName::NoRamSection,
        SetupFault::TooManyCapabilities { .. } => ErrorName::TooManyCapabilities,
        SetupFault::TooManyCommands => ErrorName::TooManyCommands,
        SetupFault::TooManyBlocks { .. } => ErrorName::TooManyBlocks,
        SetupFault::NoBlocks => ErrorName::NoRamBlocks,
        SetupFault::EmptyName => ErrorName::EmptyName,
        SetupFault::EmptyBlock => ErrorName::EmptyBlock,
        SetupFault::BlockExceedsTotal { .. } => ErrorName::BlockExceedsTotal,
        SetupFault::PageSize { .. } => ErrorName::BadPageSize,
        SetupFault::NotAtHook { .. } => ErrorName::ListNotAtHook,
        SetupFault::DuplicateName { .. } => ErrorName::DuplicateName,
        _ => return None,
    })
}
