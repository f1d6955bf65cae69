//! The generator of `spec/vectors`: one file a chapter, as values; what goes on the wire is made of
//! them by the suite's codec.

mod build;
mod captures;
mod connection;
mod control_channel;
mod control_dialogues;
mod errors;
mod limits;
mod ram_blocks;
mod ram_writes;
mod registration;
mod registration_dialogues;
mod rounds;
mod stream;
mod stream_parts;
mod talk;
mod zero_pages;

use rdma_migration_conformance::vectors::vector::{File, Vector};

/// Every file of vectors: its name, and what is in it.
pub(crate) fn files() -> Vec<(&'static str, File)> {
    let file = |name, title: &str, vectors: Vec<Vec<Vector>>| {
        (name, File { title: title.to_owned(), vector: vectors.concat() })
    };
    vec![
        file("02-connection.toml", "Chapter 2, connection", vec![connection::vectors()]),
        file(
            "03-control-channel.toml",
            "Chapter 3, control channel",
            vec![control_channel::vectors(), control_dialogues::vectors()],
        ),
        file("04-ram-blocks.toml", "Chapter 4, RAM blocks", vec![ram_blocks::vectors()]),
        file(
            "05-registration.toml",
            "Chapter 5, registration",
            vec![registration::vectors(), registration_dialogues::vectors()],
        ),
        file("06-ram-writes.toml", "Chapter 6, RAM writes", vec![ram_writes::vectors()]),
        file("07-zero-pages.toml", "Chapter 7, zero pages", vec![zero_pages::vectors()]),
        file("08-stream.toml", "Chapter 8, stream", vec![stream::vectors()]),
        file("09-rounds.toml", "Chapter 9, rounds and handover", vec![rounds::vectors()]),
        file("10-errors.toml", "Chapter 10, errors", vec![errors::vectors()]),
        file("11-limits.toml", "Chapter 11, limits", vec![limits::vectors()]),
        file(
            "capture-dynamic.toml",
            "A migration of QEMU 7.2 to itself, chunks registered one by one, from a capture",
            vec![captures::dynamic()],
        ),
        file(
            "capture-pin-all.toml",
            "A migration of QEMU 7.2 to itself, all RAM pinned, from a capture",
            vec![captures::pin_all()],
        ),
    ]
}
