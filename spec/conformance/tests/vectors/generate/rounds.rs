//! Chapter 9: whole migrations.

use rdma_migration_conformance::vectors::vector::Vector;

use super::stream_parts::{END_OF_RECORD, end, round};
use super::talk::{BIOS, RAM, Talk};

const MIB: u64 = 1 << 20;

pub(super) fn vectors() -> Vec<Vector> {
    vec![
        ended(dynamic_round(Talk::dynamic().exchanged())).accepted(
            "RND-V001",
            "RND-1",
            "one round, chunks registered one by one",
        ),
        ended(Talk::pinned().exchanged().write(0, 0, MIB, RAM.rkey)).accepted(
            "RND-V002",
            "RND-1",
            "one round, all RAM pinned",
        ),
        ended(next(dynamic_round(Talk::dynamic().exchanged())).write(0, 0x5000, 0x1000, 0x501))
            .accepted("RND-V003", "RND-1 REG-10", "the second round uses a key of the first"),
        ended(next(next(Talk::dynamic().exchanged()))).accepted(
            "RND-V004",
            "RND-1",
            "rounds in which nothing is written",
        ),
        ended(
            Talk::dynamic()
                .exchanged()
                .zero(0, 0, MIB)
                .zero(0, MIB, MIB)
                .zero(0, 2 * MIB, 0x8_0000)
                .zero(1, 0, BIOS.length),
        )
        .accepted("RND-V005", "RND-1 ZERO-10", "a guest whose RAM is zero throughout"),
        ended(
            next(Talk::pinned().exchanged().write(0, 0, MIB, RAM.rkey))
                .write(0, 0x1000, 0x1000, RAM.rkey)
                .write(1, 0, 0x1000, BIOS.rkey),
        )
        .accepted("RND-V006", "RND-1", "two rounds, all RAM pinned"),
        Talk::dynamic()
            .exchanged()
            .finished()
            .ready()
            .stream(&round())
            .ready()
            .finished()
            .accepted(
                "RND-V007",
                "RND-1 STR-2",
                "a round begins with its hook word and ends with REGISTER_FINISHED",
            ),
    ]
}

fn dynamic_round(talk: Talk) -> Talk {
    talk.zero(0, 0x1000, 0x4000)
        .registered(0, 0, 0x501)
        .write(0, 0, 0x1000, 0x501)
        .write(0, 0x9000, 0x3000, 0x501)
        .zero(0, MIB, MIB)
        .registered(1, 0, 0x502)
        .write(1, 0, BIOS.length, 0x502)
}

/// Ends the round and opens the next.
fn next(talk: Talk) -> Talk {
    talk.finished().ready().stream(&END_OF_RECORD).ready().stream(&round()).ready()
}

/// Ends the round and the stream. The last message is followed by nothing.
fn ended(talk: Talk) -> Talk {
    let device_state = [&END_OF_RECORD[..], &[0x7e, 0, 0, 0, 2]].concat();
    talk.finished().ready().stream(&end(&device_state, br#"{"page_size": 4096}"#))
}
