//! Chapter 10: ERROR, from either side at any time.

use rdma_migration_conformance::codec::Kind;
use rdma_migration_conformance::vectors::error_name::ErrorName::{self, PeerError};
use rdma_migration_conformance::vectors::vector::{Reader, Side, Vector};

use super::build::{Message, register, unregister};
use super::stream_parts::round;
use super::talk::{RAM, Talk};
use Reader::{Destination, Source};

pub(super) fn vectors() -> Vec<Vector> {
    [from_the_destination(), from_the_source()].concat()
}

fn error() -> Message {
    Message::empty(Kind::Error)
}

fn from_the_destination() -> Vec<Vector> {
    let heard = |talk: Talk, id, title| {
        talk.destination(error()).refused_by(Source, id, "CTL-31 CTL-27", title, PeerError)
    };
    let open = || Talk::dynamic().exchanged();
    vec![
        heard(Talk::dynamic(), "ERR-V001", "to the source, in place of the first READY"),
        heard(Talk::dynamic().ready(), "ERR-V002", "to the source, behind the first READY"),
        heard(Talk::dynamic().ready().list(), "ERR-V003", "to the source, behind the list"),
        heard(
            Talk::dynamic().up_to_blocks_request(),
            "ERR-V004",
            "to the source, in place of RAM_BLOCKS_RESULT",
        ),
        heard(open(), "ERR-V005", "to the source, in an open round"),
        heard(
            open().register(&[register(0, 0, 0)]),
            "ERR-V006",
            "to the source, in place of REGISTER_RESULT",
        ),
        heard(
            open().registered(0, 0, 0x501).write(0, 0, 0x1000, 0x501),
            "ERR-V007",
            "to the source, behind a WRITE",
        ),
        heard(
            open().registered(0, 0, 0x501).unregister(&[unregister(0, 0)]),
            "ERR-V008",
            "to the source, in place of UNREGISTER_FINISHED",
        ),
        heard(open().finished(), "ERR-V009", "to the source, behind REGISTER_FINISHED"),
        heard(
            Talk::pinned().exchanged().write(0, 0, 0x1000, RAM.rkey).finished().ready(),
            "ERR-V010",
            "to the source, behind a round in which all RAM was pinned",
        ),
        Talk::dynamic().ready().destination(error().repeat(0).padding(!0)).refused_by(
            Source,
            "ERR-V011",
            "CTL-31 CTL-5 CTL-9",
            "to the source, with anything in repeat and padding",
            PeerError,
        ),
        Talk::dynamic()
            .malformed(Side::Destination, error().payload(4), &[ErrorName::UnexpectedPayload])
            .refused_by(
                Source,
                "ERR-V012",
                "CTL-7",
                "to the source, with a payload",
                ErrorName::UnexpectedPayload,
            ),
    ]
}

fn from_the_source() -> Vec<Vector> {
    let heard = |talk: Talk, id, title| {
        talk.source(error()).refused_by(Destination, id, "CTL-31 CTL-27", title, PeerError)
    };
    let open = || Talk::dynamic().exchanged();
    vec![
        heard(Talk::dynamic(), "ERR-V020", "to the destination, before the first READY"),
        heard(Talk::dynamic().ready(), "ERR-V021", "to the destination, in place of the stream"),
        heard(Talk::dynamic().ready().list(), "ERR-V022", "to the destination, behind the list"),
        heard(
            Talk::dynamic().up_to_blocks_request(),
            "ERR-V023",
            "to the destination, while RAM_BLOCKS_RESULT is due",
        ),
        heard(open(), "ERR-V024", "to the destination, in an open round"),
        heard(
            open().register(&[register(0, 0, 0)]),
            "ERR-V025",
            "to the destination, while REGISTER_RESULT is due",
        ),
        heard(open().finished().ready(), "ERR-V026", "to the destination, between two rounds"),
        heard(
            Talk::pinned().exchanged().write(0, 0, 0x1000, RAM.rkey),
            "ERR-V027",
            "to the destination, behind a WRITE",
        ),
        heard(
            open().finished().ready().stream(&round()).ready(),
            "ERR-V028",
            "to the destination, at the beginning of the second round",
        ),
    ]
}
