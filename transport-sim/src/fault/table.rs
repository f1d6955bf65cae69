//! The table of faults.

use core::time::Duration;

use rdma_migration_protocol::transport::TransportError;

use super::kind::{Corruption, Effect, FaultKind, Recovery, Site};
use crate::queue_pair::Fate;
use crate::side::Side;

const fn fails(
    name: &'static str,
    site: Site,
    default_at: u64,
    effect: Effect,
    description: &'static str,
) -> FaultKind {
    FaultKind { name, description, recovery: Recovery::Fails, default_at, site, effect }
}

const fn either(
    name: &'static str,
    site: Site,
    default_at: u64,
    effect: Effect,
    description: &'static str,
) -> FaultKind {
    FaultKind { name, description, recovery: Recovery::Either, default_at, site, effect }
}

const fn recovered(
    name: &'static str,
    site: Site,
    default_at: u64,
    effect: Effect,
    description: &'static str,
) -> FaultKind {
    FaultKind { name, description, recovery: Recovery::Recovered, default_at, site, effect }
}

const SOURCE: Side = Side::Source;
const DESTINATION: Side = Side::Destination;
/// Shorter than the retries of a queue pair last.
const FLAP: Duration = Duration::from_millis(150);
/// Longer than any side waits.
const TEN_MINUTES: Duration = Duration::from_secs(600);
/// Shorter than any side waits.
const A_SECOND: Duration = Duration::from_secs(1);
/// The operating system's number for an input/output error.
const EIO: i32 = 5;

const fn fate(error: TransportError) -> Effect {
    Effect::Fate(Fate::Refused(error))
}

