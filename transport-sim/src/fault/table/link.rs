//! On the link.

use core::time::Duration;

use super::{DESTINATION, Effect, FaultKind, SOURCE, Site, either, fails, recovered};

/// Shorter than the retries of a queue pair last.
const FLAP: Duration = Duration::from_millis(150);

pub(super) const FAULTS: &[FaultKind] = &[
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
    either(
        "connection-dropped",
        Site::Operation(SOURCE),
        150,
        Effect::DropConnection,
        "The connection breaks at the source's N-th operation, and both sides learn it.",
    ),
    either(
        "connection-dropped-at-destination",
        Site::Operation(DESTINATION),
        150,
        Effect::DropConnection,
        "The connection breaks at the destination's N-th operation, and both sides learn it.",
    ),
];
