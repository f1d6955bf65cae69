//! In work on memory: registration, deregistration, scans and fills.

use rdma_migration_protocol::transport::TransportError;

use super::{
    A_SECOND, DESTINATION, EIO, Effect, FaultKind, SOURCE, Site, TEN_MINUTES, fails, recovered,
};

/// What can go wrong with the registrations of one side.
macro_rules! registrations {
    ($name:literal, $side:expr) => {
        [
            fails(
                concat!($name, "-registration-refused"),
                Site::Registration($side),
                2,
                Effect::Fail(TransportError::MemoryLimit),
                concat!("The ", $name, "'s N-th registration is over the limit on locked memory."),
            ),
            fails(
                concat!($name, "-registration-out-of-memory"),
                Site::Registration($side),
                2,
                Effect::Fail(TransportError::OutOfMemory),
                concat!("The ", $name, "'s adapter has no room for its N-th registration."),
            ),
            recovered(
                concat!($name, "-registration-slow"),
                Site::Registration($side),
                2,
                Effect::Slow(A_SECOND),
                concat!("The ", $name, "'s N-th registration takes a second longer."),
            ),
            fails(
                concat!($name, "-registration-stuck"),
                Site::Registration($side),
                2,
                Effect::Slow(TEN_MINUTES),
                concat!("The ", $name, "'s N-th registration takes longer than any side waits."),
            ),
            recovered(
                concat!($name, "-deregistration-failed"),
                Site::Deregistration($side),
                1,
                Effect::Fail(TransportError::Os(EIO)),
                concat!(
                    "The ",
                    $name,
                    "'s N-th deregistration fails once; the region stays registered until the \
                     next try."
                ),
            ),
            recovered(
                concat!($name, "-deregistration-slow"),
                Site::Deregistration($side),
                1,
                Effect::Slow(A_SECOND),
                concat!("The ", $name, "'s N-th deregistration takes a second longer."),
            ),
            fails(
                concat!($name, "-deregistration-stuck"),
                Site::Deregistration($side),
                1,
                Effect::Slow(TEN_MINUTES),
                concat!("The ", $name, "'s N-th deregistration takes longer than any side waits."),
            ),
        ]
    };
}

pub(super) const OF_SOURCE: &[FaultKind] = &registrations!("source", SOURCE);
pub(super) const OF_DESTINATION: &[FaultKind] = &registrations!("destination", DESTINATION);

/// The page walk of the source, and the fills of the destination.
pub(super) const WALKS: &[FaultKind] = &[
    fails(
        "scan-failed",
        Site::Scan,
        5,
        Effect::Fail(TransportError::Os(EIO)),
        "The source's N-th look whether memory is zero fails.",
    ),
    recovered(
        "scan-slow",
        Site::Scan,
        5,
        Effect::Slow(A_SECOND),
        "The source's N-th look whether memory is zero takes a second longer.",
    ),
    fails(
        "scan-stuck",
        Site::Scan,
        5,
        Effect::Slow(TEN_MINUTES),
        "The source's N-th look whether memory is zero takes longer than any side waits.",
    ),
    fails(
        "zero-failed",
        Site::Zero,
        5,
        Effect::Fail(TransportError::Os(EIO)),
        "The destination cannot zero its memory for the N-th time.",
    ),
    recovered(
        "zero-slow",
        Site::Zero,
        5,
        Effect::Slow(A_SECOND),
        "The destination takes a second longer to zero its memory for the N-th time.",
    ),
    fails(
        "zero-stuck",
        Site::Zero,
        5,
        Effect::Slow(TEN_MINUTES),
        "The destination takes longer than any side waits to zero its memory for the N-th time.",
    ),
];
