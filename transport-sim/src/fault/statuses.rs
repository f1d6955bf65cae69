//! Every status that an operation can end with has a fault that makes it do so.

use rdma_migration_protocol::transport::TransportError;

use super::kind::{Effect, Site};
use super::table::FAULTS;
use crate::queue_pair::Fate;
use crate::side::Side;

/// The error of the operation that the fault strikes, where it is one.
fn error_of(effect: Effect) -> Option<TransportError> {
    match effect {
        Effect::Fail(error)
        | Effect::BreakQueuePair(error)
        | Effect::Fate(Fate::Refused(error) | Fate::FailsHere(error)) => Some(error),
        Effect::Fate(Fate::Lost) => Some(TransportError::RetryExceeded),
        Effect::Unreachable => Some(TransportError::Unreachable),
        _ => None,
    }
}

#[track_caller]
fn fails_with(site: Site, statuses: &[TransportError]) {
    for status in statuses {
        let made = |effect| {
            let error = error_of(effect);
            // Of the numbers of operating systems one stands for all.
            error == Some(*status)
                || matches!((error, status), (Some(TransportError::Os(_)), TransportError::Os(_)))
        };
        let found = FAULTS.iter().any(|kind| kind.site == site && made(kind.effect));
        assert!(found, "nothing makes {site:?} fail with {status:?}");
    }
}

/// What the adapter of the requester says of itself, of the answer, or of none.
const OF_REQUESTS: [TransportError; 8] = [
    TransportError::LocalLength,
    TransportError::LocalQueuePair,
    TransportError::LocalProtection,
    TransportError::BadResponse,
    TransportError::RemoteInvalidRequest,
    TransportError::RemoteOperation,
    TransportError::RetryExceeded,
    TransportError::QueueFull,
];

#[test]
fn sends_fail_with_every_status_that_they_can_get() {
    for side in Side::BOTH {
        fails_with(Site::Send(side), &OF_REQUESTS);
        fails_with(Site::Send(side), &[TransportError::ReceiverNotReady]);
    }
}

#[test]
fn writes_fail_with_every_status_that_they_can_get() {
    fails_with(Site::Write, &OF_REQUESTS);
    fails_with(Site::Write, &[TransportError::RemoteAccess]);
}

#[test]
fn receives_fail_with_every_status_that_they_can_get() {
    let statuses =
        [TransportError::LocalLength, TransportError::LocalProtection, TransportError::QueueFull];
    for side in Side::BOTH {
        fails_with(Site::Receive(side), &statuses);
    }
}

/// With the first status the oldest request fails, and with the second, as all behind it always do,
/// every request is only flushed.
#[test]
fn a_queue_pair_fails_with_and_without_a_reason() {
    for side in Side::BOTH {
        let statuses = [TransportError::DeviceFatal, TransportError::Flushed];
        fails_with(Site::Operation(side), &statuses);
    }
}

#[test]
fn work_on_memory_fails_with_what_the_operating_system_answers() {
    let os = TransportError::Os(0);
    for side in Side::BOTH {
        let refused = [TransportError::MemoryLimit, TransportError::OutOfMemory];
        fails_with(Site::Registration(side), &refused);
        fails_with(Site::Deregistration(side), &[os]);
    }
    fails_with(Site::Scan, &[os]);
    fails_with(Site::Zero, &[os]);
}

#[test]
fn connections_fail_with_what_the_operating_system_answers() {
    fails_with(Site::ConnectRequest, &[TransportError::Unreachable, TransportError::Os(0)]);
    fails_with(Site::ConnectReply, &[TransportError::OutOfMemory]);
}
