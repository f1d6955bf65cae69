//! In the programs of the two sides, and by their owners.

use super::{DESTINATION, Effect, FaultKind, SOURCE, Site, either, fails};
use crate::fault::kind::Corruption;
use crate::queue_pair::Fate;

pub(super) const FAULTS: &[FaultKind] = &[
    fails(
        "command-lost",
        Site::Send(SOURCE),
        8,
        Effect::Fate(Fate::Swallowed),
        "The source's N-th message is acknowledged but never seen.",
    ),
    fails(
        "ready-lost",
        Site::Send(DESTINATION),
        4,
        Effect::Fate(Fate::Swallowed),
        "The destination's N-th message is acknowledged but never seen.",
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
    either(
        "source-repeat-corrupted",
        Site::Send(SOURCE),
        6,
        Effect::Corrupt(Corruption::Repeat),
        "The source's N-th message says that it repeats its command 4097 times, which some kinds ignore.",
    ),
    either(
        "destination-repeat-corrupted",
        Site::Send(DESTINATION),
        3,
        Effect::Corrupt(Corruption::Repeat),
        "The destination's N-th message says that it repeats its command 4097 times, which some kinds ignore.",
    ),
];
