//! Chapter 3: whose turn it is.

use rdma_migration_conformance::codec::Kind;
use rdma_migration_conformance::vectors::error_name::ErrorName::{self, NotACommand, WrongReply};
use rdma_migration_conformance::vectors::vector::{Reader, Side, Vector};

use super::build::{Message, compress, register, result, unregister};
use super::stream_parts::{END_OF_RECORD, round};
use super::talk::{RAM, Talk};
use Reader::{Destination, Source};

pub(super) fn vectors() -> Vec<Vector> {
    [credit(), before_ready(), not_commands(), readies(), replies(), malformed()].concat()
}

fn credit() -> Vec<Vector> {
    vec![
        Talk::dynamic().ready().list().ready().stream(&END_OF_RECORD).ready().accepted(
            "CTL-V200",
            "CTL-20 CTL-21",
            "one READY for each message of the stream",
        ),
        Talk::dynamic().exchanged().accepted(
            "CTL-V201",
            "CTL-20 CTL-22",
            "the reply to RAM_BLOCKS_REQUEST comes before the next READY",
        ),
        Talk::dynamic().exchanged().registered(0, 0, 0x501).write(0, 0, 0x1000, 0x501).accepted(
            "CTL-V202",
            "CTL-22 CTL-26",
            "the reply to REGISTER_REQUEST comes before the next READY",
        ),
        Talk::dynamic().exchanged().finished().ready().stream(&round()).ready().accepted(
            "CTL-V203",
            "CTL-20 CTL-21",
            "REGISTER_FINISHED uses a READY like every command",
        ),
    ]
}

fn before_ready() -> Vec<Vector> {
    let early = |talk: Talk, id, title| {
        talk.refused_by(Destination, id, "CTL-23 CTL-20", title, ErrorName::CommandWithoutReady)
    };
    let used = || Talk::dynamic().exchanged().finished();
    vec![
        early(Talk::dynamic().list(), "CTL-V210", "QEMU_FILE before the first READY"),
        early(Talk::dynamic().blocks_request(), "CTL-V211", "a request before the first READY"),
        early(
            Talk::dynamic().ready().list().stream(&END_OF_RECORD),
            "CTL-V212",
            "two messages of the stream for one READY",
        ),
        early(
            Talk::dynamic().ready().list().blocks_request(),
            "CTL-V213",
            "RAM_BLOCKS_REQUEST right behind the stream",
        ),
        early(used().finished(), "CTL-V214", "REGISTER_FINISHED twice for one READY"),
        early(
            used().register(&[register(0, 0, 0)]),
            "CTL-V215",
            "REGISTER_REQUEST for a READY that is used",
        ),
        early(
            used().compress(&[compress(0, 0, 0, 0x1000)]),
            "CTL-V216",
            "COMPRESS for a READY that is used",
        ),
        early(
            used().unregister(&[unregister(0, 0)]),
            "CTL-V217",
            "UNREGISTER_REQUEST for a READY that is used",
        ),
        early(used().stream(&round()), "CTL-V218", "QEMU_FILE for a READY that is used"),
    ]
}

fn not_commands() -> Vec<Vector> {
    let wrong = |message: Message, id, title| {
        let talk = Talk::dynamic().ready().source(message);
        talk.refused_by(Destination, id, "CTL-32", title, NotACommand)
    };
    let blocks = Talk::dynamic().blocks();
    vec![
        wrong(Message::empty(Kind::None), "CTL-V220", "NONE from a source"),
        wrong(Message::empty(Kind::Ready), "CTL-V221", "READY from a source"),
        wrong(
            Message::of(Kind::RamBlocksResult, &blocks),
            "CTL-V222",
            "RAM_BLOCKS_RESULT from a source",
        ),
        wrong(
            Message::of(Kind::RegisterResult, &[result(0x104, RAM.address)]),
            "CTL-V223",
            "REGISTER_RESULT from a source",
        ),
        wrong(
            Message::empty(Kind::UnregisterFinished),
            "CTL-V224",
            "UNREGISTER_FINISHED from a source",
        ),
    ]
}

fn readies() -> Vec<Vector> {
    let twice = |talk: Talk, id, title| {
        talk.refused_by(Source, id, "CTL-25 CTL-21", title, ErrorName::ReadyTwice)
    };
    let early = |talk: Talk, id, title| {
        talk.refused_by(Source, id, "CTL-24 CTL-22", title, ErrorName::ReadyBeforeReply)
    };
    let registering = || Talk::dynamic().exchanged().register(&[register(0, 0, 0)]);
    let unregistering =
        || Talk::dynamic().exchanged().registered(0, 0, 0x501).unregister(&[unregister(0, 0)]);
    vec![
        twice(Talk::dynamic().ready().ready(), "CTL-V230", "READY twice at the beginning"),
        twice(Talk::dynamic().exchanged().ready(), "CTL-V231", "READY twice after a reply"),
        twice(
            Talk::dynamic().exchanged().finished().ready().ready(),
            "CTL-V232",
            "READY twice after a round",
        ),
        early(
            Talk::dynamic().up_to_blocks_request().ready(),
            "CTL-V233",
            "READY before RAM_BLOCKS_RESULT",
        ),
        early(registering().ready(), "CTL-V234", "READY before REGISTER_RESULT"),
        early(unregistering().ready(), "CTL-V235", "READY before UNREGISTER_FINISHED"),
    ]
}

