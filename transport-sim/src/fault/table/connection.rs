//! While the connection is made.

use rdma_migration_protocol::transport::TransportError;

use super::{Effect, FaultKind, Site, fails};

/// The operating system's number for a device that is not there.
const ENODEV: i32 = 19;

pub(super) const FAULTS: &[FaultKind] = &[
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
    fails(
        "connect-no-device",
        Site::ConnectRequest,
        1,
        Effect::Fail(TransportError::Os(ENODEV)),
        "The source finds no adapter that leads to the destination.",
    ),
    fails(
        "connect-not-accepted",
        Site::ConnectReply,
        1,
        Effect::Fail(TransportError::OutOfMemory),
        "The destination has no room for the connection that it wants to accept.",
    ),
];
