//! In the adapters: sends, receives and writes.

use rdma_migration_protocol::transport::TransportError;

use super::{A_SECOND, DESTINATION, Effect, FaultKind, SOURCE, Site, either, fails, recovered};
use crate::queue_pair::Fate;

const fn refused(error: TransportError) -> Effect {
    Effect::Fate(Fate::Refused(error))
}

const fn fails_here(error: TransportError) -> Effect {
    Effect::Fate(Fate::FailsHere(error))
}

/// What can go wrong with the adapter of one side.
macro_rules! adapter {
    ($name:literal, $side:expr) => {
        [
            fails(
                concat!($name, "-send-lost"),
                Site::Send($side),
                8,
                Effect::Fate(Fate::Lost),
                concat!("The ", $name, "'s N-th send is lost however often it is repeated."),
            ),
            recovered(
                concat!($name, "-send-late"),
                Site::Send($side),
                8,
                Effect::Fate(Fate::Delayed(A_SECOND)),
                concat!("The ", $name, "'s N-th send leaves a second late."),
            ),
            fails(
                concat!($name, "-send-receiver-not-ready"),
                Site::Send($side),
                8,
                refused(TransportError::ReceiverNotReady),
                concat!("The ", $name, "'s N-th send is told that no receive is posted."),
            ),
            fails(
                concat!($name, "-send-invalid"),
                Site::Send($side),
                8,
                refused(TransportError::RemoteInvalidRequest),
                concat!("The ", $name, "'s N-th send is refused as invalid by the peer's adapter."),
            ),
            fails(
                concat!($name, "-send-failed-there"),
                Site::Send($side),
                8,
                refused(TransportError::RemoteOperation),
                concat!("The ", $name, "'s N-th send makes the peer's adapter fail."),
            ),
            fails(
                concat!($name, "-send-badly-answered"),
                Site::Send($side),
                8,
                fails_here(TransportError::BadResponse),
                concat!("The ", $name, "'s N-th send is answered with something that does not fit it."),
            ),
            fails(
                concat!($name, "-send-unprotected"),
                Site::Send($side),
                8,
                fails_here(TransportError::LocalProtection),
                concat!("The ", $name, "'s adapter may not read the memory of its N-th send."),
            ),
            fails(
                concat!($name, "-send-wrong-length"),
                Site::Send($side),
                8,
                fails_here(TransportError::LocalLength),
                concat!("The ", $name, "'s adapter cannot send a message as long as the N-th."),
            ),
            fails(
                concat!($name, "-send-wrong-state"),
                Site::Send($side),
                8,
                fails_here(TransportError::LocalQueuePair),
                concat!("The ", $name, "'s queue pair cannot send when the N-th message is due."),
            ),
            fails(
                concat!($name, "-send-not-posted"),
                Site::Send($side),
                8,
                Effect::Fail(TransportError::QueueFull),
                concat!("The ", $name, "'s N-th send is not taken by the adapter, which goes on."),
            ),
            either(
                concat!($name, "-receive-unprotected"),
                Site::Receive($side),
                4,
                fails_here(TransportError::LocalProtection),
                concat!("The ", $name, "'s adapter may not write the message that meets its N-th receive."),
            ),
            either(
                concat!($name, "-receive-too-short"),
                Site::Receive($side),
                4,
                fails_here(TransportError::LocalLength),
                concat!("The ", $name, "'s N-th receive has no room for the message that meets it."),
            ),
            fails(
                concat!($name, "-receive-not-posted"),
                Site::Receive($side),
                4,
                Effect::Fail(TransportError::QueueFull),
                concat!("The ", $name, "'s N-th receive is not taken by the adapter, which goes on."),
            ),
            either(
                concat!($name, "-device-fatal"),
                Site::Operation($side),
                100,
                Effect::BreakQueuePair(TransportError::DeviceFatal),
                concat!("The ", $name, "'s adapter fails at the N-th operation."),
            ),
            either(
                concat!($name, "-queue-pair-broken"),
                Site::Operation($side),
                100,
                Effect::BreakQueuePair(TransportError::Flushed),
                concat!("The ", $name, "'s queue pair fails at the N-th operation, for a reason that no completion tells."),
            ),
        ]
    };
}

pub(super) const OF_SOURCE: &[FaultKind] = &adapter!("source", SOURCE);
pub(super) const OF_DESTINATION: &[FaultKind] = &adapter!("destination", DESTINATION);

/// The RDMA WRITEs, which are the source's alone.
pub(super) const WRITES: &[FaultKind] = &[
    fails(
        "write-lost",
        Site::Write,
        30,
        Effect::Fate(Fate::Lost),
        "The N-th RDMA WRITE is lost however often it is repeated.",
    ),
    recovered(
        "write-late",
        Site::Write,
        30,
        Effect::Fate(Fate::Delayed(A_SECOND)),
        "The N-th RDMA WRITE leaves a second late.",
    ),
    fails(
        "write-refused",
        Site::Write,
        30,
        refused(TransportError::RemoteAccess),
        "The destination's adapter refuses key or range of the N-th RDMA WRITE.",
    ),
    fails(
        "write-invalid",
        Site::Write,
        30,
        refused(TransportError::RemoteInvalidRequest),
        "The destination's adapter refuses the N-th RDMA WRITE as invalid.",
    ),
    fails(
        "write-failed-there",
        Site::Write,
        30,
        refused(TransportError::RemoteOperation),
        "The destination's adapter fails while it takes the N-th RDMA WRITE.",
    ),
    fails(
        "write-badly-answered",
        Site::Write,
        30,
        fails_here(TransportError::BadResponse),
        "The N-th RDMA WRITE is answered with something that does not fit it.",
    ),
    fails(
        "write-unprotected",
        Site::Write,
        30,
        fails_here(TransportError::LocalProtection),
        "The source's adapter may not read the memory of the N-th RDMA WRITE.",
    ),
    fails(
        "write-wrong-length",
        Site::Write,
        30,
        fails_here(TransportError::LocalLength),
        "The source's adapter cannot write as much as the N-th RDMA WRITE.",
    ),
    fails(
        "write-wrong-state",
        Site::Write,
        30,
        fails_here(TransportError::LocalQueuePair),
        "The source's queue pair cannot write when the N-th RDMA WRITE is due.",
    ),
    fails(
        "write-not-posted",
        Site::Write,
        30,
        Effect::Fail(TransportError::QueueFull),
        "The N-th RDMA WRITE is not taken by the source's adapter, which goes on.",
    ),
];