fn replies() -> Vec<Vector> {
    let wrong = |talk: Talk, id, title| talk.refused_by(Source, id, "CTL-26", title, WrongReply);
    let asked = || Talk::dynamic().up_to_blocks_request();
    let registering = || Talk::dynamic().exchanged().register(&[register(0, 0, 0)]);
    let unregistering =
        || Talk::dynamic().exchanged().registered(0, 0, 0x501).unregister(&[unregister(0, 0)]);
    let results = [result(0x104, RAM.address)];
    let blocks = Talk::dynamic().blocks();
    let unregistered = || Message::empty(Kind::UnregisterFinished);
    vec![
        wrong(asked().results(&results), "CTL-V240", "REGISTER_RESULT for RAM_BLOCKS_RESULT"),
        wrong(
            asked().destination(unregistered()),
            "CTL-V241",
            "UNREGISTER_FINISHED for RAM_BLOCKS_RESULT",
        ),
        wrong(
            registering().blocks_result(&blocks),
            "CTL-V242",
            "RAM_BLOCKS_RESULT for REGISTER_RESULT",
        ),
        wrong(
            registering().destination(unregistered()),
            "CTL-V243",
            "UNREGISTER_FINISHED for REGISTER_RESULT",
        ),
        wrong(
            unregistering().results(&results),
            "CTL-V244",
            "REGISTER_RESULT for UNREGISTER_FINISHED",
        ),
        wrong(
            Talk::dynamic().ready().blocks_result(&blocks),
            "CTL-V245",
            "RAM_BLOCKS_RESULT that was not asked for",
        ),
        wrong(
            Talk::dynamic().exchanged().results(&results),
            "CTL-V246",
            "REGISTER_RESULT that was not asked for",
        ),
        wrong(
            Talk::dynamic().exchanged().destination(unregistered()),
            "CTL-V247",
            "UNREGISTER_FINISHED that was not asked for",
        ),
        wrong(
            Talk::dynamic().destination(Message::stream(&END_OF_RECORD)),
            "CTL-V248",
            "QEMU_FILE from a destination",
        ),
        wrong(
            asked().destination(Message::empty(Kind::RegisterFinished)),
            "CTL-V249",
            "REGISTER_FINISHED from a destination",
        ),
        wrong(
            Talk::dynamic().exchanged().registered(0, 0, 0x501).results(&results),
            "CTL-V250",
            "a reply that comes twice",
        ),
    ]
}

/// Malformed messages in the middle of a migration.
fn malformed() -> Vec<Vector> {
    let ready = || Message::empty(Kind::Ready);
    let request = || Message::of(Kind::RegisterRequest, &[register(0, 0, 0)]);
    let bad = |by, talk: Talk, message, id, requirement, title, error| {
        let from = if by == Source { Side::Destination } else { Side::Source };
        talk.malformed(from, message, &[error]).refused_by(by, id, requirement, title, error)
    };
    vec![
        bad(
            Source,
            Talk::dynamic(),
            ready().resized(8),
            "CTL-V260",
            "CTL-2",
            "the first READY is cut off",
            ErrorName::HeaderTruncated,
        ),
        bad(
            Source,
            Talk::dynamic(),
            ready().payload(4),
            "CTL-V261",
            "CTL-7",
            "the first READY has a payload",
            ErrorName::UnexpectedPayload,
        ),
        bad(
            Source,
            Talk::dynamic().up_to_blocks_request(),
            ready().word(4, 12),
            "CTL-V262",
            "CTL-6",
            "an unknown type for a reply",
            ErrorName::UnknownType,
        ),
        bad(
            Destination,
            Talk::dynamic().ready(),
            Message::stream(b"QEVM").resized(19),
            "CTL-V263",
            "CTL-4",
            "the first QEMU_FILE is a byte short",
            ErrorName::LengthMismatch,
        ),
        bad(
            Destination,
            Talk::dynamic().exchanged(),
            request().payload(0),
            "CTL-V264",
            "CTL-11",
            "REGISTER_REQUEST without its request",
            ErrorName::PayloadNotRepeat,
        ),
        bad(
            Destination,
            Talk::dynamic().exchanged(),
            request().word(4, 77),
            "CTL-V265",
            "CTL-6",
            "type 77 in a round",
            ErrorName::UnknownType,
        ),
    ]
}