/// Every fault, in the order of a migration.
pub const FAULTS: &[FaultKind] = &[
    fails(
        "connect-unreachable",
        Site::ConnectRequest,
        1,
        Effect::Unreachable,
        "The destination's address cannot be resolved.",
    ),
    fails(
        "connect-refused",
        Site::ConnectRequest,
        1,
        Effect::Refused,
        "Nobody listens at the destination's port.",
    ),
    fails(
        "connect-no-answer",
        Site::ConnectRequest,
        1,
        Effect::Unanswered,
        "The connect request is never answered.",
    ),
    fails(
        "connect-version-zero",
        Site::ConnectRequest,
        1,
        Effect::VersionZero,
        "The source asks for protocol version 0.",
    ),
    fails(
        "connect-reply-lost",
        Site::ConnectReply,
        1,
        Effect::Unanswered,
        "The destination accepts and the source never learns it.",
    ),
    fails(
        "connect-reply-version-zero",
        Site::ConnectReply,
        1,
        Effect::VersionZero,
        "The destination answers with protocol version 0.",
    ),
    fails(
        "connect-dropped",
        Site::Established,
        1,
        Effect::DropConnection,
        "The connection breaks at once after it was made.",
    ),
    either(
        "link-cut",
        Site::Departure,
        60,
        Effect::CutLink(None),
        "The link is cut both ways for ever, as the N-th send or write leaves.",
    ),
    either(
        "link-cut-from-source",
        Site::Departure,
        60,
        Effect::CutLinkFrom(SOURCE),
        "From the N-th send or write on, nothing of the source arrives.",
    ),
    either(
        "link-cut-from-destination",
        Site::Departure,
        60,
        Effect::CutLinkFrom(DESTINATION),
        "From the N-th send or write on, nothing of the destination arrives.",
    ),
    recovered(
        "link-flap",
        Site::Departure,
        60,
        Effect::CutLink(Some(FLAP)),
        "The link is cut for 150 ms, less than the adapters retry.",
    ),
    recovered(
        "packet-lost",
        Site::Departure,
        60,
        Effect::Lose,
        "The N-th send or write is lost on the link once and is sent again.",
    ),
    recovered(
        "packet-duplicated",
        Site::Departure,
        60,
        Effect::Duplicate,
        "The N-th send or write arrives twice; its sequence number gives the copy away.",
    ),
    either(
        "acknowledgement-lost-to-source",
        Site::Acknowledgement(SOURCE),
        20,
        Effect::Lose,
        "The N-th acknowledgement for the source is lost; the last one is not repeated: undecided.",
    ),
    recovered(
        "acknowledgement-lost-to-destination",
        Site::Acknowledgement(DESTINATION),
        20,
        Effect::Lose,
        "The N-th acknowledgement for the destination is lost.",
    ),
    fails(
        "last-send-lost",
        Site::LastSend,
        1,
        Effect::CutLink(None),
        "The link is cut as the last message of the stream leaves.",
    ),
    either(
        "last-send-unacknowledged",
        Site::LastSendAcknowledgement,
        1,
        Effect::CutLink(None),
        "The last message of the stream arrives, its acknowledgement does not: undecided.",
    ),
    fails(
        "source-silent",
        Site::Send(SOURCE),
        10,
        Effect::Silence,
        "From the source's N-th send on, its messages are acknowledged but never seen.",
    ),
    fails(
        "destination-silent",
        Site::Send(DESTINATION),
        10,
        Effect::Silence,
        "From the destination's N-th send on, its messages are acknowledged but never seen.",
    ),
    fails(
        "ready-lost",
        Site::Send(DESTINATION),
        4,
        Effect::Fate(Fate::Swallowed),
        "The destination's N-th message is acknowledged but never seen.",
    ),
    recovered(
        "ready-late",
        Site::Send(DESTINATION),
        4,
        Effect::Fate(Fate::Delayed(A_SECOND)),
        "The destination's N-th message leaves a second late.",
    ),
    fails(
        "source-send-lost",
        Site::Send(SOURCE),
        8,
        Effect::Fate(Fate::Lost),
        "The source's N-th send is lost however often it is repeated.",
    ),
    fails(
        "source-send-receiver-not-ready",
        Site::Send(SOURCE),
        8,
        fate(TransportError::ReceiverNotReady),
        "The source's N-th send is told that no receive is posted.",
    ),
    fails(
        "source-send-invalid",
        Site::Send(SOURCE),
        8,
        fate(TransportError::RemoteInvalidRequest),
        "The source's N-th send is refused as invalid by the destination's adapter.",
    ),
    fails(
        "destination-send-lost",
        Site::Send(DESTINATION),
        8,
        Effect::Fate(Fate::Lost),
        "The destination's N-th send is lost however often it is repeated.",
    ),
    fails(
        "destination-send-receiver-not-ready",
        Site::Send(DESTINATION),
        8,
        fate(TransportError::ReceiverNotReady),
        "The destination's N-th send is told that no receive is posted.",
    ),
    fails(
        "destination-send-failed-there",
        Site::Send(DESTINATION),
        8,
        fate(TransportError::RemoteOperation),
        "The source's adapter fails while it takes the destination's N-th send.",
    ),
    fails(
        "write-lost",
        Site::Write,
        30,
        Effect::Fate(Fate::Lost),
        "The N-th RDMA WRITE is lost however often it is repeated.",
    ),
    fails(
        "write-refused",
        Site::Write,
        30,
        fate(TransportError::RemoteAccess),
        "The destination's adapter refuses key or range of the N-th RDMA WRITE.",
    ),
    fails(
        "write-unprotected",
        Site::Write,
        30,
        Effect::Fate(Fate::FailsHere(TransportError::LocalProtection)),
        "The source's adapter may not read the memory of the N-th RDMA WRITE.",
    ),
    either(
        "source-device-fatal",
        Site::Operation(SOURCE),
        100,
        Effect::DeviceFatal,
        "The source's adapter fails at the N-th operation.",
    ),
    either(
        "destination-device-fatal",
        Site::Operation(DESTINATION),
        100,
        Effect::DeviceFatal,
        "The destination's adapter fails at the N-th operation.",
    ),
    either(
        "connection-dropped",
        Site::Operation(SOURCE),
        150,
        Effect::DropConnection,
        "The connection breaks at the source's N-th operation, and both sides learn it.",
    ),
    fails(
        "source-registration-refused",
        Site::Registration(SOURCE),
        2,
        Effect::Fail(TransportError::MemoryLimit),
        "The source's N-th registration is over the limit on locked memory.",
    ),
    fails(
        "destination-registration-refused",
        Site::Registration(DESTINATION),
        2,
        Effect::Fail(TransportError::MemoryLimit),
        "The destination's N-th registration is over the limit on locked memory.",
    ),
    recovered(
        "source-registration-slow",
        Site::Registration(SOURCE),
        2,
        Effect::Slow(A_SECOND),
        "The source's N-th registration takes a second longer.",
    ),
    recovered(
        "destination-registration-slow",
        Site::Registration(DESTINATION),
        2,
        Effect::Slow(A_SECOND),
        "The destination's N-th registration takes a second longer.",
    ),
    fails(
        "source-registration-stuck",
        Site::Registration(SOURCE),
        2,
        Effect::Slow(TEN_MINUTES),
        "The source's N-th registration takes longer than any side waits.",
    ),
    fails(
        "destination-registration-stuck",
        Site::Registration(DESTINATION),
        2,
        Effect::Slow(TEN_MINUTES),
        "The destination's N-th registration takes longer than any side waits.",
    ),
    recovered(
        "source-deregistration-failed",
        Site::Deregistration(SOURCE),
        1,
        Effect::Fail(TransportError::Os(EIO)),
        "The source's N-th deregistration fails once; the region stays registered until the next try.",
    ),
    recovered(
        "destination-deregistration-failed",
        Site::Deregistration(DESTINATION),
        1,
        Effect::Fail(TransportError::Os(EIO)),
        "The destination's N-th deregistration fails once; the region stays registered until the next try.",
    ),
    fails(
        "scan-failed",
        Site::Scan,
        5,
        Effect::Fail(TransportError::Os(EIO)),
        "The source's N-th look whether memory is zero fails.",
    ),
    fails(
        "zero-failed",
        Site::Zero,
        5,
        Effect::Fail(TransportError::Os(EIO)),
        "The destination cannot zero its memory for the N-th time.",
    ),
    either(
        "source-error-injected",
        Site::Send(SOURCE),
        12,
        Effect::InjectError,
        "The source's program sends ERROR right after its N-th message.",
    ),
    fails(
        "destination-error-injected",
        Site::Send(DESTINATION),
        12,
        Effect::InjectError,
        "The destination's program sends ERROR right after its N-th message.",
    ),
    fails(
        "source-kind-corrupted",
        Site::Send(SOURCE),
        6,
        Effect::Corrupt(Corruption::Kind),
        "The source's N-th message has a kind that does not exist.",
    ),
    fails(
        "source-length-corrupted",
        Site::Send(SOURCE),
        6,
        Effect::Corrupt(Corruption::Length),
        "The source's N-th message announces a byte more than it has.",
    ),
    fails(
        "source-message-truncated",
        Site::Send(SOURCE),
        6,
        Effect::Corrupt(Corruption::Truncated),
        "The second half of the source's N-th message is missing.",
    ),
    fails(
        "destination-kind-corrupted",
        Site::Send(DESTINATION),
        3,
        Effect::Corrupt(Corruption::Kind),
        "The destination's N-th message has a kind that does not exist.",
    ),
    fails(
        "destination-length-corrupted",
        Site::Send(DESTINATION),
        3,
        Effect::Corrupt(Corruption::Length),
        "The destination's N-th message announces a byte more than it has.",
    ),
    fails(
        "destination-message-truncated",
        Site::Send(DESTINATION),
        3,
        Effect::Corrupt(Corruption::Truncated),
        "The second half of the destination's N-th message is missing.",
    ),
    either(
        "source-aborts",
        Site::Operation(SOURCE),
        120,
        Effect::AskedByOwner,
        "The owner of the guest at the source aborts after the N-th operation there.",
    ),
    either(
        "destination-aborts",
        Site::Operation(DESTINATION),
        120,
        Effect::AskedByOwner,
        "The owner at the destination aborts after the N-th operation there.",
    ),
    fails(
        "stream-truncated",
        Site::LastSend,
        1,
        Effect::AskedByOwner,
        "The source ends its stream early; the destination finds it incomplete.",
    ),
];
