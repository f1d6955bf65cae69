//! The published names of what this project's decoders find wrong, so that other decoders can be
//! held against them.

use rdma_migration_conformance::vectors::error_name::ErrorName;
use rdma_migration_protocol::stream::setup::SetupFault;
use rdma_migration_protocol::wire::Malformed;

/// The name of a fault in a message or in private data.
///
/// # Panics
///
/// If it has none.
#[must_use]
pub fn of_message(malformed: &Malformed) -> ErrorName {
    match malformed {
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
        other => panic!("{other:?} has no name"),
    }
}

/// The name of a fault in the front of a stream.
///
/// # Panics
///
/// If it has none.
#[must_use]
pub fn of_stream(fault: &SetupFault) -> ErrorName {
    match fault {
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
        other => panic!("{other:?} has no name"),
    }
}
